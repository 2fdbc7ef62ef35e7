"""One step on a finite sum with uniform sampling: exact expectations over every n functions of a class.

f = (1/n) sum f_i and x_i+ = x - gamma grad f_i(x + rho grad f_i(x)), i uniform: unnormalised SAM, whose expectation is
the mean over i, linear in inner products and values. T steps would have n^T branches; one is asked here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from problems.errors import InputError
from problems.problem import check_count, check_nonnegative, check_positive
from theory.worst_case.critical import EXCESS, Unsolved
from theory.worst_case.estimation import Estimation, Expression, Point, Solved

MOST = 8
"""Components: the programme has some n^2 points."""


@dataclass(frozen=True)
class FiniteSum:
    """n functions, each mu-strongly convex (mu > 0) or any L-smooth one (mu = 0), L = the largest Lipschitz constant;
    gamma > 0, rho >= 0. All dimensionless. Raises InputError."""

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
        if not 0 <= self.mu < self.L:
            raise InputError(f"mu must be >= 0 and < L = {self.L:g}, got {self.mu:g}")

    def step(self, f: object, x: Point) -> Point:
        """x - gamma grad f(x + rho grad f(x))."""
        return x - self.gamma * f.gradient(x + self.rho * f.gradient(x))  # type: ignore[attr-defined]


def distance_after(case: FiniteSum, noise: float = 0.0, *, solver: str = "CLARABEL") -> Solved:
    """The largest E||x+ - x*||^2 given ||x - x*|| <= 1 and E||grad f_i(x*)||^2 <= noise, x* the minimiser of f.

    noise = 0 is interpolation: every f_i is minimal at x*. Needs mu > 0. Raises InputError.
    """
    check_nonnegative(noise, argument="noise")
    if not case.mu > 0:
        raise InputError("mu must be > 0 for distances to a minimiser, got 0")
    with Estimation("strongly-convex", case.mu, case.L, with_infimum=False) as problem:
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
        return problem.largest(_mean([case.step(f, x) ** 2 for f in components]), solver=solver)


def _mean(entries: list[Expression]) -> Expression:
    return sum(entries[1:], entries[0]) / len(entries)


def noise_scale(case: FiniteSum, *, solver: str = "CLARABEL") -> float:
    """The part of the noise term of usam/one-step that every n L-smooth functions need at these steps.

    The statement is E f(x+) <= f - (gamma/2)(1 - L^2 rho^2)||grad f||^2 + s (gamma L^2 rho^2/2 + L gamma^2) sigma^2
    with s = 1 and sigma^2 = E||grad f_i - grad f||^2 at x; the value is the least s that is certified, by Newton's
    method from s = 0 (`critical`). Raises Unsolved.
    """
    scale = 0.0
    for _ in range(30):
        excess, sigma2 = _excess(case, scale, solver)
        if excess <= EXCESS:
            return scale
        term = case.gamma * case.L**2 * case.rho**2 / 2 + case.L * case.gamma**2
        if not sigma2 > 0:
            return math.inf
        scale += excess / (term * sigma2) * (1 + 1e-6) + 1e-9
    raise Unsolved("Newton's method did not settle in 30 problems")


def _excess(case: FiniteSum, scale: float, solver: str) -> tuple[float, float]:
    """The largest excess over the inequality where ||grad f||^2 + sigma^2 = 1, and sigma^2 there."""
    gamma, L, rho = case.gamma, case.L, case.rho
    with Estimation("nonconvex", 0.0, L, with_infimum=False) as problem:
        components = [problem.f, *(problem.another() for _ in range(case.n - 1))]
        x = problem.origin()
        gradients = [f.gradient(x) for f in components]
        mean = sum(gradients[1:], gradients[0]) / case.n
        sigma2 = _mean([(g - mean) ** 2 for g in gradients])
        norm2 = mean**2
        reached = [case.step(f, x) for f in components]
        after = _mean([_mean([f(point) for f in components]) for point in reached])
        for f in components:
            problem.impose(f(x) == 0)
        problem.impose(norm2 + sigma2 == 1)
        term = gamma * L**2 * rho**2 / 2 + L * gamma**2
        solved = problem.largest(after + gamma / 2 * (1 - L**2 * rho**2) * norm2 - scale * term * sigma2, solver=solver)
        if solved.fault:
            raise Unsolved(solved.fault)
        return solved.value, float(sigma2.eval())
