"""The clients of a soak: hundreds of connections in one process, which know what each of their keys has to be.

A client owns its keys, so every answer can be foretold: writes of one key take effect in the order in which they were
sent, and a GET sees those before it. Values are made from the key and the number of the write, so that nothing but the
number has to be kept.
"""

from __future__ import annotations

import random
import selectors
import socket
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from tests.support.wire import MAX_RESPONSE_BYTES, pack

Value = str | bytes

KEYS_OF_A_CLIENT: Final = 10
LARGEST: Final = 1024 * 1024
"""Bytes; the smallest has 10."""

SMALL: Final = "small"
"""How the keys of small values begin."""

LARGEST_OF_SMALL: Final = 1024
SMALL_EVERY: Final = 0.02
"""Seconds between two calls of those clients whose values are small."""

MIX: Final = {"PUT": 50, "GET": 40, "DEL": 10}
"""What is called, in percent."""

ALONE: Final = 0.7
"""How many of the calls are made by themselves, the others in pipelines."""

LONGEST_PIPELINE: Final = 40
PIPELINE_BYTES: Final = 4 * 1024 * 1024
"""Values of a pipeline, about, at the most."""

SAVED_UP: Final = 2.0
"""Seconds whose bytes are saved up before the clients call again: then all at once, as clients do."""

PATIENCE: Final = 60.0
"""Seconds after which a call counts as one without an answer."""

FAILURES_SHOWN: Final = 10

