"""The fast loop for least squares with few rows: z = A x instead of x, and a row of the Gram matrix a step.

With x+ = c x + e a_i, z+ = c z + e G_i for G = A A', and z_k is the next step's dot product: n multiplications a step
in the place of 2 d. The iterate is x = c0 x_0 + A' alpha, x_0 the part of the start that is orthogonal to all rows,
with alpha = scale * beta, so that one entry of beta changes a step. Gaps and gradient norms follow from z without
cancellation, with w = z - A x* and delta = alpha - alpha*, A' alpha* = x* (reg > 0):

    f - f* = ||w||^2/(2n) + (reg/2) ||x - x*||^2,    ||x - x*||^2 = c0^2 ||x_0||^2 + delta'w,
    ||grad f||^2 = v'G v + (reg c0)^2 ||x_0||^2,    v = w/n + reg delta.

Eight replicates advance together, as in `lockstep`, which see for what keeps results independent of how they are run.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from problems.kernel import slope, span

from .draws import from_alias, stream, uniform
from .lockstep import (
    A2,
    BEFORE,
    C0,
    FIRST,
    KEY,
    OLD_C0,
    OLD_SCALE,
    PUSH,
    SCALE,
    TOP,
    TOTAL,
    UNSOUND,
    WEIGHT,
    X2,
    C,
    E,
    U,
    Z,
)  # fmt: skip


def gram_steps(
    problem: Any,
    method: Any,
    A: Any,
    G: Any,
    rows: Any,
    reg: float,
    sampling: Any,
    even: bool,
    seed: Any,
    replicates: Any,
    x0: Any,
    origin: Any,
    best_z: Any,
    best_alpha: Any,
    z: Any,
    beta: Any,
    factors: Any,
    first: int,
    last: int,
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
    lane: Any,
    chosen: Any,
    alive: Any,
    v: Any,
    g: Any,
    control: Any,
) -> None:
    """Advance replicates through steps first, ..., last - 1; arguments as in `lockstep`, and:

    G (n, n): A A'. x0 (R, d): x_0. origin (R,): ||x_0||^2. best_z, best_alpha (n,): A x*
    and alpha*. z, beta (R, n): the state. factors (R, 2): c0 and scale. points (R, K, n + 1): alpha and c0 at the
    record times. v (n,), g (d,): scratch.
    """
    top_gamma = gamma.shape[0] - 1
    top_rho = rho.shape[0] - 1
    top_lam = lam.shape[0] - 1
    records = times.shape[1]
    n, d = A.shape
    for base in range(0, z.shape[0], 8):
        live = 0
        many = min(8, z.shape[0] - base)
        for q in range(8):
            r = base + q
            for slot in range(0, 152, 8):
                lane[slot + q] = 0.0
            lane[SCALE + q] = 1.0
            chosen[q] = 0
            alive[q] = False
            if r < z.shape[0] and state[r, 1] < 0:
                alive[q] = True
                live += 1
                lane[KEY + q] = np.uint64(stream(seed, replicates[r])).view(np.float64)
                lane[X2 + q] = sizes[r, 0]
                lane[TOP + q] = sizes[r, 1]
                lane[TOTAL + q] = running[r]
                lane[C0 + q] = factors[r, 0]
                lane[SCALE + q] = factors[r, 1]
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
                    c0 = lane[C0 + q]
                    scale = lane[SCALE + q]
                    size2 = c0 * c0 * origin[r]
                    total = 0.0
                    for i in range(n):
                        w = z[r, i] - best_z[i]
                        total += w * w
                        size2 += (scale * beta[r, i] - best_alpha[i]) * w
                    value = 0.5 * (total / n + reg * size2)
                    norm2 = 0.0
                    if norms.shape[1] > 0:
                        for i in range(n):
                            v[i] = (z[r, i] - best_z[i]) / n + reg * (scale * beta[r, i] - best_alpha[i])
                        norm2 = reg * c0 * reg * c0 * origin[r]
                        for i in range(n):
                            product = 0.0
                            for j in range(n):
                                product += G[i, j] * v[j]
                            norm2 += v[i] * product
                    while written < records and times[r, written] == start:
                        gaps[r, written] = value
                        if norms.shape[1] > 0:
                            norms[r, written] = norm2
                        sums[r, written] = lane[TOTAL + q]
                        if points.shape[1] > 0:
                            for i in range(n):
                                points[r, written, i] = scale * beta[r, i]
                            points[r, written, n] = c0
                        written += 1
                    state[r, 0] = written
                if written < records:
                    end = min(end, times[r, written])
            if start == last or control[0] != 0:
                break
            for q in range(8):
                lane[C + q] = 1.0
                lane[E + q] = 0.0
                lane[PUSH + q] = 0.0
                lane[U + q] = uniform(np.float64(lane[KEY + q]).view(np.uint64), start, 0)
            t = start
            while True:
                # The update of step t - 1; then z of the row drawn at step t is that step's dot product.
                for q in range(many):
                    if not alive[q]:
                        continue
                    r = base + q
                    old = chosen[q]
                    c = lane[C + q]
                    e = lane[E + q]
                    beta[r, old] += lane[PUSH + q]
                    for i in range(n):
                        z[r, i] = c * z[r, i] + e * G[old, i]
                    # At t = end too, where nothing comes of it.
                    u = lane[U + q]
                    old = np.uint64(u * n if even else from_alias(sampling.threshold, sampling.alias, u))
                    chosen[q] = old
                    lane[Z + q] = z[r, old]
                    lane[A2 + q] = rows[old, 0]
                    lane[WEIGHT + q] = rows[old, 1]
                    lane[FIRST + q] = rows[old, 2]
                if t == end:
                    break
                if t - first <= top_gamma:
                    gamma_t = gamma[t - first]
                if t - first <= top_rho:
                    rho_t = rho[t - first]
                if t - first <= top_lam:
                    lam_t = lam[t - first]
                for q in range(many):
                    if not alive[q]:
                        continue
                    r = base + q
                    if (t & 63) == 0 or not lane[X2 + q] >= 0.0:
                        x2 = 0.0
                        if reg != 0.0:
                            c0 = lane[C0 + q]
                            x2 = c0 * c0 * origin[r]
                            for i in range(n):
                                x2 += lane[SCALE + q] * beta[r, i] * z[r, i]
                        lane[X2 + q] = x2
                        lane[TOP + q] = x2
                unsound = 0.0
                for q in range(8):
                    dot = lane[Z + q]
                    a2 = lane[A2 + q]
                    weight = lane[WEIGHT + q]
                    b = lane[FIRST + q]
                    x2 = lane[X2 + q]
                    r2 = weight * reg
                    p = weight * slope(problem, b, 1.0, dot)
                    own = p * p * a2
                    far = r2 * r2 * x2
                    norm2 = own + 2.0 * p * r2 * dot + far
                    c, e, _ = span(method, problem, weight, r2, b, 1.0, dot, p, norm2, a2, x2, gamma_t, rho_t, lam_t)
                    lost = 0.0 if norm2 < 1e290 else 1.0
                    held = norm2 > 1e-290 and 64.0 * norm2 > own + far
                    lost = lost if held or reg == 0.0 else 1.0
                    moved2 = c * c * x2 + 2.0 * c * e * dot + e * e * a2
                    top = max(lane[TOP + q], moved2)
                    lane[TOP + q] = top
                    lane[X2 + q] = moved2 if 64.0 * moved2 > top else math.nan
                    lane[C + q] = c
                    lane[E + q] = e
                    before = lane[TOTAL + q]
                    lane[BEFORE + q] = before
                    lane[TOTAL + q] = before + norm2
                    c0 = lane[C0 + q]
                    scale = lane[SCALE + q]
                    lane[OLD_C0 + q] = c0
                    lane[OLD_SCALE + q] = scale
                    scale = scale * c
                    lane[C0 + q] = c0 * c
                    lane[SCALE + q] = scale
                    lane[PUSH + q] = e / scale
                    lost = lost if abs(scale) > 1e-100 else 1.0
                    lane[UNSOUND + q] = lost
                    unsound += lost
                    lane[U + q] = uniform(np.float64(lane[KEY + q]).view(np.uint64), t + 1, 0)
                if unsound > 0.0:
                    for q in range(many):
                        if not alive[q]:
                            continue
                        if lane[UNSOUND + q] > 0.0:
                            # ||g||^2 as a sum of squares, g = r x + p a.
                            r = base + q
                            row = chosen[q]
                            weight = lane[WEIGHT + q]
                            r2 = weight * reg
                            dot = lane[Z + q]
                            p = weight * slope(problem, lane[FIRST + q], 1.0, dot)
                            for j in range(d):
                                g[j] = r2 * lane[OLD_C0 + q] * x0[r, j]
                            for i in range(n):
                                share = r2 * lane[OLD_SCALE + q] * beta[r, i] + (p if i == row else 0.0)
                                for j in range(d):
                                    g[j] += share * A[i, j]
                            norm2 = 0.0
                            for j in range(d):
                                norm2 += g[j] * g[j]
                            c, e, _ = span(
                                method, problem, weight, r2, lane[FIRST + q], 1.0, dot, p, norm2,
                                lane[A2 + q], lane[X2 + q], gamma_t, rho_t, lam_t,
                            )  # fmt: skip
                            lane[C + q] = c
                            lane[E + q] = e
                            lane[X2 + q] = math.nan
                            lane[TOTAL + q] = lane[BEFORE + q] + norm2
                            lane[C0 + q] = lane[OLD_C0 + q] * c
                            scale = lane[OLD_SCALE + q] * c
                            if not abs(scale) > 1e-100:
                                for i in range(n):
                                    beta[r, i] *= scale
                                scale = 1.0
                            lane[SCALE + q] = scale
                            lane[PUSH + q] = e / scale
                            if not math.isfinite(norm2):
                                alive[q] = False
                                live -= 1
                                state[r, 1] = t
                                running[r] = lane[BEFORE + q]
                                factors[r, 0] = lane[C0 + q]
                                factors[r, 1] = lane[SCALE + q]
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
            factors[r, 0] = lane[C0 + q]
            factors[r, 1] = lane[SCALE + q]
            sizes[r, 0] = lane[X2 + q]
            sizes[r, 1] = lane[TOP + q]
        if control[0] != 0:
            break
