"""Words: split as redis-cli does it, and what is shown can be typed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckv.tools.shell.words import BadLine, quoted, split
from ckv.values import Value, to_bytes, to_text

TEXTS = st.binary(max_size=40).map(to_text) | st.text(max_size=40)
VALUES = TEXTS | st.binary(max_size=40)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        (" \t\r\n\v\f ", []),
        ("GET bob", ["GET", "bob"]),
        ("  GET\tbob\r\n", ["GET", "bob"]),
        (r'"a\nb\r\t\b\a\\\"\x41\xFf"', ['a\nb\r\t\b\a\\"A\udcff']),
        (r'"\q\0\'\/\x4\xg0\x"', ["q0'/x4xg0x"]),  # any other character stands for itself
        (r'"\xc3\xbc"', ["ü"]),
        (r"'it\'s \n \\'x'", ["it's \\n \\'x"]),
        (r"C:\new\table \ \n", ["C:\\new\\table", "\\", "\\n"]),
        ("a\"b c\"'d e'f", ["ab cd ef"]),
        ("'a'\"b\" 'c'd", ["ab", "cd"]),
        ("'' \"\"", ["", ""]),
        ("x'' ''x", ["x", "x"]),
        ('"it\'s" \'say "hi"\'', ["it's", 'say "hi"']),
        (r'b"\x00\xff" b"" b' + "'q'", [b"\x00\xff", b"", b"q"]),
        ("b\"a\"'b'c", [b"abc"]),
        ('"a"b"c"', ["abc"]),
        ('\'b\'"a" ab"c" b "b" B"x" bb\'x\'', ["ba", "abc", "b", "b", "Bx", "bbx"]),
        ("#1 $HOME `x` a;b", ["#1", "$HOME", "`x`", "a;b"]),
        ("\0 '\0'", ["\0", "\0"]),
        ("ü\u2028\u00a0 x", ["ü\u2028\u00a0", "x"]),  # white space is that of ASCII
    ],
)
def test_words(line: str, words: list[Value]) -> None:
    assert split(line) == words
    assert split(line.encode("utf-8", "surrogateescape")) == words
    assert [type(word) for word in split(line)] == [type(word) for word in words]


def test_bytes_that_are_not_utf_8() -> None:
    assert split(b"GET \xff\xfe 'a\xff'") == ["GET", "\udcff\udcfe", "a\udcff"]
    assert split(b'b"\xff" b"\xc3\xbc"') == [b"\xff", "ü".encode()]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("PUT a 'b c", "the ' at character 7 has no end"),
        ('PUT ü "b c', 'the " at character 7 has no end'),
        ("it's", "the ' at character 3 has no end"),
        (r'GET "a\"', 'the " at character 5 has no end'),
        (r"GET 'C:\'", "the ' at character 5 has no end"),
        ('a"b"\'', "the ' at character 5 has no end"),
        ('b"', 'the " at character 2 has no end'),
    ],
)
def test_what_has_no_end_is_named(line: str, message: str) -> None:
    with pytest.raises(BadLine) as caught:
        split(line)
    assert str(caught.value) == message


@given(st.lists(VALUES, max_size=5), st.sampled_from(["utf-8", "ascii", "latin-1", "koi8-r"]))
@example(["\x85", "\u202e", "\udcff", b"\xc3\xbc", "b", 'b"x"'], "utf-8")
@example(["\u20ac\udc80"], "latin-1")
def test_what_is_shown_can_be_typed(values: list[Value], encoding: str) -> None:
    shown = " ".join(quoted(value, encoding) for value in values)
    assert shown.isprintable() or not shown
    shown.encode(encoding)
    words = split(shown)
    # A str and its bytes are one to one; some strs of hypothesis are not the one that bytes come back as.
    assert [(type(word), to_bytes(word)) for word in words] == [(type(value), to_bytes(value)) for value in values]


@given(st.binary(max_size=60))
def test_any_line_is_words_or_has_no_end(line: bytes) -> None:
    try:
        words = split(line)
    except BadLine:
        assert b"'" in line or b'"' in line
    else:
        assert split(" ".join(map(quoted, words))) == words


@pytest.mark.parametrize(
    "value",
    ["x" * 2**22, "ü\n" * 2**21, "\x00\n" * 2**21, b"\xff" * 2**22, "\\" * 2**22, "' " * 2**21, "\udcffa" * 2**21],
    ids=["plain", "text", "mixed", "bytes", "backslashes", "quotes", "not UTF-8"],
)
def test_long_values(value: Value) -> None:
    # Were it not linear, this would take hours.
    assert split(f"PUT {quoted(value)} {quoted(value)}") == ["PUT", value, value]


@pytest.mark.parametrize("piece", [b"'a'", b'"a"', b"a ", b"'a'b", b"'\\'", b"\\"])
def test_long_lines_of_many_pieces(piece: bytes) -> None:
    line = piece * 2**18
    try:
        words = split(line)
    except BadLine:
        assert piece == b"'\\'"
    else:
        assert len(words) == (2**18 if piece == b"a " else 1)
