"""The inner maximum: the surrogate gap and the largest eigenvalue; one ascent step and several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from experiments.net.claim import Effort, Judged, NetworkClaim, Seen, network_claims, seen
from experiments.net.curvature import eigenpairs
from experiments.net.digits import digits_objective, digits_starts
from experiments.net.ensemble import train
from experiments.net.objective import Objective
from experiments.net.sharpness import inner_maximum
from experiments.verify.verdict import Values
from problems.errors import InputError

REG = 0.01
"""Makes the minima of the surrogate gap isolated, so that there is one to stand at."""

STATIONARY = 1e-6


def minimum_from(objective: Objective, x: Tensor) -> Tensor:
    """A point with ||grad f|| <= STATIONARY and no negative eigenvalue, by L-BFGS. Raises InputError where it does not
    get there."""

    def both(z: Values) -> tuple[float, object]:
        at = torch.as_tensor(z).to(objective.start)
        return float(objective.value(at)), objective.gradient(at).double().cpu().numpy()

    options = {"maxiter": 5000, "maxcor": 30, "gtol": STATIONARY / objective.d, "ftol": 0.0, "maxfun": 10**5}
    found = minimize(both, x.double().cpu().numpy(), jac=True, method="L-BFGS-B", options=options)
    at: Tensor = torch.as_tensor(found.x).to(objective.start)
    slope = float(objective.gradient(at).norm())
    if slope > STATIONARY:
        raise InputError(
            f"a minimum must have ||grad f|| <= {STATIONARY:g}, got {slope:.2g} after {found.nit} iterations"
        )
    low = eigenpairs(objective, at, end="smallest")
    if float(low.values[0] - low.residuals[0]) < 0:
        raise InputError(f"a minimum must have no negative eigenvalue, got {float(low.values[0]):.2g}")
    return at


def surrogate_gap(effort: Effort) -> Sequence[Seen | Judged]:
    """2 h/(rho^2 lambda_1) at minima, h the maximum over the ball: its distance from 1 falls with rho."""
    objective = digits_objective("cross-entropy", reg=REG)
    radii = np.array([0.1, 0.05, 0.025, 0.0125, 0.00625])
    ratios, thirds = [], []
    for x in digits_starts(effort.seed, effort.seeds):
        at = minimum_from(objective, x)
        top, _, third = eigenpairs(objective, at, 3).values.tolist()
        rises = [inner_maximum(objective, at, float(rho)).value for rho in radii]
        ratios.append(2 * np.array(rises) / (radii**2 * top))
        thirds.append(ratios[-1][-1] * top / third)
    found = np.array(ratios)
    away = np.abs(found - 1)
    slopes = np.log(away[:, 0] / away[:, -1]) / np.log(radii[0] / radii[-1])
    return [
        seen(f"2 h/(rho^2 lambda_1) at rho = {radii[-1]:g}", found[:, -1], least=0.97, most=1.03),
        seen("order in rho of its distance from 1, at least 1 stated", slopes, least=0.8),
        seen(f"2 h/(rho^2 lambda_3) at rho = {radii[-1]:g}", thirds, least=0.97, most=1.03, control=True),
    ]


SHARES = (1, 2, 5, 10)


def several_steps(effort: Effort) -> Sequence[Seen | Judged]:
    """Along gradient descent: the share of the inner maximum that n = 1, 2, 5, 10 ascent steps of the budget rho find,
    and how often more steps find at least as much as one, which is proved for convex quadratics."""
    objective = digits_objective("cross-entropy")
    rho, places = 0.5, [5, 50, 200]
    shares: dict[int, list[float]] = {n: [] for n in SHARES}
    never_less: list[float] = []
    for x in digits_starts(effort.seed, effort.seeds):
        own: dict[int, list[float]] = {n: [] for n in SHARES}
        for point in _along(objective, x, places):
            best = inner_maximum(objective, point, rho).value
            base = float(objective.value(point))
            for n in SHARES:
                own[n].append((float(objective.value(ascended(objective, point, rho, n))) - base) / best)
        for n in SHARES:
            shares[n].append(float(np.mean(own[n])))
        # 1e-12 of the inner maximum: the rounding of differences of f.
        pairs = [(many, one) for n in SHARES[1:] for many, one in zip(own[n], own[1], strict=True)]
        never_less.append(float(np.mean([many >= one - 1e-12 for many, one in pairs])))
    found = [
        seen(f"share of the inner maximum, {n} step{'s' if n > 1 else ''}", shares[n], least=0.1, most=0.99)
        for n in SHARES
    ]
    return [
        *found,
        seen("how often several steps find at least what one finds", never_less, least=0.95),
        seen("share gained by ten steps over one", np.array(shares[10]) - np.array(shares[1]), least=0.0, most=0.1),
        seen("share found by a random direction", _random(objective, effort, rho, places), least=0.1, control=True),
    ]


def ascended(objective: Objective, x: Tensor, rho: float, n: int) -> Tensor:
    """z_n of z_{j+1} = z_j + (rho/n) grad f(z_j)/||grad f(z_j)||, z_0 = x: the budget rule."""
    z = x
    for _ in range(n):
        g = objective.gradient(z)
        norm = g.norm()
        z = z + (rho / n) * torch.where(norm == 0, torch.zeros_like(g), g / norm)
    return z


def _along(objective: Objective, x: Tensor, places: Sequence[int]) -> list[Tensor]:
    """Gradient descent's iterates after so many steps."""
    found, at, done = [], x[None], 0
    for place in places:
        at = train(objective, at, steps=place - done, gamma=0.3).x
        done = place
        found.append(at[0])
    return found


def _random(objective: Objective, effort: Effort, rho: float, places: Sequence[int]) -> list[float]:
    generator = torch.Generator().manual_seed(effort.seed)
    shares = []
    for x in digits_starts(effort.seed, effort.seeds):
        point = _along(objective, x, places[-1:])[0]
        e = torch.randn(objective.d, generator=generator, dtype=torch.float64).to(point)
        rise = float(objective.value(point + rho * e / e.norm()) - objective.value(point))
        shares.append(rise / inner_maximum(objective, point, rho).value)
    return shares


network_claims.add(
    NetworkClaim(
        "net/surrogate-gap",
        "At a minimum the surrogate gap is half the largest eigenvalue times rho squared",
        "At minima, max over ||e|| <= rho of f(x + e) - f(x) is rho^2 lambda_1/2 up to a relative error of order rho.",
        "gsam/surrogate-gap",
        surrogate_gap,
    )
)
network_claims.add(
    NetworkClaim(
        "net/multi-step",
        "Several ascent steps of one budget find no less than one, hardly more, and never all",
        "Along training n ascent steps of the budget rho find at least what one finds (proved on convex quadratics), "
        "less than the inner maximum (proved on quadratics unless the gradient is an eigenvector), and at most a tenth "
        "of it more than one step.",
        "multistep/never-lose",
        several_steps,
    )
)
