"""The exact numbers in the figures of SSAM, against the theory page and second computations in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import ravine as rv
from paper_figs import ssam
from paper_figs.figure import Quality
from paper_figs.ssam import NORMALISED, PLAIN, RULES
from paper_figs.table import Table

Values = NDArray[np.float64]


def step(method: str, x: Values, h: Values, gamma: float, rho: float) -> Values:
    """One step of each rule on x' diag(h) x/2, written out."""
    g = h * x
    size = np.linalg.norm(g)
    radius = {"sgd": 0.0, "usam": rho, PLAIN: rho}.get(method, rho / size)
    perturbed = h * (x + radius * g)
    renorm = size / np.linalg.norm(perturbed) if method in (PLAIN, NORMALISED) else 1.0
    return np.asarray(x - gamma * renorm * perturbed)


# -- escape from a saddle --


@pytest.fixture(scope="module")
def on_the_line() -> Table:
    table = Table()
    ssam._on_the_line(table)
    return table


@pytest.mark.parametrize("name", RULES)
def test_escapes_on_the_line_take_as_many_steps_as_in_numpy(name: str, on_the_line: Table) -> None:
    s = on_the_line.one("a", name, "measured")
    for rho, found in zip(s.x, s.y, strict=True):
        x, t = np.array([0.0, 0.3]), 0
        while abs(x[1]) <= 100 and t < 700:
            x, t = step(RULES[name], x, np.array([1.0, -1.0]), 0.05, rho), t + 1
        if abs(x[1]) > 100:
            # Both count whole steps, and no run is within rounding of the distance where it counts as escaped.
            assert found == t
        else:
            assert found >= 700


def test_the_multipliers_predict_every_escape(on_the_line: Table) -> None:
    for name, method in RULES.items():
        s = on_the_line.one("a", name, "measured")
        for rho, found in zip(s.x, s.y, strict=True):
            problem = rv.Quadratic.with_eigenvalues([1.0, -1.0])
            expected = ssam.predicted_escape(method, rv.facts_of(ssam._saddle(problem, method, rho, [0.0, 0.3])))
            # After 700 steps every tenth is recorded.
            assert found == expected or (expected > 700 and expected <= found < expected + 10)


def test_who_leaves(on_the_line: Table) -> None:
    """GD always; USAM and unnormalised SSAM below rho lambda = 1; the normalised ascents from further than rho."""
    limit = {"GD": np.inf, "USAM": 1.0, "SSAM, unnormalised": 1.0, "SAM": 0.3, "SSAM, normalised": 0.3}
    for name, end in limit.items():
        s = on_the_line.one("a", name, "measured")
        assert (np.isfinite(s.y) == (s.x < end)).all()


PAGE = {
    ("sgd", 0.5): 186, ("usam", 0.2): 239, ("usam", 0.8): 996, ("usam", 0.95): 4263,
    (PLAIN, 0.2): 199, (PLAIN, 0.5): 225, (PLAIN, 0.8): 324, (PLAIN, 0.95): 776,
}  # fmt: skip
"""Median steps to leave the saddle by rule and rho lambda, from the theory page."""


def test_escapes_by_noise_take_as_long_as_on_the_theory_page() -> None:
    problem = ssam.noisy_saddle()
    for (method, rho), median in PAGE.items():
        found = np.median(ssam.noisy_escapes(problem, method, rho, 200, 0))
        # Escape times spread by 9 percent (18 for SSAM near 1), both medians by 1.25/sqrt(200) of that; four of these.
        assert found == pytest.approx(median, rel=0.09 if rho == 0.95 else 0.045)
    for method in ("usam", "sam", PLAIN, NORMALISED):
        assert np.isinf(ssam.noisy_escapes(problem, method, 1.2, 50, 0)).all()


def test_the_median_of_a_linear_rule() -> None:
    """20,000 copies of y+ = (1 + a) y + s xi in NumPy."""
    rng = np.random.default_rng(0)
    facts = rv.facts_of(ssam._saddle(rv.Quadratic.with_eigenvalues([1.0, -1.0]), "usam", 0.5, [0.0, 0.0]))
    y, medians = np.zeros(20_000), []
    for _ in range(450):
        y = y + 0.05 * ((1 - 0.5) * y + (1 - 0.5) * 1e-4 * rng.standard_normal(20_000))
        medians.append(np.median(np.abs(y)))
    passed = 1 + int(np.argmax(np.array(medians) > 0.1))
    # The median of 20,000 is off by one percent, which shifts the passage by 0.01/log(1.025) = 0.4 steps; whole steps.
    assert abs(passed - ssam.median_escape("usam", facts)) < 2


# -- the range of step sizes --


def test_the_table_of_longest_steps() -> None:
    """Measured on a grid of 0.02, and the guarantees, as on the theory page."""
    usam = (0.98, 0.98, 0.32, 0.08)
    guarantees = ((1.91, 1.15), (1.90, 0.85), (1.60, 1.15), (1.13, 0.85))
    assert ssam.CASES == ((0.1, 1.0), (0.05, 1.0), (0.1, 5.0), (0.05, 20.0))
    for (mu, rho), widest, pair in zip(ssam.CASES, usam, guarantees, strict=True):
        assert ssam.measured_range("usam", mu, rho) == pytest.approx(widest, abs=1e-9)
        assert ssam.longest("usam", mu, rho) == pytest.approx(2 / (1 + rho), rel=1e-12)
        for method, printed in zip((PLAIN, NORMALISED), pair, strict=True):
            assert ssam.measured_range(method, mu, rho) == pytest.approx(1.98, abs=1e-9)
            assert ssam.longest(method, mu, rho) == 2
            # Printed with two digits after the point.
            assert ssam.guaranteed(method, mu, rho) == pytest.approx(printed, abs=0.005)


