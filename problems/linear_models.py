"""Generalised linear models as the fast tier sees them: slopes without branches, gaps and gradients by blocks of rows.

The textbook kernels of the same problems stand beside their data classes; the two share no code, so that each checks
the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .exponential import exponential, exponential_less_one, remainder_polynomial, softplus
from .glm import LeastSquares, Logistic
from .kernel import Kernel, Linear, gap, gradient, helper, linear, slope, value
from .logcosh import LogCosh, log_cosh
from .problem import Indices, Matrix, Vector
from .scratch import aligned

# -- what each model is --


@linear.of(LeastSquares)
def _squares_linear(problem: Any) -> Linear:
    return Linear(problem.A, problem.b, np.ones(len(problem.b)), problem.reg, problem.minimiser)


@linear.of(Logistic)
def _logistic_linear(problem: Any) -> Linear:
    return Linear(problem.A, problem.b, np.ones(len(problem.b)), problem.reg, problem.minimiser)


@linear.of(LogCosh)
def _log_cosh_linear(problem: Any) -> Linear:
    return Linear(problem.A, problem.b, problem.k, 0.0, np.zeros(problem.A.shape[1]))


@slope.of(LeastSquares)
def _squares_slope(problem: Any, b: float, k: float, z: float) -> float:
    return z - b


@slope.of(Logistic)
def _logistic_slope(problem: Any, b: float, k: float, z: float) -> Any:
    return -b / (1.0 + exponential(b * z))


@slope.of(LogCosh)
def _log_cosh_slope(problem: Any, b: float, k: float, z: float) -> Any:
    # tanh u = (exp(2u) - 1)/(exp(2u) + 1), accurate also where u is small.
    less_one = exponential_less_one(2.0 * (k * z - b))
    return problem.A.shape[0] * (less_one / (less_one + 2.0)) / k


gap_of_dots = Kernel("gap_of_dots")
"""gap_of_dots(problem, dots, size2) -> f(x) - f*, from dots_i = a_i.(x - centre) and size2 = ||x - centre||^2."""


@gap_of_dots.of(LeastSquares)
def _squares_gap(problem: Any, dots: Any, size2: float) -> float:
    n = problem.A.shape[0]
    total = 0.0
    for i in range(n):
        total += dots[i] * dots[i]
    return float(0.5 * (total / n + problem.reg * size2))


@helper
def logistic_excess(z: float, delta: float) -> float:
    """loss(z + delta) - loss(z) - loss'(z) delta for the logistic loss and |delta| <= 0.34, error a few eps relative.

    Signs are flipped so that z >= 0. With s = 1/(1 + exp(z)) <= 1/2 and w = s (exp(-delta) - 1) it is

        s (exp(-delta) - 1 + delta) + (log(1 + w) - w),

    a positive and a negative term of which the first is at least twice the second; log(1 + w) - w = -v w + 2 v^3/3 +
    2 v^5/5 + ... with v = w/(2 + w), |v| <= 0.1.
    """
    delta = -delta if z < 0.0 else delta
    share = 1.0 / (1.0 + exponential(abs(z)))
    excess = delta * delta * remainder_polynomial(-delta)
    w = share * (excess - delta)
    v = w / (2.0 + w)
    v2 = v * v
    series = 1.0 / 9.0 + v2 * (1.0 / 11.0 + v2 * (1.0 / 13.0 + v2 * (1.0 / 15.0)))
    tail = 2.0 * v * v2 * (1.0 / 3.0 + v2 * (0.2 + v2 * (1.0 / 7.0 + v2 * series)))
    return float(share * excess + (tail - v * w))


@helper
def logistic_excess_far(z: float, delta: float) -> float:
    """The same as a difference of losses, for |delta| >= 0.34: at most 6 bits cancel."""
    delta = -delta if z < 0.0 else delta
    z = abs(z)
    return float(softplus(-(z + delta)) - softplus(-z) + delta / (1.0 + exponential(z)))


@gap_of_dots.of(Logistic)
def _logistic_gap(problem: Any, dots: Any, size2: float) -> float:
    n = problem.A.shape[0]
    total = 0.0
    for i in range(n):
        delta = problem.b[i] * dots[i]
        z = problem.margins[i]
        near = logistic_excess(z, delta if abs(delta) < 0.34 else 0.0)
        excess = near if abs(delta) < 0.34 else logistic_excess_far(z, delta)
        total += excess if problem.separated[i] == 0.0 else softplus(-(z + delta))
    return float(total / n + 0.5 * problem.reg * size2)


@gap_of_dots.of(LogCosh)
def _log_cosh_gap(problem: Any, dots: Any, size2: float) -> float:
    total = 0.0
    for i in range(problem.A.shape[0]):
        total += log_cosh(problem.k[i] * dots[i] - problem.b[i]) / (problem.k[i] * problem.k[i])
    return float(total)


# -- values and gradients by blocks of rows --


class Blocked(NamedTuple):
    """A linear model whose kernels take up to eight rows at a time and all slopes of a minibatch at once.

    model: the problem's own data. A, b, k, reg, centre: as in `Linear`. everyone: 0, ..., n - 1. point (d,), dots,
    first, second, factors (each as long as the largest minibatch, n where everything is recorded): scratch, so that one
    thread at a time may use it.
    """

    model: Any
    A: Matrix
    b: Vector
    k: Vector
    reg: float
    centre: Vector
    everyone: Indices
    point: Vector
    dots: Vector
    first: Vector
    second: Vector
    factors: Vector


def blocked(data: Any) -> Blocked:
    """The blocked form of a linear model's data, with scratch of its own."""
    A, b, k, reg, centre = linear(data)
    n, d = A.shape
    dots, first, second, factors = (aligned(n) for _ in range(4))
    return Blocked(data, A, b, k, reg, centre, np.arange(n), aligned(d), dots, first, second, factors)


