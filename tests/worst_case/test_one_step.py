"""The one-step inequality over a class: what is certified holds, what is refuted is, and both come close."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import PEPit
import pytest

from experiments.verify import class_wide
from experiments.verify.brackets import _corpus
from experiments.verify.class_wide import settings_of, worst_case_evidence
from experiments.verify.verdict import Verdict
from theory.claim import claims
from theory.worst_case import critical, estimation
from theory.worst_case.claims import SHORTEST, Stated, constant_bracket, function_class_of, grid
from theory.worst_case.critical import bracket
from theory.worst_case.estimation import SOLVERS, WITH_MU, Estimation, FunctionClass, Solved
from theory.worst_case.one_step import ANYWHERE, Cell, Inequality, Margin, along_the_gradient, margin, perturbed
from theory.worst_case.worst_function import extracted, violation

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


def test_evidence_covers_every_length() -> None:
    (stated,) = settings_of(claims["constant-radius/convex"], "quick")
    ends = class_wide._lengths(stated)
    assert (ends[0][0], ends[-1][1]) == (0.0, math.inf)
    assert all(left[1] == right[0] for left, right in pairwise(ends))


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
    """The solution at that length, replayed in NumPy: x, x + eps and x+ of a function of the class, and D+ above what
    the refuted scale allows."""
    found = bracket(strongly_convex, up=True, linear=True, strongest=1 / 0.075)
    cell, stronger = strongly_convex(1.01 * found.refuted)
    with Estimation(cell.function_class, cell.mu, cell.L) as problem:
        unit = problem.number()
        x, g, eps = perturbed(problem, unit, cell, (found.length, found.length))
        h = problem.gradient(x + eps)
        stepped = x - cell.gamma * h
        minimiser = problem.f.list_of_stationary_points[0][0]
        named = [
            ("x*", minimiser, 0 * x),
            ("x_0", x, g),
            ("y", x + eps, h),
            ("x_1", stepped, problem.gradient(stepped)),
        ]
        problem.impose(unit >= 0)
        problem.impose(problem.gap(x) + unit == 1)
        solved = problem.largest(problem.gap(stepped) - stronger.c0 * unit - stronger.c1 * problem.gap(x))
        size = math.sqrt(float(unit.eval()))  # the solution is an instance with its lengths in this unit
        data = extracted(problem, solved, named, "suboptimality")
    points, gradients, values = data.points / size, data.gradients / size, data.values / size**2
    # Directions dropped from the Gram matrix have up to 1e-5 of its trace.
    left = 1e-4 * (1 + values.max())
    assert violation(cell.function_class, cell.mu, points, gradients, values) <= left
    g0 = gradients[1]
    assert np.linalg.norm(g0) == pytest.approx(found.length, rel=1e-4)
    assert points[2] == pytest.approx(points[1] + cell.rho * g0 / np.linalg.norm(g0), abs=1e-2)
    assert points[3] == pytest.approx(points[1] - cell.gamma * gradients[2], abs=1e-2)
    assert values[3] > stronger.c0 + stronger.c1 * values[1] + left


def test_a_class_without_a_mu_takes_none_from_an_instance() -> None:
    """An instance of the convex class that happens to be strongly convex does not make the class smaller."""
    inequality = Inequality(0.05, 0.9, 0.0)
    plain, strong = (Cell("convex", mu, 1.0, 0.5, 1.0, 1.0) for mu in (0.0, 0.9))
    values = [margin(cell, inequality, (0.5, 1.0)).solved.value for cell in (plain, strong)]
    assert values[1] == pytest.approx(values[0], abs=1e-6)
    for name in KNOWN:
        claim = claims[name]
        chosen = function_class_of(claim)
        assert chosen is not None
        for entry in _corpus(claim, chosen):
            assert bool(entry.stated.cell.mu) == (chosen in WITH_MU)


@pytest.mark.parametrize("function_class", ["strongly-convex", "convex", "nonconvex"])
def test_what_is_said_along_the_gradient_is_sharp(function_class: FunctionClass) -> None:
    """On l x^2/2, where grad f(x + eps) - grad f(x) = l eps: true for every l of the class, false a little outside."""
    mu, L, e, x = {"strongly-convex": 0.2, "convex": 0.0, "nonconvex": -2.0}[function_class], 2.0, 0.7, 1.5

    def said(l: float, sign: float) -> bool:  # noqa: E741
        conditions: list[bool] = []
        problem = SimpleNamespace(function_class=function_class, mu=max(mu, 0.0), L=L, impose=conditions.append)
        g = sign * x
        along_the_gradient(problem, g, l * e * g, e * g, e)  # type: ignore[arg-type]  # numbers in the place of vectors
        assert conditions
        return all(conditions)

    for sign in (1.0, -1.0):
        assert all(said(l, sign) for l in np.linspace(mu + 1e-9, L - 1e-9, 20))  # noqa: E741
        assert not said(mu - 0.01, sign)
        assert not said(L + 0.01, sign)


def test_the_value_is_the_dual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped early, so that the two differ: the constant that multipliers and residual leave of the objective."""
    monkeypatch.setitem(estimation.SETTINGS, "SCS", {"max_iters": 40})
    with Estimation("strongly-convex", 0.1, 1.0) as problem:
        x = problem.origin()
        problem.impose(problem.gap(x) <= 1)
        solved = problem.largest(problem.gap(x - 0.5 * problem.gradient(x)), solver="SCS")
        written = problem.problem
        points = PEPit.Point.list_of_leaf_points
        left = written.objective + np.dot(points, np.dot(np.array(written.residual), points))
        for condition in written._list_of_prepared_constraints:
            left -= condition.eval_dual() * condition.expression
        assert solved.gap > 1e-6
        assert solved.value == pytest.approx(left.decomposition_dict[1], abs=1e-9)  # roundings of the same sums
        assert solved.primal == pytest.approx(float(written.objective.eval()), abs=1e-9)


