"""The four kinds of step of a derivation and what each must show.

    right - left = sum of products of factors known to be nonnegative + sum of multiples of what is known to be zero

is the certificate of a `Step`: an identity that sympy reduces to 0. A factor is nonnegative because its symbols say so,
because it is an even power of something real, because it is a squared norm, or because an earlier fact says so.
`Quadratic` (discriminant), `Monotone` (sign of the derivative) and `Limit` are the steps that an identity cannot carry.
Whatever a step writes must be defined wherever the facts hold (`derivation_domain`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import sympy as sp

from theory.derivation_domain import Need, needs, shows, sign_of, where_defined
from theory.derivation_known import NONNEGATIVE, Broken, Expr, Fact, Facts, Relation, Sign, is_zero, known
from theory.inner_product import SquaredNorm

Factor: TypeAlias = "sp.Expr | int | str | SquaredNorm"
Term: TypeAlias = "tuple[Factor, ...]"


@dataclass(frozen=True)
class Step:
    """left relation right, by a certificate.

    by: terms; each is a tuple of factors, all of them nonnegative, or with at least one named fact that is = 0 and the
    others arbitrary. The sum of the products of the terms must be right - left. A strict inequality needs a term whose
    factors are all positive. why: one sentence for people.
    """

    name: str
    left: Expr | int
    relation: Relation
    right: Expr | int
    by: tuple[Term, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        if self.relation not in NONNEGATIVE:
            raise ValueError(f"the step {self.name!r} has the relation {self.relation!r}; =, <= or < is allowed")

    @property
    def statement(self) -> tuple[Expr, Relation, Expr]:
        return sp.sympify(self.left), self.relation, sp.sympify(self.right)

    @property
    def written(self) -> list[Expr]:
        """The expressions that the certificate itself writes, coefficients of vectors among them."""
        found: list[Expr] = []
        for factor in (factor for term in self.by for factor in term):
            if isinstance(factor, SquaredNorm):
                found += [coefficient for _, coefficient in factor.vector.parts]
            elif not isinstance(factor, str):
                found.append(sp.sympify(factor))
        return found

    def check(self, facts: Facts) -> Fact:
        """The fact that the step adds. Raises Broken."""
        left, relation, right = self.statement
        difference, total = right - left, sp.Integer(0)
        rests = where_defined([left, right, *self.written], facts)
        strict = False
        for term in self.by:
            product, zero, positive = sp.Integer(1), False, True
            unsigned: list[str] = []
            for factor in term:
                expression, sign, basis = _factor(factor, facts)
                product, rests = product * expression, rests | basis
                zero = zero or sign == "="
                positive = positive and sign == ">"
                if sign is None:
                    unsigned.append(str(factor))
            if unsigned and not zero:
                raise Broken(f"nothing known says that {unsigned[0]} >= 0")
            if relation == "=" and not zero:
                raise Broken(f"an equality needs terms that are zero, and {product} need not be")
            strict = strict or (positive and not zero)
            total += product
        if not is_zero(difference - total):
            raise Broken(f"right - left - certificate is {sp.together(sp.expand(difference - total))}, not 0")
        if relation == "<" and not strict:
            raise Broken("a strict inequality needs a term of positive factors")
        return Fact(difference, NONNEGATIVE[self.relation], rests)


def _factor(factor: Factor, facts: Facts) -> tuple[Expr, Sign | None, frozenset[str]]:
    """The expression, what is known of its sign (None: nothing), and what that rests on."""
    if isinstance(factor, str):
        fact = known(factor, facts)
        return fact.expression, fact.sign, fact.rests_on
    if isinstance(factor, SquaredNorm):
        return factor.expression, ">=", frozenset()
    expression = sp.sympify(factor)
    sign: Sign | None = ">" if expression.is_positive else ">=" if expression.is_nonnegative else None
    return expression, sign, frozenset()


@dataclass(frozen=True)
class Quadratic:
    """polynomial >= 0 for every real `variable`, because its leading coefficient and 4 a c - b^2 are nonnegative facts
    (the leading one positive)."""

    name: str
    polynomial: Expr
    variable: sp.Symbol
    leading: str
    discriminant: str
    why: str = ""

    @property
    def statement(self) -> tuple[Expr, Relation, Expr]:
        return sp.Integer(0), "<=", self.polynomial

    def check(self, facts: Facts) -> Fact:
        """The fact that the step adds. Raises Broken."""
        defined = where_defined([self.polynomial], facts)
        if not self.polynomial.is_polynomial(self.variable) or sp.degree(self.polynomial, self.variable) != 2:
            raise Broken(f"not a quadratic polynomial in {self.variable}")
        a, b, c = sp.Poly(self.polynomial, self.variable).all_coeffs()
        leading, discriminant = known(self.leading, facts), known(self.discriminant, facts)
        if leading.sign != ">" or not is_zero(leading.expression - a):
            raise Broken(f"{self.leading!r} does not say that the leading coefficient {a} is positive")
        if discriminant.sign not in (">", ">=") or not is_zero(discriminant.expression - (4 * a * c - b**2)):
            raise Broken(f"{self.discriminant!r} does not say that 4 a c - b^2 >= 0")
        return Fact(self.polynomial, ">=", defined | leading.rests_on | discriminant.rests_on)


@dataclass(frozen=True)
class Monotone:
    """expression at `start` <= expression at `end`, because its derivative in `variable` is a nonnegative fact.

    It must hold, and the expression be defined, on the whole closed interval: both may rest on givens about the
    variable only if these are `variable - start >= 0` or `end - variable >= 0`, and a variable declared nonnegative or
    positive needs a start that is. That start <= end is needed as the fact `ordered`.
    """

    name: str
    expression: Expr
    variable: sp.Symbol
    start: Expr | int
    end: Expr
    slope: str
    ordered: str
    why: str = ""

    @property
    def statement(self) -> tuple[Expr, Relation, Expr]:
        return self.expression.subs(self.variable, self.start), "<=", self.expression.subs(self.variable, self.end)

    def check(self, facts: Facts) -> Fact:
        """The fact that the step adds. Raises Broken."""
        start, end = sp.sympify(self.start), sp.sympify(self.end)
        if self.variable in start.free_symbols | end.free_symbols:
            raise Broken(f"the interval from {start} to {end} moves with {self.variable}")
        slope, ordered = known(self.slope, facts), known(self.ordered, facts)
        if slope.sign not in (">", ">=") or not is_zero(slope.expression - sp.diff(self.expression, self.variable)):
            raise Broken(f"{self.slope!r} does not say that the derivative in {self.variable} is nonnegative")
        if not is_zero(ordered.expression - (end - start)):
            raise Broken(f"{self.ordered!r} does not say that {start} <= {end}")
        inside = slope.rests_on | where_defined([self.expression], facts)
        for name in inside:
            used = facts[name]
            ends = (self.variable - start, end - self.variable)
            holds = used.sign == ">=" and any(is_zero(used.expression - distance) for distance in ends)
            if self.variable in used.expression.free_symbols and not holds:
                raise Broken(f"the slope rests on {name!r}, which need not hold on the whole interval")
        left, _, right = self.statement
        rests = ordered.rests_on | where_defined([left, right], facts) | self._starts_where_declared(start, facts)
        rests |= {name for name in inside if self.variable not in facts[name].expression.free_symbols}
        return Fact(right - left, ">=", rests)

    def _starts_where_declared(self, start: Expr, facts: Facts) -> frozenset[str]:
        """What it rests on that the declared sign of the variable holds on the whole interval."""
        sign = sign_of(self.variable)
        if sign == "real":
            return frozenset()
        shown = shows(Need(start, "positive" if sign == "positive" else "nonnegative"), facts)
        if shown is None or sign == "nonzero":
            raise Broken(f"{self.variable} is declared {sign}, and nothing known says that {start}, the start, is")
        return shown


@dataclass(frozen=True)
class Limit:
    """expression -> value as variable -> point, from the side `direction` ("+": from above; from below at oo)."""

    name: str
    expression: Expr
    variable: sp.Symbol
    point: Expr | int
    value: Expr | int
    direction: Literal["+", "-"] = "+"
    why: str = ""

    @property
    def statement(self) -> tuple[Expr, Relation, Expr]:
        limit = sp.Limit(self.expression, self.variable, self.point, self.direction)
        return limit, "=", sp.sympify(self.value)

    def near(self, distance: Expr) -> Expr:
        """The place at this distance from the point, on the side of the limit; at 1/distance for infinity."""
        point = sp.sympify(self.point)
        if point in (sp.oo, -sp.oo):
            return 1 / distance if point == sp.oo else -1 / distance
        return point + distance if self.direction == "+" else point - distance

    def check(self, facts: Facts) -> Fact:
        """The fact that the step adds. Raises Broken."""
        sign, eps = sign_of(self.variable), sp.Dummy("eps", positive=True)
        place = self.near(eps)
        if sign in ("nonnegative", "positive") and not place.is_positive:
            raise Broken(f"{self.variable} is declared {sign}, and {place} need not be")
        if self.variable in place.free_symbols:
            raise Broken(f"the point {self.point} moves with {self.variable}")
        expression, value = self.expression.subs(self.variable, place), sp.sympify(self.value)
        rests = where_defined([value], facts)
        for need in needs(expression):
            at_point = sp.limit(need.base, eps, 0, "+")
            close = at_point.is_nonzero if need.wanted == "nonzero" else at_point.is_positive
            shown = frozenset[str]() if close else shows(need, facts)
            if shown is None:
                raise Broken(f"the expression near the point {need}")
            rests |= shown
        found = sp.limit(expression, eps, 0, "+")
        rests |= where_defined([found], facts)
        if not is_zero(found - value):
            raise Broken(f"the limit is {found}, not {value}")
        return Fact(sp.sympify(found - value), "=", rests)


AnyStep: TypeAlias = "Step | Quadratic | Monotone | Limit"


def cited(step: AnyStep) -> tuple[str, ...]:
    """The names of the facts that a step uses."""
    if isinstance(step, Step):
        return tuple(factor for term in step.by for factor in term if isinstance(factor, str))
    if isinstance(step, Quadratic):
        return (step.leading, step.discriminant)
    return (step.slope, step.ordered) if isinstance(step, Monotone) else ()
