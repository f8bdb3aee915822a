"""Records as lines of JSON: what goes in comes out, to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv.errors import BadArguments
from ckv.tools.records import Record, line_of, record_of
from ckv.values import MAX_EXPIRES, to_text

TEXTS = st.one_of(st.text(), st.binary().map(to_text))


@given(st.builds(Record, TEXTS, TEXTS | st.binary(), st.integers(0, MAX_EXPIRES)))
def test_a_record_survives(record: Record) -> None:
    line = line_of(record)
    assert line.isascii()
    assert line.isprintable()
    found = record_of(line.encode())
    assert found == record
    assert type(found.value) is type(record.value)


def test_other_spellings_are_read_too() -> None:
    assert record_of('{"value": "\u00fc", "key": "k"}\r\n'.encode()) == Record("k", "\u00fc")
    assert record_of('{"key": "\\ud83d\\ude00", "value": ""}') == Record("\U0001f600", "")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "7",
        "[]",
        '{"key": "k"}',
        '{"key": "k", "value": "v", "ttl": 5}',
        '{"key": "k", "value": 7}',
        '{"key": {"bin": "AA=="}, "value": "v"}',
        '{"key": "k", "value": {"bin": "?"}}',
        '{"key": "k", "value": {"bin": "A"}}',
        '{"key": "k", "value": {"bin": "", "str": ""}}',
        '{"key": "k", "value": "\\ud800"}',
        '{"key": "k", "value": "v", "expires": -1}',
        '{"key": "k", "value": "v", "expires": true}',
        b"\xff",
    ],
    ids=range(15),
)
def test_what_is_no_record_is_refused(line: str | bytes) -> None:
    with pytest.raises(BadArguments):
        record_of(line)


def test_a_deep_line_is_refused() -> None:
    with pytest.raises(BadArguments):
        record_of("[" * 100_000)
