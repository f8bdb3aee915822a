"""A line is split into words, and a value is shown as a word that can be typed in again: docs/shell.md has the rules.

They are those of redis-cli, with two additions: pieces side by side are one word, as in a POSIX shell, and a bin has a
form of its own. Both directions take time in proportion to the length: a value may have 64 MiB.
"""

from __future__ import annotations

import re
from typing import Final

from ckv.values import Value, to_bytes, to_text

_PIECE: Final = re.compile(
    rb"""
      (?P<space> [ \t\n\r\v\f]++ )
    | " (?P<double> (?: [^"\\]++ | \\. )*+ ) "
    | ' (?P<single> (?: [^'\\]++ | \\'? )*+ ) '
    | (?P<plain> [^ \t\n\r\v\f"']++ )
    """,
    re.VERBOSE | re.DOTALL,
)
"""One piece of a line. All repetitions are possessive: whatever does not match is given up at once."""

_NAMED: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\a": "a"}
"""Characters that have an escape of their own, and its letter."""

_STRAY: Final = re.compile(rb"\\(?!x[0-9a-fA-F]{2})")
"""A backslash that begins no byte by its number."""

_DOUBTFUL: Final = re.compile(r"[^ !#-\[\]-~]++(?:[ !#-\[\]-~]{1,16}[^ !#-\[\]-~]++)*+")
"""Runs of what may need an escape: everything but the harmless part of ASCII, and little of that in between."""


class BadLine(Exception):
    """A line that is no command; nothing was sent."""


def split(line: Value) -> list[Value]:
    """The words of a line: ``str``, or ``bytes`` for ``b"..."``. Raises :class:`BadLine` for a quote without its end.

    >>> split(r'''PUT "it's" b"\\x00\\xff" C:\\new''')
    ['PUT', "it's", b'\\x00\\xff', 'C:\\\\new']
    """
    data = to_bytes(line) + b" "  # which ends the last word
    words: list[Value] = []
    pieces: list[bytes] = []
    binary, at = False, 0
    while at < len(data):
        piece = _PIECE.match(data, at)
        if piece is None:
            column = len(to_text(data[:at])) + 1
            raise BadLine(f"the {chr(data[at])} at character {column} has no end")
        kind, text = piece.lastgroup, piece[piece.lastindex or 0]
        at = piece.end()
        if kind == "space":
            if pieces:
                word = b"".join(pieces)
                words.append(word if binary else to_text(word))
            pieces, binary = [], False
        elif not pieces and text == b"b" and kind == "plain" and data[at : at + 1] in (b'"', b"'"):
            binary = True
        elif kind == "double":
            pieces.append(_meant(text) if b"\\" in text else text)
        elif kind == "single":
            pieces.append(text.replace(b"\\'", b"'"))
        else:
            pieces.append(text)
    return words


def quoted(value: Value, encoding: str = "utf-8") -> str:
    """A value in double quotes, as :func:`split` reads it; bytes have a ``b`` before them.

    What is not printable, or not in the ``encoding`` of the terminal, is ``\\\\xHH`` for each of its bytes in UTF-8.

    >>> quoted("two words"), quoted(b"\\x00")
    ('"two words"', 'b"\\\\x00"')
    """
    if isinstance(value, bytes):
        # Bytes from 0x80 on are no characters, whatever they would be in Latin-1.
        start, text, shown = 'b"', value.decode("latin-1"), _Shown(None)
    else:
        start, text, shown = '"', value, _Shown(encoding)
    return start + _DOUBTFUL.sub(lambda run: run[0].translate(shown), text) + '"'


def _meant(text: bytes) -> bytes:
    # Each step is one pass in C, for a value may be made of nothing but escapes. After the first one no two backslashes
    # are side by side, so each one begins an escape.
    text = text.replace(b"\\\\", b"\\x5c")
    for character, letter in _NAMED.items():
        text = text.replace(b"\\" + letter.encode(), character.encode())
    return _STRAY.sub(b"", text).decode("unicode_escape").encode("latin-1")


class _Shown(dict[int, str]):
    """How characters are shown, by their numbers; for :meth:`str.translate`, which asks for each character.

    Without an encoding they are bytes, and each one that needs no escape of its own is shown by its number.
    """

    def __init__(self, encoding: str | None) -> None:
        super().__init__()
        self._encoding = encoding

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in '"\\':
            shown = "\\" + character
        elif character in _NAMED:
            shown = "\\" + _NAMED[character]
        elif self._encoding and character.isprintable() and character.encode(self._encoding, "ignore"):
            shown = character
        else:
            data = to_bytes(character) if self._encoding else bytes((code,))
            shown = "".join(f"\\x{byte:02x}" for byte in data)
        self[code] = shown
        return shown
