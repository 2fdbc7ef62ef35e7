"""Worst cases of N steps over a class: known values, a second solver, the functions behind them, and faults."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PEPit
import pytest
from numpy.typing import NDArray
from PEPit.functions import SmoothStronglyConvexFunction

from experiments.engine.run import simulate
from problems.errors import InputError
from problems.problem import problems
from ravine.cli import run_command
from theory.methods.unified_sam import unified_sam
from theory.setting import make_setting
from theory.worst_case import estimation
from theory.worst_case.estimation import Estimation, Solved
from theory.worst_case.lengths import WIDTH, cover
from theory.worst_case.one_dimension import Measure, measured
from theory.worst_case.one_step import Cell
from theory.worst_case.question import Answer, Question, answer
from theory.worst_case.worst_function import as_quadratic, violation

SDP = 1e-5
"""What the solvers leave here, relative to 1 + value: their own gaps are a thousand times smaller. Numbers from
elsewhere are given to three or four digits and get half a unit of the last one on top."""

TABLE = 1e-4
"""Tables lose the directions dropped from a Gram matrix: up to 1e-5 of its trace, which is of order 10 here."""


def ask(method: str = "usam", function_class: str = "strongly-convex", **given: Any) -> Answer:
    """An answer about L = 1, gamma = 0.5, N = 1 and, where the class has one, mu = 0.1, unless said otherwise."""
    mu = {"mu": 0.1} if function_class in ("strongly-convex", "pl") else {}
    return answer(
        Question(**{"L": 1.0, "gamma": 0.5, "steps": 1, **mu, **given}, method=method, function_class=function_class)
    )


def solvers_value(found: Answer) -> float:
    """What the solver itself says, with which `value` mixes what quadratics attain."""
    assert found.verdict == "answered"
    assert found.fault == ""
    assert found.gap <= SDP * (1 + found.primal)
    return found.primal


# -- values known from elsewhere --


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_gradient_descent_on_smooth_functions(steps: int) -> None:
    # 2 L (f(x_0) - inf f) 2/(3 N + 2) for gamma = 1/L.
    found = ask("sgd", "nonconvex", gamma=1.0, steps=steps)
    assert solvers_value(found) == pytest.approx(4 / (3 * steps + 2), abs=SDP)
    assert found.exact
    assert found.question.measures == "gradient"


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0, 1.3, 1.6, 1.9])
@pytest.mark.parametrize("rho", [0.0, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0])
def test_one_step_of_usam_is_as_bad_as_the_worst_quadratic(gamma: float, rho: float) -> None:
    worst = max((1 - gamma * l * (1 + rho * l)) ** 2 for l in (0.1, 1.0))  # noqa: E741
    assert solvers_value(ask(gamma=gamma, rho=rho)) == pytest.approx(worst, rel=1e-4)  # as the cells were measured


@pytest.mark.parametrize(
    ("function_class", "values"),
    [("strongly-convex", (0.9016, 0.8128, 0.5956, 0.3547)), ("pl", (0.9146, 0.8326, 0.6281, 0.3927))],
)
def test_several_steps_of_usam(function_class: str, values: tuple[float, ...]) -> None:
    for steps, value in zip((1, 2, 5, 10), values, strict=True):
        found = ask("usam", function_class, rho=0.1, steps=steps)
        assert solvers_value(found) == pytest.approx(value, abs=5e-5 + SDP)
        assert found.exact == (function_class != "pl")


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.5])
def test_the_edge_of_contraction_of_usam(gamma: float) -> None:
    low, high = 0.0, 32.0
    while high - low > 1e-4 * (1 + low):
        middle = (low + high) / 2
        low, high = (middle, high) if ask(gamma=gamma, rho=middle).primal <= 1 + 1e-7 else (low, middle)
    assert low == pytest.approx(2 / gamma - 1, abs=2e-4 * (1 + low))


@pytest.mark.parametrize(
    ("rho", "values"), [(0.1, (0.835, 0.528, 0.251)), (0.5, (1.067, 0.727, 0.369)), (0.9, (1.67, 1.44, 1.01))]
)
def test_usam_on_smooth_functions(rho: float, values: tuple[float, ...]) -> None:
    for steps, value in zip((1, 2, 5), values, strict=True):
        found = solvers_value(ask("usam", "nonconvex", gamma=1.0, rho=rho, steps=steps))
        assert found == pytest.approx(value, abs=(5e-3 if rho == 0.9 else 5e-4) + SDP)


@pytest.mark.parametrize("steps", [1, 3])
def test_no_progress_on_smooth_functions_beyond_the_radius(steps: int) -> None:
    assert solvers_value(ask("usam", "nonconvex", rho=1.2, steps=steps)) == pytest.approx(2, abs=3 * SDP)


@pytest.mark.parametrize(
    ("gamma", "rho", "lengths", "ball"),
    [(0.5, 0.1, 0.9003, 0.9040), (0.5, 0.5, 0.8919, 0.9389), (1.0, 0.1, 0.8059, 0.8150), (1.0, 0.5, 0.7981, 0.9355)],
)
def test_one_normalised_step(gamma: float, rho: float, lengths: float, ball: float) -> None:
    found = ask("sam", gamma=gamma, rho=rho)
    # These come from a scan of lengths on a grid, to four digits.
    assert found.lower == pytest.approx(lengths, abs=1e-4)
    assert found.ball == pytest.approx(ball, abs=1e-4)
    assert found.lower <= found.value <= found.ball + SDP
    assert found.value - found.lower <= WIDTH * found.value
    assert not found.exact


def test_half_normalised_step_lies_between_the_pure_ones_in_the_relaxation() -> None:
    usam, half, sam = (ask("unified-sam", rho=0.5, lam=lam) for lam in (0.0, 0.5, 1.0))
    assert usam.exact
    assert not half.exact
    assert half.ball < sam.ball


def test_two_normalised_steps_in_the_ball() -> None:
    one, two = (ask("sam", rho=0.1, steps=steps) for steps in (1, 2))
    assert solvers_value(two) <= one.ball * 1.01  # slower than contraction, for the radius does not shrink
    assert two.lower < two.value < one.value
    assert two.worst is None
    assert "directions other than" in two.no_worst


def test_the_ball_as_written_in_pepit_itself() -> None:
    with Estimation("strongly-convex", 0.1, 1.0):  # it alone may use PEPit's counters
        problem = PEPit.PEP()
        f = problem.declare_function(SmoothStronglyConvexFunction, mu=0.1, L=1.0)
        x, least = problem.set_initial_point(), f(f.stationary_point())
        problem.set_initial_condition(f(x) - least <= 1)
        for _ in range(2):
            u = PEPit.Point()
            problem.add_constraint(u**2 <= 1)
            problem.add_constraint(u * f.gradient(x) >= 0)
            x = x - 0.5 * f.gradient(x + 0.5 * u)
        problem.set_performance_metric(f(x) - least)
        value = problem.solve(wrapper="cvxpy", solver="CLARABEL", verbose=0)
    assert ask("sam", rho=0.5, steps=2).value == pytest.approx(value, rel=SDP)


def test_distances_contract_as_values_do() -> None:
    # (1 - gamma mu (1 + rho mu))^2 again: the worst function is the same quadratic.
    assert solvers_value(ask(rho=0.1, measure="distance")) == pytest.approx((1 - 0.05 * 1.01) ** 2, abs=SDP)


def test_convex_gradients_fall_as_known() -> None:
    # Gradient descent, gamma = 1/L: min ||grad f||^2 <= 2 L (f(x_0) - f*)/(2 N + 1).
    for steps in (1, 2, 5):
        found = ask("sgd", "convex", gamma=1.0, steps=steps, measure="gradient")
        assert solvers_value(found) == pytest.approx(2 / (2 * steps + 1), abs=SDP)


def test_values_over_convex_functions_do_not_fall() -> None:
    found = ask("usam", "convex", rho=0.1, steps=2)
    assert found.value == pytest.approx(1, abs=1e-9)
    assert found.worst is None
    assert "flatter" in found.no_worst


@pytest.mark.parametrize("gamma_rho", [(0.5, 0.1), (1.5, 0.3), (1.0, 1.0)])
@pytest.mark.parametrize("function_class", ["strongly-convex", "pl", "nonconvex"])
def test_the_second_solver_agrees(gamma_rho: tuple[float, float], function_class: str) -> None:
    gamma, rho = gamma_rho
    first, second = (ask("usam", function_class, gamma=gamma, rho=rho, solver=name) for name in ("clarabel", "scs"))
    assert second.solver == "SCS"
    assert solvers_value(second) == pytest.approx(solvers_value(first), rel=2 * SDP)


@pytest.mark.parametrize("method", ["usam", "sam"])
@pytest.mark.parametrize("measure", ["suboptimality", "gradient", "distance"])
def test_units(method: str, measure: str) -> None:
    """f -> s f(x/r): curvatures by s/r^2, steps by their inverse, lengths by r; the start fixes one of s and r."""
    L = 7.0
    space = 1.0 if measure == "distance" else L**-0.5
    one = ask(method, rho=0.3, measure=measure)
    other = ask(
        method, L=L, mu=0.1 * L, gamma=0.5 / L, rho=0.3 * (1 / L if method == "usam" else space), measure=measure
    )
    unit = L if measure == "gradient" else 1.0
    assert other.value == pytest.approx(unit * one.value, rel=SDP)
    assert other.lower == pytest.approx(unit * one.lower, rel=SDP)
    assert one.worst is not None
    assert other.worst is not None
    assert other.worst.values[1] == pytest.approx(one.worst.values[1] * L * space**2, rel=TABLE)
    assert other.quadratic.l == pytest.approx(L * one.quadratic.l)
    if method == "sam":
        assert other.length == pytest.approx(L * space * one.length, rel=1e-2)  # flat around the best length


# -- the engine --


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_steps_are_those_of_the_engine(lam: float) -> None:
    """`measured` and the programmes count rho and lam as the engine does."""
    l, start, gamma, rho = 0.7, 1.3, 0.4, 0.5  # noqa: E741
    problem, steps = problems.build(f"quadratic:d=1,mu={l},L={l},basis=diagonal"), 3
    rule = unified_sam(lam=lam)
    run = simulate(
        make_setting(problem, method=rule, gamma=gamma, rho=rho, lam=lam, x0=np.array([start])), steps=steps, threads=1
    )
    cell = Cell("convex", 0.0, 1.0, gamma, rho, lam)
    seen: dict[Measure, float] = {
        "suboptimality": run.gap[0, -1],
        "gradient": np.min(run.grad_norm2[0]),
        "distance": run.x[0, 0] ** 2,
    }
    for measure, value in seen.items():
        assert float(measured(cell, steps, measure, l, start)) == pytest.approx(float(value), rel=1e-12)  # roundings


@pytest.mark.parametrize("method", ["usam", "sam"])
def test_a_function_that_is_pl_and_not_convex_stays_below_the_bound(method: str) -> None:
    """u^2 + 3 sin^2 u, L = 8, from a grid of starts: the conditions of PL are necessary. s f(x/sqrt(s)) starts at 1."""
    problem = problems.build("pl-sine:d=1,a=3")
    gamma, rho = 0.5 / 8, (0.3 / 8 if method == "usam" else 0.1)
    bound = answer(Question(method, "pl", 8.0, gamma, 1, mu=problem.mu.value, rho=rho))
    assert bound.verdict == "answered"
    best = 0.0
    for x in np.linspace(0.01, 4, 400):
        point = np.array([x])
        g, before = problem.gradient(point), problem.gap(point)
        eps = rho * (g if method == "usam" else math.sqrt(before) * g / np.linalg.norm(g))
        best = max(best, problem.gap(point - gamma * problem.gradient(point + eps)) / before)
    assert 0.9 < best <= bound.value


# -- the function behind the value --


def replayed(found: Answer) -> float:
    """The measure of a run that reads gradients off the table, at the nearest of its points, and nothing else."""
    asked, worst = found.question, found.worst
    assert worst is not None
    mixing = {"sgd": 0.0, "usam": 0.0, "sam": 1.0}.get(asked.method, asked.lam)
    assert mixing is not None
    scale = 1 + float(np.abs(worst.points).max())

    def row(x: NDArray[np.float64]) -> int:
        distances = np.linalg.norm(worst.points - x, axis=1)
        assert distances.min() <= 1e-3 * scale, "the run leaves the table"
        return int(distances.argmin())

    x = worst.points[worst.names.index("x_0")]
    seen = [row(x)]
    for _ in range(asked.steps):
        g = worst.gradients[row(x)]
        eps = asked.rho * ((1 - mixing) * g + mixing * g / np.linalg.norm(g))
        x = x - asked.gamma * worst.gradients[row(x + eps)]
        seen.append(row(x))
    if asked.measures == "suboptimality":
        return float(worst.values[seen[-1]])
    if asked.measures == "gradient":
        return min(float(worst.gradients[i] @ worst.gradients[i]) for i in seen)
    return float(np.sum((x - worst.points[0]) ** 2))


def missing(found: Answer) -> float:
    """The largest violation of the interpolation conditions, pair by pair; of non-convex functions with mu = -L."""
    asked, worst = found.question, found.worst
    assert worst is not None
    mu, L = (-asked.L if asked.function_class == "nonconvex" else asked.mu or 0.0), asked.L
    rows = list(zip(worst.points, worst.gradients, worst.values, strict=True))
    largest = max(float(g @ g / (2 * L) - f) for _, g, f in rows)
    for x, g, f in rows:
        for y, h, e in rows:
            dx, dg = x - y, g - h
            lower = e + h @ dx + (dg @ dg / L + mu * dx @ dx - 2 * mu / L * dg @ dx) / (2 * (1 - mu / L))
            largest = max(largest, float(lower - f))
    return largest


FUNCTIONS = [
    ("usam", "strongly-convex", {"rho": 0.1, "steps": 5}),
    ("usam", "strongly-convex", {"rho": 0.1, "steps": 3, "measure": "gradient"}),
    ("usam", "strongly-convex", {"gamma": 1.9, "rho": 2.0, "steps": 2}),
    ("usam", "strongly-convex", {"rho": 0.1, "steps": 2, "measure": "distance", "L": 3.0, "gamma": 0.2}),
    ("sgd", "convex", {"gamma": 1.0, "steps": 5, "measure": "gradient"}),
    ("sgd", "nonconvex", {"gamma": 1.0, "steps": 2}),
    ("usam", "nonconvex", {"gamma": 1.0, "rho": 0.5, "steps": 3}),
    ("sam", "strongly-convex", {"gamma": 1.0, "rho": 0.5}),
    ("sam", "nonconvex", {"rho": 0.1, "L": 2.0}),
    ("unified-sam", "strongly-convex", {"rho": 0.5, "lam": 0.3}),
]


@pytest.mark.parametrize(("method", "function_class", "given"), FUNCTIONS)
def test_the_worst_function_is_of_the_class_and_attains_the_value(
    method: str, function_class: str, given: dict[str, Any]
) -> None:
    found = ask(method, function_class, **given)
    assert found.worst is not None
    attained = found.value if found.exact else found.lower
    size = 1 + abs(attained)
    assert not found.worst.points[0].any()
    assert replayed(found) == pytest.approx(attained, abs=TABLE * size)
    assert missing(found) <= TABLE * size
    assert found.worst.violation <= TABLE
    start = found.worst.names.index("x_0")
    if found.question.measures == "distance":
        assert np.linalg.norm(found.worst.points[start] - found.worst.points[0]) <= 1 + TABLE
    else:
        assert found.worst.values[start] <= 1 + TABLE
    if not math.isnan(found.length):
        assert np.linalg.norm(found.worst.gradients[start]) == pytest.approx(found.length, rel=TABLE)


@pytest.mark.parametrize(
    ("given", "curvature"),
    [({"gamma": 0.5, "rho": 0.1, "steps": 3}, 0.1), ({"gamma": 1.6, "rho": 0.2, "steps": 2}, 1.0)],
)
def test_a_quadratic_is_recognised(given: dict[str, Any], curvature: float) -> None:
    found = ask(**given)
    assert found.worst is not None
    assert found.worst.dimension == 1
    quadratic = found.worst.quadratic
    assert quadratic is not None
    assert quadratic.l == curvature
    x = quadratic.start
    assert curvature * x**2 / 2 == pytest.approx(1)
    for _ in range(given["steps"]):
        x -= given["gamma"] * curvature * (x + given["rho"] * curvature * x)
    assert curvature * x**2 / 2 == pytest.approx(found.value, abs=SDP)


def test_a_quadratic_is_recognised_behind_a_normalised_step() -> None:
    found = ask("sam", rho=0.1)
    assert found.worst is not None
    assert found.worst.quadratic is not None
    assert found.worst.quadratic.l == 0.1
    assert found.length == pytest.approx(math.sqrt(0.2), rel=SDP)


def test_data_with_the_value_of_a_quadratic_need_not_be_its_own() -> None:
    found = ask(rho=0.1)
    assert found.worst is not None
    given = found.question.cell, 1, found.question.measures, found.value
    assert as_quadratic(found.worst, *given) is not None
    raised = found.worst.values + np.array([0.0, 0.0, 0.1, 0.0])
    assert as_quadratic(replace(found.worst, values=raised), *given) is None


def test_other_functions_are_not_taken_for_quadratics() -> None:
    for found in (
        ask("sgd", "nonconvex", gamma=1.0, steps=2),
        ask("sgd", "convex", gamma=1.0, steps=2, measure="gradient"),
        ask("usam", "convex", rho=0.1, measure="distance"),  # nearly constant: nothing moves
    ):
        assert found.worst is not None
        assert found.worst.dimension == 1
        assert found.worst.quadratic is None


def test_conditions_see_what_is_not_of_the_class() -> None:
    x = np.array([[0.0], [1.0], [-2.0]])
    for steepness, mu, broken in ((0.5, 0.1, False), (0.05, 0.1, True), (1.1, 0.1, True), (0.05, 0.0, False)):
        found = violation(
            "convex" if mu == 0 else "strongly-convex", mu, x, steepness * x, steepness * x[:, 0] ** 2 / 2
        )
        assert (found > 1e-3) == broken
    # -cos is 1-smooth and not convex; three times as steep it is not 1-smooth.
    for steepness, broken in ((1.0, False), (3.0, True)):
        found = violation("nonconvex", 0.0, x, steepness * np.sin(x), steepness * (1 - np.cos(x[:, 0])))
        assert (found > 1e-3) == broken
    for curvature, broken in ((-1.0, False), (1.0, False), (1.1, True), (-1.1, True)):
        found = violation("nonconvex", 0.0, x, curvature * x, 5 + curvature * x[:, 0] ** 2 / 2)
        assert (found > 1e-3) == broken
    assert violation("nonconvex", 0.0, x, x, x[:, 0] ** 2 / 2 - 0.01) > 1e-3  # below the infimum
    assert violation("strongly-convex", 0.1, x, np.sin(x), 1 - np.cos(x[:, 0])) > 1e-3


# -- faults --


def test_a_solver_that_stops_early_is_inconclusive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(estimation.SETTINGS, "SCS", {"max_iters": 5})
    found = ask(rho=0.1, solver="scs")
    assert found.verdict == "inconclusive"
    assert "SCS" in found.fault
    assert math.isnan(found.value)
    assert found.worst is None
    line = "worst-case --method usam --class strongly-convex --mu .1 --L 1 --gamma .5 --rho .1 --steps 1 --solver scs"
    assert run_command([*line.split(), "--json", str(tmp_path / "x.json")]) == 3
    shown = capsys.readouterr().out
    assert "inconclusive: SCS" in shown
    assert "try --solver clarabel" in shown
    assert json.loads((tmp_path / "x.json").read_text())["value"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"primal": 1 - 3e-5}, "primal-dual gap of 3.0e-05, more than 2.0e-05"),
        ({"error": 3e-5}, "a condition violated by 3.0e-05, more than 2.0e-05"),
        ({"value": math.nan}, "gave nan"),
        ({"status": "infeasible"}, "ended with infeasible"),
    ],
)
def test_what_a_solver_says_counts_within_its_tolerance_only(change: dict[str, Any], words: str) -> None:
    good = Solved(1.0, 1.0, 0.0, "optimal", "X", 0.0, np.eye(2), np.zeros(2))
    fault = replace(good, **change).fault
    assert fault.endswith(words)
    assert bool(fault) == bool(words)


def test_violations_are_seen_on_both_sides() -> None:
    """A solution with a Gram matrix, or a dual residual, that is moved out of the cone by 1e-3."""
    with Estimation("strongly-convex", 0.1, 1.0) as problem:
        x = problem.origin()
        problem.impose(problem.gap(x) <= 1)
        assert problem.largest(problem.gap(x - 0.5 * problem.gradient(x))).error < 1e-6
        for name in ("G_value", "residual"):
            honest = np.array(getattr(problem.problem, name))
            setattr(problem.problem, name, honest - 1e-3 * np.eye(len(honest)))
            assert problem._error() >= 0.9e-3
            setattr(problem.problem, name, honest)


def _distorted(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    honest = Estimation.largest

    def largest(self: Estimation, objective: Any, **given: Any) -> Solved:
        found = honest(self, objective, **given)
        return replace(found, value=factor * found.value, primal=factor * found.primal)

    monkeypatch.setattr(Estimation, "largest", largest)


@pytest.mark.parametrize("method", ["usam", "sam"])
def test_a_bound_below_what_a_function_attains_is_inconclusive(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _distorted(monkeypatch, 0.99)
    found = ask(method, rho=0.1)
    assert found.verdict == "inconclusive"
    assert "attains 0.90" in found.fault


def test_divergence_is_too_large_and_not_a_number() -> None:
    found = ask(gamma=1.9, rho=2.0, steps=8)
    assert found.verdict == "too large"
    assert math.isnan(found.value)
    assert found.lower == pytest.approx((1 - 1.9 * 3) ** 16)
    near = ask(gamma=1.9, rho=2.0)
    assert near.verdict == "answered"
    assert near.value == pytest.approx(22.09, rel=SDP)


def test_lengths_without_a_bound_are_said_to_have_none() -> None:
    nothing = Solved(math.nan, math.nan, math.nan, "numbers ran out", "X", 0.0, np.zeros((0, 0)), np.zeros(0))
    found = cover(lambda lengths: nothing, 1.0, hint=0.5, most=30)
    assert found.upper == math.inf
    assert "numbers ran out" in found.fault
    assert found.lower == -math.inf


@pytest.mark.parametrize("peak", [0.02, 0.3, 0.97])
def test_lengths_find_a_peak_from_both_sides(peak: float) -> None:
    intervals: list[tuple[float, float]] = []

    def solve(lengths: tuple[float, float]) -> Solved:
        a, b = lengths
        if a < b:
            intervals.append(lengths)
        nearest = min(max(peak, a), b)
        value = 1 - (nearest - peak) ** 2 + (b - a) / 2
        return Solved(value, value, 0.0, "optimal", "X", 0.0, np.zeros((1, 1)), np.zeros(0))

    found = cover(solve, 1.0, hint=0.5)
    assert all(any(a <= length <= b for a, b in intervals) for length in np.linspace(1e-9, 1, 999))
    assert found.length == pytest.approx(peak, abs=1e-2)
    assert 1 - 1e-4 <= found.lower <= 1 <= found.upper
    assert found.width <= WIDTH
    assert found.fault == ""


GOOD: dict[str, Any] = {
    "method": "usam",
    "function_class": "strongly-convex",
    "mu": 0.1,
    "L": 1.0,
    "gamma": 0.5,
    "steps": 1,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "adam"}, "method must be one of sgd, usam, sam, unified-sam, got 'adam'"),
        ({"function_class": "linear"}, "class must be one of strongly-convex, convex, pl, nonconvex, got 'linear'"),
        ({"mu": 1.0}, "mu must be > 0 and < L = 1, got 1"),
        ({"mu": 0.0}, "mu must be > 0 and < L = 1, got 0"),
        ({"mu": math.nan}, "mu must be > 0 and < L = 1, got nan"),
        ({"mu": None}, "mu is missing; the class strongly-convex needs 0 < mu < L = 1"),
        ({"function_class": "convex"}, "mu is not used by the class convex, got 0.1; leave it out"),
        ({"L": -1.0}, "L must be a positive finite number, got -1.0"),
        ({"gamma": 0.0}, "gamma must be a positive finite number, got 0.0"),
        ({"gamma": math.inf}, "gamma must be a positive finite number, got inf"),
        ({"rho": -0.1}, "rho must be a finite number >= 0, got -0.1"),
        ({"method": "sgd", "rho": 0.1}, "rho is not used by sgd, got 0.1; leave it out"),
        ({"lam": 0.5}, "lam is not used by usam, got 0.5; leave it out"),
        ({"method": "unified-sam", "lam": 1.5}, "lam must be in [0, 1], got 1.5"),
        ({"method": "unified-sam", "lam": math.nan}, "lam must be in [0, 1], got nan"),
        ({"steps": 0}, "steps must be a whole number >= 1, got 0"),
        ({"steps": 31}, "steps must be at most 30, got 31: the programme would have a matrix of 64 rows"),
        ({"measure": "loss"}, "measure must be one of suboptimality, gradient, distance, got 'loss'"),
        ({"function_class": "pl", "measure": "distance"}, "class pl, whose functions need not have a unique minimiser"),
        (
            {"function_class": "nonconvex", "mu": None, "measure": "distance"},
            "class nonconvex, whose functions need not have a minimiser",
        ),
        ({"solver": "MOSEK"}, "solver must be one of clarabel, scs, got 'MOSEK'"),
        ({"method": "SAM"}, "method must be one of sgd, usam, sam, unified-sam, got 'SAM'"),
    ],
)  # fmt: skip
def test_bad_questions(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        Question(**{**GOOD, **change})


LINE = "--method usam --class strongly-convex --mu 0.1 --L 1 --gamma 0.5 --rho 0.1 --steps 2"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "an ID or a method is missing"),
        ("unified-sam/pl-constant --method sam", "method cannot be given with the ID 'unified-sam/pl-constant'"),
        ("unified-sam/pl-constant --steps 3", "steps cannot be given with the ID"),
        ("unified-sam/pl-constant --solver mosek", "solver must be one of clarabel, scs, got 'mosek'"),
        ("--method usam", "class is missing"),
        ("--class convex --L 1", "method is missing"),
        (LINE.replace("0.5", "half"), "gamma must be a number, got 'half'"),
        (LINE.replace("--steps 2", "--steps 1.5"), "steps must be a whole number, got '1.5'"),
        (LINE.replace("--mu 0.1", "--mu 2"), "mu must be > 0 and < L = 1, got 2"),
        (f"{LINE} --constant rate", "constant is read with the ID of a claim only"),
        (f"{LINE} --store x.json", "store is read with the ID of a claim only"),
        (f"{LINE} --keep", "keep is read with the ID of a claim only"),
        (f"{LINE} --jobs 2", "jobs is read with the ID of a claim only"),
        ("unified-sam/pl-constant --jobs 0", "jobs must be a whole number >= 1, got 0"),
        (f"{LINE} --full", "full is read with the ID of a claim only"),
        (f"{LINE} --json x.txt", "json must end in .json, got 'x.txt'"),
        (f"{LINE} --json missing/x.json", "json names a folder that does not exist"),
    ],
)
def test_bad_command_lines(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["worst-case", *line.split()]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert words in shown.err


@pytest.mark.parametrize("line", ["usam/one-step", LINE, LINE.replace("--steps 2", "--components 2")])
def test_without_the_solver(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "scs", None)
    assert run_command(["worst-case", *line.split(), "--solver", "scs"]) == 2
    assert "solver scs is not installed; pip install scs, or take clarabel" in capsys.readouterr().err


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(estimation, "available", lambda: False)
    for line in ("", "unified-sam/pl-constant", LINE, "--method adam"):
        assert run_command(["worst-case", *line.split()]) == 2
        assert "pip install 'ravine[worst-case]'" in capsys.readouterr().err


# -- the command --


def test_the_command_says_value_meaning_trust_and_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.json"
    assert run_command(["worst-case", *LINE.split(), "--json", str(out)]) == 0
    shown = capsys.readouterr().out
    for words in (
        "2 steps of usam, gamma = 0.5, rho = 0.1",
        "worst case  0.812793",
        "f(x_2) - inf f <= 0.812793 (f(x_0) - inf f)",
        "exact, up to the solver's tolerance",
        "clarabel, optimal",
        "primal-dual gap",
        "f(x) = 0.1 x^2/2 from x_0 = 4.47214 attains 0.812793",
    ):
        assert words in shown
    written = json.loads(out.read_text())
    assert written["verdict"] == "answered"
    assert written["exact"] is True
    assert written["value"] == pytest.approx(0.812793, abs=SDP)
    assert written["question"] == {
        "method": "usam", "class": "strongly-convex", "mu": 0.1, "L": 1.0, "gamma": 0.5, "rho": 0.1, "lam": 0.0,
        "steps": 2, "measure": "suboptimality", "solver": "clarabel",
    }  # fmt: skip
    assert written["worst"]["quadratic"]["l"] == 0.1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "--method unified-sam --class strongly-convex --mu 0.1 --L 1 --gamma 0.5 --rho 0.1 --steps 1",
            ("at most 0.90", "functions attain 0.90", "wherever f(x_0) - inf f <= 1", "an upper bound", "lam = 0.5"),
        ),
        (
            "--method sam --class pl --mu 0.1 --L 1 --gamma 0.5 --rho 0.1 --steps 2",
            ("an upper bound", "relaxation", "none shown: ", "of quadratics, f(x) = 0.1 x^2/2"),
        ),
        (
            "--method usam --class strongly-convex --mu 0.1 --L 1 --gamma 1.9 --rho 2 --steps 8",
            ("too large: ", "functions attain 5.6"),
        ),
        ("--method sgd --class nonconvex --L 2 --gamma 0.5 --steps 1", ("on a line", "x_1", "gradient", "1.6 ")),
    ],
)
def test_the_command_on_other_questions(line: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["worst-case", *line.split()]) == 0
    shown = capsys.readouterr().out
    for word in words:
        assert word in shown
