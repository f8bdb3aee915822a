"""Real failures under the calls of many clients. README.md says how to write the next one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from ckv.errors import NoRoom
from ckv.values import Value
from tests.failures.clients import READS
from tests.failures.conftest import Scenario, ScenarioMaker
from tests.failures.harness import BEHIND_WINDOW, CALL_TIMEOUT, KEYS, LOAD_TIMEOUT, PATIENCE, Run
from tests.failures.proxy import Cut
from tests.support.disk import fill, small_disk
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.products import Template

LONG_PAUSE: Final = 10.0
SHORT_PAUSE: Final = 2 * CALL_TIMEOUT
"""Seconds that something hangs: the long one once, and else what every time-out of ours fits into."""

LITTLE_ROOM: Final[Mapping[str, Any]] = {"pending-max": 15, "pending-wait": "200ms"}
"""So little that writes have to wait for it, and are refused."""

CUTS: Final = 30

HEADER: Final = 4
"""The bytes before a statement that travels to MySQL: its length and number."""

COMMIT: Final = b"\x03COMMIT"


def pause_of(mode: str) -> float:
    return LONG_PAUSE if mode == "evict" else SHORT_PAUSE


# --- the secondary --------------------------------------------------------------------------------------------------


def test_the_secondary_is_killed(scenario: Scenario) -> None:
    with scenario() as run:
        run.last(1.5 * BEHIND_WINDOW)
        for _ in range(2):
            run.kill_secondary()
            run.secondary.start()
            run.work(1000)


@pytest.mark.parametrize("mode", ["behind", "through"])
def test_the_secondary_is_killed_before_anything_was_evicted(scenario: Scenario) -> None:
    # Here the database has only what the write mode brings there. (In `evict` that is nothing.)
    with scenario(capacity=len(KEYS)) as run:
        run.last(1.5 * BEHIND_WINDOW)
        run.kill_secondary()
        run.secondary.start()


def test_the_secondary_hangs_behind_a_primary(scenario: Scenario, mode: str) -> None:
    with scenario(behind_primary=True, clients=16) as run:
        assert run.primary is not None
        run.work(500)
        run.secondary.pause()
        run.last(pause_of(mode))
        run.primary.wait_for_log("lost: silent")
        run.secondary.resume()
        run.primary.wait_for_log("back")


def test_the_secondary_hangs_and_its_clients_give_up(scenario: Scenario) -> None:
    with scenario() as run:
        run.work(500)
        for _ in range(2):  # what they sent is still in the socket, and is carried out late
            run.secondary.pause()
            run.last(CALL_TIMEOUT * 1.2)
            run.secondary.resume()
            run.work(500)


def test_the_secondary_is_told_to_stop_under_load(scenario: Scenario) -> None:
    with scenario() as run:
        run.work(1000)
        for _ in range(2):
            run.stop_secondary()
            run.secondary.start()
            run.work(500)


def test_the_primary_and_the_secondary_are_parted(scenario: Scenario) -> None:
    with scenario(behind_primary=True, clients=16) as run:
        assert run.primary is not None
        run.work(500)
        for _ in range(2):
            since = len(run.primary.log)
            run.link.hold()
            run.last(SHORT_PAUSE)
            run.primary.wait_for_log("lost: silent", since=since)
            run.link.release()
            run.primary.wait_for_log("back", since=since)
            run.work(500)


# --- the database ---------------------------------------------------------------------------------------------------


def test_the_database_is_killed(scenario: Scenario) -> None:
    with scenario() as run:
        run.work(1000)
        for _ in range(2):
            since = len(run.secondary.log)
            run.kill_database()
            run.secondary.wait_for_log("database lost", since=since)
            run.last(LOAD_TIMEOUT * 1.5)
            run.mariadb.start()
            run.secondary.wait_for_log("database back", since=since)
            run.work(500)


def test_the_database_hangs(scenario: Scenario, mode: str) -> None:
    with scenario(options=LITTLE_ROOM) as run:
        run.work(1000)
        run.pause_database()
        run.last(pause_of(mode))
        assert run.ask("INFO")["pending_records"] <= LITTLE_ROOM["pending-max"]
        if mode != "through":  # where each client waits for its commit, so that there is room for all of them
            assert any(isinstance(call.error, NoRoom) for call in run.clients.calls)
        run.mariadb.resume()


def test_the_database_answers_late(scenario: Scenario) -> None:
    with scenario(proxied_database=True, options={"load-timeout": "5s"}) as run:
        run.work(500)
        run.database.delay = 0.2
        run.last(4)
        run.database.delay = 0


def test_the_network_before_the_database_is_slow_and_breaks(scenario: Scenario) -> None:
    with scenario(proxied_database=True) as run:  # MariaDB, a proxy, a secondary; clients start at the first work()
        run.work(500)  # until the clients have 500 answers
        run.database.delay = 0.05
        run.last(2)  # 2 seconds, whatever the clients are answered
        run.database.hold()
        run.last(2)


def test_connections_are_cut_in_the_middle_of_a_commit(scenario: Scenario) -> None:
    cut_often(scenario, (Cut.BEFORE, Cut.NOT, Cut.AFTER, Cut.NOT, Cut.NOT), (COMMIT,))


def test_connections_are_cut_and_what_was_on_its_way_arrives_late(scenario: Scenario) -> None:
    cut_often(scenario, (Cut.LATE, Cut.NOT, Cut.NOT), (COMMIT, b"\x03BEGIN;INSERT", b"\x03BEGIN;DELETE"))


def cut_often(scenario: Scenario, cycle: Sequence[Cut], statements: tuple[bytes, ...]) -> None:
    with scenario(proxied_database=True, options={"load-timeout": "5s"}) as run:
        cuts = itertools.cycle(cycle)
        run.work(500)
        run.database.cut = lambda piece: next(cuts) if piece.startswith(statements, HEADER) else Cut.NOT
        eventually(lambda: run.clients.answered and run.database.cuts >= CUTS, PATIENCE, "enough cuts")
        run.database.cut = lambda _: Cut.NOT
        run.note(f"{run.database.cuts} cuts")


def test_the_secondary_is_killed_and_its_commit_arrives_late(scenario: Scenario) -> None:
    with scenario(proxied_database=True) as run:
        run.work(1000)
        run.database.late = 2
        run.database.cut = lambda piece: Cut.LATE if piece.startswith(COMMIT, HEADER) else Cut.NOT
        eventually(lambda: run.clients.answered and run.database.cuts, PATIENCE, "a commit")
        run.kill_secondary()
        run.sightings.stop()  # for a while the table is not what it will be
        run.clients.mix = READS
        run.database.cut = lambda _: Cut.NOT
        run.secondary.start()
        run.last(1.5 * run.database.late)


def test_the_database_is_away_when_the_node_is_told_to_stop(scenario: Scenario) -> None:
    with scenario() as run:
        run.work(1000)
        run.kill_database()
        run.last(0.5)
        run.stop_secondary(meanwhile=run.mariadb.start)
        run.secondary.start()


def test_the_secondary_and_the_database_are_killed(scenario: Scenario) -> None:
    with scenario() as run:
        run.last(1.5 * BEHIND_WINDOW)
        run.kill_secondary()
        run.kill_database()
        run.mariadb.start()
        run.secondary.start()


def test_the_secondary_is_killed_while_the_database_hangs(scenario: Scenario) -> None:
    # Many clients, for most of them soon wait.
    with scenario(options=LITTLE_ROOM, clients=16) as run:
        run.work(1000)
        run.pause_database()
        run.last(LOAD_TIMEOUT * 1.5)
        run.kill_secondary()
        run.secondary.start()
        run.last(LOAD_TIMEOUT * 1.5)
        run.mariadb.resume()


LENGTH: Final = 20


def short_or_long(rng: random.Random) -> int:
    return LENGTH * 2 if rng.random() < 0.15 else 0


def is_long(value: Value) -> bool:
    return len(value) > LENGTH


def alter(run: Run, change: str) -> None:
    run.mariadb.query(f"ALTER TABLE {DATABASE}.CelonisData {change}")


# Not the column's width: the next connection would put that right.
ONLY_SHORT: Final = f"ADD CONSTRAINT only_short CHECK (LENGTH(kv_value) <= {LENGTH})"


def test_the_table_refuses_some_values(scenario: Scenario, mode: str) -> None:
    with scenario(sizes=short_or_long, left=is_long) as run:
        alter(run, ONLY_SHORT)
        run.work(2000)
        if mode != "through":  # there they are refused, and nothing is parked
            run.secondary.wait_for_log("parked")


@pytest.mark.parametrize("mode", ["evict", "behind"])
def test_the_table_takes_them_again(scenario: Scenario) -> None:
    with scenario(sizes=short_or_long) as run:
        alter(run, ONLY_SHORT)
        run.work(1000)
        eventually(lambda: run.ask("INFO")["parked_records"], PATIENCE, "a row is parked")
        alter(run, "DROP CONSTRAINT only_short")
        eventually(lambda: run.ask("RETRY") == 0, PATIENCE, "no row is parked")


# --- its disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk() as folder:
        yield folder


@pytest.fixture
def mariadb_on_a_small_disk(disk: Path, mariadb_template: Template) -> Iterator[MariaDB]:
    server = MariaDB(disk, mariadb_template)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def some_large(rng: random.Random) -> int:
    return 30_000 if rng.random() < 0.3 else 0


def test_the_disk_of_the_database_is_full(
    scenario_on: ScenarioMaker, mariadb_on_a_small_disk: MariaDB, disk: Path
) -> None:
    with scenario_on(mariadb_on_a_small_disk, sizes=some_large) as run:
        run.work(300)
        run.sightings.stop()  # MariaDB may die of it, and forget what it showed but had not on the disk
        ballast = fill(disk)

        def is_away() -> bool:  # it refuses, or it waits for room
            return any("database lost" in line or "database hung" in line for line in run.secondary.log)

        eventually(is_away, PATIENCE, "the database is away")
        run.last(LOAD_TIMEOUT * 1.5)
        ballast.unlink()

        def is_back() -> bool:
            if not run.mariadb.running:  # it does not always survive a full disk, and then somebody starts it again
                run.mariadb.start()
                run.note("MariaDB died of it")
            return any("database back" in line for line in run.secondary.log)

        eventually(is_back, PATIENCE, "the database is back")
