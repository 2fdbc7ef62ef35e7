"""Every way of `ravine bench kernels` makes the steps of the engine. Nothing here looks at a clock."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from experiments.bench import jax_ways, kernels, yardstick
from experiments.bench.kernels import Result, Row, Way, Workload
from experiments.bench.workloads import draw_up_front, logistic, ridge, sizes, workload
from experiments.engine.run import simulate
from problems.kernel import linear
from theory.samplings import single
from theory.setting import make_setting


@pytest.mark.parametrize("name", kernels.WORKLOADS)
def test_the_c_loops_make_the_engines_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same draws, with the same records; W2 and W3 with less data."""
    monkeypatch.setattr(kernels, "ridge", lambda n, d: ridge(min(n, 60), min(d, 60)))
    monkeypatch.setattr(kernels, "logistic", lambda n, d: logistic(min(n, 300), d))
    monkeypatch.setattr(jax_ways, "_jax", lambda: None)
    work = kernels.WORKLOADS[name](200)
    row = kernels._time(work, repeats=1)
    assert "C" in row.results, row.missing
    assert row.missing.keys() >= {"JAX"} or any(way.startswith("JAX") for way in row.missing)
    for way, found in row.results.items():
        assert found.rates[0] > 0
        if way not in ("fast", "NumPy", "NumPy, eigenbasis", "textbook", "C dense", "C dense 512"):
            # The same numbers up to the rounding of a thousand steps.
            assert found.apart < 1e-11, way


def test_the_c_records_are_gaps() -> None:
    for problem, labels in ((ridge(20, 7), 0), (logistic(50, 4), 1)):
        work = workload("small", problem, steps=200, replicates=3)
        parts = linear(problem.data)
        gaps, x = np.empty((3, 200 // problem.n + 1)), np.zeros((3, problem.d))
        made = yardstick.compiled()
        assert not isinstance(made, str), made
        margins = getattr(problem.data, "margins", np.zeros(problem.n))
        yardstick.call(
            made.libraries[0], "linear_model", parts.A, parts.b, np.einsum("ij,ij->i", parts.A, parts.A), parts.centre,
            margins, problem.value(parts.centre) if labels else 0.0, problem.n, problem.d, parts.reg, x, 3,
            yardstick.keys(5, 3), *sizes(work.setting), 200, problem.n, gaps, labels,
        )  # fmt: skip
        run = simulate(work.setting, steps=200, times=work.times(200), replicates=3, seed=5)
        # The C loop takes the logistic gap as a difference of two losses of size 1.
        np.testing.assert_allclose(gaps, run.gap, rtol=1e-11, atol=1e-14 * labels)
        np.testing.assert_allclose(x, run.x, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("problem", [ridge(20, 7), logistic(50, 4)], ids=["ridge", "logistic"])
def test_jax_makes_the_steps_of_numpy(problem: object) -> None:
    from experiments.bench.workloads import with_numpy

    work = workload("small", problem, steps=100, replicates=3)  # type: ignore[arg-type]
    indices = draw_up_front(work, steps=100)
    expected = with_numpy(work, indices).x
    ways = list(jax_ways.linear(work, indices))
    assert [way.name for way in ways] == ["JAX, closed form", "JAX, automatic"]
    for way in ways:
        assert callable(way.call)
        np.testing.assert_allclose(way.call(), expected, rtol=1e-10, atol=1e-12)


def test_jax_on_quadratics_and_minibatches() -> None:
    h, starts = np.array([1.0, 0.3, 0.1]), np.random.default_rng(0).standard_normal((4, 3))
    from problems.quadratics import Quadratic

    problem = Quadratic.with_eigenvalues(h)
    setting = make_setting(problem, gamma=0.1, rho=0.1, lam=0.5)
    (way,) = jax_ways.quadratic(h, starts, (0.1, 0.1, 0.5), 50, name="JAX")
    assert callable(way.call)
    run = simulate(setting, steps=50, replicates=4, starts=starts)
    np.testing.assert_allclose(way.call(), run.x, rtol=1e-11)

    data = logistic(50, 4)
    work = workload("small", data, steps=1, replicates=2)
    chosen = np.arange(30).reshape(5, 2, 3)
    (way,) = jax_ways.minibatch(work, chosen, (0.1, 0.1, 0.5))
    assert callable(way.call)
    x = np.zeros((2, 4))
    for t, r in np.ndindex(5, 2):
        weights = np.full(3, 50 / 3)
        g = data.minibatch_gradient(x[r], chosen[t, r], weights)
        y = x[r] + 0.1 * (0.5 + 0.5 / np.linalg.norm(g)) * g
        x[r] -= 0.1 * data.minibatch_gradient(y, chosen[t, r], weights)
    np.testing.assert_allclose(way.call(), x, rtol=1e-11)


def test_without_a_compiler_or_jax_the_ways_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardstick, "compiler", lambda: None)
    yardstick.compiled.cache_clear()
    monkeypatch.setattr(jax_ways, "_jax", lambda: None)
    try:
        row = kernels._time(kernels.WORKLOADS["W4b"](1000), repeats=1)
    finally:
        yardstick.compiled.cache_clear()
    assert set(row.results) == {"fast", "textbook", "NumPy"}
    assert row.missing["C"] == "no C compiler was found (CC, cc, gcc, clang)"
    assert row.missing["JAX"] == "jax is not installed; pip install 'ravine[bench]'"
    assert json.dumps(row.as_json())
    (line,) = [line for line in kernels.remarks([row]) if "no C" in line]
    assert line.startswith("W4b: no C: no C compiler")


def test_ratios_are_over_the_best_of_a_family() -> None:
    def nothing() -> Iterator[Way]:
        return iter(())

    work = Workload("W", "title", 1, nothing, (("fast", "C", 0.8), ("fast", "JAX", 5.0), ("fast", "gone", 1.0)))
    results = {
        name: Result(10, rates)
        for name, rates in {
            "fast": [10.0, 12.0], "C": [9.0], "C 512": [16.0, 14.0], "C Gram": [99.0], "JAX, closed form": [2.0],
            "JAX, automatic": [3.0],
        }.items()
    }  # fmt: skip
    row = Row(work, results, {})
    assert row.rival("C") == "C 512"
    assert row.ratio("fast", "C") == 0.75
    assert row.ratio("fast", "C Gram") == 12 / 99
    assert row.ratio("fast", "JAX") == 4.0
    assert [entry["over"] for entry in row.as_json()["ratios"]] == ["C", "JAX"]
    assert [line.split(": ", 1)[1] for line in kernels.remarks([row])[1:]] == [
        "fast / C is 0.75, wanted 0.8",
        "fast / JAX is 4.00, wanted 5",
    ]


def test_the_workloads_draw_uniformly() -> None:
    """The C loops draw int(u n): the engine does the same only where every row is equally likely."""
    problem = ridge(20, 7)
    assert (single(np.full(20, 1 / 20)).data.threshold >= 1).all()
    assert problem.n == 20


def test_the_c_loops_leave_subnormal_numbers_alone() -> None:
    assert not isinstance(yardstick.compiled(), str)
    smallest = np.float64(5e-324)
    assert smallest * np.float64(1.0) == smallest
    assert smallest > 0
    assert np.float64(1e-300) * np.float64(1e-20) > 0
