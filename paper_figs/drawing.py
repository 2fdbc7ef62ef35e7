"""What the drawings of several scripts share: series in the look of their roles, legends, slopes, panel letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

import ravine as rv
from paper_figs.table import Table, Values


def draw_series(
    axes: Axes,
    table: Table,
    panel: str,
    *,
    role: str | None = None,
    names: Sequence[str] | None = None,
    labels: bool = True,
    markers: bool = True,
) -> None:
    """Every series of a panel in the look of its role; series of one name share colour and marker.

    names: the order in which colours are given, by default that of the table. An interval is a pale band.
    """
    order = list(names) if names is not None else list(dict.fromkeys(s.name for s in table.of(panel)))
    for s in table.of(panel, role):
        look = rv.style.look(s.role, order.index(s.name))
        if not markers:
            look.pop("marker", None)
        elif "marker" in look:
            look["markevery"] = max(1, len(s.x) // 12)
        label = s.name if s.role == "measured" else f"{s.name}: {s.role}"
        axes.plot(s.x, s.y, label=label if labels else None, **look)
        if np.isfinite(s.low).any():
            axes.fill_between(s.x, s.low, s.high, color=look["color"], alpha=0.2, linewidth=0)


def letter(axes: Axes, text: str, title: str = "") -> None:
    """A bold panel letter and a short title above the panel, on the left."""
    axes.set_title(f"$\\bf{{{text}}}$  {title}" if title else f"$\\bf{{{text}}}$", loc="left")


def line(role: str, number: int, label: str) -> Line2D:
    """A legend entry for the series of this number in this role."""
    return Line2D([], [], label=label, **rv.style.look(role, number))


def role_lines(words: Mapping[str, str]) -> list[Line2D]:
    """Legend entries that say what a dash means, in ink: {role: text}."""
    return [
        Line2D([], [], **{**rv.style.look(role), "color": rv.style.INK}, label=text) for role, text in words.items()
    ]


GREEK = {
    "lambda": r"$\lambda$",
    "gamma": r"$\gamma$",
    "rho": r"$\rho$",
    "alpha": r"$\alpha$",
    "tau": r"$\tau$",
    "#": r"$\sharp$",
}


def typeset(text: str) -> str:
    """Greek names as letters: tables hold words."""
    for word, symbol in GREEK.items():
        text = text.replace(word, symbol)
    return text


def slope(axes: Axes, power: float, x: float, y: float) -> None:
    """A small triangle with its lower left corner at (x, y) that shows a slope on logarithmic axes."""
    axes.plot([x, 3 * x, 3 * x, x], [y, y, y * 3**power, y], color=rv.style.PALE, linewidth=0.8)
    axes.text(3.2 * x, y * 3 ** (power / 2), f"{power:g}", fontsize=7, color=rv.style.PALE, va="center")


def marked_bound(number: int, every: tuple[int, int]) -> dict[str, Any]:
    """The look of the bound on the measurement of this number: its marker, open, now and then."""
    marker = {"marker": rv.style.MARKERS[number], "markerfacecolor": "white", "markevery": every}
    return {**rv.style.look("bound", number), **marker}


def add_landscape(table: Table, panel: str, setting: rv.Setting, x: Values, y: Values) -> None:
    """f - f(x*) on a grid of the plane: a series for each y, called by it."""
    table.axes(panel, "x_1, dimensionless", "f - f(x*) on the line x_2 = the series' name, dimensionless")
    for height in y:
        values, _ = rv.evaluate(setting, np.stack([x, np.full(len(x), height)], axis=1))
        table.add(panel, repr(float(height)), x, values, role="exact")


def draw_landscape(axes: Axes, table: Table, panel: str, levels: int = 13) -> None:
    """Its contours, pale, those below 0 dashed."""
    rows = table.of(panel)
    values = np.array([row.y for row in rows])
    heights = np.linspace(values.min(), values.max(), levels + 2)[1:-1]
    look: dict[str, Any] = {"colors": rv.style.FAINT, "linewidths": 0.8, "negative_linestyles": (0, (4, 2))}
    axes.contour(rows[0].x, [float(row.name) for row in rows], values, levels=heights, zorder=0, **look)
