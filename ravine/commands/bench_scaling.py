"""ravine bench scaling and ravine bench startup."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from problems.errors import InputError
from ravine.commands.common import AGREE, JsonFile, bench_app, open_console, write_json
from ravine.version import __version__

if TYPE_CHECKING:
    from rich.table import Table

MAPPED = "mapped"
"""Beside the axes: a data set that stays on disk."""


@bench_app.command("scaling", epilog="Example:  ravine bench scaling d tau --json scaling.json")
def bench_scaling(
    names: Annotated[
        list[str] | None, typer.Argument(help="d n tau replicates threads eigenbasis mapped; default all.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter runs, smaller values, wider spread.")] = False,
    json_file: JsonFile = None,
) -> int:
    """Cost of a step as d, n, tau, replicates and threads grow, on both tiers, with fitted exponents."""
    from ravine.files import check_target

    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from experiments.bench import scaling

    for name in names or ():
        if name != MAPPED and name not in scaling.AXES:
            raise InputError(f"axis must be one of {', '.join((*scaling.AXES, MAPPED))}, got {name!r}")
    axes = tuple(name for name in names or scaling.AXES if name != MAPPED)
    console = open_console()

    def show(title: str, table: Table, remark: str) -> None:
        console.print(title, highlight=False, markup=False, soft_wrap=True)
        console.print(table)
        console.print(f"{remark}\n", highlight=False, markup=False, soft_wrap=True)

    found = []
    for name in axes:
        found.append(scaling.bench_scaling(name, quick=quick))
        show(found[-1].axis.title, scaling.table(found[-1]), scaling.remark(found[-1]))
    disk = None
    if not names or MAPPED in names:
        disk = scaling.bench_mapped(quick=quick)
        show(scaling.mapped_title(disk), scaling.mapped_table(disk), scaling.mapped_remark(disk))
    if target is not None:
        content = {
            "version": __version__,
            "quick": quick,
            "axes": [axis.as_json() for axis in found],
            "mapped": None if disk is None else disk.as_json(),
        }
        write_json(target, content)
    return AGREE


@bench_app.command("startup", epilog="Example:  ravine bench startup --json startup.json")
def bench_startup(json_file: JsonFile = None) -> int:
    """Seconds until a command answers, an engine is compiled or loaded and a run is done, and whole-process memory."""
    from ravine.files import check_target

    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from experiments.bench import startup

    found = startup.bench_startup(on_part=lambda name: print(f"measured {name}", file=sys.stderr))
    console = open_console()
    for table in startup.tables(found):
        console.print(table)
    if target is not None:
        write_json(target, {"version": __version__, **found.as_json()})
    return AGREE
