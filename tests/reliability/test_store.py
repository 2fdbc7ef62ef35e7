"""The store keeps what was put: through kills, beside other processes, and without touching files that are not its."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import store as room
from experiments.store import MIGRATIONS, SCHEMA, Store, code_fingerprint
from experiments.verify.case import Case
from experiments.verify.record import case_key, evidence_as_record, evidence_from_record
from experiments.verify.verdict import Critical, Evidence, Verdict
from problems.errors import InputError
from theory.claim import claims
from theory.families import given
from theory.schedules import constant
from theory.setting import facts_of

ROOT = Path(__file__).resolve().parents[2]

AWKWARD = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, 1 / 3, 2.0**53 + 2, 1e22]


def bits(numbers: list[float]) -> list[str]:
    return [float(number).hex() for number in numbers]


def full(path: Path, fingerprint: str = "f", rows: int = 3) -> Path:
    """A store with a few rows, closed."""
    with Store.open(path, fingerprint=fingerprint) as store:
        for k in range(rows):
            store.put("claim", f"instance {k}", "route", {"k": k, "pad": "x" * 3000}, 0.5)
    return path


def refused(path: Path | str, match: str) -> None:
    """Opening the path is refused in one sentence that names the store, and the file is left as it was."""
    readable = os.path.isfile(path) and os.access(path, os.R_OK, effective_ids=True)
    before = Path(path).read_bytes() if readable else None
    with pytest.raises(InputError, match=match) as found:
        Store.open(path, fingerprint="f")
    text = str(found.value)
    assert text.startswith("store ")
    assert "\n" not in text
    assert repr(Path(path).name)[1:-1] in text
    if before is not None:
        assert Path(path).read_bytes() == before


# -- what goes in comes out --


def test_awkward_payloads_come_back_exactly(tmp_path: Path) -> None:
    text = 'quote " newline \n null \0 letters åλ€😀 lone \udcff'
    payload = {"floats": AWKWARD, "text": text, "nested": {"empty": [], "none": None, "big": 10**30, "true": True}}
    with Store.open(tmp_path / "s.db", fingerprint="f") as store:
        store.put("c", "i\n\0é", "r", payload, -0.0)
        found = store.get("c", "i\n\0é", "r")
        assert found is not None
        assert bits(found["floats"]) == bits(AWKWARD)
        assert {**found, "floats": 0} == {**payload, "floats": 0}
        assert [row[4] for row in store.rows()] == [0.0]


def test_keys_fingerprints_and_clear(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Store.open(path, fingerprint="old") as store:
        for k in range(120):
            store.put("c", f"{k:03}", "r", {"k": k}, 1.0)
        store.put("c", "007", "other route", {"k": -7}, 1.0)
        store.put("c", "007", "r", {"k": "again"}, 2.0)
    with Store.open(path, fingerprint="new") as store:
        assert (store.count(), store.other_rows()) == (0, 121)
        assert store.get("c", "007", "r") is None
        store.put("c", "007", "r", {"k": "new"}, 1.0)
        store.clear()
        assert (store.count(), store.other_rows(), list(store.rows())) == (0, 121, [])
    with Store.open(path, fingerprint="old") as store:
        rows = list(store.rows())
        assert [row[:3] for row in rows] == sorted(row[:3] for row in rows)
        assert len(rows) == store.count() == 121
        assert store.get("c", "007", "r") == {"k": "again"}
        assert store.get("c", "008", "R") is None
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.db"], "a clean close leaves one file"


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db", fingerprint="f")
    for change, match in (
        ({"payload": {"x": np.float32(1)}}, "payload must hold JSON values only.*float32"),
        ({"payload": [1]}, "payload must be a dictionary, got list"),
        ({"claim": ""}, "claim must be a text"),
        ({"instance": "lone \udcff"}, "instance must be a text.*UTF-8"),
        ({"seconds": math.nan}, "seconds must be a finite number >= 0, got nan"),
    ):
        row: dict[str, Any] = {"claim": "c", "instance": "i", "route": "r", "payload": {}, "seconds": 1.0}
        with pytest.raises(InputError, match=match):
            store.put(**{**row, **change})
    assert store.count() == 0
    store.close()
    store.close()
    with pytest.raises(InputError, match="is closed"):
        store.count()
    with pytest.raises(InputError, match="fingerprint must be a text"):
        Store.open(tmp_path / "s.db", fingerprint="")


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    with Store.open(full(tmp_path / "s.db"), fingerprint="f") as store:
        assert store._connection is not None
        store._connection.execute("PRAGMA max_page_count = 8")
        with pytest.raises(InputError, match=r"store.*s\.db.*disk is full"):
            store.put("claim", "more", "route", {"pad": "x" * 40_000}, 0.0)
        assert store.get("claim", "instance 2", "route") == {"k": 2, "pad": "x" * 3000}


def test_a_file_taken_away_is_noticed(tmp_path: Path) -> None:
    path = full(tmp_path / "s.db")
    with Store.open(path, fingerprint="f") as store:
        path.unlink()
        with pytest.raises(InputError, match="deleted or replaced"):
            store.put("c", "i", "r", {}, 0.0)


def test_a_forked_process_must_open_its_own(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", fingerprint="f") as store:
        store._process += 1
        with pytest.raises(InputError, match="forked"):
            store.count()


# -- what is refused --


def test_files_that_are_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, "is a folder")
    refused(tmp_path / "none" / "s.db", "folder that does not exist: .*none")
    refused(tmp_path / ("x" * 300), "cannot be opened")
    refused(f"{tmp_path}/nul\0", "cannot be opened")
    refused("/dev/null", "not a regular file")
    for name, content in (("one", b"x"), ("text", b"claim,instance\n" * 400), ("zeros", bytes(8192))):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "is not a store")
    monkeypatch.chdir(tmp_path)
    refused("one", "is not a store")
    with Store.open(":memory:", fingerprint="f") as store:
        store.put("c", "i", "r", {}, 0.0)
    assert (tmp_path / ":memory:").stat().st_size > 0, "a name like any other"
    (tmp_path / "empty").touch()
    full(tmp_path / "empty")
    full(full(tmp_path / "a ?mode=ro #%41 ' \udcff.db"))


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_files_of_other_applications(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "other.db"
    # Ends without closing, so that its log is still beside it and opening it in earnest would fold the log in.
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        f"c.execute('PRAGMA journal_mode = {journal}'); c.execute('CREATE TABLE results (x)'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    beside = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    refused(path, "belongs to another application")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == beside


def test_damaged_files(tmp_path: Path) -> None:
    whole = full(tmp_path / "whole.db", rows=20).read_bytes()
    for name, content, match in (
        ("stub.db", whole[:100], "is not a store"),
        ("head.db", whole[:700], "is damaged"),
        ("half.db", whole[: len(whole) // 2], "is damaged"),
        ("torn.db", whole[:8000] + os.urandom(4000) + whole[12000:], "is damaged"),
        ("scratched.db", whole[:4096] + b"\xff" * (len(whole) - 4096), "is damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, match)
    # A flipped byte inside a payload leaves the structure whole; only the checksum of the row can tell.
    assert whole.count(b'"k":7') == 1
    (tmp_path / "flipped.db").write_bytes(whole.replace(b'"k":7', b'"k":8'))
    with Store.open(tmp_path / "flipped.db", fingerprint="f") as store:
        with pytest.raises(InputError, match="is damaged"):
            store.get("claim", "instance 7", "route")
        assert store.get("claim", "instance 8", "route") is not None
    for statement in ("DROP TABLE results", "DROP TABLE meta", "DELETE FROM meta", "UPDATE meta SET value = 'x'"):
        path = full(tmp_path / f"{len(statement)}.db")
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()
        refused(path, "is damaged")


def with_schema(path: Path, schema: int) -> Path:
    connection = sqlite3.connect(full(path))
    connection.execute("UPDATE meta SET value = ?", (str(schema),))
    connection.commit()
    connection.close()
    return path


def test_other_schemas_are_refused_or_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(with_schema(tmp_path / "new.db", SCHEMA + 1), f"has schema {SCHEMA + 1} but this version reads")
    path = with_schema(tmp_path / "old.db", SCHEMA - 2)
    refused(path, f"has schema {SCHEMA - 2}")

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM results")
        raise sqlite3.OperationalError("no such column: x")

    monkeypatch.setitem(
        MIGRATIONS,
        SCHEMA - 2,
        lambda connection: connection.execute("UPDATE results SET claim = 'renamed' WHERE instance = 'instance 0'"),
    )
    refused(path, f"has schema {SCHEMA - 2}")
    monkeypatch.setitem(MIGRATIONS, SCHEMA - 1, fails)
    before = path.read_bytes()
    with pytest.raises(InputError, match="no such column"):
        Store.open(path, fingerprint="f")
    assert path.read_bytes() == before, "a migration that fails changes nothing"
    monkeypatch.setitem(MIGRATIONS, SCHEMA - 1, lambda connection: None)
    for _ in range(2):
        # The checksum covers the claim, so that this migration, which forgot it, is found out.
        with Store.open(path, fingerprint="f") as store:
            assert store.count() == 3
            assert store.get("claim", "instance 1", "route") is not None
            with pytest.raises(InputError, match="is damaged"):
                store.get("renamed", "instance 0", "route")


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """A folder of one's own; for root, whom no permission stops, with the rights of nobody."""
    with tempfile.TemporaryDirectory() as outer:
        os.chmod(outer, 0o777)
        place = Path(outer) / "place"
        root = os.geteuid() == 0
        try:
            if root:
                os.seteuid(65534)
            place.mkdir()
            yield place
        finally:
            place.chmod(0o777)
            if root:
                os.seteuid(0)


