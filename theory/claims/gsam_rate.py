"""GSAM with gamma_t and rho_t falling like 1/sqrt t: the rate log T/sqrt T, without bounded gradients."""

from __future__ import annotations

from dataclasses import replace

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
from theory.dynamics import ALL_NORMALISED
from theory.gsam import (
    ALPHAS,
    FINITE_VARIANCE,
    NOISY_STEP_LIMIT,
    STEP_LIMIT,
    ZETA,
    ZHUANG,
    ZHUANG_NOTE,
    balanced_sampling,
    cosines,
    noise,
    perturbation,
    same_curvatures,
    scheduled,
)
from theory.schedules import Schedule, inverse_sqrt
from theory.setting import Facts, Setting
from theory.trial import EPS, Lab, Trial, Values, times_of
from theory.unified_sam import IS_BOUNDED, POSITIVE_GAMMA


def _falls(schedule: Schedule) -> float:
    """1 for start/sqrt(t + 1), and for no radius at all."""
    return float(schedule.name.startswith("inverse-sqrt:") or schedule.constant == 0)


FALLING_GAMMA = Hypothesis(
    "gamma falls like 1/sqrt t (1: yes)",
    lambda f: float(f.gamma.name.startswith("inverse-sqrt:")),
    "=",
    lambda f: 1.0,
    "gamma_t = gamma_0/sqrt(t + 1)",
)
FALLING_RHO = Hypothesis(
    "rho falls like 1/sqrt t (1: yes)",
    lambda f: _falls(f.rho),
    "=",
    lambda f: 1.0,
    "rho_t = rho_0/sqrt(t + 1)",
)


def parts_of_rate(facts: Facts, T: Curve, scale: Scale) -> Curve:
    """C_3 + C_4 (1 + ln T): the start, the radius and the noise."""
    gamma, rho = np.array(facts.gamma.largest), facts.rho.largest
    start = scale.get("start", 1.0) * 2 * facts.gap0 / float(gamma)
    radius = scale.get("perturbation", 1.0) * ZETA * float(perturbation(facts, rho)) ** 2
    with np.errstate(divide="ignore"):
        logarithm = 1 + np.log(T)
    return np.asarray(start + radius + scale.get("noise", 1.0) * float(noise(facts, gamma)) * logarithm)


def rate_curve(facts: Facts, t: Times | Curve, scale: Scale) -> Curve:
    """(C_3 + C_4 (1 + ln T))/sqrt T, infinite at T = 0."""
    T = t.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(T > 0, parts_of_rate(facts, T, scale) / np.sqrt(T), np.inf)


def perturbed_rate(facts: Facts, T: Curve, scale: Scale) -> Curve:
    """Twice that, and 2 L^2 rho_0^2 (1 + ln T)/T."""
    radius = scale.get("perturbation", 1.0) * 2 * facts.L_f**2 * facts.rho.largest**2 * (1 + np.log(T)) / T
    return np.asarray(2 * rate_curve(facts, T, scale) + radius)


def perturbed_average(setting: Setting, facts: Facts, steps: int, lab: Lab) -> Trial:
    """The average of E||grad f(x_t + rho_t u_t)||^2 over t < T, u_t the full gradient's direction."""
    points = lab.iterates(setting, np.arange(steps))
    copies, T, d = points.shape
    rows = points.reshape(-1, d)
    rho = np.tile(facts.rho.at(np.arange(steps)), copies)
    gradients = _gradients(setting, facts, rows, lab)
    norms = np.linalg.norm(gradients, axis=1)
    raised = rows + (rho / np.maximum(norms, 1e-300))[:, None] * gradients
    squares = lab.values(setting, raised)[1].reshape(copies, T)
    times = times_of(steps, 16)[1:]
    averages = np.cumsum(squares, axis=1)[:, times - 1] / times

    def stated(scale: Scale) -> Values:
        return perturbed_rate(facts, times.astype(float), scale)

    at = times.astype(float)
    if not setting.deterministic:
        return Trial("copies of a run", at, averages, stated, np.zeros(len(times)))
    error = 64 * EPS * (at + d) * (averages[0] + stated({}))
    return Trial("a run", at, averages[0], stated, error)


def _gradients(setting: Setting, facts: Facts, rows: Values, lab: Lab) -> Values:
    """grad f at each row: the full-batch step of the compiled rule with gamma = 1 and no radius is x - grad f."""
    plain = setting.with_steps(gamma=1.0, rho=0.0)
    return np.asarray(rows - lab.step(plain, rows))


def _suggest(facts: Facts, part: float, rho_part: float) -> tuple[Schedule, Schedule]:
    """gamma_0 = part/L without noise and part/(2 L) with it; rho_0 = rho_part/(10 L_S)."""
    limit = 1.0 if facts.variance == 0 else 0.5
    return inverse_sqrt(part * limit / facts.L_f), inverse_sqrt(0.1 * rho_part / facts.L_S)


