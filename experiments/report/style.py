"""The one style of every figure: widths, colours and what a line's look means.

Colour never carries meaning alone: a series has its own colour *and* marker, a role its own dash. The colours are those
of Okabe and Ito, which the colour-blind can tell apart and which differ in lightness on paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import matplotlib

SINGLE, DOUBLE = 3.5, 7.2
"""Widths in inches of a figure in one column of a journal page, and across both."""

INK, PALE, FAINT = "#1a1a1a", "#8c8c8c", "#d9d9d9"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b4b8a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

MEASURED, BOUND = COLOURS[0], COLOURS[1]
"""Where a figure shows one measurement and one bound."""


class Role(NamedTuple):
    """How a line of this role looks. markers: the points are shown."""

    dash: Any
    width: float
    markers: bool


ROLES = {
    "measured": Role("-", 1.2, True),
    "bound": Role((0, (5, 2)), 1.2, False),
    "exact": Role((0, (1, 1.2)), 1.8, False),
    "variant": Role((0, (6, 1.5, 1, 1.5)), 1.2, False),
}
"""measured: what a run gave. bound: what a theorem allows. exact: a closed form or a limit. variant: what something
else, broken or of other authors, gives."""

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": INK,
    "axes.axisbelow": True,
    "lines.markersize": 3.0,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "ravine",
    "path.simplify": True,
    "savefig.dpi": 200,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside this."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, SETTINGS))
        yield


def look(role: str, number: int = 0) -> dict[str, Any]:
    """Keywords for `Axes.plot` of the series of this number in this role. Raises KeyError for an unknown role."""
    kind = ROLES[role]
    found: dict[str, Any] = {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": kind.dash,
        "linewidth": kind.width,
    }
    if kind.markers:
        found["marker"] = MARKERS[number % len(MARKERS)]
    return found
