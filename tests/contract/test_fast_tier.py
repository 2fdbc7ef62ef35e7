"""The fast tier makes the textbook tier's iterates up to rounding, however it is run, and breaks where that breaks."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from experiments.engine import dispatch
from experiments.engine.loop import advance
from experiments.engine.run import Progress, Run, simulate
from experiments.engine.tier import Way
from problems.errors import InputError
from problems.exponential import exponential, exponential_less_one, softplus
from problems.glm import LeastSquares, LeastSquaresProblem, LogisticProblem, logistic_bregman
from problems.kernel import gap, gradient, linear
from problems.linear_models import blocked, logistic_excess, logistic_excess_far
from problems.logcosh import LogCosh, LogCoshSum
from problems.problem import Problem, problems
from theory.methods.method import methods
from theory.samplings import largest_smoothness, samplings
from theory.schedules import read_schedule
from theory.setting import Setting, make_setting

reproducible = settings(deadline=None, derandomize=True, max_examples=60)

METHODS = (
    "sgd", "usam", "sam", "unified-sam:lam=0.3", "gsam:alpha=0.4", "ssam:ascent=unnormalised", "ssam:ascent=normalised",
    "multi-sam:steps=3,ascent=budget,descent=last", "multi-sam:steps=2,ascent=fixed,descent=average",
    "multi-sam:steps=3,ascent=projected,descent=average-start", "multi-sam:steps=2,ascent=power,descent=last",
    "multi-sam:steps=2,ascent=fixed,descent=lookbehind",
)  # fmt: skip

SAMPLINGS = (
    "uniform", "importance", "tau-nice:tau=1", "tau-nice:tau=5", "replacement:tau=1", "replacement:tau=6",
    "independent:p=0.4", "partition:blocks=3", "full", "tau-nice:tau=doubling:start=1,every=50",
)  # fmt: skip


def features(n: int, d: int, seed: int = 0) -> Any:
    random = np.random.default_rng([seed, n, d])
    A = random.standard_normal((n, d))
    return A, A @ random.standard_normal(d) / math.sqrt(d) + random.standard_normal(n)


@cache
def made(name: str) -> Problem:
    if name in ("tall ridge", "wide ridge", "wide least squares", "square ridge"):
        shape = {"tall": (23, 7), "wide": (7, 19), "square": (12, 12)}[name.split()[0]]
        A, b = features(*shape)
        return LeastSquaresProblem.from_arrays(A, b, reg=0.0 if "least" in name else 0.05)
    if name == "logistic":
        A, b = features(21, 6)
        return LogisticProblem.from_arrays(A, np.sign(b), reg=0.02)
    if name == "separable logistic":
        A, b = features(9, 12)
        return LogisticProblem.from_arrays(A, np.sign(b), reg=0.0)
    if name == "log-cosh":
        A, b = features(6, 8)
        return LogCoshSum(A=A / 3, k=np.linspace(0.5, 3, 6), b=b)
    return problems.build(name)


LINEAR = (
    "tall ridge", "wide ridge", "wide least squares", "square ridge", "logistic", "separable logistic", "log-cosh",
    "ridge:data=diabetes,reg=0.1,scale=columns", "logistic:data=breast_cancer,reg=0.01,scale=columns",
)  # fmt: skip
QUADRATIC = (
    "quadratic:d=13,mu=0.05,L=1,seed=2", "quadratic:d=13,mu=0.05,L=1,seed=2,basis=diagonal",
    "quadratic-sum:n=5,d=4,indefinite=0.5", "random-qp:d=6,cond=100", "spectrum:h=1/0.5/-0.02,basis=rotated",
)  # fmt: skip


def setting_of(name: str, sampling: str, method: str, **steps: Any) -> Setting:
    """gamma = 0.3/L_S and rho = 0.2/L_S unless given; the start lies off the origin."""
    problem = made(name)
    chosen = samplings.build(sampling, problem=problem)
    L = max(problem.L.value, largest_smoothness(problem, chosen).value)
    start = problem.start + np.random.default_rng(7).standard_normal(problem.d) / math.sqrt(problem.d)
    sizes = {"gamma": 0.3 / L, "rho": 0.2 / L, "x0": start, **steps}
    return make_setting(problem, sampling=chosen, method=methods.build(method), **sizes)


def reversed_coordinates(setting: Setting) -> Setting:
    """The same run with the coordinates in reverse order: every sum is taken in another order."""
    data = setting.problem.data
    A = np.ascontiguousarray(data.A[:, ::-1])
    problem: Problem
    if isinstance(data, LogCosh):
        problem = LogCoshSum(A=A, k=data.k, b=data.b)
    elif isinstance(data, LeastSquares):
        problem = LeastSquaresProblem.from_arrays(A, data.b, reg=data.reg)
    else:
        problem = LogisticProblem.from_arrays(A, data.b, reg=data.reg)
    return replace(setting, problem=problem, x0=setting.x0[::-1].copy())


def assert_agrees(setting: Setting, *, steps: int = 150, replicates: int = 3) -> Run:
    """At every recorded time the tiers differ by at most 10 times what rounding does to the textbook tier, plus 1e-12
    of the largest value so far. What rounding does is shown by a twin that starts one ulp away and, for linear models,
    by one that takes every sum in another order (some rules forget the start and amplify later rounding)."""
    times = np.array([t for t in (0, 1, 2, 3, 40, 63, 64, 65, 100, 150) if t <= steps])
    plan: dict[str, Any] = {
        "steps": steps,
        "times": times,
        "replicates": replicates,
        "seed": 5,
        "iterates": True,
        "threads": 1,
    }
    slow = simulate(setting, tier="textbook", **plan)
    fast = simulate(setting, tier="fast", **plan)
    assert slow.ways[0] is Way.TEXTBOOK
    assert fast.ways[0] is not Way.TEXTBOOK
    np.testing.assert_array_equal(slow.diverged, fast.diverged)
    nudged = np.tile(np.nextafter(setting.x0, np.inf), (replicates, 1))
    twins = [simulate(setting, tier="textbook", starts=nudged, **plan)]
    if linear(setting.problem.data) is not None:
        turned = simulate(reversed_coordinates(setting), tier="textbook", **plan)
        twins.append(replace(turned, points=turned.points[:, :, ::-1]))
    for name in ("points", "gap", "grad_norm2", "sums"):
        one, other = getattr(slow, name), getattr(fast, name)
        allowed = 1e-12 * _largest_so_far(np.abs(one))
        for twin in twins:
            allowed = np.maximum(allowed, 10 * _largest_so_far(np.abs(one - getattr(twin, name))))
        excess = np.abs(one - other) - allowed
        assert (excess <= 0).all(), (name, float(excess.max()), str(setting))
    return fast


def _largest_so_far(sizes: Any) -> Any:
    """Over coordinates and earlier times."""
    return np.maximum.accumulate(sizes, axis=1).max(axis=tuple(range(2, sizes.ndim)), keepdims=True)


def is_compiled(name: str, method: str) -> bool:
    """Compiling every pair takes minutes: least squares with every method, and every model with the first methods."""
    return name.split()[-1] in ("ridge", "squares") or method in METHODS[:4]


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops as plain Python: the same code, not compiled."""
    monkeypatch.setattr(dispatch, "compiled_loop", lambda *classes, loop=advance: loop)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", LINEAR[:7])
