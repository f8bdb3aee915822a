"""Clients of the Service of the primaries: they use the one that they are sent to, and check all that they read."""

from __future__ import annotations

import random
import threading
from types import TracebackType

from ckv import Client
from ckv.errors import CkvError
from tests.support.eventually import eventually
from tests.support.nodes import Node

KEYS_OF_EACH = 100

PAUSE = 0.002
"""Seconds between two calls of a client, which make it a light load."""


class Visitors:
    """A few threads, each with keys of its own, from when they are made until the end of the ``with``."""

    def __init__(self, primary: Node, clients: int = 3) -> None:
        self._port = primary.port
        self._used = [0] * clients
        self._stop = threading.Event()
        self.calls = 0
        self.wrong: list[str] = []
        """Errors, and what was read and is not what was written."""
        self.latest: dict[str, str] = {}
        """What was acknowledged last of each key."""
        self._threads = [threading.Thread(target=self._use, args=(number,)) for number in range(clients)]

    def send_to(self, primary: Node) -> None:
        """All go to this primary; returns when they do."""
        self._port = primary.port
        eventually(lambda: all(port == primary.port for port in self._used), 30, f"all clients are at {primary.name}")

    def check(self) -> None:
        """Nothing was wrong, and there was something that could be."""
        assert not self.wrong, (len(self.wrong), self.wrong[:5])
        calls = self.calls
        eventually(lambda: self.calls > calls, what="the clients go on")

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _use(self, number: int) -> None:
        chance = random.Random(number)
        keys = [f"visitor {number}: {key}" for key in range(KEYS_OF_EACH)]
        while not self._stop.is_set():
            port = self._used[number] = self._port
            with Client("127.0.0.1", port, timeout=20) as client:
                while self._port == port and not self._stop.wait(PAUSE):
                    key = chance.choice(keys)
                    try:
                        if chance.random() < 0.5:
                            value = str(chance.random())
                            client.put(key, value)
                            self.latest[key] = value
                        elif (found := client.get(key)) != self.latest.get(key):
                            self.wrong.append(f"{key} is {found!r} and not {self.latest.get(key)!r}")
                    except CkvError as error:
                        self.wrong.append(f"{type(error).__name__}: {error}")
                    self.calls += 1
