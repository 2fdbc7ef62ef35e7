"""GSAM: schedules of steps and batches (Harada and Iiduka 2024), the surrogate gap (Zhuang et al., ICLR 2022), and the
floors that a constant radius leaves (Khanh et al. 2024, Nam et al. 2023).

python -m paper_figs.gsam FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

import ravine as rv
from paper_figs.drawing import letter, line, role_lines
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]

FOREVER = np.array([10**15])
"""A time at which only what stays is left of a bound."""

# -- contours of a function of the plane: a table holds its values --


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


# -- increasing batch against decaying steps --

HORIZON = 2000
STAGE = HORIZON // 5
LARGEST, BATCH, RADIUS, ALPHA = 0.2, 4, 0.05, 0.1


class Plan(NamedTuple):
    """Step sizes and batches, as SPECs. lasting: without a horizon of its own, so that it can go on."""

    gamma: str
    batch: str
    lasting: bool = False


PLANS = {
    "constant": Plan(f"{LARGEST}", f"{BATCH}", lasting=True),
    "batch doubles every 400 steps": Plan(f"{LARGEST}", f"doubling:start={BATCH},every={STAGE}"),
    "cosine": Plan(f"cosine:start={LARGEST},end=0,steps={HORIZON}", f"{BATCH}"),
    "linear": Plan(f"linear:start={LARGEST},steps={HORIZON}", f"{BATCH}"),
    "inverse square root": Plan(f"inverse-sqrt:start={LARGEST}", f"{BATCH}", lasting=True),
}


def scheduled(plan: Plan, rho: float = RADIUS) -> rv.Setting:
    """GSAM on a quadratic of ten curvatures from 0.1 to 1, with gradient noise of variance 3 that does not depend on
    x, from (1.5, ..., 1.5)."""
    problem = rv.problems.build("noisy-quadratic")
    return rv.make_setting(
        problem,
        sampling=rv.samplings.build(f"replacement:tau={plan.batch}", problem=problem),
        method=rv.methods.build(f"gsam:alpha={ALPHA}"),
        gamma=rv.read_schedule(plan.gamma, argument="gamma"),
        rho=rho,
    )


class Promise(NamedTuple):
    """What gsam/weighted-gradient says of a run: gap0 = f(x_0) - f*, the weights gamma_t and what each step may add to
    the weighted sum, gamma_t (c_t^2 + L gamma_t sigma_t^2/(1 - L gamma_t)); and the sample gradients that were computed
    up to and with each step, two for each member of a batch."""

    gap0: float
    gamma: Values
    spent: Values
    gradients: Values

    def average(self) -> Values:
        """The bound on the weighted average over t < T, for T = 1, 2, ..."""
        return np.asarray((2 * self.gap0 + np.cumsum(self.spent)) / np.cumsum(self.gamma))

    def best_window(self, gaps: Values, times: NDArray[np.int64]) -> Values:
        """The bound on the smallest E||grad f(x_t)||^2 of t < T at these T: the least over s of that on [s, T), with
        E[f(x_s) - f*] = gaps."""
        weights, spent = (np.concatenate([[0.0], np.cumsum(part)]) for part in (self.gamma, self.spent))
        return np.array(
            [((2 * gaps[:T] + spent[T] - spent[:T]) / (weights[T] - weights[:T])).min() for T in times.tolist()]
        )


def promise(setting: rv.Setting, steps: int) -> Promise:
    """Stage by stage: the variance belongs to the batch."""
    claim, spent, gradients = rv.claims["gsam/weighted-gradient"], [], []
    for first, last, part in setting.sampling.stages(steps):
        facts = rv.facts_of(replace(setting, sampling=replace(part, later=())))
        claim.require(facts)
        # From f - f* = 0 and grad f = 0 the one-step bound is half of what a step may add.
        spent.append(2 * claim.one_step(facts, 0.0, 0.0, np.arange(first, last), {}))
        gradients.append(np.full(last - first, 2.0 * part.expected_size))
    gap0 = setting.problem.gap(setting.x0)
    gamma = setting.gamma.at(np.arange(steps))
    return Promise(gap0, gamma, np.concatenate(spent), np.cumsum(np.concatenate(gradients)))


def run_of(setting: rv.Setting, steps: int, copies: int, seed: int) -> tuple[Values, Values]:
    """||grad f(x_t)||^2 and f - f* at every t < steps, each (copies, steps)."""
    run = rv.simulate(setting, steps=steps, times=np.arange(steps), replicates=copies, seed=seed)
    return run.grad_norm2, run.gap


def running_average(norms: Values, said: Promise) -> Values:
    """The weighted average over t < T of each copy, for T = 1, 2, ..."""
    return np.asarray(np.cumsum(said.gamma * norms, axis=1) / np.cumsum(said.gamma))


def measure_schedules(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "steps T", "mean of ||grad f(x_t)||^2 over t < T, weighted by gamma_t, dimensionless")
    table.axes("b", "sample gradients", "the same mean, dimensionless")
    table.axes("c", "steps t", "E||grad f(x_t)||^2, mean of 50 steps; bound: of the least so far; dimensionless")
    copies = quality.pick(16, 400)
    budget = promise(scheduled(PLANS["batch doubles every 400 steps"]), HORIZON).gradients[-1]
    for name, plan in PLANS.items():
        setting = scheduled(plan)
        steps = int(budget / (2 * BATCH)) if plan.lasting else HORIZON
        norms, gaps = run_of(setting, steps, copies, quality.seed)
        said = promise(setting, steps)
        averages = running_average(norms, said)
        ends = np.unique([*np.round(np.geomspace(100, steps, 60)).astype(int), HORIZON])
        early = ends[ends <= HORIZON]
        for panel, x, kept in (("a", np.arange(1, steps + 1.0), early), ("b", said.gradients, ends)):
            _with_error(table, panel, name, x[kept - 1], averages[:, kept - 1])
            table.add(panel, name, x[kept - 1], said.average()[kept - 1], role="bound")
        blocks = norms[:, :HORIZON].reshape(copies, -1, 50).mean(axis=2)
        _with_error(table, "c", name, np.arange(25, HORIZON, 50), blocks)
        table.add("c", name, early, said.best_window(gaps.mean(axis=0), early), role="bound")
    return table


def _with_error(table: Table, panel: str, name: str, x: ArrayLike, values: Values) -> None:
    """The mean over copies, with an interval of two standard errors."""
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    table.add(panel, name, x, mean, low=mean - 2 * error, high=mean + 2 * error)


def draw_schedules(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.7))
    panels = figure.subplots(1, 3)
    for axes, panel in zip(panels, "abc", strict=True):
        for number, name in enumerate(PLANS):
            _draw_plan(axes, table, panel, name, number)
        axes.set(yscale="log", xscale="linear" if panel == "c" else "log")
    end = float(table.one("b", "cosine", "measured").x[-1])
    panels[1].axvline(end, color=rv.style.PALE, linewidth=0.8, zorder=0)
    panels[1].annotate("cosine and linear\nend here", (end, 0.03), xytext=(-4, 0), textcoords="offset points",
                       fontsize=7, ha="right", va="bottom")  # fmt: skip
    average = r"$\sum_{t<T}\gamma_t\,\mathrm{E}\|\nabla f(x_t)\|^2\,/\,\sum_{t<T}\gamma_t$"
    panels[0].set(xlabel="steps $T$", ylabel=average)
    panels[1].set(xlabel="sample gradients computed", ylim=panels[0].get_ylim())
    panels[2].set(xlabel="steps $t$", ylabel=r"$\mathrm{E}\|\nabla f(x_t)\|^2$", xlim=(0, HORIZON))
    for axes, panel, title in zip(
        panels, "abc", ("average, per step", "average, per gradient", "not averaged"), strict=True
    ):
        letter(axes, panel, title)
    handles = [line("measured", k, name) for k, name in enumerate(PLANS)]
    handles += role_lines({"measured": "measured, band: 2 s.e.", "bound": "bound (c: of the least up to $t$)"})
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _draw_plan(axes: Axes, table: Table, panel: str, name: str, number: int) -> None:
    """Markers of different schedules beside each other: their curves nearly coincide."""
    s = table.one(panel, name, "measured")
    look = {**rv.style.look("measured", number), "markevery": (2 * number, 10)}
    axes.plot(s.x, s.y, **look)
    axes.fill_between(s.x, s.low, s.high, color=look["color"], alpha=0.2, linewidth=0)
    bound = table.one(panel, name, "bound")
    axes.plot(bound.x, bound.y, **marked_bound(number, every=(2 * number + 4, 12)))


def marked_bound(number: int, every: tuple[int, int]) -> dict[str, Any]:
    """The look of the bound on the measurement of this number: its marker, open, now and then."""
    marker = {"marker": rv.style.MARKERS[number], "markerfacecolor": "white", "markevery": every}
    return {**rv.style.look("bound", number), **marker}


# -- the decomposition of a gradient --


class Place(NamedTuple):
    """Where the arrows are drawn. claim: what says how fast the gap falls along g_perp there; refuted: falsely."""

    problem: str
    x0: tuple[float, float]
    claim: str
    refuted: bool = False


PLACES = {
    "minimum": Place("spectrum:h=1/0.2", (0.1, 0.5), "gsam/gap-decrease"),
    "saddle": Place("spectrum:h=1/-1", (0.1, 0.1), "gsam/ascent-lowers-true-gap-at-saddles", refuted=True),
}
ASCENT = 0.5
WINDOWS = {"minimum": (-0.12, 0.72, -0.08, 0.96), "saddle": (-0.12, 0.72, -0.42, 0.62)}


def at_place(place: Place) -> rv.Setting:
    problem = rv.problems.build(place.problem)
    return rv.make_setting(problem, method=rv.methods.build("gsam:alpha=0.1"), gamma=0.1, rho=ASCENT, x0=place.x0)


def one_step_gap(setting: rv.Setting, points: Values) -> Values:
    """h_1 = f(x + rho u) - f(x) at each row."""
    rho = setting.rho.largest
    gradients = np.array([setting.problem.gradient(x) for x in points])
    raised = points + rho * gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    return np.asarray(rv.evaluate(setting, raised)[0] - rv.evaluate(setting, points)[0])


def slope_at(place: Place) -> tuple[float, float]:
    """The slope of h_1 along g_perp at the place itself, and ||g_perp||^2, below whose negative it is said to be."""
    trial = rv.claims[place.claim].measure("true slope", at_place(place), steps=2)
    # The start comes first of the points that are looked at.
    return -float(trial.measured[0]), float(trial.stated({})[0])


def measure_decomposition(quality: Quality) -> Table:
    table = Table()
    for letter_, (name, place) in zip("ab", PLACES.items(), strict=True):
        setting = at_place(place)
        table.axes(letter_, "x_1, dimensionless", "x_2, dimensionless; arrows from first to second point")
        left, right, low, high = WINDOWS[name]
        add_landscape(table, f"f at the {name}", setting, np.linspace(left, right, 31), np.linspace(low, high, 31))
        x = setting.x0
        found = rv.gsam_parts(setting.problem, x, ASCENT)
        raised = x + ASCENT * found.g / np.linalg.norm(found.g)
        table.add(letter_, "ascent", [x[0], raised[0]], [x[1], raised[1]], role="exact")
        for arrow, vector in (("g", found.g), ("g_p", found.gp), ("g_perp", found.perp)):
            head = x + vector
            table.add(letter_, arrow, [x[0], head[0]], [x[1], head[1]])
        _along(table, {"a": "c", "b": "d"}[letter_], setting, place, found.perp)
    return table


def _along(table: Table, panel: str, setting: rv.Setting, place: Place, direction: Values) -> None:
    """h_1(x + s g_perp) - h_1(x) against s, its slope at s = 0 and the one it is said to have at most."""
    s = np.linspace(0, 1, 41)
    table.axes(panel, "s, the length of the way in g_perp", "h_1(x + s g_perp) - h_1(x), dimensionless")
    values = one_step_gap(setting, setting.x0 + s[:, None] * direction)
    true, square = slope_at(place)
    table.add(panel, "gap of one ascent step", s, values - values[0])
    table.add(panel, "tangent of the true slope", s[[0, -1]], [0.0, true], role="exact")
    table.add(panel, "slope -||g_perp||^2", s[[0, -1]], [0.0, -square], role="variant" if place.refuted else "bound")


ARROWS = {"g": r"$\nabla f$", "g_p": r"$\nabla f_p$", "g_perp": r"$\nabla f_\perp$"}
LABELS = {
    "a": {"g": (-1, 9), "g_p": (4, 8), "g_perp": (-13, 4)},
    "b": {"g": (13, 3), "g_p": (4, 8), "g_perp": (-6, -10)},
}
"""Where an arrow's label stands, in points from its head."""


