"""Training: the steps are those of the rules, and a run that was killed and taken up again has the same bits."""

from __future__ import annotations

import csv
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from experiments.net import checkpoint as files
from experiments.net.checkpoint import read_checkpoint, write_checkpoint
from experiments.net.seeds import permutation
from experiments.net.train import COLUMNS, Run, Training, train
from problems.errors import InputError
from ravine.cli import run_command

ROOT = Path(__file__).resolve().parents[2]
BLOBS = "blobs:n=50,d=4,classes=3,spread=0.5"
SMALL = Training(model="mlp:width=6,depth=1", data=BLOBS, batch=16, epochs=3, dtype="float64", device="cpu", threads=1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def flat(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def same(one: Any, other: Any) -> bool:
    """Bit for bit, through dictionaries and lists."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def without_seconds(state: dict[str, Any]) -> dict[str, Any]:
    progress = {**state["progress"], "seconds": 0, "rows": [row[:-1] for row in state["progress"]["rows"]]}
    return {**state, "progress": progress}


def log(path: Path) -> list[list[str]]:
    with path.open() as stream:
        return [row[:-1] for row in csv.reader(stream)]


# -- the steps --


def by_hand(training: Training, rule: str, gammas: Callable[[int], float], radius: float) -> Tensor:
    """The trajectory from the run's own start, by autograd and the equation of the rule."""
    run = Run(training)
    model, data = run.model, run.data
    parameters = list(model.parameters())

    def gradient(x: Tensor, indices: Tensor) -> Tensor:
        nn.utils.vector_to_parameters(x, parameters)
        loss = nn.functional.cross_entropy(model(data.inputs[indices]), data.targets[indices])
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, parameters)])

    x, t = flat(model), 0
    for epoch in range(training.epochs):
        for indices in permutation(data.n, training.seed, "order", epoch).split(int(training.batch or 0)):
            g = gradient(x, indices)
            if rule == "sam":
                g = gradient(x + radius * g / g.norm(), indices)
            if rule == "usam":
                g = gradient(x + radius * g, indices)
            x = x - gammas(t) * g
            t += 1
    return x


@pytest.mark.parametrize("rule", ["sgd", "sam", "usam"])
def test_steps_are_those_of_the_rule(rule: str) -> None:
    rho = None if rule == "sgd" else 0.3
    training = replace(SMALL, method=rule, rho=rho, gamma="linear:start=0.5,steps=20")
    found = flat(train(training).model)
    exact = by_hand(training, rule, lambda t: 0.5 * (1 - t / 20), 0.3)
    # Twelve steps in another order of operations: a hundred roundings of size 1e-16, not yet magnified.
    assert float((found - exact).norm()) <= 1e-12 * float(exact.norm())
    # The same comparison notices another rule, SGD above all.
    for other in {"sgd", "sam", "usam"} - {rule}:
        wrong = by_hand(training, other, lambda t: 0.5 * (1 - t / 20), 0.3)
        assert float((found - wrong).norm()) > 1e-3 * float(exact.norm())


def test_every_epoch_takes_every_example_once(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(replace(SMALL, batch="doubling:start=2,every=5,most=16", epochs=2))
    seen: list[tuple[int, Tensor]] = []
    real = run._loss_and_gradient

    def spy(inputs: Tensor, targets: Tensor, size: int) -> Tensor:
        seen.append((run.epoch, inputs))
        return real(inputs, targets, size)

    monkeypatch.setattr(run, "_loss_and_gradient", spy)
    while not run.finished:
        run.advance()
    once = seen[::2]  # SAM asks twice in a step
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(once, seen[1::2], strict=True))
    orders = []
    for epoch in range(2):
        batch = torch.cat([inputs for number, inputs in once if number == epoch])
        orders.append(batch)
        assert sorted(map(tuple, batch.tolist())) == sorted(map(tuple, run.data.inputs.tolist()))
    assert not torch.equal(*orders)
    # 5 steps of 2, 5 of 4, then 8s; the epoch ends after 50.
    assert [len(inputs) for _, inputs in once] == [2] * 5 + [4] * 5 + [8] * 2 + [4] + [8] * 2 + [16] * 2 + [2]
    assert run.rows[-1][COLUMNS.index("gradients")] == 4 * 50
    assert run.rows[-1][COLUMNS.index("batch")] == 2


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    assert torch.equal(permutation(50, 3, "order", 2), permutation(50, 3, "order", 2))
    orders = {tuple(permutation(50, *key).tolist()) for key in ((3, "order", 2), (3, "order", 1), (2, "order", 3))}
    assert len(orders) == 3


