"""Every sampling honours its contract: unbiased, with the moments it states, drawn as it says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from experiments.engine import dispatch
from experiments.engine.draws import draw, stream
from problems.errors import InputError
from problems.problem import Grade, Problem, Vector, problems
from tests.strategies import drawn, finite_sums, laws, sampling_of, sampling_specs
from theory import samplings as kinds
from theory.samplings import (
    Sampling,
    SamplingData,
    alias_table,
    er_constants,
    full,
    independent,
    largest_smoothness,
    partition,
    quadratic_er,
    replacement,
    samplings,
    single,
    tau_nice,
    without_reweighting,
)

reproducible = settings(deadline=None, derandomize=True, max_examples=60)

N = 5
SPECS = sampling_specs(N)
CONSTRUCTED: dict[str, Sampling] = {
    "single": single([0.1, 0.2, 0.3, 0.35, 0.05]),
    "tau-nice of one": tau_nice(N, 1),
    "tau-nice of all": tau_nice(N, N),
    "replacement of one": replacement(np.full(N, 1 / N), 1),
    "replacement": replacement([0.5, 0.2, 0.1, 0.1, 0.1], 3),
    "independent": independent([0.1, 0.5, 1.0, 0.9, 0.3]),
    "independent of all": independent(np.ones(N)),
    "partition": partition([1, 0, 1, 2, 0], [0.2, 0.5, 0.3]),
    "partition by size": partition([0, 0, 0, 1, 1]),
    "one block": partition(np.zeros(N)),
    "one": single([1.0]),
    "one of one": tau_nice(1, 1),
    "one with replacement": replacement([1.0], 1),
    "one on its own": independent([0.4]),
    "one block of one": partition([0]),
    "full of one": full(1),
}


@cache
def five() -> Problem:
    return problems.build(f"quadratic-sum:n={N},d=3,seed=4")


def from_specs() -> dict[str, Sampling]:
    return {name: samplings.build(spec, problem=five()) for name, spec in SPECS.items()}


ALL = {**{f"spec {name}": sampling for name, sampling in from_specs().items()}, **CONSTRUCTED}
each_sampling = pytest.mark.parametrize("sampling", ALL.values(), ids=ALL.keys())


def test_every_registered_sampling_has_an_example() -> None:
    assert sorted(SPECS) == list(samplings)
    assert {sampling.kind for sampling in from_specs().values()} == set(range(6))


def dense_vector(indices: tuple[int, ...], weights: tuple[float, ...], n: int) -> Vector:
    v = np.zeros(n)
    np.add.at(v, list(indices), list(weights))
    return v


# -- the law --


def dense_moment(sampling: Sampling) -> NDArray[np.float64]:
    """E v_i v_j as a matrix, from the definition of each kind."""
    n, tau, p = sampling.n, sampling.data.tau, sampling.probabilities
    if sampling.kind == kinds.FULL:
        return np.ones((n, n))
    if sampling.kind == kinds.SINGLE:
        return np.diag(1 / p)
    if sampling.kind == kinds.TAU_NICE:
        pair = (tau - 1) / (n - 1) if n > 1 else 0.0  # chance of j beside i
        return np.array([[n / tau if i == j else n / tau * pair for j in range(n)] for i in range(n)])
    if sampling.kind == kinds.REPLACEMENT:
        # tau draws: tau pairs of a draw with itself, tau (tau - 1) of two different draws.
        return np.array([[(tau * (i == j) / p[i] + tau * (tau - 1)) / tau**2 for j in range(n)] for i in range(n)])
    if sampling.kind == kinds.INDEPENDENT:
        return np.array([[1 / p[i] if i == j else 1.0 for j in range(n)] for i in range(n)])
    label = {int(i): k for k, block in enumerate(sampling.blocks()) for i in block}
    return np.array([[1 / p[label[i]] if label[i] == label[j] else 0.0 for j in range(n)] for i in range(n)])


def stated_moment(sampling: Sampling) -> NDArray[np.float64]:
    """E v_i v_j as `SecondMoment` says it, read off with unit vectors."""
    n = sampling.n
    found = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a, b = np.zeros((n, 1, 1)), np.zeros((n, 1, 1))
            a[i], b[j] = n, n
            found[i, j] = sampling.moment.mean_of_products(a, b)[0, 0]
    return found


def assert_is_its_law(sampling: Sampling) -> None:
    atoms = list(sampling.atoms())
    n = sampling.n
    assert len(atoms) <= sampling.atom_count()
    assert all(atom.probability > 0 for atom in atoms)
    assert math.fsum(atom.probability for atom in atoms) == pytest.approx(1, abs=1e-14)
    values = np.array([dense_vector(atom.indices, atom.weights, n) for atom in atoms])
    chances = np.array([atom.probability for atom in atoms])
    assert (values >= 0).all()
    np.testing.assert_allclose(chances @ values, np.ones(n), rtol=1e-13)
    second = (values.T * chances) @ values
    np.testing.assert_allclose(stated_moment(sampling), second, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dense_moment(sampling), second, rtol=1e-12, atol=1e-13)
    assert sampling.is_full == bool((values == 1).all())


@each_sampling
def test_mean_and_second_moment_from_the_atoms(sampling: Sampling) -> None:
    assert_is_its_law(sampling)


@given(data=st.data(), n=st.integers(1, 5))
@reproducible
def test_mean_and_second_moment_of_any_sampling(data: st.DataObject, n: int) -> None:
    assert_is_its_law(data.draw(sampling_of(n)))


@each_sampling
def test_rarest_event(sampling: Sampling) -> None:
    atoms = list(sampling.atoms())
    events = []
    for i in range(sampling.n):
        taken = math.fsum(atom.probability for atom in atoms if i in atom.indices)
        events.append(taken)
        if sampling.kind in (kinds.TAU_NICE, kinds.INDEPENDENT):
            events.append(1 - taken)
    least = min(event for event in events if event > 1e-12)
    assert sampling.least_probability == pytest.approx(least, rel=1e-12)


def test_degenerate_sizes_are_the_full_batch() -> None:
    for name in ("tau-nice of all", "independent of all", "one block", "one", "one of one", "one with replacement"):
        assert CONSTRUCTED[name].is_full, name
    assert not CONSTRUCTED["replacement of one"].is_full
    assert not replacement(np.full(4, 0.25), 4).is_full  # a bootstrap, not the full batch
    assert not independent([0.4]).is_full
    np.testing.assert_array_equal(dense_moment(tau_nice(N, 1)), dense_moment(single(np.full(N, 1 / N))))


# -- unbiased estimators --


def mean_gradient(problem: Problem, sampling: Sampling, x: Vector) -> Vector:
    """E grad f_v(x) by enumeration of what the engine's data draw."""
    total = np.zeros(problem.d)
    for atom in sampling.atoms():
        total += atom.probability * problem.minibatch_gradient(x, atom.indices, atom.weights)
    return total


