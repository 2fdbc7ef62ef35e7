"""One step on finite sums, in expectation over a uniform component: exact over every n functions of a class."""

from __future__ import annotations

import numpy as np
import pytest

from problems.errors import InputError
from ravine.cli import run_command
from theory.claim import claims
from theory.derivation_facts import facts_at
from theory.worst_case.critical import EXCESS
from theory.worst_case.estimation import Estimation
from theory.worst_case.finite_sums import FiniteSum, distance_after

# Interior points leave 1e-8 here; four digits are what is quoted.
DIGITS = 1e-4


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_under_interpolation_a_sum_is_no_worse_than_one_function(n: int) -> None:
    found = distance_after(FiniteSum(n, 0.1, 1.0, 0.5, 0.1))
    assert found.fault == ""
    assert found.value == pytest.approx(0.90155, abs=DIGITS)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_noise_at_the_minimiser(n: int) -> None:
    assert distance_after(FiniteSum(n, 0.1, 1.0, 0.5, 0.1), 1.0).value == pytest.approx(1.2703, abs=DIGITS)


def test_a_second_solver_agrees() -> None:
    case = FiniteSum(2, 0.1, 1.0, 0.5, 0.1)
    # First-order steps stop at 1e-6 of these values.
    assert distance_after(case, 1.0, solver="SCS").value == pytest.approx(distance_after(case, 1.0).value, abs=1e-5)


def test_sampled_sums_stay_below() -> None:
    """Pairs of quadratics in the plane, replayed in NumPy, attain no more, and come close."""
    rng = np.random.default_rng(0)
    gamma, rho, best = 0.5, 0.1, 0.0
    bound = distance_after(FiniteSum(2, 0.1, 1.0, gamma, rho), 1.0).value
    for _ in range(4000):
        x, slope = rng.standard_normal((2, 2))
        x, slope = x / np.linalg.norm(x), slope / np.linalg.norm(slope)
        if rng.random() < 0.5:
            x, slope = np.array([1.0, 0.0]), np.array([0.0, 1.0])
        after = []
        for sign in (1.0, -1.0):
            turn, _ = np.linalg.qr(rng.standard_normal((2, 2)))
            turn = turn if rng.random() < 0.5 else np.eye(2)
            H = turn @ np.diag(rng.choice([0.1, 1.0], 2)) @ turn.T
            y = x + rho * (H @ x + sign * slope)
            after.append(np.sum((x - gamma * (H @ y + sign * slope)) ** 2))
        best = max(best, float(np.mean(after)))
    assert best <= bound + 1e-6
    assert best >= 0.94 * bound  # flat along x, steep along the noise


def excess_of_the_lemma(n: int, rho: float, scale: float) -> float:
    """The largest excess over usam/one-step with this part of its noise term, over every n 1-smooth functions, where
    ||grad f||^2 + sigma^2 = 1, sigma^2 = E||grad f_i - grad f||^2 at x; gamma = 1/2. Numbers of the claim's own code.
    """
    gamma, rule = 0.5, claims["usam/one-step"].one_step
    assert rule is not None

    def stated(norm2: float, sigma2: float) -> float:
        facts = facts_at({"gamma": gamma, "rho": rho, "lam": 0.0, "sigma2": sigma2}, deterministic=False)
        return float(rule(facts, np.zeros(1), np.array([norm2]), 0, {"noise": scale})[0])

    with Estimation("nonconvex", 0.0, 1.0, with_infimum=False) as problem:
        components = [problem.f, *(problem.another() for _ in range(n - 1))]
        x = problem.origin()
        gradients = [f.gradient(x) for f in components]
        mean = sum(gradients[1:], gradients[0]) / n
        norm2, sigma2 = mean**2, sum(((g - mean) ** 2 for g in gradients), 0.0) / n
        reached = [x - gamma * f.gradient(x + rho * g) for f, g in zip(components, gradients, strict=True)]
        after = sum((f(point) for f in components for point in reached), 0.0) / n**2
        for f in components:
            problem.impose(f(x) == 0)  # only differences of values count
        problem.impose(norm2 + sigma2 == 1)
        solved = problem.largest(after - stated(1.0, 0.0) * norm2 - stated(0.0, 1.0) * sigma2)
    assert solved.fault == ""
    return solved.value


@pytest.mark.parametrize(("n", "rho", "part"), [(2, 0.0, 0.5), (2, 0.5, 0.9), (3, 0.5, 0.9)])
def test_how_much_of_the_noise_term_of_usam_one_step_every_sum_needs(n: int, rho: float, part: float) -> None:
    """Half of it at rho = 0 and 0.9 of it at L rho = 1/2; a hundredth less is too little."""
    assert excess_of_the_lemma(n, rho, part + 1e-3) <= EXCESS
    assert excess_of_the_lemma(n, rho, part - 0.01) > 100 * EXCESS


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ({"n": 9}, "n must be at most 8, got 9"),
        ({"n": 0}, "n"),
        ({"mu": 1.0}, "mu must be > 0 and < L = 1, got 1"),
        ({"mu": 0.0}, "mu must be > 0 and < L = 1, got 0"),
        ({"gamma": 0.0}, "gamma"),
        ({"rho": -1.0}, "rho"),
    ],
)
def test_bad_cases(case: dict[str, float], sentence: str) -> None:
    values = {"n": 2, "mu": 0.1, "L": 1.0, "gamma": 0.5, "rho": 0.1} | case
    with pytest.raises(InputError, match=sentence):
        FiniteSum(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("L", [1e-6, 7.0, 1e6])
def test_units(L: float) -> None:
    """f -> L f: curvatures by L, steps and radii by 1/L, the noise by L^2; distances stay."""
    found = distance_after(FiniteSum(2, 0.1 * L, L, 0.5 / L, 0.1 / L), L**2)
    assert found.fault == ""
    assert found.value == pytest.approx(1.2703, abs=DIGITS)


ASKED = "worst-case --method usam --class strongly-convex --mu 0.1 --L 1 --gamma 0.5 --rho 0.1 --steps 1"


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*ASKED.split(), "--components", "4", "--noise", "1"]) == 0
    printed = capsys.readouterr().out
    assert "1.27027" in printed
    assert "4 functions" in printed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--components", "9"], "n must be at most 8, got 9"),
        (["--components", "x"], "components"),
        (["--noise", "1"], "noise needs components"),
        (["--components", "2", "--steps", "2"], "steps must be 1 with components, got '2'"),
        (["--components", "2", "--method", "sam"], "method must be sgd or usam with components, got 'sam'"),
        (["--components", "2", "--class", "convex"], "class must be strongly-convex with components, got 'convex'"),
    ],
)
def test_bad_input(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*ASKED.split(), *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
