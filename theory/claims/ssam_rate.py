"""Linear rates of SSAM: on quadratics with either ascent, and on smooth Polyak-Lojasiewicz functions."""

from __future__ import annotations

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
from theory.dynamics import QUADRATIC
from theory.families import data, given, wavy
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.ssam import (
    NARROW,
    NORMALISED,
    NOT_READ,
    PAPER,
    PLAIN_ASCENT,
    RATE,
    UNIT_ASCENT,
    UNNORMALISED,
    after_one,
    decrease,
    kantorovich,
    linear,
    plain_cosine,
    smooth_cosine,
    suggest,
    with_method,
    worst_cosine,
)
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, IS_PL, POSITIVE_GAMMA
from theory.unified_sam_cases import BREAST, DIABETES

STEPS = (IS_PL, IS_DETERMINISTIC, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA)
SOURCE = Source(PAPER, None, Provenance.DERIVED, NOT_READ)


def one_parabola(claim: Claim) -> Instance:
    """f = x^2/2: every cosine is 1 on the line, the step is one of gradient descent, and the bound is attained."""
    return given(claim, "spectrum:h=1", gamma=0.3, rho=1e-9, x0="1", steps=20, origin="tight")


RATE_DOUBLED = Control("twice the rate", one_parabola, "trajectory", scale={"rate": 2.0})


def straight(instance: Callable[[Claim], Instance]) -> Control:
    """The rate of gradient descent, as if the perturbed gradient pointed where the gradient does: cosine 1."""
    return Control(
        "the rate and the step range of gradient descent",
        instance,
        "one-step",
        facts=lambda facts: facts.with_steps(facts.gamma, 0.0),
    )


RATE_PERCENT = Control("a rate one percent faster, one step", one_parabola, "one-step", scale={"rate": 1.01})


def random_quadratic(rng: np.random.Generator, claim: Claim) -> Instance:
    """Any spectrum, radius and start; the step anywhere in the admissible range."""
    d, mu = int(rng.integers(2, 8)), float(f"{10 ** rng.uniform(-1.3, -0.05):.3g}")
    spectrum = rng.choice(["log", "linear", "two", "uniform"])
    problem = f"quadratic:d={d},mu={mu},L=1,seed={rng.integers(10**6)},spectrum={spectrum}"
    rho = float(f"{10 ** rng.uniform(-2, 1):.3g}")
    ratio = kantorovich_of(claim, mu, rho)
    gamma = float(f"{rng.uniform(0.1, 1.9) * ratio:.3g}")
    return given(claim, problem, gamma=gamma, rho=rho, x0=f"scaled:{10 ** rng.uniform(-1, 1):.2g}")


def kantorovich_of(claim: Claim, mu: float, rho: float) -> float:
    """The guaranteed cosine for eigenvalues in [mu, 1]."""
    s = np.inf if claim.method == NORMALISED else rho
    return float(
        2 * np.sqrt(mu) / (1 + mu) if np.isinf(s) else 2 * np.sqrt((1 + s * mu) * (1 + s)) / (2 + s * (mu + 1))
    )


# -- quadratics, unnormalised ascent --


def _quadratic_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    return linear(facts, float(decrease(facts, plain_cosine(facts))), t, scale)


def _quadratic_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    return after_one(decrease(facts, plain_cosine(facts)), gap, scale)


claims.add(
    Claim(
        id="ssam/quadratic-rate",
        title="SSAM on quadratics: linear to the minimiser at every radius",
        source=SOURCE,
        kind=Kind.UPPER,
        statement=(
            r"k=\tfrac{2\sqrt{(1+\rho\mu)(1+\rho L)}}{2+\rho(\mu+L)},\;0<\gamma<\tfrac{2k}L:\quad "
            r"f(x_t)-f^*\le\big(1-2\mu\gamma(k-\tfrac{\gamma L}2)\big)^t\,(f(x_0)-f^*)"
        ),
        hypotheses=(
            QUADRATIC,
            *STEPS,
            PLAIN_ASCENT,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<",
                lambda f: 2 * plain_cosine(f) / f.L_f,
                "gamma < 2 k/L with the Kantorovich factor k of rho",
                step_limit=True,
            ),
        ),
        measure=Measure.SUBOPTIMALITY,
        curve=_quadratic_curve,
        one_step=_quadratic_step,
        suggest=suggest,
        constants=RATE,
        method=UNNORMALISED,
        families=(
            Family("random quadratics", random_quadratic, quick=6, full=48),
            Family("one parabola: attained", lambda rng, claim: one_parabola(claim), full=1),
            Family(
                "bottom eigenvector, small steps and radius",
                lambda rng, claim: given(
                    claim, "spectrum:h=1/0.1", gamma=0.01, rho=0.01, x0="0/1", steps=1000, origin="tight"
                ),
                full=1,
            ),
            data(DIABETES, ("full", "0")),
        ),
        controls=(
            RATE_DOUBLED,
            RATE_PERCENT,
            straight(lambda claim: given(claim, "spectrum:h=1/0.1", gamma=1.5, rho=5.0, x0="0.0643/0.998", steps=1)),
        ),
        remarks=("The proved range of steps is smaller than the true one, gamma L < 2: see ssam/step-range.",),
    )
)


