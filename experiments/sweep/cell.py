"""One cell of a sweep: everything that its result depends on, and the result, a pure function of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.engine.run import Run, record_times, simulate
from problems.errors import InputError
from problems.problem import Problem
from problems.spec import parse
from theory.claim import Claim, Measure, claims
from theory.families import method_of, problem_of, read_start
from theory.methods.method import methods
from theory.samplings import largest_smoothness, samplings
from theory.schedules import Schedule, constant, read_schedule
from theory.setting import Facts, Setting, facts_of, make_setting

OK, FAILED, DIED = "ok", "failed", "worker died"
"""The status of a cell: it ran; it raised an exception; it took the process that ran it down with it."""


class Amount(NamedTuple):
    """A step size or radius: a number of `unit`s (1, or 1/L), or the text of a schedule."""

    value: float | str
    unit: str = "1"


@dataclass(frozen=True)
class Cell:
    """problem, sampling, method, x0: as on the command line; method None is that of the claim. lam: None is the
    method's own. target: a run has contracted if its gap ends below this part of its start. files: path and digest of
    each file that these texts name, so that other contents are another cell.
    """

    problem: str
    sampling: str
    method: str | None
    x0: str
    gamma: Amount
    rho: Amount
    lam: float | str | None
    seed: int
    steps: int
    replicates: int
    claim: str | None
    target: float = 1.0
    files: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Canonical JSON: two cells have one key only if they give one result."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def files_in(*specs: str) -> tuple[tuple[str, str], ...]:
    """Path and digest of each existing file that a value of these SPECs (or the whole text) names."""
    return tuple(sorted({found for text in specs for found in _files_in(text)}))


@lru_cache(maxsize=4096)
def _files_in(text: str) -> tuple[tuple[str, str], ...]:
    try:
        words = [text, *parse(text, argument="text")[1].values()]
    except InputError:
        words = [text]
    return tuple((word, digest_of(word)) for word in words if len(word) < 4096 and Path(word).is_file())


@lru_cache(maxsize=256)
def digest_of(path: str) -> str:
    """16 hexadecimal digits of a file's contents, read once in a process. Raises InputError when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as error:
        raise InputError(f"file {path!r} cannot be read ({error.strerror}); it must be readable here") from None


# -- the setting --


@dataclass(frozen=True)
class _Ground:
    """What cells that differ only in step sizes, mixing and seed share. inverse_L: 1/max(L_f, L_S)."""

    setting: Setting
    inverse_L: float
    facts: Facts | None


@lru_cache(maxsize=64)
def _ground(problem: str, sampling: str, method: str | None, x0: str, claim: str | None) -> _Ground:
    made: Problem = problem_of(problem)
    drawn = samplings.build(sampling, problem=made)
    if claim is not None:
        rule = method_of(claims[claim], method)
    else:
        assert method is not None  # the reader of the file has asked for one
        rule = methods.build(method)
    setting = make_setting(made, sampling=drawn, method=rule, x0=read_start(x0, made))
    L = max(made.L.value, largest_smoothness(made, drawn).value)
    return _Ground(setting, 1 / L if L > 0 else np.inf, facts_of(setting) if claim is not None else None)


def _schedule(amount: Amount, inverse_L: float, argument: str) -> Schedule:
    if isinstance(amount.value, str):
        return read_schedule(amount.value, argument=argument)
    number = amount.value * inverse_L if amount.unit == "1/L" else amount.value
    if not np.isfinite(number):
        raise InputError(f"{argument} in units of 1/L needs L > 0, which this problem does not have")
    return constant(number)


def _spelled(schedule: Schedule) -> float | str:
    return schedule.name if schedule.constant is None else schedule.constant


# -- the result --


