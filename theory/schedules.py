"""Schedules: gamma_t, rho_t, lambda_t and batch sizes b_t as functions of t = 0, 1, 2, ...

A bound sums a schedule over a run, so each one knows its sums over t < T: `schedule.sum(T)` of the values,
`schedule.sum(T, power=2)` of their squares and, for batches, `schedule.sum(T, power=-1)` of 1/b_t. A closed form stands
beside its schedule; where there is none the terms are added up. The closed forms for cosine, linear, polynomial and
doubling schedules are those of the corollaries to the master inequality of GSAM (derived), here for any T rather than
for the T that the schedule was made for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from problems.errors import InputError
from problems.problem import check_count, check_nonnegative, check_positive, plain
from problems.spec import Catalogue, read_float, spelled

ClosedForm = Callable[[int], float]

schedules: Catalogue[Schedule] = Catalogue("schedule", ("theory",))
"""Every schedule that has a SPEC: `schedules.build("inverse:start=0.1,slope=2")`."""


@dataclass(frozen=True)
class Schedule:
    """A number for every step.

    name: the SPEC, or the number itself. formula: maps an array of step numbers t >= 0 to values.
    largest, smallest: supremum and infimum over t. constant: the one value, or None if it changes. breaks: the
    steps at which a value that stands still in between changes; None if it is not such a schedule. closed: for a power
    p, the sum over t < T of the values to the power p as a function of T >= 1.
    """

    name: str
    formula: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    largest: float
    smallest: float = 0.0
    constant: float | None = None
    breaks: tuple[int, ...] | None = None
    closed: Mapping[int, ClosedForm] = field(default_factory=dict, compare=False, repr=False)

    def at(self, t: NDArray[np.int64] | NDArray[np.float64] | int) -> NDArray[np.float64]:
        """The values at steps t (any shape)."""
        return np.asarray(self.formula(np.asarray(t, dtype=np.float64)), dtype=np.float64)

    def window(self, first: int, last: int) -> NDArray[np.float64]:
        """The values at first, ..., last - 1; a single entry when constant (the engine repeats the last)."""
        if self.constant is not None:
            return np.array([self.constant])
        return self.at(np.arange(first, max(last, first + 1)))

    def sum(self, T: int, *, power: int = 1) -> float:
        """The sum over t = 0, ..., T - 1 of the values to this power (not negative where a value is 0).

        The closed form where there is one, else the terms one by one. Raises InputError unless T is a count >= 0.
        """
        steps = check_count(T, argument="T", least=0)
        if steps == 0:
            return 0.0
        if self.constant is not None:
            return float(steps * self.constant**power)
        return float(self.closed[power](steps)) if power in self.closed else self.add_up(0, steps, power=power)

    def add_up(self, first: int, last: int, *, power: int = 1) -> float:
        """The sum over t = first, ..., last - 1 of the values to this power, term by term."""
        blocks = range(first, last, _BLOCK)
        return math.fsum(float(np.sum(self.at(np.arange(t, min(t + _BLOCK, last))) ** power)) for t in blocks)

    def __str__(self) -> str:
        return self.name


_BLOCK = 1 << 16


def _tail(first: int, last: int, shift: float, power: int) -> float:
    """The sum over t = first, ..., last - 1 of 1/(t + shift)^power, shift > 0, power >= 1, to about 1e-12 relative."""
    if last <= first:
        return 0.0
    # A difference of two nearly equal values of a special function would lose what the few terms still have.
    if last - first < 1e-3 * (first + shift):
        blocks = range(first, last, _BLOCK)
        return math.fsum(float(np.sum((np.arange(t, min(t + _BLOCK, last)) + shift) ** -power)) for t in blocks)
    from scipy.special import digamma, zeta

    if power == 1:
        return float(digamma(last + shift) - digamma(first + shift))
    return float(zeta(power, first + shift) - zeta(power, last + shift))


@cache
def _faulhaber(p: int) -> tuple[Fraction, ...]:
    """The coefficients of n^(p + 1), n^p, ..., n in 1^p + 2^p + ... + n^p."""
    bernoulli = [Fraction(1)]
    for k in range(1, p + 1):
        bernoulli.append(-sum((math.comb(k + 1, j) * bernoulli[j] for j in range(k)), Fraction(0)) / (k + 1))
    # B_1 = -1/2 would end the sum at n - 1.
    return tuple(math.comb(p + 1, k) * (-b if k == 1 else b) / (p + 1) for k, b in enumerate(bernoulli))


def _powers(n: int, p: int) -> Fraction:
    """1^p + 2^p + ... + n^p, exactly."""
    return sum((c * n ** (p + 1 - k) for k, c in enumerate(_faulhaber(p))), Fraction(0))


def constant(number: float) -> Schedule:
    """The same number at every step."""
    return Schedule(spelled(number), lambda t: np.full(t.shape, float(number)), *3 * (float(number),))


@schedules.register("constant")
def _constant(value: float) -> Schedule:
    return constant(value)


@schedules.register("inverse")
def inverse(start: float, slope: float) -> Schedule:
    """min(start, 1/(slope t + 1)), slope > 0: rho_t of the decreasing-step theorem has slope 2; lambda_t = 1/(t + 1)
    has start = slope = 1."""
    check_nonnegative(start, argument="start of schedule 'inverse'")
    check_positive(slope, argument="slope of schedule 'inverse'")

    def total(T: int, power: int) -> float:
        # The first `level` values are `start`, the others 1/(slope t + 1).
        level = T if start * (slope * (T - 1) + 1) <= 1 else max(0, math.floor((1 / start - 1) / slope) + 1)
        return level * start**power + _tail(level, T, 1 / slope, power) / slope**power

    return Schedule(
        f"inverse:start={spelled(start)},slope={spelled(slope)}",
        lambda t: np.minimum(start, 1 / (slope * t + 1)),
        min(start, 1.0),
        closed={power: partial(total, power=power) for power in (1, 2)},
    )


@schedules.register("one-minus-inverse")
def one_minus_inverse(slope: float = 1.0) -> Schedule:
    """1 - 1/(slope t + 1), slope > 0: from 0 towards 1. Its sums are taken term by term."""
    check_positive(slope, argument="slope of schedule 'one-minus-inverse'")
    return Schedule(f"one-minus-inverse:slope={spelled(slope)}", lambda t: 1 - 1 / (slope * t + 1), 1.0)


@schedules.register("decreasing")
def decreasing(start: float, mu: float) -> Schedule:
    """min(start, (2t + 1)/((t + 1)^2 mu)): gamma_t of the decreasing-step theorem (U2). mu > 0."""
    check_positive(mu, argument="mu of schedule 'decreasing'")
    check_nonnegative(start, argument="start of schedule 'decreasing'")

    def level(T: int) -> int:
        """How many values are `start`: those with c (t + 1)^2 <= 2t + 1, c = start mu."""
        c = start * mu
        return T if c * T * T <= 2 * T - 1 else math.floor((1 + math.sqrt(max(0.0, 1 - c))) / c)

    def total(T: int) -> float:
        k = level(T)
        return k * start + (2 * _tail(k, T, 1.0, 1) - _tail(k, T, 1.0, 2)) / mu

    def squares(T: int) -> float:
        k = level(T)
        return k * start**2 + (4 * _tail(k, T, 1.0, 2) - 4 * _tail(k, T, 1.0, 3) + _tail(k, T, 1.0, 4)) / mu**2

    return Schedule(
        f"decreasing:start={spelled(start)},mu={spelled(mu)}",
        lambda t: np.minimum(start, (2 * t + 1) / ((t + 1) ** 2 * mu)),
        min(start, 1 / mu),
        closed={1: total, 2: squares},
    )


@schedules.register("inverse-sqrt")
def inverse_sqrt(start: float) -> Schedule:
    """start/sqrt(t + 1): eta_0/sqrt(t), t >= 1, of GSAM's theorem. The squares sum to start^2 times a harmonic number,
    the values to a generalised one, evaluated by its Euler-Maclaurin expansion from T = 64 on."""
    check_nonnegative(start, argument="start of schedule 'inverse-sqrt'")

    def total(T: int) -> float:
        if T < 64:
            return schedule.add_up(0, T)
        zeta_half = -1.4603545088095868  # zeta(1/2)
        root = math.sqrt(T)
        # The next term of the expansion is below 1e-3 T^(-11/2).
        return float(start * (2 * root + zeta_half + 1 / (2 * root) - T**-1.5 / 24 + T**-3.5 / 384))

    schedule = Schedule(
        f"inverse-sqrt:start={spelled(start)}",
        lambda t: start / np.sqrt(t + 1),
        start,
        closed={1: total, 2: lambda T: start**2 * _tail(0, T, 1.0, 1)},
    )
    return schedule


# -- decay over a given number of steps --


def _finish(steps: int, *, schedule: str) -> int:
    return check_count(steps, argument=f"steps of schedule {schedule!r}")


@schedules.register("cosine")
def cosine(start: float, end: float, steps: int) -> Schedule:
    """end + (start - end)/2 (1 + cos(pi t/steps)) for t < steps, then `end` for good; 0 <= end <= start.

    With A = end, B = (start - end)/2 and T = steps >= 2 the sum is T (A + B) + B and the sum of squares
    T (A + B)^2 + 2 B (A + B) + T B^2/2; other T need the sums of cos and cos^2 over a part of the half wave.
    """
    check_nonnegative(end, argument="end of schedule 'cosine'")
    check_nonnegative(start, argument="start of schedule 'cosine'")
    if end > start:
        raise InputError(f"end of schedule 'cosine' must be at most its start {start:g}, got {end:g}")
    N = _finish(steps, schedule="cosine")
    A, B, angle = float(end), (start - end) / 2, math.pi / N

    def waves(m: int, k: int) -> float:
        """The sum of cos(k pi t/N) over t < m, 1 <= m <= N."""
        if k > N:  # k = 2, N = 1: the one term is 1, and the formula 0/0 but for rounding
            return 1.0
        return 0.5 + math.sin((m - 0.5) * k * angle) / (2 * math.sin(k * angle / 2))

    def total(T: int) -> float:
        m = min(T, N)
        return m * (A + B) + B * waves(m, 1) + (T - m) * A

    def squares(T: int) -> float:
        m = min(T, N)
        swing = B * B * (m + waves(m, 2)) / 2
        return m * (A + B) ** 2 + 2 * B * (A + B) * waves(m, 1) + swing + (T - m) * A * A

    def formula(t: NDArray[np.float64]) -> NDArray[np.float64]:
        part = np.cos(np.minimum(t, N) * (angle / 2)) ** 2  # (1 + cos)/2 without cancellation near the end
        return np.where(t < N, np.clip(start * part + end * (1 - part), end, start), end)

    name = f"cosine:start={spelled(start)},end={spelled(end)},steps={N}"
    return Schedule(name, formula, float(start), float(end), closed={1: total, 2: squares})


@schedules.register("linear")
def linear(start: float, steps: int) -> Schedule:
    """start (1 - t/steps) for t < steps, then 0. Over T = steps the values sum to start (T + 1)/2 and the squares to
    start^2 (T + 1)(2T + 1)/(6T)."""
    check_nonnegative(start, argument="start of schedule 'linear'")
    N = _finish(steps, schedule="linear")
    return _falling(f"linear:start={spelled(start)},steps={N}", start, 1.0, N)


@schedules.register("polynomial")
def polynomial(start: float, power: float, steps: int) -> Schedule:
    """start (1 - t/steps)^power for t < steps, then 0; power > 0. The sums of values and of squares have a closed form
    where power and 2 power are whole numbers up to 32; elsewhere they are taken term by term."""
    check_nonnegative(start, argument="start of schedule 'polynomial'")
    check_positive(power, argument="power of schedule 'polynomial'")
    N = _finish(steps, schedule="polynomial")
    return _falling(f"polynomial:start={spelled(start)},power={spelled(power)},steps={N}", start, power, N)


def _falling(name: str, start: float, p: float, N: int) -> Schedule:
    def total(T: int, k: int) -> float:
        """start^k sum over t < T of ((N - t)/N)^(k p), in whole numbers."""
        q = round(k * p)
        return start**k * float((_powers(N, q) - _powers(max(N - T, 0), q)) / Fraction(N) ** q)

    closed = {k: partial(total, k=k) for k in (1, 2) if k * p == round(k * p) and k * p <= 32}
    return Schedule(name, lambda t: start * (np.maximum(N - t, 0.0) / N) ** p, float(start), closed=closed)


# -- schedules made of schedules --


@schedules.register("warmup")
def warmup(steps: int, then: str | Schedule) -> Schedule:
    """A linear rise over `steps` steps, then another schedule from its beginning.

    (t + 1)/(steps + 1) times the other's first value for t < steps, so that no step is 0 and none repeats that value;
    from t = steps on the other at t - steps. then: a number or a SPEC, which takes the rest of the text.
    """
    w = _finish(steps, schedule="warmup")
    after = read_schedule(then, argument="then of schedule 'warmup'")
    top = float(after.at(0))

    def formula(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(t < w, top * (np.minimum(t, w) + 1) / (w + 1), after.at(np.maximum(t - w, 0.0)))

    def total(T: int, power: int) -> float:
        rise = float(_powers(min(T, w), power) / (w + 1) ** power)
        return top**power * rise + after.sum(max(T - w, 0), power=power)

    return Schedule(
        f"warmup:steps={w},then={after.name}",
        formula,
        after.largest,
        min(after.smallest, top / (w + 1)),
        closed={power: partial(total, power=power) for power in (1, 2)},
    )


@schedules.register("coupled")
def coupled(low: float, high: float, to: str | Schedule) -> Schedule:
    """low + (high - low) (r_t - r_min)/(r_max - r_min): GSAM's radius, coupled to a step size r_t that changes.

    r_min, r_max: the smallest and largest value of the step size over all t, its end and its start for one that falls.
    to: the SPEC of the step size, which takes the rest of the text. 0 <= low <= high. From GSAM's algorithm box (read).
    """
    check_nonnegative(low, argument="low of schedule 'coupled'")
    check_nonnegative(high, argument="high of schedule 'coupled'")
    if low > high:
        raise InputError(f"low of schedule 'coupled' must be at most its high {high:g}, got {low:g}")
    step = read_schedule(to, argument="to of schedule 'coupled'")
    bottom, width = step.smallest, step.largest - step.smallest
    if not width > 0:
        raise InputError(f"to of schedule 'coupled' must be a schedule that changes, got {step.name}")
    slope = (high - low) / width
    base = low - slope * bottom

    def formula(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(low + (high - low) * ((step.at(t) - bottom) / width), low, high)

    return Schedule(
        f"coupled:low={spelled(low)},high={spelled(high)},to={step.name}",
        formula,
        float(high),
        float(low),
        closed={
            1: lambda T: T * base + slope * step.sum(T),
            2: lambda T: T * base**2 + 2 * base * slope * step.sum(T) + slope**2 * step.sum(T, power=2),
        },
    )


# -- batch sizes --

LARGEST_BATCH = 2**53
"""The largest batch of a schedule: up to here float64 holds every whole number."""


def _stages(name: str, sizes: list[int], lengths: list[int]) -> Schedule:
    """sizes[0] for lengths[0] steps, then sizes[1] for lengths[1], ..., then the last size for good."""
    edges = np.cumsum(np.array(lengths, dtype=np.float64))
    values = np.array(sizes, dtype=np.float64)

    def counts(T: int) -> list[int]:
        """How many of the first T steps have each size."""
        left, found = T, []
        for length in lengths:
            found.append(min(left, length))
            left -= found[-1]
        return [*found, left]

    def total(T: int, power: int) -> float:
        return float(sum(count * Fraction(size) ** power for count, size in zip(counts(T), sizes, strict=True)))

    return Schedule(
        name,
        lambda t: values[np.searchsorted(edges, t, side="right")],
        float(sizes[-1]),
        float(sizes[0]),
        breaks=tuple(int(edge) for edge in edges if edge < 2**62),
        closed={power: partial(total, power=power) for power in (-1, 1, 2)},
    )


def _doubled(start: int, most: int) -> list[int]:
    """start, 2 start, 4 start, ..., cut off at `most`, which comes last."""
    sizes = [start]
    while sizes[-1] < most:
        sizes.append(min(2 * sizes[-1], most))
    return sizes


def _batches(start: int, most: int, *, schedule: str) -> list[int]:
    least = check_count(start, argument=f"start of schedule {schedule!r}")
    top = check_count(most, argument=f"most of schedule {schedule!r}")
    if not least <= top <= LARGEST_BATCH:
        raise InputError(
            f"most of schedule {schedule!r} must be at least its start {least} and at most 2^53, got {plain(most)!r}"
        )
    return _doubled(least, top)


@schedules.register("doubling")
def doubling(start: int, every: int, most: int = LARGEST_BATCH) -> Schedule:
    """A batch of start 2^k, k = floor(t/every), at most `most`: doubling every so many steps.

    Until `most` is reached the sum of 1/b_t over T = q every + r steps, r < every, is
    (every/start)(2 - 2^(1-q)) + r/(2^q start) < 2 every/start; each step beyond adds 1/most.
    """
    sizes = _batches(start, most, schedule="doubling")
    stage = check_count(every, argument="every of schedule 'doubling'")
    cap = "" if most == LARGEST_BATCH else f",most={int(most)}"
    return _stages(f"doubling:start={int(start)},every={stage}{cap}", sizes, [stage] * (len(sizes) - 1))


@schedules.register("doubling-epoch")
def doubling_epoch(start: int, epochs: int, n: int, most: int | None = None) -> Schedule:
    """A batch that doubles after so many epochs: stage k has the size b = start 2^k, at most `most` (n unless given),
    and lasts `epochs` epochs of ceil(n/b) steps; the last stage has no end. Stages grow shorter as the batch grows, so
    the mean of 1/b_t over whole stages falls to about 2/(3 start) only.
    """
    count = check_count(n, argument="n of schedule 'doubling-epoch'")
    for key, size in (("start", start), ("most", most)):
        if size is not None and size > count:
            raise InputError(f"{key} of schedule 'doubling-epoch' must be at most n = {count}, got {plain(size)!r}")
    sizes = _batches(start, count if most is None else most, schedule="doubling-epoch")
    each = check_count(epochs, argument="epochs of schedule 'doubling-epoch'")
    cap = "" if most is None else f",most={int(most)}"
    lengths = [each * -(-count // size) for size in sizes[:-1]]
    return _stages(f"doubling-epoch:start={int(start)},epochs={each},n={count}{cap}", sizes, lengths)


def read_schedule(
    text: str | float | Schedule, *, argument: str, low: float = 0.0, high: float | None = None
) -> Schedule:
    """A number or a SPEC, as a schedule within [low, high].

    Raises InputError, naming `argument`, when a number is not finite or out of range, or the SPEC is wrong.
    """
    if isinstance(text, Schedule):
        schedule = text
    elif isinstance(text, str) and (":" in text or text in schedules):
        schedule = schedules.build(text)
    else:
        schedule = constant(read_float(str(text), argument=argument))
    allowed = f"[{low:g}, {high:g}]" if high is not None else f">= {low:g}"
    finite = math.isfinite(schedule.largest)
    if not (finite and schedule.smallest >= low) or (high is not None and not schedule.largest <= high):
        raise InputError(f"{argument} must be {'in ' if high is not None else ''}{allowed}, got {text!s}")
    return schedule
