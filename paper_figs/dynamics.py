"""SAM on quadratics (in the spirit of Bartlett, Long and Bousquet, JMLR 2023): the 2-cycle across the ravine, the
potential that leads there, and the one-step factors at it.

python -m paper_figs.dynamics FOLDER
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

import ravine as rv
from paper_figs.drawing import letter, typeset
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]


def sam(h: Iterable[float], gamma: float, rho: float, x0: ArrayLike | None = None) -> rv.Setting:
    """SAM on the quadratic with these eigenvalues, largest first, in its eigenbasis."""
    spec = "spectrum:h=" + "/".join(repr(float(entry)) for entry in h)
    return rv.make_setting(rv.problems.build(spec), gamma=gamma, rho=rho, lam=1.0, x0=x0)


def path(setting: rv.Setting, steps: int, times: ArrayLike | None = None) -> Values:
    """x_t at these times, by default t = 0, ..., steps; shape (times, d)."""
    times = np.arange(steps + 1) if times is None else times
    run = rv.simulate(setting, steps=steps, times=times, gradients=False, iterates=True, tier="textbook")
    return np.asarray(run.points[0])


def slowest(setting: rv.Setting) -> float:
    """Of a positive spectrum, the largest factor at the cycle on e_1."""
    h = rv.eigenbasis(setting)[0]
    return float(np.abs(rv.multipliers(rv.facts_of(setting), h)).max())


# -- the 2-cycle --

PLANE = (1.0, 0.2)
PLANE_GAMMA, PLANE_RHO = 0.8, 1.0
SPECTRUM = (1.0, 0.6, 0.3)
CYCLE_RHO = 0.1
STIFFNESSES = (0.5, 1.0, 1.5, 1.9)
"""gamma lambda_1 of the runs; lambda_1 = 1 throughout."""

RADII_AT = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.3, 1.6, 1.8, 1.9, 1.95, 1.98, 1.99)


def measure_cycle(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "w_1, dimensionless", "w_2, dimensionless")
    table.axes("contours", "w_1, dimensionless", "f at w_2 = the name of the series, dimensionless")
    table.axes("b", "step t", "||w_t||/rho, dimensionless")
    table.axes("c", "gamma lambda_1, dimensionless", "radius of the cycle over rho, dimensionless")
    add_plane(table)
    start = np.array([1.0, 1.0, 1.0]) / 2
    for gamma in STIFFNESSES:
        setting = sam(SPECTRUM, gamma, CYCLE_RHO, start)
        steps = 60
        name = f"gamma lambda_1 = {gamma:g}"
        table.add("b", name, np.arange(steps + 1), np.linalg.norm(path(setting, steps), axis=1) / CYCLE_RHO)
        limit = float(rv.radii(rv.facts_of(setting), np.array([1.0]))[0]) / CYCLE_RHO
        table.add("b", name, [0, steps], limit, role="exact")
    add_radii(table, RADII_AT)
    return table


def add_plane(table: Table) -> None:
    setting = sam(PLANE, PLANE_GAMMA, PLANE_RHO, (1.35, 2.3))
    w = path(setting, 24)
    table.add("a", "SAM", w[:, 0], w[:, 1])
    radius = float(rv.radii(rv.facts_of(setting), np.array(PLANE))[0])
    table.add("a", "2-cycle", [-radius, radius], 0.0, role="exact")
    across, along = np.linspace(-1.6, 1.6, 41), np.linspace(-0.5, 2.5, 41)
    points = np.stack(np.meshgrid(across, along), axis=-1).reshape(-1, 2)
    for height, row in zip(along, rv.evaluate(setting, points)[0].reshape(41, 41), strict=True):
        table.add("contours", repr(float(height)), across, row, role="exact")


def add_radii(table: Table, stiffnesses: Iterable[float]) -> None:
    """The cycle's radius at the end of long runs, and on its curve; gamma rho lambda_1/2 is what small steps give."""
    claim = rv.claims["dynamics/cycle"]
    found = []
    for gamma in stiffnesses:
        setting = sam(SPECTRUM, gamma, CYCLE_RHO)
        # 60 e-foldings of the slowest deviation: below rounding.
        steps = math.ceil(-60 / math.log(slowest(setting))) + 200
        found.append(claim.measure("cycle", setting, steps=steps).measured[0] / CYCLE_RHO)
    table.add("c", "end of a run", list(stiffnesses), found)
    fine = np.concatenate([np.linspace(0.04, 1.9, 94), 2 - np.geomspace(0.1, 0.008, 20)[1:]])
    curve = [float(rv.radii(rv.facts_of(sam((1.0,), gamma, 1.0)), np.array([1.0]))[0]) for gamma in fine]
    table.add("c", "r_1/rho", fine, curve, role="exact")
    table.add("c", "gamma lambda_1/2", fine, fine / 2, role="variant")


