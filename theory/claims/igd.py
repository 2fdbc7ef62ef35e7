"""Unnormalised SAM with a full batch as gradient descent with a relative error: the exact range of step sizes.

With nu = L rho < 1 and g = grad f(x), h = grad f(x + rho g) obeys ||h - g|| <= nu ||g||, and x+ = x - gamma h gives

    f(x+) <= f(x) - gamma a ||g||^2,
    a = (1 - nu)(1 - gamma L (1 - nu)/2) for gamma <= 1/L,   a = (1 + nu)(1 - gamma L (1 + nu)/2) for gamma >= 1/L.

Proof. With <h, g> = (1 + s) ||g||^2 and ||h - g|| = q ||g||, the descent lemma bounds the change by gamma ||g||^2 times
-(1 + s) + gamma L (1 + 2 s + q^2)/2, linear in s with slope gamma L - 1, for |s| <= q <= nu.
Every gradient method with such a relative error obeys the same.
"""

from __future__ import annotations

import numpy as np

from problems.ravines import Power
from theory.claim import (
    Claim,
    Control,
    Curve,
    Family,
    Finding,
    Hypothesis,
    Instance,
    Kind,
    Measure,
    OutsideHypotheses,
    Provenance,
    Scale,
    Source,
    Times,
    claims,
)
from theory.dynamics import UNNORMALISED
from theory.families import LONGEST_RUN, data, given, setting_of
from theory.horizon import horizon
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting, facts_of
from theory.trial import EPS, Lab, NotMeasurable, Trial, Values, times_of
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_BOUNDED, IS_DETERMINISTIC, IS_PL, POSITIVE_GAMMA
from theory.unified_sam_cases import BREAST, DIABETES

PAPER = (
    "P. D. Khanh, H.-C. Luong, B. S. Mordukhovich and D. B. Tran, Fundamental Convergence Analysis of SAM, NeurIPS 2024"
)
NOTE = "the abstract and a summary by others were read, not the theorems; range, rates and constants are derived here"


def relative_error(facts: Facts) -> float:
    """nu = L rho."""
    return facts.L_f * facts.rho.largest


def longest_step(facts: Facts) -> float:
    """2/(L (1 + nu)): from here on f need not decrease."""
    return 2 / (facts.L_f * (1 + relative_error(facts)))


def decrease(facts: Facts) -> float:
    """a, never below 0: beyond the range the statement that is left, f does not grow, is false."""
    gamma, L, nu = facts.gamma.largest, facts.L_f, relative_error(facts)
    part = 1 - nu if gamma * L <= 1 else 1 + nu
    return max(part * (1 - gamma * L * part / 2), 0.0)


SMALL_ERROR = Hypothesis("nu = L rho", relative_error, "<", lambda f: 1.0, "the relative error nu = L rho < 1")
RANGE = Hypothesis(
    "gamma", lambda f: f.gamma.largest, "<", longest_step, "gamma < 2/(L (1 + nu)), nu = L rho", step_limit=True
)
BLOCK = (IS_DETERMINISTIC, UNNORMALISED, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA, SMALL_ERROR, RANGE)


def suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """nu = rho_part/2, and gamma = part/2 of the range."""
    return constant(part / (facts.L_f * (1 + rho_part / 2))), constant(rho_part / (2 * facts.L_f))


def _average_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    """gap0/(gamma a t), from adding up the decreases."""
    with np.errstate(divide="ignore"):
        return np.asarray(facts.gap0 / (scale.get("decrease", 1.0) * facts.gamma.largest * decrease(facts) * t))


def _decrease_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    return np.asarray(gap - scale.get("decrease", 1.0) * facts.gamma.largest * decrease(facts) * norm2)


def _factor(facts: Facts, scale: Scale) -> float:
    """1 - 2 mu gamma a, which is (1 - gamma L (1 + nu))^2 for mu = L and gamma >= 1/L."""
    return max(1 - scale.get("rate", 1.0) * 2 * facts.mu * facts.gamma.largest * decrease(facts), 0.0)


def _pl_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    return np.asarray(_factor(facts, scale) ** t.astype(float) * facts.gap0)


def _pl_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    return np.asarray(_factor(facts, scale) * gap)


# -- instances --


def _steps(rng: np.random.Generator, L: float) -> tuple[float, float]:
    """gamma anywhere in the range and nu in (0, 1), often near both ends."""
    nu = float(rng.choice([rng.uniform(0, 0.99), 10 ** rng.uniform(-3, 0) * 0.99]))
    part = float(rng.choice([rng.uniform(0.1, 0.9), 1 - 10 ** rng.uniform(-2, -1)]))
    gamma = float(f"{part * 2 / (L * (1 + nu)):.6g}")
    return gamma, float(f"{nu / L:.6g}")


def instance(rng: np.random.Generator, claim: Claim, problem: str) -> Instance:
    """Steps drawn, and a run until the bound is informative."""
    facts = facts_of(setting_of(claim, problem))
    gamma, rho = _steps(rng, facts.L_f)
    return given(
        claim, problem, gamma=gamma, rho=rho, steps=horizon(claim, facts.with_steps(gamma, rho), longest=LONGEST_RUN)
    )


