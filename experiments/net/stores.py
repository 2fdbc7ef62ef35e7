"""Room for a tensor beside each parameter, kept from step to step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .norms import work_dtype


class Store:
    """One tensor like each parameter it was asked for. Fresh memory at every step costs a CPU more than its use."""

    def __init__(self) -> None:
        self._room: dict[Tensor, Tensor] = {}

    def like(self, params: Sequence[Tensor], *, working: bool = False) -> list[Tensor]:
        """Tensors of the parameters' shapes and devices, with any values; of their type, or of the one to work with."""
        return [self._one(p, work_dtype(p) if working else p.dtype) for p in params]

    def _one(self, p: Tensor, dtype: torch.dtype) -> Tensor:
        room = self._room.get(p)
        if room is None or (room.shape, room.device, room.dtype) != (p.shape, p.device, dtype):
            room = self._room[p] = torch.empty_like(p, dtype=dtype, requires_grad=False)
        return room


class Stores:
    """What one step needs: x, the way from x, and what the descent keeps."""

    def __init__(self) -> None:
        self.start, self.away, self.kept = Store(), Store(), Store()
