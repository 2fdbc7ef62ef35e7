"""The model's buffers (batch-norm running statistics among them) are those that the pass at x left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def buffers_kept(model: nn.Module | None) -> Iterator[None]:
    """Passes inside leave every buffer of the model as they found it, also where one raises.

    They are copied and put back rather than switched off: no module's mode or momentum is touched, so that it holds for
    any module with running statistics, and what a pass at a perturbed point computed cannot reach them even as 0 times
    infinity.
    """
    if model is None:
        yield
        return
    places = [(module, name) for module in model.modules() for name, _ in module.named_buffers(recurse=False)]
    found = [module.get_buffer(name) for module, name in places]
    copies = [buffer.detach().clone() for buffer in found]
    try:
        yield
    finally:
        with torch.no_grad():
            for (module, name), buffer, copy in zip(places, found, copies, strict=True):
                setattr(module, name, buffer.copy_(copy))