def _quadratics(rng: np.random.Generator, claim: Claim) -> Instance:
    d, seed, mu = int(rng.integers(2, 8)), int(rng.integers(10**6)), rng.uniform(0.2, 1.0)
    spectrum = rng.choice(["log", "linear", "two", "uniform"])
    return instance(rng, claim, f"quadratic:d={d},mu={mu:.3g},L=1,seed={seed},spectrum={spectrum}")


def _wavy(rng: np.random.Generator, claim: Claim) -> Instance:
    d, a, kind = int(rng.integers(1, 5)), rng.uniform(0.3, 4.0), rng.choice(["separable", "rotated"])
    return instance(rng, claim, f"pl-sine:d={d},a={a:.3g},map={kind},seed={rng.integers(10**6)}")


def _cosines(rng: np.random.Generator, claim: Claim) -> Instance:
    d = int(rng.integers(1, 5))
    c, w = rng.uniform(0.3, 1.0, d), rng.uniform(0.3, 2.0, d)
    numbers = ("/".join(f"{entry:.3g}" for entry in row) for row in (c, w))
    return instance(rng, claim, "cosine:c={},w={}".format(*numbers))


def _long_step(claim: Claim, *, times: float = 0.95) -> Instance:
    """x^2/2 with nu = 1/2 and `times` the range 4/3: each step multiplies x by 1 - 2 times."""
    return given(claim, "parabolas:h=1", gamma=times * 4 / 3, rho=0.5, x0="1", steps=60, origin="tight")


def _short_step(claim: Claim) -> Instance:
    """The kink of the tent at x = 0: curvature -L ahead, where the perturbed point lies, +L behind, where x+ does."""
    return given(claim, "tent:a=0.05,rho=1,beta=1", gamma=0.5, rho=0.5, x0="0", steps=60, origin="tight")


def _source() -> Source:
    return Source(PAPER, None, Provenance.DERIVED, NOTE)


claims.add(
    Claim(
        id="igd/step-range",
        title="USAM with a full batch decreases f up to gamma = 2/(L (1 + L rho))",
        source=_source(),
        kind=Kind.UPPER,
        statement=(
            r"\nu=L\rho<1,\ \gamma<\tfrac2{L(1+\nu)}:\quad f(x^+)\le f(x)-\gamma a\|\nabla f(x)\|^2,\quad "
            r"a=(1\mp\nu)\big(1-\tfrac{\gamma L}2(1\mp\nu)\big),\ -\text{ iff }\gamma\le\tfrac1L;\quad "
            r"\tfrac1T\sum_{t<T}\|\nabla f(x_t)\|^2\le\frac{f(x_0)-f^*}{\gamma aT}"
        ),
        hypotheses=(IS_BOUNDED, *BLOCK),
        measure=Measure.GRADIENT_AVERAGE,
        curve=_average_curve,
        one_step=_decrease_step,
        suggest=suggest,
        constants={"decrease": "s gamma a: how much more f decreases than claimed"},
        method="usam",
        families=(
            Family("quadratics", _quadratics, quick=2, full=30),
            Family("wavy functions", _wavy, quick=3, full=40),
            Family("cosines", _cosines, quick=3, full=40),
            Family("x^2/2 with gamma > 1/L: equality", lambda rng, claim: _long_step(claim), full=1),
            Family("the tent's kink with gamma < 1/L: equality", lambda rng, claim: _short_step(claim), full=1),
        ),
        controls=(
            Control("1.02 of the decrease, gamma > 1/L", _long_step, "one-step", scale={"decrease": 1.02}),
            Control("1.02 of the decrease, gamma < 1/L", _short_step, "one-step", scale={"decrease": 1.02}),
            Control(
                "gamma 2 per cent beyond the range",
                lambda claim: _long_step(claim, times=1.02),
                "one-step",
            ),
        ),
        remarks=(
            "The range (2 - 2 nu)/(L (1 + nu)^2) that is remembered of the paper, not read there, is smaller by the "
            "factor (1 - nu)/(1 + nu).",
            "On strongly convex functions f decreases for nu >= 1 too: usam/strongly-convex-factor.",
        ),
    )
)

