"""Unified SAM (Oikonomou and Loizou 2025): normalised and unnormalised SAM in one rule.

    x+ = x - gamma grad f_v(x + rho ((1 - lam) + lam/||g||) g),   g = grad f_v(x),

with the same sample v in both gradients. lam = 0 is USAM, lam = 1 is SAM. Where g = 0 (or ||g||^2 underflows
to 0) the perturbation is 0, whatever lam. rho = 0 is SGD.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from problems.kernel import ascent, gradient, helper, reduced, slope, span, step
from theory.schedules import constant, read_schedule

from .method import Method, methods
from .sgd import SGD


class UnifiedSAM(NamedTuple):
    """gamma, rho and lam arrive with each step. The field keeps the compiled type non-empty."""

    unused: float = 0.0


@helper
def perturbation_scale(rho: float, lam: float, norm2: float) -> float:
    """s with perturbation s g: rho ((1 - lam) + lam/||g||), and 0 at a zero gradient."""
    if norm2 == 0.0:
        return 0.0
    return rho * ((1.0 - lam) + lam / math.sqrt(norm2))


@step.of(UnifiedSAM)
def _unified_sam_step(
    method: Any,
    problem: Any,
    x: Any,
    indices: Any,
    weights: Any,
    m: int,
    gamma: float,
    rho: float,
    lam: float,
    g: Any,
    y: Any,
) -> float:
    gradient(problem, x, indices, weights, m, g)
    norm2 = 0.0
    for j in range(x.shape[0]):
        norm2 += g[j] * g[j]
    s = perturbation_scale(rho, lam, norm2)
    for j in range(x.shape[0]):
        y[j] = x[j] + s * g[j]
    gradient(problem, y, indices, weights, m, g)
    for j in range(x.shape[0]):
        x[j] -= gamma * g[j]
    return norm2


@span.of(UnifiedSAM)
def _unified_sam_span(
    method: Any,
    problem: Any,
    weight: float,
    r: float,
    b: float,
    k: float,
    z: float,
    p: float,
    norm2: float,
    a2: float,
    x2: float,
    gamma: float,
    rho: float,
    lam: float,
) -> tuple[float, float, float]:
    s = perturbation_scale(rho, lam, norm2)
    # x + s g = c x + e a
    c = 1.0 + s * r
    e = s * p
    q = weight * slope(problem, b, k, c * z + e * a2)
    return 1.0 - gamma * (r * c), -(gamma * (q + r * e)), 1.0


@ascent.of(UnifiedSAM)
def _unified_sam_ascent(method: Any, rho: float, lam: float, norm2: float) -> float:
    return perturbation_scale(rho, lam, norm2)


@reduced.of(UnifiedSAM)
def _unified_sam_reduced(method: Any, rho: float | None) -> Any:
    return SGD() if rho == 0.0 else method


@methods.register("unified-sam")
def unified_sam(lam: str = "0.5") -> Method:
    """Unified SAM. lam: a number in [0, 1] or a schedule."""
    schedule = read_schedule(lam, argument="lam", high=1.0)
    return Method(f"unified-sam:lam={schedule}", UnifiedSAM(), schedule, isometric=True)


@methods.register("sam")
def sam() -> Method:
    """SAM, the normalised rule: Unified SAM with lam = 1."""
    return Method("sam", UnifiedSAM(), constant(1.0), isometric=True)


@methods.register("usam")
def usam() -> Method:
    """USAM, the unnormalised rule: Unified SAM with lam = 0."""
    return Method("usam", UnifiedSAM(), constant(0.0), isometric=True)
