"""Sums of log-cosh losses of linear functions: convex and smooth, with Hessians that turn from point to point."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .errors import InputError
from .kernel import gap, gradient, helper, value
from .problem import Grade, Matrix, Problem, Vector, as_matrix, as_vector, bound, check_positive, exact, problems
from .spec import read_float, spelled

TURN = 2.24
"""The angle between the two rows of the default instance, in radians."""

ROWS = f"1/0@{math.cos(TURN)!r}/{math.sin(TURN)!r}"


class LogCosh(NamedTuple):
    """f_i(x) = n log cosh(k_i a_i.x - b_i)/k_i^2 with a_i the rows of A (n, d)."""

    A: Matrix
    k: Vector
    b: Vector


@helper
def log_cosh(z: Any) -> Any:
    """log cosh z >= 0 without overflow, relative error a few eps also near 0."""
    size = abs(z)
    if size < 1.0:
        root = math.sinh(size)
        return 0.5 * math.log1p(root * root)
    return size + math.log1p(math.exp(-2.0 * size)) - math.log(2.0)


@gap.of(LogCosh)
def _gap(problem: Any, x: Any) -> float:
    n, d = problem.A.shape
    total = 0.0
    for i in range(n):
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * x[j]
        total += log_cosh(problem.k[i] * dot - problem.b[i]) / (problem.k[i] * problem.k[i])
    return float(total)


@value.of(LogCosh)
def _value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    d = problem.A.shape[1]
    total = 0.0
    for entry in range(m):
        i = indices[entry]
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * x[j]
        total += weights[entry] * log_cosh(problem.k[i] * dot - problem.b[i]) / (problem.k[i] * problem.k[i])
    return float(total)


@gradient.of(LogCosh)
def _gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    d = problem.A.shape[1]
    for j in range(d):
        out[j] = 0.0
    for entry in range(m):
        i = indices[entry]
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * x[j]
        slope = weights[entry] * math.tanh(problem.k[i] * dot - problem.b[i]) / problem.k[i]
        for j in range(d):
            out[j] += slope * problem.A[i, j]


class LogCoshSum(Problem):
    """f(x) = sum_i log cosh(k_i a_i.x - b_i)/k_i^2 with linearly independent a_i, in components f_i = n times a term.

    The Hessian is sum_i sech^2(k_i a_i.x - b_i) a_i a_i', so L = lambda_max(A'A) is exact: it is attained where every
    k_i a_i.x = b_i, which is the minimiser (that of least norm), with f* = 0. f is convex and not Polyak-Lojasiewicz,
    for it grows linearly: mu = 0. k_i is how fast the curvature of a term changes along a_i.
    Runs start one unit from the minimiser in every coordinate.
    """

    def __init__(self, *, A: ArrayLike, k: ArrayLike, b: ArrayLike) -> None:
        """A: shape (n, d), rows linearly independent; k: shape (n,), positive; b: shape (n,). InputError otherwise."""
        rows = as_matrix(A, argument="a")
        n, d = rows.shape
        rates = as_vector(k, argument="k", size=n)
        for entry in rates:
            check_positive(float(entry), argument="k")
        offsets = as_vector(b, argument="b", size=n)
        rank = int(np.linalg.matrix_rank(rows))
        if rank < n:
            raise InputError(f"a must have linearly independent rows, got {n} rows of rank {rank}")
        minimiser: Vector = np.asarray(np.linalg.lstsq(rows, offsets / rates, rcond=None)[0], dtype=np.float64)
        super().__init__(
            name=f"log-cosh:a={'@'.join(_written(row) for row in rows)},k={_written(rates)},b={_written(offsets)}",
            data=LogCosh(rows, rates, offsets),
            n=n,
            d=d,
            L=exact(float(np.linalg.eigvalsh(rows @ rows.T)[-1])),
            mu=bound(0.0),
            start=minimiser + 1.0,
            minimiser=minimiser,
            convex_components=True,
        )

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return self.n * np.einsum("ij,ij->i", self.data.A, self.data.A), Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        """Every term is least, 0, at the minimiser."""
        return np.zeros(self.n), Grade.EXACT


def _written(numbers: Vector) -> str:
    return "/".join(spelled(entry) for entry in numbers)


def _numbers(text: str, argument: str) -> list[float]:
    return [read_float(entry, argument=argument) for entry in text.split("/")]


@problems.register("log-cosh")
def log_cosh_sum(a: str = ROWS, k: str = "2/8", b: str = "-2.9/1.8") -> LogCoshSum:
    """Log-cosh losses with rows a=1/0@0/1, rates k=2/8 and offsets b=0/1. The default is the instance on which
    unnormalised SAM moves two points apart however small its step."""
    rows = [_numbers(row, "a") for row in a.split("@")]
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"a must have as many numbers in each row as in the first, got {a!r}")
    return LogCoshSum(A=rows, k=_numbers(k, "k"), b=_numbers(b, "b"))
