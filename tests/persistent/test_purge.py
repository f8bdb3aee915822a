"""Rows that have expired leave the table, a minute later; no other one does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ckv.persistent import Session, Tier
from ckv.persistent.mysql.statements import literal
from ckv.persistent.rows import PURGE_AFTER_MS, TABLE
from tests.persistent.conftest import TierUnderTest, mysql_tier
from tests.persistent.test_expiry import OLD_UPSERTS, kind_of, run
from tests.support.mariadb import DATABASE, MariaDB

HOUR = 3_600_000


def now() -> int:
    return time.time_ns() // 1_000_000


def purge_all(session: Session, count: int = 1000, now_ms: int = 0) -> int:
    """The rows that a whole walk deletes."""
    after: bytes | None = None
    deleted, steps = 0, 0
    while True:
        after, some = session.purge(after, count, now_ms or now())
        deleted += some
        steps += 1
        assert steps < 1000, "it does not end"
        if after is None:
            return deleted


def test_what_has_expired_a_minute_ago_goes(session: Session) -> None:
    at = now()
    expires = {"long ago": 1, "a minute ago": at - PURGE_AFTER_MS, "just now": at - 1000, "later": at + HOUR, "": 5}
    session.save_many([*((key, b"v") for key in expires), ("never", "v")], expires)
    assert purge_all(session, now_ms=at) == 3
    assert sorted(session.load_many([*expires, "never"])) == ["just now", "later", "never"]
    assert purge_all(session) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 101, 1000])
def test_a_walk_in_steps_meets_all(session: Session, count: int) -> None:
    keys = [f"{number:03}" for number in range(100)]
    session.save_many([(key, "v") for key in keys], dict.fromkeys(keys[::3], 5))
    assert purge_all(session, count) == 34
    assert set(session.load_many(keys)) == {key for key in keys if key not in keys[::3]}


def test_an_empty_table(session: Session) -> None:
    assert session.purge(None, 10, now()) == (None, 0)


def test_what_an_older_version_wrote_over_it_stays(under_test: TierUnderTest, request: pytest.FixtureRequest) -> None:
    session = under_test.tier.connect()
    session.save_many([("k", "v"), ("j", "v")], {"k": 5, "j": 5})
    run(under_test, OLD_UPSERTS[kind_of(under_test)], request)
    assert purge_all(session) == 1
    assert session.load_many(["k", "j"]) == {"k": b"old"}
    session.close()


def test_a_clock_of_ours_that_is_ahead_deletes_nothing_too_early(mariadb: MariaDB) -> None:
    session = mysql_tier(mariadb).connect()
    session.save_many([("k", "v"), ("j", "v")], {"k": now() + HOUR, "j": 5})
    assert purge_all(session, now_ms=now() + 24 * HOUR) == 1
    assert session.load_many(["k"]) == {"k": "v"}
    session.close()


def test_a_clock_of_ours_that_is_behind_deletes_nothing_too_early(session: Session) -> None:
    session.save_many([("k", "v")], {"k": now() - HOUR})
    assert purge_all(session, now_ms=now() - 2 * HOUR) == 0
    assert session.load_many(["k"]) == {"k": "v"}


def test_one_session_at_a_time(mariadb: MariaDB) -> None:
    tier = mysql_tier(mariadb)
    one, other = tier.connect(), tier.connect()
    assert one.may_purge()
    assert one.may_purge()
    assert not other.may_purge()
    one.close()
    deadline = time.monotonic() + 10
    while not other.may_purge():
        assert time.monotonic() < deadline
    other.close()


def test_where_nothing_expires_no_row_is_locked(mariadb: MariaDB) -> None:
    session = mysql_tier(mariadb).connect()
    session.save_many([("a", "v"), ("b", "v")])
    with mariadb.connect(DATABASE) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT 1 FROM {TABLE} WHERE kv_key = {literal(b'a')} FOR UPDATE")
        assert session.purge(None, 10, now()) == (None, 0)  # and does not wait
    session.close()


def test_a_row_that_is_written_again_at_the_last_moment_stays(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier: Tier = mysql_tier(mariadb)
    session, writer = tier.connect(), tier.connect()
    session.save_many([("k", "old")], {"k": 5})
    from ckv.persistent.mysql import purge

    real: Callable[..., int] = purge._delete

    def late(*arguments: object) -> int:
        writer.save_many([("k", "new")])
        return real(*arguments)

    monkeypatch.setattr(purge, "_delete", late)
    assert session.purge(None, 10, now()) == (None, 0)
    assert session.load_many(["k"]) == {"k": "new"}
    session.close()
    writer.close()


def test_a_server_that_logs_statements(mariadb: MariaDB) -> None:
    session = mysql_tier(mariadb).connect()
    session.save_many([("k", "old")], {"k": 5})
    mariadb.query("SET GLOBAL binlog_format = 'STATEMENT'")
    try:
        other = mysql_tier(mariadb).connect()
        assert other.purge(None, 10, now()) == (None, 1)
        other.close()
    finally:
        mariadb.query("SET GLOBAL binlog_format = DEFAULT")
    session.close()
