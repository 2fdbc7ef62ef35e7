"""Unified SAM on f(x) = l x^2/2, step by step: functions of every class here, so what they attain bounds worst cases
from below, whatever a solver says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.worst_case.one_step import Cell

Measure = Literal["suboptimality", "gradient", "distance"]

CURVATURES = 200
STARTS = 200
FLATTEST = 1e-6
"""Smallest curvature tried where the class has none, relative to L."""


@dataclass(frozen=True)
class Quadratic:
    """f(x) = l x^2/2 started at x_0 = start, and the value of the measure that it attains."""

    l: float  # noqa: E741  # the letter of a curvature in [mu, L]
    start: float
    attains: float


def measured(cell: Cell, steps: int, measure: Measure, l: ArrayLike, start: ArrayLike) -> NDArray[np.float64]:  # noqa: E741
    """What `steps` steps from x_0 = start attain on l x^2/2; l and start broadcast."""
    curvature, x = np.broadcast_arrays(np.asarray(l, dtype=float), np.asarray(start, dtype=float))
    smallest = (curvature * x) ** 2
    with np.errstate(over="ignore", invalid="ignore"):  # a run that overflows attains infinity
        for _ in range(steps):
            g = curvature * x
            eps = cell.rho * ((1 - cell.lam) * g + cell.lam * np.sign(g))
            x = x - cell.gamma * curvature * (x + eps)
            smallest = np.fmin(smallest, (curvature * x) ** 2)
        found: NDArray[np.float64] = np.asarray(
            {"suboptimality": curvature * x**2 / 2, "gradient": smallest, "distance": x**2}[measure], dtype=float
        )
    return np.where(np.isnan(found), math.inf, found)


def farthest_start(measure: Measure, l: ArrayLike) -> NDArray[np.float64]:  # noqa: E741
    """The largest x_0 that the start condition allows: |x_0| <= 1 for distances, l x_0^2/2 <= 1 otherwise."""
    curvature = np.asarray(l, dtype=float)
    return np.ones_like(curvature) if measure == "distance" else np.sqrt(2 / curvature)


def worst_quadratic(cell: Cell, steps: int, measure: Measure) -> Quadratic:
    """The worst of a grid of curvatures in [mu, L], (0, L] where the class has no mu, and of starts."""
    least = cell.mu or FLATTEST * cell.L
    curvatures = np.geomspace(least, cell.L, CURVATURES)
    curvatures[0], curvatures[-1] = least, cell.L
    starts = farthest_start(measure, curvatures)[:, None] * np.linspace(1, 0, STARTS, endpoint=False)
    found = measured(cell, steps, measure, curvatures[:, None], starts)
    row, column = np.unravel_index(int(np.argmax(found)), found.shape)
    return Quadratic(float(curvatures[row]), float(starts[row, column]), float(found[row, column]))
