"""Results that survive a crash: an SQLite file with one row per code fingerprint, claim, instance and route.

A row is on the disk when `put` returns, and no kill loses or spoils it. Any number of threads and processes may write
at once. While the file is in use, or after a kill, `-wal` and `-shm` files lie beside it: they belong to it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sqlite3
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import experiments
import problems
import theory
from problems.errors import InputError

SCHEMA = 1
"""Of the tables below. Whoever changes them adds 1 and a migration."""

MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""MIGRATIONS[k] turns schema k into k + 1, inside a transaction that it neither begins nor ends."""

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE results (fingerprint TEXT NOT NULL, claim TEXT NOT NULL, instance TEXT NOT NULL, "
    "route TEXT NOT NULL, payload TEXT NOT NULL, seconds REAL NOT NULL, checksum INTEGER NOT NULL, "
    "PRIMARY KEY (fingerprint, claim, instance, route))",
)

APPLICATION = 0x52415631
"""SQLite's application id of a store: `RAV1`."""

SMALLEST = 512
"""Bytes of the smallest SQLite file that is not empty."""

ROWS_AT_ONCE = 500
"""Of one statement: 3500 parameters, where SQLite allows 32766."""

PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""

DAMAGED = "is damaged; name another file, or delete it to start again"
CLOSED_TO_US = "cannot be opened for writing; it and its folder must be readable and writable"
HELD = f"was kept locked by another process for {PATIENCE:.0f} seconds; end that process and try again"
FAULTS = {
    sqlite3.SQLITE_ERROR: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_PERM: CLOSED_TO_US,
    sqlite3.SQLITE_READONLY: CLOSED_TO_US,
    sqlite3.SQLITE_CANTOPEN: CLOSED_TO_US,
    sqlite3.SQLITE_BUSY: HELD,
    sqlite3.SQLITE_LOCKED: HELD,
    sqlite3.SQLITE_FULL: "cannot take another row because the disk is full; make room and try again",
    sqlite3.SQLITE_IOERR: "cannot be read or written because the disk fails or is full; what was put before is kept",
}

ONLY_SHOW = ("report", "bench")
"""Folders of `experiments` on which no result depends: they show results, or time the rest."""

LIBRARIES = ("numpy", "scipy", "scikit-learn", "numba", "llvmlite")

Row = tuple[str, str, str, dict[str, Any], float]
T = TypeVar("T")


# -- the code that made a result --


