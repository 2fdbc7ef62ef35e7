"""SGD's distance to the minimiser of a strongly convex function: constant steps (B2), and steps that turn into ones of
order 1/t (B2')."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.derivation import Derivation, Given, Lemma, Meets, Monotone, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.inner_product import dot, norm2, square, vectors
from theory.setting import Facts

# -- constant steps --

gamma, mu, smooth = sp.symbols("gamma mu l", positive=True)
noise, D_gap, r0 = sp.symbols("sigma2 D r0", nonnegative=True)
power = sp.Symbol("q_t", nonnegative=True)  # (1 - gamma mu)^t
z, F, g, at_minimiser = vectors("z F g g*")  # x - x*; grad f; grad f_v(x); grad f_v(x*)
r, r_next = norm2(z), norm2(z - gamma * g)
N = 2 * gamma * noise / mu

DISTANCE = (
    Given("unbiased", dot(z, g) - dot(z, F), "=", "definition", "E grad f_v = grad f, and x is fixed"),
    Given(
        "strong convexity",
        dot(z, F) - D_gap - mu / 2 * r,
        ">=",
        "hypothesis",
        "f* >= f(x) + <grad f(x), x* - x> + mu/2 ||x - x*||^2",
    ),
    Given(
        "expected smoothness",
        2 * smooth * D_gap - norm2(g - at_minimiser),
        ">=",
        "hypothesis",
        "E||grad f_v(x) - grad f_v(x*)||^2 <= 2 l (f(x) - f*)",
    ),
    Given("noise", noise - norm2(at_minimiser), "=", "definition", "sigma^2 = E||grad f_v(x*)||^2"),
)
ONE_STEP = (
    Step(
        "second moment",
        norm2(g),
        "<=",
        4 * smooth * D_gap + 2 * noise,
        by=((square(g - 2 * at_minimiser),), (2, "expected smoothness"), (2, "noise")),
        why="||g||^2 <= 2 ||g - g*||^2 + 2 ||g*||^2",
    ),
    Step(
        "one step",
        r_next,
        "<=",
        (1 - gamma * mu) * r + 2 * gamma**2 * noise,
        by=(
            (2 * gamma, "unbiased"),
            (2 * gamma, "strong convexity"),
            (gamma**2, "second moment"),
            (2 * gamma, "step limit", D_gap),
        ),
    ),
)
CONSTANT = (
    *ONE_STEP,
    Step(
        "iteration",
        (1 - gamma * mu) * (power * r0 + N) + 2 * gamma**2 * noise,
        "=",
        (1 - gamma * mu) * power * r0 + N,
        why="the bound at t + 1 follows from that at t, as 1 - gamma mu >= 0",
    ),
    Step(
        "PL",
        2 * mu * D_gap,
        "<=",
        norm2(F),
        by=((square(F - mu * z),), (2 * mu, "strong convexity")),
        why="strong convexity gives the Polyak-Lojasiewicz inequality",
    ),
    Step(
        "mu below l",
        2 * mu * D_gap,
        "<=",
        2 * smooth * D_gap,
        by=(("PL",), ("expected smoothness",), (square(g - at_minimiser - F),), (2, "mean of the difference")),
        why="||grad f||^2 is the squared mean of g - g*; so mu <= l where D > 0",
    ),
    Step(
        "contraction factor",
        gamma * mu * D_gap,
        "<=",
        D_gap / 2,
        by=((D_gap / 2, "step limit"), (gamma / 2, "mu below l")),
        why="gamma mu <= 1/2",
    ),
)
STEP_LIMIT = Given("step limit", 1 - 2 * smooth * gamma, ">=", "hypothesis", "gamma <= 1/(2 l)")


def _sgd_facts(point: Mapping[str, float]) -> Facts:
    return facts_at(
        point,
        expected_smoothness=point["l"],
        noise=point["sigma2"],
        distance2_0=point["r0"],
    )


def _curve(claim: str, point: Mapping[str, float]) -> float:
    curve = claims[claim].curve
    assert curve is not None
    return float(curve(_sgd_facts(point), np.array([int(point["t"])]), {})[0])


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(8)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        size = rng.uniform(1, 4)
        found.append(
            {
                "l": size,
                "mu": rng.uniform(0.1, 1),
                "gamma": rng.uniform(0.1, 1) / (2 * size),
                "t": 1.0,
                "q_t": 1.0,
                "sigma2": rng.uniform(0, 3),
                "r0": rng.uniform(0, 5),
            }
        )
    return found  # fmt: skip


COIN_AT_MINIMISER = {
    "gamma": sp.Rational(1, 2), "mu": 1, "l": 1, "sigma2": 2, "D": 0, "r0": 0, "q_t": 0,
    "z": (0, 0), "F": (0, 0), "g": (1, -1), "g*": (1, -1),
}  # fmt: skip
"""Parabolas that differ by slopes, at the minimiser; coordinates are values times the root of the probability."""

LATEX = {
    "z": "(x-x^*)", "F": r"\nabla f", "g": r"\nabla f_v", "g*": r"\nabla f_v(x^*)", "l": r"\mathcal L",
    "sigma2": r"\sigma^2", "r0": r"\|x_0-x^*\|^2", "q_t": "q^t",
}  # fmt: skip

derivations.add(
    Derivation(
        id="sgd/constant-step",
        title="SGD's distance to the minimiser, constant step (B2)",
        claims=("sgd/constant-step",),
        given=(
            *DISTANCE,
            Given(
                "mean of the difference",
                dot(F, g - at_minimiser) - norm2(F),
                "=",
                "definition",
                "E grad f_v(x) = grad f(x) and E grad f_v(x*) = 0",
            ),
            STEP_LIMIT,
        ),
        steps=CONSTANT,
        conclusion="one step",
        meets=(
            Meets(
                "bound at t = 1",
                (1 - gamma * mu) * power * r0 + N,
                lambda point: _curve("sgd/constant-step", point),
                _points(),
            ),
            Meets(
                "step limit",
                1 / (2 * smooth),
                lambda point: next(h for h in claims["sgd/constant-step"].hypotheses if h.step_limit)
                .find(_sgd_facts(point))
                .limit,
                _points(),
            ),
        ),
        twins=(
            Twin(
                "a noise factor of 0.1",
                "one step",
                replace(ONE_STEP[1], right=(1 - gamma * mu) * r + gamma**2 * noise / 10),
                counterexample=COIN_AT_MINIMISER,
            ),
            Twin(
                "twice the rate",
                "one step",
                replace(ONE_STEP[1], right=(1 - 2 * gamma * mu) * r + 2 * gamma**2 * noise),
                # gradient descent on x^2/2 with a quarter step
                counterexample={
                    "gamma": sp.Rational(1, 4), "mu": 1, "l": 1, "sigma2": 0, "D": sp.Rational(1, 2), "r0": 0, "q_t": 0,
                    "z": (1,), "F": (1,), "g": (1,), "g*": (0,),
                },
            ),
            Twin("without gamma <= 1/(2 l)", "one step", without=("step limit",)),
        ),
        remarks=(
            "Strong quasi-convexity about x* is all that is used of strong convexity.",
            "sigma^2 = 0 is included.",
        ),
        covers="one step, its range, the fixed point 2 gamma sigma^2/mu and mu <= l; l itself is "
        "sgd/expected-smoothness",
        latex_names=LATEX,
    )
)  # fmt: skip

# -- constant steps, then steps of order 1/t --

t, c, s = sp.symbols("t c s", positive=True)  # c = ceil(l/mu)
first = 4 * c
tail = 8 * noise / mu**2
head = first**2 * (power * r0 + noise / (smooth * mu))


def _bound(time: sp.Expr) -> sp.Expr:
    """What the telescoped sum gives at a time >= 4 c."""
    return (head + (time - first) * tail) / time**2


stated = tail / t + (first / t) ** 2 * sp.exp(-2) * r0

SWITCHED = (
    Step(
        "step of order 1/t",
        gamma * mu * (t + 1),
        "<=",
        2,
        by=((-1 / (t + 1), "schedule"), (1 / (t + 1),)),
    ),
    Step(
        "step limit",
        2 * smooth * gamma,
        "<=",
        1,
        by=(
            (sp.Rational(1, 2), "step of order 1/t"),
            (gamma * mu / 2, "after the switch"),
            (gamma * mu / 2,),
            (2 * gamma, "c is at least l/mu"),
        ),
        why="from t = 4 c on the decreasing steps are admissible",
    ),
    *ONE_STEP,
    Step("contraction", (t + 1) ** 2 * (1 - gamma * mu), "=", t**2, by=(("schedule",),)),
    Step(
        "telescoping",
        (t + 1) ** 2 * r_next,
        "<=",
        t**2 * r + tail,
        by=(
            ((t + 1) ** 2, "one step"),
            (r, "contraction"),
            (2 * noise / mu**2, "step of order 1/t", 2 + gamma * mu * (t + 1)),
        ),
    ),
    Step(
        "iteration",
        t**2 * _bound(t) + tail,
        "=",
        (t + 1) ** 2 * _bound(t + 1),
        why="the bound at t + 1 follows from that at t",
    ),
    Step(
        "at the switch",
        (_bound(t) * t**2).subs(t, first),
        "=",
        first**2 * (power * r0 + 2 * (1 / (2 * smooth)) * noise / mu),
        why="what 4 c steps of 1/(2 l) give, by the iteration of sgd/constant-step",
    ),
    Step("order of the exponents", 1, "<=", c * mu / smooth, by=((1 / smooth, "c is at least l/mu"),)),
    Step("slope of -exp(-2 s)", 0, "<=", 2 * sp.exp(-2 * s), by=((2 * sp.exp(-2 * s),),)),
    Monotone(
        "exp(-2)",
        -sp.exp(-2 * s),
        s,
        1,
        c * mu / smooth,
        "slope of -exp(-2 s)",
        "order of the exponents",
    ),
    Step(
        "noise of the constant phase",
        first**2 * noise / (smooth * mu),
        "<=",
        first * tail,
        by=(
            (16 * c * noise / (smooth * mu**2), "c is at most l/mu + 1"),
            (16 * c * noise / (smooth * mu**2), "mu below l"),
        ),
        why="c <= 2 l/mu",
    ),
    Step(
        "statement",
        _bound(t),
        "<=",
        stated,
        by=(
            (1 / t**2, "noise of the constant phase"),
            (first**2 * r0 / t**2, "powers below exponentials"),
            (first**2 * r0 / t**2, "exp(-2)"),
        ),
    ),
)


def _switched_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(9)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        size, strong = rng.uniform(1, 4), rng.uniform(0.1, 1)
        count = math.ceil(size / strong)
        found.append(
            {
                "l": size,
                "mu": strong,
                "c": float(count),
                "t": float(4 * count + rng.integers(0, 500)),
                "sigma2": rng.uniform(0, 3),
                "r0": rng.uniform(0, 5),
            }
        )
    return found  # fmt: skip


derivations.add(
    Derivation(
        id="sgd/decreasing-step",
        title="SGD's distance to the minimiser, constant and then decreasing steps (B2')",
        claims=("sgd/decreasing-step",),
        given=(
            *DISTANCE,
            Given("c is at least l/mu", mu * c - smooth, ">=", "definition", "c = ceil(l/mu)"),
            Given("c is at most l/mu + 1", smooth + mu - mu * c, ">=", "definition", "c = ceil(l/mu)"),
            Given(
                "mu below l",
                smooth - mu,
                ">=",
                "lemma",
                "sgd/constant-step has it times D, which is positive somewhere",
                lemma=Lemma(
                    "sgd/constant-step",
                    "mu below l",
                    granted={
                        "strong convexity": "f is mu-strongly convex here too",
                        "expected smoothness": "with the same l",
                    },
                ),
            ),
            Given("after the switch", t - first, ">=", "hypothesis", "t >= 4 c"),
            Given(
                "schedule",
                gamma * mu * (t + 1) ** 2 - (2 * t + 1),
                "=",
                "hypothesis",
                "gamma_t = (2t + 1)/((t + 1)^2 mu) for t >= 4 c",
            ),
            Given(
                "powers below exponentials",
                sp.exp(-2 * c * mu / smooth) - power,
                ">=",
                "standard",
                "q = (1 - mu/(2 l))^(4 c) and 1 - x <= exp(-x)",
            ),
        ),
        steps=SWITCHED,
        conclusion="statement",
        meets=(
            Meets("statement", stated, lambda point: _curve("sgd/decreasing-step", point), _switched_points()),
            Meets(
                "switch",
                1 / (2 * smooth),
                lambda point: float(
                    claims["sgd/decreasing-step"].suggest(_sgd_facts(point), 1.0, 1.0)[0].at(0)
                ),
                _switched_points(),
            ),
        ),
        twins=(
            Twin(
                "a factor of 0.8 in place of 8",
                "telescoping",
                replace(SWITCHED[5], right=t**2 * r + tail / 10),
                counterexample=COIN_AT_MINIMISER
                | {"gamma": sp.Rational(9, 25), "t": 4, "c": 1, "sigma2": 2, "q_t": 0, "s": 1},
            ),
            Twin("decreasing steps from the start", "step limit", without=("after the switch",)),
            Twin("without mu <= l", "noise of the constant phase", without=("mu below l",)),
        ),
        remarks=(
            "One more constant step, at t = 4 c, would need 4 c + 1 <= 8 l/mu, untrue for 1 < l/mu < 9/8.",
            "sigma^2 = 0 is included.",
        ),
        covers="both phases, the telescoping of t^2 E||x_t - x*||^2 and the statement; the constant phase itself is "
        "the iteration of sgd/constant-step",
        latex_names=LATEX | {"gamma": r"\gamma_t", "q_t": "q", "c": r"\lceil\kappa\rceil"},
    )
)  # fmt: skip
