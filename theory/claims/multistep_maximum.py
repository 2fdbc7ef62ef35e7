"""What a long ascent path finds: normalised gradient flow of length rho, not the inner maximum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.integrate import solve_ivp

from theory.claim import Claim, Control, Family, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.multistep_path import BASE, spectrum_spec
from theory.families import given
from theory.inner_max import quadratic_on_ball
from theory.multistep import CONVEX, NOTE, PAPER, gains, gradients, suggest_steps, unit
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, NotMeasurable, Order, Scale, Trial, Values, equal

DOUBLINGS = 2 ** np.arange(5, 12)
"""Numbers of ascent steps over which the order is seen."""

PROJECTED_STEPS = 4000


def flow_end(H: Values, g: Values, rho: float) -> Values:
    """The end e of normalised gradient flow of arc length rho from x, e' = (g + He)/||g + He||."""
    found = solve_ivp(
        lambda _, e: unit(g + H @ e), (0.0, rho), np.zeros(len(g)), method="DOP853", rtol=1e-12, atol=1e-13 * rho
    )
    return np.asarray(found.y[:, -1])


def budget_end(H: Values, g: Values, rho: float, n: int) -> Values:
    """z_n - x of the fixed-budget rule."""
    e = np.zeros(len(g))
    for _ in range(n):
        e = e + rho / n * unit(g + H @ e)
    return e


def projected_end(H: Values, g: Values, rho: float, n: int) -> Values:
    """z_n - x of the projected rule with step rho."""
    e = np.zeros(len(g))
    for _ in range(n):
        e = e + rho * unit(g + H @ e)
        e *= min(1.0, rho / float(np.linalg.norm(e)))
    return e


def _problem(setting: Setting, facts: Facts) -> tuple[Values, Values, float]:
    H = setting.problem.hessian(setting.problem.centre)
    return H, gradients(setting, setting.x0[None, :])[0], facts.rho.largest


def _gain(H: Values, g: Values, e: Values) -> float:
    return float(gains(g[None, :], H, e[None, :])[0])