@helper
def row_dots(A: Any, indices: Any, m: int, x: Any, out: Any) -> None:
    """out[k] = a_i.x for i = indices[k], k < m; eight rows share one pass over x."""
    d = x.shape[0]
    first = 0
    while first + 8 <= m:
        i0 = indices[first]
        i1 = indices[first + 1]
        i2 = indices[first + 2]
        i3 = indices[first + 3]
        i4 = indices[first + 4]
        i5 = indices[first + 5]
        i6 = indices[first + 6]
        i7 = indices[first + 7]
        s0 = 0.0
        s1 = 0.0
        s2 = 0.0
        s3 = 0.0
        s4 = 0.0
        s5 = 0.0
        s6 = 0.0
        s7 = 0.0
        for j in range(d):
            s0 += A[i0, j] * x[j]
            s1 += A[i1, j] * x[j]
            s2 += A[i2, j] * x[j]
            s3 += A[i3, j] * x[j]
            s4 += A[i4, j] * x[j]
            s5 += A[i5, j] * x[j]
            s6 += A[i6, j] * x[j]
            s7 += A[i7, j] * x[j]
        out[first] = s0
        out[first + 1] = s1
        out[first + 2] = s2
        out[first + 3] = s3
        out[first + 4] = s4
        out[first + 5] = s5
        out[first + 6] = s6
        out[first + 7] = s7
        first += 8
    while first + 4 <= m:
        i0 = indices[first]
        i1 = indices[first + 1]
        i2 = indices[first + 2]
        i3 = indices[first + 3]
        s0 = 0.0
        s1 = 0.0
        s2 = 0.0
        s3 = 0.0
        for j in range(d):
            s0 += A[i0, j] * x[j]
            s1 += A[i1, j] * x[j]
            s2 += A[i2, j] * x[j]
            s3 += A[i3, j] * x[j]
        out[first] = s0
        out[first + 1] = s1
        out[first + 2] = s2
        out[first + 3] = s3
        first += 4
    for k in range(first, m):
        i0 = indices[k]
        s0 = 0.0
        for j in range(d):
            s0 += A[i0, j] * x[j]
        out[k] = s0


@gradient.of(Blocked)
def _blocked_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    d = problem.A.shape[1]
    share = 1.0 / problem.A.shape[0]
    total = 0.0
    for k in range(m):
        i = indices[k]
        problem.first[k] = problem.b[i]
        problem.second[k] = problem.k[i]
        problem.factors[k] = weights[k] * share
        total += weights[k] * share
    row_dots(problem.A, indices, m, x, problem.dots)
    for k in range(m):
        problem.factors[k] *= slope(problem.model, problem.first[k], problem.second[k], problem.dots[k])
    shrink = total * problem.reg
    for j in range(d):
        out[j] = shrink * x[j]
    first = 0
    while first + 8 <= m:
        i0 = indices[first]
        i1 = indices[first + 1]
        i2 = indices[first + 2]
        i3 = indices[first + 3]
        i4 = indices[first + 4]
        i5 = indices[first + 5]
        i6 = indices[first + 6]
        i7 = indices[first + 7]
        c0 = problem.factors[first]
        c1 = problem.factors[first + 1]
        c2 = problem.factors[first + 2]
        c3 = problem.factors[first + 3]
        c4 = problem.factors[first + 4]
        c5 = problem.factors[first + 5]
        c6 = problem.factors[first + 6]
        c7 = problem.factors[first + 7]
        for j in range(d):
            out[j] += (
                (c0 * problem.A[i0, j] + c1 * problem.A[i1, j]) + (c2 * problem.A[i2, j] + c3 * problem.A[i3, j])
            ) + ((c4 * problem.A[i4, j] + c5 * problem.A[i5, j]) + (c6 * problem.A[i6, j] + c7 * problem.A[i7, j]))
        first += 8
    while first + 4 <= m:
        i0 = indices[first]
        i1 = indices[first + 1]
        i2 = indices[first + 2]
        i3 = indices[first + 3]
        c0 = problem.factors[first]
        c1 = problem.factors[first + 1]
        c2 = problem.factors[first + 2]
        c3 = problem.factors[first + 3]
        for j in range(d):
            out[j] += (c0 * problem.A[i0, j] + c1 * problem.A[i1, j]) + (c2 * problem.A[i2, j] + c3 * problem.A[i3, j])
        first += 4
    for k in range(first, m):
        i0 = indices[k]
        c0 = problem.factors[k]
        for j in range(d):
            out[j] += c0 * problem.A[i0, j]


@value.of(Blocked)
def _blocked_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    return float(value(problem.model, x, indices, weights, m))


@gap.of(Blocked)
def _blocked_gap(problem: Any, x: Any) -> float:
    n, d = problem.A.shape
    size2 = 0.0
    for j in range(d):
        problem.point[j] = x[j] - problem.centre[j]
        size2 += problem.point[j] * problem.point[j]
    row_dots(problem.A, problem.everyone, n, problem.point, problem.dots)
    return float(gap_of_dots(problem.model, problem.dots, size2))