def draw_decomposition(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 5.8))
    panels = figure.subplots(2, 2, height_ratios=[1.7, 1])
    titles = {"a": r"near a minimum, $H=\mathrm{diag}(1,0.2)$", "b": r"at a saddle, $H=\mathrm{diag}(1,-1)$"}
    for axes, panel, place in zip(panels[0], "ab", PLACES, strict=True):
        draw_landscape(axes, table, f"f at the {place}")
        _draw_arrows(axes, table, panel)
        axes.plot(0, 0, "+", color=rv.style.INK, markersize=6)
        axes.annotate(place, (0, 0), xytext=(0, -13), textcoords="offset points", fontsize=7, ha="center")
        axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        letter(axes, panel, titles[panel])
    for axes, panel, sign in zip(panels[1], "cd", ("falls", "rises"), strict=True):
        _draw_slopes(axes, table, panel)
        letter(axes, panel, f"the gap {sign} along $\\nabla f_\\perp$")
    return figure


def _draw_arrows(axes: Axes, table: Table, panel: str) -> None:
    way = table.one(panel, "ascent")
    axes.plot(way.x, way.y, **{**rv.style.look("exact"), "color": rv.style.INK})
    for end, name, fill, offset in ((0, "$x$", rv.style.INK, (-9, -9)), (1, r"$x+\rho u$", "white", (6, -3))):
        axes.plot(way.x[end], way.y[end], "o", color=rv.style.INK, markerfacecolor=fill, markersize=4, zorder=4)
        axes.annotate(name, (way.x[end], way.y[end]), xytext=offset, textcoords="offset points")
    for number, (name, text) in enumerate(ARROWS.items()):
        s, colour = table.one(panel, name), rv.style.COLOURS[number]
        tail, head = (float(s.x[0]), float(s.y[0])), (float(s.x[1]), float(s.y[1]))
        look = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
        axes.annotate("", head, tail, arrowprops=look)
        axes.annotate(text, head, xytext=LABELS[panel][name], textcoords="offset points", color=colour,
                      ha="center", va="center")  # fmt: skip


