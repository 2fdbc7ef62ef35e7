"""How much a sampled gradient can vary: sup over x of E||grad f_v(x) - grad f(x)||^2, and how well it is known.

For vectors X_i, i < n, the variance of (1/n) sum_i v_i X_i is a sum of squares sum_k ||Y_k||^2 with Y_k linear in the
X_i (`deviations`), so that nothing cancels and what vanishes is seen to vanish. Writing each gradient as

    grad f_i(x) = (what is linear in something unbounded) + c_i + s_i(x) r_i,   |s_i(x)| <= 1,

the variance is bounded iff the first part has no deviations. Then it is sum_k ||Y_k(c)||^2, exactly, where there are no
rows r_i, and otherwise at most (sqrt of that + sqrt of the rows' second moment)^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from problems.glm import LeastSquares, Logistic
from problems.problem import Constant, Matrix, Problem, Vector, bound, exact
from problems.quadratics import QuadraticSum
from theory.samplings import BLOCKS, FULL, INDEPENDENT, REPLACEMENT, SINGLE, TAU_NICE, Sampling

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Gradients:
    """How the gradients of the components depend on x.

    unbounded: (n, m), coefficients of what x makes as large as it likes. fixed: (n, d), c_i. rows: (n, d), r_i.
    """

    unbounded: Matrix
    fixed: Matrix
    rows: Matrix


def deviations(sampling: Sampling, X: Matrix) -> Matrix:
    """Y with sum_k ||Y_k||^2 = E||(1/n) sum_i (v_i - 1) X_i||^2. X: (n, m); result (K, m), linear in X."""
    n, tau, law = sampling.n, sampling.data.tau, sampling.probabilities
    mean = X.mean(axis=0)
    if sampling.kind == FULL:
        return np.zeros((0, X.shape[1]))
    if sampling.kind in (SINGLE, REPLACEMENT):
        draws = tau if sampling.kind == REPLACEMENT else 1
        drawn = law > 0
        p = law[drawn, None]
        return np.asarray(np.sqrt(p / draws) * (X[drawn] / (n * p) - mean))
    if sampling.kind == TAU_NICE:
        share = (n - tau) / (tau * (n - 1) * n) if n > 1 else 0.0
        return np.asarray(math.sqrt(share) * (X - mean))
    if sampling.kind == INDEPENDENT:
        taken = law > 0
        return np.asarray(np.sqrt(1 / law[taken] - 1)[:, None] * X[taken] / n)
    assert sampling.kind == BLOCKS
    rows = [
        math.sqrt(p) * (X[block].sum(axis=0) / (n * p) - mean) for p, block in zip(law, sampling.blocks(), strict=True)
    ]
    return np.array(rows)


def _vanishes(sampling: Sampling, X: Matrix) -> bool:
    """(1/n) sum_i v_i X_i is the same for every v, up to the rounding of n products and their sum."""
    if not X.size:
        return True
    moment = sampling.moment
    squares = moment.diagonal + moment.common
    if moment.blocks is not None and moment.block_weights is not None:
        squares = squares + moment.block_weights[moment.blocks]
    size = float(np.abs(X).max())
    if size == 0:
        return True
    spread = float(((deviations(sampling, X / size)) ** 2).sum())
    room = 8 * (sampling.n + 8) * EPS
    return bool(spread <= room**2 * float(np.max(squares)) * X.shape[1])


def _row_second_moment(sampling: Sampling, rows: Matrix) -> float:
    """An upper bound of E||(1/n) sum_i (v_i - 1) s_i r_i||^2 over all |s_i| <= 1: the part of the second moments of v
    that couples different components is left out where it lowers the sum."""
    n, tau, law = sampling.n, sampling.data.tau, sampling.probabilities
    squares = (rows**2).sum(axis=1)
    if sampling.kind in (SINGLE, REPLACEMENT):
        draws = tau if sampling.kind == REPLACEMENT else 1
        drawn = law > 0
        return float((squares[drawn] / law[drawn]).sum()) / (draws * n**2)
    if sampling.kind == TAU_NICE:
        return (n - tau) / (tau * (n - 1) * n) * float(squares.sum()) if n > 1 else 0.0
    if sampling.kind == INDEPENDENT:
        taken = law > 0
        return float(((1 / law[taken] - 1) * squares[taken]).sum()) / n**2
    lengths = np.sqrt(squares)
    blocks = zip(law, sampling.blocks(), strict=True)
    return float(sum(lengths[block].sum() ** 2 / p for p, block in blocks)) / n**2


def _quadratic_sum(problem: Problem) -> Gradients:
    H, g = problem.data.H, problem.data.g
    return Gradients(H.reshape(len(H), -1), g, np.zeros((len(H), 0)))


def _least_squares(problem: Problem) -> Gradients:
    A, b, reg, minimiser = problem.data
    # Two directions in general position: a nonzero sum of (v_i - 1) H_i does not send both to 0.
    probes = np.random.default_rng(0x5A).standard_normal((problem.d, 2))
    products = [A * (A @ z)[:, None] + reg * z for z in probes.T]
    fixed = A * (A @ minimiser - b)[:, None] + reg * minimiser
    return Gradients(np.hstack(products), fixed, np.zeros((problem.n, 0)))


def _logistic(problem: Problem) -> Gradients:
    ridge = np.full((problem.n, 1), problem.data.reg)
    return Gradients(ridge, np.zeros((problem.n, 0)), problem.data.A)


_SHAPES: dict[type, Callable[[Problem], Gradients]] = {
    QuadraticSum: _quadratic_sum,
    LeastSquares: _least_squares,
    Logistic: _logistic,
}


def _gradients(problem: Problem) -> Gradients | None:
    noise = problem.affine_noise()
    if noise is not None:
        s, c = noise
        return Gradients(s[:, None], c, np.zeros((problem.n, 0)))
    shape: Any = _SHAPES.get(type(problem.data))
    return None if shape is None else shape(problem)


def largest_variance(problem: Problem, sampling: Sampling) -> Constant:
    """sup over x of E||grad f_v(x) - grad f(x)||^2; infinite where it is unbounded or nothing is known.

    Exact for the full batch and for gradients that differ by constants, a bound for losses of bounded slope.
    """
    if sampling.is_full:
        return exact(0.0)
    if math.isnan(sampling.moment.common):  # weights that are not those of an unbiased gradient
        return bound(math.inf)
    found = _gradients(problem)
    if found is None:
        return bound(math.inf)
    if not _vanishes(sampling, found.unbounded):
        return bound(math.inf)
    fixed = float((deviations(sampling, found.fixed) ** 2).sum())
    if not found.rows.size:
        return exact(fixed)
    return bound((math.sqrt(fixed) + math.sqrt(_row_second_moment(sampling, found.rows))) ** 2)


def variance_at(problem: Problem, sampling: Sampling, x: Vector) -> float:
    """E||grad f_v(x) - grad f(x)||^2 at one point, exactly, for any problem. x: (d,)."""
    gradients = np.array([problem.sample_gradient(i, x) for i in range(problem.n)])
    return float((deviations(sampling, gradients) ** 2).sum())
