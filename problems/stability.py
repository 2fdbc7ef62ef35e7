"""Neighbouring data sets: finite sums of losses f_i(w) = l(w; z_i), each with the sum in which one example z_i has
changed, for statements on the uniform stability of SGD.

An example z of each class here has an opposite one: -z, the other label, the angle z + pi. The SPEC's key `flip` says
which example the neighbour has the opposite of, so that one SPEC names the pair of data sets.
"""

from __future__ import annotations

import abc
import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .data import Scale, load, scaled
from .errors import InputError
from .glm import LogisticProblem
from .kernel import gap, gradient, value
from .problem import (
    Constant,
    Grade,
    Indices,
    Matrix,
    Problem,
    Vector,
    as_vector,
    bound,
    check_count,
    check_nonnegative,
    check_positive,
    exact,
    problems,
)
from .quadratics import FiniteSumOfQuadratics, QuadraticSum
from .spec import read_float, spelled


class Losses(NamedTuple):
    """What holds for the loss l(.; z) of every example of both data sets, on a ball around the origin.

    lipschitz: |l(w; z) - l(w'; z)| <= lipschitz ||w - w'||; infinite where there is none. smoothness: Lipschitz
    constant of its gradient. convexity: c for which l - (c/2)||w||^2 is convex. lowest, highest: its range, of the
    whole space.
    """

    lipschitz: float
    smoothness: float
    convexity: float
    lowest: float
    highest: float


class NeighbouringData(abc.ABC):
    """A finite sum that knows its neighbour: the same with the example `flip` changed."""

    flip: int

    @property
    @abc.abstractmethod
    def neighbour(self) -> Problem:
        """The other data set's sum; it has the same class of data, so that it runs on the same compiled kernels."""

    @abc.abstractmethod
    def losses(self, radius: float) -> Losses:
        """The constants of all losses on the ball of this radius around the origin; the radius may be infinite."""

    @property
    @abc.abstractmethod
    def kinds(self) -> tuple[Indices, Indices]:
        """One example of each kind, and how many there are of it; the example `flip` is a kind of its own."""


def _flipped(examples: Vector, flip: int) -> Vector:
    other = examples.copy()
    other[flip] = -other[flip]
    return other


def _alike(examples: NDArray[np.float64], flip: int) -> tuple[Indices, Indices]:
    """The kinds of examples that are equal as rows."""
    marked = np.column_stack([examples.reshape(len(examples), -1), np.arange(len(examples)) == flip])
    _, first, counts = np.unique(marked, axis=0, return_index=True, return_counts=True)
    return first.astype(np.int64), counts.astype(np.int64)


def _check_flip(flip: Any, n: int) -> int:
    index = check_count(flip, argument="flip", least=0)
    if index >= n:
        raise InputError(f"flip must be the number of an example, 0..{n - 1}, got {index}")
    return index


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([check_count(seed, argument="seed", least=0), 0x57])


# -- linear losses --


class LinearLosses(NamedTuple):
    """f_i(w) = z_i w on the line."""

    z: Vector


@gap.of(LinearLosses)
def _linear_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for i in range(problem.z.shape[0]):
        total += problem.z[i]
    return float(total / problem.z.shape[0] * x[0])


@value.of(LinearLosses)
def _linear_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    total = 0.0
    for k in range(m):
        total += weights[k] * problem.z[indices[k]]
    return float(total / problem.z.shape[0] * x[0])


@gradient.of(LinearLosses)
def _linear_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    total = 0.0
    for k in range(m):
        total += weights[k] * problem.z[indices[k]]
    out[0] = total / problem.z.shape[0]


class LinearSum(Problem, NeighbouringData):
    """f_i(w) = z_i w with z_i = +-1: the losses on which the stability bound for convex ones is attained.

    Each draw of the changed example takes the two runs 2 gamma further apart, in the same direction. f has no lower
    bound, and `gap` is f(x) - f(0). L and the L_i are given as 1, upper bounds of 0: steps are measured against 1/L.
    Runs start at 0.
    """

    def __init__(self, z: Vector, *, flip: int, name: str) -> None:
        super().__init__(
            name=name,
            data=LinearLosses(z),
            n=len(z),
            d=1,
            L=bound(1.0),
            mu=bound(0.0),
            start=np.zeros(1),
            minimiser=None,
            convex_components=True,
        )
        self.bounded = False
        self.flip = flip

    @property
    def neighbour(self) -> LinearSum:
        return LinearSum(_flipped(self.data.z, self.flip), flip=self.flip, name=f"{self.name}, neighbour")

    def losses(self, radius: float) -> Losses:
        return Losses(float(np.abs(self.data.z).max()), 0.0, 0.0, -math.inf, math.inf)

    @property
    def kinds(self) -> tuple[Indices, Indices]:
        return _alike(self.data.z, self.flip)

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.ones(self.n), Grade.BOUND

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.full(self.n, np.inf), Grade.EXACT

    @property
    def varying_components(self) -> NDArray[np.bool_]:
        return np.ones(self.n, dtype=bool)

    def affine_noise(self) -> tuple[Vector, Matrix]:
        z = self.data.z
        return np.ones(self.n), (z - z.mean())[:, None]


