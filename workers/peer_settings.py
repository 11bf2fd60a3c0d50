"""The peers that settings name: destinations, and PACS that are asked.

``docs/configuration.md`` lists their fields; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from workers.context.hl7_text import CHARSETS

AE_TITLE_PATTERN = r"^[ -\[\]-~]{1,16}$"
"""AE: default repertoire without backslash, 16 characters (PS3.5 section 6.2)."""
AeTitle = Annotated[str, Field(pattern=AE_TITLE_PATTERN)]
Port = Annotated[int, Field(ge=0, le=65535)]
PROFILE_PATTERN = r"^[a-z][a-z0-9_-]{0,31}$"
HL7_NAME_PATTERN = r"^[^|^~\\&\x00-\x1f]{0,180}$"
"""Of MSH-3 to MSH-6: nothing that would part the field (HL7 v2.9 section 2.14.9)."""


def _known_charset(value: str) -> str:
    if value.upper() not in CHARSETS:
        raise ValueError(f"unknown: one of {', '.join(CHARSETS)}")
    return value.upper()


Charset = Annotated[str, AfterValidator(_known_charset)]
"""A character set of HL7 messages, by its name in table 0211."""


class _Destination(BaseModel):
    """What every destination has, whatever it speaks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="short name in pages and logs")
    host: str = Field(min_length=1, description="host name or address")
    tls: bool = Field(default=False, description="call it over TLS")
    tls_check_host: bool = Field(
        default=True, description="whether its certificate must name the host"
    )
    mode: Literal["normal", "withheld", "shadow"] = Field(
        default="normal",
        description="results go out at once; are withheld until the radiologist's report is "
        "signed; or never leave and are only counted",
    )


class DestinationSettings(_Destination):
    """A PACS that results go to."""

    kind: Literal["dicom"] = Field(default="dicom", description="what it speaks")
    ae_title: AeTitle = Field(description="called AE title")
    port: Port = Field(description="DICOM port")
    profile: str = Field(
        default="default",
        pattern=PROFILE_PATTERN,
        description="which objects it gets, in which dress",
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

    @property
    def peer_name(self) -> str:
        """What it calls itself."""
        return self.ae_title


class Hl7DestinationSettings(_Destination):
    """A RIS, or an interface engine, that results go to as HL7 ORU^R01 (docs/results_out.md)."""

    kind: Literal["hl7"] = Field(description="what it speaks")
    port: Port = Field(description="its MLLP port")
    receiving_application: str = Field(
        default="", pattern=HL7_NAME_PATTERN, description="MSH-5, as it wants to be called"
    )
    receiving_facility: str = Field(default="", pattern=HL7_NAME_PATTERN, description="MSH-6")
    sending_application: str = Field(
        default="PULMONODE", pattern=HL7_NAME_PATTERN, description="MSH-3, who we are"
    )
    sending_facility: str = Field(default="", pattern=HL7_NAME_PATTERN, description="MSH-4")
    processing_id: Literal["P", "T", "D"] = Field(
        default="P", description="MSH-11: production, training, debugging"
    )
    charset: Charset = Field(
        default="UNICODE UTF-8",
        description="MSH-18, by its name in HL7 table 0211; a text that it cannot write stops the "
        "delivery",
    )
    procedure: str = Field(
        default="24627-2^CT Chest^LN",
        pattern=r"^[^|~\\&\x00-\x1f]{1,250}$",
        description="OBR-4 where the CT names no procedure code: CODE^TEXT^SYSTEM",
    )
    profile: str = Field(
        default="default",
        pattern=PROFILE_PATTERN,
        description="of which report the text is, and in which language",
    )
    connect_timeout_s: float = Field(default=10, gt=0, le=300, description="for a connection")
    response_timeout_s: float = Field(
        default=60, gt=0, le=3600, description="for the acknowledgement"
    )
    maximum_associations: int = Field(
        default=1, ge=1, le=32, description="messages under way to it at once"
    )

    @property
    def retraction(self) -> Literal["none"]:
        """A later message takes the place of the earlier one by itself."""
        return "none"

    @property
    def storage_commitment(self) -> bool:
        """The acknowledgement is the proof."""
        return False

    @property
    def peer_name(self) -> str:
        """What it calls itself; our name for it where the settings do not say."""
        return self.receiving_application or self.name


def _kind_of(value: object) -> str:
    """What an entry of the settings speaks; those of before there were two say nothing."""
    if isinstance(value, Mapping):
        return str(value.get("kind", "dicom"))
    return str(getattr(value, "kind", "dicom"))


AnyDestination = Annotated[
    Annotated[DestinationSettings, Tag("dicom")] | Annotated[Hl7DestinationSettings, Tag("hl7")],
    Discriminator(_kind_of),
]


class PacsQuerySettings(BaseModel):
    """The PACS's Query/Retrieve SCP, asked before a series counts as complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(description="called AE title")
    host: str = Field(min_length=1, description="host name or address")
    port: Port = Field(description="DICOM port")
    tls: bool = Field(default=False, description="call it over TLS")
    tls_check_host: bool = Field(
        default=True, description="whether its certificate must name the host"
    )
    timeout_s: float = Field(default=10, gt=0, le=300, description="for association and answer")


class MoveDestinationSettings(BaseModel):
    """What the PACS must know as an application entity, for C-MOVE; a worker listens there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(description="to which the PACS sends")
    port: Port = Field(description="that a worker listens on while it fetches")
    host: str = Field(default="0.0.0.0", min_length=1, description="address to listen on")  # noqa: S104
    tls: bool = Field(
        default=False, description="listen over TLS, with our certificate; as the PACS must call"
    )


class PriorPacsSettings(BaseModel):
    """A PACS that earlier chest CTs are fetched from, with C-FIND and C-GET or C-MOVE."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(description="called AE title")
    host: str = Field(min_length=1, description="host name or address")
    port: Port = Field(description="DICOM port")
    tls: bool = Field(default=False, description="call it over TLS")
    tls_check_host: bool = Field(
        default=True, description="whether its certificate must name the host"
    )
    timeout_s: float = Field(default=10, gt=0, le=300, description="for association and answer")
    limit_s: float = Field(
        default=120, gt=0, le=1800, description="for all that is fetched for one study"
    )
    move_to: MoveDestinationSettings | None = Field(
        default=None, description="fetch with C-MOVE to there, where the PACS offers no C-GET"
    )
