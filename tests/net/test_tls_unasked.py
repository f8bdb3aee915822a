"""A peer that has OpenSSL work, and talk, though it says nothing itself: there is an end to that."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ckv.net.tls import MOST_UNASKED, MOST_UNOPENED, Seal, TlsTransport
from ckv.tls import new_context
from tests.support.certificate import Authority
from tests.support.tls12 import AGAIN, DATA, HANDSHAKE, Sealer

MUCH: Final = 1024 * 1024
"""Bytes that a socket has room for."""


class Ends(NamedTuple):
    """A node's end of a connection by TLS 1.2, and the socket of a peer that seals by itself."""

    node: TlsTransport
    peer: socket.socket
    sealer: Sealer

    def read(self) -> bytes:
        """What the node reads now."""
        try:
            return self.node.read(self.node.fd, 4096)
        except BlockingIOError:
            return b""

    def unread(self) -> int:
        """Bytes that the node has left in its socket."""
        return len(self.node._sock.recv(MUCH, socket.MSG_PEEK))


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    authority = Authority(tmp_path)
    node = authority.issue("node")
    seal = Seal(new_context(ssl.PROTOCOL_TLS_SERVER, node.path, node.key_path))
    sealer = Sealer(seal, authority.path, tmp_path / "keys")
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * 1024)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MUCH)
    theirs.setblocking(False)
    transport = TlsTransport(ours, seal)
    yield Ends(transport, theirs, sealer)
    theirs.close()
    transport.close()


def test_who_sends_a_lot_of_which_nothing_is_opened_is_cut_off(ends: Ends) -> None:
    """Else one read would go on as long as the peer does."""
    sent = b""
    while len(sent) < 3 * MOST_UNOPENED:
        sent += ends.sealer.record(HANDSHAKE, AGAIN)
    ends.peer.sendall(sent)
    with pytest.raises(OSError, match="says nothing"):
        ends.read()
    assert ends.unread()


def test_what_is_not_opened_counts_from_what_was_opened_last(ends: Ends) -> None:
    for _ in range(6):
        ends.peer.sendall(ends.sealer.record(DATA, b"a" * 16_000))
        assert len(ends.read() + ends.read() + ends.read() + ends.read()) == 16_000
    assert not ends.node._unopened


def unread_answers(ends: Ends, most: int) -> None:
    """The peer asks for answers of OpenSSL's, and for something in between, until so many bytes were sent."""
    again = 0
    while again < most:
        records = [ends.sealer.record(HANDSHAKE, AGAIN) for _ in range(100)]
        again += sum(map(len, records))
        ends.peer.sendall(b"".join(records) + ends.sealer.record(DATA, b"a"))
        assert ends.read() == b"a"


def test_who_does_not_read_what_it_has_openssl_say_is_cut_off(ends: Ends) -> None:
    with pytest.raises(OSError, match="does not read"):
        unread_answers(ends, 4 * MOST_UNASKED)


def test_the_same_while_a_message_is_unsent(ends: Ends) -> None:
    with pytest.raises(BlockingIOError):
        ends.node.write(ends.node.fd, b"x" * MOST_UNASKED)
    with pytest.raises(OSError, match="does not read"):
        unread_answers(ends, 4 * MOST_UNASKED)


def test_what_has_left_of_a_message_that_is_not_taken_yet_is_told(ends: Ends) -> None:
    """So that a peer that takes a large one slowly is not taken for silent."""
    with pytest.raises(BlockingIOError):
        ends.node.write(ends.node.fd, b"x" * MOST_UNASKED)
    before = ends.node.kept_bytes
    got = len(ends.peer.recv(MOST_UNASKED))
    with pytest.raises(BlockingIOError):
        ends.node.write(ends.node.fd, b"x" * MOST_UNASKED)
    assert ends.node.kept_bytes <= before - got
