"""Messages of clients of every kind, for hypothesis to choose from."""

from __future__ import annotations

from hypothesis import strategies as st

KEYS = ["", "a", "b", "key", "{tag}x", "ü", "k" * 300, "k" * 1024, "k" * 1025]
VALUES: list[object] = [
    "",
    "v",
    b"bin",
    "x" * 40,
    "x" * 300,
    "x" * 12_000,
    b"y" * 70_000,
    "x" * 17_000,
    "z" * 300_000,
    7,
    None,
    True,
]
MSGIDS = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 300, 2**64 - 1, -1, "seven", None]

keys = st.sampled_from(KEYS) | st.sampled_from(KEYS).map(str.encode) | st.text(max_size=5)
calls = st.one_of(
    st.tuples(st.just("GET"), st.tuples(keys)),
    st.tuples(st.just("PUT"), st.tuples(keys, st.sampled_from(VALUES))),
    st.tuples(st.sampled_from(["DEL", "EXISTS"]), st.tuples(keys)),
    st.tuples(st.sampled_from(["PING", "NONE", "GET", "PUT", b"GET", 7]), st.just(())),
)
requests = st.one_of(
    st.tuples(st.sampled_from(MSGIDS), calls).map(lambda sent: [0, sent[0], *sent[1]]),
    st.tuples(st.sampled_from(MSGIDS), st.lists(calls, max_size=40)).map(
        lambda sent: [0, sent[0], "BATCH", [part for call in sent[1] for part in call]]
    ),
    calls.map(lambda call: [2, *call]),
    st.just([0, 1, "BATCH", ["GET"]]),
)
