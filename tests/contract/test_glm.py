"""Generalised linear models: kernels, minimisers, gaps and constants against independent computations."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import optimize, special

from problems import kernel
from problems.errors import InputError
from problems.glm import LeastSquaresProblem, LogisticProblem, logistic_bregman, logistic_loss, logistic_slope
from problems.problem import Grade, Problem, problems


def make(word: str, reg: float, n: int, d: int, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d))
    noise = rng.standard_normal(n)
    if word == "squares":
        return LeastSquaresProblem.from_arrays(A, A @ rng.standard_normal(d) + noise, reg=reg)
    return LogisticProblem.from_arrays(A, np.where(A @ rng.standard_normal(d) + 2 * noise > 0, 7, 4), reg=reg)


def losses(problem: Problem, x: np.ndarray) -> np.ndarray:
    A, b, reg = problem.data[:3]
    inner = A @ x
    fit = (inner - b) ** 2 / 2 if isinstance(problem, LeastSquaresProblem) else np.logaddexp(0, -b * inner)
    return np.asarray(fit + reg / 2 * (x @ x))


def slopes(problem: Problem, x: np.ndarray) -> np.ndarray:
    A, b, reg = problem.data[:3]
    inner = A @ x
    fit = inner - b if isinstance(problem, LeastSquaresProblem) else -b * special.expit(-b * inner)
    return np.asarray(fit[:, None] * A + reg * x)


SHAPES = [("squares", 0.0, 20, 4), ("squares", 0.3, 20, 4), ("squares", 0.3, 4, 9), ("squares", 0.0, 4, 9)]
SHAPES += [("logistic", 0.0, 60, 3), ("logistic", 0.05, 60, 3), ("logistic", 0.3, 7, 9), ("squares", 0.1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kernels_match_numpy(shape: tuple[str, float, int, int]) -> None:
    problem = make(*shape)
    rng = np.random.default_rng(1)
    for size in (0.0, 1.0, 30.0):
        x = size * rng.standard_normal(problem.d)
        values, gradients = losses(problem, x), slopes(problem, x)
        assert problem.value(x) == pytest.approx(values.mean(), rel=1e-13)
        scale = np.abs(gradients).max() + 1
        np.testing.assert_allclose(problem.gradient(x), gradients.mean(axis=0), rtol=0, atol=1e-13 * scale)
        for i in range(0, problem.n, 3):
            assert problem.component_value(i, x) == pytest.approx(values[i], rel=1e-12, abs=1e-13)
            np.testing.assert_allclose(problem.sample_gradient(i, x), gradients[i], rtol=0, atol=1e-13 * scale)
        chosen = rng.integers(problem.n, size=5)
        weights = rng.uniform(0, 3, 5)
        batch = problem.minibatch_gradient(x, chosen, weights)
        np.testing.assert_allclose(batch, weights @ gradients[chosen] / problem.n, rtol=0, atol=1e-13 * scale)
        expected = weights @ values[chosen] / problem.n
        assert kernel.value(problem.data, x, chosen, weights, 5) == pytest.approx(expected, rel=1e-12)
        np.testing.assert_array_equal(problem.minibatch_gradient(x, [], []), np.zeros(problem.d))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_minimiser_and_constants(shape: tuple[str, float, int, int]) -> None:
    problem = make(*shape)
    A, _, reg = problem.data[:3]
    assert problem.minimiser is not None
    assert problem.convex_components
    np.testing.assert_array_equal(problem.start, np.zeros(problem.d))
    scale = np.abs(slopes(problem, problem.minimiser)).mean(axis=0) + np.abs(problem.gradient(problem.start))
    assert np.linalg.norm(problem.gradient(problem.minimiser)) <= 1e-14 * np.linalg.norm(scale)
    assert problem.gap(problem.minimiser) == 0
    spectrum = np.linalg.eigvalsh(A.T @ A / problem.n)
    if isinstance(problem, LeastSquaresProblem):
        positive = spectrum[spectrum > 1e-10]
        lowest = positive[0] if reg == 0 else spectrum[0] + reg
        assert problem.mu.value == pytest.approx(lowest, rel=1e-9)
        assert problem.mu.grade is Grade.EXACT
        assert problem.L.value == pytest.approx(spectrum[-1] + reg, rel=1e-13)
    else:
        assert problem.mu.value == reg
        assert problem.mu.grade is Grade.BOUND
        assert problem.L.value == pytest.approx(spectrum[-1] / 4 + reg, rel=1e-13)
    assert problem.L.grade is Grade.EXACT
    rng = np.random.default_rng(2)
    for size in (1e-3, 1.0, 10.0):
        x = problem.minimiser + size * rng.standard_normal(problem.d)
        y = x + 0.1 * rng.standard_normal(problem.d)
        step = problem.gradient(x) - problem.gradient(y)
        assert np.linalg.norm(step) <= problem.L.value * np.linalg.norm(x - y) * (1 + 1e-12)
        slope = problem.gradient(x)
        assert slope @ slope >= 2 * problem.mu.value * problem.gap(x) * (1 - 1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gap_in_high_precision(shape: tuple[str, float, int, int]) -> None:
    # f(x) - f(x*) - grad f(x*).(x - x*) in 60 digits: the gap of the problem whose minimiser is exactly x*.
    problem = make(*shape)
    A, b, reg, star = problem.data[:4]
    assert star is not None
    direction = np.random.default_rng(3).standard_normal(problem.d)
    with mpmath.workdps(60):

        def loss(inner: mpmath.mpf, target: float) -> mpmath.mpf:
            if isinstance(problem, LeastSquaresProblem):
                return (inner - target) ** 2 / 2
            return mpmath.log1p(mpmath.exp(-target * inner))

        def slope(inner: mpmath.mpf, target: float) -> mpmath.mpf:
            if isinstance(problem, LeastSquaresProblem):
                return inner - target
            return -target / (1 + mpmath.exp(target * inner))

        for size in (1e-9, 1e-4, 0.3, 10.0):
            x = star + size * direction
            move = [mpmath.mpf(p) - mpmath.mpf(q) for p, q in zip(x.tolist(), star.tolist(), strict=True)]
            total = mpmath.mpf(reg) / 2 * sum(p * p for p in move)
            for row, target in zip(A.tolist(), b.tolist(), strict=True):
                at_star = mpmath.fdot(row, star.tolist())
                delta = mpmath.fdot(row, move)
                rest = loss(at_star + delta, target) - loss(at_star, target) - slope(at_star, target) * delta
                total += rest / problem.n
            assert problem.gap(x) == pytest.approx(float(total), rel=2e-13)


def test_gap_is_the_difference_of_values() -> None:
    for shape in SHAPES:
        problem = make(*shape)
        assert problem.minimiser is not None
        x = problem.minimiser + 1.0
        assert problem.gap(x) == pytest.approx(problem.value(x) - problem.value(problem.minimiser), rel=1e-11)


def test_logistic_bregman() -> None:
    margins = [-40.0, -7.3, -1.0, -1e-3, 0.0, 1e-9, 0.5, 3.0, 12.0, 40.0]
    sizes = [1e-12, 1e-7, 1e-3, 0.2, 0.99, 0.999999, 1.0, 1.000001, 1.7, 8.0, 33.0, 50.0]
    with mpmath.workdps(80):
        for z in margins:
            for delta in [sign * size for size in sizes for sign in (-1, 1)]:
                s = 1 / (1 + mpmath.exp(z))
                exact = mpmath.log1p(s * mpmath.expm1(-mpmath.mpf(delta))) + s * delta
                assert logistic_bregman(z, delta) == pytest.approx(float(exact), rel=1e-13, abs=0), (z, delta)
    assert logistic_bregman(3.0, 0.0) == 0
    # Far out: the difference of the losses less the tangent, without overflow.
    assert logistic_bregman(900.0, -1800.0) == pytest.approx(900.0)
    assert logistic_bregman(-900.0, 1800.0) == pytest.approx(900.0)
    assert logistic_bregman(0.0, -1e6) == pytest.approx(5e5 - math.log(2))
    assert logistic_bregman(800.0, -700.0) == pytest.approx(math.exp(-100.0))


def test_logistic_loss_and_slope_do_not_overflow() -> None:
    for z in (-1e5, -800.0, -1.0, 0.0, 1.0, 40.0, 699.9, 700.1, 740.0, 1e5):
        with mpmath.workdps(40):
            tail = mpmath.exp(-mpmath.mpf(z))
            assert logistic_loss(z) == pytest.approx(float(mpmath.log1p(tail)), rel=1e-13, abs=1e-300)
            assert logistic_slope(z) == pytest.approx(float(tail / (1 + tail)), rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_component_gaps(shape: tuple[str, float, int, int]) -> None:
    problem = make(*shape)
    assert problem.minimiser is not None
    A, _, reg = problem.data[:3]
    gaps, grade = problem.component_gaps
    assert (gaps >= 0).all()
    assert gaps.shape == (problem.n,)
    squares = isinstance(problem, LeastSquaresProblem)
    assert grade is (Grade.EXACT if squares or reg == 0 else Grade.BOUND)
    for i in range(problem.n):
        # f_i depends on the multiple of a_i alone once x lies on the line through it.
        def along(t: float, i: int = i) -> float:
            return problem.component_value(i, t * A[i])

        lowest = 0.0
        if reg > 0:
            found = optimize.minimize_scalar(along, bracket=(-0.1, 0.1), options={"xtol": 1e-10})
            lowest = float(found.fun)
        expected = problem.component_value(i, problem.minimiser) - lowest
        assert gaps[i] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert gaps[i] >= expected - 1e-13 * (1 + losses(problem, problem.minimiser)[i])


def test_component_gaps_of_zero_rows_and_tiny_reg() -> None:
    A = np.array([[0.0, 0.0], [1.0, 2.0], [1e4, -1e4], [1.0, -2.0], [1.0, 0.3]])
    for reg in (0.0, 1e-8, 1e-2):
        squares = LeastSquaresProblem.from_arrays(A, [3.0, 1.0, 2.0, 0.5, 7.0], reg=reg)
        assert squares.minimiser is not None
        assert squares.component_gaps[0][0] == pytest.approx(reg / 2 * squares.minimiser @ squares.minimiser, rel=1e-12)
        logistic = LogisticProblem.from_arrays(A, [0, 1, 1, 0, 0], reg=reg)
        star = logistic.data.minimiser
        assert logistic.component_gaps[0][0] == pytest.approx(reg / 2 * star @ star, rel=1e-8, abs=1e-15)
        assert np.isfinite(logistic.component_gaps[0]).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_smoothness_of_weighted_sums(shape: tuple[str, float, int, int]) -> None:
    problem = make(*shape)
    A, _, reg = problem.data[:3]
    factor = 1.0 if isinstance(problem, LeastSquaresProblem) else 0.25
    smoothness, grade = problem.component_smoothness
    np.testing.assert_allclose(smoothness, factor * (A**2).sum(axis=1) + reg, rtol=1e-14)
    assert grade is Grade.EXACT
    rng = np.random.default_rng(4)
    for weights in (np.ones(problem.n), rng.exponential(size=problem.n), np.eye(problem.n)[0] * problem.n):
        matrix = factor * (A.T * weights) @ A / problem.n + reg * weights.mean() * np.eye(problem.d)
        found = problem.weighted_smoothness(weights)
        assert found.value == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-12)
    assert problem.weighted_smoothness(np.ones(problem.n)).value == pytest.approx(problem.L.value, rel=1e-13)
    assert problem.weighted_smoothness(np.zeros(problem.n)).value == 0


def test_quadratic_components_of_least_squares() -> None:
    problem = make("squares", 0.2, 12, 3)
    pair = problem.quadratic_components()
    assert pair is not None
    assert problem.minimiser is not None
    H, g = pair
    x = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(H @ (x - problem.minimiser) + g, slopes(problem, x), rtol=1e-12, atol=1e-13)
    assert make("squares", 0.0, 4, 9).quadratic_components() is None
    assert make("logistic", 0.2, 12, 3).quadratic_components() is None


SPECS = {
    "least-squares:data=diabetes,scale=none": (442, 10),
    "least-squares:data=digits,scale=columns": (1797, 64),
    "ridge:data=diabetes,reg=0.1,scale=none": (442, 10),
    "ridge:data=breast_cancer,reg=1e-05,scale=columns": (569, 30),
    "logistic:data=breast_cancer,reg=0.01,scale=rows": (569, 30),
    "logistic:data=breast_cancer,reg=0,scale=columns": (569, 30),
    "logistic:data=breast_cancer,reg=0.123456789,scale=none": (569, 30),
    "logistic:data=digits,reg=0.01,scale=rows,positive=0": (1797, 64),
}


@pytest.mark.parametrize("spec", SPECS)
def test_bundled_problems(spec: str) -> None:
    problem = problems.build(spec)
    assert problem.name == spec
    assert (problem.n, problem.d) == SPECS[spec]
    assert problem.minimiser is not None
    A = problem.data.A
    gradients = slopes(problem, problem.minimiser)
    # One ulp of the largest term of the sum, and of the inner products behind it.
    inner = np.abs(A) @ np.abs(problem.minimiser)
    factor = 1.0 if isinstance(problem, LeastSquaresProblem) else 0.25
    scale = np.linalg.norm(np.abs(gradients).mean(axis=0) + np.abs(A).T @ (factor * inner) / problem.n)
    assert np.linalg.norm(problem.gradient(problem.minimiser)) <= 2e-15 * scale
    drop = problem.value(problem.start) - problem.value(problem.minimiser)
    assert problem.gap(problem.start) == pytest.approx(drop, rel=1e-9)
    assert any("samples" in remark for remark in problem.remarks)


def test_bundled_logistic_against_scipy() -> None:
    problem = problems.build("logistic:data=breast_cancer,reg=0.1,scale=columns")

    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(losses(problem, x).mean()), slopes(problem, x).mean(axis=0)

    found = optimize.minimize(
        both, np.zeros(problem.d), jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 1e-16}
    )
    assert problem.minimiser is not None
    np.testing.assert_allclose(found.x, problem.minimiser, atol=1e-5)
    assert problem.value(problem.minimiser) <= found.fun + 1e-15


def test_scale_is_applied_once_and_shown() -> None:
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((12, 3)) * [1, 10, 100], rng.standard_normal(12)
    rows = LeastSquaresProblem.from_arrays(A, b, scale="rows")
    np.testing.assert_allclose(rows.component_smoothness[0], 1, rtol=1e-14)
    assert "scale=rows" in rows.name
    assert "n=12" in rows.name
    columns = LogisticProblem.from_arrays(A, b > 0, reg=0.1, scale="columns", name="mine")
    np.testing.assert_allclose(columns.data.A.std(axis=0), 1, rtol=1e-14)
    assert columns.name == "mine (scale=columns)"
    assert LeastSquaresProblem.from_arrays(A, b, name="mine").name == "mine"
    bundled = problems.build("ridge:data=diabetes,reg=1,scale=columns")
    np.testing.assert_allclose(np.trace(bundled.data.A.T @ bundled.data.A) / bundled.n, bundled.d, rtol=1e-12)


def test_rank_deficient_least_squares() -> None:
    rng = np.random.default_rng(6)
    A = rng.standard_normal((15, 3)) @ rng.standard_normal((3, 8))
    b = rng.standard_normal(15)
    problem = LeastSquaresProblem.from_arrays(A, b)
    expected = np.linalg.lstsq(A, b, rcond=None)[0]
    assert problem.minimiser is not None
    np.testing.assert_allclose(problem.minimiser, expected, rtol=1e-11, atol=1e-13)
    spectrum = np.linalg.eigvalsh(A.T @ A / 15)
    assert problem.mu.value == pytest.approx(spectrum[-3], rel=1e-10)
    assert problem.mu.grade is Grade.EXACT
    # Descent from the origin stays in the row space and contracts at the rate of that eigenvalue.
    x, gamma = problem.start, 1 / problem.L.value
    for _ in range(50):
        new = x - gamma * problem.gradient(x)
        assert problem.gap(new) <= (1 - gamma * problem.mu.value) ** 2 * problem.gap(x) * (1 + 1e-9)
        x = new


def test_separable_logistic() -> None:
    rng = np.random.default_rng(7)
    A = rng.standard_normal((30, 4))
    problem = LogisticProblem.from_arrays(A, A @ [1.0, 2.0, 3.0, 4.0] > 0)
    assert problem.minimiser is None
    assert problem.mu.value == 0
    assert any("f* = 0" in remark for remark in problem.remarks)
    for x in (problem.start, rng.standard_normal(4), 50 * np.array([1.0, 2.0, 3.0, 4.0])):
        assert problem.gap(x) == pytest.approx(problem.value(x), rel=1e-13)
    np.testing.assert_array_equal(problem.component_gaps[0], 0)


def test_partly_separable_logistic() -> None:
    # The first two columns overlap; the third occurs in one class only and separates its four rows.
    rng = np.random.default_rng(8)
    A = np.column_stack([rng.standard_normal((40, 2)), np.zeros(40)])
    b = np.sign(rng.standard_normal(40))
    A[:4, 2], b[:4] = 1.0, 1.0
    A[39] = 0.0
    problem = LogisticProblem.from_arrays(A, b)
    assert problem.minimiser is None
    assert any("4 of 40" in remark for remark in problem.remarks)
    kept = np.arange(40) >= 4
    rest = LogisticProblem.from_arrays(A[kept], b[kept])
    assert rest.minimiser is not None
    lowest = rest.value(rest.minimiser) * 36 / 40
    for x in (np.zeros(3), rng.standard_normal(3), np.array([0.1, -0.2, 9.0])):
        assert problem.gap(x) == pytest.approx(problem.value(x) - lowest, rel=1e-11)
    far = rest.minimiser + np.array([0.0, 0.0, 60.0])
    assert 0 < problem.gap(far) < 1e-20
    assert problem.component_gaps[0].mean() == pytest.approx(lowest - math.log(2) / 40, rel=1e-12)


def test_small_and_repeated_data() -> None:
    one = LeastSquaresProblem.from_arrays([[2.0]], [3.0])
    assert (one.L.value, one.mu.value) == (4.0, 4.0)
    assert one.data.minimiser[0] == pytest.approx(1.5, rel=1e-15)
    wide = LeastSquaresProblem.from_arrays([[3.0, 4.0]], [5.0])
    assert wide.L.value == pytest.approx(25)
    assert wide.mu.value == pytest.approx(25)
    equal = LeastSquaresProblem.from_arrays([[1.0, 2.0]] * 6, [1.0, 2, 3, 4, 5, 6])
    assert equal.mu.value == pytest.approx(5)
    assert equal.L.value == pytest.approx(5)
    assert np.linalg.norm(equal.gradient(equal.data.minimiser)) < 1e-14
    flat = LeastSquaresProblem.from_arrays([[1.0, 2.0]] * 6, [1.0, 2, 3, 4, 5, 6], reg=0.5, scale="columns")
    assert (flat.L.value, flat.mu.value, flat.gap(flat.start)) == (0.5, 0.5, 0.0)
    repeated = LogisticProblem.from_arrays([[1.0, 2.0]] * 6, [0, 0, 1, 1, 1, 1])
    assert repeated.minimiser is not None
    assert repeated.minimiser @ [1, 2] == pytest.approx(math.log(2), rel=1e-13)
    single = LogisticProblem.from_arrays([[2.0]], [-1.0])
    assert single.gap([0.0]) == pytest.approx(math.log(2))
    assert single.minimiser is None
    assert LogisticProblem.from_arrays([[2.0]], [1.0], reg=0.1).minimiser is not None
    words = LogisticProblem.from_arrays([[1.0], [2.0], [4.0]], ["no", "yes", "no"])
    np.testing.assert_array_equal(words.data.b, [-1, 1, -1])


def test_bad_arrays() -> None:
    A = np.ones((2, 2))
    cases: list[tuple[Any, list[float], float, str, str]] = [
        (LeastSquaresProblem, [1.0, 2.0], -1.0, "none", "reg"),
        (LogisticProblem, [1.0, 2.0], math.nan, "none", "reg"),
        (LeastSquaresProblem, [1.0], 0.0, "none", "b must have shape"),
        (LogisticProblem, [1.0], 0.0, "none", "b must have shape"),
        (LogisticProblem, [1.0, math.nan], 0.0, "none", "b holds NaN"),
        (LogisticProblem, [1.0, 1.0], 0.0, "none", "one label 1"),
        (LeastSquaresProblem, [1.0, 2.0], 0.0, "cells", "scale"),
        (LeastSquaresProblem, [1.0, 2.0], 0.0, "columns", "zero or too small"),
        (LogisticProblem, [1.0, 2.0], 0.0, "columns", "zero or too small"),
    ]
    for cls, b, reg, scale, part in cases:
        with pytest.raises(InputError, match=part):
            cls.from_arrays(A, b, reg=reg, scale=scale)
    with pytest.raises(InputError, match="3 labels"):
        LogisticProblem.from_arrays(np.ones((3, 1)), [1, 2, 3])


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e-150, 1e100, 1e153, 1e160, 1e300])
def test_extreme_sizes_end_in_a_problem_or_a_sentence(size: float) -> None:
    rng = np.random.default_rng(9)
    A, b = size * rng.standard_normal((6, 2)), rng.standard_normal(6)
    for reg in (0.0, 0.1, 1e308):
        for cls in (LeastSquaresProblem, LogisticProblem):
            for targets in (b, size * b) if cls is LeastSquaresProblem else (b > 0,):
                try:
                    problem = cls.from_arrays(A, targets, reg=reg)
                except InputError:
                    continue
                assert 0 < problem.L.value < math.inf
                assert math.isfinite(problem.gap(problem.start))
                assert np.isfinite(problem.component_gaps[0]).all()
