"""Generalised linear models on given data: least squares, ridge regression and logistic regression."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .data import Scale, binary_labels, load, scaled
from .errors import InputError
from .kernel import gap, gradient, helper, value
from .problem import (
    Constant,
    Grade,
    Matrix,
    Problem,
    Vector,
    as_matrix,
    as_vector,
    bound,
    check_nonnegative,
    exact,
    problems,
)
from .spec import spelled


class LeastSquares(NamedTuple):
    """f_i(x) = (a_i.x - b_i)^2 / 2 + (reg/2) ||x||^2 with a_i the rows of A (n, d)."""

    A: Matrix
    b: Vector
    reg: float
    minimiser: Vector


class Logistic(NamedTuple):
    """f_i(x) = log(1 + exp(-b_i a_i.x)) + (reg/2) ||x||^2 with b_i = -1 or +1.

    The gap is taken about `minimiser`, where `margins` are b_i a_i.x. Rows with `separated` = 1 (else 0) can
    be classified beyond any margin at no cost to the others: they add nothing to f*, and the gap holds all of
    their loss. There are such rows only when reg = 0 and f has no minimiser; `minimiser` then minimises the
    loss of the other rows.
    """

    A: Matrix
    b: Vector
    reg: float
    minimiser: Vector
    margins: Vector
    separated: Vector


@value.of(LeastSquares)
def _squares_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    n, d = problem.A.shape
    size = 0.0
    for j in range(d):
        size += x[j] * x[j]
    total = 0.0
    for k in range(m):
        i = indices[k]
        residual = -problem.b[i]
        for j in range(d):
            residual += problem.A[i, j] * x[j]
        total += weights[k] * 0.5 * (residual * residual + problem.reg * size)
    return float(total / n)


@gradient.of(LeastSquares)
def _squares_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    n, d = problem.A.shape
    if m == 1:
        i = indices[0]
        weight = weights[0] / n
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * x[j]
        coefficient = weight * (dot - problem.b[i])
        shrink = weight * problem.reg
        for j in range(d):
            out[j] = coefficient * problem.A[i, j] + shrink * x[j]
        return
    shrink = 0.0
    for k in range(m):
        shrink += weights[k] / n
    shrink *= problem.reg
    for j in range(d):
        out[j] = shrink * x[j]
    for k in range(m):
        i = indices[k]
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * x[j]
        coefficient = weights[k] / n * (dot - problem.b[i])
        for j in range(d):
            out[j] += coefficient * problem.A[i, j]


@gap.of(LeastSquares)
def _squares_gap(problem: Any, x: Any) -> float:
    n, d = problem.A.shape
    size = 0.0
    for j in range(d):
        size += (x[j] - problem.minimiser[j]) * (x[j] - problem.minimiser[j])
    total = 0.0
    for i in range(n):
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * (x[j] - problem.minimiser[j])
        total += dot * dot
    return float(0.5 * (total / n + problem.reg * size))


@helper
def logistic_loss(z: Any) -> Any:
    """log(1 + exp(-z)) without overflow."""
    if z > 0.0:
        return math.log1p(math.exp(-z))
    return -z + math.log1p(math.exp(z))


@helper
def logistic_slope(z: Any) -> Any:
    """1 / (1 + exp(z)), minus the derivative of the logistic loss, without overflow."""
    # exp(z) is in range below 700; above, 1 is lost beside it.
    return 1.0 / (1.0 + math.exp(z)) if z < 700.0 else math.exp(-z)


@helper
def logistic_bregman(z: Any, delta: Any) -> Any:
    """loss(z + delta) - loss(z) - loss'(z) delta for the logistic loss, relative error about 1e-14.

    Flipping the signs of both arguments changes nothing, so that the slope is at most 1/2 below. A short
    step is the integral delta^2 int_0^1 (1 - u) loss''(z + u delta) du of a positive function, by the
    8-point Gauss-Legendre rule: loss'' has its nearest poles at +-i pi, so that for |delta| < 1 the rule's
    error is below rounding.
    """
    if z < 0.0:
        z = -z
        delta = -delta
    if delta >= 1.0 or delta <= -1.0:
        fall = math.exp(-z)
        return logistic_loss(z + delta) - math.log1p(fall) + fall / (1.0 + fall) * delta
    nodes = (
        0.019855071751231884,
        0.10166676129318664,
        0.2372337950418355,
        0.4082826787521751,
        0.591717321247825,
        0.7627662049581645,
        0.8983332387068134,
        0.9801449282487681,
    )
    factors = (
        0.04960931821952933,
        0.09988613745373567,
        0.11964241387321545,
        0.10730313838033538,
        0.07403875330884561,
        0.037210909065728194,
        0.011304379772951567,
        0.0010049499256588007,
    )
    total = 0.0
    for k in range(8):
        fall = math.exp(-abs(z + nodes[k] * delta))
        total += factors[k] * fall / ((1.0 + fall) * (1.0 + fall))
    return total * delta * delta


@value.of(Logistic)
def _logistic_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    n, d = problem.A.shape
    size = 0.0
    for j in range(d):
        size += x[j] * x[j]
    total = 0.0
    for k in range(m):
        i = indices[k]
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * x[j]
        total += weights[k] * (logistic_loss(problem.b[i] * dot) + 0.5 * problem.reg * size)
    return float(total / n)


@gradient.of(Logistic)
def _logistic_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    n, d = problem.A.shape
    if m == 1:
        i = indices[0]
        weight = weights[0] / n
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * x[j]
        coefficient = -weight * problem.b[i] * logistic_slope(problem.b[i] * dot)
        shrink = weight * problem.reg
        for j in range(d):
            out[j] = coefficient * problem.A[i, j] + shrink * x[j]
        return
    shrink = 0.0
    for k in range(m):
        shrink += weights[k] / n
    shrink *= problem.reg
    for j in range(d):
        out[j] = shrink * x[j]
    for k in range(m):
        i = indices[k]
        dot = 0.0
        for j in range(d):
            dot += problem.A[i, j] * x[j]
        coefficient = -(weights[k] / n) * problem.b[i] * logistic_slope(problem.b[i] * dot)
        for j in range(d):
            out[j] += coefficient * problem.A[i, j]


@gap.of(Logistic)
def _logistic_gap(problem: Any, x: Any) -> float:
    n, d = problem.A.shape
    size = 0.0
    for j in range(d):
        size += (x[j] - problem.minimiser[j]) * (x[j] - problem.minimiser[j])
    total = 0.0
    for i in range(n):
        delta = 0.0
        for j in range(d):
            delta += problem.A[i, j] * (x[j] - problem.minimiser[j])
        delta *= problem.b[i]
        if problem.separated[i] != 0.0:
            total += logistic_loss(problem.margins[i] + delta)
        else:
            total += logistic_bregman(problem.margins[i], delta)
    return float(total / n + 0.5 * problem.reg * size)


class _Factors(NamedTuple):
    """A = U diag(s) V' with s > 0 and r = rank of A columns in U (n, r) and V (d, r)."""

    U: Matrix
    s: Vector
    V: Matrix


