"""The one-step inequality over a class: what is certified holds, what is refuted is, and both come close."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from experiments.verify.class_wide import settings_of, worst_case_evidence
from experiments.verify.verdict import Verdict
from theory.claim import claims
from theory.worst_case.claims import Stated, constant_bracket, function_class_of, grid
from theory.worst_case.critical import EXCESS, bracket
from theory.worst_case.estimation import SOLVERS, Estimation, Solved, coordinates
from theory.worst_case.one_step import ANYWHERE, Cell, Inequality, margin

KNOWN = [name for name, claim in claims.items() if function_class_of(claim) is not None]

STRONGLY_CONVEX = Cell("strongly-convex", 0.1, 1.0, 0.5, 1.0, 1.0)
"""SAM with radius 1: the inequality of constant-radius/strongly-convex is D+ <= (1 - 0.075) D + 0.125."""


def strongly_convex(scale: float) -> tuple[Cell, Inequality]:
    return STRONGLY_CONVEX, Inequality(0.125, 1 - 0.075 * scale, 0.0)


def test_the_classes_are_those_that_the_hypotheses_admit() -> None:
    assert {name: function_class_of(claims[name]) for name in KNOWN if name.startswith("constant-radius")} == {
        "constant-radius/convex": "convex",
        "constant-radius/nonconvex": "nonconvex",
        "constant-radius/pl": "pl",
        "constant-radius/strongly-convex": "strongly-convex",
    }
    assert function_class_of(claims["dynamics/cycle"]) is None  # no inequality for one step
    assert function_class_of(claims["ssam/quadratic-rate"]) is None  # quadratics only
    assert function_class_of(claims["unified-sam/pl-decreasing"]) is None  # steps by a schedule
    assert function_class_of(claims["unified-sam/arbitrary-sampling-lmax"]) is None  # refuted
    assert len(KNOWN) >= 12


@pytest.mark.parametrize("name", KNOWN)
def test_every_claim_holds_over_its_class(name: str) -> None:
    row = worst_case_evidence(claims[name], settings_of(claims[name], "quick"))
    assert row.verdict is Verdict.CONSISTENT, row.reason


@pytest.mark.parametrize("name", ["constant-radius/convex", "constant-radius/strongly-convex", "igd/step-range"])
def test_a_claim_with_half_its_error_or_twice_its_decrease_is_violated(name: str) -> None:
    """The broken one-step form is refuted by a function of the class, whichever constant is broken."""
    claim = claims[name]
    assert claim.one_step is not None
    stated_step = claim.one_step

    def broken(facts, gap, norm2, t, scale):  # type: ignore[no-untyped-def]
        return stated_step(facts, gap, norm2, t, {"radius": 0.5, "neighbourhood": 0.5, "decrease": 2.0})

    wrong = replace(claim, one_step=broken)
    settings = [replace(stated, claim=wrong) for stated in settings_of(claim, "quick")]
    assert worst_case_evidence(wrong, settings).verdict is Verdict.VIOLATED


def test_an_unsolved_problem_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Estimation, objective: object, *, solver: str = "CLARABEL", **more: object) -> Solved:
        return Solved(1.0, 0.5, 0.0, "optimal", solver, 0.0, np.eye(2), np.zeros(2))

    monkeypatch.setattr(Estimation, "largest", failing)
    monkeypatch.setattr("theory.worst_case.one_step._shown", lambda quantities: [0.0] * 4)
    claim = claims["igd/step-range"]
    row = worst_case_evidence(claim, settings_of(claim, "quick"))
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "primal-dual gap" in row.reason


def test_intervals_certify_what_the_ball_does_not() -> None:
    """On the same inequality: the ball leaves the rate at 1.08 of the claimed one, intervals at 1.30, where one length
    refutes it."""
    found = bracket(strongly_convex, up=True, linear=True, strongest=1 / 0.075)
    assert found.fault == ""
    assert found.ball == pytest.approx(1.0817, abs=2e-3)
    # Intervals are divided until the two sides are 1 % apart.
    assert found.certified == pytest.approx(1.30, abs=0.013)
    assert found.certified <= found.refuted <= 1.01 * found.certified


def test_the_refuting_length_is_an_instance() -> None:
    """A primal solution at one length, replayed: interpolable points whose step exceeds the strengthened inequality."""
    found = bracket(strongly_convex, up=True, linear=True, strongest=1 / 0.075)
    cell, stronger = strongly_convex(1.01 * found.refuted)
    worst = margin(cell, stronger, (found.length, found.length))
    assert worst.solved.primal > EXCESS
    points = coordinates(worst.solved.gram)
    assert points.shape[0] <= 3  # three vectors besides the origin


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_solvers_agree(solver: str) -> None:
    cell = Cell("nonconvex", 0.0, 1.0, 0.5, 0.6, 0.0)
    excess = margin(cell, Inequality(0.0, 1.0, -0.1), solver=solver).solved
    # Interior points reach 1e-9 and first-order steps 1e-7 here.
    assert excess.value == pytest.approx(margin(cell, Inequality(0.0, 1.0, -0.1)).solved.value, abs=1e-6)


def test_known_factor_of_gradient_descent() -> None:
    """One step of gradient descent on strongly convex functions: max (1 - gamma mu)^2, (1 - gamma L)^2."""
    for gamma in (0.5, 1.0, 1.8):
        cell = Cell("strongly-convex", 0.1, 1.0, gamma, 0.0, 0.0)
        factor = max((1 - 0.1 * gamma) ** 2, (1 - gamma) ** 2)
        assert margin(cell, Inequality(0.0, factor, 0.0)).solved.value == pytest.approx(0.0, abs=1e-6)
        assert margin(cell, Inequality(0.0, factor - 0.01, 0.0)).solved.value == pytest.approx(0.01, abs=1e-6)


def test_short_and_long_gradients_are_covered() -> None:
    """Intervals are relaxations: none lies below an exact length inside it, and the ball lies above all of them."""
    cell, inequality = STRONGLY_CONVEX, Inequality(0.05, 0.9, 0.0)
    ball = margin(cell, inequality, ANYWHERE).solved.value
    for shortest, longest in ((0.0, 0.5), (0.5, 2.0), (2.0, math.inf)):
        interval = margin(cell, inequality, (shortest, longest)).solved.value
        assert interval <= ball + 1e-6
        for length in (0.1, 0.3, 0.7, 1.5, 3.0, 20.0):
            if shortest <= length <= longest:
                assert margin(cell, inequality, (length, length)).solved.value <= interval + 1e-6


def test_scaling_lengths_changes_nothing() -> None:
    """x -> s x with f -> s^2 f: the critical scale of an inequality with an error proportional to rho^2 is the same."""
    found = []
    for rho in (1e-3, 1.0, 1e3):
        cell = replace(STRONGLY_CONVEX, rho=rho)
        found.append(
            bracket(
                lambda s, cell=cell, rho=rho: (cell, Inequality(0.125 * rho**2, 1 - 0.075 * s, 0.0)),  # type: ignore[misc]
                up=True, linear=True, strongest=1 / 0.075,
            ).certified
        )  # fmt: skip
    assert found == pytest.approx([found[0]] * 3, rel=1e-4)


def test_grids_hold_admissible_settings_only() -> None:
    for name in KNOWN:
        settings = list(grid(claims[name]))
        assert settings
        assert all(stated.claim.admits(stated.facts) for stated in settings)


def test_a_constant_that_is_not_read_has_no_bracket() -> None:
    stated = next(iter(grid(claims["constant-radius/convex"])))
    assert constant_bracket(stated, "descent") is None


def test_the_inequality_is_that_of_the_claim() -> None:
    stated = next(s for s in grid(claims["constant-radius/nonconvex"]) if s.cell.rho == pytest.approx(0.3))
    gamma = stated.cell.gamma
    assert isinstance(stated, Stated)
    found = stated.inequality({})
    assert (found.c0, found.c1, found.c2) == pytest.approx((gamma * 0.3**2 / 2, 1.0, -gamma / 2))  # transcribed
