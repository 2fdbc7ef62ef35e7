"""`ravine bench scaling`: seconds a step as the work grows, on the fast and on the textbook tier, and its exponents.

Seconds are of one iteration of one replicate: the difference of a long and a short run, so that compilation,
preparation and everything else that is paid once for a run drops out; nothing is recorded. They are of processor time
of one thread, or of wall time where threads are counted. The long run is made as long as `SECONDS` asks.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.engine.run import Run, simulate
from experiments.engine.tier import Way, choose, eigenbasis, gram_matrix
from problems.errors import InputError
from problems.kernel import linear
from problems.mapped import MappedLeastSquares, MappedLogistic
from problems.problem import Problem, problems
from problems.quadratics import Quadratic
from theory.samplings import Sampling, replacement, single, tau_nice
from theory.setting import Setting, make_setting

from .workloads import LAM, REG, ridge

if TYPE_CHECKING:
    from rich.table import Table

SECONDS, QUICK_SECONDS = 0.15, 0.02
"""How much longer than a run of one step the long run takes at least."""

REPEATS = 3
"""Turns of the long and the short run, the best of each counts."""

MOST_STEPS = 2**30


@dataclass(frozen=True)
class Case:
    """One way of running one setting. tier: fast or textbook."""

    setting: Setting
    tier: str
    replicates: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Axis:
    """What grows. symbol: its name in formulas. values: increasing, those of a quick run first. cases: by the name of
    the series. clock: processor or wall."""

    title: str
    symbol: str
    values: tuple[int, ...]
    quick: tuple[int, ...]
    cases: Callable[[int], dict[str, Case]]
    clock: str = "processor"


@dataclass(frozen=True)
class Measured:
    """One case of one point of an axis.

    steps: of each replicate in the long run. seconds: of one iteration of one replicate. once: seconds of a run that
    are not for steps: threads, tables, scratch. prepared: seconds spent once for the problem, on a Gram matrix or an
    eigenbasis. way: how the engine ran it.
    """

    value: int
    series: str
    way: str
    replicates: int
    threads: int
    steps: int
    seconds: float
    once: float
    prepared: float

    @property
    def rate(self) -> float:
        """Iterations x replicates per second."""
        return 1 / self.seconds


@dataclass(frozen=True)
class Exponent:
    """seconds ~ value^exponent for values from `first` on; error: its standard error, NaN for a line through two
    points."""

    exponent: float
    error: float
    first: int


@dataclass(frozen=True)
class Scaling:
    """An axis with its points. built: seconds of processor time that making the problem took, by value."""

    name: str
    axis: Axis
    points: list[Measured]
    built: dict[int, float]

    @property
    def series(self) -> list[str]:
        return list(dict.fromkeys(point.series for point in self.points))

    def exponent(self, series: str) -> Exponent | None:
        """Fitted over the upper half of the axis; None with fewer than two points."""
        chosen = [point for point in self.points if point.series == series]
        return fit([point.value for point in chosen], [point.seconds for point in chosen])

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        fits = {series: self.exponent(series) for series in self.series}
        return {
            "axis": self.name,
            "title": self.axis.title,
            "symbol": self.axis.symbol,
            "clock": self.axis.clock,
            "unit": "seconds of one iteration of one replicate",
            "built": [{"value": value, "seconds": seconds} for value, seconds in self.built.items()],
            "points": [{**asdict(point), "rate": point.rate} for point in self.points],
            "exponents": {series: asdict(found) for series, found in fits.items() if found is not None},
        }


def fit(values: list[int], seconds: list[float]) -> Exponent | None:
    """The exponent of seconds against values by least squares in logarithms, over the upper half of the points: of p,
    the last (p + 1)//2 and at least two. Values must be positive and distinct. None with fewer than two points."""
    if len(values) < 2:
        return None
    kept = max(2, (len(values) + 1) // 2)
    x, y = np.log(values[-kept:]), np.log(seconds[-kept:])
    if kept == 2:
        return Exponent(float(np.polyfit(x, y, 1)[0]), math.nan, values[-kept])
    line, covariance = np.polyfit(x, y, 1, cov=True)
    return Exponent(float(line[0]), math.sqrt(covariance[0, 0]), values[-kept])


# -- what is run --


def _setting(problem: Problem, sampling: Sampling) -> Setting:
    """Unified SAM with lam = 0.5 and gamma = rho = 0.1/L_max: safe for every sampling of every size."""
    size = 0.1 / float(problem.component_smoothness[0].max())
    return make_setting(problem, sampling=sampling, gamma=size, rho=size, lam=LAM)


def _uniform(problem: Problem) -> Sampling:
    return single(np.full(problem.n, 1 / problem.n), name="uniform")


def _both(setting: Setting, *, replicates: int, threads: int = 1, suffix: str = "") -> dict[str, Case]:
    return {f"{tier}{suffix}": Case(setting, tier, replicates, threads) for tier in ("fast", "textbook")}


@lru_cache(maxsize=1)
def _rows(n: int, d: int) -> Problem:
    """Logistic regression in memory, made in blocks of rows: an SVD of 10^6 rows would take longer than all runs."""
    random = np.random.default_rng(0)
    A = random.standard_normal((n, d))
    scores = A @ random.standard_normal(d) / math.sqrt(d) + random.standard_normal(n)
    labels = np.where(scores > 0, 1.0, -1.0)
    return MappedLogistic(A=A, b=labels, reg=REG, name=f"logistic n={n} d={d}")


@lru_cache(maxsize=1)
def _small_ridge() -> Problem:
    return ridge(100, 100)


def _against_d(d: int) -> dict[str, Case]:
    problem = ridge(100, d)
    return _both(_setting(problem, _uniform(problem)), replicates=8)


def _against_n(n: int) -> dict[str, Case]:
    problem = _rows(n, 50)
    smoothness = problem.component_smoothness[0]
    return {
        **_both(_setting(problem, _uniform(problem)), replicates=8, suffix=", uniform"),
        **_both(
            _setting(problem, single(smoothness / smoothness.sum(), name="importance")),
            replicates=8,
            suffix=", importance",
        ),
    }


def _against_tau(tau: int) -> dict[str, Case]:
    problem = _rows(10_000, 50)
    even = np.full(problem.n, 1 / problem.n)
    return {
        **_both(_setting(problem, tau_nice(problem.n, tau)), replicates=2, suffix=", tau-nice"),
        **_both(_setting(problem, replacement(even, tau)), replicates=2, suffix=", replacement"),
    }


def _against_replicates(count: int) -> dict[str, Case]:
    problem = _small_ridge()
    return _both(_setting(problem, _uniform(problem)), replicates=count)


def _against_threads(count: int) -> dict[str, Case]:
    problem = _small_ridge()
    return _both(_setting(problem, _uniform(problem)), replicates=64, threads=count)


def _against_eigenvalues(d: int) -> dict[str, Case]:
    problem = Quadratic.with_spectrum(mu=0.1, L=1.0, d=d)
    return _both(make_setting(problem, gamma=0.1, rho=0.1, lam=LAM), replicates=1)


def _threads() -> tuple[int, ...]:
    """1, 2, 4, ... up to the number of cores."""
    cores = os.cpu_count() or 1
    return tuple(2**k for k in range(cores.bit_length()) if 2**k <= cores)


_TENS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)

