"""The update rules of `theory.methods`, on tensors: one network, or many side by side along the leading axes.

A rule takes x (..., d), step sizes gamma, radii rho and mixings lam of shape (...), or scalars, and a function
gradient: (..., d) -> (..., d) that speaks of one fixed sample for each network. Every norm is over the last axis. The
equations, the degenerate cases and the order of the operations are those of the methods' own docstrings; so rho = 0 is
bitwise SGD here too, and at a zero gradient the perturbation is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from problems.errors import InputError
from theory.methods.gsam import GSAM
from theory.methods.method import Method
from theory.methods.multistep import MultiStepSAM
from theory.methods.sgd import SGD
from theory.methods.ssam import SSAM
from theory.methods.unified_sam import UnifiedSAM

Gradient = Callable[[Tensor], Tensor]


class Step(NamedTuple):
    """x (..., d): the next point. norm2 (...): ||g||^2 of the sampled gradient at the last one."""

    x: Tensor
    norm2: Tensor


class Rule(Protocol):
    """One step of a method. alpha: the method's own, or one for each network; None for methods without."""

    def __call__(
        self, gradient: Gradient, x: Tensor, *, gamma: Tensor, rho: Tensor, lam: Tensor, alpha: Tensor | None
    ) -> Step: ...


def squares(v: Tensor) -> Tensor:
    """||v||^2 over the last axis, which stays with length 1."""
    return v.square().sum(dim=-1, keepdim=True)


def perturbation_scale(rho: Tensor, lam: Tensor | float, norm2: Tensor) -> Tensor:
    """s with perturbation s g: rho ((1 - lam) + lam/||g||), and 0 at a zero gradient."""
    return torch.where(norm2 == 0, torch.zeros_like(norm2), rho * ((1 - lam) + lam / norm2.sqrt()))


def sgd(gradient: Gradient, x: Tensor, *, gamma: Tensor, rho: Tensor, lam: Tensor, alpha: Tensor | None) -> Step:
    """x+ = x - gamma g."""
    g = gradient(x)
    return Step(x - gamma[..., None] * g, squares(g)[..., 0])


def unified_sam(
    gradient: Gradient, x: Tensor, *, gamma: Tensor, rho: Tensor, lam: Tensor, alpha: Tensor | None
) -> Step:
    """x+ = x - gamma grad f_v(x + rho ((1 - lam) + lam/||g||) g): USAM with lam = 0, SAM with lam = 1."""
    g = gradient(x)
    norm2 = squares(g)
    s = perturbation_scale(rho[..., None], lam[..., None], norm2)
    return Step(x - gamma[..., None] * gradient(x + s * g), norm2[..., 0])


def gsam(gradient: Gradient, x: Tensor, *, gamma: Tensor, rho: Tensor, lam: Tensor, alpha: Tensor | None) -> Step:
    """x+ = x - gamma (gp - alpha g_perp), g_perp the part of g perpendicular to gp = grad f_v(x + rho g/||g||)."""
    weight = torch.as_tensor(0.0 if alpha is None else alpha)[..., None].to(x)
    g = gradient(x)
    norm2 = squares(g)
    s = perturbation_scale(rho[..., None], 1.0, norm2)
    gp = gradient(x + s * g)
    gp2 = squares(gp)
    along = (g * gp).sum(dim=-1, keepdim=True)
    ratio = torch.where(gp2 == 0, torch.zeros_like(gp2), along / gp2)
    # Without a perturbation gp = g and nothing is perpendicular; rounding shall not say otherwise.
    direction = torch.where((s == 0) | (weight == 0), gp, gp - weight * (g - ratio * gp))
    return Step(x - gamma[..., None] * direction, norm2[..., 0])


def ssam(normalised: float) -> Rule:
    """x+ = x - gamma (||g||/||ga||) ga, ga = grad f_v(x + rho g) or, if normalised is 1, grad f_v(x + rho g/||g||)."""

    def rule(gradient: Gradient, x: Tensor, *, gamma: Tensor, rho: Tensor, lam: Tensor, alpha: Tensor | None) -> Step:
        g = gradient(x)
        norm2 = squares(g)
        ga = gradient(x + perturbation_scale(rho[..., None], normalised, norm2) * g)
        perturbed2 = squares(ga)
        renorm = norm2.sqrt() / perturbed2.sqrt()
        renorm = torch.where(perturbed2 == 0, torch.zeros_like(renorm), renorm)
        renorm = torch.where(perturbed2 == norm2, torch.ones_like(renorm), renorm)
        # An infinite ||ga|| would be rescaled out of sight.
        seen = torch.where(torch.isfinite(perturbed2), norm2, perturbed2)
        return Step(x - gamma[..., None] * (renorm * ga), seen[..., 0])

    return rule


def multi_sam(steps: int, ascent: int, descent: int) -> Rule:
    """Several ascent steps before each descent step; ascent and descent count the rules of `theory.methods.multistep`:
    budget, fixed, projected, power; last, average, average-start, lookbehind."""

    def rule(gradient: Gradient, x: Tensor, *, gamma: Tensor, rho: Tensor, lam: Tensor, alpha: Tensor | None) -> Step:
        radius = rho[..., None]
        reach = radius / steps if ascent == 0 else radius
        g = gradient(x)
        norm2 = size2 = squares(g)
        z, mean, taken = x, g, int(descent == 2)
        for i in range(steps):
            s = perturbation_scale(reach, 1.0, size2)
            moved = (x if ascent == 3 else z) + s * g
            if ascent == 2 and i > 0:
                away = squares(moved - x).sqrt()
                moved = torch.where(away > radius, x + radius / away * (moved - x), moved)
            # Where the gradient is 0 no step is taken, under the power rule not even the one back to x.
            z = torch.where(size2 == 0, z, moved)
            g = gradient(z)
            size2 = squares(g)
            taken += 1
            # A running mean: equal gradients (rho = 0, n = 1) leave it exactly what they are.
            mean = g if taken == 1 else mean + (g - mean) / taken
        if descent == 0:
            return Step(x - gamma[..., None] * g, norm2[..., 0])
        scale = gamma
        if descent == 3:  # lookbehind: the sum, not the mean
            scale = gamma * (torch.as_tensor(1.0 if alpha is None else alpha).to(x) * steps)
        return Step(x - scale[..., None] * mean, norm2[..., 0])

    return rule


def rule_of(method: Method) -> Rule:
    """The rule of a method of the catalogue. Raises InputError for one that has no rule on tensors."""
    data = method.data
    if isinstance(data, SGD):
        return sgd
    if isinstance(data, UnifiedSAM):
        return unified_sam
    if isinstance(data, GSAM):
        return gsam
    if isinstance(data, SSAM):
        return ssam(data.normalised)
    if isinstance(data, MultiStepSAM):
        return multi_sam(data.steps, data.ascent, data.descent)
    raise InputError(f"method must be sgd, sam, usam, unified-sam, gsam, ssam or multi-sam here, got {method.name!r}")
