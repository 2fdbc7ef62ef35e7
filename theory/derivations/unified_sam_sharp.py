"""Unified SAM with a neighbourhood of order rho^2 (U1#): Young's inequality on E delta in place of a weight L rho."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.inner_product import dot, norm2, square, vectors
from theory.unified_sam import theta as theta_of

gamma, mu, L_f, L_S = sp.symbols("gamma mu L_f L_S", positive=True)
rho, A, B, C, lam = sp.symbols("rho A B C lam", nonnegative=True)
D, D_next, D0 = sp.symbols("D D_next D0", nonnegative=True)
power = sp.Symbol("q_t", nonnegative=True)  # (1 - gamma mu/2)^t
F, g, u, w = vectors("F g u w")  # grad f; grad f_v; g/||g||; (grad f_v(x + eps) - g)/(L_S rho)

k = sp.Rational(1, 2) + L_f * gamma
theta = k * L_S**2 * rho**2 * (1 - lam) + L_f * gamma
err = theta * C + k * L_S**2 * rho**2 * lam
direction = (1 - lam) * g + lam * u  # eps/rho
delta = L_S * rho * w
room = mu - 4 * (B * mu + A) * theta
N = 2 * err / mu

DESCENT = (
    Given("unbiased", dot(F, g) - norm2(F), "=", "definition", "E grad f_v = grad f"),
    Given("unit", 1 - norm2(u), ">=", "definition", "u = g/||g|| where g is not 0, else 0"),
    Given("mixing", 1 - lam, ">=", "hypothesis", "lam lies in [0, 1]"),
    Given(
        "descent lemma",
        D - gamma * dot(F, g + delta) + L_f * gamma**2 / 2 * norm2(g + delta) - D_next,
        ">=",
        "standard",
        "f is L_f-smooth; expectation over the sample",
    ),
    Given(
        "smooth samples",
        norm2(direction) - norm2(w),
        ">=",
        "hypothesis",
        "grad f_v is L_S-Lipschitz, so that ||grad f_v(x + eps) - g|| <= L_S ||eps||",
    ),
    Given("ER", 2 * A * D + B * norm2(F) + C - norm2(g), ">=", "hypothesis", "the expected-residual condition"),
)
"""What the bound on nonconvex functions (U3#) uses too."""

BEFORE_PL = (
    Step(
        "perturbation",
        norm2(direction),
        "<=",
        (1 - lam) * norm2(g) + lam,
        by=((lam, "mixing", square(g - u)), (lam, "unit")),
        why="||.||^2 is convex",
    ),
    Step(
        "inner product",
        -dot(F, delta),
        "<=",
        (norm2(F) + norm2(delta)) / 2,
        by=((sp.Rational(1, 2), square(F + delta)),),
        why="Young's inequality with weight 1: half of the descent pays for it, and nothing of order rho is left",
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
        D - gamma / 2 * norm2(F) + gamma * theta * norm2(g) + gamma * k * L_S**2 * rho**2 * lam,
        by=(
            ("descent lemma",),
            (gamma, "unbiased"),
            (gamma, "inner product"),
            (L_f * gamma**2 / 2, "perturbed gradient"),
            (gamma * k * L_S**2 * rho**2, "smooth samples"),
            (gamma * k * L_S**2 * rho**2, "perturbation"),
        ),
    ),
    Step("theta", 0, "<=", theta, by=((k * L_S**2 * rho**2, "mixing"), (L_f * gamma,))),
    Step(
        "before PL",
        D_next,
        "<=",
        (1 + 2 * A * gamma * theta) * D - gamma * (sp.Rational(1, 2) - B * theta) * norm2(F) + gamma * err,
        by=(("before sampling",), (gamma, "theta", "ER")),
        why="this is where the nonconvex theorem (U3#) starts from",
    ),
)

STEPS = (
    *BEFORE_PL,
    Step(
        "coefficient",
        sp.Rational(1, 4),
        "<=",
        sp.Rational(1, 2) - B * theta,
        by=((1 / (4 * mu), "theta limit"), (A / mu, "theta")),
    ),
    Step(
        "one step",
        D_next,
        "<=",
        (1 - gamma * mu / 2) * D + gamma * err,
        by=(("before PL",), (gamma, "coefficient", "PL"), (gamma / 4, "PL"), (gamma * D / 2, "theta limit")),
        why="PL is applied to a coefficient of at least 1/4",
    ),
    Step(
        "iteration",
        (1 - gamma * mu / 2) * (power * D0 + N) + gamma * err,
        "=",
        (1 - gamma * mu / 2) * power * D0 + N,
        why="the bound at t + 1 follows from that at t, as gamma mu/2 <= 1",
    ),
    Step(
        "no limit on rho at lam = 1",
        room.subs(lam, 1),
        "=",
        mu - 4 * (B * mu + A) * L_f * gamma,
        why="rho has left the range",
    ),
)

STEP = {step.name: step for step in STEPS}


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(1)
    found: list[Mapping[str, float]] = []
    for _ in range(6):
        point = {
            "mu": rng.uniform(0.05, 1), "L_f": rng.uniform(1, 3), "L_S": rng.uniform(1, 3), "A": rng.uniform(0, 4),
            "B": rng.uniform(1, 2), "C": rng.uniform(0, 2), "lam": rng.uniform(0, 1), "rho": rng.uniform(0, 0.01),
            "gamma": rng.uniform(1e-4, 1e-3), "D": rng.uniform(0, 5), "D0": rng.uniform(0, 5), "q_t": 1.0,
        }  # fmt: skip
        found.append(point)
    return found


POINTS = _points()


def _one_step(point: Mapping[str, float]) -> float:
    step = claims["unified-sam/pl-sharp"].one_step
    assert step is not None
    return float(step(facts_at(point), np.array([point["D"]]), np.array([0.0]), 0, {})[0])


def _after_one(point: Mapping[str, float]) -> float:
    curve = claims["unified-sam/pl-sharp"].curve
    assert curve is not None
    return float(curve(facts_at(point), np.array([1]), {})[0])


def _room(point: Mapping[str, float]) -> float:
    """mu - theta mu/limit, with the claim's own hypothesis."""
    facts = facts_at(point)
    limit = next(h for h in claims["unified-sam/pl-sharp"].hypotheses if h.name == "theta").find(facts)
    return point["mu"] * (1 - limit.value / limit.limit)


derivations.add(
    Derivation(
        id="unified-sam/pl-sharp",
        title="Unified SAM on PL functions with a neighbourhood of order rho^2 (U1#)",
        claims=("unified-sam/pl-sharp",),
        given=(
            *DESCENT,
            Given("PL", norm2(F) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL"),
            Given("theta limit", room, ">=", "hypothesis", "theta <= mu / (4 (B mu + A))"),
        ),
        steps=STEPS,
        conclusion="one step",
        meets=(
            Meets("one step", (1 - gamma * mu / 2) * D + gamma * err, _one_step, POINTS),
            Meets("bound at t = 1", (1 - gamma * mu / 2) * power * D0 + N, _after_one, POINTS),
            Meets("theta", theta, lambda point: theta_of(facts_at(point)), POINTS),
            Meets("room below the limit", room, _room, POINTS),
        ),
        twins=(
            Twin(
                "four times the rate",
                "one step",
                replace(STEP["one step"], right=(1 - 2 * gamma * mu) * D + gamma * err),
                # gradient descent on x^2/2 with a quarter step
                counterexample={
                    "mu": 1,
                    "L_f": 1,
                    "L_S": 1,
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
            Twin(
                "no neighbourhood without noise, at lam = 1",
                "one step",
                replace(STEP["one step"], right=(1 - gamma * mu / 2) * D + gamma * theta * C),
                # SAM on x^2/2 at x = rho/100 oversteps the minimiser
                counterexample={
                    "mu": 1,
                    "L_f": 1,
                    "L_S": 1,
                    "gamma": sp.Rational(1, 4),
                    "rho": 1,
                    "lam": 1,
                    "A": 0,
                    "B": 1,
                    "C": 0,
                    "D": sp.Rational(1, 20_000),
                    "D_next": sp.Rational(97**2, 320_000),
                    "F": (sp.Rational(1, 100),),
                    "g": (sp.Rational(1, 100),),
                    "u": (1,),
                    "w": (1,),
                },
            ),
            Twin("without the expected-residual condition", "before PL", without=("ER",)),
            Twin(
                "the mixture of directions is not convex beyond lam = 1",
                "perturbation",
                without=("mixing",),
                counterexample={
                    "mu": 1,
                    "L_f": 1,
                    "L_S": 1,
                    "gamma": sp.Rational(1, 100),
                    "rho": 0,
                    "lam": 2,
                    "A": 0,
                    "B": 1,
                    "C": 0,
                    "D": 2,
                    "D_next": sp.Rational(99, 100) ** 2 * 2,
                    "F": (2,),
                    "g": (2,),
                    "u": (1,),
                    "w": (0,),
                },
            ),
        ),
        remarks=(
            "rho = 0 and lam = 0 are included: w is the difference of gradients over L_S rho, and nothing divides by "
            "rho or by lam.",
            "At lam = 1 the step 'no limit on rho at lam = 1' shows that any radius is admissible.",
            "gamma mu/2 <= 1 needs A + B mu >= mu, which is derived as unified-sam/residual-floor.",
        ),
        covers="the one-step inequality that the code iterates, its range in theta and its fixed point",
        latex_names={
            "F": r"\nabla f",
            "g": r"\nabla f_v",
            "D_next": r"\mathbb E D_{t+1}",
            "D": "D_t",
            "q_t": r"q^t",
        },
    )
)
