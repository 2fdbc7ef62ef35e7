"""SAM along a line of minima: the flow it follows as gamma -> 0, and the one it follows at finite gamma."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.integrate import solve_ivp

from problems.problem import Vector
from problems.ravines import MinimaLine
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
from theory.trial import EPS, Lab, Measuring, NotMeasurable, Order, Trial
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA

WEN = "K. Wen, T. Ma and Z. Li, How Does Sharpness-Aware Minimization Minimize Sharpness?, ICLR 2023"

HALVINGS = 4
"""Entries of a trial: the setting's own gamma (or rho) and this many less one halvings."""

FLOW_ERROR = 1e-10
"""The integrator is asked for 1e-12 relative a step; over its few dozen steps it stays well below this."""

BLOCK = (IS_DETERMINISTIC, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA, PERTURBED, ALL_NORMALISED)

Velocity = Callable[[Vector, Vector, float], float]
"""(eigenvalues on the line, their derivatives in y, gamma) -> dy/dT in the time T = gamma rho^2 t."""


def limiting(h: Vector, slopes: Vector, gamma: float) -> float:
    """-(1/2) grad lambda_1."""
    return float(-slopes[int(np.argmax(h))] / 2)


def refined(h: Vector, slopes: Vector, gamma: float) -> float:
    """-2/(2 - gamma lambda_1)^2 grad lambda_1."""
    top = int(np.argmax(h))
    return float(-2 * slopes[top] / (2 - gamma * h[top]) ** 2)


def of_the_trace(h: Vector, slopes: Vector, gamma: float) -> float:
    """-(1/2) grad of the trace: what one random component a step follows."""
    return float(-slopes.sum() / 2)


def line_of(claim_id: str, setting: Setting, facts: Facts) -> MinimaLine:
    """The problem, if the statement is about it. Raises OutsideHypotheses otherwise."""
    problem = setting.problem
    known = isinstance(problem, MinimaLine)
    findings = [Finding("f has a line of minima that is known (1: yes)", float(known), "=", 1.0, known)]
    if known:
        assert isinstance(problem, MinimaLine)
        h = np.sort(problem.curvatures(float(setting.x0[-1]))[0])[::-1]
        stiff = facts.gamma.largest * float(h[0])
        findings.append(Finding("gamma lambda_1 at the start", stiff, "<", 2.0, stiff < 2))
        if len(h) > 1:
            findings.append(Finding("lambda_1 at the start", float(h[0]), ">", float(h[1]), bool(h[0] > h[1])))
    if not all(finding.holds for finding in findings):
        raise OutsideHypotheses(claim_id, findings)
    assert isinstance(problem, MinimaLine)
    return problem


def landing(problem: MinimaLine, x0: Vector) -> float:
    """y of Phi(x_0), the limit of the gradient flow from x_0: where the first phase arrives."""
    slowest = float(problem.curvatures(float(x0[-1]))[0].min())
    found = solve_ivp(
        lambda time, x: -problem.gradient(x), (0.0, 80 / slowest), x0, method="DOP853", rtol=1e-12, atol=1e-15
    )
    return float(found.y[-1, -1])


def followed(problem: MinimaLine, start: float, time: float, gamma: float, velocity: Velocity) -> float:
    """y(time) of dy/dT = velocity from y(0) = start."""
    found = solve_ivp(
        lambda T, y: [velocity(*problem.curvatures(float(y[0])), gamma)], (0.0, time), [start], method="DOP853",
        rtol=1e-12, atol=1e-14,
    )  # fmt: skip
    return float(found.y[0, -1])


def arrivals(
    claim_id: str,
    setting: Setting,
    facts: Facts,
    steps: int,
    lab: Lab,
    parts: list[tuple[float, float]],
    *,
    nearby: bool = False,
) -> tuple[MinimaLine, list[tuple[float, float, int]], Vector]:
    """Runs with gamma and rho times each of `parts`, all up to the time T = steps gamma rho^2 of the setting's own.
    nearby: the start's distance from the line shrinks with rho.

    The gamma, T and number of steps of each, and the points they reach, (entries, d).
    """
    problem = line_of(claim_id, setting, facts)
    whole = steps * facts.gamma.largest * facts.rho.largest**2
    entries, points = [], []
    for part, rho_part in parts:
        gamma, rho = part * facts.gamma.largest, rho_part * facts.rho.largest
        count = math.ceil(whole / (gamma * rho**2) * (1 - 1e-12))
        begin = setting.x0 if not nearby else np.append(rho_part * setting.x0[:-1], setting.x0[-1])
        started = replace(setting, x0=begin).with_steps(gamma=gamma, rho=rho)
        points.append(lab.iterates(started, [count])[0, 0])
        entries.append((gamma, count * gamma * rho**2, count))
    found = np.array(points)
    if not np.isfinite(found).all():
        raise NotMeasurable("a run diverged")
    return problem, entries, found