def _draw_slopes(axes: Axes, table: Table, panel: str) -> None:
    gap, tangent, claimed = table.of(panel)
    axes.plot(gap.x, gap.y, **{**rv.style.look("measured", 2), "markevery": 5},
              label=r"$h_1(x+s\nabla f_\perp)-h_1(x)$")  # fmt: skip
    times = tangent.y[1] / -claimed.y[1]
    axes.plot(tangent.x, tangent.y, **{**rv.style.look("exact"), "color": rv.style.INK},
              label=f"its tangent, slope ${times:+.3g}\\,\\|\\nabla f_\\perp\\|^2$")  # fmt: skip
    word = "bound" if claimed.role == "bound" else "refuted"
    axes.plot(claimed.x, claimed.y, **rv.style.look(claimed.role, 1),
              label=f"{word}: slope at most $-\\|\\nabla f_\\perp\\|^2$")  # fmt: skip
    axes.axhline(0, color=rv.style.PALE, linewidth=0.6, zorder=0)
    axes.set(xlabel=r"$s$", ylabel="change of the gap $h_1$")
    axes.legend(loc="lower left" if claimed.role == "bound" else "upper left")


# -- the surrogate gap and the largest eigenvalue --

LINES = {
    "curvature rises at the rate M": "bent:curvature=1,bend=0.5,reach=1",
    "curvature falls at the rate M": "bent:curvature=1,bend=-0.5,reach=1",
}
PLANE = "cosine-sum:w=1/0.2"
SAME_BAND = "cosine-sum:w=1"
"""On the line, where the claim knows the exact maximum; its lambda_max and M are those of PLANE."""
DIRECTIONS = {"steepest": (1.0, 0.0), "between": (1.0, 5.0), "flattest": (0.0, 1.0)}
"""On which side of the minimum one step starts; with the second, the gradient lies along (1, 1)."""


