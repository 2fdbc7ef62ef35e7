"""The 2-cycles of Unified SAM on a quadratic: where they are, that there are no others, and growth outside (A1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.dynamics import curvatures, factors, radii

gamma, rho, lam, n, n_turn = sp.symbols("gamma rho lam n n_turn", positive=True)  # ||g_t||; ||g_t|| where w+ = -w
h, h2, theta, theta2 = sp.symbols("h h_2 theta theta_2", positive=True)  # two eigenvalues; ||g|| on their cycles
w, W = sp.symbols("w w_next", real=True)
steep = sp.Symbol("Q", positive=True)  # q of a top eigenvalue outside the range


def stiffness(eigenvalue: sp.Expr) -> sp.Expr:
    """q = gamma lambda (1 + rho (1 - lam) lambda)."""
    return gamma * eigenvalue * (1 + rho * (1 - lam) * eigenvalue)


q, q2 = stiffness(h), stiffness(h2)
pull = gamma * rho * lam * h**2
r = theta / h
unit = 1 / (gamma * rho * lam * h**2 * h2**2)
radius = gamma * rho * lam * h / (2 - gamma * h - gamma * rho * (1 - lam) * h**2)

GIVEN = (
    Given("step", (1 - q - pull / n) * w - W, "=", "definition", "one coordinate of a step, where ||g_t|| = n > 0"),
    Given("theta", (2 - q) * theta - pull, "=", "definition", "theta = gamma rho lam h^2/(2 - q); positive as q < 2"),
    Given("other theta", (2 - q2) * theta2 - gamma * rho * lam * h2**2, "=", "definition", "the same for h_2"),
    Given("larger", h - h2, ">", "hypothesis", "h and h_2 are different eigenvalues, h the larger"),
    Given("mixing", 1 - lam, ">=", "hypothesis", "lam <= 1"),
    Given("outside", steep - 2, ">=", "hypothesis", "q of another problem is at least 2: outside the range"),
)
RETURNS = Step(
    "returns",
    W + w,
    "=",
    (2 - q) * (1 - theta / n) * w,
    by=((-w / n, "theta"), (1, "step")),
    why="W = -w if and only if ||g_t|| = theta or w = 0: a 2-cycle has its gradient in one eigenspace",
)
RADIUS = Step(
    "radius",
    (1 - q) * r - pull / h,
    "=",
    -r,
    by=((-1 / h, "theta"),),
    why="from r e_i, where ||g|| = h r = theta, to -r e_i and back",
)
STEPS = (
    RETURNS,
    RADIUS,
    Step(
        "radius in closed form",
        r * (2 - gamma * h - gamma * rho * (1 - lam) * h**2),
        "=",
        gamma * rho * lam * h,
        by=((-1 / h, "theta"),),
        why="r = gamma rho lam h/(2 - gamma h - gamma rho (1 - lam) h^2); f - f* = h r^2/2 there",
    ),
    Step("below 2", 0, "<", (2 - q) * theta, by=((pull,), ("theta",)), why="theta > 0 says q < 2"),
    Step(
        "no other",
        0,
        "<",
        1 / theta2 - 1 / theta,
        by=(
            ("larger", 2 * h * unit),
            ("larger", "below 2", h2 * unit / theta),
            ("larger", "mixing", gamma * rho * h**2 * h2 * unit),
            (-1 / (gamma * rho * lam * h2**2 * theta2), "other theta"),
            (1 / (gamma * rho * lam * h**2 * theta), "theta"),
        ),
        why="theta grows with the eigenvalue: two eigenspaces never have the same, so no 2-cycle lies in both",
    ),
    Step(
        "outside the range",
        1,
        "<",
        -(1 - steep - pull / n_turn),
        by=(("outside",), (pull / n_turn,)),
        why="each step makes |w_1| larger: nothing converges where q >= 2",
    ),
)


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(11)
    found: list[Mapping[str, float]] = []
    for _ in range(6):
        point = {
            "gamma": rng.uniform(0.1, 1), "rho": rng.uniform(0.01, 0.5), "lam": rng.uniform(0.1, 1),
            "h": rng.uniform(0.2, 1), "n": rng.uniform(0.1, 2), "w": 1.0,
        }  # fmt: skip
        found.append(point | {"theta": float(point["h"] * radii(facts_at(point), np.array([point["h"]]))[0])})
    return found


POINTS = _points()


def _radius(point: Mapping[str, float]) -> float:
    return float(radii(facts_at(point), np.array([point["h"]]))[0])


def _curvature(point: Mapping[str, float]) -> float:
    return float(curvatures(facts_at(point), np.array([point["h"]]))[0])


def _turn(point: Mapping[str, float]) -> float:
    """W + w of the code, from w = 1."""
    return 1 + float(factors(facts_at(point), np.array([point["h"]]), np.array([point["n"]]))[0, 0])


# gamma = rho = lam = 1: theta = h^2/(2 - h) is 1 for h = 1 and 1/6 for h_2 = 1/2
EXAMPLE = {
    "gamma": 1, "rho": 1, "lam": 1, "n": 1, "n_turn": 1, "h": 1, "theta": 1, "h_2": sp.Rational(1, 2),
    "theta_2": sp.Rational(1, 6), "w": 1, "w_next": -1, "Q": 2,
}  # fmt: skip

derivations.add(
    Derivation(
        id="dynamics/cycle",
        title="The 2-cycles of SAM and Unified SAM on a quadratic (A1)",
        claims=("dynamics/cycle",),
        given=GIVEN,
        steps=STEPS,
        conclusion="radius in closed form",
        meets=(
            Meets("r", r, _radius, POINTS),
            Meets("r in closed form", radius, _radius, POINTS),
            Meets("1/theta", 1 / theta, _curvature, POINTS),
            Meets("turn", (2 - q) * (1 - theta / n) * w, _turn, POINTS),
        ),
        twins=(
            Twin(
                "radius gamma rho lam h/2",
                "radius in closed form",
                replace(STEPS[2], left=2 * r),
                counterexample=EXAMPLE,
            ),
            Twin(
                "a cycle from any gradient",
                "returns",
                replace(RETURNS, right=0),
                counterexample=EXAMPLE | {"n": 2, "w_next": sp.Rational(-1, 2)},
            ),
            Twin(
                "inside the range",
                "outside the range",
                without=("outside",),
                counterexample=EXAMPLE | {"Q": sp.Rational(1, 2), "n_turn": 2},
            ),
            Twin("eigenvalues in any order", "no other", without=("larger",)),
        ),
        remarks=(
            "a point that returns after two steps already returns with its sign changed after one: dynamics/potential "
            "falls strictly otherwise",
            "lam = 0 has no cycle: theta would be 0",
        ),
        covers="that 2-cycles are +-r_i v_i and nothing else (up to equal eigenvalues), the radius for every lam "
        "in (0, 1], and the growth for gamma lambda_1 (1 + ...) >= 2; that almost every run ends on the "
        "first one needs the stable manifold theorem and is not derived",
        latex_names={
            "n": r"\|g_t\|",
            "n_turn": r"\|g_t\|'",
            "h": r"\lambda_i",
            "h_2": r"\lambda_k",
            "theta": r"\theta_i",
            "theta_2": r"\theta_k",
            "w": "w_i",
            "w_next": "w_i^+",
            "lam": r"\lambda",
            "Q": "q",
        },
    )
)
