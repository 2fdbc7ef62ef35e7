"""The ascent path of multi-step SAM on convex quadratics: its closed form, its curvature, and what more steps bring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.dynamics import QUADRATIC
from theory.families import given
from theory.inner_max import quadratic_on_ball
from theory.multistep import (
    CONVEX,
    NOTE,
    PAPER,
    PERTURBED,
    SEVERAL,
    budget_path,
    descent_gradients,
    gains,
    gradients,
    points,
    suggest_steps,
    unit,
)
from theory.setting import Facts, Setting
from theory.ssam import with_method
from theory.trial import EPS, Lab, NotMeasurable, Scale, Trial, Values, equal
from theory.unified_sam import IS_DETERMINISTIC, POSITIVE_GAMMA

BASE = (IS_DETERMINISTIC, QUADRATIC, POSITIVE_GAMMA, PERTURBED, SEVERAL)


def spectrum_spec(rng: np.random.Generator, *, lowest: float = 0.01, singular: bool = True) -> str:
    """A random spectrum in [lowest, 1], sometimes with a zero if `singular`, in a random basis or its own."""
    d = int(rng.integers(2, 7))
    rest = np.exp(rng.uniform(np.log(lowest), 0, d - 1))
    if singular and rng.random() < 0.2:
        rest[0] = 0.0
    h = "/".join(["1", *(f"{value:.4g}" for value in rest)])
    return f"spectrum:h={h},seed={rng.integers(10**6)},basis={rng.choice(['diagonal', 'rotated'])}"


def draw(rng: np.random.Generator, claim: Claim, *, singular: bool = True) -> Instance:
    """Any number of ascent steps, radii from far below to far above the distance to x*."""
    n = int(rng.choice([1, 2, 3, 5, 20]))
    rho = round(float(10 ** rng.uniform(-2, 1)), 4)
    problem = spectrum_spec(rng, singular=singular)
    return given(claim, problem, gamma=0.5, rho=rho, steps=1, method=f"multi-sam:steps={n}")


def draw_definite(rng: np.random.Generator, claim: Claim) -> Instance:
    """Without an eigenvalue 0: beside a single other one it makes every gradient an eigenvector."""
    return draw(rng, claim, singular=False)


def _steps(facts: Facts) -> int:
    return int(facts.parameters.get("steps", 1.0))


def _path(setting: Setting, facts: Facts) -> tuple[Values, Values, Values]:
    """Rows x, the Hessian, and g_0, ..., g_n at each row (n + 1, P, d)."""
    x, H = points(setting), setting.problem.hessian(setting.problem.centre)
    return x, H, budget_path(gradients(setting, x), H, facts.rho.largest, _steps(facts))


# -- A1: closed form --


def _amplified(path: Values, facts: Facts) -> Values:
    """How much the ascent can grow an error of g_0: each step by at most 1 + rho L/(n ||g_j||), at each of P points."""
    norms = np.maximum(np.linalg.norm(path[:-1], axis=2), 1e-300)
    return np.asarray(2 * np.prod(1 + facts.rho.largest * facts.L_f / (_steps(facts) * norms), axis=0))


def closed_form(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The descent gradient is prod_j (I + rho/(n ||g_j||) H) g, at points near and far."""
    x, _, path = _path(setting, facts)
    D, error = descent_gradients(setting, lab, x)
    stated = path[-1]
    apart = np.linalg.norm(D - stated, axis=1)
    size = np.linalg.norm(stated, axis=1)
    return equal("single steps", size + apart, size, error=error * _amplified(path, facts))


