"""The mechanism of the figures: tables that come back exactly, pictures drawn from what was saved, whole files."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import paper_figs.catalogue
from paper_figs.catalogue import specs
from paper_figs.figure import Quality, Spec, make
from paper_figs.table import COLUMNS, Table, read_table
from problems.errors import InputError
from ravine.cli import run_command


def measure_line(quality: Quality) -> Table:
    table = Table()
    table.axes("a", "step t", "gap, dimensionless")
    drawn = np.random.default_rng(quality.seed).standard_normal(quality.pick(5, 50))
    table.add("a", 'with, "both"', np.arange(len(drawn)), drawn, low=drawn - 1, high=drawn + 1)
    return table


def draw_line(table: Table) -> Figure:
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.plot(table.of("a")[0].x, table.of("a")[0].y)
    return figure


LINE = Spec("line", "A line through\nrandom points.", measure_line, draw_line)


# -- tables --


def one_line(text: str) -> bool:
    return text.splitlines() == [text]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(one_line)
POINT = st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 4)
SERIES = st.tuples(TEXTS, TEXTS, TEXTS, st.lists(POINT, min_size=1, max_size=5))
KEYS = TEXTS.filter(lambda text: ": " not in text)


@given(st.lists(SERIES, max_size=5, unique_by=lambda s: s[:3]), st.dictionaries(KEYS, TEXTS, max_size=3))
def test_a_table_comes_back_exactly(series: list[tuple[str, str, str, list[tuple[float, ...]]]],
                                    header: dict[str, str]) -> None:  # fmt: skip
    table = Table(header)
    for panel, name, role, points in series:
        x, y, low, high = np.array(points).T
        table.add(panel, name, x, y, role=role, low=low, high=high)
    back = read_table(table.text())
    # Header texts are kept as words.
    assert back.header == {key: " ".join(value.split()) for key, value in header.items()}
    assert len(back.series) == len(table.series)
    for one, other in zip(table.series, back.series, strict=True):
        assert one[:3] == other[:3]
        for before, after in zip(one[3:], other[3:], strict=True):
            # Bit for bit, signs of zeros included; which NaN it is does not matter.
            assert ((before.view(np.int64) == after.view(np.int64)) | (np.isnan(before) & np.isnan(after))).all()
    assert back.text() == table.text()


def test_a_series_is_broadcast_and_copied() -> None:
    table, y = Table(), np.array([1.0, 2.0])
    table.add("a", "s", [3, 4], y, low=0.5)
    y[0] = math.nan
    s = table.one("a", "s")
    assert (s.x.tolist(), s.y.tolist(), s.low.tolist()) == ([3.0, 4.0], [1.0, 2.0], [0.5, 0.5])
    assert np.isnan(s.high).all()
    with pytest.raises(KeyError, match="0 series are called 't'"):
        table.one("a", "t")


@pytest.mark.parametrize("name", ["", "\r", "two\nlines", "two\rlines", "two\u2028lines"])
def test_names_are_one_line(name: str) -> None:
    with pytest.raises(ValueError, match="one line of text"):
        Table().add("a", name, 1.0, 2.0)


@pytest.mark.parametrize("key", ["a: b", "a\nb", "\n", ""])
def test_header_keys_can_be_read_back(key: str) -> None:
    with pytest.raises(ValueError, match="the key of a header line"):
        Table({key: "text"}).text()


HEAD = ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the columns must be panel, .* got none"),
        ("# no value\n" + HEAD, "a header line must read '# key: value', got '# no value'"),
        ("x,y\n1,2\n", "the columns must be .* got x, y"),
        (HEAD + "a,s,measured,1,2,\n", "row 1 must have 7 entries, got 6"),
        (HEAD + "a,s,measured,1,2,,\na,s,measured,1,2,,,\n", "row 2 must have 7 entries, got 8"),
        (HEAD + "a,s,measured,1,2,,\n\n", "row 2 must have 7 entries, got 0"),
        (HEAD + "a\n", "row 1 must have 7 entries, got 1"),
        (HEAD + "a,s,measured,1,two,,\n", "row 1 must hold numbers after its three names, got 1, two, , "),
        (HEAD + 'a,"s,measured,1,2,,\n', "the rows are not those of a CSV file"),
    ],
)
def test_a_broken_file_is_refused_with_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(text)


@given(st.integers(0, 400), st.characters(codec="utf-8"))
def test_a_damaged_file_is_read_or_refused(place: int, character: str) -> None:
    """Never another error than the one that is turned into a sentence."""
    text = measure_line(Quality()).text()
    place %= len(text)
    with contextlib.suppress(ValueError):
        read_table(text[:place] + character + text[place + 1 :])


# -- making a figure --


def test_the_picture_is_drawn_from_the_saved_table(tmp_path: Path) -> None:
    csv, pdf, svg = make(LINE, tmp_path)
    assert (csv.name, pdf.name, svg.name) == ("line.csv", "line.pdf", "line.svg")
    before = svg.read_bytes()
    table = read_table(csv.read_text())
    edited = csv.read_text().replace(repr(float(table.of("a")[0].y[2])), "7.25")
    csv.write_text(edited)
    make(LINE, tmp_path, redraw=True)
    assert csv.read_text() == edited
    assert svg.read_bytes() != before


def test_what_is_not_saved_cannot_be_drawn(tmp_path: Path) -> None:
    tables: list[Table] = []

    def measure(quality: Quality) -> Table:
        tables.append(measure_line(quality))
        return tables[0]

    def draw(table: Table) -> Figure:
        tables.append(table)
        return draw_line(table)

    make(replace(LINE, measure=measure, draw=draw), tmp_path)
    assert tables[1] is not tables[0]
    assert tables[1].text() == (tmp_path / "line.csv").read_text()


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        make(LINE, folder, Quality(seed=3))
    for name in ("line.csv", "line.pdf", "line.svg"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    make(LINE, two, Quality(seed=4))
    assert (one / "line.svg").read_bytes() != (two / "line.svg").read_bytes()


def test_the_header_says_how_the_table_was_made(tmp_path: Path) -> None:
    make(LINE, tmp_path, Quality(full=True, seed=11))
    header = read_table((tmp_path / "line.csv").read_text()).header
    assert header["command"] == "ravine figures line --seed 11 --full"
    assert header["seed"] == "11"
    assert header["shows"] == "A line through random points."
    assert header["panel a"] == "x = step t; y = gap, dimensionless"
    for name in ("ravine", "python", "numpy", "scipy", "numba", "matplotlib"):
        assert f"{name} " in header["versions"]


def test_a_stop_between_table_and_picture_leaves_whole_files(tmp_path: Path) -> None:
    def stopped(table: Table) -> Figure:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(replace(LINE, draw=stopped), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["line.csv"]
    # What was measured is not lost.
    assert len(make(LINE, tmp_path, redraw=True)) == 3


def test_a_stop_while_a_picture_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    def encode(table: Table) -> bytes:
        raise MemoryError

    make(replace(LINE, encode=(("gif", lambda table: b"whole"),)), tmp_path)
    with pytest.raises(MemoryError):
        make(replace(LINE, encode=(("gif", encode),)), tmp_path, Quality(seed=1))
    assert (tmp_path / "line.gif").read_bytes() == b"whole"
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".csv", ".gif", ".pdf", ".svg"]


def test_without_a_table_there_is_nothing_to_redraw(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out holds no table 'line\.csv' to draw from; leave out --redraw once"):
        make(LINE, tmp_path, redraw=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"panel,series\n1,2\n", HEAD.encode() + b"a,s,r,1,2\n"])
def test_a_damaged_table_is_not_drawn(content: bytes, tmp_path: Path) -> None:
    make(LINE, tmp_path)
    before = (tmp_path / "line.svg").read_bytes()
    (tmp_path / "line.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"the table '.*line\.csv' cannot be read: .*; delete it"):
        make(LINE, tmp_path, redraw=True)
    assert (tmp_path / "line.svg").read_bytes() == before


def test_names_are_written_in_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(quality: Quality) -> Table:
        table = Table()
        table.add("a", "\u03bb = \u00bd", 1.0, 2.0)
        return table

    monkeypatch.setenv("LC_ALL", "C")
    csv = make(Spec("letters", "Letters.", measure), tmp_path)[0]
    assert "\u03bb = \u00bd" in csv.read_bytes().decode("utf-8")


# -- the catalogue and the command --


def test_every_figure_says_what_it_is() -> None:
    found = specs()
    assert len(found) >= 4
    for name, spec in found.items():
        assert name == spec.name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert len(spec.caption) > 40
        assert spec.caption.endswith(".")
        assert spec.draw is not None or spec.encode


def test_two_figures_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import paper_figs.unified_sam as script

    monkeypatch.setattr(script, "FIGURES", (*script.FIGURES, script.FIGURES[0]))
    with pytest.raises(ValueError, match=f"two figures are called '{script.FIGURES[0].name}'"):
        specs()


@pytest.fixture
def only_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cheap figures in the place of the catalogue, for one process."""
    found = {name: replace(LINE, name=name) for name in ("line", "other-line")}
    monkeypatch.setattr(paper_figs.catalogue, "specs", lambda: found)


