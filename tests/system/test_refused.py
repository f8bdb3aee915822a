"""What the database refuses, cannot take at once, or cannot take in time, whatever it says: it blocks nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ckv import Client, errors
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes

MODES = ("evict", "behind", "through")


def sql(mariadb: MariaDB, statement: str) -> None:
    mariadb.query(statement, database="celonis")


def client_of(node: Node, timeout: float = 30.0) -> Client:
    return Client("127.0.0.1", node.port, timeout=timeout)


def info(client: Client, name: str) -> object:
    return client.call("INFO")[name]  # type: ignore[index]


def put_all(client: Client, keys: list[str]) -> dict[str, object]:
    """Puts them in one go; what each of them was answered."""
    pipeline = client.pipeline()
    for key in keys:
        pipeline.put(key, f"value of {key}")
    return dict(zip(keys, pipeline.execute(raise_on_error=False), strict=True))


def start(nodes: Nodes, mariadb: MariaDB, mode: str, *options: str) -> Node:
    node = nodes.start_secondary(
        persistent=mariadb.address, capacity=5, options=[f"--write-mode={mode}", "--load-timeout=20s", *options]
    )
    node.wait_for_log("database connected")
    return node


def no_outage(node: Node) -> None:
    assert not [line for line in node.log if "database lost" in line], node.tail()


def by_trigger(mariadb: MariaDB) -> None:
    refuse(mariadb, "DELETE", "OLD.kv_key = 'k00'")


def by_a_trigger_with_a_number_of_its_own(mariadb: MariaDB) -> None:
    refuse(mariadb, "DELETE", "OLD.kv_key = 'k00'", 30001)


def by_a_foreign_key(mariadb: MariaDB) -> None:
    sql(
        mariadb,
        "CREATE TABLE theirs (k VARBINARY(1024) NOT NULL, FOREIGN KEY (k) REFERENCES CelonisData(kv_key))",
    )
    sql(mariadb, "INSERT INTO theirs VALUES ('k00')")


def refuse(mariadb: MariaDB, event: str, condition: str, number: int | None = None) -> None:
    extra = f", MYSQL_ERRNO = {number}" if number is not None else ""
    sql(
        mariadb,
        f"CREATE TRIGGER refuse_{event} BEFORE {event} ON CelonisData FOR EACH ROW IF {condition} THEN "
        f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'{extra}; END IF",
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("refuse", [by_trigger, by_a_trigger_with_a_number_of_its_own, by_a_foreign_key])
def test_a_deletion(private_mariadb: MariaDB, nodes: Nodes, mode: str, refuse: Callable[[MariaDB], None]) -> None:
    node = start(nodes, private_mariadb, mode)
    with client_of(node) as client:
        put_all(client, [f"k{number:02}" for number in range(20)])
        eventually(lambda: b"k00" in private_mariadb.rows())
        refuse(private_mariadb)
        if mode == "through":
            with pytest.raises(errors.RowsRefused):
                client.delete("k00")
            assert client.get("k00") == "value of k00"
            assert (info(client, "parked_records"), info(client, "pending_records")) == (0, 0)
        else:
            assert client.delete("k00") is True
            eventually(lambda: info(client, "parked_records") == 1, 30)
            assert client.get("k00") is None
            assert client.call("PEEK", "k00")[0] == "tombstone"  # type: ignore[index]
        put_all(client, [f"n{number:02}" for number in range(30)])
        eventually(lambda: sum(key.startswith(b"n") for key in private_mariadb.rows()) >= 25)
        assert client.get("k00") == ("value of k00" if mode == "through" else None)
    no_outage(node)
    assert node.terminate() == (0 if mode == "through" else 3)
    rows = private_mariadb.rows()
    assert len([key for key in rows if key.startswith(b"n")]) == 30
    assert rows[b"k00"] == b"value of k00"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [30001, 1235, 45])
def test_a_value_under_a_number_that_nobody_knows(
    private_mariadb: MariaDB, nodes: Nodes, mode: str, number: int
) -> None:
    node = start(nodes, private_mariadb, mode)
    keys = [f"k{place:03}" for place in range(600)]
    with client_of(node) as client:
        refuse(private_mariadb, "INSERT", "NEW.kv_key IN ('k123', 'k124', 'k400')", number)
        answers = put_all(client, keys)
        refused = {"k123", "k124", "k400"}
        if mode == "through":
            assert {key for key, answer in answers.items() if isinstance(answer, errors.RowsRefused)} == refused
            assert client.get("k123") is None
        else:
            eventually(lambda: info(client, "parked_records") == 3, 30)
            assert client.get("k123") == "value of k123"
    no_outage(node)
    assert node.terminate() == (0 if mode == "through" else 3)
    assert private_mariadb.rows().keys() == {key.encode() for key in keys if key not in refused}


def test_an_outage_under_a_number_that_nobody_knows_parks_nothing(private_mariadb: MariaDB, nodes: Nodes) -> None:
    node = start(nodes, private_mariadb, "behind", "--write-delay=0")
    with client_of(node) as client:
        refuse(private_mariadb, "INSERT", "TRUE", 30001)
        put_all(client, [f"k{number:02}" for number in range(50)])
        node.wait_for_log("database lost")
        since = info(client, "retries")
        # More attempts than any row is given that is to blame itself.
        eventually(lambda: int(str(info(client, "retries"))) > int(str(since)) + 5, 30)
        assert info(client, "parked_records") == 0
        sql(private_mariadb, "DROP TRIGGER refuse_INSERT")
        eventually(lambda: info(client, "pending_records") == 0, 30)
    assert node.terminate() == 0
    assert len(private_mariadb.rows()) == 50


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_that_is_too_slow_as_a_whole(private_mariadb: MariaDB, nodes: Nodes, mode: str) -> None:
    private_mariadb.query("SET GLOBAL max_statement_time = 0.5")
    node = start(nodes, private_mariadb, mode)
    with client_of(node, 60) as client:
        sql(
            private_mariadb,
            "CREATE TRIGGER slow BEFORE INSERT ON CelonisData FOR EACH ROW IF NEW.kv_key LIKE 'k%' THEN"
            " SET @x = SLEEP(IF(NEW.kv_key = 'k300', 2, 0.002)); END IF",
        )
        keys = [f"k{number:03}" for number in range(600)]
        put_all(client, keys)
        others = {key.encode() for key in keys if key != "k300"}
        if mode != "through":
            eventually(lambda: info(client, "parked_records") == 1, 30)
            assert client.get("k300") == "value of k300"
    node.wait_for_log("the next ones are smaller")
    no_outage(node)
    sql(private_mariadb, "DROP TRIGGER slow")
    assert node.terminate() == 0
    assert private_mariadb.rows().keys() == others | ({b"k300"} if mode != "through" else set())


@pytest.mark.parametrize("mode", ["evict", "behind"])
def test_a_stop_tries_again_what_is_parked(private_mariadb: MariaDB, nodes: Nodes, mode: str) -> None:
    node = (
        start(nodes, private_mariadb, mode, "--write-delay=0")
        if mode == "behind"
        else start(nodes, private_mariadb, mode)
    )
    with client_of(node) as client:
        refuse(private_mariadb, "INSERT", "TRUE")
        put_all(client, [f"k{number:02}" for number in range(50)])
        eventually(lambda: int(str(info(client, "parked_records"))) >= 40)
        sql(private_mariadb, "DROP TRIGGER refuse_INSERT")
    assert node.terminate() == 0
    assert len(private_mariadb.rows()) == 50


def test_a_larger_packet_is_known_after_retry(private_mariadb: MariaDB, nodes: Nodes) -> None:
    private_mariadb.query("SET GLOBAL max_allowed_packet = 1048576")
    node = start(nodes, private_mariadb, "evict")
    node.wait_for_log("max_allowed_packet")
    with client_of(node) as client:
        for number in range(10):
            client.put(f"big {number}", b"x" * 600_000)
        for number in range(10):
            client.put(f"small {number}", "x")
        eventually(lambda: info(client, "parked_records") == 10)
        assert client.call("RETRY") == 10
        eventually(lambda: info(client, "parked_records") == 10)
        private_mariadb.query("SET GLOBAL max_allowed_packet = 67108864")
        assert client.call("RETRY") == 10
        eventually(lambda: info(client, "parked_records") == info(client, "pending_records") == 0)
    assert node.terminate() == 0
    assert len(private_mariadb.rows()) == 20
