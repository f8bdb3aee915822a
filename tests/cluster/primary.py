"""A primary of the simulation that leads: the real :class:`~ckv.cluster.leader.Leader` and
:class:`~ckv.cluster.router.Router`, and a model of what carries out what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ckv.cluster.authority import Authority
from ckv.cluster.leader import Leader
from ckv.cluster.map import NO_VERSION, Map, Node
from ckv.cluster.memory import Memory
from ckv.cluster.messages import Again, Answer, Beat, Follow, Followed, Join, Leave, Push
from ckv.cluster.outputs import Lead, Park, Publish, Replace, Route, ToNode, Unpark
from ckv.cluster.router import Router
from tests.cluster.schedule import NOT_SENT, Link, Process, ignored

if TYPE_CHECKING:
    from tests.cluster.world import World

PARKED: Final = 2.5
"""Seconds for which a request waits for its slot to have an owner that answers."""

AGAIN: Final = 0.15
"""Seconds until a node is asked again that did not serve a slot."""


class Request(NamedTuple):
    """One of a client."""

    link: Link
    number: int
    kind: str
    key: str
    value: str
    since: float


class Primary(Process):
    """One that leads, by its own memory."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world.schedule, name)
        self.world = world
        self.up = False
        self._links: dict[int, Link] = {}
        """To the nodes, by where they listen."""
        self.leader: Leader | None = None
        """None where it never leads."""
        self.router: Router
        self._carry: dict[type, Callable[[Any], None]] = {
            Lead: self._lead,
            Replace: self._replace,
            Publish: self._publish,
            Route: lambda output: self._take_map(output.map, found=True),
            Park: lambda output: self.router.park(output.slots),
            Unpark: lambda output: self.router.release(output.slots),
            ToNode: self._to_node,
        }

    def boot(self) -> None:
        """Starts anew."""
        self._begin()
        assert self.leader is not None
        self.leader.gather(self.schedule.now)

    def start_with(self, world_map: Map) -> None:
        """Has led for a while, by this map."""
        self._begin()
        self.authority.lead(world_map, self.schedule.now)
        self._carry_out()

    def _begin(self) -> None:
        self._begin_to_route()
        self.leader = Leader(self.world.options, self.world.slots)
        self.authority: Authority = Memory(self.leader, int(self.schedule.now * 1000) + 1)
        self.every(0.35, self._tick)

    def _begin_to_route(self) -> None:
        self.life += 1
        self.up = True
        self.paused_until = 0.0
        self._parked: list[Request] = []
        self._timer = False
        self.router = Router(self.world.slots)

    def kill(self) -> None:
        self.schedule.say("%s is killed", self.name)
        self.end()

    # --- leading ----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        assert self.leader is not None
        self.leader.tick(self.schedule.now)
        if self.leader.leads and self.leader.map.rebalances != self.world.rebalances:
            self.leader.rebalance(self.world.rebalances, self.schedule.now)
        self._carry_out()

    def hear(self, link: Link, number: int, message: Join | Beat | Leave) -> None:
        """What a secondary says."""
        assert self.leader is not None
        now = self.schedule.now
        match message:
            case Join() if self._would_begin_another(message):
                answer: Answer = Again()
            case Join():
                answer = self.leader.join(message, now)
            case Beat():
                answer = self.leader.beat(message, now)
            case Leave():
                answer = self.leader.leave(message, now)
        self._carry_out()
        link.answer(number, answer)

    def _would_begin_another(self, ask: Join) -> bool:
        """Whether this is the first that a primary hears of a cluster of nodes with files, and comes from one that has
        nothing, though others have a map. Operators have to see to it that no such node is started then: nobody could
        tell it from the first one of a cluster that begins."""
        gathering = self.leader._gathering if self.leader is not None and self.leader.gathers else None
        begins = gathering is not None and gathering.latest.version == NO_VERSION
        return begins and ask.map is None and any(node.file.note is not None for node in self.world.nodes.values())

    def move(self, slots: list[int], name: str) -> None:
        """What an operator may want."""
        if self.leads and self.leader is not None:
            if not self.leader.send(slots, name, self.schedule.now):
                self.world.around_a_move(self, self.leader.move)
            self._carry_out()

    def drain(self, name: str) -> None:
        if self.leads and self.leader is not None:
            self.leader.drain(name, self.schedule.now)
            self._carry_out()

    def _carry_out(self) -> None:
        assert self.leader is not None
        while outputs := self.leader.take():
            for output in outputs:
                self._carry[type(output)](output)

    def _lead(self, output: Lead) -> None:
        self.schedule.count("maps that are gathered")
        self.authority.lead(output.remembered, self.schedule.now)

    def _replace(self, output: Replace) -> None:
        leader, nodes = self.leader, output.following.nodes
        assert leader is not None
        if leader.move is not None and leader.move.phase == "decided":
            self.schedule.count("moves")
        gone = [node for node in nodes if node is not None and node.state == "away" and leader.map.is_up(node.key)]
        self.schedule.count("fail-overs", len(gone))
        self.authority.replace(output.following, self.schedule.now)

    def _publish(self, output: Publish) -> None:
        self.schedule.say("%s publishes %s", self.name, output.map)
        self.schedule.count("maps")
        self.world.invariants.is_published(output.map)
        self.world.losses.look_who_is_given_up(self.router.map, output.map)
        self._take_map(output.map)
        for node in output.map.nodes:
            if node is not None and node.state != "away":
                self._link_to(node).call(self.world.nodes[node.port].order, ignored, Push(output.map))
        self._send_parked()

    @property
    def leads(self) -> bool:
        """Whether it can be told what to do."""
        awake = self.up and self.paused_until <= self.schedule.now
        return awake and self.leader is not None and self.leader.leads

    def _to_node(self, output: ToNode) -> None:
        leader = self.leader
        assert leader is not None
        order = output.order

        def answered(result: object) -> None:
            leader.answered(order, result if result != NOT_SENT else None, self.schedule.now)
            self._carry_out()

        self.schedule.say("%s asks %s: %s", self.name, output.node.name, order)
        self._link_to(output.node).call(self.world.nodes[output.node.port].order, answered, order)

    # --- routing ----------------------------------------------------------------------------------------------------

    def hear_follower(self, link: Link, number: int, said: Follow) -> None:
        """FOLLOW of another primary."""
        link.answer(number, Followed(self.router.map_for(said.version)))

    def _when_behind(self) -> None:
        """A node has a later map. Where nobody else decides it says so by itself."""

    def _take_map(self, world_map: Map, *, found: bool = False) -> None:
        self.router.take_map(world_map, found=found)

    def _link_to(self, node: Node) -> Link:
        link = self._links.get(node.port)
        if link is None:
            self._links[node.port] = link = Link(self.schedule, self, self.world.nodes[node.port])
        return link

    def client_call(self, link: Link, number: int, kind: str, key: str, value: str) -> None:
        """A call of a client: ("ok", value), ("refused",) if it was not carried out, or ("unknown",)."""
        self._route(Request(link, number, kind, key, value, self.schedule.now))

    def _route(self, request: Request) -> None:
        slot = self.world.keys[request.key]
        target = self.router.target(slot)
        node = self.router.map.nodes[target] if target is not None else None
        if target is None or node is None:
            if self.schedule.now - request.since > PARKED:
                request.link.answer(request.number, ("refused",))
                return
            self._parked.append(request)
            if not self._timer:
                self._timer = True
                self.schedule.at(AGAIN, self, self._again)
            return
        link = self._link_to(node)
        secondary = self.world.nodes[node.port]
        version = self.router.version
        if link.said != version and link.call(secondary.epoch, ignored, version):
            link.said = version

        def answered(result: tuple[Any, ...] | None) -> None:
            if result is None:
                request.link.answer(request.number, ("unknown",))
            elif result == NOT_SENT:
                self.router.not_owner(slot, target, self.router.version)
                self._when_behind()
                self._route(request)
            elif result[0] == "NotOwner":
                following = self.router.not_owner(slot, target, result[1])
                if following == "ask":
                    self._when_behind()
                # A follower parks nothing. It sends it again: no client here has a second call that was before it.
                if following == "late" and self.leader is not None:
                    request.link.answer(request.number, ("refused",))
                    return
                self._route(request)
            else:
                request.link.answer(request.number, result)

        link.call(secondary.request, answered, request.kind, request.key, request.value)

    def _again(self) -> None:
        self._timer = False
        for slot in {self.world.keys[each.key] for each in self._parked}:
            self.router.unpark(slot)
        self._send_parked()

    def _send_parked(self) -> None:
        parked, self._parked = self._parked, []
        for request in parked:
            self._route(request)
