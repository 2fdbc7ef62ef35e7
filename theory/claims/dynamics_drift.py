"""One step of SAM in a ravine whose walls get steeper along it: where the 2-cycle drifts, with an explicit error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from problems.problem import Vector
from problems.ravines import Cubic
from theory.claim import (
    Claim,
    Control,
    Family,
    Finding,
    Instance,
    Kind,
    Measure,
    OutsideHypotheses,
    Provenance,
    Source,
    claims,
)
from theory.dynamics import ABSTRACT_ONLY, ALL_NORMALISED, PAPER, PERTURBED, suggest_steps
from theory.families import given
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, Scale, Trial, Values
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA

CLAIM = "dynamics/drift"

TURN, LEAN = 0.73, 1.04
"""For every unit v and n and 0 <= x <= 1/2, with w = (v + x n)/||v + x n|| and P = I - v v':
||w - v - x P n|| <= TURN x^2 and ||w - v|| <= LEAN x."""


@dataclass(frozen=True)
class Ravine:
    """The numbers of the theorem at the stationary point 0, all dimensionless.

    top: the largest eigenvalue lambda of H. size: ||H||. r: the radius of the 2-cycle, gamma rho lambda/(2 - gamma
    lambda). v: the top eigenvector, (d,). q: grad lambda_1 = D^3 f[v, v, .], (d,). across: H P q, (d,). bend: a bound
    of ||D^3 f||. xhat: r ||q||/(2 lambda).
    """

    top: float
    size: float
    r: float
    v: Vector
    q: Vector
    across: Vector
    bend: float
    xhat: float


def require(*findings: Finding) -> None:
    """Refuse as a hypothesis does: for what the facts do not carry, because it belongs to one kind of function."""
    if not all(finding.holds for finding in findings):
        raise OutsideHypotheses(CLAIM, list(findings))


def ravine_of(setting: Setting, facts: Facts) -> Ravine:
    """The numbers of the theorem. Raises OutsideHypotheses where it says nothing."""
    problem = setting.problem
    cubic = isinstance(problem, Cubic)
    require(Finding("f is a cubic around its stationary point (1: yes)", float(cubic), "=", 1.0, cubic))
    assert isinstance(problem, Cubic)
    gamma, rho = facts.gamma.largest, facts.rho.largest
    H = problem.hessian(problem.centre)
    h, Q = np.linalg.eigh(H)
    top, v = float(h[-1]), Q[:, -1]
    second = float(h[-2]) if len(h) > 1 else -np.inf
    require(
        Finding("top eigenvalue lambda_1 of the Hessian", top, ">", max(second, 0.0), top > max(second, 0.0)),
        Finding("gamma lambda_1", gamma * top, "<", 2.0, gamma * top < 2),
    )
    r = gamma * rho * top / (2 - gamma * top)
    q = problem.third(v, v)
    xhat = r * float(np.linalg.norm(q)) / (2 * top)
    reach = r + rho
    require(
        Finding("xhat = r ||q||/(2 lambda_1)", xhat, "<=", 0.5, xhat <= 0.5),
        Finding("r + rho", reach, "<=", problem.inner_radius, reach <= problem.inner_radius),
    )
    across = H @ (q - (q @ v) * v)
    return Ravine(top, float(np.abs(h).max()), r, v, q, across, problem.third_norm, xhat)


def refined(facts: Facts, at: Ravine) -> float:
    """gamma (r + rho)^2/2 = 2 gamma rho^2/(2 - gamma lambda)^2."""
    return float(2 * facts.gamma.largest * facts.rho.largest**2 / (2 - facts.gamma.largest * at.top) ** 2)


def displaced(facts: Facts, at: Ravine) -> float:
    """gamma rho r/(2 lambda), the coefficient of H P q."""
    return float(facts.gamma.largest * facts.rho.largest * at.r / (2 * at.top))


def error_bound(facts: Facts, at: Ravine) -> float:
    """||H|| rho K xhat^2 + B_3 ((r + rho) delta + delta^2/2), delta = 1.04 rho xhat, K = 0.73."""
    rho = facts.rho.largest
    delta = LEAN * rho * at.xhat
    return float(at.size * rho * TURN * at.xhat**2 + at.bend * ((at.r + rho) * delta + delta**2 / 2))


Coefficient = Callable[[Facts, Ravine], float]


def one_step(
    setting: Setting, facts: Facts, lab: Lab, *, drift: Coefficient = refined, displacement: Coefficient = displaced
) -> Trial:
    """||x+ - (-s r v - drift q - displacement H P q)||/gamma from x = s r v, s = +1 and -1, beside the error bound."""
    at = ravine_of(setting, facts)
    gamma, rho = facts.gamma.largest, facts.rho.largest
    signs = np.array([1.0, -1.0])
    after = lab.step(setting, at.r * signs[:, None] * at.v)
    ahead = -at.r * signs[:, None] * at.v - drift(facts, at) * at.q - displacement(facts, at) * at.across
    measured = np.linalg.norm(after - ahead, axis=1) / gamma
    bound = error_bound(facts, at)

    def stated(scale: Scale) -> Values:
        return np.full(2, scale.get("error", 1.0) * bound)

    # Two gradients with the cubic's rows, at arguments of size r + rho, and the direction between them.
    problem = setting.problem
    assert isinstance(problem, Cubic)
    reach = at.r + rho
    rows = float((np.linalg.norm(problem.data.b, axis=1) ** 3).sum())
    operations = 8 * (problem.d + len(problem.data.b) + 8)
    floor = EPS * operations * (at.size * reach + rows * reach**2) * (1 + rho * at.size / (at.r * at.top))
    return Trial("one step from both sides", signs, measured, stated, np.full(2, floor + 4 * EPS * at.r / gamma))


def _measured(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    return one_step(setting, facts, lab)


def with_coefficients(**changed: Coefficient) -> Callable[[Claim], Claim]:
    """The claim with another coefficient of q or of H P q, and the same error bound."""

    def change(claim: Claim) -> Claim:
        return replace(claim, trials={"one step": lambda s, f, t, lab: one_step(s, f, lab, **changed)})

    return change


def _draw(rng: np.random.Generator, claim: Claim) -> Instance:
    """d <= 5, some eigenvalue 0, gamma lambda in (0.1, 1.9), xhat <= 1/2."""
    d = int(rng.integers(2, 6))
    rest = np.sort(rng.uniform(-0.5, 0.9, d - 1))[::-1]
    rest[rng.integers(d - 1)] = 0.0
    h = "/".join(["1", *(f"{value:.4g}" for value in rest)])
    size = round(float(rng.uniform(0.2, 0.8)), 3)
    problem = f"cubic:h={h},rows={2 * d},size={size},seed={rng.integers(10**6)},reach=1000"
    gamma = round(float(rng.uniform(0.1, 1.9)), 4)
    rho = float(10 ** rng.uniform(-4, 0))
    while True:
        found = given(claim, problem, gamma=gamma, rho=float(f"{rho:.4g}"), steps=1)
        assert isinstance(found.setting.problem, Cubic)
        r = gamma * rho / (2 - gamma)
        v = np.eye(d)[0]
        if r * np.linalg.norm(found.setting.problem.third(v, v)) / 2 <= 0.49:
            return found
        rho /= 2


def _line(claim: Claim) -> Instance:
    """q has a component along a positive eigenvalue, where it displaces, and along a zero one, where it only drifts."""
    return given(claim, "cubic:h=1/0.5/0,b=0.6/0.5/0@0.5/0/0.7@-0.4/0.3/0.2", gamma=1.6, rho=1e-3, steps=1)


claims.add(
    Claim(
        id=CLAIM,
        title="One step of SAM on its cycle drifts down the gradient of the largest eigenvalue",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.UPPER,
        statement=(
            r"x=sr\,v,\ s=\pm1,\ r=\tfrac{\gamma\rho\lambda}{2-\gamma\lambda},\ q=\nabla\lambda_1(0),\ "
            r"\hat x=\tfrac{r\|q\|}{2\lambda}\le\tfrac12,\ 0<\gamma\lambda<2:\quad "
            r"x^+=-sr\,v-\tfrac{2\gamma\rho^2}{(2-\gamma\lambda)^2}\,q-\tfrac{\gamma\rho r}{2\lambda}HPq-\gamma E,\ "
            r"\|E\|\le0.73\,\|H\|\rho\hat x^2+\|D^3f\|\big((r+\rho)\delta+\tfrac12\delta^2\big),\ "
            r"\delta=1.04\rho\hat x"
        ),
        hypotheses=(IS_DETERMINISTIC, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA, PERTURBED, ALL_NORMALISED),
        measure=Measure.OWN,
        trials={"one step": _measured},
        suggest=suggest_steps,
        constants={"error": "s times the bound on ||E||: the part of it that would do"},
        method="sam",
        families=(
            Family("random cubics", _draw, quick=12, full=400),
            Family("a drift along a flat direction", lambda rng, claim: _line(claim), full=1),
        ),
        controls=(
            Control(
                "drift gamma rho^2/2, its limit for small gamma",
                _line,
                "one step",
                broken=with_coefficients(drift=lambda f, at: f.gamma.largest * f.rho.largest**2 / 2),
            ),
            Control(
                "the displacement along H P q dropped",
                _line,
                "one step",
                broken=with_coefficients(displacement=lambda f, at: 0.0),
            ),
            Control(
                "drift 2 per cent larger",
                _line,
                "one step",
                broken=with_coefficients(drift=lambda f, at: 1.02 * refined(f, at)),
            ),
        ),
        remarks=(
            "Asked of the function itself: a constant third derivative at the points visited, a simple largest "
            "eigenvalue lambda > 0, gamma lambda < 2, xhat <= 1/2.",
            "The drift has the same sign on both sides: two steps return to s r v less twice the drift.",
            "On a manifold of minima it is descent on 2/(gamma (2 - gamma lambda_1)); 2 gamma rho^2/(2 - gamma "
            "lambda)^2 is gamma rho^2/2 times (1 - gamma lambda/2)^-2.",
        ),
    )
)
