"""The status page of real nodes, and what it asks them for; in a headless Chromium where the machine has one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckv import Client, errors
from ckv.node.page import document
from tests.support.browser import PROGRAM, Browser
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes
from tests.system.registered import SETTLE, SLOTS
from tests.system.test_http import address_of, ask

NAME = "<img/src=x/onerror=alert(1)>"
"""A node may be called so."""


def status(node: Node) -> dict[str, Any]:
    found = json.loads(ask(node, "/status.json")[1])
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def joined() -> Iterator[tuple[Node, Node]]:
    """A primary, and a secondary that has joined it and owns all slots; nobody ends them."""
    with Nodes() as nodes:
        primary = nodes.start_primary(options=["--http=0", f"--settle={SETTLE}"])
        secondary = nodes.start_secondary(primary=primary.address, options=["--http=0", f"--name={NAME}"])
        eventually(lambda: status(primary)["ready"] == status(secondary)["ready"] == 1, 30.0, "slots")
        yield primary, secondary


def start_list(nodes: Nodes) -> tuple[Node, Node]:
    """A primary with a list of one, and that one."""
    secondary = nodes.start_secondary(options=["--http=0"])
    primary = nodes.start_primary(secondary, options=["--http=0"])
    eventually(lambda: status(primary)["ready"] == 1, what="the connection")
    return primary, secondary


def test_the_page_comes_with_its_policy(joined: tuple[Node, Node]) -> None:
    for node in joined:
        answer, text = ask(node, "/")
        assert (answer.status, text) == (200, document().text)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] == document().policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert ask(node, "/", "POST")[0].status == 405


def test_both_nodes_tell_the_same_cluster(joined: tuple[Node, Node]) -> None:
    primary, secondary = map(status, joined)
    here = {"number": 0, "name": NAME, "address": joined[1].address, "state": "up", "slots": SLOTS}
    assert primary["cluster"]["secondaries"] == [{**here, "own": False}]
    assert secondary["cluster"]["secondaries"] == [{**here, "own": True}]
    assert primary["cluster"]["primaries"] == [{"address": joined[0].address, "own": True, "leads": True}]
    assert secondary["cluster"]["primaries"] == [{"address": joined[0].address, "own": False, "leads": False}]
    assert primary["cluster"]["slots"] == secondary["cluster"]["slots"] == [[0, SLOTS - 1, 0]]
    assert primary["problems"] == secondary["problems"] == []


def test_troubles_and_calls_are_told(nodes: Nodes) -> None:
    primary, secondary = start_list(nodes)
    with Client("127.0.0.1", primary.port) as client:
        client.put("a", "x")
        assert client.get("a") == "x"

    def counted() -> bool:
        history = json.loads(ask(secondary, "/history.json")[1])
        assert history["samples"], "none was taken yet"
        newest = dict(zip(history["names"], history["samples"][-1][1:], strict=True))
        return bool(newest["hits_memory"] == 1)

    eventually(counted, what="a sample with the read in it")
    secondary.kill()
    eventually(lambda: "CkvPeerNotConnected" in [found["section"] for found in status(primary)["problems"]], what="it")
    assert status(primary)["cluster"]["secondaries"][0]["state"] == "not connected"


def test_a_list(nodes: Nodes) -> None:
    secondary = nodes.start_secondary(options=["--http=0"])
    assert [found["section"] for found in status(secondary)["problems"]] == ["CkvNotReady"]
    primary = nodes.start_primary(secondary, "127.0.0.1:1", options=["--http=0"])
    eventually(lambda: status(secondary)["problems"] == [], what="a primary")
    half = [[0, SLOTS // 2 - 1, 0], [SLOTS // 2, SLOTS - 1, 1]]
    assert status(primary)["cluster"]["slots"] == half
    assert status(secondary)["cluster"]["slots"] == half[:1]
    eventually(lambda: status(primary)["cluster"]["secondaries"][0]["state"] == "up", what="the connection")
    assert status(primary)["cluster"]["secondaries"][1]["state"] == "not connected"


# --- in a browser ----------------------------------------------------------------------------------------------------

in_a_browser = pytest.mark.skipif(not PROGRAM, reason="there is no Chromium")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path) as one:
        yield one


def url(node: Node) -> str:
    return "http://{}:{}/".format(*address_of(node))


def text_of(browser: Browser, element: str) -> str:
    found = browser.value(f"document.getElementById({element!r})?.innerText ?? ''")
    assert isinstance(found, str)
    return found


WELL = "All is well: the node serves, and nothing is wrong."


@in_a_browser
def test_a_hostile_name_is_text(joined: tuple[Node, Node], browser: Browser) -> None:
    for node in joined:
        browser.open(url(node))
        eventually(lambda: text_of(browser, "sentence") == WELL, what="the first answer")
        assert NAME in text_of(browser, "nodes")
        assert browser.value("document.images.length") == 0
        assert browser.value("document.getElementById('cluster-picture').textContent.includes('<img')")
    assert text_of(browser, "who") == f"ckv secondary {NAME}"
    assert browser.troubles() == []


@in_a_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_on_a_phone(joined: tuple[Node, Node], browser: Browser, dark: bool) -> None:
    for node in joined:
        browser.open(url(node), width=320, dark=dark)
        eventually(lambda: text_of(browser, "sentence") == WELL, what="the first answer")
        assert browser.value("document.documentElement.scrollWidth") == 320
        wide = "[...document.querySelectorAll('svg')].filter(one => one.getBoundingClientRect().right > 320).length"
        assert browser.value(wide) == 0
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


@in_a_browser
def test_pictures_have_words_and_wide_tables_the_focus(joined: tuple[Node, Node], browser: Browser) -> None:
    browser.open(url(joined[1]))
    eventually(lambda: text_of(browser, "sentence") == WELL, what="the first answer")
    nameless = "[...document.querySelectorAll('svg')].filter(one => !one.getAttribute('aria-label')).length"
    assert browser.value(nameless) == 0
    assert browser.value("document.querySelectorAll('svg[role=img]').length") >= 6
    order = []
    for _ in range(6):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        focused = "document.activeElement.getAttribute('aria-labelledby') ?? document.activeElement.textContent"
        order.append(browser.value(focused))
    captions = ["nodes-caption", "reads-caption", "slow-caption"]
    assert order == [*captions, "/status.json", "/metrics", "/readyz"]


@in_a_browser
def test_the_last_minutes_are_drawn(nodes: Nodes, browser: Browser) -> None:
    """Calls, how long they took, and errors."""
    primary, _ = start_list(nodes)
    browser.open(url(primary))
    eventually(lambda: text_of(browser, "sentence") == WELL, what="the first answer")
    curves = "[...document.querySelectorAll('#times-chart path.curve, #errors-chart path.curve')]"
    lines = f"{curves}.filter(one => /L/.test(one.getAttribute('d'))).length"
    with Client("127.0.0.1", primary.port) as client:

        def drawn() -> bool:
            client.put("a", "x")
            with pytest.raises(errors.NotANumber):
                client.incr("a")
            shown = {name: text_of(browser, name) for name in ("calls", "times", "errors")}
            assert all(re.match(r"[\d.,]*[1-9]", text) for text in shown.values()), shown
            return bool(browser.value(lines) == 2)

        eventually(drawn, what="curves, and figures above 0")
    assert browser.troubles() == []


@in_a_browser
def test_troubles_come_first_and_a_node_that_is_gone_is_one(nodes: Nodes, browser: Browser) -> None:
    primary, secondary = start_list(nodes)
    browser.open(url(primary))
    eventually(lambda: text_of(browser, "sentence") == WELL, what="the first answer")
    secondary.kill()
    eventually(
        lambda: text_of(browser, "sentence").startswith("This primary does not reach 1 of 1 secondary, whose keys"),
        what="the loss",
    )
    assert "docs/runbook.md#ckvpeernotconnected" in text_of(browser, "problems")
    assert text_of(browser, "announcement").startswith("This primary does not reach")
    primary.kill()
    eventually(lambda: "has not answered this page for" in text_of(browser, "sentence"), what="its end")
    assert "docs/runbook.md#ckvnodedown" in text_of(browser, "problems")
