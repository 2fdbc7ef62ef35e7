"""Run a setting: many replicates, threads over replicates, recorded times, divergence noticed and named."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from problems.errors import InputError
from problems.kernel import scratch, stride
from problems.problem import Problem, check_count, check_memory
from theory.methods.method import Method
from theory.samplings import FULL, SamplingData, full
from theory.setting import Setting
from theory.trial import times_of

Record = NDArray[np.float64]

BLOCK = 1 << 18
"""Steps between two looks at the schedules: 6 MiB of schedule values."""


@dataclass(frozen=True)
class Run:
    """What was recorded. K record times, R replicates.

    times (K,) or (R, K). gap (R, K): f - f*. grad_norm2 (R, K): ||grad f||^2, shape (R, 0) if not recorded.
    sums (R, K): the sum of the sampled ||g_s||^2 over s < t. x (R, d): final iterates. points (R, K, d): the iterates,
    shape (R, 0, d) if not recorded. diverged (R,): the
    step at which a replicate stopped because a norm was not finite, -1 if none did; its later records are NaN.
    """

    times: NDArray[np.int64]
    gap: Record
    grad_norm2: Record
    sums: Record
    x: Record
    points: Record
    diverged: NDArray[np.int64]


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
) -> Run:
    """Run `replicates` copies of a setting for `steps` steps.

    times: sorted record times in 0..steps, shape (K,), or (replicates, K) when each copy has its own; default
    `record_times`. first_replicate: the number of the first copy; copies numbered alike are alike bit for
    bit, so a run can be extended. threads: default one per core; results do not depend on it, nor on `block`.
    gradients: record ||grad f||^2 too, for which every record takes a full gradient. iterates: record x too.
    Raises InputError for counts below 1, a negative seed or times outside the run.
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
    numbers = np.arange(first_replicate, first_replicate + replicates)
    return _simulate(
        setting, setting.sampling.data, numbers, x, shared, own, steps, seed, threads, block, progress or Progress(),
        gradients, iterates,
    )  # fmt: skip


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
    return _simulate(frozen, sampling, np.arange(len(x)), x.copy(), times, own, 1, 0, None, BLOCK, Progress(), False)


def evaluate(setting: Setting, points: Record) -> tuple[Record, Record]:
    """f - f* and ||grad f||^2 at each row of points (P, d), by the compiled kernels; both of shape (P,)."""
    problem = setting.problem
    own = np.zeros((len(points), 1), dtype=np.int64)
    data = full(problem.n).data
    # One step is taken after the record and thrown away.
    run = _simulate(setting, data, np.arange(len(points)), points.copy(), own, own, 1, 0, 1, BLOCK, Progress(), True)
    return run.gap[:, 0], run.grad_norm2[:, 0]


def _simulate(
    setting: Setting,
    sampling: SamplingData,
    numbers: NDArray[np.int64],
    x: NDArray[np.float64],
    times: NDArray[np.int64],
    own: NDArray[np.int64],
    steps: int,
    seed: int,
    threads: int | None,
    block: int,
    progress: Progress,
    gradients: bool,
    iterates: bool = False,
) -> Run:
    from . import dispatch

    problem = setting.problem
    loop = dispatch.compiled_loop(type(problem.data), type(setting.method.data))
    R, K = own.shape
    gaps, norms, sums = (np.full((R, columns), np.nan) for columns in (K, K if gradients else 0, K))
    points = np.full((R, K if iterates else 0, problem.d), np.nan)
    state = np.zeros((R, 2), dtype=np.int64)
    state[:, 1] = -1
    running = np.zeros(R)
    workers = min(threads or os.cpu_count() or 1, R)
    seed64 = np.uint64(seed)

    stages = [(first, last, part.data) for first, last, part in setting.sampling.stages(steps)]
    if sampling is not setting.sampling.data:
        stages = [(0, steps, sampling)]

    def work(rows: slice) -> None:
        control = progress.register()
        for start, end, drawn in stages:
            room = _scratch(problem, drawn, setting.method)
            for first in range(start, end, block):
                last = min(first + block, end)
                windows = [schedule.window(first, last) for schedule in (setting.gamma, setting.rho, setting.lam)]
                loop(
                    problem.data, setting.method.data, drawn, seed64, numbers[rows], x[rows],
                    first, last, last == steps, *windows, own[rows], gaps[rows], norms[rows], sums[rows],
                    points[rows], state[rows], running[rows], *room, control,
                )  # fmt: skip
                if control[0]:
                    return

    parts = _parts(R, workers)
    if len(parts) == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(work, part) for part in parts]:
                future.result()
    return Run(times, gaps, norms, sums, x, points, state[:, 1].copy())


def _parts(R: int, workers: int) -> list[slice]:
    """Contiguous shares of the replicates, several per worker so that none waits long for another."""
    if workers == 1:
        return [slice(0, R)]
    edges = np.linspace(0, R, min(R, 4 * workers) + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _scratch(problem: Problem, sampling: SamplingData, method: Method) -> tuple[Any, ...]:
    everyone, ones = np.arange(problem.n), np.ones(problem.n)
    indices, weights = np.zeros(sampling.largest, dtype=np.int64), np.zeros(sampling.largest)
    if sampling.kind == FULL:
        indices[:], weights[:] = everyone, 1.0
    marks = np.zeros(problem.n if sampling.kind == 2 else 0, dtype=np.int64)
    d = problem.d
    more = (scratch(method.data) - 1) * stride(d)
    return everyone, ones, indices, weights, marks, _aligned(d), _aligned(d + more)


def _aligned(d: int) -> Record:
    """Scratch of length d that starts on a cache line: worth up to 10 % of a step."""
    room = np.empty(d + 8)
    skip = (-room.ctypes.data // 8) % 8
    return room[skip : skip + d]


def _writable(times: NDArray[np.int64], replicates: int) -> NDArray[np.int64]:
    """Times for each replicate, in the one layout for which the loop is compiled."""
    return np.array(np.broadcast_to(times, (replicates, times.shape[-1])), order="C")