claims.add(
    Claim(
        id="igd/pl-rate",
        title="USAM with a full batch on PL functions, on the whole range of steps",
        source=_source(),
        kind=Kind.UPPER,
        statement=(
            r"\nu=L\rho<1,\ \gamma<\tfrac2{L(1+\nu)},\ a\text{ as for the decrease}:\quad "
            r"f(x_t)-f^*\le(1-2\mu\gamma a)^t(f(x_0)-f^*)"
        ),
        hypotheses=(IS_PL, *BLOCK),
        measure=Measure.SUBOPTIMALITY,
        curve=_pl_curve,
        one_step=_pl_step,
        suggest=suggest,
        constants={"rate": "the factor 1 - s 2 mu gamma a: how many times faster than claimed"},
        method="usam",
        families=(
            Family("quadratics", _quadratics, quick=2, full=30),
            Family("wavy functions", _wavy, quick=3, full=40),
            Family("x^2/2 with gamma > 1/L: equality", lambda rng, claim: _long_step(claim), full=1),
            data(BREAST, ("full", "0")),
            data(DIABETES, ("full", "0")),
        ),
        controls=(
            Control("1.02 of the rate", _long_step, "trajectory", scale={"rate": 1.02}),
            Control(
                "gamma 2 per cent beyond the range",
                lambda claim: _long_step(claim, times=1.02),
                "one-step",
            ),
        ),
        remarks=(
            "nu < 1, gamma L (1 + nu) < 2 is the region that performance estimation certifies as mu -> 0. With its "
            "conditions of mu-PL functions (necessary, not sufficient) one step contracts for nu up to 1.0956, 1.0773, "
            "1.0526 at gamma L = 0.05, 0.25, 0.5 and mu = L/10, up to 1.0095, 1.0075, 1.0050 at mu = L/100 and 1.0009, "
            "1.0007, 1.0005 at mu = L/1000; at gamma L = 1.5 up to 1/3, the end of the range, for each mu. So these "
            "conditions show no wider region in that limit.",
        ),
    )
)


# -- the Kurdyka-Lojasiewicz rate --


def _power(setting: Setting) -> Power:
    """The problem, if its inequality is known. Raises OutsideHypotheses otherwise."""
    problem = setting.problem
    known = isinstance(problem, Power) and problem.data.p > 2
    findings = [Finding("||grad f|| >= kappa (f - f*)^q with a known q > 1/2 (1: yes)", float(known), "=", 1.0, known)]
    if known:
        assert isinstance(problem, Power)
        away = abs(float(setting.x0[0]))
        findings.append(Finding("|x_0|", away, "<=", problem.data.reach, away <= problem.data.reach))
    if not all(finding.holds for finding in findings):
        raise OutsideHypotheses("igd/kl-rate", findings)
    assert isinstance(problem, Power)
    return problem


def kl_bound(facts: Facts, q: float, kappa: float, t: Values, scale: Scale) -> Values:
    """[gap0^(1 - 2q) + (2q - 1) gamma a kappa^2 t]^(-1/(2q - 1))."""
    A = scale.get("rate", 1.0) * facts.gamma.largest * decrease(facts)
    inner = facts.gap0 ** (1 - 2 * q) + (2 * q - 1) * A * kappa**2 * t
    return np.asarray(inner ** (-scale.get("exponent", 1.0) / (2 * q - 1)))


def kl_rate(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """f(x_t) - f* along a run beside the bound."""
    problem = _power(setting)
    times = times_of(steps)[1:]
    points = lab.iterates(setting, times)[0]
    if not np.isfinite(points).all():
        raise NotMeasurable("the run diverged")
    gap, _ = lab.values(setting, points)
    t = times.astype(float)

    def stated(scale: Scale) -> Values:
        return kl_bound(facts, problem.exponent, problem.kl_constant, t, scale)

    # Each step contracts, and adds a few roundings to x; the gap is x to the power p.
    error = EPS * problem.data.p * (8 * t + 64) * (gap + stated({}))
    return Trial("deterministic run", t, gap, stated, error)


def _powers(rng: np.random.Generator, claim: Claim) -> Instance:
    p = float(f"{rng.uniform(2.2, 8):.3g}")
    problem = f"power:p={p:g},reach=1"
    L = p - 1
    gamma, rho = _steps(rng, L)
    return given(claim, problem, gamma=gamma, rho=rho, x0=f"{rng.uniform(0.2, 1):.3g}", steps=20_000)


def _quartic(claim: Claim) -> Instance:
    return given(claim, "power:p=4,reach=1", gamma=1 / 3, rho=1e-3, x0="1", steps=100_000)


claims.add(
    Claim(
        id="igd/kl-rate",
        title="USAM with a full batch under a Kurdyka-Lojasiewicz inequality",
        source=_source(),
        kind=Kind.UPPER,
        statement=(
            r"\|\nabla f\|\ge\kappa(f-f^*)^q,\ q\in(\tfrac12,1),\ A=\gamma a:\quad f(x_t)-f^*\le"
            r"\big[(f(x_0)-f^*)^{1-2q}+(2q-1)A\kappa^2t\big]^{-1/(2q-1)}"
        ),
        hypotheses=BLOCK,
        measure=Measure.OWN,
        trials={"kl rate": kl_rate},
        suggest=suggest,
        constants={
            "rate": "s A: how many times faster than claimed",
            "exponent": "the power -s/(2 q - 1) of the bound: how many times faster in the exponent",
        },
        method="usam",
        families=(
            Family("powers |x|^p/p", _powers, quick=6, full=60),
            Family("x^4/4", lambda rng, claim: _quartic(claim), full=1),
        ),
        controls=(
            Control("the exponent 1.5 times as large", _quartic, "kl rate", scale={"exponent": 1.5}),
            Control("rate 10 times as fast", _quartic, "kl rate", scale={"rate": 10.0}),
        ),
        remarks=(
            "On |x|^p/p the inequality holds with q = (p - 1)/p and kappa = p^q, as an equality.",
            "Asked of the function itself: known q and kappa on the level set of the start.",
        ),
    )
)
