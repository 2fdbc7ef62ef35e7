"""The largest value of a quadratic over a ball: max over ||e|| <= rho of b'e + e'He/2, for any symmetric H.

A maximiser solves (nu I - H) e = b with nu >= max(lambda_1, 0), and ||e|| = rho unless nu = 0 (the trust-region
problem; More and Sorensen 1983). In the eigenbasis e_i = b_i/(s + lambda_1 - lambda_i) with s = nu - lambda_1, and s is
where the falling function ||e(s)|| meets rho. It never does in the *hard case*, where b has nothing along the largest
eigenvalue's space and the rest is shorter than rho already at s = 0: then that space fills up what is missing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from problems.errors import InputError
from problems.problem import Matrix, Vector


class InnerMaximum(NamedTuple):
    """value: the maximum, >= 0. point: where it is attained, shape (d,). hard: along the top eigenspace alone is what
    the sphere needs (the hard case)."""

    value: float
    point: Vector
    hard: bool


def quadratic_on_ball(b: Vector, H: Matrix, rho: float) -> InnerMaximum:
    """max over ||e|| <= rho of b'e + e'He/2. b: (d,). H: (d, d) symmetric. rho: 0, or with a square that is not 0 in
    float64; InputError otherwise."""
    if rho == 0:
        return InnerMaximum(0.0, np.zeros(len(b)), False)
    if not rho * rho > 0:
        raise InputError(f"rho must be 0, or so large that its square is not 0 in float64, got {rho:g}")
    h, Q = np.linalg.eigh(H)
    slope = Q.T @ b
    top = float(h[-1])
    # From here on distances to the eigenvalue at the edge: nu = edge + s.
    edge = max(top, 0.0)
    below = edge - h
    flat = below <= 4 * len(b) * np.finfo(float).eps * max(abs(float(h[0])), abs(top))
    below[flat] = 0.0

    def offset(s: float) -> Vector:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(slope == 0, 0.0, slope / (s + below))

    first = offset(0.0)
    hard = False
    if np.linalg.norm(first) <= rho:
        e = first
        missing = rho**2 - float(e @ e)
        # With lambda_1 < 0 the maximum lies inside the ball.
        if top >= 0 and missing > 0:
            hard = True
            e = e.copy()
            e[-1] += np.sqrt(missing)
    else:
        along = float(np.abs(slope[flat]).max(initial=0.0)) / rho
        # A slope along the edge's space keeps s above `along`; without one e(s) has no pole, and what s is below this
        # part of the nearest gap does not show in e.
        low = along * (1 - 1e-12) if along > 0 else 1e-18 * float(below[~flat].min())
        high = max(float(np.linalg.norm(slope)) / rho * (1 + 1e-12), 2 * low)

        def lacking(log_s: float) -> float:
            with np.errstate(over="ignore", divide="ignore"):
                return 1 / float(np.linalg.norm(offset(float(np.exp(log_s))))) - 1 / rho

        # s may be as small as the slope along the edge's space: it is sought by its logarithm.
        ends = float(np.log(low)), float(np.log(high))
        s = float(np.exp(ends[0] if lacking(ends[0]) >= 0 else brentq(lacking, *ends, xtol=1e-15, maxiter=1000)))
        e = offset(s)
        e *= rho / np.linalg.norm(e)
    return InnerMaximum(float(slope @ e + e @ (h * e) / 2), np.asarray(Q @ e), hard)
