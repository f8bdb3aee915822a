"""TLS on the Poller's sockets: whatever a client sends, in whatever pieces."""

from __future__ import annotations

import os
import socket as plain_socket
from collections.abc import Iterator
from pathlib import Path

import gevent
import gevent.socket
import gevent.ssl
import pytest

from ckv.net import handshakes
from ckv.net.tls import MOST_ARRIVED, Seal, TlsTransport
from ckv.protocol.limits import RECV_BYTES_OF_ONE
from tests.net.conftest import Lines, World, interpreted, until
from tests.net.sealed import LARGE, Sealed, SealedAsker
from tests.support.wire import pack


@pytest.fixture
def sealed(world: World, tmp_path: Path) -> Sealed:
    return Sealed(world, tmp_path)


def test_large_and_small_messages_go_both_ways(sealed: Sealed) -> None:
    client = SealedAsker(sealed)
    for number in range(3):
        client.send([0, number, "ECHO", [LARGE]], [0, 10 + number, "ECHO", ["a"]])
        assert client.answers(2) == [[number, None, [LARGE]], [10 + number, None, ["a"]]]
    client.socket.close()


def test_who_reads_late_gets_all_of_it_in_order(sealed: Sealed) -> None:
    """The socket takes a part of what was sealed, again and again."""
    client = SealedAsker(sealed, receive_buffer=64 * 1024)
    writer = gevent.spawn(client.send, *([0, number, "ECHO", [LARGE[number:]]] for number in range(8)))
    until(lambda: any(connection.unsent_bytes for connection in sealed.server._connections), "answers are unsent")
    gevent.sleep(0.05)
    assert [len(client.answer()[2][0]) for _ in range(8)] == [len(LARGE) - number for number in range(8)]
    writer.get()
    client.socket.close()


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_handshake_and_requests_may_come_in_any_pieces(sealed: Sealed, size: int) -> None:
    sock, seal = sealed.plain(), sealed.seal()

    def send(data: bytes) -> None:
        for at in range(0, len(data), size):
            sock.sendall(data[at : at + size])
            if size > 1 or at % 50 == 0:
                gevent.sleep(0)

    while not seal.shake_hands():
        send(seal.take())
        seal.arrived(sock.recv(size))
    seal.seal(pack([0, 1, "ECHO", ["a"]]))
    seal.seal(pack([0, 2, "ECHO", ["b"]]))
    send(seal.take())
    answer = b""
    while len(answer) < len(pack([1, 1, None, ["a"]]) * 2):
        opened = seal.open(65536)
        if opened is None:
            seal.arrived(sock.recv(size))
        else:
            assert opened
            answer += opened
    assert answer == pack([1, 1, None, ["a"]]) + pack([1, 2, None, ["b"]])
    sock.close()


@pytest.mark.parametrize("says_so", [True, False], ids=["with a word", "without"])
def test_who_closes_the_sending_side_gets_the_answers(sealed: Sealed, world: World, says_so: bool) -> None:
    """In the same write as the last request, so that nothing else arrives."""
    sock, seal = sealed.shaken()
    seal.seal(pack([0, 1, "LATER", ["a"]]))
    if says_so:
        seal.end()
    sock.sendall(seal.take())
    if not says_so:
        sock.shutdown(plain_socket.SHUT_WR)
    until(lambda: world.later.has(1), "the request is there")
    world.later.answer()
    data = b""
    while (opened := seal.open(65536)) != b"":
        if opened is None:
            seal.arrived(sock.recv(65536))
        else:
            data += opened
    assert data == pack([1, 1, None, ["a"]])
    assert sock.recv(1) == b""
    until(lambda: not sealed.server.connections, "the connection is closed")


def test_many_requests_leave_in_one_write_and_are_all_answered(sealed: Sealed) -> None:
    client = SealedAsker(sealed)
    client.send(*([0, number, "ECHO", ["x" * 300]] for number in range(2000)))
    assert [answer[0] for answer in client.answers(2000)] == list(range(2000))
    client.socket.close()


