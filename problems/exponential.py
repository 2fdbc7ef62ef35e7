"""exp and exp - 1 as straight-line code that a compiler turns into vector instructions.

Compiled kernels that call `math.exp` stay scalar: no vector mathematics library comes with the compiler. These two
reduce x = k log 2 + r with |r| <= log(2)/2 and take exp(r) = 1 + r + r^2 P(r), P of degree 9 interpolating at Chebyshev
points (relative error 1.7e-17), so that their error is that of the last few roundings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernel import ordered


@ordered
def remainder_polynomial(r: float) -> float:
    """(exp(r) - 1 - r)/r^2 for |r| <= 0.3466, relative error about 1e-16."""
    r2 = r * r
    low = (0.5000000000000001 + r * 0.16666666666666669) + r2 * (0.04166666666662413 + r * 0.008333333333330062)
    middle = (0.0013888888917213717 + r * 0.00019841269863053618) + r2 * (
        2.4801521295954376e-05 + r * 2.7557268459997064e-06
    )
    high = 2.7620088445409746e-07 + r * 2.510038549551032e-08
    return low + (r2 * r2) * (middle + (r2 * r2) * high)


@ordered
def exponential(x: Any) -> Any:
    """exp(x) with an error below 1.5 units in the last place for |x| <= 708; NaN gives NaN.

    Arguments beyond +-708 are taken as +-708, so that the result stays a normal number, 3.3e-308 ... 3e307.
    """
    x = 708.0 if x > 708.0 else x
    x = -708.0 if x < -708.0 else x
    # Adding 1.5 * 2^52 rounds to a whole number, which is then read from the low bits.
    shifted = x * 1.4426950408889634 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10
    power = np.int64((np.float64(shifted).view(np.int64) + np.int64(1023)) << np.int64(52)).view(np.float64)
    return (1.0 + (r + r * r * remainder_polynomial(r))) * power


@ordered
def exponential_less_one(x: Any) -> Any:
    """exp(x) - 1 with an error below 3 units in the last place for |x| <= 708, also near 0; NaN gives NaN."""
    x = 708.0 if x > 708.0 else x
    x = -708.0 if x < -708.0 else x
    shifted = x * 1.4426950408889634 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10
    power = np.int64((np.float64(shifted).view(np.int64) + np.int64(1023)) << np.int64(52)).view(np.float64)
    return (r + r * r * remainder_polynomial(r)) * power + (power - 1.0)


@ordered
def softplus(z: Any) -> Any:
    """log(1 + exp(z)) with an error below 4 units in the last place for |z| <= 708; NaN gives NaN.

    With u = exp(-|z|) and c = 1, or sqrt(2) where u is larger, log(1 + u) = log c + 2 artanh v, where
    v = (1 + u - c)/(1 + u + c), |v| <= 0.172.
    """
    u = exponential(-abs(z))
    upper = u > 0.41421356237309503
    v = ((-0.41421356237309503 if upper else 0.0) + u) / ((2.414213562373095 if upper else 2.0) + u)
    v2 = v * v
    v4 = v2 * v2
    low = (1.0 + v2 * 0.3333333333333333) + v4 * (0.2 + v2 * 0.14285714285714285)
    high = (0.1111111111111111 + v2 * 0.09090909090909091) + v4 * (0.07692307692307693 + v2 * 0.06666666666666667)
    top = (0.058823529411764705 + v2 * 0.05263157894736842) + v4 * 0.047619047619047616
    logarithm = 2.0 * v * (low + (v4 * v4) * (high + (v4 * v4) * top))
    return (logarithm + (0.34657359027997264 if upper else 0.0)) + (z if z > 0.0 else 0.0)