def towards(velocity: Velocity, *, rho_follows: bool = True) -> Measuring:
    """||x - X(T)|| for gamma, gamma/2, ..., with rho/gamma kept, or rho itself kept if not rho_follows."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        halves = [0.5**k for k in range(HALVINGS)]
        parts = [(part, part if rho_follows else 1.0) for part in halves]
        problem, entries, points = arrivals("dynamics/manifold-flow", setting, facts, steps, lab, parts)
        start = landing(problem, setting.x0)
        ends = [followed(problem, start, T, gamma, velocity) for gamma, T, _ in entries]
        away = points.copy()
        away[:, -1] -= ends
        return _ordered([gamma for gamma, _, _ in entries], np.linalg.norm(away, axis=1), entries, points)

    return measure


def along_the_line(velocity: Velocity) -> Measuring:
    """|y - Y(T)| for rho, rho/2, ... at one gamma, from starts with z_0 proportional to rho, Y(0) = y_0."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        parts = [(1.0, 0.5**k) for k in range(HALVINGS)]
        problem, entries, points = arrivals("dynamics/refined-flow", setting, facts, steps, lab, parts, nearby=True)
        start = float(setting.x0[-1])
        ends = np.array([followed(problem, start, T, gamma, velocity) for gamma, T, _ in entries])
        return _ordered([rho for _, rho in parts], np.abs(points[:, -1] - ends), entries, points)

    return measure


def _ordered(at: list[float], measured: Vector, entries: list[tuple[float, float, int]], points: Vector) -> Trial:
    """Entries towards the limit. Each step adds a rounding of x to it, and nothing along the line takes it away."""
    counts = np.array([count for _, _, count in entries], dtype=float)
    error = 4 * EPS * counts * np.linalg.norm(points, axis=1) + FLOW_ERROR
    empty = np.zeros(len(at))
    return Trial("runs up to one time", np.array(at), measured, lambda scale: empty, error)


def _toy(claim: Claim) -> Instance:
    """From y = 0.2 up to the time T = 1: SAM comes to about 0.6 on its way to y = 1."""
    return given(claim, "minima-line", gamma=0.2, rho=0.04, x0="0.001/0.001/0.2", steps=3125)


def _large_radius(claim: Claim) -> Instance:
    """rho = 10 gamma, and a start along the lower wall: turning to the top eigenvector takes some 1/gamma steps, which
    count as the time rho^2 of the flow."""
    return given(claim, "minima-line", gamma=0.05, rho=0.5, x0="1e-6/0.1/0", steps=320)


def _draw(rng: np.random.Generator, claim: Claim) -> Instance:
    """Two walls, the first steeper everywhere on the way; gamma lambda_1 < 0.8 at the start; rho = gamma/4.

    The flow covers a part exp(-1/2) of its way: later the terms of second order in gamma may cancel, and the slopes
    then say nothing about their limit.
    """
    place, bend = float(rng.uniform(0.5, 1.2)), float(rng.uniform(0.3, 0.8))
    base, other = float(rng.uniform(0.8, 1.5)), float(rng.uniform(0.1, 0.3))
    problem = f"minima-line:h={base:.3g}/{other:.3g},s={bend:.3g}/{0.1 * bend:.3g},c={place:.3g}/-1"
    gamma = round(float(rng.uniform(0.17, 0.25)), 3)
    rho = gamma / 4
    return given(
        claim, problem, gamma=gamma, rho=rho, x0="0.001/0.001/0", steps=math.ceil(0.5 / bend / (gamma * rho**2))
    )


