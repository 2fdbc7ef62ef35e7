"""The betting test against samples whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.verify import betting


def test_deterministic_equality_is_never_refuted() -> None:
    samples = np.ones((8192, 5))
    assert betting.log_evidence(samples, np.ones(5)).max() <= 1e-9


def test_zero_bounds() -> None:
    assert betting.log_evidence(np.zeros((64, 1)), np.zeros(1)).max() <= 0
    assert math.isinf(betting.log_evidence(np.full((2, 1), 1e-300), np.zeros(1))[-1])


@pytest.mark.parametrize("draw", ["exponential", "lognormal", "two-point"])
def test_calibration_at_equality(draw: str) -> None:
    """500 true nulls at equality. Ville: e ever reaches 1e6 with probability at most 1e-6 each, so 5e-4 for one
    failure; e >= 20 should come in at most 5 % of them, 45 is 4 standard deviations above 25."""
    rng = np.random.default_rng(7)
    loud, alarms = 0, 0
    for _ in range(500):
        shape = (512, 4)
        if draw == "exponential":
            samples = rng.exponential(size=shape)
        elif draw == "lognormal":
            samples = np.exp(rng.normal(-2.0, 2.0, size=shape))
        else:
            samples = np.where(rng.random(shape) < 0.01, 100.0, 0.0)
        top = betting.log_evidence(samples, np.ones(4)).max()
        loud += int(top >= math.log(20))
        alarms += int(top >= betting.threshold(1))
    assert alarms == 0
    assert loud <= 45


@pytest.mark.parametrize("excess", [1.5, 3.0])
def test_planted_violations_are_found_or_declared_powerless(excess: float) -> None:
    rng = np.random.default_rng(11)
    missed = 0
    for _ in range(100):
        samples = excess * rng.exponential(size=(1024, 3))
        found = betting.log_evidence(samples, np.ones(3)).max() >= betting.threshold(10)
        quiet = betting.has_power(samples, 10).all() and (samples.mean(axis=0) <= 1.2).all()
        missed += int(not found and quiet)
    assert missed == 0


def test_power_needs_enough_samples() -> None:
    rng = np.random.default_rng(3)
    assert not betting.has_power(rng.exponential(size=(64, 2)), 10).any()
    assert betting.has_power(rng.exponential(size=(4096, 2)), 10).all()
    # 64 equal samples suffice: 1.5^64 is far beyond 1e6 times anything here.
    assert betting.has_power(np.ones((64, 2)), 10).all()
