"""Rounding floors: how far a computed quantity may lie from the exact one, from the operations that made it.

Every comparison without sampling error uses these and no other tolerance. EPS is the distance from 1 to the next
number, twice the error of one operation; the factor 2 is all the slack there is in the counts below.

*A gradient.* Sums of d products over the m components of a draw carry at most (d + m + 8) EPS times the size of their
terms, in any order, also twice in a row. For a matrix that size is the norm of its absolute values, at most sqrt(d) its
norm. So a sampled gradient is off by terms EPS S, with terms = (d + m + 8) sqrt(d) and S = L (|x| + |x*|) + G, where L
and G are what v_i times L_i and |grad f_i(x*)| may add up to over one draw: terms may cancel, their roundings do not.

*A step* adds EPS (|x| + |x*|) for the sum x - gamma g. The perturbation rho ((1 - lam) + lam/|g|) g moves the point of
the second gradient by at most rho (1 - lam) S + rho lam, which makes its terms S + rho (1 - lam) L S + L rho lam, and
carries the error of g into it rho (1 - lam) L times. The direction g/|g| is as wrong as g is relative to |g|, and never
by more than 2; in d = 1 it is a sign. |g| is taken to be |grad f| at the end, or at the start, at least mu |x - x*|,
where that is less, or what the draws leave of it at x*, where that is more.

*Many steps.* On convex components a step within the limits of the theorems takes no two points further apart (for
quadratics because gamma H (1 + rho H) lies between 0 and 2), so that T errors add up to at most T times the largest.
Contraction would make that min(T, 2/(gamma mu)): little less while a bound falls to a part, and not used. Without
convexity the energy f - f* of a quadratic shrinks in mean, and an error on a PL function follows the slope, between
sqrt(2 mu gap) and sqrt(2 L gap): either way it may grow by sqrt(L/mu), once.

*The way.* Convexity keeps the iterates as near to x* as they started. Without it, T steps that each spend
gamma |g|^2/2 of the gap are at most sqrt(2 gamma T gap0) long, and with the PL inequality 2 sqrt(2 gap0/mu). What draws
and the normalised perturbation push away from x*, |grad f_v(x*)| + L rho lam a step, comes back at the rate mu.

*The two runs part* where a step of normalised SAM meets a gradient much smaller than that, near its 2-cycle,
whose phase rounding chooses, and in negative curvature with mu = 0. A floor then no longer bounds the distance to the
exact run, but still how far rounding lifts a measured quantity over a true bound, which is all that a comparison needs:
a proof iterates an inequality that holds at every point, so every computed point obeys it up to the error of one step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from problems.problem import Problem
from theory import samplings
from theory.setting import Facts, Setting

EPS = float(np.finfo(float).eps)

TINY = 1e-300
"""Stands for 0 where only 0/0 is to be avoided."""

Values = NDArray[np.float64]


def gap_floor(setting: Setting, facts: Facts, gap: Values, distance: Values, steps: Values) -> Values:
    """The floor of f(x) - f* after `steps` steps (shape of gap), from starts at most `distance` away from x*."""
    place = _place(setting, facts, distance, steps)
    # Convexity gives a slope where mu = 0.
    slope = np.sqrt(2 * facts.mu * gap) if facts.mu > 0 else gap / np.maximum(place, TINY)
    moved = _moved(setting, facts, place, _met(setting, facts, slope, distance), steps)
    return np.asarray(
        np.sqrt(2 * facts.L_f * gap) * moved + facts.L_f * moved**2 / 2 + _evaluation(setting, facts, gap, place)
    )


def norm_floor(setting: Setting, facts: Facts, norm2: Values, distance: Values, steps: Values) -> Values:
    """The floor of a squared gradient norm, sampled, full or in the mean, or of an average of them over `steps` steps.

    Gradients move by L times the error of x and have their own; an average has at most the largest of any step.
    """
    problem, norm = setting.problem, np.sqrt(norm2)
    place = _place(setting, facts, distance, steps)
    moved = _moved(setting, facts, place, _met(setting, facts, norm, distance), steps)
    error = facts.L * moved + _drawn(setting).error(place) + _everything(problem).error(place)
    # The sum of d squares, and one rounding for each step of the average.
    return np.asarray(2 * norm * error + error**2 + EPS * (problem.d + 2 + np.maximum(steps, 1)) * norm2)


def distance_floor(setting: Setting, facts: Facts, distance2: Values, distance: Values, steps: Values) -> Values:
    """The floor of ||x - x*||^2, or of its mean, after `steps` steps, from starts at most `distance` away from x*.

    The stored minimiser is off by the rounding r of its own gradient, over mu.
    """
    problem, away = setting.problem, np.sqrt(distance2)
    place = _place(setting, facts, distance, steps)
    moved = _moved(setting, facts, place, facts.mu * away, steps)
    if facts.mu > 0:
        moved = moved + _everything(problem).error(place) / facts.mu
    return np.asarray(2 * away * moved + moved**2 + EPS * (problem.d + 2) * distance2)


# -- the pieces --


@dataclass(frozen=True)
class _Terms:
    """The terms of a gradient: how many, with sqrt(d), and L and G of the module's text."""

    count: float
    L: float
    G: float

    def error(self, place: Values) -> Values:
        """Of a gradient at points with |x| + |x*| at most `place`."""
        return np.asarray(EPS * self.count * (self.L * place + self.G))