def test_agrees_with_the_textbook_tier_on_linear_models(name: str, method: str, request: pytest.FixtureRequest) -> None:
    if not is_compiled(name, method):
        request.getfixturevalue("interpreted")
        with np.errstate(over="ignore"):  # 64-bit words wrap around in the random draws
            for sampling in ("importance", "tau-nice:tau=5"):
                assert_agrees(setting_of(name, sampling, method), steps=65, replicates=2)
        return
    for sampling in SAMPLINGS:
        if sampling == "full" and made(name).quadratic:
            continue  # in the eigenbasis, below
        # Without noise SAM soon reaches its cycle, whose phase rounding chooses.
        assert_agrees(setting_of(name, sampling, method), steps=40 if sampling == "full" else 150)


@pytest.mark.parametrize("name", LINEAR[7:])
def test_agrees_with_the_textbook_tier_on_real_data(name: str) -> None:
    for method, sampling in itertools.product(("sgd", "sam", "unified-sam:lam=0.3"), ("uniform", "tau-nice:tau=16")):
        assert_agrees(setting_of(name, sampling, method), steps=100)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [*QUADRATIC, "tall ridge", "wide least squares"])
def test_agrees_with_the_textbook_tier_on_deterministic_quadratics(name: str, method: str) -> None:
    setting = setting_of(name, "full", method)
    if setting.problem.name.endswith("basis=diagonal") and method not in METHODS[:4]:
        with pytest.raises(InputError, match="no fast step on a diagonal quadratic"):
            simulate(setting, steps=3, tier="fast")
        return
    assert_agrees(setting, steps=40)


