"""The factors by which one step of SAM changes a small deviation from a 2-cycle, and the rate they give a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.dynamics_cycle import BLOCK, spectrum_spec
from theory.dynamics import (
    ABSTRACT_ONLY,
    PAPER,
    SIMPLE_TOP,
    STABLE,
    coordinates,
    decisions,
    eigenbasis,
    multipliers,
    radii,
    suggest_steps,
)
from theory.families import given
from theory.setting import Facts, Setting, facts_of
from theory.trial import Lab, NotMeasurable, Trial, Values, equal

DIGITS = 1e-6
"""To this part of their size the factors are seen: differences of width 1e-5 leave 1e-10 of truncation and 1e-11 of
rounding times the ratio of two eigenvalues."""

WIDTH = 1e-5
"""Of the differences, relative to the gradient on the cycle."""

NEAR_TIE = 1e-4
"""Eigenvalues closer than this part are not asked which of them is the larger: |mu_j| - 1 is then of that size."""

WINDOW = (1e-6, 1e-9)
"""Deviations, in radii, between which a run shows its rate: linear above, far from rounding below."""

UNSETTLED = 3e-7
"""The two halves of the window must give the same rate up to this."""


def _derivatives(setting: Setting, facts: Facts, lab: Lab) -> tuple[Values, Values, Values]:
    """h, the derivative of one step at each cycle +r_i e_i by central differences, (d, d, d): [i, j] is the image of a
    unit deviation along e_j; and the stated mu, (d, d)."""
    h, Q = eigenbasis(setting)
    d, r = len(h), radii(facts, h)
    # Each deviation changes the gradient by the same part of its norm on the cycle.
    widths = WIDTH * r[:, None] * h[:, None] / h[None, :]
    moves = widths[:, :, None] * np.eye(d)
    centre = np.diag(r)[:, None, :]

    def after(w: Values) -> Values:
        points = setting.problem.centre + w.reshape(-1, d) @ Q.T
        return coordinates(setting, lab.step(setting, points), Q).reshape(d, d, d)

    slopes = (after(centre + moves) - after(centre - moves)) / (2 * widths[:, :, None])
    return h, slopes, np.array([multipliers(facts, h, i) for i in range(d)])


def derivative(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The derivative of one step at the cycle on e_i is diag(mu), for every i; what is not on the diagonal is 0."""
    _, slopes, mu = _derivatives(setting, facts, lab)
    d = len(mu)
    stated = mu[:, :, None] * np.eye(d)
    size = np.maximum(1.0, np.abs(mu).max(axis=1))[:, None, None]
    error = np.broadcast_to(DIGITS * size, stated.shape)
    return equal("derivative of a step at every cycle", slopes.ravel(), stated.ravel(), error=error.ravel())


