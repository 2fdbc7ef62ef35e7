"""One step along g/||g||: the worst case over all lengths of the gradient, from above and from below.

One length is one exact problem, so the best length found bounds from below; intervals that cover all lengths bound from
above (`one_step`). The interval with the largest bound is divided until the two agree.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import minimize_scalar

from theory.worst_case.estimation import Solved

WIDTH = 0.01
"""Intervals are divided until the bounds are this close, relatively."""

FIRST = (0.0, 0.0625, 0.125, 0.25, 0.5, 1.0)
"""Ends of the first intervals, in units of the longest gradient."""

REFINED = 16
"""Problems spent on refining the best length: golden sections shrink its bracket a thousandfold."""

Lengths = tuple[float, float]


@dataclass(frozen=True)
class Cover:
    """upper: the bound for all lengths, infinite where there is none. deciding: the problem that it comes from. lower:
    what the best single length attains, -infinite where none was solved. length: that length. problems: solved. fault:
    why there is no upper bound; empty where there is one.
    """

    upper: float
    deciding: Solved | None
    lower: float
    length: float
    problems: int
    fault: str

    @property
    def width(self) -> float:
        """(upper - lower)/upper."""
        return (self.upper - self.lower) / self.upper if self.upper > 0 else 0.0


def cover(solve: Callable[[Lengths], Solved], longest: float, *, hint: float, most: int = 80) -> Cover:
    """Both bounds for 0 < ||g|| <= longest. hint: a length to try first. most: problems to spend."""
    problems, lower, length, fault = 0, -math.inf, math.nan, ""
    tried: list[float] = []
    queue: list[tuple[float, float, float, Solved]] = []

    def solved(lengths: Lengths) -> Solved:
        nonlocal problems
        problems += 1
        return solve(lengths)

    def attained(at: float) -> float:
        nonlocal lower, length
        found = solved((at, at))
        if found.fault:
            return -math.inf  # no instance from this length
        tried.append(at)
        if found.primal > lower:
            lower, length = found.primal, at
        return found.primal

    def put(shortest: float, end: float) -> None:
        nonlocal fault
        found = solved((shortest, end))
        fault = found.fault or fault
        heapq.heappush(queue, (-math.inf if found.fault else -found.value, shortest, end, found))

    attained(hint)
    for shortest, end in itertools.pairwise(FIRST):
        attained((shortest + end) / 2 * longest)
        put(shortest * longest, end * longest)
    if tried:
        below = max((at for at in tried if at < length), default=0.0)
        above = min((at for at in tried if at > length), default=longest)
        minimize_scalar(
            lambda at: -max(attained(float(at)), 0.0),
            bounds=(below, above),
            method="bounded",
            options={"maxiter": REFINED},
        )
    while problems < most and lower < (1 - WIDTH) * -queue[0][0]:
        _, shortest, end, _ = heapq.heappop(queue)
        middle = (shortest + end) / 2
        attained(middle)
        put(shortest, middle)
        put(middle, end)
    upper, deciding = -queue[0][0], queue[0][3]
    return Cover(upper, deciding, lower, length, problems, "" if math.isfinite(upper) else fault)
