"""In which dress results go to which kind of destination: a variant is a value, from YAML.

The shipped profiles stand in ``profiles/``; a site adds its own as files of the same form in a
folder. What is drawn by whom (looked at, or read in the viewers' source):

============================  =======  ======  =======  =======  ======
choice                        OHIF     Stone   Weasis   Slicer   AIR
============================  =======  ======  =======  =======  ======
Comprehensive SR (88.33)      yes      yes     yes      yes      subset
Comprehensive 3D SR (88.34)   yes      text    yes      yes      yes
region's image is Source      yes      no      yes      yes      yes
... is Original Source        yes      yes     yes      yes      yes
region is an outline          yes      yes     yes      as line  yes
... is a box, "Bounded by"    yes      yes     yes      as box   yes
Cornerstone3DTools prefix     editable, elsewhere only an ugly name
============================  =======  ======  =======  =======  ======

So ``default`` is 88.33 with Original Source, an outline and a plain name: everybody draws it;
in OHIF axes and outline are drawn, but become editable measurements only under ``ohif``.

What a profile cannot change is what was found. An object's identity follows from everything
in the profile that shapes it (`Profile.variant`), not from the profile's name: two profiles
that ask for the same object share it, and bytes that differ never stand under one UID.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_node.compose import codes
from dicom_node.errors import ComposeError

NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,31}$"
LO_PATTERN = r"^[^\\\x00-\x1f]{1,64}$"
"""LO: 64 characters, no backslash (PS3.5 section 6.2)."""
DEFAULT_NAME = "default"
NOT_ANALYSED_DESCRIPTION = "AI lung nodules: NOT ANALYSED (research use, unverified)"
"""Series Description of a report that nothing could be analysed, in every dress."""
SUFFIX = ".yaml"
VARIANT_LETTERS = 32


class ObjectKind(enum.StrEnum):
    """What a destination may be sent, in the order in which it is sent."""

    SEG = "seg"
    SR = "sr"
    KEY_IMAGES = "key_images"
    PDF = "pdf"


class SeriesDress(BaseModel):
    """Number and description of the series that objects of one kind go to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=1, le=2**31 - 1)
    """Series Number (0020,0011)."""
    description: str = Field(pattern=LO_PATTERN)
    """Series Description (0008,103E)."""


