"""Clients that go on while nodes change, and what they are let in by does: none of their calls may fail, and nothing be
lost.

They repeat what docs/clients.md says that may be repeated: each key has one writer. Those of Redis repeat what is
answered ``LOADING`` or ``TRYAGAIN``, and connect again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from types import TracebackType
from typing import Final, NamedTuple

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, TryAgainError
from redis.retry import Retry

from ckv import Client, Tls
from tests.support.eventually import eventually

PATIENCE: Final = 30.0
"""Seconds that a call may take, with all its repeats, and that a test waits for clients."""

RETRIES: Final = 60
"""More than fit into that."""

KEYS: Final = 20
"""Of each client."""

REST: Final = 0.003
"""Seconds between two rounds of a client; the machine has others to serve."""

Ask = Callable[[str, str | None], str | None]
"""Puts a value, or gets what is there, for None."""


class Access(NamedTuple):
    """By what a client is let in."""

    user: str | None = None
    secret: str | None = None
    tls: Tls | None = None

    def client(self, port: int, *, direct: bool = False) -> Client:
        """The Python client, which says nothing to the node before the first call."""
        return Client(
            "127.0.0.1", port, user=self.user, password=self.secret, tls=self.tls, timeout=PATIENCE, direct=direct,
            retries=RETRIES, retry_unknown=("GET", "PUT"),
        )  # fmt: skip

    def redis(self, port: int) -> redis.Redis:
        """One of Redis."""
        return redis.Redis(
            "127.0.0.1", port, username=self.user, password=self.secret, socket_timeout=PATIENCE,
            ssl=self.tls is not None, ssl_ca_certs=str(self.tls.ca) if self.tls is not None else None,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), RETRIES),
            retry_on_error=[redis.ConnectionError, redis.TimeoutError, BusyLoadingError, TryAgainError],
            decode_responses=True,
        )  # fmt: skip


NOBODY: Final = Access()
"""Who says nothing of itself, without TLS."""


def _calling(client: Client) -> Ask:
    def ask(key: str, value: str | None) -> str | None:
        if value is None:
            found = client.get(key)
            assert found is None or isinstance(found, str)
            return found
        client.put(key, value)
        return value

    return ask


@contextmanager
def _by_the_primary(access: Access, port: int) -> Iterator[Ask]:
    with access.client(port) as client:
        yield _calling(client)


@contextmanager
def _to_owners(access: Access, port: int) -> Iterator[Ask]:
    with access.client(port, direct=True) as client:
        yield _calling(client)


@contextmanager
def _over_new_connections(access: Access, port: int) -> Iterator[Ask]:
    def ask(key: str, value: str | None) -> str | None:
        with access.client(port) as client:
            return _calling(client)(key, value)

    yield ask


@contextmanager
def _of_redis(access: Access, port: int) -> Iterator[Ask]:
    with access.redis(port) as client:

        def ask(key: str, value: str | None) -> str | None:
            if value is None:
                found: str | None = client.get(key)
                return found
            assert client.set(key, value) is True
            return value

        yield ask


WAYS: Final[dict[str, Callable[[Access, int], AbstractContextManager[Ask]]]] = {
    "by the primary": _by_the_primary,
    "to owners": _to_owners,
    "over new connections": _over_new_connections,
    "of Redis": _of_redis,
}
"""How clients come, each in a thread, with keys of its own."""


_numbers = count()


class Load:
    """The clients, from entering this to leaving it, which reads what all of them have written."""

    def __init__(self, port: int, access: Access) -> None:
        """``port``: that of the primary."""
        self._port = port
        self._access = access
        self._number = next(_numbers)
        """Its keys are its own."""
        self._over = threading.Event()
        self._calls = dict.fromkeys(WAYS, 0)
        self._by = dict.fromkeys(WAYS, access)
        """By what each has come last."""
        self._failures: list[str] = []
        self._latest: dict[str, str] = {}
        self._threads = [threading.Thread(target=self._work, args=(way,), name=way) for way in WAYS]

    def goes_on(self, calls: int = 10) -> None:
        """Returns when each client was answered so many further calls."""
        before = dict(self._calls)
        self._wait(lambda: all(self._calls[way] >= before[way] + calls for way in WAYS), "all clients go on")

    def come_by(self, access: Access) -> None:
        """Gives the clients something else to be let in by, and returns when all come by it."""
        self._access = access
        self._wait(lambda: all(by is access for by in self._by.values()), "all clients have changed")
        self.goes_on()

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        eventually(lambda: self._failures or condition(), 2 * PATIENCE, what)
        assert not self._failures

    def _work(self, way: str) -> None:
        latest: dict[str, str] = {}
        try:
            while not self._over.is_set():
                access = self._access
                with WAYS[way](access, self._port) as ask:
                    while self._access is access and not self._over.wait(REST):
                        made = self._calls[way]
                        key = f"load {self._number}: {way} {made % KEYS}"
                        found = ask(key, None)
                        assert found == latest.get(key), f"{key} is {found!r}, and was {latest.get(key)!r}"
                        latest[key] = str(made)
                        ask(key, latest[key])
                        self._calls[way] += 1
                        self._by[way] = access
        except BaseException as error:  # noqa: BLE001 - told where somebody waits for the clients
            self._failures.append(f"{way}: {type(error).__name__}: {error}")
        self._latest |= latest

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if kind is not None:
            return
        assert not self._failures
        with self._access.client(self._port) as client:
            found = client.get_many(self._latest)
        # What clients of Redis write is a bin.
        texts = {key: value.decode() if isinstance(value, bytes) else value for key, value in found.items()}
        assert texts == self._latest
        print(f"calls: {self._calls}")
