"""The lines of README.md, docs/first-steps.md and docs/python.md that a reader types, but for transcripts
(test_transcript.py) and how to install (tests/test_packaging.py); and that what pages ask `make` for is there.
"""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Nodes, ckv_command, ckv_environment, run_ckv
from tests.support.ports import free_port

FIRST_STEPS = (ROOT / "docs" / "first-steps.md").read_text()

CARE = re.findall(r"<!-- typed by tests/system/test_first_steps.py -->\n\n((?:    .*\n)+)", FIRST_STEPS)
GROWING = [
    block
    for text in ((ROOT / "README.md").read_text(), FIRST_STEPS)
    for block in re.findall(r"<!-- a cluster that grows: .*? -->\n\n((?:    .*\n)+)", text)
]
PYTHON = re.findall(r"```python\n(from ckv .*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
TEXT = "\n".join(page.read_text() for page in PAGES)
MAKES = sorted(set(re.findall(r"(?:^ {4}|^\$ |`)make ([a-z-]+)", TEXT, re.MULTILINE)))


def test_looking_after_a_node(nodes: Nodes, mariadb: MariaDB) -> None:
    node = nodes.start_secondary(persistent=mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        client.put("bob", "bob@gmail.com")
    (block,) = CARE
    lines = block.splitlines()
    assert [line.split()[1] for line in lines] == ["status", "top", "top", "verify", "flush", "shell"]
    for line in lines:
        typed = line.replace("8081", str(node.port)).replace("localhost:3306", mariadb.address)
        script = f'shopt -s expand_aliases\nalias ckv="{" ".join(ckv_command())}"\n{typed}'
        run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ckv_environment(), cwd=ROOT)
        assert (run.returncode, run.stderr) == (0, ""), line
        assert run.stdout, line


@pytest.mark.parametrize("number", [0, 1])
def test_a_cluster_that_grows(number: int, nodes: Nodes, mariadb: MariaDB) -> None:
    block = GROWING[number]
    ports = {port: str(free_port()) for port in sorted(set(re.findall(r"\b808\d\b", block)))}
    typed = re.sub(r"\b808\d\b", lambda found: ports[found[0]], block).replace("localhost:3306", mariadb.address)
    *started, shown = [shlex.split(line, comments=True) for line in typed.splitlines()]

    def parts() -> list[str]:
        """The slots of each node, as the last line shows them."""
        run = run_ckv(*shown[1:])
        assert run.returncode == 0, run.stderr
        return [line.split()[5] for line in run.stdout.split("\n\n")[0].splitlines()[1:]]

    for place, words in enumerate(started):
        assert (words[0], words[-1]) == ("ckv", "&")
        if place > 1:  # the first is the primary
            shared = [f"{16384 // (place - 1)}"] * (place - 1)
            eventually(lambda: parts() == shared, timeout=30.0, what=f"{place - 1} have shared the slots")  # noqa: B023
        port_at = 1 if words[1] == "primary" else 2
        nodes.start(words[1:-1], port_at, env={"CKV_SETTLE": "100ms"} if words[1] == "primary" else None)
    figures = re.findall(r"\d{4}", block.partition("#")[2])
    eventually(lambda: sorted(parts()) == sorted(figures), timeout=30.0, what=f"the last one makes {figures} of it")


def test_the_python_that_it_shows(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    (block,) = PYTHON
    code = block.replace("8080", str(cluster.primary.port))
    assert code != block
    # What a comment says of a line is what the line gives.
    code = re.sub(r"^( +)(\S.*?)  # ('.*'|True)$", r"\1assert \2 == \3", code, flags=re.MULTILINE)
    assert code.count("assert") == 2
    exec(compile(code, "python.md", "exec"), {})
    with Client("127.0.0.1", cluster.primary.port) as client:
        assert client.get("user:999") == b"\x00\x01"


@pytest.mark.parametrize("target", MAKES)
def test_what_make_is_asked_for_is_there(target: str) -> None:
    run = subprocess.run(["make", "--dry-run", "--question", target], capture_output=True, text=True, cwd=ROOT)
    assert "No rule to make target" not in run.stderr, run.stderr
