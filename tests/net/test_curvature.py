"""Ends, trace and density of the Hessian against the matrix written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from experiments.net import curvature
from experiments.net.curvature import (
    Density,
    Hessian,
    alignment,
    eigenpairs,
    local_pl,
    smoothness_along,
    spectral_density,
    trace,
)
from experiments.net.lanczos import largest_eigenvalue
from experiments.net.objective import Objective
from problems.errors import InputError
from problems.problem import Grade
from tests.net.examples import dense_hessian, mlp, quadratic
from tests.net.test_objective import shared

torch.set_num_threads(1)


@pytest.fixture(params=["written out", "by products"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both routes, on the same small problems."""
    if request.param == "by products":
        monkeypatch.setattr(curvature, "DENSE", 0)
    return str(request.param)


def test_products_are_those_of_the_objective() -> None:
    for objective in (mlp(), shared(), quadratic().objective):
        x = objective.start + 0.1
        v = torch.randn(objective.d, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        by_hand = torch.stack([objective.hessian_vector(x, column) for column in v.T], dim=1)
        # The same products through another order of differentiation.
        assert torch.allclose(Hessian(objective, x) @ v, by_hand, rtol=1e-11, atol=1e-12)


def test_ends_of_the_spectrum(way: str) -> None:
    objective = mlp()
    x = objective.start + 0.3
    exact, basis = torch.linalg.eigh(dense_hessian(objective, x))
    top = eigenpairs(objective, x, 3)
    low = eigenpairs(objective, x, 2, end="smallest")
    # ARPACK was asked for 1e-6, relative; eigenvalues are off by the square of what vectors are.
    assert torch.allclose(top.values, exact.flip(0)[:3], rtol=1e-6, atol=1e-9)
    assert torch.allclose(low.values, exact[:2], rtol=1e-6, atol=1e-9)
    assert float((basis[:, -1] @ top.vectors[:, 0]).abs()) == pytest.approx(1, abs=1e-6)
    assert (top.vectors.norm(dim=0) - 1).abs().max() < 1e-12
    largest = top.vectors.abs().argmax(dim=0)
    assert (top.vectors.gather(0, largest[None]) > 0).all()


def test_an_eigenvalue_lies_within_each_residual(way: str) -> None:
    objective = mlp()
    exact = torch.linalg.eigvalsh(dense_hessian(objective, objective.start))
    loose = eigenpairs(objective, objective.start, 4, tolerance=1e-1)
    for value, residual in zip(loose.values, loose.residuals, strict=True):
        # Besides the bound only the rounding of a product.
        assert float((exact - value).abs().min()) <= float(residual) + 1e-12


class Bent(torch.nn.Module):
    """inputs (w_0^2 + 2 w_1^2 + w_2)."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * (self.w[0] ** 2 + 2 * self.w[1] ** 2 + self.w[2])[None, None]


def saddle() -> Objective:
    """A saddle: a squared loss far from its target, whose Hessian is mostly negative."""
    return Objective(Bent(), torch.ones(2, 1).double(), 10 * torch.ones(2, 1).double(), loss="squared")


def test_magnitude_finds_a_negative_end(way: str) -> None:
    objective = saddle()
    exact = torch.linalg.eigvalsh(dense_hessian(objective, objective.start))
    assert abs(exact[0]) > abs(exact[-1])
    found = eigenpairs(objective, objective.start, end="magnitude")
    assert float(found.values[0]) == pytest.approx(float(exact[0]), rel=1e-9)
    seen = smoothness_along(objective, [objective.start])
    assert seen.L.value == pytest.approx(float(-exact[0]), rel=1e-9)
    assert seen.L.grade is Grade.ESTIMATE


def test_the_network_is_not_touched() -> None:
    objective = shared()
    before = {name: value.clone() for name, value in objective.model.state_dict().items()}
    eigenpairs(objective, objective.start + 1)
    trace(objective, objective.start + 1)
    assert all(torch.equal(before[name], value) for name, value in objective.model.state_dict().items())
    assert objective.model.training


def test_trace_and_its_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = mlp()
    x = objective.start + 0.3
    exact = float(dense_hessian(objective, x).trace())
    monkeypatch.setattr(curvature, "DENSE", 0)
    errors = []
    for seed in range(40):
        found = trace(objective, x, products=6, repeats=5, seed=seed)
        assert found.standard_error > 0
        errors.append((found.value - exact) / found.standard_error)
    # Student's interval of 80 % with 4 degrees of freedom is 1.533 standard errors: 32 of 40 expected, 2.5 standard
    # deviation. An error named 1.5 times too small would give 26, one 1.5 times too large 37.
    assert 25 <= sum(abs(error) < 1.533 for error in errors) <= 38
    assert max(map(abs, errors)) < 12  # exceeded once in 3600 draws
    assert trace(objective, x, products=12, repeats=8, seed=1) == trace(objective, x, products=12, repeats=8, seed=1)


def test_a_small_trace_is_exact() -> None:
    q = quadratic()
    found = trace(q.objective, q.objective.start)
    assert found.value == pytest.approx(float(np.trace(q.H)), rel=1e-13)
    assert found.standard_error == 0


def test_global_randomness_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curvature, "DENSE", 0)
    objective = mlp()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    trace(objective, objective.start)
    spectral_density(objective, objective.start, steps=8, repeats=2)
    assert torch.equal(before, torch.random.get_rng_state())


def bumps(found: Density, eigenvalues: Tensor) -> Tensor:
    """The mean of normal densities around the eigenvalues, on the grid."""
    away = (found.grid[:, None] - eigenvalues) / found.width
    heights: Tensor = (-away.square() / 2).exp().mean(dim=1)
    return heights.div(found.width * (2 * np.pi) ** 0.5)


def test_density_is_that_of_the_eigenvalues() -> None:
    objective = mlp()
    x = objective.start + 0.3
    exact = torch.linalg.eigvalsh(dense_hessian(objective, x))
    found = spectral_density(objective, x, steps=30, points=400, repeats=16, seed=1)
    step = float(found.grid[1] - found.grid[0])
    # The margin of 5 % is some 4 widths: less than 1e-3 of a bump is cut off, and the rule's error is smaller.
    assert float(found.density.sum() * step) == pytest.approx(1, abs=2e-3)
    # Of the 400 points some 30 are independent; the largest of so many t values with 15 degrees of freedom exceeds 6
    # with probability 1e-3. Where no run put weight there is no spread either, hence the floor.
    floor = 1e-3 * float(found.density.max())
    assert float(((found.density - bumps(found, exact)).abs() / (found.standard_error + floor)).max()) < 6
    elsewhere = bumps(found, exact + 3 * found.width)
    assert float(((found.density - elsewhere).abs() / (found.standard_error + floor)).max()) > 6


def test_alignment() -> None:
    g = torch.tensor([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0], [3e-200, 4e-200]], dtype=torch.float64)
    found = alignment(g, torch.tensor([0.0, 7.0], dtype=torch.float64))
    assert found[:2].tolist() == pytest.approx([0.8, 1.0], rel=1e-15)
    assert torch.isnan(found[2])
    assert float(found[3]) <= 1


def test_gradients_point_along_the_top_eigenvector() -> None:
    """Against the matrix written out; a step along v_1 of a quadratic's minimum leaves a gradient along it."""
    objective = mlp()
    x = objective.start + 0.3
    v = torch.linalg.eigh(dense_hessian(objective, x))[1][:, -1]
    g = objective.gradient(x)
    by_hand = float((g @ v).abs() / g.norm())
    found = alignment(g, eigenpairs(objective, x).vectors[:, 0])
    assert float(found) == pytest.approx(by_hand, abs=1e-6)
    assert 0.01 < by_hand < 0.99
    q = quadratic()
    top = eigenpairs(q.objective, q.objective.start).vectors[:, 0]
    beside = q.objective.gradient(torch.tensor(q.minimiser) + 0.5 * top)
    assert float(alignment(beside, top)) == pytest.approx(1, abs=1e-12)


def test_constants_along_a_trajectory_of_a_network() -> None:
    """L and the local PL constant against autograd's value, gradient and whole Hessian at each point."""
    objective = mlp()
    points = [objective.start]
    for _ in range(3):
        points.append(points[-1] - 0.5 * objective.gradient(points[-1]))
    sizes, ratios = [], []
    for x in points:
        y = x.clone().requires_grad_()
        f = objective.losses(y, objective.inputs, objective.targets).mean() + objective.reg / 2 * y.square().sum()
        (g,) = torch.autograd.grad(f, y)
        sizes.append(float(torch.linalg.eigvalsh(dense_hessian(objective, x)).abs().max()))
        ratios.append(float(g.square().sum() / (2 * f.detach())))
    seen = smoothness_along(objective, points)
    assert seen.values.tolist() == pytest.approx(sizes, rel=1e-4)
    assert seen.L.value == float(seen.values.max())
    pl = local_pl(objective, points)
    assert pl.ratios.tolist() == pytest.approx(ratios, rel=1e-12)
    assert pl.mu.value == float(pl.ratios.min())


def test_local_pl_on_a_quadratic() -> None:
    q = quadratic()
    eigenvalues, basis = np.linalg.eigh(q.H)
    points = [torch.tensor(q.minimiser + step * basis[:, j]) for j in range(4) for step in (1.0, -0.1)]
    found = local_pl(q.objective, points, infimum=q.infimum)
    # ||H v||^2/(v'Hv) = lambda along each eigenvector; f - f* loses some 1e-13 of f to cancellation.
    assert found.ratios.numpy() == pytest.approx(np.repeat(eigenvalues, 2), rel=1e-10)
    assert found.mu.value == pytest.approx(eigenvalues[0], rel=1e-10)
    assert found.mu.grade is Grade.ESTIMATE
    below = local_pl(q.objective, points, infimum=0.0)
    assert (below.ratios < found.ratios).all()


def test_local_pl_at_a_minimum_demands_nothing() -> None:
    """At f = infimum any constant would do."""
    q = quadratic()
    x = torch.tensor(q.minimiser)
    assert local_pl(q.objective, [x], infimum=float(q.objective.value(x))).mu.value == np.inf


def test_batched_lanczos() -> None:
    rng = torch.Generator().manual_seed(0)
    M = torch.randn(6, 20, 20, generator=rng, dtype=torch.float64)
    M = M + M.transpose(1, 2)
    M[1] = -torch.eye(20)  # negative, and every space invariant at once
    M[2] = torch.diag(torch.tensor([5.0] + [-3.0] * 19))
    M[3] *= 0
    M[4, 0, 0] = torch.nan
    start = torch.randn(6, 20, generator=rng, dtype=torch.float64)
    start[2] = torch.eye(20)[0]  # an eigenvector
    exact = torch.linalg.eigvalsh(torch.nan_to_num(M))[:, -1]
    found = largest_eigenvalue(lambda v: (M @ v[..., None])[..., 0], start, steps=20)
    kept = torch.tensor([0, 1, 2, 3, 5])
    # All of the space: exact to the rounding of 20 products.
    assert torch.allclose(found.values[kept], exact[kept], rtol=1e-11, atol=1e-12)
    assert (found.residuals[kept] < 1e-10).all()
    assert torch.isnan(found.values[4])
    short = largest_eigenvalue(lambda v: (M @ v[..., None])[..., 0], start, steps=4)
    values = torch.linalg.eigvalsh(torch.nan_to_num(M))
    assert ((values - short.values[:, None]).abs().min(dim=1).values <= short.residuals + 1e-12)[kept].all()


OBJECTIVE = mlp()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda o: eigenpairs(o, o.start, 0), "k must be a whole number >= 1, got 0"),
        (lambda o: eigenpairs(o, o.start, 106), "k must be in 1..d = 105, got 106"),
        (
            lambda o: eigenpairs(o, o.start, end=cast(Any, "top")),
            "end must be one of .* got 'top'",
        ),
        (lambda o: eigenpairs(o, o.start, tolerance=0), "tolerance must be a positive finite number, got 0"),
        (lambda o: eigenpairs(o, o.start[:-1]), "x must have shape"),
        (lambda o: eigenpairs(o, o.start * torch.nan), "x holds NaN"),
        (lambda o: eigenpairs(o, torch.full_like(o.start, 1e200)), "Hessian is not too large to decompose"),
        (lambda o: trace(saddle(), torch.full((3,), 1e160, dtype=torch.float64)), "finite Hessian"),
        (lambda o: eigenpairs(o, o.start, 3, iterations=1, tolerance=1e-14), "iterations must be enough for ARPACK"),
        (lambda o: trace(o, o.start, products=10), "products must be a multiple of 3, got 10"),
        (lambda o: trace(o, o.start, repeats=1), "repeats must be a whole number >= 2, got 1"),
        (lambda o: spectral_density(o, o.start, steps=200), r"steps must be in 2..d = 105, got 200"),
        (lambda o: spectral_density(o, o.start, kappa=1.0), "kappa must be > 1, got 1.0"),
        (lambda o: smoothness_along(o, []), "points must be at least one"),
        (lambda o: local_pl(o, []), "points must be at least one"),
        (lambda o: local_pl(o, [o.start], infimum=99.0), "infimum must be at most every value of f, got 99.0"),
    ],
)
def test_bad_input_is_one_sentence(call: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        call(OBJECTIVE)


def test_a_hessian_with_few_distinct_eigenvalues_ends_the_density() -> None:
    q = quadratic(n=4, d=6, reg=0.1, scale=1e-200)
    with pytest.raises(InputError, match="two distinct eigenvalues"):
        spectral_density(q.objective, q.objective.start, steps=3)