def test_an_unknown_figure_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_command(["figures", "unknown", "--out", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert "unknown figure 'unknown'; " in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("only_lines")
def test_out_must_not_be_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    assert run_command(["figures", "line", "--out", str(tmp_path / "file"), "--jobs", "1"]) == 2
    assert "out must name a folder, got the file" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("option", [["--seed", "-1"], ["--seed", "two"], ["--jobs", "0"]])
@pytest.mark.usefixtures("only_lines")
def test_counts_are_checked(option: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_command(["figures", "line", "--out", str(tmp_path), *option]) == 2
    assert option[0][2:] in capsys.readouterr().err


def test_the_list_names_every_figure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_command(["figures", "--list", "--out", str(tmp_path / "figs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")][: len(specs())]
    for name in specs():
        assert name in lines
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("only_lines")
def test_figures_are_made_once_each_in_a_new_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "new" / "figs"
    assert run_command(["figures", "line", "line", "--out", str(folder), "--jobs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["line: line.csv, line.pdf, line.svg", f"1 figures in {folder}"]
    assert sorted(file.name for file in folder.iterdir()) == ["line.csv", "line.pdf", "line.svg"]


@pytest.mark.usefixtures("only_lines")
def test_all_figures_are_made_by_default_and_redrawn_from_their_tables(tmp_path: Path) -> None:
    assert run_command(["figures", "--out", str(tmp_path), "--jobs", "1", "--seed", "5"]) == 0
    tables = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(tables) == 6
    # Another seed is not measured again.
    assert run_command(["figures", "--out", str(tmp_path), "--jobs", "1", "--seed", "6", "--redraw"]) == 0
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == tables


def test_the_page_of_figures_lists_each_with_its_caption() -> None:
    page = " ".join((Path(__file__).resolve().parents[2] / "docs" / "figures.md").read_text().split())
    for spec in specs().values():
        assert f"**{spec.name}**: {' '.join(spec.caption.split())}" in page, spec.name
