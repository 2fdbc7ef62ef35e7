"""Routes of evidence: each measures a claim's left-hand side on one instance and compares it with the bound.

* exact expectation over the sampling, one step from many points (the inequality that the proof iterates);
* exact expectation of a quantity at points;
* a deterministic run; * Monte Carlo over replicates of a run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from experiments import rounding
from experiments.engine.run import Progress, Run, evaluate, one_step, record_times, simulate
from theory.claim import Claim, Kind, Measure, Scale
from theory.horizon import shortest_counted
from theory.samplings import listed
from theory.setting import Facts, Setting, facts_of

from . import betting
from .verdict import Evidence, Values, Verdict

MOST_ATOMS = 20_000
MOST_WORK = 3e9
"""Multiplications that enumeration may cost; beyond, fewer points are tried, and below 3 points none."""

FIRST_REPLICATES, MOST_REPLICATES = 64, 8192
VISIBLE = 0.1
"""A comparison counts only where the rounding floor is below this part of what is compared."""

SLACK = 1.2
"""The mean may lie this far above the bound by sampling error alone before the sample counts as too small."""

GRADIENT_TIMES = 16
"""Random times at which each replicate measures a weighted average."""


@dataclass(frozen=True)
class Case:
    """What is compared: a claim's formulas on these facts, with constants scaled, against this setting's runs."""

    claim: Claim
    setting: Setting
    facts: Facts
    steps: int
    scale: Scale
    origin: str
    replay: str

    def evidence(
        self,
        *,
        route: str,
        verdict: Verdict,
        reason: str,
        show: int,
        abscissa: NDArray[np.int64],
        measured: Values,
        bound: Values,
        error: Values,
        replicates: int = 1,
    ) -> Evidence:
        """Wrap the two curves, showing entry `show`."""
        filled = len(measured) > 0
        return Evidence(
            route=route,
            verdict=verdict,
            reason=reason,
            instance=str(self.setting),
            origin=self.origin,
            replay=self.replay,
            at=float(abscissa[show]) if filled else float("nan"),
            measured=float(measured[show]) if filled else float("nan"),
            bound=float(bound[show]) if filled else float("nan"),
            error=float(error[show]) if filled else float("nan"),
            replicates=replicates,
            abscissa=abscissa,
            measured_curve=measured,
            bound_curve=bound,
            error_curve=error,
        )

    def nothing(self, route: str, reason: str) -> Evidence:
        """A route that could not be taken or showed nothing."""
        empty = np.zeros(0)
        return self.evidence(
            route=route, verdict=Verdict.INCONCLUSIVE, reason=reason, show=0, abscissa=np.zeros(0, dtype=np.int64),
            measured=empty, bound=empty, error=empty,
        )  # fmt: skip


def diverged_reason(run: Run) -> str | None:
    """A clause naming the first divergence, if any."""
    steps = run.diverged[run.diverged >= 0]
    return f"a run diverged at step {int(steps.min())}" if len(steps) else None


# -- exact expectations over the sampling --


def sample_points(case: Case) -> tuple[Values, NDArray[np.int64]]:
    """Points from which one step is taken, shape (P, d), and the step number t of each.

    The start pulled towards the minimiser by factors 10^0..10^-5, one random direction for each, and where short
    pilot runs end, so that the neighbourhood is visited too.
    """
    setting = case.setting
    centre = setting.problem.centre
    away = setting.x0 - centre
    rng = np.random.default_rng(0)
    pilots = [
        simulate(setting, steps=steps, times=np.array([steps]), threads=1)
        for steps in sorted({min(max(case.steps, 20), s) for s in (20, 2_000, 200_000)})
    ]
    points = [setting.x0] + [pilot.x[0] for pilot in pilots if np.isfinite(pilot.x).all() and pilot.diverged[0] < 0]
    for power in range(6):
        turned = rng.standard_normal(setting.problem.d)
        turned *= np.linalg.norm(away) / max(float(np.linalg.norm(turned)), 1e-300)
        points += [centre + 10.0**-power * turned] + ([centre + 10.0**-power * away] if power else [])
    stacked = np.array(points)
    if setting.gamma.constant is not None and setting.rho.constant is not None:
        return stacked, np.zeros(len(stacked), dtype=np.int64)
    return stacked, np.resize(np.array([0, 1, 10, 100, 1000, 10_000]), len(stacked))


@dataclass(frozen=True)
class Expectations:
    """Exact one-step expectations at P points: gap and ||grad f||^2 before, E gap after, E||g||^2, distance to x*."""

    t: NDArray[np.int64]
    gap: Values
    norm2: Values
    next_gap: Values
    second_moment: Values
    distance: Values


def expectations(case: Case) -> Expectations | str:
    """Enumerate the sampling at each point; a clause saying why when there are too many atoms."""
    setting, sampling = case.setting, case.setting.sampling
    if sampling.atom_count() > MOST_ATOMS:
        return f"exact route not available: more than {MOST_ATOMS} values of v"
    atoms = list(sampling.atoms())
    points, t = sample_points(case)
    work = len(atoms) * setting.problem.n * setting.problem.d
    count = int(min(len(points), MOST_WORK // max(work, 1)))
    if count < 3:
        return f"exact route not available: {len(atoms)} values of v on a problem of this size"
    points, t = points[:count], t[:count]
    probabilities = np.array([atom.probability for atom in atoms])
    sampled = listed(atoms, setting.problem.n)
    rows = []
    for point, step in zip(points, t, strict=True):
        run = one_step(
            setting, sampled, np.tile(point, (len(atoms), 1)),
            gamma=float(setting.gamma.at(step)), rho=float(setting.rho.at(step)), lam=float(setting.lam.at(step)),
        )  # fmt: skip
        rows.append((probabilities @ run.gap[:, 0], probabilities @ run.sums[:, 0]))
    gap, norm2 = evaluate(setting, points)
    next_gap, second = np.array(rows).T
    return Expectations(t, gap, norm2, next_gap, second, np.linalg.norm(points - setting.problem.centre, axis=1))


def point_evidence(case: Case) -> Evidence:
    """An exact expectation at points (`at_points`) or after one step (`one_step`) against the bound there."""
    claim = case.claim
    at_points = claim.at_points is not None
    route = "exact expectation at points" if at_points else "exact one-step expectation"
    found = expectations(case)
    if isinstance(found, str):
        return case.nothing(route, found)
    once = np.ones(len(found.gap))
    if claim.at_points is not None:
        measured, bound = found.second_moment, claim.at_points(case.facts, found.gap, found.norm2, case.scale)
        floor = rounding.norm_floor(case.setting, case.facts, measured, found.distance, once)
    else:
        assert claim.one_step is not None
        measured = found.next_gap
        bound = np.array(
            [
                float(claim.one_step(case.facts, found.gap[k], found.norm2[k], int(found.t[k]), case.scale))
                for k in range(len(measured))
            ]
        )
        floor = rounding.gap_floor(case.setting, case.facts, np.maximum(measured, found.gap), found.distance, once)
    return _compare(case, route, np.arange(len(measured)), measured, bound, floor)


def _compare(
    case: Case, route: str, abscissa: NDArray[np.int64], measured: Values, bound: Values, floor: Values
) -> Evidence:
    """Curves without sampling error: violated where measured exceeds the bound by more than the floor."""
    finite = np.isfinite(measured)
    excess = np.where(finite, measured - bound - floor, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(bound > 0, measured / bound, np.where(measured > floor, np.inf, 1.0))
    ratio[~finite] = np.inf
    seen = floor < VISIBLE * np.maximum(np.abs(bound), measured)
    if not seen.any():
        return case.nothing(route, "rounding floor: every bound lies below it")
    show = int(np.argmax(np.where(seen & np.isfinite(bound), ratio, -np.inf)))
    violated = bool((excess[seen & np.isfinite(bound)] > 0).any())
    return case.evidence(
        route=route,
        verdict=Verdict.VIOLATED if violated else Verdict.CONSISTENT,
        reason=f"measured / bound = {ratio[show]:.6g}" if violated else "",
        show=show, abscissa=abscissa, measured=measured, bound=bound, error=floor,
    )  # fmt: skip


# -- runs --


def trajectory_evidence(case: Case, *, seed: int, instances: int, progress: Progress, budget: float) -> Evidence:
    """A run (deterministic) or many (Monte Carlo) against the bound at recorded times.

    instances: Monte Carlo instances of the whole verification. budget: most steps times replicates to spend.
    """
    if case.setting.deterministic:
        return _plateau(case, progress) if case.claim.kind is Kind.EXACT else _deterministic(case, progress)
    return _monte_carlo(case, seed, instances, progress, budget)


def _informative(bound: Values) -> bool:
    """At some time the bound has fallen to half its start, the policy's condition for a row to count."""
    finite = bound[np.isfinite(bound)]
    return len(finite) > 1 and bool(finite.min() <= finite[0] / 2)


