"""Exact expectations at points: the inequality that a proof iterates, one step from many points, and statements that
hold at every point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experiments import rounding
from experiments.engine.run import evaluate, simulate
from experiments.exact.one_step import OneStep, one_step_expectations, second_moments_at
from experiments.rounding import EPS
from theory.claim import Scale
from theory.setting import Setting

from .case import Case
from .comparison import Comparison, compare
from .verdict import Evidence, Values

ONE_STEP = "exact one-step expectation"
AT_POINTS = "exact expectation at points"
BY_MOMENTS = "exact second moments of v"

Steps = NDArray[np.int64]


def sample_points(setting: Setting, steps: int) -> tuple[Values, Steps]:
    """Points from which one step is taken, shape (P, d), and the step number t of each.

    The start pulled towards the minimiser by factors 10^0..10^-5, one random direction for each, and where short
    pilot runs end, so that the neighbourhood is visited too.
    """
    centre = setting.problem.centre
    away = setting.x0 - centre
    rng = np.random.default_rng(0)
    pilots = [
        simulate(setting, steps=length, times=np.array([length]), threads=1, tier="textbook")
        for length in sorted({min(max(steps, 20), longest) for longest in (20, 2_000, 200_000)})
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


def one_step_comparison(case: Case, points: Values, t: Steps) -> Comparison | str:
    """E gap after one step from each point beside the claim's one-step bound; a clause where it is not available."""
    found = one_step_expectations(case.setting, points, t)
    if isinstance(found, str):
        return found
    floor = rounding.gap_floor(
        case.setting, case.facts, np.maximum(found.next_gap, found.gap), found.distance, np.ones(len(found.gap))
    )
    return Comparison(
        route=ONE_STEP,
        abscissa=np.arange(len(found.gap)),
        measured=found.next_gap,
        error=floor + EPS * (found.terms + 2) * found.next_gap,
        bound=lambda scale: _one_step_bound(case, found, scale),
        before=found.gap,
    )


def _one_step_bound(case: Case, found: OneStep, scale: Scale) -> Values:
    one_step = case.claim.one_step
    assert one_step is not None
    bound = np.empty(len(found.gap))
    for t in np.unique(found.t):
        chosen = found.t == t
        bound[chosen] = one_step(case.facts, found.gap[chosen], found.norm2[chosen], int(t), scale)
    return bound


def one_step_evidence(case: Case) -> Evidence:
    """The one-step inequality from `sample_points`."""
    found = one_step_comparison(case, *sample_points(case.setting, case.steps))
    return case.nothing(ONE_STEP, found) if isinstance(found, str) else compare(case, found)


def at_points_comparison(case: Case, points: Values, *, by_moments: bool) -> Comparison | str:
    """E||grad f_v||^2 at each point, enumerating v or from E v_i v_j, beside the claim's bound there."""
    at_points = case.claim.at_points
    assert at_points is not None
    if by_moments:
        gap, norm2 = evaluate(case.setting, points)
        measured, terms = second_moments_at(case.setting, points), case.setting.problem.n
    else:
        found = one_step_expectations(case.setting, points, np.zeros(len(points), dtype=np.int64))
        if isinstance(found, str):
            return found
        if found.second_moment is None:
            return "exact route not available: too many values of v to enumerate"
        points = points[: len(found.gap)]
        gap, norm2, measured, terms = found.gap, found.norm2, found.second_moment, found.terms
    distance = np.linalg.norm(points - case.setting.problem.centre, axis=1)
    floor = rounding.norm_floor(case.setting, case.facts, measured, distance, np.ones(len(measured)))
    return Comparison(
        route=BY_MOMENTS if by_moments else AT_POINTS,
        abscissa=np.arange(len(measured)),
        measured=measured,
        error=floor + EPS * (terms + 2) * measured,
        bound=lambda scale: at_points(case.facts, gap, norm2, scale),
    )


def at_points_evidence(case: Case, *, by_moments: bool) -> Evidence:
    """A statement at every point, from `sample_points`."""
    points, _ = sample_points(case.setting, case.steps)
    found = at_points_comparison(case, points, by_moments=by_moments)
    return (
        case.nothing(BY_MOMENTS if by_moments else AT_POINTS, found) if isinstance(found, str) else compare(case, found)
    )
