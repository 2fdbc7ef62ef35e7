"""ravine derive: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import latex2mathml.converter
import pytest

import theory.derivation
from experiments.verify.verdict import Verdict
from experiments.verify.verify import judge, verify
from experiments.verify.written_proof import derivation_evidence
from ravine.cli import run_command
from theory.claim import claims
from theory.derivation import Step, derivations
from theory.derivation_text import latex_lines


def test_it_prints_every_step_with_its_certificate(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["derive", "unified-sam/pl-constant"]) == 0
    printed = capsys.readouterr().out
    for step in derivations["unified-sam/pl-constant"].steps:
        assert f"[{step.name}] follows" in printed
    assert "hypothesis: f is mu-PL" in printed
    assert "derivation checked: 9 steps" in printed


def test_a_claim_with_several_derivations_prints_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["derive", "gsam/schedule-sums"]) == 0
    printed = capsys.readouterr().out
    assert all(d.id in printed for d in derivations.of("gsam/schedule-sums"))
    assert len(derivations.of("gsam/schedule-sums")) > 1


def test_without_an_id_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["derive"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in derivations)


def test_latex_is_a_document(tmp_path: Path) -> None:
    target = tmp_path / "proof.tex"
    assert run_command(["derive", "sgd/pl", "--latex", "--out", str(target)]) == 0
    text = target.read_text()
    assert text.startswith(r"\documentclass")
    assert text.rstrip().endswith(r"\end{document}")


@pytest.mark.parametrize("name", sorted(derivations))
def test_latex_balances(name: str) -> None:
    text = "\n".join(latex_lines(derivations[name]))
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert text.count(r"\left(") + text.count(r"\left\|") == text.count(r"\right)") + text.count(r"\right\|")
    assert re.search(r"<\w+,\w+>", text) is None  # inner products are \langle \rangle


def test_latex_formulas_are_formulas(tmp_path: Path) -> None:
    """Every displayed formula converts to MathML, which balances and knows its commands."""
    target = tmp_path / "proof.tex"
    for name in ("unified-sam/pl-constant", "dynamics/potential", "edge/sam-limit", "gsam/schedule-sums"):
        run_command(["derive", name, "--latex", "--out", str(target)])
        formulas = re.findall(r"\\\[ (.*) \\\]", target.read_text())
        assert len(formulas) == sum(len(d.steps) for d in derivations.of(name))
        for formula in formulas:
            assert "<math" in latex2mathml.converter.convert(formula)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["derive", "unified-sam/pl-constnat"],
            "unknown claim or derivation 'unified-sam/pl-constnat'; the nearest is",
        ),
        (["derive", "ssam/stability-exponent"], "ssam/stability-exponent has no derivation"),
        (["derive", "--out", "x.txt"], "out needs an ID whose derivation is written"),
        (["derive", "sgd/pl", "--latex", "--out", "x.txt"], "out must"),
        (["derive", "sgd/pl", "--out", "no/such/folder/x.txt"], "out"),
    ],
)
def test_bad_input(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def _broken() -> theory.derivation.Derivation:
    good = derivations["sgd/pl"]
    last = next(step for step in good.steps if step.name == good.conclusion)
    assert isinstance(last, Step)
    return replace(good, steps=tuple(replace(s, right=2 * s.right) if s is last else s for s in good.steps))


def test_a_broken_derivation_is_said_and_exits_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(derivations._claims, "sgd/pl", _broken())
    assert run_command(["derive", "sgd/pl"]) == 3
    printed = capsys.readouterr().out
    assert "BROKEN" in printed
    assert "derivation checked" not in printed


def test_a_broken_derivation_makes_its_claim_inconclusive() -> None:
    row = derivation_evidence(_broken())
    assert row.verdict is Verdict.INCONCLUSIVE
    assert row.reason.startswith("the written proof is broken at")


def test_verify_says_that_the_derivation_was_checked() -> None:
    (result,) = verify(["multistep/one-dim-blind"])
    rows = [row for row in result.evidence if row.route == "derivation"]
    assert rows
    assert all(row.reason.startswith("derivation checked: ") for row in rows)
    assert result.worst is not None
    assert result.worst.route != "derivation"


def test_a_derivation_stands_beside_measurements_never_in_their_place() -> None:
    checked = derivation_evidence(derivations["sgd/pl"])
    assert checked.verdict is Verdict.CONSISTENT
    assert judge(claims["sgd/pl"], [checked], [])[0] is Verdict.INCONCLUSIVE
