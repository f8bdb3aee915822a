"""A primary with the route loops beside one without any compiled code: the same bytes, the same calls and answers.

Each client speaks one of the two protocols.
"""

from __future__ import annotations

from ckv import errors
from ckv.protocol.messages import new_answers_unpacker
from ckv.protocol.packing import new_packer, new_utf8_packer
from tests.core.nodes import CAPACITY, LIMITS, Client, FakePeer, Primary, receive_all
from tests.core.resp import RespClient, primary_methods
from tests.fuzz.choices import Choices
from tests.fuzz.resp_traffic import RespTraffic
from tests.fuzz.traffic import ODD, Traffic, client_answers, cut, damaged, depends_on_cuts

MOST_TURNS = 300

# A primary leaves its UTF-8 with a str that it packs, and all of Python shares the str of one such character: here with
# the nodes, which know what a row takes from when it came.
new_utf8_packer().pack([chr(code) for code in range(256)])


class Pair:
    """Two primaries with the same clients; ``resp``: for each client whether it speaks RESP. ``calm``: nothing happens
    to the nodes behind them."""

    def __init__(self, choices: Choices, resp: list[bool], *, tier: bool, calm: bool) -> None:
        self._choices = choices
        self._calm = calm
        capacity = CAPACITY if len(resp) == 1 else 100_000
        self.quick = Primary(quick=True, capacity=capacity, tier=tier)
        self.plain = Primary(quick=False, capacity=capacity, tier=tier)
        both = [_clients(primary, resp) for primary in (self.quick, self.plain)]
        self.clients = list(zip(*both, strict=True))
        self.peers = list(zip(self.quick.peers, self.plain.peers, strict=True))

    def received(self, pieces: list[tuple[int, bytes]]) -> None:
        """Both get the pieces of the clients with these numbers, in one turn."""
        for place, primary in enumerate((self.quick, self.plain)):
            sent = [(self.clients[number][place], piece) for number, piece in pieces]
            receive_all(primary.cores.rpc, [one for one in sent if isinstance(one[0], Client)])
            receive_all(primary.cores.resp, [one for one in sent if isinstance(one[0], RespClient)])

    def carry(self) -> None:
        """The end of a turn: calls go to the nodes, and what these answer comes back, if nothing happens to it."""
        choices = self._choices
        for one, other in self.peers:
            cuts = [choices.below(65_536) for _ in range(choices.below(4))] if choices.once_in(4) else []
            answers, same = one.asked(cuts), other.asked(cuts)
            # Calls may travel in other messages than in the twin; then no damage would be the same.
            alike = answers == same and one.requests == other.requests
            if not alike and (one.session._kept or not one.session.is_between):
                self._lose(one, other)  # what was damaged waits for its rest, which is another one
                answers = same = b""
            if not self._calm and answers and alike:
                if choices.once_in(6):
                    answers = same = lied(answers, choices)
                if choices.once_in(6):
                    answers = same = damaged(answers, choices, 1 + choices.below(2))
            one.answered(answers, cuts)
            other.answered(same, cuts)
            assert bool(one.session.failed) == bool(other.session.failed), (
                f"{one.session.failed} {other.session.failed}"
            )
            if one.session.failed or (not self._calm and choices.once_in(40)):
                self._lose(one, other)
            collects = self._calm or not choices.once_in(20)
            for peer in (one, other):
                peer.collects = collects
                load(peer)
        for clients in self.clients:
            for client in clients:
                client.served(b"")

    def _lose(self, *peers: FakePeer) -> None:
        """The connections break, and there are others."""
        for peer in peers:
            peer.session.fail_all(errors.NodeLost("gone"))
            peer.connect()

    def lose_all(self) -> None:
        """Those to all nodes."""
        for one, other in self.peers:
            self._lose(one, other)

    @property
    def is_quiet(self) -> bool:
        """Whether all is served and answered: what is behind a step waits for its end."""
        return not any(
            client.session.in_flight or (client.session.attention and not client.session.failed)
            for clients in self.clients
            for client in clients
        )

    def check(self) -> None:
        """Raises AssertionError when the two differ."""
        if any(depends_on_cuts(one.session, other.session) for one, other in self.clients):
            return
        for one, other in self.clients:
            if isinstance(one, Client) and isinstance(other, Client):
                assert client_answers(one) == client_answers(other)
            elif isinstance(one, RespClient) and isinstance(other, RespClient):
                assert one.sent == other.sent
            assert bool(one.session.failed) == bool(other.session.failed), (
                f"{one.session.failed} {other.session.failed}"
            )
            assert one.session.in_flight == other.session.in_flight == 0
            if not other.session.failed:
                assert one.session.ended() == other.session.ended()
        for peer, twin in self.peers:
            assert peer.session.unanswered == twin.session.unanswered == 0
            peer.node.store.check()
            records, same = peer.node.records(), twin.node.records()
            if len(self.clients) > 1:  # nobody says in which order they come
                records, same = sorted(records, key=repr), sorted(same, key=repr)
            assert records == same, "the records of a node"


