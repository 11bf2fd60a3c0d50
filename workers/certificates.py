"""Certificates and secrets that the settings name: until when they count, and who can read them.

Goes by the names of settings, nested ones too, so that a new one cannot be forgotten: a test holds
that every file in the settings is a certificate, a secret, or named as neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from pydantic import BaseModel

from workers.settings import Settings

CERTIFICATES = ("tls_certificate_file", "tls_certificate", "certificate_file")
AUTHORITIES = ("ca_file", "client_ca")
SECRETS = ("tls_key_file", "tls_key", "key_file", "secret_file", "password_file", "token_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """A file, and the setting that names it (``dicom_audit.ca_file``)."""

    setting: str
    path: Path

    @property
    def is_certificate(self) -> bool:
        """Whether it holds our certificate, and those between it and its authority."""
        return self.setting.endswith(CERTIFICATES)

    @property
    def is_authorities(self) -> bool:
        """Whether it holds certificates of who may vouch for others."""
        return self.setting.endswith(AUTHORITIES)

    @property
    def is_secret(self) -> bool:
        """Whether nobody but the service may read it."""
        return self.setting.endswith(SECRETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate; `not_after` is in seconds since the epoch."""

    name: str
    not_after: float


def named_files(settings: Settings) -> list[NamedFile]:
    """Every file and folder that the settings name, in their order."""
    return list(_files_of(settings, ""))


def read_certificates(path: Path) -> list[Certificate]:
    """The certificates of a PEM file, in its order.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it holds none, or one that is none.
    """
    found = x509.load_pem_x509_certificates(path.read_bytes())
    return [
        Certificate(name=_name_of(item), not_after=item.not_valid_after_utc.timestamp())
        for item in found
    ]


def counts_until(file: NamedFile, certificates: list[Certificate]) -> float:
    """When the file as a whole stops to serve, in seconds since the epoch.

    Ours with the first of its chain that ends; authorities with the last one.
    """
    ends = [item.not_after for item in certificates]
    return max(ends) if file.is_authorities else min(ends)


def _files_of(model: BaseModel, prefix: str) -> Iterator[NamedFile]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        for number, item in enumerate(value if isinstance(value, tuple) else (value,)):
            if isinstance(item, Path):
                yield NamedFile(setting=f"{prefix}{name}", path=item)
            elif isinstance(item, BaseModel):
                part = getattr(item, "name", str(number)) if isinstance(value, tuple) else ""
                yield from _files_of(item, f"{prefix}{name}.{part}{'.' if part else ''}")


def _name_of(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()