UNBIASED = [
    "quadratic-sum:n=5,d=3,seed=1",
    "quadratic-sum:n=4,d=2,indefinite=1.5",
    "pl-sine:d=3,a=3,n=4,noise=multiplicative,level=1",
    "pl-sine:d=3,a=3,n=5,noise=additive",
    "parabolas:h=1/2/5,slopes=1/-1/0",
    "parabolas:h=1/0,slopes=1/-1",
    "one-sided",
    "mixed-curvature",
]


@pytest.mark.parametrize("kind", sampling_specs(2))
@pytest.mark.parametrize("spec", UNBIASED)
def test_mean_of_the_estimator_is_the_gradient(spec: str, kind: str) -> None:
    problem = problems.build(spec)
    text = sampling_specs(problem.n)[kind]
    try:
        sampling = samplings.build(text, problem=problem)
    except InputError:  # better none than a biased one
        if kind == "importance" and not problem.component_smoothness[0].all():
            return
        raise
    for x in (problem.start, problem.start + 1.5):
        slope = problem.gradient(x)
        largest = max(float(np.abs(problem.sample_gradient(i, x)).max()) for i in range(problem.n))
        np.testing.assert_allclose(mean_gradient(problem, sampling, x), slope, rtol=0, atol=1e-13 * largest)


def test_forgetting_the_weights_is_a_bias() -> None:
    problem = five()
    x = problem.start
    slope = problem.gradient(x)
    for spec in ("importance", SPECS["single"], SPECS["replacement"]):
        sampling = samplings.build(spec, problem=problem)
        right = mean_gradient(problem, sampling, x)
        wrong = mean_gradient(problem, without_reweighting(sampling), x)
        np.testing.assert_allclose(right, slope, atol=1e-14)
        assert np.linalg.norm(wrong - slope) > 0.05 * np.linalg.norm(slope)
    # The unweighted mean over i ~ p is that of sum p_i f_i.
    importance = samplings.build("importance", problem=problem)
    p = importance.probabilities
    expected = sum(p[i] * problem.sample_gradient(i, x) for i in range(N))
    np.testing.assert_allclose(mean_gradient(problem, without_reweighting(importance), x), expected, atol=1e-14)
    # With equal probabilities nothing is forgotten.
    uniform = samplings.build("uniform", problem=problem)
    np.testing.assert_allclose(mean_gradient(problem, without_reweighting(uniform), x), slope, atol=1e-14)


