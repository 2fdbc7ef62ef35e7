"""Where and how exactly a network is computed: device, dtype, threads, deterministic kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from problems.errors import InputError

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def choose_device(text: str | None = None) -> torch.device:
    """The device of this name; by default a CUDA device where there is one, else the CPU.

    Raises InputError for a name that torch does not know and for a device that is not there.
    """
    if text is None:
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(text)
    except (RuntimeError, ValueError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"device must be cpu, cuda or cuda:NUMBER, got {text!r}")
    if device.type == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise InputError(f"device must be cpu where no CUDA device is found, got {text!r}")
    number = torch.cuda.current_device() if device.index is None else device.index
    if number >= count:
        raise InputError(f"device must be cpu or cuda:NUMBER with NUMBER in 0..{count - 1}, got {text!r}")
    return torch.device("cuda", number)


def choose_dtype(text: str) -> torch.dtype:
    """float32 or float64; InputError for another name."""
    if text not in DTYPES:
        raise InputError(f"dtype must be {' or '.join(DTYPES)}, got {text!r}")
    return DTYPES[text]


@contextmanager
def exactly(threads: int | None = None) -> Iterator[None]:
    """Deterministic kernels only, so many threads if given, inside; the settings of before afterwards.

    A kernel that has no deterministic form raises RuntimeError inside.
    """
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    tuned, count = torch.backends.cudnn.benchmark, torch.get_num_threads()
    # cuBLAS reads it when it is first used; without it torch refuses its matrix products in deterministic mode.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
        torch.backends.cudnn.benchmark = tuned
        torch.set_num_threads(count)
