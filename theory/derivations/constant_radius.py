"""Deterministic SAM with a constant radius: four theorems from one descent lemma (E1, E2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.derivation import Derivation, Given, Induction, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.inner_product import dot, norm2, square, vectors

gamma, mu, L, b = sp.symbols("gamma mu L b", positive=True)  # b = 2 - gamma L
rho = sp.Symbol("rho", nonnegative=True)
D, D_next, D0, N, power = sp.symbols("D D_next D0 N q_t", nonnegative=True)  # q_t: the rate's factor to the t
S, T = sp.symbols("S T", nonnegative=True)  # sum_{t < T} ||grad f(x_t)||^2: the step after it is the last
g, e = vectors("g e")  # grad f(x); grad f(x + rho g/||g||) - g

error = L**3 * gamma**2 * rho**2 / 2  # of a step, convex
rough = gamma * L**2 * rho**2 / 2  # of a step, without convexity

DESCENT = Given(
    "descent lemma",
    D - gamma * dot(g, g + e) + L * gamma**2 / 2 * norm2(g + e) - D_next,
    ">=",
    "standard",
    "f is L-smooth; D = f(x) - f*",
)
LIPSCHITZ = Given(
    "smooth",
    L**2 * rho**2 - norm2(e),
    ">=",
    "hypothesis",
    "grad f is L-Lipschitz, and the perturbation has length rho or 0",
)
SHORT = Given("step range", 1 - gamma * L, ">=", "hypothesis", "gamma <= 1/L")
MONOTONE = Given(
    "convex", dot(g, e), ">=", "standard", "grad f is monotone: e times the perturbation, which is along g, is >= 0"
)
PL = Given("PL", norm2(g) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL")
WIDTH = Given("b", b - 2 + gamma * L, "=", "definition", "b = 2 - gamma L, at least 1")

CONVEX_STEP = Step(
    "convex step",
    D_next,
    "<=",
    D - gamma * b / 2 * norm2(g) + error,
    by=(
        ("descent lemma",),
        (gamma, "step range", "convex"),
        (L * gamma**2 / 2, "smooth"),
        (-gamma / 2 * norm2(g), "b"),
    ),
)
ROUGH_STEP = Step(
    "any step",
    D_next,
    "<=",
    D - gamma / 2 * norm2(g) + rough,
    by=(("descent lemma",), (gamma / 2, "step range", square(g + e)), (gamma / 2, "smooth")),
    why="-<g, e> <= (||g||^2 + ||e||^2)/2",
)


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(8)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        point = {"L": rng.uniform(0.5, 3), "rho": rng.uniform(0, 1), "D": rng.uniform(0, 2), "D0": rng.uniform(0, 2)}
        # f is PL, so that ||grad f||^2 is at least 2 mu D; the curve is asked at T + 1.
        point |= {"mu": rng.uniform(0.1, 1) * point["L"], "gamma": rng.uniform(0.1, 1) / point["L"], "T": 6.0}
        found.append(point | {"|g|^2": rng.uniform(0, 4), "b": 2 - point["gamma"] * point["L"]})
    return found


POINTS = _points()
Code = Callable[[Mapping[str, float]], float]


def _one_step(name: str) -> Code:
    """The inequality that the claim iterates, at D and ||g||^2."""

    def code(point: Mapping[str, float]) -> float:
        one_step = claims[f"constant-radius/{name}"].one_step
        assert one_step is not None
        return float(one_step(facts_at(point), np.array([point["D"]]), np.array([point["|g|^2"]]), 0, {})[0])

    return code


def _curve(name: str, t: int) -> Code:
    """The claim's bound at time t from D0."""

    def code(point: Mapping[str, float]) -> float:
        curve = claims[f"constant-radius/{name}"].curve
        assert curve is not None
        return float(curve(facts_at(point), np.array([t]), {})[0])

    return code


LATEX = {"D": "D_t", "D_next": "D_{t+1}", "D0": "D_0", "g": "g", "e": "e", "S": r"\sum_{t<T}\|g_t\|^2", "rho": r"\rho"}

# x^2/2 with gamma = 1 and rho = 1: SAM jumps between +1 and -1.
PARABOLA = {
    "gamma": 1, "L": 1, "mu": 1, "rho": 1, "b": 1, "D": sp.Rational(1, 2), "D_next": sp.Rational(1, 2), "g": (1,),
    "e": (1,), "N": sp.Rational(1, 2), "D0": sp.Rational(1, 2), "q_t": 0, "T": 1, "S": 1,
}  # fmt: skip
# x^2/2 with gamma = 9/5: the cycle has the radius 9, and the step range is what keeps this out.
LONG_STEP = PARABOLA | {
    "gamma": sp.Rational(9, 5), "b": sp.Rational(1, 5), "D": sp.Rational(81, 2), "D_next": sp.Rational(81, 2),
    "g": (9,), "N": sp.Rational(9, 2), "D0": sp.Rational(81, 2), "T": 1, "S": 0,
}  # fmt: skip
# The perturbed point is stationary: SAM does not move, although ||grad f|| = L rho. Not convex there.
STUCK = PARABOLA | {"gamma": sp.Rational(1, 2), "b": sp.Rational(3, 2), "e": (-1,), "N": sp.Rational(1, 6), "S": 0}

