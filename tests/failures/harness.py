"""One scenario: real processes under the calls of recording clients, a failure, and the audit of what came of it.

    def test_the_secondary_is_killed(scenario: Scenarios) -> None:
        with scenario() as run:
            run.work(1000)
            run.kill_secondary()
            run.secondary.start()

Entering starts MariaDB, a secondary (behind a primary if asked for) and, at the first :meth:`Run.work`, the clients.
Leaving brings everything back to health, sees that it works again, reads every key, stops the node, which has to save
everything, and reads the table. All of that is one history, and each key must have an order of its calls that explains
every answer (:mod:`tests.failures.linearizability`).
"""

from __future__ import annotations

import math
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ckv import Client
from ckv.values import Value
from tests.failures.clients import Clients, Sizes, record, tiny
from tests.failures.judging import judge
from tests.failures.linearizability import Call, Fate, Kind
from tests.failures.proxy import Proxy
from tests.failures.scenario import Scenario
from tests.failures.sightings import Sightings, table
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv

MODES: Final = ("evict", "behind", "through")
"""The write modes that the scenarios run in."""

KEYS: Final = [f"key {number}" for number in range(60)]
CAPACITY: Final = 20
"""Records in memory, of those 60: so loads, evictions and rows on their way are always in play."""

WORKERS: Final = 2
CLIENTS: Final = 6

WRITE_DELAY: Final = 0.1
"""Seconds that a row may wait in mode `behind`."""

BEHIND_WINDOW: Final = WRITE_DELAY + 2.0
"""Seconds after which a write has to be in the database in that mode. The delay, and time for the flush itself on a
machine that is busy with other things."""

CALL_TIMEOUT: Final = 2.0
"""Seconds of the primary's patience, and of a client's that has no primary before it."""

LOAD_TIMEOUT: Final = 1.0
"""Seconds of the secondary's patience with the database."""

OPTIONS: Final[Mapping[str, object]] = {
    "load-timeout": LOAD_TIMEOUT,
    "pending-max": 1000,
    "write-delay": WRITE_DELAY,
}
"""Of every secondary."""

PATIENCE: Final = 60.0
"""Seconds until a test that waits for something to get well gives up."""

AGAIN: Final = 300
"""Calls that have to be answered after the failure is over."""

DEFAULT_SEED: Final = 1
"""What the clients do; another one: CKV_FAILURES_SEED=2."""


@dataclass(frozen=True)
class Setup:
    """What a scenario may want otherwise."""

    behind_primary: bool = False
    """Clients talk to a primary, with a proxy between it and the secondary: :attr:`Run.link`."""
    proxied_database: bool = False
    """A proxy between the secondary and MariaDB: :attr:`Run.database`."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Long options of the secondary, without their dashes; they win over :data:`OPTIONS`."""
    sizes: Sizes = tiny
    """How large values are."""
    capacity: int = CAPACITY
    """Records in memory."""
    clients: int = CLIENTS
    left: Callable[[Value], bool] = lambda _value: False
    """Whether the database will refuse this value to the end, so that the drain has to leave its record behind."""


