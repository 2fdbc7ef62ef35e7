"""Unified SAM on PL functions with decreasing steps (U2): U1's inequality at every t, and t^2 E D_t telescopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.derivations import unified_sam_pl as constant
from theory.unified_sam import largest_step, neighbourhood

gamma, rho, mu, L, A, B = constant.gamma, constant.rho, constant.mu, constant.L, constant.A, constant.B
C, D, D_next, P, lam = constant.C, constant.D, constant.D_next, constant.P, constant.lam
gamma_0, t, t_0 = sp.symbols("gamma_0 t t_0", positive=True)  # 1/t schedules begin at t_0 >= 1
rho_0, D0, E_t = sp.symbols("rho_0 D0 E_t", nonnegative=True)
power = sp.Symbol("q_0", nonnegative=True)  # (1 - gamma_0 mu)^t_0
"""gamma, rho: the steps at t; gamma_0, rho_0: those at the start."""

START = {constant.gamma: gamma_0, constant.rho: rho_0}
K, K_0 = constant.K, constant.K.subs(START)
room, room_0 = constant.room, constant.room.subs(START)
err, err_0 = constant.err, constant.err.subs(START)
N_0 = err_0 / mu
noise_P = P * C + lam**2
noise_Q = K_0 * C + 2 * L**2 * rho_0**2 * lam**2
S = L * noise_P / mu + 4 * L * noise_Q / mu**2
head = t_0**2 * (power * D0 + N_0)
shrinks = L * (mu + 2 * (B * mu + A) * P)


def bound(time: sp.Expr) -> sp.Expr:
    """The claim's right-hand side."""
    return head / time**2 + (time - t_0) / time**2 * S


LESS_K = (2 * L**2 * P, "smaller radius", rho_0 + rho)
"""K(rho_0) - K(rho) = 2 L^2 (1 - lam)^2 (rho_0^2 - rho^2) >= 0."""

STEPS = (
    Step(
        "step range",
        0,
        "<=",
        room,
        by=(
            ("step range at the start",),
            (shrinks, "smaller radius"),
            (2 * L * (B * mu + A) * K_0, "smaller step"),
            (2 * L * (B * mu + A) * gamma, *LESS_K),
        ),
        why="gamma*(rho) falls with rho: what is admissible at the start stays so",
    ),
    *constant.STEPS[:-1],
    Step(
        "error at a smaller radius",
        0,
        "<=",
        noise_Q - K * C - 2 * L**2 * rho**2 * lam**2,
        by=((C, *LESS_K), (2 * L**2 * lam**2, "smaller radius", rho_0 + rho)),
    ),
    Step(
        "constant phase",
        (1 - gamma_0 * mu) * D + gamma_0 * err.subs(constant.gamma, gamma_0),
        "<=",
        (1 - gamma_0 * mu) * D + gamma_0 * err_0,
        by=(
            (gamma_0 * L * noise_P, "smaller radius"),
            (gamma_0**2 * L, "error at a smaller radius"),
        ),
        why="for t < t_0 the step is gamma_0 and the radius at most rho_0: U1 with those gives the bound at t_0",
    ),
    Step(
        "the branch is not left",
        (2 * t + 3) * (t + 1) ** 2,
        "<=",
        (2 * t + 1) * (t + 2) ** 2,
        by=((2 * t**2 + 4 * t + 1,),),
        why="(2t + 1)/(t + 1)^2 falls, so that gamma_t stays in the second branch from t_0 on",
    ),
    Step("contraction", (t + 1) ** 2 * (1 - gamma * mu), "=", t**2, by=(("schedule of gamma",),)),
    Step(
        "step of order 1/t",
        gamma * mu * (t + 1),
        "<=",
        2,
        by=((-1 / (t + 1), "schedule of gamma"), (1 / (t + 1),)),
        why="hence also t_0 <= ceil(2/(gamma_0 mu))",
    ),
    Step(
        "squared step",
        gamma**2 * mu**2 * (t + 1) ** 2,
        "<=",
        4,
        by=(("step of order 1/t", 2 + gamma * mu * (t + 1)),),
    ),
    Step(
        "step times radius",
        (t + 1) ** 2 * gamma * rho * mu,
        "<=",
        1,
        by=(("schedule of rho",), (-rho, "schedule of gamma")),
    ),
    Step(
        "telescoping",
        (t + 1) ** 2 * D_next,
        "<=",
        t**2 * D + S,
        by=(
            ((t + 1) ** 2, "one step"),
            (D, "contraction"),
            (L * noise_P / mu, "step times radius"),
            (L * noise_Q / mu**2, "squared step"),
            ((t + 1) ** 2 * gamma**2 * L, "error at a smaller radius"),
        ),
    ),
    Step("at t_0", (bound(t) * t**2).subs(t, t_0), "=", head, why="t_0^2 times what the constant phase gives"),
    Step(
        "iteration",
        t**2 * bound(t) + S,
        "=",
        (t + 1) ** 2 * bound(t + 1),
        why="the bound at t + 1 follows from that at t",
    ),
)
STEP = {step.name: step for step in STEPS}

