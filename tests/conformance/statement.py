"""Tables of docs/conformance.md that follow from the code.

``PULMONODE_WRITE_DOCS=1 pytest tests/conformance/test_statement.py`` writes them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pynetdicom
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from dicom_node.compose import codes
from dicom_node.compose.envelope import PATIENT_AND_STUDY_KEYWORDS
from dicom_node.compose.profile import ObjectKind, Profile
from dicom_node.equipment import CODING_SCHEME_DESIGNATOR
from dicom_node.receive.scp import accepted_contexts
from tests.conftest import REPOSITORY

WRITE = os.environ.get("PULMONODE_WRITE_DOCS") == "1"
"""Read at import: tests begin without the service's variables."""
STATEMENT = REPOSITORY / "docs/conformance.md"
BLOCK = re.compile(r"<!-- table: (\S+) -->\n(.*?)<!-- end of table -->", re.DOTALL)
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)
UNNAMED = {
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.1": "Waveform Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "Waveform Acquisition Presentation State Storage",
}
"""Newer than pydicom's dictionary (PS3.6 table A-1)."""
LUNG_RADS_CATEGORIES = ("0", "1", "2", "3", "4A", "4B", "4X")


def toolkit() -> str:
    """The toolkit whose dictionary decides which storage classes there are."""
    return f"pynetdicom {pynetdicom.__version__}"


def name_of(uid: str) -> str:
    """A UID's name in PS3.6."""
    name = UID(uid).name
    return UNNAMED.get(uid, uid) if name == uid else name


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(str(cell) for cell in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def scp_classes() -> str:
    """SOP classes that Storage and Verification SCP accept."""
    rows = [(name_of(uid), f"`{uid}`") for uid, _ in accepted_contexts()]
    return table(("SOP Class", "SOP Class UID"), rows)


def scp_syntaxes() -> str:
    """Transfer syntaxes of the Storage SCP: the same for each class."""
    (syntaxes,) = {syntaxes for uid, syntaxes in accepted_contexts() if uid != "1.2.840.10008.1.1"}
    return table(("Transfer Syntax", "UID"), [(name_of(uid), f"`{uid}`") for uid in syntaxes])


def own_codes() -> str:
    """Every concept of the private coding scheme."""
    found: dict[str, Code] = {}

    def collect(value: object) -> None:
        if isinstance(value, Code):
            found[value.value] = value
        elif isinstance(value, dict):
            for each in value.values():
                collect(each)
        elif isinstance(value, tuple):
            for each in value:
                collect(each)

    for name, value in vars(codes).items():
        if name.isupper():
            collect(value)
    for category in LUNG_RADS_CATEGORIES:
        collect(codes.lung_rads_value(category))
    rows = [
        (f"`{code.value}`", code.meaning)
        for code in found.values()
        if code.scheme_designator == CODING_SCHEME_DESIGNATOR
    ]
    return table(("Code Value", "Code Meaning"), sorted(rows))


def profile_rows(profiles: Mapping[str, Profile]) -> str:
    """What each shipped profile sends."""
    rows = []
    for profile in profiles.values():
        dress = profile.sr
        rows.append(
            (
                f"`{profile.name}`",
                ", ".join(profile.objects),
                UID(dress.sop_class_uid).name.removesuffix(" Storage")
                if ObjectKind.SR in profile.objects
                else "-",
                ", ".join(dress.groups),
                dress.region,
                dress.source_image_purpose.meaning,
                f"`{dress.axes_identifier_prefix}`" if dress.axes_identifier_prefix else "-",
                profile.language,
            )
        )
    return table(
        ("profile", "objects", "SR", "groups", "region", "image of a region", "prefix", "language"),
        sorted(rows),
    )


def attributes(ds: Dataset) -> str:
    """Attributes of an object on the top level, but those that are copied from the CT."""
    rows = [
        (
            dictionary_description(element.tag),
            f"({element.tag.group:04X},{element.tag.element:04X})",
            element.VR,
        )
        for element in ds
        if element.keyword not in PATIENT_AND_STUDY_KEYWORDS
    ]
    return table(("Attribute", "Tag", "VR"), rows)


def blocks(text: str) -> dict[str, str]:
    """The tables that a document marks, by name."""
    return {match[1]: match[2] for match in BLOCK.finditer(text)}


def cells(block: str) -> list[tuple[str, ...]]:
    """Rows of a table without its head."""
    rows = [tuple(cell.strip() for cell in row.split("|")) for row in ROW.findall(block)]
    return rows[2:]


def write(path: Path, tables: Mapping[str, Callable[[], str]]) -> None:
    """Put the tables into a document."""

    def fill(match: re.Match[str]) -> str:
        content = tables[match[1]]() if match[1] in tables else match[2]
        return f"<!-- table: {match[1]} -->\n{content}<!-- end of table -->"

    path.write_text(BLOCK.sub(fill, path.read_text()))
