"""When H_1 (I + rho H_2) is monotone, by Gustafson's operator angle, and the criterion in the radius (B2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.inner_product import dot, norm2, vectors
from theory.ssam import angles, monotonicity, widest_radius

mu, L = sp.symbols("mu L", positive=True)
rho = sp.Symbol("rho", nonnegative=True)

# -- pairs of Hessians: Gustafson's angle --

x, u, v = vectors("x u v")
P, R = sp.symbols("P R", positive=True)  # Rayleigh quotients, at least mu and 1 + rho mu
T1, T2, r1, r2, c1, c2 = sp.symbols("T_1 T_2 r_1 r_2 c_1 c_2", positive=True)
s1, s2 = sp.symbols("s_1 s_2", nonnegative=True)
U, V = sp.symbols("U V", nonnegative=True)
a, b = 1 + rho * mu, 1 + rho * L  # eigenvalues of I + rho H_2 lie between
first = P * x + u  # H_1 x
second = R * x + v  # (I + rho H_2) x

ANGLE = (
    Given("unit", norm2(x) - 1, "=", "definition", "||x|| = 1"),
    Given("u across", dot(x, u), "=", "definition", "u is the part of H_1 x across x, P = <x, H_1 x>"),
    Given("v across", dot(x, v), "=", "definition", "v is the part of (I + rho H_2) x across x"),
    Given("least P", P - mu, ">=", "standard", "Rayleigh quotient of H_1"),
    Given("least R", R - a, ">=", "standard", "Rayleigh quotient of I + rho H_2"),
    Given("spectrum 1", dot(first - mu * x, L * x - first), ">=", "standard", "(H_1 - mu)(L - H_1) is semidefinite"),
    Given("spectrum 2", dot(second - a * x, b * x - second), ">=", "standard", "(B - a)(b - B) is, B = I + rho H_2"),
    Given("root 1", r1**2 - mu * L, "=", "definition", "r_1 = sqrt(mu L)"),
    Given("root 2", r2**2 - a * b, "=", "definition", "r_2 = sqrt(a b), a = 1 + rho mu, b = 1 + rho L"),
    Given("tangent 1", 2 * T1 * r1 - (L - mu), "=", "definition", "T_1 = tan theta_1"),
    Given("tangent 2", 2 * T2 * r2 - (b - a), "=", "definition", "T_2 = tan theta_2"),
    Given("cosine 1", c1 * (L + mu) - 2 * r1, "=", "definition", "c_1 = cos theta_1"),
    Given("cosine 2", c2 * (a + b) - 2 * r2, "=", "definition", "c_2 = cos theta_2"),
    Given("sine 1", s1 * (L + mu) - (L - mu), "=", "definition", "s_1 = sin theta_1"),
    Given("sine 2", s2 * (a + b) - (b - a), "=", "definition", "s_2 = sin theta_2"),
    Given("criterion", c1 * c2 - s1 * s2, ">", "hypothesis", "cos(theta_1 + theta_2) > 0"),
    Given("lengths U", U**2 - norm2(u), "=", "definition", "U = ||u||"),
    Given("lengths V", V**2 - norm2(v), "=", "definition", "V = ||v||"),
    Given("Cauchy-Schwarz", dot(u, v) + U * V, ">=", "standard", "<u, v> >= -||u|| ||v||"),
)

tangents = 1 - T1 * T2
sum_cosine = c1 * c2 - s1 * s2  # cos(theta_1 + theta_2)

ANGLE_STEPS = (
    Step(
        "across, first",
        U**2,
        "<=",
        (P - mu) * (L - P),
        by=(("spectrum 1",), ((P - mu) * (P - L), "unit"), (2 * P - mu - L, "u across"), (-1, "lengths U")),
        why="what H_1 turns away from x, by Pythagoras",
    ),
    Step(
        "across, second",
        V**2,
        "<=",
        (R - a) * (b - R),
        by=(("spectrum 2",), ((R - a) * (R - b), "unit"), (2 * R - a - b, "v across"), (-1, "lengths V")),
    ),
    Step(
        "tangent of the first, squared",
        U**2,
        "<=",
        (T1 * P) ** 2,
        by=(
            ("across, first",),
            (1 / (4 * mu * L), ((L + mu) * P - 2 * mu * L) ** 2),
            (P**2 * (2 * T1 * r1 + L - mu) / (4 * mu * L), "tangent 1"),
            (-(T1**2) * P**2 / (mu * L), "root 1"),
        ),
        why="T_1^2 = (L - mu)^2/(4 mu L), and the difference is a square",
    ),
    Step(
        "tangent of the second, squared",
        V**2,
        "<=",
        (T2 * R) ** 2,
        by=(
            ("across, second",),
            (1 / (4 * a * b), ((a + b) * R - 2 * a * b) ** 2),
            (R**2 * (2 * T2 * r2 + b - a) / (4 * a * b), "tangent 2"),
            (-(T2**2) * R**2 / (a * b), "root 2"),
        ),
    ),
    Step("tangent of the first", U, "<=", T1 * P, by=((1 / (T1 * P + U), "tangent of the first, squared"),)),
    Step("tangent of the second", V, "<=", T2 * R, by=((1 / (T2 * R + V), "tangent of the second, squared"),)),
    Step(
        "opposite ways",
        -T1 * T2 * P * R,
        "<=",
        dot(u, v),
        by=(("Cauchy-Schwarz",), (T1 * P, "tangent of the second"), (V, "tangent of the first")),
        why="at worst both turn x in one plane, in opposite ways",
    ),
    Step(
        "inner product",
        P * R * tangents,
        "<=",
        dot(first, second),
        by=(("opposite ways",), (P * R, "unit"), (P, "v across"), (R, "u across")),
    ),
    Step(
        "sine of the first",
        s1,
        "=",
        c1 * T1,
        by=((-1 / (L + mu), "sine 1"), (T1 / (L + mu), "cosine 1"), (1 / (L + mu), "tangent 1")),
    ),
    Step(
        "sine of the second",
        s2,
        "=",
        c2 * T2,
        by=((-1 / (a + b), "sine 2"), (T2 / (a + b), "cosine 2"), (1 / (a + b), "tangent 2")),
    ),
    Step(
        "addition theorem",
        sum_cosine,
        "=",
        c1 * c2 * tangents,
        by=((-s2, "sine of the first"), (-c1 * T1, "sine of the second")),
        why="1 - tan theta_1 tan theta_2 = cos(theta_1 + theta_2)/(cos theta_1 cos theta_2)",
    ),
    Step(
        "no right angle",
        0,
        "<",
        tangents,
        by=((1 / (c1 * c2), "criterion"), (1 / (c1 * c2), "addition theorem")),
    ),
    Step(
        "cosine of the first",
        c1,
        "<=",
        1,
        by=(
            (1 / ((L + mu) * (L + mu + 2 * r1)), (L - mu) ** 2),
            (-4 / ((L + mu) * (L + mu + 2 * r1)), "root 1"),
            (-1 / (L + mu), "cosine 1"),
        ),
    ),
    Step(
        "cosine of the second",
        c2,
        "<=",
        1,
        by=(
            (1 / ((a + b) * (a + b + 2 * r2)), (b - a) ** 2),
            (-4 / ((a + b) * (a + b + 2 * r2)), "root 2"),
            (-1 / (a + b), "cosine 2"),
        ),
    ),
    Step(
        "lengths",
        mu * a,
        "<=",
        P * R,
        by=(("least P", R), ("least R", mu)),
    ),
    Step(
        "monotone",
        mu * a * sum_cosine,
        "<=",
        dot(first, second),
        by=(
            ("inner product",),
            ("lengths", "no right angle"),
            (mu * a, "no right angle", "cosine of the first"),
            (mu * a * c1, "no right angle", "cosine of the second"),
            (mu * a, "addition theorem"),
        ),
        why="m of the claim, its first form, for every pair of Hessians with spectra in [mu, L] and every unit x",
    ),
)


def _by_angles(point: Mapping[str, float]) -> tuple[float, float]:
    return angles(point["mu"], point["L"], point["rho"])


def _cosine_of_sum(point: Mapping[str, float]) -> float:
    return math.cos(sum(_by_angles(point)))


# In explicit form, for the comparison with the code's arcsines.
explicit = {
    c1: 2 * sp.sqrt(mu * L) / (L + mu),
    c2: 2 * sp.sqrt(a * b) / (a + b),
    s1: (L - mu) / (L + mu),
    s2: (b - a) / (a + b),
    T1: (L - mu) / (2 * sp.sqrt(mu * L)),
    T2: (b - a) / (2 * sp.sqrt(a * b)),
}
# At these the angles give the larger m.
ANGLE_POINTS = [
    {"mu": 0.1, "L": 1.0, "rho": 1.0},
    {"mu": 0.02, "L": 1.0, "rho": 0.5},
    {"mu": 0.05, "L": 2.0, "rho": 0.4},
]

# mu = 1, L = 9 and rho = 7/18, where every root is rational: H_1 turns x one way as far as it can, the other
# matrix the other way.
EXTREMAL_PAIR: Mapping[str, sp.Expr | int | tuple[sp.Expr | int, ...]] = {
    "mu": 1, "L": 9, "rho": sp.Rational(7, 18), "P": sp.Rational(9, 5), "R": sp.Rational(225, 106),
    "U": sp.Rational(12, 5), "V": sp.Rational(70, 53), "r_1": 3, "r_2": sp.Rational(5, 2), "T_1": sp.Rational(4, 3),
    "T_2": sp.Rational(28, 45), "c_1": sp.Rational(3, 5), "c_2": sp.Rational(45, 53), "s_1": sp.Rational(4, 5),
    "s_2": sp.Rational(28, 53), "x": (1, 0), "u": (0, sp.Rational(12, 5)), "v": (0, -sp.Rational(70, 53)),
}  # fmt: skip

derivations.add(
    Derivation(
        id="ssam/monotone-by-angles",
        title="H_1 (I + rho H_2) is monotone where two angles add up to less than a right one (B2)",
        claims=("ssam/usam-contraction",),
        given=ANGLE,
        steps=ANGLE_STEPS,
        conclusion="monotone",
        meets=(
            Meets("cos(theta_1 + theta_2)", sum_cosine.subs(explicit), _cosine_of_sum, ANGLE_POINTS),
            Meets(
                "m",
                (mu * a * sum_cosine).subs(explicit),
                lambda point: monotonicity(point["mu"], point["L"], point["rho"]),
                ANGLE_POINTS,
            ),
            Meets(
                "1 - tan theta_1 tan theta_2",
                tangents.subs(explicit),
                lambda point: 1 - math.prod(math.tan(angle) for angle in _by_angles(point)),
                ANGLE_POINTS,
            ),
        ),
        twins=(
            Twin(
                "angles that add up the other way, cos(theta_1 - theta_2)",
                "monotone",
                replace(ANGLE_STEPS[-1], left=mu * a * (c1 * c2 + s1 * s2)),
                counterexample=EXTREMAL_PAIR,
            ),
            Twin("at every radius", "no right angle", without=("criterion",)),
        ),
        remarks=(
            "For L = mu, or rho = 0, one angle is 0 and a tangent, taken positive here, too: then u or v vanishes and "
            "<H_1 x, (I + rho H_2) x> = P R >= mu (1 + rho mu).",
            "The steps give more than the claim: m/(cos theta_1 cos theta_2) = mu (1 + rho mu)(1 - tan theta_1 tan "
            "theta_2) bounds the inner product too.",
        ),
        covers="the first of the two forms of m; the second is ssam/monotone-by-squares, the contraction "
        "ssam/usam-contraction, the criterion in rho ssam/usam-criterion",
        latex_names={
            "u": "u",
            "v": "v",
            "T_1": r"\tan\theta_1",
            "T_2": r"\tan\theta_2",
            "c_1": r"\cos\theta_1",
            "c_2": r"\cos\theta_2",
            "s_1": r"\sin\theta_1",
            "s_2": r"\sin\theta_2",
        },
    )
)


# -- the criterion in the radius --

low_root, high_root, widest = sp.symbols("g G rho_star", positive=True)
root_two = sp.sqrt(2)
total = high_root**2 + low_root**2
room = high_root**2 - low_root**2 - 2 * low_root * high_root  # L - mu - 2 sqrt(mu L)
lead = 2 * low_root * high_root * (2 + rho * total) - rho * (high_root**2 - low_root**2) * total

MULTIPLIED_OUT = Step(
    "multiplied out",
    lead,
    "=",
    4 * low_root * high_root - rho * total * room,
    why="sin theta_2 < cos theta_1, times (L + mu)(2 + rho (L + mu)), says that this is positive",
)

CRITERION = (
    Given("wide", room, ">", "hypothesis", "L - mu > 2 sqrt(mu L), mu = g^2 and L = G^2"),
    Given("rho*", widest * total * room - 4 * low_root * high_root, "=", "definition", "rho* of the claim"),
    Given("inside", widest - rho, ">", "hypothesis", "rho < rho*: for `below rho*` alone"),
)

CRITERION_STEPS = (
    MULTIPLIED_OUT,
    Step(
        "either side of rho*",
        lead,
        "=",
        (widest - rho) * total * room,
        by=(("rho*",),),
        why="the sign of the criterion is that of rho* - rho",
    ),
    Step("below rho*", 0, "<", lead, by=(("inside", "wide", total), (-1, "either side of rho*"))),
)

NARROW = (
    Given(
        "condition number",
        (3 + 2 * root_two) * low_root**2 - high_root**2,
        ">=",
        "hypothesis",
        "L/mu <= 3 + 2 sqrt 2, mu = g^2 and L = G^2",
    ),
)

NARROW_STEPS = (
    MULTIPLIED_OUT,
    Step(
        "roots",
        high_root,
        "<=",
        (1 + root_two) * low_root,
        by=((1 / ((1 + root_two) * low_root + high_root), "condition number"),),
        why="3 + 2 sqrt 2 = (1 + sqrt 2)^2",
    ),
    Step("no room", room, "<=", 0, by=(("roots", high_root + (root_two - 1) * low_root),)),
    Step("any radius", 0, "<", lead, by=((4 * low_root * high_root,), (rho * total, "no room"))),
)


def _lead(point: Mapping[str, float]) -> float:
    """cos theta_1 - sin theta_2 times (L + mu)(2 + rho (L + mu)), by the angles of the code."""
    mu, L, rho = point["g"] ** 2, point["G"] ** 2, point["rho"]
    one, two = angles(mu, L, rho)
    return (math.cos(one) - math.sin(two)) * (L + mu) * (2 + rho * (L + mu))


def _widest(point: Mapping[str, float]) -> float:
    return widest_radius(point["g"] ** 2, point["G"] ** 2)


CRITERION_POINTS = [
    {"g": 0.14, "G": 1.0, "rho": 0.5},
    {"g": 0.3, "G": 1.0, "rho": 7.0},
    {"g": 0.5, "G": 1.9, "rho": 0.1},
]
NARROW_POINTS = [
    {"g": 0.7, "G": 1.0, "rho": 0.5},
    {"g": 1.0, "G": 2.0, "rho": 30.0},
    {"g": 1.0, "G": 1.0, "rho": 3.0},
]

derivations.add(
    Derivation(
        id="ssam/usam-criterion",
        title="The two angles add up to less than a right one exactly below rho* (B2)",
        claims=("ssam/usam-contraction",),
        given=CRITERION,
        steps=CRITERION_STEPS,
        conclusion="below rho*",
        meets=(
            Meets("criterion", lead, _lead, CRITERION_POINTS),
            Meets("rho*", 4 * low_root * high_root / (total * room), _widest, CRITERION_POINTS),
        ),
        twins=(
            Twin(
                "every radius is good",
                "below rho*",
                without=("inside",),
                # L = 16 mu: rho* = 16/(17 * 7)
                counterexample={"g": 1, "G": 4, "rho": 1, "rho_star": sp.Rational(16, 119)},
            ),
            Twin(
                "room L - mu - sqrt(mu L)",
                "either side of rho*",
                replace(CRITERION_STEPS[1], right=(widest - rho) * total * (room + low_root * high_root)),
                counterexample={"g": 1, "G": 4, "rho": 0, "rho_star": sp.Rational(16, 119)},
            ),
        ),
        remarks=("That theta_1 + theta_2 < pi/2 says sin theta_2 < cos theta_1 holds as both lie in [0, pi/2).",),
        covers="rho* for L - mu > 2 sqrt(mu L), both ways; the other condition numbers are ssam/usam-criterion-narrow, "
        "and that the criterion is sharp on pairs of matrices is ssam/usam-expansive",
        latex_names={"g": r"\sqrt\mu", "G": r"\sqrt L", "rho_star": r"\rho^*"},
    )
)

derivations.add(
    Derivation(
        id="ssam/usam-criterion-narrow",
        title="Condition numbers up to 3 + 2 sqrt 2 allow every radius (B2)",
        claims=("ssam/usam-contraction",),
        given=NARROW,
        steps=NARROW_STEPS,
        conclusion="any radius",
        meets=(Meets("criterion", lead, _lead, NARROW_POINTS),),
        twins=(
            Twin(
                "any condition number",
                "roots",
                without=("condition number",),
                counterexample={"g": 1, "G": 3},
            ),
            Twin(
                "condition numbers up to 6",
                "roots",
                replace(NARROW_STEPS[1], right=sp.Rational(12, 5) * low_root),
                # the limit itself
                counterexample={"g": 1, "G": 1 + root_two},
            ),
        ),
        covers="that every radius is allowed for L/mu <= 3 + 2 sqrt 2, the limit included",
        latex_names={"g": r"\sqrt\mu", "G": r"\sqrt L"},
    )
)
