"""Whom compiled code serves, where there are users: only those about whose requests nothing has to be looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ckv.commands import COMMANDS
from ckv.net.permits import permitted
from ckv.net.rooms import Rooms
from ckv.protocol.handler import Cores
from ckv.protocol.limits import Limits
from ckv.security.rights import FREE, Rights


def answer(_caller: Any, _msgid: int, _params: tuple[object, ...]) -> object:
    return True


def untold(_session: Any, _name: str) -> None:
    """Nobody is told."""


HANDLERS = dict.fromkeys(COMMANDS, answer)


@pytest.mark.parametrize(
    ("rights", "looks", "is_quick"),
    [
        (None, False, False),
        (Rights("read"), False, False),
        (Rights("read", ("a",)), False, False),
        (Rights("write", ("a",)), False, False),
        (Rights("write"), True, False),
        (Rights("write"), False, True),
        (Rights("admin"), False, True),
        (Rights("node"), False, True),
        (Rights("node"), True, False),
    ],
    ids=range(9),
)
def test_compiled_code_serves_those_who_may_read_and_write_all_keys(
    rights: Rights | None, looks: bool, is_quick: bool
) -> None:
    core: Any = SimpleNamespace(requests=0)
    logins: Any = SimpleNamespace(auth=answer, audit=untold, denied=untold)
    rooms = Rooms(HANDLERS, None, Limits(), Cores(rpc=core), {}, None)
    assert any(counter is core for counter in rooms.for_users(logins, rights, looks=looks).counters) == is_quick


def test_a_method_that_needs_no_look_is_the_same_as_without_users() -> None:
    assert permitted(Rights("node"), HANDLERS, untold) == HANDLERS
    of_writers = permitted(Rights("write"), HANDLERS, untold)
    assert {name for name, handler in of_writers.items() if handler is answer} == {
        name for name, command in COMMANDS.items() if command.access != "operator" or name in FREE
    }