def _bound(case: Case, times: NDArray[np.int64]) -> Values:
    with np.errstate(over="ignore"):
        return case.claim.bound(case.facts, times, case.scale)


def _deterministic(case: Case, progress: Progress) -> Evidence:
    route = "deterministic run"
    average = case.claim.measure is Measure.GRADIENT_AVERAGE
    run = simulate(case.setting, steps=case.steps, threads=1, progress=progress, gradients=False)
    times = np.asarray(run.times)[1:]  # at t = 0 every bound is an identity
    values = run.sums[0, 1:] / times if average else run.gap[0, 1:]
    bound = _bound(case, times)
    if (reason := diverged_reason(run)) is not None:
        values = np.where(np.isfinite(values), values, np.inf)
    elif not _informative(np.concatenate([_start_of(case), bound])):
        return case.nothing(route, f"horizon too short: the bound does not halve within {case.steps} steps")
    floor = _floor(case, times, values)
    found = _compare(case, route, times, values, bound, floor)
    if found.verdict is Verdict.CONSISTENT:
        found = replace(found, at=float(times[-1]), measured=values[-1], bound=bound[-1], error=floor[-1])
    return replace(found, reason=reason or found.reason)


def _floor(case: Case, times: NDArray[np.int64], values: Values) -> Values:
    """The rounding floor of values measured along a run."""
    distance = np.full(len(times), float(np.linalg.norm(case.setting.x0 - case.setting.problem.centre)))
    floor_of = rounding.norm_floor if case.claim.measure is Measure.GRADIENT_AVERAGE else rounding.gap_floor
    with np.errstate(invalid="ignore", over="ignore"):
        return floor_of(case.setting, case.facts, np.minimum(values, 1e300), distance, times.astype(float))


