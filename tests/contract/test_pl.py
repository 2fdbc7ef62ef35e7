"""The non-convex PL functions: their gradients, and constants that are certified rather than sampled."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from problems.errors import InputError
from problems.kernel import gradient
from problems.pl import LARGEST_WAVE, PLSine, certified_pl_constant
from problems.problem import Grade, Matrix, Vector, problems

WAVES = (0.0, 0.5, 1.0, 3.0, 4.5, 4.6)
MAPS: dict[str, dict[str, Any]] = {
    "separable": {"map": "separable"},
    "rotated": {"map": "rotated"},
    "linear": {"map": "linear", "cond": 5.0},
    "wide": {"map": "linear", "cond": 4.0, "rows": 3},
}
NOISES: dict[str, dict[str, Any]] = {
    "none": {"noise": "none"},
    "copies": {"noise": "none", "n": 3},
    "multiplicative": {"noise": "multiplicative", "n": 5, "level": 0.7},
    "additive": {"noise": "additive", "n": 6, "level": 2.0},
}
SPECS = [
    f"pl-sine:d=5,a=3{shape}{noise}"
    for shape in ("", ",map=rotated", ",map=linear,cond=5", ",map=linear,cond=4,rows=3")
    for noise in ("", ",n=3", ",n=5,noise=multiplicative,level=0.7", ",n=6,noise=additive,level=2")
]
reproducible = settings(derandomize=True, deadline=None, max_examples=60)


def dense(problem: PLSine) -> Matrix:
    M: Matrix = np.eye(problem.d) if problem.data.separable else problem.data.M
    return M


def built(spec: str) -> PLSine:
    problem = problems.build(spec)
    assert isinstance(problem, PLSine)
    return problem


def plain_value(problem: PLSine, x: Vector) -> float:
    u = dense(problem) @ x
    return float((u**2 + problem.data.a * np.sin(u) ** 2).sum())


def plain_gradient(problem: PLSine, x: Vector) -> Vector:
    M = dense(problem)
    u = M @ x
    g: Vector = M.T @ (2 * u + problem.data.a * np.sin(2 * u))
    return g


def true_pl_constant(a: float) -> Any:
    """inf h'^2/(2h) to 30 digits: a dense scan, then the stationary point of the ratio beside the best node."""
    u = np.linspace(1e-2, 60, 1_200_001)
    ratio = (2 * u + a * np.sin(2 * u)) ** 2 / (2 * (u**2 + a * np.sin(u) ** 2))
    with mpmath.workdps(30):

        def exact_ratio(v: Any) -> Any:
            return (2 * v + a * mpmath.sin(2 * v)) ** 2 / (2 * (v**2 + a * mpmath.sin(v) ** 2))

        best = mpmath.findroot(lambda v: mpmath.diff(exact_ratio, v), mpmath.mpf(u[ratio.argmin()]))
        found = exact_ratio(best)
    assert found <= ratio.min() * (1 + 1e-9)
    return found


# -- the certificate --


@pytest.mark.parametrize("a", [a for a in (*WAVES, 1e-6, 2.0, 4.0, LARGEST_WAVE) if a > 0])
def test_certified_constant_is_below_the_infimum_and_within_a_millionth(a: float) -> None:
    true = true_pl_constant(a)
    assert true * (1 - 1e-6) <= certified_pl_constant(a) <= true


def test_certified_constant_without_wave_is_two() -> None:
    assert certified_pl_constant(0.0) == 2.0


def test_three_has_at_least_the_constant_of_the_literature() -> None:
    assert certified_pl_constant(3.0) > 1 / 32


def test_certificate_takes_milliseconds() -> None:
    certified_pl_constant.__wrapped__(2.5)
    start = time.perf_counter()
    certified_pl_constant.__wrapped__(4.55)
    assert time.perf_counter() - start < 0.05