def grid(table: Table, panel: str) -> tuple[Values, Values, Values]:
    """x, y and heights of a panel that holds a function on a grid, one series for each y."""
    rows = table.of(panel)
    return rows[0].x, np.array([float(row.name) for row in rows]), np.array([row.y for row in rows])


def equation(name: str) -> str:
    """gamma lambda_1 = 0.5 in letters with an index."""
    return typeset(name).replace("$ $", "").replace("\\lambda$_1", "\\lambda_1$").replace("\\gamma\\", "\\gamma\\")


def draw_cycle(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 2.75))
    plane, norms, curve = figure.subplots(1, 3, width_ratios=[1, 1.15, 1.15])
    _draw_plane(plane, table)
    for number, s in enumerate(table.of("b", "measured")):
        look = {**rv.style.look("measured", number), "markevery": (2 * number, 8)}
        norms.plot(s.x, s.y, **look)
        limit = table.one("b", s.name, "exact")
        norms.plot(limit.x, limit.y, **rv.style.look("exact", number))
        norms.annotate(equation(s.name), (s.x[-1], s.y[-1]), (0, 4), textcoords="offset points", fontsize=7, ha="right")
    norms.set(yscale="log", xlabel="step $t$", ylabel=r"$\|w_t\|\,/\,\rho$", ylim=(0.03, 60))
    norms.plot([], [], **{**rv.style.look("exact"), "color": rv.style.INK}, label=r"exact: $r_1/\rho$")
    norms.plot([], [], **{**rv.style.look("measured"), "color": rv.style.INK}, label="runs")
    norms.legend(loc="lower right")
    letter(norms, "b", "distance from the minimiser")
    exact, ends = table.one("c", "r_1/rho"), table.one("c", "end of a run")
    small = table.one("c", "gamma lambda_1/2")
    curve.axvline(2, color=rv.style.PALE, linewidth=0.7)
    curve.plot(small.x, small.y, **rv.style.look("variant", 3), label=r"$\gamma\lambda_1/2$: small steps")
    curve.plot(exact.x, exact.y, **{**rv.style.look("exact"), "color": rv.style.INK}, label=r"exact: $r_1/\rho$")
    curve.plot(ends.x, ends.y, **{**rv.style.look("measured"), "linestyle": "none"}, label="measured: ends of runs")
    curve.set(yscale="log", xlabel=r"$\gamma\lambda_1$", ylabel="radius of the cycle $/\\,\\rho$", xlim=(0, 2.08))
    curve.set_ylim(0.015, 500)
    curve.legend(loc="upper left", labelspacing=0.25)
    letter(curve, "c", "its radius")
    return figure


