"""CLUSTER, and what else clients say that go to the owners of keys by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from ckv.address import Address
from ckv.cluster.slots import slot_of
from ckv.cluster.view import Health, Place, View
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, ReplyError, Text, encode, integer
from ckv.protocol.resp.session import RespSession
from ckv.redis.connection import NONE, Sub, refuse, simply, subcommands
from ckv.redis.row import FREE, Facts, Row, text_of

DISABLED: Final = "ERR This instance has cluster support disabled: a primary says with --cluster-clients that it has it"


def _view(facts: Facts) -> View:
    """Raises ReplyError when there is none."""
    view = facts.placing.view
    if view is None:
        raise ReplyError(DISABLED)
    return view


def _told(answer: Callable[[Facts, View], Any]) -> Sub:
    """A subcommand without arguments that tells something of the view."""
    return lambda facts, session, _request: encode(answer(facts, _view(facts)), session.protocol)


def _places(facts: Facts, view: View) -> Iterator[tuple[int, Place, Health]]:
    """The nodes, each with its number, the slots that a client may look for there, and how it is.

    As Redis does it, a node that is down keeps its slots: it will serve them again. What belongs to one that has other
    keys nobody serves, and no node has: a client that went there would be sent away, or get what is not the record."""
    for number, place in view.places.items():
        health = facts.placing.health(number)
        yield number, (place._replace(ranges=()) if health == "refused" else place), health


def _slots(facts: Facts, view: View) -> list[object]:
    """Each row of slots, and its owner."""
    return [
        [first, last, [place.address.host, place.address.port, place.id, []]]
        for _, place, _ in _places(facts, view)
        for first, last in place.ranges
    ]


def _shards(facts: Facts, view: View) -> list[object]:
    return [
        {"slots": [bound for row in place.ranges for bound in row], "nodes": [_node_of_shard(place, health)]}
        for _, place, health in _places(facts, view)
    ]


def _node_of_shard(place: Place, health: Health) -> dict[str, object]:
    host = place.address.host
    return {
        "id": place.id,
        "port": place.address.port,
        "ip": host,
        "endpoint": host,
        "role": "master",
        "replication-offset": 0,
        "health": "online" if health == "online" else "fail",
    }


def _own_id(facts: Facts, view: View) -> str:
    return facts.run_id if view.own is None else view.places[view.own].id


def _nodes(facts: Facts, session: RespSession, _request: Request) -> bytes:
    """The file of a node of Redis: id, address, flags, master, ping, pong, epoch, link, slots."""
    view = _view(facts)

    def lines() -> Iterator[str]:
        if view.own is None:
            # A primary owns nothing, and may listen everywhere: it is where this client has found it.
            here = _with_port_of_bus(session.line.own_address)
            yield f"{facts.run_id} {here} myself,master - 0 0 {view.epoch} connected"
        for number, place, health in _places(facts, view):
            flags = "myself,master" if number == view.own else "master"
            flags, link = (flags, "connected") if health == "online" else (f"{flags},fail", "disconnected")
            address = _with_port_of_bus(place.address)
            slots = " ".join(str(first) if first == last else f"{first}-{last}" for first, last in place.ranges)
            yield f"{place.id} {address} {flags} - 0 0 {view.epoch} {link} {slots}".rstrip()

    return encode(Text("".join(f"{line}\n" for line in lines())), session.protocol)


def _with_port_of_bus(address: Address) -> str:
    """As Redis writes it. Nodes of ckv have one port."""
    return f"{address.host}:{address.port}@{address.port}"


def _info(facts: Facts, view: View) -> Text:
    places = list(_places(facts, view))
    served = sum(place.slots for _, place, health in places if health == "online")
    assigned = sum(place.slots for _, place, _ in places)
    figures = {
        # Some clients do nothing at all after another word, though all other slots are served.
        "cluster_state": "ok" if served else "fail",
        "cluster_slots_assigned": assigned,
        "cluster_slots_ok": served,
        "cluster_slots_pfail": 0,
        "cluster_slots_fail": assigned - served,
        "cluster_known_nodes": len(view.places) + (view.own is None),
        "cluster_size": sum(1 for _, place, _ in places if place.ranges),
        "cluster_current_epoch": view.epoch,
        "cluster_my_epoch": view.epoch,
    }
    return Text("".join(f"{name}:{value}\r\n" for name, value in figures.items()))


def _key_slot(facts: Facts, _session: RespSession, request: Request) -> bytes:
    _view(facts)
    return integer(slot_of(text_of(request[2])))


_FIXED: Final = "the primaries say which nodes there are and what they own"

_CLUSTER: Final[dict[str, tuple[int, Sub]]] = {
    "slots": (2, _told(_slots)),
    "shards": (2, _told(_shards)),
    "nodes": (2, _nodes),
    "info": (2, _told(_info)),
    "myid": (2, _told(_own_id)),
    "myshardid": (2, _told(_own_id)),
    "keyslot": (3, _key_slot),
    "meet": (-4, refuse(f"CLUSTER MEET: {_FIXED}")),
    "addslots": (-3, refuse(f"CLUSTER ADDSLOTS: {_FIXED}")),
    "setslot": (-4, refuse(f"CLUSTER SETSLOT: {_FIXED}")),
    "failover": (-2, refuse("CLUSTER FAILOVER: nodes keep no copies of each other's records")),
}


def _agree(facts: Facts, _session: RespSession, _request: Request) -> bytes:
    _view(facts)
    return OK


ROWS: Final[tuple[Row, ...]] = (
    Row("CLUSTER subcommand", -2, FREE, NONE, "anyone", "cluster",
        "SLOTS, SHARDS, NODES, INFO, MYID, MYSHARDID and KEYSLOT, for clients that go to the owner of a key by "
        "themselves; where `--cluster-clients` says that there are such clients.", subcommands("cluster", _CLUSTER)),
    Row("READONLY", 1, FREE, NONE, "anyone", "cluster", "Answer OK: nobody has copies to read from.", simply(_agree)),
    Row("READWRITE", 1, FREE, NONE, "anyone", "cluster", "Answer OK.", simply(_agree)),
    Row("ASKING", 1, FREE, NONE, "anyone", "cluster", "Answer OK: no slot is ever half at one node.", simply(_agree)),
)  # fmt: skip
"""What is about the nodes of a cluster."""
