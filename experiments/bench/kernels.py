"""`ravine bench kernels`: the fast tier beside everything else that could make the same steps, in one run.

A rate is iterations times replicates for each second of processor time, the recording of f - f* included and
compilation, loading and preparation not; every way is held to one thread. The ways of a workload take turns, so that a
busy machine slows all of them alike; they are compared by their best rates. Rates on two machines do not compare.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.engine.run import simulate
from experiments.engine.tier import eigenbasis, gram_matrix
from problems.kernel import linear
from problems.problem import check_count
from problems.quadratics import Quadratic
from theory.samplings import tau_nice
from theory.setting import Setting, make_setting

from . import yardstick
from .workloads import LAM, draw_up_front, logistic, ridge, sizes, with_numpy, workload

if TYPE_CHECKING:
    from rich.table import Table

    from .roofline import Roofline

Call = Callable[[], Any]
"""Makes the steps and returns the final iterates (R, d), for a check that all ways made the same."""


@dataclass(frozen=True)
class Way:
    """One way of making the steps.

    steps: of each replicate in one call. call: or why there is none. exact: on the engine's own draws, so that its
    iterates are those of the fast tier; other ways draw their own. prepared: seconds spent before the first step on
    what depends on the problem alone.
    """

    name: str
    steps: int
    call: Call | str
    exact: bool = True
    prepared: float = 0.0


@dataclass(frozen=True)
class Workload:
    """What is run. ways: built when asked, because some compile. pairs: which way is compared with which: (numerator,
    denominator, least ratio wanted or 0)."""

    name: str
    title: str
    replicates: int
    ways: Callable[[], Iterator[Way]]
    wanted: tuple[tuple[str, str, float], ...] = ()


@dataclass
class Result:
    """Rates of one way: iterations x replicates per second. first_call: seconds of wall time of the first call, with
    compilation or loading. apart: the largest difference of final iterates from the fast tier's, relative to the
    largest entry; NaN for ways that draw their own."""

    steps: int
    rates: list[float] = field(default_factory=list)
    first_call: float = 0.0
    prepared: float = 0.0
    apart: float = math.nan

    @property
    def best(self) -> float:
        return max(self.rates)


@dataclass(frozen=True)
class Row:
    """One workload. missing: ways that could not be run, and why."""

    workload: Workload
    results: dict[str, Result]
    missing: dict[str, str]

    def rival(self, family: str) -> str | None:
        """The fastest way of a family."""
        members = [way for way in self.results if _family(way) == family]
        return max(members, key=lambda way: self.results[way].best, default=None)

    def ratio(self, way: str, other: str) -> float:
        """Best rate over best rate, of a way or the fastest of a family; NaN where one is missing."""
        rival = other if other in self.results and _family(other) != other else self.rival(other)
        if way not in self.results or rival is None:
            return math.nan
        return self.results[way].best / self.results[rival].best

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        return {
            "workload": self.workload.name,
            "title": self.workload.title,
            "replicates": self.workload.replicates,
            "unit": "iterations x replicates per second of one thread",
            "ways": {
                name: {
                    "steps": found.steps, "rates": found.rates, "best": found.best, "first_call": found.first_call,
                    "prepared": found.prepared, "apart": None if math.isnan(found.apart) else found.apart,
                }
                for name, found in self.results.items()
            },
            "missing": self.missing,
            "ratios": [
                {"way": way, "over": other, "ratio": self.ratio(way, other), "wanted": least}
                for way, other, least in self.workload.wanted
                if not math.isnan(self.ratio(way, other))
            ],
        }  # fmt: skip


def bench_kernels(
    names: tuple[str, ...] = (), *, quick: bool = False, repeats: int = 5, on_row: Callable[[Row], object] | None = None
) -> list[Row]:
    """Time the workloads named, by default all. quick: a tenth of the steps. repeats: turns of each way."""
    check_count(repeats, argument="repeats")
    rows = []
    for name in names or tuple(WORKLOADS):
        rows.append(_time(WORKLOADS[name](10 if quick else 1), repeats))
        if on_row is not None:
            on_row(rows[-1])
    return rows


def _time(work: Workload, repeats: int) -> Row:
    from threadpoolctl import threadpool_limits

    results: dict[str, Result] = {}
    missing: dict[str, str] = {}
    calls: dict[str, Call] = {}
    random = np.random.default_rng(0)
    with threadpool_limits(limits=1):
        reference: Any = None
        for way in work.ways():
            if isinstance(way.call, str):
                missing[way.name] = way.call
                continue
            start = time.perf_counter()
            x = way.call()
            results[way.name] = Result(way.steps, first_call=time.perf_counter() - start, prepared=way.prepared)
            calls[way.name] = way.call
            if reference is None:
                reference = x
            elif way.exact and x is not None:
                results[way.name].apart = float(np.abs(x - reference).max() / np.abs(reference).max())
        for turn in range(repeats):
            # Where arrays lie is worth several per cent: memory is shifted between the turns.
            padding = [np.empty(size) for size in random.integers(1, 4096, size=16)]
            del padding[::2]
            for name in list(calls) if turn % 2 == 0 else list(calls)[::-1]:
                start = time.process_time()
                calls[name]()
                spent = time.process_time() - start
                results[name].rates.append(results[name].steps * work.replicates / spent)
    return Row(work, results, missing)


# -- for a person --


def table(rows: list[Row], limits: Roofline) -> Table:
    """Best rates, what stands before and apart from them, the share of the machine's limit, and the ratios."""
    from rich.table import Table

    grid = Table(
        caption="Millions of iterations x replicates per second of processor time, one thread; first call and "
        "preparation in seconds."
    )
    for heading in ("workload", "way"):
        grid.add_column(heading)
    for heading in ("best", "lowest", "of the limit", "first call", "prepared", "fast / way", "wanted"):
        grid.add_column(heading, justify="right")
    for row in rows:
        wanted = {other: least for way, other, least in row.workload.wanted if way == "fast" and least}
        last = list(row.results)[-1]
        for way, found in row.results.items():
            limit = limits.limit(row.workload.name, way)
            grid.add_row(
                row.workload.name if way == "fast" else "",
                way,
                f"{found.best / 1e6:.3g}",
                f"{min(found.rates) / 1e6:.3g}",
                f"{found.best / limit:.0%}" if limit else "",
                f"{found.first_call:.2f}",
                f"{found.prepared:.2f}" if found.prepared else "",
                "" if way == "fast" else f"{row.ratio('fast', way):.2f}",
                f">= {wanted[_family(way)]:g}" if _family(way) in wanted and way == row.rival(_family(way)) else "",
                end_section=way == last,
            )
    return grid


