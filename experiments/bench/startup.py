"""`ravine bench startup`: what a process costs before, and beside, its steps: seconds and memory, each in a process of
its own.

Seconds of wall time are what a user waits; those of processor time are what they come to on a machine that does
nothing else. The least of `REPEATS` processes counts. Compilation is told from loading by an empty folder for compiled
kernels (RAVINE_CACHE_DIR) for the first of two processes, which the second finds full.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import problems

if TYPE_CHECKING:
    from rich.table import Table

REPEATS = 3

TIERS = ("textbook", "fast")

PEAK_WORKLOADS = ("W1", "W3")

LONG_STEPS, LONG_REPLICATES, LONG_D = 1_000_000, 64, 50


@dataclass(frozen=True)
class Seconds:
    """wall, processor: of one thing, the least of `REPEATS` times each."""

    wall: float
    processor: float


@dataclass(frozen=True)
class FirstRun:
    """One run of SAM in a fresh process. kernels: `empty` or `full`, the folder of compiled kernels.

    imported: engine, problems and samplings. built: the problem and its constants. readied: a run of one step, which
    compiles the loop, or loads it. ran: `steps` steps of `replicates` replicates by the loop that is there now.
    """

    tier: str
    kernels: str
    imported: Seconds
    built: Seconds
    readied: Seconds
    ran: Seconds
    process: Seconds
    steps: int
    replicates: int


@dataclass(frozen=True)
class Peak:
    """bytes: the most memory that a process had in use. beside: bytes that something else would need, and what."""

    name: str
    bytes: int
    beside: int | None = None
    beside_what: str = ""


@dataclass(frozen=True)
class Startup:
    """commands: seconds of whole processes. imports: seconds of import statements, the interpreter's start apart."""

    commands: dict[str, Seconds]
    imports: dict[str, Seconds]
    first_runs: list[FirstRun]
    peaks: list[Peak]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        return {"unit": "seconds of wall and processor time; bytes", "repeats": REPEATS, **asdict(self)}


COMMANDS: dict[str, tuple[str, ...]] = {
    "python, nothing else": ("-c", "pass"),
    "ravine --help": ("-m", "ravine", "--help"),
    "ravine list": ("-m", "ravine", "list"),
}

IMPORTS: dict[str, tuple[str, str]] = {
    "import ravine": ("", "ravine"),
    "import numpy": ("", "numpy"),
    "import numba": ("numpy", "numba"),
    "import the engine": ("", "experiments.engine.run, experiments.engine.dispatch"),
}
"""What is imported before the clock starts, so as not to be counted, and what while it runs. The engine brings numpy
and numba with it."""

_CLOCKS = """
import json, os, sys, time
def now():
    return time.perf_counter(), time.process_time()
def since(start):
    return [a - b for a, b in zip(now(), start)]
"""

_PEAK = """
def peak():
    # On Linux a process starts from its parent's ru_maxrss; VmHWM is its own.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
"""

_FIRST_RUN = """
start = now()
import numpy as np
import experiments.engine.dispatch
from experiments.engine.run import simulate
from theory.methods.method import methods
from theory.samplings import samplings
from theory.setting import make_setting
from problems.glm import LeastSquaresProblem
imported = since(start)
start = now()
random = np.random.default_rng(0)
A = random.standard_normal((200, 50))
b = A @ random.standard_normal(50) + random.standard_normal(200)
problem = LeastSquaresProblem.from_arrays(A, b, reg=0.01)
size = 0.1 / float(problem.component_smoothness[0].max())
uniform = samplings.build("uniform", problem=problem)
setting = make_setting(problem, sampling=uniform, method=methods.build("sam"), gamma=size, rho=size)
built = since(start)
def run(steps):
    start = now()
    simulate(setting, steps=steps, replicates=16, threads=1, tier=sys.argv[1])
    return since(start)
found = {"imported": imported, "built": built, "readied": run(1), "ran": run(20_000), "steps": 20_000, "replicates": 16}
print(json.dumps(found))
"""

_WORKLOAD = """
from experiments.bench.workloads import WORKLOADS
from experiments.engine.run import simulate
work = WORKLOADS[sys.argv[1]]()
simulate(work.setting, steps=work.steps, times=work.times(work.steps), replicates=work.replicates, gradients=False)
"""

_LONG = """
import numpy as np
from experiments.engine.run import simulate
from problems.quadratics import Quadratic
from theory.setting import make_setting
steps, replicates, d = map(int, sys.argv[1:])
problem = Quadratic.with_spectrum(mu=0.1, L=1.0, d=d, basis="diagonal")
starts = np.random.default_rng(0).standard_normal((replicates, d))
simulate(make_setting(problem, gamma=0.1, rho=0.1, lam=0.5), steps=steps, replicates=replicates, starts=starts)
"""


