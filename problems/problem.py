"""Problem: a finite sum with its kernel data, its constants and the grade of each constant."""

from __future__ import annotations

import abc
import enum
import math
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import kernel
from .errors import InputError
from .spec import Catalogue

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

problems: Catalogue[Problem] = Catalogue("problem", ("problems",))
"""Every problem that has a SPEC: `problems.build("ridge:data=diabetes,reg=0.1")`."""


class Grade(enum.Enum):
    """How a constant is known."""

    EXACT = "exact"
    BOUND = "bound"
    ESTIMATE = "estimate"
    GIVEN = "given"


_TRUST = (Grade.EXACT, Grade.BOUND, Grade.GIVEN, Grade.ESTIMATE)


def weakest(*grades: Grade) -> Grade:
    """The grade of a number computed from numbers of these grades."""
    return max(grades, key=_TRUST.index)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number and its grade. `exact` means exact up to the rounding of its computation."""

    value: float
    grade: Grade

    def __str__(self) -> str:
        return f"{self.value:.6g} ({self.grade.value})"


def exact(value: float) -> Constant:
    """A constant known exactly."""
    return Constant(float(value), Grade.EXACT)


def bound(value: float) -> Constant:
    """A proved bound on the safe side: an upper bound of L, a lower bound of mu."""
    return Constant(float(value), Grade.BOUND)


def as_vector(entries: ArrayLike, *, argument: str, size: int | None = None) -> Vector:
    """A writable C-contiguous float64 vector of finite numbers; InputError naming `argument` otherwise.

    Kernels compile once for this one layout, so every array goes through here or `as_matrix`.
    """
    array = _as_float_array(entries, argument)
    if array.ndim != 1 or (size is not None and array.shape != (size,)):
        wanted = f"shape ({size},)" if size is not None else "one dimension"
        raise InputError(f"{argument} must have {wanted}, got shape {array.shape}")
    return array


def as_matrix(entries: ArrayLike, *, argument: str) -> Matrix:
    """A writable C-contiguous float64 matrix of finite numbers; InputError naming `argument` otherwise."""
    array = _as_float_array(entries, argument)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{argument} must be a matrix with at least one row and column, got shape {array.shape}")
    return array


def _as_float_array(entries: ArrayLike, argument: str) -> NDArray[np.float64]:
    try:
        array = np.array(entries, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        raise InputError(f"{argument} must be an array of numbers, got {type(entries).__name__}") from None
    if not np.isfinite(array).all():
        raise InputError(f"{argument} holds NaN or infinite entries; only finite numbers are allowed")
    return array


def plain(number: Any) -> Any:
    """NumPy scalars as the Python numbers they hold, so that messages read 1.5 and not np.float64(1.5)."""
    return number.item() if isinstance(number, np.generic) else number


def check_positive(number: float, *, argument: str) -> float:
    """`number` if it is finite and positive; InputError naming `argument` otherwise."""
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{argument} must be a positive finite number, got {plain(number)!r}")
    return float(number)


def check_nonnegative(number: float, *, argument: str) -> float:
    """`number` if it is finite and not negative; InputError naming `argument` otherwise."""
    if not (math.isfinite(number) and number >= 0):
        raise InputError(f"{argument} must be a finite number >= 0, got {plain(number)!r}")
    return float(number)


def check_count(number: Any, *, argument: str, least: int = 1) -> int:
    """`number` if it is a whole number >= `least`; InputError naming `argument` otherwise."""
    try:
        whole = None if isinstance(number, bool | str) else int(number)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != number or whole < least:
        raise InputError(f"{argument} must be a whole number >= {least}, got {plain(number)!r}")
    return whole


def check_memory(entries: int, *, what: str) -> None:
    """Refuse an array that would not fit: more than a third of the machine's memory in float64."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3
    if 8 * entries > limit:
        raise InputError(f"{what} needs {8 * entries / 2**30:.1f} GiB; at most {limit / 2**30:.1f} GiB is allowed here")