def eigenvector_start(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """From an eigenvector every n gives the one-step point."""
    h, Q = np.linalg.eigh(setting.problem.hessian(setting.problem.centre))
    rows = setting.problem.centre + Q.T[h > 1e-6 * h[-1]]
    once = with_method(setting, "sam")
    D, error = descent_gradients(setting, lab, rows)
    S, _ = descent_gradients(once, lab, rows)
    H = setting.problem.hessian(setting.problem.centre)
    path = budget_path(gradients(setting, rows), H, facts.rho.largest, _steps(facts))
    size = np.linalg.norm(S, axis=1)
    apart = np.linalg.norm(D - S, axis=1)
    # Off a bottom eigenvector what rounding adds grows faster than the gradient itself.
    error = error * _amplified(path, facts)
    told = error < 1e-6 * size
    if not told.any():
        raise NotMeasurable("rounding floor: the ascent grows rounding to the size of the gradient")
    return equal("steps from eigenvectors", (size + apart)[told], size[told], error=error[told])


def _shorter(claim: Claim) -> Claim:
    """One factor of the product forgotten."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        x, _, path = _path(setting, facts)
        D, error = descent_gradients(setting, lab, x)
        size = np.linalg.norm(path[-2], axis=1)
        return equal("single steps", size + np.linalg.norm(D - path[-2], axis=1), size, error=error)

    return replace(claim, trials={"closed form": broken})


claims.add(
    Claim(
        id="multistep/quadratic-form",
        title="The gradient after n ascent steps on a quadratic, in closed form",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.EXACT,
        statement=(
            r"z_{j+1}=z_j+\tfrac\rho n\,\widehat{\nabla f}(z_j):\quad"
            r"\nabla f(z_n)=\prod_{j<n}\Big(I+\frac{\rho}{n\|\nabla f(z_j)\|}H\Big)\nabla f(x);\quad"
            r"\nabla f(x)\text{ an eigenvector},\ \lambda\ge0\text{: the same for every }n"
        ),
        hypotheses=(*BASE,),
        measure=Measure.OWN,
        trials={"closed form": closed_form, "eigenvector start": eigenvector_start},
        suggest=suggest_steps,
        method="multi-sam:steps=3",
        families=(
            Family("random spectra", draw, quick=4, full=40),
            Family(
                "a saddle",
                lambda rng, claim: given(
                    claim, "spectrum:h=1/-0.4/0.2", gamma=0.5, rho=0.3, steps=1, method="multi-sam:steps=4"
                ),
            ),
        ),
        controls=(
            Control(
                "one ascent step forgotten",
                lambda claim: given(claim, "spectrum:h=1/0.3", gamma=0.5, rho=0.3, steps=1, method="multi-sam:steps=3"),
                "closed form",
                broken=_shorter,
            ),
            Control(
                "the fixed-step rule, whose path is n times as long",
                lambda claim: given(
                    claim, "spectrum:h=1/0.3", gamma=0.5, rho=0.3, steps=1, method="multi-sam:steps=3,ascent=fixed"
                ),
                "closed form",
            ),
        ),
    )
)


# -- A2: the share of the inner maximum that one step attains --


def _shares(setting: Setting, facts: Facts) -> tuple[Values, Values, Values, float]:
    x, H = points(setting), setting.problem.hessian(setting.problem.centre)
    g, rho = gradients(setting, x), facts.rho.largest
    best = np.array([quadratic_on_ball(row, H, rho).value for row in g])
    if not (best > 0).all():
        raise NotMeasurable("rounding floor: the inner maximum vanishes")
    return g, H, best, rho


def lost_share(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """1 - Q_1 <= (rho/2)(L - R(g))/(||g|| + rho L/2), Q_1 the part of the maximum that one step attains."""
    g, H, best, rho = _shares(setting, facts)
    once = gains(g, H, rho * unit(g))
    norms, L = np.linalg.norm(g, axis=1), float(np.linalg.eigvalsh(H)[-1])
    R = np.einsum("pd,de,pe->p", g, H, g) / norms**2
    bound = rho / 2 * (L - R) / (norms + rho * L / 2)
    # Q_1 and R are quotients of sums of d^2 terms: 1 - Q_1 and L - R lose what those round.
    error = 64 * EPS * setting.problem.d * (1 + rho * L / (norms + rho * L / 2))
    keep = bound > 100 * error
    if not keep.any():
        raise NotMeasurable("rounding floor: g is an eigenvector at every point")

    def stated(scale: Scale) -> Values:
        return np.asarray(scale.get("lost", 1.0) * bound[keep])

    return Trial("inner maxima", np.arange(int(keep.sum()), dtype=float), (1 - once / best)[keep], stated, error[keep])


claims.add(
    Claim(
        id="multistep/inner-max-share",
        title="How much of the inner maximum one ascent step attains",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.UPPER,
        statement=(
            r"H\succeq0:\quad1-\frac{f(x+\rho\hat g)-f(x)}{\max_{\|\delta\|\le\rho}f(x+\delta)-f(x)}"
            r"\le\frac{\tfrac12\rho\,(\lambda_{\max}-R(g))}{\|g\|+\tfrac12\rho\lambda_{\max}}"
        ),
        hypotheses=(*BASE, CONVEX),
        measure=Measure.OWN,
        trials={"lost share": lost_share},
        suggest=suggest_steps,
        constants={"lost": "s times the bound on the share that is lost"},
        method="multi-sam:steps=1",
        families=(
            Family("random spectra", draw_definite, quick=4, full=40),
            Family(
                "a start near the bottom eigenvector, a large radius",
                lambda rng, claim: given(
                    claim, "spectrum:h=10/1", gamma=0.1, rho=1e4, x0="1e-3/1", steps=1, origin="tight"
                ),
            ),
        ),
        controls=(
            Control(
                "half of the bound",
                lambda claim: given(claim, "spectrum:h=10/1", gamma=0.1, rho=1e4, x0="1e-3/1", steps=1),
                "lost share",
                scale={"lost": 0.5},
            ),
        ),
    )
)


# -- A3: curvature rises along the path --


def _curvature(path: Values, H: Values) -> Values:
    return np.asarray(np.einsum("jpd,de,jpe->jp", path, H, path) / (path**2).sum(axis=2))


def curvature_rises(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """R(g_{j+1}) >= R(g_j), at every point and step of the path."""
    _, H, path = _path(setting, facts)
    R = _curvature(path, H)
    error = np.full(R[1:].size, 64 * EPS * setting.problem.d * float(np.abs(np.linalg.eigvalsh(H)).max()))
    before = R[:-1].ravel()
    return Trial("ascent paths", np.arange(before.size, dtype=float), R[1:].ravel(), lambda scale: before, error, ">=")


def _envelope(setting: Setting, facts: Facts) -> tuple[Values, Values, Values, Values]:
    _, H, path = _path(setting, facts)
    n, rho, L = _steps(facts), facts.rho.largest, float(np.linalg.eigvalsh(H)[-1])
    norms = np.linalg.norm(path, axis=2)
    far = (rho / n * np.arange(n + 1))[:, None]
    low = norms[0] + far * _curvature(path[:1], H)
    return norms[1:].ravel(), low[1:].ravel(), (norms[0] + far * L)[1:].ravel(), 64 * EPS * n * norms[1:].ravel()


def norms_below(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||g_j|| <= ||g|| + (j rho/n) L."""
    norms, _, high, error = _envelope(setting, facts)
    return Trial("ascent paths", np.arange(norms.size, dtype=float), norms, lambda s: s.get("norm", 1.0) * high, error)


def norms_above(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||g_j|| >= ||g|| + (j rho/n) R(g)."""
    norms, low, _, error = _envelope(setting, facts)
    return Trial("ascent paths", np.arange(norms.size, dtype=float), norms, lambda scale: low, error, ">=")


claims.add(
    Claim(
        id="multistep/curvature-monotone",
        title="The curvature along the gradient rises on the ascent path",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.UPPER,
        statement=(
            r"H\succeq0:\quad R(g_{j+1})\ge R(g_j),\qquad"
            r"\|g\|+\tfrac{j\rho}nR(g)\le\|g_j\|\le\|g\|+\tfrac{j\rho}n\lambda_{\max}"
        ),
        hypotheses=(*BASE, CONVEX),
        measure=Measure.OWN,
        trials={"curvature rises": curvature_rises, "norms below": norms_below, "norms above": norms_above},
        suggest=suggest_steps,
        constants={"norm": "s times the upper envelope of ||g_j||"},
        method="multi-sam:steps=3",
        families=(Family("random spectra", draw, quick=4, full=40),),
        controls=(
            Control(
                "a saddle, radius far above ||g||",
                lambda claim: given(
                    claim, "spectrum:h=1/-3", gamma=0.1, rho=2.0, x0="0.3/0.1", steps=1, method="multi-sam:steps=3"
                ),
                "curvature rises",
            ),
            Control(
                "the envelope 2 % lower",
                lambda claim: given(
                    claim, "spectrum:h=1/0.99", gamma=0.1, rho=2.0, steps=1, method="multi-sam:steps=3"
                ),
                "norms below",
                scale={"norm": 0.98},
            ),
        ),
    )
)


# -- A4: more steps never lose --


def _gain_of(setting: Setting, facts: Facts, n: int) -> tuple[Values, Values]:
    """f(z_n) - f(x) and f(x + rho g/||g||) - f(x) at each point."""
    x, H = points(setting), setting.problem.hessian(setting.problem.centre)
    g, rho = gradients(setting, x), facts.rho.largest
    path = budget_path(g, H, rho, n)
    e = rho / n * unit(path[:-1]).sum(axis=0)
    return gains(g, H, e), gains(g, H, rho * unit(g))


def never_lose(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """f(z_n) >= f(x + rho g/||g||)."""
    several, once = _gain_of(setting, facts, _steps(facts))
    error = 64 * EPS * setting.problem.d * (_steps(facts) + 1) * once

    def stated(scale: Scale) -> Values:
        return np.asarray(scale.get("gain", 1.0) * once)

    return Trial("ascent paths", np.arange(len(once), dtype=float), several, stated, error, ">=")


claims.add(
    Claim(
        id="multistep/never-lose",
        title="Several ascent steps of the same budget never find less than one",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.LOWER,
        statement=r"H\succeq0,\ \text{budget }\rho:\quad f(z_n)\ge f(x+\rho\hat g)\quad\text{for all }n\ge1",
        hypotheses=(*BASE, CONVEX),
        measure=Measure.OWN,
        trials={"never lose": never_lose},
        suggest=suggest_steps,
        constants={"gain": "s times what one step gains"},
        method="multi-sam:steps=3",
        families=(
            Family("random spectra", draw, quick=4, full=40),
            Family(
                "one step: equality",
                lambda rng, claim: given(
                    claim, "spectrum:h=1/0.3", gamma=0.5, rho=0.5, steps=1, method="multi-sam:steps=1", origin="tight"
                ),
            ),
        ),
        controls=(
            Control(
                "2 % more than one step",
                lambda claim: given(claim, "spectrum:h=1/0.9", gamma=0.5, rho=0.1, steps=1, method="multi-sam:steps=3"),
                "never lose",
                scale={"gain": 1.02},
            ),
            Control(
                "a saddle, radius far above ||g||",
                lambda claim: given(
                    claim, "spectrum:h=1/-3", gamma=0.1, rho=2.0, x0="0.3/0.1", steps=1, method="multi-sam:steps=3"
                ),
                "never lose",
            ),
        ),
    )
)
