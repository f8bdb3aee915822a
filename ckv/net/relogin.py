"""As whom this node has logged in over its connection to another one. With another secret it does so again over the
connection that there is.

Without that the old secret could not be taken from the users before all nodes have connected anew: whoever has logged
in with it is cut off then, and calls are lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ckv import errors, events
from ckv.address import Address
from ckv.net.asker import Asker
from ckv.net.connecting import own_login
from ckv.protocol.greeting import AUTH
from ckv.protocol.handler import Caller
from ckv.security.account import Credentials

log = logging.getLogger(__name__)


class LoggedIn:
    """The login at one node."""

    def __init__(self, address: Address, ask: Callable[[str, tuple[object, ...], Caller], None]) -> None:
        """``ask``: that of the :class:`~ckv.net.peer.Peer`."""
        self._address = address
        self._ask = ask
        self._by: Credentials | None = None
        """What the node has let this one in by."""

    def begins(self, by: Credentials | None) -> None:
        """There is a connection, which began with this login; while it began there may have come another secret."""
        self._by = by
        log_in_again((self,))

    def renew(self, by: Credentials) -> None:
        """Logs in, if it is another login. What the node answers is logged. Where it is not connected, it gets the
        login when it is."""
        if by == self._by:
            return

        def told(error: object, _result: object) -> None:
            if error is None:
                log.info(events.LOGGED_IN_AGAIN, self._address)
            elif not isinstance(errors.from_wire(error), errors.UnknownMethod):  # of a node without users
                log.error(events.LOGIN_AT_NODE_REFUSED, self._address, error)
                return
            self._by = by

        try:
            self._ask(AUTH, (by.name, by.secret), Asker(told))
        except (errors.NodeDown, errors.Draining):
            log.debug("%s is not connected: it gets the login when it is", self._address)


def log_in_again(logins: Iterable[LoggedIn]) -> None:
    """Has the secret read, and each of them log in if it is another one."""
    try:
        by = own_login()
    except OSError as error:
        log.error(events.LOGIN_KEPT, error.strerror)
        return
    if by is not None:
        for login in logins:
            login.renew(by)
