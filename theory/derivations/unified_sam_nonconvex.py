"""Unified SAM on smooth nonconvex functions: U3 from U1's inequality before PL, and U3# from that of U1#."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.derivation import Derivation, Given, Meets, Monotone, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.derivations import unified_sam_pl as plain
from theory.derivations import unified_sam_sharp as sharp
from theory.derivations import weighted_sum as sums
from theory.inner_product import norm2

gamma, L, rho, A, B, C, P, K = plain.gamma, plain.L, plain.rho, plain.A, plain.B, plain.C, plain.P, plain.K
D, D_next = plain.D, plain.D_next
r = norm2(plain.F)
half = sp.Rational(1, 2)
drift_sharp = 2 * A * gamma * sharp.theta
room_sharp = half - B * sharp.theta


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(3)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        L_f, gradient = rng.uniform(1, 3), rng.uniform(0, 5)
        point = {
            "L_f": L_f, "L_S": rng.uniform(0.5, 1) * L_f, "L": L_f, "A": rng.uniform(0, 2), "B": rng.uniform(1, 2),
            "C": rng.uniform(0, 2), "lam": rng.uniform(0, 1), "rho": rng.uniform(0, 0.05), "gamma": rng.uniform(0, 0.1),
            "D": rng.uniform(0, 5), "D0": rng.uniform(0, 5), "|F|^2": gradient, "t": float(rng.integers(0, 300)),
        }  # fmt: skip
        found.append(point)
    return found


POINTS = _points()


def _with_growth(a: sp.Expr) -> list[Mapping[str, float]]:
    """The points with (1 + a)^T, T = t + 1."""
    powered: list[Mapping[str, float]] = []
    for point in POINTS:
        growth = float(a.subs({s: point[s.name] for s in a.free_symbols}))
        powered.append({**point, sums.growth_T.name: (1 + growth) ** (point["t"] + 1)})
    return powered


def _one_step(claim: str, point: Mapping[str, float]) -> float:
    step = claims[claim].one_step
    assert step is not None
    return float(step(facts_at(point), np.array([point["D"]]), np.array([point["|F|^2"]]), 0, {})[0])


def _curve(claim: str, point: Mapping[str, float]) -> float:
    curve = claims[claim].curve
    assert curve is not None
    return float(curve(facts_at(point), np.array([int(point["t"]) + 1]), {})[0])


def _growth(claim: str, point: Mapping[str, float]) -> float:
    growth = claims[claim].growth
    assert growth is not None
    return growth(facts_at(point))


def _meets(claim: str, one_step: sp.Expr, a: sp.Expr, c: sp.Expr, e: sp.Expr) -> tuple[Meets, ...]:
    average = (sums.growth_T * sums.D0 / (gamma * (sums.t + 1)) + e) / c
    return (
        Meets("one step", one_step, lambda point: _one_step(claim, point), POINTS),
        Meets("weighted average", average, lambda point: _curve(claim, point), _with_growth(a)),
        Meets("growth of the weights", a, lambda point: _growth(claim, point), POINTS),
    )


LATEX = {
    "F": r"\nabla f", "g": r"\nabla f_v", "D_next": r"\mathbb E D_{t+1}", "D": r"\mathbb E D_t",
    "(1+a)^T": "(1+a)^T",
}  # fmt: skip
MINIMUM = "the minimum over t < T is at most the weighted average, which is what the code measures"

STALLED = {
    "L": 1, "L_f": 1, "L_S": 1, "gamma": sp.Rational(1, 100), "rho": 1, "lam": 1, "A": 0, "B": 1, "C": 0,
    "D": 1, "D_next": 1, "D0": 1, "t": 0, "V_t": 0, "R_t": 0, "w_t": 1, "(1+a)^T": 1,
    "F": (sp.Rational(99, 100),), "g": (sp.Rational(99, 100),), "u": (1,), "w": (-sp.Rational(99, 100),),
}  # fmt: skip
"""SAM at the kink of a tent: the perturbed gradient vanishes and the iterate stays, with ||grad f|| = 0.99 L rho."""

U3 = (
    *(step for step in plain.STEPS if step.name not in ("coefficient", "after PL", "one step", "iteration")),
    Step("growth", 0, "<=", plain.a, by=((2 * A * L * gamma * rho * P,), (2 * A * L * gamma**2 * K,))),
    *sums.steps(D, D_next, r, gamma, plain.a, plain.b, plain.err, one_step="before PL", a_sign="growth"),
)
before_PL = next(step for step in plain.STEPS if step.name == "before PL")

derivations.add(
    Derivation(
        id="unified-sam/nonconvex",
        title="Unified SAM on smooth nonconvex functions (U3)",
        claims=("unified-sam/nonconvex",),
        given=(
            *(given for given in plain.GIVEN if given.name not in ("PL", "step range")),
            *sums.hypotheses(D, D_next, r, gamma, plain.a, plain.b, plain.err),
            Given("descent", plain.b, ">", "hypothesis", "b > 0"),
        ),
        steps=(
            *U3,
            Step(
                "division",
                0,
                "<",
                gamma * plain.b * (sums.t + 1) * (sums.V + sums.weight),
                by=((gamma, "descent", sums.t + 1, sums.weight), (gamma, "descent", sums.t + 1, sums.V)),
                why="what the weighted average is divided by",
            ),
        ),
        conclusion="weighted average",
        meets=_meets(
            "unified-sam/nonconvex",
            (1 + plain.a) * D - gamma * plain.b * r + gamma * plain.err,
            plain.a,
            plain.b,
            plain.err,
        ),
        twins=(
            Twin(
                "no term of order rho",
                "before PL",
                replace(before_PL, right=(1 + plain.a) * D - gamma * plain.b * r
                        + gamma**2 * L * (K * C + 2 * L**2 * rho**2 * plain.lam**2)),
                counterexample=STALLED,
            ),
            Twin("without the expected-residual condition", "before PL", without=("ER",)),
            Twin("without b > 0 nothing may be divided", "division", without=("descent",)),
        ),
        remarks=("A = 0, C = 0, rho = 0 are included: then a or err vanish.",),
        covers=f"the one-step inequality that the code iterates and its weighted sum over any run; {MINIMUM}",
        latex_names=LATEX,
    )
)  # fmt: skip

U3_SHARP = (
    *sharp.BEFORE_PL,
    Step("growth", 0, "<=", drift_sharp, by=((2 * A * gamma, "theta"),)),
    *sums.steps(D, D_next, r, gamma, drift_sharp, room_sharp, sharp.err, one_step="before PL", a_sign="growth"),
)

derivations.add(
    Derivation(
        id="unified-sam/nonconvex-sharp",
        title="Unified SAM on smooth nonconvex functions, sharpened (U3#)",
        claims=("unified-sam/nonconvex-sharp",),
        given=(
            *sharp.DESCENT,
            *sums.hypotheses(D, D_next, r, gamma, drift_sharp, room_sharp, sharp.err),
            Given("theta limit", room_sharp, ">", "hypothesis", "B theta < 1/2"),
        ),
        steps=(
            *U3_SHARP,
            Step(
                "division",
                0,
                "<",
                gamma * room_sharp * (sums.t + 1) * (sums.V + sums.weight),
                by=((gamma, "theta limit", sums.t + 1, sums.weight), (gamma, "theta limit", sums.t + 1, sums.V)),
                why="what the weighted average is divided by",
            ),
        ),
        conclusion="weighted average",
        meets=_meets(
            "unified-sam/nonconvex-sharp",
            (1 + drift_sharp) * D - gamma * room_sharp * r + gamma * sharp.err,
            drift_sharp,
            room_sharp,
            sharp.err,
        ),
        twins=(
            Twin(
                "0.9 of the neighbourhood",
                "before PL",
                replace(
                    sharp.STEP["before PL"],
                    right=(1 + drift_sharp) * D - gamma * room_sharp * r + gamma * sp.Rational(9, 10) * sharp.err,
                ),
                counterexample=STALLED,
            ),
            Twin("without the expected-residual condition", "before PL", without=("ER",)),
            Twin("without B theta < 1/2 nothing may be divided", "division", without=("theta limit",)),
        ),
        remarks=("rho = 0, lam = 0 and A = 0 are included.",),
        covers=f"the one-step inequality that the code iterates and its weighted sum over any run; {MINIMUM}",
        latex_names=LATEX,
    )
)

# -- how long it takes --

T, epsilon = sp.symbols("T epsilon", positive=True)
s = sp.Symbol("s", real=True)
q, err_symbol, D0 = sp.symbols("q err D0", nonnegative=True)

RECIPE = (
    Step(
        "K",
        K,
        "<=",
        sp.Rational(9, 8),
        by=(
            (2, "radius", L * rho, P),
            (half, L * rho, "lam range"),
            (half, "radius"),
        ),
        why="(L rho)^2 <= 1/16 and (1 - lam)^2 <= 1",
    ),
    Step(
        "half of the descent",
        half,
        "<=",
        plain.b,
        by=(
            (half, "radius"),
            ("radius at B",),
            (L * gamma * B, "K"),
            (sp.Rational(9, 8), "step at B"),
        ),
        why="1/8 + 1/8 + (2/9)(9/8)",
    ),
    Step(
        "growth over the run",
        plain.a * T,
        "<=",
        1,
        by=(
            (2 * A * L * gamma**2 * T, "K"),
            (sp.Rational(9, 4), "step over the run"),
            (2, "radius times step"),
        ),
        why="1/2 + 1/2",
    ),
    Step("slope of exp", 0, "<=", sp.exp(s), by=((sp.exp(s),),)),
    Monotone("at most e", sp.exp(s), s, plain.a * T, sp.Integer(1), "slope of exp", "growth over the run"),
    Step(
        "at most epsilon^2",
        2 * (q * D0 / (gamma * T) + err_symbol),
        "<=",
        epsilon**2,
        by=(
            (2 * D0 / (gamma * T), "power"),
            (2 * D0 / (gamma * T), "at most e"),
            (1 / (2 * T), "length of the run"),
            ("error",),
        ),
    ),
)

derivations.add(
    Derivation(
        id="unified-sam/nonconvex-recipe",
        title="Steps and length of a run for ||grad f||^2 <= epsilon^2 (U3)",
        claims=("unified-sam/nonconvex",),
        given=(
            Given("lam range", 1 - P, ">=", "hypothesis", "(1 - lam)^2 <= 1"),
            Given("radius", sp.Rational(1, 4) - L * rho, ">=", "hypothesis", "L rho <= 1/4"),
            Given("radius at B", sp.Rational(1, 8) - L * rho * B * P, ">=", "hypothesis", "L rho <= 1/(8 B (1-lam)^2)"),
            Given("step at B", sp.Rational(2, 9) - L * gamma * B, ">=", "hypothesis", "gamma <= 2/(9 L B)"),
            Given(
                "step over the run",
                sp.Rational(2, 9) - A * L * T * gamma**2,
                ">=",
                "hypothesis",
                "gamma <= sqrt(2/(9 A L T))",
            ),
            Given(
                "radius times step",
                sp.Rational(1, 4) - A * L * P * T * rho * gamma,
                ">=",
                "hypothesis",
                "rho gamma <= 1/(4 A L (1 - lam)^2 T)",
            ),
            Given("power", sp.exp(plain.a * T) - q, ">=", "standard", "q = (1 + a)^T, and 1 + a <= exp(a)"),
            Given("error", epsilon**2 / 2 - 2 * err_symbol, ">=", "hypothesis", "2 err <= epsilon^2/2"),
            Given(
                "length of the run",
                T * epsilon**2 - 4 * sp.E * D0 / gamma,
                ">=",
                "hypothesis",
                "T >= 4 e (f(x_0) - inf f)/(gamma epsilon^2)",
            ),
        ),
        steps=RECIPE,
        conclusion="at most epsilon^2",
        meets=(
            Meets(
                "1 - b",
                1 - plain.b,
                lambda point: next(h for h in claims["unified-sam/nonconvex"].hypotheses if h.name == "1 - b")
                .find(facts_at(point))
                .value,
                POINTS,
            ),
            Meets("a", plain.a, lambda point: _growth("unified-sam/nonconvex", point), POINTS),
        ),
        twins=(
            Twin(
                "the growth is at most 1/2",
                "growth over the run",
                replace(RECIPE[2], right=half),
                counterexample={
                    "L": 1, "lam": 0, "rho": sp.Rational(1, 4), "B": 0, "A": 1, "T": sp.Rational(9, 2),
                    "gamma": sp.Rational(2, 9), "q": 1, "err": 0, "epsilon": 10,
                    "D0": 1,
                },
            ),
            Twin("without a limit on rho gamma", "growth over the run", without=("radius times step",)),
            Twin("without a limit on the radius", "K", without=("radius",)),
        ),
        covers="that the recipe's steps give b >= 1/2 and a T <= 1 and hence at most epsilon^2; q stands for (1 + a)^T "
        "and err for the error of unified-sam/nonconvex",
    )
)  # fmt: skip
