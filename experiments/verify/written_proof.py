"""The derivation route: a claim's written proof, checked step by step by computer algebra."""

from __future__ import annotations

import threading

import numpy as np

from theory.derivation import Derivation

from .verdict import CLASS, Evidence, Verdict

DERIVATION = "derivation"
CHECKED = "derivation checked"

_ALONE = threading.Lock()
"""Computer algebra holds Python's lock; two at once are no faster, and sympy's caches are not made for it."""


def derivation_evidence(derivation: Derivation) -> Evidence:
    """Consistent where every step follows and the code has the formulas at which the derivation arrives.

    A broken step refutes nothing: it says that the written proof is none, hence inconclusive.
    """
    with _ALONE:
        faults = derivation.faults()
    steps = len(derivation.steps)
    said = f"{CHECKED}: {steps} steps" if not faults else f"the written proof is broken at {faults[0]}"
    empty = np.zeros(0)
    return Evidence(
        route=DERIVATION, verdict=Verdict.INCONCLUSIVE if faults else Verdict.CONSISTENT, reason=said,
        instance=f"every instance, by {derivation.id}", origin=CLASS, replay="", at=float("nan"),
        measured=float("nan"), bound=float("nan"), error=float("nan"), replicates=1, critical={},
        abscissa=np.zeros(0, dtype=np.int64), measured_curve=empty, bound_curve=empty, error_curve=empty,
    )  # fmt: skip
