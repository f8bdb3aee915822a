"""``ckv big``: the records in memory with the largest values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ckv.client import Client
from ckv.errors import ProtocolError
from ckv.settings.roles import MostSettings
from ckv.tools.asking import ask
from ckv.tools.surveying import Said, survey, table

HEAD: Final = ("bytes",)


def run(settings: MostSettings) -> int:
    """Prints them; the exit code."""
    return ask(settings, lambda client: _tell(client, settings))


def _tell(client: Client, settings: MostSettings) -> None:
    print("\n".join(shown(survey(client, str(settings.address), "BIG", settings.count), settings.count)))


def shown(said: Sequence[Said], count: int) -> list[str]:
    """The lines, with up to so many records."""
    found = sorted((_record(node.address, told) for node in said for told in node.found), reverse=True)
    return table(HEAD, [((f"{size:,}",), address, key) for size, address, key in found[:count]], said)


def _record(address: str, told: object) -> tuple[int, str, str]:
    match told:
        case [int() as size, str() as key]:
            return size, address, key
    raise ProtocolError("a BIG was answered with something else than bytes and keys")
