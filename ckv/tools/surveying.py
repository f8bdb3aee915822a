"""What nodes say that are asked through a primary, or one that is asked by itself, as a table of keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ckv.client import Client
from ckv.errors import ProtocolError
from ckv.tools.columns import columns
from ckv.tools.shell.words import quoted


class Said(NamedTuple):
    """What one node has said."""

    address: str
    trouble: str
    """Why it has said nothing; empty where it has."""
    found: list[Any]


def survey(client: Client, asked: str, name: str, count: int) -> list[Said]:
    """What all nodes say to this method with this argument; the one that is asked is called by the address ``asked``.
    Raises what the client raises."""
    match client.call(name, count):
        case [*rows]:
            return [_said(row, name, asked) for row in rows]
    raise ProtocolError(f"a {name} was not answered with rows")


def _said(row: object, name: str, asked: str) -> Said:
    match row:
        case [str() as address, str() as trouble, [*found]]:
            return Said(address or asked, trouble, found)
    raise ProtocolError(f"a {name} was answered with something else than an address, a trouble and what was found")


def table(head: Sequence[str], rows: Sequence[tuple[Sequence[str], str, str]], said: Sequence[Said]) -> list[str]:
    """The lines: of each of the ``rows`` its numbers, its node and its key; and which nodes have said nothing, and why.

    >>> table(["calls"], [(["12"], "h:1", "a b")], [Said("h:2", "NodeDown: no", [])])
    ['calls  node  key', '   12  h:1   "a b"', '! h:2: NodeDown: no']
    """
    cells = [[*head, "node", "key"], *([*numbers, node, quoted(key)] for numbers, node, key in rows)]
    lines = columns(cells, words={len(head), len(head) + 1})
    return lines + [f"! {each.address}: {each.trouble}" for each in said if each.trouble]
