"""What the tools that ask a primary about its cluster have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from ckv.address import Address, parse_address
from ckv.client import Client
from ckv.cluster.messages import ASK_THE_LEADER
from ckv.errors import BadSetting, CkvError, Refused, to_wire
from ckv.exits import Exit
from ckv.settings.roles import ToolSettings

HOPS: Final = 3
"""Primaries that are asked at most: the one that leads may change meanwhile, and two could each name the other."""


def client_of(
    settings: ToolSettings, address: Address | None = None, *, connect_timeout: float | None = None
) -> Client:
    """A client of the node, or of another one, which logs in, and speaks TLS, as the settings say. Raises OSError when
    the file with the secret cannot be read any more."""
    place, account = address or settings.address, settings.account
    return Client(
        place.host,
        place.port,
        user=account.name if account is not None else None,
        password=account.secret() if account is not None else None,
        tls=settings.tls,
        timeout=settings.timeout,
        connect_timeout=connect_timeout or settings.timeout,
    )


def ask(settings: ToolSettings, talk: Callable[[Client], None]) -> int:
    """Has ``talk`` talk to the node, or to the primary that leads if the node says that it is another one; the exit
    code. An error is one line on stderr. ``talk`` may be called again from its beginning."""
    address: Address | None = settings.address
    hops = 0
    while address is not None:
        hops += 1
        try:
            with client_of(settings, address) as client:
                talk(client)
            return Exit.FINE
        except CkvError as error:
            address = _leader(error) if hops < HOPS else None
            if address is None:
                print(f"ckv: {to_wire(error)}", file=sys.stderr)
    return Exit.FAILED


def _leader(error: CkvError) -> Address | None:
    """Where the primary is that has to be asked instead, if the error says so."""
    if not isinstance(error, Refused) or not str(error).startswith(ASK_THE_LEADER):
        return None
    try:
        return parse_address(str(error).removeprefix(ASK_THE_LEADER))
    except BadSetting:
        return None
