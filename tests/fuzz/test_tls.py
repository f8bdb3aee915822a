"""Any bytes where TLS is spoken, and handshakes and records that are nearly right, by hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.tls import PLACES, SEEDS, Place, from_a_client, from_a_server, from_who_has_the_keys, one_input

HELLO = SEEDS[0][3:]

pieces = st.binary(min_size=2, max_size=2)
"""How the bytes are cut, and how many are read at a time."""
places = {place: bytes([number]) for number, place in enumerate(PLACES)}
changes = st.builds(
    lambda kind, at, rest: bytes([kind, *at.to_bytes(2, "little"), *rest]),
    st.integers(0, 6), st.integers(0, 1500), st.binary(max_size=3),
)  # fmt: skip
"""What becomes of the bytes between two ends that are sent at a time."""
records = st.builds(
    lambda kind, content, more: bytes([kind, content, len(more)]) + more,
    *(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]), st.integers(0, 4)),
    st.sampled_from([b"", b"", b"\1\0", b"\2\x28", b"\x18\0\0\1\0"]),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_what_begins_well(number: int) -> None:
    one_input(SEEDS[number])


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000))
def test_any_bytes(place: Place, data: bytes) -> None:
    one_input(places[place] + data)


@pytest.mark.parametrize("place", PLACES[:2])
@settings(max_examples=300, deadline=None)
@given(pieces, st.integers(0, len(HELLO) - 1), st.binary(max_size=4), st.integers(0, 4))
def test_a_first_message_that_is_nearly_right(place: Place, cut: bytes, at: int, other: bytes, less: int) -> None:
    one_input(places[place] + cut + HELLO[:at] + other + HELLO[at + less :])


@settings(max_examples=500, deadline=None)
@given(pieces, st.lists(changes, max_size=6))
def test_what_is_changed_on_the_way_to_a_node(cut: bytes, changed: list[bytes]) -> None:
    one_input(places[from_a_client] + cut + b"".join(changed))


@settings(max_examples=500, deadline=None)
@given(pieces, st.lists(changes, max_size=6))
def test_what_is_changed_on_the_way_to_a_server_and_back(cut: bytes, changed: list[bytes]) -> None:
    one_input(places[from_a_server] + cut + b"".join(changed))


@settings(max_examples=500, deadline=None)
@given(pieces, st.lists(records, max_size=8))
def test_records_of_who_has_the_keys(cut: bytes, sent: list[bytes]) -> None:
    one_input(places[from_who_has_the_keys] + cut + b"".join(sent))
