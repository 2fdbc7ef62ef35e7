"""Stored brackets: they read back, hold together, and are found again; the command says them."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import experiments.verify.verify  # noqa: F401  (bound to the true `available` before a test replaces it)
from experiments.verify import brackets
from experiments.verify.brackets import (
    FOLDER,
    ConstantBracket,
    _at,
    _Found,
    _over,
    _questions,
    _Stored,
    as_text,
    fingerprint,
    from_records,
    measure,
    stored,
    to_records,
)
from experiments.verify.corpus import AGREEMENT, Entry, corpus_case, entries
from experiments.verify.points import ONE_STEP
from problems.errors import InputError
from ravine.cli import run_command
from theory.claim import claims
from theory.worst_case.claims import SHORTEST, constant_bracket, function_class_of, grid
from theory.worst_case.critical import Bracket

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


@pytest.mark.parametrize("name", CLAIMS)
def test_stored_brackets_speak_of_the_inequality_as_it_is_now(name: str) -> None:
    """After a change of a one-step form, a hypothesis or the grid: ravine worst-case ID --keep."""
    for bracket in stored(name):
        assert bracket.asked == fingerprint(claims[name], bracket.constant), bracket


def test_a_changed_claim_has_another_fingerprint() -> None:
    claim = claims["constant-radius/strongly-convex"]
    assert claim.one_step is not None
    stated_step = claim.one_step

    def faster(facts, gap, norm2, t, scale):  # type: ignore[no-untyped-def]
        return stated_step(facts, gap, norm2, t, scale | {"rate": 1.001 * scale.get("rate", 1.0)})

    for changed in (replace(claim, one_step=faster), claim.relaxed(1.001)):
        for name in ("rate", "step_limit"):
            assert fingerprint(changed, name) != fingerprint(claim, name)


@pytest.mark.parametrize("name", CLAIMS)
def test_no_stored_instance_refutes_more_than_its_bracket_says(name: str) -> None:
    for bracket in stored(name):
        for known in entries(name):
            if (known.constant, known.up, known.route) == (bracket.constant, bracket.up, ONE_STEP):
                case = corpus_case(claims[name], known)
                if case.setting.deterministic and case.facts.gamma.largest * case.facts.L_f >= SHORTEST:
                    ahead = (bracket.refuted - known.scale) * (1 if bracket.up else -1)
                    assert ahead <= AGREEMENT * abs(known.scale), (bracket, known)


def test_a_question_is_asked_once_in_all_units_and_a_step_limit_once_for_all_steps() -> None:
    """constant-radius/strongly-convex: an error in rho^2, so that its three radii are one; 27 choices, 9 questions."""
    settings = list(grid(claims["constant-radius/strongly-convex"]))
    asked = Counter(name for _, name in _questions(settings, ["rate", "step_limit"]))
    assert (len(settings), asked) == (27, {"rate": 9, "step_limit": 3})
    # Where nothing is normalised the radius is counted in 1/L and matters.
    settings = list(grid(claims["igd/pl-rate"]))
    assert Counter(name for _, name in _questions(settings, ["rate"])) == {"rate": len(settings)}


@pytest.mark.parametrize("up", [True, False])
def test_the_weakest_choice_of_steps_decides_on_both_sides(up: bool) -> None:
    """Two choices, one without a certificate, and instances of the corpus on either side of what is refuted."""
    claim, settings = claims["constant-radius/strongly-convex"], list(grid(claims["constant-radius/strongly-convex"]))
    sides = ((1.2, 1.5), (1.1, 1.6), (-math.inf, 1.4)) if up else ((0.4, 0.2), (0.5, 0.1), (math.inf, 0.3))
    rows = [
        _Found("rate", Bracket(c, r, up, stated.cell, fault="" if math.isfinite(c) else "unsolved"), "it")
        for (c, r), stated in zip(sides, settings, strict=False)
    ]
    for scale, refuted in ((1.3, 1.3), (1.7, 1.4)) if up else ((0.35, 0.35), (0.05, 0.3)):
        known = _Stored(Entry("rate", scale, up, "--steps 1", ONE_STEP, ""), settings[5])
        found = _over(claim, "strongly-convex", "rate", rows, [known])
        assert found is not None
        assert (found.certified, found.refuted) == (1.1 if up else 0.5, refuted)
        assert found.certified_at == str(settings[1].cell)
        assert ("the corpus: " in found.by) == (refuted == scale)
        assert (found.cells, found.unsolved) == (3, 1)


def test_what_refutes_over_pl_functions_is_one_of_them() -> None:
    """Gradient descent: of strongly convex functions quadratics are worst, 1 - s gamma mu = max (1 - gamma l)^2."""
    for stated in grid(claims["sgd/pl"]):
        found = _at(stated, "rate", "CLARABEL")
        assert found is not None
        cell = stated.cell
        factor = max((1 - cell.gamma * curvature) ** 2 for curvature in (cell.mu, cell.L))
        critical = (1 - factor) / (cell.gamma * cell.mu)
        # The first scale beyond the root at which an instance exceeds the bound clearly, at most 5 % off.
        assert critical < found.bracket.refuted <= 1.05 * critical
        assert found.bracket.certified <= critical * (1 + 1e-4)


def test_an_unsolved_choice_is_said_and_not_narrow() -> None:
    whole = stored("usam/one-step")[0]
    assert whole.narrow
    assert "no certificate" not in whole.sentence
    part = replace(whole, unsolved=1)
    assert not part.narrow
    assert part.sentence.endswith(f"; no certificate at 1 of {whole.cells} choices of steps")


def test_what_is_written_is_no_stronger_than_what_was_found() -> None:
    """Seven digits: certified scales to the weak side, refuted ones to the strong side."""
    found = replace(stored("usam/one-step")[0], certified=1.23456789, refuted=0.12345678912)
    (down,) = to_records([replace(found, up=False)])
    assert (down["certified"], down["refuted"]) == (1.234568, 0.1234567)
    (up,) = to_records([replace(found, up=True)])
    assert (up["certified"], up["refuted"]) == (1.234567, 0.1234568)


def test_an_interrupted_run_keeps_what_was_found() -> None:
    """Killed after three answers, and begun again: the three are not asked twice, and the end is as if in one go."""
    claim, kept, done = claims["usam/one-step"], dict[str, Any](), list[int]()

    def save(key: str, found: dict[str, Any], seconds: float) -> None:
        kept[key] = json.loads(json.dumps(found))  # as a store does
        if len(kept) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(claim, constants=["radius"], saved=kept.get, save=save)
    plan: list[int] = []
    again = measure(
        claim, constants=["radius"], saved=kept.get, on_plan=plan.append, on_done=lambda: done.append(1)
    )  # fmt: skip
    assert (plan, len(done)) == ([6], 6)
    assert again == measure(claim, constants=["radius"])


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("igd/step-range", ["decrease", "step_limit"]),
        ("usam/one-step", ["radius", "step_limit"]),
        ("constant-radius/convex", ["radius"]),  # its step limit takes seconds
    ],
)
def test_a_stored_bracket_is_found_again_at_one_setting(name: str, constants: list[str]) -> None:
    """No setting of the grid is certified less than the stored bracket says, up to 1 %."""
    settings = list(grid(claims[name]))
    for bracket in (bracket for bracket in stored(name) if bracket.constant in constants):
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


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(brackets, "FOLDER", tmp_path / "file")
    monkeypatch.setattr(brackets, "measure", None)
    assert run_command(["worst-case", "sgd/pl", "--keep"]) == 2
    assert "keep must name a folder, got the file" in capsys.readouterr().err


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
