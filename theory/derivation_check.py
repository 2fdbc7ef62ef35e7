"""What a derivation must satisfy besides that each step follows: its names, its givens, its lemmas and inductions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

import sympy as sp

from theory.derivation_domain import where_defined
from theory.derivation_known import NONNEGATIVE, Broken, Expr, Fact, Facts, Sign
from theory.derivation_links import Induction, Instance, Lemma, check_signs, check_together, replaced, says
from theory.derivation_steps import Step, cited

if TYPE_CHECKING:
    from theory.derivation import Derivation, Given

Registered: TypeAlias = "Mapping[str, Derivation]"


def unsound(derivation: Derivation, facts: Facts, registry: Registered) -> Iterator[str]:
    """One sentence for each fault. facts: the givens and the steps that follow. registry: where lemmas are found."""
    yield from _misnamed(derivation)
    yield from _undefined(derivation)
    if not any(step.name == derivation.conclusion for step in derivation.steps):
        yield f"no step is called {derivation.conclusion!r}, the conclusion"
    yield from _begged(derivation)
    used = {name for step in derivation.steps for name in cited(step)}
    used |= {name for step in derivation.steps if step.name in facts for name in facts[step.name].rests_on}
    yield from (f"nothing uses what is given as {g.name!r}" for g in derivation.given if g.name not in used)
    yield from _unlinked(derivation, facts, registry)


def _misnamed(derivation: Derivation) -> Iterator[str]:
    """Two facts of one name, or two symbols: a reader cannot tell which is meant, and the check might not."""
    names = [g.name for g in derivation.given] + [step.name for step in derivation.steps]
    yield from (f"two facts are called {name!r}" for name in sorted({n for n in names if names.count(n) > 1}))
    symbols = sorted(symbols_of(derivation), key=str)
    for first, second in itertools.pairwise(symbols):
        if first.name == second.name:
            yield f"two symbols are called {first.name!r}, with different signs"


def symbols_of(derivation: Derivation) -> set[sp.Symbol]:
    """All symbols: of what is given, of the statements, of their certificates and of the variables that these bind."""
    found = {symbol for g in derivation.given for symbol in g.expression.free_symbols}
    for step in derivation.steps:
        left, _, right = step.statement
        found |= left.free_symbols | right.free_symbols
        if isinstance(step, Step):
            found |= {symbol for expression in step.written for symbol in expression.free_symbols}
        else:
            found.add(step.variable)
    return found


def _begged(derivation: Derivation) -> Iterator[str]:
    """A given that is the conclusion itself; a definition may be, written in other words."""
    concluded = concludes(derivation, derivation.conclusion)
    if concluded is None:
        return
    fact = Fact(concluded[0], concluded[1], frozenset())
    for g in derivation.given:
        if g.kind != "definition" and says(fact, g.expression, g.sign):
            yield f"the given {g.name!r} is the conclusion"


def _undefined(derivation: Derivation) -> Iterator[str]:
    """Givens that divide by what may vanish; that it does not may follow from givens that are defined."""
    waiting: Facts = derivation.given_facts()
    defined: Facts = {}
    while True:
        said = {}
        for name, fact in waiting.items():
            try:
                where_defined([fact.expression], defined)
            except Broken as broken:
                said[name] = f"the given {name!r}: {broken}"
        if len(said) == len(waiting):
            yield from said.values()
            return
        defined |= {name: fact for name, fact in waiting.items() if name not in said}
        waiting = {name: fact for name, fact in waiting.items() if name in said}


def _unlinked(derivation: Derivation, facts: Facts, registry: Registered) -> Iterator[str]:
    """Inductions without base or step, and lemmas that no other derivation concludes."""
    inductions = {g.name: g.induction for g in derivation.given if isinstance(g.induction, Induction)}
    for g in derivation.given:
        try:
            if (g.kind == "induction") != (g.induction is not None) or (g.kind == "lemma") != (g.lemma is not None):
                raise Broken("an induction, a lemma and no other says where it is proved")
            if isinstance(g.induction, Instance) and g.induction.of not in inductions:
                raise Broken(f"{g.induction.of!r} is no induction")
            if g.induction is not None:
                g.induction.check(g.name, g.expression, g.sign, facts)
                check_together(inductions)
            if g.lemma is not None:
                _check_lemma(derivation.id, g, g.lemma, facts, registry)
        except Broken as broken:
            yield f"the given {g.name!r}: {broken}"


def _check_lemma(own_id: str, given: Given, lemma: Lemma, facts: Facts, registry: Registered) -> None:
    """Raises Broken."""
    if lemma.derivation not in registry or lemma.derivation == own_id:
        raise Broken(f"{lemma.derivation!r} is no other derivation")
    if own_id in uses(lemma.derivation, registry):
        raise Broken(f"{lemma.derivation} rests on {own_id} itself")
    other = registry[lemma.derivation]
    there = concludes(other, lemma.step)
    if there is None:
        raise Broken(f"{lemma.step!r} is no step of {lemma.derivation}, nor an induction there")
    own = {name: fact for name, fact in facts.items() if given.name not in fact.rests_on}
    if lemma.at is not None:
        check_signs(lemma.at, own)
        concluded = Fact(replaced(there[0], lemma.at), there[1], frozenset())
        if not says(concluded, given.expression, given.sign):
            raise Broken(f"{lemma.step!r} of {lemma.derivation} says {concluded.expression} {there[1]} 0 here")
    for hypothesis in hypotheses_of(other, lemma.step):
        if hypothesis.name not in lemma.granted:
            raise Broken(f"{hypothesis.name!r}, a hypothesis of {lemma.derivation}, is not granted")


def concludes(derivation: Derivation, name: str) -> tuple[Expr, Sign] | None:
    """What the step, or the given that is proved by induction, says: expression and sign."""
    for step in derivation.steps:
        if step.name == name:
            left, relation, right = step.statement
            return right - left, NONNEGATIVE[relation]
    return next(((g.expression, g.sign) for g in derivation.given if g.name == name and g.kind == "induction"), None)


def hypotheses_of(derivation: Derivation, name: str) -> tuple[Given, ...]:
    """The hypotheses of the claim on which the step rests, or the step of the given that is an induction."""
    steps, given = {step.name: step for step in derivation.steps}, {g.name: g for g in derivation.given}
    waiting, seen = [name], set[str]()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        if current in steps:
            waiting += cited(steps[current])
        elif current in given:
            link = given[current].induction
            waiting += [] if link is None else [link.step if isinstance(link, Induction) else link.of]
    return tuple(g for g in derivation.given if g.name in seen and g.kind == "hypothesis")


def uses(derivation: str, registry: Registered) -> frozenset[str]:
    """The ids of the derivations whose conclusions it uses, through others too."""
    found: set[str] = set()
    waiting = [derivation]
    while waiting:
        for g in registry[waiting.pop()].given:
            if g.lemma is not None and g.lemma.derivation not in found and g.lemma.derivation in registry:
                found.add(g.lemma.derivation)
                waiting.append(g.lemma.derivation)
    return frozenset(found)
