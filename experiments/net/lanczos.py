"""The largest eigenvalue of many symmetric matrices at once, from products with one vector each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Top(NamedTuple):
    """values (S,); vectors (S, d), of norm 1; residuals (S,): ||A v - value v||, within which an eigenvalue lies."""

    values: Tensor
    vectors: Tensor
    residuals: Tensor


def largest_eigenvalue(product: Callable[[Tensor], Tensor], start: Tensor, *, steps: int = 12) -> Top:
    """Rayleigh and Ritz on the Krylov spaces of `steps` vectors: lower bounds of the largest eigenvalues.

    product: (S, d) -> (S, d), row k times the k-th matrix. start (S, d), nonzero rows; the last vectors found make the
    next start along a trajectory. steps + 1 products, steps S d numbers of memory, no synchronisation with the host.
    """
    S, _ = start.shape
    basis: list[Tensor] = []
    images: list[Tensor] = []
    v = start / start.norm(dim=1, keepdim=True)
    alive = torch.ones(S, 1, dtype=torch.bool, device=start.device)
    flags = []
    for _ in range(steps):
        basis.append(v)
        flags.append(alive)
        image = product(v)
        images.append(image)
        rest = image
        # Twice: one pass of Gram and Schmidt leaves parts along the basis as large as rounding over ||rest||.
        for _ in range(2):
            for q in basis:
                rest = rest - (q * rest).sum(dim=1, keepdim=True) * q
        size = rest.norm(dim=1, keepdim=True)
        # The space is invariant where nothing but rounding is left; from there on the row's vectors are 0.
        floor = 8 * steps * torch.finfo(start.dtype).eps * image.norm(dim=1, keepdim=True)
        alive = alive & (size > floor)
        v = torch.where(alive, rest / size, torch.zeros_like(rest))
    Q, AQ = torch.stack(basis, dim=1), torch.stack(images, dim=1)
    small = Q @ AQ.transpose(1, 2)
    small = (small + small.transpose(1, 2)) / 2
    # A vector 0 would be an eigenvector of the small matrix to 0, which may be its largest: put it below every other.
    lowest = -1 - small.flatten(1).norm(dim=1)
    dead = ~torch.cat(flags, dim=1)
    small = small + torch.diag_embed(torch.where(dead, lowest[:, None], torch.zeros_like(lowest[:, None])))
    sound = torch.isfinite(small).all(dim=2).all(dim=1)
    eye = torch.eye(steps, dtype=small.dtype, device=small.device)
    # A row that diverged would make the decomposition of all of them fail.
    values, coordinates = torch.linalg.eigh(torch.where(sound[:, None, None], small, eye))
    nothing = torch.full_like(values[:, -1], torch.nan)
    top = (coordinates[:, None, :, -1] @ Q)[:, 0]
    top = top / top.norm(dim=1, keepdim=True)
    value = torch.where(sound, values[:, -1], nothing)
    residual = (product(top) - value[:, None] * top).norm(dim=1)
    return Top(value, torch.where(sound[:, None], top, start), residual)
