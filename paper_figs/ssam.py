"""SSAM (Tan et al., JMLR 2025) and uniform stability: saddles, the range of step sizes, two data sets.

python -m paper_figs.ssam FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import letter, role_lines, slope
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Series, Table

Values = NDArray[np.float64]

PLAIN, NORMALISED = "ssam:ascent=unnormalised", "ssam:ascent=normalised"

RULES = {
    "GD": "sgd",
    "USAM": "usam",
    "SAM": "sam",
    "SSAM, unnormalised": PLAIN,
    "SSAM, normalised": NORMALISED,
}
"""The update rules by their names in the figures, which also say in which order colours and markers are given."""

LATE = np.array([10**12])


def _look(number: int, role: str = "measured") -> dict[str, Any]:
    """Hollow markers, the later ones smaller, so that rules that agree are seen one within the other."""
    look = rv.style.look(role, number)
    if "marker" in look:
        look |= {"markerfacecolor": "none", "markersize": 7.5 - 1.2 * number, "markeredgewidth": 0.9}
    return look


def _handles(names: list[str], **changes: Any) -> list[Line2D]:
    """Legend entries of the rules, with their hollow markers."""
    return [Line2D([], [], label=name, **{**_look(number), **changes}) for number, name in enumerate(names)]


# -- escape from a saddle --

SADDLE_STEP = 0.05
MOST_STEPS = 6000
START, EXIT = 0.3, 100.0
"""Distances from the saddle on the line, at the start and where a run counts as escaped."""

NOISE, NEAR = 1e-4, 0.1
"""The standard deviation of a gradient's noise in each coordinate, and the distance that counts as escaped from it:
the ratio is that of 1e-3 to 1, and so near to its saddle the cosine is a parabola to two parts in a thousand."""


def measure_saddle(quality: Quality) -> Table:
    table = Table()
    steps = f"first step beyond the distance, infinite where it is none of {MOST_STEPS}"
    table.axes("a", f"rho lambda, dimensionless; from |y| = {START:g} to {EXIT:g} on the line", steps)
    table.axes("b", "rho lambda, dimensionless; from the saddle itself, gradients with noise", f"{steps}; median")
    _on_the_line(table)
    _with_noise(table, quality)
    return table


def _on_the_line(table: Table) -> None:
    """(x^2 - y^2)/2 from (0, START), and the multipliers of the claim iterated from there."""
    problem = rv.Quadratic.with_eigenvalues([1.0, -1.0])
    rhos = np.array([0.02, 0.1, 0.2, 0.25, 0.28, 0.32, 0.4, 0.55, 0.7, 0.8, 0.9, 0.95, 0.98, 1.02, 1.1, 1.25, 1.4])
    fine = np.unique(np.concatenate([np.linspace(0.01, 0.99 * START, 24), np.linspace(1.01 * START, 0.985, 40)]))
    for name, method in RULES.items():
        found = []
        for rho in rhos:
            setting = _saddle(problem, method, float(rho), [0.0, START])
            run = rv.simulate(setting, steps=MOST_STEPS, times=_each_step(), gradients=False, iterates=True,
                              tier="textbook")  # fmt: skip
            found.append(_first(np.abs(run.points[:, :, 1]) > EXIT)[0])
        table.add("a", name, rhos, found)
        grid = fine if method not in ("sam", NORMALISED) else fine[fine < START]
        expected = [predicted_escape(method, rv.facts_of(_saddle(problem, method, rho, [0.0, START]))) for rho in grid]
        table.add("a", name, grid, expected, role="exact")


def _saddle(problem: rv.Problem, method: str, rho: float, x0: list[float]) -> rv.Setting:
    return rv.make_setting(problem, method=rv.methods.build(method), gamma=SADDLE_STEP, rho=rho, x0=x0)


def _each_step() -> NDArray[np.int64]:
    """Every step up to 700, then every tenth."""
    return np.concatenate([np.arange(700), np.arange(700, MOST_STEPS + 1, 10)])


def _first(beyond: NDArray[np.bool_]) -> Values:
    """The recorded time of the first True in each row, infinite where there is none."""
    times = _each_step().astype(float)
    return np.where(beyond.any(axis=1), times[beyond.argmax(axis=1)], np.inf)


def predicted_escape(method: str, facts: rv.Facts) -> float:
    """How many multipliers of the claim ssam/saddle lead from START beyond EXIT; infinite where they do not."""
    first, last = rv.saddle_growth(method, facts, np.array([START, EXIT]))
    if first <= 0:  # and less further in
        return np.inf
    if first == last:
        return float(np.floor(np.log(EXIT / START) / np.log1p(first)) + 1)
    y, steps = START, 0
    while y <= EXIT:
        y, steps = y * (1 + float(rv.saddle_growth(method, facts, np.array([y]))[0])), steps + 1
    return float(steps)


def _with_noise(table: Table, quality: Quality) -> None:
    rhos = np.array([0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 1.05, 1.2, 1.4])
    copies = quality.pick(200, 1000)
    problem = noisy_saddle()
    for name, method in RULES.items():
        rows = []
        for rho in rhos if name != "GD" else rhos[:1]:
            first = noisy_escapes(problem, method, float(rho), copies, quality.seed)
            rows.append(np.quantile(first, [0.25, 0.5, 0.75], method="nearest"))
        low, middle, high = np.array(rows).T  # of one entry for GD, which reads no rho
        table.add("b", name, rhos, middle, low=low, high=high)
    curvature = rv.facts_of(_saddle(rv.Quadratic.with_eigenvalues([1.0, -1.0]), "usam", 0.0, [0.0, 0.0]))
    for name in ("GD", "USAM"):
        grid = np.linspace(0.02, 0.96, 60)
        expected = [median_escape(RULES[name], curvature.with_steps(SADDLE_STEP, float(rho))) for rho in grid]
        table.add("b", name, grid, expected, role="exact")


def noisy_saddle() -> rv.Problem:
    """(1 - cos x) + (1 - cos y), with curvatures 1 and -1 at (0, pi), and one of 1000 gradients a step: with rows of
    normal noise in all four signs, so that it has mean 0 and no correlation."""
    drawn = np.random.default_rng(0).standard_normal((2, 250))
    drawn *= NOISE / np.sqrt((drawn**2).mean(axis=1, keepdims=True))
    rows = np.concatenate([drawn, -drawn, drawn * [[1], [-1]], drawn * [[-1], [1]]], axis=1)
    slopes = "@".join("/".join(repr(float(entry)) for entry in row) for row in rows)
    return rv.problems.build(f"cosine-sum:w=1/1,slopes={slopes}")


def noisy_escapes(problem: rv.Problem, method: str, rho: float, copies: int, seed: int) -> Values:
    """The step at which each copy is NEAR or further from the saddle at (0, pi) where it starts."""
    sampling = rv.samplings.build("uniform", problem=problem)
    setting = replace(_saddle(problem, method, rho, [0.0, np.pi]), sampling=sampling)
    run = rv.simulate(
        setting, steps=MOST_STEPS, times=_each_step(), replicates=copies, seed=seed, gradients=False, iterates=True,
        tier="textbook",
    )  # fmt: skip
    return _first(np.abs(run.points[:, :, 1] - np.pi) > NEAR)


def median_escape(method: str, facts: rv.Facts) -> float:
    """When the median of |y_t| passes NEAR, for a rule that is linear in y: y_{t+1} = (1 + a) y_t + s xi_t.

    y_t is normal with variance s^2 ((1 + a)^(2 t) - 1)/((1 + a)^2 - 1), and |y| has the median 0.67449 of its
    standard deviation. a: the claim's multiplier less 1. s: the noise of a step, which the second gradient changes by
    the same factor as the gradient: a/(gamma h).
    """
    a, plain = (float(rv.saddle_growth(rule, facts, np.ones(1))[0]) for rule in (method, "sgd"))
    size = SADDLE_STEP * NOISE * a / plain
    needed = (NEAR / (0.67449 * size)) ** 2 * ((1 + a) ** 2 - 1) + 1
    return float(np.log(needed) / (2 * np.log1p(a)))


def draw_saddle(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.5))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, panel in ((left, "a"), (right, "b")):
        for number, name in enumerate(RULES):
            for s in table.of(panel, "exact"):
                if s.name == name:
                    axes.plot(s.x, s.y, **_look(number, "exact"))
            _escapes(axes, table.one(panel, name, "measured"), number)
        axes.axvline(1.0, color=rv.style.INK, linewidth=0.8)
        axes.axhspan(MOST_STEPS * 1.15, MOST_STEPS * 12, color=rv.style.FAINT, alpha=0.5, linewidth=0)
        axes.set(yscale="log", xlabel=r"$\rho\lambda$", xlim=(0, 1.45), ylim=(40, MOST_STEPS * 12))
    left.plot([START, START], [1, MOST_STEPS * 1.15], color=rv.style.INK, linewidth=0.8, linestyle=(0, (2, 2)))
    left.text(START + 0.02, 52, r"$\rho=|y_0|$", fontsize=7)
    for axes in (left, right):
        axes.text(1.02, 52, r"$\rho\lambda=1$", fontsize=7)
    for axes in (left, right):
        axes.text(0.02, MOST_STEPS * 8.2, f"never within {MOST_STEPS:,} steps", fontsize=7)
    left.set_ylabel("steps until escaped")
    letter(left, "a", f"on the line, from $|y_0|={START:g}$ to {EXIT:g}")
    letter(right, "b", "from the saddle, noisy gradients")
    handles = _handles(list(RULES), linestyle="none")
    handles += role_lines({"exact": "from the multipliers (b: GD and USAM)"})
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _escapes(axes: Axes, s: Series, number: int) -> None:
    """Escape times with quartiles, and those that never escape in a row of their own at the top."""
    look = {**_look(number), "linestyle": "none"}
    left = np.isfinite(s.y)
    if np.isfinite(s.low).any():
        high = np.where(np.isfinite(s.high), s.high, MOST_STEPS)
        axes.vlines(s.x[left], s.low[left], high[left], color=str(look["color"]), linewidth=1.0)
    axes.plot(s.x[left], s.y[left], **look)
    row = MOST_STEPS * 1.45 * 1.42**number
    axes.plot(s.x[~left], np.full((~left).sum(), row), **{**look, "markersize": 4, "markerfacecolor": look["color"]})


# -- the range of step sizes --

SLOWEST = 0.1
"""mu of diag(mu, 1)."""

RADII = {"a": 1.0, "b": 5.0}
RUN, LONG_RUN = 200, 4000
"""Steps after which f is shown, and those by which a run has come near or has not."""

GONE = 1e6
"""f - f* that counts as diverged; the start has f - f* = (1 + mu)/2."""

CASES = ((0.1, 1.0), (0.05, 1.0), (0.1, 5.0), (0.05, 20.0))
"""mu and rho of the table of longest steps."""

GUARANTEES = {PLAIN: "ssam/quadratic-rate", NORMALISED: "ssam/normalised-rate"}
"""The claims that give a rate on quadratics, and so a step limit of their own."""


def measure_step_range(quality: Quality) -> Table:
    table = Table()
    gammas = np.linspace(0.02, 2.2, quality.pick(110, 219))
    for panel, rho in RADII.items():
        table.axes(panel, f"gamma L, dimensionless; rho L = {rho:g}", f"f - f* after {RUN} steps, infinite: diverged")
        for name, method in RULES.items():
            table.add(panel, name, gammas, final_gaps(method, SLOWEST, rho, gammas, RUN))
        admitted = gammas[gammas < 2]
        table.add(panel, "SAM", admitted, [_plateau(SLOWEST, rho, float(gamma)) for gamma in admitted], role="exact")
        for name in ("USAM", "GD"):
            table.add(panel, f"limit of {name}", [longest(RULES[name], SLOWEST, rho)] * 2, [0, 1], role="bound")
    table.axes("c", "longest gamma L that converges, dimensionless", "row: mu, rho and the rule")
    for row, (mu, rho, name) in enumerate((mu, rho, name) for mu, rho in CASES for name in RULES if name != "SAM"):
        method, label = RULES[name], f"mu = {mu:g}, rho = {rho:g}: {name}"
        table.add("c", label, measured_range(method, mu, rho), row)
        table.add("c", label, longest(method, mu, rho), row, role="exact")
        if method in GUARANTEES:
            table.add("c", label, guaranteed(method, mu, rho), row, role="bound")
    return table


def _ravine(method: str, mu: float, rho: float, gamma: float) -> rv.Setting:
    """diag(mu, 1) from (1, 1)."""
    problem = rv.Quadratic.with_eigenvalues([mu, 1.0])
    return rv.make_setting(problem, method=rv.methods.build(method), gamma=gamma, rho=rho, x0=[1.0, 1.0])


def final_gaps(method: str, mu: float, rho: float, gammas: Values, steps: int) -> Values:
    """f - f* at the end for each step size, infinite where it has grown beyond GONE."""
    found = []
    for gamma in gammas:
        run = rv.simulate(
            _ravine(method, mu, rho, float(gamma)), steps=steps, times=[steps], gradients=False, tier="textbook"
        )
        found.append(float(run.gap[0, 0]))
    gaps = np.array(found)
    return np.where(gaps < GONE, gaps, np.inf)


def _plateau(mu: float, rho: float, gamma: float) -> float:
    """The exact end of SAM, by the claim."""
    facts = rv.facts_of(rv.make_setting(rv.Quadratic.with_eigenvalues([mu, 1.0]), gamma=gamma, rho=rho, lam=1.0))
    return float(rv.claims["unified-sam/plateau"].bound(facts, LATE)[0])


def longest(method: str, mu: float, rho: float) -> float:
    """The longest step by the claim ssam/step-range."""
    return rv.ssam_longest_step(method, rv.facts_of(_ravine(method, mu, rho, 0.5)))


def guaranteed(method: str, mu: float, rho: float) -> float:
    """The step below which a rate is proved."""
    limits = [h.limit for h in rv.claims[GUARANTEES[method]].hypotheses if h.step_limit]
    return float(limits[0](rv.facts_of(_ravine(method, mu, rho, 0.5))))


def measured_range(method: str, mu: float, rho: float) -> float:
    """The largest multiple of 0.02 with which a run ends a million times nearer in f than it began."""
    gammas = np.linspace(0.02, 2.18, 109)
    return float(gammas[final_gaps(method, mu, rho, gammas, LONG_RUN) < 1e-6].max())


LOWEST = 1e-40
"""Of f - f* as drawn."""


def draw_step_range(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 6.0))
    grid = figure.add_gridspec(2, 1, height_ratios=[1, 0.95])
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    panels = above.subplots(1, 2, sharey=True)
    for number, panel in enumerate(RADII):
        _final(panels[number], table, panel)
    panels[0].set_ylabel(rf"$f-f^*$ after {RUN:,} steps")
    handles = _handles(list(RULES))
    handles += role_lines({"exact": "exact plateau of SAM"})
    above.legend(handles=handles, loc="outside lower center", ncols=3)
    _ranges(below.subplots(), table)
    return figure


def _final(axes: Axes, table: Table, panel: str) -> None:
    axes.axhspan(GONE, GONE * 1e12, color=rv.style.FAINT, alpha=0.5, linewidth=0)
    for number, name in enumerate(RULES):
        s = table.one(panel, name, "measured")
        kept = np.isfinite(s.y)
        look = _look(number)
        axes.plot(s.x[kept], np.maximum(s.y[kept], LOWEST), **{**look, "markevery": (2 * number, 10)})
        gone = s.x[~kept][1::6]
        row = np.full(len(gone), GONE * 30 * 150.0**number)
        axes.plot(gone, row, **{**look, "linestyle": "none", "markersize": 4, "markerfacecolor": look["color"]})
    s = table.one(panel, "SAM", "exact")
    axes.plot(s.x, s.y, **{**rv.style.look("exact"), "color": rv.style.INK})
    for limit, words in (("USAM", r"$2/(1+\rho L)$"), ("GD", "2")):
        at = table.one(panel, f"limit of {limit}").x[0]
        axes.axvline(at, color=rv.style.INK, linewidth=0.9, linestyle=(0, (5, 2)))
        axes.annotate(words, (at, 3 * LOWEST), xytext=(3, 0), textcoords="offset points", fontsize=7)
    axes.text(0.45, GONE * 3e9, "diverged", fontsize=7)
    axes.set(yscale="log", xlabel=r"$\gamma L$", xlim=(0, 2.25), ylim=(LOWEST / 10, GONE * 1e12))
    letter(axes, panel, rf"$\mu={SLOWEST:g}$, $\rho L={RADII[panel]:g}$")


def _ranges(axes: Axes, table: Table) -> None:
    """Measured and exact limits of the step, and where a rate is proved, row by row."""
    labels = []
    for s in table.of("c", "measured"):
        row, (case, _, name) = s.y[0], s.name.partition(": ")
        number = list(RULES).index(name)
        colour = rv.style.COLOURS[number]
        exact = table.one("c", s.name, "exact").x[0]
        axes.barh(row, exact, height=0.62, color=colour, alpha=0.18, linewidth=0)
        axes.plot([exact, exact], [row - 0.38, row + 0.38], color=rv.style.INK, linewidth=1.4, linestyle=(0, (1, 1)))
        for bound in table.of("c", "bound"):
            if bound.name == s.name:
                axes.barh(row, bound.x[0], height=0.62, color=colour, alpha=0.35, linewidth=0, hatch="////",
                          edgecolor="white")  # fmt: skip
                axes.text(bound.x[0] - 0.02, row, f"{bound.x[0]:.2f}", fontsize=6.5, ha="right", va="center",
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8})  # fmt: skip
        axes.plot(s.x, s.y, **{**_look(number), "markersize": 4.5})
        axes.text(2.06, row, f"{s.x[0]:.2f}", fontsize=6.5, va="center")
        labels.append(name)
        if int(row) % 4 == 0:
            axes.text(2.52, row + 1.5, case.replace("mu", r"$\mu$").replace("rho", r"$\rho$"), fontsize=7, va="center",
                      ha="center")  # fmt: skip
            if row:
                axes.axhline(row - 0.5, color=rv.style.PALE, linewidth=0.6)
    axes.set(xlim=(0, 2.75), ylim=(len(labels) - 0.5, -0.5), xlabel=r"$\gamma L$", yticks=range(len(labels)))
    axes.set_yticklabels(labels, fontsize=6.5)
    axes.set_xticks([0, 0.5, 1, 1.5, 2])
    letter(axes, "c", "longest step: measured (number), exact (dotted), rate proved up to (hatched)")


# -- two data sets that differ in one example --

RHO, GAMMA, Z = 0.3, 0.5, 0.5
"""Not z = 0.4, from which SAM with these step sizes comes to rest at 0 exactly: see the claim ssam/stability-floor."""

SIZES = (16, 64, 256, 1024)
ALONG = 256
DATA = {
    "a": "quadratic-losses:n={n},examples=outlier,Z=0.5",
    "c": "quadratic-losses:n={n},h=1/0.1",
}
BALL = {"a": 0.5, "c": 7.2}
"""Radii of balls about 0 that SGD does not leave: |z_j|/h_j bounds each coordinate."""

BOUNDS = {"GD": "stability/strongly-convex", "USAM": "ssam/usam-stability", "SAM": "ssam/stability-upper"}
MOMENTS = 40
"""Times of the second half of a run over which distances are averaged, as in the claim ssam/stability-exponent."""


def measure_stability(quality: Quality) -> Table:
    table = Table()
    copies = quality.pick(600, 6000)
    for panel in DATA:
        table.axes(panel, "examples n", "E||x_t - x_t'||, mean over the second half of 8 n steps, dimensionless")
        rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
        for n in SIZES:
            times = np.unique(np.round(np.linspace(4 * n, 8 * n, MOMENTS)).astype(int))
            for name in RULES:
                setting = neighbours(panel, n, name)
                own = distances(setting, times, copies, quality.seed).mean(axis=1)
                mean, error = own.mean(), own.std(ddof=1) / np.sqrt(copies)
                rows.setdefault((name, "measured"), []).append((n, mean, mean - 2 * error, mean + 2 * error))
                if name in BOUNDS:
                    rows.setdefault((name, "bound"), []).append((n, distance_bound(setting, name)))
            if panel == "a":
                low = rv.stability_floor(rv.facts_of(neighbours(panel, n, "SAM")), Z, times.astype(float)).mean()
                rows.setdefault(("SAM, at least", "bound"), []).append((n, low))
        for (name, role), found in rows.items():
            x, y, *ends = np.array(found).T
            low, high = ends if ends else (None, None)
            kept = y > 0
            table.add(panel, name, x[kept], y[kept], role=role, low=low, high=high)
        if panel == "a":
            table.add(panel, "2 r", np.array(SIZES), twice_the_radius(), role="exact")
    _along_a_run(table, copies, quality)
    return table


def _along_a_run(table: Table, copies: int, quality: Quality) -> None:
    times = np.unique(np.round(np.geomspace(1, 8 * ALONG, 40)).astype(int))
    table.axes("b", "step t", f"E||x_t - x_t'|| for n = {ALONG}, dimensionless")
    for name in RULES:
        setting = neighbours("a", ALONG, name)
        table.mean("b", name, times, distances(setting, times, 3 * copies, quality.seed))
        if name in BOUNDS:
            table.add("b", name, times[[0, -1]], distance_bound(setting, name), role="bound")
    low = rv.stability_floor(rv.facts_of(neighbours("a", ALONG, "SAM")), Z, times.astype(float))
    table.add("b", "SAM, at least", times[low > 0], low[low > 0], role="bound")
    table.add("b", "2 r", times[[0, -1]], twice_the_radius(), role="exact")


def neighbours(panel: str, n: int, name: str) -> rv.Setting:
    """One rule on the data of a panel, from 0, one example a step. Projecting SGD onto a ball that it never leaves
    changes no step of it, and gives the losses a Lipschitz constant."""
    problem = rv.problems.build(DATA[panel].format(n=n))
    method = f"projected-sgd:radius={BALL[panel]:g}" if name == "GD" else RULES[name]
    sampling = rv.samplings.build("uniform", problem=problem)
    return rv.make_setting(problem, sampling=sampling, method=rv.methods.build(method), gamma=GAMMA, rho=RHO,
                           x0=np.zeros(problem.d))  # fmt: skip


def distances(setting: rv.Setting, times: NDArray[np.int64], copies: int, seed: int) -> Values:
    """||x_t - x_t'|| of each copy, shape (copies, times): both data sets with the same examples drawn."""
    pair = [
        rv.simulate(one, steps=int(times[-1]), times=times, replicates=copies, seed=seed, gradients=False,
                    iterates=True, tier="textbook").points
        for one in (setting, replace(setting, problem=_other(setting.problem)))
    ]  # fmt: skip
    return np.asarray(np.linalg.norm(pair[0] - pair[1], axis=2))


