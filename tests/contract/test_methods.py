"""Every update rule against its transcription in NumPy, and the cases in which one rule is another."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.engine import run as engine
from experiments.engine.run import Run
from problems.errors import InputError
from problems.glm import LeastSquaresProblem, LogisticProblem
from problems.kernel import scratch, step, stride
from problems.problem import Problem, Vector, problems
from problems.quadratics import Quadratic
from tests.strategies import drawn, numpy_gradient, sampling_specs
from theory.methods.gsam import gsam
from theory.methods.method import methods
from theory.methods.multistep import multi_sam
from theory.methods.ssam import ssam
from theory.samplings import Sampling, full, samplings
from theory.schedules import read_schedule
from theory.setting import Setting, make_setting

reproducible = settings(deadline=None, derandomize=True, max_examples=50)

Slope = Callable[[Vector], Vector]
"""The sampled gradient of one step."""

Rule = Callable[[Slope, Vector, float, float], Vector]
"""x+ from the sampled gradient, x, gamma and rho."""


@pytest.fixture(autouse=True, params=["textbook", "auto"])
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here is passed by both tiers."""
    monkeypatch.setitem(TIER, "tier", request.param)


TIER: dict[str, Any] = {}


def simulate(setting: Setting, **arguments: Any) -> Run:
    return engine.simulate(setting, **TIER, **arguments)


@cache
def built(spec: str) -> Problem:
    return problems.build(spec)


def setting_of(problem: Problem, sampling: str | Sampling, method: str, **steps: Any) -> Setting:
    """gamma = 0.3/L_max and rho = 0.3/L_max unless given: the ascent bends and the descent is stable."""
    chosen = samplings.build(sampling, problem=problem) if isinstance(sampling, str) else sampling
    L = max(problem.L.value, float(np.max(problem.component_smoothness[0])))
    return make_setting(
        problem, sampling=chosen, method=methods.build(method), **{"gamma": 0.3 / L, "rho": 0.3 / L, **steps}
    )


