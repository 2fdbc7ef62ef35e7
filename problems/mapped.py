"""Least squares and logistic regression on features that stay on disk: everything is computed in blocks of rows.

Memory is O(d^2 + n) beside one block; each pass reads the file once. What that costs: no factorisation of A itself,
only of A'A, whose condition is the square of A's: eigenvalues below the rounding of A'A, about 1e-11 of the largest,
cannot be told from 0. Minimisers do not suffer: they are refined until the gradient, computed in blocks, is at the
level of its own rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .glm import (
    LeastSquares,
    LeastSquaresProblem,
    Logistic,
    LogisticProblem,
    lowest_losses,
    square_gaps,
    step_length,
)
from .problem import Constant, Grade, Matrix, Problem, Vector, bound, check_memory, exact

BLOCK = 2**19
"""Entries of a block: 4 MiB, small beside any memory and large beside the cost of one more call."""

EPS = float(np.finfo(float).eps)


def blocks(A: Matrix) -> Iterator[slice]:
    """Slices of rows that hold about `BLOCK` entries each."""
    share = max(1, BLOCK // A.shape[1])
    return (slice(first, min(first + share, len(A))) for first in range(0, len(A), share))


def products(A: Matrix, x: Vector) -> Vector:
    """A x, shape (n,)."""
    found = np.empty(len(A))
    for part in blocks(A):
        np.matmul(A[part], x, out=found[part])
    return found


def mean_slope(A: Matrix, x: Vector, slope: Callable[[slice, Vector], Vector]) -> Vector:
    """(1/n) sum_i s_i a_i, shape (d,), in one pass; slope: the s_i of a block from its a_i.x."""
    total = np.zeros(A.shape[1])
    for part in blocks(A):
        rows = A[part]
        total += slope(part, rows @ x) @ rows
    return total / len(A)


def gram(A: Matrix, weights: Vector) -> Matrix:
    """A' diag(weights) A / n for weights >= 0, shape (d, d)."""
    n, d = A.shape
    total = np.zeros((d, d))
    for part in blocks(A):
        rows = A[part] * np.sqrt(weights[part] / n)[:, None]
        total += rows.T @ rows
    return total


class Summary(NamedTuple):
    """One pass over the rows. squares: ||a_i||^2, shape (n,); gram: A'A/n, shape (d, d); mixed: A'b/n, shape (d,)."""

    squares: Vector
    gram: Matrix
    mixed: Vector


def summary(A: Matrix, b: Vector, name: str) -> Summary:
    """Raises InputError for entries that are not finite or too large to square, and where d x d does not fit."""
    n, d = A.shape
    check_memory(8 * d * d + 8 * n, what=f"problem {name!r} with d = {d} columns and n = {n} rows, read from disk,")
    squares, total, mixed = np.empty(n), np.zeros((d, d)), np.zeros(d)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in blocks(A):
            rows = A[part]
            np.einsum("ij,ij->i", rows, rows, out=squares[part])
            sound = np.isfinite(squares[part])
            if not sound.all():
                row = part.start + int(np.argmin(sound))
                fault = "too large to square" if np.isfinite(A[row]).all() else "NaN or infinite"
                allowed = "only finite numbers that can be squared are allowed"
                raise InputError(f"row {row} of A of problem {name!r} has entries that are {fault}; {allowed}")
            total += rows.T @ rows
            mixed += b[part] @ rows
        sound_sums = np.isfinite(total).all() and math.isfinite(float(b @ b))
    if not sound_sums:
        raise InputError(f"the entries of problem {name!r} are too large to square; rescale A and b")
    return Summary(squares, total / n, mixed / n)


def _check_energy(squares: Vector, reg: float, name: str) -> None:
    if reg == 0 and not squares.any():
        raise InputError(f"A of problem {name!r} is zero or too small to square; give a larger A or reg > 0")