# -- which way is taken --


@pytest.mark.parametrize(
    ("name", "sampling", "method", "steps", "way"),
    [
        ("tall ridge", "uniform", "sam", 100, Way.LOCKSTEP),
        ("wide ridge", "uniform", "sam", 100, Way.GRAM),
        ("wide ridge", "uniform", "sam", 3, Way.LOCKSTEP),
        ("wide ridge", "uniform", "gsam", 100, Way.LOCKSTEP),
        ("tall ridge", "tau-nice:tau=3", "sam", 100, Way.BLOCKED),
        ("tall ridge", "replacement:tau=1", "sam", 100, Way.LOCKSTEP),
        ("logistic", "full", "sam", 100, Way.BLOCKED),
        ("tall ridge", "full", "sam", 100, Way.EIGENBASIS),
        ("tall ridge", "full", "sam", 4, Way.BLOCKED),
        ("quadratic:d=13,mu=0.05,L=1,seed=2", "full", "sam", 5, Way.TEXTBOOK),
        ("quadratic:d=13,mu=0.05,L=1,seed=2", "full", "sam", 100, Way.EIGENBASIS),
        ("quadratic:d=13,mu=0.05,L=1,seed=2,basis=diagonal", "full", "sam", 5, Way.DIAGONAL),
        ("pl-sine:d=3,a=3", "full", "sam", 100, Way.TEXTBOOK),
        ("tall ridge", "uniform", "projected-sgd", 100, Way.TEXTBOOK),
        ("quadratic-sum:n=5,d=4,indefinite=0.5", "uniform", "sam", 100, Way.TEXTBOOK),
    ],
)
def test_auto_takes(name: str, sampling: str, method: str, steps: int, way: Way) -> None:
    run = simulate(setting_of(name, sampling, method), steps=steps)
    assert run.ways == (way,)
    if way is Way.TEXTBOOK and steps > 50:
        with pytest.raises(InputError, match="tier must be auto or textbook for"):
            simulate(setting_of(name, sampling, method), steps=steps, tier="fast")


def test_no_hessian_that_does_not_fit_is_made() -> None:
    """d^2 numbers would take 3 GiB here, and 8 TB for a million columns."""
    A, b = features(2, 20_000)
    setting = make_setting(LeastSquaresProblem.from_arrays(A, b), gamma=1e-5, rho=0.1)
    assert simulate(setting, steps=3, tier="fast", gradients=False).ways == (Way.BLOCKED,)


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(InputError, match="tier must be one of auto, fast, textbook, got 'quick'"):
        simulate(setting_of("tall ridge", "uniform", "sam"), steps=3, tier="quick")


def test_each_stage_of_a_growing_batch_goes_its_own_way() -> None:
    run = simulate(setting_of("tall ridge", "tau-nice:tau=doubling:start=1,every=50", "sam"), steps=150)
    assert run.ways == (Way.LOCKSTEP, Way.BLOCKED, Way.BLOCKED)


# -- the same bits however it is run --

PLACES = (
    ("tall ridge", "importance", "unified-sam:lam=0.3"),
    ("wide ridge", "importance", "unified-sam:lam=0.3"),
    ("wide least squares", "uniform", "sam"),
    ("logistic", "uniform", "unified-sam:lam=0.3"),
    ("tall ridge", "tau-nice:tau=5", "sam"),
    ("tall ridge", "tau-nice:tau=doubling:start=1,every=50", "sam"),
)
each_place = pytest.mark.parametrize(("name", "sampling", "method"), PLACES)


