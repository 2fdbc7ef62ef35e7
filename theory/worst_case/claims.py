"""Which claims performance estimation can speak of, over which class, and how much stronger their constants could be.

A claim with a one-step form that is affine in the gap and in ||grad f||^2, for full gradients of any function of a
class, is such a claim. The class is the widest that its hypotheses admit: nothing is listed by claim.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from problems.errors import InputError
from theory.admissible import longest_step, widest_radius
from theory.claim import Claim, Kind
from theory.derivation_facts import facts_at
from theory.methods.method import methods
from theory.schedules import constant
from theory.setting import Facts
from theory.worst_case.critical import FARTHEST, Bracket, bracket
from theory.worst_case.estimation import WITH_MU, FunctionClass
from theory.worst_case.one_step import Cell, Inequality

WIDEST_FIRST: tuple[tuple[FunctionClass, float, bool], ...] = (
    ("nonconvex", 0.0, False),
    ("convex", 0.0, True),
    ("pl", 0.1, False),
    ("strongly-convex", 0.1, True),
)
"""Classes, each with a mu that it may have (L = 1) and whether its functions are convex."""

FAMILIES = ("sgd", "usam", "sam", "unified-sam")
"""Update rules that are Unified SAM at some mixing."""

MIXINGS = (0.0, 0.5, 1.0)
TRIED = (0.25, 0.5, 1.0)
"""Parts of the longest step."""
CURVATURES = (0.1, 0.5, 0.9)
"""mu of the grid, where the class has one; L = 1."""
RADII = (0.3, 0.8, 1.0)
"""Parts of the widest radius up to 1/L."""
SHORTEST = 0.02
"""Steps shorter than this over L are left out: what they change is little more than what solvers leave."""


@dataclass(frozen=True)
class Stated:
    """A claim over a class with the facts at which its inequality is evaluated. L = 1."""

    claim: Claim
    function_class: FunctionClass
    facts: Facts

    @property
    def cell(self) -> Cell:
        """The class and the steps."""
        f = self.facts
        mu = f.mu if self.function_class in WITH_MU else 0.0  # an instance of a wider class may have one
        return Cell(self.function_class, mu, f.L_f, f.gamma.largest, f.rho.largest, f.lam.largest)

    def inequality(self, scale: Mapping[str, float]) -> Inequality:
        """The one-step form with constants scaled."""
        assert self.claim.one_step is not None
        gap, norm2 = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
        c0, with_gap, with_norm2 = self.claim.one_step(self.facts, gap, norm2, 0, scale)
        return Inequality(float(c0), float(with_gap - c0), float(with_norm2 - c0))


def function_class_of(claim: Claim) -> FunctionClass | None:
    """The widest class of which the claim states its one-step form for full gradients; None where there is none."""
    if claim.one_step is None or claim.kind is Kind.REFUTED or methods.build(claim.method).family not in FAMILIES:
        return None
    if claim.suggest(_facts(claim, mu=0.1, convex=True, rho=1e-3, lam=1.0), 1.0, 1.0)[0].constant is None:
        return None  # its steps follow a schedule
    for name, mu, convex in WIDEST_FIRST:
        if _longest(claim, mu=mu, convex=convex) > 0:
            return name
    return None


def _facts(claim: Claim, *, mu: float, convex: bool, rho: float, lam: float, gamma: float = 1e-9) -> Facts:
    point = {"mu": mu, "L": 1.0, "gamma": gamma, "rho": rho, "lam": lam}
    return facts_at(point, convex=convex, strong_convexity=mu if convex else 0.0)


def _mixings(claim: Claim) -> tuple[float, ...]:
    method = methods.build(claim.method)
    return MIXINGS if method.family == "unified-sam" else (float(method.lam.largest),)


def _longest(claim: Claim, *, mu: float, convex: bool) -> float:
    try:
        return max(
            longest_step(claim, _facts(claim, mu=mu, convex=convex, rho=rho, lam=lam), rho)
            for lam in _mixings(claim)
            for rho in ((1e-3, 0.0) if methods.build(claim.method).uses_rho else (0.0,))
        )
    except InputError:  # schedules that such constants do not allow
        return 0.0


@dataclass(frozen=True)
class Grid:
    """Choices of steps: mu (L = 1) where the class has one, parts of the longest step, parts of the widest radius."""

    curvatures: tuple[float, ...] = CURVATURES
    parts: tuple[float, ...] = TRIED
    radii: tuple[float, ...] = RADII


FULL = Grid((0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99), (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0), (0.1, 0.3, 0.5, 0.8, 1.0))


def grid(claim: Claim, choices: Grid = Grid()) -> Iterator[Stated]:
    """Settings of the claim's class: curvatures, mixings, radii and parts of the longest step."""
    chosen = function_class_of(claim)
    if chosen is None:
        return
    convex = chosen in ("convex", "strongly-convex")
    for mu in choices.curvatures if chosen in WITH_MU else (0.0,):
        for lam in _mixings(claim):
            for rho in _radii(claim, mu, convex, lam, choices.radii):
                facts = _facts(claim, mu=mu, convex=convex, rho=rho, lam=lam)
                longest = longest_step(claim, facts, rho)
                for part in choices.parts:
                    at = replace(facts, gamma=constant(part * longest))
                    if part * longest >= SHORTEST and claim.admits(at):
                        yield Stated(claim, chosen, at)


