"""The rounding floors against a second route: the same runs in 60 digits, written from the formulas.

A run is followed by the engine in double precision and here with mpmath, from the same data (doubles, so exactly the
same numbers), the same draws and the same start. f* is that of these data too, not of the stored minimiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.typing import NDArray

from experiments import rounding
from experiments.engine.run import simulate
from experiments.exact.one_step import one_step_expectations, second_moments_at
from problems.glm import LeastSquares, LeastSquaresProblem, Logistic, LogisticProblem
from problems.pl import SineSum
from problems.problem import Problem, problems
from problems.quadratics import (
    DenseQuadratic,
    DiagonalQuadratic,
    FiniteSumOfQuadratics,
    Quadratic,
    QuadraticSum,
    random_orthogonal,
)
from tests.strategies import drawn, sampling_specs
from theory.methods.method import methods
from theory.samplings import samplings, without_reweighting
from theory.schedules import decreasing, inverse
from theory.setting import Setting, facts_of, make_setting

DIGITS = 60
"""Of mpmath: 44 more than a double, so that what 1000 steps lose of them is invisible here."""

Point = list[Any]
Values = NDArray[np.float64]

# -- problems, written from their formulas --


def exact(array: Values) -> list[Any]:
    """Doubles as they are."""
    return [exact(row) for row in array] if array.ndim > 1 else [mpf(float(entry)) for entry in array]


def minus(a: Point, b: Point) -> Point:
    return [p - q for p, q in zip(a, b, strict=True)]


def dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    return mp.fdot(a, b)


@cache
def formulas(problem: Problem) -> tuple[Callable[[int, Point], Point], Callable[[int, Point], Any]]:
    """grad f_i(x) and f_i(x)."""
    data, d, n = problem.data, problem.d, problem.n
    if isinstance(data, (LeastSquares, Logistic)):
        A, b, reg, squares = exact(data.A), exact(data.b), mpf(data.reg), isinstance(data, LeastSquares)

        def row_slope(i: int, x: Point) -> Point:
            u = dot(A[i], x)
            r = u - b[i] if squares else -b[i] / (1 + mp.exp(b[i] * u))
            return [r * a + reg * p for a, p in zip(A[i], x, strict=True)]

        def row_value(i: int, x: Point) -> Any:
            u = dot(A[i], x)
            loss = (u - b[i]) ** 2 / 2 if squares else mp.log1p(mp.exp(-b[i] * u))
            return loss + reg * dot(x, x) / 2

        return row_slope, row_value
    if isinstance(data, SineSum):
        M = exact(np.eye(d) if data.separable else data.M)
        columns = list(zip(*M, strict=True))
        s, a, c = exact(data.s), mpf(data.a), exact(data.c if data.shifted else np.zeros((n, d)))

        def sine_slope(i: int, x: Point) -> Point:
            us = [dot(row, x) for row in M]
            h = [s[i] * (2 * u + a * mp.sin(2 * u)) for u in us]
            return [dot(h, column) + shift for column, shift in zip(columns, c[i], strict=True)]

        def sine_value(i: int, x: Point) -> Any:
            us = [dot(row, x) for row in M]
            return s[i] * mp.fsum(u * u + a * mp.sin(u) ** 2 for u in us) + dot(c[i], x)

        return sine_slope, sine_value
    if isinstance(data, QuadraticSum):
        H, g = exact(data.H), exact(data.g)
    else:
        assert isinstance(data, (DenseQuadratic, DiagonalQuadratic))
        H = exact((np.diag(data.h) if isinstance(data, DiagonalQuadratic) else data.H)[None])
        g = exact(np.zeros((1, d)))
    centre = exact(problem.centre)

    def form_slope(i: int, x: Point) -> Point:
        z = minus(x, centre)
        return [dot(row, z) + shift for row, shift in zip(H[i], g[i], strict=True)]

    def form_value(i: int, x: Point) -> Any:
        z = minus(x, centre)
        return dot(z, [dot(row, z) / 2 + shift for row, shift in zip(H[i], g[i], strict=True)])

    return form_slope, form_value


def slope(problem: Problem, x: Point, indices: Sequence[int], weights: Sequence[Any]) -> Point:
    """(1/n) sum_k w_k grad f_{i_k}(x)."""
    slopes = [formulas(problem)[0](i, x) for i in indices]
    return [dot(weights, column) / problem.n for column in zip(*slopes, strict=True)] or [mpf(0)] * problem.d


def full_slope(problem: Problem, x: Point) -> Point:
    return slope(problem, x, range(problem.n), [mpf(1)] * problem.n)


def full_value(problem: Problem, x: Point) -> Any:
    return mp.fsum(formulas(problem)[1](i, x) for i in range(problem.n)) / problem.n


@cache
def lowest(problem: Problem) -> Any:
    """f* of the stored doubles, which round x*: sums that should vanish there do so only nearly."""
    if problem.minimiser is None or 1 < problem.n < problem.d:
        return mpf(0)  # separable rows, and independent ones fewer than unknowns
    centre = exact(problem.minimiser)
    if problem.n > 1:
        centre = list(mp.findroot(lambda *x: full_slope(problem, list(x)), centre, tol=mpf(10) ** -90))
    return full_value(problem, centre)


def gap(problem: Problem, x: Point) -> Any:
    return full_value(problem, x) - lowest(problem)


# -- methods, written from their formulas --


def stepped(setting: Setting, t: int, x: Point, indices: Sequence[int], weights: Sequence[float]) -> tuple[Point, Any]:
    """x+ = x - gamma grad f_v(x + rho ((1 - lam) g + lam g/|g|)), and |g|^2; g = grad f_v(x) = 0 perturbs nothing.

    Schedules are evaluated in doubles, as the engine takes them.
    """
    gamma, rho, lam = (mpf(float(s.at(t))) for s in (setting.gamma, setting.rho, setting.lam))
    exact_weights = [mpf(w) for w in weights]
    g = slope(setting.problem, x, indices, exact_weights)
    norm2 = dot(g, g)
    if setting.method.uses_rho and norm2 > 0:
        push = rho * ((1 - lam) + lam / mp.sqrt(norm2))
        g = slope(setting.problem, [p + push * q for p, q in zip(x, g, strict=True)], indices, exact_weights)
    return [p - gamma * q for p, q in zip(x, g, strict=True)], norm2


@dataclass(frozen=True)
class Exact:
    """At one time: the gap, |grad f|^2, the sum of sampled |g|^2 before it, and how many steps' worth of nudges each
    step's nudge has become at most (see `follow`)."""

    gap: Any
    norm2: Any
    sums: Any
    apart: float


