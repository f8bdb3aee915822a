"""The handlers of the commands that read before they write, over stores that answer at once and later."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv import errors
from ckv.node.handlers import pong
from ckv.node.secondary import handlers
from ckv.protocol.handler import LATER, Handler
from ckv.protocol.handler import Caller as AnyCaller
from ckv.protocol.limits import Limits
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from ckv.values import Value, to_bytes, to_text
from tests.support.line import Nowhere

MAX_VALUE_BYTES = 100

PLAIN = ("", "", "")
"""Of a SET: no condition, nothing expected, nothing wanted."""


class Caller:
    """Collects the answers that come later."""

    is_open = True

    def __init__(self) -> None:
        self.answers: list[tuple[int, object, object]] = []

    def respond(self, msgid: int, error: object, result: object) -> None:
        self.answers.append((msgid, error, result))

    def settle(self) -> None:
        raise AssertionError("nothing is left without an answer")

    def hold(self, reason: Hashable) -> None:
        raise AssertionError("nobody is held")

    def release(self, reason: Hashable) -> None:
        raise AssertionError("nobody is held")


class Methods:
    """The methods of a node, called by their names."""

    def __init__(self, store: Records) -> None:
        self.told = Caller()
        self.caller: AnyCaller = self.told
        self._handlers: dict[str, Handler] = handlers(store, MAX_VALUE_BYTES)

    def __call__(self, method: str, *params: object, msgid: int = 0) -> Any:
        return self._handlers[method](self.caller, msgid, params)


@pytest.fixture
def node() -> Methods:
    return Methods(MemoryStore(POLICIES["lru"](100)))


def over_a_tier(mode: str) -> tuple[Methods, Any]:
    environment = Environment(clock=lambda: 0.0, load_timeout=5, pending_wait=1)
    store = MODES[mode](POLICIES["lru"](100), Pending(100, 1 << 30), environment)
    return Methods(store), store


# --- what they answer and write --------------------------------------------------------------------------------------


def test_set_without_a_condition_is_a_put_that_does_not_look(node: Methods) -> None:
    assert node("SET", "k", "1", 0, *PLAIN) == (True, False, "")
    assert node("SET", "k", b"2", -1, *PLAIN) == (True, False, "")
    assert node("GET", "k") == (True, b"2")


@pytest.mark.parametrize("want", ["", "GET", b"get"])
def test_set_on_a_condition(node: Methods, want: Value) -> None:
    def old(value: Value) -> Value:
        return value if want else ""

    assert node("SET", "k", "1", 0, "XX", "", want) == (False, False, "")
    assert node("SET", "k", "1", 0, "NX", "", want) == (True, False, "")
    assert node("SET", "k", "2", 0, b"nx", "", want) == (False, True, old("1"))
    assert node("SET", "k", "2", 0, "XX", "", want) == (True, True, old("1"))
    assert node("SET", "k", "3", 0, "IFEQ", "1", want) == (False, True, old("2"))
    assert node("SET", "k", b"3", 0, "IFEQ", b"2", want) == (True, True, old("2"))
    assert node("SET", "no", "3", 0, "IFEQ", "", want) == (False, False, "")
    assert node("GET", "k") == (True, b"3")
    assert node("GET", "no") == (False, "")


def test_an_empty_value_is_expected_like_any_other(node: Methods) -> None:
    node("PUT", "k", "")
    assert node("SET", "k", "1", 0, "IFEQ", "", "") == (True, True, "")
    assert node("DELIFEQ", "k", "") is False
    assert node("DELIFEQ", "k", b"1") is True
    assert node("DELIFEQ", "k", b"1") is False


def test_set_tells_what_was_there(node: Methods) -> None:
    assert node("SET", "k", "1", 0, "", "", "GET") == (True, False, "")
    assert node("SET", "k", "2", 0, "", "", "GET") == (True, True, "1")


@pytest.mark.parametrize("expires", [-2, "x", "", 1.0, None, True, 1 << 64, "9" * 30])
def test_a_wrong_expiry_is_refused(node: Methods, expires: object) -> None:
    with pytest.raises(errors.Refused):
        node("SET", "k", "1", expires, *PLAIN)
    assert node("EXISTS", "k") is False


@pytest.mark.parametrize(
    ("sent", "before", "after"),
    [
        ((2000, *PLAIN), 1000, 2000),
        ((2000, "XX", "", ""), 1000, 2000),
        ((2000, "IFEQ", "old", ""), 1000, 2000),
        (("2000", "", "", "GET"), 1000, 2000),
        ((2000, "NX", "", ""), 1000, 1000),
        ((2000, "IFEQ", "other", ""), 1000, 1000),
        ((0, *PLAIN), 1000, 0),
        ((0, "XX", "", ""), 1000, 0),
        ((0, "", "", "GET"), 1000, 0),
        ((-1, *PLAIN), 1000, 1000),
        ((-1, "XX", "", ""), 1000, 1000),
        ((-1, "", "", "GET"), 0, 0),
    ],
)
def test_when_what_was_set_expires(sent: tuple[object, ...], before: int, after: int) -> None:
    store = MemoryStore(POLICIES["lru"](100))
    node = Methods(store)
    store.put("k", "old", before)
    written = node("SET", "k", "new", *sent)[0]
    assert written is (node("GET", "k") == (True, "new"))
    assert store.expires_of("k") == after


def test_a_record_that_is_over_is_none_on_a_condition() -> None:
    store = MemoryStore(POLICIES["lru"](100))
    node = Methods(store)
    assert node("SET", "lock", "a", 1000, "NX", "", "")[0] is True
    assert node("SET", "lock", "b", 3000, "NX", "", "")[0] is False
    store.memory.now_ms = lambda: 1000
    assert node("SET", "lock", "b", 3000, "NX", "", "GET") == (True, False, "")
    assert node("DELIFEQ", "lock", "a") is False
    assert node("GET", "lock") == (True, "b")


@pytest.mark.parametrize(
    ("params", "named"),
    [
        (("k", "1", 0, "", "1", ""), "expected goes with IFEQ"),
        (("k", "1", 0, "NY", "", ""), "condition is one of"),
        (("k", "1", 0, 5, "", ""), "condition is one of"),
        (("k", "1", 0, "", "", "SET"), "want is one of"),
        (("k", 1, 0, "", "", ""), "a value must be"),
        (("k", "1", 0, "IFEQ", None, ""), "a value must be"),
        ((1, "1", 0, "", "", ""), "a key must be"),
        (("k", "1"), "2 arguments; it is SET key value expires condition expected want"),
    ],
)
def test_a_wrong_set_names_what_is_wrong(node: Methods, params: tuple[object, ...], named: str) -> None:
    with pytest.raises(errors.BadArguments, match=re.escape(named)):
        node("SET", *params)
    assert node("EXISTS", "k") is False


def test_get_and_delete(node: Methods) -> None:
    assert node("GETDEL", "k") == (False, "")
    node("PUT", "k", b"1")
    assert node("GETDEL", "k") == (True, b"1")
    assert node("GET", "k") == (False, "")


@pytest.mark.parametrize(
    ("before", "expires", "after"), [(0, 2000, 2000), (3000, 2000, 2000), (3000, 0, 0), (3000, 3000, 3000), (0, 0, 0)]
)
def test_get_and_expire(before: int, expires: int, after: int) -> None:
    store = MemoryStore(POLICIES["lru"](100))
    node = Methods(store)
    assert node("GETEX", "k", expires) == (False, "")
    assert node("EXISTS", "k") is False
    store.put("k", b"1", before)
    assert node("GETEX", "k", expires) == (True, b"1")
    assert store.expires_of("k") == after
    assert node("GET", "k") == (True, b"1")


def test_get_and_expire_with_a_time_that_is_over() -> None:
    store = MemoryStore(POLICIES["lru"](100), lambda: 1000)
    node = Methods(store)
    store.put("k", "1")
    assert node("GETEX", "k", 1000) == (True, "1")
    assert node("GET", "k") == (False, "")
    assert len(store.memory) == 0


@pytest.mark.parametrize("expires", [-1, "1", None, 1.5, 1 << 53])
def test_get_and_expire_with_what_is_no_time(node: Methods, expires: object) -> None:
    node("PUT", "k", "1")
    with pytest.raises(errors.BadArguments, match="expires is"):
        node("GETEX", "k", expires)


@pytest.mark.parametrize(
    ("held", "amount", "left"),
    [
        (None, 5, "5"), (None, "5", "5"), (None, b"-5", b"-5"), ("7", b"1", "8"), (b"7", "1", b"8"), (b"7", 1, b"8"),
        ("0", 2**63 - 1, str(2**63 - 1)), ("-1", -(2**63) + 1, str(-(2**63))),
    ],
)  # fmt: skip
def test_a_sum_has_the_type_of_the_record(node: Methods, held: Value | None, amount: object, left: Value) -> None:
    if held is not None:
        node("PUT", "k", held)
    assert node("INCRBY", "k", amount) == int(left)
    assert node("GET", "k") == (True, left)


@pytest.mark.parametrize("method", ["INCRBY", "INCRBYFLOAT"])
@pytest.mark.parametrize(
    ("held", "amount"), [("x", "1"), (" 1", "1"), ("", "1"), ("1", "x"), ("1", ""), (b"\xff", "1")]
)
def test_what_is_no_number_stays_what_it_is(node: Methods, method: str, held: Value, amount: object) -> None:
    node("PUT", "k", held)
    with pytest.raises(errors.NotANumber):
        node(method, "k", amount)
    assert node("GET", "k") == (True, held)


@pytest.mark.parametrize("method", ["INCRBY", "INCRBYFLOAT"])
@pytest.mark.parametrize("amount", [None, True, 1.5, (1,)])
def test_an_amount_of_another_type(node: Methods, method: str, amount: object) -> None:
    with pytest.raises(errors.BadArguments, match="an amount must be"):
        node(method, "k", amount)


@pytest.mark.parametrize("amount", [2**63, -(2**63) - 1])
def test_an_amount_of_more_than_64_bits(node: Methods, amount: int) -> None:
    with pytest.raises(errors.NotANumber):
        node("INCRBY", "k", amount)


def test_floats(node: Methods) -> None:
    assert node("INCRBYFLOAT", "k", b"1e3") == "1000"
    assert node("GET", "k") == (True, b"1000")
    node("PUT", "k", "0.1")
    assert node("INCRBYFLOAT", "k", b"0.2") == "0.3"
    assert node("GET", "k") == (True, "0.3")


def test_append(node: Methods) -> None:
    assert node("APPEND", "k", b"a") == 1
    assert node("APPEND", "k", "\u00fc") == 3
    assert node("GET", "k") == (True, "a\u00fc".encode())
    assert node("STRLEN", "k") == 3
    assert node("STRLEN", "no") == 0
    with pytest.raises(errors.ValueTooLarge, match="would have 101 bytes, 100 are allowed"):
        node("APPEND", "k", "x" * 98)
    assert node("APPEND", "k", "x" * 97) == MAX_VALUE_BYTES
    with pytest.raises(errors.ValueTooLarge):
        node("APPEND", "new", "x" * 101)
    assert node("APPEND", "empty", "") == 0
    assert node("EXISTS", "empty") is True


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=6), st.booleans(), st.data())
def test_what_is_appended_is_its_bytes(parts: list[bytes], is_text: bool, data: st.DataObject) -> None:
    """Also where a character is cut in two."""
    node = Methods(MemoryStore(POLICIES["lru"](100)))
    for part in parts:
        node("APPEND", "k", to_text(part) if data.draw(st.booleans()) else part)
    _, value = node("GET", "k")
    assert to_bytes(value) == b"".join(parts)
    assert value == (value if isinstance(value, bytes) else to_text(b"".join(parts)))
    assert node("STRLEN", "k") == len(b"".join(parts))


def test_a_lock_is_extended() -> None:
    """From when it would expire, or from another time; not one that never does, nor somebody else's."""
    store = MemoryStore(POLICIES["lru"](100))
    node = Methods(store)
    assert node("EXTEND", "lock", b"mine", 500, 0) is False
    store.put("lock", "mine")
    assert node("EXTEND", "lock", b"mine", 500, 0) is False
    assert store.expires_of("lock") == 0
    store.put("lock", "mine", 1 << 50)
    assert node("EXTEND", "lock", b"yours", 500, 0) is False
    assert node("EXTEND", "lock", b"mine", 500, 0) is True
    assert store.expires_of("lock") == (1 << 50) + 500
    assert node("EXTEND", "lock", "mine", "-200", "0") is True
    assert store.expires_of("lock") == (1 << 50) + 300
    assert node("EXTEND", "lock", b"mine", 7, 1 << 51) is True
    assert store.expires_of("lock") == (1 << 51) + 7
    assert node("GET", "lock") == (True, "mine")
    for wrong in ((1.5, 0), (500, -1), ("x", 0), (1 << 60, 0)):
        with pytest.raises(errors.Refused):
            node("EXTEND", "lock", b"mine", *wrong)
    assert store.expires_of("lock") == (1 << 51) + 7
    assert node("EXTEND", "lock", b"mine", -(1 << 60), 0) is True
    assert store.expires_of("lock") == 1, "it is over, and not there for ever"


