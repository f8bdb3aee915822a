"""The load generator against servers that are good, bad or slow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.data import record
from bench.generator import Load, WrongAnswers, run
from bench.servers import Servers
from ckv import Client
from tests.support.certificate import Authority
from tests.support.fakenode import Connection, FakeNode, Script, store
from tests.support.nodes import Nodes

pytestmark = pytest.mark.usefixtures("loadgen")

SMALL = Load(connections=4, depth=8, keys=500, calls=2000)


def answering(answer: Callable[[str, list[Any]], Any]) -> Script:
    """A node whose answers ``answer(method, params)`` gives."""

    def serve(connection: Connection) -> None:
        while True:
            _, msgid, method, params = connection.request()
            connection.respond(msgid, answer(method, params))

    return serve


@pytest.mark.parametrize("op", ["put", "get", "mixed"])
def test_a_secondary_is_driven_and_verified(nodes: Nodes, op: str) -> None:
    node = nodes.start_secondary()
    load = replace(SMALL, op=op, zipf=0.99, first_key=7)
    report = run(load, "msgpack", node.port, more=["--prefill"])
    with Client("127.0.0.1", node.port) as client:
        figures = client.call("INFO")
        assert isinstance(figures, dict)
        assert client.get(record(7)[0]) == record(7)[1]
    assert report["calls"] == report["puts"] + report["gets"] == load.calls
    assert figures["records"] == load.keys
    assert figures["keyspace_hits"] == report["gets"]
    assert {"put": report["gets"] == 0, "get": report["puts"] == 0, "mixed": report["gets"] > report["puts"] > 0}[op]


@pytest.mark.parametrize("protocol", ["msgpack", "resp", "memcached"])
@pytest.mark.parametrize("value_bytes", [0, 1, 31, 32, 255, 256, 65_535, 65_536, 1 << 20])
def test_every_length_of_a_value_travels(protocol: str, value_bytes: int) -> None:
    load = replace(SMALL, op="mixed", get_percent=50, keys=20, calls=200, value_bytes=value_bytes)
    with Servers() as servers:
        report = run(load, protocol, servers.null(protocol, value_bytes).port)
    assert (report["calls"], report["wrong"], report["missing"]) == (200, 0, 0)


@pytest.mark.usefixtures("loadgen_tls")
def test_a_secondary_is_driven_by_tls(nodes: Nodes, tmp_path: Path) -> None:
    """With values that need many records of TLS, and others that share one."""
    certified = Authority(tmp_path).issue("node")
    files = [f"--tls-cert={certified.path}", f"--tls-key={certified.key_path}"]
    node = nodes.start_secondary(options=[*files, "--tls-plain=all"])
    for protocol, value_bytes in (("msgpack", 64), ("resp", 64), ("resp", 20_000), ("resp", 1 << 20)):
        load = replace(SMALL, op="mixed", get_percent=50, keys=20, calls=400, value_bytes=value_bytes)
        report = run(load, protocol, node.port, tls=True, more=["--prefill"])
        assert (report["calls"], report["wrong"], report["missing"]) == (400, 0, 0)
    with Client("127.0.0.1", node.port) as client:
        figures = client.call("INFO")
        assert isinstance(figures, dict)
        assert figures["tls_handshakes"] == 4 * SMALL.connections


@pytest.mark.usefixtures("loadgen_tls")
def test_who_speaks_no_tls_is_told_of(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    with pytest.raises(WrongAnswers, match="no TLS with"):
        run(SMALL, "msgpack", node.port, tls=True)


@pytest.mark.parametrize("protocol", ["msgpack", "resp", "memcached"])
def test_500_connections_are_served(protocol: str) -> None:
    load = replace(SMALL, connections=500, calls=20_000)
    with Servers() as servers:
        assert run(load, protocol, servers.null(protocol, 64).port)["calls"] == 20_000


@pytest.mark.parametrize("value_bytes", [3, 64, 100])
def test_the_harness_knows_the_same_keys_and_values(value_bytes: int) -> None:
    held: dict[bytes, Any] = {}
    load = Load(op="put", sequential=True, connections=1, keys=50, calls=50, first_key=123, value_bytes=value_bytes)
    with FakeNode(store(held)) as node:
        run(load, "msgpack", node.port)
    wanted = dict(record(number, value_bytes) for number in range(123, 173))
    assert {key.decode(): value for key, value in held.items()} == wanted


ODD_BYTES = 61
"""The length of a value whose end is no whole word."""


def value_of(key: str, value_bytes: int = SMALL.value_bytes) -> str:
    return next(value for number in range(SMALL.keys) for name, value in [record(number, value_bytes)] if name == key)


def one_letter_off(method: str, params: list[Any]) -> Any:
    value = value_of(params[0])
    return [True, ("A" if value[0] != "A" else "B") + value[1:]]


def last_letter_off(method: str, params: list[Any]) -> Any:
    value = value_of(params[0], ODD_BYTES)
    return [True, value[:-1] + ("A" if value[-1] != "A" else "B")]


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ('"wrong": 1', one_letter_off),
        ('"wrong": 1', last_letter_off),
        ('"wrong": 1', lambda method, params: [True, value_of(params[0])[:-1]]),
        ('"wrong": 1', lambda method, params: [True, value_of(params[0])[:8] + value_of(params[0])[:-8]]),
        ('"wrong": 1', lambda method, params: True),
        ('"missing": 1', lambda method, params: [False, ""]),
    ],
    ids=["letter", "last letter", "length", "shifted", "kind", "missing"],
)
def test_a_wrong_answer_is_found(what: str, answer: Callable[[str, list[Any]], Any]) -> None:
    value_bytes = ODD_BYTES if answer is last_letter_off else SMALL.value_bytes
    load = replace(SMALL, connections=1, calls=1, value_bytes=value_bytes)
    with FakeNode(answering(answer)) as node, pytest.raises(WrongAnswers, match=what):
        run(load, "msgpack", node.port)


def test_the_node_of_these_tests_answers_rightly_otherwise() -> None:
    with FakeNode(answering(lambda method, params: [True, value_of(params[0])])) as node:
        assert run(replace(SMALL, calls=20), "msgpack", node.port)["wrong"] == 0


def test_a_miss_can_be_allowed() -> None:
    with FakeNode(answering(lambda method, params: [False, ""])) as node:
        assert run(replace(SMALL, may_miss=True), "msgpack", node.port)["missing"] == SMALL.calls


def test_a_share_of_the_gets_finds_nothing(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    report = run(replace(SMALL, miss_percent=20), "msgpack", node.port, more=["--prefill"])
    assert (report["missing"], report["wrong"]) == (0, 0)
    # Five standard deviations; the seed is the same every time.
    assert report["absent"] == pytest.approx(0.2 * SMALL.calls, abs=5 * (SMALL.calls * 0.2 * 0.8) ** 0.5)


def test_what_nobody_has_put_must_not_be_found() -> None:
    # The null server answers every GET with the value that belongs to the key.
    with Servers() as servers, pytest.raises(WrongAnswers, match=r'"wrong": [1-9]'):
        run(replace(SMALL, miss_percent=20), "msgpack", servers.null("msgpack", SMALL.value_bytes).port)


def test_what_was_put_must_be_found_beside_what_nobody_has_put() -> None:
    with FakeNode(answering(lambda method, params: [False, ""])) as node, pytest.raises(WrongAnswers) as caught:
        run(replace(SMALL, miss_percent=20), "msgpack", node.port)
    report = json.loads(str(caught.value).splitlines()[2])
    assert report["absent"] + report["missing"] == SMALL.calls
    assert report["missing"] > report["absent"] > 0


def test_a_refusal_is_told() -> None:
    def refuse(connection: Connection) -> None:
        while True:
            connection.respond(connection.request()[1], None, "NoRoom: full")

    with FakeNode(refuse) as node, pytest.raises(WrongAnswers, match="NoRoom: full"):
        run(replace(SMALL, calls=10), "msgpack", node.port)


def test_an_answer_to_nobody_is_found() -> None:
    def twice(connection: Connection) -> None:
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, True)
        connection.respond(msgid, True)
        connection.wait_closed()

    with FakeNode(twice) as node, pytest.raises(WrongAnswers, match="nobody asked"):
        run(replace(SMALL, op="put", connections=1, depth=2, calls=100), "msgpack", node.port)


def test_a_late_answer_is_not_taken_for_that_of_another_request() -> None:
    def late(connection: Connection) -> None:
        _, first, _, _ = connection.request()
        connection.respond(first, True)
        connection.request()
        connection.respond(first, True)
        connection.wait_closed()

    with FakeNode(late) as node, pytest.raises(WrongAnswers, match="nobody asked"):
        run(replace(SMALL, op="put", connections=1, depth=1, calls=100), "msgpack", node.port)


def test_answers_may_come_in_any_order() -> None:
    def backwards(connection: Connection) -> None:
        while True:
            batch = [connection.request() for _ in range(SMALL.depth)]
            for _, msgid, _, _ in reversed(batch):
                connection.respond(msgid, True)

    load = replace(SMALL, op="put", connections=1, calls=SMALL.depth * 10)
    with FakeNode(backwards) as node:
        assert run(load, "msgpack", node.port)["calls"] == load.calls


def test_a_silent_server_ends_the_patience() -> None:
    with FakeNode(lambda connection: connection.wait_closed()) as node, pytest.raises(WrongAnswers, match="no answer"):
        run(replace(SMALL, patience=0.2), "msgpack", node.port)


@pytest.mark.parametrize("answer", [b"\xc1", b"\x94\x01\x00\xc0\x01", b"HTTP/1.1 200\r\n"])
def test_bytes_that_are_no_answer_are_found(answer: bytes) -> None:
    def talk(connection: Connection) -> None:
        connection.request()
        connection.send(answer)
        connection.wait_closed()

    with FakeNode(talk) as node, pytest.raises(WrongAnswers, match="no answer after 0 calls"):
        run(replace(SMALL, connections=1), "msgpack", node.port)


PAUSE = 0.5


def pausing(connection: Connection) -> None:
    """A node that once does nothing for a while, which is what the test is about."""
    for number in range(10_000):
        _, msgid, _, _ = connection.request()
        if number == 50:
            time.sleep(PAUSE)
        connection.respond(msgid, True)


def test_a_fixed_rate_sees_all_who_would_have_waited_for_a_pause() -> None:
    load = Load(op="put", connections=1, keys=10, calls=1000, rate=1000)
    with FakeNode(pausing) as node:
        report = run(load, "msgpack", node.port)
    # 500 requests were due while nobody answered; the first of them waited for all of the pause.
    assert report["worst_us"] >= PAUSE * 1e6
    assert report["p99_us"] >= PAUSE * 0.9e6
    assert report["worst_pause_us"] >= PAUSE * 1e6
    assert report["seconds"] >= 0.99


def test_without_a_rate_a_pause_hides_behind_the_next_request() -> None:
    with FakeNode(pausing) as node:
        report = run(Load(op="put", connections=1, keys=10, calls=1000), "msgpack", node.port)
    assert report["p99_us"] < PAUSE * 1e6 <= report["worst_us"]


def test_a_rate_is_kept() -> None:
    with Servers() as servers:
        load = Load(op="put", seconds=0.5, rate=2000)
        report = run(load, "msgpack", servers.null("msgpack", load.value_bytes).port)
    assert report["calls"] == pytest.approx(1000, rel=0.02)


def test_time_ends_a_run() -> None:
    with Servers() as servers:
        report = run(Load(op="put", seconds=0.2), "msgpack", servers.null("msgpack", 64).port)
    assert 0.2 <= report["seconds"] < 1.0


def test_percentiles_are_within_a_percent() -> None:
    """A hundred answers, one every 10 ms: the node is asked at once, so latencies are 10, 20, 30 ms and so on."""
    step = 0.01

    def slowly(connection: Connection) -> None:
        batch = [connection.request()[1] for _ in range(100)]
        started = time.perf_counter()
        for at, msgid in enumerate(batch, 1):
            time.sleep(max(0.0, started + at * step - time.perf_counter()))
            connection.respond(msgid, True)
        connection.wait_closed()

    load = Load(op="put", connections=1, depth=100, keys=100, calls=100)
    with FakeNode(slowly) as node:
        report = run(load, "msgpack", node.port)
    # A machine that is busy can make them later, not earlier.
    assert 0.5e6 * 0.99 <= report["p50_us"] <= 0.7e6
    assert 0.99e6 * 0.99 <= report["p99_us"] <= report["worst_us"]
    assert report["p50_us"] < report["p99_us"]
