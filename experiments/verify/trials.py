"""The route of statements that say themselves what is measured: both sides of a trial, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from experiments.engine.run import Progress, evaluate, one_step, simulate
from theory.samplings import full
from theory.setting import Setting
from theory.trial import Lab, NotMeasurable, Order, Scale, Trial

from . import betting, sampled
from .case import Case
from .comparison import Comparison, compare
from .verdict import Critical, Evidence, Values, Verdict

TRIAL = "trial "
"""Routes of this kind are called by the name of the trial after this word."""


@dataclass
class EngineLab:
    """The compiled kernels as what `theory.trial.Lab` asks for."""

    replicates: range = range(1)
    seed: int = 0
    progress: Progress = field(default_factory=Progress)

    def iterates(self, setting: Setting, times: Sequence[int] | NDArray[np.int64]) -> Values:
        wanted = np.asarray(times, dtype=np.int64)
        copies = range(1) if setting.deterministic else self.replicates
        return simulate(
            setting, steps=max(int(wanted[-1]), 1), times=wanted, replicates=len(copies), first_replicate=copies.start,
            seed=self.seed, threads=1, progress=self.progress, gradients=False, iterates=True,
            tier="textbook",
        ).points  # fmt: skip

    def step(self, setting: Setting, points: Values, *, t: int = 0) -> Values:
        gamma, rho, lam = (float(s.at(t)) for s in (setting.gamma, setting.rho, setting.lam))
        return one_step(setting, full(setting.problem.n).data, points, t=t, gamma=gamma, rho=rho, lam=lam).x

    def values(self, setting: Setting, points: Values) -> tuple[Values, Values]:
        return evaluate(setting, points)


def trial_evidence(
    name: str,
    case: Case,
    *,
    seed: int,
    instances: int,
    progress: Progress,
    budget: float,
    lab: Callable[[range], Lab] | None = None,
) -> Evidence:
    """Measure one trial of the claim and compare its sides. lab: what measures these copies; default the engine."""
    measure = case.claim.trials[name]
    random = not case.setting.deterministic
    first = sampled.FIRST_REPLICATES if random else 1
    laboratory = lab or (lambda copies: EngineLab(copies, seed, progress))

    def look(start: int, count: int) -> Trial:
        return measure(case.setting, case.facts, case.steps, laboratory(range(start, start + count)))

    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            trial = look(0, first)
    except NotMeasurable as reason:
        return case.nothing(name, str(reason))
    if progress.stopped:
        return case.nothing(name, "interrupted")
    if trial.sampled:
        most = sampled.most_replicates(budget, case.steps)
        return _sampled(case, trial, look, first=first, most=most, instances=instances, progress=progress)
    if case.claim.order is not None:
        return _order(case, trial, case.claim.order)
    if trial.relation == "=":
        return _equality(case, trial)
    return _one_sided(case, trial)


def _one_sided(case: Case, trial: Trial) -> Evidence:
    """`<=` as it stands; `>=` with the sides' signs changed, so that one comparison serves both."""
    up = trial.relation == "<="
    sign = 1.0 if up else -1.0

    def bound(scale: Scale) -> Values:
        return sign * np.asarray(trial.stated(scale), dtype=np.float64)

    found = Comparison(trial.route, trial.at.astype(np.int64), sign * trial.measured, trial.error, bound, complete=True)
    row = compare(case, found)
    if up:
        return row
    return replace(
        row, measured=-row.measured, bound=-row.bound, measured_curve=-row.measured_curve,
        bound_curve=-row.bound_curve, relation=">=",
    )  # fmt: skip


def _equality(case: Case, trial: Trial) -> Evidence:
    """Both sides agree to the error that the trial names."""
    stated = np.asarray(trial.stated(case.scale), dtype=np.float64)
    apart = np.abs(trial.measured - stated)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(trial.error > 0, apart / trial.error, np.where(apart > 0, np.inf, 0.0))
    excess[~np.isfinite(trial.measured)] = np.inf
    show = int(np.argmax(excess))
    agrees = bool(excess[show] <= 1)
    size = max(abs(float(stated[show])), abs(float(trial.measured[show])))
    reason = f"apart by {apart[show]:.2g} where {trial.error[show]:.2g} is allowed"
    critical = {}
    if case.claim.constants and size > 0 and stated[show] != 0:
        ratio = float(trial.measured[show] / stated[show]) * float(np.prod(list(case.scale.values()) or [1.0]))
        critical = dict.fromkeys(case.claim.constants, Critical(ratio, ratio, up=False))
    return case.evidence(
        route=trial.route, verdict=Verdict.EXACT if agrees else Verdict.VIOLATED, reason="" if agrees else reason,
        show=show, abscissa=trial.at.astype(np.int64), measured=trial.measured, bound=stated, error=trial.error,
        critical=critical, relation="=",
    )  # fmt: skip


