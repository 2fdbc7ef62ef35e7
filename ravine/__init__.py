"""ravine: an executable catalogue of what is proved about sharpness-aware minimisation.

    import ravine as rv
    problem = rv.Quadratic.with_spectrum(mu=0.1, L=1.0, d=20)
    result = rv.claims["unified-sam/pl-deterministic"].check(problem)
    print(result.verdict.value)

Names are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .guard import check_packages
from .version import __version__

check_packages()

if TYPE_CHECKING:
    from problems.errors import InputError
    from problems.glm import LeastSquaresProblem, LogisticProblem
    from problems.kernel import gap, gradient, keep, step, value
    from problems.pl import PLSine
    from problems.problem import Problem, problems
    from problems.quadratics import FiniteSumOfQuadratics, Quadratic
    from theory.methods.method import Method, methods
    from theory.samplings import Sampling, samplings
    from theory.schedules import Schedule, schedules
    from theory.setting import Setting, make_setting

    from .api import CheckableClaim, claims, simulate

_PLACES = {
    "InputError": "problems.errors",
    "LeastSquaresProblem": "problems.glm",
    "LogisticProblem": "problems.glm",
    "gap": "problems.kernel",
    "gradient": "problems.kernel",
    "keep": "problems.kernel",
    "step": "problems.kernel",
    "value": "problems.kernel",
    "PLSine": "problems.pl",
    "Problem": "problems.problem",
    "problems": "problems.problem",
    "FiniteSumOfQuadratics": "problems.quadratics",
    "Quadratic": "problems.quadratics",
    "Method": "theory.methods.method",
    "methods": "theory.methods.method",
    "Sampling": "theory.samplings",
    "samplings": "theory.samplings",
    "Schedule": "theory.schedules",
    "schedules": "theory.schedules",
    "Setting": "theory.setting",
    "make_setting": "theory.setting",
    "CheckableClaim": "ravine.api",
    "claims": "ravine.api",
    "simulate": "ravine.api",
}

__all__ = [
    "CheckableClaim",
    "FiniteSumOfQuadratics",
    "InputError",
    "LeastSquaresProblem",
    "LogisticProblem",
    "Method",
    "PLSine",
    "Problem",
    "Quadratic",
    "Sampling",
    "Schedule",
    "Setting",
    "__version__",
    "claims",
    "gap",
    "gradient",
    "keep",
    "make_setting",
    "methods",
    "problems",
    "samplings",
    "schedules",
    "simulate",
    "step",
    "value",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'ravine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
