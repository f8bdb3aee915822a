"""A stream of requests is answered the same however it is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ckv import errors
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import KIB, Limits
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from tests.support.line import Nowhere, served
from tests.support.wire import pack

LIMITS = Limits(max_value_bytes=4 * KIB)

text = st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape"))
value = st.one_of(
    text, st.binary(max_size=40), st.binary(min_size=1000, max_size=5000), st.integers(-(2**63), 2**64 - 1)
)
params = st.lists(st.one_of(value, st.none(), st.booleans(), st.lists(value, max_size=3)), max_size=4)
method = st.sampled_from(["ECHO", "COUNT", "REFUSE", "LATER", "NONE", ""])
msgid = st.integers(0, 2**32 - 1)
message = st.one_of(
    st.tuples(st.just(0), msgid, method, params),
    st.tuples(st.just(2), method, params),
)
rubbish = st.sampled_from([b"", b"\xc1", b"\x05", b"\x94\x01\x02\xc0\xc0", b"\x91" * 2000, b"\xdd\xff\xff\xff\xff"])


def answered(pieces: list[bytes]) -> tuple[bytes, int, str]:
    """What a new session answers, how many requests wait, and how it ended."""
    count = 0

    def number(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        nonlocal count
        count += 1
        return count

    def refuse(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        raise errors.BadArguments(f"{len(params)}")

    methods = RpcMethods(
        {
            "ECHO": lambda _caller, _msgid, params: params,
            "COUNT": number,
            "REFUSE": refuse,
            "LATER": lambda _caller, _msgid, _params: LATER,
        },
        LIMITS,
    )
    line = Nowhere()
    session = RpcSession(line, methods)
    sent = b""
    for piece in pieces:
        if piece and not session.failed:
            sent += served(session, line, piece)
    return sent, session.in_flight, session.failed


@given(st.lists(message, max_size=10), rubbish, st.data())
def test_the_cuts_do_not_matter(messages: list[tuple[object, ...]], rubbish: bytes, data: st.DataObject) -> None:
    stream = b"".join(map(pack, messages)) + rubbish
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20), label="cuts"))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert answered(pieces) == answered([stream])


@given(st.lists(message, max_size=5), rubbish)
def test_every_byte_by_itself(messages: list[tuple[object, ...]], rubbish: bytes) -> None:
    stream = b"".join(map(pack, messages)) + rubbish
    assert answered([bytes([byte]) for byte in stream]) == answered([stream])


def test_the_answers_are_right() -> None:
    """The two tests above compare; this one says with what."""
    stream = [
        [0, 1, "COUNT", []],
        [2, "COUNT", []],
        [0, 2, "COUNT", []],
        [0, 3, "ECHO", ["x", b"y"]],
        [0, 4, "LATER", []],
    ]
    sent, deferred, error = answered([b"".join(map(pack, stream))])
    assert sent == pack([1, 1, None, 1]) + pack([1, 2, None, 3]) + pack([1, 3, None, ["x", b"y"]])
    assert (deferred, error) == (1, "")
