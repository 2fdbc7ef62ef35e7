"""One example a step on a generalised linear model: SSAM is SGD, and USAM on squared losses a longer step (B5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from problems.glm import LeastSquaresProblem
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.methods.ssam import renormalisation

gamma = sp.Symbol("gamma", positive=True)
p = sp.Symbol("p", real=True, nonzero=True)  # l'(a.x), the first slope
q, k, x, a, x_next = sp.symbols("q k x a x_next", real=True)  # second slope; q = (1 + k) p; one coordinate each
s, A, rho = sp.symbols("s A rho", nonnegative=True)  # rho or rho/||g||; ||a||^2
shift = sp.Symbol("z", positive=True)  # s A
renorm = sp.Symbol("nu", nonnegative=True)

SSAM = (
    Given(
        "monotone slope",
        (q - p) * shift * p,
        ">=",
        "hypothesis",
        "l is convex: (l'(v) - l'(u))(v - u) >= 0 at u = a.x and v = a.(x + s g) = u + s l'(u) ||a||^2",
    ),
    Given("ratio", k * p - (q - p), "=", "definition", "q = (1 + k) p"),
    Given("renormalisation", renorm**2 * q**2 - p**2, "=", "definition", "nu = ||g||/||g_a|| with g = p a, g_a = q a"),
    Given("step", x_next - x + gamma * renorm * q * a, "=", "definition", "one coordinate of x+ = x - gamma nu g_a"),
)

SSAM_STEPS = (
    Step(
        "same sign",
        0,
        "<=",
        k,
        by=((1 / (shift * p**2), "monotone slope"), (1 / p, "ratio")),
        why="the second slope has the sign of the first, and is no smaller",
    ),
    Step(
        "squares",
        (renorm * (1 + k)) ** 2,
        "=",
        1,
        by=((-1 / p**2, "renormalisation"), (-(renorm**2) * (q + (1 + k) * p) / p**2, "ratio")),
    ),
    Step("at least 1", 0, "<", renorm * (1 + k) + 1, by=((renorm, "same sign"), (renorm,), (1,))),
    Step(
        "undone",
        renorm * (1 + k),
        "=",
        1,
        by=((1 / (renorm * (1 + k) + 1), "squares"),),
        why="nu (1 + k) = -1 is excluded",
    ),
    Step(
        "renormalised slope",
        renorm * q,
        "=",
        p,
        by=((renorm, "ratio"), (p, "undone")),
        why="nu g_a = g",
    ),
    Step(
        "one step",
        x_next,
        "=",
        x - gamma * p * a,
        by=((-gamma * a, "renormalised slope"), (-1, "step")),
        why="the step of SGD on the same example",
    ),
)


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(0)
    found: list[Mapping[str, float]] = []
    for _ in range(4):
        p, k = rng.choice([-1, 1]) * rng.uniform(0.1, 2), rng.uniform(0, 3)
        found.append({"p": p, "k": k, "q": (1 + k) * p, "A": rng.uniform(0.1, 4)})
    return found


def _factor(point: Mapping[str, float]) -> float:
    """||g||/||g_a|| by the method's own function of the squares."""
    return float(renormalisation(point["p"] ** 2 * point["A"], point["q"] ** 2 * point["A"]))


derivations.add(
    Derivation(
        id="ssam/glm-is-sgd",
        title="With one example a step on a convex generalised linear model SSAM is SGD (B5)",
        claims=("ssam/glm-is-sgd",),
        given=SSAM,
        steps=SSAM_STEPS,
        conclusion="one step",
        meets=(Meets("renormalisation", 1 / (1 + k), _factor, _points()),),
        twins=(
            Twin(
                "losses that are not convex",
                "same sign",
                without=("monotone slope",),
                # the slope changes its sign on the way: nu g_a = -g
                counterexample={
                    "p": 1, "q": -1, "k": -2, "z": 1, "nu": 1, "gamma": 1, "a": 1, "x": 0, "x_next": 1,
                },
            ),
            Twin(
                "the perturbed gradient as it is",
                "renormalised slope",
                replace(SSAM_STEPS[4], left=q),
                counterexample={
                    "p": 1, "q": 2, "k": 1, "z": 1, "nu": sp.Rational(1, 2), "gamma": 1, "a": 1, "x": 0, "x_next": -1,
                },
            ),
        ),
        remarks=(
            "p = 0: g = 0, the perturbation is 0 and nothing moves, as with SGD. s ||a||^2 = 0 (rho = 0 or a = 0): "
            "g_a = g. Either ascent: only s >= 0 is used.",
        ),
        covers="one step in every coordinate, hence the same iterates on the same draws; every rho, either ascent",
        latex_names={"nu": r"\nu", "x_next": "x_{t+1}", "z": r"s\|a\|^2", "p": r"\ell'(u)", "q": r"\ell'(v)"},
    )
)  # fmt: skip