claims.add(
    Claim(
        id="dynamics/manifold-flow",
        title="Along a manifold of minima, SAM follows the flow that lowers the largest eigenvalue, up to O(gamma)",
        source=Source(
            WEN,
            "Theorem 4.5",
            Provenance.READ,
            "the main text was read in a copy without displayed equations; the coefficient 1/2 of the flow is derived",
        ),
        kind=Kind.ORDER,
        statement=(
            r"\dot X=-\tfrac12P_T\nabla\lambda_1(\nabla^2f(X)),\ X(0)=\Phi(x_0):\quad"
            r"\|x_{\lceil T_3/(\gamma\rho^2)\rceil}-X(T_3)\|=O(\gamma\ln(1/\rho))\ "
            r"\text{for small }\gamma\ln(1/\rho),\ \rho/\gamma;\ \text{measured: }\Theta(\gamma)"
        ),
        hypotheses=BLOCK,
        measure=Measure.OWN,
        trials={"limiting flow": towards(limiting)},
        order=Order(1.0, (0.5, 2.0)),
        suggest=suggest_steps,
        constants={"exponent": "the power of gamma"},
        method="sam",
        families=(
            Family("two walls, the steeper one least steep at y = 1", lambda rng, claim: _toy(claim), full=1),
            Family("random walls", _draw, quick=1, full=12),
        ),
        controls=(
            Control("error O(gamma^2)", _toy, "limiting flow", scale={"exponent": 2.0}),
            Control(
                "the minimisers swapped: the flow of the trace",
                _toy,
                "limiting flow",
                broken=lambda claim: replace(claim, trials={"limiting flow": towards(of_the_trace)}),
            ),
            Control(
                "rho = 10 gamma, and kept: rho/gamma must be small",
                _large_radius,
                "limiting flow",
                broken=lambda claim: replace(claim, trials={"limiting flow": towards(limiting, rho_follows=False)}),
            ),
        ),
        remarks=(
            "Asked of the function itself: a known line of minima, a simple largest eigenvalue, gamma lambda_1 < 2.",
            "rho/gamma is kept while gamma is halved: the theorem asks that both be small.",
            "The error does not vanish faster: at finite gamma the flow is that of dynamics/refined-flow.",
        ),
    )
)


def _single(claim: Claim) -> Instance:
    """(1 + y^2) z^2/2 with gamma = 0.8, from y = 1: gamma lambda_1 falls from 1.6 to 0.8."""
    return given(claim, "minima-line:h=1,s=1,c=0", gamma=0.8, rho=0.04, x0="0.01/1", steps=400)


def _draw_refined(rng: np.random.Generator, claim: Claim) -> Instance:
    """gamma lambda_1 between 0.4 and 1.4 at the start."""
    place, bend = float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.3, 0.8))
    base = float(rng.uniform(0.8, 1.5))
    problem = f"minima-line:h={base:.3g},s={bend:.3g},c={place:.3g}"
    gamma = round(float(rng.uniform(0.4, 1.4)) / (base + bend * place**2), 4)
    return given(claim, problem, gamma=gamma, rho=0.04, steps=math.ceil(1 / (gamma * 0.04**2)))


claims.add(
    Claim(
        id="dynamics/refined-flow",
        title="At finite gamma, SAM follows a faster flow along a manifold of minima, up to O(rho^2)",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.ORDER,
        statement=(
            r"\dot Y=-\tfrac{2}{(2-\gamma\lambda_1)^2}P_T\nabla\lambda_1(\nabla^2f(Y)),\ \gamma\lambda_1<2,\ "
            r"Y(0)=P_\Gamma x_0,\ \|x_0-Y(0)\|=O(\rho):\quad"
            r"\|P_T(x_{\lceil T/(\gamma\rho^2)\rceil}-Y(T))\|=O(\rho^2)\ \text{at fixed }\gamma"
        ),
        hypotheses=BLOCK,
        measure=Measure.OWN,
        trials={"refined flow": along_the_line(refined)},
        order=Order(2.0, (1.0, 3.0)),
        suggest=suggest_steps,
        constants={"exponent": "the power of rho"},
        method="sam",
        families=(
            Family("(1 + y^2) z^2/2 at gamma = 0.8", lambda rng, claim: _single(claim), full=1),
            Family("random walls", _draw_refined, quick=1, full=12),
        ),
        controls=(
            Control(
                "the flow of small gamma, with the factor 1/2",
                _single,
                "refined flow",
                broken=lambda claim: replace(claim, trials={"refined flow": along_the_line(limiting)}),
            ),
            Control("error O(rho)", _single, "refined flow", scale={"exponent": 0.5}),
        ),
        remarks=(
            "Asked of the function itself: a known line of minima, a simple largest eigenvalue, gamma lambda_1 < 2.",
            "It is descent on 2 rho^2/(gamma (2 - gamma lambda_1)) = const + rho^2 lambda_1/2 + gamma rho^2 "
            "lambda_1^2/4 + ...: with a full batch the minimisers of lambda_1 stay.",
        ),
    )
)