def at_minimum(spec: str, rho: float) -> rv.Setting:
    problem = rv.problems.build(spec)
    return rv.make_setting(problem, method=rv.methods.build("gsam"), gamma=0.1, rho=rho, x0=np.zeros(problem.d))


class Band(NamedTuple):
    """2 h/rho^2 at a minimum of a function on the line, and the ends of what it may be; each (K,)."""

    gap: Values
    low: Values
    high: Values


def band(spec: str, rhos: Values) -> Band:
    claim, rows = rv.claims["gsam/surrogate-gap"], []
    for rho in rhos.tolist():
        setting = at_minimum(spec, rho)
        below, above = (claim.measure(trial, setting, steps=1) for trial in ("from below", "from above"))
        rows.append([2 / rho**2 * end for end in (above.measured[0], below.stated({})[0], above.stated({})[0])])
    return Band(*np.array(rows).T)


def highest(rho: float) -> float:
    """The largest f - f* of PLANE within rho <= pi of the minimum. It rises with |x_1| and with |x_2| that far, so that
    the maximum lies on the circle."""
    angles = np.linspace(0, np.pi / 2, 721)
    circle = rho * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return float(rv.evaluate(at_minimum(PLANE, rho), circle)[0].max())


def nearby(start: tuple[float, float], rho: float) -> float:
    """h_1 at a distance 1e-6 from the minimum of PLANE: at the minimum itself there is no gradient to ascend."""
    point = 1e-6 * np.array([start]) / np.linalg.norm(start)
    return float(one_step_gap(at_minimum(PLANE, rho), point)[0])


