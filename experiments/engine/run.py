"""Run a setting: many replicates, threads over replicates, recorded times, divergence noticed and named."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from problems.errors import InputError
from problems.problem import as_matrix, check_count, check_memory
from problems.scratch import apart
from theory.samplings import SamplingData, full
from theory.setting import Setting
from theory.trial import times_of

from . import tier as tiers
from .tier import Way
from .ways import Advance, Book, Record, prepare, width

BLOCK = 1 << 18
"""Steps between two looks at the schedules: 6 MiB of schedule values."""


@dataclass(frozen=True)
class Run:
    """What was recorded. K record times, R replicates.

    times (K,) or (R, K). gap (R, K): f - f*. grad_norm2 (R, K): ||grad f||^2, shape (R, 0) if not recorded.
    sums (R, K): the sum of the sampled ||g_s||^2 over s < t. x (R, d): final iterates. points (R, K, d): the iterates,
    shape (R, 0, d) if not recorded. diverged (R,): the
    step at which a replicate stopped because a norm was not finite, -1 if none did; its later records are NaN. ways:
    how each stage of the sampling was run.
    """

    times: NDArray[np.int64]
    gap: Record
    grad_norm2: Record
    sums: Record
    x: Record
    points: Record
    diverged: NDArray[np.int64]
    ways: tuple[Way, ...] = ()


record_times = times_of
"""0, `steps`, and up to `points` geometrically spaced times between: what a run records unless told otherwise."""


class Progress:
    """Counts finished steps over threads and carries a request to stop into the compiled loop."""

    def __init__(self) -> None:
        self._controls: list[NDArray[np.int64]] = []
        self._stopped = False

    def register(self) -> NDArray[np.int64]:
        control = np.array([int(self._stopped), 0], dtype=np.int64)
        self._controls.append(control)
        return control

    @property
    def steps(self) -> int:
        """Steps finished so far, over all replicates."""
        return int(sum(int(control[1]) for control in self._controls))

    @property
    def stopped(self) -> bool:
        return self._stopped

    def stop(self) -> None:
        """Make every running loop return within about a thousand steps."""
        self._stopped = True
        for control in self._controls:
            control[0] = 1


def simulate(
    setting: Setting,
    *,
    steps: int,
    times: ArrayLike | None = None,
    replicates: int = 1,
    first_replicate: int = 0,
    seed: int = 0,
    threads: int | None = None,
    block: int = BLOCK,
    progress: Progress | None = None,
    gradients: bool = True,
    iterates: bool = False,
    starts: ArrayLike | None = None,
    tier: str = "auto",
) -> Run:
    """Run `replicates` copies of a setting for `steps` steps.

    times: sorted record times in 0..steps, shape (K,), or (replicates, K) when each copy has its own; default
    `record_times`. first_replicate: the number of the first copy; copies numbered alike are alike bit for
    bit, so a run can be extended. threads: default one per core; results do not depend on it, nor on `block`.
    gradients: record ||grad f||^2 too, for which every record takes a full gradient. iterates: record x too.
    starts: a start for each copy, shape (replicates, d), in the place of the setting's. tier: `textbook`, `fast` or
    `auto`, see `tier.choose`; their iterates differ by rounding.
    Raises InputError for counts below 1, a negative seed, times outside the run, starts of another shape, or `fast`
    where there is no fast way.
    """
    steps = check_count(steps, argument="steps")
    replicates = check_count(replicates, argument="replicates")
    first_replicate = check_count(first_replicate, argument="first_replicate", least=0)
    seed = check_count(seed, argument="seed", least=0)
    if seed >= 2**64:
        raise InputError(f"seed must be below 2^64, got {seed}")
    threads = None if threads is None else check_count(threads, argument="threads")
    block = check_count(block, argument="block")
    shared = record_times(steps) if times is None else _checked_times(times, steps, replicates)
    K, d = shared.shape[-1], setting.problem.d
    check_memory(replicates * (d + 4 * K + (K * d if iterates else 0)), what=f"a run of {replicates} replicates")
    own = _writable(shared, replicates)
    x = np.tile(setting.x0, (replicates, 1))
    if starts is not None:
        x = as_matrix(starts, argument="starts")
        if x.shape != (replicates, d):
            raise InputError(f"starts must have shape ({replicates}, {d}), got {x.shape}")
    if tiers.check_tier(tier) != "textbook":
        setting = tiers.reduce(setting)
    stages = setting.sampling.stages(steps)
    plan = [
        (first, last, part.data, tiers.choose(setting, part.data, steps=steps, copies=replicates, tier=tier))
        for first, last, part in stages
    ]
    made = progress or Progress()
    numbers = np.arange(first_replicate, first_replicate + replicates)
    job = Job(steps, seed, threads, block, made, gradients, iterates)
    if plan[0][3] in (Way.EIGENBASIS, Way.DIAGONAL):
        return _deterministic(setting, plan[0][3], x, shared, own, job)
    return run_plan(setting, plan, numbers, x, shared, own, job)


@dataclass(frozen=True)
class Job:
    """The rest of `simulate`'s arguments."""

    steps: int
    seed: int = 0
    threads: int | None = None
    block: int = BLOCK
    progress: Progress = field(default_factory=Progress)
    gradients: bool = False
    iterates: bool = False


Plan = list[tuple[int, int, SamplingData, Way]]