class MappedLeastSquares(LeastSquaresProblem):
    """`LeastSquaresProblem` for an A that stays on disk; A must have full column rank, visibly so in A'A, or reg > 0.

    L is exact, mu where rounding leaves it six digits and else a lower bound.
    """

    def __init__(
        self,
        *,
        A: Matrix,
        b: Vector,
        reg: float,
        name: str,
        remarks: tuple[str, ...] = (),
        start: Vector | None = None,
    ) -> None:
        n, d = A.shape
        squares, G, mixed = summary(A, b, name)
        _check_energy(squares, reg, name)
        eigenvalues, V = np.linalg.eigh(G)
        # The products of a block are added up, then the blocks, then eigenvalues are taken of a d x d matrix.
        error = (min(n, BLOCK // d + 1) + len(list(blocks(A))) + d) * EPS * float(np.trace(G))
        lowest = float(eigenvalues[0])
        if reg == 0 and lowest <= 2 * error:
            raise InputError(
                f"the smallest eigenvalue of A'A/n of problem {name!r}, {lowest:.3g}, cannot be told from 0 for data "
                f"read from disk (rounding reaches {error:.2g}); give reg > 0, or drop columns that depend on others"
            )
        eigenvalues = np.maximum(eigenvalues, 0.0)
        curvatures = eigenvalues + reg
        minimiser = V @ ((V.T @ mixed) / curvatures)
        best, kept = math.inf, minimiser
        # A'A is good to error/curvature, so that each round gains at least that factor until rounding stops it.
        for _ in range(8):
            slope = mean_slope(A, minimiser, lambda part, dots: dots - b[part]) + reg * minimiser
            norm, last = float(np.linalg.norm(slope)), best
            if norm < best:
                best, kept = norm, minimiser
            if not norm < last / 2:
                break
            minimiser = minimiser - V @ ((V.T @ slope) / curvatures)
        if not math.isfinite(best):
            raise InputError(f"the minimiser of problem {name!r} overflows; rescale A and b")
        sharp = error <= 1e-6 * curvatures[0]
        Problem.__init__(
            self,
            name=name,
            data=LeastSquares(A, b, float(reg), kept),
            n=n,
            d=d,
            L=exact(float(curvatures[-1])),
            mu=exact(float(curvatures[0])) if sharp else bound(max(float(curvatures[0]) - error, reg)),
            start=np.zeros(d) if start is None else start,
            minimiser=kept,
            convex_components=True,
            remarks=remarks,
        )
        self._definite, self._spectrum, self._gram, self._squares = True, curvatures, G, squares

    def hessian(self, x: ArrayLike) -> Matrix:
        return np.asarray(self._gram + self.data.reg * np.eye(self.d))

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return self._squares + self.data.reg, Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        A, b, reg, minimiser = self.data
        found = np.empty(self.n)
        for part in blocks(A):
            found[part] = square_gaps(A[part], b[part], reg, minimiser)
        return found, Grade.EXACT

    def weighted_smoothness(self, weights: Vector) -> Constant:
        return exact(_largest(gram(self.data.A, weights)) + self.data.reg * float(np.mean(weights)))

    def quadratic_components(self) -> tuple[NDArray[np.float64], Matrix] | None:
        return None

    def value(self, x: ArrayLike) -> float:
        A, b, reg, _ = self.data
        point = self._point(x)
        return float(np.mean((products(A, point) - b) ** 2) + reg * (point @ point)) / 2

    def gradient(self, x: ArrayLike) -> Vector:
        A, b, reg, _ = self.data
        point = self._point(x)
        return np.asarray(mean_slope(A, point, lambda part, dots: dots - b[part]) + reg * point)

    def gap(self, x: ArrayLike) -> float:
        A, _, reg, minimiser = self.data
        away = self._point(x) - minimiser
        return float(np.mean(products(A, away) ** 2) + reg * (away @ away)) / 2


def _largest(matrix: Matrix) -> float:
    return max(float(np.linalg.eigvalsh(matrix)[-1]), 0.0)


class MappedLogistic(LogisticProblem):
    """`LogisticProblem` for an A that stays on disk, with reg > 0: whether rows are separable is not decided here."""

    def __init__(self, *, A: Matrix, b: Vector, reg: float, name: str, remarks: tuple[str, ...] = ()) -> None:
        if not reg > 0:
            raise InputError(
                f"reg must be positive for logistic regression on data read from disk, got {reg!r}: without it a "
                "minimiser need not exist, which is decided only for data in memory"
            )
        n, d = A.shape
        squares, G, _ = summary(A, b, name)
        minimiser = _newton(A, b, reg, squares, name)
        Problem.__init__(
            self,
            name=name,
            data=Logistic(A, b, float(reg), minimiser, b * products(A, minimiser), np.zeros(n)),
            n=n,
            d=d,
            L=exact(_largest(G) / 4 + reg),
            mu=bound(reg),
            start=np.zeros(d),
            minimiser=minimiser,
            convex_components=True,
            remarks=remarks,
        )
        self._squares = squares

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return self._squares / 4 + self.data.reg, Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        reg, minimiser = self.data.reg, self.data.minimiser
        losses = np.logaddexp(0.0, -self.data.margins) + reg / 2 * float(minimiser @ minimiser)
        return np.maximum(losses - lowest_losses(self._squares, reg), 0.0), Grade.BOUND

    def weighted_smoothness(self, weights: Vector) -> Constant:
        return exact(_largest(gram(self.data.A, weights)) / 4 + self.data.reg * float(np.mean(weights)))

    def value(self, x: ArrayLike) -> float:
        point = self._point(x)
        margins = self.data.b * products(self.data.A, point)
        return float(np.logaddexp(0.0, -margins).mean() + self.data.reg / 2 * (point @ point))

    def gradient(self, x: ArrayLike) -> Vector:
        A, b, reg = self.data[:3]
        point = self._point(x)
        return np.asarray(reg * point - mean_slope(A, point, lambda part, dots: b[part] * _falls(b[part] * dots)))

    def gap(self, x: ArrayLike) -> float:
        A, b, reg, minimiser, margins, _ = self.data
        away = self._point(x) - minimiser
        total = 0.0
        for part in blocks(A):
            total += float(_bregman(margins[part], b[part] * (A[part] @ away)).sum())
        return float(total / self.n + reg / 2 * (away @ away))

    def hessian(self, x: ArrayLike) -> Matrix:
        A, b, reg = self.data[:3]
        falls = _falls(b * products(A, self._point(x)))
        return np.asarray(gram(A, falls * (1 - falls)) + reg * np.eye(self.d))


def _bregman(z: Vector, delta: Vector) -> Vector:
    """`glm.logistic_bregman` entry by entry."""
    delta = np.where(z < 0, -delta, delta)
    z = np.abs(z)
    nodes, factors = np.polynomial.legendre.leggauss(8)
    near = np.zeros(len(z))
    for node, factor in zip((nodes + 1) / 2, factors / 2, strict=True):
        fall = np.exp(-np.abs(z + node * delta))
        near += factor * (1 - node) * fall / (1 + fall) ** 2
    fall = np.exp(-z)
    far = np.logaddexp(0.0, -(z + delta)) - np.log1p(fall) + fall / (1 + fall) * delta
    return np.where(np.abs(delta) < 1, near * delta**2, far)


def _falls(margins: Vector) -> Vector:
    """1/(1 + exp(z))."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(margins)))


def _newton(A: Matrix, b: Vector, reg: float, squares: Vector, name: str) -> Vector:
    """The minimiser, gradient at rounding level, by damped Newton: two passes over the rows for each step."""
    n, d = A.shape
    sizes = np.sqrt(squares)
    penalty = np.full(d, reg)
    x = best_x = np.zeros(d)
    best = math.inf
    margins, falls = np.empty(n), np.empty(n)
    for _ in range(100):
        slope, H = reg * x, reg * np.eye(d)
        for part in blocks(A):
            rows = A[part]
            margins[part] = b[part] * (rows @ x)
            falls[part] = _falls(margins[part])
            slope -= (b[part] * falls[part]) @ rows / n
            H += (rows.T * (falls[part] * _falls(-margins[part]) / n)) @ rows
        norm, length = float(np.linalg.norm(slope)), float(np.linalg.norm(x))
        terms = float(np.mean(sizes * falls * (1 + (1 - falls) * sizes * length)))
        rounding = EPS * (terms + reg * length)
        # As for data in memory: at rounding level, and not halved by another step.
        settled = norm <= 64 * rounding
        if settled and norm >= best / 2:
            return x if norm < best else best_x
        if norm < best:
            best, best_x = norm, x
        step = np.asarray(-np.linalg.solve(H, slope), dtype=np.float64)
        t = 1.0 if settled else step_length(margins, b * products(A, step), x, step, penalty)
        if t == 0:
            break
        x = x + t * step
    raise InputError(f"100 Newton steps do not find the minimiser of problem {name!r}; take reg larger than {reg!r}")
