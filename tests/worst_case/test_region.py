"""Where unnormalised SAM is certified to contract: known edges, what theorems admit, and what a failing solver does."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from problems.errors import InputError
from theory.worst_case import estimation, region
from theory.worst_case.critical import Unsolved
from theory.worst_case.region import SURELY, WIDTH, admitted_step, edge, parabola_edge

CONVEX = (0.1, 0.25, 0.5, 1.0, 1.5, 1.8)

PL = {
    0.1: {0.1: 1.090, 0.25: 1.077, 0.5: 1.052, 1.0: 0.999, 1.5: 0.333, 1.8: 0.110},
    0.01: {0.05: 1.008, 0.25: 1.006, 0.5: 1.004},
}
"""{mu: {gamma: edge}} from another programme around PEPit, bisected to 1e-3."""


@pytest.mark.parametrize("gamma", CONVEX)
def test_strongly_convex_functions_contract_as_far_as_the_parabola(gamma: float) -> None:
    found = edge("strongly-convex", 0.1, gamma)
    limit = 2 / gamma - 1
    # The last radius tried lies WIDTH below the limit.
    assert found.rho == pytest.approx(limit - WIDTH, rel=1e-12)
    assert not found.fault
    # The worst function is l x^2/2 with l = mu or L; the solver leaves 1e-8.
    factor = max((1 - gamma * h * (1 + found.rho * h)) ** 2 for h in (0.1, 1.0))
    assert found.factor_inside == pytest.approx(factor, abs=1e-6)
    assert parabola_edge(gamma) == pytest.approx(limit, rel=1e-15)
    assert abs(1 - gamma * (1 + limit)) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("mu", "gamma", "known"), [(mu, g, rho) for mu, row in PL.items() for g, rho in row.items()])
def test_known_edges_of_pl_functions(mu: float, gamma: float, known: float) -> None:
    found = edge("pl", mu, gamma)
    # Both were bisected to 1e-3.
    assert found.rho == pytest.approx(known, abs=2e-3)
    assert found.rho < parabola_edge(gamma)
    assert found.factor_inside <= 1 - SURELY
    assert not found.fault


def test_the_edge_of_pl_functions_falls_to_the_derived_range_with_mu() -> None:
    edges = [edge("pl", mu, 0.5).rho for mu in (0.3, 0.1, 0.01, 0.001)]
    assert edges == sorted(edges, reverse=True)
    assert 1 - WIDTH <= edges[-1] <= 1 + WIDTH


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.3])
def test_what_theorems_admit_is_certified(rho: float) -> None:
    """The steps of Corollary 3.4, and the derived range up to a hundredth before its end."""
    corner, wider = (admitted_step(name, mu=0.1, rho=rho) for name in ("unified-sam/pl-deterministic", "igd/pl-rate"))
    for gamma in (corner, 0.99 * wider):
        assert edge("pl", 0.1, gamma).rho >= rho


def test_the_derived_range_is_certified_up_to_radius_one() -> None:
    gamma = 0.99 * admitted_step("igd/pl-rate", mu=0.1, rho=0.99)
    assert edge("pl", 0.1, gamma).rho >= 0.99


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.2, 0.3, 0.33])
def test_admitted_steps(rho: float) -> None:
    # The hypotheses are bisected to one part in 1e12.
    assert admitted_step("unified-sam/pl-deterministic", mu=0.1, rho=rho) == pytest.approx(
        (1 - 3 * rho) / (2 * (1 + 2 * rho**2)), rel=1e-9
    )
    for claim_id in ("igd/pl-rate", "igd/step-range"):
        assert admitted_step(claim_id, mu=0.1, rho=rho) == pytest.approx(2 / (1 + rho), rel=1e-9)


def test_nothing_is_admitted_beyond_the_hypotheses() -> None:
    assert admitted_step("unified-sam/pl-deterministic", mu=0.1, rho=0.34) == 0
    assert admitted_step("igd/pl-rate", mu=0.1, rho=1.0) == 0
    assert admitted_step("igd/pl-rate", mu=0.1, rho=0.999) > 0


# -- the search --

Factors = Callable[..., None]


@pytest.fixture
def factors(monkeypatch: pytest.MonkeyPatch) -> Factors:
    """Put a function of rho in the place of the solver."""

    def replaced(factor: Callable[[float], float], error: float = 0.0) -> None:
        monkeypatch.setattr(
            region,
            "solved_margin",
            lambda cell, *_, **__: SimpleNamespace(
                solved=SimpleNamespace(value=factor(cell.rho), gap=0.0, error=error)
            ),
        )

    return replaced


def test_the_first_gap_ends_the_region(factors: Factors) -> None:
    """From 0 upwards: what contracts again farther out is no part of it."""
    factors(lambda rho: 1.5 if 0.6 < rho < 1.5 else 0.5)
    found = edge("pl", 0.1, 0.1)
    assert 0.6 - WIDTH <= found.rho <= 0.6
    assert found.factor_inside == 0.5


def test_no_contraction_at_all(factors: Factors) -> None:
    for value in (1.0, 1.0 - SURELY / 2, 1.2):
        factors(lambda rho, value=value: value)
        found = edge("pl", 0.1, 0.1)
        assert math.isnan(found.rho)
        assert math.isnan(found.factor_inside)
        assert (found.problems, found.fault) == (1, "")


def test_a_factor_within_its_error_of_1_is_not_below_it(factors: Factors) -> None:
    factors(lambda rho: 0.99999, error=2e-5)
    assert math.isnan(edge("pl", 0.1, 0.1).rho)
    factors(lambda rho: 0.99999, error=5e-6)
    assert edge("pl", 0.1, 0.1).rho > 0


def test_a_solver_that_fails_certifies_nothing_beyond(factors: Factors) -> None:
    def failing(rho: float) -> float:
        if rho > 0.6:
            raise Unsolved("CLARABEL ended with insufficient_progress")
        return 0.5

    factors(failing)
    found = edge("pl", 0.1, 0.1)
    assert 0.6 - WIDTH <= found.rho <= 0.6
    assert found.fault == "CLARABEL ended with insufficient_progress"


def test_a_fault_that_a_failing_radius_below_it_covers_is_not_told(factors: Factors) -> None:
    def failing(rho: float) -> float:
        if rho > 0.9:
            raise Unsolved("no")
        return 0.5 if rho < 0.6 else 1.5

    factors(failing)
    found = edge("pl", 0.1, 0.1)
    assert 0.6 - WIDTH <= found.rho <= 0.6
    assert found.fault == ""


def test_a_step_next_to_two(factors: Factors) -> None:
    """The parabola leaves less than WIDTH: only rho = 0 is asked."""
    factors(lambda rho: 0.5)
    found = edge("pl", 0.1, 1.9999)
    assert (found.rho, found.problems) == (0.0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convex", 0.1, 0.5), "function_class must be one of strongly-convex, pl, got 'convex'"),
        (("pl", 0.0, 0.5), "mu must be a positive finite number, got 0"),
        (("pl", 1.0, 0.5), "mu must be in .0, 1., in units of L, got 1"),
        (("pl", 0.1, 0.0), "gamma must be a positive finite number, got 0"),
        (("pl", 0.1, 2.0), "gamma must be in .0, 2., in units of 1/L, got 2: from 2 on"),
    ],
)
def test_bad_input(arguments: tuple[str, float, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        edge(*arguments)


def test_bad_input_of_admitted_steps() -> None:
    with pytest.raises(InputError, match="claim_id must be of a claim on usam or unified-sam, got 'sgd/pl', on sgd"):
        admitted_step("sgd/pl", mu=0.1, rho=0.1)
    with pytest.raises(InputError, match="rho must be a finite number >= 0, got -1"):
        admitted_step("igd/pl-rate", mu=0.1, rho=-1.0)
    with pytest.raises(InputError, match="nonsense"):
        admitted_step("nonsense", mu=0.1, rho=0.1)


def test_without_the_extra_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimation, "available", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'ravine\[worst-case\]'"):
        edge("pl", 0.1, 0.5)
