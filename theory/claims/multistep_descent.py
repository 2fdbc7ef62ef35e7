"""The descent side of multi-step SAM: averaging, the second direction, the 2-cycle, and one dimension."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.multistep_path import BASE, spectrum_spec
from theory.families import given
from theory.multistep import (
    CONVEX,
    NOTE,
    PAPER,
    PERTURBED,
    SEVERAL,
    descent_gradients,
    gradients,
    points,
    suggest_steps,
    unit,
)
from theory.setting import Facts, Setting
from theory.ssam import with_method
from theory.trial import EPS, Lab, NotMeasurable, Scale, Trial, Values, equal
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA

XSAM = "XSAM, ICLR 2026, arXiv 2603.10048"

LAST, AVERAGE, AVERAGE_START = 0.0, 1.0, 2.0
"""Places of the descent rules in the method's list."""

BUDGET = Hypothesis(
    "ascent rule (0: fixed budget)", lambda f: f.parameters.get("ascent", 0.0), "=", lambda f: 0.0, "fixed budget"
)


def effective_radius(facts: Facts) -> float:
    """rho of single-step SAM to which the averaged descent gradient belongs: rho (n + 1)/(2 n) over j = 1..n, rho/2
    over j = 0..n, and rho itself for the last gradient."""
    n, descent = facts.parameters.get("steps", 1.0), facts.parameters.get("descent", LAST)
    share = {LAST: 1.0, AVERAGE: (n + 1) / (2 * n), AVERAGE_START: 0.5}[descent]
    return facts.rho.largest * share


# -- A6 --


AVERAGED = Hypothesis(
    "descent rule (1: average)", lambda f: f.parameters.get("descent", 0.0), "=", lambda f: AVERAGE, "averaged gradient"
)


