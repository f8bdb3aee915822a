"""``ckv top --clients``: which clients of a cluster ask most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ckv.client import Client
from ckv.errors import ProtocolError
from ckv.net.clients import MAX_ROWS, largest_share
from ckv.tools.columns import columns
from ckv.tools.overview import MARK
from ckv.tools.surveying import Said, survey

HEAD: Final = (
    *("share", "calls/s", "in B/s", "out B/s", "in flight", "age"),
    *("protocol", "user", "node", "client"),
)

_NUMBERS: Final = 6
"""How many columns have numbers, which are aligned to the right."""


class Rates(NamedTuple):
    """In one second."""

    calls: float = 0.0
    bytes_in: float = 0.0
    bytes_out: float = 0.0


class Row(NamedTuple):
    """A client."""

    node: str
    """To which it is connected."""
    address: str
    user: str
    protocol: str
    age: float
    """Seconds since it came."""
    in_flight: int
    rates: Rates


class Told(NamedTuple):
    """What one node tells."""

    clients: int
    new: float
    """Connections that came, in one second."""
    rates: Rates
    """Of all clients; the calls also of those that are gone."""
    rows: list[Row]


class Clients:
    """The clients of all nodes, those with the largest share first."""

    def __init__(self, asked: str) -> None:
        """``asked``: the address of the node that is asked, which does not know by which it was found."""
        self._asked = asked
        self._said: list[Said] = []

    def look(self, client: Client) -> None:
        """See :class:`~ckv.tools.top.Watched`, as for the other one."""
        self._said = []
        self._said = survey(client, self._asked, "CLIENTS", MAX_ROWS)

    def lines(self) -> Sequence[str]:
        return shown(self._said) if self._said else []


def shown(said: Sequence[Said]) -> list[str]:
    """The lines: which nodes say nothing, and why; what all clients do; and the clients. A terminal may have no room
    for the last of them."""
    told = [_read(node) for node in said if not node.trouble]
    whole = Rates(*(sum(parts) for parts in zip(Rates(), *(each.rates for each in told), strict=True)))
    rows = [(largest_share(row.rates, whole), row) for each in told for row in each.rows]
    rows.sort(key=lambda ranked: -ranked[0])
    cells = [HEAD, *(_cells(share, row) for share, row in rows)]
    clients, new = sum(each.clients for each in told), sum(each.new for each in told)
    calls, bytes_in, bytes_out = map(_rate, whole)
    return [
        *(f"{MARK}{node.address}: {node.trouble}" for node in said if node.trouble),
        f"{clients:,} clients and {_rate(new)} new ones/s: {calls} calls/s, {bytes_in} B/s in, {bytes_out} B/s out",
        *columns(cells, words=range(_NUMBERS, len(HEAD))),
    ]


def _cells(share: float, row: Row) -> tuple[str, ...]:
    numbers = (f"{100 * share:.1f}%", *map(_rate, row.rates), f"{row.in_flight:,}", _short(row.age))
    return (*numbers, row.protocol, row.user or "-", row.node, row.address)


def _rate(rate: float) -> str:
    """
    >>> _rate(12345.6), _rate(0.25), _rate(0.0)
    ('12,346', '0.2', '0')
    """
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:,.0f}"


def _short(seconds: float) -> str:
    """
    >>> _short(59.9), _short(60), _short(7300), _short(200_000)
    ('59s', '1m', '2h', '2d')
    """
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"


def _read(node: Said) -> Told:
    match node.found:
        case [(int() | float()) as seconds, [int() as clients, int() as new, *counts], [*rows]]:
            each = [_row(node.address, row, seconds) for row in rows]
            return Told(clients, _in_one_second(new, seconds), _of(counts, seconds), each)
    raise _wrong()


def _row(node: str, told: object, seconds: float) -> Row:
    match told:
        case [str() as address, str() as user, str() as protocol, (int() | float()) as age, int() as waiting, *counts]:
            return Row(node, address, user, protocol, age, waiting, _of(counts, seconds))
    raise _wrong()


def _of(counts: Sequence[Any], seconds: float) -> Rates:
    """Raises ProtocolError."""
    if len(counts) != len(Rates._fields) or not all(isinstance(count, int) for count in counts):
        raise _wrong()
    return Rates(*(_in_one_second(count, seconds) for count in counts))


def _in_one_second(count: int, seconds: float) -> float:
    """The first answer is about no time."""
    return count / seconds if seconds else 0.0


def _wrong() -> ProtocolError:
    return ProtocolError("a CLIENTS was answered with something else than seconds, sums and clients")
