"""What GSAM's extra direction does to first order, and how long it can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.gsam_band import SOME_RADIUS, scattered
from theory.dynamics import ALL_NORMALISED
from theory.gsam import (
    ALPHAS,
    ZHUANG,
    ZHUANG_NOTE,
    any_radius,
    any_schedule,
    atoms_of,
    balanced_sampling,
    cosines,
    moved,
    parts,
    same_curvatures,
    scheduled,
    step_rounding,
    suggest_steps,
)
from theory.setting import Facts, Setting
from theory.trial import Lab, Scale, Trial, Values
from theory.unified_sam import POSITIVE_GAMMA

MOST_ATOMS = 64


class _Looked:
    """Both gradients, g_perp and the compiled steps with and without alpha, from scattered points, full batch.

    rounding: of a step, (P,). turned: what a wrong direction of the perturbation adds to gp, (P,).
    """

    def __init__(self, setting: Setting, facts: Facts, steps: int, lab: Lab) -> None:
        points = scattered(setting, min(steps, 50), lab)
        problem, self.rho = setting.problem, float(facts.rho.at(0))
        self.gamma, self.alpha = float(facts.gamma.at(0)), facts.parameters["alpha"]
        found = [parts(problem, x, self.rho) for x in points]
        # Where g or gp are only rounding, their directions are anything.
        sizes = np.array([min(np.linalg.norm(p.g), np.linalg.norm(p.gp)) for p in found])
        kept = sizes > 1e-9 * facts.L_f * (np.linalg.norm(points, axis=1) + self.rho)
        self.points = points[kept]
        self.g, self.gp, self.perp = (
            np.array([part for part, keep in zip(column, kept, strict=True) if keep])
            for column in zip(*found, strict=True)
        )
        self.with_alpha = lab.step(setting, self.points)
        self.without = moved(setting, self.points, lab, alpha=0.0)
        norms = np.linalg.norm(self.g, axis=1)
        rounding = step_rounding(setting, facts, self.points)
        self.rounding = rounding * (1 + facts.L_f * self.rho / norms) * (1 + norms / np.linalg.norm(self.gp, axis=1))

    def trial(self, route: str, measured: Values, stated: Values, error: Values) -> Trial:
        return Trial(route, np.arange(len(measured), dtype=float), measured, lambda scale: stated, error, "=")


def descent(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """<gp, x - x+> = gamma ||gp||^2 whatever alpha: the compiled step against NumPy's gradient."""
    seen = _Looked(setting, facts, steps, lab)
    measured = np.einsum("pd,pd->p", seen.gp, seen.points - seen.with_alpha)
    squares = (seen.gp**2).sum(axis=1)
    return seen.trial("compiled steps", measured, seen.gamma * squares, 2 * np.sqrt(squares) * seen.rounding)


