"""Unnormalised SAM on strongly convex functions: the exact factor, against functions, a solver, careless twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.verify.verdict import Verdict
from experiments.verify.verify import ClaimResult, verify
from problems.problem import Problem, problems
from theory.claim import Kind, OutsideHypotheses, claims
from theory.claims.usam_factor import best_step, factor
from theory.derivation import derivations
from theory.derivation_facts import facts_at
from theory.families import given, setting_of
from theory.setting import Facts, facts_of
from theory.worst_case.claims import function_class_of
from theory.worst_case.critical import EXCESS, solved_margin
from theory.worst_case.one_step import Cell, Inequality

ID = "usam/strongly-convex-factor"
Vector = NDArray[np.float64]


def steps(mu: float, gamma: float, rho: float, L: float = 1.0) -> Facts:
    return facts_at({"mu": mu, "L": L, "gamma": gamma, "rho": rho, "lam": 0.0})


@pytest.fixture(scope="module")
def result() -> ClaimResult:
    (found,) = verify([ID], seed=3)
    return found


def test_the_verdict_and_every_control(result: ClaimResult) -> None:
    assert claims[ID].kind is Kind.UPPER
    assert result.verdict is Verdict.CONSISTENT, result.reason
    assert len(result.controls) == 5
    assert all(control.refuted for control in result.controls)


def test_quadratics_attain_it_on_both_sides_of_the_best_step(result: ClaimResult) -> None:
    tight = [e for e in result.evidence if e.origin == "tight"]
    # Runs of 40 steps on quadratics, each step a few roundings.
    assert max(float(np.max(e.measured_curve / e.bound_curve)) for e in tight) == pytest.approx(1, rel=1e-12)


def test_one_step_on_both_ends_of_the_spectrum_in_rational_numbers() -> None:
    mu, L = Fraction(1, 8), Fraction(1)
    for gamma, rho in ((Fraction(1, 2), Fraction(1, 4)), (Fraction(3, 2), Fraction(1, 4)), (Fraction(2), Fraction(1))):
        seen = max((1 - gamma * l * (1 + rho * l)) ** 2 for l in (mu, L))  # noqa: E741
        # These numbers are dyadic: no rounding.
        assert factor(steps(0.125, float(gamma), float(rho))) == float(seen)


SPECS = (
    "log-cosh-ridge:d=3,rows=5,alpha=0.2,seed=1",
    "log-cosh-ridge:d=1,rows=2,alpha=0.05,seed=2",
    "bent:curvature=1,bend=-9,reach=0.1",
    "bent:curvature=0.05,bend=1.9,reach=0.5",
    "quadratic:d=5,mu=0.1,L=1,seed=4,spectrum=log",
)


def excess(problem: Problem, seed: int, stated: Callable[[Facts], float]) -> float:
    """The largest (f(x+) - f*)/(stated (f(x) - f*)) over 400 starts and steps, half of them beyond the range."""
    rng = np.random.default_rng(seed)
    mu, L = problem.strong_convexity, problem.L.value
    worst = 0.0
    for _ in range(400):
        x = np.asarray(problem.minimiser) + 10 ** rng.uniform(-2, 1) * rng.standard_normal(problem.d)
        rho = 0.0 if rng.random() < 0.1 else 10 ** rng.uniform(-2, 1.3) / L
        gamma = rng.uniform(0.05, 2) * 2 / (L * (1 + rho * L))
        x_next = x - gamma * problem.gradient(x + rho * problem.gradient(x))
        bound = stated(steps(mu, gamma, rho, L)) * problem.gap(x)
        # f may be at its rounding floor after one step: 1e-12 of the start is far above it.
        worst = max(worst, (problem.gap(x_next) - 1e-12 * problem.gap(x)) / bound)
    return worst


@pytest.mark.parametrize("spec", SPECS)
def test_no_function_exceeds_it_with_any_step_and_radius(spec: str) -> None:
    assert excess(problems.build(spec), 0, factor) <= 1 + 1e-12


def test_functions_exceed_the_careless_versions() -> None:
    """The factor at one end only, and that of gradient descent."""
    careless: tuple[Callable[[Facts], float], ...] = (
        lambda f: (1 - f.gamma.largest * f.L_f * (1 + f.rho.largest * f.L_f)) ** 2,
        lambda f: (1 - f.gamma.largest * f.strong_convexity * (1 + f.rho.largest * f.strong_convexity)) ** 2,
        lambda f: factor(f.with_steps(f.gamma, 0.0)),
    )
    for stated in careless:
        assert max(excess(problems.build(spec), 0, stated) for spec in SPECS) > 1.5


@pytest.mark.parametrize("mu", [0.01, 0.1, 0.5, 0.9])
def test_it_is_the_worst_case_over_the_class(mu: float) -> None:
    """By performance estimation, within the range and beyond it, at small radii and large ones."""
    for gamma, rho in ((0.1, 0.0), (0.5, 0.3), (0.05, 20.0), (1.2, 0.5), (1.5, 0.3), (0.25, 5.0), (1.5, 1.0)):
        q = factor(steps(mu, gamma, rho))
        cell = Cell("strongly-convex", mu, 1.0, gamma, rho, 0.0)
        assert solved_margin(cell, Inequality(0.0, q, 0.0), (0.0, math.inf)).solved.value <= EXCESS
        less = solved_margin(cell, Inequality(0.0, q - 1e-3, 0.0), (0.0, math.inf)).solved
        # D+ - (q - 1e-3) D is largest at D = 1; 1e-5 is the tolerance with which a value counts.
        assert less.primal == pytest.approx(1e-3, abs=1e-5)


def test_the_best_step_is_the_best_and_a_radius_never_helps_it() -> None:
    least = []
    for rho in (0.0, 0.1, 0.5, 2.0, 10.0, 1e6):
        at = steps(0.1, 1.0, rho)
        best = best_step(at)
        q = factor(at.with_steps(best, rho))
        around = [factor(at.with_steps(best * part, rho)) for part in (0.5, 0.9, 0.999, 1.001, 1.1, 1.5)]
        assert q < min(around)
        k = (1 + rho) / (0.1 * (1 + 0.1 * rho))
        assert q == pytest.approx(((k - 1) / (k + 1)) ** 2, rel=1e-9)
        least.append(q)
    assert least == sorted(least)
    assert least[0] == pytest.approx((9 / 11) ** 2, rel=1e-12)
    assert least[-1] == pytest.approx((99 / 101) ** 2, rel=1e-4)  # k tends to (L/mu)^2 as rho grows, like 1/rho


def test_the_factor_is_below_1_exactly_within_the_range() -> None:
    for rho in (0.0, 0.3, 3.0, 30.0):
        end = 2 / (1 + rho)
        assert factor(steps(0.1, end * (1 - 1e-9), rho)) < 1 < factor(steps(0.1, end * (1 + 1e-9), rho))


def test_it_asks_for_strong_convexity_and_the_range() -> None:
    claim = claims[ID]
    longer = given(claim, "parabolas:h=1", gamma=1.34, rho=0.5, steps=1)
    with pytest.raises(OutsideHypotheses, match="gamma"):
        claim.bound(facts_of(longer.setting), np.array([1]))
    wavy = setting_of(claim, "pl-sine:d=2,a=2,map=separable,seed=0")
    with pytest.raises(OutsideHypotheses, match="mu of strong convexity"):
        claim.bound(facts_of(wavy.with_steps(gamma=1e-3, rho=0.0)), np.array([1]))
    assert function_class_of(claim) == "strongly-convex"


def test_the_derivations_cover_every_step_size() -> None:
    of = {d.id: d for d in derivations.of(ID)}
    assert set(of) == {ID, f"{ID}-long", f"{ID}-beyond", f"{ID}-quadratics"}
    hypotheses = {g.name for d in of.values() for g in d.given if g.kind == "hypothesis"}
    # short or long; long steps end where `beyond` begins.
    assert hypotheses == {"short", "long", "in the range", "beyond"}