# -- strongly convex --

factor = 1 - mu * gamma * b
STRONG = Step(
    "one step",
    D_next,
    "<=",
    factor * D + error,
    by=(("convex step",), (gamma * b / 2, "PL")),
)
STRONG_STEPS = (
    CONVEX_STEP,
    STRONG,
    Step(
        "rate",
        0,
        "<=",
        factor,
        by=(((1 - gamma * L) ** 2,), (gamma * b, "mu at most L"), (-gamma * L, "b")),
        why="so the bound at t may be inserted in the step",
    ),
    Step(
        "iteration",
        factor * (power * D0 + N) + error,
        "=",
        factor * power * D0 + N,
        by=((gamma / 2, "fixed point"),),
        why="the bound at t + 1 follows from that at t",
    ),
)
FIXED = Given(
    "fixed point", 2 * mu * b * N - gamma * L**3 * rho**2, "=", "definition", "N = gamma L^3 rho^2/(2 mu (2 - gamma L))"
)

derivations.add(
    Derivation(
        id="constant-radius/strongly-convex",
        title="SAM never diverges on a convex PL function, whatever its radius (E1)",
        claims=("constant-radius/strongly-convex",),
        given=(
            DESCENT,
            MONOTONE,
            LIPSCHITZ,
            SHORT,
            PL,
            WIDTH,
            Given("mu at most L", L - mu, ">=", "standard", "2 mu D <= ||grad f||^2 <= 2 L D"),
            FIXED,
        ),
        steps=STRONG_STEPS,
        conclusion="one step",
        meets=(
            Meets("one step", factor * D + error, _one_step("strongly-convex"), POINTS),
            Meets(
                "bound at t = 1",
                factor * D0 + gamma * L**3 * rho**2 / (2 * mu * (2 - gamma * L)),
                _curve("strongly-convex", 1),
                POINTS,
            ),
        ),
        twins=(
            Twin(
                "nine tenths of the error",
                "one step",
                replace(STRONG, right=factor * D + sp.Rational(9, 10) * error),
                counterexample=PARABOLA,
            ),
            Twin("gamma beyond 1/L", "convex step", without=("step range",), counterexample=LONG_STEP),
            Twin("not convex", "convex step", without=("convex",), counterexample=STUCK),
            Twin("without PL", "one step", without=("PL",)),
        ),
        remarks=("rho = 0, or g = 0 where nothing is perturbed, is included: then e = 0",),
        covers="the one-step inequality that the code iterates, for every rho, and its fixed point",
        latex_names=LATEX,
    )
)

# -- averages of squared gradients --

CONVEX_SUM = Given(
    "sum so far",
    D0 - D + T * error - gamma * b / 2 * S,
    ">=",
    "induction",
    "the sum of the one-step inequalities up to T, by induction: true at T = 0, and `one more` is it at T + 1",
    Induction("one more", next={T: T + 1, S: S + norm2(g), D: D_next}, start={T: 0, S: 0, D: D0}),
)
ROUGH_SUM = replace(CONVEX_SUM, expression=D0 - D + T * rough - gamma / 2 * S)
CONVEX_AVERAGE = Step(
    "average",
    (S + norm2(g)) / (T + 1),
    "<=",
    2 * D0 / (gamma * (T + 1) * b) + gamma * L**3 * rho**2 / b,
    by=((2 / (gamma * (T + 1) * b), "one more"), (2 * D_next / (gamma * (T + 1) * b),)),
    why="over T + 1 steps; D_{T+1} >= 0",
)
ROUGH_AVERAGE = Step(
    "average",
    (S + norm2(g)) / (T + 1),
    "<=",
    2 * D0 / (gamma * (T + 1)) + L**2 * rho**2,
    by=((2 / (gamma * (T + 1)), "one more"), (2 * D_next / (gamma * (T + 1)),)),
    why="over T + 1 steps; D_{T+1} >= 0",
)

