"""The exact worst-case factor of unnormalised SAM on strongly convex functions: three ranges of steps, and quadratics.

phi = f - mu ||x - x*||^2/2 is convex and M-smooth, M = L - mu, with gradient G = g - mu x (x* = 0 and f* = 0
throughout). With E = (grad phi(x + rho g) - G)/rho the sampled gradient is h = (1 + mu rho) g + rho E; at rho = 0 any E
with the stated property serves, E = 0 for one. The proofs add up four inequalities that every such function obeys, with
multipliers first seen in the dual solutions of performance estimation; what is left over is a sum of squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.claims.usam_factor import best_step, factor
from theory.derivation import AnyStep, Derivation, Given, Induction, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.inner_product import dot, norm2, square, vectors

half = sp.Rational(1, 2)
gamma, mu, M = sp.symbols("gamma mu M", positive=True)
rho, D, D_next, D0 = sp.symbols("rho D D_next D0", nonnegative=True)
power = sp.Symbol("q_t", nonnegative=True)
x, G, E, P = vectors("x G E P")
"""x - x*; grad phi(x); (grad phi(x + rho g) - G)/rho; grad phi(x+)."""

L = mu + M
g = G + mu * x
s, r = 1 + L * rho, 1 + mu * rho
h = r * g + rho * E
x_next = x - gamma * h
U, Z = M * x - G, M * g - E
"""M x - grad phi(x) and M g - E: both 0 on L x^2/2, as G and E are on mu x^2/2."""

FLAT = gamma * mu * r
STEEP = gamma * L * s
"""1 - FLAT and 1 - STEEP are what a step multiplies x by on mu x^2/2 and on L x^2/2."""

phi, phi_next = D - mu / 2 * norm2(x), D_next - mu / 2 * norm2(x_next)

AT_X = Given(
    "from x to x*",
    dot(G, x) - phi - norm2(G) / (2 * M),
    ">=",
    "standard",
    "phi is convex and M-smooth: phi(x*) >= phi(x) + <G, x* - x> + ||G||^2/(2 M)",
)
AT_NEXT = Given(
    "from x+ to x*",
    dot(P, x_next) - phi_next - norm2(P) / (2 * M),
    ">=",
    "standard",
    "the same between x* and x+",
)
BETWEEN = Given(
    "from x+ to x",
    phi - phi_next - dot(P, x - x_next) - norm2(G - P) / (2 * M),
    ">=",
    "standard",
    "the same between x and x+",
)
LEAST = Given("at x", phi - norm2(G) / (2 * M), ">=", "standard", "phi(x) >= phi(x*) + ||G||^2/(2 M)")
PERTURBED = Given(
    "cocoercive",
    dot(E, g) - norm2(E) / M,
    ">=",
    "standard",
    "phi is convex and M-smooth: <rho E, rho g> >= ||rho E||^2/M between x and x + rho g",
)


def _one_step(name: str, q: sp.Expr, by: tuple[Any, ...], why: str) -> Step:
    return Step(name, D_next, "<=", q * D, by=by, why=why)


def _iterated(a: sp.Expr, base: str) -> Step:
    return Step(
        "iteration",
        D_next,
        "<=",
        a**2 * power * D0,
        by=((base,), (a**2, "so far")),
        why="and 1 = q^0 at t = 0",
    )


def _so_far(a: sp.Expr) -> Given:
    """D_t <= a^(2 t) D_0."""
    return Given(
        "so far",
        power * D0 - D,
        ">=",
        "induction",
        "the induction: D_t <= q^t D_0",
        Induction("iteration", next={D: D_next, power: a**2 * power}, start={D: D0, power: 1}),
    )


# -- short steps: mu decides --

a_short = 1 - FLAT
SHORT_GIVEN = (
    AT_X,
    AT_NEXT,
    BETWEEN,
    PERTURBED,
    Given("short", 2 - STEEP - FLAT, ">=", "hypothesis", "gamma L (1 + rho L) + gamma mu (1 + rho mu) <= 2"),
    _so_far(a_short),
)
SHORT_STEP = _one_step(
    "one step",
    a_short**2,
    (
        ("a >= 0", "from x+ to x"),
        ("a >= 0", FLAT, "from x to x*"),
        (FLAT, "from x+ to x*"),
        ("a >= 0", gamma * rho, "cocoercive"),
        (1 / (2 * M), square(P - M * x_next + a_short * (M * x - G))),
        (gamma * r * L / (2 * M), "short", square(G)),
        (gamma * rho / (2 * M), "short", square(E)),
        (gamma**2 * rho * r / 2, square(L * G - E)),
    ),
    "multipliers a, a (1 - a), 1 - a and a gamma rho; x drops out of what is left",
)
SHORT_STEPS: tuple[AnyStep, ...] = (
    Step(
        "a >= 0",
        0,
        "<=",
        a_short,
        by=((half, "short"), (half, gamma * M * (1 + rho * (L + mu)))),
        why="L (1 + rho L) - mu (1 + rho mu) = M (1 + rho (L + mu))",
    ),
    Step(
        "the larger factor",
        (1 - STEEP) ** 2,
        "<=",
        a_short**2,
        by=(("short", gamma * M * (1 + rho * (L + mu))),),
        why="so that q = (1 - gamma mu (1 + rho mu))^2",
    ),
    SHORT_STEP,
    _iterated(a_short, "one step"),
)

# -- long steps: L decides --

a_long = STEEP - 1
LONG_GIVEN = (
    AT_X,
    AT_NEXT,
    BETWEEN,
    PERTURBED,
    Given("long", STEEP + FLAT - 2, ">=", "hypothesis", "gamma L (1 + rho L) + gamma mu (1 + rho mu) >= 2"),
    Given("in the range", 2 - STEEP, ">=", "hypothesis", "gamma L (1 + rho L) <= 2"),
    _so_far(a_long),
)
LONG_STEP = _one_step(
    "one step",
    a_long**2,
    (
        ("a >= 0", "from x+ to x"),
        ("a >= 0", "in the range", "from x to x*"),
        ("in the range", "from x+ to x*"),
        ("a >= 0", gamma * rho, "cocoercive"),
        (1 / (2 * M), square(P - M * x_next + a_long * (M * x - G))),
        (1 / (2 * M), "in the range", "long", square(U)),
        (gamma * rho / (2 * M), "long", square(Z)),
        (gamma * rho / (2 * mu), "in the range", square(mu * U - Z)),
        (gamma * rho / (2 * mu), "long", square(Z)),
    ),
    "the same multipliers; in U and Z, which vanish on L x^2/2, x drops out again",
)
LONG_STEPS: tuple[AnyStep, ...] = (
    Step(
        "a >= 0",
        0,
        "<=",
        a_long,
        by=((half, "long"), (half, gamma * M * (1 + rho * (L + mu)))),
    ),
    Step(
        "the larger factor",
        (1 - FLAT) ** 2,
        "<=",
        a_long**2,
        by=(("long", gamma * M * (1 + rho * (L + mu))),),
        why="so that q = (1 - gamma L (1 + rho L))^2",
    ),
    LONG_STEP,
    _iterated(a_long, "one step"),
)

# -- beyond the range: f may grow, by this factor at most --

BEYOND_GIVEN = (
    LEAST,
    BETWEEN,
    PERTURBED,
    Given("beyond", STEEP - 2, ">=", "hypothesis", "gamma L (1 + rho L) >= 2"),
    _so_far(a_long),
)
BEYOND_STEP = _one_step(
    "one step",
    a_long**2,
    (
        ("from x+ to x",),
        ("beyond", STEEP, "at x"),
        ("beyond", gamma * rho, "cocoercive"),
        (gamma * rho, "cocoercive"),
        (1 / (2 * M), square(P - M * x_next + U)),
        (gamma * mu * s / (2 * M), "beyond", square(U)),
        (gamma * rho / (2 * M), "beyond", square(Z)),
        (gamma**2 * rho * L * r / (2 * M), square(Z)),
    ),
    "multipliers 1, a^2 - 1 = (a - 1)(a + 1) and a gamma rho",
)
BEYOND_STEPS: tuple[AnyStep, ...] = (
    Step(
        "the larger factor",
        (1 - FLAT) ** 2,
        "<=",
        a_long**2,
        by=(
            ("beyond", gamma * M * (1 + rho * (L + mu))),
            (FLAT, gamma * M * (1 + rho * (L + mu))),
        ),
        why="so that q = (1 - gamma L (1 + rho L))^2, at least 1",
    ),
    BEYOND_STEP,
    _iterated(a_long, "one step"),
)

# -- meeting the code, and the faults that a careless author makes --

LATEX = {"D": "D_t", "D_next": "D_{t+1}", "q_t": "q^t", "D0": "D_0", "P": "P"}
ID = "usam/strongly-convex-factor"


def _points(seed: int, low: float, high: float) -> list[dict[str, float]]:
    """Steps at parts (low, high) of 2/(L (1 + rho L)); the first without a radius."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, float]] = []
    for index in range(5):
        mu_, M_ = rng.uniform(0.05, 0.5), rng.uniform(0.5, 2)
        L_ = mu_ + M_
        rho_ = 0.0 if index == 0 else float(10 ** rng.uniform(-1.5, 1)) / L_
        found.append(
            {
                "mu": mu_, "M": M_, "L": L_, "rho": rho_, "gamma": rng.uniform(low, high) * 2 / (L_ * (1 + L_ * rho_)),
                "D": rng.uniform(0, 5), "D0": rng.uniform(0.1, 5),
            }
        )  # fmt: skip
    return found


