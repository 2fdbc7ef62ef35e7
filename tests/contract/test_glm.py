"""Generalised linear models: kernels, minimisers, gaps and constants against independent computations."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import optimize, special

from experiments.engine.run import simulate
from problems import kernel, mapped
from problems.errors import InputError
from problems.glm import LeastSquaresProblem, LogisticProblem, logistic_bregman, logistic_loss, logistic_slope
from problems.mapped import MappedLeastSquares, MappedLogistic
from problems.problem import Grade, Problem, problems
from theory.methods.method import methods
from theory.samplings import samplings
from theory.setting import make_setting


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


# -- features that stay on disk --


def on_disk(folder: Path, problem: Problem) -> Problem:
    """The same problem from two files."""
    np.save(folder / "A.npy", problem.data.A)
    np.save(folder / "b.npy", problem.data.b)
    word = "logistic" if isinstance(problem, LogisticProblem) else "ridge"
    found = problems.build(f"{word}:file={folder / 'A.npy'},b={folder / 'b.npy'},reg={problem.data.reg!r}")
    assert isinstance(found, MappedLeastSquares | MappedLogistic)
    return found


MAPPED = [("squares", 0.0, 400, 6), ("squares", 0.3, 400, 6), ("squares", 0.2, 5, 9), ("logistic", 0.05, 400, 6)]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks of a few rows, the last one shorter."""
    monkeypatch.setattr(mapped, "BLOCK", 100)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", MAPPED, ids=str)
