"""Random positive definite quadratic programs with a known minimiser and a prescribed condition number.

After M. L. Lenard and M. Minkoff, "Randomly generated test problems for positive definite quadratic
programming", ACM Transactions on Mathematical Software 10 (1984), 86-96. Theirs: to build the problem
backwards, choosing the solution and the conditioning of the Hessian first and computing the linear term from
them. Their problems carry linear constraints with chosen multipliers. Ours: no constraints (SAM has
none), a geometric spectrum with both ends attained, and a Haar-distributed basis.
"""

from __future__ import annotations

import math

import numpy as np

from .errors import InputError
from .problem import Problem, as_matrix, check_count, check_memory, check_positive, problems
from .quadratics import DenseQuadratic, Quadratic, prescribed_spectrum, random_orthogonal
from .spec import spelled


@problems.register("random-qp")
def random_qp(d: int, cond: float, seed: int = 0, L: float = 1.0) -> Problem:
    """f(x) = x' H x / 2 - (H x*)' x + const with cond(H) = cond, largest eigenvalue L and standard normal x*.

    The gap is computed as (x - x*)' H (x - x*) / 2. Runs start at the origin.
    Raises InputError for d < 1, cond < 1, L <= 0, or cond > 1 with d = 1.
    """
    check_count(d, argument="d")
    check_count(seed, argument="seed", least=0)
    check_positive(L, argument="L")
    if not 1 <= cond < math.inf:
        raise InputError(f"cond must be at least 1 and finite, got {cond!r}")
    name = f"random-qp:d={d},cond={spelled(cond)},seed={seed},L={spelled(L)}"
    check_memory(d * d, what=f"problem {name!r}")
    rng = np.random.default_rng([seed, 0x9B])
    eigenvalues = prescribed_spectrum("log", L / cond, L, d, rng)
    q = random_orthogonal(d, rng)
    H = (q * eigenvalues) @ q.T
    data = DenseQuadratic(as_matrix((H + H.T) / 2, argument="H"), rng.standard_normal(d))
    return Quadratic(name=name, data=data, eigenvalues=eigenvalues, start=np.zeros(d))
