"""A client for another language, in a few lines: what docs/protocol.md says and nothing else, no msgpack package."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.nodes import Cluster, Nodes


class Text(bytes):
    """The bytes of a msgpack str; plain ``bytes`` are a bin."""


def encode(value: object) -> bytes:
    if isinstance(value, list):
        return bytes([0x90 + len(value)]) + b"".join(map(encode, value))
    if isinstance(value, int):
        return struct.pack(">BI", 0xCE, value)
    if isinstance(value, Text):
        return struct.pack(">BI", 0xDB, len(value)) + value
    assert isinstance(value, bytes)
    return struct.pack(">BI", 0xC6, len(value)) + value


class ForeignClient:
    """One connection; a call at a time."""

    def __init__(self, port: int, name: type[bytes] = Text) -> None:
        """``name``: what the method is sent as, a str or a bin."""
        self._name = name
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._msgid = 0

    def call(self, method: bytes, *params: bytes) -> object:
        self._msgid += 1
        self._socket.sendall(encode([0, self._msgid, self._name(method), list(params)]))
        kind, msgid, error, result = self._message()
        assert (kind, msgid) == (1, self._msgid)
        if error is not None:
            raise RuntimeError(error.decode())
        return result

    def close(self) -> None:
        self._socket.close()

    def _message(self) -> list[Any]:
        message = self._decode()
        assert isinstance(message, list)
        return message

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            assert more, "closed"
            data += more
        return data

    def _number(self, size: int) -> int:
        return int.from_bytes(self._read(size), "big")

    def _decode(self) -> object:
        head = self._number(1)
        if head < 0x80:
            return head
        if head >> 4 == 0x9:
            return [self._decode() for _ in range(head & 0xF)]
        if head >> 5 == 0b101:
            return Text(self._read(head & 0x1F))
        match head:
            case 0xC0:
                return None
            case 0xC2 | 0xC3:
                return head == 0xC3
            case 0xC4 | 0xC5 | 0xC6:
                return self._read(self._number(1 << (head - 0xC4)))
            case 0xD9 | 0xDA | 0xDB:
                return Text(self._read(self._number(1 << (head - 0xD9))))
            case 0xCC | 0xCD | 0xCE | 0xCF:
                return self._number(1 << (head - 0xCC))
        raise AssertionError(f"no response has a byte {head:#x} here")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Nodes() as nodes:
        yield nodes.start_cluster(2)


@pytest.fixture(
    params=[("primary", Text), ("secondary", Text), ("primary", bytes), ("secondary", bytes)],
    ids=["primary", "secondary", "primary, names in bins", "secondary, names in bins"],
)
def client(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[ForeignClient]:
    role, name = request.param
    node = cluster.primary if role == "primary" else cluster.secondaries[0]
    client = ForeignClient(node.port, name)
    yield client
    client.close()


KEYS = [
    Text(b"bob"),
    b"bob in a bin",
    Text(b"\xff\xfe is no UTF-8"),
    b"\x00\x80\xff",
    Text("Åsa".encode()),
    Text(b"k" * 1024),
    b"\xff" * 1024,
    Text(b""),
]
VALUES = [
    Text(b"bob@gmail.com"),
    b"bin",
    Text(b""),
    b"",
    Text(b"\xff\xc0 is no UTF-8"),
    bytes(range(256)),
    Text("Åsa".encode() * 30_000),
    b"\xfe" * 1024 * 1024,
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{type(key).__name__}{len(key)}")
def test_put_get_delete(client: ForeignClient, key: bytes) -> None:
    for value in VALUES:
        assert client.call(b"PUT", key, value) is True
        answer = client.call(b"GET", key)
        assert isinstance(answer, list)
        found, read = answer
        assert found is True
        assert (type(read), read) == (type(value), value)
    assert client.call(b"DEL", key) is True
    assert client.call(b"GET", key) == [False, b""]
    assert client.call(b"DEL", key) is False


def test_the_str_and_the_bin_of_the_same_bytes_are_one_key(client: ForeignClient) -> None:
    for data in (b"a", b"\xff"):
        client.call(b"PUT", Text(data), b"first")
        client.call(b"PUT", data, b"second")
        assert client.call(b"GET", Text(data)) == [True, b"second"]
        assert client.call(b"DEL", data) is True
        assert client.call(b"DEL", Text(data)) is False


def test_keys_that_look_alike_are_several(client: ForeignClient) -> None:
    keys = [Text(b"Bob"), Text(b"bob"), Text(b"bob "), Text(b" bob"), Text(b"bob\x00"), Text("bób".encode())]
    for number, key in enumerate(keys):
        client.call(b"PUT", key, bytes([number]))
    assert [client.call(b"GET", key) for key in keys] == [[True, bytes([number])] for number in range(len(keys))]


def test_ping_and_errors(client: ForeignClient) -> None:
    assert client.call(b"PING") == b"PONG"
    for code, method, params in [
        ("UnknownMethod", b"FLY", []),
        ("BadArguments", b"GET", []),
        ("KeyTooLong", b"GET", [b"k" * 1025]),
        ("ValueTooLarge", b"PUT", [b"k", b"v" * (1024 * 1024 + 1)]),
    ]:
        with pytest.raises(RuntimeError, match=f"^{code}: "):
            client.call(method, *params)
    assert client.call(b"PING") == b"PONG"
