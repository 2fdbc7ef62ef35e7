"""Unified SAM (Oikonomou and Loizou, ICLR 2025): plateaus, step schedules, samplings, neighbourhoods.

python -m paper_figs.unified_sam FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import ravine as rv
from paper_figs.drawing import draw_series, letter, line, role_lines, slope, typeset
from paper_figs.figure import Quality, Spec, make_all
from paper_figs.table import Table

LATE = np.array([10**12])
"""A time at which only the neighbourhood is left of a bound."""

MIXINGS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHOWN = (0.0, 0.1, 0.5, 1.0)


# -- deterministic least squares --


def _figure_one(lam: float) -> rv.Setting:
    """Figure 1's setting: mu = 0.1, L = 10, d = 100, gamma = 1/(8 L), rho = min(1/(4 L), 1/(8 L (1 - lam)^2))."""
    problem = rv.Quadratic.with_spectrum(mu=0.1, L=10.0, d=100)
    rho = min(1 / 40, 1 / (80 * (1 - lam) ** 2)) if lam < 1 else 1 / 40
    return rv.make_setting(problem, gamma=1 / 80, rho=rho, lam=lam)


def measure_deterministic(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "step t", "(f(x_t) - f*)/(f(x_0) - f*), dimensionless")
    table.axes("b", "mixing lambda", "f - f* at the end, dimensionless")
    theorem, plateau = rv.claims["unified-sam/pl-deterministic"], rv.claims["unified-sam/plateau"]
    steps = 40_000
    times = np.unique(np.round(np.geomspace(1, steps, quality.pick(80, 200))).astype(int))
    ends: dict[str, list[float]] = {"measured": [], "exact": [], "bound": []}
    for lam in MIXINGS:
        setting = _figure_one(lam)
        facts = rv.facts_of(setting)
        run = rv.simulate(setting, steps=steps, times=times, gradients=False, tier="textbook")
        limit = float(plateau.bound(facts, LATE)[0]) if lam > 0 else 0.0
        ends["measured"].append(float(run.gap[0, -1]))
        ends["exact"].append(limit)
        ends["bound"].append(float(theorem.bound(facts, LATE)[0]))
        if lam in SHOWN:
            name = f"lambda = {lam:g}"
            table.add("a", name, times, run.gap[0] / facts.gap0)
            table.add("a", name, times, theorem.bound(facts, times) / facts.gap0, role="bound")
            if lam > 0:
                table.add("a", name, times[[0, -1]], limit / facts.gap0, role="exact")
    for role, values in ends.items():
        table.add("b", "after 40,000 steps" if role == "measured" else "neighbourhood", MIXINGS, values, role=role)
    return table


def draw_deterministic(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.1))
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    for number, s in enumerate(table.of("a", "measured")):
        left.plot(s.x, s.y, **{**rv.style.look("measured", number), "markevery": 9}, label=typeset(s.name))
        for role in ("bound", "exact"):
            for other in (o for o in table.of("a", role) if o.name == s.name):
                left.plot(other.x, other.y, **rv.style.look(role, number))
    left.set(xscale="log", yscale="log", xlabel="step $t$", ylabel=r"$(f(x_t)-f^*)\,/\,(f(x_0)-f^*)$", ylim=(1e-17, 9))
    left.legend(
        handles=[*left.get_legend_handles_labels()[0], *role_lines({"bound": "bound", "exact": "exact plateau"})],
        loc="lower left",
    )
    letter(left, "a", "runs, bound and exact plateau")
    measured, exact, bound = (table.of("b", role)[0] for role in ("measured", "exact", "bound"))
    right.plot(bound.x[1:], bound.y[1:], **rv.style.look("bound", 1), label="bound: neighbourhood")
    right.plot(exact.x[1:], exact.y[1:], **{**rv.style.look("exact", 0), "color": rv.style.INK}, label="exact plateau")
    right.plot(measured.x, np.maximum(measured.y, 1e-30), **{**rv.style.look("measured", 0), "linestyle": "none"},
               label="measured")  # fmt: skip
    right.set(yscale="log", xlabel=r"mixing $\lambda$", ylabel=r"$f-f^*$ after 40,000 steps", ylim=(1e-9, 1e2))
    right.annotate("$\\lambda=0$: below $10^{-25}$", (0.0, 1.3e-9), xytext=(0.1, 1.6e-9), fontsize=7, va="bottom")
    right.legend(loc="center right")
    letter(right, "b", "where it ends")
    return figure


# -- constant against decreasing steps --


