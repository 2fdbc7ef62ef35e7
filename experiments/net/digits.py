"""The networks that the network claims are looked at on: a hidden layer of tanh units on scikit-learn's digits."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from .data import load_data
from .models import build_model
from .objective import Objective

MODEL = "mlp:width=16,depth=1"


@cache
def digits_objective(loss: str, examples: int = 400, reg: float = 0.0) -> Objective:
    """The loss of the first so many training examples, in float64. With `squared` the targets are 0 and 1, a column for
    each digit."""
    data = load_data("digits", dtype=torch.float64)
    targets = data.targets[:examples]
    if loss == "squared":
        targets = torch.nn.functional.one_hot(targets, data.classes).double()
    return Objective(build_model(MODEL, data), data.inputs[:examples], targets, loss=loss, reg=reg)


def digits_starts(first: int, seeds: int) -> Tensor:
    """Where networks of these seeds start, (seeds, d)."""
    data = load_data("digits", dtype=torch.float64)
    models = [build_model(MODEL, data, seed=seed) for seed in range(first, first + seeds)]
    return torch.stack([torch.cat([p.detach().reshape(-1) for p in model.parameters()]) for model in models])
