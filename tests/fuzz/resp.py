"""Any bytes of a client of Redis into a secondary: the target that hypothesis (in the tests) and atheris drive.

make fuzz FUZZ_TARGET=resp FUZZ_SECONDS=600     # coverage-guided, as tests.fuzz.wire

hiredis, the C library of Redis, judges twice: what it reads as requests has to be found as requests, and what is
answered it has to be able to read, one answer for each request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, Final

import hiredis

from ckv.node.auditing import Audits
from ckv.node.emptying import Emptying
from ckv.node.expiring import expiry_handlers
from ckv.node.scanning import Scans
from ckv.node.secondary import handlers, operator_handlers
from ckv.node.steps import step_handlers
from ckv.node.walking import Ask, Question, Walker
from ckv.protocol.handler import Handler
from ckv.protocol.limits import KIB, Limits
from ckv.protocol.resp.parsing import MAX_ARGUMENTS, Parser, Request
from ckv.protocol.resp.session import RespSession
from ckv.redis.table import for_node
from ckv.store.memory import POLICIES
from ckv.store.modes import EvictStore
from ckv.store.pending import Pending
from ckv.store.tiers import Environment
from tests.fuzz.search import search
from tests.protocol.resp.test_parsing import packed
from tests.support.line import Nowhere, served

LIMITS = Limits(max_value_bytes=4 * KIB, max_in_flight=1_000_000)
CHUNK = 512
NOW = 1_000_000.0

_EMPTY: Final = re.compile(rb"\*(?:0|-[1-9]\d{0,9})\r\n")
"""What is no request: of no arguments, or of fewer."""

_HUGE: Final = re.compile(rb"[*%~>|]\d{6}")
"""The head of an array for which hiredis would take memory at once."""

SUBSCRIBING: Final = frozenset({b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe"})
"""What is answered by as many pushes as it names channels."""

_PUSHED: Final = frozenset({b"message", b"pmessage", *SUBSCRIBING})


class Empty(Walker):
    """Tells that a persistent tier has no rows, when it comes to that."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def ask(self, ask: Ask) -> Question:
        self.asked.append(Question(ask, 0.0))
        return self.asked[-1]

    def answer(self) -> None:
        """Tells all who have asked."""
        asked, self.asked = self.asked, []
        for question in asked:
            session: Any = self
            question.tell(question.ask(session), None)

    # --- as a session ---

    def next_keys(self, _after: str | None, _count: int, _prefix: bytes) -> list[tuple[str, int]]:
        return []

    def estimate(self) -> int:
        return 0


class Secondary:
    """One without a persistent tier that answers, so that whoever waits for it is told so by the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.later: list[Callable[[], None]] = []
        """What is to be done in the next turn of the loop."""
        environment = Environment(
            clock=lambda: self.now, now_ms=lambda: int(NOW * 1000), load_timeout=1, pending_wait=1
        )
        self.store = EvictStore(POLICIES["lru"](2), Pending(100, KIB * KIB), environment)
        self._walker = Empty()
        self._scans = Scans(self.store, self._walker, lambda: None, lambda: self.now)
        self._emptying = Emptying(self.store, self._scans, True, 1, lambda: self.now)
        self.line = Nowhere()
        made = for_node(LIMITS, lambda: NOW, keys_max=3, next_turn=self.later.append)
        self.session = RespSession(self.line, made(self._handlers()))

    def _handlers(self) -> dict[str, Handler]:
        most = LIMITS.max_value_bytes
        single = handlers(self.store, most) | expiry_handlers(self.store, most, lambda: int(NOW * 1000))
        audits = Audits(self.store, lambda: self.now)
        return {
            **(single | step_handlers(self.store, single, most)),
            **self._scans.handlers,
            "FLUSH": self._emptying.flush,
            **operator_handlers(self.store, audits),
        }

    @property
    def is_over(self) -> bool:
        """Whether the connection ends."""
        return bool(self.session.failed) or self.line.finished

    def turn(self) -> bytes:
        """A turn of the loop, long after the one before: what is sent in it."""
        self.now += 10.0
        self.store.expire()
        self._walker.answer()
        self._emptying.expire()
        todo, self.later[:] = list(self.later), []
        for do in todo:
            do()
        sent = self.session.take() if self.session.waiting else b""
        if self.session.attention and not (self.session.failed or self.line.holds):
            sent += served(self.session, self.line, b"")
        return sent

    @property
    def is_busy(self) -> bool:
        """Whether another turn would have anything to do."""
        return bool(self.session.in_flight or self.session.attention or self.session.waiting or self.later)


class Unexpected(logging.Handler):
    """Notes what the log would have of a mistake of our own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"{record.getMessage()}: {record.exc_info}")


