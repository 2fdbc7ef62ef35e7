"""Exact expectations: every route against another one, and against Monte Carlo."""

from __future__ import annotations

import warnings

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.typing import NDArray

from experiments.engine.run import Progress, simulate
from experiments.exact.advance import Advance
from experiments.exact.leaps import degree, power_coefficients, sum_coefficients
from experiments.exact.moments import Moments, exact_moments
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


# -- long horizons: powers, leaps and steps against a plain loop, and all of them against 40 digits --

TALL = RNG.standard_normal((40, 30)) @ np.diag(np.geomspace(1.0, 0.1, 30))
LARGE: dict[str, Problem] = {
    "rows": LeastSquaresProblem(A=TALL, b=RNG.standard_normal(40), reg=0.05, name="rows"),
    "fitted": LeastSquaresProblem(A=TALL, b=TALL @ np.ones(30), reg=0.0, name="fitted"),
    "wide": LeastSquaresProblem(A=TALL.T.copy(), b=RNG.standard_normal(30), reg=0.0, name="wide"),
    "dense": problems.build("quadratic-sum:n=4,d=26,indefinite=0.3"),
    "single": problems.build("quadratic:d=30,mu=0.01,L=1"),
}
LONG = [
    ("rows", "uniform", "sgd"),
    ("rows", "importance", "sgd"),
    ("rows", "tau-nice:tau=5", "sgd"),
    ("rows", "uniform", "usam"),
    ("rows", "decaying", "usam"),
    ("rows", "full", "usam"),
    ("fitted", "uniform", "sgd"),
    ("wide", "uniform", "sgd"),
    ("dense", "uniform", "sgd"),
    ("dense", "tau-nice:tau=2", "sgd"),
    ("dense", "partition:blocks=2,p=0.3/0.7", "sgd"),
    ("dense", "tau-nice:tau=2", "usam"),
    ("single", "full", "sgd"),
]


def decaying(n: int) -> str:
    p = 2.0 ** -(np.arange(n) / 10)
    return "single:p=" + "/".join(f"{each:.17g}" for each in p / p.sum())


def long_setting(name: str, kind: str, method: str, gamma: str | None = None) -> Setting:
    problem = LARGE[name]
    step = f"{0.2 / float(problem.component_smoothness[0].max()):.17g}" if gamma is None else gamma
    return make_setting(
        problem,
        sampling=samplings.build(decaying(problem.n) if kind == "decaying" else kind, problem=problem),
        method=methods.build(method),
        gamma=read_schedule(step, argument="gamma"),
        rho=read_schedule("0.05", argument="rho"),
        x0=problem.centre + np.linspace(-1.0, 1.0, problem.d),
    )


Values = NDArray[np.float64]


def values_of_v(chosen: Setting) -> tuple[Values, Values, Values]:
    """Probabilities, matrices M_v and slopes h_v of z+ = z - gamma (M_v z + h_v), one for each value of v."""
    problem, d = chosen.problem, chosen.problem.d
    grads = [np.array([problem.sample_gradient(i, problem.centre) for i in range(problem.n)])]
    for unit in np.eye(d):
        grads.append(np.array([problem.sample_gradient(i, problem.centre + unit) for i in range(problem.n)]) - grads[0])
    rho = chosen.rho.largest if chosen.method.uses_rho else 0.0
    p, M, h = [], [], []
    for atom in chosen.sampling.atoms():
        weights = np.zeros(problem.n)
        weights[list(atom.indices)] = np.array(atom.weights) / problem.n
        g, *columns = (weights @ each for each in grads)
        H = np.array(columns)
        p.append(atom.probability)
        M.append(H + rho * H @ H)
        h.append(g + rho * H @ g)
    return np.array(p), np.array(M), np.array(h)


