"""Unified SAM on PL functions with constant steps (Oikonomou and Loizou, ICLR 2025, Theorem 3.2 and its cases)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import (
    Claim,
    Control,
    Family,
    Instance,
    Kind,
    Measure,
    Provenance,
    Source,
    claims,
)
from theory.families import (
    at_the_limit,
    data,
    deterministic_quadratics,
    given,
    indefinite_sums,
    random_sampling,
    random_sum,
    setting_of,
    sums_at_the_limit,
    sums_inside,
    wavy,
)
from theory.setting import facts_of
from theory.unified_sam import (
    INTERPOLATES,
    IS_DETERMINISTIC,
    LINEAR_CONSTANTS,
    PL_HYPOTHESES,
    largest_step,
    pl_curve,
    pl_step,
    pl_suggest,
)
from theory.unified_sam_cases import (
    BREAST,
    DERIVED_BOUND,
    DIABETES,
    DIGITS,
    NO_NEIGHBOURHOOD,
    PAPER,
    RATE_DOUBLED,
)


def _beyond(claim: Claim) -> Instance:
    """4.2 L/L_f times the largest step at rho = 0, where the mixed-curvature pair stops contracting."""
    setting = setting_of(claim, "mixed-curvature:a=1,b=0.5", "uniform", lam="0")
    facts = facts_of(setting)
    gamma = 4.2 * facts.L / facts.L_f * largest_step(facts, 0.0)
    return given(claim, "mixed-curvature:a=1,b=0.5", "uniform", lam="0", gamma=gamma, steps=1, origin="tight")


claims.add(
    Claim(
        id="unified-sam/pl-constant",
        title="PL functions, constant steps, any sampling (U1)",
        source=Source(PAPER, "Theorem 3.2", Provenance.DERIVED, DERIVED_BOUND),
        kind=Kind.UPPER,
        statement=(
            r"\mathbb E[f(x_t)-f^*]\le(1-\gamma\mu)^t\,(f(x_0)-f^*)"
            r"+\tfrac L\mu\big[\rho\,((1-\lambda)^2C+\lambda^2)(1+2\gamma L^2\rho)+\gamma C\big]"
        ),
        hypotheses=PL_HYPOTHESES,
        measure=Measure.SUBOPTIMALITY,
        curve=pl_curve,
        one_step=pl_step,
        suggest=pl_suggest,
        constants=LINEAR_CONSTANTS,
        families=(
            Family("convex sums at the limit", sums_at_the_limit, quick=3, full=24),
            Family("convex sums inside", sums_inside, quick=1, full=12),
            Family("indefinite sums", indefinite_sums, quick=2, full=12),
            Family("multiplicative noise", wavy("multiplicative", "uniform"), quick=1),
            Family("additive noise", wavy("additive", "tau-nice:tau=2"), quick=1),
            data(BREAST, ("uniform", "0.5"), ("importance", "0"), ("tau-nice:tau=16", "1")),
            data(DIABETES, ("tau-nice:tau=64", "0.5"), ("tau-nice:tau=128", "0")),
            data(DIGITS, ("uniform", "0.5"), ("tau-nice:tau=16", "1")),
        ),
        controls=(
            RATE_DOUBLED,
            NO_NEIGHBOURHOOD,
            Control(
                "a step 4.2 L/L_f times the limit",
                _beyond,
                "one-step",
            ),
        ),
    )
)

claims.add(
    Claim(
        id="unified-sam/pl-deterministic",
        title="PL functions, full batch",
        source=Source(PAPER, "Corollary 3.4", Provenance.DERIVED, DERIVED_BOUND),
        kind=Kind.UPPER,
        statement=(
            r"f(x_t)-f^*\le(1-\gamma\mu)^t\,(f(x_0)-f^*)+\tfrac L\mu\lambda^2\rho\,(1+2\gamma L^2\rho),\quad"
            r"\rho\le\tfrac1{L(1+2(1-\lambda)^2)},\;"
            r"\gamma\le\tfrac{1-L\rho(1+2(1-\lambda)^2)}{2L(1+2L^2\rho^2(1-\lambda)^2)}"
        ),
        hypotheses=(IS_DETERMINISTIC, *PL_HYPOTHESES),
        measure=Measure.SUBOPTIMALITY,
        curve=pl_curve,
        one_step=pl_step,
        suggest=pl_suggest,
        constants=LINEAR_CONSTANTS,
        families=(
            Family("quadratics", deterministic_quadratics, quick=3, full=24),
            Family("wavy functions", wavy("none", "full"), quick=2, full=12),
            data(BREAST, ("full", "0"), ("full", "0.5"), ("full", "1")),
            data(DIABETES, ("full", "0"), ("full", "0.5"), ("full", "1")),
        ),
        controls=(RATE_DOUBLED, NO_NEIGHBOURHOOD),
    )
)


def _interpolating(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = random_sum(rng, indefinite=bool(rng.random() < 0.3), noise=0.0)
    return at_the_limit(claim, problem, random_sampling(rng, n), lam=str(rng.choice(["0", "0", "0.5", "1"])))


claims.add(
    Claim(
        id="unified-sam/pl-interpolation",
        title="PL functions under interpolation, C = 0",
        source=Source(PAPER, "Theorem 3.2", Provenance.DERIVED, "its case C = 0; a review confirms the neighbourhood"),
        kind=Kind.UPPER,
        statement=(
            r"C=0:\quad\mathbb E[f(x_t)-f^*]\le(1-\gamma\mu)^t\,(f(x_0)-f^*)"
            r"+\tfrac L\mu\lambda^2\rho\,(1+2\gamma L^2\rho),\quad\text{exactly linear at }\lambda=0"
        ),
        hypotheses=(INTERPOLATES, *PL_HYPOTHESES),
        measure=Measure.SUBOPTIMALITY,
        curve=pl_curve,
        one_step=pl_step,
        suggest=pl_suggest,
        constants=LINEAR_CONSTANTS,
        families=(
            Family("interpolating sums", _interpolating, quick=4, full=24),
            Family("multiplicative noise", wavy("multiplicative", "uniform"), quick=2, full=12),
            data(f"{DIABETES},target=zero", ("uniform", "0"), ("importance", "0.5"), ("uniform", "1")),
        ),
        controls=(
            RATE_DOUBLED,
            Control(
                "interpolation assumed where it fails: C = 0 for a noisy sum",
                lambda claim: given(
                    claim, "quadratic-sum:n=2,d=1,mu=1,L=1,noise=1,seed=3", "uniform", lam="0", gamma=0.05, steps=1
                ),
                "one-step",
                facts=lambda facts: replace(facts, C=0.0),
            ),
        ),
    )
)
