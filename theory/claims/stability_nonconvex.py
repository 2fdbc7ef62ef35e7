"""Uniform stability of SGD on bounded nonconvex losses, with steps of order 1/t.

With E delta_T split at the first k steps (the changed example is drawn among them with probability at most k/n), q =
(1 - 1/n) beta c and u = 2 c L^2,

    eps_stab <= E min(1, L delta_T) <= k/n + (u/n) sum_{k < t <= T} (1/t) (T/t)^q    for every k = 0, 1, ...

The best k is floor(tau), tau = (u T^q)^(1/(q+1)), where the right side is (1/n) sum_t min(1, (tau/t)^(q+1)), at most
(1/n) integral_0^inf min(1, (tau/t)^(q+1)) dt = (1 + 1/q) tau/n. Taking beta c for q makes that larger, or at least T/n.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.stability_convex import scheduled
from theory.schedules import Schedule, constant
from theory.setting import Facts
from theory.stability import COUPLED, NOT_READ, PAPER, losses_of, trials_of
from theory.step_schedules import harmonic
from theory.trial import Values
from theory.unified_sam import POSITIVE_GAMMA


def nonconvex_bound(facts: Facts, t: Values) -> Values:
    """(1 + 1/(beta c))/(n - 1) (2 c L^2)^(1/(beta c + 1)) T^(beta c/(beta c + 1)), c = gamma_0."""
    losses, c = losses_of(facts), float(facts.gamma.at(0))
    q = losses.smoothness * c
    size = (2 * c * losses.lipschitz**2) ** (1 / (q + 1)) * t ** (q / (q + 1))
    return np.asarray((1 + 1 / q) / (facts.n - 1) * size)


_PROBES = np.unique(np.geomspace(1, 10**7, 200).astype(np.int64)) - 1


def _largest_product(facts: Facts) -> float:
    """max_t (t + 1) gamma_t."""
    return float(np.max((_PROBES + 1) * facts.gamma.at(_PROBES)))


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return harmonic(part), constant(0.0)


def _cosines(n: int, c: float, steps: int) -> Family:
    return Family(
        f"cosines, n = {n}, c = {c:g}, T = {steps}",
        lambda rng, claim: scheduled(
            claim, f"cosine-losses:n={n},seed={rng.integers(10**6)}", f"harmonic:start={c!r}", steps
        ),
        quick=1,
        full=4,
    )


def _one_long_step(claim: Claim) -> Instance:
    """T = 1 and c = 101 pi: the changed example is drawn with probability 1/n, and then the two losses are 0 and 1."""
    return scheduled(
        claim, "cosine-losses:n=20,examples=aligned", f"harmonic:start={101 * math.pi!r}", 1, origin="tight"
    )


def _moderate(claim: Claim) -> Instance:
    return scheduled(claim, "cosine-losses:n=20,seed=1", "harmonic:start=1", 400)


claims.add(
    Claim(
        id="stability/nonconvex",
        title="Uniform stability of SGD on bounded nonconvex losses (C4)",
        source=Source(PAPER, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.UPPER,
        statement=(
            r"\ell\in[0,1],\ \gamma_t\le\tfrac c{t+1}:\quad"
            r"\epsilon_{\mathrm{stab}}\le\mathbb E\min(1,L_\ell\|w_T-w_T'\|)\le"
            r"\tfrac{1+1/(\beta c)}{n-1}(2cL_\ell^2)^{\frac1{\beta c+1}}T^{\frac{\beta c}{\beta c+1}}"
        ),
        hypotheses=(
            *COUPLED,
            Hypothesis(
                "smoothness", lambda f: losses_of(f).smoothness, ">", lambda f: 0.0, "the losses are beta-smooth"
            ),
            Hypothesis("lowest loss", lambda f: losses_of(f).lowest, ">=", lambda f: 0.0, "losses are at least 0"),
            Hypothesis("highest loss", lambda f: losses_of(f).highest, "<=", lambda f: 1.0, "losses are at most 1"),
            POSITIVE_GAMMA,
            Hypothesis(
                "largest (t + 1) gamma_t",
                _largest_product,
                "<=",
                lambda f: float(f.gamma.at(0)) * (1 + 1e-12),
                "gamma_t <= gamma_0/(t + 1), up to rounding: c = gamma_0",
            ),
        ),
        measure=Measure.OWN,
        trials=trials_of(nonconvex_bound, cap=1.0),
        suggest=_suggest,
        constants={"bound": "the part of the bound that would do"},
        method="sgd",
        families=(
            _cosines(20, 1.0, 400),
            _cosines(20, 4.0, 400),
            _cosines(80, 4.0, 2000),
            _cosines(4, 0.5, 50),
            Family("one long step", lambda rng, claim: _one_long_step(claim), full=1),
        ),
        controls=(
            Control("0.9 of the bound, one long step", _one_long_step, "index sequences", scale={"bound": 0.9}),
            Control(
                "0.9 of the bound, one long step, over the examples", _one_long_step, "examples", scale={"bound": 0.9}
            ),
            Control(
                "a rate of 1/n^2 (loose)", _moderate, "coupled runs", facts=lambda facts: replace(facts, n=facts.n**2)
            ),
        ),
        remarks=(
            "For T > 1 only loose controls are known: the bound is some ten times what is measured.",
            "A bound above 1 says nothing.",
            "The proof bounds E min(1, L delta_T), not L E delta_T.",
        ),
    )
)