# -- quadratics, normalised ascent --


def _normalised_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    return linear(facts, float(decrease(facts, worst_cosine(facts))), t, scale)


def _normalised_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    """With the factor of the point itself, k(rho/||g||)."""
    with np.errstate(divide="ignore", over="ignore"):
        s = facts.rho.largest / np.sqrt(norm2) if facts.rho.largest > 0 else np.zeros_like(norm2)
    return after_one(decrease(facts, kantorovich(facts, s)), gap, scale)


def _as_sam(setting: Setting) -> Setting:
    return with_method(setting, "sam")


claims.add(
    Claim(
        id="ssam/normalised-rate",
        title="SSAM with the normalised ascent on quadratics: no 2-cycle, linear to the exact minimiser",
        source=SOURCE,
        kind=Kind.UPPER,
        statement=(
            r"k=\tfrac{2\sqrt{\mu L}}{\mu+L},\;0<\gamma<\tfrac{2k}L,\;\text{any }\rho:\quad "
            r"f(x_t)-f^*\le\big(1-2\mu\gamma(k-\tfrac{\gamma L}2)\big)^t\,(f(x_0)-f^*);\ \text{in one step with }"
            r"k=\tfrac{2\sqrt{(\|g\|+\rho\mu)(\|g\|+\rho L)}}{2\|g\|+\rho(\mu+L)}"
        ),
        hypotheses=(
            QUADRATIC,
            *STEPS,
            UNIT_ASCENT,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<",
                lambda f: 2 * worst_cosine(f) / f.L_f,
                "gamma < 4 sqrt(mu/L)/(mu + L)",
                step_limit=True,
            ),
        ),
        measure=Measure.SUBOPTIMALITY,
        curve=_normalised_curve,
        one_step=_normalised_step,
        suggest=suggest,
        constants=RATE,
        method=NORMALISED,
        families=(
            Family("random quadratics", random_quadratic, quick=6, full=48),
            Family("one parabola: gradient descent, attained", lambda rng, claim: one_parabola(claim), full=1),
            data(DIABETES, ("full", "0")),
        ),
        controls=(
            RATE_DOUBLED,
            RATE_PERCENT,
            straight(lambda claim: given(claim, "spectrum:h=1/0.1", gamma=1.5, rho=1.0, x0="0.00041/0.00999", steps=1)),
            Control(
                "without the renormalisation: SAM stays on its 2-cycle",
                lambda claim: given(claim, "spectrum:h=1/0.5", gamma=0.5, rho=0.3, x0="1/1", steps=60),
                "trajectory",
                setting=_as_sam,
            ),
        ),
        remarks=("SAM's gap stays at (L/2)(gamma L rho/(2 - gamma L))^2; rescaling the gradient removes that floor.",),
    )
)


# -- smooth PL functions --


def _pl_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    return linear(facts, float(decrease(facts, smooth_cosine(facts))), t, scale)


def _pl_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    return after_one(decrease(facts, smooth_cosine(facts)), gap, scale)


def draw_wavy(rng: np.random.Generator, claim: Claim) -> Instance:
    """x^2 + a sin^2 x, non-convex for a > 1; the radius up to rho L = 0.95 and the step anywhere in its range."""
    a = round(float(rng.uniform(0.5, 3.0)), 2)
    L = 2 + 2 * a
    part = float(rng.uniform(0.05, 0.95))
    longest = 2 * np.sqrt(1 - part**2) if claim.method == UNNORMALISED else 1.0
    kind = rng.choice(["separable", "rotated"])
    problem = f"pl-sine:d={rng.integers(1, 6)},a={a},map={kind},seed={rng.integers(10**6)}"
    gamma = float(f"{rng.uniform(0.2, 0.98) * longest / L:.3g}")
    return given(claim, problem, gamma=gamma, rho=float(f"{part / L:.3g}"))