def measure_gap(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "rho, dimensionless", "2 h/rho^2 at the minimum of a function on the line, dimensionless")
    table.axes("b", "rho, dimensionless", "2 h/rho^2 at and near the minimum of cosines in the plane, dimensionless")
    rhos = np.linspace(0.05, 2, quality.pick(40, 118))
    for panel, specs in (("a", LINES), ("b", {"": SAME_BAND})):
        for name, spec in specs.items():
            found = band(spec, rhos)
            if name:
                table.add(panel, name, rhos, found.gap)
        table.add(panel, "lambda_max - M rho/3", rhos, found.low, role="bound")
        table.add(panel, "lambda_max + M rho/3", rhos, found.high, role="bound")
    table.add("b", "exact maximum", rhos, [2 * highest(rho) / rho**2 for rho in rhos.tolist()])
    for name, start in DIRECTIONS.items():
        gaps = [2 * nearby(start, rho) / rho**2 for rho in rhos.tolist()]
        table.add("b", f"one step, {name}", rhos, gaps, role="variant")
    curvatures = np.linalg.eigvalsh(rv.problems.build(PLANE).hessian(np.zeros(2)))
    for name, curvature in zip(("lambda_min", "lambda_max"), curvatures, strict=True):
        table.add("b", name, rhos[[0, -1]], curvature, role="exact")
    return table


def draw_gap(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.3))
    left, right = figure.subplots(1, 2)
    for axes, panel in ((left, "a"), (right, "b")):
        low, high = table.of(panel, "bound")
        axes.fill_between(low.x, low.y, high.y, color=rv.style.FAINT, alpha=0.5, linewidth=0)
        for s in (low, high):
            axes.plot(s.x, s.y, **rv.style.look("bound", 1))
        axes.set(xlabel=r"radius $\rho$", ylabel=r"$2h/\rho^2$")
    for number, s in zip((0, 2), table.of("a", "measured"), strict=True):
        left.plot(s.x, s.y, **{**rv.style.look("measured", number), "markevery": 3})
        left.annotate(s.name.replace(" at the rate M", "\nas fast as it may"), (1.0, float(np.interp(1.0, s.x, s.y))),
                      xytext=(0, 26 if number == 0 else -34), textcoords="offset points", fontsize=7, ha="center",
                      arrowprops={"arrowstyle": "-", "color": rv.style.PALE, "linewidth": 0.6})  # fmt: skip
    left.set(ylim=(0.4, 1.6))
    maximum = table.one("b", "exact maximum")
    right.plot(maximum.x, maximum.y, **{**rv.style.look("measured", 0), "markevery": 3})
    for number, s in enumerate(table.of("b", "variant"), 3):
        right.plot(s.x, s.y, **rv.style.look("variant", number))
        right.annotate(s.name.removeprefix("one step, "), (s.x[-1], s.y[-1]), xytext=(4, -1),
                       textcoords="offset points", fontsize=7, va="center")  # fmt: skip
    for s in table.of("b", "exact"):
        right.plot(s.x, s.y, **{**rv.style.look("exact"), "color": rv.style.INK})
        right.annotate(f"$\\lambda_{{\\{s.name.removeprefix('lambda_')}}}$", (s.x[-1], s.y[-1]), xytext=(4, 5),
                       textcoords="offset points", va="center")  # fmt: skip
    right.set(xlim=(0, 2.45), ylim=(0, 1.75))
    letter(left, "a", r"at minima on the line, $\lambda_{\max}=1$, $M=0.5$")
    letter(right, "b", r"a minimum of cosines in the plane, $M=1$")
    words = {
        "measured": "exact maximum over the ball",
        "bound": r"bound $\lambda_{\max}\pm M\rho/3$",
        "variant": "one ascent step from beside the minimum",
        "exact": "eigenvalues",
    }
    figure.legend(handles=role_lines(words), loc="outside lower center", ncols=4)
    return figure


