"""Writing results: a whole file or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from problems.errors import InputError


def check_target(path: str, *, argument: str, endings: tuple[str, ...]) -> Path:
    """The path, if it has one of these endings and its folder exists; InputError naming `argument` otherwise."""
    target = Path(path)
    if target.suffix not in endings:
        raise InputError(f"{argument} must end in {' or '.join(endings)}, got {path!r}")
    if not target.parent.is_dir():
        raise InputError(f"{argument} names a folder that does not exist: {str(target.parent)!r} in {path!r}")
    if target.is_dir():
        raise InputError(f"{argument} names a folder, got {path!r}; name a file")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{argument} names a folder that cannot be written to: {str(target.parent)!r}")
    return target


def make_folder(path: str, *, argument: str) -> Path:
    """The folder of this name, made if it is not there; InputError naming `argument` where that cannot be."""
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{argument} must name a folder, got the file {path!r}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{argument} names a folder that cannot be made: {path!r} ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{argument} names a folder that cannot be written to: {path!r}")
    return folder


def write_whole(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside the target and move it there only when it is complete. Raises InputError
    where the system refuses (a full disk), the target being as it was."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InputError(
            f"file {str(target)!r} cannot be written ({error.strerror or error}); what stood there is untouched"
        ) from error
