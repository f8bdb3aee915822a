"""Random bytes and nearly right messages, by hypothesis. ``make fuzz`` searches longer, guided by coverage."""

from __future__ import annotations

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from ckv.values import ENCODING_ERRORS
from tests.fuzz.wire import one_input

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=50)
    | st.text(max_size=50)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
keys = st.sampled_from(["a", "b", "c", b"a", "", "k" * 1024, "k" * 1025, "\udcff"])
values = st.sampled_from(["", b"", "v", b"\xff", "v" * 4096, "v" * 4097, "é" * 2049, b"v" * 17000])
methods = st.sampled_from(["PUT", "GET", "DEL", "PING", "AUDIT", "PEEK", "RETRY"])
inner = st.lists(
    st.one_of(
        st.tuples(st.just("PUT"), st.tuples(keys, values)),
        st.tuples(st.sampled_from(["GET", "DEL", "PEEK"]), st.tuples(keys)),
        st.tuples(methods | st.just("BATCH") | anything, st.lists(keys | values, max_size=3) | anything),
    ),
    max_size=20,
).map(lambda pairs: [part for pair in pairs for part in pair])
requests = st.one_of(
    st.tuples(st.just(0), st.integers(-(2**63), 2**64 - 1), st.just("BATCH"), inner | anything),
    st.tuples(st.just(0), st.integers(0, 2**32 - 1), st.just("PUT"), st.tuples(keys, values)),
    st.tuples(st.just(0), st.integers(0, 2**32 - 1), st.sampled_from(["GET", "DEL"]), st.tuples(keys)),
    st.tuples(st.just(2), st.sampled_from(["PUT", "GET", "DEL"]), st.lists(keys | values, max_size=3)),
    st.tuples(
        st.just(0), st.integers(-(2**63), 2**64 - 1), methods.map(str.encode) | st.just(b"BATCH"), inner | anything
    ),
    st.tuples(st.just(2), methods | methods.map(str.encode) | anything, anything),
    st.tuples(st.sampled_from([0, 1, 2, 3]), anything, methods | anything, anything),
    anything,
)


numbered = st.builds(
    lambda count, *parts: (0, *parts)[:count],
    st.integers(2, 5),
    st.integers(-(2**63), 2**64 - 1) | st.none() | st.booleans() | st.floats() | st.text(max_size=50),
    methods | methods.map(str.encode) | st.sampled_from(["BATCH", b"BATCH", "HELLO"]) | anything,
    inner | anything,
    scalars,
)
notifications = st.builds(
    lambda count, *parts: (2, *parts)[:count],
    st.integers(1, 4),
    methods | methods.map(str.encode) | anything,
    inner | anything,
    scalars,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(numbered | notifications, max_size=5))
def test_nobody_is_cut_off_who_can_be_answered_or_wants_no_answer(messages: list[object]) -> None:
    assert one_input(b"".join(msgpack.packb(message, unicode_errors=ENCODING_ERRORS) for message in messages))


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=5000))
def test_any_bytes(data: bytes) -> None:
    one_input(data)


@settings(max_examples=1000, deadline=None)
@given(st.lists(requests, max_size=20), st.binary(max_size=10), st.integers(0, 30))
def test_messages_that_are_nearly_right(messages: list[object], tail: bytes, cut: int) -> None:
    stream = b"".join(msgpack.packb(message, unicode_errors=ENCODING_ERRORS) for message in messages)
    one_input(stream + tail)
    one_input(stream[: max(0, len(stream) - cut)])
