"""Unified SAM on PL functions with decreasing steps (Oikonomou and Loizou, ICLR 2025, Theorem 3.5)."""

from __future__ import annotations

import math
from collections.abc import Callable

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
    LAMBDAS,
    at_the_limit,
    data,
    finish,
    random_sampling,
    random_sum,
    setting_of,
    wavy,
)
from theory.schedules import Schedule, constant, decreasing, inverse
from theory.setting import Facts, facts_of
from theory.unified_sam import (
    GAMMA_LIMIT,
    IS_PL,
    POSITIVE_GAMMA,
    RHO_LIMIT,
    K_factor,
    largest_radius,
    largest_step,
    neighbourhood,
    normalised,
    pl_step,
    unnormalised,
)
from theory.unified_sam_cases import (
    PAPER,
)


def _first_decreasing(facts: Facts) -> int:
    """t_0 >= 1, the first t with (2t + 1)/((t + 1)^2 mu) <= gamma_0."""
    c = facts.gamma.largest * facts.mu
    if c >= 1:
        return 1
    guess = max(1, math.floor((1 + math.sqrt(1 - c)) / c) - 2)
    while (2 * guess + 1) / ((guess + 1) ** 2 * facts.mu) > facts.gamma.largest:
        guess += 1
    return guess


def _decreasing_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    gamma0, rho0, mu, L = facts.gamma.largest, facts.rho.largest, facts.mu, facts.L
    t0 = _first_decreasing(facts)
    P = unnormalised(facts) * facts.C + normalised(facts)
    Q = K_factor(facts, rho0) * facts.C + 2 * L**2 * rho0**2 * normalised(facts)
    start = t0**2 * ((1 - gamma0 * mu) ** t0 * facts.gap0 + neighbourhood(facts))
    noise = L * P / mu + 4 * L * Q / mu**2
    s = t.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = scale.get("start", 1.0) * start / s**2 + scale.get("noise", 1.0) * (s - t0) / s**2 * noise
    return np.where(t >= t0, value, np.inf)


def _decreasing_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """The theorem's schedules from rho_0 = rho_part rho*/2 and gamma_0 = gamma*(rho_0), which the theorem fixes."""
    if not facts.mu > 0:
        return constant(math.nan), constant(math.nan)
    rho0 = rho_part * largest_radius(facts) / 2
    return decreasing(largest_step(facts, rho0), facts.mu), inverse(rho0, 2.0)


_PROBES = np.unique(np.geomspace(1, 10**7, 100).astype(np.int64)) - 1


def _off_schedule(actual: Schedule, wanted: Schedule) -> float:
    values, target = actual.at(_PROBES), wanted.at(_PROBES)
    return float(np.max(np.abs(values - target) / target))


DECREASING_STEPS = (
    Hypothesis(
        "deviation of gamma_t from decreasing:start=gamma_0,mu=mu",
        lambda f: _off_schedule(f.gamma, decreasing(f.gamma.largest, f.mu)),
        "<=",
        lambda f: 1e-12,
        "gamma_t = min(gamma_0, (2t + 1)/((t + 1)^2 mu)), up to the rounding of the schedule",
    ),
    Hypothesis(
        "deviation of rho_t from inverse:start=rho_0,slope=2",
        lambda f: _off_schedule(f.rho, inverse(f.rho.largest, 2.0)) if f.rho.largest > 0 else 0.0,
        "<=",
        lambda f: 1e-12,
        "rho_t = min(rho_0, 1/(2t + 1)), up to the rounding of the schedule",
    ),
)


def _noisy(indefinite: bool) -> Callable[[np.random.Generator, Claim], Instance]:
    """Finite sums with noise at the minimiser, which the 1/t term is about; without it the tails of long products of
    random factors outgrow any sample."""

    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        problem, n = random_sum(rng, indefinite=indefinite, noise=float(rng.choice([0.3, 1.0])))
        return at_the_limit(claim, problem, random_sampling(rng, n), lam=str(rng.choice(LAMBDAS)))

    return draw


def _two_parabolas(claim: Claim) -> Instance:
    """Two noisy parabolas started at the minimiser, run for 400 t_0 steps: only the 1/t term explains the gap."""
    problem = "quadratic-sum:n=2,d=1,mu=1,L=1,noise=1,seed=3"
    setting = setting_of(claim, problem, "uniform", lam="0", x0="0")
    facts = facts_of(setting)
    gamma, rho = claim.suggest(facts, 1.0, 1.0)
    setting = setting.with_steps(gamma=gamma, rho=rho)
    steps = 400 * _first_decreasing(facts.with_steps(gamma, rho))
    return finish(problem, "uniform", setting, steps, "0", "tight")


claims.add(
    Claim(
        id="unified-sam/pl-decreasing",
        title="PL functions, decreasing steps (U2)",
        source=Source(
            PAPER, "Theorem 3.5", Provenance.DERIVED, "schedules read in the code and a review; bound derived"
        ),
        kind=Kind.UPPER,
        statement=(
            r"\rho_t=\min\{\rho_0,\tfrac1{2t+1}\},\;\gamma_t=\min\{\gamma_0,\tfrac{2t+1}{(t+1)^2\mu}\},\;t\ge t_0:\quad"
            r"\mathbb E[f(x_t)-f^*]\le\tfrac{t_0^2[(1-\gamma_0\mu)^{t_0}(f(x_0)-f^*)+N(\gamma_0,\rho_0)]}{t^2}"
            r"+\tfrac{t-t_0}{t^2}\big(\tfrac{LP}\mu+\tfrac{4LQ}{\mu^2}\big)"
        ),
        hypotheses=(IS_PL, POSITIVE_GAMMA, *DECREASING_STEPS, RHO_LIMIT, GAMMA_LIMIT),
        measure=Measure.SUBOPTIMALITY,
        curve=_decreasing_curve,
        one_step=pl_step,
        suggest=_decreasing_suggest,
        constants={"start": "the 1/t^2 term", "noise": "the 1/t term"},
        families=(
            Family("convex sums", _noisy(False), quick=2, full=16),
            Family("indefinite sums", _noisy(True), quick=1, full=8),
            Family("multiplicative noise", wavy("multiplicative", "uniform"), quick=1),
            data("logistic:data=breast_cancer,reg=0.2,scale=rows", ("tau-nice:tau=16", "0"), ("importance", "0")),
        ),
        controls=(Control("a pure 1/t^2 rate: no 1/t term", _two_parabolas, "trajectory", scale={"noise": 0.0}),),
    )
)
