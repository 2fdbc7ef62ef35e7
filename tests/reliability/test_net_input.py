"""Bad input of `ravine net train`: one sentence, exit code 2, nothing written; and what a good line says and writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ravine.cli import run_command

ROOT = Path(__file__).resolve().parents[2]
TRAIN = "net train --model mlp:width=4 --data blobs:n=20,d=3 --out {out}"
SHORT = ["net", "train", "--model", "mlp", "--data", "digits", "--out", "run.csv"]
SOUND: dict[str, Any] = {"X": np.arange(12.0).reshape(6, 2), "y": np.array([0, 1, 0, 1, 0, 1])}
ARRAYS: dict[str, dict[str, Any]] = {
    "good.npz": {},
    "nan.npz": {"X": np.array([[0.0, np.nan]] * 6)},
    "half.npz": {"y": np.array([0, 1, 0.5, 1, 0, 0])},
    "negative.npz": {"y": np.array([0, 1, -1, 1, 0, 0])},
    "one.npz": {"y": np.zeros(6)},
    "short.npz": {"y": np.zeros(5)},
    "flat.npz": {"X": np.zeros(6)},
    "pickled.npz": {"X": np.array([[{}]] * 6)},
}


def inputs(folder: Path) -> dict[str, str]:
    """Files by a short name; each is good, or wrong in the way its name says."""
    for name, changes in ARRAYS.items():
        np.savez(folder / name, **{**SOUND, **changes})
    (folder / "text.npz").write_text("not a zip")
    (folder / "cifar").mkdir()
    (folder / "cifar" / "data_batch_1.bin").write_bytes(bytes(30_729_999))
    (folder / "fails.py").write_text("def build(shape, outputs):\n    raise KeyError('wrong')\n")
    (folder / "exits.py").write_text("import sys\nsys.exit(3)\n")
    torch.save({"weights": torch.zeros(2)}, folder / "weights.pt")
    (folder / "text.pt").write_text("not a checkpoint")
    return {path.name: str(path) for path in folder.iterdir()}


CASES = [
    ("net train --data digits --out {out}", "model"),
    ("net train --model mlp --data digits", "out"),
    (f"{TRAIN} --rho -0.1", "rho must be >= 0, got -0.1"),
    (f"{TRAIN} --rho nan", "rho must be a finite number, got 'nan'"),
    (f"{TRAIN} --method sma", "unknown method 'sma'"),
    (f"{TRAIN} --method unified-sam:lam=2", r"lam must be in \[0, 1\], got 2"),
    (f"{TRAIN} --method projected-sgd:radius=1 --rho 0.1", "rho is not used by method projected-sgd"),
    (f"{TRAIN} --method projected-sgd:radius=1", "projected-sgd"),
    (f"{TRAIN} --method sgd --rho 0.1", "rho is not used by method sgd"),
    (f"{TRAIN} --gamma 0", "gamma must be positive, got 0"),
    (f"{TRAIN} --gamma cosine:start=1,end=0", "schedule 'cosine:start=1,end=0' lacks the key 'steps'"),
    (f"{TRAIN} --epochs 0", "epochs must be a whole number >= 1, got 0"),
    (f"{TRAIN} --epochs 1.5", "epochs must be a whole number, got '1.5'"),
    (f"{TRAIN} --batch 21", "batch must be full or in 1..n = 20, got 21"),
    (f"{TRAIN} --seed -1", "seed must be a whole number >= 0, got -1"),
    (f"{TRAIN} --momentum 1", r"momentum must lie in \[0, 1\), got 1.0"),
    (f"{TRAIN} --momentum much", "momentum must be a number, got 'much'"),
    (f"{TRAIN} --weight-decay -1", "weight_decay must be a finite number >= 0, got -1.0"),
    (f"{TRAIN} --base lion", "base must be one of sgd, adam, adamw, got 'lion'"),
    (f"{TRAIN} --loss hinge", "loss must be one of cross-entropy, squared, got 'hinge'"),
    (f"{TRAIN} --dtype float16", "dtype must be float32 or float64, got 'float16'"),
    (f"{TRAIN} --device tpu", "device must be cpu, cuda or cuda:NUMBER, got 'tpu'"),
    (f"{TRAIN} --device cuda:99", "device must be cpu .*got 'cuda:99'"),
    (f"{TRAIN} --threads 0", "threads must be a whole number >= 1, got 0"),
    (f"{TRAIN} --chunk 0", "chunk must be a whole number >= 1, got 0"),
    (f"{TRAIN} --perturbation local", "perturbation must be one of global, rank, got 'local'"),
    (f"{TRAIN} --resume", "resume needs a checkpoint to go on from, got none"),
    (f"{TRAIN} --checkpoint run.ckpt", r"checkpoint must end in \.pt, got 'run\.ckpt'"),
    (f"{TRAIN} --checkpoint missing/run.pt", "checkpoint names a folder that does not exist: 'missing'"),
    (f"{TRAIN} --checkpoint {{weights.pt}}", r"checkpoint '.*weights.pt' exists; resume it \(--resume\)"),
    (f"{TRAIN} --checkpoint {{weights.pt}} --resume", "is no checkpoint of ravine net train"),
    (f"{TRAIN} --checkpoint {{text.pt}} --resume", "is damaged, or no checkpoint of ravine net train"),
    (f"{TRAIN} --checkpoint run.pt --every -1", "every must be a finite number of seconds >= 0, got -1.0"),
    ("net train --model mlp --data digits --out run.txt", r"out must end in \.csv, got 'run\.txt'"),
    ("net train --model mpl --data digits --out {out}", "unknown model 'mpl'; the nearest is 'mlp'"),
    ("net train --model cnn --data breast_cancer --out {out}", "model 'cnn' takes images"),
    ("net train --model mlp --data digit --out {out}", "unknown data 'digit'; the nearest is 'digits'"),
    ("net train --model mlp --data {nan.npz} --out {out}", "array 'X' of file .* holds NaN"),
    ("net train --model mlp --data {half.npz} --out {out}", "has the label 0.5; labels must be whole numbers"),
    ("net train --model mlp --data {negative.npz} --out {out}", "has the label -1; labels must be whole numbers"),
    ("net train --model mlp --data {one.npz} --out {out}", "has the one class 0"),
    ("net train --model mlp --data {short.npz} --out {out}", "must be of one length, got 6 and 5"),
    ("net train --model mlp --data {flat.npz} --out {out}", r"must have shape \(n, d\)"),
    ("net train --model mlp --data {pickled.npz} --out {out}", "holds pickled objects"),
    ("net train --model mlp --data {text.npz} --out {out}", r"is not a \.npz file"),
    ("net train --model mlp --data missing.npz --out {out}", "file 'missing.npz' does not exist"),
    ("net train --model mlp --data cifar10 --out {out}", "lacks the key 'folder'"),
    ("net train --model mlp --data cifar10:folder=missing --out {out}", "must be a folder .* got 'missing'"),
    ("net train --model mlp --data cifar10:folder={cifar} --out {out}", "has 30,729,999 bytes; .*30,730,000"),
    ("net train --model mlp --data cifar100:folder={cifar} --out {out}", "train.bin' is missing; .*153,700,000"),
    ("net train --model missing.py:build --data digits --out {out}", "names a file that does not exist"),
    ("net train --model {fails.py}:build --data digits --out {out}", "fails in line 2, .* with KeyError"),
    ("net train --model {fails.py}:other --data digits --out {out}", "names the function 'other'"),
    ("net train --model {exits.py}:build --data digits --out {out}", "calls for exit in line 2"),
]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize(("line", "pattern"), CASES, ids=[re.sub(r"[^\w=.-]+", " ", line)[:80] for line, _ in CASES])
def test_one_sentence_and_exit_2(
    line: str, pattern: str, place: Path, names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in map(Path, names.values())}
    for name, path in {**names, "out": str(place / "run.csv")}.items():
        line = line.replace("{" + name + "}", path)
    assert run_command(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ravine: ")
    assert said.err.count("\n") == 1, said.err
    assert re.search(pattern, said.err), said.err
    assert "Traceback" not in said.err
    assert not list(place.iterdir()), "something was written"
    assert {path: path.stat().st_mtime_ns for path in before} == before, "something was overwritten"


def test_without_torch(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run_command(SHORT) == 2
    assert capsys.readouterr().err == (
        "ravine: net needs torch, which is not installed; run pip install 'ravine[net]'\n"
    )
    monkeypatch.setitem(sys.modules, "curvlinops", None)
    assert run_command(SHORT) == 2
    assert "net needs torch and curvlinops-for-pytorch, which" in capsys.readouterr().err
    assert not list(place.iterdir())


def test_help_needs_no_torch() -> None:
    """In a process of its own, where torch cannot be found; nothing but `net` needs it."""
    script = (
        "import sys; sys.modules['torch'] = None\nfrom ravine.cli import run_command\n"
        "for line in (['--help'], ['net', '--help'], ['net', 'train', '--help'], ['list', 'sgd/*']):\n"
        "    assert run_command(line) == 0, line\n"
        "assert run_command(['net', 'train', '--model', 'mlp', '--data', 'digits', '--out', 'x.csv']) == 2"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert "ravine net train --model mlp" in done.stdout
    assert "torchrun" in done.stdout


def test_a_good_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"{TRAIN} --checkpoint run.pt --resume --epochs 2 --batch 5 --threads 1 --device cpu"
    arguments = line.replace("{out}", "run.csv").split()
    assert run_command(arguments) == 0
    said = capsys.readouterr().out
    assert "mlp:width=4, 51 parameters, on blobs:n=20,d=3" in said
    assert "2 epochs, 8 steps, 80 gradients of examples" in said
    assert "wrote run.csv and run.pt" in said
    assert sorted(os.listdir(place)) == ["run.csv", "run.pt"]
    log = Path("run.csv").read_bytes()
    assert run_command(arguments) == 0, "a finished run is taken up, and is finished"
    assert Path("run.csv").read_bytes() == log


def test_the_users_own_model_and_data(place: Path, names: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(
        "from torch import nn\n\ndef build(shape, outputs):\n    return nn.Linear(shape[0], outputs)\n"
    )
    line = f"net train --model mine.py:build --data {names['good.npz']} --out run.csv --epochs 1 --batch full"
    assert run_command([*line.split(), "--device", "cpu"]) == 0
    assert "mine.py:build, 6 parameters" in capsys.readouterr().out


def test_only_the_first_process_complains(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, count in (("0", 1), ("1", 0)):
        monkeypatch.setenv("RANK", rank)
        assert run_command([*SHORT, "--rho", "-1"]) == 2
        assert capsys.readouterr().err.count("\n") == count
