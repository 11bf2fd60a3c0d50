"""Settings of the clinical context, the site's. Part of `workers.settings.Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode


class ContextSettings(BaseSettings):
    """``PULMONODE_CONTEXT_*`` and ``PULMONODE_FHIR_*``."""

    context_enabled: bool = Field(
        default=True,
        description="whether analyses use what HL7 and FHIR said of the patient; the CT's own "
        "header is used always",
    )
    context_issuers: dict[str, str] = Field(
        default_factory=dict,
        description="assigning authorities (PID-3.4, or a FHIR identifier's system) to issuers as "
        "in (0010,0021), JSON; a message of another authority is held back",
    )
    context_default_issuer: str = Field(
        default="",
        max_length=64,
        description="issuer of the patient IDs of a CT or message that names none",
    )
    context_codes: dict[str, str] = Field(
        default_factory=dict,
        description="the site's own codes to items, JSON: CODE or SYSTEM^CODE, such as "
        '{"L^CYFRA": "cyfra_21_1"}',
    )
    context_screening_codes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("71271", "G0297"),
        description="procedure codes (OBR-4) of lung cancer screening, comma separated; only an "
        "order with the CT's accession number counts",
    )
    context_items_file: Path | None = Field(
        default=None,
        description="table of items (YAML): codes, units, limits of age; the packaged one if "
        "unset; the same path on node and workers",
    )
    context_revises: bool = Field(
        default=False,
        description="whether context that comes after a result starts a revision, where it "
        "changes what is known; a PET series of the study too, and the CT taken with it",
    )

    keep_context_days: float = Field(
        default=0,
        ge=0,
        le=36500,
        description="how long what is known of a patient stays after the last message, where no "
        "study of the patient is kept and nothing of it could count for a CT of today; 0: for ever",
    )

    fhir_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="base URL of a FHIR R4 server that is asked for the patient before an analysis",
    )
    fhir_token_file: Path | None = Field(
        default=None, description="file with the bearer token for it, read at each use"
    )
    fhir_ca_file: Path | None = Field(
        default=None, description="PEM file of the CA that vouches for it; the system's if unset"
    )
    fhir_timeout_s: float = Field(default=5, gt=0, le=60, description="for one of its answers")
    fhir_limit_s: float = Field(
        default=20, gt=0, le=300, description="for all that is asked for one analysis"
    )

    @field_validator("context_screening_codes", mode="before")
    @classmethod
    def _split_codes(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