def _sampled(
    case: Case,
    trial: Trial,
    look: Callable[[int, int], Trial],
    *,
    first: int,
    most: int,
    instances: int,
    progress: Progress,
) -> Evidence:
    """Each copy is one draw of a nonnegative quantity; the betting test judges its mean."""
    bound = np.asarray(trial.stated(case.scale), dtype=np.float64)
    at = trial.at

    def draw(start: int, count: int) -> Values | None:
        if start == 0 and count == first:
            return trial.measured
        new = look(start, count).measured
        return None if progress.stopped else new

    # A time counts when all copies together have seen each rare event often enough.
    rare = np.maximum(at, 1.0) * case.facts.least_probability
    outcome = betting.sequential_test(draw, bound, instances=instances, rare=rare, first=first, most=most)
    times = at.astype(np.int64)
    return sampled.judged(
        case,
        trial.route,
        outcome,
        times,
        lambda scale: np.asarray(trial.stated(scale), dtype=np.float64),
        show_last=False,
    )


LEAST_SLOPES = 3
"""Slopes between neighbouring entries needed to see whether they settle."""


SETTLING = 0.9
"""Changes of the slope that shrink by less than this factor from entry to entry have not settled."""


def _order(case: Case, trial: Trial, order: Order) -> Evidence:
    """Slopes of log measured against log at between neighbouring entries, which must settle at the claimed exponent.

    Entries come in order towards the limit, `at` by a constant factor each. The changes of the slope then shrink
    geometrically, so that the last change and its ratio to the one before say what is missing; twice that is allowed,
    plus what the entries' errors do to the slope. The claimed exponent must lie in that interval and every neighbour
    outside; where the changes do not shrink, nothing is said.
    """
    claimed = order.claimed * case.scale.get("exponent", 1.0)
    seen = (trial.error < 0.1 * trial.measured) & (trial.measured > 0)
    at, measured, error = trial.at[seen], trial.measured[seen], trial.error[seen]
    if len(at) < LEAST_SLOPES + 1:
        return case.nothing(
            trial.route, f"rounding floor: {len(at)} entries stand above it, {LEAST_SLOPES + 1} are needed"
        )
    steps = np.diff(np.log(at))
    slopes = np.diff(np.log(measured)) / steps
    blur = (error[1:] / measured[1:] + error[:-1] / measured[:-1]) / np.abs(steps)
    last = float(slopes[-1])
    changes = np.abs(np.diff(slopes))[-2:]
    noise = float(blur[-1] + blur[-2])
    ratio = float(changes[1] / changes[0]) if changes[0] > noise else 0.0
    if ratio >= SETTLING:
        return case.nothing(trial.route, f"horizon too short: the slopes do not settle, last {last:.4g}")
    width = 2 * float(changes[1]) * max(1.0, ratio / (1 - ratio)) + noise
    inside = abs(last - claimed) <= width
    told_apart = all(abs(last - other) > width for other in order.neighbours)
    text = f"slope {last:.4g} +- {width:.2g}, claimed {claimed:g}"
    verdict = Verdict.RATE_SEEN if inside and told_apart else Verdict.INCONCLUSIVE if inside else Verdict.VIOLATED
    return case.evidence(
        route=trial.route, verdict=verdict, reason=text, show=len(slopes) - 1,
        abscissa=np.arange(len(slopes), dtype=np.int64), measured=slopes, bound=np.full(len(slopes), claimed),
        error=np.append(np.abs(np.diff(slopes)), width),
        critical={"exponent": Critical(last / claimed, last / claimed, up=True)} if claimed else {}, relation="=",
    )  # fmt: skip
