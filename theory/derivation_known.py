"""What a derivation knows: facts, and when an expression is identically zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

import mpmath as mp
import sympy as sp

from theory.derivation_points import DIGITS, ROUNDING, Numbers, Unusable, decimal, size, value

Expr: TypeAlias = sp.Expr
Relation = Literal["=", "<=", "<"]
Sign = Literal[">=", ">", "="]

NONNEGATIVE: Mapping[Relation, Sign] = {"=": "=", "<=": ">=", "<": ">"}


class Broken(ValueError):
    """A step does not follow. The text says which and why."""


@dataclass(frozen=True)
class Fact:
    """Something known: `expression sign 0`, and the names of the givens that it rests on."""

    expression: Expr
    sign: Sign
    rests_on: frozenset[str]


Facts: TypeAlias = "dict[str, Fact]"


def known(name: str, facts: Mapping[str, Fact]) -> Fact:
    """The fact of that name. Raises Broken: what comes later, or nowhere, is not known."""
    if name not in facts:
        raise Broken(f"no earlier step or given is called {name!r}")
    return facts[name]


def is_zero(expression: Expr) -> bool:
    """Whether sympy reduces the expression to 0, where it is defined. Rational functions are decided by expanding the
    numerator; others by trigonometry, roots and simplify, and they must vanish at points too, because simplify is a
    heap of heuristics."""
    numerator = sp.numer(sp.together(expression))
    if sp.expand(numerator) == 0:
        return True
    if numerator.is_rational_function() or not _vanishes_at_points(numerator):
        return False
    for attempt in (lambda e: sp.expand(sp.expand_trig(e)), sp.radsimp, sp.simplify):
        if attempt(numerator) == 0:
            return True
    return bool(sp.simplify(sp.expand(numerator.rewrite(sp.exp))) == 0)


def _vanishes_at_points(expression: Expr) -> bool:
    """At every point tried at which the expression is defined, and at one at least, up to the rounding of 60 digits."""
    with mp.workdps(DIGITS):
        found = []
        for point in _points(expression):
            try:
                allowed = decimal(ROUNDING) * decimal(size(expression, point))
                found.append(bool(abs(decimal(value(expression, point))) <= allowed))
            except Unusable:
                continue
    return bool(found) and all(found)


def _points(expression: Expr) -> Iterator[Numbers]:
    """Four points of small and large fractions, with both signs where the symbols have them."""
    symbols = sorted(expression.free_symbols, key=str)
    for turn in range(4):
        signs = [-1 if not s.is_nonnegative and (k + turn) % 2 else 1 for k, s in enumerate(symbols)]
        sizes = [
            Fraction(2 * k + 3 + turn, 3 * k + 7) if turn < 3 else Fraction(7 * k + 9, 4) for k in range(len(symbols))
        ]
        yield {symbol: sign * of for symbol, sign, of in zip(symbols, signs, sizes, strict=True)}
