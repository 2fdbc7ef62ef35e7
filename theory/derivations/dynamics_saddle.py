"""SAM at saddles: the window of negative curvature in which its cycle attracts, and negative curvature alone (A6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.dynamics_saddle import caught, window
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.dynamics import factors, multipliers, radii
from theory.setting import Facts

gamma, rho, h, m = sp.symbols("gamma rho h m", positive=True)  # the top eigenvalue; minus a negative one
low, high, r = sp.symbols("low high r", positive=True)  # the ends of the window; the radius of the cycle

mu = 1 + gamma * m - (2 - gamma * h) * m**2 / h**2
WINDOW = (
    Given("radius", (2 - gamma * h) * r - gamma * rho * h, "=", "definition", "r > 0 says gamma lambda_1 < 2"),
    Given(
        "low", (2 - gamma * h) * low - gamma * h**2, "=", "definition", "low = gamma lambda_1^2/(2 - gamma lambda_1)"
    ),
    Given("high", (2 - gamma * h) * high - 2 * h, "=", "definition", "high = 2 lambda_1/(2 - gamma lambda_1)"),
)
UPPER = Step(
    "lower end",
    0,
    "<=",
    (1 - mu) * (m - low),
    by=(("range", (m - low) ** 2, m / h**2), ("low", m / h**2 * (m - low))),
    why="1 - mu has the sign of m - low: mu < 1 if and only if m > low",
)
LOWER = Step(
    "upper end",
    0,
    "<=",
    (1 + mu) * (high - m),
    by=(("range", (high - m) ** 2, (1 + m / h) / h), ("high", -(1 + m / h) / h * (high - m))),
    why="1 + mu has the sign of high - m: mu > -1 if and only if m < high",
)
FACTOR = Step(
    "factor",
    1 + gamma * m - gamma * rho * m**2 / (h * r),
    "=",
    mu,
    by=(("radius", -(m**2) / (h**2 * r)),),
    why="the factor of dynamics/multipliers for lambda_j = -m, where ||g|| = lambda_1 r",
)
WINDOW_STEPS = (
    FACTOR,
    Step("range", 0, "<", 2 - gamma * h, by=((gamma * rho * h / r,), ("radius", 1 / r))),
    UPPER,
    LOWER,
    Step(
        "a window", 0, "<", (2 - gamma * h) * (high - low), by=(("high",), ("low", -1), ("range", h)), why="low < high"
    ),
)


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(14)
    found: list[Mapping[str, float]] = []
    for _ in range(6):
        step, radius, top, negative = (
            rng.uniform(0.1, 1.5),
            rng.uniform(0.01, 1),
            rng.uniform(0.3, 1.2),
            rng.uniform(0.1, 3),
        )
        point = {"gamma": step, "rho": radius, "h": top, "m": negative}
        found.append(point | {"r": float(radii(facts_at(point), np.array([top]))[0])})
    return found


POINTS = _points()


def _multiplier(point: Mapping[str, float]) -> float:
    h12 = np.array([point["h"], -point["m"]])
    return float(multipliers(facts_at(point, spectrum=tuple(h12)), h12, 0)[1])


def _low(point: Mapping[str, float]) -> float:
    return window(facts_at(point, spectrum=(point["h"], -point["m"])))[0]


def _high(point: Mapping[str, float]) -> float:
    return window(facts_at(point, spectrum=(point["h"], -point["m"])))[1]


# gamma lambda_1 = 1/2: the window is (1/3, 4/3)
SADDLE = {
    "gamma": sp.Rational(1, 2), "rho": 3, "h": 1, "r": 1, "low": sp.Rational(1, 3), "high": sp.Rational(4, 3),
}  # fmt: skip

derivations.add(
    Derivation(
        id="dynamics/saddle-trap",
        title="SAM's cycle at a saddle attracts where all negative curvatures lie in a window (A6)",
        claims=("dynamics/saddle-trap",),
        given=WINDOW,
        steps=WINDOW_STEPS,
        conclusion="upper end",
        meets=(
            Meets("mu_j", mu, _multiplier, POINTS),
            Meets("low", gamma * h**2 / (2 - gamma * h), _low, POINTS),
            Meets("high", 2 * h / (2 - gamma * h), _high, POINTS),
        ),
        twins=(
            Twin(
                "no lower end: weak negative curvature traps",
                "lower end",
                replace(UPPER, right=1 - mu),
                counterexample=SADDLE | {"m": sp.Rational(1, 5)},
            ),
            Twin(
                "no upper end",
                "upper end",
                replace(LOWER, right=1 + mu),
                counterexample=SADDLE | {"m": sp.Rational(3, 2)},
            ),
            Twin("the radius of gradient descent's step", "factor", without=("radius",)),
        ),
        remarks=("positive eigenvalues below the top are dynamics/multipliers; eigenvalues 0 never move",),
        covers="|mu_j| < 1 if and only if the negative eigenvalue lies in the window; local attraction and "
        "repulsion from |mu_j| are the linearisation theorem",
        latex_names={"h": r"\lambda_1", "m": r"|\lambda_j|", "r": "r_1", "mu": r"\mu_j"},
    )
)

# -- negative curvature alone --

w = sp.Symbol("w", positive=True)  # |w_t|, inside
far = sp.Symbol("v", positive=True)  # |w_t|, outside
w0 = sp.Symbol("w_0", nonnegative=True)
power = sp.Symbol("P", positive=True)  # (1 + gamma m)^t
W = sp.Symbol("w_next", real=True)
V = sp.Symbol("v_next", real=True)

CONCAVE = (
    Given(
        "step",
        w + gamma * m * (w - rho) - W,
        "=",
        "definition",
        "from w > 0: g = -m w, and the gradient is asked at w - rho",
    ),
    Given("outer step", far + gamma * m * (far - rho) - V, "=", "definition", "the same, from outside"),
    Given("gentle", 1 - gamma * m, ">=", "hypothesis", "gamma m <= 1"),
    Given("caught", gamma * m * rho - w, ">=", "hypothesis", "|w_t| <= gamma m rho"),
    Given("outside", far - rho, ">", "hypothesis", "|w_0| > rho for the other start"),
    Given("late", power * (rho - w0) - rho, ">=", "hypothesis", "t >= -ln(1 - |w_0|/rho)/ln(1 + gamma m), |w_0| < rho"),
)
KEPT_ABOVE = Step(
    "kept from above",
    W,
    "<=",
    gamma * m * rho,
    by=(("step",), ("caught", 1 + gamma * m), ("gentle", gamma * m * rho)),
    why="(1 + gamma m) gamma m rho - gamma m rho = (gamma m)^2 rho <= gamma m rho",
)
CONCAVE_STEPS = (
    Step(
        "expands",
        rho - W,
        "=",
        (1 + gamma * m) * (rho - w),
        by=(("step", -1),),
        why="the distance from rho grows by 1 + gamma m while w > 0: slope 1 + gamma m, so no run converges",
    ),
    Step(
        "escapes",
        V - rho,
        "=",
        (1 + gamma * m) * (far - rho),
        by=(("outer step", 1),),
        why="from |w_0| > rho: |w_t| - rho = (1 + gamma m)^t (|w_0| - rho)",
    ),
    Step(
        "stays outside",
        rho,
        "<",
        V,
        by=(("outside", 1 + gamma * m), ("outer step", -1)),
    ),
    Step(
        "crosses in time",
        rho - power * (rho - w0),
        "<=",
        0,
        by=(("late",),),
        why="w_t = rho - (1 + gamma m)^t (rho - w_0) cannot be positive any more: the sign has changed by then",
    ),
    Step(
        "crosses no further",
        -gamma * m * rho,
        "<=",
        W,
        by=(((1 + gamma * m) * w,), ("step", -1)),
        why="the first w on the other side, and every later one, has |w| <= gamma m rho from below",
    ),
    KEPT_ABOVE,
    Step(
        "trapped", W**2, "<=", (gamma * m * rho) ** 2, by=(("kept from above", "crosses no further"),), why="for ever"
    ),
)


def _concave_facts(point: Mapping[str, float]) -> Facts:
    return facts_at(point, spectrum=(-point["m"],), grad_norm2_0=(point["m"] * point["w_0"]) ** 2)


def _concave_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(15)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        curvature, radius = rng.uniform(0.2, 3), rng.uniform(0.1, 1)
        found.append(
            {
                "m": curvature, "gamma": rng.uniform(0.1, 1) / curvature, "rho": radius,
                "w_0": radius * rng.uniform(0.05, 0.95), "w": radius * rng.uniform(0.05, 1.5),
            }
        )  # fmt: skip
    return found


CONCAVE_POINTS = _concave_points()


def _caught(point: Mapping[str, float]) -> float:
    return float(caught(_concave_facts(point)))


def _after(point: Mapping[str, float]) -> float:
    """One step of the code from w."""
    gradient = np.array([point["m"] * point["w"]])
    return float(point["w"] * factors(_concave_facts(point), np.array([-point["m"]]), gradient)[0, 0])


INSIDE = {
    "gamma": 1, "m": sp.Rational(1, 2), "rho": 1, "w": sp.Rational(1, 2), "w_next": sp.Rational(1, 4), "v": 2,
    "v_next": sp.Rational(5, 2), "w_0": sp.Rational(1, 2), "P": 3,
}  # fmt: skip

derivations.add(
    Derivation(
        id="dynamics/concave-trap",
        title="Along negative curvature alone SAM is trapped within its radius and escapes from outside (A6)",
        claims=("dynamics/concave-trap",),
        given=CONCAVE,
        steps=CONCAVE_STEPS,
        conclusion="trapped",
        meets=(
            Meets("one step", w + gamma * m * (w - rho), _after, CONCAVE_POINTS),
            Meets("time", sp.ceiling(-sp.log(1 - w0 / rho) / sp.log(1 + gamma * m)), _caught, CONCAVE_POINTS),
        ),
        twins=(
            Twin(
                "a contraction: factor 1 - gamma m",
                "expands",
                replace(CONCAVE_STEPS[0], right=(1 - gamma * m) * (rho - w)),
                counterexample=INSIDE,
            ),
            Twin(
                "trapped from outside too",
                "stays outside",
                replace(CONCAVE_STEPS[2], left=V, right=rho),
                counterexample=INSIDE,
            ),
            Twin(
                "gamma m = 3/2",
                "kept from above",
                without=("gentle",),
                counterexample=INSIDE
                | {
                    "m": sp.Rational(3, 2),
                    "w": sp.Rational(3, 2),
                    "w_next": sp.Rational(9, 4),
                    "v_next": sp.Rational(7, 2),
                },
            ),
            Twin("too early", "crosses in time", without=("late",)),
        ),
        remarks=("w < 0 is the mirror image; at w = 0 the gradient is 0 and the run stays",),
        covers="both parts: the escape in closed form, the time of the first crossing, the trapped interval for "
        "gamma m <= 1, and the expansion by 1 + gamma m that excludes convergence",
        latex_names={
            "w": "|w_t|",
            "w_next": "w_{t+1}",
            "v": "|w_t|'",
            "v_next": "|w_{t+1}|'",
            "w_0": "|w_0|",
            "P": r"(1+\gamma m)^t",
        },
    )
)
