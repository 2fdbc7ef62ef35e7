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
from theory.dynamics import sam_edge, usam_edge

LANCZOS = 12
"""Steps for the top eigenvalue, from the vector of the record before."""

NEAR = (0.8, 1.2)
"""Within a fifth of the edge. The edge of a quadratic is exact; a network's third derivative moves the cycle's centre
and its curvature by terms of the order of the radius, some percent here, and records are some tens of steps apart."""


def _late(curves: Curves) -> slice:
    """The last third of the records."""
    return slice(2 * len(curves.times) // 3, None)


def _trained(method: str, gamma: float, rho: float, effort: Effort, steps: int) -> Curves:
    objective = digits_objective("squared")
    return train(
        objective, digits_starts(effort.seed, effort.seeds), steps=steps, gamma=gamma, rho=rho, method=method,
        times=np.arange(0, steps + 1, max(steps // 30, 1)), top_steps=LANCZOS,
    )  # fmt: skip


def sam_at_its_edge(effort: Effort) -> Sequence[Seen | Judged]:
    """lambda_1 over SAM's edge at the gradient norm of the moment, late in full-batch training."""
    gamma, rho = 0.3, 0.1
    curves = _trained("sam", gamma, rho, effort, effort.pick(900, 4000))
    late = _late(curves)
    top = curves.top[:, late]
    edge = sam_edge(gamma, rho, curves.gradient_norm[:, late])
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
    top = curves.top[:, _late(curves)]
    least, most = NEAR
    return [
        seen("lambda_1/USAM's edge, late", np.median(top, axis=1) / usam_edge(gamma, rho), least=least, most=most),
        seen("lambda_1/(2/gamma), gradient descent's edge, under USAM", np.median(top, axis=1) * gamma / 2, least=least,
             most=most, control=True),
    ]  # fmt: skip


def bouncing(effort: Effort) -> Sequence[Seen | Judged]:
    """Late in training: the step along v_1 changes its sign, and half a step is as long as the cycle's radius
    gamma rho lambda_1/(2 - gamma lambda_1). Gradient descent with the same step does not bounce.

    The whole step is measured, not its part along v_1: where several eigenvalues share the edge SAM keeps whatever
    direction it has inside their space (dynamics/ties).
    """
    gamma, rho, watched = 0.3, 0.1, 40
    turns, lengths, small, shares = {}, np.zeros(0), np.zeros(0), np.zeros(0)
    for method in ("sam", "sgd"):
        radius = rho if method == "sam" else 0.0
        moves, pairs = _watched(method, gamma, radius, effort, watched)
        turns[method] = _turns((moves @ pairs.vectors[..., :1])[..., 0])
        if method == "sam":
            top = pairs.values[:, 0].numpy()
            half = moves.norm(dim=-1).mean(dim=1).numpy() / 2
            lengths, small = half * (2 - gamma * top) / (gamma * rho * top), 2 * half / (gamma * rho * top)
            inside = (moves @ pairs.vectors).norm(dim=-1) / moves.norm(dim=-1)
            shares = inside.mean(dim=1).numpy()
    return [
        seen("share of steps along v_1 that turn back", turns["sam"], least=0.95),
        seen("half a step/radius of the cycle", lengths, least=0.8, most=1.2),
        seen(f"part of a step inside the top {SPACE} eigenvectors", shares, least=0.9),
        seen(
            "half a step/(gamma rho lambda_1/2), the radius for small steps", small, least=0.8, most=1.2, control=True
        ),
        seen("share of steps of gradient descent that turn back", turns["sgd"], least=0.95, control=True),
    ]


SPACE = 5


class _Pairs(NamedTuple):
    values: Tensor
    vectors: Tensor


def _watched(method: str, gamma: float, rho: float, effort: Effort, steps: int) -> tuple[Tensor, _Pairs]:
    """So many steps after training, (seeds, steps, d), and the top eigenpairs where they begin."""
    objective = digits_objective("squared")
    x = _trained(method, gamma, rho, effort, effort.pick(900, 4000)).x
    found = [eigenpairs(objective, row, k=SPACE) for row in x]
    pairs = _Pairs(torch.stack([pair.values for pair in found]), torch.stack([pair.vectors for pair in found]))
    moves = []
    for _ in range(steps):
        after = train(objective, x, steps=1, gamma=gamma, rho=rho, method=method, times=[1]).x
        moves.append(after - x)
        x = after
    return torch.stack(moves, dim=1), pairs


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
