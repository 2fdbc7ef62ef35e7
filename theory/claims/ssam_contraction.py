"""When a step of unnormalised SAM brings two points together: a criterion on the Hessian's condition and the radius."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from problems.problem import Matrix
from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.families import given
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.ssam import NOT_READ, PAPER, expansion, monotonicity, widest_radius
from theory.trial import EPS, Lab, Scale, Trial, Values
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA
from theory.unified_sam_cases import BREAST

TURNS = np.linspace(0, math.pi / 2, 181)
"""Angles between the eigenbases of two 2 x 2 Hessians; the extremal pair has two eigenvalues each."""


def pairs(mu: float, L: float, rho: float) -> tuple[Matrix, Matrix]:
    """H_1 = diag(mu, L) and I + rho H_2 with H_2 the same turned by each of TURNS, shapes (2, 2) and (181, 2, 2)."""
    c, s = np.cos(TURNS), np.sin(TURNS)
    turn = np.moveaxis(np.array([[c, -s], [s, c]]), 2, 0)
    H = np.diag([mu, L])
    return H, np.eye(2) + rho * turn @ H @ turn.transpose(0, 2, 1)


def _constants(facts: Facts) -> tuple[float, float, float, float]:
    """mu, L, m and M."""
    mu, L, rho = facts.strong_convexity, facts.L_f, facts.rho.largest
    return mu, L, monotonicity(mu, L, rho), expansion(L, rho)


def lipschitz(facts: Facts, scale: Scale) -> float:
    """sqrt(1 - 2 s gamma m + gamma^2 M^2), 0 where the root is of a negative number."""
    _, _, m, M = _constants(facts)
    gamma = facts.gamma.largest
    return math.sqrt(max(1 - 2 * scale.get("monotonicity", 1.0) * gamma * m + (gamma * M) ** 2, 0.0))


def monotone(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """lambda_min of the symmetric part of H_1 (I + rho H_2) >= m, on pairs."""
    mu, L, m, M = _constants(facts)
    H, B = pairs(mu, L, facts.rho.largest)
    product = H @ B
    lowest: Values = np.asarray(np.linalg.eigvalsh((product + product.transpose(0, 2, 1)) / 2)[:, 0], dtype=np.float64)

    def stated(scale: Scale) -> Values:
        return np.full(len(TURNS), scale.get("monotonicity", 1.0) * m)

    return Trial("pairs of Hessians, lowest eigenvalues", np.arange(len(TURNS), dtype=float), lowest, stated,
                 np.full(len(TURNS), 32 * EPS * M), ">=")  # fmt: skip


def contraction(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||I - gamma H_1 (I + rho H_2)|| <= sqrt(1 - 2 gamma m + gamma^2 M^2), on pairs."""
    mu, L, _, M = _constants(facts)
    gamma = facts.gamma.largest
    H, B = pairs(mu, L, facts.rho.largest)
    norms: Values = np.asarray(np.linalg.svd(np.eye(2) - gamma * H @ B, compute_uv=False)[:, 0], dtype=np.float64)

    def stated(scale: Scale) -> Values:
        return np.full(len(TURNS), lipschitz(facts, scale))

    # The squares under the root carry the roundings; the root of a small number has more of them.
    error = 64 * EPS * (1 + gamma * M) ** 2 / max(lipschitz(facts, {}), 1e-8)
    return Trial(
        "pairs of Hessians, norms", np.arange(len(TURNS), dtype=float), norms, stated, np.full(len(TURNS), error)
    )


APART = 0.01
"""Half the distance of two neighbouring points."""

DIRECTIONS = 60


def directions(d: int) -> Matrix:
    """Unit vectors, shape (P, d): on the line one, in the plane angles of 3 degrees, else 60 at random and the axes."""
    if d == 1:
        return np.ones((1, 1))
    if d == 2:
        angle = np.arange(DIRECTIONS) * math.pi / DIRECTIONS
        return np.column_stack([np.cos(angle), np.sin(angle)])
    drawn = np.random.default_rng([d, 0x5A]).standard_normal((DIRECTIONS, d))
    units = drawn / np.linalg.norm(drawn, axis=1)[:, None]
    return np.concatenate([units, np.eye(d)]) if d <= 64 else units


def ratios(setting: Setting, lab: Lab) -> tuple[Values, float]:
    """How much further apart one step takes x_0 + a u and x_0 - a u, for every direction u, and its rounding."""
    u = directions(setting.problem.d)
    before = np.concatenate([setting.x0 + APART * u, setting.x0 - APART * u])
    after = lab.step(setting, before)
    half = len(u)
    apart = np.linalg.norm(after[:half] - after[half:], axis=1) / np.linalg.norm(before[:half] - before[half:], axis=1)
    place = float(np.abs(before).max() + np.abs(after).max())
    return np.asarray(apart), 8 * (setting.problem.d + setting.problem.n + 8) * EPS * place / APART


