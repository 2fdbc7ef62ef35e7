"""Verify claims: draw instances, take every route of evidence, run the controls, and give one verdict a claim."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from experiments.engine.run import Progress
from theory.claim import Claim, Control, Kind, claims
from theory.setting import facts_of

from .evidence import Case, case_of, point_evidence, trajectory_evidence
from .verdict import Evidence, Verdict

Profile = Literal["quick", "full"]

BUDGET = {"quick": 6e7, "full": 6e8}
"""Most steps times replicates that one instance may cost before it is inconclusive."""


@dataclass(frozen=True)
class ControlResult:
    """A control, whether the check refuted it, and by which evidence."""

    name: str
    refuted: bool
    evidence: Evidence

    @property
    def by(self) -> str:
        """How it was found out, as a clause."""
        e = self.evidence
        return f"{e.route}: measured {e.measured:.6g}, broken bound {e.bound:.6g}" + (
            f"; {e.reason}" if e.reason else ""
        )


@dataclass(frozen=True)
class ClaimResult:
    """Everything found about one claim, and the verdict."""

    claim: Claim
    verdict: Verdict
    reason: str
    evidence: tuple[Evidence, ...]
    controls: tuple[ControlResult, ...]
    seconds: float

    @property
    def worst(self) -> Evidence | None:
        """The evidence closest to violating the bound, decisive verdicts first."""
        return worst_of(self.evidence)

    def as_json(self) -> dict[str, Any]:
        """The object of the claim in `verify --json`."""
        worst = self.worst
        return {
            "id": self.claim.id,
            "kind": self.claim.kind.name,
            "provenance": self.claim.source.provenance.value,
            "source": str(self.claim.source),
            "verdict": self.verdict.value,
            "reason": self.reason,
            "sharpness": {},
            "instances": len({e.instance for e in self.evidence}),
            "evidence": [e.as_json() for e in self.evidence],
            "controls": [{"name": c.name, "refuted": c.refuted, "by": c.by} for c in self.controls],
            "worst": worst.as_json() if worst else None,
            "seconds": self.seconds,
        }


_SEVERITY = {Verdict.VIOLATED: 2, Verdict.INCONCLUSIVE: 1}


def worst_of(evidence: Sequence[Evidence]) -> Evidence | None:
    """The row to show first: violated, then inconclusive, then the largest measured/bound among runs."""
    if not evidence:
        return None
    return max(
        evidence,
        key=lambda e: (
            _SEVERITY.get(e.verdict, 0),
            not e.route.startswith("exact one-step"),
            e.ratio if np.isfinite(e.ratio) else -1.0,
        ),
    )


@dataclass
class _Job:
    """One instance or control of one claim, waiting to be run."""

    claim: Claim
    case: Case
    routes: tuple[str, ...]
    control: Control | None = None
    corrected: bool = False
    seconds: float = 0.0
    found: list[Evidence] = field(default_factory=list)

    @property
    def samples(self) -> bool:
        return "trajectory" in self.routes and not self.case.setting.deterministic


def _seed(seed: int, *words: str) -> list[int]:
    """A stream for these words that does not depend on which other claims are verified."""
    return [seed, *(zlib.crc32(word.encode()) for word in words)]


def routes_of(claim: Claim) -> tuple[str, ...]:
    """The routes that a claim's formulas allow: `points` (exact expectations) and `trajectory`."""
    if claim.kind is Kind.EXACT:
        return ("trajectory",)
    points = ("points",) if claim.at_points is not None or claim.one_step is not None else ()
    run = ("trajectory",) if claim.curve is not None and claim.kind is not Kind.REFUTED else ()
    return points + run


def _control_case(claim: Claim, control: Control) -> Case:
    instance = control.instance(claim)
    facts = facts_of(instance.setting)
    if control.facts is not None:
        facts = control.facts(facts)
    setting = instance.setting if control.setting is None else control.setting(instance.setting)
    return Case(
        claim.without_hypotheses(), setting, facts, instance.steps, control.scale, instance.origin, instance.replay
    )


def plan(ids: Sequence[str], *, seed: int, profile: Profile) -> list[_Job]:
    """Draw every instance and control before anything is run."""
    jobs = []
    for claim_id in ids:
        claim = claims[claim_id]
        for family in claim.families:
            rng = np.random.default_rng(_seed(seed, claim_id, family.name))
            for _ in range(family.quick if profile == "quick" else family.full):
                instance = family.draw(rng, claim)
                case = case_of(claim, instance.setting, instance.steps, origin=instance.origin, replay=instance.replay)
                routes = routes_of(claim) if instance.steps > 0 else ("points",)
                jobs.append(_Job(claim, case, routes))
        for control in claim.controls:
            route = "trajectory" if control.route == "trajectory" else "points"
            if claim.corrected is not None:
                true = claims[claim.corrected]
                instance = control.instance(true)
                case = case_of(true, instance.setting, instance.steps, origin=instance.origin, replay=instance.replay)
                jobs.append(_Job(claim, case, (route,), control, corrected=True))
            else:
                jobs.append(_Job(claim, _control_case(claim, control), (route,), control))
    return jobs


