"""SAM with several ascent steps (Kim et al. 2023): the inner maximum, the path, the 2-cycle, averaging.

python -m paper_figs.multistep FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import add_landscape, draw_landscape, letter, line, marked_bound, role_lines, slope
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]

# -- what an ascent path reaches --


def multi_step(
    problem: rv.Problem,
    x0: Values,
    rho: float,
    n: int,
    *,
    ascent: str = "budget",
    descent: str = "last",
    gamma: float = 1.0,
) -> rv.Setting:
    method = rv.methods.build(f"multi-sam:steps={n},ascent={ascent},descent={descent}")
    return rv.make_setting(problem, method=method, gamma=gamma, rho=rho, x0=x0)


def descent_gradients(setting: rv.Setting, starts: Values) -> Values:
    """The D of x+ = x - gamma D at each row, as the engine takes it."""
    run = rv.simulate(setting, steps=1, times=[1], replicates=len(starts), starts=starts, gradients=False,
                      iterates=True, tier="textbook")  # fmt: skip
    return np.asarray((starts - run.points[:, 0]) / setting.gamma.largest)


def ends(setting: rv.Setting, starts: Values) -> Values:
    """Where the ascent from each row ends: the engine shows the gradient there, and the Hessian is invertible."""
    problem = setting.problem
    H = problem.hessian(problem.centre)
    return np.asarray(problem.centre + np.linalg.solve(H, descent_gradients(setting, starts).T).T)


def shares(problem: rv.Problem, starts: Values, rho: float, n: int, ascent: str) -> Values:
    """What part of the maximum over the ball the ascent from each row attains. The path of `fixed` has length n rho:
    there the ball has that radius."""
    setting = multi_step(problem, starts[0], rho, n, ascent=ascent)
    reach = n * rho if ascent == "fixed" else rho
    H = problem.hessian(problem.centre)
    best = np.array([rv.quadratic_on_ball(problem.gradient(x), H, reach).value for x in starts])
    after, _ = rv.evaluate(setting, ends(setting, starts))
    before, _ = rv.evaluate(setting, starts)
    return np.asarray((after - before) / best)


PLANE, CORNER, REACH = "spectrum:h=1/10", (1.0, 0.01), 2.0
"""H = diag(1, 10), x = (1, 0.01) and rho = 2: one step finds a fifth of the inner maximum."""
RULES = {"budget": "fixed budget", "fixed": "fixed step", "projected": "projected", "power": "full radius"}
COUNTS = (1, 2, 3, 5, 10, 20, 50, 100, 300, 1000)


def one_step_share(problem: rv.Problem, x0: Values, rho: float) -> float:
    """Below which the share of one ascent step never is."""
    setting = multi_step(problem, x0, rho, 1)
    # The start comes first of the points that are looked at.
    trial = rv.claims["multistep/inner-max-share"].measure("lost share", setting, steps=1)
    return 1 - float(trial.stated({})[0])


def flow_share(problem: rv.Problem, x0: Values, rho: float) -> float:
    """To which the share of a fixed budget tends as its steps grow in number."""
    trial = rv.claims["multistep/budget-gap"].measure("share below one", multi_step(problem, x0, rho, 1), steps=1)
    return float(trial.measured[1])


def plane() -> tuple[rv.Problem, Values]:
    return rv.problems.build(PLANE), np.array(CORNER)


def measure_inner_maximum(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "ascent steps n", "share of the inner maximum at x = (1, 0.01), H = diag(1, 10), rho = 2")
    table.axes("b", "ascent steps n", "share of the inner maximum, mean and least of random quadratics")
    problem, x = plane()
    for rule, name in RULES.items():
        table.add("a", name, COUNTS, [float(shares(problem, x[None, :], REACH, n, rule)[0]) for n in COUNTS])
    ends_of_n = [COUNTS[0], COUNTS[-1]]
    table.add("a", "one step", ends_of_n, one_step_share(problem, x, REACH), role="bound")
    table.add("a", "budget, n -> infinity", ends_of_n, flow_share(problem, x, REACH), role="exact")
    _random(table, quality)
    return table


class Instance(NamedTuple):
    problem: rv.Problem
    starts: Values
    rho: float


def instances(quality: Quality) -> list[Instance]:
    """Random spectra in [0.01, 1], starts off the eigenvectors, where one step is enough, and radii from below to above
    their lengths."""
    rng, found = np.random.default_rng([quality.seed, 23]), []
    for _ in range(quality.pick(12, 60)):
        d = int(rng.integers(2, 7))
        h = [1.0, *np.exp(rng.uniform(np.log(0.01), 0, d - 1))]
        problem = rv.problems.build("spectrum:h=" + "/".join(map(repr, map(float, h))))
        starts = rng.choice([-1.0, 1.0], (10, d)) * 10 ** rng.uniform(-1, 0.5, (10, d))
        found.append(Instance(problem, starts, float(10 ** rng.uniform(-0.5, 1))))
    return found


def _random(table: Table, quality: Quality) -> None:
    drawn = instances(quality)
    for rule in ("budget", "projected", "power"):
        found = np.array(
            [np.concatenate([shares(one.problem, one.starts, one.rho, n, rule) for one in drawn]) for n in COUNTS]
        )
        table.add("b", RULES[rule], COUNTS, found.mean(axis=1), low=found.min(axis=1), high=found.max(axis=1))
    lowest = np.array([one_step_share(one.problem, x, one.rho) for one in drawn for x in one.starts])
    table.add("b", "one step, mean", [COUNTS[0], COUNTS[-1]], lowest.mean(), role="bound")
    table.add("b", "one step, least", [COUNTS[0], COUNTS[-1]], lowest.min(), role="bound")


def draw_inner_maximum(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.6))
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(RULES.values())
    for s in table.of("a", "measured"):
        left.plot(s.x, s.y, **rv.style.look("measured", names.index(s.name)))
    for s in table.of("b", "measured"):
        number = names.index(s.name)
        right.plot(s.x, s.y, **rv.style.look("measured", number))
        right.plot(s.x, s.low, **{**rv.style.look("measured", number), "markerfacecolor": "white", "linewidth": 0.7})
    words = {"one step": "bound", "one step, mean": "mean of the bound", "one step, least": "least of the bound"}
    for axes, panel in ((left, "a"), (right, "b")):
        for role in ("bound", "exact"):
            for s in table.of(panel, role):
                axes.plot(s.x, s.y, **{**rv.style.look(role), "color": rv.style.INK})
                if role == "bound":
                    axes.annotate(words[s.name], (s.x[-1], s.y[-1]), xytext=(0, -4), fontsize=7,
                                  textcoords="offset points", ha="right", va="top")  # fmt: skip
        axes.axhline(1, color=rv.style.PALE, linewidth=0.8, zorder=0)
        axes.set(xscale="log", xlabel="ascent steps $n$", ylim=(0.1, 1.04))
    left.set(ylabel="share $Q_n$ of the inner maximum")
    letter(left, "a", r"$H=\mathrm{diag}(1,10)$, $x=(1,0.01)$, $\rho=2$")
    letter(right, "b", "random quadratics: mean, least (open)")
    labels = {"fixed step": r"fixed step (ball of radius $n\rho$)"}
    handles = [line("measured", k, labels.get(name, name)) for k, name in enumerate(names)]
    handles += role_lines({"bound": "bound from below for one step", "exact": r"fixed budget as $n\to\infty$"})
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


# -- the path in the plane --

PATHS = (1, 2, 5, 20)
FINE = 2048


def path(n: int, ascent: str = "budget") -> Values:
    """z_0, ..., z_n at CORNER: z_j ends a path of j steps, under a fixed budget one of j/n the length."""
    problem, x = plane()
    part = REACH / n if ascent == "budget" else REACH
    found = [x]
    for j in range(1, n + 1):
        rho = j * part if ascent == "budget" else part
        found.append(ends(multi_step(problem, x, rho, j, ascent=ascent), x[None, :])[0])
    return np.array(found)


def flow(lengths: Values) -> Values:
    """Points of normalised gradient flow from CORNER at these lengths."""
    problem, x = plane()
    H, g = problem.hessian(problem.centre), problem.gradient(x)
    return np.array([x + (rv.ascent_flow(H, g, s) if s > 0 else 0.0) for s in lengths.tolist()])


def maximiser() -> Values:
    problem, x = plane()
    return np.asarray(x + rv.quadratic_on_ball(problem.gradient(x), problem.hessian(x), REACH).point)


def measure_path(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "x_1, dimensionless", "x_2, dimensionless")
    table.axes("b", "ascent steps n", "distance of the end of the path, dimensionless")
    problem, x = plane()
    add_landscape(table, "f", multi_step(problem, x, REACH, 1), np.linspace(0.2, 3.2, 31), np.linspace(-0.3, 2.4, 28))
    angles = np.linspace(0, 2 * np.pi, 181)
    table.add("a", "ball", x[0] + REACH * np.cos(angles), x[1] + REACH * np.sin(angles), role="exact")
    for n in PATHS:
        table.add("a", f"fixed budget, n = {n}", *path(n).T)
    table.add("a", "projected, n = 5", *path(5, "projected").T, role="variant")
    table.add("a", "normalised gradient flow", *flow(np.linspace(0, REACH, 41)).T, role="exact")
    table.add("a", "maximiser", *maximiser()[:, None], role="exact")
    _distances(table)
    return table


def _distances(table: Table) -> None:
    problem, x = plane()
    counts = np.unique(np.round(np.geomspace(1, FINE, 23)).astype(int))
    far = {}
    for rule in ("budget", "projected"):
        last = [ends(multi_step(problem, x, REACH, n, ascent=rule), x[None, :])[0] for n in counts.tolist()]
        far[rule] = np.linalg.norm(np.array(last) - maximiser(), axis=1)
    claim = rv.claims["multistep/budget-flow"]
    trial = claim.measure("distance to the flow", multi_step(problem, x, REACH, 3), steps=1)
    table.add("b", "fixed budget, from the end of the flow", 1 / trial.at, trial.measured)
    table.add("b", "fixed budget, from the maximiser", counts, far["budget"])
    # What is left below 1e-12 is rounding.
    kept = far["projected"] > 1e-12
    table.add("b", "projected, from the maximiser", counts[kept], far["projected"][kept], role="variant")
    limit = float(np.linalg.norm(flow(np.array([REACH]))[0] - maximiser()))
    table.add("b", "end of the flow, from the maximiser", counts[[0, -1]], limit, role="exact")


def draw_path(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.9))
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    draw_landscape(left, table, "f", levels=16)
    _draw_paths(left, table)
    letter(left, "a", r"ascent from $x$ in the plane, $H=\mathrm{diag}(1,10)$")
    for number, s in enumerate(table.of("b", "measured")):
        right.plot(s.x, s.y, **{**rv.style.look("measured", 5 + number), "markevery": 1 + number})
    for s, number in ((table.of("b", "variant")[0], 4), (table.of("b", "exact")[0], 0)):
        look = rv.style.look(s.role, number)
        right.plot(s.x, s.y, **({**look, "color": rv.style.INK} if s.role == "exact" else look))
    slope(right, -1, 150, 0.1)
    for text, place in (
        ("fixed budget, from the maximiser", (2500, 1.1)),
        ("fixed budget,\nfrom the flow's end", (2500, 1.2e-4)),
        ("projected,\nfrom the maximiser", (42, 2e-7)),
    ):
        right.text(*place, text, fontsize=7, ha="left" if place[0] < 100 else "right", va="bottom")
    right.set(xscale="log", yscale="log", xlabel="ascent steps $n$", ylabel="distance of the end $z_n$", ylim=(1e-8, 8))
    letter(right, "b", "where it ends")
    words = {"exact": "flow, its end, and the ball", "variant": "projected, $n=5$"}
    handles = [line("measured", k, f"fixed budget, $n={n}$") for k, n in enumerate(PATHS)]
    figure.legend(handles=[*handles, *role_lines(words)], loc="outside lower center", ncols=3)
    return figure


def _draw_paths(axes: Axes, table: Table) -> None:
    ball, maximum = table.one("a", "ball"), table.one("a", "maximiser")
    axes.plot(ball.x, ball.y, **{**rv.style.look("exact"), "color": rv.style.PALE, "linewidth": 1.2})
    for number, s in enumerate(table.of("a", "measured")):
        axes.plot(s.x, s.y, **rv.style.look("measured", number), zorder=5 - number)
    for s, colour in ((table.of("a", "variant")[0], rv.style.COLOURS[4]),
                      (table.one("a", "normalised gradient flow"), rv.style.INK)):  # fmt: skip
        marks = {"marker": "P"} if s.role == "variant" else {}
        axes.plot(s.x, s.y, **{**rv.style.look(s.role), "color": colour, **marks})
    axes.plot(maximum.x, maximum.y, "*", color=rv.style.INK, markersize=9)
    axes.annotate("maximiser", (maximum.x[0], maximum.y[0]), xytext=(0, 6), textcoords="offset points", ha="center",
                  fontsize=7)  # fmt: skip
    start = table.one("a", "fixed budget, n = 1")
    axes.annotate("$x$", (start.x[0], start.y[0]), xytext=(-8, -8), textcoords="offset points")
    axes.annotate("sphere of\nradius $\\rho$", (0.3, 1.88), xytext=(2, -6), textcoords="offset points", va="top",
                  fontsize=7)  # fmt: skip
    axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal", xlim=(0.2, 3.2), ylim=(-0.3, 2.4))


# -- cycles and averages --

TWO, STEP, SMALL = "spectrum:h=1/0.1", 0.8, 0.1
BESIDE = (0.1, 1.0)
"""Where averages are taken: the gradient is as long along one eigenvector as along the other, and turns fast."""
DESCENTS = {"last": "last gradient", "average": "average of 1..n", "average-start": "average of 0..n"}
NUMBERS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 50)


def amplitude(n: int, descent: str) -> tuple[float, float]:
    """Of the 2-cycle: measured and stated."""
    problem = rv.problems.build(TWO)
    setting = multi_step(problem, np.ones(2), SMALL, n, descent=descent, gamma=STEP)
    trial = rv.claims["multistep/cycle"].measure("amplitude", setting, steps=2000)
    return float(trial.measured[0]), float(trial.stated({})[0])


class Radius(NamedTuple):
    """rho'/rho of the single-step SAM that an average stands for: the best fit to the descent gradient at BESIDE, how
    far from the exact value it may be, and both sides of that bound as distances of gradients."""

    measured: float
    room: float
    distance: float
    bound: float


def averaged(n: int, rho: float) -> Radius:
    problem, x = rv.problems.build(TWO), np.array(BESIDE)
    setting = multi_step(problem, x, rho, n, descent="average")
    g, H = problem.gradient(x), problem.hessian(x)
    bend = H @ g / np.linalg.norm(g)
    fit = float((descent_gradients(setting, x[None, :])[0] - g) @ bend / (bend @ bend))
    trial = rv.claims["multistep/averaged-radius"].measure("averaged gradient", setting, steps=1)
    distance, bound = float(trial.measured[0]), float(trial.stated({})[0])
    return Radius(fit / rho, bound / float(np.linalg.norm(bend)) / rho, distance, bound)


def measure_cycle(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "ascent steps n", "amplitude of the 2-cycle over rho, gamma L = 0.8, dimensionless")
    table.axes("b", "ascent steps n", "effective radius over rho at rho = 0.1, dimensionless")
    table.axes("c", "rho, dimensionless", "distance of the averaged gradient from SAM's at rho', dimensionless")
    stated = {}
    for descent, name in DESCENTS.items():
        measured, stated[descent] = np.array([amplitude(n, descent) for n in NUMBERS]).T
        table.add("a", name, NUMBERS, measured / SMALL)
        table.add("a", name, NUMBERS, stated[descent] / SMALL, role="exact")
    # Amplitudes are proportional to the radius, and the last gradient has the whole of it.
    exact = stated["average"] / stated["last"]
    found = [averaged(n, SMALL) for n in NUMBERS]
    table.add("b", "average of 1..n", NUMBERS, [one.measured for one in found])
    table.add("b", "average of 1..n", NUMBERS, exact, role="exact")
    for sign, end in ((-1, "lower end"), (1, "upper end")):
        table.add("b", end, NUMBERS, exact + sign * np.array([one.room for one in found]), role="bound")
    rhos = np.geomspace(0.01, 3, quality.pick(13, 40))
    for n in (2, 20):
        ways = [averaged(n, rho) for rho in rhos.tolist()]
        table.add("c", f"n = {n}", rhos, [one.distance for one in ways])
        table.add("c", f"n = {n}", rhos, [one.bound for one in ways], role="bound")
    return table


def draw_cycle(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.2))
    left, middle, right = figure.subplots(1, 3)
    names = list(DESCENTS.values())
    for number, name in enumerate(names):
        s, exact = (table.one("a", name, role) for role in ("measured", "exact"))
        left.plot(exact.x, exact.y, **{**rv.style.look("exact"), "color": rv.style.INK})
        left.plot(s.x, s.y, **{**rv.style.look("measured", number), "linestyle": "none"})
    left.set(xscale="log", xlabel="ascent steps $n$", ylabel=r"amplitude $/\,\rho$", ylim=(0, 0.75))
    letter(left, "a", r"2-cycle, $\gamma L=0.8$")
    low, high = table.of("b", "bound")
    middle.fill_between(low.x, low.y, high.y, color=rv.style.FAINT, alpha=0.5, linewidth=0)
    for s in (low, high):
        middle.plot(s.x, s.y, **{**rv.style.look("bound"), "color": rv.style.INK})
    s, exact = (table.of("b", role)[0] for role in ("measured", "exact"))
    middle.plot(exact.x, exact.y, **{**rv.style.look("exact"), "color": rv.style.INK})
    middle.plot(s.x, s.y, **{**rv.style.look("measured", 1), "linestyle": "none"})
    middle.set(xscale="log", xlabel="ascent steps $n$", ylabel=r"effective radius $\rho'/\rho$")
    letter(middle, "b", r"average of 1..n, $\rho=0.1$")
    counts = table.of("c", "measured")
    for number, s in enumerate(counts, 3):
        bound = table.one("c", s.name, "bound")
        right.plot(s.x, s.y, **{**rv.style.look("measured", number), "markevery": (number - 3, 2)})
        right.plot(bound.x, bound.y, **marked_bound(number, (number - 3, 4)))
    slope(right, 2, 0.1, 3e-5)
    right.set(xscale="log", yscale="log", xlabel=r"radius $\rho$", ylabel=r"distance from SAM with $\rho'$")
    letter(right, "c", "average of 1..n")
    handles = [line("measured", k, name) for k, name in enumerate(names)]
    handles += [line("measured", k, f"c: ${s.name}$") for k, s in enumerate(counts, 3)]
    handles += role_lines({"exact": "exact", "bound": "bound (b: both ends)"})
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


FIGURES = (
    Spec(
        "multistep-inner-maximum",
        "What part of the inner maximum n ascent steps find. A fixed budget stops short of it however many steps it is "
        "cut into; the projected rule and the full-radius rule reach it.",
        measure_inner_maximum,
        draw_inner_maximum,
    ),
    Spec(
        "multistep-path",
        "The ascent path of a fixed budget tends to normalised gradient flow of that length, at a distance of order "
        "1/n, and the flow ends inside the ball; the projected rule goes along the sphere to the maximiser.",
        measure_path,
        draw_path,
    ),
    Spec(
        "multistep-cycle",
        "The 2-cycle is the same for every number of steps with the last gradient, and smaller with an averaged one "
        "(a): to second order, averaging is SAM with the radius rho (n + 1)/(2 n) (b, c).",
        measure_cycle,
        draw_cycle,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