def _draw_plane(axes: Axes, table: Table) -> None:
    x, y, heights = grid(table, "contours")
    axes.contour(x, y, heights, levels=np.geomspace(0.02, 2.56, 8), colors=rv.style.FAINT, linewidths=0.7, zorder=0)
    run, cycle = table.one("a", "SAM"), table.one("a", "2-cycle")
    axes.plot(run.x, run.y, **{**rv.style.look("measured"), "linewidth": 0.8})
    axes.plot(cycle.x, cycle.y, "o", markersize=8, markerfacecolor="none", markeredgecolor=rv.style.INK)
    axes.plot(0, 0, "+", color=rv.style.INK, markersize=6)
    axes.annotate("start", (run.x[0], run.y[0]), (-3, 4), textcoords="offset points", fontsize=7, ha="right")
    for point, sign in zip(cycle.x, "-+", strict=True):
        axes.annotate(f"${sign}r_1e_1$", (point, 0), (0, -12), textcoords="offset points", fontsize=7, ha="center",
                      va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
    axes.set(xlabel="$w_1$: sharp", ylabel="$w_2$: flat", xlim=(-1.6, 1.6), ylim=(-0.5, 2.5))
    letter(axes, "a", "a run of SAM")


# -- the potential --

SMOOTH = (1.0, 0.6, 0.3)
RUNS = {
    "lambda = 1, 0.99": ((1.0, 0.99), 1.0, 0.1, (0.1, 0.001)),
    "lambda = 1, 0.95": ((1.0, 0.95), 1.0, 0.1, (0.1, 0.001)),
}
"""Two certified starts near a tie. Eigenvalues, gamma, rho, x_0."""

SUMS = {
    "one dimension": ((1.0,), 0.9, 0.1, (0.2,)),
    "lambda = 1, 0.6, 0.3": (SMOOTH, 0.8, 0.1, (1.0, 1.0, 1.0)),
    "the same, far away": (SMOOTH, 0.8, 0.1, (0.0, 10.0, 100.0)),
}


def measure_potential(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "step t", "(J(u_t) - J_*)/(J(u_0) - J_*), dimensionless")
    table.axes("b", "steps T", "sum over t < T of ||w_{t+1} + w_t||^2 over its bound, dimensionless")
    table.axes(
        "c", "1 - q, q the largest (J(u_t) - J_*)/(J(u_0) - J_*) to the power 1/t", "certified kappa_*, dimensionless"
    )
    add_potentials(table)
    for name, (h, gamma, rho, x0) in SUMS.items():
        trial = rv.claims["dynamics/potential"].measure("turning sum", sam(h, gamma, rho, x0), steps=1000)
        kept = np.unique(np.round(np.geomspace(1, 1000, 60)).astype(int)) - 1
        table.add("b", name, trial.at[kept], (trial.measured / trial.stated({}))[kept])
    table.add("b", "bound", [1, 1000], 1.0, role="bound")
    _add_certificates(table, quality)
    return table


def add_potentials(table: Table) -> None:
    claim = rv.claims["dynamics/linear-rate"]
    for name, (h, gamma, rho, x0) in RUNS.items():
        setting = sam(h, gamma, rho, x0)
        first = _potential(setting)
        trial = claim.measure("potential", setting, steps=200)
        seen = trial.measured > 10 * trial.error
        table.add("a", name, np.append(0, trial.at[seen]), np.append(1, trial.measured[seen] / first))
        table.add("a", name, np.append(0, trial.at), np.append(1, trial.stated({}) / first), role="bound")
        # Near the cycle J - J_* is a square: it falls by the square of the slowest factor.
        factor = float(np.abs(rv.multipliers(rv.facts_of(setting), np.array(h))).max())
        last = int(seen.sum()) - 1
        table.add("a", name, trial.at[: last + 1], _asymptote(trial.measured / first, last, factor**2), role="exact")


def _potential(setting: rv.Setting) -> float:
    """J(u_0) - J_*."""
    h, Q = rv.eigenbasis(setting)
    u = (setting.x0 - setting.problem.centre) @ Q * h
    return float(rv.potential_above(rv.curvatures(rv.facts_of(setting), h), u))


def _asymptote(values: Values, last: int, rate: float) -> Values:
    """The geometric sequence that ends where the values do."""
    return np.asarray(values[last] * rate ** (np.arange(last + 1) - last))


def _add_certificates(table: Table, quality: Quality) -> None:
    """For instances of the claim's own families, the rate that it certifies and the one that the run kept up."""
    claim = rv.claims["dynamics/linear-rate"]
    rng = np.random.default_rng(quality.seed)
    for family in claim.families:
        points = []
        for _ in range(quality.pick(150, 1000) if family is claim.families[0] else 1):
            instance = family.draw(rng, claim.claim)
            first = _potential(instance.setting)
            trial = claim.measure("potential", instance.setting, steps=instance.steps)
            seen = (trial.measured > 10 * trial.error) & (trial.at >= 1)
            kept = 1 - (trial.measured[seen] / first) ** (1 / trial.at[seen])
            points.append((kept.min(), 1 - trial.stated({})[0] / first))
        table.add("c", family.name, *np.array(points).T)
    ends = [min(s.x.min() for s in table.of("c")), 1.0]
    table.add("c", "attained", ends, ends, role="bound")


def draw_potential(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.0))
    falls, sums, rates = figure.subplots(1, 3)
    for number, s in enumerate(table.of("a", "measured")):
        falls.plot(s.x, s.y, **{**rv.style.look("measured", number), "markevery": 12}, label=_subscripted(s.name))
        for role in ("exact", "bound"):
            other = table.one("a", s.name, role)
            colour = rv.style.INK if role == "exact" else rv.style.COLOURS[number]
            falls.plot(other.x, other.y, **{**rv.style.look(role), "color": colour})
    falls.plot([], [], **{**rv.style.look("exact"), "color": rv.style.INK}, label=r"exact rate $\max_j\mu_j^2$")
    falls.plot([], [], **{**rv.style.look("bound"), "color": rv.style.INK}, label=r"certified: $(1-\kappa_*)^t$")
    falls.set(yscale="log", xlabel="step $t$", ylabel="$(J(u_t)-J_*)\\,/\\,(J(u_0)-J_*)$", ylim=(1e-8, 4))
    letter(falls, "a", "the potential falls")
    for number, s in enumerate(table.of("b", "measured")):
        sums.plot(s.x, s.y, **{**rv.style.look("measured", number), "markevery": 7}, label=_subscripted(s.name))
    bound = table.one("b", "bound")
    sums.plot(bound.x, bound.y, **{**rv.style.look("bound"), "color": rv.style.INK}, label="bound")
    sums.set(xscale="log", xlabel="steps $T$", ylim=(0, 1.06),
             ylabel=r"$\Sigma_{t<T}\,\|w_{t+1}+w_t\|_\Lambda^2\,/\,2\rho(J(u_0)-J_*)$")  # fmt: skip
    letter(sums, "b", "the turns add up to its fall")
    for number, s in enumerate(table.of("c", "measured")):
        look = {**rv.style.look("measured", number), "linestyle": "none"}
        rates.plot(s.x, s.y, **(look if number else {**look, "markersize": 2.0}), label=CERTIFIED[s.name])
    line = table.one("c", "attained")
    rates.plot(line.x, line.y, **{**rv.style.look("bound"), "color": rv.style.INK}, label="bound: certified = kept")
    rates.set(xscale="log", yscale="log", xlabel="rate kept by the run", ylabel=r"certified rate $\kappa_*$")
    letter(rates, "c", "certified against observed")
    for axes in (falls, sums, rates):
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), labelspacing=0.25)
    return figure


