"""Verify claims: draw instances, take every route of evidence, run the controls, and give one verdict a claim."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.engine.run import Progress
from experiments.store import Store
from theory.claim import Claim, Control, Instance, Kind, claims
from theory.derivation import derivations
from theory.setting import facts_of
from theory.worst_case.estimation import available

from .brackets import stored, to_records
from .case import Case, case_of
from .class_wide import WORST_CASE, settings_of, worst_case_evidence
from .corpus import corpus_case, entries
from .critical import replayed
from .record import case_key, evidence_as_record, evidence_from_record
from .routes import UNAVAILABLE, Means, routes_of, take
from .search import search
from .sharpness import Sharpness, as_numbers, profile
from .trials import TRIAL
from .verdict import CLASS, Evidence, Verdict
from .written_proof import DERIVATION, derivation_evidence

Profile = Literal["quick", "full"]

BUDGET = {"quick": 6e7, "full": 6e8}
"""Most steps times replicates that one instance may cost before it is inconclusive."""

EVALUATIONS = {"quick": 0, "full": 1500}
"""Instances that a fresh search tries for each named constant; counted, so that a resumed run equals another."""


@dataclass(frozen=True)
class Row:
    """Evidence with where it came from. case: what was compared, None for a search and for evidence about every
    instance. route, key: under which a store keeps it; key is empty without a store. seconds: what it took when it was
    measured."""

    evidence: Evidence
    case: Case | None
    route: str
    key: str
    seconds: float


@dataclass(frozen=True)
class ControlResult:
    """A control, whether the check refuted it, and by which evidence."""

    name: str
    refuted: bool
    row: Row

    @property
    def evidence(self) -> Evidence:
        return self.row.evidence

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
    rows: tuple[Row, ...]
    controls: tuple[ControlResult, ...]
    sharpness: tuple[Sharpness, ...]
    seconds: float

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the rows hold, those of controls not among them."""
        return tuple(row.evidence for row in self.rows)

    @property
    def instances(self) -> int:
        """How many instances were measured; evidence about all of them at once is none of these."""
        return len({e.instance for e in self.evidence if e.origin != CLASS})

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
            "sharpness": as_numbers(self.sharpness),
            "sharpness_profile": [s.as_json() for s in self.sharpness],
            "brackets": to_records(stored(self.claim.id)),
            "derivations": [d.id for d in derivations.of(self.claim.id)],
            "instances": self.instances,
            "evidence": [e.as_json() for e in self.evidence],
            "controls": [{"name": c.name, "refuted": c.refuted, "by": c.by} for c in self.controls],
            "worst": worst.as_json() if worst else None,
            "seconds": self.seconds,
        }


_SEVERITY = {Verdict.VIOLATED: 2, Verdict.INCONCLUSIVE: 1}


def worst_of(evidence: Sequence[Evidence]) -> Evidence | None:
    """The row to show first: violated, then inconclusive, then the largest measured/bound among runs."""
    measured = [e for e in evidence if e.origin != CLASS] or list(evidence)
    if not measured:
        return None
    return max(
        measured,
        key=lambda e: (
            _SEVERITY.get(e.verdict, 0),
            not e.route.startswith("exact one-step"),
            e.ratio if np.isfinite(e.ratio) else -1.0,
        ),
    )


@dataclass
class _Job:
    """One instance, control, stored instance or search of one claim, waiting to be run."""

    claim: Claim
    case: Case | None
    routes: tuple[str, ...]
    control: Control | None = None
    corrected: bool = False
    found: list[Row] = field(default_factory=list)

    @property
    def samples(self) -> bool:
        """Draws may be needed: M of the betting test counts these, some more than will in the end be sampled."""
        return self.case is not None and "trajectory" in self.routes and not self.case.setting.deterministic


CORPUS, SEARCH = "corpus", "search"
"""Besides the routes of `routes`: every exact measurement of a stored instance, and a fresh search for a constant.
`written_proof` and `class_wide` have the two routes that speak of every instance at once."""


def _seed(seed: int, *words: str) -> list[int]:
    """A stream for these words that does not depend on which other claims are verified."""
    return [seed, *(zlib.crc32(word.encode()) for word in words)]


