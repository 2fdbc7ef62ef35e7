"""Stochastic gradient descent, the ancestor that Unified SAM must reduce to at rho = 0."""

from __future__ import annotations

import math

import numpy as np

from theory.claim import (
    Claim,
    Control,
    Curve,
    Family,
    Hypothesis,
    Instance,
    Kind,
    Measure,
    Provenance,
    Scale,
    Source,
    Times,
    claims,
)
from theory.families import at_the_limit, data, given, random_sampling, random_sum, setting_of, wavy
from theory.schedules import Schedule, constant
from theory.setting import Facts, facts_of
from theory.unified_sam import CONSTANT_GAMMA, IS_PL, LINEAR_CONSTANTS, POSITIVE_GAMMA
from theory.unified_sam_cases import BREAST, DIABETES, DIGITS

PAPER = "R. M. Gower, O. Sebbouh and N. Loizou, SGD for Structured Nonconvex Functions, AISTATS 2021"


def sgd_step_limit(facts: Facts) -> float:
    """mu / (L_f (B mu + A))."""
    denominator = facts.L_f * (facts.B * facts.mu + facts.A)
    return facts.mu / denominator if denominator > 0 else math.inf


def _curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    gamma = facts.gamma.largest
    factor = max(1 - scale.get("rate", 1.0) * gamma * facts.mu, 0.0)
    noise = facts.L_f * gamma * facts.C / (2 * facts.mu)
    return np.asarray(factor ** t.astype(float) * facts.gap0 + scale.get("neighbourhood", 1.0) * noise)


def _one_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    gamma = facts.gamma.largest
    factor = max(1 - scale.get("rate", 1.0) * gamma * facts.mu, 0.0)
    return np.asarray(factor * gap + scale.get("neighbourhood", 1.0) * facts.L_f * gamma**2 * facts.C / 2)


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part * sgd_step_limit(facts)), constant(0.0)


def _at_the_limit(rng: np.random.Generator, claim: Claim) -> Instance:
    """Exact expectations only: at the limit E D shrinks by the claimed factor through rare large steps, and its tails
    outgrow any sample."""
    problem, n = random_sum(rng, indefinite=bool(rng.random() < 0.5))
    return given(claim, problem, random_sampling(rng, n), theta=1.0, steps=0)


def _inside(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = random_sum(rng, indefinite=bool(rng.random() < 0.5))
    return at_the_limit(claim, problem, random_sampling(rng, n), lam="0", theta=0.3)


def _pair(times: float) -> Instance:
    claim = claims["sgd/pl"]
    spec = "mixed-curvature:a=1,b=0.5"
    limit = sgd_step_limit(facts_of(setting_of(claim, spec, "uniform")))
    return given(claim, spec, "uniform", gamma=times * limit, steps=8, origin="tight")


def _coin(claim: Claim) -> Instance:
    """f_i = x^2/2 +- x from the minimiser with gamma = 1/L: the noise term is attained after one step."""
    return given(claim, "parabolas:h=1/1,slopes=1/-1", "uniform", gamma=1.0, x0="0", steps=1, origin="tight")


claims.add(
    Claim(
        id="sgd/pl",
        title="SGD on PL functions, constant step (B3)",
        source=Source(
            PAPER,
            "Theorem 4.6",
            Provenance.DERIVED,
            "number per a review, single-element step read in code; bound derived",
        ),
        kind=Kind.UPPER,
        statement=(
            r"\gamma\le\tfrac{\mu}{L_f(B\mu+A)}:\quad"
            r"\mathbb E[f(x_t)-f^*]\le(1-\gamma\mu)^t\,(f(x_0)-f^*)+\tfrac{L_f\gamma C}{2\mu}"
        ),
        hypotheses=(
            IS_PL,
            CONSTANT_GAMMA,
            POSITIVE_GAMMA,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<=",
                sgd_step_limit,
                "gamma <= mu / (L_f (B mu + A))",
                step_limit=True,
            ),
        ),
        measure=Measure.SUBOPTIMALITY,
        curve=_curve,
        one_step=_one_step,
        suggest=_suggest,
        constants=LINEAR_CONSTANTS,
        method="sgd",
        families=(
            Family("sums at the limit", _at_the_limit, quick=3, full=24),
            Family("sums inside", _inside, quick=3, full=24),
            Family("mixed curvature, equality at every step", lambda rng, claim: _pair(1.0), full=1),
            Family("additive noise", wavy("additive", "uniform"), quick=1),
            data(BREAST, ("uniform", "0"), ("importance", "0"), ("tau-nice:tau=16", "0")),
            data(DIABETES, ("tau-nice:tau=64", "0"), ("tau-nice:tau=128", "0")),
            data(DIGITS, ("uniform", "0")),
        ),
        controls=(
            Control("2.2 times the step limit on the mixed-curvature pair", lambda claim: _pair(2.2), "one-step"),
            Control("0.4 of the noise term", _coin, "one-step", scale={"neighbourhood": 0.4}),
        ),
    )
)
