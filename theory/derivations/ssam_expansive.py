"""Beyond rho* an unnormalised SAM step can take two points apart: the natural lemma is false on pairs (B2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import sympy as sp

from theory.derivation import Derivation, Given, Meets, Step, Twin, derivations
from theory.derivations.ssam_angles import T1, T2, L, P, R, a, b, explicit, mu, r1, r2
from theory.ssam import angles

gamma = sp.Symbol("gamma", positive=True)

TOO_FAR = (
    Given("root 1", r1**2 - mu * L, "=", "definition", "r_1 = sqrt(mu L)"),
    Given("root 2", r2**2 - a * b, "=", "definition", "r_2 = sqrt(a b), a = 1 + rho mu, b = 1 + rho L"),
    Given("tangent 1", 2 * T1 * r1 - (L - mu), "=", "definition", "T_1 = tan theta_1"),
    Given("tangent 2", 2 * T2 * r2 - (b - a), "=", "definition", "T_2 = tan theta_2"),
    Given("P", P * (L + mu) - 2 * mu * L, "=", "definition", "first entry of H_1 = ((P, T_1 P), (T_1 P, L + mu - P))"),
    Given("R", R * (a + b) - 2 * a * b, "=", "definition", "of I + rho H_2 = ((R, -T_2 R), (-T_2 R, a + b - R))"),
    Given("too far", T1 * T2 - 1, ">", "hypothesis", "theta_1 + theta_2 > pi/2, that is rho > rho*"),
)

moved_first = 1 - gamma * (P * R - T1 * T2 * P * R)  # first coordinate of x - gamma H_1 (I + rho H_2) x, x = e_1
moved_second = -gamma * (T1 * P * R - (L + mu - P) * T2 * R)

TOO_FAR_STEPS = (
    Step(
        "eigenvalues of H_1",
        P * (L + mu - P) - (T1 * P) ** 2,
        "=",
        mu * L,
        by=(
            (P**2 * (2 * T1 * r1 + L - mu) / (4 * mu * L), "tangent 1"),
            (-(T1**2) * P**2 / (mu * L), "root 1"),
            ((P * (L + mu) - 2 * mu * L) / (4 * mu * L), "P"),
        ),
        why="trace L + mu and this determinant: they are mu and L",
    ),
    Step(
        "eigenvalues of I + rho H_2",
        R * (a + b - R) - (T2 * R) ** 2,
        "=",
        a * b,
        by=(
            (R**2 * (2 * T2 * r2 + b - a) / (4 * a * b), "tangent 2"),
            (-(T2**2) * R**2 / (a * b), "root 2"),
            ((R * (a + b) - 2 * a * b) / (4 * a * b), "R"),
        ),
        why="they are 1 + rho mu and 1 + rho L",
    ),
    Step(
        "not monotone",
        P * R - T1 * P * T2 * R,
        "<",
        0,
        by=(("too far", P * R),),
        why="<H_1 x, (I + rho H_2) x> for x = e_1",
    ),
    Step(
        "apart",
        1,
        "<",
        moved_first**2 + moved_second**2,
        by=((2 * gamma, "not monotone"), ((moved_first - 1) ** 2,), (moved_second**2,)),
        why="||(I - gamma H_1 (I + rho H_2)) e_1|| > 1 for every gamma > 0, however small",
    ),
)

TOO_FAR_POINTS = [
    {"mu": 0.02, "L": 1.0, "rho": 1.0},
    {"mu": 0.05, "L": 2.0, "rho": 3.0},
    {"mu": 0.1, "L": 1.0, "rho": 30.0},
]


def _rate(point: Mapping[str, float]) -> float:
    """The largest rate at which a step takes two points apart, -<H_1 x, (I + rho H_2) x> for the pair above."""
    mu, L, rho = point["mu"], point["L"], point["rho"]
    one, two = angles(mu, L, rho)

    def turning(low: float, high: float, angle: float) -> np.ndarray:
        # Unit x between the eigenvectors such that the matrix turns it by its largest angle.
        share = low / (low + high)
        e, f = math.sqrt(share), math.sqrt(1 - share)
        x, across = np.array([f, e]), np.array([-e, f])
        D = np.diag([low, high])
        assert math.isclose(math.atan2(across @ D @ x, x @ D @ x), angle, rel_tol=1e-9)
        return np.array([x @ D @ x, across @ D @ x])

    H, B = turning(mu, L, one), turning(1 + rho * mu, 1 + rho * L, two)
    return float(H[1] * B[1] - H[0] * B[0])


derivations.add(
    Derivation(
        id="ssam/usam-expansive",
        title="Beyond rho* some pair of Hessians takes two points apart at every step size (B2)",
        claims=("ssam/usam-expansive", "ssam/usam-contraction"),
        given=TOO_FAR,
        steps=TOO_FAR_STEPS,
        conclusion="apart",
        meets=(
            Meets(
                "rate at which points move apart",
                (P * R * (T1 * T2 - 1)).subs({**explicit, P: 2 * mu * L / (L + mu), R: 2 * a * b / (a + b)}),
                _rate,
                TOO_FAR_POINTS,
            ),
        ),
        twins=(
            Twin(
                "convex and smooth is enough",
                "not monotone",
                without=("too far",),
                # mu = 1, L = 4, rho = 5/7: monotone
                counterexample={
                    "mu": 1, "L": 4, "rho": sp.Rational(5, 7), "r_1": 2, "r_2": sp.Rational(18, 7),
                    "T_1": sp.Rational(3, 4), "T_2": sp.Rational(5, 12), "P": sp.Rational(8, 5),
                    "R": sp.Rational(216, 91),
                },
            ),
            Twin(
                "the pair turns the same way",
                "not monotone",
                replace(TOO_FAR_STEPS[2], left=P * R + T1 * P * T2 * R),
                counterexample={
                    "mu": 1, "L": 9, "rho": sp.Rational(5, 4), "r_1": 3, "r_2": sp.Rational(21, 4),
                    "T_1": sp.Rational(4, 3), "T_2": sp.Rational(20, 21), "P": sp.Rational(9, 5),
                    "R": sp.Rational(441, 116),
                },
            ),
        ),
        remarks=("At theta_1 + theta_2 = pi/2 the same pair has <H_1 x, (I + rho H_2) x> = 0: that is sharp.",),
        covers="that the Jacobian's form I - gamma H_1 (I + rho H_2) with H_1, H_2 in [mu, L] does not make a step "
        "non-expansive beyond rho*; that one function has such Hessians at x and at the perturbed point is the stored "
        "counterexample of the claim, measured and not derived",
        latex_names={"T_1": r"\tan\theta_1", "T_2": r"\tan\theta_2", "r_1": "r_1", "r_2": "r_2"},
    )
)  # fmt: skip