def assert_same_bits(one: Run, two: Run, rows: slice = slice(None), columns: Any = slice(None)) -> None:
    for name in ("gap", "grad_norm2", "sums", "points"):
        np.testing.assert_array_equal(getattr(one, name)[rows][:, columns], getattr(two, name), err_msg=name)
    for name in ("x", "diverged"):
        np.testing.assert_array_equal(getattr(one, name)[rows], getattr(two, name), err_msg=name)


@each_place
def test_threads_blocks_and_record_times_change_no_bit(name: str, sampling: str, method: str) -> None:
    setting = setting_of(name, sampling, method, gamma=read_schedule("inverse-sqrt:start=0.05", argument="gamma"))
    plan: dict[str, Any] = {"steps": 3000, "replicates": 19, "seed": 3, "iterates": True, "tier": "fast"}
    times = np.array([0, 1, 63, 64, 65, 1000, 1024, 2999, 3000])
    whole = simulate(setting, times=times, threads=1, **plan)
    for threads, block in ((2, 1 << 18), (3, 1000), (1, 7)):
        assert_same_bits(whole, simulate(setting, times=times, threads=threads, block=block, **plan))
    few = simulate(setting, times=[65, 3000], threads=1, **plan)
    assert_same_bits(whole, few, columns=[4, 8])
    own = np.tile(times, (19, 1))
    own[3] = np.sort(np.random.default_rng(0).integers(0, 3001, 9))
    mixed = simulate(setting, times=own, threads=1, **plan)
    np.testing.assert_array_equal(mixed.x, whole.x)
    np.testing.assert_array_equal(np.delete(mixed.gap, 3, 0), np.delete(whole.gap, 3, 0))


@each_place
def test_a_copy_is_the_same_in_any_company(name: str, sampling: str, method: str) -> None:
    setting = setting_of(name, sampling, method)
    plan: dict[str, Any] = {"steps": 300, "seed": 3, "iterates": True, "tier": "fast", "threads": 1}
    whole = simulate(setting, replicates=21, **plan)
    for first, count in ((0, 1), (5, 9), (20, 1), (8, 8)):
        part = simulate(setting, replicates=count, first_replicate=first, **plan)
        assert_same_bits(whole, part, rows=slice(first, first + count))


def test_diagonal_copies_are_the_same_in_any_company_of_several() -> None:
    setting = setting_of("quadratic:d=13,mu=0.05,L=1,seed=2,basis=diagonal", "full", "unified-sam:lam=0.3")
    starts = np.random.default_rng(1).standard_normal((70, 13))
    plan: dict[str, Any] = {"steps": 2000, "iterates": True, "times": [0, 1, 500, 2000]}
    whole = simulate(setting, starts=starts, replicates=70, threads=1, **plan)
    for threads, block in ((2, 7), (3, 1 << 18)):
        assert_same_bits(whole, simulate(setting, starts=starts, replicates=70, threads=threads, block=block, **plan))
    part = simulate(setting, starts=starts[40:60], replicates=20, threads=1, **plan)
    assert_same_bits(whole, part, rows=slice(40, 60))
    slow = simulate(setting, starts=starts, replicates=70, tier="textbook", **plan)
    # 2,000 steps of at most 10 roundings each; the records in between have fewer.
    np.testing.assert_allclose(whole.gap, slow.gap, rtol=2e4 * np.finfo(float).eps)
    np.testing.assert_allclose(whole.points, slow.points, rtol=0, atol=1e-12)


# -- divergence, zeros, extremes --


