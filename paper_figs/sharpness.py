"""The sharpness profile of the catalogue: how much stronger each constant of each theorem could be.

python -m paper_figs.sharpness FOLDER
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

import ravine as rv
from paper_figs.figure import Spec, make_all
from paper_figs.table import Series, Table

LARGER, SMALLER = "larger is stronger", "smaller is stronger"
"""The two panels of the table: rates and step limits, and parts of a bound."""

SECOND = "sgd"
"""The first claim of the second figure, in the order of their names."""

ATTAINED = 1e-6
"""A theorem counts as attained when its critical scale is 1 up to this, the rounding of measurement and bisection."""


def half(part: int) -> list[str]:
    """The ids of one half of the catalogue, by paper in the order in which papers first come up, then by name."""
    chosen = [claim_id for claim_id in sorted(rv.claims) if (claim_id < SECOND) == (part == 1)]
    papers = list(dict.fromkeys(rv.claims[claim_id].source.paper for claim_id in chosen))
    return sorted(chosen, key=lambda claim_id: papers.index(rv.claims[claim_id].source.paper))


def measure(claim_ids: Sequence[str]) -> Table:
    """Every critical scale of these claims, with the paper and the command that repeats the instance."""
    table, row, silent = Table(), 0, []
    for panel in (LARGER, SMALLER):
        table.axes(panel, "scale of the constant at which the bound fails, 1 = as stated, dimensionless", "row")
    for claim_id in claim_ids:
        claim = rv.claims[claim_id]
        refuted = claim.source.provenance.value == "refuted"
        found = rv.sharpness(claim_id)
        silent += [f"{claim_id}: {name}" for name in _unspoken(claim_id, found)]
        for entry in found:
            name = f"{claim_id}: {entry.constant.replace('_', ' ')}"
            scale = entry.scale
            panel, role = LARGER if scale.up else SMALLER, "variant" if refuted else "bound"
            table.add(panel, name, scale.sharpest, row, role=role, low=scale.low, high=scale.high)
            table.header[f"paper of {claim_id}"] = claim.source.paper
            table.header[f"instance for {entry.constant} of {claim_id} where {panel}"] = (
                f"ravine check {claim_id} {entry.replay}"
            )
            row += 1
    table.header["without an exact instance"] = "; ".join(silent) or "none"
    return table


def _unspoken(claim_id: str, found: list[rv.Sharpness]) -> list[str]:
    """Named constants of an inequality on which no entry speaks."""
    claim = rv.claims[claim_id]
    if claim.kind.value in ("equality", "order of convergence"):
        return []
    return [name for name in claim.named_constants if name not in {entry.constant for entry in found}]


# -- drawing --

ROW = 0.139
"""Inches a row."""

LOW, HIGH = 0.035, 9.0
"""The scales drawn; what lies beyond is an arrow at the edge."""

COLOUR = {LARGER: rv.style.COLOURS[0], SMALLER: rv.style.COLOURS[1]}
MARKER = {LARGER: ">", SMALLER: "<"}


def draw(table: Table) -> Figure:
    rows = sorted(((s, panel) for panel in (LARGER, SMALLER) for s in table.of(panel)), key=lambda row: row[0].y[0])
    claims = [s.name.partition(": ")[0] for s, _ in rows]
    papers = [table.header[f"paper of {claim}"] for claim in claims]
    lines = len(rows) + len(dict.fromkeys(papers))
    figure = Figure(figsize=(rv.style.DOUBLE, ROW * lines + 0.95))
    figure.set_layout_engine("none")
    height = figure.get_size_inches()[1]
    axes = figure.add_axes((0.385, 0.75 / height, 0.445, 1 - 0.85 / height))
    y, last_paper, last_claim = 0, "", ""
    for (s, panel), claim, paper in zip(rows, claims, papers, strict=True):
        if paper != last_paper:
            _heading(axes, y, paper)
            y += 1
        if claim != last_claim:
            axes.text(-0.85, y, claim, transform=axes.get_yaxis_transform(), fontsize=6.3, va="center")
        _row(axes, y, s, panel)
        y, last_paper, last_claim = y + 1, paper, claim
    axes.axvline(1.0, color=rv.style.INK, linewidth=0.9, zorder=1)
    axes.set(xscale="log", xlim=(LOW, HIGH), ylim=(y - 0.4, -0.6), yticks=[])
    axes.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2, 5], ["0.05", "0.1", "0.2", "0.5", "1", "2", "5"])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("scale of the constant (1: as the theorem states it)")
    axes.spines["left"].set_visible(False)
    figure.legend(handles=_legend(rows), loc="lower center", ncols=3, borderaxespad=0.2, handlelength=1.6)
    return figure


def _heading(axes: Axes, y: float, paper: str) -> None:
    short = textwrap.shorten(paper, 150, placeholder=" ...")
    across = axes.get_yaxis_transform()
    band = Rectangle((-0.86, y - 0.46), 2.22, 0.92, transform=across, clip_on=False, zorder=1.5)
    axes.add_patch(band).set(facecolor="#efefef", linewidth=0)
    axes.text(-0.85, y, short, transform=across, fontsize=6.0, style="italic", va="center")


def _row(axes: Axes, y: float, s: Series, panel: str) -> None:
    across, scale = axes.get_yaxis_transform(), float(s.x[0])
    axes.text(-0.02, y, s.name.partition(": ")[2], transform=across, fontsize=6.3, ha="right", va="center")
    axes.text(1.02, y, words(scale, panel), transform=across, fontsize=6.3, va="center")
    colour = COLOUR[panel]
    if s.role == "variant":
        edge = LOW * 1.15 if scale < LOW else HIGH / 1.15
        axes.plot([1, edge], [y, y], color=rv.style.INK, linewidth=0.9, linestyle=(0, (4, 2)))
        axes.plot(edge, y, color=rv.style.INK, marker="X", markersize=5)
    elif abs(scale - 1) <= ATTAINED:
        axes.plot(1, y, color=colour, marker="D", markersize=3.6, zorder=3)
    else:
        axes.barh(y, scale - 1, left=1, height=0.5, color=colour, alpha=0.35, linewidth=0)
        axes.plot(scale, y, color=colour, marker=MARKER[panel], markersize=4, zorder=3)


def words(scale: float, panel: str) -> str:
    """What a critical scale says."""
    if abs(scale - 1) <= ATTAINED:
        return "1, attained"
    number = f"{scale:.4g}" if f"{scale:.4g}" != "1" else f"{scale:.6g}"
    if panel == LARGER:
        return "none above 0" if scale < 0 else f"at most {number}"
    return f"at least {number}" if scale > 0 else "may be 0"


def _legend(rows: list[tuple[Series, str]]) -> list[Line2D | Patch]:
    found: list[Line2D | Patch] = []
    for panel in (LARGER, SMALLER):
        label = f"{panel}: refuted from here"
        found.append(Line2D([], [], color=COLOUR[panel], marker=MARKER[panel], linestyle="none", label=label))
    found.append(Line2D([], [], color=rv.style.INK, marker="D", markersize=3.6, linestyle="none", label="attained"))
    found.append(Line2D([], [], color=rv.style.INK, linewidth=0.9, label="as the theorem states it"))
    found.append(Patch(facecolor=rv.style.PALE, alpha=0.5, label="open: neither proved nor refuted"))
    if any(s.role == "variant" for s, _ in rows):
        found.append(Line2D([], [], color=rv.style.INK, marker="X", linestyle=(0, (4, 2)), label="refuted as stated"))
    return found


CAPTION = (
    "How much stronger each named constant of an inequality could be: the theorem, at scale 1, and the instance that "
    "refutes the least strengthening, of those found by stored searches, of tight families and, where a claim is about "
    "another quantity than f and its gradient along a run, of some drawn at random; all measured without sampling. "
    "Equalities and orders of convergence are left out, as are constants on which no exact instance speaks."
)

FIGURES = (
    Spec("sharpness-1", f"{CAPTION} Claims up to multistep.", lambda quality: measure(half(1)), draw),
    Spec("sharpness-2", f"{CAPTION} Claims from sgd on.", lambda quality: measure(half(2)), draw),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
