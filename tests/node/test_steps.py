"""EXEC and DIGEST at a secondary: what is carried out together, what it answers, and what it refuses."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest

from ckv import errors
from ckv.node import steps
from ckv.node.secondary import record_handlers
from ckv.protocol.handler import LATER
from ckv.protocol.session import Session
from ckv.protocol.steps import PRESENT, Asked, answers_of, packed_requests
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from tests.support.line import Nowhere

MAX_VALUE_BYTES = 100


class Client(Session):
    """A client whose answers have the order of its requests."""

    in_order = True

    def __init__(self) -> None:
        super().__init__(Nowhere(), 10)
        self.answers: list[tuple[int, object, Any]] = []

    def respond(self, msgid: int, error: object, result: object) -> None:
        self.answers.append((msgid, error, result))

    def is_held(self) -> bool:
        return self.line.held


class Node:
    """A store, and its methods, called by their names."""

    def __init__(self, mode: str = "", tier: dict[str, Any] | None = None) -> None:
        self.tier = tier or {}
        self.now = 0.0
        memory = POLICIES["lru"](100)
        if mode:
            environment = Environment(clock=lambda: self.now, load_timeout=5, pending_wait=1)
            self.store: Any = MODES[mode](memory, Pending(100, 1 << 30), environment)
        else:
            self.store = MemoryStore(memory)
        store: Records = self.store
        self.handlers = record_handlers(store, MAX_VALUE_BYTES)
        self.client = Client()

    def __call__(self, method: str, *params: object, msgid: int = 0) -> Any:
        return self.handlers[method](self.client, msgid, params)

    def exec(self, *requests: Asked) -> Any:
        """The answers, as they are within the process."""
        result = self("EXEC", list(requests))
        if result is LATER:
            return LATER
        is_done, answers = result
        return [error or result for error, result in answers] if is_done else None

    def load(self) -> None:
        query = self.store.load_begin()
        self.store.load_end(query, {load.key: self.tier[load.key] for load in query.loads if load.key in self.tier})

    def flush(self) -> None:
        batch = self.store.flush_begin()
        self.store.flush_end(batch)
        self.store.admit()


def test_all_methods_of_records() -> None:
    node = Node()
    assert node.exec(
        *(("PUT", ("a", b"1")), ("GET", ("a",)), ("INCRBY", ("a", 4)), ("GET", ("a",)), ("APPEND", ("a", b"0"))),
        *(("STRLEN", ("a",)), ("EXISTS", ("b",)), ("PUTEX", ("b", "x", 2**50)), ("EXPIRETIME", ("b",))),
        *(("EXPIRE", ("b", 0, "")), ("EXPIRETIME", ("b",)), ("SET", ("a", b"2", 0, "NX", "", "GET"))),
        ("EXTEND", ("a", b"50", 1, 0)),
        *(("DELIFEQ", ("a", b"50")), ("INCRBYFLOAT", ("c", "1.5")), ("GETDEL", ("c",)), ("GET", ("c",))),
        *(("DEL", ("b",)), ("DEL", ("b",)), ("EXPIRETIME", ("b",)), ("DIGEST", ("b",))),
    ) == [
        *(True, (True, b"1"), 5, (True, b"5"), 2, 2, False, True, 2**50, 1, -1, (False, True, b"50")),
        *(False, True, "1.5", (True, "1.5"), (False, ""), True, False, -2, b""),
    ]  # fmt: skip
    assert node.store.keys() == []


def test_errors_stand_in_their_places_and_the_others_are_carried_out() -> None:
    node = Node()
    answers = node.exec(
        *(("PUT", ("a", b"x")), ("INCRBY", ("a", 1)), ("PUT", ("k" * 1025, b"x")), ("PUT", ("b",)), ("PUT", ())),
        *(("PUT", ("b", b"x" * 101)), ("GET", (1,)), ("PUT", ("b", b"y")), ("EXPIRE", ("b", "never", ""))),
    )
    texts = [answer.partition(":")[0] if isinstance(answer, str) else answer for answer in answers]
    assert texts == [
        *(True, "NotANumber", "KeyTooLong", "BadArguments", "BadArguments"),
        *("ValueTooLarge", "BadArguments", True, "BadArguments"),
    ]
    assert node("GET", "b") == (True, b"y")


@pytest.mark.parametrize("method", ["EXEC", "PING", "INFO", "SCAN", "PEEK", "NOSUCH"])
def test_what_is_no_method_of_a_step_refuses_all(method: str) -> None:
    node = Node()
    with pytest.raises(errors.BadArguments, match="no method of a step; there are APPEND, COUNT, DEL, "):
        node.exec(("PUT", ("a", b"x")), (method, ("a",)))
    for wrong in ((), ("a", b"", b""), ("a", 1)):
        with pytest.raises(errors.BadArguments, match="WATCHED is a key and a digest"):
            node.exec(("PUT", ("a", b"x")), ("WATCHED", wrong))
    with pytest.raises(errors.BadArguments, match="2 arguments; it is EXEC requests"):
        node("EXEC", b"", b"")
    assert node("GET", "a") == (False, "")


def test_it_travels_packed() -> None:
    node = Node()
    requests: list[Asked] = [("PUT", ("a", b"\xff")), ("GET", (b"a",)), ("INCRBY", ("a", 1))]
    is_done, data = node("EXEC", packed_requests(requests))
    assert is_done is True
    assert answers_of(data, 3) == [
        *((None, True), (None, (True, b"\xff"))),
        ("NotANumber: the value is not an integer or out of range", None),
    ]
    assert node("EXEC", packed_requests([("WATCHED", ("a", b"")), *requests])) == [False, b""]


def test_a_record_that_has_to_be_there() -> None:
    node = Node()
    node("PUT", "a", b"1")
    wanted: list[Asked] = [("WATCHED", ("a", PRESENT))]
    assert node.exec(*wanted, ("PUT", ("c", b"1"))) == [True]
    assert node.exec(*wanted, ("WATCHED", ("b", PRESENT)), ("PUT", ("c", b"2"))) is None
    node("DEL", "a")
    assert node.exec(*wanted, ("PUT", ("c", b"2"))) is None
    assert node("GET", "c") == (True, b"1")


def test_what_is_watched_is_compared_first() -> None:
    node = Node()
    node("PUT", "a", b"1")
    first = node("DIGEST", "a")
    assert node.exec(("WATCHED", ("a", first)), ("WATCHED", ("b", b"")), ("PUT", ("b", b"1"))) == [True]
    assert node.exec(("WATCHED", ("a", first)), ("WATCHED", ("b", b"")), ("PUT", ("c", b"1"))) is None
    digests = {first}
    for method, params in (
        *(("PUT", ("a", b"2")), ("PUT", ("a", "2")), ("PUTEX", ("a", b"2", 2**50)), ("EXPIRE", ("a", 2**51, ""))),
        ("DEL", ("a",)),
    ):
        node(method, *params)
        digests.add(node("DIGEST", "a"))
        assert node.exec(("WATCHED", ("a", first)), ("PUT", ("c", b"1"))) is None, method
    assert len(digests) == 6, "value, type and expiry are told apart"
    assert node("GET", "c") == (False, "")
    node("PUT", "a", b"1")
    assert node("DIGEST", "a") == first, "the same record is told as the same"


@pytest.mark.parametrize("mode", MODES)
def test_it_is_begun_when_all_is_loaded_and_holds_its_client_until_then(mode: str) -> None:
    node = Node(mode, {"a": b"1", "b": b"2"})
    assert node.exec(("INCRBY", ("a", 1)), ("PUT", ("c", b"3")), ("GET", ("b",)), ("GET", ("a",))) is LATER
    assert node.client.is_held()
    assert "c" not in node.store.memory
    assert "c" not in node.store.pending, "nothing of it is begun"
    node.load()
    assert not node.client.is_held()
    if mode == "through":
        assert node.client.answers == [], "it is answered at the commit"
        node.flush()
    ((_, error, (is_done, answers)),) = node.client.answers
    assert error is None
    assert is_done
    results = [tuple(result) if isinstance(result, list) else result for _, result in answers]
    assert results == [2, True, (True, b"2"), (True, b"2")]


@pytest.mark.parametrize("mode", MODES)
def test_it_sees_what_it_writes(mode: str) -> None:
    node = Node(mode)
    node.store.note_absent("a")
    outcome = node.exec(("PUT", ("a", b"1")), ("GET", ("a",)), ("EXISTS", ("a",)), ("DEL", ("a",)), ("GET", ("a",)))
    if mode == "through":
        assert outcome is LATER
        assert not node.client.is_held(), "it has begun, so nothing overtakes it"
        node.flush()
        ((_, _, (is_done, answers)),) = node.client.answers
        assert is_done
        outcome = [result for _, result in answers]
    assert [tuple(one) if isinstance(one, list) else one for one in outcome] == [
        *(True, (True, b"1"), True, True, (False, "")),
    ]


def test_it_commits_together_in_through() -> None:
    node = Node("through")
    for key in "abc":
        node.store.note_absent(key)
    assert node.exec(*(("PUT", (key, b"1")) for key in "abc"), ("DEL", ("a",))) is LATER
    batch = node.store.flush_begin()
    assert [(write.key, write.value) for write in batch] == [("a", None), ("b", b"1"), ("c", b"1")]


def test_it_is_carried_out_though_its_client_is_gone() -> None:
    node = Node("evict", {"a": b"1"})
    assert node.exec(("INCRBY", ("a", 1)), ("PUT", ("c", b"3"))) is LATER
    node.client.close()
    node.load()
    assert node.store.get("a") == b"2"
    assert node.store.get("c") == b"3"


def test_the_tier_does_not_answer() -> None:
    node = Node("evict", {"a": b"1"})
    assert node.exec(("PUT", ("c", b"3")), ("INCRBY", ("a", 1))) is LATER
    node.now = 5.0
    node.store.expire()
    ((_, error, result),) = node.client.answers
    assert str(error).startswith("ValueUnknown: nothing was carried out: the persistent tier did not answer")
    assert result is None
    assert not node.client.is_held()
    assert "c" not in node.store.memory


def test_values_beyond_the_bound_are_not_read() -> None:
    node = Node()
    for key in ("a", "b"):
        node("PUT", key, b"x" * 100)
    answers = node.exec(
        *[("GET", ("a",))] * 5,
        *(("GETDEL", ("b",)), ("GETEX", ("b", 0)), ("SET", ("b", b"y", 0, "", "", "GET")), ("PUT", ("c", "z"))),
    )
    told = [
        answer if isinstance(answer, str) else len(answer[-1]) if type(answer) is tuple else answer
        for answer in answers
    ]
    refused = "BadArguments: not carried out: the answers before it are too many bytes"
    assert told == [100, 100, 100, *[refused] * 5, True]
    assert node("GET", "b") == (True, b"x" * 100), "what could not be told is not taken"
    longest = 64 * 1024 + 4 * MAX_VALUE_BYTES
    for request in (("GET", ("a",)), ("GETEX", ("a", 0))):
        assert len(node("EXEC", packed_requests([request] * 100))[1]) < longest


def test_a_defect_of_one_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    node = Node()

    def broken(_caller: object, _msgid: int, _params: object) -> object:
        raise RuntimeError("simulated")

    handlers = steps.step_handlers(node.store, {**node.handlers, "APPEND": broken}, MAX_VALUE_BYTES)
    result: Any = handlers["EXEC"](node.client, 0, ([("PUT", ("a", "1")), ("APPEND", ("a", "1")), ("GET", ("a",))],))
    assert result[1] == [(None, True), ("ServerError: unexpected error in APPEND", None), (None, (True, "1"))]
    assert "unexpected error in APPEND" in caplog.text


def test_a_digest_that_has_to_be_loaded() -> None:
    node = Node("evict", {"a": b"1"})
    assert node("DIGEST", "a", msgid=7) is LATER
    node.load()
    assert node.client.answers == [(7, None, node("DIGEST", "a"))]


class Other:
    """Another node, whose requests nobody may hold up."""

    is_open = True

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def respond(self, msgid: int, error: object, result: object) -> None:
        self.answers.append((msgid, error, result))

    def settle(self) -> None:
        raise AssertionError

    def hold(self, reason: Hashable) -> None:
        raise AssertionError

    def release(self, reason: Hashable) -> None:
        raise AssertionError


def test_another_node_is_not_held() -> None:
    node = Node("evict", {"a": b"1"})
    other = Other()
    assert node.handlers["EXEC"](other, 3, (packed_requests([("GET", ("a",))]),)) is LATER
    node.load()
    ((msgid, error, result),) = other.answers
    assert (msgid, error) == (3, None)
    assert answers_of(result[1], 1) == [(None, (True, b"1"))]


def test_no_answer_is_longer_than_a_message() -> None:
    node = Node()
    node("PUT", "a", b"x" * MAX_VALUE_BYTES)
    longest = 64 * 1024 + 4 * MAX_VALUE_BYTES
    for request in (("GET", ("a",)), ("INCRBY", ("a", 1)), ("STRLEN", ("a",))):
        for count in (1, 100, 1000):
            assert len(node("EXEC", packed_requests([request] * count))[1]) < longest
    with pytest.raises(errors.BadArguments, match="2000 requests have too many bytes of answers"):
        node("EXEC", packed_requests([("STRLEN", ("a",))] * 2000))


def test_the_values_that_a_step_digests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "DIGESTED_BYTES", 150)
    node = Node()
    node("PUT", "a", b"x" * 100)
    told = node.exec(*[("DIGEST", ("a",))] * 4)
    assert [type(answer) for answer in told] == [bytes, bytes, str, str]
    assert told[3] == "BadArguments: not carried out: the values to digest before it are too many bytes"
