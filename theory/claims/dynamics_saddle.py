"""SAM at saddles: the exact window of negative curvature that traps it, and negative curvature alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.dynamics import (
    ABSTRACT_ONLY,
    ALL_NORMALISED,
    AWAY,
    PAPER,
    PERTURBED,
    QUADRATIC,
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
from theory.trial import EPS, Lab, Measuring, NotMeasurable, Scale, Trial, Values, equal, times_of
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, IS_DETERMINISTIC, POSITIVE_GAMMA

BLOCK = (IS_DETERMINISTIC, QUADRATIC, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA, ALL_NORMALISED, PERTURBED)

# -- the window --

E_FOLDINGS = 8.0
"""By this many the slowest of the negative directions must have shrunk or grown before a run is judged."""

PUSH = 1e-8
"""How far from the cycle a run starts, in radii: so small that eight e-foldings of the slowest stay small."""

Window = Callable[[Facts], tuple[float, float]]


def window(facts: Facts) -> tuple[float, float]:
    """gamma lambda_1^2/(2 - gamma lambda_1) and 2 lambda_1/(2 - gamma lambda_1)."""
    gamma, top = facts.gamma.largest, facts.spectrum[0]
    return gamma * top**2 / (2 - gamma * top), 2 * top / (2 - gamma * top)


def _negative(facts: Facts) -> Values:
    """|lambda_j| of the negative eigenvalues."""
    return np.array([-value for value in facts.spectrum if value < 0])


def _slowest(facts: Facts) -> float:
    """The least |ln |mu_j|| over the negative directions: e-foldings a step."""
    h = np.array(facts.spectrum)
    return float(np.abs(np.log(np.abs(multipliers(facts, h)[h < 0]))).min())


def trapped(limits: Window = window) -> Measuring:
    """From next to the cycle, with a push along every eigenvector, the negative coordinates shrink if and only if every
    negative |lambda_j| lies inside the limits. The start of the setting is not read."""

    def measure(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
        slowest = _slowest(facts)
        if slowest * steps < E_FOLDINGS:
            raise NotMeasurable(
                f"horizon too short: the slowest negative direction changes by {slowest * steps:.2g} e-foldings,"
                f" {E_FOLDINGS:g} are needed"
            )
        h, Q = eigenbasis(setting)
        r = float(radii(facts, h[:1])[0])
        w0 = np.full(len(h), PUSH * r)
        w0[0] += r
        near = replace(setting, x0=np.asarray(setting.problem.centre + Q @ w0))
        w = coordinates(near, lab.iterates(near, [0, steps])[0], Q)
        away = np.linalg.norm(w[:, h < 0], axis=1)
        low, high = limits(facts)
        size = _negative(facts)
        stated = np.array([bool(((low < size) & (size < high)).all())])
        # A run that diverged is NaN: not trapped.
        return decisions("end of a run from next to the cycle", np.array([away[1] < away[0]]), stated)

    return measure


IS_SADDLE = Hypothesis(
    "smallest eigenvalue",
    lambda f: f.spectrum[-1] if f.spectrum else np.nan,
    "<",
    lambda f: 0.0,
    "some eigenvalue is negative: x* is a saddle",
)
HAS_RAVINE = Hypothesis(
    "largest eigenvalue",
    lambda f: f.spectrum[0] if f.spectrum else np.nan,
    ">",
    lambda f: 0.0,
    "some eigenvalue is positive: there is a cycle",
)


BELOW_TWO = replace(STABLE, name="gamma lambda_1", text="gamma lambda_1 < 2: the cycle exists")


def trap_steps(claim: Claim, problem: str, gamma: float, rho: float) -> int:
    """The horizon scales like 1/min |ln |mu_j||."""
    facts = facts_of(given(claim, problem, lam="1", gamma=gamma, rho=rho, steps=1).setting)
    return math.ceil(1.01 * E_FOLDINGS / _slowest(facts))


def draw_saddle(rng: np.random.Generator, claim: Claim) -> Instance:
    """Random saddles: one to three negative eigenvalues, anywhere or at 1e-1 to 1e-4 from an end of the window."""
    gamma, rho = round(float(rng.uniform(0.05, 1.9)), 4), round(float(10 ** rng.uniform(-2, 0.3)), 4)
    low, high = gamma / (2 - gamma), 2 / (2 - gamma)
    positive = rng.uniform(0.05, 0.95, int(rng.integers(0, 3)))
    negative = []
    for _ in range(int(rng.integers(1, 4))):
        end = float(rng.choice([low, high])) * (1 + float(rng.choice([-1, 1]) * 10 ** rng.uniform(-4, -1)))
        negative.append(float(rng.choice([end, rng.uniform(low, high), rng.uniform(0.3 * low, 1.5 * high)])))
    h = "/".join(["1", *(f"{value:.4g}" for value in positive), *(f"{-value:.8g}" for value in negative)])
    problem = f"spectrum:h={h},seed={rng.integers(10**6)},basis={rng.choice(['diagonal', 'rotated'])}"
    return given(claim, problem, lam="1", gamma=gamma, rho=rho, steps=trap_steps(claim, problem, gamma, rho))


def _fixed(problem: str, gamma: float = 0.5, rho: float = 0.3) -> Callable[[Claim], Instance]:
    def instance(claim: Claim) -> Instance:
        return given(claim, problem, lam="1", gamma=gamma, rho=rho, steps=trap_steps(claim, problem, gamma, rho))

    return instance


def _other_window(limits: Window) -> Callable[[Claim], Claim]:
    return lambda claim: replace(claim, trials={"trapped": trapped(limits)})


claims.add(
    Claim(
        id="dynamics/saddle-trap",
        title="SAM's cycle at a saddle attracts exactly where all negative curvatures lie in a window",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.EXACT,
        statement=(
            r"\lambda_d<0<\lambda_1,\ \gamma\lambda_1<2:\quad\text{the 2-cycle on }v_1\text{ attracts nearby starts}"
            r"\iff\frac{\gamma\lambda_1^2}{2-\gamma\lambda_1}<|\lambda_j|<\frac{2\lambda_1}{2-\gamma\lambda_1}"
            r"\ \text{ for every }\lambda_j<0"
        ),
        hypotheses=(*BLOCK, HAS_RAVINE, IS_SADDLE, BELOW_TWO),
        measure=Measure.OWN,
        trials={"trapped": trapped()},
        suggest=suggest_steps,
        families=(
            Family("random saddles", draw_saddle, quick=40, full=500),
            Family("(1, -0.5): trapped", lambda rng, claim: _fixed("spectrum:h=1/-0.5")(claim), full=1),
            Family("(1, -0.2): escapes", lambda rng, claim: _fixed("spectrum:h=1/-0.2")(claim), full=1),
        ),
        controls=(
            Control(
                "any negative curvature below the upper end traps",
                _fixed("spectrum:h=1/-0.2"),
                "trapped",
                broken=_other_window(lambda facts: (0.0, window(facts)[1])),
            ),
            Control(
                "no upper end",
                _fixed("spectrum:h=1/-1.5"),
                "trapped",
                broken=_other_window(lambda facts: (window(facts)[0], math.inf)),
            ),
            Control(
                "both ends one part in 1000 lower",
                _fixed("spectrum:h=1/-0.33316"),
                "trapped",
                broken=_other_window(lambda facts: (0.999 * window(facts)[0], 0.999 * window(facts)[1])),
            ),
        ),
        remarks=(
            "Strong negative curvature traps, weak negative curvature escapes.",
            "It is local. From far away SAM may escape all the same: for (1, -0.5), gamma = 0.5 and rho = 0.3 four in"
            " five standard normal starts were seen to; none was with ||g_0|| < rho |lambda_j|.",
            "Above the upper end the cycle repels; runs were seen to stay bounded there where gamma |lambda_j| < 1.",
            "Eigenvalues 0 change nothing: their coordinates never move.",
        ),
    )
)


# -- negative curvature alone --


def _curvature(facts: Facts) -> float:
    """m = -lambda."""
    return -facts.spectrum[0]


def _distance(facts: Facts) -> float:
    """|w_0| = ||g_0||/m; NaN where m is not positive."""
    return math.sqrt(facts.grad_norm2_0) / _curvature(facts) if _curvature(facts) > 0 else math.nan


def caught(facts: Facts) -> int:
    """The time from which |w_t| <= gamma m rho, for |w_0| < rho: ln(1/(1 - |w_0|/rho))/ln(1 + gamma m), rounded up."""
    growth = math.log1p(facts.gamma.largest * _curvature(facts))
    return math.ceil(-math.log1p(-_distance(facts) / facts.rho.largest) / growth)


def _last(facts: Facts, steps: int) -> int:
    """The horizon, or the last time before an escape reaches 1e100."""
    growth = math.log1p(facts.gamma.largest * _curvature(facts))
    return min(steps, int(math.log(1e100 / _distance(facts)) / growth))


def inside(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """From |w_0| < rho: |w_t| <= gamma m rho at every t from `caught` on."""
    rho, gamma, m = facts.rho.largest, facts.gamma.largest, _curvature(facts)
    start = caught(facts)
    if start > steps:
        raise NotMeasurable(f"horizon too short: caught after {start} steps")
    times = start + times_of(steps - start, 400)
    size = np.abs(lab.iterates(setting, times)[0, :, 0] - setting.problem.centre[0])

    def stated(scale: Scale) -> Values:
        return np.full(len(times), scale.get("radius", 1.0) * gamma * m * rho)

    # One step maps the interval into itself; the time it is reached moves by rounding only if w lands on 0.
    return Trial("end of a run", times.astype(np.float64), size, stated, np.full(len(times), 16 * EPS * rho))


def outside(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """From |w_0| > rho: |w_t| - rho = (1 + gamma m)^t (|w_0| - rho)."""
    rho, growth, start = facts.rho.largest, 1 + facts.gamma.largest * _curvature(facts), _distance(facts)
    times = times_of(_last(facts, steps))
    size = np.abs(lab.iterates(setting, times)[0, :, 0] - setting.problem.centre[0])
    powers = growth ** times.astype(np.float64)
    # Each step adds a few EPS of |w|, which then grows like everything else.
    error = 16 * EPS * (times + 1) * powers * start
    return equal("a run", size - rho, powers * (start - rho), error=error, at=times.astype(np.float64))


def escapes_or_not(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """Trapped from inside, escaping along a closed form from outside."""
    return (inside if _distance(facts) < facts.rho.largest else outside)(setting, facts, steps, lab)


def expands(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """Two points on one side of x* move apart by the factor 1 + gamma m: no run converges."""
    rho, gamma, m = facts.rho.largest, facts.gamma.largest, _curvature(facts)
    side = np.linspace(0.05, 1.45, 15) * rho
    w = np.concatenate([-side[::-1], side])[:, None]
    after = lab.step(setting, setting.problem.centre + w)[:, 0] - setting.problem.centre[0]
    stretch = np.diff(after) / np.diff(w[:, 0])
    same = np.diff(np.sign(w[:, 0])) == 0
    stated = np.full(int(same.sum()), 1 + gamma * m)
    # Neighbours are a tenth of rho apart, fifteen times less than their size.
    error = 16 * EPS * 15 * stated
    return equal("neighbouring points after one step", stretch[same], stated, error=error)


def _always_inside(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """|w_t| <= |w_0| at every t, wherever it starts."""
    times = times_of(_last(facts, steps))
    size = np.abs(lab.iterates(setting, times)[0, :, 0] - setting.problem.centre[0])
    limit = np.full(len(times), _distance(facts))
    return Trial("a run", times.astype(np.float64), size, lambda scale: limit, 16 * EPS * limit)


def _contracts(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """1 - gamma m in place of 1 + gamma m."""
    found = expands(setting, facts, steps, lab)
    wrong = np.full(len(found.measured), 1 - facts.gamma.largest * _curvature(facts))
    return replace(found, stated=lambda scale: wrong)


ONE_DIMENSION = Hypothesis("d", lambda f: float(f.d), "=", lambda f: 1.0, "one dimension")
CONCAVE = Hypothesis(
    "eigenvalue",
    lambda f: f.spectrum[0] if f.spectrum else np.nan,
    "<",
    lambda f: 0.0,
    "the only curvature is negative",
)
GENTLE = Hypothesis(
    "gamma m",
    lambda f: f.gamma.largest * _curvature(f) if f.spectrum else np.nan,
    "<=",
    lambda f: 1.0,
    "gamma m <= 1 with m = -lambda",
    step_limit=True,
)
OFF_THE_FALSE_FIXED_POINTS = Hypothesis(
    "| |w_0|/rho - 1 |",
    lambda f: abs(_distance(f) / f.rho.largest - 1) if f.spectrum and f.rho.largest > 0 else np.nan,
    ">",
    lambda f: 1e-9,
    "|w_0| is not rho, where the perturbed gradient vanishes (to 1e-9: rounding decides closer by)",
)


def _draw_concave(rng: np.random.Generator, claim: Claim) -> Instance:
    m = round(float(10 ** rng.uniform(-1, 1)), 3)
    gamma = float(f"{rng.uniform(0.05, 1) / m:.6g}")
    rho = round(float(10 ** rng.uniform(-2, 1)), 4)
    start = rho * float(rng.choice([-1, 1])) * float(rng.choice([rng.uniform(0.01, 0.999), rng.uniform(1.001, 2)]))
    return given(claim, f"spectrum:h={-m}", lam="1", gamma=gamma, rho=rho, x0=f"{start:.8g}", steps=1000)


def _concave(x0: str, gamma: float = 0.5) -> Callable[[Claim], Instance]:
    return lambda claim: given(claim, "spectrum:h=-1", lam="1", gamma=gamma, rho=0.3, x0=x0, steps=200)


claims.add(
    Claim(
        id="dynamics/concave-trap",
        title="Along negative curvature alone SAM is trapped within its radius and escapes from outside",
        source=Source(PAPER, None, Provenance.DERIVED, ABSTRACT_ONLY),
        kind=Kind.INVARIANCE,
        statement=(
            r"f(x)=-\tfrac m2(x-x^*)^2,\ \gamma m\le1,\ w=x-x^*:\quad|w_0|<\rho\Rightarrow|w_t|\le\gamma m\rho"
            r"\ \text{ for }t\ge\Big\lceil\frac{-\ln(1-|w_0|/\rho)}{\ln(1+\gamma m)}\Big\rceil,"
            r"\text{ without converging};\quad|w_0|>\rho\Rightarrow|w_t|-\rho=(1+\gamma m)^t(|w_0|-\rho)"
        ),
        hypotheses=(*BLOCK, ONE_DIMENSION, CONCAVE, GENTLE, AWAY, OFF_THE_FALSE_FIXED_POINTS),
        measure=Measure.OWN,
        trials={"trapped or not": escapes_or_not, "expanding": expands},
        suggest=suggest_steps,
        families=(Family("random", _draw_concave, quick=20, full=200),),
        controls=(
            Control(
                "trapped from 1.5 rho",
                _concave("0.45"),
                "trapped or not",
                broken=lambda claim: replace(claim, trials={"trapped or not": _always_inside}),
            ),
            Control("gamma m = 1.5: escapes from within rho too", _concave("0.2", gamma=1.5), "trapped or not"),
            Control(
                "a contraction: factor 1 - gamma m",
                _concave("0.2"),
                "expanding",
                broken=lambda claim: replace(claim, trials={"expanding": _contracts}),
            ),
        ),
        remarks=("+rho and -rho are fixed points of SAM with gradient m rho, both repelling.",),
    )
)
