"""A certificate authority for a test: keys and certificates as an administrator is given."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Vouches for whom it is told to."""

    def __init__(self, folder: Path, name: str, *, ended: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        age = 20 * DAY if ended else DAY
        builder = self._begin(name, self._key, datetime.now(UTC) - age, 10 * DAY)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        host: str | None = "127.0.0.1",
        expired: bool = False,
        lasts: timedelta = 4 * DAY,
    ) -> KeyPair:
        """A key with its certificate, for an address; or one that ran out yesterday."""
        key = ec.generate_private_key(ec.SECP256R1())
        ends = -DAY if expired else lasts
        begins = datetime.now(UTC) - 9 * DAY
        builder = self._begin(name, key, begins, 9 * DAY + ends)
        if host is not None:
            address = x509.IPAddress(ipaddress.ip_address(host))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        pair = KeyPair(
            certificate=self._folder / f"{name}.crt.pem", key=self._folder / f"{name}.key.pem"
        )
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair

    def _begin(
        self, name: str, key: ec.EllipticCurvePrivateKey, begins: datetime, lasts: timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + lasts)
        )
