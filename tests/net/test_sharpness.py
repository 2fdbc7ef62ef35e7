"""How much f rises within a ball: against the exact maximum on quadratics, and the limits for small radii."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from experiments.net import curvature, sharpness
from experiments.net.objective import Objective
from experiments.net.sharpness import (
    ascent_rise,
    ascent_sharpness,
    average_sharpness,
    inner_maximum,
    quadratic_model,
    worst_sharpness,
)
from problems.errors import InputError
from tests.net.examples import dense_hessian, mlp, quadratic
from theory.inner_max import quadratic_on_ball

torch.set_num_threads(1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rho", [0.01, 0.3, 5.0])
def test_inner_maximum_of_a_quadratic(seed: int, rho: float) -> None:
    q = quadratic(seed=seed)
    x = torch.tensor(np.random.default_rng(seed).standard_normal(4))
    exact = quadratic_on_ball(q.H @ (x.numpy() - q.minimiser), q.H, rho)
    found = inner_maximum(q.objective, x, rho)
    # Ascent stops at gains of 1e-10; f carries some 1e-15 of its value.
    assert found.value == pytest.approx(exact.value, rel=1e-7)
    assert found.value <= exact.value * (1 + 1e-9) + 1e-13
    assert float(found.point.norm()) <= rho * (1 + 1e-15)
    assert quadratic_model(q.objective, x, rho).low == pytest.approx(exact.value, rel=1e-12)
    one = ascent_rise(q.objective, x, rho)
    assert one.value <= found.value


def test_the_hard_case_needs_the_eigenvector() -> None:
    """At a minimum the gradient says nothing; the start along the top eigenvector attains rho^2 lambda_1/2."""
    q = quadratic()
    # With targets 0 the gradient at 0 is exactly 0; elsewhere its rounding would do for a direction.
    f = Objective(q.objective.model, q.objective.inputs, torch.zeros(12, 1).double(), loss="squared", reg=q.reg)
    zero = torch.zeros(4, dtype=torch.float64)
    assert not f.gradient(zero).any()
    found = inner_maximum(f, zero, 0.1, restarts=0)
    assert found.value == pytest.approx(0.005 * np.linalg.eigvalsh(q.H)[-1], rel=1e-9)
    assert len(found.restarts) == 3
    # SAM's step is 0 there and stays where it is, the random starts do not.
    several = inner_maximum(f, zero, 0.1, restarts=2)
    assert np.count_nonzero(several.restarts) == 4


def test_restarts_leave_a_local_maximum() -> None:
    """A gradient that points to the lower of two hills: one start stays there, the others find the higher one."""

    class Hills(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor([0.0], dtype=torch.float64))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs * (self.w**3 - 2.0 * self.w**2 - 0.5 * self.w)[None]

    # The output falls from both sides; squared loss with target 10 rises where the output falls.
    objective = Objective(Hills(), torch.ones(1, 1).double(), 10 * torch.ones(1, 1).double(), loss="squared")
    values = [float(objective.value(torch.tensor([w]).double())) for w in np.linspace(-1, 1, 2001)]
    best = max(values) - float(objective.value(objective.start))
    stuck = ascent_rise(objective, objective.start, 1.0).value
    found = inner_maximum(objective, objective.start, 1.0)
    assert stuck < 0.9 * best
    assert found.value == pytest.approx(best, rel=1e-6)
    assert min(found.restarts) < 0.9 * best


def test_inner_maximum_of_a_network_is_near_its_model() -> None:
    objective = mlp()
    rho = 1e-3
    x = objective.start
    exact = quadratic_on_ball(objective.gradient(x).numpy(), dense_hessian(objective, x).numpy(), rho).value
    # The third derivative's part is of the order of rho^3.
    assert inner_maximum(objective, x, rho, restarts=1).value == pytest.approx(exact, rel=1e-5)


def test_the_model_is_bracketed_without_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = mlp()
    x = objective.start + 0.2
    for rho in (0.05, 2.0):
        exact = quadratic_on_ball(objective.gradient(x).numpy(), dense_hessian(objective, x).numpy(), rho).value
        for module in (curvature, sharpness):
            monkeypatch.setattr(module, "DENSE", 0)
        few = quadratic_model(objective, x, rho, steps=1)
        many = quadratic_model(objective, x, rho, steps=30)
        # ARPACK stops at 1e-6 and its residual stands in the bound.
        assert few.low <= many.low * (1 + 1e-12)
        assert many.low == pytest.approx(exact, rel=1e-6)
        assert many.low <= exact * (1 + 1e-9) <= many.high * (1 + 2e-9)


def test_limits_of_the_three_sharpnesses_on_a_quadratic() -> None:
    q = quadratic(d=4, reg=0.05)
    eigenvalues, basis = np.linalg.eigh(q.H)
    x = torch.tensor(q.minimiser)
    rho = 1e-2
    # Differences of f carry 1e-16/rho^2 = 1e-12.
    assert worst_sharpness(q.objective, x, rho) == pytest.approx(eigenvalues[-1] / 2, rel=1e-8)
    for j in range(4):
        # Beside the minimum along v_j: rho (v, lambda v) delta is the first-order part, delta/rho of the second.
        beside = torch.tensor(q.minimiser + 1e-7 * basis[:, j])
        assert ascent_sharpness(q.objective, beside, rho) == pytest.approx(eigenvalues[j] / 2, rel=1e-4)
    found = average_sharpness(q.objective, x, rho, directions=400)
    assert abs(found.value - np.trace(q.H) / 8) < 5 * found.standard_error
    assert abs(found.value - np.trace(q.H) / 4) > 5 * found.standard_error  # the caption read literally


def test_average_sharpness_of_a_network_is_its_trace() -> None:
    """At any point, because opposite directions cancel the gradient."""
    objective = mlp()
    x = objective.start
    found = average_sharpness(objective, x, 1e-3, directions=200)
    exact = float(dense_hessian(objective, x).trace()) / (2 * objective.d)
    # The fourth derivative's part is of the order of rho^2 = 1e-6, rounding 1e-16/rho^2 = 1e-10.
    assert abs(found.value - exact) < 4 * found.standard_error + 1e-6
    assert found.standard_error < 0.1 * exact


def test_order_of_the_sharpnesses_of_a_network() -> None:
    """Worst at least ascent: SAM's step is one of the starts."""
    objective = mlp()
    assert worst_sharpness(objective, objective.start, 0.1) >= ascent_sharpness(objective, objective.start, 0.1)


