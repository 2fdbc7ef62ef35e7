"""GSAM on smooth functions (A1): one step, and the squared gradients of a window weighted by the step sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Induction, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.gsam import perturbation, step_bound
from theory.inner_product import Vector, dot, norm2, square, vectors
from theory.setting import Facts

gamma, L, r = sp.symbols("gamma L r", positive=True)  # r = 1 - L gamma
rho, L_S, kappa, sigma2 = sp.symbols("rho L_S kappa sigma2", nonnegative=True)
alpha = sp.Symbol("alpha", real=True)
D, D_next, D_s, S = sp.symbols("D D_next D_s S", nonnegative=True)
R = sp.Symbol("R", real=True)
F, g, p, q = vectors("F g p q")  # grad f; grad f_v(x); grad f_v(x + rho u); the multiple of p in g = q + g_perp

c2 = kappa**2 * L_S**2 * rho**2
noise = L * gamma * sigma2 / (1 - L * gamma)

AMPLIFICATION = (
    Given("kappa >= 1", kappa - 1, ">=", "definition", "kappa = max(1, |1 + alpha|)"),
    Given("kappa >= 1 + alpha", kappa - 1 - alpha, ">=", "definition", "kappa = max(1, |1 + alpha|)"),
    Given("kappa >= -1 - alpha", kappa + 1 + alpha, ">=", "definition", "kappa = max(1, |1 + alpha|)"),
)


def direction(g: Vector) -> Vector:
    """G = p - alpha g_perp: the step is x+ = x - gamma G."""
    climb: Vector = alpha * (g - q)
    return p - climb


def given_of(g: Vector) -> tuple[Given, ...]:
    """What defines a step from the gradient g."""
    return (
        *AMPLIFICATION,
        Given("g_perp across p", dot(p, g - q), "=", "definition", "g_perp is g less its part along p, in every draw"),
        Given("g_perp across q", dot(q, g - q), "=", "definition", "q is a multiple of p in every draw"),
        Given(
            "smooth samples",
            L_S**2 * rho**2 - norm2(p - g),
            ">=",
            "hypothesis",
            "grad f_v is L_S-Lipschitz and the perturbation at most rho long: ||p - g|| <= L_S rho",
        ),
        Given(
            "descent lemma",
            D - gamma * dot(F, direction(g)) + L * gamma**2 / 2 * norm2(direction(g)) - D_next,
            ">=",
            "standard",
            "f is L-smooth; expectation over the sample",
        ),
    )


def error_of(g: Vector) -> tuple[Step, ...]:
    """How far G is from g, e = G - g: at most c."""
    perp, e = g - q, direction(g) - g
    return (
        Step(
            "error of the direction",
            norm2(e),
            "<=",
            kappa**2 * norm2(p - g),
            by=(
                ("kappa >= 1", kappa + 1, square(p - g + perp)),
                ("kappa >= 1 + alpha", "kappa >= -1 - alpha", square(perp)),
                (2 * alpha - 2 * (kappa**2 - 1), "g_perp across p"),
                (2 * (kappa**2 - 1) - 2 * alpha, "g_perp across q"),
            ),
            why="p - g falls apart into -g_perp, which 1 + alpha multiplies, and a rest across it, which stays",
        ),
        Step(
            "its length",
            norm2(e),
            "<=",
            c2,
            by=(("error of the direction",), (kappa**2, "smooth samples")),
            why="c = max(1, |1 + alpha|) L_S rho, whatever the direction of the perturbation",
        ),
    )


G = direction(g)
e = G - g
GIVEN = (
    *given_of(g),
    Given("unbiased", dot(F, g) - norm2(F), "=", "definition", "E grad f_v = grad f"),
    Given("variance", sigma2 - norm2(g - F), ">=", "hypothesis", "E||grad f_v - grad f||^2 <= sigma^2"),
    Given("step range", r - (1 - L * gamma), "=", "hypothesis", "gamma < 1/L: r = 1 - L gamma is positive"),
)
SAMPLED = (
    *error_of(g),
    Step(
        "noise and error",
        L * gamma * norm2(G),
        "<=",
        norm2(F + e) + L * gamma / r * norm2(g - F),
        by=(
            (r, square(F + e - L * gamma / r * (g - F))),
            (-norm2(F + e) - L * gamma / r * norm2(g - F), "step range"),
        ),
        why="Young's inequality for G = (grad f + e) + (g - grad f), with weight L gamma/(1 - L gamma)",
    ),
    Step(
        "in r",
        D_next,
        "<=",
        D - gamma / 2 * norm2(F) + gamma / 2 * (c2 + L * gamma * sigma2 / r),
        by=(
            ("descent lemma",),
            (gamma, "unbiased"),
            (gamma / 2, "noise and error"),
            (gamma / 2, "its length"),
            (L * gamma**2 / (2 * r), "variance"),
        ),
    ),
    Step("short step", 0, "<", 1 - L * gamma, by=((r,), (-1, "step range"))),
    Step(
        "one step",
        D_next,
        "<=",
        D - gamma / 2 * norm2(F) + gamma / 2 * (c2 + noise),
        by=(("in r",), (L * gamma**2 * sigma2 / (2 * r * (1 - L * gamma)), "step range")),
    ),
)
ONE_STEP = D - gamma / 2 * norm2(F) + gamma / 2 * (c2 + noise)


def _so_far(floor: sp.Expr) -> Given:
    return Given(
        "window so far",
        2 * D_s - 2 * D + R - S,
        ">=",
        "induction",
        "induction: S sums gamma_j ||grad f(x_j)||^2 and R gamma_j (c_j^2 + noise_j) over s <= j < t; 0 >= 0 at t = s",
        Induction(
            "window, one step on",
            next={S: S + gamma * norm2(F), R: R + gamma * floor, D: D_next},
            start={S: 0, R: 0, D: D_s},
        ),
    )


def _window(floor: sp.Expr) -> tuple[Step, ...]:
    return (
        Step(
            "window, one step on",
            S + gamma * norm2(F),
            "<=",
            2 * D_s - 2 * D_next + R + gamma * floor,
            by=(("window so far",), (2, "one step")),
            why="twice the one step telescopes",
        ),
        Step(
            "window",
            S + gamma * norm2(F),
            "<=",
            2 * D_s + R + gamma * floor,
            by=(("window, one step on",), (2 * D_next,)),
        ),
    )


STEPS = (*SAMPLED, *_window(c2 + noise))

# sigma = 0: every draw has g = grad f, and gamma = 1/L is allowed.
NOISELESS = (*given_of(F), Given("step range", 1 - L * gamma, ">=", "hypothesis", "gamma <= 1/L"))
NOISELESS_STEPS = (
    *error_of(F),
    Step(
        "one step",
        D_next,
        "<=",
        D - gamma / 2 * norm2(F) + gamma / 2 * c2,
        by=(("descent lemma",), (gamma / 2, "step range", square(direction(F))), (gamma / 2, "its length")),
        why="-2 <grad f, G> = ||e||^2 - ||grad f||^2 - ||G||^2, and L gamma ||G||^2 <= ||G||^2",
    ),
    *_window(c2),
)


def gsam_facts(point: Mapping[str, float], **changes: Any) -> Facts:
    """Facts with the alpha of the point."""
    return facts_at(point, parameters={"alpha": point["alpha"]}, **changes)


def _points(*, noisy: bool) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    found: list[dict[str, float]] = []
    for a in (-3.0, -1.5, 0.0, 0.1, 2.0, -2.0):
        point = {
            "L": rng.uniform(1, 3), "L_S": rng.uniform(3, 5), "rho": rng.uniform(0, 1), "alpha": a, "mu": 0.1,
            "sigma2": rng.uniform(0.1, 4) if noisy else 0.0, "D": rng.uniform(0, 5), "|F|^2": rng.uniform(0, 5),
            "D0": rng.uniform(0, 5),
        }  # fmt: skip
        point["gamma"] = (rng.uniform(0.1, 0.95) if noisy or a > 1 else 1.0) / point["L"]
        found.append(point)
    return found


POINTS, STILL_POINTS = _points(noisy=True), _points(noisy=False)
LATEX = {
    "F": r"\nabla f", "p": "g_p", "kappa": r"\kappa", "D": "D_t", "D_next": r"\mathbb E D_{t+1}",
    "sigma2": r"\sigma^2",
}  # fmt: skip
AMPLIFIED = sp.Max(1, sp.Abs(1 + alpha))


def _one_step(point: Mapping[str, float]) -> float:
    gap, norm = np.array([point["D"]]), np.array([point["|F|^2"]])
    return float(step_bound(gsam_facts(point), gap, norm, 0, {})[0])


def _perturbation(point: Mapping[str, float]) -> float:
    return float(perturbation(gsam_facts(point), point["rho"]))


half = sp.Rational(1, 2)
# The coin x^2/2 +- sqrt 2 x at x = 0, each coordinate a draw: g = +-sqrt 2, and the radius sqrt 2/2 makes p = 3 g/2.
COIN = {
    "L": 1, "L_S": 1, "gamma": half, "r": half, "rho": sp.sqrt(2) / 2, "alpha": 0, "kappa": 1, "sigma2": 2,
    "D": 0, "D_next": sp.Rational(9, 16), "F": (0, 0), "g": (1, -1), "p": (3 * half, -3 * half), "q": (1, -1),
}  # fmt: skip
# f = x^2/2 from x = 1, without a radius.
FALL = {
    "L": 1, "L_S": 1, "gamma": sp.Rational(9, 10), "r": sp.Rational(1, 10), "rho": 0, "alpha": 0, "kappa": 1,
    "sigma2": 0, "D": half, "D_next": sp.Rational(1, 200), "F": (1,), "g": (1,), "p": (1,), "q": (1,),
    "D_s": half, "S": 0, "R": 0,
}  # fmt: skip
# The same with gamma = 1 on the cycle +-rho, and with gamma = 3, where the gap grows fourfold.
CYCLE = {
    "L": 1, "L_S": 1, "gamma": 1, "rho": 1, "alpha": 0, "kappa": 1, "D": half, "D_next": half,
    "F": (1,), "p": (2,), "q": (1,), "D_s": half, "S": 0, "R": 0,
}  # fmt: skip
LONG = CYCLE | {"gamma": 3, "rho": 0, "D_next": 2, "p": (1,)}
# A saddle where p is perpendicular to p - g, so that g_perp is all of -(p - g) and alpha = 2 makes it three times as
# long: curvatures 1 and -1 along (1, 1) and (1, -1), turned so that p lies on an axis.
SADDLE = {
    "L": 1, "L_S": 1, "gamma": half, "r": half, "rho": 1, "alpha": 2, "kappa": 3, "sigma2": 0, "D": 9, "D_next": 6,
    "F": (2, -1), "g": (2, -1), "p": (2, 0), "q": (2, 0), "D_s": 9, "S": 0, "R": 0,
}  # fmt: skip

derivations.add(
    Derivation(
        id="gsam/weighted-gradient",
        title="GSAM on smooth functions: squared gradients weighted by the step sizes (A1)",
        claims=("gsam/weighted-gradient",),
        given=(*GIVEN, _so_far(c2 + noise)),
        steps=STEPS,
        conclusion="one step",
        meets=(
            Meets("one step", ONE_STEP.subs(kappa, AMPLIFIED), _one_step, POINTS),
            Meets("c", (kappa * L_S * rho).subs(kappa, AMPLIFIED), _perturbation, POINTS),
        ),
        twins=(
            Twin(
                "radius and noise as if they did not meet: L gamma sigma^2 without 1/(1 - L gamma)",
                "one step",
                replace(SAMPLED[-1], right=D - gamma / 2 * norm2(F) + gamma / 2 * (c2 + L * gamma * sigma2)),
                counterexample=COIN | {"D_s": 0, "S": 0, "R": 0},
            ),
            Twin(
                "a third of the noise",
                "one step",
                replace(SAMPLED[-1], right=D - gamma / 2 * norm2(F) + gamma / 2 * (c2 + noise / 3)),
                counterexample=COIN | {"D_s": 0, "S": 0, "R": 0},
            ),
            Twin(
                "alpha for free",
                "error of the direction",
                replace(STEPS[0], right=norm2(p - g)),
                counterexample=SADDLE,
            ),
            Twin(
                "half of the start",
                "window",
                replace(STEPS[-1], right=D_s + R + gamma * (c2 + noise)),
                counterexample=FALL,
            ),
            Twin("a biased gradient", "in r", without=("unbiased",)),
        ),
        remarks=(
            "In L^2 of the draws: <u, v> is E u'v, and g_perp is across p in every draw, so also in the mean.",
            "p = 0 is included: q = 0 there and g_perp = g. So are rho = 0 and g = 0, where p = g and g_perp = 0.",
            "The mean of G is not needed: -<grad f, G> and L gamma ||G||^2/2 are bounded together. "
            "gamma = 1/L without noise is gsam/weighted-gradient-noiseless.",
        ),
        covers="the one-step inequality that the code iterates, with c from the projection, and its sum over any "
        "window; that the least E||grad f(x_t)||^2 is at most the weighted mean is not a step",
        latex_names=LATEX,
    )
)

derivations.add(
    Derivation(
        id="gsam/weighted-gradient-noiseless",
        title="GSAM with a full batch: squared gradients weighted by the step sizes, gamma = 1/L included (A1)",
        claims=("gsam/weighted-gradient",),
        given=(*NOISELESS, _so_far(c2)),
        steps=NOISELESS_STEPS,
        conclusion="one step",
        meets=(
            Meets(
                "one step",
                (D - gamma / 2 * norm2(F) + gamma / 2 * c2).subs(kappa, AMPLIFIED),
                _one_step,
                STILL_POINTS,
            ),
        ),
        twins=(
            Twin(
                "the radius costs nothing",
                "one step",
                replace(NOISELESS_STEPS[2], right=D - gamma / 2 * norm2(F)),
                counterexample=CYCLE,
            ),
            Twin(
                "any step",
                "one step",
                without=("step range",),
                counterexample=LONG,
            ),
        ),
        remarks=("sigma = 0 means grad f_v = grad f in every draw, so that p may vary and g does not.",),
        covers="the edge case sigma = 0, gamma <= 1/L: one step and the sum over any window",
        latex_names=LATEX,
    )
)
