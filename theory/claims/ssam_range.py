"""The step sizes with which a rule converges on a quadratic: renormalising gives back the range of gradient descent.

SSAM converges linearly to x* for every 0 < gamma L < 2, every rho and start, and either ascent. In the eigenbasis, with
s = rho or rho/||g|| and q = ||g||/||ga||, each coordinate is multiplied by 1 - gamma q lambda (1 + s lambda).
(1) q (1 + s lambda) lies between lambda/L and lambda/mu, so that multipliers are bounded, and at most
1 - gamma lambda^2/L.
(2) Take the distinct eigenvalues upwards, and let the coordinates below the j-th decay geometrically. Where their part
of g is at most epsilon times the rest, q (1 + s lambda_j) <= sqrt(1 + epsilon^2), because the rest of ga is stretched
at least as much; with gamma lambda_j < 2 and epsilon small the j-th coordinate contracts. Elsewhere it is itself
bounded by what decays, and one bounded step does not change that. So the j-th decays geometrically too.
(3) On the top eigenvector SSAM is gradient descent, which fails from gamma L = 2 on.
USAM is linear, x+ - x* = (I - gamma H (I + rho H))(x - x*): it converges from every start iff gamma L (1 + rho L) < 2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.dynamics import CONVEX, QUADRATIC, eigenbasis
from theory.families import given
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.ssam import NORMALISED, NOT_READ, PAPER, UNNORMALISED, with_method
from theory.trial import Lab, Scale, Trial, Values
from theory.unified_sam import CONSTANT_RHO, IS_DETERMINISTIC

FRACTIONS = np.array([0.3, 0.6, 0.9, 0.96, 0.99, 1.01, 1.04, 1.1])
"""Of the longest step, at which runs are made."""

RULES = ("sgd", "usam", UNNORMALISED, NORMALISED)

SHRUNK = 1e-3
"""A run counts as converging when it has come this much nearer to x*."""


def longest_step(rule: str, facts: Facts) -> float:
    """2/L, and for USAM 2/(L (1 + rho L))."""
    return 2 / facts.L_f / (1 + facts.rho.largest * facts.L_f if rule == "usam" else 1.0)


def _comes_nearer(setting: Setting, gamma: float, rho: float, steps: int, lab: Lab) -> bool:
    """From the setting's own start and from the top eigenvector."""
    centre = setting.problem.centre
    top = eigenbasis(setting)[1][:, 0]
    for start in (setting.x0, centre + np.linalg.norm(setting.x0 - centre) * top):
        run = replace(setting.with_steps(gamma=gamma, rho=rho), x0=start)
        w = np.linalg.norm(lab.iterates(run, [0, steps])[0] - centre, axis=1)
        if not w[1] <= SHRUNK * w[0]:
            return False
    return True


def ranges(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """1 where the run with this step converges, 0 where it does not; all fractions of each rule in turn."""
    measured, fractions = [], []
    for rule in RULES:
        under = with_method(setting, rule)
        for part in FRACTIONS:
            gamma = part * longest_step(rule, facts)
            measured.append(float(_comes_nearer(under, gamma, facts.rho.largest, steps, lab)))
            fractions.append(part)
    parts = np.array(fractions)

    def stated(scale: Scale) -> Values:
        return np.asarray((parts < scale.get("range", 1.0)).astype(float))

    return Trial("runs with steps around the limit", np.arange(len(parts), dtype=float), np.array(measured), stated,
                 np.full(len(parts), 0.5), "=")  # fmt: skip


def _usam_like_ssam(claim: Claim) -> Claim:
    """USAM as if it, too, had the range of gradient descent."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        under = with_method(setting, "usam")
        gammas = FRACTIONS * 2 / facts.L_f
        found = [float(_comes_nearer(under, gamma, facts.rho.largest, steps, lab)) for gamma in gammas]
        wanted = (FRACTIONS < 1).astype(float)
        return Trial("runs with steps around the limit", FRACTIONS, np.array(found), lambda scale: wanted,
                     np.full(len(wanted), 0.5), "=")  # fmt: skip

    return replace(claim, trials={"ranges": broken})


def draw(rng: np.random.Generator, claim: Claim) -> Instance:
    """Several eigenvalues, any radius."""
    mu = float(f"{rng.uniform(0.05, 0.5):.3g}")
    problem = f"quadratic:d={rng.integers(2, 7)},mu={mu},L=1,seed={rng.integers(10**6)},spectrum=uniform,basis=diagonal"
    return _instance(claim, problem, float(f"{10 ** rng.uniform(-1, 1.3):.3g}"), mu)


def _instance(claim: Claim, problem: str, rho: float, mu: float, *, tight: bool = False) -> Instance:
    """Long enough for the smallest of the steps that should converge: 30 e-foldings of the slowest coordinate, at rate
    gamma mu^2/L at least, and of the fastest at 0.99 of the limit."""
    steps = int(30 / min(0.6 / (1 + rho) * mu * (1 + rho * mu), 0.6 * mu**2, 0.02))
    return given(claim, problem, gamma=0.5, rho=rho, steps=steps, origin="tight" if tight else "synthetic")


def _paper(mu: float, rho: float) -> Family:
    return Family(
        f"diag({mu:g}, 1), rho = {rho:g}",
        lambda rng, claim: _instance(claim, f"spectrum:h={mu:g}/1", rho, mu, tight=True),
        full=1,
    )


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part / facts.L_f), constant(rho_part / facts.L_f)


def _plain(claim: Claim) -> Instance:
    return _instance(claim, "spectrum:h=0.1/1", 1.0, 0.1)


claims.add(
    Claim(
        id="ssam/step-range",
        title="SSAM converges on a quadratic with every step that gradient descent may take",
        source=Source(PAPER, None, Provenance.DERIVED, f"{NOT_READ}; shape: 'extends the regime of learning rate'"),
        kind=Kind.EXACT,
        statement=(
            r"H\succ0,\ \rho\ge0:\quad x_t\to x^*\text{ from every }x_0\iff\gamma L<2\ "
            r"\text{(GD; SSAM, either ascent)},\quad\gamma L(1+\rho L)<2\ \text{(USAM)}"
        ),
        hypotheses=(QUADRATIC, CONVEX, IS_DETERMINISTIC, CONSTANT_RHO),
        measure=Measure.OWN,
        trials={"ranges": ranges},
        suggest=_suggest,
        constants={"range": "s times the longest step"},
        method=UNNORMALISED,
        families=(
            Family("random spectra", draw, quick=3, full=40),
            _paper(0.1, 1),
            _paper(0.05, 1),
            _paper(0.1, 5),
            _paper(0.05, 20),
        ),
        controls=(
            Control("USAM with the range of gradient descent", _plain, "ranges", broken=_usam_like_ssam),
            Control("a range 1.02 times as long", _plain, "ranges", scale={"range": 1.02}),
            Control("a range 0.98 times as long", _plain, "ranges", scale={"range": 0.98}),
        ),
        remarks=(
            "Runs are made at parts of the longest step of each rule; the setting's own gamma is not read.",
            "The proof gives geometric convergence without a useful rate; rates hold in the smaller ranges of "
            "ssam/quadratic-rate and ssam/normalised-rate.",
        ),
    )
)
