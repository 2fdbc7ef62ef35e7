"""Claim: one statement of theory as an object, and the registry of all of them (found by folder)."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from problems.errors import InputError
from theory.registry import Registry
from theory.schedules import Schedule
from theory.setting import Facts, Setting
from theory.trial import Measuring, Order

Curve = NDArray[np.float64]
Times = NDArray[np.int64]
Scale = Mapping[str, float]

NO_SCALE: Scale = {}


class Kind(enum.Enum):
    """What sort of statement it is, hence what it takes to agree with it."""

    UPPER = "upper bound"
    LOWER = "lower bound"
    EXACT = "equality"
    LIMIT = "limit"
    ORDER = "order of convergence"
    INVARIANCE = "invariance"
    REFUTED = "refuted statement"
    CONJECTURE = "conjecture"


class Provenance(enum.Enum):
    """Where the statement comes from; never upgraded."""

    READ = "read"
    DERIVED = "derived"
    REFUTED = "refuted"


class Measure(enum.Enum):
    """The quantity on the left-hand side."""

    SUBOPTIMALITY = "E[f(x_t) - f*]"
    DISTANCE = "E||x_t - x*||^2"
    GRADIENT_AVERAGE = "weighted average of E||grad f(x_s)||^2 over s < t"
    SECOND_MOMENT = "E||grad f_v(x)||^2 at points x"
    PLATEAU = "f(x_t) - f* at the end"
    OWN = "what the statement names"


@dataclass(frozen=True)
class Source:
    """paper: how to cite it. number: of the statement in the paper, if known. note: what was read there and what was
    not; where a constant is ours."""

    paper: str
    number: str | None
    provenance: Provenance
    note: str

    def __str__(self) -> str:
        place = f", {self.number}" if self.number else ""
        shape = "in the shape of " if self.provenance is Provenance.DERIVED and self.number else ""
        return f"{shape}{self.paper}{place}"


@dataclass(frozen=True)
class Finding:
    """What a hypothesis found on some facts: `value relation limit`, whether it holds, and by what margin.

    margin: (limit - value)/|limit| for upper limits and its mirror image for lower ones; positive inside.
    """

    hypothesis: str
    value: float
    relation: str
    limit: float
    holds: bool

    @property
    def margin(self) -> float:
        room = self.limit - self.value if self.relation in ("<=", "<") else self.value - self.limit
        if self.relation == "=":
            room = -abs(self.value - self.limit)
        return room / abs(self.limit) if self.limit else room

    def __str__(self) -> str:
        value, limit = f"{self.value:.6g}", f"{self.limit:.6g}"
        if value == limit and self.value != self.limit:  # they differ further back
            value, limit = repr(self.value), repr(self.limit)
        return f"{self.hypothesis}: {value} must be {self.relation} {limit}"


Relation = Literal["<=", "<", ">=", ">", "="]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda value, limit: value <= limit,
    "<": lambda value, limit: value < limit,
    ">=": lambda value, limit: value >= limit,
    ">": lambda value, limit: value > limit,
    "=": lambda value, limit: value == limit,
}


@dataclass(frozen=True)
class Hypothesis:
    """A named predicate on facts: value(facts) relation limit(facts). NaN on either side fails.

    text: the same in words and symbols, for people. step_limit: it is what limits the step size, so that the named
    constant `step_limit` multiplies its limit.
    """

    name: str
    value: Callable[[Facts], float]
    relation: Relation
    limit: Callable[[Facts], float]
    text: str
    step_limit: bool = False

    def relaxed(self, factor: float) -> Hypothesis:
        """The same with `factor` times the limit."""
        limit = self.limit
        return replace(self, limit=lambda facts: factor * limit(facts), text=f"{self.text}, relaxed by {factor:g}")

    def find(self, facts: Facts) -> Finding:
        with np.errstate(all="ignore"):
            value, limit = float(self.value(facts)), float(self.limit(facts))
        return Finding(self.name, value, self.relation, limit, _COMPARE[self.relation](value, limit))


STAGES = Hypothesis(
    "stages of the batch size", lambda f: float(f.stages), "=", lambda f: 1.0, "the sampling does not change with t"
)


class OutsideHypotheses(InputError):
    """The claim says nothing here. The text names the hypothesis that failed, its value and its limit."""

    def __init__(self, claim_id: str, findings: list[Finding]) -> None:
        failed = next(f for f in findings if not f.holds)
        super().__init__(f"{claim_id} is outside its hypotheses: {failed}")
        self.findings = findings


@dataclass(frozen=True)
class Instance:
    """One thing to run for a claim.

    setting: what is run. steps: the horizon; 0 asks for exact one-step expectations only. origin: `synthetic`,
    `tight` (a family that comes near the bound), `data` (real data) or `corpus` (found by a search). replay: arguments
    of `ravine check` that repeat it, without the claim's id.
    """

    setting: Setting
    steps: int
    origin: Literal["synthetic", "tight", "data", "corpus"] = "synthetic"
    replay: str = ""

    def __str__(self) -> str:
        return f"{self.setting}, {self.steps} steps"


@dataclass(frozen=True)
class Family:
    """Where instances are drawn. draw(rng) gives one instance; quick and full say how many a run takes."""

    name: str
    draw: Callable[[np.random.Generator, Claim], Instance]
    quick: int = 1
    full: int = 4


@dataclass(frozen=True)
class Control:
    """A deliberately broken version of a claim that the check must refute, on an instance that shows it.

    name: how it is broken. instance: where that shows. facts: a change of what the bound reads. setting: a
    change of what is run. scale: a change of named constants. The hypotheses are not asked.
    route: the evidence that must find it: a `trajectory`, `one-step` expectations, `points`, or the name of a trial.
    broken: a change of the statement itself.
    """

    name: str
    instance: Callable[[Claim], Instance]
    route: str
    facts: Callable[[Facts], Facts] | None = None
    setting: Callable[[Setting], Setting] | None = None
    scale: Scale = field(default_factory=dict)
    broken: Callable[[Claim], Claim] | None = None


@dataclass(frozen=True)
class Claim:
    """One statement of theory. It gives numbers only inside its hypotheses and never runs anything.

    id, title: names. statement: LaTeX. constants: the named constants of the bound that `scale` multiplies,
    with their meaning. measure: the left-hand side. curve: (facts, t, scale) -> the right-hand side at times t,
    infinite where nothing is stated. one_step: (facts, gap, ||grad f||^2, t, scale) -> a bound on E gap at t + 1
    from a point with that gap: the inequality that the proof iterates. at_points: (facts, gap, ||grad f||^2, scale)
    -> a bound that holds at every point. trials: for statements about anything else, by name what is measured and what
    is stated of it. order: for an ORDER claim, the exponent. growth: a >= 0 such that the weights of the average are
    (1 + a)^-(s+1).
    suggest: (facts, part, rho_part) -> gamma and rho, these parts of a generous admissible choice, each in (0, 1].
    digits: for equalities.
    method: the SPEC of the update rule it speaks of; a setting may have others of that name. corrected: for a
    refuted statement, the true one.
    """

    id: str
    title: str
    source: Source
    kind: Kind
    statement: str
    hypotheses: tuple[Hypothesis, ...]
    measure: Measure
    families: tuple[Family, ...]
    controls: tuple[Control, ...]
    suggest: Callable[[Facts, float, float], tuple[Schedule, Schedule]]
    constants: Mapping[str, str] = field(default_factory=dict)
    curve: Callable[[Facts, Times, Scale], Curve] | None = None
    one_step: Callable[[Facts, Curve, Curve, int, Scale], Curve] | None = None
    at_points: Callable[[Facts, Curve, Curve, Scale], Curve] | None = None
    growth: Callable[[Facts], float] | None = None
    trials: Mapping[str, Measuring] = field(default_factory=dict)
    order: Order | None = None
    digits: int = 0
    method: str = "unified-sam"
    corrected: str | None = None
    remarks: tuple[str, ...] = ()

    def findings(self, facts: Facts) -> list[Finding]:
        """Every hypothesis with what it found."""
        found = [hypothesis.find(facts) for hypothesis in self.hypotheses]
        # Constants of a growing batch are those of its first stage, of which no claim here speaks.
        return found if facts.stages == 1 or not found else [*found, STAGES.find(facts)]

    def admits(self, facts: Facts) -> bool:
        """All hypotheses hold."""
        return all(finding.holds for finding in self.findings(facts))

    def require(self, facts: Facts) -> None:
        """Raise OutsideHypotheses unless all hypotheses hold."""
        findings = self.findings(facts)
        if not all(finding.holds for finding in findings):
            raise OutsideHypotheses(self.id, findings)

    def bound(self, facts: Facts, t: Times, scale: Scale = NO_SCALE) -> Curve:
        """The right-hand side at times t, shape of t. Raises OutsideHypotheses instead of giving a number there."""
        self.require(facts)
        if self.curve is None:
            raise InputError(f"{self.id} bounds a quantity at points, not along a run; it has no curve in t")
        return self.curve(facts, t, scale)

    @property
    def named_constants(self) -> dict[str, str]:
        """What can be scaled, with its meaning: the constants of the bound, and the step limit where there is one."""
        named = dict(self.constants)
        if any(hypothesis.step_limit for hypothesis in self.hypotheses):
            named["step_limit"] = "s times the step limit: how much larger the steps may be"
        return named

    @property
    def searchable(self) -> bool:
        """What a search moves through speaks of it: bounds on the gap, on gradients, at points."""
        return bool(self.curve or self.one_step or self.at_points) and self.kind is not Kind.EXACT

    def relaxed(self, factor: float) -> Claim:
        """The same claim with `factor` times its step limit; itself when that is 1."""
        if factor == 1:
            return self
        changed = (h.relaxed(factor) if h.step_limit else h for h in self.hypotheses)
        return replace(self, hypotheses=tuple(changed))

    def without_hypotheses(self) -> Claim:
        """The same formulas with nothing asked: only for controls."""
        return replace(self, hypotheses=())


class Claims(Registry[Claim]):
    """All claims by id.

    plugins: the user's file that added a claim, by the claim's id.
    """

    def __init__(self) -> None:
        super().__init__("claim", "theory.claims")
        self.plugins: dict[str, str] = {}

    def add(self, claim: Claim) -> Claim:
        """Register a claim; two of the same id are an error, and so is one without a control."""
        if not claim.controls:
            raise ValueError(f"claim {claim.id!r} has no control: a check that cannot fail is no evidence")
        return super().add(claim)

    def replay_command(self, claim_id: str, replay: str) -> str:
        """The command that repeats an instance with these arguments."""
        plugin = self.plugins.get(claim_id)
        return f"ravine check {claim_id} {replay}" + (f" --plugin {shlex.quote(plugin)}" if plugin else "")


claims = Claims()