AXES: dict[str, Axis] = {
    "d": Axis("ridge n=100, one row a step, R=8", "d", _TENS[:5], _TENS[:4], _against_d),
    "n": Axis("logistic d=50, one row a step, R=8", "n", _TENS, _TENS[:5], _against_n),
    "tau": Axis(
        "logistic n=1e4 d=50, tau rows a step, R=2", "tau", (1, 4, 16, 64, 256, 1024), (1, 4, 16, 64), _against_tau
    ),
    "replicates": Axis(
        "ridge n=d=100, one row a step", "R", (1, 2, 4, 8, 16, 64, 256), (1, 2, 4, 8, 16), _against_replicates
    ),
    "threads": Axis(
        "ridge n=d=100, one row a step, R=64", "threads", _threads(), _threads(), _against_threads, clock="wall"
    ),
    "eigenbasis": Axis(
        "dense quadratic, full gradients, R=1", "d", (10, 30, 100, 300, 1000, 2000), (10, 30, 100, 300),
        _against_eigenvalues,
    ),
}  # fmt: skip


def bench_scaling(name: str, *, quick: bool = False) -> Scaling:
    """Measure one axis. quick: shorter runs, without the largest values. Raises InputError for a name that is not in
    `AXES`."""
    from threadpoolctl import threadpool_limits

    if name not in AXES:
        raise InputError(f"axis must be one of {', '.join(AXES)}, got {name!r}")
    axis = AXES[name]
    points: list[Measured] = []
    built: dict[int, float] = {}
    with threadpool_limits(limits=1):
        for value in axis.quick if quick else axis.values:
            start = time.process_time()
            cases = axis.cases(value)
            built[value] = time.process_time() - start
            points += [
                measure(case, value, series, clock=axis.clock, least=QUICK_SECONDS if quick else SECONDS)
                for series, case in cases.items()
            ]
    _rows.cache_clear()  # up to 400 MB
    return Scaling(name, axis, points, built)


