"""SAM's limit on a quadratic: the 2-cycle across the ravine, its multipliers, and the potential that leads there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.dynamics import (
    ABSTRACT_ONLY,
    CONVEX,
    FIXED_LAM,
    PAPER,
    PERTURBED,
    QUADRATIC,
    STABLE,
    coordinates,
    curvatures,
    eigenbasis,
    multipliers,
    radii,
    suggest_steps,
)
from theory.families import given
from theory.setting import Facts, Setting, facts_of
from theory.trial import EPS, Lab, NotMeasurable, Scale, Trial, Values, equal
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA

SETTLED = 1e-13
"""A run counts as settled when its last tenth moves it by no more than this part of the radius."""

BLOCK = (IS_DETERMINISTIC, QUADRATIC, CONVEX, CONSTANT_GAMMA, CONSTANT_RHO, FIXED_LAM, POSITIVE_GAMMA, PERTURBED)


def spectrum_spec(rng: np.random.Generator, *, d: int | None = None) -> str:
    """A random positive spectrum, the largest eigenvalue 1 and simple, in a random basis or its own."""
    size = int(rng.integers(2, 8)) if d is None else d
    rest = np.sort(rng.uniform(0.1, 0.95, size - 1))[::-1]
    h = "/".join(["1", *(f"{value:.4g}" for value in rest)])
    basis = rng.choice(["diagonal", "rotated"])
    return f"spectrum:h={h},seed={rng.integers(10**6)},basis={basis}"


def settled_steps(claim: Claim, problem: str, gamma: float, rho: float, lam: str) -> int:
    """A horizon at which every transverse direction has died out: 60 e-foldings of the slowest."""
    facts = _facts(claim, problem, gamma, rho, lam)
    slowest = float(np.abs(multipliers(facts, np.array(facts.spectrum))).max())
    return int(min(60 / max(-np.log(slowest), 1e-6), 2_000_000)) + 200


def _facts(claim: Claim, problem: str, gamma: float, rho: float, lam: str) -> Facts:
    return facts_of(given(claim, problem, "full", lam=lam, gamma=gamma, rho=rho, steps=1).setting)


def draw_cycle(rng: np.random.Generator, claim: Claim) -> Instance:
    """gamma lambda_1 in (0.3, 1.9), any radius, any lam > 0 whose unnormalised part leaves the cycle stable."""
    problem = spectrum_spec(rng)
    lam = str(rng.choice(["1", "1", "0.5", "0.2"])) if claim.id == "dynamics/cycle" else "1"
    rho = round(float(10 ** rng.uniform(-2, 0.3)), 4)
    # gamma (1 + rho (1 - lam)) < 1.9
    gamma = round(float(rng.uniform(0.3, 1.9)) / (1 + rho * (1 - float(lam))), 4)
    steps = settled_steps(claim, problem, gamma, rho, lam)
    return given(claim, problem, "full", lam=lam, gamma=gamma, rho=rho, steps=steps)


def cycle(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The end of a long run: its distance from x*, from the top eigenspace, its turn, and its gap."""
    h, Q = eigenbasis(setting)
    T = steps + steps % 2
    before = (9 * T // 10) // 2 * 2
    w = coordinates(setting, lab.iterates(setting, [before, T, T + 1])[0], Q)
    r = float(radii(facts, h[:1])[0])
    if not np.isfinite(w).all():
        return equal("end of the run", np.full(4, np.nan), np.full(4, r), error=np.full(4, 1e-12 * r))
    if not w[1].any():
        raise NotMeasurable("the run landed exactly on the minimiser, a start of probability 0")
    if np.linalg.norm(w[1] - w[0]) > SETTLED * np.linalg.norm(w[1]):
        raise NotMeasurable(f"horizon too short: still moving after {T} steps")
    top = h >= h[0] * (1 - 1e-12)
    measured = np.array(
        [
            np.linalg.norm(w[1]),
            np.linalg.norm(w[1, top]),
            np.linalg.norm(w[2] - w[1]) / 2,
            np.sqrt(2 * lab.values(setting, (setting.problem.centre + w[1] @ Q.T)[None, :])[0][0] / h[0]),
        ]
    )
    return equal("end of the run", measured, np.full(4, r), error=np.full(4, 1e-12 * r))


def _gradient_descent_radius(claim: Claim) -> Claim:
    """The radius as it would be if the step did not turn back on itself: gamma rho lam L/2."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = cycle(setting, facts, steps, lab)
        wrong = facts.gamma.largest * facts.rho.largest * facts.lam.largest * facts.spectrum[0] / 2
        return replace(found, stated=lambda scale: np.full(4, wrong))

    return replace(claim, trials={"cycle": broken})


claims.add(
    Claim(
        id="dynamics/cycle",
        title="On a quadratic, SAM ends in a 2-cycle across the direction of largest curvature",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.EXACT,
        statement=(
            r"0<\gamma\lambda_1(1+\rho(1-\lambda)\lambda_1)<2,\ \text{a.e. }x_0:\quad x_t-x^*-(-1)^ts\,r_1v_1\to0,\ "
            r"s=\pm1,\quad r_1=\frac{\gamma\rho\lambda\lambda_1}{2-\gamma\lambda_1-\gamma\rho(1-\lambda)\lambda_1^2}"
        ),
        hypotheses=(*BLOCK, STABLE),
        measure=Measure.OWN,
        trials={"cycle": cycle},
        suggest=suggest_steps,
        constants={"radius": "s r_1, the distance from x* at which it ends"},
        digits=12,
        families=(
            Family("random spectra", draw_cycle, quick=6, full=60),
            Family(
                "a start on the axis of a lower eigenvector, up to 1e-12",
                lambda rng, claim: given(
                    claim,
                    "spectrum:h=1/0.6/0.3",
                    lam="1",
                    gamma=0.8,
                    rho=0.1,
                    x0="1e-12/1/0.3",
                    steps=2000,
                    origin="tight",
                ),
            ),
            Family(
                "far below the top: components underflow in the diagonal basis",
                lambda rng, claim: given(
                    claim,
                    "quadratic:d=100,mu=0.1,L=10,basis=diagonal",
                    lam="1",
                    gamma=0.0125,
                    rho=0.0125,
                    steps=60_000,
                    origin="tight",
                ),
            ),
        ),
        controls=(
            Control(
                "radius gamma rho lam L/2",
                lambda claim: given(claim, "spectrum:h=1/0.6/0.3", lam="1", gamma=1.6, rho=0.1, steps=4000),
                "cycle",
                broken=_gradient_descent_radius,
            ),
            Control(
                "one part in 10^9 off",
                lambda claim: given(claim, "spectrum:h=1/0.6/0.3", lam="0.5", gamma=0.8, rho=0.1, steps=4000),
                "cycle",
                scale={"radius": 1 + 1e-9},
            ),
            Control(
                "a start without any component along the top eigenvector",
                lambda claim: given(claim, "spectrum:h=1/0.6/0.3", lam="1", gamma=0.8, rho=0.1, x0="0/1/1", steps=4000),
                "cycle",
            ),
        ),
        remarks=(
            "Wen, Ma and Li (2023), Theorem 4.8, state the cycle for gamma lambda_1 < 1; it holds up to 2.",
            "At lam = 0 there is no cycle: the iterates go to x*.",
        ),
    )
)


# -- the potential --


def _followed(setting: Setting, facts: Facts, steps: int, lab: Lab) -> tuple[Values, Values, Values, Values]:
    """h, w (T + 1, d), u (T + 1, d) and c along the run."""
    h, Q = eigenbasis(setting)
    w = coordinates(setting, lab.iterates(setting, np.arange(steps + 1))[0], Q)
    if not np.isfinite(w).all():
        raise NotMeasurable("the run diverged")
    signs = np.where(np.arange(steps + 1) % 2 == 0, 1.0, -1.0)[:, None]
    return h, w, signs * w * h, curvatures(facts, h)


def _energies(setting: Setting, facts: Facts, steps: int, lab: Lab) -> tuple[Values, Values, Values, Values]:
    """J(u_t), the sizes of its two terms, ||w_{t+1} + w_t||^2 in the norm of Lambda (1 + rho (1 - lam) Lambda), and
    ||u_t||."""
    h, w, u, c = _followed(setting, facts, steps, lab)
    norms = np.linalg.norm(u, axis=1)
    quadratic = (c * u**2).sum(axis=1) / 2
    weight = h * (1 + facts.rho.largest * (1 - facts.lam.largest) * h)
    turns = (weight * (w[1:] + w[:-1]) ** 2).sum(axis=1)
    return quadratic - norms, np.abs(quadratic) + norms, turns, norms


def potential_identity(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """J(u_t) - J(u_{t+1}) = ||w_{t+1} + w_t||^2/(2 rho lam) + the Bregman gap of the norm, at every step."""
    _, _, u, _ = _followed(setting, facts, steps, lab)
    J, size, turns, norms = _energies(setting, facts, steps, lab)
    # ||v|| - <u, v>/||u|| for v = u_{t+1}, without cancellation: (||v|| ||u|| - <u, v>)/||u||.
    cross = np.einsum("td,td->t", u[1:], u[:-1])
    bregman = (norms[1:] * norms[:-1] - cross) / norms[:-1]
    stated = turns / (2 * facts.rho.largest * facts.lam.largest) + bregman

    def scaled(scale: Scale) -> Values:
        return np.asarray(scale.get("decrease", 1.0) * stated)

    # J passes through 0, so the digits are counted against its two terms.
    error = 1e-13 * np.maximum(size[1:], size[:-1])
    return Trial("every step of a run", np.arange(steps, dtype=float), J[:-1] - J[1:], scaled, error, "=")


def _lowest(facts: Facts, c: Values) -> float:
    """J_* = -1/(2 c_1)."""
    return float(-1 / (2 * c[0]))


def falls(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """J(u_{t+1}) - J_* <= J(u_t) - J_* at every step."""
    J, size, _, _ = _energies(setting, facts, steps, lab)
    above = J - _lowest(facts, curvatures(facts, eigenbasis(setting)[0]))
    times = np.arange(1, steps + 1, dtype=float)
    return Trial("every step of a run", times, above[1:], lambda scale: above[:-1], 64 * EPS * size[:-1])


def turning_sum(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """sum_{t < T} ||w_{t+1} + w_t||^2 <= 2 rho lam (J(u_0) - J_*), at every T."""
    J, size, turns, _ = _energies(setting, facts, steps, lab)
    c = curvatures(facts, eigenbasis(setting)[0])
    total = 2 * facts.rho.largest * facts.lam.largest * (J[0] - _lowest(facts, c))
    sums = np.cumsum(turns)
    error = EPS * (np.arange(steps) + 64) * (sums + 2 * facts.rho.largest * facts.lam.largest * size[0])

    def stated(scale: Scale) -> Values:
        return np.full(steps, scale.get("decrease", 1.0) * total)

    return Trial("sum along a run", np.arange(1, steps + 1, dtype=float), sums, stated, error)


def iterate_bound(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||g_t|| <= (1 + sqrt(1 + 2 c_1 J(u_0)_+))/c_1 for all t."""
    J, _, _, norms = _energies(setting, facts, steps, lab)
    c1 = float(curvatures(facts, eigenbasis(setting)[0])[0])
    limit = (1 + np.sqrt(1 + 2 * c1 * max(J[0], 0.0))) / c1

    def stated(scale: Scale) -> Values:
        return np.full(steps + 1, scale.get("iterates", 1.0) * limit)

    return Trial("every iterate of a run", np.arange(steps + 1, dtype=float), norms, stated, 64 * EPS * norms)


def _draw_potential(rng: np.random.Generator, claim: Claim) -> Instance:
    lam = str(rng.choice(["1", "1", "0.5", "0.1"]))
    rho = round(float(10 ** rng.uniform(-2, 0.3)), 4)
    gamma = round(float(rng.uniform(0.05, 1.95)) / (1 + rho * (1 - float(lam))), 4)
    x0 = f"scaled:{10 ** rng.uniform(-2, 2):.3g}"
    return given(claim, spectrum_spec(rng), "full", lam=lam, gamma=gamma, rho=rho, x0=x0, steps=300)


claims.add(
    Claim(
        id="dynamics/potential",
        title="A potential that SAM on a quadratic lowers by an exactly known amount",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.UPPER,
        statement=(
            r"J(u)=\tfrac12u^\top Cu-\|u\|:\quad J(u_t)-J(u_{t+1})=\tfrac1{2\rho\lambda}\|x_{t+1}+x_t-2x^*\|_M^2"
            r"+D(u_{t+1},u_t),\ M=\Lambda(I+\rho(1-\lambda)\Lambda);"
            r"\quad\sum_{t<T}\|x_{t+1}+x_t-2x^*\|_M^2\le2\rho\lambda\,(J(u_0)-J_*)"
        ),
        hypotheses=(*BLOCK, STABLE),
        measure=Measure.OWN,
        trials={
            "potential identity": potential_identity,
            "potential falls": falls,
            "turning sum": turning_sum,
            "iterates": iterate_bound,
        },
        suggest=suggest_steps,
        constants={"decrease": "s times the stated decrease, and s times the bound on its sum"},
        families=(
            Family("random spectra", _draw_potential, quick=6, full=60),
            Family(
                "one dimension: the sum is attained",
                lambda rng, claim: given(
                    claim, "spectrum:h=1", lam="1", gamma=0.9, rho=0.1, x0="0.2", steps=400, origin="tight"
                ),
            ),
        ),
        controls=(
            Control(
                "decrease 1.02 times as large",
                lambda claim: given(claim, "spectrum:h=1/0.6/0.3", lam="1", gamma=0.8, rho=0.1, steps=50),
                "potential identity",
                scale={"decrease": 1.02},
            ),
            Control(
                "sum 0.98 times as large",
                lambda claim: given(claim, "spectrum:h=1", lam="1", gamma=0.9, rho=0.1, x0="0.2", steps=400),
                "turning sum",
                scale={"decrease": 0.98},
            ),
            Control(
                "a negative eigenvalue: J rises",
                lambda claim: given(claim, "spectrum:h=1/-0.5", lam="1", gamma=0.8, rho=0.1, x0="0.1/0.3", steps=50),
                "potential falls",
            ),
        ),
        remarks=(
            "The identity holds for every gamma and rho > 0; the sum and the bound on the iterates need gamma L < 2.",
        ),
    )
)
