"""Refuted: for arbitrary sampling, L_max in place of max(L_f, L_S)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from theory.claim import (
    Claim,
    Control,
    Family,
    Hypothesis,
    Instance,
    Kind,
    Measure,
    Provenance,
    Source,
    claims,
)
from theory.families import (
    finish,
    given,
    setting_of,
)
from theory.schedules import Schedule
from theory.setting import Facts, facts_of
from theory.unified_sam import (
    LINEAR_CONSTANTS,
    PL_HYPOTHESES,
    pl_curve,
    pl_step,
    pl_suggest,
)
from theory.unified_sam_cases import (
    PAPER,
)


def _with_l_max(facts: Facts) -> Facts:
    """The facts as the refuted statement reads them: L_max wherever L stands."""
    return replace(facts, L_S=facts.L_max, L_f=facts.L_max)


def _read_l_max(function: Callable[[Facts], float]) -> Callable[[Facts], float]:
    return lambda facts: function(_with_l_max(facts))


def _counterexample(claim: Claim) -> Instance:
    """n = 2, f_1 = f_2 = x^2/2, p = (1e-4, 1 - 1e-4), lam = 0.99, rho = rho*/2, gamma = gamma*(rho), x_0 = 1e6."""
    problem, sampling = "parabolas:h=1/1", "single:p=0.0001/0.9999"
    setting = setting_of(claim, problem, sampling, lam="0.99", x0="1e6")
    gamma, rho = claim.suggest(facts_of(setting), 1.0, 1.0)
    return finish(problem, sampling, setting.with_steps(gamma=gamma, rho=rho), 1, "1e6", "tight")


def _l_max_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return pl_suggest(_with_l_max(facts), part, rho_part)


claims.add(
    Claim(
        id="unified-sam/arbitrary-sampling-lmax",
        title="U1 for arbitrary sampling with L = max_i L_i",
        source=Source(
            PAPER,
            "Theorem 3.2",
            Provenance.REFUTED,
            "reviews print L_max and the code uses max_i L_i; the text was not read",
        ),
        kind=Kind.REFUTED,
        statement=(
            r"\text{U1 with }L=L_{\max}=\max_iL_i\text{ for any sampling. False for arbitrary }p;\;"
            r"\text{it needs }L=\max(L_f,L_S),\;L_S=\max_v\mathrm{Lip}(\nabla f_v)=\max_i\tfrac{L_i}{np_i}"
        ),
        hypotheses=tuple(
            Hypothesis(h.name, _read_l_max(h.value), h.relation, _read_l_max(h.limit), f"{h.text} with L = L_max")
            for h in PL_HYPOTHESES
        ),
        measure=Measure.SUBOPTIMALITY,
        curve=lambda f, t, scale: pl_curve(_with_l_max(f), t, scale),
        one_step=lambda f, gap, norm2, t, scale: pl_step(_with_l_max(f), gap, norm2, t, scale),
        suggest=_l_max_suggest,
        constants=LINEAR_CONSTANTS,
        families=(Family("the stored counterexample", lambda rng, claim: _counterexample(claim), full=1),),
        controls=(
            Control(
                "the corrected statement, L = max(L_f, L_S), on the same problem and sampling at its own limits",
                lambda claim: given(
                    claim,
                    "parabolas:h=1/1",
                    "single:p=0.0001/0.9999",
                    lam="0.99",
                    x0="1e6",
                    theta=1.0,
                    steps=1,
                    origin="tight",
                ),
                "one-step",
            ),
        ),
        corrected="unified-sam/pl-constant",
    )
)
