"""Reading an SR content tree: children, codes, tracking UIDs (PS3.3 C.17.3)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.compose import codes


def items(parent: Dataset, concept: Code | None = None, value_type: str = "") -> list[Dataset]:
    """The direct children of a content item, by concept name and value type."""
    return [
        item
        for item in parent.get("ContentSequence") or ()
        if (concept is None or same_code(concept_of(item), concept))
        and (not value_type or item.get("ValueType") == value_type)
    ]


def concept_of(item: Dataset) -> Code | None:
    """A content item's concept name."""
    return code_of(item, "ConceptNameCodeSequence")


def tracking_uid_of(group: Dataset) -> str:
    """A measurement group's Tracking UID; empty when it has none."""
    found = items(group, codes.TRACKING_UNIQUE_IDENTIFIER, "UIDREF")
    return str(found[0].get("UID") or "") if found else ""


def template_of(item: Dataset) -> str:
    """Template Identifier (0040,DB00) of a container; empty when it has none."""
    sequence = item.get("ContentTemplateSequence")
    return str(sequence[0].get("TemplateIdentifier") or "") if sequence else ""


def code_of(item: Dataset, keyword: str) -> Code | None:
    """The first code of a code sequence."""
    sequence = item.get(keyword)
    if not sequence:
        return None
    first = sequence[0]
    return Code(
        str(first.get("CodeValue") or ""),
        str(first.get("CodingSchemeDesignator") or ""),
        str(first.get("CodeMeaning") or ""),
    )


def same_code(one: Code | None, other: Code | None) -> bool:
    """Whether two codes are one; pydicom's own comparison breaks where there is none."""
    return one is other if one is None or other is None else bool(one == other)


def walk(item: Dataset) -> Iterator[Dataset]:
    """All content items below one, in document order."""
    for child in item.get("ContentSequence") or ():
        yield child
        yield from walk(child)
