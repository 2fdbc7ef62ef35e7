"""How small a SAM gradient can be: never below mu rho on a strongly convex function."""

from __future__ import annotations

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.dynamics import ALL_NORMALISED
from theory.gsam import HARADA, HARADA_NOTE, scheduled, suggest_steps
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, NotMeasurable, Scale, Trial, Values, times_of

STRONGLY_CONVEX = Hypothesis(
    "strong convexity", lambda f: f.strong_convexity, ">", lambda f: 0.0, "f is strongly convex with a known constant"
)
SOME_RADIUS = Hypothesis("rho_0", lambda f: float(f.rho.at(0)), ">", lambda f: 0.0, "rho > 0")


def scattered(setting: Setting, steps: int, lab: Lab) -> Values:
    """Points (P, d) other than x*: along the start, in random directions, and on one copy of a run."""
    centre, d = setting.problem.centre, setting.problem.d
    away = setting.x0 - centre
    rng = np.random.default_rng(0)
    turned = rng.standard_normal((24, d)) * 10 ** rng.uniform(-4, 2, (24, 1))
    pulled = away * 10.0 ** -np.arange(6.0)[:, None]
    run = lab.iterates(setting, times_of(steps, 16))[0]
    points = np.concatenate([centre + pulled, centre + turned, run[np.isfinite(run).all(axis=1)]])
    return np.asarray(points[np.linalg.norm(points - centre, axis=1) > 0])


def _norms(setting: Setting, facts: Facts, steps: int, lab: Lab) -> tuple[Values, Values, float, Values]:
    """||F|| and ||grad f|| at points with grad f != 0, the radius, and the rounding of the two together."""
    points = scattered(setting, steps, lab)
    problem, rho = setting.problem, float(facts.rho.at(0))
    gradients = np.array([problem.gradient(x) for x in points])
    plain = np.linalg.norm(gradients, axis=1)
    points, gradients, plain = points[plain > 0], gradients[plain > 0], plain[plain > 0]
    if not len(points):
        raise NotMeasurable("no point with a nonzero gradient")
    raised = points + rho * gradients / plain[:, None]
    perturbed = np.sqrt(lab.values(setting, raised)[1])
    place = np.linalg.norm(points, axis=1) + float(np.linalg.norm(problem.centre)) + rho
    count = (problem.d + problem.n + 8) * np.sqrt(problem.d)
    # The direction u is as wrong as the gradient is relative to its norm, and moves F by L rho times that.
    rounding = 4 * EPS * count * facts.L_f * place * (1 + facts.L_f * rho / plain)
    return perturbed, plain, rho, rounding


def from_below(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||F(x)|| >= ||grad f(x)|| + mu rho."""
    perturbed, plain, rho, rounding = _norms(setting, facts, steps, lab)

    def stated(scale: Scale) -> Values:
        return np.asarray(plain + scale.get("lowest", 1.0) * facts.strong_convexity * rho)

    return Trial("SAM gradients at points", np.arange(len(plain), dtype=float), perturbed, stated, rounding, ">=")


def from_above(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||F(x)|| <= ||grad f(x)|| + L rho."""
    perturbed, plain, rho, rounding = _norms(setting, facts, steps, lab)

    def stated(scale: Scale) -> Values:
        return np.asarray(plain + scale.get("highest", 1.0) * facts.L_f * rho)

    return Trial("SAM gradients at points", np.arange(len(plain), dtype=float), perturbed, stated, rounding)


def _quadratics(rng: np.random.Generator, claim: Claim) -> Instance:
    mu = 10 ** rng.uniform(-3, 0)
    problem = f"quadratic:d={rng.integers(2, 9)},mu={mu:.3g},L=1,seed={rng.integers(10**6)}"
    return scheduled(claim, problem, gamma=0.5, rho=f"{10 ** rng.uniform(-3, 0.5):.3g}", steps=200)


def _data(rng: np.random.Generator, claim: Claim) -> Instance:
    problem = str(
        rng.choice(["logistic:data=breast_cancer,reg=0.1,scale=rows", "ridge:data=diabetes,reg=0.1,scale=rows"])
    )
    return scheduled(claim, problem, gamma=0.5, rho=f"{10 ** rng.uniform(-2, 0.5):.3g}", steps=50, origin="data")


def on_an_axis(claim: Claim, x0: str) -> Instance:
    return scheduled(claim, "spectrum:h=1/0.2", gamma=0.5, rho=0.3, x0=x0, steps=20, origin="tight")


claims.add(
    Claim(
        id="gsam/sam-gradient-band",
        title="On a strongly convex function a SAM gradient is never shorter than mu rho",
        source=Source(HARADA, None, Provenance.DERIVED, HARADA_NOTE),
        kind=Kind.UPPER,
        statement=(
            r"g=\nabla f(x)\ne0,\ u=\tfrac g{\|g\|}:\quad\|\nabla f(x)\|+\mu\rho\le\|\nabla f(x+\rho u)\|"
            r"\le\|\nabla f(x)\|+L\rho,\quad f\ \mu\text{-strongly convex and }L\text{-smooth}"
        ),
        hypotheses=(STRONGLY_CONVEX, SOME_RADIUS, ALL_NORMALISED),
        measure=Measure.OWN,
        trials={"from below": from_below, "from above": from_above},
        suggest=suggest_steps,
        constants={"lowest": "s mu rho, the room above ||grad f||", "highest": "s L rho, the most above ||grad f||"},
        method="gsam",
        families=(
            Family("quadratics", _quadratics, quick=4, full=40),
            Family("real data", _data, quick=1, full=4),
            Family("along the flattest eigenvector", lambda rng, claim: on_an_axis(claim, "0/1"), full=1),
            Family("along the steepest eigenvector", lambda rng, claim: on_an_axis(claim, "1/0"), full=1),
        ),
        controls=(
            Control(
                "L in the place of mu, along the flattest eigenvector",
                lambda claim: on_an_axis(claim, "0/1e-3"),
                "from below",
                scale={"lowest": 5.0},
            ),
            Control(
                "nine tenths of L, along the steepest eigenvector",
                lambda claim: on_an_axis(claim, "1e-3/0"),
                "from above",
                scale={"highest": 0.9},
            ),
        ),
        remarks=(
            "Where this holds, no run makes SAM's gradient smaller than mu rho: a rate for it needs rho to shrink.",
        ),
    )
)
