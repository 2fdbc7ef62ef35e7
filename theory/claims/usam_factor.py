"""Unnormalised SAM with a full batch on strongly convex functions: the exact worst-case factor of one step.

Over mu-strongly convex, L-smooth f the worst case of (f(x+) - f*)/(f(x) - f*) is that of the quadratics l x^2/2,

    q = max over l in {mu, L} of (1 - gamma l (1 + rho l))^2,

for every gamma > 0 and rho >= 0; it is below 1 if and only if gamma L (1 + rho L) < 2. The proof is in the derivations;
at single choices of steps `theory.worst_case.rational` checks it in rational numbers. Distances to the minimiser do not
obey the same at every radius.
"""

from __future__ import annotations

from dataclasses import replace

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
    Times,
    claims,
)
from theory.claims.igd import RANGE
from theory.dynamics import UNNORMALISED
from theory.families import LONGEST_RUN, data, given, setting_of
from theory.horizon import horizon
from theory.schedules import Schedule, constant
from theory.setting import Facts, facts_of
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA
from theory.unified_sam_cases import BREAST, DIABETES

PAPER = (
    "A. B. Taylor, J. M. Hendrickx and F. Glineur, Exact Worst-Case Convergence Rates of the Proximal Gradient Method "
    "for Composite Convex Minimization, JOTA 2018"
)
NOTE = "recalled, not read, and of gradient descent (rho = 0) only; the statement for rho > 0 is of this catalogue"


def multiplier(facts: Facts, curvature: float) -> float:
    """1 - gamma l (1 + rho l): what a step multiplies x by on l x^2/2."""
    return 1 - facts.gamma.largest * curvature * (1 + facts.rho.largest * curvature)


def factor(facts: Facts) -> float:
    """q, the larger square of the multipliers at both ends of [mu, L]."""
    return max(multiplier(facts, facts.strong_convexity) ** 2, multiplier(facts, facts.L_f) ** 2)


def best_step(facts: Facts) -> float:
    """2/(L (1 + rho L) + mu (1 + rho mu)), the step with the least factor at this radius."""
    rho = facts.rho.largest
    return 2 / sum(end * (1 + rho * end) for end in (facts.strong_convexity, facts.L_f))


STRONGLY_CONVEX = Hypothesis(
    "mu of strong convexity", lambda f: f.strong_convexity, ">", lambda f: 0.0, "f is mu-strongly convex"
)
IN_RANGE = replace(RANGE, text="gamma < 2/(L (1 + rho L)), the range in which q < 1", step_limit=False)
BLOCK = (STRONGLY_CONVEX, IS_DETERMINISTIC, UNNORMALISED, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA, IN_RANGE)


def suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """rho = rho_part/L, and half of `part` of the range."""
    return constant(part / (facts.L_f * (1 + rho_part))), constant(rho_part / facts.L_f)


def _scaled(facts: Facts, scale: Scale) -> float:
    return max(1 - scale.get("rate", 1.0) * (1 - factor(facts)), 0.0)


def _curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    return np.asarray(_scaled(facts, scale) ** t.astype(float) * facts.gap0)


def _step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    return np.asarray(_scaled(facts, scale) * gap)


# -- instances --

WIDEST = 20.0
"""Radii are drawn up to this, in units of 1/L."""


def instance(rng: np.random.Generator, claim: Claim, problem: str, *, x0: str | None = None) -> Instance:
    """gamma anywhere in the range or the best one, any radius, and a run until the bound is informative."""
    facts = facts_of(setting_of(claim, problem, x0=x0))
    nu = float(rng.choice([0.0, rng.uniform(0, 1), 10 ** rng.uniform(-3, 0) * WIDEST]))
    rho = float(f"{nu / facts.L_f:.6g}")
    part = float(rng.choice([rng.uniform(0.1, 0.9), 1 - 10 ** rng.uniform(-2, -1)]))
    longest = 2 / (facts.L_f * (1 + rho * facts.L_f))
    best = best_step(facts.with_steps(1.0, rho))
    gamma = float(f"{best if rng.random() < 0.3 else part * longest:.6g}")
    steps = horizon(claim, facts.with_steps(gamma, rho), longest=LONGEST_RUN)
    return given(claim, problem, gamma=gamma, rho=rho, x0=x0, steps=steps)


def _quadratics(rng: np.random.Generator, claim: Claim) -> Instance:
    d, seed, mu = int(rng.integers(2, 8)), int(rng.integers(10**6)), rng.uniform(0.02, 0.9)
    spectrum = rng.choice(["log", "linear", "two", "uniform"])
    return instance(rng, claim, f"quadratic:d={d},mu={mu:.3g},L=1,seed={seed},spectrum={spectrum}")


def _log_cosh(rng: np.random.Generator, claim: Claim) -> Instance:
    d = int(rng.integers(1, 6))
    rows, alpha = int(rng.integers(d, 2 * d + 2)), rng.uniform(0.1, 1.0)
    return instance(rng, claim, f"log-cosh-ridge:d={d},rows={rows},alpha={alpha:.3g},seed={rng.integers(10**6)}")


