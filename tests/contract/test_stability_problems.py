"""Neighbouring data sets: each loss against its formula, the constants of the losses, the example that differs, and
projected SGD against its definition."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.engine.run import simulate
from problems.errors import InputError
from problems.problem import Problem, Vector, problems
from problems.stability import NeighbouringData
from theory.methods.method import methods
from theory.samplings import samplings
from theory.schedules import schedules
from theory.setting import Setting, facts_of, make_setting
from theory.smoothness import best_expected_smoothness, expected_smoothness, is_convex, noise
from theory.variance import variance_at

SPECS = (
    "linear-losses:n=4,seed=3",
    "quadratic-losses:n=4,h=1/0.4,seed=2,flip=1",
    "quadratic-losses:n=5,examples=outlier,flip=2",
    "logistic-losses:n=6,d=3,reg=0.2,seed=5",
    "logistic-losses:data=breast_cancer,n=30,flip=7",
    "cosine-losses:n=4,seed=1",
    "cosine-losses:n=3,examples=aligned",
)
each = pytest.mark.parametrize("spec", SPECS)
EPS = float(np.finfo(float).eps)


def pair(spec: str) -> tuple[NeighbouringData, Problem, Problem]:
    problem = problems.build(spec)
    assert isinstance(problem, NeighbouringData)
    return problem, problem, problem.neighbour


FORMULAS: dict[str, Callable[[Problem, int, Vector], float]] = {
    "linear-losses": lambda p, i, w: p.data.z[i] * w[0],
    "quadratic-losses": lambda p, i, w: float(w @ (p.h * w)) / 2 - float(p.z[i] @ w),  # type: ignore[attr-defined]
    "logistic-losses": lambda p, i, w: float(
        np.logaddexp(0, -p.data.b[i] * (p.data.A[i] @ w)) + p.data.reg / 2 * (w @ w)
    ),
    "cosine-losses": lambda p, i, w: (1 - math.cos(w[0] - p.data.z[i])) / 2,
}


@each
def test_values_and_gradients_follow_the_formula(spec: str) -> None:
    _, *both = pair(spec)
    formula = FORMULAS[spec.partition(":")[0]]
    rng = np.random.default_rng(0)
    for problem in both:
        w, u, h = rng.standard_normal(problem.d), rng.standard_normal(problem.d), 1e-5
        for i in range(problem.n):
            # Quadratics are stored about their minimiser, hence up to a constant of each component.
            change = problem.component_value(i, w) - problem.component_value(i, u)
            assert change == pytest.approx(formula(problem, i, w) - formula(problem, i, u), abs=1e-14, rel=1e-12)
            slope = (formula(problem, i, w + h * u) - formula(problem, i, w - h * u)) / (2 * h)
            # A central difference: h^2 of the third derivative, and the values' rounding over h.
            assert problem.sample_gradient(i, w) @ u == pytest.approx(slope, abs=1e-9)
        mean = np.mean([problem.component_value(i, w) - problem.component_value(i, u) for i in range(problem.n)])
        assert problem.gap(w) - problem.gap(u) == pytest.approx(mean, abs=1e-14, rel=1e-12)


@each
def test_the_neighbour_differs_in_one_example(spec: str) -> None:
    data, problem, neighbour = pair(spec)
    w = np.linspace(0.3, 1.1, problem.d)
    same = [
        bool(np.allclose(problem.sample_gradient(i, w), neighbour.sample_gradient(i, w), rtol=1e-13, atol=1e-15))
        for i in range(problem.n)
    ]
    assert [i for i, alike in enumerate(same) if not alike] == [data.flip]
    assert type(problem.data) is type(neighbour.data)
    assert isinstance(neighbour, NeighbouringData)
    # Flipped twice is the first again.
    np.testing.assert_allclose(
        neighbour.neighbour.sample_gradient(data.flip, w), problem.sample_gradient(data.flip, w), rtol=1e-13, atol=1e-15
    )


@each
def test_constants_hold_for_every_loss_of_both_data_sets(spec: str) -> None:
    data, *both = pair(spec)
    radius = 1.5
    losses = data.losses(radius)
    rng = np.random.default_rng(1)
    longest, slopes = 0.0, []
    for problem in both:
        for i in range(problem.n):
            for _ in range(30):
                x, y = (u * radius * rng.random() / np.linalg.norm(u) for u in rng.standard_normal((2, problem.d)))
                gx, gy = problem.sample_gradient(i, x), problem.sample_gradient(i, y)
                apart = float(np.linalg.norm(x - y))
                longest = max(longest, float(np.linalg.norm(gx)))
                slopes.append(float(np.linalg.norm(gx - gy)) / apart)
                # Rounding: the gradients' own over the distance of the points.
                assert (gx - gy) @ (x - y) >= losses.convexity * apart**2 - 1e-14
    assert longest <= losses.lipschitz * (1 + 1e-12)
    assert max(slopes) <= losses.smoothness + 1e-12
    # Neither constant is idle: the samples come near both.
    assert longest >= 0.5 * losses.lipschitz
    assert max(slopes) >= 0.5 * losses.smoothness


@each
def test_kinds_are_all_examples(spec: str) -> None:
    data, problem, _ = pair(spec)
    chosen, counts = data.kinds
    assert counts.sum() == problem.n
    assert counts[chosen.tolist().index(data.flip)] == 1
    w = np.linspace(0.2, 0.9, problem.d)
    mean = sum(c * problem.sample_gradient(int(i), w) for i, c in zip(chosen, counts, strict=True)) / problem.n
    np.testing.assert_allclose(mean, problem.gradient(w), rtol=1e-12, atol=1e-14)


def test_range_of_the_cosine_losses_is_the_unit_interval() -> None:
    data, problem, _ = pair("cosine-losses:n=3")
    losses = data.losses(math.inf)
    values = [problem.component_value(1, [w]) for w in np.linspace(0, 2 * math.pi, 1001)]
    assert losses.lowest <= min(values) <= 1e-5
    assert 1 - 1e-5 <= max(values) <= losses.highest
    assert problem.gap(problem.centre) == 0
    assert problem.value(problem.centre) == pytest.approx((1 - problem.data.length) / 2, rel=1e-14)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("linear-losses:n=4,flip=4", "flip must be the number of an example, 0..3"),
        ("linear-losses:n=0", "n must be"),
        ("quadratic-losses:h=1/0", "h must be a positive"),
        ("quadratic-losses:Z=-1", "Z must be a positive"),
        ("quadratic-losses:examples=none", "must be one of random, outlier"),
        ("logistic-losses:n=3,flip=9", "flip must be"),
        ("logistic-losses:reg=-1", "reg must be"),
        ("cosine-losses:seed=-1", "seed must be"),
    ],
)
def test_bad_input_is_named_in_one_sentence(spec: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        problems.build(spec)
    assert "\n" not in str(error.value)


def test_only_neighbouring_problems_have_losses_in_their_facts() -> None:
    assert facts_of(make_setting(problems.build("quadratic:d=2,mu=1,L=2"))).losses is None
    problem = problems.build("quadratic-losses:n=4,h=2")
    free = facts_of(make_setting(problem, method=methods.build("sgd"))).losses
    held = facts_of(make_setting(problem, method=methods.build("projected-sgd:radius=0.5"))).losses
    assert free is not None
    assert held is not None
    assert free.lipschitz == math.inf
    assert held.lipschitz == 2 * 0.5 + 1
    # A start outside the ball needs the constant out there.
    far = facts_of(make_setting(problem, method=methods.build("projected-sgd:radius=0.5"), x0=[3.0])).losses
    assert far is not None
    assert far.lipschitz == 2 * 3 + 1


# -- projected SGD --


def run(problem: Problem, method: str, gamma: float, *, x0: list[float], steps: int = 40) -> np.ndarray:
    chosen = make_setting(
        problem, sampling=samplings.build("full", problem=problem), method=methods.build(method), gamma=gamma, x0=x0
    )
    return np.asarray(simulate(chosen, steps=steps, times=np.arange(steps + 1), iterates=True).points[0])


def test_projected_sgd_is_its_definition() -> None:
    problem = problems.build("quadratic-losses:n=3,h=1/0.3,seed=4,Z=5")
    points = run(problem, "projected-sgd:radius=0.6", 0.4, x0=[0.1, -0.5])
    w = np.array([0.1, -0.5])
    outside = 0
    for t in range(40):
        w = w - 0.4 * problem.gradient(w)
        size = float(np.linalg.norm(w))
        outside += size > 0.6
        w = w * min(1.0, 0.6 / size)
        # Some dozen roundings a step, and the map does not expand.
        np.testing.assert_allclose(points[t + 1], w, atol=100 * EPS)
    assert outside > 5
    assert (np.linalg.norm(points, axis=1) <= 0.6 * (1 + 4 * EPS)).all()


def test_projected_sgd_inside_is_bitwise_sgd() -> None:
    problem = problems.build("logistic-losses:n=5,d=2,reg=0.1")
    inside = run(problem, "projected-sgd:radius=100", 0.5, x0=[0.3, 0.2])
    assert inside.tobytes() == run(problem, "sgd", 0.5, x0=[0.3, 0.2]).tobytes()


@pytest.mark.parametrize("radius", ["0", "-1", "nan", "inf"])
def test_projected_sgd_refuses_bad_radii(radius: str) -> None:
    with pytest.raises(InputError, match="radius"):
        methods.build(f"projected-sgd:radius={radius}")


# -- schedules --


def test_schedules_follow_their_formulas() -> None:
    t = np.arange(50)
    np.testing.assert_array_equal(schedules.build("harmonic:start=3").at(t), 3 / (t + 1))
    found = schedules.build("switched:start=0.1,mu=0.5,after=8")
    np.testing.assert_array_equal(found.at(t), np.where(t < 8, 0.1, (2 * t + 1) / ((t + 1) ** 2 * 0.5)))
    for schedule in (found, schedules.build("switched:start=9,mu=1,after=0"), schedules.build("harmonic:start=3")):
        assert schedule.largest == schedule.at(t).max()
        assert schedules.build(schedule.name).at(t).tolist() == schedule.at(t).tolist()


# -- constants about a minimiser --


def drawn(spec: str, kind: str) -> Setting:
    problem = problems.build(spec)
    return make_setting(problem, sampling=samplings.build(kind, problem=problem), method=methods.build("sgd"))


KINDS = (
    "full",
    "uniform",
    "importance",
    "single:p=0.1/0.2/0.3/0.4",
    "tau-nice:tau=2",
    "replacement:tau=3",
    "independent:p=0.2/0.9/0.5/1",
    "partition:blocks=2,p=0.3/0.7",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "spec", ["quadratic-sum:n=4,d=3", "logistic-losses:n=4,d=2,reg=0.3", "pl-sine:d=2,a=2,n=4,noise=additive"]
)
def test_noise_is_the_variance_at_the_minimiser(spec: str, kind: str) -> None:
    setting = drawn(spec, kind)
    assert setting.problem.minimiser is not None
    direct = variance_at(setting.problem, setting.sampling, setting.problem.minimiser)
    # grad f(x*) is 0 up to rounding, the square of which is beyond sight.
    assert noise(setting.problem, setting.sampling) == pytest.approx(direct, rel=1e-10, abs=1e-25)


@pytest.mark.parametrize("kind", KINDS)
def test_expected_smoothness_lies_above_the_best_one(kind: str) -> None:
    for seed in range(6):
        setting = drawn(f"quadratic-sum:n=4,d=2,seed={seed}", kind)
        best = best_expected_smoothness(setting.problem, setting.sampling)
        assert best is not None
        assert best <= expected_smoothness(setting.problem, setting.sampling).value * (1 + 1e-12)


@given(st.lists(st.floats(0.05, 10), min_size=4, max_size=4), st.sampled_from(KINDS))
def test_expected_smoothness_is_attained_on_the_line(h: list[float], kind: str) -> None:
    """On the line the best constant is E h_v^2/h: the formula with the Bregman inequality as an equality only where one
    term decides, and never below it."""
    setting = drawn(f"parabolas:h={'/'.join(map(repr, h))}", kind)
    best = best_expected_smoothness(setting.problem, setting.sampling)
    formula = expected_smoothness(setting.problem, setting.sampling).value
    assert best is not None
    assert best <= formula * (1 + 1e-12)
    if kind in ("importance", "full") or (len(set(h)) == 1 and kind == "uniform"):
        assert best == pytest.approx(formula, rel=1e-12)


def test_what_is_not_known_is_infinite() -> None:
    wavy = drawn("pl-sine:d=2,a=2,n=4,noise=multiplicative", "uniform")
    assert expected_smoothness(wavy.problem, wavy.sampling).value == math.inf
    assert not is_convex(wavy.problem)
    separable = drawn("logistic-losses:data=breast_cancer,n=30", "uniform")
    assert separable.problem.minimiser is None
    assert math.isnan(noise(separable.problem, separable.sampling))
    assert expected_smoothness(separable.problem, separable.sampling).value == math.inf
    assert is_convex(separable.problem)


def test_indefinite_sums_have_their_own_best_constant() -> None:
    setting = drawn("mixed-curvature:a=2,b=1", "uniform")
    # E h_v^2/h = (4 + 1)/2 over 1/2.
    assert expected_smoothness(setting.problem, setting.sampling).value == pytest.approx(5, rel=1e-14)
    assert facts_of(setting).convex
