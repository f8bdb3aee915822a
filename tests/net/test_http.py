"""What is not HTTP, and clients that go in the middle of a request: a line of the log at most, and no traceback."""

from __future__ import annotations

import logging
import socket as plain_socket
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import gevent
import gevent.socket
import pytest

from ckv import logs
from ckv.address import Address
from ckv.net.http import HttpServer

RUBBISH: Final = {
    "a version of one number": b"GET / HTTP/1\r\n\r\n",
    "a version that is no number": b"GET / HTTP/x.y\r\n\r\n",
    "a later version": b"GET / HTTP/2.0\r\n\r\n",
    "no version": b"GET / FTP/1.0\r\n\r\n",
    "one word": b"GET\r\n\r\n",
    "another protocol": b"\x94\x00\x01\xa3GET\x91\xa1k",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(100)) + b"\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
    "a header of no name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "a header that goes on before it began": b"GET / HTTP/1.1\r\n x\r\n\r\n",
    "bytes that are no text": b"GET /\xff\xfe HTTP/1.1\r\n\xff: \xfe\r\n\r\n",
    "a length that is no number": b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    "a length below nothing": b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "chunks that are none": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "too many headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    "a head that is too long": b"GET / HTTP/1.1\r\n" + b"a: " + b"b" * 20_000 + b"\r\n\r\n",
    "a line that is too long": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
}


FAILURES: Final = {"/defect": LookupError("a defect"), "/timed-out": TimeoutError(110, "timed out")}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] in FAILURES:
        raise FAILURES[environ["PATH_INFO"]]
    start_response("200 OK", [("Content-Length", "2"), ("Connection", "close")])
    return [b"ok"]


@pytest.fixture
def address() -> Iterator[Address]:
    server = HttpServer(application)
    with gevent.Timeout(20, AssertionError("the test hangs")):
        yield server.listen(Address("127.0.0.1", 0))
        server.close()


def connected(address: Address) -> gevent.socket.socket:
    client = gevent.socket.socket()
    client.connect((address.host, address.port))
    return client


def answer(client: gevent.socket.socket) -> bytes:
    """All that comes until the end of the connection."""
    found = b""
    try:
        while more := client.recv(1000):
            found += more
    except ConnectionResetError:
        pass  # it had sent more than was read
    return found


def still_serves(address: Address) -> bool:
    with connected(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return answer(client).endswith(b"ok")


@pytest.mark.parametrize("data", RUBBISH.values(), ids=RUBBISH)
def test_what_is_not_http_writes_no_traceback(
    address: Address, data: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with connected(address) as client:
        client.sendall(data)
        client.shutdown(plain_socket.SHUT_WR)
        first = answer(client)
    assert first[:13] in (b"", b"HTTP/1.1 200 ", b"HTTP/1.1 400 ", b"HTTP/1.0 414 ", b"HTTP/1.1 414 "), first
    assert still_serves(address)
    assert capfd.readouterr() == ("", "")
    assert len(caplog.records) <= 1


@pytest.mark.parametrize(
    "data", [b"", b"GE", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\na: b\r\nc", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_a_client_that_is_gone_writes_nothing(
    address: Address, data: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = connected(address)
    client.sendall(data)
    gevent.sleep(0.01)  # so that what was sent is read, in most cases: it is to be well in all of them
    client.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    client.close()
    assert still_serves(address)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize(("path", "lines"), [("/defect", 1), ("/timed-out", 0)])
def test_a_failure_of_the_node_is_told_in_its_log_alone(
    address: Address, path: str, lines: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with connected(address) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert answer(client).startswith(b"HTTP/1.1 500 ")
    assert capfd.readouterr() == ("", "")
    assert [record.exc_info is not None for record in caplog.records] == [True] * lines


def test_it_is_said_once_a_minute_who_sends_what_is_not_http(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sparing = logs.Sparing()
    caplog.handler.addFilter(sparing)
    try:
        for _ in range(5):
            with connected(address) as client:
                client.sendall(b"GET / HTTP/1\r\n\r\n")
                assert answer(client).startswith(b"HTTP/1.1 400 ")
    finally:
        caplog.handler.removeFilter(sparing)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "127.0.0.1" in record.getMessage()
    assert sparing.suppressed == 4
