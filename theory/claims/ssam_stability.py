"""How far apart SAM and USAM end on two data sets that differ in one example, with the same examples drawn.

E||x_T - x_T'|| times the loss's Lipschitz constant bounds how much the loss of any example changes, and so the expected
gap of generalisation. For SGD on strongly convex losses it is O(1/n). For SAM it is not: the two runs settle in the two
phases of its 2-cycle, however rarely the one example is drawn.

The floor. All z_i = 0 on the line but for one z in one data set and -z in the other, both runs from x_0 = 0, where the
gradient of every other example vanishes. T_{-z}(-x) = -T_z(x) and T_0 is odd, so that x_t' = -x_t from the first draw
of the changed example on, and ||x_t - x_t'|| = 2 |x_t|. The other examples take |x| to
|(1 - gamma h)|x| - gamma h rho|, which brings it nearer to r = gamma h rho/(2 - gamma h) by the factor 1 - gamma h at
least; and |x| <= |z| + rho always.
With probability (1 - 1/n)^k/n the changed example was drawn last k steps ago, so that with q = 1 - 1/n and
c = max(r, |z| + rho - r)

    E (2 r - ||x_T - x_T'||)_+ <= 2 r q^T + (2 c/n)/(1 - (1 - gamma h) q),

where the left side is at least 2 r - E||x_T - x_T'||.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from problems.stability import QuadraticLosses
from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.families import given
from theory.samplings import full, samplings
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting
from theory.ssam import NOT_READ, PAPER, expansion, refuse
from theory.trial import EPS, Lab, NotMeasurable, Order, Scale, Trial, Values
from theory.unified_sam import CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA

SOURCE = Source(PAPER, None, Provenance.DERIVED, NOT_READ)


def losses_of(read: Callable[[Any], float]) -> Callable[[Facts], float]:
    """A number that the losses of both data sets share; NaN where there is no neighbouring data set."""
    return lambda facts: math.nan if facts.losses is None else float(read(facts.losses))


smoothness, convexity = losses_of(lambda losses: losses.smoothness), losses_of(lambda losses: losses.convexity)

UNIFORM = Hypothesis(
    "one component a draw, all alike (1: yes)",
    lambda f: float(f.sampling == "uniform"),
    "=",
    lambda f: 1.0,
    "every step draws one example, all with the same probability",
)
CONVEX_LOSSES = Hypothesis(
    "strong convexity of the losses",
    convexity,
    ">",
    lambda f: 0.0,
    "the problem has a neighbouring data set, and every loss is strongly convex",
)
BLOCK = (CONVEX_LOSSES, UNIFORM, CONSTANT_GAMMA, CONSTANT_RHO, POSITIVE_GAMMA)


def distances(setting: Setting, times: Values, lab: Lab) -> Values:
    """||x_t - x_t'|| of each copy, shape (copies, times): runs on the two data sets with the same examples drawn."""
    data: Any = setting.problem  # a NeighbouringData: no other problem's facts have losses
    other = replace(setting, problem=data.neighbour)
    whole = times.astype(np.int64)
    return np.asarray(np.linalg.norm(lab.iterates(setting, whole) - lab.iterates(other, whole), axis=2))


def changed(setting: Setting) -> Values:
    """The difference of the gradients of the changed example's two losses at x_0; a change of z_i or of a label makes
    it the same everywhere. Shape (d,)."""
    data: Any = setting.problem
    one, two = (problem.sample_gradient(data.flip, setting.x0) for problem in (data, data.neighbour))
    return np.asarray(one - two)


def ends(setting: Setting, steps: int) -> Values:
    """The end of a run and the times n and 2 n before it: from then on every copy has drawn every example once."""
    n = setting.problem.n
    return np.unique([t for t in (n, 2 * n, steps) if t <= max(steps, 1)] or [max(steps, 1)]).astype(float)


# -- the floor --


def _outlier(claim_id: str, setting: Setting) -> float:
    """|z| of the one example that is not 0; refuses other data sets, and starts other than 0."""
    problem = setting.problem
    if not isinstance(problem, QuadraticLosses) or problem.d != 1:
        raise refuse(claim_id, "squared losses on the line (1: yes)", 0.0, "=", 1.0)
    others = np.delete(problem.z[:, 0], problem.flip)
    if others.any():
        raise refuse(claim_id, "largest |z_i| of the other examples", float(np.abs(others).max()), "=", 0.0)
    if setting.x0.any():
        raise refuse(claim_id, "|x_0|", float(np.abs(setting.x0[0])), "=", 0.0)
    return abs(float(problem.z[problem.flip, 0]))


