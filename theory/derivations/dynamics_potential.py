"""SAM and Unified SAM on quadratics: the potential falls at every step, by an exactly known amount (A2).

In the eigenbasis every coordinate of a step is that of the last times a polynomial in its eigenvalue h, so every sum
over coordinates is a combination of the moments m_k = sum_i h_i^k w_i^2. That makes the proof one for every dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Lemma, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.dynamics import curvatures, factors, potential_above

gamma, rho, lam = sp.symbols("gamma rho lam", positive=True)
h, h1, c1, n = sp.symbols("h h_1 c_1 n", positive=True)  # an eigenvalue; the largest; c of the largest; ||g_t||
n_next = sp.Symbol("n_next", nonnegative=True)
w, W, J0 = sp.symbols("w w_next J_0", real=True)
moments = tuple(sp.Symbol(f"m_{k}", real=True) for k in range(7))


def over_coordinates(polynomial: sp.Expr) -> sp.Expr:
    """sum_i polynomial(h_i) w_i^2 in the moments."""
    terms = sp.Poly(sp.expand(polynomial), h).all_coeffs()
    return sp.expand(sum((c * m for c, m in zip(reversed(terms), moments, strict=False)), sp.Integer(0)))


mixed = 1 + rho * (1 - lam) * h
factor = 1 - gamma * h * mixed - gamma * rho * lam * h**2 / n
c_h2 = (2 - gamma * h * mixed) / (gamma * rho * lam)  # c h^2
quadratic = over_coordinates(c_h2 / 2)
J = quadratic - n
J_next = over_coordinates(c_h2 / 2 * factor**2) - n_next
turn = over_coordinates(h * mixed * (1 + factor) ** 2)
crossed = -over_coordinates(h**2 * factor)  # <u_t, u_{t+1}>, as u_{t+1} = -(-1)^t g_{t+1}
bregman = n_next - n - (crossed - n**2) / n
stiff = (2 - gamma * h * mixed).subs(h, h1)

GIVEN = (
    Given("step", factor * w - W, "=", "definition", "one coordinate of a step, where ||g_t|| = n > 0"),
    Given("norm", n**2 - moments[2], "=", "definition", "n = ||g_t||, and g_t has the coordinates h_i w_i"),
    Given("Cauchy-Schwarz", n * n_next - crossed, ">=", "standard", "<u_t, u_{t+1}> <= ||u_t|| ||u_{t+1}||"),
    Given("positive definite", turn, ">=", "hypothesis", "every h_i > 0 and lam <= 1: a sum of h_i (1 + ...) (...)^2"),
    Given("mixing", 1 - lam, ">=", "hypothesis", "lam <= 1"),
    Given("c_1", gamma * rho * lam * h1**2 * c1 - stiff, "=", "definition", "c_1 > 0 says gamma L (1 + ...) < 2"),
    Given("ordered", h1 - h, ">=", "definition", "h_1 is the largest eigenvalue"),
    Given("Rayleigh", quadratic - c1 * n**2 / 2, ">=", "standard", "u' C u >= c_1 ||u||^2, as c_1 is the least c_i"),
)

IDENTITY = Step(
    "identity",
    J - J_next,
    "=",
    turn / (2 * rho * lam) + bregman,
    by=((1 / n, "norm"),),
    why="the coordinate identity summed, in moments",
)
SMALLEST = Step(
    "least c",
    c1,
    "<=",
    c_h2 / h**2,
    by=(
        ("ordered", "room", 1 / (gamma * rho * lam * h**2 * h1**2)),
        (-1 / (gamma * rho * lam * h1**2), "c_1"),
    ),
    why="c decreases in the eigenvalue",
)
DECREASE = Step(
    "decrease",
    turn,
    "<=",
    2 * rho * lam * (J - J_next),
    by=((2 * rho * lam, "Bregman gap"), (-2 * rho * lam, "identity")),
)
FALLS = Step(
    "J falls", J_next, "<=", J, by=(("decrease", 1 / (2 * rho * lam)), ("positive definite", 1 / (2 * rho * lam)))
)
STEPS = (
    Step(
        "one coordinate",
        c_h2 / 2 * (w**2 - W**2),
        "=",
        h * mixed / (2 * rho * lam) * (W + w) ** 2 + h**2 * w * (W + w) / n,
        by=((-(W + w) / (gamma * rho * lam), "step"),),
        why="gamma h (1 + ...) (2 - gamma h (1 + ...)) and 2 - gamma h (1 + ...) are what both sides have in common",
    ),
    IDENTITY,
    Step("Bregman gap", 0, "<=", bregman, by=((1 / n, "Cauchy-Schwarz"),), why="that of the norm, which is convex"),
    DECREASE,
    FALLS,
    Step(
        "room",
        0,
        "<",
        2 * (h1 + h) - gamma * h * h1,
        by=(
            (2 * h1,),
            (gamma * rho * lam * h1**2 * c1 * h,),
            (gamma * rho * h1**2 * h, "mixing"),
            (-h, "c_1"),
        ),
    ),
    SMALLEST,
    Step(
        "floor", -1 / (2 * c1), "<=", J, by=(("Rayleigh",), ((c1 * n - 1) ** 2, 1 / (2 * c1))), why="J_* = -1/(2 c_1)"
    ),
    Step(
        "telescoping",
        2 * rho * lam * (J0 - J) + turn,
        "<=",
        2 * rho * lam * (J0 - J_next),
        by=(("decrease",),),
        why="the bound 2 rho lam (J(u_0) - J(u_T)) on the sum over t < T holds at T + 1 if it holds at T",
    ),
    Step("sum", 2 * rho * lam * (J0 - J), "<=", 2 * rho * lam * (J0 + 1 / (2 * c1)), by=((2 * rho * lam, "floor"),)),
)


def _at(
    spectrum: tuple[float, ...], w0: tuple[float, ...], gamma_: float, rho_: float, lam_: float
) -> dict[str, float]:
    """The symbols at the point w0 (one entry an eigenvalue); h and w are those of the last coordinate."""
    values = {"gamma": gamma_, "rho": rho_, "lam": lam_, "h": spectrum[-1], "h_1": spectrum[0], "w": w0[-1]}
    sums = [np.sum(np.array(spectrum) ** k * np.array(w0) ** 2) for k in range(7)]
    values |= {f"m_{k}": float(m) for k, m in enumerate(sums)} | {"n": float(np.sqrt(sums[2]))}
    facts = facts_at(values, spectrum=spectrum)
    after = factors(facts, np.array(spectrum), np.array([values["n"]]))[0] * w0
    values |= {"w_next": float(after[-1]), "n_next": float(np.linalg.norm(after * spectrum)), "J_0": 0.0}
    values |= {"c_1": float(curvatures(facts, np.array(spectrum))[0])}
    return values | {f"h{i}": v for i, v in enumerate(spectrum)} | {f"w{i}": v for i, v in enumerate(w0)}


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(1)
    found: list[Mapping[str, float]] = []
    for _ in range(6):
        spectrum = tuple(float(v) for v in np.sort(rng.uniform(0.1, 1, 3))[::-1])
        start = tuple(float(v) for v in rng.normal(0, 0.3, 3))
        found.append(_at(spectrum, start, rng.uniform(0.1, 1.2), rng.uniform(0.01, 0.5), rng.uniform(0.2, 1)))
    return found


POINTS = _points()


def _above(point: Mapping[str, float], steps: int) -> float:
    """J - J_* of the code after so many steps of its rule."""
    spectrum, position = (np.array([point[f"{name}{i}"] for i in range(3)]) for name in "hw")
    facts = facts_at(point, spectrum=tuple(spectrum))
    for _ in range(steps):
        position = factors(facts, spectrum, np.array([np.linalg.norm(spectrum * position)]))[0] * position
    return float(potential_above(curvatures(facts, spectrum), spectrum * position))


def _now(point: Mapping[str, float]) -> float:
    return _above(point, 0)


def _next(point: Mapping[str, float]) -> float:
    return _above(point, 1)


def _one_dimension(curvature: Fraction, start: Fraction, **changes: sp.Expr | int) -> dict[str, sp.Expr | int | float]:
    """An exact point in one dimension with gamma = 4/5, rho = 1/10, lam = 1, as a counterexample needs it."""
    s, x = sp.Rational(curvature.numerator, curvature.denominator), sp.Rational(start.numerator, start.denominator)
    g, r, size = sp.Rational(4, 5), sp.Rational(1, 10), abs(s * x)
    move = 1 - g * s - g * r * s**2 / size
    values: dict[str, sp.Expr | int | float] = {f"m_{k}": s**k * x**2 for k in range(7)}
    values |= {"gamma": g, "rho": r, "lam": 1, "n": size, "n_next": abs(s * move * x), "J_0": 0}
    # The one coordinate looked at is another one: an eigenvalue 1/2, not above the largest.
    values |= {"h_1": 1, "c_1": (2 - g) / (g * r), "h": sp.Rational(1, 2), "w": 0, "w_next": 0}
    return values | changes


derivations.add(
    Derivation(
        id="dynamics/potential",
        title="A potential that Unified SAM on a quadratic lowers by an exactly known amount (A2)",
        claims=("dynamics/potential",),
        given=GIVEN,
        steps=STEPS,
        conclusion="identity",
        meets=(
            Meets("J(u_t) - J_*", J + 1 / (2 * c1), _now, POINTS),
            Meets("J(u_{t+1}) - J_*", J - turn / (2 * rho * lam) - bregman + 1 / (2 * c1), _next, POINTS),
        ),
        twins=(
            Twin(
                "decrease 1.02 times as large",
                "identity",
                replace(IDENTITY, right=sp.Rational(51, 50) * turn / (2 * rho * lam) + bregman),
                counterexample=_one_dimension(Fraction(1), Fraction(1, 5)),
            ),
            Twin(
                "a negative eigenvalue: J rises",
                "J falls",
                without=("positive definite",),
                counterexample=_one_dimension(Fraction(-1, 2), Fraction(3, 10)),
            ),
            Twin(
                "c_1 of an eigenvalue that is not the largest",
                "least c",
                without=("ordered",),
                counterexample=_one_dimension(Fraction(1), Fraction(1, 5), h=2),
            ),
            Twin("without Cauchy-Schwarz", "Bregman gap", without=("Cauchy-Schwarz",)),
        ),
        remarks=(
            "at g = 0, which n > 0 excludes, nothing moves and J stays 0",
            "identity, decrease and Bregman gap hold for every gamma > 0; c_1 > 0 enters with the floor only",
            "with M = gamma rho lam Lambda^2 it says that SAM is gradient descent on J, preconditioned by M",
        ),
        covers="the identity, the decrease at every step and the bound on the sum, for every lam in (0, 1] and every "
        "dimension; the bound on the iterates is dynamics/potential-iterates",
        latex_names={
            "n": r"\|g_t\|",
            "n_next": r"\|g_{t+1}\|",
            "w": "w_i",
            "w_next": "w_i^+",
            "h": r"\lambda_i",
            "h_1": r"\lambda_1",
            "lam": r"\lambda",
        },
    )
)

# -- how large the iterates can be --

e, above = sp.symbols("e J_plus", nonnegative=True)  # sqrt(1 + 2 c_1 J_plus) - 1; max(J(u_0), 0)
j = sp.Symbol("J", real=True)

ITERATES_GIVEN = (
    Given("Rayleigh", j + n - c1 * n**2 / 2, ">=", "standard", "J(u) = u' C u/2 - ||u|| >= c_1 ||u||^2/2 - ||u||"),
    Given(
        "J has fallen",
        J0 - j,
        ">=",
        "lemma",
        "dynamics/potential: J falls at every step, here summed over the steps",
        lemma=Lemma(
            "dynamics/potential", "J falls", granted=dict.fromkeys(("positive definite", "mixing"), "the same")
        ),
    ),
    Given("positive part", above - J0, ">=", "definition", "J_plus = max(J(u_0), 0)"),
    Given("root", (1 + e) ** 2 - 1 - 2 * c1 * above, "=", "definition", "1 + e = sqrt(1 + 2 c_1 J_plus) >= 1"),
)
ITERATES = Step(
    "iterates",
    n,
    "<=",
    (2 + e) / c1,
    by=(("square", 1 / (c1 * (e + c1 * n))),),
    why="(1 + e)^2 - (c_1 n - 1)^2 is the product of 2 + e - c_1 n and e + c_1 n > 0",
)
ITERATES_STEPS = (
    Step(
        "square",
        (c1 * n - 1) ** 2,
        "<=",
        (1 + e) ** 2,
        by=((2 * c1, "Rayleigh"), (2 * c1, "J has fallen"), (2 * c1, "positive part"), ("root",)),
    ),
    ITERATES,
)


def _largest_iterate(point: Mapping[str, float]) -> float:
    """The largest ||g|| with c_1 ||g||^2/2 - ||g|| <= J_plus, from the code's c_1: a root of that quadratic."""
    facts = facts_at(point, spectrum=(point["h_1"],))
    curvature = float(curvatures(facts, np.array([point["h_1"]]))[0])
    return float(np.roots([curvature / 2, -1.0, -point["J_plus"]]).max())


