"""The ratio panel: both sides of one comparison over t, and their ratio below, with the rounding floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from experiments.verify.check import CheckResult
from experiments.verify.comparison import VISIBLE
from experiments.verify.routes import RUNS
from experiments.verify.verdict import Evidence, Verdict
from problems.errors import InputError
from theory.claim import Claim, Kind, Measure

from . import style

Values = NDArray[np.float64]

ENTRIES = 3
"""A comparison of fewer entries is no curve."""

STEPWISE = ("run", "path", "copies")
"""Words in the names of routes whose entries follow each other."""

MANY_STEPS = 500
"""From which on also what is no whole run gets a logarithmic axis: most of it happens early."""

MOST_POINTS, MOST_DOTS = 200, 100
"""Of a line, and of a cloud: more are thinned, the entry with the largest ratio kept."""


@dataclass(frozen=True)
class Sides:
    """What of one comparison is drawn. x (K,): times or numbers of entries. measured, bound, error (K,). ratio (K,):
    measured/bound, NaN where it says nothing. run: along a whole run. ordered: x counts
    steps; otherwise entries in no order. exact: an equality that
    holds. relation: measured `<=`, `>=` or `=` bound."""

    x: Values
    measured: Values
    bound: Values
    error: Values
    ratio: Values
    run: bool
    ordered: bool
    replicates: int
    exact: bool
    relation: str


def sides_of(row: Evidence) -> Sides:
    """The finite entries of a row, thinned."""
    keep = np.isfinite(row.measured_curve) & np.isfinite(row.bound_curve)
    at = np.asarray(row.abscissa, dtype=np.float64)
    measured, bound, error = row.measured_curve, row.bound_curve, row.error_curve
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(measured == bound, 1.0, measured / bound)
    # Two numbers below the rounding floor have no ratio.
    lost = (error > VISIBLE * np.maximum(np.abs(measured), np.abs(bound))) & (row.replicates == 1)
    ratio[~np.isfinite(ratio) | ~keep | (lost & (row.verdict is not Verdict.EXACT))] = np.nan
    picked = np.flatnonzero(keep)
    most = MOST_POINTS if row.route in RUNS or _stepwise(row) else MOST_DOTS
    if len(picked) > most:
        worst = [int(np.nanargmax(ratio))] if np.isfinite(ratio).any() else []
        spread = picked[np.linspace(0, len(picked) - 1, most).astype(int)]
        picked = np.unique(np.concatenate([spread, worst])).astype(int)
    x, measured, bound, error, ratio = (part[picked] for part in (at, measured, bound, error, ratio))
    run = row.route in RUNS
    ordered = run or _stepwise(row)
    exact = row.verdict is Verdict.EXACT
    return Sides(x, measured, bound, error, ratio, run, ordered, row.replicates, exact, row.relation)


def _stepwise(row: Evidence) -> bool:
    return any(word in row.route for word in STEPWISE) and bool((np.diff(row.abscissa) > 0).all())


def drawn_row(rows: Sequence[Evidence]) -> Evidence | None:
    """The row whose curve shows most; None where no row has a curve.

    Violated ones first, then runs in which the bound at least halves, then other runs, then what is no run; among
    equals the one that comes closest to its bound.
    """
    curves = [row for row in rows if np.isfinite(row.bound_curve).sum() >= ENTRIES]
    if not curves:
        return None
    return max(curves, key=_shows)


def _shows(row: Evidence) -> tuple[bool, bool, bool, bool, float]:
    bound = row.bound_curve[np.isfinite(row.bound_curve)]
    falls = row.route in RUNS and len(bound) >= 6 and float(bound.min()) < 0.5 * float(bound.max())
    ratio = row.ratio if np.isfinite(row.ratio) else -1.0
    if row.verdict is Verdict.EXACT and len(bound):  # every ratio is 1: what moves most shows most
        ratio = float(np.ptp(bound)) / max(float(np.abs(bound).max()), float(np.finfo(float).tiny))
    return row.verdict is Verdict.VIOLATED, falls, row.route in RUNS, row.verdict is Verdict.EXACT, ratio


def ratio_figure(claim: Claim, row: Evidence, others: Sequence[Evidence] = (), *, title: str = "") -> Figure:
    """Measured and bound above, measured/bound with a line at 1 below (for equalities their relative difference).

    others: rows of the same route, drawn thin in the lower panel. Draw inside `style.styled()`.
    """
    figure = Figure(figsize=(style.DOUBLE, 4.3))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.3])
    sides = sides_of(row)
    logarithmic = _x_axis((upper, lower), sides)
    _both(upper, sides, claim, logarithmic)
    _ratio(lower, sides, [sides_of(other) for other in others if other.route in RUNS or not sides.run])
    lower.set_xlabel("step $t$" if sides.run else "step or entry" if sides.ordered else "entry")
    if title:
        upper.set_title(title, fontweight="bold")
    return figure


def _x_axis(panels: Sequence[Axes], sides: Sides) -> bool:
    """A logarithmic axis for runs, with t = 0 at its left end; whether it is one."""
    wide = len(sides.x) > 0 and ((sides.run and sides.x[-1] >= 10) or (sides.ordered and sides.x[-1] >= MANY_STEPS))
    for axes in panels:
        axes.ticklabel_format(useOffset=False)
    if not wide and len(sides.x):
        room = 0.03 * max(float(np.ptp(sides.x)), 1.0)
        panels[0].set_xlim(float(sides.x[0]) - room, float(sides.x[-1]) + room)
    if wide:
        for axes in panels:
            axes.set_xscale("symlog", linthresh=1, linscale=0.3) if sides.x[0] == 0 else axes.set_xscale("log")
            axes.set_xlim(0 if sides.x[0] == 0 else float(sides.x[0]) * 0.9, float(sides.x[-1]) * 1.15)
            axes.xaxis.set_minor_locator(NullLocator())
    return bool(wide)


def _both(axes: Axes, sides: Sides, claim: Claim, logarithmic: bool) -> None:
    few = len(sides.x) <= 40
    look: dict[str, Any] = {
        "color": style.MEASURED,
        "linewidth": 1.4,
        "marker": "o" if few else None,
        "markersize": 2.6,
    }
    dots = not sides.ordered
    if dots:
        look |= {"linestyle": "none", "marker": "o", "markersize": 2.4}
    sampled = sides.replicates > 1
    label = f"measured, mean of {sides.replicates} replicates with 2 standard errors" if sampled else "measured"
    axes.plot(sides.x, sides.measured, label=label, **look)
    if sampled:
        low = np.maximum(sides.measured - 2 * sides.error, sides.measured * 1e-3)
        axes.fill_between(sides.x, low, sides.measured + 2 * sides.error, color=style.MEASURED, alpha=0.25, linewidth=0)
    stated = stated_as(sides.relation, claim.kind)
    dash: dict[str, Any] = (
        {"linestyle": "none", "marker": "_", "markersize": 4.0} if dots else {"linestyle": "--", "linewidth": 1.4}
    )
    axes.plot(sides.x, sides.bound, color=style.BOUND, label=stated, **dash)
    both = np.concatenate([sides.measured, sides.bound])
    positive = both[both > 0]
    # Values that rounding makes 0 or negative lie below any logarithmic axis; truly negative ones need a linear one.
    falls = len(positive) >= 0.5 * len(both) > 0 and both.min() >= -1e-9 * positive.max()
    if falls and positive.max() > 30 * positive.min():
        # Far below the rounding floor there is nothing to see.
        floors = sides.error[sides.error > 0] if not sampled else np.zeros(0)
        lowest = float(floors.min()) * 1e-4 if len(floors) else 0.0
        bottom = max(float(positive.min()) / 2, min(lowest, float(positive.max()) / 100))
        axes.set_yscale("log")
        if not sampled and (sides.error > bottom).any():
            floor = np.maximum(sides.error, bottom)
            shade: dict[str, Any] = {"color": style.PALE, "alpha": 0.35, "linewidth": 0}
            axes.fill_between(sides.x, bottom, floor, label="rounding floor", **shade)
        axes.set_ylim(bottom=bottom)
    elif len(both) and np.ptp(both) <= 1e-6 * np.abs(both).max():
        middle = float(both.mean())
        axes.set_ylim(*sorted((0.8 * middle, 1.2 * middle)) if middle else (-1, 1))
    elif logarithmic and (both > 0).all():
        axes.set_ylim(bottom=0)
    axes.set_ylabel(_quantity(claim, sides))
    axes.legend(loc="best")


def stated_as(relation: str, kind: Kind) -> str:
    """What the right side is called."""
    if kind is Kind.ORDER:
        return "claimed"
    return {"=": "stated", ">=": "bound from below"}.get(relation, "bound")


def _quantity(claim: Claim, sides: Sides) -> str:
    if claim.kind is Kind.ORDER:
        return "exponent"
    if claim.measure is Measure.OWN or not sides.run:
        return "both sides"
    return {
        Measure.SUBOPTIMALITY: r"$\mathrm{E}[f(x_t)-f^*]$",
        Measure.DISTANCE: r"$\mathrm{E}\|x_t-x^*\|^2$",
        Measure.GRADIENT_AVERAGE: r"average of $\mathrm{E}\|\nabla f(x_s)\|^2$, $s<t$",
        Measure.PLATEAU: r"$f(x_t)-f^*$",
    }.get(claim.measure, "both sides")


def _ratio(axes: Axes, sides: Sides, others: Sequence[Sides]) -> None:
    if sides.exact:
        # A ratio would show a line at 1: the difference of both sides against what rounding allows. Decisions (1 and 0)
        # allow nothing.
        allowed = np.where(sides.error > 0, sides.error, 1.0)
        axes.axhspan(-1, 1, color=style.PALE, alpha=0.3, linewidth=0)
        axes.plot(sides.x, (sides.measured - sides.bound) / allowed, color=style.MEASURED, marker="o", markersize=2.0,
                  linewidth=1.2 if sides.run else 0)  # fmt: skip
        axes.axhline(0.0, color=style.BOUND, linestyle="--", linewidth=1)
        axes.set(ylabel="difference/\nallowed", ylim=(-1.3, 1.3))
        return
    for other in others:
        look: dict[str, Any] = {"linewidth": 0.6} if other.ordered else {"linestyle": "none", "marker": "."}
        axes.plot(other.x, other.ratio, color=style.PALE, markersize=1.2, **look)
    dots = not sides.ordered
    axes.plot(sides.x, sides.ratio, color=style.MEASURED, linewidth=0 if dots else 1.6, marker="o" if dots else None,
              markersize=2.4)  # fmt: skip
    axes.axhline(1.0, color=style.BOUND, linestyle="--", linewidth=1)
    shown = np.concatenate([part.ratio for part in (sides, *others)])
    shown = shown[np.isfinite(shown)]
    if len(shown) and (shown > 0).all() and shown.max() > 10 * shown.min():
        axes.set_yscale("log")
        axes.set_ylim(max(float(shown.min()) / 2, float(shown.max()) * 1e-8), max(float(shown.max()), 1.0) * 2)
    elif len(shown) and float(np.abs(shown).max()) > 100:
        top = np.ceil(np.log10(float(np.abs(shown).max())))
        axes.set_yscale("symlog", linthresh=1)
        axes.set_yticks([value for value in (-(10.0**top), 0.0, 10.0**top) if shown.min() <= abs(value) or value <= 0])
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("measured/\nbound")


def strip_figure(claim: Claim, rows: Sequence[Evidence]) -> Figure:
    """For claims of single numbers: both sides for every instance, and their ratio or relative difference below."""
    kept = [row for row in rows if np.isfinite(row.measured) and np.isfinite(row.bound)]
    exact = all(row.verdict is Verdict.EXACT for row in kept)
    numbers = np.arange(1, len(kept) + 1, dtype=float)
    columns = np.array([(row.measured, row.bound, row.error, row.ratio) for row in kept]).reshape(-1, 4).T
    measured, bound, error, ratio = columns
    sides = Sides(numbers, measured, bound, error, ratio, False, False, 1, exact, kept[0].relation)
    figure = Figure(figsize=(style.DOUBLE, 3.8))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.3])
    look: dict[str, Any] = {"linestyle": "none", "markersize": 4.0}
    upper.plot(sides.x, sides.measured, color=style.MEASURED, marker="o", label="measured", **look)
    stated = stated_as(kept[0].relation, claim.kind)
    upper.plot(sides.x, sides.bound, color=style.BOUND, marker="_", label=stated, linestyle="none", markersize=9.0,
               markeredgewidth=1.6)  # fmt: skip
    values = np.concatenate([sides.measured, sides.bound])
    if (values > 0).all() and values.max() > 30 * values.min():
        upper.set_yscale("log")
    upper.set_ylabel("exponent" if claim.kind is Kind.ORDER else "both sides")
    upper.legend(loc="best")
    if exact:
        _ratio(lower, sides, ())
    else:
        lower.plot(sides.x, sides.ratio, color=style.MEASURED, marker="o", linestyle="none", markersize=3.0)
        lower.axhline(1.0, color=style.BOUND, linestyle="--", linewidth=1)
        lower.set_ylabel("measured/\nbound")
    for axes in (upper, lower):
        axes.ticklabel_format(axis="x", useOffset=False)
    lower.set_xlabel("instance")
    lower.set_xticks(sides.x[:: max(1, len(kept) // 12)])
    return figure


def check_figure(result: CheckResult) -> Figure:
    """The ratio panel of `claim.check(...)` and of `ravine check --figure`. A claim without a run is drawn over the
    entries of its first trial. Raises InputError when there is nothing to draw."""
    row = result.drawn
    if row is None:
        raise InputError(f"{result.prepared.claim.id} has nothing to draw here: {result.reason or 'a single number'}")
    claim = result.prepared.claim
    with style.styled():
        figure = ratio_figure(claim, row, title=f"{claim.id}: {result.verdict.value}")
        figure.text(0.0, -0.01, _wrapped(str(result.prepared.setting)), fontsize=7, va="top", color=style.INK)
    return figure


def _wrapped(text: str) -> str:
    from textwrap import wrap

    return "\n".join(wrap(text, 130))
