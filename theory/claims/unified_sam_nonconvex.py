"""Unified SAM on smooth nonconvex functions (Oikonomou and Loizou, ICLR 2025, Theorem 3.7), and sharpened."""

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
    Times,
    claims,
)
from theory.families import (
    data,
    given,
    wavy,
)
from theory.schedules import Schedule, constant
from theory.setting import Facts
from theory.unified_sam import (
    CONSTANT_GAMMA,
    CONSTANT_RHO,
    IS_BOUNDED,
    POSITIVE_GAMMA,
    K_factor,
    noise_term,
    radius_term,
    ratio_or_infinity,
    sharp_error,
    sharp_suggest_below,
    theta,
    unnormalised,
)
from theory.unified_sam_cases import (
    PAPER,
)


def _drift(facts: Facts) -> float:
    """a = 2 A L gamma (rho (1 - lam)^2 + gamma K)."""
    gamma, rho = facts.gamma.largest, facts.rho.largest
    return 2 * facts.A * facts.L * gamma * (rho * unnormalised(facts) + gamma * float(K_factor(facts, rho)))


def _descent(facts: Facts) -> float:
    """b = 1 - L rho/2 - L rho B (1 - lam)^2 - L gamma B K."""
    gamma, rho, L = facts.gamma.largest, facts.rho.largest, facts.L
    return 1 - L * rho / 2 - L * rho * facts.B * unnormalised(facts) - L * gamma * facts.B * float(K_factor(facts, rho))


def _compound(growth: float, t: Times) -> Curve:
    """(1 + growth)^t without overflow warnings."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(t * math.log1p(growth)))


def _nonconvex_error(facts: Facts, scale: Scale) -> float:
    gamma, rho = facts.gamma.largest, facts.rho.largest
    radius = scale.get("radius", 1.0) * float(radius_term(facts, rho))
    return radius + scale.get("noise", 1.0) * float(noise_term(facts, gamma, rho))


def _descended(facts: Facts, growth: float, t: Times) -> Curve:
    """(1 + growth)^t D_0/(gamma t), infinite at t = 0; 0 from a minimum, however large the factor."""
    if facts.gap0 == 0:
        return np.zeros(t.shape)
    with np.errstate(divide="ignore"):
        return np.asarray(_compound(growth, t) * facts.gap0 / (facts.gamma.largest * t))


def _nonconvex_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    descent = _descended(facts, _drift(facts), t)
    value = scale.get("descent", 1.0) * descent + _nonconvex_error(facts, scale)
    return np.asarray(value / _descent(facts) if _descent(facts) > 0 else np.full(t.shape, np.inf))


def _nonconvex_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    gamma = facts.gamma.largest
    return np.asarray(
        (1 + _drift(facts)) * gap - gamma * _descent(facts) * norm2 + gamma * _nonconvex_error(facts, scale)
    )


def _nonconvex_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """Parts of the complexity recipe's limits: L rho <= min(1, 1/(2 B (1 - lam)^2))/4, gamma <= 2/(9 L B)."""
    rho = min(1.0, ratio_or_infinity(1.0, 2 * facts.B * unnormalised(facts))) / (4 * facts.L)
    gamma = min(1.0, ratio_or_infinity(2.0, 9 * facts.B)) / facts.L
    return constant(part * gamma), constant(rho_part * rho)


def _stall(claim: Claim) -> Instance:
    """SAM stalls on the sine with squared gradient 4/(9 pi^2) beta^2 rho^2."""
    return given(claim, "sine-stall:rho=0.01", "full", lam="1", gamma=1e-3, rho=0.01, steps=1_000_000, origin="tight")


def _tent(claim: Claim) -> Instance:
    """SAM sits at a fixed point with ||grad f||^2 -> beta^2 rho^2 as a -> 0."""
    return given(
        claim, "tent:a=0.002,rho=1,beta=1", "full", lam="1", gamma=5e-4, rho=1.0, steps=4_000_000, origin="tight"
    )  # fmt: skip


_NONCONVEX_FAMILIES = (
    Family("wavy functions, multiplicative noise", wavy("multiplicative", "uniform"), quick=1, full=8),
    Family("wavy functions, additive noise", wavy("additive", "uniform"), quick=1, full=8),
    Family("wavy functions, full batch", wavy("none", "full"), quick=1, full=8),
    Family("sine", lambda rng, claim: given(claim, "sine-stall:rho=1", "full", lam="1", origin="tight"), full=1),
    data("logistic:data=breast_cancer,reg=0.01,scale=rows", ("uniform", "0.5"), ("importance", "1"), ("full", "0")),
    data("logistic:data=digits,reg=0.01,scale=rows,positive=0", ("tau-nice:tau=16", "0.5"), ("uniform", "0")),
)

