"""One scenario of a cluster that secondaries join: two of them, one of which is lost for a while, under the calls of
recording clients.

    def test_a_node_is_killed(registered: Registered) -> None:
        with registered as run:
            with run.losing():
                run.lost.kill()
                run.wait_for_its_keys()

Clients call by way of the primary, and *witnesses* call the node that is to be lost by itself, whatever becomes of it:
what it answers is a part of the history too. Each of its three ways is through a proxy of its own: that of the primary
to it, its own to the primary, and its own to the database.

Leaving has both nodes share the slots again, sees that all works, has each save what it has, and reads the table, as
:mod:`tests.failures.harness` does for one node. A key of the other node may lose nothing in any mode.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ckv import Client
from ckv.cluster.directory import OWNERS, Directory
from ckv.cluster.slots import slot_of
from ckv.errors import Refused
from ckv.exits import Exit
from ckv.tools.slots import read
from tests.failures.clients import Clients, record
from tests.failures.harness import AGAIN, BEHIND_WINDOW, DEFAULT_SEED, KEYS, OPTIONS, PATIENCE, WORKERS
from tests.failures.judging import judge
from tests.failures.linearizability import Call, Fate, Kind
from tests.failures.proxy import Proxy
from tests.failures.scenario import Scenario
from tests.failures.sightings import Sightings, table
from tests.support.detour import detour
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes
from tests.support.ports import free_port
from tests.system.registered import SETTLE, SLOTS

CAPACITY: Final[Mapping[str, int]] = {"evict": 15, "behind": len(KEYS), "through": 15}
"""Records in the memory of each node, which owns about 30, by write mode. In `behind` nothing is evicted, so that the
database has only what the mode brings there."""

CLIENTS: Final = 6
WITNESSES: Final = 2

CALL_TIMEOUT: Final = 2.0
"""Seconds of the primary's patience. Clients have twice as much."""

BACK_WITHIN: Final = 15.0
"""Seconds within which the keys of a lost node are another one's, on a machine that is busy with other things; 7 to 9 s
is what `docs/joining.md` says."""


