"""Axes: the values that one quantity takes in a sweep, as a list for grids or a distribution for random draws."""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from problems.errors import InputError, nearest

Value = float | int | str

UNITS = ("1", "1/L")
"""What a number on an axis of gamma or rho is in: itself, or a multiple of 1/L with L = max(L_f, L_S)."""

LARGEST_WHOLE = 2**53
"""Whole numbers up to here are exact in float64, so that a range of them holds what it says."""


class Rule(NamedTuple):
    """What an axis may hold. numbers: whether it holds numbers. texts: what its texts are, empty if it holds none.
    low, high: closed limits of the numbers. positive: 0 is not allowed. whole: only whole numbers. units: numbers may
    be multiples of 1/L."""

    numbers: bool
    texts: str = ""
    low: float = -math.inf
    high: float = math.inf
    positive: bool = False
    whole: bool = False
    units: bool = False

    @property
    def words(self) -> str:
        """What is allowed, for people."""
        if not self.numbers:
            return self.texts
        number = "a whole number" if self.whole else "a finite number"
        if self.positive:
            number += " > 0"
        elif self.high < math.inf:
            number += f" in [{self.low:.16g}, {self.high:.16g}]"
        elif self.low > -math.inf:
            number += f" >= {self.low:g}"
        return f"{number} or {self.texts}" if self.texts else number


TEXT = Rule(numbers=False, texts="a text")
RULES: dict[str, Rule] = {
    "problem": TEXT,
    "sampling": TEXT,
    "method": TEXT,
    "x0": TEXT,
    "lam": Rule(numbers=True, texts="a schedule", low=0.0, high=1.0),
    "gamma": Rule(numbers=True, texts="a schedule", low=0.0, positive=True, units=True),
    "rho": Rule(numbers=True, texts="a schedule", low=0.0, units=True),
    "seed": Rule(numbers=True, low=0, high=LARGEST_WHOLE, whole=True),
}
"""The axes that every sweep has, in the order in which a grid runs through them: the last one changes fastest."""

VARIABLE = Rule(numbers=True, texts="a text")
"""An axis of the user's own name, which stands as {name} in the texts of the others."""

MOST_CELLS = 10_000_000
"""Of one sweep: the table of its results is made in memory, about two kilobytes a cell."""

KEYS = ("from", "to", "count", "scale", "values", "unit", "whole")


@dataclass(frozen=True)
class Axis:
    """One axis. values: of a grid, or the choices of a draw; empty for a distribution over [low, high].

    log: the distribution is uniform in the logarithm. whole: it is over whole numbers, both ends included.
    unit: one of UNITS, of the numbers.
    """

    name: str
    values: tuple[Value, ...]
    unit: str = "1"
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def numeric(self) -> bool:
        """It holds numbers only."""
        return not any(isinstance(value, str) for value in self.values)

    @property
    def varies(self) -> bool:
        """It has more than one value."""
        return len(self.values) != 1

    def draw(self, seed: int, number: int) -> Value:
        """The value of cell `number`: a function of the seed, the number and the axis's name alone, so that neither
        a longer sweep nor another axis changes it."""
        if len(self.values) == 1:
            return self.values[0]
        rng = np.random.default_rng([seed, number, zlib.crc32(self.name.encode())])
        if self.values:
            return self.values[int(rng.integers(len(self.values)))]
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        if self.whole and not self.log:
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        number_ = low + (high - low) * float(rng.random())
        drawn = min(max(math.exp(number_), self.low), self.high) if self.log else number_
        return round(drawn) if self.whole else drawn


def read_axis(name: str, entry: Any, rule: Rule, *, drawn: bool, place: str) -> Axis:
    """The axis that a value, a list or a table of the file describes.

    drawn: the sweep draws at random, so that {from, to} is a distribution and a list holds choices. place: where the
    entry stands, for the message. Raises InputError for anything that `rule` does not allow.
    """
    if not isinstance(entry, Mapping):
        return Axis(name, _values(entry if isinstance(entry, list) else [entry], rule, place, drawn=drawn))
    for key in entry:
        if key not in KEYS:
            raise InputError(f"{place} has the unknown key {key!r}; {nearest(key, KEYS)}")
    unit = entry.get("unit", "1")
    if unit not in UNITS:
        raise InputError(f"unit of {place} must be {' or '.join(map(repr, UNITS))}, got {unit!r}")
    if unit != "1" and not rule.units:
        raise InputError(f"unit of {place} must be left out, got {unit!r}; only gamma and rho have units")
    if "values" in entry:
        if extra := sorted(set(entry) - {"values", "unit"}):
            raise InputError(f"{place} gives both values and {extra[0]!r}; a range has from and to, a list has values")
        values = entry["values"]
        return Axis(name, _values(values if isinstance(values, list) else [values], rule, place, drawn=drawn), unit)
    return _range(name, entry, rule, unit, drawn=drawn, place=place)


