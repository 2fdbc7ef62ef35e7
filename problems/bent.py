"""A convex function on the line whose curvature changes as fast as its Hessian's Lipschitz constant allows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .errors import InputError
from .kernel import gap, gradient, value
from .problem import Grade, Matrix, Problem, Vector, bound, check_positive, exact, problems
from .spec import spelled


class Bent(NamedTuple):
    """f''(x) = curvature + bend min(|x|, reach), f(0) = f'(0) = 0; one component."""

    curvature: float
    bend: float
    reach: float


@gap.of(Bent)
def _bent_gap(problem: Any, x: Any) -> float:
    size = abs(x[0])
    inner = min(size, problem.reach)
    outer = size - inner
    height = inner * inner * (0.5 * problem.curvature + problem.bend * inner / 6.0)
    slope = inner * (problem.curvature + 0.5 * problem.bend * inner)
    return float(height + outer * (slope + 0.5 * outer * (problem.curvature + problem.bend * inner)))


@value.of(Bent)
def _bent_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    return float(scale * gap(problem, x))


@gradient.of(Bent)
def _bent_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    size = abs(x[0])
    inner = min(size, problem.reach)
    slope = inner * (problem.curvature + 0.5 * problem.bend * inner)
    slope += (size - inner) * (problem.curvature + problem.bend * inner)
    out[0] = scale * slope if x[0] > 0.0 else -scale * slope


class BentParabola(Problem):
    """f''(x) = curvature + bend min(|x|, reach) on the line: convex, minimum 0 at the origin, f'' |bend|-Lipschitz.

    Up to `reach` it is curvature x^2/2 + bend |x|^3/6, so that the largest rise over a ball of radius rho <= reach is
    curvature rho^2/2 + bend rho^3/6 exactly: the two extremes of a function whose Hessian is |bend|-Lipschitz. L and mu
    (also its strong convexity) are the larger and the smaller end of f'', mu a bound. Runs start at the minimiser.
    Raises InputError unless curvature > 0, reach > 0 and curvature + bend reach > 0.
    """

    def __init__(self, *, curvature: float = 1.0, bend: float = 0.5, reach: float = 1.0) -> None:
        check_positive(curvature, argument="curvature")
        check_positive(reach, argument="reach")
        end = float(curvature + bend * reach)
        if not 0 < end < np.inf:
            raise InputError(f"curvature + bend reach must be positive and finite, got {end!r}")
        super().__init__(
            name=f"bent:curvature={spelled(curvature)},bend={spelled(bend)},reach={spelled(reach)}",
            data=Bent(float(curvature), float(bend), float(reach)),
            n=1,
            d=1,
            L=exact(max(curvature, end)),
            mu=bound(min(curvature, end)),
            start=np.zeros(1),
            minimiser=np.zeros(1),
            convex_components=True,
        )

    @property
    def strong_convexity(self) -> float:
        return self.mu.value

    @property
    def hessian_lipschitz(self) -> float:
        return abs(float(self.data.bend))

    def hessian(self, x: ArrayLike) -> Matrix:
        size = abs(float(self._point(x)[0]))
        return np.array([[self.data.curvature + self.data.bend * min(size, self.data.reach)]])

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.array([self.L.value]), Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.zeros(1), Grade.EXACT


@problems.register("bent")
def bent(curvature: float = 1.0, bend: float = 0.5, reach: float = 1.0) -> BentParabola:
    """A parabola whose curvature grows or falls at the rate `bend` up to |x| = reach."""
    return BentParabola(curvature=curvature, bend=bend, reach=reach)