def _code_step(point: Mapping[str, float]) -> float:
    rule = claims[ID].one_step
    assert rule is not None
    return float(rule(facts_at(point), np.array([point["D"]]), np.array([0.0]), 0, {})[0])


def _code_curve(point: Mapping[str, float]) -> float:
    rule = claims[ID].curve
    assert rule is not None
    return float(rule(facts_at(point), np.array([3]), {})[0])


def _meets(a: sp.Expr, points: list[dict[str, float]]) -> tuple[Meets, ...]:
    return (
        Meets("factor", a**2, lambda point: factor(facts_at(point)), points),
        Meets("one step", a**2 * D, _code_step, points),
        Meets("bound at t = 3", a**6 * D0, _code_curve, points),
    )


def _on_a_parabola(curvature: str, **steps: sp.Expr | int) -> dict[str, Any]:
    """f = l x^2/2 at x = 1 with l one end of [1/2, 1]: every symbol and vector of the derivations."""
    low, width = half, half
    size = low if curvature == "mu" else low + width
    multiplier = 1 - steps["gamma"] * size * (1 + size * steps["rho"])
    own = size - low
    return {
        "mu": low, "M": width, **steps, "D": size / 2, "D_next": size / 2 * multiplier**2, "x": (1,), "G": (own,),
        "E": (own * size,), "P": (own * multiplier,), "q_t": 1, "D0": size / 2,
    }  # fmt: skip


