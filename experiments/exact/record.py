"""What a recursion of moments records, and how it becomes `Moments`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from experiments.rounding import EPS
from problems.problem import Matrix, Vector

from .floors import Floors

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Exact expectations at recorded times, K of them, and the rounding floor of each.

    times (K,). gap (K,): E[f(x_t) - f*]. grad_norm2 (K,): E||grad f(x_t)||^2. average (K,): the average of
    E||grad f(x_s)||^2 over s < t with weights (1 + growth)^-(s+1), NaN at t = 0. distance2 (K,): E||x_t - x*||^2.
    mean (d,), second (d, d): E z and E z z' at the last time. Infinite where the recursion overflows.
    """

    times: NDArray[np.int64]
    gap: Values
    grad_norm2: Values
    average: Values
    gap_error: Values
    norm_error: Values
    average_error: Values
    distance2: Values
    distance_error: Values
    mean: Vector
    second: Matrix


@dataclass
class State:
    """Where a recursion stands: t, m and S in the eigenbasis of the Hessian, the errors e of `Floors`, shape (K,), and
    sums over s < t with weights (1 + growth)^-(s+1): of the weights, of E||grad f||^2 and of e."""

    m: Vector
    S: Matrix
    error: Vector
    total_error: Vector
    t: int = 0
    weight: float = 0.0
    total: float = 0.0

    @classmethod
    def start(cls, m: Vector, floors: Floors, slope: float) -> Self:
        """At t = 0, m turned into the eigenbasis; slope: see `Floors.start`."""
        return cls(m, np.outer(m, m), floors.start(m, slope), np.zeros(len(floors.q)))


class Record:
    """One row for each wanted time. h: eigenvalues of the Hessian (d,); L: of the problem; times: increasing."""

    def __init__(self, times: NDArray[np.int64], h: Vector, L: float, basis: Matrix) -> None:
        self.times, self.h, self.L, self.basis = times, h, L, basis
        self._rows: list[tuple[float, ...]] = []

    @property
    def next(self) -> int:
        """The first time that is still to come, -1 when there is none."""
        return int(self.times[len(self._rows)]) if len(self._rows) < len(self.times) else -1

    @property
    def last(self) -> int:
        """The last wanted time."""
        return int(self.times[-1]) if len(self.times) else 0

    def between(self, first: int, last: int) -> list[int]:
        """Wanted times t, first < t < last."""
        return [int(t) for t in np.unique(self.times[(self.times > first) & (self.times < last)])]

    def means(self, S: Matrix) -> tuple[float, float, float]:
        """tr(H S)/2, tr(H S H) and tr S."""
        diagonal = S.diagonal()
        return 0.5 * float(self.h @ diagonal), float(self.h**2 @ diagonal), float(diagonal.sum())

    def reach(self, state: State, floors: Floors, means: Sequence[float] | Values | None = None) -> None:
        """Record the state if its time is wanted; means: those of its S, where S itself is not there."""
        if state.t != self.next:
            return
        gap, norm2, distance2 = (float(mean) for mean in (self.means(state.S) if means is None else means))
        own = (len(self.h) + 8) * EPS  # each mean is a sum of d products
        largest = gap if self.h.min() >= 0 else float(np.abs(self.h).max()) / 2 * distance2
        error = float(floors.gap_floor(state.error)) + own * largest
        apart = float(floors.distance_floor(state.error)) + own * distance2
        mean = state.total / state.weight if state.weight else np.nan
        below = float(floors.gap_floor(state.total_error)) / state.weight if state.weight else np.nan
        # The average adds up t such means.
        mean_error = 2 * self.L * below + (own + EPS * state.t) * mean
        row = gap, norm2, mean, error, 2 * self.L * error + own * norm2, mean_error, distance2, apart
        while state.t == self.next:
            self._rows.append(row)

    def finished(self, state: State) -> Moments:
        """Rows that were not reached are infinite."""
        times, rows = self.times, np.full((len(self.times), 8), np.inf)
        if self._rows:
            rows[: len(self._rows)] = self._rows
        columns = np.where(np.isnan(rows), np.inf, rows)
        columns[:, [2, 5]] = np.where(times[:, None] == 0, np.nan, columns[:, [2, 5]])
        gap, norm2, average, gap_error, norm_error, average_error, distance2, distance_error = columns.T
        m, S = self.basis @ state.m, self.basis @ state.S @ self.basis.T
        return Moments(
            times, gap, norm2, average, gap_error, norm_error, average_error, distance2, distance_error, m, S
        )  # fmt: skip
