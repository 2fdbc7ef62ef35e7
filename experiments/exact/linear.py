"""Linear updates on sums of quadratics: z+ = z - gamma (M_v z + h_v) with z = x - x*, for SGD and USAM.

With grad f_i = H_i z + g_i, H_v = (1/n) sum_i v_i H_i and g_v alike, SGD has M_v = H_v, h_v = g_v, and USAM has
M_v = H_v (I + rho H_v), h_v = (I + rho H_v) g_v. What the moments of z need is E M_v, E h_v and quadratic expectations,
here written as sums over terms: E[M S M] = sum_k c_k M_k S M_k, and likewise E[M m h'] and E[h h'].

For SGD the terms follow from E v_i v_j, under any sampling; for USAM they are the values of v themselves. A term is
dense, or alpha a a' + beta I with a row a of a least-squares problem, for which M S M costs O(d^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from experiments.rounding import EPS
from problems.glm import LeastSquares
from problems.problem import Matrix, Vector
from problems.quadratics import DenseQuadratic, DiagonalQuadratic, QuadraticSum
from theory.methods.sgd import SGD
from theory.methods.unified_sam import UnifiedSAM
from theory.samplings import BLOCKS, SINGLE, Sampling
from theory.setting import Setting

MOST_ATOMS = 100_000
MOST_ENTRIES = 2**27
"""Entries of all dense terms together: 1 GiB."""

CACHED = 2**17
"""Entries of a block of dense terms: 1 MiB, so that it and its product stay in a core's cache."""

UNAVAILABLE = "exact route not available: "

Tensor = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Terms c_k with M_k = alpha_k a_k a_k' + beta_k I and h_k = eta_k a_k + beta_k u.

    A: shape (n, d); c, alpha, beta, eta: (n,); u: (d,), what a penalty pulls towards, minus x*.
    """

    A: Matrix
    c: Vector
    alpha: Vector
    beta: Vector
    eta: Vector
    u: Vector

    @cached_property
    def h(self) -> Matrix:
        """h_k, shape (n, d)."""
        return np.asarray(self.eta[:, None] * self.A + self.beta[:, None] * self.u)

    @cached_property
    def mixed(self) -> Matrix:
        """sum_k c_k alpha_k beta_k a_k a_k'."""
        return np.asarray(self.A.T @ ((self.c * self.alpha * self.beta)[:, None] * self.A))

    @cached_property
    def square(self) -> float:
        """sum_k c_k beta_k^2."""
        return float(self.c @ self.beta**2)

    @cached_property
    def sizes(self) -> Vector:
        """Frobenius norms of the M_k, or a little more."""
        d = self.A.shape[1]
        return np.asarray(np.abs(self.alpha) * np.einsum("ij,ij->i", self.A, self.A) + np.abs(self.beta) * math.sqrt(d))

    @cached_property
    def pull(self) -> Vector:
        """sum_k c_k beta_k h_k."""
        return np.asarray((self.c * self.beta * self.eta) @ self.A + self.square * self.u)

    @cached_property
    def noise(self) -> Matrix:
        """sum_k c_k h_k h_k'."""
        towards = self.pull - self.square / 2 * self.u
        return np.asarray(
            self.A.T @ ((self.c * self.eta**2)[:, None] * self.A)
            + np.outer(towards, self.u)
            + np.outer(self.u, towards)
        )

    def second(self, S: Matrix) -> Matrix:
        """sum_k c_k M_k S M_k, O(n d^2)."""
        weights = self.c * self.alpha**2 * np.vecdot(self.A @ S, self.A)
        total = self.A.T @ (weights[:, None] * self.A)
        if self.square:
            GS = self.mixed @ S
            total += GS + GS.T + self.square * S
        return np.asarray(total)

    def cross(self, m: Vector) -> Matrix:
        """sum_k c_k M_k m h_k'."""
        first = self.A.T @ ((self.c * self.alpha * (self.A @ m))[:, None] * self.h)
        return np.asarray(first + np.outer(m, (self.c * self.beta) @ self.h))


