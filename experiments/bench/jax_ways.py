"""The same steps in JAX: scan over steps, vmap over replicates, compiled. An extra: without it the ways say so."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from problems.kernel import linear as linear_model
from problems.problem import Indices

from .workloads import Workload, sizes

if TYPE_CHECKING:
    from .kernels import Way

ABSENT = "jax is not installed; pip install 'ravine[bench]'"


def _jax() -> Any:
    """JAX held to one thread and double precision; None where it is not installed."""
    if importlib.util.find_spec("jax") is None:
        return None
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    import jax

    settings: Any = jax.config
    settings.update("jax_enable_x64", True)
    settings.update("jax_platforms", "cpu")
    return jax


def _ready(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    def run() -> Any:
        return np.asarray(function(*arguments))

    return run


def linear(work: Workload, indices: Indices) -> Iterator[Way]:
    """One row a step, f - f* every n steps: the closed form (one dot product, one axpy), and automatic gradients."""
    from .kernels import Way

    jax = _jax()
    if jax is None:
        yield Way("JAX", 0, ABSENT)
        return
    jnp = jax.numpy
    parts = linear_model(work.problem.data)
    A, b, square = jnp.asarray(parts.A), jnp.asarray(parts.b), jnp.einsum("ij,ij->i", parts.A, parts.A)
    reg, squares, every = parts.reg, work.problem.quadratic, work.every
    gamma, rho, lam = sizes(work.setting)
    chunks = jnp.asarray(indices[: len(indices) // every * every].reshape(-1, every, work.replicates))
    x0 = jnp.zeros((work.replicates, work.problem.d))

    def slope(z: Any, target: Any) -> Any:
        return z - target if squares else -target / (1 + jnp.exp(target * z))

    def loss(x: Any) -> Any:
        z = x @ A.T
        fits = (z - b) ** 2 / 2 if squares else jnp.logaddexp(0.0, -b * z)
        return fits.mean(axis=-1) + reg / 2 * (x * x).sum(axis=-1)

    def closed(x: Any, i: Any) -> Any:
        a, target, a2 = A[i], b[i], square[i]
        z = a @ x
        p = slope(z, target)
        s = rho * ((1 - lam) + lam / jnp.sqrt(p * p * a2 + 2 * p * reg * z + reg * reg * (x @ x)))
        q = slope(z + s * (p * a2 + reg * z), target)
        return (1 - gamma * reg * (1 + s * reg)) * x - gamma * (q + reg * s * p) * a

    def component(x: Any, i: Any) -> Any:
        z = A[i] @ x
        fit = (z - b[i]) ** 2 / 2 if squares else jnp.logaddexp(0.0, -b[i] * z)
        return fit + reg / 2 * x @ x

    def automatic(x: Any, i: Any) -> Any:
        g = jax.grad(component)(x, i)
        s = rho * ((1 - lam) + lam / jnp.sqrt(g @ g))
        return x - gamma * jax.grad(component)(x + s * g, i)

    def runner(step: Callable[[Any, Any], Any]) -> Any:
        many = jax.vmap(step)

        def chunk(x: Any, rows: Any) -> Any:
            x, _ = jax.lax.scan(lambda x, i: (many(x, i), None), x, rows)
            return x, loss(x)

        return jax.jit(lambda x, chunks: jax.lax.scan(chunk, x, chunks)[0])

    steps = chunks.shape[0] * every
    yield Way("JAX, closed form", steps, _ready(runner(closed), x0, chunks), exact=False)
    yield Way("JAX, automatic", steps, _ready(runner(automatic), x0, chunks), exact=False)


def quadratic(h: Any, starts: Any, amounts: tuple[float, float, float], steps: int, *, name: str) -> Iterator[Way]:
    """A diagonal quadratic from every start (R, d)."""
    from .kernels import Way

    jax = _jax()
    if jax is None:
        yield Way(name, 0, ABSENT)
        return
    jnp = jax.numpy
    curvature = jnp.asarray(h)
    gamma, rho, lam = amounts

    def step(x: Any, _: Any) -> Any:
        g = curvature * x
        s = rho * ((1 - lam) + lam / jnp.sqrt((g * g).sum(axis=1, keepdims=True)))
        return x * (1 - gamma * curvature * (1 + s * curvature)), None

    run = jax.jit(lambda x: jax.lax.scan(step, x, None, length=steps)[0])
    yield Way(name, steps, _ready(run, jnp.asarray(starts)), exact=False)


def minibatch(work: Workload, chosen: Indices, amounts: tuple[float, float, float]) -> Iterator[Way]:
    """tau rows a step of logistic regression. chosen: shape (steps, R, tau)."""
    from .kernels import Way

    jax = _jax()
    if jax is None:
        yield Way("JAX", 0, ABSENT)
        return
    jnp = jax.numpy
    parts = linear_model(work.problem.data)
    A, b, reg = jnp.asarray(parts.A), jnp.asarray(parts.b), parts.reg
    gamma, rho, lam = amounts
    tau = chosen.shape[2]

    def one(x: Any, rows: Any) -> Any:
        a, target = A[rows], b[rows]

        def slope(x: Any) -> Any:
            return (-target / (1 + jnp.exp(target * (a @ x)))) @ a / tau + reg * x

        g = slope(x)
        s = rho * ((1 - lam) + lam / jnp.sqrt(g @ g))
        return x - gamma * slope(x + s * g)

    run = jax.jit(lambda x, rows: jax.lax.scan(lambda x, i: (jax.vmap(one)(x, i), None), x, rows)[0])
    x0 = jnp.zeros((work.replicates, work.problem.d))
    yield Way("JAX", len(chosen), _ready(run, x0, jnp.asarray(chosen)), exact=False)
