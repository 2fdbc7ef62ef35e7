"""SGD without any perturbation: expected smoothness, the distance to the minimiser, and smooth nonconvex functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.claim import (
    Claim,
    Control,
    Curve,
    Family,
    Hypothesis,
    Instance,
    Kind,
    Measure,
    Provenance,
    Scale,
    Source,
    Times,
    claims,
)
from theory.families import at_the_limit, data, finish, given, random_sampling, random_sum, setting_of, wavy
from theory.schedules import Schedule, constant
from theory.setting import Facts, Setting, facts_of
from theory.smoothness import best_expected_smoothness, slopes_at_minimiser
from theory.step_schedules import switched
from theory.trial import EPS, Lab, NotMeasurable, Trial, Values
from theory.unified_sam import CONSTANT_GAMMA, IS_BOUNDED, LINEAR_CONSTANTS, POSITIVE_GAMMA, ratio_or_infinity
from theory.unified_sam_cases import BREAST, DIABETES
from theory.variance import deviations

GENERAL = (
    "R. M. Gower, N. Loizou, X. Qian, A. Sailanbayev, E. Shulgin and P. Richtarik, "
    "SGD: General Analysis and Improved Rates, ICML 2019"
)
KHALED = "A. Khaled and P. Richtarik, Better Theory for SGD in the Nonconvex World, TMLR 2023"
NOT_READ = "in the shape of its theorem, which was not read; bound derived here, constants are ours"

KNOWN_SMOOTHNESS = Hypothesis(
    "expected smoothness", lambda f: f.expected_smoothness, "<", lambda f: math.inf, "expected smoothness l is finite"
)
KNOWN_NOISE = Hypothesis(
    "E||grad f_v(x*)||^2",
    lambda f: f.noise,
    "<",
    lambda f: math.inf,
    "a minimiser x* is known, with finite noise there",
)
STRONGLY_CONVEX = Hypothesis(
    "mu of strong convexity", lambda f: f.strong_convexity, ">", lambda f: 0.0, "f is mu-strongly convex"
)


# -- expected smoothness --


def _points(setting: Setting) -> Values:
    """x* + r u for random directions u and, for quadratics, the one in which the best constant is attained."""
    problem = setting.problem
    rng = np.random.default_rng(0)
    assert problem.minimiser is not None
    away = [setting.x0 - problem.minimiser, *rng.standard_normal((4, problem.d))]
    components = problem.quadratic_components()
    if components is not None:
        H = components[0]
        values, basis = np.linalg.eigh(H.mean(axis=0))
        root = basis / np.sqrt(values)
        second = root.T @ setting.sampling.moment.mean_of_products(H, H) @ root
        away.append(root @ np.linalg.eigh((second + second.T) / 2)[1][:, -1])
    lengths = [np.linalg.norm(u) for u in away]
    return np.array(
        [problem.minimiser + r * u / size for u, size in zip(away, lengths, strict=True) if size for r in (0.1, 3.0)]
    )


def _second_moment(setting: Setting, X: Values) -> float:
    """E||(1/n) sum_i v_i X_i||^2 for rows X_i."""
    return float((deviations(setting.sampling, X) ** 2).sum() + (X.mean(axis=0) ** 2).sum())


def smoothness_at_points(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """E||grad f_v(x) - grad f_v(x*)||^2 <= 2 l (f(x) - f*) at a few points."""
    problem, points = setting.problem, _points(setting)
    slopes = slopes_at_minimiser(problem)
    assert slopes is not None
    gaps = lab.values(setting, points)[0]
    smoothness = problem.component_smoothness[0]
    centre = float(np.linalg.norm(problem.centre))
    measured, error = [], []
    for point, gap in zip(points, gaps, strict=True):
        rows = np.array([problem.sample_gradient(i, point) for i in range(problem.n)])
        moment = _second_moment(setting, rows - slopes)
        # Each gradient carries the rounding of d products of its terms; v is not negative, so these add up as rows do.
        place = float(np.linalg.norm(point)) + centre
        each = (2 * problem.d + 16) * math.sqrt(problem.d) * EPS * (smoothness * place + np.linalg.norm(slopes, axis=1))
        off = math.sqrt(_second_moment(setting, each[:, None]))
        moved = 2 * math.sqrt(2 * facts.L_f * gap) * EPS * place
        measured.append(moment)
        error.append(
            2 * math.sqrt(moment) * off
            + off**2
            + 2 * facts.expected_smoothness * (moved + EPS * (problem.n + 2 * problem.d + 40) * gap)
        )
    right = 2 * facts.expected_smoothness * gaps

    def stated(scale: Scale) -> Values:
        return np.asarray(scale.get("smoothness", 1.0) * right)

    at = np.arange(len(points), dtype=float)
    return Trial("points around the minimiser", at, np.array(measured), stated, np.array(error))


def best_smoothness(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """lambda_max(H^-1/2 E[H_v^2] H^-1/2), the best constant of a sum of quadratics, beside the formula."""
    best = best_expected_smoothness(setting.problem, setting.sampling)
    if best is None:
        raise NotMeasurable("exact route not available: the best constant is known for quadratics alone")
    conditioning = facts.L_max / facts.spectrum[-1]
    # Eigenvectors of H carry d roundings each, and its inverse square root their conditioning.
    error = np.array([EPS * (facts.n + 64 * facts.d) * best * conditioning])

    def stated(scale: Scale) -> Values:
        return np.array([scale.get("smoothness", 1.0) * facts.expected_smoothness])

    return Trial("best constant of quadratics", np.zeros(1), np.array([best]), stated, error)


def _any_step(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(0.0), constant(0.0)


def _sum_of(kind: str) -> Callable[[np.random.Generator, Claim], Instance]:
    """Random convex sums under one kind of sampling, or indefinite ones."""

    def draw(rng: np.random.Generator, claim: Claim) -> Instance:
        problem, n = random_sum(rng, indefinite=kind == "indefinite")
        sampling = random_sampling(rng, n)
        if kind == "tau-nice":
            sampling = f"tau-nice:tau={rng.integers(1, n + 1)}"
        return given(claim, problem, sampling, gamma=0.0, steps=1)

    return draw


def _whole_batch(claim: Claim) -> Instance:
    """tau-nice with tau = n: l = L_f, attained along the top eigenvector."""
    return given(claim, "quadratic-sum:n=4,d=3,seed=1", "tau-nice:tau=4", gamma=0.0, steps=1, origin="tight")


def _aligned(sampling: str) -> Family:
    """One dimension and interpolation: the formula is attained."""
    return Family(
        f"parabolas, {sampling}",
        lambda rng, claim: given(claim, "parabolas:h=1/2/5/5", sampling, gamma=0.0, steps=1, origin="tight"),
        full=1,
    )


claims.add(
    Claim(
        id="sgd/expected-smoothness",
        title="Expected smoothness of the samplings (B1)",
        source=Source(GENERAL, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.UPPER,
        statement=(
            r"f_i\text{ convex}:\quad\mathbb E\|\nabla f_v(x)-\nabla f_v(x^*)\|^2\le2\mathcal L\,(f(x)-f^*),\quad"
            r"\mathcal L=\max_i\tfrac{L_i}{np_i},\ \tfrac{n(\tau-1)}{\tau(n-1)}L_f+\tfrac{n-\tau}{\tau(n-1)}L_{\max},\ "
            r"L_f+\max_i\tfrac{(1-p_i)L_i}{p_in},\ \max_{\mathcal C}\tfrac{L_{\mathcal C}}{np_{\mathcal C}}"
        ),
        hypotheses=(KNOWN_SMOOTHNESS, KNOWN_NOISE),
        measure=Measure.OWN,
        trials={"points": smoothness_at_points, "best constant": best_smoothness},
        suggest=_any_step,
        constants={"smoothness": "the part of l that would do"},
        method="sgd",
        families=(
            Family("convex sums, any sampling", _sum_of("convex"), quick=6, full=60),
            Family("convex sums, tau-nice", _sum_of("tau-nice"), quick=2, full=20),
            Family("indefinite sums: their own best constant", _sum_of("indefinite"), quick=2, full=20),
            _aligned("importance"),
            _aligned("partition:blocks=2"),
            Family("the whole batch", lambda rng, claim: _whole_batch(claim), full=1),
            Family(
                DIABETES,
                lambda rng, claim: given(claim, DIABETES, "uniform", gamma=0.0, steps=1, origin="data"),
                full=1,
            ),
            Family(
                BREAST, lambda rng, claim: given(claim, BREAST, "importance", gamma=0.0, steps=1, origin="data"), full=1
            ),
        ),
        controls=(
            Control("0.95 l at tau = n, best constant", _whole_batch, "best constant", scale={"smoothness": 0.95}),
            Control("0.95 l at tau = n, at points", _whole_batch, "points", scale={"smoothness": 0.95}),
        ),
        remarks=(
            "With replacement, tau draws: (1 - 1/tau) L_f + max_i L_i/(tau n q_i).",
            "Quadratics with an indefinite component: l = lambda_max(H^-1/2 E[H_v^2] H^-1/2), their best constant.",
        ),
    )
)


# -- constant steps --


def _distance_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    """(1 - gamma mu)^t ||x_0 - x*||^2 + 2 gamma sigma^2/mu."""
    gamma, mu = facts.gamma.largest, facts.strong_convexity
    factor = max(1 - scale.get("rate", 1.0) * gamma * mu, 0.0)
    noise = scale.get("neighbourhood", 1.0) * 2 * gamma * facts.noise / mu
    return np.asarray(factor ** t.astype(float) * facts.distance2_0 + noise)


def distance_step_limit(facts: Facts) -> float:
    """1/(2 l)."""
    return ratio_or_infinity(1.0, 2 * facts.expected_smoothness)


def _distance_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    return constant(part * distance_step_limit(facts)), constant(0.0)


def _at_the_limit(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = random_sum(rng, indefinite=bool(rng.random() < 0.3))
    return at_the_limit(claim, problem, random_sampling(rng, n), lam="0")


def _inside(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = random_sum(rng, indefinite=bool(rng.random() < 0.3))
    return at_the_limit(claim, problem, random_sampling(rng, n), lam="0", theta=float(rng.uniform(0.05, 1)))


COIN = "parabolas:h=1/1,slopes=1/-1"
"""f_i = x^2/2 +- x: gradients that differ by a constant."""


def _coin(gamma: float, *, x0: str = "0", steps: int = 400) -> Callable[[Claim], Instance]:
    return lambda claim: given(claim, COIN, "uniform", gamma=gamma, x0=x0, steps=steps, origin="tight")


claims.add(
    Claim(
        id="sgd/constant-step",
        title="SGD's distance to the minimiser, constant step (B2)",
        source=Source(GENERAL, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.UPPER,
        statement=(
            r"\gamma\le\tfrac1{2\mathcal L},\;\sigma^2=\mathbb E\|\nabla f_v(x^*)\|^2:\quad"
            r"\mathbb E\|x_t-x^*\|^2\le(1-\gamma\mu)^t\,\|x_0-x^*\|^2+\tfrac{2\gamma\sigma^2}\mu"
        ),
        hypotheses=(
            STRONGLY_CONVEX,
            KNOWN_SMOOTHNESS,
            KNOWN_NOISE,
            CONSTANT_GAMMA,
            POSITIVE_GAMMA,
            Hypothesis(
                "gamma",
                lambda f: f.gamma.largest,
                "<=",
                distance_step_limit,
                "gamma <= 1/(2 l), l the expected smoothness",
                step_limit=True,
            ),
        ),
        measure=Measure.DISTANCE,
        curve=_distance_curve,
        suggest=_distance_suggest,
        constants=LINEAR_CONSTANTS | {"neighbourhood": "s 2 gamma sigma^2/mu: the part of it that would do"},
        method="sgd",
        families=(
            Family("sums at the limit", _at_the_limit, quick=3, full=24),
            Family("sums inside", _inside, quick=3, full=24),
            Family("additive noise from the minimiser", lambda rng, claim: _coin(0.05)(claim), full=1),
            Family(
                "one parabola",
                lambda rng, claim: given(
                    claim, "quadratic:d=1,mu=1,L=1", "full", gamma=0.01, steps=200, origin="tight"
                ),
                full=1,
            ),
            data(BREAST, ("uniform", "0"), ("importance", "0"), ("tau-nice:tau=16", "0")),
            data(DIABETES, ("tau-nice:tau=64", "0"), ("tau-nice:tau=128", "0")),
        ),
        controls=(
            Control("a noise factor of 0.1 instead of 2", _coin(0.5), "trajectory", scale={"neighbourhood": 0.05}),
            Control(
                "rate doubled: (1 - 2 gamma mu)^t",
                lambda claim: given(claim, "quadratic:d=1,mu=1,L=1", "full", gamma=0.25, steps=20),
                "trajectory",
                scale={"rate": 2.0},
            ),
        ),
        remarks=(
            "Strong quasi-convexity about x* is all that the proof uses of strong convexity.",
            "For parabolas that differ by slopes the noise term is 2(2 - gamma mu) times the stationary moment.",
        ),
    )
)


# -- decreasing steps --


def _switch(facts: Facts) -> int:
    """4 ceil(l/mu)."""
    return 4 * math.ceil(facts.expected_smoothness / facts.strong_convexity)


def _wanted(facts: Facts) -> Schedule:
    return switched(distance_step_limit(facts), facts.strong_convexity, _switch(facts))


def _switched_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    """8 sigma^2/(mu^2 t) + 16 ceil(kappa)^2 ||x_0 - x*||^2/(e^2 t^2) from t = 4 ceil(kappa) on."""
    mu, first, s = facts.strong_convexity, _switch(facts), t.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = scale.get("noise", 1.0) * 8 * facts.noise / (mu**2 * s)
        start = scale.get("start", 1.0) * (first / (math.e * s)) ** 2 * facts.distance2_0
    return np.where(t >= first, noise + start, np.inf)


def _switched_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    possible = facts.strong_convexity > 0 and math.isfinite(facts.expected_smoothness)
    return _wanted(facts) if possible else constant(math.nan), constant(0.0)


_PROBES = np.unique(np.concatenate([np.arange(2000), np.geomspace(2000, 10**7, 60).astype(np.int64)]))


def _off_schedule(facts: Facts) -> float:
    if not (facts.strong_convexity > 0 and math.isfinite(facts.expected_smoothness)):
        return math.nan
    first = _switch(facts)
    probes = np.unique(np.concatenate([_PROBES, [max(first - 1, 0), first, first + 1]]))
    target = _wanted(facts).at(probes)
    return float(np.max(np.abs(facts.gamma.at(probes) - target) / target))


def _switched(problem: str, sampling: str, *, x0: str | None = None, periods: int = 20) -> Callable[[Claim], Instance]:
    """The theorem's steps, for `periods` times the length of the constant phase."""

    def draw(claim: Claim) -> Instance:
        setting = setting_of(claim, problem, sampling, x0=x0)
        facts = facts_of(setting)
        gamma, rho = claim.suggest(facts, 1.0, 1.0)
        return finish(
            problem, sampling, setting.with_steps(gamma=gamma, rho=rho), periods * _switch(facts), x0, "tight"
        )

    return draw


