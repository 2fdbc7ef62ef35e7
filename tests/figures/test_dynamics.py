"""The dynamics figures show what the theory says: their tables against second implementations in NumPy and numbers of
the theory pages."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import ravine as rv
from paper_figs import animation, dynamics, dynamics_drift, dynamics_edge, dynamics_saddle
from paper_figs.figure import Quality
from paper_figs.table import Table, read_table

Values = NDArray[np.float64]


def sam_path(gradient: Callable[[Values], Values], x: Values, gamma: float, rho: float, steps: int) -> Values:
    """x+ = x - gamma grad f(x + rho grad f(x)/||grad f(x)||)."""
    found = [np.array(x, dtype=np.float64)]
    for _ in range(steps):
        g = gradient(found[-1])
        found.append(found[-1] - gamma * gradient(found[-1] + rho * g / np.linalg.norm(g)))
    return np.array(found)


# -- the cycle --


def test_plane_is_a_run_of_sam_onto_its_cycle() -> None:
    table = Table()
    dynamics.add_plane(table)
    h, run = np.array(dynamics.PLANE), table.one("a", "SAM")
    start = np.array([run.x[0], run.y[0]])
    path = sam_path(lambda x: h * x, start, dynamics.PLANE_GAMMA, dynamics.PLANE_RHO, len(run.x) - 1)
    # Some ten roundings a step of numbers of size 2, and no step stretches them: 25 steps stay far below 1e-13.
    np.testing.assert_allclose(np.stack([run.x, run.y], axis=1), path, rtol=0, atol=1e-13)
    r = 0.8 * 1.0 * 1.0 / (2 - 0.8)
    np.testing.assert_allclose(table.one("a", "2-cycle").x, [-r, r], rtol=1e-15)
    # What is left at the end falls by 0.792 a step: less than a hundredth of the radius.
    assert abs(abs(run.x[-1]) - r) < 0.01 * r
    rows = table.of("contours")
    heights = np.array([row.y for row in rows])
    b = np.array([float(row.name) for row in rows])
    # Two squares and a sum, a few roundings.
    np.testing.assert_allclose(heights, (rows[0].x ** 2 + 0.2 * b[:, None] ** 2) / 2, rtol=1e-14)


def test_radius_of_the_cycle() -> None:
    table, at = Table(), (0.1, 1.0, 1.9, 1.99)
    dynamics.add_radii(table, at)
    stated = np.array(at) / (2 - np.array(at))
    # The run has forgotten its start by 60 e-foldings; the fixed point of each step is known to a few roundings times
    # 1/(1 - |mu|) = 100.
    np.testing.assert_allclose(table.one("c", "end of a run").y, stated, rtol=1e-12)
    curve = table.one("c", "r_1/rho")
    # 2 - gamma cancels at most 2 digits.
    np.testing.assert_allclose(curve.y, curve.x / (2 - curve.x), rtol=1e-13)


# -- the potential --


def test_certified_and_observed_rate_near_a_tie() -> None:
    """Theory page, A4: lambda_2 = 0.99, observed 0.94109 = mu_2^2, certified 0.99260 in its limit of a small tilt."""
    table, name = Table(), "lambda = 1, 0.99"
    dynamics.add_potentials(table)
    seen, bound, exact = (table.one("a", name, role) for role in ("measured", "bound", "exact"))
    mu = 1 - 0.99 - 0.99**2
    # The last factor is that of one step: linear once the tilt is below 1e-3, whose square is 1e-6.
    assert seen.y[-1] / seen.y[-2] == pytest.approx(mu**2, rel=1e-5)
    assert mu**2 == pytest.approx(0.94109, abs=5e-6)
    # Ratios of two powers of one number.
    np.testing.assert_allclose(exact.y[1:] / exact.y[:-1], mu**2, rtol=1e-12)
    h, x0, rho = np.array([1.0, 0.99]), np.array([0.1, 0.001]), 0.1
    c, u = (2 - h) / (rho * h**2), h * x0
    J = c @ u**2 / 2 - np.linalg.norm(u)
    b = -1 / (2 * J)
    kappa = rho * 0.99**3 * c[0] * min(1.0, c[0] * (c[1] - b) / (4 * b**2))
    # c_2 - b cancels two digits.
    assert bound.y[1] == pytest.approx(1 - kappa, rel=1e-12)
    assert 1 - kappa == pytest.approx(0.99260, abs=5e-5)
    assert (seen.y <= bound.y[: len(seen.y)] * (1 + 1e-12)).all()


def test_turns_never_add_up_to_more_than_the_bound_and_do_in_one_dimension() -> None:
    table = dynamics.measure_potential(Quality())
    for name in dynamics.SUMS:
        assert (table.one("b", name).y <= 1 + 1e-12).all()  # a sum of a thousand roundings
    assert table.one("b", "one dimension").y[-1] == pytest.approx(1, abs=1e-12)
    certificates = table.of("c", "measured")
    assert len(certificates) == len(dynamics.CERTIFIED)
    # What a run kept up is at least what was certified; equal in one dimension, up to the rounding of 1 - q.
    assert all((s.y <= s.x * (1 + 1e-9)).all() for s in certificates)
    (ends,) = (s for s in certificates if s.name.startswith("one dimension"))
    np.testing.assert_allclose(ends.x, ends.y, rtol=1e-9)
    np.testing.assert_allclose(ends.y, 0.3 * 1.7, rtol=1e-12)


# -- the factors --


def test_factors_and_rates() -> None:
    """Theory page, A3: the rate 0.792 on (1, 0.7, 0.4, 0.2) at gamma = 0.8."""
    table = dynamics.measure_multipliers(Quality())
    for gamma in dynamics.FACTOR_STEPS:
        name = f"gamma lambda_1 = {gamma:g}"
        for role, digits in (("measured", 1e-6), ("exact", 1e-14)):  # differences of width 1e-5; roundings
            s = table.one("a", name, role)
            stated = np.abs(1 - gamma * s.x - (2 - gamma) * s.x**2)
            np.testing.assert_allclose(s.y, stated, rtol=0, atol=digits)
    rates = table.one("b", "rate of a run")
    # Six digits are what a run shows before rounding.
    assert rates.y[list(rates.x).index(0.8)] == pytest.approx(0.792, abs=1e-6)
    h = np.array(dynamics.PAGE)
    for gamma, rate in zip(rates.x, rates.y, strict=True):
        across = np.abs(1 - gamma * h - (2 - gamma) * h**2)
        across[0] = abs(1 - gamma)
        assert rate == pytest.approx(across.max(), abs=1e-6)


def test_the_same_seed_gives_the_same_table() -> None:
    first, second = (dynamics.measure_multipliers(Quality(seed=3)).text() for _ in range(2))
    assert first == second
    assert read_table(first).text() == first


# -- escape and saddles --


def test_escape_times_of_the_theory_page() -> None:
    """A4: 11, 21, 31, 41 steps for tilts 10^-3, -6, -9, -12, until |w_1| >= |w_2|; 10.15 more are stated."""
    h, gamma = dynamics_saddle.LADDERS[0]
    times = []
    for delta in (1e-3, 1e-6, 1e-9, 1e-12):
        ratio, first = dynamics_saddle.escape(h, gamma, delta, 80)
        times.append(int(np.argmax(ratio * h[1] / h[0] >= 1)))
        assert first <= times[-1]
    assert times == [11, 21, 31, 41]
    mu = 1 - gamma * h[0] - (2 - gamma * h[1]) * (h[0] / h[1]) ** 2
    assert mu == pytest.approx(-1.975, abs=1e-12)
    assert np.log(1e3) / np.log(abs(mu)) == pytest.approx(10.15, abs=5e-3)


def test_escape_times_lie_between_the_bounds() -> None:
    table = Table()
    for h, gamma in dynamics_saddle.LADDERS:
        dynamics_saddle.add_escapes(table, h, gamma)
        name = f"lambda_2 = {h[1]:g}, gamma = {gamma:g}"
        seen, bound = table.one("a", name, "measured"), table.one("a", name, "bound")
        growth = np.log(abs(1 - gamma - (2 - gamma * h[1]) / h[1] ** 2))
        stated = seen.y[0] + np.log(1e-3 / bound.x) / growth
        np.testing.assert_allclose(bound.y, stated, rtol=1e-12)  # logarithms and a quotient
        np.testing.assert_allclose(bound.high - bound.low, 2, rtol=1e-12)
        # O(delta'^2) = 1e-6 of a step, a hundredfold.
        assert (np.abs(seen.y[1:] - bound.y) <= 1 + 1e-4).all()


def test_saddles_trap_exactly_inside_the_window() -> None:
    """A6: at gamma = 0.5 the window is (1/3, 4/3): -0.5 is trapped, -0.2 and -1.5 are not."""
    assert [dynamics_saddle.trapped(0.5, ratio) for ratio in (0.2, 0.333, 0.334, 0.5, 1.333, 1.334, 1.5)] == [
        0, 0, 1, 1, 1, 0, 0,
    ]  # fmt: skip
    table = dynamics_saddle.measure_saddle_trap(Quality())
    for s in table.of("map"):
        gamma = float(s.name)
        stated = (gamma / (2 - gamma) < s.x) & (s.x < 2 / (2 - gamma))
        np.testing.assert_array_equal(s.y == 1, stated)
    lower, upper = table.one("a", "lower end"), table.one("a", "upper end")
    np.testing.assert_allclose(lower.x, lower.y / (2 - lower.y), rtol=1e-14)
    np.testing.assert_allclose(upper.x, 2 / (2 - upper.y), rtol=1e-14)
    trapped = table.one("b", "lambda_j = -0.5", "measured")
    # One factor a step while the square of what is left, 1e-16, is nothing.
    factor = 1 + 0.25 - 1.5 * 0.25
    np.testing.assert_allclose(trapped.y[1:] / trapped.y[:-1], factor, rtol=1e-9)


# -- drift --


def test_drift_is_faster_than_its_limit() -> None:
    """D2: larger by (1 - gamma lambda_1/2)^-2, a factor of 4 at gamma lambda_1 = 1."""
    assert dynamics_drift.speed_up(1.0) == pytest.approx(4, rel=1e-14)
    table = Table()
    dynamics_drift.add_run(table, 0.8)
    s = table.one("b", "gamma = 0.8")
    # Terms of second order in rho: rho/(2 - gamma lambda_1) is at most 0.011, and its square counts 50-fold or so.
    np.testing.assert_allclose(s.y, (1 - s.x / 2) ** -2, rtol=0.01)
    dynamics_drift.add_steps(table, dynamics_drift.CUBIC_STEPS)
    step = table.one("b", "one step on a cubic")
    np.testing.assert_allclose((step.low + step.high) / 2, (1 - step.x / 2) ** -2, rtol=1e-14)
    assert ((step.low <= step.y) & (step.y <= step.high)).all()
    # The step by hand: f = w_1^2/2 + (b'w)^3/6 from (r, 0).
    b, gamma, rho = np.array([0.5, 0.6]), 1.1, dynamics_drift.CUBIC_RHO
    r = gamma * rho / (2 - gamma)
    after = sam_path(lambda w: np.array([w[0], 0.0]) + (b @ w) ** 2 / 2 * b, np.array([r, 0.0]), gamma, rho, 1)[1]
    drift = -after[1] / (gamma * rho**2 / 2 * b[0] ** 2 * b[1])
    # A handful of roundings; the drift is a tenth of the numbers it comes from.
    assert step.y[list(step.x).index(gamma)] == pytest.approx(drift, rel=1e-13)


def test_distances_from_the_flows_of_the_theory_page() -> None:
    """D2: 6.5, 3.1, 1.5 times 10^-2 from the limiting flow at gamma = 0.2, 0.1, 0.05, of slope 1.05."""
    table = Table()
    dynamics_drift.add_orders(table)
    first, far = table.one("c", "limiting flow"), table.one("d", "limiting flow")
    np.testing.assert_allclose(first.y[:3], [6.5e-2, 3.1e-2, 1.5e-2], atol=5e-4)  # as many digits as are printed
    assert np.polyfit(np.log(first.x[:3]), np.log(first.y[:3]), 1)[0] == pytest.approx(1.05, abs=0.01)
    # gamma rho^2 with rho/gamma kept, so gamma^3; and rho^2 at one gamma: to what terms of the next order change.
    near = table.one("c", "refined flow")
    assert np.polyfit(np.log(near.x), np.log(near.y), 1)[0] == pytest.approx(3, abs=0.2)
    refined = table.one("d", "refined flow")
    np.testing.assert_allclose(refined.y[:-1] / refined.y[1:], 4, rtol=0.02)
    assert (far.y > 0.4).all()  # the limiting flow is not approached


# -- the edge --


def test_edge_moves_to_the_largest_eigenvalue() -> None:
    table = Table()
    x0 = (20.0, 20.0, 20.0)
    dynamics_edge.add_edge(table, "far", dynamics.sam(dynamics_edge.SPECTRUM, 0.8, 0.1, x0), steps=200)
    h = np.array(dynamics_edge.SPECTRUM)
    norms = np.linalg.norm(sam_path(lambda x: h * x, np.array(x0), 0.8, 0.1, 10) * h, axis=1)
    edge = norms / 0.2 * (np.sqrt(1 + 0.8 / (0.8 * norms)) - 1)
    seen = table.one("a", "far").y
    # The square root less 1 cancels two digits far away.
    np.testing.assert_allclose(seen[:11], edge, rtol=1e-12)
    assert seen[-1] == pytest.approx(1, abs=1e-13)


def test_coordinates_shrink_exactly_below_the_edge() -> None:
    table = Table()
    for gamma in dynamics_edge.LADDER_STEPS:
        dynamics_edge.add_coordinates(table, gamma)
    x, y = (np.concatenate([s[k] for s in table.of("b")]) for k in (3, 4))
    asked = np.abs(x - 1) > 1e-12  # on the cycle rounding decides
    assert asked.sum() > 1000
    np.testing.assert_array_equal((x < 1)[asked], (y < 1)[asked])


def test_usam_converges_exactly_below_its_edge() -> None:
    for top, rho in ((0.99, 1.0), (1.01, 1.0), (0.49, 6.0), (0.51, 6.0), (1.9, 0.01), (1.99, 0.01)):
        assert dynamics_edge.converges(top, rho) == float(top * (1 + rho * top) < 2)


# -- the animation --


@pytest.fixture(scope="module")
def bent() -> Table:
    return animation.measure_ravine(Quality())


def test_animation_shows_sam_and_gradient_descent(bent: Table) -> None:
    def gradient(x: Values) -> Values:
        return np.asarray((x[0] * x[1] - 1) * x[::-1])

    for name, rho in (("SAM", animation.RHO), ("gradient descent", 0.0)):
        run = bent.one("plane", name)
        path = sam_path(gradient, np.array(animation.START), animation.GAMMA, rho, 40)
        # The two leaps across the ravine stretch roundings some hundredfold.
        np.testing.assert_allclose(np.stack([run.x, run.y], axis=1)[:41], path, rtol=0, atol=1e-12)
    sam, descent = (bent.one("curvature", name).y for name in animation.NAMES)
    flattest = bent.one("curvature", "flattest minimum").y[0]
    # Central differences of the gradient are good to 1e-9.
    assert flattest == pytest.approx(2, abs=1e-8)
    assert (sam > flattest - 1e-8).all()
    assert sam[-1] < 2.01
    landed = bent.one("plane", "gradient descent")
    assert landed.x[-1] * landed.y[-1] == pytest.approx(1, abs=1e-12)
    # The nearest of 8001 minima is not quite the one itself.
    assert descent[-1] == pytest.approx(landed.x[-1] ** 2 + landed.y[-1] ** 2, rel=1e-3)
    assert descent[-1] < 2 / animation.GAMMA
    assert max(np.hypot(s.x, s.y).max() for s in bent.of("plane", "measured")) < 4  # where L holds


def test_animation_is_a_small_gif_and_the_same_for_the_same_table(bent: Table) -> None:
    with rv.style.styled():
        made = animation.encode_gif(bent)
    assert len(made) < 1_200_000
    with Image.open(io.BytesIO(made)) as picture:
        assert 60 <= picture.n_frames <= 100  # type: ignore[attr-defined]
        assert 66 <= picture.info["duration"] <= 100
        assert picture.info["loop"] == 0
    steps = bent.one("frames", "shown").y
    assert steps[0] == 0
    assert steps[-1] <= animation.STEPS
    # Odd strides: SAM is seen on both sides.
    assert (np.diff(steps) % 2 == 1).all()
    short = read_table(bent.text())
    short.series = [s._replace(x=s.x[:4], y=s.y[:4]) if s.panel == "frames" else s for s in short.series]
    with rv.style.styled():
        assert animation.encode_gif(short) == animation.encode_gif(short)