def remarks(rows: list[Row]) -> list[str]:
    """What each workload is, ratios that are less than wanted, and ways that could not be run."""
    lines = [f"{row.workload.name}: {row.workload.title}" for row in rows]
    for row in rows:
        for way, other, least in row.workload.wanted:
            if row.ratio(way, other) < least:
                lines.append(f"{row.workload.name}: {way} / {other} is {row.ratio(way, other):.2f}, wanted {least:g}")
        lines += [f"{row.workload.name}: no {name}: {reason}" for name, reason in row.missing.items()]
    return lines


def _family(way: str) -> str:
    """C and C 512 are one family, and so are the ways of JAX: the best of each is the rival."""
    return "JAX" if way.startswith("JAX") else way.removesuffix(" 512")


# -- ways --


def _engine(setting: Setting, steps: int, replicates: int, every: int, *, starts: Any = None, tier: str) -> Call:
    times = np.arange(0, steps + 1, every) if every else np.array([0, steps])

    def run() -> Any:
        return simulate(
            setting, steps=steps, times=times, replicates=replicates, threads=1, gradients=False, tier=tier,
            starts=starts,
        ).x  # fmt: skip

    return run


def _best_of_c(name: str, steps: int, prepare: Callable[[], tuple[tuple[Any, ...], Any]]) -> Iterator[Way]:
    """A C function in each width; prepare() gives its arguments and what it leaves the final iterates in."""
    made = yardstick.compiled()
    if isinstance(made, str):
        yield Way("C", steps, made)
        return
    for library, width in zip(made.libraries, yardstick.WIDTHS, strict=False):

        def run(library: Any = library) -> Any:
            arguments, x = prepare()
            yardstick.call(library, name, *arguments)
            return x() if callable(x) else x

        yield Way(f"C{width}", steps, run)


