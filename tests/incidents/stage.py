"""Where incidents happen: a primary and two secondaries that have joined it, a MariaDB of their own, and clients."""

from __future__ import annotations

import json
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ckv import Client
from ckv.errors import CkvError
from tests.failures.proxy import Proxy
from tests.support.disk import small_disk
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.nodes import Node, Nodes
from tests.support.ports import free_port
from tests.support.products import Template
from tests.system.registered import SETTLE, SLOTS
from tests.system.test_http import ask

ACCOUNT: Final = "ckv"
"""As whom the nodes log in: one that may do what an operator would let it, and no more."""

PACE: Final = 0.02
"""Seconds between two calls of a client."""


@dataclass(frozen=True)
class Setting:
    """How the stage of an incident is another one than usual."""

    capacity: int = 300
    """Of each secondary: most of the keys are in the database alone."""
    keys: int = 2000
    filled: int = 2000
    """Keys that have a record at the beginning."""
    value_bytes: int = 20
    primary: Sequence[str] = ()
    secondary: Sequence[str] = ()
    """Further options."""
    proxied: bool = False
    """The nodes reach the database through a proxy, which can be slow."""
    on_small_disk: bool = False


class Stage:
    """The processes. They are started by :func:`opened`."""

    def __init__(self, nodes: Nodes, mariadb: MariaDB, proxy: Proxy | None, folder: Path, setting: Setting) -> None:
        self.mariadb = mariadb
        self.disk: Path | None = None
        self.proxy = proxy
        self.setting = setting
        self.password = folder / "password"
        self._nodes = nodes
        self._environment = {"CKV_MYSQL_USER": ACCOUNT, "CKV_MYSQL_PASSWORD_FILE": str(self.password)}
        self.password.touch(0o600)
        self.password.write_text("the first one")
        mariadb.query(f"CREATE USER {ACCOUNT}@'127.0.0.1' IDENTIFIED BY 'the first one'")
        mariadb.query(f"GRANT ALL ON {DATABASE}.* TO {ACCOUNT}@'127.0.0.1'")
        self.primary = nodes.start_primary(options=["--http=0", f"--settle={SETTLE}", *setting.primary], name="primary")
        self.secondaries: dict[str, Node] = {}
        self.add("a", "b")

    def add(self, *names: str) -> None:
        """Starts secondaries that join; returns when they listen."""
        for name in names:
            self.secondaries[name] = self._nodes.start_secondary(
                primary=self.primary.address,
                persistent=(self.proxy or self.mariadb).address,
                capacity=self.setting.capacity,
                options=[
                    f"--http={free_port()}",
                    f"--name={name}",
                    *self.setting.secondary,
                ],  # the same when it is back
                env=self._environment,
                name=name,
                wait=False,
            )
        for name in names:
            self.secondaries[name].wait_ready()

    @property
    def nodes(self) -> dict[str, Node]:
        """All of them, by name."""
        return {"primary": self.primary, **self.secondaries}

    @property
    def names(self) -> dict[str, str]:
        """What stands for each address in what people read."""
        names = {node.address: f"{name}:{8080 + at}" for at, (name, node) in enumerate(self.nodes.items())}
        return {**names, self.mariadb.address: "db:3306"} | ({self.proxy.address: "db:3306"} if self.proxy else {})

    def wait_well(self, *but: str) -> None:
        """Until no node tells of a problem, ``but`` those of these sections, and the secondaries have all slots."""

        def well() -> bool:
            for name, node in self.nodes.items():
                told = status(node)
                assert not {problem["section"] for problem in told["problems"]} - set(but), (name, told["problems"])
            owned = Counter(node["state"] for node in status(self.primary)["cluster"]["secondaries"])
            return owned == {"up": len(self.secondaries)} and self._all_dealt()

        eventually(well, 60.0, "all is well")

    def _all_dealt(self) -> bool:
        found = status(self.primary)["cluster"]
        return found["move"] is None and sum(node["slots"] for node in found["secondaries"]) == SLOTS


@contextmanager
def opened(setting: Setting, template: Template, folder: Path) -> Iterator[Stage]:
    """The stage, with all well and clients at work."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk()) if setting.on_small_disk else None
        place = disk or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ckv-mariadb-")))
        mariadb = MariaDB(place, template)
        stack.callback(mariadb.kill)
        mariadb.start()
        proxy = stack.enter_context(Proxy(mariadb.port)) if setting.proxied else None
        nodes = stack.enter_context(Nodes())
        stage = Stage(nodes, mariadb, proxy, folder, setting)
        stage.disk = disk
        stage.wait_well()
        yield stage


def status(node: Node) -> dict[str, Any]:
    """What a node tells its page."""
    found = json.loads(ask(node, "/status.json")[1])
    assert isinstance(found, dict)
    return found


class Callers:
    """Clients of a primary that read and write at random, at a walking pace; what they were answered is counted."""

    def __init__(self, port: int, setting: Setting, count: int = 4) -> None:
        self.answered: Counter[str] = Counter()
        """How often, by the name of the error; of what succeeded by nothing."""
        self._keys = [f"key {number:04}" for number in range(setting.keys)]
        self._filled = setting.filled
        self._value = "v" * setting.value_bytes
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(count)]

    def _call(self, number: int) -> None:
        chance = random.Random(number)
        with Client("127.0.0.1", self._port, timeout=20) as client:
            while not self._over.wait(PACE):
                key = chance.choice(self._keys)
                try:
                    if chance.random() < 0.5:
                        client.put(key, self._value)
                    else:
                        client.get(key)
                    error = ""
                except CkvError as found:
                    error = type(found).__name__
                self.answered[error] += 1

    def __enter__(self) -> Callers:
        with Client("127.0.0.1", self._port, timeout=60) as client:
            client.put_many(dict.fromkeys(self._keys[: self._filled], self._value))
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.answered[""] > 100, 30.0, "calls are answered")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
