"""How each way runs a share of the copies: its loop, its scratch, and what goes in and out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems.kernel import linear, scratch, stride
from problems.linear_models import Blocked, blocked
from problems.problem import Vector
from problems.scratch import aligned, apart
from theory.samplings import FULL, TAU_NICE, SamplingData
from theory.setting import Setting

from .diagonal import WIDTH, diagonal_steps
from .gram import gram_steps
from .lockstep import LANES, SLOTS, lockstep
from .tier import Way, as_single, gram_matrix, row_space, row_squares

Record = NDArray[np.float64]
Advance = Callable[[slice, int, int, bool, list[Vector], NDArray[np.int64]], None]
"""(copies, first step, end, whether no step follows, schedule values, control)."""


@dataclass(frozen=True)
class Book:
    """What the copies of one run share, R of them with K record times each; a way writes to the rows it is given.

    numbers (R,): which random streams. x (R, d), times (R, K), gaps, norms, sums, points, state, running: as in
    `loop.advance`. sizes (R, 2): numbers that a way keeps between two calls, NaN at the start of a stage.
    """

    numbers: NDArray[np.int64]
    x: Record
    times: NDArray[np.int64]
    gaps: Record
    norms: Record
    sums: Record
    points: Record
    state: NDArray[np.int64]
    running: Vector
    sizes: Record
    seed: np.uint64


def width(way: Way) -> int:
    """How many copies are worth keeping in one share."""
    return {Way.LOCKSTEP: LANES, Way.GRAM: LANES, Way.DIAGONAL: WIDTH}.get(way, 1)


def prepare(way: Way, setting: Setting, drawn: SamplingData, book: Book, end: int) -> Callable[[], Advance]:
    """A maker of workers: each call of it gives one thread's `Advance`, with scratch of its own. end: of the stage."""
    if way is Way.LOCKSTEP:
        return _lockstep(setting, as_single(drawn), book)
    if way is Way.GRAM:
        return _gram(setting, as_single(drawn), book, end)
    if way is Way.DIAGONAL:
        return _diagonal(setting, book)
    return _one_by_one(setting, drawn, book, rows=way is Way.BLOCKED)


def _one_by_one(setting: Setting, drawn: SamplingData, book: Book, *, rows: bool) -> Callable[[], Advance]:
    """The textbook loop, on the problem's own kernels or on those that take blocks of rows."""
    from . import dispatch

    problem, method = setting.problem, setting.method.data
    own = type(problem.data)
    loop = dispatch.compiled_loop(own, type(method), *([Blocked] if rows else []))

    def worker() -> Advance:
        data = blocked(problem.data) if rows else problem.data
        everyone, ones = np.arange(problem.n), np.ones(problem.n)
        indices, weights = np.zeros(drawn.largest, dtype=np.int64), np.zeros(drawn.largest)
        if drawn.kind == FULL:
            indices[:], weights[:] = everyone, 1.0
        marks = np.zeros(problem.n if drawn.kind == TAU_NICE else 0, dtype=np.int64)
        room = (everyone, ones, indices, weights, marks, *_vectors(setting))

        def advance(rows: slice, first: int, last: int, final: bool, windows: list[Vector], control: Any) -> None:
            loop(
                data, method, drawn, book.seed, book.numbers[rows], book.x[rows], first, last, final, *windows,
                book.times[rows], book.gaps[rows], book.norms[rows], book.sums[rows], book.points[rows],
                book.state[rows], book.running[rows], *room, control,
            )  # fmt: skip

        return advance

    return worker


def _lockstep(setting: Setting, drawn: SamplingData, book: Book) -> Callable[[], Advance]:
    from . import dispatch

    problem, method = setting.problem, setting.method.data
    loop = dispatch.compiled_loop(type(problem.data), type(method), Blocked, loop=lockstep)
    parts = linear(problem.data)
    table, even = _row_table(setting, drawn), bool((drawn.threshold >= 1.0).all())

    def worker() -> Advance:
        n, d = problem.n, problem.d
        room = (
            np.arange(n), np.ones(n), np.zeros(1, dtype=np.int64), np.zeros(1), *_vectors(setting),
            aligned(LANES * stride(d)).reshape(LANES, stride(d)), *_lanes(),
        )  # fmt: skip
        data = blocked(problem.data)

        def advance(rows: slice, first: int, last: int, final: bool, windows: list[Vector], control: Any) -> None:
            loop(
                data, method, parts.A, table, parts.reg, drawn, even, book.seed, book.numbers[rows], book.x[rows],
                first, last, final, *windows, book.times[rows], book.gaps[rows], book.norms[rows], book.sums[rows],
                book.points[rows], book.state[rows], book.running[rows], book.sizes[rows], *room, control,
            )  # fmt: skip

        return advance

    return worker


