"""Gradient noise of a network under a sampling, and the expected-residual constants that fit it.

E||grad f_v(x)||^2 is a sum over pairs of examples with the weights E v_i v_j of `theory.samplings`; all of it follows
from every example's gradient, so that at each point it is exact and no batch is drawn. Over points nothing is exact:
the constants cover the points they were fitted to and are graded `estimate`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls
from scipy.stats import norm as normal
from scipy.stats import t as student
from torch import Tensor

from problems.errors import InputError
from problems.problem import Constant, Grade, check_count
from theory.samplings import ERConstants, Sampling

from .objective import Objective

Terms = Literal["ABC", "AB", "AC", "BC", "A", "B", "C"]

ENTRIES = 1 << 24
"""Entries of the examples' gradients held at once: 128 MiB in float64."""


class Noise(NamedTuple):
    """What a sampling's gradients are like at m points, each array (m,) and float64.

    second: E||grad f_v||^2. norm2: ||grad f||^2. gap: f - infimum. variance: E||grad f_v - grad f||^2, their
    difference, at least 0.
    """

    second: NDArray[np.float64]
    norm2: NDArray[np.float64]
    gap: NDArray[np.float64]

    @property
    def variance(self) -> NDArray[np.float64]:
        return np.maximum(self.second - self.norm2, 0.0)

    @property
    def largest_variance(self) -> Constant:
        """sigma^2, the largest variance at the points: an estimate from below of its supremum."""
        return Constant(float(self.variance.max()), Grade.ESTIMATE)


