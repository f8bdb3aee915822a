"""What is special to MySQL: accounts, bounds, lost connections, and no write that comes late."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.constants import ER

from ckv.errors import RowsRefused, TierUnavailable
from ckv.persistent import RowsLocked, Session
from ckv.persistent.mysql import connection as mysql_connection
from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.statements import statements as packed_statements
from ckv.persistent.mysql.tier import MOST_DEADLOCKS
from ckv.persistent.opening import open_tier
from ckv.persistent.rows import ROWS_PER_STATEMENT
from tests.persistent.conftest import mysql_tier
from tests.persistent.proxy import Proxy
from tests.support.certificate import self_signed
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.products import Template

SECRET = "quite-secret"

# As packets begin: the byte says that a statement follows.
COMMIT = b"\x03COMMIT"
ROLLBACK = b"\x03ROLLBACK"
GOODBYE = b"\x01\x00\x00\x00\x01"


@contextmanager
def connected(server: MariaDB) -> Iterator[Session]:
    session = mysql_tier(server).connect()
    try:
        yield session
    finally:
        session.close()


@pytest.fixture
def account(mariadb: MariaDB) -> Iterator[str]:
    """``name:password`` of an account with rights on ckv's database and no others."""
    with mariadb.account("ann", SECRET) as ann:
        mariadb.query(f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER ON `{DATABASE}`.* TO 'ann'@'127.0.0.1'")
        yield ann


# --- the table, the database, the account --------------------------------------------------------------------------


def test_the_table_is_as_it_has_to_be(mariadb: MariaDB) -> None:
    with connected(mariadb):
        pass
    columns = mariadb.query(
        "SELECT column_name, data_type, character_maximum_length, is_nullable, column_key"
        " FROM information_schema.columns WHERE table_schema = %s ORDER BY ordinal_position",
        (DATABASE,),
    )
    assert columns == [
        ("kv_key", "varbinary", 1024, "NO", "PRI"),
        ("kv_value", "longblob", 2**32 - 1, "NO", ""),
        ("kv_type", "tinyint", None, "NO", ""),
        ("kv_expires", "bigint", None, "YES", ""),
    ]
    storage = "SELECT table_name, engine, row_format FROM information_schema.tables WHERE table_schema = %s"
    assert mariadb.query(storage, (DATABASE,)) == [("CelonisData", "InnoDB", "Dynamic")]


def test_a_database_with_an_odd_name(mariadb: MariaDB) -> None:
    name = "x`; DROP DATABASE celonis; --"
    try:
        session = mysql_tier(mariadb, "/x%60; DROP DATABASE celonis; --").connect()
        session.close()
        assert mariadb.query("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (name,)) == [
            ("CelonisData",)
        ]
    finally:
        mariadb.query("DROP DATABASE IF EXISTS `x``; DROP DATABASE celonis; --`")


def test_an_account_that_may_not_create_databases(mariadb: MariaDB, account: str) -> None:
    mariadb.query(f"REVOKE CREATE ON `{DATABASE}`.* FROM 'ann'@'127.0.0.1'")
    with pytest.raises(TierUnavailable, match="1044"):
        open_tier(f"mysql://{account}@{mariadb.address}/mysql", environ={}).connect()
    tier = open_tier(f"mysql://{account}@{mariadb.address}", environ={})
    with pytest.raises(TierUnavailable, match="1049"):
        tier.connect()
    mariadb.query(f"CREATE DATABASE `{DATABASE}`")
    mariadb.query(f"GRANT CREATE ON `{DATABASE}`.CelonisData TO 'ann'@'127.0.0.1'")
    tier.connect().close()
    mariadb.query(f"DROP TABLE {DATABASE}.CelonisData")
    open_tier(f"mysql://{account}@{mariadb.address}", environ={}).connect().close()


def test_a_table_that_is_not_ckvs_is_left_alone(mariadb: MariaDB) -> None:
    mariadb.query(f"CREATE DATABASE {DATABASE}")
    mariadb.query(f"CREATE TABLE {DATABASE}.CelonisData (id INT PRIMARY KEY)")
    with pytest.raises(TierUnavailable, match="lacks"):
        mysql_tier(mariadb).connect()
    assert [row[0] for row in mariadb.query(f"SHOW COLUMNS FROM {DATABASE}.CelonisData")] == ["id"]


@pytest.mark.parametrize("what", [f"TABLE {DATABASE}.CelonisData", f"DATABASE {DATABASE}"])
def test_a_dropped_table_is_made_anew_by_the_next_process_only(mariadb: MariaDB, what: str) -> None:
    tier = mysql_tier(mariadb)
    session = tier.connect()
    mariadb.query(f"DROP {what}")
    with pytest.raises(TierUnavailable, match="no empty one is made"):
        session.save_many([("k", "v")])
    for _ in range(2):
        with pytest.raises(TierUnavailable, match="no empty one is made"):
            tier.connect()
    assert mariadb.rows() == {}
    with connected(mariadb) as other:
        other.save_many([("k", "v")])
    # Now there is one again.
    session = tier.connect()
    assert session.load_many(["k"]) == {"k": "v"}
    session.close()


def test_localhost_is_tcp(mariadb: MariaDB) -> None:
    tier = open_tier(f"localhost:{mariadb.port}", environ={})
    session = tier.connect()
    session.save_many([("k", "v")])
    session.close()
    assert mariadb.rows() == {b"k": b"v"}


def test_the_password_is_shown_nowhere(
    mariadb: MariaDB, account: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "password"
    file.write_text("wrong-" + SECRET)
    environ = {"CKV_MYSQL_USER": "ann", "CKV_MYSQL_PASSWORD_FILE": str(file)}
    tier = open_tier(mariadb.address, environ=environ)
    with pytest.raises(TierUnavailable, match="1045") as caught:
        tier.connect()
    # The file is rotated while the node runs.
    file.write_text(SECRET + "\n")
    session = tier.connect()
    session.save_many([("k", "v")])
    session.close()
    file.unlink()
    with pytest.raises(TierUnavailable) as unreadable:
        tier.connect()
    shown = [tier.name, repr(tier), repr(vars(tier)), str(caught.value), str(unreadable.value), caplog.text]
    assert SECRET not in "".join(shown)
    assert "created the table" in caplog.text


def test_tls_where_the_server_has_it(mariadb_template: Template, tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path)
    options = [f"--ssl-key={key}", f"--ssl-cert={certificate}", "--require-secure-transport=ON"]
    server = MariaDB(_empty(tmp_path / "db"), mariadb_template, options)
    server.start()
    try:
        with connected(server) as session:
            session.save_many([("k", "x" * 100_000)])
            assert session.load_many(["k"]) == {"k": "x" * 100_000}
    finally:
        server.kill()


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


# --- what the server refuses ---------------------------------------------------------------------------------------


@pytest.fixture
def small_packets(mariadb: MariaDB) -> Iterator[int]:
    mariadb.query("SET GLOBAL max_allowed_packet = 65536")
    yield 65536
    mariadb.query("SET GLOBAL max_allowed_packet = DEFAULT")


def test_statements_stay_below_the_servers_bound(mariadb: MariaDB, small_packets: int) -> None:
    rows = {f"key-{number}" + "x" * 500: "v" * (10_000 + number) for number in range(40)}
    rows |= {"k" * 1000 + str(number): "" for number in range(500)}
    with connected(mariadb) as session:
        session.save_many(list(rows.items()))
        assert session.load_many(list(rows)) == rows
        session.delete_many(list(rows))
        assert session.count() == 0


@given(items=st.lists(st.text("x", min_size=1, max_size=90), max_size=1200), max_bytes=st.integers(100, 1000))
def test_statements_hold_each_item_once_within_both_bounds(items: list[str], max_bytes: int) -> None:
    statements = packed_statements("<head>", items, "</>", max_bytes)
    inner = [statement.removeprefix("<head>").removesuffix("</>").split(",") for statement in statements]
    assert [item for some in inner for item in some] == items
    assert all(len(statement) <= max_bytes for statement in statements)
    assert all(len(some) <= ROWS_PER_STATEMENT for some in inner)


def test_a_batch_takes_few_statements() -> None:
    statements = packed_statements("", ["x"] * 1200, "", 10**6)
    assert [statement.count("x") for statement in statements] == [500, 500, 200]


def test_a_row_above_the_servers_bound_is_refused(mariadb: MariaDB, small_packets: int) -> None:
    with connected(mariadb) as session:
        largest = 0
        for size in range(32_600, 32_768):
            try:
                session.save_many([("k", b"v" * size)])
                largest = size
            except RowsRefused:
                break
        assert 32_600 < largest < 32_700  # Each byte takes two.
        with pytest.raises(RowsRefused, match="a key of 3 and a value of 40000 bytes"):
            session.save_many([("a", "fine"), ("bad", "v" * 40_000)])
        assert session.load_many(["k", "a"]) == {"k": b"v" * largest}


def test_a_key_too_long_is_refused(mariadb: MariaDB) -> None:
    with connected(mariadb) as session, pytest.raises(RowsRefused, match="1406"):
        session.save_many([("k" * 1025, "v")])


def test_refused_only_when_the_rollback_is_certain(mariadb: MariaDB) -> None:
    with connected(mariadb):
        pass
    with Proxy(mariadb.port, ROLLBACK) as proxy:
        session = open_tier(proxy.address, environ={}).connect()

        def cut_off() -> None:
            proxy.caught.wait(30)
            proxy.cut_off_client()

        threading.Thread(target=cut_off, daemon=True).start()
        with pytest.raises(TierUnavailable):
            session.save_many([("k" * 1025, "v")])
        session.close()


def test_a_read_only_server_is_unavailable(mariadb: MariaDB, account: str) -> None:
    with connected(mariadb) as other:
        other.save_many([("k", "v")])
    session = open_tier(f"mysql://{account}@{mariadb.address}", environ={}).connect()
    mariadb.query("SET GLOBAL read_only = ON")
    try:
        with pytest.raises(TierUnavailable, match="1290"):
            session.save_many([("k", "new")])
        assert mariadb.rows() == {b"k": b"v"}
    finally:
        mariadb.query("SET GLOBAL read_only = OFF")
        session.close()


def test_a_deadlock_is_tried_again_and_leaves_nothing_undone(mariadb: MariaDB) -> None:
    with connected(mariadb) as session, mariadb.connect(DATABASE) as raw, ThreadPoolExecutor(1) as threads:
        session.save_many([(f"{number:03}", "old") for number in range(200)])
        cursor = raw.cursor()
        raw.begin()
        # It has changed more rows, so the server chooses the other side.
        cursor.execute("UPDATE CelonisData SET kv_value = 'raw' WHERE kv_key >= '010'")
        save = threads.submit(session.save_many, [("001", "new"), ("100", "new")])
        _wait_for_statement(mariadb, "INSERT")
        cursor.execute("UPDATE CelonisData SET kv_value = 'raw' WHERE kv_key = '001'")
        # That this returns means that the other side was rolled back.
        assert not save.done()
        raw.commit()
        save.result(30)
        rows = mariadb.rows()
        assert (rows.pop(b"001"), rows.pop(b"100")) == (b"new", b"new")
        assert set(rows.values()) == {b"old", b"raw"}


@pytest.mark.parametrize(("call", "first"), [("load", "SELECT"), ("save", "BEGIN"), ("delete", "BEGIN")])
@pytest.mark.parametrize("deadlocks", [MOST_DEADLOCKS, MOST_DEADLOCKS + 1])
def test_deadlocks_without_end_are_unavailable(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch, call: str, first: str, deadlocks: int
) -> None:
    run, left = Connection.run, [deadlocks]

    def deadlocked(self: Connection, *statements: str) -> object:
        if left[0] and statements[0].startswith(first):
            left[0] -= 1
            raise StatementFailed("Deadlock found", ER.LOCK_DEADLOCK)
        return run(self, *statements)

    with connected(mariadb) as session:
        session.save_many([("k", "old")])
        monkeypatch.setattr(Connection, "run", deadlocked)
        calls: dict[str, Callable[[], object]] = {
            "load": lambda: session.load_many(["k"]),
            "save": lambda: session.save_many([("k", "new")]),
            "delete": lambda: session.delete_many(["k"]),
        }
        if deadlocks <= MOST_DEADLOCKS:
            calls[call]()
        else:
            with pytest.raises(TierUnavailable, match="Deadlock"):
                calls[call]()
            # The connection is fine, but whoever was not told how a call ended must not go on with it.
            with pytest.raises(TierUnavailable):
                session.count()
    assert left == [0]
    wanted = {"load": {b"k": b"old"}, "save": {b"k": b"new"}, "delete": {}}
    assert mariadb.rows() == (wanted[call] if deadlocks <= MOST_DEADLOCKS else {b"k": b"old"})


def _wait_for_statement(server: MariaDB, start: str) -> None:
    running = "SELECT id FROM information_schema.processlist WHERE info LIKE %s"
    eventually(lambda: server.query(running, (start + "%",)), what=f"{start} is running")


# --- connections that are lost -------------------------------------------------------------------------------------


def test_nobody_listens(mariadb: MariaDB) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(TierUnavailable, match="2003"):
        open_tier(f"127.0.0.1:{port}", environ={}).connect()


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"-ERR unknown command\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x01\x00\x00\x00",
        b"\x01\x00\x00\x00\x0a",
        b"\x05\x00\x00\x00\x0a5.7\x00",
        b"\x02\x00\x00\x00\xff\x10",
        b"\x10\x00\x00\x00\x0a\xff\xfe\x00" + b"\x00" * 12,
        b"\x4a\x00\x00\x00\x0a8.0\x00" + b"\xff" * 69,
    ],
)
def test_what_answers_is_no_mysql(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(greeting)
                client.shutdown(socket.SHUT_WR)
                try:
                    while client.recv(4096):
                        pass
                except OSError:
                    pass

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(TierUnavailable) as caught:
            open_tier(f"127.0.0.1:{listener.getsockname()[1]}", environ={}).connect()
        thread.join(30)
        assert "\n" not in str(caught.value)
        # Over the wire an error is the name of its class, so a subclass would be unknown to clients.
        assert type(caught.value) is TierUnavailable


def test_a_killed_server(private_mariadb: MariaDB) -> None:
    tier = mysql_tier(private_mariadb)
    sessions = [tier.connect() for _ in range(4)]
    sessions[0].save_many([("k", "v")])
    private_mariadb.kill()
    with pytest.raises(TierUnavailable):
        sessions[0].load_many(["k"])
    with pytest.raises(TierUnavailable):
        sessions[1].save_many([("k", "new")])
    with pytest.raises(TierUnavailable):
        sessions[2].delete_many(["k"])
    with pytest.raises(TierUnavailable) as caught:
        sessions[3].count()
    assert type(caught.value) is TierUnavailable
    with pytest.raises(TierUnavailable):
        tier.connect()
    private_mariadb.start()
    with pytest.raises(TierUnavailable):
        sessions[0].load_many(["k"])  # It does not come back by itself.
    for session in sessions:
        session.close()
    with connected(private_mariadb) as session:
        assert session.load_many(["k"]) == {"k": "v"}


def test_a_server_that_stalls(private_mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_connection, "STATEMENT_TIMEOUT", 0.3)
    tier = mysql_tier(private_mariadb)
    session, second = tier.connect(), tier.connect()
    private_mariadb.pause()
    with pytest.raises(TierUnavailable, match="2013"):
        session.load_many(["k"])
    # More than the buffers on the way take.
    with pytest.raises(TierUnavailable):
        second.save_many([("k", "v" * 30_000_000)])
    with pytest.raises(TierUnavailable):
        tier.connect()
    session.close()
    second.close()
    private_mariadb.resume()


def test_a_failed_session_is_broken_off_without_a_goodbye(mariadb: MariaDB) -> None:
    # Sending one would wait for a server that has stopped reading.
    with connected(mariadb):
        pass
    with Proxy(mariadb.port, GOODBYE) as proxy:
        session = open_tier(proxy.address, environ={}).connect()
        mariadb.query(f"DROP TABLE {DATABASE}.CelonisData")
        with pytest.raises(TierUnavailable):
            session.count()
        session.close()
        assert proxy.ended.wait(30)
        assert not proxy.caught.is_set()


def test_a_statement_that_comes_late_has_no_effect(mariadb: MariaDB) -> None:
    with connected(mariadb) as session:
        session.save_many([("k", "old"), ("d", "old")])
    for write in ("INSERT", "DELETE"):
        with Proxy(mariadb.port, b"\x03BEGIN;" + write.encode()) as proxy, ThreadPoolExecutor(1) as threads:
            stalled = open_tier(proxy.address, environ={}).connect()
            call = (
                threads.submit(stalled.save_many, [("k", "late")])
                if write == "INSERT"
                else threads.submit(stalled.delete_many, ["d"])
            )
            assert proxy.caught.wait(30)
            proxy.cut_off_client()
            with pytest.raises(TierUnavailable):
                call.result(30)
            stalled.close()
            with connected(mariadb) as session:
                session.save_many([("k", "new"), ("d", "new")])
                # Only now the network hands over the statement of the connection that was given up.
                proxy.deliver()
                assert session.load_many(["k", "d"]) == {"k": "new", "d": "new"}


def test_an_answer_to_commit_that_is_lost(mariadb: MariaDB) -> None:
    with connected(mariadb):
        pass
    with Proxy(mariadb.port, COMMIT) as proxy, ThreadPoolExecutor(1) as threads:
        session = open_tier(proxy.address, environ={}).connect()
        call = threads.submit(session.save_many, [("k", "v")])
        assert proxy.caught.wait(30)
        assert mariadb.rows() == {}
        proxy.cut_off_client()
        with pytest.raises(TierUnavailable):
            call.result(30)
        session.close()


def test_no_setting_of_the_server_gets_in_the_way(mariadb: MariaDB) -> None:
    modes = "ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT"
    mariadb.query(f"SET GLOBAL sql_mode = '{modes}', GLOBAL autocommit = OFF")
    try:
        with connected(mariadb) as session:
            session.save_many([("a\\'\"", "\\' \" ")])
            assert session.load_many(["a\\'\""]) == {"a\\'\"": "\\' \" "}
            with connected(mariadb) as other:
                other.delete_many(["a\\'\""])
                assert session.count() == 0
    finally:
        mariadb.query("SET GLOBAL sql_mode = DEFAULT, GLOBAL autocommit = ON")


def test_a_load_does_not_wait_for_a_locked_row_nor_for_rows_that_it_does_not_ask_for(mariadb: MariaDB) -> None:
    keys = [f"k{number:03}" for number in range(300)]
    with connected(mariadb) as session, mariadb.connect(DATABASE, autocommit=False) as holder:
        session.save_many([(key, "v") for key in keys])
        holder.cursor().execute("SELECT * FROM CelonisData WHERE kv_key = 'k000' FOR UPDATE")
        for _ in range(2):
            with pytest.raises(RowsLocked):
                session.load_some(keys, 100)
            assert len(session.load_some(keys[1:], 100).found) == 299  # it can be used further
        holder.rollback()
        assert len(session.load_some(keys, 100).found) == 300
