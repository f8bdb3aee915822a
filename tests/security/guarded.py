"""Nodes with users, as real processes, and clients of both protocols that see what they answer."""

from __future__ import annotations

import socket
import ssl
from itertools import count
from pathlib import Path
from typing import Any, Final

import hiredis

from ckv.security import secrets
from ckv.security.rights import Level, Rights
from ckv.security.users import User
from tests.support.nodes import NOWHERE, Cluster, Node, Nodes
from tests.support.wire import RawClient

RIGHTS: Final = {
    "reader": Rights("read"),
    "writer": Rights("write"),
    "orders": Rights("write", ("orders:", "stock:")),
    "viewer": Rights("read", ("orders:",)),
    "boss": Rights("admin"),
    "node": Rights("node"),
}
"""Who there is."""

LEVELS: Final[dict[Level, str]] = {"read": "reader", "write": "writer", "admin": "boss", "node": "node"}
"""A user of each class, who may name any key."""


def secret_of(name: str) -> str:
    """The secret of a user: none that stands in any output by chance."""
    return f"the-secret-of-{name}-8f1c2d"


def line_of(name: str, rights: Rights, *secrets_of_user: str) -> str:
    """The line of a user in the file."""
    return str(User(name, rights, tuple(secrets.kept(secret.encode(), "sha256") for secret in secrets_of_user)))


def write_users(path: Path, *lines: str) -> Path:
    """A file of users: all of :data:`RIGHTS`, or these lines."""
    all_of_them = [line_of(name, rights, secret_of(name)) for name, rights in RIGHTS.items()]
    path.touch(0o600)
    path.write_text("\n".join(lines or all_of_them) + "\n")
    return path


class Guarded:
    """Starts nodes with users."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self._nodes = nodes
        self.file = write_users(folder / "users")
        self.options = [f"--users={self.file}"]
        self.env = {"CKV_NODE_PASSWORD": secret_of("node")}

    def secondary(self, *options: str, primary: str = NOWHERE, **rest: Any) -> Node:
        return self._nodes.start_secondary(options=[*self.options, *options], env=self.env, primary=primary, **rest)

    def primary(self, *secondaries: Node | str, options: tuple[str, ...] = ()) -> Node:
        return self._nodes.start_primary(*secondaries, options=[*self.options, *options], env=self.env)

    def cluster(self, *options: str) -> Cluster:
        """A primary with a list of two secondaries, and with these options."""
        of_primary = [*self.options, *options]
        return self._nodes.start_cluster(secondary_options=self.options, primary_options=of_primary, env=self.env)


_sources = count(2)


def new_source() -> str:
    """An address of this machine that nobody else has come from: wrong logins slow down all who come from one."""
    number = next(_sources)
    return f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def rpc(node: Node, name: str = "", source: str = "") -> RawClient:
    """A client of msgpack-RPC, logged in as this user, or as nobody."""
    client = RawClient(node.address, source=source or new_source())
    if name:
        assert client.call("AUTH", name, secret_of(name)) is True
    return client


class Resp:
    """A client of Redis, which tells errors apart by their texts."""

    def __init__(self, node: Node, name: str = "", source: str = "", tls: ssl.SSLContext | None = None) -> None:
        """Logged in as this user, or as nobody."""
        self.socket = socket.create_connection(("127.0.0.1", node.port), 10, (source or new_source(), 0))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self._reader = hiredis.Reader()
        if name:
            assert self.call("AUTH", name, secret_of(name)) == b"OK"

    def send(self, *requests: tuple[str | bytes, ...]) -> None:
        """Sends requests in one write."""
        self.socket.sendall(b"".join(map(packed, requests)))

    def read(self) -> Any:
        """The next answer; the text of an error, with its code and a minus sign before it."""
        while (answer := self._reader.gets()) is False:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError("the node closed the connection")
            self._reader.feed(data)
        return f"-{answer}" if isinstance(answer, hiredis.ReplyError) else answer

    def call(self, *request: str | bytes) -> Any:
        self.send(request)
        return self.read()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Resp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def packed(request: tuple[str | bytes, ...]) -> bytes:
    """A request as it travels."""
    parts = [part.encode() if isinstance(part, str) else part for part in request]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
