"""A constant radius (Khanh et al. 2024 and others): what of the gradient stays.

python -m paper_figs.gsam_floor FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import letter, marked_bound, role_lines
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.gsam_schedules import BATCH, PLANS, Promise, promise, scheduled
from paper_figs.table import Table

Values = NDArray[np.float64]

FOREVER = np.array([10**15])
"""A time at which only what stays is left of a bound."""

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
    table.mean("a", f"{BATCHES}, mean of the second half", rhos, np.array([found.late for found in noisy]).T)
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
