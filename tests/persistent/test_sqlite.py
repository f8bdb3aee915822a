"""What is special to SQLite: the loop goes on, processes share the file, a full or locked file is an outage."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from ckv.errors import RowsRefused, TierUnavailable
from ckv.persistent import sqlite
from ckv.persistent.opening import open_tier
from ckv.persistent.sqlite import SQLiteSession, SQLiteTier


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def session(path: Path) -> Iterator[SQLiteSession]:
    opened = SQLiteTier(str(path)).connect()
    yield opened
    opened.close()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else is in the middle of a write."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def rows(path: Path) -> dict[bytes, bytes]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT kv_key, kv_value FROM CelonisData"))


def test_the_loop_goes_on_during_a_call(path: Path, session: SQLiteSession) -> None:
    with locked(path) as other:
        call = gevent.spawn(session.save_many, [("k", "v")])
        for _ in range(100):
            gevent.sleep(0.001)  # Returns only if the call does not hold the loop.
        assert not call.ready()
        other.execute("ROLLBACK")
        call.get()
    assert rows(path) == {b"k": b"v"}


def test_readers_do_not_wait_for_a_writer(path: Path, session: SQLiteSession) -> None:
    session.save_many([("k", "v")])
    with locked(path):
        assert session.load_many(["k"]) == {"k": "v"}


def test_a_first_connect_waits_for_another_that_makes_the_file(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN IMMEDIATE")  # SQLite does not wait for this when it turns a file to WAL.
        connecting = gevent.spawn(SQLiteTier(str(path)).connect)
        gevent.sleep(0.2)
        other.execute("COMMIT")
        session = connecting.get()
    session.save_many([("k", "v")])
    session.close()
    assert rows(path) == {b"k": b"v"}


def test_a_commit_is_on_the_disk(session: SQLiteSession) -> None:
    assert session._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert session._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_stays_locked_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.05)
    tier = open_tier(f"sqlite:{path}", environ={})
    session = tier.connect()
    session.save_many([("k", "old")])
    with locked(path), pytest.raises(TierUnavailable, match="BUSY"):
        session.save_many([("k", "new")])
    with pytest.raises(TierUnavailable):
        session.count()  # It is closed: whoever was not told how a call ended must not go on with it.
    session = tier.connect()
    assert session.load_many(["k"]) == {"k": "old"}
    session.close()


def test_sessions_of_a_tier_take_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0)
    tier = SQLiteTier(str(path))
    sessions = [tier.connect() for _ in range(4)]
    # None is refused because another one writes, although none would wait for the file's lock.
    calls = [gevent.spawn(session.save_many, [(f"{n}", "v")]) for n in range(40) for session in sessions]
    gevent.joinall(calls, raise_error=True)
    assert len(rows(path)) == 40
    for session in sessions:
        session.close()


def test_a_full_disk_is_unavailable_and_leaves_nothing(path: Path, session: SQLiteSession) -> None:
    session.save_many([("k", "old")])
    session._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(TierUnavailable, match="FULL"):
        session.save_many([("k", "new"), ("l", "x" * 2**20)])
    assert rows(path) == {b"k": b"old"}


def test_a_value_above_sqlites_bound_is_refused(path: Path, session: SQLiteSession) -> None:
    session._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
    with pytest.raises(RowsRefused, match="TOOBIG"):
        session.save_many([("a", "fine"), ("k", "v" * 2000)])
    assert session.count() == 0


def test_refused_only_when_the_rollback_is_certain(path: Path, session: SQLiteSession) -> None:
    def no_rollback(action: int, name: str | None, *_: object) -> int:
        deny = action == sqlite3.SQLITE_TRANSACTION and name == "ROLLBACK"
        return sqlite3.SQLITE_DENY if deny else sqlite3.SQLITE_OK

    session._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
    session._connection.set_authorizer(no_rollback)
    with pytest.raises(TierUnavailable):
        session.save_many([("a", "fine"), ("k", "v" * 2000)])
    assert rows(path) == {}


@pytest.mark.parametrize("kind", ["folder", "not a database", "no such folder"])
def test_a_file_that_cannot_be_used_is_unavailable_until_it_can(
    path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "not a database":
        path.write_bytes(b"no database at all" * 1000)
    else:
        path = path / "below" / "records.db"
    tier = open_tier(f"sqlite:{path}", environ={})
    with pytest.raises(TierUnavailable) as caught:
        tier.connect()
    assert type(caught.value) is TierUnavailable
    assert capfd.readouterr().err == ""  # gevent would print the traceback of an error in its pool.
    if kind == "folder":
        path.rmdir()
    elif kind == "not a database":
        path.unlink()
    else:
        path.parent.mkdir(parents=True)
    session = tier.connect()
    assert session.count() == 0
    session.close()


def test_close_waits_for_a_call_that_was_given_up(path: Path, session: SQLiteSession) -> None:
    with locked(path) as other:
        call = gevent.spawn(session.save_many, [("k", "old")])
        gevent.sleep(0.05)  # Long enough to reach the pool, most likely; the test holds in any case.
        call.kill()
        closing = gevent.spawn(session.close)
        gevent.sleep(0.05)
        other.execute("ROLLBACK")
        closing.get()
    # Whatever the call did is done. It can overtake nobody who connects after the close.
    done = rows(path)
    gevent.sleep(0.1)
    assert rows(path) == done
    with pytest.raises(TierUnavailable):
        session.count()


WRITER = """
import sys
from ckv.persistent.opening import open_tier
path, name = sys.argv[1:]
session = open_tier(f"sqlite:{path}", environ={}).connect()
for turn in range(20):
    session.save_many([(f"{name}-{turn}-{number}", name) for number in range(20)])
