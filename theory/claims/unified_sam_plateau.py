"""The exact plateau of deterministic Unified SAM on quadratics."""

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
from theory.families import (
    given,
)
from theory.schedules import Schedule, constant
from theory.setting import Facts
from theory.unified_sam import (
    CONSTANT_GAMMA,
    CONSTANT_RHO,
    IS_DETERMINISTIC,
    IS_PL,
    POSITIVE_GAMMA,
)
from theory.unified_sam_cases import (
    PAPER,
)


def plateau(facts: Facts, t: Times, scale: Scale) -> Curve:
    """L r^2 / 2 with r = gamma L rho lam / (2 - gamma L (1 + rho (1 - lam) L)), the amplitude of the 2-cycle."""
    gamma, rho, lam, L = facts.gamma.largest, facts.rho.largest, facts.lam.largest, facts.L_f
    r = gamma * L * rho * lam / (2 - gamma * L * (1 + rho * (1 - lam) * L))
    return np.full(t.shape, scale.get("plateau", 1.0) * L * r**2 / 2)


def _plateau_steps(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part * 0.5 / facts.L_f), constant(rho_part * 0.1 / facts.L_f)


def _figure_one(lam: str, basis: str) -> Family:
    spec = f"quadratic:d=100,mu=0.1,L=10,basis={basis}"
    return Family(
        f"Figure 1, lam = {lam}, {basis}",
        lambda rng, claim: given(claim, spec, "full", lam=lam, gamma=0.0125, rho=0.0125, steps=60_000),
        full=1,
    )


def _random_plateau(rng: np.random.Generator, claim: Claim) -> Instance:
    seed, lam = int(rng.integers(10**6)), round(float(rng.uniform(0.1, 1.0)), 3)
    spec = f"quadratic:d={rng.integers(2, 20)},mu=0.1,L=1,seed={seed}"
    gamma, rho = round(float(rng.uniform(0.2, 1.2)), 3), round(float(rng.uniform(0.02, 0.3)), 3)
    return given(claim, spec, "full", lam=str(lam), gamma=gamma, rho=rho, steps=200_000)


def _real_plateau(claim: Claim) -> Instance:
    return given(
        claim,
        "ridge:data=diabetes,reg=0.1,scale=rows",
        "full",
        lam="0.5",
        gamma=0.5,
        rho=0.05,
        steps=20_000,
        origin="data",
    )


claims.add(
    Claim(
        id="unified-sam/plateau",
        title="The exact deterministic plateau on quadratics",
        source=Source(PAPER, "Figure 1", Provenance.DERIVED, "the figure shows a plateau; the formula is derived here"),
        kind=Kind.EXACT,
        statement=(
            r"f(x_t)-f^*\to\tfrac L2r^2,\qquad r=\frac{\gamma L\rho\lambda}{2-\gamma L\,(1+\rho(1-\lambda)L)}"
            r"\quad\text{(period-2 cycle on the top eigenvector)}"
        ),
        hypotheses=(
            IS_DETERMINISTIC,
            Hypothesis("f is quadratic (1: yes)", lambda f: float(f.quadratic), "=", lambda f: 1.0, "f is quadratic"),
            IS_PL,
            CONSTANT_GAMMA,
            CONSTANT_RHO,
            POSITIVE_GAMMA,
            Hypothesis("rho", lambda f: f.rho.largest, ">", lambda f: 0.0, "rho > 0"),
            Hypothesis("lam", lambda f: f.lam.smallest, ">", lambda f: 0.0, "lam > 0"),
            Hypothesis("largest lam_t", lambda f: f.lam.largest, "=", lambda f: f.lam.smallest, "lam does not change"),
            Hypothesis(
                "gamma L (1 + rho (1 - lam) L)",
                lambda f: f.gamma.largest * f.L_f * (1 + f.rho.largest * (1 - f.lam.smallest) * f.L_f),
                "<",
                lambda f: 2.0,
                "gamma L (1 + rho (1 - lam) L) < 2: the ascent and descent do not diverge",
                step_limit=True,
            ),
        ),
        measure=Measure.PLATEAU,
        curve=plateau,
        suggest=_plateau_steps,
        constants={"plateau": "the plateau itself"},
        digits=6,
        families=(
            _figure_one("0.5", "diagonal"),
            _figure_one("1", "diagonal"),
            _figure_one("0.5", "rotated"),
            Family("random spectra", _random_plateau, quick=2, full=16),
            Family("ridge on diabetes", lambda rng, claim: _real_plateau(claim), full=1),
        ),
        controls=(
            Control(
                "lam and 1 - lam exchanged in the formula",
                lambda claim: given(
                    claim, "quadratic:d=5,mu=0.1,L=1,seed=2", "full", lam="0.25", gamma=0.5, rho=0.1, steps=20_000
                ),
                "trajectory",
                facts=lambda facts: replace(facts, lam=constant(1 - facts.lam.largest)),
            ),
            Control(
                "one part in 100,000 off",
                lambda claim: given(
                    claim, "quadratic:d=5,mu=0.1,L=1,seed=2", "full", lam="0.5", gamma=0.5, rho=0.1, steps=20_000
                ),
                "trajectory",
                scale={"plateau": 1.00001},
            ),
        ),
    )
)
