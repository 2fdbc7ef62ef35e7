"""A sweep means what its file says: axes, draws, cells, results, the table and the figure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from experiments.engine.run import simulate
from experiments.store import Store
from experiments.sweep.axes import RULES
from experiments.sweep.cell import DIED, FAILED, digest_of, result_of, run_cell, with_files
from experiments.sweep.check import check_sweep
from experiments.sweep.columns import COMPARED, MEASURED
from experiments.sweep.figure import axes_to_draw, sweep_figure
from experiments.sweep.run import TRIES, failures, run_sweep
from experiments.sweep.spec import Sweep, read_sweep, sweep_of
from experiments.sweep.table import Column, columns_of, write_csv, write_parquet
from experiments.sweep.work import Chunk, Done, Lost, Orders, packed, run_chunk
from problems.errors import InputError
from theory.claim import Measure, claims
from theory.families import problem_of
from theory.methods.method import methods
from theory.samplings import samplings
from theory.setting import facts_of, make_setting

ROOT = Path(__file__).resolve().parents[2]
QUADRATIC = "quadratic:d=4,mu=0.2,L=2"


def sweep(**changes: Any) -> Sweep:
    """A small grid; axes are merged, other keys replaced."""
    axes = {"problem": QUADRATIC, "method": "unified-sam:lam=0.5", "gamma": [0.1, 0.5], "rho": [0.0, 0.1, 0.2]}
    axes |= changes.pop("axes", {})
    return sweep_of({"steps": 20, "axes": axes} | changes)


class Here:
    """A pool of no processes: computes here, counts, and can lose chunks that hold certain cells."""

    size = 2

    def __init__(self, *, deadly: frozenset[int] = frozenset(), lose_once: frozenset[int] = frozenset()) -> None:
        self.deadly, self.lose_once = deadly, set(lose_once)
        self.cells: list[int] = []
        self.cuts: list[tuple[int, ...]] = []

    def run(self, chunks: Iterator[Chunk]) -> Iterator[Done | Lost]:
        # The last come first: the order of finishing must not matter.
        for chunk in reversed(list(chunks)):
            self.cuts.append(chunk.numbers)
            once = self.lose_once & set(chunk.numbers)
            if once or self.deadly & set(chunk.numbers):
                self.lose_once -= once
                yield Lost(chunk, 1)
                continue
            self.cells += chunk.numbers
            yield Done(chunk, [(run_cell(cell), 0.25) for cell in chunk.cells])


# -- axes and cells --


def test_a_grid_takes_every_combination_with_the_last_axis_fastest() -> None:
    grid = sweep(axes={"seed": [3, 4], "lam": {"from": 0, "to": 1, "count": 3}})
    assert len(grid) == 3 * 2 * 3 * 2
    places = [grid.values(number) for number in range(len(grid))]
    assert [place["seed"] for place in places[:4]] == [3, 4, 3, 4]
    assert [place["rho"] for place in places[:6]] == [0.0, 0.0, 0.1, 0.1, 0.2, 0.2]
    assert [place["lam"] for place in places[::12]] == [0.0, 0.5, 1.0]
    assert len({tuple(place.values()) for place in places}) == len(grid)
    assert len({grid.cell(number).key for number in range(len(grid))}) == len(grid)
    assert list(RULES)[-1] == "seed"


def test_ranges_hold_both_ends() -> None:
    grid = sweep(axes={"gamma": {"from": 0.01, "to": 4, "count": 5, "scale": "log"}, "rho": 0.1})
    found = [float(grid.values(number)["gamma"]) for number in range(5)]
    assert (found[0], found[-1]) == (0.01, 4.0)
    assert np.allclose(np.diff(np.log(found)), math.log(400) / 4, rtol=1e-12)  # a few roundings of the logarithm
    linear = sweep(axes={"rho": {"from": 0.0, "to": 1.0, "count": 3}})
    assert linear.axis("rho").values == (0.0, 0.5, 1.0)  # type: ignore[union-attr]
    seeds = sweep(axes={"seed": {"from": 5, "to": 8}})
    assert seeds.axis("seed").values == (5, 6, 7, 8)  # type: ignore[union-attr]
    whole = sweep(
        axes={"problem": "quadratic:d={d},mu=0.5,L=1"},
        variables={"d": {"from": 2, "to": 200, "count": 5, "scale": "log", "whole": True}},
    )
    assert whole.axes[0].values == (2, 6, 20, 63, 200)
    assert whole.cell(len(whole) - 1).problem == "quadratic:d=200,mu=0.5,L=1"


def test_variables_stand_where_they_are_named() -> None:
    grid = sweep(
        axes={"problem": "quadratic:d=3,mu={mu},L=1", "sampling": "full", "method": "{rule}", "rho": 0.1},
        variables={"mu": [0.1, 0.25], "rule": ["sam", "usam"]},
    )
    cells = [grid.cell(number) for number in range(len(grid))]
    assert [cell.problem for cell in cells[::4]] == ["quadratic:d=3,mu=0.1,L=1", "quadratic:d=3,mu=0.25,L=1"]
    assert [cell.method for cell in cells[::2]] == ["sam", "usam", "sam", "usam"]


DRAW: dict[str, Any] = {
    "gamma": {"from": 0.001, "to": 1.0, "scale": "log"},
    "rho": {"from": 1.0, "to": 3.0},
    "lam": [0.0, 0.5, 1.0],
    "seed": {"from": 0, "to": 9},
}


def test_draws_have_their_distributions() -> None:
    drawn = sweep(axes=DRAW, draw={"count": 2000, "seed": 4})
    assert len(drawn) == 2000
    places = [drawn.values(number) for number in range(2000)]
    gamma, rho, lam, seed = (np.array([float(place[name]) for place in places]) for name in DRAW)
    assert gamma.min() >= 0.001
    assert gamma.max() <= 1.0
    # Means of 2000 uniform draws lie within four standard errors, 4/sqrt(12 * 2000) = 2.6 % of the range.
    assert abs(np.log10(gamma).mean() + 1.5) < 0.026 * 3
    assert abs(rho.mean() - 2.0) < 0.026 * 2
    for value in (0.0, 0.5, 1.0):
        # Four standard deviations of a count with p = 1/3.
        assert abs((lam == value).sum() - 2000 / 3) < 4 * math.sqrt(2000 * 2 / 9)
    assert set(seed) == set(range(10))
    assert abs(np.corrcoef(np.log(gamma), rho)[0, 1]) < 4 / math.sqrt(2000)  # axes are independent


def test_a_longer_draw_or_another_axis_changes_no_cell() -> None:
    short, long = (sweep(axes=DRAW, draw={"count": count, "seed": 4}) for count in (10, 50))
    assert [short.cell(number) for number in range(10)] == [long.cell(number) for number in range(10)]
    fewer = sweep(axes=DRAW | {"lam": 0.5}, draw={"count": 10, "seed": 4})
    assert [fewer.cell(k) for k in range(10)] == [replace(short.cell(k), lam=0.5) for k in range(10)]
    other = sweep(axes=DRAW, draw={"count": 10, "seed": 5})
    assert all(other.cell(number).gamma != short.cell(number).gamma for number in range(10))


def test_a_cells_key_tells_apart_what_gives_other_results(tmp_path: Path) -> None:
    cell = sweep(axes={"gamma": {"values": [0.5], "unit": "1/L"}}).cell(0)
    changes: dict[str, Any] = {
        "problem": "quadratic:d=5,mu=0.2,L=2", "sampling": "uniform", "method": "sam", "x0": "zeros",
        "gamma": cell.gamma._replace(unit="1"), "rho": cell.gamma, "lam": 0.5, "seed": 1, "steps": 21,
        "replicates": 2, "claim": "unified-sam/pl-constant", "target": 0.5, "files": (("a", "b"),),
    }  # fmt: skip
    others = [replace(cell, **{name: value}) for name, value in changes.items()]
    assert len({cell.key, *(other.key for other in others)}) == 1 + len(others) == 1 + len(cell.__dataclass_fields__)
    data = tmp_path / "a.csv"
    keys = set()
    for text in ("1,2\n3,5\n", "1,2\n3,4\n"):
        data.write_text(text)
        digest_of.cache_clear()
        from experiments.sweep.cell import _files_in

        _files_in.cache_clear()
        named = with_files(replace(cell, problem=f"ridge:file={data},reg=0.1"))
        assert [path for path, _ in named.files] == [str(data)]
        keys.add(named.key)
    assert len(keys) == 2, "other contents are another cell"
    stale = replace(named, files=((str(data), "0" * 16),))
    assert "is not the one that the sweep was started with" in run_cell(stale)["reason"]


# -- results, against the engine and the claims themselves --


def test_a_cell_is_the_run_that_it_names() -> None:
    grid = sweep(axes={"gamma": {"values": [0.5], "unit": "1/L"}, "rho": {"values": [0.1], "unit": "1/L"}, "lam": 0.25})
    found = result_of(grid.cell(0))
    problem = problem_of(QUADRATIC)
    setting = make_setting(problem, method=methods.build("sam"), gamma=0.25, rho=0.05, lam=0.25)
    run = simulate(setting, steps=20, threads=1)
    assert (found["gamma"], found["rho"], found["lam"]) == (0.25, 0.05, 0.25)
    assert found["gap_start"] == run.gap[0, 0]
    assert found["gap_end"] == run.gap[0, -1]
    assert found["gap_largest"] == run.gap.max()
    assert (found["gap_end_error"], found["replicates"], found["diverged"]) == (0.0, 1, 0)
    assert found["contracted"]
    # Twenty multiplications and one root, each to half an ulp.
    assert found["factor"] ** 20 == pytest.approx(run.gap[0, -1] / run.gap[0, 0], rel=1e-12)


def test_random_cells_have_means_and_errors() -> None:
    problem = "quadratic-sum:n=4,d=2"
    grid = sweep(axes={"problem": problem, "sampling": "uniform", "gamma": 0.05, "rho": 0.1, "seed": 7}, replicates=9)
    found = result_of(grid.cell(0))
    made = problem_of(problem)
    setting = make_setting(
        made, sampling=samplings.build("uniform", problem=made), method=methods.build("unified-sam:lam=0.5"),
        gamma=0.05, rho=0.1,
    )  # fmt: skip
    end = simulate(setting, steps=20, replicates=9, seed=7, threads=2).gap[:, -1]
    assert found["gap_end"] == end.mean()
    assert found["gap_end_error"] == end.std(ddof=1) / 3
    assert found["replicates"] == 9
    single = result_of(replace(grid.cell(0), replicates=1))
    assert single["gap_end_error"] is None, "one copy of a random run tells nothing of its error"


def test_divergence_is_counted_and_dated() -> None:
    found = result_of(replace(sweep(axes={"gamma": 100.0, "rho": 0.1}).cell(0), steps=2000))
    assert (found["diverged"], found["gap_end"], found["contracted"], found["factor"]) == (1, math.inf, False, None)
    assert 0 < found["first_divergence"] < 2000
    assert found["gap_largest"] > 1e100


@pytest.mark.parametrize("gamma", [0.2, 5.0])
def test_a_claim_is_asked_for_its_hypotheses_and_its_bound(gamma: float) -> None:
    name = "unified-sam/pl-deterministic"
    grid = sweep(claim=name, axes={"gamma": {"values": [gamma], "unit": "1/L"}, "rho": 0.05})
    found = result_of(grid.cell(0))
    setting = make_setting(
        problem_of(QUADRATIC), method=methods.build("unified-sam:lam=0.5"), gamma=gamma / 2, rho=0.05
    )
    claim, facts = claims[name], facts_of(setting)
    assert found["admissible"] is claim.admits(facts) is (gamma < 1)
    assert found["measured"] == found["gap_end"]
    if found["admissible"]:
        assert found["bound"] == claim.bound(facts, np.array([20]))[0]
        assert found["ratio"] == found["measured"] / found["bound"] <= 1
    else:
        assert found["failed_hypothesis"].startswith("gamma: 2.5 must be <= ")
        assert found["bound"] is found["ratio"] is None


def test_weighted_averages_are_over_every_step() -> None:
    """Against gradients by NumPy at all iterates, with the weights of the claim."""
    name = "unified-sam/nonconvex"
    problem = "quadratic-sum:n=4,d=2"
    axes = {"problem": problem, "sampling": "uniform", "gamma": 0.01, "rho": 0.01}
    grid = sweep(claim=name, axes=axes, replicates=3)
    found = result_of(grid.cell(0))
    made = problem_of(problem)
    setting = make_setting(
        made, sampling=samplings.build("uniform", problem=made), method=methods.build("unified-sam:lam=0.5"),
        gamma=0.01, rho=0.01,
    )  # fmt: skip
    run = simulate(setting, steps=20, times=np.arange(20), replicates=3, threads=1, iterates=True)
    growth = claims[name].growth
    assert growth is not None
    weights = (1 + growth(facts_of(setting))) ** -(np.arange(20) + 1.0)
    norms = [[float((made.gradient(x) ** 2).sum()) for x in copy] for copy in run.points]
    # Sums of twenty positive terms.
    assert found["measured"] == pytest.approx(np.mean(norms @ weights / weights.sum()), rel=1e-12)


def test_distances_are_to_the_minimiser() -> None:
    (name, *_) = [name for name, claim in claims.items() if claim.measure is Measure.DISTANCE and claim.curve]
    axes = {"problem": "ridge:data=diabetes,reg=0.1,scale=rows", "sampling": "uniform", "gamma": 0.02}
    content = {"steps": 20, "replicates": 5, "claim": name, "axes": axes}
    found = result_of(sweep_of(content).cell(0))
    made = problem_of(axes["problem"])
    method = methods.build(claims[name].method)
    setting = make_setting(made, sampling=samplings.build("uniform", problem=made), method=method, gamma=0.02)
    x = simulate(setting, steps=20, replicates=5, threads=1).x
    assert made.minimiser is not None
    assert made.minimiser.any()
    # Sums of ten squares each.
    assert found["measured"] == pytest.approx(((x - made.minimiser) ** 2).sum(axis=1).mean(), rel=1e-12)


def test_what_goes_wrong_in_a_cell_is_its_row() -> None:
    cell = sweep().cell(0)
    for change, sentence in (
        ({"problem": "quadratic:d=4,mu=3,L=2"}, "mu must be at most L = 2.0, got mu = 3.0"),
        ({"x0": "1/2"}, "x0 must have shape (4,), got shape (2,)"),
        ({"claim": "sgd/pl", "method": "sam"}, "sgd/pl speaks of sgd, got method 'sam'; write sgd"),
        ({"steps": 10**15, "claim": "unified-sam/nonconvex"}, "MemoryError: "),
    ):
        row = run_cell(replace(cell, **change))
        assert row["status"] == FAILED
        assert row["reason"].startswith(sentence), row["reason"]
        assert "\n" not in row["reason"]


# -- running --


def test_results_depend_on_no_cut_no_order_and_no_loss() -> None:
    grid = sweep(axes={"gamma": {"from": 0.1, "to": 0.9, "count": 9}})
    plain = run_sweep(grid, Here())
    assert plain == [run_cell(grid.cell(number)) for number in range(len(grid))]
    shaky = Here(lose_once=frozenset({0, 5, 17}))
    assert run_sweep(grid, shaky) == plain
    assert sorted(shaky.cells) == list(range(len(grid))), "each cell was finished once"
    assert shaky.cuts != sorted(shaky.cuts), "the cuts were not in order"


def test_a_cell_that_kills_its_workers_is_given_up_alone() -> None:
    grid = sweep(axes={"gamma": {"from": 0.1, "to": 0.9, "count": 9}})
    said: list[str] = []
    pool = Here(deadly=frozenset({13}))
    rows = run_sweep(grid, pool, say=said.append)
    assert [number for number, _ in failures(rows)] == [13]
    assert rows[13]["status"] == DIED
    assert pool.cuts.count((13,)) >= TRIES - 1
    plain = run_sweep(grid, Here())
    assert [row for number, row in enumerate(rows) if number != 13] == plain[:13] + plain[14:]
    assert any("cell 13 is given up" in sentence for sentence in said)


def test_a_wider_grid_reuses_cells_of_the_store(tmp_path: Path) -> None:
    narrow, wide = (sweep(axes={"gamma": values}) for values in ([0.1, 0.5], [0.1, 0.3, 0.5]))
    with Store.open(tmp_path / "s.db", fingerprint="f") as store:
        run_sweep(narrow, Here(), store=store)
        pool = Here()
        rows = run_sweep(wide, pool, store=store, resume=True)
        assert sorted(pool.cells) == [3, 4, 5], "only gamma = 0.3 is new"
        assert rows == run_sweep(wide, Here())
        assert store.count() == 9
        again = Here()
        assert run_sweep(wide, again, store=store) == rows
        assert len(again.cells) == 9, "without resume everything is run"
    with Store.open(tmp_path / "s.db", fingerprint="other code") as store:
        pool = Here()
        run_sweep(narrow, pool, store=store, resume=True)
        assert len(pool.cells) == 6, "results of other code are never mixed in"


def test_resume_gives_cells_whose_worker_died_another_chance(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", fingerprint="f") as store:
        rows = run_sweep(sweep(), Here(deadly=frozenset({2})), store=store)
        assert rows[2]["status"] == DIED
        pool = Here()
        assert failures(run_sweep(sweep(), pool, store=store, resume=True)) == []
        assert pool.cells == [2]


def test_rows_are_stored_together_or_not_at_all(tmp_path: Path) -> None:
    good = ("c", "i", "r", {"x": 1.0}, 0.5)
    with Store.open(tmp_path / "s.db", fingerprint="f") as store:
        for bad in (("c", "", "r", {}, 0.0), ("c", "j", "r", {"x": {1}}, 0.0), ("c", "j", "r", {}, math.nan)):
            with pytest.raises(InputError):
                store.put_all([good, bad])
            assert store.count() == 0
        store.put_all([("c", f"i {k}", "r", {"k": k}, 0.0) for k in range(1201)])
        assert store.count() == 1201
        assert store.get("c", "i 1200", "r") == {"k": 1200}
        store.put_all([])


def test_a_worker_with_other_code_refuses() -> None:
    with pytest.raises(InputError, match=r"runs code with the fingerprint [0-9a-f]{16} and this process 0000"):
        run_chunk(Orders("0" * 16), packed(Chunk((0,), (sweep().cell(0),))))


# -- the table and the figure --


def table(grid: Sweep, rows: list[dict[str, Any]]) -> tuple[list[Column], list[dict[str, str]]]:
    columns = columns_of(grid, rows)
    stream = io.BytesIO()
    write_csv(columns, stream)
    return columns, list(csv.DictReader(io.StringIO(stream.getvalue().decode())))


def test_the_table_has_a_row_a_cell_and_every_bit() -> None:
    grid = sweep(
        claim="unified-sam/pl-deterministic",
        axes={"problem": "quadratic:d={d},mu=0.2,L=2", "gamma": {"values": [0.1, 100.0, 1 / 3], "unit": "1/L"}},
        variables={"d": [3, 4]},
    )
    rows = run_sweep(grid, Here(deadly=frozenset({4})))
    columns, lines = table(grid, rows)
    names = [column.name for column in columns]
    assert names[:12] == [
        "cell", "d", "problem", "sampling", "method", "lam", "x0", "gamma", "gamma_times_L", "rho", "seed", "steps",
    ]  # fmt: skip
    assert names[12:] == [*MEASURED, "claim", *COMPARED]
    assert [int(line["cell"]) for line in lines] == list(range(len(grid)))
    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        assert line["problem"] == grid.cell(number).problem
        assert float(line["gamma_times_L"]) == grid.values(number)["gamma"]
        assert line["status"] == row["status"]
        if number == 4:
            assert line["gamma"] == line["gap_end"] == line["contracted"] == ""
        else:
            assert float(line["gap_end"]).hex() == row["gap_end"].hex()
            assert float(line["gamma"]) == grid.values(number)["gamma"] / 2  # type: ignore[operator]
            assert line["contracted"] == str(row["contracted"]).lower()
            assert line["first_divergence"] == ("" if row["first_divergence"] is None else str(row["first_divergence"]))


def test_parquet_holds_what_the_csv_holds() -> None:
    grid = sweep(
        claim="unified-sam/pl-constant",
        axes={"gamma": [0.1, "cosine:start=0.2,end=0.1,steps=20", 100.0], "lam": 0.5},
    )
    rows = run_sweep(grid, Here(deadly=frozenset({1})))
    columns, lines = table(grid, rows)
    stream = io.BytesIO()
    write_parquet(columns, stream)
    found = pyarrow.parquet.read_table(io.BytesIO(stream.getvalue())).to_pylist()
    assert [list(entry) for entry in found] == [list(line) for line in lines]
    for entry, line in zip(found, lines, strict=True):
        for name, value in entry.items():
            text = line[name]
            if isinstance(value, bool):
                assert text == str(value).lower()
            elif isinstance(value, float):
                assert float(text).hex() == value.hex()
            else:
                assert text == ("" if value is None else str(value))
    assert {entry["gamma"] for entry in found} == {"0.1", "cosine:start=0.2,end=0.1,steps=20", "100"}


def test_the_figure_outlines_both_regions() -> None:
    grid = sweep(
        claim="unified-sam/pl-deterministic", target=0.5, steps=50,
        axes={
            "gamma": {"from": 0.1, "to": 20, "count": 6, "scale": "log", "unit": "1/L"},
            "rho": {"from": 0.0, "to": 2.0, "count": 5},
        },
    )  # fmt: skip
    rows = run_sweep(grid, Here())
    figure = sweep_figure(grid, rows)
    panel = figure.axes[0]
    assert (panel.get_xscale(), panel.get_yscale()) == ("linear", "log")
    assert panel.get_xlabel() == r"radius $\rho$"
    assert panel.get_ylabel() == r"step size $\gamma$ in units of 1/L"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["measured: gap ends below 50 % of its start", "theorem: unified-sam/pl-deterministic"]
    for bad in (sweep(axes={"seed": [1, 2]}), sweep(axes=DRAW, draw={"count": 3}), sweep(axes={"rho": 0.1})):
        with pytest.raises(InputError, match=r"^figure needs a grid"):
            axes_to_draw(bad)


# -- the documented example --


def test_the_example_shows_the_theorem_inside_the_measured_region() -> None:
    region = read_sweep(ROOT / "examples" / "unified_sam_region.toml")
    check_sweep(region)
    assert len(region) == 10_000
    axes_to_draw(region)
    rows = [result_of(region.cell(number)) for number in range(0, 10_000, 101)]
    admitted = [row for row in rows if row["admissible"]]
    assert len(admitted) >= 20
    # Far above the rounding floor: the bound is at least its neighbourhood, which is 1e-2 here or more.
    assert all(row["contracted"] and row["measured"] <= row["bound"] for row in admitted)
    assert any(row["contracted"] and not row["admissible"] for row in rows), "the theorem leaves room"
    assert any(not row["contracted"] for row in rows)
