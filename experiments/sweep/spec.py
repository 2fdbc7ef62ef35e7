"""The file that describes a sweep: read, checked, and turned into numbered cells.

steps = 2000                                  # of every cell
replicates = 1                                # of every cell whose sampling is random
claim = "unified-sam/pl-deterministic"        # optional: compare with this claim
target = 0.01                                 # optional: a run has contracted if its gap ends below this part

[axes]                                        # every combination
problem = "pl-sine:d=10,a={height}"           # a value, a list, or a table
gamma = { from = 0.01, to = 4, count = 100, scale = "log", unit = "1/L" }
rho = [0, 0.1]

[variables]                                   # optional axes of your own names
height = [1, 3]

[draw]                                        # optional: draw cells at random instead of taking every combination
count = 500
seed = 1
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from problems.errors import InputError, nearest
from problems.problem import check_count, check_memory
from problems.spec import spelled

from .axes import MOST_CELLS, RULES, VARIABLE, Axis, Value, read_axis
from .cell import Amount, Cell
from .columns import TAKEN

DEFAULTS: Mapping[str, Value] = {"sampling": "full", "x0": "start", "rho": 0.0, "seed": 0}
"""Of the axes that a file leaves out; lam is then the method's own, and the method that of the claim."""

FIXED = ("steps", "replicates", "claim", "target", "axes", "variables", "draw")

ROW = 256
"""Words of memory that one row takes, about: its result and its place in the table, most of it Python numbers."""


@dataclass(frozen=True)
class Sweep:
    """A sweep that has been read and checked.

    axes: the user's own variables first, then those of `RULES` that the file names or that have a default. draws: the
    number of random cells, 0 for a grid, whose cells are numbered with the last axis changing fastest.
    """

    axes: tuple[Axis, ...]
    steps: int
    replicates: int
    claim: str | None
    target: float = 1.0
    draws: int = 0
    draw_seed: int = 0

    def __len__(self) -> int:
        return self.draws or prod(len(axis.values) for axis in self.axes)

    @property
    def variables(self) -> tuple[Axis, ...]:
        """The axes of the user's own names."""
        return tuple(axis for axis in self.axes if axis.name not in RULES)

    def axis(self, name: str) -> Axis | None:
        """The axis of this name, if the sweep has it."""
        return next((axis for axis in self.axes if axis.name == name), None)

    def values(self, number: int) -> dict[str, Value]:
        """What each axis holds at cell `number` in 0..len - 1, texts with their variables filled in."""
        if self.draws:
            found = {axis.name: axis.draw(self.draw_seed, number) for axis in self.axes}
        else:
            found = {}
            for axis in reversed(self.axes):
                number, place = divmod(number, len(axis.values))
                found[axis.name] = axis.values[place]
        own = {axis.name: found[axis.name] for axis in self.variables}
        return {axis.name: _filled(found[axis.name], own) for axis in self.axes}

    def filled(self, text: str, number: int) -> str:
        """A text with {name} replaced by what that variable holds at cell `number`."""
        values = self.values(number)
        return str(_filled(text, {axis.name: values[axis.name] for axis in self.variables}))

    def cell(self, number: int) -> Cell:
        """Cell `number` in 0..len - 1, all that its result depends on."""
        values = self.values(number)
        units = {axis.name: axis.unit for axis in self.axes}
        gamma, rho = (Amount(_amount(values[name]), units[name]) for name in ("gamma", "rho"))
        return Cell(
            problem=str(values["problem"]),
            sampling=str(values["sampling"]),
            method=str(values["method"]) if "method" in values else None,
            x0=str(values["x0"]),
            gamma=gamma,
            rho=rho,
            lam=_amount(values["lam"]) if "lam" in values else None,
            seed=int(values["seed"]),
            steps=self.steps,
            replicates=self.replicates,
            claim=self.claim,
            target=self.target,
        )


def _amount(value: Value) -> float | str:
    return value if isinstance(value, str) else float(value)


_NAME = re.compile(r"\{(\w*)\}")


def _filled(value: Value, variables: Mapping[str, Value]) -> Value:
    """A text with {name} replaced by the variable's value."""
    if not isinstance(value, str) or "{" not in value:
        return value
    return _NAME.sub(lambda found: _spelled(variables[found[1]]), value)


def _spelled(value: Value) -> str:
    return spelled(value) if isinstance(value, float) else str(value)


