"""The persistent tier in a file of SQLite: the embedded one, for one machine and for trying things out.

SQLite has no socket to wait for, so its calls run in gevent's thread pool and the loop goes on meanwhile. It goes on
without a word in a file that was removed or replaced while it was open. So a session remembers which files it has, by
device and inode, and no result counts that came from others than those which stand there now.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

from ckv import events
from ckv.errors import BadSetting, RowsRefused, TierUnavailable, WriteFailed
from ckv.persistent import NO_EXPIRY, PUT_IT_BACK, Loaded
from ckv.persistent.filelock import FileLock
from ckv.persistent.rows import (
    EXPIRES,
    KIND,
    PROBE_KEY,
    PURGE_AFTER_MS,
    PURGED,
    ROWS_PER_STATEMENT,
    TABLE,
    TYPE_STR,
    Row,
    key_bounds,
    loaded,
    sorted_expiring_rows,
    sorted_keys,
    sorted_rows,
)
from ckv.persistent.sqlite_calls import BUSY_TIMEOUT, as_tier_error, code, in_pool, new_lock, patiently, text
from ckv.values import Value, to_text

T = TypeVar("T")

DATA_ERRORS: Final = frozenset({sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})
"""The errors with which SQLite refuses a row for what is in it."""

OUTAGE_ERRORS: Final = frozenset(
    getattr(sqlite3, f"SQLITE_{name}")
    for name in (
        *("AUTH", "BUSY", "CANTOPEN", "CORRUPT", "FULL", "INTERRUPT", "IOERR", "LOCKED", "NOMEM", "NOTADB", "PERM"),
        *("PROTOCOL", "READONLY", "SCHEMA"),
    )
)
"""The errors that no row is to blame for. Of the others, a trigger that fails for instance, nobody knows whose fault
they are."""

_CREATE = f"""
    CREATE TABLE IF NOT EXISTS {TABLE} (
        kv_key BLOB NOT NULL PRIMARY KEY,
        kv_value BLOB NOT NULL,
        kv_type INTEGER NOT NULL DEFAULT {TYPE_STR},
        kv_expires INTEGER
    )"""
_HAS_EXPIRES = f"SELECT 1 FROM pragma_table_info('{TABLE}') WHERE name = 'kv_expires'"
_ADD_EXPIRES = f"ALTER TABLE {TABLE} ADD COLUMN kv_expires INTEGER"
_SELECT = f"""
    SELECT kv_key, CASE WHEN length(kv_value) <= ? THEN kv_value END,
        CASE WHEN length(kv_value) <= ? THEN {KIND} ELSE -length(kv_value) END
    FROM {TABLE} WHERE kv_key IN ({{}})"""
_ANY_LENGTH = 2**31  # SQLite's own bound is just below
_COUNT = f"SELECT COUNT(*) FROM {TABLE}"
_DELETE = f"DELETE FROM {TABLE} WHERE kv_key = ?"
_PAGE = f"SELECT kv_key, {PURGED.format('{1}')} FROM {TABLE} WHERE {{0}} ORDER BY kv_key LIMIT ?"
_NEXT_KEYS = f"SELECT kv_key, {EXPIRES} FROM {TABLE} WHERE {{}} ORDER BY kv_key LIMIT ?"
_UPSERT = f"""
    INSERT INTO {TABLE} (kv_key, kv_value, kv_type) VALUES (?, ?, ?)
    ON CONFLICT (kv_key) DO UPDATE SET kv_value = excluded.kv_value, kv_type = excluded.kv_type"""
_UPSERT_EXPIRING = f"""
    INSERT INTO {TABLE} (kv_key, kv_value, kv_type, kv_expires) VALUES (?, ?, ?, ?)
    ON CONFLICT (kv_key) DO UPDATE
    SET kv_value = excluded.kv_value, kv_type = excluded.kv_type, kv_expires = excluded.kv_expires"""

_CREATE_NOTE = "CREATE TABLE IF NOT EXISTS ckv_note (id INTEGER PRIMARY KEY CHECK (id = 1), note BLOB NOT NULL)"
_HAS_NOTE = "SELECT 1 FROM sqlite_schema WHERE name = 'ckv_note'"
_NOTE = "SELECT note FROM ckv_note"
_TAKE_NOTE = "INSERT INTO ckv_note (id, note) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET note = excluded.note"

_BESIDE = ("-wal", "-shm")
"""What the files are called that SQLite keeps beside the one of the database, as long as that is open."""

Files = tuple[tuple[int, int] | None, ...]
"""Device and inode of the database and of the files beside it; None for one that is not there."""

log = logging.getLogger(__name__)


class SQLiteTier:
    """One file, which several processes may share (:class:`~ckv.persistent.Tier`)."""

    def __init__(self, path: str) -> None:
        """Raises :class:`~ckv.errors.BadSetting` for a path that cannot be one of a file."""
        # SQLite gives each connection a database of its own, gone at its end, for both of these.
        if path in ("", ":memory:"):
            raise BadSetting(f"persistent node 'sqlite:{path}': it needs the path of a file")
        if not path.isprintable():
            raise BadSetting(f"persistent node {'sqlite:' + path!r}: the path has unprintable characters")
        # Whoever reads the log, or starts the node in another folder, sees which file it is.
        self._path = os.path.abspath(path)
        self._sessions: weakref.WeakSet[SQLiteSession] = weakref.WeakSet()
        self._opening = new_lock()
        self._seen: Files = ()
        """The files that were used last."""
        self._away = False
        """It was found missing, or without its table."""
        self._other = False
        """It is another one, or was away, and nobody was told yet. Whoever connects next tells it."""
        self.generation = 0
        self.when_other: Callable[[], None] = lambda: None
        self.max_value_bytes = 0
        self.clock_skew = 0.0
        self.turn = new_lock()
        """Held by the session that writes. SQLite has one writer at a time and lets the others guess when it ends."""

    @property
    def name(self) -> str:
        return f"sqlite:{self._path}"

    def connect(self, *, prepare: bool = True) -> SQLiteSession:
        generation = self.generation
        session = in_pool(self._open, prepare)
        session.generation = generation
        if self._other:
            self._other = False
            log.warning(events.DATABASE_OTHER, self.name, "another file")
            self.when_other()
        return session

    def _open(self, prepare: bool) -> SQLiteSession:
        """Opens the file. It is made, and the table in it, only before this tier has seen them."""
        with self._opening:
            # None may be open beside the new one that has other files: two would write to one without a common lock.
            for session in list(self._sessions):
                if session.files != files(self._path):
                    session.close_here()
            create = prepare and not self._seen
            self._refuse_strange_log()
            try:
                session = SQLiteSession(self._path, prepare, create, self.turn)
            except Exception as error:
                if not prepare or create or not (_file(self._path) is None or "no such table" in str(error)):
                    raise
                self._away = True
                raise TierUnavailable(f"{as_tier_error(error)}; {PUT_IT_BACK}") from error
            self._sessions.add(session)
            # Here and not in connect(): the next one that waits for its turn must not make what was there already.
            if prepare:
                self._other |= bool(self._seen) and (self._away or session.files[0] != self._seen[0])
                self._seen, self._away = session.files, False
            return session

    def _refuse_strange_log(self) -> None:
        """Somebody replaced the database and left what is beside it: SQLite would write the old one's pages into it."""
        now = files(self._path)
        if self._seen and now[0] not in (None, self._seen[0]):
            for suffix, was, file in zip(_BESIDE, self._seen[1:], now[1:], strict=True):
                if file is not None and file == was:
                    old = f"{self._path}{suffix}"
                    belongs = f"{self._path} was replaced, and {old} still belongs to the one before"
                    raise TierUnavailable(f"{belongs}: put that back, or remove {old}")

    def fence(self, name: str, process: str) -> FileLock:
        return FileLock(self._path, name, process)

    def login(self) -> object:
        return None


