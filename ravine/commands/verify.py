"""ravine verify."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError
from ravine.commands.common import (
    Jobs,
    JsonFile,
    Plugin,
    Seed,
    app,
    exit_code,
    load,
    matching,
    open_console,
    read_count,
    read_jobs,
    write_json,
)
from ravine.commit import commit
from ravine.version import __version__

if TYPE_CHECKING:
    from experiments.verify.verify import ClaimResult


@app.command(epilog="Examples:  ravine verify   |   ravine verify 'unified-sam/*' --seed 1 --json out.json")
def verify(
    glob: Annotated[list[str] | None, typer.Argument(help="Patterns of claim ids; default all.")] = None,
    profile: Annotated[str, typer.Option(help="quick, or full for many more instances.")] = "quick",
    seed: Seed = "0",
    jobs: Jobs = None,
    store: Annotated[
        str | None, typer.Option(help="Keep every finished result in this SQLite file, as soon as it is there.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="With --store: measure only what is missing there.")] = False,
    plugin: Plugin = None,
    json_file: JsonFile = None,
) -> int:
    """Verify claims: run every check and every control, and give one verdict a claim."""
    from ravine.files import check_target

    added = load(plugin)
    if resume and store is None:
        raise InputError("resume needs a store to take results from, got none; add --store FILE")

    if profile not in ("quick", "full"):
        raise InputError(f"profile must be quick or full, got {profile!r}")
    ids = matching(glob)
    first = read_count(seed, "seed", least=0)
    workers = read_jobs(jobs)
    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from contextlib import nullcontext

    from experiments.engine.run import Progress
    from experiments.report.tables import sharpness_lines, verify_lines
    from experiments.store import Store, code_fingerprint
    from experiments.verify.class_wide import UNAVAILABLE_SENTENCE
    from experiments.verify.verify import verify as run_verify
    from ravine.progress import reporting
    from theory.worst_case.estimation import available

    started = time.perf_counter()
    fingerprint = code_fingerprint([added] if added else []) if store is not None else ""
    opened = Store.open(store, fingerprint=fingerprint) if store is not None else nullcontext(None)
    with opened as kept, reporting("verify") as reporter:
        results = run_verify(
            ids,
            seed=first,
            profile="full" if profile == "full" else "quick",
            workers=workers,
            store=kept,
            resume=resume,
            progress=Progress(),
            on_plan=reporter.expect,
            on_done=lambda claim: reporter.show(reporter.done + 1, claim),
        )
    seconds = time.perf_counter() - started
    if target is not None:
        write_json(target, _verify_json(results, first, profile, seconds))
    console = open_console()
    for line in verify_lines(results):
        console.print(line, highlight=False)
    if profile == "full":
        for line in sharpness_lines(results):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    for result in results:
        if result.reason:
            text = f"{result.claim.id}: {result.verdict.value}: {result.reason}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    rows = sum(r.instances for r in results)
    controls = [c for r in results for c in r.controls]
    refuted = sum(c.refuted for c in controls)
    console.print(
        f"{len(results)} claim{'s' * (len(results) != 1)}, {rows} instances, "
        f"{refuted} of {len(controls)} controls refuted, seed {first}, profile {profile}, {seconds:.0f} s",
        highlight=False,
    )
    if not available():
        console.print(UNAVAILABLE_SENTENCE, highlight=False, markup=False, soft_wrap=True)
    return exit_code(results)


def _verify_json(results: list[ClaimResult], seed: int, profile: str, seconds: float) -> dict[str, Any]:
    return {
        "version": __version__,
        "commit": commit(),
        "seed": seed,
        "profile": profile,
        "seconds": seconds,
        "claims": [result.as_json() for result in results],
    }