TURNS: Final = 1000
"""More than anything takes."""


def one_input(data: bytes) -> None:
    """Feeds the bytes in pieces; raises when anything but right answers comes of it."""
    requests = check_requests(data)
    node = Secondary()
    unexpected = Unexpected()
    logger = logging.getLogger("ckv")
    logger.addHandler(unexpected)
    try:
        sent = b""
        for start in range(0, len(data), CHUNK):
            sent += served(node.session, node.line, data[start : start + CHUNK]) + node.turn()
            if node.is_over:
                break
        for _ in range(TURNS):
            if node.is_over or not node.is_busy:
                break
            sent += node.turn()
        else:
            raise AssertionError(f"{node.session.in_flight} requests were never answered")
    finally:
        logger.removeHandler(unexpected)
    assert not unexpected.found
    node.store.check()
    check_answers(sent, requests, node)


def check_answers(sent: bytes, requests: list[Request], node: Secondary) -> None:
    """One answer for each request, and nothing behind a protocol error."""
    answers = read(sent)
    broken = [str(answer).startswith("ERR Protocol error: ") and is_error(answer) for answer in answers]
    assert sum(broken) == any(broken[-1:]), "something was answered behind a protocol error"
    assert not any(broken) or node.session.failed
    if node.is_over:
        return
    count = sum(not is_push(answer) for answer in answers)
    several = sum(request[0].lower() in SUBSCRIBING for request in requests)
    assert len(requests) - several <= count <= len(requests), f"{count} answers to {len(requests)} requests"


def is_error(answer: object) -> bool:
    return isinstance(answer, hiredis.ReplyError)


def is_push(answer: object) -> bool:
    """Whether it is a message, or the answer about a channel; RESP2 does not tell these from arrays."""
    return isinstance(answer, list) and 3 <= len(answer) <= 4 and answer[0] in _PUSHED


def read(sent: bytes) -> list[object]:
    """The answers. Raises AssertionError for what is none, or none that is whole."""
    reader = hiredis.Reader()
    reader.feed(sent)
    answers = []
    while (answer := reader.gets()) is not False:
        answers.append(answer)
    assert not reader.has_data(), "an answer is not whole"
    return answers


def check_requests(data: bytes) -> list[Request]:
    """The requests in the bytes; up to the first line, or the first mistake, hiredis has to find the same."""
    parser = Parser(LIMITS)
    found = parser.parse(data)
    assert all(found), "a request without a command"
    if _HUGE.search(data):
        return found
    at = count = 0
    while at < len(data):
        empty = _EMPTY.match(data, at)
        if empty is not None:
            at = empty.end()
            continue
        if data[at : at + 1] != b"*":
            break  # A line: hiredis reads answers, which have none.
        reader = hiredis.Reader()
        reader.feed(data[at:])
        try:
            request = reader.gets()
        except hiredis.ProtocolError:
            request = None
        if request is False:
            assert len(found) == count, f"{found[count]} has not arrived"
            break
        whole = isinstance(request, list) and all(isinstance(part, bytes) for part in request)
        if not whole or data[at : at + len(packed(request))] != packed(request):
            assert parser.broken, "it is no request"
            assert len(found) == count, f"{found[count]} is no request"
            break
        if len(request) > MAX_ARGUMENTS or sum(map(len, request)) > LIMITS.max_message_bytes:
            assert parser.broken
            break
        assert found[count : count + 1] == [request], f"{request} was not found"
        at += len(packed(request))
        count += 1
    return found


SEEDS: Final = (
    *(packed([b"SET", b"key", b"value", b"EX", b"10"]), packed([b"GET", b"key"]), b"INCR number\r\n"),
    *(packed([b"MSET", b"a", b"1", b"b", b"2"]), packed([b"MGET", b"a", b"b", b"c"])),
    *(packed([b"MULTI"]), packed([b"DEL", b"a"]), packed([b"EXPIRE", b"b", b"10", b"NX"]), packed([b"EXEC"])),
    *(packed([b"HELLO", b"3"]), b"SET \"k\\x00\" 'v'\r\n", packed([b"GETEX", b"key", b"PERSIST"]), b"*-1\r\n"),
    *(packed([b"SUBSCRIBE", b"a"]), packed([b"PUBLISH", b"a", b"1"]), packed([b"UNSUBSCRIBE"])),
    *(packed([b"SCAN", b"0", b"MATCH", b"k*"]), packed([b"KEYS", b"*"]), packed([b"FLUSHDB"])),
)
"""Good requests, so that the fuzzer need not discover RESP by itself."""


if __name__ == "__main__":
    search(one_input, [b"".join(SEEDS)])
