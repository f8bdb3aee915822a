"""A node of the simulation: the real :class:`~ckv.cluster.member.Member`, over a model of everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ckv.cluster.copying import Copy
from ckv.cluster.duties import EndMove, Forget, StartFreeze, StartPrepare, Tell
from ckv.cluster.identity import Identity
from ckv.cluster.map import Key, Map, Version
from ckv.cluster.member import Denied, Member
from ckv.cluster.messages import FenceOff, Freeze, Joined, Prepare, Push
from ckv.cluster.roster import NO_TIER, OWN_TIER
from tests.cluster.candidate import place_of
from tests.cluster.copied import CopiedRecords
from tests.cluster.filed import File, FiledRecords
from tests.cluster.records import Records
from tests.cluster.schedule import NOT_SENT, Link, Process, ignored

if TYPE_CHECKING:
    from tests.cluster.world import World

LOOKS: Final = 7
"""Looks at a beat that stands still, each half a second, before its process is fenced: for as long as a lease."""

PARKED: Final = 1.0
"""Seconds for which a node keeps a request that it may be able to carry out soon."""

DRAIN: Final = 4.0
"""Seconds that a node which was told to stop waits for others to take its slots."""

LINGERS: Final = 0.7
"""Seconds for which it is there after that, where no call may fail: one that is on its way to a process that ends does,
and a primary that follows sends some until it asks for the map again."""


class Secondary(Process):
    """One name, and its processes one after the other."""

    def __init__(self, world: World, name: str, port: int) -> None:
        super().__init__(world.schedule, f"{name}:{port}")
        self.node_name = name
        self.world = world
        self.database = world.database
        self.up = False
        self.port = port
        self.file = File()
        self.stopped_at = 0.0
        self.boot_number = 0
        """Tells its processes apart."""
        self.has_begun = False
        """Whether it is part of a cluster, or tries to be."""
        self._stopping = False
        schedule = world.schedule
        self.fence_link, self.flush_link, self.load_link = (
            Link(schedule, self, world.database, lingers=True) for _ in range(3)
        )
        self.primary_links = [Link(schedule, self, primary) for primary in world.primaries]
        self.member: Member
        self.records: Records
        """Where there is a database, else:"""
        self.copied: CopiedRecords
        self._carry: dict[type, Callable[[Any], None]] = {
            StartPrepare: self._start_prepare,
            StartFreeze: self._start_freeze,
            EndMove: self._end_move,
            Forget: self._forget,
            Tell: self._tell,
        }

    # --- life -------------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """A new process takes the name."""
        self._boot()
        if self.world.copies:
            self._begin(self._numbered())
        else:
            self._claim()

    def start_with(self, incarnation: int, world_map: Map) -> None:
        """Has had the name for a while, and been a node of this map."""
        self._boot()
        self._begin(self._numbered() if self.world.copies else incarnation)
        now = self.schedule.now
        self.member.tick(now)
        (join,) = self.member.take()
        assert isinstance(join, Tell)
        self.member.answered(join.message, Joined(incarnation, self.world.options.lease, world_map), now, now)
        self.member.confirmed(now)
        self._carry_out()

    def _boot(self) -> None:
        self.life += 1
        self.up = True
        self.paused_until = 0.0
        self.has_begun = False
        self._stopping = False
        self.is_leaving = False
        self.boot_number = self.world.next_number()
        self._seen: tuple[tuple[int, int], int] = ((0, 0), 0)
        self._primary = self.schedule.chance.randrange(len(self.world.primaries))
        """The place of the one that it asks."""
        self._forgets = 0
        self._last_forget: dict[int, int] = {}
        self._parked: list[tuple[Link, int, str, str, str]] = []
        self._sights: tuple[Any, ...] = ()
        self._had: frozenset[int] = frozenset()
        """The slots that were its own by the map of before."""
        self._taken: Version = (0, 0)
        self._answer_move: Callable[[object], None] = ignored

    def _numbered(self) -> int:
        """By which number a process begins that has no database."""
        if not self.world.has_files:
            return 0
        self.file.incarnation += 1
        return self.file.incarnation

    def _claim(self) -> None:
        self.fence_link.call(self.database.claim, self._claimed, self.node_name)

    def _claimed(self, answer: tuple[Any, ...] | None) -> None:
        if answer is not None and answer[0] == "claimed":
            self._begin(answer[1])
            return
        if answer is not None and answer[0] == "held":
            incarnation, beat = answer[1:]
            looks = self._seen[1] + 1 if self._seen[0] == (incarnation, beat) else 0
            self._seen = ((incarnation, beat), looks)
            if looks >= LOOKS or self._sees_the_end((self.node_name, incarnation)):
                self.fence_link.call(self.database.fence_off, ignored, (self.node_name, incarnation), beat)
        self.schedule.at(0.5, self, self._claim)

    def _sees_the_end(self, holder: Key) -> bool:
        """Whether it can tell that the process which has the name has ended, and it has."""
        lives = any(node.serves_as(holder) for node in self.world.nodes.values())
        return self.boot_number in self.world.sees_the_end and not lives

    def _begin(self, incarnation: int) -> None:
        tier = OWN_TIER if self.world.has_files else NO_TIER if self.world.copies else "db"
        me = Identity(self.node_name, self.boot_number, "host", self.port, tier=tier, incarnation=incarnation)
        self.member = Member(me, self.world.slots)
        self.member.sights = self._take_sights
        self.records = Records(self, self.world.mode)
        self.copied = FiledRecords(self, self.file) if self.world.has_files else CopiedRecords(self)
        self.has_begun = True
        self.every(0.5, self._tick)
        if self.world.has_files:
            self.every(1.0, self._beat_file)
        elif not self.world.copies:
            self.every(1.0, self._beat_database)

    def kill(self) -> None:
        """kill -9."""
        self.schedule.say("%s is killed", self.name)
        if self.has_begun:
            self.world.losses.crashed(self)
        self._end()

    def die_and_come_back(self) -> None:
        """kill -9, and it is started again."""
        self.kill()
        self.schedule.at(self.schedule.chance.choice((0.3, 2.0)), None, self.world.start, self)

    def serves_as(self, key: Key) -> bool:
        """Whether a process of it is that incarnation."""
        return self.has_begun and self.member.key == key

    @property
    def may_serve(self) -> bool:
        """Whether it answers requests of the slots that it serves, or will when it is awake, if that is soon."""
        return self.has_begun and not self._stopping and self.member.leased(self.schedule.now)

    def serves(self, slot: int) -> bool:
        """Whether it answers requests of the slot."""
        return self.may_serve and self.paused_until <= self.schedule.now and bool(self.member.serves[slot])

    def _end(self) -> None:
        self.has_begun = False
        self.stopped_at = self.schedule.now
        self.end()

    def fenced(self) -> None:
        """It finds out that another process has its name, and ends."""
        self.schedule.count("fenced nodes")
        self.kill()
        self.schedule.at(0.5, None, self.world.start, self)

    def stop(self) -> None:
        """SIGTERM: it gives its slots away, saves what it has, and ends."""
        if not self.has_begun or self._stopping:
            return
        self.schedule.say("%s is told to stop", self.name)
        self.schedule.count("stops")
        self.is_leaving = True
        self.member.leave(self.schedule.now)
        self._carry_out()
        self.schedule.at(DRAIN, self, self._save_all)

    def _save_all(self) -> None:
        if not self._stopping:
            self._stopping = True
            self.schedule.say("%s leaves with %d slots", self.name, self.member.slots_left)
            if self.world.copies:
                if self.member.owned or not self.member.has_left:
                    self.world.losses.crashed(self)
                self._end_soon()
            else:
                self.records.drain(self._release)

    def _release(self) -> None:
        self.fence_link.call(self.database.release, lambda _: self._end_soon(), self.member.key)

    def _end_soon(self) -> None:
        if self.world.kind == "moves":
            self.schedule.at(LINGERS, self, self._end)
        else:
            self._end()

    # --- the member -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.member.tick(self.schedule.now)
        self._carry_out()
        if self.member.has_left:
            self._save_all()

    def _carry_out(self) -> None:
        for output in self.member.take():
            self._carry[type(output)](output)
        self._had = self.member.owned
        if self._taken != self.member.version:
            self._taken = self.member.version
            self.copied.look()

    def _tell(self, output: Tell) -> None:
        message, asked_at = output.message, self.schedule.now
        place = place_of(self.member.leader[1]) if self.member.leader is not None else self._primary
        leader = self.world.primaries[place]

        def answered(answer: Any) -> None:
            now = self.schedule.now
            answer = None if answer == NOT_SENT else answer
            key, owned = self.member.key, self.member.owned
            self.member.answered(message, answer, asked_at, now)
            if self.world.copies and key[1] and key != self.member.key:
                self.world.losses.gives_up(key, owned)
            if answer is None:
                self.member.lost(now)
                self.member.leader = None
                self._primary = (self._primary + 1) % len(self.world.primaries)
            self._carry_out()
            self._retry()

        self.primary_links[place].call(leader.hear, answered, message)

    def _beat_database(self) -> None:
        asked_at = self.schedule.now

        def beaten(answer: Any) -> None:
            if answer == "fenced":
                if not self._stopping:
                    self.fenced()
            elif answer is not None and answer != NOT_SENT:
                self._sights = answer
                self.member.confirmed(asked_at)
                self._retry()

        self.fence_link.call(self.database.beat, beaten, self.member.key)

    def _beat_file(self) -> None:
        """Nobody else can have what is in its file."""
        self.member.confirmed(self.schedule.now)
        self._retry()

    def _take_sights(self) -> tuple[Any, ...]:
        # Said once: what is old is not said again, as if the database could still be asked.
        sights, self._sights = self._sights, ()
        return sights

    def keys_in(self, slots: frozenset[int]) -> list[str]:
        return [key for key, slot in self.world.keys.items() if slot in slots]

    def _start_prepare(self, output: StartPrepare) -> None:
        answer, keys = self._answer_move, self.keys_in(output.slots)
        if self.world.copies:
            self.copied.prepare(output.move, keys, output.target, answer)
        else:
            self.records.save(keys, lambda: answer(["prepared", 0, 0, 0]), frozen=False)

    def _start_freeze(self, output: StartFreeze) -> None:
        answer = self._answer_move
        if self.world.copies:
            self.copied.freeze(output.move, answer)
            return

        def saved() -> None:
            if self.member.released(output.move):
                answer(["released", 0, 0])

        self.records.save(self.keys_in(output.slots), saved, frozen=True)

    def _end_move(self, _output: EndMove) -> None:
        self.records.end_move()
        self.copied.end_move()

    def _forget(self, output: Forget) -> None:
        if self.world.copies and not self.world.has_files:
            mine = output.slots & self.member.owned - output.received
            kept = [key for key in self.keys_in(mine & self._had) if key in self.copied.memory]
            come = [key for key in self.keys_in(mine - self._had) if key in self.copied.staged]
            self.world.losses.dropped(self, kept + come)
        self.records.distrust(self.keys_in(output.slots))
        self._forgets += 1
        self._last_forget.update(dict.fromkeys(output.slots, self._forgets))
        staged = self.copied.take_staged() if output.received else {}
        if self.schedule.chance.random() < 0.7:
            self._drop(self._forgets, output, staged)
        else:
            self.schedule.at(self.schedule.chance.choice((0.01, 0.1)), self, self._drop, self._forgets, output, staged)

    def _drop(self, number: int, output: Forget, staged: dict[str, str]) -> None:
        if not self.copied.may_serve(output.slots):
            self.schedule.at(0.01, self, self._drop, number, output, staged)
            return
        # What has to be forgotten again is not forgotten yet; and may be served already, when it is.
        slots = frozenset(slot for slot in output.slots if self._last_forget[slot] == number)
        self.world.losses.forgets(self, output.lost & slots)
        self.records.forget(self.keys_in(slots), self.keys_in(output.lost & slots))
        self.copied.forget(self.keys_in(slots))
        for key in staged.keys() & self.keys_in(slots & output.received):
            self.schedule.count("records that are taken over")
            self.copied.memory[key] = staged[key]
        self.member.forgotten(slots)
        self._retry()

    # --- what the leader asks ---------------------------------------------------------------------------------------

    def order(self, link: Link, number: int, order: Push | Prepare | Freeze | FenceOff) -> None:
        """What a leader asks of a node."""
        if not self.has_begun:
            link.answer(number, None)
            return
        match order:
            case Push(world_map):
                self.member.take_map(world_map)
                self._carry_out()
                self._retry()
                link.answer(number, list(self.member.version))
            case FenceOff(name, incarnation, beat, _term):
                self.fence_link.call(
                    self.database.fence_off,
                    lambda done: link.answer(number, ["fenced", done] if isinstance(done, bool) else None),
                    (name, incarnation),
                    beat,
                )
            case _:
                self._answer_move = lambda result: link.answer(number, result)
                try:
                    if isinstance(order, Prepare):
                        self.member.prepare(*order)
                    else:
                        self.member.freeze(order.move, order.version)
                except Denied:
                    link.answer(number, None)
                self._carry_out()

    def copy(self, link: Link, number: int, said: Copy) -> None:
        """COPY of another node."""
        link.answer(number, self.copied.receive(said) if self.has_begun else None)

    # --- requests ---------------------------------------------------------------------------------------------------

    def epoch(self, link: Link, number: int, version: Version) -> None:
        """EPOCH of a primary."""
        link.declared = version
        link.answer(number, True)

    def request(self, link: Link, number: int, kind: str, key: str, value: str) -> None:
        """A read or a write of a primary: ("ok", value), ("NotOwner", version), ("refused",) or ("unknown",)."""
        if not self._may_wait(link, number, kind, key, value):
            self._parked.append((link, number, kind, key, value))
            self.schedule.at(PARKED, self, self._too_late, number, link)

    def _may_wait(self, link: Link, number: int, kind: str, key: str, value: str) -> bool:
        """Answers it, now or later; False when it has to be parked."""
        if not self.has_begun or not self.member.joined:
            link.answer(number, ("refused",))
            return True
        member, now = self.member, self.schedule.now
        if not member.leased(now):
            link.answer(number, ("NotOwner", member.version))
            return True
        declared = link.declared
        if member.is_behind(declared, now):
            self._carry_out()
            return False
        slot = self.world.keys[key]
        if not member.plain_from <= declared and not member.serves[slot]:
            if member.is_forgetting(slot):
                return False
            link.answer(number, ("NotOwner", member.version))
            return True
        if self._stopping:
            link.answer(number, ("refused",))
            return True
        self.world.invariants.is_served(self, slot)
        records = self.copied if self.world.copies else self.records
        if kind == "write":
            records.put(key, value, lambda result: link.answer(number, result))
        else:
            records.get(key, lambda result: link.answer(number, result))
        return True

    def _retry(self) -> None:
        self.world.invariants.look(self)
        self.world.losses.look(self)
        if self._parked:
            parked, self._parked = self._parked, []
            self._parked += [request for request in parked if not self._may_wait(*request)]

    def _too_late(self, number: int, link: Link) -> None:
        for request in self._parked:
            if request[0] is link and request[1] == number:
                self._parked.remove(request)
                link.answer(number, ("NotOwner", self.member.version))
                return

    def still_serves(self, key: str) -> bool:
        """Whether what has been waited for can still be said."""
        return self.member.leased(self.schedule.now) and self.owns(key)

    def owns(self, key: str) -> bool:
        return self.world.keys[key] in self.member.owned
