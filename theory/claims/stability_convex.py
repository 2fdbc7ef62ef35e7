"""Uniform stability of SGD on convex and on strongly convex losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.families import Origin, finish, given, setting_of
from theory.schedules import Schedule, constant, read_schedule
from theory.setting import Facts
from theory.stability import (
    CONVEX_LOSSES,
    COUPLED,
    NOT_READ,
    PAPER,
    STRONGLY_CONVEX_LOSSES,
    losses_of,
    trials_of,
)
from theory.trial import Values
from theory.unified_sam import CONSTANT_GAMMA, POSITIVE_GAMMA, ratio_or_infinity


def scheduled(claim: Claim, problem: str, gamma: str, steps: int, *, origin: Origin = "synthetic") -> Instance:
    """An instance with uniform sampling whose step sizes are a SPEC."""
    setting = setting_of(claim, problem, "uniform").with_steps(gamma=read_schedule(gamma, argument="gamma"), rho=0.0)
    return finish(problem, "uniform", setting, steps, None, origin)


def convex_bound(facts: Facts, t: Values) -> Values:
    """(2 L^2/n) sum_{s < t} gamma_s."""
    sums = np.array([facts.gamma.sum(int(T)) for T in t])
    return np.asarray(2 * losses_of(facts).lipschitz ** 2 / facts.n * sums)


def _convex_limit(facts: Facts) -> float:
    """2/beta."""
    return ratio_or_infinity(2.0, losses_of(facts).smoothness)


def _convex_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part * min(_convex_limit(facts), 1e3)), constant(0.0)


def _linear(claim: Claim) -> Instance:
    """Attained: each hit takes the runs 2 gamma further apart. Steps of 1/8 make equal sums equal bit for bit."""
    return given(claim, "linear-losses:n=10", "uniform", gamma=0.125, steps=200, origin="tight")


def _logistic(rng: np.random.Generator, claim: Claim) -> Instance:
    problem = f"logistic-losses:n={rng.integers(3, 30)},d={rng.integers(1, 5)},seed={rng.integers(10**6)}"
    # Rows of length 1: beta = 1/4.
    gamma = round(float(rng.uniform(0.5, 8)), 3)
    return given(claim, problem, "uniform", gamma=min(gamma, 7.99), steps=int(rng.integers(100, 400)))


def _decreasing_linear(rng: np.random.Generator, claim: Claim) -> Instance:
    n = int(rng.integers(3, 40))
    return scheduled(claim, f"linear-losses:n={n},seed={rng.integers(10**6)},flip={n - 1}", "harmonic:start=2", 300)


claims.add(
    Claim(
        id="stability/convex",
        title="Uniform stability of SGD on convex losses (C2)",
        source=Source(PAPER, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.UPPER,
        statement=(
            r"\gamma_t\le\tfrac2\beta:\quad\epsilon_{\mathrm{stab}}=\sup_z\mathbb E[\ell(w_T;z)-\ell(w_T';z)]"
            r"\le L_\ell\,\mathbb E\|w_T-w_T'\|\le\tfrac{2L_\ell^2}n\textstyle\sum_{t<T}\gamma_t"
        ),
        hypotheses=(
            *COUPLED,
            CONVEX_LOSSES,
            POSITIVE_GAMMA,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<=",
                _convex_limit,
                "gamma <= 2/beta, beta the smoothness of the losses",
                step_limit=True,
            ),
        ),
        measure=Measure.OWN,
        trials=trials_of(convex_bound),
        suggest=_convex_suggest,
        constants={"bound": "the part of the bound that would do"},
        method="sgd",
        families=(
            Family("linear losses, one sign flipped: equality", lambda rng, claim: _linear(claim), full=1),
            Family("linear losses, steps c/t", _decreasing_linear, quick=1, full=8),
            Family("logistic losses, random rows", _logistic, quick=2, full=12),
            Family(
                "logistic losses at the limit",
                lambda rng, claim: given(claim, "logistic-losses:n=10,d=2,seed=1", "uniform", gamma=8.0, steps=200),
                full=1,
            ),
            Family(
                "breast_cancer, the first 40 rows",
                lambda rng, claim: given(
                    claim, "logistic-losses:data=breast_cancer,n=40", "uniform", gamma=7.9, steps=400, origin="data"
                ),
                full=1,
            ),
        ),
        controls=(
            Control("0.99 of the bound", _linear, "index sequences", scale={"bound": 0.99}),
            Control(
                "a rate of 1/n^2",
                lambda claim: given(claim, "linear-losses:n=51", "uniform", gamma=0.125, steps=500),
                "coupled runs",
                facts=lambda facts: replace(facts, n=facts.n**2),
            ),
            Control(
                "steps of 2.2/beta, with the Lipschitz constant of the unit ball",
                lambda claim: given(claim, "quadratic-losses:n=20", "uniform", gamma=2.2, steps=200),
                "coupled runs",
                facts=lambda facts: replace(facts, losses=losses_of(facts)._replace(lipschitz=2.0)),
            ),
        ),
    )
)


# -- strongly convex losses --


def strongly_convex_bound(facts: Facts, t: Values) -> Values:
    """2 L^2/(mu n), at every t."""
    losses = losses_of(facts)
    return np.full(len(t), 2 * losses.lipschitz**2 / (losses.convexity * facts.n))


def _strong_limit(facts: Facts) -> float:
    """1/beta."""
    return ratio_or_infinity(1.0, losses_of(facts).smoothness)


def _strong_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part * _strong_limit(facts)), constant(0.0)


def in_ball(problem: str, radius: float, gamma: float, steps: int) -> Callable[[Claim], Instance]:
    """Projected SGD on the ball of this radius."""
    method = f"projected-sgd:radius={radius!r}"
    return lambda claim: given(claim, problem, "uniform", method=method, gamma=gamma, steps=steps)


def _outlier(claim: Claim) -> Instance:
    """One example at Z, all others at 0, on the ball of radius 3 Z/(mu n): every hit has a gradient about L long, and
    the neighbour's is opposite. L/Z = 1 + 3/n."""
    return given(
        claim, "quadratic-losses:n=20,examples=outlier", "uniform", method="projected-sgd:radius=0.15", gamma=0.02,
        steps=400, origin="tight",
    )  # fmt: skip


