"""The Python side of `ravine check` and `ravine run`: claims that can be checked, and runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

import theory.claim
from experiments.engine.run import Progress, Run, simulate
from experiments.verify.case import Case, case_of
from experiments.verify.check import CheckResult, prepare, run_check
from experiments.verify.corpus import Entry, corpus_case, entries
from experiments.verify.critical import replayed
from experiments.verify.sharpness import Sharpness, profile
from experiments.verify.trials import EngineLab, trial_evidence
from experiments.verify.verdict import Evidence, Verdict
from problems.errors import InputError
from problems.problem import Problem
from theory.methods.method import Method, methods
from theory.samplings import Sampling, samplings
from theory.schedules import Schedule, read_schedule
from theory.setting import Setting, facts_of, make_setting
from theory.trial import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CheckableClaim", "Run", "Sharpness", "claims", "corpus", "sharpness", "simulate", "versions"]


@dataclass(frozen=True)
class Check:
    """The outcome of `claim.check`: `.verdict`, `.reason`, `.evidence`, `.prepared` and `.figure()`."""

    result: CheckResult

    def __getattr__(self, name: str) -> Any:
        return getattr(self.result, name)

    def figure(self) -> Figure:
        """The measured curve and the bound on logarithmic axes, their ratio below."""
        from experiments.report.figure import check_figure

        return check_figure(self.result)


@dataclass(frozen=True)
class CheckableClaim:
    """A claim of the catalogue with its laboratory: all its fields, and `check`."""

    claim: theory.claim.Claim

    def __getattr__(self, name: str) -> Any:
        return getattr(self.claim, name)

    def __str__(self) -> str:
        hypotheses = "; ".join(h.text for h in self.claim.hypotheses)
        head = f"{self.claim.id}: {self.claim.title}\n  {self.claim.statement}"
        return f"{head}\n  source: {self.claim.source}\n  if {hypotheses}"

    def check(
        self,
        problem: Problem,
        *,
        sampling: str | Sampling = "full",
        method: str | Method | None = None,
        gamma: float | str | Schedule | None = None,
        rho: float | str | Schedule | None = None,
        lam: float | str | Schedule | None = None,
        x0: ArrayLike | None = None,
        steps: int | None = None,
        scale: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> Check:
        """Check the claim on a problem.

        sampling: SPEC or object. gamma, rho: numbers or schedules, chosen by the lab when both are None. lam: in
        [0, 1], default 0.5. x0: shape (d,), default the problem's start. steps: default where the bound is
        informative. scale: factors on named constants, as {"rate": 2}. Raises InputError for bad arguments and
        OutsideHypotheses where the claim says nothing.
        """
        drawn = samplings.build(sampling, problem=problem) if isinstance(sampling, str) else sampling
        rule = methods.build(method or self.claim.method) if isinstance(method, str | None) else method
        setting = make_setting(
            problem,
            sampling=drawn,
            method=rule,
            gamma=read_schedule(gamma or 0.0, argument="gamma"),
            rho=read_schedule(rho or 0.0, argument="rho"),
            lam=lam,
            x0=x0,
        )
        return Check(run_check(prepare(self.claim, setting, steps=steps, scale=scale), seed=seed))

    def measure(
        self, trial: str, setting: Setting, *, steps: int, seed: int = 0, replicates: int = 1, judged: bool = True
    ) -> Trial:
        """Both sides of one of the claim's statements (a key of `trials`), measured and not judged.

        replicates: copies of a random run. judged: refuse a setting outside the hypotheses (OutsideHypotheses);
        otherwise measure there too, for a picture of where a statement ends. Raises InputError for an unknown trial
        and theory.trial.NotMeasurable where nothing can be said.
        """
        if trial not in self.claim.trials:
            raise InputError(f"trial must be {' or '.join(self.claim.trials) or 'left out'}, got {trial!r}")
        facts = facts_of(setting)
        if judged:
            self.claim.require(facts)
        lab = EngineLab(range(replicates), seed)
        return self.claim.trials[trial](setting, facts, steps, lab)


class _Claims(Mapping[str, CheckableClaim]):
    """Every claim of the catalogue by id, ready to be checked."""

    def __getitem__(self, claim_id: str) -> CheckableClaim:
        return CheckableClaim(theory.claim.claims[claim_id])

    def __iter__(self) -> Iterator[str]:
        return iter(theory.claim.claims)

    def __len__(self) -> int:
        return len(theory.claim.claims)

    def __contains__(self, claim_id: object) -> bool:
        return claim_id in theory.claim.claims


claims = _Claims()


def corpus(claim_id: str) -> list[Entry]:
    """The sharpest instances stored for a claim, one for each named constant that a search has tried."""
    return entries(claim_id)


SCALED = (theory.claim.Kind.UPPER, theory.claim.Kind.LOWER, theory.claim.Kind.INVARIANCE, theory.claim.Kind.REFUTED)
"""Statements whose constants have a stronger side; equalities and exponents have none."""


def sharpness(claim_id: str) -> list[Sharpness]:
    """How much stronger each named constant of a claim could be, from what is measured at once and without sampling.

    Instances: the stored ones, and one of each tight family; where a claim says itself what is measured, as many of
    every family as a quick verification draws, but none on real data. The same each time. A constant that larger and
    smaller scales strengthen, in different parts of a statement, has an entry for each. Empty for equalities and orders
    of convergence.
    """
    claim = theory.claim.claims[claim_id]
    if claim.kind not in SCALED:
        return []
    return profile(claim, (row for case in _sharp_cases(claim) for row in _exact_rows(case)))


def _sharp_cases(claim: theory.claim.Claim) -> Iterator[Case]:
    for entry in entries(claim.id):
        yield corpus_case(claim, entry)
    for family in claim.families:
        rng = np.random.default_rng(0)
        for _ in range(1 if claim.searchable else family.quick):
            instance = family.draw(rng, claim)
            if instance.origin == "tight" or (instance.origin == "synthetic" and not claim.searchable):
                yield case_of(claim, instance)


def _exact_rows(case: Case) -> Iterator[Evidence]:
    if case.claim.searchable:
        yield replayed(case)
    for name in case.claim.trials:
        row = trial_evidence(name, case, seed=0, instances=1, progress=Progress(), budget=0.0)
        # Draws say nothing here, nor does the equality that some statements hold beside a bound.
        if row.replicates == 1 and row.verdict is not Verdict.EXACT:
            yield row


def versions() -> dict[str, str]:
    """Of the libraries on which numbers depend."""
    return {name: version(name) for name in ("numpy", "scipy", "numba", "matplotlib")}
