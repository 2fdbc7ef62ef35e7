"""An example of a plugin: three claims on full-batch SAM, a problem and a method, none of them part of ravine.

Throughout f is L-smooth and mu-PL, g = grad f(x), and one step is x+ = x - gamma g', g' = grad f(x + u), ||u|| <= rho.

* `example/linear` is wrong, in a way that takes time to show.
* `example/corrected` is the true statement about the same method.
* `example/softened` changes the method instead, and then the linear rate is true.

All rest on the lemma of inexact gradients: for gamma <= 1/L,

    f(x+) - f* <= f(x) - f* - gamma/2 ||g||^2 + gamma/2 ||g' - g||^2,    ||g' - g|| <= L ||u||.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from problems.kernel import gap, gradient, step, value
from problems.problem import Grade, Problem, Vector, check_positive, exact, problems
from problems.spec import spelled
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
from theory.families import given
from theory.methods.method import Method, methods
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, IS_PL, POSITIVE_GAMMA

# -- a problem: one NamedTuple, three kernels, the constants with their grades --


class LogCosh(NamedTuple):
    """f(x) = height log cosh x + reg x^2/2 on the line."""

    height: float
    reg: float


@gap.of(LogCosh)
def _gap(problem: Any, x: Any) -> float:
    # log cosh x = log(1 + sinh^2 x)/2 without cancellation; far out, |x| - log 2 without overflow.
    size = abs(x[0])
    log_cosh = size - math.log(2.0) if size > 20.0 else 0.5 * math.log1p(math.sinh(x[0]) ** 2)
    return float(problem.height * log_cosh + 0.5 * problem.reg * x[0] * x[0])


@value.of(LogCosh)
def _value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    return float(scale * gap(problem, x))


@gradient.of(LogCosh)
def _gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    out[0] = scale * (problem.height * math.tanh(x[0]) + problem.reg * x[0])


class LogCoshProblem(Problem):
    """L = height + reg, attained at 0. mu = reg: f is reg-strongly convex, and f'^2/(2f) falls to reg far out."""

    def __init__(self, height: float, reg: float) -> None:
        check_positive(height, argument="height")
        check_positive(reg, argument="reg")
        super().__init__(
            name=f"example-log-cosh:height={spelled(height)},reg={spelled(reg)}",
            data=LogCosh(float(height), float(reg)),
            n=1,
            d=1,
            L=exact(height + reg),
            mu=exact(reg),
            start=np.array([3.0]),
            minimiser=np.zeros(1),
            convex_components=True,
        )

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.array([self.L.value]), Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.zeros(1), Grade.EXACT


@problems.register("example-log-cosh")
def log_cosh(height: float = 1.0, reg: float = 0.2) -> LogCoshProblem:
    """height log cosh x + reg x^2/2."""
    return LogCoshProblem(height, reg)


# -- a method: one NamedTuple and its step --


class SoftenedSAM(NamedTuple):
    """u = rho g / max(||g||, 1): SAM far from a minimiser, and a perturbation that vanishes with g near it."""

    unused: float = 0.0


@step.of(SoftenedSAM)
def _step(
    method: Any,
    problem: Any,
    x: Any,
    indices: Any,
    weights: Any,
    m: int,
    gamma: float,
    rho: float,
    lam: float,
    g: Any,
    y: Any,
) -> float:
    gradient(problem, x, indices, weights, m, g)
    norm2 = 0.0
    for j in range(x.shape[0]):
        norm2 += g[j] * g[j]
    size = rho / max(math.sqrt(norm2), 1.0)
    for j in range(x.shape[0]):
        y[j] = x[j] + size * g[j]
    gradient(problem, y, indices, weights, m, g)
    for j in range(x.shape[0]):
        x[j] -= gamma * g[j]
    return norm2


@methods.register("example-softened-sam")
def softened_sam() -> Method:
    """SAM with the norm bounded below by 1."""
    return Method("example-softened-sam", SoftenedSAM())