@problems.register("linear-losses")
def linear_losses(n: int = 10, seed: int = 0, flip: int = 0) -> LinearSum:
    """z_i w with random signs z_i, which the neighbour flips for example `flip`."""
    check_count(n, argument="n")
    z = _rng(seed).choice([-1.0, 1.0], n)
    return LinearSum(z, flip=_check_flip(flip, n), name=f"linear-losses:n={n},seed={seed},flip={flip}")


# -- quadratic losses --


class QuadraticLosses(FiniteSumOfQuadratics, NeighbouringData):
    """f_i(w) = w' H w/2 - z_i' w with H diagonal and positive: strongly convex, Lipschitz on every ball.

    On the ball of radius R the gradient H w - z is at most h_max R + max ||z_i|| long. On the line SGD with steps up to
    1/h does not leave the ball of radius max |z_i|/h, if it starts there. Runs start at 0.
    """

    def __init__(self, h: Vector, z: Matrix, *, flip: int, name: str) -> None:
        H = np.diag(h)
        minimiser = z.mean(axis=0) / h
        g = z.mean(axis=0) - z
        g -= g.mean(axis=0)
        data = QuadraticSum(np.tile(H, (len(z), 1, 1)), np.ascontiguousarray(g), H, minimiser)
        super().__init__(name=name, data=data, start=np.zeros(len(h)))
        self.h, self.z, self.flip = h, z, flip

    @property
    def neighbour(self) -> QuadraticLosses:
        other = self.z.copy()
        other[self.flip] *= -1
        return QuadraticLosses(self.h, other, flip=self.flip, name=f"{self.name}, neighbour")

    def losses(self, radius: float) -> Losses:
        longest = float(np.linalg.norm(self.z, axis=1).max())
        top, low = float(self.h.max()), float(self.h.min())
        return Losses(top * radius + longest, top, low, -(longest**2) / (2 * low), math.inf)

    @property
    def kinds(self) -> tuple[Indices, Indices]:
        return _alike(self.z, self.flip)


@problems.register("quadratic-losses")
def quadratic_losses(
    n: int = 20,
    h: str = "1",
    examples: Literal["random", "outlier"] = "random",
    Z: float = 1.0,
    seed: int = 0,
    flip: int = 0,
) -> QuadraticLosses:
    """w' H w/2 - z_i' w, H = diag(h), h=1/0.5. examples: `random`, uniform on [-Z, Z] in each coordinate but for the
    flipped one, which is Z in the first; `outlier`, the flipped one alone is not 0."""
    check_count(n, argument="n")
    check_positive(Z, argument="Z")
    curvatures = np.array([check_positive(read_float(entry, argument="h"), argument="h") for entry in h.split("/")])
    d, index = len(curvatures), _check_flip(flip, n)
    z = _rng(seed).uniform(-Z, Z, (n, d)) / math.sqrt(d) if examples == "random" else np.zeros((n, d))
    z[index] = 0.0
    z[index, 0] = Z
    name = f"quadratic-losses:n={n},h={h},examples={examples},Z={spelled(Z)},seed={seed},flip={flip}"
    return QuadraticLosses(as_vector(curvatures, argument="h"), z, flip=index, name=name)


# -- logistic losses --


class LogisticLosses(LogisticProblem, NeighbouringData):
    """Logistic regression whose neighbour has the other label for one example. Runs start at 0."""

    def __init__(
        self, A: Matrix, b: Vector, *, reg: float, flip: int, name: str, remarks: tuple[str, ...] = ()
    ) -> None:
        super().__init__(A=A, b=b, reg=reg, name=name, remarks=remarks)
        self.flip = flip

    @property
    def neighbour(self) -> LogisticLosses:
        b = _flipped(self.data.b, self.flip)
        return LogisticLosses(self.data.A, b, reg=self.data.reg, flip=self.flip, name=f"{self.name}, neighbour")

    def losses(self, radius: float) -> Losses:
        longest, reg = float(np.linalg.norm(self.data.A, axis=1).max()), self.data.reg
        pull = reg * radius if reg > 0 else 0.0
        return Losses(longest + pull, longest**2 / 4 + reg, reg, 0.0, math.inf)

    @property
    def kinds(self) -> tuple[Indices, Indices]:
        return _alike(np.column_stack([self.data.A, self.data.b]), self.flip)


