"""Another login over a connection that has one: what goes on as it was, and what does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckv import errors
from ckv.address import Address
from ckv.net.server import Server
from ckv.protocol.handler import Caller, Handler
from ckv.protocol.limits import Limits
from ckv.security import secrets, slowing
from ckv.security.rights import Rights
from ckv.security.users import User, UsersFile
from tests.net.conftest import Asker, World, echo
from tests.security.guarded import line_of, write_users


@pytest.fixture
def server(world: World, tmp_path: Path) -> Server:
    """Looks at each request, but for those of whom it trusts."""
    users = write_users(
        tmp_path / "users",
        line_of("node", Rights("node"), "first", "second"),
        line_of("other", Rights("node"), "third"),
        str(User("slow", Rights("node"), (secrets.kept(b"fourth", "scrypt"), secrets.kept(b"fifth", "sha256")))),
    )

    def trust(caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        return serving.trust(caller, True)

    def guard(name: str, handler: Handler) -> Handler:
        return handler if name == "TRUST" else lambda _caller, _msgid, _params: "looked at"

    serving = Server(
        world.poller, {"ECHO": echo, "PING": echo, "TRUST": trust}, Limits(), guard=guard, users=UsersFile(users)
    )
    world.also(serving)
    return serving


@pytest.fixture
def address(server: Server) -> Address:
    """Where it listens."""
    address = server.listen(Address("127.0.0.1", 0))
    server.trust_nobody()
    return address


@pytest.fixture
def asker(world: World, address: Address) -> Asker:
    """Is connected to it."""
    return world.ask(address)


def ask(asker: Asker, method: str, *params: str) -> Any:
    asker.send([0, 1, method, list(params)])
    _, error, result = asker.answer()
    assert error is None
    return result


def refusal(asker: Asker, name: str, secret: str) -> str:
    """The code of the error that a login gets."""
    asker.send([0, 1, "AUTH", [name, secret]])
    _, error, _ = asker.answer()
    return type(errors.from_wire(error)).__name__


@pytest.mark.parametrize(("login", "then"), [(("node", "second"), ["a"]), (("other", "third"), "looked at")])
def test_who_logs_in_with_another_secret_is_trusted_still(asker: Asker, login: tuple[str, str], then: object) -> None:
    assert ask(asker, "AUTH", "node", "first") is True
    assert ask(asker, "ECHO", "a") == "looked at"
    assert ask(asker, "TRUST") is True
    assert ask(asker, "ECHO", "a") == ["a"]
    assert ask(asker, "AUTH", *login) is True
    assert ask(asker, "ECHO", "a") == then


def test_a_node_does_not_wait_for_others_who_try_secrets_from_its_address(
    asker: Asker, world: World, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowing, "PAUSE", 1000.0)
    assert ask(asker, "AUTH", "node", "first") is True
    other = world.ask(address)
    for _ in range(slowing.FREE + 1):  # the last one takes the turn of its address
        assert refusal(other, "node", "guessed") == "LoginFailed"
    assert refusal(other, "node", "second") == "Overloaded"
    assert ask(asker, "AUTH", "node", "second") is True
    assert refusal(asker, "node", "guessed") == "LoginFailed"
    assert refusal(asker, "other", "third") == "Overloaded"
    assert ask(asker, "ECHO", "a") == "looked at"


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """When it is set, secrets are looked at that take long."""
    may = threading.Event()
    matching = User.matching

    def wait(user: User, secret: bytes) -> Any:
        assert not user.is_slow or may.wait(30)
        return matching(user, secret)

    monkeypatch.setattr(User, "matching", wait)
    yield may
    may.set()


def test_a_node_is_served_while_its_other_secret_is_looked_at(asker: Asker, looked_at: threading.Event) -> None:
    looked_at.set()
    assert ask(asker, "AUTH", "slow", "fourth") is True
    looked_at.clear()
    asker.send([0, 1, "AUTH", ["slow", "fifth"]], [0, 2, "ECHO", ["a"]])
    assert asker.answer() == [2, None, "looked at"]
    looked_at.set()
    assert asker.answer() == [1, None, True]


def test_a_login_that_is_quicker_than_the_one_before_it_stays(
    asker: Asker, server: Server, looked_at: threading.Event
) -> None:
    assert server.logins is not None
    looked_at.set()
    assert ask(asker, "AUTH", "slow", "fourth") is True
    looked_at.clear()
    asker.send([0, 1, "AUTH", ["slow", "fifth"]], [0, 2, "AUTH", ["node", "first"]])
    assert asker.answer() == [2, None, True]
    looked_at.set()
    assert asker.answer() == [1, None, True]
    assert [login.user.name for login in server.logins.members.values()] == ["node"]


def test_a_connection_that_ends_while_it_logs_out_is_forgotten(
    asker: Asker, server: Server, world: World, address: Address
) -> None:
    assert server.logins is not None
    assert ask(asker, "AUTH", "node", "first") is True
    (connection,) = server.logins.members
    assert connection.session is not None
    server.logins.log_out(connection.session, lambda _failed: None)
    connection.close("")
    assert ask(world.ask(address), "AUTH", "node", "first") is True  # by which time it is logged out
    assert not server.logins._since, "it would be ended in the place of whoever keeps a user out"