def _factors(A: Matrix) -> _Factors:
    """The singular value decomposition up to the numerical rank (the default tolerance of numpy's matrix_rank)."""
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    r = int((s > s[0] * max(A.shape) * np.finfo(float).eps).sum())
    return _Factors(U[:, :r], s[:r], np.ascontiguousarray(Vt[:r].T))


def _check_range(A: Matrix, b: Vector, reg: float, name: str) -> None:
    """InputError unless the squares of A and b are finite and f is not constant."""
    with np.errstate(over="ignore"):
        energy = float((A * A).sum())
        sound = math.isfinite(energy) and math.isfinite(float(b @ b))
    if not sound:
        raise InputError(f"the entries of problem {name!r} are too large to square; rescale A and b")
    if energy == 0 and reg == 0:
        raise InputError(f"A of problem {name!r} is zero or too small to square; give a larger A or reg > 0")


def _largest_curvature(A: Matrix, weights: Vector) -> float:
    """Largest eigenvalue of A' diag(weights) A / n, from the smaller of the two Gram matrices. weights >= 0."""
    chosen = weights > 0
    rows = A[chosen] * np.sqrt(weights[chosen] / len(A))[:, None]
    size = float(np.abs(rows).max(initial=0.0))
    if size == 0:
        return 0.0
    rows /= size
    gram = rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows
    return float(np.linalg.eigvalsh(gram)[-1]) * size * size


def _row_squares(A: Matrix) -> Vector:
    return np.asarray(np.einsum("ij,ij->i", A, A))


