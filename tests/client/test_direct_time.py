"""How long a client takes that goes to the owners of keys, and what it does not do, where a node hangs or is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ckv import Client
from ckv.cluster.directory import Place
from ckv.cluster.slots import slot_of
from ckv.errors import CallTimeout, CkvError, NotOwner, Overloaded, Unreachable
from tests.support.fakeowners import Answer, World, key_of
from tests.support.ports import silent_address


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


@pytest.fixture
def hung() -> Iterator[threading.Event]:
    """What a node waits for that hangs; it goes on at the end."""
    event = threading.Event()
    yield event
    event.set()


def hangs(event: threading.Event, *methods: str, otherwise: Answer) -> Answer:
    """A node that hangs when it is asked for one of the methods; for anything, if there is none."""

    def answer(method: str, params: list[Any]) -> object:
        if not methods or method in methods:
            event.wait(30)
        return otherwise(method, params)

    return answer


def outcome(client: Client, key: str) -> object:
    try:
        return client.get(key)
    except CkvError as error:
        return type(error)


def test_a_primary_that_hangs_is_not_waited_for_where_owners_answer(
    world: World, hung: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [True]

    def break_off(method: str, params: list[Any]) -> object:
        if method == "GET" and lost:
            lost.clear()
            raise OSError
        return world.store(method, params)

    with world.client(timeout=1.0) as client:
        client.put(key_of(0), "0")
        world.owners[1].answer = break_off
        world.primary.answer = hangs(hung, otherwise=world.of_primary)
        with pytest.raises(CkvError):
            client.get(key_of(1))
        began = time.monotonic()
        assert [outcome(client, key_of(0)) for _ in range(20)] == ["0"] * 20
        # It was asked in one of the calls, or a few; the time until the next one grows, and counts from the end.
        assert time.monotonic() - began < 3.0
        assert world.primary.methods.count("OWNERS") <= 4


def test_what_cannot_be_packed_is_found_before_anything_is_sent(world: World) -> None:
    with world.client() as client:
        client.put_many({key_of(0): "0", key_of(1): "1"})
        for bad in (key_of(0), key_of(1)):
            calls = client.pipeline()
            calls.put(key_of(0), "new")
            calls.put(key_of(1), "new")
            calls.call("PUT", bad, object())
            with pytest.raises(TypeError):
                calls.execute()
        assert client.get_many([key_of(0), key_of(1)]) == {key_of(0): "0", key_of(1): "1"}
    assert [owner.connections for owner in world.owners] == [1, 1]


def test_what_was_refused_in_a_long_pipeline_has_its_time_too(world: World) -> None:
    keys = [key for key in map(str, range(200)) if slot_of(key) % 2 == 0][:8]

    def slow(method: str, params: list[Any]) -> object:
        if method == "GET":
            time.sleep(0.1)
            if params[0] == keys[-1]:
                raise NotOwner("1.2 is the map here")
        return world.store(method, params)

    with world.client(timeout=0.5) as client:
        client.put_many(dict.fromkeys(keys, "v"))
        world.owners[0].answer = slow
        calls = client.pipeline()
        for key in keys:
            calls.get(key)
        assert calls.execute() == ["v"] * len(keys)
    assert world.primary.methods == ["OWNERS", "OWNERS", "GET"]


def test_to_be_told_and_to_be_asked_share_the_time_of_the_call(world: World) -> None:
    def slow(method: str, params: list[Any]) -> object:
        time.sleep(0.3 if method == "DIRECT" else 0.8)
        return world.store(method, params)

    world.owners[0].answer = slow
    with world.client(timeout=1.0) as client:
        client.put(key_of(1), "1")
        assert outcome(client, key_of(0)) is CallTimeout


def test_who_does_not_answer_what_it_is_told_leaves_time_for_the_primary(world: World, hung: threading.Event) -> None:
    world.owners[0].answer = hangs(hung, "DIRECT", otherwise=world.store)
    with world.client(timeout=1.0) as client:
        client.put(key_of(0), "1")
    assert world.primary.methods == ["OWNERS", "OWNERS", "PUT"]


def test_one_behind_a_wall_leaves_time_for_the_primary(world: World) -> None:
    with silent_address() as (host, port):
        world.tell((1, 1), lambda slot: 0, places=[Place(host, port, "p0")])
        with world.client(timeout=0.8) as client:
            client.put("key", "1")
    assert world.primary.methods[-1] == "PUT"


def test_owners_that_hang_are_waited_for_at_the_same_time(world: World, hung: threading.Event) -> None:
    keys = [key_of(0), key_of(1)]
    with world.client(timeout=0.5) as client:
        client.put_many(dict.fromkeys(keys, "v"))
        for owner in world.owners:
            owner.answer = hangs(hung, otherwise=world.store)
        calls = client.pipeline()
        for key in keys:
            calls.get(key)
        began = time.monotonic()
        assert [type(result) for result in calls.execute(raise_on_error=False)] == [CallTimeout, CallTimeout]
        assert time.monotonic() - began < 0.9


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("size", [1, 50_000, 24_000_000])
def test_owners_that_answer_are_heard_beside_one_that_hangs(
    world: World, hung: threading.Event, bad: int, size: int
) -> None:
    keys = [key_of(0), key_of(1)]
    with world.client(timeout=1.0) as client:
        client.put_many(dict.fromkeys(keys, "v"))
        world.owners[bad].answer = hangs(hung, otherwise=world.store)
        calls = client.pipeline()
        for key in keys:
            calls.put(key, "x" * size)
        results = calls.execute(raise_on_error=False)
    assert isinstance(results[bad], CallTimeout)
    assert results[1 - bad] is None


@pytest.mark.parametrize("bad", [0, 1])
def test_a_large_answer_that_came_in_time_is_read_beside_one_that_hangs(
    world: World, hung: threading.Event, bad: int
) -> None:
    """Most of it cannot arrive while the other one is waited for."""
    keys, value = [key_of(0), key_of(1)], "x" * 48_000_000
    world.records = dict.fromkeys(keys, value)
    world.owners[bad].answer = hangs(hung, "GET", otherwise=world.store)
    with world.client(timeout=1.0) as client:
        calls = client.pipeline()
        for key in keys:
            calls.get(key)
        results = calls.execute(raise_on_error=False)
    assert isinstance(results[bad], CallTimeout)
    assert results[1 - bad] == value


def test_owners_are_asked_at_the_same_time(world: World) -> None:
    """Each one answers when the other one was asked."""
    barrier = threading.Barrier(2, timeout=5)

    def meets(method: str, params: list[Any]) -> object:
        if method == "GET":
            barrier.wait()
        return world.store(method, params)

    with world.client() as client:
        client.put_many({key_of(0): "0", key_of(1): "1"})
        for owner in world.owners:
            owner.answer = meets
        assert client.get_many([key_of(0), key_of(1)]) == {key_of(0): "0", key_of(1): "1"}


def test_pipelines_that_meet_do_not_wait_for_each_other_for_ever(world: World) -> None:
    """Each has the one connection to an owner that the other one waits for, if they take them as their calls come."""
    keys = [key_of(0), key_of(1)]
    with world.client(max_connections=1, timeout=5) as client:
        client.put_many(dict.fromkeys(keys, "v"))
        found: list[object] = []

        def read(keys: list[str]) -> None:
            for _ in range(100):
                calls = client.pipeline()
                for key in keys:
                    calls.get(key)
                found.append(calls.execute(raise_on_error=False))

        threads = [threading.Thread(target=read, args=(order,)) for order in (keys, keys[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [["v", "v"]] * 200


def test_a_call_without_time_says_nothing_about_an_owner(
    world: World, caplog: pytest.LogCaptureFixture, hung: threading.Event
) -> None:
    with world.client(timeout=5) as client:
        client.put(key_of(0), "1")
        client.close()
        for _ in range(5):
            client.timeout = 1e-6
            with pytest.raises(Unreachable):
                client.get(key_of(0))
        client.timeout = 5
        assert client.get(key_of(0)) == "1"
    assert not caplog.messages
    assert world.primary.methods == ["OWNERS"]


def test_one_that_was_given_little_time_is_not_told_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with silent_address() as (host, port):
        world.tell((1, 1), lambda slot: slot % 2, places=[Place(host, port, "p0"), world.places()[1]])
        with world.client(timeout=5) as client:
            client.put(key_of(1), "1")
            client.timeout = 0.15
            for _ in range(5):
                outcome(client, key_of(0))
            (endpoint,) = [each for each in client._way._known if each.port == port]  # type: ignore[attr-defined]
            assert endpoint.failures == 0
    assert not caplog.messages


def test_one_that_has_too_much_to_do_is_not_elsewhere(world: World) -> None:
    def overloaded(method: str, params: list[Any]) -> object:
        if method != "DIRECT":
            raise Overloaded("too many requests")
        return 0

    world.owners[0].answer = overloaded
    with world.client() as client, pytest.raises(Overloaded):
        client.put(key_of(0), "1")
    assert world.primary.methods == ["OWNERS"]


def test_the_primary_is_asked_who_owns_what_more_and_more_rarely(world: World) -> None:
    def refuse(method: str, params: list[Any]) -> object:
        if method != "DIRECT":
            raise NotOwner("1.1 is the map here")
        return 0

    world.owners[0].answer = refuse
    with world.client() as client:
        until = time.monotonic() + 1.0
        count = 0
        while time.monotonic() < until:
            client.put(key_of(0), "1")
            count += 1
    assert world.primary.methods.count("PUT") == count > 20
    assert world.primary.methods.count("OWNERS") <= 7