def _flattening(rng: np.random.Generator, claim: Claim) -> Instance:
    """Curvature 1 at the minimiser and mu from |x| = reach on, like a Huber function, or the other way round."""
    mu, reach = rng.uniform(0.02, 0.5), 10 ** rng.uniform(-2, 0)
    curvature, bend = (1.0, (mu - 1) / reach) if rng.random() < 0.7 else (mu, (1 - mu) / reach)
    problem = f"bent:curvature={curvature:.6g},bend={bend:.6g},reach={reach:.6g}"
    return instance(rng, claim, problem, x0=f"{rng.uniform(0.5, 2):.4g}")


def _both_ends(claim: Claim) -> Instance:
    """diag(1, 1/10) with rho = 1/2 and the best step, with which both coordinates shrink alike."""
    best = 2 / (1 * 1.5 + 0.1 * 1.05)
    return given(claim, "parabolas:h=1@0.1", gamma=best, rho=0.5, x0="1/1", steps=40, origin="tight")


def _short(claim: Claim) -> Instance:
    """The flat direction of diag(1, 1/10) with gamma = rho = 1/2: each step multiplies x_2 by 0.9475."""
    return given(claim, "parabolas:h=1@0.1", gamma=0.5, rho=0.5, x0="0/1", steps=40, origin="tight")


def _steep(claim: Claim) -> Instance:
    """x^2/2 with rho = 1/2 and gamma = 1.2, nine tenths of the range: each step multiplies x by -0.8."""
    return given(claim, "parabolas:h=1", gamma=1.2, rho=0.5, x0="1", steps=40, origin="tight")


def _beyond(claim: Claim) -> Instance:
    """The same with 1.05 times the range: each step multiplies x by -1.1."""
    return given(claim, "parabolas:h=1", gamma=1.4, rho=0.5, x0="1", steps=40, origin="tight")


def _decreasing(claim: Claim) -> Claim:
    """f does not grow, whatever the step."""
    return replace(claim, one_step=lambda facts, gap, norm2, t, scale: gap)


def _only_at_L(facts: Facts) -> Facts:
    return replace(facts, strong_convexity=facts.L_f)


claims.add(
    Claim(
        id="usam/strongly-convex-factor",
        title="The exact worst-case rate of unnormalised SAM on strongly convex functions",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.UPPER,
        statement=(
            r"f\ \mu\text{-strongly convex},\ \rho\ge0,\ \gamma L(1+\rho L)<2:\quad f(x_t)-f^*\le q^t(f(x_0)-f^*),"
            r"\quad q=\max_{\ell\in\{\mu,L\}}\big(1-\gamma\ell(1+\rho\ell)\big)^2<1"
        ),
        hypotheses=BLOCK,
        measure=Measure.SUBOPTIMALITY,
        curve=_curve,
        one_step=_step,
        suggest=suggest,
        constants={"rate": "the factor 1 - s (1 - q): how many times faster than claimed"},
        method="usam",
        families=(
            Family("quadratics", _quadratics, quick=3, full=40),
            Family("log-cosh terms with a quadratic one", _log_cosh, quick=4, full=60),
            Family("curvature from 1 to mu, or back", _flattening, quick=4, full=60),
            Family("both ends at the best step: equality", lambda rng, claim: _both_ends(claim), full=1),
            Family("x^2/20 with short steps: equality", lambda rng, claim: _short(claim), full=1),
            Family("x^2/2 with long steps: equality", lambda rng, claim: _steep(claim), full=1),
            data(BREAST, ("full", "0")),
            data(DIABETES, ("full", "0")),
        ),
        controls=(
            Control("1.02 of the rate, at mu", _short, "trajectory", scale={"rate": 1.02}),
            Control("1.02 of the rate, at L", _steep, "trajectory", scale={"rate": 1.02}),
            Control("the factor at L only", _short, "trajectory", facts=_only_at_L),
            Control(
                "the factor of gradient descent",
                _steep,
                "trajectory",
                facts=lambda facts: facts.with_steps(facts.gamma, 0.0),
            ),
            Control("no growth 5 per cent beyond the range", _beyond, "one-step", broken=_decreasing),
        ),
        remarks=(
            "No smaller q will do: mu x^2/2 and L x^2/2 attain it at every t.",
            "Longer steps obey the inequality too, with q >= 1 (derived): f decreases on every such function if and "
            "only if gamma L (1 + rho L) < 2.",
            "The best step at a radius is 2/(L (1 + rho L) + mu (1 + rho mu)), with q = ((k - 1)/(k + 1))^2 for "
            "k = L (1 + rho L)/(mu (1 + rho mu)). k grows with rho, from L/mu to (L/mu)^2: no radius improves the best "
            "worst case of gradient descent.",
            "Performance estimation found the same values before the proof; its dual solutions gave the multipliers.",
            "Distances do not obey it at every radius: at mu = L/100, gamma L = 1/20 and rho L = 4, where q = 0.999, a "
            "function in the plane has ||x+ - x*||^2 > 1.003 ||x - x*||^2; at rho L = 20 it is more than 1.25 (both in "
            "rational numbers). For rho L <= 1 the worst cases of the distance agree with q to 1e-6 at all 200 choices "
            "of steps tried: no proof, and not claimed.",
        ),
    )
)
