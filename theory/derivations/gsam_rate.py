"""GSAM with steps and radii falling like 1/sqrt t (B3): the rate log T/sqrt T with explicit constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.gsam_rate import perturbed_rate, rate_curve
from theory.derivation import Derivation, Given, Induction, Lemma, Meets, Monotone, Step, Twin, derivations
from theory.derivations.gsam_weighted import (
    AMPLIFIED,
    FALL,
    GIVEN,
    L_S,
    LATEX,
    NOISELESS,
    NOISELESS_STEPS,
    POINTS,
    SAMPLED,
    STILL_POINTS,
    D,
    D_next,
    F,
    L,
    gamma,
    gsam_facts,
    kappa,
    r,
    rho,
    sigma2,
)
from theory.gsam import ZETA
from theory.inner_product import norm2, square, vectors
from theory.schedules import inverse_sqrt
from theory.setting import Facts

gamma_0, rest, w, T, zeta = sp.symbols("gamma_0 r_0 w T zeta", positive=True)  # rest = 1 - L gamma_0; w = 1/sqrt T
rho_0, D0, S, M, N = sp.symbols("rho_0 D0 S M N", nonnegative=True)
H, Z = sp.symbols("H Z", nonnegative=True)  # sums of 1/j and j^(-3/2) over j < T
ell = sp.log(T)
h = sp.Symbol("h", positive=True)  # 1 + 1/2 + ... + 1/T
(P,) = vectors("P")  # grad f(x + rho u), u the direction of grad f

amplified = kappa**2 * L_S**2
C_3 = 2 * D0 / gamma_0 + zeta * amplified * rho_0**2
C_4 = L * gamma_0 * sigma2 / rest
gradients = M + norm2(F)  # the sum of ||grad f(x_t)||^2 over t < T

SCHEDULES = (
    Given("gamma falls", gamma - gamma_0 * w, "=", "hypothesis", "gamma_t = gamma_0/sqrt(t + 1), t + 1 = T"),
    Given("rho falls", rho - rho_0 * w, "=", "hypothesis", "rho_t = rho_0/sqrt(t + 1)"),
    Given("number of steps", T * w**2 - 1, "=", "definition", "w = 1/sqrt T, this step being the T-th"),
)
LARGEST = (
    Given("w <= 1", 1 - w, ">=", "hypothesis", "T >= 1"),
    Given("largest step", rest - (1 - L * gamma_0), "=", "hypothesis", "gamma_0 < 1/L"),
)
SUMS = (
    Given("equal weights", S - gamma_0 * w * M, ">=", "standard", "no gamma_j is below gamma_t for j <= t"),
    Given("zeta", zeta - Z - w**3, ">=", "standard", "zeta(3/2) is the limit of these rising sums"),
    Given("smooth", L**2 * rho**2 - norm2(P - F), ">=", "hypothesis", "f is L-smooth, at x and x + rho u"),
    Given(
        "perturbed so far",
        2 * M + 2 * L**2 * rho_0**2 * H - N,
        ">=",
        "induction",
        "induction: N sums ||grad f(x_j + rho_j u_j)||^2 and M ||grad f(x_j)||^2 over j < t; all 0 at t = 0",
        Induction(
            "perturbed sum, one step on",
            next={N: N + norm2(P), M: M + norm2(F), H: H + w**2},
            start={N: 0, M: 0, H: 0},
        ),
    ),
    Given(
        "harmonic",
        1 + ell - H - w**2,
        ">=",
        "lemma",
        "1 + 1/2 + ... + 1/T <= 1 + ln T",
        lemma=Lemma("gsam/harmonic-sum", "harmonic so far", at={h: H + w**2}),
    ),
)


def _so_far(noise: sp.Expr) -> Given:
    return Given(
        "weighted so far",
        2 * D0 - 2 * D + gamma_0 * rho_0**2 * amplified * Z + gamma_0 * noise * H - S,
        ">=",
        "induction",
        "induction: S sums gamma_j ||grad f(x_j)||^2 over j < t; 0 >= 0 at t = 0",
        Induction(
            "weighted sum",
            next={S: S + gamma_0 * w * norm2(F), H: H + w**2, Z: Z + w**3, D: D_next},
            start={S: 0, H: 0, Z: 0, D: D0},
        ),
    )


def _falling(noisy: bool) -> Step:
    """One step at time t = T - 1 in terms of w, from that of A1."""
    radius = (-gamma_0 * w * (rho + rho_0 * w) * amplified, "rho falls")
    right = 2 * D - gamma_0 * w * norm2(F) + gamma_0 * rho_0**2 * amplified * w**3
    if not noisy:
        return Step(
            "falling steps",
            2 * D_next,
            "<=",
            right,
            by=((2, "one step"), (norm2(F) - rho**2 * amplified, "gamma falls"), radius),
        )
    smaller = L * sigma2 * gamma**2 / (r * rest)  # what 1/(1 - L gamma) may be replaced for
    return Step(
        "falling steps",
        2 * D_next,
        "<=",
        right + gamma_0 * C_4 * w**2,
        by=(
            (2, "in r"),
            (norm2(F) - rho**2 * amplified - L * sigma2 * (gamma + gamma_0 * w) / rest - L * smaller, "gamma falls"),
            radius,
            (L * gamma_0 * smaller, "w <= 1"),
            (smaller, "step range"),
            (-smaller, "largest step"),
        ),
        why="1 - L gamma_t >= 1 - L gamma_0",
    )


def _steps(noisy: bool) -> tuple[Step, ...]:
    noise = C_4 if noisy else sp.Integer(0)
    before = SAMPLED[:-1] if noisy else NOISELESS_STEPS[:3]
    total = C_3 + noise * (1 + ell)
    logarithm = ((noise, "harmonic"),) if noisy else ()
    return (
        *before,
        _falling(noisy),
        Step(
            "weighted sum",
            S + gamma_0 * w * norm2(F) + 2 * D_next,
            "<=",
            2 * D0 + gamma_0 * rho_0**2 * amplified * (Z + w**3) + gamma_0 * noise * (H + w**2),
            by=(("weighted so far",), ("falling steps",)),
            why="what A1 says of the window from 0 to T",
        ),
        Step(
            "sum",
            w * gradients,
            "<=",
            total,
            by=(
                (1 / gamma_0, "equal weights"),
                (1 / gamma_0, "weighted sum"),
                (2 * D_next / gamma_0,),
                (amplified * rho_0**2, "zeta"),
                *logarithm,
            ),
        ),
        Step(
            "average",
            gradients / T,
            "<=",
            w * total,
            by=((w, "sum"), (gradients / T, "number of steps")),
            why="1/T = w/sqrt T",
        ),
        Step(
            "perturbed gradient",
            norm2(P),
            "<=",
            2 * norm2(F) + 2 * L**2 * rho**2,
            by=((square(2 * F - P),), (2, "smooth")),
        ),
        Step(
            "perturbed sum, one step on",
            N + norm2(P),
            "<=",
            2 * gradients + 2 * L**2 * rho_0**2 * (H + w**2),
            by=(("perturbed so far",), ("perturbed gradient",), (-2 * L**2 * (rho + rho_0 * w), "rho falls")),
        ),
        Step(
            "perturbed sum",
            N + norm2(P),
            "<=",
            2 * gradients + 2 * L**2 * rho_0**2 * (1 + ell),
            by=(("perturbed sum, one step on",), (2 * L**2 * rho_0**2, "harmonic")),
        ),
        Step(
            "perturbed average",
            (N + norm2(P)) / T,
            "<=",
            2 * w * total + 2 * L**2 * rho_0**2 * (1 + ell) / T,
            by=((1 / T, "perturbed sum"), (2, "average")),
        ),
    )


STEPS, STILL_STEPS = _steps(noisy=True), _steps(noisy=False)
SHOWN = {w: 1 / sp.sqrt(T), kappa: AMPLIFIED, rest: 1 - L * gamma_0}


def _with_times(points: list[dict[str, float]]) -> list[dict[str, float]]:
    times = (1.0, 2.0, 10.0, 100.0, 3000.0, 7.0)
    return [
        point | {"gamma_0": point["gamma"], "rho_0": point["rho"], "zeta": ZETA, "T": time}
        for point, time in zip(points, times, strict=True)
    ]


def _falling_facts(point: Mapping[str, float]) -> Facts:
    return gsam_facts(point, gamma=inverse_sqrt(point["gamma_0"]), rho=inverse_sqrt(point["rho_0"]))


def _rate(point: Mapping[str, float]) -> float:
    return float(rate_curve(_falling_facts(point), np.array([int(point["T"])]), {})[0])


def _perturbed(point: Mapping[str, float]) -> float:
    return float(perturbed_rate(_falling_facts(point), np.array([point["T"]]), {})[0])


def _meets(noise: sp.Expr, points: list[dict[str, float]]) -> tuple[Meets, ...]:
    shown = w * (C_3 + noise * (1 + ell))
    perturbed = 2 * shown + 2 * L**2 * rho_0**2 * (1 + ell) / T
    return (
        Meets("average", shown.subs(SHOWN), _rate, points),
        Meets("perturbed average", perturbed.subs(SHOWN), _perturbed, points),
    )


half = sp.Rational(1, 2)
# Four steps without noise and radius, the first three of which left M = 4 with the least weights there may be.
FOUR = FALL | {
    "T": 4, "w": half, "gamma_0": half, "r_0": half, "gamma": sp.Rational(1, 4), "r": sp.Rational(3, 4), "rho_0": 0,
    "D0": 1, "M": 4, "S": 1, "D": half, "D_next": sp.Rational(9, 32), "F": (1,), "P": (1,), "N": 8, "zeta": 3,
    "Z": 2, "H": 2,
}  # fmt: skip
SYMBOLS = {
    "gamma_0": r"\gamma_0", "rho_0": r"\rho_0", "zeta": r"\zeta(\tfrac32)", "P": r"\nabla f_p",
}  # fmt: skip
COVERS = "both averages at every T, from the one step of A1 and sums over t by induction"


def _too_fast(steps: tuple[Step, ...], noise: sp.Expr) -> Twin:
    wrong = next(step for step in steps if step.name == "average")
    return Twin(
        "log T/T",
        "average",
        replace(wrong, right=w**2 * (C_3 + noise * (1 + ell))),
        counterexample=FOUR,
    )


derivations.add(
    Derivation(
        id="gsam/log-rate",
        title="GSAM with steps and radii falling like 1/sqrt t: log T/sqrt T (B3)",
        claims=("gsam/log-rate",),
        given=(*GIVEN, *SCHEDULES, *LARGEST, _so_far(C_4), *SUMS),
        steps=STEPS,
        conclusion="average",
        meets=_meets(C_4, _with_times(POINTS)),
        twins=(
            _too_fast(STEPS, C_4),
            Twin("without the start", "weighted sum", without=("weighted so far",)),
        ),
        remarks=(
            "No bound on the gradients is needed. In L^2 of the draws; P and F are taken there too.",
            "gamma_0 = 1/L without noise is gsam/log-rate-noiseless.",
        ),
        covers=COVERS,
        latex_names=LATEX | SYMBOLS,
    )
)

derivations.add(
    Derivation(
        id="gsam/log-rate-noiseless",
        title="GSAM with a full batch and steps and radii falling like 1/sqrt t, gamma_0 = 1/L included (B3)",
        claims=("gsam/log-rate",),
        given=(*NOISELESS, *SCHEDULES, _so_far(sp.Integer(0)), *SUMS),
        steps=STILL_STEPS,
        conclusion="average",
        meets=_meets(sp.Integer(0), _with_times(STILL_POINTS)),
        twins=(_too_fast(STILL_STEPS, sp.Integer(0)),),
        covers=f"{COVERS}; sigma = 0",
        latex_names=LATEX | SYMBOLS,
    )
)

# -- the harmonic sum --

y = sp.Symbol("y", nonnegative=True)
HARMONIC = (
    Step("0 <= 1/T", 0, "<=", 1 / T, by=((1 / T,),)),
    Step("slope", 0, "<=", y / (1 + y) ** 2, by=((y, 1 / (1 + y) ** 2),)),
    Monotone(
        "logarithm",
        sp.log(1 + y) - y / (1 + y),
        y,
        0,
        1 / T,
        "slope",
        "0 <= 1/T",
        why="the integral of 1/s from T to T + 1 is at least 1/(T + 1)",
    ),
    Step(
        "one more term",
        h + 1 / (T + 1),
        "<=",
        1 + sp.log(T) + sp.log(1 + 1 / T),
        by=(("harmonic so far",), ("logarithm",)),
        why="ln T + ln(1 + 1/T) = ln(T + 1)",
    ),
)
HARMONIC_POINTS: list[dict[str, float]] = [{"T": float(count)} for count in (1, 2, 10, 1000)]


def _logarithm_of_rate(point: Mapping[str, float]) -> float:
    """1 + ln T as the rate has it: sigma^2 alone, with L gamma_0/(1 - L gamma_0) = 1."""
    facts = gsam_facts(
        {"L": 1.0, "sigma2": 1.0, "D0": 0.0, "alpha": 0.0}, gamma=inverse_sqrt(0.5), rho=inverse_sqrt(0.0)
    )
    T_ = int(point["T"])
    return float(rate_curve(facts, np.array([T_ + 1]), {})[0]) * float(np.sqrt(T_ + 1))


derivations.add(
    Derivation(
        id="gsam/harmonic-sum",
        title="1 + 1/2 + ... + 1/T is at most 1 + ln T",
        claims=("gsam/log-rate",),
        given=(
            Given(
                "harmonic so far",
                1 + sp.log(T) - h,
                ">=",
                "induction",
                "induction: h = 1 + 1/2 + ... + 1/T; 1 <= 1 at T = 1",
                Induction("one more term", next={h: h + 1 / (T + 1), T: T + 1}, start={h: 1, T: 1}),
            ),
        ),
        steps=HARMONIC,
        conclusion="one more term",
        meets=(Meets("1 + ln(T + 1)", 1 + sp.log(T) + sp.log(1 + 1 / T), _logarithm_of_rate, HARMONIC_POINTS),),
        twins=(
            Twin(
                "ln T without the 1",
                "one more term",
                replace(HARMONIC[-1], right=sp.log(T) + sp.log(1 + 1 / T)),
                counterexample={"T": 1, "h": 1},
            ),
        ),
        covers="the bound on the harmonic sum that the rate uses",
    )
)
