"""What the engine is timed on: stochastic Unified SAM on generalised linear models, and two other ways to run it.

The *hand* loops are what an expert writes with numba for one method on one problem: the update as on paper,
nothing general about them. The *numpy* loops are vectorised over replicates. Both make the same steps as the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.engine.draws import stream, uniform
from problems.errors import InputError
from problems.glm import LeastSquares, LeastSquaresProblem, LogisticProblem, logistic_bregman, logistic_slope
from problems.problem import Indices, Problem
from problems.scratch import aligned
from theory.samplings import single
from theory.setting import Setting, make_setting

LAM = 0.5
REG = 0.01


@dataclass(frozen=True)
class Workload:
    """One setting and how long to run it.

    steps: of each replicate. numpy_steps: the same for the NumPy loop, which is timed on fewer. every: f - f* is
    recorded at 0, every, 2 every, .... calls: runs timed together, so that one timing lasts about 0.1 s.
    """

    name: str
    setting: Setting
    steps: int
    replicates: int
    every: int
    numpy_steps: int
    calls: int = 1

    @property
    def problem(self) -> Problem:
        return self.setting.problem

    def times(self, steps: int) -> Indices:
        """The record times of a run of `steps` steps, shape (steps // every + 1,)."""
        return np.arange(0, steps + 1, self.every)


def ridge(n: int, d: int, *, seed: int = 0) -> LeastSquaresProblem:
    """Ridge regression on Gaussian features with a noisy linear target."""
    random = np.random.default_rng(seed)
    A = random.standard_normal((n, d))
    b = A @ random.standard_normal(d) + random.standard_normal(n)
    return LeastSquaresProblem.from_arrays(A, b, reg=REG, name=f"ridge n={n} d={d}")


def logistic(n: int, d: int, *, seed: int = 0) -> LogisticProblem:
    """Logistic regression on Gaussian features with noisy labels."""
    random = np.random.default_rng(seed)
    A = random.standard_normal((n, d))
    scores = A @ random.standard_normal(d) / math.sqrt(d) + random.standard_normal(n)
    return LogisticProblem.from_arrays(A, np.where(scores > 0, 1.0, -1.0), reg=REG, name=f"logistic n={n} d={d}")


def workload(
    name: str, problem: Problem, *, steps: int, replicates: int, numpy_steps: int | None = None, calls: int = 1
) -> Workload:
    """Unified SAM with lam = 0.5 and gamma = rho = 0.1/L_max, one uniform component a step, a record every n steps."""
    size = 0.1 / float(problem.component_smoothness[0].max())
    sampling = single(np.full(problem.n, 1 / problem.n), name="uniform")
    setting = make_setting(problem, sampling=sampling, gamma=size, rho=size, lam=LAM)
    return Workload(name, setting, steps, replicates, problem.n, numpy_steps or steps, calls)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "W1": lambda: workload("W1", ridge(100, 100), steps=10_000, replicates=16, numpy_steps=2_000, calls=6),
    "W2": lambda: workload("W2", ridge(1_000, 1_000), steps=10_000, replicates=4, numpy_steps=2_000, calls=4),
    "W3": lambda: workload("W3", logistic(10_000, 50), steps=100_000, replicates=16, numpy_steps=10_000),
}
"""By name; each is built when called, because a problem finds its minimiser first."""


# -- by hand --


