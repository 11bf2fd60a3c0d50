"""The peers that settings name: destinations, and PACS that are asked.

``docs/configuration.md`` lists their fields; a test compares the two.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

AE_TITLE_PATTERN = r"^[ -\[\]-~]{1,16}$"
"""AE: default repertoire without backslash, 16 characters (PS3.5 section 6.2)."""
AeTitle = Annotated[str, Field(pattern=AE_TITLE_PATTERN)]
Port = Annotated[int, Field(ge=0, le=65535)]


class DestinationSettings(BaseModel):
    """A PACS that results go to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="short name in pages and logs")
    ae_title: AeTitle = Field(description="called AE title")
    host: str = Field(min_length=1, description="host name or address")
    port: Port = Field(description="DICOM port")
    tls: bool = Field(default=False, description="call it over TLS")
    tls_check_host: bool = Field(
        default=True, description="whether its certificate must name the host"
    )
    profile: str = Field(
        default="default",
        pattern=r"^[a-z][a-z0-9_-]{0,31}$",
        description="which objects it gets, in which dress",
    )
    mode: Literal["normal", "withheld", "shadow"] = Field(
        default="normal",
        description="results go out at once; are withheld until the radiologist's report is "
        "signed; or never leave and are only counted",
    )
    storage_commitment: bool = Field(
        default=True, description="ask for proof with storage commitment"
    )
    connect_timeout_s: float = Field(default=10, gt=0, le=300, description="for an association")
    response_timeout_s: float = Field(default=60, gt=0, le=3600, description="for one answer")
    maximum_associations: int = Field(
        default=2, ge=1, le=32, description="results under way to it at once"
    )
    retraction: Literal["none", "rejection_note"] = Field(
        default="none",
        description="how superseded results are taken back: not at all, or by an IHE IOCM "
        "rejection note (Key Object Selection)",
    )


class PacsQuerySettings(BaseModel):
    """The PACS's Query/Retrieve SCP, asked before a series counts as complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(description="called AE title")
    host: str = Field(min_length=1, description="host name or address")
    port: Port = Field(description="DICOM port")
    timeout_s: float = Field(default=10, gt=0, le=300, description="for association and answer")


class MoveDestinationSettings(BaseModel):
    """What the PACS must know as an application entity, for C-MOVE; a worker listens there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(description="to which the PACS sends")
    port: Port = Field(description="that a worker listens on while it fetches")
    host: str = Field(default="0.0.0.0", min_length=1, description="address to listen on")  # noqa: S104


class PriorPacsSettings(BaseModel):
    """A PACS that earlier chest CTs are fetched from, with C-FIND and C-GET or C-MOVE."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(description="called AE title")
    host: str = Field(min_length=1, description="host name or address")
    port: Port = Field(description="DICOM port")
    timeout_s: float = Field(default=10, gt=0, le=300, description="for association and answer")
    limit_s: float = Field(
        default=120, gt=0, le=1800, description="for all that is fetched for one study"
    )
    move_to: MoveDestinationSettings | None = Field(
        default=None, description="fetch with C-MOVE to there, where the PACS offers no C-GET"
    )
