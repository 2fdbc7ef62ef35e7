"""The inequality that a proof iterates, E D+ <= c0 + c1 D + c2 ||grad f||^2, against every function of a class at once.

D = f(x) - inf f and x+ = x - gamma grad f(x + eps), eps = rho ((1 - lam) g + lam g/||g||), g = grad f(x). The problem

    maximise  D+ - c0 tau - c1 D - c2 ||g||^2   over functions, points and tau >= 0,   D + tau = 1,

is the inequality divided by 1 + D, so that what happens far away counts too: the inequality holds for every function
and every point if and only if the maximum is not positive. (Where c1 = 1, ||g||^2 + tau = 1 takes its place.) Lengths
are counted in units of rho lam: x = rho lam x', f(x) = (rho lam)^2 f'(x') leaves mu, L and gamma as they are.

With lam > 0 the direction u = g/||g|| is not linear in inner products. Three ways:

- ||g|| = c. Then u = g/c and the problem is exact; a primal solution is an instance.
- a <= ||g|| <= b. Any u with ||u||^2 = tau, <u, g> in [a, b] tau and ||g||^2 <= (a + b) <u, g> - a b tau, and what the
  class says of gradients along eps says of them along g too. A relaxation that tends to the exact problem as b - a
  does; intervals that cover (0, infinity) certify all of it.
- `ANYWHERE`: any u with ||u||^2 <= tau and <u, g> >= 0: the ball, one problem for all lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from theory.worst_case.estimation import Estimation, Expression, FunctionClass, Point, Solved

ANYWHERE = (-1.0, math.inf)
"""The interval that stands for the ball."""


@dataclass(frozen=True)
class Cell:
    """One class and one choice of step size, radius and mixing; mu and L are those of the class."""

    function_class: FunctionClass
    mu: float
    L: float
    gamma: float
    rho: float
    lam: float

    def __str__(self) -> str:
        constants = f"mu={self.mu:g}, L={self.L:g}" if self.mu else f"L={self.L:g}"
        return f"{self.function_class} ({constants}), gamma={self.gamma:.6g}, rho={self.rho:.6g}, lam={self.lam:g}"


@dataclass(frozen=True)
class Inequality:
    """D+ <= c0 + c1 D + c2 ||grad f(x)||^2."""

    c0: float
    c1: float
    c2: float


@dataclass(frozen=True)
class Margin:
    """The largest excess over the inequality, and where the solver's solution has it. All in the units of the problem,
    where D + tau = 1 or ||g||^2 + tau = 1, and lengths in units of `length`.

    after, gap, norm2, unit: D+, D, ||g||^2 and tau of the solution.
    """

    solved: Solved
    length: float
    after: float
    gap: float
    norm2: float
    unit: float

    def excess(self, inequality: Inequality) -> float:
        """By how much this solution exceeds another inequality."""
        c0 = inequality.c0 / self.length**2
        return self.after - c0 * self.unit - inequality.c1 * self.gap - inequality.c2 * self.norm2


def margin(
    cell: Cell, inequality: Inequality, lengths: tuple[float, float] = (0.0, math.inf), *, solver: str = "CLARABEL"
) -> Margin:
    """The problem above for ||grad f(x)|| in `lengths`; ANYWHERE for the ball, equal ends for one length.

    Where nothing is normalised (lam or rho is 0) the lengths are not asked.
    """
    length = cell.rho * cell.lam or 1.0
    lengths = lengths if lengths == ANYWHERE else (lengths[0] / length, lengths[1] / length)
    if cell.rho * cell.lam > 0:
        radius = cell.rho * (1 - cell.lam) + 1
        cell = replace(cell, rho=radius, lam=1 / radius)
    c0 = inequality.c0 / length**2
    with Estimation(cell.function_class, cell.mu, cell.L, with_infimum=inequality.c1 != 1) as problem:
        unit = problem.number()
        problem.impose(unit >= 0)
        x, g, eps = perturbed(problem, unit, cell, lengths)
        h = problem.gradient(x + eps)
        if lengths != ANYWHERE and lengths[0] != lengths[1] and cell.lam * cell.rho > 0:
            along_the_gradient(problem, g, h - g, eps, cell.rho * (1 - cell.lam + cell.lam / max(lengths[0], 1e-300)))
        stepped = x - cell.gamma * h
        problem.gradient(stepped)
        if not problem.with_infimum:
            problem.impose(problem.f(x) == 0)  # only differences of values count
        before, after, norm2 = problem.gap(x), problem.gap(stepped), g**2
        problem.impose((before if problem.with_infimum else norm2) + unit == 1)
        solved = problem.largest(after - c0 * unit - inequality.c1 * before - inequality.c2 * norm2, solver=solver)
        if not solved.gram.size:
            return Margin(solved, length, *[math.nan] * 4)
        return Margin(solved, length, *_shown((after, before, norm2, unit)))


def _shown(quantities: Iterable[Expression]) -> list[float]:
    """The values that quantities have in the solution."""
    return [float(quantity.eval()) for quantity in quantities]


def perturbed(
    problem: Estimation, unit: Expression, cell: Cell, lengths: tuple[float, float]
) -> tuple[Point, Point, Point]:
    """x, g = grad f(x) and eps, with what is known of g/||g|| for these lengths of g; 1 is `unit` in its units."""
    x = problem.origin()
    if cell.lam == 0 or cell.rho == 0:
        g = problem.gradient(x)
        return x, g, cell.rho * (1 - cell.lam) * g
    u = problem.direction()
    shortest, longest = lengths
    if shortest == longest:
        problem.impose(u**2 == unit)
        problem.with_gradient(x, shortest * u)  # not u = g/||g||: solvers dislike large multiples of short vectors
        problem.gradient(x)  # with what boundedness says of it
        return x, shortest * u, cell.rho * ((1 - cell.lam) * shortest + cell.lam) * u
    g = problem.gradient(x)
    if lengths == ANYWHERE:
        problem.impose(u**2 <= unit)
        problem.impose(u * g >= 0)
    else:
        # With <u, g> for ||g||: (||g|| - a)(b - ||g||) >= 0.
        problem.impose(u**2 == unit)
        problem.impose(u * g >= shortest * unit)
        problem.impose(g**2 >= shortest * (u * g))
        if math.isfinite(longest):
            problem.impose(u * g <= longest * unit)
            problem.impose(g**2 <= (shortest + longest) * (u * g) - shortest * longest * unit)
    return x, g, cell.rho * ((1 - cell.lam) * g + cell.lam * u)


def along_the_gradient(problem: Estimation, g: Point, delta: Point, eps: Point, most: float) -> None:
    """What holds of delta = grad f(x + eps) - g because eps = e g with 0 < e <= most.

    The class says it of <delta, eps>; divided by e it says it of <delta, g>. Without it a direction that is slightly
    off g undoes first-order terms that the inequality pays for to second order only.
    """
    mu, L = problem.mu, problem.L
    along = delta * g
    if problem.function_class in ("strongly-convex", "convex"):
        problem.impose((1 + mu / L) * along >= delta**2 / (L * most) + mu * (eps * g))
    else:
        problem.impose(along <= L * (eps * g))
        problem.impose(along >= -L * (eps * g))
