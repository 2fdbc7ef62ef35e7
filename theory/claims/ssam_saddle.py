"""Saddles: what each rule does on the eigenvector of a negative eigenvalue, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.dynamics import QUADRATIC, eigenbasis
from theory.families import given
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.ssam import NORMALISED, NOT_READ, PAPER, UNNORMALISED, with_method
from theory.trial import EPS, Lab, NotMeasurable, Scale, Trial, Values
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA

PARTS = np.array([0.01, 0.3, 0.8, 0.95, 1.05, 1.3, 3.0, 100.0])
"""Distances from the saddle, in units of rho: both sides of the distance at which the normalised ascent turns."""

RULES = ("sgd", "usam", UNNORMALISED, "sam", NORMALISED)


def growth(rule: str, facts: Facts, y: Values) -> Values:
    """multiplier - 1 of the distance y to the saddle, in one step of a rule; h is minus the lowest eigenvalue.

    gradient descent gamma h;  USAM gamma h (1 - rho h);  SSAM, unnormalised, gamma h sign(1 - rho h);
    SAM gamma h (1 - rho/|y|);  SSAM, normalised, gamma h sign(|y| - rho).
    """
    gamma, rho, h = facts.gamma.largest, facts.rho.largest, -facts.spectrum[-1]
    turned = {
        "sgd": np.ones_like(y),
        "usam": np.full_like(y, 1 - rho * h),
        UNNORMALISED: np.full_like(y, np.sign(1 - rho * h)),
        "sam": 1 - rho / np.abs(y),
        NORMALISED: np.sign(np.abs(y) - rho),
    }
    return gamma * h * turned[rule]


def _distances(facts: Facts) -> Values:
    """On both sides of the saddle."""
    r = facts.rho.largest if facts.rho.largest > 0 else 1.0
    return np.concatenate([r * PARTS, -r * PARTS])


def multipliers(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """One compiled step of each rule from points on the line, along it; the rules in the order of RULES."""
    y = _distances(facts)
    _, Q = eigenbasis(setting)
    v, centre = Q[:, -1], setting.problem.centre
    points = centre + y[:, None] * v
    after = [(lab.step(with_method(setting, rule), points) - centre) @ v / y for rule in RULES]
    grown = np.array([growth(rule, facts, y) for rule in RULES]).ravel()

    def stated(scale: Scale) -> Values:
        return np.asarray(1 + scale.get("speed", 1.0) * grown)

    gamma, rho, h = facts.gamma.largest, facts.rho.largest, -facts.spectrum[-1]
    # d products of the largest eigenvalue in each gradient, the second seen through rho; divided by y.
    size = 1 + gamma * facts.L_f * (1 + rho * facts.L_f + np.tile(rho / np.abs(y), len(RULES)))
    # Renormalising divides by ||ga||, which cancels where rho h is near 1.
    cancelled = max(1.0, 1 / abs(1 - rho * h)) if rho * h != 1 else 1.0
    error = 8 * (facts.d + 8) * EPS * size * cancelled * facts.L_f / h
    numbers = np.arange(len(grown), dtype=float)
    return Trial("one step from points on the line", numbers, np.array(after).ravel(), stated, error, "=")


LINEAR = ("sgd", "usam", UNNORMALISED)
"""Rules whose multiplier is the same at all distances."""

LONGEST = 200

SEEN = 1e-6
"""How far rounding may lead off the line, in units of the distance."""


def run(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """A run on the line, from as far as x_0 is: |y_T|/|y_0| = |multiplier|^T for the rules with a constant one.

    In a basis other than the eigenvectors' own rounding leads off the line, where a step takes points apart by at most
    1 + gamma L (1 + rho L)/|1 - rho h|; runs are then so short that this does not show."""
    _, Q = eigenbasis(setting)
    centre, size = setting.problem.centre, float(np.linalg.norm(setting.x0 - setting.problem.centre))
    if size == 0:
        raise NotMeasurable("the start is the saddle itself")
    on_line = replace(setting, x0=centre + size * Q[:, -1])
    T = min(max(steps, 1), LONGEST)
    gamma, rho, h = facts.gamma.largest, facts.rho.largest, -facts.spectrum[-1]
    stiff = gamma * facts.L_f * (1 + rho * facts.L_f)
    away = 0.0
    if np.count_nonzero(Q) > facts.d:
        apart = 1 + stiff / min(1.0, abs(1 - rho * h) or 1.0)
        T = min(T, max(int(-np.log(EPS / SEEN) / np.log(apart)), 1))
        away = 8 * (facts.d + 8) * EPS * apart**T
    ends = [lab.iterates(with_method(on_line, rule), [0, T])[0] - centre for rule in LINEAR]
    measured = np.array([np.linalg.norm(end[1]) / np.linalg.norm(end[0]) for end in ends])
    grown = np.array([float(growth(rule, facts, np.ones(1))[0]) for rule in LINEAR])

    def stated(scale: Scale) -> Values:
        return np.asarray(np.abs(1 + scale.get("speed", 1.0) * grown) ** T)

    # Each step is off by a few roundings of its terms.
    wrong = 8 * EPS * (1 + stiff)
    error = (np.abs(1 + grown) + wrong) ** T - np.abs(1 + grown) ** T + away
    return Trial("a run on the line", np.full(len(LINEAR), float(T)), measured, stated, error, "=")


def _always_escapes(claim: Claim) -> Claim:
    """SSAM as it would be if renormalising also turned the step round: it leaves like gradient descent."""

    def broken(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        found = multipliers(setting, facts, steps, lab)
        fast = np.tile(1 + facts.gamma.largest * -facts.spectrum[-1], len(PARTS) * 2)
        ssam = slice(2 * len(fast), 3 * len(fast))
        return replace(
            found, measured=found.measured[ssam], at=found.at[ssam], error=found.error[ssam], stated=lambda scale: fast
        )

    return replace(claim, trials={"multipliers": broken})


def draw(rng: np.random.Generator, claim: Claim) -> Instance:
    """One to four positive eigenvalues and a negative one; rho h on both sides of 1, gamma h below 1."""
    h = float(f"{10 ** rng.uniform(-1, 1):.3g}")
    others = [f"{10 ** rng.uniform(-1, 1):.3g}" for _ in range(rng.integers(1, 5))]
    problem = f"spectrum:h={'/'.join([*others, f'-{h:g}'])},seed={rng.integers(10**6)}"
    part = rng.choice([rng.uniform(0.05, 0.95), rng.uniform(1.05, 4.0)])
    gamma, rho = float(f"{rng.uniform(0.02, 0.95) / h:.3g}"), float(f"{part / h:.3g}")
    x0 = "/".join(["0"] * len(others) + ["1e-6"])
    return given(claim, problem, gamma=gamma, rho=rho, x0=x0, steps=60)


def draw_rotated(rng: np.random.Generator, claim: Claim) -> Instance:
    """The same in a random basis, from the problem's own start."""
    found = draw(rng, claim)
    problem = found.setting.problem.name.replace("basis=diagonal", "basis=rotated")
    gamma, rho = found.setting.gamma.largest, found.setting.rho.largest
    return given(claim, problem, gamma=gamma, rho=rho, steps=60)


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(0.5 * part / facts.L_f), constant(rho_part / facts.L_f)


