"""Figures of worst cases: edges against closed forms, brackets as they are stored, and what a missing extra does."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import paper_figs.catalogue
import ravine as rv
from experiments.verify.brackets import ConstantBracket
from paper_figs import worst_cases
from paper_figs.figure import Quality, Spec, make
from paper_figs.table import Table, read_table
from paper_figs.worst_cases import HIGH, LARGER, LOW, SMALLER
from ravine.cli import run_command
from theory.worst_case import estimation

# -- the region --


@pytest.fixture(scope="module")
def region() -> Table:
    return read_table(worst_cases.measure_region(Quality()).text())


def test_edges(region: Table) -> None:
    (convex,), (pl,), (flatter,) = (region.of(panel) for panel in "abc")
    # Bisected to 1e-3; the parabola's own limit is 2/gamma - 1.
    np.testing.assert_allclose(convex.y, 2 / convex.x - 1, atol=1e-3 * (1 + 1e-9))
    beyond = pl.x >= 1
    np.testing.assert_allclose(pl.y[beyond], 2 / pl.x[beyond] - 1, atol=1e-3 * (1 + 1e-9))
    assert ((pl.y[~beyond] > 1.02) & (pl.y[~beyond] < 1.1)).all()
    assert ((flatter.y > 1) & (flatter.y < 1.01)).all()
    for name in ("strongly-convex, mu = 0.1", "pl, mu = 0.1", "pl, mu = 0.01"):
        assert (region.one("factor", name).y < 1).all()
        assert region.header[f"solver's faults, {name}"] == "none"
    assert region.header["solver"].startswith("clarabel ")


def test_lines(region: Table) -> None:
    parabola = region.one("lines", "gamma L (1 + rho L) = 2")
    np.testing.assert_allclose(parabola.x * (1 + parabola.y), 2, rtol=1e-12)
    corner, wider = (region.one("lines", name) for name in (worst_cases.THEOREM, worst_cases.RANGE))
    rho = corner.y
    # The hypotheses are bisected to one part in 1e12.
    stated = np.maximum((1 - 3 * rho) / (2 * (1 + 2 * rho**2)), 0)
    np.testing.assert_allclose(corner.x, stated, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(wider.x, 2 / (1 + wider.y), rtol=1e-9)


def test_an_edge_is_the_same_twice() -> None:
    one, two = Table(), Table()
    for table in (one, two):
        worst_cases.add_edges(table, "b", "pl", 0.1, np.array([0.5]))
    assert one.text() == two.text()


def test_every_edge_is_drawn_and_those_above_are_arrows(region: Table) -> None:
    figure = worst_cases.draw_region(region)
    marked = [[line for line in axes.lines if str(line.get_marker()) != "None"] for axes in figure.axes]
    points = [sum(len(np.asarray(line.get_xdata())) for line in lines) for lines in marked]
    assert points == [8, 8, 5 + 3]
    arrows = [line for line in marked[0] if line.get_marker() == "^"]
    assert [np.asarray(line.get_xdata()).tolist() for line in arrows] == [[0.1, 0.25]]
    for axes, lines in zip(figure.axes, marked, strict=True):
        low, high = axes.get_ylim()
        for line in lines:
            y = np.asarray(line.get_ydata())
            assert ((y >= low) & (y <= high)).all()


def test_faults_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from theory.worst_case.region import Edge

    monkeypatch.setattr(
        rv, "contraction_edge", lambda *asked: Edge("pl", 0.1, asked[2], math.nan, math.nan, 1, "SCS ended early"),
        raising=False,
    )  # fmt: skip
    table = Table()
    worst_cases.add_edges(table, "b", "pl", 0.1, np.array([0.5]))
    assert table.header["solver's faults, pl, mu = 0.1"] == "gamma = 0.5, SCS ended early"


# -- brackets --


def bracket(certified: float, refuted: float, up: bool, constant: str = "rate") -> ConstantBracket:
    return ConstantBracket(
        "sgd/pl", constant, "pl", certified, refuted, up, "here", "", "", math.nan, cells=1, unsolved=0, problems=1
    )


ALL = [
    bracket(1.2, 1.5, True, "a"),
    bracket(0.5, 0.3, False, "b"),
    bracket(0.0, -math.inf, False, "c"),
    bracket(8.0, math.inf, True, "d"),
    bracket(-math.inf, 1.1, True, "e"),
    bracket(8.0, 1.0, True, "f"),
    bracket(1.0, 1.0, False, "g"),
    bracket(math.inf, 0.9, False, "h"),
]


def test_the_stored_brackets_are_shown_as_they_are() -> None:
    table = read_table(worst_cases.measure_brackets(Quality()).text())
    stored = [found for claim_id in sorted(rv.claims) for found in rv.brackets(claim_id)]
    assert stored
    assert len(table.series) == 2 * len(stored)
    for row, found in enumerate(stored):
        panel, name = LARGER if found.up else SMALLER, f"{found.claim}: {found.constant.replace('_', ' ')}"
        for role, scale in (("bound", found.certified), ("variant", found.refuted)):
            series = table.one(panel, name, role)
            assert (series.x[0], series.y[0]) == (scale, row)
        assert table.header[f"{found.constant} of {found.claim}, refuted by"] == (" ".join(found.by.split()) or "none")


def test_every_bracket_is_drawn_within_the_axes() -> None:
    (axes,) = worst_cases.draw_brackets(read_table(worst_cases.of_brackets(ALL).text())).axes
    texts = [text.get_text() for text in axes.texts]
    for found in ALL:
        assert found.constant in texts
    assert texts.count("sgd/pl  (PL)") == 1
    marks: dict[int, list[tuple[str, float]]] = {}
    for line in axes.lines:
        if str(line.get_marker()) in "<>|X":
            for x, y in zip(np.ravel(line.get_xdata()), np.ravel(line.get_ydata()), strict=True):
                assert LOW <= x <= HIGH
                marks.setdefault(int(y), []).append((str(line.get_marker()), float(x)))
    assert marks == {
        0: [(">", 1.2), ("|", 1.5)],
        1: [("<", 0.5), ("|", 0.3)],
        4: [("|", 1.1)],
        5: [("X", HIGH), ("X", 1.0)],
        6: [("<", 1.0), ("|", 1.0)],
        7: [("|", 0.9)],
    }


@pytest.mark.parametrize(
    ("certified", "refuted", "panel", "expected"),
    [
        (1.0, 1.0, LARGER, False),
        (1.2, 1.5, LARGER, False),
        (1.5, 1.2, LARGER, True),
        (1.005, 1.0, LARGER, False),
        (8.0, math.inf, LARGER, False),
        (-math.inf, 1.0, LARGER, False),
        (0.5, 0.3, SMALLER, False),
        (0.3, 0.5, SMALLER, True),
        (0.0, -math.inf, SMALLER, False),
        (math.inf, 0.9, SMALLER, False),
    ],
)
def test_what_counts_as_crossed(certified: float, refuted: float, panel: str, expected: bool) -> None:
    assert worst_cases.crossed(certified, refuted, panel) is expected


@pytest.mark.parametrize(
    ("certified", "refuted", "panel", "words"),
    [
        (1.2, 1.5, LARGER, ("1.2", "1.5")),
        (8.0, math.inf, LARGER, ("8", "none")),
        (-math.inf, 1.1, LARGER, ("none", "1.1")),
        (0.0, -math.inf, SMALLER, ("0: not needed", "none")),
        (0.0, 1.0, LARGER, ("0", "1")),
        (math.inf, 0.9, SMALLER, ("none", "0.9")),
    ],
)
def test_words(certified: float, refuted: float, panel: str, words: tuple[str, str]) -> None:
    assert worst_cases.scale_words(certified, refuted, panel) == words


# -- without the extra --


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that needs a solver, one that does not, and no extra."""
    monkeypatch.setattr(estimation, "available", lambda: False)
    figures: dict[str, Spec] = {spec.name: spec for spec in worst_cases.FIGURES}
    assert [spec.needs_solver for spec in figures.values()] == [True, False]
    monkeypatch.setattr(paper_figs.catalogue, "specs", lambda: figures)


