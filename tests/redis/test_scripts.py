"""The scripts that are known by their text."""

from __future__ import annotations

from hashlib import sha1

import pytest

from ckv.redis.scripts import MAX_KNOWN_BYTES, MAX_LOADED
from tests.redis.test_commands import NOW, Node

RELEASE = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"
RELEASES = [
    RELEASE,
    'if redis.call("GET", KEYS[1]) == ARGV[1] then\n    return redis.call("DEL", KEYS[1])\nelse\n    return 0\nend\n',
    """
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('del', KEYS[1])
        return 1
    """,
]
KEEPS = [
    "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) else return 0 end",
    """
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('pexpire', KEYS[1], ARGV[2])
        return 1
    """,
]


EXTEND = """
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        local expiration = redis.call('pttl', KEYS[1])
        if not expiration then
            expiration = 0
        end
        if expiration < 0 then
            return 0
        end

        local newttl = ARGV[2]
        if ARGV[3] == "0" then
            newttl = ARGV[2] + expiration
        end
        redis.call('pexpire', KEYS[1], newttl)
        return 1
"""
ADD = "\n    return redis.call('INCRBY', KEYS[1], ARGV[1])\n    "
ADD_TO_EXISTING = """
    local exists = redis.call('EXISTS', KEYS[1])
    if (exists == 1) then
        return redis.call('INCRBY', KEYS[1], ARGV[1])
    else return false end
"""
ADD_AND_EXPIRE = """
local current
local amount = tonumber(ARGV[2])
current = redis.call("incrby", KEYS[1], amount)

if tonumber(current) == amount then
    redis.call("expire", KEYS[1], ARGV[1])
end

return current
"""


@pytest.fixture
def node() -> Node:
    node = Node("SET", "DELIFEQ", "EXTEND", "INCRBY", "COUNT")
    node.results.update(DELIFEQ=True, SET=(True, True, ""))
    return node


