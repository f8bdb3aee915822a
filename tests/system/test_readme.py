"""The lines of the README that a reader types, but for its transcripts (test_transcript.py) and how to install
(tests/test_packaging.py).
"""

from __future__ import annotations

import re
import subprocess

import pytest

from ckv import Client
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Nodes, ckv_command, ckv_environment

README = (ROOT / "README.md").read_text()

CARE = re.findall(r"<!-- typed by tests/system/test_readme.py -->\n\n((?:    .*\n)+)", README)
PYTHON = re.findall(r"```python\n(from ckv .*?)```", README, re.DOTALL)
MAKES = sorted({target for page in [README, *(page.read_text() for page in (ROOT / "docs").glob("*.md"))]
                for target in re.findall(r"(?:^ {4}|^\$ |`)make ([a-z-]+)", page, re.MULTILINE)})  # fmt: skip


def test_looking_after_a_node(nodes: Nodes, mariadb: MariaDB) -> None:
    node = nodes.start_secondary(persistent=mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        client.put("bob", "bob@gmail.com")
    (block,) = CARE
    lines = block.splitlines()
    assert [line.split()[1] for line in lines] == ["status", "verify", "shell"]
    for line in lines:
        typed = line.replace("8081", str(node.port)).replace("localhost:3306", mariadb.address)
        script = f'shopt -s expand_aliases\nalias ckv="{" ".join(ckv_command())}"\n{typed}'
        run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ckv_environment(), cwd=ROOT)
        assert (run.returncode, run.stderr) == (0, ""), line
        assert run.stdout, line


def test_the_python_that_it_shows(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    (block,) = PYTHON
    code = block.replace("8080", str(cluster.primary.port))
    assert code != block
    # What a comment says of a line is what the line gives.
    code = re.sub(r"^( +)(\S.*?)  # ('.*'|True)$", r"\1assert \2 == \3", code, flags=re.MULTILINE)
    assert code.count("assert") == 2
    exec(compile(code, "README.md", "exec"), {})
    with Client("127.0.0.1", cluster.primary.port) as client:
        assert client.get("user:999") == b"\x00\x01"


@pytest.mark.parametrize("target", MAKES)
def test_what_make_is_asked_for_is_there(target: str) -> None:
    run = subprocess.run(["make", "--dry-run", "--question", target], capture_output=True, text=True, cwd=ROOT)
    assert "No rule to make target" not in run.stderr, run.stderr