def _made(
    rng: np.random.Generator, claim: Claim, problem: str, sampling: str, *, x0: str, steps: int, top: float
) -> Instance:
    gamma = f"inverse-sqrt:start={rng.uniform(0.3, 0.9) * top:.3g}"
    rho = f"inverse-sqrt:start={rng.choice([0.02, 0.1, 0.3]):g}"
    alpha = str(rng.choice(ALPHAS[:-1]))
    return scheduled(claim, problem, sampling, gamma=gamma, rho=rho, alpha=alpha, x0=x0, steps=steps)


def _common_hessian(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, n = same_curvatures(rng)
    return _made(rng, claim, problem, balanced_sampling(rng, n), x0="scaled:20", steps=400, top=0.7)


def _cosines(rng: np.random.Generator, claim: Claim) -> Instance:
    problem, _ = cosines(rng, noisy=False)
    return _made(rng, claim, problem, "full", x0="start", steps=1000, top=1.0)


def _full_batch(rng: np.random.Generator, claim: Claim) -> Instance:
    problem = f"quadratic:d=5,mu=0.05,L=1,seed={rng.integers(10**6)}"
    return _made(rng, claim, problem, "full", x0="scaled:3", steps=2000, top=1.0)


def large_noise(claim: Claim) -> Instance:
    """f = x^2/2 with noise of variance 1: the log T is there in the bound, and nearly in the average."""
    return scheduled(
        claim,
        "parabolas:h=1/1,slopes=1/-1",
        "uniform",
        gamma="inverse-sqrt:start=0.1",
        x0="0.5",
        steps=10_000,
        origin="tight",
    )


def without_root(claim: Claim) -> Claim:
    """log T/T in the place of log T/sqrt T."""

    def curve(facts: Facts, t: Times, scale: Scale) -> Curve:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(rate_curve(facts, t, scale) / np.sqrt(t.astype(float)))

    return replace(claim, curve=curve)


claims.add(
    Claim(
        id="gsam/log-rate",
        title="GSAM with steps and radii falling like 1/sqrt t: log T/sqrt T",
        source=Source(ZHUANG, None, Provenance.DERIVED, ZHUANG_NOTE),
        kind=Kind.UPPER,
        statement=(
            r"\gamma_t=\tfrac{\gamma_0}{\sqrt{t+1}},\rho_t=\tfrac{\rho_0}{\sqrt{t+1}}:\ "
            r"\tfrac1T\sum_{t<T}\mathbb E\|\nabla f(x_t)\|^2\le\frac{C_3+C_4(1+\ln T)}{\sqrt T},\ "
            r"C_3=\tfrac{2(f(x_0)-f^*)}{\gamma_0}+\zeta(\tfrac32)\max(1,|1+\alpha|)^2L_S^2\rho_0^2,\ "
            r"C_4=\tfrac{L\gamma_0\sigma^2}{1-L\gamma_0};\quad"
            r"\tfrac1T\sum_{t<T}\mathbb E\|\nabla f(x_t+\rho_tu_t)\|^2\le2(\cdot)+\tfrac{2L^2\rho_0^2(1+\ln T)}T"
        ),
        hypotheses=(
            IS_BOUNDED,
            ALL_NORMALISED,
            FALLING_GAMMA,
            FALLING_RHO,
            POSITIVE_GAMMA,
            FINITE_VARIANCE,
            STEP_LIMIT,
            NOISY_STEP_LIMIT,
        ),
        measure=Measure.GRADIENT_AVERAGE,
        curve=rate_curve,
        growth=lambda facts: 0.0,
        trials={"perturbed gradients": perturbed_average},
        suggest=_suggest,
        constants={
            "start": "s times 2 (f(x_0) - f*)/gamma_0",
            "perturbation": "s times the terms in rho_0^2",
            "noise": "s times C_4, what the noise costs",
        },
        method="gsam",
        families=(
            Family("quadratics with one Hessian", _common_hessian, quick=2, full=20),
            Family("cosines, full batch", _cosines, quick=1, full=10),
            Family("quadratics, full batch", _full_batch, quick=2, full=20),
            Family("one dimension, large noise", lambda rng, claim: large_noise(claim), full=1),
        ),
        controls=(
            Control("log T/T", large_noise, "trajectory", broken=without_root),
            Control(
                "a tenth of the start",
                lambda claim: scheduled(
                    claim,
                    "spectrum:h=1",
                    gamma="inverse-sqrt:start=0.5",
                    rho="inverse-sqrt:start=0.1",
                    x0="5",
                    steps=40,
                ),
                "trajectory",
                scale={"start": 0.1},
            ),
        ),
        remarks=("No bound on the gradients is needed.",),
    )
)
