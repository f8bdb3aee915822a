"""What somebody has typed, as it may be shown: it may be an address with a password in it, in whatever place."""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile("[A-Za-z]+://")

_HOST: Final = r"(?:\[[0-9A-Fa-f:.]*\]|[^:@,/?#\[\]]*)(?::[0-9]+)?"
_PLACE: Final = re.compile(rf"({_HOST}(?:,{_HOST})*(?:[/#][^?]*)?)(\?.*)?", re.DOTALL)
"""Hosts, each with a port or without, and a path; and parameters."""


def masked(text: str) -> str:
    """The text without what may be a password: all that is in front of the last ``@``. All but the scheme, where
    something stands in the place of hosts and ports that is none.

    >>> masked("mysql://me:secret@db/ckv"), masked("mysql://me:secret"), masked("mysql://db:3306"), masked("localhost")
    ('mysql://***@db/ckv', 'mysql://***', 'mysql://db:3306', 'localhost')
    """
    scheme = match[0] if (match := _SCHEME.match(text)) else ""
    if not scheme and "@" not in text and "://" not in text:
        return text
    _, at, rest = text.removeprefix(scheme).rpartition("@")
    place = _PLACE.fullmatch(rest)
    # Without an "@" what is behind a ":" may be a password that has a "?": mysql://me:12?345, and no port with
    # parameters, of which there are only tls and tls-ca.
    if place is None or (not at and ":" in place[1] and place[2] and not place[2].startswith("?tls")):
        return f"{scheme}***"
    return f"{scheme}***@{rest}" if at else f"{scheme}{place[1]}"


def quoted(text: str) -> str:
    """The same in quotes, for an error message."""
    return repr(masked(text))
