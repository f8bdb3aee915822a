"""The commands about when records expire: what they ask of the methods, and what they answer."""

from __future__ import annotations

import pytest

from ckv.values import MAX_EXPIRES
from tests.redis.test_commands import NOW, Node

NOW_MS = int(NOW * 1000)


@pytest.fixture
def node() -> Node:
    node = Node("SET", "PUTEX", "EXPIRE", "EXPIRETIME")
    node.results.update(EXPIRE=1, SET=(True, False, ""), PUTEX=True)
    return node


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ("EXPIRE k 10", ("k", NOW_MS + 10_000, "")),
        ("PEXPIRE k 10", ("k", NOW_MS + 10, "")),
        ("EXPIREAT k 10", ("k", 10_000, "")),
        ("PEXPIREAT k 10", ("k", 10, "")),
        ("EXPIRE k 10 nx", ("k", NOW_MS + 10_000, "NX")),
        ("EXPIRE k 10 XX", ("k", NOW_MS + 10_000, "XX")),
        ("PEXPIRE k 10 GT", ("k", NOW_MS + 10, "GT")),
        ("PEXPIRE k 10 xx gt", ("k", NOW_MS + 10, "GT")),
        ("PEXPIREAT k 10 LT", ("k", 10, "LT")),
        ("PEXPIREAT k 10 LT xx", ("k", 10, "XXLT")),
        ("PERSIST k", ("k", 0, "")),
        # A time that is over is no zero, which would be never.
        ("EXPIRE k 0", ("k", NOW_MS, "")),
        ("EXPIREAT k 0", ("k", 1, "")),
        ("EXPIREAT k -5", ("k", 1, "")),
        ("PEXPIRE k -9000000000000", ("k", 1, "")),
        ("PEXPIREAT k -9223372036854775808", ("k", 1, "")),
        ("PEXPIRE k -9223372036854775808", ("k", 1, "")),
        ("EXPIRE k -9223372036854775", ("k", 1, "")),
    ],
)
def test_what_is_asked(node: Node, sent: str, asked: tuple[object, ...]) -> None:
    assert node.send(*sent.split()) == b":1\r\n"
    assert node.asked == [("EXPIRE", *asked)]


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ("EXPIRE k", "ERR wrong number of arguments for 'expire' command"),
        ("EXPIRE k x", "ERR value is not an integer or out of range"),
        ("EXPIRE k 1.5", "ERR value is not an integer or out of range"),
        ("EXPIRE k 9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("EXPIRE k -9223372036854776", "ERR invalid expire time in 'expire' command"),
        ("PEXPIREAT k -9223372036854775809", "ERR value is not an integer or out of range"),
        (f"PEXPIREAT k {MAX_EXPIRES + 1}", "ERR invalid expire time in 'pexpireat' command"),
        (f"SET k v PXAT {MAX_EXPIRES + 1}", "ERR invalid expire time in 'set' command"),
        ("EXPIRE k 1 NX XX", "ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE k 1 GT LT", "ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE k 1 XX LT GT", "ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE k 1 SOON", "ERR Unsupported option SOON"),
        ("TTL", "ERR wrong number of arguments for 'ttl' command"),
        ("PERSIST k 1", "ERR wrong number of arguments for 'persist' command"),
    ],
)
def test_what_is_refused(node: Node, sent: str, error: str) -> None:
    assert node.send(*sent.split()) == b"-%b\r\n" % error.encode()
    assert node.asked == []


@pytest.mark.parametrize(
    ("expires", "ttl", "pttl", "at", "at_ms"),
    [
        (-2, -2, -2, -2, -2),
        (-1, -1, -1, -1, -1),
        (NOW_MS + 1499, 1, 1499, int(NOW) + 1, NOW_MS + 1499),
        (NOW_MS + 1500, 2, 1500, int(NOW) + 2, NOW_MS + 1500),
        (NOW_MS - 1, 0, 0, int(NOW), NOW_MS - 1),
    ],
)
def test_when_a_record_expires(node: Node, expires: int, ttl: int, pttl: int, at: int, at_ms: int) -> None:
    node.results["EXPIRETIME"] = expires
    for name, number in {"TTL": ttl, "PTTL": pttl, "EXPIRETIME": at, "PEXPIRETIME": at_ms}.items():
        assert node.send(name, "k") == b":%d\r\n" % number, name
    assert node.asked == [("EXPIRETIME", "k")] * 4


def test_a_set_with_a_time_and_a_condition(node: Node) -> None:
    assert node.send("SET", "k", "v", "NX", "PX", "30000") == b"+OK\r\n"
    assert node.send("SET", "k", "v", "EX", "1", "GET") == b"$-1\r\n"
    assert node.send("SET", "k", "v", "KEEPTTL") == b"+OK\r\n"
    assert node.asked == [
        ("SET", "k", b"v", NOW_MS + 30_000, "NX", "", ""),
        ("SET", "k", b"v", NOW_MS + 1000, "", "", "GET"),
        ("SET", "k", b"v", -1, "", "", ""),
    ]
