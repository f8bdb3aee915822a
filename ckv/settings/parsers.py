"""The parsers of settings: a text in, a checked value out.

A bad text raises :class:`~ckv.errors.BadSetting` with one line that quotes it and says what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from ckv.errors import BadSetting
from ckv.units import parse_duration, parse_size, parse_whole

Policy = Literal["lru", "lfu", "fifo"]
WriteMode = Literal["evict", "behind", "through"]

WRITE_MODES: Final[tuple[WriteMode, ...]] = ("evict", "behind", "through")

NO_TIER: Final = "-"
"""The persistent node that stands for none."""

ALL: Final = "all"
"""The sample that is no sample."""

POLICIES: Final[Mapping[str, Policy]] = {
    "1": "lru", "2": "lfu", "3": "fifo", "lru": "lru", "lfu": "lfu", "fifo": "fifo",
}  # fmt: skip


def parse_own_port(text: str) -> int:
    """A port to listen on: 0 to 65535; 0 lets the system choose a free one."""
    return parse_whole(text, 0, 65535)


def parse_policy(text: str) -> Policy:
    """An eviction policy by number or name.

    >>> parse_policy("1"), parse_policy("FIFO")
    ('lru', 'fifo')
    """
    policy = POLICIES.get(text.lower())
    if policy is None:
        raise BadSetting(f"{text!r} is not an eviction policy: allowed is 1 or lru, 2 or lfu, 3 or fifo")
    return policy


def parse_write_mode(text: str) -> WriteMode:
    """When a PUT or DEL is answered.

    >>> parse_write_mode("Through")
    'through'
    """
    for mode in WRITE_MODES:
        if text.lower() == mode:
            return mode
    raise BadSetting(f"{text!r} is not a write mode: allowed is {', '.join(WRITE_MODES)}")


def parse_persistent(text: str) -> str:
    """The address of the persistent tier, as it is: the tier itself knows what it may look like."""
    if not text:
        raise BadSetting(f"{text!r} is not a persistent node: allowed is an address, or {NO_TIER} for none")
    return text


def parse_audited(text: str) -> str:
    """As :func:`parse_persistent`, and there must be one."""
    if text == NO_TIER:
        raise BadSetting(f"{text!r} is no persistent node: allowed is the address that the secondary was given")
    return parse_persistent(text)


def parse_sample(text: str) -> int | None:
    """A number of records, or ``None`` for all.

    >>> parse_sample("1k"), parse_sample("all")
    (1000, None)
    """
    return None if text.lower() == ALL else parse_whole(text, 1, 10**6)


def parse_history(text: str) -> Path:
    """A file name; ``~`` is the home folder."""
    if not text or "\0" in text:
        raise BadSetting(f"{text!r} is not a file name")
    return Path(os.path.expanduser(text))


def whole(low: int, high: int) -> Callable[[str], int]:
    """The parser of whole numbers from ``low`` to ``high``."""
    return lambda text: parse_whole(text, low, high)


def size(low: int, high: int) -> Callable[[str], int]:
    """The parser of sizes from ``low`` to ``high`` bytes."""
    return lambda text: parse_size(text, low, high)


def duration(low: float, high: float) -> Callable[[str], float]:
    """The parser of durations from ``low`` to ``high`` seconds."""
    return lambda text: parse_duration(text, low, high)


def one_of(*allowed: str) -> Callable[[str], str]:
    """The parser of these words, whatever their case."""

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise BadSetting(f"{text!r} is not known: allowed is {', '.join(allowed)}")
        return text.lower()

    return parse
