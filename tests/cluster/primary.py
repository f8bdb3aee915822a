"""A primary of the simulation: the real :class:`~ckv.cluster.leader.Leader` and
:class:`~ckv.cluster.router.Router`, and a model of what carries out what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ckv.cluster.authority import Authority
from ckv.cluster.leader import Leader
from ckv.cluster.map import Map, Node
from ckv.cluster.memory import Memory
from ckv.cluster.messages import Again, Beat, Join, Leave, Push
from ckv.cluster.outputs import Lead, Park, Publish, Replace, Route, ToNode, Unpark
from ckv.cluster.router import Router
from tests.cluster.schedule import NOT_SENT, Link, Process, ignored

if TYPE_CHECKING:
    from tests.cluster.world import World

PARKED: Final = 2.5
"""Seconds for which a request waits for its slot to have an owner that answers."""

AGAIN: Final = 0.05
"""Seconds until a node is asked again that did not serve a slot."""

POLL: Final = 2.0
"""Seconds between two questions of a follower for the map."""


class Request(NamedTuple):
    """One of a client."""

    link: Link
    number: int
    kind: str
    key: str
    value: str
    since: float


class Primary(Process):
    """The one that leads, whose memory is the authority; or one that follows it."""

    def __init__(self, world: World, name: str, *, leads: bool) -> None:
        super().__init__(world.schedule, name)
        self.world = world
        self.up = False
        self._leads = leads
        self._links: dict[int, Link] = {}
        """To the nodes, by where they listen."""
        self.follower_link: Link | None = None
        """To the one that follows, or that leads."""
        self.leader: Leader | None = None
        self.router: Router
        self._carry: dict[type, Callable[[Any], None]] = {
            Lead: self._lead,
            Replace: self._replace,
            Publish: self._publish,
            Route: lambda output: self._take_map(output.map),
            Park: lambda output: self.router.park(output.slots),
            Unpark: lambda output: self.router.release(output.slots),
            ToNode: self._to_node,
        }

    def boot(self) -> None:
        """Starts anew."""
        self._begin()
        if self.leader is not None:
            self.leader.gather(self.schedule.now)

    def start_with(self, world_map: Map) -> None:
        """Has led for a while, by this map."""
        self._begin()
        if self.leader is not None:
            self.authority.lead(world_map, self.schedule.now)
            self._carry_out()
        else:
            self._take_map(world_map)

    def _begin(self) -> None:
        self.life += 1
        self.up = True
        self.paused_until = 0.0
        self._parked: list[Request] = []
        self._timer = False
        self.router = Router(self.world.slots)
        if self._leads:
            self.leader = Leader(self.world.options, self.world.slots)
            self.authority: Authority = Memory(self.leader, int(self.schedule.now * 1000) + 1)
            self.every(0.25, self._tick)
        else:
            self.every(POLL, self._ask_for_map)

    def kill(self) -> None:
        self.schedule.say(f"{self.name} is killed")
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
        if self.leader is None:
            link.answer(number, Again())
            return
        now = self.schedule.now
        match message:
            case Join():
                answer = self.leader.join(message, now)
            case Beat():
                answer = self.leader.beat(message, now)
            case Leave():
                answer = self.leader.leave(message, now)
        self._carry_out()
        link.answer(number, answer)

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
        self.authority.replace(output.following, self.schedule.now)

    def _publish(self, output: Publish) -> None:
        self.schedule.say(f"{self.name} publishes {output.map}")
        self.schedule.count("maps")
        self.world.look_who_is_given_up(self.router.map, output.map)
        self._take_map(output.map)
        for node in output.map.nodes:
            if node is not None:
                self._link_to(node).call(self.world.nodes[node.port].order, ignored, Push(output.map))
        if self.follower_link is not None:
            self.follower_link.call(self._other().hear_map, ignored, output.map)
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

        self.schedule.say(f"{self.name} asks {output.node.name}: {order}")
        self._link_to(output.node).call(self.world.nodes[output.node.port].order, answered, order)

    # --- following --------------------------------------------------------------------------------------------------

    def _other(self) -> Primary:
        return next(other for other in self.world.primaries if other is not self)

    def hear_map(self, link: Link, number: int, world_map: Map) -> None:
        """The leader has another map."""
        self._take_map(world_map)
        self._send_parked()
        link.answer(number, True)

    def ask_map(self, link: Link, number: int) -> None:
        """FOLLOW."""
        link.answer(number, self.router.map)

    def _ask_for_map(self) -> None:
        def told(world_map: Map | None) -> None:
            if isinstance(world_map, Map):
                self._take_map(world_map)
                self._send_parked()

        if self.follower_link is not None:
            self.follower_link.call(self._other().ask_map, told)

    # --- routing ----------------------------------------------------------------------------------------------------

    def _take_map(self, world_map: Map) -> None:
        self.router.take_map(world_map)

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
                self._ask_for_map()
                self._route(request)
            elif result[0] == "NotOwner":
                following = self.router.not_owner(slot, target, result[1])
                if following == "ask":
                    self._ask_for_map()
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
