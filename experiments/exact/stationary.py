"""The stationary second moment of a linear update, by a linear solve: the true neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from experiments.rounding import EPS
from problems.problem import Matrix, Vector
from theory.setting import Setting

from .advance import Advance
from .floors import Floors
from .linear import UNAVAILABLE, Family, unavailable

ROUNDS = 200
"""Most products of a GMRES solve or of a power iteration."""


@dataclass(frozen=True)
class Stationary:
    """The fixed point of the moment recursion. gap: E[f - f*]; grad_norm2: E||grad f||^2; mean (d,), second (d, d): of
    x - x*; products: applications of the operator; residual: relative; gap_error: its rounding floor. distance2: E||x -
    x*||^2, with its floor distance_error."""

    gap: float
    grad_norm2: float
    mean: Vector
    second: Matrix
    products: int
    residual: float
    gap_error: float
    distance2: float
    distance_error: float


def stationary_moments(setting: Setting) -> Stationary | str:
    """Where the moments of a run with constant steps settle; a clause where they do not, or are not available.

    Solves S = S - gamma (E[M] S + S E[M]) + gamma^2 E[M S M] + (terms without S) by GMRES. The preconditioner divides,
    in the eigenbasis of E[M] with eigenvalues l, entry (i, j) by gamma (l_i + l_j) - gamma^2 l_i l_j.
    """
    if (reason := unavailable(setting)) is not None:
        return reason
    if setting.gamma.constant is None or setting.rho.constant is None:
        return f"{UNAVAILABLE}the steps change with t"
    family = Family(setting, eigenbasis=True)
    gamma, d = setting.gamma.constant, setting.problem.d
    update, h = family.at(setting.rho.constant if family.radius else 0.0), family.hessian.diagonal()
    with np.errstate(all="ignore"):
        floors, advance = Floors.of(update, h, gamma), Advance(update, gamma)
        eigenvalues, basis = np.linalg.eigh(update.mean_M)
        if not eigenvalues[0] > 0:
            return f"{UNAVAILABLE}f has flat directions, in which nothing settles"
        nothing, products = np.zeros(d), 0

        def transition(S: Matrix) -> Matrix:
            nonlocal products
            products += 1
            return advance(nothing, S, one=0.0)[1]

        # q < 1 settles it; else the operator's own spectral radius decides, by a power iteration on a positive start.
        if floors.contracting >= 1:
            probe = np.eye(d) / d
            for _ in range(ROUNDS):
                moved = transition(probe)
                size = float(np.trace(moved))
                probe = moved / size
            if not size < 1 - 1e-9:
                return f"{UNAVAILABLE}the second moment does not settle: a step multiplies it by {size:.6g} in the end"
        mean = np.asarray(np.linalg.solve(update.mean_M, -update.mean_h), dtype=np.float64)
        constant = advance(mean, np.zeros((d, d)))[1]
        scale = float(np.abs(constant).max())
        if scale == 0:
            return Stationary(0.0, 0.0, family.basis @ mean, np.zeros((d, d)), products, 0.0, 0.0, 0.0, 0.0)
        divisor = gamma * (eigenvalues[:, None] + eigenvalues) - gamma**2 * eigenvalues[:, None] * eigenvalues

        def apply(flat: Vector) -> Vector:
            S = flat.reshape(d, d)
            return np.asarray((S - transition(S)).ravel())

        def precondition(flat: Vector) -> Vector:
            inner = basis.T @ flat.reshape(d, d) @ basis / divisor
            return np.asarray((basis @ inner @ basis.T).ravel())

        target = (constant / scale).ravel()
        shape = (d * d, d * d)
        solution, _ = gmres(
            LinearOperator(shape, matvec=apply, dtype=float), target, rtol=1e-13, atol=0.0,
            M=LinearOperator(shape, matvec=precondition, dtype=float), restart=min(60, d * d), maxiter=ROUNDS // 60 + 1,
        )  # fmt: skip
        S = scale * solution.reshape(d, d)
        S = (S + S.T) / 2
        off = float(np.linalg.norm(apply(S.ravel()) - constant.ravel()))
        residual = off / float(np.linalg.norm(constant))
        lowest = float(np.linalg.eigvalsh(S)[0])
        if not residual < 1e-8 or lowest < -1e-8 * float(np.abs(S).max()):
            return f"{UNAVAILABLE}the linear solve for the stationary moment did not converge (residual {residual:.1e})"
        # An error in the equation is carried through all later steps: 1/(1 - q) of them, or 1/(gamma mu) at worst.
        reach = np.where(floors.q < 1, 1 / (1 - floors.q), 1 / float(np.abs(divisor).min()))
        error = reach * (floors.frobenius * off + floors.slope * floors.size(S) + floors.level)
        gap, distance2 = 0.5 * float(h @ S.diagonal()), float(np.trace(S))
        return Stationary(
            gap, float(h**2 @ S.diagonal()), family.basis @ mean, family.basis @ S @ family.basis.T, products, residual,
            float(floors.gap_floor(error)) + EPS * (d + 8) * gap,
            distance2, float(floors.distance_floor(error)) + EPS * (d + 8) * distance2,
        )  # fmt: skip
