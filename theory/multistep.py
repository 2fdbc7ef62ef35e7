"""Several ascent steps on a convex quadratic, from the formulas: what the multi-step claims share.

H is the Hessian, g = H (x - x*), R(v) = v'Hv/||v||^2, n the number of ascent steps, rho the radius. All norms are
Euclidean, all quantities dimensionless.
"""

from __future__ import annotations

import numpy as np

from theory.claim import Hypothesis
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, Values

PAPER = (
    "H. Kim, J. Park, Y. Choi, W. Lee and J. Lee, Exploring the Effect of Multi-step Ascent in Sharpness-Aware "
    "Minimization, arXiv 2302.10181, 2023"
)
NOTE = "the abstract was read, not the formulas; which ascent rule the paper uses is not known; derived here"

CONVEX = Hypothesis(
    "smallest eigenvalue",
    lambda f: f.spectrum[-1] if f.spectrum else np.nan,
    ">=",
    lambda f: 0.0,
    "the Hessian is positive semidefinite",
)
PERTURBED = Hypothesis("rho", lambda f: f.rho.smallest, ">", lambda f: 0.0, "rho > 0")
SEVERAL = Hypothesis("ascent steps", lambda f: f.parameters.get("steps", 1.0), ">=", lambda f: 1.0, "n >= 1")


def suggest_steps(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """gamma = part/L and rho = rho_part/L: the gradient changes by as much as x on the way."""
    return constant(part / facts.L_f), constant(rho_part / facts.L_f)


def points(setting: Setting, count: int = 60) -> Values:
    """The start and points around the stationary point in random directions, near and far, shape (count, d)."""
    rng = np.random.default_rng(0)
    centre = setting.problem.centre
    size = max(float(np.linalg.norm(setting.x0 - centre)), 1e-3)
    directions = rng.standard_normal((count - 1, setting.problem.d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    away = size * 10 ** rng.uniform(-2, 2, (count - 1, 1)) * directions
    return np.concatenate([[setting.x0], centre + away])


def unit(v: Values) -> Values:
    """v/||v|| along the last axis, 0 where v = 0."""
    norms = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.asarray(np.divide(v, norms, out=np.zeros_like(v), where=norms > 0))


def budget_path(gradient: Values, H: Values, rho: float, n: int) -> Values:
    """g_0, ..., g_n of the fixed-budget rule on a quadratic, from g_0 of shape (P, d): shape (n + 1, P, d)."""
    path = [gradient]
    for _ in range(n):
        path.append(path[-1] + rho / n * unit(path[-1]) @ H)
    return np.array(path)


def gradients(setting: Setting, x: Values) -> Values:
    """grad f at each row, by the problem's own formula for a quadratic: H (x - x*)."""
    return np.asarray((x - setting.problem.centre) @ setting.problem.hessian(setting.problem.centre))


def descent_gradients(setting: Setting, lab: Lab, x: Values) -> tuple[Values, Values]:
    """The D of x+ = x - gamma D that the engine used at each row, and how far rounding moves it."""
    gamma = setting.gamma.largest
    D = (x - lab.step(setting, x)) / gamma
    scale = np.abs(x).max(axis=1) / gamma + np.linalg.norm(D, axis=1)
    return D, 64 * EPS * setting.problem.d * scale


def gains(g: Values, H: Values, e: Values) -> Values:
    """f(x + e) - f(x) = g'e + e'He/2 for rows."""
    return np.asarray(np.einsum("pd,pd->p", g, e) + np.einsum("pd,de,pe->p", e, H, e) / 2)
