"""The commands of Redis over methods of a node that the test has: what is asked of these, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from ckv import errors
from ckv.node.steps import taken_apart
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import Limits
from ckv.protocol.resp.quick import QuickRespSession
from ckv.protocol.resp.session import RespSession
from ckv.protocol.session import Unanswered
from ckv.protocol.slow import SlowLog
from ckv.protocol.steps import PRESENT
from ckv.redis.placing import Placing
from ckv.redis.refused import REASONS
from ckv.redis.table import ROWS, for_node
from tests.protocol.resp.test_parsing import packed
from tests.support.line import Nowhere, served

NOW = 1_000_000.0
KEYS_MAX = 5
LIMITS = Limits(max_value_bytes=1000)
WAIT = object()
"""In the place of a result: the answer comes later."""


class _Gathering(Unanswered):
    """Takes the answers to several requests."""

    def __init__(self, count: int, done: Callable[[list[Any]], None]) -> None:
        self.answers: list[Any] = [None] * count
        self._when_all = done

    def respond(self, msgid: int, error: object, result: object) -> None:
        self.answers[msgid] = (error, result)
        if None not in self.answers:
            self._when_all(self.answers)


class Figures(dict[str, Any]):
    """What INFO answers."""


class Node:
    """Methods that note what they were asked, and answer what the test has put there."""

    def __init__(self, *methods: str, limits: Limits = LIMITS) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.waiting: list[tuple[Caller, int, tuple[object, ...]]] = []
        self.results: dict[str, Any] = {}
        names = {"GET", "PUT", "DEL", "PING", "INFO", *methods}
        self.later: list[Callable[[], None]] = []
        """What is to be done in the next turn of the loop."""
        self.placing = Placing()
        self.slow = SlowLog(60.0, lambda: NOW, lambda: NOW)
        self.made = for_node(
            limits,
            lambda: NOW,
            placing=self.placing,
            slow=self.slow,
            keys_max=KEYS_MAX,
            next_turn=self.later.append,
        )
        self.digests: dict[str, bytes] = {}
        self.step: Exception | object = None
        """In the place of what EXEC does: an error, or WAIT, until :meth:`carry_out_step`."""
        self.steps: list[Callable[[], None]] = []
        self.methods = self.made({name: self._method(name) for name in names} | {"EXEC": self._exec})
        self.line = Nowhere()
        self.session = QuickRespSession(self.line, self.methods)

    def _method(self, name: str) -> Callable[[Caller, int, tuple[object, ...]], object]:
        def method(caller: Caller, ticket: int, params: tuple[object, ...]) -> object:
            self.asked.append((name, *params))
            result = self.results.get(name)
            if isinstance(result, dict) and not isinstance(result, Figures):
                result = result.get(params[0], (False, ""))
            if isinstance(result, Exception):
                raise result
            if result is WAIT:
                self.waiting.append((caller, ticket, params))
                return LATER
            return result

        return method

    def _exec(self, caller: Caller, ticket: int, params: tuple[Any, ...]) -> object:
        """Carries out the requests one after the other, and compares what is watched with ``digests``."""
        if isinstance(self.step, Exception):
            raise self.step
        watched, requests = taken_apart(params[0])

        def carry_out() -> object:
            for key, digest in watched:
                found = self.digests.get(key, b"")
                if not found if digest == PRESENT else found != digest:
                    return [False, []]
            gathering = _Gathering(len(requests), lambda answers: caller.respond(ticket, None, [True, answers]))
            for number, (method, arguments) in enumerate(requests):
                if method == "DIGEST":
                    gathering.answers[number] = (None, self.digests.get(arguments[0], b""))
                    continue
                try:
                    result = self._method(method)(gathering, number, arguments)
                except errors.CkvError as error:
                    gathering.answers[number] = (errors.to_wire(error), None)
                    continue
                if result is not LATER:
                    gathering.answers[number] = (None, result)
            return LATER if None in gathering.answers else [True, gathering.answers]

        if self.step is WAIT:

            def later() -> None:
                result = carry_out()
                if result is not LATER:
                    caller.respond(ticket, None, result)

            self.steps.append(later)
            return LATER
        return carry_out()

    def send(self, *words: str | bytes) -> bytes:
        request = [word.encode() if isinstance(word, str) else word for word in words]
        return served(self.session, self.line, packed(request))

    def ask(self, *words: str | bytes) -> Any:
        """The answer as hiredis reads it, an error as its text."""
        return read(self.send(*words))

    def answer(self, result: object, error: str | None = None, index: int = 0) -> None:
        caller, ticket, _ = self.waiting.pop(index)
        caller.respond(ticket, error, result)

    def taken(self) -> bytes:
        return self.session.take() if self.session.waiting else b""


def read(data: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(data)
    answer = reader.gets()
    assert reader.gets() is False
    return str(answer) if isinstance(answer, Exception) else answer


# --- one key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("words", "method", "result", "asked", "answer"),
    [
        ("GET k", "GET", (True, b"v\r\n"), ("k",), b"v\r\n"),
        ("GET k", "GET", (True, "\udcff"), ("k",), b"\xff"),
        ("GET k", "GET", (False, ""), ("k",), None),
        ("SET k v", "PUT", True, ("k", b"v"), b"OK"),
        ("DEL k", "DEL", True, ("k",), 1),
        ("UNLINK k", "DEL", False, ("k",), 0),
        ("SET k v nx", "SET", (True, False, ""), ("k", b"v", 0, "NX", "", ""), b"OK"),
        ("SET k v XX", "SET", (False, False, ""), ("k", b"v", 0, "XX", "", ""), None),
        ("SET k v GET", "SET", (True, True, "old"), ("k", b"v", 0, "", "", "GET"), b"old"),
        ("SET k v NX GET", "SET", (False, True, b""), ("k", b"v", 0, "NX", "", "GET"), b""),
        ("SET k v XX GET", "SET", (False, False, ""), ("k", b"v", 0, "XX", "", "GET"), None),
        ("SET k v IFEQ x", "SET", (True, True, ""), ("k", b"v", 0, "IFEQ", b"x", ""), b"OK"),
        ("SET k v KEEPTTL", "SET", (True, True, ""), ("k", b"v", -1, "", "", ""), b"OK"),
        ("SET k v EX 2", "PUTEX", True, ("k", b"v", 1_000_002_000), b"OK"),
        ("SET k v PX 2 nx", "SET", (True, True, ""), ("k", b"v", 1_000_000_002, "NX", "", ""), b"OK"),
        ("SET k v EXAT 2", "PUTEX", True, ("k", b"v", 2000), b"OK"),
        ("SET k v PXAT 2", "PUTEX", True, ("k", b"v", 2), b"OK"),
        ("SETNX k v", "SET", (True, False, ""), ("k", b"v", 0, "NX", "", ""), 1),
        ("SETNX k v", "SET", (False, True, ""), ("k", b"v", 0, "NX", "", ""), 0),
        ("SETEX k 2 v", "PUTEX", True, ("k", b"v", 1_000_002_000), b"OK"),
        ("PSETEX k 2 v", "PUTEX", True, ("k", b"v", 1_000_000_002), b"OK"),
        ("GETSET k v", "SET", (True, True, b"old"), ("k", b"v", 0, "", "", "GET"), b"old"),
        ("GETDEL k", "GETDEL", (True, b"old"), ("k",), b"old"),
        ("GETDEL k", "GETDEL", (False, ""), ("k",), None),
        ("DELIFEQ k v", "DELIFEQ", True, ("k", b"v"), 1),
        ("DELIFEQ k v", "DELIFEQ", False, ("k", b"v"), 0),
        ("DELEX k ifeq v", "DELIFEQ", True, ("k", b"v"), 1),
        ("DELEX k IFEQ v", "DELIFEQ", False, ("k", b"v"), 0),
        ("DELEX k", "DEL", True, ("k",), 1),
        ("GETEX k", "GET", (True, b"old"), ("k",), b"old"),
        ("GETEX k EX 2", "GETEX", (True, b"old"), ("k", 1_000_002_000), b"old"),
        ("GETEX k px 2", "GETEX", (True, b"old"), ("k", 1_000_000_002), b"old"),
        ("GETEX k EXAT 2", "GETEX", (False, ""), ("k", 2000), None),
        ("GETEX k PXAT 2", "GETEX", (False, ""), ("k", 2), None),
        ("GETEX k PERSIST", "GETEX", (True, b"old"), ("k", 0), b"old"),
        ("INCR k", "INCRBY", 5, ("k", 1), 5),
        ("DECR k", "INCRBY", -5, ("k", -1), -5),
        ("INCRBY k -7", "INCRBY", 5, ("k", -7), 5),
        ("DECRBY k 7", "INCRBY", 5, ("k", -7), 5),
        ("INCRBYFLOAT k 1.5", "INCRBYFLOAT", "3.5", ("k", b"1.5"), b"3.5"),
        ("APPEND k v", "APPEND", 9, ("k", b"v"), 9),
        ("STRLEN k", "STRLEN", 9, ("k",), 9),
        ("EXISTS k", "EXISTS", True, ("k",), 1),
        ("TOUCH k", "EXISTS", False, ("k",), 0),
        ("TYPE k", "EXISTS", True, ("k",), b"string"),
        ("TYPE k", "EXISTS", False, ("k",), b"none"),
        ("GETRANGE k 1 -2", "GET", (True, "abcd"), ("k",), b"bc"),
        ("SUBSTR k 1 -2", "GET", (True, "abcd"), ("k",), b"bc"),
        ("GETRANGE k 0 9", "GET", (False, ""), ("k",), b""),
        ("MEMORY USAGE k", "GET", (True, b"abcd"), ("k",), 1 + 4 + 64),
        ("MEMORY USAGE k", "GET", (False, ""), ("k",), None),
        ("OBJECT ENCODING k", "GET", (True, b"-12"), ("k",), b"int"),
        ("OBJECT ENCODING k", "GET", (True, b"012"), ("k",), b"embstr"),
        ("OBJECT IDLETIME k", "GET", (True, b"012"), ("k",), 0),
    ],
)
def test_one_key(
    words: str, method: str, result: object, asked: tuple[object, ...], answer: object, later: bool
) -> None:
    node = Node("SET", "GETDEL", "GETEX", "DELIFEQ", "INCRBY", "INCRBYFLOAT", "APPEND", "STRLEN", "EXISTS", "PUTEX")
    node.results[method] = WAIT if later else result
    got = node.send(*words.split())
    if later:
        assert got == b""
        node.answer(result)
        got = node.taken()
    assert node.asked == [(method, *asked)]
    assert read(got) == answer
    assert node.session.is_between


@pytest.mark.parametrize(
    ("words", "answer"),
    [("EXISTS k", 1), ("EXISTS k n k", 2), ("TYPE n", b"none"), ("STRLEN k", 2), ("STRLEN n", 0), ("TOUCH n", 0)],
)
def test_what_a_node_without_the_methods_makes_of_get(words: str, answer: object) -> None:
    node = Node()
    node.results["GET"] = {"k": (True, "\u00e9")}
    assert node.ask(*words.split()) == answer


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("GET a b", "ERR wrong number of arguments for 'get' command"),
        ("SET a", "ERR wrong number of arguments for 'set' command"),
        ("MGET", "ERR wrong number of arguments for 'mget' command"),
        ("MSET a 1 b", "ERR wrong number of arguments for 'mset' command"),
        ("STRLEN", "ERR wrong number of arguments for 'strlen' command"),
        ("CLIENT", "ERR wrong number of arguments for 'client' command"),
        ("CLIENT ID x", "ERR wrong number of arguments for 'client|id' command"),
        ("SET a b NX XX", "ERR syntax error"),
        ("SET a b EX", "ERR syntax error"),
        ("SET a b EX 1 PX 1", "ERR syntax error"),
        ("SET a b EX 1 KEEPTTL", "ERR syntax error"),
        ("SET a b IFEQ", "ERR syntax error"),
        ("SET a b WHAT", "ERR syntax error"),
        ("SET a b EX 1.5", "ERR value is not an integer or out of range"),
        ("DELEX a IFEQ", "ERR syntax error"),
        ("DELEX a IFNE b", "ERR syntax error"),
        ("GETEX a EX", "ERR syntax error"),
        ("GETEX a EX 1 PERSIST", "ERR syntax error"),
        ("GETEX a PERSIST x", "ERR syntax error"),
        ("GETEX a EX 0", "ERR invalid expire time in 'getex' command"),
        ("GETEX a EX 10000000000000000", "ERR invalid expire time in 'getex' command"),
        ("SET a b EX 0", "ERR invalid expire time in 'set' command"),
        ("SET a b PXAT -1", "ERR invalid expire time in 'set' command"),
        ("SET a b EX 9223372036854775807", "ERR invalid expire time in 'set' command"),
        ("SETEX a 0 b", "ERR invalid expire time in 'setex' command"),
        ("INCRBY a 9223372036854775808", "ERR value is not an integer or out of range"),
        ("INCRBY a 01", "ERR value is not an integer or out of range"),
        ("INCRBY a +1", "ERR value is not an integer or out of range"),
        ("INCRBY a -", "ERR value is not an integer or out of range"),
        ("DECRBY a -9223372036854775808", "ERR decrement would overflow"),
        ("GETRANGE a b c", "ERR value is not an integer or out of range"),
        (f"GET {'k' * 1025}", "ERR KeyTooLong: the key has 1025 bytes, 1024 are allowed"),
        (f"MGET a {'k' * 1025}", "ERR KeyTooLong: the key has 1025 bytes, 1024 are allowed"),
        (f"MSET a 1 b {'v' * 1001}", "ERR ValueTooLarge: the value has 1001 bytes, 1000 are allowed"),
        ("LPUSH a b", "ERR unknown command 'LPUSH': ckv keeps strings only, no lists"),
        ("NOSUCH a b c", "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b'"),
        ("SELECT 1", "ERR DB index is out of range"),
        ("CLIENT KILL nobody:1", "ERR No such client"),
        ("CLIENT KILL ID x", "ERR value is not an integer or out of range"),
        ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
        ("CLIENT KILL TYPE x", "ERR Unknown client type 'x'"),
        ("CLIENT KILL ID 1 WHAT", "ERR syntax error"),
        ("CLIENT KILL WHAT x", "ERR syntax error"),
        ("CLIENT KILL SKIPME x", "ERR syntax error"),
        ("CONFIG SET a b", "ERR CONFIG SET: ckv is configured by its command line and its environment"),
        ("COMMAND GETKEYS PING", "ERR The command has no key arguments"),
        ("COMMAND GETKEYS GET", "ERR Invalid number of arguments specified for command"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("HELLO x", "ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 WHAT", "ERR Syntax error in HELLO option 'WHAT'"),
        ("CLIENT SETINFO lib-name", "ERR wrong number of arguments for 'client|setinfo' command"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_asked(words: str, error: str) -> None:
    node = Node("DELIFEQ", "SET", "GETEX", "INCRBY", "PUTEX")
    node.results["GET"] = errors.KeyTooLong("the key has 1025 bytes, 1024 are allowed")
    assert node.ask(*words.split()) == error
    assert all(asked[0] == "GET" and len(asked[1]) > 1024 for asked in node.asked)  # type: ignore[arg-type]
    assert node.session.is_between
    assert node.ask("ECHO", "goes on") == b"goes on"


# --- many keys -------------------------------------------------------------------------------------------------------


def test_many_keys_at_once() -> None:
    node = Node()
    node.results |= {"GET": {"a": (True, b"1"), "c": (True, "\u00fc")}, "PUT": True, "DEL": {"a": True, "b": False}}
    assert node.ask("MGET", "a", "b", "c", "a") == [b"1", None, "\u00fc".encode(), b"1"]
    assert node.ask("MSET", "a", "1", "b", "2") == b"OK"
    assert node.asked[4:] == [("PUT", "a", b"1"), ("PUT", "b", b"2")]
    assert node.ask("DEL", "a", "b") == 1
    assert node.session.in_flight == 0


def test_what_writes_many_keys_is_one_step() -> None:
    node = Node("DIGEST")
    node.results |= {"PUT": {"a": True, "b": errors.NoRoom("full"), "c": errors.NodeLost("it broke")}, "DEL": True}
    for words, key in (("MSET a 1 d 2", "a"), ("DEL a d", "a"), ("UNLINK a d", "a"), ("MSETNX a 1 d 2", "a")):
        node.asked.clear()
        node.step = WAIT
        assert node.send(*words.split()) == b""
        assert node.asked == [], "its node has all of it, and nothing is asked apart from that"
        node.step = None
        node.steps.pop()()
        assert [asked[1] for asked in node.asked] == [key, "d"]
        assert node.taken() in (b"+OK\r\n", b":2\r\n", b":1\r\n")
    assert node.ask("MSET", "a", "1", "b", "2", "c", "3") == "ERR UNKNOWN NodeLost: it broke", "it is told first"
    assert node.ask("MSET", "a", "1", "b", "2") == "OOM NoRoom: full"
    node.step = errors.NodeDown("away")
    assert node.ask("MSET", "a", "1", "b", "2") == "CLUSTERDOWN NodeDown: away"
    assert node.ask("DEL", "a", "b") == "CLUSTERDOWN NodeDown: away"
    node.step = None
    node.asked.clear()
    node.digests["b"] = b"there is one"
    assert node.ask("MSETNX", "a", "1", "b", "2") == 0
    assert node.asked == []
    assert node.session.is_between


def test_many_keys_of_which_some_have_to_wait() -> None:
    node = Node()
    node.results["GET"] = {"a": WAIT, "b": (True, b"2"), "c": WAIT}
    assert node.send("MGET", "a", "b", "c") == b""
    assert node.send("PING") == b""
    node.answer((True, b"3"), index=1)
    assert node.taken() == b""
    node.answer((False, ""))
    assert node.taken() == b"*3\r\n$-1\r\n$1\r\n2\r\n$1\r\n3\r\n+PONG\r\n"
    assert node.session.is_between


def test_more_keys_than_may_be_in_flight() -> None:
    """They are asked for in their order, and what is behind the command waits until all are asked for."""
    limits = Limits(max_in_flight=10, max_value_bytes=1000)
    node = Node(limits=limits)
    node.results["GET"] = WAIT
    keys = [str(number) for number in range(35)]
    node.send("MGET", *keys)
    node.session.feed(packed([b"GET", b"behind"]))
    most = 0
    got = b""
    order = []
    while node.waiting:
        most = max(most, len(node.waiting))
        order.append(node.waiting[0][2][0])
        node.answer((True, order[-1]))
        while node.session.attention and not node.line.held:
            got += node.session.more()
    assert most == limits.max_answers_in_flight
    assert order == [*keys, "behind"]
    reader = hiredis.Reader()
    reader.feed(got + node.taken())
    assert reader.gets() == [key.encode() for key in keys]
    assert reader.gets() == b"behind"
    assert not node.line.holds
    assert node.session.is_between


def test_what_is_behind_many_keys_does_not_overtake_them() -> None:
    """Nor when those before them have made room for more in flight."""
    node = Node(limits=Limits(max_in_flight=10, max_value_bytes=1000))
    node.results |= {"GET": WAIT, "PUT": True}
    for number in range(8):
        node.send("GET", f"before {number}")
    node.send("MGET", *(f"key {number}" for number in range(10)))
    node.session.feed(packed([b"SET", b"key 9", b"1"]))
    for _ in range(8):
        node.answer((False, ""))
        while node.session.attention and not node.line.held:
            node.session.more()
    while node.waiting:
        node.answer((False, ""))
        while node.session.attention and not node.line.held:
            node.session.more()
    assert node.asked[-2:] == [("GET", "key 9"), ("PUT", "key 9", b"1")]
    assert not node.line.holds


def test_a_node_that_is_slow_is_waited_for() -> None:
    """A large value that is not sent yet must not be overtaken by what is behind it in the same command."""
    node = Node()
    node.results["GET"] = WAIT
    node.session.hold("the queue of a node")
    node.send("MGET", "a", "b", "c")
    assert node.asked == [("GET", "a")]
    node.answer((False, ""))
    assert len(node.asked) == 2, "one at a time, so that there is always an answer to come"
    node.session.release("the queue of a node")
    node.answer((False, ""))
    assert len(node.asked) == 3
    node.answer((False, ""))
    assert node.taken() == b"*3\r\n$-1\r\n$-1\r\n$-1\r\n"
    assert not node.line.holds
    assert node.session.is_between


def test_an_error_of_one_is_the_answer_and_no_more_are_begun() -> None:
    limits = Limits(max_in_flight=4, max_value_bytes=1000)
    node = Node(limits=limits)
    node.results["GET"] = WAIT
    node.send("MGET", *(str(number) for number in range(40)))
    assert len(node.waiting) == 4
    node.answer(None, "NodeDown: away")
    node.answer(None, "NodeLost: it broke")
    node.answer((False, ""))
    assert node.taken() == b"", "what was begun is waited for"
    node.answer((False, ""))
    assert node.taken() == b"-ERR UNKNOWN NodeLost: it broke\r\n", "of what nobody knows is told first"
    assert len(node.asked) == 4
    assert not node.line.holds
    assert node.session.is_between


def test_the_values_of_one_answer_are_bounded() -> None:
    limits = Limits(max_value_bytes=1_000_000)
    node = Node(limits=limits)
    node.results["GET"] = {"k": (True, b"x" * 1_000_000)}
    fits = limits.max_queued_bytes // 1_000_000
    assert len(node.send("MGET", *["k"] * fits)) > fits * 1_000_000
    answer = node.ask("MGET", *["k"] * (fits + 20))
    assert answer == "ERR BadArguments: the values that were asked for are too many bytes for one answer"
    assert len(node.asked) == fits + fits + 1
    assert node.session.is_between


def test_a_closed_session_hears_of_nothing() -> None:
    node = Node()
    node.results["GET"] = WAIT
    node.send("MGET", "a", "b")
    node.session.close()
    node.answer((True, b"1"))
    node.answer((True, b"2"))
    assert not node.session.waiting


# --- the connection, and what the node says of itself ----------------------------------------------------------------


def test_hello_chooses_the_version() -> None:
    node = Node()
    told = node.ask("HELLO")
    assert dict(zip(told[::2], told[1::2], strict=True))[b"proto"] == 2
    told = node.ask("HELLO", "3", "AUTH", "default", "whatever", "SETNAME", "me")
    assert told == {
        b"server": b"ckv",
        b"version": b"7.2.0",
        b"proto": 3,
        b"id": 1,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }
    node.results["GET"] = (False, "")
    assert node.send("GET", "a") == b"_\r\n"
    assert node.ask("CLIENT", "GETNAME") == b"me"
    assert node.ask("HELLO", "9") == "NOPROTO unsupported protocol version"
    assert node.session.protocol == 3
    assert node.send("RESET") == b"+RESET\r\n"
    assert node.send("CLIENT", "GETNAME") == b"$-1\r\n"


@pytest.mark.parametrize(("change", "before", "behind"), [("HELLO 3", "$-1", "_"), ("RESET", "_", "$-1")])
def test_a_version_counts_for_what_is_behind_it_alone(change: str, before: str, behind: str) -> None:
    node = Node()
    node.results["GET"] = WAIT
    if change == "RESET":
        node.ask("HELLO", "3")
    sent = [["GET", "a"], ["GET", "b"], change.split(), ["GET", "c"], ["CLIENT", "GETNAME"]]
    assert served(node.session, node.line, b"".join(packed([word.encode() for word in words]) for words in sent)) == b""
    node.answer((False, ""), index=1)
    assert node.line.holds
    assert [key for _, key in node.asked] == ["a", "b"], "what is behind waits"
    node.answer((False, ""))
    assert not node.line.holds
    answers = node.session.more()
    assert answers.startswith(f"{before}\r\n{before}\r\n".encode() + (b"%7\r\n" if behind == "_" else b"+RESET\r\n"))
    assert [key for _, key in node.asked] == ["a", "b", "c"]
    node.answer((False, ""))
    assert node.taken() == f"{behind}\r\n{behind}\r\n".encode()
    assert node.session.is_between


def test_there_is_no_password() -> None:
    node = Node()
    assert node.ask("AUTH", "secret").startswith("ERR AUTH <password> called without any password configured")
    assert node.ask("AUTH", "default", "secret") == b"OK"


def test_clients_may_have_a_login_before_there_are_users() -> None:
    node = Node()
    assert node.ask("AUTH", "orders", "secret") == b"OK"
    assert node.ask("HELLO", "3", "AUTH", "orders", "secret")[b"proto"] == 3


def test_clients_are_listed() -> None:
    node = Node()
    other = QuickRespSession(Nowhere(), node.made({}))
    assert node.ask("CLIENT", "SETNAME", "a b") == (
        "ERR Client names cannot contain spaces, newlines or special characters."
    )
    assert node.ask("CLIENT", "SETNAME", "me") == b"OK"
    assert node.ask("CLIENT", "SETINFO", "LIB-NAME", "redis-py") == b"OK"
    assert node.ask("CLIENT", "SETINFO", "lib-ver", "8.1.0") == b"OK"
    assert node.ask("CLIENT", "ID") == 1
    lines = node.ask("CLIENT", "LIST").decode().splitlines()
    assert [line.split()[0] for line in lines] == ["id=1", "id=2"]
    assert "name=me " in lines[0]
    assert lines[0].endswith("lib-name=redis-py lib-ver=8.1.0")
    assert node.ask("CLIENT", "LIST", "ID", "2", "99").decode().splitlines() == lines[1:]
    other.close()
    assert node.ask("CLIENT", "LIST") == node.ask("CLIENT", "INFO")


def test_clients_are_killed() -> None:
    node = Node()
    one, two, three = [RespSession(Nowhere(), node.methods) for _ in range(3)]
    two.channels[b"news"] = None
    three.line.peer = "10.0.0.1:99"
    own = str(node.session.number)
    for words, answer, killed in (
        ("TYPE pubsub", 1, [two]),
        (f"ID {one.number} TYPE pubsub", 0, [two]),  # all have to hold
        (f"ID {one.number} USER default", 1, [one, two]),
        ("ADDR 10.0.0.1:98", 0, [one, two]),
        ("10.0.0.1:99", b"OK", [one, two, three]),
        (f"ID {own}", 0, [one, two, three]),
        (f"ID {own} SKIPME no", 1, [node.session, one, two, three]),
    ):
        assert node.ask("CLIENT", "KILL", *words.split()) == answer
        assert [session for session in (node.session, one, two, three) if session.failed] == killed
    assert one.failed == "somebody has sent CLIENT KILL"


def test_command_tells_the_table() -> None:
    node = Node()
    described = {row[0].decode(): row for row in node.ask("COMMAND")}
    assert described.keys() == {
        name for name, row in ROWS.items() if {"GET", "PUT", "DEL", "PING", "INFO", "EXEC"} >= {*row.needs}
    }
    assert node.ask("COMMAND", "COUNT") == len(described)
    assert [name.decode() for name in node.ask("COMMAND", "LIST")] == list(described)
    assert described["get"][1:6] == [2, [b"fast", b"readonly"], 1, 1, 1]
    assert described["mset"][3:6] == [1, -1, 2]
    assert node.ask("COMMAND", "INFO", "nosuch", "GET") == [None, described["get"]]
    docs = node.ask("COMMAND", "DOCS", "get")
    assert docs[0] == b"get"
    assert docs[1][:2] == [b"summary", b"Read the value of a key."]
    assert node.ask("COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2") == [b"a", b"b"]
    assert node.ask("COMMAND", "GETKEYS", "OBJECT", "ENCODING", "k") == [b"k"]
    assert node.ask("COMMAND", "GETKEYS", "DEL", "a", "b") == [b"a", b"b"]


def test_info_has_the_sections_that_clients_look_for() -> None:
    node = Node()
    node.results["INFO"] = Figures(
        records=4,
        pending_records=3,
        records_expiring=2,
        database_state="up",
        role="secondary",
        used_cpu_sys=0.5,
        used_cpu_user=1.25,
        total_connections_received=5,
        total_commands_processed=17,
    )
    text = node.ask("INFO").decode()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    assert lines["redis_version"] == "7.2.0"
    assert lines["loading"] == "0"
    assert lines["role"] == "master"
    assert lines["db0"] == "keys=7,expires=2,avg_ttl=0"
    assert (lines["total_connections_received"], lines["total_commands_processed"]) == ("5", "17")
    assert lines["database_state"] == "up"
    assert lines["ckv_role"] == "secondary"
    assert len(lines["run_id"]) == 40
    one = node.ask("INFO", "Replication").decode()
    assert one == "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
    assert node.ask("INFO", "cpu").decode() == "# CPU\r\nused_cpu_sys:0.5\r\nused_cpu_user:1.25\r\n"
    assert node.ask("INFO", "replication", "cluster").decode().count("# ") == 2
    assert node.ask("INFO", "default").decode() == text


def test_info_has_calls_and_errors_as_redis_tells_them() -> None:
    node = Node()
    node.results["INFO"] = Figures(total_error_replies=5)
    assert node.ask("INFO", "commandstats", "errorstats").decode() == "# Commandstats\r\n\r\n# Errorstats\r\n"
    node.slow.latencies.add("PUT", 0.002, 3)
    node.slow.latencies.add(b"set", 0.004)
    node.slow.latencies.add("INCRBY", 0.0005)
    node.results["GET"] = errors.TierUnavailable("it is away")
    for request in (("GET", "a"), ("GET", "b"), ("INCRBY", "n", "x"), ("NONE",), ("GET",)):
        assert node.send(*request).startswith(b"-")
    assert node.ask("INFO", "commandstats").decode().splitlines()[1:] == [
        "cmdstat_incrby:calls=1,usec=500,usec_per_call=500.00",
        "cmdstat_set:calls=4,usec=10000,usec_per_call=2500.00",
    ]
    assert node.ask("INFO", "errorstats").decode().splitlines()[1:] == [
        "errorstat_ERR:count=3",
        "errorstat_TRYAGAIN:count=2",
    ]
    assert "total_error_replies:5\r\n" in node.ask("INFO", "stats").decode()
    told, everything = node.ask("INFO").decode(), node.ask("INFO", "all").decode()
    assert ("# Errorstats" in told, "# Commandstats" in told) == (True, False)  # as Redis has it
    assert [section in everything for section in ("# Errorstats", "# Commandstats", "# Ckv")] == [True] * 3


def test_errors_within_a_transaction_are_counted() -> None:
    node = Node()
    for request in ("MULTI",), ("GET", "a"), ("SET", "b", "1"), ("INFO",), ("EXEC",):
        node.results["GET"] = errors.ValueUnknown("it is away")
        node.results["PUT"] = True
        node.results["INFO"] = errors.ServerError("a defect")
        node.ask(*request)
    assert node.slow.errors.by_code == {"ValueUnknown": 1, "ServerError": 1}


def test_what_monitoring_asks() -> None:
    node = Node()
    assert node.ask("CONFIG", "GET", "save", "append*") == [b"save", b"", b"appendonly", b"no"]
    assert node.ask("TIME") == [b"1000000", b"0"]
    assert node.ask("LASTSAVE") == 1_000_000
    assert node.ask("MODULE", "LIST") == []
    assert node.ask("LATENCY", "LATEST") == []


def test_what_took_long() -> None:
    node = Node("SLOWLOG")
    entries = [[number, 1_000_000, 20_000, ["GET", "k"], "127.0.0.1:7", ""] for number in range(20)]
    node.results["SLOWLOG"] = entries
    told = [[number, 1_000_000, 20_000, [b"GET", b"k"], b"127.0.0.1:7", b""] for number in range(20)]
    for asked, expected in (((), told[:10]), (("3",), told[:3]), (("0",), []), (("-1",), told)):
        assert node.ask("SLOWLOG", "GET", *asked) == expected
    assert node.ask("SLOWLOG", "len") == 20
    assert str(node.ask("SLOWLOG", "GET", "-2")) == "ERR count should be greater than or equal to -1"
    assert str(node.ask("SLOWLOG", "GET", "1", "2")).startswith("ERR wrong number of arguments for 'slowlog|get'")
    assert str(node.ask("SLOWLOG", "GET", "many")) == "ERR value is not an integer or out of range"
    assert node.asked == [("SLOWLOG", 128)] * 5
    assert node.ask("SLOWLOG", "RESET") == b"OK"
    assert node.asked[-1] == ("SLOWLOG", 0)


# --- the table -------------------------------------------------------------------------------------------------------


def test_nothing_is_refused_that_is_there() -> None:
    refused = [name for names in REASONS.values() for name in names.split()]
    assert len(refused) == len(set(refused))
    assert not ROWS.keys() & set(refused)


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_each_row_is_whole(row: Any) -> None:
    assert row.help.endswith(".")
    assert row.usage.split()[0].isupper()
    first, last, step = row.keys
    assert (first == 0) == (last == 0) == (step == 0)
