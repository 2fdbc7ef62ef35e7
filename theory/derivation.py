"""Derivation: a written proof as a short sequence of steps that a computer algebra system checks one by one.

What may be used without proof is `Given`: a hypothesis of the claim, a definition, or a standard inequality (Jensen,
Cauchy-Schwarz, the descent lemma, interpolation), each as an expression that is >= 0, > 0 or = 0. Every `Step` adds
such a fact and carries its certificate:

    right - left = sum of products of factors known to be nonnegative + sum of multiples of what is known to be zero,

an identity of expressions that sympy reduces to 0. A factor is nonnegative because its symbols say so, because it is an
even power of something real, because it is a squared norm, or because an earlier fact says so. `Quadratic`
(discriminant), `Monotone` (sign of the derivative) and `Limit` are the steps that an identity cannot carry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import sympy as sp

from theory.inner_product import SquaredNorm
from theory.registry import Registry

Expr: TypeAlias = sp.Expr
Relation = Literal["=", "<=", "<"]
Sign = Literal[">=", ">", "="]
Factor: TypeAlias = "sp.Expr | int | str | SquaredNorm"
Term: TypeAlias = "tuple[Factor, ...]"
Value: TypeAlias = "sp.Expr | int | float"

NONNEGATIVE: Mapping[Relation, Sign] = {"=": "=", "<=": ">=", "<": ">"}


class Broken(ValueError):
    """A step does not follow. The text says which and why."""


@dataclass(frozen=True)
class Given:
    """What is used without proof: `expression sign 0`.

    kind: a `hypothesis` of the claim, a `definition`, a `standard` inequality that textbooks prove, the statement at t
    in an `induction` on it, or a `lemma`, the conclusion of another derivation. why: in words; of a lemma it names the
    derivation.
    """

    name: str
    expression: Expr
    sign: Sign
    kind: Literal["hypothesis", "definition", "standard", "induction", "lemma"]
    why: str


@dataclass(frozen=True)
class Fact:
    """Something known: `expression sign 0`, and the names of the givens that it rests on."""

    expression: Expr
    sign: Sign
    rests_on: frozenset[str]


Facts: TypeAlias = "dict[str, Fact]"


def is_zero(expression: Expr) -> bool:
    """Whether sympy reduces the expression to 0. Rational functions are decided by expanding the numerator; others,
    unless one point excludes it, by trigonometry, roots and simplify."""
    numerator = sp.numer(sp.together(expression))
    if sp.expand(numerator) == 0:
        return True
    if numerator.is_rational_function() or _differs_from_zero(numerator):
        return False
    for attempt in (lambda e: sp.expand(sp.expand_trig(e)), sp.radsimp, sp.simplify):
        if attempt(numerator) == 0:
            return True
    return bool(sp.simplify(sp.expand(numerator.rewrite(sp.exp))) == 0)


def _differs_from_zero(expression: Expr) -> bool:
    """Thirty digits at one point show more than 1e-15 of the terms: what is identically zero shows 1e-25 at most."""
    symbols = sorted(expression.free_symbols, key=str)
    point = {symbol: sp.Rational(2 * k + 3, 3 * k + 7) for k, symbol in enumerate(symbols)}
    value = sp.N(expression.subs(point), 30)
    return bool(value.is_number and value.is_finite and abs(value) > 1e-15)


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

    @property
    def statement(self) -> tuple[Expr, str, Expr]:
        return sp.sympify(self.left), self.relation, sp.sympify(self.right)

    def check(self, facts: Facts) -> Fact:
        """The fact that the step adds. Raises Broken."""
        left, relation, right = self.statement
        difference, total = right - left, sp.Integer(0)
        rests: frozenset[str] = frozenset()
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
        if factor not in facts:
            raise Broken(f"no earlier step or given is called {factor!r}")
        fact = facts[factor]
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
    def statement(self) -> tuple[Expr, str, Expr]:
        return sp.Integer(0), "<=", self.polynomial

    def check(self, facts: Facts) -> Fact:
        """The fact that the step adds. Raises Broken."""
        polynomial = sp.Poly(self.polynomial, self.variable)
        if polynomial.degree() != 2:
            raise Broken(f"not a quadratic polynomial in {self.variable}")
        a, b, c = polynomial.all_coeffs()
        leading, discriminant = _known(self.leading, facts), _known(self.discriminant, facts)
        if leading.sign != ">" or not is_zero(leading.expression - a):
            raise Broken(f"{self.leading!r} does not say that the leading coefficient {a} is positive")
        if discriminant.sign not in (">", ">=") or not is_zero(discriminant.expression - (4 * a * c - b**2)):
            raise Broken(f"{self.discriminant!r} does not say that 4 a c - b^2 >= 0")
        return Fact(self.polynomial, ">=", leading.rests_on | discriminant.rests_on)


@dataclass(frozen=True)
class Monotone:
    """expression at `start` <= expression at `end`, because its derivative in `variable` is a nonnegative fact.

    The slope may rest on givens about the variable only if they are `variable - start >= 0` or `end - variable >= 0`:
    it must hold on the whole interval. That start <= end is needed as the fact `ordered`.
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
    def statement(self) -> tuple[Expr, str, Expr]:
        return self.expression.subs(self.variable, self.start), "<=", self.expression.subs(self.variable, self.end)

    def check(self, facts: Facts) -> Fact:
        """The fact that the step adds. Raises Broken."""
        slope, ordered = _known(self.slope, facts), _known(self.ordered, facts)
        if slope.sign not in (">", ">=") or not is_zero(slope.expression - sp.diff(self.expression, self.variable)):
            raise Broken(f"{self.slope!r} does not say that the derivative in {self.variable} is nonnegative")
        if not is_zero(ordered.expression - (self.end - self.start)):
            raise Broken(f"{self.ordered!r} does not say that {self.start} <= {self.end}")
        inside = (self.variable - self.start, self.end - self.variable)
        for name in slope.rests_on:
            used = facts[name].expression
            if self.variable in used.free_symbols and not any(is_zero(used - end) for end in inside):
                raise Broken(f"the slope rests on {name!r}, which need not hold on the whole interval")
        left, _, right = self.statement
        rests = frozenset(n for n in slope.rests_on if self.variable not in facts[n].expression.free_symbols)
        return Fact(right - left, ">=", rests | ordered.rests_on)


