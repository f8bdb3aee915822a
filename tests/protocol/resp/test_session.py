"""A RESP session: answers leave in the order of the requests, whichever is ready first, and within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv import errors
from ckv.protocol.handler import LATER
from ckv.protocol.limits import Limits
from ckv.protocol.resp.methods import Connected, RespCommand, RespMethods
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.quick import MOST_KEPT_BYTES, QuickRespSession
from ckv.protocol.resp.replies import ReplyError, bulk
from ckv.protocol.resp.session import RespSession
from tests.support.line import Nowhere, served

LIMITS = Limits(max_value_bytes=1000, soft_unsent_bytes=5000)


class World:
    """A session with commands of which the test decides when they are answered."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.line = Nowhere()
        self.asked: dict[bytes, int] = {}
        """The tickets of those that wait, by their argument."""
        self.parts: list[tuple[object, object]] = []
        self.limits = limits
        commands: dict[str, Callable[[RespSession, Request], Any]] = {
            "now": lambda _session, request: bulk(request[1]),
            "later": self._later,
            "prompt": self._prompt,
            "last": self._last,
            "fail": self._fail,
            "quit": self._quit,
        }
        self.methods = RespMethods(
            {name: RespCommand(command, frozenset({name})) for name, command in commands.items()},
            *(limits, Connected(), lambda request: f"ERR unknown {request[0].decode()}"),
        )
        self.session = QuickRespSession(self.line, self.methods)

    def _later(self, session: RespSession, request: Request) -> Any:
        self.asked[request[1]] = session.ticket
        return session.wait(lambda _session, result: bulk(result))

    def _prompt(self, session: RespSession, request: Request) -> Any:
        """Answers before it says that it would be later, as handlers may."""
        session.respond(session.ticket, None, request[1])
        return session.wait(lambda _session, result: bulk(result))

    def _last(self, session: RespSession, request: Request) -> Any:
        """Is carried out when all before it is answered."""
        return session.wait_for_all() if session.owes_answers else bulk(request[1])

    def _fail(self, _session: RespSession, request: Request) -> Any:
        kinds = {b"reply": ReplyError("ERR so it is"), b"ckv": errors.NoRoom("full"), b"defect": RuntimeError()}
        raise kinds[request[1]]

    def _quit(self, session: RespSession, _request: Request) -> Any:
        session.finish()
        return b"+OK\r\n"

    def send(self, *requests: str) -> bytes:
        return served(self.session, self.line, "".join(f"{request}\r\n" for request in requests).encode())

    def answer(self, name: bytes, error: str | None = None) -> None:
        self.session.respond(self.asked.pop(name), error, name)

    def taken(self) -> bytes:
        """What has come together for the end of the turn."""
        return self.session.take() if self.session.waiting else b""

    def held(self) -> bool:
        return self.line.held

    def is_between(self) -> bool:
        return self.session.is_between

    def goes_on(self) -> bytes:
        """What a connection that is released has served."""
        answers = b""
        while self.session.attention and not self.line.held and not self.session.failed:
            answers += self.session.more()
        return answers


@given(
    st.lists(st.sampled_from(["now", "later", "prompt"]), max_size=30),
    st.randoms(use_true_random=False),
    st.lists(st.integers(1, 5), max_size=20),
)
def test_answers_leave_in_the_order_of_the_requests(kinds: list[str], chance: Any, sizes: list[int]) -> None:
    """However requests come in reads, and whenever those that wait are answered."""
    world = World(Limits(max_in_flight=1000))
    requests = [f"{kind} {number}" for number, kind in enumerate(kinds)]
    got = b""
    at = 0
    for size in [*sizes, len(requests)]:
        got += world.send(*requests[at : at + size]) if at < len(requests) else b""
        at += size
        for name in chance.sample(sorted(world.asked), chance.randint(0, len(world.asked))):
            world.answer(name)
        if chance.random() < 0.5:
            got += world.taken()
    for name in chance.sample(sorted(world.asked), len(world.asked)):
        world.answer(name)
    got += world.taken()
    assert got == b"".join(bulk(str(number)) for number in range(len(kinds)))
    assert world.session.in_flight == 0
    assert world.session.is_between


def test_a_request_that_waits_holds_up_no_other() -> None:
    world = World()
    assert world.send("later a", "later b", "now c") == b""
    assert set(world.asked) == {b"a", b"b"}, "both were carried out"
    world.answer(b"b")
    assert not world.session.waiting, "nothing can leave before the first"
    world.answer(b"a")
    assert world.taken() == bulk("a") + bulk("b") + bulk("c")


