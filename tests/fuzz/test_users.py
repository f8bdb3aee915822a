"""Files of users, and logins, that are nearly right, by hypothesis; ``make fuzz`` searches longer."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import login, users
from tests.fuzz.login import SECRET
from tests.protocol.resp.test_parsing import packed

words = st.one_of(
    st.sampled_from(["bob", "ann", "#", "read", "write", "admin", "node", "~a*", "~*", "~a=b*", "rate=1", "bytes=1k"]),
    st.sampled_from(
        [
            f"sha256:{users.HASH}",
            f"scrypt:{users.SALT}:{users.HASH}",
            "sha256:",
            f"sha256:{users.HASH}ab",
            f"sha:{users.HASH}",
        ]
    ),
    st.sampled_from(
        ["rate=0", "rate=", "connections=2", "bytes=1T", "~\udcff*".encode(errors="replace").decode(), "~[*"]
    ),
    st.text(max_size=5),
)
right = st.builds(
    lambda *parts: " ".join(parts),
    st.sampled_from(["bob", "ann", "eve"]),
    st.sampled_from(["read", "write", "admin", "node"]),
    st.just(f"sha256:{users.HASH}"),
)
lines = st.builds(lambda start, rest: " ".join([start, *rest]), right | words, st.lists(words, max_size=4))

parts = st.sampled_from([b"bob", b"default", b"", b"wrong", SECRET[:-1], SECRET + b"x", b"3", b"key", b"\xff" * 20])
asked = st.sampled_from([b"AUTH", b"HELLO", b"RESET", b"GET", b"SET", b"MULTI", b"EXEC", b"PING", b"CLIENT", b"QUIT"])
logins = st.builds(
    lambda start, user, secret: packed([*start, user, secret]),
    st.sampled_from([[b"AUTH"], [b"HELLO", b"3", b"AUTH"]]), st.just(b"bob") | parts, parts,
)  # fmt: skip
of_redis = logins | st.builds(lambda name, rest: packed([name, *rest]), asked, st.lists(parts | asked, max_size=4))
names = st.sampled_from(["AUTH", b"AUTH", "GET", "PUT", "BATCH", "EXEC", "HELLO", "INFO", "FLUSH", 7, None])
values = parts | st.lists(parts, max_size=2) | st.integers(-1, 3) | st.sampled_from(["AUTH", "bob", "GET"])
of_rpc = st.builds(
    msgpack.packb,
    st.tuples(st.just(0), st.integers(0, 9), st.just("AUTH"), st.tuples(st.just("bob") | parts, parts))
    | st.tuples(st.just(0), st.integers(0, 2**32), names, st.lists(values, max_size=4))
    | st.tuples(st.just(2), names, st.lists(values, max_size=4)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(lines, max_size=4))
def test_files_that_are_nearly_right(written: list[str]) -> None:
    users.one_input("\n".join(written).encode(errors="replace"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=500))
def test_files_of_any_bytes(data: bytes) -> None:
    users.one_input(data)


@settings(max_examples=300, deadline=None)
@given(st.lists(of_redis, max_size=8) | st.lists(of_rpc, max_size=8), st.integers(0, 10))
def test_nobody_logs_in_without_the_secret(sent: list[bytes], cut: int) -> None:
    stream = b"".join(sent)
    assert not login.one_input(stream[: max(0, len(stream) - cut)])


@settings(max_examples=200, deadline=None)
@given(st.lists(of_redis, max_size=8))
def test_whatever_is_asked_after_a_login_is_answered(asked: list[bytes]) -> None:
    assert login.one_input(packed([b"HELLO", b"3", b"AUTH", b"bob", SECRET]) + b"".join(asked))


@settings(max_examples=200, deadline=None)
@given(st.lists(of_rpc, max_size=8))
def test_whatever_is_called_after_a_login_is_answered(called: list[bytes]) -> None:
    assert login.one_input(msgpack.packb([0, 1, "AUTH", ["bob", SECRET]]) + b"".join(called))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=500))
def test_nobody_logs_in_by_any_bytes(data: bytes) -> None:
    assert not login.one_input(data)


def test_lines_that_have_become_one_are_refused() -> None:
    assert not users.one_input(users.GARBLED.encode())


@pytest.mark.parametrize("number", range(2))
def test_what_is_right_is_taken(number: int) -> None:
    assert users.one_input(users.SEEDS[number].encode())


@pytest.mark.parametrize(
    ("sent", "comes_in"),
    [
        (login.SEEDS[0], False),
        (login.SEEDS[1], False),
        (login.SEEDS[2], True),
        (login.SEEDS[3], True),
        (msgpack.packb([0, 1, "AUTH", ["bob", SECRET]]), True),
        (msgpack.packb([0, 1, "AUTH", ["ann", SECRET]]), False),
    ],
    ids=range(6),
)
def test_the_secret_lets_in(sent: bytes, comes_in: bool) -> None:
    assert login.one_input(sent) is comes_in
