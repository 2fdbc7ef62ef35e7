"""Expected-residual constants of the samplings, and importance sampling, which minimises them."""

from __future__ import annotations

import math
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
    claims,
)
from theory.families import (
    at_the_limit,
    data,
    given,
    random_sampling,
    random_sum,
)
from theory.samplings import replacement, without_reweighting
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.unified_sam import (
    LINEAR_CONSTANTS,
    PL_HYPOTHESES,
    pl_curve,
    pl_step,
    pl_suggest,
)
from theory.unified_sam_cases import (
    BREAST,
    DIABETES,
    DIGITS,
    PAPER,
)


def _er_at_points(facts: Facts, gap: Curve, norm2: Curve, scale: Scale) -> Curve:
    return scale.get("A", 1.0) * 2 * facts.A * gap + facts.B * norm2 + facts.C


def _any_steps(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(0.0), constant(0.0)


def _er_sum(indefinite: bool) -> Family:
    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        problem, n = random_sum(rng, indefinite=indefinite)
        return given(claim, problem, random_sampling(rng, n), gamma=0.0, steps=1)

    return Family("indefinite sums" if indefinite else "convex sums", draw, quick=6, full=40)


def _er_data(problem: str, sampling: str) -> Family:
    return Family(
        problem, lambda rng, claim: given(claim, problem, sampling, gamma=0.0, steps=1, origin="data"), quick=1, full=1
    )


def _parallel_parabolas(claim: Claim) -> Instance:
    """f_i = L_i x^2 / 2 with p_i proportional to L_i: equality."""
    return given(claim, "parabolas:h=1/2/5", "importance", gamma=0.0, steps=1, origin="tight")


def _as_tau_nice(setting: Setting) -> Setting:
    n = setting.sampling.n
    return replace(setting, sampling=replacement(np.full(n, 1 / n), n))


claims.add(
    Claim(
        id="unified-sam/er-constants",
        title="Expected-residual constants of the samplings",
        source=Source(
            PAPER, None, Provenance.DERIVED, "tau-nice and importance A, B read in the code, the others derived"
        ),
        kind=Kind.UPPER,
        statement=r"\mathbb E\|\nabla f_v(x)\|^2\le 2A\,(f(x)-f^*)+B\,\|\nabla f(x)\|^2+C\quad\text{for all }x",
        hypotheses=(Hypothesis("C", lambda f: f.C, "<", lambda f: math.inf, "A, B, C are known and finite"),),
        measure=Measure.SECOND_MOMENT,
        at_points=_er_at_points,
        constants={"A": "the part of A that would do"},
        suggest=_any_steps,
        families=(
            _er_sum(False),
            _er_sum(True),
            Family("parallel parabolas", lambda rng, claim: _parallel_parabolas(claim)),
            _er_data(BREAST, "importance"),
            _er_data(DIABETES, "uniform"),
            _er_data(DIGITS, "uniform"),
        ),
        controls=(
            Control("0.99 A on parallel parabolas", _parallel_parabolas, "points", scale={"A": 0.99}),
            Control(
                "n draws with replacement scored with the tau-nice constants of tau = n",
                lambda claim: given(claim, "quadratic-sum:n=4,d=2,seed=1", "tau-nice:tau=4", gamma=0.0, steps=1),
                "points",
                setting=_as_tau_nice,
            ),
        ),
    )
)


def _avg_facts(facts: Facts) -> bool:
    return math.isclose(facts.A, facts.L_avg, rel_tol=1e-12) and math.isclose(facts.L_S, facts.L_avg, rel_tol=1e-12)


def _importance_family(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, _ = random_sum(rng, indefinite=False)
    return at_the_limit(claim, problem, "importance", lam=str(rng.choice(["0", "0.5", "1"])))


def _forgotten_weights(claim: Claim) -> Instance:
    """Small steps, where noise cannot hide a bias: the wrong estimator settles at another point."""
    problem = "quadratic-sum:n=5,d=2,mu=0.5,L=1,noise=1,seed=4"
    return given(claim, problem, "importance", lam="0", gamma=1e-4, rho=1e-6, steps=200_000)


claims.add(
    Claim(
        id="unified-sam/importance-sampling",
        title="Importance sampling replaces L_max by L_avg",
        source=Source(
            PAPER, "Section 3.4", Provenance.DERIVED, "A read in the code; minimality and L_S = L_avg derived"
        ),
        kind=Kind.UPPER,
        statement=(
            r"p_i=L_i/\textstyle\sum_jL_j:\quad A=L_S=L_{\mathrm{avg}},"
            r"\text{ the least }\max_i\tfrac{L_i}{np_i}\text{ over }p,"
            r"\text{ and U1 holds with }L=L_{\mathrm{avg}}\text{ in every place}"
        ),
        hypotheses=(
            Hypothesis(
                "A = L_S = L_avg (1: yes)",
                lambda f: float(_avg_facts(f)),
                "=",
                lambda f: 1.0,
                "importance sampling, p_i = L_i / sum_j L_j: A = L_S = L_avg",
            ),
            *PL_HYPOTHESES,
        ),
        measure=Measure.SUBOPTIMALITY,
        curve=pl_curve,
        one_step=pl_step,
        suggest=pl_suggest,
        constants=LINEAR_CONSTANTS,
        families=(
            Family("convex sums", _importance_family, quick=3, full=24),
            data("logistic:data=breast_cancer,reg=2,scale=columns", ("importance", "0"), ("importance", "0.5")),
            data("ridge:data=diabetes,reg=1,scale=columns", ("importance", "0"), ("importance", "1")),
        ),
        controls=(
            Control(
                "the weight 1/(n p_i) forgotten, as in the published experiment",
                _forgotten_weights,
                "one-step",
                setting=lambda setting: replace(setting, sampling=without_reweighting(setting.sampling)),
            ),
        ),
    )
)
