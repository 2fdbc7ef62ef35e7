"""One-step factors of deviations from the 2-cycles of Unified SAM on a quadratic, and which cycles attract (A3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Limit, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.dynamics import multipliers, radii

gamma, rho, lam, r = sp.symbols("gamma rho lam r", positive=True)
h_i, h_j = sp.symbols("h_i h_j", positive=True)  # along the cycle; across it
x = sp.Symbol("x", positive=True)  # the coordinate along e_i, on the side of the cycle
y = sp.Symbol("y", real=True)  # the deviation along e_j

q_i = gamma * h_i * (1 + rho * (1 - lam) * h_i)
q_j = gamma * h_j * (1 + rho * (1 - lam) * h_j)
norm = sp.sqrt(h_i**2 * x**2 + h_j**2 * y**2)
along = (1 - q_i) * x - gamma * rho * lam * h_i**2 * x / norm
across = (1 - q_j) * y - gamma * rho * lam * h_j**2 * y / norm
slope = 1 - q_j - gamma * rho * lam * h_j**2 / (h_i * x)  # of `across` in y at y = 0
mu_j = 1 - q_j - (2 - q_i) * h_j**2 / h_i**2
room = 2 * h_i + h_j * (2 - gamma * h_i)

GIVEN = (
    Given("radius", (2 - q_i) * r - gamma * rho * lam * h_i, "=", "definition", "r = r_i; q_i < 2, so that r > 0"),
    Given("mixing", 1 - lam, ">=", "hypothesis", "lam <= 1"),
)
ACROSS = Step(
    "factor across",
    slope.subs(x, r),
    "=",
    mu_j,
    by=((-(h_j**2) / (h_i**2 * r), "radius"),),
    why="gamma rho lam/(h_i r) = (2 - q_i)/h_i^2 on the cycle",
)
LOWER = Step(
    "factor against -1",
    mu_j + 1,
    "=",
    (h_i - h_j) * room / h_i**2,
    why="so it is positive, zero or negative as h_i - h_j is",
)
STABLE = Step(
    "the larger curvature repels",
    0,
    "<=",
    (mu_j + 1) * (h_i - h_j),
    by=(("room", (h_i - h_j) ** 2, 1 / h_i**2),),
    why="with `below 1`: |mu_j| < 1 if and only if h_j < h_i",
)
STEPS = (
    Step(
        "turns back",
        along.subs(y, 0).subs(x, r),
        "=",
        -r,
        by=((-1, "radius"),),
        why="r e_i goes to -r e_i and back: a 2-cycle",
    ),
    Step("factor along", sp.diff(along.subs(y, 0), x), "=", 1 - q_i, why="on the axis a step is affine"),
    Limit("derivative across", (across - across.subs(y, 0)) / y, y, 0, slope, why="||g|| changes in second order only"),
    Limit("nothing mixed in", (along - along.subs(y, 0)) / y, y, 0, 0, why="||g|| changes in second order only"),
    ACROSS,
    Step(
        "q_i below 2",
        0,
        "<",
        2 - q_i,
        by=((gamma * rho * lam * h_i / r,), (1 / r, "radius")),
    ),
    Step(
        "room",
        0,
        "<",
        room,
        by=((2 * h_i,), (h_j, "q_i below 2"), (gamma * rho * h_i**2 * h_j, "mixing")),
    ),
    Step("along, below 1", 1 - q_i, "<", 1, by=((gamma * h_i,), (gamma * rho * h_i**2, "mixing"))),
    Step("along, above -1", -1, "<", 1 - q_i, by=(("q_i below 2",),)),
    Step(
        "below 1",
        mu_j,
        "<",
        1,
        by=((gamma * h_j,), (gamma * rho * h_j**2, "mixing"), ("q_i below 2", h_j**2 / h_i**2)),
    ),
    LOWER,
    STABLE,
)

NAMES = ("gamma", "rho", "lam", "h_i", "h_j")


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(2)
    found: list[Mapping[str, float]] = []
    for _ in range(6):
        drawn = (rng.uniform(0.1, 1.2), rng.uniform(0.01, 0.5), rng.uniform(0.2, 1), *rng.uniform(0.2, 1, 2))
        point = {name: float(value) for name, value in zip(NAMES, drawn, strict=True)}
        g, p, k, s, _ = drawn
        found.append(point | {"r": g * p * k * s / (2 - g * s * (1 + p * (1 - k) * s))})
    return found


POINTS = _points()


def _mu(point: Mapping[str, float], which: int) -> float:
    """The code's factors at the cycle on h_i: along it (0), across it (1)."""
    h = np.array([point["h_i"], point["h_j"]])
    return float(multipliers(facts_at(point, spectrum=tuple(h)), h, 0)[which])


def _radius(point: Mapping[str, float]) -> float:
    return float(radii(facts_at(point), np.array([point["h_i"]]))[0])


def _across(point: Mapping[str, float]) -> float:
    return _mu(point, 1)


def _along(point: Mapping[str, float]) -> float:
    return _mu(point, 0)


EXAMPLE = {"gamma": sp.Rational(1, 2), "rho": 3, "lam": 1, "h_i": 1, "r": 1}

derivations.add(
    Derivation(
        id="dynamics/multipliers",
        title="One-step factors at the 2-cycles of SAM on a quadratic, and which of them attract (A3)",
        claims=("dynamics/multipliers",),
        given=GIVEN,
        steps=STEPS,
        conclusion="the larger curvature repels",
        meets=(
            Meets("mu_j", mu_j, _across, POINTS),
            Meets("mu_i", 1 - q_i, _along, POINTS),
            Meets("1 - q_j - gamma rho lam h_j^2/(h_i r)", slope.subs(x, r), _across, POINTS),
            Meets("radius", r, _radius, POINTS),
        ),
        twins=(
            Twin(
                "the factor of gradient descent",
                "factor across",
                replace(ACROSS, right=1 - q_j),
                counterexample=EXAMPLE | {"h_j": sp.Rational(1, 2)},
            ),
            Twin(
                "the smaller curvature repels",
                "the larger curvature repels",
                replace(STABLE, right=(mu_j + 1) * (h_j - h_i)),
                counterexample=EXAMPLE | {"h_j": sp.Rational(1, 2)},
            ),
            Twin("any lam", "room", without=("mixing",)),
        ),
        remarks=(
            "the sign of x is that of the cycle's side; the other side is its mirror image",
            "a third coordinate does not change: ||g|| stays the same in first order, whatever deviates "
            "across the cycle",
        ),
        covers="the 2-cycle, the derivative of a step there (diagonal, entry by entry), and |mu_j| < 1 iff "
        "lambda_j < lambda_i for positive eigenvalues; that a run nears its cycle at the rate max |mu_j| "
        "is the linearisation theorem, not a step",
        latex_names={"h_i": r"\lambda_i", "h_j": r"\lambda_j", "lam": r"\lambda", "r": "r_i"},
    )
)
