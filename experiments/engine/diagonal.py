"""The fast loop for deterministic quadratics in their eigenbasis: O(d) a step, one pass over x.

With f(x) = sum_j h_j x_j^2/2 a method with an `ascent` kernel multiplies x_j by 1 - gamma h_j (1 + s h_j). The pass
that does so sums ||g||^2 for the next step. One copy runs along its coordinates; several run side by side, up to 64,
with the copies on the contiguous axis. In both, a component that was not zero stays away from zero, as by the `keep`
kernel of diagonal problems.
"""

from __future__ import annotations

import math
from typing import Any

from problems.kernel import ascent, helper

WIDTH = 64
"""Copies side by side at most; a multiple of 32, which is what the vectorised loops take at a time."""


@helper
def pass_side_by_side(h: Any, block: Any, gamma: float, reach: Any, norm2: Any, width: int) -> None:
    """One step of `width` copies, adding ||g||^2 at the new points to norm2."""
    for j in range(h.shape[0]):
        curvature = h[j]
        pull = gamma * curvature
        for q in range(width):
            moved = block[j, q] * (1.0 - pull * (1.0 + reach[q] * curvature))
            moved = math.copysign(max(abs(moved), 1e-150), moved) if moved != 0.0 else moved
            block[j, q] = moved
            norm2[q] += (curvature * moved) * (curvature * moved)


@helper
def pass_along(h: Any, x: Any, gamma: float, s: float) -> float:
    """One step of one copy; returns ||g||^2 at the new point."""
    size2 = 0.0
    for j in range(h.shape[0]):
        curvature = h[j]
        moved = x[j] * (1.0 - gamma * curvature * (1.0 + s * curvature))
        moved = math.copysign(max(abs(moved), 1e-150), moved) if moved != 0.0 else moved
        x[j] = moved
        size2 += (curvature * moved) * (curvature * moved)
    return size2


def diagonal_steps(
    method: Any,
    h: Any,
    wide: bool,
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
    block: Any,
    norm2: Any,
    reach: Any,
    total: Any,
    control: Any,
) -> None:
    """Advance copies through steps first, ..., last - 1; arguments as in `loop.advance`, and:

    h (d,): eigenvalues. wide: copies side by side. sizes (R,): ||g||^2 at x, NaN before the first step. block
    (d, 64): iterates of 64 copies; norm2, reach, total (64,): ||g||^2, s, and the running sum of each.
    """
    top_gamma = gamma.shape[0] - 1
    top_rho = rho.shape[0] - 1
    top_lam = lam.shape[0] - 1
    records = times.shape[1]
    d = h.shape[0]
    copies = x.shape[0]
    for base in range(0, copies, 64):
        many = min(64, copies - base)
        width = (many + 31) // 32 * 32
        if wide:
            for j in range(d):
                for q in range(width):
                    block[j, q] = x[base + q, j] if q < many else 0.0
        for q in range(width):
            norm2[q] = 0.0
            reach[q] = 0.0
            total[q] = 0.0
            if q < many:
                total[q] = running[base + q]
                norm2[q] = sizes[base + q]
                if not norm2[q] >= 0.0:
                    size2 = 0.0
                    for j in range(d):
                        size2 += (h[j] * x[base + q, j]) * (h[j] * x[base + q, j])
                    norm2[q] = size2
        live = 0
        for r in range(base, base + many):
            if state[r, 1] < 0:
                live += 1
        gamma_t = gamma[0]
        rho_t = rho[0]
        lam_t = lam[0]
        start = first
        while live > 0:
            end = min(last, (start | 1023) + 1)
            for q in range(many):
                r = base + q
                written = state[r, 0]
                if state[r, 1] >= 0:
                    continue
                if written < records and times[r, written] == start:
                    value = 0.0
                    for j in range(d):
                        entry = block[j, q] if wide else x[r, j]
                        value += h[j] * entry * entry
                    while written < records and times[r, written] == start:
                        gaps[r, written] = 0.5 * value
                        if norms.shape[1] > 0:
                            norms[r, written] = norm2[q]
                        sums[r, written] = total[q]
                        if points.shape[1] > 0:
                            for j in range(d):
                                points[r, written, j] = block[j, q] if wide else x[r, j]
                        written += 1
                    state[r, 0] = written
                if written < records:
                    end = min(end, times[r, written])
            if start == last or control[0] != 0:
                break
            for t in range(start, end):
                if t - first <= top_gamma:
                    gamma_t = gamma[t - first]
                if t - first <= top_rho:
                    rho_t = rho[t - first]
                if t - first <= top_lam:
                    lam_t = lam[t - first]
                if wide:
                    broken = 0.0
                    for q in range(width):
                        reach[q] = ascent(method, rho_t, lam_t, norm2[q])
                        broken += 0.0 if norm2[q] < math.inf else 1.0
                else:
                    reach[0] = ascent(method, rho_t, lam_t, norm2[0])
                    broken = 0.0 if norm2[0] < math.inf else 1.0
                if broken > 0.0:
                    for q in range(many):
                        if state[base + q, 1] < 0 and not norm2[q] < math.inf:
                            state[base + q, 1] = t
                            running[base + q] = total[q]
                            live -= 1
                    if live == 0:
                        break
                if wide:
                    for q in range(width):
                        total[q] += norm2[q]
                        norm2[q] = 0.0
                    # Written with numbers, the widths unroll.
                    if width == 64:
                        pass_side_by_side(h, block, gamma_t, reach, norm2, 64)
                    else:
                        pass_side_by_side(h, block, gamma_t, reach, norm2, 32)
                else:
                    total[0] += norm2[0]
                    size2 = pass_along(h, x[base], gamma_t, reach[0])
                    norm2[0] = size2
            if live == 0:
                break
            if (end & 1023) == 0:
                control[1] += 1024 * live
            start = end
        for q in range(many):
            r = base + q
            sizes[r] = norm2[q]
            if state[r, 1] < 0:
                running[r] = total[q]
            for j in range(d):
                if wide:
                    x[r, j] = block[j, q]
                if final and start == last and state[r, 1] < 0 and not math.isfinite(x[r, j]):
                    state[r, 1] = last
        if control[0] != 0:
            break
