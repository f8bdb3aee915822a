"""What serves the connections of a server, by who is at the other end: one inbox for all who may do the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from ckv.net.inbox import Inbox
from ckv.net.logins import Logins
from ckv.net.metered import MeteredInbox
from ckv.net.metering import Meter
from ckv.net.permits import audited, need_login, permitted
from ckv.protocol.greeting import AUTH
from ckv.protocol.handler import NO_CORES, Cores, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.msgpackrpc import RpcMethods
from ckv.protocol.resp.methods import RespMethods
from ckv.protocol.slow import NEVER, SlowLog
from ckv.security.rights import Rights


class MakeResp(Protocol):
    """Makes of the methods of a node what clients of Redis may call: :func:`ckv.redis.table.for_node`."""

    def __call__(
        self,
        handlers: Mapping[str, Handler],
        /,
        rights: Rights | None = None,
        logins: Logins | None = None,
        *,
        counts_keys: bool = False,
    ) -> RespMethods: ...


class Rooms:
    """Makes inboxes of the methods of a node."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        guarded: Mapping[str, Handler] | None,
        limits: Limits,
        cores: Cores,
        others: Mapping[str, Handler],
        resp: MakeResp | None,
        slow: SlowLog = NEVER,
    ) -> None:
        """``guarded``: the same methods, which look first whether a request is for this node. ``others``: what nodes
        ask, HELLO too. ``resp``: without it clients of Redis are not served. ``slow``: where is noted which requests
        took long; those of Redis have been given theirs."""
        self._handlers: Final = handlers
        self._guarded: Final = guarded if guarded is not None else handlers
        self._limits: Final = limits
        self._cores: Final = cores
        self._others: Final = others
        self._resp: Final = resp
        self._slow: Final = slow

    def for_all(self, *, looks: bool) -> Inbox:
        """Serves everybody. ``looks``: each request is looked at that may be for another node."""
        handlers = self._guarded if looks else self._handlers
        resp = self._resp(handlers) if self._resp is not None else None
        return Inbox(self._rpc(handlers, self._others), NO_CORES if looks else self._cores, resp)

    def for_guests(self, handlers: Mapping[str, Handler], others: Mapping[str, Handler]) -> Inbox:
        """Serves whoever has no place, with methods that look whether there is one."""
        resp = self._resp(handlers) if self._resp is not None else None
        return Inbox(self._rpc(handlers, others), NO_CORES, resp)

    def for_users(self, logins: Logins, rights: Rights | None, *, looks: bool, meter: Meter | None = None) -> Inbox:
        """Serves users with these rights, or whoever has not logged in; one user alone if there is a ``meter``."""
        handlers = self._guarded if looks else self._handlers
        if rights is None:
            handlers, others = need_login(handlers), need_login(self._others)
        else:
            denied = logins.denied
            handlers, others = permitted(rights, handlers, denied), permitted(rights, self._others, denied)
        others[AUTH] = logins.auth
        is_quick = rights is not None and rights.are_plain and not looks
        make = self._resp
        resp = make(handlers, rights, logins, counts_keys=meter is not None) if make is not None else None
        if meter is not None and "EXEC" in handlers:
            # Parts of a transaction of Redis were counted when they came.
            handlers = {**handlers, "EXEC": meter.counting_parts(handlers["EXEC"])}
        if rights is not None and rights.level == "admin":
            # Commands of Redis are told by themselves, and by their own names.
            handlers, others = audited(handlers, logins.audit), audited(others, logins.audit)
        methods, cores = self._rpc(handlers, others), self._cores if is_quick else NO_CORES
        return Inbox(methods, cores, resp) if meter is None else MeteredInbox(methods, cores, resp, meter)

    def _rpc(self, handlers: Mapping[str, Handler], others: Mapping[str, Handler]) -> RpcMethods:
        return RpcMethods(handlers, self._limits, others, self._slow)
