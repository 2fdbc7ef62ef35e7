"""The figures of Unified SAM against the formulas of the theory, computed here a second time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import ravine as rv
from paper_figs import unified_sam
from paper_figs.figure import Quality
from paper_figs.table import Table

Values = NDArray[np.float64]

QUICK = Quality()


@pytest.fixture(scope="module")
def deterministic() -> Table:
    return unified_sam.measure_deterministic(QUICK)


def radius(lam: float) -> float:
    """The notebook's: min(1/(4 L), 1/(8 L (1 - lam)^2)) with L = 10."""
    return min(1 / 40, 1 / (80 * (1 - lam) ** 2)) if lam < 1 else 1 / 40


def test_exact_plateaus(deterministic: Table) -> None:
    exact = deterministic.of("b", "exact")[0]
    known = dict(zip(exact.x.tolist(), exact.y.tolist(), strict=True))
    # The digits to which the theory prints them.
    assert known[1.0] == pytest.approx(1.3888888889e-5, rel=1e-10)
    assert known[0.5] == pytest.approx(3.5308e-6, rel=2e-5)
    assert known[0.1] == pytest.approx(5.3916e-8, rel=2e-5)
    assert known[0.0] == 0.0
    for lam, value in known.items():
        r = 0.125 * radius(lam) * lam / (2 - 0.125 * (1 + radius(lam) * (1 - lam) * 10))
        # One formula in another order of operations.
        assert value == pytest.approx(5 * r**2, rel=1e-13)


def test_runs_end_on_their_plateaus(deterministic: Table) -> None:
    measured, exact = (deterministic.of("b", role)[0] for role in ("measured", "exact"))
    # The theory saw ten digits at t = 40,000.
    np.testing.assert_allclose(measured.y[1:], exact.y[1:], rtol=1e-10)
    assert measured.y[0] < 1e-25


def test_neighbourhoods(deterministic: Table) -> None:
    bound = deterministic.of("b", "bound")[0]
    known = dict(zip(bound.x.tolist(), bound.y.tolist(), strict=True))
    for lam, value in ((1.0, 2.656), (0.5, 0.664), (0.1, 0.016)):
        # Printed with three decimals.
        assert known[lam] == pytest.approx(value, abs=5e-4)
        # (L/mu) lam^2 rho (1 + 2 gamma L^2 rho) with L = 10, mu = 0.1, gamma = 1/80.
        by_hand = 100 * lam**2 * radius(lam) * (1 + 2.5 * radius(lam))
        assert known[lam] == pytest.approx(by_hand, rel=1e-12)  # other order of operations


def test_the_bound_lies_above_every_run(deterministic: Table) -> None:
    for s in deterministic.of("a", "measured"):
        bound = deterministic.one("a", s.name, "bound")
        assert (s.y <= bound.y).all()


def test_slopes_of_the_neighbourhood() -> None:
    table = unified_sam.measure_radius(QUICK)

    def slope(name: str, role: str) -> float:
        s = table.one("a", name, role)
        return float(np.log(s.y[4] / s.y[0]) / np.log(s.x[4] / s.x[0]))

    # Powers of rho up to factors 1 + O(rho L), rho L <= 0.001 here.
    assert slope("U1", "bound") == pytest.approx(1, abs=2e-3)
    assert slope("U1#", "bound") == pytest.approx(2, abs=2e-3)
    assert slope("exact plateau", "exact") == pytest.approx(2, abs=2e-3)
    measured, exact = table.one("a", "measured"), table.one("a", "exact plateau")
    found = np.interp(np.log(measured.x), np.log(exact.x), np.log(exact.y))
    # The plateau's claim promises 6 digits.
    np.testing.assert_allclose(np.log(measured.y), found, atol=1e-6)


def test_stationary_values_by_kronecker_products() -> None:
    """x+ = T_i x + c_i with T_i, c_i read off the sampled gradients; E x x' solves a linear system."""
    table = unified_sam.measure_radius(QUICK)
    exact = table.one("b", "exact stationary value")
    problem = rv.problems.build("quadratic-sum:n=8,d=4,mu=0.5,L=1,noise=1,seed=3")
    sampling = rv.samplings.build("uniform", problem=problem)
    facts = rv.facts_of(rv.make_setting(problem, sampling=sampling, lam=0.0))
    gamma = float(rv.claims["unified-sam/pl-sharp"].suggest(facts, 0.2, 1.0)[0].at(0))
    centre, unit = problem.centre, np.eye(4)
    for k in (0, len(exact.x) // 2, len(exact.x) - 1):
        rho = exact.x[k] / facts.L_S

        def step(i: int, z: Values, rho: float = rho) -> Values:
            x = centre + z
            return np.asarray(z - gamma * problem.sample_gradient(i, x + rho * problem.sample_gradient(i, x)))

        c = np.array([step(i, np.zeros(4)) for i in range(8)])
        T = np.array([[step(i, e) - c[i] for e in unit] for i in range(8)]).transpose(0, 2, 1)
        mean = np.linalg.solve(unit - T.mean(axis=0), c.mean(axis=0))
        cross = np.einsum("iab,b,ic->ac", T, mean, c) / 8
        constant = np.einsum("ia,ib->ab", c, c) / 8 + cross + cross.T
        whole = np.eye(16) - np.mean([np.kron(t, t) for t in T], axis=0)
        S = np.linalg.solve(whole, constant.ravel()).reshape(4, 4)
        H = np.array([problem.gradient(centre + e) - problem.gradient(centre) for e in unit])
        # A system of condition 1/(gamma mu) = 2e2.
        assert exact.y[k] == pytest.approx(float(np.trace(H @ S)) / 2, rel=1e-10)
    for name in ("U1", "U1#"):
        bound = table.one("b", name)
        assert (bound.y > np.interp(bound.x, exact.x, exact.y)).all()


def test_where_the_unweighted_variant_settles() -> None:
    """The minimiser of sum p_i f_i, by the normal equations."""
    A, b = unified_sam._uneven()
    p = (A**2).sum(axis=1) / (A**2).sum()
    settled = np.linalg.solve((A.T * p) @ A, A.T @ (p * b))
    best: Values = np.asarray(np.linalg.lstsq(A, b, rcond=None)[0], dtype=np.float64)

    def f(x: Values) -> float:
        return float(((A @ x - b) ** 2).mean() / 2)

    floor = (f(settled) - f(best)) / (f(np.zeros(10)) - f(best))
    table = Table()
    problem = rv.LeastSquaresProblem(A=A, b=b, reg=0.0, name="uneven")
    unified_sam._unweighted(table, "a", 0.0, problem, np.array([1, 60_000, 80_000]), 4, QUICK)
    exact = table.of("a", "exact")[0].y[0]
    # Differences of sums of squares of size 1e3 that agree to the sixth digit.
    assert exact == pytest.approx(floor, rel=1e-6)
    end = table.of("a", "variant")[0]
    # It fluctuates around that minimiser, where f is not flat: the mean is above, by the noise.
    assert end.low[-1] > 0.8 * exact
    assert end.y[-1] < 3 * exact


def test_the_same_bytes_again() -> None:
    first, second = (unified_sam.measure_radius(QUICK).text() for _ in range(2))
    assert first == second
