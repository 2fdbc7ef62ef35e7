"""The descent side of multi-step SAM: averaging, the second direction, the 2-cycle, one dimension (A6 to A9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.claims.multistep_descent import effective_radius
from theory.derivation import Derivation, Given, Induction, Instance, Lemma, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.derivations import multistep_path as path
from theory.derivations.still_lab import Still
from theory.dynamics import radii
from theory.families import given
from theory.inner_product import dot, norm2, square, vectors
from theory.multistep import budget_path, gains, unit
from theory.setting import facts_of

half = sp.Rational(1, 2)
rho, t, L, G = sp.symbols("rho t L G", positive=True)  # t = rho/n

# -- A6 --

j = sp.Symbol("j", positive=True)
n = sp.Symbol("n", positive=True)
size = sp.Symbol("G_j", positive=True)
E, S, S_next, W, W_next, W_n, error = sp.symbols("E_j S_j S_next W_j W_next W_n e", nonnegative=True)
J, J_next = sp.symbols("J_j J_next", nonnegative=True)
u, v = vectors("u v")


def inner(j: sp.Expr) -> sp.Expr:
    """Bound of S_j, the sum of ||g_i/||g_i|| - g/||g||  || over i < j."""
    return t * L / G * j * (j - 1) / 2


def outer(j: sp.Expr) -> sp.Expr:
    """Bound of W_j = S_1 + ... + S_j."""
    return t * L / G * (j + 1) * j * (j - 1) / 6


AVERAGE = (
    Given("unit u", norm2(u) - 1, "=", "definition", "g_j = G_j u"),
    Given("unit v", norm2(v) - 1, "=", "definition", "g = G v"),
    Given(
        "envelope",
        size - (G + j * t * path.R0),
        ">=",
        "lemma",
        "multistep/curvature-monotone: ||g_j|| >= ||g|| + j t R(g)",
        lemma=Lemma(
            "multistep/curvature-monotone",
            "below at j",
            at={path.G: size, path.G0: G, path.j: j},
            granted={"semidefinite": "H is positive semidefinite here too"},
        ),
    ),
    Given(
        "away",
        (j * t * L) ** 2 - norm2(size * u - G * v),
        ">=",
        "standard",
        "g_j - g = t H (u_0 + ... + u_{j-1}) with unit vectors u_i, and ||H|| = L",
    ),
    Given("distance at j", E**2 - norm2(u - v), "=", "definition", "E_j = ||u - v||"),
    Given("inner sum", S_next - S - E, "=", "definition", "S_j = sum of E_i over i < j"),
    Given(
        "inner at j",
        inner(j) - S,
        ">=",
        "induction",
        "induction over j: S_1 = E_0 = 0, an equality",
        Induction("inner at j + 1", next={S: S_next, j: j + 1}, start={S: 0, j: 1}),
    ),
    Given("outer sum", W_next - W - S_next, "=", "definition", "W_j = S_1 + ... + S_j"),
    Given(
        "outer at j",
        outer(j) - W,
        ">=",
        "induction",
        "induction over j: W_1 = 0, an equality",
        Induction("outer at j + 1", next={W: W_next, j: j + 1}, start={W: 0, j: 1}),
    ),
    Given(
        "end",
        outer(n) - W_n,
        ">=",
        "induction",
        "induction over j, at its end j = n",
        Instance("outer at j", at={W: W_n, j: n}),
    ),
    Given(
        "mean",
        t * L / n * W_n - error,
        ">=",
        "standard",
        "mean of g_j - g - j t H v = t H (sum over i < j of u_i - v): the triangle inequality",
    ),
    Given("radius", n * t - rho, "=", "definition", "n steps of length rho/n"),
    Given("numbers", J_next - J - j - 1, "=", "definition", "J_j = 1 + ... + j"),
    Given(
        "numbers at j",
        J - j * (j + 1) / 2,
        "=",
        "induction",
        "induction over j: J_1 = 1",
        Induction("sum of the numbers", next={J: J_next, j: j + 1}, start={J: 1, j: 1}),
    ),
)

AVERAGE_STEPS = (
    Step("longer", G, "<=", size, by=(("envelope",), (j * t * path.R0,)), why="no gradient on the path is shorter"),
    Step(
        "unit vectors",
        size * G * norm2(u - v),
        "<=",
        norm2(size * u - G * v),
        by=(((size - G) ** 2,), (size * (size - G), "unit u"), (-G * (size - G), "unit v")),
        why="||a u - b v||^2 - a b ||u - v||^2 = (a - b)^2",
    ),
    Step(
        "turned, squared",
        E**2,
        "<=",
        (j * t * L / G) ** 2,
        by=(
            (1 / G**2, "away"),
            (1 / G**2, "unit vectors"),
            (1 / G, "longer", square(u - v)),
            (-1, "distance at j"),
        ),
    ),
    Step(
        "turned",
        E,
        "<=",
        j * t * L / G,
        by=((1 / (j * t * L / G + E), "turned, squared"),),
        why="by no more than the path has gone",
    ),
    Step(
        "inner at j + 1",
        S_next,
        "<=",
        inner(j + 1),
        by=(("turned",), ("inner at j",), (-1, "inner sum")),
    ),
    Step(
        "outer at j + 1",
        W_next,
        "<=",
        outer(j + 1),
        by=(("outer at j",), ("inner at j + 1",), (-1, "outer sum")),
    ),
    Step(
        "distance",
        error,
        "<=",
        L**2 * rho**2 * (1 - 1 / n**2) / (6 * G),
        by=(
            ("mean",),
            (t * L / n, "end"),
            (-(L**2) * (1 - 1 / n**2) * (n * t + rho) / (6 * G), "radius"),
        ),
        why="t = rho/n and (n + 1) n (n - 1)/n^3 = 1 - n^-2",
    ),
    Step("sum of the numbers", J_next, "=", (j + 1) * (j + 2) / 2, by=((-1, "numbers"), (-1, "numbers at j"))),
    Step(
        "effective radius",
        t / n * (n * (n + 1) / 2),
        "=",
        rho * (n + 1) / (2 * n),
        by=((-(n + 1) / (2 * n), "radius"),),
        why="the mean of j t H v over j = 1, ..., n",
    ),
)


def _average_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(0)
    found: list[Mapping[str, float]] = []
    for n in (2, 3, 5, 20):
        L, low, x = rng.uniform(1, 3), rng.uniform(0.1, 0.9), rng.uniform(0.2, 2, 2)
        found.append(
            {
                "L": L, "l": low, "x1": x[0], "x2": x[1], "n": n, "rho": rng.uniform(0.1, 2),
                "G": float(np.hypot(L * x[0], low * x[1])),
            }
        )  # fmt: skip
    return found


def _stated(point: Mapping[str, float]) -> float:
    """The bound of the claim at the start of a run on diag(L, l)."""
    claim = claims["multistep/averaged-radius"]
    setting = given(
        claim,
        f"spectrum:h={float(point['L'])!r}/{float(point['l'])!r}",
        gamma=0.5,
        rho=point["rho"],
        x0=f"{float(point['x1'])!r}/{float(point['x2'])!r}",
        steps=1,
        method=f"multi-sam:steps={point['n']:g},descent=average",
    ).setting
    trial = claim.trials["averaged gradient"](setting, facts_of(setting), 1, Still())
    return float(trial.stated({})[0])


def _radius(point: Mapping[str, float]) -> float:
    return effective_radius(facts_at(point, parameters={"steps": float(point["n"]), "descent": 1.0}))


AVERAGE_POINTS = _average_points()

# One dimension, where nothing turns.
ONE_LINE: Mapping[str, sp.Expr | int | tuple[sp.Expr | int, ...]] = {
    "u": (1,), "v": (1,), "G_j": 2, "G": 1, "L": 1, "t": 1, "j": 1, "E_j": 0, "S_j": 0, "S_next": 0, "W_j": 0,
    "W_next": 0, "W_n": 0, "e": 0, "n": 2, "rho": 2, "J_j": 1, "J_next": 3, "R_0": 1,
}  # fmt: skip

derivations.add(
    Derivation(
        id="multistep/averaged-radius",
        title="The averaged gradient is that of SAM with a smaller radius, to second order (A6)",
        claims=("multistep/averaged-radius",),
        given=AVERAGE,
        steps=AVERAGE_STEPS,
        conclusion="distance",
        meets=(
            Meets("distance", L**2 * rho**2 * (1 - 1 / n**2) / (6 * G), _stated, AVERAGE_POINTS),
            Meets("effective radius", rho * (n + 1) / (2 * n), _radius, AVERAGE_POINTS),
        ),
        twins=(
            Twin(
                "the whole radius in place of the effective one",
                "effective radius",
                replace(AVERAGE_STEPS[-1], right=rho),
                counterexample=ONE_LINE,
            ),
            Twin("gradients that may shorten", "longer", without=("envelope",)),
            Twin(
                "a sum over i <= j in place of i < j",
                "inner at j + 1",
                replace(AVERAGE_STEPS[4], right=inner(j)),
            ),
        ),
        remarks=(
            "g is not 0. n = 1: both sides are 0. Including j = 0 in the mean gives rho/2 in the same way.",
            "i = 0 has E_0 = 0 and is left out of `turned`.",
        ),
        covers="the distance for every n and dimension, by inductions over i and j, and the effective radius",
        latex_names={"E_j": "E_j", "S_next": "S_{j+1}", "W_next": "W_{j+1}", "J_next": "J_{j+1}", "u": r"\hat g_j",
                     "v": r"\hat g", "G": r"\|g\|", "G_j": r"\|g_j\|"},
    )
)  # fmt: skip

# -- A7 --

first, second = vectors("g_0 g_1")  # unit directions
Gy = sp.Symbol("G_y", nonnegative=True)  # ||grad f(y)||
f_second, f_first = sp.symbols("f_1 f_0", real=True)  # f(x + rho g_1), f(y), y = x + rho g_0

CONVEX = (
    Given("unit 0", norm2(first) - 1, "=", "definition", "g_0 = grad f(x)/||grad f(x)||"),
    Given("unit 1", norm2(second) - 1, "=", "definition", "g_1 = grad f(y)/||grad f(y)||, y = x + rho g_0"),
    Given(
        "convex",
        f_second - f_first - rho * Gy * dot(second, second - first),
        ">=",
        "hypothesis",
        "f(x + rho g_1) >= f(y) + <grad f(y), x + rho g_1 - y>, and x + rho g_1 - y = rho (g_1 - g_0)",
    ),
)
CONVEX_STEPS = (
    Step(
        "no descent",
        0,
        "<=",
        dot(second, second - first),
        by=((half, square(second - first)), (half, "unit 1"), (-half, "unit 0")),
        why="1 - cos >= 0",
    ),
    Step("higher", f_first, "<=", f_second, by=(("convex",), (rho * Gy, "no descent"))),
)

K = sp.Symbol("K", nonnegative=True)  # (g_1 - g_0)' H (g_1 - g_0) on a quadratic
across = sp.Symbol("c", real=True)  # <g_0, g_1>


def _direction_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(2)
    found: list[Mapping[str, float]] = []
    for _ in range(4):
        h, g, rho = rng.uniform(0, 2, 3), rng.standard_normal(3), rng.uniform(0.1, 3)
        zero = g / np.linalg.norm(g)
        at_y = g + rho * h * zero
        one = at_y / np.linalg.norm(at_y)
        numbers = {f"h{k}": h[k] for k in range(3)} | {f"g{k}": g[k] for k in range(3)}
        found.append(
            {
                **numbers, "rho": rho, "G": float(np.linalg.norm(g)), "G_y": float(np.linalg.norm(at_y)),
                "c": float(zero @ one), "K": float(h @ (one - zero) ** 2), "R_0": float(h @ zero**2),
                "R_1": float(h @ one**2), "r": rng.uniform(0.1, 3),
            }
        )  # fmt: skip
    return found


def _lead(point: Mapping[str, float], r: float) -> float:
    """f(x + r g_1) - f(x + r g_0), by the code."""
    h, g = (np.array([[point[f"{name}{k}"] for k in range(3)]]) for name in "hg")
    H, zero = np.diag(h[0]), unit(g)
    one = unit(g + point["rho"] * zero @ H)
    return float(gains(g, H, r * one)[0] - gains(g, H, r * zero)[0])


DIRECTION_POINTS = _direction_points()

derivations.add(
    Derivation(
        id="multistep/second-direction",
        title="The second gradient's direction climbs higher at the radius that found it (A7)",
        claims=("multistep/second-direction",),
        given=CONVEX,
        steps=CONVEX_STEPS,
        conclusion="higher",
        meets=(
            Meets(
                "difference, on quadratics",
                rho * Gy * (1 - across) + half * rho**2 * K,
                lambda point: _lead(point, point["rho"]),
                DIRECTION_POINTS,
            ),
        ),
        twins=(
            Twin(
                "any function",
                "higher",
                without=("convex",),
                counterexample={"rho": 1, "G_y": 1, "g_0": (1,), "g_1": (-1,), "f_0": 1, "f_1": 0},
            ),
            Twin(
                "compared with the direction that lost",
                "higher",
                replace(CONVEX_STEPS[1], left=f_second, right=f_first),
                counterexample={"rho": 1, "G_y": 1, "g_0": (1, 0), "g_1": (0, 1), "f_0": 0, "f_1": 1},
            ),
        ),
        remarks=("Where grad f(y) = 0 the point y is a minimiser: G_y = 0, and any unit g_1 will do.",),
        covers="every convex differentiable f, no quadratic and no Taylor remainder",
        latex_names={"g_0": r"\hat g_0", "g_1": r"\hat g_1", "f_1": r"f(x+\rho\hat g_1)", "f_0": r"f(x+\rho\hat g_0)",
                     "G_y": r"\|\nabla f(y)\|"},
    )
)  # fmt: skip

curvature_0, curvature_1 = sp.symbols("R_0 R_1", nonnegative=True)
rise = sp.Symbol("d", positive=True)  # R(g_1) - R(g_0)
radius, threshold = sp.symbols("r r_star", real=True)

THRESHOLD = (
    Given("cosine", across - dot(first, second), "=", "definition", "c = <g_0, g_1>, and <g, g_1> = ||g|| c"),
    Given("unit 0", norm2(first) - 1, "=", "definition", "g_0 = g/||g||, G = ||g||"),
    Given("unit 1", norm2(second) - 1, "=", "definition", "g_1 is the direction of the gradient at x + rho g_0"),
    Given("bent", rise - curvature_1 + curvature_0, "=", "hypothesis", "R(g_1) > R(g_0): d = R(g_1) - R(g_0) > 0"),
    Given(
        "threshold",
        threshold * (curvature_1 - curvature_0) - 2 * (G - G * across),
        "=",
        "definition",
        "r* of the claim",
    ),
)
THRESHOLD_STEPS = (
    Step(
        "not negative",
        0,
        "<=",
        threshold,
        by=(
            (G / rise, square(first - second)),
            (-G / rise, "unit 0"),
            (-G / rise, "unit 1"),
            (-2 * G / rise, "cosine"),
            (1 / rise, "threshold"),
            (threshold / rise, "bent"),
        ),
        why="1 - c >= 0: there is such a radius",
    ),
    Step(
        "lead",
        radius * G * (across - 1) + half * radius**2 * (curvature_1 - curvature_0),
        "=",
        half * radius * rise * (radius - threshold),
        by=((-radius / 2, "threshold"), (half * radius * (radius - threshold), "bent")),
        why="f(x + r g_1) - f(x + r g_0) has the sign of r - r*, for r > 0",
    ),
)

derivations.add(
    Derivation(
        id="multistep/second-direction-threshold",
        title="On a quadratic the second direction climbs higher exactly from r* on (A7)",
        claims=("multistep/second-direction-threshold",),
        given=THRESHOLD,
        steps=THRESHOLD_STEPS,
        conclusion="lead",
        meets=(
            Meets(
                "lead",
                half * radius * (radius * (curvature_1 - curvature_0) - 2 * G * (1 - across)),
                lambda point: _lead(point, point["r"]),
                DIRECTION_POINTS,
            ),
        ),
        twins=(
            Twin(
                "a threshold twice as large",
                "lead",
                replace(THRESHOLD_STEPS[1], right=half * radius * rise * (radius - 2 * threshold)),
                counterexample={
                    "c": half, "g_0": (1, 0), "g_1": (half, sp.sqrt(3) / 2), "R_0": 0, "R_1": 1, "d": 1, "G": 1, "r": 1,
                    "r_star": 1,
                },
            ),
            Twin("a path that need not bend", "not negative", without=("bent",)),
        ),
        remarks=(
            "For an eigenvector g both directions are one, and there is no threshold. Otherwise R(g_1) > R(g_0): the "
            "term s (2 + s R) ||q||^2 in multistep/curvature-monotone is then positive.",
        ),
        covers="the threshold and both directions of the equivalence, for r > 0",
        latex_names={"g_0": r"\hat g_0", "g_1": r"\hat g_1", "R_0": r"R(\hat g_0)", "R_1": r"R(\hat g_1)",
                     "r_star": "r^*", "G": r"\|g\|", "d": r"\Delta R"},
    )
)  # fmt: skip

# -- A8 --

turn = sp.Symbol("Gamma", positive=True)  # gamma lambda
gamma, eigen, reach, W0, a, total = sp.symbols("gamma lambda rho_eff W a s", positive=True)
far = sp.Symbol("b", nonnegative=True)  # gamma lambda - 1 where it is nonnegative
signed = sp.Symbol("w_next", real=True)

CYCLE = (
    Given("stiffness", turn - gamma * eigen, "=", "definition", "Gamma = gamma lambda"),
    Given("stable", 2 - turn, ">", "hypothesis", "gamma lambda < 2"),
    Given("step", signed - W0 + gamma * eigen * (W0 + reach), "=", "definition", "w+ = W - gamma D, D as in `mean`"),
    Given("amplitude", a * (2 - turn) - turn * reach, "=", "definition", "a = gamma lambda rho'/(2 - gamma lambda)"),
    Given("sum", total - n * (n + 1) / 2, "=", "standard", "1 + ... + n"),
    Given("radius", n * t - rho, "=", "definition", "n steps of length rho/n"),
    Given("effective", reach - rho * (n + 1) / (2 * n), "=", "definition", "rho' of the average; for `mean` alone"),
    Given("short", 1 - turn, ">=", "hypothesis", "gamma lambda <= 1: for `turns again` alone"),
    Given("near", turn * reach - W0, ">=", "hypothesis", "|w| <= gamma lambda rho', for `turns again`"),
)
CYCLE_STEPS = (
    Step(
        "mean",
        eigen * (n * W0 + t * total) / n,
        "=",
        eigen * (W0 + reach),
        by=((-eigen * t / n, "sum"), (-eigen * (n + 1) / (2 * n), "radius"), (eigen, "effective")),
        why="the mean of the gradients lambda (W + j t), j = 1, ..., n; the last of them is lambda (W + rho)",
    ),
    Step(
        "one step",
        signed,
        "=",
        (1 - turn) * W0 - turn * reach,
        by=((-1, "step"), (-(W0 + reach), "stiffness")),
    ),
    Step("2-cycle", (1 - turn) * a - turn * reach, "=", -a, by=((-1, "amplitude"),), why="a goes to -a and back"),
    Step(
        "distance to the cycle",
        -signed - a,
        "=",
        -(1 - turn) * (W0 - a),
        by=((-1, "one step"), ("amplitude",)),
        why="after a step that turns round, |w| - a is multiplied by -(1 - gamma lambda), of modulus below 1",
    ),
    Step("modulus below 1", (1 - turn) ** 2, "<", 1, by=((turn, "stable"),)),
    Step(
        "without turning",
        signed,
        "<=",
        W0 - turn * reach,
        by=((turn, W0), ("one step",)),
        why="a step that does not turn comes nearer by gamma lambda rho' at least: some step turns",
    ),
    Step(
        "after a turn",
        -signed,
        "<=",
        turn * reach,
        by=(("short", W0), (-1, "one step")),
    ),
    Step(
        "turns again",
        0,
        "<=",
        turn * reach - (1 - turn) * W0,
        by=(("short", "near"), (turn**2 * reach,)),
        why="after one turn every step turns: |w| <= gamma lambda rho' for gamma lambda <= 1",
    ),
    Step(
        "turns always",
        0,
        "<=",
        (1 + far) * reach - (1 - (1 + far)) * W0,
        by=(((1 + far) * reach,), (far * W0,)),
        why="for gamma lambda = 1 + b >= 1 every step turns",
    ),
)


def _cycle_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(3)
    found: list[Mapping[str, float]] = []
    for n in (1, 2, 5, 20):
        eigen, rho = rng.uniform(0.3, 2), rng.uniform(0.1, 2)
        found.append(
            {"n": n, "lambda": eigen, "gamma": rng.uniform(0.2, 1.8) / eigen, "rho": rho, "W": rng.uniform(0.1, 2)}
        )
    return found


def _mean_gradient(point: Mapping[str, float]) -> float:
    """The mean of g_1, ..., g_n on the line, by the code."""
    n, g = int(point["n"]), np.array([[point["lambda"] * point["W"]]])
    return float(budget_path(g, np.array([[point["lambda"]]]), point["rho"], n)[1:].mean())


def _amplitude(point: Mapping[str, float]) -> float:
    shorter = {**point, "rho": _radius(point)}
    return float(radii(facts_at(shorter), np.array([point["lambda"]]))[0])


averaged = rho * (n + 1) / (2 * n)

derivations.add(
    Derivation(
        id="multistep/cycle",
        title="The 2-cycle of multi-step SAM, by the last gradient and by averages (A8)",
        claims=("multistep/cycle",),
        given=CYCLE,
        steps=CYCLE_STEPS,
        conclusion="distance to the cycle",
        meets=(
            Meets("averaged gradient", eigen * (W0 + averaged), _mean_gradient, _cycle_points()),
            Meets("amplitude", gamma * eigen * averaged / (2 - gamma * eigen), _amplitude, _cycle_points()),
        ),
        twins=(
            Twin(
                "amplitude gamma lambda rho/2",
                "2-cycle",
                replace(CYCLE_STEPS[2], left=(1 - turn) * turn * reach / 2 - turn * reach, right=-turn * reach / 2),
                counterexample={
                    "Gamma": 1, "gamma": 1, "lambda": 1, "rho": 1, "rho_eff": 1, "n": 1, "t": 1, "s": 1, "W": 1, "a": 1,
                    "w_next": -1,
                },
            ),
            Twin(
                "the whole radius for the average",
                "mean",
                replace(CYCLE_STEPS[0], right=eigen * (W0 + rho)),
                counterexample={
                    "Gamma": 1, "gamma": 1, "lambda": 1, "rho": 4, "rho_eff": 3, "n": 2, "t": 2, "s": 3, "W": 1, "a": 3,
                    "w_next": -3,
                },
            ),
            Twin("every step size", "modulus below 1", without=("stable",)),
        ),
        remarks=(
            "W = |w| > 0; the other side of x* is its mirror image. At w = 0 the rule rests, for the gradient is 0.",
            "For the last gradient read rho for rho', for the average from j = 0 read rho/2; the steps are the same.",
        ),
        covers="on the eigenvector's line: amplitude, attraction with the factor 1 - gamma lambda once a step turns, "
        "and that some step turns and every later one; starts off that line are not treated",
        latex_names={"Gamma": r"\gamma\lambda", "rho_eff": r"\rho'", "w_next": "w_{t+1}", "W": "|w_t|",
                     "s": r"\Sigma_n"},
    )
)  # fmt: skip

# -- A9 --

side = sp.Symbol("y", positive=True)  # (z_j - x*) sigma
sigma, z, z_next, minimiser, slope, x0 = sp.symbols("sigma z_j z_next x_star d_next x", real=True)

LINE = (
    Given("sign", sigma**2 - 1, "=", "definition", "sigma = sign f'(z_j)"),
    Given("side", side - (z - minimiser) * sigma, "=", "hypothesis", "f' has the sign of z - x*: y = |z_j - x*| > 0"),
    Given("ascent", z_next - z - t * sigma, "=", "definition", "z_{j+1} = z_j + (rho/n) sign f'(z_j)"),
    Given("one slope", slope - sigma, "=", "hypothesis", "sign f'(z_{j+1}) = sigma, as (z_{j+1} - x*) sigma > 0"),
    Given("radius", n * t - rho, "=", "definition", "n steps of length rho/n"),
)
LINE_STEPS = (
    Step(
        "further out",
        (z_next - minimiser) * sigma,
        "=",
        side + t,
        by=((-sigma, "ascent"), ("side",), (-t, "sign")),
        why="y + t > 0: the path stays on its side of the minimiser",
    ),
    Step(
        "next ascent",
        z_next + t * slope,
        "=",
        z + 2 * t * sigma,
        by=((-1, "ascent"), (-t, "one slope")),
        why="so the next ascent step has the same direction",
    ),
    Step("the same end", x0 + n * t * sigma, "=", x0 + rho * sigma, by=((-sigma, "radius"),), why="z_n = z_1"),
)


def _line_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(4)
    found: list[Mapping[str, float]] = []
    for n in (1, 2, 5):
        x = float(rng.choice([-1, 1]) * rng.uniform(0.1, 2))
        found.append({"x": x, "sigma": np.sign(x), "rho": rng.uniform(0.1, 3), "n": n, "lambda": rng.uniform(0.2, 2)})
    return found


def _line_end(point: Mapping[str, float]) -> float:
    """Where the path of the code ends on f = lambda x^2/2: its last gradient over lambda."""
    g, H = np.array([[point["lambda"] * point["x"]]]), np.array([[point["lambda"]]])
    return float(budget_path(g, H, point["rho"], int(point["n"]))[-1, 0, 0] / point["lambda"])


derivations.add(
    Derivation(
        id="multistep/one-dim-blind",
        title="On the line a PL function cannot tell several ascent steps from one (A9)",
        claims=("multistep/one-dim-blind",),
        given=LINE,
        steps=LINE_STEPS,
        conclusion="the same end",
        meets=(Meets("end of the path", x0 + rho * sigma, _line_end, _line_points()),),
        twins=(
            Twin(
                "any function",
                "next ascent",
                without=("one slope",),
                # beyond a maximum the slope points back
                counterexample={
                    "sigma": 1, "z_j": 1, "x_star": 0, "y": 1, "t": 1, "z_next": 2, "d_next": -1, "n": 2, "rho": 2,
                    "x": 1,
                },
            ),
            Twin(
                "a descent step in place of an ascent step",
                "further out",
                replace(LINE_STEPS[0], right=side - t),
                counterexample={
                    "sigma": 1, "z_j": 1, "x_star": 0, "y": 1, "t": 1, "z_next": 2, "d_next": 1, "n": 2, "rho": 2,
                    "x": 1,
                },
            ),
        ),
        remarks=(
            "A PL function on the line has f' = 0 on an interval at most, the minimisers; x* is its end on that side. "
            "From a minimiser no step is taken.",
        ),
        covers="fixed budget, every n; that PL makes f' keep its sign on each side is the hypothesis here",
        latex_names={"x_star": "x^*", "z_next": "z_{j+1}", "d_next": r"\sigma_{j+1}"},
    )
)  # fmt: skip
