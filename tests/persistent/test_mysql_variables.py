"""Whatever a server was set to, a session does what it says, and what the server does not give is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ckv.persistent.mysql import tier as mysql
from ckv.persistent.mysql import variables as mysql_variables
from ckv.persistent.opening import open_tier
from tests.persistent.conftest import mysql_tier
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.marks import ONLY_MARIADB, ONLY_MYSQL

ROWS = {f"k{number:03}": f"v{number}" for number in range(305)}


@contextmanager
def set_to(server: MariaDB, name: str, value: str) -> Iterator[None]:
    ((before,),) = server.query(f"SELECT @@global.{name}")
    server.query(f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        server.query(f"SET GLOBAL {name} = %s", (before,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sql_select_limit", "100"),
        ("sql_safe_updates", "ON"),
        ("sql_auto_is_null", "ON"),
        ("max_join_size", "10"),
        ("autocommit", "OFF"),
        ("completion_type", "'CHAIN'"),
        ("completion_type", "'RELEASE'"),
        pytest.param("tx_isolation", "'READ-UNCOMMITTED'", marks=ONLY_MARIADB),
        pytest.param("tx_isolation", "'SERIALIZABLE'", marks=ONLY_MARIADB),
        pytest.param("tx_read_only", "ON", marks=ONLY_MARIADB),
        pytest.param("transaction_isolation", "'SERIALIZABLE'", marks=ONLY_MYSQL),
        pytest.param("transaction_read_only", "ON", marks=ONLY_MYSQL),
        ("sql_mode", "'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT'"),
        ("unique_checks", "OFF"),
        ("foreign_key_checks", "OFF"),
        ("innodb_lock_wait_timeout", "1"),
        ("time_zone", "'-11:00'"),
        pytest.param("sql_require_primary_key", "ON", marks=ONLY_MYSQL),
        pytest.param("sql_generate_invisible_primary_key", "ON", marks=ONLY_MYSQL),
        pytest.param("max_execution_time", "1", marks=ONLY_MYSQL),
        pytest.param("innodb_strict_mode", "OFF", marks=ONLY_MARIADB),
        pytest.param("in_predicate_conversion_threshold", "2", marks=ONLY_MARIADB),
        pytest.param("wsrep_sync_wait", "15", marks=ONLY_MARIADB),
    ],
)
def test_a_session_does_what_it_says(mariadb: MariaDB, name: str, value: str) -> None:
    mysql_tier(mariadb).connect().close()
    with set_to(mariadb, name, value):
        tier = mysql_tier(mariadb)
        session, other = tier.connect(), tier.connect()
        session.save_many(list(ROWS.items()))
        assert session.load_many([*ROWS, "missing"]) == ROWS
        # Neither a lock nor a snapshot is left over from before.
        other.save_many([("k000", "new")])
        assert session.load_many(["k000"]) == {"k000": "new"}
        session.delete_many([key for key in ROWS if key != "k007"])
        assert other.load_many(list(ROWS)) == {"k007": "v7"}
        assert other.count() == 1
        session.close()
        other.close()
    assert mariadb.rows() == {b"k007": b"v7"}


@ONLY_MARIADB
def test_a_table_with_a_history_is_read_as_it_is_now(mariadb: MariaDB) -> None:
    tier = mysql_tier(mariadb)
    tier.connect().close()
    mariadb.query(f"ALTER TABLE {DATABASE}.CelonisData ADD SYSTEM VERSIONING")
    mariadb.query("SET GLOBAL system_versioning_asof = '2020-01-01 00:00:00'")
    try:
        session = mysql_tier(mariadb).connect()
        session.save_many(list(ROWS.items()))
        assert session.load_many(list(ROWS)) == ROWS
        session.close()
    finally:
        mariadb.query("SET GLOBAL system_versioning_asof = DEFAULT")


def test_what_the_server_does_at_each_connect_is_over(mariadb: MariaDB) -> None:
    mysql_tier(mariadb).connect().close()
    begins = f"SET sql_select_limit = 1; BEGIN; SELECT * FROM {DATABASE}.CelonisData; USE information_schema"
    # It is run for accounts without special rights only.
    with mariadb.account("bob", "x") as bob, set_to(mariadb, "init_connect", f"'{begins}'"):
        mariadb.query(f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER ON `{DATABASE}`.* TO 'bob'@'127.0.0.1'")
        tier = open_tier(f"mysql://{bob}@{mariadb.address}", environ={})
        session, other = tier.connect(), tier.connect()
        session.save_many(list(ROWS.items()))
        assert other.load_many(list(ROWS)) == ROWS
        session.delete_many(["k000"])
        assert other.count() == len(ROWS) - 1
        session.close()
        other.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("max_statement_time", "0.2", marks=ONLY_MARIADB),
        pytest.param("max_execution_time", "200", marks=ONLY_MYSQL),
    ],
)
def test_no_bound_on_time_ends_a_load(mariadb: MariaDB, name: str, value: str) -> None:
    with set_to(mariadb, name, value):
        session = mysql_tier(mariadb).connect()
        session.save_many([("k", "v")])
        with mariadb.connect(DATABASE, autocommit=False) as holder, holder.cursor() as cursor:
            cursor.execute("SELECT kv_value FROM CelonisData WHERE kv_key = 'k' FOR UPDATE")
            found: list[object] = []
            load = threading.Thread(target=lambda: found.append(session.load_many(["k"])))
            load.start()
            waits = "SELECT id FROM information_schema.processlist WHERE info LIKE %s AND time >= 2"
            eventually(lambda: mariadb.query(waits, ("%FROM CelonisData WHERE kv_key IN%",)) or found, what="it waits")
            holder.rollback()
            load.join()
        assert found == [{"k": "v"}]
        session.close()


@ONLY_MARIADB
def test_reads_wait_for_the_cluster(mariadb: MariaDB) -> None:
    with set_to(mariadb, "wsrep_sync_wait", "0"):
        connection, _, _ = mysql_tier(mariadb).open()  # type: ignore[attr-defined]
        assert connection.run("SELECT @@wsrep_sync_wait, @@wsrep_dirty_reads") == ((b"7", b"0"),)
        connection.close()


def test_what_a_session_has_already_is_not_set() -> None:
    assert mysql_variables.settings({**mysql_variables.SESSION, "unknown": "1"}) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("innodb_flush_log_at_trx_commit", "0"), ("innodb_flush_log_at_trx_commit", "2")],
)
def test_a_server_that_may_lose_commits_is_named_once(
    mariadb: MariaDB, name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    with set_to(mariadb, name, value):
        tier = mysql_tier(mariadb)
        for _ in range(3):
            tier.connect().close()
    told = [record.getMessage() for record in caplog.records if record.name == mysql.__name__]
    assert len(told) == 1
    assert f"{name} is {value} and not 1" in told[0]


def test_a_server_that_loses_nothing_is_not_named(mariadb: MariaDB, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    mysql_tier(mariadb).connect().close()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"innodb_flush_log_at_trx_commit": "1", "log_bin": "ON", "sync_binlog": "1", "innodb_doublewrite": "ON"}, ""),
        ({"log_bin": "OFF", "sync_binlog": "0"}, ""),
        ({"log_bin": "ON", "sync_binlog": "100"}, "sync_binlog is 100 and not 1"),
        ({"innodb_doublewrite": "OFF"}, "innodb_doublewrite is OFF and not ON"),
        ({"innodb_doublewrite": "DETECT_ONLY"}, "innodb_doublewrite is DETECT_ONLY and not ON"),
        ({"innodb_doublewrite": "DETECT_AND_RECOVER"}, ""),
        ({"innodb_flush_method": "nosync"}, "innodb_flush_method is nosync"),
        ({}, ""),
    ],
)
def test_the_risks(variables: dict[str, str], named: str) -> None:
    assert mysql_variables.risks(variables) == ([named] if named else [])
