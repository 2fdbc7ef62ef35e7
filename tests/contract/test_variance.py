"""The largest variance of a sampled gradient: against enumeration, and infinite exactly where it must be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from problems.glm import LogisticProblem
from problems.problem import Grade, Problem, Vector, problems
from problems.toys import Parabolas
from tests.strategies import sampling_specs
from theory.families import random_sampling
from theory.samplings import Sampling, samplings, without_reweighting
from theory.setting import facts_of, make_setting
from theory.variance import deviations, largest_variance, variance_at

reproducible = settings(deadline=None, derandomize=True, max_examples=60)


def by_atoms(problem: Problem, sampling: Sampling, x: Vector) -> float:
    """E||grad f_v(x) - grad f(x)||^2 over every value of v."""
    mean, total = problem.gradient(x), 0.0
    for probability, indices, weights in sampling.atoms():
        total += probability * float(((problem.minibatch_gradient(x, indices, weights) - mean) ** 2).sum())
    return total


def built(problem: str, sampling: str) -> tuple[Problem, Sampling]:
    made = problems.build(problem)
    return made, samplings.build(sampling, problem=made)


@reproducible
@given(st.integers(0, 10**6))
def test_variance_at_a_point_is_the_sum_over_all_draws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    problem, sampling = built(f"quadratic-sum:n={n},d=3,noise=1,indefinite=0.3,seed={seed}", random_sampling(rng, n))
    x = 3 * rng.standard_normal(3)
    # Some hundred products and sums of positive terms on each side.
    assert variance_at(problem, sampling, x) == pytest.approx(by_atoms(problem, sampling, x), rel=1e-11, abs=1e-11)


@reproducible
@given(st.integers(0, 10**6))
def test_equal_curvatures_have_a_constant_variance_where_the_weights_sum_to_n(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    kind = random_sampling(rng, n)
    slopes = "/".join(f"{value:.3f}" for value in rng.standard_normal(n))
    problem, sampling = built(f"parabolas:h={'/'.join(['0.7'] * n)},slopes={slopes}", kind)
    found = largest_variance(problem, sampling)
    sums = [float(np.sum(atom.weights)) for atom in sampling.atoms()]
    # Weights are 1/p: a sum that is n up to rounding is off by some n eps.
    if np.ptp(sums) > 1e-12 * n:
        assert found.value == math.inf
        return
    assert found.grade is Grade.EXACT
    for x in (np.zeros(1), np.array([40.0])):
        # At x = 40 each gradient is 28 + O(1), so that their differences lose some digits.
        assert by_atoms(problem, sampling, x) == pytest.approx(found.value, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("spec", sampling_specs(4).values())
def test_deviations_are_linear(spec: str) -> None:
    sampling = samplings.build(spec, problem=problems.build("parabolas:h=1/2/3/4"))
    X, Z = np.random.default_rng(0).standard_normal((2, 4, 3))
    assert deviations(sampling, X + 2 * Z) == pytest.approx(deviations(sampling, X) + 2 * deviations(sampling, Z))


def test_full_batches_do_not_vary() -> None:
    for spec in ("full", "tau-nice:tau=4", "independent:p=1", "partition:blocks=1"):
        assert largest_variance(*built("quadratic-sum:n=4,d=3", spec)).value == 0


def test_one_component_may_still_vary() -> None:
    problem, sampling = built("spectrum:h=1/0.5", "independent:p=0.5")
    assert largest_variance(problem, sampling).value == math.inf
    assert largest_variance(*built("spectrum:h=1/0.5", "uniform")).value == 0


def test_importance_sampling_of_parallel_parabolas() -> None:
    """h_i/p_i is the same for every i, so that what is random is the slopes: sum p_i (s_i/(n p_i))^2 - 0."""
    problem, sampling = built("parabolas:h=1/2/3,slopes=1/-1/0", "importance")
    found = largest_variance(problem, sampling)
    # p = 1/6, 2/6, 3/6: (6 + 3)/9 = 1, to a few roundings.
    assert found.value == pytest.approx(1.0, rel=1e-14)
    assert found.grade is Grade.EXACT
    assert largest_variance(*built("parabolas:h=1/2/3.0000001,slopes=1/-1/0", "uniform")).value == math.inf


def test_nearly_equal_curvatures_are_not_equal() -> None:
    """A difference of 1e-10 is no rounding: the variance grows without bound, if slowly."""
    sampling = samplings.build("uniform", problem=Parabolas(h=[[1.0, 1.0]]))
    assert largest_variance(Parabolas(h=[[1.0, 1.0 + 1e-10]], slopes=[[1.0, -1.0]]), sampling).value == math.inf
    assert largest_variance(Parabolas(h=[[1.0, 1.0]], slopes=[[1.0, -1.0]]), sampling).value == pytest.approx(1.0)


@pytest.mark.parametrize("spec", ["uniform", "tau-nice:tau=2", "replacement:tau=3", "partition:blocks=2"])
def test_logistic_slopes_bound_the_variance_everywhere(spec: str) -> None:
    rng = np.random.default_rng(3)
    problem = LogisticProblem.from_arrays(rng.standard_normal((4, 5)), [1.0, -1.0, 1.0, -1.0], reg=0.3)
    sampling = samplings.build(spec, problem=problem)
    found = largest_variance(problem, sampling)
    assert found.grade is Grade.BOUND
    points = rng.standard_normal((200, 5)) * 10 ** rng.uniform(-1, 3, (200, 1))
    seen = max(by_atoms(problem, sampling, x) for x in points)
    # Rows of a random 4 x 5 matrix are nearly orthogonal: the bound is within a factor of a few.
    assert seen <= found.value <= 6 * seen


def test_ridge_and_samples_that_change_the_regulariser() -> None:
    assert largest_variance(*built("ridge:data=diabetes,reg=0.1", "uniform")).value == math.inf
    logistic = "logistic:data=breast_cancer,reg=0.1,scale=columns"
    # Columns are scaled to mean square 1, 30 of them: (1/n) sum ||a_i||^2 = 30.
    assert largest_variance(*built(logistic, "uniform")).value == pytest.approx(30, rel=1e-12)
    assert largest_variance(*built(logistic, "importance")).value == math.inf
    assert largest_variance(*built("logistic:data=breast_cancer,scale=columns", "importance")).value < math.inf


def test_additive_and_multiplicative_noise() -> None:
    assert largest_variance(*built("pl-sine:d=2,n=4,noise=multiplicative", "uniform")).value == math.inf
    assert largest_variance(*built("pl-sine:d=2,n=4,noise=additive,level=0.5", "uniform")).value == pytest.approx(0.25)
    assert largest_variance(*built("pl-sine:d=2,n=4,noise=additive", "independent:p=0.5")).value == math.inf


def test_weights_that_are_no_sampling_are_unknown() -> None:
    problem, sampling = built("parabolas:h=1/1", "uniform")
    assert largest_variance(problem, without_reweighting(sampling)).value == math.inf


def test_facts_carry_it_with_its_grade() -> None:
    problem, sampling = built("parabolas:h=1/1,slopes=2/-2", "uniform")
    facts = facts_of(make_setting(problem, sampling=sampling, gamma=0.1))
    assert facts.variance == pytest.approx(4.0, rel=1e-14)  # a square root and its square
    assert facts.grades["variance"] is Grade.EXACT
