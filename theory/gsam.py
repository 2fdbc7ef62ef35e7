"""GSAM with changing step sizes and radii: what its claims share.

With g = grad f_v(x), u = g/||g|| and gp = grad f_v(x + rho u), the step is x+ = x - gamma (gp - alpha g_perp), where
g_perp = g - (<g, gp>/||gp||^2) gp. As g_perp = -P (gp - g) with P the projection off gp, the direction is g + e with
e = (I + alpha P)(gp - g), so that ||e|| <= c = max(1, |1 + alpha|) L_S rho whatever the direction of the perturbation:
alpha need not be small. One step then obeys, for gamma <= 1/L,

    E f(x+) <= f(x) - gamma/2 ||grad f(x)||^2 + gamma/2 c^2 + L gamma^2 sigma^2/(2 (1 - L gamma)),

sigma^2 the largest E||grad f_v - grad f||^2 (the batch is in v). All norms are Euclidean, all quantities dimensionless.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from problems.problem import Problem, Vector
from theory.claim import Claim, Curve, Hypothesis, Instance, Scale
from theory.families import Origin, finish, setting_of
from theory.samplings import Atom
from theory.schedules import Schedule, constant, read_schedule
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, NotMeasurable, Values

HARADA = (
    "H. Harada and H. Iiduka, Convergence of Sharpness-Aware Minimization Algorithms using Increasing Batch Size and "
    "Decaying Learning Rate, arXiv 2409.09984, 2024"
)
HARADA_NOTE = (
    "the abstract, the authors' code and reviews were read, not the theorems; statement and constants are ours"
)
ZHUANG = "J. Zhuang et al., Surrogate Gap Minimization Improves Sharpness-Aware Training, ICLR 2022"
ZHUANG_NOTE = (
    "the abstract, the code and the algorithm box were read, not the theorems; statement and constants are ours"
)

ZETA = 2.6123753486854883
"""zeta(3/2), the sum of t^(-3/2) over t = 1, 2, ..."""

UNAVAILABLE = "exact route not available: "


# -- the bound --


def amplification(facts: Facts) -> float:
    """max(1, |1 + alpha|): the norm of I + alpha P for a projection P."""
    return max(1.0, abs(1 + facts.parameters["alpha"]))


def perturbation(facts: Facts, rho: Curve | float) -> Curve | float:
    """c = max(1, |1 + alpha|) L_S rho."""
    return amplification(facts) * facts.L_S * rho


def noise(facts: Facts, gamma: Curve) -> Curve:
    """L gamma sigma^2/(1 - L gamma), 0 without noise also at gamma = 1/L; infinite beyond."""
    if facts.variance == 0:
        return np.zeros_like(gamma)
    with np.errstate(divide="ignore"):
        part = facts.L_f * gamma * facts.variance / np.maximum(1 - facts.L_f * gamma, 0.0)
    return np.asarray(part)


def floor_at(facts: Facts, gamma: Curve, rho: Curve | float, scale: Scale) -> Curve:
    """c_t^2 + L gamma_t sigma^2/(1 - L gamma_t): gamma_t/2 times it is what step t may add to f."""
    radius = scale.get("perturbation", 1.0) * np.asarray(perturbation(facts, rho)) ** 2
    return np.asarray(radius + scale.get("noise", 1.0) * noise(facts, gamma))


def step_bound(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    """f - f* - gamma/2 ||grad f||^2 + gamma/2 (c^2 + L gamma sigma^2/(1 - L gamma))."""
    gamma, rho = facts.gamma.at(t), facts.rho.at(t)
    return np.asarray(gap + gamma / 2 * (floor_at(facts, gamma, rho, scale) - scale.get("rate", 1.0) * norm2))


def suggest_steps(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """gamma = part/L without noise and part/(2 L) with it; rho = rho_part/L_S."""
    limit = 1.0 if facts.variance == 0 else 0.5
    return constant(part * limit / facts.L_f), constant(rho_part / facts.L_S)


GSAM_CONSTANTS = {
    "rate": "s times the weight of the gradients: how many times faster than claimed",
    "perturbation": "s times c^2, what the radius costs",
    "noise": "s times L gamma sigma^2/(1 - L gamma), what the noise costs",
}

FINITE_VARIANCE = Hypothesis(
    "largest variance of the sampled gradient",
    lambda f: f.variance,
    "<",
    lambda f: math.inf,
    "E||grad f_v(x) - grad f(x)||^2 is bounded over all x",
)
STEP_LIMIT = Hypothesis(
    "gamma", lambda f: f.gamma.largest, "<=", lambda f: 1 / f.L_f, "gamma_t <= 1/L at every t", step_limit=True
)
NOISY_STEP_LIMIT = Hypothesis(
    "gamma where there is noise",
    lambda f: f.gamma.largest if f.variance > 0 else 0.0,
    "<",
    lambda f: 1 / f.L_f,
    "gamma_t < 1/L at every t where the sampled gradient varies",
    step_limit=True,
)


# -- one step in NumPy, from its formulas --


class Parts(NamedTuple):
    """g, gp and g_perp at one point for one draw, each (d,)."""

    g: Vector
    gp: Vector
    perp: Vector


EVERYTHING = Atom(1.0, (), ())
"""Stands for v = 1."""


def sampled_gradient(problem: Problem, x: Vector, atom: Atom) -> Vector:
    """grad f_v(x) for one value of v."""
    return problem.gradient(x) if atom is EVERYTHING else problem.minibatch_gradient(x, atom.indices, atom.weights)


def parts(problem: Problem, x: Vector, rho: float, atom: Atom = EVERYTHING) -> Parts:
    """The two gradients of a step and what of the first is perpendicular to the second."""
    g = sampled_gradient(problem, x, atom)
    norm = float(np.linalg.norm(g))
    if norm == 0 or rho == 0:
        return Parts(g, g, np.zeros_like(g))
    gp = sampled_gradient(problem, x + rho / norm * g, atom)
    size2 = float(gp @ gp)
    return Parts(g, gp, g if size2 == 0 else g - float(g @ gp) / size2 * gp)


def atoms_of(setting: Setting, most: int) -> list[Atom]:
    """Every value of v; NotMeasurable where there are more than `most`."""
    if setting.deterministic:
        return [EVERYTHING]
    if setting.sampling.atom_count() > most:
        raise NotMeasurable(f"{UNAVAILABLE}more than {most} values of v")
    return list(setting.sampling.atoms())


MOST_LEAVES = 600
LONGEST_PATH = 200


class Level(NamedTuple):
    """Where the paths are at one time: their probabilities (P,) and places (P, d)."""

    probabilities: Values
    points: Values


def enumerated(setting: Setting, steps: int) -> list[Level]:
    """Every path of the first steps, as many as stay below MOST_LEAVES; NotMeasurable where two steps do not."""
    atoms = atoms_of(setting, MOST_LEAVES)
    depth = LONGEST_PATH if len(atoms) == 1 else int(math.log(MOST_LEAVES) / math.log(len(atoms)))
    depth = min(depth, steps)
    if depth < min(2, steps):
        raise NotMeasurable(f"{UNAVAILABLE}{len(atoms)} values of v make too many paths")
    problem, alpha = setting.problem, setting.method.parameters["alpha"]
    levels = [Level(np.ones(1), setting.x0[None, :].copy())]
    for t in range(depth):
        gamma, rho = float(setting.gamma.at(t)), float(setting.rho.at(t))
        chances, places = [], []
        for chance, x in zip(*levels[-1], strict=True):
            for atom in atoms:
                _, gp, perp = parts(problem, x, rho, atom)
                chances.append(chance * atom.probability)
                places.append(x - gamma * (gp - alpha * perp))
        levels.append(Level(np.array(chances), np.array(places)))
    return levels


def step_rounding(setting: Setting, facts: Facts, points: Values) -> Values:
    """How far rounding moves a computed step from each of these points (..., d).

    A gradient carries some (d + n + 8) sqrt(d) roundings of its terms L (|x| + |x*| + rho) + |grad f_v(x*)|, a step a
    few of x, and g_perp those of g and gp again.
    """
    problem = setting.problem
    place = np.linalg.norm(points, axis=-1) + float(np.linalg.norm(problem.centre))
    count = (problem.d + problem.n + 8) * math.sqrt(problem.d)
    slope = facts.L_S * (place + facts.rho.largest) + math.sqrt(facts.variance if facts.variance < math.inf else 0.0)
    size = 1 + 2 * abs(facts.parameters["alpha"])
    return np.asarray(4 * EPS * (place + facts.gamma.largest * size * count * slope))


def moved(setting: Setting, points: Values, lab: Lab, *, alpha: float, t: int = 0) -> Values:
    """One full-batch step of the compiled rule with another alpha, from each row of points (P, d)."""
    data = setting.method.data._replace(alpha=float(alpha))
    return lab.step(replace(setting, method=replace(setting.method, data=data)), points, t=t)


# -- instances --


def scheduled(
    claim: Claim,
    problem: str,
    sampling: str = "full",
    *,
    gamma: str | float,
    rho: str | float = 0.0,
    alpha: str | float = 0.1,
    x0: str | None = None,
    steps: int,
    origin: Origin = "synthetic",
) -> Instance:
    """An instance from SPECs, schedules among them."""
    setting = setting_of(claim, problem, sampling, x0=x0, method=f"gsam:alpha={alpha}")
    setting = setting.with_steps(gamma=read_schedule(gamma, argument="gamma"), rho=read_schedule(rho, argument="rho"))
    return finish(problem, sampling, setting, steps, x0, origin)


ALPHAS = ("-1", "0", "0.02", "0.1", "0.5", "1", "2")


def any_schedule(rng: np.random.Generator, top: float, steps: int) -> str:
    """A step size that starts at `top`: constant, or falling over `steps` steps."""
    start = f"{top:.3g}"
    choices = [
        start,
        f"cosine:start={start},end={top / 100:.3g},steps={steps}",
        f"linear:start={start},steps={steps}",
        f"polynomial:start={start},power=2,steps={steps}",
        f"inverse-sqrt:start={start}",
    ]
    return str(rng.choice(choices))


def any_radius(rng: np.random.Generator) -> str:
    """A radius, constant or falling like 1/sqrt t."""
    start = f"{rng.choice([0.02, 0.1, 0.5]):g}"
    return str(rng.choice([start, f"inverse-sqrt:start={start}"]))


def same_curvatures(rng: np.random.Generator, *, least: float = 0.05, smallest_d: int = 1) -> tuple[str, int]:
    """The SPEC of a sum of quadratics with one Hessian, mu >= least and L = 1, and random slopes, so that the variance
    is constant; and n."""
    n, d = int(rng.integers(2, 5)), int(rng.integers(smallest_d, 4))
    h = [1.0, *(round(float(value), 3) for value in rng.uniform(least, 1, d - 1))]
    slopes = np.round(rng.standard_normal((d, n)) * 10 ** rng.uniform(-1, 0.5), 3)
    rows = "@".join("/".join([f"{value:g}"] * n) for value in h)
    return f"parabolas:h={rows},slopes={written(slopes)}", n


def cosines(rng: np.random.Generator, *, noisy: bool) -> tuple[str, int]:
    """The SPEC of a sum of cosines, L = 1, with random slopes where `noisy`; and n."""
    n, d = int(rng.integers(2, 5)) if noisy else 1, int(rng.integers(1, 4))
    w = "/".join(["1", *(f"{value:.3g}" for value in rng.uniform(0.1, 1, d - 1))])
    slopes = np.round(rng.standard_normal((d, n)), 3)
    return f"cosine-sum:w={w}" + (f",slopes={written(slopes)}" if noisy else ""), n


def written(rows: Values) -> str:
    """A matrix as a SPEC has it."""
    return "@".join("/".join(f"{value:g}" for value in row) for row in rows)


def balanced_sampling(rng: np.random.Generator, n: int) -> str:
    """The SPEC of a sampling whose weights sum to n in every draw, so that a common Hessian brings no variance."""
    kind = str(rng.choice(["uniform", "tau-nice", "replacement", "partition"]))
    if kind == "uniform":
        return kind
    if kind == "partition":
        return f"partition:blocks={rng.integers(2, n + 1)}"
    return f"{kind}:tau={rng.integers(1, n) if kind == 'tau-nice' else rng.integers(1, n + 1)}"