def _ridge(reg: float = 0.03) -> rv.Problem:
    """Ridge regression on n = d = 100 Gaussian rows with Gaussian targets, reg = 3/n: targets that x does not fit."""
    rng = np.random.default_rng(1)
    A = rng.standard_normal((100, 100)) / np.sqrt(10)
    return rv.LeastSquaresProblem(A=A, b=3 * rng.standard_normal(100), reg=reg, name=f"Gaussian ridge, reg = {reg:g}")


def measure_steps(quality: Quality) -> Table:
    table = Table()
    steps, copies = quality.pick(10**7, 10**8), 8
    problem = _ridge()
    sampling = rv.samplings.build("uniform", problem=problem)
    names = {"constant steps": "unified-sam/pl-constant", "decreasing steps": "unified-sam/pl-decreasing"}
    for panel, lam in zip("abc", (0.0, 0.5, 1.0), strict=True):
        table.axes(panel, "step t", f"E[f(x_t) - f*]/(f(x_0) - f*) at lambda = {lam:g}, dimensionless")
        for name, claim_id in names.items():
            claim = rv.claims[claim_id]
            start = rv.make_setting(problem, sampling=sampling, lam=lam)
            gamma, rho = claim.suggest(rv.facts_of(start), 1.0, 1.0)
            setting = start.with_steps(gamma=gamma, rho=rho)
            facts = rv.facts_of(setting)
            times = np.unique(np.round(np.geomspace(10, steps, 60)).astype(int))
            run = rv.simulate(setting, steps=steps, times=times, replicates=copies, seed=quality.seed, gradients=False)
            table.mean(panel, name, times, run.gap / facts.gap0)
            bound = claim.bound(facts, times)
            stated = np.isfinite(bound)
            table.add(panel, name, times[stated], bound[stated] / facts.gap0, role="bound")
    return table