def _digest(parts: Iterator[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, content in parts:
        total.update(f"{len(name)} {name} {len(content)} ".encode(errors="surrogateescape") + content)
    return total.hexdigest()[:16]


@lru_cache(maxsize=1)
def _own_fingerprint() -> str:
    def parts() -> Iterator[tuple[str, bytes]]:
        for package in (problems, theory, experiments):
            folder = Path(str(package.__file__)).parent
            for file in sorted(file for ending in ("py", "json") for file in folder.rglob(f"*.{ending}")):
                if folder.name == "experiments" and file.relative_to(folder).parts[0] in ONLY_SHOW:
                    continue
                yield f"{package.__name__}/{file.relative_to(folder).as_posix()}", file.read_bytes()
        for library in LIBRARIES:
            try:
                yield library, version(library).encode()
            except PackageNotFoundError:
                yield library, b"absent"
        yield "machine", f"{platform.python_version()} {platform.system()} {platform.machine()}".encode()

    return _digest(parts())


def code_fingerprint(extra: Sequence[Path] = ()) -> str:
    """16 hexadecimal digits that change with the sources of the laboratory, the libraries, Python, or the machine.

    extra: further files on which the results depend (a plugin, a data set); their names and contents count, their
    folders do not. Raises InputError when one cannot be read.
    """

    def parts() -> Iterator[tuple[str, bytes]]:
        yield "ravine", _own_fingerprint().encode()
        for file in sorted(map(Path, extra), key=lambda file: (file.name, str(file))):
            try:
                yield file.name, file.read_bytes()
            except OSError as error:
                raise InputError(f"extra names a file that cannot be read: {str(file)!r} ({error.strerror})") from None

    return _digest(parts()) if extra else _own_fingerprint()


# -- the file --


def _refusal(path: Path, clause: str) -> InputError:
    return InputError(f"store {str(path)!r} {clause}")


def _code(error: sqlite3.Error) -> int:
    """The primary error code of SQLite, 0 for errors that Python raised itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _fault(path: Path, error: sqlite3.Error) -> InputError:
    """An error of SQLite as one sentence."""
    return _refusal(path, FAULTS.get(_code(error), f"cannot be used: {' '.join(str(error).split())}"))


WAITING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _patiently(call: Callable[[], T]) -> T:
    """call(), again and again while another process holds the file, for as long as PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except sqlite3.OperationalError as error:
            if _code(error) not in WAITING or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _check_path(path: str | Path) -> Path:
    """The absolute path of a store or of a file still to be made; InputError for anything else that lies there."""
    given = Path(path)
    target = given.absolute()
    try:
        if not target.parent.is_dir():
            raise _refusal(given, f"lies in a folder that does not exist: {str(given.parent)!r}")
        found = target.stat()
    except FileNotFoundError:
        return target
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise _refusal(given, f"cannot be opened ({reason}); name a file that can be read and written") from None
    if stat.S_ISDIR(found.st_mode):
        raise _refusal(given, "is a folder; name a file")
    if not stat.S_ISREG(found.st_mode):
        raise _refusal(given, "is not a regular file; name another file")
    if found.st_size:
        _check_owner(target, found.st_size)
    return target


def _check_owner(path: Path, size: int) -> None:
    """Refuse a file that is not ours, before SQLite takes one of a few bytes for an empty one or tidies up after
    another application. The making of a store writes the first page once, with our number in it.

    Immutable: without locks, journals or any writing. Plain reading would, on closing the file, drop the locks that
    this process holds on it.
    """
    no_store = _refusal(path, "is not a store (nor any other SQLite file); name another file")
    if size < SMALLEST:
        raise no_store
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_NOTADB:
            raise no_store from None
        return  # Any other error is met again, and said, when the file is opened in earnest.
    if application != APPLICATION:
        raise _refusal(path, "belongs to another application; name another file")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=min(PATIENCE, 5.0), isolation_level=None, check_same_thread=False)
    # Undecodable text then fails the checksum of its row instead of raising.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> bool:
    """Make the tables of a new file or bring those of an old one up to date, in one transaction. True: it was new."""
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _refusal(path, DAMAGED)
    connection.execute("BEGIN IMMEDIATE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    new = not found and application == 0
    if new:
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        for table in TABLES:
            connection.execute(table)
        connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
    elif application != APPLICATION:
        raise _refusal(path, "belongs to another application; name another file")
    else:
        _migrate(connection, path)
        # Deletes nothing, but a file that may only be read says so, and one that lacks the table.
        connection.execute("DELETE FROM results WHERE 0")
    connection.execute("COMMIT")
    return new


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    try:
        schema = int(row[0])
    except (TypeError, ValueError):
        raise _refusal(path, DAMAGED) from None
    if schema > SCHEMA or any(step not in MIGRATIONS for step in range(schema, SCHEMA)):
        raise _refusal(path, f"has schema {schema} but this version reads schema {SCHEMA}; name another file")
    for step in range(schema, SCHEMA):
        MIGRATIONS[step](connection)
    if schema < SCHEMA:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(SCHEMA),))


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch a new file to the write-ahead log and try it. Where another process is in the way, the file keeps the
    default journal, which is slower and as safe."""
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        if _code(error) not in WAITING:
            raise
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    connection.execute("COMMIT")


WITHOUT_SHARED_MEMORY = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)


def _without_log(path: Path) -> None:
    """Back to the default journal, where the file system cannot share the memory that the log needs.

    A connection that is alone from its first access needs none.
    """
    with closing(_connect(path)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()


def _open(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        if _prepare(connection, path):
            _write_ahead(connection)
    except BaseException:
        connection.close()
        raise
    return connection


class Store:
    """The results of one code fingerprint in a file that may hold those of others too.

    Made by `Store.open`; a context manager. Safe for threads; every process opens its own.
    """

    def __init__(self, path: Path, fingerprint: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.Lock()
        self._file = _inode(path)
        self._process = os.getpid()

    @classmethod
    def open(cls, path: str | Path, *, fingerprint: str) -> Store:
        """Open a store, or make one. fingerprint: of the code whose rows are read and written (`code_fingerprint`).

        Raises InputError, and changes nothing, for a folder, a file of another application or of a schema that cannot
        be migrated, a damaged file, or one that cannot be written to.
        """
        _check_text("fingerprint", fingerprint)
        target = _check_path(path)
        try:
            try:
                connection = _patiently(lambda: _open(target))
            except sqlite3.OperationalError as error:
                if _code(error) not in WITHOUT_SHARED_MEMORY:
                    raise
                try:
                    _without_log(target)
                except sqlite3.Error:
                    raise error from None
                connection = _open(target)
        except sqlite3.Error as error:
            raise _fault(target, error) from None
        return cls(target, fingerprint, connection)

    def close(self) -> None:
        """Fold the log into the file if no other process uses it, and let go of it. Twice is fine."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self, statement: str, *parameters: Any) -> list[Any]:
        with self._lock:
            connection = self._connection
            if connection is None:
                raise _refusal(self.path, "is closed; open it again")
            if os.getpid() != self._process:
                raise _refusal(self.path, "was opened by the process that this one was forked from; open it again here")
            try:
                return _patiently(lambda: connection.execute(statement, parameters).fetchall())
            except sqlite3.Error as error:
                raise _fault(self.path, error) from None

    def get(self, claim: str, instance: str, route: str) -> dict[str, Any] | None:
        """The payload put under this key by the same code, None if there is none."""
        found = self.recall(claim, instance, route)
        return None if found is None else found[0]

    def recall(self, claim: str, instance: str, route: str) -> tuple[dict[str, Any], float] | None:
        """The same with the seconds that it took."""
        found = self._run(
            "SELECT claim, instance, route, payload, seconds, checksum FROM results "
            "WHERE fingerprint = ? AND claim = ? AND instance = ? AND route = ?",
            self.fingerprint, *_check_key(claim, instance, route),
        )  # fmt: skip
        return self._row(found[0])[3:] if found else None

    def put(self, claim: str, instance: str, route: str, payload: dict[str, Any], seconds: float) -> None:
        """Keep a payload, in place of any that this key has. On the disk when this returns.

        payload: JSON, keys being strings; infinities and NaN are allowed and floats come back exactly. seconds: what
        it took. Raises InputError for anything else, and when the disk is full or fails: the store is then as before.
        """
        self.put_all([(claim, instance, route, payload, seconds)])

    def put_all(self, rows: Iterable[Row]) -> None:
        """`put` for many rows, ROWS_AT_ONCE of them with one wait for the disk: either all of those are kept or none.

        rows: (claim, instance, route, payload, seconds). Nothing is kept if one of them is not allowed.
        """
        checked = [_checked(*row) for row in rows]
        self._check_place()
        for first in range(0, len(checked), ROWS_AT_ONCE):
            part = checked[first : first + ROWS_AT_ONCE]
            # One statement, so that it is a transaction by itself.
            self._run(
                "INSERT OR REPLACE INTO results (fingerprint, claim, instance, route, payload, seconds, checksum) "
                f"VALUES {', '.join(['(?, ?, ?, ?, ?, ?, ?)'] * len(part))}",
                *(entry for values in part for entry in (self.fingerprint, *values, _checksum(values))),
            )

    def clear(self) -> None:
        """Remove the rows of this fingerprint; those of others stay."""
        self._run("DELETE FROM results WHERE fingerprint = ?", self.fingerprint)

    def rows(self) -> Iterator[Row]:
        """(claim, instance, route, payload, seconds) of every row of this fingerprint, in the order of their keys."""
        key: tuple[str, str, str] = ("", "", "")
        page = " AND (claim, instance, route) > (?, ?, ?)"
        while True:
            found = self._run(
                "SELECT claim, instance, route, payload, seconds, checksum FROM results WHERE fingerprint = ?"
                f"{page} ORDER BY claim, instance, route LIMIT 100",
                self.fingerprint, *key,
            )  # fmt: skip
            if not found:
                return
            for row in found:
                yield self._row(row)
            key = found[-1][:3]

    def count(self) -> int:
        """Rows of this fingerprint."""
        return int(self._run("SELECT count(*) FROM results WHERE fingerprint = ?", self.fingerprint)[0][0])

    def other_rows(self) -> int:
        """Rows that other code left: kept, and never mixed in."""
        return int(self._run("SELECT count(*) FROM results WHERE fingerprint <> ?", self.fingerprint)[0][0])

    def _row(self, row: Any) -> Row:
        *values, checksum = row
        if _checksum(values) != checksum:
            raise _refusal(self.path, FAULTS[sqlite3.SQLITE_CORRUPT])
        claim, instance, route, payload, seconds = values
        return claim, instance, route, json.loads(payload), seconds

    def _check_place(self) -> None:
        """SQLite goes on writing to a file that was deleted; a row put there would be lost."""
        if _inode(self.path) != self._file:
            raise _refusal(self.path, "was deleted or replaced while in use; open it again")


