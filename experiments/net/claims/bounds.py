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

NETWORKS = 2, 4
"""On which each bound is looked at, quick and full."""

INSTANCES = 2 * 2 * NETWORKS[1]
"""M of the betting test, at most: two claims, and of each network the bound and the control."""

MOST = 256
"""Copies of one run at most."""


def _pilot(
    objective: Objective,
    x0: Tensor,
    method: str,
    gamma: float,
    rho: float,
    lam: float | None,
    steps: int,
    sampling: str = SAMPLING,
) -> list[Tensor]:
    """Points where the constants are measured: along a few copies of the run, before and after the ascent step."""
    problem = NetworkProblem(objective, name="pilot", L=1.0)
    setting = network_setting(
        problem, sampling=samplings.build(sampling, problem=problem), method=methods.build(method), gamma=gamma,
        rho=rho, lam=lam, x0=x0,
    )  # fmt: skip
    mixing = float(setting.lam.at(0))
    times = np.unique(np.linspace(0, steps, 5).astype(int))
    points = NetworkLab(objective, range(3)).iterates(setting, times).reshape(-1, objective.d)
    found = [problem._tensor(point) for point in points]
    raised = []
    for x in found:
        g = objective.gradient(x)
        raised.append(x + rho * ((1 - mixing) * g + mixing * g / g.norm()))
    return [*found, *raised]


def _case(
    claim: Claim, objective: Objective, x0: Tensor, method: str, *, part: float, steps: int, lam: float | None = None
) -> Case:
    """gamma = part/L and rho = 0.1/L with constants from a pilot run at a cautious step."""
    whole = samplings.build("full", problem=NetworkProblem(objective, name="pilot", L=1.0))
    rough = measured_constants(objective, [x0], whole)
    gamma, rho = part / rough.L, 0.1 / rough.L
    points = _pilot(objective, x0, method, gamma, rho, lam, steps)
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
    claim = claims["gsam/weighted-gradient"]

    def evidence(case: Case, scale: Mapping[str, float]) -> Evidence:
        return trial_evidence(
            "weighted sum", replace(case, scale=scale), seed=effort.seed, instances=INSTANCES, progress=Progress(),
            budget=float(MOST * case.steps), lab=lambda copies: NetworkLab(objective, copies, effort.seed),
        )  # fmt: skip

    found = []
    for seed, x0 in _networks(effort):
        case = _case(claim, objective, x0, "gsam:alpha=0.1", part=0.3, steps=effort.pick(60, 300))
        found += [
            Judged(evidence(case, {}), name=f"weighted sum of squared gradients, network {seed}"),
            Judged(evidence(case, {"rate": 20.0}), control=True, name=f"twenty times faster, network {seed}"),
        ]
    return found


def _networks(effort: Effort) -> list[tuple[int, Tensor]]:
    """Seeds and the starts of their networks."""
    count = effort.pick(*NETWORKS)
    return list(enumerate(digits_starts(effort.seed, count), start=effort.seed))


def nonconvex(effort: Effort) -> Sequence[Seen | Judged]:
    """The weighted average of E||grad f(x_t)||^2 of Unified SAM, lam = 1/2, against unified-sam/nonconvex."""
    objective = digits_objective("cross-entropy")
    claim = claims["unified-sam/nonconvex"]
    fiftieth = dict.fromkeys(("descent", "noise", "radius"), 0.02)
    found = []
    for seed, x0 in _networks(effort):
        case = _case(claim, objective, x0, "unified-sam", part=0.1, steps=effort.pick(120, 600), lam=0.5)
        broken = _averaged(replace(case, scale=fiftieth), objective, effort)
        found += [
            Judged(_averaged(case, objective, effort), name=f"weighted average of squared gradients, network {seed}"),
            Judged(broken, control=True, name=f"a fiftieth of the bound, network {seed}"),
        ]
    return found


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
        draw, bound(case.scale), instances=INSTANCES, rare=horizons * case.facts.least_probability,
        first=sampled.FIRST_REPLICATES, most=MOST,
    )  # fmt: skip
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
