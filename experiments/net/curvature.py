"""What the Hessian of a network's loss looks like at a point: its ends, its trace, its spectral density.

Products with the Hessian are those of curvlinops' HessianLinearOperator, which knows of models and losses but not of a
flat vector, frozen or shared parameters, an evaluation mode or a regulariser: it is given a module whose one parameter
is the point, so that the model itself is neither written to nor read from.

Numbers found along a trajectory are graded `estimate`: a largest value over visited points bounds nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, eigsh
from torch import Tensor, nn

from problems.errors import InputError
from problems.problem import Constant, Grade, check_count, check_positive

from . import forward_mode
from .forward_mode import without_script_warning
from .objective import LOSSES, Objective
from .seeds import seeded

with without_script_warning():
    from curvlinops import HessianLinearOperator, hutchpp_trace, lanczos_approximate_spectrum


class TooFewEigenvaluesError(InputError):
    """A Hessian has fewer distinct eigenvalues than its spectral density was asked to be resolved with."""


End = Literal["largest", "smallest", "magnitude"]
ARPACK = {"largest": "LA", "smallest": "SA", "magnitude": "LM"}

DENSE = 96
"""Up to this d the Hessian is written out and decomposed: ARPACK needs k < d, and below this it is no faster."""


class _Point(nn.Module):
    """The network at x, x being the one parameter."""

    def __init__(self, objective: Objective, x: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(x.clone())
        # Not as a submodule: its parameters are not this module's.
        self._objective = (objective,)

    def forward(self, inputs: Tensor) -> Tensor:
        return self._objective[0].outputs(self.x, inputs)


class _Total(nn.Module):
    """The losses of a batch, added up."""

    reduction = "sum"

    def __init__(self, loss: str) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return LOSSES[self.loss](outputs, targets).sum()


class Hessian(HessianLinearOperator):  # type: ignore[misc]
    """v -> H(x) v for the Hessian of f at x: `@` with tensors (d,) or (d, k), `to_scipy()` for SciPy's algorithms."""

    def __init__(self, objective: Objective, x: Tensor) -> None:
        """Raises InputError unless x is (d,) and finite."""
        self._objective = objective
        forward_mode.load()
        at = _Point(objective, objective.check(x))
        # The objective has no randomness: the library's own check of that would cost six passes over the data.
        super().__init__(at, _Total(objective.loss), [at.x], objective.parts(), check_deterministic=False)

    def _matmat(self, M: list[Tensor]) -> list[Tensor]:
        objective = self._objective
        return [total / objective.n + objective.reg * m for total, m in zip(super()._matmat(M), M, strict=True)]

    def dense(self) -> Tensor:
        """H(x), (d, d), made symmetric. For small d."""
        columns: Tensor = self @ torch.eye(self.shape[0], dtype=self.dtype, device=self.device)
        return (columns + columns.T) / 2


