"""Search: an optimiser moves through instances of a claim and looks for the one that leaves a named constant the least
room.

The objective is the critical scale of the constant, from exact measurements alone; never a ratio of measured to bound,
which is 1 at t = 0 for every bound. Budgets are counted in evaluations, so that a search repeats itself.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import differential_evolution

from experiments.engine.run import Progress
from problems.problem import Vector
from theory.claim import Claim, Instance
from theory.setting import facts_of
from theory.spaces import SPACES, Space, draw

from .case import Case
from .corpus import Entry
from .critical import badness, sharpest
from .verdict import Critical


@dataclass(frozen=True)
class Find:
    """The sharpest instance found for one named constant.

    scale: its critical scale there. route: the measurement that shows it. evaluations: how many instances had been
    tried. space: where it lay.
    """

    claim: str
    constant: str
    scale: Critical
    replay: str
    route: str
    evaluations: int
    space: str

    def entry(self, found: str = "") -> Entry:
        """The find as the corpus stores it."""
        return Entry(self.constant, self.scale.sharpest, self.scale.up, self.replay, self.route, found)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "constant": self.constant,
            "critical_scale": self.scale.sharpest,
            "strengthened_by": "larger" if self.scale.up else "smaller",
            "route": self.route,
            "evaluations": self.evaluations,
            "space": self.space,
            "replay": self.replay,
        }

    @property
    def violated(self) -> bool:
        """The unscaled bound itself fails, beyond the rounding of the bisection."""
        return self.scale.low < 1 - VIOLATION if self.scale.up else self.scale.high > 1 + VIOLATION


VIOLATION = 1e-6
"""Bounds that are attained have critical scale 1 up to the rounding of measurement, bound and bisection; a search
instance closer than this to 1 is no counterexample."""


class _Spent(Exception):
    """The budget is used up."""


def search(
    claim: Claim,
    name: str,
    *,
    budget: int,
    seed: int = 0,
    spaces: Sequence[Space] = SPACES,
    progress: Progress | None = None,
    on_evaluation: Callable[[int, float | None], None] | None = None,
) -> Find | None:
    """The sharpest instance for constant `name` within `budget` evaluations, shared over the spaces that have any
    admissible instance. None where nothing is found on which the constant speaks.

    on_evaluation(number, best scale so far) reports progress; raise from it, or stop `progress`, to end early.
    """
    best: Find | None = None
    spent = 0
    control = progress or Progress()
    open_spaces = [space for space in spaces if _speaks(claim, name, space, seed)]
    for number, space in enumerate(open_spaces):
        allowance = (budget - spent) // (len(open_spaces) - number)
        end = spent + allowance

        def objective(numbers: Vector, space: Space = space, end: int = end) -> float:
            nonlocal best, spent
            if spent >= end or control.stopped:
                raise _Spent
            spent += 1
            found = _measured(claim, name, draw(space, claim, numbers))
            if on_evaluation is not None:
                on_evaluation(spent, best.scale.sharpest if best else None)
            if found is None:
                return math.inf
            (scale, route), instance = found
            if best is None or badness(scale) < badness(best.scale):
                best = Find(claim.id, name, scale, instance.replay, route, spent, space.name)
            return badness(scale)

        population = max(5, min(15, allowance // (10 * space.size)))
        with contextlib.suppress(_Spent):
            differential_evolution(
                objective, [(0.0, 1.0)] * space.size, popsize=population, maxiter=10**6, tol=0.0, polish=False,
                rng=np.random.default_rng([seed, 0x5E, number]), init="sobol", mutation=(0.4, 0.9), recombination=0.8,
            )  # fmt: skip
        if control.stopped:
            break
    return best


TRIALS = 40


def _speaks(claim: Claim, name: str, space: Space, seed: int) -> bool:
    """Some of a few random instances of the space say something about the constant."""
    rng = np.random.default_rng([seed, 0x5D])
    return any(_measured(claim, name, draw(space, claim, rng.random(space.size))) is not None for _ in range(TRIALS))


def _measured(claim: Claim, name: str, instance: Instance | None) -> tuple[tuple[Critical, str], Instance] | None:
    if instance is None:
        return None
    case = Case(claim, instance.setting, facts_of(instance.setting), instance.steps, {}, "synthetic", instance.replay)
    found = sharpest(case, name)
    return None if found is None or math.isnan(found[0].sharpest) else (found, instance)
