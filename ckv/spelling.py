"""What somebody may have meant by a word that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LONGEST: Final = 40
"""Characters of a word that is looked at and shown: a longer one is no mistyped name."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that the word is nearest to, whatever its case; ``None`` if it is near to none.

    >>> nearest("gte", ["PUT", "GET"]), nearest("fetch", ["PUT", "GET"])
    ('GET', None)
    >>> nearest("gte", ["GETEX", "GET"])  # the same letters are nearer than a part of a longer name
    'GET'
    """
    if len(word) > _LONGEST:
        return None
    import difflib  # loaded for a mistake only: a probe runs every few seconds

    names = {name.upper(): name for name in known}
    near = difflib.get_close_matches(word.upper(), names)
    letters = sorted(word.upper())
    return names[min(near, key=lambda name: sorted(name) != letters)] if near else None


def shown(word: str) -> str:
    """A word in quotes for an error message, cut where it is long."""
    return repr(word if len(word) <= _LONGEST else word[:_LONGEST] + "...")