def ridge_by_hand(
    A: Any, b: Any, reg: float, minimiser: Any, x: Any, seed: Any, gamma: float, rho: float, lam: float,
    steps: int, every: int, gaps: Any, norms: Any, g: Any, y: Any,
) -> int:  # fmt: skip
    """Unified SAM on ridge regression, one replicate after another; compiled before use.

    x (R, d): starts, updated in place. gaps (R, steps // every + 1): f - f* at 0, every, ....; norms: ||grad f||^2
    at the same times, or None to leave it out. g, y: scratch of length d. Returns how many steps were made.
    """
    n, d = A.shape
    made = 0
    for r in range(x.shape[0]):
        point = x[r]
        key = stream(seed, r)
        for record in range(gaps.shape[1]):
            size = 0.0
            for j in range(d):
                size += (point[j] - minimiser[j]) * (point[j] - minimiser[j])
            total = 0.0
            for i in range(n):
                dot = 0.0
                for j in range(d):
                    dot += A[i, j] * (point[j] - minimiser[j])
                total += dot * dot
            gaps[r, record] = 0.5 * (total / n + reg * size)
            if norms is not None:
                for j in range(d):
                    g[j] = reg * point[j]
                for i in range(n):
                    dot = 0.0
                    for j in range(d):
                        dot += A[i, j] * point[j]
                    residual = (dot - b[i]) / n
                    for j in range(d):
                        g[j] += residual * A[i, j]
                norm2 = 0.0
                for j in range(d):
                    norm2 += g[j] * g[j]
                norms[r, record] = norm2
            finite = True
            for t in range(record * every, min((record + 1) * every, steps)):
                i = int(uniform(key, t, 0) * n)
                dot = 0.0
                for j in range(d):
                    dot += A[i, j] * point[j]
                residual = dot - b[i]
                for j in range(d):
                    g[j] = residual * A[i, j] + reg * point[j]
                norm2 = 0.0
                for j in range(d):
                    norm2 += g[j] * g[j]
                s = 0.0
                if norm2 > 0.0:
                    s = rho * ((1.0 - lam) + lam / math.sqrt(norm2))
                for j in range(d):
                    y[j] = point[j] + s * g[j]
                dot = 0.0
                for j in range(d):
                    dot += A[i, j] * y[j]
                residual = dot - b[i]
                for j in range(d):
                    g[j] = residual * A[i, j] + reg * y[j]
                for j in range(d):
                    point[j] -= gamma * g[j]
                if not math.isfinite(norm2):
                    finite = False
                    break
                made += 1
            if not finite:
                break
    return made


def logistic_by_hand(
    A: Any, b: Any, reg: float, minimiser: Any, margins: Any, x: Any, seed: Any, gamma: float, rho: float, lam: float,
    steps: int, every: int, gaps: Any, norms: Any, g: Any, y: Any,
) -> int:  # fmt: skip
    """Unified SAM on logistic regression with a minimiser; see `ridge_by_hand`. margins: b_i a_i.x*, shape (n,)."""
    n, d = A.shape
    made = 0
    for r in range(x.shape[0]):
        point = x[r]
        key = stream(seed, r)
        for record in range(gaps.shape[1]):
            size = 0.0
            for j in range(d):
                size += (point[j] - minimiser[j]) * (point[j] - minimiser[j])
            total = 0.0
            for i in range(n):
                dot = 0.0
                for j in range(d):
                    dot += A[i, j] * (point[j] - minimiser[j])
                total += logistic_bregman(margins[i], b[i] * dot)
            gaps[r, record] = total / n + 0.5 * reg * size
            if norms is not None:
                for j in range(d):
                    g[j] = reg * point[j]
                for i in range(n):
                    dot = 0.0
                    for j in range(d):
                        dot += A[i, j] * point[j]
                    slope = -b[i] * logistic_slope(b[i] * dot) / n
                    for j in range(d):
                        g[j] += slope * A[i, j]
                norm2 = 0.0
                for j in range(d):
                    norm2 += g[j] * g[j]
                norms[r, record] = norm2
            finite = True
            for t in range(record * every, min((record + 1) * every, steps)):
                i = int(uniform(key, t, 0) * n)
                dot = 0.0
                for j in range(d):
                    dot += A[i, j] * point[j]
                slope = -b[i] * logistic_slope(b[i] * dot)
                for j in range(d):
                    g[j] = slope * A[i, j] + reg * point[j]
                norm2 = 0.0
                for j in range(d):
                    norm2 += g[j] * g[j]
                s = 0.0
                if norm2 > 0.0:
                    s = rho * ((1.0 - lam) + lam / math.sqrt(norm2))
                for j in range(d):
                    y[j] = point[j] + s * g[j]
                dot = 0.0
                for j in range(d):
                    dot += A[i, j] * y[j]
                slope = -b[i] * logistic_slope(b[i] * dot)
                for j in range(d):
                    g[j] = slope * A[i, j] + reg * y[j]
                for j in range(d):
                    point[j] -= gamma * g[j]
                if not math.isfinite(norm2):
                    finite = False
                    break
                made += 1
            if not finite:
                break
    return made


