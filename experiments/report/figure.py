"""The figure of one check: measured against bound, and their ratio."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.verify.check import CheckResult
from problems.errors import InputError


def check_figure(result: CheckResult) -> Figure:
    """Two panels over t: the measured quantity with its error and the bound (log-log), and measured/bound with a line
    at 1. Raises InputError when the check had no run to draw."""
    row = result.run
    if row is None:
        raise InputError(
            f"{result.prepared.claim.id} has no run to draw here: {result.reason or 'it was checked at points'}"
        )
    figure = Figure(figsize=(7.0, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.2])
    t, finite = row.abscissa, np.isfinite(row.bound_curve)
    band = 2 * row.error_curve if row.replicates > 1 else row.error_curve
    label = f"measured, mean of {row.replicates} replicates, 2 s.e." if row.replicates > 1 else "measured"
    upper.plot(t, row.measured_curve, marker="o", markersize=3, color="#1b4f72", label=label)
    low = np.maximum(row.measured_curve - band, row.measured_curve * 1e-3)
    upper.fill_between(t, low, row.measured_curve + band, color="#1b4f72", alpha=0.25, linewidth=0)
    upper.plot(t[finite], row.bound_curve[finite], linestyle="--", color="#b9770e", label="bound")
    upper.set_xscale("log")
    if (row.measured_curve > 0).all():
        upper.set_yscale("log")
    upper.set_ylabel(result.prepared.claim.measure.value)
    upper.legend(frameon=False)
    title = f"{result.prepared.claim.id}: {result.verdict.value}"
    upper.set_title(title, loc="left", fontsize=11, fontweight="bold")
    subtitle = str(result.prepared.setting)
    upper.text(0, 1.005, "", transform=upper.transAxes)
    lower.plot(t[finite], (row.measured_curve / row.bound_curve)[finite], marker="o", markersize=3, color="#1b4f72")
    lower.axhline(1.0, color="#b9770e", linestyle="--", linewidth=1)
    lower.set_yscale("log")
    lower.set_ylabel("measured / bound")
    lower.set_xlabel("step t")
    figure.text(0.01, -0.005, subtitle, fontsize=7, va="top", wrap=True)
    return figure
