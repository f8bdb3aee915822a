"""``ckv hot``: the keys that are asked for most often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ckv.client import Client
from ckv.errors import ProtocolError
from ckv.settings.roles import MostSettings
from ckv.tools.asking import ask
from ckv.tools.surveying import Said, survey, table

HEAD: Final = ("calls/s", "share", "+/-")


class Hot(NamedTuple):
    """A key that is asked for often."""

    calls: float
    """In a second."""
    error: float
    node: str
    key: str


def run(settings: MostSettings) -> int:
    """Prints them; the exit code."""
    return ask(settings, lambda client: _tell(client, settings))


def _tell(client: Client, settings: MostSettings) -> None:
    said = survey(client, str(settings.address), "HOT", settings.count)
    print("\n".join(shown(said, settings.count)))


def shown(said: Sequence[Said], count: int) -> list[str]:
    """The lines, with up to so many keys."""
    hot: list[Hot] = []
    all_calls = longest = 0.0
    for node in said:
        if not node.trouble:
            seconds, calls, found = _read(node)
            longest = max(longest, seconds)
            all_calls += calls
            hot += found
    hot.sort(reverse=True)
    rows = [
        ((_rate(each.calls), f"{100 * each.calls / all_calls:.1f}%", _rate(each.error)), each.node, each.key)
        for each in hot[:count]
    ]
    lines = table(HEAD, rows, said) if rows else [*table(HEAD, [], said)[1:], "no key is asked for more than others"]
    return [
        *lines,
        f"{_rate(all_calls)} calls/s for all keys, in the last {longest:.0f} s, of which later ones count more",
    ]


def _rate(calls: float) -> str:
    """
    >>> _rate(12345.6), _rate(0.25), _rate(0.0)
    ('12,346', '0.2', '0')
    """
    return f"{calls:.1f}" if 0 < calls < 10 else f"{calls:,.0f}"


def _read(node: Said) -> tuple[float, float, list[Hot]]:
    match node.found:
        case [(int() | float()) as seconds, (int() | float()) as calls, [*found]]:
            return seconds, calls, [_key(node.address, pair) for pair in found]
    raise ProtocolError("a HOT was answered with something else than seconds, calls and keys")


def _key(address: str, told: object) -> Hot:
    match told:
        case [str() as key, (int() | float()) as calls, (int() | float()) as error]:
            return Hot(calls, error, address, key)
    raise ProtocolError("a HOT was answered with something else than keys and their calls")
