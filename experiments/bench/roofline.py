"""The roofline: what one core of this machine can multiply and read, measured on the spot, and the steps that allows.

Two kinds of numbers meet here. Measured: fused multiply-adds a second on registers, and bytes read a second from data
that fits in each cache level and from memory. Derived (`WORK`): how many multiplications and bytes one iteration of one
replicate takes by an algebra. Their quotient is a limit that no loop of that algebra can pass; it is not a rate that
one must reach, because random draws, exponentials, roots, divisions and the time that a random row takes to arrive
are not counted.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from problems.errors import InputError
from problems.problem import Vector
from problems.scratch import aligned

from . import yardstick

if TYPE_CHECKING:
    from .kernels import Row

LEVELS = {"L1": 24 * 2**10, "L2": 400 * 2**10, "L3": 8 * 2**20, "DRAM": 256 * 2**20}
"""Bytes read again and again at each level: less than common caches of that level hold, more than the one before."""

REPEATS = 7
"""Turns of each measurement, the best of which counts: a busy machine only ever makes them slower."""


@dataclass(frozen=True)
class Traffic:
    """bytes: read in one iteration of one replicate out of data of `footprint` bytes, which says where that lies.

    Reads alone: stores have their own way to the cache, and the bandwidth measured is that of reads.
    """

    footprint: float
    bytes: float


@dataclass(frozen=True)
class Work:
    """What one iteration of one replicate takes at least by one algebra.

    slots: multiplications and fused multiply-adds, each of which takes one lane of the multiplying units, whose number
    `multiply_add` measures; additions alone may run elsewhere and are left out. flops: all additions and
    multiplications, two in a fused one. reason: where the numbers come from.
    """

    title: str
    slots: float
    flops: float
    traffic: tuple[Traffic, ...]
    reason: str


def _one_row(n: int, d: int) -> Work:
    """x-space, one sampled row a step."""
    return Work(
        f"one row a step in x-space, n={n} d={d}",
        slots=4 * d,
        flops=7 * d,
        traffic=(Traffic(24 * d, 24 * d), Traffic(8 * n * d, 8 * d)),
        reason="one pass w = c x_j + e a_j, z += w a'_j: a product and two fused multiply-adds a coordinate (5 flops); "
        "f - f* every n steps is n dot products, one more multiply-add a coordinate and step. Reads: x, the old row "
        "and the new one from the nearest cache, 3 x 8 bytes a coordinate, and the new row once from where A lies.",
    )


def _gram(n: int) -> Work:
    return Work(
        f"one row of the Gram matrix a step, n={n}",
        slots=2 * n + 3,
        flops=3 * n + 5,
        traffic=(Traffic(16 * n, 16 * n), Traffic(8 * n * n, 8 * n)),
        reason="z_i = c z_i + e G_ki: a product and a fused multiply-add a row (3 flops); f - f* every n steps takes "
        "3 of them for each entry of z, so 3 a step. Reads: z and the row of G from the nearest cache, and that row "
        "once from where G lies.",
    )


def _minibatch(n: int, d: int, tau: int) -> Work:
    return Work(
        f"tau={tau} rows a step, n={n} d={d}",
        slots=4 * tau * d + 6 * d,
        flops=8 * tau * d + 10 * d,
        traffic=(Traffic(8 * d * (tau + 3), 40 * tau * d), Traffic(8 * n * d, 8 * tau * d)),
        reason="two gradients, each of tau dot products and tau axpys, one fused multiply-add a coordinate; beside "
        "them the regulariser twice, ||g||^2, both steps and, every n steps, f - f*: six a coordinate. Reads: four "
        "rows a pass and one vector, 5/4 x 8 bytes a coordinate and row, in each of 4 passes over tau rows, and the "
        "rows once from where A lies.",
    )


def _eigenbasis(d: int) -> Work:
    return Work(
        f"quadratic in its eigenbasis, one start, d={d}",
        slots=5 * d,
        flops=8 * d,
        traffic=(Traffic(16 * d, 16 * d),),
        reason="with numbers p = gamma, q = gamma s of the step: q h + p, 1 - h (..), x (..), g = h x, sum += g g: two "
        "products and three fused multiply-adds a coordinate, reading h and x. (Prepared gamma h and gamma h^2 would "
        "save one and read twice as much.)",
    )


def _side_by_side(d: int) -> Work:
    return Work(
        f"diagonal quadratic, many starts side by side, d={d}",
        slots=4 * d,
        flops=6 * d,
        traffic=(Traffic(8 * d, 8 * d),),
        reason="as in the eigenbasis, but what depends on h alone is shared by all starts: p - q s, x (..), g = h x, "
        "sum += g g: two products and two fused multiply-adds a coordinate, reading x.",
    )


def _dense(d: int) -> Work:
    return Work(
        f"quadratic as on paper, d={d}",
        slots=2 * d * d,
        flops=4 * d * d,
        traffic=(Traffic(8 * d * d, 16 * d * d),),
        reason="two products with H, one fused multiply-add and 8 bytes an entry each.",
    )


WORK: dict[str, Work] = {
    "W1": _one_row(100, 100),
    "W1 Gram": _gram(100),
    "W2": _one_row(1_000, 1_000),
    "W2 Gram": _gram(1_000),
    "W3": _one_row(10_000, 50),
    "W4a eigenbasis": _eigenbasis(1_000),
    "W4a dense": _dense(1_000),
    "W4b": _side_by_side(50),
    "W5": _minibatch(10_000, 50, 16),
}
"""By workload, and by algebra where it has two."""

_ALGEBRA: dict[str, dict[str, str]] = {
    **{
        name: {"fast": f"{name} Gram", "C Gram": f"{name} Gram", "fast, x-space": name, "C": name,
               "JAX, closed form": name}
        for name in ("W1", "W2")
    },
    "W3": dict.fromkeys(("fast", "C", "JAX, closed form"), "W3"),
    "W4a": {
        **dict.fromkeys(("fast", "C", "JAX, eigenbasis"), "W4a eigenbasis"),
        **dict.fromkeys(("textbook", "C dense", "NumPy"), "W4a dense"),
    },
    "W4b": dict.fromkeys(("fast", "C", "JAX"), "W4b"),
    "W5": dict.fromkeys(("fast", "C", "JAX"), "W5"),
}  # fmt: skip
"""The algebra of each way of `kernels`. Ways that make more than it counts, such as the textbook tier, have none."""


def algebra(workload: str, way: str) -> str | None:
    """The key of `WORK` for a way of a workload of `ravine bench kernels`; None for ways without one."""
    return _ALGEBRA.get(workload, {}).get(way.removesuffix(" 512"))


def work_of(name: str) -> Work:
    """What one iteration of one replicate takes. Raises InputError for a name that is not in `WORK`."""
    if name not in WORK:
        raise InputError(f"workload must be one of {', '.join(WORK)}, got {name!r}")
    return WORK[name]


@dataclass(frozen=True)
class Bound:
    """rate: iterations x replicates per second that one core can make at most. by: what sets it: `multiply-adds`, or
    the level that is read from."""

    rate: float
    by: str


@dataclass(frozen=True)
class Roofline:
    """One core of this machine.

    flops: floating-point operations per second in fused multiply-adds. bandwidth: bytes per second read at each of
    `LEVELS`. measured_by: C, with the compiler, or numba, with the reason.
    """

    flops: float
    bandwidth: dict[str, float]
    measured_by: str

    def level(self, footprint: float) -> str:
        """The level in which so many bytes lie."""
        return next((name for name, size in LEVELS.items() if footprint <= size), "DRAM")

    def bound(self, name: str) -> Bound:
        """The limit of an algebra of `WORK`: the least of what multiplying and reading allow. Raises InputError for
        another name."""
        work = work_of(name)
        bounds = [Bound(self.flops / 2 / work.slots, "multiply-adds")]
        for part in work.traffic:
            level = self.level(part.footprint)
            bounds.append(Bound(self.bandwidth[level] / part.bytes, f"reading {level}"))
        return min(bounds, key=lambda bound: bound.rate)

    def limit(self, workload: str, way: str) -> float | None:
        """Iterations x replicates per second that a way of a workload of `ravine bench kernels` can make at most; None
        where it has no algebra here."""
        name = algebra(workload, way)
        return None if name is None else self.bound(name).rate

    def as_json(self) -> dict[str, Any]:
        """`flops` and `bandwidth` per second, `measured_by`, and for each name of `WORK` its numbers and its limit."""
        return {
            "unit": "operations and bytes per second of one core; limits in iterations x replicates per second",
            "flops": self.flops,
            "bandwidth": dict(self.bandwidth),
            "sizes": dict(LEVELS),
            "measured_by": self.measured_by,
            "limits": {
                name: {
                    **asdict(work), "traffic": [asdict(part) for part in work.traffic],
                    "limit": self.bound(name).rate, "limited_by": self.bound(name).by,
                }
                for name, work in WORK.items()
            },
        }  # fmt: skip

    def lines(self) -> list[str]:
        """What was measured and what it allows, for a person."""
        reads = ", ".join(f"{name} {self.bandwidth[name] / 1e9:.3g}" for name in LEVELS)
        sizes = ", ".join(_size(size) for size in LEVELS.values())
        limits = "; ".join(f"{name} {_rate(self.bound(name).rate)}, {self.bound(name).by}" for name in WORK)
        return [
            f"one core: {self.flops / 1e9:.3g} GFLOP/s in fused multiply-adds; reads in GB/s: {reads} ({sizes}); "
            f"measured by {self.measured_by}",
            f"at most, per second, and what sets it: {limits}",
        ]


def shares(rows: list[Row], roofline: Roofline) -> dict[str, dict[str, float]]:
    """The share of the limit that the best rate of each way reached, by workload and way; ways without one left out."""
    return {
        row.workload.name: {
            way: found.best / limit
            for way, found in row.results.items()
            if (limit := roofline.limit(row.workload.name, way)) is not None
        }
        for row in rows
    }


def measure() -> Roofline:
    """Measure this machine, about a second and 256 MiB: by C in each vector width where there is a compiler, else by
    numba; the best counts."""
    made = yardstick.compiled()
    if isinstance(made, str):
        return _measure(_by_numba(), f"numba ({made})")
    return _measure([_by_c(library) for library in made.libraries], f"C ({made.compiler})")


MultiplyAdd = Callable[[int], object]
"""Makes so many fused multiply-adds, a multiple of 960 and of 1536."""

Read = Callable[[Vector, int], object]
"""Reads an array so many times."""

_MULTIPLY_ADDS = 960 * 1536 * 128
_BYTES = 2**30


def _measure(ways: list[tuple[MultiplyAdd, Read]], measured_by: str) -> Roofline:
    flops = max(2 * _MULTIPLY_ADDS / _best(partial(add, _MULTIPLY_ADDS)) for add, _ in ways)
    bandwidth = {}
    for name, size in LEVELS.items():
        block = _ones(size // 8)
        times = max(_BYTES // size // (8 if name == "DRAM" else 1), 1)
        bandwidth[name] = max(size * times / _best(partial(read, block, times)) for _, read in ways)
    return Roofline(flops, bandwidth, measured_by)


def _best(call: Callable[[], object]) -> float:
    """The least seconds of processor time."""
    call()
    spent = math.inf
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        spent = min(spent, time.process_time() - start)
    return spent


def _ones(size: int) -> Vector:
    """Ones that start on a cache line: a read that straddles two takes twice as long."""
    room = aligned(size)
    room[:] = 1.0
    return room


def _by_c(library: Any) -> tuple[MultiplyAdd, Read]:
    def add(count: int) -> object:
        return yardstick.call(library, "multiply_add", count // 960, result=ctypes.c_double)

    def read(block: Vector, times: int) -> object:
        return yardstick.call(library, "read_memory", block, len(block), times, result=ctypes.c_double)

    return add, read


def _multiply_add(a: Any, factor: float, term: float, steps: int) -> None:
    """steps x 8 fused multiply-adds on each entry of a: eight for each load and store, so that these do not count."""
    for _ in range(steps):
        for j in range(a.shape[0]):
            v = a[j]
            for _ in range(8):
                v = v * factor + term
            a[j] = v


def _read_memory(a: Any, times: int) -> float:
    """The sum of a, `times` times over."""
    total = 0.0
    for t in range(times):
        part = 0.0
        for j in range(a.shape[0]):
            part += a[j]
        total += part * (1.0 + 1e-9 * t)  # so that no pass is like the last
    return total


def _by_numba() -> list[tuple[MultiplyAdd, Read]]:
    from experiments.engine.dispatch import compile_like_the_loop

    multiply, read = compile_like_the_loop(_multiply_add), compile_like_the_loop(_read_memory)
    block = _ones(192)

    def add(count: int) -> object:
        # Factor and term are arguments: the compiler would multiply out constants.
        return multiply(block, 0.999, 0.001, count // 1536)

    return [(add, read)]


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 2**20 else f"{size >> 10} KiB"


def _rate(rate: float) -> str:
    return f"{rate / 1e6:.3g} M" if rate >= 1e5 else f"{rate / 1e3:.3g} k"