def test_sam_ends_on_its_plateau() -> None:
    gammas = np.array([0.5, 1.0, 1.5])
    found = ssam.final_gaps("sam", 0.1, 1.0, gammas, 2000)
    # Closed form of the 2-cycle; after 2000 steps the slowest deviation is below 0.9^2000.
    assert found == pytest.approx(0.5 * (gammas / (2 - gammas)) ** 2, rel=1e-12)
    assert [ssam._plateau(0.1, 1.0, gamma) for gamma in gammas] == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("method", RULES.values())
def test_final_values_are_those_of_numpy(method: str) -> None:
    x = np.array([1.0, 1.0])
    for _ in range(20):
        x = step(method, x, np.array([0.1, 1.0]), 0.3, 1.0)
    # Twenty steps, each off by a few roundings of numbers near 1; f is at least 1e-3 there.
    found = ssam.final_gaps(method, 0.1, 1.0, np.array([0.3]), 20)
    assert found == pytest.approx([0.05 * x[0] ** 2 + 0.5 * x[1] ** 2], rel=1e-11)


def test_two_measurements_give_one_table() -> None:
    assert ssam.measure_step_range(Quality()).text() == ssam.measure_step_range(Quality()).text()


# -- two data sets --


def test_bounds_on_the_line() -> None:
    """gamma = 1/2, rho = 0.3, z = +-1/2, h = 1, a ball of radius 1/2."""
    for n in (16, 256):
        bounds = {name: ssam.distance_bound(ssam.neighbours("a", n, name), name) for name in ssam.BOUNDS}
        # Lipschitz 1 on the ball: 2/(mu n). D_a/(n m) = 2 |z|/n. (gamma D/n + 2 gamma rho)/(1 - 1/2).
        assert bounds["GD"] == pytest.approx(2 / n, rel=1e-12)
        assert bounds["USAM"] == pytest.approx(1 / n, rel=1e-12)
        assert bounds["SAM"] == pytest.approx(1 / n + 0.6, rel=1e-12)
    # gamma rho/(2 - gamma) = 0.1.
    assert ssam.twice_the_radius() == pytest.approx(0.2, rel=1e-12)


def test_bounds_in_the_plane() -> None:
    """h = (1, 0.1), |z_i| <= 1; on the ball every loss has the Lipschitz constant R + 1."""
    n, R = 64, ssam.BALL["c"]
    assert ssam.distance_bound(ssam.neighbours("c", n, "GD"), "GD") == pytest.approx(2 * (R + 1) / (0.1 * n), rel=1e-12)
    # z changes by 2 along the first axis, where I + rho H is 1.3; m = 0.1 (1 + 0.03).
    assert ssam.distance_bound(ssam.neighbours("c", n, "USAM"), "USAM") == pytest.approx(2.6 / (n * 0.103), rel=1e-12)
    # (gamma D/n + 2 gamma rho)/(1 - c), c = 1 - 0.05.
    assert ssam.distance_bound(ssam.neighbours("c", n, "SAM"), "SAM") == pytest.approx((1 / n + 0.3) / 0.05, rel=1e-12)


@pytest.mark.parametrize("panel", ssam.DATA)
def test_no_run_of_sgd_leaves_its_ball(panel: str) -> None:
    """So that projecting changes nothing: |z_j|/h_j bounds every coordinate."""
    problem = rv.problems.build(ssam.DATA[panel].format(n=1024))
    slopes = np.array([problem.sample_gradient(i, np.zeros(problem.d)) for i in range(problem.n)])
    curvatures = np.array([1.0, 0.1][: problem.d])
    assert np.sort(problem.spectrum)[::-1] == pytest.approx(curvatures)
    assert np.linalg.norm(np.abs(slopes).max(axis=0) / curvatures) <= ssam.BALL[panel]


def test_distances_on_the_line() -> None:
    n, t = 64, np.array([10, 64, 512])
    found = {name: ssam.distances(ssam.neighbours("a", n, name), t, 1500, 0) for name in RULES}
    # Each hit takes SGD's runs gamma 2 |z| = 1/2 further apart, and every step halves the distance: the same for USAM
    # with 1 - gamma (1 + rho) in the place of 1/2.
    for name, kept in (("GD", 0.5), ("USAM", 0.35)):
        expected = (1 - kept**t) / n
        error = found[name].std(axis=0) / np.sqrt(1500)
        assert (np.abs(found[name].mean(axis=0) - expected) < 4 * error).all()
    # One example a step and a linear model: SSAM takes the steps of SGD, rounding apart.
    for name in ("SSAM, unnormalised", "SSAM, normalised"):
        assert np.abs(found[name] - found["GD"]).max() < 1e-13
    sam = found["SAM"].mean(axis=0)
    q, r = 1 - 1 / n, 0.1
    floor = 2 * r * (1 - q**t) - 2 * (0.5 + 0.3 - r) / n / (1 - 0.5 * q)
    assert rv.stability_floor(rv.facts_of(ssam.neighbours("a", n, "SAM")), 0.5, t.astype(float)) == (
        pytest.approx(floor, rel=1e-12)
    )
    assert (sam > floor).all()
    assert (sam < 1 / n + 0.6).all()
    assert sam[-1] == pytest.approx(0.2, rel=0.1)
