"""``ckv status``: the figures of one node, and what is wrong, for people and for programs."""

from __future__ import annotations

import json
import sys

from ckv.client import Client
from ckv.errors import CkvError, ProtocolError, UnknownMethod, to_wire
from ckv.exits import Exit
from ckv.node.figures import Info, for_people
from ckv.settings.roles import StatusSettings
from ckv.tools import overview
from ckv.tools.asking import client_of


def run(settings: StatusSettings) -> int:
    """Prints the figures; the exit code."""
    try:
        with client_of(settings) as client:
            info = read(client)
            nodes = [overview.Seen(str(settings.address), "", info), *_secondaries(client, info)]
    except CkvError as error:
        print(f"ckv: {to_wire(error)}", file=sys.stderr)
        return Exit.FAILED
    secondaries = nodes[1:]
    if settings.format == "json":
        of_each = {seen.address: {"error": seen.trouble} if seen.trouble else seen.info for seen in secondaries}
        print(json.dumps(info | {"secondaries": of_each} if secondaries else info))
        return Exit.FINE
    print(for_people(info))
    if secondaries:
        print("\n".join(["", "# Secondaries", *overview.rows([], secondaries, 0.0)]))
    # The end is what a terminal still shows.
    print("\n".join(["", "# Problems", *(overview.wrong(nodes) or ["none"])]))
    return Exit.FINE


def _secondaries(client: Client, info: Info) -> list[overview.Seen]:
    """What those of a primary say; nothing of a secondary."""
    if info.get("role") != "primary":
        return []
    try:
        return overview.survey(client)[1:]
    except UnknownMethod:  # a primary of an earlier version
        return []


def read(client: Client) -> Info:
    """The figures of the node that the client is of. Raises what the client raises."""
    info = client.call("INFO")
    if not isinstance(info, dict):
        raise ProtocolError(f"an INFO was answered with {type(info).__name__}, not a map")
    return info
