"""The numbers of the tight families, through the formulas of the claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.engine.run import simulate
from experiments.verify.case import Case
from experiments.verify.points import one_step_evidence
from experiments.verify.verdict import Verdict
from problems.problem import problems
from theory.claim import NO_SCALE, OutsideHypotheses, claims
from theory.families import given, setting_of
from theory.samplings import quadratic_er, samplings
from theory.setting import facts_of, make_setting


def test_sgd_rate_is_attained_on_the_mixed_curvature_pair() -> None:
    claim = claims["sgd/pl"]
    instance = given(claim, "mixed-curvature:a=2,b=1", "uniform", steps=1, theta=1.0)
    facts = facts_of(instance.setting)
    assert pytest.approx((4 + 1) / (2 - 1), rel=1e-14) == facts.A
    assert facts.gamma.largest == pytest.approx(facts.mu / (facts.L_f * facts.A), rel=1e-14)
    found = one_step_evidence(Case(claim, instance.setting, facts, 1, NO_SCALE, "tight", ""))
    assert found.verdict is Verdict.CONSISTENT
    # Equality at every point: (1 - gamma mu) is exact, so measured and bound differ by rounding alone.
    np.testing.assert_allclose(found.measured_curve, found.bound_curve, rtol=1e-14)
    # ... and any faster rate is refuted.
    faster = Case(claim.without_hypotheses(), instance.setting, facts, 1, {"rate": 1.001}, "tight", "")
    assert one_step_evidence(faster).verdict is Verdict.VIOLATED


def test_u1_refuses_the_step_that_is_tight_for_sgd() -> None:
    tight = given(claims["sgd/pl"], "mixed-curvature:a=2,b=1", "uniform", steps=1, theta=1.0)
    claim = claims["unified-sam/pl-constant"]
    setting = setting_of(claim, "mixed-curvature:a=2,b=1", "uniform", lam="0")
    facts = facts_of(setting.with_steps(gamma=tight.setting.gamma, rho=0.0))
    with pytest.raises(OutsideHypotheses, match="gamma: "):
        claim.bound(facts, np.array([1]))
    limit = next(f for f in claim.findings(facts) if f.hypothesis == "gamma" and f.relation == "<=").limit
    # Twice U1's limit with L = L_f, and L/L_f times more because U1 needs L_S.
    assert tight.setting.gamma.largest / limit == pytest.approx(2 * facts.L / facts.L_f, rel=1e-12)


def test_lmax_is_refuted_by_both_counterexamples() -> None:
    claim = claims["unified-sam/arbitrary-sampling-lmax"]
    (family,) = claim.families
    instance = family.draw(np.random.default_rng(0), claim)
    facts = facts_of(instance.setting)
    assert pytest.approx(5000, rel=1e-12) == facts.A
    assert [facts.B, facts.C] == [0.0, 0.0]
    assert facts.gamma.largest == pytest.approx(5e-5, rel=1e-4)
    assert facts.rho.largest == pytest.approx(0.25, rel=1e-12)
    found = one_step_evidence(Case(claim, instance.setting, facts, 1, NO_SCALE, "tight", ""))
    start = facts.gap0
    # The page's numbers: the gap grows by 1.000414 where the statement claims at most 0.999950.
    assert found.measured_curve[0] / start == pytest.approx(1.000414, abs=5e-7)
    assert found.bound_curve[0] / start == pytest.approx(0.999950, abs=5e-7)
    # The second one, with the instance's own ER constant: 1.0264.
    problem = problems.build("parabolas:h=0.01/1")
    sampling = samplings.build("single:p=1e-6/0.999999", problem=problem)
    setting = make_setting(problem, sampling=sampling, lam="0")
    own = replace(facts_of(setting), A=quadratic_er(problem, sampling).A)
    gamma, rho = claim.suggest(own, 1.0, 1.0)
    found = one_step_evidence(
        Case(claim, setting.with_steps(gamma=gamma, rho=rho), own.with_steps(gamma, rho), 1, NO_SCALE, "tight", "")
    )
    assert found.verdict is Verdict.VIOLATED
    assert found.measured_curve[0] / own.gap0 == pytest.approx(1.0264, abs=5e-5)


def test_one_sided_family_reaches_its_share_of_the_neighbourhood() -> None:
    # q = .95, L rho = .98: the plateau tends to q^2 L rho / 2 = .4422 of N from below as gamma -> 0.
    claim = claims["unified-sam/pl-constant"]
    setting = setting_of(claim, "one-sided:q=0.95,d=2,beta=1", "single:p=0.95/0.05", lam="1", x0="-0.98")
    setting = setting.with_steps(gamma=1e-4, rho=0.98)
    facts = facts_of(setting)
    # The plateau is the stationary mean: the start is on it and the transient is over after 5/(gamma mu) steps.
    run = simulate(setting, steps=200_000, times=np.array([100_000, 150_000, 200_000]), replicates=64, seed=1)
    bound = claim.curve(facts, np.array([10**9]), NO_SCALE) if claim.curve else np.zeros(1)
    assert run.gap.mean() / (facts.L * 0.98 / facts.mu) == pytest.approx(0.4419, abs=0.003)
    assert 0 < run.gap.mean() / bound[0] < 0.45


def test_sharp_nonconvex_bound_is_nearly_attained_on_the_tent() -> None:
    claim = claims["unified-sam/nonconvex-sharp"]
    family = next(f for f in claim.families if f.name == "tent")
    instance = family.draw(np.random.default_rng(0), claim)
    facts = facts_of(instance.setting)
    run = simulate(instance.setting, steps=instance.steps, times=np.array([0, instance.steps]))
    average = run.sums[0, -1] / instance.steps
    ratio = average / claim.bound(facts, np.array([instance.steps]))[0]
    assert ratio == pytest.approx(0.9895, abs=5e-4)


def test_sgd_noise_term_is_attained_by_a_coin() -> None:
    claim = claims["sgd/pl"]
    instance = given(claim, "parabolas:h=1/1,slopes=1/-1", "uniform", gamma=1.0, x0="0", steps=1)
    facts = facts_of(instance.setting)
    found = one_step_evidence(Case(claim, instance.setting, facts, 1, NO_SCALE, "tight", ""))
    assert found.measured_curve[0] == pytest.approx(float(found.bound_curve[0]), rel=1e-14)


@pytest.mark.parametrize("factor", [8.0, 17 / 4, 4.2])
def test_example_steps_are_admissible_down_to_17_over_4(factor: float) -> None:
    """gamma = mu/(factor L (B mu + A)), rho as in A.4: 8 as published, 17/4 still admissible, 4.2 is not."""
    claim = claims["unified-sam/pl-constant"]
    # Where A + B mu = mu and (1 - lam)^2 = 1/2, the ratio is exactly 1 at 17/4.
    setting = setting_of(claim, "quadratic:d=1,mu=1,L=1", "full", lam=repr(1 - 0.5**0.5))
    rho = 0.25 * min(1.0, 1 / (2 * 0.5))
    # One part in 1e12 inside, because the square root above is rounded.
    gamma = 1 / factor * (1 - 1e-12)
    assert claim.admits(facts_of(setting.with_steps(gamma=gamma, rho=rho))) is (factor > 4.2)


def test_plateau_formula_has_the_quoted_values() -> None:
    claim = claims["unified-sam/plateau"]
    for lam, wanted in (("1", 1.3888888889e-05), ("0.5", 3.5308e-06), ("0.1", 5.3916e-08)):
        setting = setting_of(claim, "quadratic:d=100,mu=0.1,L=10,basis=diagonal", "full", lam=lam)
        # Figure 1's steps: gamma = 1/(8 L) and rho = min(1, 1/(2 (1 - lam)^2))/(4 L).
        other = (1 - float(lam)) ** 2
        rho = 0.025 * (1.0 if other == 0 else min(1.0, 1 / (2 * other)))
        facts = facts_of(setting.with_steps(gamma=0.0125, rho=rho))
        assert claim.bound(facts, np.array([0]))[0] == pytest.approx(wanted, rel=1e-4)


def test_example_steps_never_beat_the_admissible_ones() -> None:
    rng = np.random.default_rng(0)
    claim = claims["unified-sam/pl-constant"]
    facts = facts_of(setting_of(claim, "quadratic:d=1,mu=1,L=1", "full"))
    for _ in range(300):
        L = float(10 ** rng.uniform(0, 3))
        B = float(rng.choice([0.0, rng.uniform(0, 2)]))
        # Every PL function has A + B mu >= mu = 1.
        A = max(1.0 - B, 0.0) + float(10 ** rng.uniform(-2, 3))
        own = replace(facts, L_f=L, L_S=L, A=A, B=B)
        for lam in (0.0, 0.3, 1.0):
            other = (1 - lam) ** 2
            rho = 0.25 / L * (1.0 if other == 0 else min(1.0, 1 / (2 * (B + A) * other)))
            chosen = make_setting(
                problems.build("quadratic:d=1,mu=1,L=1"), gamma=1 / (8 * L * (B + A)), rho=rho, lam=lam
            )
            mixed = own.with_steps(chosen.gamma, chosen.rho, chosen.lam)
            limit = next(f for f in claim.findings(mixed) if f.hypothesis == "gamma" and f.relation == "<=")
            assert limit.value / limit.limit <= 0.5313, limit