def assert_same_run(one: Run, two: Run) -> None:
    for name in ("gap", "grad_norm2", "sums", "x", "diverged"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


# -- the rules as written on paper --


def unit(v: Vector) -> Vector:
    """v/||v||, and 0 for v = 0."""
    size = float(np.linalg.norm(v))
    return v / size if size > 0 else np.zeros_like(v)


def sgd_on_paper(slope: Slope, x: Vector, gamma: float, rho: float) -> Vector:
    return x - gamma * slope(x)


def unified_on_paper(slope: Slope, x: Vector, gamma: float, rho: float, *, lam: float) -> Vector:
    g = slope(x)
    return x - gamma * slope(x + rho * ((1 - lam) * g + lam * unit(g)))


def gsam_on_paper(slope: Slope, x: Vector, gamma: float, rho: float, *, alpha: float) -> Vector:
    g = slope(x)
    perturbed = slope(x + rho * unit(g))
    e = unit(perturbed)
    perpendicular = g - float(g @ e) * e
    return x - gamma * (perturbed - alpha * perpendicular)


def ssam_on_paper(slope: Slope, x: Vector, gamma: float, rho: float, *, normalised: bool) -> Vector:
    g = slope(x)
    perturbed = slope(x + rho * (unit(g) if normalised else g))
    return x - gamma * float(np.linalg.norm(g)) * unit(perturbed)


def path(slope: Slope, x: Vector, rho: float, steps: int, ascent: str) -> list[Vector]:
    """The gradients at z_0 = x, z_1, ..., z_n."""
    z, found = x, [slope(x)]
    for _ in range(steps):
        u = unit(found[-1])
        if ascent == "budget":
            z = z + rho / steps * u
        elif ascent == "fixed":
            z = z + rho * u
        elif ascent == "power":
            z = x + rho * u
        else:
            away = z + rho * u - x
            z = x + away * min(1.0, rho / float(np.linalg.norm(away)))
        found.append(slope(z))
    return found


def multi_on_paper(
    slope: Slope, x: Vector, gamma: float, rho: float, *, steps: int, ascent: str, descent: str, alpha: float = 0.5
) -> Vector:
    gradients = path(slope, x, rho, steps, ascent)
    if descent == "lookbehind":
        fast = x
        for gradient in gradients[1:]:
            fast = fast - gamma * gradient
        return x + alpha * (fast - x)
    chosen = {"last": gradients[-1:], "average": gradients[1:], "average-start": gradients}[descent]
    return np.asarray(x - gamma * np.mean(chosen, axis=0))


MULTI = {
    f"multi-sam:steps={steps},ascent={ascent},descent={descent}": partial(
        multi_on_paper, steps=steps, ascent=ascent, descent=descent
    )
    for ascent in ("budget", "fixed", "projected", "power")
    for steps, descent in ((2, "last"), (3, "average"), (4, "average-start"), (5, "last"))
}
RULES: dict[str, Rule] = {
    "sgd": sgd_on_paper,
    "gd": sgd_on_paper,
    "sam": partial(unified_on_paper, lam=1.0),
    "usam": partial(unified_on_paper, lam=0.0),
    "unified-sam:lam=0.3": partial(unified_on_paper, lam=0.3),
    "gsam:alpha=0.1": partial(gsam_on_paper, alpha=0.1),
    "gsam:alpha=-1.5": partial(gsam_on_paper, alpha=-1.5),
    "gsam:alpha=2": partial(gsam_on_paper, alpha=2.0),
    "ssam:ascent=unnormalised": partial(ssam_on_paper, normalised=False),
    "ssam:ascent=normalised": partial(ssam_on_paper, normalised=True),
    **MULTI,
    "multi-sam:steps=3,ascent=fixed,descent=lookbehind,alpha=0.5": partial(
        multi_on_paper, steps=3, ascent="fixed", descent="lookbehind"
    ),
    "multi-sam:steps=2,ascent=fixed,descent=lookbehind,alpha=0.8": partial(
        multi_on_paper, steps=2, ascent="fixed", descent="lookbehind", alpha=0.8
    ),
}
SOME = [
    "gsam:alpha=2",
    "ssam:ascent=unnormalised",
    "ssam:ascent=normalised",
    "multi-sam:steps=3,ascent=projected,descent=average",
]
# Every sampling is drawn on the first; each of the others is a class of problem of its own.
SUM = "quadratic-sum:n=5,d=3,indefinite=0.8"
WHERE = {
    "finite sum": (SUM, "uniform"),
    "quadratic": ("quadratic:d=9,mu=0.1,L=2,seed=3", "full"),
    "data": ("ridge:data=diabetes,reg=0.1", "replacement:tau=3"),
}
CURVED = "logistic:data=breast_cancer,reg=0.1,scale=columns"
each_place = pytest.mark.parametrize(("spec", "sampling"), WHERE.values(), ids=WHERE.keys())


def test_every_method_of_these_families_is_transcribed() -> None:
    files = {methods.builder(method.partition(":")[0]).__module__ for method in RULES}
    registered = {name for name in methods if methods.builder(name).__module__ in files}
    assert registered == {method.partition(":")[0] for method in RULES}


@pytest.mark.parametrize("method", RULES)
def test_a_name_is_a_spec_of_the_same_method(method: str) -> None:
    rule = methods.build(method)
    again = methods.build(rule.name)
    assert (again.name, again.data, again.lam.constant) == (method, rule.data, rule.lam.constant)


def on_paper(setting: Setting, rule: Rule, *, steps: int, seed: int, replicate: int, x0: Vector) -> tuple[Any, Any]:
    """x_0, ..., x_T and the running sums of ||g_s||^2, on draws made with whole numbers of Python."""
    slope = numpy_gradient(setting.problem)
    points, sums = [x0.copy()], [0.0]
    gamma, rho = setting.gamma.at(np.arange(steps)), setting.rho.at(np.arange(steps))
    for t in range(steps):
        indices, weights = drawn(setting.sampling.data, seed, replicate, t)

        def sampled(z: Vector, indices: Any = indices, weights: Any = weights) -> Vector:
            return slope(z, indices, weights)

        sums.append(sums[-1] + float(np.sum(sampled(points[-1]) ** 2)))
        points.append(rule(sampled, points[-1], float(gamma[t]), float(rho[t])))
    return np.array(points), np.array(sums)


def assert_agrees(setting: Setting, rule: Rule, *, steps: int = 20, replicates: int = 2, seed: int = 11) -> None:
    """The engine and the transcription differ by no more than 10 times what one ulp in the start does, plus 1e-12.

    Compared at every step until the twins part. The runs are short, because rounding chooses the phase of a cycle
    around the minimiser.
    """
    times = np.arange(steps + 1)
    run = simulate(setting, steps=steps, times=times, replicates=replicates, seed=seed, iterates=True)
    assert (run.diverged == -1).all()
    for r in range(replicates):
        x, sums = on_paper(setting, rule, steps=steps, seed=seed, replicate=r, x0=setting.x0)
        start = np.nextafter(setting.x0, np.inf)
        twin, others = on_paper(setting, rule, steps=steps, seed=seed, replicate=r, x0=start)
        size = float(np.abs(x).max())
        apart = np.maximum.accumulate(np.abs(x - twin).max(axis=1))
        together = int(np.searchsorted(apart, 1e-12 * size))
        assert together > 10
        slack = 1e-12 * size + 10 * apart
        assert (np.abs(run.points[r] - x).max(axis=1) <= slack)[:together].all()
        slack = 1e-12 * sums[-1] + 10 * np.maximum.accumulate(np.abs(sums - others))
        assert (np.abs(run.sums[r] - sums) <= slack)[:together].all()


@pytest.mark.parametrize("method", [method for method in RULES if method not in ("usam", "unified-sam:lam=0.3")])
@each_place
def test_the_rule_as_on_paper(spec: str, sampling: str, method: str) -> None:
    assert_agrees(setting_of(built(spec), sampling, method), RULES[method])


@pytest.mark.parametrize("method", SOME)
@pytest.mark.parametrize("kind", sampling_specs(5))
def test_every_sampling(kind: str, method: str) -> None:
    assert_agrees(setting_of(built(SUM), sampling_specs(5)[kind], method), RULES[method])


@pytest.mark.parametrize("method", SOME)
def test_schedules_reach_the_steps(method: str) -> None:
    rates = "cosine:start=0.3,end=0.01,steps=14"
    gamma, rho = (
        read_schedule(text, argument="step")
        for text in (f"warmup:steps=4,then={rates}", f"coupled:low=0.05,high=0.4,to=warmup:steps=4,then={rates}")
    )
    assert_agrees(setting_of(built(SUM), "uniform", method, gamma=gamma, rho=rho), RULES[method])


def test_a_wrong_transcription_is_noticed() -> None:
    setting = setting_of(built(SUM), "uniform", "gsam:alpha=2")
    with pytest.raises(AssertionError):
        assert_agrees(setting, partial(gsam_on_paper, alpha=2 + 1e-9))
    with pytest.raises(AssertionError):
        assert_agrees(setting, partial(unified_on_paper, lam=1.0))


@pytest.mark.parametrize("method", SOME)
def test_lam_is_not_read(method: str) -> None:
    one, two = (
        simulate(setting_of(built(SUM), "uniform", method, lam=lam), steps=20, replicates=2) for lam in (0.0, 0.7)
    )
    assert_same_run(one, two)


@pytest.mark.parametrize("method", SOME)
def test_the_same_bits_in_any_block_and_on_any_number_of_threads(method: str) -> None:
    setting = setting_of(built(SUM), "tau-nice:tau=2", method)
    whole = simulate(setting, steps=100, replicates=5, threads=1)
    assert_same_run(whole, simulate(setting, steps=100, replicates=5, threads=2))
    assert_same_run(whole, simulate(setting, steps=100, replicates=5, threads=3, block=7))


@pytest.mark.parametrize("method", RULES)
def test_the_kernels_run_as_they_stand_in_python(method: str) -> None:
    problem = built(CURVED)
    d, slope = problem.d, numpy_gradient(problem)
    setting = setting_of(problem, "full", method, rho=5.0)
    data, gamma, rho = setting.method.data, setting.gamma.largest, setting.rho.largest
    # Nothing is read of the scratch vectors that was not written before.
    room, g = np.full((scratch(data) - 1) * stride(d) + d, np.nan), np.full(d, np.nan)
    indices, weights = np.array([3, 14, 15]), np.array([100.0, 200.0, 269.0])
    x = np.random.default_rng(1).normal(size=d)
    expected = RULES[method](lambda z: slope(z, [3, 14, 15], [100.0, 200.0, 269.0]), x, gamma, rho)
    norm2 = step(data, problem.data, x, indices, weights, 3, gamma, rho, setting.lam.largest, g, room)
    np.testing.assert_allclose(x, expected, rtol=1e-12)
    assert norm2 > 0


@given(d=st.integers(1, 10**9))
@reproducible
def test_scratch_vectors_lie_apart_and_on_cache_lines(d: int) -> None:
    assert stride(d) >= d
    assert stride(d) - d < 8
    assert stride(d) % 8 == 0


def test_a_method_needs_one_scratch_vector_unless_it_says_otherwise() -> None:
    assert [scratch(methods.build(name).data) for name in ("sgd", "sam", "ssam", "gsam", "multi-sam")] == [
        1,
        1,
        1,
        2,
        2,
    ]


# -- one rule that is another --


def run_of(spec: str, sampling: str, method: str, **steps: Any) -> Run:
    return simulate(setting_of(built(spec), sampling, method, **steps), steps=150, replicates=3, seed=2)


@each_place
def test_gd_is_sgd(spec: str, sampling: str) -> None:
    assert_same_run(run_of(spec, sampling, "gd", rho=1.0), run_of(spec, sampling, "sgd"))


@pytest.mark.parametrize("rho", [0.1, 0.3, 0.77])
@each_place
def test_gsam_without_alpha_is_bitwise_sam(spec: str, sampling: str, rho: float) -> None:
    sam = run_of(spec, sampling, "sam", rho=rho)
    for alpha in ("0", "-0.0"):
        assert_same_run(run_of(spec, sampling, f"gsam:alpha={alpha}", rho=rho), sam)
    assert not np.array_equal(run_of(spec, sampling, "gsam:alpha=1e-6", rho=rho).x, sam.x)


@pytest.mark.parametrize("rho", [0.1, 0.3, 0.77])
@each_place
def test_one_ascent_step_is_bitwise_sam(spec: str, sampling: str, rho: float) -> None:
    sam = run_of(spec, sampling, "sam", rho=rho)
    for ascent in ("budget", "fixed", "projected", "power"):
        for descent in ("last", "average"):
            rule = f"multi-sam:steps=1,ascent={ascent},descent={descent}"
            assert_same_run(run_of(spec, sampling, rule, rho=rho), sam)
    assert_same_run(run_of(spec, sampling, "multi-sam:steps=1,ascent=fixed,descent=lookbehind,alpha=1", rho=rho), sam)


@pytest.mark.parametrize("method", [m for m in RULES if "lookbehind" not in m and m not in ("sgd", "gd")])
@each_place
def test_radius_zero_is_bitwise_sgd(spec: str, sampling: str, method: str) -> None:
    assert_same_run(run_of(spec, sampling, method, rho=0.0), run_of(spec, sampling, "sgd"))


@each_place
def test_lookbehind_with_radius_zero_is_sgd_with_a_longer_step(spec: str, sampling: str) -> None:
    behind = "multi-sam:steps=3,ascent=fixed,descent=lookbehind,alpha=0.5"
    L = setting_of(built(spec), sampling, "sgd").gamma.largest / 0.3
    found = run_of(spec, sampling, behind, rho=0.0, gamma=0.2 * L)
    np.testing.assert_allclose(found.x, run_of(spec, sampling, "sgd", gamma=0.3 * L).x, rtol=1e-11, atol=1e-13)


def rank_one_problems() -> dict[str, Problem]:
    rng = np.random.default_rng(5)
    A, b = rng.normal(size=(12, 4)), rng.normal(size=12)
    return {
        "ridge": LeastSquaresProblem.from_arrays(A, b, reg=0.0),
        "logistic": LogisticProblem.from_arrays(A, np.where(b > 0, 1.0, -1.0), reg=0.0),
    }


@pytest.mark.parametrize("ascent", ["unnormalised", "normalised"])
@pytest.mark.parametrize("name", ["ridge", "logistic"])
def test_ssam_with_one_component_of_a_linear_model_is_sgd(name: str, ascent: str) -> None:
    """Both gradients are positive multiples of the same a_i (multistep page, B5)."""
    problem = rank_one_problems()[name]
    for rho in (0.05, 0.5, 3.0):
        steps = {"gamma": 0.1, "rho": rho}
        sgd, found = (
            simulate(setting_of(problem, "uniform", method, **steps), steps=60, replicates=5, seed=3).x
            for method in ("sgd", f"ssam:ascent={ascent}")
        )
        np.testing.assert_allclose(found, sgd, rtol=0, atol=1e-12 * np.abs(sgd).max())
        pairs, others = (
            simulate(setting_of(problem, "tau-nice:tau=2", method, **steps), steps=60, replicates=5, seed=3).x
            for method in ("sgd", f"ssam:ascent={ascent}")
        )
        assert np.abs(pairs - others).max() > 1e-3


@pytest.mark.parametrize("ascent", ["budget", "projected", "power"])
def test_from_an_eigenvector_every_number_of_steps_is_one_step(ascent: str) -> None:
    """multistep page, A1: z_n = x + rho x/||x|| along an eigenvector with a positive eigenvalue."""
    H = np.array([[2.0, 1.0], [1.0, 2.0]])
    problem = Quadratic.from_matrix(H)
    for x0 in ([0.7, 0.7], [0.4, -0.4], [1.3, 1.3]):
        steps = {"gamma": 0.2, "rho": 0.3, "x0": np.array(x0)}
        one = simulate(setting_of(problem, "full", "sam", **steps), steps=1).x
        for n in (2, 5, 20):
            found = simulate(setting_of(problem, "full", f"multi-sam:steps={n},ascent={ascent}", **steps), steps=1).x
            np.testing.assert_allclose(found, one, rtol=1e-14)
    # Elsewhere the steps turn towards the larger eigenvalue.
    steps = {"gamma": 0.2, "rho": 0.3, "x0": np.array([0.9, -0.2])}
    one = simulate(setting_of(problem, "full", "sam", **steps), steps=1).x
    found = simulate(setting_of(problem, "full", f"multi-sam:steps=5,ascent={ascent}", **steps), steps=1).x
    assert np.abs(found - one).max() > 1e-4


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_amplitude_of_the_cycle(n: int) -> None:
    """multistep page, A8: gamma h r/(2 - gamma h) along an eigenvector, r the mean radius of the gradients taken."""
    gamma, h, rho = 0.4, 1.5, 0.3
    problem = Quadratic.from_matrix(np.diag([0.2, h]))
    radii = {
        "budget,descent=last": rho,
        "budget,descent=average": rho * (n + 1) / (2 * n),
        "budget,descent=average-start": rho / 2,
        "fixed,descent=last": n * rho,
        "fixed,descent=average": rho * (n + 1) / 2,
        "projected,descent=average": rho,
        "power,descent=last": rho,
    }
    for rule, radius in radii.items():
        setting = setting_of(
            problem, "full", f"multi-sam:steps={n},ascent={rule}", gamma=gamma, rho=rho, x0=np.array([0.0, 1.0])
        )
        x = np.array([simulate(setting, steps=T, times=[]).x[0, 1] for T in (400, 401)])
        np.testing.assert_allclose(np.abs(x), gamma * h * radius / (2 - gamma * h), rtol=1e-9)
        assert x[0] * x[1] < 0


def test_on_a_line_ssam_is_gd_and_gsam_is_sam() -> None:
    problem = Quadratic.from_matrix([[1.5]])
    steps = {"gamma": 0.4, "rho": 0.3, "x0": np.array([1.0])}
    runs = {
        name: simulate(setting_of(problem, "full", name, **steps), steps=40, times=np.arange(41))
        for name in ("sgd", "sam", "ssam", "ssam:ascent=normalised", "gsam:alpha=0.7", "gsam:alpha=-3")
    }
    for name in ("ssam", "ssam:ascent=normalised"):
        np.testing.assert_allclose(runs[name].gap, runs["sgd"].gap, rtol=1e-12)
    for name in ("gsam:alpha=0.7", "gsam:alpha=-3"):
        np.testing.assert_allclose(runs[name].gap, runs["sam"].gap, rtol=1e-12)


# -- gradients that vanish or overflow --


@pytest.mark.parametrize("method", RULES)
def test_a_point_without_gradient_is_not_left(method: str) -> None:
    for spec, sampling in (
        ("quadratic:d=9,mu=0.1,L=2,seed=3", "full"),
        ("quadratic-sum:n=4,d=3,noise=0", "uniform"),
    ):
        problem = built(spec)
        assert problem.minimiser is not None
        run = simulate(setting_of(problem, sampling, method, x0=problem.minimiser), steps=50, replicates=2)
        np.testing.assert_array_equal(run.x, np.tile(problem.minimiser, (2, 1)))
        assert (run.gap == 0).all()
        assert (run.diverged == -1).all()


@pytest.mark.parametrize("method", [m for m in RULES if "lookbehind" not in m])
def test_a_gradient_whose_square_underflows_counts_as_zero(method: str) -> None:
    problem = Quadratic.from_matrix(np.diag([1.0, 2.0]))
    x0 = np.array([1e-170, -1e-180])
    run = simulate(setting_of(problem, "full", method, x0=x0, gamma=0.25, rho=1.0), steps=1, replicates=2)
    np.testing.assert_allclose(run.x, np.tile(x0 * [0.75, 0.5], (2, 1)), rtol=1e-15)


@pytest.mark.parametrize("method", SOME)
def test_empty_draws_do_nothing(method: str) -> None:
    setting = setting_of(built("quadratic-sum:n=5,d=3,seed=1"), "independent:p=1e-9", method, gamma=0.1, rho=0.1)
    run = simulate(setting, steps=100, replicates=3)
    np.testing.assert_array_equal(run.x, np.tile(setting.x0, (3, 1)))


# f(x) = -x^2/2: from x = 1/2 the ascent of length 1/2 ends at the stationary point 0, where every gradient is 0.
AT_A_STATIONARY_POINT = {
    "sam": (0.5, 0.5),
    "gsam:alpha=0": (0.5, 0.5),
    "gsam:alpha=0.3": (0.5, 0.5 + 0.1 * 0.3 * -0.5),
    "gsam:alpha=-2": (0.5, 0.5 + 0.1 * -2 * -0.5),
    "ssam:ascent=normalised": (0.5, 0.5),
    "ssam:ascent=unnormalised": (1.0, 0.5),
    "multi-sam:steps=1": (0.5, 0.5),
    "multi-sam:steps=3,ascent=fixed": (0.5, 0.5),
    "multi-sam:steps=4,ascent=projected": (0.5, 0.5),
    "multi-sam:steps=4,ascent=power": (0.5, 0.5),
    "multi-sam:steps=3,ascent=power,descent=average": (0.5, 0.5),
    "multi-sam:steps=2,ascent=budget": (0.5, 0.5),
    "multi-sam:steps=2,ascent=budget,descent=average": (0.5, 0.5 + 0.1 * 0.125),
    "multi-sam:steps=3,ascent=power,descent=average-start": (0.5, 0.5 + 0.1 * 0.125),
    "multi-sam:steps=3,ascent=fixed,descent=lookbehind": (0.5, 0.5),
}


@pytest.mark.parametrize("method", AT_A_STATIONARY_POINT)
def test_an_ascent_that_ends_at_a_stationary_point(method: str) -> None:
    rho, expected = AT_A_STATIONARY_POINT[method]
    problem = Quadratic.with_eigenvalues([-1.0], basis="rotated")
    setting = setting_of(problem, "full", method, gamma=0.1, rho=rho, x0=np.array([0.5]))
    run = simulate(setting, steps=1)
    assert run.x[0, 0] == pytest.approx(expected, rel=1e-15)
    assert (run.diverged == -1).all()


def test_ssam_on_the_falling_axis_of_a_saddle() -> None:
    """multistep page, B1: y is multiplied by 1 + gamma h sign(1 - rho h) or 1 + gamma h sign(|y| - rho), h = 2."""
    problem = Quadratic.with_eigenvalues([-2.0], basis="rotated")
    for ascent, rho, sign in (
        ("unnormalised", 0.4, 1),
        ("unnormalised", 0.6, -1),
        ("normalised", 0.2, 1),
        ("normalised", 0.8, -1),
    ):
        setting = setting_of(problem, "full", f"ssam:ascent={ascent}", gamma=0.1, rho=rho, x0=np.array([0.5]))
        assert simulate(setting, steps=1).x[0, 0] == pytest.approx(0.5 * (1 + 0.2 * sign), rel=1e-14)


def test_a_perturbed_gradient_that_overflows_ends_a_run_of_ssam() -> None:
    problem = Quadratic.from_matrix(np.diag([1.0, 2.0]))
    for ascent in ("unnormalised", "normalised"):
        run = simulate(
            setting_of(problem, "full", f"ssam:ascent={ascent}", gamma=0.1, rho=1e200, x0=np.ones(2)),
            steps=10,
            times=[0, 10],
        )
        assert run.diverged[0] == 0
        assert np.isnan(run.gap[0, 1])


# -- bad input --

BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: methods.build("gsam:alpha=much"), r"alpha of method 'gsam' must be a number, got 'much'"),
    (lambda: methods.build("gsam:alpha=inf"), r"alpha of method 'gsam' must be a finite number, got 'inf'"),
    (lambda: gsam(math.nan), r"alpha of method 'gsam' must be a finite number, got nan"),
    (lambda: methods.build("gsam:beta=1"), r"unknown key 'beta' in method 'gsam:beta=1'"),
    (lambda: methods.build("gsma"), r"unknown method 'gsma'; the nearest is 'gsam'"),
    (lambda: methods.build("multi-sam:steps=0"), r"steps of method 'multi-sam' must be a whole number >= 1, got 0"),
    (lambda: methods.build("multi-sam:steps=2.5"), r"steps of method 'multi-sam' must be a whole number, got '2.5'"),
    (lambda: multi_sam(steps=True), r"steps of method 'multi-sam' must be a whole number >= 1, got True"),
    (
        lambda: methods.build("multi-sam:ascent=steep"),
        r"ascent of method 'multi-sam' must be one of budget, fixed, projected, power, got 'steep'",
    ),
    (
        lambda: multi_sam(descent="first"),
        r"descent of method 'multi-sam' must be one of last, average, average-start, lookbehind, got 'first'",
    ),
    (
        lambda: methods.build("multi-sam:descent=lookbehind"),
        r"ascent of method 'multi-sam' must be fixed, the path of descent=lookbehind; got 'budget'",
    ),
    (
        lambda: methods.build("multi-sam:ascent=fixed,descent=lookbehind,alpha=0"),
        r"alpha of method 'multi-sam' must be in \(0, 1\], got 0",
    ),
    (
        lambda: methods.build("multi-sam:ascent=fixed,descent=lookbehind,alpha=1.5"),
        r"alpha of method 'multi-sam' must be in \(0, 1\], got 1.5",
    ),
    (
        lambda: methods.build("multi-sam:alpha=0.5"),
        r"alpha of method 'multi-sam' is read by descent=lookbehind alone; leave it out, got 0.5",
    ),
    (
        lambda: methods.build("ssam:ascent=steep"),
        r"ascent of method 'ssam' must be one of unnormalised, normalised, got 'steep'",
    ),
    (lambda: ssam("steep"), r"ascent of method 'ssam' must be one of unnormalised, normalised"),
    (lambda: methods.build("ssam:alpha=1"), r"unknown key 'alpha' in method 'ssam:alpha=1'"),
    (lambda: methods.build("gd:alpha=1"), r"unknown key 'alpha' in method 'gd:alpha=1'; it takes none"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_ends_in_one_sentence(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_defaults() -> None:
    names = [methods.build(name).name for name in ("gsam", "ssam", "multi-sam", "gd")]
    assert names == ["gsam:alpha=0.1", "ssam:ascent=unnormalised", "multi-sam:steps=3,ascent=budget,descent=last", "gd"]
    assert multi_sam(2, "fixed", "lookbehind").data.alpha == 0.5
    for name, lam in (("gsam", 1.0), ("multi-sam", 1.0), ("ssam", 0.0), ("ssam:ascent=normalised", 1.0)):
        rule = methods.build(name)
        assert (rule.lam.constant, rule.uses_rho, rule.uses_lam) == (lam, True, False)
    assert not methods.build("gd").uses_rho
    assert make_setting(built(SUM), sampling=full(5), method=gsam()).lam.constant == 1.0
