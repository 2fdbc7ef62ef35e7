"""One step on a finite sum with uniform sampling: exact expectations over every n functions of a class.

f = (1/n) sum f_i and x_i+ = x - gamma grad f_i(x + rho grad f_i(x)), i uniform: unnormalised SAM, whose expectation is
the mean over i, linear in inner products and values. T steps would have n^T branches; one is asked here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from problems.errors import InputError
from problems.problem import check_count, check_nonnegative, check_positive
from theory.worst_case.estimation import Estimation, Expression, Point, Solved

MOST = 8
"""Components: the programme has some n^2 points."""


@dataclass(frozen=True)
class FiniteSum:
    """n functions, each mu-strongly convex and L-smooth, 0 < mu < L; gamma > 0, rho >= 0. All dimensionless. Raises
    InputError."""

    n: int
    mu: float
    L: float
    gamma: float
    rho: float

    def __post_init__(self) -> None:
        check_count(self.n, argument="n")
        if self.n > MOST:
            raise InputError(f"n must be at most {MOST}, got {self.n}: the programme has some n^2 points")
        check_positive(self.L, argument="L")
        check_positive(self.gamma, argument="gamma")
        check_nonnegative(self.rho, argument="rho")
        if not 0 < self.mu < self.L:
            raise InputError(f"mu must be > 0 and < L = {self.L:g}, got {self.mu:g}")

    def step(self, f: Any, x: Point) -> Point:
        """x - gamma grad f(x + rho grad f(x))."""
        return x - self.gamma * f.gradient(x + self.rho * f.gradient(x))


def distance_after(case: FiniteSum, noise: float = 0.0, *, solver: str = "CLARABEL") -> Solved:
    """The largest E||x+ - x*||^2 given ||x - x*|| <= 1 and E||grad f_i(x*)||^2 <= noise, x* the minimiser of f.

    noise = 0 is interpolation: every f_i is minimal at x*. Raises InputError.
    """
    check_nonnegative(noise, argument="noise")
    # f = L F: the same points at L = 1, where solvers are at their best.
    noise /= case.L**2
    case = FiniteSum(case.n, case.mu / case.L, 1.0, case.gamma * case.L, case.rho * case.L)
    with Estimation("strongly-convex", case.mu, 1.0, with_infimum=False) as problem:
        components = [problem.f, *(problem.another() for _ in range(case.n - 1))]
        minimiser = problem.origin()
        x = problem.problem.set_initial_point()
        at_minimiser: list[Point] = []
        for f in components[:-1]:
            if noise == 0:
                f.add_point((minimiser, 0 * x, problem.number()))
            else:
                at_minimiser.append(f.gradient(minimiser))
        last = -1 * sum(at_minimiser[1:], at_minimiser[0]) if at_minimiser else 0 * x
        components[-1].add_point((minimiser, last, problem.number()))
        if at_minimiser:
            problem.impose(sum((g**2 for g in (*at_minimiser, last)), 0.0) <= case.n * noise)
        for f in components:
            problem.impose(f(minimiser) == 0)  # only differences of values count
        problem.impose(x**2 <= 1)
        after: list[Expression] = [case.step(f, x) ** 2 for f in components]
        return problem.largest(sum(after[1:], after[0]) / case.n, solver=solver)
