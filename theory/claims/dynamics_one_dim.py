"""SAM on a parabola: every iterate in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from problems.problem import Vector
from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.dynamics_cycle import BLOCK
from theory.dynamics import ABSTRACT_ONLY, ALL_NORMALISED, AWAY, PAPER, suggest_steps
from theory.families import given
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, Scale, Trial, Values, equal, times_of

LANDING = 1e-10
"""Runs that pass the minimiser more closely than this, relative to |w_0| + rho, may be rounded onto either side of it:
some hundred steps, each with a few EPS of error."""

HUGE = 1e100
"""Divergent runs are followed up to here: squares of larger numbers overflow."""


def _stiffness(facts: Facts) -> float:
    """a = gamma lambda."""
    return facts.gamma.largest * facts.spectrum[0] if facts.spectrum else math.nan


def _distance(facts: Facts) -> float:
    """|w_0| = ||g_0||/lambda; NaN where lambda is not positive."""
    convex = bool(facts.spectrum) and facts.spectrum[0] > 0
    return math.sqrt(facts.grad_norm2_0) / facts.spectrum[0] if convex else math.nan


def _crossing(facts: Facts) -> float:
    """ln(1 + |w_0|/rho)/(-ln(1 - a)) for a < 1: at this (real) time the run would meet the minimiser."""
    return math.log1p(_distance(facts) / facts.rho.largest) / -math.log1p(-_stiffness(facts))


def first_turn(facts: Facts) -> int:
    """t_1, the first time on the other side of the minimiser: 1 for a >= 1, else the crossing rounded up."""
    return 1 if _stiffness(facts) >= 1 else math.ceil(_crossing(facts))


def nearest_pass(facts: Facts) -> float:
    """How near the minimiser the run comes before it first turns, relative to |w_0| + rho; infinite for a >= 1."""
    if _stiffness(facts) >= 1:
        return math.inf
    if not _stiffness(facts) > 0 or facts.rho.largest == 0 or not _distance(facts) > 0:
        return math.nan
    start, rho = _distance(facts), facts.rho.largest
    times = max(round(_crossing(facts)), 1)
    return abs((1 - _stiffness(facts)) ** times * (start + rho) - rho) / (start + rho)


def closed_form(facts: Facts, times: Values) -> Vector:
    """w_t for w_0 > 0."""
    a, rho, w0 = _stiffness(facts), facts.rho.largest, _distance(facts)
    if a >= 1:
        # r + (a - 1)^t (w_0 - r) with r = a rho/(2 - a), written as a geometric sum that has no pole at a = 2.
        powers = (a - 1) ** times
        less_one = powers - 1 if a < 1.5 else np.expm1(times * math.log1p(a - 2))
        sums = times if a == 2 else less_one / (a - 2)
        return np.asarray((-1.0) ** times * (powers * w0 + a * rho * sums))
    turn = first_turn(facts)
    r = a * rho / (2 - a)
    before = (1 - a) ** np.minimum(times, turn) * (w0 + rho) - rho
    since = np.maximum(times - turn, 0)
    size = r + (a - 1) ** since * (abs(before[-1]) - r) if times[-1] >= turn else before
    return np.asarray(np.where(times < turn, before, -((-1.0) ** since) * size))


def _rounding(facts: Facts, times: Values, stated: Values) -> Values:
    """A dozen operations a step, forgotten at the rate 1 - |1 - a| where that contracts."""
    a = _stiffness(facts)
    memory = 1 / (1 - abs(1 - a)) if a < 2 else math.inf
    largest = np.maximum(np.abs(stated), _distance(facts) + a * facts.rho.largest)
    return np.asarray(12 * EPS * (1 + np.minimum(times, memory)) * largest)


def _run(setting: Setting, lab: Lab, times: Values) -> Values:
    """w_t with the sign of the start taken out."""
    w = lab.iterates(setting, times.astype(np.int64))[0, :, 0] - setting.problem.centre[0]
    return np.asarray(w * np.sign(setting.x0[0] - setting.problem.centre[0]))


def iterates(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """w_t itself, sign and all."""
    times = _times(facts, steps)
    stated = closed_form(facts, times)
    error = _rounding(facts, times, stated)
    return equal("iterates of a run", _run(setting, lab, times), stated, error=error, at=times)


def _last(facts: Facts, steps: int) -> int:
    """The horizon, or the last time before a divergence reaches `HUGE`."""
    factor = _stiffness(facts) - 1
    if factor <= 1:
        return steps
    return min(steps, int(math.log(HUGE / (_distance(facts) + facts.rho.largest)) / math.log(factor)))


def _times(facts: Facts, steps: int) -> Values:
    """Some dozens over the run, those around the first turn among them."""
    turn, last = first_turn(facts), _last(facts, steps)
    near = np.arange(turn - 2, turn + 3)
    return np.union1d(times_of(last), near[(near >= 0) & (near <= last)]).astype(np.float64)


def turning_time(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """t_1: on the first side until t_1 - 1, on the other at t_1, and on alternate sides from then on."""
    turn = first_turn(facts)
    last = min(turn + 50, _last(facts, steps))
    times = np.arange(max(last - 100, 0), last + 1, dtype=np.float64)
    sides = np.sign(_run(setting, lab, times))
    stated = np.where(times < turn, 1.0, -((-1.0) ** (times - turn)))

    def unscaled(scale: Scale) -> Values:
        return stated

    return Trial("sides of the minimiser", times, sides, unscaled, np.zeros(len(times)), "=")


ONE_DIMENSION = Hypothesis("d", lambda f: float(f.d), "=", lambda f: 1.0, "one dimension")
PASSES_BY = Hypothesis(
    "nearest pass before the first turn, relative to |w_0| + rho",
    nearest_pass,
    ">",
    lambda f: LANDING,
    "no iterate lands on the minimiser, where the next step is undefined: w_0 is none of rho ((1 - a)^-k - 1), k >= 1",
)


def _draw(rng: np.random.Generator, claim: Claim) -> Instance:
    """Any a in (0.02, 2.2), radii and starts over decades, either sign."""
    curvature = round(float(10 ** rng.uniform(-1, 1)), 3)
    gamma = round(float(rng.choice([rng.uniform(0.02, 1), rng.uniform(1, 2.2)])) / curvature, 6)
    rho, start = float(10 ** rng.uniform(-2, 1)), float(rng.choice([-1, 1]) * 10 ** rng.uniform(-2, 2))
    return given(
        claim, f"spectrum:h={curvature}", lam="1", gamma=gamma, rho=round(rho, 5), x0=f"{start:.6g}", steps=300
    )


def _fixed(gamma: float, rho: float, x0: str, steps: int) -> Instance:
    return given(claims["dynamics/one-dim"], "spectrum:h=1", lam="1", gamma=gamma, rho=rho, x0=x0, steps=steps)


def _rounded_down(claim: Claim) -> Claim:
    """The turn one step too early: the crossing rounded down."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = turning_time(setting, facts, steps, lab)
        return replace(found, stated=lambda scale: np.roll(np.asarray(found.stated({})), -1))

    return replace(claim, trials={"turning time": broken})


