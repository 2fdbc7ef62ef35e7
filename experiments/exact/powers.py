"""Moments by powers of one matrix, where d is small: log2(t) squarings instead of t steps.

The state is y = (1, m, the upper triangle of S), of size N = 1 + d + d (d + 1)/2, and y+ = T y. Sums over a run are row
vectors: with r_k y = sum over s < 2^k of (1 + growth)^-(s+1) w T^s y there is r_{k+1} = r_k + (1 + growth)^-(2^k) r_k
T^(2^k), and likewise for the errors of `Floors`, so that nothing but T is squared.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from problems.problem import Matrix, Vector

from .advance import Advance
from .floors import Floors
from .linear import CACHED
from .record import Record, State


def run_by_powers(state: State, advance: Advance, floors: Floors, record: Record, growth: float) -> State:
    """Go through the times that `record` wants; the state at the last."""
    d, K = len(state.m), len(floors.q)
    i, j = np.triu_indices(d)
    diagonal = 1 + d + np.flatnonzero(i == j)
    T = transition(advance)
    norm, size = np.zeros(len(T)), np.zeros((K, len(T)))
    norm[diagonal] = record.h**2
    size[:, diagonal] = floors.slope[:, None] * (floors.a[:, None] * np.abs(record.h) / 2 + floors.b[:, None] / 2)
    size[:, 0] = floors.level
    # For each power of two: T^k; sums of ||grad||^2, of errors made on the way and of their sums; what older errors
    # become, and what their sum does; the weights' own.
    shrink, q = 1 / (1 + growth), floors.q
    rows = np.vstack([shrink * norm, size, np.zeros((K, len(T)))])
    levels = [(T, rows, q, np.full(K, shrink), shrink, shrink)]
    y = np.concatenate([[1.0], state.m, state.S[i, j]])
    while record.next >= state.t:
        ahead, bit = record.next - state.t, 0
        while ahead >> bit:
            if bit == len(levels):
                levels.append(_doubled(*levels[-1], K))
            power, sums, grown, carried, weight, _ = levels[bit]
            if (ahead >> bit) & 1:
                now, passed = sums @ y, shrink**state.t
                state.total += passed * float(now[0])
                state.total_error = state.total_error + passed * (carried * state.error + now[1 + K :])
                state.error = grown * state.error + now[1 : 1 + K]
                state.weight += passed * weight
                state.t += 1 << bit
                y = power @ y
            bit += 1
        state.m = y[1 : 1 + d]
        state.S = np.empty((d, d))
        state.S[i, j] = state.S[j, i] = y[1 + d :]
        # Squaring adds the rounding of log2(t) products to that of the steps.
        doubled = (1 + np.log2(max(state.t, 1))) * floors.slope * floors.size(state.S)
        record.reach(replace(state, error=state.error + doubled), floors)
    return state


_Level = tuple[Matrix, Matrix, Vector, Vector, float, float]


def _doubled(
    power: Matrix, rows: Matrix, grown: Vector, carried: Vector, weight: float, factor: float, K: int
) -> _Level:
    """From 2^k steps to 2^(k+1)."""
    later = rows @ power
    norm = rows[0] + factor * later[0]
    errors = grown[:, None] * rows[1 : 1 + K] + later[1 : 1 + K]
    sums = rows[1 + K :] + factor * (carried[:, None] * rows[1 : 1 + K] + later[1 + K :])
    together = carried + factor * grown * carried
    return power @ power, np.vstack([norm, errors, sums]), grown**2, together, weight + factor * weight, factor**2


def transition(advance: Advance) -> Matrix:
    """T of y = (1, m, the upper triangle of S)."""
    d = len(advance.update.mean_h)
    i, j = np.triu_indices(d)
    nothing = np.zeros((d, d))
    T = np.zeros((1 + d + len(i), 1 + d + len(i)))
    T[0, 0] = 1.0
    means, seconds = slice(1, 1 + d), slice(1 + d, None)
    fixed, constant = advance(np.zeros(d), nothing)
    T[means, 0], T[seconds, 0] = fixed, constant[i, j]
    for k, unit in enumerate(np.eye(d)):
        m, S = advance(unit, nothing, one=0.0)
        T[means, 1 + k], T[seconds, 1 + k] = m, S[i, j]
    moved = np.diag(1 + advance.factor[i, j])
    if advance.coupled is not None:
        eye = np.eye(d)
        moved += _folded(np.kron(advance.coupled, eye) + np.kron(eye, advance.coupled), d)
    for term in advance.dense:
        flat = term.M.reshape(len(term.c), d * d)
        outer = (advance.gamma**2 * (flat.T * term.c)) @ flat
        moved += _folded(outer.reshape(d, d, d, d).transpose(0, 2, 1, 3).reshape(d * d, d * d), d)
    twice = np.where(i == j, 1.0, 2.0)
    for rows, quadratic in zip(advance.rows, advance.quadratic, strict=True):
        share = max(1, 8 * CACHED // len(i))
        for first in range(0, len(rows.A), share):
            part = rows.A[first : first + share]
            pairs = part[:, i] * part[:, j]
            moved += (pairs.T * quadratic[first : first + share]) @ (pairs * twice)
    T[seconds, seconds] = moved
    return T


def _folded(full: Matrix, d: int) -> Matrix:
    """A map of d x d matrices, acting on symmetric ones by their upper triangles."""
    i, j = np.triu_indices(d)
    kept = full[i * d + j]
    return np.asarray(kept[:, i * d + j] + kept[:, j * d + i] * (i != j))
