"""Any bytes into a secondary's wire: the target that hypothesis (in the tests) and atheris (``make fuzz``) drive.

make fuzz FUZZ_SECONDS=600     # coverage-guided, for a stated time; a crash is kept as a file and shown
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import msgpack

from ckv import errors
from ckv.audit import Scans
from ckv.roles.secondary import handlers, operator_handlers
from ckv.store.memory import POLICIES
from ckv.store.pending import Pending
from ckv.store.store import Store
from ckv.values import ENCODING_ERRORS
from ckv.wire.limits import KIB, Limits
from ckv.wire.msgpackrpc import Service, new_unpacker

LIMITS = Limits(max_value_bytes=4 * KIB, max_container=64)
CHUNK = 512


class Sink:
    """A connection that keeps what it is sent."""

    def __init__(self) -> None:
        self.is_open = True
        self.held = False
        self.peer = "fuzzer"
        self.sent = bytearray()
        self.in_flight = 0
        self.waiting: list[object] = []

    def post(self, data: bytes) -> None:
        self.sent += data

    def defer(self) -> None:
        self.in_flight += 1

    def respond(self, msgid: int, error: object, result: object) -> None:
        self.sent += msgpack.packb([1, msgid, error, result], unicode_errors=ENCODING_ERRORS)
        self.settle()

    def settle(self) -> None:
        self.in_flight -= 1

    def put_off(self, requests: Iterable[object]) -> None:
        self.waiting += requests
        self.held = True

    def hold(self, reason: object) -> None:
        """Nothing is sent back that could be held."""

    def release(self, reason: object) -> None:
        """See :meth:`hold`."""


def one_input(data: bytes) -> bool:
    """Feeds the bytes in pieces; raises when anything but an answer or a ProtocolError comes of it.

    Returns whether there was no ProtocolError: nothing for which the connection would be closed.
    """
    fine = True
    now = 0.0
    pending = Pending(100, KIB * KIB)
    store = Store(POLICIES["lru"](2), pending, clock=lambda: now, load_timeout=1, pending_wait=1, wake=lambda: None)
    scans = Scans(store, lambda: now)
    service = Service(handlers(store, LIMITS.max_value_bytes) | operator_handlers(store, scans), LIMITS)
    sink = Sink()
    unpacker = new_unpacker(LIMITS)
    try:
        for start in range(0, len(data), CHUNK):
            unpacker.feed(data[start : start + CHUNK])
            service.receive(sink, unpacker)
            while sink.waiting:
                waiting, sink.waiting, sink.held = sink.waiting, [], False
                assert service.receive(sink, iter(waiting)) == len(waiting)
                service.receive(sink, unpacker)
    except (errors.ProtocolError, msgpack.BufferFull):
        fine = False
    store.check()
    now = 10.0
    store.expire()  # whoever waits for the persistent tier, which is not there, is told
    assert sink.in_flight == 0, f"{sink.in_flight} requests were never answered"
    for answer in msgpack.Unpacker(BytesReader(bytes(sink.sent)), unicode_errors=ENCODING_ERRORS):
        kind, _, error, result = answer
        assert kind == 1
        assert (error is None) != (result is None)
        assert error is None or type(errors.from_wire(error)) is not errors.ServerError, error
    return fine


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
    [0, 5, "BATCH", ["PUT", ["key", "value"], "SCAN", [0, 2], "GET", ["key"], "DEL", ["key"]]],
)
"""Well-formed messages, so that the fuzzer need not discover msgpack-RPC by itself."""


def main() -> None:
    """Runs atheris: the first argument is the folder of what it has found, the others are its own."""
    import atheris

    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    (folder / "seed").write_bytes(b"".join(map(msgpack.packb, SEEDS)))
    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
