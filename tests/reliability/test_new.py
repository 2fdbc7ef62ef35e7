"""ravine new: what it writes works as it stands, as a plugin and in a source tree, and replaces nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ravine.cli import run_command

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("claim", "method", "problem")


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A Python command in a folder, with that folder's packages first."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


def test_a_plugin_that_passes_its_own_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in KINDS:
        assert run_command(["new", kind, f"my-{kind}"]) == 0
        assert (tmp_path / f"my_{kind}.py").exists()
    done = run(["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "."], tmp_path)
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout
    done = run(["-m", "ravine", "verify", "my-claim/*", "--plugin", "my_claim.py"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_source_tree(tmp_path: Path) -> None:
    for room in ("problems", "theory", "experiments", "ravine", "paper_figs"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("claims", "contract"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
    for kind in KINDS:
        done = run(["-m", "ravine", "new", kind, f"my-{kind}"], tmp_path)
        assert done.returncode == 0, done.stderr
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*my_*.py")}
    assert written == {
        "theory/claims/my_claim.py", "tests/claims/test_my_claim.py", "theory/methods/my_method.py",
        "tests/contract/test_my_method.py", "problems/my_problem.py", "tests/contract/test_my_problem.py",
    }  # fmt: skip
    done = run(["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests"], tmp_path)
    assert "8 passed" in done.stdout, done.stdout
    for tool in (["ruff", "check"], ["ruff", "format", "--check"]):
        done = run(["-m", *tool, *sorted(written)], tmp_path)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["theorem", "x"], "kind must be claim, method or problem, got 'theorem'"),
        (["claim", "My_Bound"], "name must be lower-case words joined by hyphens, got 'My_Bound'"),
        (["claim", "unified-sam"], "name 'unified-sam' is taken by a claim"),
        (["method", "sam"], "name 'sam' is taken by a method"),
        (["problem", "quadratic"], "name 'quadratic' is taken by a problem"),
        (["problem", "here"], "name 'here' would overwrite here.py"),
    ],
)
def test_bad_names(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.py").write_text("mine")
    assert run_command(["new", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["here.py"]
    assert (tmp_path / "here.py").read_text() == "mine"
