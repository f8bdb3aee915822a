"""Connecting to another node: look its name up, try its addresses, and greet it. Each step has a bound of its own.

Addresses are tried as in `RFC 8305 <https://www.rfc-editor.org/rfc/rfc8305>`_ ("happy eyeballs"): the next one as soon
as the last one failed or was silent for a moment, and the first where the node greets back is taken. For a node that is
stopped the kernel accepts connections too, silently.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gevent.socket
import tenacity
from gevent.queue import Empty, SimpleQueue

from ckv import errors
from ckv.address import Address
from ckv.net.transport import Transport, plain_socket
from ckv.protocol.greeting import NOT_LET_IN, Known, auth
from ckv.protocol.greeting import known as known_by
from ckv.protocol.limits import Limits
from ckv.security.account import Account, Credentials

if TYPE_CHECKING:
    from ckv.net.tls import Seal
    from ckv.security.certificates import Certificates

NAME_TIMEOUT: Final = 30.0
"""Seconds to look the name up. The C library takes as long when all is silent: 3 servers, 2 attempts, 5 s each."""

ADDRESS_TIMEOUT: Final = 2.0
"""Seconds for the TCP connection to one address."""

GREETING_TIMEOUT: Final = 2.0
"""Seconds for the answers to the greeting."""

NEXT_ADDRESS: Final = 0.25
"""Seconds until the next address is tried beside one that has not answered: RFC 8305's "Connection Attempt Delay"."""

FIRST_BACKOFF: Final = 0.05
LONGEST_BACKOFF: Final = 0.5
"""Seconds between two attempts to connect: a random time up to a bound that doubles from the first to the longest.
Short, because a node that is back should be found within a second, and an attempt costs one packet."""

SAID: Final = (errors.WrongNode, *NOT_LET_IN)
"""What a node says of whoever connects to it, which is told from one that cannot be reached."""

_account: Account | None = None
_certificates: Certificates | None = None


def log_in_as(account: Account | None) -> None:
    """From now on each connection to another node begins with a login as this user, or with none.

    For the whole process: it is one node, and known to all others under one name.
    """
    global _account
    _account = account


def own_login() -> Credentials | None:
    """As whom that is, with the secret that is good now; None for nobody. Raises OSError."""
    return Credentials(_account.name, _account.secret()) if _account is not None else None


def connect_by(certificates: Certificates | None) -> None:
    """From now on each connection to another node is by TLS, as these say, or by none."""
    global _certificates
    _certificates = certificates


class Failure(NamedTuple):
    """Why an address is not taken."""

    text: str
    kind: type[errors.CkvError]
    """One of :data:`SAID`, or Unreachable."""


class Greeted(NamedTuple):
    """A connection to a node, and what the node said that it knows."""

    sock: socket.socket
    known: Known
    seal: Seal | None
    """That of TLS, with which all over the socket is sealed."""
    login: Credentials | None
    """The login with which it began."""

    def transport(self) -> Transport:
        """Reads and writes the socket, which it takes over. Raises OSError when the peer has reset it."""
        if self.seal is None:
            return Transport(self.sock)
        from ckv.net.tls import TlsTransport  # it loads OpenSSL

        return TlsTransport(self.sock, self.seal)


def connect(address: Address, limits: Limits, greeting: Callable[[], bytes]) -> Greeted:
    """Connects and greets; ``greeting``: makes what is sent, as :func:`ckv.protocol.greeting.calls` does, when it is
    sent. Raises Unreachable, which says what failed: the name, or which addresses and how; one of :data:`SAID` where
    that is what one of them answered."""
    places = _look_up(address)
    outcomes: SimpleQueue[Greeted | Failure] = SimpleQueue()
    attempts: list[gevent.Greenlet[..., None]] = []
    failures: list[Failure] = []
    try:
        while len(failures) < len(places):
            if len(attempts) < len(places):
                attempts.append(gevent.spawn(_attempt, places[len(attempts)], address, limits, greeting, outcomes.put))
            try:
                outcome = outcomes.get(timeout=NEXT_ADDRESS if len(attempts) < len(places) else None)
            except Empty:
                continue
            if isinstance(outcome, Greeted):
                return outcome
            failures.append(outcome)
    finally:
        gevent.killall(attempts, block=False)
        while not outcomes.empty():
            late = outcomes.get()
            if isinstance(late, Greeted):
                late.sock.close()
    kinds = {failure.kind for failure in failures}
    kind = next((kind for kind in SAID if kind in kinds), errors.Unreachable)
    raise kind("; ".join(failure.text for failure in failures) or f"the name {address.host} has no address")


def connect_at_last(
    address: Address, limits: Limits, greeting: Callable[[], bytes], failed: Callable[[BaseException | None], None]
) -> Greeted:
    """As :func:`connect`, for as long as it takes, with jittered back-off
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). ``failed`` is told why not, each time.
    """

    def complain(state: tenacity.RetryCallState) -> None:
        failed(state.outcome.exception() if state.outcome is not None else None)

    trying = tenacity.Retrying(
        wait=tenacity.wait_random_exponential(multiplier=FIRST_BACKOFF, max=LONGEST_BACKOFF),
        sleep=gevent.sleep,
        before_sleep=complain,
    )
    return trying(connect, address, limits, greeting)


def _look_up(address: Address) -> list[Any]:
    try:
        with gevent.Timeout(NAME_TIMEOUT, TimeoutError(f"not found within {NAME_TIMEOUT:g} s")):
            return list(gevent.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no DNS can have
        raise errors.Unreachable(f"the name {address.host}: {_reason(error)}") from error


def _attempt(
    place: Any,
    address: Address,
    limits: Limits,
    greeting: Callable[[], bytes],
    outcome: Callable[[Greeted | Failure], None],
) -> None:
    family, kind, protocol, _, target = place  # of getaddrinfo()
    try:
        with closing(gevent.socket.socket(family, kind, protocol)) as sock:
            sock.settimeout(ADDRESS_TIMEOUT)
            try:
                sock.connect(target)
            except TimeoutError:
                raise TimeoutError(f"no connection within {ADDRESS_TIMEOUT:g} s") from None
            with gevent.Timeout(GREETING_TIMEOUT, TimeoutError(f"no greeting within {GREETING_TIMEOUT:g} s")):
                stream: Any = sock
                seal = None
                if _certificates is not None and _certificates.caller is not None:
                    from ckv.net.tls_stream import shake_hands  # it loads OpenSSL

                    stream = shake_hands(sock, _certificates.caller, address.host)
                    seal = stream.seal
                login = own_login()
                stream.sendall((auth(login.name, login.secret) if login is not None else b"") + greeting())
                known = known_by(iter(partial(stream.recv, 4096), b""), limits)
            outcome(Greeted(plain_socket(fileno=sock.detach()), known, seal, login))
    except Exception as error:  # noqa: BLE001 - whatever a socket raises, and msgpack about what came
        where = "" if target[0] == address.host else f"{target[0]}: "
        kind = next((kind for kind in SAID if isinstance(error, kind)), errors.Unreachable)
        outcome(Failure(where + _reason(error), kind))


def _reason(error: Exception) -> str:
    """In a few words. A system's error is without its number, one of ours with its name."""
    if isinstance(error, errors.CkvError):
        return errors.to_wire(error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
