"""Every derivation holds, every broken twin is refused, and no step is decoration."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp

from ravine import claims
from theory.derivation import Broken, Derivation, Fact, Step, derivations
from theory.inner_product import coordinates

IDS = sorted(derivations)
TWINS = [(d.id, index) for d in derivations.values() for index in range(len(d.twins))]


def _value(expression: sp.Expr, point: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    return sp.simplify(sp.sympify(expression).subs(point))


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
        _counterexample_shows(derivations[name].twin(twin), twin.step, dict(twin.counterexample or {}))


def _counterexample_shows(broken: Derivation, step: str, values: dict[str, object]) -> None:
    symbols = {s for g in broken.given for s in g.expression.free_symbols}
    wrong = next(s for s in broken.steps if s.name == step)
    left, relation, right = wrong.statement
    symbols |= left.free_symbols | right.free_symbols
    products = coordinates({name: value for name, value in values.items() if isinstance(value, tuple)})
    point = {s: products[s] if s in products else sp.sympify(values[s.name]) for s in symbols}
    for symbol, value in point.items():
        assert not (symbol.is_positive and value <= 0), symbol
        assert not (symbol.is_nonnegative and value < 0), symbol
    for given in broken.given:
        value = _value(given.expression, point)
        assert {"=": value == 0, ">=": value >= 0, ">": value > 0}[given.sign], given.name
    difference = _value(right - left, point)
    assert not {"=": difference == 0, "<=": difference >= 0, "<": difference > 0}[relation]


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


@pytest.mark.parametrize("name", IDS)
def test_a_lemma_names_the_derivation_that_has_it(name: str) -> None:
    for given in derivations[name].given:
        if given.kind == "lemma":
            assert any(other in given.why for other in IDS if other != name), given.why
        if "induction" in given.why:
            assert given.kind == "induction", given.name
