"""Unified SAM on PL functions (U1): from the descent lemma to the linear rate with its neighbourhood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.inner_product import dot, norm2, square, vectors
from theory.unified_sam import largest_step, linear_curve, neighbourhood, pl_step

gamma, mu, L = sp.symbols("gamma mu L", positive=True)
rho, A, B, C, lam = sp.symbols("rho A B C lam", nonnegative=True)
D, D_next, D0 = sp.symbols("D D_next D0", nonnegative=True)
power = sp.Symbol("q_t", nonnegative=True)  # (1 - gamma mu)^t
F, g, u, w = vectors("F g u w")  # grad f; grad f_v; g/||g||; (grad f_v(x + eps) - g)/(L rho)

P = (1 - lam) ** 2
K = 2 * L**2 * rho**2 * P + 1
direction = (1 - lam) * g + lam * u  # eps/rho
delta = L * rho * w
err = L * rho * (P * C + lam**2) + L * gamma * (K * C + 2 * L**2 * rho**2 * lam**2)
a = 2 * A * L * gamma * (rho * P + gamma * K)
b = 1 - L * rho / 2 - L * rho * B * P - L * gamma * B * K
room = mu - L * rho * (mu + 2 * (B * mu + A) * P) - 2 * L * gamma * (B * mu + A) * K
N = err / mu

GIVEN = (
    Given("unbiased", dot(F, g) - norm2(F), "=", "definition", "E grad f_v = grad f"),
    Given("unit", 1 - norm2(u), ">=", "definition", "u = g/||g|| where g is not 0, else 0"),
    Given(
        "descent lemma",
        D - gamma * dot(F, g + delta) + L * gamma**2 / 2 * norm2(g + delta) - D_next,
        ">=",
        "standard",
        "f is L_f-smooth and L >= L_f; expectation over the sample",
    ),
    Given(
        "smooth samples",
        norm2(direction) - norm2(w),
        ">=",
        "hypothesis",
        "grad f_v is L_S-Lipschitz and L >= L_S, so that ||grad f_v(x + eps) - g|| <= L ||eps||",
    ),
    Given("ER", 2 * A * D + B * norm2(F) + C - norm2(g), ">=", "hypothesis", "the expected-residual condition"),
    Given("PL", norm2(F) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL"),
    Given("step range", room, ">=", "hypothesis", "gamma <= gamma*(rho)"),
)

STEPS = (
    Step(
        "perturbation",
        norm2(direction),
        "<=",
        2 * (P * norm2(g) + lam**2),
        by=((square((1 - lam) * g - lam * u),), (2 * lam**2, "unit")),
        why="||p + q||^2 <= 2 ||p||^2 + 2 ||q||^2",
    ),
    Step(
        "inner product",
        -2 * dot(F, delta),
        "<=",
        L * rho * (norm2(F) + norm2(w)),
        by=((L * rho, square(F + w)),),
        why="Young's inequality with weight L rho",
    ),
    Step(
        "perturbed gradient",
        norm2(g + delta),
        "<=",
        2 * norm2(g) + 2 * norm2(delta),
        by=((square(g - delta),),),
    ),
    Step(
        "before sampling",
        D_next,
        "<=",
        D
        - gamma * (1 - L * rho / 2) * norm2(F)
        + gamma * L * (rho * P + gamma * K) * norm2(g)
        + gamma * L * rho * lam**2 * (1 + 2 * gamma * L**2 * rho),
        by=(
            ("descent lemma",),
            (gamma, "unbiased"),
            (gamma / 2, "inner product"),
            (L * gamma**2 / 2, "perturbed gradient"),
            (gamma * L * rho / 2 + L**3 * gamma**2 * rho**2, "smooth samples"),
            (gamma * L * rho / 2 + L**3 * gamma**2 * rho**2, "perturbation"),
        ),
    ),
    Step(
        "before PL",
        D_next,
        "<=",
        (1 + a) * D - gamma * b * norm2(F) + gamma * err,
        by=(("before sampling",), (gamma * L * (rho * P + gamma * K), "ER")),
        why="this is where the non-convex theorem (U3) starts from",
    ),
    Step(
        "coefficient",
        sp.Rational(1, 2),
        "<=",
        b,
        by=((1 / (2 * mu), "step range"), (L * rho * A * P / mu,), (L * gamma * A * K / mu,)),
        why="the step range keeps the coefficient of ||grad f||^2 at least 1/2",
    ),
    Step(
        "after PL",
        D_next,
        "<=",
        (1 + a - 2 * mu * gamma * b) * D + gamma * err,
        by=(("before PL",), (gamma, "coefficient", "PL"), (gamma / 2, "PL")),
    ),
    Step(
        "one step",
        D_next,
        "<=",
        (1 - gamma * mu) * D + gamma * err,
        by=(("after PL",), (gamma, D, "step range")),
    ),
    Step(
        "iteration",
        (1 - gamma * mu) * (power * D0 + N) + gamma * err,
        "=",
        (1 - gamma * mu) * power * D0 + N,
        why="the bound at t + 1 follows from that at t, as 1 - gamma mu >= 0",
    ),
)


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(0)
    found: list[Mapping[str, float]] = []
    for _ in range(6):
        point = {
            "mu": rng.uniform(0.05, 1), "L": rng.uniform(1, 3), "A": rng.uniform(0, 4), "B": rng.uniform(1, 2),
            "C": rng.uniform(0, 2), "lam": rng.uniform(0, 1), "rho": rng.uniform(0, 0.01), "D": rng.uniform(0, 5),
            "D0": rng.uniform(0, 5), "q_t": 1.0,
        }  # fmt: skip
        point["gamma"] = 0.9 * largest_step(facts_at(point), point["rho"])
        found.append(point)
    return found


POINTS = _points()


def _one_step(point: Mapping[str, float]) -> float:
    return float(pl_step(facts_at(point), np.array([point["D"]]), np.array([0.0]), 0, {})[0])


def _after_one(point: Mapping[str, float]) -> float:
    facts = facts_at(point)
    rate = point["gamma"] * point["mu"]
    return float(linear_curve(rate, point["D0"], neighbourhood(facts), np.array([1]), {})[0])


derivations.add(
    Derivation(
        id="unified-sam/pl-constant",
        title="Unified SAM on PL functions: linear rate and neighbourhood (U1)",
        claims=("unified-sam/pl-constant", "unified-sam/pl-deterministic", "unified-sam/pl-interpolation"),
        given=GIVEN,
        steps=STEPS,
        conclusion="one step",
        meets=(
            Meets("one step", (1 - gamma * mu) * D + gamma * err, _one_step, POINTS),
            Meets("bound at t = 1", (1 - gamma * mu) * power * D0 + N, _after_one, POINTS),
        ),
        twins=(
            Twin(
                "twice the rate",
                "one step",
                replace(STEPS[-2], right=(1 - 2 * gamma * mu) * D + gamma * err),
                # gradient descent on x^2/2 with a quarter step
                counterexample={
                    "mu": 1,
                    "L": 1,
                    "gamma": sp.Rational(1, 4),
                    "rho": 0,
                    "lam": 0,
                    "A": 0,
                    "B": 1,
                    "C": 0,
                    "D": 2,
                    "D_next": sp.Rational(9, 8),
                    "F": (2,),
                    "g": (2,),
                    "u": (1,),
                    "w": (2,),
                },
            ),
            Twin("without the PL inequality", "after PL", without=("PL",)),
        ),
        remarks=("rho = 0 is included: w is the difference of gradients over L rho, and nothing divides by rho",),
        covers="the one-step inequality that the code iterates, its range and its fixed point; that L_S is needed is a "
        "stored counterexample, not a step",
        latex_names={"F": r"\nabla f", "g": r"\nabla f_v", "D_next": r"\mathbb E D_{t+1}", "D": "D_t"},
    )
)