def _terms(problem: Problem, weights: Values, m: int) -> _Terms:
    """m components add up to at most m times the largest."""
    L, slopes = _components(problem)
    G, count = np.linalg.norm(slopes, axis=1), (problem.d + m + 8) * math.sqrt(problem.d)
    return _Terms(count, m / problem.n * float((weights * L).max()), m / problem.n * float((weights * G).max()))


def _everything(problem: Problem) -> _Terms:
    return _terms(problem, np.ones(problem.n), problem.n)


def _drawn(setting: Setting) -> _Terms:
    data = setting.sampling.data
    weights = data.weights
    if data.kind == samplings.BLOCKS:
        weights = np.empty(data.n)
        weights[data.members] = data.weights
    return _terms(setting.problem, weights, data.largest)


@lru_cache(maxsize=64)
def _components(problem: Problem) -> tuple[Values, Values]:
    """L_i, shape (n,), and grad f_i(x*), shape (n, d); the latter at the start where no minimiser is known."""
    x = problem.start if problem.minimiser is None else problem.minimiser
    return problem.component_smoothness[0], np.array([problem.sample_gradient(i, x) for i in range(problem.n)])


def _met(setting: Setting, facts: Facts, slope: Values, distance: Values) -> Values:
    """|g| where its direction matters, given |grad f| at the end: see the module's text."""
    slopes = _components(setting.problem)[1]
    noise = float(setting.sampling.moment.mean_of_products(slopes[:, None, :], slopes[:, :, None])[0, 0])
    least = np.minimum(slope, facts.mu * distance) if facts.mu > 0 else slope
    # Moments may be unknown (NaN), and those of full batches vanish only up to rounding.
    return np.asarray(np.maximum(least, math.sqrt(noise)) if noise > 0 else least)


def _convex(problem: Problem) -> bool:
    return problem.convex_components and problem.minimiser is not None


def _radii(setting: Setting, facts: Facts) -> tuple[float, float]:
    """rho lam and rho (1 - lam) at their largest."""
    rho = facts.rho.largest if setting.method.uses_rho else 0.0
    return rho * facts.lam.largest, rho * (1 - facts.lam.smallest)


def _place(setting: Setting, facts: Facts, distance: Values, steps: Values) -> Values:
    """|x| + |x*| at most, on the way of `steps` steps."""
    problem, terms = setting.problem, _drawn(setting)
    push = terms.L * _radii(setting, facts)[0] + (0.0 if facts.deterministic else terms.G)
    time = facts.gamma.largest * np.maximum(steps, 1)
    if facts.mu > 0:
        time = np.minimum(time, 1 / facts.mu)
    way = 0.0 if _convex(problem) else np.sqrt(8 * time * facts.gap0)
    return np.asarray(2 * float(np.linalg.norm(problem.centre)) + distance + way + push * time)


def _moved(setting: Setting, facts: Facts, place: Values, slope: Values, steps: Values) -> Values:
    """How far the computed x may lie from the exact one after `steps` steps that meet this slope."""
    problem, terms, gamma = setting.problem, _drawn(setting), facts.gamma.largest
    normal, plain = _radii(setting, facts)
    error = terms.error(place)
    # At most 2, and 2 where the slope is 0.
    turned = error / np.maximum(np.maximum(slope, error / 2), TINY) if problem.d > 1 else 0.0
    second = (1 + 2 * plain * terms.L) * error + EPS * terms.count * terms.L * normal + terms.L * normal * turned
    growth = 1.0 if _convex(problem) or facts.mu == 0 else math.sqrt(max(facts.L_f / facts.mu, 1.0))
    return np.asarray(growth * np.maximum(steps, 1) * (EPS * place + gamma * second))


def _evaluation(setting: Setting, facts: Facts, gap: Values, place: Values) -> Values:
    """The error of f(x) - f* at a given x, a sum over n components of squares and products of sums over d.

    These sums are linear in z = x - x*: they are off as the gradient is, and the gap by that times |z|. So it is by the
    stored minimiser, whose gradient vanishes only up to its own rounding r: f(x*) itself is off by r^2/(2 mu).
    """
    problem = setting.problem
    error = _everything(problem).error(place)
    away, below = place, np.zeros_like(gap)
    if facts.mu > 0:
        away, below = np.minimum(place, np.sqrt(2 * gap / facts.mu)), error**2 / (2 * facts.mu)
    # 40: the Bregman distance of the logistic loss is good to 1e-14.
    return np.asarray(2 * error * away + below + EPS * (problem.n + 2 * problem.d + 40) * gap)
