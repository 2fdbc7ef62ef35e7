"""Exact expectations: every route against another one, and against Monte Carlo."""

from __future__ import annotations

import warnings

import mpmath
import numpy as np
import pytest

from experiments.engine.run import simulate
from experiments.exact.moments import exact_moments
from experiments.exact.one_step import one_step_expectations, second_moments_at
from experiments.exact.paths import path_expectation
from experiments.exact.stationary import stationary_moments
from problems.glm import LeastSquaresProblem
from problems.problem import Problem, problems
from theory.methods.method import methods
from theory.samplings import samplings, without_reweighting
from theory.schedules import read_schedule
from theory.setting import Setting, make_setting

RNG = np.random.default_rng(0)
ROWS, TARGETS = RNG.standard_normal((4, 3)), RNG.standard_normal(4)

PROBLEMS: dict[str, Problem] = {
    "sum": problems.build("quadratic-sum:n=4,d=2,indefinite=0.3"),
    "line": problems.build("parabolas:h=1/-0.5/2/0.1,slopes=1/-2/0.5/0.5"),
    "squares": LeastSquaresProblem(A=ROWS, b=TARGETS, reg=0.0, name="squares"),
    "ridge": LeastSquaresProblem(A=ROWS, b=TARGETS, reg=0.2, name="ridge"),
    "rotated": problems.build("quadratic:d=3,mu=0.1,L=1"),
    "diagonal": problems.build("quadratic:d=3,mu=0.1,L=1,basis=diagonal"),
}
SAMPLINGS = (
    "full",
    "uniform",
    "importance",
    "single:p=0.1/0.2/0.3/0.4",
    "tau-nice:tau=2",
    "replacement:tau=2",
    "replacement:tau=3,q=0.1/0.2/0.3/0.4",
    "independent:p=0.2/0.9/0.5/1",
    "partition:blocks=2,p=0.3/0.7",
)
PAIRS = [(name, kind) for name, p in PROBLEMS.items() for kind in (SAMPLINGS if p.n == 4 else ("full",))]
STEPS = {"constant": ("0.1", "0.2"), "decreasing": ("decreasing:start=0.1,mu=2", "inverse:start=0.3,slope=2")}


def setting(name: str, kind: str, method: str, gamma: str = "0.1", rho: str = "0.2") -> Setting:
    problem = PROBLEMS[name]
    x0 = problem.centre + np.linspace(1.0, 2.0, problem.d)
    steps = [read_schedule(text, argument=name) for text, name in ((gamma, "gamma"), (rho, "rho"))]
    drawn = samplings.build(kind, problem=problem)
    return make_setting(problem, sampling=drawn, method=methods.build(method), gamma=steps[0], rho=steps[1], x0=x0)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("method", ["sgd", "usam"])
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_moments_equal_all_sample_paths(name: str, kind: str, method: str, steps: str) -> None:
    chosen = setting(name, kind, method, *STEPS[steps])
    paths = path_expectation(chosen, steps=5, most=20_000, growth=0.01)
    assert not isinstance(paths, str)
    found = exact_moments(chosen, steps=paths.steps, times=paths.times, growth=0.01)
    assert not isinstance(found, str)
    # Two independent orders of at most a few thousand roundings each.
    np.testing.assert_allclose(found.gap, paths.gap, rtol=1e-12)
    np.testing.assert_allclose(found.grad_norm2, paths.grad_norm2, rtol=1e-12)
    np.testing.assert_allclose(found.average[1:], paths.average[1:], rtol=1e-12)
    assert (np.abs(found.gap - paths.gap) <= found.gap_error + paths.gap_error).all()
    assert (found.gap_error[1:] < 1e-9 * found.gap[1:]).all()


@pytest.mark.parametrize("method", ["sgd", "usam"])
@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[1] != "full"])
def test_moments_agree_with_monte_carlo(name: str, kind: str, method: str) -> None:
    """4e5 replicates at three times, within 4 standard errors: 1e-4 of chance a comparison, seeds fixed."""
    chosen = setting(name, kind, method, "0.05", "0.1")
    times = np.array([1, 8, 30])
    found = exact_moments(chosen, steps=30, times=times)
    assert not isinstance(found, str)
    run = simulate(chosen, steps=30, times=times, replicates=400_000, seed=5, gradients=False)
    error = run.gap.std(axis=0, ddof=1) / np.sqrt(len(run.gap))
    # Where nothing varies the standard error is rounding itself.
    assert (np.abs(run.gap.mean(axis=0) - found.gap) <= 4 * error + 1e-12 * found.gap).all()


@pytest.mark.parametrize("method", ["sgd", "usam"])
@pytest.mark.parametrize("kind", SAMPLINGS)
def test_stationary_moments_are_the_limit(kind: str, method: str) -> None:
    chosen = setting("ridge", kind, method)
    settled, late = stationary_moments(chosen), exact_moments(chosen, steps=10**6, times=[10**6])
    assert not isinstance(settled, str)
    assert not isinstance(late, str)
    # GMRES stops at a residual of 1e-13, which 1/(gamma mu) = 50 steps may add up.
    assert settled.gap == pytest.approx(late.gap[0], rel=1e-10, abs=1e-28)
    assert settled.residual < 1e-12


def test_powers_equal_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = setting("ridge", "uniform", "usam")
    times = [0, 1, 7, 100, 1000]
    by_powers = exact_moments(chosen, steps=1000, times=times, growth=1e-3)
    monkeypatch.setattr("experiments.exact.moments.SMALL", 0)
    by_steps = exact_moments(chosen, steps=1000, times=times, growth=1e-3)
    assert not isinstance(by_powers, str)
    assert not isinstance(by_steps, str)
    for one, other, error in (
        (by_powers.gap, by_steps.gap, by_powers.gap_error + by_steps.gap_error),
        (by_powers.average[1:], by_steps.average[1:], (by_powers.average_error + by_steps.average_error)[1:]),
    ):
        assert (np.abs(one - other) <= error).all()


