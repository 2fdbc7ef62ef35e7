"""A point to look at: the network of a checkpoint, or the one that a run begins with, and its training examples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from problems.errors import InputError
from problems.problem import check_count
from problems.spec import read_float, read_int
from theory.schedules import read_schedule

from .checkpoint import read_checkpoint
from .data import Data, load_data
from .device import choose_device, choose_dtype
from .models import build_model
from .objective import CHUNK, Objective
from .seeds import permutation
from .train import COLUMNS
from .user_model import file_digest


class Trained(NamedTuple):
    """Of the run whose checkpoint the point comes from. gamma, rho, batch: at its last step. logged: the loss over all
    training examples in its log, NaN where the log has no row for this step. optimiser: what took the steps, `sgd` for
    plain ones."""

    epoch: int
    step: int
    method: str
    gamma: float
    rho: float
    batch: int
    loss: str
    logged: float
    optimiser: str
    weight_decay: float


@dataclass(frozen=True)
class Point:
    """Where the probes look: `objective.start`. data: the name of it. available: training examples, of which the
    objective has `objective.n`. trained: None for a network that was not."""

    objective: Objective
    data: str
    available: int
    trained: Trained | None


def load_point(
    model: str,
    data: str,
    *,
    checkpoint: Path | None = None,
    examples: int | None = None,
    loss: str | None = None,
    seed: int = 0,
    dtype: str = "float64",
    device: str | None = None,
    chunk: int = CHUNK,
) -> Point:
    """The network of a checkpoint of `train`, or the one that a run with this seed begins with.

    model, data: SPECs, with a checkpoint those of its run. examples: so many training examples drawn with the seed, by
    default all. loss: that of the run, or what the targets ask for, unless given. seed: of the examples and, without a
    checkpoint, of data and network; a checkpoint has its own. dtype: computed with; numbers kept in another one are
    converted. chunk: examples that go through the network at once.
    Raises InputError for whatever is not allowed, a checkpoint that is missing, damaged or of other model or data, and
    parameters or a loss that are not finite.
    """
    check_count(seed, argument="seed", least=0)
    wanted, place = choose_dtype(dtype), choose_device(device)
    if examples is not None:
        check_count(examples, argument="examples")
    state = None if checkpoint is None else _read(checkpoint, model)
    if state is None:
        found = load_data(data, dtype=wanted, device=place, seed=seed)
        network = build_model(model, found, seed=seed, dtype=wanted)
    else:
        run = state["fingerprint"]
        own = read_int(run.get("seed", ""), argument=f"seed of checkpoint {str(checkpoint)!r}")
        found = load_data(data, dtype=choose_dtype(run.get("dtype", "")), device=place, seed=own)
        _check_same(checkpoint, run, "data", f"{found.name} ({found.digest()[:16]})")
        found = _converted(found, wanted)
        network = build_model(model, found, seed=own, dtype=wanted)
        _put(network, state, checkpoint)
    trained = None if state is None else _trained(state, checkpoint)
    n = found.n if examples is None else examples
    if n > found.n:
        raise InputError(f"examples must be in 1..n = {found.n}, got {n}")
    chosen = permutation(found.n, seed, "probe")[:n].sort().values.to(place)
    usual = trained.loss if trained is not None else "cross-entropy" if found.classes else "squared"
    name = usual if loss is None else loss
    if name == "cross-entropy" and not found.classes:
        raise InputError(f"loss must be squared for data {found.name!r}, whose targets are numbers, got {name!r}")
    targets = found.targets[chosen]
    if name == "squared" and found.classes:
        targets = nn.functional.one_hot(targets, found.classes).to(wanted)
    objective = _InChunks(network, found.inputs[chosen], targets, loss=name, chunk=chunk)
    _check_finite(objective, checkpoint)
    return Point(objective, found.name, found.n, trained)


class _InChunks(Objective):
    """An objective whose examples go through the network so many at a time."""

    def __init__(self, model: nn.Module, inputs: Tensor, targets: Tensor, *, loss: str, chunk: int) -> None:
        self.chunk = check_count(chunk, argument="chunk")
        super().__init__(model, inputs, targets, loss=loss)

    def parts(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.inputs.split(self.chunk), self.targets.split(self.chunk), strict=True))

    def sample_gradients(self, x: Tensor, indices: Tensor) -> Tensor:
        return torch.cat([super(_InChunks, self).sample_gradients(x, part) for part in indices.split(self.chunk)])


def _read(checkpoint: Path, model: str) -> dict[str, Any]:
    """What the file keeps, if it is of this model: a point depends on model and data alone of all that a run does."""
    state = read_checkpoint(checkpoint, None, torch.device("cpu"))
    _check_same(checkpoint, state["fingerprint"], "model", model)
    _check_same(checkpoint, state["fingerprint"], "model file", file_digest(model)[:16] or "none")
    return state


def _check_same(checkpoint: Path | None, run: dict[str, str], key: str, here: str) -> None:
    there = run.get(key, "none")
    if there != here:
        raise InputError(
            f"checkpoint {str(checkpoint)!r} is of another {key}: there it is {there}, here {here}; "
            f"give the {key} of its run, or name another file"
        )


def _converted(data: Data, dtype: torch.dtype) -> Data:
    """The very numbers that the run trained on, in this dtype."""
    targets = data.targets if data.classes else data.targets.to(dtype)
    return replace(data, inputs=data.inputs.to(dtype), targets=targets)


def _put(network: nn.Module, state: dict[str, Any], checkpoint: Path | None) -> None:
    """The parameters and all buffers of the checkpoint into the network."""
    try:
        network.load_state_dict(state["model"])
        known = network.state_dict()
        for name, buffer in network.named_buffers():
            if name not in known:
                buffer.copy_(state["buffers"][name])
    except (RuntimeError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"checkpoint {str(checkpoint)!r} is of another model: its parameters are of another shape; "
            "name another file"
        ) from None


def _trained(state: dict[str, Any], checkpoint: Path | None) -> Trained:
    try:
        return _read_run(state)
    except (KeyError, ValueError, TypeError):
        raise InputError(
            f"checkpoint {str(checkpoint)!r} lacks what a run keeps of itself; name another file"
        ) from None


def _read_run(state: dict[str, Any]) -> Trained:
    run, progress = state["fingerprint"], state["progress"]
    step = int(progress["step"])

    def last(key: str) -> float:
        schedule = read_schedule(run[key], argument=f"{key} of the checkpoint")
        return float(schedule.at(max(step - 1, 0)))

    rows = [dict(zip(COLUMNS, row, strict=True)) for row in progress["rows"]]
    logged = rows[-1]["loss"] if rows and rows[-1]["step"] == step else float("nan")
    momentum = read_float(run["momentum"], argument="momentum of the checkpoint")
    return Trained(
        int(progress["epoch"]), step, run["method"], last("gamma"), last("rho"), int(last("batch")), run["loss"],
        float(logged), run["base"] + (f" with momentum {momentum:g}" if momentum else ""),
        read_float(run["weight decay"], argument="weight decay of the checkpoint"),
    )  # fmt: skip


def _check_finite(objective: Objective, checkpoint: Path | None) -> None:
    where = "the untrained network" if checkpoint is None else f"checkpoint {str(checkpoint)!r}"
    if not bool(torch.isfinite(objective.start).all()):
        raise InputError(f"{where} must hold finite parameters, got NaN or infinity: the run diverged; name another")
    value = float(objective.value(objective.start))
    if not value < float("inf"):
        raise InputError(f"{where} must be a point where the loss is finite, got {value}; name another")