def _other(problem: Any) -> rv.Problem:
    """The neighbouring data set, of which the problems of DATA know."""
    other: rv.Problem = problem.neighbour
    return other


def distance_bound(setting: rv.Setting, name: str) -> float:
    """What the claim on this rule states of E||x_T - x_T'||, for every T."""
    trial = rv.claims[BOUNDS[name]].measure("coupled runs", setting, steps=1)
    stated = float(trial.stated({})[-1])
    losses = rv.facts_of(setting).losses
    # The claims of Hardt, Recht and Singer bound the loss, the Lipschitz constant times the distance.
    return stated / losses.lipschitz if BOUNDS[name].startswith("stability/") and losses is not None else stated


def twice_the_radius() -> float:
    """2 r of SAM's cycle, to which the claim's floor tends."""
    return 2 * float(np.sqrt(2 * _plateau(1.0, RHO, GAMMA)))


LEAST = 4e-4

NAMED = {
    "a": ((100, 0.72, "SAM, at most"), (90, 0.03, "SGD")),
    "b": ((1, 0.72, "SAM, at most"), (110, 0.028, "SAM, at least"), (90, 0.0092, "SGD")),
    "c": ((200, 7.5, "SAM"), (60, 3.2, "SGD"), (60, 0.5, "USAM")),
}
"""Where the bounds are named in each panel."""