def test_constants_of_mapped_data(shape: tuple[str, float, int, int], tmp_path: Path) -> None:
    whole = make(*shape)
    found = on_disk(tmp_path, whole)
    assert (found.n, found.d) == (whole.n, whole.d)
    assert problems.build(found.name).name == found.name
    assert found.L.value == pytest.approx(whole.L.value, rel=1e-13)
    assert found.mu.value == pytest.approx(whole.mu.value, rel=1e-10)
    assert found.mu.grade is whole.mu.grade
    assert found.minimiser is not None
    assert whole.minimiser is not None
    # Both are at the rounding of the gradient, which mu divides.
    np.testing.assert_allclose(found.minimiser, whole.minimiser, rtol=0, atol=1e-13 / whole.mu.value)
    terms = np.abs(slopes(whole, whole.minimiser)).mean(axis=0) + np.abs(whole.gradient(whole.start))
    scale = float(np.linalg.norm(terms))
    assert np.linalg.norm(whole.gradient(found.minimiser)) <= 1e-14 * scale
    np.testing.assert_array_equal(found.component_smoothness[0], whole.component_smoothness[0])
    assert found.component_gaps[1] is whole.component_gaps[1]
    np.testing.assert_allclose(found.component_gaps[0], whole.component_gaps[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.spectrum, whole.spectrum, rtol=1e-9)
    # Central differences, where the class knows no better.
    np.testing.assert_allclose(found.hessian(found.start), whole.hessian(whole.start), rtol=1e-8, atol=1e-9)
    assert found.strong_convexity == pytest.approx(whole.strong_convexity, rel=1e-10)
    rng = np.random.default_rng(3)
    weights = rng.exponential(size=whole.n) * (rng.random(whole.n) < 0.5)
    assert found.weighted_smoothness(weights).value == pytest.approx(
        whole.weighted_smoothness(weights).value, rel=1e-12
    )
    for x in (whole.start, rng.standard_normal(whole.d), 50 * rng.standard_normal(whole.d), whole.minimiser + 1e-5):
        # Near x*, by the other minimiser.
        assert found.gap(x) == pytest.approx(whole.gap(x), rel=1e-8)
        assert found.value(x) == pytest.approx(whole.value(x), rel=1e-13)
        atol = 1e-13 * (scale + whole.L.value * float(np.linalg.norm(x)))
        np.testing.assert_allclose(found.gradient(x), whole.gradient(x), rtol=0, atol=atol)
    assert found.quadratic_components() is None


@pytest.mark.usefixtures("small_blocks")
def test_mu_of_ill_conditioned_mapped_data(tmp_path: Path) -> None:
    """mu stays a lower bound where A'A has lost digits of it, and the minimiser is refined all the same."""
    rng = np.random.default_rng(5)
    for size, grade in ((1e-2, Grade.EXACT), (3e-5, Grade.BOUND)):
        A = rng.standard_normal((300, 4)) * np.array([1.0, 1.0, 1.0, size])
        whole = LeastSquaresProblem.from_arrays(A, A @ np.ones(4) + rng.standard_normal(300))
        found = on_disk(tmp_path, whole)
        assert found.mu.grade is grade
        assert found.mu.value <= whole.mu.value * (1 + 1e-6)
        assert found.mu.value >= 0.9 * whole.mu.value
        assert found.minimiser is not None
        assert np.linalg.norm(whole.gradient(found.minimiser)) <= 1e-14 * np.linalg.norm(whole.gradient(whole.start))


def test_minimiser_of_mapped_data_is_refined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An A'A that is good to single precision only gives the same minimiser."""
    whole = make("squares", 0.1, 400, 6)
    summary = mapped.summary

    def coarse(A: np.ndarray, b: np.ndarray, name: str) -> mapped.Summary:
        found = summary(A, b, name)
        return found._replace(gram=found.gram.astype(np.float32).astype(np.float64))

    monkeypatch.setattr(mapped, "summary", coarse)
    found = on_disk(tmp_path, whole)
    assert found.minimiser is not None
    assert whole.minimiser is not None
    np.testing.assert_allclose(found.minimiser, whole.minimiser, rtol=0, atol=1e-13 / whole.mu.value)


@pytest.mark.parametrize("word", ["squares", "logistic"])
@pytest.mark.parametrize("method", ["sgd", "sam"])
def test_runs_on_mapped_data_are_the_same(word: str, method: str, tmp_path: Path) -> None:
    """Bit for bit; the gap is about a minimiser that was computed in another order."""
    whole = make(word, 0.1, 200, 5)
    found = on_disk(tmp_path, whole)
    runs = [
        simulate(
            make_setting(
                each, sampling=samplings.build("uniform", problem=each), method=methods.build(method), gamma=0.01,
                rho=0.05 if method == "sam" else 0.0, x0=np.ones(5),
            ),
            steps=500, replicates=3, seed=4,
        )
        for each in (whole, found)
    ]  # fmt: skip
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    np.testing.assert_array_equal(runs[0].sums, runs[1].sums)
    np.testing.assert_allclose(runs[0].gap, runs[1].gap, rtol=1e-9)


@pytest.mark.parametrize("word", ["ridge", "logistic"])
def test_mapped_data_stay_on_disk(word: str, tmp_path: Path) -> None:
    """Of 40 MB, no step of construction holds more than a fifth, the vectors over n rows and a block of 4 MiB."""
    n, d = 100_000, 50
    rng = np.random.default_rng(6)
    A = np.lib.format.open_memmap(tmp_path / "A.npy", mode="w+", dtype=np.float64, shape=(n, d))
    for first in range(0, n, 10_000):
        A[first : first + 10_000] = rng.standard_normal((10_000, d))
    np.save(tmp_path / "b.npy", np.sign(A[:, 0] + rng.standard_normal(n)))
    A.flush()
    spec = f"{word}:file={tmp_path / 'A.npy'},b={tmp_path / 'b.npy'},reg=0.1"
    tracemalloc.start()
    try:
        problem = problems.build(spec)
        assert problem.component_gaps[0].shape == (n,)
        assert problem.weighted_smoothness(np.ones(n)).value == pytest.approx(problem.L.value, rel=1e-12)
        x = np.ones(d)
        assert problem.gap(x) == pytest.approx(problem.value(x) - problem.value(problem.centre), rel=1e-9)
        problem.gradient(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * n * d / 2
    assert peak < 14 * 8 * n + 2 * 8 * mapped.BLOCK
