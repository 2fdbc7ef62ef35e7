"""GSAM on smooth functions: the sum of squared gradients weighted by the step sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.dynamics import ALL_NORMALISED
from theory.gsam import (
    ALPHAS,
    FINITE_VARIANCE,
    GSAM_CONSTANTS,
    HARADA,
    HARADA_NOTE,
    NOISY_STEP_LIMIT,
    STEP_LIMIT,
    any_radius,
    any_schedule,
    balanced_sampling,
    cosines,
    enumerated,
    floor_at,
    same_curvatures,
    scheduled,
    step_bound,
    step_rounding,
    suggest_steps,
)
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, Scale, Trial, Values, times_of
from theory.unified_sam import IS_BOUNDED, POSITIVE_GAMMA

WINDOWS = 12
"""A path of this many steps is looked at through all its windows; a longer one through some."""


def _sums(values: Values) -> Values:
    """Sums over s < T for T = 0, 1, ..., along the last axis."""
    return np.concatenate([np.zeros_like(values[..., :1]), np.cumsum(values, axis=-1)], axis=-1)


def _drift(setting: Setting, facts: Facts, points: Values, norm2: Values) -> Values:
    """What rounding may have added to 2 f along the run, summed over s < T: each step may miss by `step_rounding`."""
    missed = step_rounding(setting, facts, points)
    return 2 * _sums(np.sqrt(norm2) * missed + facts.L_f * missed**2)


def weighted_sum(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """sum_{t < T} gamma_t E||grad f(x_t)||^2 at times T of a run, one row for each copy of a random one."""
    points = lab.iterates(setting, np.arange(steps))
    copies, T, d = points.shape
    norm2 = lab.values(setting, points.reshape(-1, d))[1].reshape(copies, T)
    gamma, rho = facts.gamma.at(np.arange(steps)), facts.rho.at(np.arange(steps))
    times = times_of(steps, 24)[1:]
    sums = _sums(gamma * norm2)[:, times]

    def stated(scale: Scale) -> Values:
        spent = _sums(gamma * floor_at(facts, gamma, rho, scale))[times]
        return np.asarray((2 * facts.gap0 + spent) / scale.get("rate", 1.0))

    if not setting.deterministic:
        return Trial("copies of a run", times.astype(float), sums, stated, np.zeros(len(times)))
    error = _drift(setting, facts, points[0], norm2[0])[times] + EPS * (times + d + 8) * (sums[0] + stated({}))
    return Trial("a run", times.astype(float), sums[0], stated, error)


def windows(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The sum over s <= t < T for every window of the first steps, over all paths; in NumPy, gradients included."""
    levels = enumerated(setting, steps)
    problem, depth = setting.problem, len(levels) - 1
    norm2, gap, drift = np.zeros(depth), np.zeros(depth), np.zeros(depth)
    for t, (chances, points) in enumerate(levels[:-1]):
        squares = np.array([float(np.sum(problem.gradient(x) ** 2)) for x in points])
        missed = step_rounding(setting, facts, points)
        norm2[t] = chances @ squares
        gap[t] = chances @ np.array([problem.gap(x) for x in points])
        drift[t] = 2 * chances @ (np.sqrt(squares) * missed + facts.L_f * missed**2)
    gamma, rho = facts.gamma.at(np.arange(depth)), facts.rho.at(np.arange(depth))
    ends = np.arange(1, depth + 1) if depth <= WINDOWS else times_of(depth, WINDOWS)[1:]
    pairs = [(s, T) for T in ends for s in sorted({0, *(range(T) if depth <= WINDOWS else (T // 2, T - 1))}) if s < T]
    first, last = np.array(pairs).T
    total, error = _sums(gamma * norm2), _sums(drift)
    sums = total[last] - total[first]

    def stated(scale: Scale) -> Values:
        spent = _sums(gamma * floor_at(facts, gamma, rho, scale))
        return np.asarray((2 * gap[first] + spent[last] - spent[first]) / scale.get("rate", 1.0))

    slack = error[last] - error[first] + EPS * (depth + problem.d + 8) * (total[last] + stated({}))
    return Trial("every path, enumerated in NumPy", last.astype(float), sums, stated, slack)


# -- families --


def _common_hessian(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = same_curvatures(rng)
    gamma = any_schedule(rng, float(rng.uniform(0.1, 0.95)), 300)
    sampling, alpha = balanced_sampling(rng, n), str(rng.choice(ALPHAS))
    return scheduled(claim, problem, sampling, gamma=gamma, rho=any_radius(rng), alpha=alpha, steps=300)


def _cosines(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = cosines(rng, noisy=True)
    gamma = any_schedule(rng, float(rng.uniform(0.1, 0.95)), 300)
    sampling, alpha = balanced_sampling(rng, n), str(rng.choice(ALPHAS))
    return scheduled(claim, problem, sampling, gamma=gamma, rho=any_radius(rng), alpha=alpha, steps=300)


def _full_batch(rng: np.random.Generator, claim: Claim) -> Instance:
    problem = str(rng.choice([cosines(rng, noisy=False)[0], f"quadratic:d=5,mu=0.1,L=1,seed={rng.integers(10**6)}"]))
    gamma = any_schedule(rng, float(rng.uniform(0.1, 1.0)), 2000)
    alpha = str(rng.choice(ALPHAS))
    return scheduled(claim, problem, gamma=gamma, rho=any_radius(rng), alpha=alpha, steps=2000)


def _logistic(rng: np.random.Generator, claim: Claim) -> Instance:
    problem = "logistic:data=breast_cancer,reg=0.01,scale=rows"
    sampling = str(rng.choice(["tau-nice:tau=64", "replacement:tau=64"]))
    gamma = any_schedule(rng, float(rng.uniform(0.5, 2.0)), 30)
    return scheduled(claim, problem, sampling, gamma=gamma, rho=any_radius(rng), steps=30, origin="data")


def the_cycle(claim: Claim, *, rho: float = 0.1, steps: int = 1000) -> Instance:
    """f = x^2/2, gamma = 1: from x = rho on, +-rho, where ||grad f||^2 = c^2."""
    return scheduled(claim, "spectrum:h=1", gamma=1, rho=rho, alpha=0, x0=f"{rho}", steps=steps, origin="tight")


def coin(claim: Claim, *, gamma: float = 0.002, steps: int = 30) -> Instance:
    """f_i = x^2/2 +- x without a radius: near the minimiser a step adds L gamma^2 sigma^2/2."""
    return scheduled(claim, "parabolas:h=1/1,slopes=1/-1", "uniform", gamma=gamma, x0="1", steps=steps, origin="tight")


def the_saddle(claim: Claim) -> Instance:
    """cos x_1 + cos x_2 near (0, pi), curvatures 1 and -1: offsets (sqrt 3, sqrt 6) rho with alpha = 2 and gamma = 1/L
    spend the whole of (1 + alpha)^2 L^2 rho^2 = 9 rho^2 up to O(rho^2)."""
    rho = 1e-3
    x0 = f"{3**0.5 * rho!r}/{float(np.pi + 6**0.5 * rho)!r}"
    return scheduled(claim, "cosine-sum:w=1/1", gamma=1, rho=rho, alpha=2, x0=x0, steps=1, origin="tight")


claims.add(
    Claim(
        id="gsam/weighted-gradient",
        title="GSAM on smooth functions: squared gradients weighted by the step sizes",
        source=Source(HARADA, None, Provenance.DERIVED, HARADA_NOTE),
        kind=Kind.UPPER,
        statement=(
            r"\gamma_t\le\tfrac1L:\quad\sum_{t=s}^{T-1}\gamma_t\mathbb E\|\nabla f(x_t)\|^2\le2\,\mathbb E[f(x_s)-f^*]"
            r"+\sum_{t=s}^{T-1}\gamma_tc_t^2+L\sigma^2\sum_{t=s}^{T-1}\tfrac{\gamma_t^2}{1-L\gamma_t},\quad "
            r"c_t=\max(1,|1+\alpha|)L_S\rho_t,\ \sigma^2=\sup_x\mathbb E\|\nabla f_v(x)-\nabla f(x)\|^2"
        ),
        hypotheses=(IS_BOUNDED, ALL_NORMALISED, POSITIVE_GAMMA, FINITE_VARIANCE, STEP_LIMIT, NOISY_STEP_LIMIT),
        measure=Measure.GRADIENT_AVERAGE,
        one_step=step_bound,
        trials={"weighted sum": weighted_sum, "windows": windows},
        suggest=suggest_steps,
        constants=GSAM_CONSTANTS,
        method="gsam",
        families=(
            Family("quadratics with one Hessian", _common_hessian, quick=3, full=30),
            Family("cosines with additive noise", _cosines, quick=3, full=30),
            Family("full batch", _full_batch, quick=2, full=20),
            Family("logistic regression", _logistic, quick=1, full=6),
            Family("the cycle of gamma = 1/L, where the radius costs all of c^2", lambda rng, claim: the_cycle(claim)),
            Family("a coin at small steps, where the noise costs all it may", lambda rng, claim: coin(claim)),
            Family("a saddle where all of (1 + alpha)^2 is spent", lambda rng, claim: the_saddle(claim)),
        ),
        controls=(
            Control(
                "the radius costs nothing: c = 0",
                lambda claim: scheduled(claim, "spectrum:h=2", gamma=0.4, rho=0.3, x0="2", steps=20_000),
                "weighted sum",
                scale={"perturbation": 0.0},
            ),
            Control(
                "alpha for free: c = L_S rho at alpha = 2",
                the_saddle,
                "one-step",
                facts=lambda facts: replace(facts, parameters={"alpha": 0.0}),
            ),
            Control("a third of the noise", coin, "one-step", scale={"noise": 1 / 3}),
            Control(
                "a third of the noise, summed along sampled runs",
                lambda claim: coin(claim, gamma=0.125, steps=500),
                "weighted sum",
                scale={"noise": 1 / 3},
            ),
            Control(
                "half of the start",
                lambda claim: scheduled(claim, "spectrum:h=1", gamma=1, x0="1", steps=2),
                "windows",
                scale={"rate": 2.0},
            ),
        ),
        remarks=(
            "alpha in [-2, 0] costs nothing, and no alpha must be small.",
            "Its proof uses of the perturbation only its length, at most rho: alpha = 0 covers SAM under any such one.",
            "The smallest E||grad f(x_t)||^2 of a window is at most the right side divided by the sum of its gamma_t.",
        ),
    )
)
