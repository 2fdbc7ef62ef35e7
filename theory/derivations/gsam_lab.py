"""The trials of GSAM's claims at one point, in NumPy: what the code states there, for comparison with a derivation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from problems.problem import problems
from theory.derivations.still_lab import Still
from theory.gsam import parts
from theory.methods.method import methods
from theory.samplings import samplings
from theory.setting import Facts, Setting, facts_of, make_setting
from theory.trial import Measuring, Trial, Values


class StandingLab(Still):
    """A lab whose runs stay at x_0, so that the first entry of a trial is about x_0; its steps and values are real."""

    def step(self, setting: Setting, points: Values, *, t: int = 0) -> Values:
        gamma, rho = float(setting.gamma.at(t)), float(setting.rho.at(t))
        alpha = setting.method.data.alpha
        found = [parts(setting.problem, x, rho) for x in points]
        return np.array([x - gamma * (p.gp - alpha * p.perp) for x, p in zip(points, found, strict=True)])

    def values(self, setting: Setting, points: Values) -> tuple[Values, Values]:
        problem = setting.problem
        squares = np.array([float(np.sum(problem.gradient(x) ** 2)) for x in points])
        return np.array([problem.gap(x) for x in points]), squares


def setting_at(
    problem: str, x0: Sequence[float], point: Mapping[str, float], *, sampling: str = "full"
) -> tuple[Setting, Facts]:
    """GSAM on the problem of a SPEC from x0, with gamma, rho and alpha of the point (0.5, 0 and 0.1 unless there)."""
    made = problems.build(problem)
    setting = make_setting(
        made,
        sampling=samplings.build(sampling, problem=made),
        method=methods.build(f"gsam:alpha={point.get('alpha', 0.1)!r}"),
        gamma=point.get("gamma", 0.5),
        rho=point.get("rho", 0.0),
        x0=np.array(x0, dtype=float),
    )
    return setting, facts_of(setting)


def trial_at(
    trial: Measuring, problem: str, x0: Sequence[float], point: Mapping[str, float], *, sampling: str = "full"
) -> Trial:
    """A trial at x0."""
    setting, facts = setting_at(problem, x0, point, sampling=sampling)
    return trial(setting, facts, 1, StandingLab())


def on_diagonal(trial: Measuring, point: Mapping[str, float]) -> Trial:
    """A trial on f = (h1 x1^2 + h2 x2^2)/2 at (x1, x2)."""
    return trial_at(trial, f"spectrum:h={point['h1']!r}/{point['h2']!r}", (point["x1"], point["x2"]), point)


def diagonal_points(*curvatures: tuple[float, float]) -> list[dict[str, float]]:
    """h1, h2, x1, x2, rho, gamma and alpha, one point for each pair of curvatures; L and mu their extremes."""
    rng = np.random.default_rng(0)
    return [
        {
            "h1": h1, "h2": h2, "x1": float(rng.uniform(0.1, 2)), "x2": float(rng.uniform(-2, -0.1)),
            "rho": float(rng.uniform(0.1, 1)), "gamma": float(rng.uniform(0.1, 0.9)), "alpha": float(rng.uniform(0, 2)),
            "L": max(abs(h1), abs(h2)), "mu": min(h1, h2),
        }
        for h1, h2 in curvatures
    ]  # fmt: skip


def gradients(point: Mapping[str, float]) -> tuple[Values, Values]:
    """g and p of such a point, from the formula of the quadratic."""
    h, x = np.array([point["h1"], point["h2"]]), np.array([point["x1"], point["x2"]])
    g = h * x
    return g, h * (x + point["rho"] / np.linalg.norm(g) * g)
