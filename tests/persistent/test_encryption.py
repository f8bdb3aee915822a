"""TLS to the database: who is trusted, and that nobody else is sent a login."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ckv import Client
from ckv.errors import BadSetting, TierUnavailable
from ckv.persistent.mysql.address import parse
from ckv.persistent.mysql.connection import Connection
from ckv.persistent.opening import open_coordinator, open_tier
from tests.persistent.relay import Relay, without_tls
from tests.support.certificate import Authority
from tests.support.encrypted import Encrypted
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.nodes import Nodes, run_ckv
from tests.support.products import PASSWORD, USER


def connect(address: str) -> None:
    open_tier(address, environ={}).connect().close()


def look(address: str) -> None:
    coordinator = open_coordinator(address, environ={})
    assert coordinator is not None
    with closing(coordinator):
        coordinator.look((0, 0))


def claim(address: str) -> None:
    with closing(open_tier(address, environ={}).fence("node", "process")) as fence:
        fence.claim()


def audit(address: str) -> None:
    """As `ckv verify` connects."""
    open_tier(address, environ={}).connect(prepare=False).close()


ALL = pytest.mark.parametrize("ask", [connect, look, claim, audit])


@ALL
@pytest.mark.parametrize("mode", ["verify", "verify-ca"])
def test_a_server_with_a_right_certificate_is_asked_by_tls_alone(
    encrypted: Encrypted, mode: str, ask: Callable[[str], None]
) -> None:
    connect(encrypted.address(mode))  # for `audit`, which makes no table
    with Relay(encrypted.server.port) as relay:
        ask(encrypted.address(mode, port=relay.port))
    assert USER.encode() not in relay.sent


def test_the_server_says_that_it_is_encrypted(encrypted: Encrypted) -> None:
    with closing(Connection(parse(encrypted.address("verify"), {}), database=None)) as connection:
        ((_, version),) = connection.run("SHOW STATUS LIKE 'Ssl_version'")
    assert version in (b"TLSv1.2", b"TLSv1.3")


def foreign(encrypted: Encrypted, folder: Path) -> Path:
    return Authority(folder, "foreign").path


def for_another_host(encrypted: Encrypted, folder: Path) -> Path:
    encrypted.show(encrypted.authority.issue("elsewhere", "db.example.com", "127.0.0.2"))
    return encrypted.authority.path


def expired(encrypted: Encrypted, folder: Path) -> Path:
    encrypted.show(encrypted.authority.issue("expired", "127.0.0.1", days=(-2, -1)))
    return encrypted.authority.path


def revoked(encrypted: Encrypted, folder: Path) -> Path:
    authority = Authority(folder, "strict")
    certified = authority.issue("revoked", "127.0.0.1")
    authority.revoke(certified)
    encrypted.show(certified)
    return authority.path


ATTACKS = pytest.mark.parametrize(
    ("attack", "told"),
    [
        (foreign, "unable to get local issuer certificate|self-signed"),
        (for_another_host, "IP address mismatch"),
        (expired, "has expired"),
        (revoked, "revoked"),
    ],
)


@ATTACKS
def test_no_login_is_sent_to_a_server_that_may_be_another_one(
    encrypted: Encrypted, attack: Callable[[Encrypted, Path], Path], told: str, tmp_path: Path
) -> None:
    ca = attack(encrypted, tmp_path)
    with Relay(encrypted.server.port) as relay:
        for ask in (connect, look, claim, audit):
            with pytest.raises(TierUnavailable, match=f"the certificate is refused: .*({told})"):
                ask(encrypted.address("verify", ca, port=relay.port))
    assert USER.encode() not in relay.sent


def test_with_verify_ca_the_host_is_not_looked_at_and_the_rest_is(encrypted: Encrypted, tmp_path: Path) -> None:
    ca = for_another_host(encrypted, tmp_path)
    connect(encrypted.address("verify-ca", ca))
    for attack in (foreign, expired):
        with pytest.raises(TierUnavailable, match="the certificate is refused"):
            connect(encrypted.address("verify-ca", attack(encrypted, tmp_path)))


@pytest.mark.parametrize("mode", ["verify", "verify-ca"])
def test_no_login_is_sent_where_tls_was_taken_out_of_the_greeting(encrypted: Encrypted, mode: str) -> None:
    with Relay(encrypted.server.port, without_tls) as relay:
        for ask in (connect, look, claim, audit):
            with pytest.raises(TierUnavailable, match="SSL is required but the server doesn't support it"):
                ask(encrypted.address(mode, port=relay.port))
        assert relay.sent == b""
        connect(f"mysql://{USER}:{PASSWORD}@127.0.0.1:{relay.port}?tls=prefer")
    assert USER.encode() in relay.sent


def test_no_login_is_sent_to_a_server_without_tls(mariadb: MariaDB, tmp_path: Path) -> None:
    ca = Authority(tmp_path).path
    with Relay(mariadb.port) as relay:
        address = f"mysql://{USER}:{PASSWORD}@127.0.0.1:{relay.port}?tls=verify&tls-ca={ca}"
        with pytest.raises(TierUnavailable, match="SSL is required"):
            connect(address)
    assert relay.sent == b""


def test_an_account_whose_password_the_server_has_not_seen_yet_logs_in(encrypted: Encrypted) -> None:
    """With `caching_sha2_password` of MySQL it is then sent as it is, which no key but that of TLS hides."""
    with encrypted.server.account("ann", "quite-secret") as ann:
        encrypted.server.query(f"GRANT ALL ON {DATABASE}.* TO ann@'127.0.0.1'")
        connect(encrypted.address("verify").replace(f"{USER}:{PASSWORD}", ann))


def test_a_new_authority_is_trusted_without_a_restart(encrypted: Encrypted, tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(encrypted.authority.path.read_bytes())
    tier = open_tier(encrypted.address("verify", trusted), environ={})
    tier.connect().close()
    other = Authority(tmp_path, "other")
    encrypted.show(other.issue("by another", "127.0.0.1"))
    with pytest.raises(TierUnavailable, match="the certificate is refused"):
        tier.connect()
    trusted.write_bytes(trusted.read_bytes() + other.path.read_bytes())
    tier.connect().close()
    trusted.unlink()
    with pytest.raises(TierUnavailable, match=rf"{re.escape(str(trusted))}: No such file"):
        tier.connect()


def test_a_node_saves_by_tls_and_a_tool_looks_on(encrypted: Encrypted, nodes: Nodes) -> None:
    environ = {"CKV_MYSQL_TLS": "verify", "CKV_MYSQL_TLS_CA": str(encrypted.authority.path)}
    with Relay(encrypted.server.port) as relay:
        place = f"127.0.0.1:{relay.port}"
        node = nodes.start_secondary(persistent=place, options=["--write-mode=through"], env=environ)
        with Client("127.0.0.1", node.port) as client:
            client.put("bob@gmail.com", "1")
        verified = run_ckv("verify", "127.0.0.1", str(node.port), place, env=environ)
        assert (verified.returncode, verified.stderr) == (0, "")
        assert node.terminate() == 0, node.tail()
    assert encrypted.server.rows() == {b"bob@gmail.com": b"1"}
    assert b"bob@gmail.com" not in relay.sent


# --- what is typed --------------------------------------------------------------------------------------------------


def of(address: str, environ: dict[str, str]) -> tuple[str, str]:
    encryption = parse(address, environ).encryption
    return encryption.mode, str(encryption.ca)


def test_an_address_and_the_environment_say_it(tmp_path: Path) -> None:
    ca = Authority(tmp_path).path
    odd = ca.rename(tmp_path / "a&b@c%.pem")
    environ = {"CKV_MYSQL_TLS": "verify", "CKV_MYSQL_TLS_CA": str(odd)}
    assert of("db:1", {}) == of("mysql://db", {"CKV_MYSQL_TLS": ""}) == ("prefer", "system")
    assert of("db:1", environ) == of("mysql://db/x", environ) == ("verify", str(odd))
    quoted = f"{tmp_path}/a%26b%40c%25.pem"
    assert of(f"mysql://db?tls=verify-ca&tls-ca={quoted}", {}) == ("verify-ca", str(odd))
    assert of(f"mysql://ann:a?b@db/x?tls-ca={quoted}", {"CKV_MYSQL_TLS": "verify"}) == ("verify", str(odd))
    assert (
        of("mysql://db/x?tls=verify", {})
        == of("mysql://db?tls=verify&tls-ca=system", environ)
        == (
            "verify",
            "system",
        )
    )
    assert parse("mysql://ann@db:1/x?tls=verify", {}).name == "mysql://ann@db:1/x"


def test_the_authorities_of_the_system_are_read_once() -> None:
    one, another = (parse(f"mysql://{host}?tls=verify", {}).encryption.context() for host in ("a", "b"))
    assert one is another
    assert one.check_hostname
    assert one.verify_mode is ssl.CERT_REQUIRED
    assert one.cert_store_stats()["x509_ca"] > 0 or not Path("/etc/ssl/certs/ca-certificates.crt").exists()


@pytest.mark.parametrize(
    ("address", "environ", "told"),
    [
        ("mysql://db?tls=required", {}, "'required' is no mode of TLS: allowed is prefer, verify-ca or verify"),
        ("db:1", {"CKV_MYSQL_TLS": "VERIFY"}, "CKV_MYSQL_TLS.*'VERIFY' is no mode of TLS"),
        ("mysql://db?tls=verify&tls-ca=/nowhere", {}, "/nowhere: No such file"),
        ("mysql://db?tls=verify&tls-ca=/dev/null", {}, "/dev/null: no certificate or crl found"),
        ("mysql://db?tls-ca=/nowhere", {}, "/nowhere: authorities, and with the mode prefer nobody asks them"),
        ("mysql://db?tls=prefer", {"CKV_MYSQL_TLS_CA": "/nowhere"}, "nobody asks them"),
        ("mysql://db/x?tls=", {}, r"allowed are \?tls=\.\.\. and &tls-ca=FILE"),
        ("mysql://db/x?tls", {}, "allowed are"),
        ("mysql://db/x?tls=verify&tls=prefer", {}, "once each"),
        ("mysql://db/x?tls=verify&", {}, "allowed are"),
        ("mysql://db/x?ssl-mode=REQUIRED", {}, "'mysql://db/x': behind the name of the database, allowed are"),
    ],
)
def test_what_makes_no_sense_is_refused(address: str, environ: dict[str, str], told: str) -> None:
    with pytest.raises(BadSetting, match=told) as caught:
        open_tier(address, environ=environ)
    assert "\n" not in str(caught.value)
