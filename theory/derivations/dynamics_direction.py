"""How far the direction of v + x n lies from that of v: the two constants of the drift theorem (A7).

In the plane of the unit vectors v and n = c v + sigma v', the direction is (A, x sigma)/N with A = 1 + x c and N its
length. Its distance from v is at most 1.04 x, and that from v + x (n - c v) at most 0.73 x^2, for 0 <= x <= 1/2. Both
are polynomial inequalities after squaring. The second is tight to one per cent (x = 1/2, c near -0.8), so it needs a
certificate: in x a Bernstein polynomial of degree 6 on [0, 1/2], whose coefficients are (1 - c) a + (1 + c) b with a
and b positive quartics in c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.dynamics_drift import Ravine, error_bound
from theory.derivation import AnyStep, Derivation, Given, Meets, Quadratic, Step, Term, Twin, derivations
from theory.derivation_facts import facts_at

x = sp.Symbol("x", nonnegative=True)
c, sigma = sp.symbols("c sigma", real=True)
A, N, slack, room = sp.symbols("A N F B", positive=True)  # 1 + x c; the length; 2 + x^2 sigma^2 - k x^4; 2 - 1.04^2 x^2

k = sp.Rational(73, 100) ** 2
ell = sp.Rational(104, 100) ** 2
S = x**2 * sigma**2
m = ell * (4 - ell * x**2)

GIVEN = (
    Given("short", 1 - 2 * x, ">=", "hypothesis", "x <= 1/2"),
    Given("c below 1", 1 - c, ">=", "standard", "c = <v, n> for unit vectors: Cauchy-Schwarz"),
    Given("c above -1", 1 + c, ">=", "standard", "the same"),
    Given("unit", c**2 + sigma**2 - 1, "=", "definition", "||n|| = 1"),
    Given("A", 1 + x * c - A, "=", "definition", "A = <v + x n, v>, at least 1/2"),
    Given("length", A**2 + S - N**2, "=", "definition", "N = ||v + x n||"),
    Given("F", 2 + S - k * x**4 - slack, "=", "definition", "F = 2 + x^2 sigma^2 - 0.73^2 x^4, positive for x <= 1/2"),
    Given("B", 2 - ell * x**2 - room, "=", "definition", "B = 2 - 1.04^2 x^2, positive for x <= 1/2"),
)

ROWS = (
    ("0", "-1", "0", "3/2", "-0.47", "-0.47"),
    ("1/2", "-1", "-1/2", "3/2", "-0.43", "-0.21"),
    ("4/5", "-1", "-2/5", "7/5", "-0.53", "-0.35"),
    ("1", "-1", "-1/4", "3/2", "-0.54", "-0.34"),
    ("5/4", "-1", "-1/4", "3/2", "-0.59", "-0.33"),
    ("1", "-1", "0", "3/2", "-0.56", "-0.5"),
    ("269/200", "-249/200", "1/10", "347/200", "-0.61", "-0.42"),
)
"""For each Bernstein coefficient: a_1 to a_4 of the quartic a (a_0 follows at c = -1), and the shift s of the square
(c^2 + ... + s)^2 in a and in b. Found by semidefinite programming and rounded; the certificates are exact."""

# x^4 times it is what the second inequality needs, squared
inside = sp.expand(
    k * (4 + 2 * x**2 * (1 - c**2) - k * x**4) * (1 + 2 * x * c + x**2)
    - 4 * c**2 * (1 - c**2)
    - (1 - c**2) ** 2 * (1 + 2 * x * c + x**2)
)
DEGREE = sp.degree(inside, x)


def bernstein(polynomial: sp.Expr) -> list[sp.Expr]:
    """Coefficients p_i in sum_i p_i binomial(degree, i) (2 x)^i (1 - 2 x)^(degree - i)."""
    powers = [polynomial.coeff(x, j) / sp.Integer(2) ** j for j in range(DEGREE + 1)]
    return [
        sp.expand(sum((sp.binomial(i, j) / sp.binomial(DEGREE, j) * powers[j] for j in range(i + 1)), sp.Integer(0)))
        for i in range(DEGREE + 1)
    ]


def squares(quartic: sp.Expr, shift: sp.Rational, side: str) -> tuple[Term, ...]:
    """The fact `side` times a positive quartic in c, as three squares with positive weights."""
    top, cubic = quartic.coeff(c, 4), quartic.coeff(c, 3)
    first = c**2 + cubic / (2 * top) * c + shift
    rest = sp.expand(quartic - top * first**2)
    lead, slope = rest.coeff(c, 2), rest.coeff(c, 1)
    second = c + slope / (2 * lead)
    return (side, top, first**2), (side, lead, second**2), (side, sp.expand(rest - lead * second**2))


def coefficient(index: int, polynomial: sp.Expr) -> Step:
    """That a Bernstein coefficient is nonnegative for -1 <= c <= 1."""
    a1, a2, a3, a4, shift_a, shift_b = (sp.Rational(entry) for entry in ROWS[index])
    a0 = polynomial.subs(c, -1) / 2 + a1 - a2 + a3 - a4
    a = a0 + a1 * c + a2 * c**2 + a3 * c**3 + a4 * c**4
    b = sp.expand(sp.quo(sp.expand(polynomial - (1 - c) * a), 1 + c, c))
    by = (*squares(sp.expand(a), shift_a, "c below 1"), *squares(b, shift_b, "c above -1"))
    return Step(f"coefficient {index}", 0, "<=", polynomial, by=by, why="(1 - c) a + (1 + c) b with positive quartics")


def by_definitions(difference: sp.Expr) -> tuple[Term, ...]:
    """The multiples of the definitions that add up to the difference, by polynomial division."""
    names = {"F": slack, "B": room, "length": N, "A": A, "unit": sigma}
    facts = {given.name: given.expression for given in GIVEN}
    quotients, rest = sp.reduced(difference, [facts[name] for name in names], *names.values(), c, x)
    assert rest == 0
    return tuple((quotient, name) for name, quotient in zip(names, quotients, strict=True) if quotient != 0)


COEFFICIENTS = tuple(coefficient(i, p) for i, p in enumerate(bernstein(inside)))
INSIDE = Step(
    "inside",
    0,
    "<=",
    inside,
    by=tuple(
        (sp.binomial(DEGREE, i) * (2 * x) ** i, step.name, *("short",) * (DEGREE - i))
        for i, step in enumerate(COEFFICIENTS)
    ),
    why="nonnegative Bernstein coefficients on [0, 1/2]",
)
squared = 4 * (A + S) ** 2 - slack**2 * N**2
turn2 = (A / N - 1) ** 2 + (x * sigma / N - x * sigma) ** 2
TURN_BOUND = Step(
    "turn",
    turn2,
    "<=",
    k * x**4,
    by=(("turn, squared", 1 / (N * (2 * (A + S) + slack * N))), (-1, "F"), (-1 / N**2, "length")),
    why="||w - v - x (n - c v)|| <= 0.73 x^2; (a^2 - b^2)/(a + b) = a - b",
)
lean_squared = 4 * A**2 - room**2 * N**2
lean2 = (A / N - 1) ** 2 + (x * sigma / N) ** 2
LEAN_BOUND = Step(
    "lean",
    lean2,
    "<=",
    ell * x**2,
    by=(("lean, squared", 1 / (N * (2 * A + room * N))), (-1, "B"), (-1 / N**2, "length")),
    why="||w - v|| <= 1.04 x",
)
in_c = 4 * c**2 + 2 * m * x * c + m * (1 + x**2) - 4
STEPS: tuple[AnyStep, ...] = (
    *COEFFICIENTS,
    INSIDE,
    Step(
        "turn, squared",
        slack**2 * N**2,
        "<=",
        4 * (A + S) ** 2,
        by=(("inside", x**4), *by_definitions(sp.expand(squared - x**4 * inside))),
    ),
    TURN_BOUND,
    Step("x^2", 0, "<=", 1 - 4 * x**2, by=(("short",), ("short", 2 * x))),
    Step("leading", 0, "<", 4, by=((4,),)),
    Step("m at least 4", 4, "<=", m, by=((4 * ell - 4 - ell**2 / 4,), ("x^2", ell**2 / 4))),
    Step("m not too large", 0, "<=", 4 - m * x**2, by=((4 - ell,), ("x^2", ell), (ell**2 * x**4,))),
    Step(
        "discriminant",
        0,
        "<=",
        16 * (m * (1 + x**2) - 4) - 4 * m**2 * x**2,
        by=(("m at least 4", "m not too large", 4),),
    ),
    Quadratic("in c", in_c, c, "leading", "discriminant", why="m = 1.04^2 (4 - 1.04^2 x^2)"),
    Step(
        "lean, squared",
        room**2 * N**2,
        "<=",
        4 * A**2,
        by=(("in c", x**2), *by_definitions(sp.expand(lean_squared - x**2 * in_c))),
    ),
    LEAN_BOUND,
)

POINTS: list[Mapping[str, float]] = [{"x": value} for value in (0.05, 0.2, 0.35, 0.5)]


def _error(point: Mapping[str, float], size: float, bend: float) -> float:
    """The code's bound on the drift's error with rho = 1 and r = 0, so that each constant stands alone."""
    empty = np.zeros(0)
    return error_bound(facts_at({"rho": 1.0}), Ravine(1.0, size, 0.0, empty, empty, empty, bend, point["x"]))


def _turn(point: Mapping[str, float]) -> float:
    return _error(point, 1.0, 0.0)


def _lean(point: Mapping[str, float]) -> float:
    """delta + delta^2/2 with delta = 1.04 x."""
    return _error(point, 0.0, 1.0)


def _at(distance: sp.Rational, cosine: sp.Rational) -> dict[str, sp.Expr | int | float]:
    sine2, along = 1 - cosine**2, 1 + distance * cosine
    return {
        "x": distance,
        "c": cosine,
        "sigma": sp.sqrt(sine2),
        "A": along,
        "N": sp.sqrt(along**2 + distance**2 * sine2),
        "F": 2 + distance**2 * sine2 - k * distance**4,
        "B": 2 - ell * distance**2,
    }


derivations.add(
    Derivation(
        id="dynamics/drift-direction",
        title="How far the direction of SAM's perturbation leans, with its two constants (A7)",
        claims=("dynamics/drift",),
        given=GIVEN,
        steps=STEPS,
        conclusion="turn",
        meets=(
            Meets("0.73 x^2", sp.sqrt(k) * x**2, _turn, POINTS),
            Meets("1.04 x", sp.sqrt(ell) * x + ell * x**2 / 2, _lean, POINTS),
        ),
        twins=(
            Twin(
                "0.71 for 0.73",
                "turn",
                replace(TURN_BOUND, right=sp.Rational(71, 100) ** 2 * x**4),
                counterexample=_at(sp.Rational(1, 2), sp.Rational(-4, 5)),
            ),
            Twin(
                "1 for 1.04",
                "lean",
                replace(LEAN_BOUND, right=x**2),
                counterexample=_at(sp.Rational(1, 2), sp.Rational(-1, 2)),
            ),
            Twin(
                "x = 1",
                "inside",
                without=("short",),
                counterexample=_at(sp.Integer(1), sp.Rational(-9, 10)),
            ),
        ),
        remarks=("dynamics/drift applies it with x = xhat and n = s q/||q||, of which P n is n - c v",),
        covers="the two inequalities on directions that dynamics/drift uses, for all unit v and n and 0 <= x <= 1/2",
        latex_names={"sigma": r"\sigma"},
    )
)
