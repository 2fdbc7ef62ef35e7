"""SSAM, SAM with a renormalised gradient: what the ssam claims share.

    x+ = x - gamma (||g||/||ga||) ga,  g = grad f(x),  ga = grad f(x + rho g)  (unnormalised ascent: lam = 0 in facts)
                                                 or  grad f(x + rho g/||g||)  (normalised ascent: lam = 1 in facts).

On a quadratic with eigenvalues in [mu, L] the angle between g and ga = (I + s H) g, s = rho or rho/||g||, has a cosine
of at least the Kantorovich factor

    kantorovich(s) = 2 sqrt((1 + s mu)(1 + s L))/(2 + s (mu + L)),

which falls in s towards 2 sqrt(mu L)/(mu + L). With ||d|| = ||g|| and <g, d> >= k ||g||^2 for the step -gamma d, the
descent lemma and the PL inequality give f(x+) - f* <= (1 - 2 mu gamma (k - gamma L/2)) (f(x) - f*).
All norms are Euclidean, all quantities dimensionless.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from theory.claim import Curve, Finding, Hypothesis, OutsideHypotheses, Relation, Scale, Times
from theory.methods.method import methods
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting

PAPER = (
    "C. Tan, J. Zhang, J. Liu, Y. Wang and Y. Hao, Stabilizing Sharpness-Aware Minimization Through a Simple "
    "Renormalization Strategy, JMLR 26, 2025 (arXiv 2401.07250)"
)
NOT_READ = "the abstract and the official code were read, not the theorems; statement and constants are derived here"

UNNORMALISED, NORMALISED = "ssam:ascent=unnormalised", "ssam:ascent=normalised"

PLAIN_ASCENT = Hypothesis(
    "lam", lambda f: f.lam.largest, "=", lambda f: 0.0, "the ascent is not normalised: x + rho grad f(x)"
)
UNIT_ASCENT = Hypothesis(
    "lam", lambda f: f.lam.smallest, "=", lambda f: 1.0, "the ascent is normalised: x + rho grad f(x)/||grad f(x)||"
)
NARROW = Hypothesis("rho L", lambda f: f.rho.largest * f.L_f, "<", lambda f: 1.0, "rho L < 1")

RATE = {"rate": "the decrease 2 s mu gamma (k - gamma L/2): how many times faster than claimed"}


def with_method(setting: Setting, spec: str) -> Setting:
    """The same setting under another update rule, with that rule's own mixing."""
    method = methods.build(spec)
    return replace(setting, method=method, lam=method.lam)


def refuse(claim_id: str, name: str, value: float, relation: Relation, limit: float) -> OutsideHypotheses:
    """The refusal for a hypothesis on the components, of which facts do not speak."""
    return OutsideHypotheses(claim_id, [Finding(name, value, relation, limit, holds=False)])


def kantorovich(facts: Facts, s: float | Curve) -> Curve:
    """2 sqrt((1 + s mu)(1 + s L))/(2 + s (mu + L)) in (0, 1], for s in [0, inf]."""
    size = np.asarray(s, dtype=np.float64)
    limit = 2 * math.sqrt(facts.mu * facts.L_f) / (facts.mu + facts.L_f)
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = 1 + size * facts.mu, 1 + size * facts.L_f
        found = 2 * np.sqrt(low) * np.sqrt(high) / (low + high)
    return np.asarray(np.where(np.isfinite(found), found, limit))


def plain_cosine(facts: Facts) -> float:
    """Of the angle between the two gradients, unnormalised ascent: kantorovich(rho)."""
    return float(kantorovich(facts, facts.rho.largest))


def worst_cosine(facts: Facts) -> float:
    """The same for the normalised ascent, however small ||g||: 2 sqrt(mu L)/(mu + L)."""
    return float(kantorovich(facts, math.inf))


def smooth_cosine(facts: Facts) -> float:
    """For any L-smooth function, unnormalised ascent: sqrt(1 - rho^2 L^2), because ||ga - g|| <= rho L ||g||."""
    return math.sqrt(max(1 - (facts.rho.largest * facts.L_f) ** 2, 0.0))


def decrease(facts: Facts, cosine: float | Curve) -> float | Curve:
    """2 mu gamma (cosine - gamma L/2)."""
    return 2 * facts.mu * facts.gamma.largest * (cosine - facts.gamma.largest * facts.L_f / 2)


def linear(facts: Facts, fall: float, t: Times, scale: Scale) -> Curve:
    """max(1 - s fall, 0)^t (f(x_0) - f*), s the scale of `rate`."""
    return np.asarray(max(1 - scale.get("rate", 1.0) * fall, 0.0) ** t.astype(float) * facts.gap0)


def after_one(fall: float | Curve, gap: Curve, scale: Scale) -> Curve:
    """max(1 - s fall, 0) gap."""
    return np.asarray(np.maximum(1 - scale.get("rate", 1.0) * fall, 0.0) * gap)


def suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """rho = rho_part/(2 L) and gamma = part times the step of the largest guaranteed decrease, cosine/L."""
    chosen = facts.with_steps(0.0, 0.5 * rho_part / facts.L_f)
    cosine = worst_cosine(chosen) if facts.lam.largest == 1 else min(plain_cosine(chosen), smooth_cosine(chosen))
    return constant(part * cosine / facts.L_f), chosen.rho


# -- unnormalised SAM on pairs of Hessians --


def angles(mu: float, L: float, rho: float) -> tuple[float, float]:
    """The largest angles by which a matrix with spectrum in [mu, L], and I + rho times one, can turn a vector:
    sin theta_1 = (L - mu)/(L + mu), sin theta_2 = rho (L - mu)/(2 + rho (L + mu))."""
    return math.asin((L - mu) / (L + mu)), math.asin(rho * (L - mu) / (2 + rho * (L + mu)))


def widest_radius(mu: float, L: float) -> float:
    """rho* = 4 sqrt(L mu)/((L + mu)(L - mu - 2 sqrt(L mu))): below it theta_1 + theta_2 < pi/2. Infinite for
    L/mu <= 3 + 2 sqrt 2, and 0 for mu = 0."""
    root = math.sqrt(L * mu)
    room = L - mu - 2 * root
    return 4 * root / ((L + mu) * room) if room > 0 else math.inf


def monotonicity(mu: float, L: float, rho: float) -> float:
    """m = mu (1 + rho mu) max(cos(theta_1 + theta_2), 1 - rho (L - mu)^2/(8 mu (1 + rho mu))): a lower bound of
    <H_1 x, (I + rho H_2) x>/||x||^2 where it is positive. 0 for mu = 0."""
    if mu <= 0:
        return 0.0
    low = mu * (1 + rho * mu)
    return max(low * math.cos(sum(angles(mu, L, rho))), low - rho * (L - mu) ** 2 / 8)


def expansion(L: float, rho: float) -> float:
    """M = L (1 + rho L), the largest stretch of H_1 (I + rho H_2)."""
    return L * (1 + rho * L)
