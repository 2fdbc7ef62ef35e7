"""The way up: from x to the points at which the gradients are taken, and back to x exactly."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import torch
from torch import Tensor

from .family import Rule
from .norms import HALVES, Share, nonzero, norm
from .stores import Stores


def perturbation_scale(rho: float, lam: float, size: Tensor) -> Tensor:
    """s with perturbation s g: rho ((1 - lam) + lam/||g||), and 0 at a zero gradient; size is ||g||."""
    return torch.where(nonzero(size), rho * ((1.0 - lam) + lam / size), 0.0)


def add_scaled(targets: list[Tensor], tensors: list[Tensor], scale: Tensor) -> None:
    """targets += scale tensors, scale a 0-dimensional tensor; 16-bit targets are rounded once, at the end."""
    if not targets:
        return
    if targets[0].dtype in HALVES:
        sums = [torch.addcmul(a.float(), b.float(), scale) for a, b in zip(targets, tensors, strict=True)]
        torch._foreach_copy_(targets, sums)
        return
    tensors = [b.to(targets[0].dtype) for b in tensors]
    if targets[0].is_cuda:
        # The one-kernel addcmul wants factors of the tensors' own shapes.
        torch._foreach_add_(targets, torch._foreach_mul(tensors, scale))
    else:
        torch._foreach_addcmul_(targets, tensors, [scale] * len(targets))


class Path:
    """The points z_0 = x, z_1, ... of one step; as a context it puts the parameters back to x, whatever happened.

    The rules stand in theory/methods/multistep.py. Where groups have different radii the ball of the projected rule is
    the ellipsoid sum_k ||z_k - x_k||^2/rho_k^2 <= 1 over the groups k.
    """

    def __init__(self, rule: Rule, shares: Sequence[Share], stores: Stores) -> None:
        self._rule = rule
        self._shares = [share for share in shares if share.rho > 0]
        self._stores = stores
        self._start: dict[Tensor, Tensor] = {}
        self._away: dict[Tensor, Tensor] = {}  # z - x, where there is more than one step
        self._taken = 0

    def __enter__(self) -> Path:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._start:
            torch._foreach_copy_(list(self._start), list(self._start.values()))

    def climb(self, size: Tensor) -> None:
        """One step along the gradients that the parameters have, size their norm."""
        if self._rule.ascent == "power" and self._away:
            # Each step starts at x again, but a zero gradient leaves z where it is.
            for _, away in self._moved():
                torch._foreach_mul_(away, (~nonzero(size)).to(away[0].device, away[0].dtype, non_blocking=True))
        for share in self._shares:
            params, grads = share.moving()
            if not params:
                continue
            self._keep(params)
            reach = share.rho / self._rule.steps if self._rule.ascent == "budget" else share.rho
            scale = perturbation_scale(reach, share.lam, size).to(params[0].device, non_blocking=True)
            if self._taken == 0:
                add_scaled(params, grads, scale)
                if self._rule.steps > 1:
                    away = self._stores.away.like(params, working=True)
                    torch._foreach_copy_(away, grads)
                    torch._foreach_mul_(away, scale)
                    self._away.update(zip(params, away, strict=True))
            else:
                self._lengthen(params, grads, scale)
        if self._taken > 0:
            if self._rule.ascent == "projected" and self._away:
                self._project(size)
            self._place()
        self._taken += 1

    def _keep(self, params: list[Tensor]) -> None:
        new = [p for p in params if p not in self._start]
        if not new:
            return
        copies = self._stores.start.like(new)
        torch._foreach_copy_(copies, new)
        self._start.update(zip(new, copies, strict=True))

    def _lengthen(self, params: list[Tensor], grads: list[Tensor], scale: Tensor) -> None:
        new = [p for p in params if p not in self._away]
        if new:
            away = self._stores.away.like(new, working=True)
            torch._foreach_zero_(away)
            self._away.update(zip(new, away, strict=True))
        add_scaled([self._away[p] for p in params], grads, scale)

    def _project(self, size: Tensor) -> None:
        moved = self._moved()
        reaches = norm([norm([away]) / share.rho] for share, away in moved)
        shrink = torch.where((reaches > 1) & nonzero(size), 1 / reaches, 1.0)
        for _, away in moved:
            torch._foreach_mul_(away, shrink.to(away[0].device, non_blocking=True))

    def _moved(self) -> list[tuple[Share, list[Tensor]]]:
        """What lies off x, by share."""
        moved = [(share, [self._away[p] for p in share.params if p in self._away]) for share in self._shares]
        return [(share, away) for share, away in moved if away]

    def _place(self) -> None:
        for share in self._shares:
            params = [p for p in share.params if p in self._away]
            if not params:
                continue
            start, away = [self._start[p] for p in params], [self._away[p] for p in params]
            if params[0].dtype in HALVES:
                start = [x.float() for x in start]
                torch._foreach_copy_(params, torch._foreach_add(start, away))
            else:
                torch._foreach_copy_(params, start)
                torch._foreach_add_(params, away)
