"""The handlers of a node, which are all in one table, and those that are simple."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ckv.commands import COMMANDS
from ckv.protocol.handler import Caller, Handler


def complete(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The handlers in the order of the table. Raises LookupError unless there is one for each command, and no other."""
    if missing := COMMANDS.keys() - handlers.keys():
        raise LookupError(f"no handler for {', '.join(sorted(missing))}")
    if unknown := handlers.keys() - COMMANDS.keys():
        raise LookupError(f"no command {', '.join(sorted(unknown))}")
    return {name: handlers[name] for name in COMMANDS}


def own(name: str, answer: Callable[..., object]) -> Handler:
    """The handler of a command that is answered at once, with what ``answer`` makes of its arguments."""
    command = COMMANDS[name]
    count = len(command.arguments)

    def handler(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        if len(params) != count:
            raise command.wrong_count(params)
        return answer(*params)

    return handler


pong: Final = own("PING", lambda: "PONG")
