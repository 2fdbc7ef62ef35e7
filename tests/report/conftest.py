"""Small reports that several tests read: one in which all agrees, one with planted claims that do not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "plugin_example.py"

CLAIMS = (
    "constant-radius/pl",
    "dynamics/cycle",
    "dynamics/manifold-flow",
    "edge/sam-limit",
    "gsam/gap-decrease-lower-bound",
    "gsam/log-rate",
    "ssam/usam-contraction",
    "ssam/usam-expansive",
)
"""Every kind of picture, verdict and relation; replicates; a refuted statement with its correction and one without."""


@dataclass(frozen=True)
class Built:
    """A report on the disk. folder: of its files. code: the exit code; text: what the command printed."""

    folder: Path
    code: int
    text: str


def build(folder: Path, *arguments: str) -> Built:
    """`ravine report` in a process of its own, as a user runs it: a plugin stays out of this process's catalogue."""
    command = [sys.executable, "-m", "ravine", "report", *arguments, "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
    return Built(folder, done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def agreeing(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Claims that agree."""
    return build(tmp_path_factory.mktemp("agreeing") / "report", *CLAIMS)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One claim that agrees, one that is violated, and one whose runs are too short to show anything."""
    folder = tmp_path_factory.mktemp("planted")
    plugin = folder / "planted.py"
    text = EXAMPLE.read_text()
    families = 'families=(Family("one step", _one_step, quick=2),),'
    tail = '\n        controls=(\n            RATE_DOUBLED,\n            Control("the norm'
    short = text.replace("families=_families(times=10)," + tail, families + tail).replace(
        "# -- the claims --",
        "def _one_step(rng: np.random.Generator, claim: Claim) -> Instance:\n"
        "    return given(claim, _quadratic(rng), theta=1.0, steps=1)\n",
    )
    assert families in short
    plugin.write_text(short)
    return build(folder / "report", "example/*", "dynamics/cycle", "--plugin", str(plugin))
