"""The row that primaries share: one leads at a time, and what an earlier one sends later changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ckv.errors import BadSetting, Forbidden, TierUnavailable
from ckv.persistent.mysql import coordinator as sql
from ckv.persistent.mysql.connection import Connection
from ckv.persistent.mysql.coordinator import MySQLCoordinator, State
from ckv.persistent.opening import open_coordinator
from tests.support.mariadb import DATABASE, MariaDB

ONE, OTHER = "one:8080", "other:8080"
NOTHING = (0, 0)


class Primaries:
    """Two of them, each with a connection of its own."""

    def __init__(self, server: MariaDB, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack
        self.one, self.other = self.new(), self.new()

    def new(self, account: str = "root:password") -> MySQLCoordinator:
        made = open_coordinator(f"mysql://{account}@{self._server.address}/{DATABASE}", environ={})
        assert made is not None
        self._stack.callback(made.close)
        return made

    def elect(self, coordinator: MySQLCoordinator, name: str) -> State:
        seen = coordinator.look(NOTHING)
        found = coordinator.stand(name, seen.term, seen.leader, seen.beat)
        assert found is not None
        return found


@pytest.fixture
def primaries(mariadb: MariaDB) -> Iterator[Primaries]:
    with ExitStack() as stack:
        yield Primaries(mariadb, stack)


def test_there_is_a_row_from_the_first_look_on(primaries: Primaries) -> None:
    seen = primaries.one.look(NOTHING)
    assert seen == primaries.other.look(NOTHING)
    assert seen[1:] == ("", 0, 0, True, None)
    assert seen.term > 1_700_000_000, "no later than maps that a primary made without a coordinator"


def test_one_of_those_who_stand_at_once_leads(primaries: Primaries) -> None:
    seen = primaries.one.look(NOTHING)
    stood = [each.stand(name, *seen[:3]) for each, name in ((primaries.one, ONE), (primaries.other, OTHER))]
    assert stood == [State(seen.term + 1, ONE, 1, 1, is_new=True, map=None), None]
    assert primaries.one.beat(ONE, seen.term + 1)
    assert not primaries.other.beat(OTHER, seen.term + 1)


def test_who_was_overtaken_before_it_has_read_the_map_does_not_lead(
    primaries: Primaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, read = primaries.one.look(NOTHING), primaries.one._row

    def read_late(connection: Connection, columns: str) -> tuple[Any, ...]:
        primaries.elect(primaries.other, OTHER)
        return read(connection, columns)

    monkeypatch.setattr(primaries.one, "_row", read_late)
    assert primaries.one.stand(ONE, *seen[:3]) is None


def test_a_beat_that_has_moved_keeps_the_others_from_standing(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    seen = primaries.other.look(NOTHING)
    assert primaries.one.beat(ONE, first.term)
    assert primaries.other.stand(OTHER, *seen[:3]) is None


def test_a_map_is_replaced_and_read_by_all(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    version = (first.term, first.epoch)
    following = (first.term, first.epoch + 1)
    assert primaries.one.replace(ONE, version, following, b"a map \x00 of bytes")
    seen = primaries.other.look(version)
    assert (seen.term, seen.epoch, seen.is_new, seen.map) == (*following, False, b"a map \x00 of bytes")
    assert primaries.other.look(following).map is None, "whoever has it is not sent it again"
    second = primaries.elect(primaries.other, OTHER)
    assert second == State(first.term + 1, OTHER, second.beat, following[1] + 1, is_new=False, map=seen.map)


def test_the_first_map_may_be_of_a_later_term(primaries: Primaries) -> None:
    """Nodes may remember one that a primary made without a coordinator."""
    first = primaries.elect(primaries.one, ONE)
    assert primaries.one.replace(ONE, (first.term, first.epoch), (first.term + 7, 30), b"map")
    assert not primaries.one.beat(ONE, first.term)
    assert primaries.one.beat(ONE, first.term + 7)


def test_a_row_that_has_lost_the_last_map_has_none(primaries: Primaries) -> None:
    """As that of a replica which was promoted before it had heard of it: a primary that knows it says so."""
    first = primaries.elect(primaries.one, ONE)
    assert primaries.one.replace(ONE, (first.term, first.epoch), (first.term, 5), b"map")
    for term, epoch in ((-1, 9), (0, -1), (0, 0)):
        seen = primaries.other.look(NOTHING)
        known = (seen.term + term, seen.epoch + epoch)
        found = primaries.other.stand(OTHER, *seen[:3], known)
        assert found is not None
        assert (found.is_new, found.map, found.term) == (False, b"map", seen.term + 1)
        assert found.epoch == max(seen.epoch, known[1]) + 1
    seen = primaries.other.look(NOTHING)
    for known in ((seen.term, seen.epoch + 1), (seen.term + 7, 1)):
        seen = primaries.one.look(NOTHING)
        lost = primaries.one.stand(ONE, *seen[:3], known)
        assert lost is not None
        assert (lost.is_new, lost.map, lost.leader) == (True, None, ONE)
        assert (lost.term, lost.epoch) == (max(seen.term, known[0]) + 1, max(seen.epoch, known[1]) + 1)


@pytest.mark.parametrize("what", ["another one leads", "it leads again", "another map", "nobody leads"])
def test_what_an_earlier_leader_sends_late_changes_nothing(primaries: Primaries, what: str) -> None:
    first = primaries.elect(primaries.one, ONE)
    version = (first.term, first.epoch)
    match what:
        case "another one leads":
            primaries.elect(primaries.other, OTHER)
        case "it leads again":
            primaries.elect(primaries.new(), ONE)
        case "another map":
            assert primaries.one.replace(ONE, version, (first.term, first.epoch + 1), b"later")
        case _:
            primaries.one.step_down(ONE, first.term)
    before = primaries.other.look(NOTHING)
    assert not primaries.one.replace(ONE, version, (first.term, first.epoch + 1), b"old")
    if what != "another map":
        assert not primaries.one.beat(ONE, first.term)
        primaries.one.step_down(ONE, first.term)
    assert primaries.other.look(NOTHING) == before


def test_who_steps_down_is_followed_at_once(primaries: Primaries) -> None:
    first = primaries.elect(primaries.one, ONE)
    primaries.one.step_down(ONE, first.term)
    assert primaries.other.look(NOTHING)[:2] == (first.term, "")


def test_all_that_are_there_are_known(primaries: Primaries, mariadb: MariaDB) -> None:
    assert primaries.one.attend(ONE) == [ONE]
    assert primaries.other.attend(OTHER) == [ONE, OTHER]
    mariadb.query(f"UPDATE {DATABASE}.{sql.PRIMARIES} SET seen = seen - {sql.PRESENT + 5} WHERE address = 'one:8080'")
    assert primaries.other.attend(OTHER) == [OTHER]


def test_a_server_that_ends_connections_is_asked_again(primaries: Primaries, mariadb: MariaDB) -> None:
    first = primaries.elect(primaries.one, ONE)
    mariadb.end_connections(DATABASE)
    with pytest.raises(TierUnavailable):
        primaries.one.beat(ONE, first.term)
    assert primaries.one.beat(ONE, first.term)
    assert primaries.one.local_host == "127.0.0.1"


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
            primaries.new(limited).look(NOTHING)
    assert "quite-secret" not in str(raised.value)


def test_where_it_cannot_be(primaries: Primaries) -> None:
    assert open_coordinator("-") is None
    with pytest.raises(BadSetting, match="coordinator 'mysql://\\*\\*\\*@host:x'"):
        open_coordinator("mysql://me:secret@host:x", environ={})
