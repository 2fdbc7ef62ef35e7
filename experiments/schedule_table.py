"""Increasing batch against decaying step: one run of GSAM under each schedule, and what its bound says of it.

For step sizes gamma_t and batches b_t the bound on a window s <= t < T is

    sum gamma_t E||grad f(x_t)||^2 <= 2 E[f(x_s) - f*] + sum gamma_t (c_t^2 + L gamma_t sigma_t^2/(1 - L gamma_t)),

sigma_t^2 the variance of the sampled gradient with batch b_t (claim gsam/weighted-gradient). The averaged bound takes
s = 0; the best window takes the s that gives the least, with the E[f(x_s) - f*] that was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.engine.run import Progress, simulate
from problems.errors import InputError
from problems.problem import Problem
from theory.gsam import floor_at
from theory.methods.method import methods
from theory.samplings import samplings
from theory.schedules import read_schedule
from theory.setting import Setting, facts_of, make_setting

BLOCK = 250
"""Copies that are run at once."""


@dataclass(frozen=True)
class Row:
    """What one schedule gave. All but samples are E||grad f||^2 or bounds on it.

    average: weighted by gamma_t. averaged_bound: of it. least: min over t. window_bound: the best window's. error: the
    standard error of `average`. samples: sample gradients drawn for one of the two gradients of each step.
    """

    schedule: str
    gamma: str
    batch: str
    average: float
    error: float
    averaged_bound: float
    least: float
    window_bound: float
    samples: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return dict(self.__dict__)


def usual_schedules(gamma: float, batch: int, steps: int, every: int) -> dict[str, tuple[str, str]]:
    """Step and batch of each schedule, as SPECs."""
    return {
        "constant": (f"{gamma!r}", f"{batch}"),
        f"batch doubling every {every} steps": (f"{gamma!r}", f"doubling:start={batch},every={every}"),
        "cosine": (f"cosine:start={gamma!r},end=0,steps={steps}", f"{batch}"),
        "linear": (f"linear:start={gamma!r},steps={steps}", f"{batch}"),
        "inverse square root": (f"inverse-sqrt:start={gamma!r}", f"{batch}"),
    }


def compare_schedules(
    problem: Problem,
    *,
    gamma: float,
    rho: str,
    alpha: float,
    batch: int,
    every: int,
    steps: int,
    copies: int,
    seed: int = 0,
    progress: Progress | None = None,
    on_row: Callable[[str], None] | None = None,
) -> list[Row]:
    """One row for each schedule. Raises InputError where the bound does not speak: gamma >= 1/L, unbounded variance."""
    rows = []
    for name, (step, size) in usual_schedules(gamma, batch, steps, every).items():
        setting = make_setting(
            problem,
            sampling=samplings.build(f"replacement:tau={size}", problem=problem),
            method=methods.build(f"gsam:alpha={alpha!r}"),
            gamma=read_schedule(step, argument="gamma"),
            rho=read_schedule(rho, argument="rho"),
        )
        rows.append(_row(name, setting, step, size, steps, copies, seed, progress or Progress()))
        if on_row is not None:
            on_row(name)
    return rows


def _row(
    name: str, setting: Setting, step: str, size: str, steps: int, copies: int, seed: int, progress: Progress
) -> Row:
    costs = _costs(setting, steps)
    times = np.arange(steps)
    norms, gaps, own = np.zeros(steps), np.zeros(steps), []
    gamma = setting.gamma.at(times)
    for first in range(0, copies, BLOCK):
        count = min(BLOCK, copies - first)
        run = simulate(
            setting, steps=steps, times=times, replicates=count, first_replicate=first, seed=seed, progress=progress
        )
        if (run.diverged >= 0).any():
            raise InputError(
                f"gamma {step} makes a run diverge at step {int(run.diverged.max())}; choose a smaller one"
            )
        norms += run.grad_norm2.sum(axis=0)
        gaps += run.gap.sum(axis=0)
        own.append(run.grad_norm2 @ gamma / gamma.sum())
    norms, gaps = norms / copies, gaps / copies
    weights = np.cumsum(gamma[::-1])[::-1]
    windows = (2 * gaps + np.cumsum((gamma * costs)[::-1])[::-1]) / weights
    averages = np.concatenate(own)
    drawn = sum((end - start) * part.expected_size for start, end, part in setting.sampling.stages(steps))
    return Row(
        name, step, size, float(averages.mean()), float(averages.std(ddof=1) / np.sqrt(copies)) if copies > 1 else 0.0,
        float(windows[0]), float(norms.min()), float(windows.min()), float(drawn),
    )  # fmt: skip


def _costs(setting: Setting, steps: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """c_t^2 + L gamma_t sigma_t^2/(1 - L gamma_t) at every step, sigma_t^2 of the stage it belongs to."""
    parts = []
    for start, end, part in setting.sampling.stages(steps):
        facts = facts_of(replace(setting, sampling=part))
        if not np.isfinite(facts.variance):
            raise InputError(
                f"problem {setting.problem.name!r} has a sampled gradient of unbounded variance, of which the bound "
                "says nothing; use one with equal Hessians, such as noisy-quadratic, or logistic regression"
            )
        times = np.arange(start, end)
        gamma = facts.gamma.at(times)
        if facts.variance > 0 and not facts.L_f * gamma.max() < 1:
            raise InputError(
                f"gamma must be below 1/L = {1 / facts.L_f:.6g} where there is noise, got {gamma.max():.6g}"
            )
        parts.append(floor_at(facts, gamma, facts.rho.at(times), {}))
    return np.concatenate(parts)
