"""Progress of long work: a bar with the time left on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_EVERY = 5.0
"""Seconds between plain lines."""


class Reporter:
    """Takes the finished share of a known total and shows it."""

    def __init__(self, label: str, bar: Progress | None) -> None:
        self._label = label
        self._bar = bar
        self._task = bar.add_task(label, total=None) if bar is not None else None
        self._started = self._last = time.monotonic()
        self.total = 0.0
        self.done = 0.0

    def expect(self, total: float) -> None:
        """Set the total."""
        self.total = total
        self.show(self.done)

    def show(self, done: float, note: str = "") -> None:
        """Say how much is done."""
        self.done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=self.total or None, description=note or self._label)
            return
        now = time.monotonic()
        if now - self._last >= PLAIN_EVERY and self.total > 0 and done > 0:
            self._last = now
            left = (now - self._started) * (self.total / done - 1)
            print(f"{self._label}: {done / self.total:.0%}, about {left:.0f} s left", file=sys.stderr, flush=True)


@contextmanager
def reporting(label: str) -> Iterator[Reporter]:
    """A reporter for the duration of some work."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Reporter(label, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        yield Reporter(label, bar)


@contextmanager
def watching(reporter: Reporter, done: Callable[[], float], every: float = 0.2) -> Iterator[None]:
    """Poll `done` from a thread and show it, while compiled code runs."""
    finished = threading.Event()

    def poll() -> None:
        while not finished.wait(every):
            reporter.show(done())

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
