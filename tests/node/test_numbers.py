"""The numbers that are counted: what is one, and how a sum is written."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckv.errors import NotANumber
from ckv.node.numbers import float_sum, integer, integer_sum

SMALLEST, LARGEST = -(2**63), 2**63 - 1

numbers = st.integers(SMALLEST, LARGEST)
texts = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.from_regex(r"[ +\-]?0?[0-9]{0,20}[ \n]?", fullmatch=True),
    st.text(max_size=5),
)
decimals = st.decimals(-4, 4, places=9)


def is_integer(text: str) -> bool:
    try:
        return str(int(text)) == text and SMALLEST <= int(text) <= LARGEST
    except ValueError:
        return False


@given(texts)
@example("+1")
@example(" 1")
@example("1\n")
@example("01")
@example("-0")
@example("")
@example("1_0")
@example("\u0661")
@example(str(SMALLEST))
@example(str(LARGEST))
@example(str(SMALLEST - 1))
@example(str(LARGEST + 1))
def test_an_integer_is_what_is_written_in_one_way_alone(text: str) -> None:
    for value in (text, text.encode()):
        if is_integer(text):
            assert integer(value) == int(text)
        else:
            with pytest.raises(NotANumber, match="not an integer or out of range"):
                integer(value)


@given(numbers, numbers)
@example(LARGEST, 1)
@example(SMALLEST, -1)
def test_a_sum_has_64_bits(number: int, amount: int) -> None:
    if SMALLEST <= number + amount <= LARGEST:
        assert integer_sum(number, amount) == number + amount
    else:
        with pytest.raises(NotANumber, match="would overflow"):
            integer_sum(number, amount)


@given(decimals, decimals)
def test_a_sum_of_few_digits_is_exact(number: Decimal, amount: Decimal) -> None:
    with localcontext(prec=60):
        assert Decimal(float_sum(str(number), str(amount))) == number + amount


floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"[+-]?[0-9]{1,25}(\.[0-9]{0,25})?(e[+-]?[0-9]{1,3})?", fullmatch=True),
)


@given(floats, floats)
def test_a_sum_is_plain_digits_and_stays_what_it_is(number: str, amount: str) -> None:
    result = float_sum(number, amount)
    assert re.fullmatch(r"0|-?(0|[1-9][0-9]*)(\.[0-9]{0,16}[1-9])?", result)
    assert result != "-0"
    assert float_sum(result, "0") == result
    assert float_sum(amount.encode(), number) == result


@pytest.mark.parametrize(
    ("number", "amount", "result"),
    [
        # What Redis 7.0.15 answers.
        ("10.50", "0.1", "10.6"),
        ("0.1", "0.2", "0.3"),
        ("5.0e3", "2.0e2", "5200"),
        ("3", "-3.0", "0"),
        ("-0.0", "-0", "0"),
        ("+1.", ".5", "1.5"),
        ("1e00000000001", "38506.12979380678393983", "38516.12979380678394037"),
        ("681839731424011.27", "0", "681839731424011.27001953125"),
        ("8.178017227492956e+25", "0", "81780172274929559995940864"),
        ("1e-18", "0", "0"),
        ("3.6e-4951", "60.30", "60.3"),
        ("9223372036854775807", "1", "9223372036854775808"),
    ],
)
def test_it_counts_as_redis_does(number: str, amount: str, result: str) -> None:
    assert float_sum(number, amount) == result


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "abc", "1e", ".", "+-1", "0x10", "1_0", "\u0661", "nan", "infinit", "1e5000", "1e-5000",
     "1e999999999", "1e" + "9" * 50, "1" * 5120],
)  # fmt: skip
def test_no_float(text: str) -> None:
    for number, amount in ((text, "1"), ("1", text)):
        with pytest.raises(NotANumber, match="not a valid float"):
            float_sum(number, amount)


@pytest.mark.parametrize("text", ["inf", "+inf", "-Infinity", "INF"])
def test_infinity_is_a_number_that_is_not_added(text: str) -> None:
    for number, amount in ((text, "1"), ("1", text)):
        with pytest.raises(NotANumber, match="NaN or Infinity"):
            float_sum(number, amount)


def test_large_floats() -> None:
    assert len(float_sum("1e4932", "0")) == 4933
    with pytest.raises(NotANumber, match="NaN or Infinity"):
        float_sum("1.1e4932", "1.1e4932")
