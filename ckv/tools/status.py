"""``ckv status``: the figures of one node, for people and for programs."""

from __future__ import annotations

import json
import sys

from ckv.client import Client
from ckv.errors import CkvError, ProtocolError, to_wire
from ckv.exits import Exit
from ckv.node.figures import Info, for_people
from ckv.settings.roles import StatusSettings
from ckv.tools.asking import client_of


def run(settings: StatusSettings) -> int:
    """Prints the figures; the exit code."""
    try:
        with client_of(settings) as client:
            info = read(client)
    except CkvError as error:
        print(f"ckv: {to_wire(error)}", file=sys.stderr)
        return Exit.FAILED
    print(json.dumps(info) if settings.format == "json" else for_people(info))
    return Exit.FINE


def read(client: Client) -> Info:
    """The figures of the node that the client is of. Raises what the client raises."""
    info = client.call("INFO")
    if not isinstance(info, dict):
        raise ProtocolError(f"an INFO was answered with {type(info).__name__}, not a map")
    return info
