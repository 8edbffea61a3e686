"""The state database: inventory, generations, the operation journal. One SQLite file in WAL mode.

Everything in it but history can be rebuilt by observing the machine; losing it loses no runtime.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from reconciler.core.errors import FormatError
from reconciler.core.inventory import Generation, JournalEntry, OwnedUnit
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId

_MIGRATIONS = (
    """
    CREATE TABLE unit (name TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE generation (
        number INTEGER PRIMARY KEY, created_at REAL NOT NULL, revision TEXT, dirty INTEGER NOT NULL,
        profile TEXT NOT NULL, units TEXT NOT NULL);
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY, apply INTEGER NOT NULL, operation TEXT NOT NULL, status TEXT NOT NULL,
        started_at REAL NOT NULL, ended_at REAL, error TEXT);
    CREATE INDEX journal_by_apply ON journal (apply);
    """,
    """
    CREATE TABLE event (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, type TEXT NOT NULL,
        resource TEXT NOT NULL, message TEXT NOT NULL, revision TEXT);
    CREATE TABLE suspension (
        resource TEXT PRIMARY KEY, reason TEXT NOT NULL, since REAL NOT NULL, until REAL) WITHOUT ROWID;
    CREATE TABLE attempt (
        model TEXT PRIMARY KEY, revision TEXT, failures INTEGER NOT NULL, at REAL NOT NULL, retry_at REAL,
        message TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE note (key TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
    """,
)
_KEPT_JOURNAL_ROWS = 10_000


class State:
    """An open state database. Safe to use from the executor's threads."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._path = path
        self._opened = _inode(path)

    @classmethod
    def open(cls, path: Path, *, create: bool) -> Self:
        """Open the database, migrated to this release. Without `create` a missing one reads as empty.

        Raises FormatError when a later release of modelctl wrote it, or when it is no database.
        """
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        target = str(path) if create or path.exists() else ":memory:"
        connection = sqlite3.connect(target, check_same_thread=False, isolation_level=None, timeout=10)
        try:
            # WAL without a sync per commit: after a power cut the last rows may be missing, never torn, and
            # what they say is seen again by observing.
            connection.execute("PRAGMA synchronous = NORMAL")
            _migrate(connection, path)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise FormatError(
                f"{path} is not a usable state database: {error}",
                hint=f"move it away (`mv {path} {path}.broken`); `modelctl apply` finds its units again",
            ) from error
        return cls(connection, path)

    @property
    def is_current(self) -> bool:
        """Whether the file that was opened still lies where it did; what is written to another is lost."""
        return _inode(self._path) == self._opened

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; for the tables of `reconciler.host.records`."""
        with self._lock:
            return self._connection.execute(statement, tuple(parameters)).fetchall()

    def units(self) -> dict[UnitName, OwnedUnit]:
        """Every unit that is ours, by name."""
        rows = self._connection.execute("SELECT data FROM unit ORDER BY name").fetchall()
        return {unit.name: unit for unit in (_unit(json.loads(data)) for (data,) in rows)}

    def put_unit(self, unit: OwnedUnit) -> None:
        with self._lock:
            self._connection.execute(
                "INSERT INTO unit VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET data = excluded.data",
                (unit.name, json.dumps(unit.document())),
            )

    def forget_unit(self, name: UnitName) -> None:
        with self._lock:
            self._connection.execute("DELETE FROM unit WHERE name = ?", (name,))

    def commit_generation(
        self, revision: str | None, *, dirty: bool, profile: str, without: Sequence[UnitName] = ()
    ) -> int:
        """Record the units as they stand, but `without` some, as the next generation; returns its number."""
        units = [unit.document() for name, unit in self.units().items() if name not in without]
        with self._lock:
            cursor = self._connection.execute(
                "INSERT INTO generation (created_at, revision, dirty, profile, units) VALUES (?, ?, ?, ?, ?)",
                (time.time(), revision, dirty, profile, json.dumps(units)),
            )
        return int(cursor.lastrowid or 0)

    def rename_revision(self, number: int, commit: str) -> None:
        """Generation `number` was applied from edits that by now are `commit`, and nothing else."""
        self.execute("UPDATE generation SET revision = ?, dirty = 0 WHERE number = ?", (commit, number))

    def generation(self, number: int | None = None) -> Generation | None:
        """One generation, the latest by default; None when there is none."""
        where = "WHERE number = ?" if number is not None else "ORDER BY number DESC LIMIT 1"
        row = self._connection.execute(
            f"SELECT number, created_at, revision, dirty, profile, units FROM generation {where}",  # noqa: S608 - no value is pasted in
            () if number is None else (number,),
        ).fetchone()
        if row is None:
            return None
        units = tuple(_unit(unit) for unit in json.loads(row[5]))
        return Generation(row[0], row[1], row[2], bool(row[3]), row[4], units)

    def begin_apply(self) -> int:
        """A number for the journal's rows of one apply."""
        (last,) = self._connection.execute("SELECT COALESCE(MAX(apply), 0) FROM journal").fetchone()
        return int(last) + 1

    def journal_start(self, apply: int, operations: Iterable[str]) -> None:
        """Note that operations begin, before they touch anything."""
        now = time.time()
        rows = [(apply, operation, "running", now) for operation in operations]
        with self._lock, self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "INSERT INTO journal (apply, operation, status, started_at) VALUES (?, ?, ?, ?)", rows
            )

    def journal_end(self, apply: int, results: Iterable[tuple[str, str, str | None]]) -> None:
        """Note how operations ended: (operation, status, error)."""
        now = time.time()
        rows = [(status, now, error, apply, operation) for operation, status, error in results]
        with self._lock, self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "UPDATE journal SET status = ?, ended_at = ?, error = ? WHERE apply = ? AND operation = ?",
                rows,
            )
            self._connection.execute(
                "DELETE FROM journal WHERE id <= (SELECT MAX(id) FROM journal) - ?", (_KEPT_JOURNAL_ROWS,)
            )

    def last_apply(self) -> tuple[JournalEntry, ...]:
        """The journal of the latest apply; an entry without an end while nobody holds the lock was killed."""
        rows = self._connection.execute(
            "SELECT apply, operation, status, started_at, ended_at, error FROM journal"
            " WHERE apply = (SELECT MAX(apply) FROM journal) ORDER BY id"
        ).fetchall()
        return tuple(JournalEntry(*row) for row in rows)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == len(_MIGRATIONS):
        return
    if version > len(_MIGRATIONS):
        raise FormatError(
            f"{path} was written by a later release of modelctl",
            hint="upgrade modelctl, or point MODELCTL_STORE at another folder",
        )
    connection.execute("PRAGMA journal_mode = WAL")
    # All steps in one transaction, and the number looked at again inside it: a kill leaves them undone, and
    # of several processes that open a new database together one makes it.
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for script in _MIGRATIONS[version:]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _unit(data: dict[str, object]) -> OwnedUnit:
    def text(key: str) -> str:
        return str(data[key])

    def maybe(key: str) -> str | None:
        return None if data.get(key) is None else str(data[key])

    return OwnedUnit(
        name=UnitName(text("name")),
        model=ModelId(text("model")),
        version=VersionId(text("version")),
        profile=ProfileName(text("profile")),
        endpoint=text("endpoint"),
        config_hash=text("config_hash"),
        text=text("text"),
        started_hash=maybe("started_hash"),
        ready_hash=maybe("ready_hash"),
        generation=int(text("generation")),
        failure=maybe("failure"),
        retired_at=None if data.get("retired_at") is None else float(str(data["retired_at"])),
    )
