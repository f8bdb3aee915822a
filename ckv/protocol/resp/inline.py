"""Inline requests: a line of words, as somebody types it into telnet. Quotes keep blanks in a word."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(
    rb"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\')*|(?:[^'\\]|\\.)*)'|([^\s"']+))(?=\s|$)""", re.DOTALL
)

_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)

_ESCAPED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def words_of(line: bytes) -> list[bytes] | None:
    r"""The words of a line; None where a quote has no end, or something follows it directly.

    Between ``"`` stand ``\n``, ``\r``, ``\t``, ``\b``, ``\a`` and ``\xff`` for a byte, and ``\`` with anything else
    for that; between ``'`` only ``\'`` does.

    >>> words_of(b"SET  k 'a b'"), words_of(br'ECHO "\x41\n"'), words_of(b'ECHO "a'), words_of(b"")
    ([b'SET', b'k', b'a b'], [b'ECHO', b'A\n'], None, [])
    """
    if b'"' not in line and b"'" not in line:
        return line.split()
    words: list[bytes] = []
    at = 0
    end = len(line.rstrip())
    while at < end:
        found = _WORD.match(line, at, end)
        if found is None:
            return None
        double, single, plain = found.groups()
        if double is not None:
            words.append(_ESCAPE.sub(lambda escape: _byte(escape[1]), double))
        elif single is not None:
            words.append(single.replace(b"\\'", b"'"))
        else:
            words.append(plain)
        at = found.end()
    return words


def _byte(escaped: bytes) -> bytes:
    if len(escaped) == 3:
        return bytes.fromhex(escaped[1:].decode())
    return _ESCAPED.get(escaped, escaped)
