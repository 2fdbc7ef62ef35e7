"""Look at network claims, a process each, with one thread a process: what is seen does not depend on how many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from joblib import Parallel, delayed

from .claim import Effort, NetworkResult, judge, network_claims

SEEDS = {"quick": 6, "full": 16}
"""Networks of each comparison."""


def effort_of(profile: str, seed: int) -> Effort:
    """quick or full."""
    return Effort(SEEDS[profile], seed, profile == "full")


def verify(ids: Sequence[str], *, effort: Effort, workers: int) -> Iterator[NetworkResult]:
    """Results as they are finished, in any order."""
    tasks = (delayed(_one)(claim_id, effort) for claim_id in ids)
    yield from Parallel(n_jobs=min(workers, len(ids)), return_as="generator_unordered")(tasks)


def _one(claim_id: str, effort: Effort) -> NetworkResult:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return judge(network_claims[claim_id], effort)
    finally:
        torch.set_num_threads(before)
