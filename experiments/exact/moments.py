"""Exact mean and second moment of the iterates of a linear update, by recursion: no sampling error.

With m = E z, S = E z z' and z = x - x*,

    m+ = m - gamma (E[M] m + E[h]),
    S+ = S - gamma (E[M] S + S E[M]) - gamma (E[h] m' + m E[h]')
           + gamma^2 (E[M S M] + E[M m h'] + E[M m h']' + E[h h']),

E[f(x) - f*] = tr(H S)/2, E||grad f||^2 = tr(H S H) and E||x - x*||^2 = tr S, H the Hessian of f.

Rounding. One step of the recursion is wrong by at most c EPS times the size of its terms, c = 4 (d + terms + 8), and
whatever is wrong before it grows at most by q = lambda_max(H^-1/2 E[(I - gamma M) H (I - gamma M)] H^-1/2), the largest
factor by which a step multiplies E[f - f*]. So the error of E gap obeys e+ = q e + c EPS (s gap + noise), with
s = (1 + gamma ||E M||)^2 + gamma^2 lambda_max(H^-1/2 E[M H M] H^-1/2) and noise = gamma^2 tr(H E[h h'])/2. A gradient's
square is at most 2 L times a gap, and so is its error. For E||x - x*||^2 the same holds with 2 I in the place of H.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from experiments.engine.run import Progress, record_times
from experiments.rounding import EPS
from problems.problem import Matrix, Vector
from theory.setting import Setting

from .linear import Family, Rows, Update, unavailable

SMALL = 13
"""Largest d for which (m, S) is advanced by powers of one matrix of size 1 + d + d^2 + 4."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Exact expectations at recorded times, K of them, and the rounding floor of each.

    times (K,). gap (K,): E[f(x_t) - f*]. grad_norm2 (K,): E||grad f(x_t)||^2. average (K,): the average of
    E||grad f(x_s)||^2 over s < t with weights (1 + growth)^-(s+1), NaN at t = 0. distance2 (K,): E||x_t - x*||^2.
    mean (d,), second (d, d): E z and E z z' at the last time. Infinite where the recursion overflows.
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
    mean: Vector
    second: Matrix


def exact_moments(
    setting: Setting,
    *,
    steps: int,
    times: ArrayLike | None = None,
    growth: float = 0.0,
    progress: Progress | None = None,
) -> Moments | str:
    """The moments of a run from setting.x0 at the recorded times (default `record_times`).

    A clause where they are not available: the step is not linear in x, the problem is no sum of quadratics, or v has
    too many values. growth: of the weights of `average`, >= 0.
    """
    if (reason := unavailable(setting)) is not None:
        return reason
    wanted = record_times(steps) if times is None else np.asarray(times, dtype=np.int64)
    family = Family(setting)
    with np.errstate(all="ignore"):
        constant = setting.gamma.constant is not None and (setting.rho.constant is not None or not family.radius)
        if constant and setting.problem.d <= SMALL:
            return _by_powers(setting, family, wanted, growth)
        return _step_by_step(setting, family, wanted, growth, progress or Progress())


def largest_factor(hessian: Matrix, moved: Matrix) -> float:
    """lambda_max(H^-1/2 moved H^-1/2) on the range of H."""
    if len(hessian) == 1:
        return float(moved[0, 0] / hessian[0, 0])
    values, basis = scipy.linalg.eigh(hessian)
    kept = values > values[-1] * len(values) * EPS
    root = basis[:, kept] / np.sqrt(values[kept])
    inner = root.T @ moved @ root
    if not np.isfinite(inner).all():
        return np.inf
    return float(scipy.linalg.eigvalsh((inner + inner.T) / 2)[-1])


@dataclass(frozen=True)
class ErrorModel:
    """e+ = q e + slope value + level, for value = tr(W S)/2; see the module's docstring."""

    q: float
    slope: float
    level: float


def error_model(update: Update, W: Matrix, gamma: float) -> ErrorModel:
    """The error recursion of one step, for tr(W S)/2: W is the Hessian for the gap and 2 I for the distance."""
    square = gamma**2 * update.second(W)
    mixed = gamma * (update.mean_M @ W)
    c = 4 * (len(W) + update.count + 8) * EPS
    stretch = (1 + gamma * float(np.linalg.norm(update.mean_M, 2))) ** 2
    slope = c * (stretch + largest_factor(W, square))
    level = c * gamma**2 * 0.5 * float(np.sum(W * update.noise))
    return ErrorModel(largest_factor(W, W - mixed - mixed.T + square), slope, level)


def _start(setting: Setting) -> Vector:
    return np.asarray(setting.x0 - setting.problem.centre)


def _advance(update: Update, gamma: float, m: Vector, S: Matrix) -> tuple[Vector, Matrix]:
    MS = update.mean_M @ S
    moved = S - gamma * (MS + MS.T) + gamma**2 * (update.second(S) + update.noise)
    noisy = bool(update.noise.any())
    if noisy:
        X = gamma * update.cross(m) - np.outer(m, update.mean_h)
        moved += gamma * (X + X.T)
    return m - gamma * (update.mean_M @ m + update.mean_h), moved


