"""Which rule an optimiser follows, and the numbers it reads: the registry's methods as the bridge needs them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, get_args

from problems.errors import InputError
from problems.problem import plain
from problems.spec import parse
from theory.methods.gsam import GSAM
from theory.methods.method import Method, methods
from theory.methods.multistep import Ascent, MultiStepSAM
from theory.methods.multistep import Descent as MultiStepDescent
from theory.methods.sgd import SGD
from theory.methods.ssam import SSAM
from theory.methods.unified_sam import UnifiedSAM
from theory.schedules import Schedule, read_schedule

Number = float | str
"""A number, or the SPEC of a schedule: what stands in a parameter group."""

Descent = Literal["last", "average", "average-start", "lookbehind", "perpendicular", "renormalised"]

KEYS = {
    "lam": {"unified-sam": "lam"},
    "alpha": {"gsam": "alpha", "multi-sam": "alpha"},
    "ascent_steps": {"multi-sam": "steps"},
    "ascent": {"multi-sam": "ascent"},
    "descent": {"multi-sam": "descent"},
    "ssam": {"ssam": "ascent"},
}
"""For each argument the methods that read it, and its name in their SPEC."""


@dataclass(frozen=True)
class Range:
    """Where a number may lie. open: not at `low` itself."""

    low: float = 0.0
    high: float = math.inf
    open: bool = False

    def __str__(self) -> str:
        if math.isinf(self.high):
            return "finite" if math.isinf(self.low) else f">= {self.low:g}"
        return f"in {'(' if self.open else '['}{self.low:g}, {self.high:g}]"

    def check(self, number: Any, *, argument: str) -> float:
        """The number as a float; InputError, naming `argument`, unless it is one and lies here."""
        if isinstance(number, bool) or not isinstance(number, Real):
            raise InputError(f"{argument} must be a number or the SPEC of a schedule, got {number!r}")
        found = float(number)
        inside = math.isfinite(found) and self.low <= found <= self.high and not (self.open and found == self.low)
        if not inside:
            raise InputError(f"{argument} must be {self}, got {plain(found)!r}")
        return found

    def schedule(self, given: str | Schedule, *, argument: str) -> Schedule:
        """A schedule that stays here; its SPEC is read."""
        high = None if math.isinf(self.high) else self.high
        found = read_schedule(given, argument=argument, low=self.low, high=high)
        if found.constant is not None:
            self.check(found.constant, argument=argument)
        return found


RADIUS = Range()


def has_spec(schedule: Schedule) -> bool:
    """Whether its name is a SPEC that can be read."""
    try:
        read_schedule(schedule.name, argument="schedule")
    except InputError:
        return False
    return True


@dataclass(frozen=True)
class Rule:
    """An ascent path of `steps` steps and the direction of the descent that ends it.

    name: the SPEC without the numbers that stand in the parameter groups. steps: 0 for SGD. ascent: as in
    theory/methods/multistep.py. descent: as there, or `perpendicular` (GSAM) or `renormalised` (SSAM). lam: the mixing
    of a rule that has a fixed one. ranges: of the numbers that the parameter groups give.
    """

    name: str
    steps: int
    ascent: Ascent = "budget"
    descent: Descent = "last"
    lam: float = 1.0
    ranges: dict[str, Range] = field(default_factory=lambda: {"rho": RADIUS})


def read_rule(method: str, **given: Any) -> tuple[Rule, dict[str, Any]]:
    """The rule of a method's name or SPEC, and the values of its lam and alpha where it has them.

    given: the arguments of KEYS, None where not given. Raises InputError for an unknown method, one without a rule
    here, an argument that the method does not read or that its SPEC gives too, and whatever the registry refuses.
    """
    if not isinstance(method, str):
        raise InputError(f"method must be a name or a SPEC, got {method!r}")
    name, pairs = parse(method, argument="method")
    methods.builder(name)
    numbers: dict[str, Any] = {}
    for argument, chosen in given.items():
        if chosen is None:
            continue
        key = KEYS[argument].get(name)
        if key is None:
            readers = " and ".join(KEYS[argument])
            raise InputError(
                f"{argument} is read by {readers} alone; leave it out with method {name!r}, got {chosen!r}"
            )
        if key in pairs:
            raise InputError(f"{argument} must be given once, got {chosen!r} beside {key}={pairs[key]} in the method")
        if argument in ("lam", "alpha"):
            numbers[argument] = chosen
        else:
            pairs[key] = str(chosen)
    built = methods.build(name + (":" if pairs else "") + ",".join(f"{key}={entry}" for key, entry in pairs.items()))
    rule, own = _rule_of(built)
    if "alpha" in numbers and "alpha" not in rule.ranges:
        raise InputError(
            f"alpha of method 'multi-sam' is read by descent=lookbehind alone; leave it out, got {numbers['alpha']!r}"
        )
    return rule, {**own, **numbers}


def _rule_of(method: Method) -> tuple[Rule, dict[str, Any]]:
    data = method.data
    mixing, mixed = Range(high=1.0), {"rho": RADIUS}
    if isinstance(data, SGD):
        return Rule("sgd", steps=0), {}
    if isinstance(data, UnifiedSAM) and method.family in ("sam", "usam"):
        return Rule(method.name, steps=1, lam=1.0 if method.family == "sam" else 0.0), {}
    if isinstance(data, UnifiedSAM):
        return Rule("unified-sam", steps=1, ranges={**mixed, "lam": mixing}), {"lam": method.lam}
    if isinstance(data, GSAM):
        ranges = {**mixed, "alpha": Range(low=-math.inf)}
        return Rule("gsam", steps=1, descent="perpendicular", ranges=ranges), {"alpha": data.alpha}
    if isinstance(data, SSAM):
        return Rule(method.name, steps=1, descent="renormalised", lam=data.normalised), {}
    if isinstance(data, MultiStepSAM):
        path, end = get_args(Ascent)[data.ascent], get_args(MultiStepDescent)[data.descent]
        name = f"multi-sam:steps={data.steps},ascent={path},descent={end}"
        if end != "lookbehind":
            return Rule(name, data.steps, path, end), {}
        ranges = {**mixed, "alpha": Range(high=1.0, open=True)}
        return Rule(name, data.steps, path, end, ranges=ranges), {"alpha": data.alpha}
    raise InputError(
        f"method must be sgd, sam, usam, unified-sam, gsam, multi-sam or ssam on networks, got {method.name!r}"
    )
