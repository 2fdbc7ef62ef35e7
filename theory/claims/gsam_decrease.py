"""How far GSAM's extra steps lower the surrogate gap: at most so much in all, and truly on convex quadratics."""

from __future__ import annotations

import numpy as np

from theory.claim import Claim, Control, Family, Hypothesis, Instance, Kind, Measure, Provenance, Source, claims
from theory.claims.gsam_band import SOME_RADIUS, scattered
from theory.dynamics import ALL_NORMALISED, QUADRATIC
from theory.gsam import (
    ALPHAS,
    ZETA,
    ZHUANG,
    ZHUANG_NOTE,
    any_radius,
    any_schedule,
    atoms_of,
    balanced_sampling,
    parts,
    same_curvatures,
    scheduled,
    suggest_steps,
)
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, NotMeasurable, Scale, Trial, Values, times_of
from theory.unified_sam import POSITIVE_GAMMA

NOT_NEGATIVE = Hypothesis(
    "smallest eigenvalue",
    lambda f: f.spectrum[-1] if f.spectrum else np.nan,
    ">=",
    lambda f: 0.0,
    "the Hessian has no negative eigenvalue",
)
CLIMBS = Hypothesis("alpha", lambda f: f.parameters["alpha"], ">=", lambda f: 0.0, "alpha >= 0")

MOST_ATOMS = 64
LONGEST_SUM = 400


def decreases(setting: Setting, facts: Facts, steps: int, lab: Lab) -> tuple[Values, Values, Values]:
    """Along one copy of a run: times T, the sum over t < T of gamma_t alpha E_v||g_perp||^2 at x_t, and the largest
    ||grad f_v(x_t)|| over t < T. The mean is over every v."""
    atoms = atoms_of(setting, MOST_ATOMS)
    length = min(steps, LONGEST_SUM)
    points = lab.iterates(setting, np.arange(length))[0]
    gamma, rho = facts.gamma.at(np.arange(length)), facts.rho.at(np.arange(length))
    squares, largest = np.zeros(length), np.zeros(length)
    for t, x in enumerate(points):
        for atom in atoms:
            found = parts(setting.problem, x, float(rho[t]), atom)
            squares[t] += atom.probability * float(found.perp @ found.perp)
            largest[t] = max(largest[t], float(np.linalg.norm(found.g)))
    times = times_of(length, 24)[1:]
    total = np.cumsum(gamma * facts.parameters["alpha"] * squares)
    return times.astype(float), total[times - 1], np.maximum.accumulate(largest)[times - 1]


def falls_like_roots(facts: Facts) -> bool:
    """gamma_t = gamma_0/sqrt(t + 1) and rho_t likewise."""
    return all(schedule.name.startswith("inverse-sqrt:") for schedule in (facts.gamma, facts.rho))


