"""A server, a table or a connection that is not what it was: nothing older is read, and nothing counts as saved."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ckv.errors import TierUnavailable
from ckv.persistent import Session, Tier
from ckv.persistent.mysql import tier as mysql
from ckv.persistent.mysql.connection import StatementFailed
from ckv.persistent.mysql.identity import place
from ckv.persistent.mysql.outages import NO_LONGER_WRITER
from ckv.persistent.opening import open_tier
from tests.failures.proxy import Proxy
from tests.persistent.conftest import mysql_tier
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.products import Template

TABLE = f"{DATABASE}.CelonisData"


class Counted:
    """A tier, and how often it said that what is behind it is another one."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.others = 0
        tier.when_other = self._count

    def _count(self) -> None:
        self.others += 1


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql, "LOOK_EVERY", 0.0)


@contextmanager
def another_server(template: Template, folder: Path) -> Iterator[MariaDB]:
    folder.mkdir()
    server = MariaDB(folder, template, ["--server-id=2"])
    server.start()
    try:
        yield server
    finally:
        server.kill()


def a_second_later(server: MariaDB) -> None:
    """All that tells two tables apart is the second in which they were made."""
    ((now,),) = server.query("SELECT UNIX_TIMESTAMP()")
    eventually(lambda: server.query("SELECT UNIX_TIMESTAMP() > %s", (now,)) == [(1,)], what="the clock has moved on")


def swap_table(server: MariaDB) -> None:
    """As an online schema change ends: all at once, and with the same rows."""
    a_second_later(server)
    server.query(f"CREATE TABLE {DATABASE}._new LIKE {TABLE}")
    server.query(f"INSERT INTO {DATABASE}._new SELECT * FROM {TABLE}")
    server.query(f"RENAME TABLE {TABLE} TO {DATABASE}._old, {DATABASE}._new TO {TABLE}")


# --- another server ------------------------------------------------------------------------------------------------


def test_another_server_behind_the_address(mariadb: MariaDB, mariadb_template: Template, tmp_path: Path) -> None:
    with another_server(mariadb_template, tmp_path / "other") as other, Proxy(mariadb.port) as way:
        mysql_tier(other).connect().close()
        counted = Counted(open_tier(way.address, environ={}))
        old, second = counted.tier.connect(), counted.tier.connect()
        old.save_many([("k", "v")])
        assert (counted.tier.generation, counted.others) == (0, 0)
        way._server_port = other.port
        new = counted.tier.connect()
        assert (counted.tier.generation, counted.others) == (1, 1)
        assert (old.generation, second.generation, new.generation) == (0, 0, 1)
        counted.tier.connect().close()
        assert (counted.tier.generation, counted.others) == (1, 1)
        for session in (old, second, new):
            session.close()


def test_another_server_behind_a_connection_that_lives(
    mariadb: MariaDB, mariadb_template: Template, tmp_path: Path
) -> None:
    # As with a balancer that moves statements, not connections.
    counted = Counted(mysql_tier(mariadb))
    session = counted.tier.connect()
    session.save_many([("k", "v")])
    with another_server(mariadb_template, tmp_path / "other") as other:
        mysql_tier(other).connect().close()
        server = session._connection._connection  # type: ignore[attr-defined]
        moved = open_tier(other.address, environ={}).connect()
        session._connection._connection = moved._connection._connection  # type: ignore[attr-defined]
        assert session.load_many(["k"]) == {"k": "v"}  # It has connected anew, to where the address leads.
        server.close()
        session.close()


def test_a_read_only_server_in_the_place_of_the_one_before(
    mariadb: MariaDB, mariadb_template: Template, tmp_path: Path
) -> None:
    # The old primary, while a name still leads there for some.
    with another_server(mariadb_template, tmp_path / "other") as other, Proxy(mariadb.port) as way:
        tier = open_tier(way.address, environ={})
        tier.connect().close()
        mysql_tier(other).connect().close()
        other.query("SET GLOBAL read_only = ON")
        way._server_port = other.port
        with pytest.raises(TierUnavailable, match="another server than before, and read-only"):
            tier.connect()
        assert tier.generation == 0
        other.query("SET GLOBAL read_only = OFF")
        tier.connect().close()
        assert tier.generation == 1


