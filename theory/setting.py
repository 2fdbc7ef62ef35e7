"""Setting: what is run. Facts: the frozen numbers that a bound may read, taken from a setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from problems.errors import InputError
from problems.problem import Grade, Problem, Vector, as_vector, weakest
from problems.stability import Losses, NeighbouringData
from theory.methods.method import Method
from theory.methods.unified_sam import unified_sam
from theory.samplings import Sampling, er_constants, full, largest_smoothness
from theory.schedules import Schedule, constant, read_schedule
from theory.smoothness import expected_smoothness, is_convex, noise
from theory.variance import largest_variance


@dataclass(frozen=True)
class Setting:
    """problem + sampling + method + schedules + start: everything that a run depends on but the seed.

    gamma: step size > 0. rho: radius >= 0. lam: mixing in [0, 1] (the method's own). x0: shape (d,).
    """

    problem: Problem
    sampling: Sampling
    method: Method
    gamma: Schedule
    rho: Schedule
    lam: Schedule
    x0: Vector

    def with_steps(
        self, *, gamma: float | Schedule, rho: float | Schedule, lam: float | Schedule | None = None
    ) -> Setting:
        """The same setting with other step sizes."""
        mixing = self.lam if lam is None else lam
        as_schedule = [s if isinstance(s, Schedule) else constant(s) for s in (gamma, rho, mixing)]
        return replace(self, gamma=as_schedule[0], rho=as_schedule[1], lam=as_schedule[2])

    @property
    def deterministic(self) -> bool:
        """No randomness: full batch, or a single component."""
        return self.sampling.is_full

    def __str__(self) -> str:
        steps = f"gamma={self.gamma}" + (f", rho={self.rho}" if self.method.uses_rho else "")
        # The mixing may have been set apart from the method's own.
        rule = f"unified-sam:lam={self.lam}" if self.method.family == "unified-sam" else self.method.name
        return f"{self.problem.name} / {self.sampling.name} / {rule}, {steps}"


def make_setting(
    problem: Problem,
    *,
    sampling: Sampling | None = None,
    method: Method | None = None,
    gamma: float | Schedule = 0.0,
    rho: float | Schedule = 0.0,
    lam: float | str | Schedule | None = None,
    x0: ArrayLike | None = None,
) -> Setting:
    """A setting; sampling defaults to the full batch, method to Unified SAM with lam, x0 to the problem's start.

    Raises InputError for a negative gamma or rho, lam outside [0, 1], or an x0 of the wrong shape.
    """
    chosen = method or unified_sam()
    mixing = (
        chosen.lam
        if lam is None
        else read_schedule(str(lam) if isinstance(lam, float) else lam, argument="lam", high=1.0)
    )
    drawn = sampling or full(problem.n)
    if drawn.n != problem.n:
        raise InputError(f"the sampling has n = {drawn.n} components and the problem n = {problem.n}; they must agree")
    return Setting(
        problem=problem,
        sampling=drawn,
        method=chosen,
        gamma=read_schedule(gamma, argument="gamma"),
        rho=read_schedule(rho, argument="rho"),
        lam=mixing,
        x0=problem.start.copy() if x0 is None else as_vector(x0, argument="x0", size=problem.d),
    )


@dataclass(frozen=True)
class Facts:
    """The numbers a bound may read; it reads nothing else. All are dimensionless.

    mu: PL constant. L_f, L_max, L_avg, L_S: Lipschitz constants of grad f, of the worst grad f_i, their mean, and of
    the worst sampled grad f_v. A, B, C: expected-residual constants, from er_route. gap0: f(x_0) - f*. grad_norm2_0:
    ||grad f(x_0)||^2. gamma, rho, lam: schedules. deterministic: full batch or n = 1. quadratic: f is quadratic.
    least_probability: of the rarest event of the sampling. grades: of each named constant. n, d: components and
    dimension. spectrum: for quadratic f, the eigenvalues of its Hessian, largest first; else empty. bounded: f has a
    lower bound; gap0 is infinite where it has none. parameters: of the method, by name. stages: how many batch sizes
    the run goes through; every constant is that of the first. variance: the largest E||grad f_v(x) - grad f(x)||^2
    over all x, infinite where unbounded or unknown. strong_convexity: 0 where f is not
    strongly convex or no constant is known. hessian_lipschitz: infinite where none is known.
    distance2_0: ||x_0 - x*||^2, NaN without a known x*. convex: f is known to be convex. expected_smoothness, noise:
    see `theory.smoothness`. losses: of two data sets that differ in one example, what holds for every example on a ball
    that holds the run; None for other problems.
    """

    mu: float
    L_f: float
    L_S: float
    L_max: float
    L_avg: float
    A: float
    B: float
    C: float
    gap0: float
    grad_norm2_0: float
    gamma: Schedule
    rho: Schedule
    lam: Schedule
    deterministic: bool
    quadratic: bool
    sampling: str
    least_probability: float
    er_route: str
    grades: Mapping[str, Grade] = field(default_factory=dict)
    n: int = 1
    d: int = 1
    spectrum: tuple[float, ...] = ()
    bounded: bool = True
    parameters: Mapping[str, float] = field(default_factory=dict)
    stages: int = 1
    variance: float = math.inf
    distance2_0: float = math.nan
    convex: bool = False
    expected_smoothness: float = math.inf
    noise: float = math.nan
    losses: Losses | None = None
    strong_convexity: float = 0.0
    hessian_lipschitz: float = math.inf

    @property
    def L(self) -> float:
        """The one constant that the proofs of the Unified SAM theorems need for any sampling."""
        return max(self.L_f, self.L_S)

    @property
    def estimated(self) -> bool:
        """Some constant is only an estimate."""
        return weakest(*self.grades.values(), Grade.EXACT) is Grade.ESTIMATE

    def with_steps(self, gamma: float | Schedule, rho: float | Schedule, lam: float | Schedule | None = None) -> Facts:
        """The same facts with other step sizes."""
        mixing = self.lam if lam is None else lam
        as_schedule = [s if isinstance(s, Schedule) else constant(s) for s in (gamma, rho, mixing)]
        return replace(self, gamma=as_schedule[0], rho=as_schedule[1], lam=as_schedule[2])


def _losses(setting: Setting) -> Losses | None:
    if not isinstance(setting.problem, NeighbouringData):
        return None
    radius = setting.method.parameters.get("radius", math.inf)
    return setting.problem.losses(max(radius, float(np.linalg.norm(setting.x0))))


def facts_of(setting: Setting) -> Facts:
    """Take the facts from a setting. Raises InputError when the pair has no known ER constants."""
    problem, sampling = setting.problem, setting.sampling
    er = er_constants(problem, sampling)
    L_S = largest_smoothness(problem, sampling)
    smoothness, grade = problem.component_smoothness
    variance = largest_variance(problem, sampling)
    return Facts(
        mu=problem.mu.value,
        L_f=problem.L.value,
        L_S=L_S.value,
        L_max=float(np.max(smoothness)),
        L_avg=float(np.mean(smoothness)),
        A=er.A,
        B=er.B,
        C=er.C,
        gap0=problem.gap(setting.x0) if problem.bounded else math.inf,
        grad_norm2_0=float(np.sum(problem.gradient(setting.x0) ** 2)),
        gamma=setting.gamma,
        rho=setting.rho,
        lam=setting.lam,
        deterministic=setting.deterministic,
        quadratic=problem.quadratic,
        sampling=sampling.name,
        least_probability=sampling.least_probability,
        er_route=er.route,
        grades={
            "mu": problem.mu.grade,
            "L_f": problem.L.grade,
            "L_S": L_S.grade,
            "L_max": grade,
            "L_avg": grade,
            "A": er.grade,
            "B": er.grade,
            "C": er.grade,
            "variance": variance.grade,
        },
        n=problem.n,
        d=problem.d,
        spectrum=tuple(float(value) for value in problem.spectrum[::-1]),
        bounded=problem.bounded,
        parameters=setting.method.parameters,
        stages=1 + len(setting.sampling.later),
        variance=variance.value,
        strong_convexity=problem.strong_convexity,
        hessian_lipschitz=problem.hessian_lipschitz,
        distance2_0=math.nan if problem.minimiser is None else float(np.sum((setting.x0 - problem.minimiser) ** 2)),
        convex=is_convex(problem),
        expected_smoothness=expected_smoothness(problem, sampling).value,
        noise=noise(problem, sampling),
        losses=_losses(setting),
    )
