"""The whole catalogue through `ravine verify`: every verdict is the one its kind asks for, every control is refuted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.verify.verdict import AGREES
from ravine.cli import run_command
from theory.claim import Kind, claims

WANTED = {
    Kind.UPPER: "consistent",
    Kind.LOWER: "consistent",
    Kind.INVARIANCE: "consistent",
    Kind.LIMIT: "consistent",
    Kind.EXACT: "exact",
    Kind.ORDER: "rate seen",
    Kind.CONJECTURE: "conjecture",
    Kind.REFUTED: "refuted as stated",
}


@pytest.fixture(scope="module", params=[0, 1])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON of a whole quick run, for two seeds."""
    out = tmp_path_factory.mktemp("verify") / "out.json"
    assert run_command(["verify", "--seed", str(request.param), "--json", str(out)]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_every_claim_gets_the_verdict_of_its_kind(report: dict[str, Any]) -> None:
    found = {claim["id"]: claim["verdict"] for claim in report["claims"]}
    assert found == {claim.id: WANTED[claim.kind] for claim in claims.values()}


def test_every_control_is_refuted(report: dict[str, Any]) -> None:
    for claim in report["claims"]:
        assert claim["controls"], claim["id"]
        for control in claim["controls"]:
            assert control["refuted"], (claim["id"], control)
            assert control["by"], (claim["id"], control)


def test_rows_on_real_data_have_an_informative_horizon(report: dict[str, Any]) -> None:
    families = {claim.id for claim in claims.values() if any(":data=" in family.name for family in claim.families)}
    for claim in report["claims"]:
        rows = [row for row in claim["evidence"] if row["origin"] == "data"]
        if claim["id"] in families:
            assert any(row["verdict"] in ("consistent", "exact") for row in rows), claim["id"]
        for row in rows:
            assert "horizon" not in row["reason"], row


def test_no_row_is_inconclusive_but_for_enumerations_too_large(report: dict[str, Any]) -> None:
    for claim in report["claims"]:
        for row in claim["evidence"]:
            assert row["verdict"] != "inconclusive" or "not available" in row["reason"], (claim["id"], row)


def test_json_has_the_agreed_shape(report: dict[str, Any]) -> None:
    assert set(report) == {"version", "commit", "seed", "profile", "seconds", "claims"}
    keys = {
        *("id", "kind", "provenance", "source", "verdict", "reason", "sharpness", "instances"),
        *("evidence", "controls", "worst", "seconds", "sharpness_profile"),
        *("brackets", "derivations"),
    }
    for claim in report["claims"]:
        assert set(claim) == keys
        assert claim["verdict"] in {verdict.value for verdict in AGREES}


def test_two_routes_one_of_them_exact(report: dict[str, Any]) -> None:
    # A claim measured by trials of its own, or about single steps alone, has no run to follow by other routes.
    for claim in report["claims"]:
        stated = claims[claim["id"]]
        if stated.trials or not (stated.curve or stated.at_points):
            continue
        routes = {row["route"] for row in claim["evidence"]}
        assert len(routes) >= 2, (claim["id"], routes)
        assert any(route.startswith("exact") for route in routes), (claim["id"], routes)


def test_sharpness_comes_from_exact_rows_and_has_a_direction(report: dict[str, Any]) -> None:
    for claim in report["claims"]:
        stated = claims[claim["id"]]
        # What a refuted statement leaves to a constant is told by searches, where they move through it.
        assert claim["sharpness"] or not stated.constants or stated.kind is Kind.REFUTED, claim["id"]
        for entry in claim["sharpness_profile"]:
            assert entry["reads"], claim["id"]
            assert entry["strengthened_by"] in ("larger", "smaller")
            # Trials about expectations over runs of no exact route are the only ones that rest on draws.
            assert stated.trials or entry["sampled"] is False, (claim["id"], entry)
            low, high = entry["interval"]
            assert low <= entry["critical_scale"] <= high
            assert entry["sampled"] or low == high
            assert entry["critical_scale"] == claim["sharpness"][entry["constant"]]


def test_workers_do_not_change_results(tmp_path: Path) -> None:
    texts = []
    for jobs in ("1", "3"):
        out = tmp_path / f"{jobs}.json"
        assert run_command(["verify", "sgd/pl", "--seed", "2", "--jobs", jobs, "--json", str(out)]) == 0
        found = json.loads(out.read_text())
        for claim in found["claims"]:
            del claim["seconds"]
        texts.append(json.dumps(found["claims"]))
    assert texts[0] == texts[1]


def test_replay_repeats_an_instance(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    claim = next(c for c in report["claims"] if c["id"] == "unified-sam/pl-deterministic")
    row = next(r for r in claim["evidence"] if r["route"] == "deterministic run")
    assert run_command(["check", claim["id"], *row["replay"].split()]) == 0
    assert f"{row['measured']:.6g}" in capsys.readouterr().out
