"""What becomes of the methods of a node for users who may not call all of them, or not with all keys.

This is where requests of msgpack-RPC are looked at, those in a BATCH and in an EXEC too. Commands of Redis are looked
at before (:mod:`ckv.redis.permits`), and call these methods. A method that needs no look is the same object as without
users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ckv import errors
from ckv.cluster.directory import DIRECT
from ckv.cluster.messages import DRAIN, REBALANCE, TABLE
from ckv.commands import COMMANDS, STEP_METHODS, Access
from ckv.protocol.handler import Caller, Handler
from ckv.protocol.session import Session, Unanswered
from ckv.protocol.steps import WATCHED, Asked, requests_of
from ckv.security.rights import FREE, Rights
from ckv.values import checked_key, to_text

OTHERS: Final[Mapping[str, Access]] = {DIRECT: "reader", TABLE: "operator", DRAIN: "operator", REBALANCE: "operator"}
"""Who may call methods that are in no table of commands; all the rest of these is for nodes."""

_ACCESS_OF_STEPS: Final[Mapping[str, Access]] = {
    WATCHED: "reader",
    **{name: COMMANDS[name].access for name in STEP_METHODS},
}
"""Of the parts of an EXEC."""

NOT_YOURS: Final = "the user may name no key but those that begin with certain prefixes"


def audited(handlers: Mapping[str, Handler], audit: Callable[[Session, str], None]) -> dict[str, Handler]:
    """The methods by their names; ``audit`` is told who calls one of operators."""

    def told(name: str, handler: Handler) -> Handler:
        def tell(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            session = caller.session if isinstance(caller, Unanswered) else caller
            if isinstance(session, Session):
                audit(session, name)
            return handler(caller, msgid, params)

        return tell

    return {name: told(name, handler) if _is_audited(name) else handler for name, handler in handlers.items()}


def _is_audited(name: str) -> bool:
    access = COMMANDS[name].access if name in COMMANDS else OTHERS.get(name, "node")
    return access == "operator" and name not in FREE


def permitted(rights: Rights, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The methods by their names, for users with these rights."""
    return {name: _permitted(rights, name, handler) for name, handler in handlers.items()}


def _permitted(rights: Rights, name: str, handler: Handler) -> Handler:
    if name == "EXEC":
        return handler if rights.are_plain else _looking(handler, lambda params: _check_step(rights, params))
    command = COMMANDS.get(name)
    access = command.access if command is not None else OTHERS.get(name, "node")
    if not rights.may(name, access):
        return _refusing(errors.NotAllowed(f"{name} is not for users of the class {rights.level}"))
    if command is None or not rights.prefixes:
        return handler
    if command.has_owner:
        place = command.arguments.index("key")
        return _looking(handler, lambda params: _check_key(rights, params[place : place + 1]))
    if name == "SCAN":
        return _looking(handler, lambda params: _check_pattern(rights, params[1:2]))
    if name == "DBSIZE":
        return _refusing(errors.NotAllowed(f"{name} is about all keys: {NOT_YOURS}"))
    return handler


def need_login(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The methods by their names, for whoever has not logged in."""
    refuse = _refusing(errors.LoginNeeded("log in first (AUTH)"))
    return dict.fromkeys(handlers, refuse)


def _refusing(error: errors.Refused) -> Handler:
    def refuse(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        raise error

    return refuse


def _looking(handler: Handler, check: Callable[[tuple[Any, ...]], None]) -> Handler:
    """The handler, which is not asked if ``check`` raises, given the arguments."""

    def look(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        check(params)
        return handler(caller, msgid, params)

    return look


def _check_key(rights: Rights, keys: tuple[object, ...]) -> None:
    """Raises NotAllowed. Without its key a request is one that no handler takes."""
    if not all(rights.may_name(checked_key(key)) for key in keys):
        raise errors.NotAllowed(NOT_YOURS)


def _check_pattern(rights: Rights, patterns: tuple[object, ...]) -> None:
    texts = (to_text(pattern) if isinstance(pattern, bytes) else pattern for pattern in patterns)
    if not all(isinstance(text, str) and rights.may_match(text) for text in texts):
        raise errors.NotAllowed(f"the pattern has to begin with a prefix: {NOT_YOURS}")


def _check_step(rights: Rights, params: tuple[Any, ...]) -> None:
    """Looks at each part of an EXEC, which may be packed or not."""
    for given in params[:1]:
        requests: list[Asked] = given if type(given) is list else requests_of(given)
        for method, arguments in requests:
            access = _ACCESS_OF_STEPS.get(method, "node")
            if not rights.may(method, access):
                raise errors.NotAllowed(f"{method[:64]} is not for users of the class {rights.level}")
            # All methods of a step have their key first.
            _check_key(rights, arguments[:1])
