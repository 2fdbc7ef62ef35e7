"""Schedules: gamma_t, rho_t and lambda_t as functions of t = 0, 1, 2, ..."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from problems.errors import InputError
from problems.problem import check_nonnegative, check_positive
from problems.spec import Catalogue, read_float, spelled

schedules: Catalogue[Schedule] = Catalogue("schedule", ("theory",))
"""Every schedule that has a SPEC: `schedules.build("inverse:start=0.1,slope=2")`."""


@dataclass(frozen=True)
class Schedule:
    """A number for every step.

    name: the SPEC, or the number itself. formula: maps an array of step numbers t >= 0 to values.
    largest, smallest: supremum and infimum over t. constant: the one value, or None if it changes.
    """

    name: str
    formula: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    largest: float
    smallest: float = 0.0
    constant: float | None = None

    def at(self, t: NDArray[np.int64] | NDArray[np.float64] | int) -> NDArray[np.float64]:
        """The values at steps t (any shape)."""
        return np.asarray(self.formula(np.asarray(t, dtype=np.float64)), dtype=np.float64)

    def window(self, first: int, last: int) -> NDArray[np.float64]:
        """The values at first, ..., last - 1; a single entry when constant (the engine repeats the last)."""
        if self.constant is not None:
            return np.array([self.constant])
        return self.at(np.arange(first, max(last, first + 1)))

    def __str__(self) -> str:
        return self.name


def constant(number: float) -> Schedule:
    """The same number at every step."""
    return Schedule(spelled(number), lambda t: np.full(t.shape, float(number)), *3 * (float(number),))


@schedules.register("constant")
def _constant(value: float) -> Schedule:
    return constant(value)


@schedules.register("inverse")
def inverse(start: float, slope: float) -> Schedule:
    """min(start, 1/(slope t + 1)), slope > 0: rho_t of the decreasing-step theorem has slope 2; lambda_t = 1/(t + 1)
    has start = slope = 1."""
    check_nonnegative(start, argument="start of schedule 'inverse'")
    check_positive(slope, argument="slope of schedule 'inverse'")
    return Schedule(
        f"inverse:start={spelled(start)},slope={spelled(slope)}",
        lambda t: np.minimum(start, 1 / (slope * t + 1)),
        min(start, 1.0),
    )


@schedules.register("one-minus-inverse")
def one_minus_inverse(slope: float = 1.0) -> Schedule:
    """1 - 1/(slope t + 1), slope > 0: from 0 towards 1."""
    check_positive(slope, argument="slope of schedule 'one-minus-inverse'")
    return Schedule(f"one-minus-inverse:slope={spelled(slope)}", lambda t: 1 - 1 / (slope * t + 1), 1.0)


@schedules.register("decreasing")
def decreasing(start: float, mu: float) -> Schedule:
    """min(start, (2t + 1)/((t + 1)^2 mu)): gamma_t of the decreasing-step theorem (U2). mu > 0."""
    check_positive(mu, argument="mu of schedule 'decreasing'")
    check_nonnegative(start, argument="start of schedule 'decreasing'")
    return Schedule(
        f"decreasing:start={spelled(start)},mu={spelled(mu)}",
        lambda t: np.minimum(start, (2 * t + 1) / ((t + 1) ** 2 * mu)),
        min(start, 1 / mu),
    )


def read_schedule(
    text: str | float | Schedule, *, argument: str, low: float = 0.0, high: float | None = None
) -> Schedule:
    """A number or a SPEC, as a schedule within [low, high].

    Raises InputError, naming `argument`, when a number is not finite or out of range, or the SPEC is wrong.
    """
    if isinstance(text, Schedule):
        schedule = text
    elif isinstance(text, str) and (":" in text or text in schedules):
        schedule = schedules.build(text)
    else:
        schedule = constant(read_float(str(text), argument=argument))
    allowed = f"[{low:g}, {high:g}]" if high is not None else f">= {low:g}"
    finite = math.isfinite(schedule.largest)
    if not (finite and schedule.smallest >= low) or (high is not None and not schedule.largest <= high):
        raise InputError(f"{argument} must be {'in ' if high is not None else ''}{allowed}, got {text!s}")
    return schedule