_compiled: dict[Callable[..., Any], Callable[..., Any]] = {}


@dataclass(frozen=True)
class Curve:
    """What a run leaves, at the record times: gap (R, K), f - f*, and norms (R, K), ||grad f||^2, where recorded.

    x (R, d): the final iterates.
    """

    gap: NDArray[np.float64]
    norms: NDArray[np.float64] | None
    x: NDArray[np.float64]


def by_hand(work: Workload, *, steps: int, seed: int = 0, norms: bool = False) -> Curve:
    """Run the hand loop, compiled with the engine's flags, on the engine's draws.

    norms: record ||grad f||^2 too, which takes a further dot product and axpy for each component.
    """
    from experiments.engine.dispatch import compile_like_the_loop

    problem, setting = work.problem, work.setting
    squares = isinstance(problem.data, LeastSquares)
    loop = ridge_by_hand if squares else logistic_by_hand
    if loop not in _compiled:
        _compiled[loop] = compile_like_the_loop(loop)
    x = np.tile(setting.x0, (work.replicates, 1))
    gaps = np.full((work.replicates, len(work.times(steps))), np.nan)
    kept = np.full_like(gaps, np.nan) if norms else None
    made = _compiled[loop](
        *problem.data[: 4 if squares else 5], x, np.uint64(seed), *sizes(setting), steps, work.every, gaps, kept,
        aligned(problem.d), aligned(problem.d),
    )  # fmt: skip
    if made != steps * work.replicates:
        raise ArithmeticError(f"the hand loop diverged on {work.name}")
    return Curve(gaps, kept, x)


# -- with NumPy --


def draw_up_front(work: Workload, *, steps: int, seed: int = 0) -> Indices:
    """Uniform components for every step and replicate, shape (steps, R)."""
    return np.random.default_rng(seed).integers(work.problem.n, size=(steps, work.replicates))


def with_numpy(work: Workload, indices: Indices) -> Curve:
    """Run len(indices) steps with NumPy, all replicates at once. indices: shape (steps, R)."""
    data, setting = work.problem.data, work.setting
    A, b, reg, minimiser = data.A, data.b, data.reg, data.minimiser
    gamma, rho, lam = sizes(setting)
    squares = isinstance(data, LeastSquares)

    def component_gradients(rows: Any, targets: Any, points: Any) -> Any:
        dots = np.einsum("rd,rd->r", rows, points)
        slopes = dots - targets if squares else -targets / (1 + np.exp(targets * dots))
        return slopes[:, None] * rows + reg * points

    def losses(points: Any) -> Any:
        dots = points @ A.T
        fits = (dots - b) ** 2 / 2 if squares else np.logaddexp(0.0, -b * dots)
        return fits.mean(axis=1) + reg / 2 * np.einsum("rd,rd->r", points, points)

    lowest = losses(minimiser[None, :])[0]
    x = np.tile(setting.x0, (work.replicates, 1))
    gaps = []
    for t, chosen in enumerate(indices):
        if t % work.every == 0:
            gaps.append(losses(x) - lowest)
        rows, targets = A[chosen], b[chosen]
        g = component_gradients(rows, targets, x)
        norms = np.sqrt(np.einsum("rd,rd->r", g, g))
        if not np.isfinite(norms).all():
            raise ArithmeticError(f"the NumPy loop diverged on {work.name}")
        s = rho * ((1 - lam) + lam / norms)
        x -= gamma * component_gradients(rows, targets, x + s[:, None] * g)
    if len(indices) % work.every == 0:
        gaps.append(losses(x) - lowest)
    return Curve(np.array(gaps).T, None, x)


def sizes(setting: Setting) -> tuple[float, float, float]:
    """gamma, rho and lam, which must be constant."""
    gamma, rho, lam = setting.gamma.constant, setting.rho.constant, setting.lam.constant
    if gamma is None or rho is None or lam is None:
        raise InputError(f"a benchmark needs constant gamma, rho and lam, got {setting}")
    return gamma, rho, lam
