"""Witnesses: numbers at which everything that a derivation is given holds, and whether its steps are true there.

Givens that contradict one another prove anything. So every derivation must have a witness: numbers for its symbols and
coordinates for its vectors at which all its givens hold at once, and at every such point each step must be true.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import mpmath as mp
import sympy as sp

from theory.derivation_known import NONNEGATIVE, Expr, Relation, Sign
from theory.derivation_points import (
    DIGITS,
    DOUBLE,
    Number,
    Numbers,
    Point,
    Unusable,
    combined,
    decimal,
    numbers_of,
    root,
    size,
    value,
)
from theory.derivation_steps import AnyStep, Limit
from theory.inner_product import is_inner_product

if TYPE_CHECKING:
    from theory.derivation import Derivation


@dataclass(frozen=True)
class At:
    """A complete point: a number for every symbol, and the tolerance, relative to the sizes of the terms, of
    comparisons that are not exact. name: which of the derivation's points it is."""

    name: str
    numbers: Numbers
    tolerance: Fraction

    def holds(self, left: Expr, relation: Relation, right: Expr) -> bool:
        """Whether left relation right: exactly where both sides are fractions of exact numbers; else up to the
        tolerance, and strictly is by more than the tolerance. Raises Unusable where a side is not defined."""
        with mp.workdps(DIGITS):
            difference = combined(operator.sub, [value(right, self.numbers), value(left, self.numbers)])
            slack: Number = Fraction(0)
            if self.tolerance == DOUBLE or not isinstance(difference, Fraction):
                sizes = combined(operator.add, [size(left, self.numbers), size(right, self.numbers)])
                slack = decimal(combined(operator.mul, [self.tolerance, sizes]))
                difference = decimal(difference)
            return bool({"=": abs(difference) <= slack, "<=": difference >= -slack, "<": difference > slack}[relation])

    def says(self, expression: Expr, sign: Sign) -> bool:
        """Whether expression sign 0."""
        relation = next(relation for relation, same in NONNEGATIVE.items() if same == sign)
        return self.holds(sp.Integer(0), relation, expression)

    def true(self, step: AnyStep) -> bool:
        """Whether the step's statement is true here."""
        return self._approaches(step) if isinstance(step, Limit) else self.holds(*step.statement)

    def _approaches(self, limit: Limit) -> bool:
        """At a distance of 1e-20 and of 1e-40 the expression is within a thousandth of the limit, and no further off
        at the second: a power of the distance beyond one fortieth is seen, a logarithm is not."""
        with mp.workdps(4 * DIGITS):
            target = decimal(value(sp.sympify(limit.value), self.numbers))
            errors = []
            for digits in (20, 40):
                there = value(limit.near(sp.Rational(1, 10**digits)), self.numbers)
                found = value(limit.expression, self.numbers | {limit.variable: there})
                errors.append(abs(decimal(found) - target))
            return bool(errors[1] <= errors[0] and 1000 * errors[1] <= max(abs(target), 1))


def located(name: str, point: Point, given: Sequence[tuple[Expr, Sign]], statements: Iterable[Expr]) -> At:
    """The point with a number for every symbol of the givens and of the statements. What is not there is computed from
    a given equation that is linear in it; a symbol about which nothing is given gets some number. Raises Unusable."""
    bound = {symbol for expression, _ in given for symbol in expression.free_symbols}
    symbols = bound.union(*(expression.free_symbols for expression in statements))
    numbers, tolerance = numbers_of(point, symbols)
    equations = [expression for expression, sign in given if sign == "="]
    with mp.workdps(DIGITS):
        for equation in itertools.chain.from_iterable(itertools.repeat(equations, len(equations))):
            lacking = [symbol for symbol in equation.free_symbols if symbol not in numbers]
            if len(lacking) == 1 and not is_inner_product(lacking[0]):
                found = root(equation, lacking[0], numbers)
                numbers |= {} if found is None else {lacking[0]: found}
    free = sorted((s for s in symbols - bound if s not in numbers and not is_inner_product(s)), key=str)
    numbers |= {symbol: Fraction(k + 2, 3) for k, symbol in enumerate(free)}
    if lacks := sorted(str(symbol) for symbol in symbols if symbol not in numbers):
        raise Unusable(f"it has no {', '.join(lacks)}")
    return At(name, numbers, tolerance)


def points_of(derivation: Derivation) -> Iterator[tuple[str, Point]]:
    """The numbers that the derivation has, with their names: its witnesses, the counterexamples of its twins, and
    where it meets the code."""
    yield from ((f"witness {k}", point) for k, point in enumerate(derivation.witnesses, 1))
    yield from (
        (f"the counterexample of {t.name!r}", t.counterexample)
        for t in derivation.twins
        if t.counterexample is not None
    )
    yield from ((f"point {k} of {m.name!r}", point) for m in derivation.meets for k, point in enumerate(m.points, 1))


def located_in(derivation: Derivation, name: str, point: Point) -> At:
    """The point with a number for every symbol, where everything given holds. Raises Unusable."""
    statements = [side for step in derivation.steps for side in step.statement if isinstance(side, sp.Expr)]
    at = located(name, point, [(g.expression, g.sign) for g in derivation.given], statements)
    for g in derivation.given:
        if not at.says(g.expression, g.sign):
            raise Unusable(f"{g.name!r} does not hold there")
    return at


def witnessed(derivation: Derivation) -> list[At]:
    """The points at which everything given holds. Raises Unusable if a witness is none, or if there is none."""
    found, reasons = [], []
    for name, point in points_of(derivation):
        try:
            found.append(located_in(derivation, name, point))
        except Unusable as reason:
            if name.startswith("witness "):
                raise Unusable(f"{name} is none: {reason}") from None
            reasons.append(f"{name}: {reason}")
    if not found:
        said = f"; {reasons[0]}" if reasons else ""
        raise Unusable(f"no witness shows that what is given can hold at once{said}")
    return found


def without_witness(derivation: Derivation) -> Iterator[str]:
    """One sentence for each step that is false where everything given holds, or that this is nowhere so."""
    try:
        for at in witnessed(derivation):
            for step in derivation.steps:
                if fault := false_at(step, at):
                    yield fault
    except Unusable as reason:
        yield str(reason)


def false_at(step: AnyStep, at: At) -> str:
    """A sentence if the step is not true at the point, or empty."""
    try:
        return "" if at.true(step) else f"{step.name}: false at {at.name}, where everything given holds"
    except Unusable as reason:
        return f"{step.name}: not defined at {at.name}, where everything given holds: {reason}"
