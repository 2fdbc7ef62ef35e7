"""Routes for an equality about the limit of a deterministic run: a long run, and the equation of the 2-cycle itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experiments.engine.run import Progress, evaluate, one_step, simulate
from theory.samplings import full
from theory.setting import Setting

from .case import Case
from .runs import DETERMINISTIC, bound_at, diverged_reason
from .verdict import Critical, Evidence, Values, Verdict

CYCLE = "exact two-cycle equation"

MOST_DIMENSIONS = 200
"""A Newton step on the cycle takes one run a dimension."""


def plateau_evidence(case: Case, progress: Progress) -> Evidence:
    """The last records must have settled and agree to the stated digits."""
    times = np.unique(np.array([0, case.steps // 2, case.steps * 9 // 10, case.steps]))
    run = simulate(
        case.setting, steps=case.steps, times=times, threads=1, tier="textbook", progress=progress, gradients=False
    )
    if progress.stopped:
        return case.nothing(DETERMINISTIC, "interrupted")
    if (reason := diverged_reason(run)) is not None:
        return case.nothing(DETERMINISTIC, reason)
    late, gaps = times[-2:], run.gap[0, -2:]
    # A transient still visible at the stated digits says the run is too short, not that the formula is wrong.
    if abs(gaps[1] - gaps[0]) > 10.0 ** -(case.claim.digits + 1) * gaps[1]:
        return case.nothing(DETERMINISTIC, f"horizon too short: still moving after {case.steps} steps")
    return _equality(case, DETERMINISTIC, late, gaps)


def cycle_evidence(case: Case) -> Evidence:
    """Solve T(T(x)) = x for one step T by Newton's method from the end of a short run, and look at the gap there.

    Only a cycle that attracts counts: the eigenvalues of the derivative of T(T(x)) lie inside the unit circle.
    """
    setting = case.setting
    if setting.problem.d > MOST_DIMENSIONS:
        return case.nothing(CYCLE, f"exact route not available: d = {setting.problem.d} exceeds {MOST_DIMENSIONS}")
    short = min(case.steps, 5_000)
    x = simulate(setting, steps=short, times=np.array([short]), threads=1, tier="textbook", gradients=False).x[0]
    if not np.isfinite(x).all():
        return case.nothing(CYCLE, "the pilot run diverged")
    for _ in range(50):
        jacobian, residual = _linearised(setting, x)
        shift = np.linalg.solve(jacobian - np.eye(len(x)), -residual)
        x = x + shift
        if np.linalg.norm(shift) <= 1e-13 * max(float(np.linalg.norm(x - setting.problem.centre)), 1e-300):
            break
    jacobian, _ = _linearised(setting, x)
    largest = float(np.abs(np.linalg.eigvals(jacobian)).max())
    if not largest < 1:
        return case.nothing(CYCLE, f"exact route not available: the cycle found repels, multiplier {largest:.6g}")
    gap, _ = evaluate(setting, x[None, :])
    return _equality(case, CYCLE, np.array([short]), gap)


def _twice(setting: Setting, points: Values) -> Values:
    """Two steps from each row."""
    data, gamma, rho, lam = (
        full(setting.problem.n).data,
        *(s.largest for s in (setting.gamma, setting.rho, setting.lam)),
    )
    once = one_step(setting, data, points, gamma=gamma, rho=rho, lam=lam).x
    return one_step(setting, data, once, gamma=gamma, rho=rho, lam=lam).x


def _linearised(setting: Setting, x: Values) -> tuple[Values, Values]:
    """The derivative of two steps by central differences, and T(T(x)) - x."""
    d = len(x)
    width = 1e-5 * max(float(np.linalg.norm(x - setting.problem.centre)), 1e-300)
    moved = _twice(setting, np.concatenate([[x], x + width * np.eye(d), x - width * np.eye(d)]))
    return np.asarray((moved[1 : d + 1] - moved[d + 1 :]).T / (2 * width)), np.asarray(moved[0] - x)


def _equality(case: Case, route: str, times: NDArray[np.int64], gaps: Values) -> Evidence:
    """The last gap beside the stated value."""
    bound = bound_at(case, times)(case.scale)
    ratio = float(gaps[-1] / bound[-1])
    error = abs(ratio - 1)
    agrees = error <= 10.0**-case.claim.digits
    digits = int(min(15, -np.log10(max(error, 1e-16))))
    return case.evidence(
        route=route,
        verdict=Verdict.EXACT if agrees else Verdict.VIOLATED,
        reason=f"agrees to {digits} digits" if agrees else f"off by {error:.2e} relative",
        show=len(times) - 1, abscissa=times, measured=gaps, bound=bound,
        error=np.abs(gaps) * 10.0**-case.claim.digits,
        critical=dict.fromkeys(case.claim.constants, Critical(ratio, ratio, up=False)), relation="=",
    )  # fmt: skip
