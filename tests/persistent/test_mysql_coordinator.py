"""The row that primaries share in a database: what only that has."""

from __future__ import annotations

from typing import Any

import pytest

from ckv.errors import BadSetting, Forbidden, TierUnavailable
from ckv.persistent.mysql import coordinator as sql
from ckv.persistent.mysql.connection import Connection
from ckv.persistent.mysql.coordinator import MySQLCoordinator
from ckv.persistent.opening import open_coordinator
from tests.persistent.coordinators import NOTHING, ONE, OTHER, Primaries
from tests.support.mariadb import DATABASE, MariaDB


@pytest.fixture
def primaries(primaries_by_mysql: Primaries) -> Primaries:
    return primaries_by_mysql


def test_who_was_overtaken_before_it_has_read_the_map_does_not_lead(
    primaries: Primaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(primaries.one, MySQLCoordinator)
    seen, read = primaries.one.look(NOTHING), primaries.one._row

    def read_late(connection: Connection, columns: str) -> tuple[Any, ...]:
        primaries.elect(primaries.other, OTHER)
        return read(connection, columns)

    monkeypatch.setattr(primaries.one, "_row", read_late)
    assert primaries.one.stand(ONE, *seen[:3]) is None


def test_who_has_said_nothing_for_long_is_not_there(primaries: Primaries, mariadb: MariaDB) -> None:
    primaries.one.attend(ONE)
    mariadb.query(f"UPDATE {DATABASE}.{sql.PRIMARIES} SET seen = seen - {sql.PRESENT + 5} WHERE address = 'one:8080'")
    assert primaries.other.attend(OTHER) == [OTHER]


def test_a_server_that_ends_connections_is_asked_again(primaries: Primaries, mariadb: MariaDB) -> None:
    first = primaries.elect(primaries.one, ONE)
    mariadb.end_connections(DATABASE)
    with pytest.raises(TierUnavailable):
        primaries.one.beat(ONE, first.term)
    assert primaries.one.beat(ONE, first.term)


def test_a_server_that_is_read_only_decides_nothing(primaries: Primaries, mariadb: MariaDB) -> None:
    first = primaries.elect(primaries.one, ONE)
    mariadb.query("SET GLOBAL read_only = ON")
    try:
        for coordinator in (primaries.one, primaries.new()):
            with pytest.raises(TierUnavailable, match="read-only"):
                coordinator.beat(ONE, first.term)
    finally:
        mariadb.query("SET GLOBAL read_only = OFF")


def test_who_may_not_use_the_tables_is_told_what_to_grant(primaries: Primaries, mariadb: MariaDB) -> None:
    primaries.one.look(NOTHING)
    with mariadb.account("limited", "quite-secret") as limited:
        mariadb.query(f"GRANT CREATE ON {DATABASE}.* TO limited@'127.0.0.1'")
        with pytest.raises(Forbidden, match="GRANT the account SELECT, INSERT, UPDATE and DELETE") as raised:
            primaries.new(f"mysql://{limited}@{mariadb.address}/{DATABASE}").look(NOTHING)
    assert "quite-secret" not in str(raised.value)


def test_where_it_cannot_be() -> None:
    with pytest.raises(BadSetting, match="coordinator 'mysql://\\*\\*\\*': allowed are host:port"):
        open_coordinator("mysql://me:secret@host:x", environ={})
