"""The lines of the README for web frameworks, as they stand there."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import Server
from tests.clients.scenarios import NODE_FOLDER, run
from tests.support.nodes import ROOT

(SECTION,) = re.findall(
    r"^## From a web framework\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)
DJANGO, FLASK, FASTAPI, NODE = re.findall(r"```(?:python|js)\n(.*?)```", SECTION, re.DOTALL)

USE_DJANGO = """
from django.conf import settings
settings.configure(CACHES=CACHES)
from django.core.cache import cache
cache.set("bob", {"mail": "bob@gmail.com"})
print(cache.get("bob")["mail"])
"""
USE_FLASK = """
with app.test_client() as browser:
    assert browser.get("/users/bob").text == "bob@gmail.com"
    assert cache.get("view//users/bob") == "bob@gmail.com"
    print(browser.get("/users/bob").text)
"""
USE_FASTAPI = """
from fastapi.testclient import TestClient
with TestClient(app) as browser:
    assert browser.get("/users/none").json() is None
    assert browser.put("/users/bob?address=bob@gmail.com").json() is True
    print(browser.get("/users/bob").json())
"""


def typed(code: str, server: Server) -> str:
    """The code with the server of the test in the place of the README's."""
    changed = code.replace("localhost:8080", f"{server.host}:{server.port}")
    assert changed != code
    return changed


@pytest.mark.parametrize(
    ("shown", "used"),
    [(DJANGO, USE_DJANGO), (FLASK, USE_FLASK), (FASTAPI, USE_FASTAPI)],
    ids=["Django", "Flask", "FastAPI"],
)
def test_python(shown: str, used: str, server: Server, tmp_path: Path) -> None:
    """Django, Flask and FastAPI"""
    program = tmp_path / "program.py"
    program.write_text(typed(shown, server) + used)
    assert run([sys.executable, str(program)]) == "bob@gmail.com\n"


def test_node(server: Server) -> None:
    """Node"""
    if shutil.which("node") is None or not (NODE_FOLDER / "node_modules").exists():
        pytest.skip("Node and its packages are not there")
    program = NODE_FOLDER / "readme.mjs"
    program.write_text(typed(NODE, server))
    assert run(["node", str(program)]) == "bob@gmail.com\n"
