"""Stochastic gradient descent: x+ = x - gamma g, g = grad f_v(x)."""

from __future__ import annotations

from typing import Any, NamedTuple

from problems.kernel import ascent, gradient, span, step

from .method import Method, methods


class SGD(NamedTuple):
    """No parameters of its own. The field keeps the compiled type non-empty."""

    unused: float = 0.0


@step.of(SGD)
def _sgd_step(
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
    for j in range(x.shape[0]):
        x[j] -= gamma * g[j]
    return norm2


@span.of(SGD)
def _sgd_span(
    method: Any,
    problem: Any,
    weight: float,
    r: float,
    b: float,
    k: float,
    z: float,
    p: float,
    norm2: float,
    a2: float,
    x2: float,
    gamma: float,
    rho: float,
    lam: float,
) -> tuple[float, float, float]:
    return 1.0 - gamma * r, -(gamma * p), 1.0


@ascent.of(SGD)
def _sgd_ascent(method: Any, rho: float, lam: float, norm2: float) -> float:
    return 0.0


@methods.register("sgd")
def sgd() -> Method:
    """Stochastic gradient descent."""
    return Method("sgd", SGD(), uses_rho=False, uses_lam=False, isometric=True)


@methods.register("gd")
def gd() -> Method:
    """Gradient descent: the rule of `sgd` under the name it has on the full batch. The name chooses no sampling."""
    return Method("gd", SGD(), uses_rho=False, uses_lam=False, isometric=True)