GIVEN = (
    *(given for given in constant.GIVEN if given.name != "step range"),
    Given("step range at the start", room_0, ">=", "hypothesis", "gamma_0 <= gamma*(rho_0), rho_0 <= rho*"),
    Given("smaller radius", rho_0 - rho, ">=", "hypothesis", "rho_t <= rho_0"),
    Given("smaller step", gamma_0 - gamma, ">=", "hypothesis", "gamma_t <= gamma_0"),
    Given(
        "schedule of gamma",
        gamma * mu * (t + 1) ** 2 - (2 * t + 1),
        "=",
        "hypothesis",
        "gamma_t = (2t + 1)/((t + 1)^2 mu) for t >= t_0",
    ),
    Given("schedule of rho", 1 - rho * (2 * t + 1), ">=", "hypothesis", "rho_t <= 1/(2t + 1)"),
)


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(2)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        point = {
            "mu": rng.uniform(0.3, 1), "L": rng.uniform(1, 2), "A": rng.uniform(0, 2), "B": rng.uniform(1, 2),
            "C": rng.uniform(0, 2), "lam": rng.uniform(0, 1), "rho_0": rng.uniform(0, 0.01), "D0": rng.uniform(0, 5),
        }  # fmt: skip
        point["gamma_0"] = largest_step(facts_at(point), point["rho_0"])
        switch = 1
        while (2 * switch + 1) / ((switch + 1) ** 2 * point["mu"]) > point["gamma_0"]:
            switch += 1
        found.append(
            point
            | {
                "t_0": float(switch),
                "t": float(switch + rng.integers(0, 1000)),
                "q_0": (1 - point["gamma_0"] * point["mu"]) ** switch,
            }
        )
    return found


POINTS = _points()


def _facts(point: Mapping[str, float]) -> Mapping[str, float]:
    return {**point, "gamma": point["gamma_0"], "rho": point["rho_0"]}


def _curve(point: Mapping[str, float]) -> float:
    curve = claims["unified-sam/pl-decreasing"].curve
    assert curve is not None
    return float(curve(facts_at(_facts(point)), np.array([int(point["t"])]), {})[0])


COIN = {
    "mu": 1, "L": 1, "A": 0, "B": 1, "C": 1, "lam": 0, "rho": 0, "rho_0": 0, "gamma_0": sp.Rational(1, 2),
    "gamma": sp.Rational(7, 16), "t": 3, "D": 0, "D_next": sp.Rational(49, 512),
    "F": (0, 0), "g": (sp.sqrt(2) / 2, -sp.sqrt(2) / 2), "u": (sp.sqrt(2) / 2, -sp.sqrt(2) / 2), "w": (0, 0),
}  # fmt: skip
"""SGD at the minimiser of x^2/2 with gradients +-1, at t = 3; coordinates are values times the root of the
probability."""

derivations.add(
    Derivation(
        id="unified-sam/pl-decreasing",
        title="Unified SAM on PL functions with decreasing steps (U2)",
        claims=("unified-sam/pl-decreasing",),
        given=GIVEN,
        steps=STEPS,
        conclusion="telescoping",
        meets=(
            Meets("bound", bound(t), _curve, POINTS),
            Meets("N", N_0, lambda point: neighbourhood(facts_at(_facts(point))), POINTS),
        ),
        twins=(
            Twin(
                "a pure 1/t^2 rate",
                "telescoping",
                replace(STEP["telescoping"], right=t**2 * D),
                counterexample=COIN,
            ),
            Twin("without the schedule of rho", "step times radius", without=("schedule of rho",)),
            Twin("the radius may grow", "step range", without=("smaller radius",)),
        ),
        remarks=(
            "rho_0 = 0, lam = 0 and C = 0 are included; t_0 >= 1 keeps 1/t^2 finite.",
            "L P/mu carries the hidden unit of the 1 in rho_t = 1/(2t + 1).",
        ),
        covers="both phases: U1's one-step inequality at every t with the steps of that t, the telescoping of t^2 E "
        "D_t and the bound as its sum; the constant phase itself is the iteration of unified-sam/pl-constant",
        latex_names={
            "F": r"\nabla f",
            "g": r"\nabla f_v",
            "D_next": r"\mathbb E D_{t+1}",
            "D": "D_t",
            "gamma": r"\gamma_t",
            "rho": r"\rho_t",
            "q_0": r"(1-\gamma_0\mu)^{t_0}",
        },
    )
)
