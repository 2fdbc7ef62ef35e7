"""What one gradient step does to the distance of two points, and one SGD step to that of two coupled runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.families import Origin, given
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.stability import (
    LIPSCHITZ,
    NEIGHBOURS,
    NOT_READ,
    PAPER,
    expansion,
    losses_of,
    pair_of,
    stepper,
)
from theory.trial import EPS, Lab, Scale, Trial, Values
from theory.unified_sam import CONSTANT_GAMMA, IS_DETERMINISTIC, POSITIVE_GAMMA
from theory.unified_sam_cases import BREAST, DIABETES

# -- one function --


def _pairs(setting: Setting) -> tuple[Values, Values]:
    """Pairs of points about the minimiser at distances 1e-3 to 10, in random directions and along eigenvectors."""
    problem, rng = setting.problem, np.random.default_rng(0)
    scale = max(float(np.linalg.norm(setting.x0 - problem.centre)), 1e-3)
    x = problem.centre + scale * rng.standard_normal((24, problem.d))
    turned = rng.standard_normal((24, problem.d))
    if len(problem.spectrum):
        basis = np.linalg.eigh(problem.hessian(problem.centre))[1]
        turned[:2] = basis[:, [0, -1]].T
    turned /= np.linalg.norm(turned, axis=1)[:, None]
    return x, x + scale * np.resize([1e-3, 0.1, 1.0, 10.0], 24)[:, None] * turned


def expands(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||G(x) - G(y)||/||x - y|| for pairs of points, G one step of gradient descent by the engine."""
    x, y = _pairs(setting)
    moved = lab.step(setting, np.concatenate([x, y]))
    apart = np.linalg.norm(x - y, axis=1)
    ratio = np.linalg.norm(moved[: len(x)] - moved[len(x) :], axis=1) / apart
    gamma, problem = facts.gamma.largest, setting.problem
    place = np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1) + 2 * np.linalg.norm(problem.centre)
    slopes = np.linalg.norm([problem.sample_gradient(i, problem.centre) for i in range(problem.n)], axis=1).mean()
    terms = (problem.n + problem.d + 8) * np.sqrt(problem.d)
    error = 2 * EPS * (place + gamma * terms * (facts.L_max * place + slopes)) / apart

    def stated(scale: Scale) -> Values:
        return np.full(len(x), expansion(gamma, facts.L_f, _convexity(facts), scale))

    return Trial("pairs of points", np.arange(len(x), dtype=float), np.asarray(ratio), stated, np.asarray(error))


def _convexity(facts: Facts) -> float:
    return facts.strong_convexity if facts.convex else -facts.L_f


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part / facts.L_f if facts.L_f > 0 else 1.0), constant(0.0)


def _on(
    problem: str, low: float, high: float, *, origin: Origin = "synthetic"
) -> Callable[[np.random.Generator, Claim], Instance]:
    """gamma = u/L_f with u in (low, high)."""

    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        spec = problem.format(seed=rng.integers(10**6), mu=round(float(rng.uniform(0.05, 0.9)), 3))
        limit = given(claim, spec, "full", theta=1.0, steps=1).setting.gamma.largest
        return given(claim, spec, "full", gamma=float(rng.uniform(low, high)) * limit, steps=1, origin=origin)

    return draw


QUADRATIC = "quadratic:d=4,mu={mu},L=1,seed={seed}"


def _fixed(problem: str, gamma: float) -> Callable[[Claim], Instance]:
    return lambda claim: given(claim, problem, "full", gamma=gamma, steps=1, origin="tight")


