"""SGD on smooth functions: one descent step gives B3 (PL) and, summed over a run, B4 (nonconvex)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.claims.sgd import sgd_step_limit
from theory.derivation import Derivation, Given, Meets, Monotone, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.derivations import weighted_sum as sums
from theory.derivations.unified_sam_steps import residual_floor
from theory.inner_product import dot, norm2, vectors

gamma, mu, L_f = sp.symbols("gamma mu L_f", positive=True)
A, B, C = sp.symbols("A B C", nonnegative=True)
D, D_next = sp.symbols("D D_next", nonnegative=True)
power = sp.Symbol("q_t", nonnegative=True)  # (1 - gamma mu)^t
F, g = vectors("F g")  # grad f; grad f_v
half = sp.Rational(1, 2)
growth = L_f * gamma**2 * A
N = L_f * gamma * C / (2 * mu)
room = mu - L_f * gamma * (B * mu + A)
D0 = sums.D0

DESCENT = (
    Given("unbiased", dot(F, g) - norm2(F), "=", "definition", "E grad f_v = grad f"),
    Given(
        "descent lemma",
        D - gamma * dot(F, g) + L_f * gamma**2 / 2 * norm2(g) - D_next,
        ">=",
        "standard",
        "f is L_f-smooth; expectation over the sample",
    ),
    Given("ER", 2 * A * D + B * norm2(F) + C - norm2(g), ">=", "hypothesis", "the expected-residual condition"),
)
BEFORE_PL = Step(
    "before PL",
    D_next,
    "<=",
    (1 + growth) * D - gamma * (1 - L_f * gamma * B / 2) * norm2(F) + L_f * gamma**2 * C / 2,
    by=(("descent lemma",), (gamma, "unbiased"), (L_f * gamma**2 / 2, "ER")),
)

PL_STEPS = (
    BEFORE_PL,
    Step(
        "coefficient",
        half,
        "<=",
        1 - L_f * gamma * B / 2,
        by=((1 / (2 * mu), "step limit"), (L_f * gamma * A / (2 * mu),)),
    ),
    Step(
        "one step",
        D_next,
        "<=",
        (1 - gamma * mu) * D + L_f * gamma**2 * C / 2,
        by=(("before PL",), (gamma, "coefficient", "PL"), (gamma / 2, "PL"), (gamma, D, "step limit")),
        why="the factor is 1 - 2 gamma mu + L_f gamma^2 (B mu + A)",
    ),
    Step(
        "iteration",
        (1 - gamma * mu) * (power * D0 + N) + L_f * gamma**2 * C / 2,
        "=",
        (1 - gamma * mu) * power * D0 + N,
        why="the bound at t + 1 follows from that at t, as 1 - gamma mu >= 0",
    ),
    Step(
        "contraction factor",
        gamma * mu,
        "<=",
        1,
        by=(
            (1 / mu, "step limit"),
            (gamma * L_f / mu, "residual floor"),
            (gamma, "mu below L"),
        ),
    ),
)
PL_STEP = {step.name: step for step in PL_STEPS}

Number = Callable[[Mapping[str, float]], float]


def _one_step(claim: str) -> Number:
    def value(point: Mapping[str, float]) -> float:
        step = claims[claim].one_step
        assert step is not None
        return float(step(facts_at(point), np.array([point["D"]]), np.array([point["|F|^2"]]), 0, {})[0])

    return value


def _curve(claim: str) -> Number:
    def value(point: Mapping[str, float]) -> float:
        curve = claims[claim].curve
        assert curve is not None
        return float(curve(facts_at(point), np.array([int(point["t"]) + 1]), {})[0])

    return value


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(6)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        point = {
            "mu": rng.uniform(0.05, 1), "L_f": rng.uniform(1, 3), "A": rng.uniform(0, 4), "B": rng.uniform(1, 2),
            "C": rng.uniform(0, 2), "D": rng.uniform(0, 5), "|F|^2": rng.uniform(0, 5), "D0": rng.uniform(0, 5),
            "q_t": 1.0, "t": 0.0,
        }  # fmt: skip
        point["gamma"] = rng.uniform(0.1, 1) * sgd_step_limit(facts_at(point))
        found.append(point)
    return found


POINTS = _points()

COIN = {
    "mu": 1, "L_f": 1, "gamma": 1, "A": 0, "B": 1, "C": 2, "D": 0, "D_next": 1, "D0": 0, "q_t": 0,
    "F": (0, 0), "g": (1, -1), "t": 0, "V_t": 0, "R_t": 0, "w_t": 1, "(1+a)^T": 1,
}  # fmt: skip
"""x^2/2 +- x sqrt(2) at the minimiser with gamma = 1; coordinates are values times the root of the probability."""

MIXED = {
    "mu": sp.Rational(1, 4), "L_f": sp.Rational(1, 4), "A": sp.Rational(5, 2), "B": 0, "C": 0, "D": sp.Rational(1, 8),
    "gamma": sp.Rational(2, 5), "D0": 0, "q_t": 0,
    "D_next": sp.Rational(1, 8) * (1 - sp.Rational(2, 5) / 4),
    "F": (sp.sqrt(2) / 8, sp.sqrt(2) / 8), "g": (sp.sqrt(2) / 2, -sp.sqrt(2) / 4),
}  # fmt: skip
"""Parabolas of curvature 1 and -1/2 at x = 1 at the step limit mu/(L_f A): the rate is attained."""

derivations.add(
    Derivation(
        id="sgd/pl",
        title="SGD on PL functions, constant step (B3)",
        claims=("sgd/pl",),
        given=(
            *DESCENT,
            Given("PL", norm2(F) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL"),
            Given("step limit", room, ">=", "hypothesis", "gamma <= mu/(L_f (B mu + A))"),
            residual_floor(B * mu + A - mu),
            Given("mu below L", L_f - mu, ">=", "standard", "2 mu D <= ||grad f||^2 <= 2 L_f D"),
        ),
        steps=PL_STEPS,
        conclusion="one step",
        meets=(
            Meets("one step", (1 - gamma * mu) * D + L_f * gamma**2 * C / 2, _one_step("sgd/pl"), POINTS),
            Meets("bound at t = 1", (1 - gamma * mu) * power * D0 + N, _curve("sgd/pl"), POINTS),
            Meets("step limit", gamma + room / (L_f * (B * mu + A)), lambda p: sgd_step_limit(facts_at(p)), POINTS),
        ),
        twins=(
            Twin(
                "0.4 of the noise term",
                "one step",
                replace(
                    PL_STEP["one step"],
                    right=(1 - gamma * mu) * D + sp.Rational(2, 5) * L_f * gamma**2 * C / 2,
                ),
                counterexample=COIN,
            ),
            Twin(
                "a tenth faster, on curvatures of either sign",
                "one step",
                replace(PL_STEP["one step"], right=(1 - sp.Rational(11, 10) * gamma * mu) * D + L_f * gamma**2 * C / 2),
                counterexample=MIXED,
            ),
            Twin("without the step limit", "coefficient", without=("step limit",)),
        ),
        remarks=("C = 0 is included; rho plays no part.",),
        covers="the one-step inequality that the code iterates, its step limit and its fixed point",
        latex_names={"F": r"\nabla f", "g": r"\nabla f_v", "D_next": r"\mathbb E D_{t+1}", "D": "D_t", "q_t": "q^t"},
    )
)

# -- nonconvex functions --

r = norm2(F)
HALVED = Step(
    "one step",
    D_next,
    "<=",
    (1 + growth) * D - gamma / 2 * r + gamma * (L_f * gamma * C / 2),
    by=(("before PL",), (gamma / 2, "step limit", r)),
    why="at least half of the descent is left",
)
NONCONVEX = (
    BEFORE_PL,
    HALVED,
    Step("growth", 0, "<=", growth, by=((L_f * gamma**2, A),)),
    *sums.steps(D, D_next, r, gamma, growth, half, L_f * gamma * C / 2, one_step="one step", a_sign="growth"),
)
average = 2 * sums.growth_T * D0 / (gamma * (sums.t + 1)) + L_f * gamma * C


def _powered() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(7)
    found: list[Mapping[str, float]] = []
    for point in POINTS:
        t = float(rng.integers(0, 200))
        gamma_value = rng.uniform(0.01, 1) / (point["L_f"] * point["B"])
        a = point["L_f"] * gamma_value**2 * point["A"]
        found.append({**point, "gamma": gamma_value, "t": t, sums.growth_T.name: (1 + a) ** (t + 1)})
    return found


POWERED = _powered()

T, epsilon = sp.symbols("T epsilon", positive=True)
q = sp.Symbol("q", nonnegative=True)
s = sp.Symbol("s", real=True)

derivations.add(
    Derivation(
        id="sgd/nonconvex",
        title="SGD on smooth nonconvex functions (B4)",
        claims=("sgd/nonconvex",),
        given=(
            *DESCENT,
            Given("step limit", 1 - L_f * gamma * B, ">=", "hypothesis", "gamma <= 1/(L_f B)"),
            *sums.hypotheses(D, D_next, r, gamma, growth, half, L_f * gamma * C / 2),
        ),
        steps=NONCONVEX,
        conclusion="weighted average",
        meets=(
            Meets(
                "one step, before the step limit",
                sp.sympify(BEFORE_PL.right),
                _one_step("sgd/nonconvex"),
                POWERED,
            ),
            Meets("weighted average", average, _curve("sgd/nonconvex"), POWERED),
        ),
        twins=(
            Twin(
                "an eighth of the noise term",
                "one step",
                replace(HALVED, right=(1 + growth) * D - gamma / 2 * r + gamma * L_f * gamma * C / 16),
                counterexample=COIN,
            ),
            Twin("without gamma <= 1/(L_f B)", "one step", without=("step limit",)),
        ),
        remarks=("A = 0, B = 0 and C = 0 are included; B = 0 sets no limit on gamma.",),
        covers="the one-step inequality that the code iterates and its weighted sum over a run of any length; the "
        "minimum over t < T is at most the weighted average, which is what the code measures",
        latex_names={"F": r"\nabla f", "g": r"\nabla f_v", "D_next": r"\mathbb E D_{t+1}", "D": r"\mathbb E D_t"},
    )
)

# -- how long it takes --

RECIPE = (
    Step(
        "growth over the run",
        growth * T,
        "<=",
        1,
        by=(("step over the run",),),
    ),
    Step("slope of exp", 0, "<=", sp.exp(s), by=((sp.exp(s),),)),
    Monotone("at most e", sp.exp(s), s, growth * T, sp.Integer(1), "slope of exp", "growth over the run"),
    Step(
        "at most epsilon^2",
        2 * q * D0 / (gamma * T) + L_f * gamma * C,
        "<=",
        epsilon**2,
        by=(
            (2 * D0 / (gamma * T), "power"),
            (2 * D0 / (gamma * T), "at most e"),
            (2 * D0 / (gamma * T), 3 - sp.E),
            (1 / (2 * T), "length of the run"),
            ("noise",),
        ),
    ),
    Step(
        "length where gamma = 1/sqrt(L_f A T)",
        (12 * D0) ** 2 * (L_f * A * T),
        "<=",
        (T * epsilon**2) ** 2,
        by=((T, "length at A"),),
        why="the squares of 12 D_0/gamma and T epsilon^2; at gamma = 1/(L_f B) and at epsilon^2/(2 L_f C) the length "
        "is 12 D_0/(gamma epsilon^2) itself",
    ),
)

derivations.add(
    Derivation(
        id="sgd/nonconvex-recipe",
        title="Step and length of a run for ||grad f||^2 <= epsilon^2 (B4)",
        claims=("sgd/nonconvex",),
        given=(
            Given("step over the run", 1 - L_f * A * T * gamma**2, ">=", "hypothesis", "gamma <= 1/sqrt(L_f A T)"),
            Given("noise", epsilon**2 / 2 - L_f * gamma * C, ">=", "hypothesis", "gamma <= epsilon^2/(2 L_f C)"),
            Given("power", sp.exp(growth * T) - q, ">=", "standard", "q = (1 + a)^T, and 1 + a <= exp(a)"),
            Given(
                "length of the run",
                T * epsilon**2 - 12 * D0 / gamma,
                ">=",
                "hypothesis",
                "T >= 12 (f(x_0) - inf f)/(gamma epsilon^2)",
            ),
            Given(
                "length at A",
                T * epsilon**4 - 144 * L_f * A * D0**2,
                ">=",
                "hypothesis",
                "T >= 144 L_f A (f(x_0) - inf f)^2/epsilon^4",
            ),
        ),
        steps=RECIPE,
        conclusion="at most epsilon^2",
        meets=(
            Meets(
                "bound",
                2 * q * D0 / (gamma * T) + L_f * gamma * C,
                _curve("sgd/nonconvex"),
                [{**point, "q": point[sums.growth_T.name], "T": point["t"] + 1} for point in POWERED],
            ),
        ),
        twins=(
            Twin(
                "the growth is at most 1/2",
                "growth over the run",
                replace(RECIPE[0], right=half),
                counterexample={
                    "L_f": 1,
                    "A": 1,
                    "C": 0,
                    "T": 1,
                    "gamma": 1,
                    "epsilon": 4,
                    "D0": 1,
                    "q": 1,
                },
            ),
            Twin("without a limit on the length", "at most epsilon^2", without=("length of the run",)),
        ),
        covers="that the recipe's step and length give at most epsilon^2; q stands for (1 + a)^T",
        latex_names={"q": "(1+a)^T"},
    )
)
