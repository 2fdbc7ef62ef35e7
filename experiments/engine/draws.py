"""Random draws: a stateless counter generator, and how each kind of sampling uses it.

The k-th number of step t of replicate r under seed s is a function of (s, r, t, k) alone, so that results
cannot depend on threads, block sizes or record times. The mixing function is the finaliser of splitmix64
(Steele, Lea and Flood 2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from problems.kernel import helper


@helper
def mix(word: Any) -> Any:
    """splitmix64's finaliser, a bijection of 64-bit words."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@helper
def stream(seed: Any, replicate: int) -> Any:
    """The key of one replicate's stream."""
    return mix(
        mix(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15)) + np.uint64(replicate) * np.uint64(0xD1342543DE82EF95)
    )


@helper
def uniform(key: Any, t: int, k: int) -> float:
    """The k-th uniform number in [0, 1) of step t, a multiple of 2^-53."""
    word = mix(mix(key + np.uint64(t) * np.uint64(0x9E3779B97F4A7C15)) + np.uint64(k) * np.uint64(0xA0761D6478BD642F))
    return float(word >> np.uint64(11)) * 1.1102230246251565e-16


@helper
def from_alias(threshold: Any, alias: Any, u: float) -> int:
    """One draw from an alias table with a single uniform number."""
    scaled = u * threshold.shape[0]
    i = int(scaled)
    if scaled - i < threshold[i]:
        return i
    return int(alias[i])


@helper
def draw(sampling: Any, key: Any, replicate: int, t: int, indices: Any, weights: Any, marks: Any) -> int:
    """Fill indices and weights with step t's sample and return how many there are.

    indices, weights: scratch of length sampling.largest. marks: scratch of length n, zero at t = 0, used by
    tau-nice draws (Floyd's algorithm, O(tau)).
    """
    kind = sampling.kind
    if kind == 1:  # SINGLE
        i = from_alias(sampling.threshold, sampling.alias, uniform(key, t, 0))
        indices[0] = i
        weights[0] = sampling.weights[i]
        return 1
    if kind == 0:  # FULL: the caller filled indices and weights once
        return int(sampling.n)
    if kind == 2:  # TAU_NICE
        for k in range(sampling.tau):
            top = sampling.n - sampling.tau + k
            i = int(uniform(key, t, k) * (top + 1))
            if marks[i] == t + 1:
                i = top
            marks[i] = t + 1
            indices[k] = i
            weights[k] = sampling.weights[i]
        return int(sampling.tau)
    if kind == 3:  # REPLACEMENT
        for k in range(sampling.tau):
            i = from_alias(sampling.threshold, sampling.alias, uniform(key, t, k))
            indices[k] = i
            weights[k] = sampling.weights[i]
        return int(sampling.tau)
    if kind == 4:  # INDEPENDENT
        m = 0
        for i in range(sampling.n):
            if uniform(key, t, i) < sampling.probabilities[i]:
                indices[m] = i
                weights[m] = sampling.weights[i]
                m += 1
        return m
    # BLOCKS, and LISTED where the replicate's own number picks the block
    block = replicate
    if kind == 5:
        block = from_alias(sampling.threshold, sampling.alias, uniform(key, t, 0))
    first = sampling.starts[block]
    m = sampling.starts[block + 1] - first
    for k in range(m):
        indices[k] = sampling.members[first + k]
        weights[k] = sampling.weights[first + k]
    return int(m)
