"""Commands about the connection: HELLO, AUTH, CLIENT, and what ends or begins it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ckv.protocol.resp.methods import CarryOut, shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, PONG, RESP2, RESP3, ReplyError, Text, bulk, encode, integer
from ckv.protocol.resp.session import RespSession
from ckv.redis.info import REDIS_VERSION
from ckv.redis.kill import kill
from ckv.redis.login import DEFAULT, log_in, log_out
from ckv.redis.permits import check_operator
from ckv.redis.row import FREE, SYNTAX, Facts, Row, integer_of, text_of, wrong_count
from ckv.redis.subscribers import restrict

NONE: Final = (0, 0, 0)

HELLO_NEEDS_LOGIN: Final = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
    "option can be used to authenticate the client and select the RESP protocol version at the same time"
)

NO_PASSWORD: Final = (
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)

Sub = Callable[[Facts, RespSession, Request], Any]
"""Carries out a subcommand, given the whole request."""


SUBCOMMANDS: Final[dict[str, Callable[[Request], Sub]]] = {}
"""By the name of a command whose first argument says what to do: what finds that. Raises ReplyError."""


def subcommands(name: str, table: Mapping[str, tuple[int, Sub]]) -> Callable[[Facts], CarryOut]:
    """A command whose first argument says what to do. ``table``: by that, in lower case, the number of parts of the
    request (at least so many, if it is below zero), and what carries it out."""

    def find(request: Request) -> Sub:
        word = shown(request[1]).lower()
        arity, sub = table.get(word, (0, None))
        if sub is None:
            raise ReplyError(f"ERR unknown subcommand '{shown(request[1])}'. ckv knows {', '.join(table)}.")
        if len(request) != arity if arity > 0 else len(request) < -arity:
            raise wrong_count(f"{name}|{word}")
        return sub

    SUBCOMMANDS[name] = find
    return lambda facts: lambda session, request: find(request)(facts, session, request)


def simply(answer: Callable[[Facts, RespSession, Request], Any]) -> Callable[[Facts], CarryOut]:
    """A command that is one function."""
    return lambda facts: lambda session, request: answer(facts, session, request)


def free_text(value: bytes, what: str) -> str:
    """A name that a client gives itself. Raises ReplyError: it has to stand in one word of CLIENT LIST."""
    if any(byte <= 32 or byte > 126 for byte in value):
        raise ReplyError(f"ERR {what} cannot contain spaces, newlines or special characters.")
    return text_of(value)


def when_all_is_answered(answer: Callable[[Facts, RespSession, Request], Any]) -> Callable[[Facts], CarryOut]:
    """A command that changes how answers look, and so waits until those to all before it are made."""

    def make(facts: Facts) -> CarryOut:
        def carry_out(session: RespSession, request: Request) -> Any:
            return session.wait_for_all() if session.owes_answers else answer(facts, session, request)

        return carry_out

    return make


# --- HELLO, AUTH ---------------------------------------------------------------------------------------------------


def hello(facts: Facts, session: RespSession, request: Request) -> Any:
    protocol = session.protocol
    name: str | None = None
    account: tuple[bytes, bytes] | None = None
    if len(request) > 1:
        if request[1] not in (b"2", b"3"):
            try:
                integer_of(request[1])
            except ReplyError:
                raise ReplyError("ERR Protocol version is not an integer or out of range") from None
            raise ReplyError("NOPROTO unsupported protocol version")
        protocol = int(request[1])
    at = 2
    while at < len(request):
        option = request[at].upper()
        if option == b"AUTH" and at + 2 < len(request):
            account = request[at + 1], request[at + 2]
            at += 3
        elif option == b"SETNAME" and at + 1 < len(request):
            name = free_text(request[at + 1], "Client names")
            at += 2
        else:
            raise ReplyError(f"ERR Syntax error in HELLO option '{shown(request[at])}'")

    def answer() -> bytes:
        session.speak(protocol)
        if session.is_subscribed:
            restrict(session)
        if name is not None:
            session.call_itself(name)
        about = {
            "server": "ckv",
            "version": REDIS_VERSION,
            "proto": protocol,
            "id": session.number,
            "mode": "standalone" if facts.placing.view is None else "cluster",
            "role": "master",
            "modules": [],
        }
        return encode(about, protocol)

    if account is not None:
        return log_in(facts, session, *account, answer)
    if facts.logins is not None and facts.rights is None:
        raise ReplyError(HELLO_NEEDS_LOGIN)
    return answer()


def _auth(facts: Facts, session: RespSession, request: Request) -> Any:
    if len(request) > 3:
        raise ReplyError(SYNTAX)
    if len(request) == 2 and facts.logins is None:
        raise ReplyError(NO_PASSWORD)
    user, secret = request[1:] if len(request) == 3 else (DEFAULT, request[1])
    return log_in(facts, session, user, secret, lambda: OK)


# --- CLIENT --------------------------------------------------------------------------------------------------------


def _set_info(_facts: Facts, session: RespSession, request: Request) -> bytes:
    what = request[2].lower()
    if what not in (b"lib-name", b"lib-ver"):
        raise ReplyError(f"ERR Unrecognized option '{shown(request[2])}'")
    value = free_text(request[3], what.decode())
    name, version = session.library
    session.is_made_with(*((value, version) if what == b"lib-name" else (name, value)))
    return OK


def _set_name(_facts: Facts, session: RespSession, request: Request) -> bytes:
    session.call_itself(free_text(request[2], "Client names"))
    return OK


def _get_name(_facts: Facts, session: RespSession, _request: Request) -> bytes:
    return bulk(session.name) if session.name else session.nil


def _id(_facts: Facts, session: RespSession, _request: Request) -> bytes:
    return integer(session.number)


def line_of(facts: Facts, session: RespSession) -> str:
    """What CLIENT LIST and CLIENT INFO say of a client."""
    name, version = session.library
    transaction = session.transaction
    flags, multi = ("", -1) if transaction is None else ("x", len(transaction.requests))
    flags = ("P" if session.is_subscribed else "") + flags or "N"
    user = facts.logins.name_of(session) if facts.logins is not None else "default"
    return (
        f"id={session.number} addr={session.line.peer} name={session.name} flags={flags} "
        f"db=0 sub={len(session.channels)} psub={len(session.patterns)} multi={multi} "
        f"watch={len(session.watched)} qbuf={session.kept_bytes} omem={session.line.unsent_bytes} user={user} "
        f"resp={session.protocol} lib-name={name} lib-ver={version}\n"
    )


def _list(facts: Facts, session: RespSession, request: Request) -> bytes:
    check_operator(facts, session, "client|list")
    sessions = facts.connected.sessions
    chosen = list(sessions.values())
    if len(request) > 2:
        if request[2].upper() == b"ID" and len(request) > 3:
            asked = [integer_of(number) for number in request[3:]]
            chosen = [sessions[number] for number in asked if number in sessions]
        elif request[2].upper() != b"TYPE" or len(request) != 4:
            raise ReplyError(SYNTAX)
        else:
            kind = request[3].lower()
            chosen = [other for other in chosen if kind == (b"pubsub" if other.is_subscribed else b"normal")]
    return encode(Text("".join(line_of(facts, other) for other in chosen)), session.protocol)


def _info(facts: Facts, session: RespSession, _request: Request) -> bytes:
    return encode(Text(line_of(facts, session)), session.protocol)


def _on_off(_facts: Facts, _session: RespSession, request: Request) -> bytes:
    if request[2].lower() not in (b"on", b"off"):
        raise ReplyError(SYNTAX)
    return OK


def refuse(why: str) -> Sub:
    """A subcommand that is there to say why it is not."""

    def carry_out(_facts: Facts, _session: RespSession, _request: Request) -> bytes:
        raise ReplyError(f"ERR {why}")

    return carry_out


_CLIENT: Final[dict[str, tuple[int, Sub]]] = {
    "setinfo": (4, _set_info),
    "setname": (3, _set_name),
    "getname": (2, _get_name),
    "id": (2, _id),
    "list": (-2, _list),
    "info": (2, _info),
    "no-evict": (3, _on_off),
    "no-touch": (3, _on_off),
    "kill": (-3, kill),
    "tracking": (-2, refuse("CLIENT TRACKING: ckv tells no client that a key was written by another one")),
    "reply": (-2, refuse("CLIENT REPLY: ckv answers every command")),
}

# --- the others ------------------------------------------------------------------------------------------------------


def _ping(_facts: Facts, _session: RespSession, request: Request) -> bytes:
    if len(request) > 2:
        raise wrong_count("ping")
    return PONG if len(request) == 1 else bulk(request[1])


def _echo(_facts: Facts, _session: RespSession, request: Request) -> bytes:
    return bulk(request[1])


def _select(_facts: Facts, _session: RespSession, request: Request) -> bytes:
    if integer_of(request[1]) != 0:
        raise ReplyError("ERR DB index is out of range")
    return OK


def _quit(_facts: Facts, session: RespSession, _request: Request) -> bytes:
    if session.leave is not None:
        session.leave()  # Nothing follows the answer, and nothing that is to be sent keeps the connection open.
    session.finish()
    return OK


def _reset(facts: Facts, session: RespSession, _request: Request) -> Any:
    if session.leave is not None:
        session.leave()
    session.no_transaction()
    session.speak(RESP2)
    session.call_itself("")
    return log_out(facts, session, b"+RESET\r\n")


ROWS: Final[tuple[Row, ...]] = (
    Row("HELLO [version [AUTH user password] [SETNAME name]]", -1, FREE, NONE, "anyone", "connection",
        f"Choose version {RESP2} or {RESP3} of the protocol, and answer what the node is.",
        when_all_is_answered(hello)),
    Row("AUTH [user] password", -2, FREE, NONE, "anyone", "connection",
        "Log in, as `default` with a password alone. Where there are no users any user and password are taken.",
        simply(_auth)),
    Row("PING [message]", -1, FREE, NONE, "anyone", "connection", "Ask the node itself whether it answers.",
        simply(_ping), ("PING",)),
    Row("ECHO message", 2, FREE, NONE, "anyone", "connection", "Answer the message.", simply(_echo)),
    Row("SELECT index", 2, FREE, NONE, "anyone", "connection", "Choose a database. There is number 0 alone.",
        simply(_select)),
    Row("QUIT", -1, FREE, NONE, "anyone", "connection", "Close the connection when all is answered.", simply(_quit)),
    Row("RESET", 1, FREE, NONE, "anyone", "connection", "Make the connection what it was at its beginning.",
        when_all_is_answered(_reset)),
    Row("CLIENT subcommand", -2, FREE, NONE, "anyone", "connection",
        "SETINFO, SETNAME, GETNAME, ID, LIST, INFO, KILL; NO-EVICT and NO-TOUCH do nothing.",
        subcommands("client", _CLIENT)),
)  # fmt: skip
"""What is about the connection itself."""