def _step_by_step(
    setting: Setting, family: Family, times: NDArray[np.int64], growth: float, progress: Progress
) -> Moments:
    H = family.hessian
    H2 = H @ H
    L = setting.problem.L.value
    m = _start(setting)
    S = np.outer(m, m)
    control = progress.register()
    fixed = setting.gamma.constant is not None and (setting.rho.constant is not None or not family.radius)
    twice = 2 * np.eye(len(H))
    model = apart = ErrorModel(1.0, 0.0, 0.0)
    largest = (-1.0, -1.0)
    error, distance_error, total, total_error, weight = 0.0, 0.0, 0.0, 0.0, 0.0
    rows: list[tuple[float, ...]] = []
    t = 0
    for wanted in times:
        while t < wanted and not control[0]:
            gamma = float(setting.gamma.at(t))
            rho = float(setting.rho.at(t)) if family.radius else 0.0
            update = family.at(rho)
            if gamma > largest[0] or rho > largest[1]:
                # q is convex in gamma and 1 at gamma = 0, the other two rise with it: these hold for smaller steps too.
                largest = max(gamma, largest[0]), max(rho, largest[1])
                made = [error_model(family.at(largest[1]), W, largest[0]) for W in (H, twice)]
                model, apart = made if fixed else (replace(each, q=max(each.q, 1.0)) for each in made)
            gap, norm2 = 0.5 * float(np.sum(H * S)), float(np.sum(H2 * S))
            total, weight = (1 + growth) * total + norm2, (1 + growth) * weight + 1
            total_error = (1 + growth) * total_error + 2 * L * error + EPS * weight * norm2
            error = model.q * error + model.slope * gap + model.level
            distance_error = apart.q * distance_error + apart.slope * float(np.trace(S)) + apart.level
            m, S = _advance(update, gamma, m, S)
            t += 1
            if (t & 255) == 0:
                control[1] += 256
        gap, norm2 = 0.5 * float(np.sum(H * S)), float(np.sum(H2 * S))
        mean = total / weight if weight else np.nan
        average_error = total_error / weight if weight else np.nan
        rows.append((gap, norm2, mean, error, 2 * L * error, average_error, float(np.trace(S)), distance_error))
    return _recorded(times, np.array(rows), m, S)


def _by_powers(setting: Setting, family: Family, times: NDArray[np.int64], growth: float) -> Moments:
    """The state (1, m, vec S, total, weight, error, total of errors, error of the distance) is advanced by powers of
    one matrix."""
    gamma = setting.gamma.largest
    update = family.at(setting.rho.largest if family.radius else 0.0)
    H, L = family.hessian, setting.problem.L.value
    d = len(H)
    m = _start(setting)
    eye = np.eye(d)
    model, apart = error_model(update, H, gamma), error_model(update, 2 * eye, gamma)
    one, means, seconds = 0, slice(1, 1 + d), slice(1 + d, 1 + d + d * d)
    total, weight, error, total_error, distance_error = range(1 + d + d * d, 6 + d + d * d)
    T = np.zeros((distance_error + 1, distance_error + 1))
    T[one, one] = 1.0
    T[means, means] = eye - gamma * update.mean_M
    T[means, one] = -gamma * update.mean_h
    Q = np.eye(d * d) - gamma * (np.kron(update.mean_M, eye) + np.kron(eye, update.mean_M))
    X = np.zeros((d, d, d))
    for term in update.terms:
        dense = term.dense() if isinstance(term, Rows) else term
        flat = dense.M.reshape(len(dense.c), d * d)
        outer = (flat.T * dense.c) @ flat
        Q += gamma**2 * outer.reshape(d, d, d, d).transpose(0, 2, 1, 3).reshape(d * d, d * d)
        X += gamma**2 * np.einsum("k,kil,kj->ijl", dense.c, dense.M, dense.h)
    X -= gamma * np.einsum("il,j->ijl", eye, update.mean_h)
    T[seconds, seconds] = Q
    T[seconds, means] = (X + X.transpose(1, 0, 2)).reshape(d * d, d)
    T[seconds, one] = gamma**2 * update.noise.ravel()
    norm, gap, trace = (H @ H).ravel(), 0.5 * H.ravel(), eye.ravel()
    T[total, seconds], T[total, total] = norm, 1 + growth
    T[weight, one], T[weight, weight] = 1.0, 1 + growth
    T[error, error], T[error, seconds], T[error, one] = model.q, model.slope * gap, model.level
    T[total_error, total_error], T[total_error, error] = 1 + growth, 2 * L
    T[total_error, total] = EPS
    T[distance_error, distance_error], T[distance_error, seconds] = apart.q, apart.slope * trace
    T[distance_error, one] = apart.level
    state = np.zeros(distance_error + 1)
    state[one], state[means], state[seconds] = 1.0, m, np.outer(m, m).ravel()
    powers = [T]
    rows, at = [], 0
    for wanted in times:
        ahead, bit = int(wanted) - at, 0
        while ahead >> bit:
            if bit == len(powers):
                powers.append(powers[-1] @ powers[-1])
            if (ahead >> bit) & 1:
                state = powers[bit] @ state
            bit += 1
        at = int(wanted)
        divisor = state[weight] or np.nan
        # Squaring adds the rounding of log2(t) products to that of the steps.
        doubled, far = ((1 + np.log2(max(at, 1))) * each.slope for each in (model, apart))
        value, norm2, distance2 = (weights @ state[seconds] for weights in (gap, norm, trace))
        floor = state[error] + doubled * value
        rows.append(
            (value, norm2, state[total] / divisor, floor, 2 * L * floor,
             state[total_error] / divisor + doubled * state[total] / divisor, distance2,
             state[distance_error] + far * distance2)
        )  # fmt: skip
    return _recorded(times, np.array(rows), state[means].copy(), state[seconds].reshape(d, d).copy())


def _recorded(times: NDArray[np.int64], rows: Values, m: Vector, S: Matrix) -> Moments:
    columns = np.where(np.isnan(rows), np.inf, rows)
    columns[:, [2, 5]] = np.where(times[:, None] == 0, np.nan, columns[:, [2, 5]])
    gap, norm2, average, gap_error, norm_error, average_error, distance2, distance_error = columns.T
    return Moments(
        times, gap, norm2, average, gap_error, norm_error, average_error, distance2, distance_error, m, S
    )  # fmt: skip
