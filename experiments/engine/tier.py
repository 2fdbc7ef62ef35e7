"""Which way a setting is run: the textbook tier, the update as written on paper, or one of the fast tier's ways.

The two tiers make the same iterates up to rounding. What `auto` chooses depends on the setting, the number of steps and
the number of copies alone, never on threads, blocks or the machine.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from threadpoolctl import threadpool_limits

from problems.errors import InputError
from problems.glm import LeastSquares
from problems.kernel import Linear, ascent, linear, reduced, span
from problems.problem import Matrix, Problem, Vector
from problems.quadratics import DiagonalQuadratic, Quadratic
from theory.samplings import LISTED, REPLACEMENT, SINGLE, TAU_NICE, SamplingData, full
from theory.setting import Setting

TIERS = ("auto", "fast", "textbook")

MOST_ENTRIES = 2**27
"""Of a Gram matrix or a Hessian: 1 GiB."""


class Way(enum.Enum):
    """How the steps are made."""

    TEXTBOOK = "textbook"
    LOCKSTEP = "fast: one dot product and one axpy a step, 8 copies in lockstep"
    GRAM = "fast: Gram space, one row of A A' a step"
    BLOCKED = "fast: blocks of rows"
    EIGENBASIS = "fast: eigenbasis, O(d) a step"
    DIAGONAL = "fast: diagonal, one pass a step"

    @property
    def tier(self) -> str:
        """textbook or fast."""
        return "textbook" if self is Way.TEXTBOOK else "fast"


def check_tier(tier: str) -> str:
    """`tier` if it is one of `TIERS`; InputError otherwise."""
    if tier not in TIERS:
        raise InputError(f"tier must be one of {', '.join(TIERS)}, got {tier!r}")
    return tier


def has_span(method: Any) -> bool:
    """The method knows its step in the span of x and one row."""
    return type(method) in span.implementations


def has_ascent(method: Any) -> bool:
    """The method's rule is x+ = x - gamma grad f_v(x + s g)."""
    return type(method) in ascent.implementations


def reduce(setting: Setting) -> Setting:
    """The same setting by a simpler method where that makes no difference."""
    data = reduced(setting.method.data, setting.rho.constant)
    return setting if data is setting.method.data else replace(setting, method=replace(setting.method, data=data))


def single_row(sampling: SamplingData) -> bool:
    """One row a step, chosen from an alias table."""
    return sampling.kind == SINGLE or (sampling.kind in (TAU_NICE, REPLACEMENT) and sampling.tau == 1)


def as_single(sampling: SamplingData) -> SamplingData:
    """The same draws, written as single-element sampling."""
    if sampling.kind == TAU_NICE:
        table = np.ones(sampling.n), np.arange(sampling.n)
        return sampling._replace(kind=SINGLE, threshold=table[0], alias=table[1])
    return sampling._replace(kind=SINGLE)


def _ways(setting: Setting, sampling: SamplingData) -> tuple[list[Way], str]:
    """The fast ways there are, fastest steps first, or why there is none."""
    problem, method = setting.problem, setting.method
    if sampling.kind == LISTED:
        return [], "the sample of every copy is listed"
    if setting.deterministic and not setting.sampling.later and problem.quadratic and problem.minimiser is not None:
        if isinstance(problem.data, DiagonalQuadratic):
            if has_ascent(method.data):
                return [Way.DIAGONAL], ""
            return [], f"method {method.family!r} has no fast step on a diagonal quadratic"
        if method.isometric and problem.d**2 <= MOST_ENTRIES:
            return [Way.EIGENBASIS], ""
    if linear(problem.data) is None:
        return [], f"problem {problem.name.partition(':')[0]!r} is neither a linear model nor a deterministic quadratic"
    if not single_row(sampling):
        return [Way.BLOCKED], ""
    if not has_span(method.data):
        return [], f"method {method.family!r} has no closed form on one row"
    small = problem.n <= problem.d and problem.n**2 <= MOST_ENTRIES
    gram = isinstance(problem.data, LeastSquares) and has_ascent(method.data) and small
    return [Way.GRAM, Way.LOCKSTEP] if gram else [Way.LOCKSTEP], ""


