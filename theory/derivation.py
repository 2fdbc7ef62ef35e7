"""Derivation: a written proof as a short sequence of steps that a computer algebra system checks one by one.

What may be used without proof is `Given`: a hypothesis of the claim, a definition, or a standard inequality (Jensen,
Cauchy-Schwarz, the descent lemma, interpolation), each as an expression that is >= 0, > 0 or = 0. Every step adds such
a fact and carries its certificate (`derivation_steps`). Around the steps stands what makes the whole a proof:

- nothing divides by what may vanish (`derivation_domain`);
- the givens do not contradict one another, and the steps are true at numbers (`derivation_witness`);
- a lemma is what another derivation concludes, and an induction has its base and its step (`derivation_links`);
- the claim's code has the same formulas (`Meets`), and wrong versions are refused (`Twin`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import sympy as sp

from theory.derivation_check import unsound
from theory.derivation_known import NONNEGATIVE, Broken, Expr, Fact, Facts, Sign
from theory.derivation_links import Induction, Instance, Lemma
from theory.derivation_points import Point
from theory.derivation_steps import AnyStep, Factor, Limit, Monotone, Quadratic, Step, Term, cited
from theory.derivation_witness import without_witness
from theory.registry import Registry

__all__ = [
    "AnyStep",
    "Broken",
    "CheckedStep",
    "Derivation",
    "Derivations",
    "Fact",
    "Factor",
    "Facts",
    "Given",
    "Induction",
    "Instance",
    "Lemma",
    "Limit",
    "Meets",
    "Monotone",
    "Quadratic",
    "Step",
    "Term",
    "Twin",
    "cited",
    "derivations",
]  # fmt: skip


@dataclass(frozen=True)
class Given:
    """What is used without proof: `expression sign 0`.

    kind: a `hypothesis` of the claim, a `definition`, a `standard` inequality that textbooks prove, the statement at t
    in an `induction` on it, or a `lemma`, the conclusion of another derivation. why: in words. induction: of that kind
    only, why it holds at every t. lemma: of that kind only, where it is concluded.
    """

    name: str
    expression: Expr
    sign: Sign
    kind: Literal["hypothesis", "definition", "standard", "induction", "lemma"]
    why: str
    induction: Induction | Instance | None = None
    lemma: Lemma | None = None

    def __post_init__(self) -> None:
        if self.sign not in NONNEGATIVE.values():
            raise ValueError(f"the given {self.name!r} has the sign {self.sign!r}; =, >= or > is allowed")


@dataclass(frozen=True)
class Meets:
    """The formula at which the derivation arrives is the one that the code evaluates.

    expression: of the derivation. code: the number that the code gives for values of the symbols, by name. points: such
    values, several sets, in rationals or floats.
    """

    name: str
    expression: Expr
    code: Callable[[Mapping[str, float]], float]
    points: Sequence[Mapping[str, float]]

    def mismatches(self) -> list[str]:
        """One sentence for each point at which the two differ by more than rounding: 1e-9 relative is a million times
        the rounding of formulas of a hundred operations, and far below any wrong factor."""
        found = []
        for point in self.points:
            names = {symbol: point[symbol.name] for symbol in self.expression.free_symbols}
            ours, theirs = float(sp.N(self.expression.subs(names))), float(self.code(point))
            if not abs(ours - theirs) <= 1e-9 * max(abs(ours), abs(theirs), 1e-300):
                found.append(f"{self.name}: the derivation has {ours:.12g}, the code {theirs:.12g} at {dict(point)}")
        return found


@dataclass(frozen=True)
class Twin:
    """A broken twin: one step stated wrongly, or without a hypothesis that it needs. The check must refuse it.

    step: its name. replaced: the wrong step. without: names of givens that the twin lacks. counterexample: values of
    the symbols and coordinates (a tuple) of the vectors, by name, at which every given of the twin holds and the wrong
    statement is false: it is false, not only uncertified. None where the twin's fault is not one of truth.
    """

    name: str
    step: str
    replaced: AnyStep | None = None
    without: tuple[str, ...] = ()
    counterexample: Point | None = None


@dataclass(frozen=True)
class CheckedStep:
    """A step after its check: fault is empty when it follows."""

    step: AnyStep
    fault: str
    seconds: float
    fact: Fact | None = None


@dataclass(frozen=True)
class Derivation:
    """A written proof. id: `topic/name`. title: for people. claims: ids of the claims whose statement it derives.

    conclusion: the name of the step that is the statement. covers: what of the claims it derives, and what not. meets:
    where the code has the same formulas. witnesses: values of symbols and coordinates of vectors, by name, at which
    everything given holds; needed only where no counterexample of a twin and no point of `meets` is one. latex_names:
    LaTeX of symbols and vectors that have another than their name.
    """

    id: str
    title: str
    claims: tuple[str, ...]
    given: tuple[Given, ...]
    steps: tuple[AnyStep, ...]
    conclusion: str
    meets: tuple[Meets, ...]
    twins: tuple[Twin, ...]
    witnesses: tuple[Point, ...] = ()
    remarks: tuple[str, ...] = ()
    covers: str = ""
    latex_names: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> Iterator[CheckedStep]:
        """Every step with its check; a step after a broken one is checked with that one absent."""
        facts = self.given_facts()
        for step in self.steps:
            start, fault = time.perf_counter(), ""
            try:
                facts[step.name] = step.check(facts)
            except Broken as broken:
                fault = f"{step.name}: {broken}"
            yield CheckedStep(step, fault, time.perf_counter() - start, facts.get(step.name))

    def given_facts(self) -> Facts:
        """What is given, as facts."""
        return {g.name: Fact(g.expression, g.sign, frozenset({g.name})) for g in self.given}

    def faults(self) -> list[str]:
        """What is wrong: see `derivation_check` and `derivation_witness`."""
        checked = list(self.run())
        found = [step.fault for step in checked if step.fault]
        found += [mismatch for meeting in self.meets for mismatch in meeting.mismatches()]
        facts = self.given_facts() | {step.step.name: step.fact for step in checked if step.fact is not None}
        return [*found, *unsound(self, facts, derivations), *without_witness(self)]

    def twin(self, twin: Twin) -> Derivation:
        """The derivation with that one fault."""
        steps = tuple(twin.replaced if s.name == twin.step and twin.replaced is not None else s for s in self.steps)
        return replace(self, given=tuple(g for g in self.given if g.name not in twin.without), steps=steps)


class Derivations(Registry[Derivation]):
    """All derivations by id."""

    def __init__(self) -> None:
        super().__init__("derivation", "theory.derivations")

    def add(self, derivation: Derivation) -> Derivation:
        """Register a derivation; one without a broken twin is an error: nothing shows that its check could fail."""
        if not derivation.twins:
            raise ValueError(f"derivation {derivation.id!r} has no broken twin")
        return super().add(derivation)

    def of(self, claim_id: str) -> tuple[Derivation, ...]:
        """The derivations of a claim's statement."""
        return tuple(d for d in self.values() if claim_id in d.claims)


derivations = Derivations()
