"""Two processes, each with half of every batch: the single process's trajectory, or m-sharpness when asked for."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from experiments.net.models import build_model
from experiments.net.parallel import ALONE, World, device_of, share, world_of
from experiments.net.seeds import permutation
from experiments.net.train import Run, Training, train
from problems.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

TRAINING = Training(
    model="mlp:width=6,depth=1",
    # 16 and 17 examples a step: halves of 8 and 9, and a last batch of one example, which one process has alone.
    data="blobs:n=35,d=4,classes=3,spread=0.5",
    batch=17,
    epochs=4,
    gamma=0.3,
    rho=0.2,
    momentum=0.5,
    dtype="float64",
    device="cpu",
    threads=1,
)


class Awkward(nn.Module):
    """Has a parameter that no output depends on, and takes no empty batch; `alone`: fails in the second process."""

    def __init__(self, outputs: int, alone: bool) -> None:
        super().__init__()
        self.last, self.unused, self.alone = nn.Linear(4, outputs), nn.Linear(1, 1), alone

    def forward(self, x: Tensor) -> Tensor:
        if self.alone and self.training and os.environ["RANK"] == "1":
            raise ValueError("only here")
        found: Tensor = self.last(x.reshape(len(x), -1))
        return found


def awkward(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return Awkward(outputs, alone=False)


def fails_alone(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return Awkward(outputs, alone=True)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def flat(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def free_ports(count: int) -> list[int]:
    """Below the ports that a system hands out by itself: gloo's own sockets would otherwise take one in between."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            one = stack.enter_context(socket.socket())
            with suppress(OSError):
                one.bind(("127.0.0.1", 10_000 + secrets.randbelow(20_000)))
                found.append(int(one.getsockname()[1]))
        return found


def pair(arguments: list[str], meeting: dict[str, str]) -> list[tuple[int, str, str]]:
    """Two processes of one world, to their ends: exit codes, and what was said on stdout and stderr."""
    processes = [
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


def launch(folder: Path, jobs: list[Training]) -> list[tuple[dict[str, Any], str]]:
    """Every training on two processes, as torchrun starts them, through the command: its checkpoint and its log."""
    lines = []
    for number, job in enumerate(jobs):
        named = ("model", "data", "method", "batch", "epochs", "gamma", "rho", "momentum", "dtype", "device", "threads")
        settings = [
            text for name in (*named, "chunk", "perturbation") for text in (f"--{name}", str(getattr(job, name)))
        ]
        files = ["--out", str(folder / f"{number}.csv"), "--checkpoint", str(folder / f"{number}.pt")]
        lines.append(["net", "train", *settings, *files])
    # One pair of processes takes all jobs, each at a port of its own: torch is slow to start.
    script = (
        "import os\nfrom ravine.cli import run_command\n"
        f"for port, line in zip({free_ports(len(jobs))!r}, {lines!r}):\n"
        "    os.environ['MASTER_PORT'] = str(port)\n"
        "    assert run_command(line) == 0, line\n"
    )
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    said = pair(["-W", "error", "-c", script], meeting)
    assert [code for code, *_ in said] == [0, 0], said
    assert said[0][1].count("wrote") == len(jobs)
    assert said[1][1] == "", "only the first process speaks"
    return [
        (torch.load(folder / f"{number}.pt", weights_only=True), (folder / f"{number}.csv").read_text())
        for number in range(len(jobs))
    ]


def vector(state: dict[str, Any]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in state["model"].values()])


JOBS = {
    "sam": TRAINING,
    "gsam": replace(TRAINING, method="gsam:alpha=0.2"),
    "average": replace(TRAINING, method="multi-sam:steps=2,descent=average"),
    "rank": replace(TRAINING, perturbation="rank", momentum=0.0),
    "growing": replace(TRAINING, method="usam", batch="doubling:start=1,every=20,most=9"),
    "normalised": replace(TRAINING, model="resnet18:width=2", data="digits:test=0.98", epochs=1, batch=13, chunk=6),
    # Halves of 8 and 9 examples in one chunk and in two.
    "awkward": replace(TRAINING, model=f"{__file__}:awkward", chunk=8),
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], str]]:
    return dict(zip(JOBS, launch(tmp_path_factory.mktemp("two"), list(JOBS.values())), strict=True))


