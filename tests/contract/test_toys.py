"""The tight families: closed forms, constants and the facts they were built for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from problems.errors import InputError
from problems.problem import Grade, Problem, Vector, problems
from problems.toys import MixedCurvature, OneSided, SineStall, Tent

SMOOTH = [
    Tent(),
    Tent(a=0.2, rho=0.7, beta=3.0),
    Tent(a=0.4, rho=1.0, beta=2.0),
    Tent(a=1 / 3, rho=1.0),
    SineStall(),
    SineStall(rho=0.3, beta=5.0),
]
EVERY = [MixedCurvature(), OneSided(), *SMOOTH]
names = [problem.name for problem in SMOOTH]
reproducible = settings(derandomize=True, deadline=None, max_examples=100)


def lowest_point(problem: Problem) -> Vector:
    assert problem.minimiser is not None
    return problem.minimiser


def sam(problem: Problem, x: float, *, rho: float, gamma: float, steps: int) -> float:
    """Normalised SAM in one dimension, as on paper."""
    for _ in range(steps):
        g = problem.gradient([x])[0]
        y = x + rho * np.sign(g)
        x = x - gamma * problem.gradient([y])[0]
    return x


# -- what every family must get right --


@pytest.mark.parametrize("problem", EVERY, ids=[problem.name for problem in EVERY])
@given(x=st.floats(-3, 3))
@reproducible
def test_gradient_is_the_derivative_and_the_gap_is_the_value_above_the_lowest(problem: Problem, x: float) -> None:
    h = 1e-5
    slope = (problem.value([x + h]) - problem.value([x - h])) / (2 * h)
    # Central differences: at a kink of f' they are off by L h/2; rounding gives 1e-16 of the values over h.
    assert problem.gradient([x])[0] == pytest.approx(slope, abs=problem.L.value * h + 1e-8)
    lowest = problem.value(lowest_point(problem))
    assert problem.gap([x]) == pytest.approx(problem.value([x]) - lowest, abs=1e-14 * (1 + problem.L.value))
    assert problem.gap([x]) >= 0


@pytest.mark.parametrize("problem", EVERY, ids=[problem.name for problem in EVERY])
@given(x=st.floats(-3, 3), y=st.floats(-3, 3))
@reproducible
def test_smoothness_is_never_exceeded(problem: Problem, x: float, y: float) -> None:
    difference = abs(problem.gradient([x])[0] - problem.gradient([y])[0])
    assert difference <= problem.L.value * (abs(x - y) + 1e-14)


@pytest.mark.parametrize("problem", EVERY, ids=[problem.name for problem in EVERY])
def test_weights_scale_values_and_gradients(problem: Problem) -> None:
    x = [0.37]
    full = np.arange(problem.n)
    doubled = problem.minibatch_gradient(x, full, np.full(problem.n, 2.0))
    assert doubled[0] == pytest.approx(2 * problem.gradient(x)[0], rel=1e-14)
    assert problem.minibatch_gradient(x, [], [])[0] == 0


@pytest.mark.parametrize("problem", EVERY, ids=[problem.name for problem in EVERY])
def test_name_rebuilds_the_problem(problem: Problem) -> None:
    again = problems.build(problem.name)
    assert again.name == problem.name
    assert type(again) is type(problem)
    for one, two in zip(again.data, problem.data, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["mixed-curvature", "one-sided", "tent", "sine-stall"])
def test_every_key_has_a_default(name: str) -> None:
    assert problems.build(name).name.startswith(f"{name}:")


def test_kernel_scalars_are_floats_whatever_was_given() -> None:
    assert all(type(entry) is float for entry in Tent(a=1, rho=3, beta=2).data)
    assert all(type(entry) is float for entry in SineStall(rho=1, beta=2).data)


@pytest.mark.parametrize("problem", SMOOTH, ids=names)
def test_one_component_families(problem: Problem) -> None:
    assert (problem.n, problem.d) == (1, 1)
    assert problem.mu.value == 0
    assert problem.mu.grade is Grade.BOUND
    assert problem.L.grade is Grade.EXACT
    assert not problem.convex_components
    smoothness, grade = problem.component_smoothness
    assert (smoothness[0], grade) == (problem.L.value, Grade.EXACT)
    gaps, grade = problem.component_gaps
    assert (gaps.tolist(), grade) == ([0.0], Grade.EXACT)
    assert problem.weighted_smoothness(np.array([3.0])).value == 3 * problem.L.value
    assert problem.gap(lowest_point(problem)) == 0
    # The minimiser is rounded, and so is the slope there.
    assert abs(problem.gradient(lowest_point(problem))[0]) <= 1e-15 * problem.L.value


@pytest.mark.parametrize("problem", SMOOTH, ids=names)
def test_the_lowest_value_is_found_by_no_search(problem: Problem) -> None:
    for left in np.arange(-4, 4, 0.25):
        found = minimize_scalar(lambda x: problem.value([x]), bounds=(left, left + 0.5), method="bounded")
        assert found.fun >= problem.value(lowest_point(problem)) - 1e-15 * problem.L.value


@pytest.mark.parametrize("problem", SMOOTH, ids=names)
def test_the_gap_keeps_its_digits_near_the_minimiser(problem: Problem) -> None:
    centre = lowest_point(problem)[0]
    x = centre + 2.0**-40
    assert problem.gap([x]) == pytest.approx(problem.L.value * (x - centre) ** 2 / 2, rel=1e-3)


# -- mixed curvature --


@pytest.mark.parametrize(("a", "b"), [(2.0, 1.0), (1.0, 0.999), (5.0, 0.1)])
def test_mixed_curvature_attains_the_rate_of_sgd(a: float, b: float) -> None:
    problem = MixedCurvature(a=a, b=b)
    mu, L = problem.mu.value, problem.L.value
    assert mu == pytest.approx((a - b) / 2, rel=1e-14)
    assert mu == L
    assert problem.start.tolist() == [1.0]
    assert not problem.convex_components
    A = (a * a + b * b) / (a - b)
    x = 1.7
    slopes = np.array([problem.sample_gradient(i, [x])[0] for i in range(2)])
    assert np.mean(slopes**2) == pytest.approx(2 * A * problem.gap([x]), rel=1e-13)

    def factor(gamma: float) -> float:
        return sum(problem.gap([x - gamma * slope]) for slope in slopes) / (2 * problem.gap([x]))

    gamma = mu / (L * A)
    assert factor(gamma) == pytest.approx(1 - gamma * mu, rel=1e-13)
    assert factor(2 * gamma) == pytest.approx(1, rel=1e-13)


def test_mixed_curvature_component_gaps() -> None:
    gaps, _ = MixedCurvature().component_gaps
    assert gaps.tolist() == [0.0, math.inf]
    smoothness, _ = MixedCurvature(a=2, b=1).component_smoothness
    assert smoothness.tolist() == [2.0, 1.0]


# -- one-sided --


@pytest.mark.parametrize(("q", "d", "beta"), [(0.95, 1.0, 1.0), (0.3, 2.0, 0.5)])
def test_one_sided_is_the_family_it_names(q: float, d: float, beta: float) -> None:
    problem = OneSided(q=q, d=d, beta=beta)
    p = problem.natural_probabilities
    assert p.tolist() == [q, 1 - q]
    assert problem.mu.value == problem.L.value == pytest.approx(q * beta, rel=1e-15)
    assert lowest_point(problem).tolist() == [0.0]
    assert problem.convex_components
    for x in (-1.3, 0.0, 2.0):
        drawn = [problem.minibatch_gradient([x], [i], [1 / p[i]])[0] for i in range(2)]
        assert drawn[0] == pytest.approx(beta * (x + d), rel=1e-14)
        assert drawn[1] == pytest.approx(-q / (1 - q) * beta * d, rel=1e-14)
        assert p @ drawn == pytest.approx(q * beta * x, abs=1e-14)
    gaps, _ = problem.component_gaps
    assert gaps[0] == pytest.approx(q * beta * d * d, rel=1e-14)
    assert gaps[1] == math.inf


def test_one_sided_sam_settles_at_minus_rho() -> None:
    q, beta, rho, gamma = 0.95, 1.0, 0.9, 1e-3
    problem = OneSided(q=q, d=1.0, beta=beta)
    p = problem.natural_probabilities

    # Mean SAM step; the sign of each drawn slope is that of the perturbation.
    def mean_step(x: float) -> float:
        total = 0.0
        for i in range(2):
            g = problem.minibatch_gradient([x], [i], [1 / p[i]])[0]
            total += p[i] * problem.minibatch_gradient([x + rho * np.sign(g)], [i], [1 / p[i]])[0]
        return x - gamma * total

    x = 0.0
    for _ in range(20_000):
        x = mean_step(x)
    assert x == pytest.approx(-rho, rel=1e-6)
    assert problem.gap([x]) == pytest.approx(q * beta * rho**2 / 2, rel=1e-5)


# -- tent --


@pytest.mark.parametrize(("a", "rho", "beta"), [(0.05, 1.0, 1.0), (0.2, 0.7, 3.0), (0.4, 1.0, 2.0)])
def test_tent_slopes(a: float, rho: float, beta: float) -> None:
    problem = Tent(a=a, rho=rho, beta=beta)
    G = beta * (rho - 2 * a)

    def slope(x: float) -> float:
        return float(problem.gradient([x])[0])

    assert slope(-0.3) == pytest.approx(G - beta * 0.3)
    assert slope(0.0) == pytest.approx(G)
    assert slope((rho - a) / 2) == pytest.approx(G - beta * (rho - a) / 2)
    assert slope(rho - a) == pytest.approx(-beta * a)
    assert slope(rho) == 0
    assert slope(rho + 1) == pytest.approx(beta)
    assert problem.value([0.0]) == pytest.approx(0, abs=1e-15)
    assert problem.start.tolist() == [0.0]


@pytest.mark.parametrize(("a", "left"), [(0.05, True), (0.33, True), (0.34, False), (0.45, False)])
def test_tent_takes_the_lower_of_its_two_minima(a: float, left: bool) -> None:
    problem = Tent(a=a, rho=1.0, beta=2.0)
    p = 1 - 2 * a
    assert lowest_point(problem)[0] == pytest.approx(-p if left else 1.0)
    assert (problem.value([-p]) < problem.value([1.0])) is left
    assert problem.gap([-p if left else 1.0]) == 0
    assert problem.gap([1.0 if left else -p]) == pytest.approx(2 * abs(p * p - a * a), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0])
def test_tent_stalls_sam_at_a_slope_close_to_beta_rho(gamma: float) -> None:
    a, rho, beta = 0.001, 0.5, 2.0
    problem = Tent(a=a, rho=rho, beta=beta)
    assert sam(problem, 0.0, rho=rho, gamma=gamma / beta, steps=5) == 0.0
    for start in (-1.9 * a, -0.9 * a, 0.3 * rho, 0.9 * (rho - 2 * a)):
        x = sam(problem, start, rho=rho, gamma=gamma / beta, steps=500)
        assert abs(x) < 1e-12
        assert problem.gradient([x])[0] ** 2 == pytest.approx((beta * rho) ** 2, rel=0.01)
    # Left of its narrow basin SAM moves on: the stall is the basin's doing.
    assert sam(problem, -2.1 * a, rho=rho, gamma=gamma / beta, steps=1) < -2.1 * a


# -- sine --


@pytest.mark.parametrize(("rho", "beta"), [(1.0, 1.0), (0.3, 5.0)])
@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0])
def test_sine_stalls_sam_where_theory_says(rho: float, beta: float, gamma: float) -> None:
    problem = SineStall(rho=rho, beta=beta)
    x = sam(problem, problem.start[0], rho=rho, gamma=gamma / beta, steps=400)
    assert problem.gradient([x])[0] ** 2 == pytest.approx(4 / (9 * math.pi**2) * beta**2 * rho**2, rel=1e-12)
    assert problem.gap([x]) == pytest.approx(4 * beta * rho**2 / (9 * math.pi**2), rel=1e-12)


def test_sine_formulas_and_constants() -> None:
    problem = SineStall(rho=0.3, beta=5.0)
    height = 4 * 5 * 0.09 / (9 * math.pi**2)
    for x in np.linspace(-1, 1, 41):
        w = 3 * math.pi * x / 0.6
        assert problem.value([x]) == pytest.approx(height * math.sin(w), abs=1e-15)
        assert problem.gradient([x])[0] == pytest.approx(height * 3 * math.pi / 0.6 * math.cos(w), abs=1e-14)
    assert problem.L.value == 5.0
    assert lowest_point(problem)[0] == pytest.approx(-0.1, rel=1e-15)
    assert problem.value(lowest_point(problem)) == pytest.approx(-height)
    # L is attained at the minimiser.
    step = 1e-6
    assert problem.gradient(lowest_point(problem) + step)[0] / step == pytest.approx(5.0, rel=1e-6)


# -- input --


@pytest.mark.parametrize(
    ("build", "arguments", "words"),
    [
        (MixedCurvature, {"a": 1, "b": 1}, "a must be larger than b"),
        (MixedCurvature, {"a": 1, "b": 2}, "a must be larger than b"),
        (MixedCurvature, {"a": 1, "b": 0}, "b must be a positive"),
        (MixedCurvature, {"a": math.inf, "b": 1}, "a must be a positive"),
        (OneSided, {"q": 0}, "q must lie"),
        (OneSided, {"q": 1}, "q must lie"),
        (OneSided, {"q": math.nan}, "q must lie"),
        (OneSided, {"d": 0}, "d must be a positive"),
        (OneSided, {"beta": -1}, "beta must be a positive"),
        (OneSided, {"q": 1e-300, "d": 1e-300}, "slope 2 q beta d must be"),
        (Tent, {"a": 0}, "a must be a positive"),
        (Tent, {"a": 0.5, "rho": 1}, "a must be less than rho/2"),
        (Tent, {"rho": -1}, "rho must be a positive"),
        (Tent, {"beta": 0}, "beta must be a positive"),
        (Tent, {"rho": 1e200}, "beta rho"),
        (SineStall, {"rho": 0}, "rho must be a positive"),
        (SineStall, {"beta": math.nan}, "beta must be a positive"),
        (SineStall, {"rho": 1e-200}, "beta rho"),
    ],
)
def test_bad_input_is_named_in_one_sentence(
    build: Callable[..., Problem], arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words) as error:
        build(**arguments)
    assert "\n" not in str(error.value)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(InputError, match="rho"):
        problems.build("tent:rh=1")