# -- where instances are drawn --


def _quadratic(rng: np.random.Generator) -> str:
    d, mu, seed = int(rng.integers(2, 8)), round(float(rng.uniform(0.1, 0.5)), 2), int(rng.integers(1000))
    return f"quadratic:d={d},mu={mu},L=1,seed={seed}"


def _log_cosh(rng: np.random.Generator) -> str:
    return f"example-log-cosh:height=1,reg={rng.uniform(0.1, 0.5):.2f}"


def _families(times: int) -> tuple[Family, ...]:
    """Largest steps; runs as short as the lab allows, where the bound has just halved, and `times` as long."""

    def long(claim: Claim, problem: str) -> Instance:
        shortest = given(claim, problem, theta=1.0)
        return given(claim, problem, theta=1.0, steps=times * shortest.steps)

    return (
        Family("quadratics, short runs", lambda rng, claim: given(claim, _quadratic(rng), theta=1.0), quick=3),
        Family("quadratics, long runs", lambda rng, claim: long(claim, _quadratic(rng)), quick=3),
        Family("log-cosh, long runs", lambda rng, claim: long(claim, _log_cosh(rng)), quick=2),
    )


# -- the claims --

OWN = Source("this file", None, Provenance.DERIVED, "an example, proved (or not) in the docstrings beside it")
STEPS = (IS_DETERMINISTIC, IS_PL, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA)


def _limit(times: float) -> Hypothesis:
    """gamma <= times/L."""
    text = "gamma <= 1/L" if times == 1 else f"gamma <= {times:g}/L"
    return Hypothesis("gamma", lambda f: f.gamma.largest, "<=", lambda f: times / f.L_f, text)


def _steps(facts: Facts, part: float, rho_part: float, *, times: float) -> tuple[Schedule, Schedule]:
    """Any radius is admissible; at this one L^2 rho^2/(2 mu) is a tenth of f(x_0) - f*, and rho L <= 1/2."""
    rho = min(math.sqrt(0.2 * facts.mu * facts.gap0) / facts.L_f, 0.5 / facts.L_f)
    return constant(part * times / facts.L_f), constant(rho_part * rho)


def _parabola(claim: Claim) -> Instance:
    """Without radius every method here is gradient descent: f shrinks by (1 - gamma)^2 a step on x^2/2."""
    return given(claim, "quadratic:d=1,mu=1,L=1", gamma=0.25, steps=40, origin="tight")


RATE_DOUBLED = Control("rate doubled", _parabola, "trajectory", scale={"rate": 2.0})


def _linear(facts: Facts, t: Times, scale: Scale) -> Curve:
    """(1 - gamma mu)^t D_0.

    "The ascent step only helps: <g', g> >= ||g||^2 on convex quadratics, so SAM descends at least as fast as gradient
    descent, and half of the step limit is left to pay for the second-order term." The slip is in the last clause: that
    term is gamma^2 L/2 ||g'||^2 with ||g'|| up to ||g|| + L rho, and near the minimiser L rho is all of it.
    """
    rate = scale.get("rate", 1.0) * facts.gamma.largest * facts.mu
    return np.asarray(max(1 - rate, 0.0) ** t.astype(float) * facts.gap0)


claims.add(
    Claim(
        id="example/linear",
        title="SAM converges linearly to the minimiser (wrong)",
        source=OWN,
        kind=Kind.UPPER,
        statement=r"\gamma\le\tfrac1{2L}:\quad f(x_t)-f^*\le(1-\gamma\mu)^t\,(f(x_0)-f^*)",
        hypotheses=(*STEPS, _limit(0.5)),
        measure=Measure.SUBOPTIMALITY,
        method="sam",
        curve=_linear,
        suggest=lambda facts, part, rho_part: _steps(facts, part, rho_part, times=0.5),
        constants={"rate": "the factor 1 - s gamma mu"},
        families=_families(times=10),
        controls=(RATE_DOUBLED,),
    )
)


