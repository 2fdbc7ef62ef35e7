"""The sharpness profile: for each named constant of a claim, how much stronger it could be, and the instance that stops
it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from theory.claim import Claim

from .verdict import Critical, Evidence


@dataclass(frozen=True)
class Sharpness:
    """The critical scale nearest to the theorem's own constant over all instances measured.

    sampled: it rests on draws, and [low, high] is its interval; exact rows always come first.
    """

    constant: str
    meaning: str
    scale: Critical
    sampled: bool
    instance: str
    replay: str
    route: str

    @property
    def sentence(self) -> str:
        """What the number says, for people."""
        return reading(self.constant, self.scale.sharpest, up=self.scale.up)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "constant": self.constant,
            "meaning": self.meaning,
            "critical_scale": self.scale.sharpest,
            "interval": [self.scale.low, self.scale.high],
            "strengthened_by": "larger" if self.scale.up else "smaller",
            "reads": self.sentence,
            "sampled": self.sampled,
            "route": self.route,
            "instance": self.instance,
            "replay": self.replay,
        }


def reading(constant: str, scale: float, *, up: bool) -> str:
    """What a critical scale says, for people."""
    number = f"{scale:.4g}"
    if constant == "step_limit":
        return f"from {number} times the step limit on, this instance breaks the bound"
    if up:
        if scale < 0:
            return "no value above 0 holds on this instance"
        return f"can be at most {number} times the claimed one"
    return f"must be at least {number} of the claimed one"


def profile(claim: Claim, rows: Iterable[Evidence]) -> list[Sharpness]:
    """One entry for each named constant on which some row speaks; Monte Carlo rows only where no exact one does.

    A constant that larger scales strengthen in one part of a statement and smaller ones in another has two entries.
    """
    known = list(rows)
    found = []
    for name, meaning in claim.named_constants.items():
        for up in (True, False):
            speaking = [row for row in known if name in row.critical and row.critical[name].up is up]
            exact = [row for row in speaking if row.replicates == 1]
            best = _sharpest(name, exact or speaking)
            if best is not None:
                scale = best.critical[name]
                found.append(Sharpness(name, meaning, scale, not exact, best.instance, best.replay, best.route))
    return found


def as_numbers(found: Iterable[Sharpness]) -> dict[str, float]:
    """The critical scale by constant; of two for one constant that nearer to 1."""
    numbers: dict[str, float] = {}
    for sharp in found:
        scale, name = sharp.scale.sharpest, sharp.constant
        if name not in numbers or abs(scale - 1) < abs(numbers[name] - 1):
            numbers[name] = scale
    return numbers


def _sharpest(name: str, rows: Sequence[Evidence]) -> Evidence | None:
    if not rows:
        return None
    up = rows[0].critical[name].up
    return (min if up else max)(rows, key=lambda row: row.critical[name].sharpest)
