"""The bench of the bridge: what it writes, and agreement with the compiled engine in float64."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from experiments.net.bench_ensemble import MEMBERS, PARITY, parity
from ravine.cli import run_command

torch.set_num_threads(1)


def test_the_engine_and_torch_take_the_same_steps() -> None:
    found = parity(steps=60)
    assert set(found) == set(PARITY)
    # Contracting steps: a few roundings of the largest iterate, none of which grows.
    assert max(found.values()) < 1e-14


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    assert run_command(["net", "bench", "--repeats", "1", "--device", "cpu", "--json", str(out)]) == 0
    content = json.loads(out.read_text())
    assert set(content["ensemble_over_one"]) == {str(count) for count in MEMBERS}
    assert content["ensemble_over_one"]["1"] == 1
    assert {"sgd", "sam", "ssam", "gsam", "eager sam"} <= set(content["step_over_sgd"])
    assert content["torch"] == torch.__version__
    assert "in steps of SGD" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--repeats", "0"], "repeats must be a whole number >= 1"),
        (["--threads", "many"], "threads"),
        (["--device", "tpu"], "device must be cpu, cuda or cuda:NUMBER, got 'tpu'"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["net", "bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_the_front_door_has_the_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    import experiments.net
    import ravine as rv
    from experiments.net.optimizer import SAMFamily
    from problems.errors import InputError

    assert rv.SAMFamily is SAMFamily
    monkeypatch.setattr(experiments.net, "NEEDED", {"no_such_module": "torch"})
    with pytest.raises(InputError, match=r"net needs torch, which is not installed; run pip install 'ravine\[net\]'"):
        _ = rv.SAMFamily