# -- what a constant radius leaves --

CURVATURES = "spectrum:h=1/0.9/0.8/0.7/0.6/0.5/0.4/0.3/0.2/0.1"
"""The quadratic of `scheduled` without its noise."""
FLOOR_STEPS = 2000
BATCHES = f"batches of {BATCH}"


class Gradients(NamedTuple):
    """||F|| along a run, F = grad f(x + rho u). least: of the run. late: E||F||, mean of the second half, one for each
    copy. low: mu rho, below which no ||F|| is. high: sqrt(B) + L rho, at least as much as that mean."""

    least: float
    late: Values
    low: float
    high: float


def constant_radius(rho: float, *, noisy: bool) -> rv.Setting:
    """GSAM with the constant step of the schedules, from the same start."""
    setting = scheduled(PLANS["constant"], rho)
    if noisy:
        return setting
    problem = rv.problems.build(CURVATURES)
    return replace(setting, problem=problem, sampling=rv.make_setting(problem).sampling)


def sam_gradients(setting: rv.Setting, copies: int = 1, seed: int = 0) -> Gradients:
    rho, half = setting.rho.largest, FLOOR_STEPS // 2
    times = np.arange(FLOOR_STEPS) if copies == 1 else np.arange(half, FLOOR_STEPS, 50)
    run = rv.simulate(setting, steps=FLOOR_STEPS, times=times, replicates=copies, seed=seed, iterates=True)
    quiet = constant_radius(rho, noisy=False)
    norms = np.array([[np.linalg.norm(rv.gsam_parts(quiet.problem, x, rho).gp) for x in copy] for copy in run.points])
    band = []
    for trial, constant in (("from below", "lowest"), ("from above", "highest")):
        # At every point the claim states ||grad f|| + this.
        stated = rv.claims["gsam/sam-gradient-band"].measure(trial, quiet, steps=2).stated
        band.append(float((stated({}) - stated({constant: 0.0}))[0]))
    said = promise(setting, FLOOR_STEPS)
    gap = float(run.gap[:, np.searchsorted(times, half)].mean())
    late = Promise(gap, said.gamma[half:], said.spent[half:], said.gradients[half:]).average()[-1]
    return Gradients(float(norms.min()), norms[:, times >= half].mean(axis=1), band[0], float(np.sqrt(late)) + band[1])


RARE, LIFT = 10, 9.0
"""One of RARE components has slope LIFT, the others together -LIFT: nine in ten sampled gradients point one way."""


class Regime(NamedTuple):
    """A function on the line, and where SAM with this radius starts. claim: its bound."""

    problem: str
    rho: float
    start: float
    claim: str = "constant-radius/nonconvex"


REGIMES = {
    "parabola": Regime("spectrum:h=1", 0.1, 1.0, "constant-radius/convex"),
    "sawtooth": Regime("tent:a=0.002,rho=1,beta=1", 1.0, 0.3),
    "sine": Regime("sine-stall:rho=1,beta=1", 1.0, 0.1),
}
STEP_SIZES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
SMALL_STEPS = STEP_SIZES[2:]


def on_line(regime: Regime, gamma: float) -> rv.Setting:
    problem = rv.problems.build(regime.problem)
    step = gamma / problem.L.value
    return rv.make_setting(problem, method=rv.methods.build("sam"), gamma=step, rho=regime.rho, x0=[regime.start])


