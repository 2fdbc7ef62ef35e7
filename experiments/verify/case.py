"""Case: one claim's formulas on some facts, to be compared with what a setting does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from theory.claim import Claim, Instance, Scale
from theory.setting import Facts, Setting, facts_of

from .verdict import Critical, Evidence, Values, Verdict


@dataclass(frozen=True)
class Case:
    """What is compared: a claim's formulas on these facts, with constants scaled, against this setting's runs."""

    claim: Claim
    setting: Setting
    facts: Facts
    steps: int
    scale: Scale = field(default_factory=dict)
    origin: str = "synthetic"
    replay: str = ""

    def evidence(
        self,
        *,
        route: str,
        verdict: Verdict,
        reason: str,
        show: int,
        abscissa: NDArray[np.int64],
        measured: Values,
        bound: Values,
        error: Values,
        replicates: int = 1,
        critical: Mapping[str, Critical] | None = None,
        relation: str = "<=",
    ) -> Evidence:
        """Wrap the two curves, showing entry `show`."""
        filled = len(measured) > 0
        return Evidence(
            route=route,
            verdict=verdict,
            reason=reason,
            instance=str(self.setting),
            origin=self.origin,
            replay=self.replay,
            at=float(abscissa[show]) if filled else float("nan"),
            measured=float(measured[show]) if filled else float("nan"),
            bound=float(bound[show]) if filled else float("nan"),
            error=float(error[show]) if filled else float("nan"),
            replicates=replicates,
            critical=critical or {},
            abscissa=abscissa,
            measured_curve=measured,
            bound_curve=bound,
            error_curve=error,
            relation=relation,
        )

    def nothing(self, route: str, reason: str) -> Evidence:
        """A route that could not be taken or showed nothing."""
        empty = np.zeros(0)
        return self.evidence(
            route=route, verdict=Verdict.INCONCLUSIVE, reason=reason, show=0, abscissa=np.zeros(0, dtype=np.int64),
            measured=empty, bound=empty, error=empty,
        )  # fmt: skip


def case_of(claim: Claim, instance: Instance) -> Case:
    """The plain case: facts taken from the setting itself; OutsideHypotheses where the claim says nothing."""
    facts = facts_of(instance.setting)
    claim.require(facts)
    return Case(claim, instance.setting, facts, instance.steps, {}, instance.origin, instance.replay)
