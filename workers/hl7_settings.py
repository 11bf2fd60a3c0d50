"""Settings of the HL7 port. Part of `workers.settings.Settings`.

All of them are this process's own: they never go to other hosts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from workers.peer_settings import Charset

HL7_PORT = 2575
"""IANA's port for HL7 over MLLP; what `pulmonode hl7` listens on where none is set."""


class Hl7Settings(BaseSettings):
    """``PULMONODE_HL7_*``."""

    hl7_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="HL7 (MLLP) port; 'pulmonode up' listens for HL7 only where it is set; "
        "'pulmonode hl7' takes 2575 if unset; 0 chooses a free one",
    )
    hl7_host: str = Field(
        default="127.0.0.1", min_length=1, description="address that the HL7 port listens on"
    )
    hl7_tls_certificate: Path | None = Field(
        default=None, description="PEM file, our certificate first; TLS when set"
    )
    hl7_tls_key: Path | None = Field(
        default=None, description="PEM file with the certificate's private key"
    )
    hl7_tls_client_ca: Path | None = Field(
        default=None, description="PEM file; only senders with a certificate of these may connect"
    )
    hl7_default_charset: Charset = Field(
        default="UNICODE UTF-8",
        description="character set of messages with an empty MSH-18, by its name in HL7 table 0211",
    )
    hl7_senders: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="who may send, as APPLICATION|FACILITY (MSH-3 and MSH-4), comma separated; "
        "all if empty",
    )
    hl7_processing_ids: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("P",),
        description="MSH-11 that are taken, comma separated: P production, T training, D debugging",
    )
    hl7_maximum_bytes: int = Field(
        default=10_000_000, ge=1000, le=1_000_000_000, description="longest message taken"
    )
    hl7_maximum_connections: int = Field(default=32, ge=1, le=1000, description="open at once")
    hl7_idle_timeout_s: float = Field(
        default=300, gt=0, le=86400, description="silence after which a connection is closed"
    )
    hl7_message_timeout_s: float = Field(
        default=60, gt=0, le=3600, description="by when a message that began is whole"
    )
    hl7_messages_per_s: float = Field(
        default=100, gt=0, le=100_000, description="over all connections; more have to wait"
    )

    @field_validator("hl7_senders", "hl7_processing_ids", mode="before")
    @classmethod
    def _split_hl7(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _hl7_tls_is_whole(self) -> Self:
        if self.hl7_tls_certificate is None and (self.hl7_tls_key or self.hl7_tls_client_ca):
            raise ValueError("hl7_tls_key and hl7_tls_client_ca need hl7_tls_certificate")
        return self