def total(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """sum gamma_t alpha ||g_perp||^2 <= alpha L_S^2 sum gamma_t rho_t^2, and <= zeta(3/2) alpha L_S^2 gamma_0 rho_0^2
    where both fall like 1/sqrt t."""
    times, measured, _ = decreases(setting, facts, steps, lab)
    steps_taken = np.arange(int(times[-1]))
    each = facts.gamma.at(steps_taken) * facts.rho.at(steps_taken) ** 2
    sums = np.cumsum(each)[times.astype(np.int64) - 1]
    if falls_like_roots(facts):
        sums = np.full(len(times), ZETA * float(facts.gamma.at(0)) * float(facts.rho.at(0)) ** 2)

    def stated(scale: Scale) -> Values:
        return np.asarray(scale.get("sum", 1.0) * facts.parameters["alpha"] * facts.L_S**2 * sums)

    error = 64 * EPS * (times + setting.problem.d) * (measured + stated({}))
    return Trial("one copy of a run, all draws at each point", times, measured, stated, error)


class Slopes:
    """Directional derivatives along g_perp on a quadratic, at scattered points: of h_1 = f(x + rho u) - f(x) and of
    f(x + rho u), each (P,), beside ||g_perp||^2 and the rounding of the terms.

    grad h_1 = rho H u + (rho^2/||g||) H P_u H u with P_u = I - u u', and that of f adds g, <g, g_perp> = ||g_perp||^2.
    """

    def __init__(self, setting: Setting, facts: Facts, steps: int, lab: Lab) -> None:
        problem, rho = setting.problem, float(facts.rho.at(0))
        H = problem.hessian(setting.x0)
        gap, loss, square, size = [], [], [], []
        for x in scattered(setting, 0, lab):
            g, gp, perp = parts(problem, x, rho)
            norm = float(np.linalg.norm(g))
            # Where g or gp are only rounding, their directions are anything.
            if min(norm, float(np.linalg.norm(gp))) <= 1e-7 * facts.L_f * (float(np.linalg.norm(x)) + rho):
                continue
            u = g / norm
            Hu = H @ u
            across = Hu - (u @ Hu) * u
            first, second = rho * float(Hu @ perp), rho**2 / norm * float((H @ across) @ perp)
            length = float(np.linalg.norm(perp))
            gap.append(first + second)
            loss.append(first + second + float(g @ perp))
            square.append(length**2)
            terms = rho + rho**2 / norm * facts.L_f
            # g_perp is a difference of vectors as long as g, and gp as wrong as its point.
            wrong = 16 * EPS * problem.d * (norm + facts.L_f * (rho + float(np.linalg.norm(x))))
            size.append((norm + facts.L_f * terms) * wrong + length * wrong * (1 + norm / float(np.linalg.norm(gp))))
        if not gap:
            raise NotMeasurable("no point at which both gradients stand out of rounding")
        self.gap, self.loss, self.square, self.error = map(np.array, (gap, loss, square, size))
        self.at = np.arange(len(gap), dtype=float)


def true_slope(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """-d/ds h_1(x + s g_perp) >= ||g_perp||^2 at s = 0."""
    slopes = Slopes(setting, facts, steps, lab)

    def stated(scale: Scale) -> Values:
        return np.asarray(scale.get("decrease", 1.0) * slopes.square)

    return Trial("derivatives at points", slopes.at, -slopes.gap, stated, slopes.error, ">=")


def perturbed_loss(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """-d/ds f_p(x + s g_perp) >= 0 at s = 0, f_p(x) = f(x + rho u)."""
    slopes = Slopes(setting, facts, steps, lab)
    return Trial(
        "derivatives at points", slopes.at, -slopes.loss, lambda scale: np.zeros(len(slopes.at)), slopes.error, ">="
    )


def _random(rng: np.random.Generator, claim: Claim) -> Instance:
    d, mu = rng.integers(2, 7), 10 ** rng.uniform(-3, -0.3)
    problem = f"quadratic:d={d},mu={mu:.3g},L=1,seed={rng.integers(10**6)}"
    gamma, rho = any_schedule(rng, float(rng.uniform(0.1, 1.5)), 200), any_radius(rng)
    return scheduled(claim, problem, gamma=gamma, rho=rho, alpha=str(rng.choice(ALPHAS[2:])), steps=200)


def _noisy(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = same_curvatures(rng, smallest_d=2)  # in one dimension nothing is perpendicular
    start = f"inverse-sqrt:start={rng.uniform(0.1, 0.9):.3g}"
    sampling, alpha = balanced_sampling(rng, n), str(rng.choice(ALPHAS[2:]))
    return scheduled(claim, problem, sampling, gamma=start, rho="inverse-sqrt:start=0.5", alpha=alpha, steps=100)


def small_radius(claim: Claim) -> Instance:
    """rho far below ||g||/L: the slope is -||g_perp||^2 up to O(rho^3)."""
    return scheduled(claim, "spectrum:h=1/0.2", gamma=0.5, rho=1e-4, alpha=0.1, x0="0.5/3", steps=2, origin="tight")


def saddle(claim: Claim) -> Instance:
    """H = diag(1, -1), x = (.1, .1), rho = .5: the slopes are +11.5 and +12.5 times ||g_perp||^2."""
    return scheduled(claim, "spectrum:h=1/-1", gamma=0.1, rho=0.5, alpha=0.1, x0="0.1/0.1", steps=2, origin="tight")


def isotropic(claim: Claim) -> Instance:
    """f = ||x||^2 with additive noise that both gradients of a step share: g is parallel to gp."""
    return scheduled(
        claim,
        "parabolas:h=2/2@2/2,slopes=1/-1@1/-1",
        "uniform",
        gamma="inverse-sqrt:start=0.2",
        rho="inverse-sqrt:start=0.5",
        alpha=0.5,
        x0="1/-1",
        steps=200,
        origin="tight",
    )


def turning(claim: Claim) -> Instance:
    """A saddle whose g_perp is as long as it can be at the first step."""
    return scheduled(
        claim,
        "spectrum:h=1/-1",
        gamma="inverse-sqrt:start=0.5",
        rho="inverse-sqrt:start=0.1",
        alpha=0.5,
        x0=f"{3**0.5 * 0.1!r}/{6**0.5 * 0.1!r}",
        steps=1,
    )


claims.add(
    Claim(
        id="gsam/gap-decrease",
        title="On convex quadratics GSAM's extra step truly lowers the gap, and all of them together only so far",
        source=Source(ZHUANG, None, Provenance.DERIVED, ZHUANG_NOTE),
        kind=Kind.UPPER,
        statement=(
            r"H\succeq0,\ f_p(x)=f(x+\rho u),\ h_1=f_p-f:\quad\tfrac d{ds}h_1(x+sg_\perp)|_0\le-\|g_\perp\|^2,\ "
            r"\tfrac d{ds}f_p(x+sg_\perp)|_0\le0;\quad"
            r"\sum_t\gamma_t\alpha\|g_\perp\|^2\le\alpha L_S^2\sum_t\gamma_t\rho_t^2,\ "
            r"\le\zeta(\tfrac32)\,\alpha L_S^2\gamma_0\rho_0^2\text{ for }\gamma_t,\rho_t\propto1/\sqrt{t+1}"
        ),
        hypotheses=(QUADRATIC, NOT_NEGATIVE, CLIMBS, SOME_RADIUS, POSITIVE_GAMMA, ALL_NORMALISED),
        measure=Measure.OWN,
        trials={"true slope": true_slope, "perturbed loss": perturbed_loss, "total": total},
        suggest=suggest_steps,
        constants={
            "decrease": "s ||g_perp||^2, the slope at which the gap falls",
            "sum": "s times the most that all steps together can lower the gap",
        },
        method="gsam",
        families=(
            Family("random quadratics", _random, quick=4, full=40),
            Family("noise that does not depend on x", _noisy, quick=2, full=20),
            Family("a small radius", lambda rng, claim: small_radius(claim), full=1),
        ),
        controls=(
            Control("1.05 times the slope", small_radius, "true slope", scale={"decrease": 1.05}),
            Control("a saddle: the gap rises", saddle, "true slope"),
            Control("a saddle: the perturbed loss rises", saddle, "perturbed loss"),
            Control("a third of the sum", turning, "total", scale={"sum": 1 / 3}),
        ),
        remarks=(
            "The bound on the sum needs no convexity and no quadratic; g_perp is as long as L rho at some saddles.",
            "With indefinite Hessians the gap and the perturbed loss may rise: gsam/ascent-lowers-true-gap-at-saddles.",
        ),
    )
)

# -- refuted --


def lower_bound(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """sum gamma_t alpha E||g_perp||^2 >= alpha c^2 rho_0^2 gamma_0 |lambda|_min^2/G^2, c^2 the variance of a sampled
    gradient and G the largest norm of one on the run."""
    times, measured, largest = decreases(setting, facts, steps, lab)
    least = float(np.abs(facts.spectrum).min())
    start = float(facts.gamma.at(0)) * float(facts.rho.at(0)) ** 2

    def stated(scale: Scale) -> Values:
        factor = scale.get("sum", 1.0) * facts.parameters["alpha"]
        return np.asarray(factor * facts.variance * start * least**2 / largest**2)

    # g_perp is a difference of vectors as long as g: what is left of it squared.
    floor = facts.parameters["alpha"] * facts.gamma.largest * times * (64 * EPS * largest) ** 2
    return Trial("one copy of a run, all draws at each point", times, measured, stated, floor, ">=")


NOISY = Hypothesis("variance", lambda f: f.variance, ">", lambda f: 0.0, "the sampled gradient varies")
NONDEGENERATE = Hypothesis(
    "smallest |eigenvalue|",
    lambda f: float(np.abs(f.spectrum).min()) if f.spectrum else np.nan,
    ">",
    lambda f: 0.0,
    "no eigenvalue of the Hessian vanishes",
)


claims.add(
    Claim(
        id="gsam/gap-decrease-lower-bound",
        title="GSAM's steps lower the gap by at least a multiple of the gradient noise",
        source=Source(
            "a natural statement about GSAM, in no paper that was read",
            None,
            Provenance.REFUTED,
            "the natural or recalled form of a lower bound on the decrease of the gap; not read in a paper",
        ),
        kind=Kind.REFUTED,
        statement=(
            r"\sum_t\gamma_t\alpha\,\mathbb E\|g_\perp\|^2"
            r"\ge\frac{\alpha c^2\rho_0^2\gamma_0|\lambda|_{\min}^2}{G^2},\ "
            r"\mathbb E\|\nabla f_v-\nabla f\|^2\ge c^2,\ \|g\|\le G.\quad\text{False: }g_\perp=0\text{ where }H=hI"
        ),
        hypotheses=(QUADRATIC, NONDEGENERATE, NOISY, CLIMBS, SOME_RADIUS, POSITIVE_GAMMA, ALL_NORMALISED),
        measure=Measure.OWN,
        trials={"total": lower_bound},
        suggest=suggest_steps,
        constants={"sum": "s times the claimed total decrease"},
        method="gsam",
        families=(Family("an isotropic Hessian", lambda rng, claim: isotropic(claim), full=1),),
        controls=(Control("the upper bound on the same sum, which is true", isotropic, "total"),),
        corrected="gsam/gap-decrease",
        remarks=(
            "g_perp = 0 exactly where u is an eigenvector of H: always for H = hI, and in one dimension.",
            "A true lower bound must assume an angle between u and the eigenvectors.",
        ),
    )
)

claims.add(
    Claim(
        id="gsam/ascent-lowers-true-gap-at-saddles",
        title="GSAM's extra step lowers the true gap at any Hessian",
        source=Source(
            "a natural statement about GSAM, in no paper that was read",
            None,
            Provenance.REFUTED,
            "the natural form, without holding a gradient fixed, of what is said of GSAM; not read in a paper",
        ),
        kind=Kind.REFUTED,
        statement=(
            r"\tfrac d{ds}h_1(x+sg_\perp)|_0\le-\|g_\perp\|^2,\ \tfrac d{ds}f_p(x+sg_\perp)|_0\le0\text{ for any }H."
            r"\quad\text{False: at }H=\mathrm{diag}(1,-1),\ x=(.1,.1),\ \rho=.5\text{ the slopes are }"
            r"+11.5\|g_\perp\|^2,\ +12.5\|g_\perp\|^2"
        ),
        hypotheses=(QUADRATIC, CLIMBS, SOME_RADIUS, POSITIVE_GAMMA, ALL_NORMALISED),
        measure=Measure.OWN,
        trials={"true slope": true_slope, "perturbed loss": perturbed_loss},
        suggest=suggest_steps,
        method="gsam",
        families=(Family("the stored saddle", lambda rng, claim: saddle(claim), full=1),),
        controls=(
            Control(
                "the corrected statement, where the Hessian is positive definite",
                lambda claim: scheduled(
                    claim, "spectrum:h=1/0.2", gamma=0.1, rho=0.5, alpha=0.1, x0="0.1/0.1", steps=2, origin="tight"
                ),
                "true slope",
            ),
        ),
        corrected="gsam/gap-decrease",
    )
)
