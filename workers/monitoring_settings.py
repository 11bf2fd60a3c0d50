"""Settings of figures, notifications and audit messages; part of `workers.settings.Settings`.

Secrets stand in files of their own that only the service's user can read; settings name the files,
so that no page, database or log ever holds a secret.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings


class WebhookSettings(BaseModel):
    """Where alarms are told as JSON over HTTPS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        pattern=r"^https?://[^\s@]+$",
        description="address of the receiver; https, or http on this machine alone; no password in "
        "it",
    )
    secret_file: Path = Field(
        description="file with the secret (16 bytes or more) that signs each message"
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of who may vouch for the receiver; the system's if unset",
    )
    timeout_s: float = Field(default=10, gt=0, le=120, description="for one attempt")

    @model_validator(mode="after")
    def _nothing_in_clear_text(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme != "https" and not is_this_machine(parts.hostname or ""):
            raise ValueError(f"{self.url} goes over the network in clear text: use https")
        return self


class EmailSettings(BaseModel):
    """Where alarms are told by e-mail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, description="SMTP server")
    port: int = Field(default=587, ge=1, le=65535, description="its port")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="STARTTLS, TLS from the start, or none, which is for this machine alone",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of who may vouch for the server; the system's if unset",
    )
    user: str | None = Field(
        default=None, description="name to sign in with; nobody signs in if unset"
    )
    password_file: Path | None = Field(default=None, description="file with its password")
    sender: str = Field(pattern=r"^[^\s@<>]+@[^\s@<>]+$", description="address that it comes from")
    recipients: tuple[str, ...] = Field(min_length=1, description="addresses that it goes to")
    timeout_s: float = Field(default=20, gt=0, le=120, description="for one attempt")

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.security == "none" and not is_this_machine(self.host):
            raise ValueError(f"mail to {self.host} would go in clear text: use starttls or tls")
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together")
        return self


class AuditSettings(BaseModel):
    """The audit record repository that DICOM audit messages go to (PS3.15 A.5 to A.7)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, description="audit record repository")
    port: int = Field(
        default=6514, ge=1, le=65535, description="its port; 6514 for TLS, 514 for UDP"
    )
    transport: Literal["tls", "udp"] = Field(
        default="tls",
        description="syslog over TLS (RFC 5425), or over UDP (RFC 5426), where anybody may read "
        "it and nothing tells a loss",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of who may vouch for the repository; the system's if unset",
    )
    certificate_file: Path | None = Field(
        default=None, description="PEM file of our own certificate, where the repository wants one"
    )
    key_file: Path | None = Field(default=None, description="PEM file of its private key")
    server_name: str | None = Field(
        default=None, description="name in the repository's certificate; its host if unset"
    )
    site: str = Field(default="", max_length=64, description="Audit Enterprise Site ID")

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        return self


class MonitoringSettings(BaseSettings):
    """``PULMONODE_METRICS_*`` and what tells others that something happened."""

    metrics_enabled: bool = Field(
        default=True, description="whether each process serves figures for Prometheus"
    )
    metrics_host: str = Field(
        default="127.0.0.1", min_length=1, description="address that they are served on"
    )
    metrics_port: int = Field(
        default=9750,
        ge=1,
        le=65532,
        description="port of the node's figures; a worker that analyses takes the next one, other "
        "workers the one after it, the console the third",
    )
    heartbeat_s: float = Field(
        default=15,
        ge=0.2,
        le=600,
        description="how often a worker says that it lives; three times that in silence, and it "
        "counts as gone",
    )
    notify_group_s: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="how long alarms are gathered before a message goes out",
    )
    notify_interval_s: float = Field(
        default=300, ge=0, le=86400, description="least time between two messages of one kind"
    )
    webhook: WebhookSettings | None = Field(
        default=None, description="where alarms are told as signed JSON"
    )
    email: EmailSettings | None = Field(default=None, description="where alarms are told by e-mail")
    dicom_audit: AuditSettings | None = Field(
        default=None, description="where DICOM audit messages go; none are made if unset"
    )


MONITORING_OF_THE_PROCESS = frozenset({"metrics_enabled", "metrics_host", "metrics_port"})
"""What each process has for itself; the others are the site's."""


def is_this_machine(host: str) -> bool:
    """Whether a host name or address never leaves this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
