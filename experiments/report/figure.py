"""The figure of one check: measured against bound, and their ratio."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.verify.check import CheckResult
from experiments.verify.verdict import Verdict
from problems.errors import InputError


def check_figure(result: CheckResult) -> Figure:
    """Two panels over t: the measured quantity with its error and the bound (log-log), and measured/bound with a line
    at 1. A claim without a run is drawn over the entries of its first trial. Raises InputError when there is nothing
    to draw."""
    row = result.drawn
    if row is None:
        raise InputError(f"{result.prepared.claim.id} has nothing to draw here: {result.reason or 'a single number'}")
    is_run = row is result.run
    figure = Figure(figsize=(7.0, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.2])
    t, finite = row.abscissa, np.isfinite(row.bound_curve)
    band = 2 * row.error_curve if row.replicates > 1 else row.error_curve
    label = f"measured, mean of {row.replicates} replicates, 2 s.e." if row.replicates > 1 else "measured"
    upper.plot(t, row.measured_curve, marker="o", markersize=3, color="#1b4f72", label=label)
    low = np.maximum(row.measured_curve - band, row.measured_curve * 1e-3)
    upper.fill_between(t, low, row.measured_curve + band, color="#1b4f72", alpha=0.25, linewidth=0)
    stated = "stated" if row.verdict is Verdict.EXACT else "bound"
    upper.plot(t[finite], row.bound_curve[finite], linestyle="--", color="#b9770e", label=stated)
    if is_run:
        upper.set_xscale("log")
    if (row.measured_curve > 0).all():
        upper.set_yscale("log")
    upper.set_ylabel(result.prepared.claim.measure.value if is_run else row.route)
    upper.legend(frameon=False)
    title = f"{result.prepared.claim.id}: {result.verdict.value}"
    upper.set_title(title, loc="left", fontsize=11, fontweight="bold")
    subtitle = str(result.prepared.setting)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(row.measured_curve == row.bound_curve, 1.0, row.measured_curve / row.bound_curve)
    shown = finite & np.isfinite(ratio) & (ratio > 0)
    if row.verdict is Verdict.EXACT:
        # The digits in which both sides differ; a ratio would show a line at 1.
        lower.plot(t[shown], ratio[shown] - 1, marker="o", markersize=3, color="#1b4f72")
        lower.axhline(0.0, color="#b9770e", linestyle="--", linewidth=1)
        lower.set_ylabel("measured / stated - 1")
    else:
        lower.plot(t[shown], ratio[shown], marker="o", markersize=3, color="#1b4f72")
        lower.axhline(1.0, color="#b9770e", linestyle="--", linewidth=1)
        lower.set_yscale("log")
        lower.set_ylabel("measured / bound")
    lower.set_xlabel("step t" if is_run else "step or entry")
    figure.text(0.01, -0.005, subtitle, fontsize=7, va="top", wrap=True)
    return figure
