"""Whole training runs compared: the range of step sizes of SSAM, and growing batches against decaying steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.net.claim import Effort, Judged, NetworkClaim, Seen, network_claims, seen
from experiments.net.curvature import eigenpairs
from experiments.net.digits import digits_objective, digits_starts
from experiments.net.ensemble import train
from experiments.verify.verdict import Values
from problems.errors import InputError
from theory.samplings import samplings

RULES = ("sgd", "sam", "usam", "ssam:ascent=unnormalised", "ssam:ascent=normalised")

HALVED = 0.5
"""A run has trained when its loss has come below this part of the start's."""


def longest_steps(effort: Effort) -> dict[str, Values]:
    """For each rule and seed the longest step of a grid with which, and with every shorter one, the run trains.

    Raises InputError where that is an end of the grid: all that is known then is on which side of it the step lies.
    """
    objective = digits_objective("squared")
    grid = np.geomspace(0.05, 5.0, effort.pick(17, 33))
    x0 = digits_starts(effort.seed, effort.seeds)
    rows = x0.repeat_interleave(len(grid), dim=0)
    found = {}
    for rule in RULES:
        run = train(
            objective, rows, steps=effort.pick(120, 400), gamma=[float(step) for step in grid] * effort.seeds,
            rho=0.0 if rule == "sgd" else 1.0, method=rule, times=[0, effort.pick(120, 400)],
        )  # fmt: skip
        with np.errstate(invalid="ignore"):
            trained = (run.loss[:, 1] < HALVED * run.loss[:, 0]).reshape(effort.seeds, len(grid))
        last = np.where(trained.all(axis=1), len(grid), np.argmin(trained, axis=1)) - 1
        if (last < 0).any() or (last == len(grid) - 1).any():
            raise InputError(
                f"the longest step of {rule} must lie within the grid {grid[0]:g}..{grid[-1]:g}, got an end of it"
            )
        found[rule] = grid[last]
    return found


def step_range(effort: Effort) -> Sequence[Seen | Judged]:
    """The longest step of SSAM over that of USAM, SAM and gradient descent, seed by seed."""
    found = longest_steps(effort)
    plain, unit = found["ssam:ascent=unnormalised"], found["ssam:ascent=normalised"]
    # Two cells of the grid: a longest step is known to one, and a ratio has two of them.
    cell = 100 ** (2 / (effort.pick(17, 33) - 1)) * 1.001
    return [
        seen("longest step: SSAM, unnormalised/USAM", plain / found["usam"], least=1.0),
        seen("longest step: SSAM, normalised/SAM", unit / found["sam"], least=1.0),
        seen("longest step: SSAM, unnormalised/gradient descent", plain / found["sgd"], least=1 / cell, most=cell),
        seen("longest step: SSAM, normalised/gradient descent", unit / found["sgd"], least=1 / cell, most=cell),
        seen("longest step: USAM/gradient descent", found["usam"] / found["sgd"], least=1 / cell, most=cell,
             control=True),
    ]  # fmt: skip


START, STAGES = 8, 4
"""Examples a step at first, and how often the batch doubles."""


def batch_schedules(effort: Effort) -> Sequence[Seen | Judged]:
    """The largest eigenvalue at the end under SAM: the batch doubled in stages against cosine and linear decay of the
    step at a fixed batch, once with as many updates and once with as many epochs. Published comparisons have equal
    epochs, in which the growing batch makes fewer updates."""
    objective = digits_objective("cross-entropy")
    updates = effort.pick(400, 2000)
    every = updates // STAGES
    epochs_worth = sum(every * 2**stage for stage in range(STAGES))
    x0 = digits_starts(effort.seed, effort.seeds)
    gamma, rho = 0.3, 0.1

    def sharpness(sampling: str, step: float | str, steps: int) -> Values:
        drawn = samplings.build(sampling, problem=_Sized(objective.n))
        run = train(objective, x0, steps=steps, gamma=step, rho=rho, method="sam", sampling=drawn, times=[steps])
        return np.array([float(eigenpairs(objective, x).values[0]) for x in run.x])

    grown = sharpness(f"tau-nice:tau=doubling:start={START},every={every}", gamma, updates)
    found, equal_updates = [], np.zeros(0)
    for name, spec in (("cosine", "cosine:start={g},end=0,steps={T}"), ("linear", "linear:start={g},steps={T}")):
        for measure, steps in (("updates", updates), ("epochs", epochs_worth)):
            decayed = sharpness(f"tau-nice:tau={START}", spec.format(g=gamma, T=steps), steps)
            # Sharpness spans orders of magnitude over seeds: as a factor.
            factor = np.log(grown / decayed)
            if name == "cosine" and measure == "updates":
                equal_updates = factor
            found.append(seen(f"ln of lambda_1, growing batch/{name} decay, equal {measure}", factor, most=0.0))
    broken = "ln of lambda_1, growing batch/cosine decay, equal updates: a tenth"
    found.append(seen(broken, equal_updates, most=float(np.log(0.1)), control=True))
    return found


class _Sized:
    """What a sampling asks of a problem: how many examples there are."""

    def __init__(self, n: int) -> None:
        self.n = n


network_claims.add(
    NetworkClaim(
        "net/ssam-range",
        "SSAM trains with longer steps than SAM and USAM, as long as gradient descent's",
        "The longest step with which SSAM halves the loss is at least that of the rule it renormalises, and as long as "
        "that of gradient descent (exact on quadratics: gamma L < 2, where USAM needs gamma L (1 + rho L) < 2).",
        "ssam/step-range",
        step_range,
    )
)
network_claims.add(
    NetworkClaim(
        "net/batch-schedules",
        "A growing batch ends at lower sharpness than a decaying step",
        "The largest Hessian eigenvalue at the end of training with SAM is lower when the batch grows than when the "
        "step size decays, at equal epochs and at equal updates.",
        "",
        batch_schedules,
    )
)
