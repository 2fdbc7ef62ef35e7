"""One step of unnormalised SAM with bounded variance: a decrease of gamma/2 (1 - L^2 rho^2)||grad f||^2 up to noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claim import claims
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.inner_product import dot, norm2, square, vectors

gamma, L = sp.symbols("gamma L", positive=True)
rho, sigma2, D, D_next = sp.symbols("rho sigma2 D D_next", nonnegative=True)
F, g, h, delta, m = vectors("F g h delta m")
"""grad f(x); grad f_v(x); the sampled gradient of the ascent, g itself or one of an independent sample;
grad f_v(x + rho h) - g; the mean of g + delta."""

half = sp.Rational(1, 2)
stretch = L**2 * rho**2
noise = (gamma / 2 * stretch + L * gamma**2) * sigma2

GIVEN = (
    Given("mean", dot(F, g) - norm2(F), "=", "definition", "E g = grad f, and grad f is fixed"),
    Given("mean of the ascent", dot(F, h) - norm2(F), "=", "definition", "E h = grad f"),
    Given("mean of the step, F", dot(F, g + delta) - dot(F, m), "=", "definition", "m = E(g + delta)"),
    Given("mean of the step, m", dot(m, g + delta) - norm2(m), "=", "definition", "m = E(g + delta)"),
    Given("mean at x, m", dot(m, g) - dot(m, F), "=", "definition", "E g = grad f, and m is fixed"),
    Given("variance", sigma2 - norm2(g - F), ">=", "hypothesis", "E||grad f_v - grad f||^2 <= sigma^2/b"),
    Given("variance of the ascent", sigma2 - norm2(h - F), ">=", "hypothesis", "the same of the ascent's sample"),
    Given("smooth samples", stretch * norm2(h) - norm2(delta), ">=", "hypothesis", "grad f_v is L-Lipschitz"),
    Given("step limit", 1 - 2 * L * gamma, ">=", "hypothesis", "gamma <= 1/(2 L)"),
    Given(
        "descent lemma",
        D - gamma * dot(F, g + delta) + L * gamma**2 / 2 * norm2(g + delta) - D_next,
        ">=",
        "standard",
        "f is L-smooth; expectation over the samples",
    ),
)

STEPS = (
    Step(
        "inner product",
        -2 * dot(F, g + delta),
        "=",
        norm2(m - F) - norm2(F) - norm2(m),
        by=((2, "mean of the step, F"),),
        why="polarisation; m - F is the mean of delta",
    ),
    Step(
        "spread of the step",
        norm2(g + delta),
        "=",
        norm2(m) + norm2(g + delta - m),
        by=((-2, "mean of the step, m"),),
        why="second moment = squared mean + variance",
    ),
    Step(
        "mean of delta",
        norm2(delta - (m - F)),
        "=",
        norm2(delta) - norm2(m - F),
        by=(
            (2, "mean of the step, m"),
            (-2, "mean of the step, F"),
            (-2, "mean at x, m"),
            (2, "mean"),
        ),
        why="variance = second moment - squared mean",
    ),
    Step(
        "two variances",
        norm2(g + delta - m),
        "<=",
        2 * sigma2 + 2 * norm2(delta - (m - F)),
        by=((square((g - F) - (delta - (m - F))),), (2, "variance")),
        why="||p + q||^2 <= 2 ||p||^2 + 2 ||q||^2",
    ),
    Step(
        "perturbation",
        norm2(delta),
        "<=",
        stretch * (norm2(F) + sigma2),
        by=(("smooth samples",), (stretch, "variance of the ascent"), (-2 * stretch, "mean of the ascent")),
    ),
    Step(
        "variance of delta", 0, "<=", norm2(delta) - norm2(m - F), by=((square(delta - (m - F)),), ("mean of delta",))
    ),
    Step(
        "before the perturbation",
        D_next,
        "<=",
        D - gamma / 2 * norm2(F) + gamma / 2 * norm2(delta) + L * gamma**2 * sigma2,
        by=(
            ("descent lemma",),
            (gamma / 2, "inner product"),
            (L * gamma**2 / 2, "spread of the step"),
            (L * gamma**2 / 2, "two variances"),
            (L * gamma**2, "mean of delta"),
            (gamma / 2, "step limit", "variance of delta"),
            (gamma / 4, "step limit", square(m)),
            (gamma / 4, square(m)),
        ),
        why="the mean of the step and that of delta have factors of the right sign where 2 L gamma <= 1",
    ),
    Step(
        "one step",
        D_next,
        "<=",
        D - gamma / 2 * (1 - stretch) * norm2(F) + noise,
        by=(("before the perturbation",), (gamma / 2, "perturbation")),
    ),
)
STEP = {step.name: step for step in STEPS}


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(5)
    found: list[Mapping[str, float]] = []
    for _ in range(5):
        size = rng.uniform(0.5, 3)
        found.append(
            {
                "L": size,
                "gamma": rng.uniform(0, 0.5) / size,
                "rho": rng.uniform(0, 2),
                "sigma2": rng.uniform(0, 3),
                "D": rng.uniform(0, 5),
                "|F|^2": rng.uniform(0, 5),
            }
        )
    return found


POINTS = _points()


def _one_step(point: Mapping[str, float]) -> float:
    step = claims["usam/one-step"].one_step
    assert step is not None
    return float(step(facts_at(point), np.array([point["D"]]), np.array([point["|F|^2"]]), 0, {})[0])


SUMMIT = {
    "L": 1, "gamma": half, "rho": 1, "sigma2": 0, "D": 1, "D_next": 1,
    "F": (1,), "g": (1,), "h": (1,), "delta": (-1,), "m": (0,),
}  # fmt: skip
"""A concave parabola with L rho = 1: the perturbed point is the summit, the iterate stays."""

NOISE_ALONE = {
    "L": 1, "gamma": half, "rho": half, "sigma2": 2, "D": 0, "D_next": sp.Rational(9, 16),
    "F": (0, 0), "g": (1, -1), "h": (1, -1), "delta": (half, -half), "m": (0, 0),
}  # fmt: skip
"""x^2/2 + slopes of either sign, at the minimiser; coordinates are values times the root of the probability."""

derivations.add(
    Derivation(
        id="usam/one-step",
        title="One step of unnormalised SAM with bounded variance",
        claims=("usam/one-step",),
        given=GIVEN,
        steps=STEPS,
        conclusion="one step",
        meets=(Meets("one step", D - gamma / 2 * (1 - stretch) * norm2(F) + noise, _one_step, POINTS),),
        twins=(
            Twin(
                "1 - 0.8 L^2 rho^2",
                "one step",
                replace(STEP["one step"], right=D - gamma / 2 * (1 - sp.Rational(4, 5) * stretch) * norm2(F) + noise),
                counterexample=SUMMIT,
            ),
            Twin(
                "0.2 of the noise",
                "one step",
                replace(STEP["one step"], right=D - gamma / 2 * (1 - stretch) * norm2(F) + noise / 5),
                counterexample=NOISE_ALONE,
            ),
            Twin("without gamma <= 1/(2 L)", "before the perturbation", without=("step limit",)),
        ),
        remarks=(
            "rho = 0 and L rho > 1 are included: nothing is asked of rho.",
            "h is the gradient of the same sample as g, as in the claim, or of an independent one: the steps use of it "
            "its mean and its variance alone.",
        ),
        covers="the one-step inequality that the code iterates, for the same sample in both gradients and for two "
        "independent ones; its use in rates is no claim of the catalogue",
        latex_names={
            "F": r"\nabla f",
            "g": r"\nabla f_v",
            "h": r"\nabla f_{v'}",
            "delta": r"\delta",
            "m": r"\mathbb E\tilde g",
            "sigma2": r"\sigma^2",
            "D_next": r"\mathbb E D_{t+1}",
            "D": "D_t",
        },
    )
)
