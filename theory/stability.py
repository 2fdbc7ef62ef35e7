"""Uniform stability of SGD: two data sets that differ in one of n examples, run with the same indices.

S and S' give w_t and w'_t from one start, delta_t = ||w_t - w'_t||, and for L-Lipschitz losses

    eps_stab = sup over z of E[l(w_T; z) - l(w'_T; z)] <= L E delta_T,

which bounds the expected generalisation gap. Two routes measure it. Coupled runs of the compiled engine draw the
indices; `every_pair` follows all index sequences of a short horizon by the losses' own gradients, without sampling and
without the engine. Norms are Euclidean, all quantities dimensionless; t = 0, 1, ... counts steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from problems.problem import Problem, Vector
from problems.stability import Losses, NeighbouringData
from theory.claim import Hypothesis
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, Scale, Trial, Values

PAPER = (
    "M. Hardt, B. Recht and Y. Singer, Train faster, generalize better: Stability of stochastic gradient descent, 2016"
)
NOT_READ = "the well-known statement, recalled and not read in the paper; proof and constants derived here"

NEIGHBOURS = Hypothesis(
    "a problem with a neighbour (1: yes)",
    lambda f: float(f.losses is not None),
    "=",
    lambda f: 1.0,
    "the problem names a neighbouring data set, which differs in one example",
)
TWO_EXAMPLES = Hypothesis("n", lambda f: f.n, ">=", lambda f: 2.0, "there are at least two examples")
UNIFORM = Hypothesis(
    "uniform sampling (1: yes)",
    lambda f: float(f.sampling == "uniform"),
    "=",
    lambda f: 1.0,
    "each step draws one example, uniformly",
)
LIPSCHITZ = Hypothesis(
    "Lipschitz constant of the losses",
    lambda f: losses_of(f).lipschitz,
    "<",
    lambda f: math.inf,
    "every loss is Lipschitz where the run can be",
)
CONVEX_LOSSES = Hypothesis(
    "convexity of the losses", lambda f: losses_of(f).convexity, ">=", lambda f: 0.0, "every loss is convex"
)
STRONGLY_CONVEX_LOSSES = Hypothesis(
    "mu of the losses", lambda f: losses_of(f).convexity, ">", lambda f: 0.0, "every loss is mu-strongly convex"
)
COUPLED = (NEIGHBOURS, TWO_EXAMPLES, UNIFORM, LIPSCHITZ)

UNKNOWN = Losses(math.nan, math.nan, math.nan, math.nan, math.nan)


def losses_of(facts: Facts) -> Losses:
    """The constants of the losses, NaN where the problem has no neighbour."""
    return UNKNOWN if facts.losses is None else facts.losses


def expansion(step: float, smoothness: float, convexity: float, scale: Scale) -> float:
    """The Lipschitz constant of w -> w - gamma grad f(w), beta = smoothness and mu = convexity:

    1 + gamma beta; for convex f and gamma beta <= 2: 1; for mu > 0: 1 - gamma mu while gamma beta <= 1, and
    1 - gamma beta mu/(beta + mu) while gamma (beta + mu) <= 2.
    """
    if convexity > 0 and step * (smoothness + convexity) <= 2:
        rate = convexity if step * smoothness <= 1 else smoothness * convexity / (smoothness + convexity)
        return 1 - scale.get("contraction", 1.0) * step * rate
    if convexity >= 0 and step * smoothness <= 2:
        return 1.0
    return 1 + scale.get("expansion", 1.0) * step * smoothness


def pair_of(setting: Setting) -> tuple[NeighbouringData, Problem, Problem]:
    """What the setting's problem says about its losses, the problem itself and its neighbour."""
    data, problem = setting.problem, setting.problem
    assert isinstance(data, NeighbouringData)
    return data, problem, data.neighbour


def beside(setting: Setting) -> Setting:
    """The same run on the neighbouring data set."""
    return replace(setting, problem=pair_of(setting)[2])


# -- all index sequences --

MOST_GRADIENTS = 1500
"""Gradients that one step of the enumeration may take."""


@dataclass(frozen=True)
class Pairs:
    """All pairs (w_t, w'_t), each shape (P, d), with their probabilities (P,)."""

    chances: Values
    left: Values
    right: Values

    @property
    def distances(self) -> Values:
        """||w_t - w'_t||, shape (P,)."""
        return np.asarray(np.linalg.norm(self.left - self.right, axis=1))


def stepper(setting: Setting, t: int) -> Callable[[Problem, int, Vector], Vector]:
    """(problem, i, w) -> one (projected) step on example i from w at time t."""
    gamma, radius = float(setting.gamma.at(t)), setting.method.parameters.get("radius", math.inf)

    def step(problem: Problem, i: int, w: Vector) -> Vector:
        moved = w - gamma * problem.sample_gradient(i, w)
        size = math.sqrt(float(moved @ moved))
        return np.asarray(moved / size * radius if size > radius else moved)

    return step


