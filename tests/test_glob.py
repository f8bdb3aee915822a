"""Patterns mean what they mean in Redis, and take no more time than they should."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckv.glob import MAX_PATTERN_BYTES, glob, prefix_end
from ckv.values import MAX_KEY_BYTES


def said(pattern: bytes, key: bytes) -> bool:
    return bool(glob(pattern).matches(key))


CASES = [
    ("*", ["", "a", "abc", "\n"], []),
    ("", [""], ["a"]),
    ("h?llo", ["hello", "hallo", "h\nllo"], ["hllo", "heello"]),
    ("h*llo", ["hllo", "heeeello", "h\n\nllo"], ["hell", "ahllo"]),
    ("h[ae]llo", ["hello", "hallo"], ["hillo", "hllo"]),
    ("h[^e]llo", ["hallo", "hbllo", "h^llo"], ["hello", "hllo"]),
    ("h[a-b]llo", ["hallo", "hbllo"], ["hcllo", "h-llo"]),
    ("h[b-a]llo", ["hallo", "hbllo"], ["hcllo"]),
    ("h[!a]llo", ["hallo", "h!llo"], ["hbllo"]),  # which fnmatch reads otherwise
    ("a\\*b", ["a*b"], ["axb", "a\\*b"]),
    ("a\\?", ["a?"], ["ab"]),
    ("\\[a]", ["[a]"], ["a"]),
    ("\\a", ["a"], ["\\a"]),
    ("a\\", ["a\\"], ["a"]),
    ("[\\]]", ["]"], ["\\", "a"]),
    ("[\\\\]", ["\\"], ["a"]),
    ("[a\\-c]", ["a", "-", "c"], ["b"]),
    ("[]a]", [], ["]a]", "a]", "a"]),
    ("[^]a", ["xa", "]a"], ["a", "]"]),
    ("[^]", ["a", "]"], ["", "ab"]),
    ("[abc", ["a", "c"], ["[abc", "d"]),
    ("[^abc", ["d"], ["a", ""]),
    ("[", [], ["[", "", "a"]),
    ("[^", ["a", "^"], [""]),
    ("[a-", ["a", "-"], ["b"]),
    ("[a-]", ["a", "]", "^"], ["-", "b"]),
    ("x**y", ["xy", "xay"], ["x"]),
    ("a*b*c", ["abc", "aXbYc", "abbc"], ["acb", "ab"]),
    ("*ab", ["ab", "aab", "abab"], ["aba", "b"]),
    ("ab*ab", ["abab", "abXab"], ["ab", "aba", "abb"]),
    ("a*a", ["aa", "aba"], ["a"]),
    ("*[0-9]", ["a1", "1"], ["1a", ""]),
    ("ü*", ["ü", "üa"], ["u"]),
    ("???", ["abc", "üa"], ["ab", "ü"]),  # it is about bytes
    ("a.c", ["a.c"], ["abc"]),
    ("(a|b)+$", ["(a|b)+$"], ["a"]),
]


@pytest.mark.parametrize(("pattern", "matching", "others"), CASES, ids=[case[0] for case in CASES])
def test_what_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    for key in matching:
        assert said(pattern.encode(), key.encode()), key
    for key in others:
        assert not said(pattern.encode(), key.encode()), key


def redis_would_say(pattern: bytes, key: bytes) -> bool:
    """The same by trying everything, as the rules are told in https://redis.io/docs/latest/commands/keys/ and as Redis
    reads what they leave open."""
    if not pattern:
        return not key
    first, rest = pattern[:1], pattern[1:]
    if first == b"*":
        return any(redis_would_say(rest, key[start:]) for start in range(len(key) + 1))
    if not key:
        return False
    if first == b"?":
        return redis_would_say(rest, key[1:])
    if first == b"[":
        negated = rest.startswith(b"^")
        rest = rest[negated:]
        found = False
        while rest and rest[:1] != b"]":
            if rest[:1] == b"\\" and len(rest) > 1:
                found |= rest[1:2] == key[:1]
                rest = rest[2:]
            elif len(rest) > 2 and rest[1:2] == b"-":
                found |= min(rest[0], rest[2]) <= key[0] <= max(rest[0], rest[2])
                rest = rest[3:]
            else:
                found |= rest[:1] == key[:1]
                rest = rest[1:]
        return found is not negated and redis_would_say(rest[1:], key[1:])
    if first == b"\\" and rest:
        first, rest = rest[:1], rest[1:]
    return first == key[:1] and redis_would_say(rest, key[1:])


PATTERNS = st.lists(st.sampled_from([b"*", b"?", b"[", b"]", b"^", b"-", b"\\", b"a", b"b", b"c", b"\xff"]), max_size=9)
KEYS = st.lists(st.sampled_from([b"a", b"b", b"c", b"-", b"]", b"^", b"\\", b"*", b"\n", b"\xff"]), max_size=7)


@settings(max_examples=3000, deadline=None)
@given(PATTERNS.map(b"".join), KEYS.map(b"".join))
def test_it_says_what_redis_would(pattern: bytes, key: bytes) -> None:
    assert said(pattern, key) is redis_would_say(pattern, key)


@settings(max_examples=1000, deadline=None)
@given(PATTERNS.map(b"".join), KEYS.map(b"".join))
def test_all_that_match_have_the_prefix(pattern: bytes, key: bytes) -> None:
    prefix = glob(pattern).prefix
    if said(pattern, key):
        assert key.startswith(prefix)
        end = prefix_end(prefix)
        assert end is None or prefix <= key < end


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("user:*", "user:"), ("a\\*b*c", "a*b"), ("a?c", "a"), ("a[bc]", "a"), ("abc", "abc"), ("*a", ""), ("", "")],
)
def test_the_prefix(pattern: str, prefix: str) -> None:
    assert glob(pattern.encode()).prefix == prefix.encode()


@pytest.mark.parametrize("part", [b"a*", b"*a", b"a*?", b"*[ab]", b"*a?a"])
def test_no_pattern_takes_long(part: bytes) -> None:
    """Trying everything, as above, would not end before the sun does."""
    pattern = (part * MAX_PATTERN_BYTES)[: MAX_PATTERN_BYTES // 8] + b"*b"
    key = b"a" * (MAX_KEY_BYTES - 1) + b"c"
    matches = glob(pattern).matches
    began = time.process_time()
    assert not matches(key)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("part", [b"[^a]", b"[^a]*", rb"[\x00-\xff]", b"[a-z0-9_.]", b"[]", b"[^]"])
def test_no_pattern_becomes_much_longer(part: bytes) -> None:
    pattern = part * (MAX_PATTERN_BYTES // len(part))
    expression = glob(pattern).matches.__self__.pattern  # type: ignore[attr-defined]
    assert len(expression) <= 8 * len(pattern)
