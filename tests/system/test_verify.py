"""``ckv verify``: it finds what differs, and nothing that only seems to while somebody writes; AUDIT and PEEK."""

from __future__ import annotations

import random
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import pytest

from ckv import Client, errors
from ckv.node.auditing import IDLE, MAX_AUDIT_BYTES, MAX_AUDITS, MAX_COUNT, Audits, digest
from ckv.persistent import Loaded, Session
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.tools import verify
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.ports import free_port

VALUES: Final[tuple[str | bytes, ...]] = ("x", "y", b"x")


def run_verify(node: Node, mariadb: MariaDB, *options: str) -> subprocess.CompletedProcess[str]:
    return run_ckv("verify", "127.0.0.1", str(node.port), mariadb.address, *options)


def counts(summary: str) -> dict[str, int]:
    """The summary line in numbers."""
    assert re.fullmatch(
        r"checked \d+: (\d+ \w+, )+\d+ absent; \d+ differing(, \d+ changing too fast to tell)?", summary
    )
    numbers = {name: int(number) for number, name in re.findall(r"(\d+) (\w+)", summary)}
    return numbers | {"checked": int(summary.split()[1].rstrip(":"))}


def sql(mariadb: MariaDB, statement: str) -> None:
    mariadb.query(statement, database="celonis")


@contextmanager
def load_on(node: Node) -> Iterator[None]:
    """Two clients that put, get and delete at random, on few keys and with few values, so that all meet often."""
    stop = threading.Event()
    failures: list[Exception] = []

    def work(seed: int) -> None:
        choice = random.Random(seed)
        try:
            with Client("127.0.0.1", node.port) as client:
                while not stop.is_set():
                    with client.pipeline() as pipeline:
                        for _ in range(20):
                            key = f"key {choice.randrange(150)}"
                            match choice.randrange(4):
                                case 0:
                                    pipeline.delete(key)
                                case 1:
                                    pipeline.get(key)
                                case _:
                                    pipeline.put(key, choice.choice(VALUES))
        except Exception as error:  # noqa: BLE001 - it is shown by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.mark.parametrize("mode", MODES)
def test_a_healthy_node_under_write_load(mariadb: MariaDB, nodes: Nodes, mode: str) -> None:
    node = nodes.start_secondary(
        persistent=mariadb.address,
        capacity=100,
        pool_size=2,
        options=[f"--write-mode={mode}", "--write-delay=5ms"],
    )
    with Client("127.0.0.1", node.port) as client:
        for number in range(300):  # those that nobody writes to become clean, and absent
            client.put(f"quiet {number}", "x")
        with load_on(node):
            for options in ([], [], ["--sample=50"], []):
                run = run_verify(node, mariadb, *options)
                assert (run.returncode, run.stderr) == (0, ""), run.stdout
                (summary,) = run.stdout.splitlines()
                seen = counts(summary)
                assert seen["differing"] == 0
                # Between the choice of the sample and the second look a record may leave for the database.
                assert 0 < seen["checked"] <= (50 if options else 100 + 150 + 300 + 150)
        eventually(lambda: mode == "evict" or client.call("INFO")["pending_records"] == 0)  # type: ignore[index]
        (summary,) = run_verify(node, mariadb).stdout.splitlines()
        assert counts(summary)["differing"] == 0
        assert mode == "evict" or counts(summary)["clean"] > 0


