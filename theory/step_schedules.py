"""Step sizes of theorems on SGD: harmonic ones, and constant ones that turn into steps of order 1/t."""

from __future__ import annotations

import numpy as np

from problems.problem import check_count, check_nonnegative, check_positive
from problems.spec import spelled
from theory.schedules import Schedule, schedules


@schedules.register("harmonic")
def harmonic(start: float) -> Schedule:
    """start/(t + 1): c/t for t = 1, 2, ... in the count of the papers."""
    check_nonnegative(start, argument="start of schedule 'harmonic'")
    return Schedule(f"harmonic:start={spelled(start)}", lambda t: start / (t + 1), float(start))


@schedules.register("switched")
def switched(start: float, mu: float, after: int) -> Schedule:
    """`start` for t < after, then (2t + 1)/((t + 1)^2 mu). mu > 0; after >= 0."""
    check_nonnegative(start, argument="start of schedule 'switched'")
    check_positive(mu, argument="mu of schedule 'switched'")
    count = check_count(after, argument="after of schedule 'switched'", least=0)
    first = (2 * count + 1) / ((count + 1) ** 2 * mu)
    return Schedule(
        f"switched:start={spelled(start)},mu={spelled(mu)},after={count}",
        lambda t: np.where(t < count, start, (2 * t + 1) / ((t + 1) ** 2 * mu)),
        max(start, first) if count else first,
    )