@pytest.mark.usefixtures("without")
def test_without_the_extra_all_others_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["figures", "--out", str(tmp_path), "--jobs", "1"]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["brackets.csv", "brackets.pdf", "brackets.svg"]
    lines = " ".join(capsys.readouterr().out.split())
    assert "worst-case-region is left out: worst cases need PEPit" in lines
    assert "pip install 'ravine[worst-case]'" in lines
    assert f"1 figures in {tmp_path}" in lines


@pytest.mark.usefixtures("without")
def test_a_figure_asked_for_by_name_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figs"
    assert run_command(["figures", "brackets", "worst-case-region", "--out", str(target), "--jobs", "1"]) == 2
    shown = capsys.readouterr().err.strip()
    assert "worst-case-region: worst cases need PEPit" in shown
    assert len(shown.splitlines()) == 1
    assert not target.exists()


@pytest.mark.usefixtures("without")
def test_what_was_measured_is_drawn_again_without_the_extra(region: Table, tmp_path: Path) -> None:
    make(replace(worst_cases.FIGURES[0], measure=lambda quality: region), tmp_path)
    (tmp_path / "worst-case-region.svg").unlink()
    assert run_command(["figures", "worst-case-region", "--out", str(tmp_path), "--redraw", "--jobs", "1"]) == 0
    assert (tmp_path / "worst-case-region.svg").exists()
