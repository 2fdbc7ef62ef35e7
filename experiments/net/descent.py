"""The way down: what the gradients along the path become before the base optimiser takes its step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .ascent import add_scaled
from .family import Rule
from .norms import HALVES, Share, gradient_norm, inner, nonzero
from .stores import Stores


class Descent:
    """Sees the gradient at x, then that at each point of the path, and writes the direction D into the gradients.

    A parameter without a gradient in one pass counts there as one with gradient 0; one without a gradient in the last
    pass gets none, and the base optimiser leaves it alone.
    """

    def __init__(self, rule: Rule, shares: Sequence[Share], stores: Stores) -> None:
        self._rule, self._shares, self._stores = rule, shares, stores
        self._kept: dict[Tensor, Tensor] = {}  # the mean so far, or the gradient at x
        self._taken = 0

    def at_start(self, size: Tensor) -> None:
        """The pass at x; size is the norm of its gradient."""
        self._size = size
        if self._rule.descent == "average-start":
            self._average()
        if self._rule.descent == "perpendicular":
            # Copies, because the next pass may write into the same memory.
            for share in self._shares if any(share.alpha != 0 for share in self._shares) else ():
                self._copy(*share.moving())

    def on_path(self) -> None:
        """A pass at a point of the path."""
        if self._rule.descent in ("average", "average-start", "lookbehind"):
            self._average()

    def write(self) -> None:
        """D into the gradients."""
        if self._rule.descent == "perpendicular":
            self._remove_perpendicular()
        elif self._rule.descent == "renormalised":
            factor = renormalisation(self._size, gradient_norm(self._shares))
            for share in self._shares:
                scale_all(share.moving()[1], factor)
        elif self._kept:
            for share in self._shares:
                params, grads = share.moving()
                means = [self._kept[p] for p in params]
                if means and self._rule.descent == "lookbehind":  # the sum, not the mean
                    torch._foreach_mul_(means, share.alpha * self._rule.steps)
                if means:
                    torch._foreach_copy_(grads, means)

    def _copy(self, params: list[Tensor], grads: list[Tensor]) -> None:
        if params:
            copies = self._stores.kept.like(params, working=True)
            torch._foreach_copy_(copies, grads)
            self._kept.update(zip(params, copies, strict=True))

    def _complete(self, params: list[Tensor]) -> list[Tensor]:
        """What is kept for these parameters: 0 where there was no gradient yet."""
        new = [p for p in params if p not in self._kept]
        if new:
            zeros = self._stores.kept.like(new, working=True)
            torch._foreach_zero_(zeros)
            self._kept.update(zip(new, zeros, strict=True))
        return [self._kept[p] for p in params]

    def _average(self) -> None:
        """A running mean: equal gradients leave it exactly what they are."""
        self._taken += 1
        if self._taken == 1:
            for share in self._shares:
                self._copy(*share.moving())
            return
        part = 1 / self._taken
        for share in self._shares:
            params, grads = share.moving()
            if params:
                means = self._complete(params)
                torch._foreach_lerp_(means, [g.to(m.dtype) for g, m in zip(grads, means, strict=True)], part)
            idle = [self._kept[p] for p in share.params if p.grad is None and p in self._kept]
            if idle:
                torch._foreach_mul_(idle, 1 - part)

    def _remove_perpendicular(self) -> None:
        """GSAM: gp - alpha (g - (<g, gp>/||gp||^2) gp)."""
        if not self._kept:  # alpha = 0 in every group
            return
        size = gradient_norm(self._shares)
        pairs = [
            (self._kept[p], grad)
            for share in self._shares
            for p, grad in zip(*share.moving(), strict=True)
            if p in self._kept
        ]
        ratio = torch.where(nonzero(size), inner(pairs) / (size * size), 0.0) if pairs else torch.zeros_like(size)
        for share in self._shares:
            params, grads = share.moving()
            if share.alpha == 0 or not params:
                continue
            perpendicular = self._complete(params)
            device = params[0].device
            add_scaled(perpendicular, grads, -ratio.to(device, non_blocking=True))
            # Without a perturbation gp = g and nothing is perpendicular.
            weight = (nonzero(self._size).to(size.dtype) * -share.alpha).to(device, non_blocking=True)
            add_scaled(grads, perpendicular, weight)


def renormalisation(size: Tensor, perturbed: Tensor) -> Tensor:
    """||g||/||ga||; 0 where only ga = 0, and exactly 1 for equal norms, two zeros included. NaN where ||ga||^2
    overflows: a factor of 0 would hide the divergence."""
    factor = torch.where(nonzero(perturbed), size / perturbed, 0.0)
    factor = torch.where(perturbed == size, 1.0, factor)
    return torch.where(torch.isfinite(perturbed * perturbed), factor, torch.nan)


def scale_all(tensors: list[Tensor], factor: Tensor) -> None:
    """tensors *= factor, a 0-dimensional tensor; 16-bit tensors are rounded once."""
    if not tensors:
        return
    factor = factor.to(tensors[0].device, non_blocking=True)
    if tensors[0].dtype in HALVES:
        torch._foreach_copy_(tensors, [a.float() * factor for a in tensors])
    else:
        torch._foreach_mul_(tensors, factor)
