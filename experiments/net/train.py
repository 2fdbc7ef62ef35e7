"""Training a network, step by step the same on one machine: interrupted and taken up again, the bits are the same.

The order of the examples is a function of (seed, epoch), the random numbers inside a network (dropout) of (seed, step,
process): every gradient of one step sees the same ones, as a theorem's sample v does. So a checkpoint needs no random
state, only where the run stands.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from problems.errors import InputError
from problems.problem import check_count, check_nonnegative
from problems.spec import read_int, spelled
from theory.methods.method import Method, methods
from theory.schedules import Schedule, constant, read_schedule

from .checkpoint import read_checkpoint, write_checkpoint, write_whole
from .data import Data, load_data
from .device import choose_dtype, exactly
from .models import build_model
from .objective import LOSSES
from .optimizer import SAMFamily
from .parallel import (
    ALONE,
    World,
    add_up,
    connection_lost,
    device_of,
    joined,
    replicated,
    same_buffers,
    share,
    smallest,
)
from .ranks import REDUCE
from .seeds import permutation, reseed, seeded, stream_key
from .user_model import blame, file_digest

BASES: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
COLUMNS = (
    "epoch",
    "step",
    "gamma",
    "rho",
    "batch",
    "loss",
    "accuracy",
    "test_loss",
    "test_accuracy",
    "gradients",
    "seconds",
)
"""Of the log. gamma, rho, batch: of the last step. loss, accuracy: over all training examples, in evaluation mode.
gradients: gradients of single examples computed so far. seconds: so far, with those of earlier parts of the run."""

CHUNK = 1024
"""Examples of a batch that go through the network at once; the gradients of larger ones are added up."""

BATCH = 64
"""Examples of a batch unless given."""

NEVER = 2**62
"""The step of a divergence that has not come."""

MOST_THREADS = 1024
"""More than a CPU has; a thread pool of torch that does not fit into the memory ends the process."""


@dataclass(frozen=True)
class Training:
    """What is trained, how, and for how long. Texts are SPECs, checked by `Run`.

    gamma, rho: a number or a schedule over steps t = 0, 1, ...; where rho is None and the method has a radius, 0.05.
    batch: `full`, a number, or a batch schedule, cut off at n; 64, or n if that is less, unless given. An epoch takes
    every example once, its last batch may be smaller. loss: `cross-entropy` or `squared`; by default the one, or for
    targets that are numbers the other. perturbation: `global` or `rank`, see `parallel`. threads: torch's own choice
    unless given.
    """

    model: str
    data: str
    method: str = "sam"
    gamma: str | float = 0.1
    rho: str | float | None = None
    batch: str | int | None = None
    epochs: int = 20
    base: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    loss: str | None = None
    seed: int = 0
    dtype: str = "float32"
    device: str | None = None
    threads: int | None = None
    perturbation: str = "global"
    chunk: int = CHUNK


Row = list[int | float | None]


class Run:
    """A training run: the network, and where it stands. `advance` takes one step.

    epoch, step: finished ones; place: examples of the current epoch that were used; rows: the log.
    """

    def __init__(self, training: Training, *, world: World = ALONE) -> None:
        """Raises InputError for whatever in `training` is not allowed; nothing is written, and torch's global state is
        as it was."""
        self.training, self.world = training, world
        self.epochs = check_count(training.epochs, argument="epochs")
        self.seed = check_count(training.seed, argument="seed", least=0)
        self.chunk = check_count(training.chunk, argument="chunk")
        self.method = methods.build(training.method)
        self.gamma = read_schedule(training.gamma, argument="gamma")
        if not self.gamma.largest > 0:
            raise InputError(f"gamma must be positive, got {training.gamma}")
        self.rho = _radius(training.rho, self.method)
        options = _base_options(training)
        _reduction(training.perturbation)
        dtype = choose_dtype(training.dtype)
        self.device = device_of(training.device, world)
        self.data = load_data(training.data, dtype=dtype, device=self.device, seed=self.seed)
        self.loss = _loss(training.loss, self.data)
        self.batch = _batch(training.batch, self.data.n)
        self.targets, self.test_targets = (self._wanted(part) for part in (self.data.targets, self.data.test_targets))
        # Of the file as it is now: it may be edited while the run goes on.
        self._model_file = file_digest(training.model)[:16] or "none"
        self.model = build_model(training.model, self.data, seed=self.seed, dtype=dtype)
        self.network = replicated(self.model, world, unused=world.size > 1 and self._has_unused())
        self.optimizer = SAMFamily(
            [parameter for parameter in self.model.parameters() if parameter.requires_grad],
            BASES[training.base],
            method=self.method.name,
            rho=self.rho.name,
            model=self.network,
            reduce=_reduction(training.perturbation),
            lr=_at(self.gamma, 0),
            **options,
        )
        self.epoch = self.place = self.step = self.gradients = 0
        self.rows: list[Row] = []
        self.diverged: int | None = None
        self._first_bad = torch.full((), NEVER, dtype=torch.int64, device=self.device)
        self._seconds, self._since = 0.0, time.monotonic()
        self._order = permutation(self.data.n, self.seed, "order", 0).to(self.device)
        self._noise = stream_key(self.seed, "noise", world.rank)

    def _wanted(self, targets: Tensor) -> Tensor:
        """Classes as they are for cross-entropy, as unit vectors for the squared loss."""
        if self.loss != "squared" or not self.data.classes:
            return targets
        return nn.functional.one_hot(targets, self.data.classes).to(self.data.inputs.dtype)

    def _has_unused(self) -> bool:
        """Whether some parameter has no part in the outputs."""
        params = [p for p in self.model.parameters() if p.requires_grad]
        with _evaluating(self.model), faults_named(self.training.model, self.world):
            outputs = self._outputs(self.model, self.data.inputs[:2])
            return any(grad is None for grad in torch.autograd.grad(outputs.sum(), params, allow_unused=True))

    # -- where it stands --

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Everything that the bits of the run depend on, but for versions and threads."""
        given = self.training
        return {
            "model": given.model,
            "model file": self._model_file,
            "data": f"{self.data.name} ({self.data.digest()[:16]})",
            "method": self.method.name,
            "gamma": self.gamma.name,
            "rho": self.rho.name,
            "batch": self.batch.name,
            "base": given.base,
            "momentum": spelled(given.momentum),
            "weight decay": spelled(given.weight_decay),
            "loss": self.loss,
            "seed": str(self.seed),
            "dtype": given.dtype,
            "device": self.device.type,
            "number of processes": str(self.world.size),
            "perturbation": given.perturbation,
            "chunk": str(self.chunk),
        }

    @property
    def done(self) -> int:
        """Examples used, of `epochs * data.n`."""
        return self.epoch * self.data.n + self.place

    @property
    def finished(self) -> bool:
        """Whether all epochs are through, or the loss is no longer finite."""
        return self.epoch >= self.epochs or self.diverged is not None

    @property
    def seconds(self) -> float:
        """Since the beginning, without the time between an interruption and the resumption."""
        return self._seconds + time.monotonic() - self._since

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, of tensors, numbers and texts."""
        return {
            "fingerprint": self.fingerprint,
            "threads": torch.get_num_threads(),
            "model": self.model.state_dict(),
            "buffers": self._hidden_buffers(),
            "optimizer": self.optimizer.state_dict(),
            "progress": {
                "epoch": self.epoch,
                "place": self.place,
                "step": self.step,
                "gradients": self.gradients,
                "rows": self.rows,
                "diverged": self.diverged,
                "first_bad": int(self._first_bad),
                "seconds": self.seconds,
            },
        }

    def _hidden_buffers(self) -> dict[str, Tensor]:
        """Those that the model keeps out of its state_dict; the bits of the run depend on them all the same."""
        kept = self.model.state_dict()
        return {name: buffer for name, buffer in self.model.named_buffers() if name not in kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken. Raises InputError where it does not fit, or is further than `epochs`."""
        progress = state["progress"]
        try:
            reached = int(progress["epoch"]) + (int(progress["place"]) > 0)
            if reached > self.epochs:
                raise InputError(
                    f"epochs must be at least {reached}, which the checkpoint has begun, got {self.epochs}"
                )
            self.model.load_state_dict(state["model"])
            for name, buffer in self._hidden_buffers().items():
                buffer.copy_(state["buffers"][name])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.place, self.step = progress["epoch"], progress["place"], progress["step"]
            self.gradients, self.rows = progress["gradients"], progress["rows"]
            self.diverged = progress["diverged"]
            self._first_bad.fill_(progress["first_bad"])
            self._seconds, self._since = float(progress["seconds"]), time.monotonic()
        except InputError:
            raise
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError):
            raise InputError(
                "checkpoint does not fit: its parameters or its optimiser are of another shape than those of model "
                f"{self.training.model!r} with method {self.method.name!r}; name another file"
            ) from None
        self._order = permutation(self.data.n, self.seed, "order", self.epoch).to(self.device)

    # -- what it does --

    def advance(self) -> None:
        """One step; at the end of an epoch also its row of the log."""
        size = self._size()
        indices = share(self._order[self.place : self.place + size], self.world)
        gamma = _at(self.gamma, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = gamma
        inputs, targets = self.data.inputs[indices], self.targets[indices]
        try:
            loss = self.optimizer.step(lambda: self._loss_and_gradient(inputs, targets, size))
        except RuntimeError as error:
            if "without overflow" in str(error):
                raise InputError(
                    f"gamma and weight_decay must lie within {self.training.dtype}, got {gamma:g} and "
                    f"{self.training.weight_decay:g}"
                ) from error
            raise
        # On the device: asking for the number would stop the GPU at every step.
        unsound = torch.isfinite(loss).logical_not()
        self._first_bad = torch.where(unsound, self._first_bad.clamp(max=self.step), self._first_bad)
        self.step += 1
        self.place += size
        if self.place == self.data.n:
            self.epoch += 1
            self.place = 0
            self._order = permutation(self.data.n, self.seed, "order", self.epoch).to(self.device)
            self.record(size, self.step - 1)

    def _size(self) -> int:
        return min(int(_at(self.batch, self.step)), self.data.n - self.place)

    def _loss_and_gradient(self, inputs: Tensor, targets: Tensor, size: int) -> Tensor:
        """The mean loss over the batch, this process's part of it, and its gradient."""
        # The same noise for every gradient of this step.
        reseed((self._noise + self.step * 0x9E3779B97F4A7C15) % 2**63, self.device)
        self.optimizer.zero_grad()
        self.gradients += size
        total = torch.zeros((), dtype=inputs.dtype, device=self.device)
        factor = self.world.size / size
        if not len(inputs):
            # Few networks take an empty batch: an example that counts for nothing.
            inputs, targets, factor = self.data.inputs[:1], self.targets[:1], 0.0
        parts = math.ceil(len(inputs) / self.chunk)
        for part, (x, y) in enumerate(zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True)):
            last = part == parts - 1
            with (
                nullcontext()
                if last or not isinstance(self.network, DistributedDataParallel)
                else self.network.no_sync(),
                faults_named(self.training.model, self.world),
            ):
                # The processes' gradients are averaged: of parts of any size, this is the mean over the batch.
                loss = LOSSES[self.loss](self._outputs(self.network, x), y).sum() * factor
                loss.backward()
            total += loss.detach()
        return total

    def _outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """What the network says, if it is of the right shape: a loss may take another one without a word."""
        found: Any = network(inputs)
        wanted = (len(inputs), self.data.outputs)
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"model {self.training.model!r} must give outputs of shape {wanted} for {wanted[0]} inputs, in "
                f"training too, got {got}"
            )
        if torch.is_grad_enabled() and not found.requires_grad:
            raise InputError(
                f"model {self.training.model!r} must give outputs that depend on its parameters in training, got "
                "outputs without a gradient"
            )
        return found

    def record(self, size: int | None = None, step: int | None = None) -> None:
        """Measure, and add a row to the log; size, step: of the last step."""
        at = step or 0
        same_buffers(self.model, self.world)
        loss, accuracy = self.measured(self.data.inputs, self.targets)
        test_loss, test_accuracy = self.measured(self.data.test_inputs, self.test_targets)
        first = int(smallest(self._first_bad, self.world))
        if first < NEVER or not math.isfinite(loss):
            self.diverged = min(first, self.step)
        self.rows.append(
            [
                self.epoch,
                self.step,
                _at(self.gamma, at),
                _at(self.rho, at),
                self._size() if size is None else size,
                loss,
                accuracy,
                test_loss,
                test_accuracy,
                self.gradients,
                self.seconds,
            ]
        )

    @torch.no_grad()
    def measured(self, inputs: Tensor, targets: Tensor) -> tuple[float, float | None]:
        """Mean loss, and the share classified rightly (None where targets are numbers), in evaluation mode."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        mine = share(torch.arange(len(inputs), device=self.device), self.world)
        with _evaluating(self.model), faults_named(self.training.model, self.world):
            for part in mine.split(min(self.chunk, len(inputs))):
                if not len(part):
                    continue
                outputs, wanted = self._outputs(self.model, inputs[part]), targets[part]
                sums[0] += LOSSES[self.loss](outputs, wanted).double().sum()
                if self.data.classes:
                    classes = wanted.argmax(dim=1) if wanted.ndim == 2 else wanted
                    sums[1] += (outputs.argmax(dim=1) == classes).sum()
        loss, right = (add_up(sums, self.world) / len(inputs)).tolist()
        return loss, right if self.data.classes else None


def train(
    training: Training,
    *,
    out: Path | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    every: float = 10.0,
    world: World = ALONE,
    on_start: Callable[[Run], None] | None = None,
) -> Run:
    """Train to the end, keeping the log in `out` (.csv) and the state in `checkpoint`, each file whole at all times.

    Both are written when `every` seconds have passed, between two steps, and at the end. resume: begin where the
    checkpoint stands, if there is one; rows that were logged after it are made again. Of several processes the first
    writes. On the CPU the same number of threads gives the same bits; a checkpoint remembers it.
    Raises InputError for bad input, for a checkpoint that exists although resume was not asked for, and for one of
    another run, nothing being written then; and for files that cannot be written, and another process that has ended.
    """
    if training.threads is not None and check_count(training.threads, argument="threads") > MOST_THREADS:
        raise InputError(f"threads must be at most {MOST_THREADS}, got {training.threads}")
    seed = check_count(training.seed, argument="seed", least=0)
    if checkpoint is not None and checkpoint.exists() and not resume:
        raise InputError(f"checkpoint {str(checkpoint)!r} exists; resume it (--resume), or name another file")
    if not (math.isfinite(every) and every >= 0):
        raise InputError(f"every must be a finite number of seconds >= 0, got {every!r}")
    with ExitStack() as stack:
        stack.enter_context(exactly(training.threads))
        device = device_of(training.device, world)
        stack.enter_context(seeded(stream_key(seed, "run"), device))
        stack.enter_context(_losses_named())
        stack.enter_context(joined(world, device))
        run = Run(training, world=world)
        if checkpoint is not None:
            _check_state(run)
        if checkpoint is not None and checkpoint.exists():
            _take_up(run, checkpoint)
        if on_start is not None:
            on_start(run)
        if not run.rows:
            run.record()
        written = time.monotonic()
        while not run.finished:
            run.advance()
            if time.monotonic() - written >= every:
                _write(run, out, checkpoint)
                written = time.monotonic()
        _write(run, out, checkpoint)
    return run


def _take_up(run: Run, checkpoint: Path) -> None:
    state = read_checkpoint(checkpoint, run.fingerprint, run.device)
    threads = int(state["threads"])
    if run.training.threads not in (None, threads):
        raise InputError(
            f"threads must be {threads}, as in checkpoint {str(checkpoint)!r}, or left out, for the same bits; "
            f"got {run.training.threads}"
        )
    torch.set_num_threads(threads)
    run.restore(state)


def _check_state(run: Run) -> None:
    """Raise InputError for a model whose state a checkpoint could keep, but not give back."""
    for name, part in run.model.state_dict().items():
        if not isinstance(part, Tensor):
            raise InputError(
                f"model {run.training.model!r} must keep its state in parameters and buffers for a checkpoint, got "
                f"{type(part).__name__} as {name!r}"
            )


def _write(run: Run, out: Path | None, checkpoint: Path | None) -> None:
    if not run.world.leads:
        return
    # The checkpoint first: from it the log can be written again, not the other way round.
    if checkpoint is not None:
        write_checkpoint(checkpoint, run.state())
    if out is not None:
        text = log_text(run.rows)
        write_whole(out, lambda stream: stream.write(text.encode()))


def log_text(rows: list[Row]) -> str:
    """The log as CSV: numbers that read back as they are, seconds to the millisecond, nothing where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([*("" if entry is None else repr(entry) for entry in row[:-1]), f"{row[-1]:.3f}"])
    return text.getvalue()


