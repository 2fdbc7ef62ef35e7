"""What joins a derivation to itself at the next index, and to others: inductions and lemmas.

An induction uses the statement at t. That is sound only if a step is the statement at t + 1, and if it is true at the
start; both are checked by putting the values there in place of the symbols. A lemma is sound only if the derivation
that it names concludes it, and does not rest on this one in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import sympy as sp

from theory.derivation_domain import Need, shows, sign_of, where_defined
from theory.derivation_known import Broken, Expr, Fact, Facts, is_zero, known
from theory.inner_product import Vector, dot, is_inner_product, names_of, vectors

Values: TypeAlias = "Mapping[sp.Symbol | str, Expr | Vector | int]"
"""New values of symbols, and of vectors by their names."""


def replaced(expression: Expr, values: Values) -> Expr:
    """The expression with the new values, all at once; a new vector in every inner product that it is in."""
    exchanged = {key: sp.sympify(new) for key, new in values.items() if isinstance(key, sp.Symbol)}
    moved = {key: new for key, new in values.items() if isinstance(key, str) and isinstance(new, Vector)}
    for symbol in expression.free_symbols:
        if is_inner_product(symbol) and set(names_of(symbol)) & set(moved):
            u, v = (moved.get(name, vectors(name)[0]) for name in names_of(symbol))
            exchanged[symbol] = dot(u, v)
    return expression.xreplace(exchanged)


def says(fact: Fact, expression: Expr, sign: str) -> bool:
    """Whether the fact is `expression sign 0`, or more."""
    if fact.sign not in {"=": ("=",), ">=": ("=", ">=", ">"), ">": (">",)}[sign]:
        return False
    turned = fact.sign == "=" and is_zero(fact.expression + expression)
    return turned or is_zero(fact.expression - expression)


def check_signs(values: Values, facts: Facts) -> None:
    """Every new value has the sign that is assumed of its symbol. Raises Broken."""
    for symbol, new in values.items():
        if not isinstance(symbol, sp.Symbol):
            continue
        if is_inner_product(symbol):
            raise Broken(f"{symbol} is changed through its vectors, not by itself")
        where_defined([sp.sympify(new)], facts)
        assumed = sign_of(symbol)
        if assumed != "real" and shows(Need(sp.sympify(new), assumed), facts) is None:  # type: ignore[arg-type]
            raise Broken(f"{symbol} is {assumed}, and nothing known says that {new}, in its place, is")


@dataclass(frozen=True)
class Induction:
    """Why a given of kind `induction` holds at every index.

    next: what its symbols and vectors are at the next index. step: the name of the step that is the statement there.
    start: what the same symbols and vectors are at the first index. base: the name of a fact that is the statement
    there, not resting on the induction; empty if it is 0 there, or nonnegative by the signs of its symbols.
    """

    step: str
    next: Values
    start: Values
    base: str = ""

    def check(self, name: str, expression: Expr, sign: str, facts: Facts) -> None:
        """Raises Broken."""
        if not self.next or set(self.next) != set(self.start):
            raise Broken("an induction says of the same symbols what they are at the next index and at the first")
        if still := [key for key, new in self.next.items() if new == key or new in vectors(str(key))]:
            raise Broken(f"{still[0]} is the same at the next index, so that nothing moves on")
        after, first = replaced(expression, self.next), replaced(expression, self.start)
        if name == self.step or not says(known(self.step, facts), after, sign):
            raise Broken(f"{self.step!r} is not the statement at the next index, which is {after} {sign} 0")
        before = {other: fact for other, fact in facts.items() if name not in fact.rests_on}
        check_signs(self.next, facts)
        check_signs(self.start, before)
        if self.base:
            if not says(known(self.base, before), first, sign):
                raise Broken(f"{self.base!r} is not the statement at the start, which is {first} {sign} 0")
        elif not (is_zero(first) and sign != ">") and not {
            "=": False, ">=": first.is_nonnegative, ">": first.is_positive
        }[sign]:  # fmt: skip
            raise Broken(f"at the start it says {first} {sign} 0, which is not clear")


@dataclass(frozen=True)
class Instance:
    """A given of kind `induction` that is another one, `of`, at an index in its range: with the values `at`."""

    of: str
    at: Values

    def check(self, name: str, expression: Expr, sign: str, facts: Facts) -> None:
        """Raises Broken."""
        check_signs(self.at, {other: fact for other, fact in facts.items() if name not in fact.rests_on})
        known_there = known(self.of, facts)
        if not says(Fact(replaced(known_there.expression, self.at), known_there.sign, frozenset()), expression, sign):
            raise Broken(f"it is not {self.of!r} with those values")


def check_together(inductions: Mapping[str, Induction]) -> None:
    """Inductions of one derivation run over one index: what they share they change alike. Raises Broken."""
    for name, one in inductions.items():
        for other, two in inductions.items():
            for key in set(one.next) & set(two.next):
                if (one.next[key], one.start[key]) != (two.next[key], two.start[key]):
                    raise Broken(f"{name!r} and {other!r} do not change {key} alike")


@dataclass(frozen=True)
class Lemma:
    """Which derivation concludes a given of kind `lemma`.

    step: the name, there, of the step or of the given of kind `induction` that is the lemma. at: what symbols and
    vectors of the other derivation are here, for those not called the same; None where the lemma is that step in other
    words (a root of it, a limit, another notation), which `why` of the given explains and no check compares. granted:
    for each hypothesis that the step uses there, by name, the fact that is the same here, or why it holds here.
    """

    derivation: str
    step: str
    at: Values | None = None
    granted: Mapping[str, str] = field(default_factory=dict)
