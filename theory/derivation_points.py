"""Expressions of a derivation at numbers: in Python's fractions while they are rational, in 60 digits beyond that.

It shares no code with the algebra that checks the steps, so that the two may be held against one another.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

import mpmath as mp
import sympy as sp

from theory.inner_product import gram_symbol, is_inner_product

Expr: TypeAlias = sp.Expr
Number: TypeAlias = "Fraction | mp.mpf"
Value: TypeAlias = "sp.Expr | int | float"
Point: TypeAlias = "Mapping[str, Value | tuple[Value, ...]]"
Numbers: TypeAlias = "dict[sp.Symbol, Number]"

DIGITS = 60
ROUNDING = Fraction(1, 10**40)
"""Relative to the sizes of the terms: what the roots, logarithms and sines of 60 digits in a step may lose."""
DOUBLE = Fraction(1, 10**9)
"""The same at points given as doubles, where definitions hold to some 1e-16 times their condition."""

REAL_FUNCTIONS: Mapping[Any, Callable[[Any], Any]] = {sp.exp: mp.exp, sp.log: mp.log, sp.sin: mp.sin, sp.cos: mp.cos}
"""The functions that a derivation may use; of these only log is not defined everywhere."""


class Unusable(ValueError):
    """The numbers are no point of the derivation. The text says why."""


def value(expression: Expr, at: Mapping[sp.Symbol, Number]) -> Number:
    """The number that the expression is; exact (a Fraction) unless a root, a power or a function is irrational."""
    if expression.is_Symbol:
        if expression not in at:
            raise Unusable(f"no value for {expression}")
        return at[expression]
    if expression.is_Rational:
        return Fraction(int(expression.p), int(expression.q))
    if expression.is_NumberSymbol:
        return mp.mpmathify(expression._to_mpmath(mp.mp.prec))
    parts = [value(argument, at) for argument in expression.args]
    if expression.is_Add:
        return combined(operator.add, parts)
    if expression.is_Mul:
        return combined(operator.mul, parts)
    if expression.is_Pow:
        return _power(*parts)
    if expression.func in REAL_FUNCTIONS:
        return _real(REAL_FUNCTIONS[expression.func](decimal(parts[0])), expression)
    raise Unusable(f"no number for {expression.func}")


def size(expression: Expr, at: Mapping[sp.Symbol, Number]) -> Number:
    """The sum of the sizes of its terms: what rounding errors of the expression are relative to."""
    if expression.is_Add or expression.is_Mul:
        parts = [size(argument, at) for argument in expression.args]
        return combined(operator.add if expression.is_Add else operator.mul, parts)
    if expression.is_Pow and expression.exp.is_Integer and expression.exp > 0:
        return _power(size(expression.base, at), Fraction(int(expression.exp)))
    return abs(value(expression, at))


def decimal(number: Number) -> mp.mpf:
    """The number with the digits of the moment."""
    return mp.mpf(number.numerator) / number.denominator if isinstance(number, Fraction) else number


def combined(operation: Callable[[Any, Any], Any], parts: list[Number]) -> Number:
    """The parts under the operation from left to right, exact while they are."""
    total = parts[0]
    for part in parts[1:]:
        exact = isinstance(total, Fraction) and isinstance(part, Fraction)
        total = operation(total, part) if exact else operation(decimal(total), decimal(part))
    return total


def _power(base: Number, exponent: Number) -> Number:
    if base == 0 and exponent < 0:
        raise Unusable("a division by 0")
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            return base ** int(exponent)
        if exponent.denominator == 2 and base >= 0:
            above, below = math.isqrt(base.numerator), math.isqrt(base.denominator)
            if above**2 == base.numerator and below**2 == base.denominator:
                return Fraction(above, below) ** exponent.numerator
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        return decimal(base) ** int(exponent)
    return _real(decimal(base) ** decimal(exponent), "a power")


def _real(number: Any, what: object) -> mp.mpf:
    if not isinstance(number, mp.mpf) or not mp.isfinite(number):
        raise Unusable(f"{what} is not a real number")
    return number


def numbers_of(point: Point, symbols: Iterable[sp.Symbol]) -> tuple[Numbers, Fraction]:
    """The point's numbers by symbol, inner products from the coordinates of the vectors, and the tolerance that goes
    with them. Names that no symbol has are left out; so are inner products given as numbers, because no vectors need
    have them. Raises Unusable where a number has not the sign of its symbol."""
    vectors = {name: given for name, given in point.items() if isinstance(given, tuple)}
    scalars = {name: given for name, given in point.items() if not isinstance(given, tuple)}
    found: Numbers = {}
    with mp.workdps(DIGITS):
        products = {gram_symbol(a, b): _inner(u, v) for a, u in vectors.items() for b, v in vectors.items()}
        for symbol in symbols:
            if symbol in products:
                found[symbol] = products[symbol]
            elif symbol.name in scalars and not is_inner_product(symbol):
                found[symbol] = _number(scalars[symbol.name])
            if symbol in found and not allowed(symbol, found[symbol]):
                raise Unusable(f"{symbol} = {sp.N(found[symbol], 6)} has not the sign of the symbol")
    given = [part for whole in point.values() for part in (whole if isinstance(whole, tuple) else (whole,))]
    rough = any(isinstance(part, float) for part in given)
    return found, DOUBLE if rough else ROUNDING


def _inner(u: tuple[Value, ...], v: tuple[Value, ...]) -> Number:
    products = [combined(operator.mul, [_number(p), _number(q)]) for p, q in zip(u, v, strict=True)]
    return combined(operator.add, products)


def _number(given: Value) -> Number:
    if isinstance(given, float):
        return Fraction(given)
    return value(sp.sympify(given), {})


def allowed(symbol: sp.Symbol, number: Number) -> bool:
    """Whether the number has the sign that is assumed of the symbol."""
    return not (
        (symbol.is_positive and number <= 0)
        or (symbol.is_nonnegative and number < 0)
        or (symbol.is_nonzero and number == 0)
    )


def root(equation: Expr, symbol: sp.Symbol, at: Numbers) -> Number | None:
    """Where the line through the values at 1 and 2 is 0, if the symbol may be there: the root of a linear equation."""
    try:
        one, two = (value(equation, at | {symbol: Fraction(k)}) for k in (1, 2))
        slope = combined(operator.sub, [two, one])
        if slope == 0:
            return None
        found = combined(operator.sub, [Fraction(1), combined(operator.truediv, [one, slope])])
    except Unusable:
        return None
    return found if allowed(symbol, found) else None
