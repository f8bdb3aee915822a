"""A client that goes to the owners of keys, against nodes that do as told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ckv import Client
from ckv.client import endpoint
from ckv.client.retries import in_order
from ckv.cluster.directory import Place
from ckv.cluster.slots import SLOTS
from ckv.errors import CallTimeout, CkvError, Moving, NodeDown, NodeLost, NotOwner, Refused, Unreachable, WrongNode
from tests.support.fakeowners import World, key_of
from tests.support.nodes import Nodes
from tests.support.ports import free_port, silent_address


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


def test_an_owner_is_told_first_by_what_the_client_comes(world: World) -> None:
    with world.client() as client:
        for number in range(4):
            client.put(str(number), "value")
            assert client.get(str(number)) == "value"
    assert world.primary.methods == ["OWNERS"]
    for number, owner in enumerate(world.owners):
        assert owner.asked[0] == (1, "DIRECT", [f"p{number}", "map", 1, 1, f"n{number}"])
        assert owner.methods.count("DIRECT") == owner.connections == 1


def test_with_a_list_it_is_the_place_in_it(world: World) -> None:
    world.tell((0, 0), lambda slot: slot % 2, "list")
    with world.client() as client:
        client.put_many({key_of(0): "1", key_of(1): "2"})
    assert [owner.asked[0][2] for owner in world.owners] == [["p0", "list", 1, 2, ""], ["p1", "list", 2, 2, ""]]


def test_by_another_map_it_is_told_again_before_it_is_asked(world: World) -> None:
    here, there = key_of(0), key_of(1)
    with world.client() as client:
        client.put(here, "1")

        def refuse(method: str, params: list[Any]) -> object:
            if method != "DIRECT":
                raise NotOwner("1.2 is the map here")
            return 0

        world.owners[1].answer = refuse
        world.tell((1, 2), lambda slot: 0)
        client.put(there, "2")
        assert client.get(here) == "1"
    told = [(method, params[2:4] if method == "DIRECT" else params[0]) for _, method, params in world.owners[0].asked]
    assert told == [("DIRECT", [1, 1]), ("PUT", here), ("DIRECT", [1, 2]), ("PUT", there), ("GET", here)]
    assert world.primary.methods == ["OWNERS", "OWNERS"]


def test_after_a_refusal_it_comes_over_another_connection(world: World) -> None:
    """What comes behind over the old one is refused until the node knows that the client has heard of it."""
    key, once = key_of(0), [NotOwner("1.1 is the map here")]

    def refuse_once(method: str, params: list[Any]) -> object:
        if method == "PUT" and once:
            raise once.pop()
        return world.store(method, params)

    world.owners[0].answer = refuse_once
    with world.client() as client:
        client.put(key, "1")
        client.put(key, "2")
    assert [(number, method) for number, method, _ in world.owners[0].asked] == [
        (1, "DIRECT"), (1, "PUT"), (2, "DIRECT"), (2, "PUT"),
    ]  # fmt: skip


@pytest.mark.parametrize("error", [NotOwner("1.1 is the map here"), Moving("later"), WrongNode("another process")])
def test_a_slot_that_nobody_serves_is_asked_of_the_primary_which_waits(world: World, error: CkvError) -> None:
    def refuse(method: str, params: list[Any]) -> object:
        if method == "DIRECT" and not isinstance(error, WrongNode):
            return 0
        raise error

    world.owners[0].answer = refuse
    with world.client() as client:
        client.put(key_of(0), "1")
        assert client.get(key_of(0)) == "1"
        client.put(key_of(1), "2")
    assert "PUT" in world.primary.methods
    assert "GET" in world.primary.methods
    assert len(world.owners[0].asked) <= 4  # once for each call, and not until the client gives up
    assert world.owners[1].methods == ["DIRECT", "PUT"]


def test_what_the_primary_says_then_is_the_answer(world: World) -> None:
    world.tell((1, 1), lambda slot: 7)

    def down(method: str, params: list[Any]) -> object:
        if method == "OWNERS":
            return world.directory
        raise NodeDown("the owner is not connected")

    world.primary.answer = down
    with world.client() as client, pytest.raises(NodeDown):
        client.put("key", "1")
    assert world.primary.methods == ["OWNERS", "PUT"]


def test_a_call_whose_outcome_is_unknown_is_not_made_again(world: World) -> None:
    def break_off(method: str, params: list[Any]) -> object:
        if method == "DIRECT":
            return 0
        raise OSError

    world.owners[0].answer = break_off
    with world.client() as client:
        with pytest.raises(NodeLost) as caught:
            client.put(key_of(0), "1")
        assert caught.value.written == "unknown"
        assert world.owners[0].methods == ["DIRECT", "PUT"]
        assert world.primary.methods == ["OWNERS"]
        # The primary may know more of it by then.
        world.tell((1, 2), lambda slot: 1)
        client.put(key_of(0), "2")
        assert world.primary.methods == ["OWNERS", "OWNERS"]
        assert world.owners[0].methods == ["DIRECT", "PUT"]


def test_it_is_made_again_where_that_was_asked_for(world: World) -> None:
    def break_off(method: str, params: list[Any]) -> object:
        if method == "DIRECT":
            return 0
        world.tell((1, 2), lambda slot: 1)
        raise OSError

    world.owners[0].answer = break_off
    with world.client(retries=3, retry_unknown=("PUT",)) as client:
        client.put(key_of(0), "1")
        assert client.get(key_of(0)) == "1"


def test_none_of_a_pipeline_overtakes_a_later_one_of_its_key(world: World) -> None:
    key, other, errors = key_of(0), key_of(0, key_of(0)), [Moving("one"), Moving("two")]

    def refuse_two(method: str, params: list[Any]) -> object:
        if method == "PUT" and params[1] == "first":
            raise errors.pop()
        return world.store(method, params)

    world.owners[0].answer = refuse_two
    with world.client() as client:
        calls = client.pipeline()
        calls.put(key, "first")
        calls.put(key, "second")
        calls.put(other, "first")
        first, second, third = calls.execute(raise_on_error=False)
        assert isinstance(first, Moving)
        assert (second, third) == (None, None)
        assert client.get_many([key, other]) == {key: "second", other: "first"}
    assert [params[0] for _, method, params in world.primary.asked if method == "PUT"] == [other]


def test_a_pipeline_is_divided_and_its_results_are_in_order(world: World) -> None:
    keys = [str(number) for number in range(100)]
    with world.client() as client:
        client.put_many({key: f"v{key}" for key in keys})
        calls = client.pipeline()
        for key in keys:
            calls.get(key)
        calls.call("NO", "key")
        *values, refused = calls.execute(raise_on_error=False)
    assert values == [f"v{key}" for key in keys]
    assert isinstance(refused, Refused)
    assert world.primary.methods == ["OWNERS", "NO"]
    assert sum(owner.methods.count("GET") for owner in world.owners) == len(keys)


def of_all(world: World, method: str, params: list[Any]) -> object:
    """What the primary answers, who knows how many records there are as well."""
    return len(world.records) if method == "DBSIZE" else world.of_primary(method, params)


def slow(world: World, seconds: float, *methods: str) -> None:
    """Owners and the primary take so long for each of these."""

    def put(method: str, params: list[Any]) -> object:
        time.sleep(seconds if method in methods else 0.0)
        return of_all(world, method, params)

    for fake in (*world.owners, world.primary):
        fake.answer = put


def test_what_is_about_no_one_key_waits_for_what_is_before_it_in_a_pipeline_and_is_waited_for(world: World) -> None:
    slow(world, 0.1, "PUT")
    here, there = key_of(0), key_of(1)
    with world.client() as client:
        calls = client.pipeline()
        for key in (here, there):
            calls.put(key, "1")
            calls.call("DBSIZE")
        assert calls.execute() == [None, 1, None, 2]
        slow(world, 0.1, "DBSIZE")
        calls.call("DBSIZE")
        calls.put(key_of(0, here), "1")
        assert calls.execute() == [2, None]


def test_each_answer_of_a_pipeline_puts_the_end_of_its_time_off(world: World) -> None:
    slow(world, 0.4, "PUT", "DBSIZE")
    with world.client(timeout=0.6) as client:
        calls = client.pipeline()
        calls.put(key_of(0), "1")
        calls.call("DBSIZE")
        calls.put(key_of(1), "1")
        assert calls.execute() == [None, 1, None]


def test_what_cannot_be_packed_is_found_before_anything_of_a_pipeline_is_sent(world: World) -> None:
    slow(world, 0.0)
    with world.client() as client:
        calls = client.pipeline()
        calls.put(key_of(0), "1")
        calls.call("DBSIZE")
        calls.call("PUT", key_of(0), object())
        with pytest.raises(TypeError):
            calls.execute()
        assert client.call("DBSIZE") == 0


def test_a_pipeline_of_several_parts_of_which_none_was_sent(world: World) -> None:
    with Client("127.0.0.1", free_port(), direct=True) as client:
        calls = client.pipeline()
        calls.put("key", "1")
        calls.call("DBSIZE")
        with pytest.raises(Unreachable):
            calls.execute(raise_on_error=False)


def test_an_owner_that_cannot_be_reached_from_here_is_told_of_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "AT_ONCE", 0.0)
    places = [Place("127.0.0.1", free_port(), "p0"), Place("127.0.0.1", world.owners[1].port, "p1")]
    world.tell((1, 1), lambda slot: slot % 2, places=places)
    with caplog.at_level(logging.WARNING), world.client() as client:
        for turn in range(6):
            for node in client._way._routes.endpoints.values() if turn else ():  # type: ignore[attr-defined]
                node.avoided_until = 0.0  # its time has passed
            client.put(key_of(0), str(turn))
            assert client.get(key_of(0)) == str(turn)
            client.put(key_of(1), str(turn))
    (said,) = caplog.messages
    assert f"127.0.0.1:{places[0].port} cannot be asked from here" in said
    assert world.owners[1].methods == ["DIRECT", *["PUT"] * 6]


def test_one_behind_a_wall_costs_a_second_and_not_all_of_the_time(world: World) -> None:
    with silent_address() as (host, port):
        world.tell((1, 1), lambda slot: 0, places=[Place(host, port, "p0")])
        with world.client() as client:
            began = time.monotonic()
            client.put("key", "1")
            assert 0.9 < time.monotonic() - began < 3.0
            began = time.monotonic()
            assert client.get("key") == "1"
            assert time.monotonic() - began < 0.5


def test_an_owner_that_is_silent_costs_the_time_of_the_call(world: World) -> None:
    def hang(method: str, params: list[Any]) -> object:
        if method != "DIRECT":
            time.sleep(1.5)
        return 0

    world.owners[0].answer = hang
    with world.client(timeout=0.5) as client:
        with pytest.raises(CallTimeout):
            client.put(key_of(0), "1")
        client.put(key_of(1), "1")


@pytest.mark.parametrize(
    "told", [None, 7, ["map", [1, 1], [], b""], ["other", [1, 1], [], bytes(2 * SLOTS)], [1, 2, 3, 4]]
)
def test_what_does_not_say_who_owns_what_is_told_of_once(
    world: World, told: object, caplog: pytest.LogCaptureFixture
) -> None:
    world.directory = told
    with caplog.at_level(logging.WARNING), world.client() as client:
        for number in range(3):
            client.put(str(number), "1")
            assert client.get(str(number)) == "1"
    (said,) = caplog.messages
    assert "does not say who owns which keys" in said
    assert world.primary.methods.count("OWNERS") == 1


def test_what_the_primary_tells_last_counts_also_if_it_is_of_an_earlier_version(world: World) -> None:
    """As where a cluster was set up anew."""
    world.tell((7, 9), lambda slot: slot % 2)
    with world.client() as client:
        client.put(key_of(0), "1")

        def refuse(method: str, params: list[Any]) -> object:
            raise WrongNode("another process than this one is meant")

        world.owners[0].answer = refuse
        client.close()
        world.tell((1, 1), lambda slot: 1)
        client.put(key_of(0), "2")
        assert client.get(key_of(0)) == "2"
    assert world.primary.methods == ["OWNERS", "OWNERS"]
    assert world.owners[1].methods == ["DIRECT", "PUT", "GET"]


def test_another_cluster_at_the_address_is_asked_for_nothing(nodes: Nodes, world: World) -> None:
    """The address is another machine's, or another process's, where the client is."""
    theirs = nodes.start_cluster(1)
    world.tell((0, 0), lambda slot: 0, "list", places=[Place("127.0.0.1", theirs.secondaries[0].port, "p0")])
    with world.client() as client, Client("127.0.0.1", theirs.primary.port) as other:
        client.put("key", "ours")
        assert client.get("key") == "ours"
        assert other.get("key") is None
        # Not even where it has told who it is, but for another share of the keys.
        process = other.call("OWNERS")[2][0][2]  # type: ignore[index]
        places = [Place("127.0.0.1", theirs.secondaries[0].port, process), None]
        world.tell((0, 0), lambda slot: 0, "list", places=places)
        client.put("key", "again")
        assert other.get("key") is None
    with world.client() as client, Client("127.0.0.1", theirs.primary.port) as other:
        world.tell((0, 0), lambda slot: 0, "list", places=places[:1])
        client.put("key", "theirs")
        assert other.get("key") == "theirs"


def test_only_what_is_not_behind_something_that_is_over_can_be_made_again() -> None:
    from ckv.client.calls import Call, as_it_is

    calls = [Call("PUT", (key, "v"), as_it_is) for key in ("a", "b", "a", "b", "c")]
    assert in_order(calls, {0, 1, 2}) == [0, 2]
    assert in_order(calls, {0, 3}) == [3]
