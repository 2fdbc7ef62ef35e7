"""Schedules: their values, their ranges, the windows the engine reads, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from problems.errors import InputError
from problems.problem import problems
from theory.schedules import (
    Schedule,
    constant,
    cosine,
    coupled,
    decreasing,
    doubling,
    doubling_epoch,
    inverse,
    inverse_sqrt,
    linear,
    one_minus_inverse,
    polynomial,
    read_schedule,
    schedules,
    warmup,
)
from theory.setting import make_setting

reproducible = settings(deadline=None, derandomize=True, max_examples=50)

# One entry for every schedule of theory/schedules.py: the SPEC and its values at t = 0, 1, 3 and 9, worked out by hand.
EXAMPLES: dict[str, list[tuple[str, list[float]]]] = {
    "constant": [("constant:value=0.25", [0.25, 0.25, 0.25, 0.25])],
    "inverse": [
        ("inverse:start=1,slope=1", [1, 1 / 2, 1 / 4, 1 / 10]),
        ("inverse:start=0.3,slope=2", [0.3, 0.3, 1 / 7, 1 / 19]),
        ("inverse:start=0,slope=2", [0, 0, 0, 0]),
        ("inverse:start=5,slope=0.5", [1, 1 / 1.5, 1 / 2.5, 1 / 5.5]),
    ],
    "one-minus-inverse": [
        ("one-minus-inverse", [0, 1 / 2, 3 / 4, 9 / 10]),
        ("one-minus-inverse:slope=3", [0, 3 / 4, 9 / 10, 27 / 28]),
    ],
    "decreasing": [
        ("decreasing:start=10,mu=2", [1 / 2, 3 / 8, 7 / 32, 19 / 200]),
        ("decreasing:start=0.3,mu=2", [0.3, 0.3, 7 / 32, 19 / 200]),
    ],
    "inverse-sqrt": [("inverse-sqrt:start=0.5", [0.5, 0.5 / math.sqrt(2), 0.25, 0.5 / math.sqrt(10)])],
    "cosine": [
        ("cosine:start=1,end=0,steps=6", [1, 0.5 + math.sqrt(3) / 4, 0.5, 0]),
        ("cosine:start=0.1,end=0.001,steps=2", [0.1, 0.0505, 0.001, 0.001]),
        ("cosine:start=0.1,end=0.001,steps=1", [0.1, 0.001, 0.001, 0.001]),
        ("cosine:start=0.3,end=0.3,steps=7", [0.3, 0.3, 0.3, 0.3]),
    ],
    "linear": [
        ("linear:start=0.3,steps=6", [0.3, 0.25, 0.15, 0]),
        ("linear:start=0.3,steps=1", [0.3, 0, 0, 0]),
    ],
    "polynomial": [
        ("polynomial:start=1,power=2,steps=10", [1, 0.81, 0.49, 0.01]),
        ("polynomial:start=2,power=0.5,steps=4", [2, math.sqrt(3), 1, 0]),
    ],
    "warmup": [
        ("warmup:steps=2,then=linear:start=0.3,steps=4", [0.1, 0.2, 0.225, 0]),
        ("warmup:steps=3,then=0.4", [0.1, 0.2, 0.4, 0.4]),
        ("warmup:steps=1,then=inverse-sqrt:start=1", [0.5, 1, 1 / math.sqrt(3), 1 / 3]),
    ],
    "coupled": [
        ("coupled:low=0.1,high=0.5,to=linear:start=2,steps=4", [0.5, 0.4, 0.2, 0.1]),
        (
            "coupled:low=0,high=0.6,to=warmup:steps=2,then=inverse-sqrt:start=0.3",
            [0.2, 0.4, 0.6 / math.sqrt(2), 0.6 / math.sqrt(8)],
        ),
    ],
    "doubling": [
        ("doubling:start=4,every=3", [4, 4, 8, 32]),
        ("doubling:start=4,every=3,most=20", [4, 4, 8, 20]),
        ("doubling:start=3,every=1,most=3", [3, 3, 3, 3]),
    ],
    "doubling-epoch": [
        ("doubling-epoch:start=2,epochs=1,n=5", [2, 2, 4, 5]),
        ("doubling-epoch:start=2,epochs=1,n=5,most=4", [2, 2, 4, 4]),
    ],
}
ALL = [(spec, values) for entries in EXAMPLES.values() for spec, values in entries]


def test_every_schedule_of_the_file_has_an_example() -> None:
    here = [name for name in schedules if schedules.builder(name).__module__ == Schedule.__module__]
    assert sorted(EXAMPLES) == here


@pytest.mark.parametrize(("spec", "values"), ALL, ids=[spec for spec, _ in ALL])
def test_values(spec: str, values: list[float]) -> None:
    schedule = schedules.build(spec)
    found = schedule.at(np.array([0, 1, 3, 9]))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, values, rtol=4e-16)
    assert schedule.at(3).shape == ()
    assert float(schedule.at(3)) == found[2]
    assert schedule.at(np.array([[0, 1], [3, 9]])).shape == (2, 2)


@pytest.mark.parametrize(("spec", "values"), ALL, ids=[spec for spec, _ in ALL])
def test_no_value_leaves_the_stated_range(spec: str, values: list[float]) -> None:
    schedule = schedules.build(spec)
    times = np.concatenate([np.arange(1000), np.floor(np.geomspace(1, 1e15, 200)), [1e40]])
    found = schedule.at(times)
    assert found.max() <= schedule.largest
    assert found.min() >= schedule.smallest
    # The range is no wider than need be: both ends are reached or approached.
    assert schedule.largest == pytest.approx(found.max(), rel=1e-12)
    assert schedule.smallest == pytest.approx(found.min(), abs=1e-12)
    if schedule.constant is not None:
        assert set(found.tolist()) == {schedule.constant}


@pytest.mark.parametrize(("spec", "values"), ALL, ids=[spec for spec, _ in ALL])
@given(first=st.integers(0, 10**6), length=st.integers(1, 50))
@reproducible
def test_a_window_repeats_its_last_entry_and_nothing_else(
    spec: str, values: list[float], first: int, length: int
) -> None:
    schedule = schedules.build(spec)
    window = schedule.window(first, first + length)
    assert window.flags.c_contiguous
    assert window.flags.writeable
    read = [window[min(k, len(window) - 1)] for k in range(length)]
    np.testing.assert_array_equal(read, schedule.at(np.arange(first, first + length)))
    assert len(window) == (1 if schedule.constant is not None else length)


def test_an_empty_window_still_has_an_entry() -> None:
    for spec, _ in ALL:
        assert len(schedules.build(spec).window(5, 5)) == 1


@pytest.mark.parametrize(("spec", "values"), ALL, ids=[spec for spec, _ in ALL])
def test_name_is_a_spec_of_the_same_schedule(spec: str, values: list[float]) -> None:
    schedule = schedules.build(spec)
    assert str(schedule) == schedule.name
    again = read_schedule(schedule.name, argument="gamma")
    times = np.arange(200)
    np.testing.assert_array_equal(again.at(times), schedule.at(times))
    assert (again.name, again.largest, again.smallest) == (schedule.name, schedule.largest, schedule.smallest)


@pytest.mark.parametrize("number", [1 / 3, 0.1 + 0.2, 1.23456789e-7, 1e-300, np.float64(0.25), 1])
def test_every_digit_of_a_number_survives_the_name(number: float) -> None:
    for schedule in (
        constant(number),
        inverse(number, number),
        one_minus_inverse(number),
        decreasing(number, number),
        inverse_sqrt(number),
        cosine(number, number / 3, 7),
        linear(number, 9),
        polynomial(number, 1 / 3, 9),
        warmup(3, cosine(number, 0.0, 5)),
        coupled(number / 7, number, linear(number, 9)),
    ):
        again = read_schedule(schedule.name, argument="gamma")
        np.testing.assert_array_equal(again.at(np.arange(50)), schedule.at(np.arange(50)))


def test_numbers_texts_and_schedules_are_read_alike() -> None:
    for given_as in (0.25, "0.25", "constant:value=0.25", " 0.25", constant(0.25), np.float64(0.25)):
        schedule = read_schedule(given_as, argument="gamma")
        assert (schedule.constant, schedule.largest, schedule.smallest) == (0.25, 0.25, 0.25)
    assert read_schedule(1, argument="gamma").constant == 1.0
    assert type(read_schedule(1, argument="gamma").constant) is float
    assert read_schedule("one-minus-inverse", argument="lam", high=1.0).name == "one-minus-inverse:slope=1"


# -- sums --

# Schedules whose parts end at, before and after the T below, next to those of the examples.
SUMMED = [
    *(spec for spec, _ in ALL),
    "inverse:start=0.01,slope=0.3",
    "inverse:start=2,slope=1e-5",
    "inverse:start=2,slope=1e-9",
    "inverse:start=1e-300,slope=1",
    "one-minus-inverse:slope=0.001",
    "decreasing:start=0.01,mu=0.3",
    "decreasing:start=0,mu=0.3",
    "cosine:start=0.1,end=0.001,steps=1000",
    "cosine:start=0.1,end=0,steps=64",
    "cosine:start=0.1,end=0,steps=3",
    "cosine:start=2,end=1.9,steps=100000",
    "linear:start=0.2,steps=1000",
    "linear:start=0.2,steps=100000",
    "polynomial:start=0.7,power=1.5,steps=65",
    "polynomial:start=0.7,power=3,steps=1000",
    "polynomial:start=0.7,power=0.3,steps=1000",
    "polynomial:start=0.7,power=16,steps=300",
    "polynomial:start=0.7,power=20,steps=300",
    "warmup:steps=100,then=cosine:start=0.1,end=0.001,steps=1000",
    "warmup:steps=1000,then=0.3",
    "warmup:steps=7,then=warmup:steps=5,then=linear:start=1,steps=60",
    "coupled:low=0.1,high=0.6,to=cosine:start=0.003,end=0.00003,steps=1000",
    "coupled:low=0.2,high=0.6,to=warmup:steps=10,then=linear:start=0.003,steps=300",
    "doubling:start=4,every=400",
    "doubling:start=3,every=7,most=1000",
    "doubling-epoch:start=16,epochs=40,n=50000",
    "doubling-epoch:start=16,epochs=1,n=1000,most=256",
]
HORIZONS = [
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    10,
    63,
    64,
    65,
    100,
    101,
    399,
    400,
    401,
    999,
    1000,
    1001,
    4096,
    70_000,
    100_000,
    150_000,
]


@pytest.mark.parametrize("spec", SUMMED)
def test_sums_are_those_of_the_terms(spec: str) -> None:
    schedule = schedules.build(spec)
    values = schedule.at(np.arange(HORIZONS[-1]))
    powers = (1, 2, -1) if spec.startswith("doubling") else (1, 2)
    for power in powers:
        terms = values**power
        for T in HORIZONS:
            assert schedule.sum(T, power=power) == pytest.approx(math.fsum(terms[:T]), rel=1e-9, abs=0), (T, power)
        assert schedule.sum(0, power=power) == 0
    assert schedule.add_up(5, 100, power=2) == pytest.approx(math.fsum(values[5:100] ** 2), rel=1e-12)


TERM_BY_TERM = {
    "one-minus-inverse": (1, 2),
    "one-minus-inverse:slope=3": (1, 2),
    "one-minus-inverse:slope=0.001": (1, 2),
    "polynomial:start=2,power=0.5,steps=4": (1,),
    "polynomial:start=0.7,power=1.5,steps=65": (1,),
    "polynomial:start=0.7,power=0.3,steps=1000": (1, 2),
    "polynomial:start=0.7,power=20,steps=300": (2,),
}


@pytest.mark.parametrize("spec", SUMMED)
def test_which_sums_have_a_closed_form(spec: str) -> None:
    schedule = schedules.build(spec)
    for power in (1, 2):
        closed = power in schedule.closed or schedule.constant is not None
        assert closed == (power not in TERM_BY_TERM.get(spec, ())), power


def test_sums_over_more_steps_than_can_be_added_up() -> None:
    T = 10**15
    for spec, expected in {
        "0.25": T / 4,
        "inverse-sqrt:start=0.5": math.sqrt(T),
        "inverse:start=1,slope=1": math.log(T) + 0.5772156649015329,
        "cosine:start=1,end=0.5,steps=1000000000000000": 0.75 * T,
        "linear:start=1,steps=1000000000000000": 0.5 * T,
        "polynomial:start=1,power=3,steps=1000000000000000": 0.25 * T,
        "warmup:steps=1000000000,then=0.5": 0.5 * T - 0.25e9,
        "coupled:low=0,high=0.5,to=linear:start=3,steps=1000000000000000": 0.25 * T,
    }.items():
        assert read_schedule(spec, argument="gamma").sum(T) == pytest.approx(expected, rel=1e-7), spec


@given(
    start=st.floats(0.01, 10),
    part=st.floats(0, 1),
    steps=st.integers(1, 300),
    T=st.integers(1, 400),
    power=st.integers(1, 2),
)
@reproducible
def test_sums_of_decays_for_any_length(start: float, part: float, steps: int, T: int, power: int) -> None:
    for schedule in (
        cosine(start, part * start, steps),
        linear(start, steps),
        polynomial(start, 2.0, steps),
        warmup(steps, inverse_sqrt(start)),
        inverse(start, part + 0.01),
        decreasing(start, part + 0.01),
    ):
        assert schedule.sum(T, power=power) == pytest.approx(schedule.add_up(0, T, power=power), rel=1e-9), schedule


@pytest.mark.parametrize("T", [1, 2, 3, 10, 1000])
def test_sums_over_the_whole_decay_are_those_of_the_corollaries(T: int) -> None:
    """GSAM page, corollaries to A1."""
    A, B = 0.001, (0.1 - 0.001) / 2
    wave = cosine(0.1, 0.001, T)
    assert wave.sum(T) == pytest.approx(T * (A + B) + B, rel=1e-12)
    squares = T * (A + B) ** 2 + 2 * B * (A + B) + T * B**2 / 2 if T > 1 else (A + 2 * B) ** 2
    assert wave.sum(T, power=2) == pytest.approx(squares, rel=1e-12)
    assert linear(0.3, T).sum(T) == pytest.approx(0.3 * (T + 1) / 2, rel=1e-12)
    assert linear(0.3, T).sum(T, power=2) == pytest.approx(0.09 * (T + 1) * (2 * T + 1) / (6 * T), rel=1e-12)


@pytest.mark.parametrize("T", [1, 2, 63, 64, 65, 1000])
def test_sums_of_the_inverse_square_root(T: int) -> None:
    roots = math.fsum(1 / math.sqrt(k) for k in range(1, T + 1))
    assert inverse_sqrt(0.3).sum(T) == pytest.approx(0.3 * roots, rel=1e-13)
    harmonic = math.fsum(1 / k for k in range(1, T + 1))
    assert inverse_sqrt(0.3).sum(T, power=2) == pytest.approx(0.09 * harmonic, rel=1e-12)


def test_what_is_left_of_the_noise_after_a_decay() -> None:
    """sum of squares / (largest value times sum): 1, 3/4, 2/3 and (p + 1)/(2p + 1) in the limit."""
    T = 10**6
    for schedule, ratio in (
        (constant(0.2), 1.0),
        (cosine(0.2, 0.0, T), 3 / 4),
        (linear(0.2, T), 2 / 3),
        (polynomial(0.2, 2.0, T), 3 / 5),
        (polynomial(0.2, 5.0, T), 6 / 11),
    ):
        assert schedule.sum(T, power=2) / (0.2 * schedule.sum(T)) == pytest.approx(ratio, rel=1e-5)


def test_doubling_by_steps_and_by_epochs() -> None:
    E, start = 400, 4
    by_step = doubling(start, E)
    for T in (1, 399, 400, 401, 2000, 18_500):
        q, r = divmod(T, E)
        assert by_step.sum(T, power=-1) < 2 * E / start
        assert by_step.sum(T, power=-1) == pytest.approx(E / start * (2 - 2.0 ** (1 - q)) + r / (2**q * start))
    assert by_step.sum(2000) == 400 * (4 + 8 + 16 + 32 + 64) == 49600  # the samples of the page's table
    # The authors' batches: 40 epochs each of 16, 32, ..., 256, about 4.84 n steps.
    n, epochs = 50_000, 40
    by_epoch = doubling_epoch(16, epochs, n, 256)
    lengths = [epochs * math.ceil(n / b) for b in (16, 32, 64, 128, 256)]
    edges = np.cumsum([0, *lengths])
    assert by_epoch.at(edges[:-1]).tolist() == [16, 32, 64, 128, 256]
    assert by_epoch.at(edges[1:5] - 1).tolist() == [16, 32, 64, 128]
    assert edges[-1] / n == pytest.approx(4.84, abs=0.01)
    # Nine whole stages: the mean of 1/b_t falls to 0.668 of its first value and no further than 2/3.
    large = 2**20
    stages = doubling_epoch(16, 3, large)
    T = sum(3 * large // (16 * 2**k) for k in range(9))
    assert stages.sum(T, power=-1) / T * 16 == pytest.approx(0.668, abs=5e-4)


def test_batches_are_whole_numbers() -> None:
    times = np.arange(20_000)
    for schedule in (doubling(3, 7), doubling(5, 100, 333), doubling_epoch(3, 2, 1000), doubling_epoch(7, 1, 99, 50)):
        sizes = schedule.at(times)
        assert (sizes == np.floor(sizes)).all()
        assert (np.diff(sizes) >= 0).all()
        assert sizes.max() <= schedule.largest
        assert schedule.largest <= 2**53


def test_a_coupled_radius_follows_the_step_size() -> None:
    rate = warmup(20, cosine(0.003, 0.00003, 100))
    radius = coupled(0.1, 0.6, rate)
    t = np.arange(150)
    share = (rate.at(t) - rate.smallest) / (rate.largest - rate.smallest)
    np.testing.assert_allclose(radius.at(t), 0.1 + 0.5 * share, rtol=1e-14)
    assert radius.at(20) == 0.6
    assert radius.at(130) == 0.1


def test_two_parts_of_a_warm_up_meet() -> None:
    rate = warmup(9, cosine(1.0, 0.0, 10))
    np.testing.assert_allclose(rate.at(np.arange(11)), [*(k / 10 for k in range(1, 11)), math.cos(math.pi / 20) ** 2])


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: read_schedule(-1, argument="gamma"), r"gamma must be >= 0, got -1"),
    (lambda: read_schedule("-0.5", argument="rho"), r"rho must be >= 0, got -0.5"),
    (lambda: read_schedule(math.nan, argument="gamma"), r"gamma must be a finite number, got 'nan'"),
    (lambda: read_schedule("inf", argument="gamma"), r"gamma must be a finite number, got 'inf'"),
    (lambda: read_schedule(constant(math.nan), argument="gamma"), r"gamma must be >= 0, got nan"),
    (lambda: read_schedule(constant(math.inf), argument="gamma"), r"gamma must be"),
    (lambda: read_schedule(constant(-1.0), argument="gamma"), r"gamma must be >= 0, got -1"),
    (lambda: read_schedule("fast", argument="gamma"), r"gamma must be a number, got 'fast'"),
    (lambda: read_schedule(1.5, argument="lam", high=1.0), r"lam must be in \[0, 1\], got 1.5"),
    (lambda: read_schedule(-0.5, argument="lam", high=1.0), r"lam must be in \[0, 1\], got -0.5"),
    (
        lambda: read_schedule("constant:value=2", argument="lam", high=1.0),
        r"lam must be in \[0, 1\], got constant:value=2",
    ),
    (lambda: read_schedule("decreasing:start=9,mu=0.5", argument="lam", high=1.0), r"lam must be in \[0, 1\]"),
    (
        lambda: read_schedule("invers:start=1,slope=1", argument="gamma"),
        r"unknown schedule 'invers'; the nearest is 'inverse'",
    ),
    (lambda: read_schedule("inverse", argument="gamma"), r"lacks the key 'start'; write inverse:start=VALUE"),
    (
        lambda: read_schedule("inverse:start=1,slop=1", argument="gamma"),
        r"unknown key 'slop' .* the nearest is 'slope'",
    ),
    (
        lambda: read_schedule("inverse:start=-1,slope=1", argument="gamma"),
        r"start of schedule 'inverse' must be .* >= 0",
    ),
    (
        lambda: read_schedule("inverse:start=1,slope=0", argument="gamma"),
        r"slope of schedule 'inverse' must be a positive",
    ),
    (
        lambda: read_schedule("inverse:start=nan,slope=1", argument="gamma"),
        r"start of schedule 'inverse' must be a finite",
    ),
    (
        lambda: read_schedule("one-minus-inverse:slope=-1", argument="lam"),
        r"slope of schedule 'one-minus-inverse' must be",
    ),
    (
        lambda: read_schedule("decreasing:start=1,mu=0", argument="gamma"),
        r"mu of schedule 'decreasing' must be a positive",
    ),
    (
        lambda: read_schedule("decreasing:start=-1,mu=1", argument="gamma"),
        r"start of schedule 'decreasing' must be .* >= 0",
    ),
    (
        lambda: read_schedule("constant:value=inf", argument="gamma"),
        r"value of schedule 'constant' must be a finite number",
    ),
    (lambda: inverse_sqrt(-1.0), r"start of schedule 'inverse-sqrt' must be a finite number >= 0, got -1.0"),
    (lambda: read_schedule("cosine:start=1", argument="gamma"), r"lacks the key 'end'; write cosine:end=VALUE"),
    (lambda: cosine(0.1, 0.2, 5), r"end of schedule 'cosine' must be at most its start 0.1, got 0.2"),
    (lambda: cosine(0.1, -0.2, 5), r"end of schedule 'cosine' must be a finite number >= 0, got -0.2"),
    (lambda: cosine(math.nan, 0.0, 5), r"start of schedule 'cosine' must be a finite number >= 0, got nan"),
    (lambda: cosine(0.1, 0.0, 0), r"steps of schedule 'cosine' must be a whole number >= 1, got 0"),
    (
        lambda: read_schedule("linear:start=1,steps=2.5", argument="gamma"),
        r"steps of schedule 'linear' must be a whole number, got '2.5'",
    ),
    (lambda: linear(-1.0, 5), r"start of schedule 'linear' must be a finite number >= 0"),
    (lambda: polynomial(1.0, 0.0, 5), r"power of schedule 'polynomial' must be a positive finite number, got 0.0"),
    (lambda: polynomial(1.0, 2.0, -5), r"steps of schedule 'polynomial' must be a whole number >= 1, got -5"),
    (lambda: warmup(0, "0.1"), r"steps of schedule 'warmup' must be a whole number >= 1, got 0"),
    (lambda: warmup(5, "quick"), r"then of schedule 'warmup' must be a number, got 'quick'"),
    (lambda: warmup(5, "-1"), r"then of schedule 'warmup' must be >= 0, got -1"),
    (
        lambda: read_schedule("warmup:steps=5,then=cosine:start=1,end=0", argument="gamma"),
        r"schedule 'cosine:start=1,end=0' lacks the key 'steps'",
    ),
    (lambda: coupled(0.2, 0.1, linear(1.0, 5)), r"low of schedule 'coupled' must be at most its high 0.1, got 0.2"),
    (lambda: coupled(-0.2, 0.1, linear(1.0, 5)), r"low of schedule 'coupled' must be a finite number >= 0"),
    (lambda: coupled(0.1, 0.2, "0.3"), r"to of schedule 'coupled' must be a schedule that changes, got 0.3"),
    (lambda: doubling(0, 5), r"start of schedule 'doubling' must be a whole number >= 1, got 0"),
    (lambda: doubling(4, 0), r"every of schedule 'doubling' must be a whole number >= 1, got 0"),
    (lambda: doubling(4, 5, 3), r"most of schedule 'doubling' must be at least its start 4 and at most 2\^53, got 3"),
    (lambda: doubling(4, 5, 2**60), r"most of schedule 'doubling' must be at least its start 4 and at most 2\^53"),
    (lambda: doubling_epoch(16, 4, 10), r"start of schedule 'doubling-epoch' must be at most n = 10, got 16"),
    (lambda: doubling_epoch(4, 4, 10, 11), r"most of schedule 'doubling-epoch' must be at most n = 10, got 11"),
    (lambda: doubling_epoch(4, 4, 10, 3), r"most of schedule 'doubling-epoch' must be at least its start 4"),
    (lambda: doubling_epoch(4, 0, 10), r"epochs of schedule 'doubling-epoch' must be a whole number >= 1, got 0"),
    (lambda: doubling_epoch(4, 1, 0), r"n of schedule 'doubling-epoch' must be a whole number >= 1, got 0"),
    (lambda: constant(1.0).sum(-1), r"T must be a whole number >= 0, got -1"),
    (lambda: linear(1.0, 5).sum(2.5), r"T must be a whole number >= 0, got 2.5"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_ends_in_one_sentence(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_setting_names_the_step_size_that_is_wrong() -> None:
    problem = problems.build("quadratic:d=2,mu=1,L=2")
    for argument, number in (("gamma", -1.0), ("rho", math.nan), ("lam", 1.5)):
        with pytest.raises(InputError, match=f"^{argument} must be"):
            make_setting(problem, **{argument: number})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"x0 must have shape \(2,\)"):
        make_setting(problem, x0=[1.0])


def test_a_setting_takes_a_schedule_that_has_no_spec() -> None:
    problem = problems.build("quadratic:d=2,mu=1,L=2")
    own = Schedule("halving", lambda t: 0.5 ** np.minimum(t, 60), 1.0)
    setting = make_setting(problem, gamma=own, rho=own, lam=own)
    assert (setting.gamma, setting.rho, setting.lam) == (own, own, own)