def _gram(setting: Setting, drawn: SamplingData, book: Book, end: int) -> Callable[[], Advance]:
    from . import dispatch

    problem, method = setting.problem, setting.method.data
    loop = dispatch.compiled_loop(type(problem.data), type(method), loop=gram_steps)
    parts = linear(problem.data)
    n, d, R = problem.n, problem.d, len(book.x)
    G = gram_matrix(problem, parts)
    table, even = _row_table(setting, drawn), bool((drawn.threshold >= 1.0).all())
    z = apart(np.einsum("rj,ij->ri", book.x, parts.A))
    start, beta = row_space(parts.A, book.x) if parts.reg else (book.x.copy(), np.zeros((R, n)))
    beta = apart(beta)
    origin = np.einsum("rd,rd->r", start, start)
    factors = np.ones((R, 2))
    best_z = parts.A @ parts.centre
    best_alpha = (parts.b - best_z) / (n * parts.reg) if parts.reg else np.zeros(n)
    kept = np.full((R, book.points.shape[1], n + 1), np.nan)

    def worker() -> Advance:
        room = (*_lanes(), aligned(n), aligned(d))

        def advance(rows: slice, first: int, last: int, final: bool, windows: list[Vector], control: Any) -> None:
            loop(
                problem.data, method, parts.A, G, table, parts.reg, drawn, even, book.seed, book.numbers[rows],
                start[rows], origin[rows], best_z, best_alpha, z[rows], beta[rows], factors[rows],
                first, last, *windows, book.times[rows], book.gaps[rows], book.norms[rows], book.sums[rows],
                kept[rows], book.state[rows], book.running[rows], book.sizes[rows], *room, control,
            )  # fmt: skip
            if last < end and not control[0]:
                return
            with np.errstate(invalid="ignore", over="ignore"):
                # Without BLAS, which would round by how many copies there are.
                alpha = factors[rows, 1:] * beta[rows]
                book.x[rows] = factors[rows, :1] * start[rows] + np.einsum("ri,ij->rj", alpha, parts.A)
                for r in range(*rows.indices(R)):
                    if book.points.shape[1]:
                        done = kept[r, : int(book.state[r, 0])]
                        moved = done[:, n:] * start[r] + np.einsum("ki,ij->kj", done[:, :n], parts.A)
                        book.points[r, : len(done)] = moved
                    if final and book.state[r, 1] < 0 and not control[0] and not np.isfinite(book.x[r]).all():
                        book.state[r, 1] = last

        return advance

    return worker


def _diagonal(setting: Setting, book: Book) -> Callable[[], Advance]:
    from . import dispatch

    method = setting.method.data
    loop = dispatch.compiled_loop(type(setting.problem.data), type(method), loop=diagonal_steps)
    h, wide = setting.problem.data.h, len(book.x) > 1

    def worker() -> Advance:
        room = aligned(WIDTH * (setting.problem.d + 3)).reshape(-1, WIDTH)

        def advance(rows: slice, first: int, last: int, final: bool, windows: list[Vector], control: Any) -> None:
            loop(
                method, h, wide, book.x[rows], first, last, final, *windows, book.times[rows], book.gaps[rows],
                book.norms[rows], book.sums[rows], book.points[rows], book.state[rows], book.running[rows],
                book.sizes[rows, 0], room[3:], room[0], room[1], room[2], control,
            )  # fmt: skip

        return advance

    return worker


def _row_table(setting: Setting, drawn: SamplingData) -> Record:
    """||a_i||^2, v_i/n and the two numbers of each row side by side, so that a step finds them in one place."""
    parts = linear(setting.problem.data)
    squares = row_squares(setting.problem, parts)
    return np.ascontiguousarray(np.stack([squares, drawn.weights / setting.problem.n, parts.b, parts.k], axis=1))


def _lanes() -> tuple[Any, ...]:
    return aligned(SLOTS), np.zeros(LANES, dtype=np.uint64), np.zeros(LANES, dtype=np.bool_)


def _vectors(setting: Setting) -> tuple[Record, Record]:
    """g and y of a step."""
    d = setting.problem.d
    return aligned(d), aligned(d + (scratch(setting.method.data) - 1) * stride(d))
