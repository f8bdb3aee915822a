"""Certificates for tests: an authority, those that it signs, and one for a server that signs its own."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY: Final = datetime.timedelta(days=1)
ENCODING: Final = serialization.Encoding.PEM


def self_signed(folder: Path) -> tuple[Path, Path]:
    """The paths of a new key and of its certificate, valid today, in that folder."""
    signed = Authority(folder, "database")
    return signed.key_path, signed.path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Certified:
    """A certificate and its key, as files."""

    def __init__(self, path: Path, key_path: Path, certificate: x509.Certificate) -> None:
        self.path = path
        self.key_path = key_path
        self.certificate = certificate

    def replace_by(self, other: Certified) -> None:
        """Writes another one into the same files."""
        self.path.write_bytes(other.path.read_bytes())
        self.key_path.write_bytes(other.key_path.read_bytes())


class Authority:
    """Signs certificates, and revokes them. Its own is in ``path``."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._count = 0
        self.path, self.key_path = folder / f"{name}.pem", folder / f"{name}.key"
        certificate = (
            self._builder(self._name, self._key, days=(-1, 1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path.write_bytes(certificate.public_bytes(ENCODING))
        _write_key(self.key_path, self._key)

    def issue(self, name: str, *hosts: str, days: tuple[int, int] = (-1, 1)) -> Certified:
        """A certificate for these hosts, names and addresses, valid from and to so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        hosts_of_it = [_host(host) for host in hosts or ("localhost", "127.0.0.1")]
        certificate = (
            self._builder(_name(name), key, days)
            .add_extension(x509.SubjectAlternativeName(hosts_of_it), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path, key_path = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        path.write_bytes(certificate.public_bytes(ENCODING))
        _write_key(key_path, key)
        return Certified(path, key_path, certificate)

    def revoke(self, *revoked: Certified) -> None:
        """Has the list of those that are revoked stand behind its own certificate."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - DAY).next_update(now + DAY)
        for certified in revoked:
            number = certified.certificate.serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - DAY).build()
            builder = builder.add_revoked_certificate(entry)
        signed = builder.sign(self._key, hashes.SHA256())
        self.path.write_bytes(self.path.read_bytes() + signed.public_bytes(ENCODING))

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: tuple[int, int]
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        self._count += 1
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(self._count)
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
        )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    form = serialization.PrivateFormat.PKCS8
    path.touch(0o600)
    path.write_bytes(key.private_bytes(ENCODING, form, serialization.NoEncryption()))