SHORT_POINT = _on_a_parabola("mu", gamma=half, rho=1)
LONG_POINT = _on_a_parabola("L", gamma=sp.Rational(9, 10), rho=1)
BEYOND_POINT = _on_a_parabola("L", gamma=sp.Rational(6, 5), rho=1)

derivations.add(
    Derivation(
        id=ID,
        title="Unnormalised SAM on strongly convex functions: the exact factor, short steps",
        claims=(ID,),
        given=SHORT_GIVEN,
        steps=SHORT_STEPS,
        conclusion="one step",
        meets=_meets(a_short, _points(0, 0.05, 0.45)),
        twins=(
            Twin(
                "a hundredth faster",
                "one step",
                replace(SHORT_STEP, right=a_short**2 * D * sp.Rational(99, 100)),
                counterexample=SHORT_POINT,
            ),
            Twin(
                "the rate of gradient descent",
                "one step",
                replace(SHORT_STEP, right=(1 - gamma * L) ** 2 * D),
                counterexample=SHORT_POINT,
            ),
            Twin("longer steps", "a >= 0", without=("short",)),
        ),
        remarks=(
            "Valid for every rho >= 0: nothing divides by rho. Short steps have gamma L (1 + rho L) < 2.",
            "mu = L leaves f = f* + L ||x - x*||^2/2 only, where a step multiplies x - x* by 1 - gamma L (1 + rho L).",
        ),
        covers="one step and its iteration where gamma L (1 + rho L) + gamma mu (1 + rho mu) <= 2; longer steps are "
        "usam/strongly-convex-factor-long and -beyond, attainment is usam/strongly-convex-factor-quadratics",
        latex_names=LATEX,
    )
)

derivations.add(
    Derivation(
        id=f"{ID}-long",
        title="Unnormalised SAM on strongly convex functions: the exact factor, long steps",
        claims=(ID,),
        given=LONG_GIVEN,
        steps=LONG_STEPS,
        conclusion="one step",
        meets=_meets(a_long, _points(1, 0.95, 0.999)),
        twins=(
            Twin(
                "a hundredth faster",
                "one step",
                replace(LONG_STEP, right=a_long**2 * D * sp.Rational(99, 100)),
                counterexample=LONG_POINT,
            ),
            Twin(
                "the factor of mu for long steps too",
                "one step",
                replace(LONG_STEP, right=a_short**2 * D),
                counterexample=LONG_POINT,
            ),
        ),
        covers="one step and its iteration from the step at which both ends of [mu, L] have the same factor up to "
        "gamma L (1 + rho L) = 2",
        latex_names=LATEX,
    )
)

