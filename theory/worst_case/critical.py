"""Where a strengthened one-step inequality first fails over a whole class: certified from below, refuted from above.

For a constant on which the inequality depends linearly, the largest excess is a convex function of its scale, a maximum
of linear ones; Newton's method from the failing side (Dinkelbach's) comes down to where it vanishes in a few problems.
A step limit is bisected. Where the perturbation is normalised, lengths of the gradient are divided into intervals until
what is certified on all of them comes within `WIDTH` of what one exact length refutes.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from theory.worst_case.estimation import EXACT_CLASSES, SOLVERS
from theory.worst_case.one_step import ANYWHERE, Cell, Inequality, Margin, margin

WIDTH = 0.01
"""Intervals of lengths are divided until certified and refuted scales are this close, relatively."""

EXCESS = 2e-7
"""An excess up to this is the solver's, which usually leaves 1e-8; the problem's quantities are of order one. Where a
solver leaves more, up to `TOLERANCE`, a certified rate is known to about that over gamma mu."""

FARTHEST = 64.0
"""Scales are tried up to this; beyond, the class says nothing about the constant here."""

SHORTEST_PART = 0.01
"""A step limit below this part of the stated one is taken for 0: such steps change little more than solvers leave."""

FIRST_LENGTHS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0, math.inf)
"""Ends of the first intervals of ||grad f||, in units of L rho lam."""

SURE = (0.002, 0.01, 0.05)
"""An instance refutes the first scale, stronger than the root by one of these parts, at which it exceeds the bound
clearly: where the inequality moves little with its constant, the solver's errors need the larger ones."""

Stated = Callable[[float], tuple[Cell, Inequality]]
"""The cell and the inequality when a constant is scaled by s; the cell changes with a step limit only."""


@dataclass(frozen=True)
class Bracket:
    """certified: a scale at which the inequality holds for every function of the class, up to the solver's tolerance.
    refuted: one at which a function of it breaks it; infinite (up) or -infinite where none was found. up: larger scales
    strengthen. ball: what the ball relaxation certifies. length: ||grad f(x)|| of the refuting instance, NaN where it
    does not matter. problems: solved. fault: why there is no certificate; empty where there is one.
    """

    certified: float
    refuted: float
    up: bool
    cell: Cell
    ball: float = math.nan
    length: float = math.nan
    problems: int = 0
    fault: str = ""


class Unsolved(Exception):
    """The solver did not reach its tolerance."""


def solved_margin(
    cell: Cell, inequality: Inequality, lengths: tuple[float, float], *, solver: str = "CLARABEL"
) -> Margin:
    """`margin` by the first solver that reaches its tolerance. Raises Unsolved where none does."""
    for one in (solver, *(other for other in SOLVERS if other != solver)):
        found = margin(cell, inequality, lengths, solver=one)
        if not found.solved.fault:
            return found
    raise Unsolved(found.solved.fault)


@dataclass
class _Search:
    """One constant of one inequality at one cell."""

    stated: Stated
    up: bool
    linear: bool
    solver: str
    problems: int = 0

    def margin(self, scale: float, lengths: tuple[float, float]) -> Margin:
        self.problems += 1
        return solved_margin(*self.stated(scale), lengths, solver=self.solver)

    def holds(self, scale: float, lengths: tuple[float, float]) -> bool:
        return self.margin(scale, lengths).solved.value <= EXCESS

    def clearly(self, root: float, lengths: tuple[float, float]) -> float | None:
        """The scale a little beyond the root at which a solution exceeds the bound by much more than it violates
        conditions; None where none does."""
        for part in SURE:
            size = part * max(abs(root), 0.01)
            scale = root + size if self.up else root - size
            found = self.margin(scale, lengths)
            if found.solved.primal > 10 * found.solved.error + EXCESS / 10:
                return scale
        return None

    def root(self, lengths: tuple[float, float], start: float) -> float:
        """The strongest scale that holds for these lengths; `start` is one that may fail. Itself where it holds."""
        return self._newton(lengths, start) if self.linear else self._bisected(lengths, start)

    def _newton(self, lengths: tuple[float, float], scale: float) -> float:
        for _ in range(40):
            found = self.margin(scale, lengths)
            if found.solved.value <= EXCESS:
                return scale
            step = 1e-4 * max(1.0, abs(scale))
            away = self.stated(scale - step if self.up else scale + step)[1]
            slope = (found.excess(self.stated(scale)[1]) - found.excess(away)) / step
            if not slope > 0:
                return -math.inf if self.up else math.inf
            # A hair further than the tangent says, so that rounding does not stop just before the root.
            change = found.solved.value / slope * (1 + 1e-6) + 1e-9
            scale = scale - change if self.up else scale + change
            if abs(scale) > 1e6:
                return -math.inf if self.up else math.inf
        raise Unsolved("Newton's method did not settle in 40 problems")

    def _bisected(self, lengths: tuple[float, float], start: float) -> float:
        low, high = 0.0, math.nan
        for scale in (start / 8, start / 4, start / 2, start):  # upwards: a gap on the way would be seen
            if not self.holds(scale, lengths):
                high = scale
                break
            low = scale
        while high - low > 2e-3 * high and high > SHORTEST_PART:  # never where `start` holds
            middle = (low + high) / 2
            low, high = (middle, high) if self.holds(middle, lengths) else (low, middle)
        return low


