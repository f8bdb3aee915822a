"""Where the clients connect."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

OTHER_SERVER: Final = os.environ.get("CLIENTS_SERVER", "")
"""The address of a Redis that takes the place of ckv, or nothing. What ckv lacks is expected to work with that."""


@dataclass(frozen=True, slots=True)
class Server:
    """A node, or another server in its place."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    ca: str = ""
    """The file with whom to trust, where it speaks TLS."""

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}"
