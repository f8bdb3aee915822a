"""A client that goes to the owners of keys where greenlets share connections, and in a process that was forked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.fakeowners import World, key_of
from tests.support.greenlets import run


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


HEAD = f"""
import os, time
client = Client("127.0.0.1", int(sys.argv[1]), timeout=20, direct=True)
HERE, THERE = {key_of(0)!r}, {key_of(1)!r}
client.put(HERE, "here")
client.get(HERE)
client.ping = lambda: client.call("ECHO", 1)
client.ping(), client.ping()
way = client._way
endpoint = way._routes.endpoints[next(place for place in way._routes.endpoints if place.name == "n0")]
class Narrow:
    def __init__(self, shared):
        self.socket, shared._socket = shared._socket, self
    def send(self, data):
        raise BlockingIOError
    def __getattr__(self, name):
        return getattr(self.socket, name)
def learn():
    way._ask_at = 0
    way._learn(way._routes, 5, time.monotonic() + 5, 5)
"""


def test_a_call_that_has_not_left_in_its_time_is_not_made_by_the_primary_afterwards(world: World) -> None:
    code = """
narrow = Narrow(endpoint._shared)
client.timeout = 0.3
try:
    print(client.incr(HERE))
except errors.CkvError as error:
    print(type(error).__name__, error.written)
gevent.sleep(0.3)
"""
    assert run(world.primary.node, HEAD + code) == "Unreachable no"
    assert "INCRBY" not in [*world.primary.methods, *world.owners[0].methods]
    assert world.primary.methods.count("OWNERS") == 1


def test_a_node_that_is_none_any_more_has_no_connection_left(world: World) -> None:
    """Somebody has had it since before, and asks it once more."""

    def of_primary(method: str, params: list[Any]) -> object:
        if method == "OWNERS" and "OWNERS" in world.primary.methods[:-1]:
            world.tell((1, 2), lambda slot: 1, places=[None, world.places()[1]])
        return world.of_primary(method, params)

    world.primary.answer = of_primary
    code = """
from ckv.client.calls import Call, as_it_is
from ckv.client.reaching import Budget
owner = next(owner for owner in way._routes.owners if owner.endpoint is endpoint)
learn()
assert endpoint not in way._routes.endpoints.values()
print(way._ask(owner, [Call("GET", (HERE,), as_it_is)], 5, time.monotonic() + 5, 5, Budget()))
print(endpoint._shared.retired, endpoint._pool)
"""
    assert run(world.primary.node, HEAD + code).splitlines() == ["[[True, 'here']]", "True not connected"]


def test_a_fork_lets_go_of_a_node_that_is_none_any_more_while_a_call_is_on_it(world: World) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def of_primary(method: str, params: list[Any]) -> object:
        if method == "OWNERS" and "OWNERS" in world.primary.methods[:-1]:
            world.tell((1, 2), lambda slot: 1, places=[None, world.places()[1]])
        if method == "ECHO" and params == ["ready?"]:
            return asked.wait(10)
        if method == "ECHO" and params == ["go on"]:
            go_on.set()
        return world.of_primary(method, params)

    def slow(method: str, params: list[Any]) -> object:
        if method == "GET" and "GET" in world.owners[0].methods[:-1]:
            asked.set()
            go_on.wait(20)
        return world.store(method, params)

    world.primary.answer, world.owners[0].answer = of_primary, slow
    code = """
def get():
    try:
        return client.get(HERE)
    except errors.CkvError as error:
        return type(error).__name__
caller = gevent.spawn(get)
assert client.call("ECHO", "ready?")
learn()
assert endpoint not in way._routes.endpoints.values()
child = os.fork()
if not child:
    caller.join(3)
    print("child", [connection.connected for connection in endpoint._pool._all], caller.value, flush=True)
    os._exit(0)
os.waitpid(child, 0)
client.call("ECHO", "go on")
caller.join(10)
print("parent", caller.value, flush=True)
"""
    said = run(world.primary.node, HEAD + code).splitlines()
    assert said == ["child [False] NodeLost", "parent here"]
    time.sleep(0.1)
    assert world.owners[1].methods.count("GET") == 0