def follow(setting: Setting, times: Sequence[int], seed: int = 0) -> list[Exact]:
    """The exact run, and beside it, for normalised steps, a twin that is nudged by about one rounding after every step:
    t nudges come to t nudges at most as long as no step takes the two further apart."""
    problem = setting.problem
    nudge = mpf(2) ** -52 * max(1.0, float(np.linalg.norm(setting.x0)))
    signs = np.random.default_rng(0).choice([-1, 1], (max(times) + 1, problem.d))
    run = exact(setting.x0)
    twin = list(run) if setting.lam.largest > 0 and setting.method.uses_rho else None
    rows, sums, apart = [], mpf(0), 0.0
    for t in range(max(times) + 1):
        if t in times:
            g = full_slope(problem, run)
            rows.append(Exact(gap(problem, run), dot(g, g), sums, apart))
        if t == max(times):
            break
        draw = drawn(setting.sampling.data, seed, 0, t)
        run, norm2 = stepped(setting, t, run, *draw)
        sums += norm2
        if twin is not None:
            twin = [
                x + int(sign) * nudge for x, sign in zip(stepped(setting, t, twin, *draw)[0], signs[t], strict=True)
            ]
            between = minus(run, twin)
            apart = max(apart, float(mp.sqrt(dot(between, between) / problem.d) / nudge / (t + 1)))
    return rows


# -- cases --


@cache
def problem_of(name: str) -> Problem:
    rng = np.random.default_rng(3)
    A, b = rng.standard_normal((4, 3)) * np.array([1.0, 0.6, 0.3]), rng.standard_normal(4)
    Q, far = random_orthogonal(4, rng), np.array([7.0, -3.0, 12.0])
    if name in ("dense", "stiff"):
        H = (Q * np.geomspace(0.1 if name == "dense" else 1e-8, 1, 4)) @ Q.T
        return Quadratic.from_matrix((H + H.T) / 2, [*far, 1.0] if name == "dense" else None)
    if name == "sum":
        halves = rng.standard_normal((4, 3, 2))
        H = halves @ halves.transpose(0, 2, 1)
        return FiniteSumOfQuadratics.from_components(H, rng.standard_normal((4, 3)) - H @ far)
    if name == "ridge":
        return LeastSquaresProblem.from_arrays(A, b, reg=0.1)
    if name == "far":
        return LeastSquaresProblem.from_arrays(rng.standard_normal((5, 3)), 1e5 * rng.standard_normal(5))
    if name == "flat":
        return LeastSquaresProblem.from_arrays(A.T, far)
    if name == "logistic":
        return LogisticProblem.from_arrays(2 * A, [1, 1, -1, -1], reg=0.1)
    if name == "separable":
        return LogisticProblem.from_arrays(2 * A, np.sign(A @ far))
    return problems.build(
        {
            "diagonal": "quadratic:d=4,mu=0.05,L=2,basis=diagonal",
            "indefinite": "quadratic-sum:n=4,d=2,mu=0.2,L=1,indefinite=0.8,spectrum=linear",
            "point": "quadratic:d=1,mu=1,L=1,basis=diagonal",
            "line": "parabolas:h=1/3,slopes=1/-1",
            "sine": "pl-sine:d=2,a=3,n=4,noise=additive,level=0.5,map=rotated",
            "map": "pl-sine:d=3,a=2,map=linear,cond=3,rows=2",
        }[name]
    )


