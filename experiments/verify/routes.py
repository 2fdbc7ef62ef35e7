"""Which routes of evidence an instance takes: exact ones first, sampling where nothing exact reaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from experiments.engine.run import Progress
from theory.claim import Claim, Kind

from . import cycle, points, runs, sampled, trials
from .case import Case
from .verdict import Evidence, Verdict

UNAVAILABLE = "exact route not available"


@dataclass(frozen=True)
class Means:
    """What a route may use. seed: of its draws. instances: Monte Carlo instances of the whole verification, M of the
    betting test. budget: most steps times replicates to spend."""

    seed: int = 0
    instances: int = 1
    progress: Progress | None = None
    budget: float = 6e7

    @property
    def control(self) -> Progress:
        return self.progress or Progress()


def trajectory_evidence(case: Case, means: Means) -> Evidence:
    """The whole run against the bound: a deterministic run, exact moments where there are any, else Monte Carlo."""
    if case.setting.deterministic:
        return runs.deterministic_evidence(case, means.control)
    exact = runs.moments_evidence(case, means.control)
    if not exact.reason.startswith(UNAVAILABLE):
        return exact
    return sampled.monte_carlo_evidence(
        case, seed=means.seed, instances=means.instances, progress=means.control, budget=means.budget
    )


ROUTES: dict[str, Callable[[Case, Means], Evidence]] = {
    "one-step": lambda case, means: points.one_step_evidence(case),
    "points": lambda case, means: points.at_points_evidence(case, by_moments=False),
    "second-moments": lambda case, means: points.at_points_evidence(case, by_moments=True),
    "trajectory": trajectory_evidence,
    "stationary": lambda case, means: runs.stationary_evidence(case),
    "paths": lambda case, means: runs.paths_evidence(case, means.control),
    "plateau": lambda case, means: cycle.plateau_evidence(case, means.control),
    "cycle": lambda case, means: cycle.cycle_evidence(case),
}
"""Every route by name; a store keeps one row for each that an instance took."""

RUNS = (runs.DETERMINISTIC, runs.MOMENTS, sampled.MONTE_CARLO)
"""What evidence along a whole run calls itself."""

OPTIONAL = ("stationary", "paths", "cycle")
"""Routes that many instances do not allow; where they are not available nothing is recorded."""


def routes_of(claim: Claim, *, steps: int, deterministic: bool) -> tuple[str, ...]:
    """The routes that a claim's formulas allow on an instance; steps = 0 asks for expectations at points only."""
    if claim.kind is Kind.EXACT and claim.curve is not None:
        return ("plateau", "cycle")
    chosen = tuple(trials.TRIAL + name for name in claim.trials)
    if claim.at_points is not None:
        chosen += ("points", "second-moments")
    if claim.one_step is not None:
        chosen += ("one-step",)
    if claim.curve is not None and steps > 0:
        # A statement is refuted by one expectation; sampling rare events for it would show nothing.
        chosen += () if claim.kind is Kind.REFUTED else ("trajectory",)
        chosen += () if deterministic else ("paths", "stationary")
    return chosen


def take(route: str, case: Case, means: Means) -> Evidence | None:
    """The evidence of one route; None where an optional one is not available."""
    if route.startswith(trials.TRIAL):
        return trials.trial_evidence(
            route.removeprefix(trials.TRIAL), case, seed=means.seed, instances=means.instances, progress=means.control,
            budget=means.budget,
        )  # fmt: skip
    found = ROUTES[route](case, means)
    if route in OPTIONAL and found.verdict is Verdict.INCONCLUSIVE and found.reason.startswith(UNAVAILABLE):
        return None
    return found
