"""Keys, values and types come back exactly, from wherever the record happens to be; and a deleted key stays deleted.

Each test runs in each *place*: where the record is when it is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes

RECORDS: dict[str | bytes, str | bytes] = {
    "empty str": "",
    "empty bin": b"",
    "1 MiB str": "x" * 2**20,
    "1 MiB bin": bytes(range(256)) * 4096,
    "1 MiB of two-byte characters": "é" * 2**19,
    "not UTF-8 in a str": "\udcff\udcfe\udc80abc",
    "not UTF-8 in a bin": b"\xff\xfe\x80abc",
    b"\xff\xfe a key that is not UTF-8": "value",
    "\0 a key with NUL": "\0 a value with NUL \0",
    "Bob": "upper",
    "bob": "lower",
    "BOB": b"all upper",
    "a": "no space",
    "a ": "a space",
    "a  ": "two spaces",
    "a\0": "a NUL",
    "ä": "composed",
    "a\u0308": "decomposed",
    "ß": "sharp s",
    "ss": "two s",
    "": "the empty key",
    "k" * 1024: "the longest key",
    'it\'s "quoted" \\ and 100%': 'it\'s "quoted" \\ and 100% %s',
    "emoji": "\U0001f600",
    "number-like": "0x41",
}

PLACES = ["memory", "pending", "persistent tier", "after a restart"]


class Setup:
    """A secondary over a persistent tier that a test can stop from writing."""

    def __init__(self, nodes: Nodes, persistent: str) -> None:
        self._nodes = nodes
        self._persistent = persistent
        self.node: Node

    def start(self, capacity: int) -> Client:
        self.node = self._nodes.start_secondary(persistent=self._persistent, capacity=capacity)
        return Client("127.0.0.1", self.node.port, timeout=30)

    def restart(self) -> None:
        assert self.node.terminate() == 0, self.node.tail()
        self.node.start()

    def stuck(self) -> object:
        """While inside, the tier commits nothing."""
        raise NotImplementedError

    def stored(self) -> set[bytes]:
        """The keys in the table."""
        raise NotImplementedError


class OnMariaDB(Setup):
    def __init__(self, nodes: Nodes, server: MariaDB) -> None:
        super().__init__(nodes, server.address)
        self._server = server

    @contextmanager
    def stuck(self) -> Iterator[None]:
        with self._server.connect("celonis") as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLES CelonisData READ")
            yield

    def stored(self) -> set[bytes]:
        return set(self._server.rows())


class OnSQLite(Setup):
    def __init__(self, nodes: Nodes, path: Path) -> None:
        super().__init__(nodes, f"sqlite:{path}")
        self._path = path

    @contextmanager
    def stuck(self) -> Iterator[None]:
        connection = sqlite3.connect(self._path)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
        finally:
            connection.close()

    def stored(self) -> set[bytes]:
        connection = sqlite3.connect(self._path)
        try:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'CelonisData'").fetchall():
                return set()
            return {bytes(key) for (key,) in connection.execute("SELECT kv_key FROM CelonisData")}
        finally:
            connection.close()


@pytest.fixture(params=["mariadb", "sqlite"])
def setup(request: pytest.FixtureRequest, nodes: Nodes, tmp_path: Path) -> Setup:
    if request.param == "mariadb":
        return OnMariaDB(nodes, request.getfixturevalue("mariadb"))
    return OnSQLite(nodes, tmp_path / "ckv.db")


def as_bytes(key: str | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")


def read_back(client: Client, keys: list[str | bytes]) -> dict[str | bytes, str | bytes | None]:
    return {key: client.get(key) for key in keys}


@pytest.mark.parametrize("place", PLACES)
def test_every_record_comes_back_exactly(setup: Setup, place: str) -> None:
    keys = list(RECORDS)
    with ExitStack() as stack:
        client = stack.enter_context(setup.start(1_000_000 if place == "memory" else 1))
        if place == "pending":
            # The table has to be there before anybody can lock it.
            client.put("first", "x")
            client.put("second", "x")
            eventually(lambda: b"first" in setup.stored(), what="the first eviction")
            stack.enter_context(setup.stuck())  # type: ignore[arg-type]
        for key, value in RECORDS.items():
            client.put(key, value)
        if place in ("persistent tier", "after a restart"):
            client.put("last", "x")
            wanted = {as_bytes(key) for key in keys}
            eventually(lambda: setup.stored() >= wanted, what="all evictions")
        if place == "after a restart":
            setup.restart()
        found = read_back(client, keys)
        for key, value in RECORDS.items():
            assert (type(found[key]), found[key] == value) == (type(value), True), repr(key)[:80]
        if place == "pending":
            assert not setup.stored() & {as_bytes(key) for key in keys}, "it was not pending"


def test_a_str_and_a_bin_are_the_same_key_and_the_last_type_counts(setup: Setup) -> None:
    with setup.start(1) as client:
        client.put("key", "text")
        client.put("other", "")
        eventually(lambda: b"key" in setup.stored(), what="the eviction")
        assert client.get(b"key") == "text"
        client.put(b"key", b"text")
        client.put("other", "")
        eventually(lambda: setup.stored() == {b"key", b"other"}, what="both evictions")
        assert client.get("key") == b"text"
        assert client.delete("key") is True
        assert client.get(b"key") is None


DELETED_FROM = ["memory", "pending", "persistent tier", "memory and tier", "memory, another value in the tier"]


@pytest.mark.parametrize("after", ["get", "eviction", "drain and restart"])
@pytest.mark.parametrize("place", DELETED_FROM)
def test_a_deleted_key_stays_deleted(setup: Setup, place: str, after: str) -> None:
    with setup.start(1) as client, ExitStack() as stack:
        client.put("first", "x")
        client.put("second", "x")
        eventually(lambda: b"first" in setup.stored(), what="the first eviction")
        locked = stack.enter_context(ExitStack())
        if place == "pending":
            locked.enter_context(setup.stuck())  # type: ignore[arg-type]
        client.put("key", "old")
        if place != "memory":
            client.put("another", "x")
        if place not in ("memory", "pending"):
            eventually(lambda: b"key" in setup.stored(), what="the eviction")
        if place == "memory and tier":
            assert client.get("key") == "old"
        if place == "memory, another value in the tier":
            client.put("key", "new")

        assert client.delete("key") is True
        assert client.get("key") is None
        assert client.delete("key") is False
        locked.close()
        if after == "eviction":
            client.put("more", "x")
            client.put("and more", "x")
            eventually(lambda: b"more" in setup.stored() and b"key" not in setup.stored(), what="the flush")
        if after == "drain and restart":
            setup.restart()
            assert b"key" not in setup.stored()
        assert client.get("key") is None
        assert client.delete("key") is False
        client.put("key", "again")
        assert client.get("key") == "again"


def test_deleting_what_was_never_there(setup: Setup) -> None:
    with setup.start(10) as client:
        assert client.delete("nobody") is False
        assert client.get("nobody") is None
        client.put("nobody", "somebody")
        assert client.get("nobody") == "somebody"