PROBLEMS = ("dense", "diagonal", "sum", "ridge", "logistic", "sine")
SAMPLINGS = ("full", "uniform", "importance", "tau-nice", "replacement", "independent", "partition")
METHODS = ("sgd", "usam", "unified-sam:lam=0.5", "sam")
STEPS = ("constant", "decreasing")

CASES = [
    (name, kind, method, steps)
    for name in PROBLEMS
    for kind in (SAMPLINGS if problem_of(name).n > 1 else ("full",))
    for method in METHODS
    for steps in STEPS
]

EDGES = [
    # gap(x) itself: z'Hz of a soft eigenvector carries the rounding of the stiff ones.
    ("stiff", "full", "sgd", "constant"),
    ("flat", "full", "usam", "constant"),
    ("flat", "replacement", "sgd", "constant"),
    ("separable", "full", "sgd", "constant"),
    ("separable", "uniform", "usam", "constant"),
    ("indefinite", "uniform", "sgd", "constant"),
    ("indefinite", "importance", "sam", "constant"),
    ("line", "uniform", "sam", "constant"),
    ("map", "full", "usam", "constant"),
    ("map", "full", "unified-sam:lam=0.5", "decreasing"),
    # From the minimiser itself, so that only noise and perturbations move x.
    ("sum", "uniform", "sgd", "at rest"),
    ("sum", "tau-nice", "sam", "at rest"),
    ("sine", "importance", "unified-sam:lam=0.5", "at rest"),
    # So near to x* that the rounding of x turns a gradient.
    ("far", "full", "sam", "near"),
    # Steps just below half the spacing of doubles: x never moves, and T equal errors add up to T times one.
    ("point", "full", "sgd", "lost"),
]

STEP_CASES = list(dict.fromkeys((name, kind, method) for name, kind, method, _ in CASES if method != "usam"))


def setting_of(name: str, kind: str, method: str, steps: str) -> Setting:
    problem = problem_of(name)
    sampling = samplings.build(sampling_specs(problem.n)[kind], problem=problem)
    start = problem.centre if steps == "at rest" else problem.start
    if steps == "near":
        start = problem.centre + 1e-6
    if name == "stiff":
        start = np.linalg.eigh(problem.data.H)[1][:, 0]
    if steps == "lost":
        start = np.array([1 + 2.0**-10])
    still = make_setting(problem, sampling=sampling, method=methods.build(method), x0=start.copy())
    facts = facts_of(still)
    gamma, rho = 0.5 / facts.L, 0.3 / facts.L if still.method.uses_rho else 0.0
    if steps == "decreasing":
        return still.with_steps(gamma=decreasing(gamma, facts.mu), rho=inverse(rho, 2))
    return still.with_steps(gamma=0.99 * 2.0**-53 if steps == "lost" else gamma, rho=rho)


# -- what is measured --


@dataclass(frozen=True)
class Measured:
    what: str
    t: int
    difference: float
    floor: float

    @property
    def ratio(self) -> float:
        return self.floor / self.difference if self.difference > 0 else math.inf


def recorded(kind: str, method: str, steps: str) -> tuple[int, ...]:
    """As far as the slow arithmetic allows: one component a step costs least."""
    if (kind, steps) == ("uniform", "constant") or steps == "lost":
        return 1, 10, 100, 1000
    return (1, 10, 100) if kind == "full" and method in ("sgd", "usam") else (1, 10, 30)


PARTED = 10.0
"""Above this many times their number, nudges have not added up but grown: the run and its twin part (module text)."""


@cache
def along(name: str, kind: str, method: str, steps: str) -> tuple[Measured, ...]:
    """The gap, the squared gradient norm and the average of the sampled ones along a run, before it parts."""
    setting, times = setting_of(name, kind, method, steps), recorded(kind, method, steps)
    facts, elapsed = facts_of(setting), np.array(times, dtype=float)
    run = simulate(setting, steps=times[-1], times=np.array(times), threads=1)
    distance = np.full(len(times), float(np.linalg.norm(setting.x0 - setting.problem.centre)))
    values = {"gap": run.gap[0], "norm": run.grad_norm2[0], "average": run.sums[0] / elapsed}
    found = []
    with mp.workdps(DIGITS):
        for k, row in enumerate(follow(setting, times)):
            if row.apart > PARTED:
                break
            for what, truth in (("gap", row.gap), ("norm", row.norm2), ("average", row.sums / times[k])):
                floor_of = rounding.gap_floor if what == "gap" else rounding.norm_floor
                floor = floor_of(setting, facts, values[what], distance, elapsed)[k]
                found.append(Measured(what, times[k], difference(values[what][k], truth), float(floor)))
    return tuple(found)


