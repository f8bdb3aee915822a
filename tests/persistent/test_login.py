"""Login methods that ckv has not: said in words, whatever PyMySQL makes of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ckv.errors import TierUnavailable
from ckv.persistent.opening import open_tier

PROTOCOL_41_AND_LATER = 0x000A_A200
PLUGIN_AUTH = 0x0008_0000


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def greeting() -> bytes:
    flags = PROTOCOL_41_AND_LATER | PLUGIN_AUTH
    return (
        b"\x0a5.5.5-10.11.19-MariaDB\0" + (1).to_bytes(4, "little") + b"scramble\0"
        + (flags & 0xFFFF).to_bytes(2, "little") + b"\x21\0\0" + (flags >> 16).to_bytes(2, "little")
        + b"\x15" + bytes(10) + b"and the rest\0" + b"mysql_native_password\0"
    )  # fmt: skip


@contextmanager
def server_that_asks_for(plugin: str) -> Iterator[str]:
    """The address of a server that greets, and answers any login with the wish for another plugin."""

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as client:
            client.sendall(packet(0, greeting()))
            client.recv(65536)
            client.sendall(packet(2, b"\xfe" + plugin.encode() + b"\0" + bytes(32)))
            client.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("plugin", "named"),
    [("client_ed25519", "ed25519.*PyNaCl"), ("parsec", "parsec"), ("auth_gssapi_client", "auth_gssapi_client")],
)
def test_a_method_that_does_not_work_is_named(plugin: str, named: str) -> None:
    with server_that_asks_for(plugin) as address, pytest.raises(TierUnavailable, match=named) as caught:
        open_tier(f"mysql://ckv:secret@{address}/celonis", environ={}).connect()
    assert "docs/configuration.md" in str(caught.value)
    assert "secret" not in str(caught.value)