def run_job(job: _Job, *, seed: int, instances: int, progress: Progress, budget: float) -> None:
    """Take the job's routes; its evidence is left in `found`."""
    started = time.perf_counter()
    for route in job.routes:
        if progress.stopped:
            return
        if route == "points":
            job.found.append(point_evidence(job.case))
        else:
            words = _seed(seed, job.claim.id, job.case.replay, job.control.name if job.control else "")
            own = int(np.random.default_rng(words).integers(2**62))
            job.found.append(
                trajectory_evidence(job.case, seed=own, instances=instances, progress=progress, budget=budget)
            )
    job.seconds = time.perf_counter() - started


def judge(claim: Claim, evidence: Sequence[Evidence], controls: Sequence[ControlResult]) -> tuple[Verdict, str]:
    """One verdict from all rows and controls, with its reason."""
    unrefuted = [c for c in controls if not c.refuted]
    if unrefuted:
        return Verdict.INCONCLUSIVE, f"a control was not refuted: {unrefuted[0].name}"
    violated = [e for e in evidence if e.verdict is Verdict.VIOLATED]
    if claim.kind is Kind.REFUTED:
        if violated:
            return Verdict.REFUTED_AS_STATED, f"the stored counterexample reproduces: {violated[0].reason}"
        return Verdict.VIOLATED, "the stored counterexample did not reproduce"
    if violated:
        again = f"; replay: ravine check {claim.id} {violated[0].replay}" if violated[0].replay else ""
        return Verdict.VIOLATED, violated[0].reason + again
    # A route that is not available says nothing either way; the other route of the instance must then speak.
    spoken = [e for e in evidence if "not available" not in e.reason]
    silent = [e for e in spoken if e.verdict is Verdict.INCONCLUSIVE]
    if silent or not spoken:
        return Verdict.INCONCLUSIVE, silent[0].reason if silent else evidence[0].reason if evidence else "no evidence"
    if claim.kind is Kind.EXACT:
        return Verdict.EXACT, f"to at least {claim.digits} digits"
    return Verdict.CONSISTENT, ""


def verify(
    ids: Sequence[str],
    *,
    seed: int = 0,
    profile: Profile = "quick",
    workers: int = 1,
    progress: Progress | None = None,
    on_plan: Callable[[int], None] | None = None,
    on_done: Callable[[str, str], None] | None = None,
) -> list[ClaimResult]:
    """Verify claims by id; verdicts depend on the seed and the profile alone, not on workers.

    on_plan(number of jobs) and on_done(claim id, instance) report progress from the calling thread.
    """
    control = progress or Progress()
    jobs = plan(ids, seed=seed, profile=profile)
    # M of the betting test, fixed before the first draw.
    instances = sum(job.samples for job in jobs)
    if on_plan is not None:
        on_plan(len(jobs))
    with ThreadPoolExecutor(workers) as pool:
        futures = {
            pool.submit(run_job, job, seed=seed, instances=instances, progress=control, budget=BUDGET[profile]): job
            for job in jobs
        }
        try:
            for future in as_completed(futures):
                future.result()
                if on_done is not None:
                    on_done(futures[future].claim.id, str(futures[future].case.setting.problem.name))
        except BaseException:
            control.stop()
            pool.shutdown(cancel_futures=True)
            raise
    return [_result(claims[claim_id], [job for job in jobs if job.claim.id == claim_id]) for claim_id in ids]


def _result(claim: Claim, jobs: Sequence[_Job]) -> ClaimResult:
    evidence = tuple(e for job in jobs if job.control is None for e in job.found)
    controls = []
    for job in jobs:
        if job.control is None:
            continue
        row = job.found[0]
        good = (Verdict.CONSISTENT, Verdict.EXACT) if job.corrected else (Verdict.VIOLATED,)
        controls.append(ControlResult(job.control.name, row.verdict in good, row))
    verdict, reason = judge(claim, evidence, controls)
    if verdict is Verdict.CONSISTENT and any(job.case.facts.estimated for job in jobs):
        verdict = Verdict.CONSISTENT_ESTIMATED
    return ClaimResult(claim, verdict, reason, evidence, tuple(controls), sum(job.seconds for job in jobs))