@problems.register("logistic-losses")
def logistic_losses(
    n: int = 20,
    d: int = 3,
    seed: int = 0,
    reg: float = 0.0,
    data: str | None = None,
    scale: Scale = "rows",
    positive: str | None = None,
    flip: int = 0,
) -> LogisticLosses:
    """Logistic regression on n random unit rows with random labels, or on the first n rows of a bundled data set
    (`data`, see `data.load`; n = 0 for all of them), whose neighbour flips the label of row `flip`."""
    check_nonnegative(reg, argument="reg")
    if data is None:
        check_count(n, argument="n")
        check_count(d, argument="d")
        rng = _rng(seed)
        A = scaled(rng.standard_normal((n, d)), "rows")
        b = rng.choice([-1.0, 1.0], n)
        name = f"logistic-losses:n={n},d={d},seed={seed},reg={spelled(reg)},flip={flip}"
        return LogisticLosses(A, b, reg=float(reg), flip=_check_flip(flip, n), name=name)
    check_count(n, argument="n", least=0)
    found = load(file=None, data=data, scale=scale, positive=positive, classification=True)
    A, b = (np.ascontiguousarray(part[: n or None]) for part in (found.A, found.b))
    label = f",positive={positive}" if positive is not None else ""
    name = f"logistic-losses:data={data},n={n},reg={spelled(reg)},scale={scale}{label},flip={flip}"
    index = _check_flip(flip, len(b))
    return LogisticLosses(A, b, reg=float(reg), flip=index, name=name, remarks=(found.description,))


# -- cosine losses --


class Angles(NamedTuple):
    """f_i(w) = (1 - cos(w - z_i))/2 on the line. Their mean is (1 - length cos(w - middle))/2 with
    length e^(i middle) = (1/n) sum_i e^(i z_i)."""

    z: Vector
    length: float
    middle: float


@gap.of(Angles)
def _angles_gap(problem: Any, x: Any) -> float:
    root = math.sin(0.5 * (x[0] - problem.middle))
    return float(problem.length * root * root)


@value.of(Angles)
def _angles_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    total = 0.0
    for k in range(m):
        root = math.sin(0.5 * (x[0] - problem.z[indices[k]]))
        total += weights[k] * root * root
    return float(total / problem.z.shape[0])


@gradient.of(Angles)
def _angles_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    total = 0.0
    for k in range(m):
        total += weights[k] * math.sin(x[0] - problem.z[indices[k]])
    out[0] = 0.5 * total / problem.z.shape[0]


class CosineLosses(Problem, NeighbouringData):
    """f_i(w) = (1 - cos(w - z_i))/2 in [0, 1]: 1/2-smooth, 1/2-Lipschitz, not convex. The neighbour has z + pi, whose
    gradient is opposite everywhere. Runs start at 0. Raises InputError where the mean of the e^(i z_i) vanishes."""

    def __init__(self, z: ArrayLike, *, flip: int, name: str) -> None:
        angles = as_vector(z, argument="z")
        mean = complex(np.exp(1j * angles).mean())
        if abs(mean) < 1e-12:
            raise InputError(f"the angles of problem {name!r} cancel: f is constant; take other ones")
        middle = math.atan2(mean.imag, mean.real)
        super().__init__(
            name=name,
            data=Angles(angles, abs(mean), middle),
            n=len(angles),
            d=1,
            L=exact(abs(mean) / 2),
            mu=bound(0.0),
            start=np.zeros(1),
            minimiser=np.array([middle]),
            convex_components=False,
        )
        self.flip = flip

    @property
    def neighbour(self) -> CosineLosses:
        z = self.data.z.copy()
        z[self.flip] += math.pi
        return CosineLosses(z, flip=self.flip, name=f"{self.name}, neighbour")

    def losses(self, radius: float) -> Losses:
        return Losses(0.5, 0.5, -0.5, 0.0, 1.0)

    @property
    def kinds(self) -> tuple[Indices, Indices]:
        return _alike(self.data.z, self.flip)

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.full(self.n, 0.5), Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.sin(0.5 * (self.data.middle - self.data.z)) ** 2, Grade.EXACT

    def weighted_smoothness(self, weights: Vector) -> Constant:
        return exact(0.5 * abs(complex((weights * np.exp(1j * self.data.z)).mean())))


@problems.register("cosine-losses")
def cosine_losses(
    n: int = 20, examples: Literal["random", "aligned"] = "random", seed: int = 0, flip: int = 0
) -> CosineLosses:
    """(1 - cos(w - z_i))/2. examples: `random` angles, or `aligned`: all -pi/2, so that at w = 0 the slope of each loss
    is largest."""
    check_count(n, argument="n")
    index = _check_flip(flip, n)
    z = _rng(seed).uniform(-math.pi, math.pi, n) if examples == "random" else np.full(n, -math.pi / 2)
    name = f"cosine-losses:n={n},examples={examples},seed={seed},flip={flip}"
    return CosineLosses(z, flip=index, name=name)