def _start_of(case: Case) -> Values:
    """What the bound falls from: itself at t = 0, or f(x_0) - f* where it says nothing there.

    A bound on an average of gradients starts at T = 1.
    """
    if case.claim.measure is Measure.GRADIENT_AVERAGE:
        return _bound(case, np.array([1]))
    first = _bound(case, np.array([0]))
    return first if np.isfinite(first).all() else np.array([case.facts.gap0])


def _plateau(case: Case, progress: Progress) -> Evidence:
    """An equality for the limit: the last records must have settled and agree to the stated digits."""
    route = "deterministic run"
    times = np.unique(np.array([0, case.steps // 2, case.steps * 9 // 10, case.steps]))
    run = simulate(case.setting, steps=case.steps, times=times, threads=1, progress=progress, gradients=False)
    if (reason := diverged_reason(run)) is not None:
        return case.nothing(route, reason)
    late, gaps = times[-2:], run.gap[0, -2:]
    bound = _bound(case, late)
    # A transient still visible at the stated digits says the run is too short, not that the formula is wrong.
    if abs(gaps[1] - gaps[0]) > 10.0 ** -(case.claim.digits + 1) * gaps[1]:
        return case.nothing(route, f"horizon too short: still moving after {case.steps} steps")
    error = abs(gaps[1] / bound[1] - 1)
    agrees = error <= 10.0**-case.claim.digits
    digits = int(min(15, -np.log10(max(error, 1e-16))))
    return case.evidence(
        route=route,
        verdict=Verdict.EXACT if agrees else Verdict.VIOLATED,
        reason=f"agrees to {digits} digits" if agrees else f"off by {error:.2e} relative",
        show=1, abscissa=late, measured=gaps, bound=bound, error=np.abs(gaps) * 10.0**-case.claim.digits,
    )  # fmt: skip


def _monte_carlo(case: Case, seed: int, instances: int, progress: Progress, budget: float) -> Evidence:
    route = "Monte Carlo"
    average = case.claim.measure is Measure.GRADIENT_AVERAGE
    least = shortest_counted(case.facts, FIRST_REPLICATES)
    if average:
        times = np.unique([max(case.steps // 4, 1), max(case.steps // 2, 1), case.steps])
    else:
        times = record_times(case.steps, 24)[1:]
    bound = _bound(case, times)
    counted = (times >= least) & np.isfinite(bound)
    if not counted.any():
        return case.nothing(route, f"horizon too short: rare samples need {least} steps before a time counts")
    counted &= _floor(case, times, np.where(counted, bound, 0.0)) < VISIBLE * bound
    if not counted.any():
        return case.nothing(route, "rounding floor: every bound lies below it")
    if not _informative(np.concatenate([_start_of(case), bound[counted]])):
        return case.nothing(route, f"horizon too short: the bound does not halve within {case.steps} steps")
    times, bound = times[counted], bound[counted]
    samples = np.zeros((0, len(times)))
    limit = betting.threshold(instances)
    replicates = FIRST_REPLICATES
    while True:
        new = _replicates(case, times, len(samples), replicates - len(samples), seed, progress)
        if progress.stopped:
            return case.nothing(route, "interrupted")
        samples = np.concatenate([samples, new])
        if not np.isfinite(samples).all():
            samples = np.where(np.isfinite(samples), samples, np.inf)
            return _judged(case, route, Verdict.VIOLATED, "a run diverged", times, samples, bound)
        evidence = betting.log_evidence(samples, bound)
        if evidence.max() >= limit:
            reason = f"evidence e = 10^{evidence.max() / np.log(10):.1f} after {len(samples)} replicates"
            return _judged(case, route, Verdict.VIOLATED, reason, times, samples, bound)
        means = samples.mean(axis=0)
        if betting.has_power(samples, instances).all() and (means <= SLACK * bound).all():
            return _judged(case, route, Verdict.CONSISTENT, "", times, samples, bound)
        if 2 * replicates > MOST_REPLICATES or 2 * replicates * case.steps > budget:
            return _judged(case, route, Verdict.INCONCLUSIVE, "too few samples", times, samples, bound)
        replicates *= 2


def _replicates(case: Case, times: NDArray[np.int64], first: int, count: int, seed: int, progress: Progress) -> Values:
    """X for replicates first, ..., first + count - 1 at each time, shape (count, len(times))."""
    if case.claim.measure is not Measure.GRADIENT_AVERAGE:
        run = simulate(
            case.setting, steps=case.steps, times=times, replicates=count, first_replicate=first, seed=seed, threads=1,
            progress=progress, gradients=False,
        )  # fmt: skip
        return run.gap
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


def _judged(
    case: Case, route: str, verdict: Verdict, reason: str, times: NDArray[np.int64], samples: Values, bound: Values
) -> Evidence:
    with np.errstate(invalid="ignore", divide="ignore"):
        means = samples.mean(axis=0)
        errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
        ratios = np.where(bound > 0, means / bound, np.inf)
    show = int(np.argmax(ratios)) if verdict is Verdict.VIOLATED else len(times) - 1
    return case.evidence(
        route=route, verdict=verdict, reason=reason, show=show, abscissa=times, measured=means, bound=bound,
        error=errors, replicates=len(samples),
    )  # fmt: skip


def case_of(claim: Claim, setting: Setting, steps: int, *, origin: str = "synthetic", replay: str = "") -> Case:
    """The plain case: facts taken from the setting itself; OutsideHypotheses where the claim says nothing."""
    facts = facts_of(setting)
    claim.require(facts)
    return Case(claim, setting, facts, steps, {}, origin, replay)
