"""Run a sweep: what the store does not have yet is computed in chunks, and kept as it is finished."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from experiments.store import Store

from .cell import DIED, OK, Cell, with_files
from .spec import Sweep
from .work import Chunk, Done, Pool, Results

CLAIM, ROUTE = "sweep", "cell"
"""The claim and the route under which the store keeps a cell; its key is the instance."""

CHUNK_SECONDS = 1.0
"""What a chunk should take: a thousand times what it costs to send one, and no more is lost with a worker."""

MOST_IN_CHUNK = 500

TRIES = 3
"""Workers that may die with a cell before it is given up; the first may have been running others beside it."""

Row = dict[str, Any]


def run_sweep(
    sweep: Sweep,
    pool: Pool,
    *,
    store: Store | None = None,
    resume: bool = False,
    on_plan: Callable[[int], None] | None = None,
    on_done: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Row]:
    """The result of every cell, in the order of their numbers: columns by name, among them `status` and `reason`.

    The results depend on the sweep alone, not on the pool nor on what dies in it. store: takes every result as soon as
    its chunk is finished. resume: cells that the store has are not run again, but for those whose worker died.
    on_plan(cells to run), on_done(cells finished so far) and say(sentence) inform the user.
    Raises InputError when a worker runs other code, or the pool or the store is lost.
    """
    rows: list[Row | None] = [None] * len(sweep)
    if store is not None and resume:
        for number in range(len(sweep)):
            rows[number] = _recalled(store, with_files(sweep.cell(number)))
    left = sum(row is None for row in rows)
    finished = 0
    if on_plan is not None:
        on_plan(left)

    def keep(chunk: Chunk, results: Results) -> None:
        nonlocal finished
        if store is not None:
            store.put_all(
                (CLAIM, cell.key, ROUTE, row, seconds)
                for cell, (row, seconds) in zip(chunk.cells, results, strict=True)
            )
        for number, (row, _) in zip(chunk.numbers, results, strict=True):
            rows[number] = row
        finished += len(chunk.numbers)
        # The first few wait for imports and compilation; an estimate from them would frighten.
        if on_done is not None and finished >= left // 200:
            on_done(finished)

    chunks = _Chunks(sweep, (number for number, row in enumerate(rows) if row is None), left, pool.size)
    lost = []
    for outcome in pool.run(iter(chunks)):
        if isinstance(outcome, Done):
            chunks.learn(outcome.results)
            keep(outcome.chunk, outcome.results)
        else:
            lost.append(outcome.chunk)
    if lost and say is not None:
        say(f"{sum(len(chunk.cells) for chunk in lost)} cells whose worker died are tried again, one by one")
    for chunk in lost:
        for single in _singles(chunk):
            keep(single, _alone(single, pool, say))
    whole = [row for row in rows if row is not None]
    assert len(whole) == len(rows), "every chunk that a pool takes is reported as done or lost"
    return whole


def _recalled(store: Store, cell: Cell) -> Row | None:
    row = store.get(CLAIM, cell.key, ROUTE)
    # Why a worker died may lie outside the cell (memory, an impatient administrator), so it gets another chance.
    return None if row is None or row["status"] == DIED else row


def _singles(chunk: Chunk) -> Iterator[Chunk]:
    for number, cell in zip(chunk.numbers, chunk.cells, strict=True):
        yield Chunk((number,), (cell,))


def _alone(chunk: Chunk, pool: Pool, say: Callable[[str], None] | None) -> Results:
    """The result of one cell that a worker died with, nothing else running beside it, so that a death is its own."""
    deaths = 1
    while deaths < TRIES:
        (outcome,) = pool.run(iter([chunk]))
        if isinstance(outcome, Done):
            return outcome.results
        deaths += outcome.deaths
    if say is not None:
        say(f"{chunk} is given up: {deaths} workers died with it, the later ones with nothing beside it")
    # Without the number, which depends on the pool.
    return [({"status": DIED, "reason": "every worker that ran this cell died, also with nothing beside it"}, 0.0)]


class _Chunks:
    """Cuts the missing cells into chunks of about CHUNK_SECONDS, from what the last one took; the results do not
    depend on the cuts."""

    def __init__(self, sweep: Sweep, missing: Iterator[int], left: int, workers: int) -> None:
        self._sweep = sweep
        self._missing = missing
        self._left = left
        self._workers = workers
        self._size = 1

    def learn(self, results: Results) -> None:
        """Set the size of the chunks to come."""
        mean = sum(seconds for _, seconds in results) / len(results)
        self._size = max(1, min(MOST_IN_CHUNK, int(CHUNK_SECONDS / max(mean, 1e-9))))

    def __iter__(self) -> Iterator[Chunk]:
        while self._left:
            # Towards the end smaller ones, so that no worker is left with a long one.
            size = max(1, min(self._size, self._left // (2 * self._workers)))
            numbers = tuple(itertools.islice(self._missing, size))
            self._left -= len(numbers)
            yield Chunk(numbers, tuple(with_files(self._sweep.cell(number)) for number in numbers))


def failures(rows: list[Row]) -> list[tuple[int, str]]:
    """Number and reason of every cell that did not run."""
    return [(number, f"{row['status']}: {row['reason']}") for number, row in enumerate(rows) if row["status"] != OK]
