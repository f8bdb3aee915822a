"""The requests and answers of EXEC as bytes."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv import errors
from ckv.protocol import steps
from ckv.protocol.steps import Asked, answers_of, packed_answers, packed_requests, requests_of

VALUES = st.one_of(st.text(), st.binary(), st.integers(-(2**63), 2**63), st.just("\udcff"))
REQUESTS = st.lists(st.tuples(st.text(max_size=9), st.lists(VALUES, max_size=steps.MAX_ARGUMENTS).map(tuple)))


@given(REQUESTS)
def test_requests_come_back(requests: list[Asked]) -> None:
    assert requests_of(packed_requests(requests)) == requests


@given(st.lists(st.tuples(st.none() | st.text(), st.one_of(VALUES, st.tuples(st.booleans(), VALUES)))))
def test_answers_come_back(answers: list[steps.Told]) -> None:
    assert answers_of(packed_answers(answers), len(answers)) == answers


def test_methods_may_be_bins() -> None:
    assert requests_of(packed_requests([(b"GET", (b"a",))])) == [("GET", (b"a",))]  # type: ignore[list-item]


@pytest.mark.parametrize(
    "parts",
    [
        ["GET"],
        ["GET", 1],
        ["GET", 2, "a"],
        ["GET", "a"],
        ["GET", -1],
        ["GET", steps.MAX_ARGUMENTS + 1, *range(steps.MAX_ARGUMENTS + 1)],
        ["GET", True, "a"],
        [1, 1, "a"],
        ["GET", 1, ["a"]],
        ["GET", 1, {"a": 1}],
        ["GET", 1, "a", "GET"],
    ],
)
def test_what_is_none(parts: list[object]) -> None:
    data = b"".join(map(msgpack.packb, parts))
    with pytest.raises(errors.BadArguments, match=r"^request \d is not its method"):
        requests_of(packed_requests([("GET", ("a",))] * 3) + data)


def test_bytes_that_are_cut_anywhere() -> None:
    data = packed_requests([("PUT", ("key", b"value"))])
    for end in range(1, len(data)):
        with pytest.raises(errors.BadArguments, match=r"^request 1 is not"):
            requests_of(data[:end])
    assert requests_of(b"") == []


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.BadArguments, match="must be a bin, not str"):
        requests_of("text")
    monkeypatch.setattr(steps, "MAX_REQUESTS", 3)
    assert len(requests_of(packed_requests([("GET", ("a",))] * 3))) == 3
    with pytest.raises(errors.BadArguments, match="a step has at most 3 requests"):
        requests_of(packed_requests([("GET", ("a",))] * 4))


def test_answers_of_something_else() -> None:
    for data in ("", packed_answers([(None, 1)])):
        with pytest.raises(ValueError, match="not the answers of a step"):
            answers_of(data, 2)
