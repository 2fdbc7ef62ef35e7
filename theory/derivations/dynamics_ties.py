"""SAM on a quadratic: a tie at the top freezes a direction; which coordinates a step shrinks; a ball it keeps (A6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy as sp

from theory.claims.dynamics_ties import gradient_thresholds, invariant_radius
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.dynamics import factors, radii

gamma, rho, lam, n, h, h2, theta = sp.symbols("gamma rho lam n h h_2 theta", positive=True)
a, b, A, B, along = sp.symbols("a b a_next b_next alpha", real=True)  # two coordinates; after a step; P w = alpha v


def factor(eigenvalue: sp.Expr) -> sp.Expr:
    """Of a coordinate, where ||g_t|| = n > 0."""
    return 1 - gamma * eigenvalue * (1 + rho * (1 - lam) * eigenvalue) - gamma * rho * lam * eigenvalue**2 / n


TIE_GIVEN = (
    Given("tie", h - h2, "=", "hypothesis", "two eigenvalues at the top are equal"),
    Given("step", factor(h) * a - A, "=", "definition", "the coordinate of one of them"),
    Given("other step", factor(h2) * b - B, "=", "definition", "the coordinate of the other"),
    Given(
        "theta",
        (2 - gamma * h * (1 + rho * (1 - lam) * h)) * theta - gamma * rho * lam * h**2,
        "=",
        "definition",
        "||g|| = theta = lambda_1 r_1 on the cycle",
    ),
    Given("on the cycle", n - theta, "=", "hypothesis", "||g_t|| = theta"),
)
slope = gamma + gamma * rho * (1 - lam) * (h + h2) + gamma * rho * lam * (h + h2) / n
FROZEN = Step(
    "frozen",
    A * b,
    "=",
    B * a,
    by=(("step", b), ("other step", -a), ("tie", slope * a * b)),
    why="the cross product of two coordinates in the top eigenspace stays 0 if it was: their ratio never changes",
)
TIE_STEPS = (
    FROZEN,
    Step(
        "cycle",
        factor(h) * along,
        "=",
        -along,
        by=(("theta", -along / theta), ("on the cycle", -gamma * rho * lam * h**2 * along / (n * theta))),
        why="along any direction of the top eigenspace the same radius r_1 = theta/lambda_1 turns back",
    ),
)


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(12)
    found: list[Mapping[str, float]] = []
    for _ in range(6):
        point = {"gamma": rng.uniform(0.1, 1), "rho": rng.uniform(0.01, 0.5), "lam": rng.uniform(0.1, 1)}
        point |= {"h": rng.uniform(0.2, 1), "n": rng.uniform(0.1, 2)}
        found.append(point | {"theta": float(point["h"] * radii(facts_at(point), np.array([point["h"]]))[0])})
    return found


POINTS = _points()


def _factor(point: Mapping[str, float]) -> float:
    return float(factors(facts_at(point), np.array([point["h"]]), np.array([point["n"]]))[0, 0])


def _radius(point: Mapping[str, float]) -> float:
    return float(radii(facts_at(point), np.array([point["h"]]))[0])


derivations.add(
    Derivation(
        id="dynamics/ties",
        title="Where the largest eigenvalue is multiple, the first direction in its eigenspace is kept (A6)",
        claims=("dynamics/ties",),
        given=TIE_GIVEN,
        steps=TIE_STEPS,
        conclusion="frozen",
        meets=(Meets("factor", factor(h), _factor, POINTS), Meets("radius", theta / h, _radius, POINTS)),
        twins=(
            Twin(
                "eigenvalues 1 and 1/2 taken for a tie",
                "frozen",
                without=("tie",),
                counterexample={
                    "gamma": 1,
                    "rho": 1,
                    "lam": 1,
                    "n": 1,
                    "h": 1,
                    "h_2": sp.Rational(1, 2),
                    "theta": 1,
                    "a": 1,
                    "b": 1,
                    "a_next": -1,
                    "b_next": sp.Rational(1, 4),
                    "alpha": 1,
                },
            ),
            Twin("at any gradient", "cycle", without=("on the cycle",)),
        ),
        witnesses=({"gamma": 1, "rho": 1, "lam": 1, "h": 1, "h_2": 1, "n": 1, "theta": 1, "a": 1, "b": 2},),
        remarks=("larger multiplicities are this for every pair of coordinates",),
        covers="that the direction is kept exactly, at every step and every lam, and the cycle along it; that "
        "almost every run ends there is as for dynamics/cycle",
        latex_names={
            "h": r"\lambda_1",
            "h_2": r"\lambda_2",
            "n": r"\|g_t\|",
            "theta": r"\theta_1",
            "a": "w_1",
            "b": "w_2",
            "a_next": "w_1^+",
            "b_next": "w_2^+",
            "lam": r"\lambda",
        },
    )
)

# -- which coordinates shrink, and the ball --

h1, G = sp.symbols("h_1 G", positive=True)  # the largest eigenvalue; the radius of the ball
change = 1 - gamma * h - gamma * rho * h**2 / n
RULE = Step(
    "coordinate rule",
    1 + change,
    "=",
    (2 - gamma * h) * (1 - theta / n),
    by=(("theta", -1 / n),),
    why="with `below 1`: |w+| < |w| if and only if ||g|| > theta, as gamma h < 2",
)
BALL = Step(
    "lower side",
    gamma * rho * h**2 - n * (1 - gamma * h),
    "<=",
    G,
    by=(("inside", "at 0", 1 / G), ("at the edge", n / G)),
    why="affine in ||g||, and at most G at 0 and at G",
)
CONTRACTION_GIVEN = (
    Given(
        "theta", (2 - gamma * h) * theta - gamma * rho * h**2, "=", "definition", "theta = gamma rho h^2/(2 - gamma h)"
    ),
    Given("ordered", h1 - h, ">=", "definition", "h_1 is the largest eigenvalue"),
    Given("ball, first", G - gamma * rho * h1**2, ">=", "definition", "G = max(1, 1/(2 - gamma h_1)) gamma rho h_1^2"),
    Given("ball, second", (2 - gamma * h1) * G - gamma * rho * h1**2, ">=", "definition", "the same; gamma h_1 < 2"),
    Given("inside", G - n, ">=", "hypothesis", "||g_t|| = n <= G"),
)
CONTRACTION_STEPS = (
    Step("below 1", change, "<", 1, by=((gamma * h,), (gamma * rho * h**2 / n,))),
    RULE,
    Step(
        "upper side",
        n * (1 - gamma * h) - gamma * rho * h**2,
        "<=",
        G,
        by=(("inside",), (gamma * h * n,), (gamma * rho * h**2,)),
    ),
    Step("at 0", gamma * rho * h**2, "<=", G, by=(("ball, first",), ("ordered", gamma * rho * (h + h1)))),
    Step(
        "at the edge",
        gamma * rho * h**2 - G * (1 - gamma * h),
        "<=",
        G,
        by=(("ball, second",), ("ordered", gamma * rho * (h + h1)), ("ordered", gamma * G)),
    ),
    BALL,
    Step(
        "ball",
        (n * change) ** 2,
        "<=",
        G**2,
        by=(("upper side", "lower side"),),
        why="||g+||^2 = sum_i change_i^2 g_i^2 is at most the largest (||g|| change_i)^2, as sum_i g_i^2 = ||g||^2",
    ),
)


def _contraction_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(13)
    found: list[Mapping[str, float]] = []
    for stiff in (0.4, 0.9, 1.3, 1.8):
        top = rng.uniform(0.5, 2)
        point = {"gamma": stiff / top, "rho": rng.uniform(0.05, 1), "h": top, "h_1": top, "n": rng.uniform(0.1, 2)}
        found.append(point | {"theta": point["gamma"] * point["rho"] * top**2 / (2 - stiff)})
    return found


CONTRACTIONS = _contraction_points()


def _ball(point: Mapping[str, float]) -> float:
    return invariant_radius(facts_at(point, spectrum=(point["h_1"],)))


def _threshold(point: Mapping[str, float]) -> float:
    return float(gradient_thresholds(facts_at(point), np.array([point["h"]]))[0])


ball = gamma * rho * h1**2 * sp.Max(1, 1 / (2 - gamma * h1))

derivations.add(
    Derivation(
        id="dynamics/overall-contraction",
        title="Which coordinates a step of SAM shrinks, and a ball of gradients that it never leaves (A6)",
        claims=("dynamics/overall-contraction",),
        given=CONTRACTION_GIVEN,
        steps=CONTRACTION_STEPS,
        conclusion="ball",
        meets=(
            Meets("G", ball, _ball, CONTRACTIONS),
            Meets("theta", theta, _threshold, CONTRACTIONS),
            Meets("one step", change, _factor, CONTRACTIONS),
        ),
        twins=(
            Twin(
                "the ball gamma rho h_1^2 at gamma h_1 = 3/2",
                "at the edge",
                without=("ball, second",),
                counterexample={
                    "gamma": sp.Rational(3, 2),
                    "rho": sp.Rational(2, 3),
                    "h": 1,
                    "h_1": 1,
                    "G": 1,
                    "n": 1,
                    "theta": 2,
                },
            ),
            Twin(
                "the threshold of another coordinate",
                "coordinate rule",
                without=("theta",),
                counterexample={"gamma": 1, "rho": 1, "h": 1, "h_1": 1, "G": 1, "n": 1, "theta": 2},
            ),
            Twin("an eigenvalue above h_1", "at 0", without=("ordered",)),
            Twin("from outside the ball", "upper side", without=("inside",)),
        ),
        witnesses=(
            {"gamma": 1, "rho": 1, "h": 1, "h_1": 1, "G": 1, "n": 1},
            {"gamma": sp.Rational(3, 2), "rho": 2, "h": sp.Rational(1, 2), "h_1": 1, "G": 6, "n": 5},
        ),
        remarks=(
            "no case is needed for gamma h below and above 1: the left-hand side is affine in ||g||",
            "theta grows with the eigenvalue: dynamics/cycle, `no other`",
        ),
        covers="the rule for every coordinate, and the ball for every gamma lambda_1 < 2, that beyond 1 included",
        latex_names={
            "h": r"\lambda_i",
            "h_1": r"\lambda_1",
            "n": r"\|g_t\|",
            "theta": r"\theta_i",
        },
    )
)