class Interval(NamedTuple):
    """A fitted constant and the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


class Fit(NamedTuple):
    """A fit of A, B and C with percentile intervals at this level. residual: root mean square of
    measured/fitted - 1."""

    A: Interval
    B: Interval
    C: Interval
    level: float
    residual: float


def second_moment(objective: Objective, x: Tensor, sampling: Sampling) -> tuple[float, float]:
    """E||grad f_v(x)||^2 and ||grad f(x)||^2 from the gradients of all n examples, a block of them at a time.

    (1/n^2) [sum_i diagonal_i ||g_i||^2 + common ||sum_i g_i||^2 + sum_B weight_B ||sum_{i in B} g_i||^2]: for one
    example drawn uniformly (1/n) sum ||g_i||^2, for tau-nice sampling
    (n - tau)/(tau (n - 1)) (1/n) sum ||g_i||^2 + n (tau - 1)/(tau (n - 1)) ||grad f||^2. Sums are taken in float64.
    A sampling whose batch grows is taken at its first stage.
    Raises InputError for a sampling of another n, or an x where a gradient is not finite.
    """
    if sampling.n != objective.n:
        raise InputError(f"sampling must be of n = {objective.n} examples, got {sampling.n}")
    at = objective.check(x)
    moment = sampling.moment
    diagonal = torch.as_tensor(moment.diagonal, device=at.device)
    total = torch.zeros(objective.d, dtype=torch.float64, device=at.device)
    sums = labels = None
    if moment.blocks is not None and moment.block_weights is not None:
        labels = torch.as_tensor(moment.blocks, device=at.device)
        sums = torch.zeros(len(moment.block_weights), objective.d, dtype=torch.float64, device=at.device)
    second = torch.zeros((), dtype=torch.float64, device=at.device)
    size = max(1, ENTRIES // objective.d)
    for first in range(0, objective.n, size):
        chosen = torch.arange(first, min(first + size, objective.n), device=at.device)
        rows = objective.sample_gradients(at, chosen).double()
        second += (diagonal[chosen] * rows.square().sum(dim=1)).sum()
        total += rows.sum(dim=0)
        if sums is not None and labels is not None:
            sums.index_add_(0, labels[chosen], rows)
    second += moment.common * total.square().sum()
    if sums is not None and moment.block_weights is not None:
        second += (torch.as_tensor(moment.block_weights, device=at.device) * sums.square().sum(dim=1)).sum()
    found = float(second) / objective.n**2, float((total / objective.n).square().sum())
    if not np.isfinite(found).all():
        raise InputError("x must be a point where every example's gradient is finite, got NaN or infinity in one")
    return found


def measure(objective: Objective, points: Iterable[Tensor], sampling: Sampling, *, infimum: float = 0.0) -> Noise:
    """The noise at these points (each of shape (d,)). infimum: f*, or a lower bound of it, 0 for both losses: too low
    a number makes the gaps too large and the fitted A too small.

    Raises InputError for no points, or an infimum above a value of f.
    """
    rows = []
    for x in points:
        second, norm2 = second_moment(objective, x, sampling)
        value = float(objective.value(objective.check(x)))
        if not value >= infimum:
            raise InputError(f"infimum must be at most every value of f, got {infimum!r} and a value {value:g}")
        rows.append((second, norm2, value - infimum))
    if not rows:
        raise InputError("points must be at least one, got none")
    return Noise(*np.array(rows).T)


def covering_constants(noise: Noise, *, terms: Terms = "ABC") -> ERConstants:
    """The tightest A, B, C >= 0 with E||grad f_v||^2 <= 2 A gap + B ||grad f||^2 + C at every point.

    There is no smallest triple; of those that hold, this one has the smallest mean of bound/measured over the points,
    which is a linear program. terms: which of the three may be positive. Nothing is said of other points.
    Raises InputError for other terms, and where no triple of these terms holds (such as A alone at a point with gap 0).
    """
    columns = _columns(noise, terms)
    # What is not positive demands nothing.
    counted = noise.second > 0
    if not counted.any():
        return _constants(terms, np.zeros(len(terms)), "linear program")
    rows = columns[counted] / noise.second[counted, None]
    size = np.where(rows.max(axis=0) > 0, rows.max(axis=0), 1.0)
    scaled = rows / size
    found = linprog(scaled.mean(axis=0), A_ub=-scaled, b_ub=-np.ones(len(rows)), bounds=(0, None), method="highs")
    if not found.success:
        raise InputError(
            f"terms must be able to cover every point, and {terms!r} cannot: the measured noise is positive where they "
            "are 0"
        )
    # The solver stops at 1e-7 below a constraint; the constants shall hold as they stand.
    lowest = float((scaled @ found.x).min())
    return _constants(terms, found.x / size / min(lowest, 1.0) * (1 + 4 * np.finfo(float).eps), "linear program")


def fitted_constants(
    noise: Noise, *, terms: Terms = "ABC", level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Fit:
    """The A, B, C >= 0 whose 2 A gap + B ||grad f||^2 + C is the mean of E||grad f_v||^2, the spread about it being
    proportional to it, with intervals from resampled points.

    Each point counts with the weight 1/fitted^2, found by repeated nonnegative least squares: the score of gamma
    regression, right in the mean for any law of measured/fitted. Weights 1/measured^2 would not be: they favour points
    that lie low, by 20 % of A and B where the spread is 30 %.
    A description of the noise, not a bound: about half the points lie above it. The bootstrap treats the points as
    independent draws, which the points of one trajectory are not: its intervals are then too short.
    Raises InputError for other terms, a level outside (0, 1), or fewer points with noise than two for each term.
    """
    if not 0 < level < 1:
        raise InputError(f"level must be in (0, 1), got {level!r}")
    count = check_count(resamples, argument="resamples")
    columns = _columns(noise, terms)
    counted = noise.second > 0
    m = int(counted.sum())
    if m < 2 * len(terms):
        raise InputError(f"points must be at least {2 * len(terms)} with positive noise for terms {terms!r}, got {m}")
    kept, measured = columns[counted], noise.second[counted]
    size = np.where(kept.max(axis=0) > 0, kept.max(axis=0), 1.0)

    def fit(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        return _weighted_fit(kept[chosen] / size, measured[chosen]) / size

    values = fit(np.arange(m))
    generator = np.random.default_rng(check_count(seed, argument="seed", least=0))
    drawn = np.array([fit(generator.integers(m, size=m)) for _ in range(count)])
    # Percentile intervals are too short for few points. Expanded percentiles (Hesterberg 2015) widen them as Student's
    # interval is wider than the normal one whose deviation is not corrected for what was fitted.
    free = m - len(terms)
    tail = float(normal.sf(np.sqrt(m / free) * student.ppf((1 + level) / 2, free)))
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    found = dict.fromkeys("ABC", Interval(0.0, 0.0, 0.0))
    found |= {
        term: Interval(float(v), float(a), float(b)) for term, v, a, b in zip(terms, values, low, high, strict=True)
    }
    return Fit(**found, level=level, residual=_spread(kept @ values, measured))


PASSES, SETTLED = 100, 1e-9
"""Of the weights of a fit at most; and the relative change of the fitted values at which they stand."""


def _weighted_fit(columns: NDArray[np.float64], measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values >= 0 at which sum_i columns_i (measured_i - fitted_i)/fitted_i^2 is 0, or at most 0 where a value is 0."""
    fitted = measured
    for _ in range(PASSES):
        values: NDArray[np.float64] = nnls(columns / fitted[:, None], measured / fitted)[0]
        # A point at which every chosen column is 0 has no finite weight: it keeps a small part of its own value.
        now = np.maximum(columns @ values, 1e-3 * measured)
        if np.abs(now - fitted).max() <= SETTLED * fitted.max():
            break
        fitted = now
    return values


def _spread(fitted: NDArray[np.float64], measured: NDArray[np.float64]) -> float:
    """Root mean square of measured/fitted - 1; infinite where something was measured and nothing fitted."""
    with np.errstate(divide="ignore"):
        return float(np.sqrt(np.mean((measured / fitted - 1) ** 2)))


def _columns(noise: Noise, terms: str) -> NDArray[np.float64]:
    if terms not in get_args(Terms):
        raise InputError(f"terms must be one of {', '.join(get_args(Terms))}, got {terms!r}")
    parts = {"A": 2 * noise.gap, "B": noise.norm2, "C": np.ones_like(noise.gap)}
    return np.stack([parts[term] for term in terms], axis=1)


def _constants(terms: str, values: NDArray[np.float64], route: str) -> ERConstants:
    found = dict.fromkeys("ABC", 0.0) | dict(zip(terms, map(float, values), strict=True))
    return ERConstants(found["A"], found["B"], found["C"], Grade.ESTIMATE, route)
