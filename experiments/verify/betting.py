"""The betting test: is a nonnegative quantity's mean below a bound, with no other assumption?

With K = {2^-j, j = 0..10}, e(R) = mean over t and k in K of prod_{r <= R} (1 + k (X_{r,t}/b_t - 1)). If E X_t <= b_t
for every t, e is a nonnegative martingale in R starting at 1 at most in mean, so it ever reaches c with probability at
most 1/c (Ville). `violated` therefore holds at every R, whatever the law of X.

`consistent` cannot have such a guarantee: a sample says nothing of values that it does not hold. It is said only where
the sample would have shown a mean 1.5 times too large, at R = 64, 128, ... when at every t

(a) the same test with b_t replaced by mean_t/1.5 crosses its threshold times |T|: there was power;
(b) mean_t <= 1.2 b_t;
(c) R times the number of rare events that bear on one sample is at least 20, where the caller names such events;
(d) the opposite, E X_t >= 1.5 b_t, is refuted: a betting test the other way round, with the range of X taken from the
    sample and what may lie beyond it (`unseen`) taken off, reaches 1000.

(d) stands beside the policy's three conditions because of tails that are no named event: products of random factors,
lognormal or Pareto laws. A sample that misses their large values looks calm, so that its own mean passes (b) and its
own spread passes (a): with E X = 1.5 b, one time and one instance, the first three conditions alone called 25 % of
Pareto samples of index 1.5 consistent, and 83 % of those that are half a constant and half lognormal with sigma = 3.
(d) can only turn `consistent` into `too few samples`. What it costs and what is still missed is measured in
tests/power/test_calibration.py: laws with light tails need as many replicates as before or twice as many.

Nothing here helps against events that are rarer than 1 in R and show in no tail; that is condition (c).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from .verdict import Values

STAKES: Values = np.ldexp(1.0, -np.arange(11))

FALSE_ALARM = 1e-6
"""Chance that a whole run calls one true claim violated, however many instances it has."""

EXCESS = 1.5
"""How much too large a mean must be for the sample to have shown it."""

SLACK = 1.2
"""The mean may lie this far above the bound by sampling error alone before the sample counts as too small."""

RARE_EVENTS = 20
"""How often a rare event must have been seen: none at all is then a chance of e^-20."""

OPPOSITE = 1e3
"""Evidence that refutes the opposite of a claim: a mean 1.5 times too large passes once in a thousand, if the range of
X is as in the sample."""

TAIL_ERRORS = 3.5
"""The tail index is taken this many standard errors above its estimate. 12 tail values, all that 64 samples have, then
bound no index: a sample that fluctuates is called consistent from R = 128 on, a constant one at R = 64."""

REACH = 1e3
"""A tail is continued to events this many times rarer than one in the sample."""

BLOCK = 4096
"""Replicates whose wealth is held at once: 8.7 MB for 24 times."""

Decision = Literal["violated", "consistent", "too few samples", "diverged", "interrupted"]
Draw = Callable[[int, int], Values | None]


@dataclass(frozen=True)
class Outcome:
    """What `sequential_test` decided.

    log_evidence: the largest log e(R) so far; reason: a clause; samples: all that were drawn, (replicates, T), infinite
    where a run diverged.
    """

    decision: Decision
    log_evidence: float
    reason: str
    samples: Values

    @property
    def replicates(self) -> int:
        return len(self.samples)


def sequential_test(
    draw: Draw,
    bounds: Values,
    *,
    instances: int,
    rare: Values | float | None = None,
    most: int = 8192,
    first: int = 64,
) -> Outcome:
    """Draw replicates until E X_t <= b_t at every t is violated or consistent, doubling their number up to `most`.

    draw(r, count): X of replicates r, ..., r + count - 1, shape (count, T), nonnegative, not finite where a run
    diverged; None when interrupted. bounds: b_t, shape (T,), fixed before the first draw, as must be the times
    themselves. instances: how many such tests the whole verification makes. rare: the expected number of rare events
    that bear on one sample of X_t (for an iterate whose memory is m steps: min(t, m) times the least probability of the
    sampling), scalar or (T,); None where there are none, or where the caller left such times out.
    """
    limit = threshold(instances)
    samples = np.zeros((0, len(bounds)))
    wealth = np.zeros((len(bounds), len(STAKES)))
    top = -math.inf
    while True:
        new = draw(len(samples), len(samples) or first)
        if new is None:
            return Outcome("interrupted", top, "interrupted", samples)
        if (new < 0).any():
            raise ValueError(f"the betting test takes nonnegative samples, got {new.min()}")
        samples = np.concatenate([samples, np.where(np.isfinite(new), new, np.inf)])
        if not np.isfinite(new).all():
            return Outcome("diverged", math.inf, "a run diverged", samples)
        for start in range(len(samples) - len(new), len(samples), BLOCK):
            path = _total(wealth, log_wealth(samples[start : start + BLOCK], bounds))
            top, wealth = max(top, float(_mean_log(path).max())), path[-1]
        if top >= limit:
            reason = f"evidence e = 10^{top / math.log(10):.1f} after {len(samples)} replicates"
            return Outcome("violated", top, reason, samples)
        lacking = _lacking(samples, bounds, instances, rare)
        if lacking is None:
            return Outcome("consistent", top, "", samples)
        if 2 * len(samples) > most:
            return Outcome("too few samples", top, f"too few samples: {lacking}", samples)


def _lacking(samples: Values, bounds: Values, instances: int, rare: Values | float | None) -> str | None:
    """The first of conditions (c), (b), (a), (d) that fails somewhere, as a clause; None where all hold."""
    if rare is not None and not (len(samples) * np.asarray(rare) >= RARE_EVENTS).all():
        return "rare events were not seen often enough"
    if not (_means(samples) <= SLACK * bounds).all():
        return "the mean is still above the bound"
    if not has_power(samples, instances).all():
        return "a mean 1.5 times too large would not have been seen"
    if not opposite_refuted(samples, bounds).all():
        return "the largest values may not have been seen"
    return None


def log_evidence(samples: Values, bounds: Values) -> Values:
    """log e(R) for R = 1, ..., number of samples, shape (R,).

    samples: nonnegative, shape (R, T). bounds: nonnegative, shape (T,). A bound of 0 is refuted by any positive sample.
    """
    return _mean_log(log_wealth(samples, bounds))


def log_wealth(samples: Values, bounds: Values) -> NDArray[np.float64]:
    """The logarithm of each product, shape (R, T, number of stakes); -inf from where a product has become 0."""
    terms = _log_factors(samples, bounds)
    with np.errstate(invalid="ignore"):
        wealth = np.cumsum(terms, axis=0)
    if np.isnan(wealth).any():  # 0 times infinity: what is lost stays lost
        lost = np.logical_or.accumulate(np.isneginf(terms), axis=0)
        wealth[lost] = -np.inf
    return np.asarray(wealth)


def threshold(instances: int) -> float:
    """log of the evidence that calls one of `instances` Monte Carlo instances violated."""
    return math.log(max(instances, 1) / FALSE_ALARM)


def has_power(samples: Values, instances: int) -> Values:
    """For each t: would this sample have refuted a bound 1.5 times below its own mean? Shape (T,), bool."""
    broken = _means(samples) / EXCESS
    wealth = np.zeros((len(broken), len(STAKES)))
    for start in range(0, len(samples), BLOCK):
        with np.errstate(invalid="ignore"):
            wealth = _total(wealth, _log_factors(samples[start : start + BLOCK], broken).sum(axis=0))
    single = logsumexp(wealth, axis=1) - math.log(len(STAKES))
    return np.asarray(single >= threshold(instances) + math.log(samples.shape[1]))


def opposite_refuted(samples: Values, bounds: Values) -> NDArray[np.bool_]:
    """For each t: does this sample refute E X_t >= 1.5 b_t, as far as a sample can? Shape (T,).

    With c = 1.5 b_t - unseen and x the largest sample, the products prod_r (1 - k (X_r/c - 1)) would be
    supermartingales if E min(X, x) >= c, for every k that keeps their factors nonnegative up to x.
    """
    largest = samples.max(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        least = EXCESS * bounds - unseen(samples)
    possible = least > 0
    c = np.where(possible, least, 1.0)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        room = np.where(largest > c, 1 / np.maximum(largest / c - 1, np.finfo(float).tiny), 1.0)
        stakes = np.minimum(room, 1.0)[:, None] * STAKES
        wealth = np.zeros_like(stakes)
        for start in range(0, len(samples), BLOCK):
            ratio = samples[start : start + BLOCK, :, None] / c[:, None]
            # The largest stake loses all at the largest sample, and rounding must not make that less than nothing.
            wealth = wealth + np.log1p(np.fmax(-stakes * (ratio - 1), -1.0)).sum(axis=0)
    enough = logsumexp(wealth, axis=1) - math.log(len(STAKES)) >= math.log(OPPOSITE)
    return np.asarray(possible & enough)


def unseen(samples: Values) -> Values:
    """For each t: how much the values above the largest sample may add to E X_t, judged by the upper tail. Shape (T,).

    The n excesses over a high order statistic are taken for generalised Pareto, the law of smooth tails far out: among
    the largest min(R/5, 3 sqrt R) samples, as in Vehtari et al. (Pareto smoothed importance sampling, 2024), with the
    index k from probability-weighted moments (Hosking and Wallis 1987). A standard error of k is (1 + k)/sqrt n, so
    that k_+ = (k + z/sqrt n)/(1 - z/sqrt n) is the largest index that lies z = TAIL_ERRORS of its own errors above the
    estimate; n <= z^2 values bound nothing. Beyond the largest sample, exceeded with probability about 1/R, the excess
    is again generalised Pareto, with index k_+ and scale s = (1 - k) (mean excess) + k_+ (largest excess), and its
    quantiles down to 1/REACH add up to s (1 - REACH^(k_+ - 1))/(1 - k_+)/R. Where no sample exceeds the order statistic
    (a constant, a law with an atom at its top) nothing is unseen.
    """
    R, T = samples.shape
    m = int(min(R / 5, 3 * math.sqrt(R)))
    upper = np.sort(samples, axis=0)[R - m - 1 :]
    return np.array([_beyond(upper[1:, t] - upper[0, t], R) for t in range(T)])


def _beyond(excess: Values, R: int) -> float:
    """What `unseen` says of one time, from the sorted excesses of R samples."""
    excess = excess[excess > 0]
    n = len(excess)
    if n == 0:
        return 0.0
    error = TAIL_ERRORS / math.sqrt(n)
    if error >= 1:
        return math.inf
    largest = float(excess[-1])
    excess = excess / largest
    mean = float(excess.mean())
    weighted = float((1 - (np.arange(1, n + 1) - 0.35) / n) @ excess) / n
    # An index below -1 would be a density that rises up to its end.
    k = max(2 - mean / (mean - 2 * weighted), -1.0)
    high = (k + error) / (1 - error)
    scale = largest * max((1 - k) * mean + high, 0.0)
    far = math.log(REACH)
    quantiles = math.expm1((high - 1) * far) / (high - 1) if high != 1 else far
    return scale / R * quantiles


def _log_factors(samples: Values, bounds: Values) -> NDArray[np.float64]:
    """log(1 + k (X/b - 1)), shape (R, T, number of stakes). 0/0 counts as 1 (nothing learnt), X/inf as 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(bounds > 0, samples / bounds, np.where(samples > 0, np.inf, 1.0))
        ratio = np.where(np.isinf(bounds), 0.0, ratio)
        factors = np.log1p(STAKES * (ratio[:, :, None] - 1))
        factors[:, :, 0] = np.log(ratio)  # k = 1, where X/b - 1 would round a small X away
    return np.asarray(factors)


def _total(carried: Values, added: Values) -> Values:
    """Sums of logarithms in which nothing times infinity is nothing."""
    with np.errstate(invalid="ignore"):
        total = carried + added
    return np.where(np.isnan(total), -np.inf, total)


def _mean_log(wealth: NDArray[np.float64]) -> Values:
    """log of the mean over times and stakes, shape (R,)."""
    return np.asarray(logsumexp(wealth, axis=(1, 2)) - math.log(wealth.shape[1] * wealth.shape[2]))


def _means(samples: Values) -> Values:
    with np.errstate(over="ignore"):
        return np.asarray(samples.mean(axis=0))