def nudged_run(training: Training, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The twin: every parameter starts one ulp away."""

    def build(*arguments: Any, **options: Any) -> nn.Module:
        model = real(*arguments, **options)
        with torch.no_grad():
            for part in model.parameters():
                part.copy_(torch.nextafter(part, torch.full_like(part, torch.inf)))
        return model

    real = build_model
    with monkeypatch.context() as patch:
        patch.setattr("experiments.net.train.build_model", build)
        return train(training)


@pytest.mark.parametrize("name", ["sam", "gsam", "average", "growing", "awkward"])
def test_two_processes_are_one(
    name: str, two: dict[str, tuple[dict[str, Any], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agreement in the sense of all pairs of implementations: ten times the gap of twins one ulp apart, plus 1e-12."""
    alone = train(JOBS[name])
    state, text = two[name]
    x, twin, found = flat(alone.model), flat(nudged_run(JOBS[name], monkeypatch).model), vector(state)
    assert float((twin - x).norm()) > 0
    allowed = 10 * float((twin - x).norm()) + 1e-12 * float(x.norm())
    assert float((found - x).norm()) <= allowed
    assert allowed < 1e-9 * float(x.norm()), "the twins have parted: the comparison would say nothing"
    rows = [row.split(",") for row in text.splitlines()[1:]]
    assert [int(row[1]) for row in rows] == [row[1] for row in alone.rows]
    assert [int(row[9]) for row in rows] == [row[9] for row in alone.rows]
    for row, own in zip(rows, alone.rows, strict=True):
        # A mean of 35 losses at points that agree to 1e-9, summed in two parts.
        assert float(row[5]) == pytest.approx(own[5], rel=1e-8)
        assert float(row[8]) == own[8]


def test_m_sharpness_is_its_transcription(two: dict[str, tuple[dict[str, Any], str]]) -> None:
    """Each half climbs along its own gradient; the gradients there are averaged over the batch."""
    training = JOBS["rank"]
    run = Run(training)
    model, data = run.model, run.data
    parameters = list(model.parameters())

    def gradient(at: Tensor, indices: Tensor, total: int) -> Tensor:
        nn.utils.vector_to_parameters(at, parameters)
        losses = nn.functional.cross_entropy(model(data.inputs[indices]), data.targets[indices], reduction="none")
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(losses.sum() / total, parameters)])

    x = flat(model)
    for epoch in range(training.epochs):
        for batch in permutation(data.n, 0, "order", epoch).split(17):
            halves = [batch[0::2], batch[1::2]]
            directions = []
            for half in halves:
                if len(half):
                    g = gradient(x, half, len(batch))
                    directions.append(gradient(x + 0.2 * g / g.norm(), half, len(batch)))
            x = x - 0.3 * torch.stack(directions).sum(dim=0)
    found = vector(two["rank"][0])
    # Twelve steps in another order of operations.
    assert float((found - x).norm()) <= 1e-12 * float(x.norm())
    other = flat(train(replace(training, perturbation="global")).model)
    assert float((found - other).norm()) > 1e-4 * float(x.norm()), "it must be another method"


def test_batch_statistics_are_those_of_the_first_process(two: dict[str, tuple[dict[str, Any], str]]) -> None:
    """Batch normalisation sees each half alone, so this is another trajectory; it must be sound and logged alike."""
    state, text = two["normalised"]
    assert torch.isfinite(vector(state)).all()
    assert len(text.splitlines()) == 3


def test_a_fault_of_one_process_is_said_by_it_and_ends_the_other(tmp_path: Path) -> None:
    line = ["-m", "ravine", "net", "train", "--model", f"{__file__}:fails_alone", "--data", TRAINING.data]
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_ports(1)[0])}
    first, second = pair([*line, "--out", str(tmp_path / "run.csv"), "--threads", "1", "--device", "cpu"], meeting)
    assert first == (2, "", "ravine: another of the processes has ended, so this one must; it says why\n")
    assert second[:2] == (2, "")
    assert second[2].endswith(", in training with ValueError: only here\n")
    assert second[2].count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_torchrun_says() -> None:
    assert world_of({}) == ALONE
    assert world_of({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}) == World(1, 2, 1)
    assert world_of({"RANK": "1", "WORLD_SIZE": "2"}) == World(1, 2, 0)
    assert device_of("cpu", World(1, 2, 1)) == torch.device("cpu")
    for environment, pattern in (
        ({"RANK": "0"}, "WORLD_SIZE is missing in the environment"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK in the environment must be below WORLD_SIZE = 2, got 2"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK in the environment must be a number, got 'x'"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE in the environment must be a whole number >= 1, got 0"),
    ):
        with pytest.raises(InputError, match=pattern):
            world_of(environment)


def test_shares_make_up_the_batch() -> None:
    batch = torch.arange(7)
    parts = [share(batch, World(rank, 3)) for rank in range(3)]
    assert sorted(torch.cat(parts).tolist()) == batch.tolist()
    assert {len(part) for part in parts} == {2, 3}
    assert len(share(batch[:1], World(2, 3))) == 0


def test_meeting_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(InputError, match=r"the processes cannot meet .*; start them with torchrun"):
        train(TRAINING, world=World(0, 2))