def stop_gradient(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """<gp - g, extra step> = -gamma alpha ||g_perp||^2, the extra step being x+ with alpha less x+ without."""
    seen = _Looked(setting, facts, steps, lab)
    extra = seen.with_alpha - seen.without
    measured = -np.einsum("pd,pd->p", seen.gp - seen.g, extra)
    stated = seen.gamma * seen.alpha * (seen.perp**2).sum(axis=1)
    lengths = np.linalg.norm(seen.gp - seen.g, axis=1) + np.linalg.norm(seen.perp, axis=1)
    error = 4 * lengths * seen.rounding + 4 * seen.rounding**2 / seen.gamma
    return seen.trial("compiled steps", measured, stated, error)


def perpendicular(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||g_perp|| <= L_S rho for every value of v, or for some of them where there are many."""
    points, rho = scattered(setting, min(steps, 50), lab), float(facts.rho.at(0))
    if setting.deterministic or setting.sampling.atom_count() <= MOST_ATOMS:
        atoms = atoms_of(setting, MOST_ATOMS)
    else:
        atoms = [atom for atom, _ in zip(setting.sampling.atoms(), range(MOST_ATOMS), strict=False)]
        points = points[::4]
    lengths, rounding = [], []
    missed = step_rounding(setting, facts, points) / float(facts.gamma.at(0))
    for x, slip in zip(points, missed, strict=True):
        for atom in atoms:
            g, _, perp = parts(setting.problem, x, rho, atom)
            size = float(np.linalg.norm(g))
            lengths.append(float(np.linalg.norm(perp)))
            rounding.append(slip * (1 + facts.L_S * rho / size) if size > 0 else slip)
    measured = np.array(lengths)

    def stated(scale: Scale) -> Values:
        return np.full(len(measured), scale.get("length", 1.0) * facts.L_S * rho)

    return Trial("every draw in NumPy", np.arange(len(measured), dtype=float), measured, stated, np.array(rounding))


def _draw(rng: np.random.Generator, claim: Claim) -> Instance:
    noisy = bool(rng.random() < 0.5)
    problem, n = cosines(rng, noisy=noisy) if rng.random() < 0.5 else same_curvatures(rng)
    sampling = balanced_sampling(rng, n) if n > 1 else "full"
    gamma = any_schedule(rng, float(rng.uniform(0.1, 0.9)), 50)
    rho, alpha = any_radius(rng), str(rng.choice(ALPHAS))
    return scheduled(claim, problem, sampling, gamma=gamma, rho=rho, alpha=alpha, steps=50)


def _saddles(rng: np.random.Generator, claim: Claim) -> Instance:
    h = "/".join(f"{value:.3g}" for value in rng.uniform(-1, 1, int(rng.integers(2, 6))))
    problem = f"spectrum:h={h},seed={rng.integers(10**6)},basis=rotated"
    return scheduled(claim, problem, gamma=0.5, rho=any_radius(rng), alpha=str(rng.choice(ALPHAS)), steps=20)


def the_saddle(claim: Claim) -> Instance:
    """H = diag(1, -1) and x = (sqrt 3, sqrt 6) rho: gp is perpendicular to gp - g, so that ||g_perp|| = L rho."""
    x0 = f"{3**0.5 * 0.1!r}/{6**0.5 * 0.1!r}"
    return scheduled(claim, "spectrum:h=1/-1", gamma=0.5, rho=0.1, alpha=0.5, x0=x0, steps=1, origin="tight")


def _convex(claim: Claim) -> Instance:
    return scheduled(claim, "spectrum:h=1/0.3", gamma=0.5, rho=0.5, alpha=1, x0="0.3/1", steps=5)


def _turned(setting: Setting) -> Setting:
    """The rule with the sign of alpha turned."""
    data = setting.method.data
    return replace(setting, method=replace(setting.method, data=data._replace(alpha=-data.alpha)))


claims.add(
    Claim(
        id="gsam/descent-direction",
        title="GSAM's extra direction costs the perturbed loss nothing, to first order",
        source=Source(ZHUANG, None, Provenance.DERIVED, ZHUANG_NOTE),
        kind=Kind.EXACT,
        statement=(
            r"g_\perp=g-\tfrac{\langle g,g_p\rangle}{\|g_p\|^2}g_p:\quad"
            r"\langle g_p,g_p-\alpha g_\perp\rangle=\|g_p\|^2,\quad"
            r"\langle g_p-g,\gamma\alpha g_\perp\rangle=-\gamma\alpha\|g_\perp\|^2"
        ),
        hypotheses=(SOME_RADIUS, POSITIVE_GAMMA, ALL_NORMALISED),
        measure=Measure.OWN,
        trials={"descent": descent, "stop-gradient": stop_gradient},
        suggest=suggest_steps,
        method="gsam",
        families=(
            Family("smooth functions", _draw, quick=4, full=40),
            Family("saddles", _saddles, quick=2, full=20),
        ),
        controls=(
            Control("alpha with the other sign in the rule", _convex, "stop-gradient", setting=_turned),
            Control(
                "twice the radius in the rule: its g_perp is not perpendicular to this gp",
                _convex,
                "descent",
                setting=lambda setting: setting.with_steps(gamma=setting.gamma, rho=1.0),
            ),
        ),
        remarks=(
            "That the extra step lowers the gap f(x + rho u) - f(x) is meant with gp - g held fixed;",
            "gsam/gap-decrease says where it lowers the true gap.",
        ),
    )
)

claims.add(
    Claim(
        id="gsam/perpendicular-length",
        title="What of a gradient is perpendicular to SAM's is at most L rho long",
        source=Source(ZHUANG, None, Provenance.DERIVED, ZHUANG_NOTE),
        kind=Kind.UPPER,
        statement=r"\|g_\perp\|\le L_S\rho\quad\text{for every draw}",
        hypotheses=(SOME_RADIUS, POSITIVE_GAMMA, ALL_NORMALISED),
        measure=Measure.OWN,
        trials={"perpendicular part": perpendicular},
        suggest=suggest_steps,
        constants={"length": "s L_S rho, the most that g_perp can be long"},
        method="gsam",
        families=(
            Family("smooth functions", _draw, quick=4, full=40),
            Family("saddles", _saddles, quick=2, full=20),
            Family("a saddle where g_perp is as long as it can be", lambda rng, claim: the_saddle(claim), full=1),
        ),
        controls=(Control("0.99 of the length", the_saddle, "perpendicular part", scale={"length": 0.99}),),
        remarks=("g_perp is of the order of rho by itself, because the projection takes gp out of it.",),
    )
)
