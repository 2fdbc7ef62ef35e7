"""A quadratic whose gradient carries noise that does not depend on x: every component has the same Hessian."""

from __future__ import annotations

import numpy as np

from .problem import check_count, check_nonnegative, check_positive, problems
from .quadratics import FiniteSumOfQuadratics, QuadraticSum, Spectrum, prescribed_spectrum
from .spec import spelled


@problems.register("noisy-quadratic")
def noisy_quadratic(
    d: int = 10,
    mu: float = 0.1,
    L: float = 1.0,
    n: int = 256,
    variance: float = 3.0,
    seed: int = 0,
    spectrum: Spectrum = "linear",
) -> FiniteSumOfQuadratics:
    """f_i(x) = x'Hx/2 + c_i'x with H diagonal, its spectrum in [mu, L], and c_i like draws of a normal law.

    The c_i have mean 0 and covariance (variance/d) I, both exactly, for n > d: E||grad f_i(x) - grad f(x)||^2 =
    variance at every x under uniform sampling, variance/b for b draws with replacement. Runs start at (1.5, ..., 1.5).
    Raises InputError unless n > d.
    """
    check_count(d, argument="d")
    check_count(n, argument="n", least=d + 1)
    check_count(seed, argument="seed", least=0)
    check_positive(mu, argument="mu")
    check_nonnegative(variance, argument="variance")
    rng = np.random.default_rng([seed, 0x4E])
    h = prescribed_spectrum(spectrum, mu, L, d, rng)
    c = rng.standard_normal((n, d))
    c -= c.mean(axis=0)
    # Whitened: (1/n) c'c = I.
    c = c @ np.linalg.inv(np.linalg.cholesky(c.T @ c / n)).T
    c *= np.sqrt(variance / d)
    c -= c.mean(axis=0)
    H = np.zeros((n, d, d))
    H[:, range(d), range(d)] = h
    name = (
        f"noisy-quadratic:d={d},mu={spelled(mu)},L={spelled(L)},n={n},variance={spelled(variance)},seed={seed},"
        f"spectrum={spectrum}"
    )
    data = QuadraticSum(H, np.ascontiguousarray(c), np.diag(h), np.zeros(d))
    return FiniteSumOfQuadratics(name=name, data=data, start=np.full(d, 1.5))