claims.add(
    Claim(
        id="stability/expansiveness",
        title="How far apart one gradient step takes two points (C1)",
        source=Source(PAPER, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.UPPER,
        statement=(
            r"G(w)=w-\gamma\nabla f(w):\quad\|G(x)-G(y)\|\le\chi\|x-y\|,\quad\chi=1+\gamma\beta;\ "
            r"1\text{ for convex }f,\ \gamma\le\tfrac2\beta;\ 1-\tfrac{\gamma\beta\mu}{\beta+\mu}\text{ for }"
            r"\mu\text{-strongly convex }f,\ \gamma\le\tfrac2{\beta+\mu};"
            r"\ 1-\gamma\mu\text{ if also }\gamma\le\tfrac1\beta"
        ),
        hypotheses=(IS_DETERMINISTIC, CONSTANT_GAMMA, POSITIVE_GAMMA),
        measure=Measure.OWN,
        trials={"expansiveness": expands},
        suggest=_suggest,
        constants={
            "contraction": "s times the decrease of chi below 1",
            "expansion": "s gamma beta: the growth of chi above 1 that would do",
        },
        method="sgd",
        families=(
            Family("quadratics, gamma <= 1/beta", _on(QUADRATIC, 0.1, 1), quick=2, full=12),
            Family("quadratics, gamma <= 2/(beta + mu)", _on(QUADRATIC, 1.0, 1.05), quick=2, full=12),
            Family("quadratics, gamma <= 2/beta and beyond", _on(QUADRATIC, 1.9, 2.2), quick=2, full=12),
            Family("a flat direction", lambda rng, claim: _fixed("spectrum:h=1/0", 1.9)(claim), full=1),
            Family("a flat direction, beyond 2/beta", lambda rng, claim: _fixed("spectrum:h=1/0", 2.3)(claim), full=1),
            Family("a saddle: 1 + gamma beta", lambda rng, claim: _fixed("spectrum:h=0.5/-1", 0.7)(claim), full=1),
            Family("wavy functions", _on("pl-sine:d=2,a=3,seed={seed}", 0.1, 2), quick=2, full=12),
            Family("the sine", lambda rng, claim: _fixed("sine-stall:rho=1", 1.0)(claim), full=1),
            Family("cosine losses", _on("cosine-losses:n=5,seed={seed}", 0.1, 3), quick=1, full=6),
            Family("logistic losses", _on("logistic-losses:n=6,d=2,seed={seed}", 0.1, 2), quick=1, full=6),
            Family(BREAST, _on(BREAST, 0.1, 2, origin="data"), quick=1, full=4),
            Family(DIABETES, _on(DIABETES, 0.1, 2, origin="data"), quick=1, full=4),
        ),
        controls=(
            Control(
                "nothing moves apart at gamma = 2.2/beta",
                _fixed("spectrum:h=1/0.5", 2.2),
                "expansiveness",
                scale={"expansion": 0.0},
            ),
            Control(
                "0.99 of the growth on a saddle",
                _fixed("spectrum:h=0.5/-1", 0.7),
                "expansiveness",
                scale={"expansion": 0.99},
            ),
            Control(
                "1.01 times the contraction",
                _fixed("spectrum:h=1/0.3", 0.8),
                "expansiveness",
                scale={"contraction": 1.01},
            ),
        ),
        remarks=("1 - gamma mu holds up to gamma = 2/(beta + mu) too, where it is max(1 - gamma mu, gamma beta - 1).",),
    )
)


# -- two data sets --


def _in_ball(setting: Setting) -> tuple[Values, Values]:
    """Pairs of points of the method's ball, some of them equal."""
    radius, d = setting.method.parameters["radius"], setting.problem.d
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, d))
    points *= (radius * rng.random(40) ** (1 / d) / np.linalg.norm(points, axis=1))[:, None]
    return points, np.concatenate([points[:4], rng.permutation(points)[4:]])


def _off(setting: Setting, facts: Facts) -> float:
    """The rounding of a step in the ball."""
    losses, radius = losses_of(facts), setting.method.parameters["radius"]
    return float((8 * setting.problem.d + 32) * EPS * (radius + facts.gamma.largest * losses.lipschitz))


