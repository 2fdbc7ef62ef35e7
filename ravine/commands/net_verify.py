"""ravine net verify."""

from __future__ import annotations

import fnmatch
import platform
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from problems.errors import InputError, nearest
from ravine.commands.common import (
    AGREE,
    INCONCLUSIVE,
    VIOLATED,
    Jobs,
    JsonFile,
    Seed,
    open_console,
    read_count,
    read_jobs,
    write_json,
)
from ravine.commands.net import net_app
from ravine.version import __version__

if TYPE_CHECKING:
    from experiments.net.claim import NetworkResult


@net_app.command(
    "verify",
    epilog="Examples:  ravine net verify   |   ravine net verify 'net/*edge' --json out.json   |   "
    "ravine net verify --profile full --seed 100",
)
def net_verify(
    glob: Annotated[list[str] | None, typer.Argument(help="Patterns of network claims; default all.")] = None,
    profile: Annotated[str, typer.Option(help="quick, or full: longer runs, more networks.")] = "quick",
    seed: Seed = "0",
    jobs: Jobs = None,
    json_file: JsonFile = None,
) -> int:
    """Look at the network claims: the same claim objects on networks, with measured constants, and what was seen.

    Exit 0: everything decided and every control refuted, whether what was seen agrees with the statement or not: with
    estimated constants a disagreement is a result. Exit 1: a control not refuted. Exit 3: something undecided.
    """
    from experiments.net import require_torch
    from ravine.commit import commit
    from ravine.files import check_target

    require_torch()
    if profile not in ("quick", "full"):
        raise InputError(f"profile must be quick or full, got {profile!r}")
    first, workers = read_count(seed, "seed", least=0), read_jobs(jobs)
    target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    import torch

    from experiments.net.claim import network_claims
    from experiments.net.verify import effort_of, verify
    from ravine.progress import reporting

    ids = list(network_claims)
    if glob:
        chosen: set[str] = set()
        for pattern in glob:
            matched = fnmatch.filter(ids, pattern)
            if not matched:
                raise InputError(f"no network claim matches {pattern!r}; {nearest(pattern, ids)}")
            chosen.update(matched)
        ids = sorted(chosen)
    started = time.perf_counter()
    found = {}
    with reporting("net verify") as reporter:
        reporter.expect(len(ids))
        for result in verify(ids, effort=effort_of(profile, first), workers=workers):
            found[result.claim.id] = result
            reporter.show(len(found), result.claim.id)
    results = [found[claim_id] for claim_id in ids]
    seconds = time.perf_counter() - started
    if target is not None:
        content = {
            "version": __version__, "commit": commit(), "torch": torch.__version__, "device": "cpu",
            "python": platform.python_version(), "seed": first, "profile": profile, "seconds": seconds,
            "claims": [result.as_json() for result in results],
        }  # fmt: skip
        write_json(target, content)
    console = open_console()
    for line in _lines(results):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    refuted, controls = sum(r.controls_refuted for r in results), sum(r.controls for r in results)
    agree = sum(not r.reason for r in results)
    console.print(
        f"{len(results)} network claims, {agree} consistent (estimated constants), {refuted} of {controls} controls "
        f"refuted, seeds from {first}, profile {profile}, {seconds:.0f} s",
        highlight=False,
    )
    if any(r.controls_refuted < r.controls for r in results):
        return VIOLATED
    return AGREE if all(r.decided for r in results) else INCONCLUSIVE


def _lines(results: Sequence[NetworkResult]) -> Iterator[str]:
    from experiments.net.claim import Seen

    for result in results:
        yield f"{result.claim.id}: {result.verdict.value}" + (f": {result.reason}" if result.reason else "")
        judged = f" (judged by {result.claim.reuses})" if result.claim.reuses else ""
        yield f"    {result.claim.title}{judged}"
        for entry in result.found:
            mark = "    broken on purpose: " if entry.control else "    "
            if isinstance(entry, Seen):
                yield f"{mark}{entry}: {entry.word}"
            else:
                e = entry.evidence
                yield (
                    f"{mark}{entry.name}: {e.verdict.value}, measured {e.measured:.4g}, bound {e.bound:.4g}, "
                    f"{e.replicates} copies" + (f"; {e.reason}" if e.reason else "")
                )