def _array_name(word: str, A: Matrix, reg: float, scale: Scale, name: str | None) -> str:
    if name is None:
        return f"{word}(arrays: n={A.shape[0]}, d={A.shape[1]}, reg={spelled(reg)}, scale={scale})"
    return name if scale == "none" or f"scale={scale}" in name else f"{name} (scale={scale})"


class LeastSquaresProblem(Problem):
    """Least squares, or ridge regression when reg > 0: f_i(x) = (a_i.x - b_i)^2 / 2 + (reg/2) ||x||^2.

    All constants are exact. When reg = 0 and A lacks full column rank, `minimiser` is the one of least norm
    and mu the smallest nonzero eigenvalue of A'A/n, with which f is Polyak-Lojasiewicz. Starts at the origin.
    """

    quadratic = True

    def __init__(
        self,
        *,
        A: Matrix,
        b: Vector,
        reg: float,
        name: str,
        remarks: tuple[str, ...] = (),
        start: Vector | None = None,
    ) -> None:
        _check_range(A, b, reg, name)
        n, d = A.shape
        U, s, V = _factors(A)
        with np.errstate(over="ignore", invalid="ignore"):
            curvatures = s * s / n + reg
            minimiser = V @ (s / n / curvatures * (U.T @ b))
            # Two refinements bring the gradient down to the rounding of its own evaluation.
            best = math.inf
            for _ in range(3):
                slope = A.T @ (A @ minimiser - b) / n + reg * minimiser
                if not float(np.linalg.norm(slope)) < best:
                    break
                best, kept = float(np.linalg.norm(slope)), minimiser
                minimiser = minimiser - V @ ((V.T @ slope) / curvatures)
        L = float(curvatures[0]) if len(s) else reg
        if not math.isfinite(best) and math.isfinite(L):
            raise InputError(f"the minimiser of problem {name!r} overflows; rescale A and b")
        lowest = float(curvatures[-1]) if len(s) == d or reg == 0 else reg
        super().__init__(
            name=name,
            data=LeastSquares(A, b, float(reg), kept if math.isfinite(best) else np.zeros(d)),
            n=n,
            d=d,
            L=exact(L),
            mu=exact(lowest) if lowest > 0 else bound(0.0),
            start=np.zeros(d) if start is None else start,
            minimiser=kept if math.isfinite(best) else None,
            convex_components=True,
            remarks=remarks,
        )
        self._definite = len(s) == d or reg > 0
        self._spectrum = np.concatenate([np.full(d - len(s), reg), curvatures[::-1]])

    @property
    def spectrum(self) -> Vector:
        return self._spectrum

    def hessian(self, x: ArrayLike) -> Matrix:
        return np.asarray(self.data.A.T @ self.data.A / self.n + self.data.reg * np.eye(self.d))

    @classmethod
    def from_arrays(
        cls, A: ArrayLike, b: ArrayLike, *, reg: float = 0.0, scale: Scale = "none", name: str | None = None
    ) -> LeastSquaresProblem:
        """A: features, shape (n, d); b: targets, shape (n,); reg >= 0; scale: as in `data.scaled`.

        Raises InputError for shapes that disagree, entries that are not finite, and constants that overflow.
        """
        check_nonnegative(reg, argument="reg")
        features = as_matrix(A, argument="A")
        targets = as_vector(b, argument="b", size=len(features))
        title = _array_name("ridge" if reg > 0 else "least-squares", features, reg, scale, name)
        return cls(A=scaled(features, scale), b=targets, reg=float(reg), name=title)

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return _row_squares(self.data.A) + self.data.reg, Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return square_gaps(*self.data), Grade.EXACT

    def weighted_smoothness(self, weights: Vector) -> Constant:
        return exact(_largest_curvature(self.data.A, weights) + self.data.reg * float(np.mean(weights)))

    def quadratic_components(self) -> tuple[NDArray[np.float64], Matrix] | None:
        """H_i = a_i a_i' + reg I and grad f_i(x*); None too when their mean is singular or n d^2 exceeds 2^24."""
        A, b, reg, minimiser = self.data
        if not self._definite or self.n * self.d**2 > 2**24:
            return None
        H = A[:, :, None] * A[:, None, :] + reg * np.eye(self.d)
        return H, A * (A @ minimiser - b)[:, None] + reg * minimiser