def test_a_server_that_became_read_only(mariadb: MariaDB) -> None:
    counted = Counted(mysql_tier(mariadb))
    session, reader = counted.tier.connect(), counted.tier.connect()
    session.save_many([("k", "v")])
    mariadb.query("SET GLOBAL read_only = ON")
    try:
        # This account is one that may write all the same.
        with pytest.raises(TierUnavailable, match=r"1290|the server is read-only"):
            session.save_many([("k", "new")])
        assert counted.tier.generation == 1
        with pytest.raises(TierUnavailable, match=r"1290|the server is read-only"):
            reader.delete_many(["k"])
        assert counted.tier.generation == 2
        assert mariadb.rows() == {b"k": b"v"}
        # It can still be read: it is where everything was written to.
        session = counted.tier.connect()
        assert session.load_many(["k"]) == {"k": "v"}
        session.close()
    finally:
        mariadb.query("SET GLOBAL read_only = OFF")
    assert counted.others == 0


@pytest.mark.parametrize("code", sorted(NO_LONGER_WRITER))
def test_what_a_server_says_that_is_not_the_writer_any_more(mariadb: MariaDB, code: int) -> None:
    tier = mysql_tier(mariadb)
    session, other = tier.connect(), tier.connect()
    mariadb.query(
        f"CREATE TRIGGER {DATABASE}.t BEFORE INSERT ON {TABLE} FOR EACH ROW"
        f" SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'no more'"
    )
    with pytest.raises(TierUnavailable, match=str(code)):
        session.save_many([("k", "v")])
    assert tier.generation == 1 > other.generation
    other.close()


def test_what_else_fails_makes_nobody_connect_anew(mariadb: MariaDB) -> None:
    counted = Counted(mysql_tier(mariadb))
    session = counted.tier.connect()
    mariadb.query(f"CREATE TRIGGER {DATABASE}.t BEFORE INSERT ON {TABLE} FOR EACH ROW DELETE FROM missing")
    with pytest.raises(TierUnavailable, match="1146"):
        session.save_many([("k", "v")])
    assert (counted.tier.generation, counted.others) == (0, 0)


# --- another table -------------------------------------------------------------------------------------------------


def test_a_table_that_is_away_for_a_moment(mariadb: MariaDB) -> None:
    counted = Counted(mysql_tier(mariadb))
    session = counted.tier.connect()
    session.save_many([("k", "v")])
    mariadb.query(f"RENAME TABLE {TABLE} TO {DATABASE}._old")
    with pytest.raises(TierUnavailable, match="no empty one is made"):
        session.load_many(["k"])
    for _ in range(3):
        with pytest.raises(TierUnavailable, match="no empty one is made"):
            counted.tier.connect()
    assert counted.others == 1
    mariadb.query(f"RENAME TABLE {DATABASE}._old TO {TABLE}")
    session = counted.tier.connect()
    assert session.load_many(["k"]) == {"k": "v"}
    session.close()


def test_a_table_that_another_one_took_the_place_of(mariadb: MariaDB) -> None:
    counted = Counted(mysql_tier(mariadb))
    first, second = counted.tier.connect(), counted.tier.connect()
    first.save_many([("k", "v")])
    assert counted.others == 0
    swap_table(mariadb)
    assert first.load_many(["k"]) == {"k": "v"}
    assert counted.others == 1
    assert second.load_many(["k"]) == {"k": "v"}
    counted.tier.connect().close()
    assert counted.others == 1
    for session in (first, second):
        session.close()


def test_it_is_noticed_by_a_new_connection_too(mariadb: MariaDB) -> None:
    counted = Counted(mysql_tier(mariadb))
    counted.tier.connect().close()
    swap_table(mariadb)
    counted.tier.connect().close()
    assert counted.others == 1


@pytest.mark.parametrize(
    "what",
    [
        "INSERT INTO celonis.CelonisData (kv_key, kv_value) VALUES ('other', '1')",
        "ANALYZE TABLE celonis.CelonisData",
        "FLUSH TABLES",
        "CREATE TRIGGER celonis.t AFTER INSERT ON celonis.CelonisData FOR EACH ROW SET @x = 1",
        "SET GLOBAL time_zone = '-11:00'",
    ],
)
def test_the_same_table_stays_the_same(mariadb: MariaDB, what: str) -> None:
    counted = Counted(mysql_tier(mariadb))
    session = counted.tier.connect()
    a_second_later(mariadb)
    mariadb.query(what)
    try:
        session.save_many([("k", "v")])
        counted.tier.connect().close()
        assert counted.others == 0
    finally:
        mariadb.query("SET GLOBAL time_zone = 'SYSTEM'")
        session.close()


def test_the_same_server_after_a_restart(private_mariadb: MariaDB) -> None:
    counted = Counted(mysql_tier(private_mariadb))
    counted.tier.connect().close()
    a_second_later(private_mariadb)
    private_mariadb.restart()
    counted.tier.connect().close()
    assert (counted.others, counted.tier.generation) == (0, 0)


# --- a connection that is forgotten --------------------------------------------------------------------------------


