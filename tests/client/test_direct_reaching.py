"""Owners that a client cannot reach: they take a part of a call's time, all together, and are avoided then."""

from __future__ import annotations

import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ckv import Client
from ckv.client.direct import Direct
from ckv.client.endpoint import Endpoint
from ckv.cluster.directory import Place
from ckv.cluster.slots import slot_of
from ckv.errors import CallTimeout, Unreachable
from tests.support.fakeowners import World, key_of
from tests.support.ports import silent_address


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


def failures(client: Client) -> list[int]:
    way: Any = client._way
    return [endpoint.failures for endpoint in way._routes.endpoints.values()]


def test_owners_behind_a_wall_take_half_of_the_time_all_together(world: World) -> None:
    """One after the other they would leave nothing for the primary."""
    count = 12
    keys = [next(key for key in map(str, range(5000)) if slot_of(key) % count == owner) for owner in range(count)]
    world.records = dict.fromkeys(keys, "v")
    with ExitStack() as stack:
        addresses = [stack.enter_context(silent_address()) for _ in range(count)]
        places = [Place(host, port, f"p{number}") for number, (host, port) in enumerate(addresses)]
        world.tell((1, 1), lambda slot: slot % count, places=places)
        with world.client(timeout=1.0) as client:
            assert client.get_many(keys) == world.records
            # Nothing is said about those for which no time was left.
            assert sorted(failures(client)) == [0] * (count - 1) + [1]
            assert client.get_many(keys) == world.records


def test_a_name_that_takes_too_long_to_look_up_costs_no_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing bounds the look-up: what it takes too much is not the call's."""
    real, looked_up = socket.getaddrinfo, 0

    def slow(host: str, *rest: Any, **options: Any) -> Any:
        nonlocal looked_up
        if host != "owner.invalid":
            return real(host, *rest, **options)
        looked_up += 1
        time.sleep(0.6)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    world.tell((1, 1), lambda slot: 0, places=[Place("owner.invalid", 8080, "p0")])
    with world.client(timeout=0.5) as client:
        for value in ("1", "2"):
            client.put("key", value)
        assert failures(client) == [1]
    assert looked_up == 1
    assert world.primary.methods.count("PUT") == 2


def test_names_that_take_too_long_are_looked_up_one_in_a_round(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, looked_up = socket.getaddrinfo, 0

    def slow(host: str, *rest: Any, **options: Any) -> Any:
        nonlocal looked_up
        if not host.endswith(".invalid"):
            return real(host, *rest, **options)
        looked_up += 1
        time.sleep(0.6)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    places = [Place(f"owner-{number}.invalid", 8080, f"p{number}") for number in range(2)]
    world.tell((1, 1), lambda slot: slot % 2, places=places)
    world.records = {key_of(0): "0", key_of(1): "1"}
    with world.client(timeout=0.5) as client:
        assert client.get_many(world.records) == world.records
    assert looked_up == 1


def test_one_that_has_taken_all_of_the_time_is_avoided_too(world: World) -> None:
    """It has stopped reading, so a part of a call never left."""
    over = threading.Event()

    def hang(method: str, params: list[Any]) -> object:
        if method == "GET":
            over.wait(30)
        return world.store(method, params)

    key = key_of(0)
    with world.client(timeout=0.5) as client:
        client.put(key, "1")
        world.owners[0].answer = hang
        calls = client.pipeline()
        calls.get(key)
        calls.put(key, "x" * 24_000_000)
        assert [type(result) for result in calls.execute(raise_on_error=False)] == [CallTimeout, Unreachable]
        assert sorted(failures(client)) == [0, 1]
        assert client.get(key) == "1"
    over.set()
    assert world.primary.methods[-1] == "GET"


def test_what_one_call_finds_counts_by_the_time_that_it_began_with(world: World) -> None:
    with silent_address() as (host, port):
        world.tell((1, 1), lambda slot: slot % 2, places=[Place(host, port, "p0"), world.places()[1]])
        with world.client(timeout=0.3) as client:
            client.put(key_of(1), "1")
            client.put(key_of(0), "1")
            assert sorted(failures(client)) == [0, 1]


def test_it_can_be_closed_while_a_thread_learns_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = Direct(Endpoint("host", 1, 1), 1)
    kept = [direct._new_endpoint("host", port) for port in (2, 3)]
    thread = threading.Thread(target=lambda: kept.append(direct._new_endpoint("host", 4)))

    class Known(weakref.WeakSet[Endpoint]):
        """While one goes through it, another thread adds to it, if it may."""

        def __iter__(self) -> Iterator[Endpoint]:
            for endpoint in super().__iter__():
                if not thread.ident:
                    thread.start()
                    thread.join(0.2)
                yield endpoint

    monkeypatch.setattr(direct, "_known", Known(kept))
    direct.close()
    thread.join()
    direct.retire()
    assert len(kept) == 3