def test_full_batch_in_chunks() -> None:
    """Chunks change the order of a sum only."""
    whole = train(replace(SMALL, batch="full", epochs=5))
    parts = train(replace(SMALL, batch="full", epochs=5, chunk=7))
    assert whole.step == parts.step == 5
    # Five steps of sums of 50 terms in two orders.
    assert float((flat(whole.model) - flat(parts.model)).norm()) <= 1e-13 * float(flat(whole.model).norm())
    assert not torch.equal(flat(whole.model), flat(parts.model))


def test_log(tmp_path: Path) -> None:
    out = tmp_path / "run.csv"
    run = train(replace(SMALL, gamma="linear:start=0.5,steps=20", rho="inverse-sqrt:start=0.2"), out=out)
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["step"] for row in rows] == ["0", "4", "8", "12"]
    assert [row["batch"] for row in rows] == ["16", "2", "2", "2"]
    assert [row["gradients"] for row in rows] == ["0", "100", "200", "300"]
    # One rounding or two.
    assert float(rows[3]["gamma"]) == pytest.approx(0.5 * (1 - 11 / 20), rel=1e-15)
    assert float(rows[3]["rho"]) == pytest.approx(0.2 / math.sqrt(12), rel=1e-15)
    with torch.no_grad():
        outputs = run.model(run.data.inputs)
        loss = nn.functional.cross_entropy(outputs, run.data.targets)
    # Two ways of averaging 50 numbers.
    assert float(rows[3]["loss"]) == pytest.approx(float(loss), rel=1e-14)
    assert float(rows[3]["accuracy"]) == float((outputs.argmax(dim=1) == run.data.targets).double().mean())
    assert not list(tmp_path.glob(".*"))


def test_it_learns() -> None:
    """A check of the whole: 9 of 10 digits are within reach of any sound method after five epochs."""
    run = train(Training(model="mlp:width=32,depth=1", data="digits", epochs=5, device="cpu", threads=1, gamma=0.3))
    assert run.rows[-1][COLUMNS.index("test_accuracy")] > 0.9  # type: ignore[operator]
    assert run.rows[0][COLUMNS.index("test_accuracy")] < 0.3  # type: ignore[operator]


def test_numbers_as_targets_and_squared_loss_of_classes() -> None:
    run = train(replace(SMALL, data="teacher-student:n=50,d=4,width=2", epochs=20))
    place = COLUMNS.index("loss")
    assert run.loss == "squared"
    assert 0 < run.rows[-1][place] < 0.5 * run.rows[0][place]  # type: ignore[operator]
    assert run.rows[-1][COLUMNS.index("accuracy")] is None
    assert train(replace(SMALL, loss="squared", epochs=20)).rows[-1][COLUMNS.index("accuracy")] > 0.8  # type: ignore[operator]


def test_divergence_is_named(tmp_path: Path) -> None:
    out = tmp_path / "run.csv"
    run = train(replace(SMALL, loss="squared", gamma=1e200, method="sgd", epochs=9), out=out)
    assert run.diverged is not None
    assert 0 < run.diverged <= 4
    assert run.epoch == 1
    assert len(log(out)) == 3


def test_global_state_of_torch_is_left_alone() -> None:
    torch.manual_seed(5)
    state, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    run = train(SMALL)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    torch.manual_seed(6)
    assert torch.equal(flat(train(SMALL).model), flat(run.model))


DROPOUT = """
import torch
from torch import nn

MASKS = []

class Noisy(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.last = nn.Linear(4, outputs)
    def forward(self, x):
        if self.training:
            MASKS.append(torch.rand(x.shape))
            x = x * (MASKS[-1] > 0.3)
        return self.last(x)

def build(shape, outputs):
    return Noisy(outputs)
"""