def test_missing_permissions() -> None:
    with ordinary_user() as folder:
        path = full(folder / "s.db")
        for mode in (0o444, 0o000):
            path.chmod(mode)
            refused(path, "cannot be opened for writing")
        path.chmod(0o666)
        folder.chmod(0o555)
        refused(path, "cannot be opened for writing")
        refused(folder / "new.db", "cannot be opened for writing")
        folder.chmod(0o777)
        full(path)


def test_without_shared_memory_the_default_journal_serves(tmp_path: Path) -> None:
    """A folder in the place of the shared memory stands for a file system that has none."""
    for name, made in (("new.db", False), ("old.db", True)):
        path = tmp_path / name
        if made:
            full(path)
        (tmp_path / f"{name}-shm").mkdir()
        with Store.open(full(path), fingerprint="f") as store:
            assert store.count() == 3
            assert store._run("PRAGMA journal_mode") == [("delete",)]
            assert store._run("PRAGMA synchronous") == [(2,)]
    with Store.open(tmp_path / "log.db", fingerprint="f") as store:
        assert store._run("PRAGMA journal_mode") == [("wal",)]
        assert store._run("PRAGMA synchronous") == [(2,)]


def test_a_lock_that_never_ends_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = full(tmp_path / "s.db")
    monkeypatch.setattr(room, "PATIENCE", 0.2)
    store = Store.open(path, fingerprint="f")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(InputError, match="kept locked by another process"):
        store.put("c", "i", "r", {}, 0.0)
    with pytest.raises(InputError, match="kept locked by another process"):
        Store.open(path, fingerprint="f")
    assert store.count() == 3, "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    store.put("c", "i", "r", {}, 0.0)
    store.close()