def two_points(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||T(x) - T(y)|| <= sqrt(1 - 2 gamma m + gamma^2 M^2) ||x - y|| for the compiled step T on the function itself."""
    apart, error = ratios(setting, lab)
    rounding = error * (1 + facts.gamma.largest * expansion(facts.L_f, facts.rho.largest))

    def stated(scale: Scale) -> Values:
        return np.full(len(apart), lipschitz(facts, scale))

    return Trial("one step from two points", np.arange(len(apart), dtype=float), apart, stated,
                 np.full(len(apart), rounding))  # fmt: skip


def _step_limit(facts: Facts) -> float:
    """2 m/M^2: below it the factor is less than 1."""
    _, _, m, M = _constants(facts)
    return 2 * m / M**2


def suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """Half of the radius that the criterion allows (1/L where it allows any), and part of m/M^2."""
    mu, L = facts.strong_convexity, facts.L_f
    rho = rho_part * min(widest_radius(mu, L) / 2, 1 / L)
    return constant(part * _step_limit(facts.with_steps(0.0, rho)) / 2), constant(rho)


STRONGLY_CONVEX = Hypothesis(
    "strong convexity",
    lambda f: f.strong_convexity,
    ">",
    lambda f: 0.0,
    "f is strongly convex: its Hessian's eigenvalues lie in [mu, L] with mu > 0",
)
CRITERION = Hypothesis(
    "rho",
    lambda f: f.rho.largest,
    "<",
    lambda f: widest_radius(f.strong_convexity, f.L_f),
    "rho < rho* = 4 sqrt(mu L)/((L + mu)(L - mu - 2 sqrt(mu L))), any rho where L/mu <= 3 + 2 sqrt 2",
)


def draw(rng: np.random.Generator, claim: Claim) -> Instance:
    """Any condition number, radius up to the criterion (or 10/L), step up to its limit."""
    mu = float(f"{10 ** rng.uniform(-2, -0.01):.3g}")
    rho = float(f"{rng.uniform(0.02, 0.98) * min(widest_radius(mu, 1.0), 10.0):.3g}")
    gamma = rng.uniform(0.05, 0.95) * 2 * monotonicity(mu, 1.0, rho) / expansion(1.0, rho) ** 2
    problem = f"quadratic:d=2,mu={mu},L=1,seed={rng.integers(10**6)}"
    return given(claim, problem, gamma=float(f"{gamma:.3g}"), rho=rho, steps=1)


def one_curvature(claim: Claim) -> Instance:
    """mu = L: both bounds are equalities."""
    return given(claim, "spectrum:h=1/1", gamma=0.3, rho=0.5, steps=1, origin="tight")


def near_one(claim: Claim) -> Instance:
    """Where m is nearly attained by a pair of different matrices."""
    return given(claim, "spectrum:h=0.428/1", gamma=0.3, rho=0.0102, steps=1, origin="tight")


def beyond(claim: Claim) -> Instance:
    """mu = 0.02, L = 1 and rho = 1.1 rho*."""
    return given(claim, "spectrum:h=0.02/1", gamma=1e-4, rho=1.1 * widest_radius(0.02, 1.0), steps=1)


def _no_criterion(claim: Claim) -> Claim:
    """Monotone at every radius: m replaced by 0."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        return replace(monotone(setting, facts, steps, lab), stated=lambda scale: np.zeros(len(TURNS)))

    return replace(claim, trials={"monotone": broken})


claims.add(
    Claim(
        id="ssam/usam-contraction",
        title="Unnormalised SAM contracts on strongly convex functions of small condition number or radius",
        source=Source(
            PAPER, None, Provenance.DERIVED, f"{NOT_READ}; the angle criterion is Gustafson's operator angle"
        ),
        kind=Kind.UPPER,
        statement=(
            r"\mu\preceq\nabla^2f\preceq L,\ \sin\theta_1=\tfrac{L-\mu}{L+\mu},\ \sin\theta_2=\tfrac{\rho(L-\mu)}"
            r"{2+\rho(L+\mu)},\ \theta_1+\theta_2<\tfrac\pi2:\quad "
            r"\mathrm{Lip}(T)\le\sqrt{1-2\gamma m+\gamma^2M^2},\quad "
            r"M=L(1+\rho L),\ m=\mu(1+\rho\mu)\max\{\cos(\theta_1+\theta_2),1-\tfrac{\rho(L-\mu)^2}{8\mu(1+\rho\mu)}\}"
        ),
        hypotheses=(
            STRONGLY_CONVEX,
            IS_DETERMINISTIC,
            CONSTANT_GAMMA,
            CONSTANT_RHO,
            POSITIVE_GAMMA,
            CRITERION,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<",
                _step_limit,
                "gamma < 2 m/M^2: the factor is below 1",
                step_limit=True,
            ),
        ),
        measure=Measure.OWN,
        trials={"monotone": monotone, "contraction": contraction, "two points": two_points},
        suggest=suggest,
        constants={"monotonicity": "s m: how much more monotone than claimed"},
        method="usam",
        families=(
            Family("random condition and radius", draw, quick=6, full=100),
            Family("one curvature: attained", lambda rng, claim: one_curvature(claim), full=1),
            Family("a pair that nearly attains m", lambda rng, claim: near_one(claim), full=1),
            Family(
                BREAST,
                lambda rng, claim: given(claim, BREAST, theta=float(rng.uniform(0.2, 0.9)), steps=1, origin="data"),
                quick=1,
                full=4,
            ),
        ),
        controls=(
            Control("m one percent larger, pairs", near_one, "monotone", scale={"monotonicity": 1.01}),
            Control("m one percent larger, the norm", one_curvature, "contraction", scale={"monotonicity": 1.01}),
            Control("m one percent larger, two points", one_curvature, "two points", scale={"monotonicity": 1.01}),
            Control("monotone beyond rho*", beyond, "monotone", broken=_no_criterion),
        ),
        remarks=(
            "The criterion is sharp on pairs of matrices: at every larger rho some pair of Hessians, one at x and one "
            "at the perturbed point, is not monotone, and a small step along it takes two points apart. Not every pair "
            "need belong to a function.",
            "On a quadratic the two Hessians are one, and the factor is max |1 - gamma lambda (1 + rho lambda)|.",
            "For gamma <= m/M^2 the factor is at most 1 - gamma m/2. The normalised rule has no Lipschitz constant: it "
            "jumps at the minimiser, and ||T(x) - T(y)|| <= c ||x - y|| + 2 gamma L rho, c that of gradient descent.",
        ),
    )
)


