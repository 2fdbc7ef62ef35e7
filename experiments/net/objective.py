"""A network's training loss as a function of one flat vector, so that statements about functions speak of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from problems.errors import InputError

from . import forward_mode

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": lambda outputs, targets: nn.functional.cross_entropy(outputs, targets, reduction="none"),
    "squared": lambda outputs, targets: (outputs - targets).square().flatten(1).sum(dim=1) / 2,
}
"""The loss of each example, shape (batch,), from outputs (batch, k) and targets: classes (batch,), or (batch, k)."""

CHUNK = 4096
"""Examples that go through the network at once."""


class Objective:
    """f(x) = (1/n) sum_i loss(model(input_i), target_i) + (reg/2) ||x||^2, x the trainable parameters as one vector.

    The model is looked at in evaluation mode (no dropout, fixed batch-norm statistics), so that f is a function of x,
    and is left as it was found. Parameters that need no gradient keep their values and are no part of x; a shared one
    counts once. All values have the dtype of the parameters and live on their device. n examples, d parameters; start,
    (d,): where the model stands when this is made.
    """

    def __init__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, *, loss: str = "cross-entropy", reg: float = 0.0
    ) -> None:
        """inputs (n, ...); targets (n,) classes for `cross-entropy`, (n, k) numbers for `squared`.

        Raises InputError for an unknown loss, a negative reg, data of different lengths, none, or not finite, targets
        that do not fit what the model puts out.
        """
        if loss not in LOSSES:
            raise InputError(f"loss must be {' or '.join(LOSSES)}, got {loss!r}")
        if not reg >= 0:
            raise InputError(f"reg must be >= 0, got {reg!r}")
        if len(inputs) != len(targets) or len(inputs) == 0:
            raise InputError(f"inputs and targets must be as many, at least one, got {len(inputs)} and {len(targets)}")
        if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
            raise InputError("inputs must be finite, got NaN or infinity among them")
        self.model, self.inputs, self.targets = model, inputs, targets
        self.reg, self.loss = float(reg), loss
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not trained:
            raise InputError("model must have parameters that need a gradient, got none")
        self._shapes = {name: p.shape for name, p in trained.items()}
        self._fixed = {
            **{name: p.detach() for name, p in model.named_parameters() if not p.requires_grad},
            **{name: b.detach().clone() for name, b in model.named_buffers()},
        }
        self._places = _places(model)
        self.start = torch.cat([p.detach().reshape(-1) for p in trained.values()])
        self.n, self.d = len(inputs), len(self.start)
        self._check_targets()

    def named(self, x: Tensor) -> dict[str, Tensor]:
        """The parameters by name as views of x (d,)."""
        parts = torch.split(x, [shape.numel() for shape in self._shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def write(self, x: Tensor) -> None:
        """Put x into the model."""
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, part in self.named(x).items():
                own[name].copy_(part)

    def read(self) -> Tensor:
        """The model's parameters as they are now, (d,)."""
        own = dict(self.model.named_parameters())
        return torch.cat([own[name].detach().reshape(-1) for name in self._shapes])

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The model in evaluation mode."""
        modes = {module: module.training for module in self.model.modules()}
        self.model.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode

    def losses(self, x: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        """loss_i at x without the regulariser, (batch,). Made of torch.func parts: may be differentiated and mapped."""
        return LOSSES[self.loss](self.outputs(x, inputs), targets)

    def outputs(self, x: Tensor, inputs: Tensor) -> Tensor:
        """What the network says of these inputs at x."""
        with self.evaluating():
            values = {**self.named(x), **self._fixed}
            put = {place: values[name] for place, name in self._places.items()}
            # With its own search for shared parameters functional_call loses those of a module that is used under two
            # names, and leaves its argument in the model (pytorch issue 164759).
            found: Tensor = functional_call(self.model, put, (inputs,), tie_weights=False)
        return found

    def value(self, x: Tensor) -> Tensor:
        """f(x), a number."""
        with torch.no_grad():
            total = sum(self.losses(x, *part).sum() for part in self.parts())
            return torch.as_tensor(total) / self.n + self.reg / 2 * x.square().sum()

    def gradient(self, x: Tensor) -> Tensor:
        """grad f(x), (d,)."""
        total = torch.zeros_like(x)
        for inputs, targets in self.parts():
            total += grad(lambda y, a=inputs, b=targets: self.losses(y, a, b).sum())(x.detach())
        return total / self.n + self.reg * x.detach()

    def minibatch_gradient(self, x: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
        """(1/n) sum_k weights_k grad f_{indices_k}(x), (d,), with f_i = loss_i + (reg/2) ||x||^2."""
        inputs, targets = self.inputs[indices], self.targets[indices]
        slope: Tensor = grad(lambda y: (weights * self.losses(y, inputs, targets)).sum())(x.detach())
        return (slope + self.reg * weights.sum() * x.detach()) / self.n

    def sample_gradients(self, x: Tensor, indices: Tensor) -> Tensor:
        """grad f_i(x) for these i, (len(indices), d)."""

        def one(inputs: Tensor, targets: Tensor) -> Tensor:
            slope: Tensor = grad(lambda y: self.losses(y, inputs[None], targets[None]).sum())(x.detach())
            return slope

        rows: Tensor = vmap(one)(self.inputs[indices], self.targets[indices])
        return rows + self.reg * x.detach()

    def hessian_vector(self, x: Tensor, v: Tensor) -> Tensor:
        """H(x) v, (d,)."""
        forward_mode.load()
        total = torch.zeros_like(x)
        for inputs, targets in self.parts():
            slope = grad(lambda y, a=inputs, b=targets: self.losses(y, a, b).sum())
            total += jvp(slope, (x.detach(),), (v,))[1]
        return total / self.n + self.reg * v

    def check(self, x: Tensor, *, argument: str = "x") -> Tensor:
        """x with the dtype and on the device of the parameters; InputError unless it is (d,) and finite."""
        if x.shape != (self.d,):
            raise InputError(f"{argument} must have shape ({self.d},), got {tuple(x.shape)}")
        if not bool(torch.isfinite(x).all()):
            raise InputError(f"{argument} holds NaN or infinite entries; only finite numbers are allowed")
        return x.detach().to(self.start)

    def _check_targets(self) -> None:
        """Targets that do not fit are broadcast silently, or end a CUDA program in the middle: they are met here."""
        with torch.no_grad():
            out = self.outputs(self.start, self.inputs[:1])
        if self.loss == "squared":
            if self.targets.shape[1:] != out.shape[1:]:
                raise InputError(
                    f"targets must have the shape of the outputs, ({self.n}, {', '.join(map(str, out.shape[1:]))}), "
                    f"got {tuple(self.targets.shape)}"
                )
            if not bool(torch.isfinite(self.targets).all()):
                raise InputError("targets must be finite, got NaN or infinity among them")
            return
        if out.ndim != 2 or self.targets.ndim != 1 or self.targets.dtype != torch.int64:
            raise InputError(
                "targets must be classes, int64 of shape (n,), for outputs of shape (n, k), "
                f"got {self.targets.dtype} of shape {tuple(self.targets.shape)} for outputs {('n', *out.shape[1:])}"
            )
        low, high = int(self.targets.min()), int(self.targets.max())
        if low < 0 or high >= out.shape[1]:
            wrong = low if low < 0 else high
            raise InputError(f"targets must be classes in 0..{out.shape[1] - 1}, got {wrong}")

    def parts(self) -> list[tuple[Tensor, Tensor]]:
        """The data, `CHUNK` examples at a time."""
        return [
            (self.inputs[first : first + CHUNK], self.targets[first : first + CHUNK])
            for first in range(0, self.n, CHUNK)
        ]


def _places(model: nn.Module) -> dict[str, str]:
    """Every attribute of a module that holds a parameter or buffer, once, and the name under which its value goes."""
    names = {id(value): name for name, value in (*model.named_parameters(), *model.named_buffers())}
    return {
        f"{prefix}.{local}" if prefix else local: names[id(value)]
        for prefix, module in model.named_modules()
        for local, value in (
            *module.named_parameters(recurse=False, remove_duplicate=False),
            *module.named_buffers(recurse=False, remove_duplicate=False),
        )
    }