def test_a_counter_is_added_to_only_where_it_is() -> None:
    store = MemoryStore(POLICIES["lru"](100))
    node = Methods(store)
    assert node("COUNT", "k", 5, "XX", -1) == (False, 0)
    assert node("EXISTS", "k") is False
    store.put("k", b"2", 1 << 50)
    assert node("COUNT", "k", 5, "xx", -1) == (True, 7)
    assert node("GET", "k") == (True, b"7")
    assert store.expires_of("k") == 1 << 50


def test_a_counter_expires_after_it_began() -> None:
    store = MemoryStore(POLICIES["lru"](100))
    node = Methods(store)
    assert node("COUNT", "k", b"2", "", 1 << 50) == (True, 2)
    assert store.expires_of("k") == 1 << 50
    assert node("COUNT", "k", 2, "", 1 << 51) == (True, 4)
    assert store.expires_of("k") == 1 << 50
    assert node("GET", "k") == (True, b"4")


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ((1, "NX", -1), errors.BadArguments), (("x", "", -1), errors.NotANumber), ((1, "", "x"), errors.Refused),
        ((1 << 62, "", -1), errors.NotANumber),
    ],
)  # fmt: skip
def test_a_count_that_is_wrong_changes_nothing(params: tuple[object, ...], error: type[Exception]) -> None:
    node = Methods(MemoryStore(POLICIES["lru"](100)))
    node("PUT", "k", str(1 << 62))
    with pytest.raises(error):
        node("COUNT", "k", *params)
    assert node("GET", "k") == (True, str(1 << 62))