def distance_to_flow(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||z_n - x - e|| against 1/n, e the end of the flow."""
    H, g, rho = _problem(setting, facts)
    end = flow_end(H, g, rho)
    apart = np.array([np.linalg.norm(budget_end(H, g, rho, int(n)) - end) for n in DOUBLINGS])
    if apart[0] < 1e-9 * rho:
        raise NotMeasurable("rounding floor: the path is straight, the gradient is an eigenvector")
    # The solver's tolerance, and a rounding for each step.
    error = np.asarray(rho * (1e-10 + EPS * DOUBLINGS), dtype=np.float64)
    return Trial("ascent paths", 1.0 / DOUBLINGS, apart, lambda scale: np.ones(len(apart)), error)


claims.add(
    Claim(
        id="multistep/budget-flow",
        title="With more steps the path of a fixed budget tends to normalised gradient flow of that length",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.ORDER,
        statement=(r"z_n\to z(\rho),\quad\dot z=\widehat{\nabla f}(z),\ z(0)=x:\qquad\|z_n-z(\rho)\|=O(1/n)"),
        hypotheses=(*BASE, CONVEX),
        measure=Measure.OWN,
        trials={"distance to the flow": distance_to_flow},
        order=Order(1.0, (0.5, 1.5, 2.0)),
        suggest=suggest_steps,
        method="multi-sam:steps=3",
        families=(
            Family(
                "the plane",
                lambda rng, claim: given(claim, "spectrum:h=1/10", gamma=0.05, rho=2.0, x0="1/0.01", steps=1),
            ),
            Family("random spectra", lambda rng, claim: _draw(rng, claim), quick=2, full=20),
        ),
        controls=(
            Control(
                "order 2",
                lambda claim: given(claim, "spectrum:h=1/10", gamma=0.05, rho=2.0, x0="1/0.01", steps=1),
                "distance to the flow",
                broken=lambda claim: replace(claim, order=Order(2.0, (1.0,))),
            ),
        ),
    )
)


def _draw(rng: np.random.Generator, claim: Claim) -> Instance:
    return given(
        claim,
        spectrum_spec(rng, lowest=0.1, singular=False),
        gamma=0.05,
        rho=round(float(rng.uniform(0.3, 2)), 3),
        steps=1,
    )


# -- A5: neither is the inner maximum --


def share_below_one(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """Q_n <= Q of the flow's end, for n up to 2048, and the flow's end stays inside the ball."""
    H, g, rho = _problem(setting, facts)
    best = quadratic_on_ball(g, H, rho).value
    end = flow_end(H, g, rho)
    inside = float(np.linalg.norm(end)) / rho
    bent = 1 - abs(float(unit(g) @ unit(H @ g)))
    if bent < 1e-6:
        raise NotMeasurable("rounding floor: the gradient is an eigenvector, and the path straight")
    # A straight path loses nothing; what a bent one loses is measured, not assumed: both sides must differ visibly.
    shares = np.array([inside, _gain(H, g, end) / best])

    def stated(scale: Scale) -> Values:
        return np.full(2, scale.get("share", 1.0))

    return Trial("ends of the flow", np.arange(2.0), shares, stated, np.full(2, 1e-10))


def projected_reaches(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The projected rule with step rho reaches the inner maximum."""
    H, g, rho = _problem(setting, facts)
    best = quadratic_on_ball(g, H, rho).value
    e, before = (projected_end(H, g, rho, n) for n in (PROJECTED_STEPS, PROJECTED_STEPS // 2))
    if np.linalg.norm(e - before) > 1e-9 * rho:
        raise NotMeasurable(f"horizon too short: the projected rule still moves after {PROJECTED_STEPS} steps")
    return equal("projected rule", np.array([_gain(H, g, e) / best]), np.ones(1), error=np.full(1, 1e-9))


def _reaches(claim: Claim) -> Claim:
    """The belief that the flow's end is the inner maximum."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = share_below_one(setting, facts, steps, lab)
        return equal(found.route, found.measured, np.ones(2), error=np.full(2, 1e-6))

    return replace(claim, trials={"share below one": broken})


claims.add(
    Claim(
        id="multistep/budget-gap",
        title="A fixed budget does not find the inner maximum, however many steps; the projected rule does",
        source=Source(PAPER, None, Provenance.DERIVED, NOTE),
        kind=Kind.UPPER,
        statement=(
            r"Q_n=\frac{f(z_n)-f(x)}{\max_{\|\delta\|\le\rho}f(x+\delta)-f(x)}\to Q_\infty<1\ "
            r"\text{unless }\nabla f(x)\text{ is an eigenvector};\quad\text{projected with step }\rho:\ Q_n\to1"
        ),
        hypotheses=(*BASE, CONVEX),
        measure=Measure.OWN,
        trials={"share below one": share_below_one, "projected rule": projected_reaches},
        suggest=suggest_steps,
        constants={"share": "s times 1, the share of the inner maximum"},
        method="multi-sam:steps=3",
        families=(
            Family(
                "the plane",
                lambda rng, claim: given(claim, "spectrum:h=1/10", gamma=0.05, rho=2.0, x0="1/0.01", steps=1),
            ),
            Family("random spectra", lambda rng, claim: _draw(rng, claim), quick=3, full=30),
        ),
        controls=(
            Control(
                "the path of a fixed budget reaches the inner maximum",
                lambda claim: given(claim, "spectrum:h=1/10", gamma=0.05, rho=2.0, x0="1/0.01", steps=1),
                "share below one",
                broken=_reaches,
            ),
            Control(
                "at most 0.79 of the inner maximum",
                lambda claim: given(claim, "spectrum:h=1/10", gamma=0.05, rho=2.0, x0="1/0.01", steps=1),
                "share below one",
                scale={"share": 0.79},
            ),
        ),
    )
)
