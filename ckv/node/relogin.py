"""A node whose secret is another one now logs in with that over the connections that it has, and cuts none of them.

Without it the old secret could not be taken from the users before all nodes have connected anew: whoever has logged in
with it is cut off then, and calls are lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ckv import errors, events
from ckv.net.connecting import own_login
from ckv.net.peer import Peer
from ckv.node.asker import Asker
from ckv.protocol.greeting import AUTH

log = logging.getLogger(__name__)


def log_in_again(peers: Iterable[Peer]) -> None:
    """Logs in at those that are connected; the others get the new secret when they are. What one answers is logged."""
    try:
        login = own_login()
    except OSError as error:
        log.error(events.LOGIN_KEPT, error.strerror)
        return
    if login is not None:
        for peer in peers:
            _log_in_again(peer, login)


def _log_in_again(peer: Peer, login: tuple[str, bytes]) -> None:
    def told(error: object, _result: object) -> None:
        if error is None:
            log.info(events.LOGGED_IN_AGAIN, peer.address)
        elif not isinstance(errors.from_wire(error), errors.UnknownMethod):  # of a node without users
            log.error(events.LOGIN_AT_NODE_REFUSED, peer.address, error)

    try:
        peer.ask(AUTH, login, Asker(told))
    except (errors.NodeDown, errors.Draining):
        log.debug("%s is not connected: it gets the login when it is", peer.address)
