"""Generalised linear models with one example a step: renormalising undoes the ascent altogether."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.families import given
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.ssam import NORMALISED, NOT_READ, PAPER, UNNORMALISED, refuse, with_method
from theory.trial import EPS, Lab, Trial, Values, equal, times_of
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA

SINGLE = ("uniform", "importance", "single")
"""Samplings that draw one component."""

ALONE = Hypothesis(
    "one component a draw (1: yes)",
    lambda f: float(f.sampling.partition(":")[0] in SINGLE or f.n == 1),
    "=",
    lambda f: 1.0,
    "every step draws one component",
)

PARALLEL = 1e-9
"""Two gradients count as parallel when the sine of their angle is no larger."""

CHECKED = 64
"""Components whose gradients are looked at."""


def _check_linear(claim_id: str, setting: Setting) -> None:
    """Refuse f_i that are not convex or whose gradients turn: those of l_i(a_i.x) are multiples of a_i everywhere."""
    problem = setting.problem
    if not problem.convex_components:
        raise refuse(claim_id, "every f_i is convex (1: yes)", 0.0, "=", 1.0)
    rng = np.random.default_rng(0x61)
    size = 1.0 + float(np.linalg.norm(setting.x0))
    points = setting.x0 + size * rng.standard_normal((2, problem.d)) / np.sqrt(problem.d)
    for i in np.unique(np.linspace(0, problem.n - 1, CHECKED).astype(int)):
        one, two = (problem.sample_gradient(int(i), x) for x in points)
        lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
        if lengths == 0:
            continue
        across = two * float(np.linalg.norm(one)) - one * float(one @ two) / float(np.linalg.norm(one))
        sine = float(np.linalg.norm(across)) / lengths
        if sine > PARALLEL:
            raise refuse(claim_id, f"sine of the angle between gradients of f_{i} at two points", sine, "<=", PARALLEL)


def _along(setting: Setting, other: Setting, steps: int, lab: Lab) -> tuple[Values, Values, Values]:
    """At each time the coordinate of x_t - x_0, over all copies, in which two coupled runs differ most: its value in
    either run, and the largest displacement by then."""
    times = times_of(steps, 12)[1:]
    one, two = (lab.iterates(s, times) - setting.x0 for s in (setting, other))
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        return np.full(len(times), np.nan), np.zeros(len(times)), np.ones(len(times))
    apart = np.abs(one - two).transpose(1, 0, 2).reshape(len(times), -1)
    worst = apart.argmax(axis=1)
    rows = np.arange(len(times))
    flat = (run.transpose(1, 0, 2).reshape(len(times), -1)[rows, worst] for run in (one, two))
    first, second = flat
    return first, second, np.maximum.accumulate(np.abs(two).max(axis=(0, 2)))


def _error(setting: Setting, facts: Facts, steps: int, size: Values) -> Values:
    """Each step is off by some roundings of the point and of the gradient's products, and a step of convex components
    takes two points apart by at most max(1, gamma L_S - 1)."""
    times = times_of(steps, 12)[1:].astype(float)
    growth = max(1.0, facts.gamma.largest * facts.L_S - 1)
    place = size + float(np.abs(setting.x0).max())
    return np.asarray(
        4 * (facts.d + 8) * EPS * (times + 1) * growth**times * place * (1 + facts.gamma.largest * facts.L_S)
    )


def coupled(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """Displacements of SSAM, with either ascent, and of SGD on the same draws."""
    sides = [
        _along(with_method(setting, rule), with_method(setting, "sgd"), steps, lab)
        for rule in (UNNORMALISED, NORMALISED)
    ]
    ssam, sgd = (np.concatenate([side[k] for side in sides]) for k in (0, 1))
    error = np.concatenate([_error(setting, facts, steps, side[2]) for side in sides])
    times = times_of(steps, 12)[1:].astype(float)
    return equal("coupled runs", ssam, sgd, error=error, at=np.tile(times, 2))


def ssam_is_sgd(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    _check_linear("ssam/glm-is-sgd", setting)
    return coupled(setting, facts, steps, lab)


def _unchecked(trial: str, measure: Callable[[Setting, Facts, int, Lab], Trial]) -> Callable[[Claim], Claim]:
    """The statement for all components, whatever they are."""
    return lambda claim: replace(claim, trials={trial: measure})


def logcosh_spec(rng: np.random.Generator) -> str:
    """Two to four log-cosh losses of random directions, in as many dimensions."""
    n = int(rng.integers(2, 5))
    rows = "@".join("/".join(f"{entry:.3f}" for entry in rng.standard_normal(n)) for _ in range(n))
    k, b = ("/".join(f"{entry:.3f}" for entry in numbers) for numbers in (rng.uniform(0.5, 4, n), rng.normal(0, 1, n)))
    return f"log-cosh:a={rows},k={k},b={b}"


def draw_logcosh(rng: np.random.Generator, claim: Claim) -> Instance:
    gamma, rho = float(f"{rng.uniform(0.01, 0.3):.3g}"), float(f"{10 ** rng.uniform(-1, 1):.3g}")
    return given(claim, logcosh_spec(rng), str(rng.choice(SINGLE[:2])), gamma=gamma, rho=rho, steps=60)


SQUARES = "least-squares:data=diabetes,scale=rows"
LOGISTIC = "logistic:data=breast_cancer,reg=0,scale=rows"


def _data(spec: str) -> Family:
    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        gamma, rho = float(f"{rng.uniform(0.1, 1.0):.3g}"), float(f"{10 ** rng.uniform(-1, 1):.3g}")
        return given(claim, spec, str(rng.choice(SINGLE[:2])), gamma=gamma, rho=rho, steps=60, origin="data")

    return Family(spec, draw, quick=2, full=12)


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part / facts.L_S), constant(rho_part / facts.L_max)


DISPLACEMENT = {"step": "s times the displacement of SGD"}


def pair(claim: Claim) -> Instance:
    """Real data, two examples a step."""
    return given(claim, SQUARES, "tau-nice:tau=2", gamma=0.5, rho=1.0, steps=60)


claims.add(
    Claim(
        id="ssam/glm-is-sgd",
        title="With one example a step on a convex generalised linear model SSAM is SGD",
        source=Source(PAPER, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.EXACT,
        statement=(
            r"f_i(x)=\ell_i(\langle a_i,x\rangle),\ \ell_i\text{ convex},\ \text{batch }1:\quad "
            r"\tfrac{\|g\|}{\|g_a\|}g_a=g,\ \text{so } x_t^{\rm SSAM}=x_t^{\rm SGD}"
            r"\text{ for every }\rho\text{ and either ascent}"
        ),
        hypotheses=(ALONE, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA),
        measure=Measure.OWN,
        trials={"coupled runs": ssam_is_sgd},
        suggest=_suggest,
        constants=DISPLACEMENT,
        digits=12,
        method=UNNORMALISED,
        families=(
            Family("log-cosh losses", draw_logcosh, quick=2, full=24),
            _data(SQUARES),
            _data(LOGISTIC),
        ),
        controls=(
            Control("two examples a step", pair, "coupled runs"),
            Control(
                "a ridge term, which turns the gradients",
                lambda claim: given(
                    claim, "ridge:data=diabetes,reg=0.1,scale=rows", "uniform", gamma=0.5, rho=1.0, steps=60
                ),
                "coupled runs",
                broken=_unchecked("coupled runs", coupled),
            ),
            Control(
                "one part in 10^9 off",
                lambda claim: given(claim, SQUARES, "uniform", gamma=0.5, rho=1.0, steps=60),
                "coupled runs",
                scale={"step": 1 + 1e-9},
            ),
        ),
        remarks=(
            "That every f_i is convex and has gradients of one direction is checked on the components themselves; a "
            "ridge term breaks it.",
            "An experiment with one example a step on a linear model can show no effect of SSAM at all.",
        ),
    )
)


# -- the same for USAM and squared losses --


def scaled_steps(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """Displacements of USAM and of SGD with the step gamma (1 + rho ||a||^2) on the same draws."""
    _check_linear("ssam/usam-glm-step", setting)
    wider = facts.gamma.largest * (1 + facts.rho.largest * facts.L_max)
    other = with_method(setting, "sgd").with_steps(gamma=wider, rho=0.0)
    usam, sgd, size = _along(with_method(setting, "usam"), other, steps, lab)
    longer = facts.with_steps(wider, facts.rho)
    times = times_of(steps, 12)[1:].astype(float)
    return equal("coupled runs", usam, sgd, error=_error(setting, longer, steps, size), at=times)


EVEN = Hypothesis(
    "L_max/L_avg",
    lambda f: f.L_max / f.L_avg,
    "<=",
    lambda f: 1 + 1e-12,
    "all rows have one length: ||a_i||^2 = L_max",
)

claims.add(
    Claim(
        id="ssam/usam-glm-step",
        title="With one example a step on least squares USAM is SGD with a longer step",
        source=Source(PAPER, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.EXACT,
        statement=(
            r"f_i(x)=\tfrac12(\langle a_i,x\rangle-b_i)^2,\ \|a_i\|=\|a\|,\ \text{batch }1:\quad "
            r"x_t^{\rm USAM}=x_t^{\rm SGD}\text{ with the step }\gamma(1+\rho\|a\|^2)"
        ),
        hypotheses=(
            Hypothesis("f is quadratic (1: yes)", lambda f: float(f.quadratic), "=", lambda f: 1.0, "squared losses"),
            ALONE,
            EVEN,
            CONSTANT_GAMMA,
            CONSTANT_RHO,
            POSITIVE_GAMMA,
        ),
        measure=Measure.OWN,
        trials={"coupled runs": scaled_steps},
        suggest=_suggest,
        constants=DISPLACEMENT,
        digits=12,
        method="usam",
        families=(_data(SQUARES),),
        controls=(
            Control(
                "one part in 10^9 off",
                lambda claim: given(claim, SQUARES, "uniform", gamma=0.1, rho=1.0, steps=60),
                "coupled runs",
                scale={"step": 1 + 1e-9},
            ),
            Control(
                "two examples a step",
                lambda claim: given(claim, SQUARES, "tau-nice:tau=2", gamma=0.1, rho=1.0, steps=60),
                "coupled runs",
            ),
        ),
        remarks=("For rows of different lengths the step changes with the example: gamma (1 + rho ||a_i||^2).",),
    )
)