# --- one socket ----------------------------------------------------------------------------------------------------


@pytest.fixture
def both_ends(sealed: Sealed) -> Iterator[tuple[TlsTransport, plain_socket.socket, Seal]]:
    """A node's end of a connection whose handshake is over, and the socket and the seal of the other end."""
    client, server = sealed.seal(), sealed.handshakes.new_seal()
    while not (client.shake_hands() & server.shake_hands()):
        server.arrived(client.take())
        client.arrived(server.take())
    ours, theirs = plain_socket.socketpair()
    ours.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_SNDBUF, 8 * 1024)
    transport = TlsTransport(ours, server)
    yield transport, theirs, client
    theirs.close()
    transport.close()


def test_what_was_sealed_counts_as_taken_when_all_of_it_has_left(
    both_ends: tuple[TlsTransport, plain_socket.socket, Seal],
) -> None:
    transport, theirs, client = both_ends
    data = os.urandom(60_000)
    got = b""
    refused = 0
    while True:
        try:
            assert transport.write(transport.fd, data) == len(data)
            break
        except BlockingIOError:
            refused += 1
        client.arrived(theirs.recv(65536))
    assert refused
    client.arrived(theirs.recv(2**20))
    while opened := client.open(65536):
        got += opened
    assert got == data


def test_what_is_unsent_when_it_is_closed_is_dropped(
    both_ends: tuple[TlsTransport, plain_socket.socket, Seal],
) -> None:
    """As of any connection: it may be what nobody is to have any more."""
    transport, theirs, client = both_ends
    with pytest.raises(BlockingIOError):
        transport.write(transport.fd, b"x" * 60_000)
    already = theirs.recv(2**20)
    transport.close()
    assert theirs.recv(2**20) == b""
    client.arrived(already)
    while client.open(65536):
        pass


