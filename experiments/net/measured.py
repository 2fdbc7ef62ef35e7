"""A network as what claims speak of: a problem, a setting, and facts whose constants are measured, hence estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.func import vmap

from experiments.engine.run import Progress
from problems.errors import InputError
from problems.problem import Constant, Grade, Problem, Vector
from theory.methods.method import Method
from theory.samplings import Sampling
from theory.setting import Facts, Setting, make_setting
from theory.trial import Values

from .batches import draw_batches
from .curvature import eigenpairs, smoothness_along
from .noise import covering_constants, measure
from .objective import Objective
from .rules import Gradient, rule_of


class NoKernels(NamedTuple):
    """A network has no compiled kernels: nothing of the engine runs on it."""

    d: float


class NetworkProblem(Problem):
    """f of an `Objective`, in float64 NumPy.

    f* is not known; `infimum`, a lower bound of it, stands in its place (0 for both losses with reg >= 0), so that
    every suboptimality here is an upper bound. L is an estimate.
    """

    def __init__(self, objective: Objective, *, name: str, L: float, infimum: float = 0.0) -> None:
        self.objective, self.infimum = objective, infimum
        super().__init__(
            name=name, data=NoKernels(float(objective.d)), n=objective.n, d=objective.d,
            L=Constant(L, Grade.ESTIMATE), mu=Constant(0.0, Grade.BOUND), start=_numpy(objective.start),
            minimiser=None, convex_components=False,
        )  # fmt: skip

    def value(self, x: ArrayLike) -> float:
        return float(self.objective.value(self._tensor(x)))

    def gradient(self, x: ArrayLike) -> Vector:
        return _numpy(self.objective.gradient(self._tensor(x)))

    def minibatch_gradient(self, x: ArrayLike, indices: ArrayLike, weights: ArrayLike) -> Vector:
        chosen, factors = torch.as_tensor(np.asarray(indices)), torch.as_tensor(np.asarray(weights, dtype=np.float64))
        point = self._tensor(x)
        return _numpy(self.objective.minibatch_gradient(point, chosen.to(point.device), factors.to(point)))

    def gap(self, x: ArrayLike) -> float:
        return self.value(x) - self.infimum

    @property
    def component_smoothness(self) -> tuple[Vector, Grade]:
        """Every L_i at least L, of which nothing else is known."""
        return np.full(self.n, self.L.value), Grade.ESTIMATE

    @property
    def component_gaps(self) -> tuple[Vector, Grade]:
        return np.full(self.n, np.inf), Grade.BOUND

    def _tensor(self, x: ArrayLike) -> Tensor:
        return torch.as_tensor(np.asarray(x, dtype=np.float64)).to(self.objective.start)


def _numpy(x: Tensor) -> Vector:
    return np.array(x.detach().double().cpu().numpy(), order="C")


@dataclass(frozen=True)
class Constants:
    """Measured at points of trajectories, so that each may be too small. L, L_S: largest |eigenvalue| of the Hessian of
    f, and of those of some sampled f_v = (1/n) sum v_i f_i. variance: the largest E||grad f_v - grad f||^2. A, B, C:
    the tightest expected-residual constants that hold at the points. points: how many."""

    L: float
    L_S: float
    variance: float
    A: float
    B: float
    C: float
    points: int


BATCHES = 4
"""Sampled functions whose curvature is looked at, at each of a few points."""


def measured_constants(
    objective: Objective, points: Sequence[Tensor], sampling: Sampling, *, seed: int = 0
) -> Constants:
    """The constants at these points (each (d,)), with the infimum 0. Raises InputError for no points."""
    if not points:
        raise InputError("points must be at least one, got none")
    L = smoothness_along(objective, points).L.value
    noise = measure(objective, points, sampling)
    fitted = covering_constants(noise)
    L_S = L
    if not sampling.is_full:
        drawn = draw_batches(sampling, seeds=np.array([seed]), replicates=np.array([0]), first=0, last=BATCHES)
        for indices, weights in zip(drawn.indices[0], drawn.weights[0], strict=True):
            part, factor = _sampled(objective, indices, weights)
            for x in (points[0], points[len(points) // 2], points[-1]):
                found = eigenpairs(part, x, end="magnitude", tolerance=1e-4).values[0]
                L_S = max(L_S, factor * float(found.abs()))
    return Constants(L, L_S, float(noise.variance.max()), fitted.A, fitted.B, fitted.C, len(points))


def _sampled(objective: Objective, indices: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[Objective, float]:
    """f_v as an objective on the drawn examples, and what that is to be multiplied by: (1/n) sum of the weights."""
    if not np.allclose(weights, weights[0], rtol=1e-12, atol=0):
        raise InputError(
            "sampling must weigh the examples of one batch alike for L_S to be measured, got other weights"
        )
    chosen = torch.as_tensor(indices, device=objective.inputs.device)
    part = Objective(
        objective.model, objective.inputs[chosen], objective.targets[chosen], loss=objective.loss, reg=objective.reg
    )
    return part, float(weights.sum()) / objective.n


def network_setting(
    problem: NetworkProblem,
    *,
    sampling: Sampling,
    method: Method,
    gamma: float,
    rho: float,
    lam: float | None = None,
    x0: Tensor | None = None,
) -> Setting:
    """A setting of the catalogue on a network; x0 defaults to where the model stands."""
    start = None if x0 is None else _numpy(x0)
    return make_setting(problem, sampling=sampling, method=method, gamma=gamma, rho=rho, lam=lam, x0=start)


def network_facts(setting: Setting, constants: Constants) -> Facts:
    """What a bound may read of a network; every measured constant is graded `estimate`.

    L_max and L_avg, over single examples, are not measured and infinite: no bound that reads them holds by mistake.
    """
    problem = setting.problem
    names = ("L_f", "L_S", "L_max", "L_avg", "A", "B", "C", "variance")
    return Facts(
        mu=0.0, L_f=constants.L, L_S=constants.L_S, L_max=np.inf, L_avg=np.inf, A=constants.A,
        B=constants.B, C=constants.C, gap0=problem.gap(setting.x0),
        grad_norm2_0=float(np.sum(problem.gradient(setting.x0) ** 2)), gamma=setting.gamma, rho=setting.rho,
        lam=setting.lam, deterministic=setting.deterministic, quadratic=False, sampling=setting.sampling.name,
        least_probability=setting.sampling.least_probability, er_route=f"the tightest at {constants.points} points",
        grades={"mu": Grade.BOUND, **dict.fromkeys(names, Grade.ESTIMATE)}, n=problem.n, d=problem.d,
        parameters=setting.method.parameters, variance=constants.variance,
    )  # fmt: skip


@dataclass
class NetworkLab:
    """What `theory.trial.Lab` asks for, measured on networks: copies of a run side by side in one program."""

    objective: Objective
    replicates: range = range(1)
    seed: int = 0
    progress: Progress = field(default_factory=Progress)

    def iterates(self, setting: Setting, times: Sequence[int] | NDArray[np.int64]) -> Values:
        """x_t of each copy at these sorted times, shape (copies, times, d)."""
        wanted = np.asarray(times, dtype=np.int64)
        copies = range(1) if setting.deterministic else self.replicates
        S, like = len(copies), self.objective.start
        x = torch.as_tensor(setting.x0).to(like).expand(S, -1).clone()
        rule, alpha = rule_of(setting.method), setting.method.parameters.get("alpha")
        weight = None if alpha is None else torch.as_tensor(alpha, dtype=like.dtype, device=like.device)
        gradient: Gradient = vmap(self.objective.gradient)
        found: list[Values] = []
        for t in range(int(wanted[-1]) + 1):
            found += [_numpy(x)] * int((wanted == t).sum())
            if t == wanted[-1] or self.progress.stopped:
                break
            if not setting.deterministic:
                drawn = draw_batches(
                    setting.sampling, seeds=np.full(S, self.seed), replicates=np.array(copies), first=t, last=t + 1
                )
                gradient = self._sampled(
                    torch.as_tensor(drawn.indices[:, 0]).to(like.device), torch.as_tensor(drawn.weights[:, 0]).to(like)
                )
            sizes = [
                torch.full((S,), float(s.at(t)), dtype=like.dtype, device=like.device)
                for s in (setting.gamma, setting.rho, setting.lam)
            ]
            x = rule(gradient, x, gamma=sizes[0], rho=sizes[1], lam=sizes[2], alpha=weight).x
        return np.stack(found, axis=1)

    def _sampled(self, indices: Tensor, weights: Tensor) -> Gradient:
        mapped = vmap(self.objective.minibatch_gradient)
        return lambda x: mapped(x, indices, weights)

    def step(self, setting: Setting, points: Values, *, t: int = 0) -> Values:
        """One full-batch step at time t from each row of points (P, d)."""
        like = self.objective.start
        x = torch.as_tensor(points).to(like)
        sizes = [
            torch.full((len(x),), float(s.at(t)), dtype=like.dtype, device=like.device)
            for s in (setting.gamma, setting.rho, setting.lam)
        ]
        alpha = setting.method.parameters.get("alpha")
        weight = None if alpha is None else torch.as_tensor(alpha, dtype=like.dtype, device=like.device)
        moved = rule_of(setting.method)(
            vmap(self.objective.gradient), x, gamma=sizes[0], rho=sizes[1], lam=sizes[2], alpha=weight
        )
        return _numpy(moved.x)

    def values(self, setting: Setting, points: Values) -> tuple[Values, Values]:
        """f - infimum and ||grad f||^2 at each row of points (P, d), a block of rows at a time."""
        gaps, norms = [], []
        for first in range(0, len(points), ROWS):
            x = torch.as_tensor(points[first : first + ROWS]).to(self.objective.start)
            gaps.append(_numpy(vmap(self.objective.value)(x)))
            norms.append(_numpy(vmap(self.objective.gradient)(x).square().sum(dim=1)))
        infimum = getattr(setting.problem, "infimum", 0.0)
        return np.concatenate(gaps) - infimum, np.concatenate(norms)


ROWS = 256
"""Networks whose values are taken at once."""
