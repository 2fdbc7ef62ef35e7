"""Quadratics with a prescribed spectrum, and finite sums of (possibly indefinite) quadratics."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .kernel import gap, gradient, keep, value
from .problem import (
    Constant,
    Grade,
    Matrix,
    Problem,
    Vector,
    as_matrix,
    as_vector,
    bound,
    check_count,
    check_memory,
    check_nonnegative,
    check_positive,
    exact,
    problems,
)
from .spec import read_float, spelled

Spectrum = Literal["log", "linear", "two", "uniform"]
Basis = Literal["rotated", "diagonal"]


class DenseQuadratic(NamedTuple):
    """f(x) = (x - x*)' H (x - x*) / 2 with H (d, d) symmetric; one component."""

    H: Matrix
    minimiser: Vector


class DiagonalQuadratic(NamedTuple):
    """f(x) = sum_j h_j x_j^2 / 2, stored relative to x* (so x* = 0); one component."""

    h: Vector


class QuadraticSum(NamedTuple):
    """f_i(x) = z' H_i z / 2 + g_i' z with z = x - x* and sum_i g_i = 0; `mean` is (1/n) sum_i H_i."""

    H: NDArray[np.float64]
    g: Matrix
    mean: Matrix
    minimiser: Vector


@gap.of(DenseQuadratic)
def _dense_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        row = 0.0
        for j in range(x.shape[0]):
            row += problem.H[i, j] * (x[j] - problem.minimiser[j])
        total += row * (x[i] - problem.minimiser[i])
    return 0.5 * total


@value.of(DenseQuadratic)
def _dense_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    return float(scale * gap(problem, x))


@gradient.of(DenseQuadratic)
def _dense_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    for i in range(x.shape[0]):
        row = 0.0
        for j in range(x.shape[0]):
            row += problem.H[i, j] * (x[j] - problem.minimiser[j])
        out[i] = scale * row


@gap.of(DiagonalQuadratic)
def _diagonal_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        total += problem.h[j] * x[j] * x[j]
    return 0.5 * total


@value.of(DiagonalQuadratic)
def _diagonal_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    return float(scale * gap(problem, x))


@gradient.of(DiagonalQuadratic)
def _diagonal_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    scale = 0.0
    for k in range(m):
        scale += weights[k]
    for j in range(x.shape[0]):
        out[j] = scale * problem.h[j] * x[j]


@keep.of(DiagonalQuadratic)
def _diagonal_keep(problem: Any, x: Any) -> None:
    # Exact arithmetic never reaches zero here, and the eigenvector of the largest eigenvalue must be able to
    # grow back: SAM's cycle along any lower eigenvector is unstable only through that component.
    for j in range(x.shape[0]):
        if abs(x[j]) < 1e-150 and x[j] != 0.0:
            x[j] = 1e-150 if x[j] > 0.0 else -1e-150


@gap.of(QuadraticSum)
def _sum_gap(problem: Any, x: Any) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        row = 0.0
        for j in range(x.shape[0]):
            row += problem.mean[i, j] * (x[j] - problem.minimiser[j])
        total += row * (x[i] - problem.minimiser[i])
    return 0.5 * total


@value.of(QuadraticSum)
def _sum_value(problem: Any, x: Any, indices: Any, weights: Any, m: int) -> float:
    total = 0.0
    for k in range(m):
        c = indices[k]
        for i in range(x.shape[0]):
            row = 0.0
            for j in range(x.shape[0]):
                row += problem.H[c, i, j] * (x[j] - problem.minimiser[j])
            total += weights[k] * (0.5 * row + problem.g[c, i]) * (x[i] - problem.minimiser[i])
    return float(total / problem.H.shape[0])