def draw_steps(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 2.9))
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, panel, lam in zip(panels, "abc", ("0 (USAM)", "1/2", "1 (SAM)"), strict=True):
        draw_series(axes, table, panel, labels=False)
        axes.set(xscale="log", yscale="log", xlabel="step $t$")
        letter(axes, panel, f"$\\lambda$ = {lam}")
    panels[0].set_ylabel(r"$\mathrm{E}[f(x_t)-f^*]\,/\,(f(x_0)-f^*)$")
    names = list(dict.fromkeys(s.name for s in table.of("a")))
    handles = [line("measured", k, f"{name}, mean of 8 runs with 2 s.e.") for k, name in enumerate(names)]
    handles += [line("bound", k, f"{name}, bound") for k, name in enumerate(names)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


# -- samplings --


def _uneven() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """200 Gaussian rows of 10 entries, every tenth 4 times as long, so that L_max is 6 times L_avg, and targets with
    noise that no x fits."""
    rng = np.random.default_rng(2)
    A = rng.standard_normal((200, 10))
    A[::10] *= 4
    return A, A @ (20 * rng.standard_normal(10)) + rng.standard_normal(200)


def measure_samplings(quality: Quality) -> Table:
    table = Table()
    steps, copies = quality.pick(3_000_000, 30_000_000), 16
    A, b = _uneven()
    problem = rv.LeastSquaresProblem(A=A, b=b, reg=0.0, name="least squares with uneven rows")
    claim = rv.claims["unified-sam/pl-constant"]
    times = np.unique(np.round(np.geomspace(1, steps, 60)).astype(int))
    for panel, lam in zip("ab", (0.0, 1.0), strict=True):
        table.axes(panel, "sample gradients", f"E[f(x_t) - f*]/(f(x_0) - f*) at lambda = {lam:g}, dimensionless")
        for name, spec in (
            ("uniform", "uniform"), ("importance", "importance"), ("tau-nice, tau = 16", "tau-nice:tau=16"),
        ):  # fmt: skip
            start = rv.make_setting(problem, sampling=rv.samplings.build(spec, problem=problem), lam=lam)
            gamma, rho = claim.suggest(rv.facts_of(start), 1.0, 0.1)
            setting = start.with_steps(gamma=gamma, rho=rho)
            facts = rv.facts_of(setting)
            cost = 2 * (16 if "tau" in spec else 1)
            own = times[times * cost <= steps * 2]
            run = rv.simulate(
                setting, steps=int(own[-1]), times=own, replicates=copies, seed=quality.seed, gradients=False
            )
            table.mean(panel, name, cost * own, run.gap / facts.gap0)
            table.add(panel, name, cost * own, claim.bound(facts, own) / facts.gap0, role="bound")
        _unweighted(table, panel, lam, problem, times, copies, quality)
    return table


def _unweighted(
    table: Table, panel: str, lam: float, problem: rv.Problem, times: NDArray[np.int64], copies: int, quality: Quality
) -> None:
    """i drawn with p_i proportional to L_i and the step taken along grad f_i itself, not along grad f_i/(n p_i).

    That is the weighted method on the components n p_i f_i: it minimises sum p_i f_i, and settles near that minimiser.
    """
    A, b = _uneven()
    p = (A**2).sum(axis=1)
    p /= p.sum()
    size = np.sqrt(len(p) * p)
    other = rv.LeastSquaresProblem(A=A * size[:, None], b=b * size, reg=0.0, name="sum of p_i f_i")
    sampling = rv.samplings.build("single:p=" + "/".join(map(repr, p.tolist())), problem=other)
    weighted = rv.make_setting(problem, sampling=rv.samplings.build("importance", problem=problem), lam=lam)
    gamma, rho = rv.claims["unified-sam/pl-constant"].suggest(rv.facts_of(weighted), 1.0, 0.1)
    setting = rv.make_setting(other, sampling=sampling, gamma=gamma, rho=rho, lam=lam)
    run = rv.simulate(
        setting, steps=int(times[-1]), times=times, replicates=copies, seed=quality.seed, gradients=False, iterates=True
    )
    gaps = rv.evaluate(weighted, run.points.reshape(-1, problem.d))[0].reshape(run.gap.shape)
    gap0, settles = problem.gap(problem.start), rv.evaluate(weighted, np.array([other.minimiser]))[0][0]
    name = "importance, not reweighted"
    table.mean(panel, name, 2 * times, gaps / gap0, role="variant")
    table.add(panel, name, 2 * times[[0, -1]], settles / gap0, role="exact")


def draw_samplings(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.3))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    names = list(dict.fromkeys(s.name for s in table.of("a")))
    for axes, panel, lam in zip(panels, "ab", ("0 (USAM)", "1 (SAM)"), strict=True):
        draw_series(axes, table, panel, names=names, labels=False)
        axes.set(xscale="log", yscale="log", xlabel="sample gradients computed")
        letter(axes, panel, f"$\\lambda$ = {lam}")
    panels[0].set_ylabel(r"$\mathrm{E}[f(x_t)-f^*]\,/\,(f(x_0)-f^*)$")
    handles = [line("measured", k, f"{typeset(name)}, measured with 2 s.e.") for k, name in enumerate(names[:3])]
    handles += [line("bound", k, f"{typeset(name)}, bound") for k, name in enumerate(names[:3])]
    handles += [line("variant", 3, f"{names[3]}"), line("exact", 3, "where that settles without noise")]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


# -- the neighbourhood against the radius --


