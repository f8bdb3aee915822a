"""What an update makes of a value: the functions that :meth:`ckv.store.Records.update` carries out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ckv.values import Value

KEEP: Final = -1
"""In the place of an expiry: as it was, which is never where there was no record."""


class Change(NamedTuple):
    """What becomes of a record, and what whoever asked for it is told."""

    result: object
    value: Value | None = None
    """The new value; None where there is to be no record."""
    writes: bool = True
    expires: int = KEEP
    """When the new record expires, in milliseconds of the epoch; 0 for never."""


def kept(result: object) -> Change:
    """The record stays what it is."""
    return Change(result, writes=False)


Modify = Callable[[Value | None], Change]
"""Is given the value, None where there is no record, and is called once. It may raise a
:class:`~ckv.errors.Refused`: then nothing is written.
"""

ModifyRecord = Callable[[Value | None, int], Change]
"""The same for a function that is also given when the record expires: milliseconds of the epoch, 0 for never."""


class Loaded(NamedTuple):
    """What is known of a key: a value, or None, and when that expires."""

    value: Value | None
    expires: int = 0


Look = Callable[[str], Loaded]
"""What is known of a key that a step of several records needs: the latest that was accepted."""

Run = Callable[[Look], object]
"""Carries such a step out. It may ask anything of the store about the keys of the step, and needs nothing that is not
known, if it looks at each key whose value it needs right before. Raises nothing."""