@pytest.mark.parametrize("a", [a for a in WAVES if a > 0])
def test_a_slightly_larger_constant_is_refuted_by_a_point(a: float) -> None:
    problem = PLSine.with_map(d=1, a=a)
    u = minimize_ratio(a)
    g, f = problem.gradient([u])[0], problem.gap([u])
    assert g**2 >= 2 * problem.mu.value * f
    assert g**2 < 2 * problem.mu.value * (1 + 1e-5) * f


def minimize_ratio(a: float) -> float:
    low, high = 1.5, 3.0
    for _ in range(12):
        u = np.linspace(low, high, 1001)
        ratio = (2 * u + a * np.sin(2 * u)) ** 2 / (u**2 + a * np.sin(u) ** 2)
        best = u[ratio.argmin()]
        low, high = best - (high - low) / 100, best + (high - low) / 100
    return float(best)


@given(a=st.floats(1e-3, LARGEST_WAVE), u=st.floats(1e-6, 1e3))
@reproducible
def test_certified_constant_holds_at_any_height_and_point(a: float, u: float) -> None:
    h, slope = u * u + a * math.sin(u) ** 2, 2 * u + a * math.sin(2 * u)
    # Near a = 4.603 the slope is a difference of numbers near 5 that leaves 1e-4: 1e-15 absolute is 1e-10 of it.
    assert slope**2 >= 2 * certified_pl_constant(a) * h * (1 - 1e-9)


# -- constants of the problems --


@pytest.mark.parametrize("shape", MAPS)
@given(
    a=st.sampled_from(WAVES),
    seed=st.integers(0, 3),
    x=st.lists(st.floats(-30, 30), min_size=5, max_size=5),
    scale=st.sampled_from((1e-4, 1.0)),
)
@reproducible
def test_pl_inequality(shape: str, a: float, seed: int, x: list[float], scale: float) -> None:
    problem = PLSine.with_map(d=5, a=a, seed=seed, **MAPS[shape])
    g, f = problem.gradient(scale * np.array(x)), problem.gap(scale * np.array(x))
    assert g @ g >= 2 * problem.mu.value * f * (1 - 1e-9)


@pytest.mark.parametrize("shape", MAPS)
@given(
    a=st.sampled_from(WAVES),
    x=st.lists(st.floats(-30, 30), min_size=5, max_size=5),
    z=st.lists(st.floats(-1, 1), min_size=5, max_size=5),
    scale=st.sampled_from((1e-3, 1.0)),
)
@reproducible
def test_smoothness_is_never_exceeded(shape: str, a: float, x: list[float], z: list[float], scale: float) -> None:
    problem = PLSine.with_map(d=5, a=a, **MAPS[shape])
    point, move = np.array(x), scale * np.array(z)
    difference = np.linalg.norm(problem.gradient(point + move) - problem.gradient(point))
    # The two gradients have size up to 2 L ||x|| and a few roundings each.
    assert difference <= problem.L.value * (np.linalg.norm(move) + 1e-14 * np.linalg.norm(point) + 1e-14)


@pytest.mark.parametrize("a", WAVES)
@pytest.mark.parametrize("shape", MAPS)
def test_smoothness_is_attained_at_the_origin(shape: str, a: float) -> None:
    problem = PLSine.with_map(d=5, a=a, **MAPS[shape])
    _, _, rows = np.linalg.svd(dense(problem))
    step = 1e-5 * rows[0]
    difference = np.linalg.norm(problem.gradient(step) - problem.gradient(-step)) / 2e-5
    # sin(2u)/(2u) falls short of 1 by (2u)^2/6 = 7e-11.
    assert difference == pytest.approx(problem.L.value, rel=1e-9)


