"""The example steps of Unified SAM are admissible, with 17/4 in place of 8; and A + B mu >= mu, which that uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Lemma, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.derivations.unified_sam_pl import A, B, C, F, K, L, P, g, gamma, lam, mu, rho, room
from theory.inner_product import dot, norm2, square
from theory.unified_sam import K_factor, largest_radius, largest_step, residual

R = B * mu + A
u = L * rho
CLAIMS = ("unified-sam/pl-constant", "unified-sam/pl-deterministic", "unified-sam/pl-interpolation")


def _points() -> list[Mapping[str, float]]:
    rng = np.random.default_rng(4)
    return [
        {
            "mu": rng.uniform(0.05, 1), "L": rng.uniform(1, 3), "A": rng.uniform(0, 4), "B": rng.uniform(1, 2),
            "C": rng.uniform(0, 2), "lam": rng.uniform(0, 1), "rho": rng.uniform(0, 0.01), "gamma": rng.uniform(0, 0.1),
        }
        for _ in range(5)
    ]  # fmt: skip


POINTS = _points()

# -- A + B mu >= mu --


def residual_floor(difference: sp.Expr) -> Given:
    """A + B mu - mu >= 0, as a lemma for other derivations, in their symbols."""
    return Given(
        "residual floor",
        difference,
        ">=",
        "lemma",
        "unified-sam/residual-floor has it up to any eta > 0",
        lemma=Lemma(
            "unified-sam/residual-floor",
            "up to any eta",
            granted={"ER": "here too", "PL": "here too", "1 - B": "for B >= 1 it is clear"},
        ),
    )


D, eta = sp.symbols("D eta", positive=True)
"""At a point that is no minimiser."""

FLOOR = (
    Step(
        "noise",
        norm2(F),
        "<=",
        norm2(g),
        by=((square(g - F),), (2, "unbiased")),
        why="E||g||^2 = ||E g||^2 + E||g - E g||^2",
    ),
    Step(
        "at every point",
        (1 - B) * 2 * mu * D,
        "<=",
        2 * A * D + C,
        by=(("1 - B", "PL"), ("noise",), ("ER",)),
        why="for B <= 1; for B > 1 there is nothing to show",
    ),
    Step(
        "divided",
        mu - R,
        "<=",
        C / (2 * D),
        by=((1 / (2 * D), "at every point"),),
    ),
    Step(
        "up to any eta",
        mu - R,
        "<=",
        eta,
        by=(("divided",), (1 / (2 * D), "far up")),
        why="for every eta > 0, hence mu - (A + B mu) <= 0",
    ),
)

derivations.add(
    Derivation(
        id="unified-sam/residual-floor",
        title="A + B mu >= mu for every smooth PL function that is not constant",
        claims=CLAIMS,
        given=(
            Given("unbiased", dot(F, g) - norm2(F), "=", "definition", "E grad f_v = grad f"),
            Given("ER", 2 * A * D + B * norm2(F) + C - norm2(g), ">=", "hypothesis", "the expected-residual condition"),
            Given("PL", norm2(F) - 2 * mu * D, ">=", "hypothesis", "f is mu-PL"),
            Given("1 - B", 1 - B, ">=", "hypothesis", "the case B <= 1"),
            Given(
                "far up",
                2 * eta * D - C,
                ">=",
                "standard",
                "f - f* is unbounded: it grows along gradient ascent as D' = ||grad f||^2 >= 2 mu D > 0",
            ),
        ),
        steps=FLOOR,
        conclusion="up to any eta",
        meets=(Meets("B mu + A", R, lambda point: residual(facts_at(point)), POINTS),),
        twins=(
            Twin(
                "A + B mu >= 2 mu",
                "up to any eta",
                replace(FLOOR[3], left=2 * mu - R),
                # full batch on x^2/2
                counterexample={
                    "mu": 1, "A": 0, "B": 1, "C": 0, "D": 2, "eta": sp.Rational(1, 2), "F": (2,), "g": (2,),
                },
            ),
            Twin("without the PL inequality", "at every point", without=("PL",)),
        ),
        remarks=("For B > 1 the inequality A + B mu >= mu is plain, as A >= 0.",),
        covers="mu - (A + B mu) <= eta for every eta > 0; that f - f* is unbounded along gradient ascent is the "
        "standard argument with D' >= 2 mu D, not a step",
        latex_names={"F": r"\nabla f", "g": r"\nabla f_v"},
    )
)  # fmt: skip

# -- example steps --

R_symbol = sp.Symbol("R", positive=True)  # A + B mu
room_R = mu - u * (mu + 2 * R_symbol * P) - 2 * L * gamma * R_symbol * K
tightest = {lam: 1 - 1 / sp.sqrt(2), R_symbol: mu, rho: 1 / (4 * L), gamma: 4 / (17 * L)}

EXAMPLE = (
    Step(
        "K",
        K,
        "<=",
        sp.Rational(17, 16),
        by=(
            (1 / R_symbol, u / 4, "radius at P"),
            (1 / R_symbol, mu / 4, "radius"),
            (sp.Rational(1, 16) / R_symbol, "residual floor"),
        ),
        why="2 (L rho)^2 (1 - lam)^2 <= L rho mu/(4 (B mu + A)) <= 1/16",
    ),
    Step(
        "radius below rho*",
        mu / 2,
        "<=",
        mu - u * (mu + 2 * R_symbol * P),
        by=((mu, "radius"), (sp.Rational(1, 4), "radius at P")),
    ),
    Step(
        "step range",
        0,
        "<=",
        room,
        by=(
            ("radius below rho*",),
            (8 * mu / 17, "K"),
            (2 * K / 17, "step"),
            (2 * u * P + 2 * L * gamma * K, "residual"),
        ),
        why="gamma <= gamma*(rho), with 17/4 in place of 8",
    ),
    Step(
        "attained",
        room_R.subs(tightest),
        "=",
        0,
        why="at A + B mu = mu, (1 - lam)^2 = 1/2, L rho = 1/4: no number below 17/4 would do",
    ),
    Step(
        "contraction factor",
        gamma * mu,
        "<=",
        sp.Rational(1, 2),
        by=(
            (1 / (2 * mu), "step range"),
            (u * (mu + 2 * R * P) / (2 * mu),),
            (2 * gamma * L**3 * rho**2 * R * P / mu,),
            (gamma * L / mu, "residual floor"),
            (-gamma * L / mu, "residual"),
            (gamma, "mu below L"),
        ),
        why="from the step range alone: 1 - gamma mu >= 0 in the iteration of U1",
    ),
)

derivations.add(
    Derivation(
        id="unified-sam/step-choice",
        title="rho = min(1, mu/(2 (B mu + A)(1 - lam)^2))/(4 L) and gamma = mu/(8 L (B mu + A)) are admissible",
        claims=CLAIMS,
        given=(
            Given("residual", R_symbol - R, "=", "definition", "R = B mu + A"),
            residual_floor(R_symbol - mu),
            Given("mu below L", L - mu, ">=", "standard", "2 mu D <= ||grad f||^2 <= 2 L D"),
            Given("radius", sp.Rational(1, 4) - u, ">=", "hypothesis", "rho <= 1/(4 L)"),
            Given(
                "radius at P",
                mu - 8 * u * R_symbol * P,
                ">=",
                "hypothesis",
                "rho <= mu/(8 L (B mu + A)(1 - lam)^2); no limit at lam = 1",
            ),
            Given(
                "step",
                4 * mu - 17 * L * gamma * R_symbol,
                ">=",
                "hypothesis",
                "gamma <= 4 mu/(17 L (B mu + A)), which mu/(8 L (B mu + A)) is",
            ),
        ),
        steps=EXAMPLE,
        conclusion="step range",
        meets=(
            Meets("K", K, lambda point: float(K_factor(facts_at(point), point["rho"])), POINTS),
            Meets("rho*", mu / (L * (mu + 2 * R * P)), lambda point: largest_radius(facts_at(point)), POINTS),
            Meets(
                "gamma*",
                gamma + room / (2 * L * R * K),
                lambda point: largest_step(facts_at(point), point["rho"]),
                POINTS,
            ),
        ),
        twins=(
            Twin(
                "4.2 in place of 17/4",
                "step range",
                replace(EXAMPLE[2], right=room.subs(gamma, gamma * sp.Rational(85, 84))),
                counterexample={
                    "mu": 1, "L": 1, "A": 0, "B": 1, "R": 1, "lam": 1 - 1 / sp.sqrt(2), "rho": sp.Rational(1, 4),
                    "gamma": sp.Rational(4, 17),
                },
            ),
            Twin("without A + B mu >= mu", "K", without=("residual floor",)),
            Twin("without a limit on rho where lam < 1", "K", without=("radius at P",)),
        ),
        remarks=(
            "At lam = 1 the second limit on rho is empty: (1 - lam)^2 = 0.",
            "min(2, mu/(8 (B mu + A))) is always its second argument, which is at most 1/8.",
        ),
        covers="that the example steps lie inside the step range of U1 and where they touch it; gamma mu <= 1/2 inside "
        "the whole range",
        latex_names={"R": "R"},
    )
)  # fmt: skip