def bench_startup(*, on_part: Callable[[str], object] = lambda name: None) -> Startup:
    """Measure all of it, some forty processes one after the other. on_part: called with the name of each finished
    part. Raises RuntimeError with what a process said that failed."""
    commands = {}
    for name, arguments in COMMANDS.items():
        commands[name] = least([_timed(arguments)[1] for _ in range(REPEATS)])
    on_part("commands")
    imports = {name: least([_import(*modules) for _ in range(REPEATS)]) for name, modules in IMPORTS.items()}
    on_part("imports")
    first_runs = []
    for tier in TIERS:
        first_runs += _first_runs(tier)
        on_part(f"the first run of the {tier} tier")
    peaks = [Peak("import ravine", peak_of("import ravine"))]
    for name in PEAK_WORKLOADS:
        peak_of(_WORKLOAD, name)  # so that the next one need not compile
        peaks.append(Peak(f"a run of {name}", peak_of(_WORKLOAD, name)))
    copies, d = str(LONG_REPLICATES), str(LONG_D)
    peak_of(_LONG, "1", copies, d)
    peaks.append(
        Peak(
            f"{LONG_STEPS} steps, default records, diagonal d={d}, R={copies}",
            peak_of(_LONG, str(LONG_STEPS), copies, d),
            8 * (LONG_STEPS + 1) * LONG_REPLICATES * LONG_D,
            "to keep every iterate",
        )
    )
    on_part("memory")
    return Startup(commands, imports, first_runs, peaks)


def peak_of(code: str, *arguments: str) -> int:
    """The most bytes that a process running this code had in use."""
    return int(_python(f"import sys\n{_PEAK}{code}\nprint(peak())", *arguments))


def least(times: Sequence[Seconds]) -> Seconds:
    """The least of each clock."""
    return Seconds(min(time.wall for time in times), min(time.processor for time in times))


def _environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's, with the folder that holds our packages on the path and one thread for BLAS."""
    root = str(Path(problems.__file__).resolve().parent.parent)
    path = os.pathsep.join(entry for entry in (root, os.environ.get("PYTHONPATH", "")) if entry)
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **one, "PYTHONPATH": path, **(extra or {})}


def _finished(arguments: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a Python process printed. Raises RuntimeError if it failed."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(environment), check=False)
    if done.returncode != 0:
        raise RuntimeError(f"a process that was to be measured ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _python(code: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    return _finished(("-c", code, *arguments), environment)


def _timed(arguments: Sequence[str], environment: dict[str, str] | None = None) -> tuple[str, Seconds]:
    """What a process printed, and what it took. Its processor time is what that of finished children has grown by."""
    before, start = os.times(), time.perf_counter()
    said = _finished(arguments, environment)
    wall, after = time.perf_counter() - start, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return said, Seconds(wall, spent)


def _import(before: str, modules: str) -> Seconds:
    first = f"import {before}\n" if before else ""
    code = f"{_CLOCKS}{first}start = now()\nimport {modules}\nprint(json.dumps(since(start)))"
    return Seconds(*json.loads(_python(code)))


def _first_runs(tier: str) -> list[FirstRun]:
    """With an empty folder of kernels, and again with what that left there."""
    found: dict[str, list[tuple[dict[str, Any], Seconds]]] = {"empty": [], "full": []}
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory(prefix="ravine-bench-") as folder:
            for kernels in found:
                said, whole = _timed(("-c", _CLOCKS + _FIRST_RUN, tier), {"RAVINE_CACHE_DIR": folder})
                found[kernels].append((json.loads(said), whole))
    runs = []
    for kernels, times in found.items():
        parts = {
            part: least([Seconds(*said[part]) for said, _ in times])
            for part in ("imported", "built", "readied", "ran")
        }  # fmt: skip
        process = least([whole for _, whole in times])
        runs.append(
            FirstRun(
                tier, kernels, **parts, process=process, steps=times[0][0]["steps"],
                replicates=times[0][0]["replicates"],
            )
        )  # fmt: skip
    return runs


# -- for a person --


def tables(found: Startup) -> list[Table]:
    """Commands and imports; the first run; memory."""
    from rich.table import Table

    waits = Table("what", title="Start-up, seconds", title_justify="left")
    for heading in ("wall", "processor"):
        waits.add_column(heading, justify="right")
    for name, seconds in {**found.commands, **found.imports}.items():
        waits.add_row(name, f"{seconds.wall:.2f}", f"{seconds.processor:.2f}")
    first = Table("tier", "kernel cache", title="First run of SAM on ridge n=200 d=50, wall seconds (processor)")
    first.title_justify = "left"
    for heading in ("import", "problem", "compile or load", "20,000 steps, R=16", "process"):
        first.add_column(heading, justify="right")
    for run in found.first_runs:
        parts = (run.imported, run.built, run.readied, run.ran, run.process)
        cells = [f"{part.wall:.2f} ({part.processor:.2f})" for part in parts]
        first.add_row(run.tier, run.kernels, *cells)
    memory = Table("process", title="Most memory in use, MB", title_justify="left")
    memory.add_column("peak", justify="right")
    memory.add_column("beside it")
    for peak in found.peaks:
        beside = "" if peak.beside is None else f"{peak.beside / 1e6:,.0f} {peak.beside_what}"
        memory.add_row(peak.name, f"{peak.bytes / 1e6:,.0f}", beside)
    return [waits, first, memory]
