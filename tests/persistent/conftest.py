"""Both persistent tiers behind one face, for the laws that hold for either; and so both coordinators."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ckv.persistent import Session, Tier
from ckv.persistent.opening import open_tier
from tests.persistent.coordinators import Primaries
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.zookeeper import ZooKeeper


@dataclass
class TierUnderTest:
    """A tier with an empty table, and what a test does to it behind its back."""

    tier: Tier
    shrink: Callable[[], None]
    """Makes the table refuse values of more than 10 bytes, from now on."""

    spoil: Callable[[str], None]
    """Makes writes fail that fulfil the condition about the new row, with an error that says nothing about the data."""


def mysql_tier(server: MariaDB, rest: str = f"/{DATABASE}") -> Tier:
    return open_tier(f"mysql://root:password@{server.address}{rest}", environ={})


@pytest.fixture(params=["mysql", "sqlite"])
def under_test(request: pytest.FixtureRequest) -> TierUnderTest:
    made: TierUnderTest = request.getfixturevalue(f"{request.param}_under_test")
    return made


@pytest.fixture
def mysql_under_test(mariadb: MariaDB) -> Iterator[TierUnderTest]:
    def shrink() -> None:
        mariadb.query(f"ALTER TABLE {DATABASE}.CelonisData MODIFY kv_value VARBINARY(10) NOT NULL")

    def spoil(condition: str) -> None:
        mariadb.query(
            f"CREATE TRIGGER {DATABASE}.spoil BEFORE INSERT ON CelonisData FOR EACH ROW IF {condition} THEN"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'who knows', MYSQL_ERRNO = 30001; END IF"
        )

    # In this mode, if it were that of the session too, a value that is too long would be cut off.
    mariadb.query("SET GLOBAL sql_mode = ''")
    yield TierUnderTest(mysql_tier(mariadb), shrink, spoil)
    mariadb.query("SET GLOBAL sql_mode = DEFAULT")


@pytest.fixture
def sqlite_under_test(tmp_path: Path) -> TierUnderTest:
    path = tmp_path / "records.db"

    def shrink() -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            for event in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TRIGGER {event}_of_long BEFORE {event} ON CelonisData WHEN length(NEW.kv_value) > 10"
                    " BEGIN SELECT RAISE(ABORT, 'too long'); END"
                )

    def spoil(condition: str) -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(
                f"CREATE TRIGGER spoil BEFORE INSERT ON CelonisData WHEN {condition}"
                " BEGIN SELECT json('[' || hex(NEW.kv_key)); END"
            )

    return TierUnderTest(open_tier(f"sqlite:{path}", environ={}), shrink, spoil)


@pytest.fixture
def tier(under_test: TierUnderTest) -> Tier:
    return under_test.tier


@pytest.fixture
def session(tier: Tier) -> Iterator[Session]:
    opened = tier.connect()
    yield opened
    opened.close()


@pytest.fixture
def primaries_by_mysql(mariadb: MariaDB) -> Iterator[Primaries]:
    with contextlib.ExitStack() as stack:
        yield Primaries(f"mysql://root:password@{mariadb.address}/{DATABASE}", stack)


_paths = itertools.count()


@pytest.fixture
def primaries_by_zookeeper(shared_zookeeper: ZooKeeper) -> Iterator[Primaries]:
    """Below a path that nobody else has."""
    with contextlib.ExitStack() as stack:
        yield Primaries(f"zk://{shared_zookeeper.address}/tests/{next(_paths)}", stack)
