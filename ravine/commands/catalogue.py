"""ravine list, ravine show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ravine.commands.common import Plugin, app, load, matching, open_console

if TYPE_CHECKING:
    from theory.claim import Claim


@app.command("list", epilog="Example:  ravine list 'unified-sam/*'")
def list_claims(
    glob: Annotated[list[str] | None, typer.Argument(help="Patterns of claim ids; default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    plugin: Plugin = None,
) -> None:
    """List the claims by paper: id, kind, provenance, title."""
    load(plugin)
    from theory.claim import Provenance, claims

    chosen = [claims[claim_id] for claim_id in matching(glob)]
    rows = [(c.id, c.kind.value, c.source.provenance.value, str(c.source)) for c in chosen]
    if as_json:
        print(
            json.dumps([dict(zip(("id", "kind", "provenance", "source"), row, strict=True)) for row in rows], indent=1)
        )
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("claim", no_wrap=True)
    for heading in ("kind", "provenance", "in the paper", "title"):
        table.add_column(heading, overflow="fold")
    papers = list(dict.fromkeys(claim.source.paper for claim in chosen))
    console = open_console()
    for number, paper in enumerate(papers, 1):
        own = [claim for claim in chosen if claim.source.paper == paper]
        for claim in own:
            shape = "shape of " if claim.source.provenance is Provenance.DERIVED and claim.source.number else ""
            place = shape + (claim.source.number or "")
            words = claim.kind.value, claim.source.provenance.value, place, claim.title
            table.add_row(f"[{number}] {claim.id}", *words, end_section=claim is own[-1])
    console.print(table, markup=False)
    for number, paper in enumerate(papers, 1):
        console.print(f"[{number}] {paper}", highlight=False, markup=False, soft_wrap=True)


@app.command(epilog="Example:  ravine show unified-sam/pl-constant")
def show(claim_id: Annotated[str, typer.Argument(metavar="ID", help="A claim's id.")], plugin: Plugin = None) -> None:
    """Show one claim: statement, hypotheses, provenance, sharpness, controls."""
    load(plugin)
    from theory.claim import claims

    claim = claims[claim_id]
    lines = [
        f"{claim.id}: {claim.title}",
        "",
        f"  kind        {claim.kind.value}",
        f"  provenance  {claim.source.provenance.value}: {claim.source.note}",
        f"  source      {claim.source}",
        f"  measured    {claim.measure.value}",
        f"  method      {claim.method}",
        "",
        "statement (LaTeX)",
        f"  {claim.statement}",
        "",
        "hypotheses",
        *(f"  {h.text}" for h in claim.hypotheses),
    ]
    if claim.named_constants:
        lines += ["", "named constants", *(f"  {name}: {meaning}" for name, meaning in claim.named_constants.items())]
    lines += _sharpness_lines(claim) + _bracket_lines(claim)
    lines += ["", "controls, each of which the check must refute", *(f"  {control.name}" for control in claim.controls)]
    if claim.corrected:
        lines += ["", f"corrected statement: {claim.corrected}"]
    lines += [f"remark: {remark}" for remark in claim.remarks]
    lines += ["", "written proof, where there is one", f"  ravine derive {claim.id}"]
    lines += ["", "cite", f"  {claim.source.paper}"]
    print("\n".join(lines))


def _bracket_lines(claim: Claim) -> list[str]:
    """Stored brackets: each constant over a whole class of functions."""
    from experiments.verify.brackets import stored
    from theory.worst_case.estimation import CLASSES

    known = stored(claim.id)
    if not known:
        return []
    head = f"over every function that is {CLASSES[known[0].function_class]}, the inequality for one full step:"
    lines = ["", head]
    for bracket in known:
        width = f"; width {bracket.width:.1%}" if bracket.width < 10 else ""
        lines.append(f"  {bracket.constant}: {bracket.sentence}{width}")
        lines.append(f"    tightest at {bracket.certified_at}")
    return [*lines, f"  ravine worst-case {claim.id}"]


def _sharpness_lines(claim: Claim) -> list[str]:
    """The corpus of a claim: how much stronger each constant could be, and the instance that stops it."""
    from experiments.verify.corpus import entries
    from experiments.verify.sharpness import reading
    from theory.claim import claims

    known = entries(claim.id)
    if not known:
        return []
    lines = ["", "sharpness: the critical scale of each constant, on the sharpest instance stored"]
    for entry in known:
        lines += [
            f"  {entry.constant} {entry.scale:.6g}: {reading(entry.constant, entry.scale, up=entry.up)}",
            f"    {claims.replay_command(claim.id, entry.replay)}",
        ]
    return lines
