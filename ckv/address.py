"""Addresses of nodes and servers: what they are, and how they are written."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ckv.errors import BadSetting
from ckv.masking import quoted
from ckv.units import whole


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


WILDCARDS: Final = ("0.0.0.0", "::", "")
"""Hosts that stand for all addresses of a machine: to listen on, and not to connect to."""

parse_port: Final = whole(1, 65535)
"""The parser of ports to connect to."""


def parse_host(text: str) -> str:
    """A host name or an IP address; an IPv6 address may stand in brackets.

    >>> parse_host("localhost"), parse_host("[::1]")
    ('localhost', '::1')
    """
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    with suppress(ValueError):
        if ":" in host or host is not text:
            ipaddress.IPv6Address(host)
            return host
        if re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,253})", host):
            return host
    raise BadSetting(f"{quoted(text)} is not a host: allowed is a host name or an IP address")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there; of names, ``localhost`` alone is known to.

    >>> is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("this-machine")
    (True, True, False, False)
    """
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def parse_address(text: str) -> Address:
    """``host:port`` or ``[IPv6]:port``, the port 1 to 65535.

    >>> parse_address("[::1]:8080")
    Address(host='::1', port=8080)
    """
    host, colon, port = text.rpartition(":")
    try:
        if not colon or (":" in host and not host.startswith("[")):
            raise BadSetting
        return Address(parse_host(host), parse_port(port))
    except BadSetting:
        raise BadSetting(
            f"{quoted(text)} is not an address: allowed is host:port or [IPv6]:port, the port from 1 to 65535"
        ) from None


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Addresses with commas between them.

    >>> [str(address) for address in parse_addresses("a:8080,b:8080")]
    ['a:8080', 'b:8080']
    """
    return tuple(parse_address(part) for part in text.split(","))
