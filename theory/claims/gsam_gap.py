"""The surrogate gap, how far f rises within a ball, and the largest eigenvalue of the Hessian."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from problems.problem import Problem
from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.gsam_band import SOME_RADIUS, scattered
from theory.dynamics import ALL_NORMALISED
from theory.gsam import UNAVAILABLE, ZHUANG, ZHUANG_NOTE, scheduled, suggest_steps
from theory.inner_max import quadratic_on_ball
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, NotMeasurable, Relation, Scale, Trial, Values

AT_A_MINIMUM = Hypothesis(
    "f(x_0) - f*", lambda f: f.gap0, "=", lambda f: 0.0, "the run starts at a minimiser, where the gap is taken"
)
KNOWN_BEND = Hypothesis(
    "Lipschitz constant of the Hessian",
    lambda f: f.hessian_lipschitz,
    "<",
    lambda f: np.inf,
    "the Hessian is Lipschitz with a known constant",
)
GRID = 2001


def surrogate_gap(problem: Problem, x: Values, rho: float) -> float:
    """max over ||e|| <= rho of f(x + e) - f(x): exact for quadratics and on the line; NotMeasurable elsewhere."""
    if problem.quadratic:
        return quadratic_on_ball(problem.gradient(x), problem.hessian(x), rho).value
    if problem.d > 1:
        raise NotMeasurable(f"{UNAVAILABLE}the exact maximum over a ball is known for quadratics and on the line")

    def height(e: float) -> float:
        return problem.gap(x + e)

    if problem.convex_components:  # the maximum of a convex function lies at an end
        return max(height(-rho), height(rho)) - problem.gap(x)
    grid = np.linspace(-rho, rho, GRID)
    heights = np.array([height(float(e)) for e in grid])
    best = int(heights.argmax())
    if 0 < best < GRID - 1:
        found = minimize_scalar(
            lambda e: -height(float(e)),
            bounds=(grid[best - 1], grid[best + 1]),
            method="bounded",
            options={"xatol": 1e-12},
        )
        return float(max(heights[best], -found.fun)) - problem.gap(x)
    return float(heights[best]) - problem.gap(x)


def _at_the_minimum(setting: Setting, facts: Facts) -> tuple[float, float, float]:
    """h(x*), rho^2 lambda_max/2 and M rho^3/6."""
    rho = float(facts.rho.at(0))
    top = float(np.linalg.eigvalsh(setting.problem.hessian(setting.x0))[-1])
    return surrogate_gap(setting.problem, setting.x0, rho), rho**2 * top / 2, facts.hessian_lipschitz * rho**3 / 6


def _trial(setting: Setting, facts: Facts, sign: float) -> Trial:
    h, half, bend = _at_the_minimum(setting, facts)

    def stated(scale: Scale) -> Values:
        return np.array([scale.get("curvature", 1.0) * half + sign * scale.get("bend", 1.0) * bend])

    # An eigenvalue of a d x d matrix, the products that make the value.
    error = np.array([EPS * (16 * setting.problem.d + 64) * (half + bend)])
    relation: Relation = "<=" if sign > 0 else ">="
    return Trial("the exact maximum over the ball", np.zeros(1), np.array([h]), stated, error, relation)


def from_above(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """h(x*) <= rho^2 lambda_max/2 + M rho^3/6."""
    return _trial(setting, facts, 1.0)


def from_below(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """h(x*) >= rho^2 lambda_max/2 - M rho^3/6."""
    return _trial(setting, facts, -1.0)


def _one_step(setting: Setting, facts: Facts, steps: int, lab: Lab) -> tuple[Values, Values, float, Values]:
    """h_1 = f(x + rho u) - f(x) and ||grad f|| at points, the radius, and the rounding of the difference."""
    rho = float(facts.rho.at(0))
    points = scattered(setting, 0, lab)
    gradients = np.array([setting.problem.gradient(x) for x in points])
    norms = np.linalg.norm(gradients, axis=1)
    points, gradients, norms = points[norms > 0], gradients[norms > 0], norms[norms > 0]
    before, _ = lab.values(setting, points)
    after, _ = lab.values(setting, points + rho * gradients / norms[:, None])
    problem = setting.problem
    place = np.linalg.norm(points, axis=1) + float(np.linalg.norm(problem.centre)) + rho
    count = (problem.d + problem.n + 8) * np.sqrt(problem.d)
    # The values, and what a direction as wrong as the gradient relative to its norm does to the second of them.
    turned = EPS * count * facts.L_f * place / norms
    rounding = 4 * (EPS * count * (before + after) + (norms + facts.L_f * rho) * (rho * turned + 4 * EPS * place))
    return after - before, norms, rho, rounding


def ascent_from_above(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """h_1(x) <= rho ||grad f|| + L rho^2/2."""
    h1, norms, rho, rounding = _one_step(setting, facts, steps, lab)

    def stated(scale: Scale) -> Values:
        return np.asarray(rho * norms + scale.get("ascent", 1.0) * facts.L_f * rho**2 / 2)

    return Trial("values at points", np.arange(len(h1), dtype=float), h1, stated, rounding)


def ascent_from_below(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """h_1(x) >= rho ||grad f|| - L rho^2/2, without the last term where f is convex."""
    h1, norms, rho, rounding = _one_step(setting, facts, steps, lab)
    convex = setting.problem.convex_components or facts.strong_convexity > 0
    lost = 0.0 if convex else facts.L_f * rho**2 / 2

    def stated(scale: Scale) -> Values:
        return np.asarray(rho * norms - scale.get("ascent", 1.0) * lost)

    return Trial("values at points", np.arange(len(h1), dtype=float), h1, stated, rounding, ">=")


def _quadratics(rng: np.random.Generator, claim: Claim) -> Instance:
    d, seed = rng.integers(2, 9), rng.integers(10**6)
    problem = f"quadratic:d={d},mu={10 ** rng.uniform(-3, 0):.3g},L=1,seed={seed}"
    return scheduled(claim, problem, gamma=0.5, rho=f"{10 ** rng.uniform(-2, 1):.3g}", x0="scaled:0", steps=1)


def _bent(rng: np.random.Generator, claim: Claim) -> Instance:
    bend = float(rng.choice([-0.9, -0.3, 0.3, 2.0]))
    problem = f"bent:curvature=1,bend={bend:g},reach={rng.uniform(0.2, 1.0):.3g}"
    return scheduled(claim, problem, gamma=0.1, rho=f"{10 ** rng.uniform(-2, 0.5):.3g}", x0="zeros", steps=1)


def _cosine(rng: np.random.Generator, claim: Claim) -> Instance:
    rho = f"{rng.uniform(0.1, 4):.3g}"
    return scheduled(claim, f"cosine-sum:w={rng.uniform(0.5, 3):.3g}", gamma=0.1, rho=rho, x0="zeros", steps=1)


def tight(claim: Claim, bend: float) -> Instance:
    return scheduled(
        claim, f"bent:curvature=1,bend={bend:g},reach=1", gamma=0.1, rho=0.8, x0="zeros", steps=1, origin="tight"
    )


def at_a_maximum(claim: Claim) -> Instance:
    """1 - cos x near x = pi, where the gap of one ascent step is L rho^2/2 below rho ||grad f||."""
    return scheduled(claim, "cosine-sum:w=1", gamma=0.1, rho=0.3, x0=f"{np.pi - 1e-3!r}", steps=1)


claims.add(
    Claim(
        id="gsam/surrogate-gap",
        title="At a minimum the surrogate gap is half the largest eigenvalue times rho squared",
        source=Source(ZHUANG, None, Provenance.DERIVED, ZHUANG_NOTE),
        kind=Kind.UPPER,
        statement=(
            r"\nabla f(x^*)=0,\ \nabla^2f\ M\text{-Lipschitz}:\ \Big|\max_{\|e\|\le\rho}f(x^*+e)-f(x^*)-\tfrac{\rho^2}2"
            r"\lambda_{\max}(\nabla^2f(x^*))\Big|\le\tfrac{M\rho^3}6;\quad\text{at any }x:\ "
            r"\big|f(x+\rho u)-f(x)-\rho\|\nabla f(x)\|\big|\le\tfrac{L\rho^2}2,\ "
            r"f(x+\rho u)-f(x)\ge\rho\|\nabla f(x)\|\text{ if convex}"
        ),
        hypotheses=(AT_A_MINIMUM, KNOWN_BEND, SOME_RADIUS, ALL_NORMALISED),
        measure=Measure.OWN,
        trials={
            "from above": from_above,
            "from below": from_below,
            "ascent from above": ascent_from_above,
            "ascent from below": ascent_from_below,
        },
        suggest=suggest_steps,
        constants={
            "curvature": "s rho^2 lambda_max/2",
            "bend": "s M rho^3/6, the distance from rho^2 lambda_max/2",
            "ascent": "s L rho^2/2, how far one ascent step's gap is from rho ||grad f||",
        },
        method="gsam",
        families=(
            Family("quadratics: no bend, equality", _quadratics, quick=3, full=30),
            Family("bent parabolas", _bent, quick=4, full=30),
            Family("a cosine", _cosine, quick=2, full=20),
            Family("curvature that rises as fast as it may", lambda rng, claim: tight(claim, 0.5), full=1),
            Family("curvature that falls as fast as it may", lambda rng, claim: tight(claim, -0.5), full=1),
        ),
        controls=(
            Control("half of the bend, from above", lambda claim: tight(claim, 0.5), "from above", scale={"bend": 0.5}),
            Control(
                "half of the bend, from below", lambda claim: tight(claim, -0.5), "from below", scale={"bend": 0.5}
            ),
            Control(
                "the smallest eigenvalue for the largest",
                lambda claim: scheduled(
                    claim, "spectrum:h=1/0.2", gamma=0.5, rho=0.3, x0="zeros", steps=1, origin="tight"
                ),
                "from above",
                scale={"curvature": 0.2},
            ),
            Control(
                "no curvature in the gap of one ascent step",
                lambda claim: scheduled(claim, "spectrum:h=1", gamma=0.5, rho=0.3, x0="zeros", steps=1),
                "ascent from above",
                scale={"ascent": 0.9},
            ),
            Control(
                "f taken for convex near a maximum",
                at_a_maximum,
                "ascent from below",
                scale={"ascent": 0.0},
            ),
        ),
        remarks=(
            "The gap h_1 of one ascent step near a minimum is rho ||g|| + rho^2 u'Hu/2: 2 h_1/rho^2 may be any number "
            "between the extreme eigenvalues; only the exact maximum means the largest one.",
        ),
    )
)