# -- reading of arguments --


def _at(schedule: Schedule, t: int) -> float:
    return schedule.constant if schedule.constant is not None else float(schedule.at(t))


def _allowed(argument: str, text: str, allowed: Any) -> None:
    if text not in allowed:
        raise InputError(f"{argument} must be one of {', '.join(allowed)}, got {text!r}")


def _reduction(given: str) -> Literal["global", "rank"]:
    _allowed("perturbation", given, REDUCE)
    return "rank" if given == "rank" else "global"


def _radius(given: str | float | None, method: Method) -> Schedule:
    if not method.uses_rho:
        if given is not None:
            raise InputError(f"rho is not used by method {method.name}; leave it out, got {given}")
        return constant(0.0)
    return read_schedule(0.05 if given is None else given, argument="rho")


def _base_options(training: Training) -> dict[str, Any]:
    _allowed("base", training.base, BASES)
    momentum = check_nonnegative(training.momentum, argument="momentum")
    decay = check_nonnegative(training.weight_decay, argument="weight_decay")
    if not momentum < 1:
        raise InputError(f"momentum must lie in [0, 1), got {training.momentum!r}")
    if training.base == "sgd":
        return {"momentum": momentum, "weight_decay": decay}
    if momentum:
        raise InputError(f"momentum belongs to base sgd, base {training.base} has its own; got {training.momentum!r}")
    return {"weight_decay": decay}


