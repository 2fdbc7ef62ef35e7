"""Facts from the values of a derivation's symbols, for comparing its formulas with those of the code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from theory.schedules import constant
from theory.setting import Facts


def facts_at(point: Mapping[str, float], **changes: Any) -> Facts:
    """Facts whose constants are the values of the symbols of the same name.

    L stands for L_f, L_S, L_max and L_avg alike unless they are given apart; D0 is the suboptimality at the start,
    sigma2 the variance. What the symbols do not say is the deterministic case: A = 0, B = 1, C = 0.
    """
    L = float(point.get("L", point.get("L_f", 1.0)))
    values: dict[str, Any] = {
        "mu": float(point.get("mu", 0.0)),
        "L_f": float(point.get("L_f", L)),
        "L_S": float(point.get("L_S", L)),
        "L_max": L,
        "L_avg": L,
        "A": float(point.get("A", 0.0)),
        "B": float(point.get("B", 1.0)),
        "C": float(point.get("C", 0.0)),
        "gap0": float(point.get("D0", 1.0)),
        "grad_norm2_0": 1.0,
        "gamma": constant(float(point.get("gamma", 0.0))),
        "rho": constant(float(point.get("rho", 0.0))),
        "lam": constant(float(point.get("lam", 1.0))),
        "deterministic": True,
        "quadratic": False,
        "sampling": "full",
        "least_probability": 1.0,
        "er_route": "given",
        "strong_convexity": float(point.get("mu", 0.0)),
        "variance": float(point.get("sigma2", 0.0)),
    }
    return Facts(**(values | changes))
