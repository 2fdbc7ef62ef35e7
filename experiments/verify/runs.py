"""Routes along a run without sampling error: a deterministic run, exact moments, exact enumeration of sample paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from experiments import rounding
from experiments.engine.run import Progress, Run, record_times, simulate
from experiments.exact.moments import Moments, exact_moments
from experiments.exact.paths import Paths, path_expectation
from experiments.exact.stationary import stationary_moments
from theory.claim import Measure, Scale

from .case import Case
from .comparison import Comparison, compare
from .verdict import Evidence, Values, Verdict

DETERMINISTIC = "deterministic run"
MOMENTS = "exact moments"
STATIONARY = "exact stationary moments"
PATHS = "exact sample paths"

FOREVER = 2**60
"""The time at which a bound is read for t -> infinity."""


def averages(case: Case) -> bool:
    """The claim is about a weighted average of gradient norms, not about the gap."""
    return case.claim.measure is Measure.GRADIENT_AVERAGE


def distances(case: Case) -> bool:
    """The claim is about the distance to the minimiser, not about the gap."""
    return case.claim.measure is Measure.DISTANCE


def squared_distances(case: Case, points: Values) -> Values:
    """||x - x*||^2 of points with x along the last axis."""
    return np.asarray(((points - case.setting.problem.centre) ** 2).sum(axis=-1))


def _expected(case: Case, found: Moments | Paths) -> tuple[Values, Values]:
    """What the claim measures, and its floor."""
    if averages(case):
        return found.average, found.average_error
    return (found.distance2, found.distance_error) if distances(case) else (found.gap, found.gap_error)


def diverged_reason(run: Run) -> str | None:
    """A clause naming the first divergence, if any."""
    steps = run.diverged[run.diverged >= 0]
    return f"a run diverged at step {int(steps.min())}" if len(steps) else None


def informative(case: Case, bound: Values) -> bool:
    """At some time the bound has fallen to half of where it starts, the policy's condition for a row to count."""
    start = bound_at(case, np.array([1]))(case.scale) if averages(case) else bound_at(case, np.array([0]))(case.scale)
    own = case.facts.distance2_0 if distances(case) else case.facts.gap0
    first = start if np.isfinite(start).all() else np.array([own])
    finite = bound[np.isfinite(bound)]
    # From the minimiser itself nothing can fall; such a run is about what is added.
    return len(finite) > 0 and bool(own == 0 or finite.min() <= first[0] / 2)


class bound_at:
    """The claim's curve at these times as a function of the scale."""

    def __init__(self, case: Case, times: NDArray[np.int64]) -> None:
        # Asked once: a bisection calls this dozens of times.
        case.claim.require(case.facts)
        assert case.claim.curve is not None
        self.curve, self.facts, self.times = case.claim.curve, case.facts, times

    def __call__(self, scale: Scale) -> Values:
        with np.errstate(over="ignore"):
            return self.curve(self.facts, self.times, scale)


def run_floor(case: Case, times: NDArray[np.int64], values: Values) -> Values:
    """The rounding floor of values measured along a run."""
    distance = np.full(len(times), float(np.linalg.norm(case.setting.x0 - case.setting.problem.centre)))
    floor_of = {
        Measure.GRADIENT_AVERAGE: rounding.norm_floor,
        Measure.DISTANCE: rounding.distance_floor,
    }.get(case.claim.measure, rounding.gap_floor)
    with np.errstate(invalid="ignore", over="ignore"):
        return floor_of(case.setting, case.facts, np.minimum(values, 1e300), distance, times.astype(float))


def _too_short(case: Case) -> str:
    return f"horizon too short: the bound does not halve within {case.steps} steps"


def deterministic_comparison(case: Case, progress: Progress) -> tuple[Comparison, str | None]:
    """The run at recorded times t >= 1 (at t = 0 every bound is an identity), and a clause if it diverged."""
    far = distances(case)
    run = simulate(
        case.setting, steps=case.steps, threads=1, tier="textbook", progress=progress, gradients=False, iterates=far
    )
    times = np.asarray(run.times)[1:]
    values = run.sums[0, 1:] / times if averages(case) else run.gap[0, 1:]
    if far:
        values = squared_distances(case, run.points[0, 1:])
    if (reason := diverged_reason(run)) is not None:
        values = np.where(np.isfinite(values), values, np.inf)
    found = Comparison(DETERMINISTIC, times, values, run_floor(case, times, values), bound_at(case, times))
    return found, reason


