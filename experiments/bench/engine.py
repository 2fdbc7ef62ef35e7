"""`ravine bench engine`: steps a second of the textbook tier, of a loop written by hand, and of NumPy, in one run.

A rate is iterations times replicates for each second of processor time of one thread, the recording of f - f* every
n steps included and compilation not. The ways take turns, so that a busy machine slows all of them alike, and
memory is shifted between the turns, because where arrays lie is worth several per cent. Compare ways by
their best rates; rates on two machines do not compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.engine.run import simulate
from problems.problem import check_count

from .workloads import WORKLOADS, Workload, by_hand, draw_up_front, with_numpy

if TYPE_CHECKING:
    from rich.table import Table

WAYS = {
    "engine": "experiments.engine.run.simulate on the textbook tier, recording f - f*",
    "hand": "a textbook numba loop, recording f - f*",
    "numpy": "NumPy, all replicates at once, recording f - f*",
    "engine-all": "the engine, recording ||grad f||^2 too",
    "hand-all": "the textbook loop, recording ||grad f||^2 too",
}
"""What is timed, by the name it has in a row."""


def rival_of(way: str) -> str:
    """The way of running the engine that records the same."""
    return "engine-all" if way.endswith("-all") else "engine"


@dataclass(frozen=True)
class Timing:
    """One way of running one workload.

    steps: of each replicate. rates: iterations x replicates per second, one for each repeat. first_call: seconds of
    the first call, with compilation, or loading from the kernel cache.
    """

    steps: int
    rates: tuple[float, ...]
    first_call: float

    @property
    def best(self) -> float:
        """The largest rate."""
        return max(self.rates)


@dataclass(frozen=True)
class Row:
    """One workload run in every way of `WAYS`; all rates in iterations x replicates per second of one thread."""

    workload: str
    problem: str
    replicates: int
    every: int
    timings: dict[str, Timing]

    def ratio(self, way: str) -> float:
        """How many times faster the engine is when it records the same: best rate over best rate."""
        return self.timings[rival_of(way)].best / self.timings[way].best

    def spread(self, way: str) -> tuple[float, float, float]:
        """Smallest, median and largest ratio of the engine's rate to this way's, repeat by repeat."""
        pairs = zip(self.timings[rival_of(way)].rates, self.timings[way].rates, strict=True)
        ratios = [engine / other for engine, other in pairs]
        return min(ratios), median(ratios), max(ratios)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        others = [way for way in self.timings if way != rival_of(way)]
        return {
            "workload": self.workload,
            "problem": self.problem,
            "replicates": self.replicates,
            "every": self.every,
            "unit": "iterations x replicates per second of one thread",
            "timings": {
                way: {**asdict(timing), "rates": list(timing.rates), "best": timing.best}
                for way, timing in self.timings.items()
            },
            "ratios": {way: self.ratio(way) for way in others},
            "ratio_spreads": {way: list(self.spread(way)) for way in others},
        }


def bench_engine(*, quick: bool = False, repeats: int = 5, on_row: Callable[[Row], object] | None = None) -> list[Row]:
    """Time the three workloads: ridge n = d = 100 and n = d = 1000, logistic n = 1e4, d = 50.

    quick: a tenth of the steps, so that records and start-up weigh more and ratios are rougher. repeats: turns of
    each way, at least 1.
    on_row: called with each workload's row when it is finished. Raises InputError for repeats below 1.
    """
    rows = []
    for build in WORKLOADS.values():
        rows.append(time_workload(build(), shorter=10 if quick else 1, repeats=repeats))
        if on_row is not None:
            on_row(rows[-1])
    return rows


def time_workload(work: Workload, *, shorter: int = 1, repeats: int = 5) -> Row:
    """Run one workload in every way, in turns. shorter: divides the numbers of steps, down to one record interval."""
    from threadpoolctl import threadpool_limits

    check_count(repeats, argument="repeats")
    steps, few = (max(count // shorter, work.every) for count in (work.steps, work.numpy_steps))
    indices = draw_up_front(work, steps=few)
    ways: dict[str, tuple[int, int, Callable[[], object]]] = {
        "engine": (steps, work.calls, partial(_by_engine, work, steps, gradients=False)),
        "hand": (steps, work.calls, partial(by_hand, work, steps=steps)),
        "numpy": (few, 1, partial(with_numpy, work, indices)),
        "engine-all": (steps, work.calls, partial(_by_engine, work, steps, gradients=True)),
        "hand-all": (steps, work.calls, partial(by_hand, work, steps=steps, norms=True)),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    random = np.random.default_rng(0)
    with threadpool_limits(limits=1):
        first = {way: _seconds(call, 1, time.perf_counter) for way, (_, _, call) in ways.items()}
        for turn in range(repeats):
            # The padding moves what is allocated after it; the order changes so that no way always follows another.
            padding = [np.empty(size) for size in random.integers(1, 4096, size=16)]
            del padding[::2]
            order = list(ways) if turn % 2 == 0 else list(ways)[::-1]
            for way in order:
                count, calls, call = ways[way]
                rates[way].append(count * work.replicates * calls / _seconds(call, calls, time.process_time))
    timings = {way: Timing(count, tuple(rates[way]), first[way]) for way, (count, _, _) in ways.items()}
    return Row(work.name, work.problem.name, work.replicates, work.every, timings)


def _by_engine(work: Workload, steps: int, *, gradients: bool) -> object:
    return simulate(
        work.setting,
        steps=steps,
        times=work.times(steps),
        replicates=work.replicates,
        threads=1,
        gradients=gradients,
        tier="textbook",
    )


def _seconds(call: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    """How long `calls` calls take in all."""
    start = clock()
    for _ in range(calls):
        call()
    return clock() - start


def table(rows: list[Row]) -> Table:
    """The rows for a person: best rates, and how the engine compares."""
    from rich.table import Table

    grid = Table(caption="Millions of iterations x replicates per second of one thread; first call in seconds.")
    for heading in ("workload", "way"):
        grid.add_column(heading)
    for heading in ("best", "lowest", "first call", "engine / way", "by repeat"):
        grid.add_column(heading, justify="right")
    for row in rows:
        for way, timing in row.timings.items():
            rest = ["", ""]
            if way != rival_of(way):
                low, middle, high = row.spread(way)
                rest = [f"{row.ratio(way):.2f}", f"{low:.2f} {middle:.2f} {high:.2f}"]
            title = f"{row.workload} {row.problem} R={row.replicates}" if way == "engine" else ""
            numbers = [f"{rate / 1e6:.3g}" for rate in (timing.best, min(timing.rates))]
            grid.add_row(title, way, *numbers, f"{timing.first_call:.2f}", *rest, end_section=way == "hand-all")
    return grid