def _neighbourhood(facts: Facts, scale: Scale) -> float:
    return scale.get("neighbourhood", 1.0) * facts.L_f**2 * facts.rho.largest**2 / 2


def _corrected(facts: Facts, t: Times, scale: Scale) -> Curve:
    """(1 - gamma mu)^t D_0 + L^2 rho^2/(2 mu): the sum of the steps below."""
    return np.asarray(_linear(facts, t, scale) + _neighbourhood(facts, scale) / facts.mu)


def _corrected_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    """(1 - gamma mu) D + gamma L^2 rho^2/2: the lemma with ||g' - g|| <= L rho and ||g||^2 >= 2 mu D."""
    rate = scale.get("rate", 1.0) * facts.gamma.largest * facts.mu
    return np.asarray(max(1 - rate, 0.0) * gap + facts.gamma.largest * _neighbourhood(facts, scale))


def _long_run(claim: Claim) -> Instance:
    return given(claim, "quadratic:d=3,mu=0.5,L=1,seed=1", gamma=0.5, rho=0.1, steps=100)


claims.add(
    Claim(
        id="example/corrected",
        title="SAM converges linearly to a neighbourhood of size rho^2",
        source=OWN,
        kind=Kind.UPPER,
        statement=(r"\gamma\le\tfrac1L:\quad f(x_t)-f^*\le(1-\gamma\mu)^t\,(f(x_0)-f^*)+\tfrac{L^2\rho^2}{2\mu}"),
        hypotheses=(*STEPS, _limit(1)),
        measure=Measure.SUBOPTIMALITY,
        method="sam",
        curve=_corrected,
        one_step=_corrected_step,
        suggest=lambda facts, part, rho_part: _steps(facts, part, rho_part, times=1),
        constants={"rate": "the factor 1 - s gamma mu", "neighbourhood": "s L^2 rho^2/(2 mu)"},
        families=_families(times=10),
        controls=(
            RATE_DOUBLED,
            Control("no neighbourhood", _long_run, "trajectory", scale={"neighbourhood": 0.0}),
        ),
    )
)


def _softened(facts: Facts, t: Times, scale: Scale) -> Curve:
    """(1 - gamma mu (1 - L^2 rho^2))^t D_0: the lemma with ||u|| <= rho ||g||, at the step limit of example/linear."""
    rate = scale.get("rate", 1.0) * facts.gamma.largest * facts.mu * (1 - (facts.L_f * facts.rho.largest) ** 2)
    return np.asarray(max(1 - rate, 0.0) ** t.astype(float) * facts.gap0)


def _hardened(setting: Setting) -> Setting:
    """Plain SAM on the same problem with the same steps."""
    plain = methods.build("sam")
    return replace(setting, method=plain, lam=plain.lam)


claims.add(
    Claim(
        id="example/softened",
        title="SAM with a softened norm converges linearly to the minimiser",
        source=OWN,
        kind=Kind.UPPER,
        statement=(
            r"\gamma\le\tfrac1{2L},\ \rho<\tfrac1L:\quad"
            r"f(x_t)-f^*\le\big(1-\gamma\mu\,(1-L^2\rho^2)\big)^t\,(f(x_0)-f^*)"
        ),
        hypotheses=(
            *STEPS,
            _limit(0.5),
            Hypothesis("rho", lambda f: f.rho.largest, "<", lambda f: 1 / f.L_f, "rho < 1/L"),
        ),
        measure=Measure.SUBOPTIMALITY,
        method="example-softened-sam",
        curve=_softened,
        suggest=lambda facts, part, rho_part: _steps(facts, part, rho_part, times=0.5),
        constants={"rate": "the factor 1 - s gamma mu (1 - L^2 rho^2)"},
        families=_families(times=10),
        controls=(
            RATE_DOUBLED,
            Control("the norm not softened", _long_run, "trajectory", setting=_hardened),
        ),
    )
)