@pytest.mark.parametrize("mode", MODES)
def test_planted_differences_are_found(mariadb: MariaDB, nodes: Nodes, mode: str) -> None:
    node = nodes.start_secondary(
        persistent=mariadb.address,
        capacity=50,
        options=[f"--write-mode={mode}", "--write-delay=0"],
    )
    with Client("127.0.0.1", node.port) as client:
        for number in range(100):
            client.put(f"key {number}", "x")
        client.put("a key\n\udcff", b"value")
        # In the mode evict a record is clean when it has come back from the database.
        for number in range(60):
            client.put(f"more {number}", "x")
        eventually(lambda: client.call("INFO")["pending_records"] == 0)  # type: ignore[index]
        for number in range(40):
            assert client.get(f"key {number}") == "x"
        assert client.get("a key\n\udcff") == b"value"
        assert client.get("nobody") is None
        eventually(lambda: client.call("INFO")["pending_records"] == 0)  # type: ignore[index]

        run = run_verify(node, mariadb)
        assert (run.returncode, run.stderr) == (0, "")
        assert counts(run.stdout.strip())["differing"] == 0
        assert counts(run.stdout.strip())["clean"] >= 41

        sql(mariadb, "UPDATE CelonisData SET kv_value = 'y' WHERE kv_key = 'key 1'")
        sql(mariadb, "DELETE FROM CelonisData WHERE kv_key = 'key 2'")
        sql(mariadb, "UPDATE CelonisData SET kv_type = 1 WHERE kv_key = 'key 3'")
        sql(mariadb, "UPDATE CelonisData SET kv_type = 0 WHERE kv_value = 'value'")
        sql(mariadb, "INSERT INTO CelonisData (kv_key, kv_value) VALUES ('nobody', 'x')")
        sql(mariadb, "UPDATE CelonisData SET kv_type = 2, kv_expires = 9e12 WHERE kv_key = 'key 4'")
        sql(mariadb, "UPDATE CelonisData SET kv_type = 2, kv_expires = 5 WHERE kv_key = 'key 5'")
        sql(mariadb, "UPDATE CelonisData SET kv_value = 'y' WHERE kv_key = 'key 99'")  # not in memory: no difference
        run = run_verify(node, mariadb)
        assert (run.returncode, run.stderr) == (1, "")
        *lines, summary = run.stdout.splitlines()
        assert sorted(lines) == [
            'differs: "a key\\n\\udcff" clean: the database has another type, str for bin',
            'differs: "key 1" clean: the database has another value',
            'differs: "key 2" clean: the database has no row',
            'differs: "key 3" clean: the database has another type, bin for str',
            'differs: "key 4" clean: the database has another expiry',
            'differs: "key 5" clean: the database has another expiry',
            'differs: "nobody" absent: the database has a row',
        ]
        assert counts(summary)["differing"] == 7
        # So does a sample that is everything.
        assert run_verify(node, mariadb, "--sample=1000").stdout.splitlines()[-1] == summary
        # What the audit read did not count as used.
        assert client.call("INFO")["keyspace_hits"] == 41  # type: ignore[index]


def test_what_is_not_in_the_database_yet_is_no_difference(private_mariadb: MariaDB, nodes: Nodes) -> None:
    """Dirty records, pending ones, tombstones and parked rows."""
    node = nodes.start_secondary(persistent=private_mariadb.address, capacity=2, options=["--drain-timeout=1s"])
    node.wait_for_log("database connected")
    # A check, for a column of another type would be put right by the next connection.
    sql(private_mariadb, "ALTER TABLE CelonisData ADD CHECK (LENGTH(kv_value) <= 10)")
    with Client("127.0.0.1", node.port) as client:
        client.put("parked", "x" * 11)
        client.put("a", "x")
        client.put("b", "x")
        eventually(lambda: client.call("INFO")["parked_records"] == 1)  # type: ignore[index]
        with private_mariadb.connect("celonis", autocommit=False) as blocker, blocker.cursor() as cursor:
            cursor.execute("SELECT * FROM CelonisData FOR UPDATE")
            client.put("c", "x")  # its victim cannot be written, and what comes after it waits
            client.delete("b")
            client.put("d", "x")
            run = run_verify(node, private_mariadb)
            blocker.rollback()
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == ("checked 5: 0 clean, 2 dirty, 1 pending, 1 parked, 1 tombstone, 0 absent; 0 differing\n")


def test_an_outage_is_one_line_and_exit_code_4(private_mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=private_mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "x")
    private_mariadb.kill()
    run = run_verify(node, private_mariadb)
    assert (run.returncode, run.stdout) == (4, "")
    assert run.stderr.startswith(f"ckv: cannot verify: database mysql://root@{private_mariadb.address}/celonis: ")
    assert run.stderr.count("\n") == 1
    port = free_port()
    run = run_ckv("verify", "127.0.0.1", str(port), private_mariadb.address)
    assert (run.returncode, run.stdout) == (4, "")
    assert run.stderr.startswith(f"ckv: cannot verify: Unreachable: 127.0.0.1:{port} cannot be reached: ")
    assert run.stderr.count("\n") == 1


def test_a_node_that_cannot_be_verified_is_exit_code_2(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1)
    for node, line in (
        (cluster.primary, "is a primary: allowed is a secondary"),
        (cluster.secondaries[0], "has no persistent node: there is nothing to compare it with"),
    ):
        run = run_ckv("verify", "127.0.0.1", str(node.port), "127.0.0.1:3306")
        assert (run.returncode, run.stdout) == (2, "")
        assert run.stderr == f"ckv: <port>: 127.0.0.1:{node.port} {line}\n"


# --- what is looked at again -----------------------------------------------------------------------------------------


