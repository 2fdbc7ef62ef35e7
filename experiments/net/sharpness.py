"""How much f rises within a ball of radius rho: the surrogate gap of SAM, and three notions of sharpness.

Worst, ascent and average direction are those of Wen, Ma and Li (2023): R/rho^2 tends to lambda_1/2, lambda_M/2 (its
infimum over directions of the gradient; M the last nonzero eigenvalue) and tr/(2 d) as rho -> 0 near a manifold of
minima. Differences f(x + e) - f(x) carry the rounding of f, some eps |f|: a rho below sqrt(eps |f|/lambda) shows
nothing but that.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from problems.errors import InputError
from problems.problem import check_count, check_nonnegative, check_positive
from theory.inner_max import quadratic_on_ball

from .curvature import DENSE, Hessian, eigenpairs
from .objective import Objective


class Rise(NamedTuple):
    """value: f(x + e) - f(x). point: e, (d,), with ||e|| <= rho."""

    value: float
    point: Tensor


class InnerMaximum(NamedTuple):
    """The largest rise that was found, a lower bound of max over ||e|| <= rho of f(x + e) - f(x).

    value, point: as in `Rise`; the value is >= 0. restarts: the rise that each start ended at; when they agree the
    bound is likely tight, and nothing more can be said. steps: gradients taken.
    """

    value: float
    point: Tensor
    restarts: tuple[float, ...]
    steps: int


class QuadraticModel(NamedTuple):
    """Bounds of max over ||e|| <= rho of <g, e> + e'He/2, g and H at x; equal where H was written out."""

    low: float
    high: float


class Average(NamedTuple):
    """A mean over random directions and its standard error."""

    value: float
    standard_error: float


def ascent_rise(objective: Objective, x: Tensor, rho: float) -> Rise:
    """SAM's own ascent step, e = rho g/||g|| (0 at a zero gradient): the surrogate gap as SAM sees it. Raises
    InputError for rho < 0, and where f is not finite at its end."""
    check_nonnegative(rho, argument="rho")
    at = objective.check(x)
    e = rho * _direction(objective.gradient(at))
    return Rise(_finite(float(objective.value(at + e) - objective.value(at)), rho), e)


def inner_maximum(
    objective: Objective,
    x: Tensor,
    rho: float,
    *,
    steps: int = 100,
    restarts: int = 4,
    tolerance: float = 1e-10,
    seed: int = 0,
) -> InnerMaximum:
    """The surrogate gap: projected gradient ascent on the ball, from SAM's step, from both ends of the top eigenvector
    of the Hessian, and from `restarts` random points of the sphere.

    A step e -> P(e + s grad f(x + e)), P the projection onto the ball, is taken where f rises; s doubles then and is
    quartered otherwise. For a convex f every s rises. tolerance: relative, of the rise or of s, where a start ends.
    Never below `ascent_rise`, and at least 0. Raises InputError for rho < 0 or a count out of range, and where f or its
    gradient is not finite at a point of the ball that was tried.
    """
    check_nonnegative(rho, argument="rho")
    check_positive(tolerance, argument="tolerance")
    limit = check_count(steps, argument="steps")
    count = check_count(restarts, argument="restarts", least=0)
    at = objective.check(x)
    base = objective.value(at)
    if rho == 0:
        return InnerMaximum(0.0, torch.zeros_like(at), (0.0,), 0)
    generator = torch.Generator().manual_seed(check_count(seed, argument="seed", least=0))
    top = eigenpairs(objective, at, tolerance=1e-2).vectors[:, 0]
    drawn = torch.randn(count, objective.d, generator=generator, dtype=torch.float64).to(at)
    starts = [_direction(objective.gradient(at)), top, -top, *(_direction(row) for row in drawn)]
    best, point, ends, taken = 0.0, torch.zeros_like(at), [], 0
    for start in starts:
        e, rise, used = _climb(objective, at, base, rho * start, rho, limit, tolerance)
        taken += used
        ends.append(rise)
        if rise > best:
            best, point = rise, e
    return InnerMaximum(best, point, tuple(ends), taken)


def _climb(
    objective: Objective, x: Tensor, base: Tensor, e: Tensor, rho: float, steps: int, tolerance: float
) -> tuple[Tensor, float, int]:
    """Projected ascent from e; the point reached, its rise, and the gradients taken."""
    rise = _finite(float(objective.value(x + e) - base), rho)
    s = float("nan")
    for used in range(steps):
        g = objective.gradient(x + e)
        norm = _finite(float(g.norm()), rho)
        if norm == 0:
            return e, rise, used + 1
        if s != s:
            s = rho / norm  # a step as long as the radius
        shortest = tolerance * rho / norm
        while True:
            moved = _onto_ball(e + s * g, rho)
            value = _finite(float(objective.value(x + moved) - base), rho)
            if value > rise:
                break
            s /= 4
            if s < shortest:
                return e, rise, used + 1
        gained = value - rise
        e, rise, s = moved, value, 2 * s
        if gained <= tolerance * abs(rise):
            return e, rise, used + 1
    return e, rise, steps


