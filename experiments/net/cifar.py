"""The binary version of CIFAR-10 and CIFAR-100: rows of label bytes and 3 x 32 x 32 bytes of pixels, nothing pickled.

A CIFAR-10 row is one label and 3,072 pixels, a CIFAR-100 row a coarse label (of 20), a fine one (of 100) and the
pixels; pixels lie channel by channel, red, green, blue, and row by row.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from problems.errors import InputError

PIXELS = 3 * 32 * 32
BATCH = 10_000
"""Rows of one CIFAR-10 file; the files of CIFAR-100 have 5 and 1 times as many."""


class Layout(NamedTuple):
    """Files of the training and test part, how many times BATCH rows each has, and the number of classes of every
    label byte of a row."""

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    times: int
    labels: tuple[int, ...]


TEN = Layout(
    "CIFAR-10", "cifar-10-batches-bin", tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin", 1, (10,)
)
HUNDRED = Layout("CIFAR-100", "cifar-100-binary", ("train.bin",), "test.bin", 5, (20, 100))

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_cifar(folder: str, layout: Layout, label: int = 0) -> tuple[Part, Part]:
    """Training and test part: pixels (n, 3, 32, 32) in 0..255 and the label byte of this number, (n,).

    folder holds the files, or the archive's own folder with them. Raises InputError for a file that is missing, has
    another size than the official one, or holds a label out of range.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"folder of {layout.name} must be a folder with its binary files, got {folder!r}")
    if not (place / layout.test).exists() and (place / layout.folder).is_dir():
        place = place / layout.folder
    parts = [_read_file(place / name, layout, BATCH * layout.times, label) for name in layout.train]
    train = np.concatenate([pixels for pixels, _ in parts]), np.concatenate([labels for _, labels in parts])
    return train, _read_file(place / layout.test, layout, BATCH, label)


def _read_file(path: Path, layout: Layout, rows: int, label: int) -> Part:
    heads = len(layout.labels)
    width = heads + PIXELS
    wanted = f"{layout.name}'s binary version has {rows * width:,} bytes there, {rows:,} rows of {width:,}"
    if not path.is_file():
        raise InputError(f"file {str(path)!r} is missing; {wanted}")
    try:
        size = path.stat().st_size
        if size != rows * width:
            raise InputError(f"file {str(path)!r} has {size:,} bytes; {wanted}")
        table = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"file {str(path)!r} cannot be read ({error.strerror}); {wanted}") from None
    table = table.reshape(rows, width)
    for place, count in enumerate(layout.labels):
        if (wrong := np.flatnonzero(table[:, place] >= count)).size:
            row = int(wrong[0])
            raise InputError(
                f"file {str(path)!r} has the label {int(table[row, place])} in row {row}; "
                f"{layout.name} has labels 0..{count - 1} there"
            )
    return table[:, heads:].reshape(rows, 3, 32, 32), table[:, label].astype(np.int64)
