"""Another login over a connection that has one: what goes on as it was, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ckv.address import Address
from ckv.net.server import Server
from ckv.protocol.handler import Caller, Handler
from ckv.protocol.limits import Limits
from ckv.security.rights import Rights
from ckv.security.users import UsersFile
from tests.net.conftest import Asker, World, echo
from tests.security.guarded import line_of, write_users


@pytest.fixture
def asker(world: World, tmp_path: Path) -> Asker:
    """Is connected to a server that looks at each request, but for those of whom it trusts."""
    users = write_users(
        tmp_path / "users",
        line_of("node", Rights("node"), "first", "second"),
        line_of("other", Rights("node"), "third"),
    )

    def trust(caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        return server.trust(caller, True)

    def guard(name: str, handler: Handler) -> Handler:
        return handler if name == "TRUST" else lambda _caller, _msgid, _params: "looked at"

    server = Server(
        world.poller, {"ECHO": echo, "PING": echo, "TRUST": trust}, Limits(), guard=guard, users=UsersFile(users)
    )
    world.also(server)
    address = server.listen(Address("127.0.0.1", 0))
    server.trust_nobody()
    return world.ask(address)


def ask(asker: Asker, method: str, *params: str) -> Any:
    asker.send([0, 1, method, list(params)])
    _, error, result = asker.answer()
    assert error is None
    return result


@pytest.mark.parametrize(("login", "then"), [(("node", "second"), ["a"]), (("other", "third"), "looked at")])
def test_who_logs_in_with_another_secret_is_trusted_still(asker: Asker, login: tuple[str, str], then: object) -> None:
    assert ask(asker, "AUTH", "node", "first") is True
    assert ask(asker, "ECHO", "a") == "looked at"
    assert ask(asker, "TRUST") is True
    assert ask(asker, "ECHO", "a") == ["a"]
    assert ask(asker, "AUTH", *login) is True
    assert ask(asker, "ECHO", "a") == then
