"""Which sessions of clients of Redis compiled code is given."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from ckv.net.connection import Connection
from ckv.net.inbox import Inbox
from ckv.net.transport import Transport
from ckv.protocol.handler import LEFT, Cores
from ckv.protocol.limits import Limits
from ckv.protocol.msgpackrpc import RpcMethods
from ckv.protocol.resp.quick import QuickRespSession
from ckv.redis.table import for_node
from tests.net.conftest import World


class Asked:
    """Compiled code that leaves everything to the session, and notes what it was asked."""

    requests = more_keys = 0

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def count_calls(self, counts: bool, /) -> None:
        """Nobody asks."""

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> list[tuple[bytes, int, int]]:
        self.data += [data for _, data in inbox]
        return [(b"", 0, LEFT)] * len(inbox)


@pytest.mark.parametrize("goes_ahead", [False, True])
@pytest.mark.parametrize("state", ["nothing", "in flight", "in a transaction"])
def test_whether_it_goes_ahead_of_what_waits(world: World, goes_ahead: bool, state: str) -> None:
    limits = Limits()
    core = Asked()
    resp = for_node(limits, keys_max=1000, next_turn=lambda do: do())({})
    inbox = Inbox(RpcMethods({}, limits), Cores(None, core, goes_ahead), resp)
    ours, _theirs = socket.socketpair()
    connection = Connection(world.poller, Transport(ours), "a client", limits, inbox, lambda _connection, _reason: None)
    session = connection.open(ord("*"))
    assert isinstance(session, QuickRespSession)
    if state == "in flight":
        session.wait(None)
    elif state == "in a transaction":
        session.taker = lambda _session, _request: b"+QUEUED\r\n"
    request = b"*1\r\n$4\r\nNONE\r\n"
    inbox.inbox.append((connection, request))
    inbox.receive_all()
    is_asked = state == "nothing" or (state == "in flight" and goes_ahead)
    assert core.data == [request] * is_asked
