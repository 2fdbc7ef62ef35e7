"""Deterministic SAM with a constant radius: it never diverges, whatever the radius, and where it ends up.

With g = grad f(x), h = grad f(x + rho g/||g||) = g + e and ||e|| <= L rho, the descent lemma gives for gamma <= 1/L

    f(x+) - f(x) <= -gamma (1 - gamma L/2) ||g||^2 - gamma (1 - gamma L) <g, e> + L gamma^2 ||e||^2/2.

Convexity makes <g, e> >= 0; without it, -<g, e> <= (||g||^2 + L^2 rho^2)/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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
from theory.dynamics import ALL_NORMALISED
from theory.families import LONGEST_RUN, data, given, setting_of
from theory.horizon import horizon
from theory.schedules import Schedule, constant
from theory.setting import Facts, facts_of
from theory.unified_sam import (
    CONSTANT_GAMMA,
    CONSTANT_RHO,
    IS_BOUNDED,
    IS_DETERMINISTIC,
    IS_PL,
    LINEAR_CONSTANTS,
    POSITIVE_GAMMA,
    linear_curve,
    ratio_or_infinity,
)
from theory.unified_sam_cases import BREAST, DIABETES

PAPER = "Y. Dai, K. Ahn and S. Sra, The Crucial Role of Normalization in Sharpness-Aware Minimization, NeurIPS 2023"
NOTE = "the abstract and a short review were read, not the theorems; statement and constants are derived here"

CONVEX = Hypothesis("f is convex (1: yes)", lambda f: float(f.convex), "=", lambda f: 1.0, "f is convex")
SHORT_STEP = Hypothesis(
    "gamma", lambda f: f.gamma.largest, "<=", lambda f: 1 / f.L_f, "gamma <= 1/L; rho is any number", step_limit=True
)
STEPS = (IS_DETERMINISTIC, ALL_NORMALISED, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA, SHORT_STEP)

AVERAGE_CONSTANTS = {"descent": "the term in 1/(gamma T)", "radius": "the term in rho^2 that stays as T grows"}


def suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """gamma = part/L and a radius that moves the gradient by at most rho_part of what it is at the start."""
    rho = rho_part * math.sqrt(facts.grad_norm2_0) / facts.L_f
    return constant(part / facts.L_f), constant(rho)


def _decrease(facts: Facts) -> float:
    """gamma (1 - gamma L/2), in front of ||g||^2 for convex f."""
    gamma = facts.gamma.largest
    return gamma * (1 - gamma * facts.L_f / 2)


def _convex_error(facts: Facts) -> float:
    """L^3 gamma^2 rho^2/2 a step."""
    return facts.L_f**3 * facts.gamma.largest**2 * facts.rho.largest**2 / 2


def _error(facts: Facts) -> float:
    """gamma L^2 rho^2/2 a step, without convexity."""
    return facts.gamma.largest * facts.L_f**2 * facts.rho.largest**2 / 2


def _strongly_convex_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    rate = 2 * facts.mu * _decrease(facts)
    return linear_curve(rate, facts.gap0, ratio_or_infinity(_convex_error(facts), rate), t, scale)


def _strongly_convex_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    factor = max(1 - scale.get("rate", 1.0) * 2 * facts.mu * _decrease(facts), 0.0)
    return np.asarray(factor * gap + scale.get("neighbourhood", 1.0) * _convex_error(facts))


def _convex_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    # At gamma L = 2 nothing decreases any more.
    with np.errstate(divide="ignore"):
        descent = ratio_or_infinity(facts.gap0, _decrease(facts)) / t
    stays = ratio_or_infinity(_convex_error(facts), _decrease(facts))
    return np.asarray(scale.get("descent", 1.0) * descent + scale.get("radius", 1.0) * stays)


def _convex_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    return np.asarray(gap - _decrease(facts) * norm2 + scale.get("radius", 1.0) * _convex_error(facts))


def _nonconvex_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    with np.errstate(divide="ignore"):
        descent = 2 * facts.gap0 / (facts.gamma.largest * t)
    stays = facts.L_f**2 * facts.rho.largest**2
    return np.asarray(scale.get("descent", 1.0) * descent + scale.get("radius", 1.0) * stays)


def _nonconvex_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    return np.asarray(gap - facts.gamma.largest / 2 * norm2 + scale.get("radius", 1.0) * _error(facts))


def _pl_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    rate = facts.gamma.largest * facts.mu
    return linear_curve(rate, facts.gap0, _error(facts) / rate, t, scale)


def _pl_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    factor = max(1 - scale.get("rate", 1.0) * facts.gamma.largest * facts.mu, 0.0)
    return np.asarray(factor * gap + scale.get("neighbourhood", 1.0) * _error(facts))


# -- instances --

FOREVER = np.array([2**60])


def instance(claim: Claim, problem: str, part: float, floor: float) -> Instance:
    """gamma = part/L, the radius at which the bound stays at `floor` times what is measured at the start, and a run
    until the bound is informative."""
    facts = facts_of(setting_of(claim, problem))
    start = facts.grad_norm2_0 if claim.measure is Measure.GRADIENT_AVERAGE else facts.gap0
    gamma = float(f"{part / facts.L_f:.6g}")
    gamma = min(gamma, 1 / facts.L_f)
    assert claim.curve is not None
    stays = float(claim.curve(facts.with_steps(gamma, 1.0), FOREVER, {})[0])
    rho = float(f"{math.sqrt(floor * start / stays):.4g}")
    steps = horizon(claim, facts.with_steps(gamma, rho), longest=LONGEST_RUN)
    return given(claim, problem, gamma=gamma, rho=rho, steps=steps)


def drawn(problem_of: Callable[[np.random.Generator], str]) -> Callable[[np.random.Generator, Claim], Instance]:
    """Problems from problem_of, gamma in (0.1, 1]/L, radii from small to nearly too large for the bound to say much."""

    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        part = float(rng.choice([1.0, rng.uniform(0.1, 1.0)]))
        return instance(claim, problem_of(rng), part, float(rng.uniform(0.01, 0.3)))

    return draw


def _quadratic(rng: np.random.Generator) -> str:
    d, seed, mu = int(rng.integers(2, 8)), int(rng.integers(10**6)), rng.uniform(0.2, 1.0)
    return f"quadratic:d={d},mu={mu:.3g},L=1,seed={seed},spectrum={rng.choice(['log', 'linear', 'two', 'uniform'])}"


def _log_cosh(alpha: float | None) -> Callable[[np.random.Generator], str]:
    def draw(rng: np.random.Generator) -> str:
        d, strength = int(rng.integers(1, 6)), rng.uniform(0.05, 1.0) if alpha is None else alpha
        rows = int(rng.integers(d, 2 * d + 2))
        return f"log-cosh-ridge:d={d},rows={rows},alpha={strength:.3g},seed={rng.integers(10**6)}"

    return draw


def _cosines(rng: np.random.Generator) -> str:
    d = int(rng.integers(1, 5))
    c, w = rng.uniform(0.3, 1.0, d), rng.uniform(0.3, 2.0, d)
    return "cosine:c={},w={}".format(*("/".join(f"{entry:.3g}" for entry in row) for row in (c, w)))


def _wavy(rng: np.random.Generator) -> str:
    d, a = int(rng.integers(1, 5)), rng.uniform(0.3, 4.0)
    return f"pl-sine:d={d},a={a:.3g},map={rng.choice(['separable', 'rotated'])},seed={rng.integers(10**6)}"


def _parabola(claim: Claim) -> Instance:
    """x^2/2 at gamma = 1/L: SAM jumps between +-rho, and every inequality of the proofs is an equality."""
    return _on_the_parabola(claim, 1.0)


def _on_the_parabola(claim: Claim, gamma: float) -> Instance:
    return given(claim, "parabolas:h=1", gamma=gamma, rho=0.1, x0="1", steps=2000, origin="tight")


def _slow_parabola(claim: Claim) -> Instance:
    """gamma = 1/(2L) and hardly any radius: the decrease of gradient descent, (1 - gamma mu)^2 a step."""
    return given(claim, "parabolas:h=1", gamma=0.5, rho=1e-6, x0="1", steps=20, origin="tight")


def _frozen(claim: Claim) -> Instance:
    """cos x from -rho with gamma = 1: the perturbed point is the maximum at 0, and SAM never moves."""
    return given(claim, "cosine", gamma=1.0, rho=0.05, x0="-0.05", steps=20_000, origin="tight")


def _tent(claim: Claim) -> Instance:
    """SAM sits at x = 0 with ||grad f|| = L (rho - 2 a), and is drawn back there: no accident of the start."""
    return given(claim, "tent:a=0.002,rho=1,beta=1", gamma=0.5, rho=1.0, x0="0.3", steps=20_000, origin="tight")


def _source(shape: str) -> Source:
    return Source(PAPER, None, Provenance.DERIVED, NOTE + shape)


RATE_DOUBLED = Control("rate doubled", _slow_parabola, "trajectory", scale={"rate": 2.0})

claims.add(
    Claim(
        id="constant-radius/strongly-convex",
        title="SAM never diverges on a convex Polyak-Lojasiewicz function, whatever its radius",
        source=_source("; its shape is remembered of the paper"),
        kind=Kind.UPPER,
        statement=(
            r"f\text{ convex and }\mu\text{-PL},\ \gamma\le1/L,\text{ any }\rho:\quad "
            r"f(x_t)-f^*\le\big(1-\mu\gamma(2-\gamma L)\big)^t(f(x_0)-f^*)+\frac{\gamma L^3\rho^2}{2\mu(2-\gamma L)}"
        ),
        hypotheses=(IS_PL, CONVEX, *STEPS),
        measure=Measure.SUBOPTIMALITY,
        curve=_strongly_convex_curve,
        one_step=_strongly_convex_step,
        suggest=suggest,
        constants=LINEAR_CONSTANTS,
        method="sam",
        families=(
            Family("quadratics", drawn(_quadratic), quick=3, full=40),
            Family("log-cosh terms with a quadratic one", drawn(_log_cosh(None)), quick=4, full=60),
            Family("x^2/2 at gamma = 1/L", lambda rng, claim: _parabola(claim), full=1),
            data(BREAST, ("full", "1")),
            data(DIABETES, ("full", "1")),
        ),
        controls=(
            Control("0.9 of the neighbourhood", _parabola, "trajectory", scale={"neighbourhood": 0.9}),
            Control("gamma = 1.8/L", lambda claim: _on_the_parabola(claim, 1.8), "trajectory"),
            RATE_DOUBLED,
        ),
        remarks=(
            "mu-strongly convex functions are convex and mu-PL; x_1^2/2 in the plane is both and not strongly convex. "
            "Worst cases over a class speak of strongly convex ones.",
            "Unnormalised SAM on L x^2/2 diverges from every start but 0 once rho > 2/(gamma L^2) - 1/L.",
            "Beyond gamma = 1/L the neighbourhood on L x^2/2 is gamma L/(2 - gamma L) times the stated one.",
        ),
    )
)

claims.add(
    Claim(
        id="constant-radius/convex",
        title="SAM with a constant radius on a convex function",
        source=_source(""),
        kind=Kind.UPPER,
        statement=(
            r"f\text{ convex},\ \gamma\le1/L,\text{ any }\rho:\quad\tfrac1T\sum_{t<T}\|\nabla f(x_t)\|^2\le"
            r"\frac{f(x_0)-f^*}{\gamma T(1-\gamma L/2)}+\frac{\gamma L^3\rho^2}{2-\gamma L}"
        ),
        hypotheses=(IS_BOUNDED, CONVEX, *STEPS),
        measure=Measure.GRADIENT_AVERAGE,
        curve=_convex_curve,
        one_step=_convex_step,
        suggest=suggest,
        constants=AVERAGE_CONSTANTS,
        method="sam",
        families=(
            Family("quadratics", drawn(_quadratic), quick=2, full=30),
            Family("log-cosh terms", drawn(_log_cosh(0.0)), quick=4, full=60),
            Family("x^2/2 at gamma = 1/L", lambda rng, claim: _parabola(claim), full=1),
            data("logistic:data=breast_cancer,reg=0.01,scale=rows", ("full", "1")),
        ),
        controls=(
            Control("0.9 of the radius term", _parabola, "trajectory", scale={"radius": 0.9}),
            Control("used on the tent, which is not convex", _tent, "trajectory"),
            Control("gamma = 1.8/L", lambda claim: _on_the_parabola(claim, 1.8), "trajectory"),
        ),
    )
)

claims.add(
    Claim(
        id="constant-radius/nonconvex",
        title="SAM with a constant radius on a smooth function: it stops short of stationary points",
        source=_source(""),
        kind=Kind.UPPER,
        statement=(
            r"\gamma\le1/L,\text{ any }\rho:\quad\tfrac1T\sum_{t<T}\|\nabla f(x_t)\|^2\le"
            r"\frac{2(f(x_0)-f^*)}{\gamma T}+L^2\rho^2"
        ),
        hypotheses=(IS_BOUNDED, *STEPS),
        measure=Measure.GRADIENT_AVERAGE,
        curve=_nonconvex_curve,
        one_step=_nonconvex_step,
        suggest=suggest,
        constants=AVERAGE_CONSTANTS,
        method="sam",
        families=(
            Family("cosines", drawn(_cosines), quick=4, full=60),
            Family("wavy functions", drawn(_wavy), quick=2, full=20),
            Family("cos x, frozen", lambda rng, claim: _frozen(claim), full=1),
            Family("tent", lambda rng, claim: _tent(claim), full=1),
        ),
        controls=(
            Control("0.8 of the radius term on the frozen cosine", _frozen, "trajectory", scale={"radius": 0.8}),
            Control("SAM reaches stationary points: no radius term", _frozen, "trajectory", scale={"radius": 0.0}),
            Control("0.9 of the radius term on the tent", _tent, "trajectory", scale={"radius": 0.9}),
        ),
        remarks=(
            "cos x from -rho with gamma = 1 stays there with ||grad f||^2 = sin(rho)^2, a part (sin(rho)/rho)^2 of the "
            "radius term. That point repels; on the tent the point where SAM stops attracts.",
        ),
    )
)

claims.add(
    Claim(
        id="constant-radius/pl",
        title="SAM with a constant radius on a Polyak-Lojasiewicz function",
        source=_source(""),
        kind=Kind.UPPER,
        statement=(
            r"f\ \mu\text{-PL},\ \gamma\le1/L,\text{ any }\rho:\quad "
            r"f(x_t)-f^*\le(1-\gamma\mu)^t(f(x_0)-f^*)+\frac{L^2\rho^2}{2\mu}"
        ),
        hypotheses=(IS_PL, *STEPS),
        measure=Measure.SUBOPTIMALITY,
        curve=_pl_curve,
        one_step=_pl_step,
        suggest=suggest,
        constants=LINEAR_CONSTANTS,
        method="sam",
        families=(
            Family("wavy functions", drawn(_wavy), quick=4, full=60),
            Family("quadratics", drawn(_quadratic), quick=2, full=20),
            Family("x^2/2 at gamma = 1/L", lambda rng, claim: _parabola(claim), full=1),
        ),
        controls=(
            Control("0.9 of the neighbourhood", _parabola, "trajectory", scale={"neighbourhood": 0.9}),
            Control(
                "rate four times as fast",
                _slow_parabola,
                "trajectory",
                scale={"rate": 4.0},
            ),
        ),
    )
)
