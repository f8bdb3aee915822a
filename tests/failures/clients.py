"""Clients that call at random, from a seed, and write down every call, its answer and its times."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ckv import Client
from ckv.errors import CkvError
from ckv.values import Value
from tests.failures.linearizability import Call, Fate, Kind

BURST: Final = 12
"""Calls that a client makes one after another before it rests, on average: so that clients meet on a key."""

REST: Final = 0.015
"""Seconds that it rests, on average; the machine has others to serve."""

Mix = Mapping[Kind, int]

MIX: Final[Mix] = {Kind.GET: 45, Kind.PUT: 45, Kind.DEL: 10}
"""What it calls, in percent."""

READS: Final[Mix] = {Kind.GET: 100}
"""Where what is there is to be seen, and not to be written over."""

Sizes = Callable[[random.Random], int]
"""How many bytes the next value is to have, at the least."""


def tiny(_rng: random.Random) -> int:
    """Values as short as can be."""
    return 0


class Clients:
    """Threads with one connection each. Values are unique, and of both types."""

    def __init__(
        self,
        port: int,
        keys: Sequence[str],
        *,
        count: int,
        seed: int,
        timeout: float,
        sizes: Sizes = tiny,
        name: str = "",
    ) -> None:
        """``name``: what their values begin with, so that those of other clients of the same keys are others."""
        self.mix = MIX
        """What they call from now on."""
        self._port = port
        self._keys = keys
        # A few keys get most of the calls, so that several clients are at one of them at a time, and many keys get
        # few, so that memory has to give them up.
        self._weights = [1 / (rank + 3) for rank in range(len(keys))]
        self._timeout = timeout
        self._sizes = sizes
        self._name = name
        self._stopping = threading.Event()
        self._calls: list[list[Call]] = [[] for _ in range(count)]
        self._answered = [0] * count
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, seed), daemon=True) for number in range(count)
        ]

    @property
    def answered(self) -> int:
        """Calls that were answered so far; raises what went wrong in a client apart from ckv's errors."""
        if self._failures:
            raise self._failures[0]
        return sum(self._answered)

    @property
    def calls(self) -> list[Call]:
        """All calls so far."""
        return [call for calls in self._calls for call in calls]

    @property
    def started(self) -> bool:
        return self._threads[0].ident is not None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when every client has the answer to its last call, or a time-out."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self, number: int, seed: int) -> None:
        rng = random.Random(f"{seed}.{number}")
        try:
            with Client("127.0.0.1", self._port, timeout=self._timeout, connect_timeout=self._timeout) as client:
                while not self._stopping.is_set():
                    call = self._call(client, rng, f"{self._name}{number}.{len(self._calls[number])}")
                    self._calls[number].append(call)
                    if call.fate is Fate.ANSWERED:
                        self._answered[number] += 1
                    if call.error is not None or rng.random() < 1 / BURST:
                        self._stopping.wait(rng.uniform(0, 2 * REST))
        except BaseException as error:  # noqa: BLE001 - raised where the scenario is
            self._failures.append(error)

    def _call(self, client: Client, rng: random.Random, unique: str) -> Call:
        (key,) = rng.choices(self._keys, self._weights)
        (kind,) = rng.choices(list(self.mix), list(self.mix.values()))
        if kind is not Kind.PUT:
            return record(client, kind, key)
        text = f"{unique} ".ljust(self._sizes(rng), ".")
        return record(client, kind, key, text if rng.random() < 0.5 else text.encode())


def record(client: Client, kind: Kind, key: str, argument: Value | None = None) -> Call:
    """Make one call and write it down."""
    answer: Value | bool | None = None
    error = None
    begin = time.monotonic()
    try:
        if argument is not None:
            client.put(key, argument)
        elif kind is Kind.GET:
            answer = client.get(key)
        else:
            answer = client.delete(key)
    except CkvError as raised:
        error = raised
    return Call(key, kind, begin, time.monotonic(), argument=argument, answer=answer, error=error)
