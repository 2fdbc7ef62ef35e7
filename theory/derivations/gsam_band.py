"""How short and how long a SAM gradient can be on a strongly convex function (A2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.gsam_band import from_above, from_below
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivations.gsam_lab import diagonal_points, gradients, on_diagonal
from theory.inner_product import dot, norm2, square, vectors

n, rho, L, mu = sp.symbols("n rho L mu", positive=True)  # n = ||g|| > 0
m = sp.Symbol("m", nonnegative=True)  # ||p||
u, p = vectors("u p")  # g/||g||; grad f(x + rho u)
g = n * u
along = dot(p, u)

UNIT = Given("unit", norm2(u) - 1, "=", "definition", "u = g/||g||, g = grad f(x) is not 0")
LENGTH = Given("length of p", m**2 - norm2(p), "=", "definition", "m = ||p||, p = grad f(x + rho u)")
STRONG = Given(
    "strong convexity",
    dot(p - g, rho * u) - mu * norm2(rho * u),
    ">=",
    "standard",
    "the gradient of a mu-strongly convex f is strongly monotone, between x and x + rho u",
)
SMOOTH = Given("smooth", L**2 * norm2(rho * u) - norm2(p - g), ">=", "hypothesis", "grad f is L-Lipschitz")

BELOW = (
    Step(
        "along u",
        n + mu * rho,
        "<=",
        along,
        by=((1 / rho, "strong convexity"), (mu * rho + n, "unit")),
        why="<p, u> = ||g|| + <p - g, u>, and strong monotonicity along rho u",
    ),
    Step(
        "Cauchy-Schwarz",
        along**2,
        "<=",
        m**2,
        by=((square(p - along * u),), ("length of p",), (-(along**2), "unit")),
    ),
    Step(
        "squares",
        (n + mu * rho) ** 2,
        "<=",
        m**2,
        by=(("Cauchy-Schwarz",), ("along u", "along u"), (2 * (n + mu * rho), "along u")),
        why="both sides of the first step are positive",
    ),
    Step("from below", n + mu * rho, "<=", m, by=((1 / (m + n + mu * rho), "squares"),)),
)
ABOVE = (
    Step(
        "change along u",
        dot(u, p - g),
        "<=",
        L * rho,
        by=(
            (1 / (2 * L * rho), square(L * rho * u - (p - g))),
            (1 / (2 * L * rho), "smooth"),
            (-L * rho, "unit"),
        ),
        why="Cauchy-Schwarz with ||p - g|| <= L rho",
    ),
    Step(
        "squares, from above",
        m**2,
        "<=",
        (n + L * rho) ** 2,
        by=((-1, "length of p"), (2 * n, "change along u"), ("smooth",), (-(n**2) - L**2 * rho**2, "unit")),
        why="||p||^2 = ||g||^2 + 2 <g, p - g> + ||p - g||^2",
    ),
    Step("from above", m, "<=", n + L * rho, by=((1 / (m + n + L * rho), "squares, from above"),)),
)


def _points() -> list[Mapping[str, float]]:
    points = diagonal_points((1.0, 0.2), (0.7, 3.0), (2.0, 1.5), (0.1, 0.1))
    return [point | {"n": float(np.linalg.norm(gradients(point)[0]))} for point in points]


POINTS = _points()


def _below(point: Mapping[str, float]) -> float:
    return float(on_diagonal(from_below, point).stated({})[0])


def _above(point: Mapping[str, float]) -> float:
    return float(on_diagonal(from_above, point).stated({})[0])


# Curvature 1/5 in the direction of the gradient and 1 elsewhere.
FLAT = {"n": 1, "rho": 1, "L": 1, "mu": sp.Rational(1, 5), "m": sp.Rational(6, 5), "u": (1,), "p": (sp.Rational(6, 5),)}

derivations.add(
    Derivation(
        id="gsam/sam-gradient-band",
        title="On a strongly convex function a SAM gradient is never shorter than mu rho (A2)",
        claims=("gsam/sam-gradient-band",),
        given=(UNIT, LENGTH, STRONG, SMOOTH),
        steps=(*ABOVE, *BELOW),
        conclusion="from below",
        meets=(
            Meets("from below", n + mu * rho, _below, POINTS),
            Meets("from above", n + L * rho, _above, POINTS),
        ),
        twins=(
            Twin(
                "L in the place of mu",
                "from below",
                replace(BELOW[-1], left=n + L * rho),
                counterexample=FLAT,
            ),
            Twin(
                "mu in the place of L",
                "from above",
                replace(ABOVE[-1], right=n + mu * rho),
                # along the steepest eigenvector
                counterexample=FLAT | {"m": 2, "p": (2,)},
            ),
            Twin(
                "a function that is only smooth",
                "along u",
                without=("strong convexity",),
                counterexample=FLAT | {"m": 0, "p": (0,)},
            ),
        ),
        remarks=(
            "g = 0 is outside the claim; rho = 0 makes both sides equal ||g||. The upper end needs no convexity, and "
            "follows here without dividing by ||p||, which may be 0 without it.",
        ),
        covers="both ends of the band, for every d; that they are attained is measured by the claim's families",
        latex_names={"n": r"\|g\|", "m": r"\|g_p\|", "p": "g_p"},
    )
)
