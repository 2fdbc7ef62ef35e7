"""Verdicts, a closed enumeration, and the record of one route of evidence."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


CLASS = "class"
"""The origin of evidence about every instance at once: a derivation, a worst case over a class of functions."""


class Critical(NamedTuple):
    """Where a strengthened bound first fails as one named constant is scaled: both ends of the interval, equal unless
    draws are involved. up: larger scales strengthen (a rate, a step limit); otherwise smaller ones do."""

    low: float
    high: float
    up: bool

    @property
    def sharpest(self) -> float:
        """The end nearer to the theorem's own constant, 1."""
        return self.low if self.up else self.high


class Verdict(enum.Enum):
    """The only words in which the laboratory judges. Numbers can refute; they prove nothing."""

    CONSISTENT = "consistent"
    CONSISTENT_ESTIMATED = "consistent (estimated constants)"
    RATE_SEEN = "rate seen"
    EXACT = "exact"
    REFUTED_AS_STATED = "refuted as stated"
    CONJECTURE = "conjecture"
    OUTSIDE = "outside hypotheses"
    INCONCLUSIVE = "inconclusive"
    VIOLATED = "violated"


AGREES = (
    Verdict.CONSISTENT,
    Verdict.CONSISTENT_ESTIMATED,
    Verdict.RATE_SEEN,
    Verdict.EXACT,
    Verdict.REFUTED_AS_STATED,
    Verdict.CONJECTURE,
)
"""Verdicts with which a run of `verify` exits 0."""


@dataclass(frozen=True)
class Evidence:
    """One comparison of a measured curve with a bound.

    route: how it was measured. verdict: consistent, exact, inconclusive or violated. reason: a clause. instance,
    origin, replay: what was run. at: the time (or the number of the point) shown; measured, bound there. error:
    the standard error (Monte Carlo) or the rounding floor there. replicates: 1 unless Monte Carlo. abscissa,
    measured_curve, bound_curve, error_curve: all that was compared, at the times in `abscissa`. critical: for each
    named constant that this row says something about, its critical scale. relation: what was stated, measured `<=`,
    `>=` or `=` bound.
    """

    route: str
    verdict: Verdict
    reason: str
    instance: str
    origin: str
    replay: str
    at: float
    measured: float
    bound: float
    error: float
    replicates: int
    critical: Mapping[str, Critical] = field(repr=False)
    abscissa: NDArray[np.int64] = field(repr=False)
    measured_curve: Values = field(repr=False)
    bound_curve: Values = field(repr=False)
    error_curve: Values = field(repr=False)
    relation: str = "<="

    @property
    def ratio(self) -> float:
        """measured / bound at the shown time; says how close the two come there, not how sharp the bound is."""
        if self.bound == 0:
            return 1.0 if self.measured == 0 else float("inf")
        return self.measured / self.bound

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "route": self.route,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "instance": self.instance,
            "origin": self.origin,
            "replay": self.replay,
            "at": self.at,
            "measured": self.measured,
            "relation": self.relation,
            "bound": self.bound,
            "ratio": self.ratio,
            "error": self.error,
            "replicates": self.replicates,
            "critical_scales": {name: [scale.low, scale.high] for name, scale in self.critical.items()},
        }
