"""Commands as a user runs them: exit codes, files, start-up."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from problems.errors import InputError
from ravine.cli import run_command
from ravine.files import write_whole


def test_run_ends_on_the_exact_plateau(tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    line = (
        "run --problem quadratic:d=50,mu=0.1,L=1,seed=3 --method unified-sam:lam=0.5 --gamma 0.5 --rho 0.1 "
        f"--steps 200000 --replicates 1 --seed 0 --out {out}"
    )
    assert run_command(line.split()) == 0
    with np.load(out, allow_pickle=False) as found:
        assert set(found.files) >= {"t", "gap", "grad_norm2", "x"}
        r = 0.5 * 0.1 * 0.5 / (2 - 0.5 * (1 + 0.1 * 0.5))
        # Six digits, as promised; the cycle itself is reached to rounding.
        assert found["gap"][0, -1] == pytest.approx(r**2 / 2, rel=1e-6)
        assert found["t"][0] == 0
        assert found["t"][-1] == 200_000
        assert found["gap"].shape == (1, len(found["t"]))
        assert found["x"].shape == (1, 50)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_csv_holds_means_and_standard_errors(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    line = "run --problem quadratic-sum:n=4,d=2 --method sgd --sampling uniform --gamma 0.1 --steps 50 "
    line += f"--replicates 8 --out {out}"
    assert run_command(line.split()) == 0
    header, *rows = out.read_text().splitlines()
    assert header == "t,gap_mean,gap_se,grad_norm2_mean,grad_norm2_se"
    assert rows[0].startswith("0,")
    assert float(rows[-1].split(",")[2]) > 0


def test_divergence_is_named_and_not_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"run --problem quadratic:d=2,mu=1,L=1 --method sgd --gamma 10 --steps 1000 --out {tmp_path / 'x.npz'}"
    assert run_command(line.split()) == 0
    assert "replicate 0 diverged at step" in capsys.readouterr().out


@pytest.mark.parametrize("sampling", ["importance", "tau-nice:tau=16", "single:p={p}"])
def test_check_on_a_users_file(sampling: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    A = rng.standard_normal((40, 3))
    b = A @ np.array([1.0, -2.0, 0.5]) + 0.01 * rng.standard_normal(40)
    rows = [
        " ".join([repr(float(y)), *(f"{j + 1}:{v!r}" for j, v in enumerate(a.tolist()))])
        for a, y in zip(A, b, strict=True)
    ]
    file, p, out = tmp_path / "train.svm", tmp_path / "p.npy", tmp_path / "out.json"
    file.write_text("\n".join(rows) + "\n")
    np.save(p, np.full(40, 1 / 40))
    figure = tmp_path / "f.svg"
    line = (
        f"check unified-sam/pl-constant --problem ridge:file={file},reg=0.5 --sampling {sampling.format(p=p)} "
        f"--lam 0.5 --json {out} --figure {figure}"
    )
    assert run_command(line.split()) == 0
    shown = capsys.readouterr().out
    for word in (
        "mu",
        "exact",
        "admissible rho <= ",
        "gamma <= ",
        "measured/bound",
        "verdict: consistent",
        "scale=none",
    ):
        assert word in shown, word
    found = json.loads(out.read_text())
    assert found["verdict"] == "consistent"
    run = next(e for e in found["evidence"] if not e["route"].startswith("exact"))
    assert len(run["t"]) == len(run["measured_curve"]) > 3
    assert figure.read_text().lstrip().startswith("<?xml")


def test_a_horizon_too_short_is_inconclusive(capsys: pytest.CaptureFixture[str]) -> None:
    line = "check unified-sam/pl-constant --problem quadratic:d=4,mu=0.1,L=1 --gamma 0.01 --rho 0.01 --steps 5"
    assert run_command(line.split()) == 3
    assert "horizon too short" in capsys.readouterr().out


def test_check_of_a_claim_with_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure, out = tmp_path / "f.svg", tmp_path / "f.json"
    words = ["check", "dynamics/potential", "--problem", "spectrum:h=1/0.5/0.2", "--lam", "1", "--steps", "40"]
    assert run_command([*words, "--figure", str(figure), "--json", str(out)]) == 0
    text = capsys.readouterr().out
    assert "(chosen generously)" in text
    assert "sum along a run: consistent" in text
    assert figure.read_text().count("<path") > 10
    assert json.loads(out.read_text())["verdict"] == "consistent"


def test_given_constants_and_several_scales(tmp_path: Path) -> None:
    out = tmp_path / "check.json"
    words = ["check", "sgd/pl", "--problem", "quadratic:d=3,mu=0.1,L=1", "--mu", "0.05", "--L", "2", "--json", str(out)]
    assert run_command(words) == 0
    found = json.loads(out.read_text())["constants"]
    assert found["mu"] == {"value": 0.05, "grade": "given"}
    assert found["L_f"] == {"value": 2.0, "grade": "given"}
    assert run_command([*words, "--scale", "rate=200,neighbourhood=0.5"]) == 1
    assert json.loads(out.read_text())["scale"] == {"rate": 200.0, "neighbourhood": 0.5}


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list", "unified-sam/*", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"id", "kind", "provenance", "source"} == set(rows[0])
    assert run_command(["show", "unified-sam/pl-constant"]) == 0
    shown = capsys.readouterr().out
    for word in ("derived", "Theorem 3.2", "gamma*(rho)", "controls", "cite"):
        assert word in shown


def test_doctor_finds_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor"]) == 0
    assert "BAD" not in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], ["list"], ["show", "sgd/pl"]])
def test_light_commands_load_no_heavy_library(words: list[str]) -> None:
    code = (
        "import sys; from ravine.cli import run_command; run_command(sys.argv[1:]); "
        "print(sorted({'numba', 'matplotlib', 'sklearn', 'sympy', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert found.stderr.strip() == "[]"


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("list", "show", "verify", "check", "run", "doctor"):
        assert run_command([command, "--help"]) == 0
        assert "Example" in capsys.readouterr().out


def test_an_intruder_is_named(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__init__.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import ravine"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert str(tmp_path / "experiments") in found.stderr


def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    target.write_text("before")

    def fill(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match=r"x\.json' cannot be written \(No space left on device\); what stood there"):
        write_whole(target, fill)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_takes_no_files_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "--problem", "quadratic:d=2,mu=1,L=1", "--method", "gd", "--gamma", "0.1", "--steps",
                        "5", "--out", "/proc/x.npz"]) == 2  # fmt: skip
    assert capsys.readouterr().err.startswith("ravine: ")
