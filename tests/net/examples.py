"""Objectives that several test files use: quadratics, of which everything is known, and small networks on digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn

from experiments.net.objective import Objective
from problems.glm import LeastSquaresProblem

Array = NDArray[np.float64]


class Quadratic(NamedTuple):
    """f(x) = ||A x - b||^2/(2n) + reg/2 ||x||^2 three times: for torch, for the engine, and as arrays."""

    objective: Objective
    problem: LeastSquaresProblem
    A: Array
    b: Array
    H: Array
    minimiser: Array
    reg: float

    @property
    def infimum(self) -> float:
        return float(np.mean((self.A @ self.minimiser - self.b) ** 2) / 2 + self.reg / 2 * np.sum(self.minimiser**2))


def quadratic(n: int = 12, d: int = 4, *, reg: float = 0.1, seed: int = 0, scale: float = 1.0) -> Quadratic:
    """A linear model with squared loss on random data; the columns' sizes fall from `scale` to 0.2 scale."""
    rng = np.random.default_rng(seed)
    A = scale * rng.standard_normal((n, d)) * np.linspace(1, 0.2, d)
    b = rng.standard_normal(n)
    model = nn.Linear(d, 1, bias=False).double()
    objective = Objective(model, torch.tensor(A), torch.tensor(b)[:, None], loss="squared", reg=reg)
    H = A.T @ A / n + reg * np.eye(d)
    problem = LeastSquaresProblem(A=A, b=b, reg=reg, name="random rows")
    return Quadratic(objective, problem, A, b, H, np.asarray(np.linalg.solve(H, A.T @ b / n), dtype=np.float64), reg)


def digits(n: int = 40, *, pixels: int = 8, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """The first n digits, standardised: (n, pixels) of the middle rows, and classes 0..9."""
    data = load_digits()
    values = (data.data[:n, 24 : 24 + pixels] - 8.0) / 8.0
    return torch.tensor(values, dtype=dtype), torch.tensor(data.target[:n], dtype=torch.int64)


def mlp(n: int = 40, *, pixels: int = 8, hidden: int = 5, seed: int = 0, reg: float = 0.01) -> Objective:
    """A network with one hidden layer of tanh units on digits, float64."""
    inputs, targets = digits(n, pixels=pixels)
    return Objective(build_mlp(pixels, hidden, seed), inputs, targets, reg=reg)


def build_mlp(pixels: int, hidden: int, seed: int) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, 10)).double()


def dense_hessian(objective: Objective, x: Tensor) -> Tensor:
    """H(x) of the plain loss, by reverse mode twice: not the way of the code that it checks."""
    inputs, targets = objective.inputs, objective.targets

    def f(y: Tensor) -> Tensor:
        return objective.losses(y, inputs, targets).mean() + objective.reg / 2 * y.square().sum()

    found: Tensor = torch.func.jacrev(torch.func.jacrev(f))(x)
    return found
