"""Unnormalised SAM with a full batch as gradient descent with a relative error (C3): range of steps and three rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.claims.igd import decrease, kl_bound, longest_step
from theory.derivation import AnyStep, Derivation, Given, Induction, Meets, Monotone, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.inner_product import dot, norm2, square, vectors

half = sp.Rational(1, 2)
gamma, L = sp.symbols("gamma L", positive=True)
nu, short, long = sp.symbols("nu p m", nonnegative=True)  # L rho; max(1 - L gamma, 0); max(L gamma - 1, 0)
D, D_next, D0 = sp.symbols("D D_next D0", nonnegative=True)
g, w = vectors("g w")  # grad f(x); (grad f(x + rho g) - g)/nu

used = g + nu * w  # grad f(x + rho g)
a = (1 - nu**2) / 2 + short * (1 - nu) ** 2 / 2 - long * (1 + nu) ** 2 / 2


def given(before: sp.Expr, after: sp.Expr) -> tuple[Given, ...]:
    """Of one step from a gap to the next."""
    return (
        Given(
            "relative error",
            norm2(g) - norm2(w),
            ">=",
            "hypothesis",
            "f is L-smooth: the gradients at x and x + rho g differ by at most L rho ||g|| = nu ||g||",
        ),
        Given(
            "descent lemma",
            before - gamma * dot(g, used) + L * gamma**2 / 2 * norm2(used) - after,
            ">=",
            "standard",
            "f is L-smooth",
        ),
        Given("two branches", L * gamma - (1 - short + long), "=", "definition", "1 - L gamma = p - m, one is 0"),
        Given(
            "range",
            1 - nu - long * (1 + nu),
            ">",
            "hypothesis",
            "nu < 1, and gamma < 2/(L (1 + nu)) where L gamma >= 1; it holds of itself where L gamma <= 1",
        ),
    )


def steps(before: sp.Expr, after: sp.Expr) -> tuple[Step, ...]:
    """From the descent lemma to the decrease."""
    return (
        Step(
            "along g, short steps",
            0,
            "<=",
            norm2(g) + dot(g, w),
            by=((half, square(g + w)), (half, "relative error")),
            why="<g, w> is at least -||g||^2, the worst where L gamma < 1",
        ),
        Step(
            "along g, long steps",
            0,
            "<=",
            norm2(g) - dot(g, w),
            by=((half, square(g - w)), (half, "relative error")),
            why="and at most ||g||^2, the worst where L gamma > 1",
        ),
        Step(
            "one step",
            after,
            "<=",
            before - gamma * a * norm2(g),
            by=(
                ("descent lemma",),
                (gamma * short * nu, "along g, short steps"),
                (gamma * long * nu, "along g, long steps"),
                (L * gamma**2 * nu**2 / 2, "relative error"),
                (-gamma / 2 * ((1 + nu**2) * norm2(g) + 2 * nu * dot(g, w)), "two branches"),
            ),
            why="the change is linear in <g, w> with slope L gamma - 1: one of the two ends, by the branch",
        ),
        Step(
            "decrease",
            0,
            "<",
            a,
            by=(((1 + nu) / 2, "range"), (short / 2, (1 - nu) ** 2)),
            why="a is positive on the whole range",
        ),
    )


GIVEN, STEPS = given(D, D_next), steps(D, D_next)
ONE_STEP = D - gamma * a * norm2(g)
BRANCHES = (
    Step(
        "gamma <= 1/L",
        a.subs({long: 0, short: 1 - L * gamma}),
        "=",
        (1 - nu) * (1 - gamma * L * (1 - nu) / 2),
    ),
    Step(
        "gamma >= 1/L",
        a.subs({short: 0, long: L * gamma - 1}),
        "=",
        (1 + nu) * (1 - gamma * L * (1 + nu) / 2),
    ),
    Step(
        "attained for gamma >= 1/L",
        (1 - gamma * L * (1 + nu)) ** 2 * D,
        "=",
        D - gamma * (1 + nu) * (1 - gamma * L * (1 + nu) / 2) * 2 * L * D,
        why="f = L x^2/2: x+ = (1 - gamma L (1 + nu)) x and ||g||^2 = 2 L f",
    ),
    Step(
        "beyond the range",
        D + gamma * L * (1 + nu) * (gamma * L * (1 + nu) - 2) * D,
        "=",
        (1 - gamma * L * (1 + nu)) ** 2 * D,
        why="so that this f grows for gamma > 2/(L (1 + nu)): the range is exact",
    ),
)
S = sp.Symbol("S", real=True)
SUMMED = Step(
    "sum, one step on",
    S + gamma * a * norm2(g),
    "<=",
    D0 - D_next,
    by=(("sum so far",), ("one step",)),
    why="the decreases telescope",
)
SUM = Step("sum", S + gamma * a * norm2(g), "<=", D0, by=(("sum, one step on",), (D_next,)), why="f >= f*")
SUM_SO_FAR = Given(
    "sum so far",
    D0 - D - S,
    ">=",
    "induction",
    "induction: S sums gamma a ||grad f(x_j)||^2 over j < t; 0 at t = 0",
    Induction("sum, one step on", next={S: S + gamma * a * norm2(g), D: D_next}, start={S: 0, D: D0}),
)


def _points() -> list[dict[str, float]]:
    """On both branches, at the edge between them, and without a radius."""
    rng = np.random.default_rng(0)
    found: list[dict[str, float]] = []
    for nu_, part in ((0.5, 0.95), (0.9, 0.3), (0.2, 0.6), (0.0, 0.5), (0.3, 0.99), (0.7, 0.05)):
        L_ = float(rng.uniform(0.5, 3))
        point = {
            "L": L_, "nu": nu_, "rho": nu_ / L_, "gamma": part * 2 / (L_ * (1 + nu_)), "D": rng.uniform(0, 5),
            "|g|^2": rng.uniform(0, 5), "D0": rng.uniform(0, 5), "mu": rng.uniform(0.01, 1) * L_,
        }  # fmt: skip
        found.append(point)
    return found


POINTS = _points()
BRANCH = {short: sp.Max(1 - L * gamma, 0), long: sp.Max(L * gamma - 1, 0)}


def _one_step(claim: str, point: Mapping[str, float]) -> float:
    rule = claims[claim].one_step
    assert rule is not None
    return float(rule(facts_at(point), np.array([point["D"]]), np.array([point["|g|^2"]]), 0, {})[0])


def _curve(claim: str, point: Mapping[str, float]) -> float:
    rule = claims[claim].curve
    assert rule is not None
    return float(rule(facts_at(point), np.array([int(point.get("T", 1))]), {})[0])


T = sp.Symbol("T", positive=True)
SUM_POINTS = [point | {"T": 7.0} for point in POINTS]

# f = x^2/2 from x = 1 with nu = 1/2: within the range and beyond its end 4/3.
LONG_STEP = {
    "L": 1, "gamma": sp.Rational(6, 5), "nu": half, "p": 0, "m": sp.Rational(1, 5), "D": half,
    "D_next": sp.Rational(8, 25), "g": (1,), "w": (1,), "S": 0, "D0": half,
}  # fmt: skip
BEYOND = LONG_STEP | {"gamma": sp.Rational(3, 2), "m": half, "D_next": sp.Rational(25, 32)}
# Short steps across a kink from curvature -1 ahead, where the perturbed point lies, to 1 behind, where x+ does.
KINK = LONG_STEP | {
    "gamma": half, "p": half, "m": 0, "D": 1, "w": (-1,), "D_next": 1 - half * half + sp.Rational(1, 8) / 4, "D0": 1,
}  # fmt: skip
LATEX = {"g": r"\nabla f", "D": "D_t", "D_next": "D_{t+1}", "nu": r"\nu"}

derivations.add(
    Derivation(
        id="igd/step-range",
        title="USAM with a full batch decreases f up to gamma = 2/(L (1 + L rho)) (C3)",
        claims=("igd/step-range",),
        given=(*GIVEN, SUM_SO_FAR),
        steps=(*STEPS, *BRANCHES, SUMMED, SUM),
        conclusion="one step",
        meets=(
            Meets("a", a.subs(BRANCH), lambda point: decrease(facts_at(point)), POINTS),
            Meets("one step", ONE_STEP.subs(BRANCH), lambda point: _one_step("igd/step-range", point), POINTS),
            Meets("end of the range", 2 / (L * (1 + nu)), lambda point: longest_step(facts_at(point)), POINTS),
            Meets(
                "average of ||grad f||^2",
                (D0 / (gamma * a * T)).subs(BRANCH),
                lambda point: _curve("igd/step-range", point),
                SUM_POINTS,
            ),
        ),
        twins=(
            Twin(
                "the a of short steps for all",
                "one step",
                replace(STEPS[2], right=D - gamma * (1 - nu) * (1 - gamma * L * (1 - nu) / 2) * norm2(g)),
                counterexample=LONG_STEP,
            ),
            Twin(
                "the a of long steps for all",
                "one step",
                replace(STEPS[2], right=D - gamma * (1 + nu) * (1 - gamma * L * (1 + nu) / 2) * norm2(g)),
                counterexample=KINK,
            ),
            Twin("beyond the range", "decrease", without=("range",), counterexample=BEYOND),
        ),
        remarks=(
            "nu = 0 is included: nothing divides by nu. Every method with such a relative error obeys the same.",
            "On quadratics a is attained for gamma >= 1/L only; for shorter steps it takes a kink.",
        ),
        covers="the decrease on both branches, its sign on the whole range, equality on L x^2/2 for gamma >= 1/L, "
        "the sum of the decreases",
        latex_names=LATEX,
    )
)

# -- Polyak-Lojasiewicz --

mu = sp.Symbol("mu", positive=True)
power = sp.Symbol("q_t", nonnegative=True)  # (1 - 2 mu gamma a)^t
PL_STEPS = (
    *STEPS,
    Step(
        "PL step",
        D_next,
        "<=",
        (1 - 2 * mu * gamma * a) * D,
        by=(("one step",), (gamma, "decrease", "PL")),
    ),
    Step(
        "iteration",
        (1 - 2 * mu * gamma * a) * (power * D0),
        "=",
        (1 - 2 * mu * gamma * a) * power * D0,
        why="the factor is not negative, since D_{t+1} >= 0 unless D_t = 0",
    ),
    Step(
        "attained for gamma >= 1/L",
        (1 - gamma * L * (1 + nu)) ** 2,
        "=",
        1 - 2 * L * gamma * (1 + nu) * (1 - gamma * L * (1 + nu) / 2),
        why="f = L x^2/2, mu = L",
    ),
)

derivations.add(
    Derivation(
        id="igd/pl-rate",
        title="USAM with a full batch on PL functions, on the whole range of steps (C3)",
        claims=("igd/pl-rate",),
        given=(*GIVEN, Given("PL", norm2(g) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL")),
        steps=PL_STEPS,
        conclusion="PL step",
        meets=(
            Meets(
                "one step",
                ((1 - 2 * mu * gamma * a) * D).subs(BRANCH),
                lambda point: _one_step("igd/pl-rate", point),
                POINTS,
            ),
            Meets(
                "bound at t = 1",
                ((1 - 2 * mu * gamma * a) * D0).subs(BRANCH),
                lambda point: _curve("igd/pl-rate", point),
                POINTS,
            ),
        ),
        twins=(
            Twin(
                "twice the rate",
                "PL step",
                replace(PL_STEPS[4], right=(1 - 4 * mu * gamma * a) * D),
                counterexample=LONG_STEP | {"mu": 1},
            ),
            Twin("without the PL inequality", "PL step", without=("PL",), counterexample=LONG_STEP | {"mu": 10}),
        ),
        covers="the factor of one step, its iteration, and that L x^2/2 attains it for gamma >= 1/L",
        latex_names=LATEX,
    )
)

# -- Kurdyka-Lojasiewicz --

E = sp.Symbol("D", positive=True)  # the same gap, not 0
s, kappa = sp.symbols("s kappa", positive=True)  # s = 2 q - 1
V, x, y, t = sp.symbols("V x y t", nonnegative=True)  # V = D/D_next - 1
E0 = sp.Symbol("D0", positive=True)
gain = s * gamma * a * kappa**2

POWER_STEP = Step(
    "one step of D^-s",
    E ** (-s) + gain,
    "<=",
    E ** (-s) * (1 + V) ** s,
    by=((E ** (-s), "Bernoulli"), (s * E ** (-s), "share")),
    why="the right side is D_next^-s",
)
KL_STEPS: tuple[AnyStep, ...] = (
    *steps(E, E / (1 + V)),
    Step(
        "KL step",
        E / (1 + V),
        "<=",
        E - gamma * a * kappa**2 * E ** (1 + s),
        by=(("one step",), (gamma, "decrease", "KL")),
    ),
    Step("share", gamma * a * kappa**2 * E**s, "<=", V / (1 + V), by=((1 / E, "KL step"),)),
    Step("y >= 0", 0, "<=", y, by=((y,),)),
    Step("V >= 0", 0, "<=", V, by=((V,),)),
    Step("slope of a power", 0, "<=", (s + 1) * (1 + x) ** s, by=((s + 1, (1 + x) ** s),)),
    Monotone("power", (1 + x) ** (s + 1), x, 0, y, "slope of a power", "y >= 0", why="(1 + y)^(s + 1) >= 1"),
    Step(
        "slope",
        0,
        "<=",
        s * (1 + y) ** (s - 1) - s / (1 + y) ** 2,
        by=((s / (1 + y) ** 2, "power"),),
    ),
    Monotone(
        "Bernoulli",
        (1 + y) ** s - s * y / (1 + y),
        y,
        0,
        V,
        "slope",
        "V >= 0",
        why="(1 - z)^-s >= 1 + s z for z = V/(1 + V)",
    ),
    POWER_STEP,
    Step(
        "KL rate",
        E0 ** (-s) + gain * (t + 1),
        "<=",
        E ** (-s) * (1 + V) ** s,
        by=(("so far",), ("one step of D^-s",)),
        why="so D_t^-s >= D_0^-s + s A kappa^2 t at every t, and the power -1/s turns it over",
    ),
)
KL_POINTS = [
    point | {"s": s_, "kappa": kappa_, "t": t_, "D0": 0.1 + point["D0"]}
    for point, s_, kappa_, t_ in zip(
        POINTS,
        (0.5, 0.2, 0.9, 0.5, 0.7, 0.1),
        (1.0, 0.3, 2.0, 1.5, 0.7, 1.2),
        (1.0, 3.0, 10.0, 0.0, 100.0, 5.0),
        strict=True,
    )
]


def _kl(point: Mapping[str, float]) -> float:
    return float(kl_bound(facts_at(point), (1 + point["s"]) / 2, point["kappa"], np.array([point["t"]]), {})[0])


# A gap that halves: f = x^2/2 from x = 1 would do with q = 1/2; here s = 1/2 is claimed of the same step.
HALVED = {
    "L": 1, "gamma": 1, "nu": 0, "p": 0, "m": 0, "D": 1, "V": 1, "g": (1,), "w": (0,), "s": half, "kappa": 1, "t": 0,
    "D0": 1, "x": 0, "y": 0,
}  # fmt: skip

derivations.add(
    Derivation(
        id="igd/kl-rate",
        title="USAM with a full batch under a Kurdyka-Lojasiewicz inequality (C3)",
        claims=("igd/kl-rate",),
        given=(
            *given(E, E / (1 + V)),
            Given(
                "KL",
                norm2(g) - kappa**2 * E ** (1 + s),
                ">=",
                "hypothesis",
                "||grad f|| >= kappa (f - f*)^q, squared, with s = 2 q - 1",
            ),
            Given(
                "so far",
                E ** (-s) - E0 ** (-s) - gain * t,
                ">=",
                "induction",
                "induction; 0 >= 0 at t = 0",
                Induction("KL rate", next={E: E / (1 + V), t: t + 1}, start={E: E0, t: 0}),
            ),
        ),
        steps=KL_STEPS,
        conclusion="KL rate",
        meets=(Meets("bound", ((E0 ** (-s) + gain * t) ** (-1 / s)).subs(BRANCH), _kl, KL_POINTS),),
        twins=(
            Twin(
                "the factor 2 q - 1 forgotten",
                "one step of D^-s",
                replace(POWER_STEP, left=E ** (-s) + gamma * a * kappa**2),
                counterexample=HALVED,
            ),
            Twin("without the inequality", "KL step", without=("KL",), counterexample=HALVED | {"kappa": 2}),
        ),
        remarks=(
            "D_next = D/(1 + V) with V >= 0, as the step decreases f. From D_t = 0 on nothing is left to show.",
            "Any q > 1/2 will do.",
        ),
        covers="the bound at every t, from the decrease to the power -1/(2 q - 1)",
        latex_names=LATEX | {"kappa": r"\kappa"},
    )
)