def _loss(given: str | None, data: Data) -> str:
    chosen = given if given is not None else "cross-entropy" if data.classes else "squared"
    _allowed("loss", chosen, LOSSES)
    if chosen == "cross-entropy" and not data.classes:
        raise InputError(f"loss must be squared for data {data.name!r}, whose targets are numbers, got {chosen!r}")
    return chosen


def _batch(given: str | int | None, n: int) -> Schedule:
    """Batch sizes over steps, at most n."""
    if given is None:
        return constant(float(min(BATCH, n)))
    if given == "full":
        return constant(float(n))
    text = str(given)
    if ":" not in text:
        size = check_count(read_int(text, argument="batch"), argument="batch")
        if size > n:
            raise InputError(f"batch must be full or in 1..n = {n}, got {text}")
        return constant(float(size))
    schedule = read_schedule(text, argument="batch", low=1.0)
    if schedule.breaks is None:
        raise InputError(
            f"batch must be full, a whole number or a batch schedule such as doubling:start=16,every=400, got {text!r}"
        )
    return schedule


# -- faults --


@contextmanager
def faults_named(model: str, world: World) -> Iterator[None]:
    """Turn what a network can do wrong into one sentence."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if connection_lost(error):
            raise
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise MemoryError(" ".join(str(error).split())) from None
        if "deterministic implementation" in str(error):
            raise InputError(
                f"model {model!r} has a part without a deterministic form on this device "
                f"({str(error).partition(' does not')[0]}); replace it, or train on the CPU"
            ) from error
        if "more than 1 value per channel" in str(error):
            raise InputError(
                f"batch must leave at least {'two' if world.size == 1 else 2 * world.size} examples to every step "
                f"where model {model!r} normalises batches; choose one that leaves no fewer at the end of an epoch"
            ) from error
        if fault := blame(model, error):
            raise fault from error
        raise


@contextmanager
def _losses_named() -> Iterator[None]:
    """Turn the loss of another process into one sentence."""
    try:
        yield
    except RuntimeError as error:
        if connection_lost(error):
            raise InputError("another of the processes has ended, so this one must; it says why") from error
        raise


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
