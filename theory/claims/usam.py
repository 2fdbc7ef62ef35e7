"""One step of unnormalised SAM with the same sample in both gradients, where the noise has a bounded variance."""

from __future__ import annotations

import math

import numpy as np

from theory.claim import (
    Claim,
    Control,
    Curve,
    Family,
    Hypothesis,
    Instance,
    Kind,
    Measure,
    Provenance,
    Scale,
    Source,
    claims,
)
from theory.dynamics import UNNORMALISED
from theory.families import given, setting_of
from theory.schedules import Schedule, constant
from theory.setting import Facts, facts_of

PAPER = "M. Andriushchenko and N. Flammarion, Towards Understanding Sharpness-Aware Minimization, ICML 2022"
NOTE = "the abstract was read, not the theorems; the lemma and its constants are derived here"

HALF_STEP = Hypothesis(
    "gamma", lambda f: f.gamma.largest, "<=", lambda f: 1 / (2 * f.L), "gamma <= 1/(2 L)", step_limit=True
)
BOUNDED_NOISE = Hypothesis(
    "variance",
    lambda f: f.variance,
    "<",
    lambda f: math.inf,
    "E||grad f_v(x) - grad f(x)||^2 <= sigma^2/b for all x, with a known number",
)


def _one_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    gamma = float(facts.gamma.at(t))
    stretch = scale.get("radius", 1.0) * (facts.L * float(facts.rho.at(t))) ** 2
    noise = (gamma / 2 * stretch + facts.L * gamma**2) * facts.variance
    return np.asarray(gap - gamma / 2 * (1 - stretch) * norm2 + scale.get("noise", 1.0) * noise)


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part / (2 * facts.L)), constant(rho_part / facts.L)


def _draw(noise: str) -> Family:
    """Non-convex sums whose components differ by linear functions, any rho up to 2/L."""

    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        d, a, n = int(rng.integers(1, 4)), rng.uniform(0.3, 4.0), int(rng.integers(2, 7))
        kind, level = rng.choice(["separable", "rotated"]), rng.choice([0.1, 1.0, 5.0])
        problem = f"pl-sine:d={d},a={a:.3g},map={kind},seed={rng.integers(10**6)}"
        sampling = "full"
        if noise == "additive":
            problem += f",n={n},noise=additive,level={level:g}"
            sampling = str(
                rng.choice(["uniform", f"tau-nice:tau={rng.integers(1, n)}", f"replacement:tau={rng.integers(1, n)}"])
            )
        L = facts_of(setting_of(claim, problem, sampling)).L
        part, radius = rng.choice([1.0, rng.uniform(0.1, 1.0)]), rng.uniform(0.0, 2.0)
        # A little inside, by more than nine digits round: the limit itself is admissible.
        gamma, rho = float(f"{part * 0.499999 / L:.9g}"), float(f"{radius / L:.4g}")
        return given(claim, problem, sampling, gamma=gamma, rho=rho, steps=0)

    return Family(f"wavy functions, {noise} noise", draw, quick=6 if noise == "additive" else 2, full=60)


def _concave(claim: Claim) -> Instance:
    """On the concave piece of the tent, with L rho = 1, the perturbed point is the summit: no step, no decrease."""
    return given(claim, "tent:a=0.05,rho=1,beta=1", gamma=0.5, rho=1.0, x0="0.2", steps=0, origin="tight")


def _kink(claim: Claim) -> Instance:
    """At the tent's kink with L rho = 0.99 the step is short and the decrease (1 - L rho) gamma ||g||^2, against the
    stated (1 - L rho)(1 + L rho) gamma ||g||^2/2."""
    return given(claim, "tent:a=0.05,rho=1,beta=1", gamma=0.5, rho=0.99, x0="0", steps=0, origin="tight")


def _quadratic_noise(claim: Claim) -> Instance:
    """f_i = x^2/2 +- x from the minimiser: noise alone."""
    return given(claim, "parabolas:h=1/1,slopes=1/-1", "uniform", gamma=0.5, rho=0.5, x0="0", steps=0, origin="tight")


claims.add(
    Claim(
        id="usam/one-step",
        title="One step of unnormalised SAM with bounded variance",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.UPPER,
        statement=(
            r"\mathbb E\|\nabla f_v-\nabla f\|^2\le\tfrac{\sigma^2}b,\ \gamma\le\tfrac1{2L},\text{ any }\rho\ge0:\quad"
            r"\mathbb Ef(x^+)\le f(x)-\tfrac\gamma2(1-L^2\rho^2)\|\nabla f(x)\|^2"
            r"+\big(\tfrac\gamma2L^2\rho^2+L\gamma^2\big)\tfrac{\sigma^2}b"
        ),
        hypotheses=(
            UNNORMALISED,
            Hypothesis("gamma", lambda f: f.gamma.largest, ">", lambda f: 0.0, "gamma > 0"),
            HALF_STEP,
            BOUNDED_NOISE,
        ),
        measure=Measure.SUBOPTIMALITY,
        one_step=_one_step,
        suggest=_suggest,
        constants={"radius": "s L^2 rho^2: the part of it that would do", "noise": "the terms in sigma^2/b"},
        method="usam",
        families=(
            _draw("additive"),
            _draw("no"),
            Family("a concave piece at L rho = 1: equality", lambda rng, claim: _concave(claim), full=1),
            Family("a kink at L rho = 0.99: nearly", lambda rng, claim: _kink(claim), full=1),
            Family("noise alone", lambda rng, claim: _quadratic_noise(claim), full=1),
        ),
        controls=(
            Control("1 - 0.8 L^2 rho^2 on the concave piece", _concave, "one-step", scale={"radius": 0.8}),
            Control("0.2 of the noise terms", _quadratic_noise, "one-step", scale={"noise": 0.2}),
        ),
        remarks=("L = max(L_f, L_S): every sampled gradient is L-Lipschitz.",),
    )
)
