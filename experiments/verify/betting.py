"""The betting test: is a nonnegative quantity's mean below a bound, with no other assumption?

With K = {2^-j, j = 0..10}, e(R) = mean over t and k in K of prod_{r <= R} (1 + k (X_{r,t}/b_t - 1)). If E X_t <= b_t
for every t, e is a nonnegative martingale in R starting at 1 at most in mean, so it ever reaches c with probability at
most 1/c (Ville).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from .verdict import Values

STAKES: Values = np.ldexp(1.0, -np.arange(11))

FALSE_ALARM = 1e-6
"""Chance that a whole run calls one true claim violated, however many instances it has."""


def log_evidence(samples: Values, bounds: Values) -> Values:
    """log e(R) for R = 1, ..., number of samples, shape (R,).

    samples: nonnegative, shape (R, T). bounds: nonnegative, shape (T,). A bound of 0 is refuted by any positive sample.
    """
    wealth = log_wealth(samples, bounds)
    return np.asarray(logsumexp(wealth, axis=(1, 2)) - math.log(wealth.shape[1] * wealth.shape[2]))


def log_wealth(samples: Values, bounds: Values) -> NDArray[np.float64]:
    """The logarithm of each product, shape (R, T, number of stakes)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(bounds > 0, samples / bounds, np.where(samples > 0, np.inf, 1.0))
        return np.asarray(np.cumsum(np.log1p(STAKES * (ratio[:, :, None] - 1)), axis=0))


def threshold(instances: int) -> float:
    """log of the evidence that calls one of `instances` Monte Carlo instances violated."""
    return math.log(max(instances, 1) / FALSE_ALARM)


def has_power(samples: Values, instances: int) -> Values:
    """For each t: would this sample have refuted a bound 1.5 times below its own mean? Shape (T,), bool."""
    means = samples.mean(axis=0)
    wealth = log_wealth(samples, means / 1.5)[-1]
    single = logsumexp(wealth, axis=1) - math.log(len(STAKES))
    return np.asarray(single >= threshold(instances) + math.log(samples.shape[1]))
