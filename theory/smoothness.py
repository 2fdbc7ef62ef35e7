"""Constants about a minimiser x* that bounds on E||x_t - x*||^2 read, all dimensionless:

    noise                E||grad f_v(x*)||^2
    expected smoothness  the least known number l with E||grad f_v(x) - grad f_v(x*)||^2 <= 2 l (f(x) - f*) for all x

With E v_i v_j = common + [i = j] diagonal_i, the expected smoothness of convex components is
common L_f + max_i diagonal_i L_i/n, because ||grad f_i(x) - grad f_i(x*)||^2 is at most 2 L_i times the Bregman
distance of f_i, and those distances add up to n (f - f*). So it is

    max_i L_i/(n p_i)                                          one component, drawn with probabilities p_i
    n(tau-1)/(tau(n-1)) L_f + (n-tau)/(tau(n-1)) L_max         tau-nice
    L_f + max_i (1-p_i) L_i/(p_i n)                            independent
    max_C L_C/(n p_C)                                          partition, L_C of the sum of the gradients in block C

A sum of quadratics with an indefinite component has its own best constant instead, lambda_max(H^-1/2 E[H_v^2] H^-1/2).
In the shape of R. M. Gower et al., SGD: General Analysis and Improved Rates, ICML 2019 (not read; derived here).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from problems.glm import LeastSquares, Logistic
from problems.problem import Constant, Matrix, Problem, bound, exact, weakest
from problems.quadratics import QuadraticSum
from theory.samplings import BLOCKS, Sampling, largest_smoothness
from theory.variance import deviations


def is_convex(problem: Problem) -> bool:
    """f is known to be convex."""
    if len(problem.spectrum):
        return bool(np.min(problem.spectrum) >= 0)
    return problem.convex_components or problem.strong_convexity > 0


@lru_cache(maxsize=64)
def slopes_at_minimiser(problem: Problem) -> Matrix | None:
    """grad f_i(x*), shape (n, d); None where no minimiser is known."""
    x, data = problem.minimiser, problem.data
    if x is None or not problem.bounded:
        return None
    if isinstance(data, QuadraticSum):
        return data.g
    if isinstance(data, LeastSquares):
        return np.asarray(data.A * (data.A @ x - data.b)[:, None] + data.reg * x)
    if isinstance(data, Logistic):
        falls = data.b * np.exp(-np.logaddexp(0.0, data.margins))
        return np.asarray(data.reg * x - data.A * falls[:, None])
    return np.array([problem.sample_gradient(i, x) for i in range(problem.n)])


def noise(problem: Problem, sampling: Sampling) -> float:
    """E||grad f_v(x*)||^2; NaN where no minimiser is known, infinite where the law of v is not."""
    slopes = slopes_at_minimiser(problem)
    if slopes is None:
        return math.nan
    if math.isnan(sampling.moment.common):
        return math.inf
    # grad f(x*) = 0, so that the second moment is the variance.
    return float((deviations(sampling, slopes) ** 2).sum())


def expected_smoothness(problem: Problem, sampling: Sampling) -> Constant:
    """The constant of the module's text; infinite where none is known."""
    if problem.minimiser is None or math.isnan(sampling.moment.common):
        return bound(math.inf)
    if not problem.convex_components:
        best = best_expected_smoothness(problem, sampling)
        return bound(math.inf) if best is None else exact(best)
    if sampling.kind == BLOCKS:
        return largest_smoothness(problem, sampling)
    smoothness, grade = problem.component_smoothness
    moment = sampling.moment
    value = moment.common * problem.L.value + float((moment.diagonal * smoothness).max()) / problem.n
    return Constant(value, weakest(grade, problem.L.grade))


def best_expected_smoothness(problem: Problem, sampling: Sampling) -> float | None:
    """For a sum of quadratics with a positive definite mean H the least l there is,
    lambda_max(H^-1/2 E[H_v^2] H^-1/2); None for other problems."""
    components = problem.quadratic_components()
    if components is None or math.isnan(sampling.moment.common):
        return None
    H, _ = components
    eigenvalues, basis = np.linalg.eigh(H.mean(axis=0))
    root = basis / np.sqrt(eigenvalues)
    second = root.T @ sampling.moment.mean_of_products(H, H) @ root
    return float(np.linalg.eigvalsh((second + second.T) / 2)[-1])
