"""Stochastic gradient descent: x+ = x - gamma g, g = grad f_v(x)."""

from __future__ import annotations

from typing import Any, NamedTuple

from problems.kernel import gradient, step

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


@methods.register("sgd")
def sgd() -> Method:
    """Stochastic gradient descent."""
    return Method("sgd", SGD(), uses_rho=False, uses_lam=False)


@methods.register("gd")
def gd() -> Method:
    """Gradient descent: the rule of `sgd` under the name it has on the full batch. The name chooses no sampling."""
    return Method("gd", SGD(), uses_rho=False, uses_lam=False)
