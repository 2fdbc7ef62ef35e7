"""The surrogate gap at a minimum (B1), and how far one ascent step rises anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from theory.claims.gsam_gap import ascent_from_above, ascent_from_below, from_above, from_below
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivations.gsam_lab import diagonal_points, gradients, on_diagonal, trial_at
from theory.inner_product import dot, norm2, vectors

sixth, half = sp.Rational(1, 6), sp.Rational(1, 2)
rho = sp.Symbol("rho", positive=True)
top, M, s, h, h_top = sp.symbols("lambda_1 M s h h_v", nonnegative=True)
curvature = sp.Symbol("e'He", real=True)

BALL = Given("ball", rho - s, ">=", "definition", "s = ||e|| <= rho for the e that attains the maximum h")
GAP = (
    Given(
        "Taylor at e",
        curvature / 2 + M * s**3 / 6 - h,
        ">=",
        "standard",
        "h = f(x* + e) - f(x*), grad f(x*) = 0 and the Hessian M-Lipschitz",
    ),
    Given("Rayleigh", top * s**2 - curvature, ">=", "standard", "e'He <= lambda_1 ||e||^2"),
    BALL,
    Given(
        "Taylor at rho v",
        h_top - (top * rho**2 / 2 - M * rho**3 / 6),
        ">=",
        "standard",
        "h_v = f(x* + rho v) - f(x*) for the top unit eigenvector v, for which v'Hv = lambda_1",
    ),
    Given("maximum", h - h_top, ">=", "definition", "h is the largest rise in the ball, and rho v is in it"),
)
STEPS = (
    Step(
        "rise at e",
        h,
        "<=",
        top * s**2 / 2 + M * s**3 / 6,
        by=(("Taylor at e",), (half, "Rayleigh")),
    ),
    Step(
        "on the sphere",
        top * s**2 / 2 + M * s**3 / 6,
        "<=",
        top * rho**2 / 2 + M * rho**3 / 6,
        by=((top * (rho + s) / 2, "ball"), (M * (rho**2 + rho * s + s**2) / 6, "ball")),
        why="lambda_1 >= 0 at a minimum",
    ),
    Step(
        "from above",
        h,
        "<=",
        top * rho**2 / 2 + M * rho**3 / 6,
        by=(("rise at e",), ("on the sphere",)),
    ),
    Step(
        "from below",
        top * rho**2 / 2 - M * rho**3 / 6,
        "<=",
        h,
        by=(("Taylor at rho v",), ("maximum",)),
    ),
)
BENT_POINTS = [
    {"lambda_1": c, "bend": bend, "M": abs(bend), "rho": radius}
    for c, bend, radius in ((1.0, 0.5, 0.8), (1.0, -0.5, 0.3), (2.0, 1.5, 0.5), (0.7, -0.2, 1.2))
]


def _bent(point: Mapping[str, float]) -> str:
    return f"bent:curvature={point['lambda_1']!r},bend={point['bend']!r},reach=1"


def _above(point: Mapping[str, float]) -> float:
    return float(trial_at(from_above, _bent(point), (0.0,), point).stated({})[0])


def _below(point: Mapping[str, float]) -> float:
    return float(trial_at(from_below, _bent(point), (0.0,), point).stated({})[0])


# x^2/2 + x^3/6 on [-1, 1]: the curvature rises as fast as it may.
BENT = {
    "lambda_1": 1, "M": 1, "rho": 1, "s": 1, "e'He": 1, "h": half + sixth, "h_v": half + sixth,
}  # fmt: skip

derivations.add(
    Derivation(
        id="gsam/surrogate-gap",
        title="At a minimum the surrogate gap is half the largest eigenvalue times rho squared (B1)",
        claims=("gsam/surrogate-gap",),
        given=GAP,
        steps=STEPS,
        conclusion="from above",
        meets=(
            Meets("from above", top * rho**2 / 2 + M * rho**3 / 6, _above, BENT_POINTS),
            Meets("from below", top * rho**2 / 2 - M * rho**3 / 6, _below, BENT_POINTS),
        ),
        twins=(
            Twin(
                "half of the bend",
                "from above",
                replace(STEPS[2], right=top * rho**2 / 2 + M * rho**3 / 12),
                counterexample=BENT,
            ),
            Twin(
                "any eigenvalue for the largest",
                "rise at e",
                without=("Rayleigh",),
                # the eigenvalue 1/10 of a Hessian that has the eigenvalue 1 too
                counterexample=BENT | {"lambda_1": sp.Rational(1, 10)},
            ),
        ),
        remarks=("For a quadratic M = 0, and both ends are the same.",),
        covers="both ends for every d; the band of one ascent step is gsam/ascent-gap",
        latex_names={"lambda_1": r"\lambda_1", "e'He": "e^\\top He"},
    )
)

# -- one ascent step --

n, L = sp.symbols("n L", positive=True)
h_1 = sp.Symbol("h_1", real=True)
(u,) = vectors("u")
first_order = dot(n * u, rho * u)  # <grad f, rho u>

ASCENT = (
    Step(
        "ascent, from above",
        h_1,
        "<=",
        rho * n + L * rho**2 / 2,
        by=(("descent lemma",), (-rho * n - L * rho**2 / 2, "unit")),
    ),
    Step(
        "ascent, from below",
        rho * n - L * rho**2 / 2,
        "<=",
        h_1,
        by=(("descent lemma for -f",), (rho * n - L * rho**2 / 2, "unit")),
    ),
    Step("ascent, convex", rho * n, "<=", h_1, by=(("convexity",), (rho * n, "unit"))),
)
ASCENT_POINTS = [
    point | {"n": float(sum(gradients(point)[0] ** 2) ** 0.5)}
    for point in diagonal_points((1.0, 0.2), (0.7, 3.0), (2.0, 0.5))
]
COSINE_POINTS = [
    {"L": w, "x": x, "rho": radius, "n": abs(w * float(sp.sin(x)))}
    for w, x, radius in ((1.0, 3.0, 0.3), (0.5, 1.0, 0.7), (2.0, -2.0, 0.1))
]


def _ascent_above(point: Mapping[str, float]) -> float:
    return float(on_diagonal(ascent_from_above, point).stated({})[0])


def _ascent_convex(point: Mapping[str, float]) -> float:
    return float(on_diagonal(ascent_from_below, point).stated({})[0])


def _ascent_below(point: Mapping[str, float]) -> float:
    """On a cosine, which is not convex."""
    return float(trial_at(ascent_from_below, f"cosine-sum:w={point['L']!r}", (point["x"],), point).stated({})[0])


# Along an eigenvector of curvature 1, and of curvature -1.
VALLEY = {"n": 1, "rho": 1, "L": 1, "u": (1,), "h_1": 1 + half}
HILL = VALLEY | {"h_1": half}

derivations.add(
    Derivation(
        id="gsam/ascent-gap",
        title="How far one ascent step rises",
        claims=("gsam/surrogate-gap",),
        given=(
            Given("unit", norm2(u) - 1, "=", "definition", "u = g/||g||, g = grad f(x) is not 0; n = ||g||"),
            Given(
                "descent lemma",
                first_order + L / 2 * norm2(rho * u) - h_1,
                ">=",
                "standard",
                "f is L-smooth; h_1 = f(x + rho u) - f(x)",
            ),
            Given(
                "descent lemma for -f",
                h_1 - first_order + L / 2 * norm2(rho * u),
                ">=",
                "standard",
                "-f is L-smooth too",
            ),
            Given("convexity", h_1 - first_order, ">=", "hypothesis", "f is convex; for the last step only"),
        ),
        steps=ASCENT,
        conclusion="ascent, from above",
        meets=(
            Meets("from above", rho * n + L * rho**2 / 2, _ascent_above, ASCENT_POINTS),
            Meets("from below, convex", rho * n, _ascent_convex, ASCENT_POINTS),
            Meets("from below", rho * n - L * rho**2 / 2, _ascent_below, COSINE_POINTS),
        ),
        twins=(
            Twin(
                "no curvature",
                "ascent, from above",
                replace(ASCENT[0], right=rho * n),
                counterexample=VALLEY,
            ),
            Twin("f taken for convex near a maximum", "ascent, convex", without=("convexity",), counterexample=HILL),
        ),
        remarks=("For a quadratic h_1 = rho ||g|| + rho^2 u'Hu/2: 2 h_1/rho^2 does not single out an eigenvalue.",),
        covers="the band at every x with a nonzero gradient, and its lower end for convex f",
        latex_names={"n": r"\|g\|"},
    )
)