def averaged(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||D - (g + rho_eff H g/||g||)|| <= L^2 rho^2 (1 - n^-2)/(6 ||g||)."""
    x, H = points(setting), setting.problem.hessian(setting.problem.centre)
    g, n, rho = gradients(setting, x), facts.parameters["steps"], facts.rho.largest
    D, error = descent_gradients(setting, lab, x)
    apart = np.linalg.norm(D - (g + effective_radius(facts) * unit(g) @ H), axis=1)
    L = float(np.linalg.eigvalsh(H)[-1])
    bound = L**2 * rho**2 * (1 - n**-2) / (6 * np.linalg.norm(g, axis=1))

    def stated(scale: Scale) -> Values:
        return np.asarray(scale.get("distance", 1.0) * bound)

    return Trial("single steps", np.arange(len(apart), dtype=float), apart, stated, error)


def _plain_radius(claim: Claim) -> Claim:
    """The averaged gradient compared with SAM of the whole radius."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = averaged(setting, facts, steps, lab)
        x, H = points(setting), setting.problem.hessian(setting.problem.centre)
        g = gradients(setting, x)
        D, _ = descent_gradients(setting, lab, x)
        apart = np.linalg.norm(D - (g + facts.rho.largest * unit(g) @ H), axis=1)
        return replace(found, measured=apart)

    return replace(claim, trials={"averaged gradient": broken})


def _draw_averaged(rng: np.random.Generator, claim: Claim) -> Instance:
    n, rho = int(rng.choice([2, 3, 5, 20])), round(float(10 ** rng.uniform(-2, 1)), 4)
    method = f"multi-sam:steps={n},descent=average"
    return given(claim, spectrum_spec(rng), gamma=0.5, rho=rho, steps=1, method=method)


claims.add(
    Claim(
        id="multistep/averaged-radius",
        title="Averaging over the ascent path is single-step SAM with a smaller radius, to second order",
        source=Source(PAPER, None, Provenance.DERIVED, "averaging is attributed to the paper, not read; derived here"),
        kind=Kind.UPPER,
        statement=(
            r"\Big\|\tfrac1n\sum_{j=1}^n\nabla f(z_j)-\big(g+\rho_{\rm eff}H\hat g\big)\Big\|"
            r"\le\frac{\lambda_{\max}^2\rho^2(1-n^{-2})}{6\|g\|},\qquad\rho_{\rm eff}=\rho\,\frac{n+1}{2n}"
        ),
        hypotheses=(*BASE, CONVEX, BUDGET, AVERAGED),
        measure=Measure.OWN,
        trials={"averaged gradient": averaged},
        suggest=suggest_steps,
        constants={"distance": "s times the bound on the distance"},
        method="multi-sam:steps=3,descent=average",
        families=(Family("random spectra", _draw_averaged, quick=5, full=50),),
        controls=(
            Control(
                "the whole radius in place of the effective one",
                lambda claim: given(
                    claim, "spectrum:h=1/0.3", gamma=0.5, rho=0.05, steps=1, method="multi-sam:steps=5,descent=average"
                ),
                "averaged gradient",
                broken=_plain_radius,
            ),
            Control(
                "a twentieth of the bound",
                lambda claim: given(
                    claim, "spectrum:h=1/0.3", gamma=0.5, rho=0.5, steps=1, method="multi-sam:steps=5,descent=average"
                ),
                "averaged gradient",
                scale={"distance": 0.05},
            ),
        ),
    )
)


# -- A7 --


def _two_directions(setting: Setting, facts: Facts) -> tuple[Values, Values, Values, Values]:
    """g, its direction, the direction of the gradient at x + rho g/||g||, and the Hessian."""
    x, H = points(setting), setting.problem.hessian(setting.problem.centre)
    g = gradients(setting, x)
    first = unit(g)
    return g, first, unit(g + facts.rho.largest * first @ H), H


def threshold(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """Which direction wins at 0.9 and 1.1 times r*: predicted and seen, 1 where the second does."""
    g, first, second, H = _two_directions(setting, facts)
    norms = np.linalg.norm(g, axis=1)
    slope = norms - np.einsum("pd,pd->p", g, second)
    bend = np.einsum("pd,de,pe->p", second, H, second) - np.einsum("pd,de,pe->p", first, H, first)
    # Where the two directions agree to a millionth of a degree, neither sum has any digits left.
    told = (slope > 1e-10 * norms) & (bend > 1e-10 * float(np.abs(H).max()))
    if not told.any():
        raise NotMeasurable("rounding floor: the gradient is an eigenvector at every point")
    critical = 2 * slope[told] / bend[told]
    seen = []
    for factor in (0.9, 1.1):
        r = factor * critical
        lead = r * np.einsum("pd,pd->p", g[told], second[told] - first[told]) + r**2 / 2 * bend[told]
        seen.append((lead >= 0).astype(float))
    expected = np.concatenate([np.zeros(told.sum()), np.ones(told.sum())])
    return equal("two directions", np.concatenate(seen), expected, error=np.zeros(2 * int(told.sum())))


def at_the_radius(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """f(x + rho g_1/||g_1||) >= f(x + rho g_0/||g_0||) for any convex f, at points near and far.

    Scale `radius` takes a part of rho on both sides, with g_1 from rho itself.
    """
    problem, rho = setting.problem, facts.rho.largest
    x = points(setting)
    g = np.array([problem.gradient(row) for row in x])
    first = unit(g)
    second = unit(np.array([problem.gradient(row) for row in x + rho * first]))
    left, right = (lab.values(setting, x + rho * direction)[0] for direction in (second, first))
    error = 1e-12 * (np.abs(left) + np.abs(right))
    return Trial("two directions", np.arange(len(x), dtype=float), left, lambda scale: right, error, ">=")


def _part_of_the_radius(claim: Claim) -> Claim:
    """Both directions compared at 0.3 of the radius that made the second."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        problem, rho = setting.problem, facts.rho.largest
        x = points(setting)
        g = np.array([problem.gradient(row) for row in x])
        first = unit(g)
        second = unit(np.array([problem.gradient(row) for row in x + rho * first]))
        left, right = (lab.values(setting, x + 0.3 * rho * direction)[0] for direction in (second, first))
        error = 1e-12 * (np.abs(left) + np.abs(right))
        return Trial("two directions", np.arange(len(x), dtype=float), left, lambda scale: right, error, ">=")

    return replace(claim, trials={"at the radius": broken})


IS_CONVEX = Hypothesis("f is convex (1: known)", lambda f: float(f.convex), "=", lambda f: 1.0, "f is convex")


def _draw_directions(rng: np.random.Generator, claim: Claim) -> Instance:
    rho = round(float(10 ** rng.uniform(-1, 1)), 4)
    return given(claim, spectrum_spec(rng, singular=False), gamma=0.5, rho=rho, steps=1)


claims.add(
    Claim(
        id="multistep/second-direction",
        title="The second gradient's direction climbs higher at the radius that found it",
        source=Source(
            XSAM,
            "Proposition 1",
            Provenance.DERIVED,
            "seen in reviews only, for a sufficiently large radius; here for every convex f at the radius itself",
        ),
        kind=Kind.LOWER,
        statement=(
            r"f\text{ convex},\ \hat g_1=\widehat{\nabla f}(x+\rho\hat g_0):\quad "
            r"f(x+\rho\hat g_1)\ge f(x+\rho\hat g_0)"
        ),
        hypotheses=(IS_DETERMINISTIC, IS_CONVEX, POSITIVE_GAMMA, PERTURBED, SEVERAL),
        measure=Measure.OWN,
        trials={"at the radius": at_the_radius},
        suggest=suggest_steps,
        method="multi-sam:steps=2",
        families=(
            Family("random spectra", _draw_directions, quick=3, full=30),
            Family(
                "logistic regression on breast cancer data",
                lambda rng, claim: given(
                    claim,
                    "logistic:data=breast_cancer,reg=0.1,scale=columns",
                    gamma=0.1,
                    rho=round(float(10 ** rng.uniform(-1, 1)), 3),
                    x0="random",
                    steps=1,
                    origin="data",
                ),
                full=4,
            ),
        ),
        controls=(
            Control(
                "compared at 0.3 of the radius",
                lambda claim: given(claim, "spectrum:h=1/0.1", gamma=0.5, rho=1.0, steps=1),
                "at the radius",
                broken=_part_of_the_radius,
            ),
            Control(
                "a function that is not convex",
                lambda claim: given(claim, "pl-sine:d=3,a=4", gamma=0.1, rho=3.0, steps=1),
                "at the radius",
            ),
        ),
    )
)

claims.add(
    Claim(
        id="multistep/second-direction-threshold",
        title="On a quadratic the second direction climbs higher exactly from a radius r* on",
        source=Source(XSAM, "Proposition 1", Provenance.DERIVED, "seen in reviews only; the threshold is derived here"),
        kind=Kind.EXACT,
        statement=(
            r"f(x+r\hat g_1)\ge f(x+r\hat g_0)\iff r\ge r^*="
            r"\frac{2(\|g\|-\langle g,\hat g_1\rangle)}{R(\hat g_1)-R(\hat g_0)}"
        ),
        hypotheses=(*BASE, CONVEX),
        measure=Measure.OWN,
        trials={"threshold": threshold},
        suggest=suggest_steps,
        method="multi-sam:steps=2",
        families=(Family("random spectra", _draw_directions, quick=4, full=40),),
        controls=(
            Control(
                "threshold twice as large",
                lambda claim: given(claim, "spectrum:h=1/0.1", gamma=0.5, rho=1.0, steps=1),
                "threshold",
                broken=lambda claim: replace(claim, trials={"threshold": _doubled_threshold}),
            ),
        ),
    )
)


def _doubled_threshold(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """At 1.8 and 2.2 times r* the second direction wins both times; the doubled threshold expects one."""
    g, first, second, H = _two_directions(setting, facts)
    norms = np.linalg.norm(g, axis=1)
    slope = norms - np.einsum("pd,pd->p", g, second)
    bend = np.einsum("pd,de,pe->p", second, H, second) - np.einsum("pd,de,pe->p", first, H, first)
    told = (slope > 1e-10 * norms) & (bend > 1e-10 * float(np.abs(H).max()))
    r = 1.8 * 2 * slope[told] / bend[told]
    lead = r * np.einsum("pd,pd->p", g[told], second[told] - first[told]) + r**2 / 2 * bend[told]
    return equal(
        "two directions", (lead >= 0).astype(float), np.zeros(int(told.sum())), error=np.zeros(int(told.sum()))
    )


# -- A8 --


def amplitude(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||x_T - x*|| on the 2-cycle along the top eigenvector, from a start on it."""
    h, Q = np.linalg.eigh(setting.problem.hessian(setting.problem.centre))
    top, size = float(h[-1]), max(float(np.linalg.norm(setting.x0 - setting.problem.centre)), 1e-3)
    gamma, rho = facts.gamma.largest, effective_radius(facts)
    start = replace(setting, x0=setting.problem.centre + 1.37 * size * Q[:, -1])
    T = steps + steps % 2
    x = lab.iterates(start, [T - 2, T, T + 1])[0] - setting.problem.centre
    r = gamma * top * rho / (2 - gamma * top)
    if not np.isfinite(x).all():
        return equal("end of the run", np.full(2, np.nan), np.full(2, r), error=np.full(2, 1e-12 * r))
    if np.linalg.norm(x[1] - x[0]) > 1e-13 * np.linalg.norm(x[1]):
        raise NotMeasurable(f"horizon too short: still moving after {T} steps")
    measured = np.array([np.linalg.norm(x[1]), np.linalg.norm(x[2] - x[1]) / 2])
    return equal("end of the run", measured, np.full(2, r), error=np.full(2, 1e-12 * r))


STABLE = Hypothesis(
    "gamma L", lambda f: f.gamma.largest * f.L_f, "<", lambda f: 2.0, "gamma L < 2: the cycle attracts", step_limit=True
)
DESCENT = Hypothesis(
    "descent rule (at most 2)", lambda f: f.parameters.get("descent", 0.0), "<=", lambda f: 2.0, "last or averaged"
)


def _draw_amplitude(rng: np.random.Generator, claim: Claim) -> Instance:
    n, descent = int(rng.choice([1, 2, 5, 20])), str(rng.choice(["last", "average", "average-start"]))
    gamma, rho = round(float(rng.uniform(0.3, 1.7)), 3), round(float(10 ** rng.uniform(-2, 0)), 4)
    method = f"multi-sam:steps={n},descent={descent}"
    return given(claim, spectrum_spec(rng), gamma=gamma, rho=rho, steps=4000, method=method)


claims.add(
    Claim(
        id="multistep/cycle",
        title="The 2-cycle of multi-step SAM: the same for the last gradient, smaller for an averaged one",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.EXACT,
        statement=(
            r"\text{along }v_1,\ \gamma\lambda_1<2:\quad|x_t-x^*|\to\frac{\gamma\lambda_1\rho'}{2-\gamma\lambda_1},"
            r"\quad\rho'=\rho\text{ (last)},\ \rho\,\tfrac{n+1}{2n}\text{ (average)},\ "
            r"\tfrac\rho2\text{ (average from }j=0)"
        ),
        hypotheses=(*BASE, CONVEX, CONSTANT_GAMMA, CONSTANT_RHO, STABLE, BUDGET, DESCENT),
        measure=Measure.OWN,
        trials={"amplitude": amplitude},
        suggest=suggest_steps,
        constants={"radius": "s times the stated amplitude"},
        method="multi-sam:steps=3",
        digits=12,
        families=(Family("random spectra", _draw_amplitude, quick=5, full=40),),
        controls=(
            Control(
                "the whole radius for the average",
                lambda claim: given(
                    claim,
                    "spectrum:h=1/0.3",
                    gamma=0.8,
                    rho=0.1,
                    steps=2000,
                    method="multi-sam:steps=3,descent=average",
                ),
                "amplitude",
                scale={"radius": 1.5},
            ),
            Control(
                "one part in 10^9 off",
                lambda claim: given(claim, "spectrum:h=1/0.3", gamma=0.8, rho=0.1, steps=2000),
                "amplitude",
                scale={"radius": 1 + 1e-9},
            ),
        ),
    )
)


# -- A9 --


def same_step(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The descent gradient of n ascent steps and that of one, at points on both sides of the minimiser."""
    x = points(setting, 200)
    D, error = descent_gradients(setting, lab, x)
    S, _ = descent_gradients(with_method(setting, "sam"), lab, x)
    # The n parts of the radius add up with n roundings, and the gradient changes by L times them.
    moved = facts.L_f * EPS * facts.parameters["steps"] * (np.abs(x).max(axis=1) + facts.rho.largest)
    size = np.abs(x).max(axis=1) + 1.0
    return equal("single steps", size + np.abs(D - S)[:, 0], size, error=4 * error + 8 * moved + 4 * EPS * size)


ONE_DIMENSION = Hypothesis("d", lambda f: float(f.d), "=", lambda f: 1.0, "one dimension")
ONE_SLOPE = Hypothesis(
    "mu", lambda f: f.mu, ">", lambda f: 0.0, "f is Polyak-Lojasiewicz: f' keeps its sign on each side of the minimiser"
)


def _draw_line(rng: np.random.Generator, claim: Claim) -> Instance:
    n, rho = int(rng.choice([2, 3, 5, 20])), round(float(10 ** rng.uniform(-1, 1)), 4)
    problem = f"pl-sine:d=1,a={rng.uniform(0.5, 4):.3g}"
    return given(claim, problem, gamma=0.05, rho=rho, steps=1, method=f"multi-sam:steps={n}")


claims.add(
    Claim(
        id="multistep/one-dim-blind",
        title="In one dimension a PL function cannot tell several ascent steps from one",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.INVARIANCE,
        statement=r"d=1,\ f\text{ PL, budget }\rho:\quad z_n=z_1\text{ for every }n",
        hypotheses=(IS_DETERMINISTIC, ONE_DIMENSION, ONE_SLOPE, POSITIVE_GAMMA, PERTURBED, SEVERAL, BUDGET),
        measure=Measure.OWN,
        trials={"same step": same_step},
        suggest=suggest_steps,
        method="multi-sam:steps=3",
        families=(Family("x^2 + a sin^2 x", _draw_line, quick=4, full=30),),
        controls=(
            Control(
                "a function whose slope changes its sign",
                lambda claim: given(claim, "sine-stall:rho=1,beta=1", gamma=0.5, rho=1.5, steps=1),
                "same step",
            ),
            Control(
                "two dimensions",
                lambda claim: given(claim, "pl-sine:d=2,a=3", gamma=0.05, rho=1.0, steps=1),
                "same step",
            ),
        ),
    )
)