def test_constants_of_each_map() -> None:
    mu = certified_pl_constant(3.0)
    plain = PLSine.with_map(d=6, a=3)
    rotated = PLSine.with_map(d=6, a=3, map="rotated")
    linear = PLSine.with_map(d=6, a=3, map="linear", cond=20, rows=4)
    assert (plain.L.value, plain.mu.value) == (8.0, mu)
    assert rotated.L.value == pytest.approx(8.0, rel=1e-14)
    assert linear.L.value == pytest.approx(8.0, rel=1e-13)
    assert mu * (1 - 1e-12) < rotated.mu.value <= mu
    assert mu / 400 * (1 - 1e-11) < linear.mu.value <= mu / 400
    assert dense(linear).shape == (4, 6)
    assert {p.mu.grade for p in (plain, rotated, linear)} == {Grade.BOUND}
    assert {p.L.grade for p in (plain, rotated, linear)} == {Grade.EXACT}


def test_without_wave_it_is_a_quadratic_with_exact_constants() -> None:
    problem = PLSine.with_map(d=4, a=0, map="linear", cond=3)
    hessian = 2 * problem.data.M.T @ problem.data.M
    eigenvalues = np.linalg.eigvalsh(hessian)
    assert problem.mu.grade is Grade.EXACT
    assert problem.mu.value == pytest.approx(eigenvalues[0], rel=1e-13)
    assert problem.L.value == pytest.approx(eigenvalues[-1], rel=1e-13)
    assert PLSine.with_map(a=0).mu.value == PLSine.with_map(a=0).L.value == 2.0


@pytest.mark.parametrize(("a", "convex"), [(0.0, True), (1.0, True), (1.01, False), (3.0, False)])
def test_convexity(a: float, convex: bool) -> None:
    assert PLSine.with_map(a=a).convex_components is convex
    u = np.linspace(-4, 4, 4001)
    # h'' = 2 + 2a cos 2u, up to its rounding
    assert bool((2 + 2 * a * np.cos(2 * u) >= -1e-12).all()) is convex


# -- values, gradients and noise --


