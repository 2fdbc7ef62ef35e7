"""SSAM (Tan et al. 2024): SAM whose gradient is rescaled to the length of the unperturbed one.

    g = grad f_v(x),  ga = grad f_v(x + rho g)  or  grad f_v(x + rho g/||g||),
    x+ = x - gamma (||g||/||ga||) ga,

with the same sample v in both gradients, without momentum and weight decay. rho = 0 is bitwise SGD.
Source: the official code (read); the unnormalised ascent is in the file that its commit title calls the one used in
the paper. The theorems of the paper were not read. The code divides by ||ga|| + 1e-12; this rule adds nothing.

Degenerate cases:
* ga = 0 (or ||ga||^2 underflows to 0) and g != 0: the factor is undefined and the step is 0, as it is in the code.
* g = 0: the perturbation is 0, ga = 0, and the step is 0. Where only ||g||^2 underflows to 0, the perturbation is 0
  too, ga = g and the factor is 1.
* ||ga||^2 overflows: the rescaled step would hide it, so the run ends there as diverged.

The SPEC fixes the ascent: lam is 0 (unnormalised) or 1 (normalised) and not read.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from problems.errors import InputError
from problems.kernel import gradient, helper, plane_norm2, plane_sound, reduced, slope, span, step
from theory.schedules import constant

from .method import Method, methods
from .sgd import SGD
from .unified_sam import perturbation_scale

Ascent = Literal["unnormalised", "normalised"]


class SSAM(NamedTuple):
    """normalised: 1 for the ascent of SAM, 0 for that of USAM."""

    normalised: float


@helper
def renormalisation(norm2: float, perturbed2: float) -> float:
    """||g||/||ga|| from the squares; 0 where only ga = 0, and exactly 1 for equal norms, two zeros included."""
    if perturbed2 == norm2:
        return 1.0
    if perturbed2 == 0.0:
        return 0.0
    return math.sqrt(norm2) / math.sqrt(perturbed2)


@step.of(SSAM)
def _ssam_step(
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
    s = perturbation_scale(rho, method.normalised, norm2)
    for j in range(x.shape[0]):
        y[j] = x[j] + s * g[j]
    gradient(problem, y, indices, weights, m, g)
    perturbed2 = 0.0
    for j in range(x.shape[0]):
        perturbed2 += g[j] * g[j]
    if not math.isfinite(perturbed2):
        return perturbed2
    renorm = renormalisation(norm2, perturbed2)
    for j in range(x.shape[0]):
        x[j] -= gamma * (renorm * g[j])
    return norm2


@span.of(SSAM)
def _ssam_span(
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
    s = perturbation_scale(rho, method.normalised, norm2)
    c = 1.0 + s * r
    e = s * p
    q = weight * slope(problem, b, k, c * z + e * a2)
    # The perturbed gradient is gc x + ge a.
    gc = r * c
    ge = q + r * e
    perturbed2 = plane_norm2(gc, ge, z, a2, x2)
    sound = plane_sound(perturbed2, gc, ge, a2, x2)
    renorm = 1.0 if s == 0.0 else renormalisation(norm2, perturbed2)
    return 1.0 - gamma * (renorm * gc), -(gamma * (renorm * ge)), sound


@reduced.of(SSAM)
def _ssam_reduced(method: Any, rho: float | None) -> Any:
    return SGD() if rho == 0.0 else method


@methods.register("ssam")
def ssam(ascent: Ascent = "unnormalised") -> Method:
    """SSAM. ascent: x + rho g (unnormalised) or x + rho g/||g|| (normalised)."""
    if ascent not in ("unnormalised", "normalised"):
        raise InputError(f"ascent of method 'ssam' must be one of unnormalised, normalised, got {ascent!r}")
    normalised = 1.0 if ascent == "normalised" else 0.0
    return Method(f"ssam:ascent={ascent}", SSAM(normalised), constant(normalised), uses_lam=False, isometric=True)