@pytest.mark.parametrize("method", ["sgd", "usam", "unified-sam:lam=0.3", "ssam:ascent=unnormalised", "gsam:alpha=0.4"])
@pytest.mark.parametrize("name", ["tall ridge", "wide ridge", "wide least squares", "square ridge"])
@pytest.mark.parametrize("sampling", ["uniform", "importance", "tau-nice:tau=4"])
def test_divergence_is_noticed_at_the_same_step(name: str, sampling: str, method: str) -> None:
    setting = setting_of(name, sampling, method, gamma=8.0 / made(name).component_smoothness[0].min())
    plan: dict[str, Any] = {"steps": 5000, "replicates": 13, "seed": 4}
    slow, fast = (simulate(setting, tier=tier, **plan) for tier in ("textbook", "fast"))
    assert (slow.diverged >= 0).all()
    np.testing.assert_array_equal(slow.diverged, fast.diverged)
    np.testing.assert_array_equal(np.isnan(slow.gap), np.isnan(fast.gap))
    np.testing.assert_array_equal(np.isnan(slow.sums), np.isnan(fast.sums))


@pytest.mark.parametrize("basis", ["rotated", "diagonal"])
def test_deterministic_divergence_is_noticed_at_the_same_step(basis: str) -> None:
    setting = setting_of(f"quadratic:d=13,mu=0.05,L=1,seed=2,basis={basis}", "full", "usam", gamma=2.2, rho=0.1)
    slow, fast = (simulate(setting, tier=tier, steps=9000, replicates=2) for tier in ("textbook", "fast"))
    assert (slow.diverged > 0).all()
    np.testing.assert_array_equal(slow.diverged, fast.diverged)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["wide ridge", "tall ridge"])
def test_nothing_moves_at_a_point_where_every_gradient_vanishes(name: str, method: str) -> None:
    n, d = made(name).n, made(name).d
    problem = LeastSquaresProblem.from_arrays(features(n, d)[0], np.zeros(n), reg=0.05)
    setting = make_setting(
        problem,
        sampling=samplings.build("uniform", problem=problem),
        method=methods.build(method),
        gamma=0.1,
        rho=0.5,
        x0=np.zeros(d),
    )
    run = simulate(setting, steps=200, replicates=3, tier="fast")
    assert (run.x == 0).all()
    assert (run.diverged == -1).all()


def test_a_row_of_zeros_moves_only_by_the_regulariser() -> None:
    A, b = features(5, 7)
    A[2] = 0
    problem = LeastSquaresProblem.from_arrays(A, b, reg=0.05)
    for method in ("sam", "ssam", "gsam"):
        setting = make_setting(
            problem,
            sampling=samplings.build("uniform", problem=problem),
            method=methods.build(method),
            gamma=0.05,
            rho=0.1,
            x0=np.ones(7),
        )
        assert_agrees(setting)


@pytest.mark.parametrize(("rows", "way"), [(2, Way.GRAM), (4, Way.LOCKSTEP)])
def test_gradients_that_nearly_cancel_keep_their_norm(rows: int, way: Way) -> None:
    """At the minimiser of a component p a + reg x vanishes: the closed form of its norm has nothing left, and SAM
    divides by it. With equal components every step comes closer, down to the radius."""
    A = np.tile([3.0, 4.0, 0.0], (rows, 1))
    problem = LeastSquaresProblem.from_arrays(A, np.ones(rows), reg=0.5)
    sampling = samplings.build("uniform", problem=problem)
    for method, rho in (("sgd", 0.0), ("usam", 1e-3), ("sam", 1e-9)):
        setting = make_setting(
            problem, sampling=sampling, method=methods.build(method), gamma=0.02, rho=rho, x0=np.array([1.5, 2.0, 0.0])
        )
        slow, fast = (simulate(setting, steps=60, replicates=2, tier=tier) for tier in ("textbook", "fast"))
        assert fast.ways == (way,)
        # ||g||^2 falls by 1e-16: its rounding is relative to where it began, and the later ones are seen by SAM.
        np.testing.assert_allclose(np.diff(fast.sums), np.diff(slow.sums), rtol=1e-9, atol=1e-13)
        # A gap changes by ||grad f|| <= sqrt(2 L gap), L = 25.5, for what x changes by: a few eps ||x*||, ||x*|| = 0.2.
        assert (np.abs(fast.gap - slow.gap) <= 1e-9 * slow.gap + 2e-15 * np.sqrt(slow.gap) + 1e-31).all()