def _check_start(setting: Setting) -> None:
    """The start must be the others' minimiser in floating point too: SAM leaves it for any gradient but 0."""
    data: Any = setting.problem
    for i in {int(data.flip == 0), data.n - 1 - int(data.flip == data.n - 1)}:
        if data.sample_gradient(i, setting.x0).any():
            raise NotMeasurable(
                "rounding floor: z/n is not exact, and x_0 = 0 no exact minimiser; take powers of 2 for n and z"
            )


def radius(facts: Facts) -> float:
    """r = gamma h rho/(2 - gamma h) of the 2-cycle."""
    turn = facts.gamma.largest * facts.L_f
    return turn * facts.rho.largest / (2 - turn)


RESTS = 1e-9
"""In units of rho: a run that comes this near to 0 may rest there."""


def nearest_to_zero(facts: Facts, z: float) -> float:
    """The least |x|/rho to which the changed example and a few others lead from the cycle; SAM rests at 0."""
    least = math.inf
    turn, rho = facts.gamma.largest * facts.L_f, facts.rho.largest
    for phase in (-1.0, 1.0):
        x = phase * radius(facts)
        x = (1 - turn) * x + turn * (z - rho * float(np.sign(x - z)))
        for _ in range(6):
            x = (1 - turn) * x - turn * rho * float(np.sign(x))
            least = min(least, abs(x) / rho)
    return least


def floor_of(facts: Facts, z: float, times: Values) -> Values:
    """2 r (1 - q^T) - (2 c/n)/(1 - (1 - gamma h) q)."""
    turn, r = facts.gamma.largest * facts.L_f, radius(facts)
    q = 1 - 1 / facts.n
    late = 2 * max(r, z + facts.rho.largest - r) / facts.n / (1 - (1 - turn) * q)
    return np.asarray(2 * r * (1 - q**times) - late)