CERTIFIED = {
    "random certified starts": "random certified starts",
    "near tie, small tilt": "near a tie",
    "one dimension: attained": "one dimension",
    "stiff, near tie, along the first eigenvector": r"$\gamma\lambda_1=1.99$, along $e_1$",
}


def _subscripted(name: str) -> str:
    """lambda = 1, 0.6 with its letter and an index."""
    return typeset(name).replace("$\\lambda$ =", "$\\lambda_i$ =")


# -- the factors --

ACROSS = (1.0, 0.95, 0.85, 0.75, 0.65, 0.55, 0.45, 0.35, 0.25, 0.15, 0.05)
FACTOR_STEPS = (0.2, 0.8, 1.4, 1.9)
PAGE = (1.0, 0.7, 0.4, 0.2)
LABELLED_AT = (0.62, 0.62, 1.2, 0.9)
"""gamma lambda_1 at which each factor's name stands."""

RATES_AT = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.1, 1.25, 1.4, 1.5, 1.75, 1.8, 1.85, 1.9, 1.95)
"""Away from where two directions are nearly as slow: a run then does not show one rate before rounding."""


def measure_multipliers(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "lambda_j/lambda_1, dimensionless", "|mu_j|, dimensionless")
    table.axes("b", "gamma lambda_1, dimensionless", "factor of a step, dimensionless")
    claim = rv.claims["dynamics/multipliers"]
    fine = np.linspace(0, 1, 201)
    for gamma in FACTOR_STEPS:
        setting, name = sam(ACROSS, gamma, CYCLE_RHO), f"gamma lambda_1 = {gamma:g}"
        d = len(ACROSS)
        # Entry (0, j, j): how one step from the cycle on e_1 changes a deviation along e_j.
        seen = claim.measure("derivative", setting, steps=1).measured.reshape(d, d, d)[0].diagonal()
        table.add("a", name, ACROSS[1:], np.abs(seen[1:]))
        curve = rv.multipliers(rv.facts_of(setting), np.append(1.0, fine))[1:]
        table.add("a", name, fine, np.abs(curve), role="exact")
    add_rates(table, RATES_AT)
    return table


