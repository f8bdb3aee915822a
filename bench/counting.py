"""``python -m bench.counting LIBRARY FOLDER``: turns of a node, for ``valgrind --tool=callgrind`` to count.

The node's own Poller, connections, sessions and store, and compiled loops of a folder, between real sockets; of what a
process does only gevent's loop is missing, and of what a call costs the kernel. The same requests come to each build.
Instructions do not depend on what else the machine does, so one run is enough: :func:`counted` gives those of a call.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgpack

from bench.alternating import load
from bench.data import record
from bench.generator import Load
from ckv.net.connection import Connection
from ckv.net.inbox import Inbox
from ckv.net.poller import Poller
from ckv.net.transport import Transport
from ckv.node.hotkeys import HotKeys
from ckv.node.secondary import handlers
from ckv.protocol.handler import Cores
from ckv.protocol.latencies import Latencies
from ckv.protocol.limits import RECV_BYTES, Limits
from ckv.protocol.msgpackrpc import RpcMethods
from ckv.protocol.packing import REQUEST
from ckv.protocol.quick import BATCH_BOUNDS
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from tests.support.nodes import ROOT

SETTING: Final = Load()
WARM_TURNS: Final = 5
CALLS: Final = 1500
"""Of a case, or five turns, if those have more."""
FIRST_MSGID: Final = 70_000

SOURCE: Final = Path(__file__).with_name("counting.c")

STRIDE: Final = 1024
"""What one that is noted stands for."""

NEVER, ALWAYS = 1 << 62, 0
"""How many requests are passed over before one whose key is noted."""

Case = tuple[str, int, int, int]
"""What is asked, how many requests each client sends, how many clients do in a turn, and how many are passed over."""

CASES: Final[tuple[Case, ...]] = (
    *((op, 1, 1, NEVER) for op in ("get", "put")),
    *((op, depth, 30, NEVER) for op in ("get", "put") for depth in (1, 16, 64)),
    ("get", 1, 30, ALWAYS),
)
"""Thirty clients in a turn are what the generator's 50 connections make; one who is alone has turns of his own. Noting
is counted by itself, as a node notes so many keys in a second, however many calls there are."""


def turns_of(case: Case) -> int:
    """How many are counted."""
    return max(5, CALLS // (case[1] * case[2]))


def missing() -> str | None:
    """What is not there of what counting takes; None when all is."""
    if shutil.which("valgrind") is None:
        return "valgrind"
    return None if Path("/usr/include/valgrind/callgrind.h").exists() else "valgrind's headers"


def counted(modules: Path, folder: Path) -> dict[Case, float]:
    """Instructions for a call in each of the :data:`CASES`, by the loops among ``modules``."""
    folder.mkdir()
    library = folder / "counting.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    out = f"--callgrind-out-file={folder}/out"
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no", out]
    command = [*valgrind, sys.executable, "-m", "bench.counting", str(library), str(modules)]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    found = {}
    for dump in folder.glob("out.*"):
        text = dump.read_text()
        name = re.search(r"^desc: Trigger: Client Request: (\w+) (\d+) (\d+) (\d+)$", text, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if name is not None and total is not None:
            case = (name[1], int(name[2]), int(name[3]), int(name[4]))
            found[case] = int(total[1]) / (turns_of(case) * case[1] * case[2])
    return found


class _Loop:
    """In the place of gevent's, so that nothing runs but what is counted."""

    turn: Callable[[], None]

    def io(self, _fd: int, _events: int) -> _Loop:
        return self

    def start(self, turn: Callable[[], None]) -> None:
        self.turn = turn

    def run_callback(self, _callback: Callable[[], None]) -> None:
        raise AssertionError("a turn left something")


class _Hot(HotKeys):
    """Notes as many keys as it is told, whatever the time is, which valgrind makes long."""

    fixed = 0

    def _to_skip(self) -> int:
        super()._to_skip()
        return self.fixed

    def _change(self, stride: int) -> None:
        """Has it drawn by chance how many are passed over, all the same."""
        super()._change(STRIDE)


class _Node:
    """A secondary's inside that is full, behind the sockets of clients."""

    def __init__(self, folder: Path) -> None:
        self._loop = _Loop()
        limits = Limits()
        memory = POLICIES["lru"](SETTING.keys)
        for number in range(SETTING.keys):
            memory.put(*record(number))
        store = MemoryStore(memory)
        self._hot = _Hot(time.monotonic, Latencies())
        table, absent, most = (store.memory, store.absent, limits.max_value_bytes)
        server = load(folder, "serve").Server(table, absent, max_value_bytes=most, **BATCH_BOUNDS)
        self._hot.watch(server)
        self._server = server
        methods = RpcMethods(self._hot.noting(handlers(store, most)), limits)
        poller = Poller(self._loop)
        inbox = Inbox(methods, Cores(server))
        poller.add_receiver(inbox)
        self._clients: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(SETTING.connections):
                client = socket.create_connection(listener.getsockname())
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                served, _ = listener.accept()
                served.setblocking(False)
                self._clients.append(client)
                Connection(poller, Transport(served), "a client", limits, inbox, _closed)
        self._hot._change(STRIDE)
        self._chance = random.Random(1)

    def pass_over(self, to_skip: int) -> None:
        """So many requests, from now on, before each whose key is noted."""
        self._hot.fixed = self._server.to_skip = to_skip

    def turns(self, op: str, depth: int, clients: int, count: int, around: Callable[[], object]) -> None:
        """So many turns. ``around`` is called before and after each, for what the clients do is not counted."""
        asking = self._clients[:clients]
        for _ in range(count):
            for client in asking:
                client.sendall(b"".join(self._request(op, FIRST_MSGID + number) for number in range(depth)))
            around()
            self._loop.turn()
            around()
            for client in asking:
                unpacker = msgpack.Unpacker()
                found = 0
                while found < depth:
                    unpacker.feed(client.recv(RECV_BYTES))
                    for answer in unpacker:
                        assert answer[2] is None
                        found += 1

    def _request(self, op: str, msgid: int) -> bytes:
        key, value = record(self._chance.randrange(SETTING.keys))
        packed: bytes = msgpack.packb((REQUEST, msgid, op.upper(), (key,) if op == "get" else (key, value)))
        return packed


def _closed(_connection: Connection, reason: str) -> None:
    raise RuntimeError(f"a connection was closed: {reason}")


def main(arguments: Sequence[str]) -> None:
    """What runs in valgrind."""
    library: Any = ctypes.CDLL(arguments[0])
    node = _Node(Path(arguments[1]))
    gc.collect()
    gc.disable()
    for case in CASES:
        op, depth, clients, to_skip = case
        node.pass_over(to_skip)
        node.turns(op, depth, clients, WARM_TURNS, int)
        library.counting_begins()
        node.turns(op, depth, clients, turns_of(case), library.counting_goes_on)
        library.counting_ends(" ".join(map(str, case)).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
