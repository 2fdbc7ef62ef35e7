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

from problems.problem import Matrix, Vector
from theory.claim import Hypothesis
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.trial import Values

PAPER = "Bartlett, Long, Bousquet, The dynamics of sharpness-aware minimization, JMLR 24(316), 2023"
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
STABLE = Hypothesis(
    "gamma L (1 + rho (1 - lam) L)",
    lambda f: _stiffness(f) if f.spectrum else np.nan,
    "<",
    lambda f: 2.0,
    "gamma L (1 + rho (1 - lam) L) < 2: the cycle exists and attracts",
    step_limit=True,
)


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
