"""The edge of stability of SAM and of USAM on quadratics: how sharp a direction may be that a step still shrinks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.dynamics_cycle import BLOCK, SETTLED, settled_steps, spectrum_spec
from theory.dynamics import (
    ALL_NORMALISED,
    AWAY,
    CONVEX,
    FIXED_LAM,
    QUADRATIC,
    STABLE,
    coordinates,
    decisions,
    eigenbasis,
    factors,
    sam_edge,
    scattered,
    shrinking,
    suggest_steps,
    usam_edge,
)
from theory.families import given
from theory.setting import Facts, Setting, facts_of
from theory.trial import EPS, Lab, Measuring, NotMeasurable, Trial, Values, equal, times_of
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA

SAM_PAPER = "P. M. Long and P. L. Bartlett, Sharpness-Aware Minimization and the Edge of Stability, JMLR 25, 2024"
USAM_PAPER = (
    "Agarwala and Dauphin, SAM operates far from home: eigenvalue regularization as a dynamical phenomenon, ICML 2023"
)
FROM_CODE = "the formula was read in the authors' code; its derivation and the statement on quadratics are made here"
FIXED_STEPS = (IS_DETERMINISTIC, QUADRATIC, CONSTANT_GAMMA, CONSTANT_RHO, FIXED_LAM, POSITIVE_GAMMA)

Edge = Callable[[float, float, Values], Values]
"""(gamma, rho, ||g||) -> the edge, shape of ||g||."""

HUGE = 1e100
"""Divergent runs are looked at up to here: squares of larger numbers overflow."""


# -- SAM, coordinate by coordinate --


def _probed(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Values:
    """w in the eigenbasis, (P, d): the run while it is finite, and random directions with ||g|| such that the edge lies
    near each positive eigenvalue, or anywhere."""
    h, Q = eigenbasis(setting)
    run = coordinates(setting, lab.iterates(setting, times_of(steps))[0], Q)
    size = np.abs(run).max(axis=1)
    run = run[(size > 0) & (size < HUGE)]
    gamma, rho = facts.gamma.largest, facts.rho.largest
    near = h[(h > 0) & (gamma * h < 2)]
    offsets = np.array([sign * 10.0**-k for k in range(1, 9) for sign in (-1, 1)])
    norms = ((gamma * rho * near**2 / (2 - gamma * near))[:, None] * (1 + offsets)).ravel()
    anywhere = np.geomspace(1e-3, 1e3, 60) * max(rho, 1e-3) * np.abs(h).max()
    return np.concatenate([run, scattered(h, np.concatenate([norms[norms > 0], anywhere]))])


def shrinks_below(edge: Edge = sam_edge) -> Measuring:
    """For lambda_i > 0: |w+_i| < |w_i| if and only if lambda_i < edge(gamma, rho, ||g||)."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        h, _ = eigenbasis(setting)
        w = _probed(setting, facts, steps, lab)
        smaller, clear = shrinking(setting, facts, lab, w)
        limits = edge(facts.gamma.largest, facts.rho.largest, np.linalg.norm(w * h, axis=1))
        asked = clear & (h > 0)
        return decisions("coordinates after one step", smaller[asked], (h < limits[:, None])[asked])

    return measure


def _of_gradient_descent(gamma: float, rho: float, norms: Values) -> Values:
    return np.full(norms.shape, 2 / gamma)


def _slightly_wider(gamma: float, rho: float, norms: Values) -> Values:
    return np.asarray((1 + 1e-5) * sam_edge(gamma, rho, norms))


HAS_POSITIVE = Hypothesis(
    "largest eigenvalue",
    lambda f: f.spectrum[0] if f.spectrum else np.nan,
    ">",
    lambda f: 0.0,
    "some eigenvalue is positive",
)


def signed_spectrum(rng: np.random.Generator) -> str:
    """Two to six eigenvalues of either sign, the largest 1, in a random basis or its own."""
    rest = rng.uniform(0.05, 0.95, int(rng.integers(1, 6))) * rng.choice([-1.5, 1, 1])
    h = "/".join(["1", *(f"{value:.4g}" for value in rest)])
    return f"spectrum:h={h},seed={rng.integers(10**6)},basis={rng.choice(['diagonal', 'rotated'])}"


def _draw_sam(rng: np.random.Generator, claim: Claim) -> Instance:
    """Any quadratic, gamma lambda_1 up to 3, radii over four decades and none."""
    rho = 0.0 if rng.random() < 0.1 else round(float(10 ** rng.uniform(-3, 1)), 5)
    gamma = round(float(rng.uniform(0.05, 3)), 4)
    return given(claim, signed_spectrum(rng), lam="1", gamma=gamma, rho=rho, steps=60)


