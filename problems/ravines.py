"""Small smooth functions for single statements: a cubic, a line of minima, cosines, log-cosh sums, a power.

Where the function on paper has no Lipschitz gradient it is continued beyond a stated reach so that it has one; inside
the reach it is the function on paper exactly. All quantities are dimensionless, all norms Euclidean.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

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
    check_count,
    check_nonnegative,
    check_positive,
    exact,
    problems,
)
from .spec import read_float, spelled


class CubicForm(NamedTuple):
    """f(x) = sum_j h_j x_j^2/2 + sum_k c(b_k'x), c(s) = s^3/6 for |s| <= reach, c'' = +-reach beyond; one component."""

    h: Vector
    b: Matrix
    reach: float


class LineOfMinima(NamedTuple):
    """f_i(z, y) = K (h_i + 2 s_i p(y - c_i; along)) p(z_i; across), K of them, with p the cut parabola."""

    h: Vector
    s: Vector
    c: Vector
    across: float
    along: float


class CosineSum(NamedTuple):
    """f(x) = sum_j c_j cos(w_j x_j), with the stored minimiser x_j = pi/w_j; one component."""

    c: Vector
    w: Vector
    minimiser: Vector


class RidgedLogCosh(NamedTuple):
    """f(x) = alpha ||x||^2/2 + sum_k c_k log cosh(b_k'x); one component."""

    alpha: float
    c: Vector
    b: Matrix


class PowerLaw(NamedTuple):
    """f(x) = |x|^p/p for |x| <= reach, continued by a parabola; one component."""

    p: float
    reach: float


# -- pieces --


@helper
def weight_of(weights: Any, m: int) -> float:
    """The sum of the weights of a draw: of n = 1, the factor of the only component."""
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    return scale


@helper
def cut_parabola(u: float, width: float) -> float:
    """p(u) = u^2/2 for |u| <= width, width^2 - (2 width - |u|)^2/2 up to 2 width, width^2 beyond."""
    a = abs(u)
    if a <= width:
        return 0.5 * u * u
    if a <= 2.0 * width:
        return width * width - 0.5 * (2.0 * width - a) * (2.0 * width - a)
    return width * width


@helper
def cut_slope(u: float, width: float) -> float:
    """p'(u)."""
    if abs(u) <= width:
        return u
    if abs(u) <= 2.0 * width:
        return 2.0 * width - u if u > 0.0 else -2.0 * width - u
    return 0.0


@helper
def finite_sine(u: float) -> float:
    """sin u; NaN at infinity, where Python's own raises and a run that diverges must go on to be noticed."""
    return math.sin(u) if abs(u) <= 1e300 else u - u


@helper
def log_of_cosh(s: float) -> float:
    """log cosh s to full relative precision."""
    a = abs(s)
    if a < 1.0:
        return 0.5 * math.log1p(math.sinh(a) * math.sinh(a))
    return a + math.log1p(math.exp(-2.0 * a)) - 0.6931471805599453


# -- the cubic --


@gap.of(CubicForm)
def _cubic_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        total += 0.5 * problem.h[j] * x[j] * x[j]
    for k in range(problem.b.shape[0]):
        s = 0.0
        for j in range(x.shape[0]):
            s += problem.b[k, j] * x[j]
        if abs(s) <= problem.reach:
            total += s * s * s / 6.0
        else:
            a = abs(s)
            rest = problem.reach * (0.5 * a * (a - problem.reach) + problem.reach * problem.reach / 6.0)
            total += rest if s > 0.0 else -rest
    return float(total)


@value.of(CubicForm)
def _cubic_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    return float(weight_of(weights, m) * gap(problem, x))


@gradient.of(CubicForm)
def _cubic_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = weight_of(weights, m)
    for j in range(x.shape[0]):
        out[j] = scale * problem.h[j] * x[j]
    for k in range(problem.b.shape[0]):
        s = 0.0
        for j in range(x.shape[0]):
            s += problem.b[k, j] * x[j]
        slope = 0.5 * s * s
        if abs(s) > problem.reach:
            slope = problem.reach * (abs(s) - 0.5 * problem.reach)
        slope *= scale
        for j in range(x.shape[0]):
            out[j] += slope * problem.b[k, j]


class _Single(Problem):
    """One component, n = 1."""

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.array([self.L.value]), self.L.grade

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.zeros(1), Grade.EXACT

    def weighted_smoothness(self, weights: Vector) -> Constant:
        return Constant(abs(float(weights[0])) * self.L.value, self.L.grade)


class Cubic(_Single):
    """f(x) = sum_j h_j x_j^2/2 + (1/6) sum_k (b_k'x)^3: the stationary point 0 with a constant third derivative.

    D^3 f[u, v, w] = sum_k (b_k'u)(b_k'v)(b_k'w), which is every symmetric tensor for enough rows b_k. It is so where
    all |b_k'x| <= reach; beyond, the second derivative of that cube stays at +-reach, so that grad f is Lipschitz with
    L = max|h_j| + reach ||sum_k b_k b_k'|| (a bound). f has no lower bound: `gap` is taken from f(0) = 0 and can be
    negative.

    h: shape (d,), of any sign. b: shape (k, d). reach > 0. Runs start at (0.1, ..., 0.1).
    Raises InputError for shapes that disagree and rows that are all 0.
    """

    bounded = False

    def __init__(self, *, h: ArrayLike, b: ArrayLike, reach: float = 100.0, name: str | None = None) -> None:
        curvatures = as_vector(h, argument="h")
        rows = as_matrix(b, argument="b")
        d = len(curvatures)
        if rows.shape[1] != d:
            raise InputError(f"b must have d = {d} numbers in each row to match h, got {rows.shape[1]}")
        if not rows.any():
            raise InputError("b must have an entry other than 0; without it f is a quadratic")
        reach = check_positive(reach, argument="reach")
        L = float(np.abs(curvatures).max()) + reach * float(np.linalg.norm(rows.T @ rows, 2))
        written = "@".join("/".join(spelled(entry) for entry in row) for row in rows)
        own = f"cubic:h={'/'.join(spelled(entry) for entry in curvatures)},b={written},reach={spelled(reach)}"
        super().__init__(
            name=name or own,
            data=CubicForm(curvatures, rows, reach),
            n=1,
            d=d,
            L=bound(L),
            mu=bound(0.0),
            start=np.full(d, 0.1),
            minimiser=np.zeros(d),
            convex_components=False,
        )

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.full(1, math.inf), Grade.EXACT

    def hessian(self, x: ArrayLike) -> Matrix:
        s = self.data.b @ self._point(x)
        clipped = np.clip(s, -self.data.reach, self.data.reach)
        return np.asarray(np.diag(self.data.h) + (self.data.b.T * clipped) @ self.data.b)

    def third(self, u: Vector, v: Vector) -> Vector:
        """D^3 f[u, v, .] inside the reach, shape (d,). u, v: shape (d,)."""
        b = self.data.b
        return np.asarray(((b @ u) * (b @ v)) @ b)

    @property
    def third_norm(self) -> float:
        """An upper bound of max D^3 f[u, v, w] over unit vectors: the norm of the tensor as a matrix of shape (d, d^2),
        or sum_k ||b_k||^3 where that is smaller. Exact for a single row."""
        b = self.data.b
        tensor = np.einsum("ki,kj,kl->ijl", b, b, b).reshape(self.d, -1)
        return float(min(np.linalg.norm(tensor, 2), (np.linalg.norm(b, axis=1) ** 3).sum()))

    @property
    def hessian_lipschitz(self) -> float:
        """sum_k ||b_k||^3, beyond the reach too."""
        return float((np.linalg.norm(self.data.b, axis=1) ** 3).sum())

    @property
    def inner_radius(self) -> float:
        """In the ball of this radius around 0, f is the cubic."""
        return float(self.data.reach / np.linalg.norm(self.data.b, axis=1).max())


@problems.register("cubic")
def cubic(
    h: str = "1/0.5/0", b: str | None = None, rows: int = 6, size: float = 0.5, seed: int = 0, reach: float = 100.0
) -> Cubic:
    """A cubic with Hessian diag(h) at its stationary point 0. b=1/2@0/1 gives the rows b_k of its third derivative
    sum_k b_k x b_k x b_k; else `rows` of them are drawn from `seed`, standard normal times `size`."""
    curvatures = [read_float(entry, argument="h") for entry in h.split("/")]
    if b is not None:
        given = [[read_float(entry, argument="b") for entry in row.split("/")] for row in b.split("@")]
        if any(len(row) != len(curvatures) for row in given):
            raise InputError(f"b must have d = {len(curvatures)} numbers in each row to match h, got {b!r}")
        return Cubic(h=curvatures, b=given, reach=reach)
    check_count(rows, argument="rows")
    check_positive(size, argument="size")
    check_count(seed, argument="seed", least=0)
    drawn = size * np.random.default_rng([seed, 0xC3]).standard_normal((rows, len(curvatures)))
    name = f"cubic:h={h},rows={rows},size={spelled(size)},seed={seed},reach={spelled(reach)}"
    return Cubic(h=curvatures, b=drawn, reach=reach, name=name)


# -- the line of minima --


@gap.of(LineOfMinima)
def _line_gap(problem: Any, x: Any) -> float:
    K = problem.h.shape[0]
    total = 0.0
    for i in range(K):
        steep = problem.h[i] + 2.0 * problem.s[i] * cut_parabola(x[K] - problem.c[i], problem.along)
        total += steep * cut_parabola(x[i], problem.across)
    return float(total)


@value.of(LineOfMinima)
def _line_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    K = problem.h.shape[0]
    total = 0.0
    for k in range(m):
        i = indices[k]
        steep = problem.h[i] + 2.0 * problem.s[i] * cut_parabola(x[K] - problem.c[i], problem.along)
        total += weights[k] * steep * cut_parabola(x[i], problem.across)
    return float(total)


@gradient.of(LineOfMinima)
def _line_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    K = problem.h.shape[0]
    for j in range(K + 1):
        out[j] = 0.0
    for k in range(m):
        i = indices[k]
        away = x[K] - problem.c[i]
        steep = problem.h[i] + 2.0 * problem.s[i] * cut_parabola(away, problem.along)
        out[i] += weights[k] * steep * cut_slope(x[i], problem.across)
        turn = 2.0 * problem.s[i] * cut_slope(away, problem.along)
        out[K] += weights[k] * turn * cut_parabola(x[i], problem.across)


class MinimaLine(Problem):
    """f(z, y) = sum_i (h_i + s_i (y - c_i)^2) z_i^2/2, whose minima are the line z = 0, with f* = 0.

    On it the Hessian is diag(h_i + s_i (y - c_i)^2, 0): its eigenvalues vary along the line and each is least at its
    own place c_i. A finite sum of n = K components, one for each i, K times its term: their Hessians on the line have
    rank 1. x = (z_1, ..., z_K, y).

    Beyond |z_i| = across and |y - c_i| = along each parabola u^2/2 turns over and ends in a plateau (`cut_parabola`,
    with |p''| <= 1, |p'| <= width, p <= width^2), so that grad f is Lipschitz: L is the norm of the matrix of bounds on
    the entries of the Hessian. mu = 0.

    h: shape (K,), positive. s: shape (K,), >= 0. c: shape (K,). Runs start at z = (0.01, ..., 0.01), y = 0.
    Raises InputError for shapes that disagree and entries out of range.
    """

    def __init__(
        self,
        *,
        h: ArrayLike,
        s: ArrayLike,
        c: ArrayLike,
        across: float = 2.0,
        along: float = 6.0,
        name: str | None = None,
    ) -> None:
        base = as_vector(h, argument="h")
        K = len(base)
        bend, place = as_vector(s, argument="s", size=K), as_vector(c, argument="c", size=K)
        if not (base > 0).all():
            raise InputError(f"h must be positive, got {base.tolist()}")
        if not (bend >= 0).all():
            raise InputError(f"s must be >= 0, got {bend.tolist()}")
        across, along = check_positive(across, argument="across"), check_positive(along, argument="along")
        walls = base + 2 * bend * along**2
        mixed = 2 * bend * along * across
        floor = 2 * bend * across**2
        bounds = np.zeros((K + 1, K + 1))
        bounds[range(K), range(K)] = walls
        bounds[K, :K] = bounds[:K, K] = mixed
        bounds[K, K] = floor.sum()
        self._component_bounds = K * np.array(
            [np.linalg.norm([[walls[i], mixed[i]], [mixed[i], floor[i]]], 2) for i in range(K)]
        )
        words = {"h": base, "s": bend, "c": place}
        written = ",".join(f"{key}={'/'.join(spelled(entry) for entry in row)}" for key, row in words.items())
        super().__init__(
            name=f"minima-line:{written},across={spelled(across)},along={spelled(along)}",
            data=LineOfMinima(base, bend, place, across, along),
            n=K,
            d=K + 1,
            L=bound(float(np.linalg.norm(bounds, 2))),
            mu=bound(0.0),
            start=np.append(np.full(K, 0.01), 0.0),
            minimiser=np.zeros(K + 1),
            convex_components=False,
        )

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return self._component_bounds, Grade.BOUND

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.zeros(self.n), Grade.EXACT

    def curvatures(self, y: float) -> tuple[Vector, Vector]:
        """Inside the reach, the eigenvalues h_i + s_i (y - c_i)^2 of the Hessian at (0, y), and their slopes in y."""
        away = y - self.data.c
        return self.data.h + self.data.s * away**2, 2 * self.data.s * away


@problems.register("minima-line")
def minima_line(
    h: str = "1/0.25", s: str = "0.5/0.125", c: str = "1/-1", across: float = 2.0, along: float = 6.0
) -> MinimaLine:
    """A line of minima with curvatures h_i + s_i (y - c_i)^2 across it. The default is the mean of two losses of which
    the largest eigenvalue is least at y = 1, the trace at y = 0.6 and the smallest eigenvalue at y = -1."""
    rows = (
        [read_float(entry, argument=key) for entry in text.split("/")] for key, text in (("h", h), ("s", s), ("c", c))
    )
    walls, bends, places = rows
    return MinimaLine(h=walls, s=bends, c=places, across=across, along=along)


# -- cosines --


@gap.of(CosineSum)
def _cosine_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        # 1 + cos(w x) = 2 sin^2(w (x - x*)/2): no cancellation near the stored minimiser.
        half = finite_sine(0.5 * problem.w[j] * (x[j] - problem.minimiser[j]))
        total += 2.0 * problem.c[j] * half * half
    return float(total)


@value.of(CosineSum)
def _cosine_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        half = finite_sine(0.5 * problem.w[j] * x[j])
        total += problem.c[j] * (1.0 - 2.0 * half * half)
    return float(weight_of(weights, m) * total)


@gradient.of(CosineSum)
def _cosine_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = weight_of(weights, m)
    for j in range(x.shape[0]):
        out[j] = -scale * problem.c[j] * problem.w[j] * finite_sine(problem.w[j] * x[j])


class Cosine(_Single):
    """f(x) = sum_j c_j cos(w_j x_j): maxima at 0, minima at x_j = +-pi/w_j, L = max_j c_j w_j^2 (exact), mu = 0.

    The maximum at 0 is where SAM stands still: from x = -rho e_j the perturbed point is 0, whose gradient is exactly 0.
    c, w: shape (d,), positive. Runs start at x_j = 0.3/w_j. Raises InputError for other numbers.
    """

    def __init__(self, *, c: ArrayLike, w: ArrayLike) -> None:
        heights = as_vector(c, argument="c")
        rates = as_vector(w, argument="w", size=len(heights))
        for argument, row in (("c", heights), ("w", rates)):
            if not (row > 0).all():
                raise InputError(f"{argument} must be positive, got {row.tolist()}")
        written = ("/".join(spelled(entry) for entry in row) for row in (heights, rates))
        minimiser = math.pi / rates
        super().__init__(
            name="cosine:c={},w={}".format(*written),
            data=CosineSum(heights, rates, minimiser),
            n=1,
            d=len(heights),
            L=exact(float((heights * rates**2).max())),
            mu=bound(0.0),
            start=0.3 / rates,
            minimiser=minimiser,
            convex_components=False,
        )


@problems.register("cosine")
def cosine(c: str = "1", w: str = "1") -> Cosine:
    """A sum of cosines c_j cos(w_j x_j), one for each coordinate; c=1/0.5 and w=1/2."""
    return Cosine(
        c=[read_float(entry, argument="c") for entry in c.split("/")],
        w=[read_float(entry, argument="w") for entry in w.split("/")],
    )


# -- log-cosh --


@gap.of(RidgedLogCosh)
def _ridged_log_cosh_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        total += 0.5 * problem.alpha * x[j] * x[j]
    for k in range(problem.c.shape[0]):
        s = 0.0
        for j in range(x.shape[0]):
            s += problem.b[k, j] * x[j]
        total += problem.c[k] * log_of_cosh(s)
    return float(total)


@value.of(RidgedLogCosh)
def _ridged_log_cosh_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    return float(weight_of(weights, m) * gap(problem, x))


@gradient.of(RidgedLogCosh)
def _ridged_log_cosh_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = weight_of(weights, m)
    for j in range(x.shape[0]):
        out[j] = scale * problem.alpha * x[j]
    for k in range(problem.c.shape[0]):
        s = 0.0
        for j in range(x.shape[0]):
            s += problem.b[k, j] * x[j]
        slope = scale * problem.c[k] * math.tanh(s)
        for j in range(x.shape[0]):
            out[j] += slope * problem.b[k, j]


class LogCoshRidge(_Single):
    """f(x) = alpha ||x||^2/2 + sum_k c_k log cosh(b_k'x): convex, not quadratic, least at 0 with f* = 0.

    (log cosh)'' = 1 - tanh^2 lies in (0, 1] and is 1 at 0, so L = alpha + ||sum_k c_k b_k b_k'|| is exact and f is
    alpha-strongly convex (mu = alpha, a bound).
    alpha >= 0. c: shape (k,), positive. b: shape (k, d). start: shape (d,).
    """

    def __init__(self, *, alpha: float, c: ArrayLike, b: ArrayLike, start: ArrayLike, name: str) -> None:
        rows = as_matrix(b, argument="b")
        heights = as_vector(c, argument="c", size=len(rows))
        alpha = check_nonnegative(alpha, argument="alpha")
        if not (heights > 0).all():
            raise InputError(f"c must be positive, got {heights.tolist()}")
        d = rows.shape[1]
        super().__init__(
            name=name,
            data=RidgedLogCosh(alpha, heights, rows),
            n=1,
            d=d,
            L=exact(alpha + float(np.linalg.norm((rows.T * heights) @ rows, 2))),
            mu=bound(alpha),
            start=as_vector(start, argument="start", size=d),
            minimiser=np.zeros(d),
            convex_components=True,
        )

    @property
    def strong_convexity(self) -> float:
        return self.mu.value

    @property
    def hessian_lipschitz(self) -> float:
        """sum_k c_k ||b_k||^3 times the largest |(log cosh)'''| = 2 tanh sech^2, which is 4/(3 sqrt 3)."""
        lengths = np.linalg.norm(self.data.b, axis=1)
        return float(4 / (3 * math.sqrt(3)) * (self.data.c * lengths**3).sum())


@problems.register("log-cosh-ridge")
def log_cosh_ridge(d: int = 3, rows: int = 5, alpha: float = 0.1, seed: int = 0) -> LogCoshRidge:
    """A quadratic term alpha ||x||^2/2 and `rows` random terms c_k log cosh(b_k'x), c_k in (0.1, 1), b_k normal."""
    check_count(d, argument="d")
    check_count(rows, argument="rows")
    check_count(seed, argument="seed", least=0)
    rng = np.random.default_rng([seed, 0x1C])
    start = 3 * rng.standard_normal(d)
    b, c = rng.standard_normal((rows, d)), rng.uniform(0.1, 1.0, rows)
    name = f"log-cosh-ridge:d={d},rows={rows},alpha={spelled(alpha)},seed={seed}"
    return LogCoshRidge(alpha=alpha, c=c, b=b, start=start, name=name)


# -- a power --


@gap.of(PowerLaw)
def _power_gap(problem: Any, x: Any) -> float:
    a = abs(x[0])
    if a <= problem.reach:
        return float(a**problem.p / problem.p)
    more = a - problem.reach
    edge = problem.reach ** (problem.p - 2.0)
    return float(edge * (problem.reach**2 / problem.p + problem.reach * more + 0.5 * (problem.p - 1.0) * more * more))


@value.of(PowerLaw)
def _power_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    return float(weight_of(weights, m) * gap(problem, x))


@gradient.of(PowerLaw)
def _power_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    a = abs(x[0])
    if a <= problem.reach:
        slope = a ** (problem.p - 1.0)
    else:
        slope = problem.reach ** (problem.p - 2.0) * (problem.reach + (problem.p - 1.0) * (a - problem.reach))
    slope *= weight_of(weights, m)
    out[0] = slope if x[0] > 0.0 else -slope


class Power(_Single):
    """f(x) = |x|^p/p on the line for |x| <= reach, continued by its second-order expansion at the reach.

    L = (p - 1) reach^(p-2) is exact. For p > 2 it is not PL (mu = 0); for |x| <= reach it has the
    Kurdyka-Lojasiewicz property |f'| = kappa (f - f*)^q with q = (p - 1)/p and kappa = p^q, an equality.
    p >= 2, reach > 0. Runs start at x = reach/2. Raises InputError for other numbers.
    """

    def __init__(self, *, p: float = 4.0, reach: float = 2.0) -> None:
        if not (math.isfinite(p) and p >= 2):
            raise InputError(f"p must be a finite number >= 2, got {p!r}")
        reach = check_positive(reach, argument="reach")
        L = (p - 1) * reach ** (p - 2)
        super().__init__(
            name=f"power:p={spelled(p)},reach={spelled(reach)}",
            data=PowerLaw(float(p), reach),
            n=1,
            d=1,
            L=exact(L),
            mu=exact(1.0) if p == 2 else bound(0.0),
            start=np.array([reach / 2]),
            minimiser=np.zeros(1),
            convex_components=True,
        )

    @property
    def exponent(self) -> float:
        """q = (p - 1)/p of the inequality |f'| >= kappa (f - f*)^q."""
        return float((self.data.p - 1) / self.data.p)

    @property
    def kl_constant(self) -> float:
        """kappa = p^q of the same inequality."""
        return float(self.data.p**self.exponent)


@problems.register("power")
def power(p: float = 4.0, reach: float = 2.0) -> Power:
    """|x|^p/p on the line, for |x| <= reach."""
    return Power(p=p, reach=reach)
