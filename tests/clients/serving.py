"""Programs that serve HTTP over what they ask of a Redis."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.support.eventually import eventually

START_TIMEOUT = 20.0


class Refused(Exception):
    """The program has answered with another status than 200."""


@contextmanager
def serving(command: Sequence[str], port: int, path: str) -> Iterator[None]:
    """The program, from when it answers at ``path`` on."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: fetch(port, path) is not None, START_TIMEOUT, f"{command[0]} answers")
        yield
    finally:
        process.kill()
        process.wait()


def fetch(port: int, path: str, method: str = "GET", fields: Mapping[str, object] | None = None) -> str:
    """What it answers, ``fields`` being sent as JSON. Raises Refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        body = json.dumps(fields) if fields is not None else None
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != http.client.OK:
            raise Refused(f"{method} {path}: {response.status} {text}")
        return text
    finally:
        connection.close()