def _saddle(claim: Claim) -> Instance:
    return given(claim, "spectrum:h=1/0.5/-0.4,basis=rotated", lam="1", gamma=0.8, rho=0.2, steps=60)


claims.add(
    Claim(
        id="edge/sam",
        title="SAM's edge of stability decides, coordinate by coordinate, what a step shrinks",
        source=Source(SAM_PAPER, None, Provenance.DERIVED, FROM_CODE),
        kind=Kind.EXACT,
        statement=(
            r"\lambda_i>0,\ x_{t,i}\ne x^*_i:\quad|x_{t+1,i}-x^*_i|<|x_{t,i}-x^*_i|\iff\lambda_i<"
            r"\frac{\|g_t\|}{2\rho}\Big(\sqrt{1+\tfrac{8\rho}{\gamma\|g_t\|}}-1\Big),\ g_t=\nabla f(x_t)"
            r"\quad(\tfrac2\gamma\text{ at }\rho=0)"
        ),
        hypotheses=(*FIXED_STEPS, ALL_NORMALISED, HAS_POSITIVE),
        measure=Measure.OWN,
        trials={"coordinates": shrinks_below()},
        suggest=suggest_steps,
        families=(Family("random quadratics of either sign", _draw_sam, quick=12, full=120),),
        controls=(
            Control(
                "edge 2/gamma, as for gradient descent",
                _saddle,
                "coordinates",
                broken=lambda claim: replace(claim, trials={"coordinates": shrinks_below(_of_gradient_descent)}),
            ),
            Control(
                "edge one part in 10^5 wider",
                _saddle,
                "coordinates",
                broken=lambda claim: replace(claim, trials={"coordinates": shrinks_below(_slightly_wider)}),
            ),
        ),
        remarks=(
            "||g|| is that of the gradient at x_t, not at the perturbed point.",
            "It speaks of one step of a quadratic. As a statement about runs it refers to itself: ||g_t|| moves until"
            " the edge meets lambda_1.",
        ),
    )
)


# -- SAM, at the end of a run --


