"""GSAM (Zhuang et al. 2022): SAM that also climbs along the part of the gradient which SAM's own gradient lacks.

    u = g/||g||,  gp = grad f_v(x + rho u),  g_perp = g - (<g, gp>/||gp||^2) gp,
    x+ = x - gamma (gp - alpha g_perp),      g = grad f_v(x),

with the same sample v in both gradients; alpha is any real number. alpha = 0 is bitwise SAM, rho = 0 bitwise SGD.
Source: the algorithm box and the official code of Zhuang et al. 2022 (read), which the code of Harada and Iiduka 2024
(read) repeats; the code adds 1e-12 to ||g||, this rule nothing.

Degenerate cases:
* g = 0 (or ||g||^2 underflows to 0): the perturbation is 0, so gp = g and g_perp = 0; the step is the one of SGD.
* gp = 0 (or ||gp||^2 underflows to 0) and g != 0: the line along gp is {0}, so g_perp = g and x+ = x + gamma alpha g:
  a step uphill for alpha > 0, none for alpha = 0. It is not a limit: near such a point g_perp depends on the
  direction of gp.
* g parallel to gp (d = 1, u an eigenvector of a quadratic): g_perp = 0, computed to rounding, so that the rule is SAM
  to about |alpha| ||g|| eps.

The ascent is always normalised: lam is 1 and not read.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from problems.errors import InputError
from problems.kernel import gradient, plane_norm2, plane_sound, reduced, scratch, slope, span, step, stride
from problems.problem import plain
from problems.spec import spelled
from theory.schedules import constant

from .method import Method, methods
from .sgd import SGD
from .unified_sam import UnifiedSAM, perturbation_scale


class GSAM(NamedTuple):
    """alpha: the weight of the perpendicular part, any finite number."""

    alpha: float


@scratch.of(GSAM)
def _gsam_scratch(method: Any) -> int:
    return 2  # the perturbed point, and the gradient there


@step.of(GSAM)
def _gsam_step(
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
    d = x.shape[0]
    point = y[:d]
    gp = y[stride(d) : stride(d) + d]
    gradient(problem, x, indices, weights, m, g)
    norm2 = 0.0
    for j in range(d):
        norm2 += g[j] * g[j]
    s = perturbation_scale(rho, 1.0, norm2)
    for j in range(d):
        point[j] = x[j] + s * g[j]
    gradient(problem, point, indices, weights, m, gp)
    # Without a perturbation gp = g and nothing is perpendicular; rounding shall not say otherwise.
    if s == 0.0 or method.alpha == 0.0:
        for j in range(d):
            x[j] -= gamma * gp[j]
        return norm2
    along = 0.0
    gp2 = 0.0
    for j in range(d):
        along += g[j] * gp[j]
        gp2 += gp[j] * gp[j]
    ratio = 0.0
    if gp2 != 0.0:
        ratio = along / gp2
    for j in range(d):
        x[j] -= gamma * (gp[j] - method.alpha * (g[j] - ratio * gp[j]))
    return norm2


@span.of(GSAM)
def _gsam_span(
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
    s = perturbation_scale(rho, 1.0, norm2)
    c = 1.0 + s * r
    e = s * p
    q = weight * slope(problem, b, k, c * z + e * a2)
    # gp = gc x + ge a
    gc = r * c
    ge = q + r * e
    if s == 0.0 or method.alpha == 0.0:
        return 1.0 - gamma * gc, -(gamma * ge), 1.0
    gp2 = plane_norm2(gc, ge, z, a2, x2)
    sound = plane_sound(gp2, gc, ge, a2, x2)
    along = r * gc * x2 + (r * ge + p * gc) * z + p * ge * a2
    ratio = 0.0
    if gp2 != 0.0:
        ratio = along / gp2
    dc = gc - method.alpha * (r - ratio * gc)
    de = ge - method.alpha * (p - ratio * ge)
    return 1.0 - gamma * dc, -(gamma * de), sound


@reduced.of(GSAM)
def _gsam_reduced(method: Any, rho: float | None) -> Any:
    if rho == 0.0:
        return SGD()
    return UnifiedSAM() if method.alpha == 0.0 else method


@methods.register("gsam")
def gsam(alpha: float = 0.1) -> Method:
    """GSAM. alpha: any finite number; 0 is SAM."""
    if not math.isfinite(alpha):
        raise InputError(f"alpha of method 'gsam' must be a finite number, got {plain(alpha)!r}")
    return Method(f"gsam:alpha={spelled(alpha)}", GSAM(float(alpha)), constant(1.0), uses_lam=False, isometric=True)