# --- answers that come later -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_all_of_them_wait_for_the_value(mode: str) -> None:
    node, store = over_a_tier(mode)
    asked = [
        ("INCRBY", "n", 1), ("GETDEL", "a"), ("DELIFEQ", "b", "1"), ("INCRBYFLOAT", "c", "0.5"), ("APPEND", "d", "y"),
        ("SET", "e", "2", 0, "NX", "", "GET"), ("EXISTS", "f"), ("STRLEN", "g"), ("SET", "h", "2", 0, "IFEQ", "1", ""),
        ("GETEX", "i", 1 << 52), ("COUNT", "j", 2, "XX", -1), ("EXTEND", "k", "1", 5, 0),
    ]  # fmt: skip
    for msgid, (method, *params) in enumerate(map(list[Any], asked)):
        assert node(method, *params, msgid=msgid) is LATER
    query = store.load_begin()
    store.load_end(query, dict.fromkeys("nabcdefghijk", "1"))
    store.flush_end(store.flush_begin())
    answers = {msgid: result for msgid, error, result in node.told.answers if error is None}
    assert len(node.told.answers) == len(asked)
    assert [answers[msgid] for msgid in range(len(asked))] == [
        2, [True, "1"], True, "1.5", 2, [False, True, "1"], True, 1, [True, True, ""],
        [True, "1"], [True, 3], False,
    ]  # fmt: skip


