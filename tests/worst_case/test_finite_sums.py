"""One step on finite sums, in expectation over a uniform component: exact over every n functions of a class."""

from __future__ import annotations

import numpy as np
import pytest

from problems.errors import InputError
from ravine.cli import run_command
from theory.claim import claims
from theory.derivation_facts import facts_at
from theory.worst_case.finite_sums import FiniteSum, distance_after, noise_scale

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


def test_the_noise_term_of_the_lemma_is_enough_and_not_twice_too_large() -> None:
    """usam/one-step holds over every pair: at most 1 of its noise term is needed, and 0.9 of it at L rho = 1/2."""
    assert noise_scale(FiniteSum(2, 0.0, 1.0, 0.5, 0.0)) == pytest.approx(0.5, abs=1e-3)
    assert noise_scale(FiniteSum(2, 0.0, 1.0, 0.5, 0.5)) == pytest.approx(0.9, abs=1e-3)
    assert noise_scale(FiniteSum(3, 0.0, 1.0, 0.5, 0.5)) == pytest.approx(0.9, abs=1e-3)


def test_the_lemma_is_the_one_of_the_catalogue() -> None:
    """The inequality that `noise_scale` writes down has the numbers of the claim's code."""
    point = {"L": 1.0, "gamma": 0.5, "rho": 0.5, "lam": 0.0, "sigma2": 2.0}
    rule = claims["usam/one-step"].one_step
    assert rule is not None
    stated = rule(facts_at(point, deterministic=False), np.array([3.0]), np.array([4.0]), 0, {})
    gamma, rho = 0.5, 0.5
    transcribed = 3 - gamma / 2 * (1 - rho**2) * 4 + (gamma * rho**2 / 2 + gamma**2) * 2
    assert float(stated[0]) == pytest.approx(transcribed, rel=1e-12)


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ({"n": 9}, "n must be at most 8, got 9"),
        ({"n": 0}, "n"),
        ({"mu": 1.0}, "mu must be >= 0 and < L = 1, got 1"),
        ({"gamma": 0.0}, "gamma"),
        ({"rho": -1.0}, "rho"),
    ],
)
def test_bad_cases(case: dict[str, float], sentence: str) -> None:
    values = {"n": 2, "mu": 0.1, "L": 1.0, "gamma": 0.5, "rho": 0.1} | case
    with pytest.raises(InputError, match=sentence):
        FiniteSum(**values)  # type: ignore[arg-type]


def test_distances_need_a_minimiser() -> None:
    with pytest.raises(InputError, match="mu must be > 0"):
        distance_after(FiniteSum(2, 0.0, 1.0, 0.5, 0.1))


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