derivations.add(
    Derivation(
        id="constant-radius/convex",
        title="SAM with a constant radius on a convex function (E1)",
        claims=("constant-radius/convex",),
        given=(DESCENT, MONOTONE, LIPSCHITZ, SHORT, WIDTH, CONVEX_SUM),
        steps=(
            CONVEX_STEP,
            Step(
                "one more",
                gamma * b / 2 * (S + norm2(g)),
                "<=",
                D0 - D_next + (T + 1) * error,
                by=(("sum so far",), ("convex step",)),
            ),
            CONVEX_AVERAGE,
            Step(
                "simpler form",
                2 * D0 / (gamma * (T + 1) * b) + gamma * L**3 * rho**2 / b,
                "<=",
                2 * D0 / (gamma * (T + 1)) + gamma * L**3 * rho**2,
                by=(
                    ((2 * D0 / (gamma * (T + 1)) + gamma * L**3 * rho**2) / b, "step range"),
                    ((2 * D0 / (gamma * (T + 1)) + gamma * L**3 * rho**2) / b, "b"),
                ),
                why="b >= 1: the bound in the shape of Si and Yun",
            ),
        ),
        conclusion="average",
        meets=(
            Meets("one step", D - gamma * b / 2 * norm2(g) + error, _one_step("convex"), POINTS),
            Meets("average", sp.sympify(CONVEX_AVERAGE.right), _curve("convex", 7), POINTS),
        ),
        twins=(
            Twin(
                "nine tenths of the error",
                "convex step",
                replace(CONVEX_STEP, right=D - gamma * b / 2 * norm2(g) + sp.Rational(9, 10) * error),
                counterexample=PARABOLA,
            ),
            Twin("not convex", "convex step", without=("convex",), counterexample=STUCK | {"T": 4}),
            Twin("gamma beyond 1/L", "convex step", without=("step range",), counterexample=LONG_STEP),
        ),
        remarks=("rho = 0, or g = 0 where nothing is perturbed, is included: then e = 0",),
        covers="the one-step inequality, its sum by induction, and the average over T + 1 >= 1 steps",
        latex_names=LATEX,
    )
)

derivations.add(
    Derivation(
        id="constant-radius/nonconvex",
        title="SAM with a constant radius on a smooth function (E2)",
        claims=("constant-radius/nonconvex",),
        given=(DESCENT, LIPSCHITZ, SHORT, ROUGH_SUM),
        steps=(
            ROUGH_STEP,
            Step(
                "one more",
                gamma / 2 * (S + norm2(g)),
                "<=",
                D0 - D_next + (T + 1) * rough,
                by=(("sum so far",), ("any step",)),
            ),
            ROUGH_AVERAGE,
        ),
        conclusion="average",
        meets=(
            Meets("one step", D - gamma / 2 * norm2(g) + rough, _one_step("nonconvex"), POINTS),
            Meets("average", sp.sympify(ROUGH_AVERAGE.right), _curve("nonconvex", 7), POINTS),
        ),
        twins=(
            Twin(
                "SAM reaches stationary points: no error",
                "any step",
                replace(ROUGH_STEP, right=D - gamma / 2 * norm2(g)),
                counterexample=STUCK,
            ),
            Twin(
                "four fifths of the error",
                "any step",
                replace(ROUGH_STEP, right=D - gamma / 2 * norm2(g) + sp.Rational(4, 5) * rough),
                counterexample=STUCK,
            ),
            Twin("gamma beyond 1/L", "any step", without=("step range",)),
        ),
        remarks=("rho = 0, or g = 0 where nothing is perturbed, is included: then e = 0",),
        covers="the one-step inequality, its sum by induction, and the average over T + 1 >= 1 steps",
        latex_names=LATEX,
    )
)

# -- Polyak-Lojasiewicz --

PL_STEP = Step("one step", D_next, "<=", (1 - gamma * mu) * D + rough, by=(("any step",), (gamma / 2, "PL")))
floor = L**2 * rho**2 / (2 * mu)

derivations.add(
    Derivation(
        id="constant-radius/pl",
        title="SAM with a constant radius on a Polyak-Lojasiewicz function (E2)",
        claims=("constant-radius/pl",),
        given=(
            DESCENT,
            LIPSCHITZ,
            SHORT,
            PL,
            Given("mu at most L", L - mu, ">=", "standard", "2 mu D <= ||grad f||^2 <= 2 L D"),
        ),
        steps=(
            ROUGH_STEP,
            PL_STEP,
            Step("rate", 0, "<=", 1 - gamma * mu, by=(("step range",), (gamma, "mu at most L"))),
            Step(
                "iteration",
                (1 - gamma * mu) * (power * D0 + floor) + rough,
                "=",
                (1 - gamma * mu) * power * D0 + floor,
                why="the bound at t + 1 follows from that at t",
            ),
        ),
        conclusion="one step",
        meets=(
            Meets("one step", (1 - gamma * mu) * D + rough, _one_step("pl"), POINTS),
            Meets("bound at t = 1", (1 - gamma * mu) * D0 + floor, _curve("pl", 1), POINTS),
        ),
        twins=(
            Twin(
                "twice the rate",
                "one step",
                replace(PL_STEP, right=(1 - 2 * gamma * mu) * D + rough),
                # gradient descent on x^2/2 with a quarter step
                counterexample=PARABOLA
                | {"gamma": sp.Rational(1, 4), "rho": 0, "e": (0,), "D_next": sp.Rational(9, 32)},
            ),
            Twin(
                "nine tenths of the error",
                "one step",
                replace(PL_STEP, right=(1 - gamma * mu) * D + sp.Rational(9, 10) * rough),
                counterexample=PARABOLA,
            ),
            Twin("without PL", "one step", without=("PL",), counterexample=STUCK | {"D": 4, "D_next": 4}),
        ),
        remarks=("rho = 0, or g = 0 where nothing is perturbed, is included: then e = 0",),
        covers="the one-step inequality that the code iterates, for every rho, and its fixed point",
        latex_names=LATEX,
    )
)