def digest_of(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("script", RELEASES)
@pytest.mark.parametrize(("is_equal", "answer"), [(True, b":1\r\n"), (False, b":0\r\n")])
def test_a_lock_is_given_back(node: Node, script: str, is_equal: bool, answer: bytes) -> None:
    node.results["DELIFEQ"] = is_equal
    assert node.send("EVAL", script, "1", "lock", "mine") == answer
    assert node.asked == [("DELIFEQ", "lock", b"mine")]


@pytest.mark.parametrize("script", KEEPS)
@pytest.mark.parametrize(("is_equal", "answer"), [(True, b":1\r\n"), (False, b":0\r\n")])
def test_a_lock_is_kept(node: Node, script: str, is_equal: bool, answer: bytes) -> None:
    node.results["SET"] = (is_equal, True, "")
    assert node.send("EVAL", script, "1", "lock", "mine", "3000") == answer
    assert node.asked == [("SET", "lock", b"mine", int(NOW * 1000) + 3000, "IFEQ", b"mine", "")]


@pytest.mark.parametrize(("is_put_off", "answer"), [(True, b":1\r\n"), (False, b":0\r\n")])
def test_a_lock_is_extended(node: Node, is_put_off: bool, answer: bytes) -> None:
    node.results["EXTEND"] = is_put_off
    assert node.send("EVAL", EXTEND, "1", "lock", "mine", "3000", "0") == answer
    assert node.send("EVAL", EXTEND, "1", "lock", "mine", "3000", "1") == answer
    assert node.asked == [("EXTEND", "lock", b"mine", 3000, 0), ("EXTEND", "lock", b"mine", 3000, int(NOW * 1000))]
    assert (
        node.send("EVAL", EXTEND, "1", "lock", "mine", "x", "0") == b"-ERR value is not an integer or out of range\r\n"
    )


def test_a_counter_is_added_to(node: Node) -> None:
    node.results.update(INCRBY=7, COUNT=(True, 9))
    assert node.send("EVAL", ADD, "1", "k", "2") == b":7\r\n"
    assert node.send("EVAL", ADD_TO_EXISTING, "1", "k", "3") == b":9\r\n"
    assert node.send("EVAL", ADD_AND_EXPIRE, "1", "k", "60", "4") == b":9\r\n"
    assert node.asked == [
        ("INCRBY", "k", 2),
        ("COUNT", "k", 3, "XX", -1),
        ("COUNT", "k", 4, "", int(NOW * 1000) + 60_000),
    ]


def test_a_counter_that_is_not_there_is_none(node: Node) -> None:
    node.results["COUNT"] = (False, 0)
    assert node.send("EVAL", ADD_TO_EXISTING, "1", "k", "3") == b"$-1\r\n"


@pytest.mark.parametrize(
    ("script", "arguments"), [(ADD, ["x"]), (ADD_TO_EXISTING, ["1.5"]), (ADD_AND_EXPIRE, ["60", "x"])]
)
def test_what_is_added_has_to_be_a_number(node: Node, script: str, arguments: list[str]) -> None:
    assert node.send("EVAL", script, "1", "k", *arguments) == b"-ERR value is not an integer or out of range\r\n"
    assert node.send("EVAL", ADD_AND_EXPIRE, "1", "k", "0", "1").startswith(b"-ERR invalid expire time")
    assert node.asked == []


def test_a_script_is_known_by_its_digest_when_it_was_sent(node: Node) -> None:
    digest = digest_of(RELEASE)
    assert node.send("EVALSHA", digest, "1", "k", "v") == b"-NOSCRIPT No matching script. Please use EVAL.\r\n"
    assert node.send("SCRIPT", "LOAD", RELEASE) == b"$40\r\n%b\r\n" % digest.encode()
    assert node.send("SCRIPT", "EXISTS", digest, "0" * 40) == b"*2\r\n:1\r\n:0\r\n"
    assert node.send("EVALSHA", digest.upper(), "1", "k", "v") == b":1\r\n"
    assert node.send("SCRIPT", "FLUSH", "ASYNC") == b"+OK\r\n"
    assert node.send("EVALSHA", digest, "1", "k", "v").startswith(b"-NOSCRIPT ")
    assert node.send("EVAL", RELEASE, "1", "k", "v") == b":1\r\n"
    assert node.send("EVALSHA", digest, "1", "k", "v") == b":1\r\n"


@pytest.mark.parametrize(
    "script",
    [
        "return 1",
        RELEASE.replace("ARGV[1]", "ARGV[2]"),
        RELEASE.replace("==", "~="),
        f"{RELEASE} return 1",
        RELEASE.replace(" ", " " * MAX_KNOWN_BYTES, 1),
        "",
    ],
)
def test_any_other_one_is_refused(node: Node, script: str) -> None:
    for sent in (("EVAL", script, "1", "k", "v"), ("SCRIPT", "LOAD", script)):
        assert node.send(*sent).startswith(b"-ERR ckv runs no Lua")
    assert node.send("SCRIPT", "EXISTS", digest_of(script)) == b"*1\r\n:0\r\n"
    assert node.asked == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("x", "k", "v"), "ERR value is not an integer or out of range"),
        (("-1", "k", "v"), "ERR Number of keys can't be negative"),
        (("3", "k", "v"), "ERR Number of keys can't be greater than number of args"),
        (("0", "k", "v"), "ERR this script has one key and 1 arguments"),
        (("2", "k", "v"), "ERR this script has one key and 1 arguments"),
        (("1", "k"), "ERR this script has one key and 1 arguments"),
        (("1", "k", "v", "w"), "ERR this script has one key and 1 arguments"),
    ],
)
def test_wrong_keys_and_arguments(node: Node, arguments: tuple[str, ...], error: str) -> None:
    assert node.send("EVAL", RELEASE, *arguments) == b"-%b\r\n" % error.encode()
    assert node.send("SCRIPT", "FLUSH", "LATER").startswith(b"-ERR SCRIPT FLUSH only support")
    assert node.asked == []


def test_a_node_remembers_no_more_than_so_many(node: Node) -> None:
    scripts = [RELEASE + " " * number for number in range(MAX_LOADED + 1)]
    for script in scripts:
        node.send("SCRIPT", "LOAD", script)
    found = node.send("SCRIPT", "EXISTS", *map(digest_of, scripts))
    assert found == b"*%d\r\n:0\r\n" % len(scripts) + b":1\r\n" * MAX_LOADED