def read_sweep(path: str | Path) -> Sweep:
    """The sweep of a TOML file. Raises InputError, naming the file and the key, for anything that is not allowed."""
    file = Path(path)
    try:
        content = tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise InputError(f"spec names a file that cannot be read: {str(path)!r} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"spec {str(path)!r} is not a text file in UTF-8; name a .toml file") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"spec {str(path)!r} cannot be read as TOML: {' '.join(str(error).split())}") from None
    try:
        return sweep_of(content)
    except InputError as error:
        raise InputError(f"spec {str(path)!r}: {error}") from None


def sweep_of(content: Mapping[str, Any]) -> Sweep:
    """The sweep that the tables of a TOML file describe. Raises InputError for anything that is not allowed."""
    for key in content:
        if key not in FIXED:
            where = "; it belongs in the table [axes]" if key in RULES else f"; {nearest(key, FIXED)}"
            raise InputError(f"unknown key {key!r}{where}")
    if "steps" not in content:
        raise InputError("the key 'steps' is missing; write steps = N, a whole number >= 1")
    steps = check_count(content["steps"], argument="steps")
    replicates = check_count(content.get("replicates", 1), argument="replicates")
    claim = content.get("claim")
    if claim is not None and not isinstance(claim, str):
        raise InputError(f"claim must be the id of a claim, got {claim!r}")
    target = content.get("target", 1.0)
    if not isinstance(target, int | float) or isinstance(target, bool) or not 0 < target <= 1:
        raise InputError(f"target must be a number in (0, 1], got {target!r}")
    draws, draw_seed = _read_draw(content)
    axes = _read_axes(content, drawn=draws > 0, claim=claim)
    sweep = Sweep(axes, steps, replicates, claim, float(target), draws, draw_seed)
    if len(sweep) > MOST_CELLS:
        raise InputError(f"a sweep may have at most {MOST_CELLS:,} cells, got {len(sweep):,}; split it into several")
    check_memory(ROW * len(sweep), what=f"the table of {len(sweep):,} cells")
    _check_variables(sweep)
    return sweep


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, Mapping):
        raise InputError(f"{name} must be a table, got {table!r}; write [{name}]")
    return table


def _read_draw(content: Mapping[str, Any]) -> tuple[int, int]:
    """The number of random cells, 0 for a grid, and the seed of the draws."""
    if "draw" not in content:
        return 0, 0
    table = _table(content, "draw")
    for key in table:
        if key not in ("count", "seed"):
            raise InputError(f"draw has the unknown key {key!r}; it takes count and seed")
    if "count" not in table:
        raise InputError("draw lacks the key 'count'; write count = N, a whole number >= 1")
    count = check_count(table["count"], argument="count of draw")
    return count, check_count(table.get("seed", 0), argument="seed of draw", least=0)


def _read_axes(content: Mapping[str, Any], *, drawn: bool, claim: str | None) -> tuple[Axis, ...]:
    given, own = _table(content, "axes"), _table(content, "variables")
    for name in given:
        if name not in RULES:
            raise InputError(f"axes has the unknown axis {name!r}; {nearest(name, RULES)}; own axes go to [variables]")
    for name in own:
        if name in (*RULES, *TAKEN) or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise InputError(f"variables must have names of letters and digits that no column has yet, got {name!r}")
    for name, example in (("problem", '"quadratic:d=10,mu=0.1,L=1"'), ("gamma", "0.1")):
        if name not in given:
            raise InputError(f"axes lacks the axis {name!r}; write {name} = {example}")
    if "method" not in given and claim is None:
        raise InputError("axes lacks the axis 'method'; write method = \"unified-sam:lam=0.5\", or name a claim")
    axes = [read_axis(name, entry, VARIABLE, drawn=drawn, place=f"variables.{name}") for name, entry in own.items()]
    for name, rule in RULES.items():
        if name in given or name in DEFAULTS:
            entry = given.get(name, DEFAULTS.get(name))
            axes.append(read_axis(name, entry, rule, drawn=drawn, place=f"axes.{name}"))
    return tuple(axes)


def _texts(sweep: Sweep) -> Iterator[tuple[str, str]]:
    for axis in sweep.axes:
        if axis.name in RULES:
            yield from ((axis.name, value) for value in axis.values if isinstance(value, str))


def _check_variables(sweep: Sweep) -> None:
    """Every {name} is a variable, and every variable stands somewhere."""
    known = {axis.name for axis in sweep.variables}
    used = set()
    for axis, text in _texts(sweep):
        for name in _NAME.findall(text):
            if name not in known:
                raise InputError(f"axes.{axis} names {{{name}}} in {text!r}, which [variables] does not have")
            used.add(name)
    if unused := sorted(known - used):
        raise InputError(f"variables.{unused[0]} stands in no text; write {{{unused[0]}}} where its value belongs")