def test_one_step_forms_are_affine() -> None:
    """In D and ||grad f||^2: what `inequality` reads off three points holds at a fourth."""
    for name in KNOWN:
        claim = claims[name]
        assert claim.one_step is not None
        for scale in ({}, dict.fromkeys(claim.named_constants, 0.7)):
            for stated in grid(claim):
                found = stated.inequality(scale)
                there = float(claim.one_step(stated.facts, np.array([3.0]), np.array([2.0]), 0, scale)[0])
                assert there == pytest.approx(found.c0 + 3 * found.c1 + 2 * found.c2, rel=1e-12, abs=1e-12)


def test_a_violation_that_its_errors_may_be_worth_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relaxation with an excess, and a primal solution whose violated conditions are as large: inconclusive."""
    for error, verdict in ((5e-6, Verdict.INCONCLUSIVE), (0.0, Verdict.VIOLATED)):

        def doubtful(*given: object, error: float = error, **more: object) -> Margin:
            solved = Solved(1e-5, 1e-5, error, "optimal", "X", 0.0, np.eye(2), np.zeros(2))
            return Margin(solved, 1.0, 0.5, 0.5, 0.5, 0.5)

        monkeypatch.setattr(class_wide, "solved_margin", doubtful)
        claim = claims["constant-radius/convex"]
        assert worst_case_evidence(claim, settings_of(claim, "quick")).verdict is verdict


@pytest.mark.parametrize(
    ("primal", "error", "refuted"), [(1e-5, 1e-7, True), (1e-5, 2e-6, False), (-1e-3, 0.0, False), (1e-9, 0.0, False)]
)
def test_an_instance_refutes_by_more_than_its_errors(
    primal: float, error: float, refuted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def margin_at(*given: object, **more: object) -> Margin:
        return Margin(Solved(primal, primal, error, "optimal", "X", 0.0, np.eye(2), np.zeros(2)), 1.0, *[0.0] * 4)

    monkeypatch.setattr(critical, "margin", margin_at)
    for up in (True, False):
        search = critical._Search(strongly_convex, up, True, "CLARABEL")
        beyond = 2 * (1 + critical.SURE[0]) if up else 2 * (1 - critical.SURE[0])
        assert search.clearly(2.0, ANYWHERE) == (pytest.approx(beyond) if refuted else None)


def test_a_step_limit_is_sought_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds again beyond a gap is not reached, and what never holds is 0 after a few problems."""
    cell = STRONGLY_CONVEX
    asked: list[float] = []

    def margin_at(fails: Callable[[float], bool]) -> Callable[..., Margin]:
        def answer(cell: Cell, inequality: Inequality, *given: object, **more: object) -> Margin:
            asked.append(inequality.c0)
            excess = 1.0 if fails(inequality.c0) else 0.0
            solved = Solved(excess, excess, 0.0, "optimal", "X", 0.0, np.eye(2), np.zeros(2))
            return Margin(solved, 1.0, 0.0, 0.0, 0.0, 0.0)

        return answer

    for fails, limit in (((lambda s: 1.5 < s < 3), 1.5), ((lambda s: True), 0.0), ((lambda s: False), 8.0)):
        monkeypatch.setattr(critical, "margin", margin_at(fails))
        search = critical._Search(lambda s: (cell, Inequality(s, 1.0, 0.0)), True, False, "CLARABEL")
        assert search.root(ANYWHERE, 8.0) == pytest.approx(limit, rel=2e-3)  # to which it is bisected
    assert len(asked) <= 40


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
    for rho in (1e-3, 1e3):
        cell = replace(STRONGLY_CONVEX, rho=rho)
        found.append(
            bracket(
                lambda s, cell=cell, rho=rho: (cell, Inequality(0.125 * rho**2, 1 - 0.075 * s, 0.0)),  # type: ignore[misc]
                up=True, linear=True, strongest=1 / 0.075,
            ).certified
        )  # fmt: skip
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_grids_hold_admissible_settings_only() -> None:
    for name in KNOWN:
        settings = list(grid(claims[name]))
        assert settings
        assert all(stated.cell.gamma * stated.cell.L >= SHORTEST for stated in settings)
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