session.close()
"""


def test_processes_share_the_file(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)]) for number in range(3)]
    try:
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert len(rows(path)) == 3 * 20 * 20


class Others:
    """Counts how often a tier says that it has become another one."""

    def __init__(self, tier: SQLiteTier) -> None:
        self.count = 0
        tier.when_other = self._told

    def _told(self) -> None:
        self.count += 1


def one_row(path: Path, key: str) -> None:
    session = SQLiteTier(str(path)).connect()
    session.save_many([(key, "v")])
    session.close()


@pytest.mark.parametrize("call", ["save", "delete", "load", "count"])
def test_a_file_that_is_removed_is_an_outage_until_it_is_back(path: Path, tmp_path: Path, call: str) -> None:
    tier = SQLiteTier(str(path))
    others = Others(tier)
    session = tier.connect()
    session.save_many([("k", "v")])
    aside = tmp_path / "aside"
    aside.mkdir()
    for file in tmp_path.glob("records.db*"):
        file.rename(aside / file.name)
    calls = {
        "save": lambda: session.save_many([("l", "v")]),
        "delete": lambda: session.delete_many(["k"]),
        "load": lambda: session.load_many(["k"]),
        "count": session.count,
    }
    with pytest.raises(TierUnavailable, match="removed or replaced"):
        calls[call]()
    for _ in range(2):
        with pytest.raises(TierUnavailable, match="was there before"):
            tier.connect()
    assert not path.exists()
    assert others.count == 0
    for file in aside.iterdir():
        file.rename(tmp_path / file.name)
    session = tier.connect()
    # Nobody knows what happened to it meanwhile.
    assert others.count == 1
    session.save_many([("m", "v")])
    session.close()
    assert b"m" in rows(path)


def test_a_file_that_is_replaced_is_another_one(path: Path, tmp_path: Path) -> None:
    tier = SQLiteTier(str(path))
    others = Others(tier)
    sessions = [tier.connect() for _ in range(3)]
    sessions[0].save_many([("old", "v")])
    restored = tmp_path / "restored.db"
    one_row(restored, "restored")
    restored.rename(path)
    with pytest.raises(TierUnavailable, match="removed or replaced"):
        sessions[0].save_many([("new", "v")])
    for suffix in ("-wal", "-shm"):
        # SQLite would take it for that of the new file, and carry over what was committed to the old one.
        with pytest.raises(TierUnavailable, match=f"{suffix} still belongs to the one before"):
            tier.connect()
        Path(f"{path}{suffix}").unlink()
    session = tier.connect()
    assert others.count == 1
    session.save_many([("new", "v")])
    for old in sessions:
        with pytest.raises(TierUnavailable):
            old.load_many(["old"])
    assert session.load_many(["old", "new", "restored"]) == {"new": "v", "restored": "v"}
    session.close()
    assert tier.connect().count() == 2
    assert others.count == 1


def test_two_that_connect_at_once_make_one_file(path: Path) -> None:
    """The file is gone again when the second one has its turn, and the loop has not heard of the first one yet."""
    tier = SQLiteTier(str(path))
    first = tier._open(True)
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(TierUnavailable, match="was there before"):
        tier._open(True)
    assert not path.exists()
    first.close()


def test_an_empty_file_in_its_place_is_an_outage(path: Path) -> None:
    tier = SQLiteTier(str(path))
    session = tier.connect()
    for file in path.parent.iterdir():
        file.unlink()
    path.touch()
    with pytest.raises(TierUnavailable, match="removed or replaced"):
        session.save_many([("k", "v")])
    with pytest.raises(TierUnavailable, match="was there before"):
        tier.connect()


def test_a_table_that_is_dropped_is_an_outage(path: Path) -> None:
    tier = SQLiteTier(str(path))
    session = tier.connect()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE CelonisData")
    with pytest.raises(TierUnavailable, match="no such table"):
        session.load_many(["k"])
    with pytest.raises(TierUnavailable, match="was there before"):
        tier.connect()


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_file_beside_it_that_is_removed_costs_nothing(path: Path, suffix: str) -> None:
    tier = SQLiteTier(str(path))
    sessions = [tier.connect() for _ in range(2)]
    sessions[0].save_many([("k", "v")])
    Path(f"{path}{suffix}").unlink()
    with pytest.raises(TierUnavailable, match="removed or replaced"):
        sessions[0].save_many([("l", "v")])
    session = tier.connect()
    session.save_many([("l", "v")])
    assert session.load_many(["k", "l"]) == {"k": "v", "l": "v"}
    session.close()
    assert rows(path).keys() == {b"k", b"l"}


def test_a_look_without_preparing_changes_nothing(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(sqlite._CREATE)
    before = path.read_bytes()
    session = SQLiteTier(str(path)).connect(prepare=False)
    assert session.count() == 0
    session.close()
    assert path.read_bytes() == before


def test_what_a_node_has_noted_stands_beside_its_records(path: Path, session: SQLiteSession) -> None:
    assert session.note() is None
    session.save_many([("k", "v")])
    for note in (b"first", b"\x00\xff" * 20_000):
        session.take_note(note)
        assert session.note() == note
    with contextlib.closing(SQLiteTier(str(path)).connect(prepare=False)) as another:
        assert another.note() == note
        assert (another.count(), another.next_keys(None, 10)) == (1, [("k", 0)])
