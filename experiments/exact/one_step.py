"""Exact expectations after one step from any point, and of ||grad f_v||^2 at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.engine.run import evaluate, one_step
from theory.samplings import Atom, listed
from theory.setting import Setting

from .linear import UNAVAILABLE, Family, unavailable

MOST_ATOMS = 20_000
MOST_WORK = 3e9
"""Multiplications that enumeration may cost; beyond, fewer points are tried, and below 3 points none."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class OneStep:
    """Exact one-step expectations at P points, each of shape (P,).

    t: step numbers. gap, norm2: f - f* and ||grad f||^2 before. next_gap: E gap after. distance: to x*. second_moment:
    E||grad f_v||^2, where v was enumerated. route: `enumeration` or `moments`. terms: how many numbers each expectation
    adds up.
    """

    t: NDArray[np.int64]
    gap: Values
    norm2: Values
    next_gap: Values
    distance: Values
    second_moment: Values | None
    route: str
    terms: int


def one_step_expectations(setting: Setting, points: Values, t: NDArray[np.int64]) -> OneStep | str:
    """Take one step with gamma_t, rho_t, lam_t from each point, shape (P, d), in expectation over v.

    By enumerating v where it has few values; else from its second moments where the update is linear. A clause where
    neither is possible. Where enumeration is dear only the first points are taken.
    """
    sampling = setting.sampling
    if sampling.atom_count() > MOST_ATOMS:
        return _by_moments(setting, points, t)
    atoms = list(sampling.atoms())
    work = len(atoms) * setting.problem.n * setting.problem.d
    count = int(min(len(points), MOST_WORK // max(work, 1)))
    if count < min(3, len(points)):
        return f"{UNAVAILABLE}{len(atoms)} values of v on a problem of this size"
    points, t = points[:count], t[:count]
    probabilities = np.array([atom.probability for atom in atoms])
    sampled = listed(atoms, setting.problem.n)
    rows = []
    for point, step in zip(points, t, strict=True):
        run = one_step(
            setting, sampled, np.tile(point, (len(atoms), 1)),
            gamma=float(setting.gamma.at(step)), rho=float(setting.rho.at(step)), lam=float(setting.lam.at(step)),
        )  # fmt: skip
        rows.append((probabilities @ run.gap[:, 0], probabilities @ run.sums[:, 0]))
    gap, norm2 = evaluate(setting, points)
    next_gap, second = np.array(rows).T
    return OneStep(t, gap, norm2, next_gap, _distance(setting, points), second, "enumeration", len(atoms))


def _distance(setting: Setting, points: Values) -> Values:
    return np.asarray(np.linalg.norm(points - setting.problem.centre, axis=1))


def _by_moments(setting: Setting, points: Values, t: NDArray[np.int64]) -> OneStep | str:
    if unavailable(setting) is not None:
        return f"{UNAVAILABLE}more than {MOST_ATOMS} values of v"
    family = Family(setting)
    H = family.hessian
    next_gap = np.empty(len(points))
    for k, (point, step) in enumerate(zip(points, t, strict=True)):
        gamma = float(setting.gamma.at(step))
        update = family.at(float(setting.rho.at(step)) if family.radius else 0.0)
        z = point - setting.problem.centre
        centred = update.second(np.outer(z, z)) + update.cross(z) + update.cross(z).T + update.noise
        slope = update.mean_M @ z + update.mean_h
        next_gap[k] = 0.5 * z @ H @ z - gamma * z @ H @ slope + 0.5 * gamma**2 * np.sum(H * centred)
    gap, norm2 = evaluate(setting, points)
    return OneStep(t, gap, norm2, next_gap, _distance(setting, points), None, "moments", setting.problem.n)


def second_moments_at(setting: Setting, points: Values) -> Values:
    """E||grad f_v(x)||^2 at each point, shape (P,), from E v_i v_j alone: any problem, any sampling, no enumeration.

    (1/n^2) [sum_i diagonal_i ||grad f_i||^2 + sum_B weight_B ||sum_{i in B} grad f_i||^2] + common ||grad f||^2, each
    norm taken by the compiled gradient: n gradients a point.
    """
    moment, n = setting.sampling.moment, setting.problem.n
    atoms = [Atom(1.0, (i,), (float(n),)) for i in range(n)]
    weights = list(moment.diagonal / n**2)
    if moment.blocks is not None and moment.block_weights is not None:
        for label, weight in enumerate(moment.block_weights):
            members = tuple(int(i) for i in np.flatnonzero(moment.blocks == label))
            atoms.append(Atom(1.0, members, (float(n),) * len(members)))
            weights.append(weight / n**2)
    sampled = listed(atoms, n)
    factors = np.array(weights)
    _, norm2 = evaluate(setting, points)
    totals = [
        factors @ one_step(setting, sampled, np.tile(point, (len(atoms), 1)), gamma=0.0, rho=0.0, lam=0.0).sums[:, 0]
        for point in points
    ]
    return np.asarray(totals + moment.common * norm2)
