"""What a user may do: a class of commands, and keys that begin with one of some prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from ckv.commands import Access
from ckv.values import MAX_KEY_BYTES, to_bytes

Level = Literal["read", "write", "admin", "node"]
"""The class of a user; each may do what those before it may, too."""

LEVELS: Final[Mapping[Level, frozenset[Access]]] = {
    "read": frozenset({"anyone", "reader"}),
    "write": frozenset({"anyone", "reader", "writer"}),
    "admin": frozenset({"anyone", "reader", "writer", "operator"}),
    "node": frozenset({"anyone", "reader", "writer", "operator", "node"}),
}

FREE: Final = frozenset({"INFO", "NODES"})
"""What operators ask, and every user may all the same: many clients of Redis ask for INFO before anything else, and it
tells of no key. NODES is the same of several nodes."""

_MAGIC: Final = re.compile(r"[*?\[\\]")
"""What stands for more than itself in a pattern."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
NAMES: Final = "1 to 64 letters, digits and . _ @ -, of which the first is a letter or a digit"


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


def checked_name(name: str) -> str:
    """The name of a user. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"not the name of a user: allowed are {NAMES}")
    return name


def checked_level(level: str) -> Level:
    """A class of users. Raises ValueError."""
    found: Level | None = next((known for known in get_args(Level) if known == level), None)
    if found is None:
        raise ValueError(f"no such class: allowed is {', '.join(get_args(Level))}")
    return found


def rights_of(level: str, prefixes: Iterable[str]) -> Rights:
    """The rights of a class and of prefixes as they are written, ``~orders:*``. Raises ValueError."""
    found = checked_level(level)
    known = tuple(sorted({_prefix(prefix) for prefix in prefixes} - {""}))
    if known and found in ("admin", "node"):
        raise ValueError(f"{found} with prefixes of keys: allowed with read and write")
    return Rights(found, known)


def _prefix(word: str) -> str:
    prefix = word.removeprefix("~").removesuffix("*")
    if not word.startswith("~") or not word.endswith("*") or set("*?[\\") & set(prefix):
        raise ValueError("not a prefix of keys: allowed is ~ and what they begin with and *, as in ~orders:*")
    if len(to_bytes(prefix)) > MAX_KEY_BYTES:
        raise ValueError(f"a prefix of more than {MAX_KEY_BYTES} bytes")
    return prefix
