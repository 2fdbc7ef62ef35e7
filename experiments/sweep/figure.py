"""The figure of a sweep over two numeric axes: how far each run came, and where the theorem speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from experiments.report import style
from problems.errors import InputError

from .axes import Axis
from .run import Row
from .spec import Sweep

Field = NDArray[np.float64]
Dash = Literal["solid", "dashed"]

DECADES = np.arange(-12, 3, 2)
"""Edges of the colours: powers of ten of the gap at the end over that at the start."""


def axes_to_draw(sweep: Sweep) -> tuple[Axis, Axis]:
    """The two axes of a figure, the one whose values change faster across it. Raises InputError unless the sweep is a
    grid that varies in two numeric axes and nothing else."""
    varying = [axis for axis in sweep.axes if axis.varies]
    if sweep.draws:
        raise InputError(f"figure needs a grid over two numeric axes, got {sweep.draws} random draws; leave it out")
    if len(varying) != 2 or not all(axis.numeric for axis in varying):
        found = ", ".join(axis.name for axis in varying) or "none"
        raise InputError(f"figure needs a grid that varies in two numeric axes, got {found}; leave it out")
    return varying[0], varying[1]


def sweep_figure(sweep: Sweep, rows: Sequence[Row]) -> Figure:
    """log10 of the gap at the end over the gap at the start, in steps of grey, as a function of two axes; a solid line
    around the cells that contracted, a dashed one around those that the claim admits, and hatching over those that
    diverged or failed. Raises InputError as `axes_to_draw`."""
    with style.styled():
        return _drawn(sweep, rows)


def _drawn(sweep: Sweep, rows: Sequence[Row]) -> Figure:
    slow, fast = axes_to_draw(sweep)
    shape = len(slow.values), len(fast.values)

    def field(entries: Sequence[float | bool]) -> Field:
        return np.array(entries, dtype=np.float64).reshape(shape)

    with np.errstate(divide="ignore", invalid="ignore"):
        reached = np.log10(field([_quotient(row) for row in rows]))
    across, up = (np.array(axis.values, dtype=np.float64) for axis in (fast, slow))
    figure = Figure(figsize=(style.DOUBLE, 5.0))
    panel = figure.subplots()
    mesh = panel.pcolormesh(
        across, up, np.ma.masked_invalid(np.clip(reached, -99, 99)), cmap="cividis", shading="nearest",
        norm=BoundaryNorm(DECADES, 256, extend="both"), rasterized=True,
    )  # fmt: skip
    bar = figure.colorbar(mesh, ax=panel, ticks=DECADES, label="gap at the end / gap at the start")
    bar.ax.set_yticklabels([f"$10^{{{power}}}$" for power in DECADES])
    handles: list[Line2D | Patch] = []
    gone = field([row.get("diverged", 1) > 0 for row in rows])
    if gone.any():
        panel.contourf(across, up, gone, levels=[0.5, 1.5], hatches=["xxx"], colors="none")
        handles.append(Patch(facecolor="none", edgecolor="black", hatch="xxx", label="diverged"))
    part = "" if sweep.target == 1 else f"{100 * sweep.target:g} % of "
    outlines: list[tuple[str, Dash, str, str]] = [
        ("contracted", "solid", "white", f"measured: gap ends below {part}its start")
    ]
    if sweep.claim is not None:
        outlines.append(("admissible", "dashed", "black", f"theorem: {sweep.claim}"))
    for column, dash, colour, label in outlines:
        inside = field([bool(row.get(column, False)) for row in rows])
        if 0 < inside.sum() < inside.size:
            _outline(panel, across, up, inside, dash, colour)
        handles.append(Line2D([], [], color=colour, linestyle=dash, linewidth=2, label=label))
    for axis, scale, name in ((fast, panel.set_xscale, panel.set_xlabel), (slow, panel.set_yscale, panel.set_ylabel)):
        scale("log" if _is_geometric(axis) else "linear")
        name(_title(axis))
    panel.set_title(_subtitle(sweep))
    # White lines need a dark ground, in the legend too; outside, where it hides nothing.
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=True, facecolor="0.75")
    return figure


def _quotient(row: Row) -> float:
    start, end = row.get("gap_start"), row.get("gap_end")
    return float("nan") if start is None or end is None or not start > 0 else end / start


def _outline(panel: Axes, across: Field, up: Field, inside: Field, dash: Dash, colour: str) -> None:
    """A line around the cells inside, edged so that it shows on light and dark."""
    for width, shade in ((3.5, "black" if colour == "white" else "white"), (1.8, colour)):
        panel.contour(across, up, inside, levels=[0.5], colors=shade, linestyles=dash, linewidths=width)


def _is_geometric(axis: Axis) -> bool:
    """Its values are spread by a factor rather than by a difference."""
    values = np.array(axis.values, dtype=np.float64)
    if len(values) < 3 or not (values > 0).all():
        return False
    steps, factors = np.diff(values), np.diff(np.log(values))
    return bool(np.ptp(factors) / abs(factors.mean()) < np.ptp(steps) / abs(steps.mean()))


NAMES = {"gamma": r"step size $\gamma$", "rho": r"radius $\rho$", "lam": r"mixing $\lambda$"}


def _title(axis: Axis) -> str:
    name = NAMES.get(axis.name, axis.name)
    return f"{name} in units of 1/L" if axis.unit == "1/L" else name


def _subtitle(sweep: Sweep) -> str:
    """What all cells share."""
    shared = [str(value) for name, value in sweep.values(0).items() if name in ("problem", "sampling", "method")]
    return f"{' / '.join(shared)}, {sweep.steps:,} steps"