def floor_of(regime: Regime, gamma: float) -> float:
    """||grad f||^2/(L rho)^2 in the end."""
    setting = on_line(regime, gamma)
    steps = round(40 / gamma) + 40
    run = rv.simulate(setting, steps=steps, times=[steps], tier="textbook")
    return float(run.grad_norm2[0, -1] / (setting.problem.L.value * regime.rho) ** 2)


def floor_bound(regime: Regime, gamma: float) -> float:
    facts = rv.facts_of(on_line(regime, gamma))
    return float(rv.claims[regime.claim].bound(facts, FOREVER)[0] / (facts.L_f * facts.rho.largest) ** 2)


def exact_floor(gamma: float) -> float:
    """Of the parabola: there the plateau of f - f* is ||grad f||^2/(2 L)."""
    regime = REGIMES["parabola"]
    run = on_line(regime, gamma)
    setting = rv.make_setting(run.problem, gamma=run.gamma, rho=run.rho, lam=1.0, x0=run.x0)
    facts = rv.facts_of(setting)
    plateau = float(rv.claims["unified-sam/plateau"].bound(facts, FOREVER)[0])
    return 2 * plateau / (facts.L_f * regime.rho**2)


def lopsided(gamma: float) -> rv.Setting:
    """SAM on x^2/2 with single components x^2/2 + s_i x, one s_i large and the others small and of the other sign."""
    slopes = "/".join([repr(LIFT), *[repr(-LIFT / (RARE - 1))] * (RARE - 1)])
    problem = rv.problems.build(f"parabolas:h={'/'.join(['1'] * RARE)},slopes={slopes}")
    sampling = rv.samplings.build("uniform", problem=problem)
    return rv.make_setting(problem, sampling=sampling, method=rv.methods.build("sam"), gamma=gamma, rho=1.0, x0=[0.0])


