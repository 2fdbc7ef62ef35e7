"""Multi-step ascent: the numbers of the plane, coincidences that must be exact, and verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.engine.run import simulate
from experiments.verify.verdict import AGREES, Verdict
from experiments.verify.verify import verify
from problems.problem import problems
from theory.claim import OutsideHypotheses, claims
from theory.claims.multistep_maximum import budget_end, flow_end, projected_end
from theory.families import given
from theory.inner_max import quadratic_on_ball
from theory.methods.method import methods
from theory.setting import facts_of, make_setting

IDS = sorted(claim for claim in claims if claim.startswith("multistep/"))

EXPECTED = {
    "multistep/averaged-radius": Verdict.CONSISTENT,
    "multistep/budget-flow": Verdict.RATE_SEEN,
    "multistep/budget-gap": Verdict.CONSISTENT,
    "multistep/curvature-monotone": Verdict.CONSISTENT,
    "multistep/cycle": Verdict.EXACT,
    "multistep/inner-max-share": Verdict.CONSISTENT,
    "multistep/never-lose": Verdict.CONSISTENT,
    "multistep/one-dim-blind": Verdict.CONSISTENT,
    "multistep/quadratic-form": Verdict.EXACT,
    "multistep/second-direction": Verdict.CONSISTENT,
    "multistep/second-direction-threshold": Verdict.EXACT,
}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_verdicts(seed: int) -> None:
    for result in verify(IDS, seed=seed):
        assert result.verdict is EXPECTED[result.claim.id], (result.claim.id, result.reason)
        assert all(control.refuted for control in result.controls), result.claim.id
        assert result.verdict in AGREES


# -- the plane: H = diag(1, 10), x = (1, 0.01), rho = 2 --

H = np.diag([1.0, 10.0])
G = H @ np.array([1.0, 0.01])
RHO = 2.0


def share(e: np.ndarray) -> float:
    return float((G @ e + e @ H @ e / 2) / quadratic_on_ball(G, H, RHO).value)


def test_shares_of_the_inner_maximum() -> None:
    """To the four digits that are stated."""
    fixed = {1: 0.2068, 2: 0.2650, 5: 0.4782, 20: 0.6960, 100: 0.7724, 1000: 0.7911, 20_000: 0.7931}
    projected = {1: 0.2068, 2: 0.3020, 5: 0.9493, 20: 1.0000}
    for n, stated in fixed.items():
        assert share(budget_end(H, G, RHO, n)) == pytest.approx(stated, abs=5.1e-5), n
    for n, stated in projected.items():
        assert share(projected_end(H, G, RHO, n)) == pytest.approx(stated, abs=5.1e-5), n
    # The limit lies strictly inside, below the maximum, and above every finite n.
    end = flow_end(H, G, RHO)
    assert np.linalg.norm(end) < 0.97 * RHO
    assert 0.7931 < share(end) < 0.7935


@pytest.mark.parametrize("rule", ["budget", "projected"])
def test_the_engine_walks_the_same_path(rule: str) -> None:
    """g_n from one engine step beside the path of the formulas."""
    problem = problems.build("spectrum:h=1/10")
    setting = make_setting(
        problem, method=methods.build(f"multi-sam:steps=5,ascent={rule}"), gamma=0.1, rho=RHO, x0=np.array([1.0, 0.01])
    )
    moved = simulate(setting, steps=1).x[0]
    e = (budget_end if rule == "budget" else projected_end)(H, G, RHO, 5)
    # One subtraction of numbers near 1 divided by gamma = 0.1.
    np.testing.assert_allclose((setting.x0 - moved) / 0.1, G + H @ e, rtol=1e-13)


# -- coincidences --


@pytest.mark.parametrize("ascent", ["budget", "fixed", "projected", "power"])
def test_one_ascent_step_is_sam_bitwise(ascent: str) -> None:
    problem = problems.build("quadratic-sum:n=5,d=3,seed=1")
    base = make_setting(problem, method=methods.build("sam"), gamma=0.1, rho=0.3)
    several = replace(base, method=methods.build(f"multi-sam:steps=1,ascent={ascent}"))
    ends = [simulate(setting, steps=200, seed=3).x for setting in (base, several)]
    np.testing.assert_array_equal(ends[0], ends[1])


def test_from_an_eigenvector_every_n_is_one_step() -> None:
    problem = problems.build("spectrum:h=1/0.5/0.2")
    for n in (2, 7, 50):
        settings = [
            make_setting(problem, method=methods.build(spec), gamma=0.5, rho=0.4, x0=np.array([0.0, 3.0, 0.0]))
            for spec in ("sam", f"multi-sam:steps={n}")
        ]
        one, several = (simulate(setting, steps=1).x[0] for setting in settings)
        # n additions of rho/n round n times.
        np.testing.assert_allclose(several, one, rtol=n * 1e-16 + 1e-15)


def test_hypotheses_refuse() -> None:
    saddle = given(claims["multistep/never-lose"], "spectrum:h=1/-0.5", gamma=0.1, rho=0.1, steps=1)
    for claim_id in ("multistep/never-lose", "multistep/inner-max-share", "multistep/curvature-monotone"):
        with pytest.raises(OutsideHypotheses, match="smallest eigenvalue"):
            claims[claim_id].require(facts_of(saddle.setting))
    plane = given(claims["multistep/one-dim-blind"], "pl-sine:d=2,a=3", gamma=0.1, rho=0.1, steps=1)
    with pytest.raises(OutsideHypotheses, match="d: 2 must be = 1"):
        claims["multistep/one-dim-blind"].require(facts_of(plane.setting))
    fixed = given(
        claims["multistep/cycle"],
        "spectrum:h=1/0.5",
        gamma=0.5,
        rho=0.1,
        steps=9,
        method="multi-sam:steps=3,ascent=fixed",
    )
    with pytest.raises(OutsideHypotheses, match="ascent rule"):
        claims["multistep/cycle"].require(facts_of(fixed.setting))
