"""A Dask cluster: one that runs already, or one of local processes."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any

from problems.errors import InputError

from .work import Chunk, Done, Lost, Orders, Report, packed, run_chunk

LOCAL = "local"
"""The address that stands for a cluster made for this sweep."""

IGNORE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""Done by each worker of a cluster of ours: Ctrl-C reaches every process of the terminal, but is for the parent."""

OURS = {
    # The first death of a worker is reported, and its cells are tried again alone.
    "distributed.scheduler.allowed-failures": 0,
    # A worker that is just being restarted this long after some earlier death would be dropped for good.
    "distributed.deploy.lost-worker-timeout": "1 day",
}
"""How a cluster of ours differs from Dask's defaults."""

CONNECTING = 8.0
"""Seconds in which a scheduler must answer and show its first worker."""

ABANDONED = 60.0
"""Seconds without any worker after which a sweep gives up: longer than a worker takes to be restarted."""

GLANCE = 2.0
"""Seconds between two looks at which workers are there."""

AHEAD = 2
"""Chunks under way for each thread of the cluster, so that none waits for the parent."""


class Cluster(AbstractContextManager["Cluster"]):
    """Workers of a Dask cluster; a context manager. address: tcp://HOST:PORT, or `local` for `workers` processes.

    Raises InputError when Dask is not installed, nothing answers at the address within about ten seconds, or a worker
    runs other code.
    """

    def __init__(self, orders: Orders, address: str, workers: int | None, say: Callable[[str], None]) -> None:
        self._distributed = _library(address)
        self._orders = orders
        self._address = address
        self._say = say
        self._closing = ExitStack()
        try:
            self._client = self._closing.enter_context(self._connect(workers))
            self.size = self._threads()
            self._deaths = 1 + int(self._client.run_on_scheduler(_allowed_failures))
            self._check_code()
        except BaseException:
            self._closing.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def _connect(self, workers: int | None) -> Any:
        import dask

        if self._address == LOCAL:
            self._closing.enter_context(dask.config.set(OURS))
            cluster = self._distributed.LocalCluster(
                n_workers=workers or os.cpu_count() or 1, threads_per_worker=1, processes=True,
                dashboard_address=":0", silence_logs=logging.CRITICAL, preload=IGNORE_CTRL_C,
            )  # fmt: skip
            return self._distributed.Client(self._closing.enter_context(cluster), set_as_default=False)
        if not re.fullmatch(r"(tcp|tls|ws|wss)://\S+:\d+", self._address):
            raise _wrong_address(self._address, "it must read tcp://HOST:PORT")
        try:
            asyncio.run(_knock(self._distributed, self._address))
        except Exception as error:
            # Whatever it is: something else than a scheduler may answer there, with anything.
            known = isinstance(error, OSError | TimeoutError)
            words = "" if known else f" ({type(error).__name__}: {' '.join(str(error).split())})"
            raise _wrong_address(self._address, f"no Dask scheduler answers there{words}") from None
        return self._distributed.Client(self._address, timeout=CONNECTING, set_as_default=False)

    def _workers(self) -> dict[str, Any]:
        return dict(self._client.scheduler_info(n_workers=-1)["workers"])

    def _threads(self) -> int:
        deadline = time.monotonic() + CONNECTING
        while not (workers := self._workers()):
            if time.monotonic() > deadline:
                raise InputError(f"dask {self._address!r} has no workers; start some with dask worker {self._address}")
            time.sleep(0.1)
        return sum(int(worker["nthreads"]) for worker in workers.values())

    def _check_code(self) -> None:
        """Ask every worker that is there now for its code; one that comes later is asked with its first chunk."""
        nothing = Chunk((0,), ())
        self._client.run(run_chunk, self._orders, packed(nothing))

    def run(self, chunks: Iterator[Chunk]) -> Iterator[Done | Lost]:
        """Compute the chunks of an iterator, taken as needed; a Done or a Lost for each, in any order."""
        under_way: dict[Any, Chunk] = {}
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        watch = _Watch(self._workers, self._say, self._address)
        try:
            while True:
                while len(under_way) < AHEAD * self.size and (chunk := next(chunks, None)) is not None:
                    future = self._client.submit(run_chunk, self._orders, packed(chunk), pure=False)
                    under_way[future] = chunk
                    future.add_done_callback(ended.put)
                if not under_way:
                    return
                try:
                    future = ended.get(timeout=GLANCE)
                    yield self._outcome(future, under_way.pop(future), watch)
                except queue.Empty:
                    pass
                watch.look()
        finally:
            self._client.cancel(list(under_way))

    def _outcome(self, future: Any, chunk: Chunk, watch: _Watch) -> Done | Lost:
        from asyncio import CancelledError as Cancelled
        from concurrent.futures import CancelledError

        try:
            report: Report = future.result()
            return Done(chunk, report.results)
        except self._distributed.KilledWorker as error:
            self._say(f"the worker at {error.last_worker.address} died during {chunk}")
            watch.forget(error.last_worker.address)
            return Lost(chunk, self._deaths)
        except (Cancelled, CancelledError):
            raise InputError(
                f"dask {self._address!r} lost its scheduler; with --store and --resume a new one takes up what is left"
            ) from None


def _library(address: str) -> Any:
    try:
        import distributed.comm
    except ImportError:
        raise InputError(
            f"dask {address!r} needs the extra 'dask', which is not installed; pip install 'ravine[dask]'"
        ) from None
    # What it logs is said here in a sentence; its tracebacks would only bury that.
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


async def _knock(library: Any, address: str) -> None:
    """Shake hands with a scheduler: a Client that fails to do so lingers for long."""
    comm = await library.comm.connect(address, timeout=CONNECTING)
    await comm.close()


def _wrong_address(address: str, clause: str) -> InputError:
    return InputError(f"dask must be 'local' or the address of a running scheduler, got {address!r}: {clause}")


def _allowed_failures(dask_scheduler: Any) -> int:
    return int(dask_scheduler.allowed_failures)


class _Watch:
    """Names workers that left, and gives up when none has been there for long."""

    def __init__(self, workers: Callable[[], dict[str, Any]], say: Callable[[str], None], address: str) -> None:
        self._workers = workers
        self._say = say
        self._address = address
        self._known = dict.fromkeys(workers())
        self._looked = self._seen = time.monotonic()

    def forget(self, worker: str) -> None:
        """This worker has been named already."""
        self._known.pop(worker, None)

    def look(self) -> None:
        now = time.monotonic()
        if now - self._looked < GLANCE:
            return
        self._looked = now
        here = self._workers()
        for gone in [worker for worker in self._known if worker not in here]:
            del self._known[gone]
            self._say(f"the worker at {gone} has left; what it had begun is computed by another")
        self._known |= dict.fromkeys(here)
        if here:
            self._seen = now
        elif now - self._seen > ABANDONED:
            raise InputError(
                f"dask {self._address!r} has had no worker for {ABANDONED:.0f} seconds; what was finished is kept in "
                "the store, if one was named"
            )
