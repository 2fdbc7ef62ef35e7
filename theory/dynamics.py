"""SAM on quadratics f(x) = (x - x*)' H (x - x*)/2, in the eigenbasis of H: what the dynamics claims share.

With kappa = lam (1 is SAM), eigenvalues lambda_1 >= ... >= lambda_d, w = x - x* and g = H w, one full-batch step is
w+ = w - gamma (1 + rho (1 - kappa) lambda + rho kappa lambda/||g||) lambda w in each coordinate.

    radius_i  = gamma rho kappa lambda_i/(2 - gamma lambda_i - gamma rho (1 - kappa) lambda_i^2)
    c_i       = (2 - gamma lambda_i - gamma rho (1 - kappa) lambda_i^2)/(gamma rho kappa lambda_i^2)
    J(u)      = u' C u/2 - ||u||,  C = diag(c_i),  u_t = (-1)^t g_t

All norms are Euclidean, all quantities dimensionless.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from problems.problem import Matrix, Vector
from theory.claim import Hypothesis
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, Trial, Values

Bits = NDArray[np.bool_]

PAPER = (
    "P. L. Bartlett, P. M. Long and O. Bousquet, The Dynamics of Sharpness-Aware Minimization: Bouncing Across Ravines "
    "and Drifting Towards Wide Minima, JMLR 24(316), 2023"
)
ABSTRACT_ONLY = "the abstract was read, not the theorems; statement and constants are derived here"


def _stiffness(facts: Facts) -> float:
    return (
        facts.gamma.largest * facts.spectrum[0] * (1 + facts.rho.largest * (1 - facts.lam.smallest) * facts.spectrum[0])
    )


QUADRATIC = Hypothesis(
    "f is quadratic (1: yes)", lambda f: float(len(f.spectrum) > 0), "=", lambda f: 1.0, "f is a quadratic"
)
CONVEX = Hypothesis(
    "smallest eigenvalue",
    lambda f: f.spectrum[-1] if f.spectrum else np.nan,
    ">",
    lambda f: 0.0,
    "the Hessian is positive definite",
)
PERTURBED = Hypothesis(
    "rho lam",
    lambda f: f.rho.smallest * f.lam.smallest,
    ">",
    lambda f: 0.0,
    "rho > 0 and lam > 0: there is a normalised part",
)
FIXED_LAM = Hypothesis(
    "largest lam_t", lambda f: f.lam.largest, "=", lambda f: f.lam.smallest, "lam does not change with t"
)
ALL_NORMALISED = Hypothesis("lam", lambda f: f.lam.smallest, "=", lambda f: 1.0, "lam = 1: SAM, the normalised rule")
UNNORMALISED = Hypothesis("lam", lambda f: f.lam.largest, "=", lambda f: 0.0, "lam = 0: the unnormalised rule")
STABLE = Hypothesis(
    "gamma L (1 + rho (1 - lam) L)",
    lambda f: _stiffness(f) if f.spectrum else np.nan,
    "<",
    lambda f: 2.0,
    "gamma L (1 + rho (1 - lam) L) < 2: the cycle exists and attracts",
    step_limit=True,
)

AWAY = Hypothesis(
    "||grad f(x_0)||", lambda f: float(np.sqrt(f.grad_norm2_0)), ">", lambda f: 0.0, "the start is not the minimiser"
)
SIMPLE_TOP = Hypothesis(
    "lambda_1 - lambda_2",
    lambda f: f.spectrum[0] - second_eigenvalue(f) if f.spectrum else np.nan,
    ">",
    lambda f: 0.0,
    "the largest eigenvalue is simple",
)


def second_eigenvalue(facts: Facts) -> float:
    """lambda_2; 0 in one dimension, where nothing competes with the only direction."""
    return facts.spectrum[1] if len(facts.spectrum) > 1 else 0.0


def eigenbasis(setting: Setting) -> tuple[Vector, Matrix]:
    """Eigenvalues of the Hessian, largest first, and the eigenvectors as columns."""
    h, Q = np.linalg.eigh(setting.problem.hessian(setting.problem.centre))
    return h[::-1].copy(), Q[:, ::-1].copy()


def coordinates(setting: Setting, points: Values, Q: Matrix) -> Values:
    """w = x - x* in the eigenbasis, for points with x along the last axis."""
    return np.asarray((points - setting.problem.centre) @ Q)


def radii(facts: Facts, h: Vector) -> Vector:
    """radius_i of the 2-cycle +-radius_i e_i on each eigenvector."""
    gamma, rho, kappa = facts.gamma.largest, facts.rho.largest, facts.lam.largest
    return np.asarray(gamma * rho * kappa * h / (2 - gamma * h - gamma * rho * (1 - kappa) * h**2))


def curvatures(facts: Facts, h: Vector) -> Vector:
    """c_i, the diagonal of C in J(u) = u' C u/2 - ||u||."""
    gamma, rho, kappa = facts.gamma.largest, facts.rho.largest, facts.lam.largest
    return np.asarray((2 - gamma * h - gamma * rho * (1 - kappa) * h**2) / (gamma * rho * kappa * h**2))