_POOL: Final = random.Random(0)
_ASCII: Final = "".join(_POOL.choices("abcdefghijklmnopqrstuvwxyz    ", k=LARGEST))
_EMOJI: Final = "".join(_POOL.choices("😀😎🚀🍀🦊🌍", k=LARGEST // 4))
_BINARY: Final = _POOL.randbytes(LARGEST)


def value_of(key: str, version: int) -> Value:
    """What the write with this number, counted from 1, gives the key."""
    chance = random.Random(f"{key} {version}")
    largest = LARGEST_OF_SMALL if key.startswith(SMALL) else LARGEST
    size = int(10 * (largest / 10) ** (chance.random() ** 2))  # of every order of magnitude, more of the small ones
    head = f"{key} {version} "
    rest = max(size - len(head), 0)
    match chance.choice(("text", "emoji", "text with an emoji", "binary")):
        case "text":
            return head[:size] + _ASCII[:rest]
        case "emoji":
            return head[:size] + _EMOJI[: rest // 4]
        case "text with an emoji":
            return head[:size] + _ASCII[: max(rest - 4, 0)] + ("😀" if rest >= 4 else "")
        case _:
            return head.encode()[:size] + _BINARY[:rest]


def bytes_of(value: Value | None) -> int:
    if value is None:
        return 0
    return len(value) if isinstance(value, bytes) else len(value.encode())


@dataclass
class Told:
    """What the clients of one process have to say."""

    calls: Counter[str] = field(default_factory=Counter)
    """By method."""
    pipelines: int = 0
    bytes_put: int = 0
    bytes_got: int = 0
    small: array[float] = field(default_factory=lambda: array("d"))
    """Seconds that each call with a small value took."""
    longest: float = 0.0
    """Seconds of the slowest call or pipeline."""
    errors: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    unanswered: int = 0
    failures: list[str] = field(default_factory=list)
    """The first of all of these, in words."""

    def fail(self, text: str) -> None:
        if len(self.failures) < FAILURES_SHOWN:
            self.failures.append(text)

    def add(self, other: Told) -> None:
        """What somebody else has to say."""
        self.calls.update(other.calls)
        self.errors.update(other.errors)
        self.small.extend(other.small)
        self.longest = max(self.longest, other.longest)
        for name in ("pipelines", "bytes_put", "bytes_got", "wrong", "unanswered"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for text in other.failures:
            self.fail(text)


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    key: str
    version: int
    """Of the key when it was sent; 0 is no record. What a GET has to answer, and whether a DEL finds one."""


class _Client:
    """One connection, one batch of calls at a time."""

    def __init__(self, port: int, name: str, seed: int, told: Told, keys: int = KEYS_OF_A_CLIENT) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.unsent: deque[memoryview] = deque()
        self._unpacker = msgpack.Unpacker(
            raw=False, unicode_errors="surrogateescape", max_buffer_size=MAX_RESPONSE_BYTES
        )
        self._chance = random.Random(f"{seed} {name}")
        self._small = name.startswith(SMALL)
        self._versions = {f"{name} key {key}": 0 for key in range(keys)}
        self._written = dict(self._versions)
        """The number of the last write; unlike a version it never goes back."""
        self._told = told
        self._waiting: dict[int, _Call] = {}
        self._msgid = 0
        self.began = 0.0

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def begin(self) -> int:
        """Calls something; the bytes of the values that it moves."""
        alone = self._small or self._chance.random() < ALONE
        count = 1 if alone else self._chance.randint(2, LONGEST_PIPELINE)
        read: set[str] = set()
        moved = 0
        for _ in range(count):
            (method,) = self._chance.choices(list(MIX), list(MIX.values()))
            key = self._chance.choice(list(self._versions))
            if method == "GET":
                read.add(key)
            elif key in read:
                continue  # A GET may be answered later than a write that was sent after it.
            moved += self._send(method, key)
            if moved > PIPELINE_BYTES:
                break
        self._told.pipelines += not alone
        self.began = time.monotonic()
        return moved

    def read_some(self, first: int) -> bool:
        """Calls GET of so many of its keys as each client has if nothing else is said; whether there were any."""
        keys = list(self._versions)[first : first + KEYS_OF_A_CLIENT]
        for key in keys:
            self._send("GET", key)
        self.began = time.monotonic()
        return bool(keys)

    def _send(self, method: str, key: str) -> int:
        self._msgid += 1
        moved = 0
        self._waiting[self._msgid] = _Call(method, key, self._versions[key])
        params: list[Value] = [key]
        if method == "PUT":
            self._written[key] += 1
            self._versions[key] = self._written[key]
            value = value_of(key, self._written[key])
            moved = bytes_of(value)
            params.append(value)
            self._told.bytes_put += moved
        elif method == "DEL":
            self._versions[key] = 0
        self._told.calls[method] += 1
        self.unsent.append(memoryview(pack([0, self._msgid, method, params])))
        return moved

    def receive(self, data: bytes) -> int:
        """Takes answers; the bytes of the values in them."""
        self._unpacker.feed(data)
        moved = 0
        for _, msgid, error, result in self._unpacker:
            moved += self._answered(self._waiting.pop(msgid), error, result)
        if not self._waiting:
            seconds = time.monotonic() - self.began
            self._told.longest = max(self._told.longest, seconds)
            if self._small:
                self._told.small.append(seconds)
        return moved

    def _answered(self, call: _Call, error: Any, result: Any) -> int:
        told = self._told
        if error is not None:
            told.errors[f"{call.method}: {str(error).partition(':')[0]}"] += 1
            told.fail(f"{call.method} {call.key}: {error}")
            return 0
        moved = 0
        wanted: Any = True
        if call.method == "DEL":
            wanted = call.version > 0
        elif call.method == "GET":
            value = value_of(call.key, call.version) if call.version else None
            wanted = [False, ""] if value is None else [True, value]
            moved = bytes_of(value)
            told.bytes_got += moved
        if type(result) is not type(wanted) or result != wanted:
            told.wrong += 1
            told.fail(f"{call.method} {call.key}: {str(result)[:100]} in the place of {str(wanted)[:100]}")
        return moved

    def give_up(self, why: str) -> None:
        """Nothing will be answered any more."""
        self._told.unanswered += len(self._waiting)
        self._told.fail(f"{why}: {len(self._waiting)} calls without an answer, {next(iter(self._waiting.values()))}")
        self._waiting.clear()
        self.unsent.clear()


class _Clients:
    """Serves the connections of all clients of this process."""

    def __init__(self, clients: list[_Client]) -> None:
        self._selector = selectors.DefaultSelector()
        self.open = clients
        for client in clients:
            self._selector.register(client.socket, selectors.EVENT_READ, client)

    def turn(self, seconds: float) -> int:
        """Waits so long for something to happen, and deals with it; the bytes of the values that arrived."""
        moved = 0
        for key, events in self._selector.select(seconds):
            client: _Client = key.data
            try:
                if events & selectors.EVENT_WRITE:
                    self._write(client)
                if events & selectors.EVENT_READ:
                    data = client.socket.recv(256 * 1024)
                    if not data:
                        raise ConnectionResetError("the node closed the connection")
                    moved += client.receive(data)
            except BlockingIOError:
                pass
            except OSError as error:
                self._drop(client, str(error))
        return moved

    def begun(self, client: _Client) -> None:
        """To be told when it has called."""
        self._selector.modify(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)

    def finish(self) -> None:
        """Until all calls are answered, or nothing is any more."""
        while busy := [client for client in self.open if client.busy]:
            self.turn(0.1)
            self.drop_stuck(busy)

    def drop_stuck(self, clients: list[_Client]) -> None:
        now = time.monotonic()
        for client in clients:
            if client.busy and now - client.began > PATIENCE:
                self._drop(client, f"after {PATIENCE:g} s")

    def _write(self, client: _Client) -> None:
        while client.unsent:
            sent = client.socket.send(client.unsent[0])
            client.unsent[0] = client.unsent[0][sent:]
            if not client.unsent[0]:
                client.unsent.popleft()
        self._selector.modify(client.socket, selectors.EVENT_READ, client)

    def _drop(self, client: _Client, why: str) -> None:
        if client.busy:
            client.give_up(why)
        self._selector.unregister(client.socket)
        client.socket.close()
        self.open.remove(client)

    def close(self) -> None:
        for client in self.open:
            client.socket.close()
        self._selector.close()


def soak(port: int, numbers: range, seconds: float, pace: float, seed: int, keys: int) -> Told:
    """Runs the clients with these numbers; their keys must not exist yet.

    ``pace``: bytes of values a second that all of them move together, about. ``keys``: how many each client has. At
    the end each reads all of its keys.
    """
    told = Told()
    chance = random.Random(f"{seed} {numbers}")
    clients = _Clients([_Client(port, f"client {number}", seed, told, keys) for number in numbers])
    end = time.monotonic() + seconds
    room, last, pausing = 0.0, time.monotonic(), False
    while (now := time.monotonic()) < end and clients.open:
        room = min(room + pace * (now - last), SAVED_UP * pace)
        last = now
        if room <= 0:
            pausing = True
        elif room >= SAVED_UP * pace:
            pausing = False
        if not pausing:
            idle = [client for client in clients.open if not client.busy]
            for client in chance.sample(idle, len(idle)):
                room -= client.begin()
                clients.begun(client)
                if room <= 0:
                    break
        room -= clients.turn(0.02)
        clients.drop_stuck(clients.open[:])
    _end(clients)
    return told


def soak_small(port: int, count: int, seconds: float, seed: int) -> Told:
    """The same with small values, and one call at a time of all clients together, whose time is taken."""
    told = Told()
    clients = _Clients([_Client(port, f"{SMALL} {number}", seed, told) for number in range(count)])
    end = time.monotonic() + seconds
    while time.monotonic() < end and clients.open:
        for client in clients.open[:]:
            client.begin()
            clients.begun(client)
            clients.finish()
            time.sleep(SMALL_EVERY)
    small, told.small = told.small, array("d")
    _end(clients)
    told.small = small
    return told


def _end(clients: _Clients) -> None:
    """Has each client read all of its keys."""
    clients.finish()
    first = 0
    while reading := [client for client in clients.open if client.read_some(first)]:
        for client in reading:
            clients.begun(client)
        clients.finish()
        first += KEYS_OF_A_CLIENT
    clients.close()
