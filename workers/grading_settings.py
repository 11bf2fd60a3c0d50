"""What a model level may rest on, the site's choice. Part of `workers.settings.Settings`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from inference.known import BESIDE_PIXELS, BY_DEFAULT


class GradingSettings(BaseSettings):
    """``PULMONODE_GRADE_BY``."""

    grade_by: Annotated[tuple[str, ...], NoDecode] = Field(
        default=BY_DEFAULT,
        description="what may count for a model level beside the CT's pixels, comma separated: "
        "ct_report, clinical, serology, pet; one of the last three takes the grader that learned "
        "them from SIMULATED patients",
    )

    @field_validator("grade_by", mode="before")
    @classmethod
    def _split_modalities(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("grade_by")
    @classmethod
    def _known_modalities(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in BESIDE_PIXELS:
                raise ValueError(
                    f"there is no modality {name!r}: any of {', '.join(BESIDE_PIXELS)}"
                )
        return tuple(name for name in BESIDE_PIXELS if name in value)

    @property
    def grade_by_simulated(self) -> tuple[str, ...]:
        """Those of `grade_by` that no shipped weights learned from real readings."""
        return tuple(name for name in self.grade_by if name not in BY_DEFAULT)
