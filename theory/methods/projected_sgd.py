"""Projected stochastic gradient descent: x+ = P(x - gamma g), g = grad f_v(x), P the projection onto the ball of radius
`radius` around the origin. A step that stays inside is bitwise one of SGD."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from problems.kernel import gradient, step
from problems.problem import check_positive
from problems.spec import spelled

from .method import Method, methods


class ProjectedSGD(NamedTuple):
    """radius: of the ball, > 0."""

    radius: float


@step.of(ProjectedSGD)
def _projected_sgd_step(
    method: Any,
    problem: Any,
    x: Any,
    indices: Any,
    weights: Any,
    m: int,
    gamma: float,
    rho: float,
    lam: float,
    g: Any,
    y: Any,
) -> float:
    gradient(problem, x, indices, weights, m, g)
    norm2 = 0.0
    for j in range(x.shape[0]):
        norm2 += g[j] * g[j]
    size2 = 0.0
    for j in range(x.shape[0]):
        x[j] -= gamma * g[j]
        size2 += x[j] * x[j]
    if size2 > method.radius * method.radius:
        shrink = method.radius / math.sqrt(size2)
        for j in range(x.shape[0]):
            x[j] *= shrink
    return norm2


@methods.register("projected-sgd")
def projected_sgd(radius: float = 1.0) -> Method:
    """SGD with iterates projected onto the ball of this radius around the origin."""
    check_positive(radius, argument="radius of method 'projected-sgd'")
    return Method(
        f"projected-sgd:radius={spelled(radius)}", ProjectedSGD(float(radius)), uses_rho=False, uses_lam=False
    )