def square_gaps(A: Matrix, b: Vector, reg: float, minimiser: Vector) -> Vector:
    """f_i(minimiser) - inf f_i of f_i(x) = (a_i.x - b_i)^2 / 2 + (reg/2) ||x||^2, shape (n,)."""
    squares = _row_squares(A)
    dots = A @ minimiser
    if reg == 0:
        return np.where(squares > 0, (dots - b) ** 2 / 2, 0.0)
    # f_i is quadratic about its own minimiser a_i b_i / (||a_i||^2 + reg).
    share = b / (squares + reg)
    offsets = minimiser - A * share[:, None]
    return np.asarray(((dots - squares * share) ** 2 + reg * _row_squares(offsets)) / 2)


class LogisticProblem(Problem):
    """Logistic regression: f_i(x) = log(1 + exp(-b_i a_i.x)) + (reg/2) ||x||^2 with b_i = -1 or +1.

    L and the L_i are exact: the curvature of every loss is largest at the origin. mu is reg, a bound. When
    reg = 0 and a half-space separates rows of the data, there is no minimiser: f* is approached at infinity,
    `minimiser` is None, and the gap is still exact. Starts at the origin.
    """

    def __init__(self, *, A: Matrix, b: Vector, reg: float, name: str, remarks: tuple[str, ...] = ()) -> None:
        _check_range(A, b, reg, name)
        n, d = A.shape
        with np.errstate(over="ignore", invalid="ignore"):
            L = _largest_curvature(A, np.ones(n)) / 4 + reg
            if math.isfinite(L):
                minimiser, separated = _minimise_logistic(A * b[:, None], reg, name)
            else:
                minimiser, separated = np.zeros(d), np.zeros(n, dtype=bool)
        if separated.any():
            count = "all" if separated.all() else f"{int(separated.sum())} of {n}"
            limit = "f* = 0" if separated.all() else "f*"
            remarks += (f"no minimiser: {count} samples are linearly separable and {limit} is approached at infinity",)
        super().__init__(
            name=name,
            data=Logistic(A, b, float(reg), minimiser, b * (A @ minimiser), separated.astype(np.float64)),
            n=n,
            d=d,
            L=exact(L),
            mu=bound(reg),
            start=np.zeros(d),
            minimiser=None if separated.any() else minimiser,
            convex_components=True,
            remarks=remarks,
        )

    @classmethod
    def from_arrays(
        cls,
        A: ArrayLike,
        b: ArrayLike,
        *,
        reg: float = 0.0,
        scale: Scale = "none",
        positive: str | None = None,
        name: str | None = None,
    ) -> LogisticProblem:
        """A: features, shape (n, d); b: labels of two values, shape (n,), the smaller becomes -1, the larger +1.

        reg >= 0; scale: none, rows or columns (see `data.scaled`); positive: the label that becomes +1 instead,
        needed when there are more than two. A single sample may be labelled -1 or +1 alone.
        Raises InputError for shapes that disagree, entries that are not finite, labels that are not two, and
        constants that overflow.
        """
        check_nonnegative(reg, argument="reg")
        features = as_matrix(A, argument="A")
        labels = np.asarray(b)
        if labels.shape != (len(features),):
            raise InputError(f"b must have shape ({len(features)},), got shape {labels.shape}")
        if labels.dtype.kind not in "US":
            labels = as_vector(labels, argument="b")
        if not (len(labels) == 1 and positive is None and labels[0] in (-1.0, 1.0)):
            labels = binary_labels(labels, positive=positive, source="b")[0]
        title = _array_name("logistic", features, reg, scale, name)
        return cls(A=scaled(features, scale), b=np.asarray(labels), reg=float(reg), name=title)

    @property
    def strong_convexity(self) -> float:
        return float(self.data.reg)

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return _row_squares(self.data.A) / 4 + self.data.reg, Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        A, reg = self.data.A, self.data.reg
        squares = _row_squares(A)
        losses = np.logaddexp(0.0, -self.data.margins)
        if reg == 0:
            # Separated rows reach their infimum 0 in the limit; a zero row never leaves log 2.
            return np.where((squares > 0) & (self.data.separated == 0), losses, 0.0), Grade.EXACT
        at_minimiser = losses + reg / 2 * float(self.data.minimiser @ self.data.minimiser)
        return np.maximum(at_minimiser - lowest_losses(squares, reg), 0.0), Grade.BOUND

    def weighted_smoothness(self, weights: Vector) -> Constant:
        return exact(_largest_curvature(self.data.A, weights) / 4 + self.data.reg * float(np.mean(weights)))


