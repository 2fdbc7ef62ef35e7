"""The ascent path of multi-step SAM on quadratics: closed form, share of the maximum, curvature, gain (A1 to A4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Induction, Lemma, Meets, Step, Twin, derivations
from theory.inner_max import quadratic_on_ball
from theory.inner_product import dot, norm2, square, vectors
from theory.multistep import budget_path, gains, unit
from theory.trial import Values

rho = sp.Symbol("rho", positive=True)
t = sp.Symbol("t", positive=True)  # rho/n, the length of one ascent step
n = sp.Symbol("n", positive=True)
half = sp.Rational(1, 2)

# -- A1 --

x_i, star, z_i, g_i, next_i, gnext_i, v_i = sp.symbols("x_i x_star z_i g_i z_next g_next v_i", real=True)
h_i, eigen = sp.symbols("lambda_i lambda", real=True)
size = sp.Symbol("N", positive=True)  # ||g_j||
size_next = sp.Symbol("N_next", nonnegative=True)
j = sp.Symbol("j", nonnegative=True)

FORM = (
    Given("gradient", g_i - h_i * (z_i - star), "=", "definition", "one coordinate of g_j in the eigenbasis of H"),
    Given("next gradient", gnext_i - h_i * (next_i - star), "=", "definition", "the same of g_{j+1}"),
    Given("ascent", size * (next_i - z_i) - t * g_i, "=", "definition", "z_{j+1} = z_j + (rho/n) g_j/||g_j||"),
    Given("eigenvector", g_i - size * v_i, "=", "hypothesis", "g_j = N v, v a unit eigenvector: for `straight` alone"),
    Given("its eigenvalue", (h_i - eigen) * v_i, "=", "hypothesis", "H v = lambda v, by coordinates"),
    Given("positive eigenvalue", eigen, ">=", "hypothesis", "lambda >= 0: the gradient does not turn round"),
    Given("next length", size_next**2 - (size + t * eigen) ** 2, "=", "definition", "||g_{j+1}|| as ||v|| = 1"),
    Given("radius", n * t - rho, "=", "definition", "n steps of length rho/n"),
)

FORM_STEPS = (
    Step(
        "closed form",
        size * gnext_i,
        "=",
        (size + t * h_i) * g_i,
        by=((-size, "next gradient"), (size, "gradient"), (-h_i, "ascent")),
        why="g_{j+1} = (I + (rho/n)/||g_j|| H) g_j: n of them make the product",
    ),
    Step(
        "straight",
        next_i,
        "=",
        z_i + t * v_i,
        by=((-1 / size, "ascent"), (-t / size, "eigenvector")),
        why="the path moves along v",
    ),
    Step(
        "still an eigenvector",
        gnext_i,
        "=",
        (size + t * eigen) * v_i,
        by=((1 / size, "closed form"), (-(size + t * h_i) / size, "eigenvector"), (-t, "its eigenvalue")),
    ),
    Step(
        "not turned round",
        0,
        "<",
        size + t * eigen,
        by=((size,), (t, "positive eigenvalue")),
        why="the direction v stays that of the gradient",
    ),
    Step("both lengths", 0, "<", size_next + size + t * eigen, by=((size_next,), ("not turned round",))),
    Step(
        "length",
        size_next,
        "=",
        size + t * eigen,
        by=((-1 / (size_next + size + t * eigen), "next length"),),
        why="both are nonnegative, as lambda >= 0",
    ),
    Step(
        "the same end",
        z_i + n * t * v_i,
        "=",
        z_i + rho * v_i,
        by=((-v_i, "radius"),),
        why="n steps of rho/n end where one of rho does, for every n",
    ),
)


def _end(h: Values, g: Values, rho: float, n: int) -> Values:
    """g_n of the fixed-budget rule by the code."""
    return np.asarray(budget_path(g[None, :], np.diag(h), rho, n)[-1, 0])


def _form_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(0)
    found: list[Mapping[str, float]] = []
    for _ in range(4):
        h, g, t = rng.uniform(-1, 2, 3), rng.standard_normal(3), rng.uniform(0.1, 3)
        numbers = {f"h{k}": h[k] for k in range(3)} | {f"g{k}": g[k] for k in range(3)}
        found.append({**numbers, "N": float(np.linalg.norm(g)), "t": t, "lambda_i": h[0], "g_i": g[0]})
    return found


def _one_ascent(point: Mapping[str, float]) -> float:
    h, g = (np.array([point[f"{name}{k}"] for k in range(3)]) for name in "hg")
    return float(_end(h, g, point["t"], 1)[0])


def _from_eigenvector(point: Mapping[str, float]) -> float:
    """||g_5|| from an eigenvector, five steps of t."""
    return float(np.linalg.norm(_end(np.array([point["lambda"], 0.3]), np.array([point["N"], 0.0]), 5 * point["t"], 5)))


EIGEN_POINTS = [
    {"lambda": 0.5, "N": 0.7, "t": 0.3},
    {"lambda": 2.0, "N": 0.1, "t": 1.0},
    {"lambda": 0.0, "N": 1.0, "t": 2.0},
]

derivations.add(
    Derivation(
        id="multistep/quadratic-form",
        title="Closed form of the ascent path on a quadratic (A1)",
        claims=("multistep/quadratic-form",),
        given=FORM,
        steps=FORM_STEPS,
        conclusion="closed form",
        meets=(
            Meets("one ascent step", (1 + t * h_i / size) * g_i, _one_ascent, _form_points()),
            Meets("five steps from an eigenvector", size + 5 * t * eigen, _from_eigenvector, EIGEN_POINTS),
        ),
        twins=(
            Twin(
                "the same end from an eigenvector of any eigenvalue",
                "not turned round",
                without=("positive eigenvalue",),
                # f = -x^2/2 at x = 1/10: half of the radius 1 leads beyond the maximum, and the gradient turns round
                counterexample={
                    "lambda": -1, "lambda_i": -1, "x_star": 0, "z_i": sp.Rational(1, 10), "g_i": -sp.Rational(1, 10),
                    "N": sp.Rational(1, 10), "v_i": -1, "t": half, "n": 2, "rho": 1, "z_next": -sp.Rational(2, 5),
                    "g_next": sp.Rational(2, 5), "N_next": sp.Rational(2, 5),
                },
            ),
            Twin(
                "the whole radius in every factor",
                "closed form",
                replace(FORM_STEPS[0], right=(size + rho * h_i) * g_i),
                counterexample={
                    "lambda": 1, "lambda_i": 1, "x_star": 0, "z_i": 2, "g_i": 2, "N": 2, "v_i": 1, "t": 1, "n": 2,
                    "rho": 2, "z_next": 3, "g_next": 3, "N_next": 3,
                },
            ),
        ),
        remarks=(
            "For lambda < 0 the end is the same as long as rho |lambda| < ||g||; beyond, several steps turn round and "
            "one does not.",
            "Where some g_j = 0 the path ends; then every later factor acts on 0.",
        ),
        covers="the factor of each ascent step in each coordinate, hence the product, for any symmetric H; the same "
        "end for every n from an eigenvector, for eigenvalues lambda >= 0",
        latex_names={"x_star": "x^*_i", "z_next": "z_{j+1}", "g_next": "g_{j+1}", "N_next": "N_{j+1}", "v_i": "v_i"},
    )
)  # fmt: skip


# -- A2: what one step attains --

L, G, best = sp.symbols("L G M", positive=True)
R = sp.Symbol("R", nonnegative=True)
u, e, He = vectors("u e He")

SHARE = (
    Given("unit", norm2(u) - 1, "=", "definition", "g = G u with ||u|| = 1"),
    Given("ball", rho**2 - norm2(e), ">=", "definition", "e is where the maximum over the ball is attained"),
    Given("maximum", G * dot(u, e) + half * dot(e, He) - best, "=", "definition", "M = f(x + e) - f(x) = g'e + e'He/2"),
    Given("largest curvature", L * norm2(e) - dot(e, He), ">=", "standard", "e'He <= L ||e||^2"),
)
once = rho * G + half * rho**2 * R  # f(x + rho g/||g||) - f(x)
most = rho * G + half * rho**2 * L

SHARE_STEPS = (
    Step(
        "slope",
        dot(u, e),
        "<=",
        rho,
        by=((1 / (2 * rho), square(rho * u - e)), (1 / (2 * rho), "ball"), (-rho / 2, "unit")),
        why="Cauchy-Schwarz",
    ),
    Step(
        "maximum from above",
        best,
        "<=",
        most,
        by=((G, "slope"), (half, "largest curvature"), (half * L, "ball"), ("maximum",)),
    ),
    Step(
        "lost share",
        1 - once / best,
        "<=",
        half * rho * (L - R) / (G + half * rho * L),
        by=((once / (best * most), "maximum from above"),),
        why="1 - Q_1 with Q_1 = (rho G + rho^2 R/2)/M",
    ),
)


def _quadratic(point: Mapping[str, float]) -> tuple[Values, Values]:
    """g in the plane and H = diag(L, l)."""
    return np.array([point["g1"], point["g2"]]), np.diag([point["L"], point["l"]])


def _plane_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(1)
    found: list[Mapping[str, float]] = []
    for _ in range(4):
        L, low, t = rng.uniform(1, 3), rng.uniform(0, 0.9), rng.uniform(0.05, 2)
        g = rng.standard_normal(2)
        G2 = float(g @ g)
        R = (L * g[0] ** 2 + low * g[1] ** 2) / G2
        q = np.array([L - R, low - R]) * g  # H g - R g
        found.append(
            {
                "L": L, "l": low, "g1": g[0], "g2": g[1], "G": G2**0.5, "R": R, "rho": t, "t": t, "s": t / G2**0.5,
                "q2": float(q @ q), "qHq": L * q[0] ** 2 + low * q[1] ** 2,
            }
        )  # fmt: skip
    return found


PLANE = _plane_points()


def _gain_of_one(point: Mapping[str, float]) -> float:
    g, H = _quadratic(point)
    return float(gains(g[None, :], H, point["rho"] * unit(g[None, :]))[0])


def _along_the_top(point: Mapping[str, float]) -> float:
    """The inner maximum where g is the top eigenvector: an equality of `maximum from above`."""
    _, H = _quadratic(point)
    return quadratic_on_ball(np.array([point["G"], 0.0]), H, point["rho"]).value


derivations.add(
    Derivation(
        id="multistep/inner-max-share",
        title="How much of the inner maximum one ascent step attains (A2)",
        claims=("multistep/inner-max-share",),
        given=SHARE,
        steps=SHARE_STEPS,
        conclusion="lost share",
        meets=(
            Meets("gain of one step", once, _gain_of_one, PLANE),
            Meets("largest gain", most, _along_the_top, PLANE),
        ),
        twins=(
            Twin(
                "half of the bound",
                "lost share",
                replace(SHARE_STEPS[2], right=half * half * rho * (L - R) / (G + half * rho * L)),
                # g a null vector of H, nearly: M = 3/2 along the top, one step gains 1
                counterexample={
                    "rho": 10, "L": 1, "G": sp.Rational(1, 100), "R": 0, "M": 50, "u": (0, 1), "e": (10, 0),
                    "He": (10, 0),
                },
            ),
            Twin("a point outside the ball", "slope", without=("ball",)),
        ),
        remarks=("g is not 0 (G > 0), and M > 0 with it; rho > 0. Equality where g is a top eigenvector.",),
        covers="the bound for every dimension and every maximiser over the ball",
        latex_names={"M": "M", "He": "He"},
    )
)  # fmt: skip

# -- A3: curvature and length along the path --

g, q, Hq = vectors("g q Hq")
R0 = sp.Symbol("R_0", nonnegative=True)
G0 = sp.Symbol("G_0", positive=True)
s = sp.Symbol("s", nonnegative=True)  # (rho/n)/||g_j||
R_next = sp.Symbol("R_next", real=True)
next_size = sp.Symbol("G_next", positive=True)
next_g = (1 + s * R) * g + s * q  # g + s H g, H g = R g + q
next_Hg = (1 + s * R) * (R * g + q) + s * Hq

PATH = (
    Given("Rayleigh", dot(g, q), "=", "definition", "q = H g - R g is across g: R = g'Hg/||g||^2"),
    Given("symmetric", dot(g, Hq) - norm2(q), "=", "standard", "<g, H q> = <H g, q> = <R g + q, q>"),
    Given("semidefinite", dot(q, Hq), ">=", "hypothesis", "H is positive semidefinite (so R >= 0, too)"),
    Given("length", G**2 - norm2(g), "=", "definition", "G = ||g_j|| > 0"),
    Given("next length", next_size**2 - norm2(next_g), "=", "definition", "G_next = ||g_{j+1}||"),
    Given("next curvature", R_next * next_size**2 - dot(next_g, next_Hg), "=", "definition", "R_next = R(g_{j+1})"),
    Given("step", s * G - t, "=", "definition", "s = (rho/n)/||g_j||"),
    Given(
        "largest eigenvalue",
        (1 + s * L) ** 2 * norm2(g) - norm2(next_g),
        ">=",
        "standard",
        "||(I + s H) g|| <= (1 + s L) ||g||",
    ),
    Given(
        "below at j",
        G - (G0 + j * t * R0),
        ">=",
        "induction",
        "induction over j: an equality at j = 0",
        Induction("below at j + 1", next={G: next_size, j: j + 1}, start={G: G0, j: 0}),
    ),
    Given(
        "above at j",
        G0 + j * t * L - G,
        ">=",
        "induction",
        "induction over j: an equality at j = 0",
        Induction("above at j + 1", next={G: next_size, j: j + 1}, start={G: G0, j: 0}),
    ),
    Given(
        "curvature at j",
        R - R0,
        ">=",
        "induction",
        "induction over j: R(g_j) >= R(g_0), an equality at j = 0",
        Induction("curvature at j + 1", next={R: R_next}, start={R: R0}),
    ),
)
PATH_STEPS = (
    Step(
        "weighted",
        R * norm2(next_g),
        "<=",
        dot(next_g, next_Hg),
        by=(
            (s * (2 + s * R), square(q)),
            (s**2, "semidefinite"),
            ((1 + s * R) * s, "symmetric"),
            (1 + s * R, "Rayleigh"),
        ),
        why="Chebyshev's sum inequality: I + s H favours the larger eigenvalues",
    ),
    Step(
        "curvature rises",
        R,
        "<=",
        R_next,
        by=(
            (1 / next_size**2, "weighted"),
            (-R / next_size**2, "next length"),
            (1 / next_size**2, "next curvature"),
        ),
    ),
    Step(
        "length from below, squared",
        (G + t * R) ** 2,
        "<=",
        next_size**2,
        by=(
            (s**2, square(q)),
            ("next length",),
            (2 * s * (1 + s * R), "Rayleigh"),
            (-((1 + s * R) ** 2), "length"),
            (R * (2 * G + R * (s * G + t)), "step"),
        ),
        why="g_{j+1} projected on g_j has length (1 + s R) G",
    ),
    Step(
        "length from below",
        G + t * R,
        "<=",
        next_size,
        by=((1 / (next_size + G + t * R), "length from below, squared"),),
    ),
    Step(
        "length from above, squared",
        next_size**2,
        "<=",
        (G + t * L) ** 2,
        by=(
            ("largest eigenvalue",),
            (-1, "next length"),
            ((1 + s * L) ** 2, "length"),
            (-L * (2 * G + L * (s * G + t)), "step"),
        ),
    ),
    Step(
        "length from above",
        next_size,
        "<=",
        G + t * L,
        by=((1 / (next_size + G + t * L), "length from above, squared"),),
    ),
    Step(
        "below at j + 1",
        G0 + (j + 1) * t * R0,
        "<=",
        next_size,
        by=(("length from below",), ("below at j",), (t, "curvature at j")),
    ),
    Step(
        "above at j + 1",
        next_size,
        "<=",
        G0 + (j + 1) * t * L,
        by=(("length from above",), ("above at j",)),
    ),
    Step("still nonnegative", 0, "<=", R_next, by=(("curvature rises",), (R,))),
    Step("curvature at j + 1", R0, "<=", R_next, by=(("curvature rises",), ("curvature at j",))),
)

q2, qHq = sp.symbols("q2 qHq", nonnegative=True)  # ||q||^2 and q'Hq as numbers
size2 = (1 + s * R) ** 2 * G**2 + s**2 * q2
rise = s * (2 + s * R) * q2 + s**2 * qHq


def _next(point: Mapping[str, float]) -> Values:
    g, H = _quadratic(point)
    return np.asarray(budget_path(g[None, :], H, point["t"], 1)[1, 0])


def _next_length(point: Mapping[str, float]) -> float:
    return float(np.linalg.norm(_next(point)))


def _next_curvature(point: Mapping[str, float]) -> float:
    after = unit(_next(point))
    return float(after @ _quadratic(point)[1] @ after)


def _far_along_the_top(point: Mapping[str, float]) -> float:
    """||g_4|| where g is the top eigenvector: both envelopes are equalities."""
    _, H = _quadratic(point)
    return float(np.linalg.norm(budget_path(np.array([[point["G"], 0.0]]), H, 4 * point["t"], 4)[-1, 0]))


# H = diag(1, 0), g = (1, 1), t = sqrt 2: s = 1, g_1 = (2, 1).
ONE_ON: Mapping[str, sp.Expr | int | tuple[sp.Expr | int, ...]] = {
    "L": 1, "G": sp.sqrt(2), "G_next": sp.sqrt(5), "t": sp.sqrt(2), "s": 1, "R": half, "R_next": sp.Rational(4, 5),
    "R_0": half, "G_0": sp.sqrt(2), "j": 0, "g": (1, 1), "q": (half, -half), "Hq": (half, 0),
}  # fmt: skip

derivations.add(
    Derivation(
        id="multistep/curvature-monotone",
        title="Curvature and length of the gradient rise along the ascent path (A3)",
        claims=("multistep/curvature-monotone",),
        given=PATH,
        steps=PATH_STEPS,
        conclusion="curvature rises",
        meets=(
            Meets("||g_1||", sp.sqrt(size2), _next_length, PLANE),
            Meets("R(g_1)", R + rise / size2, _next_curvature, PLANE),
            Meets("envelopes at j = 4", G + 4 * t * L, _far_along_the_top, PLANE),
        ),
        twins=(
            Twin(
                "any symmetric H",
                "weighted",
                without=("semidefinite",),
                # H = diag(1, -3) and g = (3, 1): R = 3/5; a step of s = 4 beyond where the second coordinate vanishes
                counterexample={
                    "L": 3, "G": sp.sqrt(10), "G_next": sp.sqrt(346), "t": 4 * sp.sqrt(10), "s": 4,
                    "R": sp.Rational(3, 5), "R_next": -sp.Rational(138, 346), "R_0": sp.Rational(3, 5),
                    "G_0": sp.sqrt(10), "j": 0, "g": (3, 1), "q": (sp.Rational(6, 5), -sp.Rational(18, 5)),
                    "Hq": (sp.Rational(6, 5), sp.Rational(54, 5)),
                },
            ),
            Twin(
                "a curvature that stays",
                "curvature rises",
                replace(PATH_STEPS[1], left=R_next, right=R),
                counterexample=ONE_ON,
            ),
            Twin(
                "the upper envelope with the curvature of the start",
                "above at j + 1",
                replace(PATH_STEPS[7], right=G0 + (j + 1) * t * R0),
                counterexample=ONE_ON,
            ),
        ),
        remarks=(
            "Where g_j = 0 the path ends. For indefinite H the weights (1 + s lambda)^2 need not increase with lambda; "
            "they do as long as s |lambda| <= 1 for the negative eigenvalues.",
        ),
        covers="one step of the path for every dimension, the induction over j, and both envelopes of ||g_j||",
        latex_names={"q": "q", "Hq": "Hq", "R_next": "R(g_{j+1})", "R": "R(g_j)", "G": r"\|g_j\|", "R_0": "R(g)",
                     "G_next": r"\|g_{j+1}\|", "G_0": r"\|g\|"},
    )
)  # fmt: skip

# -- A4: several steps gain no less --

Hg = vectors("Hg")[0]
before, after = sp.symbols("f_j f_next", real=True)  # f(z_j) - f(x) and f(z_{j+1}) - f(x)


def gained(steps: sp.Expr) -> sp.Expr:
    """The lower bound of f(z_j) - f(x): what one step of length j t gains."""
    return steps * t * G0 + half * (steps * t) ** 2 * R0


def _monotone(name: str) -> Lemma:
    return Lemma("multistep/curvature-monotone", name, at={}, granted={"semidefinite": "H is so here too"})


GAIN = (
    Given("length", G**2 - norm2(g), "=", "definition", "G = ||g_j||"),
    Given("Rayleigh", dot(g, Hg) - R * norm2(g), "=", "definition", "R = R(g_j)"),
    Given("step", s * G - t, "=", "definition", "s = (rho/n)/||g_j||"),
    Given(
        "quadratic",
        after - before - s * norm2(g) - half * s**2 * dot(g, Hg),
        "=",
        "definition",
        "f(z + e) - f(z) = g'e + e'He/2 with e = s g_j",
    ),
    Given("envelope", G - (G0 + j * t * R0), ">=", "lemma", "its `below at j`", lemma=_monotone("below at j")),
    Given("curvature", R - R0, ">=", "lemma", "its `curvature at j`", lemma=_monotone("curvature at j")),
    Given(
        "gained at j",
        before - gained(j),
        ">=",
        "induction",
        "induction over j: at j = 0 both are 0",
        Induction("gained at j + 1", next={before: after, j: j + 1}, start={before: 0, j: 0}),
    ),
    Given("radius", n * t - rho, "=", "definition", "n steps of length rho/n"),
)
GAIN_STEPS = (
    Step(
        "gain of one ascent step",
        after - before,
        "=",
        t * G + half * t**2 * R,
        by=(
            (-1, "quadratic"),
            (s, "length"),
            (-half * s**2, "Rayleigh"),
            (half * s**2 * R, "length"),
            (-G - half * R * (s * G + t), "step"),
        ),
    ),
    Step(
        "gained at j + 1",
        gained(j + 1),
        "<=",
        after,
        by=(
            ("gained at j",),
            (t, "envelope"),
            (half * t**2, "curvature"),
            (-1, "gain of one ascent step"),
        ),
        why="(j + 1)^2 - j^2 = 2 j + 1",
    ),
    Step(
        "all steps",
        gained(n),
        "=",
        rho * G0 + half * rho**2 * R0,
        by=((-G0 - half * R0 * (n * t + rho), "radius"),),
        why="the bound after n steps is what one step of length rho gains",
    ),
)

derivations.add(
    Derivation(
        id="multistep/never-lose",
        title="Several ascent steps of one budget gain at least what one gains (A4)",
        claims=("multistep/never-lose",),
        given=GAIN,
        steps=GAIN_STEPS,
        conclusion="all steps",
        meets=(Meets("gain of one step", rho * G + half * rho**2 * R, _gain_of_one, PLANE),),
        twins=(
            Twin(
                "two percent more than one step",
                "gained at j + 1",
                replace(GAIN_STEPS[1], left=sp.Rational(51, 50) * gained(j + 1)),
                # an eigenvector: the same as one step
                counterexample={
                    "G": 1, "R": 1, "s": 1, "t": 1, "G_0": 1, "R_0": 1, "j": 0, "n": 1, "rho": 1, "f_j": 0,
                    "f_next": sp.Rational(3, 2), "g": (1,), "Hg": (1,),
                },
            ),
            Twin("a curvature that may fall", "gained at j + 1", without=("curvature",)),
        ),
        remarks=(
            "n = 1 and eigenvectors: equality. If some g_j = 0, H semidefinite makes g = 0, and nothing moves.",
        ),
        covers="the induction over the steps of the path, for every dimension; the envelope and the rising curvature "
        "are those of multistep/curvature-monotone",
        latex_names={"f_j": "f(z_j)-f(x)", "f_next": "f(z_{j+1})-f(x)", "R": "R(g_j)", "G": r"\|g_j\|", "R_0": "R(g)",
                     "G_0": r"\|g\|", "Hg": "Hg_j", "g": "g_j"},
    )
)  # fmt: skip
