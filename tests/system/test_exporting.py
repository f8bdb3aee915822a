"""``ckv export`` and ``ckv import``: records go from one cluster to another as they are."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from ckv import Client
from ckv.address import Address
from ckv.client import Pipeline
from ckv.client.calls import Call
from ckv.errors import CallTimeout, ProtocolError, TierUnavailable
from ckv.protocol.steps import packed_answers
from ckv.settings.roles import ImportSettings
from ckv.tools import exporting
from ckv.tools.importing import Import
from ckv.tools.records import line_of, record_of
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Cluster, Node, Nodes, ckv_command, ckv_environment, run_ckv

RECORDS: dict[str, str | bytes] = {
    **{f"key {number}": f"value {number}" for number in range(1500)},
    "": "",
    "\udcff": b"\x00\xff",
    "line\nend": "two\r\nlines",
    "bin of text": b"text",
    "str of bytes": "\udc80",
    "\U0001f600": "\u00fc",
}


@pytest.fixture
def cluster(nodes: Nodes, mariadb: MariaDB) -> Cluster:
    """Most of its records are in the database alone, and one expires."""
    cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=100)
    with Client("127.0.0.1", cluster.primary.port) as client:
        client.put_many(RECORDS)
        client.put("soon", "v", expire=600)
    return cluster


def export(node: Node, *options: str) -> subprocess.CompletedProcess[str]:
    return run_ckv("export", "127.0.0.1", str(node.port), *options)


def load(node: Node, lines: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run_ckv("import", "127.0.0.1", str(node.port), *options, stdin=lines)


def test_the_lines_of_the_page(cluster: Cluster, nodes: Nodes) -> None:
    other = nodes.start_secondary()
    script = (
        (ROOT / "docs/backup.md").read_text().partition("<!-- typed by tests/system/test_exporting.py -->\n```sh\n")
    )
    typed = script[2].partition("```")[0].replace(">records.jsonl\n", "|").replace("<records.jsonl", "")
    typed = typed.replace("localhost 8080", f"127.0.0.1 {cluster.primary.port}")
    typed = typed.replace("localhost 8090", f"127.0.0.1 {other.port}")
    run = subprocess.run(
        ["bash", "-c", f'set -o pipefail\nckv() {{ {" ".join(ckv_command())} "$@"; }}\n{typed}'],
        capture_output=True, text=True, env=ckv_environment(), cwd=ROOT, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    # An export may have a record twice.
    assert re.fullmatch(
        rf"{len(RECORDS) + 1} records were stored, \d+ were there already, 0 have expired\n", run.stdout
    )
    with Client("127.0.0.1", other.port) as client:
        assert client.count() == len(RECORDS) + 1
        assert {key: client.get(key) for key in RECORDS} == RECORDS
        assert 0 < (client.ttl("soon") or 0) <= 600
        assert client.ttl("") == float("inf")


def test_a_secondary_has_its_own(cluster: Cluster) -> None:
    found = []
    for node in cluster.secondaries:
        lines = export(node).stdout.splitlines()
        assert 100 < len({*lines}) < len(RECORDS)
        found += [record_of(line).key for line in lines]
    assert sorted({*found}) == sorted([*RECORDS, "soon"])


def test_what_is_there_already_is_replaced_only_if_asked(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    past = int(1000 * time.time()) - 1
    lines = "".join(
        json.dumps(record) + "\n"
        for record in (
            {"key": "a", "value": "old"},
            {"key": "b", "value": "old"},
            {"key": "c", "value": "old", "expires": past},
        )
    )
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "new", expire=60)
        assert load(node, lines).stdout == "1 records were stored, 1 were there already, 1 have expired\n"
        assert client.get_many(["a", "b", "c"]) == {"a": "new", "b": "old"}
        assert load(node, lines).stdout == "0 records were stored, 2 were there already, 1 have expired\n"
        assert (
            load(node, lines, "--overwrite").stdout == "2 records were stored, 0 were there already, 1 have expired\n"
        )
        assert client.get_many(["a", "b", "c"]) == {"a": "old", "b": "old"}
        assert client.ttl("a") == float("inf")


def test_an_import_that_fails_says_where_to_go_on(nodes: Nodes) -> None:
    node = nodes.start_secondary(options=["--max-value-bytes=100"])
    lines = [json.dumps({"key": f"k{number}", "value": "v"}) for number in range(700)]
    good = lines[600]
    lines[600] = json.dumps({"key": "k600", "value": "v" * 101})
    failed = load(node, "\n".join(lines))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("ckv: ValueTooLarge: line 601: ")
    assert failed.stderr.endswith("; go on with --resume=600\n")
    lines[600] = good
    lines[650] = "{"
    failed = load(node, "\n".join(lines), "--resume=600")
    assert failed.stderr.startswith("ckv: BadArguments: line 651: no JSON: ")
    assert failed.stderr.endswith("; go on with --resume=650\n")
    lines[650] = json.dumps({"key": "k650", "value": "v"})
    done = load(node, "\n".join(lines), "--resume=650")
    assert done.stdout == "0 records were stored, 50 were there already, 0 have expired\n"
    with Client("127.0.0.1", node.port) as client:
        assert client.count() == 700


def test_an_export_that_fails_says_where_to_go_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here in the process of the test, in which the answers are lost in the middle of what a SCAN has told."""
    keys: list[str] = []

    class Failing(Client):
        pipelines = 0

        def pipeline(self) -> Pipeline:
            Failing.pipelines += 1
            if Failing.pipelines == 25:
                raise CallTimeout("no answer")
            return super().pipeline()

    with Failing("127.0.0.1", cluster.primary.port) as client, pytest.raises(CallTimeout) as caught:
        exporting._export(client, 0)
    text, _, cursor = str(caught.value).partition("; go on with --resume=")
    assert text == "no answer"
    keys += [record_of(line).key for line in capsys.readouterr().out.splitlines()]
    assert keys
    rest = export(cluster.primary, f"--resume={cursor}")
    assert (rest.returncode, rest.stderr) == (0, "")
    others = [record_of(line).key for line in rest.stdout.splitlines()]
    assert {*keys, *others} == {*RECORDS, "soon"}
    assert len({*others}) < len(RECORDS)


