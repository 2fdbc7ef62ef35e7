"""The edges of stability of SAM and USAM on quadratics (B1, C2): what they decide, how they move, their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Limit, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.dynamics import factors, radii, sam_edge, usam_edge

gamma, n, h, R = sp.symbols("gamma n h R", positive=True)  # n = ||g_t||; R = sqrt(1 + 8 rho/(gamma n))
rho = sp.Symbol("rho", nonnegative=True)
w = sp.Symbol("w", real=True)
edge = 4 / (gamma * (1 + R))
factor = 1 - gamma * h - gamma * rho * h**2 / n
slack = gamma + gamma * rho * (edge + h) / n

ROOT = Given(
    "root", R**2 - 1 - 8 * rho / (gamma * n), "=", "definition", "R = sqrt(1 + 8 rho/(gamma ||g_t||)), at least 1"
)

# -- what the edge decides --

DEFINING = Step(
    "defining equation",
    gamma * edge + gamma * rho / n * edge**2,
    "=",
    2,
    by=((2 / (1 + R) ** 2, "root"),),
    why="the curvature that one step multiplies by -1; at rho = 0 it is 2/gamma",
)
DECIDES = Step(
    "decides",
    factor + 1,
    "=",
    (edge - h) * slack,
    by=((-2 / (1 + R) ** 2, "root"),),
    why="1 + factor has the sign of edge - h",
)
SIGN = Step(
    "shrinks below the edge",
    0,
    "<=",
    (1 + factor) * (edge - h),
    by=((gamma, (edge - h) ** 2), (gamma * rho * (edge + h) / n, (edge - h) ** 2), (-(edge - h), "decides")),
    why="and it is 0 only at h = edge: |w+| < |w| if and only if h < edge, for w != 0",
)
SAM_STEPS = (
    Step(
        "one step",
        w - gamma * h * (w + rho * h * w / n),
        "=",
        factor * w,
        why="coordinate w of x - x* has the gradient h w, and the perturbation moves it by rho h w/||g||",
    ),
    DEFINING,
    Step(
        "as printed",
        n * (R - 1),
        "=",
        2 * rho * edge,
        by=((-n / (1 + R), "root"),),
        why="edge = ||g||/(2 rho) (R - 1) where rho > 0",
    ),
    Step("below 1", factor, "<", 1, by=((gamma * h,), (gamma * rho * h**2 / n,))),
    DECIDES,
    SIGN,
)


def _points(seed: int) -> list[Mapping[str, float]]:
    rng = np.random.default_rng(seed)
    found: list[Mapping[str, float]] = []
    for radius in (0.0, *rng.uniform(0.01, 1, 5)):
        point = {"gamma": rng.uniform(0.1, 2), "rho": radius, "n": rng.uniform(0.05, 2), "h": rng.uniform(0.1, 2)}
        found.append(point | {"R": np.sqrt(1 + 8 * radius / (point["gamma"] * point["n"])), "w": 1.0})
    return found


POINTS = _points(6)


def _edge(point: Mapping[str, float]) -> float:
    return float(sam_edge(point["gamma"], point["rho"], np.array(point["n"])))


def _factor(point: Mapping[str, float]) -> float:
    return float(factors(facts_at(point), np.array([point["h"]]), np.array([point["n"]]))[0, 0])


EXAMPLE = {"gamma": 1, "rho": 1, "n": 1, "R": 3, "w": 1}  # the edge is 1

derivations.add(
    Derivation(
        id="edge/sam",
        title="SAM's edge of stability decides, coordinate by coordinate, what a step shrinks (B1)",
        claims=("edge/sam",),
        given=(ROOT,),
        steps=SAM_STEPS,
        conclusion="shrinks below the edge",
        meets=(
            Meets("edge", edge, _edge, POINTS),
            Meets("edge as printed", n / (2 * rho) * (R - 1), _edge, POINTS[1:]),
            Meets("one step", factor, _factor, POINTS),
        ),
        twins=(
            Twin(
                "the edge of gradient descent, 2/gamma",
                "decides",
                replace(DECIDES, right=(2 / gamma - h) * (gamma + gamma * rho * (2 / gamma + h) / n)),
                counterexample=EXAMPLE | {"h": sp.Rational(3, 2)},
            ),
            Twin(
                "the sign reversed",
                "shrinks below the edge",
                replace(SIGN, right=-(1 + factor) * (edge - h)),
                counterexample=EXAMPLE | {"h": sp.Rational(1, 2)},
            ),
            Twin("without the definition of R", "defining equation", without=("root",)),
        ),
        remarks=(
            "rho = 0 is included, with R = 1",
            "nothing is asked of the other coordinates, which may have negative curvature",
        ),
        covers="the formula, and that for h > 0 a coordinate shrinks exactly below the edge",
        latex_names={"n": r"\|g_t\|", "h": r"\lambda_i", "w": "w_i"},
    )
)

# -- how the edge moves --

n2, rho2, gamma2 = sp.symbols("n_2 rho_2 gamma_2", positive=True)
e1, e2 = sp.symbols("E E_2", positive=True)  # the edges at (gamma, rho, n) and at (gamma_2, rho_2, n_2)
z = sp.Symbol("z", positive=True)

MOVES_GIVEN = (
    Given("edge", gamma * e1 + gamma * rho / n * e1**2 - 2, "=", "definition", "the edge at gamma, rho, ||g|| = n"),
    Given("other edge", gamma2 * e2 + gamma2 * rho2 / n2 * e2**2 - 2, "=", "definition", "the edge at others"),
    Given("longer step", gamma2 - gamma, ">=", "hypothesis", "gamma_2 >= gamma"),
    Given("relative radius", gamma2 * rho2 * n - gamma * rho * n2, ">=", "hypothesis", "gamma_2 rho_2/n_2 is no less"),
)
MOVES = Step(
    "monotone",
    0,
    "<=",
    (e1 - e2) * (gamma2 + gamma2 * rho2 / n2 * (e1 + e2)),
    by=(
        (e1, "longer step"),
        (e1**2 / (n * n2), "relative radius"),
        (1, "edge"),
        (-1, "other edge"),
    ),
    why="the second factor is positive: the edge is lower for a longer step, a larger radius, a smaller gradient",
)
MOVES_STEPS = (
    MOVES,
    Limit(
        "small radius",
        4 / gamma / (1 + sp.sqrt(1 + 8 / (gamma * z))),
        z,
        sp.oo,
        2 / gamma,
        "-",
        why="z = ||g||/rho: it becomes the edge of gradient descent",
    ),
    Limit(
        "small gradient",
        4 / gamma / (1 + sp.sqrt(1 + 8 / (gamma * z**2))) / z,
        z,
        0,
        sp.sqrt(2 / gamma),
        why="z^2 = ||g||/rho: the edge is sqrt(2 ||g||/(gamma rho)) there",
    ),
)
TWO_EDGES = {"gamma": 1, "rho": 1, "n": 1, "E": 1, "rho_2": 1, "gamma_2": 1}


def _pairs() -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = []
    for first, second in zip(POINTS[1:4], POINTS[3:], strict=True):
        pair = dict(first) | {f"{name}_2": second[name] for name in ("gamma", "rho", "n")}
        found.append(pair | {"E": _edge(first), "E_2": _edge(second)})
    return found


def _two(point: Mapping[str, float]) -> float:
    """2 by the code's edge: what a step multiplies the coordinate at the edge by, less 1."""
    at = np.array([_edge({name: point[f"{name}_2"] for name in ("gamma", "rho", "n")})])
    facts = facts_at({"gamma": point["gamma_2"], "rho": point["rho_2"]})
    return float(1 - factors(facts, at, np.array([point["n_2"]]))[0, 0])


