"""Settings of the console: pages, HTTP API, sign-in. Part of `workers.settings.Settings`.

All of them are this process's own: they never go to other hosts.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""Host names under which a browser on this machine asks for the console."""


class ConsoleSettings(BaseSettings):
    """``PULMONODE_CONSOLE_*``."""

    console_enabled: bool = Field(
        default=True, description="whether 'pulmonode up' runs the console"
    )
    console_host: str = Field(
        default="127.0.0.1", min_length=1, description="address that the console listens on"
    )
    console_port: int = Field(
        default=8080, ge=0, le=65535, description="port of the console; 0 chooses a free one"
    )
    console_tls_certificate: Path | None = Field(
        default=None, description="PEM file, server certificate first; HTTPS when set"
    )
    console_tls_key: Path | None = Field(
        default=None, description="PEM file with the certificate's private key"
    )
    console_trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="addresses or networks of reverse proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed, comma separated",
    )
    console_root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path under which a reverse proxy offers the console, such as /pulmonode",
    )
    console_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="host names under which browsers and commands may ask for the console, beside "
        "the address it listens on and this machine's own, comma separated",
    )
    console_session_idle_s: float = Field(
        default=1800, ge=60, le=86400, description="silence after which one must sign in again"
    )
    console_session_limit_s: float = Field(
        default=43200, ge=300, le=604800, description="time after which one must sign in again"
    )
    console_sign_in_window_s: float = Field(
        default=900, ge=1, le=86400, description="time over which failed sign-ins are counted"
    )
    console_sign_ins_per_user: int = Field(
        default=8, ge=1, le=1000, description="failed sign-ins of one user before all must wait"
    )
    console_sign_ins_per_address: int = Field(
        default=40, ge=1, le=100000, description="failed sign-ins from one address before it waits"
    )
    console_show_patient: bool = Field(
        default=True,
        description="whether pages show patients' names and IDs to those who signed in",
    )
    console_body_limit_bytes: int = Field(
        default=1_000_000, ge=10_000, description="largest request, uploads apart"
    )
    console_upload_limit_bytes: int = Field(
        default=600_000_000, ge=10_000, description="largest upload of DICOM files to try rules on"
    )

    @field_validator("console_trusted_proxies", "console_allowed_hosts", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("console_trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            ipaddress.ip_network(item)  # ValueError says what is wrong
        return value

    @model_validator(mode="after")
    def _console_is_not_in_clear_text(self) -> Self:
        if (self.console_tls_certificate is None) != (self.console_tls_key is None):
            raise ValueError("console_tls_certificate and console_tls_key belong together")
        guarded = self.console_tls_certificate is not None or self.console_trusted_proxies
        if self.console_enabled and not self.console_is_local and not guarded:
            raise ValueError(
                f"console_host {self.console_host} is not this machine alone, and passwords would "
                "go in clear text: set console_tls_certificate and console_tls_key, or "
                "console_trusted_proxies where a reverse proxy speaks HTTPS"
            )
        return self

    @property
    def console_is_local(self) -> bool:
        """Whether the console listens to this machine alone."""
        if self.console_host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.console_host).is_loopback
        except ValueError:
            return False

    def console_url(self, port: int | None = None) -> str:
        """Address by which people ask for the console, as far as the settings tell.

        Parameters
        ----------
        port : int, optional
            On which it really listens, where the setting says 0.
        """
        names = self.console_allowed_hosts
        if self.console_trusted_proxies and names:
            return f"https://{names[0]}{self.console_root_path}"
        host = self.console_host if self.console_is_local or not names else names[0]
        host = f"[{host}]" if ":" in host else host
        scheme = "https" if self.console_tls_certificate else "http"
        return f"{scheme}://{host}:{port or self.console_port}{self.console_root_path}"
