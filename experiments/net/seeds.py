"""Random numbers of a training run: every stream a function of (seed, purpose, counters), none of the global state."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def stream_key(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit number for this purpose ("split", "start", "order", ...) and these counters >= 0; seed >= 0."""
    words = np.random.SeedSequence((seed, zlib.crc32(purpose.encode()), *counters)).generate_state(1, np.uint64)
    return int(words[0]) >> 1


def numpy_stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A NumPy generator of its own."""
    return np.random.default_rng(stream_key(seed, purpose, *counters))


def permutation(n: int, seed: int, purpose: str, *counters: int) -> torch.Tensor:
    """A random order of 0..n-1, shape (n,), the same on every device."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(stream_key(seed, purpose, *counters)))


@contextmanager
def seeded(key: int, device: torch.device | None = None) -> Iterator[None]:
    """torch's global generators, of the CPU and of this device, begin at `key` inside and are left as they were."""
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        reseed(key, device)
        yield


def reseed(key: int, device: torch.device | None = None) -> None:
    """Set torch's global generators of the CPU and of this device; `torch.manual_seed` would touch every device."""
    torch.default_generator.manual_seed(key)
    if device is not None and device.type == "cuda":
        torch.cuda.manual_seed(key)