claims.add(
    Claim(
        id="ssam/pl-rate",
        title="SSAM on smooth Polyak-Lojasiewicz functions",
        source=SOURCE,
        kind=Kind.UPPER,
        statement=(
            r"\rho L<1,\;c=\sqrt{1-\rho^2L^2},\;0<\gamma<\tfrac{2c}L:\quad "
            r"f(x_t)-f^*\le\big(1-2\mu\gamma(c-\tfrac{\gamma L}2)\big)^t\,(f(x_0)-f^*)"
        ),
        hypotheses=(
            *STEPS,
            PLAIN_ASCENT,
            NARROW,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<",
                lambda f: 2 * smooth_cosine(f) / f.L_f,
                "gamma < 2 sqrt(1 - rho^2 L^2)/L",
                step_limit=True,
            ),
        ),
        measure=Measure.SUBOPTIMALITY,
        curve=_pl_curve,
        one_step=_pl_step,
        suggest=suggest,
        constants=RATE,
        method=UNNORMALISED,
        families=(
            Family("wavy functions", draw_wavy, quick=5, full=48),
            Family("wavy maps", wavy("none", "full"), quick=2, full=12),
            Family("one parabola, rho -> 0: attained", lambda rng, claim: one_parabola(claim), full=1),
            data(BREAST, ("full", "0")),
        ),
        controls=(
            RATE_DOUBLED,
            RATE_PERCENT,
            straight(
                lambda claim: given(
                    claim, "pl-sine:d=3,a=4.5", gamma=1.957 / 11, rho=0.99 / 11, x0="-0.18685/0.22494/-1.44181", steps=1
                )
            ),
        ),
        remarks=("Within the range of steps the factor c is not attained by the functions tried: the rate alone is.",),
    )
)


# -- the same for USAM --


def _usam_fall(facts: Facts) -> float:
    """mu gamma (1 - rho^2 L^2)."""
    return facts.mu * facts.gamma.largest * (1 - (facts.rho.largest * facts.L_f) ** 2)


def _usam_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    return linear(facts, _usam_fall(facts), t, scale)


def _usam_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    return after_one(_usam_fall(facts), gap, scale)


def _usam_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part / facts.L_f), constant(0.5 * rho_part / facts.L_f)


def _full_step(claim: Claim) -> Instance:
    """f = x^2/2 with gamma = 1/L: x+ = -rho L x, so that the bound (rho L)^2 is attained for every rho L < 1."""
    return given(claim, "spectrum:h=1", gamma=1.0, rho=0.6, x0="1", steps=20, origin="tight")


claims.add(
    Claim(
        id="ssam/usam-pl-rate",
        title="Unnormalised SAM on smooth Polyak-Lojasiewicz functions, for comparison with SSAM",
        source=SOURCE,
        kind=Kind.UPPER,
        statement=(
            r"\rho L<1,\;0<\gamma\le\tfrac1L:\quad "
            r"f(x_t)-f^*\le\big(1-\mu\gamma(1-\rho^2L^2)\big)^t\,(f(x_0)-f^*)"
        ),
        hypotheses=(
            *STEPS,
            NARROW,
            Hypothesis("gamma", lambda f: f.gamma.largest, "<=", lambda f: 1 / f.L_f, "gamma <= 1/L", step_limit=True),
        ),
        measure=Measure.SUBOPTIMALITY,
        curve=_usam_curve,
        one_step=_usam_step,
        suggest=_usam_suggest,
        constants={"rate": "the decrease s mu gamma (1 - rho^2 L^2): how many times faster than claimed"},
        method="usam",
        families=(
            Family("wavy functions", draw_wavy, quick=5, full=48),
            Family("one parabola, gamma = 1/L: attained", lambda rng, claim: _full_step(claim), full=1),
            data(BREAST, ("full", "0")),
        ),
        controls=(
            Control("a rate one percent faster", _full_step, "trajectory", scale={"rate": 1.01}),
            Control(
                "gamma = 1.9/L with rho L = 0.95: f grows",
                lambda claim: given(claim, "pl-sine:d=1,a=3", gamma=1.9 / 8, rho=0.95 / 8, x0="0.01", steps=1),
                "one-step",
            ),
        ),
    )
)
