"""Roofline, scaling and start-up: that they count and fit what they say. Nothing here looks at a clock."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from experiments.bench import kernels, roofline, scaling, startup, yardstick
from experiments.bench.roofline import Roofline
from problems.errors import InputError
from problems.mapped import MappedLeastSquares
from problems.problem import Vector, problems
from ravine.cli import run_command

ZEN3 = Roofline(51e9, {"L1": 104e9, "L2": 87e9, "L3": 65e9, "DRAM": 22e9}, "a table")

# -- roofline --


@pytest.mark.parametrize(
    ("name", "rate", "by"),
    [
        ("W1", 104e9 / 2400, "reading L1"),
        ("W1 Gram", 104e9 / 1600, "reading L1"),
        ("W2", 104e9 / 24_000, "reading L1"),
        ("W2 Gram", 104e9 / 16_000, "reading L1"),
        ("W3", 104e9 / 1200, "reading L1"),
        ("W4a eigenbasis", 25.5e9 / 5000, "multiply-adds"),
        ("W4a dense", 65e9 / 16e6, "reading L3"),
        ("W4b", 25.5e9 / 200, "multiply-adds"),
        ("W5", 104e9 / 32_000, "reading L1"),
    ],
)
def test_limits_are_those_worked_out_by_hand(name: str, rate: float, by: str) -> None:
    found = ZEN3.bound(name)
    assert found.by == by
    # Only the few operations that the hand leaves out, a tenth at most (the gap in Gram space, the vectors of W5).
    assert 0.9 * rate <= found.rate <= rate * (1 + 1e-12)


def test_every_name_of_the_table_is_checked_by_hand() -> None:
    assert set(roofline.WORK) == {
        "W1", "W1 Gram", "W2", "W2 Gram", "W3", "W4a eigenbasis", "W4a dense", "W4b", "W5",
    }  # fmt: skip
    for work in roofline.WORK.values():
        # A fused multiply-add is one slot and two operations, a product one and one.
        assert work.slots < work.flops <= 2 * work.slots
        assert work.reason


@pytest.mark.parametrize(
    ("footprint", "level"), [(1, "L1"), (24_576, "L1"), (24_577, "L2"), (8e6, "L3"), (1e12, "DRAM")]
)
def test_the_level_of_some_data(footprint: float, level: str) -> None:
    assert ZEN3.level(footprint) == level


def test_limits_of_ways() -> None:
    for workload in kernels.WORKLOADS:
        for way in ("fast", "C", "C 512"):
            limit = ZEN3.limit(workload, way)
            assert limit is not None
            assert 0 < limit < math.inf
    assert ZEN3.limit("W1", "fast") == ZEN3.limit("W1", "C Gram 512") == ZEN3.bound("W1 Gram").rate
    assert ZEN3.limit("W1", "fast, x-space") == ZEN3.limit("W1", "C 512") == ZEN3.bound("W1").rate
    assert ZEN3.limit("W4a", "textbook") == ZEN3.bound("W4a dense").rate
    assert ZEN3.limit("W1", "textbook") is None
    assert ZEN3.limit("W9", "fast") is None
    with pytest.raises(InputError, match=r"workload must be one of W1, .*, got 'W9'"):
        ZEN3.bound("W9")


def test_shares_of_the_limit() -> None:
    limit = ZEN3.bound("W4b").rate
    results = {way: kernels.Result(1, [limit / 4, limit / 2]) for way in ("fast", "NumPy")}
    row = kernels.Row(kernels.WORKLOADS["W4b"](10), results, {})
    assert roofline.shares([row], ZEN3) == {"W4b": {"fast": 0.5}}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements that take milliseconds and mean nothing."""
    monkeypatch.setattr(roofline, "REPEATS", 3)
    monkeypatch.setattr(roofline, "_BYTES", 2**24)
    monkeypatch.setattr(roofline, "LEVELS", {"L1": 2**12, "L2": 2**14, "L3": 2**16, "DRAM": 2**20})


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("compiler", [True, False])
def test_what_is_measured(compiler: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiler:
        monkeypatch.setattr(yardstick, "compiled", lambda: "no C compiler was found")
    found = roofline.measure()
    assert found.measured_by.startswith("C (" if compiler and not isinstance(yardstick.compiled(), str) else "numba (")
    assert found.flops > 0
    assert list(found.bandwidth) == ["L1", "L2", "L3", "DRAM"]
    assert all(0 < rate < math.inf for rate in found.bandwidth.values())
    content = found.as_json()
    assert json.loads(json.dumps(content)) == content
    assert set(content) == {"unit", "flops", "bandwidth", "sizes", "measured_by", "limits"}
    assert set(content["limits"]) == set(roofline.WORK)
    for limit in content["limits"].values():
        assert set(limit) == {"title", "slots", "flops", "traffic", "reason", "limit", "limited_by"}
        assert 0 < limit["limit"] < math.inf
    assert all(level in found.lines()[0] for level in content["bandwidth"])
    assert all(name in found.lines()[1] for name in roofline.WORK)


class Clock:
    """A clock that goes when told to, beside another that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, goes: str = "process_time") -> None:
        self.now = 0.0
        for name in ("process_time", "perf_counter"):
            monkeypatch.setattr(f"time.{name}", lambda name=name: self.now if name == goes else 0.0)


def test_rates_are_what_was_done_over_the_seconds_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(roofline, "_ones", np.empty)  # nothing is read

    def add(count: int, speed: float) -> None:
        clock.now += count / speed

    def read(block: Vector, times: int, speed: float) -> None:
        clock.now += block.nbytes * times / speed

    slow = (partial(add, speed=1e9), partial(read, speed=2e9))
    fast = (partial(add, speed=3e9), partial(read, speed=8e9))
    found = roofline._measure([slow, fast], "nothing")
    # Differences of a clock that has reached some seconds.
    assert found.flops == pytest.approx(6e9, rel=1e-9)
    assert list(found.bandwidth.values()) == pytest.approx([8e9] * 4, rel=1e-9)


def test_the_c_functions_make_what_is_counted() -> None:
    made = yardstick.compiled()
    if isinstance(made, str):  # the other way is counted below
        assert "C" in made
        return
    block = np.arange(512.0)
    for library in made.libraries:
        assert yardstick.call(library, "read_memory", block, 512, 7, result=ctypes.c_double) == 7 * block.sum()
        ends = []
        for accumulators in (48, 96):
            a = np.arange(accumulators) * 1e-3
            ends.append(float((1 - (1 - a) * 0.999 ** (5 * 960 / accumulators)).sum()))
        total = yardstick.call(library, "multiply_add", 5, result=ctypes.c_double)
        # A thousand roundings at most.
        assert any(total == pytest.approx(end, rel=1e-12) for end in ends)


def test_the_numba_functions_make_what_is_counted() -> None:
    (add, read) = roofline._by_numba()[0]
    block = np.arange(512.0)
    # Each pass is told from the last by a factor 1 + 1e-9 t.
    assert read(block, 7) == pytest.approx(7 * block.sum(), rel=1e-8)
    add(1536)
    values = np.array([0.0, 0.5, 3.0])
    expected = 1 - (1 - values) * 0.999 ** (8 * 5)
    roofline._multiply_add(values, 0.999, 0.001, 5)
    np.testing.assert_allclose(values, expected, rtol=1e-14)
    assert roofline._MULTIPLY_ADDS % 960 == roofline._MULTIPLY_ADDS % 1536 == 0
    # read_memory takes 64 numbers at a time.
    assert all(size % (64 * 8) == 0 for size in roofline.LEVELS.values())


# -- scaling --


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 2.0])
def test_the_exponent_of_a_power_law(exponent: float) -> None:
    values = [10, 100, 1_000, 10_000, 100_000]
    found = scaling.fit(values, [3e-9 * value**exponent for value in values])
    assert found is not None
    assert found.exponent == pytest.approx(exponent, abs=1e-12)
    assert found.error == pytest.approx(0, abs=1e-7)  # the root of a difference that rounds to about 1e-16
    assert found.first == 1_000


def test_the_exponent_is_that_of_the_upper_half() -> None:
    found = scaling.fit([1, 2, 4, 8, 16, 64, 256], [7.0, 7.0, 7.0, 8.0, 16.0, 64.0, 256.0])
    assert found is not None
    assert found.exponent == pytest.approx(1)
    assert found.first == 8
    bent = scaling.fit([1, 10, 100, 1000], [1.0, 1.0, 1.0, 10.0])
    assert bent is not None
    assert bent.exponent == pytest.approx(1)
    assert math.isnan(bent.error)  # a line through two points
    noisy = scaling.fit([1, 10, 100], [1.0, 10.0, 200.0])
    assert noisy is not None  # both points are of the upper half
    assert noisy.first == 10
    assert scaling.fit([5], [1.0]) is None


def test_the_standard_error_of_an_exponent() -> None:
    x, y = np.log([1.0, 2.0, 4.0]), np.log([1.0, 3.0, 5.0])
    slope = ((x - x.mean()) * y).sum() / ((x - x.mean()) ** 2).sum()
    rest = y - y.mean() - slope * (x - x.mean())
    found = scaling.fit([9, 9, 1, 2, 4], [1.0, 1.0, 1.0, 3.0, 5.0])
    assert found is not None
    assert found.exponent == pytest.approx(slope)
    assert found.error == pytest.approx(math.sqrt((rest**2).sum() / ((x - x.mean()) ** 2).sum()))


@pytest.mark.parametrize("name", scaling.AXES)
def test_both_tiers_make_the_same_steps(name: str) -> None:
    axis = scaling.AXES[name]
    assert list(axis.values) == sorted(set(axis.values))
    assert set(axis.quick) <= set(axis.values)
    with threadpool_limits(limits=1):  # small products on busy cores wait for each other
        cases = axis.cases(axis.values[0])
    pairs = [series for series in cases if series.startswith("fast")]
    assert len(cases) == 2 * len(pairs) > 0
    for series in pairs:
        fast, textbook = cases[series], cases[series.replace("fast", "textbook")]
        assert (fast.tier, textbook.tier) == ("fast", "textbook")
        assert fast.setting is textbook.setting
        assert (fast.replicates, fast.threads) == (textbook.replicates, textbook.threads)
        found, plain = scaling.run(fast, 50), scaling.run(textbook, 50)
        # 50 steps that contract, each good to a few roundings of the largest entry.
        assert [way.tier for way in (*found.ways, *plain.ways)] == ["fast", "textbook"]
        np.testing.assert_allclose(found.x, plain.x, rtol=0, atol=1e-12 * float(np.abs(plain.x).max()))
        assert not np.allclose(plain.x, fast.setting.x0, atol=1e-6)  # something happened


TINY = {
    "d": scaling.Axis("ridge n=100", "d", (10, 20), (10, 20), scaling._against_d),
    "threads": scaling.Axis("ridge n=d=100", "threads", (1,), (1,), scaling._against_threads, clock="wall"),
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two small axes, runs of microseconds, and a temporary folder of its own, which is returned."""
    monkeypatch.setattr(scaling, "AXES", TINY)
    monkeypatch.setattr(scaling, "QUICK_SECONDS", 1e-4)
    monkeypatch.setattr(scaling, "QUICK_MAPPED_ROWS", 1_000)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


MEASURED = {
    "value", "series", "way", "replicates", "threads", "steps", "seconds", "once", "prepared",
}  # fmt: skip


def test_scaling_command(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scaling.json"
    assert run_command(["bench", "scaling", "--quick", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "exponent" in said
    assert "disk / memory" in said
    content: dict[str, Any] = json.loads(out.read_text())
    assert set(content) == {"version", "quick", "axes", "mapped"}
    assert content["quick"] is True
    assert [axis["axis"] for axis in content["axes"]] == list(TINY)
    for axis, values in zip(content["axes"], ([10, 20], [1]), strict=True):
        assert set(axis) == {"axis", "title", "symbol", "clock", "unit", "built", "points", "exponents"}
        assert [entry["value"] for entry in axis["built"]] == values
        assert [(point["value"], point["series"]) for point in axis["points"]] == [
            (value, series) for value in values for series in ("fast", "textbook")
        ]
        for point in axis["points"]:
            assert set(point) == MEASURED | {"rate"}
            assert point["seconds"] > 0
            assert point["steps"] >= 16
            assert point["rate"] == pytest.approx(1 / point["seconds"])
            assert point["way"] == ("textbook" if point["series"] == "textbook" else point["way"])
    assert set(content["axes"][0]["exponents"]) == {"fast", "textbook"}
    assert content["axes"][0]["exponents"]["fast"]["error"] is None  # two points
    assert content["axes"][1]["exponents"] == {}
    assert [axis["clock"] for axis in content["axes"]] == ["processor", "wall"]
    disk = content["mapped"]
    assert set(disk) == {"n", "d", "bytes", "written", "built", "mapped", "in_memory", "ratios", "unit"}
    assert disk["bytes"] > 8 * 1_000 * 50
    assert set(disk["mapped"][0]) == MEASURED
    assert set(disk["ratios"]) == {"fast", "textbook"}
    assert list(tiny.iterdir()) == []  # the file is gone


@pytest.mark.usefixtures("tiny")
def test_scaling_of_one_axis(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "scaling", "threads", "--quick"]) == 0
    said = capsys.readouterr().out
    assert "threads" in said
    assert "disk" not in said


@pytest.mark.parametrize("clock", ["processor", "wall"])
def test_what_is_paid_once_is_no_part_of_a_step(clock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = scaling.AXES["replicates"].cases(4)["fast"]
    hands = Clock(monkeypatch, {"processor": "process_time", "wall": "perf_counter"}[clock])
    tries = iter(range(100))
    made = []

    def run(_: scaling.Case, steps: int) -> None:
        next(tries)  # ends what would wait for a clock that stands still
        made.append(steps)
        hands.now += 3.0 + 2e-6 * 4 * steps

    monkeypatch.setattr(scaling, "run", run)
    found = scaling.measure(case, 7, "fast", clock=clock, least=0.1)
    assert found.seconds == pytest.approx(2e-6, rel=1e-6)  # differences of a clock that has reached a minute
    assert found.once == pytest.approx(3.0, rel=1e-6)
    assert (found.value, found.series, found.replicates, found.way) == (7, "fast", 4, "gram")
    assert found.steps == max(made)
    assert 0.1 <= 2e-6 * 4 * found.steps < 1.0  # as long as asked, and not much longer


def test_runs_on_a_mapped_file_are_those_of_the_same_data_in_memory(tmp_path: Path) -> None:
    n = 2**14 + 1_000  # two blocks
    features, targets = scaling._write_data(tmp_path, n, 7)
    A, b = np.load(features), np.load(targets)
    assert A.shape == (n, 7)
    assert A.flags.c_contiguous
    _, (left,), rank, _ = np.linalg.lstsq(A, b)
    assert rank == 7
    # Noise of variance 1 is left in both blocks, and the features have variance 1: six standard deviations.
    assert abs(left / n - 1) < 6 * math.sqrt(2 / n)
    assert abs(float((A[2**14 :] ** 2).mean()) - 1) < 6 * math.sqrt(2 / 7_000)
    on_disk = problems.build(f"ridge:file={features},b={targets},reg=0.01")
    in_memory = MappedLeastSquares(A=A, b=b, reg=0.01, name="in memory")
    ends = []
    for problem in (on_disk, in_memory):
        setting = scaling._setting(problem, scaling._uniform(problem))
        ends.append(scaling.run(scaling.Case(setting, "fast", 3), 40).x)
    np.testing.assert_array_equal(ends[0], ends[1])


def test_room_for_the_file(tmp_path: Path) -> None:
    scaling.check_room(str(tmp_path), 1)
    with pytest.raises(InputError, match=r"must have 1100000000000 MB free, got .* MB in .*; name another with TMPDIR"):
        scaling.check_room(str(tmp_path), 10**18)


def test_a_run_that_diverges_is_no_measurement() -> None:
    case = scaling.AXES["d"].cases(10)["textbook"]
    wild = scaling.Case(case.setting.with_steps(gamma=1e6, rho=0.1), "textbook")
    with pytest.raises(ArithmeticError, match="diverged"):
        scaling.run(wild, 2_000)


# -- start-up --


def test_startup_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(startup, "REPEATS", 1)
    monkeypatch.setattr(startup, "TIERS", ("textbook",))
    monkeypatch.setattr(startup, "PEAK_WORKLOADS", ())
    monkeypatch.setattr(startup, "LONG_STEPS", 100)
    kernels_there = []
    timed = startup._timed

    def watched(arguments: Sequence[str], environment: dict[str, str] | None = None) -> tuple[str, startup.Seconds]:
        if environment is not None:
            kernels_there.append(any(Path(environment["RAVINE_CACHE_DIR"]).rglob("*.nbi")))
        return timed(arguments, environment)

    monkeypatch.setattr(startup, "_timed", watched)
    out = tmp_path / "startup.json"
    assert run_command(["bench", "startup", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "ravine --help" in said
    assert "to keep every iterate" in said
    content: dict[str, Any] = json.loads(out.read_text())
    assert set(content) == {"version", "unit", "repeats", "commands", "imports", "first_runs", "peaks"}
    assert set(content["commands"]) == set(startup.COMMANDS)
    assert set(content["imports"]) == set(startup.IMPORTS)
    seconds = [*content["commands"].values(), *content["imports"].values()]
    parts = ("imported", "built", "readied", "ran", "process")
    assert [(run["tier"], run["kernels"]) for run in content["first_runs"]] == [
        ("textbook", "empty"),
        ("textbook", "full"),
    ]
    for run in content["first_runs"]:
        assert set(run) == {"tier", "kernels", "steps", "replicates", *parts}
        seconds += [run[part] for part in parts]
    for entry in seconds:
        assert set(entry) == {"wall", "processor"}
        assert entry["wall"] > 0
        assert entry["processor"] >= 0
    assert kernels_there == [False, True]  # compiled, then loaded
    names = [peak["name"] for peak in content["peaks"]]
    assert names == ["import ravine", "100 steps, default records, diagonal d=50, R=64"]
    assert content["peaks"][-1]["beside"] == 8 * 101 * 64 * 50
    # The engine brings numba with it.
    assert 2**20 < content["peaks"][0]["bytes"] < content["peaks"][1]["bytes"]


def test_the_peak_is_the_childs_own() -> None:
    held = np.ones(2**24)  # 128 MiB in this process
    assert 2**20 < startup.peak_of("import ravine") < held.nbytes
    # What it takes and gives back counts.
    assert (
        startup.peak_of("import ravine\na = bytearray(2**27)\na[::4096] = bytes(len(a[::4096]))\ndel a") > held.nbytes
    )


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1: .*no such thing"):
        startup.peak_of("raise ValueError('no such thing')")


def test_the_least_of_several() -> None:
    times = [startup.Seconds(2.0, 0.5), startup.Seconds(1.0, 0.75)]
    assert startup.least(times) == startup.Seconds(1.0, 0.5)


# -- input --


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["scaling", "depth"], "axis must be one of d, n, tau, replicates, threads, eigenbasis, mapped, got 'depth'"),
        (["scaling", "--json", "x.txt"], "json must end in .json, got 'x.txt'"),
        (["startup", "--json", "x.txt"], "json must end in .json, got 'x.txt'"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", *arguments]) == 2
    assert capsys.readouterr().err == f"ravine: {sentence}\n"


@pytest.mark.parametrize("name", ["scaling", "startup"])
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", name, "--help"]) == 0
    assert f"ravine bench {name}" in capsys.readouterr().out.partition("Example")[2]
