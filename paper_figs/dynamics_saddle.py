"""How SAM leaves a lower 2-cycle of a quadratic, and which saddles trap it.

python -m paper_figs.dynamics_saddle FOLDER
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import letter, typeset
from paper_figs.dynamics import grid, path, sam
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]
Side = Literal["left", "right"]


# -- escape from a lower cycle --

LADDERS = (((1.0, 0.8), 0.6), ((1.0, 0.9), 1.0), ((1.0, 0.5), 1.0))
"""Eigenvalues and gamma. On the first |mu_1| = 1.975, and a tilt a thousand times smaller takes 10.15 steps more."""

RHO = 0.1
SHOWN_TILTS = (1e-3, 1e-6, 1e-9, 1e-12)


def tilted(h: tuple[float, float], gamma: float, delta: float) -> rv.Setting:
    """A start on the cycle along e_2, tilted by delta: r_2 (delta, 1)."""
    radius = rv.radii(rv.facts_of(sam(h, gamma, RHO)), np.array(h))[1]
    return sam(h, gamma, RHO, (delta * radius, radius))


def escape(h: tuple[float, float], gamma: float, delta: float, steps: int) -> tuple[Values, int]:
    """|g_1|/|g_2| along the run, and the first t at which it is 1 or more."""
    g = np.abs(path(tilted(h, gamma, delta), steps)) * h
    # Where nothing is left along e_2 the ratio is infinite.
    ratio = np.divide(g[:, 0], g[:, 1], out=np.full(len(g), np.inf), where=g[:, 1] > 0)
    return ratio, int(np.argmax(ratio >= 1))


def measure_escape(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "tilt delta, dimensionless", "first step with |g_1| >= |g_2|")
    table.axes("b", "step t", "|g_1|/|g_2|, dimensionless")
    for h, gamma in LADDERS:
        add_escapes(table, h, gamma)
    h, gamma = LADDERS[0]
    factor = _growth(h, gamma)
    for delta in SHOWN_TILTS:
        name = f"delta = {delta:g}"
        ratio, first = escape(h, gamma, delta, 60)
        start = ratio[0]
        times = np.arange(first + 4)
        table.add("b", name, times, ratio[: first + 4])
        table.add("b", name, times, start * factor**times, role="exact")
    return table


def _growth(h: tuple[float, float], gamma: float) -> float:
    """|mu_1| at the cycle on e_2."""
    return float(np.abs(rv.multipliers(rv.facts_of(sam(h, gamma, RHO)), np.array(h), 1)[0]))


def add_escapes(table: Table, h: tuple[float, float], gamma: float) -> None:
    """Escape times from the claim's tilts, counted on from the largest tilt's own, with the two bounds of the claim."""
    claim, setting = rv.claims["dynamics/escape-time"], sam(h, gamma, RHO)
    steps = math.ceil(2 * math.log(1e12) / math.log(_growth(h, gamma))) + 100
    late, early = (claim.measure(trial, setting, steps=steps) for trial in ("not later", "not earlier"))
    tilts = 10.0 ** -np.append(3, late.at)
    first = escape(h, gamma, 1e-3, steps)[1]
    name = f"lambda_2 = {h[1]:g}, gamma = {gamma:g}"
    table.add("a", name, tilts, first + np.append(0, late.measured))
    low, high = (first + trial.stated({}) for trial in (early, late))
    table.add("a", name, tilts[1:], (low + high) / 2, role="bound", low=low, high=high)


def draw_escape(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 2.9))
    times, growth = figure.subplots(1, 2)
    for number, s in enumerate(table.of("a", "measured")):
        times.plot(s.x, s.y, **{**rv.style.look("measured", number), "linestyle": "none"}, label=_named(s.name))
        bound = table.one("a", s.name, "bound")
        times.fill_between(bound.x, bound.low, bound.high, color=rv.style.COLOURS[number], alpha=0.2, linewidth=0)
        for end in (bound.low, bound.high):
            times.plot(bound.x, end, **{**rv.style.look("bound", number), "linewidth": 0.8})
    times.plot(
        [], [], **{**rv.style.look("bound"), "color": rv.style.INK, "linewidth": 0.8}, label="earliest and latest"
    )
    times.set(xscale="log", xlabel=r"tilt $\delta$", ylabel=r"first step with $|g_1|\geq|g_2|$", ylim=(0, 105))
    times.invert_xaxis()
    times.legend(loc="upper left")
    letter(times, "a", "escape time")
    for number, s in enumerate(table.of("b", "measured")):
        growth.plot(s.x, s.y, **{**rv.style.look("measured", number), "markevery": 3})
        exact = table.one("b", s.name, "exact")
        growth.plot(exact.x, exact.y, **rv.style.look("exact", number))
        growth.annotate(_named(s.name), (s.x[0], s.y[0]), (14, 0), textcoords="offset points", fontsize=7, va="center")
    growth.axhline(1, color=rv.style.PALE, linewidth=0.7)
    growth.plot([], [], **{**rv.style.look("measured"), "color": rv.style.INK}, label="runs")
    growth.plot([], [], **{**rv.style.look("exact"), "color": rv.style.INK}, label=r"exact: $|\mu_1|^t$")
    growth.set(yscale="log", xlabel="step $t$", ylabel=r"$|g_1|\,/\,|g_2|$")
    growth.legend(loc="lower right")
    letter(growth, "b", r"$\lambda_2=0.8$, $\gamma=0.6$")
    return figure


def _named(name: str) -> str:
    for power in (3, 6, 9, 12):
        name = name.replace(f"{10.0**-power:g}", f"$10^{{-{power}}}$")
    return typeset(name.replace("delta", r"$\delta$")).replace("$_2", "_2$")


# -- the window of negative curvature --

TRAP_GAMMA, TRAP_RHO = 0.5, 0.3
PUSH = 1e-8
"""Of the start off the cycle, in radii."""


def measure_saddle_trap(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "|lambda_j|/lambda_1, dimensionless", "gamma lambda_1, dimensionless")
    table.axes("map", "|lambda_j|/lambda_1, dimensionless", "1: trapped, 0: not, at gamma lambda_1 = the series' name")
    table.axes("b", "step t", "|w_j| over the radius of the cycle, dimensionless")
    ratios = np.geomspace(0.02, 30, quality.pick(56, 72))
    stiffnesses = np.linspace(0.06, 1.88, quality.pick(48, 64))
    for gamma in stiffnesses:
        table.add("map", repr(float(gamma)), ratios, [trapped(gamma, ratio) for ratio in ratios])
    fine = np.linspace(0.04, 1.92, 189)
    ends = np.array([rv.trap_window(rv.facts_of(sam((1.0, -1.0), gamma, TRAP_RHO))) for gamma in fine])
    for name, column in zip(("lower end", "upper end"), ends.T, strict=True):
        table.add("a", name, column, fine, role="exact")
    for ratio in (0.2, 0.5, 1.5):
        add_departure(table, ratio)
    return table


def trapped(gamma: float, ratio: float) -> float:
    """1 where a run from next to the cycle at the saddle (1, -ratio) comes nearer to it."""
    setting = sam((1.0, -ratio), gamma, TRAP_RHO)
    factor = abs(float(rv.multipliers(rv.facts_of(setting), np.array([1.0, -ratio]))[1]))
    # Eight e-foldings are what the claim asks of a run before it is judged.
    steps = math.ceil(8.1 / abs(math.log(factor)))
    return float(rv.claims["dynamics/saddle-trap"].measure("trapped", setting, steps=steps).measured[0])


def add_departure(table: Table, ratio: float) -> None:
    """|w_j| of a run that starts next to the cycle, and |mu_j|^t."""
    h = np.array([1.0, -ratio])
    facts = rv.facts_of(sam(tuple(h), TRAP_GAMMA, TRAP_RHO))
    radius = float(rv.radii(facts, h)[0])
    steps = 60
    w = path(sam(tuple(h), TRAP_GAMMA, TRAP_RHO, (radius, PUSH * radius)), steps)
    times, name = np.arange(steps + 1), f"lambda_j = {-ratio:g}"
    table.add("b", name, times, np.abs(w[:, 1]) / radius)
    table.add("b", name, times, PUSH * np.abs(rv.multipliers(facts, h)[1]) ** times, role="exact")


def draw_saddle_trap(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.1))
    chart, runs = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _draw_map(chart, table)
    for number, s in enumerate(table.of("b", "measured")):
        kept = s.y < 1e3
        runs.plot(s.x[kept], s.y[kept], **{**rv.style.look("measured", number), "markevery": 6})
        exact = table.one("b", s.name, "exact")
        kept = (exact.y > 1e-13) & (exact.y < 1)
        runs.plot(exact.x[kept], exact.y[kept], **rv.style.look("exact", number))
    for text, place in DEPARTURES.items():
        runs.text(*place, text, fontsize=7)
    runs.plot([], [], **{**rv.style.look("measured"), "color": rv.style.INK}, label="runs")
    runs.plot([], [], **{**rv.style.look("exact"), "color": rv.style.INK}, label=r"exact: $10^{-8}|\mu_j|^t$")
    runs.set(yscale="log", xlabel="step $t$", ylabel=r"$|w_j|\,/\,r_1$", ylim=(1e-16, 1e2))
    runs.legend(loc="lower left")
    letter(runs, "b", r"$\gamma\lambda_1=0.5$: from next to the cycle")
    return figure


ENDS: dict[str, tuple[str, tuple[float, float, Side]]] = {
    "lower end": (r"$|\lambda_j|=\dfrac{\gamma\lambda_1^2}{2-\gamma\lambda_1}$", (0.42, 0.72, "right")),
    "upper end": (r"$|\lambda_j|=\dfrac{2\lambda_1}{2-\gamma\lambda_1}$", (1.75, 0.55, "left")),
}

DEPARTURES = {
    "$\\lambda_j=-0.2$: escapes": (36, 5e-7),
    "$\\lambda_j=-0.5$: trapped": (36, 1e-9),
    "$\\lambda_j=-1.5$: escapes": (2, 0.1),
}


def _draw_map(axes: Axes, table: Table) -> None:
    x, y, caught = grid(table, "map")
    half = np.diff(np.log(x))[0] / 2
    across = np.exp(np.append(np.log(x) - half, math.log(x[-1]) + half))
    rise = (y[1] - y[0]) / 2
    along = np.append(y - rise, y[-1] + rise)
    cells = np.ma.masked_less(caught, 0.5)
    axes.pcolor(across, along, cells, hatch="////", cmap="Greys", vmin=0, vmax=6, edgecolor=rv.style.PALE, linewidth=0)
    for s in table.of("a", "exact"):
        axes.plot(s.x, s.y, **{**rv.style.look("exact"), "color": rv.style.INK})
        text, (ratio, height, side) = ENDS[s.name]
        axes.text(ratio, height, text, fontsize=7, ha=side, va="center")
    axes.plot([], [], **{**rv.style.look("exact"), "color": rv.style.INK}, label="ends of the window, exact")
    axes.fill_between([], [], [], facecolor="#e8e8e8", hatch="////", edgecolor=rv.style.PALE, label="trapped, measured")
    axes.legend(loc="upper left")
    axes.set(xscale="log", xlabel=r"negative curvature $|\lambda_j|/\lambda_1$", ylabel=r"$\gamma\lambda_1$",
             xlim=(across[0], across[-1]), ylim=(along[0], along[-1]))  # fmt: skip
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    for text, place in {"trapped": (0.35, 0.3), "escapes": (0.1, 1.1), "escapes ": (9, 1.1)}.items():
        axes.text(*place, text, fontsize=8, ha="center", va="center", bbox=box)
    letter(axes, "a", "measured, and the exact window")


FIGURES = (
    Spec(
        "dynamics-escape",
        "From the cycle on a lower eigenvector, tilted by delta, SAM escapes after ln(1/delta)/ln|mu_1| + O(1) steps: "
        "measured times between the two bounds of the claim, and the growth of the tilt.",
        measure_escape,
        draw_escape,
    ),
    Spec(
        "dynamics-saddle-trap",
        "Where the 2-cycle at a saddle attracts: runs over negative curvature and step size, the exact window, and "
        "three runs that start next to the cycle.",
        measure_saddle_trap,
        draw_saddle_trap,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
