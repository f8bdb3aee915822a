"""The order in which rows are locked is one and the same, whatever order they were given in."""

from __future__ import annotations

import random

from ckv.persistent.rows import TYPE_BIN, TYPE_STR, sorted_keys, sorted_rows
from ckv.values import Value, to_text


def test_rows_and_keys_are_in_the_order_of_their_bytes() -> None:
    # As text, the last would come before the third.
    order = [b"a", b"\xc3\xa9", b"\xee\x80\x80", b"\xf0\x9f\x94\x91", b"\xff"]
    records: list[tuple[str, Value]] = [(to_text(key), "1" if key == b"a" else b"2") for key in order]
    for seed in range(10):
        random.Random(seed).shuffle(records)
        assert sorted_keys(key for key, _ in records) == order
        assert sorted_rows(records) == [
            (key, b"1", TYPE_STR) if key == b"a" else (key, b"2", TYPE_BIN) for key in order
        ]


def test_each_key_comes_once() -> None:
    assert sorted_keys(["b", "a", "b"]) == [b"a", b"b"]
    assert sorted_rows([("b", "9"), ("a", ""), ("b", b"1")]) == [(b"a", b"", TYPE_STR), (b"b", b"1", TYPE_BIN)]
