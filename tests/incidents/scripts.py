"""The incidents: how each is begun and mended, and what has to be said of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from ckv import Client
from ckv.exits import Exit
from tests.incidents.stage import ACCOUNT, Setting, Stage
from tests.support.disk import fill
from tests.support.mariadb import DATABASE

Script = Callable[[Stage], Iterator[None]]
"""Begins the incident, yields while it lasts, and mends it."""


PLACES: Final = 40
"""Clients that the primary serves at a time which a client floods."""


@dataclass(frozen=True)
class Incident:
    """One of them."""

    title: str
    how: str
    """What the script does, for people."""
    script: Script
    said: str
    """What has to be the first problem on the page of :attr:`node`; a regular expression."""
    log: str
    """What has to be in the log of a node; a regular expression."""
    alerts: frozenset[str]
    """Those of deploy/monitoring/alerts.yaml that come, and no others."""
    node: str = "primary"
    setting: Setting = field(default_factory=Setting)
    asks_most: str = ""
    """What has to be in the first row of ``ckv top --clients``, where that finds who it is; a regular expression."""
    stays: tuple[str, ...] = ()
    """Sections of what is told for some minutes more when all is mended."""


def database_down(stage: Stage) -> Iterator[None]:
    stage.mariadb.kill()
    yield
    stage.mariadb.start()


def database_hung(stage: Stage) -> Iterator[None]:
    stage.mariadb.pause()
    yield
    stage.mariadb.resume()


def database_slow(stage: Stage) -> Iterator[None]:
    assert stage.proxy is not None
    stage.proxy.delay = 0.7
    yield
    stage.proxy.heal()


def database_full(stage: Stage) -> Iterator[None]:
    assert stage.disk is not None
    ballast = fill(stage.disk)
    yield
    ballast.unlink()
    if not stage.mariadb.running:  # it does not always survive that
        stage.mariadb.start()


def database_read_only(stage: Stage) -> Iterator[None]:
    stage.mariadb.query("SET GLOBAL read_only = ON")
    yield
    stage.mariadb.query("SET GLOBAL read_only = OFF")


def password_changed(stage: Stage) -> Iterator[None]:
    stage.mariadb.query(f"ALTER USER {ACCOUNT}@'127.0.0.1' IDENTIFIED BY 'another one'")
    stage.mariadb.end_connections(DATABASE)
    yield
    stage.password.write_text("another one")


def node_killed(stage: Stage) -> Iterator[None]:
    stage.secondaries["b"].kill()
    yield
    stage.secondaries["b"].start()


def node_hung(stage: Stage) -> Iterator[None]:
    stage.secondaries["b"].pause()
    yield
    stage.secondaries["b"].resume()
    assert stage.secondaries["b"].wait() == Exit.FENCED  # it sees that it was given up
    stage.secondaries["b"].start()


def client_floods(stage: Stage) -> Iterator[None]:
    over = threading.Event()

    def flood() -> None:
        with Client("127.0.0.1", stage.primary.port, timeout=60) as client:
            while not over.is_set():
                pipeline = client.pipeline()
                for number in range(1000):
                    pipeline.get(f"key {number % 100:04}")
                pipeline.execute(raise_on_error=False)

    thread = threading.Thread(target=flood)
    thread.start()
    with ExitStack() as stack:
        stack.callback(thread.join)
        stack.callback(over.set)
        for _ in range(2 * PLACES):
            stack.enter_context(socket.create_connection(("127.0.0.1", stage.primary.port), timeout=20))
        yield


def memory_full(stage: Stage) -> Iterator[None]:
    with stage.mariadb.connect(DATABASE) as backup:
        backup.cursor().execute("FLUSH TABLES WITH READ LOCK")
        yield


def move_hangs(stage: Stage) -> Iterator[None]:
    with stage.mariadb.connect(DATABASE, autocommit=False) as holder:
        holder.cursor().execute("SELECT * FROM CelonisData WHERE kv_key LIKE 'key%' FOR UPDATE")
        stage.add("c")
        yield


AWAY: Final = frozenset({"CkvDatabaseAway", "CkvNotReady", "CkvPendingOld"})
"""The alerts of a database that stays away."""

INCIDENTS: Final = {
    "database-down": Incident(
        "The database is down",
        "MariaDB is killed (SIGKILL)",
        database_down,
        r"^a, and 1 more: The database has been down for \d+ s: MySQL error 20\d\d: .+; the node alone has \d+ unsaved",
        r"a WARNING .*database lost: ",
        AWAY,
    ),
    "database-hung": Incident(
        "The database hangs",
        "MariaDB is stopped (SIGSTOP): it takes connections and answers nothing",
        database_hung,
        r"^The database has been hung for \d+ s: .+; the node alone has \d+ unsaved",
        r"a WARNING .*database hung: ",
        AWAY,
        node="a",
    ),
    "database-slow": Incident(
        "The database is slow",
        "each answer of it is late by 0.7 s",
        database_slow,
        r"^The database has been slow for \d+ s: a (read|write) took \d\.\d s or more",
        r"a WARNING .*database slow: ",
        frozenset({"CkvDatabaseSlow"}),
        node="a",
        setting=Setting(proxied=True),
    ),
    "database-full": Incident(
        "The disk of the database is full",
        "a file takes all room on the disk of MariaDB, which may end by it",
        database_full,
        r"^The database has ",
        r"a WARNING .*database (lost|hung): ",
        AWAY,
        node="a",
        setting=Setting(on_small_disk=True, capacity=50, filled=200, value_bytes=30_000),
    ),
    "database-read-only": Incident(
        "The database may only be read",
        "`SET GLOBAL read_only = ON`, as an operator or a fail-over of MariaDB does",
        database_read_only,
        r"^The database has .*read-only",
        r"a WARNING .*read-only",
        AWAY,
        node="a",
    ),
    "password-changed": Incident(
        "The password of the database is another one",
        "the account of the nodes gets another password, and MariaDB ends their connections",
        password_changed,
        r"^The database has been down for \d+ s: MySQL error 1045: Access denied",
        r"a WARNING .*Access denied",
        AWAY,
        node="a",
    ),
    "node-killed": Incident(
        "A secondary is killed",
        "one of two secondaries is killed (SIGKILL)",
        node_killed,
        r"^Given up, and not come back: b",
        r"primary WARNING .*b is given up",
        frozenset({"CkvNodeDown", "CkvFewerSecondaries"}),
    ),
    "node-hung": Incident(
        "A secondary hangs",
        "one of two secondaries is stopped (SIGSTOP): its connections stay open, and it answers nothing",
        node_hung,
        r"^Given up, and not come back: b",
        r"primary WARNING .*b is given up",
        frozenset({"CkvNodeDown", "CkvFewerSecondaries"}),
    ),
    "client-floods": Incident(
        "A client floods a primary",
        f"one client opens {2 * PLACES} connections, more than there are places, and asks without end over another one",
        client_floods,
        r"^\d+ connections? found all 40 places taken in the last minutes",
        r"primary WARNING .*refused: all 40 places are taken",
        frozenset({"CkvConnectionsRefused"}),
        asks_most=r"^ *(9\d|100)\S*% .* msgpack-RPC +- +primary:8080 +client:50000$",
        setting=Setting(primary=(f"--max-connections={PLACES}",)),
        stays=("CkvConnectionsRefused",),
    ),
    "memory-full": Incident(
        "Memory is full of what the database does not take",
        "a backup has locked the tables (`FLUSH TABLES WITH READ LOCK`), while clients write on",
        memory_full,
        r"^The database has taken no writes for \d+ s, and is read: ",
        r"a WARNING .*database hung: ",
        AWAY | {"CkvNoRoom", "CkvPendingFull"},
        node="a",
        setting=Setting(secondary=("--pending-max=100",)),
        stays=("CkvNoRoom",),
    ),
    "move-hangs": Incident(
        "A move of slots hangs",
        "a third secondary joins while somebody's transaction has locked the rows that have to be saved first",
        move_hangs,
        r"^[ab](, and 1 more)?: The database has been hung for \d+ s: a write has been under way",
        r"primary WARNING .*the move of \d+ slots from [ab] to c has not got on for 5 s",
        AWAY | {"CkvMoveStuck", "CkvNoSlots"},
        setting=Setting(capacity=5000),
    ),
}


@contextmanager
def begun(incident: Incident, stage: Stage) -> Iterator[None]:
    """While it lasts; it is mended afterwards, whatever happens meanwhile."""
    steps = incident.script(stage)
    next(steps)
    try:
        yield
    finally:
        rest = list(steps)
        assert not rest
