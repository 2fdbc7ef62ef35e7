"""ravine report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from problems.errors import InputError
from ravine.commands.common import (
    Jobs,
    Plugin,
    Seed,
    app,
    exit_code,
    load,
    matching,
    open_console,
    read_count,
    read_jobs,
)
from ravine.version import __version__

if TYPE_CHECKING:
    from experiments.verify.verify import ClaimResult


@app.command(
    epilog="Examples:  ravine report --out report   |   ravine report 'unified-sam/*' --out report   |   "
    "ravine report --store results.db --out report"
)
def report(
    glob: Annotated[list[str] | None, typer.Argument(help="Patterns of claim ids; default all.")] = None,
    out: Annotated[str, typer.Option(help="Folder for the pages; made if it is not there.")] = "report",
    store: Annotated[
        str | None, typer.Option(help="Take results from this store and keep new ones there; default OUT/store.db.")
    ] = None,
    profile: Annotated[str, typer.Option(help="quick, or full for many more instances.")] = "quick",
    seed: Seed = "0",
    jobs: Jobs = None,
    plugin: Plugin = None,
) -> int:
    """Write a report that stands on its own: HTML pages that need no network, the same as Markdown and JSON.

    What the store lacks is measured first. Exit codes are those of `ravine verify`.
    """
    from ravine.files import make_folder

    added = load(plugin)
    if profile not in ("quick", "full"):
        raise InputError(f"profile must be quick or full, got {profile!r}")
    ids = matching(glob)
    first = read_count(seed, "seed", least=0)
    workers = read_jobs(jobs)
    folder = make_folder(out, argument="out")

    from experiments.store import Store, code_fingerprint
    from experiments.verify.verify import verify
    from ravine.progress import reporting

    fingerprint = code_fingerprint([added] if added else [])
    kept_in = Path(store) if store is not None else folder / "store.db"
    with Store.open(kept_in, fingerprint=fingerprint) as kept, reporting("verify") as reporter:
        results = verify(
            ids, seed=first, profile="full" if profile == "full" else "quick", workers=workers, store=kept,
            resume=True, on_plan=reporter.expect, on_done=lambda claim: reporter.show(reporter.done + 1, claim),
        )  # fmt: skip

    from experiments.report.content import about_run, report_content
    from ravine.commit import commit

    words = ["ravine", "report", *(glob or []), "--profile", profile, "--seed", str(first)]
    words += ["--plugin", plugin] if plugin else []
    words += ["--store", store] if store is not None else []
    about = about_run(
        ravine=__version__, commit=commit(), made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), seed=first,
        profile=profile, fingerprint=fingerprint, command=shlex.join([*words, "--out", out]), store=kept_in.name,
    )  # fmt: skip
    content = report_content(results, about)
    files = _write(folder, content, results)
    console = open_console()
    summary = content["summary"]
    counted = ", ".join(f"{count} {verdict}" for verdict, count in summary["verdicts"].items())
    console.print(f"{summary['claims']} claims: {counted}", highlight=False)
    for name in summary["attention"]:
        result = next(result for result in results if result.claim.id == name)
        console.print(f"{name}: {result.verdict.value}: {result.reason}", highlight=False, markup=False, soft_wrap=True)
    size = sum(file.stat().st_size for file in files)
    console.print(f"{folder / 'index.html'} ({size / 1e6:.1f} MB with all pages)", highlight=False, markup=False)
    return exit_code(results)


def _write(folder: Path, content: dict[str, Any], results: Sequence[ClaimResult]) -> list[Path]:
    """Each file whole, the first page last: where it lies, all that it links to lies too."""
    from experiments.report.pages import html_pages, json_text, markdown_text, picture
    from ravine.files import write_whole
    from ravine.progress import reporting

    pictures: dict[str, tuple[str, str]] = {}
    with reporting("pictures") as reporter:
        reporter.expect(len(results))
        for result in results:
            pictures[result.claim.id] = picture(result, len(pictures))
            reporter.show(len(pictures), result.claim.id)
    texts = {"report.json": json_text(content), "report.md": markdown_text(content)}
    texts |= dict(reversed(html_pages(content, pictures).items()))
    for name, text in texts.items():
        write_whole(folder / name, lambda stream, text=text: stream.write(text.encode()))  # type: ignore[misc]
    return [folder / name for name in texts]
