"""Every derivation holds, every broken twin is refused, and no step is decoration."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp

from ravine import claims
from theory.derivation import AnyStep, Broken, Derivation, Fact, Given, Step, derivations
from theory.derivation_points import Unusable
from theory.derivation_witness import located_in, witnessed

IDS = sorted(derivations)
LINKED = ("induction", "lemma")
TWINS = [(d.id, index) for d in derivations.values() for index in range(len(d.twins))]


@pytest.mark.parametrize("name", IDS)
def test_every_step_follows_and_the_code_has_the_same_formulas(name: str) -> None:
    assert derivations[name].faults() == []


@pytest.mark.parametrize("name", IDS)
def test_it_speaks_of_claims_of_the_catalogue_and_meets_their_code(name: str) -> None:
    derivation = derivations[name]
    assert derivation.claims
    assert all(claim in claims for claim in derivation.claims)
    assert derivation.meets
    assert all(len(meeting.points) >= 3 for meeting in derivation.meets)


@pytest.mark.parametrize(("name", "index"), TWINS)
def test_a_broken_twin_is_refused_at_its_step(name: str, index: int) -> None:
    twin = derivations[name].twins[index]
    faults = [checked for checked in derivations[name].twin(twin).run() if checked.fault]
    assert faults
    assert faults[0].step.name == twin.step


@pytest.mark.parametrize("name", IDS)
def test_one_twin_at_least_is_false_and_not_only_uncertified(name: str) -> None:
    shown = [twin for twin in derivations[name].twins if twin.counterexample is not None]
    assert shown
    for twin in shown:
        broken = derivations[name].twin(twin)
        at = located_in(replace(broken, steps=_with(broken, twin.step)), twin.name, twin.counterexample or {})
        assert not at.true(_with(broken, twin.step)[0])


def _with(derivation: Derivation, name: str) -> tuple[AnyStep, ...]:
    return tuple(step for step in derivation.steps if step.name == name)


@pytest.mark.parametrize("name", IDS)
def test_a_given_that_contradicts_the_others_leaves_no_witness(name: str) -> None:
    """A given's opposite, strictly: that it is less than 0, or for an equality at most -1."""
    derivation = derivations[name]
    for g in derivation.given:
        opposite = Given("opposite", -g.expression - int(g.sign == "="), ">", "hypothesis", "")
        with pytest.raises(Unusable, match=r"does not hold there|no witness"):
            witnessed(replace(derivation, given=(*derivation.given, opposite)))


@pytest.mark.parametrize("name", IDS)
def test_a_step_that_says_a_little_more_is_refused(name: str) -> None:
    """One less on the right-hand side, or a term left out of the certificate."""
    facts = {g.name: Fact(g.expression, g.sign, frozenset({g.name})) for g in derivations[name].given}
    for step in derivations[name].steps:
        if isinstance(step, Step):
            altered = [replace(step, right=sp.sympify(step.right) - 1)]
            altered += [replace(step, by=step.by[:k] + step.by[k + 1 :]) for k in range(len(step.by))]
            for other in altered:
                with pytest.raises(Broken):
                    other.check(facts)
        facts[step.name] = step.check(facts)


@pytest.mark.parametrize("name", [name for name in IDS if any(g.kind in LINKED for g in derivations[name].given)])
def test_an_induction_or_lemma_changed_a_little_is_refused(name: str) -> None:
    """One more on its left-hand side: the step at t + 1, or the other derivation, does not say that."""
    derivation = derivations[name]
    for g in derivation.given:
        compared = g.induction is not None or (g.lemma is not None and g.lemma.at is not None)
        if compared:
            other = replace(g, expression=g.expression - 1)
            given = tuple(other if one is g else one for one in derivation.given)
            faults = replace(derivation, given=given, steps=derivation.steps).faults()
            assert any(fault.startswith(f"the given {g.name!r}: ") for fault in faults), g.name


@pytest.mark.parametrize("name", IDS)
def test_what_goes_by_induction_says_so(name: str) -> None:
    for given in derivations[name].given:
        if "induction" in given.why:
            assert given.kind == "induction", given.name