def _linear_workload(
    name: str, build: Callable[[], Any], *, steps: int, slow_steps: int, replicates: int, shorter: int,
    wanted: tuple[tuple[str, str, float], ...],
) -> Workload:  # fmt: skip
    """One sampled row a step of ridge or logistic regression, f - f* recorded every n steps."""

    def ways() -> Iterator[Way]:
        problem = build()
        every = problem.n
        T, few = (max(count // shorter // every, 1) * every for count in (steps, slow_steps))
        work = workload(name, problem, steps=T, replicates=replicates)
        setting, parts = work.setting, linear(problem.data)
        labels = int(not problem.quadratic)
        square = np.einsum("ij,ij->i", parts.A, parts.A)
        margins = np.ascontiguousarray(getattr(problem.data, "margins", np.zeros(problem.n)))
        least = problem.value(parts.centre) if labels else 0.0
        streams = yardstick.keys(0, replicates)
        gram = not labels and problem.n <= problem.d
        if gram:
            start = time.perf_counter()
            G = gram_matrix(problem, parts)
            prepared = time.perf_counter() - start
            yield Way("fast", T, _engine(setting, T, replicates, every, tier="fast"), prepared=prepared)
            yield Way("fast, x-space", T, _in_lockstep(setting, T, replicates, every))
        else:
            yield Way("fast", T, _engine(setting, T, replicates, every, tier="fast"))
        yield Way("textbook", T, _engine(setting, T, replicates, every, tier="textbook"))

        def in_x() -> tuple[tuple[Any, ...], Any]:
            x = np.zeros((replicates, problem.d))
            return (
                parts.A, parts.b, square, parts.centre, margins, float(least), problem.n, problem.d, float(parts.reg),
                x, replicates, streams, *sizes(setting), T, every, np.empty((replicates, T // every + 1)), labels,
            ), x  # fmt: skip

        yield from _best_of_c("linear_model", T, in_x)
        if gram:
            best_z = parts.A @ parts.centre
            best_alpha = (parts.b - best_z) / (problem.n * parts.reg)

            def in_gram() -> tuple[tuple[Any, ...], Any]:
                z, alpha = np.zeros((replicates, problem.n)), np.zeros((replicates, problem.n))
                return (
                    G, parts.b, best_z, best_alpha, problem.n, float(parts.reg), z, alpha, replicates, streams,
                    *sizes(setting), T, every, np.empty((replicates, T // every + 1)),
                ), lambda: alpha @ parts.A  # fmt: skip

            for way in _best_of_c("gram", T, in_gram):
                yield Way(way.name.replace("C", "C Gram", 1), way.steps, way.call)
        indices = draw_up_front(work, steps=few)
        yield Way("NumPy", few, lambda: with_numpy(work, indices).x, exact=False)
        from . import jax_ways

        yield from jax_ways.linear(work, indices)

    title = {"W1": "ridge n=d=100", "W2": "ridge n=d=1000", "W3": "logistic n=1e4 d=50"}[name]
    return Workload(name, f"{title}, one row a step, R={replicates}", replicates, ways, wanted)


def _in_lockstep(setting: Setting, steps: int, replicates: int, every: int) -> Call:
    """The x-space loop on a problem for which the engine prefers Gram space."""
    from experiments.engine import run as engine
    from experiments.engine.tier import Way as Chosen

    times = np.arange(0, steps + 1, every)
    plan = [(0, steps, setting.sampling.data, Chosen.LOCKSTEP)]

    def run() -> Any:
        x = np.tile(setting.x0, (replicates, 1))
        own = np.tile(times, (replicates, 1))
        job = engine.Job(steps, threads=1)
        return engine.run_plan(setting, plan, np.arange(replicates), x, times, own, job).x

    return run


def _w4a(shorter: int) -> Workload:
    def ways() -> Iterator[Way]:
        dense_steps, T = 2_000 // shorter, 200_000 // shorter
        problem = Quadratic.with_spectrum(mu=0.1, L=1.0, d=1000)
        setting = make_setting(problem, gamma=0.1, rho=0.1, lam=LAM)
        start = time.perf_counter()
        h, Q = eigenbasis(problem)
        prepared = time.perf_counter() - start
        z0 = setting.x0 @ Q
        yield Way("fast", T, _engine(setting, T, 1, 0, tier="fast"), prepared=prepared)
        yield Way("textbook", dense_steps, _engine(setting, dense_steps, 1, 0, tier="textbook"), exact=False)

        def rotated() -> tuple[tuple[Any, ...], Any]:
            z = z0.copy()
            return (h, len(h), z, *sizes(setting), T), lambda: (z @ Q.T)[None]

        yield from _best_of_c("eigenbasis", T, rotated)
        H = problem.data.H

        def as_written() -> tuple[tuple[Any, ...], Any]:
            x = setting.x0.copy()
            return (H, len(h), x, *sizes(setting), dense_steps), x[None]

        for way in _best_of_c("dense", dense_steps, as_written):
            yield Way(way.name.replace("C", "C dense", 1), way.steps, way.call, exact=False)
        gamma, rho, lam = sizes(setting)

        def with_products() -> Any:
            x = setting.x0.copy()
            for _ in range(dense_steps):
                g = H @ x
                x = x - gamma * (H @ (x + rho * ((1 - lam) + lam / np.sqrt(g @ g)) * g))
            return x[None]

        yield Way("NumPy", dense_steps, with_products, exact=False)
        few = min(T, 20_000)

        def rotated_products() -> Any:
            z = z0.copy()
            for _ in range(few):
                g = h * z
                z = z - gamma * (h * (z + rho * ((1 - lam) + lam / np.sqrt(g @ g)) * g))
            return (z @ Q.T)[None]

        yield Way("NumPy, eigenbasis", few, rotated_products, exact=False)
        from . import jax_ways

        yield from jax_ways.quadratic(h, z0[None], sizes(setting), few, name="JAX, eigenbasis")

    return Workload("W4a", "dense quadratic d=1000, R=1", 1, ways, (("fast", "C", 0.8), ("fast", "textbook", 0.0)))


def _w4b(shorter: int) -> Workload:
    R, d = 64, 50

    def ways() -> Iterator[Way]:
        T, few = 100_000 // shorter, 10_000 // shorter
        problem = Quadratic.with_spectrum(mu=0.1, L=1.0, d=d, basis="diagonal")
        setting = make_setting(problem, gamma=0.1, rho=0.1, lam=LAM)
        starts = np.random.default_rng(0).standard_normal((R, d))
        h = problem.data.h
        yield Way("fast", T, _engine(setting, T, R, 0, starts=starts, tier="fast"))
        yield Way("textbook", T, _engine(setting, T, R, 0, starts=starts, tier="textbook"))

        def in_c() -> tuple[tuple[Any, ...], Any]:
            x = starts.copy()
            return (h, d, x, R, *sizes(setting), T), x

        yield from _best_of_c("side_by_side", T, in_c)
        gamma, rho, lam = sizes(setting)

        def vectorised() -> Any:
            x = starts.copy()
            for _ in range(few):
                g = x * h
                s = rho * ((1 - lam) + lam / np.sqrt(np.einsum("rd,rd->r", g, g)))
                x = x - gamma * (h * (x + s[:, None] * g))
            return x

        yield Way("NumPy", few, vectorised, exact=False)
        from . import jax_ways

        yield from jax_ways.quadratic(h, starts, sizes(setting), T, name="JAX")

    wanted = (("fast", "C", 0.8), ("fast", "JAX", 2.0), ("fast", "NumPy", 0.0), ("fast", "textbook", 0.0))
    return Workload("W4b", f"diagonal quadratic d={d}, R={R} starts", R, ways, wanted)


def _w5(shorter: int) -> Workload:
    tau, R = 16, 16

    def ways() -> Iterator[Way]:
        problem = logistic(10_000, 50)
        every = problem.n
        T, few = max(20_000 // shorter // every, 1) * every, 1_000
        work = workload("W5", problem, steps=T, replicates=R)
        size = 0.1 / problem.L.value
        setting = make_setting(problem, sampling=tau_nice(problem.n, tau), gamma=size, rho=size, lam=LAM)
        parts = linear(problem.data)
        margins, least = problem.data.margins, problem.value(parts.centre)
        streams, marks = yardstick.keys(0, R), np.zeros(problem.n, dtype=np.int64)
        yield Way("fast", T, _engine(setting, T, R, every, tier="fast"))
        yield Way("textbook", T, _engine(setting, T, R, every, tier="textbook"))

        def in_c() -> tuple[tuple[Any, ...], Any]:
            x = np.zeros((R, problem.d))
            return (
                parts.A, parts.b, parts.centre, margins, float(least), problem.n, problem.d, float(parts.reg), x, R,
                streams, tau, *sizes(setting), T, every, np.empty((R, T // every + 1)), marks,
            ), x  # fmt: skip

        yield from _best_of_c("minibatch", T, in_c)
        indices = np.random.default_rng(0).permuted(np.tile(np.arange(problem.n), (few, 1)), axis=1)[:, :tau]
        chosen = np.stack([np.roll(indices, r, axis=0) for r in range(R)], axis=1)
        gamma, rho, lam = sizes(setting)

        def slopes(points: Any, rows: Any, targets: Any) -> Any:
            dots = np.einsum("rkd,rd->rk", rows, points)
            return np.einsum("rk,rkd->rd", -targets / (1 + np.exp(targets * dots)), rows) / tau + parts.reg * points

        def vectorised() -> Any:
            x = np.zeros((R, problem.d))
            for t in range(few):
                rows, targets = parts.A[chosen[t]], parts.b[chosen[t]]
                g = slopes(x, rows, targets)
                s = rho * ((1 - lam) + lam / np.sqrt(np.einsum("rd,rd->r", g, g)))
                x = x - gamma * slopes(x + s[:, None] * g, rows, targets)
            return x

        yield Way("NumPy", few, vectorised, exact=False)
        from . import jax_ways

        yield from jax_ways.minibatch(work, chosen, sizes(setting))

    wanted = (("fast", "C", 0.8), ("fast", "JAX", 0.0), ("fast", "NumPy", 0.0), ("fast", "textbook", 0.0))
    return Workload("W5", f"logistic n=1e4 d=50, tau-nice tau={tau}, R={R}", R, ways, wanted)


WORKLOADS: dict[str, Callable[[int], Workload]] = {
    "W1": lambda shorter: _linear_workload(
        "W1", lambda: ridge(100, 100), steps=100_000, slow_steps=5_000, replicates=16, shorter=shorter,
        wanted=(
            ("fast", "C", 1.5), ("fast", "C Gram", 0.8), ("fast, x-space", "C", 0.8), ("fast", "JAX", 5.0),
            ("fast", "NumPy", 30.0), ("fast", "textbook", 1.7),
        ),
    ),
    "W2": lambda shorter: _linear_workload(
        "W2", lambda: ridge(1_000, 1_000), steps=20_000, slow_steps=2_000, replicates=8, shorter=shorter,
        wanted=(
            ("fast", "C", 0.8), ("fast", "C Gram", 0.8), ("fast, x-space", "C", 0.8), ("fast", "JAX", 5.0),
            ("fast", "NumPy", 0.0), ("fast", "textbook", 0.0),
        ),
    ),
    "W3": lambda shorter: _linear_workload(
        "W3", lambda: logistic(10_000, 50), steps=100_000, slow_steps=10_000, replicates=16, shorter=shorter,
        wanted=(("fast", "C", 0.8), ("fast", "JAX", 5.0), ("fast", "NumPy", 0.0), ("fast", "textbook", 1.7)),
    ),
    "W4a": _w4a,
    "W4b": _w4b,
    "W5": _w5,
}  # fmt: skip
"""By name; each takes by how much the numbers of steps are divided."""
