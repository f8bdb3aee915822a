"""What the log tells of users: each login and each one that was refused, what operators do, and what was not allowed.

Each has 100 lines a minute of each user and address, and then how many more there were (:mod:`ckv.logs`), so that
somebody who guesses, or asks again and again, hides no line of others.
"""

from __future__ import annotations

import logging

from ckv import events
from ckv.security.slowing import place_of
from ckv.security.users import User

log = logging.getLogger(__name__)


def let_in(user: User, peer: str) -> None:
    """Somebody has logged in."""
    log.info(events.LOGIN, user.name, user.rights.level, peer, extra=_told_apart(user.name, peer))


def refused(name: str, peer: str) -> None:
    """The user or the secret was wrong."""
    log.warning(events.LOGIN_REFUSED, name, peer, extra=_told_apart(name, peer))


def full(user: User, peer: str) -> None:
    """The secret was right, and the user has all of its connections."""
    log.warning(events.USER_FULL, user.name, peer, user.quota.connections, extra=_told_apart(user.name, peer))


def called(command: str, name: str, peer: str) -> None:
    """An operator calls a command of theirs."""
    log.info(events.COMMAND, command, name, peer, extra=_told_apart(f"{command} {name}", peer))


def denied(command: str, name: str, peer: str) -> None:
    """A user has called what it may not, at all or with that key."""
    log.warning(events.DENIED, command, name, peer, extra=_told_apart(name, peer))


def host_of(peer: str) -> str:
    """The host of an address, ``host:port``."""
    return peer.rpartition(":")[0].strip("[]")


def _told_apart(who: str, peer: str) -> dict[str, str]:
    return {"told_apart": f"{who} {place_of(host_of(peer))}"}
