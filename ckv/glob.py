r"""Patterns as Redis has them: ``*`` any bytes, ``?`` one, ``[a-z]`` one of these, ``[^a]`` none of them, ``\x`` x.

They are about bytes, not characters, and there is no pattern that is wrong. What :func:`fnmatch.fnmatch` takes is not
the same. The time of a match is at most in proportion to the length of the key times that of the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_PATTERN_BYTES: Final = 4096
"""The longest pattern that whoever takes one from a client should take."""

_STAR: Final = b"*"


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern, ready to be matched."""

    matches: Callable[[bytes], object]
    """Whether a key matches: something that is true, or not."""

    prefix: bytes
    """The bytes with which all keys begin that match."""


@lru_cache(maxsize=64)
def glob(pattern: bytes) -> Glob:
    """The pattern, made ready.

    >>> [bool(glob(b"u?er:[0-9]*").matches(key)) for key in (b"user:7", b"user:", b"uer:7")], glob(b"user:*").prefix
    ([True, False, False], b'user:')
    """
    prefix = bytearray()
    parts: list[bytes] = []
    widths: list[int] = []
    literal = True
    at = 0
    part, width = b"", 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == _STAR:
            parts.append(part)
            widths.append(width)
            part, width, literal = b"", 0, False
            at += 1
            continue
        width += 1
        if byte == b"?":
            part += b"."
            literal = False
            at += 1
        elif byte == b"[":
            one, at = _class(pattern, at + 1)
            part += one
            literal = False
        else:
            if byte == b"\\" and at + 1 < len(pattern):
                at += 1
            if literal:
                prefix += pattern[at : at + 1]
            part += re.escape(pattern[at : at + 1])
            at += 1
    parts.append(part)
    widths.append(width)
    return Glob(re.compile(_expression(parts, widths), re.DOTALL).fullmatch, bytes(prefix))


def _expression(parts: list[bytes], widths: list[int]) -> bytes:
    """What matches the parts of a pattern, between which there are stars.

    Each part between the first and the last is taken where it is found first, and never given back (atomic groups), for
    another place could only leave less room for what follows. The last one is looked at from the end.
    """
    if len(parts) == 1:
        return parts[0]
    first, *between, last = parts
    found = b"".join(b"(?>.*?%b)" % part for part in between if part)
    if not last:
        return b"%b%b.*" % (first, found)
    return b"%b%b(?=.{%d}).*+(?<=%b)" % (first, found, widths[-1], last)


def _class(pattern: bytes, at: int) -> tuple[bytes, int]:
    """What matches the one byte that a ``[...]`` stands for, and where that ends; ``at`` is the place behind the ``[``.

    One without an end goes on to the end of the pattern.
    """
    size = len(pattern)
    negated = pattern[at : at + 1] == b"^"
    at += negated
    members: set[int] = set()
    while at < size and pattern[at] != 0x5D:  # ]
        if pattern[at] == 0x5C and at + 1 < size:  # a backslash
            members.add(pattern[at + 1])
            at += 2
        elif at + 2 < size and pattern[at + 1] == 0x2D:  # -
            low, high = sorted((pattern[at], pattern[at + 2]))
            members.update(range(low, high + 1))
            at += 3
        else:
            members.add(pattern[at])
            at += 1
    if len(members) in (0, 256):
        return (b"." if negated == (not members) else b"(?!)."), at + 1
    return b"[%b%b]" % (b"^" * negated, _listed(members)), at + 1


def _listed(members: set[int]) -> bytes:
    """The bytes as ranges: one by one, a pattern of 4 KiB was an expression of 1 MiB, which took a second to read."""
    listed = b""
    for low in sorted(member for member in members if member - 1 not in members):
        high = low
        while high + 1 in members:
            high += 1
        listed += b"\\x%02x-\\x%02x" % (low, high) if low < high else b"\\x%02x" % low
    return listed


def prefix_end(prefix: bytes) -> bytes | None:
    """The first bytes behind all that begin so; None when nothing is behind them.

    >>> prefix_end(b"user:"), prefix_end(b"a\\xff"), prefix_end(b"\\xff"), prefix_end(b"")
    (b'user;', b'b', None, None)
    """
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
