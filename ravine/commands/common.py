"""What the commands share: the application, exit codes, options that several take, and reading of their values."""

from __future__ import annotations

import fnmatch
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from experiments.verify.verify import ClaimResult

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="ravine: an executable catalogue of what is proved about sharpness-aware minimisation (SAM).",
    epilog="Examples:  ravine verify   |   ravine show unified-sam/pl-constant   |   "
    "ravine check unified-sam/pl-constant --problem ridge:data=diabetes,reg=0.1,scale=rows --sampling uniform",
)
bench_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure speed, as ratios within one run.")
app.add_typer(bench_app, name="bench")

AGREE, VIOLATED, BAD_INPUT, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 3, 130

ProblemSpec = Annotated[
    str, typer.Option("--problem", help="SPEC, e.g. quadratic:d=50,mu=0.1,L=1 or ridge:file=F,reg=0.1.")
]
SamplingSpec = Annotated[
    str, typer.Option("--sampling", help="full, uniform, importance, single:p=F.npy, tau-nice:tau=16, ...")
]
Seed = Annotated[str, typer.Option("--seed", help="A whole number >= 0.")]
Jobs = Annotated[str | None, typer.Option("--jobs", help="Threads; default one per core. Results do not depend on it.")]
Plugin = Annotated[
    str | None, typer.Option("--plugin", help="Run this Python file first: it adds claims, methods or problems.")
]
JsonFile = Annotated[str | None, typer.Option("--json", help="Write the result to this .json file.")]


def open_console() -> Console:
    from rich.console import Console

    # A pipe has no width; wide enough for every table, so that nothing wraps in logs and files.
    return Console() if sys.stdout.isatty() else Console(width=132, soft_wrap=False)


def read_count(text: str, argument: str, least: int = 1) -> int:
    from problems.problem import check_count
    from problems.spec import read_int

    return check_count(read_int(text, argument=argument), argument=argument, least=least)


def read_jobs(text: str | None) -> int:
    return read_count(text, "jobs") if text is not None else os.cpu_count() or 1


def matching(globs: list[str] | None) -> list[str]:
    """Ids of the claims that match any of the patterns, all of them by default."""
    from theory.claim import claims

    if not globs:
        return list(claims)
    chosen = []
    for pattern in globs:
        found = [claim for claim in claims if fnmatch.fnmatchcase(claim, pattern)]
        if not found:
            raise InputError(f"no claim matches {pattern!r}; {nearest(pattern, claims)}")
        chosen += found
    return sorted(set(chosen))


def exit_code(results: Sequence[ClaimResult]) -> int:
    """Of `verify` and `report`."""
    from experiments.verify.verdict import AGREES, Verdict

    if any(r.verdict is Verdict.VIOLATED or not all(c.refuted for c in r.controls) for r in results):
        return VIOLATED
    return AGREE if all(r.verdict in AGREES for r in results) else INCONCLUSIVE


def load(plugin: str | None) -> Path | None:
    """Run the user's file, where one is given."""
    if plugin is None:
        return None
    from ravine.plugin import load_plugin

    return load_plugin(plugin)


def write_json(target: Path, content: Any) -> None:
    from ravine.files import write_whole

    text = json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"
    write_whole(target, lambda stream: stream.write(text.encode()))


def _plain(content: Any) -> Any:
    """Numbers that JSON lacks become null."""
    if isinstance(content, dict):
        return {key: _plain(entry) for key, entry in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(entry) for entry in content]
    if isinstance(content, float) and not abs(content) < float("inf"):
        return None
    return content
