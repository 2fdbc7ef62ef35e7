"""Bad input of `ravine net probe`: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ravine.cli import run_command

ROOT = Path(__file__).resolve().parents[2]
DATA = "blobs:n=20,d=3"
FRESH = f"net probe --model mlp:width=4 --data {DATA} --device cpu"
PROBE = f"{FRESH} --checkpoint {{run.pt}}"
TRAIN = f"net train --model mlp:width=4 --data {DATA} --device cpu --threads 1 --batch full"


def kept_runs(folder: Path) -> dict[str, str]:
    """Checkpoints by a short name; one is good, the others wrong in the way their names say."""
    runs = {
        "run": "--epochs 1",
        "seeded": "--epochs 1 --seed 3",
    }
    for name, options in runs.items():
        line = f"{TRAIN} {options} --out {folder / name}.csv --checkpoint {folder / name}.pt"
        assert run_command(line.split()) == 0, name
    good: dict[str, Any] = torch.load(folder / "run.pt", weights_only=True)
    torch.save({"weights": torch.zeros(2)}, folder / "weights.pt")
    (folder / "text.pt").write_text("not a checkpoint")
    (folder / "half.pt").write_bytes((folder / "run.pt").read_bytes()[:2000])
    torch.save({**good, "format": "ravine net checkpoint 1"}, folder / "old.pt")
    torch.save({**good, "fingerprint": {**good["fingerprint"], "seed": "x"}}, folder / "seedless.pt")
    torch.save({**good, "progress": {}}, folder / "lost.pt")
    first = next(iter(good["model"]))
    torch.save({**good, "model": {**good["model"], first: torch.zeros(7, 7)}}, folder / "shape.pt")
    torch.save({**good, "model": {**good["model"], first: good["model"][first] * float("nan")}}, folder / "diverged.pt")
    huge = {name: part * 1e38 for name, part in good["model"].items()}
    torch.save({**good, "model": huge}, folder / "huge.pt")
    return {path.name: str(path) for path in folder.iterdir()}


CASES = [
    (f"net probe --data {DATA}", "model"),
    ("net probe --model mlp", "data"),
    (f"{FRESH} --checkpoint missing.pt", r"checkpoint 'missing.pt' cannot be read \(No such file or directory\)"),
    (f"{FRESH} --checkpoint .", "checkpoint '.' (cannot be read|is damaged)"),
    (f"{FRESH} --checkpoint {{text.pt}}", "is damaged, or no checkpoint of ravine net train"),
    (f"{FRESH} --checkpoint {{half.pt}}", "is damaged, or no checkpoint of ravine net train"),
    (f"{FRESH} --checkpoint {{weights.pt}}", "is no checkpoint of ravine net train"),
    (f"{FRESH} --checkpoint {{old.pt}}", "is no checkpoint of ravine net train"),
    (f"{FRESH} --checkpoint {{seedless.pt}}", "seed of checkpoint '.*' must be a number, got 'x'"),
    (f"{FRESH} --checkpoint {{lost.pt}}", "lacks what a run keeps of itself"),
    (f"{FRESH} --checkpoint {{shape.pt}}", "is of another model: its parameters are of another shape"),
    (f"{FRESH} --checkpoint {{diverged.pt}}", "must hold finite parameters, got NaN or infinity: the run diverged"),
    (f"{FRESH} --checkpoint {{huge.pt}} --dtype float32", "must be a point where the loss is finite, got (nan|inf)"),
    (
        f"net probe --model mlp:width=5 --data {DATA} --checkpoint {{run.pt}}",
        "is of another model: there it is mlp:width=4, here mlp:width=5",
    ),
    (
        "net probe --model mlp:width=4 --data blobs:n=21,d=3 --checkpoint {run.pt}",
        r"is of another data: there it is blobs:n=20,.* \(\w{16}\), here blobs:n=21",
    ),
    (
        f"net probe --model mlp:width=4 --data {DATA},seed=0 --checkpoint {{seeded.pt}}",
        "is of another data: there it is .*seed=3 .*, here .*seed=0",
    ),
    (f"{PROBE} --rho -0.1", r"rho must be a finite number >= 0, got -0\.1"),
    (f"{PROBE} --rho nan", "rho must be a finite number, got 'nan'"),
    (f"{PROBE} --rho 1e200", r"rho must be so small that f stays finite within the ball, got 1e\+200"),
    (f"{PROBE} --rho 1e60 --dtype float32", r"rho must be so small that f .* in the ball, got 1e\+60"),
    (f"{PROBE} --rho 1e-200", "rho must be so large that its square is not 0 in float64, got 1e-200"),
    (f"{PROBE} --gamma 0", "gamma must be a positive finite number, got 0"),
    (f"{PROBE} --gamma cosine:start=1,end=0,steps=9", "gamma must be a number, got 'cosine"),
    (f"{PROBE} --examples 21", "examples must be in 1..n = 20, got 21"),
    (f"{PROBE} --examples 0", "examples must be a whole number >= 1, got 0"),
    (f"{PROBE} --batch 21", "batch must be in 1..20, the examples that are looked at, got 21"),
    (f"{PROBE} --examples 9 --batch 10", "batch must be in 1..9, the examples that are looked at, got 10"),
    (f"{PROBE} --top 52", "top must be in 1..d = 51, the number of parameters, got 52"),
    (f"{PROBE} --top 0", "top must be a whole number >= 1, got 0"),
    (f"{PROBE} --loss hinge", "loss must be cross-entropy or squared, got 'hinge'"),
    (
        "net probe --model mlp --data teacher-student --loss cross-entropy",
        "loss must be squared for data 'teacher-student.*', whose targets are numbers, got 'cross-entropy'",
    ),
    (f"{PROBE} --seed -1", "seed must be a whole number >= 0, got -1"),
    (f"{PROBE} --dtype float16", "dtype must be float32 or float64, got 'float16'"),
    (f"{FRESH[: FRESH.index('--device')]} --device tpu", "device must be cpu, cuda or cuda:NUMBER, got 'tpu'"),
    (f"{PROBE} --threads 0", "threads must be a whole number >= 1, got 0"),
    (f"{PROBE} --threads 5000", "threads must be at most 1024, got 5000"),
    (f"{PROBE} --chunk 0", "chunk must be a whole number >= 1, got 0"),
    (f"{PROBE} --json out.txt", r"json must end in \.json, got 'out\.txt'"),
    (f"{PROBE} --out missing/out.json", "json names a folder that does not exist: 'missing'"),
    (
        "net probe --model {one.py}:build --data teacher-student:n=20,d=1 --top 1 --json x.json --figure x.png",
        "figure needs a Hessian with two distinct eigenvalues at least; here it has one",
    ),
    (f"{PROBE} --figure density.jpg", r"figure must end in \.png or \.svg or \.pdf, got 'density\.jpg'"),
    (f"net probe --model mpl --data {DATA}", "unknown model 'mpl'; the nearest is 'mlp'"),
    ("net probe --model mlp --data digit", "unknown data 'digit'; the nearest is 'digits'"),
    (f"net probe --model {{fails.py}}:build --data {DATA}", "fails in line 6, in training with RuntimeError"),
]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "fails.py").write_text(
        "from torch import nn\n\nclass Failing(nn.Linear):\n    def forward(self, x):\n"
        "        if len(x) > 2:\n            raise RuntimeError('too many')\n        return super().forward(x)\n\n"
        "def build(shape, outputs):\n    return Failing(shape[0], outputs)\n"
    )
    (folder / "one.py").write_text(
        "from torch import nn\n\ndef build(shape, outputs):\n    return nn.Linear(1, 1, bias=False)\n"
    )
    return kept_runs(folder)


@pytest.mark.parametrize(("line", "pattern"), CASES, ids=[re.sub(r"[^\w=.-]+", " ", line)[10:90] for line, _ in CASES])
def test_one_sentence_and_exit_2(
    line: str, pattern: str, place: Path, names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in names.items():
        line = line.replace("{" + name + "}", path)
    threads = [] if "--threads" in line else ["--threads", "1"]
    assert run_command([*line.split(), *threads]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ravine: ")
    assert said.err.count("\n") == 1, said.err
    assert re.search(pattern, said.err), said.err
    assert not list(place.iterdir()), "something was written"


def test_a_good_line_reads_the_checkpoint_and_leaves_it(
    place: Path, names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(names["run.pt"]).read_bytes()
    line = PROBE.replace("{run.pt}", names["run.pt"])
    assert run_command([*line.split(), "--threads", "1", "--json", "out.json"]) == 0
    assert "epoch 1, step 1, sam, last gamma 0.1, rho 0.05, batch 20" in capsys.readouterr().out
    assert Path(names["run.pt"]).read_bytes() == before
    assert [path.name for path in place.iterdir()] == ["out.json"]


def test_a_fault_at_the_end_leaves_no_file(
    place: Path, names: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from experiments.net import probe

    def fails(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "average_sharpness", fails)
    line = PROBE.replace("{run.pt}", names["run.pt"])
    assert run_command([*line.split(), "--threads", "1", "--json", "out.json", "--figure", "f.png"]) == 130
    assert not list(place.iterdir())


def test_without_torch(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run_command(FRESH.split()) == 2
    assert capsys.readouterr().err == (
        "ravine: net needs torch, which is not installed; run pip install 'ravine[net]'\n"
    )


def test_help_needs_no_torch_and_has_examples() -> None:
    """In a process of its own, where torch cannot be found."""
    script = (
        "import sys; sys.modules['torch'] = None\nfrom ravine.cli import run_command\n"
        "assert run_command(['net', 'probe', '--help']) == 0"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ravine net probe --model mlp --data digits --checkpoint run.pt" in " ".join(done.stdout.split())
