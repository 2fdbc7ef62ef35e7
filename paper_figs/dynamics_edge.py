"""The edge of stability of SAM (in the spirit of Long and Bartlett, JMLR 2024) and of USAM on quadratics.

python -m paper_figs.dynamics_edge FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import letter
from paper_figs.dynamics import grid, sam
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]

SPECTRUM = (1.0, 0.6, 0.3)
GAMMA, RHO = 0.8, 0.1
STARTS = {"from far away": (20.0, 20.0, 20.0), "from near by": (1e-4, 1e-4, 1e-3)}

LADDER = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1)
LADDER_STEPS = (0.3, 0.8, 1.5, 2.5)
"""gamma lambda_1 of the runs whose coordinates are looked at; beyond 2 they diverge."""

USAM_STEPS = 20_000


def measure_edge(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "step t", "curvature, dimensionless")
    table.axes("b", "lambda_i over SAM's edge at ||g_t||, dimensionless", "|w_{t+1,i}|/|w_{t,i}|, dimensionless")
    table.axes("c", "rho/gamma, dimensionless", "gamma lambda_1, dimensionless")
    table.axes("map", "rho/gamma, dimensionless", "1: the run converges, 0: not, at gamma lambda_1 = the series' name")
    for name, x0 in STARTS.items():
        add_edge(table, name, sam(SPECTRUM, GAMMA, RHO, x0))
    table.add("a", "lambda_1", [0, 60], SPECTRUM[0], role="exact")
    table.add("a", "2/gamma", [0, 60], float(rv.sam_edge(GAMMA, 0.0, np.ones(1))[0]), role="variant")
    for gamma in LADDER_STEPS:
        add_coordinates(table, gamma)
    _add_usam(table, quality)
    return table


def add_edge(table: Table, name: str, setting: rv.Setting, steps: int = 60) -> None:
    """SAM's edge along a run."""
    times = np.arange(steps + 1)
    norms = np.sqrt(rv.simulate(setting, steps=steps, times=times, tier="textbook").grad_norm2[0])
    table.add("a", name, times, rv.sam_edge(GAMMA, RHO, norms))


def add_coordinates(table: Table, gamma: float) -> None:
    """What one step multiplies each coordinate by, against its curvature over the edge."""
    h, steps = np.array(LADDER), 12
    times, places, factors = np.arange(steps + 1), [], []
    for size in (1e-3, 0.03, 1.0, 30.0):
        setting = sam(LADDER, gamma, RHO, np.full(len(LADDER), size))
        run = rv.simulate(setting, steps=steps, times=times, iterates=True, tier="textbook")
        w, norms = run.points[0], np.sqrt(run.grad_norm2[0])
        places.append(h / rv.sam_edge(gamma, RHO, norms[:-1])[:, None])
        factors.append(np.abs(w[1:] / w[:-1]))
    table.add("b", f"gamma lambda_1 = {gamma:g}", np.concatenate(places).ravel(), np.concatenate(factors).ravel())


def _add_usam(table: Table, quality: Quality) -> None:
    rhos = np.linspace(0.1, 3.9, quality.pick(14, 28))
    tops = np.linspace(0.07, 2.23, quality.pick(14, 28))
    for top in tops:
        table.add("map", repr(float(top)), rhos, [converges(float(top), float(rho)) for rho in rhos])
    fine = np.linspace(0, 4, 101)
    table.add("c", "USAM's edge", fine, [rv.usam_edge(1.0, rho) for rho in fine], role="exact")
    table.add("c", "2/gamma", [0, 4], rv.usam_edge(1.0, 0.0), role="variant")


def converges(top: float, rho: float) -> float:
    """1 where a run of USAM with gamma = 1 on curvatures top and top/2 ends nearer than it began."""
    problem = rv.problems.build(f"spectrum:h={top!r}/{top / 2!r}")
    setting = rv.make_setting(problem, gamma=1.0, rho=rho, lam=0.0)
    return float(rv.claims["edge/usam"].measure("converges", setting, steps=USAM_STEPS).measured[0])


def draw_edge(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.1))
    edges, coordinates, chart = figure.subplots(1, 3)
    for number, s in enumerate(table.of("a", "measured")):
        edges.plot(s.x, s.y, **{**rv.style.look("measured", number), "markevery": 5}, label=f"SAM's edge, {s.name}")
    top, plain = table.one("a", "lambda_1"), table.one("a", "2/gamma")
    ink = {"color": rv.style.INK}
    edges.plot(plain.x, plain.y, **rv.style.look("variant", 3), label=r"$2/\gamma$: gradient descent's edge")
    edges.plot(top.x, top.y, **{**rv.style.look("exact"), **ink}, label=r"$\lambda_1$: the limit")
    edges.set(yscale="log", xlabel="step $t$", ylabel="curvature")
    letter(edges, "a", r"the edge moves to $\lambda_1$")
    _draw_coordinates(coordinates, table)
    _draw_usam(chart, table)
    for axes in (edges, coordinates, chart):
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), labelspacing=0.25)
    return figure


def _draw_coordinates(axes: Axes, table: Table) -> None:
    for number, s in enumerate(table.of("b")):
        look = {**rv.style.look("measured", number), "linestyle": "none", "markersize": 2.2}
        axes.plot(s.x, s.y, **look, label=rf"$\gamma\lambda_1={s.name.rpartition(' ')[2]}$")
    low, high = (8e-3, 20), (1e-3, 1e3)
    shade: dict[str, Any] = {
        "facecolor": "#f0f0f0",
        "edgecolor": rv.style.FAINT,
        "hatch": "////",
        "linewidth": 0.0,
        "zorder": 0,
    }
    axes.fill_between([low[0], 1], 1, high[1], **shade, label="no coordinate can be here")
    axes.fill_between([1, low[1]], high[0], 1, **shade)
    axes.set(xscale="log", yscale="log", xlim=low, ylim=high, xlabel=r"$\lambda_i\,/$ SAM's edge at $\|g_t\|$")
    axes.set_ylabel(r"$|w_{t+1,i}|\,/\,|w_{t,i}|$")
    letter(axes, "b", "what one step shrinks")


def _draw_usam(axes: Axes, table: Table) -> None:
    x, y, ended = grid(table, "map")
    across, along = np.meshgrid(x, y)
    for number, (value, text) in enumerate(((1, "run converges"), (0, "run diverges"))):
        look = {**rv.style.look("measured", number), "linestyle": "none", "markersize": 2.5}
        if not value:
            look["markerfacecolor"] = "none"
        axes.plot(across[ended == value], along[ended == value], **look, label=text)
    exact, plain = table.one("c", "USAM's edge"), table.one("c", "2/gamma")
    axes.plot(exact.x, exact.y, **{**rv.style.look("exact"), "color": rv.style.INK}, label="USAM's edge")
    axes.plot(plain.x, plain.y, **rv.style.look("variant", 3), label=r"$2/\gamma$")
    axes.set(xlabel=r"$\rho/\gamma$", ylabel=r"$\gamma\lambda_1$", xlim=(0, 4), ylim=(0, 2.3))
    letter(axes, "c", "USAM")


FIGURES = (
    Spec(
        "dynamics-edge",
        "On a quadratic SAM's edge of stability moves until it is the largest eigenvalue; a coordinate shrinks where "
        "its curvature is below the edge; USAM converges where all curvatures are below its own.",
        measure_edge,
        draw_edge,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