def edge_at_the_end(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """edge(||g_T||) at the end of a long run is lambda_1."""
    h, Q = eigenbasis(setting)
    w = coordinates(setting, lab.iterates(setting, [9 * steps // 10, steps])[0], Q)
    norms = np.linalg.norm(w * h, axis=1)
    if not norms[-1] > 0:
        raise NotMeasurable("the run landed exactly on the minimiser, a start of probability 0")
    if abs(norms[1] - norms[0]) > SETTLED * norms[1]:
        raise NotMeasurable(f"horizon too short: still moving after {steps} steps")
    seen = sam_edge(facts.gamma.largest, facts.rho.largest, norms[1:])
    return equal("end of the run", seen, h[:1], error=1e-12 * h[:1])


def _draw_limit(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, rho = spectrum_spec(rng), round(float(10 ** rng.uniform(-2, 0.3)), 4)
    gamma = round(float(rng.uniform(0.3, 1.9)), 4)
    steps = settled_steps(claim, problem, gamma, rho, "1")
    return given(claim, problem, lam="1", gamma=gamma, rho=rho, steps=steps)


claims.add(
    Claim(
        id="edge/sam-limit",
        title="On a convex quadratic SAM's edge moves to the largest eigenvalue",
        source=Source(SAM_PAPER, None, Provenance.DERIVED, FROM_CODE),
        kind=Kind.EXACT,
        statement=(
            r"0<\gamma\lambda_1<2,\ \text{a.e. }x_0,\ g_t=\nabla f(x_t):\quad"
            r"\frac{\|g_t\|}{2\rho}\Big(\sqrt{1+\tfrac{8\rho}{\gamma\|g_t\|}}-1\Big)\to\lambda_1"
        ),
        hypotheses=(*BLOCK, ALL_NORMALISED, STABLE),
        measure=Measure.OWN,
        trials={"limit": edge_at_the_end},
        suggest=suggest_steps,
        constants={"edge": "s lambda_1"},
        digits=12,
        families=(Family("random spectra", _draw_limit, quick=6, full=60),),
        controls=(
            Control(
                "a start without any component along the top eigenvector",
                lambda claim: given(claim, "spectrum:h=1/0.6/0.3", lam="1", gamma=0.8, rho=0.1, x0="0/1/1", steps=4000),
                "limit",
            ),
            Control(
                "one part in 10^9 off",
                lambda claim: given(claim, "spectrum:h=1/0.6/0.3", lam="1", gamma=0.8, rho=0.1, steps=4000),
                "limit",
                scale={"edge": 1 + 1e-9},
            ),
        ),
        remarks=("That SAM ends at its edge is automatic here: it says ||g_t|| tends to its value on the cycle.",),
    )
)


# -- USAM --

E_FOLDINGS = 40.0
"""By this many every coordinate must have shrunk or grown before a run is judged."""

NO_NORMALISED = Hypothesis("lam", lambda f: f.lam.largest, "=", lambda f: 0.0, "lam = 0: USAM, the unnormalised rule")


def _slowest(facts: Facts, h: Values) -> float:
    """The least |ln |factor_i||: e-foldings a step of the slowest coordinate."""
    return float(np.abs(np.log(np.abs(factors(facts, h, np.ones(1))[0]))).min())


def one_step_factors(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """One step multiplies coordinate i by 1 - gamma lambda_i (1 + rho lambda_i): the step from each v_i."""
    h, Q = eigenbasis(setting)
    after = coordinates(setting, lab.step(setting, setting.problem.centre + Q.T), Q)
    stated = 1 - facts.gamma.largest * h * (1 + facts.rho.largest * h)
    # Two products with H of d terms each; what they add up to is at most (1 + gamma L (1 + rho L)).
    error = np.full(h.size**2, 64 * EPS * len(h) * (2 + np.abs(stated).max()))
    return equal("one step from each eigenvector", after.ravel(), np.diag(stated).ravel(), error=error)


def converges(limit: Callable[[float, float], float] = usam_edge) -> Measuring:
    """The run goes to x* if and only if lambda_1 < limit(gamma, rho)."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        h = eigenbasis(setting)[0]
        if (slowest := _slowest(facts, h)) * steps < E_FOLDINGS:
            raise NotMeasurable(
                f"horizon too short: the slowest coordinate changes by {slowest * steps:.2g} e-foldings, {E_FOLDINGS:g}"
                " are needed"
            )
        run = lab.iterates(setting, [0, steps])[0] - setting.problem.centre
        distances = np.linalg.norm(run, axis=1)
        seen = np.array([distances[1] < distances[0]])
        stated = np.array([facts.spectrum[0] < limit(facts.gamma.largest, facts.rho.largest)])
        return decisions("end of the run nearer than its start", seen, stated)

    return measure


def _near_the_edge(rng: np.random.Generator, claim: Claim) -> Instance:
    """gamma such that gamma lambda_1 (1 + rho lambda_1) is 2 up to 1e-1 to 1e-4, on either side."""
    problem, rho = spectrum_spec(rng), round(float(10 ** rng.uniform(-2, 1)), 4)
    offset = float(rng.choice([-1, 1]) * 10 ** rng.uniform(-4, -1))
    gamma = float(f"{2 * (1 + offset) / (1 + rho):.8g}")
    facts = facts_of(given(claim, problem, lam="0", gamma=gamma, rho=rho, steps=1).setting)
    steps = math.ceil(1.01 * E_FOLDINGS / _slowest(facts, np.array(facts.spectrum)))
    return given(claim, problem, lam="0", gamma=gamma, rho=rho, steps=steps)


def _beyond(claim: Claim) -> Instance:
    """gamma lambda_1 = 1.8, and 3.6 with the perturbation."""
    return given(claim, "spectrum:h=1/0.6/0.3", lam="0", gamma=1.8, rho=1.0, steps=400)


claims.add(
    Claim(
        id="edge/usam",
        title="USAM converges on a convex quadratic exactly below its edge",
        source=Source(USAM_PAPER, None, Provenance.DERIVED, "abstract and introduction were read, not the theorems"),
        kind=Kind.EXACT,
        statement=(
            r"x_{t+1,i}-x^*_i=(1-\gamma\lambda_i(1+\rho\lambda_i))(x_{t,i}-x^*_i);\quad x_t\to x^*\ \text{(a.e. }x_0)"
            r"\iff\gamma\lambda_1(1+\rho\lambda_1)<2\iff\lambda_1<\frac1{2\rho}\Big(\sqrt{1+\tfrac{8\rho}\gamma}-1\Big)"
        ),
        hypotheses=(*FIXED_STEPS, CONVEX, NO_NORMALISED, AWAY),
        measure=Measure.OWN,
        trials={"factors": one_step_factors, "converges": converges()},
        suggest=suggest_steps,
        families=(Family("random spectra near the edge", _near_the_edge, quick=20, full=300),),
        controls=(
            Control(
                "edge 2/gamma, as for gradient descent",
                _beyond,
                "converges",
                broken=lambda claim: replace(claim, trials={"converges": converges(lambda gamma, rho: 2 / gamma)}),
            ),
            Control(
                "SAM in place of USAM",
                lambda claim: given(claim, "spectrum:h=1/0.6/0.3", lam="0", gamma=0.8, rho=0.1, steps=400),
                "factors",
                setting=lambda setting: setting.with_steps(gamma=setting.gamma, rho=setting.rho, lam=1.0),
            ),
        ),
        remarks=("It is SAM's edge with rho ||g|| for rho. At a manifold of minima it is necessary for convergence.",),
    )
)
