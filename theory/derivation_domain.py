"""Where expressions are defined: every divisor nonzero, every logarithm and root of something of the right sign.

Algebra cancels without asking. So each divisor, each base of a root or of a power with an unknown exponent, and each
argument of a logarithm must be shown to have its sign: by the signs of its symbols, or because it is, up to a factor of
known sign, an established fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import sympy as sp

from theory.derivation_known import Broken, Expr, Fact

Wanted = Literal["nonzero", "positive", "nonnegative"]

SIGNS = ("real", "nonzero", "nonnegative", "positive")
"""What may be assumed of a symbol. It is printed with what is given, being a hypothesis like any other."""
_DECLARED: Mapping[str, Mapping[str, bool]] = {
    sign: sp.Symbol("any", **{"real": True, sign: True}).assumptions0 for sign in SIGNS
}


def sign_of(symbol: sp.Symbol) -> str:
    """What is assumed of the symbol: real, nonzero, nonnegative or positive. Raises Broken if it is anything else."""
    for sign, assumed in _DECLARED.items():
        if symbol.assumptions0 == assumed:
            return sign
    raise Broken(f"the symbol {symbol} is not declared real, nonzero (and real), nonnegative or positive, and no more")


@dataclass(frozen=True)
class Need:
    """What an expression needs to be defined: `base` is nonzero, positive or nonnegative."""

    base: Expr
    wanted: Wanted

    def __str__(self) -> str:
        if self.wanted == "nonzero":
            return f"divides by {self.base}, and nothing known says that this is not 0"
        return f"has a root, power or logarithm of {self.base}, and nothing known says that this is {self.wanted}"


@cache
def needs(expression: Expr) -> frozenset[Need]:
    """What the expression needs, apart from what the signs of its symbols say. Raises Broken where it is no real
    expression of known functions."""
    if expression.is_Symbol:
        sign_of(expression)
        return frozenset()
    if expression.is_Atom:
        if not expression.is_real or isinstance(expression, sp.Float):
            raise Broken(f"{expression} is not a real number that is written exactly")
        return frozenset()
    found: frozenset[Need] = frozenset().union(*(needs(argument) for argument in expression.args))
    if expression.is_Add or expression.is_Mul or isinstance(expression, (sp.exp, sp.sin, sp.cos)):
        return found
    if isinstance(expression, sp.log):
        return found | _unless_clear(expression.args[0], "positive")
    if expression.is_Pow:
        base, exponent = expression.args
        if exponent.is_Integer:
            return found if exponent >= 0 else found | _unless_clear(base, "nonzero")
        return found | _unless_clear(base, "nonnegative" if exponent.is_positive else "positive")
    raise Broken(f"{expression.func.__name__} is none of exp, log, sin and cos, whose domains are known")


def _unless_clear(base: Expr, wanted: Wanted) -> frozenset[Need]:
    clear = {"nonzero": base.is_nonzero, "positive": base.is_positive, "nonnegative": base.is_nonnegative}[wanted]
    return frozenset() if clear else frozenset({Need(base, wanted)})


def where_defined(expressions: Iterable[Expr], facts: Mapping[str, Fact]) -> frozenset[str]:
    """The givens on which it rests that the expressions are defined. Raises Broken, naming what may vanish."""
    rests: frozenset[str] = frozenset()
    for need in sorted({need for expression in expressions for need in needs(expression)}, key=str):
        shown = shows(need, facts)
        if shown is None:
            raise Broken(str(need))
        rests |= shown
    return rests


def shows(need: Need, facts: Mapping[str, Fact]) -> frozenset[str] | None:
    """The givens on which it rests that the need is met; None if the facts do not show it."""
    if not _unless_clear(need.base, need.wanted):
        return frozenset()
    if need.wanted == "nonzero":
        return _nonzero(need.base, facts)
    whole = _by_a_fact(need, facts)
    return _by_factors(need, facts) if whole is None else whole


def _by_a_fact(need: Need, facts: Mapping[str, Fact]) -> frozenset[str] | None:
    """The base is a fact's expression, up to a factor that its symbols show to be positive (or nonnegative)."""
    if not _unless_clear(need.base, need.wanted):
        return frozenset()
    for fact in facts.values():
        enough = fact.sign == ">" or need.wanted == "nonnegative"
        if enough and fact.expression != 0:
            above, below = sp.fraction(sp.cancel(need.base / fact.expression))
            ratio = above / below
            if below.is_nonzero and (ratio.is_positive or (need.wanted == "nonnegative" and ratio.is_nonnegative)):
                return fact.rests_on
    return None


def _by_factors(need: Need, facts: Mapping[str, Fact]) -> frozenset[str] | None:
    """Every factor has a known sign, and an even number of them is negative."""
    above, below = sp.fraction(sp.together(need.base))
    constant, factors = sp.factor_list(above * below)
    sign, rests = sp.sign(constant), frozenset[str]()
    for factor, power in factors:
        if power % 2 == 0 and need.wanted == "nonnegative":
            continue
        for turned, candidate in ((1, factor), (-1, -factor)):
            shown = _by_a_fact(Need(sp.expand(candidate), need.wanted), facts)
            if shown is not None:
                sign, rests = sign * turned**power, rests | shown
                break
        else:
            return None
    return rests if sign == 1 else None


def _nonzero(base: Expr, facts: Mapping[str, Fact]) -> frozenset[str] | None:
    """Every factor is nonzero by its symbols, or is a factor of something that is positive."""
    rests: frozenset[str] = frozenset()
    for factor in _factors(base):
        if factor.is_nonzero:
            continue
        strict = (fact for fact in facts.values() if fact.sign == ">")
        showing = next((f for f in strict if {factor, sp.expand(-factor)} & set(_factors(f.expression))), None)
        if showing is None:
            return None
        rests |= showing.rests_on
    return rests


@cache
def _factors(expression: Expr) -> tuple[Expr, ...]:
    """The factors of the numerator, irreducible over the rationals and expanded."""
    constant, factors = sp.factor_list(sp.numer(sp.together(expression)))
    return (sp.sympify(constant), *(sp.expand(factor) for factor, _ in factors))
