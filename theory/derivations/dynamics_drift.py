"""One step of SAM on its cycle in a ravine of constant third derivative, and the drift along minima (A7, D2).

The gradient around the stationary point 0 is H x + D[x, x]/2, with D = D^3 f symmetric and trilinear. A step from s r v
sees it at y = s (r + rho) v + z, where z = rho (g/||g|| - s v) is the lean of the direction. Vectors are formal: `HPq`
is H P q, `He` is H e, `Dvz` is D[v, z], `Dzz` is D[z, z]; linearity of H and D writes H y and D[y, y] in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import sympy as sp

from theory.claims.dynamics_drift import LEAN, TURN, Ravine, displaced, error_bound
from theory.claims.dynamics_drift import refined as drift_of_the_code
from theory.claims.dynamics_flow import limiting, refined
from theory.derivation import Derivation, Given, Lemma, Limit, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.dynamics import radii
from theory.inner_product import dot, vectors

gamma, rho, h, r = sp.symbols("gamma rho h r", positive=True)  # h is the top eigenvalue
s = sp.Symbol("s", real=True)  # the side, +1 or -1
v, q, HPq, He, Dvz, Dzz, tau = vectors("v q HPq He Dvz Dzz tau")

RADIUS = Given(
    "radius", r * (2 - gamma * h) - gamma * rho * h, "=", "definition", "r = gamma rho lambda/(2 - gamma lambda)"
)
SIDE = Given("side", s**2 - 1, "=", "definition", "s = +1 or -1")

# -- the direction and the step --

lean = r / (2 * h)  # of P q in the direction, to first order
Hy = (s * (r + rho) * h) * v + (rho * lean) * HPq + rho * He
Dyy = (s**2 * (r + rho) ** 2) * q + (2 * s * (r + rho)) * Dvz + Dzz
after = (s * r) * v - gamma * (Hy + sp.Rational(1, 2) * Dyy)
drift = 2 * gamma * rho**2 / (2 - gamma * h) ** 2
E = rho * He + (s * (r + rho)) * Dvz + sp.Rational(1, 2) * Dzz
stated = (-s * r) * v - drift * q - (gamma * rho * r / (2 * h)) * HPq - gamma * E
STAYS = Step("stays", 0, "<", r * (2 - gamma * h), by=((gamma * rho * h,), ("radius",)), why="gamma lambda < 2")
REACH = Step(
    "reach",
    (r + rho) * (2 - gamma * h),
    "=",
    2 * rho,
    by=((-1, "radius"),),
    why="r + rho = 2 rho/(2 - gamma lambda)",
)
STEP = Step(
    "one step, in any direction",
    dot(tau, after),
    "=",
    dot(tau, stated),
    by=(
        (s * dot(tau, v), "turns back"),
        (gamma / 2 * (r + rho) ** 2 * dot(tau, q), "side"),
        (-dot(tau, q), "coefficient"),
    ),
    why="its product with any vector tau: the drift has one sign on both sides, s^2 = 1",
)
COEFFICIENT = Step(
    "coefficient",
    gamma / 2 * (r + rho) ** 2,
    "=",
    drift,
    by=((gamma / 2 * ((r + rho) * (2 - gamma * h) + 2 * rho) / (2 - gamma * h) ** 2, "reach"),),
    why="gamma (r + rho)^2/2 = 2 gamma rho^2/(2 - gamma lambda)^2",
)

# -- the size of the error --

x, B3, size = sp.symbols("xhat B_3 H", nonnegative=True)  # r ||q||/(2 lambda); a bound of ||D^3 f||; ||H||
turn, tilt = sp.symbols("turn tilt", nonnegative=True)  # the constants 0.73 and 1.04
norm_E, norm_e, norm_z, norm_vz, norm_zz, norm_He = sp.symbols(
    "E_norm e_norm z_norm Dvz_norm Dzz_norm He_norm", nonnegative=True
)
error = size * rho * turn * x**2 + B3 * ((r + rho) * tilt * rho * x + (tilt * rho * x) ** 2 / 2)

GIVEN = (
    RADIUS,
    SIDE,
    Given(
        "triangle inequality",
        rho * norm_He + (r + rho) * norm_vz + norm_zz / 2 - norm_E,
        ">=",
        "standard",
        "||E|| <= rho ||H e|| + (r + rho) ||D[v, z]|| + ||D[z, z]||/2",
    ),
    Given("H e", size * norm_e - norm_He, ">=", "standard", "||H e|| <= ||H|| ||e||"),
    Given("D v z", B3 * norm_z - norm_vz, ">=", "standard", "||D[v, z]|| <= B_3 ||z||, as ||v|| = 1"),
    Given("D z z", B3 * norm_z**2 - norm_zz, ">=", "standard", "||D[z, z]|| <= B_3 ||z||^2"),
    Given(
        "turn",
        turn * x**2 - norm_e,
        ">=",
        "lemma",
        "the root of dynamics/drift-direction: e = g/||g|| - s v - r P q/(2 lambda) has ||e|| <= 0.73 xhat^2",
        lemma=Lemma("dynamics/drift-direction", "turn", granted={"short": "xhat <= 1/2 is a hypothesis"}),
    ),
    Given(
        "tilt",
        tilt * rho * x - norm_z,
        ">=",
        "lemma",
        "the root of dynamics/drift-direction: z = rho (g/||g|| - s v) has ||z|| <= 1.04 rho xhat",
        lemma=Lemma("dynamics/drift-direction", "lean", granted={"short": "xhat <= 1/2 is a hypothesis"}),
    ),
)
ERROR = Step(
    "error",
    norm_E,
    "<=",
    error,
    by=(
        ("triangle inequality",),
        (rho, "H e"),
        (rho * size, "turn"),
        (r + rho, "D v z"),
        ((r + rho) * B3, "tilt"),
        (sp.Rational(1, 2), "D z z"),
        (B3 / 2, "tilt", tilt * rho * x + norm_z),
    ),
)
STEPS = (
    Step(
        "gradient",
        dot(tau, (s * r * h) * v + (s**2 * r**2 / 2) * q),
        "=",
        s * r * h * dot(tau, v + (s * r / (2 * h)) * q),
        why="g at s r v, as H v = lambda v and D[v, v] = q: parallel to v + s xhat q/||q||",
    ),
    STAYS,
    REACH,
    Step(
        "turns back",
        r - gamma * h * (r + rho),
        "=",
        -r,
        by=((-1, "radius"),),
        why="gamma lambda (r + rho) = 2 r",
    ),
    COEFFICIENT,
    STEP,
    ERROR,
)

REGULARISER = 2 * rho**2 / (gamma * (2 - gamma * h))


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(7)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        top, size_, bend, q_size = rng.uniform(0.3, 1), rng.uniform(1, 2), rng.uniform(0.5, 2), rng.uniform(0.1, 0.5)
        step, radius = rng.uniform(0.2, 1.8), rng.uniform(0.01, 0.1)
        around = step * radius * top / (2 - step * top)
        found.append(
            {
                "gamma": step, "rho": radius, "h": top, "r": around, "H": size_, "B_3": bend, "turn": TURN,
                "tilt": LEAN, "xhat": around * q_size / (2 * top), "slope": q_size,
            }
        )  # fmt: skip
    return found


POINTS = _points()


def _ravine(point: Mapping[str, float]) -> Ravine:
    """The numbers that the claim reads off a function."""
    empty = np.zeros(0)
    around = float(radii(facts_at(point), np.array([point["h"]]))[0])
    return Ravine(point["h"], point["H"], around, empty, empty, empty, point["B_3"], point["xhat"])


def _drift(point: Mapping[str, float]) -> float:
    return drift_of_the_code(facts_at(point), _ravine(point))


def _displacement(point: Mapping[str, float]) -> float:
    return displaced(facts_at(point), _ravine(point))


def _error(point: Mapping[str, float]) -> float:
    return error_bound(facts_at(point), _ravine(point))


NOTHING = {"E_norm": 0, "e_norm": 0, "z_norm": 0, "Dvz_norm": 0, "Dzz_norm": 0, "He_norm": 0, "turn": 1, "tilt": 1}
# gamma lambda = 1: r = rho, and the drift is four times gamma rho^2/2. tau = q = v.
EXAMPLE = {
    "gamma": 1, "rho": 1, "h": 1, "r": 1, "s": 1, "xhat": 0, "B_3": 0, "H": 1,
    "tau": (1,), "v": (1,), "q": (1,), "HPq": (0,), "He": (0,), "Dvz": (0,), "Dzz": (0,),
} | NOTHING  # fmt: skip

derivations.add(
    Derivation(
        id="dynamics/drift",
        title="One step of SAM on its cycle drifts down the gradient of the largest eigenvalue (A7)",
        claims=("dynamics/drift",),
        given=GIVEN,
        steps=STEPS,
        conclusion="error",
        meets=(
            Meets("drift", drift, _drift, POINTS),
            Meets("gamma (r + rho)^2/2", gamma / 2 * (r + rho) ** 2, _drift, POINTS),
            Meets("displacement", gamma * rho * lean, _displacement, POINTS),
            Meets("error", error, _error, POINTS),
        ),
        twins=(
            Twin(
                "drift gamma rho^2/2, its limit for small gamma",
                "coefficient",
                replace(COEFFICIENT, right=gamma * rho**2 / 2),
                counterexample=EXAMPLE,
            ),
            Twin(
                "the displacement along H P q dropped",
                "one step, in any direction",
                replace(STEP, right=dot(tau, stated + (gamma * rho * r / (2 * h)) * HPq)),
                counterexample=EXAMPLE | {"HPq": (1,)},
            ),
            Twin(
                "a drift that changes sides",
                "one step, in any direction",
                replace(STEP, right=dot(tau, stated + (drift - s * drift) * q)),
                counterexample=EXAMPLE | {"s": -1},
            ),
            Twin("without the bound on the third derivative", "error", without=("D z z",)),
        ),
        remarks=(
            "tau is any vector: two vectors with equal products with every tau are one",
            "the third derivative is constant, as the claim asks; ||E|| = O(rho^3)",
        ),
        covers="the step from both sides with its drift, its displacement and the bound on E, from the two "
        "inequalities on directions of dynamics/drift-direction",
        latex_names={
            "h": r"\lambda",
            "xhat": r"\hat x",
            "HPq": "HPq",
            "He": "He",
            "Dvz": "D[v,z]",
            "Dzz": "D[z,z]",
            "tau": r"\tau",
            "H": r"\|H\|",
            "E_norm": r"\|E\|",
            "e_norm": r"\|e\|",
            "z_norm": r"\|z\|",
            "Dvz_norm": r"\|D[v,z]\|",
            "Dzz_norm": r"\|D[z,z]\|",
            "He_norm": r"\|He\|",
            "turn": "K",
            "tilt": "k",
        },
    )
)

# -- along a manifold of minima --

slope = sp.Symbol("slope", real=True)  # of lambda_1 along the manifold: <tau, q>
TANGENT = (
    RADIUS,
    SIDE,
    Given("tangent, v", dot(tau, v), "=", "definition", "tau is tangent to the minima and v is normal to them"),
    Given("tangent, HPq", dot(tau, HPq), "=", "definition", "H tau = 0 on the minima, and H is symmetric"),
    Given("slope", dot(tau, q) - slope, "=", "definition", "q = grad lambda_1"),
)
REFINED = Step(
    "velocity",
    dot(tau, after - (s * r) * v),
    "=",
    gamma * rho**2 * (-2 * slope / (2 - gamma * h) ** 2) - gamma * dot(tau, E),
    by=(
        (gamma * s * (r + rho) * h, "tangent, v"),
        (gamma * rho * lean, "tangent, HPq"),
        (gamma / 2 * (r + rho) ** 2, "slope"),
        (gamma / 2 * (r + rho) ** 2 * dot(tau, q), "side"),
        (-slope, "coefficient"),
    ),
    why="in the time gamma rho^2 t a step moves by -2/(2 - gamma lambda)^2 grad lambda, along the minima; E "
    "is O(rho^3)",
)
FACTOR = Step(
    "faster than the limit",
    2 / (2 - gamma * h) ** 2 - sp.Rational(1, 2),
    "=",
    gamma * h * (4 - gamma * h) / (2 * (2 - gamma * h) ** 2),
    why="of first order in gamma: the error of the limiting flow is no smaller than O(gamma)",
)
FLOW_STEPS = (
    STAYS,
    REACH,
    COEFFICIENT,
    REFINED,
    Step(
        "regulariser",
        gamma * sp.diff(REGULARISER, h),
        "=",
        drift,
        why="the drift is gamma grad R with R = 2 rho^2/(gamma (2 - gamma lambda_1))",
    ),
    Step(
        "its first terms",
        REGULARISER - rho**2 / gamma - rho**2 * h / 2 - gamma * rho**2 * h**2 / 4,
        "=",
        gamma**2 * rho**2 * h**3 / (4 * (2 - gamma * h)),
        why="R = const + rho^2 lambda/2 + gamma rho^2 lambda^2/4 + O(gamma^2)",
    ),
    FACTOR,
    Limit("small gamma", 2 / (2 - gamma * h) ** 2, gamma, 0, sp.Rational(1, 2), why="the flow of Wen, Ma and Li"),
)


def _refined(point: Mapping[str, float]) -> float:
    return refined(np.array([point["h"]]), np.array([point["slope"]]), point["gamma"])


def _difference(point: Mapping[str, float]) -> float:
    """The refined velocity less the limiting one."""
    return _refined(point) - limiting(np.array([point["h"]]), np.array([point["slope"]]), point["gamma"])


ALONG = {name: value for name, value in EXAMPLE.items() if name not in NOTHING} | {
    "v": (1, 0), "tau": (0, 1), "q": (0, 1), "HPq": (1, 0), "He": (0, 0), "Dvz": (0, 0), "Dzz": (0, 0), "slope": 1,
}  # fmt: skip

derivations.add(
    Derivation(
        id="dynamics/refined-flow",
        title="The velocity of SAM along a manifold of minima, at finite gamma and as gamma -> 0 (A7, D2)",
        claims=("dynamics/refined-flow", "dynamics/manifold-flow"),
        given=TANGENT,
        steps=FLOW_STEPS,
        conclusion="velocity",
        meets=(
            Meets("velocity", -2 * slope / (2 - gamma * h) ** 2, _refined, POINTS),
            Meets("difference", -slope * cast(sp.Expr, FACTOR.right), _difference, POINTS),
        ),
        twins=(
            Twin(
                "the limiting flow at finite gamma",
                "velocity",
                replace(REFINED, right=-gamma * rho**2 * slope / 2 - gamma * dot(tau, E)),
                counterexample=ALONG,
            ),
            Twin("H P q moves along the minima", "velocity", without=("tangent, HPq",)),
            Twin(
                "an error of second order in gamma",
                "faster than the limit",
                replace(FACTOR, right=(gamma * h) ** 2 / (2 * (2 - gamma * h) ** 2)),
                counterexample=ALONG,
            ),
        ),
        remarks=("both sides s = +1 and -1 drift alike, so that two steps return to the same side",),
        covers="the velocity at finite gamma, the function that it descends and its first terms, the limit gamma "
        "-> 0 and the order of the difference; that runs follow the flows up to O(rho^2) and O(gamma "
        "ln(1/rho)) is a theorem on ordinary differential equations and the first phase, which is "
        "measured and not derived here",
        latex_names={
            "h": r"\lambda_1",
            "slope": r"\partial_\tau\lambda_1",
            "tau": r"\tau",
            "HPq": "HPq",
            "He": "He",
            "Dvz": "D[v,z]",
            "Dzz": "D[z,z]",
        },
    )
)