def _iterate_points() -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = []
    for top, step, radius, start in ((1.0, 0.5, 0.1, 0.0), (2.0, 0.3, 0.7, 0.4), (0.5, 1.5, 0.05, 3.0)):
        c = (2 - step * top) / (step * radius * top**2)
        found.append(
            {"h_1": top, "gamma": step, "rho": radius, "c_1": c, "J_plus": start, "e": np.sqrt(1 + 2 * c * start) - 1}
        )
    return found


derivations.add(
    Derivation(
        id="dynamics/potential-iterates",
        title="How large the gradients along a run of SAM on a quadratic can be (A2)",
        claims=("dynamics/potential",),
        given=ITERATES_GIVEN,
        steps=ITERATES_STEPS,
        conclusion="iterates",
        meets=(Meets("largest gradient", (2 + e) / c1, _largest_iterate, _iterate_points()),),
        twins=(
            Twin(
                "the smaller root",
                "iterates",
                replace(ITERATES, right=(1 + e) / c1),
                # at the bottom of J, c_1 = 1 and ||g|| = 3/2
                counterexample={
                    "c_1": 1,
                    "n": sp.Rational(3, 2),
                    "J": sp.Rational(-3, 8),
                    "J_0": sp.Rational(-3, 8),
                    "J_plus": 0,
                    "e": 0,
                },
            ),
            Twin("J may have risen", "square", without=("J has fallen",)),
        ),
        covers="||g_t|| <= (1 + sqrt(1 + 2 c_1 max(J(u_0), 0)))/c_1 for all t",
        latex_names={"n": r"\|g_t\|", "J": "J(u_t)", "J_0": "J(u_0)", "J_plus": "J(u_0)_+"},
    )
)