class Changing:
    """What a client is, whose answers about expiry change a few times."""

    def __init__(self, *expiries: int) -> None:
        self._expiries = iter(expiries)
        self._turn = 0
        self._calls: list[object] = []

    def pipeline(self) -> Changing:
        self._turn += 1
        self._calls = []
        return self

    def call(self, _method: str, _key: str) -> None:
        self._calls.append(next(self._expiries))

    def get(self, _key: str) -> None:
        self._calls.append(f"value {self._turn}")

    def execute(self) -> list[object]:
        return self._calls


def test_a_value_and_its_expiry_are_of_one_moment() -> None:
    def found(*expiries: int) -> Iterator[object]:
        return iter(exporting.read(Changing(*expiries), ["k"]))  # type: ignore[arg-type]

    assert [*found(-1, 70, 70, 70)] == [("k", "value 2", 70)]
    assert [*found(70, 70)] == [("k", "value 1", 70)]
    assert [*found(70, -2, -2, -2)] == []


class Restless(Client):
    """Somebody else puts the expiry of a record off whenever that is asked for."""

    def pipeline(self) -> Pipeline:
        return Pipeline(self._one_by_one)

    def _one_by_one(self, calls: list[Call]) -> list[object]:
        results = []
        for call in calls:
            if call.method == "EXPIRETIME":
                expires = self.call("EXPIRETIME", *call.params)
                if isinstance(expires, int) and expires > 0:
                    self.call("EXPIRE", *call.params, expires + 1, "")
            results.append(super().call(call.method, *call.params))
        return [call.read(result) for call, result in zip(calls, results, strict=True)]


def test_a_record_is_read_whose_expiry_changes_all_the_time(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    with Restless("127.0.0.1", node.port) as client:
        client.put("a", "1")
        client.put("\udcff", b"\x00")
        for key in ("soon", "\udcfe"):
            client.put(key, b"\xff", expire=600)
        found = {record.key: record for record in exporting.read(client, ["a", "\udcff", "soon", "\udcfe", "none"])}
        assert (found["a"].value, found["a"].expires, found["\udcff"].value) == ("1", 0, b"\x00")
        for key in ("soon", "\udcfe"):
            assert (found[key].value, found[key].expires) == (b"\xff", client.call("EXPIRETIME", key))
    assert len(found) == 4


@pytest.mark.parametrize(
    "answer", [None, [True], [True, "x"], [True, b"\xc0"], [True, packed_answers([(None, 7), (None, -1)])]]
)
def test_what_is_no_answer_to_a_step_is_an_error(answer: object) -> None:
    with pytest.raises(ProtocolError):
        exporting._answers(answer)


def test_what_a_node_answers_in_the_place_of_a_record_is_told() -> None:
    away = packed_answers([("TierUnavailable: the database is away", None), (None, -1)])
    with pytest.raises(TierUnavailable, match="the database is away"):
        exporting._answers([True, away])


def test_lines_are_what_import_reads(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    with Client("127.0.0.1", node.port) as client:
        Import(client, ImportSettings(Address("127.0.0.1", node.port), 5, 0, overwrite=True)).run(
            line_of(record).encode() for record in map(record_of, ['{"key": "k", "value": "v"}'])
        )
        assert client.get("k") == "v"
