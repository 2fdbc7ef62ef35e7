"""Plan: the step sizes and the number of steps that the claims promise for a target accuracy.

For each sampling, every claim whose bound reaches the target is asked for the gamma and rho that reach it soonest; the
claim that needs the fewest steps is taken. The radius is the largest that costs at most EXTRA more steps than none:
fewest steps alone would always choose rho = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from problems.errors import InputError
from problems.problem import Problem
from theory.claim import Claim, Kind, Measure, claims
from theory.methods.method import Method, methods
from theory.samplings import Sampling, samplings
from theory.schedules import Schedule
from theory.setting import Facts, Setting, facts_of, make_setting

LONGEST = 10**15
"""Steps beyond which a bound is taken not to reach the target."""

EXTRA = 0.1
"""Part of the fewest steps that is spent on a larger radius."""

SMALLEST = -30.0
"""Step sizes are sought down to exp(SMALLEST) times the admissible ones."""


@dataclass(frozen=True)
class Promise:
    """What one claim promises under one sampling.

    gamma, rho: schedules. steps: until the bound is at most the target. sample_gradients: expected evaluations of
    single grad f_i until then. setting: ready to run. measure: what is bounded.
    """

    claim: str
    sampling: str
    gamma: Schedule
    rho: Schedule
    steps: int
    sample_gradients: float
    setting: Setting
    measure: Measure


def speaks_of(claim: Claim, method: Method) -> bool:
    """The claim's bound covers this method: the same rule, or Unified SAM at its two ends."""
    own = methods.build(claim.method)
    if own.family == method.family:
        return own.uses_lam or own.name == method.name
    if type(own.data) is not type(method.data):
        return False
    return own.family == "unified-sam" or own.lam.constant == method.lam.constant is not None


def target_steps(claim: Claim, facts: Facts, target: float) -> int | None:
    """The first t at which the bound is at most `target`; None where it never is, or the claim does not apply."""
    if claim.curve is None or not claim.admits(facts):
        return None
    t = np.unique(np.geomspace(1, LONGEST, 600).astype(np.int64))
    with np.errstate(all="ignore"):
        good = claim.curve(facts, t, {}) <= target
    if not good.any():
        return None
    last = int(good.argmax())
    if last == 0:
        return 1
    low, high = int(t[last - 1]), int(t[last])  # fails at low, holds at high
    while high - low > 1:
        middle = (low + high) // 2
        with np.errstate(all="ignore"):
            holds = bool(claim.curve(facts, np.array([middle]), {})[0] <= target)
        low, high = (low, middle) if holds else (middle, high)
    return high


def promise(claim: Claim, setting: Setting, target: float, *, rho: Schedule | None = None) -> Promise | None:
    """The soonest that the claim's bound reaches the target on this setting, its step sizes left open; None if never.

    target: of E[f(x_t) - f*], or of the bounded average of E||grad f||^2. rho: a radius that is given.
    """
    facts = facts_of(setting)
    if math.isnan(facts.gap0) or claim.curve is None:
        return None

    def sized(part: float, rho_part: float) -> Facts:
        gamma, radius = claim.suggest(facts, part, rho_part)
        return facts.with_steps(gamma, radius if rho is None else rho)

    def soonest(rho_part: float) -> tuple[int, Facts] | None:
        """Over the step size alone."""
        best: tuple[int, Facts] | None = None

        def cost(log_part: float) -> float:
            nonlocal best
            with np.errstate(all="ignore"):
                tried = sized(math.exp(log_part), rho_part)
                if not (math.isfinite(tried.gamma.largest) and tried.gamma.largest > 0):
                    return math.inf
                steps = target_steps(claim, tried, target)
            if steps is None:
                return 100.0 - log_part
            if best is None or steps < best[0]:
                best = steps, tried
            return math.log(steps)

        grid = np.linspace(SMALLEST, 0.0, 61)
        costs = [cost(float(point)) for point in grid]
        lowest = int(np.argmin(costs))
        ends = grid[max(lowest - 1, 0)], grid[min(lowest + 1, 60)]
        minimize_scalar(cost, bounds=ends, method="bounded", options={"xatol": 1e-3})
        return best

    found = soonest(1e-12 if setting.method.uses_rho and rho is None else 1.0)
    if found is None:
        return None
    if setting.method.uses_rho and rho is None:
        found = _with_radius(found, soonest)
    steps, chosen = found
    evaluations = (2 if setting.method.uses_rho else 1) * setting.sampling.expected_size
    ready = setting.with_steps(gamma=chosen.gamma, rho=chosen.rho)
    return Promise(
        claim.id, setting.sampling.name, chosen.gamma, chosen.rho, steps, steps * evaluations, ready, claim.measure
    )


