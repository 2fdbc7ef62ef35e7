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
from theory.schedules import Schedule, constant, decreasing, inverse, one_minus_inverse, read_schedule, schedules
from theory.setting import make_setting

reproducible = settings(deadline=None, derandomize=True, max_examples=50)

# One entry for every registered schedule: the SPEC and its values at t = 0, 1, 3 and 9, worked out by hand.
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
}
ALL = [(spec, values) for entries in EXAMPLES.values() for spec, values in entries]


def test_every_registered_schedule_has_an_example() -> None:
    assert sorted(EXAMPLES) == list(schedules)


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
    times = np.unique(np.concatenate([np.arange(1000), np.geomspace(1, 1e15, 200).astype(np.int64)]))
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
