"""The C loops of `yardstick.c`, compiled on the spot where a C compiler is found: what the machine allows."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.engine.draws import stream

SOURCE = Path(__file__).with_name("yardstick.c")

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fPIC", "-c")
"""Compiled and linked apart: linking with -ffast-math would make the whole process flush subnormal numbers to zero."""

WIDTHS = {"": (), " 512": ("-mprefer-vector-width=512",)}
"""Vectors of the compiler's choice, and as wide as they get: the better of the two is the yardstick."""


@dataclass(frozen=True)
class Compiled:
    """libraries: one for each of `WIDTHS`, opened. compiler: what made them. seconds: how long that took in all."""

    libraries: tuple[Any, ...]
    compiler: str
    seconds: float


def compiler() -> str | None:
    """The C compiler: $CC, cc, gcc or clang, the first that is there."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    return None


@lru_cache(maxsize=1)
def compiled() -> Compiled | str:
    """The loops, or why there are none."""
    cc = compiler()
    if cc is None:
        return "no C compiler was found (CC, cc, gcc, clang)"
    start = time.perf_counter()
    libraries = []
    with tempfile.TemporaryDirectory(prefix="ravine-bench-") as folder:
        for number, (_, width) in enumerate(WIDTHS.items()):
            objects, target = Path(folder) / f"yardstick{number}.o", Path(folder) / f"yardstick{number}.so"
            command = [cc, *FLAGS, *width, "-o", str(objects), str(SOURCE)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                command = [cc, "-shared", "-o", str(target), str(objects), "-lm"]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0 and width:
                continue  # a compiler or machine without that choice
            if done.returncode != 0:
                return (
                    f"{cc} failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}"
                )
            libraries.append(ctypes.CDLL(str(target)))
        version = subprocess.run([cc, "--version"], capture_output=True, text=True, check=False).stdout
    name = version.splitlines()[0] if version else cc
    return Compiled(tuple(libraries), f"{name}, {' '.join(FLAGS[:3])}", time.perf_counter() - start)


def call(library: Any, name: str, *arguments: Any, result: Any = None) -> Any:
    """Call a C function: arrays go as pointers, ints as int64, floats as double."""
    function = getattr(library, name)
    function.restype = result
    converted: list[Any] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            assert argument.flags.c_contiguous
            converted.append(ctypes.c_void_p(argument.ctypes.data))
        elif isinstance(argument, int):
            converted.append(ctypes.c_int64(argument))
        else:
            converted.append(ctypes.c_double(float(argument)))
    return function(*converted)


def keys(seed: int, replicates: int) -> Any:
    """The engine's random streams, shape (R,)."""
    with np.errstate(over="ignore"):  # 64-bit words wrap around
        return np.array([stream(np.uint64(seed), r) for r in range(replicates)], dtype=np.uint64)
