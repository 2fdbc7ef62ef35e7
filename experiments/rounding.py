"""Rounding floors: how far a computed quantity may lie from the exact one, from the operations that made it.

Every comparison without sampling error uses these and no other tolerance. The model: a gradient of length-d dot
products over m sampled components carries a relative error of at most (d + m + 8) eps against the size of its terms,
|grad| <= L (|x| + |x*|) + G with G the largest |grad f_i(x*)| (terms that cancel in the mean); one step therefore
moves x by at most delta = eps ((|x| + |x*|) + gamma (d + m + 8)(L (|x| + |x*|) + G)) from where it should be, and an
error once made is contracted like the iterates, so that T steps amplify it by at most min(T, 1/(gamma mu)). An
L-smooth gap then changes by at most sqrt(2 L gap) delta + L delta^2 / 2.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from problems.problem import Problem
from theory.setting import Facts, Setting

EPS = float(np.finfo(float).eps)

Values = NDArray[np.float64]


def _terms(setting: Setting) -> int:
    return setting.problem.d + setting.sampling.data.largest + 8


def _sizes(setting: Setting, facts: Facts, distance: Values) -> tuple[Values, Values]:
    """|x| + |x*| and the size of the terms of a sampled gradient, for points at this distance from x*."""
    position = distance + 2 * float(np.linalg.norm(setting.problem.centre))
    return position, facts.L * position + _gradient_at_minimiser(setting.problem) / facts.least_probability


@lru_cache(maxsize=64)
def _gradient_at_minimiser(problem: Problem) -> float:
    """max_i |grad f_i(x*)|; at the start where no minimiser is known."""
    x = problem.start if problem.minimiser is None else problem.minimiser
    return max(float(np.linalg.norm(problem.sample_gradient(i, x))) for i in range(problem.n))


def gap_floor(setting: Setting, facts: Facts, gap: Values, distance: Values, steps: Values) -> Values:
    """The floor of f(x) - f* after `steps` steps (shape of gap), for iterates within `distance` of x*."""
    position, slope = _sizes(setting, facts, distance)
    gamma = facts.gamma.largest
    longest = 1 / (gamma * facts.mu) if gamma * facts.mu > 0 else np.inf
    delta = EPS * (position + gamma * _terms(setting) * slope) * np.minimum(np.maximum(steps, 1), longest + 1)
    evaluation = EPS * (setting.problem.n + setting.problem.d + 8) * gap
    return np.asarray(np.sqrt(2 * facts.L_f * gap) * delta + facts.L_f * delta**2 / 2 + evaluation)


def norm_floor(setting: Setting, facts: Facts, norm2: Values, distance: Values, steps: Values) -> Values:
    """The floor of a squared gradient norm: gradients move by L times the error of x, plus their own error."""
    position, slope = _sizes(setting, facts, distance)
    gamma = facts.gamma.largest
    delta = EPS * (position + gamma * _terms(setting) * slope) * np.maximum(steps, 1)
    error = facts.L * delta + EPS * (_terms(setting) + setting.problem.n) * slope
    # A mean over steps of such squares adds one rounding per step.
    return np.asarray(2 * np.sqrt(norm2) * error + error**2 + EPS * np.maximum(steps, 1) * norm2)
