"""GSAM's extra direction: what it does to first order (B2 i, ii), and how long it can be (B2 iii)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from theory.claims.gsam_direction import descent, perpendicular, stop_gradient
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivations.gsam_lab import diagonal_points, gradients, on_diagonal
from theory.inner_product import dot, norm2, square, vectors

gamma, rho, L_S = sp.symbols("gamma rho L_S", positive=True)
alpha, k = sp.symbols("alpha k", real=True)  # k = <g, p>/||p||^2
length = sp.Symbol("s", nonnegative=True)  # ||g_perp||
g, p = vectors("g p")  # grad f_v(x); grad f_v(x + rho u)

perp = g - k * p
PROJECTION = Given(
    "projection",
    k * norm2(p) - dot(g, p),
    "=",
    "definition",
    "g_perp = g - k p with k = <g, p>/||p||^2; any k where p = 0",
)
ACROSS = Step("across", dot(p, perp), "=", 0, by=(("projection",),), why="g_perp is perpendicular to p")
SMOOTH = Given(
    "smooth sample",
    L_S**2 * rho**2 - norm2(p - g),
    ">=",
    "hypothesis",
    "grad f_v is L_S-Lipschitz and the perturbation at most rho long",
)
SQUARED = Step(
    "squared length",
    norm2(perp),
    "<=",
    L_S**2 * rho**2,
    by=(("smooth sample",), (square(p - g + perp),), (2 - 2 * k, "across")),
    why="the projection takes p out of g, so that g_perp is the part of g - p across p",
)
DIRECTION = (
    ACROSS,
    Step(
        "descent",
        dot(p, p - alpha * perp),
        "=",
        norm2(p),
        by=((-alpha, "across"),),
        why="alpha costs the perturbed loss nothing to first order",
    ),
    Step(
        "stop-gradient",
        dot(p - g, gamma * alpha * perp),
        "=",
        -gamma * alpha * norm2(perp),
        by=((gamma * alpha * (1 - k), "across"),),
        why="the extra step + gamma alpha g_perp against p - g, the gradient of the gap with both held fixed",
    ),
)


def _points() -> list[Mapping[str, float]]:
    """With the inner products of g and p, and their k."""
    found: list[Mapping[str, float]] = []
    for point in diagonal_points((1.0, 0.2), (0.7, 3.0), (1.0, -1.0), (-0.5, 2.0)):
        a, b = gradients(point)
        products = {"|g|^2": float(a @ a), "<g,p>": float(a @ b), "|p|^2": float(b @ b)}
        found.append(point | products | {"k": float(a @ b / (b @ b)), "L_S": point["L"]})
    return found


POINTS = _points()


def _descent(point: Mapping[str, float]) -> float:
    return float(on_diagonal(descent, point).measured[0])


def _stop_gradient(point: Mapping[str, float]) -> float:
    return float(on_diagonal(stop_gradient, point).measured[0])


def _length(point: Mapping[str, float]) -> float:
    return float(on_diagonal(perpendicular, point).measured[0])


def _most(point: Mapping[str, float]) -> float:
    return float(on_diagonal(perpendicular, point).stated({})[0])


# p perpendicular to p - g: g_perp = g - p is as long as it can be.
RIGHT = {"g": (2, -1), "p": (2, 0), "k": 1, "L_S": 1, "rho": 1, "s": 1, "gamma": 1, "alpha": 1}

derivations.add(
    Derivation(
        id="gsam/descent-direction",
        title="GSAM's extra direction, to first order (B2)",
        claims=("gsam/descent-direction",),
        given=(PROJECTION,),
        steps=DIRECTION,
        conclusion="stop-gradient",
        meets=(
            Meets("<p, x - x+> of one step", gamma * dot(p, p - alpha * perp), _descent, POINTS),
            Meets("-<p - g, extra step>", gamma * alpha * norm2(perp), _stop_gradient, POINTS),
        ),
        twins=(
            Twin(
                "alpha with the other sign",
                "stop-gradient",
                replace(DIRECTION[2], right=gamma * alpha * norm2(perp)),
                counterexample=RIGHT,
            ),
            Twin(
                "a projection off g",
                "across",
                without=("projection",),
                # k = 0, that is g_perp = g
                counterexample=RIGHT | {"k": 0},
            ),
        ),
        remarks=("p = 0 is included: every k then gives g_perp = g, and both sides of the first identity are 0.",),
        covers="both identities, for every d and every draw; the gradient of the gap is meant with p and g held fixed",
        latex_names={"p": "g_p"},
    )
)

derivations.add(
    Derivation(
        id="gsam/perpendicular-length",
        title="What of a gradient is perpendicular to SAM's is at most L rho long (B2)",
        claims=("gsam/perpendicular-length",),
        given=(
            PROJECTION,
            SMOOTH,
            Given("length", length**2 - norm2(perp), "=", "definition", "s = ||g_perp||"),
        ),
        steps=(
            ACROSS,
            SQUARED,
            Step("squares", length**2, "<=", L_S**2 * rho**2, by=(("squared length",), (-1, "length"))),
            Step("length of g_perp", length, "<=", L_S * rho, by=((1 / (L_S * rho + length), "squares"),)),
        ),
        conclusion="length of g_perp",
        meets=(
            Meets("L rho", L_S * rho, _most, POINTS),
            Meets("||g_perp||", sp.sqrt(norm2(perp)), _length, POINTS),
        ),
        twins=(
            Twin(
                "half of the length",
                "length of g_perp",
                Step("length of g_perp", length, "<=", L_S * rho / 2, by=((1 / (L_S * rho + length), "squares"),)),
                counterexample=RIGHT,
            ),
            Twin(
                "not projected: g itself",
                "across",
                without=("projection",),
                counterexample=RIGHT | {"k": 0, "s": sp.sqrt(5)},
            ),
        ),
        remarks=("p = 0 is included: then g_perp = g, and ||g|| = ||g - p|| <= L rho.",),
        covers="the bound for every draw; that it is attained is measured on the claim's saddle",
        latex_names={"p": "g_p", "s": r"\|g_\perp\|"},
    )
)