# -- USAM on squared losses --

e, e_a, b, u = sp.symbols("e e_a b u", real=True)

USAM = (
    Given("residual", e - (u - b), "=", "definition", "e = a.x - b, u = a.x: the slope of the squared loss"),
    Given("perturbed residual", e_a - (u + rho * e * A - b), "=", "definition", "the same at x + rho g, g = e a"),
    Given("step", x_next - x + gamma * e_a * a, "=", "definition", "one coordinate of x+ = x - gamma g_a, g_a = e_a a"),
)
USAM_STEPS = (
    Step(
        "stretched",
        e_a,
        "=",
        (1 + rho * A) * e,
        by=((-1, "perturbed residual"), ("residual",)),
        why="A = ||a||^2",
    ),
    Step(
        "one step",
        x_next,
        "=",
        x - gamma * (1 + rho * A) * e * a,
        by=((-gamma * a, "stretched"), (-1, "step")),
        why="SGD with the step gamma (1 + rho ||a||^2)",
    ),
)

ROWS, TARGETS = np.array([[0.6, 0.8, 0.0], [1.5, -0.2, 0.7], [0.0, 0.3, -2.0]]), np.array([1.0, -0.5, 0.2])
SQUARES = LeastSquaresProblem(A=ROWS, b=TARGETS, reg=0.0, name="three rows")
START = np.array([0.4, -1.1, 0.3])


def _rows() -> list[Mapping[str, float]]:
    """The first coordinate of a step on each example."""
    found: list[Mapping[str, float]] = []
    for i in range(3):
        row = ROWS[i]
        residual = float(row @ START - TARGETS[i])
        found.append(
            {
                "i": i, "x": START[0], "e": residual, "a": row[0], "A": float(row @ row), "gamma": 0.3,
                "rho": 0.2 + i,
            }
        )  # fmt: skip
    return found


def _usam(point: Mapping[str, float]) -> float:
    """x - gamma grad f_i(x + rho grad f_i(x)), first coordinate, by the problem's gradients."""
    i = int(point["i"])
    ga = SQUARES.sample_gradient(i, START + point["rho"] * SQUARES.sample_gradient(i, START))
    return float(START[0] - point["gamma"] * ga[0])


derivations.add(
    Derivation(
        id="ssam/usam-glm-step",
        title="With one example a step on least squares USAM is SGD with a longer step (B5)",
        claims=("ssam/usam-glm-step",),
        given=USAM,
        steps=USAM_STEPS,
        conclusion="one step",
        meets=(Meets("one step", x - gamma * (1 + rho * A) * e * a, _usam, _rows()),),
        twins=(
            Twin(
                "the step gamma (1 + rho) of a row of length 1, for all rows",
                "one step",
                replace(USAM_STEPS[1], right=x - gamma * (1 + rho) * e * a),
                counterexample={
                    "u": 2, "b": 1, "e": 1, "e_a": 5, "A": 4, "rho": 1, "gamma": 1, "a": 2, "x": 1, "x_next": -9,
                },
            ),
            Twin("a shorter step", "one step", replace(USAM_STEPS[1], right=x - gamma * (1 - rho * A) * e * a)),
        ),
        remarks=("rho = 0, a zero row and a zero residual are included: nothing is divided.",),
        covers="one step in every coordinate, hence the same iterates on the same draws when all rows have one length",
        latex_names={"e_a": "e_a", "x_next": "x_{t+1}", "A": r"\|a\|^2"},
    )
)  # fmt: skip
