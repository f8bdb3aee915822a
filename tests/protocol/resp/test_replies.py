"""Answers, read by hiredis, and errors."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv import errors
from ckv.protocol.resp.replies import RESP2, RESP3, Simple, Text, encode, error, error_of

VALUES = st.recursive(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.binary(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.binary(), inner)),
    max_leaves=20,
)


def read(data: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(data)
    value = reader.gets()
    assert reader.gets() is False
    return value


def as_resp2(value: Any) -> Any:
    if isinstance(value, dict):
        return [as_resp2(part) for pair in value.items() for part in pair]
    if isinstance(value, list):
        return [as_resp2(part) for part in value]
    return value


@given(VALUES)
def test_hiredis_reads_what_was_meant(value: Any) -> None:
    assert read(encode(value, RESP3)) == value
    assert read(encode(value, RESP2)) == as_resp2(value)


def test_what_only_one_version_has() -> None:
    assert encode(None, RESP2) == b"$-1\r\n"
    assert encode(None, RESP3) == b"_\r\n"
    assert encode(Text("a"), RESP3) == b"=5\r\ntxt:a\r\n"
    assert encode(Text("a"), RESP2) == b"$1\r\na\r\n"
    assert encode(frozenset({"a"}), RESP3) == b"~1\r\n$1\r\na\r\n"
    assert encode(Simple("a"), RESP2) == b"+a\r\n"
    assert encode(True, RESP3) == b"#t\r\n"
    assert encode("\udcff", RESP2) == b"$1\r\n\xff\r\n"


@given(st.text())
def test_an_error_is_one_line_whatever_it_quotes(text: str) -> None:
    answer = error(f"ERR {text}".encode("utf-8", "replace").decode())
    assert answer.startswith(b"-ERR ")
    assert answer.index(b"\r") == len(answer) - 2
    assert answer.index(b"\n") == len(answer) - 1


@pytest.mark.parametrize(
    ("raised", "begins"),
    [
        (errors.NoRoom("full"), b"-OOM NoRoom: full"),
        (errors.Starting("x"), b"-LOADING "),
        (errors.Draining("x"), b"-TRYAGAIN "),
        (errors.Overloaded("x"), b"-TRYAGAIN "),
        (errors.TierUnavailable("x"), b"-TRYAGAIN "),
        (errors.NodeDown("x"), b"-CLUSTERDOWN "),
        (errors.KeyTooLong("x"), b"-ERR KeyTooLong: x"),
        (errors.NotANumber("the value is not a valid float"), b"-ERR value is not a valid float\r\n"),
        (errors.NodeLost("x"), b"-ERR UNKNOWN NodeLost: x"),
        (errors.CallTimeout("x"), b"-ERR UNKNOWN CallTimeout: x"),
        (errors.CommitTimeout("x"), b"-ERR UNKNOWN CommitTimeout: x"),
        (errors.ServerError("x"), b"-ERR UNKNOWN ServerError: x"),
    ],
)
def test_what_becomes_of_errors(raised: errors.CkvError, begins: bytes) -> None:
    assert error_of(errors.to_wire(raised)).startswith(begins)
