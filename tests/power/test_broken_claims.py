"""The check can fail: break a claim or the thing it measures, and the verdict changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.engine.run import Progress
from experiments.verify.case import Case
from experiments.verify.points import one_step_evidence
from experiments.verify.routes import Means, trajectory_evidence
from experiments.verify.sampled import monte_carlo_evidence
from experiments.verify.verdict import Verdict
from experiments.verify.verify import judge
from theory.claim import Claim, Claims, Control, claims
from theory.families import given
from theory.setting import Facts, facts_of


def judged(claim: Claim, broken: Claim, problem: str, sampling: str, **options: object) -> set[Verdict]:
    """Verdicts of both routes for a broken version of a claim on an instance of the true one."""
    instance = given(claim, problem, sampling, **options)  # type: ignore[arg-type]
    case = Case(broken.without_hypotheses(), instance.setting, facts_of(instance.setting), instance.steps, {}, "", "")
    found = {one_step_evidence(case).verdict} if broken.one_step else set()
    if broken.curve is not None:
        found.add(trajectory_evidence(case, Means(seed=1, budget=3e7)).verdict)
    return found


def with_facts(claim: Claim, **changes: float) -> Claim:
    """The claim reading other facts."""

    def read(facts: Facts) -> Facts:
        return replace(facts, **changes)  # type: ignore[arg-type]

    assert claim.curve is not None
    assert claim.one_step is not None
    curve, one_step = claim.curve, claim.one_step
    return replace(
        claim,
        curve=lambda f, t, s: curve(read(f), t, s),
        one_step=lambda f, gap, norm2, t, s: one_step(read(f), gap, norm2, t, s),
    )


U1 = claims["unified-sam/pl-constant"]


def test_the_true_claim_passes_where_the_broken_ones_fail() -> None:
    assert judged(U1, U1, "parabolas:h=1/3,slopes=1/-1", "uniform", lam="0", theta=0.02, x0="scaled:20") == {
        Verdict.CONSISTENT
    }


def test_noise_forgotten() -> None:
    broken = with_facts(U1, C=0.0)
    found = judged(
        U1, broken, "parabolas:h=1/3,slopes=1/-1", "uniform", lam="0", gamma=0.05, x0="scaled:20", steps=2000
    )
    assert Verdict.VIOLATED in found


def test_mu_three_times_too_large() -> None:
    # U1 leaves a factor 1.5 to 1.9 in the rate, so a factor 3 must be found.
    broken = with_facts(U1, mu=3.0)
    assert judged(U1, broken, "quadratic:d=1,mu=1,L=1", "full", lam="0", gamma=0.3, steps=40) == {Verdict.VIOLATED}


def test_normalised_and_unnormalised_exchanged() -> None:
    """lam and 1 - lam exchanged: at lam = 1 the neighbourhood vanishes but the cycle does not."""

    def swapped(facts: Facts) -> Facts:
        low, high = 1 - facts.lam.largest, 1 - facts.lam.smallest
        return replace(facts, lam=replace(facts.lam, largest=high, smallest=low))

    assert U1.curve is not None
    curve = U1.curve
    broken = replace(U1, curve=lambda f, t, s: curve(swapped(f), t, s), one_step=None)
    found = judged(U1, broken, "quadratic:d=2,mu=0.5,L=1", "full", lam="1", gamma=0.2, rho=0.1, steps=400)
    assert found == {Verdict.VIOLATED}


def test_monte_carlo_finds_a_noise_term_ten_times_too_small() -> None:
    claim = claims["sgd/pl"]
    instance = given(claim, "parabolas:h=1/1,slopes=1/-1", "uniform", gamma=0.5, x0="scaled:5", steps=60)
    facts = facts_of(instance.setting)
    case = Case(claim.without_hypotheses(), instance.setting, facts, 60, {"neighbourhood": 0.1}, "", "")
    found = monte_carlo_evidence(case, seed=3, instances=50, progress=Progress(), budget=1e7)
    assert found.route == "Monte Carlo"
    assert found.verdict is Verdict.VIOLATED
    true = replace(case, scale={})
    assert (
        monte_carlo_evidence(true, seed=3, instances=50, progress=Progress(), budget=1e7).verdict is Verdict.CONSISTENT
    )


def test_too_few_samples_is_said() -> None:
    claim = claims["sgd/pl"]
    instance = given(claim, "mixed-curvature:a=1,b=0.5", "uniform", steps=2000, theta=1.0)
    case = Case(claim, instance.setting, facts_of(instance.setting), 2000, {}, "", "")
    found = monte_carlo_evidence(case, seed=3, instances=50, progress=Progress(), budget=1e6)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("too few samples")


def test_an_unrefuted_control_spoils_the_verdict() -> None:
    from experiments.verify.verify import verify

    weak = Control("a bound ten times larger", U1.controls[0].instance, "trajectory", scale={"neighbourhood": 10.0})
    spoiled = replace(U1, id="test/spoiled", families=U1.families[:1], controls=(weak,))
    claims.add(spoiled)
    try:
        (result,) = verify(["test/spoiled"])
    finally:
        del claims._claims["test/spoiled"]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "control" in result.reason


def test_a_claim_without_a_control_is_refused() -> None:
    with pytest.raises(ValueError, match="no control"):
        Claims().add(replace(U1, controls=()))


def test_a_refuted_claim_whose_counterexample_fails_is_violated() -> None:
    claim = claims["unified-sam/arbitrary-sampling-lmax"]
    assert judge(claim, [], [])[0] is Verdict.VIOLATED


def test_bounds_refuse_numbers_outside_their_hypotheses() -> None:
    instance = given(U1, "quadratic:d=2,mu=0.5,L=1", "full", theta=1.0, steps=1)
    facts = facts_of(instance.setting)
    inside = U1.bound(facts, np.array([0, 1]))
    assert np.isfinite(inside).all()
    for change in (
        facts.with_steps(facts.gamma.largest * 1.0001, facts.rho.largest),
        facts.with_steps(facts.gamma.largest, facts.rho.largest * 3),
        replace(facts, mu=0.0),
    ):
        with pytest.raises(ValueError, match="outside its hypotheses"):
            U1.bound(change, np.array([1]))
