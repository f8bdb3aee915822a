"""Any bytes where TLS is spoken, in both directions: the target that hypothesis (in the tests) and atheris drive.

make fuzz FUZZ_TARGET=tls FUZZ_SECONDS=600     # coverage-guided, as tests.fuzz.wire

The first byte says in which place. Whatever arrives, a connection goes on or ends by an OSError, and what is read is
what the other end has sealed, or the beginning of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ckv.net.tls import MOST_UNASKED, Seal
from ckv.net.tls_stream import shake_hands
from ckv.protocol.resp.parsing import FIRST_BYTES, TLS
from tests.fuzz.choices import Choices
from tests.fuzz.search import search
from tests.fuzz.tls_ends import CA, CLIENT, FOLDER, HOST, MUCH, PLAIN_TOO, TLS_ONLY, Bytes, NodeEnd, ServerEnd, Way
from tests.support.tls12 import AGAIN, DATA, HANDSHAKE, Sealer

ALERT: Final = 21
KINDS: Final = (DATA, HANDSHAKE, ALERT, 20, 24, 0)
"""Of records; the last ones are a change of keys, a heartbeat, and what there is not."""

END: Final = b"\1\0"
"""The alert that nothing more comes."""

Place = Callable[[Choices], None]

LONG: Final = bytes(range(256)) * 80
"""Longer than a record can be."""


def to_a_node(choices: Choices) -> None:
    """From somebody who has no handshake; cut into pieces, to a node that takes nothing but TLS."""
    end = NodeEnd(choices)
    data = choices.taken(choices.left)
    end.arrives(data, is_last=True)
    said = end.said()
    if data and data[0] != TLS:
        assert said == (b"-ERR this port takes TLS only\r\n" if data[0] in FIRST_BYTES else b"")
    assert not end.opened, "something came in without a handshake"
    assert not end.handshakes.done
    assert len(said) < MOST_UNASKED
    end.end()


def to_one_that_takes_both(choices: Choices) -> None:
    """The same where clients may do without TLS: the first byte decides."""
    end = NodeEnd(choices, PLAIN_TOO)
    data = choices.taken(choices.left)
    end.arrives(data)
    end.end()
    assert end.opened == (b"" if data[:1] == bytes([TLS]) else data)
    assert not end.handshakes.done


def from_a_client(choices: Choices) -> None:
    """A handshake and messages of a real client and a real node, changed on the way in both directions."""
    end, client, way = NodeEnd(choices), Seal(CLIENT.context, HOST), Way(choices)
    sent = got = b""
    written = 0
    try:
        while not (is_open := client.shake_hands()):
            flight = client.take()
            if not flight:
                break
            end.arrives(way.carried(flight))
            client.arrived(way.carried(end.said()))
        for _ in range(choices.below(4) + 1 if is_open else 0):
            message = choices.one_of((b"a", LONG, b"b" * 479, b"c" * 480))
            client.seal(message)
            sent += message
            end.arrives(way.carried(client.take()))
            written += end.write(LONG)
            client.arrived(way.carried(end.said()))
            while opened := client.open(MUCH):
                got += opened
    except OSError:
        assert way.is_changed, "what nobody has changed was refused"
    assert sent.startswith(end.opened), "something else was read than was sent"
    assert (LONG * 4).startswith(got)
    if not way.is_changed:
        assert end.opened == sent
        assert len(got) == written > 0
        assert end.handshakes.done == 1
    end.end()


def from_who_has_the_keys(choices: Choices) -> None:
    """Records of any kind and content, sealed rightly, behind a handshake: who has logged in may send them."""
    keys = FOLDER / "keys"
    keys.unlink(missing_ok=True)
    seal = Seal(TLS_ONLY.server)
    sealer = Sealer(seal, CA, keys)
    end = NodeEnd(choices, seal=seal)
    sent = sealed = b""
    is_data_alone = True
    while choices.left:
        kind = choices.one_of(KINDS)
        content = choices.one_of((b"", AGAIN, END, LONG[: 2**14], LONG[: 2**14 + 1])) + choices.taken(choices.below(64))
        sent += content if kind == DATA else b""
        sealed += sealer.record(kind, content)
        if kind == ALERT and content == END and is_data_alone:
            break
        is_data_alone = is_data_alone and kind == DATA and 0 < len(content) <= 2**14
    end.arrives(sealed, is_last=choices.once_in(2))
    assert sent.startswith(end.opened), "something else was read than was sent"
    assert not is_data_alone or (end.opened == sent and end.failure is None)
    assert len(end.said()) <= 2 * MOST_UNASKED
    end.end()


def to_a_caller(choices: Choices) -> None:
    """What a server says that is none, to a client that wants TLS."""
    size = choices.one_of((65_536, 1, 100))
    try:
        shake_hands(Bytes(choices.taken(choices.left), size), CLIENT, HOST)
    except OSError:
        return
    raise AssertionError("a handshake with nobody")


def from_a_server(choices: Choices) -> None:
    """A handshake and what a real server sends back, changed on the way in both directions."""
    way = Way(choices)
    sock = ServerEnd(way, choices.one_of((65_536, 5, 100)))
    message = choices.one_of((b"a", LONG))
    got = b""
    try:
        stream = shake_hands(sock, CLIENT, HOST)
        stream.sendall(message)
        while data := stream.recv(choices.one_of((65_536, 1, 479))):
            got += data
    except OSError:
        assert way.is_changed, "what nobody has changed was refused"
    assert message.startswith(got), "something else was read than was sent"
    assert way.is_changed or got == message


PLACES: Final[tuple[Place, ...]] = (
    *(to_a_node, to_one_that_takes_both, from_a_client, from_who_has_the_keys, to_a_caller, from_a_server),
)
"""Where bytes may arrive."""


def one_input(data: bytes) -> None:
    """Raises when anything else comes of the bytes than the place allows."""
    choices = Choices(data)
    choices.one_of(PLACES)(choices)


def _hello() -> bytes:
    """What a client sends first."""
    seal = Seal(CLIENT.context, HOST)
    seal.shake_hands()
    return seal.take()


SEEDS: Final = (
    *(b"\0\0\0" + _hello(), b"\0\0\0*1\r\n$4\r\nPING\r\n", b"\1\0\0" + _hello(), b"\1\0\0*1\r\n$4\r\nPING\r\n"),
    *(b"\2\0\0", b"\2\0\0" + b"\0" * 30, b"\2\1\1", b"\4\0\x16\3\3", b"\5\0\0"),
    b"\3\0\0" + b"\0\0\5hello" * 2,
    b"\3\0\0" + b"\0\0\5hello" * 2 + b"\2\2\0",
    b"\3\0\0" + b"\0\0\5hello" + b"\2\2\0\1",
    b"\3\0\0" + b"\0\0\5hello" + b"\1\1\0" + b"\0\3\0",
)
"""What begins well in each place."""


if __name__ == "__main__":
    search(one_input, SEEDS)