# -- the natural lemma, which is false --


def _apart(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||T(x) - T(y)|| <= ||x - y||."""
    found = two_points(setting, facts, steps, lab)
    return replace(found, stated=lambda scale: np.ones(len(found.at)))


COUNTEREXAMPLE = "-1.17/-0.24"


claims.add(
    Claim(
        id="ssam/usam-expansive",
        title="A small step of unnormalised SAM is non-expansive on convex smooth functions",
        source=Source(
            "the natural lemma, as it holds for gradient steps",
            None,
            Provenance.REFUTED,
            "not read in any paper; a stability proof for SAM by way of it would need another hypothesis",
        ),
        kind=Kind.REFUTED,
        statement=(
            r"f\text{ convex and }L\text{-smooth},\ \gamma L(1+\rho L)\le2\ \Rightarrow\ \|T(x)-T(y)\|\le\|x-y\|.\ "
            r"\text{False: }\nabla^2f(x+\rho\nabla f(x))\,(I+\rho\nabla^2f(x))\text{ need not be monotone}"
        ),
        hypotheses=(
            IS_DETERMINISTIC,
            CONSTANT_GAMMA,
            CONSTANT_RHO,
            POSITIVE_GAMMA,
            Hypothesis(
                "gamma L (1 + rho L)",
                lambda f: f.gamma.largest * expansion(f.L_f, f.rho.largest),
                "<=",
                lambda f: 2.0,
                "gamma L (1 + rho L) <= 2",
                step_limit=True,
            ),
        ),
        measure=Measure.OWN,
        trials={"two points": _apart},
        suggest=lambda facts, part, rho_part: (
            constant(part / expansion(facts.L_f, rho_part / facts.L_f)),
            constant(rho_part / facts.L_f),
        ),
        method="usam",
        families=(
            Family(
                "the stored counterexample",
                lambda rng, claim: given(
                    claim, "log-cosh", gamma=0.0003, rho=9.0, x0=COUNTEREXAMPLE, steps=1, origin="tight"
                ),
                full=1,
            ),
        ),
        controls=(
            Control(
                "the corrected statement, on real data within the criterion",
                lambda claim: given(claim, BREAST, theta=0.9, steps=1, origin="data"),
                "two points",
            ),
        ),
        corrected="ssam/usam-contraction",
        remarks=("The expansion is of first order in gamma, about 0.59 gamma here: no smaller step repairs it.",),
    )
)
