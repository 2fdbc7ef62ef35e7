"""Small families on which bounds are attained: one SPEC each, one dimension, closed forms throughout."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .errors import InputError
from .kernel import gap, gradient, value
from .problem import Grade, Matrix, Problem, Vector, as_matrix, bound, check_positive, exact, problems
from .quadratics import FiniteSumOfQuadratics, QuadraticSum
from .spec import read_float, spelled


class TentSlope(NamedTuple):
    """f with f'(x) = beta (p + x) for x < 0, beta (p - x) for 0 <= x < rho - a, beta (x - rho) beyond, f(0) = 0.

    p = rho - 2a. The minima are x = -p and x = rho; left and right are their heights over the lower of the two,
    top is the height of the summit x = p and lowest is f* (all in units of beta).
    """

    beta: float
    rho: float
    a: float
    p: float
    left: float
    right: float
    top: float
    lowest: float


class StallingSine(NamedTuple):
    """f(x) = height sin(3 pi x/(2 rho)) with height = 4 beta rho^2/(9 pi^2); one component."""

    height: float
    rho: float


@gap.of(TentSlope)
def _tent_gap(problem: Any, x: Any) -> float:
    if x[0] < 0.0:
        away = x[0] + problem.p
        return float(problem.beta * (0.5 * away * away + problem.left))
    if x[0] < problem.rho - problem.a:
        # No cancellation: the subtracted half is at most half of what stands before it.
        away = x[0] - problem.p
        return float(problem.beta * (problem.top - 0.5 * away * away))
    away = x[0] - problem.rho
    return float(problem.beta * (0.5 * away * away + problem.right))


@value.of(TentSlope)
def _tent_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    return float(scale * (gap(problem, x) + problem.beta * problem.lowest))


@gradient.of(TentSlope)
def _tent_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    if x[0] < 0.0:
        slope = problem.p + x[0]
    elif x[0] < problem.rho - problem.a:
        slope = problem.p - x[0]
    else:
        slope = x[0] - problem.rho
    out[0] = scale * problem.beta * slope


@gap.of(StallingSine)
def _sine_gap(problem: Any, x: Any) -> float:
    # 1 + sin w = 2 sin^2((w + pi/2)/2), and w = -pi/2 is x = -rho/3, exactly so for the stored minimiser.
    root = math.sin(0.75 * math.pi * ((x[0] + problem.rho / 3.0) / problem.rho))
    return float(2.0 * problem.height * root * root)


@value.of(StallingSine)
def _sine_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    return float(scale * problem.height * math.sin(1.5 * math.pi * (x[0] / problem.rho)))


@gradient.of(StallingSine)
def _sine_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    rate = 1.5 * math.pi / problem.rho
    out[0] = scale * problem.height * rate * math.cos(1.5 * math.pi * (x[0] / problem.rho))


def _check_scale(beta: float, rho: float) -> None:
    """Refuse heights beta rho^2 that leave the normal range of float64."""
    check_positive(beta, argument="beta")
    check_positive(rho, argument="rho")
    if not 1e-290 < beta * rho * rho < 1e290:
        raise InputError(f"beta rho^2 must lie in [1e-290, 1e290], got beta = {beta!r} and rho = {rho!r}")


class MixedCurvature(FiniteSumOfQuadratics):
    """f_1 = a x^2/2, f_2 = -b x^2/2 with a > b > 0: mu = L = (a - b)/2 while one component is concave.

    The step of SGD's rate is attained here: with uniform sampling E||g||^2 = 2 A D for A = (a^2 + b^2)/(a - b),
    and at gamma = mu/(L A) one step multiplies E D by exactly 1 - gamma mu. f_2 has no lower bound.
    Runs start at x = 1. Raises InputError unless a > b > 0.
    """

    def __init__(self, *, a: float = 2.0, b: float = 1.0) -> None:
        check_positive(a, argument="a")
        check_positive(b, argument="b")
        if not a > b:
            raise InputError(f"a must be larger than b = {b!r}, got a = {a!r}")
        mean = np.array([[(float(a) - float(b)) / 2]])
        data = QuadraticSum(np.array([[[float(a)]], [[-float(b)]]]), np.zeros((2, 1)), mean, np.zeros(1))
        super().__init__(name=f"mixed-curvature:a={spelled(a)},b={spelled(b)}", data=data, start=np.ones(1))


class OneSided(FiniteSumOfQuadratics):
    """With probability q the quadratic beta (x + d)^2/2, otherwise a line of slope -q beta d/(1 - q).

    To be run with the sampling `single` and the probabilities `natural_probabilities` = (q, 1 - q). Its estimator
    divides by n p_i, so the stored components are 2q beta (x + d)^2/2 - const and -2 q beta d x. The mean is
    q beta x^2/2: x* = 0 and mu = L = q beta. d is a distance: for d > rho and gamma -> 0 SAM settles at x = -rho,
    because only the quadratic feels the perturbation. f_2 is linear, so its component gap is infinite.
    Runs start at x = 1. Raises InputError unless 0 < q < 1, d > 0 and beta > 0.
    """

    def __init__(self, *, q: float = 0.95, d: float = 1.0, beta: float = 1.0) -> None:
        if not 0 < q < 1:
            raise InputError(f"q must lie strictly between 0 and 1, got {q!r}")
        check_positive(d, argument="d")
        check_positive(beta, argument="beta")
        q = float(q)
        curvature, slope = 2 * q * float(beta), 2 * q * float(beta) * float(d)
        check_positive(curvature, argument="the curvature 2 q beta")
        check_positive(slope, argument="the slope 2 q beta d")
        H = np.array([[[curvature]], [[0.0]]])
        data = QuadraticSum(H, np.array([[slope], [-slope]]), np.array([[curvature / 2]]), np.zeros(1))
        super().__init__(
            name=f"one-sided:q={spelled(q)},d={spelled(d)},beta={spelled(beta)}", data=data, start=np.ones(1)
        )
        self.natural_probabilities = np.array([q, 1 - q])


class _OneComponent(Problem):
    """A one-dimensional function, n = 1, that is beta-smooth and neither convex nor PL."""

    def __init__(self, *, name: str, data: Any, beta: float, start: float, minimiser: float) -> None:
        super().__init__(
            name=name,
            data=data,
            n=1,
            d=1,
            L=exact(beta),
            mu=bound(0.0),
            start=np.array([start]),
            minimiser=np.array([minimiser]),
            convex_components=False,
        )

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.array([self.L.value]), Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.zeros(1), Grade.EXACT


class Tent(_OneComponent):
    """SAM with radius rho stalls at x = 0, where the slope is G = beta (rho - 2a), close to beta rho.

    f' rises with slope beta up to f'(0) = G, falls with slope -beta up to x = rho - a and rises again. From x = 0
    the perturbed point is the local minimum x = rho, so x = 0 is a fixed point; for gamma <= 1/beta it attracts
    -2a < x < rho - 2a. The other minimum x = -G/beta is the lower one when rho > 3a. mu = 0: f is not PL.
    Runs start at x = 0. Raises InputError unless 0 < 2a < rho and beta > 0.
    """

    def __init__(self, *, a: float = 0.05, rho: float = 1.0, beta: float = 1.0) -> None:
        _check_scale(beta, rho)
        check_positive(a, argument="a")
        if not 2 * a < rho:
            raise InputError(f"a must be less than rho/2 = {rho / 2!r}, got {a!r}")
        a, rho, beta = float(a), float(rho), float(beta)
        p = rho - 2 * a
        lead = (p - a) * (p + a)
        data = TentSlope(
            beta=beta,
            rho=rho,
            a=a,
            p=p,
            left=max(-lead, 0.0),
            right=max(lead, 0.0),
            top=max(p, a) ** 2,
            lowest=min(-p * p / 2, p * p / 2 - a * a),
        )
        name = f"tent:a={spelled(a)},rho={spelled(rho)},beta={spelled(beta)}"
        super().__init__(name=name, data=data, beta=beta, start=0.0, minimiser=-p if p >= a else rho)


class SineStall(_OneComponent):
    """f(x) = (4 beta rho^2/(9 pi^2)) sin(3 pi x/(2 rho)), on which SAM with radius rho stalls from almost everywhere.

    At x = 0 the perturbed point is the minimum x = rho: a stable fixed point for gamma <= 1/beta, where ||grad f||^2
    is 4 beta^2 rho^2/(9 pi^2) = .0450 beta^2 rho^2. f* = -4 beta rho^2/(9 pi^2) at x = -rho/3 + 4 rho k/3; the
    stored minimiser -rho/3 is the one nearest to the start. mu = 0: f is not PL.
    Runs start at x = rho/10, a generic point. Raises InputError unless rho > 0 and beta > 0.
    """

    def __init__(self, *, rho: float = 1.0, beta: float = 1.0) -> None:
        _check_scale(beta, rho)
        rho, beta = float(rho), float(beta)
        data = StallingSine(height=4 * beta * rho**2 / (9 * math.pi**2), rho=rho)
        name = f"sine-stall:rho={spelled(rho)},beta={spelled(beta)}"
        super().__init__(name=name, data=data, beta=beta, start=0.1 * rho, minimiser=-(rho / 3.0))


class Parabolas(FiniteSumOfQuadratics):
    """f_i(x) = sum_j (h_ji x_j^2/2 + s_ji x_j): every finite sum of quadratics whose H_i commute, in their basis.

    On the line, with p_i proportional to h_i and no slopes, the expected-residual constants are attained; with equal
    h_i and slopes +-s SGD's noise term is; with one h_i < 0 and no slopes SGD's rate is.

    h: shape (d, n), a row for each coordinate, of either sign, with positive row means. slopes: the s_ji, default 0;
    their row means are taken off, so that x* = 0. Runs start at x = (1, ..., 1).
    Raises InputError for rows of unequal length and a row mean that is not positive.
    """

    def __init__(self, *, h: ArrayLike, slopes: ArrayLike | None = None) -> None:
        curvatures = as_matrix(h, argument="h")
        d, n = curvatures.shape
        means = curvatures.mean(axis=1)
        if not (means > 0).all():
            raise InputError(f"h must have a positive mean in every coordinate, got {_written(curvatures)}")
        g = np.zeros((d, n)) if slopes is None else as_matrix(slopes, argument="slopes")
        if g.shape != (d, n):
            raise InputError(f"slopes must have shape ({d}, {n}) to match h, got {g.shape}")
        name = f"parabolas:h={_written(curvatures)}" + ("" if slopes is None else f",slopes={_written(g)}")
        H = np.zeros((n, d, d))
        H[:, range(d), range(d)] = curvatures.T
        g = np.ascontiguousarray((g - g.mean(axis=1)[:, None]).T)
        super().__init__(name=name, data=QuadraticSum(H, g, np.diag(means), np.zeros(d)), start=np.ones(d))


def _written(rows: Matrix) -> str:
    return "@".join("/".join(spelled(entry) for entry in row) for row in rows)


def _rows(text: str, argument: str) -> list[list[float]]:
    rows = [[read_float(entry, argument=argument) for entry in row.split("/")] for row in text.split("@")]
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"{argument} must have as many numbers in each row as in the first, got {text!r}")
    return rows


@problems.register("parabolas")
def parabolas(h: str = "1/1", slopes: str | None = None) -> Parabolas:
    """Parabolas on the line with curvatures h=1/2/-0.5 and slopes=1/-1/0; in d dimensions a row for each coordinate,
    h=1/2@3/4."""
    return Parabolas(h=_rows(h, "h"), slopes=None if slopes is None else _rows(slopes, "slopes"))


@problems.register("mixed-curvature")
def mixed_curvature(a: float = 2.0, b: float = 1.0) -> MixedCurvature:
    """Two parabolas of curvature a and -b, on which SGD's rate is attained."""
    return MixedCurvature(a=a, b=b)


@problems.register("one-sided")
def one_sided(q: float = 0.95, d: float = 1.0, beta: float = 1.0) -> OneSided:
    """A parabola at distance d drawn with probability q against a line, on which SAM's neighbourhood is attained."""
    return OneSided(q=q, d=d, beta=beta)


@problems.register("tent")
def tent(a: float = 0.05, rho: float = 1.0, beta: float = 1.0) -> Tent:
    """A piecewise quadratic on which SAM with radius rho stalls at a slope close to beta rho."""
    return Tent(a=a, rho=rho, beta=beta)


@problems.register("sine-stall")
def sine_stall(rho: float = 1.0, beta: float = 1.0) -> SineStall:
    """A sine on which SAM with radius rho stalls from almost every start."""
    return SineStall(rho=rho, beta=beta)
