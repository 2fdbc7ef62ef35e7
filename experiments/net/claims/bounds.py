"""Bounds of the catalogue along sampled training runs, judged by the betting test with measured constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from experiments.engine.run import Progress
from experiments.net.claim import Effort, Judged, NetworkClaim, Seen, network_claims
from experiments.net.digits import MODEL, digits_objective, digits_starts
from experiments.net.measured import (
    NetworkLab,
    NetworkProblem,
    measured_constants,
    network_facts,
    network_setting,
)
from experiments.net.objective import Objective
from experiments.verify import betting, sampled
from experiments.verify.case import Case
from experiments.verify.trials import trial_evidence
from experiments.verify.verdict import Evidence, Values
from theory.claim import Claim, claims
from theory.methods.method import methods
from theory.samplings import samplings

SAMPLING = "tau-nice:tau=32"

INSTANCES = 2
"""M of the betting test: both claims of this file are sampled."""

MOST = 256
"""Copies of one run at most."""


def _pilot(objective: Objective, x0: Tensor, method: str, gamma: float, rho: float, steps: int) -> list[Tensor]:
    """Points where the constants are measured: along a few copies of the run, before and after the ascent step."""
    problem = NetworkProblem(objective, name="pilot", L=1.0)
    sampling = samplings.build(SAMPLING, problem=problem)
    setting = network_setting(problem, sampling=sampling, method=methods.build(method), gamma=gamma, rho=rho, x0=x0)
    times = np.unique(np.linspace(0, steps, 5).astype(int))
    points = NetworkLab(objective, range(3)).iterates(setting, times).reshape(-1, objective.d)
    found = [problem._tensor(point) for point in points]
    raised = []
    for x in found:
        g = objective.gradient(x)
        raised.append(x + rho * g / g.norm())
    return [*found, *raised]


def _case(
    claim: Claim, objective: Objective, x0: Tensor, method: str, *, part: float, steps: int, lam: float | None = None
) -> Case:
    """gamma = part/L and rho = 0.1/L with constants from a pilot run at a cautious step."""
    whole = samplings.build("full", problem=NetworkProblem(objective, name="pilot", L=1.0))
    rough = measured_constants(objective, [x0], whole)
    gamma, rho = part / rough.L, 0.1 / rough.L
    pilot = method if method != "unified-sam" else "sam"
    points = _pilot(objective, x0, pilot, gamma, rho, steps)
    problem = NetworkProblem(objective, name=f"{MODEL} on digits", L=rough.L)
    sampling = samplings.build(SAMPLING, problem=problem)
    constants = measured_constants(objective, points, sampling)
    setting = network_setting(
        problem, sampling=sampling, method=methods.build(method), gamma=gamma, rho=rho, lam=lam, x0=x0
    )
    facts = network_facts(setting, constants)
    claim.require(facts)
    return Case(claim, setting, facts, steps, {}, "network", "")


def weighted_gradient(effort: Effort) -> Sequence[Seen | Judged]:
    """sum_t gamma_t E||grad f(x_t)||^2 of GSAM against gsam/weighted-gradient."""
    objective = digits_objective("cross-entropy")
    x0 = digits_starts(effort.seed, 1)[0]
    claim = claims["gsam/weighted-gradient"]
    case = _case(claim, objective, x0, "gsam:alpha=0.1", part=0.3, steps=effort.pick(60, 300))

    def evidence(scale: Mapping[str, float]) -> Evidence:
        return trial_evidence(
            "weighted sum", replace(case, scale=scale), seed=effort.seed, instances=INSTANCES, progress=Progress(),
            budget=float(MOST * case.steps), lab=lambda copies: NetworkLab(objective, copies, effort.seed),
        )  # fmt: skip

    return [
        Judged(evidence({}), name="weighted sum of squared gradients"),
        Judged(evidence({"rate": 20.0}), control=True, name="twenty times faster"),
    ]


def nonconvex(effort: Effort) -> Sequence[Seen | Judged]:
    """The weighted average of E||grad f(x_t)||^2 of Unified SAM, lam = 1/2, against unified-sam/nonconvex."""
    objective = digits_objective("cross-entropy")
    x0 = digits_starts(effort.seed, 1)[0]
    claim = claims["unified-sam/nonconvex"]
    case = _case(claim, objective, x0, "unified-sam", part=0.1, steps=effort.pick(120, 600), lam=0.5)
    return [
        Judged(_averaged(case, objective, effort), name="weighted average of squared gradients"),
        Judged(
            _averaged(replace(case, scale={"descent": 0.02, "noise": 0.02, "radius": 0.02}), objective, effort),
            control=True, name="a fiftieth of the bound",
        ),
    ]  # fmt: skip


def _averaged(case: Case, objective: Objective, effort: Effort) -> Evidence:
    """The average with weights (1 + a)^-(t+1) over t < T of each copy, at three horizons."""
    assert case.claim.growth is not None
    assert case.claim.curve is not None
    growth, curve = case.claim.growth(case.facts), case.claim.curve
    horizons = np.unique([case.steps // 4, case.steps // 2, case.steps])
    weights = (1 + growth) ** -(np.arange(case.steps) + 1.0)

    def draw(start: int, count: int) -> Values:
        lab = NetworkLab(objective, range(start, start + count), effort.seed)
        points = lab.iterates(case.setting, np.arange(case.steps))
        norm2 = lab.values(case.setting, points.reshape(-1, objective.d))[1].reshape(count, case.steps)
        sums = np.cumsum(weights * norm2, axis=1) / np.cumsum(weights)
        return np.asarray(sums[:, horizons - 1])

    def bound(scale: Mapping[str, float]) -> Values:
        return np.asarray(curve(case.facts, horizons, scale))

    outcome = betting.sequential_test(
        draw, bound(case.scale), instances=INSTANCES, first=sampled.FIRST_REPLICATES, most=MOST
    )
    return sampled.judged(case, "network", outcome, horizons, bound, show_last=True)


network_claims.add(
    NetworkClaim(
        "net/weighted-gradient",
        "GSAM's squared gradients weighted by the step sizes",
        "The bound of gsam/weighted-gradient along sampled training runs, with L, L_S and the noise measured.",
        "gsam/weighted-gradient",
        weighted_gradient,
    )
)
network_claims.add(
    NetworkClaim(
        "net/unified-sam-nonconvex",
        "Unified SAM's averaged squared gradients",
        "The bound of unified-sam/nonconvex along sampled training runs, with L and the expected-residual constants "
        "measured.",
        "unified-sam/nonconvex",
        nonconvex,
    )
)