def add_rates(table: Table, stiffnesses: Iterable[float]) -> None:
    """The factor per step that runs show, and the factors of each direction."""
    claim, found = rv.claims["dynamics/multipliers"], []
    for gamma in stiffnesses:
        setting = sam(PAGE, gamma, CYCLE_RHO)
        radius = rv.radii(rv.facts_of(setting), np.array(PAGE))[0]
        # Near the cycle and with every direction alike: a run from far away may come in almost along a faster one.
        setting = sam(PAGE, gamma, CYCLE_RHO, radius * np.array([1.1, 0.1, 0.1, 0.1]))
        steps = math.ceil(-40 / math.log(slowest(setting))) + 300
        found.append(float(claim.measure("run rate", setting, steps=steps).measured[0]))
    table.add("b", "rate of a run", list(stiffnesses), found)
    fine = np.linspace(0.02, 1.99, 198)
    curves = np.abs([rv.multipliers(rv.facts_of(sam(PAGE, gamma, CYCLE_RHO)), np.array(PAGE)) for gamma in fine])
    for k, entry in enumerate(PAGE):
        table.add("b", f"|mu_{k + 1}|, lambda = {entry:g}", fine, curves[:, k], role="exact")


def draw_multipliers(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 2.9))
    left, right = figure.subplots(1, 2)
    for number, s in enumerate(table.of("a", "measured")):
        look = {**rv.style.look("measured", number), "linestyle": "none"}
        left.plot(s.x, s.y, **look, label=equation(s.name))
        curve = table.one("a", s.name, "exact")
        left.plot(curve.x, curve.y, **rv.style.look("exact", number))
    left.set(xlabel=r"$\lambda_j/\lambda_1$", ylabel=r"$|\mu_j|$", xlim=(0, 1), ylim=(0, 1.02))
    left.legend(loc="upper center")
    letter(left, "a", "a deviation along $e_j$, by differences")
    for k, s in enumerate(table.of("b", "exact")):
        right.plot(s.x, s.y, **{**rv.style.look("exact"), "color": rv.style.PALE, "linewidth": 1.2})
        place, below = LABELLED_AT[k], -9 if k == 1 else 3
        right.annotate(f"$|\\mu_{k + 1}|$", (place, np.interp(place, s.x, s.y)), (3, below),
                       textcoords="offset points", fontsize=7)  # fmt: skip
    measured = table.of("b", "measured")[0]
    right.plot(measured.x, measured.y, **{**rv.style.look("measured"), "linestyle": "none"}, label="rate of a run")
    right.plot([], [], **{**rv.style.look("exact"), "color": rv.style.PALE, "linewidth": 1.2}, label="exact factors")
    right.set(xlabel=r"$\gamma\lambda_1$", ylabel="factor of a step", xlim=(0, 2), ylim=(0, 1.02))
    right.legend(loc="upper center")
    letter(right, "b", r"the slowest sets the rate: $\lambda_i=1,\,0.7,\,0.4,\,0.2$")
    return figure


FIGURES = (
    Spec(
        "dynamics-cycle",
        "SAM on a quadratic: a run in the plane of a sharp and a flat direction, its distance from the minimiser, and "
        "the radius of the 2-cycle it ends in, which has a pole at gamma lambda_1 = 2.",
        measure_cycle,
        draw_cycle,
    ),
    Spec(
        "dynamics-potential",
        "The potential that every step of SAM on a quadratic lowers: its fall with the certified rate, the summed "
        "turns with their bound, and certified against observed rates.",
        measure_potential,
        draw_potential,
    ),
    Spec(
        "dynamics-multipliers",
        "The factors by which a step changes a deviation from the 2-cycle, by finite differences and by the rate of "
        "runs, on their curves.",
        measure_multipliers,
        draw_multipliers,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
