"""Non-convex Polyak-Lojasiewicz functions with certified constants: f(x) = sum_k h((M x)_k), h(u) = u^2 + a sin^2 u.

h has no stationary point but 0 while sin(2u)/(2u) = -1/a has no solution, that is for a < 4.60333..., and is
convex only for a <= 1. Its PL constant inf h'^2/(2h) has no closed form: `certified_pl_constant` encloses it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from .errors import InputError
from .kernel import gap, gradient, helper, value
from .problem import (
    Constant,
    Grade,
    Matrix,
    Problem,
    Vector,
    as_matrix,
    bound,
    check_count,
    check_memory,
    check_nonnegative,
    exact,
    problems,
)
from .quadratics import prescribed_spectrum, random_orthogonal
from .spec import spelled

Map = Literal["separable", "rotated", "linear"]
Noise = Literal["none", "multiplicative", "additive"]

LARGEST_WAVE = 4.603
"""Largest a allowed. The PL constant reaches 0 at a = 4.60333...; this close to it, it is already below 1e-8."""

LARGEST_COND = 1e7
"""Largest condition number of M allowed: mu/L falls with its square, and 1e14 is what float64 can resolve."""


class SineSum(NamedTuple):
    """f_i(x) = s_i f(x) + c_i' x with f(x) = sum_k h((M x)_k), h(u) = u^2 + a sin^2 u, mean s_i = 1, mean c_i = 0.

    separable: M is the identity and the field M is empty, shape (0, d); otherwise M has shape (k, d), k <= d.
    shifted: some c_i is nonzero and c has shape (n, d); otherwise the field c is empty, shape (0, d).
    """

    a: float
    M: Matrix
    separable: bool
    s: Vector
    c: Matrix
    shifted: bool


@helper
def _sine(u: float) -> float:
    # In plain Python math.sin raises at infinity, where a run that diverges must go on to be noticed: the u^2 and
    # 2u beside this carry the infinity or NaN.
    return math.sin(u) if abs(u) <= 1e300 else 0.0


@gap.of(SineSum)
def _sine_sum_gap(problem: Any, x: Any) -> float:
    total = 0.0
    if problem.separable:
        for j in range(x.shape[0]):
            wave = _sine(x[j])
            total += x[j] * x[j] + problem.a * wave * wave
        return total
    for k in range(problem.M.shape[0]):
        u = 0.0
        for j in range(x.shape[0]):
            u += problem.M[k, j] * x[j]
        wave = _sine(u)
        total += u * u + problem.a * wave * wave
    return total


@value.of(SineSum)
def _sine_sum_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    scale = 0.0
    shift = 0.0
    for k in range(m):
        c = indices[k]
        scale += weights[k] * problem.s[c]
        if problem.shifted:
            product = 0.0
            for j in range(x.shape[0]):
                product += problem.c[c, j] * x[j]
            shift += weights[k] * product
    return float((scale * gap(problem, x) + shift) / problem.s.shape[0])


@gradient.of(SineSum)
def _sine_sum_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    n = problem.s.shape[0]
    scale = 0.0
    for k in range(m):
        scale += weights[k] * problem.s[indices[k]]
    scale /= n
    if problem.separable:
        for j in range(x.shape[0]):
            out[j] = scale * (2.0 * x[j] + problem.a * _sine(2.0 * x[j]))
    else:
        for j in range(x.shape[0]):
            out[j] = 0.0
        for k in range(problem.M.shape[0]):
            u = 0.0
            for j in range(x.shape[0]):
                u += problem.M[k, j] * x[j]
            slope = scale * (2.0 * u + problem.a * _sine(2.0 * u))
            for j in range(x.shape[0]):
                out[j] += slope * problem.M[k, j]
    if problem.shifted:
        for k in range(m):
            c = indices[k]
            factor = weights[k] / n
            for j in range(x.shape[0]):
                out[j] += factor * problem.c[c, j]


def check_wave(a: float, *, argument: str = "a") -> float:
    """`a` if 0 <= a <= 4.603, where u^2 + a sin^2 u is PL; InputError naming `argument` otherwise."""
    if not 0 <= a <= LARGEST_WAVE:
        raise InputError(
            f"{argument} must lie in [0, {LARGEST_WAVE}] (from 4.60334 on u^2 + a sin^2 u has stationary points "
            f"that are no minima, so it is not PL), got {a!r}"
        )
    return float(a)


@lru_cache(maxsize=256)
def certified_pl_constant(a: float) -> float:
    """A proved lower bound of inf_u h'(u)^2/(2 h(u)), h(u) = u^2 + a sin^2 u, less than 1e-6 (relative) below it.

    For a = 0 the constant is 2 exactly. Raises InputError unless 0 <= a <= 4.603.

    Proof. Let S(v) = sin(v)/v = int_0^1 cos(vt) dt; differentiating under the integral, |S| <= 1, |S'| <= 1/2
    and |S''| <= 1/3. Put U = h'/u = 2 + 2a S(2u), W = h/u^2 = 1 + a S(u)^2 >= 1 and V = sqrt(W); all are even,
    so take u > 0. If U >= s V there for some s > 0, then h'^2/(2h) = U^2/(2W) >= s^2/2.
    *Cells.* q = U - s V has U'' = 8a S''(2u), V' = a S S'/V and V'' = a (S'^2 + S S'')/V - a^2 S^2 S'^2/V^3, so
    |q''| <= K = 8a/3 + s (7a/12 + a^2/4), and by Taylor q >= q(m) - |q'(m)| r - K r^2/2 on [m - r, m + r]. A cell
    where this is not positive is halved. s is 2e-7 below the least U/V seen so far: it only falls, which makes
    q larger, so that cells settled earlier stay settled; and it is never below (1 - 2e-7) inf U/V.
    *Tail.* |2a S(2u)| <= a/u and a S(u)^2 <= a/u^2, so for u >= X > a/2, U >= 2 - a/X and W <= 1 + a/X^2.
    *Rounding.* U <= 2 + 2a and s V <= 2 + 2a are computed to a few eps of that. S'(v) = (cos v - S(v))/v loses a
    factor 1/v to cancellation, but r <= m on every cell, so the term |q'(m)| r is also off by a few eps (1 + a)^1.5
    only. The slack of 1e-13 (1 + a), about 450 eps (1 + a), covers all with room.
    """
    check_wave(a)
    if a == 0:
        return 2.0
    end = 16.0
    centres = (np.arange(512) + 0.5) * (end / 512)
    radius = end / 1024
    slack = 1e-13 * (1 + a)
    least = math.inf
    s = math.inf
    while len(centres):
        S, S2 = np.sin(centres) / centres, np.sin(2 * centres) / (2 * centres)
        slope, slope2 = (np.cos(centres) - S) / centres, (np.cos(2 * centres) - S2) / (2 * centres)
        U = 2 + 2 * a * S2
        V = np.sqrt(1 + a * S**2)
        least = min(least, float((U / V).min()))
        s = least * (1 - 2e-7)
        curvature = 8 * a / 3 + s * (7 * a / 12 + a**2 / 4)
        tilt = np.abs(4 * a * slope2 - s * a * S * slope / V)
        open_cells = centres[U - s * V - tilt * radius - curvature * radius**2 / 2 <= slack]
        radius /= 2
        centres = np.concatenate([open_cells - radius, open_cells + radius])
    tail = (2 - a / end) ** 2 / (2 * (1 + a / end**2))
    # The factor undoes the rounding of these last operations.
    return min(s * s / 2, tail) * (1 - 1e-15)


class PLSine(Problem):
    """f(x) = sum_k h((M x)_k), h(u) = u^2 + a sin^2 u, split into components s_i f(x) + c_i' x.

    f* = 0, attained at the origin, so f itself is the gap. L = (2 + 2a) sigma_max(M)^2 is exact: |h''| <= 2 + 2a
    and the Hessian at 0 is (2 + 2a) M'M. mu = certified_pl_constant(a) sigma_min(M)^2 is a bound, because
    ||M'w|| >= sigma_min ||w|| for M of full row rank; it is exact for a = 0.
    """

    def __init__(self, *, name: str, data: SineSum, start: Vector) -> None:
        a, d = data.a, len(start)
        if data.separable:
            low = high = 1.0
        else:
            singular = np.linalg.svd(data.M, compute_uv=False)
            # The singular values carry an error of a few d eps sigma_max, taken off where a lower bound is claimed.
            margin = 0.0 if a == 0 else 8 * d * np.finfo(float).eps
            low, high = float(singular[-1] - margin * singular[0]), float(singular[0])
        base = certified_pl_constant(a)
        super().__init__(
            name=name,
            data=data,
            n=len(data.s),
            d=d,
            L=exact((2 + 2 * a) * high**2),
            mu=exact(base * low**2) if a == 0 else bound(base * low**2),
            start=start,
            minimiser=np.zeros(d),
            convex_components=bool(a <= 1 and (data.s >= 0).all()),
        )

    @classmethod
    def with_map(
        cls,
        *,
        d: int = 10,
        a: float = 3.0,
        n: int | None = None,
        map: Map = "separable",
        cond: float | None = None,
        rows: int | None = None,
        noise: Noise = "none",
        level: float | None = None,
        seed: int = 0,
    ) -> PLSine:
        """The function of a seeded random map M, with a prescribed gradient noise.

        d: dimension. a: height of the wave, 0 to 4.603; h is convex up to 1.
        map: M is the identity (`separable`, O(d) a step), a random orthogonal matrix (`rotated`), or a random
        rows x d matrix with geometric singular values from 1/cond to 1, both attained (`linear`).
        cond, rows: only with map=linear; defaults 10 (1 for a single row) and d.
        noise: `none` (n copies of f, default 1), `multiplicative` (grad f_i = s_i grad f, s_i alternating between
        two values >= 0 with mean 1 and variance level^2) or `additive` (grad f_i = grad f + c_i, c_i random in
        the row space of M with mean 0 and mean ||c_i||^2 = level^2). With noise n is 10 by default and at least 2.
        level: default 0.5 for multiplicative, where it is at most 1 (even n) or sqrt((n + 1)/(n - 1)) (odd n),
        and 1 for additive noise. seed: of the start, the map and the shifts.
        Runs start at three times a standard normal point, in the wavy region.
        Raises InputError naming the argument that is out of range.
        """
        check_count(d, argument="d")
        check_wave(a)
        check_count(seed, argument="seed", least=0)
        if map not in ("separable", "rotated", "linear"):
            raise InputError(f"map must be one of separable, rotated, linear, got {map!r}")
        if noise not in ("none", "multiplicative", "additive"):
            raise InputError(f"noise must be one of none, multiplicative, additive, got {noise!r}")
        k, cond = _check_map(map, d, rows, cond)
        n, level = _check_noise(noise, n, level)
        shape = f",rows={k},cond={spelled(cond)}" if map == "linear" else ""
        strength = f",level={spelled(level)}" if noise != "none" else ""
        name = f"pl-sine:d={d},a={spelled(a)},n={n},map={map}{shape},noise={noise}{strength},seed={seed}"
        matrix = 0 if map == "separable" else 3 * d * d
        check_memory(matrix + (2 * n * d if noise == "additive" else n) + 4 * d, what=f"problem {name!r}")

        rng = np.random.default_rng([seed, 0x7C])
        start = 3 * rng.standard_normal(d)
        M = np.zeros((0, d))
        if map == "rotated":
            M = as_matrix(random_orthogonal(d, rng), argument="M")
        elif map == "linear":
            sigma = prescribed_spectrum("log", 1 / cond, 1.0, k, rng)
            M = as_matrix((random_orthogonal(k, rng) * sigma) @ random_orthogonal(d, rng)[:k], argument="M")
        s = np.ones(n)
        c = np.zeros((0, d))
        if noise == "multiplicative":
            s = 1 + level * _two_point_pattern(n)
        elif noise == "additive" and level > 0:
            c = rng.standard_normal((n, k)) @ (M if len(M) else np.eye(d))
            c -= c.mean(axis=0)
            c = as_matrix(c * (level / math.sqrt(float((c**2).sum()) / n)), argument="c")
        data = SineSum(float(a), M, map == "separable", s, c, bool(len(c)))
        return cls(name=name, data=data, start=start)

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.abs(self.data.s) * self.L.value, Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        """Upper bounds ||r_i||^2/(4 s_i), where c_i = M' r_i: f_i(x) >= s_i ||M x||^2 + r_i' M x, as h(u) >= u^2."""
        if not self.data.shifted:
            return np.zeros(self.n), Grade.EXACT
        c, M = self.data.c, self.data.M
        r = c if self.data.separable else np.linalg.lstsq(M.T, c.T, rcond=None)[0].T
        return np.asarray((r**2).sum(axis=1) / (4 * self.data.s)), Grade.EXACT if self.data.a == 0 else Grade.BOUND

    def weighted_smoothness(self, weights: Vector) -> Constant:
        return exact(abs(float(weights @ self.data.s)) / self.n * self.L.value)

    def affine_noise(self) -> tuple[Vector, Matrix]:
        return self.data.s, self.data.c if self.data.shifted else np.zeros((self.n, self.d))


def _check_map(map: Map, d: int, rows: int | None, cond: float | None) -> tuple[int, float]:
    """The number of rows and the condition number of M, defaults filled in."""
    if map != "linear":
        if rows is not None:
            raise InputError(f"rows belongs to map=linear, got rows = {rows!r} with map={map}")
        if cond is not None:
            raise InputError(f"cond belongs to map=linear, got cond = {cond!r} with map={map}")
        return d, 1.0
    k = d if rows is None else check_count(rows, argument="rows")
    if k > d:
        raise InputError(f"rows must be at most d = {d}, got {rows!r}")
    if cond is None:
        return k, 10.0 if k > 1 else 1.0
    if not 1 <= cond <= LARGEST_COND:
        raise InputError(f"cond must lie in [1, {LARGEST_COND:g}], got {cond!r}")
    if k == 1 and cond != 1:
        raise InputError(f"cond must be 1 when M has one row, got {cond!r}")
    return k, float(cond)


def _check_noise(noise: Noise, n: int | None, level: float | None) -> tuple[int, float]:
    """The number of components and the noise level, defaults filled in."""
    if noise == "none":
        if level:
            raise InputError(f"level must be 0 or left out with noise=none, got {level!r}")
        return 1 if n is None else check_count(n, argument="n"), 0.0
    n = 10 if n is None else check_count(n, argument="n", least=2)
    if noise == "additive":
        return n, 1.0 if level is None else check_nonnegative(level, argument="level")
    level = 0.5 if level is None else check_nonnegative(level, argument="level")
    limit = -1 / float(_two_point_pattern(n).min())
    if level > limit:
        raise InputError(f"level must be at most {limit:.6g} for multiplicative noise with n = {n}, got {level!r}")
    return n, level


def _two_point_pattern(n: int) -> Vector:
    """n >= 2 numbers of mean 0 and variance 1, the even ones low and the odd ones high: -1, 1, -1, 1 for n = 4."""
    low, high = (n + 1) // 2, n // 2
    return np.where(np.arange(n) % 2 == 0, -math.sqrt(high / low), math.sqrt(low / high))


@problems.register("pl-sine")
def pl_sine(
    d: int = 10,
    a: float = 3.0,
    n: int | None = None,
    map: Map = "separable",
    cond: float | None = None,
    rows: int | None = None,
    noise: Noise = "none",
    level: float | None = None,
    seed: int = 0,
) -> PLSine:
    """A non-convex PL function, sum of u^2 + a sin^2 u after a map of the coordinates, with gradient noise."""
    return PLSine.with_map(d=d, a=a, n=n, map=map, cond=cond, rows=rows, noise=noise, level=level, seed=seed)