def _radii(claim: Claim, mu: float, convex: bool, lam: float, parts: tuple[float, ...]) -> tuple[float, ...]:
    """Parts of the widest radius up to 1/L, by what the hypotheses admit."""
    if not methods.build(claim.method).uses_rho:
        return (0.0,)
    widest = min(1.0, widest_radius(claim, _facts(claim, mu=mu, convex=convex, rho=0.0, lam=lam)))
    return tuple(dict.fromkeys(part * widest * (1 - 1e-9) for part in parts)) if widest > 0 else (0.0,)


def constant_bracket(stated: Stated, name: str, *, solver: str = "CLARABEL") -> Bracket | None:
    """How much stronger one named constant could be over the class, in the inequality that the proof iterates.

    None where the inequality does not read the constant here.
    """
    if name == "step_limit":
        return _step_limit(stated, solver)
    half, here = stated.inequality({name: 0.5}), stated.inequality({name: 1.0})
    change = here.c0 - half.c0, here.c1 - half.c1, here.c2 - half.c2
    if not any(change):
        return None
    up = max(change, key=abs) < 0
    strongest = 0.0 if not up else _end_of_line(stated, name)
    return bracket(
        lambda s: (stated.cell, stated.inequality({name: s})), up=up, linear=True, strongest=strongest, solver=solver
    )


def _end_of_line(stated: Stated, name: str) -> float:
    """The largest scale up to which the inequality is linear in it: a factor 1 - s rate stops at 0."""
    first, last = stated.inequality({name: 0.0}), stated.inequality({name: 1.0})
    fall = first.c1 - last.c1
    return min(FARTHEST, first.c1 / fall) if fall > 0 else FARTHEST


def limit_of_steps(stated: Stated) -> float:
    """The longest step that the claim admits at this radius."""
    return longest_step(stated.claim, stated.facts, stated.facts.rho.largest)


def _step_limit(stated: Stated, solver: str) -> Bracket | None:
    """How much longer the steps could be, at the same radius."""
    facts, limit = stated.facts, limit_of_steps(stated)
    relaxed = replace(stated, claim=stated.claim.relaxed(2.0))
    if not limit > 0 or math.isclose(limit, limit_of_steps(relaxed)):
        return None

    def at(scale: float) -> tuple[Cell, Inequality]:
        longer = replace(stated, facts=replace(facts, gamma=constant(scale * limit)))
        return longer.cell, longer.inequality({})

    return bracket(at, up=True, linear=False, strongest=8.0, solver=solver)