derivations.add(
    Derivation(
        id="edge/sam-monotone",
        title="SAM's edge of stability: monotone in all its arguments, and its limits (B1)",
        claims=("edge/sam",),
        given=MOVES_GIVEN,
        steps=MOVES_STEPS,
        conclusion="monotone",
        meets=(Meets("gamma E + gamma rho E^2/n", gamma2 * e2 + gamma2 * rho2 / n2 * e2**2, _two, _pairs()),),
        twins=(
            Twin(
                "a larger gradient lowers the edge",
                "monotone",
                without=("relative radius",),
                # n rises from 1 to 9/2, and the edge from 1 to 3/2
                counterexample=TWO_EDGES | {"n_2": sp.Rational(9, 2), "E_2": sp.Rational(3, 2)},
            ),
            Twin(
                "a shorter step",
                "monotone",
                without=("longer step",),
                # gamma falls from 1 to 1/2, and the edge rises from 2 to 3 although rho does too
                counterexample={
                    "gamma": 1,
                    "rho": 0,
                    "n": 1,
                    "E": 2,
                    "gamma_2": sp.Rational(1, 2),
                    "rho_2": sp.Rational(1, 9),
                    "n_2": 1,
                    "E_2": 3,
                },
            ),
        ),
        # the edge falls from 1 to 1/2
        witnesses=(TWO_EDGES | {"gamma_2": 2, "rho_2": 2, "n_2": 1, "E_2": sp.Rational(1, 2)},),
        covers="that the edge grows with ||g|| and falls with gamma and rho, and its limits for ||g||/rho -> 0 "
        "and infinity",
        latex_names={"n": r"\|g\|", "n_2": r"\|g_2\|", "z": "z"},
    )
)

