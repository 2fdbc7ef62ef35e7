"""The benchmark: that its ways compute the same thing, and what its rows hold. Nothing here looks at a clock."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments.bench import engine as bench
from experiments.bench.workloads import (
    WORKLOADS,
    Workload,
    by_hand,
    draw_up_front,
    logistic,
    ridge,
    with_numpy,
    workload,
)
from experiments.engine.draws import stream, uniform
from experiments.engine.run import simulate
from problems.errors import InputError
from problems.problem import Indices
from problems.scratch import aligned
from theory.schedules import inverse

STEPS = 200
SMALL = {
    "ridge": workload("ridge", ridge(20, 7), steps=STEPS, replicates=3),
    "wide ridge": workload("wide ridge", ridge(8, 13), steps=STEPS, replicates=3),
    "logistic": workload("logistic", logistic(50, 4), steps=STEPS, replicates=3),
}
every_small = pytest.mark.parametrize("work", SMALL.values(), ids=SMALL.keys())


def engine_draws(work: Workload, steps: int, seed: int) -> Indices:
    """The engine's components, shape (steps, R), for a uniform law."""
    n = work.problem.n
    with np.errstate(over="ignore"):  # the generator works modulo 2^64
        keys = [stream(np.uint64(seed), r) for r in range(work.replicates)]
        return np.array([[int(uniform(key, t, 0) * n) for key in keys] for t in range(steps)])


@every_small
@pytest.mark.parametrize("steps", [STEPS, STEPS - 3])
def test_the_hand_loop_is_the_engine(work: Workload, steps: int) -> None:
    run = simulate(work.setting, steps=steps, times=work.times(steps), replicates=work.replicates, seed=5, threads=1)
    for norms in (False, True):
        hand = by_hand(work, steps=steps, seed=5, norms=norms)
        np.testing.assert_allclose(hand.x, run.x, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(hand.gap, run.gap, rtol=1e-12)
        if norms:
            assert hand.norms is not None
            np.testing.assert_allclose(hand.norms, run.grad_norm2, rtol=1e-11)
        else:
            assert hand.norms is None
    assert (run.gap[:, -1] < 0.9 * run.gap[:, 0]).all()  # something happened
    assert len(np.unique(run.gap[:, -1])) == work.replicates


@every_small
@pytest.mark.parametrize("steps", [STEPS, STEPS - 3])
def test_numpy_agrees_on_the_same_components(work: Workload, steps: int) -> None:
    run = simulate(work.setting, steps=steps, times=work.times(steps), replicates=work.replicates, seed=5, threads=1)
    plain = with_numpy(work, engine_draws(work, steps, seed=5))
    np.testing.assert_allclose(plain.x, run.x, rtol=1e-12, atol=1e-14)
    # It takes f - f* as a difference of two losses.
    np.testing.assert_allclose(plain.gap, run.gap, rtol=1e-12, atol=1e-13 * float(run.gap[0, 0] + 1))


def test_components_drawn_up_front_are_uniform() -> None:
    work = SMALL["ridge"]
    drawn = draw_up_front(work, steps=4000)
    assert drawn.shape == (4000, 3)
    counts = np.bincount(drawn.ravel(), minlength=20)
    assert len(counts) == 20
    assert abs(counts - 600).max() < 6 * 600**0.5


@pytest.mark.parametrize("name", ["ridge", "logistic"])
def test_divergence_is_noticed_by_every_way(name: str) -> None:
    small = SMALL[name]
    # The logistic loss has a bounded slope: there only the regulariser can diverge.
    gamma = 1e3 if name == "ridge" else 1e3 / small.problem.data.reg
    work = Workload(name, small.setting.with_steps(gamma=gamma, rho=0.1), STEPS, 2, small.every, STEPS)
    run = simulate(work.setting, steps=STEPS, replicates=2, threads=1)
    assert (run.diverged >= 0).all()
    with pytest.raises(ArithmeticError, match="hand loop diverged"):
        by_hand(work, steps=STEPS)
    with np.errstate(all="ignore"), pytest.raises(ArithmeticError, match="NumPy loop diverged"):
        with_numpy(work, draw_up_front(work, steps=STEPS))


def test_schedules_that_change_are_refused() -> None:
    small = SMALL["ridge"]
    setting = small.setting.with_steps(gamma=inverse(0.1, 1.0), rho=0.1)
    with pytest.raises(InputError, match="constant gamma, rho and lam"):
        by_hand(Workload("changing", setting, STEPS, 2, small.every, STEPS), steps=STEPS)


@pytest.mark.parametrize("d", [1, 7, 8, 100])
def test_scratch_starts_on_a_cache_line(d: int) -> None:
    scratch = aligned(d)
    assert scratch.shape == (d,)
    assert scratch.ctypes.data % 64 == 0
    assert scratch.flags.c_contiguous


def test_the_workloads_are_as_announced() -> None:
    assert list(WORKLOADS) == ["W1", "W2", "W3"]
    work = WORKLOADS["W1"]()
    assert (work.problem.n, work.problem.d, work.steps, work.replicates, work.every) == (100, 100, 10_000, 16, 100)
    assert work.setting.lam.constant == 0.5
    assert work.times(1000).tolist() == list(range(0, 1001, 100))


def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "WORKLOADS", {name: (lambda w=work: w) for name, work in SMALL.items()})
    seen: list[bench.Row] = []
    rows = bench.bench_engine(quick=True, repeats=3, on_row=seen.append)
    assert rows == seen
    assert [row.workload for row in rows] == list(SMALL)
    for row, work in zip(rows, SMALL.values(), strict=True):
        assert list(row.timings) == list(bench.WAYS)
        assert row.problem == work.problem.name
        for timing in row.timings.values():
            assert timing.steps == max(STEPS // 10, work.every)
            assert len(timing.rates) == 3
            assert timing.best == max(timing.rates) > 0
            assert timing.first_call > 0
        for way in bench.WAYS:
            low, middle, high = row.spread(way)
            assert 0 < low <= middle <= high
            assert row.ratio(way) == row.timings[bench.rival_of(way)].best / row.timings[way].best
        assert row.ratio("engine") == row.ratio("engine-all") == 1
        found = row.as_json()
        assert json.loads(json.dumps(found)) == found
        assert set(found) == {
            "workload", "problem", "replicates", "every", "unit", "timings", "ratios", "ratio_spreads",
        }  # fmt: skip
        assert set(found["ratios"]) == {"hand", "numpy", "hand-all"}
        assert set(found["timings"]["hand"]) == {"steps", "rates", "first_call", "best"}
    assert bench.table(rows).row_count == len(rows) * len(bench.WAYS)


def test_repeats_must_be_positive() -> None:
    with pytest.raises(InputError, match="repeats"):
        bench.time_workload(SMALL["ridge"], repeats=0)
