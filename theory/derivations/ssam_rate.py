"""Linear rates of SSAM on quadratics (B3, B4) and of SSAM and unnormalised SAM on smooth PL functions (B4b)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.inner_product import dot, norm2, square, vectors
from theory.ssam import kantorovich, plain_cosine, smooth_cosine, worst_cosine

mu, L, gamma = sp.symbols("mu L gamma", positive=True)
rho, s, D, D_next = sp.symbols("rho s D D_next", nonnegative=True)
D0 = sp.Symbol("D0", nonnegative=True)
G, Q, renorm, k, r = sp.symbols("G Q nu k r", nonnegative=True)
k0, r0 = sp.symbols("k_0 r_0", positive=True)
g, p = vectors("g p")  # the gradient, and H g on quadratics or g_a on other functions

# -- from a bound on the cosine of the angle between the two gradients to the rate --


def _known(inner: sp.Expr, perturbed: sp.Expr) -> tuple[Given, ...]:
    """inner: <g, g_a>. perturbed: ||g_a||^2."""
    return (
        Given("||g||", G**2 - norm2(g), "=", "definition", "G = ||g||"),
        Given("||ga||", Q**2 - perturbed, "=", "definition", "Q = ||g_a||"),
        Given("renormalisation", renorm * Q - G, "=", "definition", "nu = ||g||/||g_a||; g_a = 0 only where g = 0"),
        Given(
            "descent lemma",
            D - gamma * renorm * inner + L * gamma**2 / 2 * renorm**2 * Q**2 - D_next,
            ">=",
            "standard",
            "f is L-smooth, and the step is -gamma nu g_a",
        ),
        Given("PL", norm2(g) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL"),
        Given("mu <= L", L - mu, ">=", "standard", "the PL constant is at most L"),
    )


STEP_RANGE = Given("step range", k - gamma * L / 2, ">=", "hypothesis", "gamma < 2 k/L")

fall = 2 * mu * gamma * (k - gamma * L / 2)


def _descent(inner: sp.Expr) -> tuple[Step, ...]:
    """From `cosine`, <g, g_a> >= k ||g|| ||g_a||, and `at most 1`, k <= 1."""
    return (
        Step(
            "renormalised",
            k * G**2,
            "<=",
            renorm * inner,
            by=((renorm, "cosine"), (k * G, "renormalisation")),
            why="the step -gamma d has ||d|| = ||g|| and <g, d> >= k ||g||^2",
        ),
        Step("same length", renorm**2 * Q**2, "=", G**2, by=((-(renorm * Q + G), "renormalisation"),)),
        Step(
            "before PL",
            D_next,
            "<=",
            D - gamma * (k - gamma * L / 2) * G**2,
            by=(("descent lemma",), (gamma, "renormalised"), (L * gamma**2 / 2, "same length")),
        ),
        Step(
            "one step",
            D_next,
            "<=",
            (1 - fall) * D,
            by=(("before PL",), (gamma, "step range", "PL"), (gamma * (k - gamma * L / 2), "||g||")),
        ),
        Step(
            "factor",
            0,
            "<=",
            1 - fall,
            by=((mu / L, (gamma * L - k) ** 2), (mu * (1 + k) / L, "at most 1"), (1 / L, "mu <= L")),
            why="the factor is nonnegative, so that the one-step bound iterates to (1 - fall)^t (f(x_0) - f*)",
        ),
    )


# -- quadratics --


def _quadratic(s: sp.Symbol) -> tuple[tuple[Given, ...], tuple[Step, ...]]:
    """Givens, and the steps up to the cosine, where g_a = (I + s H) g."""
    a, b, ga = 1 + s * mu, 1 + s * L, g + s * p
    inner = dot(g, ga)
    given = (
        *_known(inner, norm2(ga)),
        Given("spectrum", dot(p - mu * g, L * g - p), ">=", "standard", "(H - mu)(L - H) is semidefinite, p = H g"),
        Given("root", r**2 - a * b, "=", "definition", "r = sqrt((1 + s mu)(1 + s L))"),
        Given("k", k * (a + b) - 2 * r, "=", "definition", "the Kantorovich factor k = 2 r/(2 + s (mu + L))"),
    )
    steps = (
        Step(
            "Kantorovich",
            2 * r * G * Q,
            "<=",
            (a + b) * inner,
            by=(
                (s**2, "spectrum"),
                ((Q - r * G) ** 2,),
                (-1, "||ga||"),
                (-(G**2), "root"),
                (-a * b, "||g||"),
            ),
            why="||g_a||^2 + a b ||g||^2 <= (a + b) <g, g_a> for eigenvalues of I + s H in [a, b]; then the means",
        ),
        Step("cosine", k * G * Q, "<=", inner, by=((1 / (a + b), "Kantorovich"), (-G * Q / (a + b), "k"))),
        Step(
            "at most 1",
            k,
            "<=",
            1,
            by=(
                (1 / ((a + b) * (a + b + 2 * r)), (b - a) ** 2),
                (-4 / ((a + b) * (a + b + 2 * r)), "root"),
                (-1 / (a + b), "k"),
            ),
        ),
    )
    return given, (*steps, *_descent(inner))


# The parabola x^2/2 at x = 1 with gamma = 1/4: a step of gradient descent, D = 1/2 -> 9/32.
PARABOLA: Mapping[str, sp.Expr | int | tuple[sp.Expr | int, ...]] = {
    "mu": 1, "L": 1, "gamma": sp.Rational(1, 4), "rho": 0, "s": 0, "k": 1, "r": 1, "k_0": 1, "r_0": 1, "G": 1, "Q": 1,
    "nu": 1, "D": sp.Rational(1, 2), "D_next": sp.Rational(9, 32), "g": (1,), "p": (1,),
}  # fmt: skip

# H = diag(1, 4), s = 5/7 and g = (3, 2), where the angle is the largest: its cosine is 12/13.
WIDEST: Mapping[str, sp.Expr | int | tuple[sp.Expr | int, ...]] = {
    "mu": 1, "L": 4, "gamma": sp.Rational(1, 10), "rho": sp.Rational(5, 7), "k": sp.Rational(12, 13),
    "r": sp.Rational(18, 7), "G": sp.sqrt(13), "Q": 18 * sp.sqrt(13) / 7, "nu": sp.Rational(7, 18), "D": 5,
    "D_next": sp.Rational(203, 50), "g": (3, 2), "p": (3, 8),
}  # fmt: skip

a_of, b_of = 1 + s * mu, 1 + s * L
explicit = 2 * sp.sqrt(a_of * b_of) / (a_of + b_of)


def _points(seed: int) -> list[Mapping[str, float]]:
    rng = np.random.default_rng(seed)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        mu, L = rng.uniform(0.05, 0.9), rng.uniform(1, 3)
        rho, G = rng.uniform(0.01, 0.9) / L, rng.uniform(0.1, 3)
        found.append(
            {
                "mu": mu, "L": L, "rho": rho, "G": G, "s": rho / G, "D": rng.uniform(0, 3), "D0": rng.uniform(0.1, 3),
                "gamma": rng.uniform(0.1, 0.9) * np.sqrt(mu / L) / L,
            }
        )  # fmt: skip
    return found


POINTS = _points(0)


def _one_step(claim_id: str) -> Callable[[Mapping[str, float]], float]:
    def code(point: Mapping[str, float]) -> float:
        one_step = claims[claim_id].one_step
        assert one_step is not None
        gap, size2 = np.array([point["D"]]), np.array([point["G"] ** 2])
        return float(one_step(facts_at(point), gap, size2, 0, {})[0])

    return code


def _after_two(claim_id: str) -> Callable[[Mapping[str, float]], float]:
    def code(point: Mapping[str, float]) -> float:
        curve = claims[claim_id].curve
        assert curve is not None
        return float(curve(facts_at(point), np.array([2]), {})[0])

    return code


def _twice(steps: tuple[Step, ...], at: str) -> Step:
    one = next(step for step in steps if step.name == at)
    return replace(one, right=(1 - 2 * fall) * D)


def _cosine_one(steps: tuple[Step, ...]) -> Step:
    one = next(step for step in steps if step.name == "cosine")
    return replace(one, left=G * Q)


PLAIN_GIVEN, PLAIN_STEPS = _quadratic(rho)
PLAIN_GIVEN = (*PLAIN_GIVEN, STEP_RANGE)
plain = explicit.subs(s, rho)

derivations.add(
    Derivation(
        id="ssam/quadratic-rate",
        title="SSAM on quadratics, unnormalised ascent: linear rate (B3)",
        claims=("ssam/quadratic-rate",),
        given=PLAIN_GIVEN,
        steps=PLAIN_STEPS,
        conclusion="one step",
        meets=(
            Meets("k", plain, lambda point: plain_cosine(facts_at(point)), POINTS),
            Meets("one step", (1 - fall).subs(k, plain) * D, _one_step("ssam/quadratic-rate"), POINTS),
            Meets("bound at t = 2", (1 - fall).subs(k, plain) ** 2 * D0, _after_two("ssam/quadratic-rate"), POINTS),
        ),
        twins=(
            Twin("twice the rate", "one step", _twice(PLAIN_STEPS, "one step"), counterexample=PARABOLA),
            Twin(
                "the perturbed gradient points where the gradient does",
                "cosine",
                _cosine_one(PLAIN_STEPS),
                counterexample=WIDEST,
            ),
            Twin("beyond the step range", "one step", without=("step range",)),
        ),
        remarks=(
            "Where g = 0 both sides are 0. rho = 0 is gradient descent, k = 1.",
            "Every dimension: the spectrum enters only through (H - mu)(L - H) >= 0.",
        ),
        covers="the one-step inequality that the code iterates and its factor; the PL inequality of a quadratic and "
        "the descent lemma are given",
        latex_names={"p": "Hg", "nu": r"\nu", "D_next": "D_{t+1}", "D": "D_t"},
    )
)

# -- quadratics, normalised ascent --

fall0 = fall.subs(k, k0)
a, b = 1 + s * mu, 1 + s * L
UNIT_GIVEN, UNIT_STEPS = _quadratic(s)
UNIT_GIVEN = (
    *UNIT_GIVEN,
    Given("root of mu L", r0**2 - mu * L, "=", "definition", "r_0 = sqrt(mu L)"),
    Given("k0", k0 * (mu + L) - 2 * r0, "=", "definition", "the worst factor k_0 = 2 sqrt(mu L)/(mu + L)"),
    Given("step range 0", k0 - gamma * L / 2, ">=", "hypothesis", "gamma < 2 k_0/L"),
)
WORST = (
    Step(
        "least cosine, squared",
        k0**2,
        "<=",
        k**2,
        by=(
            (4 * (1 + s * (mu + L)) / ((mu + L) * (a + b)) ** 2, (L - mu) ** 2),
            (-(k0 * (mu + L) + 2 * r0) / (mu + L) ** 2, "k0"),
            (-4 / (mu + L) ** 2, "root of mu L"),
            ((k * (a + b) + 2 * r) / (a + b) ** 2, "k"),
            (4 / (a + b) ** 2, "root"),
        ),
        why="a b (mu + L)^2 - mu L (a + b)^2 = (L - mu)^2 (1 + s (mu + L))",
    ),
    Step(
        "least cosine",
        k0,
        "<=",
        k,
        by=((1 / (k + k0), "least cosine, squared"),),
        why="however small ||g|| is, and with it however large s = rho/||g||",
    ),
    Step("step range", 0, "<=", k - gamma * L / 2, by=(("step range 0",), ("least cosine",))),
)
UNIFORM = Step(
    "uniform",
    D_next,
    "<=",
    (1 - fall0) * D,
    by=(("one step",), (2 * mu * gamma * D, "least cosine")),
    why="no radius appears: the 2-cycle of SAM is gone",
)
UNIT_STEPS = (*WORST, *UNIT_STEPS, UNIFORM)

derivations.add(
    Derivation(
        id="ssam/normalised-rate",
        title="SSAM on quadratics, normalised ascent: linear to the exact minimiser (B4)",
        claims=("ssam/normalised-rate",),
        given=UNIT_GIVEN,
        steps=UNIT_STEPS,
        conclusion="uniform",
        meets=(
            Meets(
                "k at the point",
                2 * sp.sqrt((G + rho * mu) * (G + rho * L)) / (2 * G + rho * (mu + L)),
                lambda point: float(kantorovich(facts_at(point), point["rho"] / point["G"])),
                POINTS,
            ),
            Meets("least k", 2 * sp.sqrt(mu * L) / (mu + L), lambda point: worst_cosine(facts_at(point)), POINTS),
            Meets("one step", (1 - fall).subs(k, explicit) * D, _one_step("ssam/normalised-rate"), POINTS),
            Meets(
                "bound at t = 2",
                (1 - fall0).subs(k0, 2 * sp.sqrt(mu * L) / (mu + L)) ** 2 * D0,
                _after_two("ssam/normalised-rate"),
                POINTS,
            ),
        ),
        twins=(
            Twin(
                "twice the rate", "uniform", replace(UNIFORM, right=(1 - 2 * fall0) * D), counterexample=PARABOLA
            ),
            Twin(
                "the factor of a large gradient, k = 1, for all",
                "least cosine",
                replace(WORST[1], left=1),
                counterexample={
                    **WIDEST, "s": WIDEST["rho"], "k_0": sp.Rational(4, 5), "r_0": 2,
                },
            ),
        ),
        remarks=(
            "s = rho/||g|| takes any nonnegative value: nothing divides by ||g||. Where g = 0 both sides are 0.",
            "mu = L (and one dimension): k = 1, and the rule is gradient descent.",
        ),
        covers="the one-step inequality with the factor of the point, and with the least one, which the code iterates; "
        "the descent lemma and the PL inequality are given",
        latex_names={"p": "Hg", "nu": r"\nu", "D_next": "D_{t+1}", "D": "D_t"},
    )
)  # fmt: skip

# -- smooth PL functions --

SMOOTH_GIVEN = (
    *_known(dot(g, p), norm2(p)),
    STEP_RANGE,
    Given(
        "smooth",
        (rho * L) ** 2 * norm2(g) - norm2(p - g),
        ">=",
        "standard",
        "f is L-smooth: ||g_a - g|| <= L rho ||g||",
    ),
    Given("c", k**2 - 1 + (rho * L) ** 2, "=", "definition", "k is c = sqrt(1 - rho^2 L^2)"),
)
SMOOTH_STEPS = (
    Step(
        "cosine",
        k * G * Q,
        "<=",
        dot(g, p),
        by=(
            (sp.Rational(1, 2), (Q - k * G) ** 2),
            (sp.Rational(1, 2), "smooth"),
            (-sp.Rational(1, 2), "||ga||"),
            (-(k**2) / 2, "||g||"),
            (-norm2(g) / 2, "c"),
        ),
        why="the sine of the angle between g and g_a is at most rho L",
    ),
    Step("at most 1", k, "<=", 1, by=((1 / (1 + k), (rho * L) ** 2), (-1 / (1 + k), "c"))),
    *_descent(dot(g, p)),
)
smooth = sp.sqrt(1 - (rho * L) ** 2)

# g_a is g turned by the angle whose sine is rho L = 3/5, and shortened to the cosine 4/5.
TURNED: Mapping[str, sp.Expr | int | tuple[sp.Expr | int, ...]] = {
    "mu": sp.Rational(1, 10), "L": 1, "gamma": sp.Rational(1, 10), "rho": sp.Rational(3, 5), "k": sp.Rational(4, 5),
    "G": 1, "Q": sp.Rational(4, 5), "nu": sp.Rational(5, 4), "D": 1, "D_next": sp.Rational(37, 40), "g": (1, 0),
    "p": (sp.Rational(16, 25), sp.Rational(12, 25)),
}  # fmt: skip

derivations.add(
    Derivation(
        id="ssam/pl-rate",
        title="SSAM on smooth PL functions (B4b)",
        claims=("ssam/pl-rate",),
        given=SMOOTH_GIVEN,
        steps=SMOOTH_STEPS,
        conclusion="one step",
        meets=(
            Meets("c", smooth, lambda point: smooth_cosine(facts_at(point)), POINTS),
            Meets("one step", (1 - fall).subs(k, smooth) * D, _one_step("ssam/pl-rate"), POINTS),
            Meets("bound at t = 2", (1 - fall).subs(k, smooth) ** 2 * D0, _after_two("ssam/pl-rate"), POINTS),
        ),
        twins=(
            Twin("twice the rate", "one step", _twice(SMOOTH_STEPS, "one step"), counterexample=PARABOLA),
            Twin(
                "the perturbed gradient points where the gradient does",
                "cosine",
                _cosine_one(SMOOTH_STEPS),
                counterexample=TURNED,
            ),
        ),
        remarks=("rho L < 1 makes c positive and g_a nonzero where g is: ||g_a|| >= (1 - rho L)||g||.",),
        covers="the one-step inequality that the code iterates and its factor",
        latex_names={"p": "g_a", "nu": r"\nu", "k": "c", "D_next": "D_{t+1}", "D": "D_t"},
    )
)

# -- the same without renormalising --

USAM_GIVEN = (
    Given(
        "descent lemma",
        D - gamma * dot(g, p) + L * gamma**2 / 2 * norm2(p) - D_next,
        ">=",
        "standard",
        "f is L-smooth, and the step is -gamma g_a",
    ),
    Given(
        "smooth",
        (rho * L) ** 2 * norm2(g) - norm2(p - g),
        ">=",
        "standard",
        "f is L-smooth: ||g_a - g|| <= L rho ||g||",
    ),
    Given("PL", norm2(g) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL"),
    Given("mu <= L", L - mu, ">=", "standard", "the PL constant is at most L"),
    Given("radius", 1 - rho * L, ">=", "hypothesis", "rho L < 1"),
    Given("step range", 1 - gamma * L, ">=", "hypothesis", "gamma <= 1/L"),
)
usam_fall = mu * gamma * (1 - (rho * L) ** 2)
USAM_STEPS = (
    Step(
        "inner product",
        norm2(p) + (1 - (rho * L) ** 2) * norm2(g),
        "<=",
        2 * dot(g, p),
        by=(("smooth",),),
        why="2 <g, g_a> = ||g||^2 + ||g_a||^2 - ||g - g_a||^2",
    ),
    Step(
        "before PL",
        D_next,
        "<=",
        D - gamma / 2 * (1 - (rho * L) ** 2) * norm2(g),
        by=(("descent lemma",), (gamma / 2, "inner product"), (gamma / 2, "step range", square(p))),
        why="gamma L <= 1 lets go of ||g_a||^2",
    ),
    Step(
        "one step",
        D_next,
        "<=",
        (1 - usam_fall) * D,
        by=(("before PL",), (gamma * (1 + rho * L) / 2, "radius", "PL")),
    ),
    Step(
        "factor",
        0,
        "<=",
        1 - usam_fall,
        by=((mu / L, "step range"), (1 / L, "mu <= L"), (mu * gamma, (rho * L) ** 2)),
        why="the factor is nonnegative, so that the one-step bound iterates",
    ),
)

derivations.add(
    Derivation(
        id="ssam/usam-pl-rate",
        title="Unnormalised SAM on smooth PL functions (B4b)",
        claims=("ssam/usam-pl-rate",),
        given=USAM_GIVEN,
        steps=USAM_STEPS,
        conclusion="one step",
        meets=(
            Meets("one step", (1 - usam_fall) * D, _one_step("ssam/usam-pl-rate"), POINTS),
            Meets("bound at t = 2", (1 - usam_fall) ** 2 * D0, _after_two("ssam/usam-pl-rate"), POINTS),
        ),
        twins=(
            Twin(
                "a rate one percent faster",
                "one step",
                replace(USAM_STEPS[2], right=(1 - sp.Rational(101, 100) * usam_fall) * D),
                # x^2/2 at x = 1 with gamma = 1 and rho = 3/5: x+ = -3/5
                counterexample={
                    "mu": 1, "L": 1, "gamma": 1, "rho": sp.Rational(3, 5), "D": sp.Rational(1, 2),
                    "D_next": sp.Rational(9, 50), "g": (1,), "p": (sp.Rational(8, 5),),
                },
            ),
            Twin(
                "every step below 2/L",
                "before PL",
                without=("step range",),
                # x^2/2 at x = 1 with gamma = 3/2 and rho = 3/5: x+ = -7/5
                counterexample={
                    "mu": 1, "L": 1, "gamma": sp.Rational(3, 2), "rho": sp.Rational(3, 5), "D": sp.Rational(1, 2),
                    "D_next": sp.Rational(49, 50), "g": (1,), "p": (sp.Rational(8, 5),),
                },
            ),
        ),
        remarks=("rho = 0 is gradient descent with its rate 1 - mu gamma. Attained on x^2/2 with gamma = 1/L.",),
        covers="the one-step inequality that the code iterates and its factor",
        latex_names={"p": "g_a", "D_next": "D_{t+1}", "D": "D_t"},
    )
)  # fmt: skip
