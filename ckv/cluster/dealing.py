"""Who should own how many slots, and which slots move next so that it comes true.

Slots are dealt by weight, and as few of them move as can: nobody gives one up who has not too many.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Container, Sequence
from typing import NamedTuple

from ckv.cluster.map import NOBODY, Map, Node


class Plan(NamedTuple):
    """Slots that should go from one node to another one."""

    source: int
    target: int
    """Both by number."""
    slots: tuple[int, ...]


def wanted(world: Map) -> list[int]:
    """How many slots each node should own, by number.

    The parts of a slot that are left over go to those who have the largest ones; among equals to who owns most now, so
    that the outcome stands still once it is reached. What is ``away`` keeps what it has, and so does everybody while
    none is ``up``.
    """
    counts = world.counts()
    up = [number for number, node in enumerate(world.nodes) if node is not None and node.state == "up"]
    if not up:
        return counts
    goal = [counts[number] if _is_away(node) else 0 for number, node in enumerate(world.nodes)]
    total = len(world.owners) - sum(goal)
    weights = {number: _weight(world.nodes[number]) for number in up}
    of = sum(weights.values())
    left = total
    for number in up:
        goal[number] = total * weights[number] // of
        left -= goal[number]
    by_rest = sorted(up, key=lambda number: (-(total * weights[number] % of), -counts[number], number))
    for number in by_rest[:left]:
        goal[number] += 1
    return goal


def without(world: Map, gone: Container[int]) -> Map:
    """The map in which these nodes, by number, are ``away`` and own nothing; nobody has what they owned."""
    nodes = [
        node._replace(state="away") if node is not None and number in gone else node
        for number, node in enumerate(world.nodes)
    ]
    owners = array("H", (NOBODY if number in gone else number for number in world.owners))
    return world.successor(nodes=nodes, owners=owners)


def deal(world: Map, fit: Container[int]) -> array[int] | None:
    """The owners with an owner for each slot that has none, in ranges; None when there is nothing to deal, or nobody.

    ``fit``: the numbers of those who can take slots now.
    """
    free = world.owners.count(NOBODY)
    if not free:
        return None
    goal, counts = wanted(world), world.counts()
    takers = [number for number, node in enumerate(world.nodes) if node and node.state == "up" and number in fit]
    if not takers:
        return None
    parts = {number: max(0, goal[number] - counts[number]) for number in takers}
    rest = max(0, free - sum(parts.values()))  # of whoever is not fit now, who gets its part by moves later
    owners = world.owners[:]
    slot = 0
    for place, (taker, part) in enumerate(parts.items()):
        count = min(free, part + rest // len(takers) + (place < rest % len(takers)))
        free -= count
        for _ in range(count):
            slot = owners.index(NOBODY, slot)
            owners[slot] = taker
    return owners


def is_possible(plan: Plan, world: Map, fit: Container[int]) -> bool:
    """Whether the move still can be made."""
    if plan.source not in fit or plan.target not in fit or plan.target not in up(world.nodes):
        return False
    return all(world.owners[slot] == plan.source for slot in plan.slots)


def next_move(
    world: Map,
    fit: Container[int],
    limit: int,
    *,
    level: bool = True,
    kept: Collection[int] = (),
    shut: Container[int] = (),
) -> Plan | None:
    """The move that helps most, of at most ``limit`` slots; None when all is as it should be, or cannot be now.

    Who is ``draining`` comes first. ``level``: whether those who are not give something up too. ``kept``: slots that
    stay where they are. ``shut``: the numbers of those who are sent nothing, unless somebody drains and there is nobody
    else.
    """
    goal, counts = wanted(world), world.counts()
    staying = Counter(world.owners[slot] for slot in kept)
    sources: list[tuple[bool, int, int]] = []
    targets: list[tuple[int, int]] = []
    for number, node in enumerate(world.nodes):
        if node is None or number not in fit:
            continue
        surplus = counts[number] - goal[number]
        if surplus > 0:
            surplus = min(surplus, counts[number] - staying[number])
        drains = node.state == "draining"
        if surplus > 0 and (drains or level):
            sources.append((drains, surplus, -number))
        elif surplus < 0 and node.state == "up" and number not in shut:
            targets.append((-surplus, -number))
    if not sources:
        return None
    drains, surplus, negated = max(sources)
    source = -negated
    if targets:
        lack, negated = max(targets)
    else:
        # All have what they should, but for somebody who cannot take it now.
        takers = [number for number in up(world.nodes) if number in fit and number != source]
        others = [number for number in takers if number not in shut] or takers
        if not drains or not others:
            return None
        lack, negated = surplus, -min(others, key=lambda number: counts[number] / _weight(world.nodes[number]))
    count = min(surplus, lack, limit)
    owned = [slot for slot, owner in enumerate(world.owners) if owner == source and slot not in kept]
    return Plan(source, -negated, tuple(owned[-count:]))


def up(nodes: Sequence[Node | None]) -> list[int]:
    """Those who are to own slots, by number."""
    return [number for number, node in enumerate(nodes) if node is not None and node.state == "up"]


def _is_away(node: Node | None) -> bool:
    return node is not None and node.state == "away"


def _weight(node: Node | None) -> int:
    return max(1, node.weight) if node is not None else 1
