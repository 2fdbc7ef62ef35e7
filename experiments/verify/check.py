"""Check one claim on one setting: the constants, the hypotheses, the run against the bound, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from experiments.engine.run import Progress
from problems.errors import InputError
from theory.claim import Claim, Finding, Scale
from theory.horizon import fit
from theory.setting import Facts, Setting, facts_of

from .case import Case
from .critical import sharpest
from .routes import RUNS, Means, routes_of, take
from .sharpness import Sharpness, as_numbers, profile
from .verdict import Evidence, Verdict
from .verify import judge

BUDGET = 1e9
"""Most steps times replicates of one check."""

DEFAULT_STEPS = 10_000


@dataclass(frozen=True)
class Prepared:
    """A claim and a setting with its step sizes and horizon chosen; nothing has run yet.

    chosen: the step sizes are the lab's choice, not the user's. steps: the horizon. scale: factors on named constants.
    """

    claim: Claim
    setting: Setting
    facts: Facts
    steps: int
    chosen: bool
    scale: Scale = field(default_factory=dict)

    @property
    def findings(self) -> list[Finding]:
        return self.claim.findings(self.facts)


@dataclass(frozen=True)
class CheckResult:
    """What `check` found. verdict and reason: the judgement; evidence: a row for each route taken; sharpness: the
    critical scales on this setting, of the unscaled bound."""

    prepared: Prepared
    verdict: Verdict
    reason: str
    evidence: tuple[Evidence, ...]
    sharpness: tuple[Sharpness, ...]

    @property
    def run(self) -> Evidence | None:
        """The row with the curve along the run, if there was one."""
        runs = [e for e in self.evidence if e.route in RUNS and len(e.abscissa)]
        return runs[0] if runs else None

    @property
    def drawn(self) -> Evidence | None:
        """The row that a figure shows: the run, or else the first with several entries."""
        several = [e for e in self.evidence if len(e.abscissa) > 1]
        return self.run or (several[0] if several else None)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings, the curves included."""
        facts = self.prepared.facts
        return {
            "id": self.prepared.claim.id,
            "setting": str(self.prepared.setting),
            "steps": self.prepared.steps,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "constants": {
                name: {"value": getattr(facts, name), "grade": grade.value} for name, grade in facts.grades.items()
            },
            "hypotheses": [
                {"name": f.hypothesis, "value": f.value, "relation": f.relation, "limit": f.limit, "holds": f.holds}
                for f in self.prepared.findings
            ],
            "scale": dict(self.prepared.scale),
            "sharpness": as_numbers(self.sharpness),
            "evidence": [
                {
                    **e.as_json(),
                    "t": e.abscissa.tolist(),
                    "measured_curve": e.measured_curve.tolist(),
                    "bound_curve": e.bound_curve.tolist(),
                    "error_curve": e.error_curve.tolist(),
                }
                for e in self.evidence
            ],
        }


def prepare(
    claim: Claim, setting: Setting, *, steps: int | None = None, scale: Mapping[str, float] | None = None
) -> Prepared:
    """Choose what the user left open: step sizes where gamma is 0, and the horizon where steps is None.

    scale: factors on the claim's named constants; `step_limit` relaxes its hypothesis. Raises InputError for a constant
    that the claim does not have.
    """
    factors = dict(scale or {})
    for name in factors:
        if name not in claim.named_constants:
            allowed = ", ".join(claim.named_constants) or "none"
            raise InputError(f"scale names the constant {name!r}, which {claim.id} does not have; it has {allowed}")
    wider = claim.relaxed(factors.pop("step_limit", 1.0))
    chosen = not setting.gamma.largest > 0
    fitted, horizon = setting, None
    if claim.curve is not None and (chosen or steps is None):
        fitted, horizon = fit(wider, setting)
    elif chosen:
        # Nothing tells when such a claim shows most: half of what its author calls generous.
        gamma, rho = claim.suggest(facts_of(setting), 0.5, 0.5)
        fitted = setting.with_steps(gamma=gamma, rho=rho if setting.method.uses_rho else 0.0)
    return Prepared(wider, fitted, facts_of(fitted), steps or horizon or DEFAULT_STEPS, chosen, factors)


def run_check(prepared: Prepared, *, seed: int = 0, progress: Progress | None = None) -> CheckResult:
    """Take every route of evidence. Raises OutsideHypotheses where the claim says nothing."""
    claim = prepared.claim
    claim.require(prepared.facts)
    case = Case(claim, prepared.setting, prepared.facts, prepared.steps, prepared.scale, "given", "")
    means = Means(seed, 1, progress or Progress(), BUDGET)
    routes = routes_of(claim, steps=prepared.steps, deterministic=prepared.setting.deterministic)
    evidence = [found for route in routes if (found := take(route, case, means)) is not None]
    verdict, reason = judge(claim, evidence, [])
    if verdict is Verdict.CONSISTENT and prepared.facts.estimated:
        verdict = Verdict.CONSISTENT_ESTIMATED
    return CheckResult(prepared, verdict, reason, tuple(evidence), _sharpness(case, evidence))


STEP_LIMIT_RUN = 1000
"""Steps of each of the runs that look for the step at which the bound breaks."""


def _sharpness(case: Case, evidence: list[Evidence]) -> tuple[Sharpness, ...]:
    found = profile(case.claim, evidence)
    short = replace(case, steps=min(case.steps, STEP_LIMIT_RUN), scale={})
    if "step_limit" in case.claim.named_constants and (limit := sharpest(short, "step_limit")) is not None:
        meaning = case.claim.named_constants["step_limit"]
        found.append(Sharpness("step_limit", meaning, limit[0], False, str(case.setting), case.replay, limit[1]))
    return tuple(found)
