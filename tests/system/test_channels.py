"""Channels at real nodes, with redis-py and at a socket."""

from __future__ import annotations

import socket

import redis

from tests.support.eventually import eventually
from tests.support.nodes import Node
from tests.system.test_redis import client, cluster

__all__ = ["client", "cluster"]


def test_channels_of_a_primary(client: redis.Redis, cluster: tuple[Node, list[Node]]) -> None:
    """Messages stay at the node, and come in the order in which they were published."""
    with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe("news", "more")
        assert channel.get_message(timeout=5) is None
        assert channel.get_message(timeout=5) is None
        with client.pipeline() as pipeline:
            for number in range(5):
                pipeline.setex(f"result {number}", 100, number)
                pipeline.publish("news", number)
            assert pipeline.execute() == [True, 1] * 5
        heard = [channel.get_message(timeout=5) for _ in range(5)]
        assert [message["data"] for message in heard if message] == [b"%d" % number for number in range(5)]
        assert client.info("ckv")["pubsub_clients"] == 1
        with redis.Redis(port=cluster[1][0].port, socket_timeout=20) as other:
            assert other.publish("news", "x") == 0
        channel.unsubscribe()
    assert eventually(lambda: client.info("ckv")["pubsub_channels"] == 0)


def test_patterns_of_channels(client: redis.Redis) -> None:
    """A message comes once for each way in which a client has subscribed to its channel."""
    value = b"\xff\r\n" * 100_000
    with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.psubscribe("news.*", "*.art")
        channel.subscribe("news.art")
        for _ in range(3):
            assert channel.get_message(timeout=5) is None
        assert client.pubsub_numpat() == client.info("ckv")["pubsub_patterns"] == 2
        assert [client.publish(name, value) for name in ("news.art", "news.x", "news")] == [3, 1, 0]
        heard = [channel.get_message(timeout=5) for _ in range(4)]
        assert [(message["type"], message["pattern"], message["channel"]) for message in heard if message] == [
            ("message", None, b"news.art"),
            ("pmessage", b"news.*", b"news.art"),
            ("pmessage", b"*.art", b"news.art"),
            ("pmessage", b"news.*", b"news.x"),
        ]
        assert all(message and message["data"] == value for message in heard)
    assert eventually(lambda: client.info("ckv")["pubsub_patterns"] == 0)


def test_a_subscriber_that_does_not_read_is_cut_off(cluster: tuple[Node, list[Node]]) -> None:
    """It costs neither the others nor the node more than its bound."""
    primary = cluster[0]
    with (
        redis.Redis(port=primary.port, socket_timeout=20) as client,
        socket.create_connection(("127.0.0.1", primary.port)) as silent,
    ):
        silent.sendall(b"PSUBSCRIBE n*\r\n")
        assert eventually(lambda: client.pubsub_numpat() == 1)
        sent = 0
        while client.publish("news", b"x" * 1024 * 1024):
            sent += 1
            assert sent < 200
        assert sent >= 32
        assert client.info("ckv")["pubsub_cut_off"] == 1
        assert client.pubsub_numpat() == 0
