"""ravine bench."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ravine.commands.common import AGREE, JsonFile, bench_app, open_console, write_json
from ravine.version import __version__

if TYPE_CHECKING:
    pass


@bench_app.command("engine", epilog="Example:  ravine bench engine --json engine.json")
def bench_engine(
    quick: Annotated[bool, typer.Option("--quick", help="Shorter runs, wider spread.")] = False,
    json_file: JsonFile = None,
) -> int:
    """Steps per second of the engine on W1, W2, W3 beside a hand-written loop and vectorised NumPy."""
    from ravine.files import check_target

    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from experiments.bench.engine import bench_engine as measure
    from experiments.bench.engine import table

    rows = measure(quick=quick, on_row=lambda row: print(f"measured {row.workload}", file=sys.stderr))
    open_console().print(table(rows))
    if target is not None:
        write_json(target, {"version": __version__, "rows": [row.as_json() for row in rows]})
    return AGREE
