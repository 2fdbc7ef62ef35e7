"""GSAM on PL functions (A3): the last iterate for any schedules, and the floor of constant ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.gsam_pl import last_iterate, pl_step
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivations.gsam_weighted import (
    AMPLIFIED,
    CYCLE,
    FALL,
    GIVEN,
    LATEX,
    NOISELESS,
    NOISELESS_STEPS,
    POINTS,
    SAMPLED,
    STILL_POINTS,
    D,
    D_next,
    F,
    c2,
    gamma,
    gsam_facts,
    kappa,
    noise,
)
from theory.inner_product import norm2
from theory.schedules import inverse_sqrt

mu = sp.Symbol("mu", positive=True)
D0, power = sp.symbols("D0 q_t", nonnegative=True)  # power = (1 - gamma mu)^t
PL = Given("PL", norm2(F) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL")


def _bound(floor: sp.Expr) -> sp.Expr:
    return (1 - gamma * mu) * D + gamma / 2 * floor


def _after(floor: sp.Expr, left: sp.Expr) -> sp.Expr:
    """The bound at a time with (1 - gamma mu)^t = left."""
    return left * D0 + (1 - left) * floor / (2 * mu)


def _steps(floor: sp.Expr) -> tuple[Step, ...]:
    return (
        Step("PL step", D_next, "<=", _bound(floor), by=(("one step",), (gamma / 2, "PL"))),
        Step(
            "iteration",
            (1 - gamma * mu) * _after(floor, power) + gamma / 2 * floor,
            "=",
            _after(floor, (1 - gamma * mu) * power),
            why="for constant gamma and rho the bound at t + 1 follows from that at t, as 1 - gamma mu >= 0",
        ),
    )


STEPS = (*SAMPLED, *_steps(c2 + noise))
STILL_STEPS = (*(s for s in NOISELESS_STEPS if not s.name.startswith("window")), *_steps(c2))


def _pl_step(point: Mapping[str, float]) -> float:
    return float(pl_step(gsam_facts(point), np.array([point["D"]]), np.array([0.0]), 0, {})[0])


def _constant(point: Mapping[str, float]) -> float:
    return float(last_iterate(gsam_facts(point), np.array([1]), {})[0])


def _falling(point: Mapping[str, float]) -> float:
    """The first step of a falling schedule, from the gap D: the path of another branch of the code."""
    facts = gsam_facts(point, gamma=inverse_sqrt(point["gamma"]), rho=inverse_sqrt(point["rho"]), gap0=point["D"])
    return float(last_iterate(facts, np.array([1]), {})[0])


def _meets(floor: sp.Expr, points: list[dict[str, float]]) -> tuple[Meets, ...]:
    shown = floor.subs(kappa, AMPLIFIED)
    return (
        Meets("one step", _bound(shown), _pl_step, points),
        Meets("bound at t = 1, constant steps", _after(shown, 1 - gamma * mu), _constant, points),
        Meets("bound at t = 1, falling steps", _bound(shown), _falling, points),
    )


tenth = sp.Rational(1, 10)
# f = x^2/2 with rho = 1 from x = 1/10 and gamma = 9/10: almost across the whole cycle.
CROSSING = FALL | {
    "mu": 1, "rho": 1, "D": sp.Rational(1, 200), "D_next": sp.Rational(89, 100) ** 2 / 2,
    "F": (tenth,), "g": (tenth,), "p": (11 * tenth,), "q": (tenth,),
}  # fmt: skip

derivations.add(
    Derivation(
        id="gsam/pl-last-iterate",
        title="GSAM on PL functions: the last iterate (A3)",
        claims=("gsam/pl-last-iterate",),
        given=(*GIVEN, PL),
        steps=STEPS,
        conclusion="PL step",
        meets=_meets(c2 + noise, POINTS),
        twins=(
            Twin(
                "half of the radius's floor",
                "PL step",
                replace(STEPS[-2], right=_bound(c2 / 2 + noise)),
                counterexample=CROSSING,
            ),
            Twin(
                "twice the rate",
                "PL step",
                replace(STEPS[-2], right=(1 - 2 * gamma * mu) * D + gamma / 2 * (c2 + noise)),
                counterexample=FALL | {"mu": 1},
            ),
            Twin(
                "without the PL inequality",
                "PL step",
                without=("PL",),
                # the same step, with a mu that f does not have
                counterexample=FALL | {"mu": 10},
            ),
        ),
        remarks=("gamma = 1/L without noise is gsam/pl-last-iterate-noiseless.",),
        covers="the one-step inequality for any schedules, and for constant ones its iteration and floor",
        latex_names=LATEX,
    )
)

derivations.add(
    Derivation(
        id="gsam/pl-last-iterate-noiseless",
        title="GSAM with a full batch on PL functions: the last iterate, gamma = 1/L included (A3)",
        claims=("gsam/pl-last-iterate",),
        given=(*NOISELESS, PL),
        steps=STILL_STEPS,
        conclusion="PL step",
        meets=_meets(c2, STILL_POINTS),
        twins=(
            Twin(
                "half of the radius's floor",
                "PL step",
                replace(STILL_STEPS[-2], right=_bound(c2 / 2)),
                # on the cycle of gamma = 1/L the floor c^2/(2 mu) is attained
                counterexample=CYCLE | {"mu": 1},
            ),
        ),
        covers="the edge case sigma = 0, gamma <= 1/L",
        latex_names=LATEX,
    )
)