derivations.add(
    Derivation(
        id=f"{ID}-beyond",
        title="Unnormalised SAM on strongly convex functions: the exact factor beyond the range",
        claims=(ID,),
        given=BEYOND_GIVEN,
        steps=BEYOND_STEPS,
        conclusion="one step",
        meets=_meets(a_long, _points(2, 1.01, 3)),
        twins=(
            Twin(
                "f does not grow",
                "one step",
                replace(BEYOND_STEP, right=D),
                counterexample=BEYOND_POINT,
            ),
        ),
        remarks=("No hypothesis limits the steps here: with the other two ranges the factor holds for all of them.",),
        covers="the same inequality for steps with which f may grow: by this factor at most, and no smaller one",
        latex_names=LATEX,
    )
)

# -- quadratics: what is attained, and the best step --

ell, v = sp.symbols("l v", nonnegative=True)  # an eigenvalue; a coordinate of x in its eigenvector, squared
q = sp.Symbol("q", nonnegative=True)
S = sp.Symbol("S", positive=True)  # gamma of the best step
k = 1 - gamma * ell * (1 + ell * rho)
WIDE = gamma * M * (1 + rho * (L + mu))
"""STEEP - FLAT."""

QUADRATIC_STEPS: tuple[AnyStep, ...] = (
    Step(
        "above",
        0,
        "<=",
        k - (1 - STEEP),
        by=((gamma * (1 + rho * (L + ell)), "l <= L"),),
        why="gamma l (1 + rho l) grows with l",
    ),
    Step("below", 0, "<=", (1 - FLAT) - k, by=((gamma * (1 + rho * (mu + ell)), "l >= mu"),)),
    Step(
        "one coordinate",
        half * ell * v * k**2,
        "<=",
        q * half * ell * v,
        by=(
            (half * ell * v / WIDE, "above", "q at mu"),
            (half * ell * v / WIDE, "below", "q at L"),
            (half * ell * v, "above", "below"),
        ),
        why="f is the sum of l v/2 over the eigenvectors, and a step multiplies v by k^2, convex in k",
    ),
    Step(
        "attained at mu",
        half * mu * (1 - gamma * (mu + rho * mu**2)) ** 2 * v,
        "=",
        (1 - FLAT) ** 2 * (half * mu * v),
        why="mu x^2/2: no smaller factor will do",
    ),
    Step(
        "attained at L",
        half * L * (1 - gamma * (L + rho * L**2)) ** 2 * v,
        "=",
        (1 - STEEP) ** 2 * (half * L * v),
    ),
    Step(
        "the best step",
        (1 - L * s * S) ** 2,
        "=",
        (1 - mu * r * S) ** 2,
        by=(("best", (mu * r - L * s) * S),),
        why="it makes both ends of [mu, L] equally bad",
    ),
)

derivations.add(
    Derivation(
        id=f"{ID}-quadratics",
        title="Unnormalised SAM on quadratics: the factor by eigenvalues, and that it is attained",
        claims=(ID,),
        given=(
            Given("l <= L", mu + M - ell, ">=", "definition", "l is an eigenvalue of the Hessian, at most L"),
            Given("l >= mu", ell - mu, ">=", "definition", "and at least mu"),
            Given("q at mu", q - (1 - FLAT) ** 2, ">=", "definition", "q is the larger of two numbers: this one"),
            Given("q at L", q - (1 - STEEP) ** 2, ">=", "definition", "and this one"),
            Given(
                "best", S * (L * s + mu * r) - 2, "=", "definition", "S = 2/(L (1 + rho L) + mu (1 + rho mu))"
            ),
        ),
        steps=QUADRATIC_STEPS,
        conclusion="one coordinate",
        meets=(
            Meets(
                "factor",
                sp.Max((1 - FLAT) ** 2, (1 - STEEP) ** 2),
                lambda point: factor(facts_at(point)),
                _points(3, 0.05, 1.2),
            ),
            Meets("best step", 2 / (L * s + mu * r), lambda point: best_step(facts_at(point)), _points(4, 0.1, 0.9)),
        ),
        twins=(
            Twin(
                "the steepest direction decides, always",
                "one coordinate",
                replace(QUADRATIC_STEPS[2], right=half * ell * v * (1 - STEEP) ** 2),
                counterexample={
                    "mu": half, "M": half, "gamma": half, "rho": 1, "l": half, "v": 1, "q": sp.Rational(25, 64),
                    "S": sp.Rational(8, 11),
                },
            ),
            Twin("an eigenvalue beyond L", "above", without=("l <= L",)),
        ),
        covers="the factor on every quadratic with eigenvalues in [mu, L]; that both numbers of which it is the larger "
        "are attained; the step at which they agree",
        latex_names={"l": r"\ell", "S": r"\gamma^*"},
    )
)  # fmt: skip
