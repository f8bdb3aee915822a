"""The walk along the keys of a tier, and how many there are."""

from __future__ import annotations

import time

import pytest

from ckv.persistent import Session
from ckv.persistent.mysql.statements import literal, next_keys
from ckv.persistent.rows import FEW_ROWS, TABLE
from ckv.values import MAX_KEY_BYTES, to_bytes, to_text
from tests.persistent.conftest import mysql_tier
from tests.support.mariadb import DATABASE, MariaDB

HOUR = 3_600_000

ODD = ["", "\0", "a", "a ", "A", "é", "ключ", to_text(b"\xff\xfe"), to_text(b"\xff"), "k" * MAX_KEY_BYTES, "'\\%"]


def walked(session: Session, count: int, prefix: bytes = b"") -> list[tuple[str, int]]:
    after: str | None = None
    found: list[tuple[str, int]] = []
    while True:
        rows = session.next_keys(after, count, prefix)
        assert len(rows) <= count
        found += rows
        if len(rows) < count:
            return found
        after = rows[-1][0]


@pytest.mark.parametrize("count", [1, 3, 11, 12, 1000])
def test_all_keys_in_the_order_of_their_bytes(session: Session, count: int) -> None:
    assert session.next_keys(None, count) == []
    session.save_many([(key, b"v") for key in ODD])
    assert walked(session, count) == [(key, 0) for key in sorted(ODD, key=to_bytes)]


def test_when_they_expire(session: Session) -> None:
    at = time.time_ns() // 1_000_000
    expires = {"past": 5, "later": at + HOUR}
    session.save_many([("never", "v"), ("past", b"v"), ("later", "v")], expires)
    session.save_many([("was", "v")], {"was": at})
    session.save_many([("was", "v")])  # which leaves the column as it was
    assert walked(session, 10) == [("later", at + HOUR), ("never", 0), ("past", 5), ("was", 0)]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (b"a", ["a", "a ", "ab"]),
        (b"a ", ["a "]),
        (b"", ["A", "a", "a ", "ab", "b", to_text(b"\xff"), to_text(b"\xff\xff")]),
        (b"\xff", [to_text(b"\xff"), to_text(b"\xff\xff")]),
        (b"\xff\xff", [to_text(b"\xff\xff")]),
        (b"c", []),
    ],
)
@pytest.mark.parametrize("count", [1, 100])
def test_keys_that_begin_so(session: Session, prefix: bytes, found: list[str], count: int) -> None:
    session.save_many([(key, "v") for key in ("A", "a", "a ", "ab", "b", to_text(b"\xff"), to_text(b"\xff\xff"))])
    assert [key for key, _ in walked(session, count, prefix)] == found


def test_behind_what_is_not_there(session: Session) -> None:
    session.save_many([("a", "v"), ("c", "v")])
    assert session.next_keys("b", 10) == [("c", 0)]
    assert session.next_keys("a", 10, b"c") == [("c", 0)]
    assert session.next_keys("d", 10, b"c") == []


def test_nobodys_lock_is_waited_for(mariadb: MariaDB) -> None:
    session = mysql_tier(mariadb).connect()
    session.save_many([("a", "v"), ("b", "v")])
    with mariadb.connect(DATABASE) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"DELETE FROM {TABLE} WHERE kv_key = {literal(b'a')}")
        cursor.execute(f"INSERT INTO {TABLE} (kv_key, kv_value) VALUES ('c', '')")
        began = time.monotonic()
        assert session.next_keys(None, 10) == [("a", 0), ("b", 0)]  # what is committed
        assert session.estimate() == 2
        assert time.monotonic() - began < 5
        cursor.execute("ROLLBACK")
    session.close()


def test_a_walk_goes_along_the_index(mariadb: MariaDB) -> None:
    """However large the table is, a step looks at no more rows than it answers."""
    session = mysql_tier(mariadb).connect()
    session.save_many([(f"{number:05}", "v" * 100) for number in range(2000)])
    with mariadb.connect(DATABASE) as other, other.cursor() as cursor:
        for after, prefix in ((None, b""), ("01000", b""), ("01000", b"01")):
            cursor.execute("FLUSH STATUS")
            cursor.execute(next_keys(after, 10, prefix))
            assert len(cursor.fetchall()) == 10
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            read = {name: int(number) for name, number in cursor.fetchall()}
            assert sum(read.values()) <= 11, read
    session.close()


def test_how_many(session: Session) -> None:
    assert session.estimate() == 0
    session.save_many([(f"{number}", "v") for number in range(100)])
    assert session.estimate() == 100


def test_how_many_of_many(mariadb: MariaDB) -> None:
    session = mysql_tier(mariadb).connect()
    count = FEW_ROWS + 5000
    for start in range(0, count, 5000):
        session.save_many([(f"{number}", "v") for number in range(start, start + 5000)])
    assert FEW_ROWS < session.estimate() < 3 * count
    session.close()
