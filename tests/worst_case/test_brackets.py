"""Stored brackets: they read back, hold together, and are found again; the command says them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import experiments.verify.verify  # noqa: F401  (bound to the true `available` before a test replaces it)
from experiments.verify.brackets import FOLDER, ConstantBracket, as_text, from_records, measure, stored, to_records
from problems.errors import InputError
from ravine.cli import run_command
from theory.claim import claims
from theory.worst_case.claims import constant_bracket, function_class_of, grid

CLAIMS = sorted(str(file.relative_to(FOLDER).with_suffix("")) for file in FOLDER.rglob("*.json"))


def test_the_stored_brackets_are_of_claims_that_have_a_class() -> None:
    assert len(CLAIMS) >= 10
    for name in CLAIMS:
        assert function_class_of(claims[name]) is not None
        assert stored(name)
        assert all(bracket.constant in claims[name].named_constants for bracket in stored(name))


@pytest.mark.parametrize("name", CLAIMS)
def test_no_certificate_contradicts_an_instance(name: str) -> None:
    """What is certified for every function lies on the weak side of what a function refutes, up to two parts in a
    thousand: both are found by solvers."""
    for bracket in stored(name):
        if math.isfinite(bracket.certified) and math.isfinite(bracket.refuted):
            assert (bracket.refuted - bracket.certified) * (1 if bracket.up else -1) > -2e-3, bracket


@pytest.mark.parametrize("name", CLAIMS)
def test_the_theorem_s_own_constant_is_certified(name: str) -> None:
    """1 lies on the certified side, or within the 1 % to which intervals of lengths are divided."""
    for bracket in stored(name):
        assert bracket.certified >= 0.99 if bracket.up else bracket.certified <= 1.01, bracket


def test_ten_constants_are_known_to_ten_percent() -> None:
    narrow = [(name, b.constant) for name in CLAIMS for b in stored(name) if b.narrow]
    assert len(narrow) >= 10, narrow


@pytest.mark.parametrize("name", ["igd/step-range", "usam/one-step", "constant-radius/convex"])
def test_a_stored_bracket_is_found_again_at_one_setting(name: str) -> None:
    """No setting of the grid is certified less than the stored bracket says, up to 1 %."""
    settings = list(grid(claims[name]))
    for bracket in stored(name):
        again = constant_bracket(settings[len(settings) // 2], bracket.constant)
        assert again is not None
        weaker = (
            again.certified < bracket.certified * 0.99 if bracket.up else again.certified > bracket.certified * 1.01
        )
        assert not weaker, (bracket, again)


def test_records_hold_infinities() -> None:
    bracket = ConstantBracket(
        claim="sgd/pl", constant="rate", function_class="pl", certified=1.25, refuted=math.inf, up=True,
        certified_at="here", refuted_at="", by="", ball=math.nan, cells=3, unsolved=0, problems=9,
    )  # fmt: skip
    (again,) = from_records(json.loads(as_text([bracket])))
    assert again.refuted == math.inf
    assert math.isnan(again.ball)
    assert again.width == math.inf
    assert not again.narrow
    assert again.sentence == "certified 1.25, refuted nowhere"
    assert to_records([again]) == to_records([bracket])


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "sgd").mkdir()
    (tmp_path / "sgd" / "pl.json").write_text('[{"claim": 1}]')
    with pytest.raises(InputError, match="cannot be read"):
        stored("sgd/pl", tmp_path)
    assert stored("sgd/nonconvex", tmp_path) == []


def test_a_claim_without_a_class_is_refused() -> None:
    with pytest.raises(InputError, match="has no inequality for one step over a class"):
        measure(claims["dynamics/cycle"])


def test_the_command_measures_keeps_and_takes_from_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out = tmp_path / "s.sqlite", tmp_path / "b.json"
    arguments = ["worst-case", "usam/one-step", "--jobs", "1", "--store", str(store), "--json", str(out)]
    assert run_command(arguments) == 0
    first = capsys.readouterr().out
    assert "radius: certified 1" in first
    assert "step_limit: certified 2" in first
    written = json.loads(out.read_text())
    assert {b["constant"] for b in written["brackets"]} == {"radius", "step_limit"}
    assert run_command(arguments) == 0
    again = capsys.readouterr().out
    assert again.rpartition("problems,")[0] == first.rpartition("problems,")[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["worst-case", "dynamics/cycle"], "dynamics/cycle has no inequality for one step"),
        (["worst-case", "sgd/pl", "--constant", "raet"], "constant 'raet' is none of sgd/pl; it has rate"),
        (["worst-case", "sgd/pll"], "unknown claim 'sgd/pll'"),
        (["worst-case", "sgd/pl", "--keep", "--constant", "rate"], "keep stores every constant"),
        (["worst-case", "sgd/pl", "--jobs", "0"], "jobs"),
    ],
)
def test_bad_input(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_without_the_extra_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("theory.worst_case.estimation.available", lambda: False)
    assert run_command(["worst-case", "sgd/pl"]) == 2
    assert "pip install 'ravine[worst-case]'" in capsys.readouterr().err
    monkeypatch.setattr("experiments.verify.verify.available", lambda: False)
    assert run_command(["verify", "igd/step-range"]) == 0
    assert "evidence by worst cases over classes was not available" in capsys.readouterr().out


def test_verify_with_the_extra_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["verify", "igd/step-range"]) == 0
    printed = capsys.readouterr().out
    assert "every function" in printed
    assert "over the class" in printed
    assert "not available" not in printed
