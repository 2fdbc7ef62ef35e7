"""Importance sampling minimises A, and with it L_f, L_S and A are all at most L_avg."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import sympy as sp

from problems.problem import Problem, problems
from theory.claim import claims
from theory.derivation import Derivation, Given, Induction, Meets, Step, Twin, derivations
from theory.derivations.unified_sam_pl import P, mu
from theory.families import setting_of
from theory.samplings import er_constants, largest_smoothness, samplings
from theory.setting import Facts, facts_of
from theory.unified_sam import largest_radius

n, p, L_i, L_avg = sp.symbols("n p_i L_i L_avg", positive=True)
A, probabilities, constants, L_f = sp.symbols("A P_i S_i L_f", nonnegative=True)
mine = L_i / (n * L_avg)  # p_i of importance sampling
radius = mu / (L_avg * (mu + 2 * L_avg * P))

STEPS = (
    Step("one component more", constants + L_i, "<=", n * A * (probabilities + p),
         by=(("components so far",), ("A",)), why="sum_i L_i <= n A sum_i p_i, one component at a time"),
    Step("lower bound", L_avg, "<=", A,
         by=((1 / n, "one component more"), (1 / n, "L_avg"), (-A, "probabilities")),
         why="i is the last: whatever p is, max_i L_i/(n p_i) >= L_avg"),
    Step("attained", L_i / (n * mine), "=", L_avg, why="p_i = L_i/(n L_avg): every component gives L_avg, so A = L_avg "
         "and L_S = max_i Lip(grad f_i/(n p_i)) = L_avg"),
    Step("a law", (constants + L_i) / (n * L_avg), "=", 1, by=((-1 / (n * L_avg), "L_avg"),),
         why="these p_i sum to 1"),
    Step("L_f", L_f, "<=", L_avg, by=(("mean of the components",),), why="so max(L_f, L_S) = L_avg, which U1 calls L"),
    Step("rho*", (mu / (L_avg * (mu + 2 * (A * P)))).subs(A, L_avg), "=", radius,
         why="U1's range at A = L = L_avg, B = 0"),
)  # fmt: skip
STEP = {step.name: step for step in STEPS}

POINTS: list[Mapping[str, float]] = [
    {"h1": 1.0, "h2": 2.0, "h3": 5.0, "lam": 0.0},
    {"h1": 0.5, "h2": 0.5, "h3": 4.0, "lam": 0.5},
    {"h1": 3.0, "h2": 1.0, "h3": 1.0, "lam": 1.0},
]
POINTS = [{**q, "L_avg": (q["h1"] + q["h2"] + q["h3"]) / 3, "mu": (q["h1"] + q["h2"] + q["h3"]) / 3} for q in POINTS]


def _spec(point: Mapping[str, float]) -> str:
    return f"parabolas:h={point['h1']!r}/{point['h2']!r}/{point['h3']!r}"


@lru_cache
def _problem(spec: str) -> Problem:
    return problems.build(spec)


def _A(point: Mapping[str, float]) -> float:
    problem = _problem(_spec(point))
    return er_constants(problem, samplings.build("importance", problem=problem)).A


def _L_S(point: Mapping[str, float]) -> float:
    problem = _problem(_spec(point))
    return largest_smoothness(problem, samplings.build("importance", problem=problem)).value


def _facts(point: Mapping[str, float]) -> Facts:
    claim = claims["unified-sam/importance-sampling"]
    return facts_of(setting_of(claim, _spec(point), "importance", lam=f"{point['lam']:g}"))


COMPONENT = {"n": 2, "L_i": 3, "L_avg": 2, "S_i": 1, "L_f": 2, "mu": 1, "lam": 0}

derivations.add(
    Derivation(
        id="unified-sam/importance-sampling",
        title="Importance sampling replaces L_max by L_avg",
        claims=("unified-sam/importance-sampling",),
        given=(
            Given("A", n * p * A - L_i, ">=", "definition", "A = max_i L_i/(n p_i), any p"),
            Given(
                "components so far",
                n * A * probabilities - constants,
                ">=",
                "induction",
                "induction: for no component both sides are 0, with one more it is the step 'one component more'",
                Induction(
                    "one component more",
                    next={probabilities: probabilities + p, constants: constants + L_i},
                    start={probabilities: 0, constants: 0},
                ),
            ),
            Given("L_avg", constants + L_i - n * L_avg, "=", "definition", "L_avg = (1/n) sum_i L_i, i the last"),
            Given("probabilities", probabilities + p - 1, "=", "definition", "sum_i p_i = 1, i the last"),
            Given(
                "mean of the components",
                L_avg - L_f,
                ">=",
                "standard",
                "grad f is the mean of the grad f_i: the triangle inequality",
            ),
        ),
        steps=STEPS,
        conclusion="lower bound",
        meets=(
            Meets("A", L_avg, _A, POINTS),
            Meets("L_S", L_avg, _L_S, POINTS),
            Meets("L of U1", L_avg, lambda point: _facts(point).L, POINTS),
            Meets("rho*", radius, lambda point: largest_radius(_facts(point)), POINTS),
        ),
        twins=(
            Twin(
                "the weight 1/(n p_i) forgotten: max_i L_i/n",
                "attained",
                replace(STEP["attained"], left=L_i / n),
                counterexample={**COMPONENT, "p_i": sp.Rational(3, 4), "P_i": sp.Rational(1, 4), "A": 2},
            ),
            Twin(
                "L_max in place of L_avg",
                "lower bound",
                replace(STEP["lower bound"], left=L_i),
                # n = 2, L = 1 and 3, importance sampling
                counterexample={**COMPONENT, "p_i": sp.Rational(3, 4), "P_i": sp.Rational(1, 4), "A": 2},
            ),
            Twin("probabilities that need not sum to 1", "lower bound", without=("probabilities",)),
        ),
        remarks=("A component with L_i = 0 must be constant; it is then never drawn.",),
        covers="the minimality of A, A = L_S = L_avg and L_f <= L_avg, so that U1, derived as unified-sam/pl-constant, "
        "holds with L = L_avg in every place",
        latex_names={
            "P_i": r"\textstyle\sum_{j<i}p_j", "S_i": r"\textstyle\sum_{j<i}L_j", "p_i": "p_i", "L_i": "L_i",
            "L_avg": r"L_{\mathrm{avg}}", "L_f": "L_f",
        },
    )
)  # fmt: skip
