"""``ckv owner``: which slot a key is in, who owns it, and where the record is."""

from __future__ import annotations

from ckv.address import Address
from ckv.client import Client
from ckv.cluster.directory import OWNERS, Directory
from ckv.cluster.slots import SLOTS, slot_of
from ckv.errors import NodeDown, ProtocolError
from ckv.settings.roles import OwnerSettings
from ckv.tools.asking import ask, client_of


def run(settings: OwnerSettings) -> int:
    """Prints the three; the exit code."""
    return ask(settings, lambda client: _tell(client, settings))


def _tell(primary: Client, settings: OwnerSettings) -> None:
    slot = slot_of(settings.key)
    try:
        directory = Directory.unpack(primary.call(OWNERS), SLOTS)
    except ValueError as error:
        raise ProtocolError(f"{OWNERS} was not answered with who owns what: {error}") from None
    number = directory.owners[slot]
    place = directory.places[number] if number < len(directory.places) else None
    print(f"slot {slot}")
    if place is None:
        raise NodeDown(f"slot {slot} has no owner now")
    name = f"{place.name} at " if place.name else ""
    print(f"owner {name}{place.host}:{place.port}", flush=True)
    with client_of(settings, Address(place.host, place.port)) as owner:
        match owner.call("PEEK", settings.key):
            case [str() as where, _]:
                print(f"where {where}")
            case _:
                raise ProtocolError("PEEK was not answered with a place")
