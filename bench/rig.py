"""One secondary's inside between real sockets, and the time that each step of a call takes in it."""

from __future__ import annotations

import gc
import os
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain
from typing import Any, Final

import msgpack

from bench.data import record
from bench.generator import Load
from ckv.net.connection import Connection
from ckv.net.inbox import Inbox
from ckv.net.poller import Poller
from ckv.net.transport import Transport
from ckv.node.secondary import handlers
from ckv.protocol.handler import Caller
from ckv.protocol.limits import RECV_BYTES, RECV_BYTES_OF_SMALL, Limits
from ckv.protocol.messages import NO_MESSAGE, new_requests_unpacker
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.protocol.packing import REQUEST, RESPONSE, new_batch_packer, new_packer
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES, Memory
from ckv.store.modes import EvictStore
from ckv.store.pending import Pending
from ckv.store.store import Store
from ckv.store.tiers import Environment

SETTING: Final = Load()
"""50 connections, 100,000 keys, values of 64 bytes: what the benchmarks start from."""
HOT_KEYS: Final = 1000
"""Records that stay in the processor's second-level cache, to tell what missing it costs."""
FIRST_MSGID: Final = 70_000
"""Of a client that has been connected for a while: none of the small numbers that Python keeps."""
GROUP_CALLS: Final = 80
"""Calls that take a step side by side: enough for the clock, few enough for the processor's first cache."""
CALLS: Final = 8000
"""Calls of one repetition."""
PENDING_BYTES: Final = 1 << 30

MEMORY, MEMORY_HOT = "memory", f"memory, {HOT_KEYS:,} keys"
STEPS: Final = ("read", "feed and unpack", "checks and dispatch", "handler", "pack", "collect and post", "write")
"""The way of a call. What the handler does has the memory tier in it; see :data:`PARTS`."""
PARTS: Final = (MEMORY, MEMORY_HOT)
"""What is a part of the step before it, so that it does not count in the sum."""
IN_ONE_GO: Final = "steps in one go"
"""All steps as a turn of the Poller takes them, with its own code and epoll, but without gevent's loop."""

Timings = dict[str, float]
"""Nanoseconds for a call."""


class _Watcher:
    """In the place of the loop's: it keeps the callback, which is called when its turn is to be timed."""

    def __init__(self) -> None:
        self.ready: Callable[[], None] | None = None

    def start(self, callback: Callable[[], None]) -> None:
        self.ready = callback

    def stop(self) -> None: ...

    def close(self) -> None: ...