def test_all_that_is_there_is_read_though_a_record_ends_where_a_read_does(
    both_ends: tuple[TlsTransport, plain_socket.socket, Seal],
) -> None:
    transport, theirs, client = both_ends
    record = b"x" * (1024 - 22)  # what TLS 1.3 puts around it
    for _ in range(MOST_ARRIVED // 1024 + 1):
        client.seal(record)
    data = client.take()
    assert len(data) == MOST_ARRIVED + 1024
    theirs.sendall(data)
    assert len(transport.read(transport.fd, 2**20)) == len(record) * (MOST_ARRIVED // 1024 + 1)
    with pytest.raises(BlockingIOError):
        transport.read(transport.fd, 2**20)


def test_what_is_left_of_a_record_is_read_at_once(
    both_ends: tuple[TlsTransport, plain_socket.socket, Seal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not in as small pieces as a request has that comes alone: OpenSSL would be asked after each."""
    transport, theirs, client = both_ends
    reads: list[int] = []
    read = os.read

    def counted(fd: int, size: int) -> bytes:
        reads.append(len(data := read(fd, size)))
        return data

    monkeypatch.setattr(os, "read", counted)
    data = os.urandom(16_000)
    client.seal(data)
    theirs.sendall(client.take())
    assert transport.read(transport.fd, RECV_BYTES_OF_ONE) == data[:RECV_BYTES_OF_ONE]
    assert reads[0] == RECV_BYTES_OF_ONE
    assert len(reads) == 2
    assert transport.read(transport.fd, 2**20) == data[RECV_BYTES_OF_ONE:]


# --- handshakes ----------------------------------------------------------------------------------------------------


def test_a_handshake_that_is_cut_anywhere_costs_nobody_anything(sealed: Sealed) -> None:
    hello = sealed.hello()
    cut = [sealed.plain() for _ in range(0, len(hello), 16)]
    for number, sock in enumerate(cut):
        sock.sendall(hello[: number * 16])
        sock.shutdown(plain_socket.SHUT_WR)
    for sock in cut:
        while sock.recv(65536):
            pass
    until(lambda: not sealed.server.connections, "all of them are closed")
    assert not sealed.handshakes._since
    client = SealedAsker(sealed)
    client.send([0, 1, "ECHO", []])
    assert client.answer() == [1, None, []]
    client.socket.close()


@interpreted
def test_who_does_not_go_on_with_a_handshake_is_cut_off(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch, log: Lines
) -> None:
    monkeypatch.setattr(handshakes, "TIMEOUT", 0.2)
    client = SealedAsker(sealed)
    silent, half = sealed.plain(), sealed.plain()
    half.sendall(sealed.hello()[:100])
    assert (silent.recv(1), half.recv(1)) == (b"", b"")
    assert log.having("no TLS handshake within")
    assert sealed.handshakes.failures == 2
    client.send([0, 1, "ECHO", []])
    assert client.answer() == [1, None, []]
    client.socket.close()


def test_what_was_sent_in_one_session_is_worth_nothing_in_another(sealed: Sealed, world: World) -> None:
    sock, seal = sealed.plain(), sealed.seal()
    sent: list[bytes] = []

    def send() -> None:
        sent.append(seal.take())
        sock.sendall(sent[-1])

    while not seal.shake_hands():
        send()
        seal.arrived(sock.recv(65536))
    seal.seal(pack([0, 1, "LATER", ["a"]]))
    send()
    until(lambda: world.later.has(1), "the request is there")
    again = sealed.plain()
    again.sendall(b"".join(sent))
    while again.recv(65536):
        pass
    until(lambda: sealed.server.connections == 1, "the other one is closed")
    assert world.later.has(1)
    sock.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16" * 100,
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x03\xff\xff" + b"x" * 70_000,
        b"\x16\x03\x01\x00\x00" * 50,
    ],
    ids=["nothing like it", "no hello", "too long a record", "empty records"],
)
def test_what_only_begins_like_a_handshake_is_closed(sealed: Sealed, data: bytes) -> None:
    sock = sealed.plain()
    try:
        sock.sendall(data)
        sock.shutdown(plain_socket.SHUT_WR)
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    until(lambda: not sealed.server.connections, "the connection is closed")


def test_what_is_changed_on_the_way_ends_the_connection(sealed: Sealed) -> None:
    sock, seal = sealed.shaken()
    seal.seal(pack([0, 1, "ECHO", ["a"]]))
    data = bytearray(seal.take())
    data[-1] ^= 1
    sock.sendall(data)
    with pytest.raises(OSError, match="bad record mac"):
        while seal.open(65536) is None:
            seal.arrived(sock.recv(65536))
    until(lambda: not sealed.server.connections, "the connection is closed")


# --- without TLS ---------------------------------------------------------------------------------------------------


def test_plain_bytes_end_the_connection(sealed: Sealed, log: Lines) -> None:
    sock = sealed.plain()
    sock.sendall(pack([0, 1, "ECHO", ["a"]]))
    assert sock.recv(100) == b""
    assert log.having("this port takes nothing else")
    sock = sealed.plain()
    sock.sendall(b"*1\r\n$4\r\nPING\r\n")
    assert sock.recv(100) == b"-ERR this port takes TLS only\r\n"
    assert sock.recv(100) == b""


def test_where_both_are_taken_the_first_byte_decides(world: World, tmp_path: Path) -> None:
    sealed = Sealed(world, tmp_path, takes_plain=True)
    silent = sealed.plain()
    client, other = SealedAsker(sealed), world.ask(sealed.address)
    for asker in (client, other):
        asker.send([0, 1, "ECHO", [LARGE]])
        assert asker.answer() == [1, None, [LARGE]]
    plain = [connection for connection in sealed.server._connections if connection._transport.is_plain]
    assert len(plain) == 1
    assert plain[0].read is plain[0]._transport.read
    assert not sealed.handshakes._since
    silent.close()
    client.socket.close()