def every_pair(setting: Setting, steps: int) -> list[Pairs]:
    """The pairs at t = 0, 1, ..., as far as MOST_GRADIENTS lets them be followed, at most to `steps`; examples of one
    kind, and pairs that are equal bit for bit, are taken together."""
    data, problem, neighbour = pair_of(setting)
    examples, counts = data.kinds
    d = problem.d
    found = [Pairs(np.ones(1), setting.x0[None, :], setting.x0[None, :])]
    for t in range(steps):
        last = found[-1]
        if 2 * len(examples) * len(last.chances) > MOST_GRADIENTS:
            break
        step = stepper(setting, t)
        moved = [
            np.concatenate([step(problem, i, w), step(neighbour, i, other)])
            for w, other in zip(last.left, last.right, strict=True)
            for i in examples
        ]
        weights = np.outer(last.chances, counts / problem.n).ravel()
        unique, inverse = np.unique(np.array(moved), axis=0, return_inverse=True)
        chances = np.bincount(inverse.ravel(), weights=weights, minlength=len(unique))
        found.append(Pairs(np.asarray(chances, dtype=np.float64), unique[:, :d], unique[:, d:]))
    return found


# -- trials --

Bound = Callable[[Facts, Values], Values]
"""(facts, t) -> the claimed bound of eps_stab at times t."""


def _scaled(values: Values) -> Callable[[Scale], Values]:
    return lambda scale: np.asarray(scale.get("bound", 1.0) * values)


def _floor(setting: Setting, facts: Facts, pairs: list[Pairs], bound: Values) -> Values:
    """The rounding of L E delta_t: t steps, each of some products and sums as large as the iterates, kept or grown."""
    losses, d = losses_of(facts), setting.problem.d
    far = float(max(np.abs(part).max() for each in pairs for part in (each.left, each.right)))
    t = np.arange(1, len(pairs))
    steps = setting.gamma.at(t - 1)
    grown = np.ones(len(t)) if losses.convexity >= 0 else np.cumprod(1 + steps * losses.smoothness)
    one = (4 * d + 16) * EPS * (far + steps * losses.lipschitz)
    return np.asarray(losses.lipschitz * t * grown * one + EPS * (64 + t) * bound)


def coupled_runs(bound: Bound, *, cap: float = math.inf) -> Callable[[Setting, Facts, int, Lab], Trial]:
    """L delta_t, or `cap` where that is less, for each copy of the coupled runs: its mean is at least eps_stab."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        times = np.unique([max(steps // 4, 1), max(steps // 2, 1), steps])
        apart = np.linalg.norm(lab.iterates(setting, times) - lab.iterates(beside(setting), times), axis=2)
        values = np.minimum(losses_of(facts).lipschitz * apart, cap)
        at = times.astype(np.float64)
        return Trial("coupled runs", at, np.asarray(values), _scaled(bound(facts, at)), np.zeros(len(at)))

    return measure


def index_sequences(bound: Bound, *, cap: float = math.inf) -> Callable[[Setting, Facts, int, Lab], Trial]:
    """The mean of the same over all index sequences, exactly, at the first few t."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        pairs = every_pair(setting, steps)
        lipschitz = losses_of(facts).lipschitz
        means = [float(each.chances @ np.minimum(lipschitz * each.distances, cap)) for each in pairs[1:]]
        at = np.arange(1, len(pairs), dtype=np.float64)
        right = bound(facts, at)
        return Trial("every index sequence", at, np.array(means), _scaled(right), _floor(setting, facts, pairs, right))

    return measure


def over_examples(bound: Bound) -> Callable[[Setting, Facts, int, Lab], Trial]:
    """max over z in S and S' of |E[l(w_t; z) - l(w'_t; z)]| over all index sequences: eps_stab from below."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        pairs = every_pair(setting, steps)
        last, (data, problem, neighbour) = pairs[-1], pair_of(setting)
        examples = [(problem, int(i)) for i in data.kinds[0]] + [(neighbour, data.flip)]
        apart = last.distances > 0
        chances, left, right = last.chances[apart], last.left[apart], last.right[apart]
        means = [
            abs(
                math.fsum(
                    p * (where.component_value(i, w) - where.component_value(i, other))
                    for p, w, other in zip(chances, left, right, strict=True)
                )
            )
            for where, i in examples
        ]
        at = np.array([float(len(pairs) - 1)])
        stated = bound(facts, at)
        floor = _floor(setting, facts, pairs, np.repeat(stated, len(pairs) - 1))[-1:]
        return Trial("largest over the examples", at, np.array([max(means)]), _scaled(stated), floor)

    return measure


def trials_of(bound: Bound, *, cap: float = math.inf) -> dict[str, Callable[[Setting, Facts, int, Lab], Trial]]:
    """The three ways in which a bound of eps_stab is measured."""
    return {
        "coupled runs": coupled_runs(bound, cap=cap),
        "index sequences": index_sequences(bound, cap=cap),
        "examples": over_examples(bound),
    }