@gradient.of(QuadraticSum)
def _sum_gradient(problem: Any, x: Any, indices: Any, weights: Any, m: int, out: Any) -> None:
    for i in range(x.shape[0]):
        out[i] = 0.0
    for k in range(m):
        c = indices[k]
        scale = weights[k] / problem.H.shape[0]
        for i in range(x.shape[0]):
            row = problem.g[c, i]
            for j in range(x.shape[0]):
                row += problem.H[c, i, j] * (x[j] - problem.minimiser[j])
            out[i] += scale * row


def random_orthogonal(d: int, rng: np.random.Generator) -> Matrix:
    """A Haar-distributed orthogonal matrix, shape (d, d)."""
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return np.asarray(q * np.sign(np.diag(r)))


def prescribed_spectrum(spectrum: Spectrum, mu: float, L: float, d: int, rng: np.random.Generator) -> Vector:
    """d eigenvalues in [mu, L], ascending, both ends attained.

    spectrum: `log` geometric, `linear` arithmetic, `two` half at each end, `uniform` random. mu = 0 puts one
    eigenvalue at 0 and, for `log`, the others geometrically between L/1000 and L.
    Raises InputError for mu < 0, L <= 0, mu > L, an unknown spectrum, or d = 1 with mu != L.
    """
    check_nonnegative(mu, argument="mu")
    check_positive(L, argument="L")
    if mu > L:
        raise InputError(f"mu must be at most L = {L!r}, got mu = {mu!r}")
    if d == 1 and mu != L:
        raise InputError(f"d = 1 has one eigenvalue, so mu must equal L, got mu = {mu!r} and L = {L!r}")
    if d == 1:
        return np.array([float(L)])
    if spectrum == "log" and mu > 0:
        inner = np.geomspace(mu, L, d)
    elif spectrum == "log":
        inner = np.concatenate([[0.0], np.geomspace(L / 1000, L, d - 1)])
    elif spectrum == "linear":
        inner = np.linspace(mu, L, d)
    elif spectrum == "two":
        inner = np.where(np.arange(d) < d // 2, mu, L)
    elif spectrum == "uniform":
        inner = np.sort(rng.uniform(mu, L, d))
    else:
        raise InputError(f"spectrum must be one of log, linear, two, uniform, got {spectrum!r}")
    inner[0], inner[-1] = mu, L
    return np.asarray(inner, dtype=np.float64)


def check_positive_definite(H: Matrix, *, argument: str) -> Vector:
    """Eigenvalues of H, ascending; InputError unless H is square, symmetric to rounding and positive definite."""
    if H.shape[0] != H.shape[1]:
        raise InputError(f"{argument} must be square, got shape {H.shape}")
    # Symmetric up to the rounding of one product per entry; anything larger is a different matrix.
    if np.abs(H - H.T).max() > 1e-12 * np.abs(H).max():
        raise InputError(f"{argument} must be symmetric, got |H - H'| up to {np.abs(H - H.T).max():.3g}")
    eigenvalues = np.linalg.eigvalsh(H)
    if eigenvalues[0] <= 0:
        raise InputError(f"{argument} must be positive definite, got smallest eigenvalue {eigenvalues[0]:.3g}")
    return np.asarray(eigenvalues)


class Quadratic(Problem):
    """One quadratic, f(x) = (x - x*)' H (x - x*) / 2, n = 1: `L` and `mu` are the extreme eigenvalues (exact)."""

    quadratic = True

    def __init__(
        self, *, name: str, data: DenseQuadratic | DiagonalQuadratic, eigenvalues: Vector, start: Vector
    ) -> None:
        minimiser = data.minimiser if isinstance(data, DenseQuadratic) else np.zeros(len(data.h))
        super().__init__(
            name=name,
            data=data,
            n=1,
            d=len(start),
            L=exact(max(eigenvalues[-1], -eigenvalues[0])),
            mu=exact(eigenvalues[0]) if eigenvalues[0] > 0 else bound(0.0),
            start=start,
            minimiser=minimiser,
            convex_components=bool(eigenvalues[0] >= 0),
        )
        self.bounded = bool(eigenvalues[0] >= 0)
        self.eigenvalues = eigenvalues

    @property
    def spectrum(self) -> Vector:
        return self.eigenvalues

    def hessian(self, x: ArrayLike) -> Matrix:
        return self.data.H.copy() if isinstance(self.data, DenseQuadratic) else np.diag(self.data.h)

    @classmethod
    def with_spectrum(
        cls,
        *,
        mu: float,
        L: float,
        d: int,
        seed: int = 0,
        spectrum: Spectrum = "log",
        basis: Basis = "rotated",
    ) -> Quadratic:
        """A quadratic with eigenvalues in [mu, L], both ends attained, and its minimiser at the origin.

        d: dimension >= 1. seed: of the basis, the `uniform` spectrum and the start, a standard normal point.
        basis: `rotated` by a random orthogonal matrix, or `diagonal` (O(d) a step).
        Raises InputError as `prescribed_spectrum` does, and when H does not fit in memory.
        """
        check_count(d, argument="d")
        check_count(seed, argument="seed", least=0)
        name = f"quadratic:d={d},mu={spelled(mu)},L={spelled(L)},seed={seed},spectrum={spectrum},basis={basis}"
        if basis not in ("rotated", "diagonal"):
            raise InputError(f"basis must be rotated or diagonal, got {basis!r}")
        check_memory(d * d if basis == "rotated" else 4 * d, what=f"problem {name!r}")
        rng = np.random.default_rng([seed, 0x51])
        eigenvalues = prescribed_spectrum(spectrum, mu, L, d, rng)
        start = rng.standard_normal(d)
        if basis == "diagonal":
            return cls(name=name, data=DiagonalQuadratic(eigenvalues.copy()), eigenvalues=eigenvalues, start=start)
        q = random_orthogonal(d, rng)
        H = (q * eigenvalues) @ q.T
        data = DenseQuadratic(as_matrix((H + H.T) / 2, argument="H"), np.zeros(d))
        return cls(name=name, data=data, eigenvalues=eigenvalues, start=start)

    @classmethod
    def with_eigenvalues(cls, eigenvalues: ArrayLike, *, seed: int = 0, basis: Basis = "diagonal") -> Quadratic:
        """A quadratic with these eigenvalues, of either sign, stationary at the origin.

        seed: of the basis and the start, a standard normal point. basis: `diagonal`, in the order given, or `rotated`.
        With a negative eigenvalue it is a saddle: it has no lower bound, and `gap` is f(x) - f(0).
        Raises InputError for eigenvalues that are not finite or all 0.
        """
        h = as_vector(eigenvalues, argument="eigenvalues")
        check_count(seed, argument="seed", least=0)
        if not h.any():
            raise InputError("eigenvalues must not all be 0")
        if basis not in ("rotated", "diagonal"):
            raise InputError(f"basis must be rotated or diagonal, got {basis!r}")
        d, written = len(h), "/".join(spelled(entry) for entry in h)
        name = f"spectrum:h={written},seed={seed},basis={basis}"
        rng = np.random.default_rng([seed, 0x52])
        start = rng.standard_normal(d)
        if basis == "diagonal":
            return cls(name=name, data=DiagonalQuadratic(h), eigenvalues=np.sort(h), start=start)
        q = random_orthogonal(d, rng)
        H = (q * h) @ q.T
        data = DenseQuadratic(as_matrix((H + H.T) / 2, argument="H"), np.zeros(d))
        return cls(name=name, data=data, eigenvalues=np.sort(h), start=start)

    @classmethod
    def from_matrix(
        cls, H: ArrayLike, minimiser: ArrayLike | None = None, *, name: str = "quadratic(matrix)"
    ) -> Quadratic:
        """The quadratic of a symmetric positive definite matrix H (d, d) with the given minimiser (default 0).

        It starts one unit from the minimiser in every coordinate. Raises InputError when H is not symmetric
        positive definite or the shapes disagree.
        """
        matrix = as_matrix(H, argument="H")
        eigenvalues = check_positive_definite(matrix, argument="H")
        d = len(matrix)
        centre = np.zeros(d) if minimiser is None else as_vector(minimiser, argument="minimiser", size=d)
        return cls(name=name, data=DenseQuadratic(matrix, centre), eigenvalues=eigenvalues, start=centre + 1.0)

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.array([self.L.value]), Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.zeros(1), Grade.EXACT


class FiniteSumOfQuadratics(Problem):
    """f_i(x) = z' H_i z / 2 + g_i' z, z = x - x*, sum_i g_i = 0, with a positive definite mean; the H_i may be
    indefinite. All constants are exact."""

    quadratic = True

    def __init__(self, *, name: str, data: QuadraticSum, start: Vector, remarks: tuple[str, ...] = ()) -> None:
        eigenvalues = check_positive_definite(data.mean, argument="the mean of the H_i")
        self._spectra, self._bases = np.linalg.eigh(data.H)
        self._spectrum = eigenvalues
        super().__init__(
            name=name,
            data=data,
            n=len(data.H),
            d=len(start),
            L=exact(eigenvalues[-1]),
            mu=exact(eigenvalues[0]),
            start=start,
            minimiser=data.minimiser,
            convex_components=bool((self._spectra >= -self._zero[:, None]).all()),
            remarks=remarks,
        )

    @classmethod
    def from_components(
        cls, H: ArrayLike, b: ArrayLike, *, start: ArrayLike | None = None, name: str = "quadratic-sum(arrays)"
    ) -> FiniteSumOfQuadratics:
        """f_i(x) = x' H_i x / 2 + b_i' x. H: shape (n, d, d), symmetric, with a positive definite mean; b: (n, d).

        start: default one unit from the minimiser in every coordinate. Raises InputError otherwise.
        """
        matrices = np.array(H, dtype=np.float64, order="C")
        linear = as_matrix(b, argument="b")
        n, d = linear.shape
        if matrices.shape != (n, d, d):
            raise InputError(f"H must have shape ({n}, {d}, {d}) to match b, got {matrices.shape}")
        if not np.isfinite(matrices).all():
            raise InputError("H holds NaN or infinite entries; only finite numbers are allowed")
        if np.abs(matrices - matrices.transpose(0, 2, 1)).max() > 1e-12 * np.abs(matrices).max():
            raise InputError("every H_i must be symmetric; at least one is not")
        mean = matrices.mean(axis=0)
        check_positive_definite(mean, argument="the mean of the H_i")
        minimiser = np.linalg.solve(mean, -linear.mean(axis=0))
        g = matrices @ minimiser + linear
        g -= g.mean(axis=0)
        first = minimiser + 1.0 if start is None else as_vector(start, argument="start", size=d)
        data = QuadraticSum(matrices, as_matrix(g, argument="g"), as_matrix(mean, argument="mean"), minimiser)
        return cls(name=name, data=data, start=first)

    @property
    def spectrum(self) -> Vector:
        return self._spectrum

    def hessian(self, x: ArrayLike) -> Matrix:
        return np.asarray(self.data.mean.copy())

    @property
    def _zero(self) -> Vector:
        # Eigenvalues this small are rounding of the eigensolver.
        return np.asarray(4 * len(self._spectra[0]) * np.finfo(float).eps * np.abs(self._spectra).max(axis=1))

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        return np.abs(self._spectra).max(axis=1), Grade.EXACT

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        coefficients = np.einsum("ijk,ij->ik", self._bases, self.data.g)
        flat = np.abs(self._spectra) <= self._zero[:, None]
        slope = np.abs(coefficients) > 1e-14 * np.abs(self.data.g).max()
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(flat, np.where(slope, np.inf, 0.0), coefficients**2 / (2 * self._spectra))
        terms[(self._spectra < 0) & ~flat] = np.inf
        return np.asarray(terms.sum(axis=1)), Grade.EXACT

    @property
    def varying_components(self) -> NDArray[np.bool_]:
        return np.asarray(self.data.H.any(axis=(1, 2)) | self.data.g.any(axis=1))

    def weighted_smoothness(self, weights: Vector) -> Constant:
        matrix = np.einsum("i,ijk->jk", weights, self.data.H) / self.n
        return exact(np.abs(np.linalg.eigvalsh(matrix)).max())

    def quadratic_components(self) -> tuple[NDArray[np.float64], Matrix]:
        return self.data.H, self.data.g


@problems.register("quadratic")
def quadratic(
    d: int, mu: float, L: float, seed: int = 0, spectrum: Spectrum = "log", basis: Basis = "rotated"
) -> Problem:
    """One quadratic with a prescribed spectrum."""
    return Quadratic.with_spectrum(mu=mu, L=L, d=d, seed=seed, spectrum=spectrum, basis=basis)


@problems.register("spectrum")
def spectrum_of(h: str, seed: int = 0, basis: Basis = "diagonal") -> Problem:
    """One quadratic with the eigenvalues h=1/0.5/-0.2, of either sign."""
    return Quadratic.with_eigenvalues(
        [read_float(entry, argument="h") for entry in h.split("/")], seed=seed, basis=basis
    )


@problems.register("quadratic-sum")
def quadratic_sum(
    n: int = 10,
    d: int = 5,
    mu: float = 0.5,
    L: float = 1.0,
    indefinite: float = 0.0,
    noise: float = 1.0,
    seed: int = 0,
    spectrum: Spectrum = "log",
) -> FiniteSumOfQuadratics:
    """A finite sum of n random quadratics whose mean has a prescribed spectrum in [mu, L].

    indefinite: size of a symmetric perturbation of mean zero added to each H_i, in units of L; 0 keeps all
    H_i positive definite. noise: size of grad f_i(x*), 0 is interpolation.
    """
    check_count(n, argument="n")
    check_count(d, argument="d")
    check_count(seed, argument="seed", least=0)
    check_nonnegative(indefinite, argument="indefinite")
    check_nonnegative(noise, argument="noise")
    name = (
        f"quadratic-sum:n={n},d={d},mu={spelled(mu)},L={spelled(L)},indefinite={spelled(indefinite)},noise={spelled(noise)},"
        f"seed={seed},spectrum={spectrum}"
    )
    check_memory(3 * n * d * d, what=f"problem {name!r}")
    rng = np.random.default_rng([seed, 0x5F])
    q = random_orthogonal(d, rng)
    eigenvalues = prescribed_spectrum(spectrum, check_positive(mu, argument="mu"), L, d, rng)
    roots = rng.standard_normal((n, d, d + 2))
    H = roots @ roots.transpose(0, 2, 1)
    # Congruence with T = Q diag(spectrum)^(1/2) Q' mean^(-1/2) gives the mean its spectrum and keeps H_i >= 0.
    low, basis = np.linalg.eigh(H.mean(axis=0))
    T = (q * np.sqrt(eigenvalues)) @ (basis / np.sqrt(low)).T
    H = T @ H @ T.T
    if indefinite > 0:
        shifts = rng.standard_normal((n, d, d))
        shifts = shifts + shifts.transpose(0, 2, 1)
        shifts -= shifts.mean(axis=0)
        largest = np.abs(np.linalg.eigvalsh(shifts)).max()
        H = H + shifts * (indefinite * L / largest if largest > 0 else 0.0)
    H = (H + H.transpose(0, 2, 1)) / 2
    g = noise * rng.standard_normal((n, d))
    g -= g.mean(axis=0)
    data = QuadraticSum(
        np.ascontiguousarray(H), np.ascontiguousarray(g), np.ascontiguousarray(H.mean(axis=0)), np.zeros(d)
    )
    return FiniteSumOfQuadratics(name=name, data=data, start=rng.standard_normal(d))
