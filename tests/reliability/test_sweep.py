"""Sweeps survive: workers that are killed, cells that end their process, a killed parent, Ctrl-C, absent extras."""

from __future__ import annotations

import io
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from experiments.sweep import cluster, processes
from experiments.sweep.cell import run_cell
from experiments.sweep.processes import Processes
from experiments.sweep.run import run_sweep
from experiments.sweep.spec import sweep_of
from experiments.sweep.table import columns_of, write_csv
from experiments.sweep.work import Chunk, Done, Lost, Orders
from problems.errors import InputError
from ravine.cli import run_command

ROOT = Path(__file__).resolve().parents[2]

PLUGIN = '''
"""Problems that are slow to make, wait to be killed, or go wrong."""
import os
import time
from pathlib import Path

from problems.problem import problems
from problems.quadratics import Quadratic


@problems.register("troubled")
def troubled(kind: str, mu: float = 0.1) -> Quadratic:
    if kind == "raises":
        raise OSError("no such\\nproblem")
    if kind == "exits":
        os._exit(7)
    order = Path(__file__).with_name(f"wait.{round((mu - 0.1) / 0.4 * 19)}")
    if order.exists():
        order.rename(order.with_name(f"waiting.{os.getpid()}"))  # once: who tries again does not wait
        time.sleep(100)
    time.sleep(0.2)
    # Large enough for linear algebra to use several threads, which must not show in the bits.
    return Quadratic.with_spectrum(mu=mu, L=1.0, d=150)
'''

SLOW = """
steps = 50
[variables]
mu = { from = 0.1, to = 0.5, count = 20 }
[axes]
problem = "troubled:kind=slow,mu={mu}"
method = "sam"
gamma = 0.5
rho = 0.1
"""

POISONED = """
steps = 50
[axes]
problem = ["troubled:kind=slow", "troubled:kind=raises", "troubled:kind=exits", "quadratic:d=3,mu=0.1,L=1"]
method = "sam"
gamma = 0.1
rho = 0.1
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "slow.toml").write_text(SLOW)
    (tmp_path / "poisoned.toml").write_text(POISONED)
    return tmp_path


HEARING = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.executable, [sys.executable, '-m', 'ravine', *sys.argv[1:]])"
)
"""What is started in the background ignores Ctrl-C, and so do its children: this becomes a process that hears it."""


def started(place: Path, spec: str, *options: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HEARING, "sweep", str(place / spec), "--plugin", str(place / "plugin.py"), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        words, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str], code: int) -> str:
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == code, printed
    assert "Traceback" not in printed, printed
    return printed


def rows_in(store: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not made yet


def workers_of(parent: int) -> list[int]:
    """Its child processes that compute: not the helpers that keep track of shared resources."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes()
            ours = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent
        except (OSError, ValueError, IndexError):
            continue
        if ours and (b"LokyProcess" in words or b"spawn_main" in words):
            found.append(int(folder.name))
    return found


def waiting(process: subprocess.Popen[str], place: Path) -> int:
    """The worker in which the cell is that was ordered to wait."""
    deadline = time.monotonic() + 60
    while True:
        for file in place.glob("waiting.*"):
            file.unlink()
            return int(file.suffix[1:])
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


class Here:
    """No pool at all: the cells one after the other in this process."""

    size = 1

    def run(self, chunks: Iterator[Chunk]) -> Iterator[Done | Lost]:
        for chunk in chunks:
            yield Done(chunk, [(run_cell(cell), 0.0) for cell in chunk.cells])


@pytest.fixture(scope="module")
def expected() -> bytes:
    """The table of the slow sweep by this process alone, from the same function under its own name."""
    grid = sweep_of(tomllib.loads(SLOW.replace("troubled:kind=slow", "quadratic:d=150,L=1")))
    with threadpool_limits(1, user_api="blas"):
        rows = run_sweep(grid, Here())
    stream = io.BytesIO()
    write_csv(columns_of(grid, rows), stream)
    table = stream.getvalue().replace(b"quadratic:d=150,L=1", b"troubled:kind=slow")
    assert table.count(b",ok,") == 20
    return table


OPTIONS = ("slow.toml", "--out", "x.csv", "--store", "x.db", "--resume")


CELL_12 = "(cell 12|cells 1[0-2] to 1[2-4])"
"""With others of its chunk, depending on how fast the machine is."""


def killed_worker_changes_nothing(place: Path, expected: bytes, *pool: str) -> tuple[int, str]:
    """Resume, kill a worker in the midst of cell 12, and compare the table; which it was, and what was printed."""
    assert not (place / "x.csv").exists(), "no half table"
    before = rows_in(place / "x.db")
    assert 3 <= before < 20
    (place / "wait.12").touch()
    process = started(place, *OPTIONS, *pool)
    victim = waiting(process, place)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    assert victim in workers
    os.kill(victim, signal.SIGKILL)
    printed = finished(process, 0)
    assert "20 cells; 20 contracted; 0 diverged; 0 failed" in printed
    assert "cells whose worker died are tried again" in printed
    assert (place / "x.csv").read_bytes() == expected
    assert rows_in(place / "x.db") == 20
    assert gone(workers)
    return victim, printed