class Run(Scenario):
    """A scenario while it runs."""

    def __init__(self, name: str, mode: str, mariadb: MariaDB, folder: Path, setup: Setup) -> None:
        super().__init__(name, mode)
        self.mariadb = mariadb
        self.seed = int(os.environ.get("CKV_FAILURES_SEED", DEFAULT_SEED))
        self.secondary: Node
        self.primary: Node | None = None
        self.link: Proxy
        self.database: Proxy
        self.clients: Clients
        self._folder = folder
        self._nodes: Nodes
        self._tier = ""
        self._setup = setup
        self._options = {**OPTIONS, "write-mode": mode, **setup.options}
        self._proxies: list[Proxy] = []
        self._crashes: list[tuple[float, float, float]] = []
        self._lost_database = math.inf
        self.sightings = Sightings(mariadb)
        self._last_calls: list[Call] = []

    # --- what a scenario does ------------------------------------------------------------------------------------

    def work(self, calls: int) -> None:
        """Returns when the clients got that many further answers; starts them at the first time."""
        self._start_clients()
        wanted = self.clients.answered + calls
        eventually(lambda: self.clients.answered >= wanted, PATIENCE, f"{calls} answers")

    def last(self, seconds: float) -> None:
        """Lets the failure last that long under the calls of the clients, whatever they are answered."""
        self._start_clients()
        until = time.monotonic() + seconds
        eventually(lambda: self.clients.answered >= 0 and time.monotonic() >= until, PATIENCE + seconds, "the time")

    def kill_secondary(self) -> None:
        """SIGKILL. What the node may lose by that depends on its write mode."""
        begin = time.monotonic()
        self.secondary.kill()
        self._crashes.append((begin, time.monotonic(), self._keeps(begin)))

    def stop_secondary(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """SIGTERM. It has to save everything. ``meanwhile`` is called when the node counts what it has to save."""
        since = len(self.secondary.log)
        self.secondary.signal(signal.SIGTERM)
        self.secondary.wait_for_log("records to save", PATIENCE, since)
        meanwhile()
        code = self.secondary.wait(PATIENCE)
        assert code == 0, f"exit code {code}\n{self.secondary.tail()}"

    def replace_secondary(self) -> None:
        """SIGTERM, and at once another process of the same name, to which the primary is led: behind a primary only.
        Neither is waited for before the other one."""
        old = self.secondary
        old.signal(signal.SIGTERM)
        self.secondary = self._new_secondary(wait=False)
        self.link.turn_to(self.secondary.port)
        code = old.wait(PATIENCE)
        assert code == 0, f"exit code {code}\n{old.tail()}"
        self.secondary.wait_ready()

    def kill_database(self) -> None:
        """SIGKILL."""
        # InnoDB shows a commit to others a moment before it is on the disk; what was seen last may not be there later.
        self.sightings.stop()
        begin = time.monotonic()
        self.sightings.calls = [call for call in self.sightings.calls if call.end < begin - 1]
        self.mariadb.kill()
        self._database_lost(begin)

    def pause_database(self) -> None:
        """SIGSTOP, until ``mariadb.resume()``."""
        begin = time.monotonic()
        self.mariadb.pause()
        self._database_lost(begin)

    def _database_lost(self, begin: float) -> None:
        self._lost_database = min(self._lost_database, begin)

    def ask(self, method: str) -> Any:
        """The secondary's own answer to a command without arguments; the figures of INFO by name."""
        with Client("127.0.0.1", self.secondary.port, timeout=PATIENCE) as client:
            return client.call(method)

    # --- its begin -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        setup = self._setup
        self._nodes = nodes = self._resources.enter_context(Nodes())
        self._tier = self.mariadb.address
        if setup.proxied_database:
            self.database = self._proxy(self.mariadb.port)
            self._tier = self.database.address
        self.secondary = self._new_secondary()
        self.secondary.wait_for_log("database connected", PATIENCE)
        entrance = self.secondary
        if setup.behind_primary:
            self.link = self._proxy(self.secondary.port)
            self.primary = nodes.start_primary(self.link.address, options=[f"--call-timeout={CALL_TIMEOUT}"])
            self.primary.wait_peer(self.link.address)
            entrance = self.primary
        self.clients = Clients(
            entrance.port,
            KEYS,
            count=setup.clients,
            seed=self.seed,
            timeout=2 * CALL_TIMEOUT if setup.behind_primary else CALL_TIMEOUT,
            sizes=setup.sizes,
        )

    def _new_secondary(self, *, wait: bool = True) -> Node:
        return self._nodes.start_secondary(
            persistent=self._tier,
            capacity=self._setup.capacity,
            pool_size=WORKERS,
            options=[f"--{name}={value}" for name, value in self._options.items()],
            wait=wait,
        )

    def _proxy(self, port: int) -> Proxy:
        self._proxies.append(self._resources.enter_context(Proxy(port)))
        return self._proxies[-1]

    def _start_clients(self) -> None:
        if not self.clients.started:
            self.clients.start()
            self.sightings.start()

    # --- its end -------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        self.clients.stop()
        self.sightings.stop()

    def _heal(self) -> None:
        if self.mariadb.running:
            self.mariadb.resume()
        else:
            self.mariadb.start()
        for proxy in self._proxies:
            proxy.heal()
        if self.secondary.running:
            self.secondary.resume()
        else:
            self.secondary.start()

    def _finish(self) -> None:
        self.work(AGAIN)
        self.clients.stop()
        self.sightings.stop()
        self._read_every_key()
        # Node and database have to agree while the node still runs; a history might show it much later only.
        verified = run_ckv("verify", "127.0.0.1", str(self.secondary.port), self.mariadb.address)
        self._drain_and_audit()
        self._judge()
        assert verified.returncode == 0, (
            f"ckv verify exits with {verified.returncode}\n{verified.stdout}{verified.stderr}"
        )

    def _read_every_key(self) -> None:
        with Client("127.0.0.1", self.secondary.port, timeout=PATIENCE) as client:

            def answered() -> bool:
                call = record(client, Kind.GET, key)
                self._last_calls.append(call)
                return call.fate is Fate.ANSWERED

            for key in KEYS:
                eventually(answered, PATIENCE, f"an answer for {key!r}")

    def _drain_and_audit(self) -> None:
        """The table is read like every other answer: it has to fit into the history, after everything else."""
        held = {call.key: call.answer for call in self._last_calls if call.fate is Fate.ANSWERED}
        left = {key for key, value in held.items() if isinstance(value, (str, bytes)) and self._setup.left(value)}
        code = self.secondary.terminate(PATIENCE)
        if left:
            told = [int(found[1]) for line in self.secondary.log if (found := re.search(r"(\d+) records left", line))]
            assert (code, told) == (3, [len(left)]), f"{len(left)} left, exit code {code}\n{self.secondary.tail()}"
            self.note(f"{len(left)} left by the drain")
        else:
            assert code == 0, f"exit code {code}\n{self.secondary.tail()}"
        rows = table(self.mariadb)
        assert rows.keys() <= set(KEYS), "the table has keys that nobody put"
        now = time.monotonic()
        for key in KEYS:
            if key in left:
                self._last_calls.append(Call(key, Kind.CRASH, now, now, keeps=-math.inf))
            self._last_calls.append(Call(key, Kind.GET, now, now, answer=rows.get(key)))

    @property
    def history(self) -> list[Call]:
        """Everything that is known."""
        calls = self.clients.calls + self._sightings_that_count() + self._last_calls
        for begin, end, keeps in self._crashes:
            if self.mode != "through":  # which keeps everything, so that there a crash is nothing
                calls += [Call(key, Kind.CRASH, begin, end, keeps=keeps) for key in KEYS]
        return calls

    def _sightings_that_count(self) -> list[Call]:
        # In mode `through` the table is ahead of the node by the moment that the commit's answer takes.
        return [] if self.mode == "through" else self.sightings.calls

    def _keeps(self, crash: float) -> float:
        """The row of the table of write modes: what was over by this time survives a crash."""
        return min(crash, self._lost_database) - BEHIND_WINDOW if self.mode == "behind" else -math.inf

    def _judge(self) -> None:
        self.outcome.count(self.clients.calls)
        undone = judge(self.history, self.outcome, self.seed)
        if self.mode == "behind":
            bound = int(str(self._options["pending-max"]))
            for begin, _, _ in self._crashes:
                assert undone[begin] <= bound, f"{undone[begin]} records lost, and only {bound} may wait"

    def _keep(self) -> None:
        """For whoever looks for the reason of a failure."""
        nodes = [self.secondary, *([self.primary] if self.primary is not None else [])]
        for node in nodes:
            (self._folder / f"{node.name}.log").write_text("\n".join(node.log))
        calls = sorted(self.history, key=lambda call: (call.key, call.begin))
        (self._folder / "history.txt").write_text("\n".join(map(str, calls)))
        (self._folder / "mariadb.log").write_text(self.mariadb.error_log())
        print(f"the history and the logs are in {self._folder}")