@dataclass(frozen=True)
class Dense:
    """Terms c_k M_k. M: shape (K, d, d), symmetric; c: (K,); h: (K, d)."""

    M: Tensor
    c: Vector
    h: Matrix

    @cached_property
    def sizes(self) -> Vector:
        """Frobenius norms of the M_k."""
        return np.asarray(np.sqrt(np.einsum("kij,kij->k", self.M, self.M)))

    @cached_property
    def _blocks(self) -> list[tuple[Matrix, Vector]]:
        """[M_1 ... M_K] side by side and their c_k, so many at a time that a product stays in the cache."""
        d = self.M.shape[1]
        share = max(1, CACHED // (d * d))
        parts = (slice(first, first + share) for first in range(0, len(self.c), share))
        return [(np.concatenate(list(self.M[part]), axis=1), self.c[part]) for part in parts]

    def second(self, S: Matrix) -> Matrix:
        """sum_k c_k M_k S M_k for symmetric S, O(K d^3): (S M_k)' M_k, two products for many k at once."""
        d, total = len(S), np.zeros_like(S)
        for beside, c in self._blocks:
            SM = (S @ beside).reshape(d, len(c), d)
            SM *= c[:, None]
            total += SM.reshape(-1, d).T @ beside.reshape(-1, d)
        return total

    @cached_property
    def noise(self) -> Matrix:
        """sum_k c_k h_k h_k'."""
        return np.asarray(self.h.T @ (self.c[:, None] * self.h))

    def cross(self, m: Vector) -> Matrix:
        """sum_k c_k M_k m h_k'."""
        return np.asarray((self.c[:, None] * (self.M @ m)).T @ self.h)


@dataclass(frozen=True)
class Update:
    """One step's expectations at a fixed rho. mean_M: E M_v, shape (d, d); mean_h: E h_v, shape (d,)."""

    mean_M: Matrix
    mean_h: Vector
    terms: tuple[Rows | Dense, ...]

    @property
    def count(self) -> int:
        """How many terms there are."""
        return sum(len(term.c) for term in self.terms)

    def second(self, S: Matrix) -> Matrix:
        """E[M S M]."""
        return np.asarray(sum((term.second(S) for term in self.terms), np.zeros_like(S)))

    def cross(self, m: Vector) -> Matrix:
        """E[M m h']."""
        return np.asarray(sum((term.cross(m) for term in self.terms), np.zeros((len(m), len(m)))))

    @cached_property
    def noise(self) -> Matrix:
        """E[h h']."""
        d = len(self.mean_h)
        return np.asarray(sum((term.noise for term in self.terms), np.zeros((d, d))))


@dataclass(frozen=True)
class Components:
    """H_i z + g_i. mean: (1/n) sum_i H_i, shape (d, d); g: (n, d).

    Either H (n, d, d), or rows A (n, d) with H_i = a_i a_i' + reg I and g_i = r_i a_i + reg u: residual (n,), u (d,).
    """

    g: Matrix
    mean: Matrix
    H: Tensor | None
    A: Matrix | None = None
    reg: float = 0.0
    residual: Vector | None = None
    u: Vector | None = None

    def turned(self, basis: Matrix) -> Components:
        """The same in the coordinates basis' z; basis: the eigenvectors of `mean`, which becomes diagonal."""
        if self.H is not None:
            H = np.empty_like(self.H)
            for i, each in enumerate(self.H):
                H[i] = basis.T @ each @ basis
            diagonal = np.vecdot(basis.T, basis.T @ self.mean)
            return Components(self.g @ basis, np.diag(diagonal), (H + H.transpose(0, 2, 1)) / 2)
        assert self.A is not None
        assert self.u is not None
        A = self.A @ basis
        # Sums of squares, so that small eigenvalues keep their digits.
        diagonal = np.einsum("ij,ij->j", A, A) / self.n + self.reg
        return Components(self.g @ basis, np.diag(diagonal), None, A, self.reg, self.residual, self.u @ basis)

    @property
    def n(self) -> int:
        return len(self.g)

    @property
    def slope_error(self) -> float:
        """How far from 0 the gradient at the stored x* may be: what it is, and the rounding of its terms."""
        terms = float(np.linalg.norm(self.g, axis=1).mean())
        if self.u is not None:
            terms += float(np.linalg.norm(self.mean, 2) * np.linalg.norm(self.u))
        return float(np.linalg.norm(self.g.mean(axis=0))) + (self.n + len(self.mean) + 8) * EPS * terms

    def weighted(self, weights: Vector) -> tuple[Matrix, Vector]:
        """(1/n) sum_i weights_i H_i and (1/n) sum_i weights_i g_i."""
        if self.H is not None:
            return np.tensordot(weights, self.H, axes=1) / self.n, weights @ self.g / self.n
        assert self.A is not None
        chosen = np.flatnonzero(weights)
        rows, factors = self.A[chosen], weights[chosen] / self.n
        H = rows.T @ (factors[:, None] * rows)
        H.flat[:: len(H) + 1] += self.reg * factors.sum()
        return H, factors @ self.g[chosen]


def components_of(setting: Setting) -> Components | None:
    """The quadratic components of a setting's problem, None where it has none."""
    data = setting.problem.data
    if isinstance(data, QuadraticSum):
        return Components(data.g, data.mean, data.H)
    if isinstance(data, DenseQuadratic):
        return Components(np.zeros((1, len(data.minimiser))), data.H, data.H[None])
    if isinstance(data, DiagonalQuadratic):
        return Components(np.zeros((1, len(data.h))), np.diag(data.h), np.diag(data.h)[None])
    if isinstance(data, LeastSquares):
        A, b, reg, x = data
        mean = A.T @ A / len(b)
        mean.flat[:: len(mean) + 1] += reg
        residual = A @ x - b
        return Components(A * residual[:, None] + reg * x, mean, None, A, reg, residual, x)
    return None


def is_linear(setting: Setting) -> bool:
    """SGD, or Unified SAM with lam = 0 or rho = 0 throughout."""
    data = setting.method.data
    unified = isinstance(data, UnifiedSAM) and (setting.lam.largest == 0 or setting.rho.largest == 0)
    return isinstance(data, SGD) or unified


def uses_radius(setting: Setting) -> bool:
    """The step is quadratic in v, not linear."""
    return isinstance(setting.method.data, UnifiedSAM) and setting.rho.largest > 0


def unavailable(setting: Setting) -> str | None:
    """Why a setting's moments cannot be had, as a clause; None where they can."""
    if not is_linear(setting):
        return f"{UNAVAILABLE}the step of {setting.method.name} is not linear in x"
    if setting.sampling.later:
        return f"{UNAVAILABLE}the batch size changes with t"
    if not isinstance(setting.problem.data, (QuadraticSum, DenseQuadratic, DiagonalQuadratic, LeastSquares)):
        return f"{UNAVAILABLE}{setting.problem.name} is not a sum of quadratics"
    if not np.isfinite(setting.sampling.moment.diagonal).all():
        return f"{UNAVAILABLE}the second moments of the sampling are not known"
    n, d, sampling = setting.problem.n, setting.problem.d, setting.sampling
    if n * d > MOST_ENTRIES:
        return f"{UNAVAILABLE}{n} components with d = {d} are too many"
    if d * d > MOST_ENTRIES // 8:
        return f"{UNAVAILABLE}d = {d} is too large for a {d} x {d} second moment"
    if uses_radius(setting) and sampling.kind != SINGLE:
        atoms = sampling.atom_count()
        if atoms > MOST_ATOMS or atoms * d * d > MOST_ENTRIES:
            return f"{UNAVAILABLE}{atoms:g} values of v with d = {d} are too many"
    return None


class Family:
    """The updates of a setting for every rho. Ask `unavailable` first.

    eigenbasis: in the coordinates basis' z, in which the Hessian of f is diagonal; else basis is the identity.
    """

    def __init__(self, setting: Setting, *, eigenbasis: bool = False) -> None:
        found = components_of(setting)
        assert found is not None
        self.basis: Matrix = np.linalg.eigh(found.mean)[1] if eigenbasis else np.eye(len(found.mean))
        self.parts: Components = found.turned(self.basis) if eigenbasis else found
        self.sampling: Sampling = setting.sampling
        self.radius = uses_radius(setting)
        self._atoms = self._enumerated() if self.radius and setting.sampling.kind != SINGLE else None
        self._last: tuple[float, Update] | None = None
        self._kept: dict[int, tuple[Tensor, Matrix]] = {}

    @property
    def hessian(self) -> Matrix:
        """The Hessian of f."""
        return self.parts.mean

    def at(self, rho: float) -> Update:
        """The update at this radius; the last one is kept."""
        if self._last is None or self._last[0] != rho:
            self._last = rho, self._made(rho)
        return self._last[1]

    def _made(self, rho: float) -> Update:
        if not self.radius:
            return self._sgd()
        return self._single(rho) if self._atoms is None else self._listed(rho)

    def _enumerated(self) -> tuple[Vector, Tensor, Matrix]:
        probabilities, matrices, slopes = [], [], []
        for atom in self.sampling.atoms():
            weights = np.zeros(self.parts.n)
            weights[list(atom.indices)] = atom.weights
            H, g = self.parts.weighted(weights)
            probabilities.append(atom.probability)
            matrices.append(H)
            slopes.append(g)
        return np.array(probabilities), np.array(matrices), np.array(slopes)

    def _listed(self, rho: float) -> Update:
        assert self._atoms is not None
        p, H, g = self._atoms
        HH, Hg = self._squared(0, H, g)
        M, h = H + rho * HH, g + rho * Hg
        return Update(np.tensordot(p, M, axes=1), p @ h, (Dense(M, p, h),))

    def _squared(self, key: int, H: Tensor, g: Matrix) -> tuple[Tensor, Matrix]:
        """H_k^2 and H_k g_k, once for all rho."""
        if key not in self._kept:
            HH = H @ H
            self._kept[key] = (HH + HH.transpose(0, 2, 1)) / 2, np.einsum("kij,kj->ki", H, g)
        return self._kept[key]

    def _terms(self, c: Vector, weight: Vector, rho: float) -> Rows | Dense:
        """Terms with H_v = weight_i H_i for one component each."""
        parts = self.parts
        if parts.H is not None:
            M, h = weight[:, None, None] * parts.H, weight[:, None] * parts.g
            if rho:
                HH, Hg = self._squared(1, parts.H, parts.g)
                M, h = M + (rho * weight**2)[:, None, None] * HH, h + (rho * weight**2)[:, None] * Hg
            return Dense(M, c, h)
        assert parts.A is not None
        assert parts.residual is not None
        assert parts.u is not None
        size, reg = np.einsum("ij,ij->i", parts.A, parts.A), parts.reg
        alpha = weight + rho * weight**2 * (size + 2 * reg)
        beta = weight * reg + rho * weight**2 * reg**2
        along = parts.residual * (size + reg) + reg * (parts.A @ parts.u)
        eta = weight * parts.residual + rho * weight**2 * along
        return Rows(parts.A, c, alpha, beta, eta, parts.u)

    def _single(self, rho: float) -> Update:
        p = self.sampling.probabilities
        term = self._terms(p, self.sampling.data.weights / self.parts.n, rho)
        if isinstance(term, Dense):
            return Update(np.tensordot(p, term.M, axes=1), p @ term.h, (term,))
        mean = term.A.T @ ((p * term.alpha)[:, None] * term.A)
        mean.flat[:: len(mean) + 1] += p @ term.beta
        return Update(mean, (p * term.eta) @ term.A + (p @ term.beta) * term.u, (term,))

    def _sgd(self) -> Update:
        parts, sampling, n = self.parts, self.sampling, self.parts.n
        if sampling.kind == SINGLE:
            return self._single(0.0)
        if sampling.kind == BLOCKS:
            p, H, g = self._enumerated()
            return Update(np.tensordot(p, H, axes=1), p @ g, (Dense(H, p, g),))
        moment = sampling.moment
        terms: list[Rows | Dense] = []
        if moment.diagonal.any():
            terms.append(self._terms(moment.diagonal / n**2, np.ones(n), 0.0))
        if moment.common:
            H, g = parts.weighted(np.ones(n))
            terms.append(Dense(H[None], np.array([moment.common]), g[None]))
        return Update(parts.mean, parts.g.mean(axis=0), tuple(terms))
