"""ravine derive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from problems.errors import InputError, nearest
from ravine.commands.common import AGREE, INCONCLUSIVE, Plugin, app, load

if TYPE_CHECKING:
    from theory.derivation import Derivation


@app.command(
    epilog="Examples:  ravine derive   |   ravine derive unified-sam/pl-constant   |   "
    "ravine derive dynamics/potential --latex > proof.tex"
)
def derive(
    name: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A claim or a derivation; default lists all.")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX document in place of text.")] = False,
    out: Annotated[str | None, typer.Option("--out", help="Write it to this .txt or .tex file instead.")] = None,
    plugin: Plugin = None,
) -> int:
    """Check a claim's written proof step by step and print it. Exit 3 if a step does not follow."""
    from ravine.files import check_target, write_whole

    load(plugin)
    if out is not None and name is None:
        raise InputError("out needs an ID whose derivation is written, got none; ravine derive lists them")
    target = check_target(out, argument="out", endings=(".tex",) if latex else (".txt",)) if out is not None else None
    if name is None:
        return _list()
    chosen = _chosen(name)
    lines = _latex(chosen) if latex else _text(chosen)
    text = "\n".join(lines) + "\n"
    if target is None:
        print(text, end="")
    else:
        write_whole(target, lambda stream: stream.write(text.encode()))
        print(f"written to {target}")
    return INCONCLUSIVE if any(derivation.faults() for derivation in chosen) else AGREE


def _chosen(name: str) -> tuple[Derivation, ...]:
    from theory.claim import claims
    from theory.derivation import derivations

    found = derivations.of(name) if name in claims else (derivations[name],) if name in derivations else ()
    if found:
        return found
    if name in claims:
        raise InputError(f"{name} has no derivation; ravine derive lists those there are")
    raise InputError(f"unknown claim or derivation {name!r}; {nearest(name, {*claims, *derivations})}")


def _text(chosen: tuple[Derivation, ...]) -> list[str]:
    from theory.derivation_text import text_lines

    lines: list[str] = []
    for derivation in chosen:
        faults = {checked.step.name: checked.fault for checked in derivation.run()}
        rest = [fault for fault in derivation.faults() if fault not in faults.values()]
        broken = sum(bool(fault) for fault in faults.values()) + len(rest)
        lines += [*([""] if lines else []), *text_lines(derivation, faults), *rest]
        lines.append(f"derivation checked: {len(derivation.steps)} steps" if not broken else f"{broken} faults")
    return lines


def _latex(chosen: tuple[Derivation, ...]) -> list[str]:
    from theory.derivation_text import PREAMBLE, latex_lines

    return [PREAMBLE, *(line for derivation in chosen for line in latex_lines(derivation)), r"\end{document}"]


def _list() -> int:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ravine.commands.common import open_console
    from theory.claim import claims
    from theory.derivation import derivations

    table = Table(box=SIMPLE_HEAD)
    for column in ("derivation", "steps", "title"):
        table.add_column(column, justify="right" if column == "steps" else "left")
    for derivation in derivations.values():
        table.add_row(derivation.id, str(len(derivation.steps)), derivation.title)
    console = open_console()
    console.print(table)
    without = [claim for claim in claims if not derivations.of(claim)]
    console.print(f"{len(derivations)} derivations of {len(claims) - len(without)} claims", highlight=False)
    if without:
        console.print("none of " + ", ".join(without), highlight=False, soft_wrap=True)
    return AGREE
