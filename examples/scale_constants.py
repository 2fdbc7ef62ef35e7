"""The constants of docs/scale.md, measured on this machine.

    python examples/scale_constants.py [cell] [parent] [store] [table] [processes] [dask]

Times are process times where one process works alone, wall times where several do.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from experiments.store import Store, code_fingerprint
from experiments.sweep.cell import Cell, run_cell, with_files
from experiments.sweep.spec import read_sweep
from experiments.sweep.table import columns_of, write_csv, write_parquet
from experiments.sweep.work import Chunk, Done, Orders, Pool

REGION = read_sweep(Path(__file__).with_name("unified_sam_region.toml"))
CELL = REGION.cell(0)
"""A cell of the example: d = 10, 2,000 steps, a claim."""


def per_call(call: Callable[[int], object], calls: int) -> float:
    """Process seconds of one call, the least of three rounds."""
    call(0)
    rounds = []
    for _ in range(3):
        started = time.process_time()
        for number in range(calls):
            call(number)
        rounds.append((time.process_time() - started) / calls)
    return min(rounds)


def _run(cell: Cell, _: int) -> None:
    run_cell(cell)


def cell() -> None:
    """What a worker spends: on a cell besides its steps, and on a step."""
    for name, one in (("with a claim", CELL), ("without", replace(CELL, claim=None))):
        short, long = (per_call(partial(_run, replace(one, steps=steps)), 100) for steps in (1, 20_001))
        print(f"cell {name}: {short * 1e6:.0f} us + {(long - short) / 2e4 * 1e9:.0f} ns a step")


def parent() -> None:
    """What the parent spends on making a cell and its key."""
    made = per_call(lambda number: with_files(REGION.cell(number)), 2000)
    key = per_call(lambda _: CELL.key, 2000)
    print(f"parent: {made * 1e6:.0f} us to make a cell, {key * 1e6:.0f} us for its key")


def store() -> None:
    """Bytes of a row, and rows a second."""
    row = run_cell(CELL)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for at_once, rows in ((1, 2000), (500, 20_000), (500, 500_000)):
            path = Path(folder, f"{at_once}-{rows}.db")
            keys = [REGION.cell(number % len(REGION)).key + f" {number}" for number in range(rows)]
            with Store.open(path, fingerprint="f") as kept:
                started, used = time.perf_counter(), time.process_time()
                for first in range(0, rows, at_once):
                    kept.put_all(("sweep", key, "cell", row, 0.001) for key in keys[first : first + at_once])
                wall, used = time.perf_counter() - started, time.process_time() - used
                started = time.perf_counter()
                for key in keys[:2000]:
                    kept.get("sweep", key, "cell")
                read = 2000 / (time.perf_counter() - started)
            print(
                f"store, {rows:,} rows by {at_once}: {rows / wall:,.0f} rows/s ({used / rows * 1e6:.0f} us of the "
                f"parent each), {path.stat().st_size / rows:.0f} bytes a row, {read:,.0f} rows/s read"
            )


def table() -> None:
    """Bytes and seconds of a row in the files that are written at the end."""
    rows = [run_cell(replace(REGION.cell(number), steps=50)) for number in range(len(REGION))]
    started = time.process_time()
    columns = columns_of(REGION, rows)
    made = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder:
        for ending, write in (("csv", write_csv), ("parquet", write_parquet)):
            path = Path(folder, f"x.{ending}")
            started = time.process_time()
            with path.open("wb") as stream:
                write(columns, stream)
            used = time.process_time() - started
            size = path.stat().st_size / len(rows)
            print(f"table as {ending}: {(made + used) / len(rows) * 1e6:.0f} us and {size:.0f} bytes a row")


def _round_trips(name: str, pool: Pool) -> None:
    """Milliseconds that a chunk costs besides its cells; chunks of many cells show what a cell adds on its way."""
    for cells in (0, 100):

        def chunks(count: int, cells: int = cells) -> Iterator[Chunk]:
            return (Chunk(tuple(range(k * 1000, k * 1000 + max(cells, 1))), (CHEAP,) * cells) for k in range(count))

        list(pool.run(chunks(20)))
        started, used = time.perf_counter(), time.process_time()
        seconds = sum(s for done in pool.run(chunks(300)) if isinstance(done, Done) for _, s in done.results)
        wall, used = time.perf_counter() - started, time.process_time() - used
        print(
            f"{name}, chunks of {cells} cells: {(wall - seconds / pool.size) / 300 * 1e3:.2f} ms a chunk besides its "
            f"cells, {used / 300 * 1e3:.2f} ms of the parent"
        )


CHEAP = replace(CELL, steps=1)


def processes() -> None:
    """Chunks through joblib's processes."""
    from experiments.sweep.processes import Processes

    _round_trips("processes", Processes(Orders(code_fingerprint()), 2, print))


def dask() -> None:
    """Chunks through a local Dask cluster."""
    from experiments.sweep.cluster import Cluster

    with Cluster(Orders(code_fingerprint()), "local", 2, print) as pool:
        _round_trips("Dask", pool)


if __name__ == "__main__":
    known = {"cell": cell, "parent": parent, "store": store, "table": table, "processes": processes, "dask": dask}
    wanted = sys.argv[1:] or list(known)
    if unknown := sorted(set(wanted) - set(known)):
        sys.exit(f"unknown measurement {unknown[0]!r}; known are {', '.join(known)}")
    for word in wanted:
        known[word]()