def _with_radius(least: tuple[int, Facts], soonest: Callable[[float], tuple[int, Facts] | None]) -> tuple[int, Facts]:
    """The largest radius, by bisection in its logarithm, that needs at most (1 + EXTRA) times the fewest steps."""
    allowed = math.ceil((1 + EXTRA) * least[0])
    best, low, high = least, math.log(1e-12), 0.0
    if (largest := soonest(1.0)) is not None and largest[0] <= allowed:
        return largest
    for _ in range(14):
        middle = (low + high) / 2
        found = soonest(math.exp(middle))
        if found is not None and found[0] <= allowed:
            low, best = middle, found
        else:
            high = middle
    return best


def candidates(problem: Problem, method: Method) -> list[Claim]:
    """The claims that bound the gap for this method; where mu = 0, those that bound gradients."""
    wanted = Measure.SUBOPTIMALITY if problem.mu.value > 0 else Measure.GRADIENT_AVERAGE
    return [
        claim
        for claim in claims.values()
        if claim.kind is Kind.UPPER and claim.curve and claim.measure is wanted and speaks_of(claim, method)
    ]


def plan(
    problem: Problem,
    method: Method,
    epsilon: float,
    *,
    rho: Schedule | None = None,
    x0: np.ndarray | None = None,
    chosen: Iterable[Sampling] | None = None,
) -> list[Promise]:
    """The best promise under uniform, importance and the best tau-nice sampling, or under the samplings given.

    epsilon > 0: of E[f(x_t) - f*]; where mu = 0, of the least E||grad f||, so that the bound must reach epsilon^2.
    Raises InputError where no claim speaks of the method, or f - f* of the start is not known.
    """
    speaking = candidates(problem, method)
    if not speaking:
        raise InputError(f"method {method.name!r} has no claim that promises a rate; use unified-sam, sam, usam or sgd")
    target = epsilon if problem.mu.value > 0 else epsilon**2

    def best(sampling: Sampling) -> Promise | None:
        setting = make_setting(problem, sampling=sampling, method=method, x0=x0)
        found = [one for claim in speaking if (one := promise(claim, setting, target, rho=rho)) is not None]
        return min(found, key=lambda one: one.steps) if found else None

    if chosen is None:
        first = [samplings.build(name, problem=problem) for name in ("uniform", "importance", "full")]
        found = [best(sampling) for sampling in first] if problem.n > 1 else [best(first[-1])]
        found.append(_best_batch(problem, best))
    else:
        found = [best(sampling) for sampling in chosen]
    return [one for one in found if one is not None]


def _best_batch(problem: Problem, best: Callable[[Sampling], Promise | None]) -> Promise | None:
    """tau-nice with the tau that needs the fewest sample gradients, over a geometric grid and its neighbours."""
    if problem.n < 3:
        return None
    known: dict[int, Promise | None] = {}

    def cost(tau: int) -> float:
        if tau not in known:
            known[tau] = best(samplings.build(f"tau-nice:tau={tau}", problem=problem))
        one = known[tau]
        return math.inf if one is None else one.sample_gradients

    grid = sorted({round(tau) for tau in np.geomspace(2, problem.n - 1, 12)})
    middle = min(grid, key=cost)
    place = grid.index(middle)
    low, high = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
    for tau in sorted({round(tau) for tau in np.linspace(low, high, 6)}):
        cost(tau)
    return known[min(known, key=cost)]
