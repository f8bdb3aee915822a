"""The fence: one process of a name writes, and one that was taken for dead never does again."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from pymysql.constants import ER

from ckv.errors import Fenced, Forbidden, RowsRefused, TierUnavailable
from ckv.persistent import Fence, Holder, Seen, Session
from ckv.persistent.mysql import fence as sql
from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.tier import MySQLSession, MySQLTier
from ckv.persistent.mysql.variables import takes_writes_elsewhere
from ckv.persistent.opening import open_tier
from ckv.values import MAX_KEY_BYTES
from tests.persistent.conftest import mysql_tier
from tests.support.mariadb import DATABASE, MariaDB

NAME = "host:8081"
SECRET = "quite-secret"


class Process:
    """What one process of a name has: its tier, the name, and sessions."""

    def __init__(self, server: MariaDB, number: int, name: str = NAME, tier: MySQLTier | None = None) -> None:
        made = tier or mysql_tier(server)
        assert isinstance(made, MySQLTier)
        self.tier = made
        self.fence: Fence = made.fence(name, f"process {number}")
        self.told = 0
        self.fence.when_fenced = self._tell
        self._ends = ExitStack()
        self._ends.callback(self.fence.close)

    def _tell(self) -> None:
        self.told += 1

    def holder(self) -> Holder:
        found = self.fence.claim()
        assert found is not None
        return found

    def session(self) -> MySQLSession:
        session = self._ends.enter_context(closing(self.tier.connect()))
        assert isinstance(session, MySQLSession)
        return session

    def close(self) -> None:
        self._ends.close()


@pytest.fixture
def processes(mariadb: MariaDB) -> Iterator[list[Process]]:
    made: list[Process] = [Process(mariadb, number) for number in range(3)]
    yield made
    for process in made:
        process.close()


def fence_rows(server: MariaDB) -> list[tuple[int, int, str]]:
    """Incarnation, worker and state."""
    columns = f"SELECT incarnation, worker, state FROM {DATABASE}.{sql.TABLE} ORDER BY node, incarnation, worker"
    return [(row[0], row[1], row[2]) for row in server.query(columns)]


def save(session: Session, value: str) -> None:
    session.save_many([("k", value)])


def test_a_census_has_the_last_process_of_each_name(mariadb: MariaDB, processes: list[Process]) -> None:
    one, another = processes[0], Process(mariadb, 9, name="another")
    assert one.fence.claim() is None
    assert another.fence.claim() is None
    one.session()  # its row is none of a process
    one.fence.beat(None)
    assert sorted(another.fence.census()) == [
        Seen("another", another.fence.incarnation, 0, active=True),
        Seen(NAME, one.fence.incarnation, 1, active=True),
    ]
    one.fence.release()
    another.close()
    assert [seen.active for seen in another.fence.census() if seen.name == NAME] == [False]
    another.fence.close()


# --- who has which share of the keys --------------------------------------------------------------------------------


def test_processes_of_other_names_are_seen_with_their_shares(mariadb: MariaDB) -> None:
    made = [Process(mariadb, number, name) for number, name in enumerate(("a", "b", "c", "d"))]
    with ExitStack() as ends:
        for process in made:
            ends.callback(process.close)
            assert process.fence.claim() is None
        a, b, c, d = made
        a.fence.beat(None, "1/3")
        b.fence.beat(5, "2/3")
        d.fence.beat(None, "3/3")
        assert d.fence.others() == [
            Holder(1, 1, None, "process 0", "a", "1/3"),
            Holder(1, 1, None, "process 1", "b", "2/3"),
        ]
        assert [holder.name for holder in a.fence.others()] == ["b", "d"]
        b.fence.beat(5)  # it has none any more
        a.fence.release()
        assert d.fence.others() == []
        assert c.fence.others() == [Holder(1, 1, None, "process 3", "d", "3/3")]


def test_a_process_of_another_name_can_be_fenced(mariadb: MariaDB) -> None:
    first, second = Process(mariadb, 1, "a"), Process(mariadb, 2, "b")
    with closing(first), closing(second):
        assert first.fence.claim() is None
        assert second.fence.claim() is None
        session = first.session()
        save(session, "old")
        first.fence.beat(None, "1/1")
        (seen,) = second.fence.others()
        first.fence.beat(None, "1/1")
        assert not second.fence.fence_off(seen)  # it has beaten meanwhile
        (seen,) = second.fence.others()
        assert second.fence.fence_off(seen)
        with pytest.raises(TierUnavailable):
            save(session, "late")  # its connection was ended
        with pytest.raises(Fenced):
            save(first.session(), "late")
        save(second.session(), "new")
        assert second.fence.others() == []
        assert mariadb.rows() == {b"k": b"new"}


# --- who has the name -----------------------------------------------------------------------------------------------


def test_each_process_has_an_incarnation_of_its_own(mariadb: MariaDB, processes: list[Process]) -> None:
    first, second, third = processes
    assert first.fence.claim() is None
    assert first.fence.claim() is None  # its own does not keep it out
    assert second.holder() == Holder(1, 0, None, "process 0")
    first.fence.beat(7)
    assert second.holder() == Holder(1, 1, 7, "process 0")
    first.fence.release()
    assert second.fence.claim() is None
    second.fence.release()
    assert third.fence.claim() is None
    assert [process.fence.incarnation for process in processes] == [1, 2, 3]
    assert fence_rows(mariadb) == [(3, sql.BEAT, "active")]  # what can never count again is gone


def test_of_those_that_claim_at_once_one_gets_the_name(mariadb: MariaDB) -> None:
    names = [NAME] * 6 + ["another"] * 2
    processes = [Process(mariadb, number, name) for number, name in enumerate(names)]
    ready = threading.Barrier(len(processes))

    def claim(process: Process) -> Holder | None:
        process.tier.connect().close()
        ready.wait()
        while True:
            try:
                return process.fence.claim()
            except TierUnavailable as error:  # somebody else was quicker
                if error.number not in (ER.DUP_ENTRY, ER.LOCK_DEADLOCK):
                    raise

    with ThreadPoolExecutor(len(processes)) as pool:
        holders = list(pool.map(claim, processes))
    for process in processes:
        process.close()
    assert holders[:6].count(None) == 1
    assert holders[6:].count(None) == 1
    assert fence_rows(mariadb) == [(1, sql.BEAT, "active")] * 2


def test_who_was_paused_while_others_came_and_went_is_not_below_them(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    late, second, third = processes
    plain = sql.MySQLFence._row

    def row(fence: sql.MySQLFence, incarnation: int) -> str:
        if fence is late.fence and incarnation == 1:  # it has looked, and writes now
            assert second.fence.claim() is None
            second.fence.release()
            assert third.fence.claim() is None
        return plain(fence, incarnation)

    second.tier.connect().close()
    monkeypatch.setattr(sql.MySQLFence, "_row", row)
    assert late.holder().incarnation == third.fence.incarnation == 2
    assert late.fence.incarnation == 0
    save(third.session(), "v")
    third.fence.release()
    assert late.fence.claim() is None
    assert late.fence.incarnation == 3


def test_nothing_is_written_before_the_name_is_claimed(mariadb: MariaDB, processes: list[Process]) -> None:
    session = processes[0].session()
    with pytest.raises(TierUnavailable, match="not claimed yet"):
        save(session, "v")
    assert mariadb.rows() == {}


# --- what a transaction begins with ---------------------------------------------------------------------------------


LOCKED = [
    r"SET @ckv_active = IF\(\(SELECT state FROM ckv_fence WHERE node = X'.* AND worker = 0 FOR UPDATE\) = 'active'"
]
WRITTEN = [
    "UPDATE ckv_fence SET beat = beat \\+ 1 WHERE node = X'.* AND worker = 0 AND state = 'active'$",
    r"SET @ckv_active = IF\(ROW_COUNT\(\) = 1",
]


@pytest.mark.parametrize(
    ("told", "check"),
    [
        ({}, LOCKED),
        ({"wsrep_on": "OFF", "group_replication_single_primary_mode": "ON"}, LOCKED),
        ({"wsrep_on": "ON"}, WRITTEN),
        ({"group_replication_single_primary_mode": "OFF"}, WRITTEN),
    ],
    ids=["one server", "one that writes", "Galera", "Group Replication"],
)
def test_the_check_comes_before_the_rows_and_costs_no_round_trip(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch, told: dict[str, str], check: list[str]
) -> None:
    assert processes[0].fence.claim() is None
    monkeypatch.setattr("ckv.persistent.mysql.fence.takes_writes_elsewhere", lambda _: takes_writes_elsewhere(told))
    session = processes[0].session()
    save(session, "v")  # registers
    messages: list[tuple[str, ...]] = []
    plain = Connection.run

    def run(self: Connection, *statements: str) -> tuple[tuple[object, ...], ...]:
        messages.append(statements)
        return plain(self, *statements)

    monkeypatch.setattr(Connection, "run", run)
    save(session, "w")
    session.delete_many(["k"])
    for first, last in (messages[:2], messages[2:]):
        begin, *checked, statement, _read_only = first
        assert begin == "BEGIN"
        assert len(checked) == len(check)
        assert all(re.match(*each) for each in zip(check, checked, strict=True))
        assert statement.split()[0] in ("INSERT", "DELETE")
        assert last == ("COMMIT",)


def test_the_largest_row_has_room_beside_the_check(mariadb: MariaDB) -> None:
    mariadb.query("SET GLOBAL max_allowed_packet = 65536")
    process = Process(mariadb, 0, name="n" * 120)
    try:
        assert process.fence.claim() is None
        session = process.session()
        written = False
        for size in range(32_768, 32_000, -1):
            try:
                session.save_many([("k", b"v" * size)])
                written = True
                break
            except RowsRefused:
                pass
        assert written
        session.save_many([(f"{number}" * 9, b"v" * 900) for number in range(100)])
    finally:
        process.close()
        mariadb.query("SET GLOBAL max_allowed_packet = DEFAULT")


def test_what_the_log_asks_for_is_enough_for_the_largest_row_beside_the_check(
    mariadb: MariaDB, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(mariadb, 0, name="n" * 120)
    try:
        # More than one, for the server rounds to 1024, and what is asked for with it.
        for largest in range(40_000, 40_512, 64):
            process.tier.max_value_bytes = largest
            mariadb.query("SET GLOBAL max_allowed_packet = 65536")
            assert process.fence.claim() is None
            with pytest.raises(RowsRefused):
                process.session().save_many([("k" * MAX_KEY_BYTES, b"v" * largest)])
            needed = re.findall(r"SET GLOBAL max_allowed_packet = (\d+)", caplog.text)[-1]
            mariadb.query(f"SET GLOBAL max_allowed_packet = {needed}")
            process.session().save_many([("k" * MAX_KEY_BYTES, b"v" * largest)])
    finally:
        process.close()
        mariadb.query("SET GLOBAL max_allowed_packet = DEFAULT")


def test_sessions_of_tools_write_without(mariadb: MariaDB) -> None:
    with closing(mysql_tier(mariadb).connect()) as session:
        save(session, "v")
    assert mariadb.rows() == {b"k": b"v"}
    assert mariadb.query("SELECT table_name FROM information_schema.tables WHERE table_name = %s", (sql.TABLE,)) == []


# --- to fence -------------------------------------------------------------------------------------------------------


def test_who_is_fenced_writes_nothing_and_hears_why(mariadb: MariaDB, processes: list[Process]) -> None:
    first, second, _ = processes
    assert first.fence.claim() is None
    session, late = first.session(), first.session()
    save(session, "old")
    assert second.fence.fence_off(second.holder())
    assert second.fence.claim() is None
    save(second.session(), "new")
    # The first one is killed by whoever fenced it, and comes back over new connections.
    with pytest.raises(TierUnavailable):
        save(session, "zombie")
    for again in (first.session(), late):
        with pytest.raises(Fenced):
            save(again, "zombie")
    with pytest.raises(Fenced):
        first.fence.beat(None)
    assert first.told == 3
    assert second.told == 0
    assert mariadb.rows() == {b"k": b"new"}


def test_a_session_that_was_not_ended_is_stopped_by_its_check(
    mariadb: MariaDB, processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = processes
    assert first.fence.claim() is None
    session = first.session()
    save(session, "old")
    monkeypatch.setattr(sql.MySQLFence, "_kill", lambda *_: None)
    assert second.fence.fence_off(second.holder())
    for rows in ([("k", "zombie")], [("other", "zombie")]):
        with pytest.raises(Fenced):
            session.save_many(rows)
        session = first.session()
    with pytest.raises(Fenced):
        session.delete_many(["k"])
    assert mariadb.rows() == {b"k": b"old"}


def test_a_transaction_that_stalls_past_its_check_is_ended(mariadb: MariaDB, processes: list[Process]) -> None:
    first, second, _ = processes
    assert first.fence.claim() is None
    session = first.session()
    save(session, "old")
    stalled = session._connection
    stalled.run("BEGIN", *session._check(stalled), "UPDATE CelonisData SET kv_value = 'zombie'")
    holder = second.holder()
    assert second.fence.fence_off(holder) or second.fence.fence_off(holder)  # the end of a connection takes a moment
    assert second.fence.claim() is None
    other = second.session()
    assert other.load_many(["k"]) == {"k": "old"}
    with pytest.raises(Exception, match=r"2013|2006"):
        stalled.run("COMMIT")
    assert mariadb.rows() == {b"k": b"old"}


def test_without_the_right_to_end_it_a_transaction_is_waited_for(
    mariadb: MariaDB, processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = processes
    assert first.fence.claim() is None
    session = first.session()
    save(session, "old")
    stalled = session._connection
    stalled.run("BEGIN", *session._check(stalled), "UPDATE CelonisData SET kv_value = 'committed'")
    monkeypatch.setattr(sql.MySQLFence, "_kill", lambda *_: None)
    assert not second.fence.fence_off(second.holder())
    stalled.run("COMMIT")  # before it was fenced: legal
    assert second.fence.fence_off(second.holder())
    assert mariadb.rows() == {b"k": b"committed"}


@pytest.mark.parametrize(("lost", "is_fenced"), [(sql.ATTEMPTS - 1, True), (sql.ATTEMPTS, False)])
def test_to_fence_is_tried_again_when_a_transaction_was_quicker(
    mariadb: MariaDB, processes: list[Process], monkeypatch: pytest.MonkeyPatch, lost: int, is_fenced: bool
) -> None:
    first, second, _ = processes
    assert first.fence.claim() is None
    save(first.session(), "old")
    holder = second.holder()
    plain, left = Connection.run, [lost]

    def run(self: Connection, *statements: str) -> tuple[tuple[object, ...], ...]:
        if statements[-1] == "COMMIT" and left[0]:
            left[0] -= 1
            raise StatementFailed("Deadlock found", ER.LOCK_DEADLOCK)
        return plain(self, *statements)

    monkeypatch.setattr(Connection, "run", run)
    assert second.fence.fence_off(holder) == is_fenced
    assert {state for _, _, state in fence_rows(mariadb)} == {"fenced" if is_fenced else "active"}


def test_who_has_beaten_meanwhile_is_not_fenced(mariadb: MariaDB, processes: list[Process]) -> None:
    first, second, _ = processes
    assert first.fence.claim() is None
    session = first.session()
    save(session, "old")
    holder = second.holder()
    first.fence.beat(None)
    assert not second.fence.fence_off(holder)
    save(first.session(), "new")
    assert first.told == 0


def test_who_gave_the_name_back_writes_no_more(mariadb: MariaDB, processes: list[Process]) -> None:
    assert processes[0].fence.claim() is None
    session = processes[0].session()
    save(session, "v")
    processes[0].fence.release()
    with pytest.raises(Fenced):
        save(session, "late")
    assert mariadb.rows() == {b"k": b"v"}


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["DELETE FROM", "DROP TABLE"])
def test_rows_that_somebody_took_away_are_written_anew(mariadb: MariaDB, processes: list[Process], how: str) -> None:
    first, second, _ = processes
    assert first.fence.claim() is None
    session = first.session()
    save(session, "v")
    mariadb.query(f"{how} {DATABASE}.{sql.TABLE}")
    with pytest.raises(TierUnavailable) as caught:
        save(session, "w")
    assert not isinstance(caught.value, Fenced)
    first.fence.beat(None)
    save(first.session(), "w")
    assert second.holder().incarnation == 1
    assert first.told == 0
    assert mariadb.rows() == {b"k": b"w"}


def test_of_two_that_could_not_see_each_other_the_first_one_stays(mariadb: MariaDB, processes: list[Process]) -> None:
    first, second, third = processes
    for process in (third, first):
        assert process.fence.claim() is None
        if process is third:
            process.fence.release()
    save(first.session(), "v")
    mariadb.query(f"DELETE FROM {DATABASE}.{sql.TABLE}")
    assert second.fence.claim() is None
    session = second.session()
    save(session, "w")
    first.fence.beat(None)
    with pytest.raises(Fenced):
        save(session, "x")
    with pytest.raises(Fenced):
        second.fence.beat(None)
    save(first.session(), "y")
    assert mariadb.rows() == {b"k": b"y"}


def test_a_row_whose_transaction_may_be_under_way_is_left_to_nobody(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = processes
    assert first.fence.claim() is None
    session = first.session()
    save(session, "old")
    stalled = session._connection
    check = session._check(stalled)
    # The session is given up while its transaction hangs, which the server does not know.
    monkeypatch.setattr(stalled, "abort", lambda: None)
    monkeypatch.setattr(session, "_check", lambda _connection: (*check, "SELECT 1 FROM nowhere"))
    with pytest.raises(TierUnavailable):
        save(session, "new")
    monkeypatch.setattr(stalled, "close", lambda: None)
    session.close()
    # Its row stays locked; nobody has to wait for it, and whoever fences finds its connection.
    began = time.monotonic()
    first.session().save_many([("other", "v")])
    assert time.monotonic() - began < 1
    holder = second.holder()
    assert second.fence.fence_off(holder) or second.fence.fence_off(holder)
    with pytest.raises(Exception, match=r"2013|2006"):
        stalled.run("COMMIT")


def test_a_session_leaves_its_row_to_the_next(mariadb: MariaDB, processes: list[Process]) -> None:
    assert processes[0].fence.claim() is None
    for _ in range(3):
        with closing(processes[0].tier.connect()) as one, closing(processes[0].tier.connect()) as two:
            save(one, "v")
            save(two, "w")
    assert fence_rows(mariadb) == [(1, sql.BEAT, "active"), (1, 0, "active"), (1, 1, "active")]


def test_an_account_that_may_not_create_the_table_is_told_what_to_do(mariadb: MariaDB) -> None:
    mysql_tier(mariadb).connect().close()
    with mariadb.account("ann", SECRET) as ann:
        mariadb.query(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {DATABASE}.* TO 'ann'@'127.0.0.1'")
        tier = open_tier(f"mysql://{ann}@{mariadb.address}", environ={})
        assert isinstance(tier, MySQLTier)
        with closing(Process(mariadb, 0, tier=tier)) as process:
            with pytest.raises(Forbidden, match=r"CREATE command denied.*GRANT the account") as caught:
                process.fence.claim()
            definition = str(caught.value).partition("run: ")[2]
            assert definition == sql.DEFINITION
            mariadb.query(definition, database=DATABASE)
            assert process.fence.claim() is None
            save(process.session(), "v")