@pytest.mark.parametrize("spec", SPECS)
def test_kernels_agree_with_vectorised_formulas(spec: str) -> None:
    problem = built(spec)
    s, c = problem.affine_noise()
    rng = np.random.default_rng(1)
    for _ in range(5):
        x = 4 * rng.standard_normal(problem.d)
        f, g = plain_value(problem, x), plain_gradient(problem, x)
        assert problem.gap(x) == pytest.approx(f, rel=1e-13)
        assert problem.value(x) == pytest.approx(f, rel=1e-13)
        np.testing.assert_allclose(problem.gradient(x), g, rtol=0, atol=1e-13 * np.abs(g).max())
        for i in range(problem.n):
            assert problem.component_value(i, x) == pytest.approx(s[i] * f + c[i] @ x, rel=1e-12)
            expected = s[i] * g + c[i]
            np.testing.assert_allclose(problem.sample_gradient(i, x), expected, rtol=0, atol=1e-12)
        chosen, weights = [0, problem.n - 1, 0], [0.5, 2.0, 1.25]
        expected = sum(w * (s[i] * g + c[i]) for i, w in zip(chosen, weights, strict=True)) / problem.n
        np.testing.assert_allclose(problem.minibatch_gradient(x, chosen, weights), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_is_the_derivative_of_the_value(spec: str) -> None:
    problem = built(spec)
    x = np.random.default_rng(2).standard_normal(problem.d)
    for j in range(problem.d):
        e = 1e-6 * np.eye(problem.d)[j]
        for i in range(problem.n):
            slope = (problem.component_value(i, x + e) - problem.component_value(i, x - e)) / 2e-6
            assert problem.sample_gradient(i, x)[j] == pytest.approx(slope, abs=1e-7)


def test_an_empty_batch_gives_zero() -> None:
    problem = PLSine.with_map(d=3, map="rotated", noise="additive")
    assert not problem.minibatch_gradient(problem.start, [], []).any()


def test_the_gap_vanishes_only_at_the_minimiser_and_keeps_its_digits_near_it() -> None:
    problem = PLSine.with_map(d=3, a=3)
    assert problem.minimiser is not None
    assert problem.gap(problem.minimiser) == 0
    assert not problem.gradient(problem.minimiser).any()
    assert problem.gap([1e-100, 0, 0]) == pytest.approx(4e-200, rel=1e-14)


def test_a_diverged_point_stays_infinite_and_does_not_raise() -> None:
    problem = PLSine.with_map(d=2)
    out = np.empty(2)
    gradient(problem.data, np.array([np.inf, 1e301]), np.array([0]), np.array([1.0]), 1, out)
    assert out.tolist() == [math.inf, 2e301]


@pytest.mark.parametrize("n", [2, 5, 8])
@pytest.mark.parametrize("shape", MAPS)
def test_noise_has_the_stated_moments(shape: str, n: int) -> None:
    multiplicative = PLSine.with_map(d=5, n=n, noise="multiplicative", level=0.9, **MAPS[shape])
    s, c = multiplicative.affine_noise()
    assert s.min() >= 0
    assert s.mean() == pytest.approx(1, abs=1e-15)
    assert s.var() == pytest.approx(0.81, rel=1e-13)
    assert not c.any()
    additive = PLSine.with_map(d=5, n=n, noise="additive", level=0.3, **MAPS[shape])
    s, c = additive.affine_noise()
    assert (s == 1).all()
    assert np.abs(c.mean(axis=0)).max() < 1e-16
    assert (c**2).sum() / n == pytest.approx(0.09, rel=1e-13)
    x = additive.start
    for problem in (multiplicative, additive):
        mean = np.mean([problem.sample_gradient(i, x) for i in range(n)], axis=0)
        np.testing.assert_allclose(mean, plain_gradient(problem, x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("spec", SPECS)
def test_component_constants(spec: str) -> None:
    problem = built(spec)
    s, _ = problem.affine_noise()
    smoothness, grade = problem.component_smoothness
    np.testing.assert_allclose(smoothness, s * problem.L.value)
    assert grade is Grade.EXACT
    weights = np.linspace(0.5, 2.0, problem.n)
    weighted = problem.weighted_smoothness(weights)
    assert weighted.value == pytest.approx((weights @ s) / problem.n * problem.L.value)
    assert weighted.value <= weights @ smoothness / problem.n * (1 + 1e-14)


@pytest.mark.parametrize("a", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("shape", MAPS)
def test_component_gaps_bound_what_minimisation_finds(shape: str, a: float) -> None:
    problem = PLSine.with_map(d=5, a=a, n=3, noise="additive", level=3.0, seed=2, **MAPS[shape])
    gaps, grade = problem.component_gaps
    assert grade is (Grade.EXACT if a == 0 else Grade.BOUND)
    rng = np.random.default_rng(0)
    for i in range(problem.n):
        value, slope = partial(problem.component_value, i), partial(problem.sample_gradient, i)
        lowest = min(minimize(value, start, jac=slope).fun for start in 3 * rng.standard_normal((6, problem.d)))
        # The optimiser stops at a gradient of 1e-5, which is worth 1e-10/(2 mu) in value.
        assert 0 < -lowest <= gaps[i] * (1 + 1e-12)
        if a == 0:
            assert -lowest == pytest.approx(gaps[i], rel=1e-6)


@pytest.mark.parametrize("noise", ["none", "copies", "multiplicative"])
def test_component_gaps_are_zero_without_shifts(noise: str) -> None:
    problem = PLSine.with_map(d=4, **NOISES[noise])
    gaps, grade = problem.component_gaps
    assert not gaps.any()
    assert grade is Grade.EXACT
    assert len(gaps) == problem.n


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("shape", MAPS)
def test_gradients_at_the_minimiser_are_the_shifts(shape: str, noise: str) -> None:
    problem = PLSine.with_map(d=5, **MAPS[shape], **NOISES[noise])
    s, c = problem.affine_noise()
    assert s.shape == (problem.n,)
    assert c.shape == (problem.n, problem.d)
    for i in range(problem.n):
        np.testing.assert_array_equal(problem.sample_gradient(i, np.zeros(5)), c[i])


# -- SPECs and input --


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pl-sine", "pl-sine:d=10,a=3,n=1,map=separable,noise=none,seed=0"),
        ("pl-sine:map=linear,d=4", "pl-sine:d=4,a=3,n=1,map=linear,rows=4,cond=10,noise=none,seed=0"),
        (
            "pl-sine:a=1.23456789,noise=multiplicative,seed=7",
            "pl-sine:d=10,a=1.23456789,n=10,map=separable,noise=multiplicative,level=0.5,seed=7",
        ),
    ],
)
def test_name_is_the_full_spec(text: str, name: str) -> None:
    problem = built(text)
    assert problem.name == name


@pytest.mark.parametrize("spec", SPECS)
def test_name_rebuilds_the_problem(spec: str) -> None:
    problem = built(spec)
    again = built(problem.name)
    assert again.name == problem.name
    np.testing.assert_array_equal(again.start, problem.start)
    for one, two in zip(again.data, problem.data, strict=True):
        np.testing.assert_array_equal(one, two)
        if isinstance(one, np.ndarray):
            assert one.dtype == np.float64
            assert one.flags.c_contiguous
            assert one.flags.writeable


def test_start_is_three_normals_the_same_for_every_map_and_noise() -> None:
    every = [{**shape, **noise} for shape in MAPS.values() for noise in NOISES.values()]
    starts = [PLSine.with_map(d=5, seed=4, **setting).start for setting in every]
    assert all((start == starts[0]).all() for start in starts)
    assert 2.8 < np.linalg.norm(PLSine.with_map(d=10_000).start) / 100 < 3.2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"a": -0.1}, "a must lie in"),
        ({"a": 4.7}, "4.603"),
        ({"a": math.nan}, "a must lie in"),
        ({"d": 0}, "d must be"),
        ({"seed": -1}, "seed must be"),
        ({"n": 0}, "n must be"),
        ({"map": "affine"}, "map must be one of"),
        ({"noise": "gaussian"}, "noise must be one of"),
        ({"cond": 3.0}, "cond belongs to map=linear"),
        ({"map": "rotated", "rows": 3}, "rows belongs to map=linear"),
        ({"map": "linear", "cond": 0.5}, "cond must lie in"),
        ({"map": "linear", "cond": 1e9}, "cond must lie in"),
        ({"map": "linear", "rows": 11}, "rows must be at most d = 10"),
        ({"map": "linear", "rows": 0}, "rows must be"),
        ({"map": "linear", "rows": 1, "cond": 2.0}, "cond must be 1"),
        ({"level": 0.5}, "level must be 0"),
        ({"noise": "additive", "n": 1}, "n must be a whole number >= 2"),
        ({"noise": "additive", "level": -1.0}, "level must be"),
        ({"noise": "multiplicative", "level": 1.01}, "level must be at most 1 "),
        ({"noise": "multiplicative", "n": 3, "level": 1.5}, "level must be at most 1.41421"),
        ({"map": "rotated", "d": 10**7}, "GiB"),
    ],
)
def test_bad_input_is_named_in_one_sentence(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        PLSine.with_map(**arguments)
    assert "\n" not in str(error.value)


def test_certificate_refuses_functions_that_are_not_pl() -> None:
    with pytest.raises(InputError, match=r"4\.603"):
        certified_pl_constant(4.6034)


def test_beyond_the_limit_there_is_another_stationary_point() -> None:
    # h'(u) = 0 with h > 0, the reason for the refusal.
    u = np.linspace(1, 4, 100_001)
    assert ((2 * u + 4.604 * np.sin(2 * u)) < 0).any()
    assert not ((2 * u + LARGEST_WAVE * np.sin(2 * u)) <= 0).any()
