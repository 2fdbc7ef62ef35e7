"""Choosing step sizes and a horizon at which a bound says something."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from theory.claim import Claim, Measure
from theory.schedules import Schedule
from theory.setting import Facts, Setting, facts_of

LONGEST = 10**8
INFORMATIVE = 0.4
"""The bound must fall below this part of the measured quantity's start; the verdict policy asks for half."""


def horizon(claim: Claim, facts: Facts, *, longest: int = LONGEST) -> int | None:
    """The shortest run, long enough for its last half to count, at whose end the bound is below INFORMATIVE times the
    measured start; None if there is none.

    The start is that of `measured_start`. Accurate to about 5 %.
    """
    start = measured_start(claim, facts)
    if claim.curve is None or not start > 0 or not claim.admits(facts):
        return None
    t = np.unique(np.geomspace(2 * shortest_counted(facts), longest, 400).astype(np.int64))
    with np.errstate(all="ignore"):
        good = claim.curve(facts, t, {}) <= INFORMATIVE * start
    return int(t[good.argmax()]) if good.any() else None


def measured_start(claim: Claim, facts: Facts) -> float:
    """What the claim measures, at t = 0: f(x_0) - f*, or ||grad f(x_0)||^2, or ||x_0 - x*||^2."""
    if claim.measure is Measure.GRADIENT_AVERAGE:
        return facts.grad_norm2_0
    return facts.distance2_0 if claim.measure is Measure.DISTANCE else facts.gap0


def shortest_counted(facts: Facts, replicates: int = 64) -> int:
    """The first step at which `replicates` copies have together seen each rare event 20 times on average."""
    return 1 if facts.deterministic else math.ceil(20 / (replicates * facts.least_probability))


def fit(claim: Claim, setting: Setting, *, longest: int = LONGEST) -> tuple[Setting, int | None]:
    """The claim's suggested steps, shrunk until the bound becomes informative soonest, and the horizon.

    Step sizes that the setting already has (positive gamma) are kept. None for the horizon: no step size
    makes the bound informative within `longest` steps.
    """
    facts = facts_of(setting)
    pairs = [(setting.gamma, setting.rho)]
    if not setting.gamma.largest > 0:
        parts = [(float(part), float(rho_part)) for rho_part in PARTS for part in PARTS]
        pairs = [pair for pair in (claim.suggest(facts, *both) for both in parts) if _usable(*pair)] or pairs
    best, shortest = pairs[0], None
    for pair in pairs:
        steps = horizon(claim, replace(facts, gamma=pair[0], rho=pair[1]), longest=longest)
        if steps is not None and (shortest is None or steps < shortest):
            best, shortest = pair, steps
    return setting.with_steps(gamma=best[0], rho=best[1]), shortest


PARTS = 0.5 ** np.arange(14)


def _usable(gamma: Schedule, rho: Schedule) -> bool:
    return math.isfinite(gamma.largest) and math.isfinite(rho.largest) and gamma.largest > 0
