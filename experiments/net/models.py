"""Networks by SPEC: `mlp:width=64,depth=2,activation=tanh`, `cnn:width=16`, `resnet18`, `FILE.py:build`.

Parameters are drawn from a stream that depends on the seed alone, in float32 on the CPU: the same start in every dtype,
on every device.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from problems.errors import InputError
from problems.problem import check_count, check_memory
from problems.spec import Catalogue

from .data import Data
from .seeds import seeded, stream_key
from .user_model import build_from_file, is_file

architectures: Catalogue[nn.Module] = Catalogue("model", ())
"""Every network that has a SPEC; a builder gets the `data` that it is for."""

Activation = Literal["tanh", "relu", "softplus"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "softplus": nn.Softplus}


def build_model(spec: str, data: Data, *, seed: int = 0, dtype: torch.dtype | None = None) -> nn.Module:
    """A network for this data: inputs (batch, *data.shape) to outputs (batch, data.outputs).

    spec: a SPEC, or `FILE.py:FUNCTION`, which runs that file. seed >= 0: of its parameters. dtype: float32 or float64,
    that of the inputs unless given. It comes on the device of the data, in training mode; torch's own random state is
    left as it was.
    Raises InputError for an unknown SPEC, data that the network cannot take, a network too large for the machine, and
    any fault of the user's file.
    """
    check_count(seed, argument="seed", least=0)
    wanted = data.inputs.dtype if dtype is None else dtype
    with seeded(stream_key(seed, "start")):
        model = build_from_file(spec, data) if is_file(spec) else _build(spec, data, wanted)
    return model.to(device=data.inputs.device, dtype=wanted).train()


def _build(spec: str, data: Data, dtype: torch.dtype) -> nn.Module:
    """A network of the catalogue, if it fits."""
    with torch.device("meta"):  # shapes without memory
        count = sum(part.numel() for part in architectures.build(spec, data=data).parameters())
    # In training a step holds the parameters, where they started, their gradients and what the base keeps.
    copies = 4
    check_memory(copies * count * dtype.itemsize // 8, what=f"model {spec!r}")
    return architectures.build(spec, data=data)


MOST = {"width": 1_000_000, "depth": 10_000}
"""Larger ones would overflow torch's sizes, or never be built."""


def _check_size(size: int, key: str, model: str, *, least: int = 1) -> None:
    argument = f"{key} of model {model!r}"
    if check_count(size, argument=argument, least=least) > MOST[key]:
        raise InputError(f"{argument} must be at most {MOST[key]}, got {size}")


@architectures.register("mlp")
def _mlp(data: Data, width: int = 64, depth: int = 2, activation: Activation = "tanh") -> nn.Module:
    """`depth` hidden layers of `width` units; depth = 0 is a linear model. Inputs of any shape."""
    _check_size(width, "width", "mlp")
    _check_size(depth, "depth", "mlp", least=0)
    size = torch.Size(data.shape).numel()
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(size, width), ACTIVATIONS[activation]()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, data.outputs))


class _Mean(nn.Module):
    """The mean of every channel over the image. `AdaptiveAvgPool2d` has no deterministic gradient on CUDA."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def _channels(data: Data, model: str, least: int) -> int:
    """The channels of the images, which must have at least so many rows and columns."""
    if len(data.shape) != 3 or min(data.shape[1:]) < least:
        raise InputError(
            f"model {model!r} takes images, (channels, rows, columns) with at least {least} rows and columns; "
            f"data {data.name!r} has inputs of shape {data.shape}"
        )
    return data.shape[0]


@architectures.register("cnn")
def _cnn(data: Data, width: int = 16, activation: Activation = "relu") -> nn.Module:
    """Three convolutions with kernels of 3 x 3 and `width`, 2 width, 2 width channels, the second with stride 2, then
    the mean of every channel and a linear layer. No normalisation."""
    _check_size(width, "width", "cnn")
    act = ACTIVATIONS[activation]
    return nn.Sequential(
        nn.Conv2d(_channels(data, "cnn", 4), width, 3, padding=1),
        act(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        act(),
        nn.Conv2d(2 * width, 2 * width, 3, padding=1),
        act(),
        _Mean(),
        nn.Linear(2 * width, data.outputs),
    )


class _Block(nn.Module):
    """relu(F(x) + shortcut(x)), F two convolutions of 3 x 3 with batch normalisation; the shortcut is the identity, or
    a convolution of 1 x 1 with batch normalisation where the shape changes."""

    def __init__(self, channels: int, wanted: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, wanted, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(wanted)
        self.second = nn.Conv2d(wanted, wanted, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(wanted)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != wanted:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, wanted, 1, stride=stride, bias=False), nn.BatchNorm2d(wanted)
            )

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.first_norm(self.first(images)))
        return torch.relu(self.second_norm(self.second(hidden)) + self.shortcut(images))


@architectures.register("resnet18")
def _resnet18(data: Data, width: int = 64) -> nn.Module:
    """ResNet-18 (He et al. 2016) with the stem for images of 32 x 32: a convolution of 3 x 3 and stride 1, no pooling.

    Four stages of two blocks with width, 2, 4, 8 width channels and strides 1, 2, 2, 2; 11.2 M parameters at width 64.
    Convolutions start as in the paper: normal, variance 2 over the number of weights that leave an input.
    """
    _check_size(width, "width", "resnet18")
    layers: list[nn.Module] = [
        nn.Conv2d(_channels(data, "resnet18", 8), width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    channels = width
    for stage, stride in enumerate((1, 2, 2, 2)):
        wanted = width * 2**stage
        layers += [_Block(channels, wanted, stride), _Block(wanted, wanted, 1)]
        channels = wanted
    model = nn.Sequential(*layers, _Mean(), nn.Linear(channels, data.outputs))
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return model
