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
from problems.kernel import gradient, helper, step
from theory.schedules import constant

from .method import Method, methods
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


@methods.register("ssam")
def ssam(ascent: Ascent = "unnormalised") -> Method:
    """SSAM. ascent: x + rho g (unnormalised) or x + rho g/||g|| (normalised)."""
    if ascent not in ("unnormalised", "normalised"):
        raise InputError(f"ascent of method 'ssam' must be one of unnormalised, normalised, got {ascent!r}")
    normalised = 1.0 if ascent == "normalised" else 0.0
    return Method(f"ssam:ascent={ascent}", SSAM(normalised), constant(normalised), uses_lam=False)