def draw_stability(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.7))
    panels = figure.subplots(1, 3, sharey=True)
    for axes, panel in zip(panels, "abc", strict=True):
        for number, name in enumerate(RULES):
            s = table.one(panel, name, "measured")
            axes.plot(s.x, s.y, **{**_look(number), "markevery": 1 if panel != "b" else 4})
            axes.fill_between(
                s.x, np.maximum(s.low, LEAST), s.high, color=rv.style.COLOURS[number], alpha=0.2, linewidth=0
            )
            for b in table.of(panel, "bound"):
                if b.name.partition(",")[0] == name:
                    axes.plot(b.x, b.y, **rv.style.look("bound", number))
        for s in table.of(panel, "exact"):
            axes.plot(s.x, s.y, **{**rv.style.look("exact"), "color": rv.style.INK})
        axes.set(xscale="log", yscale="log", xlabel="step $t$" if panel == "b" else "examples $n$", ylim=(LEAST, 20))
        for x, y, words in NAMED[panel]:
            axes.text(x, y, words, fontsize=6.5)
        if panel != "b":
            axes.set_xticks(SIZES, [f"{n}" for n in SIZES])
            axes.set_xticks([], minor=True)
    panels[0].set_ylabel("mean distance of the two runs")
    slope(panels[0], -1, 20, 4e-3)
    slope(panels[2], -1, 20, 7e-3)
    letter(panels[0], "a", "one outlier on the line")
    letter(panels[1], "b", f"the same, $n={ALONG}$")
    letter(panels[2], "c", "random examples, plane")
    handles = _handles([f"{'SGD' if name == 'GD' else name}, 2 s.e." for name in RULES])
    handles += role_lines({"bound": "bounds, in the rule's colour", "exact": "$2r$, diameter of SAM's cycle"})
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


FIGURES = (
    Spec(
        "ssam-saddle",
        "Escape from a saddle with curvatures lambda and -lambda, gamma lambda = 0.05. On the line the claimed "
        "multipliers give every escape time; from the saddle itself, with normal noise in the gradients, median and "
        "quartiles. GD always leaves; USAM and unnormalised SSAM where rho lambda < 1; SAM and normalised SSAM only "
        "from further than rho.",
        measure_saddle,
        draw_saddle,
    ),
    Spec(
        "ssam-step-range",
        "Which step sizes converge on diag(mu, 1): USAM up to 2/(1 + rho L), GD and both SSAM up to 2, SAM to the "
        "plateau of its cycle; and how far the proved rates of SSAM reach.",
        measure_step_range,
        draw_step_range,
    ),
    Spec(
        "ssam-stability",
        "Distance of two runs on data sets that differ in one of n examples, with the same examples drawn. One outlier "
        "on the line: SAM's runs end in opposite phases of its cycle, and n does not lower the distance; SSAM takes "
        "the steps of SGD. With random examples in the plane SAM's runs meet again. No claim bounds SSAM.",
        measure_stability,
        draw_stability,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
