"""Any bytes into a secondary's wire: the target that hypothesis (in the tests) and atheris (``make fuzz``) drive.

make fuzz FUZZ_SECONDS=600     # coverage-guided, for a stated time; a crash is kept as a file and shown
"""

from __future__ import annotations

import msgpack

from ckv import errors
from ckv.node.auditing import Audits
from ckv.node.secondary import handlers, operator_handlers
from ckv.protocol.limits import KIB, Limits
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.store.memory import POLICIES
from ckv.store.modes import EvictStore
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from ckv.values import ENCODING_ERRORS
from tests.fuzz.search import search
from tests.support.line import Nowhere, served

LIMITS = Limits(max_value_bytes=4 * KIB, max_in_flight=1_000_000)
CHUNK = 512


def one_input(data: bytes) -> bool:
    """Feeds the bytes in pieces; raises when anything but answers or a failure of the session comes of it.

    Returns whether there was no failure: nothing for which the connection would be closed.
    """
    now = 0.0
    environment = Environment(clock=lambda: now, load_timeout=1, pending_wait=1)
    store = EvictStore(POLICIES["lru"](2), Pending(100, KIB * KIB), environment)
    scans = Audits(store, lambda: now)
    methods = RpcMethods(handlers(store, LIMITS.max_value_bytes) | operator_handlers(store, scans), LIMITS)
    line = Nowhere()
    session = RpcSession(line, methods)
    sent = b""
    for start in range(0, len(data), CHUNK):
        sent += served(session, line, data[start : start + CHUNK])
        assert not line.holds, "nothing is sent back that could be held"
        if session.failed:
            break
    store.check()
    now = 10.0
    store.expire()  # whoever waits for the persistent tier, which is not there, is told
    assert session.in_flight == 0, f"{session.in_flight} requests were never answered"
    assert session.waiting == (line.woken > 0)
    sent += session.take()
    for answer in msgpack.Unpacker(BytesReader(sent), unicode_errors=ENCODING_ERRORS):
        kind, _, error, result = answer
        assert kind == 1
        assert (error is None) != (result is None)
        assert error is None or type(errors.from_wire(error)) is not errors.ServerError, error
    return not session.failed


class BytesReader:
    """Bytes as a file for msgpack, whose own buffer has a bound."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece


SEEDS = (
    [0, 1, "PUT", ["key", "value"]],
    [0, 2, "GET", [b"key"]],
    [0, 3, "DEL", ["key"]],
    [0, 4, "PING", []],
    [2, "PUT", ["key", b"value"]],
    [0, 5, "BATCH", ["PUT", ["key", "value"], "AUDIT", [0, 2], "GET", ["key"], "DEL", ["key"]]],
)
"""Well-formed messages, so that the fuzzer need not discover msgpack-RPC by itself."""


if __name__ == "__main__":
    search(one_input, [b"".join(map(msgpack.packb, SEEDS))])