class Eigenpairs(NamedTuple):
    """Approximate eigenpairs of a symmetric matrix.

    values (k,), by falling value (by falling size for `magnitude`, rising for `smallest`); vectors (d, k), of norm 1,
    the entry largest in size positive; residuals (k,): ||H v - value v||. Some eigenvalue of H lies within the residual
    of the value, up to the rounding of one product; that none was missed further out the residual does not say.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor


class Trace(NamedTuple):
    """value: of the trace. standard_error: of `value`, from the spread of independent estimates; 0 where exact."""

    value: float
    standard_error: float


class Density(NamedTuple):
    """The spectral density (1/d) sum_i N(lambda_i, width^2), estimated: grid, density and standard_error are (points,).

    width: the standard deviation of the bumps, in the units of the eigenvalues. standard_error: over the repeats.
    """

    grid: Tensor
    density: Tensor
    standard_error: Tensor
    width: float


def eigenpairs(
    objective: Objective,
    x: Tensor,
    k: int = 1,
    *,
    end: End = "largest",
    tolerance: float = 1e-6,
    iterations: int = 1000,
    seed: int = 0,
) -> Eigenpairs:
    """The k eigenpairs of H(x) at one end of the spectrum, by ARPACK's implicitly restarted Lanczos method.

    tolerance: relative, where ARPACK stops; the residuals say what was reached. iterations: restarts at most. seed: of
    the start vector. Raises InputError for k outside 1..d, an unknown end, an x or a Hessian that is not finite, and
    where ARPACK did not converge.
    """
    if end not in get_args(End):
        raise InputError(f"end must be one of {', '.join(get_args(End))}, got {end!r}")
    k = check_count(k, argument="k")
    if k > objective.d:
        raise InputError(f"k must be in 1..d = {objective.d}, got {k}")
    check_positive(tolerance, argument="tolerance")
    operator = Hessian(objective, x)
    if objective.d <= max(DENSE, k):
        values, vectors = np.linalg.eigh(_finite(operator.dense()).double().cpu().numpy())
    else:
        generator = np.random.default_rng(check_count(seed, argument="seed", least=0))
        start = generator.standard_normal(objective.d)
        _finite(operator @ torch.as_tensor(start).to(objective.start))
        try:
            values, vectors = eigsh(
                operator.to_scipy(), k=k, which=ARPACK[end], v0=start, tol=tolerance, maxiter=iterations
            )
        except ArpackNoConvergence as error:
            raise InputError(
                f"iterations must be enough for ARPACK to reach the tolerance {tolerance:g}; {iterations} gave "
                f"{len(error.eigenvalues)} of {k} eigenpairs"
            ) from None
        except ArpackError as error:
            reason = str(error).rstrip(". ")
            raise InputError(f"x must be a point whose Hessian is not too large to decompose, got {reason}") from None
    size = {"largest": -values, "smallest": values, "magnitude": -np.abs(values)}[end]
    order = np.argsort(size, kind="stable")[:k]
    found = torch.as_tensor(vectors[:, order]).to(objective.start)
    found = found / found.norm(dim=0)
    largest = found.abs().argmax(dim=0, keepdim=True)
    found = found * torch.where(found.gather(0, largest) < 0, -1.0, 1.0).to(found)
    kept = torch.as_tensor(values[order].copy()).to(objective.start)
    return Eigenpairs(kept, found, (operator @ found - kept * found).norm(dim=0))


def _finite(products: Tensor) -> Tensor:
    if not bool(torch.isfinite(products).all()):
        raise InputError("x must be a point with a finite Hessian, got NaN or infinity in a product with it")
    return products


def trace(objective: Objective, x: Tensor, *, products: int = 30, repeats: int = 10, seed: int = 0) -> Trace:
    """tr H(x): the mean of `repeats` independent Hutch++ estimates of `products` Hessian-vector products each.

    Hutch++ and not XTrace: that one inverts a triangular factor of H times random vectors, which is singular as soon as
    the rank of H is below their number. Up to d = `DENSE`, and where the products would do, the trace is taken exactly.
    Raises InputError unless products is a multiple of 3 and repeats >= 2.
    """
    count = check_count(products, argument="products", least=3)
    if count % 3:
        raise InputError(f"products must be a multiple of 3, got {products!r}")
    times = check_count(repeats, argument="repeats", least=2)
    operator = Hessian(objective, x)
    if objective.d <= max(DENSE, count):
        return Trace(float(_finite(operator.dense()).diagonal().sum()), 0.0)
    with seeded(check_count(seed, argument="seed", least=0), objective.start.device):
        found = torch.stack([hutchpp_trace(operator, count) for _ in range(times)]).double()
    _finite(found)
    return Trace(float(found.mean()), float(found.std() / times**0.5))


def spectral_density(
    objective: Objective,
    x: Tensor,
    *,
    steps: int = 64,
    points: int = 1024,
    repeats: int = 10,
    kappa: float = 3.0,
    seed: int = 0,
) -> Density:
    """The density of the eigenvalues of H(x), by stochastic Lanczos quadrature (Papyan 2020, Algorithm 2).

    steps: of each Lanczos run, without reorthogonalisation. points: of the grid, which covers the spectrum with a
    margin of 5 % on either side. kappa > 1: the larger, the narrower the bumps. Raises InputError for steps outside
    2..d, kappa <= 1, repeats < 2, and TooFewEigenvaluesError where the Lanczos runs end early because H has fewer
    distinct eigenvalues.
    """
    steps = check_count(steps, argument="steps", least=2)
    if steps > objective.d:
        raise InputError(f"steps must be in 2..d = {objective.d}, got {steps}")
    if not kappa > 1:
        raise InputError(f"kappa must be > 1, got {kappa!r}")
    points = check_count(points, argument="points", least=2)
    times = check_count(repeats, argument="repeats", least=2)
    low, high = (float(eigenpairs(objective, x, end=end, seed=seed).values[0]) for end in ("smallest", "largest"))
    if not high > low:
        raise TooFewEigenvaluesError(
            f"x must be a point whose Hessian has two distinct eigenvalues; all are {low:g} there"
        )
    operator = Hessian(objective, x)
    ended = f"steps must be below the number of distinct eigenvalues of the Hessian, got {steps}"
    with seeded(check_count(seed, argument="seed", least=0), objective.start.device):
        try:
            runs = [
                lanczos_approximate_spectrum(operator, steps, num_points=points, kappa=kappa, boundaries=(low, high))
                for _ in range(times)
            ]
        except RuntimeError:  # LinAlgError: a run that ended went on with 0/0
            raise TooFewEigenvaluesError(ended) from None
    densities = torch.stack([density for _, density in runs])
    if not bool(torch.isfinite(densities).all()):
        raise TooFewEigenvaluesError(ended)
    grid = runs[0][0]
    # In the library's units, where the grid is [-1, 1], the bumps have the width 2/(steps - 1)/sqrt(8 log kappa).
    width = float((grid[-1] - grid[0]) / 2) * 2 / (steps - 1) / (8 * float(np.log(kappa))) ** 0.5
    return Density(grid, densities.mean(dim=0), densities.std(dim=0) / times**0.5, width)


def alignment(gradient: Tensor, vector: Tensor) -> Tensor:
    """|<g, v>|/(||g|| ||v||) over the last axis, in [0, 1]; NaN where either is 0 and there is no direction."""
    # The largest entry first: squares under- and overflow long before the vectors do.
    g, v = (a / a.abs().amax(dim=-1, keepdim=True) for a in (gradient, vector))
    g, v = (a / a.norm(dim=-1, keepdim=True) for a in (g, v))
    cosine: Tensor = (g * v).sum(dim=-1)
    return cosine.abs().clamp(max=1.0)


class Smoothness(NamedTuple):
    """L: the largest |eigenvalue| at the points. values (m,): at each of them. residuals (m,): their error bounds."""

    L: Constant
    values: Tensor
    residuals: Tensor


def smoothness_along(objective: Objective, points: Iterable[Tensor], *, tolerance: float = 1e-4) -> Smoothness:
    """The smoothness seen at points of a trajectory, an estimate of L from below: between and beside them f may curve
    more. Raises InputError for no points."""
    pairs = [eigenpairs(objective, x, end="magnitude", tolerance=tolerance) for x in points]
    if not pairs:
        raise InputError("points must be at least one, got none")
    values = torch.stack([pair.values[0].abs() for pair in pairs])
    residuals = torch.stack([pair.residuals[0] for pair in pairs])
    return Smoothness(Constant(float(values.max()), Grade.ESTIMATE), values, residuals)


class LocalPL(NamedTuple):
    """mu: the smallest ratio at the points. ratios (m,): ||grad f||^2/(2 (f - infimum)), infinite where f = infimum."""

    mu: Constant
    ratios: Tensor


def local_pl(objective: Objective, points: Iterable[Tensor], *, infimum: float = 0.0) -> LocalPL:
    """The Polyak-Lojasiewicz constant seen at points of a trajectory: min of ||grad f||^2/(2 (f - infimum)).

    Two errors, of opposite sign: with a lower bound in the place of f* (0 for both losses) every ratio is too small,
    much too small near a minimum with f* > 0; and points that were not visited may have a smaller one. So the number is
    an estimate and neither a lower nor an upper bound of mu; with f* itself it is an upper bound of any mu that holds.
    Raises InputError for no points, or an infimum above a value of f.
    """
    ratios = []
    for x in points:
        at = objective.check(x, argument="points")
        gap = float(objective.value(at)) - infimum
        if not gap >= 0:
            raise InputError(
                f"infimum must be at most every value of f, got {infimum!r} with a value {gap + infimum:g}"
            )
        norm2 = float(objective.gradient(at).double().square().sum())
        ratios.append(norm2 / (2 * gap) if gap > 0 else float("inf"))
    if not ratios:
        raise InputError("points must be at least one, got none")
    return LocalPL(Constant(min(ratios), Grade.ESTIMATE), torch.tensor(ratios, dtype=torch.float64))
