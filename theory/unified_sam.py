"""The pieces of the Unified SAM bounds: steps, neighbourhoods, one-step inequalities, and their hypotheses.

Throughout, K = 2 L^2 rho^2 (1 - lam)^2 + 1 and L = max(L_f, L_S): L_f enters through the descent lemma and L_S
through the perturbed sample gradient. All norms are Euclidean, all quantities dimensionless. Where lam
changes with t, (1 - lam)^2 and lam^2 stand for their largest values: the one-step inequality holds at every t.
"""

from __future__ import annotations

import math

import numpy as np

from theory.claim import (
    Curve,
    Hypothesis,
    Scale,
    Times,
)
from theory.schedules import Schedule, constant
from theory.setting import Facts


def unnormalised(facts: Facts) -> float:
    """(1 - lam)^2, at its largest."""
    return (1 - facts.lam.smallest) ** 2


def normalised(facts: Facts) -> float:
    """lam^2, at its largest."""
    return facts.lam.largest**2


def K_factor(facts: Facts, rho: float | Curve) -> float | Curve:
    return 2 * facts.L**2 * rho**2 * unnormalised(facts) + 1


def residual(facts: Facts) -> float:
    """B mu + A, at least mu for every smooth PL function."""
    return facts.B * facts.mu + facts.A


def ratio_or_infinity(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.inf


def largest_radius(facts: Facts) -> float:
    """rho* = mu / (L (mu + 2 (B mu + A)(1 - lam)^2))."""
    return ratio_or_infinity(facts.mu, facts.L * (facts.mu + 2 * residual(facts) * unnormalised(facts)))


def largest_step(facts: Facts, rho: float) -> float:
    """gamma*(rho) = (mu - L rho (mu + 2 (B mu + A)(1 - lam)^2)) / (2 L (B mu + A) K); it decreases in rho."""
    room = facts.mu - facts.L * rho * (facts.mu + 2 * residual(facts) * unnormalised(facts))
    return ratio_or_infinity(room, 2 * facts.L * residual(facts) * float(K_factor(facts, rho)))


def radius_term(facts: Facts, rho: float | Curve) -> float | Curve:
    """L rho ((1 - lam)^2 C + lam^2)."""
    return facts.L * rho * (unnormalised(facts) * facts.C + normalised(facts))


def noise_term(facts: Facts, gamma: float | Curve, rho: float | Curve) -> float | Curve:
    """L gamma (K C + 2 L^2 rho^2 lam^2)."""
    return facts.L * gamma * (K_factor(facts, rho) * facts.C + 2 * facts.L**2 * rho**2 * normalised(facts))


def total_error(facts: Facts, gamma: float | Curve, rho: float | Curve) -> float | Curve:
    return radius_term(facts, rho) + noise_term(facts, gamma, rho)


def neighbourhood(facts: Facts) -> float:
    """N = (L/mu) [rho ((1 - lam)^2 C + lam^2)(1 + 2 gamma L^2 rho) + gamma C]."""
    return float(total_error(facts, facts.gamma.largest, facts.rho.largest)) / facts.mu


def linear_curve(rate: float, start: float, plateau: float, t: Times, scale: Scale) -> Curve:
    """max(1 - s rate, 0)^t start + plateau, with s the scale of `rate`."""
    factor = max(1 - scale.get("rate", 1.0) * rate, 0.0)
    return np.asarray(factor ** t.astype(float) * start + scale.get("neighbourhood", 1.0) * plateau)


def pl_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    """(1 - gamma mu)^t D_0 + N."""
    return linear_curve(facts.gamma.largest * facts.mu, facts.gap0, neighbourhood(facts), t, scale)


def pl_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    """(1 - gamma_t mu) D + gamma_t (L rho_t ((1 - lam)^2 C + lam^2) + L gamma_t (K C + 2 L^2 rho_t^2 lam^2))."""
    gamma, rho = float(facts.gamma.at(t)), float(facts.rho.at(t))
    increment = gamma * total_error(facts, gamma, rho)
    factor = max(1 - scale.get("rate", 1.0) * gamma * facts.mu, 0.0)
    return np.asarray(factor * gap + scale.get("neighbourhood", 1.0) * increment)


def pl_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """rho = rho_part rho*/2 and gamma = part gamma*(rho)."""
    rho = rho_part * largest_radius(facts) / 2
    return constant(part * largest_step(facts, rho)), constant(rho)


IS_PL = Hypothesis("mu", lambda f: f.mu, ">", lambda f: 0.0, "f is Polyak-Lojasiewicz: mu > 0")
IS_BOUNDED = Hypothesis("f(x_0) - inf f", lambda f: f.gap0, "<", lambda f: math.inf, "f is bounded below")
CONSTANT_GAMMA = Hypothesis(
    "largest gamma_t", lambda f: f.gamma.largest, "=", lambda f: f.gamma.smallest, "gamma does not change with t"
)
CONSTANT_RHO = Hypothesis(
    "largest rho_t", lambda f: f.rho.largest, "=", lambda f: f.rho.smallest, "rho does not change with t"
)
POSITIVE_GAMMA = Hypothesis("gamma", lambda f: f.gamma.largest, ">", lambda f: 0.0, "gamma > 0")
RHO_LIMIT = Hypothesis(
    "rho", lambda f: f.rho.largest, "<=", largest_radius, "rho <= rho* = mu / (L (mu + 2 (B mu + A)(1 - lam)^2))"
)
GAMMA_LIMIT = Hypothesis(
    "gamma",
    lambda f: f.gamma.largest,
    "<=",
    lambda f: largest_step(f, f.rho.largest),
    "gamma <= gamma*(rho) = (mu - L rho (mu + 2 (B mu + A)(1 - lam)^2)) / (2 L (B mu + A) K), "
    "K = 2 L^2 rho^2 (1 - lam)^2 + 1",
    step_limit=True,
)
IS_DETERMINISTIC = Hypothesis(
    "full batch (1: yes)", lambda f: float(f.deterministic), "=", lambda f: 1.0, "every step uses the full batch"
)
INTERPOLATES = Hypothesis("C", lambda f: f.C, "=", lambda f: 0.0, "interpolation: C = 0")

STEPS = (IS_PL, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA)
PL_HYPOTHESES = (*STEPS, RHO_LIMIT, GAMMA_LIMIT)
LINEAR_CONSTANTS = {
    "rate": "the factor 1 - s gamma mu: how many times faster than claimed",
    "neighbourhood": "s N: the part of the claimed neighbourhood that would do",
}


def k_factor(facts: Facts) -> float:
    return 0.5 + facts.L_f * facts.gamma.largest


def theta(facts: Facts) -> float:
    """theta = k L_S^2 rho^2 (1 - lam) + L_f gamma."""
    radius = k_factor(facts) * facts.L_S**2 * facts.rho.largest**2 * (1 - facts.lam.smallest)
    return radius + facts.L_f * facts.gamma.largest


def sharp_error(facts: Facts) -> float:
    """theta C + k L_S^2 rho^2 lam."""
    return theta(facts) * facts.C + k_factor(facts) * facts.L_S**2 * facts.rho.largest**2 * facts.lam.largest


def sharp_suggest_below(facts: Facts, limit: float, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """Half of the allowance to gamma, half to rho; rho = 1/L_S where only lam = 1 sets no limit."""
    gamma = part * limit / (2 * facts.L_f)
    room = 1 - facts.lam.smallest
    k = 0.5 + facts.L_f * gamma
    rho = 1 / facts.L_S if room == 0 else math.sqrt(limit / (2 * k * room)) / facts.L_S
    return constant(gamma), constant(rho_part * rho)
