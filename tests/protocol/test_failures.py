"""Errors are counted by their codes, wherever they leave."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ckv import errors
from ckv.protocol.failures import code_of
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import Limits
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.protocol.resp.methods import Connected, RespCommand, RespMethods
from ckv.protocol.resp.replies import ReplyError, bulk, error_of
from ckv.protocol.resp.session import RespSession
from ckv.protocol.slow import SlowLog
from tests.support.line import Nowhere
from tests.support.wire import pack

LIMITS = Limits()


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"NotANumber"}))
def test_the_code_of_ckv_is_found_behind_that_of_redis(name: str) -> None:
    error = getattr(errors, name)("NoRoom: no code, but a text\r\nof two lines")
    assert code_of(error_of(errors.to_wire(error))) == name


def test_what_has_no_code_of_ckv_has_that_of_redis() -> None:
    """What clients look for is said as Redis says it."""
    assert code_of(error_of(errors.to_wire(errors.NotANumber("the value is not an integer")))) == "ERR"
    assert code_of(b"-EXECABORT Transaction discarded because of: OOM NoRoom: full\r\n") == "EXECABORT"
    assert code_of(b"-ERR KeyTooLong\r\n") == "KeyTooLong"
    assert code_of(b"-ERR unknown command 'NoRoom: '\r\n") == "ERR"


def test_of_clients_of_msgpack_rpc() -> None:
    """Those that handlers raise, by themselves, in a BATCH and in a message of several; and those that come later."""
    slow = SlowLog(60.0, time.monotonic, time.time)

    def fail(_caller: Caller, _msgid: int, params: tuple[Any, ...]) -> object:
        raise {"full": errors.NoRoom("full"), "defect": RuntimeError("a defect")}[params[0]]

    table = {"FAIL": fail, "LATER": lambda _caller, _msgid, _params: LATER, "FINE": lambda *_: True}
    session = RpcSession(Nowhere(), RpcMethods(table, LIMITS, slow=slow))
    session.received(pack([0, 0, "FINE", []]))
    assert slow.errors.by_code == {}
    session.received(pack([0, 0, "FAIL", ["full"]]))
    session.received(pack([0, 1, "FAIL", ["defect"]]) + pack([0, 2, "NONE", []]))
    session.received(pack([0, 3, "BATCH", ["FAIL", ["full"], "FINE", [], "LATER", []]]))
    session.received(pack([0, "odd", "FINE", []]))
    assert slow.errors.by_code == {"NoRoom": 2, "ServerError": 1, "UnknownMethod": 1, "BadArguments": 1}
    session.respond(6, None, True)
    session.respond(7, "NodeDown: another node's, that is passed on", None)
    session.respond(8, "Newer: a node of another version's", None)
    assert slow.errors.by_code["NodeDown"] == 1
    assert slow.errors.by_code["ServerError"] == 2
    assert slow.errors.by_code.total() == 7


def test_of_clients_of_redis() -> None:
    """By themselves, among others, later, and such as end the connection."""
    slow = SlowLog(60.0, time.monotonic, time.time)
    tickets: list[int] = []

    def fail(_session: RespSession, _request: object) -> Any:
        raise errors.NoRoom("full")

    def later(session: RespSession, _request: object) -> Any:
        tickets.append(session.ticket)
        return session.wait(lambda _session, result: bulk(result))

    def wrong(_session: RespSession, _request: object) -> Any:
        raise ReplyError("WRONGTYPE so it is")

    commands = {"fail": fail, "later": later, "wrong": wrong, "fine": lambda _session, _request: b"+-OK\r\n"}
    rows = {name: RespCommand(command, frozenset()) for name, command in commands.items()}
    session = RespSession(Nowhere(), RespMethods(rows, LIMITS, Connected(), lambda _: "ERR no such command", slow))
    session.received(b"fine\r\n")
    assert slow.errors.by_code == {}
    session.received(b"fail\r\n")
    session.received(b"fine\r\nwrong\r\nnone\r\n")
    assert slow.errors.by_code == {"NoRoom": 1, "WRONGTYPE": 1, "ERR": 1}
    session.received(b"later\r\nlater\r\nfail\r\n")
    assert slow.errors.by_code["NoRoom"] == 2
    session.respond(tickets[1], "NodeDown: another node's", None)
    session.respond(tickets[0], None, b"fine")
    session.take()
    session.received(b"*x\r\n")
    assert session.failed
    assert slow.errors.by_code == {"NoRoom": 2, "WRONGTYPE": 1, "ERR": 2, "NodeDown": 1}