def test_what_was_collected_leaves_before_what_is_answered_at_once() -> None:
    world = World()
    world.send("later a")
    world.answer(b"a")
    assert world.send("now b") == bulk("a") + bulk("b")
    assert not world.session.waiting


def test_errors_stand_in_their_places(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    got = world.send("now a", "fail reply", "fail ckv", "fail defect", "none", "NoW b", "later c", "fail reply")
    assert got.split(b"\r\n")[:9] == [
        *(b"$1", b"a", b"-ERR so it is", b"-OOM NoRoom: full", b"-ERR UNKNOWN ServerError: unexpected error in fail"),
        *(b"-ERR unknown none", b"$1", b"b", b""),
    ]
    assert "unexpected error in fail" in caplog.text
    world.answer(b"c", "NodeLost: it broke")
    assert world.taken() == b"-ERR UNKNOWN NodeLost: it broke\r\n-ERR so it is\r\n"


def test_so_many_may_be_in_flight() -> None:
    most = LIMITS.max_answers_in_flight
    world = World()
    assert world.send(*(f"later {number}" for number in range(most + 10)), "now x") == b""
    assert len(world.asked) == most
    assert world.held()
    for number in range(most):
        world.answer(b"%d" % number)
    assert not world.held()
    got = world.goes_on()
    assert len(world.asked) == 10
    for number in range(most, most + 10):
        world.answer(b"%d" % number)
    assert got + world.taken() == b"".join(bulk(str(number)) for number in range(most + 10)) + bulk("x")


def test_answers_that_wait_for_another_are_bounded() -> None:
    """The line is held when they are too many bytes; it goes on when they have left."""
    world = World()
    world.send("later first", *(f"now {number:0>900}" for number in range(20)))
    assert world.held()
    assert world.session.in_flight < 10
    world.answer(b"first")
    assert not world.held()
    got = world.taken()
    while world.session.attention:
        got += world.goes_on()
    assert got == bulk("first") + b"".join(bulk(f"{number:0>900}") for number in range(20))


def test_many_bytes_of_answers_are_sent_before_the_rest_is_served() -> None:
    world = World()
    requests = b"".join(b"now %s\r\n" % (b"x" * 900) for _ in range(20))
    first = world.session.received(requests)
    assert LIMITS.soft_unsent_bytes < len(first) < LIMITS.soft_unsent_bytes + 1000
    assert world.session.attention
    assert len(first + world.goes_on()) == 20 * len(bulk("x" * 900))


def test_what_arrives_while_the_line_is_held_comes_after_what_was_left() -> None:
    world = World()
    world.line.hold("somebody")
    world.session.feed(b"later a\r\nnow b\r\nlater c\r\n")
    world.session.feed(b"now d\r\nno")
    assert not world.asked
    world.line.release("somebody")
    assert world.goes_on() == b""
    assert world.session.received(b"w e\r\n") == b""
    world.answer(b"c")
    world.answer(b"a")
    assert world.taken() == b"".join(map(bulk, "abcde"))


def test_bytes_that_mean_nothing_end_it_after_what_came_before() -> None:
    world = World()
    assert world.send("now a", "*x", "now b") == bulk("a") + b"-ERR Protocol error: invalid multibulk length\r\n"
    assert world.session.failed == "invalid multibulk length"


def test_with_answers_to_come_it_ends_without_a_word() -> None:
    world = World()
    assert world.send("later a", "*x") == b""
    assert world.session.failed


@pytest.mark.parametrize("line", ["POST / HTTP/1.1", "hOsT: 127.0.0.1:8080"])
def test_http_ends_it_before_anything_is_carried_out(line: str) -> None:
    world = World()
    assert world.send("now a", line, "later b") == bulk("a")
    assert world.session.failed == "HTTP in the place of RESP"
    assert not world.asked


def test_quit_reads_nothing_more_and_waits_for_what_was_asked() -> None:
    world = World()
    assert world.send("later a", "quit", "later b") == b""
    assert world.line.finished
    assert set(world.asked) == {b"a"}
    world.answer(b"a")
    assert world.taken() == bulk("a") + b"+OK\r\n"


def test_everything_is_refused_but() -> None:
    world = World()
    world.methods.refuse_everything(errors.Starting("wait"), ["now"])
    assert world.send("now a", "LATER b", "none") == bulk("a") + b"-LOADING Starting: wait\r\n-ERR unknown none\r\n"
    world.methods.refuse_nothing()
    world.send("later b")
    assert world.asked


def test_parts_of_a_request_have_tickets_of_their_own() -> None:
    world = World()
    session = world.session
    first, second = (session.part(lambda *told: world.parts.append(told)) for _ in range(2))
    session.no_part(first)
    session.respond(first, None, "nobody hears it")
    session.respond(second, "an error", None)
    assert world.parts == [("an error", None)]
    assert session.wait(None) is LATER
    session.answer(0, b"done")
    assert world.taken() == b"done"


def test_nobody_is_told_when_it_is_closed() -> None:
    world = World()
    world.send("later a", "later b", "now c")
    ticket = world.session.part(lambda *told: world.parts.append(told))
    assert world.methods.connected.sessions
    world.session.close()
    world.answer(b"a")
    world.session.respond(ticket, None, "nobody hears it")
    assert not world.session.waiting
    assert not world.parts
    assert not world.methods.connected.sessions


def test_what_compiled_code_leaves_goes_on_here() -> None:
    world = World()
    session = world.session
    assert world.is_between()
    assert session.go_on(b"now a\r\n*2\r\n$3\r\nno", False) == bulk("a")
    assert not world.is_between(), "an argument was taken apart already"
    assert session.received(b"w\r\n$1\r\nb\r\nno") == bulk("b")
    assert world.is_between(), "what was kept is handed out"
    assert session.with_kept(b"w b\r\n") == b"now b\r\n"
    assert session.go_on(b"no", True) == b""
    assert not session.rest()
    assert session.received(b"w a\r\n") == bulk("a"), "or it goes on with it"
    assert session.go_on(b"now b\r\nlater c\r\n", False) == bulk("b")
    assert not world.is_between(), "an answer is to come"
    world.answer(b"c")
    assert not world.is_between(), "it is to be taken"
    assert world.taken() == bulk("c")
    assert world.is_between()


def test_the_beginning_of_a_request_is_kept_for_compiled_code() -> None:
    world = World()
    session = world.session
    beginning = b"*2\r\n$3\r\nnow\r\n$1\r\n"
    assert session.go_on(beginning, True) == b""
    assert world.is_between()
    assert not session.rest()
    assert session.kept_bytes == len(beginning)
    assert session.with_kept(b"a\r\n") == beginning + b"a\r\n"
    assert session.rest()
    assert session.go_on(beginning, True) == b""
    assert session.received(b"b\r\n") == bulk("b"), "nobody asks compiled code any more"
    assert session.go_on(beginning, False) == b""
    assert not world.is_between(), "it is taken apart already"
    assert session.received(b"c\r\n") == bulk("c")
    long = b"*1024\r\n" + b"$4\r\nlong\r\n" * 1000
    long += b"$300000\r\n" + b"x" * (MOST_KEPT_BYTES - len(long))
    session.go_on(long, True)
    assert not world.is_between(), "it is too long to be looked at again and again"


def test_a_request_may_wait_for_all_before_it() -> None:
    """However many may be in flight, and only once: later ones hold the line as ever."""
    world = World(Limits(max_value_bytes=1000, max_in_flight=8))
    most = world.limits.max_answers_in_flight
    assert world.session.received(b"later a\r\nlater b\r\nlast c\r\nnow d\r\n") == b""
    assert not world.session.may_go_ahead
    for argument in (b"b", b"a"):
        assert world.held()
        world.answer(argument)
    assert not world.held()
    assert world.session.more() == bulk("a") + bulk("b") + bulk("c") + bulk("d")
    assert world.is_between()
    assert world.session.received(b"".join(b"later %d\r\n" % number for number in range(most))) == b""
    assert world.held()
    for number in range(most // 2):
        world.answer(b"%d" % number)
    assert not world.held(), "half of them are answered"


def test_compiled_code_asks_between_its_own_answers() -> None:
    world = World()
    session = world.session
    assert session.ask(b"now a\r\nfail reply\r\n") == (bulk("a") + b"-ERR so it is\r\n", True)
    assert session.ask(b"later b\r\n") == (b"", False)
    assert session.go_on(b"now c\r\n", False) == b""
    world.answer(b"b")
    assert world.taken() == bulk("b") + bulk("c")
    assert session.ask(b"quit\r\n") == (b"+OK\r\n", False)
    assert session.go_on(b"now d\r\n", False) == b""
    assert session.more() == b""


def test_it_counts_each_request_whether_it_is_served_at_once_or_kept() -> None:
    world = World()
    world.send("now a")
    world.send("now a", "later b", "last c")
    world.session.feed(b"now d\r\nnow e\r\n")
    assert world.session.calls == world.methods.requests == 6
