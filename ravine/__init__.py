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
    from experiments.engine.run import evaluate
    from experiments.exact.moments import exact_moments
    from experiments.exact.stationary import stationary_moments
    from experiments.report import style
    from problems.errors import InputError
    from problems.glm import LeastSquaresProblem, LogisticProblem
    from problems.kernel import gap, gradient, keep, step, value
    from problems.pl import PLSine
    from problems.problem import Problem, problems
    from problems.quadratics import FiniteSumOfQuadratics, Quadratic
    from theory.dynamics import curvatures, eigenbasis, multipliers, potential_above, radii, sam_edge, usam_edge
    from theory.gsam import parts as gsam_parts
    from theory.inner_max import quadratic_on_ball
    from theory.methods.method import Method, methods
    from theory.samplings import Sampling, samplings
    from theory.schedules import Schedule, read_schedule, schedules
    from theory.setting import Facts, Setting, facts_of, make_setting

    from .api import CheckableClaim, claims, corpus, simulate, versions
    from .files import write_whole

_PLACES = {
    "CheckableClaim": "ravine.api",
    "Facts": "theory.setting",
    "FiniteSumOfQuadratics": "problems.quadratics",
    "InputError": "problems.errors",
    "LeastSquaresProblem": "problems.glm",
    "LogisticProblem": "problems.glm",
    "Method": "theory.methods.method",
    "PLSine": "problems.pl",
    "Problem": "problems.problem",
    "Quadratic": "problems.quadratics",
    "Sampling": "theory.samplings",
    "Schedule": "theory.schedules",
    "Setting": "theory.setting",
    "claims": "ravine.api",
    "corpus": "ravine.api",
    "curvatures": "theory.dynamics",
    "eigenbasis": "theory.dynamics",
    "evaluate": "experiments.engine.run",
    "exact_moments": "experiments.exact.moments",
    "facts_of": "theory.setting",
    "gap": "problems.kernel",
    "gradient": "problems.kernel",
    "gsam_parts": "theory.gsam",
    "keep": "problems.kernel",
    "make_setting": "theory.setting",
    "methods": "theory.methods.method",
    "multipliers": "theory.dynamics",
    "potential_above": "theory.dynamics",
    "problems": "problems.problem",
    "quadratic_on_ball": "theory.inner_max",
    "radii": "theory.dynamics",
    "read_schedule": "theory.schedules",
    "sam_edge": "theory.dynamics",
    "samplings": "theory.samplings",
    "schedules": "theory.schedules",
    "simulate": "ravine.api",
    "stationary_moments": "experiments.exact.stationary",
    "step": "problems.kernel",
    "usam_edge": "theory.dynamics",
    "value": "problems.kernel",
    "versions": "ravine.api",
    "write_whole": "ravine.files",
}

_MODULES = {"style": "experiments.report.style"}
_RENAMED = {"gsam_parts": "parts"}

__all__ = [
    "CheckableClaim",
    "Facts",
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
    "corpus",
    "curvatures",
    "eigenbasis",
    "evaluate",
    "exact_moments",
    "facts_of",
    "gap",
    "gradient",
    "gsam_parts",
    "keep",
    "make_setting",
    "methods",
    "multipliers",
    "potential_above",
    "problems",
    "quadratic_on_ball",
    "radii",
    "read_schedule",
    "sam_edge",
    "samplings",
    "schedules",
    "simulate",
    "stationary_moments",
    "step",
    "style",
    "usam_edge",
    "value",
    "versions",
    "write_whole",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), _RENAMED.get(name, name))
    raise AttributeError(f"module 'ravine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
