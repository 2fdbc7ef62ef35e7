"""What a long ascent path finds: how fast it nears the flow, and why the projected rule ends at the maximum (A5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.multistep_maximum import budget_end
from theory.derivation import Derivation, Given, Induction, Lemma, Meets, Step, Twin, derivations
from theory.derivations import multistep_path as path
from theory.inner_max import quadratic_on_ball
from theory.inner_product import dot, norm2, square, vectors

rho = sp.Symbol("rho", positive=True)
half = sp.Rational(1, 2)

# -- the order 1/n --

h, G, a, b, L = sp.symbols("h G a b L", positive=True)  # h = rho/n; a and b the lengths of two gradients
apart, error, error_next, local, field = sp.symbols("d e_j e_next ell E", nonnegative=True)
growth = sp.Symbol("w", nonnegative=True)  # (1 + h K)^j
u, v = vectors("u v")
K = L / G

FLOW = (
    Given("unit u", norm2(u) - 1, "=", "definition", "grad f(z) = a u"),
    Given("unit v", norm2(v) - 1, "=", "definition", "grad f(y) = b v"),
    Given(
        "envelope",
        a - (G + path.j * h * path.R0),
        ">=",
        "lemma",
        "multistep/curvature-monotone: the gradient after j steps of length h is at least G + j h R(g) long, G = ||g||",
        lemma=Lemma(
            "multistep/curvature-monotone",
            "below at j",
            at={path.G: a, path.G0: G, path.t: h},
            granted={"semidefinite": "H is positive semidefinite here too"},
        ),
    ),
    Given("long b", b - G, ">=", "hypothesis", "the same on the flow, a limit of such paths"),
    Given("smooth", (L * apart) ** 2 - norm2(a * u - b * v), ">=", "standard", "||H (z - y)|| <= L d, d = ||z - y||"),
    Given("field", field**2 - norm2(u - v), "=", "definition", "E = ||u - v||"),
    Given("local error", K * h**2 / 2 - local, ">=", "standard", "Taylor: the velocity is K-Lipschitz, of length 1"),
    Given("one step", (1 + h * K) * error + local - error_next, ">=", "standard", "triangle, a K-Lipschitz field"),
    Given(
        "error at j",
        h / 2 * (growth - 1) - error,
        ">=",
        "induction",
        "induction over j: w = (1 + h K)^j, 0 at 0",
        Induction(
            "error at j + 1", next={error: error_next, growth: growth * (1 + h * K)}, start={error: 0, growth: 1}
        ),
    ),
)
FLOW_STEPS = (
    Step("long a", G, "<=", a, by=(("envelope",), (path.j * h * path.R0,)), why="no gradient on the path is shorter"),
    Step(
        "directions",
        a * b * norm2(u - v),
        "<=",
        norm2(a * u - b * v),
        by=(((a - b) ** 2,), (a * (a - b), "unit u"), (-b * (a - b), "unit v")),
    ),
    Step(
        "Lipschitz field",
        field**2,
        "<=",
        (K * apart) ** 2,
        by=(
            (1 / G**2, "smooth"),
            (1 / G**2, "directions"),
            (b / G**2, "long a", square(u - v)),
            (1 / G, "long b", square(u - v)),
            (-1, "field"),
        ),
        why="grad f/||grad f|| is K-Lipschitz where ||grad f|| >= G, K = L/G",
    ),
    Step(
        "error at j + 1",
        error_next,
        "<=",
        h / 2 * ((1 + h * K) * growth - 1),
        by=(("one step",), ("local error",), (1 + h * K, "error at j")),
        why="at j = n: (rho/(2 n))((1 + rho K/n)^n - 1) <= (rho/(2 n))(exp(K rho) - 1) = O(1/n)",
    ),
)

g1, g2, l1, l2 = sp.symbols("g_1 g_2 l_1 l_2", real=True)
before = sp.sqrt(g1**2 + g2**2)
after = sp.sqrt((g1 * (1 + h * l1 / before)) ** 2 + (g2 * (1 + h * l2 / before)) ** 2)


def _two_steps(point: Mapping[str, float]) -> float:
    H, g = np.diag([point["l_1"], point["l_2"]]), np.array([point["g_1"], point["g_2"]])
    return float(budget_end(H, g, 2 * point["h"], 2)[0])


FLOW_POINTS = [
    {"g_1": 1.0, "g_2": 0.1, "l_1": 1.0, "l_2": 10.0, "h": 0.3},
    {"g_1": -0.4, "g_2": 2.0, "l_1": 0.0, "l_2": 0.5, "h": 1.0},
    {"g_1": 0.7, "g_2": -0.6, "l_1": 3.0, "l_2": 1.0, "h": 0.05},
]

LINE: Mapping[str, sp.Expr | int | tuple[sp.Expr | int, ...]] = {
    "u": (1, 0), "v": (0, 1), "a": 1, "b": 1, "G": 1, "L": 1, "d": sp.sqrt(2), "E": sp.sqrt(2), "h": 1, "ell": half,
    "e_j": 0, "e_next": half, "w": 1, "j": 0, "R_0": 0,
}  # fmt: skip

derivations.add(
    Derivation(
        id="multistep/budget-flow",
        title="The path of a fixed budget tends to normalised gradient flow (A5)",
        claims=("multistep/budget-flow",),
        given=FLOW,
        steps=FLOW_STEPS,
        conclusion="error at j + 1",
        meets=(
            Meets(
                "two steps of the path, first coordinate",
                h * g1 / before + h * g1 * (1 + h * l1 / before) / after,
                _two_steps,
                FLOW_POINTS,
            ),
        ),
        twins=(
            Twin(
                "half of the Lipschitz constant",
                "Lipschitz field",
                replace(FLOW_STEPS[2], right=(K * apart / 2) ** 2),
                counterexample=LINE,
            ),
            Twin("gradients that may vanish on the way", "long a", without=("envelope",)),
        ),
        remarks=("g is not 0. The velocity grad f/||grad f|| has length 1, hence the local error K h^2/2.",),
        covers="the order 1/n with a constant, (rho/2)(exp(L rho/||g||) - 1); that no higher order holds is measured",
        latex_names={"e_next": "e_{j+1}", "ell": r"\ell", "w": "(1+hK)^j", "d": r"\|z-y\|"},
    )
)  # fmt: skip

# -- the inner maximum --

best, e, Hbest, He, here, there = vectors("best e Hbest He z y")
g_i, eigen = sp.symbols("g_i lambda", real=True)
delta_i = sp.Symbol("delta_i", real=True, nonzero=True)
multiplier = sp.Symbol("nu", positive=True)
product = sp.Symbol("p", positive=True)  # g_i delta_i
rise = sp.Symbol("F", real=True)
step = sp.Symbol("s", positive=True)
gradient = vectors("q")[0]

slope = multiplier * best - Hbest  # g
gap = dot(slope, best - e) + half * dot(best, Hbest) - half * dot(e, He)  # f(x + best) - f(x + e)

MAXIMUM = (
    Given("sphere", norm2(best) - rho**2, "=", "hypothesis", "||best|| = rho and g + H best = nu best: a rest"),
    Given("ball", rho**2 - norm2(e), ">=", "definition", "e is any point of the ball"),
    Given("symmetric", dot(best, He) - dot(e, Hbest), "=", "definition", "H is symmetric"),
    Given(
        "top",
        multiplier * norm2(best - e) - dot(best - e, Hbest - He),
        ">=",
        "hypothesis",
        "nu >= lambda for every eigenvalue: `multiplier` for the excited ones, the top one among them",
    ),
    Given("coordinate", (multiplier - eigen) * delta_i - g_i, "=", "definition", "g_i = (nu - lambda) best_i"),
    Given("same sign", product - g_i * delta_i, "=", "hypothesis", "g_i best_i = p > 0: signs stay those of g"),
    Given("convex", rise - dot(gradient, there - here), ">=", "hypothesis", "f(y) - f(z) >= <grad f(z), y - z>"),
    Given(
        "projection",
        dot(here + step * gradient - there, there - here),
        ">=",
        "standard",
        "y is the point of the ball nearest to z + s grad f(z), and z lies in the ball",
    ),
)
MAXIMUM_STEPS = (
    Step(
        "multiplier",
        0,
        "<",
        multiplier - eigen,
        by=((product / delta_i**2,), (-1 / delta_i**2, "same sign"), (1 / delta_i, "coordinate")),
        why="nu - lambda = g_i best_i/best_i^2",
    ),
    Step(
        "inside",
        multiplier / 2 * (rho**2 - norm2(e)),
        "<=",
        gap,
        by=((half, "top"), (multiplier / 2, "sphere"), (-half, "symmetric")),
        why="strictly inside the ball the value is below the maximum: so it is at the end of the flow",
    ),
    Step("maximum", 0, "<=", gap, by=(("inside",), (multiplier / 2, "ball")), why="a resting point is the maximum"),
    Step(
        "ascent",
        0,
        "<=",
        rise,
        by=(("convex",), (1 / step, "projection"), (1 / step, square(there - here))),
        why="the projected rule never descends",
    ),
)


def _resting_points() -> list[Mapping[str, float]]:
    """H = diag(l_1, l_2), g and nu at will: best = (nu - H)^-1 g rests on the sphere of radius ||best||."""
    found: list[Mapping[str, float]] = []
    for l_1, l_2, g_1, g_2, nu in ((1.0, 0.2, 0.5, -0.4, 1.7), (2.0, 0.0, -1.0, 0.3, 2.1), (0.5, 0.4, 0.1, 2.0, 3.0)):
        point = {"l_1": l_1, "l_2": l_2, "g_1": g_1, "g_2": g_2, "nu": nu}
        found.append({**point, "rho": float(np.hypot(g_1 / (nu - l_1), g_2 / (nu - l_2)))})
    return found


def _inner_maximum(point: Mapping[str, float]) -> float:
    g, H = np.array([point["g_1"], point["g_2"]]), np.diag([point["l_1"], point["l_2"]])
    return quadratic_on_ball(g, H, point["rho"]).value


# On the line: f = x + x^2/2 on [-1, 1], with its maximum at 1 (nu = 2).
ON_THE_LINE: Mapping[str, sp.Expr | int | tuple[sp.Expr | int, ...]] = {
    "rho": 1, "nu": 2, "lambda": 1, "delta_i": 1, "g_i": 1, "p": 1, "best": (1,), "Hbest": (1,), "e": (0,), "He": (0,),
    "F": 0, "z": (1,), "y": (1,), "q": (2,), "s": 1,
}  # fmt: skip

derivations.add(
    Derivation(
        id="multistep/budget-gap",
        title="Where the projected ascent rule rests is the inner maximum; inside the ball nothing is (A5)",
        claims=("multistep/budget-gap",),
        given=MAXIMUM,
        steps=MAXIMUM_STEPS,
        conclusion="inside",
        meets=(
            Meets(
                "inner maximum",
                half * (g1**2 / (multiplier - l1) + g2**2 / (multiplier - l2) + multiplier * rho**2),
                _inner_maximum,
                _resting_points(),
            ),
        ),
        twins=(
            Twin(
                "the path of a fixed budget, inside the ball, finds the maximum",
                "inside",
                replace(MAXIMUM_STEPS[1], left=gap, right=0),
                counterexample=ON_THE_LINE,
            ),
            Twin("a function that is not convex", "ascent", without=("convex",)),
        ),
        remarks=(
            "The end of the flow, and z_n, lie inside the ball unless the path is straight, as lengths of broken lines "
            "add up strictly; it is straight only if g is an eigenvector.",
            "The top eigenspace must be excited (g has a part in it).",
        ),
        covers="that a resting point with the signs of g is the global maximiser, the strict gap inside the "
        "ball, and ascent of the projected rule; convergence of its iterates is by hand",
        latex_names={"best": r"\delta^*", "Hbest": r"H\delta^*", "e": r"\delta", "He": r"H\delta", "nu": r"\nu",
                     "y": "z_{k+1}", "z": "z_k", "q": r"\hat g_k", "F": r"f(z_{k+1})-f(z_k)"},
    )
)  # fmt: skip
