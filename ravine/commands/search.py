"""ravine search."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from problems.errors import InputError
from ravine.commands.common import AGREE, VIOLATED, JsonFile, Plugin, Seed, app, load, read_count, write_json

if TYPE_CHECKING:
    from experiments.verify.search import Find


@app.command(epilog="Examples:  ravine search sgd/pl   |   ravine search unified-sam/pl-constant --constant rate")
def search(
    claim_id: Annotated[str, typer.Argument(metavar="ID", help="A claim's id.")],
    constant: Annotated[
        list[str] | None, typer.Option(help="A named constant, as often as you like; default all of them.")
    ] = None,
    budget: Annotated[str, typer.Option(help="Instances to try for each constant.")] = "20000",
    seed: Seed = "0",
    corpus: Annotated[
        str | None, typer.Option(help="Folder for finds sharper than its own; default the catalogue's.")
    ] = None,
    plugin: Plugin = None,
    json_file: JsonFile = None,
) -> int:
    """Search for the instance that leaves a claim's constants the least room. Exit 1 if one breaks the claim."""
    from ravine.files import check_target

    load(plugin)
    evaluations, first = read_count(budget, "budget"), read_count(seed, "seed", least=0)
    json_target = check_target(json_file, argument="json", endings=(".json",)) if json_file else None

    from theory.claim import Kind, claims

    claim = claims[claim_id]
    if claim.kind is Kind.EXACT:
        raise InputError(f"{claim_id} is an equality, nothing in it can be stronger; ravine check compares its digits")
    if not claim.searchable:
        raise InputError(
            f"{claim_id} is measured by its own trials, which search does not move through; use ravine check"
        )
    names = constant or list(claim.named_constants)
    for name in names:
        if name not in claim.named_constants:
            raise InputError(f"constant {name!r} is none of {claim_id}; it has {', '.join(claim.named_constants)}")

    from experiments.verify.corpus import FOLDER
    from experiments.verify.search import search as run_search
    from experiments.verify.sharpness import reading
    from ravine.progress import reporting

    folder = Path(corpus) if corpus is not None else FOLDER
    if corpus is not None and not folder.is_dir():
        raise InputError(f"corpus must name a folder that exists, got {corpus!r}")
    violated, found = False, []
    for number, name in enumerate(names):
        with reporting(f"search {name}") as reporter:
            reporter.expect(float(evaluations))
            started = time.perf_counter()
            find = run_search(
                claim, name, budget=evaluations, seed=first, on_evaluation=lambda spent, best: reporter.show(spent)
            )
        seconds = time.perf_counter() - started
        if find is None:
            print(f"{name}: no admissible instance says anything about it ({evaluations} tried, {seconds:.0f} s)")
            continue
        violated |= find.violated
        kept = _keep(find, folder, evaluations, first)
        found.append({**find.as_json(), "kept": kept})
        print(f"{name} {find.scale.sharpest:.6g}: {reading(name, find.scale.sharpest, up=find.scale.up)}")
        print(f"  by {find.route}, evaluation {find.evaluations} of {evaluations} ({find.space}), {seconds:.0f} s")
        print(f"  {claims.replay_command(claim_id, find.replay)}")
        print(f"  {kept}", flush=number == len(names) - 1)
    if json_target is not None:
        write_json(json_target, {"id": claim_id, "budget": evaluations, "seed": first, "finds": found})
    if not violated:
        return AGREE
    refuted = claim.kind is Kind.REFUTED
    print(f"{claim_id}: {'refuted, as it should be' if refuted else 'violated'} by an instance found here")
    return AGREE if refuted else VIOLATED


def _keep(find: Find, folder: Path, budget: int, seed: int) -> str:
    """Store a find that is sharper than what the corpus has; say what was done."""
    from experiments.verify.corpus import as_text, corpus_file, entries, sharper, with_entry
    from ravine.files import write_whole

    known = entries(find.claim, folder)
    entry = find.entry(f"search of {budget} evaluations, seed {seed}, {find.space}")
    file = corpus_file(find.claim, folder)
    if not sharper(entry, known):
        return "not sharper than what the corpus has"
    if not os.access(folder, os.W_OK):
        return f"not kept: {folder} cannot be written; name a folder with --corpus"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda stream: stream.write(as_text(with_entry(entry, known)).encode()))
    return f"kept in {file}"