class Scripted:
    """A node with one key, of which it says the next thing each time that it is asked, and a database likewise."""

    def __init__(self, said: list[tuple[str, bytes]], rows: list[str | None]) -> None:
        self._said = said
        self._rows = rows

    def call(self, method: str, *_: object) -> object:
        where, said = self._said.pop(0) if len(self._said) > 1 else self._said[0]
        if method == "AUDIT":
            return [0, [["key", where, said]]]
        return [where, said]

    def pipeline(self) -> Pipeline:
        return Pipeline(self)

    def load_all(self, keys: list[str]) -> Loaded:
        row = self._rows.pop(0) if len(self._rows) > 1 else self._rows[0]
        if row is None or not keys:
            return Loaded({}, {})
        value, _, expires = row.partition("@")
        return Loaded({"key": value}, {}, {"key": int(expires)} if expires else {})


class Pipeline:
    def __init__(self, node: Scripted) -> None:
        self._node = node
        self._results: list[object] = []

    def call(self, method: str, *arguments: object) -> None:
        self._results.append(self._node.call(method, *arguments))

    def execute(self) -> list[object]:
        return self._results


LATER = 2**52
CLEAN_X, CLEAN_Y, DIRTY = ("clean", digest("x")), ("clean", digest("y")), ("dirty", digest("z"))


@pytest.mark.parametrize(
    ("said", "rows", "code", "end"),
    [
        ([CLEAN_X], ["y"], 1, "1 differing"),
        ([CLEAN_X], [None], 1, "1 differing"),
        # Written between the scan and the first load: the database was ahead of what the node had said.
        ([CLEAN_X, CLEAN_Y], ["y"], 0, "0 differing"),
        ([CLEAN_X, DIRTY], ["y"], 0, "0 differing"),
        ([CLEAN_X, CLEAN_X, CLEAN_X], ["y", "x"], 0, "0 differing"),
        # Written between the first look of a round and the load.
        ([CLEAN_X, CLEAN_X, CLEAN_Y], ["y"], 0, "0 differing"),
        ([CLEAN_X, *[CLEAN_X, CLEAN_Y] * 20], ["y"], 0, "0 differing"),
        # Twice the value went and came back right in between; the third time it did not.
        ([CLEAN_X], ["y", "y", "y", "x"], 0, "0 differing"),
        # Never the same before and after.
        ([CLEAN_X, CLEAN_Y] * 20, ["z"], 0, "0 differing, 1 changing too fast to tell"),
        ([("absent", b"")], ["x"], 1, "1 differing"),
        ([("absent", b"")], [f"x@{LATER}"], 1, "1 differing"),
        ([("absent", b"")], ["x@5"], 0, "0 differing"),  # a row that has expired is none
        ([("clean", digest("x", 5))], ["x@5"], 0, "0 differing"),
        ([("clean", digest("x", 5))], ["x@6"], 1, "1 differing"),
        ([("clean", digest("x", 5))], ["x"], 1, "1 differing"),
        ([CLEAN_X], [f"x@{LATER}"], 1, "1 differing"),
        ([("clean", digest("x", 5))], ["y@5"], 1, "1 differing"),
        ([("absent", b""), ("pending", digest("x"))], ["x"], 0, "0 differing"),
        ([("absent", b""), ("elsewhere", b"")], ["x"], 0, "0 differing"),
    ],
)
def test_a_race_with_a_write_is_no_difference(
    said: list[tuple[str, bytes]],
    rows: list[str | None],
    code: int,
    end: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(verify, "PAUSE", 0)
    world = Scripted(list(said), list(rows))
    audit = verify.Audit(cast(Client, world), cast(Session, world))
    assert audit.run(None) == code
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"; {end}")


# --- AUDIT and PEEK ---------------------------------------------------------------------------------------------------


def store(capacity: int, policy: str = "lru", mode: str = "evict") -> Store:
    return MODES[mode](
        POLICIES[policy](capacity),
        Pending(10**6, 1 << 40),
        Environment(clock=lambda: 0.0, load_timeout=1, pending_wait=1, write_delay=1),
    )


def audit_all(audits: Audits, count: int, between: Callable[[], None] = lambda: None) -> list[tuple[str, str, bytes]]:
    found: list[Any] = []
    cursor = 0
    while True:
        cursor, entries = audits.next(cursor, count)
        assert len(entries) <= count
        found += entries
        if cursor == 0:
            return found
        between()


