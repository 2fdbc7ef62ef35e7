"""Norms and products over lists of tensors that may lie on several devices. Nothing here waits for a device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)


def work_dtype(tensor: Tensor) -> torch.dtype:
    """What is computed with: float32 for 16-bit tensors, else the tensor's own type."""
    return torch.float32 if tensor.dtype in HALVES else tensor.dtype


@dataclass(frozen=True)
class Share:
    """The parameters of one group that lie on one device and have one type, with the group's numbers."""

    params: list[Tensor]
    rho: float
    lam: float
    alpha: float

    def moving(self) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters that have a gradient, and these gradients."""
        params = [p for p in self.params if p.grad is not None]
        return params, [p.grad for p in params if p.grad is not None]


def gradient_norm(shares: Sequence[Share]) -> Tensor:
    """||g|| over all gradients, a 0-dimensional tensor."""
    return norm(share.moving()[1] for share in shares)


def norm(lists: Iterable[list[Tensor]]) -> Tensor:
    """The Euclidean norm of all tensors of all lists together; those of one list have one type and device.

    Taken in float32 for 16-bit tensors, in the widest type where there are several, on the device of the first.
    """
    sizes: list[Tensor] = []
    for tensors in lists:
        if tensors:
            sizes += torch._foreach_norm(tensors, 2, dtype=work_dtype(tensors[0]))
    total: Tensor = torch.linalg.vector_norm(_gathered(sizes))
    return total


def inner(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The sum of <a, b> over the pairs, as `norm` takes it."""
    products = [torch.dot(_flat(a), _flat(b)) for a, b in pairs]
    return _gathered(products).sum()


def nonzero(size: Tensor) -> Tensor:
    """Whether the square of a norm is not 0: the rules take a gradient whose ||g||^2 underflows for 0."""
    return size * size != 0


def _flat(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).to(work_dtype(tensor))


def _gathered(numbers: list[Tensor]) -> Tensor:
    first = numbers[0]
    widest = max((number.dtype for number in numbers), key=lambda dtype: dtype.itemsize)
    return torch.stack([number.to(first.device, widest, non_blocking=True) for number in numbers])