def floor(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """E (2 r - ||x_T - x_T'||)_+ <= 2 r - the floor."""
    z = _outlier("ssam/stability-floor", setting)
    if not (near := nearest_to_zero(facts, z)) > RESTS:
        raise refuse("ssam/stability-floor", "|x|/rho soon after z is drawn on the cycle", near, ">", RESTS)
    _check_start(setting)
    times = ends(setting, steps)
    lowest = floor_of(facts, z, times)
    r = radius(facts)
    if not (lowest > 0).any():
        raise NotMeasurable("horizon too short: for so few examples or steps the floor is below 0")
    times, lowest = times[lowest > 0], lowest[lowest > 0]
    lacking = np.maximum(2 * r - distances(setting, times, lab), 0.0)

    def stated(scale: Scale) -> Values:
        return np.asarray(2 * r - scale.get("floor", 1.0) * lowest)

    return Trial("coupled runs, what is lacking to 2 r", times, lacking, stated, 64 * EPS * r * np.ones(len(times)))


ONE_CURVATURE = Hypothesis("d", lambda f: float(f.d), "=", lambda f: 1.0, "one dimension: f_i = h (x - z_i)^2/2")
SHORT = Hypothesis("gamma h", lambda f: f.gamma.largest * f.L_f, "<", lambda f: 1.0, "gamma h < 1", step_limit=True)
PERTURBED = Hypothesis("rho", lambda f: f.rho.largest, ">", lambda f: 0.0, "rho > 0")


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(0.5 * part / facts.L_S), constant(rho_part / facts.L_f)


def outlier(n: int, *, z: float = 0.5) -> str:
    """One example of n at z, all others at 0; exact in floating point where n is a power of 2."""
    return f"quadratic-losses:n={n},examples=outlier,Z={z:g}"


def _floor_instance(claim: Claim, n: int, *, gamma: float = 0.5, rho: float = 0.3, times: int = 1) -> Instance:
    return given(claim, outlier(n), "uniform", gamma=gamma, rho=rho, x0="0", steps=times * n, origin="tight")


def _draw_floor(rng: np.random.Generator, claim: Claim) -> Instance:
    gamma, rho = float(f"{rng.uniform(0.3, 0.8):.3g}"), float(f"{rng.uniform(0.3, 1.0):.3g}")
    return _floor_instance(claim, int(rng.choice([128, 256])), gamma=gamma, rho=rho, times=int(rng.integers(1, 3)))


claims.add(
    Claim(
        id="ssam/stability-floor",
        title="SAM is not uniformly stable at the rate 1/n: a distance that more examples do not lower",
        source=SOURCE,
        kind=Kind.LOWER,
        statement=(
            r"f_i=\tfrac h2(x-z_i)^2,\ z_i=0\text{ but one }\pm z,\ x_0=x_0'=0,\ 0<\gamma h<1,\ r=\tfrac{\gamma h\rho}"
            r"{2-\gamma h},\ q=1-\tfrac1n:\quad\mathbb E|x_T-x_T'|\ge2r(1-q^T)"
            r"-\frac{2\max(r,|z|+\rho-r)}{n(1-(1-\gamma h)q)}\ \to\ 2r\ \ (T/n\to\infty,\ n\to\infty)"
        ),
        hypotheses=(ONE_CURVATURE, *BLOCK, SHORT, PERTURBED),
        measure=Measure.OWN,
        trials={"floor": floor},
        suggest=_suggest,
        constants={"floor": "s times the distance that is always left"},
        method="sam",
        families=(
            Family("random radii", _draw_floor, quick=2, full=12),
            Family("512 examples", lambda rng, claim: _floor_instance(claim, 512), full=1),
        ),
        controls=(
            Control(
                "a floor 1.5 times as high", lambda claim: _floor_instance(claim, 512), "floor", scale={"floor": 1.5}
            ),
            Control(
                "SGD: its two runs meet at the rate 1/n",
                lambda claim: _floor_instance(claim, 512),
                "floor",
                setting=lambda setting: setting.with_steps(gamma=setting.gamma, rho=0.0),
            ),
        ),
        remarks=(
            "For all but countably many z: where a draw of z leads to x = 0 exactly, SAM rests there and the two runs "
            "meet (gamma = 1/2, rho = 0.3, h = 1: z = 0.2 and z = 0.4).",
        ),
    )
)


# -- the exponent of n --

SIZES = (1, 4, 16, 64)
"""Multiples of n at which the distance is measured."""

TIMES = 40
"""Of the second half of a run, over which its distances are averaged."""

STANDARD_ERRORS = 4.0


def exponent(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The mean of |x_t - x_t'| over the last half of T steps, for n, 4 n, 16 n, 64 n examples with T/n fixed, and four
    standard errors."""
    z = _outlier("ssam/stability-exponent", setting)
    _check_start(setting)
    problem = setting.problem
    assert isinstance(problem, QuadraticLosses)
    means, errors, numbers = [], [], []
    for size in SIZES:
        n = size * problem.n
        examples = np.zeros((n, 1))
        examples[0, 0] = z
        larger = QuadraticLosses(problem.h, examples, flip=0, name=f"{problem.name}, {size} times as many")
        sampling = samplings.build("uniform", problem=larger)
        times = np.round(np.linspace(0.5, 1.0, TIMES) * size * steps)
        found = distances(replace(setting, problem=larger, sampling=sampling), times, lab).mean(axis=1)
        means.append(found.mean())
        errors.append(STANDARD_ERRORS * found.std(ddof=1) / math.sqrt(len(found)) + 64 * EPS * found.mean())
        numbers.append(float(n))
    route = "coupled runs on n, 4 n, 16 n and 64 n examples"
    return Trial(route, np.array(numbers), np.array(means), lambda scale: np.zeros(len(SIZES)), np.array(errors))


def _as_claimed_for_sgd(claim: Claim) -> Claim:
    return replace(claim, order=Order(-1.0, (0.0,)))


def _exponent_instance(claim: Claim) -> Instance:
    return _floor_instance(claim, 32, times=8)


claims.add(
    Claim(
        id="ssam/stability-exponent",
        title="The distance of SAM's two runs falls with the exponent 0 of n, not -1",
        source=SOURCE,
        kind=Kind.ORDER,
        statement=(
            r"f_i=\tfrac h2(x-z_i)^2,\ z_i=0\text{ but one }\pm z,\ x_0=0,\ T=8n:\quad "
            r"\tfrac2T\sum_{T/2<t\le T}\mathbb E|x_t-x_t'|=\Theta(n^0)\ \text{for SAM, where SGD has }\Theta(n^{-1})"
        ),
        hypotheses=(ONE_CURVATURE, *BLOCK, SHORT, PERTURBED),
        measure=Measure.OWN,
        trials={"exponent": exponent},
        order=Order(0.0, (-1.0, -0.5)),
        suggest=_suggest,
        method="sam",
        families=(Family("32 to 2048 examples", lambda rng, claim: _exponent_instance(claim), full=1),),
        controls=(
            Control(
                "the exponent -1 of a uniformly stable rule",
                _exponent_instance,
                "exponent",
                broken=_as_claimed_for_sgd,
            ),
        ),
    )
)


# -- the additive upper bound --


def factor(facts: Facts) -> float:
    """c = max(|1 - gamma mu|, |1 - gamma L|) of a gradient step on one loss."""
    gamma = facts.gamma.largest
    return max(abs(1 - gamma * convexity(facts)), abs(1 - gamma * smoothness(facts)))


def additive(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """E||x_T - x_T'|| <= (gamma D/n + 2 gamma L rho)/(1 - c)."""
    D = float(np.linalg.norm(changed(setting)))
    gamma, rho = facts.gamma.largest, facts.rho.largest
    limit = (gamma * D / facts.n + 2 * gamma * smoothness(facts) * rho) / (1 - factor(facts))
    times = ends(setting, steps)

    def stated(scale: Scale) -> Values:
        return np.full(len(times), scale.get("distance", 1.0) * limit)

    measured = distances(setting, times, lab)
    return Trial("coupled runs", times, measured, stated, 64 * EPS * limit * np.ones(len(times)))


CONTRACTS = Hypothesis(
    "gamma L", lambda f: f.gamma.largest * smoothness(f), "<", lambda f: 2.0, "gamma L < 2", step_limit=True
)

STABLE_DATA = "logistic-losses:data=breast_cancer,n=100,reg=0.2"


def draw_losses(rng: np.random.Generator, claim: Claim) -> Instance:
    h = "/".join(["1", *(f"{value:.2f}" for value in rng.uniform(0.3, 1.0, rng.integers(0, 3)))])
    n = int(rng.integers(10, 31))
    problem = f"quadratic-losses:n={n},h={h},seed={rng.integers(10**6)},flip={rng.integers(n)}"
    rho = float(f"{10 ** rng.uniform(-2, 0):.3g}")
    # gamma <= 1/M serves both rules
    gamma = float(f"{rng.uniform(0.1, 0.4) / expansion(1.0, rho):.3g}")
    return given(claim, problem, "uniform", gamma=gamma, rho=rho, steps=10 * n)


claims.add(
    Claim(
        id="ssam/stability-upper",
        title="SAM on strongly convex losses: a 1/n part and a part of the radius",
        source=SOURCE,
        kind=Kind.UPPER,
        statement=(
            r"\mu\preceq\nabla^2f_z\preceq L,\ c=\max(|1-\gamma\mu|,|1-\gamma L|)<1,\ "
            r"D=\sup_x\|\nabla f_z(x)-\nabla f_{z'}(x)\|:\quad "
            r"\mathbb E\|x_T-x_T'\|\le\frac{\gamma D/n+2\gamma L\rho}{1-c}\quad\text{for all }T"
        ),
        hypotheses=(*BLOCK, CONTRACTS),
        measure=Measure.OWN,
        trials={"coupled runs": additive},
        suggest=_suggest,
        constants={"distance": "s times the bound"},
        method="sam",
        families=(
            Family("random losses", draw_losses, quick=2, full=12),
            Family("the example of the floor", lambda rng, claim: _floor_instance(claim, 128, times=5), full=1),
            Family(
                STABLE_DATA,
                lambda rng, claim: given(claim, STABLE_DATA, "uniform", gamma=0.1, rho=0.05, steps=300, origin="data"),
                full=1,
            ),
        ),
        controls=(
            Control(
                "the 1/n part alone, as if SAM were as stable as SGD",
                lambda claim: _floor_instance(claim, 512, times=5),
                "coupled runs",
                facts=lambda facts: facts.with_steps(facts.gamma, 0.0),
            ),
            Control(
                "a fifth of the bound",
                lambda claim: _floor_instance(claim, 128, times=5),
                "coupled runs",
                scale={"distance": 0.2},
            ),
        ),
        remarks=(
            "D is at most twice the Lipschitz constant of the loss on the points reached, which makes the first part "
            "2 gamma lipschitz/n; where a label or z_i changes, D is one number.",
        ),
    )
)


# -- USAM --


def reach(facts: Facts) -> tuple[float, float]:
    """m = mu (1 + rho mu) and M = L (1 + rho L) of the losses."""
    rho = facts.rho.largest
    return expansion(convexity(facts), rho), expansion(smoothness(facts), rho)


def _usam_limit(setting: Setting, facts: Facts) -> float:
    """D_a/(n m), D_a = ||(I + rho H)(z - z')||: the difference of the changed example's two perturbed gradients."""
    shift = changed(setting)
    H = setting.problem.hessian(setting.x0)
    return float(np.linalg.norm(shift + facts.rho.largest * H @ shift)) / facts.n / reach(facts)[0]


def usam_runs(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """E||x_T - x_T'|| <= D_a/(n m), by coupled runs."""
    limit, times = _usam_limit(setting, facts), ends(setting, steps)

    def stated(scale: Scale) -> Values:
        return np.full(len(times), scale.get("distance", 1.0) * limit)

    return Trial("coupled runs", times, distances(setting, times, lab), stated, 64 * EPS * limit * np.ones(len(times)))


def usam_means(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """||E x_T - E x_T'|| <= D_a/(n m). All losses have one Hessian, so that the means are full-batch runs."""
    times = ends(setting, steps)
    whole = replace(setting, sampling=full(setting.problem.n))
    apart = distances(whole, times, lab)[0]
    limit = _usam_limit(setting, facts)
    place = float(np.abs(setting.x0).max() + np.abs(setting.problem.centre).max()) + limit

    def stated(scale: Scale) -> Values:
        return np.full(len(times), scale.get("distance", 1.0) * limit)

    error = 8 * (facts.d + facts.n + 8) * EPS * place * reach(facts)[1] / reach(facts)[0]
    return Trial("exact distance of the means", times, apart, stated, np.full(len(times), error))


def _usam_instance(claim: Claim, *, gamma: float = 0.5, steps: int = 100) -> Instance:
    return given(claim, outlier(20, z=0.4), "uniform", gamma=gamma, rho=0.3, x0="0", steps=steps, origin="tight")


claims.add(
    Claim(
        id="ssam/usam-stability",
        title="Unnormalised SAM on strongly convex quadratic losses is uniformly stable at the rate 1/n",
        source=SOURCE,
        kind=Kind.UPPER,
        statement=(
            r"\nabla^2f_z=H,\ \mu\preceq H\preceq L,\ m=\mu(1+\rho\mu),\ M=L(1+\rho L),\ \gamma\le\tfrac2{m+M}:\quad "
            r"\mathbb E\|x_T-x_T'\|\le\frac{D_a}{nm}\le\frac{2L_a}{nm},\ "
            r"D_a=\|(I+\rho H)(\nabla f_z-\nabla f_{z'})\|,\ L_a=\sup\|\nabla f_z(x+\rho\nabla f_z(x))\|"
        ),
        hypotheses=(
            Hypothesis("f is quadratic (1: yes)", lambda f: float(f.quadratic), "=", lambda f: 1.0, "quadratic losses"),
            *BLOCK,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<=",
                lambda f: 2 / sum(reach(f)),
                "gamma <= 2/(m + M)",
                step_limit=True,
            ),
        ),
        measure=Measure.OWN,
        trials={"coupled runs": usam_runs, "means": usam_means},
        suggest=lambda facts, part, rho_part: (
            constant(part / expansion(facts.L_max, rho_part / facts.L_max)),
            constant(rho_part / facts.L_max),
        ),
        constants={"distance": "s times the bound"},
        method="usam",
        families=(
            Family("random losses", draw_losses, quick=3, full=12),
            Family("one outlier on the line: attained", lambda rng, claim: _usam_instance(claim), full=1),
        ),
        controls=(
            Control("two percent less", _usam_instance, "means", scale={"distance": 0.98}),
            Control("half the bound", _usam_instance, "coupled runs", scale={"distance": 0.5}),
            Control(
                "gamma = 2.2/M: the runs drift apart",
                lambda claim: _usam_instance(claim, gamma=2.2 / 1.3, steps=60),
                "means",
            ),
        ),
        remarks=(
            "On the line the limit |z - z'|/n is the same for SGD, USAM and SSAM, whatever rho. In the bound the gain "
            "1 + rho mu over SGD can be outweighed by 1 + rho L in D_a.",
            "Times the Lipschitz constant of the loss this bounds uniform stability.",
        ),
    )
)
