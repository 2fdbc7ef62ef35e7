"""A tie at the top of the spectrum freezes a direction; how large gradients must be for which coordinates to shrink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.dynamics_cycle import BLOCK, SETTLED, settled_steps, spectrum_spec
from theory.dynamics import (
    ABSTRACT_ONLY,
    ALL_NORMALISED,
    PAPER,
    STABLE,
    coordinates,
    decisions,
    eigenbasis,
    radii,
    scattered,
    second_eigenvalue,
    shrinking,
    suggest_steps,
)
from theory.families import given
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, Measuring, NotMeasurable, Scale, Trial, Values, equal, times_of

# -- ties --

SAME = 1e-12
"""Eigenvalues that differ by no more than this part of the largest count as one: rounding of the eigensolver."""

TIED = Hypothesis(
    "lambda_1 - lambda_2",
    lambda f: f.spectrum[0] - second_eigenvalue(f) if f.spectrum else np.nan,
    "<=",
    lambda f: SAME * f.L_f,
    "the largest eigenvalue has multiplicity at least 2",
)


RECORDED = 5000
"""Steps of which every one is looked at: transients, in which the top part may be small, are over by then."""

LOST = 1e-3
"""Radians by which rounding may have turned the direction before a run says nothing about it any more."""


@dataclass(frozen=True)
class _Followed:
    """A run beside its first direction in the top eigenspace: times (K,); the parts of w along and across it there, and
    outside the space, each (K,); by how much rounding may have turned the direction so far, in radians (K,)."""

    times: Values
    along: Values
    across: Values
    outside: Values
    blur: Values


def _followed(setting: Setting, facts: Facts, steps: int, lab: Lab, same: float) -> _Followed:
    times = np.union1d(times_of(steps), np.arange(min(steps, RECORDED)))
    h, Q = eigenbasis(setting)
    w = coordinates(setting, lab.iterates(setting, times)[0], Q)
    if not np.isfinite(w).all():
        raise NotMeasurable("the run diverged")
    top = h >= h[0] * (1 - same)
    direction = w[0, top] / np.linalg.norm(w[0, top])
    along = w[:, top] @ direction
    across = np.linalg.norm(w[:, top] - along[:, None] * direction, axis=1)
    # Where H is not diagonal a step rounds each coordinate by EPS times the longest vector in it, d terms each.
    size = np.hypot(along, across)
    longest = size if _is_diagonal(setting) else np.linalg.norm(w, axis=1) + facts.rho.largest * facts.lam.largest
    blur = 16 * EPS * len(h) * np.cumsum(longest / size * np.diff(times, prepend=-1))
    if blur[-1] > LOST:
        raise NotMeasurable("rounding floor: the top part became so small on the way that rounding turned it")
    return _Followed(times.astype(np.float64), along, across, np.linalg.norm(w[:, ~top], axis=1), blur)


def _is_diagonal(setting: Setting) -> bool:
    H = setting.problem.hessian(setting.problem.centre)
    return not (H - np.diag(np.diag(H))).any()


def frozen(same: float) -> Measuring:
    """The projection onto the top eigenspace never turns: the part of it across the first direction is 0."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        run = _followed(setting, facts, steps, lab, same)
        turn = run.across / np.hypot(run.along, run.across)
        return equal("turn inside the top eigenspace", turn, np.zeros(len(turn)), error=run.blur, at=run.times)

    return measure