@pytest.mark.parametrize(("copies", "way"), [(1, Way.GRAM), (2, Way.LOCKSTEP)])
def test_a_norm_that_shrinks_fast_is_summed_again(copies: int, way: Way) -> None:
    """||x||^2, updated from step to step, would be left with the rounding of where it began: orthogonal rows, each of
    which takes nine tenths of its coordinate away."""
    problem = LeastSquaresProblem.from_arrays(np.tile(np.eye(3), (copies, 1)), np.zeros(3 * copies), reg=1.0)
    sampling = samplings.build("uniform", problem=problem)
    setting = make_setting(
        problem, sampling=sampling, method=methods.build("sam"), gamma=0.45, rho=1e-12, x0=np.array([1.0, 0.5, -0.7])
    )
    slow, fast = (simulate(setting, steps=60, replicates=3, tier=tier) for tier in ("textbook", "fast"))
    assert fast.ways == (way,)
    assert slow.gap[:, -1].max() < 1e-20
    # Rounding relative to the current size, in 60 steps that contract; single gaps of the cycle at the end lie 1e-3 or
    # less below their neighbours and see the rounding of these.
    np.testing.assert_allclose(fast.gap, slow.gap, rtol=1e-7)


def test_the_scale_of_gram_space_never_underflows() -> None:
    """x = c0 x_0 + scale A' beta, where scale = 0.99^t here and nothing else calls for a new scale."""
    A, b = features(5, 8)
    problem = LeastSquaresProblem.from_arrays(A, 100 * b, reg=0.1)
    sampling = samplings.build("uniform", problem=problem)
    setting = make_setting(problem, sampling=sampling, method=methods.build("usam"), gamma=0.1, rho=0.01)
    slow, fast = (simulate(setting, steps=100_000, replicates=3, tier=tier) for tier in ("textbook", "fast"))
    assert fast.ways == (Way.GRAM,)
    np.testing.assert_allclose(fast.gap, slow.gap, rtol=1e-9)
    np.testing.assert_allclose(fast.x, slow.x, rtol=1e-9)


def test_flat_directions_add_nothing_to_the_gap() -> None:
    """Fewer rows than columns: the eigensolver's rounding of the zero eigenvalues, of either sign, is not curvature."""
    setting = setting_of("wide least squares", "full", "sgd", gamma=1.0 / made("wide least squares").L.value)
    run = simulate(setting, steps=200_000)
    assert run.ways == (Way.EIGENBASIS,)
    assert (run.gap >= 0).all()
    assert run.gap[0, -1] < 1e-25 * run.gap[0, 0]


def test_sam_returns_to_the_top_eigenvector_in_a_rotated_basis() -> None:
    """Figure 1's setting: components far below the top one would underflow in the eigenbasis and leave SAM on an
    unstable cycle, with a gap wrong by 99.7 %."""
    gamma = rho = 0.0125
    problem = problems.build("quadratic:d=100,mu=0.1,L=10,seed=3")
    setting = make_setting(problem, method=methods.build("unified-sam:lam=0.5"), gamma=gamma, rho=rho)
    fast = simulate(setting, steps=100_000, times=[0, 100_000])
    assert fast.ways == (Way.EIGENBASIS,)
    short = simulate(setting, steps=60_000, times=[0, 60_000], tier="textbook")
    # Both lie on the stable cycle, whose two points have one gap.
    assert fast.gap[0, 1] == pytest.approx(short.gap[0, 1], rel=1e-6)


def test_a_stopped_run_keeps_what_it_recorded() -> None:
    progress = Progress()
    progress.stop()
    run = simulate(setting_of("tall ridge", "uniform", "sam"), steps=100_000, replicates=9, progress=progress)
    assert np.isfinite(run.gap[:, 0]).all()
    assert np.isnan(run.gap[:, -1]).all()


def test_starts_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"starts must have shape \(3, 7\), got \(2, 7\)"):
        simulate(setting_of("tall ridge", "uniform", "sam"), steps=3, replicates=3, starts=np.zeros((2, 7)))


# -- the straight-line functions --


