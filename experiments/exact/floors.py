"""How rounding grows along a recursion of moments: a few linear recursions, of which the smallest counts.

z is taken in the eigenbasis of the Hessian H. One step is wrong by a symmetric matrix that is at most c EPS times the
size of the step's terms, c = 4 (d + terms + 8): in this basis tr(H S) adds up nonnegative numbers, and so does E M S M
row by row, so that a sum of d products is wrong relative to itself. A weight W >= 0 turns that into a number: an error
E has size e = tr(W |E|)/2. As S -> E[(I - gamma M) S (I - gamma M)] keeps positive matrices positive and is its own
adjoint, the next step makes at most q e of it, q = lambda_max(W^-1/2 E[(I - gamma M) W (I - gamma M)] W^-1/2). So

    e+ = q e + c EPS (s tr(W S)/2 + gamma^2 tr(W E[h h'])/2),
    s = (1 + gamma ||E M||)^2 + gamma^2 lambda_max(W^-1/2 E[M W M] W^-1/2).

With W = a |H| + b I, the gap is wrong by at most e L/(a L + b) and E||x - x*||^2 by 2 e/(a mu + b), L and mu the
extreme absolute eigenvalues of H. W = H loses least where E gap itself contracts; noise that stiff directions get from
flat ones often makes q > 1 there, while with a part of I a step contracts wherever E||x - x*||^2 does. All weights are
followed and the least floor is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from experiments.rounding import EPS
from problems.problem import Matrix, Vector

from .linear import Update

SHARES = (0.0, 1e-3, 1e-2, 0.1, 1.0)
"""b/L beside a = 1: five weights from |H| to |H| + L I, so that the best floor is missed by a small factor at most."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Floors:
    """The error recursions of K weights W_k = a_k |H| + b_k I at one step size, each field of shape (K,).

    q, slope, level: e+ = q e + slope tr(W S)/2 + level. gap, distance2: e times these are the floors of E gap and of
    E||x - x*||^2. frobenius: ||W_k||_F/2. eigenvalues: of |H|, shape (d,). lowest: no eigenvalue of
    S -> E[(I - gamma M) S (I - gamma M)] is less.
    """

    a: Vector
    b: Vector
    q: Vector
    slope: Vector
    level: Vector
    gap: Vector
    distance2: Vector
    frobenius: Vector
    eigenvalues: Vector
    lowest: float

    @classmethod
    def of(cls, update: Update, eigenvalues: Vector, gamma: float) -> Self:
        """update: in the eigenbasis of H; eigenvalues: the diagonal of H there, shape (d,)."""
        h = np.abs(eigenvalues)
        d, L, mu = len(h), float(h.max()), float(h.min())
        a = np.append(np.ones(len(SHARES)), 0.0)
        b = np.append(L * np.array(SHARES), 1.0)
        squares = [gamma**2 * update.second(W) for W in (np.diag(h), np.eye(d))]
        noise = [gamma**2 * float(np.vecdot(w, update.noise.diagonal())) for w in (h, np.ones(d))]
        c = 4 * (d + update.count + 8) * EPS
        drift = gamma * float(np.linalg.norm(update.mean_M, 2))
        stretch = (1 + drift) ** 2
        # That map is I - gamma (E M S + S E M) + gamma^2 E M S M, and ||S -> E M S M|| <= ||E M M|| in every norm.
        lowest = 1 - 2 * drift - _largest_factor(np.ones(d), squares[1])
        q, slope = np.empty(len(a)), np.empty(len(a))
        for k, (first, second) in enumerate(zip(a, b, strict=True)):
            weight = first * h + second
            square = first * squares[0] + second * squares[1]
            mixed = gamma * (update.mean_M * weight)
            q[k] = _largest_factor(weight, np.diag(weight) - mixed - mixed.T + square)
            slope[k] = c * (stretch + _largest_factor(weight, square))
        level = c / 2 * (a * noise[0] + b * noise[1])
        frobenius = np.linalg.norm(a[:, None] * h + b[:, None], axis=1) / 2
        with np.errstate(divide="ignore"):
            return cls(a, b, q, slope, level, L / (a * L + b), 2 / (a * mu + b), frobenius, h, lowest)

    @property
    def contracting(self) -> float:
        """The least q: what one step multiplies |S| by at most, in a suitable norm."""
        return float(self.q.min())

    def size(self, S: Matrix) -> Vector:
        """tr(W S)/2."""
        return self.weighted(*self.means(S))

    def weighted(self, gap: float, distance2: float) -> Vector:
        """tr(W S)/2 from the gap and the squared distance."""
        return np.asarray(self.a * gap + self.b / 2 * distance2)

    def means(self, S: Matrix) -> tuple[float, float]:
        """tr(|H| S)/2 and tr S."""
        diagonal = S.diagonal()
        return 0.5 * float(self.eigenvalues @ diagonal), float(diagonal.sum())

    def moved(self, error: Vector, S: Matrix) -> Vector:
        """e after a step from the second moment S."""
        return np.asarray(self.q * error + self.slope * self.size(S) + self.level)

    def start(self, z: Vector, slope: float) -> Vector:
        """e of z z' at the start: z was turned into the eigenbasis, by a matrix orthogonal up to rounding itself, and
        reaches from a stored x* where the gradient is `slope` instead of 0, off by slope/l along eigenvalue l."""
        turned = 2 * (len(z) + 8) * EPS * float(np.linalg.norm(z))
        h = self.eigenvalues
        known = h > h.max() * len(h) * EPS  # in flat directions x* is what is stored
        away = np.where(known, slope / np.where(known, h, 1.0), 0.0)
        wrong = 2 * ((self.a * h.max() + self.b) * turned**2 + self.a * (h @ away**2) + self.b * (away @ away))
        return np.asarray(np.sqrt(2 * self.size(np.outer(z, z)) * wrong) + wrong / 2)

    def gap_floor(self, error: Values) -> Values:
        """Of E gap, given e of shape (..., K)."""
        return _least(error, self.gap)

    def distance_floor(self, error: Values) -> Values:
        """Of E||x - x*||^2, given e of shape (..., K)."""
        return _least(error, self.distance2)


def _least(error: Values, factor: Vector) -> Values:
    # 0 times infinity says nothing.
    return np.asarray(np.nanmin(np.where(np.isnan(error), np.inf, error) * factor, axis=-1, initial=np.inf))


def _largest_factor(weight: Vector, moved: Matrix) -> float:
    """lambda_max(W^-1/2 moved W^-1/2), W = diag(weight), on the range of W."""
    kept = weight > weight.max() * len(weight) * EPS
    root = 1 / np.sqrt(weight[kept])
    # Where components cancel in H, noise may come from outside its range.
    if np.abs(moved[~kept]).max(initial=0.0) > len(weight) * EPS * np.abs(moved).max():
        return np.inf
    inner = root[:, None] * moved[np.ix_(kept, kept)] * root
    if not np.isfinite(inner).all():
        return np.inf
    return float(scipy.linalg.eigh((inner + inner.T) / 2, eigvals_only=True, subset_by_index=[len(root) - 1] * 2)[0])