def test_a_zero_probability_needs_a_component_without_gradient() -> None:
    # f_1 is linear: L_1 = 0, but leaving it out leaves its slope out.
    problem = problems.build("one-sided")
    with pytest.raises(InputError, match=r"p is 0 at position 1"):
        samplings.build("single:p=1/0", problem=problem)


# -- the alias table --


def table_law(threshold: Vector, alias: NDArray[np.int64]) -> Vector:
    n = len(threshold)
    law = threshold / n
    np.add.at(law, alias, (1 - threshold) / n)
    return np.asarray(law)


@given(raw=st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1.0)), min_size=1, max_size=40).filter(any))
@reproducible
def test_alias_table_has_the_law_it_was_made_from(raw: list[float]) -> None:
    p = np.array(raw) / sum(raw)
    threshold, alias = alias_table(p)
    assert ((threshold >= 0) & (threshold <= 1)).all()
    assert ((alias >= 0) & (alias < len(p))).all()
    law = table_law(threshold, alias)
    # Each cell is right to rounding of numbers up to n p <= n.
    np.testing.assert_allclose(law, p, rtol=0, atol=4e-16 * len(p))
    # What must never be drawn is reached neither by its own cell nor as an alias.
    assert (law[p == 0] == 0).all()


def test_alias_table_of_equal_probabilities_keeps_every_cell() -> None:
    threshold, alias = alias_table(np.full(7, 1 / 7))
    np.testing.assert_allclose(table_law(threshold, alias), 1 / 7, rtol=1e-15)
    threshold, alias = alias_table(np.array([0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(table_law(threshold, alias), [0, 0, 1])


# -- the engine's draws --


def _draw_many(
    sampling: Any,
    seed: Any,
    replicate: int,
    first: int,
    indices: Any,
    weights: Any,
    marks: Any,
    sizes: Any,
    found: Any,
    factors: Any,
) -> None:
    key = stream(seed, replicate)
    for row in range(sizes.shape[0]):
        m = draw(sampling, key, replicate, first + row, indices, weights, marks)
        sizes[row] = m
        for k in range(m):
            found[row, k] = indices[k]
            factors[row, k] = weights[k]


@cache
def compiled() -> Callable[..., None]:
    return dispatch.compile_like_the_loop(_draw_many)


def engine_draws(
    sampling: SamplingData, steps: int, *, seed: int, replicate: int = 0, first: int = 0
) -> list[tuple[list[int], list[float]]]:
    """What the compiled loop draws at steps first, first + 1, ..."""
    indices, weights = np.zeros(sampling.largest, dtype=np.int64), np.zeros(sampling.largest)
    if sampling.kind == kinds.FULL:
        indices[:], weights[:] = np.arange(sampling.n), 1.0
    sizes = np.zeros(steps, dtype=np.int64)
    found, factors = np.zeros((steps, sampling.largest), dtype=np.int64), np.zeros((steps, sampling.largest))
    marks = np.zeros(sampling.n, dtype=np.int64)
    compiled()(sampling, np.uint64(seed), replicate, first, indices, weights, marks, sizes, found, factors)
    return [(found[t, :m].tolist(), factors[t, :m].tolist()) for t, m in enumerate(sizes)]


@each_sampling
@pytest.mark.parametrize(("seed", "replicate", "first"), [(0, 0, 0), (12345, 3, 17), (2**64 - 1, 10**6, 2**40)])
def test_draws_equal_those_in_whole_numbers_of_python(
    sampling: Sampling, seed: int, replicate: int, first: int
) -> None:
    steps = 200
    found = engine_draws(sampling.data, steps, seed=seed, replicate=replicate, first=first)
    assert found == [drawn(sampling.data, seed, replicate, first + t) for t in range(steps)]


def test_streams_differ() -> None:
    sampling = single(np.full(1000, 1 / 1000)).data
    runs = [
        engine_draws(sampling, 50, seed=seed, replicate=replicate, first=first)
        for seed, replicate, first in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 50), (1, 1, 0))
    ]
    for k, one in enumerate(runs):
        for two in runs[:k]:
            assert sum(a == b for a, b in zip(one, two, strict=True)) < 5
    # The draws of a step depend on its number, not on where the count began.
    assert engine_draws(sampling, 50, seed=0, first=30) == engine_draws(sampling, 80, seed=0)[30:]


# The draws are fixed by the seed, so the test either always passes or always fails. A sound generator fails one
# such comparison in 10^4; there are about 20 of them.
SMALLEST_P = 1e-4


def chi_square(sampling: Sampling, law: Sampling, steps: int) -> float:
    """p-value of `steps` draws of one sampling against the atoms of another."""
    expected: Counter[tuple[tuple[int, float], ...]] = Counter()
    for atom in law.atoms():
        expected[tuple(sorted(zip(atom.indices, np.round(atom.weights, 9).tolist(), strict=True)))] += atom.probability  # type: ignore[assignment]
    seen: Counter[tuple[tuple[int, float], ...]] = Counter()
    for indices, weights in engine_draws(sampling.data, steps, seed=2024, replicate=1):
        v = dense_vector(tuple(indices), tuple(weights), sampling.n)
        seen[tuple((int(i), round(float(v[i]), 9)) for i in np.flatnonzero(v))] += 1
    assert set(seen) <= set(expected)
    counts = np.array([seen[key] for key in expected])
    chances = np.array([expected[key] for key in expected], dtype=np.float64)
    if len(counts) == 1:
        return 1.0
    assert (chances * steps).min() >= 5, "too few expected for a chi-square test"
    return float(stats.chisquare(counts, chances / chances.sum() * steps).pvalue)


@each_sampling
def test_frequencies_of_the_draws(sampling: Sampling) -> None:
    assert chi_square(sampling, sampling, 20_000) > SMALLEST_P


def test_frequencies_tell_a_law_from_one_nearby() -> None:
    law, near = single([0.2, 0.2, 0.2, 0.2, 0.2]), single([0.22, 0.18, 0.2, 0.2, 0.2])
    # With the weights of the other, so that only the frequencies tell them apart.
    near = replace(near, data=near.data._replace(weights=law.data.weights))
    assert chi_square(law, near, 20_000) < SMALLEST_P
    assert chi_square(near, law, 20_000) < SMALLEST_P


def test_tau_nice_draws_every_subset_equally_often() -> None:
    rows = engine_draws(tau_nice(5, 2).data, 20_000, seed=5)
    assert all(len(set(indices)) == 2 for indices, _ in rows)
    counts = Counter(frozenset(indices) for indices, _ in rows)
    assert len(counts) == 10
    assert stats.chisquare(list(counts.values())).pvalue > SMALLEST_P
    rows = engine_draws(tau_nice(50, 20).data, 500, seed=5)
    assert all(len(set(indices)) == 20 and max(indices) < 50 and min(indices) >= 0 for indices, _ in rows)
    assert all(sorted(indices) == list(range(5)) for indices, _ in engine_draws(tau_nice(5, 5).data, 100, seed=5))


def test_numbers_within_a_step_are_independent() -> None:
    rows = engine_draws(replacement(np.full(4, 0.25), 2).data, 20_000, seed=8)
    table = np.zeros((4, 4))
    for indices, _ in rows:
        table[indices[0], indices[1]] += 1
    assert stats.chi2_contingency(table).pvalue > SMALLEST_P
    # Neighbouring steps, and the same step of neighbouring replicates and seeds.
    data = single(np.full(4, 0.25)).data
    base = [indices[0] for indices, _ in engine_draws(data, 20_000, seed=8)]
    others = [
        base[1:],
        [indices[0] for indices, _ in engine_draws(data, 20_000, seed=8, replicate=1)],
        [indices[0] for indices, _ in engine_draws(data, 20_000, seed=9)],
    ]
    for other in others:
        table = np.zeros((4, 4))
        for one, two in zip(base, other, strict=False):
            table[one, two] += 1
        assert stats.chi2_contingency(table).pvalue > SMALLEST_P


def test_what_has_probability_zero_is_never_drawn() -> None:
    p = [0.0, 0.5, 0.0, 0.5, 0.0]
    for sampling in (single(p), replacement(p, 3), independent([0, 1, 0, 0.5, 0])):
        rows = engine_draws(sampling.data, 20_000, seed=3)
        assert {i for indices, _ in rows for i in indices} == {1, 3}
        assert {i for atom in sampling.atoms() for i in atom.indices} == {1, 3}


def test_listed_atoms_are_drawn_by_their_number() -> None:
    atoms = list(independent([0.5, 0.2, 0.9]).atoms())
    data = kinds.listed(atoms, 3)
    for k, atom in enumerate(atoms):
        assert engine_draws(data, 2, seed=0, replicate=k) == [(list(atom.indices), list(atom.weights))] * 2


# -- the constants of the pair --


def exact_largest_smoothness(problem: Problem, sampling: Sampling) -> float:
    """Largest Lipschitz constant over the atoms, from the matrices of a sum of quadratics."""
    components = problem.quadratic_components()
    assert components is not None
    H, _ = components
    matrices = [
        np.einsum("i,ijk->jk", dense_vector(atom.indices, atom.weights, problem.n), H) / problem.n
        for atom in sampling.atoms()
    ]
    return max(float(np.abs(np.linalg.eigvalsh(matrix)).max()) for matrix in matrices)


@pytest.mark.parametrize(
    "spec",
    [
        "quadratic-sum:n=5,d=3,seed=1",
        "quadratic-sum:n=5,d=3,indefinite=1.5",
        "parabolas:h=1/2/5/1/1",
        "quadratic-sum:n=5,d=1,mu=1,L=1",
    ],
)
@pytest.mark.parametrize("kind", sampling_specs(5))
def test_largest_smoothness_over_the_atoms(spec: str, kind: str) -> None:
    problem = problems.build(spec)
    sampling = samplings.build(SPECS[kind], problem=problem)
    stated, true = largest_smoothness(problem, sampling), exact_largest_smoothness(problem, sampling)
    assert stated.value >= true * (1 - 1e-12)
    if stated.grade is Grade.EXACT:
        assert stated.value == pytest.approx(true, rel=1e-12)
    documented = kind in ("full", "uniform", "importance", "single", "replacement", "partition")
    documented |= kind == "independent" and problem.convex_components
    assert (stated.grade is Grade.EXACT) == documented
    # No pair does better than f itself.
    assert stated.value >= problem.L.value * (1 - 1e-12)


@given(problem=finite_sums(), data=st.data())
@reproducible
def test_largest_smoothness_is_never_too_small(problem: Problem, data: st.DataObject) -> None:
    sampling = data.draw(sampling_of(problem.n))
    if problem.quadratic:
        stated = largest_smoothness(problem, sampling).value
        assert stated >= exact_largest_smoothness(problem, sampling) * (1 - 1e-12)
    else:  # grad f_v = (mean of v_i s_i) grad f + constant
        noise = problem.affine_noise()
        assert noise is not None
        true = max(float(np.abs(np.dot(atom.weights, noise[0][list(atom.indices)]))) for atom in sampling.atoms())
        assert largest_smoothness(problem, sampling).value >= true / problem.n * problem.L.value * (1 - 1e-12)


def test_largest_smoothness_at_the_ends_of_tau() -> None:
    problem = five()
    smoothness, _ = problem.component_smoothness
    assert largest_smoothness(problem, tau_nice(N, 1)).value == pytest.approx(smoothness.max(), rel=1e-15)
    assert largest_smoothness(problem, tau_nice(N, N)) == problem.L
    importance = samplings.build("importance", problem=problem)
    assert largest_smoothness(problem, importance).value == pytest.approx(smoothness.mean(), rel=1e-14)


def expected_square(problem: Problem, sampling: Sampling, x: Vector) -> float:
    """E ||grad f_v(x)||^2 by enumeration."""
    return math.fsum(
        atom.probability * float(np.sum(problem.minibatch_gradient(x, atom.indices, atom.weights) ** 2))
        for atom in sampling.atoms()
    )


@given(
    problem=finite_sums(),
    data=st.data(),
    direction=st.integers(0, 10**6),
    radius=st.sampled_from([1e-6, 1e-2, 1.0, 30.0]),
    split=st.sampled_from([0.1, 1.0, 5.0]),
)
@settings(reproducible, max_examples=300)
def test_expected_residual_inequality(
    problem: Problem, data: st.DataObject, direction: int, radius: float, split: float
) -> None:
    sampling = data.draw(sampling_of(problem.n))
    er = er_constants(problem, sampling, split=split)
    assert er.A >= 0
    assert er.B >= 0
    assert er.C >= 0
    assert problem.minimiser is not None
    x = problem.minimiser + radius * np.random.default_rng(direction).standard_normal(problem.d)
    bound = 2 * er.A * problem.gap(x) + er.B * float(np.sum(problem.gradient(x) ** 2)) + er.C
    measured = expected_square(problem, sampling, x)
    # Squares of sampled gradients are rounded at their own size, and so are their means.
    largest = max(float(np.sum(problem.sample_gradient(i, x) ** 2)) for i in range(problem.n))
    assert measured <= bound * (1 + 1e-11) + 1e-14 * largest
    if problem.quadratic and not sampling.is_full:
        own = quadratic_er(problem, sampling, split=split)
        bound = 2 * own.A * problem.gap(x) + own.C
        assert measured <= bound * (1 + 1e-11) + 1e-13 * largest


@given(problem=finite_sums(), p=st.data())
@reproducible
def test_exact_affine_noise_is_an_equality(problem: Problem, p: st.DataObject) -> None:
    if problem.affine_noise() is None:
        return
    sampling = p.draw(sampling_of(problem.n))
    er = er_constants(problem, sampling)
    if er.grade is not Grade.EXACT:
        return
    x = problem.start
    bound = 2 * er.A * problem.gap(x) + er.B * float(np.sum(problem.gradient(x) ** 2)) + er.C
    assert expected_square(problem, sampling, x) == pytest.approx(bound, rel=1e-11)


def test_constants_smaller_by_a_hundredth_fail() -> None:
    problem = problems.build("parabolas:h=1/2/5")
    importance = samplings.build("importance", problem=problem)
    er = er_constants(problem, importance)
    assert expected_square(problem, importance, np.ones(1)) > 2 * 0.99 * er.A * problem.gap([1.0])


@given(curvatures=st.lists(st.floats(0.01, 100), min_size=2, max_size=6), x=st.floats(-10, 10))
@reproducible
def test_importance_sampling_of_parabolas_attains_the_constants(curvatures: list[float], x: float) -> None:
    problem = problems.build(f"parabolas:h={'/'.join(map(repr, curvatures))}")
    importance = samplings.build("importance", problem=problem)
    er = er_constants(problem, importance)
    assert (er.B, er.C) == (0.0, 0.0)
    assert pytest.approx(np.mean(curvatures), rel=1e-12) == er.A
    assert expected_square(problem, importance, np.array([x])) == pytest.approx(2 * er.A * problem.gap([x]), rel=1e-11)


@given(curvatures=st.lists(st.floats(0.01, 100), min_size=2, max_size=6), data=st.data())
@reproducible
def test_importance_has_the_smallest_constant_of_all_single_samplings(
    curvatures: list[float], data: st.DataObject
) -> None:
    problem = problems.build(f"parabolas:h={'/'.join(map(repr, curvatures))}")
    other = single(data.draw(laws(len(curvatures))))
    best = er_constants(problem, samplings.build("importance", problem=problem))
    assert er_constants(problem, other).A >= best.A * (1 - 1e-12)
    assert largest_smoothness(problem, other).value >= best.A * (1 - 1e-12)


def test_constants_of_the_table() -> None:
    problem = five()
    smoothness, _ = problem.component_smoothness
    sigma = float(problem.component_gaps[0].mean())
    p, q = CONSTRUCTED["single"].probabilities, CONSTRUCTED["replacement"].probabilities
    chance = CONSTRUCTED["independent"].probabilities
    blocks = CONSTRUCTED["partition"]
    H = problem.data.H
    sums = [np.linalg.eigvalsh(H[block].sum(axis=0))[-1] for block in ([1, 4], [0, 2], [3])]
    table: list[tuple[Sampling, float, float]] = [
        (CONSTRUCTED["single"], max(smoothness / (N * p)), 0),
        (samplings.build("uniform", problem=problem), max(smoothness), 0),
        (samplings.build("importance", problem=problem), smoothness.mean(), 0),
        (tau_nice(N, 2), (N - 2) / (2 * (N - 1)) * max(smoothness), N / (2 * (N - 1))),
        (CONSTRUCTED["replacement"], max(smoothness / (3 * N * q)), 2 / 3),
        (CONSTRUCTED["independent"], max((1 - chance) * smoothness / (chance * N)), 1),
        (blocks, max(np.array(sums) / (N * blocks.probabilities)), 0),
    ]
    for sampling, A, B in table:
        er = er_constants(problem, sampling)
        assert er.route == "table A.1"
        found = (er.A, er.B, er.C)
        assert found == pytest.approx((A, B, 2 * A * sigma), rel=1e-12), sampling.name
    for sampling in (full(N), tau_nice(N, N), CONSTRUCTED["one block"], independent(np.ones(N))):
        er = er_constants(problem, sampling)
        assert (er.A, er.B, er.C, er.grade) == (0, 1, 0, Grade.EXACT)


def test_interpolation_needs_no_constant_term() -> None:
    problem = problems.build("quadratic-sum:n=5,d=3,noise=0")
    for kind, spec in SPECS.items():
        assert er_constants(problem, samplings.build(spec, problem=problem)).C == 0, kind
    indefinite = problems.build("quadratic-sum:n=5,d=3,noise=0,indefinite=1")
    er = er_constants(indefinite, samplings.build("uniform", problem=indefinite))
    assert (er.C, er.grade) == (0, Grade.EXACT)


def test_a_component_without_lower_bound_that_is_no_quadratic_is_refused() -> None:
    class Unknown(type(problems.build("tent"))):  # type: ignore[misc]
        @property
        def component_gaps(self) -> tuple[Vector, Grade]:
            return np.array([np.inf, 0.0]), Grade.EXACT

    problem = Unknown()
    problem.n = 2
    with pytest.raises(InputError, match="no expected-residual constants are known for it"):
        er_constants(problem, single([0.5, 0.5]))


# -- bad input --


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: single([0.5, 0.4]), r"p must sum to 1, got .*0\.9"),
    (lambda: single([0.5, math.nan]), r"p holds NaN at position 1; probabilities lie in \[0, 1\]"),
    (lambda: single([1.5, -0.5]), r"p holds .*1\.5.* at position 0; probabilities lie in \[0, 1\]"),
    (lambda: single([-0.1, 1.1]), r"p holds .* at position [01]; probabilities lie in \[0, 1\]"),
    (lambda: single([math.inf, 0]), r"p holds .*inf.* at position 0"),
    (lambda: single([[0.5, 0.5]]), r"p must have shape \(2,\), one probability for each of them, got \(1, 2\)"),
    (lambda: single([]), r"p must"),
    (lambda: single(["a", "b"]), r"p must be an array of numbers, got list"),
    (lambda: single([1.0, 0.0], varying=np.ones(2, dtype=bool)), r"p is 0 at position 1, where f_i is not constant"),
    (lambda: single([1.0], varying=np.ones(2, dtype=bool)), r"p must have shape \(2,\).* got \(1,\)"),
    (lambda: tau_nice(5, 0), r"tau must be a whole number >= 1, got 0"),
    (lambda: tau_nice(5, 6), r"tau must lie in 1..n = 5, got 6"),
    (lambda: tau_nice(5, 2.5), r"tau must be a whole number >= 1, got 2.5"),  # type: ignore[arg-type]
    (lambda: replacement([0.5, 0.5], 0), r"tau must be a whole number >= 1, got 0"),
    (lambda: replacement([0.5, 0.5], 3), r"tau must lie in 1..n = 2, got 3"),
    (lambda: replacement([0.5, 0.6], 1), r"q must sum to 1"),
    (lambda: replacement([1.0, 0.0], 1, varying=np.ones(2, dtype=bool)), r"q is 0 at position 1"),
    (lambda: independent([0.5, 1.5]), r"p holds .*1\.5.* at position 1"),
    (
        lambda: independent([0.5, 0.0], varying=np.ones(2, dtype=bool)),
        r"p is 0 at position 1, where f_i is not constant",
    ),
    (lambda: independent([[0.5]]), r"p must have shape \(1,\)"),
    (lambda: partition([0, 2]), r"blocks must use every number 0..2, block 1 is empty"),
    (lambda: partition([-1, 0]), r"blocks must hold whole numbers >= 0, got .*-1"),
    (lambda: partition([0.5, 0]), r"blocks must hold whole numbers >= 0, got .*0\.5"),
    (lambda: partition([math.nan, 0]), r"blocks must hold whole numbers >= 0, got .*nan"),
    (lambda: partition([0, math.inf]), r"blocks must hold whole numbers >= 0"),
    (lambda: partition(["a", "b"]), r"blocks must"),
    (lambda: partition([]), r"blocks must give one block number per component, got shape \(0,\)"),
    (lambda: partition([[0, 1]]), r"blocks must give one block number per component, got shape \(1, 2\)"),
    (lambda: partition([0, 10**13]), r"blocks must"),
    (lambda: partition([0, 1], [1.0]), r"p of the blocks must have shape \(2,\)"),
    (lambda: partition([0, 1], [1.0, 0.0]), r"p of the blocks must be positive, got 0 at position 1"),
    (lambda: partition([0, 1], [0.5, 0.6]), r"p of the blocks must sum to 1"),
    (lambda: partition([0, 1], varying=np.ones(3, dtype=bool)), r"for each of n = 3 components, got 2"),
    (lambda: er_constants(five(), full(3)), r"the sampling has n = 3 components and the problem n = 5"),
    (lambda: samplings.build("tau-nice:tau=0", problem=five()), r"tau must be a whole number >= 1, got 0"),
    (lambda: samplings.build("tau-nice:tau=6", problem=five()), r"tau must lie in 1..n = 5, got 6"),
    (lambda: samplings.build("tau-nice", problem=five()), r"lacks the key 'tau'"),
    (
        lambda: samplings.build("tau-nise:tau=2", problem=five()),
        r"unknown sampling 'tau-nise'; the nearest is 'tau-nice'",
    ),
    (lambda: samplings.build("uniform:tau=2", problem=five()), r"unknown key 'tau' .* it takes none"),
    (lambda: samplings.build("single:p=0.5/0.5", problem=five()), r"p must have shape \(5,\).* got \(2,\)"),
    (lambda: samplings.build("single:p=file.csv", problem=five()), r"p of sampling 'single' must name an .npy file"),
    (lambda: samplings.build("single:p=no.npy", problem=five()), r"names a file that does not exist: 'no.npy'"),
    (lambda: samplings.build("replacement:tau=2,q=0.5/0.5", problem=five()), r"q must have shape \(5,\).* got \(2,\)"),
    (lambda: samplings.build("independent:p=0.5/0.5", problem=five()), r"p must have shape \(5,\).* got \(2,\)"),
    (lambda: samplings.build("independent:p=1.5", problem=five()), r"p holds .*1\.5.* at position 0"),
    (lambda: samplings.build("independent:p=0", problem=five()), r"p is 0 at position 0, where f_i is not constant"),
    (lambda: samplings.build("independent:p=nan", problem=five()), r"p holds NaN at position 0"),
    (lambda: samplings.build("partition:blocks=6", problem=five()), r"must lie in 1..n = 5, got 6"),
    (lambda: samplings.build("partition:blocks=0", problem=five()), r"must lie in 1..n = 5, got 0"),
    (lambda: samplings.build("partition:blocks=0/1/0", problem=five()), r"for each of n = 5 components, got 3"),
    (lambda: samplings.build("partition:blocks=0/0.5/1/1/1", problem=five()), r"blocks must hold whole numbers"),
    (lambda: samplings.build("partition:blocks=0/nan/1/1/1", problem=five()), r"blocks must hold whole numbers"),
    (lambda: samplings.build("importance", problem=problems.build("parabolas:h=0/0")), r"h must have a positive mean"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[f"{k} {words}" for k, (_, words) in enumerate(BAD)])
