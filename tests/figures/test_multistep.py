"""The figures on several ascent steps: every exact number against the theory page or against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from paper_figs import multistep
from paper_figs.figure import Quality

H, X, RHO = np.diag([1.0, 10.0]), np.array([1.0, 0.01]), 2.0


def ascend(H: np.ndarray, x: np.ndarray, rho: float, n: int, ascent: str) -> np.ndarray:
    """z_0, ..., z_n, written out."""
    path = [x]
    for _ in range(n):
        g = H @ path[-1]
        u = g / np.linalg.norm(g)
        if ascent == "power":
            path.append(x + rho * u)
            continue
        e = path[-1] + (rho / n if ascent == "budget" else rho) * u - x
        if ascent == "projected":
            e *= min(1.0, rho / np.linalg.norm(e))
        path.append(x + e)
    return np.array(path)


def gradient_means(H: np.ndarray, x: np.ndarray, rho: float, n: int) -> np.ndarray:
    return np.asarray((ascend(H, x, rho, n, "budget")[1:] @ H).mean(axis=0))


def on_circle(radius: float) -> float:
    """The largest f(x + e) - f(x) on the circle of this radius, on a grid of angles 2e-5 apart."""
    angles = np.linspace(0, 2 * np.pi, 314_159)
    e = radius * np.stack([np.cos(angles), np.sin(angles)])
    return float((H @ X @ e + (H @ e * e).sum(axis=0) / 2).max())


@pytest.mark.parametrize("ascent", list(multistep.RULES))
def test_shares(ascent: str) -> None:
    problem, x = multistep.plane()
    for n in (1, 2, 5, 20):
        end = ascend(H, X, RHO, n, ascent)[-1]
        best = on_circle(n * RHO if ascent == "fixed" else RHO)
        expected = (end @ H @ end - X @ H @ X) / 2 / best
        # The grid misses the top of a parabola by (1e-5)^2 times some ten.
        assert multistep.shares(problem, x[None, :], RHO, n, ascent)[0] == pytest.approx(expected, rel=1e-8)


def test_shares_of_the_theory_page() -> None:
    problem, x = multistep.plane()
    page = {
        "budget": {1: 0.2068, 2: 0.2650, 5: 0.4782, 20: 0.6960, 100: 0.7724, 1000: 0.7911, 20_000: 0.7931},
        "projected": {1: 0.2068, 2: 0.3020, 5: 0.9493, 20: 1.0000},
    }
    for rule, values in page.items():
        for n, share in values.items():
            # The page gives four digits.
            assert multistep.shares(problem, x[None, :], RHO, n, rule)[0] == pytest.approx(share, abs=5.1e-5)
    lowest = multistep.one_step_share(problem, x, RHO)
    g = H @ X
    curvature, size = g @ H @ g / (g @ g), np.linalg.norm(g)
    expected = 1 - 0.5 * RHO * (10 - curvature) / (size + 0.5 * RHO * 10)
    assert lowest == pytest.approx(expected, rel=1e-14)
    assert lowest <= 0.2068
    # 20,000 steps are a thirtieth of a percent short of the flow.
    assert multistep.flow_share(problem, x, RHO) == pytest.approx(0.7931, abs=2e-4)


def test_bound_holds_on_random_quadratics() -> None:
    for one in multistep.instances(Quality(seed=5))[:4]:
        shares = multistep.shares(one.problem, one.starts, one.rho, 1, "budget")
        lowest = [multistep.one_step_share(one.problem, x, one.rho) for x in one.starts]
        assert (shares >= np.array(lowest) - 1e-12).all()  # roundings of a quotient near 1


@pytest.mark.parametrize("ascent", ["budget", "projected"])
def test_path(ascent: str) -> None:
    # The engine shows z_n through a descent step: a few roundings of numbers up to 20.
    np.testing.assert_allclose(multistep.path(5, ascent), ascend(H, X, RHO, 5, ascent), atol=1e-13)


def test_flow_and_maximiser() -> None:
    lengths = np.array([0.0, 0.7, 0.7 + 1e-5, RHO])
    points = multistep.flow(lengths)
    np.testing.assert_array_equal(points[0], X)
    middle = H @ (points[1] + points[2]) / 2
    speed = (points[2] - points[1]) / 1e-5
    # A central difference of a solution with 12 digits.
    np.testing.assert_allclose(speed, middle / np.linalg.norm(middle), atol=1e-6)
    # Ten thousand steps of Euler come within some 5/10,000.
    np.testing.assert_allclose(points[-1], ascend(H, X, RHO, 10_000, "budget")[-1], atol=1e-3)
    assert np.linalg.norm(points[-1] - X) < 0.95 * RHO
    z = multistep.maximiser()
    e, g = z - X, H @ z
    assert np.linalg.norm(e) == pytest.approx(RHO, rel=1e-12)
    # At the maximum the gradient is e times a number that is at least the largest eigenvalue.
    np.testing.assert_allclose(g, (g @ e) / RHO**2 * e, atol=1e-9)
    assert g @ e / RHO**2 >= 10


@pytest.mark.parametrize(("descent", "share"), [("last", "1"), ("average", "(n+1)/(2n)"), ("average-start", "1/2")])
def test_amplitudes(descent: str, share: str) -> None:
    for n in (1, 2, 20):
        part = {"1": 1.0, "(n+1)/(2n)": (n + 1) / (2 * n), "1/2": 0.5}[share]
        # gamma L rho'/(2 - gamma L) at gamma L = 0.8, rho = 0.1: the claim states twelve digits.
        for value in multistep.amplitude(n, descent):
            assert value == pytest.approx(0.8 * 0.1 * part / 1.2, rel=1e-12)


def test_averaged_radius() -> None:
    two, x = np.diag([1.0, 0.1]), np.array([0.1, 1.0])
    g = two @ x
    size = np.linalg.norm(g)
    bend = two @ g / size
    for n, rho in ((2, 0.1), (5, 0.1), (20, 1.0)):
        found = multistep.averaged(n, rho)
        mean = gradient_means(two, x, rho, n)
        part = (n + 1) / (2 * n)
        # The engine's mean is (x - x+)/gamma: it loses the digits by which x is longer than it, one or two.
        assert found.measured == pytest.approx((mean - g) @ bend / (bend @ bend) / rho, rel=1e-11)
        assert found.distance == pytest.approx(np.linalg.norm(mean - g - rho * part * bend), rel=1e-9)
        assert found.bound == pytest.approx(rho**2 * (1 - n**-2) / (6 * size), rel=1e-12)
        assert abs(found.measured - part) <= found.room
        assert found.distance <= found.bound
    one = multistep.averaged(1, 0.1)
    assert one.measured == pytest.approx(1.0, rel=1e-12)  # one step: SAM itself
    assert one.bound == 0


def test_exact_ratio_and_the_same_file_twice() -> None:
    table = multistep.measure_cycle(Quality())
    n = np.array(multistep.NUMBERS)
    np.testing.assert_allclose(table.one("b", "average of 1..n", "exact").y, (n + 1) / (2 * n), rtol=1e-14)
    assert table.text() == multistep.measure_cycle(Quality()).text()
    table = multistep.measure_path(Quality())
    assert table.text() == multistep.measure_path(Quality()).text()
    order = table.one("b", "fixed budget, from the end of the flow")
    # The distance is c/n + O(1/n^2).
    assert np.log(order.y[-2] / order.y[-1]) / np.log(2) == pytest.approx(1, abs=0.01)
