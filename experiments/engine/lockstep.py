"""The fast loop for linear models and one sampled row a step: one dot product and one axpy, the price of SGD.

Every point and gradient of such a step lies in the span of x and the row a, so that a method's `span` kernel turns the
numbers z = a.x, ||a||^2 and ||x||^2 into x+ = c x + e a. Eight replicates advance together: the chains of divisions,
roots and exponentials of their scalar parts overlap, as vector instructions where the method allows.

One pass over x applies the update of step t - 1 and takes the dot product of step t. It is the only place where x
changes, and a replicate does the same operations whoever shares its block, so that no result depends on threads,
blocks or record times. ||x||^2 is updated from the same numbers and summed anew every 64 steps. Where rounding could
spoil the closed form (a gradient that nearly vanishes by cancellation, an overflow at hand) the replicate makes that
step by the method's textbook kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from problems.kernel import gap, gradient, slope, span, step

from .draws import from_alias, stream, uniform

LANES = 8
"""Replicates that advance together."""

(
    Z, A2, WEIGHT, FIRST, SECOND, X2, TOP, C, E, TOTAL, BEFORE, UNSOUND, U, KEY, C0, SCALE, PUSH, OLD_C0, OLD_SCALE,
) = range(0, 152, 8)  # fmt: skip
"""Where each number of the eight replicates begins in `lane`; SLOTS in all. One array, so that no loop over replicates
has to ask whether two of them overlap. The last five are for `gram`."""

SLOTS = 152


def lockstep(
    problem: Any,
    method: Any,
    A: Any,
    rows: Any,
    reg: float,
    sampling: Any,
    even: bool,
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
    sizes: Any,
    everyone: Any,
    ones: Any,
    indices: Any,
    weights: Any,
    g: Any,
    y: Any,
    block: Any,
    lane: Any,
    chosen: Any,
    alive: Any,
    control: Any,
) -> None:
    """Advance replicates through steps first, ..., last - 1; arguments as in `loop.advance`, and:

    A (n, d): the rows; rows (n, 4): ||a_i||^2, v_i/n and the row's own two numbers. even: every row is equally likely.
    sizes (R, 2): ||x||^2 and its largest value since it was last summed, NaN before the first step. block (8, stride):
    the iterates of eight replicates. lane (SLOTS,), chosen, alive (8,): scratch.
    """
    top_gamma = gamma.shape[0] - 1
    top_rho = rho.shape[0] - 1
    top_lam = lam.shape[0] - 1
    records = times.shape[1]
    n, d = A.shape
    for base in range(0, x.shape[0], 8):
        live = 0
        many = min(8, x.shape[0] - base)
        for q in range(8):
            r = base + q
            for slot in range(0, 152, 8):
                lane[slot + q] = 0.0
            lane[SECOND + q] = 1.0
            chosen[q] = 0
            alive[q] = False
            if r < x.shape[0] and state[r, 1] < 0:
                alive[q] = True
                live += 1
                lane[KEY + q] = np.uint64(stream(seed, replicates[r])).view(np.float64)
                lane[X2 + q] = sizes[r, 0]
                lane[TOP + q] = sizes[r, 1]
                lane[TOTAL + q] = running[r]
                for j in range(d):
                    block[q, j] = x[r, j]
        gamma_t = gamma[0]
        rho_t = rho[0]
        lam_t = lam[0]
        start = first
        while live > 0:
            end = min(last, (start | 1023) + 1)
            for q in range(many):
                if not alive[q]:
                    continue
                r = base + q
                written = state[r, 0]
                if written < records and times[r, written] == start:
                    value = gap(problem, block[q, :d])
                    norm2 = 0.0
                    if norms.shape[1] > 0:
                        gradient(problem, block[q, :d], everyone, ones, n, g)
                        for j in range(d):
                            norm2 += g[j] * g[j]
                    while written < records and times[r, written] == start:
                        gaps[r, written] = value
                        if norms.shape[1] > 0:
                            norms[r, written] = norm2
                        sums[r, written] = lane[TOTAL + q]
                        if points.shape[1] > 0:
                            for j in range(d):
                                points[r, written, j] = block[q, j]
                        written += 1
                    state[r, 0] = written
                if written < records:
                    end = min(end, times[r, written])
            if start == last or control[0] != 0:
                break
            for q in range(8):
                lane[C + q] = 1.0
                lane[E + q] = 0.0
                lane[U + q] = uniform(np.float64(lane[KEY + q]).view(np.uint64), start, 0)
            t = start
            while True:
                # The update of step t - 1 and the dot product of step t, in one pass over x.
                for q in range(many):
                    if not alive[q]:
                        continue
                    old = chosen[q]
                    # At t = end too, where nothing comes of it.
                    u = lane[U + q]
                    new = np.uint64(u * n if even else from_alias(sampling.threshold, sampling.alias, u))
                    c = lane[C + q]
                    e = lane[E + q]
                    z = 0.0
                    for j in range(d):
                        moved = c * block[q, j] + e * A[old, j]
                        block[q, j] = moved
                        z += moved * A[new, j]
                    chosen[q] = new
                    lane[Z + q] = z
                    lane[A2 + q] = rows[new, 0]
                    lane[WEIGHT + q] = rows[new, 1]
                    lane[FIRST + q] = rows[new, 2]
                    lane[SECOND + q] = rows[new, 3]
                if t == end:
                    break
                if t - first <= top_gamma:
                    gamma_t = gamma[t - first]
                if t - first <= top_rho:
                    rho_t = rho[t - first]
                if t - first <= top_lam:
                    lam_t = lam[t - first]
                if (t & 63) == 0:
                    for q in range(many):
                        if not alive[q]:
                            continue
                        x2 = 0.0
                        for j in range(d):
                            x2 += block[q, j] * block[q, j]
                        lane[X2 + q] = x2
                        lane[TOP + q] = x2
                unsound = 0.0
                for q in range(8):
                    z = lane[Z + q]
                    a2 = lane[A2 + q]
                    weight = lane[WEIGHT + q]
                    b = lane[FIRST + q]
                    k2 = lane[SECOND + q]
                    x2 = lane[X2 + q]
                    r = weight * reg
                    p = weight * slope(problem.model, b, k2, z)
                    own = p * p * a2
                    far = r * r * x2
                    norm2 = own + 2.0 * p * r * z + far
                    c, e, sound = span(
                        method, problem.model, weight, r, b, k2, z, p, norm2, a2, x2, gamma_t, rho_t, lam_t
                    )
                    lost = 0.0 if sound == 1.0 else 1.0
                    # Not a number fails every comparison.
                    lost = lost if norm2 < 1e290 else 1.0
                    held = norm2 > 1e-290 and 64.0 * norm2 > own + far
                    lost = lost if held or reg == 0.0 else 1.0
                    moved2 = c * c * x2 + 2.0 * c * e * z + e * e * a2
                    top = max(lane[TOP + q], moved2)
                    lane[TOP + q] = top
                    lane[X2 + q] = moved2 if 64.0 * moved2 > top or reg == 0.0 else math.nan
                    lane[C + q] = c
                    lane[E + q] = e
                    before = lane[TOTAL + q]
                    lane[BEFORE + q] = before
                    lane[TOTAL + q] = before + norm2
                    lane[UNSOUND + q] = lost
                    unsound += lost
                    lane[U + q] = uniform(np.float64(lane[KEY + q]).view(np.uint64), t + 1, 0)
                if unsound > 0.0:
                    for q in range(many):
                        if not alive[q]:
                            continue
                        if lane[UNSOUND + q] > 0.0:
                            point = block[q, :d]
                            indices[0] = chosen[q]
                            weights[0] = sampling.weights[chosen[q]]
                            norm2 = step(method, problem, point, indices, weights, 1, gamma_t, rho_t, lam_t, g, y)
                            lane[C + q] = 1.0
                            lane[E + q] = 0.0
                            x2 = 0.0
                            for j in range(d):
                                x2 += point[j] * point[j]
                            lane[X2 + q] = x2
                            lane[TOP + q] = x2
                            lane[TOTAL + q] = lane[BEFORE + q] + norm2
                            if not math.isfinite(norm2):
                                r = base + q
                                alive[q] = False
                                live -= 1
                                state[r, 1] = t
                                running[r] = lane[BEFORE + q]
                                for j in range(d):
                                    x[r, j] = point[j]
                                lane[WEIGHT + q] = 0.0
                if live == 0:
                    break
                t += 1
            if live == 0:
                break
            if (end & 1023) == 0:
                control[1] += 1024 * live
            start = end
        for q in range(many):
            if not alive[q]:
                continue
            r = base + q
            running[r] = lane[TOTAL + q]
            sizes[r, 0] = lane[X2 + q]
            sizes[r, 1] = lane[TOP + q]
            for j in range(d):
                x[r, j] = block[q, j]
                if final and start == last and not math.isfinite(block[q, j]):
                    # The last step's result is seen by no later step; look once, whatever was recorded.
                    state[r, 1] = last
        if control[0] != 0:
            break
