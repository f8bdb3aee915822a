"""``ckv drain``: has a secondary give its slots away."""

from __future__ import annotations

import time
from typing import Final

from ckv.client import Client
from ckv.settings.roles import DrainSettings
from ckv.tools.asking import ask
from ckv.tools.slots import read

LOOK_EVERY: Final = 0.2
"""Seconds between two looks how far it is."""


def run(settings: DrainSettings) -> int:
    """Returns when the node owns nothing; the exit code."""

    def talk(client: Client) -> None:
        client.call("DRAIN", settings.name)
        before = -1
        while left := _slots_of(client, settings.name):
            if left != before:
                print(f"{settings.name} has {left} slots", flush=True)
            before = left
            time.sleep(LOOK_EVERY)
        print(f"{settings.name} has no slots")

    return ask(settings, talk)


def _slots_of(client: Client, name: str) -> int:
    rows, _ = read(client)
    return sum(int(row[5]) for row in rows if row[0] == name)
