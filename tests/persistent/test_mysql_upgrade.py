"""The table that the original program left behind is upgraded in place, and not a row is lost."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymysql.constants import ER

from ckv.errors import TierUnavailable
from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.schema import lock_name
from ckv.values import Value
from tests.persistent.conftest import mysql_tier
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.marks import ONLY_MARIADB, ONLY_MYSQL

ORIGINAL = "CREATE TABLE CelonisData (kv_key VARCHAR(255) PRIMARY KEY, kv_value VARCHAR(1023) NOT NULL)"

CURRENT = (
    "CREATE TABLE CelonisData (kv_key VARBINARY(1024) PRIMARY KEY, kv_value LONGBLOB NOT NULL,"
    " kv_type TINYINT UNSIGNED NOT NULL DEFAULT 0, kv_expires BIGINT)"
)

RECORDS: dict[str, Value] = {
    "Bob": "bob@gmail.com",
    "alice": "",
    "two ": "  spaces  ",
    "é": "naïve café  ",
    "k" * 255: "é" * 1023,
}
BEYOND_LATIN_1: dict[str, Value] = {"ключ": "значение", "鍵": "値"}


def leave_behind(
    server: MariaDB, records: dict[str, Value], table: str = ORIGINAL, charset: str = "utf8mb4", database: str = ""
) -> None:
    """The database as it was, with rows that a client wrote."""
    server.query(f"CREATE DATABASE {DATABASE} CHARACTER SET {charset} {database}")
    with server.connect(DATABASE, charset="utf8mb4") as connection, connection.cursor() as cursor:
        cursor.execute(table)
        cursor.executemany("INSERT INTO CelonisData (kv_key, kv_value) VALUES (%s, %s)", list(records.items()))


def upgraded(server: MariaDB) -> dict[str, Value]:
    """What a session finds, in a table that is as a new one."""
    session = mysql_tier(server).connect()
    keys = [key.decode("utf-8", "surrogateescape") for key in server.rows()]
    found = session.load_many(keys)
    assert session.count() == len(found)
    # It takes what the old one did not.
    session.save_many([("bOB", b"\xff" * 2**20), ("x" * 1024, "wide")])
    assert len(session.load_many(["Bob", "bob", "bOB", "x" * 1024])) == 2 + ("Bob" in found)
    session.delete_many(["bOB", "x" * 1024])
    session.close()
    columns = server.query(
        "SELECT column_name, data_type, character_maximum_length, is_nullable, column_key"
        " FROM information_schema.columns WHERE table_schema = %s AND column_name LIKE 'kv%%' ORDER BY column_name",
        (DATABASE,),
    )
    assert columns == [
        ("kv_expires", "bigint", None, "YES", ""),
        ("kv_key", "varbinary", 1024, "NO", "PRI"),
        ("kv_type", "tinyint", None, "NO", ""),
        ("kv_value", "longblob", 2**32 - 1, "NO", ""),
    ]
    storage = "SELECT engine, row_format FROM information_schema.tables WHERE table_schema = %s"
    assert server.query(storage, (DATABASE,)) == [("InnoDB", "Dynamic")]
    return found


@pytest.mark.parametrize(
    ("charset", "collation", "more"),
    [
        ("latin1", "latin1_swedish_ci", {"a": "not the same here as", "ä": "this"}),
        pytest.param("latin1", "latin1_swedish_nopad_ci", {"a": "1", "a ": "2", "a  ": "3"}, marks=ONLY_MARIADB),
        ("utf8mb3", "utf8mb3_general_ci", BEYOND_LATIN_1),
        ("utf8mb4", "utf8mb4_general_ci", BEYOND_LATIN_1 | {"🔑": "🎉"}),
        pytest.param("utf8mb4", "utf8mb4_nopad_bin", {"a": "1", "a ": "2", "A": "3"}, marks=ONLY_MARIADB),
        pytest.param("utf8mb4", "utf8mb4_0900_bin", {"a": "1", "a ": "2", "A": "3"}, marks=ONLY_MYSQL),
        ("utf16", "utf16_general_ci", BEYOND_LATIN_1 | {"🔑": "🎉"}),
        ("koi8r", "koi8r_general_ci", {"ключ": "значение"}),
        ("ascii", "ascii_general_ci", {}),
    ],
)
def test_under_any_charset(mariadb: MariaDB, charset: str, collation: str, more: dict[str, Value]) -> None:
    records = RECORDS | more
    if charset in ("koi8r", "ascii"):
        records = {key: value for key, value in records.items() if "é" not in key + str(value)} | more
    leave_behind(mariadb, records, charset=charset, database=f"COLLATE {collation}")
    assert upgraded(mariadb) == records


@pytest.mark.parametrize(
    "table",
    [
        f"{ORIGINAL} ENGINE=MyISAM CHARACTER SET latin1",
        f"{ORIGINAL} ENGINE=InnoDB ROW_FORMAT=COMPACT CHARACTER SET latin1",
        "CREATE TABLE CelonisData (kv_key VARCHAR(255) NOT NULL, kv_value VARCHAR(1023)) CHARACTER SET latin1",
        "CREATE TABLE CelonisData (kv_key VARCHAR(255) NOT NULL PRIMARY KEY, kv_value TEXT, note INT) CHARSET latin1",
        pytest.param(f"{CURRENT} ENGINE=Aria", marks=ONLY_MARIADB),
        # An upgrade that broke off after its first step, after another part of it, and by hand.
        "CREATE TABLE CelonisData (kv_key VARCHAR(768) COLLATE utf8mb4_bin PRIMARY KEY, kv_value LONGTEXT NOT NULL)",
        "CREATE TABLE CelonisData (kv_key VARBINARY(1024) PRIMARY KEY, kv_value VARCHAR(1023)) CHARACTER SET latin1",
        "CREATE TABLE CelonisData (kv_key VARCHAR(255) PRIMARY KEY, kv_value LONGBLOB NOT NULL) CHARACTER SET latin1",
        "CREATE TABLE CelonisData (kv_key VARBINARY(1023) PRIMARY KEY, kv_value BLOB NOT NULL)",
        "CREATE TABLE CelonisData (kv_key VARBINARY(1024), kv_value LONGBLOB NOT NULL, kv_type TINYINT DEFAULT 0)",
    ],
)
def test_from_any_state(mariadb: MariaDB, table: str) -> None:
    leave_behind(mariadb, RECORDS, table)
    assert upgraded(mariadb) == RECORDS


@pytest.mark.parametrize(
    "key",
    [
        "PRIMARY KEY (kv_key(255))",
        "PRIMARY KEY (kv_key(1))",
        "PRIMARY KEY (kv_key, kv_type)",
        "PRIMARY KEY (kv_type, kv_key)",
        "UNIQUE KEY one (kv_key)",
        "UNIQUE KEY one (kv_key, kv_type)",
        "KEY one (kv_key)",
        "KEY one (kv_key(255)), KEY two (kv_key, kv_type)",
    ],
)
def test_an_index_under_which_keys_are_not_what_they_are(mariadb: MariaDB, key: str) -> None:
    columns = "kv_key VARBINARY(1024) NOT NULL, kv_value LONGBLOB NOT NULL, kv_type TINYINT UNSIGNED NOT NULL DEFAULT 0"
    long = "p" * 255
    leave_behind(mariadb, {"a": "1", "b": "2"}, f"CREATE TABLE CelonisData ({columns}, {key})")
    assert upgraded(mariadb) == {"a": "1", "b": "2"}
    session = mysql_tier(mariadb).connect()
    for record in ((long + "a", "1"), (long + "b", b"2"), (long + "a", b"3")):
        session.save_many([record])
    assert session.load_many([long + "a", long + "b"]) == {long + "a": b"3", long + "b": b"2"}
    session.close()


def test_a_key_that_stands_there_twice_stops_the_upgrade(mariadb: MariaDB) -> None:
    leave_behind(
        mariadb,
        {"a": "1"},
        "CREATE TABLE CelonisData (kv_key VARBINARY(1024) NOT NULL, kv_value LONGBLOB NOT NULL,"
        " kv_type TINYINT UNSIGNED NOT NULL DEFAULT 0, PRIMARY KEY (kv_key, kv_type))",
    )
    mariadb.query(f"INSERT INTO {DATABASE}.CelonisData VALUES ('a', '2', 1)")
    before = mariadb.query(f"SHOW CREATE TABLE {DATABASE}.CelonisData")
    for _ in range(2):
        with pytest.raises(TierUnavailable, match="1062"):
            mysql_tier(mariadb).connect()
    assert mariadb.query(f"SHOW CREATE TABLE {DATABASE}.CelonisData") == before
    assert len(mariadb.query(f"SELECT * FROM {DATABASE}.CelonisData")) == 2


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (f"{CURRENT[:-1]}, UNIQUE KEY one (kv_value(10)))", r"unique index one \(kv_value\(10\)\)"),
        (f"{CURRENT[:-1]}, UNIQUE KEY one (kv_key(255)))", r"unique index one \(kv_key\(255\)\)"),
        (f"{CURRENT[:-1]}, UNIQUE KEY one (kv_type))", r"unique index one \(kv_type\)"),
        (f"{CURRENT[:-1]}, note INT NOT NULL DEFAULT 0, UNIQUE KEY one (note))", r"unique index one \(note\)"),
        (f"{CURRENT[:-1]}, note INT NOT NULL)", "column note has no default"),
        (f"{CURRENT[:-1]}, note TEXT NOT NULL)", "column note has no default"),
        (
            f"{CURRENT.replace('PRIMARY KEY', 'NOT NULL UNIQUE')[:-1]}, id INT PRIMARY KEY AUTO_INCREMENT)",
            r"primary key is \(id\)",
        ),
        (
            "CREATE TABLE CelonisData (kv_key VARBINARY(1024) PRIMARY KEY, kv_value LONGBLOB AS (UNHEX('61')) STORED)",
            "column kv_value is generated",
        ),
        (f"{CURRENT.replace('CelonisData', 'other')};CREATE VIEW CelonisData AS SELECT * FROM other", "it is a view"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_and_left_alone(mariadb: MariaDB, table: str, why: str) -> None:
    mariadb.query(f"CREATE DATABASE {DATABASE}")
    for statement in table.split(";"):
        mariadb.query(statement, database=DATABASE)
    before = mariadb.query(f"SHOW CREATE TABLE {DATABASE}.CelonisData")
    with pytest.raises(TierUnavailable, match=why) as caught:
        mysql_tier(mariadb).connect()
    assert "\n" not in str(caught.value)
    assert mariadb.query(f"SHOW CREATE TABLE {DATABASE}.CelonisData") == before


@pytest.mark.parametrize(
    "more",
    [
        "id INT AUTO_INCREMENT UNIQUE",
        "note INT NOT NULL DEFAULT 7, KEY one (note, kv_type)",
        "note INT, UNIQUE KEY one (note, kv_key)",
        "seen DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
        "length INT AS (LENGTH(kv_value)) VIRTUAL",
        "CHECK (LENGTH(kv_value) < 1048577)",
    ],
)
def test_what_else_a_table_has_is_left_alone(mariadb: MariaDB, more: str, caplog: pytest.LogCaptureFixture) -> None:
    leave_behind(mariadb, {"a": "1"}, f"{CURRENT[:-1]}, {more})")
    assert upgraded(mariadb) == {"a": "1"}
    assert "upgrading" not in caplog.text


def test_it_is_logged_once(mariadb: MariaDB, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    leave_behind(mariadb, RECORDS, charset="latin1")
    for _ in range(3):
        mysql_tier(mariadb).connect().close()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "upgrading the table CelonisData" in warnings[0]
    assert "kv_key varchar(255) latin1" in warnings[0]


def test_a_table_that_is_right_is_not_touched(mariadb: MariaDB, caplog: pytest.LogCaptureFixture) -> None:
    wider = "CREATE TABLE CelonisData (kv_key VARBINARY(2000) PRIMARY KEY, kv_value LONGBLOB NOT NULL,"
    leave_behind(
        mariadb,
        RECORDS,
        f"{wider} kv_type TINYINT NOT NULL DEFAULT 0, note TEXT, kv_expires BIGINT) ROW_FORMAT=COMPRESSED",
    )
    before = mariadb.query(f"SHOW CREATE TABLE {DATABASE}.CelonisData")
    mysql_tier(mariadb).connect().close()
    assert mariadb.query(f"SHOW CREATE TABLE {DATABASE}.CelonisData") == before
    assert "upgrading" not in caplog.text


def test_what_does_not_fit_stops_the_upgrade_and_stays(mariadb: MariaDB) -> None:
    records: dict[str, Value] = {"é" * 600: "1,200 bytes"}
    table = "CREATE TABLE CelonisData (kv_key VARCHAR(700) PRIMARY KEY, kv_value VARCHAR(1023)) CHARACTER SET latin1"
    leave_behind(mariadb, records, table)
    for _ in range(2):
        with pytest.raises(TierUnavailable, match="1406"):
            mysql_tier(mariadb).connect()
    with mariadb.connect(DATABASE, charset="utf8mb4") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT kv_key, kv_value FROM CelonisData")
        assert dict(cursor.fetchall()) == records


def test_four_secondaries_start_at_once(mariadb: MariaDB, caplog: pytest.LogCaptureFixture) -> None:
    records: dict[str, Value] = {f"kéy-{number}": f"välue-{number}" for number in range(5000)}
    leave_behind(mariadb, records, charset="latin1")

    def work(number: int) -> None:
        session = mysql_tier(mariadb).connect()
        assert session.load_many(list(records)) == records
        session.save_many([(f"new-{number}", b"1")])
        session.close()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, number) for number in range(4)]:
            done.result(60)
    assert len(mariadb.rows()) == 5004
    assert caplog.text.count("upgrading the table") == 1


def test_a_deadlock_of_the_dictionary_is_waited_for(mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL may say so to a node that looks at the table while another one upgrades it."""
    leave_behind(mariadb, RECORDS)
    run, to_come = Connection.run, [True]

    def deadlocked(self: Connection, *statements: str) -> object:
        if statements[0].startswith("SHOW INDEX") and to_come:
            to_come.clear()
            raise StatementFailed("Deadlock found", ER.LOCK_DEADLOCK)
        return run(self, *statements)

    monkeypatch.setattr(Connection, "run", deadlocked)
    session = mysql_tier(mariadb).connect()
    assert not to_come
    assert session.load_many(list(RECORDS)) == RECORDS
    session.close()


def test_a_node_that_dies_while_it_upgrades_leaves_no_lock(mariadb: MariaDB) -> None:
    leave_behind(mariadb, RECORDS, charset="latin1")
    dying = mariadb.connect(DATABASE)
    with dying.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (lock_name(DATABASE.encode()),))
        assert cursor.fetchall() == ((1,),)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(upgraded, mariadb)
        waiting = "SELECT id FROM information_schema.processlist WHERE state = 'User lock'"
        eventually(lambda: mariadb.query(waiting), what="the other node waits for its turn")
        assert mariadb.query(f"SHOW COLUMNS FROM {DATABASE}.CelonisData")[0][1] == "varchar(255)"
        dying.close()
        assert call.result(30) == RECORDS
