"""Run a plan and see whether the target was reached, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from experiments.engine.run import Progress, record_times, simulate
from theory.claim import Measure
from theory.plan import Promise

COPIES = 64
"""Replicates of a random run."""

MOST_WORK = 3e10
"""Steps times copies times coordinates of the components drawn: some minutes."""

ERRORS = 4.0
"""A mean this many standard errors above the target counts as missing it."""


@dataclass(frozen=True)
class Reached:
    """outcome: reached, missed, or not clear from these copies. value, error: of the mean at the promised step; the
    root of the least mean of ||grad f||^2 where that is the measure. first: the first recorded step at the target."""

    outcome: Literal["reached", "missed", "not clear"]
    value: float
    error: float
    first: int | None
    steps: int
    copies: int

    @property
    def sentence(self) -> str:
        """For people."""
        spread = f" +- {self.error:.2g}" if self.copies > 1 else ""
        when = f", first there after {self.first:,} steps" if self.first is not None else ""
        words = {"reached": "target reached", "missed": "target missed", "not clear": "not clear from these copies"}
        return f"{words[self.outcome]}: {self.value:.4g}{spread} at the promised step {self.steps:,}{when}"

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "outcome": self.outcome,
            "value": self.value,
            "error": self.error,
            "first": self.first,
            "copies": self.copies,
        }


def copies_of(promise: Promise) -> int:
    """How many copies a check of this plan runs."""
    return 1 if promise.setting.deterministic else COPIES


def affordable(promise: Promise) -> str | None:
    """Why a plan is too long to run here, as a clause; None where it is not."""
    setting = promise.setting
    copies = copies_of(promise)
    work = float(promise.steps) * copies * setting.problem.d * max(setting.sampling.expected_size, 1.0)
    if work <= MOST_WORK:
        return None
    return f"{promise.steps:,} steps times {copies} copies is more than a check may cost; choose a larger epsilon"


def run_plan(promise: Promise, epsilon: float, *, seed: int, progress: Progress) -> Reached:
    """The promised run, in COPIES copies where it is random."""
    setting, steps = promise.setting, promise.steps
    copies = copies_of(promise)
    gradients = promise.measure is Measure.GRADIENT_AVERAGE
    times = record_times(steps, 200)
    run = simulate(
        setting, steps=steps, times=times, replicates=copies, seed=seed, progress=progress, gradients=gradients
    )
    values = run.grad_norm2 if gradients else run.gap
    means = np.where(np.isfinite(values).all(axis=0), values.mean(axis=0), np.inf)
    target = epsilon**2 if gradients else epsilon
    if gradients:
        means = np.minimum.accumulate(means)
        end = int(np.argmin(values.mean(axis=0)))
    else:
        end = -1
    error = float(values[:, end].std(ddof=1) / np.sqrt(copies)) if copies > 1 else 0.0
    value = float(means[-1])
    good = np.flatnonzero(means <= target)
    outcome: Literal["reached", "missed", "not clear"] = "reached"
    if not value <= target:
        outcome = "missed" if value - ERRORS * error > target or not np.isfinite(value) else "not clear"
    if gradients:
        value, error = float(np.sqrt(value)), error / (2 * np.sqrt(value)) if value > 0 else 0.0
    return Reached(outcome, value, error, int(times[good[0]]) if len(good) else None, steps, copies)
