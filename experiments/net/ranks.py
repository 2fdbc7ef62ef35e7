"""Several processes under DistributedDataParallel: whose gradient makes the perturbation.

`global`: DistributedDataParallel averages the gradients of every pass, so all processes perturb alike and each step is
that of one process with the whole batch. `rank`: each process climbs along the gradient of its own share (m-sharpness,
m the size of a share); the averages of the directions of all processes make the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from problems.errors import InputError

from .norms import Share

REDUCE = ("global", "rank")


def check_reduce(reduce: str, model: nn.Module | None) -> None:
    """Raise InputError unless `reduce` is known and, for `rank` in more than one process, the model is wrapped."""
    if reduce not in REDUCE:
        raise InputError(f"reduce must be {' or '.join(REDUCE)}, got {reduce!r}")
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if reduce == "rank" and several and not isinstance(model, DistributedDataParallel):
        raise InputError(
            "model must be the DistributedDataParallel module for reduce='rank' in several processes, "
            f"got {'none' if model is None else type(model).__name__}"
        )


def own_gradients(model: nn.Module | None) -> AbstractContextManager[None]:
    """Passes inside leave each process its own gradients."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


def average_gradients(model: nn.Module | None, shares: Sequence[Share]) -> None:
    """The mean over all processes into the gradients. A parameter without a gradient, unless it is frozen, counts as
    one with gradient 0: another process may have one, and all must exchange alike."""
    if not isinstance(model, DistributedDataParallel):
        return
    group = model.process_group
    for share in shares:
        params = [p for p in share.params if p.requires_grad]
        if not params:
            continue
        grads: list[Tensor] = []
        for p in params:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            grads.append(p.grad)
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        dist.all_reduce(flat, group=group)
        flat /= dist.get_world_size(group)
        parts = torch.split(flat, [grad.numel() for grad in grads])
        torch._foreach_copy_(grads, [part.view_as(grad) for part, grad in zip(parts, grads, strict=True)])
