"""Forward-mode derivatives without torch's warning of itself.

torch's first one imports a module that uses torch.jit.script, of which torch warns, as it does of a dependency of
curvlinops. Where warnings are errors that import would fail in the middle, and with it every later one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch.autograd import forward_ad


@contextmanager
def without_script_warning() -> Iterator[None]:
    """Nothing is said of torch.jit.script inside."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        yield


@cache
def load() -> None:
    """Have torch import what it needs; to be called before the first forward-mode derivative."""
    with without_script_warning(), forward_ad.dual_level():
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
