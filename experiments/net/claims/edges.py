"""The edge of stability under SAM and USAM, and the bounce across the top direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from experiments.net.claim import Effort, Judged, NetworkClaim, Seen, network_claims, seen
from experiments.net.curvature import eigenpairs
from experiments.net.digits import digits_objective, digits_starts
from experiments.net.ensemble import Curves, train
from experiments.verify.verdict import Values
from problems.errors import InputError
from theory.dynamics import sam_edge, usam_edge

LANCZOS = 32
"""Steps for the top eigenvalue, from the vector of the record before. At its edge SAM keeps many eigenvalues within a
few percent of each other, and 12 steps stay up to 1.4 % below the top one, more than the intervals over seeds are wide.
"""

SURE = 0.02
"""The largest residual of a top eigenvalue, in parts of it: a tenth of what NEAR allows."""

NEAR = (0.8, 1.2)
"""Within a fifth of the edge. The edge of a quadratic is exact; a network's third derivative moves the cycle's centre
and its curvature by terms of the order of the radius, some percent here, and records are some tens of steps apart."""


def _late(curves: Curves) -> slice:
    """The last third of the records."""
    return slice(2 * len(curves.times) // 3, None)


def _top(curves: Curves) -> Values:
    """lambda_1 late, (S, records). Raises InputError where Lanczos was not sure of it."""
    late = _late(curves)
    off = float((curves.top_residual[:, late] / curves.top[:, late]).max())
    if off > SURE:
        raise InputError(f"top_steps must be enough for a residual of {SURE:g} lambda_1, {LANCZOS} left {off:.2g}")
    return curves.top[:, late]


def _trained(method: str, gamma: float, rho: float, effort: Effort, steps: int, top_steps: int = LANCZOS) -> Curves:
    objective = digits_objective("squared")
    return train(
        objective, digits_starts(effort.seed, effort.seeds), steps=steps, gamma=gamma, rho=rho, method=method,
        # An odd number of steps apart: records of a 2-cycle would all be of the same side of it.
        times=np.arange(0, steps + 1, max(steps // 30, 1) | 1), top_steps=top_steps,
    )  # fmt: skip


def sam_at_its_edge(effort: Effort) -> Sequence[Seen | Judged]:
    """lambda_1 over SAM's edge at the gradient norm of the moment, late in full-batch training."""
    gamma, rho = 0.3, 0.1
    curves = _trained("sam", gamma, rho, effort, effort.pick(900, 4000))
    top = _top(curves)
    edge = sam_edge(gamma, rho, curves.gradient_norm[:, _late(curves)])
    least, most = NEAR
    return [
        seen("lambda_1/SAM's edge, late", np.median(top / edge, axis=1), least=least, most=most),
        seen("lambda_1/(2/gamma), gradient descent's edge, under SAM", np.median(top * gamma / 2, axis=1), least=least,
             most=most, control=True),
    ]  # fmt: skip


def usam_at_its_edge(effort: Effort) -> Sequence[Seen | Judged]:
    """lambda_1 over USAM's edge, late in full-batch training; the edge of gradient descent at the same step size."""
    gamma, rho = 0.4, 0.3
    curves = _trained("usam", gamma, rho, effort, effort.pick(1200, 5000))
    top = _top(curves)
    least, most = NEAR
    return [
        seen("lambda_1/USAM's edge, late", np.median(top, axis=1) / usam_edge(gamma, rho), least=least, most=most),
        seen("lambda_1/(2/gamma), gradient descent's edge, under USAM", np.median(top, axis=1) * gamma / 2, least=least,
             most=most, control=True),
    ]  # fmt: skip