class SQLiteSession:
    """One connection (:class:`~ckv.persistent.OwnSession`)."""

    def __init__(self, path: str, prepare: bool, create: bool, turn: AbstractContextManager[bool]) -> None:
        """Opens the file, in a thread of the pool: to be written with ``prepare``; ``create`` makes it, and the table,
        if need be. ``turn`` is held while it writes."""
        if not create and not os.path.exists(path):
            raise TierUnavailable(f"there is no file {path}")
        self.generation = 0
        self._path = path
        self.files: Files = ()
        # A greenlet that is killed leaves its call running in the pool. The lock makes whoever closes the session wait
        # for that call, so that an old write cannot overtake the new ones of the next session.
        self._lock = new_lock()
        self._turn = turn
        # Statements outside of our own BEGIN and COMMIT commit by themselves (isolation_level=None).
        self._connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
        self._run(self._set_up, prepare, create)

    def load_many(self, keys: Sequence[str]) -> dict[str, Value]:
        return self.load_all(keys).found

    def load_all(self, keys: Sequence[str]) -> Loaded:
        return self.load_some(keys, 0)

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        # Nobody waits for a row here: readers see what was committed when they began.
        return cast(Loaded, in_pool(self._run, self._load, sorted_keys(keys), max_value_bytes or _ANY_LENGTH))

    def save_many(self, rows: Sequence[tuple[str, Value]], expires: Mapping[str, int] = NO_EXPIRY) -> None:
        if expires:
            in_pool(self._run, self._commit, _UPSERT_EXPIRING, sorted_expiring_rows(rows, expires))
        else:
            in_pool(self._run, self._commit, _UPSERT, sorted_rows(rows))

    def delete_many(self, keys: Sequence[str]) -> None:
        in_pool(self._run, self._commit, _DELETE, [(key,) for key in sorted_keys(keys)])

    def may_purge(self) -> bool:
        return True  # two at once would only do it twice

    def purge(self, after: bytes | None, count: int, now_ms: int) -> tuple[bytes | None, int]:
        return cast(tuple[bytes | None, int], in_pool(self._run, self._purge, after, count, now_ms))

    def next_keys(self, after: str | None, count: int, prefix: bytes = b"") -> list[tuple[str, int]]:
        return in_pool(self._run, self._next_keys, after, count, prefix)

    def estimate(self) -> int:
        return self.count()  # which it is quick at

    def probe(self) -> None:
        in_pool(self._run, self._probe)

    def count(self) -> int:
        ((records,),) = in_pool(self._run, lambda: self._connection.execute(_COUNT).fetchall())
        return int(records)

    def note(self) -> bytes | None:
        return cast("bytes | None", in_pool(self._run, self._note))

    def take_note(self, note: bytes) -> None:
        in_pool(self._run, self._take_note, note)

    def close(self) -> None:
        in_pool(self.close_here)

    # --- in a thread of the pool -----------------------------------------------------------------------------------

    def _run(self, call: Callable[..., T], *args: object) -> T:
        with self._lock:
            try:
                result = call(*args)
                # What was done counts only when the files are still those which stand there.
                now = files(self._path)
                self.files = self.files or now
                if now != self.files:
                    raise TierUnavailable(f"{self._path}, or a file beside it, was removed or replaced")
                return result
            except (RowsRefused, WriteFailed):
                raise
            except BaseException:
                self._connection.close()  # Rolls back what is not committed.
                raise

    def _set_up(self, prepare: bool, create: bool) -> None:
        if prepare:
            # Readers and a writer do not wait for each other.
            patiently(self._connection.execute, "PRAGMA journal_mode = WAL")
            # A commit is on the disk when it returns. NORMAL would lose the last commits in a power cut, and ckv
            # forgets a record's pending write as soon as it is committed here.
            self._connection.execute("PRAGMA synchronous = FULL")
        # Either opens the files beside the database, too.
        self._connection.execute(_CREATE if create else f"SELECT 1 FROM {TABLE} LIMIT 1").fetchall()
        if prepare:
            self._upgrade()

    def _upgrade(self) -> None:
        """Adds the column that a file of an older version lacks, which takes no time however large it is."""
        if self._connection.execute(_HAS_EXPIRES).fetchone():
            return
        with self._turn:
            self._begin()
            if not self._connection.execute(_HAS_EXPIRES).fetchone():  # nobody else was quicker
                self._connection.execute(_ADD_EXPIRES)
                log.info(events.TABLE_UPGRADED, TABLE, f"sqlite:{self._path}")
            self._connection.execute("COMMIT")

    def _load(self, keys: Sequence[bytes], max_value_bytes: int) -> Loaded:
        rows: list[Row] = []
        for start in range(0, len(keys), ROWS_PER_STATEMENT):
            some = keys[start : start + ROWS_PER_STATEMENT]
            statement = _SELECT.format(",".join("?" * len(some)))
            rows += self._connection.execute(statement, (max_value_bytes, max_value_bytes, *some))
        return loaded(rows)

    def _commit(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        with self._turn:
            self._begin()
            try:
                self._connection.executemany(statement, rows)
            except sqlite3.Error as error:
                if code(error) in OUTAGE_ERRORS:
                    raise
                self._roll_back()  # If it fails, its error goes out, which does not say that nothing was written.
                kind = RowsRefused if code(error) in DATA_ERRORS else WriteFailed
                raise kind(text(error)) from error
            self._connection.execute("COMMIT")

    def _purge(self, after: bytes | None, count: int, now_ms: int) -> tuple[bytes | None, int]:
        statement = _PAGE.format("kv_key > ?" if after is not None else "? IS NULL", now_ms - PURGE_AFTER_MS)
        page = self._connection.execute(statement, (after, count)).fetchall()
        expired = [(key,) for key, is_over in page if is_over]
        self._commit(f"{_DELETE} AND {PURGED.format(now_ms - PURGE_AFTER_MS)}", expired)
        return (page[-1][0] if len(page) == count else None), len(expired)

    def _next_keys(self, after: str | None, count: int, prefix: bytes) -> list[tuple[str, int]]:
        where, bounds = key_bounds(after, prefix)
        rows = self._connection.execute(_NEXT_KEYS.format(where.format(*"?" * len(bounds))), (*bounds, count))
        return [(to_text(key), expires) for key, expires in rows]

    def _note(self) -> bytes | None:
        if not self._connection.execute(_HAS_NOTE).fetchone():
            return None
        row: Any = self._connection.execute(_NOTE).fetchone()
        return bytes(row[0]) if row is not None else None

    def _take_note(self, note: bytes) -> None:
        with self._turn:
            self._begin()
            self._connection.execute(_CREATE_NOTE)
            self._connection.execute(_TAKE_NOTE, (note,))
            self._connection.execute("COMMIT")

    def _probe(self) -> None:
        with self._turn:
            self._begin()
            try:
                self._connection.execute(_UPSERT, (PROBE_KEY, b"", TYPE_STR))
            except sqlite3.Error as error:
                if code(error) not in DATA_ERRORS:
                    raise
                # A table that refuses rows for what is in them takes writes.
            self._roll_back()

    def _begin(self) -> None:
        # IMMEDIATE waits for other processes before it reads anything. A transaction that has read already is failed
        # at once, for its view of the file would be stale.
        self._connection.execute("BEGIN IMMEDIATE")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # some errors roll back by themselves
            self._connection.execute("ROLLBACK")

    def close_here(self) -> None:
        """As :meth:`close`, for whoever is in a thread of the pool already."""
        with self._lock, suppress(sqlite3.Error):
            self._connection.close()


def files(path: str) -> Files:
    """Which files stand at the path of a database and beside it now."""
    return tuple(_file(path + suffix) for suffix in ("", *_BESIDE))


def _file(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
