"""ravine schedules."""

from __future__ import annotations

from typing import Annotated

import typer

from ravine.commands.common import AGREE, JsonFile, Plugin, Seed, app, load, open_console, read_count, write_json


@app.command(epilog="Example:  ravine schedules --problem noisy-quadratic --gamma 0.2 --rho 0.05 --alpha 0.1 --batch 4")
def schedules(
    problem: Annotated[str, typer.Option(help="SPEC of a problem with bounded gradient variance.")] = "noisy-quadratic",
    gamma: Annotated[str, typer.Option(help="Largest step size, below 1/L.")] = "0.2",
    rho: Annotated[str, typer.Option(help="Radius, a number or a schedule.")] = "0.05",
    alpha: Annotated[str, typer.Option(help="GSAM's alpha; 0 is SAM.")] = "0.1",
    batch: Annotated[str, typer.Option(help="First batch size, drawn with replacement.")] = "4",
    every: Annotated[
        str | None, typer.Option(help="Steps after which the batch doubles; default a fifth of all.")
    ] = None,
    steps: Annotated[str, typer.Option(help="Number of steps.")] = "2000",
    replicates: Annotated[str, typer.Option(help="Copies of each run.")] = "500",
    seed: Seed = "0",
    plugin: Plugin = None,
    json_file: JsonFile = None,
) -> int:
    """Compare an increasing batch with decaying steps: gradients reached, what the bound promises, samples used."""
    from ravine.files import check_target

    load(plugin)
    horizon, copies = read_count(steps, "steps"), read_count(replicates, "replicates")
    size = read_count(batch, "batch")
    stage = read_count(every, "every") if every is not None else max(horizon // 5, 1)
    first = read_count(seed, "seed", least=0)
    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from experiments.engine.run import Progress
    from experiments.schedule_table import compare_schedules
    from problems.problem import check_positive, problems
    from problems.spec import read_float
    from ravine.progress import reporting, watching

    made = problems.build(problem)
    largest = check_positive(read_float(gamma, argument="gamma"), argument="gamma")
    progress = Progress()
    with reporting("schedules") as reporter:
        # The loop counts whole blocks of 1024 steps.
        reporter.expect(5.0 * (horizon // 1024 * 1024) * copies)
        with watching(reporter, lambda: float(progress.steps)):
            rows = compare_schedules(
                made,
                gamma=largest,
                rho=rho,
                alpha=read_float(alpha, argument="alpha"),
                batch=size,
                every=stage,
                steps=horizon,
                copies=copies,
                seed=first,
                progress=progress,
            )

    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("schedule")
    for heading in ("weighted average", "averaged bound", "least", "best window's bound", "samples"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.schedule,
            f"{row.average:.4f} +- {row.error:.1g}",
            f"{row.averaged_bound:.4f}",
            f"{row.least:.4g}",
            f"{row.window_bound:.4f}",
            f"{row.samples:,.0f}",
        )
    console = open_console()
    console.print(f"E||grad f||^2 of gsam:alpha={alpha} on {made.name}, {horizon} steps", highlight=False, markup=False)
    console.print(table)
    if target is not None:
        write_json(target, {"problem": made.name, "steps": horizon, "rows": [row.as_json() for row in rows]})
    return AGREE
