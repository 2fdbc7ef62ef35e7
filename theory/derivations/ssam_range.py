"""The step sizes with which SSAM and unnormalised SAM converge on a quadratic: what is algebra in the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from theory.claims.ssam_range import longest_step
from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.ssam import UNNORMALISED

gamma, mu, L, lam_i, G, Q, rest = sp.symbols("gamma mu L lambda G Q H_rest", positive=True)
s, renorm, below, epsilon, rho = sp.symbols("s nu H_below epsilon rho", nonnegative=True)
a, b = 1 + s * mu, 1 + s * L
stretch = 1 + s * lam_i

GIVEN = (
    Given("lowest", lam_i - mu, ">=", "standard", "lambda is an eigenvalue of H"),
    Given("highest", L - lam_i, ">=", "standard", "lambda is an eigenvalue of H"),
    Given("renormalisation", renorm * Q - G, "=", "definition", "nu = ||g||/||g_a||, G = ||g|| > 0, Q = ||g_a||"),
    Given("least stretched", Q - a * G, ">=", "standard", "g_a = (I + s H) g"),
    Given("most stretched", b * G - Q, ">=", "standard", "g_a = (I + s H) g"),
    Given("two parts", G**2 - below - rest, "=", "definition", "||g||^2 below lambda, and from lambda on"),
    Given("small part", epsilon**2 * rest - below, ">=", "hypothesis", "what lies below lambda has decayed"),
    Given("rest stretched", Q**2 - stretch**2 * rest, ">=", "standard", "by 1 + s lambda at least"),
    Given("step range", 2 - gamma * L * (1 + rho * L), ">", "hypothesis", "gamma L (1 + rho L) < 2: for USAM alone"),
)
STEPS = (
    Step("nu a <= 1", renorm * a, "<=", 1, by=((renorm / G, "least stretched"), (-1 / G, "renormalisation"))),
    Step("nu b >= 1", 1, "<=", renorm * b, by=((renorm / G, "most stretched"), (1 / G, "renormalisation"))),
    Step(
        "bounded",
        renorm * stretch,
        "<=",
        lam_i / mu,
        by=(("nu a <= 1", lam_i / mu), (renorm / mu, "lowest")),
        why="the multiplier 1 - gamma nu lambda (1 + s lambda) of a coordinate is bounded",
    ),
    Step(
        "at least",
        lam_i / L,
        "<=",
        renorm * stretch,
        by=(("nu b >= 1", lam_i / L), (renorm / L, "highest")),
        why="and the multiplier is at most 1 - gamma lambda^2/L < 1",
    ),
    Step(
        "when lower ones have decayed",
        (renorm * stretch) ** 2,
        "<=",
        1 + epsilon**2,
        by=(
            (renorm**2 / rest, "rest stretched"),
            (1 / rest, "small part"),
            (-(renorm * Q + G) / rest, "renormalisation"),
            (-1 / rest, "two parts"),
        ),
        why="for epsilon so small that gamma lambda sqrt(1 + epsilon^2) < 2 the coordinate contracts",
    ),
    Step(
        "USAM",
        -1,
        "<",
        1 - gamma * lam_i * (1 + rho * lam_i),
        by=(("step range",), (gamma * (1 + rho * (L + lam_i)), "highest")),
        why="and it is below 1: every coordinate contracts",
    ),
)

POINTS: list[Mapping[str, float]] = [
    {"L": 1.0, "rho": 0.5},
    {"L": 2.0, "rho": 0.0},
    {"L": 0.7, "rho": 8.0},
]

# The top eigenvector, where nothing lies below and the rule is gradient descent.
TOP: Mapping[str, sp.Expr | int] = {
    "gamma": 1, "mu": 1, "L": 1, "lambda": 1, "G": 1, "Q": 2, "H_rest": 1, "s": 1, "nu": sp.Rational(1, 2),
    "H_below": 0, "epsilon": 0, "rho": 0,
}  # fmt: skip

derivations.add(
    Derivation(
        id="ssam/step-range-algebra",
        title="Step ranges on quadratics: multipliers of SSAM and of unnormalised SAM (B8)",
        claims=("ssam/step-range",),
        given=GIVEN,
        steps=STEPS,
        conclusion="when lower ones have decayed",
        meets=(
            Meets(
                "longest step of USAM", 2 / (L * (1 + rho * L)), lambda p: longest_step("usam", facts_at(p)), POINTS
            ),
            Meets("longest step of SSAM", 2 / L, lambda p: longest_step(UNNORMALISED, facts_at(p)), POINTS),
        ),
        twins=(
            Twin(
                "USAM with the range of gradient descent",
                "USAM",
                without=("step range",),
                counterexample={**TOP, "gamma": sp.Rational(3, 2), "rho": 1},
            ),
            Twin(
                "renormalising shrinks every coordinate's step",
                "bounded",
                replace(STEPS[2], right=1),
                # H = diag(1, 4), s = 1 and g = (sqrt 21, 2)/5, mostly along the lower eigenvector
                counterexample={
                    "gamma": sp.Rational(1, 4), "mu": 1, "L": 4, "lambda": 4, "G": 1, "Q": sp.sqrt(184) / 5,
                    "H_rest": sp.Rational(4, 25), "s": 1, "nu": 5 / sp.sqrt(184), "H_below": sp.Rational(21, 25),
                    "epsilon": 3, "rho": 0,
                },
            ),
        ),
        remarks=("From gamma L = 2 on the top eigenvector does not contract: there SSAM is gradient descent.",),
        covers="the bounds of the multipliers that the proof uses (1), (2) and those of unnormalised SAM; that one "
        "coordinate after the other decays geometrically, from the lowest eigenvalue up, is by hand",
        latex_names={"lambda": r"\lambda_j", "nu": r"\nu", "H_rest": r"\|g_{\ge}\|^2", "H_below": r"\|g_<\|^2"},
    )
)  # fmt: skip
