"""What rows know of the end of a record, and the tables of before they knew it."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckv.errors import TierUnavailable
from ckv.persistent import Session
from ckv.persistent.opening import open_tier
from ckv.persistent.rows import TABLE
from ckv.values import MAX_EXPIRES, Value, to_text
from tests.persistent.conftest import TierUnderTest, mysql_tier
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.marks import ONLY_MARIADB, ONLY_MYSQL

OLD_MYSQL = (
    "CREATE TABLE CelonisData (kv_key VARBINARY(1024) NOT NULL, kv_value LONGBLOB NOT NULL,"
    " kv_type TINYINT UNSIGNED NOT NULL DEFAULT 0, PRIMARY KEY (kv_key)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC"
)
OLD_SQLITE = """CREATE TABLE CelonisData (
    kv_key BLOB NOT NULL PRIMARY KEY, kv_value BLOB NOT NULL, kv_type INTEGER NOT NULL DEFAULT 0)"""
OLD_UPSERTS = {
    "mysql": "INSERT INTO CelonisData (kv_key, kv_value, kv_type) VALUES (X'6b', X'6f6c64', 1)"
    " ON DUPLICATE KEY UPDATE kv_value = VALUES(kv_value), kv_type = VALUES(kv_type)",
    "sqlite": "INSERT INTO CelonisData (kv_key, kv_value, kv_type) VALUES (X'6b', X'6f6c64', 1)"
    " ON CONFLICT (kv_key) DO UPDATE SET kv_value = excluded.kv_value, kv_type = excluded.kv_type",
}
"""How ckv 0.1.0 wrote a row: its text must stay as it is."""

LATER = 1_900_000_000_123


def run(under_test: TierUnderTest, statement: str, request: pytest.FixtureRequest) -> list[tuple[object, ...]]:
    """What somebody else does to the table; the rows."""
    if "sqlite" in under_test.tier.name:
        with contextlib.closing(sqlite3.connect(under_test.tier.name.partition(":")[2])) as connection, connection:
            return connection.execute(statement).fetchall()
    server: MariaDB = request.getfixturevalue("mariadb")
    return server.query(statement, database=DATABASE)


def kind_of(under_test: TierUnderTest) -> str:
    return under_test.tier.name.partition(":")[0]


def test_expiry_and_type_come_back(session: Session) -> None:
    records: dict[str, Value] = {"s": "text", "b": b"bin", "plain": "text", "plain b": b"bin", "first": "", "last": b""}
    expires = {"s": LATER, "b": LATER + 1, "first": 1, "last": MAX_EXPIRES}
    session.save_many(list(records.items()), expires)
    assert session.load_some(list(records), 0) == (records, {}, expires)
    assert session.load_some(list(records), 100) == (records, {}, expires)
    assert session.load_many(list(records)) == records


def test_the_next_write_ends_it_or_sets_another(session: Session) -> None:
    session.save_many([("k", "1"), ("j", b"1")], {"k": LATER, "j": LATER})
    session.save_many([("k", "2"), ("j", b"2")], {"j": LATER + 5})
    assert session.load_some(["k", "j"], 0) == ({"k": "2", "j": b"2"}, {}, {"j": LATER + 5})
    session.save_many([("j", b"3")])
    assert session.load_some(["k", "j"], 0).expires == {}
    # Expiry of a key that is not among the rows, and the last one of a key that is there twice.
    session.save_many([("k", "3"), ("k", b"4")], {"k": LATER, "other": 5})
    assert session.load_some(["k", "other"], 0) == ({"k": b"4"}, {}, {"k": LATER})


def test_a_value_that_is_left_where_it_is_has_no_expiry(session: Session) -> None:
    session.save_many([("k", "x" * 11), ("j", "x")], {"k": LATER, "j": LATER})
    assert session.load_some(["k", "j"], 10) == ({"j": "x"}, {"k": 11}, {"j": LATER})


def test_many_rows_with_and_without(session: Session) -> None:
    records: list[tuple[str, Value]] = [(f"key-{number:04}", b"%d" % number) for number in range(1201)]
    expires = {f"key-{number:04}": LATER + number for number in range(0, 1201, 3)}
    session.save_many(records, expires)
    assert session.load_some([key for key, _ in records], 0) == (dict(records), {}, expires)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(
            st.tuples(
                st.binary(max_size=2).map(to_text),
                st.binary(max_size=5).map(to_text) | st.binary(max_size=5),
                st.none() | st.integers(1, MAX_EXPIRES),
            )
        )
    )
)
def test_a_session_is_a_dict(session: Session, batches: list[list[tuple[str, Value, int | None]]]) -> None:
    records: dict[str, Value] = {}
    expires: dict[str, int] = {}
    for batch in batches:
        at = {key: when for key, _, when in batch if when is not None}
        session.save_many([(key, value) for key, value, _ in batch], at)
        for key, value, _ in batch:
            records[key] = value
            expires.pop(key, None)
        expires |= at
    assert session.load_some(list(records), 0) == (records, {}, expires)
    session.delete_many(list(records))


def test_what_an_older_version_writes_over_it_does_not_expire(
    under_test: TierUnderTest, request: pytest.FixtureRequest
) -> None:
    session = under_test.tier.connect()
    session.save_many([("k", "new")], {"k": 5})
    run(under_test, OLD_UPSERTS[kind_of(under_test)], request)
    assert run(under_test, f"SELECT kv_expires FROM {TABLE}", request) == [(5,)]  # it left that as it was
    assert session.load_some(["k"], 0) == ({"k": b"old"}, {}, {})
    session.close()


def test_rows_without_expiry_leave_the_column_alone(under_test: TierUnderTest, request: pytest.FixtureRequest) -> None:
    session = under_test.tier.connect()
    session.save_many([("k", "v")], {"k": 5})
    session.save_many([("k", "v")])
    assert run(under_test, f"SELECT kv_expires, kv_type FROM {TABLE}", request) == [(5, 0)]
    session.close()


@pytest.mark.parametrize("expires", ["NULL", "0", "-1", str(2**63 - 1), str(2**53)])
def test_what_no_version_writes_does_not_expire(
    under_test: TierUnderTest, request: pytest.FixtureRequest, expires: str
) -> None:
    session = under_test.tier.connect()
    session.save_many([("k", b"v"), ("t", "v")], {"k": 5, "t": 5})
    run(under_test, f"UPDATE {TABLE} SET kv_expires = {expires}", request)
    assert session.load_some(["k", "t"], 0) == ({"k": b"v", "t": "v"}, {}, {})
    session.close()


# --- the tables of before ------------------------------------------------------------------------------------------


def columns(server: MariaDB) -> list[str]:
    statement = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s ORDER BY ordinal_position"
    return [name for (name,) in server.query(statement, (DATABASE,))]


@pytest.fixture
def old_mysql(mariadb: MariaDB) -> MariaDB:
    mariadb.query(f"CREATE DATABASE {DATABASE}")
    mariadb.query(OLD_MYSQL, database=DATABASE)
    mariadb.query("INSERT INTO CelonisData VALUES (X'6b', X'76', 0), (X'6c', X'76', 1)", database=DATABASE)
    return mariadb


def test_a_table_of_before_gets_the_column(old_mysql: MariaDB, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    session = mysql_tier(old_mysql).connect()
    assert session.load_some(["k", "l"], 0) == ({"k": "v", "l": b"v"}, {}, {})
    assert columns(old_mysql) == ["kv_key", "kv_value", "kv_type", "kv_expires"]
    session.save_many([("k", "v")], {"k": LATER})
    assert session.load_some(["k"], 0).expires == {"k": LATER}
    session.close()
    mysql_tier(old_mysql).connect().close()
    assert caplog.text.count("upgrading the table") == 1


@ONLY_MARIADB
def test_it_gets_it_without_being_copied(old_mysql: MariaDB) -> None:
    # Which a server of today that is asked to copy nothing can tell, and no other one.
    old_mysql.query("SET GLOBAL alter_algorithm = 'INSTANT'")
    try:
        mysql_tier(old_mysql).connect().close()
    finally:
        old_mysql.query("SET GLOBAL alter_algorithm = DEFAULT")
    assert "kv_expires" in columns(old_mysql)


@ONLY_MYSQL
def test_mysql_gives_it_to_it_without_a_copy_too(old_mysql: MariaDB) -> None:
    mysql_tier(old_mysql).connect().close()
    assert "kv_expires" in columns(old_mysql)
    # It counts the columns that came or went so: https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html
    changes = "SELECT total_row_versions FROM information_schema.innodb_tables WHERE name = %s"
    assert old_mysql.query(changes, (f"{DATABASE}/{TABLE}",)) == [(1,)]


@pytest.fixture
def ann(old_mysql: MariaDB) -> Iterator[str]:
    """An account that may do everything but change tables."""
    with old_mysql.account("ann", "secret") as ann:
        old_mysql.query(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {DATABASE}.* TO 'ann'@'127.0.0.1'")
        yield ann


def test_an_account_that_may_not_change_the_table_is_told_what_to_do(old_mysql: MariaDB, ann: str) -> None:
    tier = open_tier(f"mysql://{ann}@{old_mysql.address}", environ={})
    with pytest.raises(
        TierUnavailable, match=r"this account may not change the table; let another one do it: "
    ) as caught:
        tier.connect()
    assert columns(old_mysql) == ["kv_key", "kv_value", "kv_type"]
    old_mysql.query(str(caught.value).partition("do it: ")[2], database=DATABASE)
    session = tier.connect()
    session.save_many([("k", "v")], {"k": LATER})
    session.close()


@pytest.fixture
def old_sqlite(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(OLD_SQLITE)
        connection.execute("INSERT INTO CelonisData VALUES (X'6b', X'76', 0), (X'6c', X'76', 1)")
    return path


def test_a_file_of_before_gets_the_column(old_sqlite: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tier = open_tier(f"sqlite:{old_sqlite}")
    session, other = tier.connect(), tier.connect()
    assert session.load_some(["k", "l"], 0) == ({"k": "v", "l": b"v"}, {}, {})
    session.save_many([("k", "v")], {"k": LATER})
    assert other.load_some(["k"], 0).expires == {"k": LATER}
    assert caplog.text.count("upgraded the table") == 1
    session.close()
    other.close()


def test_a_tool_changes_no_file_of_before(old_sqlite: Path) -> None:
    session = open_tier(f"sqlite:{old_sqlite}").connect(prepare=False)
    with pytest.raises(TierUnavailable, match="kv_expires"):
        session.load_some(["k"], 0)
    with contextlib.closing(sqlite3.connect(old_sqlite)) as connection:
        assert "kv_expires" not in str(connection.execute("SELECT sql FROM sqlite_master").fetchall())


# --- clocks --------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_another_than_ours_is_said_once(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tier = mysql_tier(mariadb)
    tier.connect().close()
    assert abs(tier.clock_skew) < 1.0
    assert "its clock" not in caplog.text
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    for _ in range(3):
        tier.connect().close()
    assert -3601 < tier.clock_skew < -3599
    assert caplog.text.count("its clock is 3600.0 s behind ours") == 1
    monkeypatch.setattr(time, "time", now)
    tier.connect().close()
    monkeypatch.setattr(time, "time", lambda: now() - 5)
    tier.connect().close()
    assert caplog.text.count("its clock is 5.0 s ahead of ours") == 1


@pytest.mark.parametrize("zone", ["+13:00", "-11:00"])
def test_the_zone_of_the_server_does_not_matter(mariadb: MariaDB, zone: str) -> None:
    mariadb.query(f"SET GLOBAL time_zone = '{zone}'")
    try:
        tier = mysql_tier(mariadb)
        tier.connect().close()
        assert abs(tier.clock_skew) < 1.0
    finally:
        mariadb.query("SET GLOBAL time_zone = DEFAULT")
