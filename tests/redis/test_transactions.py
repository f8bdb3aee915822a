"""Transactions: what is queued, what EXEC carries out, what it refuses, and that nothing comes between."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

from ckv import errors
from ckv.protocol.handler import LATER, Caller
from ckv.redis import transactions
from tests.protocol.resp.test_parsing import packed
from tests.redis.test_commands import LIMITS, WAIT, Node, read
from tests.support.line import served

ABORTED = "EXECABORT Transaction discarded because of previous errors."


def send(node: Node, *requests: str) -> bytes:
    """All in one read."""
    return served(node.session, node.line, b"".join(packed(request.encode().split()) for request in requests))


def answers(data: bytes) -> list[Any]:
    reader = hiredis.Reader()
    reader.feed(data)
    found = []
    while (answer := reader.gets()) is not False:
        found.append(str(answer) if isinstance(answer, Exception) else answer)
    return found


@pytest.mark.parametrize("together", [False, True])
def test_commands_wait_for_exec(together: bool) -> None:
    node = Node()
    node.results |= {"PUT": True, "GET": {"a": (True, b"1")}}
    requests = ("multi", "SET a 1", "GET a", "GET none", "MGET a none", "PING")
    queued = send(node, *requests) if together else b"".join(send(node, request) for request in requests)
    assert queued == b"+OK\r\n" + b"+QUEUED\r\n" * 5
    assert node.asked == []
    assert send(node, "EXEC") == b"*5\r\n+OK\r\n$1\r\n1\r\n$-1\r\n*2\r\n$1\r\n1\r\n$-1\r\n+PONG\r\n"
    assert node.asked == [("PUT", "a", b"1"), ("GET", "a"), ("GET", "none"), ("GET", "a"), ("GET", "none")]
    assert node.ask("GET", "a") == b"1"
    assert node.session.is_between


def test_what_comes_behind_exec_is_carried_out_behind_it() -> None:
    node = Node()
    node.results["PUT"] = True
    got = send(node, "MULTI", "SET a 1", "SET b 2", "EXEC", "SET c 3", "MULTI", "SET d 4", "EXEC", "MULTI", "EXEC")
    assert (
        got == b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n+OK\r\n*0\r\n"
    )
    assert [key for _, key, _ in node.asked] == ["a", "b", "c", "d"]


def test_compiled_code_keeps_out_of_a_transaction() -> None:
    """It would carry out what is to be queued."""
    node = Node()
    node.results["PUT"] = True
    answers, goes_on = node.session.ask(packed([b"MULTI"]))
    assert answers == b"+OK\r\n"
    assert not goes_on
    assert not node.session.is_between
    answers, goes_on = node.session.ask(packed([b"SET", b"a", b"1"]))
    assert answers == b"+QUEUED\r\n"
    assert not goes_on
    answers, goes_on = node.session.ask(packed([b"EXEC"]))
    assert answers == b"*1\r\n+OK\r\n"
    assert goes_on


@pytest.mark.parametrize(
    "wrong",
    [
        "NOSUCH a",
        "LPUSH a b",
        "GET",
        "MSET a",
        "DISCARD x",
        "MULTI x",
        "CLIENT nosuch",
        "CLIENT ID x",
        "SCRIPT nosuch",
        "OBJECT nosuch a",
        "COMMAND nosuch",
        "STRLEN a b",
    ],
)
def test_what_is_wrong_while_queueing_aborts_exec(wrong: str) -> None:
    methods = ("DELIFEQ", "SET")  # for scripts
    node = Node(*methods)
    assert send(node, "MULTI", "SET a 1") == b"+OK\r\n+QUEUED\r\n"
    error = read(send(node, wrong))
    assert error == Node(*methods).ask(*wrong.split())
    assert error.startswith("ERR ")
    assert send(node, "SET b 1") == b"+QUEUED\r\n"
    assert node.session.transaction
    assert node.session.transaction.requests == [], "nobody needs them any more"
    assert node.ask("EXEC") == ABORTED
    assert node.asked == []
    assert node.ask("EXEC") == "ERR EXEC without MULTI"
    assert node.session.is_between


def test_the_words_of_redis() -> None:
    node = Node()
    assert node.ask("EXEC") == "ERR EXEC without MULTI"
    assert node.ask("DISCARD") == "ERR DISCARD without MULTI"
    assert node.ask("MULTI") == b"OK"
    assert node.ask("UNWATCH") == b"QUEUED"
    assert node.ask("MULTI") == "ERR MULTI calls can not be nested"
    assert node.ask("EXEC") == [b"OK"]
    aborted = "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
    assert node.ask("EXEC", "x") == aborted
    assert answers(send(node, "MULTI", "SET a 1", "EXEC x", "EXEC"))[2:] == [aborted, "ERR EXEC without MULTI"]
    assert node.asked == []


def test_errors_stand_in_their_places() -> None:
    node = Node("INCRBY")
    node.results |= {
        "PUT": {"a": True, "b": errors.NoRoom("full"), "c": True},
        "INCRBY": errors.NotANumber("the value is not an integer or out of range"),
    }
    send(node, "MULTI", "SET a 1", "SET b 1", "INCR a", "SET c 1 WHAT", "MSET a 1 b", "SELECT 1", "SET c 1")
    reader = hiredis.Reader()
    reader.feed(send(node, "EXEC"))
    assert list(map(str, reader.gets())) == [
        str(b"OK"),
        "OOM NoRoom: full",
        "ERR value is not an integer or out of range",
        "ERR syntax error",
        "ERR wrong number of arguments for 'mset' command",
        "ERR DB index is out of range",
        str(b"OK"),
    ]
    assert [asked[:2] for asked in node.asked] == [("PUT", "a"), ("PUT", "b"), ("INCRBY", "a"), ("PUT", "c")]


@pytest.mark.parametrize("word", ["DISCARD", "RESET"])
def test_the_queue_is_dropped(word: str) -> None:
    node = Node()
    send(node, "MULTI", "SET a 1", word)
    assert node.session.is_between
    assert node.ask("EXEC") == "ERR EXEC without MULTI"
    assert node.asked == []


def test_the_end_of_the_connection_drops_the_queue() -> None:
    node = Node()
    send(node, "MULTI", "SET a 1")
    begun = node.session.transaction
    assert begun is not None
    node.session.close()
    assert node.session.transaction is None
    assert node.asked == []


def test_quit_and_strangers_end_the_connection() -> None:
    node = Node()
    assert send(node, "MULTI", "SET a 1", "QUIT", "EXEC") == b"+OK\r\n+QUEUED\r\n+OK\r\n"
    assert node.line.finished
    other = Node()
    assert send(other, "MULTI", "POST /", "EXEC") == b"+OK\r\n"
    assert other.session.failed
    assert node.asked == other.asked == []


def test_a_transaction_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "MAX_QUEUED", 3)
    node = Node()
    node.results["PUT"] = True
    many = "ERR a transaction has at most 3 commands"
    assert answers(send(node, "MULTI", *["SET a 1"] * 3, "EXEC")) == [b"OK", *[b"QUEUED"] * 3, [b"OK"] * 3]
    assert answers(send(node, "MULTI", *["SET a 1"] * 4, "EXEC"))[4:] == [many, ABORTED]
    assert len(node.asked) == 3


def test_a_transaction_takes_so_much_memory() -> None:
    node = Node()
    node.results["PUT"] = True
    most = LIMITS.max_message_bytes * 4
    fit = most // (1000 + 8 + 4 * 64)
    request = f"SET {'k' * 5} {'v' * 1000}"
    queued = answers(send(node, "MULTI", *[request] * (fit + 1)))
    assert queued[1:] == [b"QUEUED"] * fit + [f"ERR the commands of a transaction take at most {most} bytes of memory"]
    assert node.session.transaction
    assert node.session.transaction.requests == [], "nobody needs them any more"
    assert node.ask("EXEC") == ABORTED
    fit = most // (4 + 2 * 64)
    assert answers(send(node, "MULTI", *["PING"] * fit))[1:] == [b"QUEUED"] * fit
    assert node.ask("PING").startswith("ERR "), "small ones count for what they take"
    assert node.asked == []


def test_what_is_refused_for_a_time_is_not_begun() -> None:
    node = Node()
    node.results["PUT"] = True
    assert send(node, "MULTI", "SET a 1", "ECHO x") == b"+OK\r\n+QUEUED\r\n+QUEUED\r\n"
    node.methods.refuse_everything(errors.Draining("it ends"), but=["PING"])
    assert node.ask("EXEC") == "EXECABORT Transaction discarded because of: TRYAGAIN Draining: it ends"
    assert answers(send(node, "MULTI", "SET a 1", "EXEC")) == [b"OK", "TRYAGAIN Draining: it ends", ABORTED]
    assert answers(send(node, "MULTI", "PING", "ECHO x", "EXEC"))[3:] == [[b"PONG", b"x"]]
    node.methods.refuse_nothing()
    assert node.asked == []
    assert answers(send(node, "MULTI", "SET a 1", "EXEC"))[2:] == [[b"OK"]]


def test_some_answers_come_later_and_all_in_order() -> None:
    node = Node()
    node.results |= {"PUT": True, "GET": {"a": WAIT, "b": (True, b"2"), "c": WAIT}}
    send(node, "MULTI", "GET a", "ECHO 1", "GET b", "MGET c b", "SET d 1")
    assert send(node, "EXEC", "ECHO x") == b""
    assert [asked[:2] for asked in node.asked][-1] == ("PUT", "d"), "what waits holds up no other"
    node.answer((True, b"3"), index=1)
    assert node.taken() == b""
    node.answer((True, b"1"))
    assert node.taken() == (b"*5\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n2\r\n*2\r\n$1\r\n3\r\n$1\r\n2\r\n+OK\r\n$1\r\nx\r\n")
    assert node.session.is_between


def test_exec_whose_turn_comes_later() -> None:
    node = Node()
    node.results |= {"PUT": True, "GET": WAIT}
    assert send(node, "GET a", "MULTI", "SET a 1", "EXEC") == b""
    node.answer((False, ""))
    assert node.taken() == b"$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"


def test_all_that_it_asks_goes_to_the_node_at_once() -> None:
    """Whatever the commands are, with those between them that ask nothing."""
    node = Node("SET", "DELIFEQ", "EXTEND", "INCRBY", "COUNT", "PUTEX", "EXPIRE", "EXPIRETIME", "GETDEL")
    known = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"
    requests = [
        *(
            ["SET", "a", "1"],
            ["SET", "a", "1", "EX", "9"],
            ["SETNX", "a", "1"],
            ["INCR", "a"],
            ["GETRANGE", "a", "0", "1"],
        ),
        *(
            ["PING"],
            ["EXPIRE", "a", "9"],
            ["TTL", "a"],
            ["MSET", "a", "1", "b", "2"],
            ["DEL", "a", "b"],
            ["GETDEL", "a"],
        ),
        *(["EVAL", known, "1", "a", "1"], ["OBJECT", "ENCODING", "a"], ["EXISTS", "a", "b"], ["TYPE", "a"], ["TIME"]),
    ]
    node.send("MULTI")
    for request in requests:
        assert node.send(*request) == b"+QUEUED\r\n"
    node.step = WAIT
    assert node.send("EXEC") == b""
    assert node.asked == []
    node.results = {
        "PUT": True,
        "PUTEX": True,
        "SET": (True, False, ""),
        "INCRBY": 2,
        "GET": (True, b"12"),
        "EXPIRE": 1,
        "EXPIRETIME": -1,
        "DEL": True,
        "GETDEL": (True, b"x"),
        "DELIFEQ": True,
    }
    (later,) = node.steps
    later()
    answer = read(node.taken())
    assert answer[:-1] == [
        *(b"OK", b"OK", 1, 2, b"12", b"PONG", 1, -1, b"OK", 2, b"x"),
        *(1, b"int", 2, b"string"),
    ]
    assert len(answer) == len(requests)
    assert len(node.asked) == 17


def test_a_step_that_fails_as_a_whole_is_the_answer() -> None:
    node = Node()
    for raised, told in (
        (errors.NoRoom("full"), "OOM NoRoom: full"),
        (errors.NodeLost("it broke"), "ERR UNKNOWN NodeLost: it broke"),
    ):
        send(node, "MULTI", "SET a 1")
        node.step = raised
        assert node.ask("EXEC") == told
        assert node.ask("EXEC") == "ERR EXEC without MULTI"
    assert node.session.is_between


def test_a_closed_session_hears_nothing_of_it() -> None:
    node = Node()
    node.results["PUT"] = True
    send(node, "MULTI", "SET a 1", "SET b 1")
    node.step = WAIT
    send(node, "EXEC")
    node.session.close()
    node.steps.pop()()
    assert [key for _, key, _ in node.asked] == ["a", "b"], "it is carried out as a whole"
    assert not node.session.waiting


def test_hello_counts_for_what_is_behind_it() -> None:
    node = Node()
    node.results["GET"] = (False, "")
    send(node, "MULTI", "GET a", "HELLO 3", "GET a")
    got = send(node, "EXEC")
    assert got.startswith(b"*3\r\n$-1\r\n%7\r\n"), "the first nil is that of version 2"
    assert got.endswith(b"_\r\n")


def test_exec_with_hello_waits_for_what_was_asked_before_it() -> None:
    node = Node()
    node.results["GET"] = WAIT
    assert send(node, "GET a", "MULTI", "GET b", "HELLO 3", "GET b", "EXEC", "GET c") == b""
    assert node.line.holds
    assert [key for _, key in node.asked] == ["a"]
    node.answer((False, ""))
    assert not node.line.holds
    assert node.session.more() == b"$-1\r\n+OK\r\n" + b"+QUEUED\r\n" * 3
    assert [key for _, key in node.asked] == ["a", "b", "b"]
    for _ in range(2):
        node.answer((False, ""))
    got = node.taken()
    assert got.startswith(b"*3\r\n$-1\r\n%7\r\n")
    assert got.endswith(b"_\r\n")
    assert node.session.more() == b""
    node.answer((False, ""))
    assert node.taken() == b"_\r\n"
    assert node.session.is_between


@pytest.mark.parametrize("together", [True, False])
def test_what_is_behind_exec_with_hello_is_answered_in_the_new_version(together: bool) -> None:
    """Also by a node that is quicker than those of the transaction."""
    node = Node()
    node.results["GET"] = (False, "")
    node.step = WAIT
    node.ask("HELLO", "3")
    send(node, "MULTI", "GET a", "HELLO 2")
    assert send(node, "EXEC", *["GET c"] * together) == b""
    assert node.line.holds
    if not together:
        node.session.feed(b"GET c\r\n")
    assert node.asked == []
    node.steps.pop()()
    assert not node.line.holds
    got = node.taken() + node.session.more()
    assert got.startswith(b"*2\r\n_\r\n*14\r\n")
    assert got.endswith(b"$-1\r\n"), "nil as in version 2"
    assert [key for _, key in node.asked] == ["a", "c"]


def test_exec_with_hello_that_is_answered_at_once_holds_nothing() -> None:
    """A handler that says that it answers later may have answered by then."""
    node = Node()
    node.results["GET"] = (False, "")

    def step(caller: Caller, ticket: int, _params: object) -> object:
        caller.respond(ticket, None, [True, [(None, (False, ""))]])
        return LATER

    node.methods = node.made({"GET": node._method("GET"), "EXEC": step})
    node.session.move_to(node.methods)
    got = send(node, "MULTI", "GET a", "HELLO 3", "EXEC", "GET c") + node.taken()
    assert got.endswith(b"_\r\n")
    assert not node.line.holds


def test_clients_are_listed_with_their_transactions() -> None:
    node = Node()
    other = Node()
    other.session = type(other.session)(other.line, node.methods)
    assert " flags=N " in node.ask("CLIENT", "INFO").decode()
    assert " multi=-1 " in node.ask("CLIENT", "INFO").decode()
    send(other, "MULTI", "PING", "PING")
    line = node.ask("CLIENT", "LIST").decode().splitlines()[1]
    assert " flags=x " in line
    assert " multi=2 " in line
    send(other, "EXEC")
    assert " multi=-1 " in node.ask("CLIENT", "LIST").decode().splitlines()[1]


def test_what_is_broken_behind_exec_is_told_behind_its_answer() -> None:
    """As at a primary, where EXEC holds the connection."""
    node = Node()
    node.results["PUT"] = True
    node.step = WAIT
    send(node, "MULTI", "SET a 1")
    node.session.hold(node)
    assert node.session.received(b"*1\r\n$4\r\nEXEC\r\n*x\r\n") == b""
    assert not node.session.failed
    node.steps.pop()()
    assert node.taken() == b"*1\r\n+OK\r\n"
    node.session.release(node)
    assert node.session.more() == b"-ERR Protocol error: invalid multibulk length\r\n"
    assert node.session.failed
