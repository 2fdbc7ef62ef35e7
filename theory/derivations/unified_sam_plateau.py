"""The 2-cycle of deterministic Unified SAM on a quadratic: its amplitude, the plateau, and what it attracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.unified_sam_plateau import plateau
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at

gamma, L, rho, lam, r, k = sp.symbols("gamma L rho lam r k", positive=True)
above = sp.Symbol("k_a", positive=True)  # an eigenvalue above that of the cycle

stretch = gamma * L * (1 + rho * (1 - lam) * L)
amplitude = gamma * L * rho * lam / (2 - stretch)


def step_from(x: sp.Expr, sign: int) -> sp.Expr:
    """One step along the eigenvector of L from sign x, x > 0: the gradient is sign L x, its direction `sign`."""
    return sign * x - gamma * L * (sign * x + rho * ((1 - lam) * L * sign * x + lam * sign))


def multiplier(k: sp.Expr) -> sp.Expr:
    """The factor of a small component along another eigenvector on the cycle, where ||grad f|| = L r."""
    return 1 - gamma * k * (1 + rho * ((1 - lam) * k + lam * k / (L * r)))


def simplified(k: sp.Expr) -> sp.Expr:
    """The same without r and lam."""
    return 1 - gamma * k - k**2 * (2 - gamma * L) / L**2


STEPS = (
    Step("half a period", step_from(r, 1), "=", -r, by=((-1, "amplitude"),)),
    Step("the other half", step_from(r, -1), "=", r, by=((1, "amplitude"),), why="from -r: a cycle of period 2"),
    Step("plateau", L * step_from(r, 1) ** 2 / 2, "=", L * r**2 / 2,
         by=((-L / 2 * (r - step_from(r, 1)), "half a period"),),
         why="f - f* is the same at both points"),
    Step("along itself, below", -1, "<", 1 - stretch, by=(("range",),),
         why="the factor 1 - gamma L (1 + ...) of x - r"),
    Step("along itself, above", 1 - stretch, "<", 1, by=((gamma * L,), (gamma * L**2 * rho, "mixing"))),
    Step("other directions", multiplier(k), "=", simplified(k), by=((-(k**2) / (L**2 * r), "amplitude"),),
         why="to first order the direction k x_k/||grad f||; the same for every lam"),
    Step("short steps", 0, "<", 2 - gamma * L, by=(("range",), (gamma * L**2 * rho, "mixing"))),
    Step("lower directions, below", -1, "<", simplified(k),
         by=(("below", 2 / L), ("below", k / L**2, "short steps"))),
    Step("lower directions, above", simplified(k), "<", 1, by=((gamma * k,), (k**2 / L**2, "short steps"))),
    Step("ties", simplified(L), "=", -1, why="an equal eigenvalue is not attracted: the plateau is the same there"),
    Step("higher directions", simplified(above), "<", -1,
         by=(("higher", 2 / L), ("higher", above / L**2, "short steps")),
         why="a cycle along a lower eigenvector repels the higher ones: only the top one is stable"),
)  # fmt: skip
STEP = {step.name: step for step in STEPS}


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(10)
    return [
        {
            "gamma": rng.uniform(0.05, 0.5), "L": rng.uniform(0.5, 2), "rho": rng.uniform(0.01, 0.3),
            "lam": rng.uniform(0.05, 1),
        }
        for _ in range(5)
    ]  # fmt: skip


POINTS: list[Mapping[str, float]] = [
    *_points(),
    {"gamma": 0.0125, "L": 10.0, "rho": 0.0125, "lam": 0.5},
]
"""The last is Figure 1's."""

HALF = {
    "gamma": 1, "L": 1, "rho": 1, "lam": sp.Rational(1, 2), "r": 1, "k": sp.Rational(1, 2), "k_a": 2,
}  # fmt: skip
"""gamma = L = rho = 1, lam = 1/2: amplitude (1/2)/(2 - 3/2) = 1."""
QUARTER = HALF | {"rho": 1, "lam": sp.Rational(1, 4), "gamma": sp.Rational(1, 2), "r": sp.Rational(1, 9)}
"""lam = 1/4, gamma = 1/2: amplitude (1/8)/(2 - 7/8) = 1/9."""

derivations.add(
    Derivation(
        id="unified-sam/plateau",
        title="The exact deterministic plateau on quadratics",
        claims=("unified-sam/plateau",),
        given=(
            Given(
                "amplitude",
                r * (2 - stretch) - gamma * L * rho * lam,
                "=",
                "definition",
                "r = gamma L rho lam/(2 - gamma L (1 + rho (1 - lam) L))",
            ),
            Given("range", 2 - stretch, ">", "hypothesis", "gamma L (1 + rho (1 - lam) L) < 2"),
            Given("mixing", 1 - lam, ">=", "hypothesis", "lam lies in (0, 1]"),
            Given("below", L - k, ">", "hypothesis", "k is an eigenvalue below that of the cycle"),
            Given("higher", above - L, ">", "hypothesis", "k_a is an eigenvalue above that of the cycle"),
        ),
        steps=STEPS,
        conclusion="plateau",
        meets=(
            Meets(
                "plateau",
                L * amplitude**2 / 2,
                lambda point: float(plateau(facts_at(point), np.array([0]), {})[0]),
                POINTS,
            ),
        ),
        twins=(
            Twin(
                "lam and 1 - lam exchanged",
                "half a period",
                replace(
                    STEP["half a period"],
                    left=r - gamma * L * (r + rho * (lam * L * r + (1 - lam))),
                ),
                counterexample=QUARTER,
            ),
            Twin("an eigenvalue above is attracted", "lower directions, below", without=("below",),
                 counterexample=HALF | {"k": 3}),
            Twin("without the range", "along itself, below", without=("range",)),
        ),
        remarks=(
            "Inside one derivation k stands for the eigenvalues below the cycle's and k_a for those above.",
            "The multipliers are those of SAM, lam = 1, for every lam.",
        ),
        covers="the cycle, its plateau L r^2/2 and the multipliers of all directions, so that of the eigenvector "
        "cycles the top one alone is stable; that a run reaches it is measured, not derived",
        latex_names={"k_a": "k_a"},
    )
)  # fmt: skip
