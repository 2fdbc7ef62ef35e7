"""What a step of each method costs, in steps of SGD: ratios within one run, so that the machine drops out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from problems.problem import check_count

from .device import choose_device
from .optimizer import SAMFamily

METHODS = {
    "sgd": "sgd",
    "sam": "sam",
    "usam": "usam",
    "unified-sam": "unified-sam:lam=0.5",
    "gsam": "gsam:alpha=0.1",
    "ssam": "ssam",
    "multi-sam, 2 steps": "multi-sam:steps=2,ascent=budget,descent=last",
    "multi-sam, 2 steps, projected, average": "multi-sam:steps=2,ascent=projected,descent=average",
}
"""What is timed, by name."""

WARM_UP = 3
"""Steps of each that are not timed."""

Step = Callable[[], object]


class EagerSAM:
    """The yardstick: SAM as it is commonly written, tensor by tensor around a torch optimiser, in two half-steps."""

    def __init__(self, params: list[Tensor], *, rho: float, lr: float) -> None:
        self.params, self.rho = params, rho
        self.base = torch.optim.SGD(params, lr=lr, momentum=0.9)

    @torch.no_grad()
    def climb(self) -> None:
        """x to x + rho g/||g||."""
        norms = torch.stack([p.grad.norm(p=2) for p in self.params if p.grad is not None])
        scale = self.rho / (norms.norm(p=2) + 1e-12)
        self.kept = [p.detach().clone() for p in self.params]
        for p in self.params:
            if p.grad is not None:
                p.add_(p.grad * scale)

    @torch.no_grad()
    def descend(self) -> None:
        """Back to x, and the base's step with the gradient that stands there."""
        for p, x in zip(self.params, self.kept, strict=True):
            p.copy_(x)
        self.base.step()


def perceptron(device: torch.device, dtype: torch.dtype) -> nn.Module:
    """784-512-1024-10 with rectifiers: 0.94 M parameters."""
    layers = (nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 10))
    return nn.Sequential(*layers).to(device, dtype)


def step_ratios(
    device: str | None = None, dtype: torch.dtype = torch.float32, repeats: int = 60, *, batch: int = 128
) -> dict[str, float]:
    """The time of a step of each method over that of a step of torch's SGD, momentum 0.9 in all of them.

    On `perceptron` with `batch` random examples. A repeat goes through the methods, a step of SGD right before a step
    of each, so that both meet the same load; the ratio is the median over the repeats. `eager sam` is the yardstick
    above. Raises InputError for a device that is not there, repeats or batch below 1.
    """
    place = choose_device(device)
    repeats, batch = check_count(repeats, argument="repeats"), check_count(batch, argument="batch")
    plain = _plain(place, dtype, batch)
    steps = {name: make(place, dtype, batch) for name, make in _makers().items()}
    for step in (plain, *steps.values()):
        for _ in range(WARM_UP):
            step()
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            base = _timed(plain, place)
            ratios[name].append(_timed(step, place) / base)
    return {name: statistics.median(found) for name, found in ratios.items()}


def _makers() -> dict[str, Callable[[torch.device, torch.dtype, int], Step]]:
    return {
        **{name: partial(_ours, spec) for name, spec in METHODS.items()},
        "eager sam": _eager,
    }


def _task(device: torch.device, dtype: torch.dtype, batch: int) -> tuple[list[Tensor], Callable[[], Tensor]]:
    """The parameters, and a closure that leaves zeroing to the caller."""
    model = perceptron(device, dtype)
    inputs = torch.randn(batch, 784, device=device, dtype=dtype)
    targets = torch.randint(10, (batch,), device=device)

    def backward() -> Tensor:
        loss = nn.functional.cross_entropy(model(inputs), targets)
        torch.autograd.backward(loss)
        return loss

    return list(model.parameters()), backward


def _zeroed(optimizer: Any, backward: Callable[[], Tensor]) -> Tensor:
    optimizer.zero_grad()
    return backward()


def _plain(device: torch.device, dtype: torch.dtype, batch: int) -> Step:
    params, backward = _task(device, dtype, batch)
    optimizer = torch.optim.SGD(params, lr=1e-3, momentum=0.9)
    return partial(optimizer.step, partial(_zeroed, optimizer, backward))


def _ours(spec: str, device: torch.device, dtype: torch.dtype, batch: int) -> Step:
    params, backward = _task(device, dtype, batch)
    optimizer = SAMFamily(params, method=spec, rho=0.05, lr=1e-3, momentum=0.9)
    return partial(optimizer.step, partial(_zeroed, optimizer, backward))


def _eager(device: torch.device, dtype: torch.dtype, batch: int) -> Step:
    params, backward = _task(device, dtype, batch)
    optimizer = EagerSAM(params, rho=0.05, lr=1e-3)

    def step() -> None:
        _zeroed(optimizer.base, backward)
        optimizer.climb()
        _zeroed(optimizer.base, backward)
        optimizer.descend()

    return step


def _timed(step: Step, device: torch.device) -> float:
    """Seconds for one step."""
    _finish(device)
    begin = time.perf_counter()
    step()
    _finish(device)
    return time.perf_counter() - begin


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
