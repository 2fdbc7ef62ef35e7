"""The engine runs what is written on paper, the same bits however it is run, and notices when it breaks."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from experiments.engine import dispatch
from experiments.engine.run import Progress, Run, one_step, record_times
from experiments.engine.run import simulate as simulate_in_any_tier
from problems.errors import InputError
from problems.glm import LeastSquaresProblem, LogisticProblem
from problems.kernel import gap, gradient, helper, keep, step
from problems.pl import PLSine
from problems.problem import Constant, Grade, Problem, Vector, exact, problems
from problems.quadratics import DiagonalQuadratic, FiniteSumOfQuadratics, Quadratic
from tests.strategies import SPECS, drawn, numpy_gradient, sampling_specs
from theory.methods.method import Method, methods
from theory.methods.sgd import SGD
from theory.methods.unified_sam import UnifiedSAM
from theory.samplings import Sampling, full, largest_smoothness, listed, replacement, samplings, single, tau_nice
from theory.schedules import constant, read_schedule
from theory.setting import Setting, make_setting

simulate = partial(simulate_in_any_tier, tier="textbook")
"""The fast tier has a file of its own."""

reproducible = settings(deadline=None, derandomize=True, max_examples=100)

METHODS = ("sgd", "usam", "unified-sam:lam=0.3", "unified-sam:lam=0.5", "sam")
MIXING = {"sgd": 0.0, "usam": 0.0, "sam": 1.0}


@cache
def built(spec: str) -> Problem:
    return problems.build(spec)


def setting_of(
    problem: Problem, sampling: Sampling | str | None = None, method: str = "unified-sam:lam=0.5", **steps: Any
) -> Setting:
    """A setting with moderate steps: gamma = 0.3/L_S and rho = 0.1/L_S unless given."""
    chosen = samplings.build(sampling, problem=problem) if isinstance(sampling, str) else sampling or full(problem.n)
    L = max(problem.L.value, largest_smoothness(problem, chosen).value)
    return make_setting(
        problem, sampling=chosen, method=methods.build(method), **{"gamma": 0.3 / L, "rho": 0.1 / L, **steps}
    )


def assert_same_bits(one: Run, two: Run) -> None:
    assert one.ways == two.ways
    for field in fields(Run):
        if field.name == "ways":
            continue
        first, second = getattr(one, field.name), getattr(two, field.name)
        assert first.shape == second.shape
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second, err_msg=field.name)


# -- the update as written on paper --

Number = Callable[[int], float]


@dataclass
class Trace:
    """Every iterate x_0, ..., x_T, the running sums of ||g_s||^2, and the first step with a norm that is not finite."""

    x: NDArray[np.float64]
    sums: Vector
    broken: int


def on_paper(
    setting: Setting,
    *,
    steps: int,
    seed: int,
    replicate: int,
    gamma: Number,
    rho: Number,
    lam: Number | None,
    x0: Vector,
) -> Trace:
    """SGD (lam None) or Unified SAM in NumPy, on draws made with whole numbers of Python."""
    slope = numpy_gradient(setting.problem)
    x = x0.copy()
    path, sums = [x.copy()], [0.0]
    for t in range(steps):
        indices, weights = drawn(setting.sampling.data, seed, replicate, t)
        with np.errstate(over="ignore", invalid="ignore"):
            g = slope(x, indices, weights)
            size2 = float(np.sum(g * g))
            norm = math.sqrt(size2)
            if lam is None:
                x = x - gamma(t) * g
            else:
                push = np.zeros_like(g) if norm == 0 else rho(t) * ((1 - lam(t)) * g + lam(t) * (g / norm))
                x = x - gamma(t) * slope(x + push, indices, weights)
        if not math.isfinite(size2):
            return Trace(np.array(path), np.array(sums), t)
        path.append(x.copy())
        sums.append(sums[-1] + size2)
    return Trace(np.array(path), np.array(sums), -1)


def assert_agrees(
    setting: Setting,
    method: str,
    *,
    steps: int = 100,
    gamma: Number | None = None,
    rho: Number | None = None,
    lam: Number | None = None,
    replicates: int = 2,
    seed: int = 11,
) -> None:
    """The engine and the transcription differ by no more than 10 times what one ulp in the start does, plus 1e-12."""
    mixing = MIXING.get(method, float(method.rpartition("=")[2]) if "=" in method and lam is None else 0.0)
    numbers: dict[str, Any] = {
        "gamma": gamma or (lambda t: setting.gamma.largest),
        "rho": rho or (lambda t: setting.rho.largest),
        "lam": None if method == "sgd" else lam or (lambda t: mixing),
    }
    times = np.unique(np.concatenate([np.arange(0, steps + 1, 7), [1, 2, 3, steps]]))
    run = simulate(setting, steps=steps, times=times, replicates=replicates, seed=seed)
    assert (run.diverged == -1).all()
    problem = setting.problem
    for r in range(replicates):
        one = on_paper(setting, steps=steps, seed=seed, replicate=r, x0=setting.x0, **numbers)
        nudged = np.nextafter(setting.x0, np.inf)
        twin = on_paper(setting, steps=steps, seed=seed, replicate=r, x0=nudged, **numbers)
        size = float(np.abs(one.x).max()) + float(np.abs(one.x - one.x[0]).max())
        apart = 10 * float(np.abs(one.x[-1] - twin.x[-1]).max())
        np.testing.assert_allclose(run.x[r], one.x[-1], rtol=0, atol=1e-12 * size + apart)
        parts = 10 * np.abs(one.sums - twin.sums)[times]
        np.testing.assert_allclose(run.sums[r], one.sums[times], rtol=0, atol=1e-12 * one.sums[-1] + parts.max())
        for k in (0, 1, 3, len(times) // 2, len(times) - 1):
            x, y = one.x[times[k]], twin.x[times[k]]
            scale = problem.gap(one.x[0]) + problem.gap(x)
            twins = 10 * abs(problem.gap(x) - problem.gap(y))
            assert run.gap[r, k] == pytest.approx(problem.gap(x), rel=1e-12, abs=1e-12 * scale + twins)
            norms = [float(np.sum(problem.gradient(z) ** 2)) for z in (x, y, one.x[0])]
            slack = 1e-12 * (norms[0] + norms[2] + one.sums[-1]) + 10 * abs(norms[0] - norms[1])
            assert run.grad_norm2[r, k] == pytest.approx(norms[0], abs=slack)


# One setting for each class of kernel data; the samplings go round.
EACH_CLASS = {
    type(built(spec).data).__name__ + (" shifted" if "additive" in spec else ""): spec
    for spec in (
        "quadratic:d=6,mu=0.1,L=2,seed=3",
        "quadratic:d=6,mu=0.1,L=2,basis=diagonal",
        "quadratic-sum:n=5,d=3,indefinite=0.8",
        "ridge:data=diabetes,reg=0.1",
        "logistic:data=breast_cancer,reg=0.1,scale=columns",
        "pl-sine:d=4,a=4.5,n=5,noise=multiplicative,level=0.7",
        "pl-sine:d=4,a=2,n=6,noise=additive,level=2,map=rotated",
        "tent:a=0.4,rho=1,beta=2",
        "sine-stall",
    )
}
each_class = pytest.mark.parametrize("spec", EACH_CLASS.values(), ids=EACH_CLASS.keys())


@pytest.mark.parametrize("method", METHODS)
@each_class
def test_every_method_on_every_class_of_problem(spec: str, method: str) -> None:
    problem = built(spec)
    assert_agrees(setting_of(problem, "full" if problem.n == 1 else "uniform", method), method)


@pytest.mark.parametrize("spec", SPECS)
def test_every_registered_problem(spec: str) -> None:
    problem = built(spec)
    kinds = list(sampling_specs(problem.n).values()) if problem.n <= 10 else ["uniform", "importance", "tau-nice:tau=8"]
    sampling = "full" if problem.n == 1 else kinds[SPECS.index(spec) % len(kinds)]
    # With a large part of SAM's own radius the last phase would be a cycle whose phase rounding chooses.
    assert_agrees(setting_of(problem, sampling), "unified-sam:lam=0.5", steps=60)


@pytest.mark.parametrize("method", ["sgd", "unified-sam:lam=0.5"])
@pytest.mark.parametrize("kind", sampling_specs(5))
@pytest.mark.parametrize("spec", ["quadratic-sum:n=5,d=3,seed=1", "pl-sine:d=4,a=2,n=5,noise=additive"])
def test_every_sampling(spec: str, kind: str, method: str) -> None:
    assert_agrees(setting_of(built(spec), sampling_specs(5)[kind], method), method)


@pytest.mark.parametrize("kind", ["importance", "tau-nice", "replacement", "partition"])
@pytest.mark.parametrize("spec", ["ridge:data=diabetes,reg=0.1", "logistic:data=breast_cancer,reg=0.1,scale=columns"])
def test_batches_of_data(spec: str, kind: str) -> None:
    sampling = {"tau-nice": "tau-nice:tau=9", "replacement": "replacement:tau=9", "partition": "partition:blocks=30"}
    assert_agrees(setting_of(built(spec), sampling.get(kind, kind), "unified-sam:lam=0.3"), "unified-sam:lam=0.3")


SCHEDULES: dict[str, tuple[dict[str, str], dict[str, Number]]] = {
    "lam = 1/(t+1)": ({"lam": "inverse:start=1,slope=1"}, {"lam": lambda t: 1 / (t + 1)}),
    "lam = 1-1/(t+1)": ({"lam": "one-minus-inverse"}, {"lam": lambda t: 1 - 1 / (t + 1)}),
    "decreasing steps": (
        {"gamma": "decreasing:start=0.2,mu=0.5", "rho": "inverse:start=0.05,slope=2"},
        {"gamma": lambda t: min(0.2, (2 * t + 1) / ((t + 1) ** 2 * 0.5)), "rho": lambda t: min(0.05, 1 / (2 * t + 1))},
    ),
    "all of them": (
        {
            "gamma": "inverse:start=0.2,slope=0.1",
            "rho": "one-minus-inverse:slope=0.001",
            "lam": "inverse:start=0.9,slope=3",
        },
        {
            "gamma": lambda t: min(0.2, 1 / (0.1 * t + 1)),
            "rho": lambda t: 1 - 1 / (0.001 * t + 1),
            "lam": lambda t: min(0.9, 1 / (3 * t + 1)),
        },
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_reach_the_steps(name: str) -> None:
    texts, numbers = SCHEDULES[name]
    schedules: dict[str, Any] = {key: read_schedule(text, argument=key) for key, text in texts.items()}
    setting = setting_of(built("quadratic-sum:n=5,d=3,seed=1"), "uniform", **schedules)
    assert_agrees(
        setting, "unified-sam:lam=0.5", gamma=numbers.get("gamma"), rho=numbers.get("rho"), lam=numbers.get("lam")
    )
    # Blocks shorter than the run read the same values.
    whole, pieces = (simulate(setting, steps=50, replicates=2, block=block) for block in (50, 3))
    assert_same_bits(whole, pieces)


def test_a_wrong_transcription_is_noticed() -> None:
    setting = setting_of(built("quadratic-sum:n=5,d=3,seed=1"), "uniform")
    with pytest.raises(AssertionError):
        assert_agrees(setting, "unified-sam:lam=0.5", lam=lambda t: 0.5 + 1e-9)
    with pytest.raises(AssertionError):
        assert_agrees(replace(setting, gamma=constant(setting.gamma.largest * (1 + 1e-9))), "sgd")


def test_the_sums_are_those_of_the_sampled_gradients_before_the_time() -> None:
    setting = setting_of(built("quadratic-sum:n=5,d=3,seed=1"), "uniform", "sgd")
    run = simulate(setting, steps=20, times=np.arange(21), replicates=2)
    assert (run.sums[:, 0] == 0).all()
    assert (np.diff(run.sums, axis=1) >= 0).all()
    full_batch = simulate(setting_of(setting.problem, None, "sgd"), steps=20, times=np.arange(21), replicates=2)
    np.testing.assert_allclose(np.diff(full_batch.sums, axis=1), full_batch.grad_norm2[:, :-1], rtol=1e-12)


@given(p=st.lists(st.sampled_from([0.2, 0.5, 1.0]), min_size=3, max_size=3), radius=st.floats(0.01, 10))
@settings(reproducible, max_examples=20)
def test_one_step_from_every_atom(p: list[float], radius: float) -> None:
    problem = built("parabolas:h=1/2/5,slopes=1/-1/0")
    sampling = single(np.array(p) / sum(p))
    atoms = list(sampling.atoms())
    setting = setting_of(problem, sampling)
    x = np.full((len(atoms), 1), radius)
    run = one_step(setting, listed(atoms, 3), x, gamma=0.1, rho=0.2, lam=0.5)
    assert (x == radius).all()
    for row, atom in enumerate(atoms):
        g = problem.minibatch_gradient(x[row], atom.indices, atom.weights)
        y = x[row] + 0.2 * (0.5 * g + 0.5 * np.sign(g))
        expected = x[row] - 0.1 * problem.minibatch_gradient(y, atom.indices, atom.weights)
        np.testing.assert_allclose(run.x[row], expected, rtol=1e-12, atol=1e-13 * radius)


# -- the same bits however it is run --

BITS = {
    "single": ("quadratic-sum:n=5,d=3,seed=1", "importance"),
    "tau-nice": ("quadratic-sum:n=5,d=3,seed=1", "tau-nice:tau=3"),
    "independent": ("pl-sine:d=4,a=2,n=6,noise=additive", "independent:p=0.4"),
    "full": ("quadratic:d=6,mu=0.1,L=2,seed=3", "full"),
    "data": ("logistic:data=breast_cancer,reg=0.1,scale=columns", "replacement:tau=3"),
}
each_setting = pytest.mark.parametrize(("spec", "sampling"), BITS.values(), ids=BITS.keys())


def bits_setting(spec: str, sampling: str) -> Setting:
    schedule = read_schedule("inverse:start=0.4,slope=0.01", argument="lam")
    return setting_of(built(spec), sampling, lam=schedule)


@each_setting
def test_same_bits_for_any_number_of_threads(spec: str, sampling: str) -> None:
    setting = bits_setting(spec, sampling)
    one = simulate(setting, steps=200, replicates=7, seed=5, threads=1)
    for threads in (2, 3, 16, None):
        assert_same_bits(one, simulate(setting, steps=200, replicates=7, seed=5, threads=threads))


@each_setting
@pytest.mark.parametrize("block", [1, 7, 64, 199, 200, 201])
def test_same_bits_for_any_block(spec: str, sampling: str, block: int) -> None:
    setting = bits_setting(spec, sampling)
    whole = simulate(setting, steps=200, replicates=2, seed=5)
    assert_same_bits(whole, simulate(setting, steps=200, replicates=2, seed=5, block=block))


@each_setting
def test_same_bits_for_any_record_times(spec: str, sampling: str) -> None:
    setting = bits_setting(spec, sampling)
    every = simulate(setting, steps=150, times=np.arange(151), replicates=2, seed=5)
    for times in ([0, 150], [150], [], [3, 3, 64, 65], list(range(0, 151, 10))):
        chosen = np.array(times, dtype=np.int64)
        some = simulate(setting, steps=150, times=chosen, replicates=2, seed=5, block=40)
        np.testing.assert_array_equal(some.x, every.x)
        for name in ("gap", "grad_norm2", "sums"):
            np.testing.assert_array_equal(getattr(some, name), getattr(every, name)[:, chosen])
    np.testing.assert_array_equal(simulate(setting, steps=150, replicates=2, seed=5).x, every.x)


@each_setting
def test_same_bits_when_the_replicates_are_run_in_parts(spec: str, sampling: str) -> None:
    setting = bits_setting(spec, sampling)
    whole = simulate(setting, steps=100, replicates=7, seed=5)
    parts = [simulate(setting, steps=100, replicates=n, first_replicate=k, seed=5) for k, n in ((0, 2), (2, 4), (6, 1))]
    for name in ("gap", "grad_norm2", "sums", "x", "diverged"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    setting = bits_setting(*BITS["tau-nice"])
    times = np.arange(0, 101, 5)
    short, long = (simulate(setting, steps=steps, times=times, replicates=2) for steps in (100, 1000))
    np.testing.assert_array_equal(short.gap, long.gap)


def test_times_of_each_replicate() -> None:
    setting = bits_setting(*BITS["single"])
    every = simulate(setting, steps=100, times=np.arange(101), replicates=3)
    own = np.array([[0, 10, 100], [0, 0, 7], [99, 100, 100]])
    run = simulate(setting, steps=100, times=own, replicates=3, threads=2)
    np.testing.assert_array_equal(run.times, own)
    for name in ("gap", "grad_norm2", "sums"):
        np.testing.assert_array_equal(getattr(run, name), np.take_along_axis(getattr(every, name), own, axis=1))


def test_seeds_and_replicates_are_different_runs() -> None:
    setting = bits_setting(*BITS["single"])
    x = [simulate(setting, steps=30, replicates=3, seed=seed).x for seed in (0, 1)]
    assert len(np.unique(np.concatenate(x), axis=0)) == 6
    # Without randomness all are alike.
    alike = simulate(bits_setting(*BITS["full"]), steps=30, replicates=3).x
    assert len(np.unique(alike, axis=0)) == 1


def test_nothing_that_was_given_is_changed() -> None:
    setting = bits_setting(*BITS["tau-nice"])
    start, times = setting.x0.copy(), np.array([0, 5, 9])
    before = [np.array(entry) for entry in (*setting.sampling.data, *setting.problem.data)]
    simulate(setting, steps=9, times=times, replicates=2)
    np.testing.assert_array_equal(setting.x0, start)
    for one, two in zip(before, (*setting.sampling.data, *setting.problem.data), strict=True):
        np.testing.assert_array_equal(one, two)
    assert times.tolist() == [0, 5, 9]


# -- special values of rho and lam --


@pytest.mark.parametrize("spec", SPECS)
def test_radius_zero_is_bitwise_sgd(spec: str) -> None:
    problem = built(spec)
    sampling = "full" if problem.n == 1 else "uniform"
    base = simulate(setting_of(problem, sampling, "sgd"), steps=100, replicates=2, seed=2)
    for method in ("usam", "unified-sam:lam=0.5", "sam"):
        assert_same_bits(
            simulate(setting_of(problem, sampling, method, rho=0.0), steps=100, replicates=2, seed=2), base
        )
    assert_same_bits(simulate(setting_of(problem, sampling, "sgd", rho=5.0), steps=100, replicates=2, seed=2), base)


@each_class
def test_names_for_the_ends_of_lam(spec: str) -> None:
    problem = built(spec)
    sampling = "full" if problem.n == 1 else "uniform"
    for name, lam in (("usam", "0"), ("sam", "1")):
        named = simulate(setting_of(problem, sampling, name), steps=100, replicates=2)
        for text in (lam, f"constant:value={lam}"):
            method = f"unified-sam:lam={text}"
            assert_same_bits(simulate(setting_of(problem, sampling, method), steps=100, replicates=2), named)
    varying = read_schedule("inverse:start=0,slope=1", argument="lam")
    usam = simulate(setting_of(problem, sampling, "usam"), steps=100, replicates=2)
    assert_same_bits(simulate(setting_of(problem, sampling, lam=varying), steps=100, replicates=2), usam)


# -- zero gradients --

STILL = [
    "quadratic:d=6,mu=0.1,L=2,seed=3",
    "quadratic:d=6,mu=0.1,L=2,basis=diagonal",
    "random-qp:d=5,cond=50",
    "quadratic-sum:n=4,d=3,noise=0",
    "pl-sine:d=4,a=3",
    "pl-sine:d=4,a=4.5,n=5,noise=multiplicative,level=0.7",
    "parabolas:h=1/2/5",
    "tent:a=0.4,rho=1,beta=2",
]


@pytest.mark.parametrize("spec", STILL)
@pytest.mark.parametrize("method", METHODS)
def test_a_point_without_gradient_is_not_left(spec: str, method: str) -> None:
    problem = built(spec)
    assert problem.minimiser is not None
    for sampling in ("full", "uniform") if problem.n > 1 else ("full",):
        # Only problems whose minimiser has an exactly zero gradient are listed.
        assert not problem.gradient(problem.minimiser).any()
        run = simulate(setting_of(problem, sampling, method, x0=problem.minimiser), steps=50, replicates=2)
        np.testing.assert_array_equal(run.x, np.tile(problem.minimiser, (2, 1)))
        assert (run.gap == 0).all()
        assert (run.sums == 0).all()
        assert (run.diverged == -1).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_gradient_whose_square_underflows_counts_as_zero(method: str) -> None:
    problem = Quadratic.from_matrix(np.diag([1.0, 2.0]))
    x0 = np.array([1e-170, -1e-180])
    run = simulate(setting_of(problem, None, method, x0=x0, gamma=0.25, rho=1.0), steps=1, replicates=2)
    np.testing.assert_allclose(run.x, np.tile(x0 * [0.75, 0.5], (2, 1)), rtol=1e-15)


def test_empty_draws_do_nothing() -> None:
    problem = built("quadratic-sum:n=5,d=3,seed=1")
    setting = setting_of(problem, "independent:p=1e-9", "sam", gamma=0.1, rho=0.1)
    run = simulate(setting, steps=100, replicates=3)
    np.testing.assert_array_equal(run.x, np.tile(setting.x0, (3, 1)))
    assert (run.sums == 0).all()


# -- divergence --


@pytest.mark.parametrize("method", ["sgd", "unified-sam:lam=0.5", "sam"])
@pytest.mark.parametrize("gamma", [2.5, 40.0, 1e9])
def test_divergence_is_noticed_at_the_step_it_happens(method: str, gamma: float) -> None:
    problem = built("quadratic-sum:n=5,d=3,seed=1")
    setting = setting_of(problem, "uniform", method, gamma=gamma, rho=0.1)
    steps = 20_000
    run = simulate(setting, steps=steps, times=np.array([0, 2, steps]), replicates=3, seed=4)
    mixing = {"sgd": None, "sam": 1.0}.get(method, 0.5)
    for r in range(3):
        lam = None if mixing is None else (lambda t, mixing=mixing: mixing)
        paper = on_paper(
            setting, steps=steps, seed=4, replicate=r, gamma=lambda t: gamma, rho=lambda t: 0.1, lam=lam, x0=setting.x0
        )
        assert paper.broken > 0
        assert run.diverged[r] == paper.broken
        assert np.isfinite(run.gap[r, :2]).all()
        assert run.gap[r, 1] == pytest.approx(problem.gap(paper.x[2]), rel=1e-12)
        for records in (run.gap, run.grad_norm2, run.sums):
            assert np.isnan(records[r, 2])


def test_a_replicate_that_diverges_leaves_the_others_alone() -> None:
    # Each draw of the second component multiplies x by -1e61: the third one overflows the square of its gradient.
    problem = built("parabolas:h=1/1e60")
    setting = make_setting(problem, sampling=single([0.95, 0.05]), method=methods.build("sgd"), gamma=0.1, x0=[1.0])
    numbers: dict[str, Any] = {"gamma": lambda t: 0.1, "rho": lambda t: 0.0, "lam": None, "x0": setting.x0}
    run = simulate(setting, steps=30, times=np.arange(31), replicates=60, seed=3, threads=2)
    unseen = simulate(setting, steps=30, times=np.array([0]), replicates=60, seed=3, threads=2)
    draws = [sum(drawn(setting.sampling.data, 3, r, t)[0] == [1] for t in range(30)) for r in range(60)]
    assert min(sum(count <= 1 for count in draws), sum(count >= 3 for count in draws)) >= 5
    for r in range(60):
        assert unseen.diverged[r] == on_paper(setting, steps=30, seed=3, replicate=r, **numbers).broken
        if draws[r] <= 1:
            assert run.diverged[r] == -1
            assert np.isfinite(run.gap[r]).all()
        if draws[r] >= 3:
            assert 0 < run.diverged[r] <= 30
            assert np.isfinite(run.gap[r, : run.diverged[r]]).all()
            assert np.isnan(run.gap[r, run.diverged[r] + 1 :]).all()
    # Each is what it is alone.
    broken = int(np.argmax(draws))
    alone = simulate(setting, steps=30, times=np.arange(31), replicates=1, first_replicate=broken, seed=3)
    np.testing.assert_array_equal(alone.gap[0], run.gap[broken])
    assert alone.diverged[0] == run.diverged[broken]


@pytest.mark.parametrize("block", [1, 7, 1 << 18])
def test_divergence_does_not_depend_on_blocks(block: int) -> None:
    problem = built("quadratic:d=6,mu=0.1,L=2,seed=3")
    setting = setting_of(problem, None, gamma=5.0)
    times = np.array([0, 10, 2000])
    assert_same_bits(
        simulate(setting, steps=2000, times=times, replicates=2, block=block),
        simulate(setting, steps=2000, times=times, replicates=2),
    )


def test_divergence_does_not_depend_on_record_times() -> None:
    # With L = 1e-6 the gap x'Hx/2 overflows long before the norm ||Hx||, so a look at the gap sees it earlier.
    problem = Quadratic.with_spectrum(mu=1e-6, L=1e-6, d=2, seed=1)
    setting = setting_of(problem, None, "sgd", gamma=3e6)
    runs = [
        simulate(setting, steps=3000, times=np.array(times, dtype=np.int64), replicates=2)
        for times in ([0], [0, 3000], list(range(3001)))
    ]
    assert (runs[0].diverged > 0).all()
    for run in runs[1:]:
        np.testing.assert_array_equal(run.diverged, runs[0].diverged)
        np.testing.assert_array_equal(run.x, runs[0].x)


def test_a_run_that_ends_beyond_the_numbers_says_the_same_without_records() -> None:
    # The square of x_1 = -1e200 overflows, but no step follows that would notice.
    setting = make_setting(Quadratic.from_matrix([[1.0]]), method=methods.build("sgd"), gamma=1e200, x0=[1.0])
    found = {int(simulate(setting, steps=1, times=np.arange(k), replicates=2).diverged[0]) for k in range(3)}
    assert len(found) == 1, found


# -- the component that must not die --


@pytest.mark.parametrize("factor", [0.5, -0.5])
def test_components_of_a_diagonal_problem_keep_their_signs(factor: float) -> None:
    h = np.array([1.0, 0.25])
    problem = diagonal(h, x0=np.array([1.0, -1.0]))
    gamma = 1 - factor  # the first component is multiplied by `factor`
    run = simulate(setting_of(problem, None, "sgd", gamma=gamma), steps=2000, replicates=2)
    assert (np.abs(run.x) >= 1e-150).all()
    # From 1e-150 on a component stays there, changing its sign as the factor tells it.
    assert (np.sign(run.x[:, 0]) == math.copysign(1, factor) ** 2000).all()
    assert (run.x[:, 1] < 0).all()
    steps = simulate(setting_of(problem, None, "sgd", gamma=gamma), steps=2001, replicates=2)
    assert (np.sign(steps.x[:, 0]) == math.copysign(1, factor)).all()


def test_a_component_that_begins_at_zero_stays_there() -> None:
    problem = diagonal(np.array([1.0, 0.5]), x0=np.array([0.0, 1.0]))
    assert (simulate(setting_of(problem, None, "sam"), steps=100, replicates=2).x[:, 0] == 0).all()


class Unheld(NamedTuple):
    """A diagonal quadratic whose class has no `keep` kernel."""

    h: Any


@helper
def half_square(h: float, x: float) -> float:
    return 0.5 * h * x * x


@gap.of(Unheld)
def _unheld_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        total += half_square(problem.h[j], x[j])
    return total


@gradient.of(Unheld)
def _unheld_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    for j in range(x.shape[0]):
        out[j] = scale * problem.h[j] * x[j]


def diagonal(h: Vector, x0: Vector) -> Quadratic:
    order = np.sort(h)
    return Quadratic(name="diagonal(array)", data=DiagonalQuadratic(h.copy()), eigenvalues=order, start=x0)


def with_data(problem: Problem, data: Any) -> Problem:
    """The same problem on other kernel data."""
    other = copy.copy(problem)
    other.data = data
    return other


def plateau(gamma: float, rho: float, lam: float, L: float) -> float:
    r = gamma * L * rho * lam / (2 - gamma * L * (1 + rho * (1 - lam) * L))
    return L * r * r / 2


@pytest.mark.parametrize(("lam", "printed"), [(0.5, 8.7533481557e-07), (1.0, 3.4722222222e-06)])
@pytest.mark.parametrize("basis", ["rotated", "diagonal"])
def test_plateau_of_sam_on_a_quadratic(basis: str, lam: float, printed: float) -> None:
    problem = built(f"quadratic:d=100,mu=0.1,L=10,basis={basis}")
    gamma = rho = 0.0125
    expected = plateau(gamma, rho, lam, 10.0)
    assert expected == pytest.approx(printed, rel=1e-10)
    setting = make_setting(problem, gamma=gamma, rho=rho, lam=lam)
    run = simulate(setting, steps=60_000, times=np.array([0, 59_999, 60_000]), replicates=1)
    np.testing.assert_allclose(run.gap[0, 1:], expected, rtol=1e-6)


def test_without_keep_the_plateau_is_wrong() -> None:
    problem = built("quadratic:d=100,mu=0.1,L=10,basis=diagonal")
    setting = make_setting(with_data(problem, Unheld(problem.data.h)), gamma=0.0125, rho=0.0125, lam=0.5)
    run = simulate(setting, steps=60_000, times=np.array([0, 60_000]), replicates=2)
    assert (run.gap[:, 1] < 0.1 * plateau(0.0125, 0.0125, 0.5, 10.0)).all()
    assert (run.x[:, -1] == 0).all()  # the top component has underflowed
    # Until then the two classes are the same problem.
    held = simulate(make_setting(problem, gamma=0.0125, rho=0.0125, lam=0.5), steps=500, replicates=2)
    unheld = simulate(setting, steps=500, replicates=2)
    np.testing.assert_allclose(unheld.gap, held.gap, rtol=1e-9)


# -- stopping --


@pytest.mark.parametrize("threads", [1, 2])
def test_a_request_to_stop_is_answered_within_a_second(threads: int) -> None:
    setting = setting_of(built("quadratic-sum:n=5,d=3,seed=1"), "uniform")
    simulate(setting, steps=1, replicates=2)  # compile first
    progress = Progress()
    found: list[Run] = []

    def work() -> None:
        found.append(
            simulate(
                setting, steps=10**12, times=np.array([0, 10**12]), replicates=3, threads=threads, progress=progress
            )
        )

    worker = threading.Thread(target=work)
    worker.start()
    until = time.monotonic() + 10
    while progress.steps == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert progress.steps > 0
    assert not bool(progress.stopped)
    asked = time.monotonic()
    progress.stop()
    worker.join(timeout=20)
    assert not worker.is_alive()
    assert time.monotonic() - asked < 1
    assert bool(progress.stopped)
    (run,) = found
    assert np.isfinite(run.gap[0, 0])
    assert np.isnan(run.gap[:, 1]).all()
    assert (run.diverged == -1).all()


def test_gradients_may_be_left_out() -> None:
    setting = setting_of(built("quadratic-sum:n=5,d=3,seed=1"), "uniform")
    run, bare = (simulate(setting, steps=100, replicates=3, gradients=wanted) for wanted in (True, False))
    assert bare.grad_norm2.shape == (3, 0)
    for name in ("gap", "sums", "x", "diverged"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(run, name))


def test_progress_counts_steps() -> None:
    setting = setting_of(built("quadratic-sum:n=5,d=3,seed=1"), "uniform")
    progress = Progress()
    simulate(setting, steps=4096, replicates=3, progress=progress, block=1000)
    assert progress.steps == 3 * 4096
    stopped = Progress()
    stopped.stop()
    run = simulate(setting, steps=10**12, times=np.array([10**12]), replicates=2, progress=stopped)
    assert np.isnan(run.gap).all()
    assert stopped.steps <= 3 * 1024


# -- classes from elsewhere --


class Quartic(NamedTuple):
    """f(x) = sum_j x_j^4 / 4 + c' x with two components f +- c' x."""

    c: Any


@gap.of(Quartic)
def _quartic_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        total += 0.25 * x[j] ** 4
    return total


@gradient.of(Quartic)
def _quartic_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    for j in range(x.shape[0]):
        out[j] = 0.0
    for k in range(m):
        sign = 1.0 if indices[k] == 0 else -1.0
        for j in range(x.shape[0]):
            out[j] += 0.5 * weights[k] * (x[j] ** 3 + sign * problem.c[j])


class QuarticProblem(Problem):
    def __init__(self) -> None:
        super().__init__(
            name="quartic",
            data=Quartic(np.array([0.3, -0.1])),
            n=2,
            d=2,
            L=exact(12.0),
            mu=Constant(0.0, Grade.BOUND),
            start=np.array([1.0, -0.7]),
            minimiser=np.zeros(2),
            convex_components=True,
        )

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.full(2, 12.0), Grade.BOUND

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.full(2, 1.0), Grade.BOUND


class SignDescent(NamedTuple):
    """x+ = x - gamma (g/|g|_inf + extra)."""

    extra: float


@step.of(SignDescent)
def _sign_step(
    method: Any,
    problem: Any,
    x: Any,
    indices: Any,
    weights: Any,
    m: int,
    gamma: float,
    rho: float,
    lam: float,
    g: Any,
    y: Any,
) -> float:
    gradient(problem, x, indices, weights, m, g)
    norm2 = 0.0
    top = 0.0
    for j in range(x.shape[0]):
        norm2 += g[j] * g[j]
        top = max(top, abs(g[j]))
    for j in range(x.shape[0]):
        x[j] -= gamma * (g[j] / top + method.extra)
    return norm2


@pytest.mark.parametrize("method", METHODS)
def test_a_problem_class_from_elsewhere(method: str) -> None:
    setting = setting_of(QuarticProblem(), "uniform", method, gamma=0.1, rho=0.1)
    assert_agrees(setting, method)


def test_a_method_class_from_elsewhere() -> None:
    for problem in (built("quadratic-sum:n=5,d=3,seed=1"), QuarticProblem()):
        setting = make_setting(problem, sampling=full(problem.n), method=Method("sign", SignDescent(0.01)), gamma=0.05)
        x = setting.x0.copy()
        for _ in range(30):
            g = problem.gradient(x)
            x = x - 0.05 * (g / np.abs(g).max() + 0.01)
        np.testing.assert_allclose(simulate(setting, steps=30, replicates=2).x, np.tile(x, (2, 1)), rtol=1e-9)


def test_classes_from_elsewhere_stay_out_of_the_shared_cache() -> None:
    shared = dispatch.compiled_loop(DiagonalQuadratic, UnifiedSAM)
    for pair in ((Quartic, UnifiedSAM), (DiagonalQuadratic, SignDescent), (Quartic, SignDescent)):
        assert dispatch.compiled_loop(*pair) is not shared
    assert dispatch.compiled_loop(DiagonalQuadratic, SGD) is shared


class Bare(NamedTuple):
    """Kernel data without kernels."""

    number: float


class Halfway(NamedTuple):
    """Kernel data with a gap but no gradient."""

    number: float


@gap.of(Halfway)
def _halfway_gap(problem: Any, x: Any) -> float:
    return float(problem.number)


def test_a_class_without_kernels_is_named() -> None:
    problem = QuarticProblem()
    for data, missing in ((Bare(1.0), "gap"), (Halfway(1.0), "gradient")):
        with pytest.raises(
            LookupError, match=f"{type(data).__name__} has no {missing} kernel: register one with @{missing}.of"
        ):
            simulate(setting_of(with_data(problem, data), None, gamma=0.1, rho=0.1), steps=5, replicates=2)
    method = Method("bare", Bare(1.0))
    with pytest.raises(LookupError, match=r"Bare has no step kernel: register one with @step.of"):
        simulate(make_setting(problem, method=method, gamma=0.1), steps=5, replicates=2)
    with pytest.raises(LookupError, match=r"Bare has no value kernel"):
        with_data(problem, Bare(1.0)).value([0.0, 0.0])


# -- one compilation for each pair of classes --


def signatures() -> Counter[tuple[str, str]]:
    """How many times the shared loop was compiled for each pair of problem and method classes."""
    loop: Any = dispatch.compiled_loop(DiagonalQuadratic, SGD)
    return Counter((str(signature[0]), signature[1].instance_class.__name__) for signature in loop.signatures)


def whole_numbers(entries: Any) -> NDArray[np.int64]:
    array = np.array(entries, dtype=np.int64)
    array.setflags(write=False)
    return array


def test_whole_numbers_and_read_only_arrays_compile_nothing_again() -> None:
    """One signature for a pair, however its data, times, steps and replicates were given."""
    A, b = whole_numbers([[1, 0], [1, 2], [0, 1], [3, 1]]), whole_numbers([1, 2, 3, 1])
    given_as: list[tuple[Problem, Problem]] = [
        (
            built("quadratic:d=6,mu=0.1,L=2,seed=3"),
            Quadratic.from_matrix(whole_numbers([[2, 0], [0, 1]]), whole_numbers([1, 2])),
        ),
        (
            built("quadratic:d=6,mu=0.1,L=2,basis=diagonal"),
            Quadratic.with_spectrum(mu=1, L=4, d=3, spectrum="linear", basis="diagonal"),
        ),
        (
            built("quadratic-sum:n=5,d=3,seed=1"),
            FiniteSumOfQuadratics.from_components(
                whole_numbers([[[2]], [[1]]]), whole_numbers([[1], [0]]), start=whole_numbers([3])
            ),
        ),
        (built("ridge:data=diabetes,reg=0.1"), LeastSquaresProblem.from_arrays(A, b, reg=1)),
        (
            built("logistic:data=breast_cancer,reg=0.1,scale=columns"),
            LogisticProblem.from_arrays(A, whole_numbers([1, 2, 2, 1]), reg=1),
        ),
        (built("pl-sine:d=4,a=3"), PLSine.with_map(d=2, a=3, n=4, noise="additive", level=1)),
    ]
    for usual, other in given_as:
        for method in ("sgd", "sam"):
            simulate(setting_of(usual, None, method), steps=3, replicates=2)
            start = whole_numbers(np.ones(other.d))
            setting = make_setting(other, method=methods.build(method), gamma=1, rho=1, lam=1, x0=start)
            simulate(setting, steps=3, replicates=2)
            simulate(setting, steps=np.int64(3), replicates=np.int64(2))  # type: ignore[arg-type]
            simulate(setting, steps=3, times=[0, 3], replicates=2)
            simulate(setting, steps=3, times=whole_numbers([0, 3]), replicates=2)
            if other.n > 1:
                one: Any = np.int64(1)
                for sampling in (tau_nice(other.n, one), replacement(np.full(other.n, 1 / other.n), one)):
                    simulate(replace(setting, sampling=sampling), steps=3, replicates=2)
    assert max(signatures().values()) == 1, signatures()


def test_a_seed_of_another_type_is_the_same_seed() -> None:
    setting = bits_setting(*BITS["single"])
    usual = simulate(setting, steps=20, replicates=2, seed=7)
    for seed in (np.int64(7), np.uint64(7), 7.0):
        assert_same_bits(simulate(setting, steps=20, replicates=2, seed=seed), usual)  # type: ignore[arg-type]
    largest = simulate(setting, steps=20, replicates=2, seed=2**64 - 1)
    assert not np.array_equal(largest.x, usual.x)


def test_one_replicate_compiles_nothing_again() -> None:
    setting = setting_of(built("quadratic-sum:n=5,d=3,seed=1"), "uniform")
    simulate(setting, steps=3, replicates=2)
    simulate(setting, steps=3, replicates=1)
    simulate(setting, steps=3, times=np.array([[0, 3], [1, 2]]), replicates=2)
    simulate(setting, steps=3, times=np.array([[0, 3]]), replicates=1)
    one_step(setting, listed(list(setting.sampling.atoms()), 5), np.ones((5, 3)), gamma=0.1, rho=0.1, lam=0.5)
    assert sum(n for pair, n in signatures().items() if "QuadraticSum" in pair[0] and pair[1] == "UnifiedSAM") == 1


# -- record times and bad input --


@given(steps=st.integers(1, 10**15), points=st.integers(1, 200))
@reproducible
def test_record_times(steps: int, points: int) -> None:
    times = record_times(steps, points)
    assert times.dtype == np.int64
    assert (times[0], times[-1]) == (0, steps)
    assert (np.diff(times) > 0).all()
    assert len(times) <= points + 2
    if steps <= points // 4:
        assert len(times) == steps + 1
    inner = times[1:-1]
    if len(inner) > 20:  # geometric: as many in each decade
        late = inner[inner > 1000].astype(float)
        assert late.size < 3 or np.ptp(np.diff(np.log(late))) < 2e-3 * 1.1 or points < 3 or steps < 10**4


def test_record_times_by_default() -> None:
    np.testing.assert_array_equal(record_times(1), [0, 1])
    np.testing.assert_array_equal(record_times(5), [0, 1, 2, 3, 4, 5])
    run = simulate(setting_of(built("parabolas")), steps=1000, replicates=2)
    np.testing.assert_array_equal(run.times, record_times(1000))
    assert run.gap.shape == (2, len(record_times(1000)))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"steps": 0}, r"steps must be a whole number >= 1, got 0"),
    ({"steps": 1.5}, r"steps must be a whole number >= 1, got 1.5"),
    ({"replicates": 0}, r"replicates must be a whole number >= 1, got 0"),
    ({"seed": -1}, r"seed must be a whole number >= 0, got -1"),
    ({"seed": 2**64}, r"seed must"),
    ({"first_replicate": -1}, r"first_replicate must"),
    ({"threads": -1}, r"threads must"),
    ({"block": 0}, r"block must"),
    ({"times": np.array([0, 11])}, r"times must be sorted and lie in 0..10"),
    ({"times": np.array([-1, 5])}, r"times must be sorted and lie in 0..10"),
    ({"times": np.array([5, 3])}, r"times must be sorted and lie in 0..10"),
    ({"times": np.array([0.5, 3.0])}, r"times must"),
    ({"times": np.array([[0, 3], [1, 2], [1, 3]])}, r"times must"),
    ({"times": np.array(3)}, r"times must"),
    ({"replicates": 10**12}, r"a run of 1000000000000 replicates needs .* GiB"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[f"{k} {words}" for k, (_, words) in enumerate(BAD)])
def test_bad_input_ends_in_one_sentence(arguments: dict[str, Any], words: str) -> None:
    setting = setting_of(built("parabolas"))
    with pytest.raises(InputError, match=words) as caught:
        simulate(setting, **{"steps": 10, "replicates": 2, **arguments})
    assert "\n" not in str(caught.value)


def test_a_sampling_of_another_size_is_refused() -> None:
    # The compiled loop would read beyond the components.
    with pytest.raises(InputError, match=r"n = 10.* n = 2|n = 2.* n = 10"):
        make_setting(built("parabolas"), sampling=single(np.full(10, 0.1)))


def test_the_default_of_keep_does_nothing() -> None:
    x = np.array([1e-200, -1e-200, 0.0])
    keep(Quartic(np.zeros(3)), x)
    np.testing.assert_array_equal(x, [1e-200, -1e-200, 0.0])
    keep(DiagonalQuadratic(np.ones(3)), x)
    np.testing.assert_array_equal(x, [1e-150, -1e-150, 0.0])