def _control_case(claim: Claim, control: Control) -> Case:
    instance = control.instance(claim)
    facts = facts_of(instance.setting)
    if control.facts is not None:
        facts = control.facts(facts)
    setting = instance.setting if control.setting is None else control.setting(instance.setting)
    stated = claim if control.broken is None else control.broken(claim)
    return Case(
        stated.without_hypotheses(), setting, facts, instance.steps, control.scale, instance.origin, instance.replay
    )


def _instance_job(claim: Claim, instance: Instance) -> _Job:
    case = case_of(claim, instance)
    return _Job(claim, case, routes_of(claim, steps=instance.steps, deterministic=case.setting.deterministic))


def _control_job(claim: Claim, control: Control) -> _Job:
    route = control.route
    if claim.kind is Kind.EXACT and claim.curve is not None:
        route = "plateau"
    elif route in claim.trials:
        route = TRIAL + route
    if claim.corrected is None:
        return _Job(claim, _control_case(claim, control), (route,), control)
    true = claims[claim.corrected]
    return _Job(claim, case_of(true, control.instance(true)), (route,), control, corrected=True)


def plan(ids: Sequence[str], *, seed: int, profile: Profile) -> list[_Job]:
    """Draw every instance and control before anything is run."""
    jobs = []
    for claim_id in ids:
        claim = claims[claim_id]
        for family in claim.families:
            rng = np.random.default_rng(_seed(seed, claim_id, family.name))
            count = family.quick if profile == "quick" else family.full
            jobs += [_instance_job(claim, family.draw(rng, claim)) for _ in range(count)]
        jobs += [_Job(claim, corpus_case(claim, entry), (CORPUS,)) for entry in entries(claim_id)]
        jobs += [_control_job(claim, control) for control in claim.controls]
        jobs += [_Job(claim, None, (f"{DERIVATION} {d.id}",)) for d in derivations.of(claim_id)]
        if available() and settings_of(claim, profile):
            jobs += [_Job(claim, None, (WORST_CASE,))]
        if EVALUATIONS[profile] and claim.searchable:
            jobs += [_Job(claim, None, (f"{SEARCH} {name}",)) for name in claim.named_constants]
    return jobs


@dataclass(frozen=True)
class _Plan:
    """What every job of one verification shares. known: results of an earlier, interrupted run may be taken."""

    seed: int
    profile: Profile
    instances: int
    progress: Progress
    store: Store | None
    known: bool

    def interrupted(self) -> bool:
        return self.progress.stopped


def run_job(job: _Job, shared: _Plan) -> None:
    """Take the job's routes; its evidence is left in `found`, and in the store as soon as a route is done."""
    for route in job.routes:
        if shared.interrupted():
            return
        key = _key(job, route, shared) if shared.store is not None else ""
        known = shared.store.recall(job.claim.id, key, route) if shared.store is not None and shared.known else None
        if known is None:
            started = time.perf_counter()
            found = _take(job, route, shared)
            if shared.interrupted():  # what an interrupted route found is not what it would have found
                return
            known = {} if found is None else evidence_as_record(found), time.perf_counter() - started
            if shared.store is not None:
                shared.store.put(job.claim.id, key, route, *known)
        record, seconds = known
        if record:
            job.found.append(Row(evidence_from_record(record), job.case, route, key, seconds))


def _key(job: _Job, route: str, shared: _Plan) -> str:
    if job.case is None:
        if route.startswith(DERIVATION):
            return "every instance"
        if route == WORST_CASE:
            return f"every function of a class, profile {shared.profile}"
        return f"{EVALUATIONS[shared.profile]} evaluations, seed {shared.seed}"
    control = job.control.name if job.control is not None else ""
    budget = BUDGET[shared.profile]
    return case_key(job.case, route, control=control, seed=shared.seed, instances=shared.instances, budget=budget)


def _take(job: _Job, route: str, shared: _Plan) -> Evidence | None:
    if route.startswith(DERIVATION):
        return derivation_evidence(derivations[route.removeprefix(f"{DERIVATION} ")])
    if route == WORST_CASE:
        return worst_case_evidence(job.claim, settings_of(job.claim, shared.profile))
    if job.case is None:
        name = route.removeprefix(f"{SEARCH} ")
        return _searched(job.claim, name, shared.seed, EVALUATIONS[shared.profile], shared.progress)
    if route == CORPUS:
        return replayed(job.case)
    words = _seed(shared.seed, job.claim.id, job.case.replay, job.control.name if job.control else "")
    own = int(np.random.default_rng(words).integers(2**62))
    return take(route, job.case, Means(own, shared.instances, shared.progress, BUDGET[shared.profile]))


