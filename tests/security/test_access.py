"""For whom each command is, once more beside the tables: nobody gets more rights by a slip in one of them."""

from __future__ import annotations

import pytest

from ckv.cluster.copying import COPY
from ckv.cluster.directory import DIRECT
from ckv.cluster.messages import BEAT, EPOCH, FENCE, FOLLOW, FREEZE, JOIN, LEAVE, MAP, PREPARE
from ckv.commands import COMMANDS
from ckv.errors import NotAllowed
from ckv.net.permits import OTHERS, permitted
from ckv.protocol.greeting import HELLO
from ckv.redis.table import ROWS
from ckv.security.rights import Level, Rights
from tests.security.test_rooms import answer, untold

OF_OPERATORS = {"FLUSH", "SAVE", "INFO", "NODES", "SLOWLOG", "CLIENTS", "HOT", "BIG", "RETRY", "PEEK", "AUDIT"}
ABOUT_NO_KEY = {"PING"}
READING = {"GET", "EXISTS", "STRLEN", "EXPIRETIME", "SCAN", "DBSIZE", "DIGEST", "OWNERS"}

OF_OPERATORS_OF_REDIS = {"flushdb", "flushall", "info", "config", "module", "slowlog", "latency"}
LISTENING = {"subscribe", "unsubscribe", "psubscribe", "punsubscribe", "pubsub", "watch"}


def test_each_method_is_for_whom_it_was_meant() -> None:
    told = {name: command.access for name, command in COMMANDS.items()}
    meant = {
        **dict.fromkeys(COMMANDS, "writer"),
        **dict.fromkeys(READING, "reader"),
        **dict.fromkeys(OF_OPERATORS, "operator"),
        **dict.fromkeys(ABOUT_NO_KEY, "anyone"),
    }
    assert told == meant
    assert {DIRECT: "reader", "SLOTS": "operator", "DRAIN": "operator", "REBALANCE": "operator"} == OTHERS


def test_each_command_of_redis_is_for_whom_it_was_meant() -> None:
    for row in ROWS.values():
        if row.name in OF_OPERATORS_OF_REDIS:
            meant = "operator"
        elif "write" in row.flags or row.name == "publish":
            meant = "writer"
        elif "readonly" in row.flags or row.name in LISTENING:
            meant = "reader"
        else:
            meant = "anyone"
            assert (row.keys[0], row.key_count, row.channels) == (0, 0, ""), row.name
        assert row.access == meant, row.name


@pytest.mark.parametrize("level", ["read", "write", "admin"])
def test_what_is_in_no_table_is_for_nodes(level: Level) -> None:
    names = (JOIN, BEAT, LEAVE, FOLLOW, MAP, EPOCH, PREPARE, FREEZE, FENCE, COPY, HELLO, "NEW")
    methods = dict.fromkeys(names, answer)
    assert permitted(Rights("node"), methods, untold) == methods
    for name, handler in permitted(Rights(level), methods, untold).items():
        with pytest.raises(NotAllowed, match=f"^{name} is not for users of the class {level}"):
            handler(None, 0, ())  # type: ignore[arg-type]
