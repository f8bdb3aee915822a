"""Serves the connections of a user with limits, and counts what is served. Compiled, as what it inherits from is."""

from __future__ import annotations

from ckv.net.inbox import Inbox, Pairs
from ckv.net.metering import Meter
from ckv.protocol.handler import Core, Cores, RespLoop
from ckv.protocol.msgpackrpc import RpcMethods
from ckv.protocol.resp.methods import RespMethods


class MeteredInbox(Inbox):
    """Serves the connections of one user, and counts its requests, one for each key that they name."""

    def __init__(self, methods: RpcMethods, cores: Cores, resp: RespMethods | None, meter: Meter) -> None:
        super().__init__(methods, cores, resp)
        self._meter = meter
        self._counted = 0
        """Of those that its methods have carried out."""

    def receive_all(self) -> Pairs:
        # Compiled code counts for other inboxes, too; what is in the methods is of this one alone, and some of it is
        # served between two turns.
        cores = self._all_cores
        before = _requests(cores.rpc, cores.resp)
        try:
            return super().receive_all()
        finally:
            own = _requests(self._methods, self._resp)
            self._meter.served(own - self._counted + _requests(cores.rpc, cores.resp) - before)
            self._counted = own


def _requests(rpc: Core | RpcMethods | None, resp: RespLoop | RespMethods | None) -> int:
    """Those of both protocols. A request of msgpack-RPC names one key at most, and an EXEC is looked at apart."""
    of_rpc = rpc.requests if rpc is not None else 0
    return of_rpc + (resp.requests + resp.more_keys if resp is not None else 0)
