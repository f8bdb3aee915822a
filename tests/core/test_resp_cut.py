"""Requests of Redis clients that arrive in many reads: what compiled code looks at again, and what the parser gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ckv import core
from ckv.protocol.handler import Loop, Outcome
from ckv.protocol.resp.session import RespSession
from tests.core.resp import RespClient, RespNode, RespPrimary, request

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

DROP_BYTES = 50
MANY = 1023

MOST_LOOKED_AT = 4 * 2**20
"""Bytes that compiled code may be given of a request of 256 KiB in drops. All of it with each would be 700 MiB."""


class Counting:
    """A loop that notes how many bytes it was given."""

    requests = more_keys = 0

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.looked_at = 0

    def count_calls(self, counts: bool, /) -> None:
        """Nobody asks."""

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> Sequence[Outcome]:
        self.looked_at += sum(len(data) for _, data in inbox)
        return self._loop.serve_all(inbox)


def client_of(kind: str, *, quick: bool) -> RespClient:
    return RespNode(quick=quick, tier=False) if kind == "secondary" else RespPrimary(quick=quick, capacity=1000)


def answered(client: RespClient) -> bytes:
    """What it was answered at the end."""
    if isinstance(client, RespPrimary):
        client.end()
    return client.sent


def send_unseen(monkeypatch: pytest.MonkeyPatch, client: RespClient, data: bytes) -> None:
    """Sends what the session must not see."""
    with monkeypatch.context() as patched:
        patched.setattr(RespSession, "received", None)
        client.received(data)


@pytest.mark.parametrize("kind", ["secondary", "primary"])
@pytest.mark.parametrize("name", ["MGET", "EXISTS", "NONE"])
def test_a_long_request_that_comes_in_drops_is_looked_at_once(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = request(name, *["k" * 250] * MANY)
    quick, plain = (client_of(kind, quick=quick) for quick in (True, False))
    assert quick.core is not None
    quick.core = counting = Counting(quick.core)
    for client in (quick, plain):
        for start in range(0, len(data), DROP_BYTES):
            client.received(data[start : start + DROP_BYTES])
    assert answered(quick) == answered(plain) != b""
    assert counting.looked_at < MOST_LOOKED_AT
    send_unseen(monkeypatch, quick, request("SET", "a", "v"))
    assert answered(quick).endswith(b"+OK\r\n")


@pytest.mark.parametrize("kind", ["secondary", "primary"])
@pytest.mark.parametrize(
    "arguments", [("MGET", *["k" * 50] * 100), ("INCRBY", "a", "7"), ("SET", "b", "v" * 60_000), ("GET", "k" * 1000)]
)
def test_a_little_is_kept_so_that_what_is_behind_it_is_for_compiled_code(
    kind: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = request(*arguments) + request("PING")
    quick, plain = (client_of(kind, quick=quick) for quick in (True, False))
    for cut in (1, 6, len(data) // 2, len(data) - 15):
        send_unseen(monkeypatch, quick, data[:cut])
        quick.received(data[cut:])
        plain.received(data)
    assert answered(quick) == answered(plain)
    assert quick.sent.endswith(b"+PONG\r\n")