def test_both_gradients_of_a_step_see_the_same_noise(tmp_path: Path) -> None:
    file = tmp_path / "noisy.py"
    file.write_text(DROPOUT)
    training = replace(SMALL, model=f"{file}:build", epochs=2)
    run = train(training)
    masks = sys.modules["ravine_model_noisy"].MASKS
    assert len(masks) == 2 * run.step
    assert all(torch.equal(one, other) for one, other in zip(masks[::2], masks[1::2], strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(masks[0:6:2], masks[2:8:2], strict=True))
    assert torch.equal(flat(train(training).model), flat(run.model))


# -- checkpoints --

METHODS = (
    "sgd",
    "sam",
    "usam",
    "unified-sam:lam=inverse:start=1,slope=1",
    "gsam:alpha=0.2",
    "multi-sam:steps=2,descent=average",
    "ssam",
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base", ["sgd", "adamw"])
def test_resuming_anywhere_gives_the_same_bits(method: str, base: str, tmp_path: Path) -> None:
    training = replace(
        SMALL,
        method=method,
        rho=None if method == "sgd" else "cosine:start=0.3,end=0,steps=12",
        gamma="inverse-sqrt:start=0.3",
        base=base,
        momentum=0.9 if base == "sgd" else 0.0,
        weight_decay=0.01,
    )
    whole = Run(training)
    states = []
    while not whole.finished:
        if whole.step in (1, 6):
            write_checkpoint(tmp_path / f"{whole.step}.pt", whole.state())
            states.append(whole.step)
        whole.advance()
    assert len(states) == 2
    for step in states:
        run = Run(training)
        run.restore(read_checkpoint(tmp_path / f"{step}.pt", run.fingerprint, run.device))
        assert run.step == step
        while not run.finished:
            run.advance()
        assert same(without_seconds(run.state())["model"], without_seconds(whole.state())["model"])
        assert same(without_seconds(run.state())["optimizer"], without_seconds(whole.state())["optimizer"])
        assert [row[:-1] for row in run.rows] == [row[:-1] for row in whole.rows]


def test_the_comparison_notices_a_lost_momentum(tmp_path: Path) -> None:
    """Control: resuming with a fresh optimiser, or a step late, must not pass as the same bits."""
    training = replace(SMALL, momentum=0.9)
    whole = Run(training)
    for _ in range(6):
        whole.advance()
    state = whole.state()
    write_checkpoint(tmp_path / "run.pt", state)
    kept = read_checkpoint(tmp_path / "run.pt", whole.fingerprint, whole.device)
    fresh = Run(training)
    broken = {
        "optimizer": {**kept, "optimizer": fresh.optimizer.state_dict()},
        "place": {**kept, "progress": {**kept["progress"], "place": 0}},
    }
    whole.advance()
    for state in broken.values():
        run = Run(training)
        run.restore(state)
        run.advance()
        assert not torch.equal(flat(run.model), flat(whole.model))


KILLED = Training(
    model="mlp:width=6,depth=1",
    data="blobs:n=300,d=4,classes=3,spread=0.5",
    method="unified-sam:lam=inverse:start=1,slope=0.02",
    rho="cosine:start=0.3,end=0.01,steps=200",
    gamma="inverse-sqrt:start=0.3",
    batch="doubling:start=2,every=100,most=16",
    epochs=3,
    momentum=0.9,
    device="cpu",
    threads=1,
)


def command(training: Training, out: Path, checkpoint: Path, every: float) -> list[str]:
    """`ravine net train` with these settings; the default of whatever is not named here is theirs."""
    named = ("model", "data", "method", "rho", "gamma", "batch", "epochs", "momentum", "device", "threads")
    settings = [text for name in named for text in (f"--{name}", str(getattr(training, name)))]
    files = ["--out", str(out), "--checkpoint", str(checkpoint), "--resume", "--every", str(every)]
    return [sys.executable, "-m", "ravine", "net", "train", *settings, *files]


def kill_at(training: Training, out: Path, checkpoint: Path, step: int) -> dict[str, Any]:
    """Run until the checkpoint has this step, then kill the process; where the last checkpoint stands."""
    process = subprocess.Popen(command(training, out, checkpoint, 0), cwd=ROOT, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        reached = -1
        while reached < step:
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline, f"step {reached} after a minute"
            time.sleep(0.02)
            if checkpoint.exists():
                reached = torch.load(checkpoint, weights_only=True)["progress"]["step"]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    progress: dict[str, Any] = torch.load(checkpoint, weights_only=True)["progress"]
    return progress


def test_a_killed_run_taken_up_has_the_same_bits(tmp_path: Path) -> None:
    """Killed twice by SIGKILL, at whatever instant that was; parameters, optimiser and log."""
    whole = train(KILLED, out=tmp_path / "whole.csv", checkpoint=tmp_path / "whole.pt")
    assert whole.step == 125 + 75 + 38
    out, kept = tmp_path / "run.csv", tmp_path / "run.pt"
    first, second = (kill_at(KILLED, out, kept, step) for step in (40, 150))
    assert 40 <= first["step"] < 150 <= second["step"] < whole.step
    assert first["place"] or second["place"], "killed twice at the end of an epoch; the test needs its middle"
    known = log(out)
    train(KILLED, out=out, checkpoint=kept, resume=True)
    assert log(out) == log(tmp_path / "whole.csv")
    assert log(out)[: len(known)] == known
    one, other = (torch.load(tmp_path / name, weights_only=True) for name in ("run.pt", "whole.pt"))
    assert same(without_seconds(one), without_seconds(other))
    # What a kill left behind is replaced by the next write.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.csv", "run.pt", "whole.csv", "whole.pt"]


def test_rows_after_the_checkpoint_are_made_again(tmp_path: Path) -> None:
    out, kept = tmp_path / "run.csv", tmp_path / "run.pt"
    whole = train(SMALL, out=tmp_path / "whole.csv")
    train(replace(SMALL, epochs=1), checkpoint=kept)
    out.write_text("a log of later rows\n")
    # An epoch more than the checkpoint has seen: the fingerprint leaves the number of epochs out.
    run = train(SMALL, out=out, checkpoint=kept, resume=True)
    assert log(out) == log(tmp_path / "whole.csv")
    assert torch.equal(flat(run.model), flat(whole.model))
    again = train(SMALL, out=out, checkpoint=kept, resume=True)
    assert again.step == run.step


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        (
            {"model": "mlp:width=7,depth=1"},
            "is of another run: its model is mlp:width=6,depth=1, here it is mlp:width=7",
        ),
        ({"data": "blobs:n=51,d=4"}, "is of another run: its data is blobs:n=50"),
        ({"method": "usam"}, "its method is sam, here it is usam"),
        ({"gamma": 0.2}, "its gamma is 0.1, here it is 0.2"),
        ({"rho": 0.2}, "its rho is 0.05, here it is 0.2"),
        ({"batch": "doubling:start=16,every=4"}, "its batch is 16, here it is doubling:start=16,every=4"),
        ({"base": "adam"}, "its base is sgd, here it is adam"),
        ({"momentum": 0.5}, "its momentum is 0, here it is 0.5"),
        ({"seed": 1}, "its (data|seed) is .*, here it is"),
        ({"dtype": "float32"}, "its (data|dtype) is"),
        ({"loss": "squared"}, "its loss is cross-entropy, here it is squared"),
        ({"epochs": 1}, "epochs must be at least 3, which the checkpoint has begun, got 1"),
        ({"threads": 2}, "threads must be 1, as in checkpoint"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    finished: Path, tmp_path: Path, changes: dict[str, Any], pattern: str
) -> None:
    before = finished.read_bytes()
    with pytest.raises(InputError, match=pattern) as caught:
        train(replace(SMALL, **changes), out=tmp_path / "run.csv", checkpoint=finished, resume=True)
    assert "\n" not in str(caught.value)
    assert finished.read_bytes() == before
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = tmp_path_factory.mktemp("kept") / "run.pt"
    train(SMALL, checkpoint=kept)
    return kept


def test_a_checkpoint_is_not_overwritten_without_being_asked(finished: Path) -> None:
    before = finished.read_bytes()
    with pytest.raises(InputError, match=r"checkpoint '.*run.pt' exists; resume it \(--resume\)"):
        train(SMALL, checkpoint=finished)
    assert finished.read_bytes() == before


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def test_files_that_are_no_checkpoint(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = finished.read_bytes()
    kept = tmp_path / "run.pt"
    contents: dict[str, tuple[bytes, str]] = {
        "text": (b"not a checkpoint", "is damaged, or no checkpoint"),
        "empty": (b"", "is damaged, or no checkpoint"),
        "cut": (whole[: len(whole) // 2], "is damaged, or no checkpoint"),
        "pickle": (pickle.dumps(_Evil()), "is damaged, or no checkpoint"),
    }
    for content, pattern in contents.values():
        kept.write_bytes(content)
        with pytest.raises(InputError, match=pattern):
            train(SMALL, checkpoint=kept, resume=True)
        assert kept.read_bytes() == content
    torch.save(_Evil(), kept)
    with pytest.raises(InputError, match="is damaged, or no checkpoint"):
        train(SMALL, checkpoint=kept, resume=True)
    assert not Path("executed").exists()
    for other in ({"weights": torch.zeros(2)}, {"format": files.FORMAT, "model": {}}, torch.zeros(3)):
        torch.save(other, kept)
        with pytest.raises(InputError, match="is no checkpoint of ravine net train"):
            train(SMALL, checkpoint=kept, resume=True)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "run.csv"
    target.write_text("old")

    def fail(stream: Any) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"run.csv' cannot be written \(No space left on device\); what"):
        files.write_whole(target, fail)
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


# -- faults --


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"method": "sma"}, "unknown method 'sma'"),
        ({"rho": -0.1}, "rho must be >= 0, got -0.1"),
        ({"method": "sgd", "rho": 0.1}, "rho is not used by method sgd; leave it out, got 0.1"),
        ({"gamma": 0}, "gamma must be positive, got 0"),
        ({"gamma": "cosin:start=1"}, "unknown schedule 'cosin'"),
        ({"batch": 0}, "batch must be a whole number >= 1, got 0"),
        ({"batch": 51}, r"batch must be full or in 1..n = 50, got 51"),
        ({"batch": "half"}, "batch must be a number, got 'half'"),
        ({"batch": "cosine:start=9,end=1,steps=9"}, "batch must be full, a whole number or a batch schedule"),
        ({"epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"chunk": 0}, "chunk must be a whole number >= 1"),
        ({"threads": 0}, "threads must be a whole number >= 1"),
        ({"base": "lion"}, "base must be one of sgd, adam, adamw, got 'lion'"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"base": "adam", "momentum": 0.9}, "momentum belongs to base sgd, base adam has its own; got 0.9"),
        ({"weight_decay": -1.0}, "weight_decay must be a finite number >= 0"),
        ({"loss": "hinge"}, "loss must be one of cross-entropy, squared, got 'hinge'"),
        ({"data": "teacher-student", "loss": "cross-entropy"}, "loss must be squared for data 'teacher-student"),
        ({"perturbation": "local"}, "perturbation must be one of global, rank, got 'local'"),
        ({"dtype": "float16"}, "dtype must be float32 or float64, got 'float16'"),
        ({"device": "tpu"}, "device must be cpu, cuda or cuda:NUMBER, got 'tpu'"),
        ({"device": "cuda:99"}, "device must be cpu .*, got 'cuda:99'"),
    ],
)
def test_bad_settings(changes: dict[str, Any], pattern: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=pattern) as caught:
        train(replace(SMALL, **changes), out=tmp_path / "run.csv", checkpoint=tmp_path / "run.pt")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_one_example_cannot_be_normalised() -> None:
    training = replace(SMALL, model="resnet18:width=2", data="digits:test=0.99", batch=16, epochs=1)
    assert Run(training).data.n % 16 == 2
    with pytest.raises(InputError, match="batch must leave at least two examples to every step where model 'resnet18"):
        train(replace(training, batch=17))


def test_a_fault_of_the_users_file_in_training(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text(DROPOUT.replace("x = x *", "x = x.nothing *"))
    with pytest.raises(InputError, match=r"late.py:build' fails in line 14, in training with AttributeError") as caught:
        train(replace(SMALL, model=f"{file}:build"))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_takes_the_same_steps() -> None:
    one, other = (train(replace(SMALL, device=device)) for device in ("cpu", "cuda"))
    again = train(replace(SMALL, device="cuda"))
    assert torch.equal(flat(other.model), flat(again.model))
    # Twelve steps in float64 with sums in another order.
    assert float((flat(one.model) - flat(other.model).cpu()).norm()) <= 1e-12 * float(flat(one.model).norm())


# -- what a user's network may do in training --

ODD = """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self, outputs, what):
        super().__init__()
        self.last = nn.Linear(4, outputs)
        self.unused = nn.Linear(1, 1)
        self.what = what
    def forward(self, x):
        found = self.last(x)
        if not self.training:
            return found
        if self.what == "asserts":
            assert not self.training, "not trained"
        if self.what == "keyed":
            return {}["x"]
        if self.what == "exits":
            raise SystemExit(0)
        if self.what == "in_place":
            found = torch.exp(found)
            return found.add_(found.exp()).mul_(2)
        return {"detached": found.detach(), "pair": (found,), "narrow": found[:, :1]}[self.what]

for what in ("asserts", "keyed", "exits", "detached", "pair", "narrow", "in_place"):
    globals()[what] = lambda shape, outputs, what=what: Odd(outputs, what)

class Counting(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.last = nn.Linear(4, outputs)
        self.register_buffer("count", torch.zeros(()), persistent=False)
    def forward(self, x):
        if self.training:
            self.count += 1
        return self.last(x) * (1 + 0.01 * self.count)

def counting(shape, outputs):
    return Counting(outputs)

class Extra(Counting):
    def get_extra_state(self):
        return {"kept": 1}

def extra(shape, outputs):
    return Extra(outputs)
"""


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("asserts", "fails in line 16, in training with AssertionError: not trained"),
        ("keyed", "fails in line 18, in training with KeyError: 'x'"),
        ("exits", "calls for exit in line 20, in training"),
        ("in_place", "fails, in training with RuntimeError: one of the variables needed for gradient computation"),
        ("detached", "must give outputs that depend on its parameters in training, got outputs without a gradient"),
        ("pair", r"must give outputs of shape \(16, 3\) for 16 inputs, in training too, got tuple"),
        ("narrow", r"must give outputs of shape \(16, 3\) for 16 inputs, in training too, got \(16, 1\)"),
    ],
)
def test_a_network_that_fails_in_training_alone(name: str, pattern: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(ODD)
    with pytest.raises(InputError, match=pattern) as caught:
        train(replace(SMALL, model=f"{file}:{name}"), out=tmp_path / "run.csv", checkpoint=tmp_path / "run.pt")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["odd.py"]


def test_outputs_that_would_broadcast_are_refused(tmp_path: Path) -> None:
    """The squared loss would take one column for three without a word."""
    file = tmp_path / "odd.py"
    file.write_text(ODD)
    with pytest.raises(InputError, match=r"must give outputs of shape \(16, 3\)"):
        train(replace(SMALL, model=f"{file}:narrow", loss="squared"))


def test_buffers_that_are_not_in_the_state_dict_are_kept_too(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(ODD)
    training, kept = replace(SMALL, model=f"{file}:counting"), tmp_path / "run.pt"
    whole = train(training)
    train(replace(training, epochs=1), checkpoint=kept)
    again = train(training, checkpoint=kept, resume=True)
    assert torch.equal(flat(again.model), flat(whole.model))
    assert [row[:-1] for row in again.rows] == [row[:-1] for row in whole.rows]


def test_a_state_that_could_not_be_read_again_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(ODD)
    training = replace(SMALL, model=f"{file}:extra")
    with pytest.raises(InputError, match="must keep its state in parameters and buffers for a checkpoint, got dict as"):
        train(training, checkpoint=tmp_path / "run.pt")
    assert not (tmp_path / "run.pt").exists()
    assert train(training).finished


def test_the_fingerprint_is_of_the_file_that_ran(tmp_path: Path) -> None:
    """An edit while the run goes on makes the file that of another run."""
    file, kept = tmp_path / "odd.py", tmp_path / "run.pt"
    file.write_text(ODD)
    training = replace(SMALL, model=f"{file}:counting")

    def edit(run: Run) -> None:
        file.write_text(ODD.replace("0.01", "0.02"))

    train(training, checkpoint=kept, on_start=edit)
    with pytest.raises(InputError, match="is of another run: its model file is"):
        train(training, checkpoint=kept, resume=True)
    file.write_text(ODD)
    assert train(training, checkpoint=kept, resume=True).finished


# -- extremes --


def test_large_numbers_that_are_fine() -> None:
    run = train(replace(SMALL, seed=10**30, chunk=10**300, epochs=1))
    assert run.diverged is None


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"threads": 10**6}, "threads must be at most 1024, got 1000000"),
        ({"gamma": 1e39}, "gamma and weight_decay must lie within float32, got 1e\\+39 and 0"),
        ({"weight_decay": 1e39}, "gamma and weight_decay must lie within float32, got 0.1 and 1e\\+39"),
        ({"model": "mlp:width=1000000"}, "model 'mlp:width=1000000' needs .* GiB; at most .* GiB is allowed here"),
        ({"model": "mlp:width=1e30"}, "width of model 'mlp' must be at most 1000000, got 1"),
        ({"model": "mlp:depth=1e8"}, "depth of model 'mlp' must be at most 10000, got 100000000"),
        ({"data": "teacher-student:noise=1e308"}, "has targets that are NaN, infinite or too large for torch.float32"),
    ],
)
def test_numbers_that_are_too_large(changes: dict[str, Any], pattern: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=pattern) as caught:
        train(replace(SMALL, dtype="float32", **changes), out=tmp_path / "run.csv")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_memory_that_runs_out_in_a_pass_is_no_fault_of_the_network(tmp_path: Path) -> None:
    file = tmp_path / "greedy.py"
    file.write_text(ODD.replace('self.what == "asserts"', "torch.empty(2**55) is None"))
    with pytest.raises(MemoryError, match="can't allocate memory"):
        train(replace(SMALL, model=f"{file}:keyed"))