def choose(setting: Setting, sampling: SamplingData, *, steps: int, copies: int, tier: str) -> Way:
    """The way in which `copies` copies are run for `steps` steps.

    tier: `textbook`; `fast`, the fastest steps whatever their preparation costs; `auto`, which takes the preparation
    into account and falls back on the textbook tier. Raises InputError for `fast` where there is no fast way.
    """
    check_tier(tier)
    if tier == "textbook":
        return Way.TEXTBOOK
    ways, reason = _ways(setting, sampling)
    if not ways:
        if tier == "fast":
            raise InputError(f"tier must be auto or textbook for {setting}: {reason}")
        return Way.TEXTBOOK
    if tier == "fast":
        return ways[0]
    n, d = setting.problem.n, setting.problem.d
    # Measured: a Gram matrix costs as much as about n^2/4 steps save, a rotation as 2 d steps that read d^2 numbers.
    if ways[0] is Way.GRAM and steps * copies < n * n // 4:
        return Way.LOCKSTEP
    rows = linear(setting.problem.data) is not None
    if ways[0] is Way.EIGENBASIS and steps * n * (1 if rows else d) < 2 * d * d:
        return Way.BLOCKED if rows else Way.TEXTBOOK
    return ways[0]


# -- what is prepared once for a problem --

_squares: WeakKeyDictionary[Problem, Vector] = WeakKeyDictionary()
_grams: WeakKeyDictionary[Problem, Matrix] = WeakKeyDictionary()
_bases: WeakKeyDictionary[Problem, tuple[Vector, Matrix]] = WeakKeyDictionary()


def row_squares(problem: Problem, parts: Linear) -> Vector:
    """||a_i||^2, shape (n,); kept as long as the problem lives: for mapped data it takes a pass over the file."""
    if problem not in _squares:
        _squares[problem] = np.einsum("ij,ij->i", parts.A, parts.A)
    return _squares[problem]


def gram_matrix(problem: Problem, parts: Linear) -> Matrix:
    """A A', shape (n, n); kept as long as the problem lives."""
    if problem not in _grams:
        with threadpool_limits(limits=1):  # neither bits nor a busy core shall depend on how many threads BLAS takes
            _grams[problem] = np.ascontiguousarray(parts.A @ parts.A.T)
    return _grams[problem]


def row_space(A: Matrix, x: Matrix) -> tuple[Matrix, Matrix]:
    """x = rest + beta A with the rest orthogonal to every row of A; x, rest: shape (R, d); beta: (R, n)."""
    rest, beta = np.zeros_like(x), np.zeros((len(x), len(A)))
    distinct, which = np.unique(x, axis=0, return_inverse=True)
    for number, point in enumerate(distinct):
        if not point.any():
            continue
        with threadpool_limits(limits=1):
            share = np.linalg.lstsq(A.T, point, rcond=None)[0]
            beta[which == number], rest[which == number] = share, point - share @ A
    return rest, beta


def eigenbasis(problem: Problem) -> tuple[Vector, Matrix]:
    """Eigenvalues (d,), ascending, and eigenvectors (d, d) of the Hessian of a quadratic; kept as long as it lives.

    Eigenvalues that are rounding of the eigensolver, at most d eps of the largest, are 0.
    """
    if problem not in _bases:
        with threadpool_limits(limits=1):
            values, vectors = np.linalg.eigh(problem.hessian(problem.centre))
        values[np.abs(values) <= len(values) * np.finfo(float).eps * np.abs(values).max()] = 0.0
        _bases[problem] = values, np.ascontiguousarray(vectors)
    return _bases[problem]


@dataclass(frozen=True)
class Rotation:
    """x = origin + Q z, without BLAS, which would round by how many points there are.

    origin: shape (d,). vectors: Q, shape (d, d).
    """

    origin: Vector
    vectors: Matrix

    def inwards(self, x: Matrix) -> Matrix:
        """z of x; the last axis has length d."""
        return np.asarray(np.einsum("...i,ij->...j", x - self.origin, self.vectors))

    def outwards(self, z: Matrix) -> Matrix:
        """x of z."""
        return np.asarray(self.origin + np.einsum("...j,ij->...i", z, self.vectors))


def diagonalised(setting: Setting) -> tuple[Setting, Rotation]:
    """The same setting in the eigenbasis of its Hessian, on the full batch of one component."""
    problem = setting.problem
    values, vectors = eigenbasis(problem)
    rotation = Rotation(problem.centre, vectors)
    start = rotation.inwards(problem.start)
    inner = Quadratic(name=problem.name, data=DiagonalQuadratic(values.copy()), eigenvalues=values, start=start)
    return replace(setting, problem=inner, sampling=full(1), x0=rotation.inwards(setting.x0)), rotation
