"""Processes of this machine, by joblib, made again when one of them dies."""

from __future__ import annotations

import itertools
import os
import re
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from problems.errors import InputError

from .work import Chunk, Done, Lost, Orders, Report, packed, run_chunk

STILLBORN = 3
"""Pools in a row that died before any of their workers began a chunk, after which no more are made."""


class Processes:
    """A pool of worker processes. size: how many. say: takes a sentence for the user when one dies.

    joblib ends the whole pool when one of its processes dies. The chunks that were being computed are then reported
    as lost, by whichever worker, and a new pool goes on with the others.
    """

    def __init__(self, orders: Orders, size: int, say: Callable[[str], None]) -> None:
        self.size = size
        self._orders = orders
        self._say = say

    def run(self, chunks: Iterator[Chunk]) -> Iterator[Done | Lost]:
        """Compute the chunks of an iterator, taken as needed; a Done or a Lost for each, in any order."""
        stillborn = 0
        waiting: Iterator[Chunk] = iter(chunks)
        while True:
            with tempfile.TemporaryDirectory(prefix="ravine-sweep-") as trail:
                under_way = _UnderWay(waiting)
                orders = replace(self._orders, trail=trail, parent=os.getpid())
                try:
                    for report in self._round(orders, under_way):
                        stillborn = 0
                        yield Done(under_way.finish(report.first), report.results)
                    return
                except BrokenProcessPool as error:
                    left = under_way.close()
                    processes = dict(file.name.split(".") for file in Path(trail).iterdir())
                    begun = {c: processes[str(c.numbers[0])] for c in left if str(c.numbers[0]) in processes}
                    stillborn = 0 if begun else stillborn + 1
                    if stillborn >= STILLBORN:
                        raise InputError(
                            f"jobs: {stillborn} pools of {self.size} worker processes died before their first cell, "
                            f"the last by {_signal_of(error)}; there must be memory and permission for them"
                        ) from None
                    if begun:
                        self._report(begun, error)
                waiting = itertools.chain([chunk for chunk in left if chunk not in begun], waiting)
            yield from (Lost(chunk, 1) for chunk in begun)

    def _round(self, orders: Orders, under_way: _UnderWay) -> Iterator[Report]:
        # joblib would run a single job inside this process, which must survive it: two processes then, one at work.
        pool = Parallel(
            n_jobs=max(self.size, 2), backend="loky", return_as="generator_unordered", batch_size=1,
            pre_dispatch=self.size, max_nbytes=None,
        )  # fmt: skip
        with _deaf_to_ctrl_c():
            results: Any = pool(delayed(run_chunk)(orders, packed(chunk)) for chunk in under_way)
        try:
            yield from results
        finally:
            results.close()  # ends the processes at once where something else than the last result ended the loop

    def _report(self, begun: dict[Chunk, str], error: BaseException) -> None:
        where = ", ".join(f"{chunk} (process {process})" for chunk, process in begun.items())
        self._say(f"a worker process died, {_signal_of(error)}, during {where}")


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started meanwhile never hear Ctrl-C, which a terminal sends to all of them: it is the parent
    that ends them. Some hundredths of a second, in which the parent does not hear it either."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _UnderWay:
    """Hands out chunks, from whatever thread asks, and knows which were not finished."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._lock = threading.Lock()
        self._open: dict[int, Chunk] = {}
        self._closed = False

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        with self._lock:
            if self._closed:
                raise StopIteration
            chunk = next(self._chunks)
            self._open[chunk.numbers[0]] = chunk
            return chunk

    def finish(self, first: int) -> Chunk:
        """The chunk that begins with this cell, which is done."""
        with self._lock:
            return self._open.pop(first)

    def close(self) -> list[Chunk]:
        """Hand out no more; what was handed out and not finished."""
        with self._lock:
            self._closed = True
            return list(self._open.values())


def _signal_of(error: BaseException) -> str:
    """How it died, from joblib's report: `SIGKILL(-9)`."""
    found = re.search(r"\{([^}]+)\}", str(error))
    return found[1] if found else "for no known reason"
