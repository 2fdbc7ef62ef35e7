"""ravine worst-case ID: how much stronger each constant of a claim could be over a whole class of functions."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from problems.errors import InputError
from ravine.commands.common import AGREE, INCONCLUSIVE, open_console, write_json

if TYPE_CHECKING:
    from experiments.verify.brackets import ConstantBracket

ROUTE = "brackets"


def show_brackets(
    claim_id: str,
    *,
    constants: Sequence[str] | None,
    solver: str,
    store: str | None,
    full: bool,
    jobs: int,
    keep: bool,
    json_target: Path | None,
) -> int:
    """Measure the brackets of a claim, but for what the store has of them, and print them. Exit 3 where nothing is
    certified."""
    from experiments.store import Store, code_fingerprint
    from experiments.verify.brackets import FOLDER, as_text, bracket_file, measure, to_records
    from ravine.files import make_folder, write_whole
    from ravine.progress import reporting
    from theory.claim import claims

    claim = claims[claim_id]
    names = list(constants or claim.named_constants)
    for name in names:
        if name not in claim.named_constants:
            allowed = ", ".join(claim.named_constants) or "no named constants"
            raise InputError(f"constant {name!r} is none of {claim_id}; it has {allowed}")
    if keep and constants:
        raise InputError("keep stores every constant of a claim; leave out --constant")
    if keep:
        make_folder(str(FOLDER), argument="keep")
    opened = Store.open(store, fingerprint=code_fingerprint([])) if store is not None else nullcontext(None)
    started = time.perf_counter()
    with opened as kept, reporting(f"worst case {claim_id}") as reporter:
        brackets = measure(
            claim, constants=names, jobs=jobs, solver=solver, full=full, on_plan=reporter.expect,
            on_done=lambda: reporter.show(reporter.done + 1),
            saved=None if kept is None else lambda key: kept.get(claim_id, key, ROUTE),
            save=None if kept is None else lambda key, found, took: kept.put(claim_id, key, ROUTE, found, took),
        )  # fmt: skip
    _print(claim_id, brackets, time.perf_counter() - started)
    if json_target is not None:
        write_json(json_target, {"id": claim_id, "solver": solver, "brackets": to_records(brackets)})
    if keep:
        file = bracket_file(claim_id, FOLDER)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, lambda stream: stream.write(as_text(brackets).encode()))
        print(f"kept in {file}")
    return AGREE if brackets and all(b.unsolved < b.cells for b in brackets) else INCONCLUSIVE


def _shown(scale: float) -> str:
    return f"{scale:.4g}" if math.isfinite(scale) else "-"


def _print(claim_id: str, brackets: Sequence[ConstantBracket], seconds: float) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console = open_console()
    if not brackets:
        console.print(f"{claim_id}: its inequality for one step reads none of these constants", highlight=False)
        return
    table = Table(box=SIMPLE_HEAD)
    for column in ("constant", "certified", "refuted", "width", "stronger is", "settings"):
        table.add_column(column, justify="left" if column in ("constant", "stronger is") else "right")
    for b in brackets:
        table.add_row(
            b.constant, _shown(b.certified), _shown(b.refuted), f"{b.width:.1%}" if b.width < 10 else "open",
            "larger" if b.up else "smaller", str(b.cells) + (f", {b.unsolved} unsolved" if b.unsolved else ""),
        )  # fmt: skip
    console.print(f"{claim_id}: the inequality that its proof iterates, over a whole class", highlight=False)
    console.print(table)
    for b in brackets:
        lines = [f"{b.constant}: certified {b.certified:.6g}, at its tightest for {b.certified_at}"]
        if b.by:
            lines.append(f"  refuted {b.refuted:.6g} by {b.by}, at {b.refuted_at}")
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    problems = sum(b.problems for b in brackets)
    console.print(
        "1 is the theorem's own constant; certified: dual values, up to the solver's tolerance; "
        f"{problems} problems, {seconds:.0f} s",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
