"""The rows of a statement, compiled: byte for byte what they are in Python."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckv import core
from ckv.persistent.mysql.statements import literals, literals_in_python
from ckv.values import MAX_EXPIRES, Value, to_text

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

ALPHABET = b"a\x00'\\\x7f\xff\xc3\xa9"
"""What quotes, what is UTF-8 in part, and what is none."""

BYTES = st.binary(max_size=40) | st.lists(st.sampled_from(ALPHABET), max_size=4).map(bytes)
KEYS = BYTES.map(to_text)
ROWS = st.lists(st.tuples(KEYS, BYTES | KEYS), max_size=20)
WHEN = st.sampled_from([0, 1, MAX_EXPIRES])


@given(ROWS, st.dictionaries(KEYS, WHEN, max_size=3), st.lists(WHEN, max_size=20))
@example([("b", b"9"), ("a", ""), ("b", "1")], {}, [])
@example([("\udcff", "\udcc3("), ("é", "🔑"), ("", b"")], {"é": 7}, [])
def test_they_are_the_same(rows: list[tuple[str, Value]], others: dict[str, int], expiring: list[int]) -> None:
    expires = others | {key: when for (key, _), when in zip(rows, expiring, strict=False)}
    for each in (expires, {}):
        assert literals(rows, each) == literals_in_python(rows, each)


def test_large_ones() -> None:
    rows: list[tuple[str, Value]] = [(str(number) * 300, bytes([number]) * 100_000) for number in range(10)]
    assert literals(rows, {}) == literals_in_python(rows, {})


@pytest.mark.parametrize("row", [("a", None), ("a", 1), (b"a", "b"), (None, b""), ("a",)])
def test_what_is_no_row(row: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        literals([("b", "c"), row], {})  # type: ignore[list-item]