def bracket(
    stated: Stated, *, up: bool, linear: bool, strongest: float, solver: str = "CLARABEL", most: int = 80
) -> Bracket:
    """Both sides of the critical scale of one constant at one cell.

    stated: see `Stated`. strongest: the scale at which to begin; the constant is not asked to be stronger. linear: the
    inequality is linear in the scale. most: problems to spend.
    """
    cell = stated(1.0)[0]
    search = _Search(stated, up, linear, solver)
    try:
        if cell.lam == 0 or cell.rho == 0:
            certified = search.root((0.0, math.inf), strongest)
            exact = cell.function_class in EXACT_CLASSES
            clear = search.clearly(certified, (0.0, math.inf)) if exact and certified != strongest else None
            refuted = clear if clear is not None else math.inf if up else -math.inf
            return Bracket(certified, refuted, up, cell, problems=search.problems)
        return _divided(search, cell, strongest, most)
    except Unsolved as failure:
        worst = -math.inf if up else math.inf
        return Bracket(worst, math.inf if up else -math.inf, up, cell, problems=search.problems, fault=str(failure))


def _divided(search: _Search, cell: Cell, strongest: float, most: int) -> Bracket:
    """Intervals of lengths, the weakest first, each divided where an exact length does not confirm it."""
    up = search.up
    sign = 1.0 if up else -1.0
    exact = cell.function_class in EXACT_CLASSES
    fault = ""
    try:
        ball = search.root(ANYWHERE, strongest)
    except Unsolved:
        ball = -sign * math.inf
    refuted, at = sign * math.inf, math.nan
    unit = cell.L * cell.rho * cell.lam
    queue: list[tuple[float, float, float]] = []  # (sign * certified, shortest, longest)

    def weaker(a: float, b: float) -> float:
        return min(a, b) if up else max(a, b)

    def put(shortest: float, longest: float) -> None:
        nonlocal fault
        try:
            certified = search.root((shortest, longest), weaker(strongest, refuted))
        except Unsolved as failure:
            certified, fault = -sign * math.inf, str(failure)
        heapq.heappush(queue, (sign * certified, shortest, longest))

    def try_length(length: float) -> None:
        nonlocal refuted, at
        start = weaker(strongest, refuted)
        try:
            found = search.root((length, length), start)
        except Unsolved:
            return  # no instance from this length
        if found == start:
            return
        try:
            clear = search.clearly(found, (length, length))
        except Unsolved:
            return
        if clear is not None and weaker(clear, refuted) == clear:
            refuted, at = clear, length

    for shortest, longest in pairwise(FIRST_LENGTHS):
        middle = {0.0: longest / 2}.get(
            shortest, 2 * shortest if longest == math.inf else math.sqrt(shortest * longest)
        )
        try_length(middle * unit)
        put(shortest * unit, longest * unit)
    while search.problems < most:
        weakest, shortest, longest = queue[0]
        certified = sign * weakest
        reached = weaker(strongest, refuted)
        if abs(reached - certified) <= WIDTH * abs(reached):
            break
        heapq.heappop(queue)
        middle = (
            longest / 4 if shortest == 0 else 4 * shortest if longest == math.inf else math.sqrt(shortest * longest)
        )
        try_length(middle)
        put(shortest, middle)
        put(middle, longest)
    certified = (max if up else min)(sign * queue[0][0], ball)  # both are certificates
    fault = "" if math.isfinite(certified) else fault or "no certificate in so many problems"
    return Bracket(certified, refuted if exact else sign * math.inf, up, cell, ball, at, search.problems, fault)