def test_bad_input_ends_in_one_sentence(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_messages_show_plain_numbers() -> None:
    calls: list[Callable[[], Any]] = [
        lambda: single([1.5, -0.5]),
        lambda: single([0.5, 0.4]),
        lambda: partition([0.5, 0]),
    ]
    for make in calls:
        with pytest.raises(InputError) as caught:
            make()
        assert "np." not in str(caught.value)


def test_files_of_probabilities(tmp_path: Path) -> None:
    law, labels = tmp_path / "p.npy", tmp_path / "blocks.npy"
    np.save(law, [0.1, 0.2, 0.3, 0.35, 0.05])
    np.save(labels, np.array([1, 0, 1, 2, 0]))
    read = samplings.build(f"single:p={law}", problem=five())
    np.testing.assert_array_equal(read.probabilities, CONSTRUCTED["single"].probabilities)
    assert read.name == f"single:p={law}"
    blocks = samplings.build(f"partition:blocks={labels},p=0.2/0.5/0.3", problem=five())
    assert list(blocks.atoms()) == list(CONSTRUCTED["partition"].atoms())
    for word in ("replacement:tau=2,q", "independent:p"):
        np.testing.assert_allclose(samplings.build(f"{word}={law}", problem=five()).probabilities, read.probabilities)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    pickled, text, empty, folder = (tmp_path / name for name in ("pickled.npy", "text.npy", "empty.npy", "folder.npy"))
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    text.write_text("0.5, 0.5")
    empty.write_bytes(b"")
    folder.mkdir()
    words = {
        pickled: "it holds pickled objects",
        text: "it is not an .npy array",
        empty: "it is not an .npy array",
        folder: "it is not an .npy array",
    }
    for file, reason in words.items():
        for spec in (f"single:p={file}", f"partition:blocks={file}"):
            with pytest.raises(InputError, match=f"cannot be read from .*: {reason}"):
                samplings.build(spec, problem=five())


@pytest.mark.parametrize("kind", SPECS)
def test_name_is_a_spec_of_the_same_sampling(kind: str) -> None:
    sampling = samplings.build(SPECS[kind], problem=five())
    again = samplings.build(sampling.name, problem=five())
    assert list(again.atoms()) == list(sampling.atoms())
    assert again.name == sampling.name


def test_a_whole_number_of_another_type_is_taken_as_it_is() -> None:
    for tau in (2.0, np.int64(2), np.float64(2)):
        for sampling in (tau_nice(N, tau), replacement(np.full(N, 1 / N), tau)):  # type: ignore[arg-type]
            assert type(sampling.data.tau) is int
            assert type(sampling.data.largest) is int
    assert tau_nice(N, 2.0).name == "tau-nice:tau=2"  # type: ignore[arg-type]


@each_sampling
def test_engine_data_has_the_one_layout_that_compiles_once(sampling: Sampling) -> None:
    wanted = dict.fromkeys(("kind", "n", "tau", "largest"), int)
    for field, entry in sampling.data._asdict().items():
        if field in wanted:
            assert type(entry) is int
            continue
        assert entry.dtype == (np.int64 if field in ("alias", "members", "starts") else np.float64)
        assert entry.flags.c_contiguous
        assert entry.flags.writeable
