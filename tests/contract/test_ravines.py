"""Cubics, lines of minima, cosines, log-cosh sums and powers: derivatives, constants, names, and what they are for."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from problems.errors import InputError
from problems.problem import Grade, Problem, problems
from problems.ravines import Cosine, Cubic, LogCoshRidge, MinimaLine, Power

SPECS = [
    "cubic",
    "cubic:h=1/0.3,b=0.3/0.5@1/-0.2,reach=0.4",
    "minima-line",
    "minima-line:h=1,s=1,c=0,across=0.5,along=0.7",
    "cosine:c=1/0.5,w=1/2",
    "log-cosh-ridge",
    "log-cosh-ridge:d=2,rows=1,alpha=0",
    "power",
    "power:p=2.5,reach=0.5",
    "power:p=2",
]

each = pytest.mark.parametrize("spec", SPECS)
reproducible = settings(derandomize=True, deadline=None, max_examples=40)
seeds = st.integers(0, 10**6)


@cache
def built(spec: str) -> Problem:
    return problems.build(spec)


def lowest(problem: Problem) -> np.ndarray:
    assert problem.minimiser is not None
    return problem.minimiser


@each
@given(seed=seeds, size=st.sampled_from([0.05, 0.5, 3.0]))
@reproducible
def test_gradients_are_central_differences_of_the_components(spec: str, seed: int, size: float) -> None:
    problem, h = built(spec), 1e-6
    x = problem.start + size * np.random.default_rng(seed).standard_normal(problem.d)
    for i in range(problem.n):
        found = problem.sample_gradient(i, x)
        for j, e in enumerate(np.eye(problem.d)):
            slope = (problem.component_value(i, x + h * e) - problem.component_value(i, x - h * e)) / (2 * h)
            # Where the second derivative jumps the difference is off by L h/2; rounding gives 1e-16 of a value over h.
            allowed = problem.component_smoothness[0][i] * h + 1e-9 * (1 + abs(problem.component_value(i, x)))
            assert found[j] == pytest.approx(slope, abs=allowed)


@each
@given(seed=seeds)
@reproducible
def test_components_are_means_and_the_gap_is_above_the_lowest_value(spec: str, seed: int) -> None:
    problem = built(spec)
    x = 2 * np.random.default_rng(seed).standard_normal(problem.d)
    values = [problem.component_value(i, x) for i in range(problem.n)]
    assert np.mean(values) == pytest.approx(problem.value(x), rel=1e-13, abs=1e-15)
    slopes = np.mean([problem.sample_gradient(i, x) for i in range(problem.n)], axis=0)
    np.testing.assert_allclose(slopes, problem.gradient(x), rtol=1e-13, atol=1e-13)
    above = problem.value(x) - problem.value(lowest(problem))
    assert problem.gap(x) == pytest.approx(above, rel=1e-12, abs=1e-13)
    assert problem.gap(x) >= 0 or not problem.bounded
    assert problem.gap(lowest(problem)) == 0
    gaps, _ = problem.component_gaps
    assert (np.isfinite(gaps) == problem.bounded).all()
    for i in (i for i in range(problem.n) if np.isfinite(gaps[i])):
        floor = problem.component_value(i, lowest(problem)) - gaps[i]
        assert problem.component_value(i, x) >= floor - 1e-14 * abs(floor)


@each
@given(seed=seeds, size=st.sampled_from([0.01, 1.0, 20.0]))
@reproducible
def test_smoothness_is_never_exceeded(spec: str, seed: int, size: float) -> None:
    problem, rng = built(spec), np.random.default_rng(seed)
    x, y = problem.start + size * rng.standard_normal((2, problem.d))
    apart = np.linalg.norm(x - y)
    # The factor covers the rounding of both gradients.
    assert np.linalg.norm(problem.gradient(x) - problem.gradient(y)) <= problem.L.value * apart * (1 + 1e-12)
    for i in range(problem.n):
        difference = np.linalg.norm(problem.sample_gradient(i, x) - problem.sample_gradient(i, y))
        assert difference <= problem.component_smoothness[0][i] * apart * (1 + 1e-12)


@pytest.mark.parametrize("spec", ["cosine:c=1/0.5,w=1/2", "log-cosh-ridge", "power", "power:p=2.5,reach=0.5"])
def test_exact_smoothness_is_attained(spec: str) -> None:
    problem = built(spec)
    assert problem.L.grade is Grade.EXACT
    places = [np.zeros(problem.d), np.full(problem.d, 3.0)]
    # Central differences of a gradient are good to 1e-9.
    assert max(np.linalg.norm(problem.hessian(x), 2) for x in places) == pytest.approx(problem.L.value, rel=1e-8)


@each
def test_name_is_a_spec_of_the_same_problem(spec: str) -> None:
    problem = built(spec)
    again = problems.build(problem.name)
    assert again.name == problem.name
    for one, two in zip(again.data, problem.data, strict=True):
        np.testing.assert_array_equal(one, two)
    for entry in problem.data:
        assert type(entry) in (float, np.ndarray)


@each
@given(seed=seeds)
@reproducible
def test_strong_convexity_and_the_hessians_lipschitz_constant_hold(spec: str, seed: int) -> None:
    problem, rng = built(spec), np.random.default_rng(seed)
    x, y = rng.standard_normal((2, problem.d))
    H, K = problem.hessian(x), problem.hessian(y)
    # Differences of gradients are good to 1e-8 here. 0 says that no constant is known.
    assert problem.strong_convexity == 0 or np.linalg.eigvalsh(H)[0] >= problem.strong_convexity - 1e-8
    if math.isfinite(problem.hessian_lipschitz):
        assert np.linalg.norm(H - K, 2) <= problem.hessian_lipschitz * np.linalg.norm(x - y) + 1e-7


# -- the cubic --


@given(seed=seeds)
@reproducible
def test_a_cubic_has_the_third_derivative_it_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = problems.build(f"cubic:h=1/0.2/-0.4,rows=5,size=0.7,seed={seed}")
    assert isinstance(problem, Cubic)
    x, u, v = rng.standard_normal((3, 3))
    # The Hessian is linear in x: its difference is the third derivative exactly, up to rounding.
    np.testing.assert_allclose((problem.hessian(x + u) - problem.hessian(x)) @ v, problem.third(u, v), atol=1e-12)
    unit = u / np.linalg.norm(u)
    assert abs(problem.third(unit, unit) @ unit) <= problem.third_norm * (1 + 1e-12)
    np.testing.assert_allclose(problem.hessian(x), Problem.hessian(problem, x), atol=1e-7)


def test_a_single_row_has_an_exact_norm() -> None:
    problem = Cubic(h=[1.0, 0.5], b=[[0.6, 0.8]])
    assert problem.third_norm == pytest.approx(1, rel=1e-14)
    assert problem.inner_radius == pytest.approx(100, rel=1e-14)


def test_a_cubic_is_cut_beyond_its_reach() -> None:
    problem = Cubic(h=[0.0], b=[[1.0]], reach=2.0)
    x = np.array([1.9999, 2.0, 2.0001, 5.0, -5.0])
    found = [problem.value([entry]) for entry in x]
    assert found[:2] == pytest.approx(x[:2] ** 3 / 6, rel=1e-14)
    # 8/6 at 2, then slope 2 and curvature 2.
    assert found[3] == pytest.approx(8 / 6 + 2 * 3 + 9, rel=1e-14)
    assert found[4] == -found[3]


# -- the line of minima --


def test_curvatures_on_the_line_are_eigenvalues_of_the_hessian() -> None:
    problem = built("minima-line")
    assert isinstance(problem, MinimaLine)
    for y in (-1.0, 0.0, 0.6, 1.0, 2.0):
        h, slopes = problem.curvatures(y)
        H = problem.hessian([0.0, 0.0, y])
        np.testing.assert_allclose(np.linalg.eigvalsh(H), np.sort([0.0, *h]), atol=1e-8)
        np.testing.assert_allclose((problem.curvatures(y + 1e-6)[0] - h) / 1e-6, slopes, atol=1e-5)
    # The three minimisers along the line: of the largest eigenvalue, the trace, the smallest.
    ys = np.linspace(-2, 2, 401)
    both = np.array([problem.curvatures(float(y))[0] for y in ys])
    assert [round(float(ys[row.argmin()]), 2) for row in (both.max(axis=1), both.sum(axis=1), both.min(axis=1))] == [
        1.0,
        0.6,
        -1.0,
    ]


# -- cosines, log-cosh, powers --


def test_the_cosines_slope_at_its_maximum_is_exactly_zero() -> None:
    problem = Cosine(c=[1.0, 2.0], w=[1.0, 0.3])
    assert not problem.gradient([0.0, 0.0]).any()
    assert problem.gap([0.0, 0.0]) == pytest.approx(6, rel=1e-15)
    near = lowest(problem) + np.array([1e-9, 0.0])
    # 1 + cos computed as it stands would give 0.
    assert problem.gap(near) == pytest.approx(5e-19, rel=1e-6)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 0.99, 1.01, 800.0])
def test_log_cosh_keeps_its_digits(size: float) -> None:
    problem = LogCoshRidge(alpha=0.0, c=[1.0], b=[[1.0]], start=[1.0], name="")
    wanted = size**2 / 2 if size < 1e-4 else math.log(math.cosh(size)) if size < 100 else size - math.log(2)
    # log(cosh) itself loses 1e-16/(s^2/2) to cancellation.
    assert problem.gap([size]) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("p", [2.5, 4.0, 7.0])
def test_powers_meet_their_inequality_with_equality(p: float) -> None:
    problem = Power(p=p, reach=1.0)
    for x in (1e-3, 0.3, 1.0):
        stated = problem.kl_constant * problem.gap([x]) ** problem.exponent
        assert problem.gradient([-x])[0] == pytest.approx(-stated, rel=1e-13)


@pytest.mark.parametrize("spec", SPECS)
def test_diverging_points_are_noticed(spec: str) -> None:
    problem = built(spec)
    with np.errstate(all="ignore"):
        slope = problem.gradient(np.full(problem.d, 1e300))
    assert slope.shape == (problem.d,)


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("cubic:h=1/2,b=1", "b must have d = 2"),
        ("cubic:h=1,b=0", "b must have an entry other than 0"),
        ("cubic:h=1,reach=0", "reach must be a positive"),
        ("cubic:rows=0", "rows must be a whole number"),
        ("minima-line:h=1/2,s=1,c=0/1", "s must have shape (2,)"),
        ("minima-line:h=0,s=1,c=0", "h must be positive"),
        ("minima-line:h=1,s=-1,c=0", "s must be >= 0"),
        ("cosine:c=1/0,w=1/1", "c must be positive"),
        ("cosine:c=1/1,w=1", "w must have shape (2,)"),
        ("log-cosh-ridge:alpha=-1", "alpha must be a finite number >= 0"),
        ("power:p=1.5", "p must be a finite number >= 2"),
    ],
)
def test_bad_input_is_one_sentence(spec: str, part: str) -> None:
    with pytest.raises(InputError, match=part.replace("(", r"\(").replace(")", r"\)")):
        problems.build(spec)
