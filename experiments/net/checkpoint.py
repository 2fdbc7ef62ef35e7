"""Files of a training run, whole or not at all, and a checkpoint that no other run takes up."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

from problems.errors import InputError

FORMAT = "ravine net checkpoint 2"
PARTS = {
    "fingerprint": dict, "threads": int, "model": dict, "buffers": dict, "optimizer": dict, "progress": dict,
}  # fmt: skip


def write_whole(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file beside the target and move it there when it is complete and on the disk.

    That file has one name, so a process killed while it writes leaves at most one behind, and the next write replaces
    it; of two processes that write at once one waits for the other. Raises InputError where the system refuses, the
    target being as it was.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        with _alone(partial) as stream:
            try:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
                os.replace(partial, target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(
            f"file {str(target)!r} cannot be written ({error.strerror or error}); what stood there is untouched"
        ) from error


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """This file, empty, for this process alone."""
    while True:
        # Not "wb", which would empty it under the hands of another.
        with path.open("ab") as stream:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(stream, fcntl.LOCK_EX)
            # While this one waited, the other may have moved the file to its target.
            mine = False
            with suppress(FileNotFoundError):
                mine = os.path.samestat(os.fstat(stream.fileno()), path.stat())
            if mine:
                stream.truncate(0)
                yield stream
                return


def write_checkpoint(target: Path, content: Mapping[str, Any]) -> None:
    """Keep the state of a run: the keys of `PARTS`, made of tensors, numbers, texts, lists and dictionaries."""

    def save(stream: BinaryIO) -> None:
        try:
            torch.save({"format": FORMAT, **content}, stream)
        except RuntimeError as error:
            # torch complains of its own file positions; what the system refused lies below.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise

    write_whole(target, save)


def read_checkpoint(source: Path, fingerprint: Mapping[str, str] | None, device: torch.device) -> dict[str, Any]:
    """What `write_checkpoint` kept, if it is of the run with this fingerprint; None: of whatever run.

    Nothing in the file is executed. Raises InputError for a file that is no checkpoint, is damaged, or is of another
    run, naming the first thing in which the two differ.
    """
    name = f"checkpoint {str(source)!r}"
    try:
        content = torch.load(source, map_location=device, weights_only=True)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror or error}); name a readable file") from None
    # What torch raises for a file of another kind, or a damaged one, is of many types.
    except Exception:
        raise InputError(f"{name} is damaged, or no checkpoint of ravine net train; name another file") from None
    known = isinstance(content, dict) and content.get("format") == FORMAT
    if not known or not all(isinstance(content.get(key), kind) for key, kind in PARTS.items()):
        raise InputError(f"{name} is no checkpoint of ravine net train; name another file")
    kept = content["fingerprint"]
    wanted = kept if fingerprint is None else fingerprint
    for key in dict.fromkeys([*wanted, *kept]):
        there, here = kept.get(key, "none"), wanted.get(key, "none")
        if there != here:
            raise InputError(f"{name} is of another run: its {key} is {there}, here it is {here}; name another file")
    return dict(content)
