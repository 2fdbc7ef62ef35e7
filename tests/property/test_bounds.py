"""The bounds over everything their hypotheses allow, boundary included: exact one-step expectations, no Monte Carlo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.verify.case import Case
from experiments.verify.points import at_points_evidence, one_step_evidence
from experiments.verify.verdict import Verdict
from problems.quadratics import FiniteSumOfQuadratics
from theory.claim import NO_SCALE, claims
from theory.methods.method import methods
from theory.samplings import Sampling, independent, partition, replacement, single, tau_nice
from theory.setting import Facts, Setting, facts_of, make_setting

CLAIMS = (
    "unified-sam/pl-constant",
    "unified-sam/pl-sharp",
    "unified-sam/nonconvex",
    "unified-sam/nonconvex-sharp",
    "sgd/pl",
)

curvatures = st.floats(0.01, 10)
# A part of 1e-9 leaves one term of the bound alone: a forgotten term would otherwise hide behind the others.
parts = st.one_of(st.sampled_from([1.0, 1e-9]), st.floats(1e-3, 1.0))
lams = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1), st.floats(0, 1e-6).map(lambda s: 1 - s))


@st.composite
def sums(draw: st.DrawFn) -> FiniteSumOfQuadratics:
    """Finite sums on the line or the plane, one component perhaps concave, the mean positive definite."""
    n, d = draw(st.integers(2, 4)), draw(st.integers(1, 2))
    diagonals = np.array([[draw(curvatures) for _ in range(d)] for _ in range(n)])
    if draw(st.booleans()):
        diagonals[0] = -0.9 * diagonals[1:].sum(axis=0)
    H = np.zeros((n, d, d))
    H[:, range(d), range(d)] = diagonals
    slopes = np.array([[draw(st.sampled_from([0.0, 1.0, -1.0, 0.1])) for _ in range(d)] for _ in range(n)])
    return FiniteSumOfQuadratics.from_components(H, slopes, name="drawn sum")


@st.composite
def laws(draw: st.DrawFn, n: int) -> Sampling:
    """Every kind of sampling of n components."""
    raw = np.array([draw(st.floats(0.02, 1)) for _ in range(n)])
    kind = draw(st.sampled_from(["single", "tau-nice", "replacement", "independent", "partition"]))
    if kind == "single":
        return single(raw / raw.sum())
    if kind == "tau-nice":
        return tau_nice(n, draw(st.integers(1, n)))
    if kind == "replacement":
        return replacement(raw / raw.sum(), draw(st.integers(1, n)))
    if kind == "independent":
        return independent(raw)
    return partition(np.arange(n) % draw(st.integers(1, n)))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Setting, float, float]:
    """A setting without step sizes, and the parts of the admissible gamma and rho to take."""
    problem = draw(sums())
    distance = draw(st.sampled_from([1e-6, 1e-3, 1.0, 1e3]))
    assert problem.minimiser is not None
    x0 = problem.minimiser + distance * np.ones(problem.d)
    setting = make_setting(problem, sampling=draw(laws(problem.n)), lam=draw(lams), x0=x0)
    return setting, draw(parts), draw(parts)


def admissible(claim_id: str, setting: Setting, part: float, rho_part: float) -> tuple[Setting, Facts] | None:
    """The setting with steps inside the hypotheses, None where rounding puts the limit itself outside."""
    claim = claims[claim_id]
    if claim.method == "sgd":
        setting = replace(setting, method=methods.build("sgd"))
    gamma, rho = claim.suggest(facts_of(setting), part, rho_part)
    chosen = setting.with_steps(gamma=gamma, rho=rho)
    facts = facts_of(chosen)
    return (chosen, facts) if claim.admits(facts) else None


@pytest.mark.parametrize("claim_id", CLAIMS)
@given(case=cases())
def test_one_step_never_exceeds_the_bound(claim_id: str, case: tuple[Setting, float, float]) -> None:
    found = admissible(claim_id, *case)
    if found is None:
        return
    chosen, facts = found
    evidence = one_step_evidence(Case(claims[claim_id], chosen, facts, 1, NO_SCALE, "", ""))
    assert evidence.verdict is not Verdict.VIOLATED, evidence


@given(case=cases())
def test_expected_residual_inequality(case: tuple[Setting, float, float]) -> None:
    claim = claims["unified-sam/er-constants"]
    found = Case(claim, case[0], facts_of(case[0]), 1, NO_SCALE, "", "")
    rows = [at_points_evidence(found, by_moments=by_moments) for by_moments in (False, True)]
    assert all(row.verdict is not Verdict.VIOLATED for row in rows), rows
    # Two routes to one number: enumerating v, and E v_i v_j.
    np.testing.assert_allclose(rows[0].measured_curve, rows[1].measured_curve, rtol=1e-12)


def test_suggested_steps_are_admissible() -> None:
    """The property above must not pass by drawing nothing."""
    problem = FiniteSumOfQuadratics.from_components([[[1.0]], [[0.5]]], [[1.0], [-1.0]])
    setting = make_setting(problem, sampling=single([0.5, 0.5]), lam=0.5)
    for claim_id in CLAIMS:
        for part in (1.0, 0.5, 1e-3):
            assert admissible(claim_id, setting, part, part) is not None, (claim_id, part)


@given(L=curvatures, lam=lams, part=parts)
@example(L=1.0, lam=1.0, part=1.0)
@example(L=1.0, lam=0.0, part=1.0)
def test_reduction_to_sgd(L: float, lam: float, part: float) -> None:
    """At rho = 0 U1's step limit is half of SGD's and its noise term twice SGD's, for equal L, A, B, C."""
    problem = FiniteSumOfQuadratics.from_components([[[L]], [[L]]], [[1.0], [-1.0]])
    facts = facts_of(make_setting(problem, sampling=single([0.5, 0.5]), lam=lam)).with_steps(1e-9, 0.0)
    u1, sgd = claims["unified-sam/pl-constant"], claims["sgd/pl"]
    limits = [
        next(f.limit for f in claim.findings(facts) if f.hypothesis == "gamma" and f.relation == "<=")
        for claim in (u1, sgd)
    ]
    assert 2 * limits[0] == pytest.approx(limits[1], rel=1e-12)
    late = np.array([10**12])
    own = facts.with_steps(part * limits[0], 0.0)
    assert u1.bound(own, late)[0] == pytest.approx(2 * sgd.bound(own, late)[0], rel=1e-9)
