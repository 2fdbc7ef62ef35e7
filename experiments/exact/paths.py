"""Exact expectations over all sample paths of a short horizon, for every method and problem."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments import rounding
from experiments.engine.run import Progress, evaluate, one_step
from experiments.rounding import EPS
from theory.samplings import SamplingData, listed
from theory.setting import Setting, facts_of

from .linear import UNAVAILABLE

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Paths:
    """Expectations at times 0, ..., steps, each of shape (steps + 1,), with rounding floors; fields as in `Moments`.

    leaves: distinct points at the last time. steps: how far the paths could be followed.
    """

    times: NDArray[np.int64]
    gap: Values
    grad_norm2: Values
    average: Values
    gap_error: Values
    norm_error: Values
    average_error: Values
    distance2: Values
    distance_error: Values
    leaves: int
    steps: int


def path_expectation(
    setting: Setting, *, steps: int, most: int = 200_000, growth: float = 0.0, progress: Progress | None = None
) -> Paths | str:
    """Follow every path of draws from setting.x0, at most `most` points at a time; paths that meet are merged.

    Symmetric paths end in the same point bit for bit and are merged; nothing else is. A clause where not even one step
    can be followed.
    """
    if setting.sampling.atom_count() > most:
        return f"{UNAVAILABLE}more than {most} values of v"
    control = progress or Progress()
    atoms = list(setting.sampling.atoms())
    probabilities = np.array([atom.probability for atom in atoms])
    block = listed(atoms, setting.problem.n)
    points, chances = setting.x0[None, :].copy(), np.ones(1)
    rows = [_expected(setting, points, chances)]
    for t in range(steps):
        if len(points) * len(atoms) > most or control.stopped:
            break
        run = one_step(
            setting, _repeated(block, len(points)), np.repeat(points, len(atoms), axis=0),
            gamma=float(setting.gamma.at(t)), rho=float(setting.rho.at(t)), lam=float(setting.lam.at(t)),
        )  # fmt: skip
        points, chances = _merged(run.x, np.outer(chances, probabilities).ravel())
        rows.append(_expected(setting, points, chances))
    horizon = len(rows) - 1
    if horizon == 0:
        return f"{UNAVAILABLE}one step has {len(atoms)} values of v, at most {most} are followed"
    gap, norm2, distance2, distance = np.array(rows).T
    times = np.arange(horizon + 1)
    facts = facts_of(setting)
    elapsed = np.maximum(times, 1).astype(float)
    sums = (len(atoms) + horizon + math.log2(len(points)) + 8) * EPS
    gap_error = rounding.gap_floor(setting, facts, gap, distance, elapsed) + sums * gap
    norm_error = rounding.norm_floor(setting, facts, norm2, distance, elapsed) + sums * norm2
    distance_error = rounding.distance_floor(setting, facts, distance2, distance, elapsed) + sums * distance2
    return Paths(
        times, gap, norm2, _average(norm2, growth), gap_error, norm_error, _average(norm_error, growth), distance2,
        distance_error, len(points), horizon,
    )  # fmt: skip


def _average(values: Values, growth: float) -> Values:
    """The average over s < t with weights (1 + growth)^-(s+1), NaN at t = 0."""
    weights = np.exp(-np.arange(len(values)) * math.log1p(growth))
    sums = np.cumsum(weights * values)[:-1] / np.cumsum(weights)[:-1]
    return np.concatenate([[np.nan], sums])


def _expected(setting: Setting, points: Values, chances: Values) -> tuple[float, float, float, float]:
    gap, norm2 = evaluate(setting, points)
    squares = ((points - setting.problem.centre) ** 2).sum(axis=1)
    means = [math.fsum(chances * values) for values in (gap, norm2, squares)]
    return means[0], means[1], means[2], math.sqrt(float(squares.max()))


def _merged(points: Values, chances: Values) -> tuple[Values, Values]:
    """Rows that are equal bit for bit become one, with the sum of their probabilities."""
    unique, inverse = np.unique(points, axis=0, return_inverse=True)
    together = np.bincount(inverse.ravel(), weights=chances, minlength=len(unique))
    return np.ascontiguousarray(unique), np.asarray(together, dtype=np.float64)


def _repeated(block: SamplingData, times: int) -> SamplingData:
    """The listed atoms once for each point."""
    size = int(block.starts[-1])
    starts = (block.starts[:-1] + size * np.arange(times)[:, None]).ravel()
    return block._replace(
        weights=np.tile(block.weights, times),
        members=np.tile(block.members, times),
        starts=np.append(starts, size * times),
    )
