"""NetworkClaim: a statement looked at on networks, and what was seen; the registry of all of them (found by folder)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from experiments.verify.verdict import Evidence, Verdict
from problems.errors import InputError
from theory.registry import Registry

LEVEL = 0.95
"""Of every interval over seeds."""

LEAST_SEEDS = 3


@dataclass(frozen=True)
class Seen:
    """A mean over seeds with its interval, and where the statement wants it.

    what: a clause. low, high: Student's interval at LEVEL. least, most: the statement is met where the whole interval
    lies in [least, most]. control: a broken statement, which must not be met.
    """

    what: str
    mean: float
    low: float
    high: float
    least: float
    most: float
    seeds: int
    control: bool = False

    @property
    def met(self) -> bool:
        return self.least <= self.low and self.high <= self.most

    @property
    def refuted(self) -> bool:
        """The whole interval lies outside."""
        return self.high < self.least or self.low > self.most

    @property
    def word(self) -> str:
        return "met" if self.met else "refuted" if self.refuted else "undecided"

    def __str__(self) -> str:
        wanted = f"in [{self.least:g}, {self.most:g}]"
        if math.isinf(self.most):
            wanted = f"at least {self.least:g}"
        elif math.isinf(self.least):
            wanted = f"at most {self.most:g}"
        return f"{self.what}: {self.mean:.4g} [{self.low:.4g}, {self.high:.4g}], stated {wanted}"

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings; infinite ends are left out."""
        ends = {name: end for name, end in (("least", self.least), ("most", self.most)) if math.isfinite(end)}
        return {
            "what": self.what, "mean": self.mean, "interval": [self.low, self.high], "level": LEVEL,
            "seeds": self.seeds, "stated": ends, "found": self.word, "control": self.control,
        }  # fmt: skip


def seen(
    what: str, values: ArrayLike, *, least: float = -math.inf, most: float = math.inf, control: bool = False
) -> Seen:
    """The mean over seeds of one number each. Raises InputError for fewer than LEAST_SEEDS, or numbers not finite."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < LEAST_SEEDS or not np.isfinite(numbers).all():
        raise InputError(f"values of {what!r} must be {LEAST_SEEDS} finite numbers or more, got {numbers.tolist()}")
    mean, error = float(numbers.mean()), float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    half = float(student.ppf((1 + LEVEL) / 2, len(numbers) - 1)) * error
    return Seen(what, mean, mean - half, mean + half, least, most, len(numbers), control)


@dataclass(frozen=True)
class Judged:
    """Evidence by the same lines of code that judge every other run. control: the evidence of a broken bound."""

    evidence: Evidence
    control: bool = False
    name: str = ""


@dataclass(frozen=True)
class Effort:
    """How much to measure. seeds: networks; seed: the first one."""

    seeds: int = 4
    seed: int = 0
    full: bool = False

    def pick(self, quick: int, full: int) -> int:
        return full if self.full else quick


@dataclass(frozen=True)
class NetworkClaim:
    """A statement on networks. reuses: the id of the theory's claim whose object or formula is judged, empty where
    there is none. statement: in words. look: what is measured; it may raise InputError where nothing can be."""

    id: str
    title: str
    statement: str
    reuses: str
    look: Callable[[Effort], Sequence[Seen | Judged]]


@dataclass(frozen=True)
class NetworkResult:
    """What was seen of one claim.

    verdict: `consistent (estimated constants)`, or `inconclusive` with the reason: what was seen instead, what the
    seeds leave undecided, or a control that was not refuted. Constants are estimates, and what is stated of networks is
    proved of other functions: a disagreement is a result, no refutation.

    decided: every comparison was met or refuted.
    """

    claim: NetworkClaim
    verdict: Verdict
    reason: str
    found: tuple[Seen | Judged, ...]
    seconds: float
    controls_refuted: int
    controls: int

    @property
    def decided(self) -> bool:
        return bool(self.found) and not any(_undecided(entry) for entry in self.found if not entry.control)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "id": self.claim.id, "title": self.claim.title, "statement": self.claim.statement,
            "reuses": self.claim.reuses, "verdict": self.verdict.value, "reason": self.reason,
            "seen": [s.as_json() for s in self.found if isinstance(s, Seen)],
            "evidence": [
                {**j.evidence.as_json(), "control": j.control, "name": j.name}
                for j in self.found if isinstance(j, Judged)
            ],
            "controls": self.controls, "controls_refuted": self.controls_refuted, "seconds": self.seconds,
        }  # fmt: skip


def judge(claim: NetworkClaim, effort: Effort) -> NetworkResult:
    """Look, and say what was seen."""
    started = time.perf_counter()
    try:
        found = tuple(claim.look(effort))
    except InputError as error:
        return NetworkResult(
            claim, Verdict.INCONCLUSIVE, f"not measured: {error}", (), time.perf_counter() - started, 0, 0
        )
    seconds = time.perf_counter() - started
    controls = [entry for entry in found if entry.control]
    standing = [control for control in controls if not _refuted(control)]
    refuted = len(controls) - len(standing)
    own = [entry for entry in found if not entry.control]
    if not controls or not own:
        lacking = "control" if not controls else "comparison besides its controls"
        reason = f"no {lacking}: nothing was shown"
        return NetworkResult(claim, Verdict.INCONCLUSIVE, reason, found, seconds, refuted, len(controls))
    against, undecided = ([e for e in own if test(e)] for test in (_refuted, _undecided))
    if standing:
        verdict, reason = Verdict.INCONCLUSIVE, f"a control was not refuted: {_text(standing[0])}"
    elif against:
        verdict, reason = Verdict.INCONCLUSIVE, f"seen instead: {_text(against[0])}"
    elif undecided:
        verdict, reason = Verdict.INCONCLUSIVE, f"too few seeds to decide: {_text(undecided[0])}"
    else:
        verdict, reason = Verdict.CONSISTENT_ESTIMATED, ""
    return NetworkResult(claim, verdict, reason, found, seconds, refuted, len(controls))


def _refuted(entry: Seen | Judged) -> bool:
    return entry.refuted if isinstance(entry, Seen) else entry.evidence.verdict is Verdict.VIOLATED


def _undecided(entry: Seen | Judged) -> bool:
    """Neither met nor refuted."""
    met = entry.met if isinstance(entry, Seen) else entry.evidence.verdict is Verdict.CONSISTENT
    return not met and not _refuted(entry)


def _text(entry: Seen | Judged) -> str:
    if isinstance(entry, Seen):
        return str(entry)
    e = entry.evidence
    return f"{entry.name}: {e.verdict.value}, measured {e.measured:.4g}, bound {e.bound:.4g}; {e.reason}"


network_claims: Registry[NetworkClaim] = Registry("network claim", "experiments.net.claims")
"""Every network claim by id."""
