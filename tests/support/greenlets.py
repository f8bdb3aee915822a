"""A program whose greenlets share a connection of the client, against a node that does as told."""

from __future__ import annotations

import subprocess
import sys

from tests.support.fakenode import Connection, FakeNode
from tests.support.nodes import ROOT

HEAD = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from ckv import Client
from ckv import errors
client = Client("127.0.0.1", int(sys.argv[1]), timeout=20)
def outcome(*call):
    try:
        return client.call(*call)
    except errors.CkvError as error:
        return type(error).__name__
def together(*calls):
    started = [gevent.spawn(outcome, *call) for call in calls]
    gevent.joinall(started, raise_error=True)
    return [each.value for each in started]
assert outcome("ECHO", 0) == 0  # this connection is shared from now on
"""


def run(node: FakeNode, code: str) -> str:
    """What the program prints, which ends by itself."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code, str(node.port)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.strip()


def first(connection: Connection) -> None:
    """Answers what makes the connection a shared one."""
    _, msgid, _, (value,) = connection.request()
    connection.respond(msgid, value)