def test_what_is_taken_out_is_not_taken_out_for_a_client_that_does_not_read() -> None:
    """A GET is answered Overloaded in the place of its value; the value of a GETDEL would be nowhere any more."""
    node, store = over_a_tier("evict")
    line = Nowhere()
    line.congested = True
    session = RpcSession(line, RpcMethods(handlers(store, MAX_VALUE_BYTES) | {"PING": pong}, Limits()))
    node.caller = session
    store.put("here", "1")
    assert node("GETDEL", "here") == (True, "1"), "its line is held before more is asked"
    assert node("GETDEL", "k", msgid=1) is LATER
    assert node("SET", "k", "2", 0, "XX", "", "GET", msgid=2) is LATER
    assert node("SET", "k", "2", 0, "XX", "", "", msgid=3) is LATER
    query = store.load_begin()
    store.load_end(query, {"k": "1"})
    why = "Overloaded: too many answers are unread; nothing was written"
    unpacker = msgpack.Unpacker()
    unpacker.feed(session.take())
    assert list(unpacker) == [[1, 1, why, None], [1, 2, why, None], [1, 3, None, [True, True, ""]]]
    assert store.get("k") == "2"


@pytest.mark.parametrize("mode", MODES)
def test_what_goes_wrong_later_is_told(mode: str) -> None:
    node, store = over_a_tier(mode)
    assert node("INCRBY", "k", 1, msgid=1) is LATER
    query = store.load_begin()
    store.load_end(query, {"k": "x"})
    store.loads_refused(errors.TierUnavailable("away"))
    with pytest.raises(errors.ValueUnknown):
        node("INCRBY", "other", 1)
    ((msgid, error, result),) = node.told.answers
    assert (msgid, result) == (1, None)
    assert error == "NotANumber: the value is not an integer or out of range"
