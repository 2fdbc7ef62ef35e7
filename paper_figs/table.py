"""Table: everything that a figure shows, as rows of numbers in a CSV file beside the picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

COLUMNS = ("panel", "series", "role", "x", "y", "low", "high")


class Series(NamedTuple):
    """One line, cloud or band of a panel. role: measured, bound, exact or variant. low, high: the ends of an interval
    about y, NaN where there is none. All of shape (K,)."""

    panel: str
    name: str
    role: str
    x: Values
    y: Values
    low: Values
    high: Values


@dataclass
class Table:
    """Rows of (panel, series, role, x, y, low, high), and a header of texts.

    header: what the file says above its rows: command, seed, versions, and what x and y are in each panel.
    """

    header: dict[str, str] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)

    def axes(self, panel: str, x: str, y: str) -> None:
        """Say what a panel's x and y are, with units or "dimensionless"."""
        self.header[f"panel {panel}"] = f"x = {x}; y = {y}"

    def add(
        self,
        panel: str,
        name: str,
        x: ArrayLike,
        y: ArrayLike,
        *,
        role: str = "measured",
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        """Add a series. x, y, low, high: numbers or arrays that broadcast to one shape (K,)."""
        parts = [np.nan if part is None else part for part in (low, high)]
        broadcast = np.broadcast_arrays(*(np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (x, y, *parts)))
        self.series.append(Series(panel, name, role, *(np.array(part) for part in broadcast)))

    def of(self, panel: str, role: str | None = None) -> list[Series]:
        """The series of a panel, in order; of one role where it is given."""
        return [s for s in self.series if s.panel == panel and role in (None, s.role)]

    def one(self, panel: str, name: str, role: str | None = None) -> Series:
        """The series of this name. Raises KeyError unless there is exactly one."""
        found = [s for s in self.of(panel, role) if s.name == name]
        if len(found) != 1:
            raise KeyError(f"{len(found)} series are called {name!r} in panel {panel!r}")
        return found[0]

    def text(self) -> str:
        """The CSV file: header lines after `#`, then the rows. Numbers come back exactly."""
        out = io.StringIO()
        for key, value in self.header.items():
            out.write(f"# {key}: {' '.join(value.split())}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self._rows():
            writer.writerow(row)
        return out.getvalue()

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for s in self.series:
            for numbers in zip(s.x, s.y, s.low, s.high, strict=True):
                yield s.panel, s.name, s.role, *(_written(float(number)) for number in numbers)


def _written(number: float) -> str:
    return "" if math.isnan(number) else repr(number)


def read_table(text: str) -> Table:
    """The table of a CSV file. Raises ValueError when it is not one."""
    lines = text.splitlines()
    header = {}
    while lines and lines[0].startswith("# "):
        key, colon, value = lines.pop(0)[2:].partition(": ")
        if not colon:
            raise ValueError(f"a header line must read '# key: value', got {key!r}")
        header[key] = value
    rows = list(csv.reader(lines))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ValueError(f"the columns must be {', '.join(COLUMNS)}, got {', '.join(rows[0]) if rows else 'none'}")
    table = Table(header)
    start = 1
    for end in range(2, len(rows) + 1):
        if end == len(rows) or rows[end][:3] != rows[start][:3] or not rows[end]:
            columns = zip(*(map(_read, row[3:]) for row in rows[start:end]), strict=True)
            panel, name, role = rows[start][:3]
            table.series.append(Series(panel, name, role, *(np.array(column) for column in columns)))
            start = end
    return table


def _read(text: str) -> float:
    return float(text) if text else math.nan
