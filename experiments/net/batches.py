"""The samples of many runs at once: the numbers that the compiled engine draws, as arrays for a batched program.

The k-th number of step t is a function of (seed, replicate, t, k) alone (see `experiments.engine.draws`), so a run's
samples depend neither on which runs stand beside it nor on how many steps are drawn at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.engine.draws import mix, stream
from problems.errors import InputError
from theory.samplings import FULL, REPLACEMENT, SINGLE, TAU_NICE, Sampling

Words = NDArray[np.uint64]


class Batches(NamedTuple):
    """indices (S, steps, tau): what run k draws at each step; weights, the same shape: v_i of those drawn."""

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]


def uniforms(keys: Words, steps: Words, k: int) -> NDArray[np.float64]:
    """The k-th numbers in [0, 1) of steps (T,) for streams keys (S,), shape (S, T): `draws.uniform` on arrays."""
    word = mix(
        mix(keys[:, None] + steps[None] * np.uint64(0x9E3779B97F4A7C15))
        + np.array([k], dtype=np.uint64) * np.uint64(0xA0761D6478BD642F)
    )
    return np.asarray((word >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def draw_batches(
    sampling: Sampling, *, seeds: NDArray[np.int64], replicates: NDArray[np.int64], first: int, last: int
) -> Batches:
    """The samples of steps first, ..., last - 1 of runs with these seeds and numbers, both (S,).

    Raises InputError for samplings whose samples differ in size, which no batched program has room for, and for the
    full batch, which needs none.
    """
    data = sampling.data
    n, tau = data.n, data.tau
    # As arrays: sums and products of 64-bit words wrap silently there.
    numbers: Any = replicates.astype(np.uint64)
    keys = stream(seeds.astype(np.uint64), numbers)
    steps = np.arange(first, last, dtype=np.uint64)
    if sampling.kind == TAU_NICE:  # Floyd's algorithm
        taken = np.zeros((len(seeds), len(steps), n), dtype=bool)
        columns = []
        for k in range(tau):
            top = n - tau + k
            i = (uniforms(keys, steps, k) * (top + 1)).astype(np.int64)[..., None]
            i = np.where(np.take_along_axis(taken, i, axis=2), top, i)
            np.put_along_axis(taken, i, True, axis=2)
            columns.append(i[..., 0])
    elif sampling.kind in (SINGLE, REPLACEMENT):
        columns = []
        for k in range(tau):
            scaled = uniforms(keys, steps, k) * len(data.threshold)
            i = scaled.astype(np.int64)
            columns.append(np.where(scaled - i < data.threshold[i], i, data.alias[i]))
    else:
        known = "already the full batch" if sampling.kind == FULL else "one whose samples differ in size"
        raise InputError(
            f"sampling must be uniform, importance, single, tau-nice or replacement here; {sampling.name!r} is {known}"
        )
    indices = np.stack(columns, axis=2)
    return Batches(indices, data.weights[indices])