def run(case: Case, steps: int) -> Run:
    """One run that records nothing. Raises ArithmeticError if a replicate diverged: its steps are worth nothing."""
    made = simulate(
        case.setting, steps=steps, times=np.empty(0, dtype=np.int64), replicates=case.replicates, threads=case.threads,
        gradients=False, tier=case.tier,
    )  # fmt: skip
    if (made.diverged >= 0).any():
        raise ArithmeticError(f"a replicate diverged on {case.setting}")
    return made


def measure(case: Case, value: int, series: str, *, clock: str = "processor", least: float = SECONDS) -> Measured:
    """Time one case. least: seconds of steps in the long run."""
    now = time.perf_counter if clock == "wall" else time.process_time

    def spent(steps: int) -> float:
        start = now()
        run(case, steps)
        return now() - start

    way = choose(
        case.setting, case.setting.sampling.data, steps=MOST_STEPS, copies=case.replicates, tier=case.tier
    )  # fmt: skip
    start = time.process_time()
    _prepare(case.setting.problem, way)
    prepared = time.process_time() - start
    run(case, 1)  # compiles, or loads from the cache
    once = spent(1)
    steps, gained = 16, 0.0
    while (gained := spent(steps) - once) < least and steps < MOST_STEPS:
        # Too short to be told from noise: many more; else what is missing, and a little more.
        factor = 8.0 if gained < least / 16 else min(8.0, 1.2 * least / gained)
        steps = min(math.ceil(steps * factor), MOST_STEPS)
    few = max(steps // 8, 1)
    long, short = math.inf, math.inf
    for turn in itertools.count(1):
        long, short = min(long, spent(steps)), min(short, spent(few))
        # A machine so busy that more steps seem to take less time is asked again; the least times tell in the end.
        if turn >= REPEATS and long > short:
            break
    each = (long - short) / (steps - few)
    return Measured(
        value, series, way.name.lower(), case.replicates, case.threads, steps, each / case.replicates,
        max(short - few * each, 0.0), prepared,
    )  # fmt: skip


def _prepare(problem: Problem, way: Way) -> None:
    """What the engine computes once for a problem and keeps."""
    if way is Way.GRAM:
        gram_matrix(problem, linear(problem.data))
    elif way is Way.EIGENBASIS:
        eigenbasis(problem)


# -- data larger than memory --


@dataclass(frozen=True)
class MappedPoint:
    """Ridge regression on a file of features that stays on disk, beside the same features in memory.

    bytes: of the file. written, built: seconds of wall time for writing it and for the constants and the minimiser.
    mapped, in_memory: one measurement for each tier.
    """

    n: int
    d: int
    bytes: int
    written: float
    built: float
    mapped: list[Measured]
    in_memory: list[Measured]

    def ratio(self, series: str) -> float:
        """Rate from disk over rate from memory."""
        pairs = zip(self.mapped, self.in_memory, strict=True)
        return next(disk.rate / memory.rate for disk, memory in pairs if disk.series == series)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        return {
            **asdict(self), "ratios": {point.series: self.ratio(point.series) for point in self.mapped},
            "unit": "seconds of one iteration of one replicate",
        }  # fmt: skip


MAPPED_ROWS, QUICK_MAPPED_ROWS, MAPPED_COLUMNS = 640_000, 20_000, 50


def bench_mapped(*, quick: bool = False) -> MappedPoint:
    """Write a file of 256 MB (quick: 8 MB) to the temporary folder, run on it where it lies, and delete it. Raises
    InputError where the folder has no room for it."""
    from threadpoolctl import threadpool_limits

    n, d = QUICK_MAPPED_ROWS if quick else MAPPED_ROWS, MAPPED_COLUMNS
    least = QUICK_SECONDS if quick else SECONDS
    with threadpool_limits(limits=1), tempfile.TemporaryDirectory(prefix="ravine-bench-") as folder:
        check_room(folder, 8 * n * (d + 1))
        start = time.perf_counter()
        features, targets = _write_data(Path(folder), n, d)
        written = time.perf_counter() - start
        start = time.perf_counter()
        problem = problems.build(f"ridge:file={features},b={targets},reg={REG}")
        built = time.perf_counter() - start
        mapped = [
            measure(case, n, series, least=least)
            for series, case in _both(_setting(problem, _uniform(problem)), replicates=8).items()
        ]
        resident = MappedLeastSquares(
            A=np.load(features), b=np.load(targets), reg=REG, name=f"ridge n={n} d={d} in memory"
        )
        in_memory = [
            measure(case, n, series, least=least)
            for series, case in _both(_setting(resident, _uniform(resident)), replicates=8).items()
        ]
        return MappedPoint(n, d, features.stat().st_size, written, built, mapped, in_memory)


def check_room(folder: str, size: int) -> None:
    """Raises InputError unless the disk of `folder` has `size` bytes free and a tenth more."""
    free = shutil.disk_usage(folder).free
    if free < 1.1 * size:
        raise InputError(
            f"the temporary folder must have {1.1 * size / 1e6:.0f} MB free, got {free / 1e6:.0f} MB in "
            f"{str(Path(folder).parent)!r}; name another with TMPDIR"
        )


def _write_data(folder: Path, n: int, d: int) -> tuple[Path, Path]:
    """Gaussian features, written block by block, and a noisy linear target."""
    random = np.random.default_rng(0)
    direction = random.standard_normal(d)
    A = np.lib.format.open_memmap(folder / "A.npy", mode="w+", dtype=np.float64, shape=(n, d))
    b = np.empty(n)
    for part in _blocks(n):
        rows = random.standard_normal((part.stop - part.start, d))
        A[part] = rows
        b[part] = rows @ direction + random.standard_normal(len(rows))
    A.flush()
    np.save(folder / "b.npy", b)
    return folder / "A.npy", folder / "b.npy"


def _blocks(n: int, size: int = 2**14) -> Iterator[slice]:
    return (slice(first, min(first + size, n)) for first in range(0, n, size))


# -- for a person --


def table(found: Scaling) -> Table:
    """Rates by value and series; the last line holds the exponents."""
    from rich.table import Table

    grid = Table()
    prepared = any(point.prepared > 0.01 for point in found.points)
    headings = (found.axis.symbol, "problem, s", *(["prepared, s"] if prepared else []), *found.series)
    for heading in headings:
        grid.add_column(heading, justify="right")
    for value, built in found.built.items():
        here = {point.series: point for point in found.points if point.value == value}
        most = max(point.prepared for point in here.values())
        rates = [_rate(here[series].rate) for series in found.series]
        times = [f"{built:.2f}", *([f"{most:.2f}"] if prepared else [])]
        grid.add_row(f"{value:,}", *times, *rates, end_section=value == max(found.built))
    exponents = [_exponent(found.exponent(series)) for series in found.series]
    grid.add_row("exponent", "", *([""] if prepared else []), *exponents)
    return grid


def remark(found: Scaling) -> str:
    """What the numbers of the table are."""
    ways = sorted({point.way for point in found.points if point.series.startswith("fast")})
    fitted = found.exponent(found.series[0])
    over = "" if fitted is None else f", fitted from {found.axis.symbol} = {fitted.first:,} on"
    return (
        f"Iterations x replicates per second of {found.axis.clock} time. Exponent: of the seconds of one{over}. "
        f"The fast tier here: {', '.join(ways)}."
    )


def mapped_title(found: MappedPoint) -> str:
    """What was run."""
    size = f"a file of {found.bytes / 1e6:.0f} MB that stays on disk"
    return f"ridge n={found.n} d={found.d}, one row a step, R=8: {size}"


def mapped_table(found: MappedPoint) -> Table:
    """Rates from disk and from memory."""
    from rich.table import Table

    grid = Table("tier")
    for heading in ("from disk", "from memory", "disk / memory"):
        grid.add_column(heading, justify="right")
    for disk, memory in zip(found.mapped, found.in_memory, strict=True):
        grid.add_row(disk.series, _rate(disk.rate), _rate(memory.rate), f"{found.ratio(disk.series):.2f}")
    return grid


def mapped_remark(found: MappedPoint) -> str:
    """What the numbers of the table are."""
    return (
        f"Iterations x replicates per second of processor time. Written in {found.written:.1f} s; constants and "
        f"minimiser, in blocks of rows, in {found.built:.1f} s. The system keeps the file in memory while there is "
        "room: only a file larger than memory waits for the disk."
    )


def _rate(rate: float) -> str:
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if rate >= size:
            return f"{rate / size:.3g}{letter}"
    return f"{rate:.3g}"


def _exponent(found: Exponent | None) -> str:
    if found is None:
        return ""
    return f"{round(found.exponent, 2) + 0.0:.2f}" + ("" if math.isnan(found.error) else f" ± {found.error:.2f}")
