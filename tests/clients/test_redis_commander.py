"""The page for browsers that shows and changes the keys of a Redis: what it asks its own server for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from tests.clients.scenarios import NODE_FOLDER, needs_node
from tests.clients.server import Server
from tests.clients.serving import fetch, serving
from tests.support.ports import free_port

Page = Callable[..., str]
"""Asks for what belongs to a key or a pattern: ``page("key", "name", method="POST", fields={})``."""


@pytest.fixture(scope="module")
def port(server: Server) -> Iterator[int]:
    """Where a Redis Commander listens that is connected to the server."""
    needs_node()
    port = free_port()
    program = NODE_FOLDER / "node_modules" / "redis-commander" / "bin" / "redis-commander.js"
    to = ["--redis-host", server.host, "--redis-port", str(server.port)]
    command = ["node", str(program), *to, "--address", "127.0.0.1", "--port", str(port), "--nosave"]
    with serving(command, port, "/apiv2/server/info"):
        yield port


@pytest.fixture
def page(port: int, server: Server) -> Page:
    connection = f"R:{server.host}:{server.port}:0"

    def asked(kind: str, key: str = "", query: str = "", method: str = "GET", fields: Any = None) -> str:
        return fetch(port, f"/apiv2/{kind}/{connection}/{quote(key)}{query}", method, fields)

    return asked


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    with Redis(server.host, server.port) as client:
        yield client


def test_about_the_server(port: int, client: Redis) -> None:
    """The server: what INFO says"""
    (shown,) = json.loads(fetch(port, "/apiv2/server/info"))["data"]
    found = {line["key"]: line["value"] for line in shown["info"]}
    assert found["Redis version"] == client.info()["redis_version"]
    assert found["Role"] == "master"


def test_tree(page: Page, client: Redis, prefix: str) -> None:
    """The tree of all keys, a folder at a time"""
    client.mset({f"{prefix}folder:{number}": "a" for number in range(100)})
    (folder,) = json.loads(page("keystree", prefix))["data"]
    assert (folder["keyName"], folder["children"]) == ("folder:", True)
    shown = json.loads(page("keystree", f"{prefix}folder:"))["data"]
    assert {(node["keyName"], node["rel"]) for node in shown} == {(str(number), "string") for number in range(100)}


def test_a_key(page: Page, client: Redis, prefix: str) -> None:
    """One key: its value, type and time to live are shown; it is changed and deleted"""
    client.set(prefix, "a", ex=100)
    shown = json.loads(page("key", prefix))
    assert 90 < int(shown.pop("ttl")) <= 100
    assert shown == {"key": prefix, "type": "string", "value": "a"}
    assert page("key", prefix, method="POST", fields={"stringValue": "b", "keyType": "string"}) == "OK"
    assert client.get(prefix) == b"b"
    assert page("key", prefix, "?action=delete", method="POST") == "ok"
    assert not client.exists(prefix)


def test_keys_of_a_pattern(page: Page, client: Redis, prefix: str) -> None:
    """Deleting all keys of a pattern"""
    client.mset({f"{prefix}{number}": number for number in range(100)})
    assert page("keys", f"{prefix}*", "?action=delete", method="POST") == "ok"
    assert list(client.scan_iter(f"{prefix}*")) == []


def test_commands(page: Page, prefix: str) -> None:
    """Commands that are typed: `SET`, `INCR`, `GET`"""
    for command, answer in ((f"SET '{prefix}' 1 EX 100", "OK"), (f"INCR '{prefix}'", 2), (f"GET '{prefix}'", "2")):
        assert json.loads(page("exec", method="POST", fields={"cmd": command}))["data"] == answer


def test_rename(page: Page, client: Redis, prefix: str) -> None:
    """Another name for a key"""
    client.set(prefix, "a")
    page("key", prefix, "?action=patch", method="POST", fields={"key": f"{prefix}new"})
    assert client.get(f"{prefix}new") == b"a"