def multipliers(facts: Facts, h: Vector, i: int = 0) -> Vector:
    """One-step factors at the 2-cycle on e_i: mu_i along it, mu_j across it towards e_j.

    mu_i = 1 - gamma (1 + rho (1 - kappa) lambda_i) lambda_i and, for j != i, with s = 1 - kappa:
    mu_j = 1 - gamma (1 + rho s lambda_j) lambda_j - (2 - gamma (1 + rho s lambda_i) lambda_i) lambda_j^2/lambda_i^2.
    """
    gamma, rho, kappa = facts.gamma.largest, facts.rho.largest, facts.lam.largest
    plain = 1 - gamma * (1 + rho * (1 - kappa) * h) * h
    across = plain - (1 + plain[i]) * (h / h[i]) ** 2
    across[i] = plain[i]
    return np.asarray(across)


def suggest_steps(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """gamma = part/L and rho = rho_part/(10 L): a cycle of a tenth of the curvature's length."""
    return constant(part / facts.L_f), constant(0.1 * rho_part / facts.L_f)


def factors(facts: Facts, h: Vector, norms: Vector) -> Values:
    """What one step multiplies each coordinate by where ||g|| = norms (P,), shape (P, d):
    1 - gamma (1 + rho (1 - kappa) lambda_i) lambda_i - gamma rho kappa lambda_i^2/||g||."""
    gamma, rho, kappa = facts.gamma.largest, facts.rho.largest, facts.lam.largest
    return np.asarray(1 - gamma * (1 + rho * (1 - kappa) * h) * h - gamma * rho * kappa * h**2 / norms[:, None])


def potential_above(c: Vector, u: Values) -> Values:
    """J(u) - J_* for u (..., d), free of cancellation, with J_* = -1/(2 c_1) the least value of J.

    With r = ||u|| and m = u' C u/r^2 it is (m r - 1)^2/(2 m) + (m - c_1)/(2 c_1 m).
    """
    r2 = (u**2).sum(axis=-1)
    m = (c * u**2).sum(axis=-1) / r2
    tilt = ((c - c[0]) * u**2).sum(axis=-1) / r2
    return np.asarray((m * np.sqrt(r2) - 1) ** 2 / (2 * m) + tilt / (2 * c[0] * m))


def scattered(h: Vector, norms: Vector) -> Values:
    """Points w (P, d) in the eigenbasis with ||g|| = norms (P,), in random directions that are always the same."""
    w = np.random.default_rng(0).standard_normal((len(norms), len(h)))
    return np.asarray(w * (norms / np.linalg.norm(w * h, axis=1))[:, None])


def shrinking(setting: Setting, facts: Facts, lab: Lab, w: Values) -> tuple[Bits, Bits]:
    """Which coordinates of the points w (P, d) one step makes smaller, and which change by more than rounding."""
    h, Q = eigenbasis(setting)
    after = coordinates(setting, lab.step(setting, setting.problem.centre + w @ Q.T), Q)
    # Two products with H and two rotations of d terms each, on both sides of the step.
    noise = 64 * EPS * len(h) * (np.linalg.norm(w, axis=1) + np.linalg.norm(after, axis=1))
    change = np.abs(np.abs(factors(facts, h, np.linalg.norm(w * h, axis=1))) - 1) * np.abs(w)
    return np.abs(after) < np.abs(w), change > noise[:, None]


def decisions(route: str, found: Bits, stated: Bits) -> Trial:
    """Yes and no (1 and 0), case by case; one wrong answer is a violation."""
    right = stated.astype(np.float64)
    numbers = np.arange(found.size, dtype=np.float64)
    return Trial(route, numbers, found.astype(np.float64), lambda scale: right, np.zeros(found.size), "=")


def sam_edge(gamma: float, rho: float, norms: Values) -> Values:
    """The curvature lambda that one step of SAM multiplies by -1 where ||g|| = norms > 0, the positive root of
    gamma lambda + (gamma rho/||g||) lambda^2 = 2: (||g||/(2 rho)) (sqrt(1 + 8 rho/(gamma ||g||)) - 1).

    Written so that nothing cancels for rho much smaller than ||g||; 2/gamma at rho = 0.
    """
    return np.asarray(4 / gamma / (1 + np.sqrt(1 + 8 * rho / (gamma * norms))))


def usam_edge(gamma: float, rho: float) -> float:
    """The same for USAM, at every point: the positive root of gamma lambda (1 + rho lambda) = 2."""
    return float(4 / gamma / (1 + np.sqrt(1 + 8 * rho / gamma)))
