"""Whom a client asks for what, as the primary has told it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ckv.client.connection import Introduction
from ckv.client.endpoint import Endpoint
from ckv.cluster.directory import DIRECT, Directory, Place


class Owner(NamedTuple):
    """How to ask the owner of a slot."""

    endpoint: Endpoint
    introduction: Introduction


class Routes:
    """Who is asked for what, by one directory. Nothing of it changes once it is made."""

    def __init__(self, directory: Directory, before: Routes | None, new: Callable[[str, int], Endpoint]) -> None:
        """``before``: those whose connections go on. ``new`` makes an endpoint for a host and a port."""
        self.directory: Final = directory
        self._owners: Final[list[Owner | None]] = []
        known = {} if before is None else {owner.endpoint: owner for owner in before.owners}
        endpoints = {} if before is None else before.endpoints
        self.endpoints: Final[dict[Place, Endpoint]] = {}
        for number, place in enumerate(directory.places):
            if place is None or not place.process:
                self._owners.append(None)
                continue
            endpoint = self.endpoints[place] = endpoints.get(place) or new(place.host, place.port)
            owner = Owner(endpoint, (DIRECT, directory.introduction(number)))
            # The same one, if it is: who has said it need not say it again.
            self._owners.append(known[endpoint] if known.get(endpoint) == owner else owner)

    @property
    def owners(self) -> list[Owner]:
        """All nodes that can be asked."""
        return [owner for owner in self._owners if owner is not None]

    def owner(self, slot: int) -> Owner | None:
        """How to ask the owner of a slot; None if the primary is to be asked."""
        number = self.directory.owners[slot]
        return self._owners[number] if number < len(self._owners) else None