def test_looking_at_a_file_keeps_the_locks_of_this_process(tmp_path: Path) -> None:
    """Plain reading would not: closing any handle of a file drops all locks that the process holds on it."""
    path = full(tmp_path / "s.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")
    holder.execute("BEGIN IMMEDIATE")
    room._check_path(path)
    code = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "database is locked" in other.stderr
    holder.execute("ROLLBACK")
    holder.close()


# -- many at once --


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    head = f"import sys, os, random; sys.path.insert(0, {str(ROOT)!r}); from experiments.store import Store\n"
    words = [sys.executable, "-c", head + code, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def intact(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
    finally:
        connection.close()


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    code = """
name, path = sys.argv[1:]
with Store.open(path, fingerprint='f') as store:
    for k in range(200):
        store.put('c', f'{name} {k}', 'r', {'k': k, 'pad': 'x' * 2000}, 0.0)
        if k % 10 == 0:
            store.put('c', 'shared', 'r', {'k': k}, 0.0)
"""
    path = tmp_path / "s.db"
    writers = [started(code, name, path) for name in "AB"]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert intact(path)
    with Store.open(path, fingerprint="f") as store:
        assert store.count() == 401
        for name in "AB":
            for k in range(200):
                assert store.get("c", f"{name} {k}", "r") == {"k": k, "pad": "x" * 2000}


def test_threads_write_at_once(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", fingerprint="f") as store:
        seen: list[int] = []

        def work(name: int) -> None:
            for k in range(50):
                store.put("c", f"{name} {k}", "r", {"k": k}, 0.0)
                found = store.get("c", f"{name} {k}", "r")
                assert found is not None
                seen.append(found["k"] + sum(1 for _ in store.rows()) * 0)

        workers = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(seen) == sorted(list(range(50)) * 4)
        assert store.count() == 200


KILLED = """
folder, round = sys.argv[1:]
draw = random.Random(round)
number = 0
while True:
    # The common store is opened again and again, and new ones are made, so that kills fall there too.
    for name in ('common', f'own {round} {number}'):
        with Store.open(f'{folder}/{name}.db', fingerprint='f') as store:
            for _ in range(draw.randrange(1, 10)):
                store.put('c', f'{round} {number}', 'r', {'n': number, 'pad': 'x' * draw.randrange(20000)}, 0.0)
                os.write(1, f'{name}/{number}\\n'.encode())
                number += 1
"""


def test_kills_lose_nothing_and_spoil_nothing(tmp_path: Path) -> None:
    draw = random.Random(20)
    promised: dict[str, set[tuple[int, int]]] = {}
    for turn in range(24):
        child = started(KILLED, tmp_path, turn)
        assert child.stdout is not None
        printed = "".join(child.stdout.readline() for _ in range(draw.randrange(1, 30)))
        time.sleep(draw.uniform(0.0, 0.005))
        child.send_signal(signal.SIGKILL)
        printed += child.communicate()[0]
        assert child.returncode == -signal.SIGKILL
        for line in printed[: printed.rfind("\n")].splitlines():
            name, _, number = line.rpartition("/")
            promised.setdefault(name, set()).add((turn, int(number)))
    assert sum(map(len, promised.values())) > 200
    assert len(promised) > 24, "kills fell beside the making of stores"
    files = sorted(tmp_path.glob("*.db"))
    assert {file.stem for file in files} >= set(promised)
    for file in files:
        assert intact(file)
        with Store.open(file, fingerprint="f") as store:
            rows = {instance: payload["n"] for _, instance, _, payload, _ in store.rows()}
        for turn, promise in promised.get(file.stem, set()):
            assert rows[f"{turn} {promise}"] == promise
    # A kill while a store is made may leave an empty journal, which the next opening ignores.
    assert {file.suffix for file in tmp_path.iterdir()} <= {".db", ".db-journal"}


# -- fingerprints --


def test_the_fingerprint_follows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = code_fingerprint()
    assert plain == code_fingerprint() == code_fingerprint([])
    assert len(plain) == 16
    int(plain, 16)
    plugin = tmp_path / "plugin.py"
    plugin.write_text("x = 1\n")
    first = code_fingerprint([plugin])
    assert first not in (plain, "")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "plugin.py").write_text("x = 1\n")
    assert code_fingerprint([moved / "plugin.py"]) == first, "folders do not count"
    plugin.write_text("x = 2\n")
    assert code_fingerprint([plugin]) != first
    with pytest.raises(InputError, match=r"extra names a file that cannot be read: .*none\.py"):
        code_fingerprint([tmp_path / "none.py"])
    for change in ("version", "platform.machine"):
        room._own_fingerprint.cache_clear()
        monkeypatch.setattr(f"experiments.store.{change}", lambda *arguments: "0")
        assert code_fingerprint() != plain
        monkeypatch.undo()
    # A copy of the sources with one byte added to one of them.
    copies = tmp_path / "problems"
    copies.mkdir()
    for file in (ROOT / "problems").glob("*.py"):
        (copies / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr("problems.__file__", str(copies / "__init__.py"))
    room._own_fingerprint.cache_clear()
    assert code_fingerprint() == plain
    (copies / "kernel.py").write_bytes((copies / "kernel.py").read_bytes() + b"#")
    room._own_fingerprint.cache_clear()
    assert code_fingerprint() != plain
    monkeypatch.undo()
    room._own_fingerprint.cache_clear()


# -- evidence --


def some_evidence() -> Evidence:
    # JSON keeps no sign of NaN.
    curve = np.array(AWKWARD)
    return Evidence(
        route="Monte Carlo",
        verdict=Verdict.CONSISTENT,
        reason="a clause",
        instance="quadratic / full",
        origin="tight",
        replay="--problem quadratic",
        at=17.0,
        measured=np.float64(0.1),
        bound=math.inf,
        error=math.nan,
        replicates=64,
        critical={"rate": Critical(1.25, math.inf, True), "noise": Critical(0.5, 0.5, False)},
        abscissa=np.array([0, 2**62, 9007199254740993], dtype=np.int64),
        measured_curve=curve,
        bound_curve=np.where(np.isnan(curve), curve, -curve),
        error_curve=np.zeros(0),
    )


def test_evidence_comes_back_exactly(tmp_path: Path) -> None:
    for verdict in Verdict:
        evidence = replace(some_evidence(), verdict=verdict)
        with Store.open(tmp_path / "s.db", fingerprint="f") as store:
            store.put("c", verdict.value, "r", evidence_as_record(evidence), 0.0)
            record = store.get("c", verdict.value, "r")
        assert record is not None
        found = evidence_from_record(record)
        for field in fields(Evidence):
            before, after = getattr(evidence, field.name), getattr(found, field.name)
            if isinstance(before, np.ndarray):
                assert before.dtype == after.dtype
                assert before.tobytes() == after.tobytes()
            else:
                assert repr(after) == repr(before).replace("np.float64(0.1)", "0.1"), field.name
        assert json.dumps(found.as_json()) == json.dumps(evidence.as_json())


def test_records_of_another_shape_are_refused() -> None:
    record = evidence_as_record(some_evidence())
    for broken, match in (
        ({}, "record must hold route, verdict.*got nothing"),
        ({**record, "more": 1}, "record must hold"),
        ({**record, "verdict": "proved"}, "proved"),
        ({**record, "abscissa": ["x"]}, "value that evidence cannot have"),
        ({**record, "critical": 3}, "value that evidence cannot have"),
    ):
        with pytest.raises(InputError, match=match):
            evidence_from_record(broken)


def test_keys_tell_cases_apart() -> None:
    claim = claims["unified-sam/pl-constant"]

    def case(sampling: str = "uniform", **options: Any) -> Case:
        instance = given(claim, "parabolas:h=1/3,slopes=1/-1", sampling, gamma=0.05, steps=20, **options)
        return Case(claim, instance.setting, facts_of(instance.setting), 20)

    def key(case: Case, route: str = "one-step", seed: int = 0, **options: Any) -> str:
        return case_key(case, route, seed=seed, **{"instances": 3, "budget": 1e6, **options})

    plain = case()
    variants = {
        "itself": key(plain),
        "another start": key(case(x0="scaled:2")),
        "another lam": key(case(lam="0.25")),
        "another sampling": key(case("single:p=0.25/0.75")),
        "another fact": key(replace(plain, facts=replace(plain.facts, C=0.5))),
        "another schedule in the facts": key(replace(plain, facts=replace(plain.facts, gamma=constant(0.06)))),
        "other limits of lam": key(
            replace(plain, facts=replace(plain.facts, lam=replace(plain.facts.lam, largest=0.6)))
        ),
        "scaled": key(replace(plain, scale={"rate": 2.0})),
        "longer": key(replace(plain, steps=21)),
        "a control": key(plain, control="no noise"),
        "sampled": key(plain, "trajectory"),
        "sampled with another seed": key(plain, "trajectory", seed=1),
        "sampled beside others": key(plain, "trajectory", instances=4),
    }
    # Equal only where the evidence is: the route is a column of its own, so `sampled` may share no key by accident.
    assert len(set(variants.values())) == len(variants)
    assert key(case()) == key(plain)
    assert key(plain, seed=1, instances=9) == key(plain), "exact evidence depends on neither"
    assert key(case("full"), "trajectory", seed=1) == key(case("full"), "trajectory")