class Registered(Scenario):
    """The cluster while the scenario runs."""

    def __init__(self, name: str, mode: str, mariadb: MariaDB, folder: Path, *, elects: bool = False) -> None:
        """``elects``: there is a second primary, and the database is their coordinator."""
        super().__init__(name, mode)
        self.mariadb = mariadb
        self.primary: Node
        self.lost: Node
        """The node that something happens to."""
        self.other: Node
        self.to_lost: Proxy
        """From the primary to it."""
        self.to_primary: Proxy
        self.to_database: Proxy
        self.clients: Clients
        self.witnesses: Clients
        self._folder = folder
        self._elects = elects
        self._primaries: list[Node] = []
        self._seed = int(os.environ.get("CKV_FAILURES_SEED", DEFAULT_SEED))
        self._nodes: Nodes
        self._lost_port: int
        self._sightings = Sightings(mariadb)
        self._owned: list[str] = []
        self._since = math.inf
        self._crashes: list[Call] = []
        self._last_calls: list[Call] = []

    # --- what a scenario does ------------------------------------------------------------------------------------

    def work(self, calls: int) -> None:
        """Returns when the clients got that many further answers."""
        wanted = self.clients.answered + calls
        eventually(lambda: self.clients.answered >= wanted and self.witnesses.answered >= 0, PATIENCE, f"{calls} calls")

    def last(self, seconds: float) -> None:
        """Lets the clients go on for so long, whatever they are answered."""
        until = time.monotonic() + seconds
        eventually(
            lambda: self.clients.answered >= 0 and self.witnesses.answered >= 0 and time.monotonic() >= until,
            PATIENCE + seconds,
            "the time",
        )

    def work_until_some_is_saved(self) -> None:
        """Until some of what was written may not be lost any more."""
        if self.mode == "behind":
            self.last(2 * BEHIND_WINDOW)
        else:
            self.work(500)

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Around what happens to the node, until it is known what its keys have: others may own them after it, and then
        they have what its mode allows."""
        self._owned = self._keys_of_lost()
        begin = self._since = time.monotonic()
        yield
        self._may_be_lost(self._owned, begin)

    def _may_be_lost(self, keys: Sequence[str], begin: float) -> None:
        end = time.monotonic()
        keeps = begin - BEHIND_WINDOW if self.mode == "behind" else -math.inf
        if self.mode != "through":
            self._crashes += [Call(key, Kind.CRASH, begin, end, keeps=keeps) for key in keys]

    def restart_everything(self, how: signal.Signals) -> None:
        """:func:`restart_at_once`. What all nodes together may lose depends on the write mode; it is nothing where they
        are told to stop."""
        # A process that has not joined yet takes what it is given, and others own the keys: it is not to be asked then.
        self.witnesses.stop()
        # InnoDB shows a commit to others a moment before it is on the disk; what was seen last may not be there later.
        self._sightings.stop()
        begin = time.monotonic()
        self._sightings.calls = [call for call in self._sightings.calls if call.end < begin - 1]
        restart_at_once([*self._primaries, self.lost, self.other], self.mariadb, how)
        if how is signal.SIGKILL:
            self._may_be_lost(KEYS, begin)
        self._owned = KEYS
        self._since = begin
        self.wait_for_its_keys(PATIENCE)

    def replace_lost(self) -> None:
        """SIGTERM, and the same command again at once: neither is waited for before the other one. Nothing is lost."""
        self.witnesses.stop()  # as above
        old = self.lost
        old.signal(signal.SIGTERM)
        self.lost = self._start_lost(wait=False)
        code = old.wait(PATIENCE)
        assert code == Exit.FINE, f"exit code {code}\n{old.tail()}"
        self.lost.wait_ready(PATIENCE)

    def wait_for_its_keys(self, within: float = BACK_WITHIN) -> None:
        """Until each key that it had is answered by way of the primary, which has to be soon."""
        left = set(self._owned)
        with Client("127.0.0.1", self.primary.port, timeout=2 * CALL_TIMEOUT) as client:

            def answered() -> bool:
                for key in sorted(left):
                    call = record(client, Kind.GET, key)
                    self._last_calls.append(call)
                    if call.fate is not Fate.ANSWERED:
                        return False
                    left.discard(key)
                return True

            eventually(answered, PATIENCE, "its keys are answered")
        took = self.lost_for
        self.note(f"{len(self._owned)} keys back after {took:.1f} s")
        assert took < within

    def wait_until_it_serves(self) -> None:
        """Until the witnesses were answered by the node from now on, some times."""
        wanted = self.witnesses.answered + 10
        eventually(lambda: self.witnesses.answered >= wanted, PATIENCE, "the node serves who reaches it")

    def owned_by_lost(self) -> int:
        """How many slots the node has, by what the primary says that leads."""
        return self._slots().get(self.lost.name, 0)

    @property
    def lost_for(self) -> float:
        """Seconds since something happened to the node."""
        return time.monotonic() - self._since

    # --- its begin -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._nodes = self._resources.enter_context(Nodes())
        port, primary_port = free_port(), free_port()
        self.to_lost, self.to_primary, self.to_database = (
            self._resources.enter_context(Proxy(each)) for each in (port, primary_port, self.mariadb.port)
        )
        self._primaries = [
            self._nodes.start_primary(
                port=each,
                options=[
                    f"--settle={SETTLE}",
                    f"--call-timeout={CALL_TIMEOUT}",
                    *([f"--coordinator=mysql://{self.mariadb.address}"] if self._elects else []),
                ],
                command=detour({port: self.to_lost.port}),
                name=f"primary {each}",
            )
            for each in ((primary_port, free_port()) if self._elects else (primary_port,))
        ]
        self.primary = self._primaries[0]
        self._lost_port = port
        self.other = self._start_secondary("other", 0, {})
        self.lost = self._start_lost()
        self._wait_level("lost", "other")
        self.clients, self.witnesses = (
            Clients(node.port, KEYS, count=count, seed=self._seed, timeout=2 * CALL_TIMEOUT, name=name)
            for node, count, name in ((self.primary, CLIENTS, ""), (self.lost, WITNESSES, "witness "))
        )
        for started in (self.clients, self.witnesses, self._sightings):
            started.start()

    def _start_lost(self, *, wait: bool = True) -> Node:
        ways = {self.primary.port: self.to_primary.port, self.mariadb.port: self.to_database.port}
        return self._start_secondary("lost", self._lost_port, ways, wait=wait)

    def _start_secondary(self, name: str, port: int, ways: dict[int, int], *, wait: bool = True) -> Node:
        options = {**OPTIONS, "write-mode": self.mode, "name": name}
        return self._nodes.start_secondary(
            primary=",".join(primary.address for primary in self._primaries),
            port=port,
            persistent=self.mariadb.address,
            capacity=CAPACITY[self.mode],
            pool_size=WORKERS,
            options=[f"--{option}={value}" for option, value in options.items()],
            command=detour(ways) if ways else (),
            wait=wait,
            name=name,
        )

    # --- its end -------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        for proxy in (self.to_lost, self.to_primary, self.to_database):
            proxy.heal()

    def _stop(self) -> None:
        for started in (self.clients, self.witnesses, self._sightings):
            started.stop()

    def _finish(self) -> None:
        self.witnesses.stop()  # as above
        if not self.lost.running:
            self.lost.restart()
        self._wait_level("lost", "other")
        self.work(AGAIN)
        self._stop()
        self._read_every_key()
        for node in (self.lost, self.other):
            code = node.terminate(PATIENCE)
            assert code == 0, f"exit code {code}\n{node.tail()}"
        rows = table(self.mariadb)
        assert rows.keys() <= set(KEYS), "the table has keys that nobody put"
        now = time.monotonic()
        self._last_calls += [Call(key, Kind.GET, now, now, answer=rows.get(key)) for key in KEYS]
        for clients in (self.clients, self.witnesses):
            self.outcome.count(clients.calls)
        judge(self._history(), self.outcome, self._seed)

    def _history(self) -> list[Call]:
        # In mode `through` the table is ahead of the node by the moment that the commit's answer takes.
        seen = [] if self.mode == "through" else self._sightings.calls
        return self.clients.calls + self.witnesses.calls + seen + self._crashes + self._last_calls

    def _read_every_key(self) -> None:
        with Client("127.0.0.1", self.primary.port, timeout=PATIENCE) as client:
            for key in KEYS:
                call = record(client, Kind.GET, key)
                assert call.fate is Fate.ANSWERED, call
                self._last_calls.append(call)

    def _keep(self) -> None:
        """For whoever looks for the reason of a failure."""
        for node in (*self._primaries, self.lost, self.other):
            (self._folder / f"{node.name}.log").write_text("\n".join(node.log))
        calls = sorted(self._history(), key=lambda call: (call.key, call.begin))
        (self._folder / "history.txt").write_text("\n".join(map(str, calls)))
        print(f"the history and the logs are in {self._folder}")

    # --- who has what --------------------------------------------------------------------------------------------

    def _ask_primary(self) -> Client:
        return Client("127.0.0.1", self.primary.port, timeout=PATIENCE)

    def _keys_of_lost(self) -> list[str]:
        with self._ask_primary() as client:
            directory = Directory.unpack(client.call(OWNERS), SLOTS)
        (number,) = (at for at, place in enumerate(directory.places) if place is not None and place.name == "lost")
        return [key for key in KEYS if directory.owner(slot_of(key)) == number]

    def _slots(self) -> dict[str, int]:
        for primary in self._primaries:
            with Client("127.0.0.1", primary.port, timeout=PATIENCE) as client, suppress(Refused):
                return {row[0]: row[5] for row in read(client)[0] if row[5]}
        raise AssertionError("no primary leads")

    def _wait_level(self, *names: str) -> None:
        def level() -> bool:
            counts = self._slots()
            assert counts == dict.fromkeys(names, SLOTS // len(names)), counts
            return True

        eventually(level, PATIENCE, f"the slots are those of {', '.join(names)}")


def restart_at_once(everybody: Sequence[Node], mariadb: MariaDB, how: signal.Signals) -> None:
    """SIGKILL or SIGTERM to nodes and database at the same time, and at once a start of all, in no order."""
    for node in everybody:
        node.signal(how)
    if how is signal.SIGKILL:
        mariadb.kill()
    else:
        mariadb.stop()
    since = {node.name: len(node.log) for node in everybody}
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(mariadb.start)
        for node in everybody:
            code = node.wait(PATIENCE)
            assert code == (-how if how is signal.SIGKILL else Exit.FINE), node.tail()
            node.start(wait=False)
        starting.result()
    for node in everybody:
        node.wait_ready(PATIENCE, since[node.name])