def result_of(cell: Cell) -> dict[str, Any]:
    """The columns of a cell that ran (see `table`); anything that goes wrong is raised."""
    for path, digest in cell.files:
        if digest_of(path) != digest:
            raise InputError(f"file {path!r} is not the one that the sweep was started with; they must agree")
    ground = _ground(cell.problem, cell.sampling, cell.method, cell.x0, cell.claim)
    lam = None if cell.lam is None else read_schedule(cell.lam, argument="lam", high=1.0)
    setting = ground.setting.with_steps(
        gamma=_schedule(cell.gamma, ground.inverse_L, "gamma"),
        rho=_schedule(cell.rho, ground.inverse_L, "rho"),
        lam=lam if setting_takes(ground.setting, lam) else None,
    )
    claim = None if cell.claim is None else claims[cell.claim]
    averages = claim is not None and claim.measure is Measure.GRADIENT_AVERAGE
    # A weighted average over a run is taken over all of its steps.
    times = np.arange(cell.steps + 1) if averages else record_times(cell.steps)
    # Without randomness all copies are alike.
    copies = 1 if setting.deterministic else cell.replicates
    run = simulate(
        setting, steps=cell.steps, times=times, replicates=copies, seed=cell.seed, threads=1, gradients=averages
    )
    found = {
        "method": setting.method.name,
        "gamma": _spelled(setting.gamma),
        "rho": _spelled(setting.rho),
        "lam": _spelled(setting.lam) if setting.method.uses_lam else None,
        "replicates": copies,
        **_measured(run, cell, deterministic=setting.deterministic),
    }
    if claim is not None:
        assert ground.facts is not None
        facts = ground.facts.with_steps(setting.gamma, setting.rho, setting.lam)
        found |= _compared(claim, facts, setting, run, cell.steps)
    return found


def setting_takes(setting: Setting, lam: Schedule | None) -> bool:
    """The mixing is given, and the method has one."""
    return lam is not None and setting.method.uses_lam


def _mean(values: NDArray[np.float64], *, deterministic: bool) -> tuple[float, float | None]:
    """Mean and standard error; infinite where a copy diverged. One random copy tells nothing of its error."""
    if not np.isfinite(values).all():
        return float("inf"), None
    if len(values) == 1:
        return float(values[0]), 0.0 if deterministic else None
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _measured(run: Run, cell: Cell, *, deterministic: bool) -> dict[str, Any]:
    """The gap at both ends, its largest recorded value, divergence, and the mean factor per step."""
    start = float(run.gap[0, 0])
    end, error = _mean(run.gap[:, -1], deterministic=deterministic)
    finite = run.gap[np.isfinite(run.gap)]
    gone = run.diverged[run.diverged >= 0]
    return {
        "gap_start": start,
        "gap_end": end,
        "gap_end_error": error,
        "gap_largest": float(finite.max()) if len(finite) else None,
        "diverged": len(gone),
        "first_divergence": int(gone.min()) if len(gone) else None,
        "contracted": end < cell.target * start,
        # The logarithm keeps a quotient that underflows apart from one that is 0.
        "factor": float(np.exp((np.log(end) - np.log(start)) / cell.steps)) if 0 < end < np.inf and start > 0 else None,
    }


def _compared(claim: Claim, facts: Facts, setting: Setting, run: Run, steps: int) -> dict[str, Any]:
    """The hypotheses, what the claim measures at the end of the run, and, inside the hypotheses, its bound there."""
    failed = next((finding for finding in claim.findings(facts) if not finding.holds), None)
    values = _left_side(claim, facts, setting, run, steps)
    measured, error = _mean(values, deterministic=setting.deterministic)
    bound = None
    if failed is None:
        with np.errstate(over="ignore"):
            bound = float(claim.bound(facts, np.array([steps]))[0])
    return {
        "admissible": failed is None,
        "failed_hypothesis": None if failed is None else str(failed),
        "measured": measured,
        "measured_error": error,
        "bound": bound,
        "ratio": measured / bound if bound else None,
    }


def _left_side(claim: Claim, facts: Facts, setting: Setting, run: Run, steps: int) -> NDArray[np.float64]:
    """What the claim bounds, at the end of each copy's run, shape (R,)."""
    if claim.measure is Measure.DISTANCE:
        distances = ((run.x - setting.problem.centre) ** 2).sum(axis=1)
        return np.where(run.diverged >= 0, np.inf, distances)
    if claim.measure is not Measure.GRADIENT_AVERAGE:
        return run.gap[:, -1]
    growth = claim.growth(facts) if claim.growth is not None else 0.0
    # Weights (1 + growth)^-(s + 1), up to a factor; the largest is 1, so that none overflows.
    weights = np.exp(-np.log1p(growth) * np.arange(steps))
    return np.asarray(run.grad_norm2[:, :-1] @ weights / weights.sum())


def run_cell(cell: Cell) -> dict[str, Any]:
    """The result of a cell; a status and one sentence where it cannot be had."""
    try:
        return {"status": OK, "reason": None, **result_of(cell)}
    except (Exception, SystemExit) as error:
        words = " ".join(str(error).split())
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: " if words else type(error).__name__
        return {"status": FAILED, "reason": f"{kind}{words}"}


def with_files(cell: Cell) -> Cell:
    """The same cell with the digests of the files that it names."""
    return replace(cell, files=files_in(cell.problem, cell.sampling, cell.x0))
