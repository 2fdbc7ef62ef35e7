"""One step of unnormalised SAM over a class, settled in rational numbers: certificates and counterexamples.

A certificate says of one choice of steps that after <= rate * before for EVERY mu-strongly convex, L-smooth f, where
`before` and `after` are f - f* or ||. - x*||^2 at x and at x+ = x - gamma grad f(x + rho grad f(x)). It is a list of
multipliers c_ij >= 0 of the inequalities that hold between any two points of such a function (x* = 0, grad f(x*) = 0),

    f_i - f_j - <g_j, d> - (||e||^2/L + mu ||d||^2 - 2 (mu/L) <e, d>)/(2 (1 - mu/L)),  d = x_i - x_j,  e = g_i - g_j,

between x*, x, y = x + rho grad f(x) and x+, such that rate * before - after is the sum of c_ij times these, plus a
quadratic form in (x, grad f(x), grad f(y), grad f(x+)) that is positive semidefinite. A counterexample is a list of
points, gradients and values that obey all of these inequalities, so that a function of the class has them (Taylor,
Hendrickx and Glineur 2017), with after > rate * before.

Checking either takes no solver and no floating-point number. `rational_search` finds them with one, and rounds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, get_args

from problems.errors import InputError

Measured = Literal["suboptimality", "distance"]
Pair = tuple[str, str]
Row = tuple[Fraction, ...]
Form = tuple[Row, ...]
"""A symmetric matrix."""

MINIMISER, X, PERTURBED, NEXT = POINTS = ("x*", "x", "y", "x+")
BASIS = ("x", "grad f(x)", "grad f(y)", "grad f(x+)")
PAIRS: tuple[Pair, ...] = tuple(permutations(POINTS, 2))

FOLDER = Path(__file__).resolve().parent / "certificates"
"""What is kept: certificates at a thousandth above the factor, and functions that move away from their minimiser."""


class Refused(ValueError):
    """A certificate or a counterexample does not show what it says. The text says why."""


@dataclass(frozen=True)
class Steps:
    """One choice of everything, in rational numbers: 0 < mu < L, gamma > 0, rho >= 0. Raises InputError otherwise."""

    mu: Fraction
    L: Fraction
    gamma: Fraction
    rho: Fraction

    def __post_init__(self) -> None:
        if not 0 < self.mu < self.L:
            raise InputError(f"mu must be > 0 and < L = {self.L}, got {self.mu}")
        if not self.gamma > 0:
            raise InputError(f"gamma must be > 0, got {self.gamma}")
        if not self.rho >= 0:
            raise InputError(f"rho must be >= 0, got {self.rho}")

    def multiplier(self, curvature: Fraction) -> Fraction:
        """1 - gamma l (1 + rho l): what a step multiplies x by on l x^2/2."""
        return 1 - self.gamma * curvature * (1 + self.rho * curvature)

    @property
    def factor(self) -> Fraction:
        """q, the larger square of the multipliers at mu and at L: no rate below it has a certificate."""
        return max(self.multiplier(self.mu) ** 2, self.multiplier(self.L) ** 2)

    @property
    def positions(self) -> dict[str, Row]:
        """The points in the BASIS."""
        one, zero = Fraction(1), Fraction(0)
        return {
            MINIMISER: (zero,) * 4,
            X: (one, zero, zero, zero),
            PERTURBED: (one, self.rho, zero, zero),
            NEXT: (one, zero, -self.gamma, zero),
        }

    @property
    def gradients(self) -> dict[str, Row]:
        """grad f at the points in the BASIS."""
        unit = {name: tuple(Fraction(k == at) for k in range(4)) for name, at in ((X, 1), (PERTURBED, 2), (NEXT, 3))}
        return {MINIMISER: (Fraction(0),) * 4, **unit}

    def form(self, i: str, j: str) -> Form:
        """The quadratic form that f_i - f_j is at least."""
        x, g = self.positions, self.gradients
        d, e = _minus(x[i], x[j]), _minus(g[i], g[j])
        scale = 1 / (2 * (1 - self.mu / self.L))
        return _sum(
            (Fraction(1), _product(g[j], d)),
            (scale / self.L, _product(e, e)),
            (scale * self.mu, _product(d, d)),
            (-2 * scale * self.mu / self.L, _product(e, d)),
        )

    def as_json(self) -> dict[str, str]:
        return {name: str(getattr(self, name)) for name in ("mu", "L", "gamma", "rho")}


@dataclass(frozen=True)
class Certificate:
    """after <= rate * before for every function of the class. multipliers: those that are not 0, by (i, j)."""

    steps: Steps
    rate: Fraction
    multipliers: Mapping[Pair, Fraction]
    measured: Measured = "suboptimality"

    def verify(self) -> None:
        """Raise Refused unless the multipliers show it. Exact."""
        for pair, multiplier in self.multipliers.items():
            if pair not in PAIRS:
                raise Refused(f"no inequality stands between {pair[0]} and {pair[1]}")
            if multiplier < 0:
                raise Refused(f"the multiplier between {pair[0]} and {pair[1]} is {multiplier}, below 0")
        for point, coefficient in self.values_left().items():
            if coefficient != 0:
                raise Refused(f"the values at {point} do not cancel: {coefficient} is left")
        pivot = negative_pivot(self.form_left())
        if pivot is not None:
            raise Refused(f"what is left is no sum of squares: {pivot}")

    def values_left(self) -> dict[str, Fraction]:
        """Coefficients of f at each point in rate * before - after - sum of multipliers times inequalities."""
        left = dict.fromkeys(POINTS, Fraction(0))
        if self.measured == "suboptimality":
            left |= {X: self.rate, NEXT: Fraction(-1), MINIMISER: 1 - self.rate}
        for (i, j), multiplier in self.multipliers.items():
            left[i] -= multiplier
            left[j] += multiplier
        return left

    def form_left(self) -> Form:
        """The quadratic form that must be positive semidefinite."""
        terms = [(multiplier, self.steps.form(i, j)) for (i, j), multiplier in self.multipliers.items()]
        if self.measured == "distance":
            x = self.steps.positions
            terms += [(self.rate, _product(x[X], x[X])), (Fraction(-1), _product(x[NEXT], x[NEXT]))]
        return _sum(*terms)

    def as_json(self) -> dict[str, Any]:
        """What `stored` reads."""
        multipliers = [[i, j, str(multiplier)] for (i, j), multiplier in self.multipliers.items()]
        return {
            "shows": "certificate", "measured": self.measured, "steps": self.steps.as_json(), "rate": str(self.rate),
            "multipliers": multipliers,
        }  # fmt: skip


@dataclass(frozen=True)
class Counterexample:
    """A function of the class with after > rate * before, by what it has at four points.

    x, g, h, p: coordinates of x - x*, grad f(x), grad f(y) and grad f(x+). values: f - f* at x, y and x+.
    """

    steps: Steps
    rate: Fraction
    vectors: tuple[Row, Row, Row, Row]
    values: Row
    measured: Measured = "distance"

    def verify(self) -> None:
        """Raise Refused unless the points are those of a function of the class and exceed the rate. Exact."""
        if len(self.vectors) != 4 or len({len(v) for v in self.vectors}) != 1 or len(self.values) != 3:
            raise Refused("a counterexample has four vectors of one length and three values")
        gram = tuple(tuple(_inner(u, v) for v in self.vectors) for u in self.vectors)
        value = dict(zip(POINTS, (Fraction(0), *self.values), strict=True))
        for i, j in PAIRS:
            if value[i] - value[j] < _at(self.steps.form(i, j), gram):
                raise Refused(f"no function of the class has these values and gradients at {i} and {j}")
        if (self.values[0] if self.measured == "suboptimality" else _inner(self.vectors[0], self.vectors[0])) == 0:
            raise Refused("nothing is measured before the step: x is the minimiser")
        if not self.ratio > self.rate:
            raise Refused(f"the ratio is {self.ratio}, not more than {self.rate}")

    @property
    def ratio(self) -> Fraction:
        """after/before."""
        if self.measured == "suboptimality":
            return self.values[2] / self.values[0]
        x, _, h, _ = self.vectors
        after = _minus(x, tuple(self.steps.gamma * entry for entry in h))
        return _inner(after, after) / _inner(x, x)

    def as_json(self) -> dict[str, Any]:
        """What `stored` reads."""
        return {
            "shows": "counterexample", "measured": self.measured, "steps": self.steps.as_json(), "rate": str(self.rate),
            "vectors": [[str(entry) for entry in vector] for vector in self.vectors],
            "values": [str(value) for value in self.values],
        }  # fmt: skip


# -- where they come from --


def closed_form(steps: Steps) -> Certificate:
    """The certificate of f(x+) - f* <= q (f(x) - f*) with the multipliers of usam/strongly-convex-factor, at q itself.

    With a = sqrt(q) as a multiplier: a, a (1 - a), 1 - a and twice a gamma/rho where a <= 1; 1, a^2 - 1 and the same
    twice where a >= 1. Raises InputError at rho = 0, where y is x and nothing is left of the pair.
    """
    if steps.rho == 0:
        raise InputError("rho must be > 0 for the multipliers of unnormalised SAM, got 0")
    a = max(abs(steps.multiplier(steps.mu)), abs(steps.multiplier(steps.L)))
    both = a * steps.gamma / steps.rho
    if a <= 1:
        multipliers = {(X, NEXT): a, (MINIMISER, X): a * (1 - a), (MINIMISER, NEXT): 1 - a}
    else:
        multipliers = {(X, NEXT): Fraction(1), (X, MINIMISER): a**2 - 1}
    return Certificate(steps, a**2, multipliers | {(X, PERTURBED): both, (PERTURBED, X): both})


def stored(folder: Path = FOLDER) -> list[Certificate | Counterexample]:
    """Everything in the folder, in the order of its files. Raises InputError for a file that cannot be read."""
    found: list[Certificate | Counterexample] = []
    for file in sorted(folder.glob("*.json")):
        try:
            found += [_read(entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise InputError(f"the file {str(file)!r} is no list of certificates: {error}") from None
    return found


def _read(entry: Mapping[str, Any]) -> Certificate | Counterexample:
    steps = Steps(**{name: Fraction(number) for name, number in entry["steps"].items()})
    rate, measured = Fraction(entry["rate"]), entry["measured"]
    if measured not in get_args(Measured):
        raise ValueError(f"measured must be one of {', '.join(get_args(Measured))}, got {measured!r}")
    if entry["shows"] == "certificate":
        multipliers = {(i, j): Fraction(c) for i, j, c in entry["multipliers"]}
        return Certificate(steps, rate, multipliers, measured)
    x, g, h, p = (tuple(Fraction(number) for number in vector) for vector in entry["vectors"])
    return Counterexample(steps, rate, (x, g, h, p), tuple(Fraction(value) for value in entry["values"]), measured)


# -- exact linear algebra --


def negative_pivot(form: Form) -> str | None:
    """None where the form is positive semidefinite; else what shows that it is not. Exact: L D L^T without pivoting."""
    rows = [list(row) for row in form]
    size = len(rows)
    for k in range(size):
        pivot = rows[k][k]
        if pivot < 0:
            return f"pivot {k + 1} is {float(pivot):.3g}"
        if pivot == 0:
            if any(rows[k][m] != 0 for m in range(k + 1, size)):
                return f"pivot {k + 1} is 0 beside entries that are not"
            continue
        for m in range(k + 1, size):
            part = rows[m][k] / pivot
            rows[m] = [entry - part * above for entry, above in zip(rows[m], rows[k], strict=True)]
    return None


def _minus(u: Row, v: Row) -> Row:
    return tuple(a - b for a, b in zip(u, v, strict=True))


def _inner(u: Sequence[Fraction], v: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(u, v, strict=True)), Fraction(0))


def _product(u: Row, v: Row) -> Form:
    """The symmetric form of <u, v>."""
    return tuple(tuple((u[k] * v[m] + u[m] * v[k]) / 2 for m in range(len(u))) for k in range(len(u)))


def _sum(*terms: tuple[Fraction, Form]) -> Form:
    return tuple(
        tuple(sum((scale * form[k][m] for scale, form in terms), Fraction(0)) for m in range(len(BASIS)))
        for k in range(len(BASIS))
    )


def _at(form: Form, gram: Form) -> Fraction:
    return sum((_inner(row, other) for row, other in zip(form, gram, strict=True)), Fraction(0))