def limit(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The end of a long run is r_1 times that direction, up to sign."""
    run = _followed(setting, facts, steps, lab, SAME)
    sizes = np.hypot(np.hypot(run.along, run.across), run.outside)
    before = int(np.searchsorted(run.times, 0.9 * steps)) - 1
    if np.abs(sizes[before:] / sizes[-1] - 1).max() > SETTLED:
        raise NotMeasurable(f"horizon too short: still moving after {steps} steps")
    r = float(radii(facts, eigenbasis(setting)[0][:1])[0])
    measured = np.array([abs(run.along[-1]), run.across[-1], run.outside[-1]])

    def stated(scale: Scale) -> Values:
        return np.array([scale.get("radius", 1.0) * r, 0.0, 0.0])

    error = r * np.array([1e-12 + run.blur[-1] ** 2, run.blur[-1], 1e-12])
    return Trial("end of the run", np.arange(3, dtype=np.float64), measured, stated, error, "=")


def _tied_spectrum(rng: np.random.Generator, claim: Claim) -> Instance:
    """A random spectrum with its largest eigenvalue two to four times.

    Rotated only for gamma lambda_1 >= 1.3: below, a step may multiply the top part by almost 0, and rounding with a
    full H then turns it.
    """
    words = spectrum_spec(rng)
    lam = str(rng.choice(["1", "1", "0.5"]))
    rho = round(float(10 ** rng.uniform(-2, 0.3)), 4)
    stiffness = float(rng.uniform(0.3, 1.9))
    if stiffness < 1.3:
        words = words.replace("rotated", "diagonal")
    gamma = round(stiffness / (1 + rho * (1 - float(lam))), 4)
    # The simple spectrum has the same factors outside the top eigenspace.
    steps = settled_steps(claim, words, gamma, rho, lam)
    problem = words.replace("h=1", "h=" + "/".join(["1"] * int(rng.integers(2, 5))))
    return given(claim, problem, lam=lam, gamma=gamma, rho=rho, steps=steps)


def _nearly(claim: Claim) -> Instance:
    return given(claim, "spectrum:h=1/0.98/0.3", lam="1", gamma=0.8, rho=0.1, steps=1000)


def _blind_to_the_gap(claim: Claim) -> Claim:
    """Eigenvalues two parts in a hundred apart are taken for one."""
    return replace(claim, trials={"direction": frozen(0.03)})


claims.add(
    Claim(
        id="dynamics/ties",
        title="Where the largest eigenvalue is multiple, the first direction inside its eigenspace is kept for ever",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.EXACT,
        statement=(
            r"\lambda_1=\lambda_2,\ \hat v=\frac{P(x_0-x^*)}{\|P(x_0-x^*)\|},\ P\text{ onto the top eigenspace}:\quad "
            r"P(x_t-x^*)\parallel\hat v,\quad x_t-x^*-(-1)^ts\,r_1\hat v\to0,\ "
            r"r_1=\frac{\gamma\rho\lambda\lambda_1}{2-\gamma\lambda_1-\gamma\rho(1-\lambda)\lambda_1^2}"
        ),
        hypotheses=(*BLOCK, STABLE, TIED),
        measure=Measure.OWN,
        trials={"direction": frozen(SAME), "limit": limit},
        suggest=suggest_steps,
        constants={"radius": "s r_1"},
        digits=12,
        families=(Family("random spectra with a multiple top", _tied_spectrum, quick=6, full=60),),
        controls=(
            Control("eigenvalues 1 and 0.98 taken for a tie", _nearly, "direction", broken=_blind_to_the_gap),
            Control(
                "radius one part in 10^9 off",
                lambda claim: given(claim, "spectrum:h=1/1/0.4", lam="1", gamma=0.8, rho=0.1, steps=1000),
                "limit",
                scale={"radius": 1 + 1e-9},
            ),
        ),
        remarks=("A simple largest eigenvalue is needed for the direction of the cycle, not for its radius.",),
    )
)


# -- which coordinates shrink --


def gradient_thresholds(facts: Facts, h: Values) -> Values:
    """theta_i = gamma rho lambda_i^2/(2 - gamma lambda_i), the gradient norm on the cycle on e_i."""
    return np.asarray(h * radii(facts, h))


def _probed(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Values:
    """w in the eigenbasis, (P, d): a run from the start, and random directions with ||g|| around every theta_i."""
    h, Q = eigenbasis(setting)
    run = coordinates(setting, lab.iterates(setting, times_of(steps))[0], Q)
    offsets = np.array([sign * 10.0**-k for k in range(1, 9) for sign in (-1, 1)])
    norms = (gradient_thresholds(facts, h)[:, None] * (1 + offsets)).ravel()
    spread = np.geomspace(1e-3, 1e3, 60) * gradient_thresholds(facts, h[:1])[0]
    return np.concatenate([run, scattered(h, np.concatenate([norms, spread]))])


def coordinate_rule(factor: float = 1.0) -> Measuring:
    """|w+_i| < |w_i| if and only if ||g|| > factor theta_i."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        h, _ = eigenbasis(setting)
        w = _probed(setting, facts, steps, lab)
        smaller, clear = shrinking(setting, facts, lab, w)
        norms = np.linalg.norm(w * h, axis=1)
        stated = norms[:, None] > factor * gradient_thresholds(facts, h)
        return decisions("coordinates after one step", smaller[clear], stated[clear])

    return measure


def invariant_radius(facts: Facts) -> float:
    """G = max(1, 1/(2 - gamma lambda_1)) gamma rho lambda_1^2."""
    a = facts.gamma.largest * facts.spectrum[0]
    return max(1.0, 1 / (2 - a)) * facts.gamma.largest * facts.rho.largest * facts.spectrum[0] ** 2


def ball(radius: Callable[[Facts], float]) -> Measuring:
    """||g+|| <= G after one step from points with ||g|| <= G."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        h, Q = eigenbasis(setting)
        G = radius(facts)
        # The bound is attained along e_1: from G itself where gamma lambda_1 >= 1, from near 0 where it is smaller.
        norms = G * np.concatenate([1 - np.geomspace(1e-9, 1, 200, endpoint=False), np.geomspace(1e-9, 1, 200)])
        along = np.zeros((len(norms), len(h)))
        along[:, 0] = norms / h[0]
        w = np.concatenate([scattered(h, norms), along])
        after = coordinates(setting, lab.step(setting, setting.problem.centre + w @ Q.T), Q)
        seen = np.linalg.norm(after * h, axis=1)

        def stated(scale: Scale) -> Values:
            return np.full(len(seen), scale.get("radius", 1.0) * G)

        # Four products with H of d terms each, from points no longer than G/lambda_d and radii rho.
        size = h[0] * (np.linalg.norm(w, axis=1) + facts.rho.largest)
        return Trial(
            "one step from the ball", np.arange(len(seen), dtype=np.float64), seen, stated, 64 * EPS * len(h) * size
        )

    return measure


def _page_radius(facts: Facts) -> float:
    """gamma rho lambda_1^2, invariant for gamma lambda_1 <= 1."""
    return facts.gamma.largest * facts.rho.largest * facts.spectrum[0] ** 2


def _draw_contraction(rng: np.random.Generator, claim: Claim) -> Instance:
    gamma = round(float(rng.choice([rng.uniform(0.05, 1), rng.uniform(1, 1.95)])), 4)
    rho = round(float(10 ** rng.uniform(-2, 0.3)), 4)
    return given(claim, spectrum_spec(rng), lam="1", gamma=gamma, rho=rho, steps=100)


def _plain(claim: Claim, gamma: float) -> Instance:
    return given(claim, "spectrum:h=1/0.6/0.3", lam="1", gamma=gamma, rho=0.1, steps=100)


claims.add(
    Claim(
        id="dynamics/overall-contraction",
        title="Which coordinates a step of SAM shrinks, and a ball of gradients that it never leaves",
        source=Source(PAPER, None, Provenance.DERIVED, f"{ABSTRACT_ONLY}; so is the ball for 1 < gamma lambda_1 < 2"),
        kind=Kind.INVARIANCE,
        statement=(
            r"|x_{t+1,i}-x^*_i|<|x_{t,i}-x^*_i|\iff\|\nabla f(x_t)\|>\theta_i=\frac{\gamma\rho\lambda_i^2}"
            r"{2-\gamma\lambda_i}\ (x_{t,i}\ne x^*_i);\quad\|\nabla f(x_t)\|\le G\Rightarrow\|\nabla f(x_{t+1})\|\le G,"
            r"\ G=\max\Big(1,\frac1{2-\gamma\lambda_1}\Big)\gamma\rho\lambda_1^2"
        ),
        hypotheses=(*BLOCK, ALL_NORMALISED, STABLE),
        measure=Measure.OWN,
        trials={"coordinates": coordinate_rule(), "ball": ball(invariant_radius)},
        suggest=suggest_steps,
        constants={"radius": "s G, where one step from the ball ||g|| <= G ends"},
        families=(Family("random spectra", _draw_contraction, quick=8, full=80),),
        controls=(
            Control(
                "the ball gamma rho lambda_1^2 at gamma lambda_1 = 1.6",
                lambda claim: _plain(claim, 1.6),
                "ball",
                broken=lambda claim: replace(claim, trials={"ball": ball(_page_radius)}),
            ),
            Control(
                "0.999 of the ball, gamma lambda_1 = 0.8",
                lambda claim: _plain(claim, 0.8),
                "ball",
                scale={"radius": 0.999},
            ),
            Control(
                "0.999 of the ball, gamma lambda_1 = 1.6",
                lambda claim: _plain(claim, 1.6),
                "ball",
                scale={"radius": 0.999},
            ),
            Control(
                "thresholds one part in 10^5 off",
                lambda claim: _plain(claim, 0.8),
                "coordinates",
                broken=lambda claim: replace(claim, trials={"coordinates": coordinate_rule(1 + 1e-5)}),
            ),
        ),
        remarks=(
            "For gamma lambda_1 <= 1 the ball has the radius gamma rho lambda_1^2; beyond, theta_1, that of the cycle.",
            "theta_i grows with lambda_i: all coordinates shrink above theta_1, all grow below theta_d.",
        ),
    )
)
