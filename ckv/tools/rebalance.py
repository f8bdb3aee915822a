"""``ckv rebalance``: whether slots move by themselves."""

from __future__ import annotations

import time
from typing import Final

from ckv.client import Client
from ckv.errors import CallTimeout
from ckv.settings.roles import RebalanceSettings
from ckv.tools.asking import ask
from ckv.tools.slots import read

LOOK_EVERY: Final = 0.05
"""Seconds between two looks whether it is so."""


def run(settings: RebalanceSettings) -> int:
    """Returns when the map of the cluster says so, and so outlives who leads; the exit code."""
    on = settings.switch == "on"

    def talk(client: Client) -> None:
        deadline = time.monotonic() + settings.timeout
        client.call("REBALANCE", on)
        while read(client)[1].get("cluster_rebalances") != on:
            if time.monotonic() >= deadline:
                raise CallTimeout(f"the map of the cluster does not say so after {settings.timeout:g} s")
            time.sleep(LOOK_EVERY)

    return ask(settings, talk)
