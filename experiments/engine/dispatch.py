"""Compilation: the only file that imports numba.

Kernels are plain functions that know nothing of numba. This file tells numba which of them stands for which
data class (`overload`), compiles the loop once for each pair of problem and method classes, and keeps the
machine code in a folder named by a hash of everything it depends on: numba's own cache returns stale code when
a kernel in another file changes. Classes from outside our packages (plugins, `__main__`) go through an uncached
twin, because every later process without them would crash on loading the shared cache.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
from numba.core import types
from numba.extending import overload

import problems
import theory.methods
from problems import kernel

from .diagonal import diagonal_steps
from .gram import gram_steps
from .lockstep import lockstep
from .loop import advance

OURS = ("problems", "theory", "experiments", "ravine")

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",  # x / 0.0 is inf, not an exception inside the loop
    "fastmath": {"reassoc", "contract"},  # never plain True: it deletes the isfinite checks
    "_nrt": False,  # no reference counting: every array is passed in
}

_lock = threading.Lock()
_overloaded: set[int] = set()


def source_files() -> list[Path]:
    """Every file whose code or constants can end up in machine code: kernels and helpers live nowhere else."""
    folders = [Path(problems.__file__).parent, Path(theory.methods.__file__).parent, Path(__file__).parent]
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def cache_folder() -> Path:
    """Where compiled kernels lie: RAVINE_CACHE_DIR, else the user's cache folder, else a temporary one."""
    digest = hashlib.sha256()
    for file in source_files():
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    for package in ("numba", "llvmlite", "numpy"):
        digest.update(f"{package}={version(package)}".encode())
    digest.update(platform.python_version().encode() + platform.machine().encode() + repr(sorted(OPTIONS)).encode())
    name = f"kernels-{digest.hexdigest()[:16]}"
    base = os.environ.get("RAVINE_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "ravine"
    )
    folder = Path(base) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"ravine-{os.getuid()}" / name
        folder.mkdir(parents=True, exist_ok=True)
    return folder


CACHE_FOLDER = str(cache_folder())
setattr(numba.config, "CACHE_DIR", CACHE_FOLDER)  # noqa: B010 (numba.config has no declared attributes)


def _install() -> None:
    """Tell numba about every kernel and helper declared since the last call."""
    for operation in kernel.Kernel.registry.values():
        if id(operation) not in _overloaded:
            _overloaded.add(id(operation))
            overload(operation, strict=False, jit_options={"forceinline": True})(_chooser(operation))
    for function in kernel.helpers:
        if id(function) not in _overloaded:
            _overloaded.add(id(function))
            overload(function, strict=False, jit_options={"forceinline": True})(_itself(function))
    for function in kernel.ordered_helpers:
        if id(function) not in _overloaded:
            _overloaded.add(id(function))
            options: Any = {"forceinline": True, "fastmath": {"contract"}}
            overload(function, strict=False, jit_options=options)(_itself(function))


def _chooser(operation: kernel.Kernel) -> Callable[..., Any]:
    def choose(data: Any, *arguments: Any) -> Callable[..., Any] | None:
        if isinstance(data, types.BaseNamedTuple):  # of equal or of mixed field types
            return operation.find(getattr(data, "instance_class"))  # noqa: B009
        return None

    return choose


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    def choose(*arguments: Any) -> Callable[..., Any]:
        return function

    return choose


LOOPS: tuple[Callable[..., None], ...] = (advance, lockstep, gram_steps, diagonal_steps)
_cached = {loop: numba.njit(cache=True, **OPTIONS)(loop) for loop in LOOPS}
_uncached = {loop: numba.njit(**OPTIONS)(loop) for loop in LOOPS}


def compiled_loop(*classes: type, loop: Callable[..., None] = advance) -> Callable[..., None]:
    """One of `LOOPS` for data of these classes. The first call with them compiles it or loads it."""
    with _lock:
        _install()
    ours = all(cls.__module__.split(".")[0] in OURS for cls in classes)
    return (_cached if ours else _uncached)[loop]  # type: ignore[no-any-return]


def compile_like_the_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a self-contained function with the loop's flags; benchmarks compare like with like through it."""
    with _lock:
        _install()
    return numba.njit(**OPTIONS)(function)  # type: ignore[no-any-return]


def description() -> dict[str, str]:
    """What `ravine doctor` says of the compiler."""
    return {"numba": version("numba"), "llvmlite": version("llvmlite"), "kernel cache": CACHE_FOLDER}