@contextmanager
def forgotten(server: MariaDB) -> Iterator[Session]:
    """A session over a connection through which nothing comes any more, while a new one would work."""
    mysql_tier(server).connect().close()
    with Proxy(server.port) as lost, Proxy(server.port) as way:
        tier = open_tier(lost.address, environ={})
        session = tier.connect()
        session.save_many([("k", "v")])
        tier._server = open_tier(way.address, environ={})._server  # type: ignore[attr-defined]
        lost.hold()
        try:
            yield session
        finally:
            session.close()


@pytest.mark.parametrize("what", ["load", "save", "delete", "count"])
def test_a_connection_that_the_way_has_forgotten(mariadb: MariaDB, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql, "LOOK_TIMEOUT", 0.2)
    with forgotten(mariadb) as session:
        if what == "load":
            assert session.load_many(["k"]) == {"k": "v"}
        elif what == "save":
            session.save_many([("k", "new")])
            assert mariadb.rows() == {b"k": b"new"}
        elif what == "delete":
            session.delete_many(["k"])
            assert mariadb.rows() == {}
        else:
            assert session.count() == 1


def test_only_the_first_one_waits_to_hear_that_the_way_has_forgotten_it(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql, "LOOK_TIMEOUT", 0.2)
    with forgotten(mariadb) as session:
        tier = session._tier  # type: ignore[attr-defined]
        assert session.generation == tier.generation == 0
        assert session.load_many(["k"]) == {"k": "v"}
        assert session.generation == tier.generation == 1  # so it is fit, and all that were made before are not


def test_a_connection_that_the_server_closed_for_idling(mariadb: MariaDB) -> None:
    tier = mysql_tier(mariadb)
    session = tier.connect()
    session.save_many([("k", "v")])
    mariadb.end_connections(DATABASE)
    assert session.load_many(["k"]) == {"k": "v"}
    session.close()


def test_a_session_that_failed_does_not_come_back(mariadb: MariaDB) -> None:
    session = mysql_tier(mariadb).connect()
    session.close()
    with pytest.raises(TierUnavailable):
        session.count()


def test_a_busy_connection_is_not_looked_at_all_the_time(mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def counted(connection: Any) -> Any:
        looks.append(time.monotonic())
        return place(connection)

    monkeypatch.setattr(mysql, "place", counted)
    monkeypatch.setattr(mysql, "LOOK_EVERY", 3600.0)
    session = mysql_tier(mariadb).connect()
    for _ in range(50):
        session.load_many(["k"])
    assert len(looks) == 1  # by connecting
    session.close()


def test_a_statement_that_takes_long_is_not_cut(mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a look may take, and than the kernel waits for an acknowledgement.
    monkeypatch.setattr(mysql, "LOOK_TIMEOUT", 0.5)
    monkeypatch.setattr("ckv.persistent.mysql.connection.UNACKNOWLEDGED", 1)
    monkeypatch.setattr("ckv.persistent.mysql.connection.KEEP_ALIVE", 1)
    session = mysql_tier(mariadb).connect()
    mariadb.query(f"CREATE TRIGGER {DATABASE}.t BEFORE INSERT ON {TABLE} FOR EACH ROW SET @x = SLEEP(3)")
    session.save_many([("k", "v")])
    assert mariadb.rows() == {b"k": b"v"}
    session.close()


def test_the_kernel_finds_out(mariadb: MariaDB) -> None:
    session = mysql_tier(mariadb).connect()
    sock = session._connection._connection._sock  # type: ignore[attr-defined]
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
    session.close()


@pytest.mark.parametrize("lock", ["LOCK TABLES celonis.CelonisData WRITE", "FLUSH TABLES WITH READ LOCK"])
def test_a_look_waits_for_no_lock(mariadb: MariaDB, lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, at, _ = mysql_tier(mariadb).open()  # type: ignore[attr-defined]
    with mariadb.connect() as holder, holder.cursor() as cursor:
        cursor.execute(lock)
        waiting = threading.Thread(target=lambda: _ignore(mariadb), daemon=True)
        waiting.start()
        with connection.within(5):
            assert place(connection) == at
        cursor.execute("UNLOCK TABLES")
        waiting.join(30)
    connection.close()


def _ignore(server: MariaDB) -> None:
    """Somebody who alters the table, and waits for whoever has it locked."""
    server.query(f"ALTER TABLE {TABLE} COMMENT = 'x'")


def test_statements_in_a_hurry_fail_in_time(mariadb: MariaDB) -> None:
    connection, _, _ = mysql_tier(mariadb).open()  # type: ignore[attr-defined]
    with pytest.raises(StatementFailed, match="2013"), connection.within(0.2):
        connection.run("SELECT SLEEP(20)")
    connection.abort()
