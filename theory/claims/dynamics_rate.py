"""How fast SAM on a quadratic reaches its cycle: a certified linear rate, and the escape from a lower cycle."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.dynamics_cycle import BLOCK, spectrum_spec
from theory.dynamics import (
    ABSTRACT_ONLY,
    ALL_NORMALISED,
    PAPER,
    SIMPLE_TOP,
    STABLE,
    coordinates,
    curvatures,
    eigenbasis,
    multipliers,
    potential_above,
    radii,
    second_eigenvalue,
    suggest_steps,
)
from theory.families import given
from theory.setting import Facts, Setting, facts_of
from theory.trial import EPS, Lab, NotMeasurable, Scale, Trial, Values

# -- the certified rate --


def _second_curvature(facts: Facts) -> float:
    """c_2; infinite in one dimension."""
    second = second_eigenvalue(facts) if facts.spectrum else math.nan
    return float(curvatures(facts, np.array([second]))[0]) if not second <= 0 else math.inf


def largest_potential(facts: Facts) -> float:
    """The largest J(u_0) that f(x_0) - f* and ||g_0|| allow, equal to J(u_0) in one and two dimensions; NaN where there
    is no J.

    J = (2 ||w||^2 - gamma w' H w)/(2 gamma rho) - ||g|| and 1/lambda <= (lambda_1 + lambda_d - lambda)/(lambda_1
    lambda_d) on the spectrum, so that ||w||^2 <= ((lambda_1 + lambda_d) w' H w - ||g||^2)/(lambda_1 lambda_d).
    """
    gamma, rho = facts.gamma.largest, facts.rho.largest
    if not facts.spectrum or facts.spectrum[-1] <= 0 or gamma * rho == 0:
        return math.nan
    high, low = facts.spectrum[0], facts.spectrum[-1]
    energy, norm2 = 2 * facts.gap0, facts.grad_norm2_0
    distance2 = ((high + low) * energy - norm2) / (high * low)
    return (2 * distance2 - gamma * energy) / (2 * gamma * rho) - math.sqrt(norm2)


IN_THE_BASIN = Hypothesis(
    "J(u_0), at most",
    largest_potential,
    "<",
    lambda f: float(np.divide(-1, 2 * _second_curvature(f))),
    "J(u_0) < -1/(2 c_2), lower than on the second cycle, as f(x_0) - f* and ||grad f(x_0)|| certify it",
)


def certified_rate(facts: Facts, c: Values, start: float) -> float:
    """kappa_* = gamma^2 rho lambda_d^3 c_1 min(1, c_1 (c_2 - b)/(4 b^2)), b = -1/(2 J(u_0)), from start = J(u_0)."""
    b = -1 / (2 * start)
    second = c[1] if len(c) > 1 else math.inf
    gentle = facts.gamma.largest**2 * facts.rho.largest * facts.spectrum[-1] ** 3 * c[0]
    return float(gentle * min(1.0, c[0] * (second - b) / (4 * b**2)))


def falls_linearly(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """J(u_t) - J_* <= (1 - kappa_*)^t (J(u_0) - J_*)."""
    h, Q = eigenbasis(setting)
    c = curvatures(facts, h)
    times = np.arange(steps + 1)
    # J is even, so the signs of u_t do not matter.
    above = potential_above(c, coordinates(setting, lab.iterates(setting, times)[0], Q) * h)
    least = -1 / (2 * c[0])
    kappa = certified_rate(facts, c, least + above[0])

    def stated(scale: Scale) -> Values:
        return np.asarray(max(1 - scale.get("rate", 1.0) * kappa, 0.0) ** times[1:].astype(float) * above[0])

    # Each step adds the rounding of some dozens of operations, and the contraction forgets it at the rate kappa_*.
    error = 64 * EPS * (abs(least) + above[0]) * np.minimum(times[1:] + 1.0, 1 / kappa if kappa > 0 else np.inf)
    return Trial("every step of a run", times[1:].astype(float), above[1:], stated, error)


def _written(point: Values) -> str:
    """A start as `--x0` reads it."""
    return "/".join(f"{entry:.12g}" for entry in point)


def _certified_start(rng: np.random.Generator, claim: Claim) -> Instance:
    """A random spectrum and a start drawn around the cycle until it is certified."""
    problem = spectrum_spec(rng)
    gamma, rho = round(float(rng.uniform(0.1, 1.9)), 4), round(float(10 ** rng.uniform(-2, 0.3)), 4)
    made = given(claim, problem, lam="1", gamma=gamma, rho=rho, steps=1).setting
    h, Q = eigenbasis(made)
    r, size = radii(facts_of(made), h)[0], 1.0
    while True:
        w = size * r * rng.standard_normal(len(h)) * h[0] / h
        w[0] = r * (1 + size * rng.uniform(-1, 1))
        instance = given(
            claim, problem, lam="1", gamma=gamma, rho=rho, x0=_written(made.problem.centre + Q @ w), steps=400
        )
        if claim.admits(facts_of(instance.setting)):
            return instance
        size *= 0.9


def _near_tie(rng: np.random.Generator, claim: Claim) -> Instance:
    """lambda_2 = 0.99, gamma lambda_1 = 1 and a small tilt: J falls by mu_2^2 = 0.9411 a step, 0.9926 is certified."""
    return given(claim, "spectrum:h=1/0.99", lam="1", gamma=1.0, rho=0.1, x0="0.1/0.001", steps=200, origin="tight")


def _attained(rng: np.random.Generator, claim: Claim) -> Instance:
    """One dimension: J is a parabola there and kappa_* = gamma lambda (2 - gamma lambda), the exact rate."""
    return given(claim, "spectrum:h=1", lam="1", gamma=0.3, rho=0.1, x0="0.03", steps=60, origin="tight")


def _nearly_attained(rng: np.random.Generator, claim: Claim) -> Instance:
    """Two dimensions, along v_1: kappa_* is the rate times (lambda_2/lambda_1)^3 where c_2 >= 5 c_1 or so."""
    return given(claim, "spectrum:h=1/0.97", lam="1", gamma=1.99, rho=0.01, x0="2/0.000001", steps=100, origin="tight")


def _on_the_second_cycle(claim: Claim) -> Claim:
    """The start taken for certified half-way between the two lowest cycles."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = falls_linearly(setting, facts, steps, lab)
        c = curvatures(facts, eigenbasis(setting)[0])
        kappa = certified_rate(facts, c, -1 / (c[0] + c[1]))
        first = found.stated({})[0]
        return replace(found, stated=lambda scale: (1 - kappa) ** found.at * first)

    return replace(claim, trials={"potential": broken})


claims.add(
    Claim(
        id="dynamics/linear-rate",
        title="A certified basin of SAM's cycle on a quadratic, with a linear rate",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.UPPER,
        statement=(
            r"\lambda_1>\lambda_2,\ J(u_0)=-\tfrac1{2b}<-\tfrac1{2c_2}:\quad J(u_t)-J_*\le(1-\kappa_*)^t(J(u_0)-J_*),"
            r"\quad\kappa_*=\gamma^2\rho\lambda_d^3c_1\min\Big\{1,\frac{c_1(c_2-b)}{4b^2}\Big\},\quad "
            r"c_i=\frac{2-\gamma\lambda_i}{\gamma\rho\lambda_i^2},\ J(u)=\tfrac12u^\top Cu-\|u\|,\ "
            r"J_*=-\tfrac1{2c_1},\ u_t=(-1)^t\nabla f(x_t);\ \text{so }x_t\text{ reaches the 2-cycle on }v_1"
        ),
        hypotheses=(*BLOCK, ALL_NORMALISED, STABLE, SIMPLE_TOP, IN_THE_BASIN),
        measure=Measure.OWN,
        trials={"potential": falls_linearly},
        suggest=suggest_steps,
        constants={"rate": "the factor 1 - s kappa_*: how many times faster than claimed"},
        families=(
            Family("random certified starts", _certified_start, quick=8, full=80),
            Family("near tie, small tilt", _near_tie, full=1),
            Family("one dimension: attained", _attained, full=1),
            Family("stiff, near tie, along the first eigenvector", _nearly_attained, full=1),
        ),
        controls=(
            Control(
                "12 times the rate, near a tie",
                lambda claim: _near_tie(np.random.default_rng(0), claim),
                "potential",
                scale={"rate": 12.0},
            ),
            Control(
                "1.01 times the rate, in one dimension",
                lambda claim: _attained(np.random.default_rng(0), claim),
                "potential",
                scale={"rate": 1.01},
            ),
            Control(
                "1.15 times the rate, in two dimensions",
                lambda claim: _nearly_attained(np.random.default_rng(0), claim),
                "potential",
                scale={"rate": 1.15},
            ),
            Control(
                "a start on the second cycle, which never moves, taken for certified",
                lambda claim: given(claim, "spectrum:h=1/0.5", lam="1", gamma=1.0, rho=0.3, x0="0/0.1", steps=2000),
                "potential",
                broken=_on_the_second_cycle,
            ),
        ),
        remarks=(
            "J(u_0) itself is what has to be small. The hypothesis reads an upper bound on it, from f(x_0) - f* and"
            " ||grad f(x_0)||, which is J(u_0) in up to two dimensions; the rate is that of J(u_0).",
        ),
    )
)


# -- escape from a lower cycle --

TILTS: Values = np.asarray(10.0 ** -np.arange(3, 13), dtype=np.float64)
"""delta, relative to the second cycle's radius."""


def escape_times(setting: Setting, facts: Facts, steps: int, lab: Lab, tilts: Values = TILTS) -> Values:
    """For each delta, the first t with |g_1| >= |g_2| from r_2 (e_2 + delta e_1)."""
    h, Q = eigenbasis(setting)
    r = float(radii(facts, h[1:2])[0])
    found = []
    for delta in tilts:
        w0 = np.zeros(len(h))
        w0[:2] = delta * r, r
        moved = replace(setting, x0=np.asarray(setting.problem.centre + Q @ w0))
        w = coordinates(moved, lab.iterates(moved, np.arange(steps + 1))[0], Q)
        over = np.flatnonzero(np.abs(h[0] * w[:, 0]) >= np.abs(h[1] * w[:, 1]))
        if len(over) == 0:
            raise NotMeasurable(f"horizon too short: still near the second cycle after {steps} steps")
        found.append(int(over[0]))
    return np.array(found, dtype=np.float64)


def _escape(setting: Setting, facts: Facts, steps: int, lab: Lab, *, late: bool) -> Trial:
    times = escape_times(setting, facts, steps, lab)
    h = eigenbasis(setting)[0]
    growth = math.log(abs(multipliers(facts, h, 1)[0]))
    expected = np.log(TILTS[0] / TILTS[1:]) / growth

    def stated(scale: Scale) -> Values:
        return np.asarray(scale.get("latest" if late else "earliest", 1.0) * expected + (1.0 if late else -1.0))

    # What rounding adds to the tilt, summed over the way out, and terms of second order in the largest tilt.
    noise = 64 * EPS / (TILTS[1:] * (1 - math.exp(-growth))) + 100 * TILTS[0] ** 2
    return Trial(
        "first steps with |g_1| >= |g_2|",
        -np.log10(TILTS[1:]),
        times[1:] - times[0],
        stated,
        noise / growth,
        "<=" if late else ">=",
    )


def not_later(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """N(delta) - N(10^-3) <= ln(10^-3/delta)/ln|mu_1| + 1."""
    return _escape(setting, facts, steps, lab, late=True)


def not_earlier(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """N(delta) - N(10^-3) >= ln(10^-3/delta)/ln|mu_1| - 1."""
    return _escape(setting, facts, steps, lab, late=False)


def _escape_instance(claim: Claim, problem: str, gamma: float, rho: float) -> Instance:
    """A horizon of twice the expected time from the smallest tilt, and a hundred steps."""
    made = given(claim, problem, lam="1", gamma=gamma, rho=rho, steps=1)
    facts = facts_of(made.setting)
    growth = math.log(abs(multipliers(facts, np.array(facts.spectrum), 1)[0]))
    steps = int(2 * math.log(1 / TILTS[-1]) / growth) + 100
    return given(claim, problem, lam="1", gamma=gamma, rho=rho, steps=steps)


def _draw_escape(rng: np.random.Generator, claim: Claim) -> Instance:
    rho = round(float(10 ** rng.uniform(-2, 0.3)), 4)
    return _escape_instance(claim, spectrum_spec(rng), round(float(rng.uniform(0.1, 1.9)), 4), rho)


def _plain_escape(claim: Claim) -> Instance:
    return _escape_instance(claim, "spectrum:h=1/0.8/0.3", 0.8, 0.1)


TWO_DIRECTIONS = Hypothesis("d", lambda f: float(f.d), ">=", lambda f: 2.0, "there is a second direction")

claims.add(
    Claim(
        id="dynamics/escape-time",
        title="From a lower cycle SAM escapes after logarithmically many steps",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.UPPER,
        statement=(
            r"x_0-x^*=r_2(v_2+\delta v_1),\ N(\delta)=\min\{t:|g_{t,1}|\ge|g_{t,2}|\}:\quad "
            r"N(\delta)=\frac{\ln(1/\delta)}{\ln|\mu_1|}+O(1),\quad"
            r"\Big|N(\delta)-N(\delta')-\frac{\ln(\delta'/\delta)}{\ln|\mu_1|}\Big|\le1+O(\delta'^2)\ (\delta<\delta'),"
            r"\quad\mu_1=1-\gamma\lambda_1-(2-\gamma\lambda_2)\frac{\lambda_1^2}{\lambda_2^2}"
        ),
        hypotheses=(*BLOCK, ALL_NORMALISED, STABLE, TWO_DIRECTIONS, SIMPLE_TOP),
        measure=Measure.OWN,
        trials={"not later": not_later, "not earlier": not_earlier},
        suggest=suggest_steps,
        constants={
            "latest": "s ln(delta'/delta)/ln|mu_1| + 1, the latest escape",
            "earliest": "s ln(delta'/delta)/ln|mu_1| - 1, the earliest",
        },
        families=(
            Family("random spectra", _draw_escape, quick=6, full=60),
            Family("lambda_2 = 0.8 lambda_1", lambda rng, claim: _plain_escape(claim), full=1),
            Family(
                "near tie: slow",
                lambda rng, claim: _escape_instance(claim, "spectrum:h=1/0.99", 1.0, 0.1),
                full=1,
            ),
        ),
        controls=(
            Control("nine tenths of the time", _plain_escape, "not later", scale={"latest": 0.9}),
            Control("eleven tenths of the time", _plain_escape, "not earlier", scale={"earliest": 1.1}),
        ),
        remarks=(
            "Runs from small tilts follow one unstable curve, on which a step multiplies the tilt by mu_1: a smaller"
            " tilt takes ln(delta'/delta)/ln|mu_1| steps more, up to whole steps. The setting's start is not read.",
        ),
    )
)
