"""Saddles: one step of five rules on the eigenvector of a negative eigenvalue -h, and which of them leave (B1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.claims.ssam_saddle import growth
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.ssam import NORMALISED, UNNORMALISED

gamma, h, Y, p = sp.symbols("gamma h Y p", positive=True)
rho, s, renorm, N = sp.symbols("rho s nu N", nonnegative=True)
y = sp.Symbol("y", real=True, nonzero=True)
g, ga, sigma = sp.symbols("g g_a sigma", real=True)

MULTIPLIERS = (
    Given("gradient", g + h * y, "=", "definition", "g = -h y: the gradient on the eigenvector of -h"),
    Given("perturbed gradient", ga + h * (y + s * g), "=", "definition", "the gradient at y + s g"),
    Given("distance", Y**2 - y**2, "=", "definition", "Y = |y| > 0"),
    Given("length", N**2 - g**2, "=", "definition", "N = |g|"),
    Given("normalised ascent", s * N - rho, "=", "definition", "for the normalised ascent alone: s = rho/|g|"),
    Given("renormalisation", renorm**2 * ga**2 - g**2, "=", "definition", "nu = |g|/|g_a| >= 0"),
    Given("sign", sigma**2 - 1, "=", "definition", "sigma = sign(1 - s h)"),
    Given("size", sigma * p - 1 + s * h, "=", "definition", "p = |1 - s h|, which is not 0: g_a is not 0"),
)

MULTIPLIER_STEPS = (
    Step("gradient descent", y - gamma * g, "=", (1 + gamma * h) * y, by=((gamma, "gradient"),)),
    Step(
        "stretched",
        ga,
        "=",
        -h * y * (1 - s * h),
        by=((-1, "perturbed gradient"), (h * s, "gradient")),
        why="the second gradient is the first times 1 - s h",
    ),
    Step(
        "one step",
        y - gamma * ga,
        "=",
        (1 + gamma * h * (1 - s * h)) * y,
        by=((-gamma, "stretched"),),
        why="USAM with s = rho, SAM with s = rho/|g|",
    ),
    Step(
        "length of the gradient",
        N,
        "=",
        h * Y,
        by=((-1 / (N + h * Y), "length"), (h**2 / (N + h * Y), "distance"), ((h * y - g) / (N + h * Y), "gradient")),
    ),
    Step(
        "SAM",
        Y * (1 + gamma * h * (1 - s * h)),
        "=",
        Y + gamma * h * (Y - rho),
        by=((gamma * h, "normalised ascent"), (gamma * h * s, "length of the gradient")),
        why="with s h = rho/|y| the multiplier is 1 + gamma h (1 - rho/|y|)",
    ),
    Step(
        "which sign",
        sigma * p * Y,
        "=",
        Y - rho,
        by=((-Y, "size"), ("normalised ascent",), (s, "length of the gradient")),
        why="normalised ascent: sign(1 - s h) = sign(|y| - rho); unnormalised: s = rho",
    ),
    Step(
        "squares",
        (renorm * p) ** 2,
        "=",
        1,
        by=(
            (-1 / (h * y) ** 2, "renormalisation"),
            (-(renorm**2) * (ga - h * y * (1 - s * h)) / (h * y) ** 2, "stretched"),
            (-(g - h * y) / (h * y) ** 2, "gradient"),
            (renorm**2 * p**2, "sign"),
            (-(renorm**2) * (sigma * p + 1 - s * h), "size"),
        ),
        why="nu^2 h^2 y^2 (1 - s h)^2 = h^2 y^2 and (1 - s h)^2 = p^2",
    ),
    Step(
        "undone",
        renorm * p,
        "=",
        1,
        by=((1 / (renorm * p + 1), "squares"),),
        why="nu p >= 0: renormalising undoes the size of 1 - s h and leaves its sign",
    ),
    Step(
        "renormalised gradient",
        renorm * ga,
        "=",
        -h * y * sigma,
        by=((renorm, "stretched"), (-h * y * renorm, "size"), (-h * y * sigma, "undone")),
    ),
    Step(
        "SSAM",
        y - gamma * renorm * ga,
        "=",
        (1 + gamma * h * sigma) * y,
        by=((-gamma, "renormalised gradient"),),
        why="the multiplier is 1 + gamma h sign(1 - s h)",
    ),
)


def _points(*, normalised: bool = False) -> list[Mapping[str, float]]:
    rng = np.random.default_rng(0)
    found: list[Mapping[str, float]] = []
    for part in (0.2, 0.7, 1.4, 3.0):
        at, curvature, size = rng.choice([-1, 1]) * rng.uniform(0.1, 2), rng.uniform(0.2, 3), abs(1 - part)
        radius = part * abs(at) if normalised else part / curvature
        found.append(
            {
                "y": at, "Y": abs(at), "h": curvature, "gamma": rng.uniform(0.1, 0.9) / curvature, "rho": radius,
                "s": part / curvature, "sigma": np.sign(1 - part), "p": size, "nu": 1 / size,
            }
        )  # fmt: skip
    return found


def _multiplier(rule: str) -> Callable[[Mapping[str, float]], float]:
    def code(point: Mapping[str, float]) -> float:
        facts = facts_at(point, spectrum=(1.0, -point["h"]))
        return float(1 + growth(rule, facts, np.array([point["y"]]))[0])

    return code


derivations.add(
    Derivation(
        id="ssam/saddle",
        title="Multipliers of five rules at a saddle (B1)",
        claims=("ssam/saddle",),
        given=MULTIPLIERS,
        steps=MULTIPLIER_STEPS,
        conclusion="SSAM",
        meets=(
            Meets("gradient descent", 1 + gamma * h, _multiplier("sgd"), _points()),
            Meets("USAM", 1 + gamma * h * (1 - s * h), _multiplier("usam"), _points()),
            Meets("SSAM, unnormalised", 1 + gamma * h * sigma, _multiplier(UNNORMALISED), _points()),
            Meets("SAM", (Y + gamma * h * (Y - rho)) / Y, _multiplier("sam"), _points(normalised=True)),
            Meets("SSAM, normalised", 1 + gamma * h * sigma, _multiplier(NORMALISED), _points(normalised=True)),
        ),
        twins=(
            Twin(
                "SSAM always leaves, as gradient descent does",
                "SSAM",
                replace(MULTIPLIER_STEPS[-1], right=(1 + gamma * h) * y),
                # rho h = 2: the perturbed gradient points the other way
                counterexample={
                    "gamma": sp.Rational(1, 2), "h": 1, "y": 1, "Y": 1, "rho": 2, "s": 2, "g": -1, "N": 1,
                    "g_a": 1, "nu": 1,
                    "sigma": -1, "p": 1,
                },
            ),
            Twin("a factor that is no sign", "squares", without=("sign",)),
        ),
        remarks=(
            "Where 1 - s h = 0 the perturbed gradient is 0 and neither USAM, SAM nor SSAM moves; at y = 0 none does.",
            "Coordinates along other eigenvectors are 0 and stay 0: their gradients are.",
        ),
        covers="all five multipliers, unnormalised ascent with s = rho and normalised with s = rho/(h|y|); which rule "
        "leaves the saddle is ssam/saddle-escape",
        latex_names={"g_a": "g_a", "nu": r"\nu"},
    )
)  # fmt: skip


t = sp.Symbol("t", positive=True)  # gamma h
inside, above = sp.symbols("c a", positive=True)  # 1 - rho h and |y| - rho where they are positive
below, W = sp.symbols("e W", nonnegative=True)  # rho h - 1 where it is nonnegative; |y| where it is at most rho

ESCAPE = (
    Given("short step", 1 - t, ">", "hypothesis", "t = gamma h < 1"),
    Given("no overshoot", 2 - t * below, ">=", "hypothesis", "gamma h (rho h - 1) <= 2: for `USAM stays` alone"),
    Given("near", rho - W, ">=", "hypothesis", "W = |y| <= rho: for the steps named `stays`"),
)

ESCAPE_STEPS = (
    Step(
        "USAM leaves",
        1,
        "<",
        (1 + t * inside) ** 2,
        by=((2 * t * inside,), (t * inside, t * inside)),
        why="c = 1 - rho h > 0",
    ),
    Step(
        "USAM stays",
        (1 - t * below) ** 2,
        "<=",
        1,
        by=((t * below, "no overshoot"),),
        why="1 - rho h = -e <= 0, and gamma h (rho h - 1) <= 2",
    ),
    Step("SSAM leaves", 1, "<", (1 + t) ** 2, by=((2 * t,), (t, t)), why="sigma = 1"),
    Step("SSAM comes nearer", (1 - t) ** 2, "<", 1, by=((t, "short step"), (t,)), why="sigma = -1"),
    Step(
        "SAM leaves",
        (rho + above) + t * above - rho,
        "=",
        (1 + t) * above,
        why="from |y| = rho + a the distance to the edge |y| = rho grows by the factor 1 + t",
    ),
    Step(
        "SAM stays, above",
        W + t * (W - rho),
        "<=",
        rho,
        by=((1 + t, "near"),),
        why="the step ends at most at rho, on the side where it began or on the other",
    ),
    Step("SAM stays", -rho, "<=", W + t * (W - rho), by=((1 + t, W), ("short step", rho))),
)


def _escape_points() -> list[Mapping[str, float]]:
    # gamma = 1/2: t = h/2; rho h on either side of 1
    values = ((0.4, 0.5), (1.2, 0.3), (0.9, 0.7), (1.5, 0.1))
    return [{"t": c / 2, "h": c, "gamma": 0.5, "rho": r, "y": 2.5, "a": 2.5 - r, "c": 1 - r * c} for c, r in values]


def _usam_squared(point: Mapping[str, float]) -> float:
    return _multiplier("usam")(point) ** 2


def _sam_end(point: Mapping[str, float]) -> float:
    return _multiplier("sam")(point) * point["y"] - point["rho"]


derivations.add(
    Derivation(
        id="ssam/saddle-escape",
        title="Which rules leave a saddle (B1)",
        claims=("ssam/saddle",),
        given=ESCAPE,
        steps=ESCAPE_STEPS,
        conclusion="SAM stays",
        meets=(
            Meets("USAM, squared multiplier", (1 + t * inside) ** 2, _usam_squared, _escape_points()),
            Meets("SAM, distance to the edge", (1 + t) * above, _sam_end, _escape_points()),
        ),
        twins=(
            Twin(
                "unnormalised SAM stays wherever rho h > 1",
                "USAM stays",
                without=("no overshoot",),
                # h = 1, gamma = 9/10, rho = 5: the multiplier is 1 - 3.6
                counterexample={"t": sp.Rational(9, 10), "e": 4, "rho": 5, "W": 1},
            ),
            Twin(
                "SAM stays within rho for any step",
                "SSAM comes nearer",
                without=("short step",),
                counterexample={"t": 3, "rho": 1, "W": 0, "e": 0},
            ),
        ),
        witnesses=({"t": sp.Rational(1, 2), "e": 1, "rho": 1, "W": sp.Rational(1, 2)},),
        remarks=(
            "gamma h < 1 alone does not make unnormalised SAM stay where rho h > 1: for gamma h (rho h - 1) > 2 its "
            "multiplier is below -1, and it leaves by overshooting. Equality everywhere at c = 0, e = 0, a = 0.",
            "SAM at |y| < rho need not come nearer to the saddle: it stays within |y| <= rho.",
        ),
        covers="for each rule on the line the exact condition under which one step leads away, or keeps it in |y| <= "
        "rho; gradient descent is `SSAM leaves` without a condition",
        latex_names={"c": "1-\\rho h", "e": "(\\rho h-1)", "a": "(|y|-\\rho)", "W": "|y|"},
    )
)
