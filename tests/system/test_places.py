"""All places of clients are taken: operators and probes are answered all the same, whatever the clients do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ckv import Client, errors
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.wire import RawClient, pack

PLACES = 20
CLIENTS = 250
TIMEOUT = "--timeout=20s"

Crowd = Callable[[socket.socket], object]


def stays(sock: socket.socket) -> None:
    """Connects, says nothing, and comes again when it is thrown out."""
    sock.recv(1)


def asks(sock: socket.socket) -> None:
    """Asks for a record, and comes again whatever the answer is."""
    sock.sendall(pack([0, 1, "GET", ["key"]]))
    sock.recv(1)


def stops_in_the_middle(sock: socket.socket) -> None:
    sock.sendall(pack([0, 1, "GET", ["key"]])[:-2])
    sock.recv(1)


def asks_as_an_operator(sock: socket.socket) -> None:
    """As a library does that looks first whether its connection is good."""
    sock.sendall(pack([0, 1, "PING", []]))
    sock.recv(100)
    sock.recv(1)


def answers(node: Node, how: str) -> bool:
    """Whether it is answered; a probe is repeated before anybody is killed, too, for the crowd may be quicker."""
    return run_ckv(how, "127.0.0.1", str(node.port), TIMEOUT).returncode == 0


def record(client: Client) -> object:
    try:
        return client.get("key")
    except (errors.Overloaded, errors.OutcomeUnknown):
        return None  # the crowd is leaving, and still counts


@contextmanager
def crowd(node: Node, does: Crowd) -> Iterator[None]:
    """Many clients that want to be served and cannot be."""
    over = threading.Event()
    there: set[socket.socket] = set()

    def come() -> None:
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", node.port), timeout=20) as sock:
                    there.add(sock)
                    does(sock)
                    there.discard(sock)
            except OSError:
                pass

    threads = [threading.Thread(target=come) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        while any(thread.is_alive() for thread in threads):
            for sock in list(there):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            for thread in threads:
                thread.join(0.01)


@pytest.mark.parametrize(
    ("role", "does"),
    [
        ("primary", asks),
        ("secondary", stays),
        ("secondary", asks),
        ("secondary", stops_in_the_middle),
        ("secondary", asks_as_an_operator),
    ],
)
def test_a_node_whose_places_are_taken_answers_probes_and_operators(nodes: Nodes, role: str, does: Crowd) -> None:
    options = [f"--max-connections={PLACES}"]
    if role == "primary":
        node = nodes.start_cluster(1, primary_options=options).primary
    else:
        node = nodes.start_secondary(options=options)
    clients = [RawClient(node.address) for _ in range(PLACES)]
    for client in clients:
        assert client.call("PUT", "key", "value") is True
    with crowd(node, does):
        node.wait_for_log(f"all {PLACES} places are taken")
        for _ in range(3):
            eventually(lambda: answers(node, "ping"), timeout=60, what="a ping")
        eventually(lambda: answers(node, "status"), timeout=60, what="a status")
        for client in clients:
            assert client.call("GET", "key") == [True, "value"]
    for client in clients:
        client.close()
    with Client("127.0.0.1", node.port) as late:
        eventually(lambda: record(late) == "value", what="a place")
    assert node.terminate() == 0, node.tail()


def test_a_primary_comes_to_a_secondary_whose_places_clients_have_taken(nodes: Nodes) -> None:
    """As one that is started again, while clients have gone to the owners of keys by themselves."""
    secondary = nodes.start_secondary(options=["--max-connections=8"])
    clients = [RawClient(secondary.address) for _ in range(8)]
    for client in clients:
        assert client.call("PUT", "key", "value") is True
    primary = nodes.start_primary(secondary)
    with Client("127.0.0.1", primary.port) as through:
        assert through.get("key") == "value"
        through.put("key", "other")
    with Client("127.0.0.1", primary.port, direct=True) as direct:
        assert direct.get_many(["key"]) == {"key": "other"}
        direct.put("key", "third")
        assert direct.get("key") == "third"
    for client in clients:
        assert client.call("GET", "key") == [True, "third"]
        client.close()