@pytest.mark.parametrize("mode", ["evict", "behind"])
@pytest.mark.parametrize("policy", ["lru", "lfu", "fifo", "s3fifo"])
def test_a_record_that_stays_is_told_exactly_once_whatever_is_written_meanwhile(policy: str, mode: str) -> None:
    records = store(30, policy, mode)
    for number in range(100):
        records.put(f"key {number}", "x")
    records.delete("key 99")
    choice = random.Random(1)

    def disturb() -> None:
        for _ in range(20):
            number = choice.randrange(99)
            records.put(f"new {choice.random()}", "y")
            records.put(f"key {number}", "x")
            records.get(f"key {choice.randrange(99)}")

    found = audit_all(Audits(records, lambda: 0.0), 7, disturb)
    keys = [key for key, _, _ in found]
    assert len(set(keys)) == len(keys)
    assert set(keys) >= {f"key {number}" for number in range(99)}
    assert {said for key, _, said in found if key != "key 99"} == {digest("x")}
    assert ("key 99", "tombstone", b"") in found


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_a_record_is_not_called_clean_while_a_newer_write_is_on_its_way(mode: str) -> None:
    records = store(1, mode=mode)

    def places() -> list[str]:
        return [records.locate(key).where for key in ("a", "b")]

    records.put("a", "1")
    records.put("b", "1")
    assert places() == {"through": ["pending", "pending"]}.get(mode, ["pending", "dirty"])
    records.flush_end(records.flush_begin())
    assert places() == {"evict": ["elsewhere", "dirty"]}.get(mode, ["elsewhere", "clean"])
    records.put("b", "2")
    batch = records.flush_begin()
    # The database may have committed it by now; the node has not heard of that.
    assert places() == ["elsewhere", "dirty"]
    records.flush_end(batch)
    assert places() == {"evict": ["elsewhere", "dirty"]}.get(mode, ["elsewhere", "clean"])
    records.delete("b")
    assert places() == {"through": ["elsewhere", "dirty"]}.get(mode, ["elsewhere", "tombstone"])
    records.flush_end(records.flush_begin())
    assert places() == ["elsewhere", "absent"]


def test_a_cursor_can_be_asked_again_until_its_audit_is_over() -> None:
    records = store(10)
    for number in range(5):
        records.put(str(number), "x")
    audits = Audits(records, lambda: 0.0)
    cursor, first = audits.next(0, 2)
    again, second = audits.next(cursor, 2)
    assert audits.next(cursor, 2) == (again, second)
    assert audits.next(again, 2)[0] == 0
    assert not {key for key, _, _ in first} & {key for key, _, _ in second}
    with pytest.raises(errors.Refused, match="begin again with 0"):
        audits.next(again, 2)


def test_the_audits_that_are_open_are_bounded_in_number_and_time() -> None:
    now = 0.0
    records = store(10)
    for number in range(5):
        records.put(str(number), "x")
    audits = Audits(records, lambda: now)
    cursors = [audits.next(0, 1)[0] for _ in range(MAX_AUDITS)]
    cursors[0], _ = audits.next(cursors[0], 1)  # now the second one was used longest ago
    cursors.append(audits.next(0, 1)[0])
    with pytest.raises(errors.Refused):
        audits.next(cursors[1], 1)
    now = IDLE - 1
    audits.expire()
    cursors[0], _ = audits.next(cursors[0], 1)
    now = IDLE
    audits.expire()
    assert audits.next(cursors[0], 1)[0] != 0
    for cursor in cursors[2:]:
        with pytest.raises(errors.Refused):
            audits.next(cursor, 1)


def test_an_answer_is_bounded_in_bytes() -> None:
    records = store(10)
    for number in range(10):
        records.put(str(number), b"x" * (MAX_AUDIT_BYTES // 2))
    cursor, entries = Audits(records, lambda: 0.0).next(0, 10)
    assert len(entries) == 2
    assert cursor != 0


def test_audit_and_peek_over_the_wire(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    with Client("127.0.0.1", node.port) as client:
        assert client.call("AUDIT", 0, 10) == [0, []]
        client.put("a\udcff", b"\x00")
        assert client.call("PEEK", "a\udcff") == ["dirty", digest(b"\x00")]
        assert client.call("AUDIT", 0, MAX_COUNT) == [0, [["a\udcff", "dirty", digest(b"\x00")]]]
        assert client.call("PEEK", b"a\xff") == ["dirty", digest(b"\x00")]
        for arguments in [(), (0,), (0, 0), (0, MAX_COUNT + 1), ("0", 1), (0, True), (0, 1, 1), (-1, 1.0)]:
            with pytest.raises(errors.BadArguments):
                client.call("AUDIT", *arguments)
        for cursor in (1, -1, 2**63):
            with pytest.raises(errors.Refused, match="there is no audit"):
                client.call("AUDIT", cursor, 1)
        with pytest.raises(errors.BadArguments):
            client.call("PEEK")
        assert client.get("a\udcff") == b"\x00"
    lines = run_ckv("shell", "127.0.0.1", str(node.port), stdin="AUDIT 0 10\nAUDIT x 1\n")
    assert lines.stdout == f'"a\\xff" dirty {digest(bytes(1)).hex()}\nnext cursor 0\n'
    assert lines.stderr == "ckv: line 2: 'x' is not a whole number\n"