def lowest_losses(squares: Vector, reg: float) -> Vector:
    """Lower bounds of min_z log(1 + exp(-z)) + reg z^2 / (2 squares), tight to rounding.

    Any slope in [0, 1] certifies the dual value entropy(slope) - slope^2 squares / (2 reg); the best one is
    sought by Newton on z reg = squares slope(z), whose left side less its right is increasing and concave for
    z >= 0: from z = 0 the iterates rise to the root.
    """
    z = np.zeros(len(squares))
    with np.errstate(over="ignore"):
        for _ in range(100):
            slope = 1 / (1 + np.exp(z))
            step = (squares * slope - reg * z) / (reg + squares * slope * (1 - slope))
            z = np.maximum(z + step, 0.0)
            if (np.abs(step) <= 1e-15 * z).all():
                break
        slope = 1 / (1 + np.exp(z))
    entropy = np.log1p(np.exp(-z)) + z * slope
    return np.asarray(entropy - slope * slope * (squares / (2 * reg)))


def _minimise_logistic(rows: Matrix, reg: float, name: str) -> tuple[Vector, NDArray[np.bool_]]:
    """The minimiser of mean log(1 + exp(-rows x)) + (reg/2) ||x||^2 and which rows are separated.

    With separated rows (reg = 0 only) the point minimises the loss of the others. Raises InputError when
    Newton does not converge.
    """
    nothing = np.zeros(len(rows), dtype=bool)
    x = _newton(rows, reg)
    if x is not None:
        return x, nothing
    if reg == 0:
        separated = _separated(rows)
        if separated.all():
            return np.zeros(rows.shape[1]), separated
        x = _newton(rows[~separated], 0.0) if separated.any() else None
        if x is not None:
            return x, separated
    raise InputError(f"100 Newton steps do not find the minimiser of problem {name!r}; take reg larger than {reg!r}")


def _newton(rows: Matrix, reg: float) -> Vector | None:
    """The minimiser (of least norm), gradient at rounding level, by damped Newton; None if it does not converge.

    It works in the row space, in coordinates where the curvature at the origin is the identity.
    """
    n, d = rows.shape
    if not rows.any():
        return np.zeros(d)
    _, s, V = _factors(rows)
    V = V / np.sqrt(s * s / (4 * n) + reg)
    P = rows @ V
    R = reg * (V.T @ V).diagonal()
    sizes = np.sqrt(_row_squares(P))
    eps = np.finfo(float).eps
    y = best_y = np.zeros(len(s))
    best = math.inf
    for _ in range(100):
        z = P @ y
        if reg == 0 and (z > d * eps * sizes * np.linalg.norm(y))[sizes > 0].all():
            return None
        falls, rises = 1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))
        curvature = falls * rises
        slope = R * y - P.T @ falls / n
        try:
            step = -np.linalg.solve((P.T * curvature) @ P / n + np.diag(R), slope)
        except np.linalg.LinAlgError:
            return None
        norm = float(np.linalg.norm(slope))
        terms = np.mean(sizes * (falls + curvature * sizes * np.linalg.norm(y)))
        rounding = eps * float(terms + np.linalg.norm(R * y))
        shift = P @ step
        # Without reg a small gradient alone may mean that the minimiser is at infinity; there the steps keep on.
        settled = norm <= 64 * rounding and (reg > 0 or float(np.abs(shift).max()) <= 1e-3)
        if settled and norm >= best / 2:
            x = V @ (y if norm < best else best_y)
            return np.asarray(x)
        if norm < best:
            best, best_y = norm, y
        t = 1.0 if settled else step_length(z, shift, y, step, R)
        if t == 0:
            return None
        y = y + t * step
    return None


def step_length(z: Vector, shift: Vector, y: Vector, step: Vector, R: Vector) -> float:
    """The first of 1, 1/2, 1/4, ... at which f has not grown and its slope along the step has at least halved
    where it turned positive; 0 if there is none."""
    n = len(z)

    def look(t: float) -> tuple[float, float]:
        point = y + t * step
        loss = float(np.logaddexp(0.0, -(z + t * shift)).mean()) + float(R @ (point * point)) / 2
        slope = float(R @ (point * step)) - float(shift @ (1 / (1 + np.exp(z + t * shift)))) / n
        return loss, slope

    loss, slope = look(0.0)
    t = 1.0
    while t > 1e-12:
        new_loss, new_slope = look(t)
        # The slack is the rounding of the mean loss.
        if new_loss <= loss + 8 * np.finfo(float).eps * (1 + loss) and new_slope <= abs(slope) / 2:
            return t
        t /= 2
    return 0.0