def disturbed(place: Path, *pool: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A sweep whose cell 4 waits, with three cells kept, and its workers."""
    (place / "wait.4").touch()
    process = started(place, *OPTIONS, *pool)
    waiting(process, place)
    deadline = time.monotonic() + 60
    while rows_in(place / "x.db") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    return process, workers


def test_after_ctrl_c_processes_take_it_up_though_one_is_killed(place: Path, expected: bytes) -> None:
    process, workers = disturbed(place, "--jobs", "1")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to every process
    printed = finished(process, 130)
    assert "interrupted; what was finished is in x.db, --resume takes it up" in printed
    assert gone(workers)
    victim, printed = killed_worker_changes_nothing(place, expected, "--jobs", "2")
    # joblib tells how one died, not which: all that were computing are named.
    assert re.search(rf"a worker process died, SIGKILL\(-9\), during .*{CELL_12} \(process {victim}\)", printed)


def test_after_the_parent_is_killed_dask_takes_it_up_though_a_worker_is_killed(place: Path, expected: bytes) -> None:
    process, workers = disturbed(place, "--jobs", "2")
    process.kill()
    process.communicate(timeout=30)  # ends when the workers have let go of the pipe
    assert gone(workers), "workers outlive their parent"
    _, printed = killed_worker_changes_nothing(place, expected, "--dask", "local", "--workers", "2")
    assert re.search(rf"the worker at tcp://127\.0\.0\.1:\d+ died during {CELL_12}", printed)


def test_poisoned_cells_are_rows_and_the_rest_goes_on(place: Path) -> None:
    printed = finished(started(place, "poisoned.toml", "--jobs", "2", "--out", "x.csv"), 3)
    slow, raises, exits, plain = (place / "x.csv").read_text().splitlines()[1:]
    assert ",ok," in slow
    assert ",ok," in plain
    assert ",failed,OSError: no such problem," in raises
    assert ',worker died,"every worker that ran this cell died, also with nothing beside it",' in exits
    assert "4 cells; 2 contracted; 0 diverged; 2 failed" in printed
    assert "cell 1 failed: OSError: no such problem" in printed
    assert "cell 2 is given up: 3 workers died with it" in printed
    assert "cell 2 worker died: every worker" in printed
    assert "EXIT(7)" in printed


def test_ctrl_c_while_workers_start_is_one_line(place: Path) -> None:
    process = started(place, "slow.toml", "--jobs", "2", "--out", "x.csv")
    deadline = time.monotonic() + 60
    while not workers_of(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.15)  # in the middle of their imports
    os.killpg(process.pid, signal.SIGINT)
    assert finished(process, 130).count("\n") == 2


def test_workers_have_one_thread_for_linear_algebra() -> None:
    code = """
from threadpoolctl import threadpool_info
from experiments.store import code_fingerprint
from experiments.sweep.work import Chunk, Orders, packed, run_chunk
run_chunk(Orders(code_fingerprint()), packed(Chunk((0,), ())))
print({library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"})
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "{1}\n"


# -- pools that cannot be had --


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run_command(["sweep", *words]) == 2
    message = capsys.readouterr().err
    assert message.startswith("ravine: ")
    assert message.count("\n") == 1
    return message


def test_absent_extras_are_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.chdir(place)
    (place / "plain.toml").write_text(SLOW.replace("troubled:kind=slow", "quadratic:d=2,L=1"))
    assert "needs the extra 'dask'" in refusal(capsys, "plain.toml", "--out", "x.csv", "--dask", "local")
    assert "needs the extra 'parquet'" in refusal(capsys, "plain.toml", "--out", "x.parquet")
    assert not list(place.glob("x.*"))


@pytest.mark.parametrize(
    ("address", "clause"),
    [("tcp://127.0.0.1:9", "no Dask scheduler answers there"), ("localhost", "it must read tcp://HOST:PORT")],
)
def test_a_scheduler_that_does_not_answer_is_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str, clause: str
) -> None:
    monkeypatch.setattr(cluster, "CONNECTING", 0.3)
    monkeypatch.chdir(place)
    (place / "plain.toml").write_text(SLOW.replace("troubled:kind=slow", "quadratic:d=2,L=1"))
    message = refusal(capsys, "plain.toml", "--out", "x.csv", "--dask", address)
    assert f"got {address!r}: {clause}" in message
    assert not (place / "x.csv").exists()


def test_workers_that_cannot_begin_or_run_other_code_stop_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = sweep_of({"steps": 5, "axes": {"problem": "quadratic:d=2,mu=1,L=1", "method": "sam", "gamma": 0.1}})
    with pytest.raises(InputError, match="runs code with the fingerprint"):
        run_sweep(grid, Processes(Orders("0" * 16), 1, print))
    # Ends while its orders are being read, so before it can leave a trace.
    monkeypatch.setattr(processes, "run_chunk", Deadly())
    with pytest.raises(InputError, match="jobs: 3 pools of 1 worker processes died before their first cell"):
        run_sweep(grid, Processes(Orders("0" * 16), 1, print))


class Deadly:
    """Ends the process that unpickles it."""

    def __call__(self, *arguments: object) -> None: ...

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (9,)
