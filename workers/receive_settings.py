"""Settings of the DICOM ports: TLS and limits; part of `workers.settings.Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from dicom_node.receive.limits import ReceiveLimits
from dicom_node.receive.scp import TlsPort
from dicom_node.tls import TlsClient, TlsFiles


class CalledPeer(Protocol):
    """What the settings of each peer say of TLS."""

    @property
    def tls(self) -> bool:
        """Whether it is called over TLS."""

    @property
    def tls_check_host(self) -> bool:
        """Whether its certificate must name the host."""


class ReceiveSettings(BaseSettings):
    """Of the node, but for the certificate, with which workers call destinations too."""

    dicom_plain: bool = Field(
        default=True, description="whether the DICOM port without TLS is open"
    )
    tls_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="DICOM port with TLS, by registration 2762; none if unset",
    )
    tls_certificate_file: Path | None = Field(
        default=None,
        description="PEM file of our certificate and those between it and its authority, for "
        "the TLS port and for peers that ask for it",
    )
    tls_key_file: Path | None = Field(
        default=None, description="PEM file of its private key, without passphrase"
    )
    tls_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities that may vouch for peers"
    )
    tls_require_client_certificate: bool = Field(
        default=True, description="whether callers of the TLS port must show a certificate"
    )
    maximum_associations_per_peer: int = Field(
        default=16, ge=1, le=1000, description="open at once from one address"
    )
    maximum_connections_per_peer: int = Field(
        default=64,
        ge=1,
        le=1000,
        description="TCP connections at once from one address, silent ones included",
    )
    associations_per_minute: int = Field(
        default=0, ge=0, le=60000, description="new ones from one address; 0: any number"
    )
    association_request_timeout_s: float = Field(
        default=10,
        gt=0,
        le=300,
        description="by when a connection has asked for an association, TLS included",
    )
    pdu_timeout_s: float = Field(
        default=60, gt=0, le=3600, description="by when a message's piece that began has come"
    )
    instance_timeout_s: float = Field(
        default=600, gt=0, le=86400, description="by when an instance that began has come"
    )
    maximum_instance_bytes: int = Field(
        default=4_294_967_296,
        ge=1_000_000,
        description="longest data set that is kept; a longer one is answered Out of Resources",
    )
    maximum_presentation_contexts: int = Field(
        default=128, ge=1, le=128, description="that an association may propose"
    )

    @model_validator(mode="after")
    def _dicom_tls_is_whole(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file go together")
        if self.tls_port is not None:
            if self.tls_certificate_file is None:
                raise ValueError("tls_port needs tls_certificate_file and tls_key_file")
            if self.tls_require_client_certificate and self.tls_ca_file is None:
                raise ValueError(
                    "tls_require_client_certificate needs tls_ca_file, who may vouch for callers"
                )
        if self.tls_port is None and not self.dicom_plain:
            raise ValueError("without dicom_plain and without tls_port nobody could call")
        return self

    def tls_listening(self) -> TlsPort | None:
        """The port with TLS, as the SCP takes it."""
        if self.tls_port is None:
            return None
        return TlsPort(port=self.tls_port, files=self.tls_accepting())

    def tls_accepting(self) -> TlsFiles:
        """What a port with TLS shows callers, and whom it asks for their certificate."""
        return TlsFiles(
            certificate=self.tls_certificate_file,
            key=self.tls_key_file,
            authorities=self.tls_ca_file if self.tls_require_client_certificate else None,
        )

    def tls_to(self, peer: CalledPeer) -> TlsClient | None:
        """How we call a peer over TLS; `None` where it is called in clear text."""
        if not peer.tls:
            return None
        files = TlsFiles(
            certificate=self.tls_certificate_file,
            key=self.tls_key_file,
            authorities=self.tls_ca_file,
        )
        return TlsClient(files=files, check_host=peer.tls_check_host)

    def receive_limits(self, maximum_associations: int) -> ReceiveLimits:
        """Limits as the SCP takes them."""
        return ReceiveLimits(
            maximum_associations=maximum_associations,
            maximum_associations_per_peer=self.maximum_associations_per_peer,
            maximum_connections_per_peer=self.maximum_connections_per_peer,
            associations_per_minute=self.associations_per_minute,
            request_timeout_s=self.association_request_timeout_s,
            pdu_timeout_s=self.pdu_timeout_s,
            instance_timeout_s=self.instance_timeout_s,
            maximum_instance_bytes=self.maximum_instance_bytes,
            maximum_contexts=self.maximum_presentation_contexts,
        )


RECEIVING_OF_THE_PROCESS = frozenset(ReceiveSettings.model_fields)
"""All of them: ports and files are those of a host."""
