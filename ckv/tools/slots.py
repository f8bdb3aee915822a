"""``ckv slots``: who owns how much of a cluster."""

from __future__ import annotations

from typing import Any, Final

from ckv.client import Client
from ckv.errors import ProtocolError
from ckv.settings.roles import ToolSettings
from ckv.tools.asking import ask
from ckv.tools.columns import columns

HEAD: Final = ("name", "incarnation", "address", "state", "weight", "slots", "should be")


def run(settings: ToolSettings) -> int:
    """Prints the table; the exit code."""
    return ask(settings, lambda client: print(shown(*read(client))))


def read(client: Client) -> tuple[list[list[Any]], dict[str, Any]]:
    """A row for each node, and figures of the cluster. Raises what the client raises."""
    match client.call("SLOTS"):
        case [[*rows], dict() as figures] if all(isinstance(row, (list, tuple)) for row in rows):
            found: Any = rows
            return [list(row) for row in found], figures
    raise ProtocolError("a SLOTS was not answered with rows and figures")


def shown(rows: list[list[Any]], figures: dict[str, Any]) -> str:
    """The table, and what moves.

    >>> print(shown([["a", 1, "h:1", "up", 100, 16384, 16384]], {"cluster_moves": 3}))
    name  incarnation  address  state  weight  slots  should be
    a     1            h:1      up     100     16384  16384
    <BLANKLINE>
    cluster_moves 3
    """
    table = [list(HEAD), *([str(each) for each in row] for row in rows)]
    lines = columns(table, words=range(len(HEAD)))
    return "\n".join([*lines, "", *(f"{name} {value}" for name, value in figures.items())])