def _inode(path: Path) -> int | None:
    """The number of the file that the path names now."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _checksum(values: Sequence[Any]) -> int:
    return zlib.crc32("\0".join(map(str, values)).encode("utf-8", "replace"))


def _checked(claim: str, instance: str, route: str, payload: dict[str, Any], seconds: float) -> tuple[Any, ...]:
    """A row as it is written, without its checksum; InputError for what the file cannot hold."""
    _check_key(claim, instance, route)
    if not isinstance(payload, dict):
        raise InputError(f"payload must be a dictionary, got {type(payload).__name__}")
    try:
        text = json.dumps(payload, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"payload must hold JSON values only: {error}") from None
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(f"seconds must be a finite number >= 0, got {seconds!r}")
    return claim, instance, route, text, abs(float(seconds))  # SQLite keeps no sign of zero


def _check_text(name: str, text: str) -> str:
    """`text` if it is a text that the file can hold; InputError naming it otherwise."""
    try:
        if isinstance(text, str) and text and text.encode():
            return text
    except UnicodeEncodeError:
        pass
    raise InputError(f"{name} must be a text of at least one character that UTF-8 can hold, got {text!r}")


def _check_key(claim: str, instance: str, route: str) -> tuple[str, str, str]:
    return _check_text("claim", claim), _check_text("instance", instance), _check_text("route", route)