def measure_radius(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "rho L, dimensionless", "f - f* at the end of a full-batch run, lambda = 1/2, dimensionless")
    table.axes("b", "rho L_S, dimensionless", "E[f - f*] in the stationary state of USAM, uniform, dimensionless")
    claims = {"U1": rv.claims["unified-sam/pl-deterministic"], "U1#": rv.claims["unified-sam/pl-sharp"]}
    rhos = np.geomspace(1e-4, 0.1, quality.pick(13, 31))
    problem = rv.Quadratic.with_spectrum(mu=0.1, L=1.0, d=20)
    gamma = 0.02
    ends, bounds = [], {name: np.full(len(rhos), np.nan) for name in claims}
    for k, rho in enumerate(rhos):
        setting = rv.make_setting(problem, gamma=gamma, rho=float(rho), lam=0.5)
        facts = rv.facts_of(setting)
        ends.append(float(rv.claims["unified-sam/plateau"].bound(facts, LATE)[0]))
        for name, claim in claims.items():
            if claim.admits(facts):
                bounds[name][k] = claim.bound(facts, LATE)[0]
    checked = rhos[:: len(rhos) // 6]
    gaps = [_end(problem, gamma, float(rho)) for rho in checked]
    table.add("a", "measured", checked, gaps)
    table.add("a", "exact plateau", rhos, ends, role="exact")
    for name, values in bounds.items():
        kept = np.isfinite(values)
        table.add("a", name, rhos[kept], values[kept], role="bound")
    _stochastic_radius(table, quality)
    return table


def _end(problem: rv.Problem, gamma: float, rho: float) -> float:
    setting = rv.make_setting(problem, gamma=gamma, rho=rho, lam=0.5)
    return float(rv.simulate(setting, steps=60_000, gradients=False, times=[60_000], tier="textbook").gap[0, -1])


def _stochastic_radius(table: Table, quality: Quality) -> None:
    """Stationary moments of USAM: exact, by a linear solve, no sampling error."""
    problem = rv.problems.build("quadratic-sum:n=8,d=4,mu=0.5,L=1,noise=1,seed=3")
    sampling = rv.samplings.build("uniform", problem=problem)
    claims = {"U1": rv.claims["unified-sam/pl-constant"], "U1#": rv.claims["unified-sam/pl-sharp"]}
    start = rv.make_setting(problem, sampling=sampling, lam=0.0)
    facts = rv.facts_of(start)
    gamma = float(claims["U1#"].suggest(facts, 0.2, 1.0)[0].at(0))
    rhos = np.geomspace(1e-4, 0.3, quality.pick(19, 49)) / facts.L_S
    found, base = [], _stationary(start.with_steps(gamma=gamma, rho=0.0))
    bounds = {name: np.full(len(rhos), np.nan) for name in claims}
    for k, rho in enumerate(rhos):
        setting = start.with_steps(gamma=gamma, rho=float(rho))
        found.append(_stationary(setting))
        for name, claim in claims.items():
            own = rv.facts_of(setting)
            if claim.admits(own):
                bounds[name][k] = claim.bound(own, LATE)[0]
    table.add("b", "exact stationary value", rhos * facts.L_S, found, role="exact")
    table.add("b", "SGD, rho = 0", (rhos * facts.L_S)[[0, -1]], base, role="variant")
    for name, values in bounds.items():
        kept = np.isfinite(values)
        table.add("b", name, (rhos * facts.L_S)[kept], values[kept], role="bound")


def _stationary(setting: rv.Setting) -> float:
    found = rv.stationary_moments(setting)
    if isinstance(found, str):
        raise rv.InputError(f"setting has no stationary moments: {found}")
    return found.gap


def draw_radius(table: Table) -> Figure:
    figure = Figure(figsize=(rv.style.DOUBLE, 3.0))
    left, right = figure.subplots(1, 2)
    for axes, panel in ((left, "a"), (right, "b")):
        for number, s in enumerate(table.of(panel, "bound"), 1):
            axes.plot(s.x, s.y, **rv.style.look("bound", number), label=typeset(f"bound {s.name}"))
        for s in table.of(panel, "variant"):
            axes.plot(s.x, s.y, **rv.style.look("variant", 3), label=typeset(s.name))
        for s in table.of(panel, "exact"):
            axes.plot(s.x, s.y, **{**rv.style.look("exact"), "color": rv.style.INK}, label=s.name)
        for s in table.of(panel, "measured"):
            axes.plot(s.x, s.y, **{**rv.style.look("measured", 0), "linestyle": "none"}, label=s.name)
        axes.set(xscale="log", yscale="log")
        axes.legend(loc="best")
    slope(left, 1, 2e-3, 3e-3)
    slope(left, 2, 1e-2, 2e-10)
    left.set(xlabel=r"radius $\rho L$", ylabel=r"neighbourhood of $f-f^*$")
    right.set(xlabel=r"radius $\rho L_S$", ylabel=r"neighbourhood of $\mathrm{E}[f-f^*]$")
    letter(left, "a", r"full batch, $\lambda=1/2$")
    letter(right, "b", r"uniform sampling, $\lambda=0$")
    return figure


FIGURES = (
    Spec(
        "unified-sam-deterministic",
        "Full-batch Unified SAM on least squares with condition number 100: runs, the bound of U1 and the exact "
        "plateau, the 2-cycle across the direction of largest curvature; lambda = 0 (USAM) has none.",
        measure_deterministic,
        draw_deterministic,
    ),
    Spec(
        "unified-sam-steps",
        "Constant against decreasing steps (U1, U2) under uniform sampling, with the steps that each theorem admits.",
        measure_steps,
        draw_steps,
    ),
    Spec(
        "unified-sam-samplings",
        "Uniform, importance and tau-nice sampling with the weights that make the sampled gradient unbiased, and "
        "importance sampling without them, which settles at the minimiser of another function.",
        measure_samplings,
        draw_samplings,
    ),
    Spec(
        "unified-sam-radius",
        "The neighbourhood against the radius: order rho in the bound U1, order rho^2 in U1# and in truth.",
        measure_radius,
        draw_radius,
    ),
)


def main(out: str | Path) -> None:
    """Make the figures of this group in a folder."""
    make_all(FIGURES, out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "figs")