def test_error_floor_against_50_digits() -> None:
    """SGD on the line in mpmath: the true error lies below the floor, and the floor is not absurd."""
    chosen = setting("line", "uniform", "sgd", "0.05")
    h, s = PROBLEMS["line"].data.H[:, 0, 0], PROBLEMS["line"].data.g[:, 0]
    steps = 400
    found = exact_moments(chosen, steps=steps, times=[steps])
    assert not isinstance(found, str)
    with mpmath.workdps(50):
        gamma = mpmath.mpf(0.05)
        m, S = mpmath.mpf(chosen.x0[0]), mpmath.mpf(chosen.x0[0]) ** 2
        for _ in range(steps):
            moved = [(1 - gamma * mpmath.mpf(a), -gamma * mpmath.mpf(b)) for a, b in zip(h, s, strict=True)]
            S = sum(p**2 * S + 2 * p * q * m + q**2 for p, q in moved) / 4
            m = sum(p * m + q for p, q in moved) / 4
        true = sum(mpmath.mpf(a) for a in h) / 4 * S / 2
        error = float(abs(true - mpmath.mpf(found.gap[0])))
    assert error <= found.gap_error[0]
    assert found.gap_error[0] < 1e-10 * found.gap[0]


def test_growth_and_divergence() -> None:
    chosen = setting("line", "uniform", "sgd", "40")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = exact_moments(chosen, steps=10_000, times=[0, 1, 10_000])
    assert not isinstance(found, str)
    assert np.isfinite(found.gap[:2]).all()
    assert np.isinf(found.gap[2])
    settled = stationary_moments(chosen)
    assert isinstance(settled, str)
    assert "does not settle" in settled


@pytest.mark.parametrize(
    ("name", "kind", "method", "words"),
    [
        ("sum", "uniform", "unified-sam:lam=0.5", "not linear in x"),
        ("sum", "uniform", "sam", "not linear in x"),
    ],
)
def test_where_moments_are_not_available(name: str, kind: str, method: str, words: str) -> None:
    for found in (exact_moments(setting(name, kind, method), steps=3), stationary_moments(setting(name, kind, method))):
        assert isinstance(found, str)
        assert found.startswith("exact route not available: ")
        assert words in found


def test_other_clauses() -> None:
    wavy = problems.build("pl-sine:d=2,a=1")
    assert "not a sum of quadratics" in str(exact_moments(make_setting(wavy, method=methods.build("sgd")), steps=3))
    many = problems.build("quadratic-sum:n=30,d=2")
    drawn = samplings.build("tau-nice:tau=15", problem=many)
    usam = make_setting(many, sampling=drawn, method=methods.build("usam"), gamma=0.1, rho=0.1)
    assert "too many" in str(exact_moments(usam, steps=3))
    assert "values of v" in str(path_expectation(usam, steps=3))
    sgd = make_setting(many, sampling=drawn, method=methods.build("sgd"), gamma=0.1)
    assert not isinstance(exact_moments(sgd, steps=3), str)
    forgotten = make_setting(
        PROBLEMS["sum"], sampling=without_reweighting(samplings.build("tau-nice:tau=2", problem=PROBLEMS["sum"])),
        method=methods.build("sgd"), gamma=0.1,
    )  # fmt: skip
    assert "not known" in str(exact_moments(forgotten, steps=3))


@pytest.mark.parametrize("kind", SAMPLINGS)
def test_one_step_and_second_moments(kind: str) -> None:
    """Enumeration, moments and E v_i v_j give the same numbers; a large tau-nice batch has only the latter two."""
    for method in ("sgd", "unified-sam:lam=0.7"):
        chosen = setting("sum", kind, method)
        points = np.array([[1.0, 2.0], [-0.3, 0.1], [1e3, 0.0]])
        listed = one_step_expectations(chosen, points, np.zeros(3, dtype=np.int64))
        assert not isinstance(listed, str)
        assert listed.second_moment is not None
        np.testing.assert_allclose(second_moments_at(chosen, points), listed.second_moment, rtol=1e-12)
        for k, point in enumerate(points):
            paths = path_expectation(make_like(chosen, point), steps=1)
            assert not isinstance(paths, str)
            assert paths.gap[1] == pytest.approx(listed.next_gap[k], rel=1e-12)


def make_like(chosen: Setting, x0: np.ndarray) -> Setting:
    return make_setting(
        chosen.problem, sampling=chosen.sampling, method=chosen.method, gamma=chosen.gamma, rho=chosen.rho, x0=x0
    )


def test_one_step_by_moments_where_enumeration_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("sgd", "usam"):
        chosen = setting("ridge", "tau-nice:tau=2", method)
        points = np.array([chosen.x0, chosen.problem.centre])
        listed = one_step_expectations(chosen, points, np.zeros(2, dtype=np.int64))
        with monkeypatch.context() as context:
            context.setattr("experiments.exact.one_step.MOST_ATOMS", 1)
            moments = one_step_expectations(chosen, points, np.zeros(2, dtype=np.int64))
        assert not isinstance(listed, str)
        assert not isinstance(moments, str)
        assert (listed.route, moments.route) == ("enumeration", "moments")
        np.testing.assert_allclose(moments.next_gap, listed.next_gap, rtol=1e-12)
