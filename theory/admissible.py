"""The largest step sizes that a claim's hypotheses admit, found from the hypotheses alone."""

from __future__ import annotations

import math
from collections.abc import Callable

from theory.claim import Claim
from theory.methods.method import methods
from theory.schedules import Schedule, constant
from theory.setting import Facts

TINY = 1e-12
"""In units of 1/L: a claim that does not admit a step this small is taken to admit none."""


UNLIMITED = 10.0
"""In units of 1/L: what a part is taken of where every radius or every step is admissible."""


def steps_at(claim: Claim, facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule] | None:
    """gamma and rho, `rho_part` of the largest admissible radius and then `part` of the largest admissible step.

    part, rho_part: in [0, 1]; 1 is the boundary of the admissible set. Where the claim prescribes schedules, they are
    its own suggestion with these parts. None where it admits nothing. The admissible set is taken to be an interval
    from 0 in rho, and for each rho in gamma.
    """
    suggested = claim.suggest(facts, part, rho_part)
    if suggested[0].constant is None:
        return suggested if claim.admits(facts.with_steps(*suggested)) else None
    radius = 0.0
    if methods.build(claim.method).uses_rho and rho_part > 0:
        radius = rho_part * widest_radius(claim, facts)
    gamma = part * longest_step(claim, facts, radius)
    return (constant(gamma), constant(radius)) if gamma > 0 else None


def widest_radius(claim: Claim, facts: Facts) -> float:
    """The largest radius that still admits some step; 0 if none does, UNLIMITED/L if every one does."""
    step = TINY / facts.L
    likely = _limit(claim, facts, "rho", step, 0.0)
    return _largest(lambda rho: claim.admits(facts.with_steps(step, rho)), likely, facts.L)


def longest_step(claim: Claim, facts: Facts, rho: float) -> float:
    """The largest constant step admitted at this radius; 0 if none is, UNLIMITED/L if every one is."""
    likely = _limit(claim, facts, "gamma", TINY / facts.L, rho)
    return _largest(lambda gamma: claim.admits(facts.with_steps(gamma, rho)), likely, facts.L)


def _limit(claim: Claim, facts: Facts, name: str, gamma: float, rho: float) -> float:
    """What a hypothesis of this name gives as its limit, the likely boundary; NaN where there is none."""
    here = facts.with_steps(gamma, rho)
    return next((float(h.limit(here)) for h in claim.hypotheses if h.name == name and h.relation == "<="), math.nan)


def _largest(admits: Callable[[float], bool], guess: float, L: float) -> float:
    """The largest admitted number to one part in 1e12, found from the likely boundary or by bisection."""
    most = 1e3 / L
    low, high = guess * (1 - 1e-9), guess * (1 + 1e-9)
    if 0 < guess < math.inf and admits(low) and not admits(high):
        if admits(guess):
            return guess
        # Rounding puts the limit itself outside; it lies within one part in 1e9 of its own formula.
    elif admits(most):
        return UNLIMITED / L
    else:
        low = high = most
        while not admits(low):
            low, high = low / 16, low
            if low < most * 2.0**-80:
                return 0.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if admits(middle) else (low, middle)
    return low
