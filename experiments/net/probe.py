"""Everything that is measured of a network at one point: curvature, gradient noise, sharpness, and where the point
stands to the edges of the methods.

What is a finite sum at the point itself (the loss, the gradient, the noise, a rise of f) is `exact`, up to rounding;
every constant is an `estimate`: measured at or about one point, it bounds nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from problems.errors import InputError
from problems.problem import Constant, Grade, check_count, check_nonnegative, check_positive
from theory.dynamics import sam_edge, usam_edge
from theory.samplings import ERConstants, Sampling, full, tau_nice

from .curvature import (
    DENSE,
    Density,
    Eigenpairs,
    TooFewEigenvaluesError,
    alignment,
    eigenpairs,
    local_pl,
    spectral_density,
    trace,
)
from .noise import Fit, Noise, covering_constants, fitted_constants, measure
from .objective import Objective
from .probe_point import Point, Trained
from .sharpness import InnerMaximum, ascent_rise, average_sharpness, inner_maximum, quadratic_model, squared_radius
from .train import BATCH

RHO = 0.05
"""The radius where neither the caller nor the run gives one: that of `ravine net train`."""

LANCZOS, RUNS = 64, 5
"""Steps of a Lanczos run of the density, at most, and how many runs: the dearest of all probes."""


@dataclass(frozen=True)
class Quantity:
    """One number. value: NaN where there is none, `how` says why. residual: of an eigenpair, within which an eigenvalue
    lies. standard_error: over independent draws. interval: as `how` says. NaN and None where they have no meaning."""

    value: float
    grade: Grade
    how: str
    residual: float | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """What there is of it."""
        found: dict[str, Any] = {"value": self.value, "grade": self.grade.value, "how": self.how}
        for name in ("residual", "standard_error", "interval"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        return found


class Edge(NamedTuple):
    """The curvature beyond which a full-batch step of a method no longer shrinks a direction of a quadratic. method: of
    the catalogue. claim: whose function gave it; at: where that was evaluated. ratio: lambda_1 over it."""

    method: str
    claim: str
    at: str
    value: float
    ratio: float


@dataclass(frozen=True)
class Probe:
    """All probes at one point. quantities: by name, in the order of measuring. edges: none where no step size is known.
    density: None where H has too few distinct eigenvalues. covering: the tightest A, B, C that hold at every point of
    the fit, None where there is no fit. top: the eigenpairs."""

    rho: float
    gamma: float | None
    sampling: str
    quantities: dict[str, Quantity]
    edges: tuple[Edge, ...]
    density: Density | None
    covering: ERConstants | None
    top: Eigenpairs

    def as_json(self) -> dict[str, Any]:
        """Numbers, texts, lists and dictionaries; the eigenvectors are left out."""
        density, covering = self.density, self.covering
        return {
            "rho": self.rho,
            "gamma": self.gamma,
            "sampling": self.sampling,
            "quantities": {name: quantity.as_json() for name, quantity in self.quantities.items()},
            "edges": [edge._asdict() for edge in self.edges],
            "covering": None if covering is None else {"A": covering.A, "B": covering.B, "C": covering.C},
            "density": None
            if density is None
            else {
                "grid": density.grid.tolist(),
                "density": density.density.tolist(),
                "standard_error": density.standard_error.tolist(),
                "width": density.width,
            },
        }


PARTS = ("eigenpairs", "trace", "density", "noise", "surrogate gap", "sharpness")
"""What `probe` does, in this order."""


def probe(
    point: Point,
    *,
    rho: float | None = None,
    gamma: float | None = None,
    batch: int | None = None,
    top: int = 3,
    seed: int = 0,
    on_part: Callable[[str], None] = lambda part: None,
) -> Probe:
    """Measure everything at the point. The same numbers for the same seed and number of threads on the CPU.

    rho >= 0: radius of the surrogate gap, the sharpness and the edges; gamma > 0: step size of the edges; batch: size
    of the uniformly drawn sets of examples whose gradient noise is measured. Where they are None, those of the run at
    its last step, else `RHO`, no edges, and `BATCH` or all examples. top: eigenpairs. on_part: told what is done next.
    Raises InputError for numbers out of range, and where f is not finite within the ball.
    """
    objective, run = point.objective, point.trained
    x = objective.start
    radius = check_nonnegative(rho if rho is not None else run.rho if run and run.rho > 0 else RHO, argument="rho")
    if radius > 0:
        squared_radius(radius)
    step = check_positive(gamma, argument="gamma") if gamma is not None else run.gamma if run else 0.0
    if check_count(top, argument="top") > objective.d:
        raise InputError(f"top must be in 1..d = {objective.d}, the number of parameters, got {top}")
    sampling = _sampling(batch, run, objective.n)
    check_count(seed, argument="seed", least=0)
    g = objective.gradient(x)
    value, norm = float(objective.value(x)), float(g.double().norm())
    found = {
        "loss": Quantity(value, Grade.EXACT, f"mean over {objective.n} examples" + _logged(point)),
        "gradient_norm": Quantity(norm, Grade.EXACT, "||grad f||, all of them"),
        "mu": _local_pl(objective, x),
    }
    on_part("eigenpairs")
    pairs = eigenpairs(objective, x, top, seed=seed)
    found |= _spectrum(pairs, g)
    on_part("trace")
    total = trace(objective, x, seed=seed)
    how = f"tr H, {'Hutch++ with 10 x 30 products' if objective.d > DENSE else 'H written out'}"
    found["trace"] = Quantity(total.value, Grade.ESTIMATE, how, standard_error=total.standard_error)
    on_part("density")
    density = _density(objective, x, seed)
    on_part("noise")
    measured, covering = _noise(objective, x, sampling, radius, g, pairs, seed)
    found |= measured
    on_part("surrogate gap")
    found |= _gaps(objective, x, radius, seed)
    on_part("sharpness")
    found |= _sharpness(objective, x, radius, seed, found)
    edges = _edges(step, radius, norm, float(pairs.values[0]))
    return Probe(radius, step or None, sampling.name, found, edges, density, covering, pairs)


def _sampling(batch: int | None, run: Trained | None, n: int) -> Sampling:
    if batch is None:
        size = min(run.batch if run is not None else BATCH, n)
    elif (size := check_count(batch, argument="batch")) > n:
        raise InputError(f"batch must be in 1..{n}, the examples that are looked at, got {batch}")
    return full(n) if size == n else tau_nice(n, size)


def _logged(point: Point) -> str:
    """What the log of the run has for the same number."""
    run, objective = point.trained, point.objective
    same = run is not None and objective.n == point.available and objective.loss == run.loss
    return f"; its log has {run.logged:.6g}" if run is not None and same and run.logged == run.logged else ""


def _local_pl(objective: Objective, x: Tensor) -> Quantity:
    found = local_pl(objective, [x]).mu
    return _constant(found, "PL: ||grad f||^2/(2 f), 0 for f*")


def _constant(constant: Constant, how: str) -> Quantity:
    return Quantity(constant.value, constant.grade, how)


def _spectrum(pairs: Eigenpairs, g: Tensor) -> dict[str, Quantity]:
    how = f"of the Hessian H, {'ARPACK' if len(g) > max(DENSE, len(pairs.values)) else 'written out'}"
    found = {
        f"lambda_{k}": Quantity(float(value), Grade.ESTIMATE, how, residual=float(residual))
        for k, (value, residual) in enumerate(zip(pairs.values, pairs.residuals, strict=True), start=1)
    }
    along = [float(alignment(g, v)) for v in pairs.vectors.T]
    found["alignment"] = Quantity(along[0], Grade.ESTIMATE, "|<grad f, v_1>|/||grad f||")
    if len(along) > 1:
        # The vectors are orthonormal; rounding may lift the sum of squares above 1.
        share = min(sum(cosine**2 for cosine in along) ** 0.5, 1.0) if along[0] == along[0] else along[0]
        found["alignment_top"] = Quantity(share, Grade.ESTIMATE, f"of grad f with the span of v_1..v_{len(along)}")
    return found


def _density(objective: Objective, x: Tensor, seed: int) -> Density | None:
    """With as many Lanczos steps as H has distinct eigenvalues for, by halves of `LANCZOS`."""
    steps = min(LANCZOS, objective.d)
    while steps >= 2:
        with suppress(TooFewEigenvaluesError):
            return spectral_density(objective, x, steps=steps, repeats=RUNS, seed=seed)
        steps //= 2
    return None


SCALES = (-1.0, -0.5, 0.5, 1.0)
"""Parts of rho at which the noise is measured along each direction."""

DIRECTIONS = 3
"""Eigenvectors, at most, along which it is."""


def _noise(
    objective: Objective, x: Tensor, sampling: Sampling, rho: float, g: Tensor, pairs: Eigenpairs, seed: int
) -> tuple[dict[str, Quantity], ERConstants | None]:
    """The noise at x, and the constants that fit it in the ball: at x alone no three of them could be told apart, so
    the points lie where f and its gradient change most, along the gradient and the top eigenvectors."""
    directions = [g / g.norm()] if bool(g.any()) else []
    directions += list(pairs.vectors.T[:DIRECTIONS])
    points = [x] + [x + scale * rho * v for v in directions for scale in SCALES if rho > 0]
    try:
        seen = measure(objective, points, sampling)
    except InputError:
        if rho == 0:
            raise
        raise InputError(
            f"rho must be so small that f and its gradients stay finite in the ball, got {rho:g}"
        ) from None
    here = Noise(seen.second[:1], seen.norm2[:1], seen.gap[:1])
    variance, norm2 = float(here.variance[0]), float(here.norm2[0])
    found = {
        "variance": Quantity(
            variance, Grade.EXACT, f"E||grad f_v - grad f||^2, {sampling.name}, from every example's gradient"
        ),
        "noise_to_signal": Quantity(
            variance / norm2 if norm2 > 0 else float("nan"), Grade.EXACT, "variance/||grad f||^2 at the point"
        ),
    }
    try:
        fit: Fit = fitted_constants(seen, seed=seed)
    except InputError:
        missing = "rho is 0" if rho == 0 else "too few points have noise"
        return found | {
            name: Quantity(float("nan"), Grade.ESTIMATE, f"cannot be fitted: {missing}") for name in "ABC"
        }, None
    for name, meaning in zip("ABC", ("2 A f", "B ||grad f||^2", "C"), strict=True):
        part = getattr(fit, name)
        how = f"the part {meaning} of E||grad f_v||^2 at {len(points)} points of the ball; {100 * fit.level:g} %"
        found[name] = Quantity(part.value, Grade.ESTIMATE, how, interval=(part.low, part.high))
    return found, covering_constants(seen)


def _gaps(objective: Objective, x: Tensor, rho: float, seed: int) -> dict[str, Quantity]:
    step = ascent_rise(objective, x, rho)
    inner = inner_maximum(objective, x, rho, seed=seed)
    model = quadratic_model(objective, x, rho)
    return {
        "gap_one_step": Quantity(step.value, Grade.EXACT, "f(x + rho g/||g||) - f(x), SAM's ascent step"),
        "gap_inner_max": Quantity(inner.value, Grade.ESTIMATE, _starts(inner)),
        "gap_model": Quantity(
            model.low, Grade.ESTIMATE, "max of <g, e> + e'He/2 over the ball, bounds", interval=(model.low, model.high)
        ),
    }


AGREE = 0.01
"""Starts that end within this part of the largest rise are said to agree."""


def _starts(inner: InnerMaximum) -> str:
    agreeing = sum(rise >= (1 - AGREE) * inner.value for rise in inner.restarts)
    return f"max over the ball, ascent from below; {agreeing} of {len(inner.restarts)} starts agree"


def _sharpness(
    objective: Objective, x: Tensor, rho: float, seed: int, found: dict[str, Quantity]
) -> dict[str, Quantity]:
    """`worst_sharpness` and `ascent_sharpness` from the gaps, which are at hand, and the average."""
    if rho == 0:
        none = Quantity(float("nan"), Grade.ESTIMATE, "needs rho > 0")
        return {"sharpness_worst": none, "sharpness_ascent": none, "sharpness_average": none}
    square = squared_radius(rho)
    ascent = found["gap_one_step"].value / square if found["gradient_norm"].value > 0 else float("nan")
    average = average_sharpness(objective, x, rho, seed=seed)
    return {
        "sharpness_worst": Quantity(found["gap_inner_max"].value / square, Grade.ESTIMATE, "gap_inner_max/rho^2"),
        "sharpness_ascent": Quantity(ascent, Grade.ESTIMATE, "gap_one_step/rho^2"),
        "sharpness_average": Quantity(
            average.value, Grade.ESTIMATE, "the same in 64 random directions of both signs",
            standard_error=average.standard_error,
        ),
    }  # fmt: skip


def _edges(gamma: float, rho: float, norm: float, top: float) -> tuple[Edge, ...]:
    """None where gamma is 0 (not known, or where a schedule ended). SAM's is 0 in the limit of a zero gradient."""
    if gamma == 0:
        return ()
    # Gradient descent is USAM with rho = 0: 2/gamma.
    plain = usam_edge(gamma, 0.0)
    at_zero = plain if rho == 0 else 0.0
    edges = {
        "sgd": ("edge/usam", "at rho = 0: 2/gamma", plain),
        "sam": (
            "edge/sam",
            "at this ||grad f||",
            float(sam_edge(gamma, rho, np.array(norm))) if norm > 0 else at_zero,
        ),
        "usam": ("edge/usam", "at every point", usam_edge(gamma, rho)),
    }
    return tuple(
        Edge(method, claim, at, value, top / value if value > 0 else float("inf"))
        for method, (claim, at, value) in edges.items()
    )
