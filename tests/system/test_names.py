"""Neighbours and databases by number and by name."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from ckv import Client
from ckv.address import Address
from ckv.net import listening
from ckv.net.resolver import Resolver
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes, run_ckv


def test_nodes_that_are_given_numbers_have_one_thread(mariadb: MariaDB, nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=10)
    with Client("127.0.0.1", cluster.primary.port) as client:
        for number in range(100):
            client.put(f"key {number}", "value")
        assert all(client.get(f"key {number}") == "value" for number in range(100))
    assert [node.threads() for node in (cluster.primary, *cluster.secondaries)] == [1, 1, 1]


def test_a_primary_finds_a_secondary_by_its_name(nodes: Nodes) -> None:
    secondary = nodes.start_secondary()
    name = f"localhost:{secondary.port}"
    primary = nodes.start_primary(name)
    primary.wait_peer(name)
    with Client("127.0.0.1", primary.port) as client:
        client.put("key", "value")
        assert client.get("key") == "value"


def test_the_first_address_of_its_own_name_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``localhost``, where that is ``::1`` first and the machine has no IPv6."""
    own = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, 0)) for host in ("192.0.2.1", "127.0.0.1")]
    monkeypatch.setattr(listening, "plain_getaddrinfo", lambda *_, **__: own)
    with closing(listening.bound(Address("several.test", 0))) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    monkeypatch.setattr(listening, "plain_getaddrinfo", lambda *_, **__: own[:1])
    with pytest.raises(OSError, match="Cannot assign"):
        listening.bound(Address("several.test", 0))


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b"])
def test_a_name_of_its_own_that_is_none_is_one_line_and_exit_code_4(name: str) -> None:
    run = run_ckv("secondary", "--insecure", "--bind", name, "localhost:8080", "0")
    assert run.returncode == 4
    assert f"cannot listen on {name}:0: " in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("number", ["127.0.0.1", "::1"])
def test_what_is_an_address_is_not_looked_up(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver()
    monkeypatch.setattr(resolver, "pool", None)  # in whose threads names are looked up
    assert {found[4][:2] for found in resolver.getaddrinfo(number, 80)} == {(number, 80)}


def test_a_name_is_looked_up() -> None:
    found = Resolver().getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    assert found
    assert {place[4][0] for place in found} <= {"127.0.0.1", "::1"}
    with pytest.raises(socket.gaierror):
        Resolver().getaddrinfo("no-such-host.invalid", 80)
