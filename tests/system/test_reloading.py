"""SIGHUP: a node reads its file of options again, and goes on."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

from ckv import Client
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes
from tests.support.wire import RawClient


def figures(client: Client) -> dict[str, Any]:
    """INFO."""
    found: Any = client.call("INFO")
    return dict(found)


def reread(node: Node, path: Path, text: str, event: str = "settings-read") -> str:
    """Gives the node this file, and returns what it says about it."""
    path.write_text(text)
    since = len(node.log)
    node.signal(signal.SIGHUP)
    return node.wait_for_log(event, since=since)


def wait_for_places(node: Node, count: int) -> None:
    with Client("127.0.0.1", node.port) as client:
        eventually(lambda: figures(client)["maxclients"] == count, what="the bound on connections")


def test_a_secondary_takes_its_options_again(nodes: Nodes, tmp_path: Path) -> None:
    path = tmp_path / "ckv.toml"
    path.write_text('slow-time = "1m"\n')
    node = nodes.start_secondary(persistent=f"sqlite:{tmp_path}/ckv.db", options=[f"--config={path}"])
    with Client("127.0.0.1", node.port) as client:
        assert client.get("absent") is None  # which has to be looked up in the file, and so waits
        assert figures(client)["slow_requests"] == 0
        more = 'slow-time = 0\nmax-connections = 5\nlog-level = "debug"\nkeys-max = 3\n[secondary]\npending-max = 7\n'
        assert "--slow-time=0" in reread(node, path, more)
        assert node.wait_for_log("settings-fixed").endswith(" --keys-max")
        assert client.get("absent too") is None
        info = figures(client)
        assert (info["slow_requests"], info["pending_max_records"]) == (1, 7)
        wait_for_places(node, 5)
        node.wait_for_log("DEBUG ")
        assert "no such option" in reread(node, path, "slow = 1\n", "settings-kept")
        assert client.get("absent as well") is None
        reread(node, path, 'log-format = "json"\n')  # what is not in it any more has its default again
        reread(node, path, "log-format = 'json'\nmax-connections = 8\nkeys-max = 3\n", '"event": "settings-read"')
        line = json.loads(node.wait_for_log('"event": "settings-fixed"'))
        assert (line["level"], line["settings"]) == ("WARNING", "--keys-max")
        wait_for_places(node, 8)
    assert node.terminate() == 0


def test_a_primary_goes_on_at_sighup_with_a_list_and_without(nodes: Nodes, tmp_path: Path) -> None:
    path = tmp_path / "ckv.toml"
    path.write_text("")
    secondary = nodes.start_secondary()
    for primary in (
        nodes.start_primary(secondary, options=[f"--config={path}"]),
        nodes.start_primary(options=[f"--config={path}"]),
    ):
        assert reread(primary, path, "settle = 3\nmax-connections = 6\n").endswith(" --settle=3 --max-connections=6")
        wait_for_places(primary, 6)
        assert primary.terminate() == 0
        path.write_text("")


def test_fewer_places_of_a_secondary_cost_no_call_of_its_primary(nodes: Nodes, tmp_path: Path) -> None:
    path = tmp_path / "ckv.toml"
    path.write_text("")
    secondary = nodes.start_secondary(options=[f"--config={path}"])
    primary = nodes.start_primary(secondary)
    primary.wait_peer(secondary.address)
    clients = [RawClient(secondary.address) for _ in range(8)]
    for client in clients:
        assert client.call("PING") == "PONG"
    over = threading.Event()
    ended: list[int | Exception] = []
    """What became of each call."""

    def load() -> None:
        with Client("127.0.0.1", primary.port) as through:
            while not over.is_set():
                try:
                    ended.append(through.incr("calls"))
                except Exception as error:  # noqa: BLE001 - the test looks at it
                    ended.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        reread(secondary, path, "max-connections = 3\n")
        assert " 6 connections closed" in secondary.wait_for_log("connections-cut")
        before = len(ended)
        eventually(lambda: len(ended) > before + 50, what="calls after that")
    finally:
        over.set()
        thread.join()
    assert ended == list(range(1, len(ended) + 1))
    assert not [line for line in primary.log if "peer-lost" in line]
    for client in clients:
        client.close()
