"""The keys and values of the load generator, for what is measured without it (``loadgen/data.c`` is the original)."""

from __future__ import annotations

from typing import Final

DEFAULT_VALUE_BYTES: Final = 64

_MASK: Final = 2**64 - 1
_LETTERS: Final = b"ABCDEFGHIJKLMNOP"
# Byte to the letter of its lower, and of its upper four bits.
_LOWER: Final = bytes(_LETTERS[byte & 15] for byte in range(256))
_UPPER: Final = bytes(_LETTERS[byte >> 4] for byte in range(256))


def key_hash(number: int) -> int:
    """The hash that stands for a key's number."""
    mixed = (number + 1) & _MASK
    mixed ^= mixed >> 33
    mixed = mixed * 0xFF51AFD7ED558CCD & _MASK
    mixed ^= mixed >> 33
    mixed = mixed * 0xC4CEB9FE1A85EC53 & _MASK
    return mixed ^ mixed >> 33


def record(number: int, value_bytes: int = DEFAULT_VALUE_BYTES) -> tuple[str, str]:
    """The key with this number, and its value."""
    hashed = key_hash(number)
    raw = hashed.to_bytes(8, "little")
    key = (raw.translate(_LOWER) + raw.translate(_UPPER)).decode()
    words = []
    for at in range(-(-value_bytes // 8)):
        mixed = (hashed + at * 0x9E3779B97F4A7C15) * 0xD6E8FEB86659FD93 & _MASK
        words.append((mixed ^ mixed >> 32).to_bytes(8, "little"))
    return key, b"".join(words)[:value_bytes].translate(_LOWER).decode()
