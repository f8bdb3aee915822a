"""Where the ZooKeeper servers are, who asks them, and below which path."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

from ckv.address import Address, parse_address
from ckv.errors import BadSetting
from ckv.masking import quoted

SCHEME: Final = "zk://"
DEFAULT_PORT: Final = 2181
DEFAULT_PATH: Final = "/ckv"

_FORMS: Final = (
    "allowed is zk://user:password@host:port,host:port/path, where user and password may be left out, and so may each"
    f" port ({DEFAULT_PORT}) and the path ({DEFAULT_PATH}), which has letters, digits and _ - . between its slashes"
)
_PATH: Final = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The servers of one ZooKeeper. Its ``repr`` and its :attr:`name` do not show the password."""

    servers: tuple[Address, ...]
    path: str
    user: str
    """Empty for nobody: then whoever reaches a server may change what is there."""
    password: str = field(repr=False)

    @property
    def name(self) -> str:
        """``zk://user@host:port,host:port/path``."""
        account = f"{quote(self.user, safe='')}@" if self.user else ""
        return f"{SCHEME}{account}{self.hosts}{self.path}"

    @property
    def hosts(self) -> str:
        """``host:port,host:port``."""
        return ",".join(map(str, self.servers))


def parse(text: str) -> Ensemble:
    """The servers at ``zk://[user:password@]host[:port][,host[:port]...][/path]``, whose user and password are
    percent-decoded. Raises :class:`~ckv.errors.BadSetting`."""
    # The last "@", so that a password that should have been percent-encoded is taken for what it is, and not shown.
    account, at, rest = text.removeprefix(SCHEME).rpartition("@")
    user, colon, password = map(unquote, account.partition(":"))
    hosts, slash, path = rest.partition("/")
    try:
        servers = tuple(parse_address(_with_port(host)) for host in hosts.split(","))
    except BadSetting:
        servers = ()
    path = slash + path.removesuffix("/") if path else DEFAULT_PATH
    if not servers or not _PATH.fullmatch(path) or (at and not (user and colon and password)) or ":" in password:
        raise BadSetting(f"coordinator {quoted(text)}: {_FORMS}")
    return Ensemble(servers, path, user, password)


def _with_port(host: str) -> str:
    return host if ":" in host.rpartition("]")[2] else f"{host}:{DEFAULT_PORT}"
