"""Sums of cosines with gradient noise that does not depend on x: smooth, bounded below, with saddles and maxima."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .errors import InputError
from .kernel import gap, gradient, helper, value
from .problem import Grade, Matrix, Problem, Vector, as_matrix, as_vector, bound, exact, problems
from .spec import read_float, spelled


class Cosines(NamedTuple):
    """f_i(x) = sum_j w_j (1 - cos x_j) + c_i' x with w_j > 0 and sum_i c_i = 0. c has shape (n, d)."""

    w: Vector
    c: Matrix


@helper
def wave(u: float) -> float:
    """sin u, and 0 where u is too large to have one, so that a run that diverges goes on to be noticed."""
    return math.sin(u) if abs(u) <= 1e300 else 0.0


@gap.of(Cosines)
def _cosines_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        root = wave(0.5 * x[j])  # 1 - cos x = 2 sin^2(x/2), without cancellation
        total += 2.0 * problem.w[j] * root * root
    return total


@value.of(Cosines)
def _cosines_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    scale = 0.0
    shift = 0.0
    for k in range(m):
        product = 0.0
        for j in range(x.shape[0]):
            product += problem.c[indices[k], j] * x[j]
        scale += weights[k]
        shift += weights[k] * product
    return float((scale * gap(problem, x) + shift) / problem.c.shape[0])


@gradient.of(Cosines)
def _cosines_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    n = problem.c.shape[0]
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    scale /= n
    for j in range(x.shape[0]):
        out[j] = scale * problem.w[j] * wave(x[j])
    for k in range(m):
        factor = weights[k] / n
        for j in range(x.shape[0]):
            out[j] += factor * problem.c[indices[k], j]


class CosineSum(Problem):
    """f(x) = sum_j w_j (1 - cos x_j) with f_i = f + c_i' x: f* = 0 at the origin, L = max w_j, and the Hessian is
    max w_j-Lipschitz; all exact. Saddles and maxima lie at odd multiples of pi, so mu = 0. Runs start at (2, ..., 2).

    w: positive, shape (d,). slopes: c_ij as rows for the coordinates, shape (d, n), default one component without; the
    row means are taken off. Raises InputError for weights that are not positive or shapes that disagree.
    """

    def __init__(self, *, w: ArrayLike, slopes: ArrayLike | None = None) -> None:
        weights = as_vector(w, argument="w")
        if not (weights > 0).all():
            raise InputError(f"w must be positive, got {'/'.join(spelled(entry) for entry in weights)}")
        d = len(weights)
        rows = np.zeros((d, 1)) if slopes is None else as_matrix(slopes, argument="slopes")
        if len(rows) != d:
            raise InputError(f"slopes must have a row for each of the {d} entries of w, got {len(rows)} rows")
        name = f"cosine-sum:w={_written(weights)}"
        if slopes is not None:
            name += f",slopes={'@'.join(_written(row) for row in rows)}"
        c = as_matrix((rows - rows.mean(axis=1)[:, None]).T, argument="slopes")
        super().__init__(
            name=name,
            data=Cosines(weights, c),
            n=len(c),
            d=d,
            L=exact(float(weights.max())),
            mu=bound(0.0),
            start=np.full(d, 2.0),
            minimiser=np.zeros(d),
            convex_components=False,
        )

    @property
    def hessian_lipschitz(self) -> float:
        return self.L.value

    def hessian(self, x: ArrayLike) -> Matrix:
        return np.diag(self.data.w * np.cos(self._point(x)))

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.full(self.n, self.L.value), Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.where(self.data.c.any(axis=1), np.inf, 0.0), Grade.EXACT

    def affine_noise(self) -> tuple[Vector, Matrix]:
        return np.ones(self.n), self.data.c


def _written(row: Vector) -> str:
    return "/".join(spelled(float(entry)) for entry in row)


@problems.register("cosine-sum")
def cosine_sum(w: str = "1", slopes: str | None = None) -> CosineSum:
    """A sum of w_j (1 - cos x_j), w=1/0.5, with noise slopes=1/-1@0/0: a row for each coordinate."""
    weights = [read_float(entry, argument="w") for entry in w.split("/")]
    if slopes is None:
        return CosineSum(w=weights)
    rows = [[read_float(entry, argument="slopes") for entry in row.split("/")] for row in slopes.split("@")]
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"slopes must have as many numbers in each row as in the first, got {slopes!r}")
    return CosineSum(w=weights, slopes=rows)
