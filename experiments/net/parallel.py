"""Several processes on one training run, as torchrun starts them: each has its share of every batch.

Gradients are averaged by DistributedDataParallel, over gloo on the CPU and NCCL on CUDA. With the perturbation taken
from the averaged gradient (global) the run is the one of a single process up to rounding; with each process perturbing
along the gradient of its own share (rank) it is m-sharpness, another method.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from problems.errors import InputError
from problems.problem import check_count
from problems.spec import read_int

from .device import choose_device


class World(NamedTuple):
    """This process among `size` ones; local: its number on its machine, which chooses the CUDA device."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0


ALONE = World()


def world_of(environment: Mapping[str, str] = os.environ) -> World:
    """What torchrun says in RANK, WORLD_SIZE and LOCAL_RANK; one process where it says nothing.

    Raises InputError for numbers that cannot be.
    """
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return ALONE
    numbers = {}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        text = environment.get(name)
        if text is None and name != "LOCAL_RANK":
            raise InputError(f"{name} is missing in the environment; start several processes with torchrun")
        argument = f"{name} in the environment"
        least = 1 if name == "WORLD_SIZE" else 0
        number = 0 if text is None else read_int(text, argument=argument)
        numbers[name] = check_count(number, argument=argument, least=least)
    if numbers["RANK"] >= numbers["WORLD_SIZE"]:
        raise InputError(
            f"RANK in the environment must be below WORLD_SIZE = {numbers['WORLD_SIZE']}, got {numbers['RANK']}"
        )
    return World(numbers["RANK"], numbers["WORLD_SIZE"], numbers["LOCAL_RANK"])


def device_of(given: str | None, world: World) -> torch.device:
    """The device of this process: as `choose_device` says, each process of a machine with a CUDA device of its own."""
    if world.size > 1 and given in (None, "cuda") and torch.cuda.is_available():
        return choose_device(f"cuda:{world.local}")
    return choose_device(given)


_left: list[object] = []
"""The groups of this process, to its end."""


@contextmanager
def joined(world: World, device: torch.device) -> Iterator[None]:
    """The process group of this world, where torchrun's environment says it meets; nothing for one process, and a group
    that is there already is used and left alone."""
    if world.size == 1 or dist.is_initialized():
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, rank=world.rank, world_size=world.size)
    except ValueError as error:
        raise InputError(f"the processes cannot meet ({error}); start them with torchrun") from None
    # torch joins a group's threads, holding Python's lock, when the last reference to it goes; a thread that is just
    # giving back a tensor waits for that lock, and neither ever ends (seen with gloo, torch 2.13). So none goes.
    _left.append(dist.group.WORLD)
    try:
        yield
        # The others wait for what the first one writes.
        dist.barrier(device_ids=[device.index] if device.type == "cuda" else None)
    finally:
        dist.destroy_process_group()


def replicated(model: nn.Module, world: World, *, unused: bool = False) -> nn.Module:
    """The model with its gradients averaged over the world after every backward pass; itself for one process.

    unused: whether there are parameters that no output depends on, which are then looked for after every pass.
    """
    return model if world.size == 1 else DistributedDataParallel(model, find_unused_parameters=unused)


def connection_lost(error: BaseException) -> bool:
    """Whether this is what an exchange raises when another process has ended."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def share(indices: Tensor, world: World) -> Tensor:
    """This process's part of a batch: every size-th index. Sizes differ by at most one, and may be 0."""
    return indices[world.rank :: world.size]


def add_up(numbers: Tensor, world: World) -> Tensor:
    """The sum over all processes, of any shape, in every process."""
    if world.size > 1:
        dist.all_reduce(numbers, dist.ReduceOp.SUM)
    return numbers


def smallest(numbers: Tensor, world: World) -> Tensor:
    """The smallest over all processes, of any shape, in every process."""
    if world.size > 1:
        dist.all_reduce(numbers, dist.ReduceOp.MIN)
    return numbers


def same_buffers(model: nn.Module, world: World) -> None:
    """Give every process the buffers (running statistics) of the first."""
    if world.size > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
