"""Check one claim on one setting: the constants, the hypotheses, the run against the bound, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.engine.run import Progress
from theory.claim import Claim, Finding
from theory.horizon import fit
from theory.setting import Facts, Setting, facts_of

from .evidence import Case, point_evidence, trajectory_evidence
from .verdict import Evidence, Verdict
from .verify import judge, routes_of

BUDGET = 1e9
"""Most steps times replicates of one check."""

DEFAULT_STEPS = 10_000


@dataclass(frozen=True)
class Prepared:
    """A claim and a setting with its step sizes and horizon chosen; nothing has run yet.

    chosen: the step sizes are the lab's choice, not the user's. steps: the horizon.
    """

    claim: Claim
    setting: Setting
    facts: Facts
    steps: int
    chosen: bool

    @property
    def findings(self) -> list[Finding]:
        return self.claim.findings(self.facts)


@dataclass(frozen=True)
class CheckResult:
    """What `check` found. verdict and reason: the judgement; evidence: a row for each route taken."""

    prepared: Prepared
    verdict: Verdict
    reason: str
    evidence: tuple[Evidence, ...]

    @property
    def run(self) -> Evidence | None:
        """The row with the curve along the run, if there was one."""
        runs = [e for e in self.evidence if not e.route.startswith("exact") and len(e.abscissa)]
        return runs[0] if runs else None

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


def prepare(claim: Claim, setting: Setting, *, steps: int | None = None) -> Prepared:
    """Choose what the user left open: step sizes where gamma is 0, and the horizon where steps is None."""
    chosen = not setting.gamma.largest > 0 and claim.curve is not None
    fitted, horizon = fit(claim, setting) if chosen or (steps is None and claim.curve is not None) else (setting, None)
    return Prepared(claim, fitted, facts_of(fitted), steps or horizon or DEFAULT_STEPS, chosen)


def run_check(prepared: Prepared, *, seed: int = 0, progress: Progress | None = None) -> CheckResult:
    """Take every route of evidence. Raises OutsideHypotheses where the claim says nothing."""
    claim = prepared.claim
    claim.require(prepared.facts)
    case = Case(claim, prepared.setting, prepared.facts, prepared.steps, {}, "given", "")
    evidence = []
    for route in routes_of(claim):
        if route == "points":
            evidence.append(point_evidence(case))
        else:
            evidence.append(
                trajectory_evidence(case, seed=seed, instances=1, progress=progress or Progress(), budget=BUDGET)
            )
    verdict, reason = judge(claim, evidence, [])
    if verdict is Verdict.CONSISTENT and prepared.facts.estimated:
        verdict = Verdict.CONSISTENT_ESTIMATED
    return CheckResult(prepared, verdict, reason, tuple(evidence))
