"""The function behind a solution: points, gradients and values in R^r from its Gram matrix, and what kind of function.

Of a class whose conditions are sufficient there is a function with these values and gradients (Taylor, Hendrickx and
Glineur 2017, theorem 4 and theorem 3.10 for non-convex ones); the conditions are evaluated here once more, in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.worst_case.estimation import Estimation, Expression, FunctionClass, Point, Solved, coordinates
from theory.worst_case.one_dimension import Measure, Quadratic, farthest_start, measured
from theory.worst_case.one_step import Cell

Named = tuple[str, Point, Point]
"""Name, point and gradient there."""

SAME = 2e-4
"""Data count as those of a quadratic up to this, relative to 1 + the largest value: the directions dropped from the
Gram matrix have up to 1e-5 of its trace."""

REPRODUCED = 2e-5
"""The quadratic must attain the value to this, relative to 1 + value: what the solver's solution is good for."""

SNAPPED = 1e-3
"""Curvatures and starts this close, relatively, to the ends of their ranges are those ends: coordinates are known to
about the square root of what was dropped from the Gram matrix."""

FLAT = 1e-3
"""Curvatures below this part of L that are not mu are rounding: nothing moves on such a function."""


@dataclass(frozen=True)
class WorstFunction:
    """Data of a function of the class: f(points[i]) = values[i] + inf f, grad f(points[i]) = gradients[i].

    names: x*, x_0, x_0+eps_0, x_1, ..., length k. points, gradients: shape (k, r). values: shape (k,). The origin is
    the minimiser, x_0 where there is none. attains: the measure, taken from the table. violation: of the conditions of
    the class, the largest over pairs, relative to the largest value or 1. quadratic: l x^2/2 where the data are its.
    """

    names: tuple[str, ...]
    points: NDArray[np.float64]
    gradients: NDArray[np.float64]
    values: NDArray[np.float64]
    attains: float
    violation: float
    quadratic: Quadratic | None = None

    @property
    def dimension(self) -> int:
        """r."""
        return int(self.points.shape[1])

    def as_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        quadratic = self.quadratic
        return {
            "dimension": self.dimension, "names": list(self.names), "points": self.points.tolist(),
            "gradients": self.gradients.tolist(), "values": self.values.tolist(), "attains": self.attains,
            "violation": self.violation,
            "quadratic": {"l": quadratic.l, "start": quadratic.start} if quadratic else None,
        }  # fmt: skip


def extracted(problem: Estimation, solved: Solved, named: Sequence[Named], measure: Measure) -> WorstFunction:
    """The data of `named`, a minimiser first where the class has one, as a solution has them; L = 1 in its units."""
    columns = coordinates(solved.gram)

    def vector(point: Point) -> NDArray[np.float64]:
        found = np.zeros(columns.shape[0])
        for leaf, weight in point.decomposition_dict.items():
            found += weight * columns[:, leaf.counter]
        return found

    def number(expression: Expression) -> float:
        return float(
            sum(weight * solved.values[leaf.counter] for leaf, weight in expression.decomposition_dict.items())
        )

    names = tuple(name for name, _, _ in named)
    points, gradients = (np.array([vector(entry[i]) for entry in named]) for i in (1, 2))
    values = np.array([number(problem.f(x) - problem.infimum) for _, x, _ in named])
    points = points - points[0]
    at = names.index("x_0")
    signs = np.where((gradients[at] if names[0] == "x_0" else points[at]) < 0, -1.0, 1.0)
    points, gradients = points * signs, gradients * signs
    iterates = [i for i, name in enumerate(names) if name.startswith("x_") and "+" not in name]
    attains = {
        "suboptimality": float(values[iterates[-1]]),
        "gradient": float(np.min(np.sum(gradients[iterates] ** 2, axis=1))),
        "distance": float(np.sum((points[iterates[-1]] - points[0]) ** 2)),
    }[measure]
    start = float(np.sum((points[at] - points[0]) ** 2)) if measure == "distance" else float(values[at])
    broken = max(violation(problem.function_class, problem.mu, points, gradients, values), start - 1)
    scale = max(1.0, float(np.max(np.abs(values))))
    return WorstFunction(names, points, gradients, values, attains, max(0.0, broken / scale))


def violation(
    function_class: FunctionClass, mu: float, x: NDArray[np.float64], g: NDArray[np.float64], f: NDArray[np.float64]
) -> float:
    """By how much the data (x_i, g_i, f_i), inf f = 0, break the interpolation conditions of the class with L = 1.

    Strongly convex and convex (mu = 0), for all pairs:
    f_i >= f_j + <g_j, x_i - x_j> + (||g_i - g_j||^2 + mu ||x_i - x_j||^2 - 2 mu <g_i - g_j, x_i - x_j>)/(2 (1 - mu)).
    Non-convex: f_i >= f_j + <g_i + g_j, x_i - x_j>/2 + ||g_i - g_j||^2/4 - ||x_i - x_j||^2/4 and f_i >= ||g_i||^2/2.
    """
    dx, dg = x[:, None] - x[None], g[:, None] - g[None]
    along, dx2, dg2 = (np.sum(a * b, axis=2) for a, b in ((dg, dx), (dx, dx), (dg, dg)))
    if function_class == "nonconvex":
        average = np.sum((g[:, None] + g[None]) / 2 * dx, axis=2)
        missing = f[None] + average + dg2 / 4 - dx2 / 4 - f[:, None]
        return max(float(np.max(missing)), float(np.max(np.sum(g**2, axis=1) / 2 - f)))
    rest = (dg2 + mu * dx2 - 2 * mu * along) / (2 * (1 - mu))
    missing = f[None] + np.sum(g[None] * dx, axis=2) + rest - f[:, None]
    return max(float(np.max(missing)), float(np.max(-f)))


def as_quadratic(worst: WorstFunction, cell: Cell, steps: int, measure: Measure, value: float) -> Quadratic | None:
    """l x^2/2 where the data in R^1 are its own and running the method on it attains the value; None otherwise."""
    if worst.dimension != 1:
        return None
    x, g = worst.points[:, 0], worst.gradients[:, 0]
    spread = x - x.mean()
    if not spread @ spread > 0:
        return None
    curvature = float(spread @ (g - g.mean()) / (spread @ spread))
    for end in (cell.mu, cell.L):
        if math.isclose(curvature, end, rel_tol=SNAPPED):
            curvature = end
    if not (curvature == cell.mu or FLAT * cell.L <= curvature <= cell.L):
        return None
    minimiser = x.mean() - g.mean() / curvature
    start, farthest = abs(float(x[worst.names.index("x_0")] - minimiser)), float(farthest_start(measure, curvature))
    if start > farthest or math.isclose(start, farthest, rel_tol=SNAPPED):
        start = farthest
    if np.max(np.abs(curvature * (x - minimiser) ** 2 / 2 - worst.values)) > SAME * (1 + np.max(worst.values)):
        return None
    attains = float(measured(cell, steps, measure, curvature, start))
    return Quadratic(curvature, start, attains) if abs(attains - value) <= REPRODUCED * (1 + value) else None
