"""What a worker process does: some cells, one after the other, and nothing else; only the parent writes results."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from problems.errors import InputError

from .cell import Cell, run_cell


class Chunk(NamedTuple):
    """Some cells of a sweep, by number, that one worker computes before it reports."""

    numbers: tuple[int, ...]
    cells: tuple[Cell, ...]

    def __str__(self) -> str:
        first, last = self.numbers[0], self.numbers[-1]
        return f"cell {first}" if len(self.numbers) == 1 else f"cells {first} to {last}"


Results = list[tuple[dict[str, Any], float]]
"""Of the cells of a chunk, in their order: each cell's result and the seconds it took."""


class Report(NamedTuple):
    """What a worker sends back. first: the number of the chunk's first cell."""

    first: int
    results: Results


class Done(NamedTuple):
    """A chunk with its results."""

    chunk: Chunk
    results: Results


class Lost(NamedTuple):
    """A chunk whose worker died before it reported. deaths: how many workers did."""

    chunk: Chunk
    deaths: int


class Pool(Protocol):
    """Where chunks are computed. size: how many at once."""

    @property
    def size(self) -> int: ...

    def run(self, chunks: Iterator[Chunk]) -> Iterator[Done | Lost]:
        """Compute the chunks of an iterator, taken as needed; yields a Done or a Lost for each, in any order."""
        ...


@dataclass(frozen=True)
class Orders:
    """What every worker of a sweep is told.

    fingerprint: of the parent's code. files: on which it depends besides the sources (a plugin). prepare: called once
    in each worker process before its first cell. trail: a folder in which a worker notes which chunk it has begun: a
    file named by the chunk's first cell, a dot, its process. parent: the process without which a worker ends itself.
    """

    fingerprint: str
    files: tuple[str, ...] = ()
    prepare: Callable[[], object] | None = None
    trail: str | None = None
    parent: int | None = None


_prepared: set[str] = set()
_limits: list[Any] = []
_lock = threading.Lock()


def packed(chunk: Chunk) -> bytes:
    """A chunk as it travels: the pools' own way of packing, made for any object, takes ten times as long."""
    return pickle.dumps(chunk)


def run_chunk(orders: Orders, packed_chunk: bytes) -> Report:
    """Compute a chunk. Raises InputError when this process runs other code than the parent."""
    chunk: Chunk = pickle.loads(packed_chunk)
    if orders.trail is not None:
        # All of it in the name: a file is there or not, and a process killed while it writes would leave an empty one.
        Path(orders.trail, f"{chunk.numbers[0]}.{os.getpid()}").touch()
    with _lock:
        if orders.fingerprint not in _prepared:
            _prepare(orders)
            _prepared.add(orders.fingerprint)
    results: Results = []
    for cell in chunk.cells:
        started = time.perf_counter()
        result = run_cell(cell)
        results.append((result, time.perf_counter() - started))
    return Report(chunk.numbers[0], results)


def _prepare(orders: Orders) -> None:
    from experiments.store import code_fingerprint

    if orders.parent is not None:
        threading.Thread(target=_end_with, args=(orders.parent,), daemon=True).start()
    if orders.prepare is not None:
        orders.prepare()
    found = code_fingerprint([Path(file) for file in orders.files])
    if found != orders.fingerprint:
        raise InputError(
            f"worker on {os.uname().nodename} runs code with the fingerprint {found} and this process "
            f"{orders.fingerprint}; give both the same ravine, libraries, Python and plugin"
        )
    _limit_threads()


def _limit_threads() -> None:
    """One thread for linear algebra: the workers are the parallelism, and sums in another order have other bits."""
    import scipy.linalg  # noqa: F401  (brings its own BLAS, which must be there to be limited)
    from threadpoolctl import threadpool_limits

    _limits.append(threadpool_limits(1, user_api="blas"))


def _end_with(parent: int) -> None:
    """End this process soon after its parent was killed; the pool's own way takes minutes."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