def _separated(rows: Matrix) -> NDArray[np.bool_]:
    """Which rows have rows x > 0 for some x with rows x >= 0: those with t = 1 in max sum(t), t <= rows x, t <= 1."""
    from scipy import optimize, sparse

    n = len(rows)
    lengths = np.sqrt(_row_squares(rows))
    unit = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    _, _, V = _factors(unit)
    P = unit @ V
    r = P.shape[1]
    solution = optimize.linprog(
        np.concatenate([np.zeros(r), -np.ones(n)]),
        A_ub=sparse.hstack([sparse.csr_array(-P), sparse.identity(n)], format="csr"),
        b_ub=np.zeros(n),
        bounds=[(None, None)] * r + [(0, 1)] * n,
        method="highs",
    )
    if solution.x is None:
        return np.zeros(n, dtype=bool)
    return np.asarray(solution.x[r:] > 0.5)


class _Loaded(NamedTuple):
    """name: the SPEC with every key; remarks: on the data; mapped: A stays on disk."""

    A: Matrix
    b: Vector
    name: str
    remarks: tuple[str, ...]
    mapped: bool


def _load(
    word: str,
    *,
    file: str | None,
    data: str | None,
    b: str | None,
    scale: Scale,
    reg: float | None = None,
    positive: str | None = None,
    classification: bool = False,
) -> _Loaded:
    if reg is not None:
        check_nonnegative(reg, argument="reg")
    found = load(file=file, data=data, b=b, scale=scale, positive=positive, classification=classification)
    keys = [
        f"file={file}" if file is not None else f"data={data}",
        *([f"b={b}"] if b is not None else []),
        *([f"reg={spelled(reg)}"] if reg is not None else []),
        f"scale={scale}",
        *([f"positive={positive}"] if positive is not None else []),
    ]
    return _Loaded(found.A, found.b, f"{word}:{','.join(keys)}", (found.description,), found.mapped)


def _regression(
    word: str,
    *,
    file: str | None,
    data: str | None,
    b: str | None,
    scale: Scale,
    target: Target,
    reg: float | None = None,
) -> LeastSquaresProblem:
    from .mapped import MappedLeastSquares

    found = _load(word, file=file, data=data, b=b, scale=scale, reg=reg)
    kind = MappedLeastSquares if found.mapped else LeastSquaresProblem
    strength = 0.0 if reg is None else float(reg)
    if target == "data":
        return kind(A=found.A, b=found.b, reg=strength, name=found.name, remarks=found.remarks)
    note = "the target is replaced by 0, so that every f_i is least at 0; runs start at (1, ..., 1)"
    return kind(
        A=found.A,
        b=np.zeros(len(found.b)),
        reg=strength,
        name=f"{found.name},target=zero",
        remarks=(*found.remarks, note),
        start=np.ones(found.A.shape[1]),
    )


Target = Literal["data", "zero"]
"""The file's target, or 0: real features with interpolation (C = 0)."""


@problems.register("least-squares")
def least_squares(
    file: str | None = None,
    data: str | None = None,
    b: str | None = None,
    scale: Scale = "none",
    target: Target = "data",
) -> LeastSquaresProblem:
    """Least squares on a file or a bundled data set (see `data.load`)."""
    return _regression("least-squares", file=file, data=data, b=b, scale=scale, target=target)


@problems.register("ridge")
def ridge(
    reg: float,
    file: str | None = None,
    data: str | None = None,
    b: str | None = None,
    scale: Scale = "none",
    target: Target = "data",
) -> LeastSquaresProblem:
    """Ridge regression on a file or a bundled data set (see `data.load`)."""
    return _regression("ridge", file=file, data=data, b=b, scale=scale, target=target, reg=reg)


@problems.register("logistic")
def logistic(
    file: str | None = None,
    data: str | None = None,
    b: str | None = None,
    reg: float = 0.0,
    scale: Scale = "none",
    positive: str | None = None,
) -> LogisticProblem:
    """Logistic regression on a file or a bundled data set (see `data.load`)."""
    from .mapped import MappedLogistic

    found = _load("logistic", file=file, data=data, b=b, scale=scale, reg=reg, positive=positive, classification=True)
    kind = MappedLogistic if found.mapped else LogisticProblem
    return kind(A=found.A, b=found.b, reg=float(reg), name=found.name, remarks=found.remarks)
