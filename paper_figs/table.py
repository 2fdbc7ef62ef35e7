"""Table: everything that a figure shows, as rows of numbers in a CSV file beside the picture."""

from __future__ import annotations

import csv
import io
import itertools
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
    """Rows of (panel, series, role, x, y, low, high), and a header of texts. Neighbouring series of one panel, name and
    role are one series once saved, and a series without points is none.

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
        """Add a series. x, y, low, high: numbers or arrays that broadcast to one shape (K,).

        Raises ValueError for a panel, name or role of more than one line.
        """
        for text in (panel, name, role):
            if text.splitlines() != [text]:
                raise ValueError(f"panel, name and role must each be one line of text, got {text!r}")
        parts = [np.nan if part is None else part for part in (low, high)]
        broadcast = np.broadcast_arrays(*(np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (x, y, *parts)))
        self.series.append(Series(panel, name, role, *(np.array(part) for part in broadcast)))

    def mean(self, panel: str, name: str, x: ArrayLike, values: Values, *, role: str = "measured") -> None:
        """Add the mean over copies, values of shape (copies, K), with 2 standard errors on either side."""
        middle, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        self.add(panel, name, x, middle, role=role, low=middle - 2 * error, high=middle + 2 * error)

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
            if ": " in key or key.splitlines() != [key]:
                raise ValueError(f"the key of a header line must be one line without ': ', got {key!r}")
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
    """The table of a CSV file. Raises ValueError with a sentence when it is not one."""
    header, rest = {}, text
    while rest.startswith("# "):
        line, _, rest = rest.partition("\n")
        key, colon, value = line[2:].partition(": ")
        if not colon:
            raise ValueError(f"a header line must read '# key: value', got {line!r}")
        header[key] = value
    try:
        rows = list(csv.reader(io.StringIO(rest, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(f"the rows are not those of a CSV file: {error}") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ValueError(f"the columns must be {', '.join(COLUMNS)}, got {', '.join(rows[0]) if rows else 'none'}")
    table = Table(header)
    for names, together in itertools.groupby(enumerate(rows[1:], 1), key=lambda row: tuple(row[1][:3])):
        numbers = np.array([_numbers(number, row) for number, row in together])
        table.series.append(Series(*names, *numbers.T.copy()))
    return table


def _numbers(number: int, row: list[str]) -> list[float]:
    if len(row) != len(COLUMNS):
        raise ValueError(f"row {number} must have {len(COLUMNS)} entries, got {len(row)}")
    try:
        return [float(entry) if entry else math.nan for entry in row[3:]]
    except ValueError:
        raise ValueError(f"row {number} must hold numbers after its three names, got {', '.join(row[3:])}") from None
