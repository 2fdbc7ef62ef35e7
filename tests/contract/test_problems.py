"""Every registered problem honours the contract of `Problem`: derivatives, gaps, constants, names."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from problems.errors import InputError
from problems.glm import LeastSquaresProblem, LogisticProblem
from problems.problem import Grade, Problem, Vector, problems
from problems.quadratics import FiniteSumOfQuadratics, Quadratic, check_positive_definite, prescribed_spectrum
from problems.random_qp import random_qp
from problems.stability import LinearLosses
from tests.strategies import PROBLEMS, SPECS, numpy_gradient

EPS = float(np.finfo(float).eps)


@cache
def built(spec: str) -> Problem:
    return problems.build(spec)


each_problem = pytest.mark.parametrize("spec", SPECS)
each_bounded_problem = pytest.mark.parametrize("spec", [spec for spec in SPECS if built(spec).bounded])
each_with_a_stationary_point = pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if built(spec).minimiser is not None]
)


def test_only_functions_without_a_lower_bound_lack_a_minimiser() -> None:
    assert not [spec for spec in SPECS if built(spec).bounded and built(spec).minimiser is None]


def some_components(problem: Problem) -> list[int]:
    """A few components: both ends and, of a data problem, some between."""
    return sorted({*range(min(problem.n, 6)), problem.n // 2, problem.n - 1})


def points(problem: Problem, count: int, *, seed: int = 7) -> list[Vector]:
    """Random points, from near the minimiser to far away, and the start."""
    rng = np.random.default_rng(seed)
    centre = problem.start if problem.minimiser is None else problem.minimiser
    radii = np.geomspace(1e-3, 30, count)
    return [problem.start.copy(), *(centre + radius * rng.standard_normal(problem.d) for radius in radii)]


def test_every_registered_problem_has_an_example() -> None:
    assert sorted(PROBLEMS) == list(problems)
    for name, specs in PROBLEMS.items():
        assert all(spec.partition(":")[0] == name for spec in specs)


def is_linear(problem: Problem) -> bool:
    """Its L is an upper bound of 0."""
    return isinstance(problem.data, LinearLosses)


# -- derivatives --


def remainder_slopes(value: Callable[[Vector], float], slope: Vector, x: Vector, u: Vector, curvature: float) -> Vector:
    """log2 r(h)/r(h/2) for h = 2^6, 2^5, ... down to the rounding floor, r(h) = |f(x+hu) - f(x) - h g.u|.

    curvature: an upper bound of f's; it and the values themselves say where rounding begins.
    """
    here, along = value(x), float(slope @ u)
    found: list[float] = []
    for k in range(6, -45, -1):
        h = 2.0**k
        there = value(x + h * u)
        # Every term of a value is at most the value itself, the linear part or the curvature's share.
        terms = abs(here) + abs(there) + abs(h * along) + curvature * (float(np.linalg.norm(x)) + h) ** 2
        remainder = abs(there - here - h * along)
        # What is kept stands well above the rounding of sums of several hundred terms.
        if remainder <= 300 * EPS * terms:
            break
        found.append(remainder)
    return np.asarray(np.log2(np.array(found[:-1]) / np.array(found[1:])))


def assert_slope_two(value: Callable[[Vector], float], slope: Vector, x: Vector, curvature: float) -> None:
    """The remainder's slope is 2 on the straight part that ends at the rounding floor.

    A wrong gradient bends it to 1 there, however small the error. A linear function has no remainder at all.
    """
    u = np.random.default_rng(3).standard_normal(len(x))
    u /= np.linalg.norm(u)
    slopes = remainder_slopes(value, slope, x, u, curvature)
    if curvature == 0:
        assert len(slopes) == 0
        return
    straight = 0
    while straight < len(slopes) and abs(slopes[-1 - straight] - 2) < 0.06:
        straight += 1
    assert straight >= 4, slopes
    assert abs(np.median(slopes[-straight:]) - 2) < 0.02


@each_problem
def test_remainder_of_the_objective_has_slope_two(spec: str) -> None:
    problem = built(spec)
    x = problem.start + 0.3 * np.random.default_rng(5).standard_normal(problem.d)
    assert_slope_two(problem.value, problem.gradient(x), x, 0.0 if is_linear(problem) else problem.L.value)


@each_problem
def test_remainder_of_every_sampled_component_has_slope_two(spec: str) -> None:
    problem = built(spec)
    smoothness, _ = problem.component_smoothness
    x = problem.start + 0.3 * np.random.default_rng(6).standard_normal(problem.d)
    for i in some_components(problem):

        def value(y: Vector, i: int = i) -> float:
            return problem.component_value(i, y)

        assert_slope_two(value, problem.sample_gradient(i, x), x, 0.0 if is_linear(problem) else float(smoothness[i]))


@pytest.mark.parametrize("spec", ["pl-sine:d=4,a=3", "logistic:data=breast_cancer,reg=0.1,scale=columns", "tent"])
def test_a_gradient_off_by_a_ten_thousandth_is_noticed(spec: str) -> None:
    problem = built(spec)
    x = problem.start + 0.1
    with pytest.raises(AssertionError):
        assert_slope_two(problem.value, problem.gradient(x) * (1 + 1e-4), x, problem.L.value)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if built(spec).quadratic])
def test_remainder_of_a_quadratic_is_exactly_quadratic(spec: str) -> None:
    problem = built(spec)
    rng = np.random.default_rng(4)
    x, u = rng.standard_normal((2, problem.d))
    slope = problem.gradient(x) @ u
    second = (problem.gradient(x + u) - problem.gradient(x)) @ u / 2
    for h in (100.0, 1.0, 0.1):
        remainder = problem.value(x + h * u) - problem.value(x) - h * slope
        terms = abs(problem.value(x + h * u)) + abs(problem.value(x)) + abs(h * slope) + h * h * second
        assert remainder == pytest.approx(h * h * second, abs=1e-12 * terms)


@each_problem
def test_gradients_of_batches_are_weighted_means(spec: str) -> None:
    problem = built(spec)
    rng = np.random.default_rng(8)
    for x in points(problem, 2):
        samples = np.array([problem.sample_gradient(i, x) for i in range(problem.n)])
        values = np.array([problem.component_value(i, x) for i in range(problem.n)])
        scale = float(np.abs(samples).max()) + problem.L.value * float(np.abs(x).max())
        # A mean of n terms, each with a few rounding errors; sums of squares may cancel further by sqrt(n).
        atol = 1e-13 * scale
        np.testing.assert_allclose(problem.gradient(x), samples.mean(axis=0), rtol=0, atol=atol)
        assert problem.value(x) == pytest.approx(values.mean(), abs=1e-13 * float(np.abs(values).max()))
        chosen = rng.integers(problem.n, size=4)
        weights = rng.uniform(0, 3, 4)
        expected = weights @ samples[chosen] / problem.n
        np.testing.assert_allclose(problem.minibatch_gradient(x, chosen, weights), expected, rtol=0, atol=4 * atol)
        np.testing.assert_array_equal(problem.minibatch_gradient(x, [], []), np.zeros(problem.d))
        again = numpy_gradient(problem)(x, chosen.tolist(), weights.tolist())
        np.testing.assert_allclose(again, expected, rtol=0, atol=10 * atol)


@each_problem
def test_arguments_are_left_as_they_were(spec: str) -> None:
    problem = built(spec)
    x = problem.start.copy()
    x.setflags(write=False)
    problem.value(x)
    problem.gradient(x)
    problem.gap(x)
    np.testing.assert_array_equal(x, problem.start)


# -- gaps --


@each_bounded_problem
def test_gap_is_the_value_above_the_lowest(spec: str) -> None:
    problem = built(spec)
    assert problem.minimiser is not None
    lowest = problem.value(problem.minimiser)
    assert 0 <= problem.gap(problem.minimiser) <= 4 * EPS * (1 + abs(lowest))
    for x in points(problem, 6):
        value = problem.value(x)
        assert problem.gap(x) >= 0
        # The difference of two values is off by the rounding of their terms, which a long sum collects.
        terms = max(
            abs(problem.component_value(i, y)) for i in some_components(problem) for y in (x, problem.minimiser)
        )
        terms += abs(value) + abs(lowest)
        assert problem.gap(x) == pytest.approx(value - lowest, rel=1e-11, abs=1e-12 * terms)


@each_with_a_stationary_point
def test_gradient_vanishes_at_the_minimiser(spec: str) -> None:
    problem = built(spec)
    assert problem.minimiser is not None
    scale = np.abs([problem.sample_gradient(i, problem.minimiser) for i in range(problem.n)]).max()
    size = problem.L.value * (1 + float(np.linalg.norm(problem.minimiser)))
    assert np.linalg.norm(problem.gradient(problem.minimiser)) <= 1e-13 * (scale + size)


# -- constants --


@each_problem
def test_constants_are_graded(spec: str) -> None:
    problem = built(spec)
    assert isinstance(problem.L.grade, Grade)
    assert isinstance(problem.mu.grade, Grade)
    assert 0 <= problem.mu.value <= problem.L.value * (1 + 1e-12)
    smoothness, grade = problem.component_smoothness
    assert smoothness.shape == (problem.n,)
    assert (smoothness >= 0).all()
    assert isinstance(grade, Grade)
    gaps, grade = problem.component_gaps
    assert gaps.shape == (problem.n,)
    assert (gaps >= 0).all()
    assert isinstance(grade, Grade)
    # The mean of gradients with constants L_i has at most their mean.
    assert problem.L.value <= smoothness.mean() * (1 + 1e-12)
    assert problem.start.shape == (problem.d,)
    assert problem.start.dtype == np.float64


@each_problem
def test_smoothness_is_never_exceeded(spec: str) -> None:
    problem = built(spec)
    smoothness, _ = problem.component_smoothness
    rng = np.random.default_rng(9)
    weights = rng.uniform(0, 2, problem.n)
    weighted = problem.weighted_smoothness(weights)
    assert isinstance(weighted.grade, Grade)
    everyone = np.arange(problem.n)
    for x in points(problem, 4):
        for distance in (1e-2, 1.0, 50.0):
            y = x + distance * rng.standard_normal(problem.d)
            apart = float(np.linalg.norm(x - y))

            def holds(one: Vector, two: Vector, constant: float, apart: float = apart) -> bool:
                rounding = 1e-13 * float(np.abs(one).max() + np.abs(two).max())
                return bool(np.linalg.norm(one - two) <= constant * apart * (1 + 1e-12) + rounding)

            assert holds(problem.gradient(x), problem.gradient(y), problem.L.value)
            for i in some_components(problem):
                assert holds(problem.sample_gradient(i, x), problem.sample_gradient(i, y), float(smoothness[i]))
            batches = [problem.minibatch_gradient(z, everyone, weights) for z in (x, y)]
            assert holds(batches[0], batches[1], weighted.value)


@each_problem
def test_polyak_lojasiewicz_inequality(spec: str) -> None:
    problem = built(spec)
    if problem.mu.value == 0:
        assert problem.mu.grade is Grade.BOUND
        return
    for x in points(problem, 30):
        slope = float(np.sum(problem.gradient(x) ** 2))
        # Near the minimiser the gradient is rounded at the size of its terms.
        terms = float(np.abs([problem.sample_gradient(i, x) for i in some_components(problem)]).max())
        rounding = 1e-13 * terms * math.sqrt(slope) + (1e-14 * terms) ** 2
        assert slope >= 2 * problem.mu.value * problem.gap(x) * (1 - 1e-10) - rounding


@each_bounded_problem
def test_components_stay_above_their_lower_bounds(spec: str) -> None:
    problem = built(spec)
    gaps, _ = problem.component_gaps
    assert problem.minimiser is not None
    for i in some_components(problem):
        if not np.isfinite(gaps[i]):
            continue
        floor = problem.component_value(i, problem.minimiser) - gaps[i]
        for x in points(problem, 10):
            value = problem.component_value(i, x)
            assert value >= floor - 1e-12 * (1 + abs(value) + abs(floor) + gaps[i])


@each_problem
def test_convex_components_are_convex(spec: str) -> None:
    problem = built(spec)
    if not problem.convex_components:
        return
    one, two = points(problem, 1)
    for i in some_components(problem):
        ends = problem.component_value(i, one) + problem.component_value(i, two)
        middle = problem.component_value(i, (one + two) / 2)
        assert middle <= ends / 2 + 1e-12 * (abs(middle) + abs(ends))


@each_problem
def test_what_samplings_may_ask_agrees_with_the_gradients(spec: str) -> None:
    problem = built(spec)
    components, noise = problem.quadratic_components(), problem.affine_noise()
    for x in points(problem, 2):
        for i in some_components(problem):
            slope = problem.sample_gradient(i, x)
            atol = 1e-11 * (float(np.abs(slope).max()) + problem.L.value)
            if components is not None and problem.minimiser is not None:
                H, g = components
                np.testing.assert_allclose(H[i] @ (x - problem.minimiser) + g[i], slope, rtol=1e-10, atol=atol)
            if noise is not None:
                s, c = noise
                assert s.mean() == pytest.approx(1, abs=1e-14)
                np.testing.assert_allclose(c.mean(axis=0), 0, atol=1e-14 * (1 + float(np.abs(c).max())))
                np.testing.assert_allclose(s[i] * problem.gradient(x) + c[i], slope, rtol=1e-10, atol=atol)


# -- names --


def assert_same_problem(one: Problem, two: Problem) -> None:
    assert type(one) is type(two)
    assert type(one.data) is type(two.data)
    for first, second in zip(one.data, two.data, strict=True):
        assert np.asarray(first).dtype == np.asarray(second).dtype
        assert np.asarray(first).tobytes() == np.asarray(second).tobytes()
    assert (one.name, one.n, one.d, one.L, one.mu) == (two.name, two.n, two.d, two.L, two.mu)
    assert one.start.tobytes() == two.start.tobytes()


@each_problem
def test_name_is_a_spec_of_the_same_problem(spec: str) -> None:
    assert_same_problem(problems.build(built(spec).name), built(spec))


@each_problem
def test_building_twice_gives_the_same_bits(spec: str) -> None:
    assert_same_problem(problems.build(spec), built(spec))


@each_problem
def test_kernel_data_has_the_one_layout_that_compiles_once(spec: str) -> None:
    for entry in built(spec).data:
        assert type(entry) in (float, bool, np.ndarray)
        if isinstance(entry, np.ndarray):
            assert entry.dtype == np.float64
            assert entry.flags.c_contiguous
            assert entry.flags.writeable


@pytest.mark.parametrize("number", [0.1 + 0.2, 1 / 3, 1e-7, 123456789.123, 5])
def test_every_digit_of_a_number_survives_the_name(number: float) -> None:
    for problem in (
        Quadratic.with_spectrum(mu=number / 7, L=number, d=3),
        random_qp(d=3, cond=1 + number),
        problems.build(f"quadratic-sum:n=3,d=2,mu={number / 3!r},L={number!r},noise={number!r}"),
        problems.build(f"mixed-curvature:a={2 * number!r},b={number!r}"),
    ):
        assert_same_problem(problems.build(problem.name), problem)


# -- degenerate sizes --


def test_one_sample_in_one_dimension(tmp_path: Path) -> None:
    file = tmp_path / "one.npz"
    np.savez(file, A=[[2.0]], b=[1.0])
    for spec in (
        f"ridge:file={file},reg=0.5",
        f"least-squares:file={file}",
        f"logistic:file={file},reg=0.5,positive=1",
    ):
        if spec.startswith("logistic"):
            problem: Problem = LogisticProblem.from_arrays([[2.0]], [1.0], reg=0.5)
        else:
            problem = problems.build(spec)
        assert (problem.n, problem.d) == (1, 1)
        assert problem.minimiser is not None
        assert problem.gap(problem.minimiser) == 0
        assert abs(problem.gradient(problem.minimiser)[0]) <= 1e-15
        assert problem.sample_gradient(0, [0.7])[0] == problem.gradient([0.7])[0]
    square = LeastSquaresProblem.from_arrays([[2.0]], [1.0], reg=0.5)
    assert square.L.value == pytest.approx(4.5, rel=1e-15)
    assert square.mu.value == square.L.value


@pytest.mark.parametrize("spec", ["quadratic:d=1,mu=2,L=2", "random-qp:d=1,cond=1", "quadratic-sum:n=1,d=1,mu=1,L=1"])
def test_one_dimension_has_one_eigenvalue(spec: str) -> None:
    problem = built(spec)
    assert problem.minimiser is not None
    assert problem.mu.value == pytest.approx(problem.L.value, rel=1e-15)
    assert problem.gap(problem.start) == pytest.approx(
        problem.L.value / 2 * float(np.sum((problem.start - problem.minimiser) ** 2)), rel=1e-14
    )


# -- quadratics: spectra and input --


@pytest.mark.parametrize("basis", ["rotated", "diagonal"])
@pytest.mark.parametrize("spectrum", ["log", "linear", "two", "uniform"])
@pytest.mark.parametrize(("mu", "L", "d"), [(0.1, 10.0, 7), (1.0, 1.0, 4), (1e-6, 1.0, 2), (0.0, 3.0, 5)])
def test_both_ends_of_a_prescribed_spectrum_are_attained(
    basis: Any, spectrum: Any, mu: float, L: float, d: int
) -> None:
    problem = Quadratic.with_spectrum(mu=mu, L=L, d=d, spectrum=spectrum, basis=basis, seed=11)
    found = np.sort(problem.data.h) if basis == "diagonal" else np.linalg.eigvalsh(problem.data.H)
    # An eigensolver is off by a few eps of the largest eigenvalue, a diagonal by nothing.
    tolerance = 0.0 if basis == "diagonal" else 10 * d * EPS * L
    np.testing.assert_allclose(found, problem.eigenvalues, rtol=0, atol=tolerance)
    assert (problem.eigenvalues[0], problem.eigenvalues[-1]) == (mu, L)
    assert (problem.mu.value, problem.L.value) == (mu, L)
    assert (np.diff(problem.eigenvalues) >= 0).all()
    inner = problem.eigenvalues[1:-1]
    if spectrum == "log" and mu > 0:
        np.testing.assert_allclose(
            np.diff(np.log(problem.eigenvalues)), math.log(L / mu) / (d - 1), rtol=1e-10, atol=1e-15
        )
    if spectrum == "linear":
        np.testing.assert_allclose(np.diff(problem.eigenvalues), (L - mu) / (d - 1), rtol=1e-10)
    if spectrum == "two":
        assert set(inner.tolist()) <= {mu, L}


@pytest.mark.parametrize("spectrum", ["log", "linear", "two", "uniform"])
def test_mean_of_a_finite_sum_has_the_prescribed_spectrum(spectrum: str) -> None:
    for extra in ("", ",indefinite=2"):
        problem = problems.build(f"quadratic-sum:n=6,d=4,mu=0.2,L=3,spectrum={spectrum}{extra}")
        eigenvalues = np.linalg.eigvalsh(problem.data.H.mean(axis=0))
        assert eigenvalues[0] == pytest.approx(0.2, rel=1e-12)
        assert eigenvalues[-1] == pytest.approx(3, rel=1e-12)
        assert problem.convex_components is (extra == "")
        np.testing.assert_allclose(problem.data.g.mean(axis=0), 0, atol=1e-15)


def test_the_bases_are_orthogonal_and_differ_with_the_seed() -> None:
    one, two = (Quadratic.with_spectrum(mu=1, L=2, d=5, seed=seed, spectrum="two") for seed in (0, 1))
    assert not np.allclose(one.data.H, two.data.H)
    assert not np.allclose(one.start, two.start)
    np.testing.assert_allclose((one.data.H - np.eye(5)) @ (one.data.H - 2 * np.eye(5)), 0, atol=1e-14)


def test_minimiser_of_given_components_solves_the_linear_system() -> None:
    rng = np.random.default_rng(2)
    roots = rng.standard_normal((4, 3, 5))
    H, b = roots @ roots.transpose(0, 2, 1), rng.standard_normal((4, 3))
    problem = FiniteSumOfQuadratics.from_components(H, b)
    assert problem.minimiser is not None
    np.testing.assert_allclose(H.mean(axis=0) @ problem.minimiser, -b.mean(axis=0), atol=1e-13)
    x = rng.standard_normal(3)
    for i in range(4):
        np.testing.assert_allclose(problem.sample_gradient(i, x), H[i] @ x + b[i], atol=1e-13)
        lowest = -b[i] @ np.linalg.solve(H[i], b[i]) / 2
        here = problem.minimiser @ H[i] @ problem.minimiser / 2 + b[i] @ problem.minimiser
        assert problem.component_gaps[0][i] == pytest.approx(here - lowest, rel=1e-9)
    np.testing.assert_array_equal(problem.start, problem.minimiser + 1)


def test_flat_and_concave_components_have_the_gaps_they_should() -> None:
    H = np.array([np.diag([2.0, 0.0]), np.diag([0.0, 2.0]), np.diag([4.0, -1.0]), np.diag([1.0, 5.0])])
    b = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [-2.0, 0.0]])
    problem = FiniteSumOfQuadratics.from_components(H, b)
    gaps, grade = problem.component_gaps
    assert grade is Grade.EXACT
    assert gaps[:1].tolist() == [0.25]  # bounded below although flat in one direction
    assert np.isinf(gaps[1])  # slopes along its flat direction
    assert np.isinf(gaps[2])  # concave in one direction
    assert gaps[3] == pytest.approx(2, rel=1e-15)


def test_arrays_given_as_whole_numbers_become_floats() -> None:
    whole = Quadratic.from_matrix([[2, 0], [0, 1]], [1, 1])
    floats = Quadratic.from_matrix([[2.0, 0.0], [0.0, 1.0]], [1.0, 1.0])
    assert_same_problem(whole, floats)
    H = np.array([[[2, 0], [0, 1]]])
    H.setflags(write=False)
    assert_same_problem(
        FiniteSumOfQuadratics.from_components(H, [[1, 0]]), FiniteSumOfQuadratics.from_components(H * 1.0, [[1.0, 0.0]])
    )


BAD_QUADRATICS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Quadratic.from_matrix([[1, 2], [0, 1]]), r"H must be symmetric, got .* up to 2"),
    (lambda: Quadratic.from_matrix([[1, 0], [0, -1]]), r"H must be positive definite, got smallest eigenvalue -1"),
    (lambda: Quadratic.from_matrix([[1, 0], [0, 0]]), r"H must be positive definite, got smallest eigenvalue 0"),
    (lambda: Quadratic.from_matrix([[1, 0, 0], [0, 1, 0]]), r"H must be square, got shape \(2, 3\)"),
    (lambda: Quadratic.from_matrix([1, 2]), r"H must be a matrix .* got shape \(2,\)"),
    (lambda: Quadratic.from_matrix(np.zeros((0, 0))), r"H must be a matrix with at least one row"),
    (lambda: Quadratic.from_matrix([[math.nan]]), r"H holds NaN or infinite entries"),
    (lambda: Quadratic.from_matrix([[math.inf]]), r"H holds NaN or infinite entries"),
    (lambda: Quadratic.from_matrix([["a"]]), r"H must be an array of numbers"),
    (lambda: Quadratic.from_matrix(np.eye(2), [1.0]), r"minimiser must have shape \(2,\), got shape \(1,\)"),
    (lambda: check_positive_definite(-np.eye(2), argument="M"), r"M must be positive definite"),
    (lambda: FiniteSumOfQuadratics.from_components(np.zeros((2, 2)), [[1.0, 0.0]]), r"H must have shape \(1, 2, 2\)"),
    (lambda: FiniteSumOfQuadratics.from_components([[[1.0]]], [1.0]), r"b must be a matrix"),
    (lambda: FiniteSumOfQuadratics.from_components([[[math.inf]]], [[1.0]]), r"H holds NaN or infinite"),
    (
        lambda: FiniteSumOfQuadratics.from_components([[[1.0, 2.0], [0.0, 1.0]]], [[1.0, 0.0]]),
        r"every H_i must be symmetric",
    ),
    (
        lambda: FiniteSumOfQuadratics.from_components([[[1.0]], [[-2.0]]], [[1.0], [0.0]]),
        r"mean of the H_i must be positive",
    ),
    (lambda: FiniteSumOfQuadratics.from_components([[[1.0]]], [[0.0]], start=[1, 2]), r"start must have shape \(1,\)"),
    (lambda: Quadratic.with_spectrum(mu=2, L=1, d=3), r"mu must be at most L = 1, got mu = 2"),
    (lambda: Quadratic.with_spectrum(mu=-1, L=1, d=3), r"mu must be a finite number >= 0, got -1"),
    (lambda: Quadratic.with_spectrum(mu=math.nan, L=1, d=3), r"mu must be a finite number >= 0, got nan"),
    (lambda: Quadratic.with_spectrum(mu=0, L=0, d=3), r"L must be a positive finite number, got 0"),
    (lambda: Quadratic.with_spectrum(mu=1, L=math.inf, d=3), r"L must be a positive finite number, got inf"),
    (lambda: Quadratic.with_spectrum(mu=0.5, L=1, d=1), r"d = 1 has one eigenvalue, so mu must equal L"),
    (lambda: Quadratic.with_spectrum(mu=0.5, L=1, d=0), r"d must be a whole number >= 1, got 0"),
    (lambda: Quadratic.with_spectrum(mu=0.5, L=1, d=2.5), r"d must be a whole number >= 1, got 2.5"),  # type: ignore[arg-type]
    (lambda: Quadratic.with_spectrum(mu=0.5, L=1, d=3, seed=-1), r"seed must be a whole number >= 0, got -1"),
    (lambda: Quadratic.with_spectrum(mu=0.5, L=1, d=3, spectrum="cubic"), r"spectrum must be one of .* got 'cubic'"),  # type: ignore[arg-type]
    (lambda: Quadratic.with_spectrum(mu=0.5, L=1, d=3, basis="skew"), r"basis must be rotated or diagonal, got 'skew'"),  # type: ignore[arg-type]
    (lambda: Quadratic.with_spectrum(mu=0.5, L=1, d=10**7), r"needs .* GiB; at most .* GiB is allowed"),
    (lambda: prescribed_spectrum("log", 2.0, 1.0, 3, np.random.default_rng()), r"mu must be at most L"),
    (lambda: random_qp(d=3, cond=0.5), r"cond must be at least 1 and finite, got 0.5"),
    (lambda: random_qp(d=3, cond=math.nan), r"cond must be at least 1 and finite, got nan"),
    (lambda: random_qp(d=1, cond=2), r"d = 1 has one eigenvalue"),
    (lambda: random_qp(d=0, cond=2), r"d must be a whole number >= 1, got 0"),
    (lambda: random_qp(d=3, cond=2, L=-1), r"L must be a positive finite number, got -1"),
    (lambda: random_qp(d=3, cond=math.inf), r"cond must be"),
    (lambda: problems.build("quadratic-sum:mu=0"), r"mu must be a positive finite number, got 0.0"),
    (lambda: problems.build("quadratic-sum:n=0"), r"n must be a whole number >= 1, got 0"),
    (lambda: problems.build("quadratic-sum:noise=-1"), r"noise must be a finite number >= 0, got -1.0"),
    (lambda: problems.build("quadratic-sum:indefinite=-1"), r"indefinite must be a finite number >= 0, got -1.0"),
    (lambda: problems.build("quadratic:d=3"), r"lacks the key 'mu'; write quadratic:mu=VALUE"),
    (
        lambda: problems.build("quadratic:d=3,mu=1,L=2,basis=skew"),
        r"basis of problem 'quadratic' must be one of rotated",
    ),
    (lambda: problems.build("quadratic:d=3,mu=1,L=2,baisis=rotated"), r"unknown key 'baisis' .* nearest is 'basis'"),
    (lambda: problems.build("quadratic:d=x,mu=1,L=2"), r"d of problem 'quadratic' must be a number, got 'x'"),
    (lambda: problems.build("quadratic:d=1.5,mu=1,L=2"), r"d of problem 'quadratic' must be a whole number"),
    (lambda: problems.build("quadratic:d=3,mu=nan,L=2"), r"mu of problem 'quadratic' must be a finite number"),
    (lambda: problems.build("quadratik:d=3"), r"unknown problem 'quadratik'; the nearest is 'quadratic'"),
    (lambda: problems.build("quadratic:"), r"ends after the colon"),
    (lambda: problems.build(""), r"has no name"),
    (lambda: problems.build("quadratic:d=3,d=4"), r"gives the key 'd' twice"),
    (lambda: problems.build("quadratic:d="), r"gives no value for the key 'd'"),
    (lambda: problems.build("quadratic:d"), r"cannot be read at 'd'"),
]


@pytest.mark.parametrize(("make", "words"), BAD_QUADRATICS, ids=[words for _, words in BAD_QUADRATICS])
def test_bad_input_ends_in_one_sentence(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        make()
    text = str(caught.value)
    assert "\n" not in text
    assert not text.endswith(".")


@pytest.mark.parametrize("number", [math.nan, math.inf, "many", None])
def test_a_count_that_is_no_number_is_refused_in_one_sentence(number: Any) -> None:
    with pytest.raises(InputError, match="d must be a whole number >= 1"):
        Quadratic.with_spectrum(mu=1, L=2, d=number)


def test_points_of_the_wrong_shape_are_refused() -> None:
    problem = built("quadratic-sum:n=5,d=3,seed=1")
    for call in (problem.value, problem.gradient, problem.gap):
        with pytest.raises(InputError, match=r"x must have shape \(3,\), got shape \(2,\)"):
            call([1.0, 2.0])
        with pytest.raises(InputError, match="x holds NaN or infinite entries"):
            call([1.0, math.nan, 2.0])
    with pytest.raises(InputError, match=r"weights must have shape \(2,\)"):
        problem.minibatch_gradient([0, 0, 0], [0, 1], [1.0])
    with pytest.raises(IndexError):
        problem.sample_gradient(5, [0, 0, 0])
    with pytest.raises(IndexError):
        problem.minibatch_gradient([0, 0, 0], [0, 5], [1.0, 1.0])
