"""The critical scales of one instance, from everything about it that can be measured exactly and at once."""

from __future__ import annotations

import math

import numpy as np

from experiments.engine.run import Progress
from theory.admissible import longest_step
from theory.setting import facts_of

from .case import Case
from .comparison import Comparison, compare, critical_scale
from .points import at_points_comparison, one_step_comparison
from .runs import deterministic_comparison, moments_comparison
from .verdict import Critical, Evidence, Verdict

FARTHEST_STEP = 64.0
"""A step limit is tried up to this many times its size."""


def exact_comparisons(case: Case) -> list[Comparison]:
    """What can be measured without sampling and at once: one step from the start, and a short run where exact."""
    claim, found = case.claim, []
    if claim.at_points is not None:
        points = case.setting.x0[None, :]
        found.append(at_points_comparison(case, points, by_moments=True))
    if claim.one_step is not None:
        found.append(one_step_comparison(case, case.setting.x0[None, :], np.zeros(1, dtype=np.int64)))
    if claim.curve is not None:
        if case.setting.deterministic:
            run, reason = deterministic_comparison(case, Progress())
            found += [run] if reason is None else []
        else:
            found.append(moments_comparison(case))
    return [comparison for comparison in found if not isinstance(comparison, str)]


def sharpest(case: Case, name: str) -> tuple[Critical, str] | None:
    """The critical scale of a constant over what is exact for this case, and by which route."""
    if name == "step_limit":
        return _step_limit(case)
    best: tuple[Critical, str] | None = None
    with np.errstate(all="ignore"):
        for comparison in exact_comparisons(case):
            scale = comparison.critical_scale(name)
            if scale is not None and (best is None or badness(scale) < badness(best[0])):
                best = scale, comparison.route
    return best


def badness(scale: Critical) -> float:
    """Smaller is sharper, whichever way the constant points."""
    return scale.sharpest if scale.up else -scale.sharpest


def with_step_limit(case: Case, factor: float) -> Case | None:
    """The case with the step at `factor` times its admissible limit, at the same radius."""
    claim = case.claim.relaxed(factor)
    if case.facts.gamma.constant is None or case.facts.rho.constant is None:
        return None
    gamma = longest_step(claim, case.facts, case.facts.rho.constant)
    setting = case.setting.with_steps(gamma=gamma, rho=case.facts.rho.constant)
    facts = facts_of(setting)
    if not claim.admits(facts):
        return None
    return Case(claim, setting, facts, case.steps, case.scale, case.origin, case.replay)


def _step_limit(case: Case) -> tuple[Critical, str] | None:
    """The smallest multiple of the step limit at which the bound fails on this problem and start."""
    route = ""

    def fails(factor: float) -> bool:
        nonlocal route
        wider = with_step_limit(case, factor) if 0 < factor <= FARTHEST_STEP else None
        if wider is None:
            return False
        with np.errstate(all="ignore"):
            for comparison in exact_comparisons(wider):
                bound = comparison.bound({})
                over = comparison.measured > bound + comparison.tolerance(bound)
                if bool((over & np.isfinite(bound) & comparison.seen).any()):
                    route = comparison.route
                    return True
        return False

    if with_step_limit(case, 1.0) is None:
        return None
    scale = critical_scale(fails, up=True, rounds=25)
    return (Critical(scale, scale, up=True), route) if math.isfinite(scale) else None


def replayed(case: Case) -> Evidence:
    """Every exact measurement that a search takes of an instance, as one row: the worst comparison, with the critical
    scales of all of them, the step limit's included."""
    comparisons = exact_comparisons(case)
    if not comparisons:
        return case.nothing("search", "exact route not available: nothing exact can be measured here")
    rows = [compare(case, comparison) for comparison in comparisons]
    worst = max(rows, key=lambda row: (row.verdict is Verdict.VIOLATED, len(row.abscissa) > 0 and row.ratio))
    critical = {}
    for name in case.claim.named_constants:
        if (found := sharpest(case, name)) is not None:
            critical[name] = found[0]
    return case.evidence(
        route=worst.route, verdict=worst.verdict, reason=worst.reason, show=_shown(worst), abscissa=worst.abscissa,
        measured=worst.measured_curve, bound=worst.bound_curve, error=worst.error_curve, critical=critical,
        relation=worst.relation,
    )  # fmt: skip


def _shown(row: Evidence) -> int:
    matching = [k for k, at in enumerate(row.abscissa) if at == row.at]
    return matching[0] if matching else 0
