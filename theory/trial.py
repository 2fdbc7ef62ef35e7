"""Trial: both sides of a statement that is not a bound on f - f* or on gradient norms along a run.

A claim says what it needs to see and what it states about it. The measuring is done by a `Lab`, which the claim is
handed: a claim runs nothing itself, and the lab knows no claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from theory.setting import Facts, Setting

Values = NDArray[np.float64]
Scale = Mapping[str, float]

EPS = float(np.finfo(float).eps)

Relation = Literal["<=", ">=", "="]


class Lab(Protocol):
    """What a claim may have measured, by the compiled kernels. Iterates are never rounded or thinned on the way.

    replicates: the numbers of the copies of a random run to draw; one copy of a deterministic one.
    """

    replicates: range

    def iterates(self, setting: Setting, times: Sequence[int] | NDArray[np.int64]) -> Values:
        """x_t at these sorted times of each copy's run, shape (copies, times, d); NaN after a divergence. Copies
        numbered alike draw the same v at the same step, in whatever setting: runs on two problems are coupled."""
        ...

    def step(self, setting: Setting, points: Values, *, t: int = 0) -> Values:
        """One step at time t from each row of points (P, d), with the full batch."""
        ...

    def values(self, setting: Setting, points: Values) -> tuple[Values, Values]:
        """f - f* and ||grad f||^2 at each row of points (P, d), both of shape (P,)."""
        ...


@dataclass(frozen=True)
class Trial:
    """Both sides of one statement, measured.

    route: how the left side was measured, a noun phrase. at: (K,) times or numbers of the entries. measured: (K,), or
    (copies, K) nonnegative where the statement is about an expectation. stated: scale -> (K,), the right side with
    named constants scaled. error: (K,), how far rounding can move the difference of the two sides; for an equality the
    digits it is stated to, times the size of the terms. relation: measured `<=`, `>=` or `=` stated.
    """

    route: str
    at: NDArray[np.float64]
    measured: Values
    stated: Callable[[Scale], Values]
    error: Values
    relation: Relation = "<="

    @property
    def sampled(self) -> bool:
        """Each row of `measured` is one draw."""
        return self.measured.ndim == 2


@dataclass(frozen=True)
class Order:
    """A claimed exponent of at -> measured, and the exponents it must be told from.

    claimed: the slope of log measured against log at as at -> 0 (or infinity). neighbours: slopes to be excluded.
    """

    claimed: float
    neighbours: tuple[float, ...]


Measuring = Callable[[Setting, Facts, int, Lab], Trial]
"""(setting, facts, steps, lab) -> the trial. It may raise `NotMeasurable`."""


class NotMeasurable(Exception):
    """Nothing can be said on this instance, with the reason as a clause ("horizon too short: ...")."""


def times_of(steps: int, points: int = 60) -> NDArray[np.int64]:
    """0, `steps` and up to `points` geometrically spaced times between."""
    inner = np.unique(np.round(np.geomspace(1, max(steps, 1), points)).astype(np.int64))
    return np.unique(np.concatenate([[0], inner[inner <= steps], [steps]]))


def equal(route: str, measured: Values, stated: Values, *, error: Values, at: Values | None = None) -> Trial:
    """An equality, entry by entry; every named constant scales the stated side."""
    left, right = np.atleast_1d(measured), np.atleast_1d(stated)

    def scaled(scale: Scale) -> Values:
        return right * float(np.prod(list(scale.values()))) if scale else right

    numbers = np.arange(len(left), dtype=np.float64) if at is None else np.asarray(at, dtype=np.float64)
    return Trial(route, numbers, left, scaled, np.broadcast_to(error, left.shape), "=")
