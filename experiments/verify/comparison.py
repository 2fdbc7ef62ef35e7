"""Comparison: measured values beside a bound that can be strengthened; verdict and critical scales follow from it.

The critical scale of a named constant is where the strengthened bound first fails while the measured curve stays
fixed. It is found by bisection, for the bound is monotone in each of its constants. `rate` is strengthened by larger
scales, parts of a bound by smaller ones; which of the two is seen from the bound itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.rounding import EPS
from theory.claim import Scale

from .case import Case
from .verdict import Critical, Evidence, Values, Verdict

VISIBLE = 0.1
"""A comparison counts only where the rounding floor is below this part of what is compared."""

CONSTANTS = 64 * EPS
"""The relative rounding of what a bound is made of: eigenvalues, sums over components, their products."""

UNDERFLOW = 1e-290
"""Sums of terms near here lose digits that no relative error accounts for."""

LONGEST_POWER = 1e6
"""Powers of more factors than this have died out, or are those of a bound near 1."""

FARTHEST = 2.0**40
"""Scales are sought up to this size: beyond, the constant says nothing on this instance."""

STANDARD_ERRORS = 4.0
"""Half the width, in standard errors, of the interval that a sampled mean gives to a critical scale."""


@dataclass(frozen=True)
class Comparison:
    """Measured values and a bound at the same points or times.

    route: how it was measured. abscissa: times, or numbers of points. measured, error: values and their rounding
    floor, or the standard error when `replicates` > 1. bound: the bound with named constants scaled; infinite where
    nothing is stated. before: for one-step expectations, the gap before the step. complete: `error` covers both sides.
    """

    route: str
    abscissa: NDArray[np.int64]
    measured: Values
    error: Values
    bound: Callable[[Scale], Values]
    replicates: int = 1
    before: Values | None = None
    complete: bool = False

    def tolerance(self, bound: Values) -> Values:
        """The rounding of measured and bound together. A bound is made of constants (eigenvalues, sums over components)
        that carry some dozens of roundings, and multiplies up to t factors, each with as many."""
        if self.complete:
            return self.error
        steps = np.ones(len(bound)) if self.before is not None else np.minimum(self.abscissa + 1.0, LONGEST_POWER)
        with np.errstate(invalid="ignore"):
            return np.asarray(self.error + CONSTANTS * steps * np.abs(bound) + UNDERFLOW)

    def cancelled(self, scale: Scale, names: Iterable[str]) -> Values:
        """How far the rounding of the named constants moves the bound: where 1 - gamma mu nearly vanishes, by much more
        than a part of itself."""
        moved = np.zeros(len(self.measured))
        for name in names:
            own = scale.get(name, 1.0)
            low, high = (self.bound({**scale, name: own * (1 + sign * CONSTANTS)}) for sign in (-1.0, 1.0))
            finite = np.isfinite(low) & np.isfinite(high)
            moved[finite] += np.abs(high[finite] - low[finite])
        return moved

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which entries stand out of rounding."""
        if self.replicates > 1:
            return np.ones(len(self.measured), dtype=bool)
        return np.asarray(self.error < VISIBLE * np.abs(self.measured))

    def critical_scale(self, name: str) -> Critical | None:
        """The scale of constant `name` at which the bound first fails; None where these values say nothing about it."""
        up = strengthened_by_more(self.bound, name)
        if up is None:
            return None
        if self.replicates > 1:
            spread = STANDARD_ERRORS * self.error
            ends = [self._critical(name, up, self.measured + sign * spread) for sign in (1.0, -1.0)]
        else:
            # Beyond rounding: what is left after the floor still breaks the strengthened bound.
            ends = [self._critical(name, up, self.measured - self.tolerance(self.measured))] * 2
        return Critical(min(ends), max(ends), up) if math.isfinite(ends[0]) else None

    def _critical(self, name: str, up: bool, values: Values) -> float:
        seen = self.seen
        if up and self.before is not None:
            # A rate speaks where the gap is above the neighbourhood: where the bound itself claims a decrease.
            seen = seen & (self.bound({}) < self.before)

        def fails(scale: float) -> bool:
            return bool((seen & (values > self.bound({name: scale}))).any())

        return critical_scale(fails, up=up)


def strengthened_by_more(bound: Callable[[Scale], Values], name: str) -> bool | None:
    """Whether larger scales of this constant lower the bound; None where it does not read the constant at all."""
    less, more = bound({name: 0.5}), bound({name: 2.0})
    finite = np.isfinite(less) & np.isfinite(more)
    difference = float(np.sum((less - more)[finite]))
    return None if difference == 0 or not math.isfinite(difference) else difference > 0


def critical_scale(fails: Callable[[float], bool], *, up: bool, rounds: int = 45) -> float:
    """Where a strengthened bound first fails: fails(s) is monotone in s, rising where `up`, falling otherwise.

    Infinite (up) or 0 (down) where it never fails up to FARTHEST, respectively down to 0; negative where even a scale
    of 0 (up) fails, so that the constant would have to point the other way.
    """
    if up:
        low, high = (1.0, 2.0) if not fails(1.0) else (-1.0, 1.0)
        if high == 1.0:
            while fails(low):
                low *= 4.0
                if low < -FARTHEST:
                    return -math.inf
        else:
            while not fails(high):
                low, high = high, 4.0 * high
                if high > FARTHEST:
                    return math.inf
    else:
        # Mirrored: `high` fails, `low` holds, with high < low.
        if fails(0.0):
            low, high = 1.0, 0.0
            while fails(low):
                low, high = 4.0 * low, low
                if low > FARTHEST:
                    return math.inf
        else:
            return 0.0
    for _ in range(rounds):
        middle = (low + high) / 2
        if fails(middle):
            high = middle
        else:
            low = middle
    return low


def compare(case: Case, found: Comparison, *, critical: bool = True) -> Evidence:
    """Curves without sampling error: violated where the measured exceeds the bound by more than the floor."""
    measured = found.measured
    bound = found.bound(case.scale)
    floor = found.tolerance(np.where(np.isfinite(bound), bound, 0.0))
    if not found.complete:
        floor = floor + found.cancelled(case.scale, case.claim.constants)
    finite = np.isfinite(measured)
    excess = np.where(finite, measured - bound - floor, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(bound > 0, measured / bound, np.where(measured > floor, np.inf, 1.0))
        if found.complete and (bound < 0).any():  # a lower bound with its signs changed
            ratio = np.where(measured != 0, bound / measured, np.inf)
    ratio[~finite] = np.inf
    seen = ~finite | (floor < VISIBLE * np.maximum(np.abs(bound), np.abs(measured)))
    stated = np.isfinite(bound)
    if not stated.any():
        return case.nothing(found.route, "horizon too short: nothing is claimed so early")
    if not (seen & stated).any():
        return case.nothing(found.route, "rounding floor: every bound lies below it")
    show = int(np.argmax(np.where(seen & stated, ratio, -np.inf)))
    violated = bool((excess[seen & stated] > 0).any())
    return case.evidence(
        route=found.route,
        verdict=Verdict.VIOLATED if violated else Verdict.CONSISTENT,
        reason=f"measured / bound = {ratio[show]:.6g}" if violated else "",
        show=show, abscissa=found.abscissa, measured=measured, bound=bound, error=floor,
        critical=critical_scales(case, found) if critical else None,
    )  # fmt: skip


def critical_scales(case: Case, found: Comparison) -> Mapping[str, Critical]:
    """Of each named constant of the claim that these values say something about."""
    scales = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for name in case.claim.constants:
            if (scale := found.critical_scale(name)) is not None:
                scales[name] = scale
    return scales
