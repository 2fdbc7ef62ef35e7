"""Exact mean and second moment of the iterates of a linear update, by recursion: no sampling error.

With m = E z, S = E z z' and z = x - x*,

    m+ = m - gamma (E[M] m + E[h]),
    S+ = S - gamma (E[M] S + S E[M]) - gamma (E[h] m' + m E[h]')
           + gamma^2 (E[M S M] + E[M m h'] + E[M m h']' + E[h h']),

E[f(x) - f*] = tr(H S)/2, E||grad f||^2 = tr(H S H) and E||x - x*||^2 = tr S, H the Hessian of f.

Three ways to go on, all in the eigenbasis of H. With constant steps and d <= SMALL by powers of one matrix (`powers`);
with constant steps and larger d by leaps, t steps for about 10 sqrt(h t) of them, h <= 1 (`leaps`); else, and where a
leap would lose too many digits, step by step (`advance`). `floors` says what rounding does.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import ThreadpoolController

from experiments.engine.run import Progress, record_times
from problems.glm import LeastSquares
from problems.problem import Vector
from theory.setting import Setting

from .advance import Advance
from .floors import Floors
from .leaps import FIRST, leap
from .linear import CACHED, Family, unavailable
from .powers import run_by_powers
from .record import Moments, Record, State

__all__ = ["Moments", "exact_moments"]

SMALL = 24
"""Largest d that goes by powers. They cost log2(t) products of matrices of size d^2/2, d^6/8 multiplications each;
leaps two or three times 34 + 10 sqrt(h t) steps of 2 n d^2 multiplications and some 40 us each, and up to 512 single
steps at the end. Measured on one core with n = d and gamma = 1/(2 L_max), powers beside leaps: at d = 24 18 and 23 ms
for t = 1e3, 27 and 23 for 1e4, 35 and 78 for 1e5; at d = 28 34 and 24, 54 and 22, 73 and 63."""

SHARED = 2**26
"""Multiplications of one product, some milliseconds, from which a second thread is worth having. Below, threads mostly
wait for each other, and very long where other programs keep a core busy."""

WINDOW = 1024
"""Steps of changing schedules that are evaluated at once."""

Control = NDArray[np.int64]


def exact_moments(
    setting: Setting,
    *,
    steps: int,
    times: ArrayLike | None = None,
    growth: float = 0.0,
    progress: Progress | None = None,
) -> Moments | str:
    """The moments of a run from setting.x0 at the recorded times (default `record_times`; never decreasing).

    A clause where they are not available: the step is not linear in x, the problem is no sum of quadratics, or v has
    too many values. growth: of the weights of `average`, >= 0. Times that were not reached when stopped are infinite.
    """
    if (reason := unavailable(setting)) is not None:
        return reason
    wanted = record_times(steps) if times is None else np.asarray(times, dtype=np.int64)
    with np.errstate(all="ignore"), _threads(setting):
        family = Family(setting, eigenbasis=True)
        m = family.basis.T @ (setting.x0 - setting.problem.centre)
        record = Record(wanted, family.hessian.diagonal().copy(), setting.problem.L.value, family.basis)
        control = (progress or Progress()).register()
        scheduled = setting.gamma.constant is None or (setting.rho.constant is None and family.radius)
        run = _scheduled if scheduled else _constant
        return record.finished(run(setting, family, m, record, growth, control))


@cache
def _libraries() -> ThreadpoolController:
    # To find them takes as long as many a small recursion.
    return ThreadpoolController()


def _threads(setting: Setting) -> AbstractContextManager[Any]:
    d = setting.problem.d
    products = setting.problem.n * d * d if isinstance(setting.problem.data, LeastSquares) else CACHED * d
    few: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return few if products < SHARED else nullcontext()


def _constant(setting: Setting, family: Family, m: Vector, record: Record, growth: float, control: Control) -> State:
    gamma = setting.gamma.largest
    update = family.at(setting.rho.largest if family.radius else 0.0)
    floors, advance = Floors.of(update, record.h, gamma), Advance(update, gamma)
    state = State.start(m, floors, family.parts.slope_error)
    if len(m) <= SMALL:
        return run_by_powers(state, advance, floors, record, growth)
    record.reach(state, floors)
    # Leaps need a spectrum in [-1, 1]; q is known up to its own rounding.
    leaping = floors.contracting <= 1 + floors.slope.min()
    reach = plain = FIRST
    last = record.last
    while state.t < last and not control[0]:
        ahead = last - state.t
        if not leaping or ahead < FIRST:
            state = _stepped(state, last, advance, floors, record, growth, control)
            continue
        goal = state.t + min(reach, ahead)
        later, ratio = leap(state, advance, floors, record, goal, growth, control)
        # What is lost grows like the number of steps.
        reach = int((goal - state.t) * min(4.0, max(0.8 / max(ratio, 0.2), 0.1)))
        if later is not None:
            control[1] += goal - state.t
            state, reach = later, max(reach, FIRST)
            record.reach(state, floors)
        elif reach < FIRST:
            # Longer and longer, so that vain leaps cost little.
            state = _stepped(state, min(state.t + plain, last), advance, floors, record, growth, control)
            reach, plain = FIRST, 2 * plain
    return state


def _stepped(
    state: State, goal: int, advance: Advance, floors: Floors, record: Record, growth: float, control: Control
) -> State:
    """Step by step to t = goal, unless stopped; past it at once where the recursion overflows."""
    while state.t < goal and not control[0]:
        _step(state, advance, floors, record, growth)
        if (state.t & 255) == 0:
            control[1] += 256
            if not math.isfinite(state.S[0, 0]):
                state.t = goal
    return state


def _step(state: State, advance: Advance, floors: Floors, record: Record, growth: float) -> None:
    passed = (1 + growth) ** -(state.t + 1)
    state.weight += passed
    state.total += passed * record.means(state.S)[1]
    state.total_error = state.total_error + passed * state.error
    state.error = floors.moved(state.error, state.S)
    state.m, state.S = advance(state.m, state.S)
    state.t += 1
    record.reach(state, floors)


def _scheduled(setting: Setting, family: Family, m: Vector, record: Record, growth: float, control: Control) -> State:
    model = _Model(setting, family, record.h)
    floors = model.at(float(setting.gamma.at(0)))
    state = State.start(m, floors, family.parts.slope_error)
    record.reach(state, floors)
    last, advance = record.last, None
    gammas, rhos = np.zeros(0), np.zeros(0)
    while state.t < last and not control[0]:
        k = state.t % WINDOW
        if k == 0:
            window = np.arange(state.t, min(state.t + WINDOW, last))
            gammas = setting.gamma.at(window)
            rhos = setting.rho.at(window) if family.radius else np.zeros(len(window))
            control[1] += len(window)
            if not math.isfinite(state.S[0, 0]):
                break
        gamma, update = float(gammas[k]), family.at(float(rhos[k]))
        if advance is None or advance.update is not update:
            advance = Advance(update, gamma)
        elif advance.gamma != gamma:
            advance.prepare(gamma)
        _step(state, advance, model.at(gamma), record, growth)
    return state


class _Model:
    """The floors of steps that change: those of a somewhat larger gamma and of the largest rho.

    q is convex in gamma and 1 at gamma = 0, the other two rise with it: what holds for a step size, with q at least 1,
    holds for smaller ones too.
    """

    def __init__(self, setting: Setting, family: Family, h: Vector) -> None:
        self._largest, self._h = setting.gamma.largest, h
        self._update = family.at(setting.rho.largest if family.radius else 0.0)
        self._gamma = -1.0
        self._floors: Floors | None = None

    def at(self, gamma: float) -> Floors:
        """Made anew where gamma has risen above or fallen to a quarter of that of the last."""
        if self._floors is None or gamma > self._gamma or 4 * gamma < self._gamma:
            rising = self._floors is not None and gamma > self._gamma
            self._gamma = min(2 * gamma, self._largest) if rising else gamma
            made = Floors.of(self._update, self._h, self._gamma)
            self._floors = replace(made, q=np.maximum(made.q, 1.0))
        return self._floors