# -- where a run of SAM on a convex quadratic ends --

theta = sp.Symbol("theta", positive=True)  # ||g|| on the cycle
E = sp.Symbol("E", positive=True)

LIMIT_GIVEN = (
    Given(
        "cycle",
        (2 - gamma * h) * theta - gamma * rho * h**2,
        "=",
        "definition",
        "||g|| on the 2-cycle (dynamics/cycle)",
    ),
    Given("edge", gamma * E + gamma * rho / n * E**2 - 2, "=", "definition", "the edge where ||g_t|| = n"),
)
DISTANCE = Step(
    "distance",
    (E - h) * (gamma + gamma * rho * (E + h) / n),
    "=",
    gamma * rho * h**2 * (n - theta) / (theta * n),
    by=((-1, "edge"), (-1 / theta, "cycle")),
    why="the second factor is at least gamma, so edge - lambda_1 tends to 0 with ||g_t|| - theta_1",
)
LIMIT_STEPS = (
    Step(
        "lambda_1 on the cycle",
        gamma * h + gamma * rho / theta * h**2,
        "=",
        2,
        by=((1 / theta, "cycle"),),
        why="lambda_1 satisfies the edge's equation where ||g|| = theta_1",
    ),
    DISTANCE,
    Step(
        "no further than the gradient",
        gamma**2 * (E - h) ** 2,
        "<=",
        (gamma * rho * h**2 * (n - theta) / (theta * n)) ** 2,
        by=(
            (2 * gamma**2 * rho * (E + h) / n, (E - h) ** 2),
            ((gamma * rho * (E + h) / n) ** 2, (E - h) ** 2),
            (
                (gamma * rho * h**2 * (n - theta) / (theta * n) + (E - h) * (gamma + gamma * rho * (E + h) / n)),
                "distance",
            ),
        ),
        why="its square, |edge - lambda_1| <= rho lambda_1^2/(theta_1 ||g_t||) | ||g_t|| - theta_1 |",
    ),
)


def _on_the_cycle() -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = []
    for step, radius, top in ((0.5, 0.1, 1.0), (1.7, 0.3, 0.9), (0.2, 2.0, 4.0)):
        theta_ = step * radius * top**2 / (2 - step * top)
        found.append({"gamma": step, "rho": radius, "h": top, "theta": theta_})
    return found


def _edge_on_the_cycle(point: Mapping[str, float]) -> float:
    """The code's edge at the code's ||g|| on the cycle."""
    h1 = np.array([point["h"]])
    return float(sam_edge(point["gamma"], point["rho"], h1 * radii(facts_at(point), h1))[0])


def _gradient_on_the_cycle(point: Mapping[str, float]) -> float:
    return float(point["h"] * radii(facts_at(point), np.array([point["h"]]))[0])


derivations.add(
    Derivation(
        id="edge/sam-limit",
        title="On a convex quadratic SAM's edge moves to the largest eigenvalue (B1)",
        claims=("edge/sam-limit",),
        given=LIMIT_GIVEN,
        steps=LIMIT_STEPS,
        conclusion="no further than the gradient",
        meets=(
            Meets("edge on the cycle", h, _edge_on_the_cycle, _on_the_cycle()),
            Meets("||g|| on the cycle", theta, _gradient_on_the_cycle, _on_the_cycle()),
        ),
        twins=(
            Twin(
                "the edge of gradient descent on the cycle",
                "lambda_1 on the cycle",
                replace(LIMIT_STEPS[0], left=gamma * h),
                counterexample={"gamma": 1, "h": 1, "rho": 1, "theta": 1, "n": 1, "E": 1},
            ),
            Twin("another gradient than that of the cycle", "lambda_1 on the cycle", without=("cycle",)),
        ),
        covers="that the edge tends to lambda_1 as ||g_t|| tends to its value on the cycle, with a bound; that "
        "it does so from almost every start is dynamics/cycle",
        latex_names={"n": r"\|g_t\|", "h": r"\lambda_1", "theta": r"\theta_1"},
    )
)