def difference(value: float, truth: Any) -> float:
    return float(abs(mpf(float(value)) - truth))


@cache
def one_step(name: str, kind: str, method: str) -> tuple[Measured, ...]:
    """E gap after one step, and E||grad f_v||^2 by enumeration and from second moments, far from x* and near it."""
    setting = setting_of(name, kind, method, "constant")
    problem, facts = setting.problem, facts_of(setting)
    away = np.full(problem.d, 1.0)
    points = problem.centre + np.array([away, 1e-4 * away])
    found = one_step_expectations(setting, points, np.zeros(2, dtype=np.int64))
    assert not isinstance(found, str)
    assert found.second_moment is not None
    by_moments = second_moments_at(setting, points)
    ones = np.ones(2)
    larger = np.maximum(found.gap, found.next_gap)
    gap_floor = rounding.gap_floor(setting, facts, larger, found.distance, ones)
    norm_floor = rounding.norm_floor(setting, facts, found.second_moment, found.distance, ones)
    rows = []
    with mp.workdps(DIGITS):
        for k, point in enumerate(points):
            gaps, norms = mpf(0), mpf(0)
            for atom in setting.sampling.atoms():
                x, norm2 = stepped(setting, 0, exact(point), atom.indices, atom.weights)
                gaps += mpf(atom.probability) * gap(problem, x)
                norms += mpf(atom.probability) * norm2
            rows += [
                Measured("gap", 1, difference(found.next_gap[k], gaps), float(gap_floor[k])),
                Measured("norm", 1, difference(found.second_moment[k], norms), float(norm_floor[k])),
                Measured("norm", 1, difference(by_moments[k], norms), float(norm_floor[k])),
            ]
    return tuple(rows)


# -- what is claimed --


@pytest.mark.parametrize(("name", "kind", "method", "steps"), CASES + EDGES)
def test_a_floor_covers_what_rounding_does_along_a_run(name: str, kind: str, method: str, steps: str) -> None:
    measured = along(name, kind, method, steps)
    assert {row.t for row in measured} >= {1}
    assert [row for row in measured if not row.difference <= row.floor] == []


@pytest.mark.parametrize(("name", "kind", "method"), STEP_CASES)
def test_a_floor_covers_what_rounding_does_in_one_step(name: str, kind: str, method: str) -> None:
    assert [row for row in one_step(name, kind, method) if not row.difference <= row.floor] == []


def test_few_runs_part() -> None:
    possible = sum(3 * len(recorded(kind, method, steps)) for _, kind, method, steps in CASES)
    assert sum(len(along(*case)) for case in CASES) > 0.95 * possible


TYPICAL = 1e5
"""Floors take every rounding at its largest and of one sign (about 30 where 1 is typical), every term of a gradient at
its largest over draws and the way (another 10 to 100), and, for f - f* and without convexity, the condition (10 to
100); T steps at T times one, where signs and contraction leave less than the root."""


@pytest.mark.parametrize("what", ["gap", "norm", "average"])
@pytest.mark.parametrize("t", [1, 10, 30, 100, 1000])
def test_floors_are_not_absurd(what: str, t: int) -> None:
    rows = [row for case in CASES for row in along(*case) if (row.what, row.t) == (what, t)]
    assert np.median([row.ratio for row in rows]) < TYPICAL * t


def test_floors_of_one_step_are_not_absurd() -> None:
    assert np.median([row.ratio for case in STEP_CASES for row in one_step(*case)]) < TYPICAL


NEEDED = 10.0
"""Floors this many times smaller would fail the tests above: rounding comes this near to its worst case, where its
errors are equal. Where they are not, the signs of T errors and of d + m + 8 more in each make it 1e3 to 1e4."""


@pytest.mark.parametrize("what", ["gap", "norm", "average"])
def test_floors_are_needed(what: str) -> None:
    assert min(row.ratio for case in CASES + EDGES for row in along(*case) if row.what == what) < NEEDED


def test_a_sampling_without_moments_has_floors() -> None:
    """Controls forget the weights, and with them E v_i v_j."""
    setting = setting_of("sum", "importance", "sam", "constant")
    forgotten = replace(setting, sampling=without_reweighting(setting.sampling))
    ones = np.ones(2)
    for floor_of in (rounding.gap_floor, rounding.norm_floor):
        floor = floor_of(forgotten, facts_of(setting), ones, ones, ones)
        assert (floor > 0).all()
        assert (floor < 1e-6).all()