def _deterministic(
    setting: Setting, way: Way, x: Record, shared: NDArray[np.int64], own: NDArray[np.int64], job: Job
) -> Run:
    """A quadratic in its eigenbasis. Copies that start and record alike are alike: one is run."""
    R = len(x)
    alike = R > 1 and bool((x == x[0]).all()) and bool((own == own[0]).all())
    if alike:
        x, own = x[:1].copy(), own[:1].copy()
    inner, rotation = setting, None
    if way is Way.EIGENBASIS:
        inner, rotation = tiers.diagonalised(setting)
        x = rotation.inwards(x)
    # Other methods make their own step on the diagonal problem.
    loop = Way.DIAGONAL if tiers.has_ascent(setting.method.data) else Way.TEXTBOOK
    run = run_plan(inner, [(0, job.steps, inner.sampling.data, loop)], np.arange(len(x)), x, shared, own, job)
    x, points = run.x, run.points
    if rotation is not None:
        x, points = rotation.outwards(x), rotation.outwards(points)
    recorded = (run.gap, run.grad_norm2, run.sums, x, points)
    gap, norms, sums, x, points = (np.repeat(array, R if alike else 1, axis=0) for array in recorded)
    return Run(shared, gap, norms, sums, x, points, np.repeat(run.diverged, R if alike else 1), (way,))


def _checked_times(times: ArrayLike, steps: int, replicates: int) -> NDArray[np.int64]:
    given = np.asarray(times)
    if given.shape[:-1] not in ((), (replicates,)) or given.ndim == 0:
        raise InputError(f"times must have shape (K,) or ({replicates}, K), got {given.shape}")
    if given.size and not (np.issubdtype(given.dtype, np.number) and (given == np.floor(given)).all()):
        raise InputError(f"times must be whole numbers, got {given.ravel()[:3].tolist()}...")
    whole = given.astype(np.int64)
    if whole.size and (whole.min() < 0 or whole.max() > steps or (np.diff(whole, axis=-1) < 0).any()):
        raise InputError(f"times must be sorted and lie in 0..{steps}, got {whole.ravel()[:3].tolist()}...")
    return whole


def one_step(
    setting: Setting,
    sampling: SamplingData,
    x: NDArray[np.float64],
    *,
    t: int = 0,
    gamma: float,
    rho: float,
    lam: float,
) -> Run:
    """One step from every row of x (R, d), row r drawing block r of a LISTED sampling; records the gap after it, and
    in `sums` the sampled ||g||^2."""
    frozen = setting.with_steps(gamma=gamma, rho=rho, lam=lam)
    times = np.array([1])
    own = _writable(times, len(x))
    return run_plan(frozen, [(0, 1, sampling, Way.TEXTBOOK)], np.arange(len(x)), x.copy(), times, own, Job(1))


def evaluate(setting: Setting, points: Record) -> tuple[Record, Record]:
    """f - f* and ||grad f||^2 at each row of points (P, d), by the compiled kernels; both of shape (P,)."""
    problem = setting.problem
    own = np.zeros((len(points), 1), dtype=np.int64)
    data = full(problem.n).data
    # One step is taken after the record and thrown away.
    job = Job(1, threads=1, gradients=True)
    run = run_plan(setting, [(0, 1, data, Way.TEXTBOOK)], np.arange(len(points)), points.copy(), own, own, job)
    return run.gap[:, 0], run.grad_norm2[:, 0]


def run_plan(
    setting: Setting,
    plan: Plan,
    numbers: NDArray[np.int64],
    x: Record,
    times: NDArray[np.int64],
    own: NDArray[np.int64],
    job: Job,
) -> Run:
    R, K = own.shape
    x = apart(x)
    gaps, norms, sums = (np.full((R, columns), np.nan) for columns in (K, K if job.gradients else 0, K))
    points = np.full((R, K if job.iterates else 0, setting.problem.d), np.nan)
    state = np.zeros((R, 2), dtype=np.int64)
    state[:, 1] = -1
    book = Book(
        numbers, x, own, gaps, norms, sums, points, state, np.zeros(R), np.full((R, 2), np.nan), np.uint64(job.seed)
    )
    workers = min(job.threads or os.cpu_count() or 1, R)
    for start, end, drawn, way in plan:
        book.sizes[:] = np.nan
        make = prepare(way, setting, drawn, book, end)

        def work(
            rows: slice, start: int = start, end: int = end, make: Callable[[], Advance] = make
        ) -> NDArray[np.int64]:
            control = job.progress.register()
            advance = make()
            for first in range(start, end, job.block):
                last = min(first + job.block, end)
                windows = [schedule.window(first, last) for schedule in (setting.gamma, setting.rho, setting.lam)]
                advance(rows, first, last, last == job.steps, windows, control)
                if control[0]:
                    break
            return control

        parts = _parts(R, workers, width(way))
        if len(parts) == 1:
            work(parts[0])
        else:
            with ThreadPoolExecutor(workers) as pool:
                for future in [pool.submit(work, part) for part in parts]:
                    future.result()
        if job.progress.stopped:
            break
    return Run(times, gaps, norms, sums, x, points, state[:, 1].copy(), tuple(way for *_, way in plan))


def _parts(R: int, workers: int, width: int) -> list[slice]:
    """Contiguous shares of the replicates, several per worker so that none waits long for another, and of whole blocks
    of `width` where there are enough."""
    if workers == 1:
        return [slice(0, R)]
    blocks = -(-R // width)
    if blocks < workers:
        edges = np.linspace(0, R, workers + 1).astype(int)
    else:
        edges = np.minimum(np.linspace(0, blocks, min(blocks, 4 * workers) + 1).astype(int) * width, R)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _writable(times: NDArray[np.int64], replicates: int) -> NDArray[np.int64]:
    """Times for each replicate, in the one layout for which the loop is compiled."""
    return np.array(np.broadcast_to(times, (replicates, times.shape[-1])), order="C")
