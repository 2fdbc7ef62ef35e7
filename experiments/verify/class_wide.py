"""The worst-case route: the inequality that a claim's proof iterates, against a whole class of functions at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from theory.claim import Claim
from theory.worst_case.claims import Stated, grid
from theory.worst_case.critical import EXCESS, FIRST_LENGTHS, Unsolved, solved_margin
from theory.worst_case.estimation import CLASSES, EXACT_CLASSES
from theory.worst_case.one_step import Margin

from .verdict import CLASS, Evidence, Verdict

WORST_CASE = "worst case"
UNAVAILABLE_SENTENCE = (
    "evidence by worst cases over classes was not available: pip install 'ravine[worst-case]' for PEPit and a solver"
)

SETTINGS = {"quick": 1, "full": 6}
"""Choices of steps, spread over the grid, at which a claim is judged."""


def settings_of(claim: Claim, profile: str) -> list[Stated]:
    """Some of the claim's grid, away from its ends, where constants may vanish; none where it states nothing over a
    class."""
    found = list(grid(claim))
    if not found:
        return []
    chosen = np.unique(np.linspace(0, len(found) - 1, SETTINGS[profile] + 2)[1:-1].astype(int))
    return [found[k] for k in chosen]


def worst_case_evidence(claim: Claim, settings: Sequence[Stated]) -> Evidence:
    """One entry for each setting: the worst D+ that some function of the class has, beside what is stated there.

    Consistent where the relaxations that cover every length of the gradient leave no excess; violated where a function
    of the class has one; else inconclusive. Values are those of the problem, whose unit is 1 + D.
    """
    measured, bound, reasons = [], [], []
    verdict, left = Verdict.CONSISTENT, EXCESS
    for stated in settings:
        try:
            worst = worst_margin(stated)
        except Unsolved as failure:
            reasons.append(f"{failure} at {stated.cell}")
            verdict = verdict if verdict is Verdict.VIOLATED else Verdict.INCONCLUSIVE
            continue
        excess = worst.solved.value
        left = max(left, worst.solved.error, worst.solved.gap)
        here = worst.after - excess
        measured.append(worst.after)
        bound.append(here)
        if excess > EXCESS:
            seen = violating(stated)
            verdict = Verdict.VIOLATED if seen else verdict if verdict is Verdict.VIOLATED else Verdict.INCONCLUSIVE
            found = "a function of the class exceeds it" if seen else "the relaxation does not certify it"
            reasons.append(f"{found} by {excess:.2g} at {stated.cell}")
    cells = len(settings)
    name = settings[0].function_class
    said = f"certified to {left:.1g} over the class, {cells} choice{'s' * (cells > 1)} of steps"
    at = int(np.argmax(np.array(measured) - np.array(bound))) if measured else 0
    return Evidence(
        route=WORST_CASE, verdict=verdict, reason="; ".join(reasons) or said,
        instance=f"every function that is {CLASSES[name]}", origin=CLASS, replay="",
        at=float(at), measured=measured[at] if measured else math.nan, bound=bound[at] if bound else math.nan,
        error=EXCESS, replicates=1, critical={}, abscissa=np.arange(len(measured), dtype=np.int64),
        measured_curve=np.array(measured), bound_curve=np.array(bound), error_curve=np.full(len(measured), EXCESS),
    )  # fmt: skip


def _lengths(stated: Stated) -> list[tuple[float, float]]:
    if stated.cell.lam == 0 or stated.cell.rho == 0:
        return [(0.0, math.inf)]
    unit = stated.cell.L * stated.cell.rho * stated.cell.lam
    ends = [end * unit for end in FIRST_LENGTHS]
    return list(pairwise(ends))


def worst_margin(stated: Stated) -> Margin:
    """The largest excess over intervals that cover every length of the gradient. Raises Unsolved."""
    margins = [solved_margin(stated.cell, stated.inequality({}), lengths) for lengths in _lengths(stated)]
    return max(margins, key=lambda m: m.solved.value)


def violating(stated: Stated) -> bool:
    """Whether a function of the class exceeds the inequality: an exact problem in an exact class says so."""
    if stated.function_class not in EXACT_CLASSES:
        return False
    for shortest, longest in _lengths(stated):
        middle = math.sqrt(shortest * longest) if 0 < shortest < longest < math.inf else 0.0
        middle = middle or (longest / 2 if longest < math.inf else 2 * shortest)
        lengths = (middle, middle) if stated.cell.lam * stated.cell.rho > 0 else (0.0, math.inf)
        try:
            found = solved_margin(stated.cell, stated.inequality({}), lengths).solved
            if found.primal > EXCESS + 10 * found.error:  # by more than its violated conditions may be worth
                return True
        except Unsolved:
            continue
    return False