@dataclass(frozen=True)
class Limit:
    """expression -> value as variable -> point, from the side `direction`."""

    name: str
    expression: Expr
    variable: sp.Symbol
    point: Expr | int
    value: Expr | int
    direction: Literal["+", "-"] = "+"
    why: str = ""

    @property
    def statement(self) -> tuple[Expr, str, Expr]:
        limit = sp.Limit(self.expression, self.variable, self.point, self.direction)
        return limit, "=", sp.sympify(self.value)

    def check(self, facts: Facts) -> Fact:
        """The fact that the step adds. Raises Broken."""
        found = sp.limit(self.expression, self.variable, self.point, self.direction)
        if not is_zero(found - sp.sympify(self.value)):
            raise Broken(f"the limit is {found}, not {self.value}")
        return Fact(sp.sympify(found - self.value), "=", frozenset())


AnyStep: TypeAlias = "Step | Quadratic | Monotone | Limit"


def _known(name: str, facts: Facts) -> Fact:
    if name not in facts:
        raise Broken(f"no earlier step or given is called {name!r}")
    return facts[name]


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
    counterexample: Mapping[str, Value | tuple[Value, ...]] | None = None


@dataclass(frozen=True)
class CheckedStep:
    """A step after its check: fault is empty when it follows."""

    step: AnyStep
    fault: str
    seconds: float


@dataclass(frozen=True)
class Derivation:
    """A written proof. id: `topic/name`. title: for people. claims: ids of the claims whose statement it derives.

    conclusion: the name of the step that is the statement. covers: what of the claims it derives, and what not. meets:
    where the code has the same formulas. latex_names: LaTeX of symbols and vectors that have another than their name.
    """

    id: str
    title: str
    claims: tuple[str, ...]
    given: tuple[Given, ...]
    steps: tuple[AnyStep, ...]
    conclusion: str
    meets: tuple[Meets, ...]
    twins: tuple[Twin, ...]
    remarks: tuple[str, ...] = ()
    covers: str = ""
    latex_names: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> Iterator[CheckedStep]:
        """Every step with its check; a step after a broken one is checked with that one absent."""
        facts: Facts = {g.name: Fact(g.expression, g.sign, frozenset({g.name})) for g in self.given}
        for step in self.steps:
            start, fault = time.perf_counter(), ""
            try:
                facts[step.name] = step.check(facts)
            except Broken as broken:
                fault = f"{step.name}: {broken}"
            yield CheckedStep(step, fault, time.perf_counter() - start)

    def faults(self) -> list[str]:
        """What is wrong: steps that do not follow, formulas that the code has otherwise, givens that nothing uses."""
        found = [checked.fault for checked in self.run() if checked.fault]
        found += [mismatch for meeting in self.meets for mismatch in meeting.mismatches()]
        if not any(step.name == self.conclusion for step in self.steps):
            found.append(f"no step is called {self.conclusion!r}, the conclusion")
        used = {factor for step in self.steps for factor in cited(step)}
        found += [f"nothing uses what is given as {g.name!r}" for g in self.given if g.name not in used]
        return found

    def twin(self, twin: Twin) -> Derivation:
        """The derivation with that one fault."""
        steps = tuple(twin.replaced if s.name == twin.step and twin.replaced is not None else s for s in self.steps)
        return replace(self, given=tuple(g for g in self.given if g.name not in twin.without), steps=steps)


def cited(step: AnyStep) -> tuple[str, ...]:
    """The names of the facts that a step uses."""
    if isinstance(step, Step):
        return tuple(factor for term in step.by for factor in term if isinstance(factor, str))
    if isinstance(step, Quadratic):
        return (step.leading, step.discriminant)
    return (step.slope, step.ordered) if isinstance(step, Monotone) else ()


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
