"""One step of the moments, prepared so that it costs a few products of matrices.

With z in the eigenbasis of the Hessian, E M is diagonal for SGD, so that all but the noise is done entry by entry:

    S+ - S = F * S + K S + (K S)' + A' diag(w) A + gamma^2 sum_k c_k M_k S M_k + B + B' + gamma^2 E[h h'].

F_ij = k_i + k_j holds the diagonal k of -gamma E M + gamma^2 sum c alpha beta a a' + (gamma^2/2) sum c beta^2 I, and
single diagonal terms; K the rest of that matrix, if any. The rows of a least-squares problem have

    w_k = gamma^2 c_k (alpha_k^2 a_k'S a_k + 2 alpha_k eta_k a_k'm),

which together with the constant is gamma^2 c_k E(alpha_k a_k'z + eta_k)^2. B is linear in m, of rank 2 for rows.
"""

from __future__ import annotations

import numpy as np

from experiments.rounding import EPS
from problems.problem import Matrix, Vector

from .linear import Dense, Rows, Update


class Advance:
    """(m, S) -> (m+, S+), linear in (1, m, S), for `update` in an eigenbasis of the Hessian; m: (d,), S: (d, d)."""

    def __init__(self, update: Update, gamma: float) -> None:
        self.update = update
        self.rows = [term for term in update.terms if isinstance(term, Rows)]
        dense = [term for term in update.terms if isinstance(term, Dense)]
        d = len(update.mean_h)
        # What lies beside a diagonal by rounding alone is of the size of the errors that floors count.
        rounding = (d + update.count + 8) * EPS * float(np.abs(update.mean_M).max())
        mixed = np.zeros((d, d))
        for rows in self.rows:
            mixed += rows.mixed
            mixed.flat[:: d + 1] += rows.square / 2
        drift = update.mean_M.diagonal()
        self._drift = drift.copy() if _is_diagonal(update.mean_M, rounding) else None
        self._mixed = None if _is_diagonal(mixed, rounding**2 / EPS) else mixed - np.diag(mixed.diagonal())
        self._first = -(drift[:, None] + drift)
        self._second = mixed.diagonal()[:, None] + mixed.diagonal()
        self.dense = []
        for term in dense:
            if len(term.c) == 1 and _is_diagonal(term.M[0], rounding):
                h = term.M[0].diagonal()
                self._second += term.c[0] * np.outer(h, h)
            else:
                self.dense.append(term)
        # A sum of squares: where it is 0, h_v = 0 throughout.
        self._noisy = bool(update.noise.any())
        self._crossed = [term for term in dense if term.h.any()]
        self._pulled = [(rows.mixed, rows.u) for rows in self.rows if rows.mixed.any() and rows.u.any()]
        self._pull = sum((rows.pull for rows in self.rows), np.zeros(d))
        self.prepare(gamma)

    def prepare(self, gamma: float) -> None:
        """Go on with this step size."""
        self.gamma = gamma
        self.factor = gamma * self._first + gamma**2 * self._second
        self.coupled: Matrix | None = None
        if self._drift is None or self._mixed is not None:
            K = -gamma * self.update.mean_M
            if self._mixed is not None:
                K += gamma**2 * self._mixed
            np.fill_diagonal(K, 0.0)
            self.coupled = K
        self.quadratic = [gamma**2 * rows.c * rows.alpha**2 for rows in self.rows]
        self.constant = gamma**2 * self.update.noise
        if self._noisy:
            self._linear = [2 * gamma**2 * rows.c * rows.alpha * rows.eta for rows in self.rows]
            # B = along m' + (mixed m) u' for rows, and -gamma E[h] m' for everything.
            self._along = gamma**2 * self._pull - gamma * self.update.mean_h

    def __call__(self, m: Vector, S: Matrix, one: float = 1.0) -> tuple[Vector, Matrix]:
        m_change, S_change = self.change(m, S, one)
        S_change += S
        return m + m_change, S_change

    def change(self, m: Vector, S: Matrix, one: float = 1.0) -> tuple[Vector, Matrix]:
        """(m+ - m, S+ - S), the latter in an array of its own; one: stands for 1 beside m and S."""
        return self._mean_change(m, one), self._change(m, S, one)

    def _mean_change(self, m: Vector, one: float) -> Vector:
        drift = self._drift * m if self._drift is not None else self.update.mean_M @ m
        return np.asarray(-self.gamma * (drift + one * self.update.mean_h))

    def _change(self, m: Vector, S: Matrix, one: float) -> Matrix:
        moved = self.factor * S
        if self.coupled is not None:
            KS = self.coupled @ S
            moved += KS
            moved += KS.T
        for k, rows in enumerate(self.rows):
            weights = self.quadratic[k] * np.vecdot(rows.A @ S, rows.A)
            if self._noisy:
                weights += self._linear[k] * (rows.A @ m)
            moved += rows.A.T @ (weights[:, None] * rows.A)
        for term in self.dense:
            moved += self.gamma**2 * term.second(S)
        if self._noisy:
            B = np.multiply.outer(self._along, m)
            for mixed, u in self._pulled:
                B += np.multiply.outer(self.gamma**2 * (mixed @ m), u)
            for term in self._crossed:
                B += self.gamma**2 * term.cross(m)
            moved += B
            moved += B.T
            moved += self.constant if one == 1 else one * self.constant
        return np.asarray(moved)


class Sizes:
    """Norms of what a step adds up, with absolute values of all terms: what bounds its rounding.

    count: d + terms + 8. drift: gamma ||E M||, 0 where a step goes entry by entry, which rounds a few times and not
    once for each term. spread: of S+, relative to ||S||, as || |M| |S| |M| || <= ||M||^2 ||S||. push: of B + B',
    relative to ||m||. pull: gamma ||E h||. constant: gamma^2 ||E[h h']||. All Frobenius norms.
    """

    def __init__(self, advance: Advance) -> None:
        update, gamma = advance.update, advance.gamma
        self.count = len(update.mean_h) + update.count + 8
        sizes = [(np.abs(term.c), term.sizes, np.linalg.norm(term.h, axis=1)) for term in update.terms]
        self.drift = 0.0 if advance.coupled is None else gamma * float(np.linalg.norm(update.mean_M))
        self.spread = gamma**2 * sum(float(c @ M**2) for c, M, _ in sizes) + 2 * self.drift
        self.pull = gamma * float(np.linalg.norm(update.mean_h))
        self.push = 2 * gamma**2 * sum(float(c @ (M * h)) for c, M, h in sizes) + 2 * self.pull
        self.constant = float(np.linalg.norm(advance.constant))


def _is_diagonal(M: Matrix, rounding: float) -> bool:
    size = np.abs(M)
    np.fill_diagonal(size, 0.0)
    return bool(size.max() <= rounding)