def test_no_radius_no_rise() -> None:
    objective = mlp()
    assert inner_maximum(objective, objective.start, 0.0).value == 0
    assert ascent_rise(objective, objective.start, 0.0).value == 0
    q = quadratic(reg=1.0)
    still = Objective(q.objective.model, torch.zeros(2, 4).double(), torch.zeros(2, 1).double(), loss="squared", reg=1)
    zero = torch.zeros(4).double()
    assert torch.equal(ascent_rise(still, zero, 0.5).point, zero)  # a zero gradient is no direction


STILL = Objective(
    torch.nn.Linear(4, 1, bias=False).double(), torch.zeros(2, 4).double(), torch.zeros(2, 1).double(), loss="squared"
)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda o: inner_maximum(o, o.start, -1.0), "rho must be a finite number >= 0, got -1.0"),
        (lambda o: inner_maximum(o, o.start, float("nan")), "rho must be a finite number >= 0, got nan"),
        (lambda o: inner_maximum(o, o.start, 1.0, steps=0), "steps must be a whole number >= 1, got 0"),
        (lambda o: inner_maximum(o, o.start, 1.0, restarts=-1), "restarts must be a whole number >= 0, got -1"),
        (lambda o: ascent_rise(o, o.start[:2], 1.0), "x must have shape"),
        (lambda o: worst_sharpness(o, o.start, 0.0), "rho must be a positive finite number, got 0.0"),
        (lambda o: ascent_sharpness(o, o.start, 0.1), "nonzero gradient"),
        (lambda o: average_sharpness(o, o.start, 0.1, directions=1), "directions must be a whole number >= 2, got 1"),
        # Of a step along an infinite gradient no length is short enough: the search would not end.
        (
            lambda o: inner_maximum(mlp(), mlp().start, 1e300),
            r"rho must be so small that f stays finite .* got 1e\+300",
        ),
        (lambda o: ascent_rise(mlp(), mlp().start, 1e300), "rho must be so small that f stays finite"),
        (lambda o: average_sharpness(mlp(), mlp().start, 1e300), "rho must be so small that f stays finite"),
        (lambda o: quadratic_model(mlp(), mlp().start, 1e300), "rho must be so small that f stays finite"),
        (lambda o: quadratic_model(o, o.start, -0.1), "rho must be a finite number >= 0, got -0.1"),
        (lambda o: quadratic_model(o, o.start, 1e-200), "rho must be 0, or so large that its square is not 0"),
        (lambda o: average_sharpness(o, o.start, 1e-200), "rho must be so large that its square is not 0"),
    ],
)
def test_bad_input_is_one_sentence(call: Callable[[Objective], Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        call(STILL)