def deterministic_evidence(case: Case, progress: Progress) -> Evidence:
    """A deterministic run against the bound."""
    found, reason = deterministic_comparison(case, progress)
    if progress.stopped:
        return case.nothing(DETERMINISTIC, "interrupted")
    if reason is None and not informative(case, found.bound(case.scale)):
        return case.nothing(DETERMINISTIC, _too_short(case))
    judged = _at_the_end(compare(case, found))
    return replace(judged, reason=reason or judged.reason)


def _at_the_end(row: Evidence) -> Evidence:
    """Show the last time where nothing is violated."""
    if row.verdict is not Verdict.CONSISTENT:
        return row
    return replace(
        row, at=float(row.abscissa[-1]), measured=row.measured_curve[-1], bound=row.bound_curve[-1],
        error=row.error_curve[-1],
    )  # fmt: skip


def moments_comparison(case: Case, progress: Progress | None = None) -> Comparison | str:
    """Exact E gap, or the exact weighted average of E||grad f||^2, at recorded times."""
    growth = case.claim.growth(case.facts) if averages(case) and case.claim.growth is not None else 0.0
    times = record_times(case.steps, 24)
    found = exact_moments(case.setting, steps=case.steps, times=times, growth=growth, progress=progress)
    if isinstance(found, str):
        return found
    later = times[1:]
    values, error = _expected(case, found)
    return Comparison(MOMENTS, later, values[1:], error[1:], bound_at(case, later))


def moments_evidence(case: Case, progress: Progress) -> Evidence:
    """Exact moments against the bound; a clause where the recursion is not available."""
    found = moments_comparison(case, progress)
    if isinstance(found, str):
        return case.nothing(MOMENTS, found)
    if progress.stopped:
        return case.nothing(MOMENTS, "interrupted")
    if np.isfinite(found.measured).all() and not informative(case, found.bound(case.scale)):
        return case.nothing(MOMENTS, _too_short(case))
    return _at_the_end(compare(case, found))


def stationary_comparison(case: Case) -> Comparison | str:
    """The exact stationary E gap beside what is left of the bound as t grows."""
    if averages(case):
        return "exact route not available: the claim bounds an average over the run"
    found = stationary_moments(case.setting)
    if isinstance(found, str):
        return found
    times = np.array([FOREVER])
    if not bound_at(case, times)({})[0] > 0:
        return "exact route not available: the bound leaves no neighbourhood"
    value, error = (found.distance2, found.distance_error) if distances(case) else (found.gap, found.gap_error)
    return Comparison(STATIONARY, times, np.array([value]), np.array([error]), bound_at(case, times))


def stationary_evidence(case: Case) -> Evidence:
    """The true neighbourhood beside the bound's."""
    found = stationary_comparison(case)
    return case.nothing(STATIONARY, found) if isinstance(found, str) else compare(case, found)


def paths_comparison(case: Case, progress: Progress | None = None, *, most: int = 50_000) -> Comparison | str:
    """Every sample path of a short horizon, for any method."""
    growth = case.claim.growth(case.facts) if averages(case) and case.claim.growth is not None else 0.0
    found = path_expectation(case.setting, steps=max(case.steps, 1), most=most, growth=growth, progress=progress)
    if isinstance(found, str):
        return found
    times = found.times[1:]
    values, error = _expected(case, found)
    return Comparison(PATHS, times, values[1:], error[1:], bound_at(case, times))


def paths_evidence(case: Case, progress: Progress) -> Evidence:
    """Exact expectations over all sample paths against the bound at the first few times."""
    found = paths_comparison(case, progress)
    if isinstance(found, str):
        return case.nothing(PATHS, found)
    if not np.isfinite(found.bound(case.scale)).any():
        return case.nothing(PATHS, f"exact route not available: nothing is claimed up to t = {int(found.abscissa[-1])}")
    return compare(case, found)
