"""What a user may do: a class of commands, and keys that begin with one of some prefixes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ckv.commands import Access

Level = Literal["read", "write", "admin", "node"]
"""The class of a user; each may do what those before it may, too."""

LEVELS: Final[Mapping[Level, frozenset[Access]]] = {
    "read": frozenset({"anyone", "reader"}),
    "write": frozenset({"anyone", "reader", "writer"}),
    "admin": frozenset({"anyone", "reader", "writer", "operator"}),
    "node": frozenset({"anyone", "reader", "writer", "operator", "node"}),
}

FREE: Final = frozenset({"INFO"})
"""What operators ask, and every user may all the same: many clients of Redis ask for INFO before anything else, and it
tells of no key."""

_MAGIC: Final = re.compile(r"[*?\[\\]")
"""What stands for more than itself in a pattern."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What users may do; those with the same class and the same prefixes may do the same."""

    level: Level
    prefixes: tuple[str, ...] = ()
    """What each key has to begin with, one of these; empty for any key."""

    def may(self, name: str, access: Access) -> bool:
        """Whether they may call the command of this name, which is for those with such access, with some key."""
        return access in LEVELS[self.level] or name in FREE

    def may_name(self, key: str) -> bool:
        """Whether they may name this key, or this channel."""
        return not self.prefixes or key.startswith(self.prefixes)

    def may_match(self, pattern: str) -> bool:
        """Whether all that matches the pattern is theirs: what it begins with has to have one of the prefixes, up to
        its first character that stands for others.

        >>> Rights("read", ("orders:",)).may_match("orders:2*"), Rights("read", ("orders:",)).may_match("ord*")
        (True, False)
        """
        return self.may_name(_MAGIC.split(pattern, maxsplit=1)[0])

    @property
    def are_plain(self) -> bool:
        """Whether they may read and write all keys, so that no request about a key need be looked at."""
        return self.level != "read" and not self.prefixes