def plain_loop(chosen: Setting, times: list[int], growth: float) -> Values:
    """Rows of E gap, E||grad f||^2, its average and E||x - x*||^2: the recursion as it stands, over all values of v."""
    p, M, h = values_of_v(chosen)
    H = chosen.problem.hessian(chosen.problem.centre)
    m = chosen.x0 - chosen.problem.centre
    S, total, weight, rows = np.outer(m, m), 0.0, 0.0, []
    mean_M, mean_h, noise = np.tensordot(p, M, axes=1), p @ h, (h.T * p) @ h
    for t in range(times[-1] + 1):
        norm2 = float(np.sum(H @ H * S))
        if t in times:
            rows.append((float(np.sum(H * S)) / 2, norm2, total / weight if t else np.nan, float(np.trace(S))))
        total, weight = total + (1 + growth) ** -(t + 1) * norm2, weight + (1 + growth) ** -(t + 1)
        gamma = float(chosen.gamma.at(t))
        cross = (p[:, None] * (M @ m)).T @ h
        linear = mean_M @ S + np.outer(mean_h, m)
        square = (p[:, None, None] * (M @ S @ M)).sum(axis=0)
        S = S - gamma * (linear + linear.T) + gamma**2 * (square + cross + cross.T + noise)
        m = m - gamma * (mean_M @ m + mean_h)
    return np.array(rows)


def compare_with(found: Moments, rows: Values, *, least: float) -> None:
    """The loop's own rounding is taken to be at most the floor again; floors of the gap and of the distance are at
    most `least` of a value (those of gradients are 2 L times that of the gap, however small a gradient)."""
    got = np.array([found.gap, found.grad_norm2, found.average, found.distance2]).T
    floor = np.array([found.gap_error, found.norm_error, found.average_error, found.distance_error]).T
    checked = np.isfinite(rows)
    assert (np.abs(got - rows) <= 2 * floor)[checked].all()
    assert (floor <= least * got)[:, [0, 3]].all()


@pytest.mark.parametrize(("name", "kind", "method"), [row for row in LONG if row[1] != "tau-nice:tau=5"])
def test_leaps_equal_a_plain_loop(name: str, kind: str, method: str) -> None:
    chosen, times = long_setting(name, kind, method), [0, 1, 3, 300, 512, 700, 700, 1300]
    found = exact_moments(chosen, steps=1300, times=times, growth=1e-3)
    assert not isinstance(found, str)
    rows = plain_loop(chosen, times, 1e-3)
    compare_with(found, rows[np.searchsorted(np.unique(times), times)], least=1e-5)