def _range(name: str, entry: Mapping[str, Any], rule: Rule, unit: str, *, drawn: bool, place: str) -> Axis:
    if not rule.numbers:
        raise InputError(f"{place} must be {rule.words} or a list of them, got a table")
    for key in ("from", "to"):
        if key not in entry:
            raise InputError(f"{place} lacks the key {key!r}; a range has from, to and count, a list values")
    whole = entry.get("whole", rule.whole)
    if not isinstance(whole, bool) or (rule.whole and not whole):
        raise InputError(f"whole of {place} must be true{'' if rule.whole else ' or false'}, got {whole!r}")
    limits = rule._replace(whole=whole, texts="")
    low, high = (_number(entry[key], limits, f"{key} of {place}") for key in ("from", "to"))
    if not low < high:
        raise InputError(f"{place} must run from a number to a larger one, got from = {low!r}, to = {high!r}")
    scale = entry.get("scale", "linear")
    if scale not in ("linear", "log"):
        raise InputError(f"scale of {place} must be 'linear' or 'log', got {scale!r}")
    if scale == "log" and not low > 0:
        raise InputError(f"from of {place} must be > 0 for scale 'log', got {low!r}")
    if drawn:
        if "count" in entry:
            raise InputError(f"count of {place} must be left out, got {entry['count']!r}; a draw is counted in [draw]")
        return Axis(name, (), unit, float(low), float(high), scale == "log", whole)
    if whole and "count" not in entry and scale == "linear":
        if high - low >= MOST_CELLS:
            raise InputError(f"{place} must hold at most {MOST_CELLS:,} values, got {high - low + 1:,}; give a count")
        return Axis(name, tuple(range(int(low), int(high) + 1)), unit, whole=True)
    if "count" not in entry:
        raise InputError(f"{place} lacks the key 'count'; a grid needs to know how many values, a draw a [draw] table")
    count = _number(entry["count"], Rule(numbers=True, low=2, high=MOST_CELLS, whole=True), f"count of {place}")
    points = np.geomspace(low, high, int(count)) if scale == "log" else np.linspace(low, high, int(count))
    if whole:
        return Axis(name, tuple(dict.fromkeys(round(float(point)) for point in points)), unit, whole=True)
    return Axis(name, tuple(float(point) for point in points), unit)


def _values(entries: list[Any], rule: Rule, place: str, *, drawn: bool) -> tuple[Value, ...]:
    if not entries:
        raise InputError(f"{place} must hold at least one value, got an empty list")
    values = tuple(_value(entry, rule, place) for entry in entries)
    seen: set[Value] = set()
    for value in () if drawn else values:
        if value in seen:
            raise InputError(f"{place} holds {value!r} twice; name each value once")
        seen.add(value)
    return values


def _value(entry: Any, rule: Rule, place: str) -> Value:
    if isinstance(entry, str):
        if not rule.texts or not entry.strip():
            raise InputError(f"{place} must be {rule.words}, got {entry!r}")
        return entry
    return _number(entry, rule, place)


def _number(entry: Any, rule: Rule, place: str) -> float | int:
    number = rule.numbers and isinstance(entry, int | float) and not isinstance(entry, bool)
    if (
        not (number and abs(entry) <= sys.float_info.max and rule.low <= entry <= rule.high)
        or (rule.positive and not entry > 0)
        or (rule.whole and entry != int(entry))
    ):
        raise InputError(f"{place} must be {rule.words}, got {entry!r}")
    whole = rule.whole or (rule is VARIABLE and isinstance(entry, int))
    return int(entry) if whole else float(entry)
