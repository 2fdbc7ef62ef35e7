"""The betting test: its arithmetic at the extremes, its general laws, and the sequence of its decisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from experiments.verify import betting
from experiments.verify.betting import Draw, sequential_test
from experiments.verify.verdict import Values

# -- extremes --


def test_deterministic_equality_is_never_refuted() -> None:
    # 8192 factors of exactly 1.
    samples = np.ones((8192, 5))
    assert betting.log_evidence(samples, np.ones(5)).max() <= 1e-9


def test_zero_bounds() -> None:
    assert betting.log_evidence(np.zeros((64, 1)), np.zeros(1)).max() <= 0
    assert math.isinf(betting.log_evidence(np.full((2, 1), 1e-300), np.zeros(1))[-1])


def test_a_stake_that_lost_everything_stays_lost_beside_infinity() -> None:
    samples = np.array([[0.0], [np.inf], [1.0]])
    wealth = betting.log_wealth(samples, np.ones(1))
    assert (wealth[:, 0, 0] == -np.inf).all()
    assert (wealth[1:, 0, 1:] == np.inf).all()
    assert betting.log_evidence(samples, np.ones(1)).tolist()[1:] == [np.inf, np.inf]
    # And the other way round: infinite first, then nothing at the largest stake.
    assert betting.log_wealth(samples[::-1], np.ones(1))[:, 0, 0].tolist() == [0.0, np.inf, -np.inf]


def test_small_samples_are_not_rounded_away_at_the_largest_stake() -> None:
    wealth = betting.log_wealth(np.array([[1e-30]]), np.ones(1))
    assert wealth[0, 0, 0] == pytest.approx(math.log(1e-30), rel=1e-15)


EXTREMES = st.sampled_from([0.0, 5e-324, 1e-308, 1e-17, 0.3, 1.0, 1.0 + 2**-52, 7.0, 1e17, 1e300, 1.7e308, math.inf])


@given(arrays(np.float64, (6, 3), elements=EXTREMES), arrays(np.float64, 3, elements=EXTREMES))
def test_no_numbers_warn_or_give_nan(samples: Values, bounds: Values) -> None:
    assert not np.isnan(betting.log_wealth(samples, bounds)).any()
    assert not np.isnan(betting.log_evidence(samples, bounds)).any()
    assert betting.has_power(samples, 3).dtype == bool
    finite = np.where(np.isfinite(samples), samples, 1.0)
    assert not np.isnan(betting.unseen(finite)).any()
    assert betting.opposite_refuted(finite, bounds).dtype == bool


# -- general laws --

NUMBERS = st.floats(0.0, 1e6).map(lambda x: round(x, 6))
SAMPLES = arrays(np.float64, (12, 2), elements=NUMBERS)
BOUNDS = arrays(np.float64, 2, elements=st.sampled_from([0.01, 0.7, 1.0, 30.0, 1e4]))

ROUNDING = 1e-12
"""Relative: 12 terms, each rounded a few times, and what is lost where terms of either sign cancel in the sum: the sums
of |terms| below reach 12 log(1e8) = 220, so that 1e-12 is about 20 eps of it."""


@given(SAMPLES, BOUNDS, st.floats(1.0, 100.0))
def test_evidence_never_falls_when_samples_rise(samples: Values, bounds: Values, factor: float) -> None:
    low, high = betting.log_evidence(samples, bounds), betting.log_evidence(samples * factor, bounds)
    assert (high >= low - ROUNDING * 220).all()


@given(SAMPLES, BOUNDS, st.integers(-900, 900))
def test_a_power_of_two_changes_no_bit(samples: Values, bounds: Values, power: int) -> None:
    # Factors that reach the subnormal numbers would round; 1e-6 2^-900 is still far above them.
    with np.errstate(under="raise"):
        scaled = np.ldexp(samples, power), np.ldexp(bounds, power)
    np.testing.assert_array_equal(betting.log_evidence(*scaled), betting.log_evidence(samples, bounds))
    np.testing.assert_array_equal(betting.has_power(scaled[0], 2), betting.has_power(samples, 2))
    np.testing.assert_array_equal(betting.opposite_refuted(*scaled), betting.opposite_refuted(samples, bounds))


@given(SAMPLES, BOUNDS, st.floats(1e-6, 1e6))
def test_any_factor_changes_nothing_beyond_rounding(samples: Values, bounds: Values, factor: float) -> None:
    # At the largest stake a term is log(X/b), where an error of 2 eps of the ratio is one of 2 eps.
    one = betting.log_evidence(samples, bounds)
    np.testing.assert_allclose(
        betting.log_evidence(samples * factor, bounds * factor), one, rtol=0, atol=220 * ROUNDING
    )


@given(SAMPLES, BOUNDS, st.permutations(range(12)))
def test_the_order_of_replicates_does_not_matter_in_the_end(samples: Values, bounds: Values, order: list[int]) -> None:
    ends = betting.log_evidence(samples, bounds)[-1], betting.log_evidence(samples[order], bounds)[-1]
    assert ends[0] == pytest.approx(ends[1], abs=220 * ROUNDING)
    np.testing.assert_array_equal(betting.unseen(samples[order]), betting.unseen(samples))


@given(SAMPLES, BOUNDS)
def test_more_times_at_equality_dilute_the_evidence(samples: Values, bounds: Values) -> None:
    """Times at which X = b exactly have wealth 1: the mean over t lies between 1 and that of the others."""
    wide = np.concatenate([samples, np.ones((12, 2))], axis=1)
    both = betting.log_evidence(wide, np.concatenate([bounds, np.ones(2)]))
    alone = betting.log_evidence(samples, bounds)
    np.testing.assert_allclose(both, np.logaddexp(alone, 0) - math.log(2), rtol=0, atol=220 * ROUNDING)


@given(SAMPLES, BOUNDS, st.floats(1.0, 10.0))
def test_a_larger_bound_is_never_harder_to_keep(samples: Values, bounds: Values, factor: float) -> None:
    assert (betting.opposite_refuted(samples, bounds) <= betting.opposite_refuted(samples, bounds * factor)).all()


# -- what may be unseen --


def test_nothing_is_unseen_above_an_atom() -> None:
    rng = np.random.default_rng(5)
    samples = np.stack([np.ones(256), rng.integers(0, 2, 256)], axis=1).astype(float)
    assert betting.unseen(samples).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("index", [0.0, 0.5, 0.8])
def test_what_is_unseen_is_not_underrated(index: float) -> None:
    """Generalised Pareto samples: E(X - max)+ = (scale + index max)/(1 - index)/R up to the law of the maximum. The
    index is taken 3.5 standard errors high and the tail is cut at 1/1000 R, which keeps at least 1 - 1000^(index - 1) =
    75 % at index .8."""
    rng = np.random.default_rng(6)
    below = 0
    for _ in range(200):
        u = rng.random(512)
        samples = (-np.log(u) if index == 0 else (u**-index - 1) / index)[:, None]
        true = (1 + index * samples.max()) / (1 - index) / 512
        below += int(betting.unseen(samples)[0] < 0.75 * true)
    assert below <= 2


def test_tails_without_a_mean_are_not_bounded() -> None:
    rng = np.random.default_rng(8)
    samples = rng.random((1024, 3)) ** -1.5
    assert (betting.unseen(samples) > samples.mean(axis=0)).all()


# -- the sequence of decisions --


def of(array: Values, calls: list[tuple[int, int]] | None = None) -> Draw:
    """Draws that read off an array."""

    def draw(start: int, count: int) -> Values:
        if calls is not None:
            calls.append((start, count))
        assert start + count <= len(array)
        return array[start : start + count]

    return draw


def test_replicates_are_drawn_once_and_doubled() -> None:
    calls: list[tuple[int, int]] = []
    found = sequential_test(of(np.random.default_rng(1).exponential(size=(8192, 2)), calls), np.ones(2), instances=10)
    assert found.decision == "consistent"
    starts = [64, 128, 256, 512, 1024, 2048, 4096]
    assert calls == [(0, 64), *((s, s) for s in starts)][: len(calls)]
    assert found.replicates == sum(count for _, count in calls)


def test_a_constant_needs_64_replicates() -> None:
    found = sequential_test(of(np.full((64, 3), 0.9)), np.ones(3), instances=10)
    assert (found.decision, found.replicates, found.reason) == ("consistent", 64, "")


@pytest.mark.parametrize("most", [64, 100, 127, 128, 300, 8192])
def test_no_more_than_most(most: int) -> None:
    found = sequential_test(of(np.zeros((8192, 1))), np.ones(1), instances=1, most=most)
    assert found.decision == "too few samples"
    assert found.replicates == max(64, 2 ** int(math.log2(most)))


def test_violations_count_at_every_replicate_not_only_at_the_end() -> None:
    """Twenty large values first, then nothing: the evidence has passed the threshold and fallen again."""
    samples = np.zeros((64, 1))
    samples[:20] = 3.0
    top = betting.log_evidence(samples, np.ones(1))
    assert top.max() > betting.threshold(1) > top[-1]
    found = sequential_test(of(samples), np.ones(1), instances=1)
    assert (found.decision, found.log_evidence) == ("violated", top.max())
    assert found.reason.startswith("evidence e = 10^")


def test_evidence_is_carried_from_draw_to_draw_and_from_block_to_block(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(2).exponential(size=(512, 3)) * 1.1
    bounds = np.ones(3)
    whole = sequential_test(of(samples), bounds, instances=10**9, most=512)
    # One sum taken in other groups: 512 terms below 3, each addition rounding once.
    assert whole.log_evidence == pytest.approx(betting.log_evidence(samples, bounds).max(), abs=512 * 3 * 2**-52 * 512)
    monkeypatch.setattr(betting, "BLOCK", 7)
    parts = sequential_test(of(samples), bounds, instances=10**9, most=512)
    assert parts.log_evidence == pytest.approx(whole.log_evidence, abs=512 * 3 * 2**-52 * 512)
    assert (parts.decision, parts.reason) == (whole.decision, whole.reason)


def test_a_run_that_diverged_is_said() -> None:
    for broken in (np.inf, np.nan):
        samples = np.ones((64, 2))
        samples[50, 1] = broken
        found = sequential_test(of(samples), np.ones(2), instances=1)
        assert (found.decision, found.log_evidence, found.replicates) == ("diverged", math.inf, 64)
        assert found.samples[50, 1] == math.inf
        assert np.isfinite(found.samples).sum() == 127


def test_an_interruption_keeps_what_was_drawn() -> None:
    samples = np.random.default_rng(4).exponential(size=(64, 2))
    found = sequential_test(lambda start, count: samples if start == 0 else None, np.ones(2), instances=1)
    assert (found.decision, found.replicates) == ("interrupted", 64)
    found = sequential_test(lambda start, count: None, np.ones(2), instances=1)
    assert (found.decision, found.replicates, found.log_evidence) == ("interrupted", 0, -math.inf)


def test_negative_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"nonnegative samples, got -0.5"):
        sequential_test(of(np.full((64, 1), -0.5)), np.ones(1), instances=1)


def test_what_is_lacking_is_named() -> None:
    rng = np.random.default_rng(9)

    def reason(samples: Values, rare: float | None = None, bound: float = 1.0) -> str:
        found = sequential_test(of(samples), np.full(1, bound), instances=1, rare=rare, most=len(samples))
        assert found.decision == "too few samples"
        return found.reason

    assert "rare events" in reason(np.ones((128, 1)), rare=0.15)
    assert "above the bound" in reason(rng.exponential(size=(64, 1)), bound=0.8)
    assert "not have been seen" in reason(rng.exponential(size=(64, 1)), bound=9.0)
    assert "largest values" in reason(np.exp(2 * rng.standard_normal((8192, 1)) - 2), bound=1.2)


def test_rare_events_are_asked_for_at_every_time() -> None:
    # 20 of them: .08 a replicate after 256, .04 after 512.
    for rare, replicates in ((np.array([0.08, 5.0]), 256), (np.array([0.04, 5.0]), 512), (20 / 64, 64)):
        found = sequential_test(of(np.ones((1024, 2))), np.ones(2), instances=1, rare=rare)
        assert (found.decision, found.replicates) == ("consistent", replicates)


def test_power_needs_enough_samples() -> None:
    rng = np.random.default_rng(3)
    assert not betting.has_power(rng.exponential(size=(64, 2)), 10).any()
    assert betting.has_power(rng.exponential(size=(4096, 2)), 10).all()
    # 64 equal samples suffice: 1.5^64 is far beyond 1e6 times anything here.
    assert betting.has_power(np.ones((64, 2)), 10).all()
