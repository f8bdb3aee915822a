"""Random bytes and nearly right requests of clients of Redis, by hypothesis; hiredis judges."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ckv.redis.refused import REASONS
from ckv.redis.table import ROWS
from tests.fuzz.resp import one_input
from tests.protocol.resp.test_parsing import packed

names = st.sampled_from([name.encode() for name in ROWS if name != "quit"])
refused = st.sampled_from([name.encode() for names in REASONS.values() for name in names.split()])
arguments = st.one_of(
    st.sampled_from([b"a", b"b", b"c", b"0", b"1", b"-1", b"10", b"3", b"k" * 1024, b"k" * 1025, b"", b"\xff"]),
    st.sampled_from([b"NX", b"XX", b"GET", b"EX", b"PX", b"PERSIST", b"KEEPTTL", b"GT", b"LT", b"IFEQ", b"match"]),
    st.sampled_from([b"v" * 4096, b"v" * 4097, b"\r\n" * 20, b"9" * 19, b"1e400", b"SETNAME", b"ID", b"LIST"]),
    st.binary(max_size=20),
)
several = st.builds(
    lambda pairs, more, options: packed([b"MSETEX", b"%d" % (len(pairs) + more), *sum(pairs, ()), *options]),
    st.lists(st.tuples(arguments, arguments), max_size=4),
    st.sampled_from([0, 0, 0, 1, -1]),
    st.lists(st.sampled_from([b"NX", b"XX", b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL", b"1", b"1000001"]), max_size=3),
)
"""MSETEX, which arguments by chance are hardly ever: the number of its keys is that of the pairs mostly."""
requests = several | st.builds(
    lambda name, rest: packed([name, *rest]), names | refused | arguments, st.lists(arguments, max_size=5)
)
lines = st.builds(
    lambda words: b" ".join(words) + b"\r\n", st.lists(names | st.sampled_from([b"a", b"1", b'"a"']), max_size=4)
)
misspelt = st.builds(
    lambda request, mark, sign: request.replace(mark, mark + sign, 1),
    *(requests, st.sampled_from([b"*", b"$"]), st.sampled_from([b"0", b"+", b"-", b" ", b"1", b"*", b"$"])),
)
"""Whole but for a number that is none, or another one."""
heads = st.builds(
    lambda mark, number, end: mark + b"%d" % number + end,
    st.sampled_from([b"*", b"$", b":", b"*2\r\n$3\r\nGET\r\n$"]),
    st.integers(-(2**64), 2**64) | st.integers(-2, 5),
    st.sampled_from([b"\r\n", b"\n", b"", b"\r\n\r\n"]),
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(requests | lines, max_size=20))
def test_every_request_has_one_answer(sent: list[bytes]) -> None:
    one_input(b"".join(sent))


@settings(max_examples=1000, deadline=None)
@given(st.lists(requests | lines | misspelt | heads | st.binary(max_size=8), max_size=20), st.integers(0, 30))
def test_requests_that_are_nearly_right(sent: list[bytes], cut: int) -> None:
    stream = b"".join(sent)
    one_input(stream)
    one_input(stream[: max(0, len(stream) - cut)])


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=5000))
def test_any_bytes(data: bytes) -> None:
    one_input(data)