class _Loop:
    """In the place of gevent's loop, so that nothing runs but what is being timed."""

    def __init__(self) -> None:
        self.watchers: list[_Watcher] = []
        self._callbacks: list[Callable[[], None]] = []

    def io(self, _fd: int, _events: int) -> _Watcher:
        self.watchers.append(_Watcher())
        return self.watchers[-1]

    def run_callback(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def end_of_turn(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


def _nothing(_fd: int, _count: int) -> bytes:
    return b""


def _unwritten(_fd: int, data: bytes | memoryview) -> int:
    return len(data)


def _takes_all(sock: socket.socket) -> Transport:
    """A transport that takes everything at once, and sends nothing."""
    transport = Transport(sock)
    transport.is_plain = False
    transport.read = _nothing
    transport.write = _unwritten
    return transport


@dataclass
class _Clock:
    """Sums up the process time of each step."""

    spent: dict[str, int] = field(default_factory=dict)
    _last: int = 0

    def start(self) -> None:
        self._last = time.process_time_ns()

    def stop(self, step: str) -> None:
        self.spent[step] = self.spent.get(step, 0) + time.process_time_ns() - self._last


def _filled(keys: int) -> Memory:
    """A memory tier that is full."""
    memory = POLICIES["lru"](keys)
    for number in range(keys):
        memory.put(*record(number))
    return memory


class Rig:
    """The connections of clients, and one secondary's inside behind them."""

    def __init__(self, op: str, depth: int, seed: int = 1) -> None:
        """``op``: ``get`` of records that are there, or ``put`` of new ones, each of which evicts another."""
        self._op, self._depth = op, depth
        self._group = min(SETTING.connections, max(1, GROUP_CALLS // depth))
        """Connections that take a step side by side. It divides all of them."""
        self._random = random.Random(seed)
        self._limits = Limits()
        self._loop = _Loop()
        self._poller = Poller(self._loop)
        # One set of all records and no second one: two would not fit into a cache that one fits into.
        self._memory, self._hot = _filled(SETTING.keys), _filled(HOT_KEYS)
        self._store: Records = MemoryStore(self._memory)
        if op == "put":
            environment = Environment(clock=time.monotonic, load_timeout=1, pending_wait=1)
            self._store = EvictStore(self._memory, Pending(10 * SETTING.keys, PENDING_BYTES), environment)
        table = handlers(self._store, self._limits.max_value_bytes)
        self._handler = table[op.upper()]
        self._inbox = Inbox(RpcMethods(table, self._limits))
        self._fixed: object = (True, record(0)[1]) if op == "get" else True
        self._null_methods = RpcMethods({op.upper(): self._null}, self._limits)
        self._poller.add_receiver(self._inbox)
        self._packer = new_packer() if depth == 1 else new_batch_packer()
        self._packers = [new_batch_packer() for _ in range(SETTING.connections)]
        self._stack = ExitStack()
        self._clients: list[socket.socket] = []
        self._fds: list[int] = []
        self._null_sessions: list[RpcSession] = []
        self._posting: list[Connection] = []
        self._unpackers = [new_requests_unpacker(self._limits) for _ in range(SETTING.connections)]
        self._best: Timings = {}
        self._next_key = SETTING.keys
        self._requests: deque[bytes] = deque()
        self._records: deque[bytes] = deque()
        self._hot_records: deque[bytes] = deque()

    def __enter__(self) -> Rig:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(SETTING.connections):
                client = self._stack.enter_context(socket.create_connection(listener.getsockname()))
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                served, _ = listener.accept()
                self._stack.callback(served.close)
                self._clients.append(client)
                self._fds.append(served.fileno())
                connection = self._connection(Transport(served))
                self._null_sessions.append(RpcSession(connection, self._null_methods))
                idle, other = socket.socketpair()
                self._stack.enter_context(idle)
                self._stack.enter_context(other)
                self._posting.append(self._connection(_takes_all(idle)))
        # A node frees each request before the next one. Here a step leaves those of a whole turn behind, and the
        # collector would look at them.
        gc.collect()
        gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        gc.enable()

    def _connection(self, transport: Transport) -> Connection:
        return Connection(self._poller, transport, "a client", self._limits, self._inbox, _closed)

    def _null(self, _caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        return self._fixed

    def repeat(self, repeats: int) -> None:
        """Times everything as often; :meth:`timings` gives the best of all."""
        best = self._best
        turns = max(1, CALLS // (self._depth * SETTING.connections))
        calls = turns * self._depth * SETTING.connections
        for _ in range(repeats):
            clock = _Clock()
            self._prepare(turns)
            for _ in range(turns):
                for start in range(0, SETTING.connections, self._group):
                    clock.start()
                    clock.stop("clock")
                    self._steps(clock, slice(start, start + self._group))
                self._in_one_go(clock)
            for step, spent in clock.spent.items():
                best[step] = min(best.get(step, spent / calls), spent / calls)

    def timings(self) -> Timings:
        """Each step, its parts, and :data:`IN_ONE_GO`."""
        groups = SETTING.connections // self._group
        raw = {step: value - self._best["clock"] for step, value in self._best.items()}
        # Timed once a turn, and not once for each group.
        raw["in one go"] = self._best["in one go"] - self._best["clock"] / groups
        raw["unpack"] -= raw["null unpack"]
        if self._depth == 1:  # see RpcSession, which packs the answer to one request by itself
            raw["take"] = 0.0
        return {
            "read": raw["read"],
            "feed and unpack": raw["unpack"],
            "checks and dispatch": raw["null session"] - raw["unpack"] - raw["pack fixed"] - raw["take"],
            "handler": raw["handler"] - raw["null handler"],
            MEMORY: raw["memory"] - raw["null memory"],
            MEMORY_HOT: raw["memory hot"] - raw["null memory"],
            "pack": raw["pack"] - raw["null pack"],
            "collect and post": raw["take"] + raw["post"],
            "write": raw["write"],
            IN_ONE_GO: raw["in one go"],
        }

    def _steps(self, clock: _Clock, group: slice) -> None:
        """A step at a time for some connections."""
        fds = self._fds[group]
        requests = self._send(self._clients[group])
        clock.start()
        arrived = [os.read(fd, RECV_BYTES_OF_SMALL) for fd in fds]
        clock.stop("read")
        assert arrived == requests
        clock.start()
        batches = [
            self._unpacked(unpacker, data) for unpacker, data in zip(self._unpackers[group], arrived, strict=True)
        ]
        clock.stop("unpack")
        clock.start()
        for unpacker, data in zip(self._unpackers[group], arrived, strict=True):
            self._not_unpacked(unpacker, data)
        clock.stop("null unpack")

        clock.start()
        for session, data in zip(self._null_sessions[group], arrived, strict=True):
            session.received(data)
        clock.stop("null session")
        handler, null, caller = self._handler, self._null, self._null_sessions[0]
        everything = list(chain.from_iterable(batches))
        clock.start()
        results = [handler(caller, message[1], message[3]) for message in everything]
        clock.stop("handler")
        clock.start()
        fixed = [null(caller, message[1], message[3]) for message in everything]
        clock.stop("null handler")
        self._memory_alone(clock)
        self._pack(clock, everything, fixed, "pack fixed")
        self._pack(clock, everything, results, "pack")
        clock.start()
        for message, result in zip(everything, results, strict=True):
            (RESPONSE, message[1], None, result)
        clock.stop("null pack")
        answers = self._take(clock, self._packers[group], batches, results)
        self._write(clock, group, answers)
        self._flush_rows()

    def _unpacked(self, unpacker: msgpack.Unpacker, data: bytes) -> tuple[Any, ...]:
        """As a session does it."""
        unpacker.feed(data)
        first = next(unpacker, NO_MESSAGE)
        unpacker.tell()
        return (first,) if self._depth == 1 else tuple(chain((first,), unpacker))

    def _not_unpacked(self, unpacker: msgpack.Unpacker, data: bytes) -> None:
        """What it costs to ask for it, which a node does not pay."""

    def _memory_alone(self, clock: _Clock) -> None:
        """On keys of their own: the others are in the caches now, and their hashes are known."""
        for step, memory, prepared in (
            ("memory", self._memory, self._records),
            ("memory hot", self._hot, self._hot_records),
        ):
            get, put = memory.get, memory.put
            unpacker = new_requests_unpacker(self._limits)
            unpacker.feed(prepared.popleft())
            records = list(unpacker)
            clock.start()
            if self._op == "get":
                for key, _value in records:
                    get(key)
            else:
                for key, value in records:
                    put(key, value)
            clock.stop(step)
        clock.start()
        for _key, _value in records:
            pass
        clock.stop("null memory")

    def _pack(self, clock: _Clock, messages: Sequence[Any], results: Sequence[object], step: str) -> None:
        pack = self._packer.pack
        clock.start()
        for message, result in zip(messages, results, strict=True):
            pack((RESPONSE, message[1], None, result))
        clock.stop(step)
        self._packer.reset()

    def _take(
        self, clock: _Clock, packers: Sequence[Any], batches: Sequence[Any], results: Sequence[object]
    ) -> list[bytes]:
        """The answers of each connection, packed beforehand."""
        result = iter(results)
        for packer, batch in zip(packers, batches, strict=True):
            for message in batch:
                packer.pack((RESPONSE, message[1], None, next(result)))
        clock.start()
        answers = []
        for packer in packers:
            answers.append(packer.bytes())
            packer.reset()
        clock.stop("take")
        return answers

    def _write(self, clock: _Clock, group: slice, answers: Sequence[bytes]) -> None:
        fds, connections = self._fds[group], self._posting[group]
        clock.start()
        for fd, data in zip(fds, answers, strict=True):
            os.write(fd, data)
        clock.stop("write")
        self._receive(self._clients[group], answers)
        # Without the write, which would be a large figure to take away from another large one.
        clock.start()
        for connection, data in zip(connections, answers, strict=True):
            connection.post(data)
        self._loop.end_of_turn()
        clock.stop("post")

    def _in_one_go(self, clock: _Clock) -> None:
        """One turn as it is."""
        self._send(self._clients)
        turn = self._loop.watchers[0].ready
        assert turn is not None
        clock.start()
        turn()
        clock.stop("in one go")
        self._loop.end_of_turn()  # there is nothing left, unless a read was too short for what a client sent
        self._receive(self._clients)
        self._flush_rows()

    # --- the clients, who are not timed --------------------------------------------------------------------------

    def _prepare(self, turns: int) -> None:
        """Packs what a repetition needs, so that a turn follows the one before it with little between them."""
        for _ in range(turns * (SETTING.connections // self._group)):
            # Packed, so that each string is new when it is needed, and nobody has hashed it.
            for prepared, keys in ((self._records, SETTING.keys), (self._hot_records, HOT_KEYS)):
                records = [self._record(keys) for _ in range(self._depth * self._group)]
                prepared.append(b"".join(map(msgpack.packb, records)))
        for _ in range(2 * turns * SETTING.connections):
            self._requests.append(b"".join(self._request(FIRST_MSGID + n) for n in range(self._depth)))

    def _record(self, keys: int) -> tuple[str, str]:
        if self._op == "get":
            return record(self._random.randrange(keys))
        self._next_key += 1
        return record(self._next_key)

    def _request(self, msgid: int) -> bytes:
        key, value = self._record(SETTING.keys)
        request: bytes = msgpack.packb(
            (REQUEST, msgid, self._op.upper(), (key,) if self._op == "get" else (key, value))
        )
        return request

    def _send(self, clients: Sequence[socket.socket]) -> list[bytes]:
        batches = [self._requests.popleft() for _ in clients]
        for client, batch in zip(clients, batches, strict=True):
            client.sendall(batch)
        return batches

    def _receive(self, clients: Sequence[socket.socket], wanted: Sequence[bytes] | None = None) -> None:
        for number, client in enumerate(clients):
            data = client.recv(RECV_BYTES)
            answers = list(msgpack.Unpacker(BytesIO(data), use_list=False))
            assert len(answers) == self._depth
            assert all(answer[2] is None and answer[3] is not None for answer in answers)
            assert wanted is None or data == wanted[number]

    def _flush_rows(self) -> None:
        """What is left of the database: rows that were pending are said to be saved."""
        if isinstance(self._store, Store):
            while batch := self._store.flush_begin():
                self._store.flush_end(batch)


def _closed(connection: Connection, reason: str) -> None:
    raise RuntimeError(f"a connection was closed: {reason}")