def bouncing(effort: Effort) -> Sequence[Seen | Judged]:
    """Late in training: the step along v_1 changes its sign, and half a step is as long as the cycle's radius
    gamma rho lambda_1/(2 - gamma lambda_1). Gradient descent with the same step does not bounce.

    The step's part along v_1 is measured and the whole step: where several eigenvalues share the edge SAM keeps
    whatever direction it has inside their space (dynamics/ties), and only the whole step is as long as the cycle.
    """
    gamma, rho, watched = 0.3, 0.1, 40
    turns = {}
    for method in ("sam", "sgd"):
        radius = rho if method == "sam" else 0.0
        moves, pairs = _watched(method, gamma, radius, effort, watched)
        turns[method] = _turns((moves @ pairs.vectors[..., :1])[..., 0])
        if method == "sam":
            found = _amplitudes(moves, pairs, gamma, rho)
    return [
        seen("share of steps along v_1 that turn back", turns["sam"], least=0.95),
        seen("half a step/radius of the cycle", found.whole, least=0.8, most=1.2),
        seen("half a step's part along v_1/radius of the cycle", found.along, least=0.8, most=1.2),
        seen(f"part of a step inside the top {SPACE} eigenvectors", found.inside, least=0.9),
        seen("half a step/(gamma rho lambda_1/2), the radius for small steps", found.small, least=0.8, most=1.2,
             control=True),
        seen("share of steps of gradient descent that turn back", turns["sgd"], least=0.95, control=True),
    ]  # fmt: skip


SPACE = 5


class _Pairs(NamedTuple):
    values: Tensor
    vectors: Tensor


def _watched(method: str, gamma: float, rho: float, effort: Effort, steps: int) -> tuple[Tensor, _Pairs]:
    """So many steps after training, (seeds, steps, d), and the top eigenpairs where they begin."""
    objective = digits_objective("squared")
    x = _trained(method, gamma, rho, effort, effort.pick(900, 4000), top_steps=0).x
    found = [eigenpairs(objective, row, k=SPACE) for row in x]
    pairs = _Pairs(torch.stack([pair.values for pair in found]), torch.stack([pair.vectors for pair in found]))
    moves = []
    for _ in range(steps):
        after = train(objective, x, steps=1, gamma=gamma, rho=rho, method=method, times=[1]).x
        moves.append(after - x)
        x = after
    return torch.stack(moves, dim=1), pairs


class _Amplitudes(NamedTuple):
    """Means over steps, each (seeds,). whole, along: half a step, and half its part along v_1, over the radius
    gamma rho lambda_1/(2 - gamma lambda_1); small: the first over gamma rho lambda_1/2; inside: the part of a step's
    length that lies in the space of the eigenvectors."""

    whole: Values
    along: Values
    small: Values
    inside: Values


def _amplitudes(moves: Tensor, pairs: _Pairs, gamma: float, rho: float) -> _Amplitudes:
    top = pairs.values[:, 0].numpy()
    radius, small = gamma * rho * top / (2 - gamma * top), gamma * rho * top / 2
    parts, lengths = moves @ pairs.vectors, moves.norm(dim=-1)
    half, along = lengths.mean(dim=1).numpy() / 2, parts[..., 0].abs().mean(dim=1).numpy() / 2
    inside = (parts.norm(dim=-1) / lengths).mean(dim=1).numpy()
    return _Amplitudes(half / radius, along / radius, half / small, inside)


def _turns(moves: Tensor) -> Tensor:
    """The share of steps against the one before, (seeds,), of moves (seeds, steps)."""
    turned: Tensor = (moves[:, 1:] * moves[:, :-1] < 0).double().mean(dim=1)
    return turned


network_claims.add(
    NetworkClaim(
        "net/sam-edge",
        "SAM operates at its edge of stability",
        "Late in full-batch training with SAM the largest Hessian eigenvalue lies at (||g||/(2 rho)) (sqrt(1 + 8 rho/"
        "(gamma ||g||)) - 1), beyond which a step of SAM on a quadratic grows; on convex quadratics it ends there.",
        "edge/sam-limit",
        sam_at_its_edge,
    )
)
network_claims.add(
    NetworkClaim(
        "net/usam-edge",
        "USAM stays at its edge of stability",
        "Late in full-batch training with USAM the largest Hessian eigenvalue lies at (sqrt(1 + 8 rho/gamma) - 1)/"
        "(2 rho), beyond which USAM diverges on a quadratic.",
        "edge/usam",
        usam_at_its_edge,
    )
)
network_claims.add(
    NetworkClaim(
        "net/bouncing",
        "SAM bounces across the top direction with the radius of its 2-cycle",
        "Late in full-batch training the step along the top eigenvector changes its sign at every step, and half a "
        "step is gamma rho lambda_1/(2 - gamma lambda_1) long.",
        "dynamics/cycle",
        bouncing,
    )
)
