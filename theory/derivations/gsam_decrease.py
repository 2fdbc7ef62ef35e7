"""How far GSAM's extra steps lower the gap (B2 iii, iv), and where two natural statements about that fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.gsam_decrease import Slopes, lower_bound, total
from theory.derivation import Derivation, Given, Induction, Meets, Step, Twin, derivations
from theory.derivations.gsam_direction import ACROSS, L_S, PROJECTION, SMOOTH, SQUARED, gamma, k, perp, rho
from theory.derivations.gsam_lab import StandingLab, diagonal_points, gradients, on_diagonal, setting_at, trial_at
from theory.gsam import ZETA
from theory.inner_product import dot, norm2, vectors
from theory.schedules import inverse_sqrt

half = sp.Rational(1, 2)

# -- all steps together --

climb, R, W = sp.symbols("alpha R W", nonnegative=True)
S = sp.Symbol("S", real=True)
gamma_0, rho_0, zeta = sp.symbols("gamma_0 rho_0 zeta", positive=True)
w = sp.Symbol("w", positive=True)  # 1/sqrt(t + 1)

TOTAL = (
    ACROSS,
    SQUARED,
    Step(
        "sum, one step on",
        S + gamma * climb * norm2(perp),
        "<=",
        climb * L_S**2 * (R + gamma * rho**2),
        by=(("sum so far",), (gamma * climb, "squared length")),
    ),
    Step(
        "falling steps",
        R + gamma * rho**2,
        "=",
        gamma_0 * rho_0**2 * (W + w**3),
        by=(("R of falling steps",), (-(rho**2), "gamma falls"), (-gamma_0 * w * (rho + rho_0 * w), "rho falls")),
        why="gamma_t rho_t^2 = gamma_0 rho_0^2 (t + 1)^(-3/2)",
    ),
    Step(
        "total",
        S + gamma * climb * norm2(perp),
        "<=",
        zeta * climb * L_S**2 * gamma_0 * rho_0**2,
        by=(
            ("sum, one step on",),
            (climb * L_S**2, "falling steps"),
            (climb * L_S**2 * gamma_0 * rho_0**2, "zeta"),
        ),
    ),
)


def _total_points() -> list[Mapping[str, float]]:
    points = diagonal_points((1.0, 0.2), (0.7, 3.0), (2.0, 0.5))
    return [
        point | {"L_S": point["L"], "gamma_0": point["gamma"], "rho_0": point["rho"], "zeta": ZETA} for point in points
    ]


TOTAL_POINTS = _total_points()


def _total_any(point: Mapping[str, float]) -> float:
    """The bound after the first step, for constant steps."""
    return float(on_diagonal(total, point).stated({})[0])


def _total_falling(point: Mapping[str, float]) -> float:
    setting, facts = setting_at(f"spectrum:h={point['h1']!r}/{point['h2']!r}", (point["x1"], point["x2"]), point)
    steps = {"gamma": inverse_sqrt(point["gamma"]), "rho": inverse_sqrt(point["rho"])}
    trial = total(setting.with_steps(**steps), facts.with_steps(**steps), 1, StandingLab())
    return float(trial.stated({})[0])


# The first step, where g_perp is as long as it can be; 21/8 stands for zeta(3/2), and is above it.
FIRST = {
    "g": (2, -1), "p": (2, 0), "k": 1, "L_S": 1, "rho": 1, "gamma": 1, "alpha": 1, "S": 0, "R": 0, "W": 0, "w": 1,
    "gamma_0": 1, "rho_0": 1, "zeta": sp.Rational(21, 8),
}  # fmt: skip

derivations.add(
    Derivation(
        id="gsam/gap-decrease-total",
        title="All of GSAM's extra steps together lower the gap only so far (B2 iii)",
        claims=("gsam/gap-decrease",),
        given=(
            PROJECTION,
            SMOOTH,
            Given(
                "sum so far",
                climb * L_S**2 * R - S,
                ">=",
                "induction",
                "induction: S sums gamma_j alpha ||g_perp||^2 and R gamma_j rho_j^2 over j < t; 0 >= 0 at t = 0",
                Induction(
                    "sum, one step on",
                    next={S: S + gamma * climb * norm2(perp), R: R + gamma * rho**2},
                    start={S: 0, R: 0},
                ),
            ),
            Given("gamma falls", gamma - gamma_0 * w, "=", "hypothesis", "gamma_t = gamma_0/sqrt(t + 1)"),
            Given("rho falls", rho - rho_0 * w, "=", "hypothesis", "rho_t = rho_0/sqrt(t + 1)"),
            Given(
                "R of falling steps",
                gamma_0 * rho_0**2 * W - R,
                "=",
                "definition",
                "W sums (j + 1)^(-3/2) over j < t",
            ),
            Given("zeta", zeta - W - w**3, ">=", "standard", "zeta(3/2) is the limit of these rising sums"),
        ),
        steps=TOTAL,
        conclusion="total",
        meets=(
            Meets(
                "any steps",
                (climb * L_S**2 * (R + gamma * rho**2)).subs(R, 0),
                _total_any,
                TOTAL_POINTS,
            ),
            Meets("falling steps", zeta * climb * L_S**2 * gamma_0 * rho_0**2, _total_falling, TOTAL_POINTS),
        ),
        twins=(
            Twin(
                "a third of the sum",
                "total",
                replace(TOTAL[4], right=zeta * climb * L_S**2 * gamma_0 * rho_0**2 / 3),
                counterexample=FIRST,
            ),
        ),
        remarks=("alpha >= 0; no convexity and no quadratic is needed. A mean over draws keeps every step.",),
        covers="both bounds on the sum, for one draw at each step and so for their mean",
        latex_names={"p": "g_p", "zeta": r"\zeta(\tfrac32)", "gamma_0": r"\gamma_0", "rho_0": r"\rho_0"},
    )
)

# -- the true slope on a quadratic --

n = sp.Symbol("n", positive=True)  # ||g||
a, b = sp.symbols("a b", nonnegative=True)  # u'Hu and v'Hv
norm_slope, turn = sp.symbols("dn c", real=True)  # n' and <u', H u> along g_perp
u, v, Hv = vectors("u v Hv")  # u = g/n; v = H u - a u

Hu = a * u + v
P = n * u + rho * Hu  # grad f(x + rho u)
V = norm2(v)
P2 = (n + rho * a) ** 2 + rho**2 * V  # ||P||^2
across = n * u - k * P  # g_perp
left = n - k * (n + rho * a)  # its part along u
H_across = n * Hu - k * (n * Hu + rho * (a * Hu + Hv))
slope = rho * norm_slope + rho**2 * turn  # of h_1 = rho n + rho^2 u'Hu/2
slope_fp = slope + dot(n * u, across)  # of f_p = h_1 + f
excess = rho**2 / n * (k * rho * b - left * V)  # how much faster than ||g_perp||^2 the gap falls

PLANE = (
    Given("projection", k * P2 - n * (n + rho * a), "=", "definition", "g_perp = g - k p with k = <g, p>/||p||^2"),
    Given("unit", norm2(u) - 1, "=", "definition", "u = g/||g||, g is not 0"),
    Given("v across u", dot(u, v), "=", "definition", "v = H u - (u'Hu) u"),
    Given("symmetry", dot(u, Hv) - V, "=", "hypothesis", "u'Hv = (H u)'v = ||v||^2, as H is symmetric"),
    Given("curvature along v", dot(v, Hv) - b, "=", "definition", "b = v'Hv"),
    Given("n'", norm_slope - dot(u, H_across), "=", "definition", "n^2 = ||g||^2 differentiated, with g' = H g_perp"),
    Given(
        "u'",
        n * turn + norm_slope * dot(u, Hu) - dot(H_across, Hu),
        "=",
        "definition",
        "g = n u differentiated: n u' + n' u = H g_perp, times H u",
    ),
)
CAUCHY = Given(
    "Cauchy-Schwarz for H",
    a * b - V**2,
    ">=",
    "standard",
    "(u'Hv)^2 <= u'Hu v'Hv where H is positive semidefinite; a, b >= 0 likewise",
)
ANY_HESSIAN = (
    Step(
        "across",
        dot(P, across),
        "=",
        0,
        by=(
            ("projection",),
            (-left * (n + rho * a), "unit"),
            (2 * k * rho * (n + rho * a) - n * rho, "v across u"),
        ),
        why="g_perp is perpendicular to p = g + rho H u",
    ),
    Step("along g", norm2(across), "=", dot(n * u, across), by=((-k, "across"),)),
    Step(
        "squared length",
        norm2(across),
        "=",
        n * left,
        by=(("along g",), (-n * left, "unit"), (k * n * rho, "v across u")),
    ),
    Step(
        "first part",
        rho * norm_slope,
        "=",
        -n * left,
        by=(
            (-rho, "n'"),
            (-rho * left * a, "unit"),
            (-rho * left, "v across u"),
            (rho**2 * k, "symmetry"),
            ("projection",),
        ),
        why="rho <H u, g_perp> = -||g_perp||^2, as rho H u = p - g",
    ),
    Step(
        "second part",
        rho**2 * turn,
        "=",
        -excess,
        by=(
            (-(rho**2) / n, "u'"),
            (rho**2 * a / n, "n'"),
            (rho**2 * norm_slope * a / n, "unit"),
            (rho**2 * (norm_slope - left * a) / n, "v across u"),
            (rho**3 * k / n, "curvature along v"),
        ),
        why="(rho^2/n) <H v, g_perp>, in the plane of u and v",
    ),
    Step(
        "slope",
        slope,
        "=",
        -norm2(across) - excess,
        by=(("first part",), ("second part",), ("squared length",)),
    ),
)
CONVEX = (
    *ANY_HESSIAN,
    Step(
        "gap falls",
        slope,
        "<=",
        -norm2(across),
        by=(
            ("slope",),
            (rho**3 / P2, n, b),
            (rho**4 / P2, "Cauchy-Schwarz for H"),
            (rho**2 / (n * P2) * (rho * b + (n + rho * a) * V), "projection"),
        ),
        why="excess = rho^3 (n b + rho (a b - ||v||^4))/||p||^2",
    ),
    Step("perturbed loss falls", slope_fp, "<=", 0, by=(("gap falls",), (-1, "along g"))),
)
PROJECTED = {k: n * (n + rho * a) / P2}


def _plane(point: dict[str, float]) -> dict[str, float]:
    """With n, a, b and ||v||^2 at the point."""
    H, (first, _) = np.diag([point["h1"], point["h2"]]), gradients(point)
    size = float(np.linalg.norm(first))
    unit = first / size
    rest = H @ unit - (unit @ H @ unit) * unit
    return point | {"n": size, "a": float(unit @ H @ unit), "b": float(rest @ H @ rest), "|v|^2": float(rest @ rest)}


CONVEX_POINTS = [_plane(point) for point in diagonal_points((1.0, 0.2), (0.7, 3.0), (2.0, 0.5), (0.3, 1.0))]


def _slopes(point: Mapping[str, float]) -> Slopes:
    spec = f"spectrum:h={point['h1']!r}/{point['h2']!r}"
    return Slopes(*setting_at(spec, (point["x1"], point["x2"]), point), 1, StandingLab())


def _gap_slope(point: Mapping[str, float]) -> float:
    return float(_slopes(point).gap[0])


def _loss_slope(point: Mapping[str, float]) -> float:
    return float(_slopes(point).loss[0])


def _square(point: Mapping[str, float]) -> float:
    return float(_slopes(point).square[0])


# H = diag(1, -1), u along (1, -1): H u = v, H v = u; n = 1 and rho = 2.
TURNED = {
    "u": (1, 0), "v": (0, 1), "Hv": (1, 0), "a": 0, "b": 0, "n": 1, "rho": 2, "k": sp.Rational(1, 5),
    "dn": -sp.Rational(2, 5), "c": sp.Rational(4, 5),
}  # fmt: skip
# H = diag(1, 0), u = (3/5, 4/5).
FLAT = {
    "u": (sp.Rational(3, 5), sp.Rational(4, 5)), "v": (sp.Rational(48, 125), -sp.Rational(36, 125)),
    "Hv": (sp.Rational(48, 125), 0), "a": sp.Rational(9, 25), "b": sp.Rational(2304, 15625), "n": 1, "rho": 1,
    "dn": -sp.Rational(36, 325), "c": -sp.Rational(576, 8125), "k": sp.Rational(17, 26),
}  # fmt: skip

derivations.add(
    Derivation(
        id="gsam/gap-decrease",
        title="On convex quadratics GSAM's extra step truly lowers the gap (B2 iv)",
        claims=("gsam/gap-decrease",),
        given=(*PLANE, CAUCHY),
        steps=CONVEX,
        conclusion="gap falls",
        meets=(
            Meets("slope of the gap", (-n * left - excess).subs(PROJECTED), _gap_slope, CONVEX_POINTS),
            Meets("slope of the perturbed loss", -excess.subs(PROJECTED), _loss_slope, CONVEX_POINTS),
            Meets("||g_perp||^2", (n * left).subs(PROJECTED), _square, CONVEX_POINTS),
        ),
        twins=(
            Twin("a saddle: the gap rises", "gap falls", without=("Cauchy-Schwarz for H",), counterexample=TURNED),
            Twin(
                "twice the slope",
                "gap falls",
                replace(CONVEX[-2], right=-2 * norm2(across)),
                counterexample=FLAT,
            ),
        ),
        remarks=(
            "Any d: g_perp lies in the plane of u and H u. u an eigenvector is included, v = 0 there.",
            "h_1 = f(x + rho u) - f(x) is rho n + rho^2 u'Hu/2 on a quadratic.",
        ),
        covers="both slopes for every d, from the derivatives of n = ||g|| and u = g/n; the sum over steps is "
        "gsam/gap-decrease-total",
        latex_names={"n": r"\|g\|", "dn": "n'", "c": r"\langle u',Hu\rangle", "Hv": "Hv"},
    )
)

# -- refuted --

SADDLE = (
    Given("v'Hv", b, "=", "definition", "H = diag(1, -1) and |x_1| = |x_2|: u'Hu = 0, v = H u and v'Hv = u'Hu"),
    Given("length of v", V - 1, "=", "definition", "||H u|| = ||u||"),
    Given("stored point", rho**2 - sp.Rational(25, 2) * n**2, "=", "definition", "x = (.1, .1), rho = .5"),
)
RISES = (
    *ANY_HESSIAN,
    Step(
        "at such saddles",
        slope,
        "=",
        (rho**2 / n**2 - 1) * norm2(across),
        by=(
            ("slope",),
            (-(rho**2) / n**2, "squared length"),
            (-(rho**2) * left / n, "length of v"),
            (rho**3 * k / n, "v'Hv"),
        ),
        why="the gap rises wherever rho > ||g||",
    ),
    Step(
        "slope at the stored point",
        slope,
        "=",
        sp.Rational(23, 2) * norm2(across),
        by=(("at such saddles",), (-norm2(across) / n**2, "stored point")),
    ),
    Step(
        "slope of the perturbed loss",
        slope_fp,
        "=",
        sp.Rational(25, 2) * norm2(across),
        by=(("slope at the stored point",), (-1, "along g")),
    ),
    Step(
        "g_perp is not 0",
        0,
        "<",
        norm2(across),
        by=(
            (-1, "squared length"),
            (n**2 * rho**2 / P2,),
            (n**2 * rho**2 / P2, "length of v"),
            (-n * (n + rho * a) / P2, "projection"),
        ),
    ),
    Step(
        "gap rises",
        0,
        "<",
        slope,
        by=((-1, "slope at the stored point"), (sp.Rational(23, 2), "g_perp is not 0")),
    ),
    Step(
        "perturbed loss rises",
        0,
        "<",
        slope_fp,
        by=((-1, "slope of the perturbed loss"), (sp.Rational(25, 2), "g_perp is not 0")),
    ),
)
STORED = TURNED | {
    "n": sp.sqrt(2) / 10,
    "rho": half,
    "dn": -sp.Rational(1, 27),
    "c": sp.Rational(25, 27),
    "k": sp.Rational(2, 27),
}
SADDLE_POINTS = [
    _plane({"h1": 1.0, "h2": -1.0, "x1": x, "x2": x, "rho": 5 * x, "alpha": 0.1, "gamma": 0.1})
    for x in (0.1, 0.02, 0.7)
]
stored_square = n**2 * rho**2 / (n**2 + rho**2)

derivations.add(
    Derivation(
        id="gsam/ascent-lowers-true-gap-at-saddles",
        title="At a saddle GSAM's extra step raises the true gap and the perturbed loss: the counterexample",
        claims=("gsam/ascent-lowers-true-gap-at-saddles",),
        given=(*PLANE, *SADDLE),
        steps=RISES,
        conclusion="gap rises",
        meets=(
            Meets("slope of the gap", sp.Rational(23, 2) * stored_square, _gap_slope, SADDLE_POINTS),
            Meets("slope of the perturbed loss", sp.Rational(25, 2) * stored_square, _loss_slope, SADDLE_POINTS),
        ),
        twins=(
            Twin(
                "the refuted statement on the gap",
                "gap rises",
                Step("gap rises", slope, "<=", -norm2(across), by=(("slope at the stored point",),)),
                counterexample=STORED,
            ),
            Twin(
                "the refuted statement on the perturbed loss",
                "perturbed loss rises",
                Step("perturbed loss rises", slope_fp, "<=", 0, by=(("slope of the perturbed loss",),)),
                counterexample=STORED,
            ),
        ),
        covers="the slopes 11.5 and 12.5 times ||g_perp||^2 at the stored saddle, so that the statement is false",
        latex_names={"n": r"\|g\|", "dn": "n'", "c": r"\langle u',Hu\rangle", "Hv": "Hv"},
    )
)

noise2, G, curvature = sp.symbols("c2 G h", positive=True)  # variance, longest gradient, H = h I
weight = sp.Symbol("alpha", positive=True)
P_isotropic = (n + rho * curvature) * u
perp_isotropic = n * u - k * P_isotropic
claimed = weight * noise2 * rho_0**2 * gamma_0 * curvature**2 / G**2
ISOTROPIC = (
    Step(
        "g_perp",
        norm2(perp_isotropic),
        "=",
        0,
        by=((-(k * (n + rho * curvature) - n) / (n + rho * curvature), "projection"),),
        why="p is parallel to g where u is an eigenvector of H, and nothing of g is across p",
    ),
    Step("claimed decrease", 0, "<", claimed, by=((claimed,),)),
    Step(
        "no decrease",
        S + gamma * weight * norm2(perp_isotropic),
        "=",
        0,
        by=((-1, "sum so far"), (gamma * weight, "g_perp")),
    ),
    Step(
        "below what is claimed",
        S + gamma * weight * norm2(perp_isotropic),
        "<",
        claimed,
        by=(("claimed decrease",), ("no decrease",)),
    ),
)


PARALLEL = {
    "u": (1,), "n": 1, "rho": 1, "rho_0": 1, "gamma": 1, "gamma_0": 1, "h": 1, "k": half, "c2": 1, "G": 1, "alpha": 1,
    "S": 0,
}  # fmt: skip


def _isotropic_points() -> list[Mapping[str, float]]:
    """f_i = h ||x||^2/2 +- s (x_1 + x_2) from x = (1, -1): c^2 = 2 s^2, gradients sqrt(2 (h^2 + s^2)) long."""
    found: list[Mapping[str, float]] = []
    for h, s, start, radius, climbing in (
        (2.0, 1.0, 0.2, 0.5, 0.5),
        (0.5, 2.0, 0.1, 0.3, 1.0),
        (1.0, 0.3, 0.9, 2.0, 0.1),
    ):
        longest = float(np.sqrt(2 * (h**2 + s**2)))
        steps = {"gamma": start, "gamma_0": start, "rho": radius, "rho_0": radius, "alpha": climbing}
        found.append(steps | {"h": h, "s": s, "c2": 2 * s**2, "G": longest})
    return found


def _claimed(point: Mapping[str, float]) -> float:
    h, s = point["h"], point["s"]
    problem = f"parabolas:h={h!r}/{h!r}@{h!r}/{h!r},slopes={s!r}/{-s!r}@{s!r}/{-s!r}"
    return float(trial_at(lower_bound, problem, (1.0, -1.0), point, sampling="uniform").stated({})[0])


derivations.add(
    Derivation(
        id="gsam/gap-decrease-lower-bound",
        title="Where the Hessian is isotropic GSAM's extra steps lower the gap by nothing: the counterexample",
        claims=("gsam/gap-decrease-lower-bound",),
        given=(
            Given(
                "projection",
                k * norm2(P_isotropic) - dot(n * u, P_isotropic),
                "=",
                "definition",
                "g_perp = g - k p with k = <g, p>/||p||^2; p = g + rho h u, noise that both gradients share included",
            ),
            Given(
                "sum so far",
                S,
                "=",
                "induction",
                "induction: no earlier step lowered the gap",
                Induction("no decrease", next={S: S + gamma * weight * norm2(perp_isotropic)}, start={S: 0}),
            ),
        ),
        steps=ISOTROPIC,
        conclusion="below what is claimed",
        meets=(Meets("claimed decrease", claimed, _claimed, _isotropic_points()),),
        twins=(
            Twin(
                "the refuted statement",
                "below what is claimed",
                Step("below what is claimed", claimed, "<=", S + gamma * weight * norm2(perp_isotropic)),
                counterexample=PARALLEL,
            ),
        ),
        remarks=("alpha > 0; h > 0. In one dimension every u is an eigenvector, and the same holds.",),
        covers="that the claimed total is positive while every term of the sum vanishes",
        latex_names={"n": r"\|g\|", "c2": "c^2", "gamma_0": r"\gamma_0", "rho_0": r"\rho_0"},
    )
)