# -- files that cannot be written --

LIMITED = """
import resource, signal, sys
from ravine.cli import run_command
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
sys.exit(run_command(sys.argv[1:]))
"""


def test_a_disk_without_room_is_one_sentence(tmp_path: Path) -> None:
    """A limit on the size of a file, which torch.save meets in the middle as it would meet a full disk."""
    out, kept = tmp_path / "run.csv", tmp_path / "run.pt"
    first = replace(KILLED, model="mlp:width=200,depth=1", epochs=1, batch=100, rho=0.1)
    train(first, checkpoint=kept)
    before = kept.read_bytes()
    line = command(replace(first, epochs=2), out, kept, 0)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *line[3:]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    sentence = f"ravine: file '{kept}' cannot be written (File too large); what stood there is untouched\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)
    assert kept.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_two_writers_of_one_file_wait_for_each_other(tmp_path: Path) -> None:
    """Each file is whole, whoever wrote it; the second must not empty what the first is writing."""
    target = tmp_path / "run.pt"
    half, second = threading.Event(), threading.Event()

    def slow(stream: Any) -> None:
        stream.write(b"a" * 1000)
        stream.flush()
        half.set()
        # Long enough for the other to begin; it cannot end before this one does.
        second.wait(0.3)
        stream.write(b"a" * 1000)

    def other() -> None:
        half.wait()
        files.write_whole(target, lambda stream: stream.write(b"b" * 10))
        second.set()

    thread = threading.Thread(target=other)
    thread.start()
    whole: list[bytes] = []
    real = os.replace

    def watched(source: Any, place: Any) -> None:
        whole.append(Path(source).read_bytes())
        real(source, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", watched)
        files.write_whole(target, slow)
        thread.join()
    assert whole == [b"a" * 2000, b"b" * 10]
    assert target.read_bytes() == b"b" * 10
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("there", [False, True])
def test_an_interruption_names_a_checkpoint_only_if_there_is_one(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Run:
        if there:
            (tmp_path / "run.pt").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.net.train.train", interrupted)
    assert run_command(command(SMALL, tmp_path / "run.csv", tmp_path / "run.pt", 0)[3:]) == 130
    kept = f"ravine: what was kept is in {tmp_path / 'run.pt'}, --resume takes it up\n"
    # That it was interrupted is said by the command line itself.
    assert capsys.readouterr().err == (kept if there else "")
