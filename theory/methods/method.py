"""Method: an update rule as the engine sees it, and the catalogue of those that have a SPEC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from problems.spec import Catalogue
from theory.schedules import Schedule, constant

methods: Catalogue[Method] = Catalogue("method", ("theory.methods",))
"""Every update rule that has a SPEC: `methods.build("unified-sam:lam=0.5")`."""


NO_MIXING = constant(0.0)


@dataclass(frozen=True)
class Method:
    """An update rule.

    name: the SPEC. data: the NamedTuple whose class picks the `step` kernel. lam: the mixing schedule in
    [0, 1], 0 for methods that have none. uses_rho: whether the radius matters. uses_lam: whether the mixing does.
    isometric: the rule commutes with rotations and translations of x, so that it may be run in any orthonormal basis.
    """

    name: str
    data: Any
    lam: Schedule = NO_MIXING
    uses_rho: bool = True
    uses_lam: bool = True
    isometric: bool = False

    @property
    def family(self) -> str:
        """The SPEC without its parameters."""
        return self.name.partition(":")[0]

    @property
    def parameters(self) -> dict[str, float]:
        """The numbers of the rule itself, by name."""
        return {name: float(value) for name, value in self.data._asdict().items() if name != "unused"}
