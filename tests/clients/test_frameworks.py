"""The lines of docs/frameworks.md, as they stand there."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.clients.scenarios import NODE_FOLDER, php, run
from tests.clients.server import Server
from tests.support.nodes import ROOT

PAGE = (ROOT / "docs" / "frameworks.md").read_text()
DJANGO, FLASK, FASTAPI, CELERY, NODE, PHP = re.findall(r"```(?:python|js|php)\n(.*?)```", PAGE, re.DOTALL)

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


USE_CELERY = """
from celery.contrib.testing.worker import start_worker
with start_worker(app, perform_ping_check=False):
    result = mail.delay("bob")
    assert result.get(timeout=60) == "bob@gmail.com"
    assert app.backend.client.exists(f"celery-task-meta-{result.id}")
    print(result.get())
"""
USE_PHP = """
session_write_close();
echo $ckv->exists("PHPREDIS_SESSION:" . session_id()), "\\n";
"""


def typed(code: str, server: Server) -> str:
    """The code with the server of the test in the place of the page's, and tasks that stay in the process."""
    changed = code.replace("localhost:8080", f"{server.host}:{server.port}")
    assert changed != code
    changed = changed.replace('"localhost", 8080', f'"{server.host}", {server.port}')
    return changed.replace("amqp://localhost", "memory://")


@pytest.mark.parametrize(
    ("shown", "used"),
    [(DJANGO, USE_DJANGO), (FLASK, USE_FLASK), (FASTAPI, USE_FASTAPI), (CELERY, USE_CELERY)],
    ids=["Django", "Flask", "FastAPI", "Celery"],
)
def test_python(shown: str, used: str, server: Server, tmp_path: Path) -> None:
    """Django, Flask, FastAPI and Celery"""
    program = tmp_path / "program.py"
    program.write_text(typed(shown, server) + used)
    assert run([sys.executable, str(program)]) == "bob@gmail.com\n"


def test_node(server: Server) -> None:
    """Node"""
    if shutil.which("node") is None or not (NODE_FOLDER / "node_modules").exists():
        pytest.skip("Node and its packages are not there")
    program = NODE_FOLDER / "frameworks.mjs"
    program.write_text(typed(NODE, server))
    assert run(["node", str(program)]) == "bob@gmail.com\n"


def test_php(server: Server, tmp_path: Path) -> None:
    """PHP"""
    program = tmp_path / "program.php"
    program.write_text(typed(PHP, server) + USE_PHP)
    assert run([php(), str(program)]) == "bob@gmail.com\n1\n"
