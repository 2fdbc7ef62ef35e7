"""SAM on a quadratic: a certified basin of its cycle with a linear rate, and the escape from a lower cycle (A4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.dynamics_rate import certified_rate
from theory.derivation import Derivation, Given, Lemma, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.dynamics import curvatures, factors, multipliers, potential_above, radii

gamma, rho, h, low, n, r = sp.symbols("gamma rho h h_d n r", positive=True)
c, c1, c2, b = sp.symbols("c c_1 c_2 b", positive=True)  # mean u' C u/||u||^2; the two least c_i; J(u_0) = -1/(2 b)
part = sp.Symbol("m", nonnegative=True)  # min{1, c_1 (c_2 - b)/(4 b^2)}
G2, fall = sp.symbols("G2 fall", nonnegative=True)  # ||grad J(u_t)||^2; ||Lambda^{3/2} grad J(u_t)||^2
second = sp.Symbol("M", nonnegative=True)  # sum_i p_i c_i^2, with the weights p_i = u_i^2/||u||^2
w, W = sp.symbols("w w_next", real=True)
J_next = sp.Symbol("J_next", real=True)

J = c * r**2 / 2 - r  # r = ||u_t||
least = -1 / (2 * c1)
above = J - least
kappa = gamma**2 * rho * low**3 * c1 * part

ALL_MIXED = {"positive definite": "the spectrum is positive", "mixing": "lam = 1"}
GIVEN = (
    Given(
        "step", (1 - gamma * h - gamma * rho * h**2 / n) * w - W, "=", "definition", "one coordinate, ||g_t|| = n > 0"
    ),
    Given(
        "weights",
        second - (c1 + c2) * c + c1 * c2,
        ">=",
        "standard",
        "sum p_i (c_i - c_1)(c_i - c_2) >= 0: no c_i between",
    ),
    Given("least", c - c1, ">=", "standard", "a mean of the c_i, of which c_1 is the least"),
    Given(
        "gradient",
        r**2 * second - 2 * r * c + 1 - G2,
        "=",
        "definition",
        "||grad J||^2 = sum_i (c_i - 1/r)^2 u_i^2, with sum_i p_i = 1",
    ),
    Given("flattest", fall - low**3 * G2, ">=", "standard", "||Lambda^{3/2} z||^2 >= lambda_d^3 ||z||^2"),
    Given(
        "potential",
        J - J_next - gamma**2 * rho * fall / 2,
        ">=",
        "lemma",
        "dynamics/potential at lam = 1, with `turn by turn` in its decrease",
        lemma=Lemma("dynamics/potential", "J falls", granted=ALL_MIXED),
    ),
    Given(
        "floor next",
        J_next - least,
        ">=",
        "lemma",
        "dynamics/potential: J is never below -1/(2 c_1), at the next iterate",
        lemma=Lemma("dynamics/potential", "floor", granted=ALL_MIXED),
    ),
    Given("certificate", -1 / (2 * b) - J, ">=", "hypothesis", "J(u_0) = -1/(2 b), and J never rises"),
    Given("basin", c2 - b, ">=", "hypothesis", "J(u_0) < -1/(2 c_2)"),
    Given("part, at most 1", 1 - part, ">=", "definition", "m = min{1, c_1 (c_2 - b)/(4 b^2)}"),
    Given("part, at most the other", c1 * (c2 - b) / (4 * b**2) - part, ">=", "definition", "the same"),
)
GRADIENT = Step(
    "gradient inequality",
    2 * c1 * part * above,
    "<=",
    G2,
    by=(
        ("two terms",),
        ((c * r - 1) ** 2 / c, "least", part),
        ((c * r - 1) ** 2, "part, at most 1"),
        ("least", "part, at most the other", 1 / c1),
        ("least", "least", part / (c * c1)),
    ),
    why="the two terms of J - J_*, each against its own; m is the lesser of the two factors",
)
DECREASE = Step(
    "rate",
    J_next - least,
    "<=",
    (1 - kappa) * above,
    by=(
        ("potential",),
        (gamma**2 * rho / 2, "flattest"),
        (gamma**2 * rho * low**3 / 2, "gradient inequality"),
    ),
)
STEPS = (
    Step(
        "turn by turn",
        h * (W + w) ** 2 / (2 * rho),
        "=",
        gamma**2 * rho * h**3 / 2 * (((2 - gamma * h) / (gamma * rho * h**2) - 1 / n) * h * w) ** 2,
        by=(
            (
                h / (2 * rho) * (w + W + (2 - gamma * h - gamma * rho * h**2 / n) * w),
                "step",
            ),
        ),
        why="the decrease ||w_{t+1} + w_t||^2/(2 rho) of dynamics/potential, by the gradient (c_i - 1/n) h_i w_i of J",
    ),
    Step(
        "two parts of J",
        above,
        "=",
        (c * r - 1) ** 2 / (2 * c) + (c - c1) / (2 * c1 * c),
        why="how far ||u|| is from the best length, and the direction from the best one",
    ),
    Step(
        "variance",
        (c - c1) * (c2 - c),
        "<=",
        second - c**2,
        by=(("weights",),),
        why="the two-point bound: the c_i avoid the interval between c_1 and c_2",
    ),
    Step(
        "mean at most b",
        c,
        "<=",
        b,
        by=(("certificate", 2 * b * c), ((c * r - 1) ** 2, b)),
        why="-1/(2 c) <= J <= -1/(2 b)",
    ),
    Step("no short u", 1, "<=", 2 * b * r, by=(("certificate", 2 * b), (b * c * r**2,)), why="||u|| >= 1/(2 b)"),
    Step(
        "two terms",
        (c * r - 1) ** 2 + (c - c1) * (c2 - b) / (4 * b**2),
        "<=",
        G2,
        by=(
            (-1, "gradient"),
            ("variance", r**2),
            ("least", "mean at most b", r**2),
            ("least", "basin", "no short u", (2 * b * r + 1) / (4 * b**2)),
        ),
    ),
    GRADIENT,
    DECREASE,
    Step(
        "no faster than possible",
        0,
        "<=",
        (1 - kappa) * above,
        by=(("floor next",), ("rate",)),
        why="so the bound (1 - kappa)^t may be iterated: 1 - kappa >= 0, or J = J_* already",
    ),
)


def _points() -> list[Mapping[str, float]]:
    """Starts near the first cycle in two dimensions, at which J(u_0) is certified."""
    rng = np.random.default_rng(9)
    found: list[Mapping[str, float]] = []
    while len(found) < 5:
        point = {"gamma": rng.uniform(0.2, 1.5), "rho": rng.uniform(0.05, 0.5), "h_d": rng.uniform(0.3, 0.8), "h": 1.0}
        spectrum = np.array([1.0, point["h_d"]])
        first, other = curvatures(facts_at(point, spectrum=tuple(spectrum)), spectrum)
        u = np.array([rng.uniform(0.8, 1.2), rng.uniform(-0.2, 0.2)]) / first
        length = float(np.linalg.norm(u))
        mean = float((first * u[0] ** 2 + other * u[1] ** 2) / length**2)
        potential = mean * length**2 / 2 - length
        if potential < -1 / (2 * other):
            best = -1 / (2 * potential)
            point |= {"c": mean, "c_1": first, "c_2": other, "r": length, "b": best, "u_1": u[0], "u_2": u[1]}
            found.append(point | {"m": min(1.0, first * (other - best) / (4 * best**2))})
    return found


POINTS = _points()


def _spectrum(point: Mapping[str, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([1.0, point["h_d"]])


def _certified(point: Mapping[str, float]) -> float:
    facts = facts_at(point, spectrum=tuple(_spectrum(point)))
    return certified_rate(facts, curvatures(facts, _spectrum(point)), -1 / (2 * point["b"]))


def _above(point: Mapping[str, float]) -> float:
    facts = facts_at(point, spectrum=tuple(_spectrum(point)))
    return float(potential_above(curvatures(facts, _spectrum(point)), np.array([point["u_1"], point["u_2"]])))


# On the second cycle u = e_2/c_2 nothing moves. c_1 = 1, c_2 = 2, and b is what it should be, or what it is not.
STANDING = {
    "gamma": 1, "rho": 1, "h": 1, "n": 1, "w": 1, "w_next": -1, "h_d": 1, "c": 2, "c_1": 1, "c_2": 2, "M": 4,
    "r": sp.Rational(1, 2), "G2": 0, "fall": 0, "J_next": sp.Rational(-1, 4),
}  # fmt: skip
# On the way to the first cycle along e_1, in one dimension: c_1 = 1, J = -4/9, and a step of GD on J with M = 1.
ALONE = {
    "gamma": 1, "rho": 1, "h": 1, "n": 1, "w": 1, "w_next": -1, "h_d": 1, "c": 1, "c_1": 1, "c_2": 9, "M": 1,
    "r": sp.Rational(4, 3), "G2": sp.Rational(1, 9), "fall": sp.Rational(1, 9), "J_next": sp.Rational(-1, 2),
    "b": sp.Rational(9, 8), "m": 1,
}  # fmt: skip

derivations.add(
    Derivation(
        id="dynamics/linear-rate",
        title="A certified basin of SAM's cycle on a quadratic, with a linear rate (A4)",
        claims=("dynamics/linear-rate",),
        given=GIVEN,
        steps=STEPS,
        conclusion="rate",
        meets=(
            Meets("kappa_*", kappa, _certified, POINTS),
            Meets("J - J_*", (c * r - 1) ** 2 / (2 * c) + (c - c1) / (2 * c1 * c), _above, POINTS),
        ),
        twins=(
            Twin(
                "a start on the second cycle taken for certified",
                "mean at most b",
                without=("certificate",),
                counterexample=STANDING | {"b": sp.Rational(3, 2), "m": sp.Rational(1, 18)},
            ),
            Twin(
                "three times the gradient inequality",
                "gradient inequality",
                replace(GRADIENT, left=6 * c1 * part * above),
                counterexample=ALONE,
            ),
            Twin("an eigenvalue between the two largest", "variance", without=("weights",)),
        ),
        remarks=(
            "kappa_* is at most 1 unless the run stands on the cycle already (`no faster than possible`)",
            "(c - c_1)(c_2 - c) is no larger than p_1 (c_2 - c_1)(c - c_1), also a bound on the variance: simpler, and "
            "enough for the same rate",
        ),
        covers="the one-step inequality with its rate, for every dimension, and that it may be iterated; J -> "
        "J_* means that ||u|| -> 1/c_1 and u turns to e_1, which are the two parts of J",
        latex_names={
            "n": r"\|g_t\|",
            "r": r"\|u_t\|",
            "c": r"\hat c",
            "h_d": r"\lambda_d",
            "h": r"\lambda_i",
            "w": "w_i",
            "w_next": "w_i^+",
            "M": r"\textstyle\sum p_ic_i^2",
            "G2": r"\|\nabla J\|^2",
            "fall": r"\|\Lambda^{3/2}\nabla J\|^2",
            "m": "m",
            "J_next": "J(u_{t+1})",
        },
    )
)

# -- the escape from the second cycle --

h1, h2, slow, fast, growth = sp.symbols("h_1 h_2 delta delta_2 mu", positive=True)  # mu = |mu_1|; tilts
N1, N2 = sp.symbols("N N_2", real=True)  # real times of escape
theta2 = gamma * rho * h2**2 / (2 - gamma * h2)
mu1 = 1 - gamma * h1 - (2 - gamma * h2) * h1**2 / h2**2
ESCAPE_GIVEN = (
    Given(
        "cycle",
        n * (2 - gamma * h2) - gamma * rho * h2**2,
        "=",
        "definition",
        "||g|| = n = theta_2, on the second cycle",
    ),
    Given("ordered", h1 - h2, ">", "hypothesis", "lambda_1 > lambda_2"),
    Given("multiplier", growth + mu1, "=", "definition", "mu = |mu_1| = -mu_1"),
    Given("escape", N1 * sp.log(growth) + sp.log(slow), "=", "definition", "mu^N delta = 1: linear growth from delta"),
    Given("other escape", N2 * sp.log(growth) + sp.log(fast), "=", "definition", "the same from delta_2"),
)
TILT = Step(
    "tilt",
    1 - gamma * h1 - gamma * rho * h1**2 / n,
    "=",
    mu1,
    by=((-(h1**2) / (h2**2 * n), "cycle"),),
    why="the factor of w_1 where ||g|| is that of the cycle",
)
GROWS = Step(
    "grows",
    1,
    "<",
    growth,
    by=(
        ("ordered", 2 / h2),
        ("ordered", "stays", h1 / (h2**2 * n)),
        ("multiplier", 1),
    ),
    why="the tilt changes sides and grows by mu = |mu_1| > 1",
)
ESCAPE_STEPS = (
    TILT,
    Step(
        "second coordinate",
        1 - gamma * h2 - gamma * rho * h2**2 / n,
        "=",
        -1,
        by=((-1 / n, "cycle"),),
        why="that of e_2 only changes sides",
    ),
    Step("stays", 0, "<", n * (2 - gamma * h2), by=((gamma * rho * h2**2,), ("cycle",)), why="gamma lambda_2 < 2"),
    GROWS,
    Step(
        "times",
        (N1 - N2) * sp.log(growth),
        "=",
        sp.log(fast) - sp.log(slow),
        by=((-1, "escape"), (1, "other escape")),
        why="a smaller tilt takes ln(delta_2/delta)/ln mu steps more",
    ),
)


def _escape_points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(10)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        step, radius, lower = rng.uniform(0.2, 1.8), rng.uniform(0.05, 1), rng.uniform(0.3, 0.95)
        at = step * radius * lower**2 / (2 - step * lower)
        found.append({"gamma": step, "rho": radius, "h_1": 1.0, "h_2": lower, "n": at})
    return found


def _multiplier(point: Mapping[str, float]) -> float:
    h12 = np.array([point["h_1"], point["h_2"]])
    return float(multipliers(facts_at(point, spectrum=tuple(h12)), h12, 1)[0])


def _factor(point: Mapping[str, float]) -> float:
    """The code's factor of w_1 at the code's second cycle."""
    h12 = np.array([point["h_1"], point["h_2"]])
    facts = facts_at(point, spectrum=tuple(h12))
    return float(factors(facts, h12, h12[1:] * radii(facts, h12[1:]))[0, 0])


derivations.add(
    Derivation(
        id="dynamics/escape-time",
        title="From a lower cycle SAM escapes after logarithmically many steps: the linear law (A4)",
        claims=("dynamics/escape-time",),
        given=ESCAPE_GIVEN,
        steps=ESCAPE_STEPS,
        conclusion="times",
        meets=(
            Meets("mu_1", mu1, _multiplier, _escape_points()),
            Meets("factor of w_1", 1 - gamma * h1 - gamma * rho * h1**2 / n, _factor, _escape_points()),
            Meets("by theta_2", 1 - gamma * h1 - gamma * rho * h1**2 / theta2, _factor, _escape_points()),
        ),
        twins=(
            Twin(
                "the factor of gradient descent",
                "tilt",
                replace(TILT, right=1 - gamma * h1),
                counterexample={
                    "gamma": 1,
                    "rho": 1,
                    "h_1": 2,
                    "h_2": 1,
                    "n": 1,
                    "mu": 5,
                    "delta": 1,
                    "delta_2": 1,
                    "N": 0,
                    "N_2": 0,
                },
            ),
            Twin(
                "a lower eigenvalue: the tilt shrinks",
                "grows",
                without=("ordered",),
                counterexample={
                    "gamma": 1,
                    "rho": 1,
                    "h_1": sp.Rational(3, 4),
                    "h_2": 1,
                    "n": 1,
                    "mu": sp.Rational(5, 16),
                    "delta": 1,
                    "delta_2": 1,
                    "N": 0,
                    "N_2": 0,
                },
            ),
        ),
        remarks=("t counts whole steps, so that the times are right up to one",),
        covers="the factor by which a small tilt grows, that it is above 1, and the times of that linear law; "
        "that the true times differ by O(1), and their differences by 1 + O(delta^2), rests on the "
        "unstable manifold and is not derived",
        latex_names={
            "h_1": r"\lambda_1",
            "h_2": r"\lambda_2",
            "n": r"\theta_2",
            "mu": r"|\mu_1|",
            "delta_2": r"\delta_2",
        },
    )
)
