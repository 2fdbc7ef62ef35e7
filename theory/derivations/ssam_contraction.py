"""How an unnormalised SAM step contracts: on quadratics, and where H_1 (I + rho H_2) is monotone (B2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from problems.stability import Losses
from theory.claims.ssam_contraction import lipschitz
from theory.claims.ssam_stability import reach
from theory.derivation import Derivation, Given, Lemma, Meets, Step, Twin, derivations
from theory.derivation_facts import facts_at
from theory.derivations.ssam_angles import ANGLE_POINTS, L, a, explicit, mu, rho, sum_cosine, x
from theory.inner_product import dot, norm2, square, vectors
from theory.ssam import expansion, monotonicity

gamma = sp.Symbol("gamma", positive=True)

# -- quadratics: one Hessian --

lam_i = sp.Symbol("lambda", positive=True)
m, M = mu * (1 + rho * mu), L * (1 + rho * L)
stretch = lam_i * (1 + rho * lam_i)

QUADRATIC = (
    Given("lowest", lam_i - mu, ">=", "standard", "an eigenvalue of H is at least mu"),
    Given("highest", L - lam_i, ">=", "standard", "an eigenvalue of H is at most L"),
    Given("step range", 2 - gamma * (m + M), ">=", "hypothesis", "gamma <= 2/(m + M)"),
)

QUADRATIC_STEPS = (
    Step("stretched least", m, "<=", stretch, by=(("lowest", 1 + rho * (lam_i + mu)),)),
    Step("stretched most", stretch, "<=", M, by=(("highest", 1 + rho * (lam_i + L)),)),
    Step("from above", 1 - gamma * stretch, "<=", 1 - gamma * m, by=((gamma, "stretched least"),)),
    Step(
        "from below",
        -(1 - gamma * stretch),
        "<=",
        1 - gamma * m,
        by=(("step range",), (gamma, "stretched most")),
    ),
    Step(
        "one coordinate",
        (1 - gamma * stretch) ** 2,
        "<=",
        (1 - gamma * m) ** 2,
        by=(("from above", "from below"),),
        why="|1 - gamma lambda (1 + rho lambda)| <= 1 - gamma m in every coordinate of the eigenbasis",
    ),
)

QUADRATIC_POINTS = [
    {"mu": 0.1, "L": 1.0, "rho": 0.5, "gamma": 0.3},
    {"mu": 0.4, "L": 2.0, "rho": 0.0, "gamma": 0.7},
    {"mu": 0.05, "L": 1.3, "rho": 3.0, "gamma": 0.1},
]


def _losses(point: Mapping[str, float]) -> tuple[float, float]:
    return reach(facts_at(point, losses=Losses(math.inf, point["L"], point["mu"], 0.0, math.inf)))


derivations.add(
    Derivation(
        id="ssam/usam-quadratic-factor",
        title="Unnormalised SAM on quadratics: factor and best step (B2)",
        claims=("ssam/usam-contraction", "ssam/usam-stability"),
        given=QUADRATIC,
        steps=QUADRATIC_STEPS,
        conclusion="one coordinate",
        meets=(
            Meets("m", m, lambda point: _losses(point)[0], QUADRATIC_POINTS),
            Meets("M", M, lambda point: expansion(point["L"], point["rho"]), QUADRATIC_POINTS),
            Meets("longest step", 2 / (m + M), lambda point: 2 / sum(_losses(point)), QUADRATIC_POINTS),
        ),
        twins=(
            Twin(
                "the same factor for every gamma below 2/M",
                "from below",
                without=("step range",),
                # rho = 0: gradient descent with gamma = 1.9
                counterexample={"mu": sp.Rational(1, 10), "L": 1, "lambda": 1, "rho": 0, "gamma": sp.Rational(19, 10)},
            ),
            Twin(
                "the factor of gradient descent with its ascent forgotten in M",
                "stretched most",
                replace(QUADRATIC_STEPS[1], right=L),
                counterexample={"mu": 1, "L": 1, "lambda": 1, "rho": 1, "gamma": sp.Rational(1, 2)},
            ),
        ),
        remarks=(
            "Equality at lambda = mu for every gamma, and at lambda = L for gamma = 2/(m + M), which is therefore the "
            "best step. gamma M <= 2 alone gives a factor of at most 1, and at lambda = L a larger gamma expands.",
        ),
        covers="the factor max |1 - gamma lambda (1 + rho lambda)| <= 1 - gamma m on quadratics in every coordinate, "
        "hence in norm; it is the step of ssam/usam-stability and a remark of ssam/usam-contraction",
        latex_names={"lambda": r"\lambda_i"},
    )
)


# -- pairs of Hessians: squares --

y, z = vectors("y z")
c = L - mu
low = mu * (1 + rho * mu)

SQUARES = (
    Given("unit", norm2(x) - 1, "=", "definition", "||x|| = 1"),
    Given("H_1 - mu", dot(x, y), ">=", "standard", "y = (H_1 - mu) x, and H_1 - mu is semidefinite"),
    Given("H_2 - mu", dot(x, z), ">=", "standard", "z = (H_2 - mu) x, and H_2 - mu is semidefinite"),
    Given("top of H_1", c * dot(x, y) - norm2(y), ">=", "standard", "0 <= A <= c I gives A^2 <= c A, A = H_1 - mu"),
    Given("top of H_2", c * dot(x, z) - norm2(z), ">=", "standard", "the same of H_2 - mu, c = L - mu"),
)

SQUARES_STEPS = (
    Step(
        "two semidefinite matrices",
        -(c**2) / 8,
        "<=",
        dot(y, z),
        by=(
            (half := sp.Rational(1, 2), square(y + z - c / 2 * x)),
            (half, "top of H_1"),
            (half, "top of H_2"),
            (-(c**2) / 8, "unit"),
        ),
        why="sym(AB) >= -c^2/8 for 0 <= A, B <= c I: 2 <y, z> is ||y + z||^2 less at most c <x, y + z>",
    ),
    Step(
        "monotone",
        low - rho * c**2 / 8,
        "<=",
        dot(mu * x + y, (1 + rho * mu) * x + rho * z),
        by=(
            (rho, "two semidefinite matrices"),
            (low, "unit"),
            (1 + rho * mu, "H_1 - mu"),
            (rho * mu, "H_2 - mu"),
        ),
        why="<H_1 x, (I + rho H_2) x>: m of the claim, its second form",
    ),
)

# At these the squares give the larger m.
SQUARE_POINTS = [
    {"mu": 0.5, "L": 1.0, "rho": 0.2},
    {"mu": 0.3, "L": 2.0, "rho": 0.1},
    {"mu": 0.8, "L": 1.0, "rho": 2.0},
]

derivations.add(
    Derivation(
        id="ssam/monotone-by-squares",
        title="H_1 (I + rho H_2) is monotone for small radii (B2)",
        claims=("ssam/usam-contraction",),
        given=SQUARES,
        steps=SQUARES_STEPS,
        conclusion="monotone",
        meets=(
            Meets(
                "m",
                low - rho * c**2 / 8,
                lambda point: monotonicity(point["mu"], point["L"], point["rho"]),
                SQUARE_POINTS,
            ),
        ),
        twins=(
            Twin(
                "the product of semidefinite matrices is as good as semidefinite",
                "two semidefinite matrices",
                replace(SQUARES_STEPS[0], left=0),
                # c = 1, projections onto lines at 60 degrees on either side of x
                counterexample={
                    "mu": 1, "L": 2, "rho": 1, "x": (1, 0), "y": (sp.Rational(1, 4), sp.sqrt(3) / 4),
                    "z": (sp.Rational(1, 4), -sp.sqrt(3) / 4),
                },
            ),
            Twin(
                "c^2/9 in place of c^2/8",
                "two semidefinite matrices",
                replace(SQUARES_STEPS[0], left=-(c**2) / 9),
                counterexample={
                    "mu": 1, "L": 2, "rho": 1, "x": (1, 0), "y": (sp.Rational(1, 4), sp.sqrt(3) / 4),
                    "z": (sp.Rational(1, 4), -sp.sqrt(3) / 4),
                },
            ),
        ),
        remarks=("c^2/8 is attained: see the counterexamples. It is positive m that makes a contraction.",),
        covers="the second of the two forms of m",
    )
)  # fmt: skip


# -- from there to the contraction --

w, p, q = vectors("w p q")
m_, M_ = sp.symbols("m M", positive=True)
root = sp.Symbol("r", nonnegative=True)

CONTRACTION = (
    Given("unit", norm2(x) - 1, "=", "definition", "||x|| = 1"),
    Given("symmetric", dot(x, w) - dot(p, q), "=", "definition", "p = H_1 x, q = (I + rho H_2) x, w = H_1 q"),
    Given(
        "monotone",
        dot(p, q) - m_,
        ">=",
        "lemma",
        "ssam/monotone-by-squares bounds <p, q> by its m; ssam/monotone-by-angles, by another, under its criterion",
        lemma=Lemma("ssam/monotone-by-squares", "monotone"),
    ),
    Given("largest stretch", M_**2 - norm2(w), ">=", "standard", "||H_1 (I + rho H_2) x|| <= L (1 + rho L) = M"),
    Given("root", root**2 - 1 + 2 * gamma * m_ - gamma**2 * M_**2, "=", "definition", "the factor, a square root"),
    Given("short step", m_ - gamma * M_**2, ">=", "hypothesis", "gamma <= m/M^2: for `half the rate` alone"),
)

CONTRACTION_STEPS = (
    Step(
        "squared",
        norm2(x - gamma * w),
        "<=",
        1 - 2 * gamma * m_ + gamma**2 * M_**2,
        by=((2 * gamma, "monotone"), (gamma**2, "largest stretch"), (-1, "unit"), (2 * gamma, "symmetric")),
    ),
    Step(
        "contraction",
        norm2(x - gamma * w),
        "<=",
        root**2,
        by=(("squared",), ("root",)),
        why="||J x|| <= sqrt(1 - 2 gamma m + gamma^2 M^2) for the Jacobian J at every point, hence for the map",
    ),
    Step(
        "half the rate, squared",
        root**2,
        "<=",
        (1 - gamma * m_ / 2) ** 2,
        by=((gamma, "short step"), (gamma**2 * m_**2 / 4,), (-1, "root")),
    ),
    Step(
        "m is at most M",
        m_,
        "<=",
        M_,
        by=(
            ("monotone",),
            ("symmetric",),
            (1 / (2 * M_), square(M_ * x - w)),
            (1 / (2 * M_), "largest stretch"),
            (-M_ / 2, "unit"),
        ),
        why="<x, w> <= ||w||",
    ),
    Step(
        "positive",
        0,
        "<=",
        1 - gamma * m_ / 2,
        by=(
            ((M_ + m_) / M_**2, "m is at most M"),
            (m_ / M_**2, "short step"),
            (gamma * m_ / 2,),
        ),
        why="gamma m <= m^2/M^2 <= 1",
    ),
)


def _factor_squared(point: Mapping[str, float]) -> float:
    return lipschitz(facts_at(point), {}) ** 2


factor_squared = 1 - 2 * gamma * m_ + gamma**2 * M_**2

derivations.add(
    Derivation(
        id="ssam/usam-contraction",
        title="Unnormalised SAM contracts where H_1 (I + rho H_2) is monotone (B2)",
        claims=("ssam/usam-contraction",),
        given=CONTRACTION,
        steps=CONTRACTION_STEPS,
        conclusion="contraction",
        meets=(
            Meets(
                "squared factor",
                factor_squared.subs({m_: low - rho * c**2 / 8, M_: M}),
                _factor_squared,
                [{**point, "gamma": step} for point, step in zip(SQUARE_POINTS, (0.3, 0.1, 0.05), strict=True)],
            ),
            Meets(
                "squared factor, angles",
                factor_squared.subs({m_: (mu * a * sum_cosine).subs(explicit), M_: M}),
                _factor_squared,
                [{**point, "gamma": step} for point, step in zip(ANGLE_POINTS, (0.05, 1e-4, 0.02), strict=True)],
            ),
        ),
        twins=(
            Twin(
                "the factor 1 - gamma m of a symmetric matrix",
                "squared",
                replace(CONTRACTION_STEPS[0], right=(1 - gamma * m_) ** 2),
                # a step that also turns: w is x and as much across it
                counterexample={
                    "x": (1, 0), "w": (1, 1), "p": (1, 0), "q": (1, 0), "m": 1, "M": sp.sqrt(2),
                    "gamma": sp.Rational(1, 2), "r": sp.sqrt(2) / 2,
                },
            ),
            Twin(
                "half the rate for every step below 2 m/M^2",
                "half the rate, squared",
                without=("short step",),
                counterexample={
                    "x": (1, 0), "w": (1, 0), "p": (1, 0), "q": (1, 0), "m": 1, "M": 1,
                    "gamma": sp.Rational(9, 5), "r": sp.Rational(4, 5),
                },
            ),
        ),
        remarks=(
            "The Lipschitz constant of the map is the largest norm of its Jacobian I - gamma H_1 (I + rho H_2), H_1 "
            "the Hessian at the perturbed point and H_2 at x: the mean value inequality.",
            "Both sides are homogeneous in x, so that ||x|| = 1 is no restriction.",
        ),
        covers="the factor sqrt(1 - 2 gamma m + gamma^2 M^2) from monotonicity, which the two other derivations give, "
        "and at most 1 - gamma m/2 for gamma <= m/M^2; that of the normalised rule (a remark) is not derived",
        latex_names={"r": "r"},
    )
)  # fmt: skip
