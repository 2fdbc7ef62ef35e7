"""ravine figures."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from problems.errors import InputError, nearest
from ravine.commands.common import AGREE, Seed, app, open_console, read_count, read_jobs

# `paper_figs` lies above the front door and is loaded by name, as a plugin is.


@app.command(
    epilog="Examples:  ravine figures --out figs   |   ravine figures unified-sam-radius --full --out figs   |   "
    "ravine figures --list"
)
def figures(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME ...]", help="Figures; default all.")] = None,
    out: Annotated[str, typer.Option(help="Folder for the tables and pictures; made if it is not there.")] = "figs",
    full: Annotated[bool, typer.Option("--full", help="Longer runs and finer grids, for print.")] = False,
    redraw: Annotated[bool, typer.Option("--redraw", help="Only draw the tables that lie in --out.")] = False,
    seed: Seed = "0",
    jobs: Annotated[str | None, typer.Option("--jobs", help="Processes; default one per core.")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Print each figure's name and what it shows.")] = False,
) -> int:
    """Regenerate the figures of the papers: for each a table (CSV), and the picture drawn from it (PDF, SVG)."""
    specs = importlib.import_module("paper_figs.catalogue").specs()
    console = open_console()
    if only_list:
        for spec in specs.values():
            console.print(f"{spec.name}\n    {spec.caption}", highlight=False, markup=False)
        return AGREE
    chosen = list(dict.fromkeys(names or specs))
    for name in chosen:
        if name not in specs:
            raise InputError(f"unknown figure {name!r}; {nearest(name, specs)}")
    quality = importlib.import_module("paper_figs.figure").Quality(full, read_count(seed, "seed", least=0))
    workers = read_jobs(jobs)

    from ravine.files import make_folder

    unsolved, reason = _without_solver([specs[name] for name in chosen], Path(out), redraw)
    if names and unsolved:
        raise InputError(f"{unsolved[0]}: {reason}")
    chosen = [name for name in chosen if name not in unsolved]
    folder = make_folder(out, argument="out")
    for name, files in _made(chosen, folder, quality, redraw, min(workers, len(chosen))):
        console.print(f"{name}: {', '.join(file.name for file in files)}", highlight=False, markup=False)
    for name in unsolved:
        console.print(f"{name} is left out: {reason}", highlight=False, markup=False)
    console.print(f"{len(chosen)} figures in {folder}", highlight=False, markup=False)
    return AGREE


def _without_solver(specs: list[Any], folder: Path, redraw: bool) -> tuple[list[str], str]:
    """Figures that need the extra `worst-case` where it is missing, and the sentence that says so. What lies there to
    be drawn again needs none."""
    from theory.worst_case.estimation import require

    measured = (spec for spec in specs if spec.needs_solver)
    wanting = [spec.name for spec in measured if not (redraw and (folder / f"{spec.name}.csv").exists())]
    try:
        require()
    except InputError as missing:
        return wanting, str(missing)
    return [], ""


def _made(chosen: list[str], folder: Path, quality: Any, redraw: bool, workers: int) -> list[tuple[str, list[Path]]]:
    """The files of each figure, in the order asked for, with progress as they are finished."""
    from joblib import Parallel, delayed

    from ravine.progress import reporting

    found = {}
    with reporting("figures") as reporter:
        reporter.expect(len(chosen))
        tasks = (delayed(make_named)(name, str(folder), quality, redraw) for name in chosen)
        # Processes: matplotlib's text layout is not made for threads.
        for name, files in Parallel(n_jobs=workers, return_as="generator_unordered")(tasks):
            found[name] = files
            reporter.show(len(found), name)
    return [(name, found[name]) for name in chosen]


def make_named(name: str, folder: str, quality: Any, redraw: bool) -> tuple[str, list[Path]]:
    """Make one figure, in whichever process this is."""
    from threadpoolctl import threadpool_limits

    spec = importlib.import_module("paper_figs.catalogue").specs()[name]
    # One thread: products of matrices round by how many threads take part.
    with threadpool_limits(1, user_api="blas"):
        return name, importlib.import_module("paper_figs.figure").make(spec, Path(folder), quality, redraw=redraw)
