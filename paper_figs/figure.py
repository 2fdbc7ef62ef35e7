"""Spec: one figure, how its table is measured and how it is drawn from the table; `make` does both."""

from __future__ import annotations

import io
import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

import ravine as rv
from paper_figs.table import Table, read_table


@dataclass(frozen=True)
class Quality:
    """How much to measure. full: for print. seed: of every draw."""

    full: bool = False
    seed: int = 0

    def pick(self, quick: int, full: int) -> int:
        """The first for a quick look, the second for print."""
        return full if self.full else quick


@dataclass(frozen=True)
class Spec:
    """One figure. name: of its files. caption: what it shows, one or two sentences. measure: quality -> table. draw:
    table -> figure; None where `encode` makes the only picture. encode: ending -> (table -> bytes), for anything but
    PDF and SVG. needs_solver: measuring takes the extra `worst-case`."""

    name: str
    caption: str
    measure: Callable[[Quality], Table]
    draw: Callable[[Table], Figure] | None = None
    encode: tuple[tuple[str, Callable[[Table], bytes]], ...] = ()
    needs_solver: bool = False


def make(spec: Spec, out: Path, quality: Quality = Quality(), *, redraw: bool = False) -> list[Path]:
    """Measure, save OUT/NAME.csv, draw from what was saved; the files, each whole.

    redraw: take the table that lies there. Raises InputError where there is none, or not one that can be read.
    """
    target = out / f"{spec.name}.csv"
    if not redraw:
        table = spec.measure(quality)
        table.header = {**_provenance(spec, quality), **table.header}
        _write(target, table.text().encode())
    table = _saved(target)
    made = [target]
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it remarks on the dates of matplotlib's own fonts
    with rv.style.styled():
        if spec.draw is not None:
            figure = spec.draw(table)
            for ending, metadata in (("pdf", {"CreationDate": None}), ("svg", {"Date": None})):
                stream = io.BytesIO()
                figure.savefig(stream, format=ending, metadata=metadata)
                made.append(_write(out / f"{spec.name}.{ending}", stream.getvalue()))
        for ending, encode in spec.encode:
            made.append(_write(out / f"{spec.name}.{ending}", encode(table)))
    return made


def make_all(specs: Sequence[Spec], out: str | Path) -> None:
    """`main` of a group: every figure of it, quick."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for spec in specs:
        for file in make(spec, folder):
            print(file)


def _saved(target: Path) -> Table:
    try:
        return read_table(target.read_bytes().decode())
    except FileNotFoundError:
        raise rv.InputError(f"out holds no table {target.name!r} to draw from; leave out --redraw once") from None
    except (ValueError, OSError) as error:
        raise rv.InputError(f"the table {str(target)!r} cannot be read: {error}; delete it") from None


def _provenance(spec: Spec, quality: Quality) -> dict[str, str]:
    command = f"ravine figures {spec.name} --seed {quality.seed}" + (" --full" if quality.full else "")
    versions = {"ravine": rv.__version__, "python": platform.python_version(), **rv.versions()}
    return {
        "figure": spec.name,
        "shows": spec.caption,
        "command": command,
        "seed": str(quality.seed),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _write(target: Path, content: bytes) -> Path:
    rv.write_whole(target, lambda stream: stream.write(content))
    return target
