"""GSAM (Harada and Iiduka 2024): a growing batch against falling steps.

python -m paper_figs.gsam_schedules FOLDER
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
from paper_figs.drawing import letter, line, marked_bound, role_lines
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

Values = NDArray[np.float64]

FOREVER = np.array([10**15])
"""A time at which only what stays is left of a bound."""

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
            table.mean(panel, name, x[kept - 1], averages[:, kept - 1])
            table.add(panel, name, x[kept - 1], said.average()[kept - 1], role="bound")
        blocks = norms[:, :HORIZON].reshape(copies, -1, 50).mean(axis=2)
        table.mean("c", name, np.arange(25, HORIZON, 50), blocks)
        table.add("c", name, early, said.best_window(gaps.mean(axis=0), early), role="bound")
    return table


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


FIGURES = (
    Spec(
        "gsam-schedules",
        "GSAM under a growing batch and under falling steps, with the bound of the weighted average (a, b) and of the "
        "best window (c). Per step the growing batch leads from its first doubling on; per sample gradient it trails, "
        "is level with the others where cosine and linear end, and leads only later.",
        measure_schedules,
        draw_schedules,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
