"""Worst cases over classes of functions: where unnormalised SAM contracts, and brackets of the theorems' constants.

python -m paper_figs.worst_cases FOLDER
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import letter
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Series, Table

Values = NDArray[np.float64]

# -- the region of steps that contract --

MU, FLATTER = 0.1, 0.01
THEOREM, RANGE = "unified-sam/pl-deterministic", "igd/pl-rate"
CLASSES = {"a": "strongly-convex", "b": "pl"}

STEPS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.8)
SHORT_STEPS = (0.1, 0.5, 0.9)
"""gamma L of the quick figure, for mu = MU L and for mu = FLATTER L."""


def measure_region(quality: Quality) -> Table:
    steps = np.linspace(0.05, 1.95, 39) if quality.full else np.array(STEPS)
    short = np.linspace(0.05, 0.95, 19) if quality.full else np.array(SHORT_STEPS)
    table = Table()
    plane = "gamma L, dimensionless", "rho L, dimensionless"
    for panel in ("a", "b", "c", "lines"):
        table.axes(panel, *plane)
    table.axes("factor", plane[0], "certified factor of f - inf f at the edge, dimensionless")
    for panel, function_class in CLASSES.items():
        add_edges(table, panel, function_class, MU, steps)
    add_edges(table, "c", CLASSES["b"], FLATTER, short)
    radii = np.union1d(np.linspace(0, 1 - 1e-9, 101), 1 / 3)  # both theorems end within 1e-9 of these
    for claim_id in (THEOREM, RANGE):
        longest = [rv.admitted_step(claim_id, mu=MU, rho=float(rho)) for rho in radii]
        table.add("lines", claim_id, longest, radii, role="bound")
    fine = np.geomspace(0.05, 2, 200)
    table.add("lines", "gamma L (1 + rho L) = 2", fine, [rv.parabola_edge(gamma) for gamma in fine], role="exact")
    table.header["solver"] = f"clarabel {version('clarabel')}, PEPit {version('pepit')}"
    table.header["reading"] = (
        "contraction is certified up to the edge; beyond that of strongly convex functions, and beyond gamma L (1 + "
        "rho L) = 2, x^2/2 does not contract; beyond that of PL functions nothing is known up to that line"
    )
    return table


def add_edges(table: Table, panel: str, function_class: str, mu: float, steps: Values) -> None:
    """The certified edge at these step sizes."""
    found = [rv.contraction_edge(function_class, mu, float(gamma)) for gamma in steps]
    name = f"{function_class}, mu = {mu:g}"
    table.add(panel, name, steps, [edge.rho for edge in found])
    table.add("factor", name, steps, [edge.factor_inside for edge in found])
    unsure = [f"gamma = {edge.gamma:g}, {edge.fault}" for edge in found if edge.fault]
    table.header[f"solver's faults, {name}"] = "; ".join(unsure) or "none"


HIGHEST = 3.2
"""rho L drawn; edges beyond are arrows."""

CORNER, WIDER = rv.style.COLOURS[1], rv.style.COLOURS[4]
TITLES = {"a": r"strongly convex, $\mu=0.1\,L$", "b": r"PL, $\mu=0.1\,L$", "c": r"PL, small steps"}


def draw_region(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.7))
    panels = dict(zip("abc", figure.subplots(1, 3), strict=True))
    for panel, axes in panels.items():
        _draw_lines(axes, table, low=0.96 if panel == "c" else 0.0)
        axes.set(xlabel=r"step size $\gamma L$", ylabel=r"radius $\rho L$")
        letter(axes, panel, TITLES[panel])
    for panel in CLASSES:
        (edges,) = table.of(panel)
        _draw_edges(panels[panel], edges, 0, 0.0, HIGHEST)
        panels[panel].set(xlim=(0, 2), ylim=(0, HIGHEST))
    panels["c"].set(xlim=(0, 1.05), ylim=(0.97, 1.11))
    (few,) = table.of("b")
    kept = few.x <= 1
    _draw_edges(panels["c"], few._replace(x=few.x[kept], y=few.y[kept]), 0, 0.97, 1.11)
    _draw_edges(panels["c"], table.of("c")[0], 2, 0.97, 1.11)
    figure.legend(handles=_region_legend(), loc="outside lower center", ncols=2)
    return figure


def _draw_lines(axes: Axes, table: Table, *, low: float) -> None:
    """What the theorems admit, and what no method of this kind can."""
    parabola = table.one("lines", "gamma L (1 + rho L) = 2")
    refuted: dict[str, Any] = {"facecolor": "#f0f0f0", "edgecolor": rv.style.PALE, "hatch": "////", "linewidth": 0.0}
    axes.fill_between(parabola.x, parabola.y, 100, zorder=0, **refuted)
    axes.plot(parabola.x, parabola.y, color=rv.style.INK, linewidth=1.2)
    wider, corner = table.one("lines", RANGE), table.one("lines", THEOREM)
    inside = wider.x > 0
    axes.fill_betweenx(wider.y[inside], wider.x[inside], color=WIDER, alpha=0.3, linewidth=0, zorder=0.5)
    axes.plot([0, wider.x[inside][-1]], [1, 1], color=WIDER, linewidth=1.2, linestyle=(0, (5, 2)))
    if low < corner.y[0] + 0.5:
        axes.fill_betweenx(corner.y, corner.x, color=CORNER, alpha=0.9, linewidth=0, zorder=0.6)


def _draw_edges(axes: Axes, edges: Series, number: int, low: float, high: float) -> None:
    """A line from the bottom to the edge at each step size; an arrow where the edge lies above the panel."""
    colour, known = rv.style.COLOURS[number], np.isfinite(edges.y)
    x, y = edges.x[known], edges.y[known]
    axes.vlines(x, low, np.minimum(y, high), color=colour, linewidth=0.9, zorder=2)
    size = 4.0 if len(x) < 15 else 2.8
    look: dict[str, Any] = {"color": colour, "linestyle": "none", "clip_on": False, "zorder": 3}
    for here, heights, marker in ((y <= high, y, rv.style.MARKERS[number]), (y > high, np.full(len(y), high), "^")):
        if here.any():  # the layout would make room for an empty line that is not clipped
            axes.plot(x[here], heights[here], marker=marker, markersize=size, **look)


NOT_CONTRACTED = r"$Lx^2/2$ does not contract"


def _region_legend() -> list[Line2D | Patch]:
    certified = {number: rv.style.COLOURS[number] for number in (0, 2)}
    words = {0: r"contraction certified up to here (arrow: further up), $\mu=0.1\,L$", 2: r"the same, $\mu=0.01\,L$"}
    return [
        *(
            Line2D([], [], color=colour, marker=rv.style.MARKERS[number], markersize=4, label=words[number])
            for number, colour in certified.items()
        ),
        Patch(facecolor=CORNER, alpha=0.9, label=r"Unified SAM, Corollary 3.4 with $\lambda=0$"),
        Patch(facecolor=WIDER, alpha=0.3, label=r"$\rho L<1$, $\gamma L(1+\rho L)<2$: derived, for PL"),
        Patch(facecolor="#f0f0f0", edgecolor=rv.style.PALE, hatch="////", linewidth=0, label=NOT_CONTRACTED),
        Patch(facecolor="white", edgecolor=rv.style.PALE, linewidth=0.7, label="white above an edge: not known"),
    ]  # fmt: skip


# -- brackets of constants --

LARGER, SMALLER = "larger is stronger", "smaller is stronger"
"""The two panels of the table: rates and step limits, and parts of a bound."""

CLASS_WORDS = {"strongly-convex": "strongly convex", "convex": "convex", "pl": "PL", "nonconvex": "smooth"}

AGREE = 0.01
"""Certified and refuted scales may cross by this much: brackets are searched to 1 %."""


def measure_brackets(quality: Quality) -> Table:
    """The stored brackets; nothing is measured anew."""
    return of_brackets(bracket for claim_id in sorted(rv.claims) for bracket in rv.brackets(claim_id))


def of_brackets(brackets: Iterable[Any]) -> Table:
    """A row for each constant: its certified scale (bound) and its refuted one (variant), where there is one."""
    table = Table()
    for panel in (LARGER, SMALLER):
        table.axes(panel, "scale of the constant, 1 = as stated, dimensionless; infinite where there is none", "row")
    for row, found in enumerate(brackets):
        panel, name = LARGER if found.up else SMALLER, f"{found.claim}: {found.constant.replace('_', ' ')}"
        table.add(panel, name, found.certified, row, role="bound")
        table.add(panel, name, found.refuted, row, role="variant")
        table.header[f"class of {found.claim}"] = found.function_class
        table.header[f"{found.constant} of {found.claim}, certified at"] = found.certified_at or "none"
        table.header[f"{found.constant} of {found.claim}, no certificate at"] = f"{found.unsolved} of {found.cells}"
        table.header[f"{found.constant} of {found.claim}, refuted at"] = found.refuted_at or "none"
        table.header[f"{found.constant} of {found.claim}, refuted by"] = found.by or "none"
    return table


ROW = 0.152
"""Inches a row."""

LOW, HIGH = 0.2, 5.0
"""The scales drawn; what lies beyond is an arrow at the edge."""

PLACES = 1.13, 1.37
"""Of the two columns of numbers, in widths of the axes."""

COLOUR = {LARGER: rv.style.COLOURS[0], SMALLER: rv.style.COLOURS[1]}
MARKER = {LARGER: ">", SMALLER: "<"}


def draw_brackets(table: Table) -> Figure:
    rows = sorted(
        ((certified, table.one(panel, certified.name, "variant"), panel)
         for panel in (LARGER, SMALLER) for certified in table.of(panel, "bound")),
        key=lambda row: row[0].y[0],
    )  # fmt: skip
    figure = Figure(figsize=(rv.style.DOUBLE, ROW * len(rows) + 1.35))
    figure.set_layout_engine("none")
    height = figure.get_size_inches()[1]
    axes = figure.add_axes((0.45, 0.95 / height, 0.37, 1 - 1.2 / height))
    across, last = axes.get_yaxis_transform(), ""
    axes.axvspan(0.9, 1.1, color="#e9e9e9", linewidth=0, zorder=0)
    axes.axvline(1.0, color=rv.style.INK, linewidth=0.9, zorder=1)
    for y, (certified, refuted, panel) in enumerate(rows):
        claim, _, constant = certified.name.partition(": ")
        if claim != last:
            words = CLASS_WORDS[table.header[f"class of {claim}"]]
            axes.text(-1.19, y, f"{claim}  ({words})", transform=across, fontsize=6.3, va="center")
            if y:
                axes.plot([-1.19, 1.46], [y - 0.5] * 2, transform=across, color=rv.style.FAINT, linewidth=0.6,
                          clip_on=False)  # fmt: skip
        axes.text(-0.04, y, constant, transform=across, fontsize=6.3, ha="right", va="center")
        _bracket(axes, y, float(certified.x[0]), float(refuted.x[0]), panel)
        last = claim
    for place, text in zip(PLACES, ("certified", "refuted"), strict=True):
        axes.text(place, -1.0, text, transform=across, fontsize=6.3, style="italic", ha="center", va="center")
    axes.set(xscale="log", xlim=(LOW, HIGH), ylim=(len(rows) - 0.4, -0.6), yticks=[])
    axes.set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("scale of the constant (1: as the theorem states it)")
    axes.spines["left"].set_visible(False)
    figure.legend(handles=_bracket_legend(rows), loc="lower center", ncols=3, borderaxespad=0.2, handlelength=1.6)
    return figure


def crossed(certified: float, refuted: float, panel: str) -> bool:
    """Whether what is certified is stronger than what is refuted, beyond what the search leaves."""
    ahead = certified - refuted if panel == LARGER else refuted - certified
    return ahead > AGREE * max(abs(refuted), AGREE)


def scale_words(certified: float, refuted: float, panel: str) -> tuple[str, str]:
    """Both sides in words: numbers, or what it means that there is none."""
    weak, strong = (-math.inf, math.inf) if panel == LARGER else (math.inf, -math.inf)
    if panel == SMALLER and certified == 0:
        first = "0: not needed"
    else:
        first = "none" if certified == weak else f"{certified:.4g}"
    return first, "none" if refuted == strong else f"{refuted:.4g}"


def _bracket(axes: Axes, y: float, certified: float, refuted: float, panel: str) -> None:
    colour, across = COLOUR[panel], axes.get_yaxis_transform()
    for place, text in zip(PLACES, scale_words(certified, refuted, panel), strict=True):
        axes.text(place, y, text, transform=across, fontsize=6.3, ha="center", va="center")
    if crossed(certified, refuted, panel):
        axes.plot(_within(certified, refuted), [y, y], color=rv.style.INK, linewidth=0.9, linestyle=(0, (4, 2)))
        axes.plot(_within(certified, refuted), [y, y], color=rv.style.INK, marker="X", markersize=5,
                  linestyle="none", clip_on=False)  # fmt: skip
        return
    left, right = sorted(_within(certified, refuted))
    axes.plot([left, right], [y, y], color=colour, linewidth=4.5, alpha=0.35, solid_capstyle="butt", zorder=2)
    for scale in (certified, refuted):
        if not LOW < scale < HIGH:
            end, towards = (HIGH, 1.0) if scale > 1 else (LOW, -1.0)
            axes.annotate("", xy=(end * 1.04**towards, y), xytext=(end / 1.5**towards, y), annotation_clip=False,
                          arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.0, "mutation_scale": 7,
                                      "shrinkA": 0, "shrinkB": 0})  # fmt: skip
    if LOW < certified < HIGH:
        axes.plot(certified, y, color=colour, marker=MARKER[panel], markersize=4, zorder=3)
    if LOW < refuted < HIGH:
        axes.plot(refuted, y, color=rv.style.INK, marker="|", markersize=7, markeredgewidth=1.1, zorder=4)


def _within(*scales: float) -> list[float]:
    return [min(max(scale, LOW), HIGH) for scale in scales]


def _bracket_legend(rows: list[tuple[Series, Series, str]]) -> list[Line2D | Patch]:
    found: list[Line2D | Patch] = []
    for panel in (LARGER, SMALLER):
        label = f"certified, {panel}"
        found.append(Line2D([], [], color=COLOUR[panel], marker=MARKER[panel], linestyle="none", label=label))
    found.append(Line2D([], [], color=rv.style.INK, marker="|", markersize=7, linestyle="none", label="refuted"))
    found.append(Patch(facecolor=rv.style.PALE, alpha=0.5, label="open (arrow: unbounded)"))
    found.append(Line2D([], [], color=rv.style.INK, linewidth=0.9, label="as the theorem states it"))
    found.append(Patch(facecolor="#e9e9e9", label="10 % about it"))
    if any(crossed(float(a.x[0]), float(b.x[0]), panel) for a, b, panel in rows):
        found.append(
            Line2D([], [], color=rv.style.INK, marker="X", linestyle=(0, (4, 2)), label="certified beyond refuted")
        )
    return found


FIGURES = (
    Spec(
        "worst-case-region",
        "Step sizes and radii at which one step of unnormalised SAM (full batch) is certified to bring f nearer to its "
        "infimum over a whole class. At every step size tried, strongly convex functions are certified to within "
        "0.001 of where L x^2/2 stops contracting (a); on PL functions the "
        "edge is a certificate, and above it nothing is known (b), but it falls to the derived range rho L < 1 with mu "
        "(c). Corollary 3.4 of Unified SAM covers a corner.",
        measure_region,
        draw_region,
        needs_solver=True,
    ),
    Spec(
        "brackets",
        "How much stronger each constant of an inequality for one full-batch step could be over the whole class of its "
        "claim: the scale that performance estimation certifies, up to the solver's tolerance, and the scale that a "
        "function of the class refutes. The theorem's own constant is 1.",
        measure_brackets,
        draw_brackets,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