claims.add(
    Claim(
        id="unified-sam/nonconvex",
        title="Smooth nonconvex functions (U3)",
        source=Source(
            PAPER, "Theorem 3.7", Provenance.DERIVED, "only the number, the shape and one term were read, in a review"
        ),
        kind=Kind.UPPER,
        statement=(
            r"a=2AL\gamma(\rho(1-\lambda)^2+\gamma K),\;b=1-\tfrac{L\rho}2-L\rho B(1-\lambda)^2-L\gamma BK>0:\quad"
            r"\min_{t<T}\mathbb E\|\nabla f(x_t)\|^2\le\tfrac1b\Big[\tfrac{(1+a)^T(f(x_0)-f^{\inf})}{\gamma T}"
            r"+L\rho((1-\lambda)^2C+\lambda^2)+L\gamma(KC+2L^2\rho^2\lambda^2)\Big]"
        ),
        hypotheses=(
            IS_BOUNDED,
            CONSTANT_GAMMA,
            CONSTANT_RHO,
            POSITIVE_GAMMA,
            Hypothesis(
                "1 - b",
                lambda f: 1 - _descent(f),
                "<",
                lambda f: 1.0,
                "1 - b = L rho/2 + L rho B (1 - lam)^2 + L gamma B K < 1: small enough for descent",
            ),
        ),
        measure=Measure.GRADIENT_AVERAGE,
        curve=_nonconvex_curve,
        one_step=_nonconvex_step,
        growth=_drift,
        suggest=_nonconvex_suggest,
        constants={"descent": "the term in 1/(gamma T)", "radius": "the term in L rho", "noise": "the term in L gamma"},
        families=_NONCONVEX_FAMILIES,
        controls=(Control("no rho-term on the sine where SAM stalls", _stall, "trajectory", scale={"radius": 0.0}),),
        remarks=("measured as the weighted average of the proof, which is at least the minimum",),
    )
)


def _sharp_nonconvex_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    descent = _descended(facts, 2 * facts.A * facts.gamma.largest * theta(facts), t)
    value = scale.get("descent", 1.0) * descent + scale.get("neighbourhood", 1.0) * sharp_error(facts)
    room = 0.5 - facts.B * theta(facts)
    return np.asarray(scale.get("all", 1.0) * value / room if room > 0 else np.full(t.shape, np.inf))


def _sharp_nonconvex_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    gamma, size = facts.gamma.largest, theta(facts)
    error = scale.get("neighbourhood", 1.0) * sharp_error(facts)
    return np.asarray((1 + 2 * facts.A * gamma * size) * gap - gamma * (0.5 - facts.B * size) * norm2 + gamma * error)


def _sharp_nonconvex_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return sharp_suggest_below(facts, min(1.0, ratio_or_infinity(0.25, facts.B)), part, rho_part)


claims.add(
    Claim(
        id="unified-sam/nonconvex-sharp",
        title="Smooth nonconvex functions, sharpened (U3#)",
        source=Source(
            PAPER, "Theorem 3.7", Provenance.DERIVED, "same assumptions, sharpened here; not the authors' bound"
        ),
        kind=Kind.UPPER,
        statement=(
            r"B\theta<\tfrac12:\quad\min_{t<T}\mathbb E\|\nabla f(x_t)\|^2\le\frac1{\frac12-B\theta}"
            r"\Big[\tfrac{(1+2A\gamma\theta)^T(f(x_0)-f^{\inf})}{\gamma T}+\theta C+kL_S^2\rho^2\lambda\Big]"
        ),
        hypotheses=(
            IS_BOUNDED,
            CONSTANT_GAMMA,
            CONSTANT_RHO,
            POSITIVE_GAMMA,
            Hypothesis("B theta", lambda f: f.B * theta(f), "<", lambda f: 0.5, "B theta < 1/2"),
        ),
        measure=Measure.GRADIENT_AVERAGE,
        curve=_sharp_nonconvex_curve,
        one_step=_sharp_nonconvex_step,
        growth=lambda f: 2 * f.A * f.gamma.largest * theta(f),
        suggest=_sharp_nonconvex_suggest,
        constants={
            "descent": "the term in 1/(gamma T)",
            "neighbourhood": "the terms that stay as T grows",
            "all": "the whole bound",
        },
        families=(*_NONCONVEX_FAMILIES, Family("tent", lambda rng, claim: _tent(claim), full=1)),
        controls=(Control("0.9 of the bound on the tent", _tent, "trajectory", scale={"all": 0.9}),),
        remarks=("measured as the weighted average of the proof, which is at least the minimum",),
    )
)
