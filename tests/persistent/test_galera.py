"""A Galera cluster, whose servers find only at the COMMIT that they have written the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from pymysql.constants import ER

from ckv.persistent import Session
from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.tier import MySQLSession
from tests.persistent.conftest import mysql_tier
from tests.support.galera import GaleraCluster
from tests.support.mariadb import DATABASE


@pytest.fixture
def sessions(galera: GaleraCluster) -> Iterator[list[Session]]:
    """One at each server."""
    with ExitStack() as ends:
        yield [ends.enter_context(closing(mysql_tier(server).connect())) for server in galera.servers]


def test_what_is_saved_at_one_server_is_there_at_the_other(sessions: list[Session]) -> None:
    for number in range(100):
        writes, reads = sessions if number % 2 else reversed(sessions)
        writes.save_many([("k", f"value {number}"), ("other", "v")])
        assert reads.load_many(["k"]) == {"k": f"value {number}"}
        reads.delete_many(["other"])
        assert writes.load_many(["other"]) == {}


def test_who_comes_second_at_the_commit_writes_again(
    galera: GaleraCluster, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sessions
    second.save_many([("k", "before")])
    assert first.load_many(["k"]) == {"k": "before"}
    run, codes = Connection.run, list[int]()

    def other_is_quicker(self: Connection, *statements: str) -> object:
        if statements == ("COMMIT",) and not codes:
            codes.append(0)
            second.save_many([("k", "the other one's")])
        try:
            return run(self, *statements)
        except StatementFailed as error:
            codes.append(error.code)
            raise

    monkeypatch.setattr(Connection, "run", other_is_quicker)
    first.save_many([("k", "again")])
    assert codes == [0, ER.LOCK_DEADLOCK]
    assert [server.rows() for server in galera.servers] == [{b"k": b"again"}] * 2


def test_who_was_fenced_at_another_server_commits_nothing_though_its_own_does_not_know(galera: GaleraCluster) -> None:
    tiers = [mysql_tier(server) for server in galera.servers]
    fences = [tier.fence("one", f"process {number}") for number, tier in enumerate(tiers)]
    with ExitStack() as ends:
        for fence in fences:
            ends.callback(fence.close)
        assert fences[0].claim() is None
        session = ends.enter_context(closing(tiers[0].connect()))
        assert isinstance(session, MySQLSession)
        session.save_many([("k", "old")])
        holder = fences[1].claim()
        assert holder is not None
        stalled = session._connection
        stalled.run("BEGIN", *session._check(stalled), "UPDATE CelonisData SET kv_value = 'zombie'")
        # What comes behind this one is ordered, and takes a second to be carried out at the first server.
        galera.servers[1].query("CREATE TABLE busy (number INT PRIMARY KEY)", database=DATABASE)
        galera.servers[1].query("INSERT INTO busy SELECT seq FROM seq_1_to_300000", database=DATABASE)
        assert fences[1].fence_off(holder)
        with pytest.raises(StatementFailed) as caught:
            stalled.run("COMMIT")
        assert caught.value.code == ER.LOCK_DEADLOCK
    assert [server.rows() for server in galera.servers] == [{b"k": b"old"}] * 2
