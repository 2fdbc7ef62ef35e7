"""ravine bench engine and ravine bench kernels."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from problems.errors import InputError
from ravine.commands.common import AGREE, JsonFile, bench_app, open_console, read_count, write_json
from ravine.version import __version__

Quick = Annotated[bool, typer.Option("--quick", help="Shorter runs, wider spread.")]


@bench_app.command("engine", epilog="Example:  ravine bench engine --json engine.json")
def bench_engine(quick: Quick = False, json_file: JsonFile = None) -> int:
    """Steps per second of the textbook tier on W1, W2, W3 beside a hand-written loop and vectorised NumPy."""
    from ravine.files import check_target

    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from experiments.bench.engine import bench_engine as measure
    from experiments.bench.engine import table

    rows = measure(quick=quick, on_row=lambda row: print(f"measured {row.workload}", file=sys.stderr))
    open_console().print(table(rows))
    if target is not None:
        write_json(target, {"version": __version__, "rows": [row.as_json() for row in rows]})
    return AGREE


@bench_app.command("kernels", epilog="Example:  ravine bench kernels W1 W3 --json kernels.json")
def bench_kernels(
    names: Annotated[list[str] | None, typer.Argument(help="W1 W2 W3 W4a W4b W5; default all.")] = None,
    quick: Quick = False,
    repeats: Annotated[str, typer.Option(help="Turns of each way.")] = "5",
    json_file: JsonFile = None,
) -> int:
    """The fast tier beside the textbook tier, a C loop compiled on the spot, NumPy and JAX, in one run."""
    from ravine.files import check_target

    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None
    turns = read_count(repeats, "repeats")

    from experiments.bench import kernels, roofline

    for name in names or ():
        if name not in kernels.WORKLOADS:
            raise InputError(f"workload must be one of {', '.join(kernels.WORKLOADS)}, got {name!r}")
    limits = roofline.measure()
    print("measured the machine", file=sys.stderr)
    rows = kernels.bench_kernels(
        tuple(names or ()),
        quick=quick,
        repeats=turns,
        on_row=lambda row: print(f"measured {row.workload.name}", file=sys.stderr),
    )
    console = open_console()
    console.print(kernels.table(rows, limits))
    for line in (*kernels.remarks(rows), *limits.lines()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if target is not None:
        content = {
            "version": __version__,
            "quick": quick,
            "machine": limits.as_json(),
            "rows": [row.as_json() for row in rows],
        }
        write_json(target, content)
    return AGREE
