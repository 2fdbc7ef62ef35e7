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
    from experiments.net.optimizer import SAMFamily
    from experiments.report import style
    from experiments.verify.brackets import stored as brackets
    from problems.errors import InputError
    from problems.glm import LeastSquaresProblem, LogisticProblem
    from problems.kernel import gap, gradient, keep, step, value
    from problems.pl import PLSine
    from problems.problem import Constant, Grade, Problem, problems
    from problems.quadratics import FiniteSumOfQuadratics, Quadratic
    from theory.claims.dynamics_flow import followed as flow_end
    from theory.claims.dynamics_flow import limiting as limiting_flow
    from theory.claims.dynamics_flow import refined as refined_flow
    from theory.claims.dynamics_saddle import window as trap_window
    from theory.claims.multistep_maximum import flow_end as ascent_flow
    from theory.claims.ssam_range import longest_step as ssam_longest_step
    from theory.claims.ssam_saddle import growth as saddle_growth
    from theory.claims.ssam_stability import floor_of as stability_floor
    from theory.dynamics import curvatures, eigenbasis, multipliers, potential_above, radii, sam_edge, usam_edge
    from theory.gsam import parts as gsam_parts
    from theory.inner_max import quadratic_on_ball
    from theory.methods.method import Method, methods
    from theory.samplings import Sampling, samplings
    from theory.schedules import Schedule, read_schedule, schedules
    from theory.setting import Facts, Setting, facts_of, make_setting
    from theory.worst_case.question import Question as WorstCaseQuestion
    from theory.worst_case.question import answer as worst_case
    from theory.worst_case.region import admitted_step, parabola_edge
    from theory.worst_case.region import edge as contraction_edge

    from .api import CheckableClaim, Sharpness, claims, corpus, sharpness, simulate, versions
    from .files import write_whole

_PLACES = {
    "CheckableClaim": "ravine.api",
    "Constant": "problems.problem",
    "Facts": "theory.setting",
    "FiniteSumOfQuadratics": "problems.quadratics",
    "Grade": "problems.problem",
    "InputError": "problems.errors",
    "LeastSquaresProblem": "problems.glm",
    "LogisticProblem": "problems.glm",
    "Method": "theory.methods.method",
    "PLSine": "problems.pl",
    "Problem": "problems.problem",
    "Quadratic": "problems.quadratics",
    "SAMFamily": "experiments.net.optimizer",
    "Sampling": "theory.samplings",
    "Schedule": "theory.schedules",
    "Setting": "theory.setting",
    "Sharpness": "ravine.api",
    "WorstCaseQuestion": "theory.worst_case.question",
    "admitted_step": "theory.worst_case.region",
    "ascent_flow": "theory.claims.multistep_maximum",
    "brackets": "experiments.verify.brackets",
    "claims": "ravine.api",
    "contraction_edge": "theory.worst_case.region",
    "corpus": "ravine.api",
    "curvatures": "theory.dynamics",
    "eigenbasis": "theory.dynamics",
    "evaluate": "experiments.engine.run",
    "exact_moments": "experiments.exact.moments",
    "facts_of": "theory.setting",
    "flow_end": "theory.claims.dynamics_flow",
    "gap": "problems.kernel",
    "gradient": "problems.kernel",
    "gsam_parts": "theory.gsam",
    "keep": "problems.kernel",
    "limiting_flow": "theory.claims.dynamics_flow",
    "make_setting": "theory.setting",
    "methods": "theory.methods.method",
    "multipliers": "theory.dynamics",
    "parabola_edge": "theory.worst_case.region",
    "potential_above": "theory.dynamics",
    "problems": "problems.problem",
    "quadratic_on_ball": "theory.inner_max",
    "radii": "theory.dynamics",
    "read_schedule": "theory.schedules",
    "refined_flow": "theory.claims.dynamics_flow",
    "saddle_growth": "theory.claims.ssam_saddle",
    "sam_edge": "theory.dynamics",
    "samplings": "theory.samplings",
    "schedules": "theory.schedules",
    "sharpness": "ravine.api",
    "simulate": "ravine.api",
    "ssam_longest_step": "theory.claims.ssam_range",
    "stability_floor": "theory.claims.ssam_stability",
    "stationary_moments": "experiments.exact.stationary",
    "step": "problems.kernel",
    "trap_window": "theory.claims.dynamics_saddle",
    "usam_edge": "theory.dynamics",
    "value": "problems.kernel",
    "versions": "ravine.api",
    "worst_case": "theory.worst_case.question",
    "write_whole": "ravine.files",
}

_MODULES = {"style": "experiments.report.style"}
_RENAMED = {
    "WorstCaseQuestion": "Question",
    "ascent_flow": "flow_end",
    "brackets": "stored",
    "contraction_edge": "edge",
    "flow_end": "followed",
    "gsam_parts": "parts",
    "limiting_flow": "limiting",
    "refined_flow": "refined",
    "saddle_growth": "growth",
    "ssam_longest_step": "longest_step",
    "stability_floor": "floor_of",
    "trap_window": "window",
    "worst_case": "answer",
}

__all__ = [
    "CheckableClaim",
    "Constant",
    "Facts",
    "FiniteSumOfQuadratics",
    "Grade",
    "InputError",
    "LeastSquaresProblem",
    "LogisticProblem",
    "Method",
    "PLSine",
    "Problem",
    "Quadratic",
    "SAMFamily",
    "Sampling",
    "Schedule",
    "Setting",
    "Sharpness",
    "WorstCaseQuestion",
    "__version__",
    "admitted_step",
    "ascent_flow",
    "brackets",
    "claims",
    "contraction_edge",
    "corpus",
    "curvatures",
    "eigenbasis",
    "evaluate",
    "exact_moments",
    "facts_of",
    "flow_end",
    "gap",
    "gradient",
    "gsam_parts",
    "keep",
    "limiting_flow",
    "make_setting",
    "methods",
    "multipliers",
    "parabola_edge",
    "potential_above",
    "problems",
    "quadratic_on_ball",
    "radii",
    "read_schedule",
    "refined_flow",
    "saddle_growth",
    "sam_edge",
    "samplings",
    "schedules",
    "sharpness",
    "simulate",
    "ssam_longest_step",
    "stability_floor",
    "stationary_moments",
    "step",
    "style",
    "trap_window",
    "usam_edge",
    "value",
    "versions",
    "worst_case",
    "write_whole",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _PLACES:
        if _PLACES[name].startswith("experiments.net."):
            importlib.import_module("experiments.net").require_torch()
        return getattr(importlib.import_module(_PLACES[name]), _RENAMED.get(name, name))
    raise AttributeError(f"module 'ravine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
