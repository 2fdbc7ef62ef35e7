"""Unified SAM on PL functions with a neighbourhood of order rho^2: the same assumptions, sharpened."""

from __future__ import annotations

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
from theory.families import (
    data,
    given,
    indefinite_sums,
    sums_at_the_limit,
    sums_inside,
    wavy,
)
from theory.schedules import Schedule
from theory.setting import Facts
from theory.unified_sam import (
    LINEAR_CONSTANTS,
    STEPS,
    linear_curve,
    ratio_or_infinity,
    residual,
    sharp_error,
    sharp_suggest_below,
    theta,
)
from theory.unified_sam_cases import (
    BREAST,
    DIGITS,
    PAPER,
    one_parabola,
)


def _theta_limit(facts: Facts) -> float:
    return ratio_or_infinity(facts.mu, 4 * residual(facts))


def _sharp_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return sharp_suggest_below(facts, _theta_limit(facts), part, rho_part)


def _sharp_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    rate = facts.gamma.largest * facts.mu / 2
    return linear_curve(rate, facts.gap0, 2 / facts.mu * sharp_error(facts), t, scale)


def _sharp_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    gamma = facts.gamma.largest
    factor = max(1 - scale.get("rate", 1.0) * gamma * facts.mu / 2, 0.0)
    return np.asarray(factor * gap + scale.get("neighbourhood", 1.0) * gamma * sharp_error(facts))


def _one_sided(claim: Claim) -> Instance:
    """At its fixed point x = -rho, as gamma -> 0: D is q^2/2 of the claimed neighbourhood."""
    problem, law = "one-sided:q=0.95,d=2,beta=1", "single:p=0.95/0.05"
    return given(claim, problem, law, lam="1", gamma=1e-6, rho=0.9, x0="-0.9", steps=1, origin="tight")


claims.add(
    Claim(
        id="unified-sam/pl-sharp",
        title="PL functions, neighbourhood of order rho^2 (U1#)",
        source=Source(
            PAPER, "Theorem 3.2", Provenance.DERIVED, "same assumptions, sharpened here; not the authors' bound"
        ),
        kind=Kind.UPPER,
        statement=(
            r"k=\tfrac12+L_f\gamma,\;\theta=kL_S^2\rho^2(1-\lambda)+L_f\gamma\le\tfrac{\mu}{4(B\mu+A)}:\quad"
            r"\mathbb E[f(x_t)-f^*]\le(1-\tfrac{\gamma\mu}2)^t\,(f(x_0)-f^*)+\tfrac2\mu[\theta C+kL_S^2\rho^2\lambda]"
        ),
        hypotheses=(
            *STEPS,
            Hypothesis("theta", theta, "<=", _theta_limit, "theta <= mu / (4 (B mu + A))", step_limit=True),
        ),
        measure=Measure.SUBOPTIMALITY,
        curve=_sharp_curve,
        one_step=_sharp_step,
        suggest=_sharp_suggest,
        constants=LINEAR_CONSTANTS,
        families=(
            Family("convex sums at the limit", sums_at_the_limit, quick=2, full=24),
            Family("convex sums inside", sums_inside, quick=1, full=12),
            Family("indefinite sums", indefinite_sums, quick=1, full=12),
            Family("additive noise", wavy("additive", "uniform"), quick=1),
            data(BREAST, ("uniform", "0.5"), ("importance", "1"), ("tau-nice:tau=16", "0")),
            data(DIGITS, ("uniform", "1"), ("tau-nice:tau=16", "0.5")),
        ),
        controls=(
            Control(
                "0.4 of the neighbourhood on the one-sided family",
                _one_sided,
                "one-step",
                scale={"neighbourhood": 0.4},
            ),
            Control("rate eight times faster: (1 - 4 gamma mu)^t", one_parabola, "trajectory", scale={"rate": 8.0}),
        ),
    )
)