def bounded_step(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||G_i(x) - x|| <= gamma L for every example i of both data sets."""
    data, problem, neighbour = pair_of(setting)
    examples = [(problem, i) for i in range(problem.n)] + [(neighbour, data.flip)]
    points, step = _in_ball(setting)[0], stepper(setting, 0)
    lengths = [np.linalg.norm(step(where, i, x) - x) for where, i in examples for x in points]
    return _at_most(lengths, np.full(len(lengths), facts.gamma.largest * losses_of(facts).lipschitz), setting, facts)


def same_example(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||G_i(x) - G_i(y)|| <= chi ||x - y||."""
    _, problem, _ = pair_of(setting)
    (x, y), step = _in_ball(setting), stepper(setting, 0)
    after = [
        np.linalg.norm(step(problem, i, one) - step(problem, i, other))
        for i in range(problem.n)
        for one, other in zip(x, y, strict=True)
    ]
    before = np.tile(np.linalg.norm(x - y, axis=1), problem.n)
    return _at_most(after, _chi(facts) * before, setting, facts)


def changed_example(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||G(x) - G'(y)|| <= min(chi, 1) ||x - y|| + 2 gamma L, G and G' the steps on the example that differs."""
    data, problem, neighbour = pair_of(setting)
    (x, y), step = _in_ball(setting), stepper(setting, 0)
    after = [
        np.linalg.norm(step(problem, data.flip, one) - step(neighbour, data.flip, other))
        for one, other in zip(x, y, strict=True)
    ]
    before = min(_chi(facts), 1.0) * np.linalg.norm(x - y, axis=1)
    kick = 2 * facts.gamma.largest * losses_of(facts).lipschitz
    trial = _at_most(after, before + kick, setting, facts)

    def stated(scale: Scale) -> Values:
        return np.asarray(before + scale.get("kick", 1.0) * kick)

    return Trial("steps on the changed example", trial.at, trial.measured, stated, trial.error)


def _chi(facts: Facts) -> float:
    losses = losses_of(facts)
    return expansion(facts.gamma.largest, losses.smoothness, losses.convexity, {})


def _at_most(measured: list[Any], stated: Values, setting: Setting, facts: Facts) -> Trial:
    values = np.array(measured, dtype=np.float64)
    error = np.full(len(values), _off(setting, facts))
    return Trial("steps on every example", np.arange(len(values), dtype=float), values, lambda scale: stated, error)


def _ball(problem: str, radius: float, gamma: float) -> Callable[[Claim], Instance]:
    method = f"projected-sgd:radius={radius!r}"
    return lambda claim: given(claim, problem, "uniform", method=method, gamma=gamma, steps=1)


claims.add(
    Claim(
        id="stability/growth",
        title="How far apart one step takes two coupled runs (C1)",
        source=Source(PAPER, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.UPPER,
        statement=(
            r"\|G_i(x)-x\|\le\gamma L_\ell,\quad\|G_i(x)-G_i(y)\|\le\chi\|x-y\|,\quad"
            r"\|G_i(x)-G_i'(y)\|\le\min(\chi,1)\|x-y\|+2\gamma L_\ell"
        ),
        hypotheses=(NEIGHBOURS, LIPSCHITZ, CONSTANT_GAMMA, POSITIVE_GAMMA),
        measure=Measure.OWN,
        trials={"bounded step": bounded_step, "same example": same_example, "changed example": changed_example},
        suggest=_suggest,
        constants={"kick": "s 2 gamma L: the part that would do for a changed example"},
        method="projected-sgd",
        families=(
            Family("linear losses", lambda rng, claim: _ball("linear-losses:n=3", 10.0, 0.5)(claim), full=1),
            Family(
                "quadratic losses",
                lambda rng, claim: _ball(
                    f"quadratic-losses:n=4,h=1/0.4,seed={rng.integers(10**6)}",
                    round(float(rng.uniform(0.2, 2)), 3),
                    round(float(rng.uniform(0.1, 2)), 3),
                )(claim),
                quick=3,
                full=16,
            ),
            Family(
                "logistic losses",
                lambda rng, claim: _ball(
                    f"logistic-losses:n=4,d=2,seed={rng.integers(10**6)},reg={rng.choice([0, 0.1])}",
                    2.0,
                    round(float(rng.uniform(0.5, 8)), 3),
                )(claim),
                quick=2,
                full=16,
            ),
            Family(
                "cosine losses",
                lambda rng, claim: _ball(
                    f"cosine-losses:n=4,seed={rng.integers(10**6)}", 4.0, round(float(rng.uniform(0.1, 4)), 3)
                )(claim),
                quick=2,
                full=16,
            ),
        ),
        controls=(
            Control(
                "0.99 of 2 gamma L", _ball("linear-losses:n=3", 10.0, 0.5), "changed example", scale={"kick": 0.99}
            ),
        ),
    )
)
