"""``ckv top`` and ``ckv status`` of a whole cluster: what is seen of nodes that are well, and of those that are not."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time

from ckv import Client
from ckv.tools.overview import HEAD, Seen, table, wrong
from ckv.tools.top import fitted
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Node, Nodes, ckv_command, ckv_environment, run_ckv


def top(node: Node) -> dict[str, dict[str, str]]:
    """The table, by address and column; what is wrong is under ``!``, a line for each."""
    done = run_ckv("top", "127.0.0.1", str(node.port), "--once")
    assert (done.returncode, done.stderr) == (0, "")
    return parsed(done.stdout)


def parsed(shown: str) -> dict[str, dict[str, str]]:
    head, *lines = shown.splitlines()
    names = re.split(r"  +", head)
    assert names == list(HEAD)
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        if line.startswith("! "):
            address, _, what = line[2:].partition(": ")
            row = rows[address.split()[0]]
            row["!"] = row.get("!", "") + what + "\n"
        else:
            row = dict(zip(names, re.split(r"  +", line), strict=True))
            rows[row["node"].split()[0]] = row
    return rows


def test_all_nodes_of_a_primary(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=100)
    with Client("127.0.0.1", cluster.primary.port) as client:
        client.put_many({f"key {number}": "v" for number in range(50)})
    seen = top(cluster.primary)
    assert list(seen) == [node.address for node in (cluster.primary, *cluster.secondaries)]
    assert [row["role"] for row in seen.values()] == ["primary", "secondary", "secondary"]
    assert all(row["state"] == "serving" and "!" not in row for row in seen.values())
    records = [int(row["records"]) for address, row in seen.items() if address != cluster.primary.address]
    assert sum(records) == 50
    assert [row["full"] for row in seen.values()] == ["-", *(f"{count}%" for count in records)]
    assert seen[cluster.secondaries[0].address]["database"] == "up"
    assert list(top(cluster.secondaries[0])) == [cluster.secondaries[0].address]


def test_what_is_wrong_is_said_and_hides_nobody_else(nodes: Nodes, private_mariadb: MariaDB) -> None:
    cluster = nodes.start_cluster(
        3, persistent=private_mariadb.address, capacity=10, primary_options=["--node-wait=0", "--call-timeout=60s"]
    )
    killed, hung, well = cluster.secondaries
    killed.kill()
    hung.pause()
    with Client("127.0.0.1", well.port) as client:
        private_mariadb.kill()
        client.put_many({f"key {number}": "v" for number in range(100)})
        client.put_many({f"key {number}": "v" for number in range(100)})

        def away() -> dict[str, dict[str, str]]:
            seen = top(cluster.primary)
            assert seen[well.address]["database"] == "down"
            return seen

        seen = eventually(away, what="it is seen that the database is away")
    hung.resume()
    assert [seen[node.address]["state"] for node in (cluster.primary, killed, hung)] == ["serving", "away", "away"]
    assert "does not reach 1 of 3 secondaries" in seen[cluster.primary.address]["!"]
    assert seen[killed.address]["!"].startswith("it does not tell its figures: not connected: ")
    assert seen[hung.address]["!"] == "it does not tell its figures: no answer within 1 s\n"
    said = seen[well.address]["!"]
    sentence = r"^The database has been down for \d+ s: MySQL error 2003: .+ \[CkvDatabaseAway\]$"
    assert re.search(sentence, said, re.MULTILINE)
    assert int(seen[well.address]["pending"]) > 0


def test_a_terminal_is_refreshed_until_it_is_told_to_stop(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*ckv_command(), "top", "127.0.0.1", str(node.port)],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, env=ckv_environment(), cwd=ROOT,
    )  # fmt: skip
    os.close(theirs)
    try:
        shown = ""
        deadline = time.monotonic() + 30
        while shown.count("ckv top") < 2:
            assert time.monotonic() < deadline
            shown += os.read(ours, 2**16).decode()
        node.kill()
        while "Unreachable" not in shown:
            assert time.monotonic() < deadline
            shown += os.read(ours, 2**16).decode()
        process.send_signal(signal.SIGINT)
        while "\x1b[?1049l" not in shown:
            shown += os.read(ours, 2**16).decode()
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert shown.startswith("\x1b[?1049h")
    assert shown.count("\x1b[?1049l") == 1
    assert node.address in shown


def test_who_does_not_answer_is_one_line(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    node.kill()
    done = run_ckv("top", "127.0.0.1", str(node.port), "--once")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ckv: Unreachable: ")
    assert done.stderr.count("\n") == 1


def test_status_of_a_primary_ends_with_its_secondaries(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    port = str(cluster.primary.port)
    shown = run_ckv("status", "127.0.0.1", port).stdout
    secondaries, _, problems = shown.partition("\n# Secondaries\n")[2].partition("\n\n# Problems\n")
    assert problems == "none\n"
    seen = parsed(secondaries)
    assert list(seen) == [node.address for node in cluster.secondaries]
    info = json.loads(run_ckv("status", "127.0.0.1", port, "--format=json").stdout)
    assert info["role"] == "primary"
    assert {address: figures["role"] for address, figures in info["secondaries"].items()} == dict.fromkeys(
        seen, "secondary"
    )
    cluster.secondaries[0].kill()
    wrong_is = f"\n# Problems\n! 127.0.0.1:{port}: This primary does not reach 1 of 2 secondaries"
    eventually(lambda: wrong_is in run_ckv("status", "127.0.0.1", port).stdout, what="the loss")
    port = str(cluster.secondaries[1].port)
    alone = run_ckv("status", "127.0.0.1", port, "--format=json")
    assert "secondaries" not in json.loads(alone.stdout)
    assert run_ckv("status", "127.0.0.1", port).stdout.endswith("\n# Problems\nnone\n")


# --- the table, without a node ---------------------------------------------------------------------------------------


def test_what_is_counted_is_that_of_the_time_between() -> None:
    def at(
        calls: int, cpu: float, hits: int, memory: int, misses: int, failed: int = 0, process: int = 1
    ) -> list[Seen]:
        info = {
            "process_id": process, "total_commands_processed": calls, "used_cpu_sys": cpu, "used_cpu_user": cpu,
            "keyspace_hits": hits, "hits_memory": memory, "keyspace_misses": misses, "total_error_replies": failed,
        }  # fmt: skip
        return [Seen("a:1", "", info)]  # type: ignore[arg-type]

    def shown(before: list[Seen], now: list[Seen]) -> list[str]:
        row = parsed("\n".join(table(before, now, 2.0)))["a:1"]
        return [row[name] for name in ("cpu", "calls/s", "errors/s", "hits", "from mem")]

    assert shown(at(1000, 5.0, 50, 40, 50), at(5000, 5.5, 140, 70, 60, 7)) == ["50%", "2,000", "4", "90%", "30%"]
    assert shown(at(1000, 5.0, 50, 40, 50), at(1000, 5.0, 50, 40, 50)) == ["0%", "0", "0", "-", "-"]
    # It was started anew.
    assert shown(at(1000, 5.0, 50, 40, 50), at(2000, 6.0, 60, 60, 60, process=2)) == ["-"] * 5
    assert shown([], at(2000, 6.0, 60, 60, 60)) == ["-"] * 5


def test_what_is_wrong_is_said_as_on_the_status_page() -> None:
    away: dict[str, int | float | str] = {"database_state": "down", "database_state_seconds": 200.0}
    away |= {"name": "a", "database_reason": "Connection refused"}
    seen = [
        Seen("p:1", "", {"role": "primary", "ready": 1}),
        Seen("a:1", "", {**away, "draining": 1}),
        Seen("b:1", "no answer within 1 s", {}),
    ]
    assert wrong(seen) == [
        "! a:1 a: The database has been down for 3 min: Connection refused [CkvDatabaseAway]",
        "! a:1 a: The node was told to stop: it saves what it has, and answers nothing else",
        "! b:1: it does not tell its figures: no answer within 1 s",
    ]
    assert table([], seen, 1.0)[-3:] == wrong(seen)


def test_it_is_told_to_its_end_on_a_narrow_terminal() -> None:
    lines = ["node  role  state", "! a:1: The database has been down for 3 min"]
    assert fitted(lines, 20) == ["node  role  state", "! a:1: The database", "  has been down for", "  3 min"]
    assert fitted(lines, 10)[0] == "node  role"