def _noisy(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = random_sum(rng, indefinite=bool(rng.random() < 0.3), noise=float(rng.choice([0.3, 1.0])))
    return at_the_limit(claim, problem, random_sampling(rng, n), lam="0")


claims.add(
    Claim(
        id="sgd/decreasing-step",
        title="SGD's distance to the minimiser, constant and then decreasing steps (B2')",
        source=Source(GENERAL, None, Provenance.DERIVED, NOT_READ),
        kind=Kind.UPPER,
        statement=(
            r"\kappa=\mathcal L/\mu,\;\gamma_t=\tfrac1{2\mathcal L}\ (t<4\lceil\kappa\rceil),\ "
            r"\tfrac{2t+1}{(t+1)^2\mu}\ (t\ge4\lceil\kappa\rceil):\quad\mathbb E\|x_t-x^*\|^2\le"
            r"\tfrac{8\sigma^2}{\mu^2t}+\tfrac{16\lceil\kappa\rceil^2}{e^2t^2}\|x_0-x^*\|^2,"
            r"\quad t\ge4\lceil\kappa\rceil"
        ),
        hypotheses=(
            STRONGLY_CONVEX,
            KNOWN_SMOOTHNESS,
            KNOWN_NOISE,
            Hypothesis(
                "deviation of gamma_t from switched:start=1/(2l),mu=mu,after=4 ceil(l/mu)",
                _off_schedule,
                "<=",
                lambda f: 1e-12,
                "gamma_t = 1/(2 l) for t < 4 ceil(l/mu), then (2t + 1)/((t + 1)^2 mu), up to rounding",
            ),
        ),
        measure=Measure.DISTANCE,
        curve=_switched_curve,
        suggest=_switched_suggest,
        constants={"noise": "the 1/t term", "start": "the 1/t^2 term"},
        method="sgd",
        families=(
            Family("noisy sums", _noisy, quick=4, full=24),
            Family("additive noise", lambda rng, claim: _switched(COIN, "uniform", x0="0", periods=400)(claim), full=1),
            Family(
                "additive noise from afar",
                lambda rng, claim: _switched(COIN, "uniform", x0="30", periods=100)(claim),
                full=1,
            ),
            data("logistic:data=breast_cancer,reg=0.2,scale=rows", ("tau-nice:tau=16", "0"), ("uniform", "0")),
        ),
        controls=(
            Control(
                "a factor of 0.8 instead of 8",
                _switched(COIN, "uniform", x0="0", periods=400),
                "trajectory",
                scale={"noise": 0.1},
            ),
            Control(
                "a pure 1/t^2 rate: no 1/t term",
                _switched(COIN, "uniform", x0="1", periods=400),
                "trajectory",
                scale={"noise": 0.0},
            ),
        ),
        remarks=(
            "With one more constant step, at t = 4 ceil(kappa), the proof needs 4 ceil(kappa) + 1 <= 8 kappa, untrue "
            "for 1 < kappa < 9/8.",
        ),
    )
)


# -- nonconvex functions --


def _growth(facts: Facts) -> float:
    """L_f gamma^2 A."""
    return facts.L_f * facts.gamma.largest**2 * facts.A


def _nonconvex_curve(facts: Facts, t: Times, scale: Scale) -> Curve:
    """2 (1 + L_f gamma^2 A)^T D_0/(gamma T) + L_f gamma C."""
    gamma = facts.gamma.largest
    # From the minimiser there is nothing to descend, however large the weights grow.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        descent = 2 * np.exp(t * math.log1p(_growth(facts))) * facts.gap0 / (gamma * t) if facts.gap0 else 0.0 * t
    noise = scale.get("neighbourhood", 1.0) * facts.L_f * gamma * facts.C
    return np.asarray(scale.get("descent", 1.0) * descent + noise)


def _nonconvex_step(facts: Facts, gap: Curve, norm2: Curve, t: int, scale: Scale) -> Curve:
    """(1 + L_f gamma^2 A) D - gamma (1 - L_f gamma B/2) ||grad f||^2 + L_f gamma^2 C/2."""
    gamma = facts.gamma.largest
    fall = gamma * (1 - facts.L_f * gamma * facts.B / 2) * norm2
    noise = scale.get("neighbourhood", 1.0) * facts.L_f * gamma**2 * facts.C / 2
    return np.asarray((1 + _growth(facts)) * gap - fall + noise)


def _nonconvex_limit(facts: Facts) -> float:
    """1/(L_f B)."""
    return ratio_or_infinity(1.0, facts.L_f * facts.B)


def _nonconvex_suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """Parts of the limit; of 1/L_f where B = 0."""
    return constant(part * min(_nonconvex_limit(facts), 1 / facts.L_f)), constant(0.0)


def _tossed(claim: Claim) -> Instance:
    """x^2 + a coin's slope, gamma = 1/L_f from the minimiser: ||grad f||^2 is L_f gamma C at once."""
    problem = "pl-sine:d=1,a=0,n=2,noise=additive"
    return given(claim, problem, "uniform", gamma=0.5, x0="0", steps=200, origin="tight")


def _first_step(claim: Claim) -> Instance:
    """A start on the top eigenvector, gamma = 1/L_f: ||grad f(x_0)||^2 = 2 L_f D_0."""
    return given(claim, "spectrum:h=1/0.5", "full", gamma=1.0, x0="1/0", steps=8, origin="tight")


claims.add(
    Claim(
        id="sgd/nonconvex",
        title="SGD on smooth nonconvex functions (B4)",
        source=Source(KHALED, "Theorem 2", Provenance.DERIVED, "number per a review; bound derived here"),
        kind=Kind.UPPER,
        statement=(
            r"\gamma\le\tfrac1{L_fB}:\quad\min_{t<T}\mathbb E\|\nabla f(x_t)\|^2\le"
            r"\tfrac{2(1+L_f\gamma^2A)^T(f(x_0)-f^{\inf})}{\gamma T}+L_f\gamma C"
        ),
        hypotheses=(
            IS_BOUNDED,
            CONSTANT_GAMMA,
            POSITIVE_GAMMA,
            Hypothesis(
                "gamma", lambda f: f.gamma.largest, "<=", _nonconvex_limit, "gamma <= 1/(L_f B)", step_limit=True
            ),
        ),
        measure=Measure.GRADIENT_AVERAGE,
        curve=_nonconvex_curve,
        one_step=_nonconvex_step,
        growth=_growth,
        suggest=_nonconvex_suggest,
        constants={"descent": "the term in 1/(gamma T)", "neighbourhood": "the term L_f gamma C"},
        method="sgd",
        families=(
            Family("sums inside", _inside, quick=3, full=24),
            Family("wavy functions, multiplicative noise", wavy("multiplicative", "uniform"), quick=1, full=8),
            Family("wavy functions, additive noise", wavy("additive", "uniform"), quick=1, full=8),
            Family("wavy functions, full batch", wavy("none", "full"), quick=1, full=8),
            Family("a coin's slope at the limit", lambda rng, claim: _tossed(claim), full=1),
            Family("the first step along the top eigenvector", lambda rng, claim: _first_step(claim), full=1),
            Family("a sine, not PL", lambda rng, claim: given(claim, "sine-stall:rho=1", "full"), full=1),
            data("logistic:data=breast_cancer,reg=0.01,scale=rows", ("uniform", "0"), ("importance", "0")),
        ),
        controls=(
            Control("an eighth of the noise term", _tossed, "paths", scale={"neighbourhood": 0.125}),
            Control("an eighth of the noise term, one step", _tossed, "one-step", scale={"neighbourhood": 0.125}),
            Control("0.9 of the descent term", _first_step, "trajectory", scale={"descent": 0.9}),
        ),
        remarks=(
            "Measured as the weighted average of the proof, which is at least the minimum.",
            "gamma = min(1/sqrt(L_f A T), 1/(L_f B), eps^2/(2 L_f C)) gives at most eps^2 from "
            "T = 12 D_0 L_f/eps^2 max(B, 12 D_0 A/eps^2, 2 C/eps^2) on.",
        ),
    )
)
