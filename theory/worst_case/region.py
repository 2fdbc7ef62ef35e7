"""The steps with which unnormalised SAM contracts over a whole class, certified by performance estimation.

x+ = x - gamma grad f(x + rho grad f(x)), a full batch, L = 1: other L by gamma L, rho L and mu/L. For each gamma the
largest rho up to which the worst case of (f(x+) - inf f)/(f(x) - inf f) over the class is certified to be below 1.

L x^2/2 belongs to every class and multiplies x by 1 - gamma L (1 + rho L): gamma L (1 + rho L) < 2 is necessary. The
conditions of strongly convex functions are exact, so that beyond the edge some function of the class does not contract.
Those of PL functions are necessary only: their edge is a certificate, and what lies between it and the parabola's line
is not known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from problems.errors import InputError
from problems.problem import check_nonnegative, check_positive
from theory.admissible import longest_step
from theory.claim import claims
from theory.derivation_facts import facts_at
from theory.methods.method import methods
from theory.worst_case.critical import Unsolved, solved_margin
from theory.worst_case.estimation import require
from theory.worst_case.one_step import Cell, Inequality

WithRate = Literal["strongly-convex", "pl"]
"""Classes over which gradient descent contracts."""

WIDTH = 1e-3
"""The edge is bisected to this, in units of 1/L."""

SURELY = 1e-6
"""A factor counts as below 1 where it and what its solver left lie below 1 - SURELY: a hundred times the usual gap."""

FIRST_RADIUS = 0.25
"""In units of 1/L. The search doubles it until a radius fails: a gap in the region this wide would be seen."""


@dataclass(frozen=True)
class Edge:
    """Where certified contraction ends at one step size; dimensionless, L = 1.

    rho: the largest radius with a certificate, found upwards from 0; NaN where there is none at 0 either.
    factor_inside: the certified factor of f - inf f there. problems: semidefinite programmes solved. fault: why the
    solver could not judge the radius at which the search ended; empty where its factor is 1 or more.
    """

    function_class: WithRate
    mu: float
    gamma: float
    rho: float
    factor_inside: float
    problems: int
    fault: str = ""


def parabola_edge(gamma: float) -> float:
    """2/gamma - 1, from which radius on L x^2/2 with L = 1 does not contract. gamma in (0, 2)."""
    return 2 / gamma - 1


def edge(function_class: str, mu: float, gamma: float, *, solver: str = "CLARABEL") -> Edge:
    """The edge at one step size.

    function_class: strongly-convex or pl. mu: in (0, 1). gamma: in (0, 2), L = 1. Raises InputError, also where the
    extra `worst-case` is missing.
    """
    chosen = next((name for name in get_args(WithRate) if name == function_class), None)
    if chosen is None:
        raise InputError(f"function_class must be one of {', '.join(get_args(WithRate))}, got {function_class!r}")
    check_positive(mu, argument="mu")
    check_positive(gamma, argument="gamma")
    if not mu < 1:
        raise InputError(f"mu must be in (0, 1), in units of L, got {mu:g}")
    if not gamma < 2:
        raise InputError(f"gamma must be in (0, 2), in units of 1/L, got {gamma:g}: from 2 on x^2/2 does not contract")
    require()
    return _Search(chosen, mu, gamma, solver).edge()


class _Search:
    """The radii tried at one step size, and what was found."""

    def __init__(self, function_class: WithRate, mu: float, gamma: float, solver: str) -> None:
        self.function_class, self.mu, self.gamma, self.solver = function_class, mu, gamma, solver
        self.problems = 0
        self.rho = self.factor = math.nan
        self.fault = ""

    def contracts(self, rho: float) -> bool:
        """Whether it is certified at this radius; remembered as the edge if so, as the fault if the solver failed."""
        self.problems += 1
        cell = Cell(self.function_class, self.mu, 1.0, self.gamma, rho, 0.0)
        try:
            # D+ <= 0 as the inequality: its largest excess over D <= 1 is the factor.
            solved = solved_margin(cell, Inequality(0.0, 0.0, 0.0), (0.0, math.inf), solver=self.solver).solved
        except Unsolved as failure:
            self.fault = str(failure)
            return False
        if solved.value + max(solved.gap, solved.error) > 1 - SURELY:
            self.fault = ""
            return False
        self.rho, self.factor = rho, solved.value
        return True

    def edge(self) -> Edge:
        """Upwards by doubling, then by bisection between the last radius that holds and the first that does not."""
        last = parabola_edge(self.gamma) - WIDTH
        if self.contracts(0.0):
            low, high = 0.0, math.nan
            for rho in _ladder(last):
                if not self.contracts(rho):
                    high = rho
                    break
                low = rho
            while high - low > WIDTH:  # never where every radius holds
                middle = (low + high) / 2
                low, high = (middle, high) if self.contracts(middle) else (low, middle)
        return Edge(self.function_class, self.mu, self.gamma, self.rho, self.factor, self.problems, self.fault)


def _ladder(last: float) -> list[float]:
    """FIRST_RADIUS doubled up to `last`, which closes it; nothing where last is not positive."""
    rungs, rho = [], FIRST_RADIUS
    while rho < last:
        rungs.append(rho)
        rho *= 2
    return [*rungs, last] if last > 0 else []


def admitted_step(claim_id: str, *, mu: float, rho: float) -> float:
    """The largest gamma that the hypotheses of a claim admit for unnormalised SAM (lam = 0) with a full batch on
    mu-PL functions with L = 1; 0 where they admit none.

    mu: in (0, 1]. rho >= 0. Dimensionless. Raises InputError for a claim on another method, or one that is not there.
    """
    claim = claims[claim_id]
    if methods.build(claim.method).family not in ("usam", "unified-sam"):
        raise InputError(f"claim_id must be of a claim on usam or unified-sam, got {claim_id!r}, on {claim.method}")
    check_positive(mu, argument="mu")
    check_nonnegative(rho, argument="rho")
    return longest_step(claim, facts_at({"mu": mu, "rho": rho, "lam": 0.0}, strong_convexity=0.0), rho)