@pytest.mark.parametrize(("name", "kind", "method"), LONG)
def test_leaps_equal_steps(name: str, kind: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And powers, from which the same moments come by other roundings; up to where the noise has taken over."""
    chosen, times = long_setting(name, kind, method), [0, 10, 1000, 3000]
    found = [exact_moments(chosen, steps=3000, times=times, growth=1e-4)]
    monkeypatch.setattr("experiments.exact.moments.SMALL", 30)
    found.append(exact_moments(chosen, steps=3000, times=times, growth=1e-4))
    monkeypatch.setattr("experiments.exact.moments.SMALL", 0)
    monkeypatch.setattr("experiments.exact.leaps.LOST", 0.0)
    found.append(exact_moments(chosen, steps=3000, times=times, growth=1e-4))
    for other in found[:2] if LARGE[name].d <= 30 else found[:1]:
        assert not isinstance(other, str)
        steps = found[2]
        assert not isinstance(steps, str)
        rows = np.array([steps.gap, steps.grad_norm2, steps.average, steps.distance2]).T
        compare_with(other, rows, least=1e-5)
        np.testing.assert_allclose(other.second, steps.second, rtol=0, atol=1e-9 * np.abs(steps.second).max())
        np.testing.assert_allclose(other.mean, steps.mean, rtol=0, atol=1e-9 * np.sqrt(np.trace(steps.second)))


@pytest.mark.parametrize("gamma", ["decreasing:start=0.05,mu=0.5", "warmup:steps=50,then=0.05"])
def test_changing_steps_equal_a_plain_loop(gamma: str) -> None:
    for name, method in (("rows", "sgd"), ("dense", "usam")):
        chosen = long_setting(name, "uniform", method, gamma)
        found = exact_moments(chosen, steps=120, times=[0, 50, 120], growth=0.01)
        assert not isinstance(found, str)
        compare_with(found, plain_loop(chosen, [0, 50, 120], 0.01), least=1e-8)


def test_leaps_cost_few_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    """1e5 steps at n = d = 100: 64 + 94 + 154 + 274 + 349 of them while no leap is taken back."""
    problem = LeastSquaresProblem.from_arrays(RNG.standard_normal((100, 100)), RNG.standard_normal(100), reg=0.05)
    gamma = 0.5 / float(problem.component_smoothness[0].max())
    drawn = samplings.build("uniform", problem=problem)
    chosen = make_setting(problem, sampling=drawn, method=methods.build("sgd"), gamma=gamma, x0=problem.centre + 1)
    count = 0
    change = Advance.change

    def counted(self: Advance, m: Values, S: Values, one: float = 1.0) -> tuple[Values, Values]:
        nonlocal count
        count += 1
        return change(self, m, S, one)

    monkeypatch.setattr(Advance, "change", counted)
    progress = Progress()
    found = exact_moments(chosen, steps=10**5, progress=progress)
    assert not isinstance(found, str)
    assert count < 5000
    assert (found.gap_error <= 1e-5 * found.gap).all()
    settled = stationary_moments(chosen)
    assert not isinstance(settled, str)
    # A run of 1/(gamma mu) = 4,000 steps thirty times over has settled.
    assert found.gap[-1] == pytest.approx(settled.gap, rel=1e-6)
    assert progress.steps >= 10**5 - 512


@pytest.mark.parametrize("h", [0.01, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7, 600, 20001])
def test_coefficients_of_powers(h: float, steps: int) -> None:
    J = degree(steps, h)
    p, sums = power_coefficients(steps, J, h), sum_coefficients(steps, J, h, 1e-3)
    assert (p > -1e-14).all()
    assert p.sum() == pytest.approx(1, rel=1e-13)
    for y in (-1.0, -0.999, -0.3, 0.0, 0.5, 0.99, 0.9999, 1.0):
        with mp.workdps(30):
            x, ratio = 1 - mpf(h) + mpf(h) * mpf(y), 1 + mpf(1e-3)
            power, total = x**steps, (1 - (x / ratio) ** steps) / (ratio - x)
        # Sums of J terms, each good to a few roundings.
        assert np.polynomial.chebyshev.chebval(y, p) == pytest.approx(float(power), abs=1e-13)
        assert np.polynomial.chebyshev.chebval(y, sums) == pytest.approx(float(total), rel=1e-11, abs=1e-12)


def exact_rows(chosen: Setting, times: list[int], growth: float) -> list[list[mpf]]:
    """The columns of `plain_loop` in 40 digits, about the minimiser of the stored data."""
    A, b, reg, _ = chosen.problem.data
    n, d = A.shape
    rho = mpf(chosen.rho.largest) if chosen.method.uses_rho else mpf(0)
    rows, targets = mp.matrix(A.tolist()), mp.matrix(b.tolist())
    H = rows.T * rows / n + mpf(reg) * mp.eye(d)
    star = mp.lu_solve(H, rows.T * targets / n)
    moved = mp.matrix((d + 1) ** 2, (d + 1) ** 2)
    for i in range(n):
        weight = mpf(float(chosen.sampling.data.weights[i])) / n
        H_v = weight * (rows[i, :].T * rows[i, :] + mpf(reg) * mp.eye(d))
        g_v = H_v * star - weight * targets[i] * rows[i, :].T
        step = mp.eye(d + 1)
        step[1:, 0] = -mpf(chosen.gamma.largest) * (g_v + rho * H_v * g_v)
        step[1:, 1:] = mp.eye(d) - mpf(chosen.gamma.largest) * (H_v + rho * H_v * H_v)
        p = mpf(float(chosen.sampling.probabilities[i]))
        for r in range((d + 1) ** 2):
            for c in range((d + 1) ** 2):
                moved[r, c] += p * step[r // (d + 1), c // (d + 1)] * step[r % (d + 1), c % (d + 1)]
    z = [mpf(1)] + [mpf(float(x)) - star[k] for k, x in enumerate(chosen.x0)]
    S = mp.matrix([p * q for p in z for q in z])

    def mean(W: mp.matrix) -> mpf:
        return mp.fsum(W[i, j] * S[(i + 1) * (d + 1) + j + 1] for i in range(d) for j in range(d))

    found, total, weights = [], mpf(0), mpf(0)
    for t in range(times[-1] + 1):
        norm2 = mean(H * H)
        if t in times:
            found.append([mean(H) / 2, norm2, total / weights if t else mpf(0), mean(mp.eye(d))])
        passed = (1 + mpf(growth)) ** -(t + 1)
        total, weights, S = total + passed * norm2, weights + passed, moved * S
    return found


@pytest.mark.parametrize("small", [0, 30])
@pytest.mark.parametrize(
    ("kind", "method", "reg", "noise", "condition"),
    [
        ("uniform", "sgd", 0.0, 0.3, 1e6),
        ("importance", "usam", 1e-2, 0.3, 1e4),
        ("uniform", "usam", 0.0, 0.0, 1e3),
    ],
)
def test_floors_cover_40_digits(
    kind: str, method: str, reg: float, noise: float, condition: float, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps, leaps and powers on ill-conditioned rows: the true error lies below every floor."""
    rng = np.random.default_rng(4)
    A = rng.standard_normal((5, 3)) @ np.diag(np.geomspace(1, condition**-0.5, 3)) @ np.linalg.qr(np.eye(3) + 0.3)[0]
    b = A @ rng.standard_normal(3) + noise * rng.standard_normal(5)
    problem = LeastSquaresProblem(A=A, b=b, reg=reg, name="ill-conditioned")
    chosen = make_setting(
        problem, sampling=samplings.build(kind, problem=problem), method=methods.build(method), rho=0.05,
        gamma=0.5 / float(problem.component_smoothness[0].max()), x0=problem.centre + 1,
    )  # fmt: skip
    monkeypatch.setattr("experiments.exact.moments.SMALL", small)
    times = [0, 1, 10, 600, 700]
    found = exact_moments(chosen, steps=700, times=times, growth=1e-3)
    assert not isinstance(found, str)
    got = np.array([found.gap, found.grad_norm2, found.average, found.distance2]).T
    floor = np.array([found.gap_error, found.norm_error, found.average_error, found.distance_error]).T
    with mp.workdps(40):
        for k, row in enumerate(exact_rows(chosen, times, 1e-3)):
            for column, truth in enumerate(row):
                if times[k] > 0 or column != 2:
                    assert abs(mpf(float(got[k, column])) - truth) <= floor[k, column], (times[k], column)
    assert (found.gap_error <= 1e-4 * found.gap).all()


def test_a_floor_that_grows_leaves_the_moments_finite() -> None:
    """E gap may grow in one step though it falls in the end; the floor then follows the distance instead."""
    A = np.random.default_rng(0).standard_normal((10, 10))
    problem = LeastSquaresProblem(A=A, b=A @ np.ones(10) + 0.1, reg=0.01, name="ten")
    drawn = samplings.build("uniform", problem=problem)
    gamma = 0.5 / float(problem.component_smoothness[0].max())
    chosen = make_setting(problem, sampling=drawn, method=methods.build("sgd"), gamma=gamma, x0=problem.centre + 1)
    found = exact_moments(chosen, steps=10**6, growth=0.01)
    assert not isinstance(found, str)
    assert (found.gap_error < 1e-6 * found.gap).all()
    assert (found.average_error[1:] < 1e-6 * found.average[1:]).all()


def test_stopping_and_overflow_of_long_runs() -> None:
    chosen = long_setting("rows", "uniform", "sgd")
    stopped = Progress()
    stopped.stop()
    found = exact_moments(chosen, steps=10**6, times=[0, 10**6], progress=stopped)
    assert not isinstance(found, str)
    assert np.isfinite(found.gap[0])
    assert np.isinf(found.gap[1])
    still = exact_moments(long_setting("rows", "uniform", "sgd", "0"), steps=10**4, times=[0, 10**4])
    assert not isinstance(still, str)
    assert still.gap[1] == pytest.approx(still.gap[0], rel=1e-13)
    for gamma in ("30", "linear:start=30,steps=10000000"):
        grown = exact_moments(long_setting("rows", "uniform", "sgd", gamma), steps=10**5, times=[0, 1, 10**5])
        assert not isinstance(grown, str)
        assert np.isfinite(grown.gap[:2]).all()
        assert np.isinf(grown.gap[2])


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
