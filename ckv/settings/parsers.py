"""The parsers of settings: a text in, a checked value out.

A bad text raises :class:`~ckv.errors.BadSetting` with one line that quotes it, without what may be a secret in it, and
says what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ckv.address import Address, parse_address, parse_host
from ckv.errors import BadSetting
from ckv.masking import quoted
from ckv.security.rights import checked_name, rights_of
from ckv.units import whole

if TYPE_CHECKING:
    from ckv.security.users import UsersFile

Policy = Literal["lru", "lfu", "fifo", "s3fifo"]
WriteMode = Literal["evict", "behind", "through"]
Plain = Literal["no", "clients", "all"]
"""Who may do without TLS."""

NO_TIER: Final = "-"
"""The persistent node that stands for none."""

COORDINATORS: Final = ("mysql://", "zk://")
"""What the address of one begins with."""

NOWHERE: Final = "-"
"""Stands for no address."""

LOOPBACK: Final = "127.0.0.1"

NOBODY: Final = "-"
"""Stands for no user, and for no prefix of keys."""

OWN_NAME: Final = "HOSTNAME:PORT"
"""Stands for the name that a node has by itself."""

LONGEST_NAME: Final = 120
"""Bytes of the name of a node."""

ANY_NAME: Final = "-"
"""Stands for a certificate of whatever host was connected to."""

_POLICIES: Final[Mapping[str, Policy]] = {
    "1": "lru", "2": "lfu", "3": "fifo", "4": "s3fifo", "lru": "lru", "lfu": "lfu", "fifo": "fifo", "s3fifo": "s3fifo",
}  # fmt: skip

_count = whole(1, 10**6)
_listening_port = whole(0, 65535)


def policy(text: str) -> Policy:
    """An eviction policy by number or name.

    >>> policy("1"), policy("FIFO")
    ('lru', 'fifo')
    """
    if text.lower() not in _POLICIES:
        allowed = "1 or lru, 2 or lfu, 3 or fifo, 4 or s3fifo"
        raise BadSetting(f"{quoted(text)} is not an eviction policy: allowed is {allowed}")
    return _POLICIES[text.lower()]


def persistent(text: str) -> str:
    """The address of the persistent tier, as it is: the tier itself knows what it may look like."""
    if not text:
        raise BadSetting(f"{quoted(text)} is not a persistent node: allowed is an address, or {NO_TIER} for none")
    return text


def audited(text: str) -> str:
    """As :func:`persistent`, and there must be one."""
    if text == NO_TIER:
        raise BadSetting(f"{quoted(text)} is no persistent node: allowed is the address that the secondary was given")
    return persistent(text)


def coordinator(text: str) -> str:
    """The address of a coordinator, as it is: whoever opens it knows what it may look like."""
    if text != NO_TIER and not text.startswith(COORDINATORS):
        raise BadSetting(
            f"{quoted(text)} is not a coordinator: allowed is mysql://user:password@host:port/database,"
            f" zk://host:port,host:port/path, or {NO_TIER} for none"
        )
    return text


def advertised(text: str) -> str:
    """A host; empty for the one that a node has by itself.

    >>> advertised("ckv-0.ckv"), advertised("-")
    ('ckv-0.ckv', '')
    """
    return "" if text == NO_TIER else parse_host(text)


def followed(text: str) -> Address | None:
    """The address of a primary; ``None`` for no primary.

    >>> followed("ckv-0.ckv:8080"), followed("-")
    (Address(host='ckv-0.ckv', port=8080), None)
    """
    return None if text == NOWHERE else parse_address(text)


def name(text: str) -> str:
    """The name of a node; empty for the one that it has by itself.

    >>> name("ckv-0"), name("HOSTNAME:PORT")
    ('ckv-0', '')
    """
    if text == OWN_NAME:
        return ""
    if not text or not text.isascii() or not text.isprintable() or " " in text or len(text) > LONGEST_NAME:
        raise BadSetting(
            f"{quoted(text)} is not a name: allowed are 1 to {LONGEST_NAME} letters, digits and signs without spaces"
        )
    return text


def listener(text: str) -> Address | None:
    """Where to listen, ``host:port``, or ``port`` alone for the loopback; ``None`` for nowhere.

    >>> listener("0.0.0.0:9121"), listener("9121"), listener("-")
    (Address(host='0.0.0.0', port=9121), Address(host='127.0.0.1', port=9121), None)
    """
    if text == NOWHERE:
        return None
    host, _, port = text.rpartition(":")
    try:
        if ":" in host and not host.startswith("["):
            raise BadSetting
        return Address(parse_host(host) if host else LOOPBACK, _listening_port(port))
    except BadSetting:
        raise BadSetting(
            f"{quoted(text)} is no address to listen on: allowed is host:port, [IPv6]:port, or port alone for"
            f" {LOOPBACK}, the port from 0 to 65535, or {NOWHERE} for none"
        ) from None


def sample(text: str) -> int | None:
    """A number of records, or ``None`` for all.

    >>> sample("1k"), sample("all")
    (1000, None)
    """
    return None if text.lower() == "all" else _count(text)


def path(text: str) -> Path:
    """Where a file is, or will be."""
    if not text or "\0" in text:
        raise BadSetting(f"{quoted(text)} is not a file: allowed is the path of one")
    return Path(text)


def path_or_none(text: str) -> Path | None:
    """Where a file is; ``None`` for none.

    >>> path_or_none("ckv.toml"), path_or_none("-")
    (PosixPath('ckv.toml'), None)
    """
    return None if text == NOWHERE else path(text)


def history(text: str) -> Path:
    """Where a file is; ``~`` is the home folder."""
    return Path(os.path.expanduser(path(text)))


def one_of(*allowed: str, what: str = "known") -> Callable[[str], str]:
    """The parser of these words, whatever their case; any other one "is not" ``what``.

    >>> one_of("text", "json")("JSON")
    'json'
    """

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise BadSetting(f"{quoted(text)} is not {what}: allowed is {', '.join(allowed)}")
        return text.lower()

    return parse


def user(text: str) -> str:
    """The name of a user; empty for none."""
    try:
        return "" if text == NOBODY else checked_name(text)
    except ValueError as error:
        # Some write the secret behind the name.
        name, colon, _ = text.partition(":")
        shown = f"{name}:***" if colon else text
        raise BadSetting(f"{shown!r} is {error}") from None


def keys(text: str) -> tuple[str, ...]:
    """Prefixes of keys.

    >>> keys("~orders:* ~stock:*"), keys("-")
    (('orders:', 'stock:'), ())
    """
    try:
        return () if text == NOBODY else rights_of("read", text.split()).prefixes
    except ValueError as error:
        raise BadSetting(f"{quoted(text)} is {error}") from None


def users(text: str) -> UsersFile | None:
    """The file of users, which is read here; ``None`` for none."""
    if text == NOWHERE:
        return None
    from ckv.security.users import UsersFile  # what it loads takes longer than a tool that has no use for it

    return UsersFile(path(text))


def tls_name(text: str) -> str:
    """The name of a certificate; empty for that of the host."""
    return "" if text == ANY_NAME else parse_host(text)
