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
    points: Any,
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
    record times. gaps, norms, sums (R, K): f - f*, ||grad f||^2 and the sum of ||g_s||^2 over s < t; norms with no
    columns is not recorded. points (R, K, d): the iterates, not recorded
    with no columns. state (R, 2): records written so far, and the step that diverged (-1: none). running (R,): the
    running sum. control: [0] is set to stop, [1] counts finished steps.
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
        replicate = replicates[r]
        key = stream(seed, replicate)
        written = state[r, 0]
        total = running[r]
        gamma_t = gamma[0]
        rho_t = rho[0]
        lam_t = lam[0]
        for i in range(marks.shape[0]):
            marks[i] = 0
        start = first
        while True:
            if written < records and times[r, written] == start:
                value = gap(problem, point)
                norm2 = 0.0
                if norms.shape[1] > 0:
                    gradient(problem, point, everyone, ones, everyone.shape[0], g)
                    for j in range(d):
                        norm2 += g[j] * g[j]
                while written < records and times[r, written] == start:
                    gaps[r, written] = value
                    if norms.shape[1] > 0:
                        norms[r, written] = norm2
                    sums[r, written] = total
                    if points.shape[1] > 0:
                        for j in range(d):
                            points[r, written, j] = point[j]
                    written += 1
            if start == last or control[0] != 0:
                break
            # Steps up to the next record or the next look at control, with nothing else between them.
            end = min(last, (start | 1023) + 1)
            if written < records:
                end = min(end, times[r, written])
            for t in range(start, end):
                k = t - first
                if k <= top_gamma:
                    gamma_t = gamma[k]
                if k <= top_rho:
                    rho_t = rho[k]
                if k <= top_lam:
                    lam_t = lam[k]
                m = draw(sampling, key, replicate, t, indices, weights, marks)
                norm2 = step(method, problem, point, indices, weights, m, gamma_t, rho_t, lam_t, g, y)
                keep(problem, point)
                if not math.isfinite(norm2):
                    state[r, 1] = t
                    break
                total += norm2
            if state[r, 1] >= 0:
                break
            if (end & 1023) == 0:
                control[1] += 1024
            start = end
        if final and state[r, 1] < 0 and start == last:
            # The last step's result is seen by no later step; look once, whatever was recorded.
            for j in range(d):
                if not math.isfinite(point[j]):
                    state[r, 1] = last
        state[r, 0] = written
        running[r] = total
        if control[0] != 0:
            break
