"""The one loop: plain Python, compiled by `dispatch` for each pair of problem and method classes."""

from __future__ import annotations

import math
from typing import Any

from problems.kernel import gap, gradient, keep, step

from .draws import draw, stream


def advance(
    problem: Any,
    method: Any,
    sampling: Any,
    seed: Any,
    replicates: Any,
    x: Any,
    first: int,
    last: int,
    final: bool,
    gamma: Any,
    rho: Any,
    lam: Any,
    times: Any,
    gaps: Any,
    norms: Any,
    sums: Any,
    state: Any,
    running: Any,
    everyone: Any,
    ones: Any,
    indices: Any,
    weights: Any,
    marks: Any,
    g: Any,
    y: Any,
    control: Any,
) -> None:
    """Advance replicates through steps first, ..., last - 1, recording before each step and after the last.

    replicates (R,): their numbers, which choose the random stream. x (R, d): iterates, updated in place. final: no
    block follows. gamma, rho, lam: values at steps first, first + 1, ...; the last entry repeats. times (R, K): sorted
    record times. gaps, norms, sums (R, K): f - f*, ||grad f||^2 and the sum of ||g_s||^2 over s < t. state (R, 2):
    records written so far, and the step that diverged (-1: none). running (R,): the running sum. control: [0] is set
    to stop, [1] counts finished steps.
    """
    top_gamma = gamma.shape[0] - 1
    top_rho = rho.shape[0] - 1
    top_lam = lam.shape[0] - 1
    records = times.shape[1]
    d = x.shape[1]
    for r in range(x.shape[0]):
        if state[r, 1] >= 0:
            continue
        point = x[r]
        key = stream(seed, replicates[r])
        written = state[r, 0]
        total = running[r]
        for i in range(marks.shape[0]):
            marks[i] = 0
        for t in range(first, last + 1):
            while written < records and times[r, written] == t:
                value = gap(problem, point)
                gradient(problem, point, everyone, ones, everyone.shape[0], g)
                norm2 = 0.0
                for j in range(d):
                    norm2 += g[j] * g[j]
                gaps[r, written] = value
                norms[r, written] = norm2
                sums[r, written] = total
                written += 1
            if t == last:
                break
            k = t - first
            m = draw(sampling, key, replicates[r], t, indices, weights, marks)
            norm2 = step(
                method, problem, point, indices, weights, m,
                gamma[min(k, top_gamma)], rho[min(k, top_rho)], lam[min(k, top_lam)], g, y,
            )  # fmt: skip
            keep(problem, point)
            if not math.isfinite(norm2):
                state[r, 1] = t
                break
            total += norm2
            if (t & 1023) == 1023:
                control[1] += 1024
                if control[0] != 0:
                    break
        if final and state[r, 1] < 0 and control[0] == 0:
            # The last step's result is seen by no later step; look once, whatever was recorded.
            for j in range(d):
                if not math.isfinite(point[j]):
                    state[r, 1] = last
        state[r, 0] = written
        running[r] = total
        if control[0] != 0:
            break
