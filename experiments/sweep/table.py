"""The table of a sweep: one row a cell, in the order of their numbers, the same for every way of computing it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from problems.errors import InputError
from problems.spec import spelled

from .columns import COMPARED, MEASURED, Kind
from .run import Row
from .spec import Sweep


@dataclass(frozen=True)
class Column:
    """One column: what it is called, what it holds, and its entry for every cell, None where there is none."""

    name: str
    kind: Kind
    entries: Sequence[Any]


def columns_of(sweep: Sweep, rows: Sequence[Row]) -> list[Column]:
    """The columns of a finished sweep: the cell's number, its place on every axis, its result."""
    places = [sweep.values(number) for number in range(len(sweep))]
    columns = [Column("cell", "whole", range(len(rows)))]
    for axis in sweep.axes:
        given: list[Any] = [place[axis.name] for place in places]
        if axis.name in ("gamma", "rho"):
            columns += _steps(axis.name, axis.unit, given, rows)
        elif axis.name not in ("method", "lam"):
            columns.append(_column(axis.name, given))
    both = list(zip(rows, places, strict=True))
    methods = [place.get("method", row.get("method")) for row, place in both]
    mixings = [row.get("lam", place.get("lam")) for row, place in both]
    after_sampling = 3 + len(sweep.variables)
    columns[after_sampling:after_sampling] = [_column("method", methods), _column("lam", mixings)]
    columns.append(Column("steps", "whole", [sweep.steps] * len(rows)))
    columns += [Column(name, kind, [row.get(name) for row in rows]) for name, kind in MEASURED.items()]
    if sweep.claim is not None:
        columns.append(Column("claim", "text", [sweep.claim] * len(rows)))
        columns += [Column(name, kind, [row.get(name) for row in rows]) for name, kind in COMPARED.items()]
    return columns


def _steps(name: str, unit: str, given: list[Any], rows: Sequence[Row]) -> Iterator[Column]:
    """The step sizes as run, and, where the axis is in units of 1/L, its own numbers."""
    run = [row.get(name, value if unit == "1" else None) for row, value in zip(rows, given, strict=True)]
    yield _column(name, run)
    if unit == "1/L":
        yield _column(f"{name}_times_L", [None if isinstance(value, str) else value for value in given])


def _column(name: str, entries: list[Any]) -> Column:
    """Numbers, or texts as soon as one entry is a text (a schedule among step sizes)."""
    if any(isinstance(entry, str) for entry in entries):
        texts = [entry if isinstance(entry, str) or entry is None else spelled(entry) for entry in entries]
        return Column(name, "text", texts)
    whole = all(isinstance(entry, int) or entry is None for entry in entries)
    if whole and any(entry is not None for entry in entries):
        return Column(name, "whole", entries)
    return Column(name, "number", [None if entry is None else float(entry) for entry in entries])


def write_csv(columns: Sequence[Column], stream: BinaryIO) -> None:
    """CSV in UTF-8: numbers such that reading them gives the same bits, `true` and `false`, nothing for None."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows(zip(*([_spelled(entry) for entry in column.entries] for column in columns), strict=True))
    text.flush()
    text.detach()


def _spelled(entry: Any) -> str:
    if entry is None:
        return ""
    if isinstance(entry, bool):
        return "true" if entry else "false"
    return repr(entry) if isinstance(entry, float) else str(entry)


def check_parquet() -> None:
    """Raise InputError unless Parquet files can be written."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise InputError(
            "out ending in .parquet needs the extra 'parquet', which is not installed; pip install 'ravine[parquet]' "
            "or write .csv"
        ) from None


def write_parquet(columns: Sequence[Column], stream: BinaryIO) -> None:
    """Parquet, with nulls for None."""
    import pyarrow
    import pyarrow.parquet

    types = {"number": pyarrow.float64(), "whole": pyarrow.int64(), "text": pyarrow.string(), "truth": pyarrow.bool_()}
    arrays = [pyarrow.array(list(column.entries), types[column.kind]) for column in columns]
    table = pyarrow.Table.from_arrays(arrays, names=[column.name for column in columns])
    pyarrow.parquet.write_table(table, stream, compression="zstd")