def _clients(primary: Primary, resp: list[bool]) -> list[Client | RespClient]:
    methods, core = primary_methods(primary), primary.cores.resp
    return [RespClient(methods, core, goes_ahead=True) if speaks else primary.new_client() for speaks in resp]


def one_input(data: bytes) -> None:
    """Raises AssertionError when the two differ."""
    choices = Choices(data)
    sessions = choices.one_of([1, 1, 1, 2, 3, 9])
    calm = sessions > 1 or choices.once_in(2)
    tier = choices.once_in(3)
    resp = [choices.below(2) == 1 for _ in range(sessions)]
    pair = Pair(choices, resp, tier=tier, calm=calm)
    traffics = [
        (RespTraffic if speaks else Traffic)(choices, bytes([65 + number]) * 3 if sessions > 1 else b"")
        for number, speaks in enumerate(resp)
    ]
    while choices.left:
        to_come: list[list[bytes]] = []
        for number, traffic in enumerate(traffics):
            sent = traffic.stream(choices.below(12))
            if number == 0 and choices.once_in(6):
                sent = damaged(sent, choices, 1 + choices.below(2))
            to_come.append(cut(sent, choices))
        for turn in range(max(map(len, to_come))):
            pair.received([(number, pieces[turn]) for number, pieces in enumerate(to_come) if turn < len(pieces)])
            if sessions > 1 or not choices.once_in(3):  # else more is collected before it leaves
                pair.carry()
    for turn in range(MOST_TURNS):
        if pair.is_quiet:
            break
        pair.carry()
        if turn % 10 == 9:  # an answer was damaged beyond recognition, and its caller is told so
            pair.lose_all()
    pair.check()


def load(peer: FakePeer) -> None:
    """Loads what the node was asked for; whether there is such a record depends on its key alone."""
    store = peer.node.tiers
    while store is not None and (query := store.load_begin()) is not None:
        keys = [load.key for load in query.loads]
        store.load_end(query, {key: "loaded" for key in keys if len(key) % 2})


def lied(answers: bytes, choices: Choices) -> bytes:
    """The answers of a node, one of which is another, but well-formed."""
    unpacker = new_answers_unpacker(LIMITS)
    unpacker.feed(answers)
    messages = [list(message) for message in unpacker]
    message = choices.one_of(messages)
    kind = choices.below(6)
    odd = choices.one_of([*ODD, "a", ["NoRoom: a"], [True, "x" * 17_000], [False, ""], False, "x" * 70_000])
    if kind == 0:
        message[choices.below(4)] = odd
    elif kind == 1:
        message[1] = choices.below(1 + message[1] + 3) if isinstance(message[1], int) else 0
    elif kind == 2:
        message[2:] = ["ValueTooLarge: a", None]
    elif kind == 3:
        messages.append(message)
    elif isinstance(message[3], tuple) and message[3]:
        results = list(message[3])
        if kind == 4:
            results[choices.below(len(results))] = odd
        else:
            del results[choices.below(len(results)) :]
        message[3] = results
    else:
        message[3] = odd
    pack = new_packer().pack
    try:
        return b"".join(pack(message) for message in messages)
    except (TypeError, OverflowError):
        return answers  # what a node sent cannot be packed again: an ext that was a tuple