class SeriesDresses(BaseModel):
    """One `SeriesDress` per kind of object."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sr: SeriesDress = SeriesDress(
        number=9001, description="AI lung nodules SR (research use, unverified)"
    )
    seg: SeriesDress = SeriesDress(number=9002, description="AI lung nodules SEG (research use)")
    key_images: SeriesDress = SeriesDress(
        number=9004, description="AI lung nodules images (research use)"
    )
    pdf: SeriesDress = SeriesDress(number=9005, description="AI lung nodules PDF (research use)")


class SrDress(BaseModel):
    """What differs between Structured Reports."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sop_class: Literal["comprehensive", "comprehensive_3d"] = "comprehensive"
    source_image: Literal["original_source", "source"] = "original_source"
    """Concept name of the image that coordinates are selected from (TID 1410 row 7)."""
    axes_identifier_prefix: str = Field(default="", pattern=r"^[^\\\x00-\x1f]{0,64}$")
    """Put before the Tracking Identifier of the axes, with a colon."""
    groups: tuple[Literal["axes", "region", "segment"], ...] = ("axes", "region", "segment")
    """Measurement Groups of each nodule: TID 1501, 1410 and 1411, always in this order."""
    region: Literal["outline", "box"] = "outline"
    """What the TID 1410 group draws: the nodule's outline, or the closed box around it with
    the evaluation Geometric purpose of region: Bounded by (PS3.16 CID 219)."""
    empty_report_title: Literal["oncology", "imaging"] = "oncology"
    """Title where there is no measurement. OHIF opens an Imaging Measurement Report in its
    measurement viewport, which stays black without a measurement; another title it shows as
    text."""

    @field_validator("groups")
    @classmethod
    def _in_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wanted = tuple(name for name in ("axes", "region", "segment") if name in value)
        if value != wanted or "axes" not in value:
            raise ValueError(
                "axes, region, segment: each at most once, in this order, axes always (viewers "
                "take a nodule's name and label from its first group)"
            )
        return value

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID (PS3.4 table B.5-1)."""
        if self.sop_class == "comprehensive_3d":
            return str(Comprehensive3DSRStorage)
        return str(ComprehensiveSRStorage)

    @property
    def source_image_purpose(self) -> Code:
        """The code of `source_image`."""
        return codes.SOURCE if self.source_image == "source" else codes.ORIGINAL_SOURCE

    @property
    def empty_title(self) -> Code:
        """The code of `empty_report_title` (CID 7021)."""
        if self.empty_report_title == "imaging":
            return codes.IMAGING_MEASUREMENT_REPORT
        return codes.ONCOLOGY_MEASUREMENT_REPORT


class Profile(BaseModel):
    """What a destination of one kind is sent, and in which dress."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN)
    about: str = Field(default="", max_length=500)
    """For people: who this is for, and why."""
    language: Literal["en", "zh"] = "en"
    """Of the words in reports and pictures; codes and their meanings are English always."""
    objects: tuple[ObjectKind, ...] = (ObjectKind.SEG, ObjectKind.SR)
    sr: SrDress = SrDress()
    series: SeriesDresses = SeriesDresses()

    @field_validator("objects")
    @classmethod
    def _once_each_in_order(cls, value: tuple[ObjectKind, ...]) -> tuple[ObjectKind, ...]:
        if not value:
            raise ValueError("at least one object, else use the destination's mode shadow")
        return tuple(kind for kind in ObjectKind if kind in value)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if ObjectKind.SR in self.objects and (
            ("segment" in self.sr.groups) != (ObjectKind.SEG in self.objects)
        ):
            raise ValueError(
                "sr.groups holds segment exactly when objects holds seg: a report may not refer "
                "to a segmentation that the destination does not get"
            )
        if not {ObjectKind.SR, ObjectKind.PDF} & set(self.objects):
            raise ValueError(
                "objects holds neither sr nor pdf: of a study without nodules there would be "
                "nothing to send"
            )
        numbers = [self.series_of(kind).number for kind in self.objects]
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"series: two kinds of objects share a number, {numbers}")
        return self

    def series_of(self, kind: ObjectKind) -> SeriesDress:
        """The series that objects of a kind go to."""
        dress: SeriesDress = getattr(self.series, kind)
        return dress

    def series_variant(self, kind: ObjectKind) -> str:
        """Names the series of a kind in its UID: all of one number and description are one."""
        return _digest(self.series_of(kind).model_dump(mode="json"))

    def variant(self, kind: ObjectKind) -> str:
        """Names an object of a kind in its UID: another one for each choice that shapes it."""
        shaped_by: dict[str, Any] = {"series": self.series_of(kind).model_dump(mode="json")}
        if kind is not ObjectKind.SEG:  # whose labels are the same in every language
            shaped_by["language"] = self.language
        if kind is ObjectKind.SR:
            shaped_by["sr"] = self.sr.model_dump(mode="json")
            if ObjectKind.SEG in self.objects:  # the report names the segmentation's UID
                shaped_by["seg"] = self.variant(ObjectKind.SEG)
        return _digest(shaped_by)


DEFAULT = Profile(name=DEFAULT_NAME)
"""What a destination gets that names no profile."""


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:VARIANT_LETTERS]


class InvalidProfile(ComposeError):
    """A profile's file is not YAML, or not of a profile's form; says file and key."""


def load_profiles(folder: Path | None = None) -> Mapping[str, Profile]:
    """The shipped profiles and, over them, those of a site's folder, by name.

    Raises
    ------
    InvalidProfile
        With file, key and what is wrong.
    """
    found = {profile.name: profile for profile in _read_all(files("dicom_node.compose.profiles"))}
    if folder is not None:
        if not folder.is_dir():
            raise InvalidProfile(f"profiles: {folder} is not a folder")
        found |= {profile.name: profile for profile in _read_all(folder)}
    return MappingProxyType(found)


def _read_all(folder: Traversable) -> list[Profile]:
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return [_read(entry) for entry in entries if entry.name.endswith(SUFFIX)]


def _read(entry: Traversable) -> Profile:
    try:
        values = yaml.safe_load(entry.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidProfile(f"profile {entry}: {error}") from error
    if not isinstance(values, dict):
        raise InvalidProfile(f"profile {entry}: keys and values are wanted")
    name = entry.name.removesuffix(SUFFIX)
    if values.setdefault("name", name) != name:
        raise InvalidProfile(f"profile {entry}: name: must be the file's, {name}")
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc']) or 'profile'}: {item['msg']}"
            for item in error.errors()
        ]
        raise InvalidProfile(f"profile {entry}: {'; '.join(lines)}") from error


def shipped_profile(name: str) -> Profile:
    """A profile that came with this version.

    Raises
    ------
    ComposeError
        If there is none of that name.
    """
    return find_profile(load_profiles(), name)


def find_profile(profiles: Mapping[str, Profile], name: str) -> Profile:
    """The profile of that name.

    Raises
    ------
    ComposeError
        If there is none.
    """
    try:
        return profiles[name]
    except KeyError:
        raise ComposeError(
            f"no report profile {name!r}; there are {', '.join(sorted(profiles))}"
        ) from None
