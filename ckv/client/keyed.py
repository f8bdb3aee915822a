"""Which key a call is about, as far as that decides who is asked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from ckv.client.calls import Call
from ckv.client.routes import Routes
from ckv.cluster.slots import slot_of
from ckv.commands import COMMANDS
from ckv.values import to_text

KEYED: Final = frozenset(name for name, command in COMMANDS.items() if command.has_owner)
"""The methods that the owner of a key answers. The key is their first argument."""


def slot_of_call(call: Call) -> int | None:
    """The slot of the key that a call is about; None if no one owner answers it."""
    if call.method not in KEYED or not call.params:
        return None
    key = call.params[0]
    if key.__class__ is str:
        return slot_of(key)
    if isinstance(key, str | bytes):
        return slot_of(key if isinstance(key, str) else to_text(key))
    return None


def lacks_owner(calls: Sequence[Call], routes: Routes | None) -> bool:
    """Whether one of the calls is about a key of which nobody is known who can be asked."""
    slots = (slot_of_call(call) for call in calls)
    return any(slot is not None and (routes is None or routes.owner(slot) is None) for slot in slots)


def in_turn(calls: Sequence[Call]) -> list[Sequence[Call]]:
    """The calls in parts that have to be made one after the other, so that their order is that in which they were
    added: what no one owner answers may be about all keys, and comes another way than what is about one."""
    return [list(part) for _, part in groupby(calls, lambda call: slot_of_call(call) is None)]
