"""The parser of RESP requests against hiredis, the C library of Redis itself, on streams that are cut anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv.protocol.limits import Limits
from ckv.protocol.resp.inline import words_of
from ckv.protocol.resp.parsing import MAX_ARGUMENTS, MAX_INLINE_BYTES, Parser, Request

LIMITS = Limits(max_value_bytes=1000)

ARGUMENTS = st.one_of(
    st.sampled_from([b"GET", b"", b"\r\n", b"$3\r\nabc\r\n", b"*1\r\n", b"a\r", b"\nb"]),
    st.binary(max_size=20),
    st.builds(lambda byte, size: byte * size, st.sampled_from([b"x", b"\r\n", b"\x00"]), st.integers(1000, 1300)),
)
REQUESTS = st.lists(st.lists(ARGUMENTS, min_size=1, max_size=5), max_size=8)
CUTS = st.lists(st.integers(0, 10_000), max_size=12)


def packed(request: Iterable[bytes]) -> bytes:
    arguments = list(request)
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in arguments)


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(at)]


def parsed(parser: Parser, data: bytes, cuts: Iterable[int] = ()) -> list[Request]:
    return [request for piece in pieces(data, cuts) for request in parser.parse(piece)]


def by_hiredis(data: bytes, cuts: Iterable[int]) -> list[Request]:
    reader = hiredis.Reader()
    found: list[Request] = []
    for piece in pieces(data, cuts):
        reader.feed(piece)
        while (request := reader.gets()) is not False:
            found.append(request)
    return found


@given(REQUESTS, CUTS, st.integers(0, 40))
def test_as_hiredis_wherever_it_is_cut(requests: list[Request], cuts: list[int], missing: int) -> None:
    """And what is missing at the end leaves the rest as it is."""
    data = b"".join(map(packed, requests))
    data = data[: max(0, len(data) - missing)]
    parser = Parser(LIMITS)
    found = parsed(parser, data, cuts)
    assert found == by_hiredis(data, cuts)
    assert not parser.broken
    assert parser.is_between == (data == b"".join(map(packed, found)))


@pytest.mark.parametrize("value", [b"", b"a", b"a\r\nbc", b"\r\n", b"a\r\n", b"\r\n$1\r\na\r\n", b"$1"])
@pytest.mark.parametrize("before", [[], [b"GET"], [b"SET", b"k"], [b"SET", b"\r\n"], [b"MSET", b"a", b"b", b"c"]])
def test_cut_in_two_at_every_place(before: Request, value: bytes) -> None:
    """Also where the first piece looks like a whole request, for the value goes on behind a CRLF."""
    requests = [[*before, value], [*before, value], [b"PING"]]
    data = b"".join(map(packed, requests))
    for cut in range(1, len(data)):
        parser = Parser(LIMITS)
        first = parser.parse(data[:cut])
        assert first == requests[: len(first)]
        assert len(first) == sum(len(b"".join(map(packed, requests[:end]))) <= cut for end in (1, 2, 3))
        assert first + parser.parse(data[cut:]) == requests


@given(REQUESTS)
def test_byte_by_byte(requests: list[Request]) -> None:
    data = b"".join(map(packed, requests))
    assert parsed(Parser(LIMITS), data, range(len(data))) == requests


@given(
    st.lists(
        st.one_of(st.sampled_from([b"*", b"$", b"1", b"-", b"0", b"\r\n", b"a", b'"', b"'"]), st.binary(max_size=3))
    ),
    CUTS,
)
def test_rubbish_means_the_same_wherever_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole, cut = Parser(LIMITS), Parser(LIMITS)
    found = whole.parse(data) if data else []
    got: list[Request] = []
    for piece in pieces(data, cuts):
        if not cut.broken:
            got += cut.parse(piece)
    assert (got, cut.broken, cut.is_between) == (found, whole.broken, whole.is_between)
    assert all(found)


@given(REQUESTS, CUTS)
def test_what_was_kept_can_be_handed_out(requests: list[Request], cuts: list[int]) -> None:
    data = b"".join(map(packed, requests))
    parser = Parser(LIMITS)
    found: list[Request] = []
    for piece in pieces(data, cuts):
        kept = parser.take_kept()
        found += parser.parse(piece if kept is None else kept + piece)
    assert found == requests


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        (b"*400000000\r\n", "invalid multibulk length"),
        (b"*%d\r\n" % (MAX_ARGUMENTS + 1), "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*-0\r\n", "invalid multibulk length"),
        (b"*--1\r\n", "invalid multibulk length"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*" + b"1" * 20, "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$-10\r\n", "invalid bulk length"),
        (b"*1\r\n$00\r\n\r\n", "invalid bulk length"),
        (b"*1\r\n$9999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$%d\r\n" % (LIMITS.max_message_bytes + 1), "invalid bulk length"),
        (b"*1\r\n$" + b"1" * 20, "invalid bulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n$1\r\nabc", "no CRLF behind an argument"),
        (b"*3\r\n" + b"$40000\r\n%b\r\n" % (b"x" * 40_000) * 2, "a request of more than"),
        (b"x" * MAX_INLINE_BYTES, "too big inline request"),
        (b'GET "a\r\n', "unbalanced quotes in request"),
        (b"\x16\x03\x01", "a TLS handshake"),
    ],
)
def test_what_is_too_much_or_wrong_breaks_it(data: bytes, broken: str) -> None:
    for cuts in (range(0), range(0, len(data), 1 + len(data) // 50)):
        parser = Parser(LIMITS)
        good = packed([b"PING"])
        found = parser.parse(good)
        left = pieces(data, cuts)
        while left and not parser.broken:
            found += parser.parse(left.pop(0))
        assert found == [[b"PING"]]
        assert parser.broken.startswith(broken)
        assert not parser.is_between


@pytest.mark.parametrize("size", [LIMITS.max_value_bytes, LIMITS.max_message_bytes])
def test_what_is_just_not_too_much(size: int) -> None:
    request = [b"x" * size]
    assert parsed(Parser(LIMITS), packed(request), [size // 2]) == [request]
    most = [b""] * MAX_ARGUMENTS
    assert parsed(Parser(LIMITS), packed(most), [10, 100_000]) == [most]
    line = b"x" * (MAX_INLINE_BYTES - 1)
    assert Parser(LIMITS).parse(line + b"\n") == [[line]]


def test_no_request_and_empty_lines() -> None:
    assert Parser(LIMITS).parse(b"*0\r\n\r\n*-1\r\n*-10\r\n\n  \r\nPING\r\n" + packed([b"GET", b"a"])) == [
        [b"PING"],
        [b"GET", b"a"],
    ]


def test_the_middle_of_a_large_argument_tells_what_is_missing() -> None:
    parser = Parser(Limits())
    parser.parse(b"*1\r\n$500000\r\nabc")
    assert parser.missing == 500_000 + 2 - 3
    assert parser.take_kept() is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"  a  b\tc ", [b"a", b"b", b"c"]),
        (b"", []),
        (b'SET k "a \\"b\\" \\x00\\xfF\\n\\q"', [b"SET", b"k", b'a "b" \x00\xff\nq']),
        (b"SET k 'a \\' \\n'", [b"SET", b"k", b"a ' \\n"]),
        (b'SET k ""', [b"SET", b"k", b""]),
        (b'"a"b', None),
        (b"'a", None),
        (b'a "b', None),
    ],
)
def test_words(line: bytes, words: list[bytes] | None) -> None:
    assert words_of(line) == words