SADDLE = Hypothesis(
    "lowest eigenvalue",
    lambda f: f.spectrum[-1] if f.spectrum else np.nan,
    "<",
    lambda f: 0.0,
    "the Hessian has a negative eigenvalue -h; h is the largest such",
)
SHORT = Hypothesis(
    "gamma h",
    lambda f: -f.gamma.largest * f.spectrum[-1] if f.spectrum else np.nan,
    "<",
    lambda f: 1.0,
    "gamma h < 1",
)


def stuck(claim: Claim) -> Instance:
    """(x^2 - y^2)/2 with rho h = 1.2."""
    return given(claim, "spectrum:h=1/-1", gamma=0.05, rho=1.2, x0="0/0.001", steps=60, origin="tight")


claims.add(
    Claim(
        id="ssam/saddle",
        title="At a saddle: five rules, their multipliers, and which of them leave",
        source=Source(PAPER, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.EXACT,
        statement=(
            r"f=\tfrac12(\lambda_1x^2-h\,y^2),\ x=0:\quad\frac{y_+}y=1+\gamma h\cdot\begin{cases}"
            r"1&\text{GD}\\1-\rho h&\text{USAM}\\\operatorname{sign}(1-\rho h)&\text{SSAM, unnormalised}\\"
            r"1-\rho/|y|&\text{SAM}\\\operatorname{sign}(|y|-\rho)&\text{SSAM, normalised}\end{cases}"
        ),
        hypotheses=(QUADRATIC, SADDLE, IS_DETERMINISTIC, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA, SHORT),
        measure=Measure.OWN,
        trials={"multipliers": multipliers, "run": run},
        suggest=_suggest,
        constants={"speed": "s times (multiplier - 1)"},
        digits=12,
        method=UNNORMALISED,
        families=(
            Family("random saddles", draw, quick=5, full=80),
            Family("random saddles in a random basis", draw_rotated, quick=2, full=20),
            Family("rho h = 1.2: USAM and SSAM are drawn in", lambda rng, claim: stuck(claim), full=1),
        ),
        controls=(
            Control("SSAM always escapes", stuck, "multipliers", broken=_always_escapes),
            Control("one part in 10^9 off", stuck, "multipliers", scale={"speed": 1 + 1e-9}),
            Control("one part in 10^9 off, along a run", stuck, "run", scale={"speed": 1 + 1e-9}),
        ),
        remarks=(
            "For gamma h < 1 the saddle repels GD always, unnormalised SSAM where rho h < 1, USAM there and, by "
            "overshooting, where gamma h (rho h - 1) > 2; SAM and normalised SSAM stay within |y| <= rho and leave "
            "from outside. Where USAM does not overshoot, renormalising changes the speed, not the basin.",
            "Where rho h = 1 exactly (or |y| = rho) the perturbed gradient is 0 and the rules do not move.",
        ),
    )
)
