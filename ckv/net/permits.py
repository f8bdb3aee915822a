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


Tell = Callable[[Session, str], None]
"""Is told over which session something is called, and its name."""


def audited(handlers: Mapping[str, Handler], audit: Tell) -> dict[str, Handler]:
    """The methods by their names; ``audit`` is told who calls one of operators."""

    def told(name: str, handler: Handler) -> Handler:
        def tell(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            _tell(audit, caller, name)
            return handler(caller, msgid, params)

        return tell

    return {name: told(name, handler) if _is_audited(name) else handler for name, handler in handlers.items()}


def _tell(tell: Tell, caller: Caller, name: str) -> None:
    session = caller.session if isinstance(caller, Unanswered) else caller
    if isinstance(session, Session):
        tell(session, name)


def _is_audited(name: str) -> bool:
    access = COMMANDS[name].access if name in COMMANDS else OTHERS.get(name, "node")
    return access == "operator" and name not in FREE


def permitted(rights: Rights, handlers: Mapping[str, Handler], denied: Tell) -> dict[str, Handler]:
    """The methods by their names, for users with these rights; ``denied`` is told who calls what he may not."""
    return {name: _Permit(rights, name, denied).of(handler) for name, handler in handlers.items()}


class _Permit:
    """What users with certain rights may do with one method."""

    def __init__(self, rights: Rights, name: str, denied: Tell) -> None:
        self._rights = rights
        self._name = name
        self._denied = denied

    def of(self, handler: Handler) -> Handler:
        """The method, as they may call it: the same one if there is nothing to be looked at."""
        rights, name = self._rights, self._name
        if name == "EXEC":
            return handler if rights.are_plain else self._looking(handler, lambda params: _check_step(rights, params))
        command = COMMANDS.get(name)
        access = command.access if command is not None else OTHERS.get(name, "node")
        if not rights.may(name, access):
            return self._refusing(handler, f"{name} is not for users of the class {rights.level}")
        if command is None or not rights.prefixes:
            return handler
        if command.has_owner:
            place = command.arguments.index("key")
            return self._looking(handler, lambda params: _check_key(rights, params[place : place + 1]))
        if name == "SCAN":
            return self._looking(handler, lambda params: _check_pattern(rights, params[1:2]))
        if name == "DBSIZE":
            return self._refusing(handler, f"{name} is about all keys: {NOT_YOURS}")
        return handler

    def _refusing(self, handler: Handler, why: str) -> Handler:
        def refuse(_params: tuple[Any, ...]) -> None:
            raise errors.NotAllowed(why)

        return self._looking(handler, refuse)

    def _looking(self, handler: Handler, check: Callable[[tuple[Any, ...]], None]) -> Handler:
        """The handler, which is not asked if ``check`` raises, given the arguments."""

        def look(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            try:
                check(params)
            except errors.NotAllowed:
                _tell(self._denied, caller, self._name)
                raise
            return handler(caller, msgid, params)

        return look


def need_login(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The methods by their names, for whoever has not logged in."""

    def refuse(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        raise errors.LoginNeeded("log in first (AUTH)")

    return dict.fromkeys(handlers, refuse)


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
