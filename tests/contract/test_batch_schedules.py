"""Batches that grow: each stage is drawn as that sampling alone would be, and claims refuse what they do not cover."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.engine.run import simulate
from experiments.exact.moments import exact_moments
from experiments.schedule_table import compare_schedules
from problems.errors import InputError
from problems.problem import problems
from tests.strategies import drawn
from theory.claim import OutsideHypotheses, claims
from theory.methods.method import methods
from theory.samplings import samplings
from theory.setting import Setting, facts_of, make_setting

PROBLEM = problems.build("quadratic-sum:n=40,d=3,seed=1")


def setting_of(tau: str, kind: str = "tau-nice", method: str = "sam") -> Setting:
    sampling = samplings.build(f"{kind}:tau={tau}", problem=PROBLEM)
    return make_setting(PROBLEM, sampling=sampling, method=methods.build(method), gamma=0.1, rho=0.1)


@pytest.mark.parametrize("kind", ["tau-nice", "replacement"])
def test_stages_are_cut_off_at_n(kind: str) -> None:
    sampling = setting_of("doubling:start=4,every=10", kind).sampling
    assert [(start, end, part.data.tau) for start, end, part in sampling.stages(45)] == [
        (0, 10, 4), (10, 20, 8), (20, 30, 16), (30, 40, 32), (40, 45, 40)
    ]  # fmt: skip
    assert sampling.stages(10) == [(0, 10, sampling)]
    epochs = setting_of("doubling-epoch:start=10,epochs=2,n=40", kind).sampling
    assert [(start, part.data.tau) for start, _, part in epochs.stages(100)] == [(0, 10), (8, 20), (12, 40)]


@pytest.mark.parametrize("kind", ["tau-nice", "replacement"])
def test_a_run_against_numpy_on_the_same_draws(kind: str) -> None:
    setting = setting_of("doubling:start=2,every=7", kind, "sgd")
    x = setting.x0.copy()
    for t in range(40):
        part = next(part for start, end, part in setting.sampling.stages(40) if start <= t < end)
        indices, weights = drawn(part.data, 5, 2, t)
        x = x - 0.1 * PROBLEM.minibatch_gradient(x, indices, weights)
    found = simulate(setting, steps=40, replicates=1, first_replicate=2, seed=5).x[0]
    # 40 steps of sums over at most 40 rows.
    np.testing.assert_allclose(found, x, rtol=1e-12)


def test_results_do_not_depend_on_blocks_or_threads() -> None:
    setting = setting_of("doubling:start=4,every=10")
    runs = [
        simulate(setting, steps=60, replicates=5, seed=1, block=block, threads=threads).x
        for block, threads in ((7, 1), (10, 2), (1000, 3))
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])


def test_claims_and_moments_refuse() -> None:
    setting = setting_of("doubling:start=4,every=10", method="usam")
    facts = facts_of(setting.with_steps(gamma=1e-3, rho=1e-3))
    with pytest.raises(OutsideHypotheses, match="stages of the batch size: 5 must be = 1"):
        claims["unified-sam/pl-constant"].require(facts)
    found = exact_moments(setting, steps=20)
    assert isinstance(found, str)
    assert "the batch size changes" in found


@pytest.mark.parametrize(
    ("tau", "sentence"),
    [
        ("cosine:start=4,end=1,steps=9", "must be a whole number or a batch schedule"),
        ("0", "tau must be a whole number >= 1"),
        ("2.5", "tau of sampling 'tau-nice' must be a whole number"),
        ("doubling:start=4", "lacks the key 'every'"),
    ],
)
def test_bad_batches(tau: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        setting_of(tau)


# -- increasing batch against decaying step --


def test_the_reference_table() -> None:
    """Weighted averages, bounds and samples of the reference toy, measured with 2,000 copies elsewhere; 60 here.

    The averaged bounds are exact to the digits given; averages carry a few per cent of sampling error.
    """
    rows = compare_schedules(
        problems.build("noisy-quadratic"), gamma=0.2, rho="0.05", alpha=0.1, batch=4, every=400, steps=2000, copies=60
    )
    stated = {
        "constant": (0.0625, 0.2215, 0.1907, 8000),
        "batch doubling every 400 steps": (0.0347, 0.1066, 0.0148, 49600),
        "cosine": (0.0670, 0.2002, 0.0141, 8000),
        "linear": (0.0630, 0.1828, 0.0177, 8000),
        "inverse square root": (0.3652, 0.7212, 0.0117, 8000),
    }
    for row in rows:
        average, bound, window, samples = stated[row.schedule]
        assert abs(row.average - average) <= 5 * row.error + 6e-5, row
        assert row.averaged_bound == pytest.approx(bound, abs=6e-5)
        # The best window starts at a measured gap: within its sampling error.
        assert row.window_bound == pytest.approx(window, rel=0.05)
        assert row.samples == samples
        assert row.average <= row.averaged_bound
        assert row.least <= row.window_bound


def test_where_the_bound_says_nothing() -> None:
    options = {"rho": "0.05", "alpha": 0.1, "batch": 4, "every": 10, "steps": 20, "copies": 2}
    with pytest.raises(InputError, match="unbounded variance"):
        compare_schedules(PROBLEM, gamma=0.1, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="gamma must be below 1/L"):
        compare_schedules(problems.build("noisy-quadratic"), gamma=1.5, **options)  # type: ignore[arg-type]


def test_the_variance_of_noisy_quadratics() -> None:
    problem = problems.build("noisy-quadratic:d=4,n=20,variance=0.7")
    for tau in (1, 5):
        setting = make_setting(problem, sampling=samplings.build(f"replacement:tau={tau}", problem=problem))
        assert facts_of(setting).variance == pytest.approx(0.7 / tau, rel=1e-12)
    assert facts_of(replace(setting, sampling=samplings.build("full", problem=problem))).variance == 0.0