def _ends_in_a_cycle(claim: Claim) -> Claim:
    """|w_{t+2}| = |w_t| in the second half of the run."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        times = np.arange(steps // 2, steps + 1, dtype=np.float64)
        size = np.abs(_run(setting, lab, times))
        return equal("end of the run", size[2:], size[:-2], error=1e-9 * size[2:], at=times[2:])

    return replace(claim, trials={"iterates": broken})


claims.add(
    Claim(
        id="dynamics/one-dim",
        title="SAM on a parabola in closed form",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.EXACT,
        statement=(
            r"d=1,\ a=\gamma\lambda,\ w=x-x^*,\ w_0>0,\ r=\tfrac{a\rho}{2-a}:\quad "
            r"a<1:\ w_t=(1-a)^t(w_0+\rho)-\rho\ (t\le t_1),"
            r"\ t_1=\Big\lceil\tfrac{\ln(1+w_0/\rho)}{-\ln(1-a)}\Big\rceil,\ "
            r"|w_t|-r=(a-1)^{t-t_1}(|w_{t_1}|-r)\text{ with alternating signs after};\quad "
            r"a\ge1:\ w_t=(-1)^t\big(r+(a-1)^t(w_0-r)\big),\ \text{and }|w_t|=w_0+2\rho t\text{ at }a=2"
        ),
        hypotheses=(*BLOCK, ALL_NORMALISED, ONE_DIMENSION, AWAY, PASSES_BY),
        measure=Measure.OWN,
        trials={"iterates": iterates, "turning time": turning_time},
        suggest=suggest_steps,
        constants={"iterate": "s w_t"},
        digits=13,
        families=(
            Family("random parabolas", _draw, quick=20, full=300),
            Family("a = 1: on the cycle after one step", lambda rng, claim: _fixed(1.0, 0.1, "3", 50), full=1),
            Family("a = 2: linear growth", lambda rng, claim: _fixed(2.0, 0.1, "1", 100), full=1),
            Family("a small: a long way to the turn", lambda rng, claim: _fixed(0.001, 0.01, "10", 20_000), full=1),
        ),
        controls=(
            Control(
                "one part in 10^11 off",
                lambda claim: _fixed(0.3, 0.1, "2", 200),
                "iterates",
                scale={"iterate": 1 + 1e-11},
            ),
            Control(
                "the first turn one step earlier",
                lambda claim: _fixed(0.3, 0.1, "2", 200),
                "turning time",
                broken=_rounded_down,
            ),
            Control(
                "a = 2 ends in a cycle", lambda claim: _fixed(2.0, 0.1, "1", 100), "iterates", broken=_ends_in_a_cycle
            ),
            Control(
                "a start from which the first step lands on the minimiser",
                lambda claim: _fixed(0.5, 1.0, "1", 20),
                "iterates",
            ),
        ),
        remarks=("For a > 2 the iterates grow like (a - 1)^t.",),
    )
)
