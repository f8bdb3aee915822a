"""What processes lose in a schedule: of each key what may be there after that, noted among the calls of clients."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ckv.cluster.map import Key, Map
from tests.cluster.linearizable import SAME, Call

if TYPE_CHECKING:
    from tests.cluster.secondary import Secondary
    from tests.cluster.world import World


class Losses:
    """Each process loses what it has of a slot once, and for certain: nobody has seen it after that."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._schedule = world.schedule
        self._gone: set[tuple[Key, int]] = set()
        """The processes that have lost what they had, and of which slot."""
        self._fenced: dict[Key, Secondary] = {}
        """Those that run and can save nothing any more. They may not know, and serve what they have for as long as
        somebody confirms them who does not know either."""
        self._given_up: set[Key] = set()
        """Without a database: those that a map has given up, and that have lost what was theirs by the map before."""

    def crashed(self, node: Secondary) -> None:
        """A process ends. What was on its way to the database is there, or is not: nobody knows."""
        key, slots = node.member.key, range(self._world.slots)
        if self._world.copies:
            self.gives_up(key, [slot for slot in slots if key in self._owners(slot)])
        else:
            self._fenced.pop(key, None)
            self._lose_unsaved(node, slots)

    # --- with a database ---------------------------------------------------------------------------------------------

    def was_fenced(self, key: Key) -> None:
        """A process can save nothing from now on."""
        for node in self._world.nodes.values():
            if node.serves_as(key):
                self._fenced[key] = node

    def look(self, node: Secondary) -> None:
        """The node may serve more than before: nobody sees any more what a fenced process had of that."""
        if self._fenced and node.may_serve:
            slots = [slot for slot, serves in enumerate(node.member.serves) if serves]
            for key, fenced in self._fenced.items():
                if key != node.member.key:
                    self._lose_unsaved(fenced, slots)

    def forgets(self, node: Secondary, slots: Collection[int]) -> None:
        """A process is about to forget what it had of slots that were taken from it."""
        if node.member.key in self._fenced:
            self._lose_unsaved(node, slots)

    def _lose_unsaved(self, node: Secondary, slots: Collection[int]) -> None:
        key, unsaved = node.member.key, node.records.unsaved
        for name, slot in self._world.keys.items():
            if slot in slots and (key, slot) not in self._gone:
                self._gone.add((key, slot))
                if name in unsaved:
                    self._note(name, *sorted(self._world.database.values_on_the_way(name), key=str))

    # --- without a database ------------------------------------------------------------------------------------------

    def dropped(self, node: Secondary, keys: list[str]) -> None:
        """A node drops what is its own: it has sent it to another one, and cannot know what became of that."""
        for key in keys:
            self._schedule.say("%s drops %s", node.name, key)
            self._note(key, None)
            self._schedule.count("copies that nobody is certain of")

    def look_who_is_given_up(self, before: Map, following: Map) -> None:
        """A map is about to be told: who is not up by it loses what it has, if that is nowhere else."""
        if not self._world.copies:
            return
        lost = {node.key: before.slots_of(node.name) for node in before.nodes if node and before.is_up(node.key)}
        for node in self._world.nodes.values():
            if node.has_begun and following.version > node.member.version:
                lost.setdefault(node.member.key, node.member.owned)
        for key, slots in lost.items():
            if slots and not following.is_up(key) and key not in self._given_up:
                self._given_up.add(key)
                self.gives_up(key, slots)

    def gives_up(self, key: Key, slots: Collection[int]) -> None:
        """A process loses what it has of these slots, if it has not yet."""
        if self._world.has_files:
            return  # it is there when somebody comes back with it
        for name, slot in self._world.keys.items():
            if slot in slots and (key, slot) not in self._gone:
                self._gone.add((key, slot))
                self._note(name, None, SAME)

    def _owners(self, slot: int) -> set[Key]:
        """The processes that have a slot by the latest map, or are about to have it."""
        world = self._world
        maps = [world.database.map, *(primary.router.map for primary in world.primaries if primary.up)]
        maps += [node.member.map for node in world.nodes.values() if node.has_begun]
        latest = max(maps, key=lambda each: each.version)
        owners = [latest.owner(slot)]
        for primary in world.primaries:
            leader = primary.leader if primary.up else None
            if leader is None:
                continue
            if leader._following is not None and leader._following.version > latest.version:
                owners.append(leader._following.owner(slot))
            if leader.move is not None and leader.move.phase != "preparing" and slot in leader.move.plan.slots:
                owners.append(leader.move.target)
        return {owner.key for owner in owners if owner is not None}

    def _note(self, key: str, *values: object) -> None:
        now = self._schedule.now
        self._world.note(key, Call(now, now, "loss", values))
        self._schedule.count("losses")
