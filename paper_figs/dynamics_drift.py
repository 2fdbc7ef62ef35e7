"""SAM along a line of minima (in the spirit of Bartlett, Long and Bousquet 2023, and of Wen, Ma and Li 2023).

python -m paper_figs.dynamics_drift FOLDER
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import letter, slope
from paper_figs.dynamics import equation, path, sam
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]


Velocity = Callable[[Values, Values, float], float]
"""(curvatures across the line, their slopes along it, gamma) -> dy/dT in the time T = gamma rho^2 t."""

SINGLE = "minima-line:h=1,s=1,c=0"
"""(1 + y^2) z^2/2."""

STEPS = (0.1, 0.4, 0.8)
RHO = 0.005
WAY = 1.5
"""The time gamma rho^2 t that the runs cover."""

CUBIC = "cubic:h=1/0,b=0.5/0.6"
CUBIC_RHO = 0.2
CUBIC_STEPS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5, 1.6)


def measure_drift(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "T = gamma rho^2 t, dimensionless", "y, the place along the valley, dimensionless")
    table.axes("b", "gamma lambda_1, dimensionless", "drift of a step over gamma rho^2 grad lambda_1/2, dimensionless")
    table.axes("c", "gamma, dimensionless", "distance from the flow at T = 1, dimensionless")
    table.axes("d", "rho, dimensionless", "distance along the valley from the flow at T = 0.512, dimensionless")
    for gamma in STEPS:
        add_run(table, gamma)
        _add_flow(table, f"gamma = {gamma:g}", gamma, rv.refined_flow, "exact")
    _add_flow(table, "limiting flow", STEPS[0], rv.limiting_flow, "variant")
    add_steps(table, CUBIC_STEPS)
    stiff = np.linspace(0.05, 1.65, 81)
    table.add("b", "(1 - gamma lambda_1/2)^-2", stiff, [speed_up(entry) for entry in stiff], role="exact")
    add_orders(table)
    return table


def speed_up(stiffness: float) -> float:
    """The refined flow over the limiting one at this gamma lambda_1."""
    top, steep = np.array([stiffness]), np.ones(1)
    return float(rv.refined_flow(top, steep, 1.0) / rv.limiting_flow(top, steep, 1.0))


def _line(spec: str) -> Any:
    """A problem that knows the curvatures across its line of minima."""
    return rv.problems.build(spec)


def cycle_radius(top: float, gamma: float, rho: float) -> float:
    """Of the 2-cycle across a valley of this curvature."""
    return float(rv.radii(rv.facts_of(sam((top,), gamma, rho)), np.array([top]))[0])


def add_run(table: Table, gamma: float) -> None:
    """From the cycle at y = 1: the way down the valley, and what a step drifts at nine places."""
    problem, name = _line(SINGLE), f"gamma = {gamma:g}"
    top = float(problem.curvatures(1.0)[0][0])
    setting = rv.make_setting(problem, gamma=gamma, rho=RHO, lam=1.0, x0=(cycle_radius(top, gamma, RHO), 1.0))
    steps = math.ceil(WAY / (gamma * RHO**2))
    seen = np.unique(np.round(np.linspace(0, steps, 61)).astype(int))
    places = np.unique(np.round(np.geomspace(100, steps - 1, 9)).astype(int))
    times = np.unique(np.concatenate([seen, places - 1, places, places + 1]))
    y = dict(zip(times.tolist(), path(setting, steps, times)[:, -1].tolist(), strict=True))
    table.add("a", name, gamma * RHO**2 * seen, [y[t] for t in seen.tolist()])
    stiff, drift = [], []
    for t in places.tolist():
        h, slopes = problem.curvatures(y[t])
        stiff.append(gamma * h[0])
        # Two steps return to the same side of the valley.
        drift.append((y[t + 1] - y[t - 1]) / 2 / (gamma * RHO**2) / rv.limiting_flow(h, slopes, gamma))
    table.add("b", name, stiff, drift)


def _add_flow(table: Table, name: str, gamma: float, velocity: Velocity, role: str) -> None:
    times, ends = np.linspace(0, WAY, 61), [1.0]
    for piece in np.diff(times).tolist():
        ends.append(rv.flow_end(_line(SINGLE), ends[-1], piece, gamma, velocity))
    table.add("a", name, times, ends, role=role)


def add_steps(table: Table, stiffnesses: Iterable[float]) -> None:
    """One step from the cycle of a cubic with a flat direction, with the interval that dynamics/drift leaves it."""
    problem, claim, rows = _line(CUBIC), rv.claims["dynamics/drift"], []
    for gamma in stiffnesses:
        x0 = (cycle_radius(1.0, gamma, CUBIC_RHO), 0.0)
        setting = rv.make_setting(problem, gamma=gamma, rho=CUBIC_RHO, lam=1.0, x0=x0)
        unit = gamma * CUBIC_RHO**2 * problem.third(np.array([1.0, 0.0]), np.array([1.0, 0.0]))[1] / 2
        error = gamma * claim.measure("one step", setting, steps=1).stated({})[0] / unit
        rows.append((gamma, -path(setting, 1)[1, 1] / unit, speed_up(gamma) - error, speed_up(gamma) + error))
    x, y, low, high = np.array(rows).T
    table.add("b", "one step on a cubic", x, y, low=low, high=high)


def distance(spec: str, x0: Values, gamma: float, rho: float, T: float, velocity: Velocity) -> float:
    """|y - Y(T)| after the first step at which gamma rho^2 t >= T, from Y(0) = y_0."""
    problem = _line(spec)
    setting = rv.make_setting(problem, gamma=gamma, rho=rho, lam=1.0, x0=x0)
    steps = math.ceil(T / (gamma * rho**2) * (1 - 1e-12))
    y = path(setting, steps, [steps])[0, -1]
    return float(abs(y - rv.flow_end(problem, float(x0[-1]), steps * gamma * rho**2, gamma, velocity)))


def add_orders(table: Table) -> None:
    """How far both flows are from the runs, against gamma with rho/gamma kept and against rho at one gamma."""
    toy = rv.make_setting(_line("minima-line"), gamma=0.2, rho=0.04, lam=1.0, x0=(0.001, 0.001, 0.2))
    limiting = rv.claims["dynamics/manifold-flow"].measure("limiting flow", toy, steps=3125)
    table.add("c", "limiting flow", limiting.at, limiting.measured)
    # On the cycle: a start elsewhere moves y by about rho^2 before it is there.
    top = float(_line("minima-line").curvatures(0.2)[0][0])
    near = []
    for gamma in limiting.at:
        radius = cycle_radius(top, gamma, gamma / 5)
        near.append(distance("minima-line", np.array([radius, 0.0, 0.2]), gamma, gamma / 5, 1.0, rv.refined_flow))
    table.add("c", "refined flow", limiting.at, near)
    line = rv.make_setting(_line(SINGLE), gamma=0.8, rho=0.04, lam=1.0, x0=(0.01, 1.0))
    refined = rv.claims["dynamics/refined-flow"].measure("refined flow", line, steps=400)
    rhos = 0.04 * refined.at
    starts = [np.array([0.01 * part, 1.0]) for part in refined.at]
    far = [distance(SINGLE, x0, 0.8, r, 0.512, rv.limiting_flow) for x0, r in zip(starts, rhos, strict=True)]
    table.add("d", "limiting flow", rhos, far)
    table.add("d", "refined flow", rhos, refined.measured)


def draw_drift(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 4.9))
    (paths, drifts), (first, second) = figure.subplots(2, 2)
    for number, s in enumerate(table.of("a", "measured")):
        paths.plot(s.x, s.y, **{**rv.style.look("measured", number), "linestyle": "none", "markevery": 4},
                   label=equation(s.name))  # fmt: skip
        exact = table.one("a", s.name, "exact")
        paths.plot(exact.x, exact.y, **rv.style.look("exact", number))
    limit = table.one("a", "limiting flow")
    ink = {"color": rv.style.INK}
    paths.plot(limit.x, limit.y, **{**rv.style.look("variant"), **ink}, label="limiting flow: small $\\gamma$")
    paths.plot([], [], **{**rv.style.look("exact"), **ink}, label="refined flow at each $\\gamma$")
    paths.set(xlabel=r"$\gamma\rho^2t$", ylabel="place $y$ along the valley", ylim=(0, 1.02))
    paths.legend(loc="upper right")
    letter(paths, "a", r"runs on $\frac{1}{2}(1+y^2)z^2$ and both flows")
    _draw_drifts(drifts, table)
    for axes, panel in ((first, "c"), (second, "d")):
        for number, s in enumerate(table.of(panel)):
            axes.plot(s.x, s.y, **rv.style.look("measured", number), label=f"distance from the {s.name}")
        axes.set(xscale="log", yscale="log")
        axes.minorticks_off()
        axes.set_xticks(s.x, [f"{tick:g}" for tick in s.x])
        axes.legend(loc="best")
    first.set(xlabel=r"$\gamma$, with $\rho=\gamma/5$", ylabel="distance at $\\gamma\\rho^2t=1$")
    second.set(xlabel=r"$\rho$, at $\gamma=0.8$", ylabel="distance at $\\gamma\\rho^2t=0.512$")
    slope(first, 1, 0.05, 6e-3)
    slope(first, 3, 0.05, 2e-7)
    slope(second, 2, 0.01, 4e-5)
    letter(first, "c", "order in the step size")
    letter(second, "d", "order in the radius")
    return figure


def _draw_drifts(axes: Axes, table: Table) -> None:
    exact = table.of("b", "exact")[0]
    axes.plot(
        exact.x, exact.y, **{**rv.style.look("exact"), "color": rv.style.INK}, label=r"$(1-\gamma\lambda_1/2)^{-2}$"
    )
    for number, gamma in enumerate(STEPS):
        s = table.one("b", f"gamma = {gamma:g}")
        axes.plot(s.x, s.y, **{**rv.style.look("measured", number), "linestyle": "none"}, label=equation(s.name))
    s = table.one("b", "one step on a cubic")
    axes.errorbar(s.x, s.y, (s.y - s.low, s.high - s.y), **{**rv.style.look("measured", 3), "linestyle": "none"},
                  capsize=2, label="one step on a cubic,\nwith the claim's interval")  # fmt: skip
    axes.axhline(1, color=rv.style.PALE, linewidth=0.7)
    axes.set(yscale="log", xlabel=r"$\gamma\lambda_1$", ylabel=r"drift $/\,\frac{1}{2}\gamma\rho^2\nabla\lambda_1$")
    axes.legend(loc="upper left")
    letter(axes, "b", "the drift of a step")


FIGURES = (
    Spec(
        "dynamics-drift",
        "SAM along a line of minima: runs with both flows, the drift of a step at finite gamma lambda_1, and the "
        "orders in gamma and rho of what is left.",
        measure_drift,
        draw_drift,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