def drift(gamma: float, copies: int, seed: int) -> tuple[float, float]:
    """grad f at the stationary mean of x, and its standard error."""
    setting = lopsided(gamma)
    steps = round(20 / gamma) + 400
    times = np.unique(np.linspace(steps // 2, steps, 200).astype(int))
    run = rv.simulate(setting, steps=steps, times=times, replicates=copies, seed=seed, gradients=False, iterates=True)
    means = run.points[:, :, 0].mean(axis=1)
    slope = float(setting.problem.gradient(np.array([means.mean()]))[0])
    return slope, float(means.std(ddof=1) / np.sqrt(copies)) * setting.problem.L.value


def measure_floor(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "rho, dimensionless", "||grad f(x_t + rho u_t)||, dimensionless")
    table.axes("b", "gamma L, dimensionless", "||grad f||^2/(L rho)^2 that stays, dimensionless")
    _radii(table, quality)
    for name, regime in REGIMES.items():
        table.add("b", name, STEP_SIZES, [floor_of(regime, gamma) for gamma in STEP_SIZES])
    table.add("b", "parabola", STEP_SIZES, [exact_floor(gamma) for gamma in STEP_SIZES], role="exact")
    for name, regime in (("convex", REGIMES["parabola"]), ("not convex", REGIMES["sawtooth"])):
        table.add("b", name, STEP_SIZES, [floor_bound(regime, gamma) for gamma in STEP_SIZES], role="bound")
    found = np.array([drift(gamma, quality.pick(64, 1000), quality.seed) for gamma in SMALL_STEPS])
    size, error = np.abs(found[:, 0]), found[:, 1]
    ends = {"low": np.maximum(size - 2 * error, 0) ** 2, "high": (size + 2 * error) ** 2}
    table.add("b", "lopsided noise", SMALL_STEPS, size**2, **ends)
    # As gamma -> 0 the mean of the signs that the components have is what the gradient must make up for.
    table.add("b", "lopsided noise", [SMALL_STEPS[-1], SMALL_STEPS[0]], (1 - 2 / RARE) ** 2, role="exact")
    return table


def _radii(table: Table, quality: Quality) -> None:
    rhos = np.geomspace(1e-3, 1, quality.pick(10, 31))
    full = [sam_gradients(constant_radius(rho, noisy=False)) for rho in rhos.tolist()]
    copies = quality.pick(16, 200)
    noisy = [sam_gradients(constant_radius(rho, noisy=True), copies, quality.seed) for rho in rhos.tolist()]
    table.add("a", "full batch, least of the run", rhos, [found.least for found in full])
    table.add("a", "full batch, mean of the second half", rhos, [float(found.late[0]) for found in full])
    _with_error(table, "a", f"{BATCHES}, mean of the second half", rhos, np.array([found.late for found in noisy]).T)
    table.add("a", "mu rho", rhos, [found.low for found in full], role="bound")
    table.add("a", "full batch", rhos, [found.high for found in full], role="bound")
    table.add("a", BATCHES, rhos, [found.high for found in noisy], role="bound")


def draw_floor(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.9))
    left, right = figure.subplots(1, 2)
    for number, s in enumerate(table.of("a", "measured")):
        left.plot(s.x, s.y, **rv.style.look("measured", number), label=s.name)
        if np.isfinite(s.low).any():
            left.fill_between(s.x, s.low, s.high, color=rv.style.COLOURS[number], alpha=0.2, linewidth=0)
    labels = {"mu rho": r"bound from below $\mu\rho$", "full batch": r"bound $\sqrt{B}+L\rho$, full batch",
              BATCHES: rf"bound $\sqrt{{B}}+L\rho$, {BATCHES}"}  # fmt: skip
    for number, s in enumerate(table.of("a", "bound")):
        look = marked_bound(number, (1, 3)) if number else {**rv.style.look("bound"), "color": rv.style.INK}
        left.plot(s.x, s.y, **look, label=labels[s.name])
    left.set(xscale="log", yscale="log", xlabel=r"radius $\rho$", ylabel=r"$\|\nabla f(x_t+\rho u_t)\|$")
    left.legend(loc="upper center", bbox_to_anchor=(0.45, -0.17), ncols=1)
    letter(left, "a", "SAM gradients stay above $\\mu\\rho$")
    _draw_regimes(right, table)
    letter(right, "b", r"what stays as $t\to\infty$")
    return figure


def _draw_regimes(axes: Axes, table: Table) -> None:
    names = [s.name for s in table.of("b", "measured")]
    for number, name in enumerate(names):
        s = table.one("b", name, "measured")
        axes.plot(s.x, s.y, **rv.style.look("measured", number),
                  label=r"lopsided noise, $(\mathrm{E}\nabla f)^2$, 2 s.e." if "noise" in name else name)  # fmt: skip
        if np.isfinite(s.low).any():
            axes.fill_between(s.x, s.low, s.high, color=rv.style.COLOURS[number], alpha=0.2, linewidth=0)
    for name, number in (("parabola", 0), ("lopsided noise", 3)):
        s = table.one("b", name, "exact")
        axes.plot(s.x, s.y, **{**rv.style.look("exact", number), "color": rv.style.INK})
    for name, number in (("convex", 0), ("not convex", 1)):
        s = table.one("b", name, "bound")
        axes.plot(s.x, s.y, **marked_bound(number, (number, 2)), label=f"bound, {name}")
    axes.set(xscale="log", yscale="log", xlabel=r"step size $\gamma L$", ylabel=r"$\|\nabla f\|^2\,/\,(L\rho)^2$")
    handles = [*axes.get_legend_handles_labels()[0], *role_lines({"exact": "closed form or limit"})]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.45, -0.17), ncols=2)


FIGURES = (
    Spec(
        "gsam-schedules",
        "GSAM under a growing batch and under falling steps, with the bound of the weighted average (a, b) and of the "
        "best window (c). Per step the growing batch leads from its first doubling on; per sample gradient it trails, "
        "is level with the others where cosine and linear end, and leads only later.",
        measure_schedules,
        draw_schedules,
    ),
    Spec(
        "gsam-decomposition",
        "The gradient, the perturbed gradient, and what of the first is perpendicular to the second. Along it the gap "
        "of one ascent step falls near the minimum of a convex quadratic, as proved, and rises at a saddle.",
        measure_decomposition,
        draw_decomposition,
    ),
    Spec(
        "gsam-gap",
        "The surrogate gap at a minimum means the largest eigenvalue where the maximum over the ball is exact; one "
        "ascent step from beside the minimum may show any number between the extreme eigenvalues.",
        measure_gap,
        draw_gap,
    ),
    Spec(
        "gsam-floor",
        "What a constant radius leaves. No SAM gradient is shorter than mu rho (a); without convexity, or with "
        "lopsided noise, the gradient that stays does not fall with the step size, as it does on the parabola with a "
        "full batch (b).",
        measure_floor,
        draw_floor,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