def _clipped(claim: Claim) -> Instance:
    """The same with gamma mu = 1/m and R = Z/(mu m), m = 16: every hit ends on the boundary, so that w_t is
    R (1 - 1/m)^k after k steps without one. L E delta_T tends to n m/((m + n - 1)(m + 1)) = 0.842 of the bound."""
    return given(
        claim, "quadratic-losses:n=128,examples=outlier", "uniform", method="projected-sgd:radius=0.0625",
        gamma=0.0625, steps=90, origin="tight",
    )  # fmt: skip


def _line(rng: np.random.Generator, claim: Claim) -> Instance:
    """1-D quadratics on the ball of radius Z/mu, which no run leaves."""
    mu = round(float(rng.uniform(0.2, 2)), 3)
    problem = f"quadratic-losses:n={rng.integers(3, 13)},h={mu},seed={rng.integers(10**6)}"
    gamma = round(float(rng.uniform(0.05, 1)) / mu, 4)
    return in_ball(problem, round(1 / mu, 6), gamma * 0.999, int(6 / (gamma * mu)) + 60)(claim)


def _plane(rng: np.random.Generator, claim: Claim) -> Instance:
    low = round(float(rng.uniform(0.2, 0.9)), 3)
    problem = f"quadratic-losses:n={rng.integers(3, 12)},h=1/{low},seed={rng.integers(10**6)}"
    return in_ball(problem, round(float(rng.uniform(0.1, 1)), 3), round(float(rng.uniform(0.05, 1)), 3), 150)(claim)


claims.add(
    Claim(
        id="stability/strongly-convex",
        title="Uniform stability of projected SGD on strongly convex losses (C3)",
        source=Source(PAPER, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.UPPER,
        statement=(
            r"\gamma\le\tfrac1\beta,\ w_t,w_t'\in B_R,\ \ell(\cdot;z)\ L_\ell\text{-Lipschitz on }B_R:\quad"
            r"\epsilon_{\mathrm{stab}}\le L_\ell\,\mathbb E\|w_T-w_T'\|\le\tfrac{2L_\ell^2}{\mu n}\quad\text{for all }T"
        ),
        hypotheses=(
            *COUPLED,
            STRONGLY_CONVEX_LOSSES,
            CONSTANT_GAMMA,
            POSITIVE_GAMMA,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<=",
                _strong_limit,
                "gamma <= 1/beta, beta the smoothness of the losses",
                step_limit=True,
            ),
        ),
        measure=Measure.OWN,
        trials=trials_of(strongly_convex_bound),
        suggest=_strong_suggest,
        constants={"bound": "the part of the bound that would do"},
        method="projected-sgd",
        families=(
            Family("one outlier, small ball", lambda rng, claim: _outlier(claim), full=1),
            Family("one outlier, every hit on the boundary", lambda rng, claim: _clipped(claim), full=1),
            Family("quadratics on the line", _line, quick=2, full=16),
            Family("quadratics on the plane, projected", _plane, quick=2, full=16),
            Family(
                "ridge logistic losses",
                lambda rng, claim: in_ball("logistic-losses:n=10,d=2,reg=0.25,seed=1", 2.0, 2.0, 100)(claim),
                full=1,
            ),
            Family(
                "breast_cancer, the first 20 rows",
                lambda rng, claim: given(
                    claim,
                    "logistic-losses:data=breast_cancer,n=20,reg=0.25",
                    "uniform",
                    method="projected-sgd:radius=1",
                    gamma=0.5,
                    steps=400,
                    origin="data",
                ),
                full=1,
            ),
        ),
        controls=(
            Control("half of the bound", _outlier, "coupled runs", scale={"bound": 0.5}),
            Control("0.8 of the bound", _clipped, "index sequences", scale={"bound": 0.8}),
            Control("a rate of 1/n^2", _outlier, "coupled runs", facts=lambda facts: replace(facts, n=facts.n**2)),
        ),
        remarks=(
            "The Lipschitz constant is that of the ball which holds the start and all iterates.",
            "On the line with examples in [-Z, Z] and R = Z/mu, L E delta_T is at most half the bound: L is 2 Z, while "
            "a hit takes the runs at most 2 gamma Z further apart.",
        ),
    )
)