@reproducible
@given(st.floats(-745.0, 720.0))
@example(0.0)
@example(-0.0)
@example(1e-300)
@example(math.log(2) / 2)
@example(-math.log(2) / 2)
@example(709.0)
@example(-709.0)
def test_exponential(x: float) -> None:
    with mpmath.workdps(60):
        true = mpmath.exp(mpmath.mpf(min(max(x, -708.0), 708.0)))
        assert abs(mpmath.mpf(float(exponential(x))) - true) <= 1.5 * math.ulp(float(true))
        less = mpmath.expm1(mpmath.mpf(min(max(x, -708.0), 708.0)))
        assert abs(mpmath.mpf(float(exponential_less_one(x))) - less) <= 3 * math.ulp(float(less))


@reproducible
@given(st.floats(-708.0, 708.0))
@example(0.0)
@example(-0.8813735870195429)
@example(-0.8813735870195431)
@example(1e-300)
def test_softplus(z: float) -> None:
    with mpmath.workdps(400):
        true = mpmath.log1p(mpmath.exp(mpmath.mpf(z)))
        assert abs(mpmath.mpf(float(softplus(z))) - true) <= 4 * math.ulp(float(true))


@reproducible
@given(st.floats(-60.0, 60.0), st.floats(-300.0, 300.0).filter(lambda delta: abs(delta) >= 0.34))
@example(0.0, 0.34)
@example(-30.0, 0.34)
@example(30.0, -0.34)
def test_logistic_excess_far(z: float, delta: float) -> None:
    with mpmath.workdps(400):
        loss, at = (mpmath.log1p(mpmath.exp(-(mpmath.mpf(z) + step))) for step in (mpmath.mpf(delta), mpmath.mpf(0)))
        true = loss - at + delta / (1 + mpmath.exp(z))
    # 6 bits of cancellation on a few roundings: 64 * 8 eps.
    assert float(logistic_excess_far(z, delta)) == pytest.approx(float(true), rel=1.2e-13)


def test_exponential_of_what_is_no_number() -> None:
    assert math.isnan(exponential(math.nan))
    assert math.isnan(exponential_less_one(math.nan))
    assert exponential(math.inf) == exponential(708.0)
    assert exponential_less_one(-math.inf) == -1.0


@reproducible
@given(st.floats(-60.0, 60.0), st.floats(-0.3399, 0.3399).filter(lambda delta: abs(delta) > 1e-120))
@example(0.0, 0.3399)
@example(0.0, 1e-9)
@example(-30.0, -0.3399)
def test_logistic_excess(z: float, delta: float) -> None:
    with mpmath.workdps(400):
        loss, at = (mpmath.log1p(mpmath.exp(-(mpmath.mpf(z) + step))) for step in (mpmath.mpf(delta), mpmath.mpf(0)))
        true = loss - at + delta / (1 + mpmath.exp(z))
    # Two terms of which the larger is at most three times their sum, each good to a few roundings.
    assert float(logistic_excess(z, delta)) == pytest.approx(float(true), rel=1e-14, abs=1e-300)
    assert float(logistic_bregman(z, delta)) == pytest.approx(float(true), rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("name", LINEAR[:7])
def test_the_blocked_kernels_are_the_problem(name: str) -> None:
    problem = made(name)
    data = blocked(problem.data)
    random = np.random.default_rng(0)
    for size in (1e-8, 0.1, 3.0, 1e3):
        x = problem.centre + size * random.standard_normal(problem.d)
        assert gap(data, x) == pytest.approx(problem.gap(x), rel=1e-12)
        for m in range(problem.n + 1):
            indices, weights = random.permutation(problem.n)[:m], random.random(m)
            out = np.empty(problem.d)
            gradient(data, x, indices, weights, m, out)
            expected = problem.minibatch_gradient(x, indices, weights)
            # Sums of at most n terms of the size of the largest component gradient.
            scale = max((float(np.abs(problem.sample_gradient(int(i), x)).max()) for i in indices), default=1.0)
            np.testing.assert_allclose(out, expected, rtol=0, atol=1e-13 * scale)
