"""Does the report say what was measured, no more and no less, and where each number is kept?"""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from experiments.report.content import curve_lines
from experiments.report.mathml import mathml, statement_lines
from experiments.report.pages import PAGES, plain
from experiments.store import Store, code_fingerprint
from experiments.verify.record import evidence_from_record
from ravine.cli import run_command
from theory.claim import Claim, claims
from theory.left_out import LEFT_OUT

from .conftest import CLAIMS, Built, build

FILES = {"index.html", "refuted.html", "left-out.html", "report.json", "report.md"}


class Page(HTMLParser):
    """Identifiers, links and the sources of anything that a page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if named.get("id"):
            self.ids.append(str(named["id"]))
        if tag == "a" and named.get("href"):
            self.links.append(str(named["href"]))
        self.loads += [str(named[name]) for name in ("src", "srcset", "data", "poster") if named.get(name)]
        if tag == "link":
            self.loads.append(str(named.get("href")))


def pages(built: Built) -> dict[str, Page]:
    return {name: Page((built.folder / name).read_text()) for name, _ in PAGES}


def content(built: Built) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((built.folder / "report.json").read_text())
    return found


# -- files and links --


def test_the_files_are_there_and_nothing_else(agreeing: Built) -> None:
    assert agreeing.code == 0, agreeing.text
    assert {file.name for file in agreeing.folder.iterdir()} == FILES | {"store.db"}


def test_every_link_leads_somewhere_and_nothing_is_loaded(agreeing: Built) -> None:
    found = pages(agreeing)
    for name, page in found.items():
        assert len(page.ids) == len(set(page.ids)), name
        assert all(source.startswith("data:") for source in page.loads), (name, page.loads)
        for link in page.links:
            if link.startswith("data:"):
                continue
            file, _, anchor = link.partition("#")
            assert (agreeing.folder / (file or name)).is_file(), link
            assert not anchor or anchor in found[file or name].ids, link
    assert "http" not in "".join(link for page in found.values() for link in page.links)


def test_every_claim_has_a_card_with_a_picture(agreeing: Built) -> None:
    page, said = (agreeing.folder / "index.html").read_text(), content(agreeing)
    assert sorted(claim["id"] for claim in said["claims"]) == sorted(CLAIMS)
    for claim in said["claims"]:
        card = page[page.index(f'<article id="{claim["anchor"]}"') :]
        card = card[: card.index("</article>")]
        assert "<math" in card
        assert card.count("<svg") == 1
        for heading in ("Hypotheses", "Controls", "Evidence", "The instance shown", "Provenance"):
            assert heading in card, (claim["id"], heading)
        assert "#1a1a1a" not in card  # the style's ink: pictures take their colours from the page


def test_pictures_share_no_identifier_and_follow_the_page(agreeing: Built) -> None:
    page = (agreeing.folder / "index.html").read_text()
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        assert 'role="img" aria-label="' in svg
        assert "var(--measured)" in svg or 'class="measured"' in svg
        assert "<style" not in svg
        assert svg.count("<path") > 10  # two panels with axes: an empty picture has none


# -- numbers --


def test_every_number_is_a_row_of_the_store(agreeing: Built) -> None:
    rows = 0
    with Store.open(agreeing.folder / "store.db", fingerprint=code_fingerprint()) as store:
        for claim in content(agreeing)["claims"]:
            for row in claim["instances"]:
                record = store.get(claim["id"], row["key"], row["stored_route"])
                assert record is not None, row["key"]
                kept = evidence_from_record(record)
                assert plain(kept.as_json()) == {name: row[name] for name in kept.as_json()}
                rows += 1
            for control in claim["controls"]:
                assert store.get(claim["id"], control["key"], control["route"]) is not None
            worst = claim["worst"]
            kept = evidence_from_record(store.get(claim["id"], worst["key"], worst["stored_route"]) or {})
            assert plain(kept.measured_curve.tolist()) == worst["measured_curve"]
            assert plain(curve_lines(kept)) == worst["lines"]
    assert rows > 50


def test_rows_say_which_way_their_bound_points(agreeing: Built) -> None:
    relations = {
        (claim["id"], row["route"]): row["relation"]
        for claim in content(agreeing)["claims"]
        for row in claim["instances"]
    }
    assert relations["ssam/usam-contraction", "pairs of Hessians, lowest eigenvalues"] == ">="
    assert relations["ssam/usam-contraction", "pairs of Hessians, norms"] == "<="
    assert relations["dynamics/cycle", "end of the run"] == "="
    assert "bound from below" in (agreeing.folder / "index.html").read_text()


def test_the_cards_show_the_numbers_of_the_content(agreeing: Built) -> None:
    page = (agreeing.folder / "index.html").read_text()
    for claim in content(agreeing)["claims"]:
        number = f"{claim['worst']['measured']:.6g}".replace("-", "−")
        assert f'<span class="number">{number}</span>' in page


def without_times(text: str) -> str:
    """A page without what changes from run to run."""
    text = re.sub(r"<time>.*?</time>", "", text)
    return re.sub(r'(class="[^"]*seconds[^"]*">)[^<]*', r"\1", text)


def without_seconds(said: Any) -> Any:
    if isinstance(said, dict):
        return {k: without_seconds(v) for k, v in said.items() if k not in ("made", "seconds", "total_seconds")}
    return [without_seconds(entry) for entry in said] if isinstance(said, list) else said


def test_a_deleted_store_gives_the_same_pages_again(tmp_path: Path) -> None:
    chosen = ("dynamics/cycle", "gsam/log-rate", "gsam/gap-decrease-lower-bound")
    built = build(tmp_path / "report", *chosen)
    first = {name: (built.folder / name).read_text() for name in FILES}
    (built.folder / "store.db").unlink()
    assert build(tmp_path / "report", *chosen).code == 0
    for name in FILES - {"report.json", "report.md"}:
        assert without_times((built.folder / name).read_text()) == without_times(first[name]), name
    again = json.loads((built.folder / "report.json").read_text())
    assert without_seconds(again) == without_seconds(json.loads(first["report.json"]))


def test_a_filled_store_is_not_measured_again(agreeing: Built, tmp_path: Path) -> None:
    built = build(tmp_path / "report", *CLAIMS, "--store", str(agreeing.folder / "store.db"))
    assert built.code == 0
    said, before = content(built), content(agreeing)
    assert said["summary"] == before["summary"]  # the seconds too: they are those of the measurement
    assert {file.name for file in built.folder.iterdir()} == FILES


def test_downloads_hold_the_instance(agreeing: Built) -> None:
    page = pages(agreeing)["index.html"]
    prefix = "data:application/json;base64,"
    held = [json.loads(base64.b64decode(link.removeprefix(prefix))) for link in page.links if link.startswith(prefix)]
    said = content(agreeing)["claims"]
    assert held == [claim["worst"] for claim in said]
    commands = [worst["command"] for worst in held if worst["command"]]
    assert commands
    assert run_command(commands[0].split()[1:]) == 0


def test_markdown_says_the_same(agreeing: Built) -> None:
    text = (agreeing.folder / "report.md").read_text()
    for claim in content(agreeing)["claims"]:
        assert f"$${claim['statement']}$$" in text
        assert f"**{claim['symbol']} {claim['verdict']}**" in text
        for control in claim["controls"]:
            assert control["name"].replace("|", "\\|") in text
    assert all(entry.statement in text for entry in LEFT_OUT)


def test_digits_and_slopes() -> None:
    from dataclasses import replace

    import numpy as np

    from experiments.report.content import _digits
    from experiments.verify.verdict import Evidence, Verdict

    t = np.array([1, 10, 100, 1000])
    row = Evidence(
        route="a run", verdict=Verdict.EXACT, reason="", instance="", origin="", replay="", at=1.0, measured=1.0,
        bound=1.0, error=1e-9, replicates=1, critical={}, abscissa=t, measured_curve=3.0 * t**-0.5,
        bound_curve=3.0 * t**-0.5 * (1 + 2e-7), error_curve=np.full(4, 1e-9),
    )  # fmt: skip
    assert [line["slope"] for line in curve_lines(row)] == [None, *[pytest.approx(-0.5)] * 3]
    assert _digits([row]) == "both sides agree to 6 digits"
    decided = replace(row, measured_curve=np.array([1.0, 0.0]), bound_curve=np.array([1.0, 0.0]))
    assert _digits([decided]) == "2 of 2 decisions alike"
    assert _digits([replace(row, verdict=Verdict.CONSISTENT)]) == "measured to at least 9 digits"
    assert _digits([replace(row, verdict=Verdict.CONSISTENT, replicates=64, error=0.02)]).startswith(
        "standard error up"
    )


# -- statements and what is left out --


@pytest.mark.parametrize("claim", list(claims.values()), ids=list(claims))
def test_every_statement_is_mathml(claim: Claim) -> None:
    lines = statement_lines(claim.statement)
    assert lines
    assert "".join(re.sub(r"\\q+uad|\s", "", line) for line in lines) == re.sub(r"\\q+uad|\s", "", claim.statement)
    for line in lines:
        assert "\\" not in re.sub(r"<[^>]*>", "", mathml(line))


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\\nosuchcommand"):
        mathml(r"x \nosuchcommand y")


def test_statements_are_cut_at_outer_spaces_only() -> None:
    assert statement_lines(r"a:\quad b\text{ if \quad c},\ \{d\}\qquad e") == [
        r"a:",
        r"b\text{ if \quad c},\ \{d\}",
        "e",
    ]


def test_what_is_left_out_has_reasons() -> None:
    assert len(LEFT_OUT) > 20
    for entry in LEFT_OUT:
        assert all(part.strip() for part in (entry.paper, entry.statement, entry.reason, entry.place))
        for name in re.findall(r"\b[a-z-]+/[a-z-]+\b", f"{entry.statement} {entry.reason}"):
            if name.split("/")[0] in {claim.split("/")[0] for claim in claims}:
                assert name in claims, name


# -- attention --


def test_planted_claims_cannot_be_overlooked(planted: Built) -> None:
    assert planted.code == 1, planted.text
    assert "example/linear: violated" in planted.text
    said = content(planted)
    assert said["summary"]["attention"] == ["example/linear", "example/softened"]
    assert [claim["verdict"] for claim in said["claims"]][:2] == ["violated", "inconclusive"]
    page = (planted.folder / "index.html").read_text()
    banner = page[page.index('class="banner"') : page.index("<table")]
    assert "example/linear" in banner
    assert "example/softened" in banner
    assert "NEEDS ATTENTION" in (planted.folder / "report.md").read_text()


def test_agreement_raises_no_alarm(agreeing: Built) -> None:
    page = (agreeing.folder / "index.html").read_text()
    assert 'class="banner"' not in page
    assert "No claim is violated or inconclusive" in page


# -- bad input --


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing/*"], "no claim matches"),
        (["--profile", "slow"], "profile must be quick or full, got 'slow'"),
        (["--seed", "-1"], "seed"),
        (["--out", "{file}"], "out must name a folder, got the file"),
        (["--out", "{file}/x"], "out names a folder that cannot be made"),
        (["--store", "{file}", "--out", "{tmp}/r"], "is not a store"),
        (["--plugin", "missing.py"], "plugin"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.txt"
    file.write_text("mine")
    filled = [argument.format(file=file, tmp=tmp_path) for argument in arguments]
    if "--out" not in filled:
        filled += ["--out", str(tmp_path / "r")]
    assert run_command(["report", *filled]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
    assert file.read_text() == "mine"
    assert not list(tmp_path.glob("**/index.html"))