class Problem(abc.ABC):
    """f(x) = (1/n) sum_{i<n} f_i(x) on R^d, all norms Euclidean, all quantities dimensionless.

    Subclasses hand the kernel data and the constants to `__init__` and answer the questions about
    components below. Everything a theorem reads of a problem is here.

    name: the SPEC, or a description for a problem made from arrays.
    data: the NamedTuple whose class picks the kernels.
    L: Lipschitz constant of grad f, or an upper bound.
    mu: Polyak-Lojasiewicz constant, ||grad f||^2 >= 2 mu (f - f*), or a lower bound; 0 when f is not PL or
        no constant is known.
    start: where runs begin unless told otherwise, shape (d,).
    minimiser: a minimiser if one is known, shape (d,).
    quadratic (of the class): f is a quadratic function.
    convex_components: every f_i is convex.
    bounded: f has a lower bound. Where it has none, `minimiser` is its stationary point and `gap` is taken from there.
    """

    quadratic: ClassVar[bool] = False
    bounded: bool = True

    def __init__(
        self,
        *,
        name: str,
        data: Any,
        n: int,
        d: int,
        L: Constant,
        mu: Constant,
        start: Vector,
        minimiser: Vector | None,
        convex_components: bool,
        remarks: tuple[str, ...] = (),
    ) -> None:
        if not (math.isfinite(L.value) and math.isfinite(mu.value)):
            raise InputError(
                f"the constants of problem {name!r} overflow: L = {L.value}, mu = {mu.value}; rescale the data"
            )
        self.name = name
        self.data = data
        self.n = n
        self.d = d
        self.L = L
        self.mu = mu
        self.start = start
        self.minimiser = minimiser
        self.convex_components = convex_components
        self.remarks = remarks

    def given(self, *, mu: float | None = None, L: float | None = None) -> None:
        """Take the user's word for mu or L (grade `given`).

        Raises InputError where an exact constant contradicts it (beyond rounding), or mu > L.
        """
        exactly = f"which is exact for {self.name!r}"
        if mu is not None:
            most = check_nonnegative(mu, argument="mu") / (1 + 1e-9)
            if self.mu.grade is Grade.EXACT and most > self.mu.value:
                raise InputError(f"mu must be at most {self.mu.value:.6g}, {exactly}, got {mu!r}")
            self.mu = Constant(float(mu), Grade.GIVEN)
        if L is not None:
            least = check_positive(L, argument="L") * (1 + 1e-9)
            if self.L.grade is Grade.EXACT and self.L.value > least:
                raise InputError(f"L must be at least {self.L.value:.6g}, {exactly}, got {L!r}")
            self.L = Constant(float(L), Grade.GIVEN)
        if not self.mu.value <= self.L.value * (1 + 1e-9):
            raise InputError(f"mu must be at most L = {self.L.value:.6g}, got {self.mu.value:.6g}")

    @property
    def centre(self) -> Vector:
        """The minimiser where one is known, else the origin: what distances are taken from."""
        return np.zeros(self.d) if self.minimiser is None else self.minimiser

    # -- values and gradients (the kernels, run as plain Python) --

    def value(self, x: ArrayLike) -> float:
        """f(x). x: shape (d,)."""
        return float(kernel.value(self.data, self._point(x), *self._all))

    def component_value(self, i: int, x: ArrayLike) -> float:
        """f_i(x). i: 0..n-1; x: shape (d,)."""
        return float(kernel.value(self.data, self._point(x), *self._one(i)))

    def gradient(self, x: ArrayLike) -> Vector:
        """grad f(x), shape (d,). x: shape (d,)."""
        return self._gradient(x, *self._all)

    def sample_gradient(self, i: int, x: ArrayLike) -> Vector:
        """grad f_i(x), shape (d,). i: 0..n-1; x: shape (d,)."""
        return self._gradient(x, *self._one(i))

    def minibatch_gradient(self, x: ArrayLike, indices: ArrayLike, weights: ArrayLike) -> Vector:
        """(1/n) sum_k weights[k] grad f_{indices[k]}(x), shape (d,). indices, weights: shape (m,)."""
        chosen = np.array(indices, dtype=np.int64, order="C")
        factors = as_vector(weights, argument="weights", size=len(chosen))
        return self._gradient(x, chosen, factors, len(chosen))

    def gap(self, x: ArrayLike) -> float:
        """The suboptimality f(x) - f*, computed without cancellation. x: shape (d,)."""
        return float(kernel.gap(self.data, self._point(x)))

    def _point(self, x: ArrayLike) -> Vector:
        return as_vector(x, argument="x", size=self.d)

    @cached_property
    def _all(self) -> tuple[Indices, Vector, int]:
        return np.arange(self.n), np.ones(self.n), self.n

    def _one(self, i: int) -> tuple[Indices, Vector, int]:
        return np.array([range(self.n)[i]]), np.array([float(self.n)]), 1

    def _gradient(self, x: ArrayLike, indices: Indices, weights: Vector, m: int) -> Vector:
        out = np.empty(self.d)
        kernel.gradient(self.data, self._point(x), indices, weights, m, out)
        return out

    # -- what samplings need to know of the components --

    @property
    @abc.abstractmethod
    def component_smoothness(self) -> tuple[Vector, Grade]:
        """L_i, the Lipschitz constants of grad f_i, shape (n,), and their grade."""

    @property
    @abc.abstractmethod
    def component_gaps(self) -> tuple[Vector, Grade]:
        """f_i(x*) - inf f_i >= 0, shape (n,), and their grade; infinite where f_i has no lower bound.

        Their mean is sigma* of the expected-residual constants: 0 under interpolation.
        """

    @property
    def varying_components(self) -> NDArray[np.bool_]:
        """Which f_i are not constant, shape (n,): a sampling must give each of them a positive probability."""
        return np.asarray(self.component_smoothness[0] > 0)

    def weighted_smoothness(self, weights: Vector) -> Constant:
        """The Lipschitz constant of (1/n) sum_i weights[i] grad f_i. weights: shape (n,), nonnegative.

        The triangle inequality here; overridden where the exact constant is cheap.
        """
        smoothness, grade = self.component_smoothness
        return Constant(float(weights @ smoothness) / self.n, weakest(grade, Grade.BOUND if self.n > 1 else grade))

    @property
    def spectrum(self) -> Vector:
        """For a quadratic, the eigenvalues of its Hessian, shape (d,), ascending; empty otherwise."""
        return np.zeros(0)

    @property
    def strong_convexity(self) -> float:
        """A number m with f - m ||x||^2/2 convex, 0 where f is not strongly convex or no constant is known."""
        lowest = float(self.spectrum[0]) if len(self.spectrum) else 0.0
        return max(lowest, 0.0)

    @property
    def hessian_lipschitz(self) -> float:
        """A Lipschitz constant of the Hessian of f, infinite where none is known."""
        return 0.0 if self.quadratic else math.inf

    def hessian(self, x: ArrayLike) -> Matrix:
        """The Hessian of f at x, shape (d, d); central differences of the gradient unless a class knows better, good to
        about 1e-9 relative."""
        point = self._point(x)
        width = 6e-6 * max(1.0, float(np.abs(point).max()))
        columns = [
            (self.gradient(point + width * e) - self.gradient(point - width * e)) / (2 * width) for e in np.eye(self.d)
        ]
        H = np.array(columns)
        return np.asarray((H + H.T) / 2)

    def quadratic_components(self) -> tuple[NDArray[np.float64], Matrix] | None:
        """For a sum of quadratics, H_i (n, d, d) and grad f_i(x*) (n, d); None otherwise."""
        return None

    def affine_noise(self) -> tuple[Vector, Matrix] | None:
        """If grad f_i = s_i grad f + c_i for all x: s of shape (n,) with mean 1 and c of shape (n, d) with
        mean 0; None otherwise."""
        return None
