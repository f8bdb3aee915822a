"""What the client counts as sent by TLS is what the other end may have."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgpack

from ckv import Client, Tls
from ckv.client.connection import CHUNK_BYTES
from ckv.client.tls import sealed
from ckv.errors import Unreachable
from ckv.tls import new_context
from tests.support.certificate import Authority
from tests.support.nodes import ROOT, ckv_environment

TIMEOUT: Final = 20.0
"""Seconds for whatever this waits for; it takes a fraction of one."""


class Other:
    """The other end of connections by TLS."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        node = authority.issue("node")
        self.tls = Tls(authority.path)
        self._context = new_context(ssl.PROTOCOL_TLS_SERVER, node.path, node.key_path)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._listener.settimeout(TIMEOUT)
        self.port: int = self._listener.getsockname()[1]

    def accept(self) -> ssl.SSLSocket:
        """The next connection, when its handshake is over."""
        sock, _ = self._listener.accept()
        sock.settimeout(TIMEOUT)
        return self._context.wrap_socket(sock, server_side=True)


def sent_and_opened(folder: Path) -> tuple[int, int]:
    """Bytes that the client's socket has taken when it would have to wait, and those that have come to the other
    end when it is closed."""
    other = Other(folder)
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(other.accept)
        plain = socket.create_connection(("127.0.0.1", other.port), TIMEOUT)
        with sealed(plain, other.tls, "127.0.0.1") as ours, accepted.result() as theirs:
            ours.settimeout(0)
            sent = opened = 0
            try:
                while True:
                    count = ours.send(b"x" * CHUNK_BYTES)
                    assert count, "it has to raise"
                    sent += count
            except BlockingIOError:
                pass
            ours.shutdown(socket.SHUT_WR)
            while data := theirs.recv(65536):
                opened += len(data)
    return sent, opened


def test_what_is_not_counted_as_sent_is_not_opened(tmp_path: Path) -> None:
    sent, opened = sent_and_opened(tmp_path)
    assert 0 < opened == sent


def test_the_same_under_gevent(tmp_path: Path) -> None:
    """Whose sockets say in another way that they would have to wait."""
    program = f"""
from gevent import monkey; monkey.patch_all()
import pathlib
from tests.client.test_tls import sent_and_opened
sent, opened = sent_and_opened(pathlib.Path({str(tmp_path)!r}))
print(0 < opened == sent)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=ckv_environment(), cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_what_the_node_has_had_is_not_sent_again_when_it_breaks(tmp_path: Path) -> None:
    """Though the connection was kept, so that calls of which nothing was sent go over another one."""
    other = Other(tmp_path)
    had: list[int] = []

    def serve() -> None:
        with other.accept() as node:
            unpacker = msgpack.Unpacker()
            unpacker.feed(node.recv(65536))
            _, msgid, *_ = unpacker.unpack()
            node.sendall(msgpack.packb([1, msgid, None, [False, None]]))
            unpacker.feed(node.recv(65536))
            had.extend(msgid for _, msgid, *_ in unpacker)

    thread = threading.Thread(target=serve)
    thread.start()
    with Client("127.0.0.1", other.port, tls=other.tls, timeout=TIMEOUT, connect_timeout=2.0) as client:
        assert client.get("a") is None
        with client.pipeline() as pipeline:
            for number in range(20_000):
                pipeline.put(f"key {number}", "v" * 200)
            results = pipeline.execute(raise_on_error=False)
    thread.join()
    assert had
    unsent = [result for result in results if isinstance(result, Unreachable)]
    assert unsent, "it broke before all of it was sent"
    assert len(results) - len(unsent) >= len(had)