# -- USAM --

R_u, h1, h_i = sp.symbols("R h_1 h_i", positive=True)  # R = sqrt(1 + 8 rho/gamma)
usam = 4 / (gamma * (1 + R_u))
usam_factor = 1 - gamma * h_i * (1 + rho * h_i)

USAM_GIVEN = (
    Given("root", R_u**2 - 1 - 8 * rho / gamma, "=", "definition", "R = sqrt(1 + 8 rho/gamma)"),
    Given("below the edge", usam - h1, ">", "hypothesis", "lambda_1 < edge"),
    Given("ordered", h1 - h_i, ">=", "definition", "h_1 is the largest eigenvalue"),
)
USAM_DECIDES = Step(
    "decides",
    2 - gamma * h1 * (1 + rho * h1),
    "=",
    (usam - h1) * (gamma + gamma * rho * (usam + h1)),
    by=((-2 / (1 + R_u) ** 2, "root"),),
    why="gamma lambda_1 (1 + rho lambda_1) < 2 if and only if lambda_1 < edge; beyond, |w_{t,1}| does not fall",
)
USAM_STEPS = (
    Step(
        "one step",
        w - gamma * h_i * (w + rho * h_i * w),
        "=",
        usam_factor * w,
        why="coordinate w of x - x* has the gradient h w, and the perturbation moves it by rho h w",
    ),
    USAM_DECIDES,
    Step(
        "as printed",
        R_u - 1,
        "=",
        2 * rho * usam,
        by=((-1 / (1 + R_u), "root"),),
        why="edge = (R - 1)/(2 rho) where rho > 0",
    ),
    Step(
        "within the edge",
        0,
        "<",
        2 - gamma * h1 * (1 + rho * h1),
        by=(("below the edge", gamma), ("below the edge", gamma * rho * (usam + h1)), (-1, "decides")),
    ),
    Step("below 1", usam_factor, "<", 1, by=((gamma * h_i,), (gamma * rho * h_i**2,))),
    Step(
        "above -1",
        -1,
        "<",
        usam_factor,
        by=(("within the edge",), ("ordered", gamma * (1 + rho * (h1 + h_i)))),
        why="so every coordinate shrinks by a fixed factor, and x_t tends to x*",
    ),
)


def _usam_points() -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = []
    for point in POINTS:
        here = {"gamma": point["gamma"], "rho": point["rho"], "h_i": point["h"], "lam": 0.0}
        found.append(here | {"R": np.sqrt(1 + 8 * point["rho"] / point["gamma"])})
    return found


def _usam_edge(point: Mapping[str, float]) -> float:
    return usam_edge(point["gamma"], point["rho"])


def _usam_factor(point: Mapping[str, float]) -> float:
    return float(factors(facts_at(point), np.array([point["h_i"]]), np.ones(1))[0, 0])


BEYOND = {"gamma": 1, "rho": 1, "R": 3, "w": 1, "h_1": sp.Rational(3, 2), "h_i": sp.Rational(3, 2)}  # the edge is 1

derivations.add(
    Derivation(
        id="edge/usam",
        title="USAM converges on a convex quadratic exactly below its edge (C2)",
        claims=("edge/usam",),
        given=USAM_GIVEN,
        steps=USAM_STEPS,
        conclusion="above -1",
        meets=(
            Meets("edge", usam, _usam_edge, _usam_points()),
            Meets("factor", usam_factor, _usam_factor, _usam_points()),
        ),
        twins=(
            Twin(
                "the edge of gradient descent, 2/gamma",
                "decides",
                replace(USAM_DECIDES, right=(2 / gamma - h1) * (gamma + gamma * rho * (2 / gamma + h1))),
                counterexample=BEYOND | {"h_1": sp.Rational(1, 2), "h_i": sp.Rational(1, 2)},
            ),
            Twin("beyond the edge", "within the edge", without=("below the edge",), counterexample=BEYOND),
            Twin("an eigenvalue above the largest", "above -1", without=("ordered",)),
        ),
        covers="the factor of every coordinate, |factor| < 1 for all of them below the edge, and that lambda_1's "
        "is not below 1 at it and beyond (`decides`), where a start with w_1 != 0 cannot converge",
        latex_names={"h_i": r"\lambda_i", "h_1": r"\lambda_1", "w": "w_i"},
    )
)
