"""Monte Carlo over replicates of a run, judged by the betting test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from experiments.engine.run import Progress, record_times, simulate
from theory.claim import Scale
from theory.horizon import shortest_counted

from . import betting
from .case import Case
from .comparison import VISIBLE, Comparison, critical_scales
from .runs import averages, bound_at, distances, informative, run_floor, squared_distances
from .verdict import Evidence, Values, Verdict

MONTE_CARLO = "Monte Carlo"

FIRST_REPLICATES, MOST_REPLICATES = 64, 8192

GRADIENT_TIMES = 16
"""Random times at which each replicate measures a weighted average."""


def monte_carlo_evidence(case: Case, *, seed: int, instances: int, progress: Progress, budget: float) -> Evidence:
    """Replicates of a run against the bound, as many as the betting test needs.

    instances: Monte Carlo instances of the whole verification. budget: most steps times replicates to spend.
    """
    route = MONTE_CARLO
    least = shortest_counted(case.facts, FIRST_REPLICATES)
    if averages(case):
        times = np.unique([max(case.steps // 4, 1), max(case.steps // 2, 1), case.steps])
    else:
        times = record_times(case.steps, 24)[1:]
    bound = bound_at(case, times)(case.scale)
    counted = (times >= least) & np.isfinite(bound)
    if not counted.any():
        return case.nothing(route, f"horizon too short: rare samples need {least} steps before a time counts")
    counted &= run_floor(case, times, np.where(counted, bound, 0.0)) < VISIBLE * bound
    if not counted.any():
        return case.nothing(route, "rounding floor: every bound lies below it")
    if not informative(case, bound[counted]):
        return case.nothing(route, f"horizon too short: the bound does not halve within {case.steps} steps")
    times, bound = times[counted], bound[counted]
    most = most_replicates(budget, case.steps)

    def draw(first: int, count: int) -> Values | None:
        new = _replicates(case, times, first, count, seed, progress)
        return None if progress.stopped else new

    outcome = betting.sequential_test(draw, bound, instances=instances, first=FIRST_REPLICATES, most=most)
    return judged(case, route, outcome, times, bound_at(case, times), show_last=True)


_VERDICTS: dict[betting.Decision, Verdict] = {
    "violated": Verdict.VIOLATED,
    "diverged": Verdict.VIOLATED,
    "consistent": Verdict.CONSISTENT,
    "too few samples": Verdict.INCONCLUSIVE,
}


def _replicates(case: Case, times: NDArray[np.int64], first: int, count: int, seed: int, progress: Progress) -> Values:
    """X for replicates first, ..., first + count - 1 at each time, shape (count, len(times))."""
    if not averages(case):
        run = simulate(
            case.setting, steps=case.steps, times=times, replicates=count, first_replicate=first, seed=seed, threads=1,
            progress=progress, gradients=False, iterates=distances(case),
        )  # fmt: skip
        return squared_distances(case, run.points) if distances(case) else run.gap
    assert case.claim.growth is not None
    growth = case.claim.growth(case.facts)
    own = np.array(
        [_weighted_times(times, growth, np.random.default_rng([seed, 0xA7, r])) for r in range(first, first + count)]
    )
    flat = own.reshape(count, -1)
    order = np.argsort(flat, axis=1, kind="stable")
    run = simulate(
        case.setting, steps=case.steps, times=np.take_along_axis(flat, order, axis=1), replicates=count,
        first_replicate=first, seed=seed, threads=1, progress=progress,
    )  # fmt: skip
    unsorted = np.empty_like(run.grad_norm2)
    np.put_along_axis(unsorted, order, run.grad_norm2, axis=1)
    return np.asarray(unsorted.reshape(own.shape).mean(axis=2))


def _weighted_times(horizons: NDArray[np.int64], growth: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """For each horizon T, times drawn from 0..T-1 with weights (1 + growth)^-(s+1): the mean of ||grad f||^2 over them
    is an unbiased, nonnegative measurement of the weighted average. Shape (len(horizons), GRADIENT_TIMES)."""
    u = rng.random((len(horizons), GRADIENT_TIMES))
    T = horizons[:, None].astype(float)
    if growth * T.max() < 1e-12:
        drawn = u * T
    else:
        rate = np.log1p(growth)
        drawn = -np.log1p(u * np.expm1(-rate * T)) / rate
    return np.asarray(np.minimum(drawn.astype(np.int64), horizons[:, None] - 1))


def most_replicates(budget: float, steps: int) -> int:
    """The largest power of two of copies that `budget` steps allow, within limits."""
    affordable = int(budget // max(steps, 1))
    return max(FIRST_REPLICATES, min(MOST_REPLICATES, 1 << max(affordable.bit_length() - 1, 0)))


def judged(
    case: Case,
    route: str,
    outcome: betting.Outcome,
    times: NDArray[np.int64],
    bound: Callable[[Scale], Values],
    *,
    show_last: bool,
) -> Evidence:
    """The row of a finished betting test. show_last: show the last entry where nothing is violated, not the closest."""
    if outcome.decision == "interrupted":
        return case.nothing(route, "interrupted")
    verdict, samples, stated = _VERDICTS[outcome.decision], outcome.samples, bound(case.scale)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = samples.mean(axis=0)
        errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
        ratios = np.where(stated > 0, means / stated, np.inf)
    show = len(times) - 1 if show_last and verdict is not Verdict.VIOLATED else int(np.argmax(ratios))
    found = Comparison(route, times, means, errors, bound, replicates=len(samples))
    sure = verdict is Verdict.CONSISTENT
    return case.evidence(
        route=route, verdict=verdict, reason=outcome.reason, show=show, abscissa=times, measured=means, bound=stated,
        error=errors, replicates=len(samples), critical=critical_scales(case, found) if sure else None,
    )  # fmt: skip
