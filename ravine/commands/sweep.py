"""ravine sweep."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError
from ravine.commands.common import (
    AGREE,
    INCONCLUSIVE,
    Plugin,
    app,
    load,
    open_console,
    read_count,
    read_jobs,
)

if TYPE_CHECKING:
    from experiments.sweep.run import Row
    from experiments.sweep.spec import Sweep

NAMED = 10
"""Failed cells that are named at the end; the table holds them all."""


@app.command(
    epilog="Examples:  ravine sweep examples/unified_sam_region.toml --out region.csv --figure region.svg   |   "
    "ravine sweep sweep.toml --store sweep.db --resume --out sweep.parquet   |   "
    "ravine sweep sweep.toml --dask tcp://10.0.0.1:8786 --store sweep.db --out sweep.csv"
)
def sweep(
    spec: Annotated[str, typer.Argument(metavar="SPEC.toml", help="What to run; docs/sweeps.md says how to write it.")],
    out: Annotated[str | None, typer.Option(help="Write the table here: .csv or .parquet.")] = None,
    figure: Annotated[
        str | None, typer.Option(help="Draw a sweep over two numeric axes to .svg, .png or .pdf.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Keep every finished cell in this SQLite file, as soon as it is there.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="With --store: run only the cells missing there.")] = False,
    jobs: Annotated[
        str | None, typer.Option(help="Worker processes; default one per core. Results do not depend on it.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Run on this Dask scheduler, tcp://HOST:PORT, or on a local cluster: local.")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="With --dask local: its worker processes.")] = None,
    plugin: Plugin = None,
) -> int:
    """Run every cell of a grid, or of random draws, of problems, methods, samplings, step sizes and seeds."""
    from ravine.files import check_target

    added = load(plugin)
    if out is None and store is None and figure is None:
        raise InputError("out is missing, and so are store and figure: nothing would be kept; add --out FILE.csv")
    if resume and store is None:
        raise InputError("resume needs a store to take results from, got none; add --store FILE")
    table_target = check_target(out, argument="out", endings=(".csv", ".parquet")) if out else None
    figure_target = check_target(figure, argument="figure", endings=(".svg", ".png", ".pdf")) if figure else None
    size = _pool_size(jobs, dask, workers)

    from experiments.sweep.check import check_sweep
    from experiments.sweep.spec import read_sweep
    from experiments.sweep.table import check_parquet

    plan = read_sweep(spec)
    check_sweep(plan)
    if table_target is not None and table_target.suffix == ".parquet":
        check_parquet()
    if figure_target is not None:
        from experiments.sweep.figure import axes_to_draw

        axes_to_draw(plan)
    rows = _run(plan, store, resume, dask, size, added)
    _write(plan, rows, table_target, figure_target)
    return _report(plan, rows, [str(target) for target in (table_target, store, figure_target) if target is not None])


def _pool_size(jobs: str | None, dask: str | None, workers: str | None) -> int | None:
    """Processes to use; None where the Dask scheduler has them."""
    if dask is None:
        if workers is not None:
            raise InputError(f"workers belongs to --dask local, got {workers!r}; use --jobs for processes without Dask")
        return read_jobs(jobs)
    if jobs is not None:
        raise InputError(
            f"jobs does not go with --dask, got {jobs!r}; leave it out, or use --workers with --dask local"
        )
    if dask == "local":
        return read_count(workers, "workers") if workers is not None else read_jobs(None)
    if workers is not None:
        raise InputError(f"workers belongs to --dask local, got {workers!r}; a running cluster has its own")
    return None


def _run(
    plan: Sweep, store: str | None, resume: bool, dask: str | None, size: int | None, plugin: Path | None
) -> list[Row]:
    from experiments.store import Store, code_fingerprint
    from experiments.sweep.run import run_sweep
    from experiments.sweep.work import Orders, Pool
    from ravine.plugin import load_plugin
    from ravine.progress import reporting

    files = [plugin] if plugin else []
    fingerprint = code_fingerprint(files)
    prepare = partial(load_plugin, plugin) if plugin else None
    orders = Orders(fingerprint, tuple(map(str, files)), prepare)

    def say(sentence: str) -> None:
        print(f"ravine: {sentence}", file=sys.stderr, flush=True)

    kept = None
    try:
        with ExitStack() as stack:
            kept = stack.enter_context(Store.open(store, fingerprint=fingerprint)) if store is not None else None
            pool: Pool
            if dask is None:
                from experiments.sweep.processes import Processes

                assert size is not None
                pool = Processes(orders, size, say)
            else:
                from experiments.sweep.cluster import Cluster

                pool = stack.enter_context(Cluster(orders, dask, size, say))
            reporter = stack.enter_context(reporting("sweep"))
            return run_sweep(
                plan, pool, store=kept, resume=resume, on_plan=reporter.expect, on_done=reporter.show, say=say
            )
    except KeyboardInterrupt:
        say(
            "interrupted; " + (f"what was finished is in {store}, --resume takes it up" if store else "nothing is kept")
        )
        raise


def _write(plan: Sweep, rows: list[Row], table: Path | None, figure: Path | None) -> None:
    from experiments.sweep.table import columns_of, write_csv, write_parquet
    from ravine.files import write_whole

    if table is not None:
        columns = columns_of(plan, rows)
        write = write_parquet if table.suffix == ".parquet" else write_csv
        write_whole(table, lambda stream: write(columns, stream))
    if figure is not None:
        from experiments.sweep.figure import sweep_figure

        drawn: Any = sweep_figure(plan, rows)
        kind = figure.suffix[1:]
        write_whole(figure, lambda stream: drawn.savefig(stream, format=kind, dpi=150))


def _report(plan: Sweep, rows: list[Row], written: list[str]) -> int:
    from experiments.sweep.run import failures

    console = open_console()
    failed = failures(rows)
    ran = [row for row in rows if row["status"] == "ok"]
    parts = [f"{len(rows):,} cells", f"{sum(row['contracted'] for row in ran):,} contracted"]
    parts.append(f"{sum(row['diverged'] > 0 for row in ran):,} diverged")
    if plan.claim is not None:
        parts.append(f"{sum(row['admissible'] for row in ran):,} inside the hypotheses of {plan.claim}")
    parts.append(f"{len(failed):,} failed")
    console.print("; ".join(parts), highlight=False, markup=False, soft_wrap=True)
    for number, reason in failed[:NAMED]:
        console.print(f"cell {number} {reason}", highlight=False, markup=False, soft_wrap=True)
    if len(failed) > NAMED:
        console.print(f"and {len(failed) - NAMED:,} more", highlight=False)
    console.print(f"wrote {', '.join(written)}", highlight=False, markup=False, soft_wrap=True)
    return INCONCLUSIVE if failed else AGREE
