"""Moments many steps ahead at once: t steps by about 10 sqrt(h t) applications of the step, h <= 1.

T S = E[(I - gamma M) S (I - gamma M)] is its own adjoint in the Frobenius product. Where some weight of `Floors` has
q <= 1, its spectrum lies in [1 - 2 h, 1], h <= 1, and h is about gamma L for small gamma. With Y = I + (T - I)/h, whose
spectrum lies in [-1, 1], and the Chebyshev polynomials C_j,

    T^t = (I - h + h Y)^t = sum_j p_j C_j(Y),

where p_j is the chance that a random walk of t steps, each of length 1 with chance h and else 0, ends at -j or j: all
p_j >= 0 and their sum is 1 (h = 1: Carne, 1985). By Bernstein's inequality those beyond j = 34 + 10 sqrt(h t) add up to
less than 2 e^-50. So with y_0 = (1, m, S), y_1 = Y y_0 and y_{j+1} = 2 Y y_j - y_{j-1},

    y_t = sum_j p_j y_j.

One such recursion serves all recorded times, and sums over s < t with weights (1 + growth)^-(s+1) are other
combinations of the same y_j. Because 1 and m are carried along, T is no longer normal there; what polynomials lack then
counts by its derivatives, at most j^4 times as large, which e^-50 leaves far below rounding.

Rounding. An error made in step i reaches y_j times U_{j-i-1}(Y), Chebyshev polynomials of the second kind, at most
j - i on [-1, 1]. So the Frobenius norm of the error of y_j is at most sum_i (j - i) ||error_i||, weighted by p_j: about
h t/2 local errors, which do not shrink on the way and count by their norm, so that a small gap far along flat
directions may drown. Then fewer steps are taken at once. Each ||error_i|| is taken from the y_i that was met, with
absolute values of all terms (`Sizes`), those that T - I adds up divided by h; the errors of m, which S meets through B,
likewise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from experiments.rounding import EPS
from problems.problem import Matrix, Vector

from .advance import Advance, Sizes
from .floors import Floors
from .record import Record, State

FIRST = 512
"""Steps of the first leap: at most 261 applications, so that leaps pay although some may have to be taken back."""

LOST = 1e-6
"""The part of E gap that a leap may lose to rounding before it counts as too long: claims are compared with bounds that
lie at least a part in a thousand away or, where they are attained, up to the floor itself."""

Values = NDArray[np.float64]


def degree(steps: int, h: float) -> int:
    """How many polynomials (1 - h + h y)^steps needs."""
    return min(steps, math.ceil(34 + 10 * math.sqrt(h * steps)))


def power_coefficients(steps: int, J: int, h: float) -> Vector:
    """p_0, ..., p_J with x^steps = sum_j p_j C_j(y), x = 1 - h + h y, J >= degree(steps, h)."""
    logarithm, sign, _ = _nodes(J, h)
    return _transformed(sign**steps * np.exp(steps * logarithm))


def sum_coefficients(steps: int, J: int, h: float, growth: float) -> Vector:
    """The same for the sum of (1 + growth)^-(s+1) x^s over s < steps, (1 - (x/(1 + growth))^steps)/(1 + growth - x)."""
    logarithm, sign, below = _nodes(J, h)
    exponent = steps * (logarithm - math.log1p(growth))
    parts = np.where(sign > 0, -np.expm1(exponent), 1 - sign**steps * np.exp(exponent))
    return _transformed(parts / (growth + below))


def _nodes(J: int, h: float) -> tuple[Vector, Vector, Vector]:
    """log|x|, the sign of x and 1 - x at the zeros y of C_{J+1}; near x = 1 and x = -1 without cancellation."""
    half = np.pi * (np.arange(J + 1) + 0.5) / (2 * (J + 1))
    below, above = 2 * h * np.sin(half) ** 2, 2 * (1 - h) + 2 * h * np.cos(half) ** 2
    sign = np.where(below < 1, 1.0, -1.0)
    with np.errstate(divide="ignore"):
        return np.log1p(-np.minimum(below, above)), sign, below


def _transformed(values: Vector) -> Vector:
    coefficients = scipy.fft.dct(values) / len(values)
    coefficients[0] /= 2
    return np.asarray(coefficients)


def geometric(ratio: Values, shrink: float, steps: int) -> Values:
    """sum over s < steps of shrink^(s+1) ratio^s."""
    r = shrink * np.asarray(ratio)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(shrink * np.where(r == 1, steps, np.expm1(steps * np.log(r)) / (r - 1)))


@dataclass
class _Recursion:
    """What is kept of y_0, ..., y_J. means: (J + 1, 3), see `Record.means`; Frobenius norms of S_j, m_j: (J + 1,)."""

    means: Values
    S_norms: Values
    m_norms: Values

    def errors(self, sizes: Sizes, h: float) -> Values:
        """Bounds of the Frobenius norm of the error of each S_j, shape (J + 1,)."""
        c, S_met, m_met = sizes.count / h, _met(self.S_norms), _met(self.m_norms)
        # 24: entry by entry, T - I is at most 2 h.
        m_errors = _propagated(2 * EPS * ((24 + c * sizes.drift) * m_met + c * sizes.pull))
        S_local = (24 + c * sizes.spread) * S_met + c * (sizes.push * m_met + sizes.constant)
        return _propagated(2 * EPS * S_local + 2 * sizes.push / h * m_errors)


def _met(norms: Values) -> Values:
    """The larger of two neighbours: y_{j+1} is made from y_j and y_{j-1}."""
    return np.asarray(np.maximum(norms, np.concatenate([norms[:1], norms[:-1]])))


def _propagated(local: Values) -> Values:
    """sum over i < j of (j - i) local_i, for each j."""
    return np.asarray(np.concatenate([[0.0], np.cumsum(np.cumsum(local))[:-1]]))


def leap(
    state: State, advance: Advance, floors: Floors, record: Record, goal: int, growth: float, control: NDArray[np.int64]
) -> tuple[State | None, float]:
    """The state at t = goal, recording what is wanted on the way to it; None, with nothing recorded, where more than
    LOST of the gap or of the squared distance may be lost to rounding, or when stopped. Also what is lost, relative to
    LOST.

    Ask `Floors.contracting` <= 1 first.
    """
    # With gamma = 0 nothing moves, whatever h is.
    steps, h = goal - state.t, min(1.0, max((1 - floors.lowest) / 2, EPS))
    J = degree(steps, h)
    final = power_coefficients(steps, J, h)
    m, S = state.m, state.S
    m_sum, S_sum = final[0] * m, final[0] * S
    means, norms = [record.means(S)], [(np.linalg.norm(S), np.linalg.norm(m))]
    before: tuple[Vector, Matrix] | None = None
    for j in range(1, J + 1):
        if control[0]:
            return None, 0.0
        m_next, S_next = advance.change(m, S)
        S_next /= h
        S_next += S
        m_next = m_next / h + m
        if before is not None:
            S_next *= 2
            S_next -= before[1]
            m_next = 2 * m_next - before[0]
        before, m, S = (m, S), m_next, S_next
        means.append(record.means(S))
        norms.append((np.linalg.norm(S), np.linalg.norm(m)))
        m_sum += final[j] * m
        S_sum += final[j] * S
    met = _Recursion(np.array(means), *np.array(norms).T)
    errors = met.errors(Sizes(advance), h)
    # The coefficients themselves are good to a few EPS.
    errors += 8 * EPS * float(met.S_norms.sum())
    lost = floors.frobenius * float(final @ errors)
    gap, _, distance2 = record.means(S_sum)
    ratio = max(
        _share(float(floors.gap_floor(lost)), LOST * gap), _share(float(floors.distance_floor(lost)), LOST * distance2)
    )
    if not ratio <= 1:
        return None, ratio
    for t in record.between(state.t, goal):
        p = power_coefficients(t - state.t, J, h)
        record.reach(_later(state, floors, met, errors, p, t - state.t, h, growth), floors, p @ met.means)
    return replace(_later(state, floors, met, errors, final, steps, h, growth), m=m_sum, S=S_sum), ratio


def _share(error: float, allowed: float) -> float:
    if error == 0:
        return 0.0
    return error / allowed if allowed > 0 else math.inf


def _later(
    state: State, floors: Floors, met: _Recursion, errors: Values, p: Vector, offset: int, h: float, growth: float
) -> State:
    """The sums and errors `offset` steps later; m and S are left as they were."""
    shrink = 1 / (1 + growth)
    passed, ones = shrink**state.t, float(geometric(np.ones(1), shrink, offset)[0])
    # The largest error on the way: distances of the random walk, and with them these sums, grow with time.
    lost = floors.frobenius * float(p @ errors)
    total = float(sum_coefficients(offset, len(p) - 1, h, growth) @ met.means[:, 1])
    return replace(
        state,
        t=state.t + offset,
        error=floors.q**offset * state.error + lost,
        weight=state.weight + passed * ones,
        total=state.total + passed * total,
        total_error=state.total_error + passed * (geometric(floors.q, shrink, offset) * state.error + ones * lost),
    )
