"""GSAM on Polyak-Lojasiewicz functions: the last iterate, for any schedules of steps and radii."""

from __future__ import annotations

import numpy as np

from theory.claim import (
    Claim,
    Control,
    Curve,
    Family,
    Instance,
    Kind,
    Measure,
    Provenance,
    Scale,
    Source,
    Times,
    claims,
)
from theory.dynamics import ALL_NORMALISED
from theory.gsam import (
    ALPHAS,
    FINITE_VARIANCE,
    HARADA,
    HARADA_NOTE,
    NOISY_STEP_LIMIT,
    STEP_LIMIT,
    any_radius,
    any_schedule,
    balanced_sampling,
    floor_at,
    same_curvatures,
    scheduled,
    suggest_steps,
)
from theory.setting import Facts
from theory.unified_sam import IS_PL, POSITIVE_GAMMA

LONGEST = 1 << 22
"""Beyond this many steps of a changing schedule nothing is stated: its products are taken one by one."""


def _constant(facts: Facts, t: Times, scale: Scale) -> Curve:
    """(1 - gamma mu)^t D_0 + (1 - (1 - gamma mu)^t) (c^2 + L gamma sigma^2/(1 - L gamma))/(2 mu)."""
    gamma, rho = np.array(facts.gamma.largest), facts.rho.largest
    factor = max(1 - scale.get("rate", 1.0) * float(gamma) * facts.mu, 0.0)
    settled = float(floor_at(facts, gamma, rho, scale)) / (2 * facts.mu)
    left = factor ** t.astype(float)
    return np.asarray(left * facts.gap0 + (1 - left) * settled)


def last_iterate(facts: Facts, t: Times, scale: Scale) -> Curve:
    """D_{t+1} = (1 - gamma_t mu) D_t + gamma_t/2 (c_t^2 + L gamma_t sigma^2/(1 - L gamma_t)), D_0 = f(x_0) - f*."""
    if facts.gamma.constant is not None and facts.rho.constant is not None and "rate" not in scale:
        return _constant(facts, t, scale)
    bound = np.full(t.shape, np.inf)
    wanted = t <= LONGEST
    if not wanted.any():
        return bound
    steps = np.arange(int(t[wanted].max()))
    gamma, rho = facts.gamma.at(steps), facts.rho.at(steps)
    factors = np.maximum(1 - scale.get("rate", 1.0) * gamma * facts.mu, 0.0).tolist()
    added = (gamma / 2 * floor_at(facts, gamma, rho, scale)).tolist()
    D, path = facts.gap0, [facts.gap0]
    for factor, more in zip(factors, added, strict=True):
        D = factor * D + more
        path.append(D)
    bound[wanted] = np.array(path)[t[wanted]]
    return bound


def pl_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    """(1 - gamma mu) D + gamma/2 (c^2 + L gamma sigma^2/(1 - L gamma))."""
    gamma, rho = facts.gamma.at(t), facts.rho.at(t)
    factor = np.maximum(1 - scale.get("rate", 1.0) * gamma * facts.mu, 0.0)
    return np.asarray(factor * gap + gamma / 2 * floor_at(facts, gamma, rho, scale))


def _common_hessian(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = same_curvatures(rng, least=0.3)
    gamma = any_schedule(rng, float(rng.uniform(0.2, 0.9)), 200)
    sampling, alpha = balanced_sampling(rng, n), str(rng.choice(ALPHAS))
    return scheduled(claim, problem, sampling, gamma=gamma, rho=any_radius(rng), alpha=alpha, x0="scaled:30", steps=200)


def _wavy(rng: np.random.Generator, claim: Claim) -> Instance:
    a = round(float(rng.uniform(0.5, 2.0)), 2)
    problem = f"pl-sine:d=2,a={a},map=rotated,noise=additive,n=4,level=0.5,seed={rng.integers(10**6)}"
    gamma = any_schedule(rng, float(rng.uniform(0.2, 0.9)) / (2 + 2 * a), 400)
    return scheduled(
        claim,
        problem,
        "tau-nice:tau=2",
        gamma=gamma,
        rho=any_radius(rng),
        alpha=str(rng.choice(ALPHAS)),
        x0="scaled:30",
        steps=400,
    )


def _full_batch(rng: np.random.Generator, claim: Claim) -> Instance:
    problem = f"quadratic:d=5,mu=0.2,L=1,seed={rng.integers(10**6)}"
    gamma = any_schedule(rng, float(rng.uniform(0.2, 1.0)), 300)
    alpha = str(rng.choice(ALPHAS))
    return scheduled(claim, problem, gamma=gamma, rho=any_radius(rng), alpha=alpha, x0="scaled:30", steps=300)


def the_cycle(claim: Claim) -> Instance:
    """f = x^2/2, gamma = 1: from x = rho on, +-rho, the claimed floor c^2/(2 mu) exactly."""
    return scheduled(claim, "spectrum:h=1", gamma=0.999, rho=0.1, alpha=0, x0="3", steps=60, origin="tight")


def coin(claim: Claim) -> Instance:
    return scheduled(claim, "parabolas:h=1/1,slopes=1/-1", "uniform", gamma=0.01, x0="20", steps=1000, origin="tight")


claims.add(
    Claim(
        id="gsam/pl-last-iterate",
        title="GSAM on PL functions: the last iterate, any schedules",
        source=Source(HARADA, None, Provenance.DERIVED, HARADA_NOTE),
        kind=Kind.UPPER,
        statement=(
            r"\gamma_t\le\tfrac1L:\quad\mathbb E[f(x_{t+1})-f^*]\le(1-\gamma_t\mu)\,\mathbb E[f(x_t)-f^*]"
            r"+\tfrac{\gamma_t}2c_t^2+\tfrac{L\gamma_t^2\sigma^2}{2(1-L\gamma_t)},\ c_t=\max(1,|1+\alpha|)L_S\rho_t;"
            r"\quad\gamma,\rho\text{ constant: floor }\tfrac{c^2}{2\mu}+\tfrac{L\gamma\sigma^2}{2\mu(1-L\gamma)}"
        ),
        hypotheses=(IS_PL, ALL_NORMALISED, POSITIVE_GAMMA, FINITE_VARIANCE, STEP_LIMIT, NOISY_STEP_LIMIT),
        measure=Measure.SUBOPTIMALITY,
        curve=last_iterate,
        one_step=pl_step,
        suggest=suggest_steps,
        constants={
            "rate": "the factor 1 - s gamma mu: how many times faster than claimed",
            "perturbation": "s times c^2, what the radius costs",
            "noise": "s times L gamma sigma^2/(1 - L gamma), what the noise costs",
        },
        method="gsam",
        families=(
            Family("quadratics with one Hessian", _common_hessian, quick=2, full=20),
            Family("wavy functions, additive noise", _wavy, quick=1, full=10),
            Family("full batch", _full_batch, quick=2, full=20),
            Family("the cycle at gamma = 1/L: the floor of the radius", lambda rng, claim: the_cycle(claim), full=1),
            Family("a coin at small steps", lambda rng, claim: coin(claim), full=1),
        ),
        controls=(
            Control("half of the radius's floor", the_cycle, "trajectory", scale={"perturbation": 0.5}),
            Control("a third of the noise", coin, "one-step", scale={"noise": 1 / 3}),
            Control(
                "rate doubled",
                lambda claim: scheduled(claim, "spectrum:h=1", gamma=0.5, x0="1", steps=40),
                "trajectory",
                scale={"rate": 2.0},
            ),
        ),
    )
)
