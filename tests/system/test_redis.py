"""Clients of Redis as they are: redis-py and redis-cli against real nodes, beside a client of msgpack-RPC."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event

import pytest
import redis

from ckv import Client
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes


@pytest.fixture
def cluster(nodes: Nodes, tmp_path: Path) -> tuple[Node, list[Node]]:
    """A primary with two secondaries that keep ten records each, and the rest in files."""
    secondaries = [
        nodes.start_secondary(persistent=f"sqlite:{tmp_path}/{name}.db", capacity=10, name=name)
        for name in ("one", "two")
    ]
    primary = nodes.start_primary(*secondaries)
    for secondary in secondaries:
        primary.wait_peer(secondary.address)
    return primary, secondaries


@pytest.fixture(params=[2, 3])
def client(request: pytest.FixtureRequest, cluster: tuple[Node, list[Node]]) -> Iterator[redis.Redis]:
    with redis.Redis(port=cluster[0].port, protocol=request.param, socket_timeout=20) as client:
        yield client


def test_redis_py_through_a_primary(client: redis.Redis, cluster: tuple[Node, list[Node]]) -> None:
    """Most of the records are in the files by the time that they are read."""
    records = {f"key {number}": b"\r\n\x00\xff %d" % number for number in range(200)}
    assert client.ping()
    assert client.mset(records)
    assert client.mget([*records, "none"]) == [*records.values(), None]
    assert client.set("key 1", "other") is True
    assert client.get("key 1") == b"other"
    assert client.exists("key 0", "key 1", "none", "key 1") == 3
    assert client.delete(*(f"key {number}" for number in range(100)), "none") == 100
    assert client.get("key 1") is None
    assert client.strlen("key 150") == len(records["key 150"])
    assert client.type("key 150") in (b"string", "string")
    assert client.info("replication")["role"] == "master"
    assert client.client_id() > 0
    with Client("127.0.0.1", cluster[0].port) as other:
        assert other.get("key 150") == records["key 150"]
        other.put("from msgpack", "é")
    assert client.get("from msgpack") == "é".encode()


def test_a_pipeline_has_its_answers_in_order(client: redis.Redis) -> None:
    """Of records that are in memory, and of some that have to be read from the file."""
    with client.pipeline(transaction=False) as pipeline:
        for number in range(300):
            pipeline.set(f"k{number}", number)
            pipeline.get(f"k{number // 2}")
            if number % 50 == 0:
                pipeline.mget([f"k{one}" for one in range(number)] or ["k0"])
            pipeline.ping()
        answers = pipeline.execute()
    got = iter(answers)
    for number in range(300):
        assert next(got) is True
        assert next(got) == b"%d" % (number // 2)
        if number % 50 == 0:
            assert next(got) == [b"%d" % one for one in range(number or 1)]
        assert next(got) is True


def test_a_pipeline_as_it_is_by_default(client: redis.Redis) -> None:
    """It sends MULTI and EXEC. Of records on both nodes, most of which have to be read from their files, and of more
    than may be in flight."""
    client.mset({f"t{number}": number for number in range(100)})
    with client.pipeline() as pipeline:
        for number in range(100):
            pipeline.get(f"t{number}")
            pipeline.set(f"t{number}", "x")
            pipeline.incr(f"t{number}")
            pipeline.mget(f"t{number}", "none", f"t{(number + 1) % 100}")
        answers = pipeline.execute(raise_on_error=False)
        for number in range(100):
            value, stored, error, both = answers[4 * number : 4 * number + 4]
            assert value == b"%d" % number
            assert stored is True
            assert str(error).endswith("value is not an integer or out of range")
            assert both == [b"x", None, b"x" if number == 99 else b"%d" % (number + 1)]
        assert len(answers) == 400
        pipeline.set("t1", "y")
        pipeline.lpush("t1", "z")
        with pytest.raises(redis.ResponseError, match="ckv keeps strings only, no lists"):
            pipeline.execute()
        pipeline.get("t1")
        assert pipeline.execute() == [b"x"]


def test_counters_that_are_watched(client: redis.Redis, cluster: tuple[Node, list[Node]]) -> None:
    """Each of several clients reads, adds and writes: no sum is lost, also of records that have left memory."""
    keys = [f"{{{number}}}" for number in range(15)]
    client.mset({f"{key}{part}": 0 for key in keys for part in "ab"})
    others: list[int] = []

    def add(pipeline: redis.client.Pipeline) -> None:
        before = int(pipeline.get(f"{key}a"))  # type: ignore[arg-type]
        if not others:
            others.append(client.incrby(f"{key}a", 10))
        pipeline.multi()
        pipeline.set(f"{key}a", before + 1)
        pipeline.set(f"{key}b", before + 1)

    for key in keys:
        others.clear()
        assert client.transaction(add, f"{key}a", f"{key}b") == [True, True]
        assert client.mget(f"{key}a", f"{key}b") == [b"11", b"11"]
    with client.pipeline() as pipeline:
        pipeline.watch("a", "b", "c", "d", "e", "f")  # type: ignore[no-untyped-call]
        pipeline.multi()
        pipeline.set("a", "1")
        with pytest.raises(redis.ResponseError, match="CrossNode: keys of the request"):
            pipeline.execute()
    assert client.get("a") is None
    for node in cluster[1]:
        with redis.Redis(port=node.port, socket_timeout=20) as own, own.pipeline() as pipeline:
            pipeline.watch("at the node")
            own.set("at the node", "1")
            pipeline.multi()
            pipeline.set("at the node", "2")
            with pytest.raises(redis.WatchError):
                pipeline.execute()
            assert own.get("at the node") == b"1"


def test_a_step_is_seen_as_a_whole(client: redis.Redis, cluster: tuple[Node, list[Node]]) -> None:
    """Of records of one node: no MSET, EXEC or DEL is seen in part, by whoever reads in one step too, though most of
    them have to be read from the file, and a writer breaks off its connections."""
    keys = [f"{{same}}{number}" for number in range(12)]
    client.mset(dict.fromkeys(keys, "0"))
    stop = Event()

    def write(number: int) -> None:
        with redis.Redis(port=cluster[0].port, socket_timeout=20) as own:
            for round_ in count():
                if stop.is_set():
                    return
                value = f"{number} {round_}"
                if round_ % 3 == 0:
                    own.mset(dict.fromkeys(keys, value))
                elif round_ % 3 == 1:
                    with own.pipeline() as pipeline:
                        for key in keys:
                            pipeline.getset(key, value)
                        assert len(set(pipeline.execute())) == 1
                else:
                    with socket.create_connection(("127.0.0.1", cluster[0].port), timeout=20) as one:
                        words = " ".join(f"{key} {number}" for key in keys)
                        one.sendall(f"MSET {words}\r\n".encode())

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, number) for number in range(2)]
        filler = pool.submit(_fill, cluster[0].port, stop)
        try:
            seen = set()
            for _ in range(300):
                with client.pipeline() as pipeline:
                    for key in keys:
                        pipeline.get(key)
                    values = pipeline.execute()
                assert len(set(values)) == 1, values
                seen.add(values[0])
        finally:
            stop.set()
        for done in (*writers, filler):
            done.result()
    assert len(seen) > 20
    with client.pipeline() as pipeline:
        pipeline.delete(*keys)
        pipeline.exists(*keys)
        assert pipeline.execute() == [12, 0]


def _fill(port: int, stop: Event) -> None:
    """Puts the others out of memory."""
    with redis.Redis(port=port, socket_timeout=20) as own:
        for number in count():
            if stop.is_set():
                return
            own.set(f"fill{number % 100}", "x")


def test_a_node_that_is_lost_in_the_middle_of_a_pipeline(cluster: tuple[Node, list[Node]]) -> None:
    """Each answer stands in its place, and nobody knows what became of what that node was asked."""
    primary, (first, _) = cluster
    sent = b"".join(b"*3\r\n$3\r\nSET\r\n$3\r\nk%02d\r\n$3\r\nnew\r\n" % number for number in range(40))
    with (
        Client("127.0.0.1", primary.port) as operator,
        socket.create_connection(("127.0.0.1", primary.port), timeout=20) as one,
        one.makefile("rb") as said,
    ):
        first.pause()
        one.sendall(sent + b"PING\r\n")

        def in_flight() -> object:
            figures = operator.call("INFO")
            assert isinstance(figures, dict)
            return figures[f"peer_{first.address}_in_flight"]

        eventually(in_flight, what="the node was asked")
        first.kill()
        answers = [said.readline() for _ in range(41)]
    assert answers.pop() == b"+PONG\r\n"
    lost = [answer.startswith(b"-ERR UNKNOWN NodeLost: ") for answer in answers]
    assert 5 < sum(lost) < 35
    assert all(is_lost or answer == b"+OK\r\n" for answer, is_lost in zip(answers, lost, strict=True))


def test_a_transaction_at_a_secondary(cluster: tuple[Node, list[Node]]) -> None:
    """Where compiled code answers what it can: not while a transaction is put together, also within one read."""
    with redis.Redis(port=cluster[1][0].port, socket_timeout=20) as client, client.pipeline() as pipeline:
        for round_ in range(3):
            pipeline.set("a", round_)
            pipeline.get("a")
            pipeline.exists("a")
            pipeline.delete("a")
            pipeline.ping()
            assert client.exists("a") == 0
            assert pipeline.execute() == [True, b"%d" % round_, 1, 1, True]
        with socket.create_connection(("127.0.0.1", cluster[1][0].port), timeout=20) as one, one.makefile("rb") as said:
            assert client.get("b") is None  # What comes next is in the hands of compiled code.
            one.sendall(b"GET b\r\nSET b 1\r\nMULTI\r\nINCR b\r\nGET b\r\nDEL b\r\n")
            assert [said.readline() for _ in range(6)] == [b"$-1\r\n", b"+OK\r\n", b"+OK\r\n", *[b"+QUEUED\r\n"] * 3]
            one.sendall(b"SET b 5\r\n")
            assert said.readline() == b"+QUEUED\r\n"
            assert client.get("b") == b"1"
            assert [line["multi"] for line in client.client_list()][-1] == "4"
            one.sendall(b"EXEC\r\nGET b\r\n")
            answers = [b"*4", b":2", b"$1", b"2", b":1", b"+OK", b"$1", b"5"]
            assert [said.readline() for _ in answers] == [b"%b\r\n" % answer for answer in answers]


def test_a_small_value_does_not_overtake_large_ones_of_its_command(client: redis.Redis) -> None:
    """Of these the primary keeps some back, as the node has others to read."""
    large = b"v" * 2**20
    for number in range(5):
        parts = ["MSET", *("k", large) * 4, "k", f"small {number}"]
        assert client.execute_command(*parts)  # type: ignore[no-untyped-call]
        assert client.get("k") == b"small %d" % number


def test_values_that_are_read_and_written_in_one_step(client: redis.Redis) -> None:
    """Of records in memory, and of some that have to be read from the file before."""
    client.mset({f"n{number}": number for number in range(60)})
    for number in range(60):
        assert client.incr(f"n{number}") == number + 1
        assert client.decrby(f"n{number}", 3) == number - 2
    assert client.incrbyfloat("f", 1.5) == 1.5
    assert client.incrbyfloat("f", 0.25) == 1.75
    assert client.append("n59", "x") == 3
    assert client.strlen("n59") == 3
    assert client.setnx("lock", "me") is True
    assert client.setnx("lock", "you") is False
    assert client.set("lock", "you", nx=True) is None
    assert client.set("none", "x", xx=True) is None
    assert client.set("lock", "you", xx=True, get=True) == b"me"
    assert client.set("new", "x", get=True) is None
    assert client.getset("lock", "they") == b"you"
    assert client.getdel("lock") == b"they"
    assert client.getdel("lock") is None
    assert client.exists("lock", "new", "n1") == 2
    with pytest.raises(redis.ResponseError, match=r"^value is not an integer or out of range$"):
        client.incr("n59")
    client.set("most", 2**63 - 1)
    with pytest.raises(redis.ResponseError, match=r"overflow|out of range"):
        client.incr("most")


def test_a_value_that_expires(client: redis.Redis) -> None:
    assert client.set("long", "1", ex=1000)
    assert client.set("short", "1", px=100)
    assert client.set("past", "1", exat=1)
    eventually(lambda: client.get("short") is None)
    assert client.get("long") == b"1"
    assert client.get("past") is None


def test_when_records_expire(client: redis.Redis) -> None:
    """Also of records that are in the files, and have to be read for it."""
    names = [f"e{number}" for number in range(60)]
    assert client.mset(dict.fromkeys(names, "1"))
    assert client.ttl("e0") == -1
    assert client.ttl("none") == -2
    for name in names[:30]:
        assert client.expire(name, 1000)
    assert not client.expire("none", 1000)
    assert all(990 <= client.ttl(name) <= 1000 for name in names[:30])
    assert client.expiretime("e0") * 1000 - client.pexpiretime("e0") in range(-500, 501)
    assert client.expire("e0", 500, gt=True) == 0
    assert client.expire("e0", 500, lt=True) == 1
    assert client.persist("e0")
    assert not client.persist("e0")
    assert client.set("e1", "2")
    assert client.set("e2", "2", keepttl=True)
    assert client.incr("e3") == 2
    assert client.append("e4", "2") == 2
    assert [client.ttl(name) > 0 for name in names[:5]] == [False, False, True, True, True]
    assert client.expire("e5", -1)
    assert client.exists("e5") == 0
    for name in names[6:30]:
        assert client.pexpire(name, 1)
    eventually(lambda: client.exists(*names[6:30]) == 0)
    assert client.exists(*names[30:]) == 30


def test_a_lock_of_redis_py(client: redis.Redis) -> None:
    """It is taken by SET NX PX."""
    assert client.set("lock", "mine", nx=True, px=60_000)
    assert not client.set("lock", "yours", nx=True, px=60_000)
    assert client.pexpire("lock", 1)
    eventually(lambda: client.set("lock", "yours", nx=True, px=60_000))
    assert client.get("lock") == b"yours"
    assert client.pttl("lock") > 50_000
    with client.lock("other", timeout=60) as lock:
        assert client.lock("other", timeout=60).acquire(blocking=False) is False
        assert client.expire("other", 1)
        assert lock.reacquire()
        assert client.ttl("other") > 50
        assert lock.extend(1000)
        assert 1050 < client.ttl("other") <= 1060
        assert lock.extend(90, replace_ttl=True)
        assert 80 < client.ttl("other") <= 90
    assert client.get("other") is None


def test_redis_py_knows_the_errors(client: redis.Redis, cluster: tuple[Node, list[Node]]) -> None:
    with pytest.raises(redis.ResponseError, match="ckv keeps strings only, no lists"):
        client.lpush("a", "b")
    with pytest.raises(redis.ResponseError, match="KeyTooLong"):
        client.set("k" * 1025, "v")
    with pytest.raises(redis.ResponseError, match="ValueTooLarge"):
        client.set("k", b"v" * (2**20 + 1))
    assert client.set("k", b"v" * 2**20)
    assert client.get("k") == b"v" * 2**20


def test_a_secondary_answers_as_well(cluster: tuple[Node, list[Node]]) -> None:
    with redis.Redis(port=cluster[1][0].port, socket_timeout=20) as client:
        assert client.set("a", "1")
        assert client.mget("a", "b") == [b"1", None]
        assert client.info()["db0"]["keys"] == 1


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed (Debian: redis-tools)")
def test_redis_cli(cluster: tuple[Node, list[Node]]) -> None:
    def cli(*arguments: str, stdin: str | None = None) -> str:
        command = ["redis-cli", "-p", str(cluster[0].port), *arguments]
        run = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, check=True)
        return run.stdout

    assert cli("SET", "a", "1 2") == "OK\n"
    assert cli("GET", "a") == "1 2\n"
    assert cli("-3", "GET", "none") == "\n"
    assert cli(stdin="GET a\nDEL a none\nGET a\n") == "1 2\n1\n\n"
    assert "role:master" in cli("INFO")
    pipe = "".join(f"SET k{number} {number}\r\n" for number in range(1000))
    assert "errors: 0, replies: 1000" in cli("--pipe", stdin=pipe)
    assert cli("GET", "k999") == "999\n"