def quadratic_model(objective: Objective, x: Tensor, rho: float, *, steps: int = 30) -> QuadraticModel:
    """What the second-order model of f at x makes of the inner maximum.

    Up to d = `DENSE` it is solved exactly (`theory.inner_max`). Beyond, low is its maximum over the span of the top
    eigenvector and the Krylov space of g with `steps` vectors; high = rho ||g|| + rho^2 (lambda_1 + residual)^+/2,
    which relies on ARPACK's value being the one at the end of the spectrum.
    """
    check_nonnegative(rho, argument="rho")
    _finite(rho * rho, rho)
    count = check_count(steps, argument="steps")
    at = objective.check(x)
    g = objective.gradient(at)
    operator = Hessian(objective, at)
    if objective.d <= DENSE:
        H = operator.dense().double().cpu().numpy()
        value = quadratic_on_ball(g.double().cpu().numpy(), H, rho).value
        return QuadraticModel(value, value)
    top = eigenpairs(objective, at)
    edge = max(float(top.values[0] + top.residuals[0]), 0.0)
    columns = [top.vectors[:, 0]]
    v = g
    for _ in range(count):
        # Twice is enough, as in Lanczos; what is left of an exhausted space is rounding.
        size = v.norm()
        for _ in range(2):
            Q = torch.stack(columns, dim=1)
            v = v - Q @ (Q.T @ v)
        if not float(v.norm()) > 64 * torch.finfo(v.dtype).eps * float(size):
            break
        columns.append(v / v.norm())
        v = operator @ columns[-1]
    Q = torch.stack(columns, dim=1)
    small = (Q.T @ (operator @ Q)).double().cpu().numpy()
    low = quadratic_on_ball((Q.T @ g).double().cpu().numpy(), (small + small.T) / 2, rho).value
    return QuadraticModel(low, rho * float(g.norm()) + rho**2 / 2 * edge)


def worst_sharpness(objective: Objective, x: Tensor, rho: float, *, steps: int = 100, restarts: int = 4) -> float:
    """max over ||e|| <= rho of (f(x + e) - f(x))/rho^2, from below by `inner_maximum`: lambda_1/2 at a minimum as
    rho -> 0. rho > 0."""
    square = squared_radius(rho)
    return inner_maximum(objective, x, rho, steps=steps, restarts=restarts).value / square


def ascent_sharpness(objective: Objective, x: Tensor, rho: float) -> float:
    """(f(x + rho g/||g||) - f(x))/rho^2: v'Hv/2 beside a minimum, where v = g/||g||. rho > 0.

    Raises InputError at a zero gradient, where by convention it is infinite.
    """
    square = squared_radius(rho)
    at = objective.check(x)
    # As the rules see it: a gradient whose norm underflows has no direction.
    if not bool(_direction(objective.gradient(at)).any()):
        raise InputError("x must be a point with a nonzero gradient, whose direction is looked along; it is 0 there")
    return ascent_rise(objective, at, rho).value / square


def average_sharpness(objective: Objective, x: Tensor, rho: float, *, directions: int = 64, seed: int = 0) -> Average:
    """E (f(x + rho u) - f(x))/rho^2 over u = z/||z||, z Gaussian: tr H/(2 d) as rho -> 0, at every x.

    Each direction is taken with both signs: the gradient's part, of order 1/rho, cancels within the pair. The standard
    error is over pairs. directions: pairs, >= 2. rho > 0.
    """
    square = squared_radius(rho)
    count = check_count(directions, argument="directions", least=2)
    at = objective.check(x)
    base = objective.value(at)
    generator = torch.Generator().manual_seed(check_count(seed, argument="seed", least=0))
    found = []
    for _ in range(count):
        u = _direction(torch.randn(objective.d, generator=generator, dtype=torch.float64)).to(at)
        rises = (objective.value(at + sign * rho * u) - base for sign in (1, -1))
        found.append(sum(_finite(float(rise), rho) for rise in rises) / 2 / square)
    values = torch.tensor(found, dtype=torch.float64)
    return Average(float(values.mean()), float(values.std() / count**0.5))


def squared_radius(rho: float) -> float:
    """rho^2, which sharpness is in units of. Raises InputError unless rho and its square are positive and finite."""
    check_positive(rho, argument="rho")
    square = _finite(rho * rho, rho)
    if square == 0:
        raise InputError(f"rho must be so large that its square is not 0 in float64, got {rho:g}")
    return square


def _finite(number: float, rho: float) -> float:
    if not math.isfinite(number):
        raise InputError(f"rho must be so small that f stays finite within the ball, got {rho:g}")
    return number


def _direction(v: Tensor) -> Tensor:
    """v/||v||, and 0 for 0."""
    norm = v.norm()
    return torch.where(norm == 0, torch.zeros_like(v), v / norm)


def _onto_ball(e: Tensor, rho: float) -> Tensor:
    norm = e.norm()
    return torch.where(norm > rho, rho / norm * e, e)