def stability(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """|mu_j| < 1 across the cycle on e_i if and only if lambda_j < lambda_i, and |mu_i| < 1 along it."""
    h, slopes, _ = _derivatives(setting, facts, lab)
    seen = np.abs(np.einsum("ijj->ij", slopes))
    apart = (np.abs(h[None, :] / h[:, None] - 1) > NEAR_TIE) | np.eye(len(h), dtype=bool)
    stated = (h[None, :] < h[:, None]) | np.eye(len(h), dtype=bool)
    return decisions("stability at every cycle", seen[apart] < 1, stated[apart])


def _deviations(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Values:
    """w_t - (-1)^t (+-r e_1), the deviation from the cycle on e_1 in radii, t = 0 to steps: shape (steps + 1, d)."""
    h, Q = eigenbasis(setting)
    w = coordinates(setting, lab.iterates(setting, np.arange(steps + 1))[0], Q)
    if not np.isfinite(w).all():
        raise NotMeasurable("the run diverged")
    u = w * np.where(np.arange(steps + 1) % 2 == 0, 1.0, -1.0)[:, None]
    r = float(radii(facts, h[:1])[0])
    u[:, 0] -= np.sign(u[-1, 0]) * r
    return np.asarray(u / r)


def seen_rate(deviations: Values) -> float:
    """The factor per step in `WINDOW`, once the slowest direction stands alone."""
    above = [np.flatnonzero(deviations >= level) for level in WINDOW]
    if deviations[-1] >= WINDOW[1] or any(len(times) == 0 for times in above):
        raise NotMeasurable(f"horizon too short: {deviations[-1]:.2g} radii from the cycle at the end")
    first, last = (int(times[-1]) for times in above)
    middle = (first + last) // 2
    if last - first < 4:
        raise NotMeasurable("the deviation dies out within four steps")
    logs = np.log(deviations)
    halves = [(logs[middle] - logs[first]) / (middle - first), (logs[last] - logs[middle]) / (last - middle)]
    if abs(np.exp(halves[0]) - np.exp(halves[1])) > UNSETTLED:
        raise NotMeasurable("horizon too short: the slowest direction does not stand alone before rounding")
    return float(np.exp((logs[last] - logs[first]) / (last - first)))


def run_rate(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """A run approaches the cycle on e_1 at the rate max_j |mu_j|.

    A run that passed near other cycles may arrive with so little of the slowest direction that rounding hides it. What
    is seen then is the factor of another direction, and nothing of the largest.
    """
    size = np.abs(multipliers(facts, eigenbasis(setting)[0]))
    deviations = _deviations(setting, facts, steps, lab)
    lengths = np.linalg.norm(deviations, axis=1)
    seen = seen_rate(lengths)
    late = int(np.flatnonzero(lengths >= WINDOW[1])[-1])
    leading = int(np.abs(deviations[late]).argmax())
    if size[leading] < size.max() and abs(seen - size[leading]) <= DIGITS:
        raise NotMeasurable("horizon too short: the run meets its cycle along another direction than the slowest")
    return equal("rate of a run", np.array([seen]), np.array([size.max()]), error=np.array([DIGITS]))


def _draw(rng: np.random.Generator, claim: Claim) -> Instance:
    """Random spectra whose second factor is at most the square of the slowest, so that a run shows the slowest alone
    before rounding: where that one has fallen to 1e-6, the other adds at most about 1e-12 of it."""
    while True:
        problem = spectrum_spec(rng)
        lam = str(rng.choice(["1", "1", "0.5"]))
        rho = round(float(10 ** rng.uniform(-2, 0)), 4)
        gamma = round(float(rng.uniform(0.3, 1.9)) / (1 + rho * (1 - float(lam))), 4)
        facts = facts_of(given(claim, problem, lam=lam, gamma=gamma, rho=rho, steps=1).setting)
        size = np.sort(np.abs(multipliers(facts, np.array(facts.spectrum))))[::-1]
        if 0.3 < size[0] < 0.99 and size[1] < size[0] ** 2:
            steps = int(40 / -np.log(size[0])) + 300
            return given(claim, problem, lam=lam, gamma=gamma, rho=rho, steps=steps)


def _page(rng: np.random.Generator, claim: Claim) -> Instance:
    """max |mu| = 0.792, towards the smallest eigenvalue."""
    return given(claim, "spectrum:h=1/0.7/0.4/0.2", lam="1", gamma=0.8, rho=0.1, steps=400)


def _of_gradient_descent(claim: Claim) -> Claim:
    """1 - gamma lambda_j across the cycle too: the perturbation forgotten."""

    def plain(facts: Facts, h: Values) -> Values:
        return np.asarray(1 - facts.gamma.largest * h)

    def broken_derivative(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = derivative(setting, facts, steps, lab)
        h = eigenbasis(setting)[0]
        wrong = np.broadcast_to(np.diag(plain(facts, h)), (len(h), len(h), len(h)))
        return replace(found, stated=lambda scale: wrong.ravel())

    def broken_rate(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = run_rate(setting, facts, steps, lab)
        wrong = float(np.abs(plain(facts, eigenbasis(setting)[0])).max())
        return replace(found, stated=lambda scale: np.array([wrong]))

    return replace(claim, trials={"derivative": broken_derivative, "run rate": broken_rate})


def _reversed_order(claim: Claim) -> Claim:
    """Directions of larger curvature are taken for the stable ones."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = stability(setting, facts, steps, lab)
        d = len(facts.spectrum)
        wrong = np.tril(np.ones((d, d))).ravel()
        return replace(found, stated=lambda scale: wrong)

    return replace(claim, trials={"stability": broken})


claims.add(
    Claim(
        id="dynamics/multipliers",
        title="One-step factors of deviations from SAM's 2-cycles, which of them attract, and how fast",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.EXACT,
        statement=(
            r"\text{At the 2-cycle on }v_i,\ q_j=\gamma\lambda_j(1+\rho(1-\lambda)\lambda_j):\quad\mu_i=1-q_i,\quad"
            r"\mu_j=1-q_j-(2-q_i)\frac{\lambda_j^2}{\lambda_i^2}\ (j\ne i),\quad|\mu_j|<1\iff\lambda_j<\lambda_i;\quad"
            r"\text{a run nears the cycle on }v_1\text{ at the rate }\max_j|\mu_j|"
        ),
        hypotheses=(*BLOCK, STABLE, SIMPLE_TOP),
        measure=Measure.OWN,
        trials={"derivative": derivative, "stability": stability, "run rate": run_rate},
        suggest=suggest_steps,
        constants={"factor": "s mu_j"},
        digits=6,
        families=(
            Family("random spectra with one slowest direction", _draw, quick=6, full=60),
            Family("the slowest direction is the flattest", _page, full=1),
        ),
        controls=(
            Control(
                "derivative 1 - gamma lambda_j, as for gradient descent",
                lambda claim: _page(np.random.default_rng(0), claim),
                "derivative",
                broken=_of_gradient_descent,
            ),
            Control(
                "rate of gradient descent",
                lambda claim: _page(np.random.default_rng(0), claim),
                "run rate",
                broken=_of_gradient_descent,
            ),
            Control(
                "a rate one part in 10^5 off",
                lambda claim: _page(np.random.default_rng(0), claim),
                "run rate",
                scale={"factor": 1 + 1e-5},
            ),
            Control(
                "directions of larger curvature are the stable ones",
                lambda claim: _page(np.random.default_rng(0), claim),
                "stability",
                broken=_reversed_order,
            ),
        ),
        remarks=(
            "Slow in three ways: lambda_j much smaller than lambda_1, lambda_j near lambda_1, and gamma lambda_1 near"
            " 0 or 2.",
        ),
    )
)
