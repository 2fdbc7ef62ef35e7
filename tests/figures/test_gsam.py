"""The figures on GSAM: every exact number against the theory page or against NumPy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import ravine as rv
from paper_figs import gsam, gsam_floor, gsam_schedules
from paper_figs.figure import Quality

T = gsam_schedules.HORIZON


def by_hand(name: str) -> SimpleNamespace:
    """Step sizes, batches and what a step may add, written out: L = 1, sigma^2 = 3/b, c = (1 + alpha) rho."""
    t = np.arange(T)
    gamma = {
        "cosine": 0.1 * (1 + np.cos(np.pi * t / T)),
        "linear": 0.2 * (1 - t / T),
        "inverse square root": 0.2 / np.sqrt(t + 1),
    }.get(name, np.full(T, 0.2))
    batch = 4 * 2 ** (t // 400) if "doubles" in name else np.full(T, 4)
    spent = gamma * ((1.1 * 0.05) ** 2 + gamma * 3 / batch / (1 - gamma))
    return SimpleNamespace(gamma=gamma, batch=batch, spent=spent)


# What the theory page states of its table: the averaged bound, the measured average, samples for one gradient a step.
TABLE = {
    "constant": (0.2215, 0.0625, 8_000),
    "batch doubles every 400 steps": (0.1066, 0.0347, 49_600),
    "cosine": (0.2002, 0.0670, 8_000),
    "linear": (0.1828, 0.0630, 8_000),
    "inverse square root": (0.7212, 0.3652, 8_000),
}


@pytest.mark.parametrize("name", list(gsam_schedules.PLANS))
def test_averaged_bounds(name: str) -> None:
    said, hand = gsam_schedules.promise(gsam_schedules.scheduled(gsam_schedules.PLANS[name]), T), by_hand(name)
    expected = (2 * 6.1875 + np.cumsum(hand.spent)) / np.cumsum(hand.gamma)
    # Two thousand terms, each rounded a few times.
    np.testing.assert_allclose(said.average(), expected, rtol=1e-11)
    # The page gives four digits.
    assert said.average()[-1] == pytest.approx(TABLE[name][0], abs=5.1e-5)
    np.testing.assert_array_equal(said.gradients, np.cumsum(2 * hand.batch))
    assert said.gradients[-1] == 2 * TABLE[name][2]


def test_best_window_by_trying_all() -> None:
    name = "cosine"
    said, hand = gsam_schedules.promise(gsam_schedules.scheduled(gsam_schedules.PLANS[name]), T), by_hand(name)
    gaps = np.random.default_rng(0).uniform(0.01, 0.3, T)
    for end in (1, 7, 40):
        tried = [(2 * gaps[s] + hand.spent[s:end].sum()) / hand.gamma[s:end].sum() for s in range(end)]
        # Differences of running sums: a few roundings of the whole sum.
        assert said.best_window(gaps, np.array([end]))[0] == pytest.approx(min(tried), rel=1e-12)


def test_running_average() -> None:
    norms = np.random.default_rng(1).exponential(size=(3, T))
    setting = gsam_schedules.scheduled(gsam_schedules.PLANS["linear"])
    averages = gsam_schedules.running_average(norms, gsam_schedules.promise(setting, T))
    gamma = by_hand("linear").gamma
    for end in (1, 5, T):
        # Two thousand terms, all positive.
        np.testing.assert_allclose(
            averages[:, end - 1], np.average(norms[:, :end], axis=1, weights=gamma[:end]), rtol=1e-12
        )


def test_schedules_rank_otherwise_per_gradient_than_per_step() -> None:
    doubling, at_end, at_8000 = "batch doubles every 400 steps", {}, {}
    for name in ("constant", doubling, "linear"):
        setting = gsam_schedules.scheduled(gsam_schedules.PLANS[name])
        said = gsam_schedules.promise(setting, T)
        averages = gsam_schedules.running_average(gsam_schedules.run_of(setting, T, 8, 1)[0], said)
        mean, error = averages.mean(axis=0), averages.std(axis=0, ddof=1) / np.sqrt(8)
        # Eight copies, and the page's own four digits: five standard errors.
        assert abs(mean[-1] - TABLE[name][1]) < 5 * error[-1] + 1e-4
        place = int(np.searchsorted(said.gradients, 8000))
        at_end[name], at_8000[name] = mean[-1], (mean[place], error[place])
    assert at_end[doubling] < 0.6 * min(at_end["constant"], at_end["linear"])
    for other in ("constant", "linear"):
        # Seen: 0.083 against 0.079, with standard errors below 0.001.
        assert at_8000[doubling][0] - at_8000[other][0] > 2 * (at_8000[doubling][1] + at_8000[other][1])


def one_step_gap(H: np.ndarray, x: np.ndarray, rho: float) -> float:
    g = H @ x
    raised = x + rho * g / np.linalg.norm(g)
    return float(raised @ H @ raised - x @ H @ x) / 2


def test_decomposition() -> None:
    table = gsam.measure_decomposition(Quality())
    for panel, below, H, x in (
        ("a", "c", np.diag([1, 0.2]), np.array([0.1, 0.5])),
        ("b", "d", np.diag([1.0, -1.0]), np.array([0.1, 0.1])),
    ):
        g = H @ x
        gp = H @ (x + 0.5 * g / np.linalg.norm(g))
        perp = g - (g @ gp) / (gp @ gp) * gp
        for name, vector in (("g", g), ("g_p", gp), ("g_perp", perp)):
            s = table.one(panel, name)
            np.testing.assert_allclose([s.x[1], s.y[1]], x + vector, atol=1e-15)  # sums of a few numbers below 1
        h = 1e-5
        slope = (one_step_gap(H, x + h * perp, 0.5) - one_step_gap(H, x - h * perp, 0.5)) / (2 * h)
        gap, tangent, claimed = table.of(below)
        # A central difference: h^2 and a rounding over h.
        assert tangent.y[1] == pytest.approx(slope, rel=1e-7)
        assert claimed.y[1] == pytest.approx(-(perp @ perp), rel=1e-13)
        curve = [one_step_gap(H, x + s * perp, 0.5) - one_step_gap(H, x, 0.5) for s in gap.x]
        np.testing.assert_allclose(gap.y, curve, atol=1e-15)  # differences of numbers below 1/2
    assert table.of("d", "exact")[0].y[1] / -table.of("d", "variant")[0].y[1] == pytest.approx(11.5, rel=1e-13)
    assert table.of("c", "exact")[0].y[1] <= table.of("c", "bound")[0].y[1]
    assert table.text() == gsam.measure_decomposition(Quality()).text()


def test_gap() -> None:
    table = gsam.measure_gap(Quality())
    rising, falling = table.of("a", "measured")
    rho = rising.x
    # Up to |x| = 1 the curvature changes at the rate M = 1/2, and then no more: f = int of it, twice.
    inner, outer = np.minimum(rho, 1), np.maximum(rho - 1, 0)
    for s, bend in ((rising, 0.5), (falling, -0.5)):
        f = inner**2 / 2 + bend * inner**3 / 6 + outer * (inner + bend * inner**2 / 2) + outer**2 * (1 + bend) / 2
        # A few roundings of a value, divided by rho^2 >= 0.0025.
        np.testing.assert_allclose(s.y, 2 * f / rho**2, rtol=1e-13)
    for panel, M in (("a", 0.5), ("b", 1.0)):
        low, high = table.of(panel, "bound")
        np.testing.assert_allclose(low.y, 1 - M * rho / 3, rtol=1e-13)
        np.testing.assert_allclose(high.y, 1 + M * rho / 3, rtol=1e-13)
    # 0.2 (1 - cos) is flatter than 1 - cos along the whole circle: the maximum lies on the first axis.
    np.testing.assert_allclose(table.one("b", "exact maximum").y, 2 * (1 - np.cos(rho)) / rho**2, rtol=1e-12)
    for name, (a, b) in {"steepest": (1, 0), "between": (0.5**0.5, 0.5**0.5), "flattest": (0, 1)}.items():
        f = (1 - np.cos(a * rho)) + 0.2 * (1 - np.cos(b * rho))
        # From a distance of 1e-6 the gap is rho ||g|| more: 2e-6/rho in these units.
        np.testing.assert_allclose(table.one("b", f"one step, {name}").y, 2 * f / rho**2, atol=5e-5)
    assert table.text() == gsam.measure_gap(Quality()).text()


def test_floors_of_the_theory_page() -> None:
    parabola, sawtooth, sine = (gsam_floor.REGIMES[name] for name in ("parabola", "sawtooth", "sine"))
    # The page gives two or three digits.
    for gamma, stated in ((1.0, 1.0), (0.5, 0.111), (0.1, 0.0028), (0.01, 2.5e-5)):
        assert gsam_floor.floor_of(parabola, gamma) == pytest.approx(stated, rel=0.015)
        # (gamma L/(2 - gamma L))^2, reached after 40/gamma steps to e^-40.
        assert gsam_floor.floor_of(parabola, gamma) == pytest.approx((gamma / (2 - gamma)) ** 2, rel=1e-11)
        assert gsam_floor.exact_floor(gamma) == pytest.approx((gamma / (2 - gamma)) ** 2, rel=1e-11)
        # At t = 10^15 what falls like 1/(gamma t) is below 1e-11.
        assert gsam_floor.floor_bound(parabola, gamma) == pytest.approx(gamma / (2 - gamma), rel=1e-9)
        assert gsam_floor.floor_bound(sawtooth, gamma) == pytest.approx(1.0, rel=1e-9)
        assert gsam_floor.floor_of(sawtooth, gamma) == pytest.approx((1 - 2 * 0.002) ** 2, rel=1e-12)
        # Curvature is less than L on the way there, and the last of it is left.
        assert gsam_floor.floor_of(sine, gamma) == pytest.approx(4 / (9 * np.pi**2), rel=1e-9)


def test_drift_under_lopsided_noise() -> None:
    facts = rv.facts_of(gsam_floor.lopsided(0.1))
    assert facts.variance == pytest.approx(0.1 * 81 + 0.9 * 1, rel=1e-12)
    for gamma, stated in ((0.01, 0.52), (0.001, 0.638)):
        slope, error = gsam_floor.drift(gamma, 64, 3)
        # Four standard errors, and the page's own last digit.
        assert abs(slope**2 - stated) < 8 * abs(slope) * error + 0.005


def test_lowest_gradients() -> None:
    for rho in (0.001, 0.1):
        found = gsam_floor.sam_gradients(gsam_floor.constant_radius(rho, noisy=False))
        assert found.low == pytest.approx(0.1 * rho, rel=1e-9)
        assert found.low <= found.least <= 1.02 * found.low
        # On the cycle along the steepest eigenvector |x| = gamma rho/(2 - gamma), and F is taken rho farther out.
        assert found.late[0] == pytest.approx(rho * 2 / (2 - 0.2), rel=1e-6)
        # 1.1 rho is sqrt(B) when the second half starts at the minimum; it starts within a few rho^2 of it.
        assert found.high == pytest.approx(1.1 * rho + rho, rel=1e-2)
    noisy = gsam_floor.sam_gradients(gsam_floor.constant_radius(0.01, noisy=True), 4, 0)
    # sqrt(c^2 + L gamma sigma^2/(1 - L gamma) + what the start of the half adds) + L rho.
    least = np.sqrt((1.1 * 0.01) ** 2 + 0.2 * 0.75 / 0.8) + 0.01
    assert least < noisy.high < 1.01 * least
    assert noisy.low < noisy.late.mean() < noisy.high