def _searched(claim: Claim, name: str, seed: int, budget: int, progress: Progress) -> Evidence | None:
    """A fresh search as evidence: the sharpest instance it found, measured again by itself."""
    find = search(claim, name, budget=budget, seed=seed, progress=progress)
    if find is None:
        return None
    row = replayed(corpus_case(claim, find.entry()))
    return replace(row, route=SEARCH, reason=row.reason or f"{budget} instances tried for {name}")


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
        again = f"; replay: {claims.replay_command(claim.id, violated[0].replay)}" if violated[0].replay else ""
        return Verdict.VIOLATED, violated[0].reason + again
    # A route that is not available says nothing either way; the other route of the instance must then speak.
    # What speaks of every instance at once stands beside measurements, never in their place.
    available_rows = [e for e in evidence if not e.reason.startswith(UNAVAILABLE)]
    silent = [e for e in available_rows if e.verdict is Verdict.INCONCLUSIVE]
    spoken = [e for e in available_rows if e.origin != CLASS]
    if silent or not spoken:
        return Verdict.INCONCLUSIVE, silent[0].reason if silent else evidence[0].reason if evidence else "no evidence"
    if claim.kind is Kind.ORDER:
        return Verdict.RATE_SEEN, spoken[0].reason
    if claim.kind is Kind.CONJECTURE:
        return Verdict.CONJECTURE, ""
    if claim.kind is Kind.EXACT:
        return Verdict.EXACT, f"to at least {claim.digits} digits" if claim.digits else ""
    return Verdict.CONSISTENT, ""


def verify(
    ids: Sequence[str],
    *,
    seed: int = 0,
    profile: Profile = "quick",
    workers: int = 1,
    store: Store | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    on_plan: Callable[[int], None] | None = None,
    on_done: Callable[[str], None] | None = None,
) -> list[ClaimResult]:
    """Verify claims by id; verdicts depend on the seed and the profile alone, not on workers.

    store: every finished route is kept there. resume: what is already there is not measured again.
    on_plan(number of jobs) and on_done(claim id) report progress from the calling thread.
    """
    control = progress or Progress()
    jobs = plan(ids, seed=seed, profile=profile)
    # M of the betting test, fixed before the first draw.
    instances = sum(job.samples for job in jobs)
    if on_plan is not None:
        on_plan(len(jobs))
    shared = _Plan(seed, profile, instances, control, store, resume)
    # Worker threads are the parallelism here; linear algebra with threads of its own would only get in their way.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(run_job, job, shared): job for job in jobs}
        try:
            for future in as_completed(futures):
                future.result()
                if on_done is not None:
                    on_done(futures[future].claim.id)
        except BaseException:
            control.stop()
            pool.shutdown(cancel_futures=True)
            raise
    return [_result(claims[claim_id], [job for job in jobs if job.claim.id == claim_id]) for claim_id in ids]


def _result(claim: Claim, jobs: Sequence[_Job]) -> ClaimResult:
    rows = tuple(row for job in jobs if job.control is None for row in job.found)
    evidence = [row.evidence for row in rows]
    controls = []
    for job in jobs:
        if job.control is None:
            continue
        row = job.found[0]
        good = (Verdict.CONSISTENT, Verdict.EXACT) if job.corrected else (Verdict.VIOLATED,)
        controls.append(ControlResult(job.control.name, row.evidence.verdict in good, row))
    verdict, reason = judge(claim, evidence, controls)
    if verdict is Verdict.CONSISTENT and any(job.case is not None and job.case.facts.estimated for job in jobs):
        verdict = Verdict.CONSISTENT_ESTIMATED
    sharp = tuple(profile(claim, evidence))
    seconds = sum(row.seconds for row in rows) + sum(control.row.seconds for control in controls)
    return ClaimResult(claim, verdict, reason, rows, tuple(controls), sharp, seconds)
