"""Our own check of a report's document level: SOP class, flags, evidence, equipment.

A part of `template_check.check_sr`; the content tree is looked at there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.compose import codes
from dicom_node.compose.content_tree import code_of, items, walk
from dicom_node.compose.profile import NOT_ANALYSED_DESCRIPTION, ObjectKind, Profile


def check_document(ds: Dataset, profile: Profile) -> Iterator[str]:
    """SR Document General (PS3.3 C.17.2), SOP class and series of the profile."""
    if ds.get("SOPClassUID") != profile.sr.sop_class_uid:
        yield f"SOP class {ds.get('SOPClassUID')} is not {UID(profile.sr.sop_class_uid).name}"
    wanted = profile.series_of(ObjectKind.SR)
    found = (ds.get("SeriesNumber"), ds.get("SeriesDescription"))
    unanalysed = (wanted.number, NOT_ANALYSED_DESCRIPTION)
    if found != (wanted.number, wanted.description) and (
        found != unanalysed or ds.get("CompletionFlag") != "PARTIAL"
    ):
        yield f"series {found[0]} {found[1]!r}, {wanted.number} {wanted.description!r} wanted"
    if ds.get("VerificationFlag") != "UNVERIFIED":
        yield f"Verification Flag is {ds.get('VerificationFlag')}, nobody verified it"
    if ds.get("CompletionFlag") not in ("COMPLETE", "PARTIAL"):
        yield f"Completion Flag is {ds.get('CompletionFlag')}"


def check_evidence(ds: Dataset) -> Iterator[str]:
    """PS3.3 C.17.2.3: each reference is listed, and listed once."""
    listed = Counter(
        str(reference.ReferencedSOPInstanceUID)
        for keyword in (
            "CurrentRequestedProcedureEvidenceSequence",
            "PertinentOtherEvidenceSequence",
        )
        for study in ds.get(keyword) or ()
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    )
    if not listed:
        yield "evidence: nothing is listed"
    for uid, count in listed.items():
        if count > 1:
            yield f"evidence: {uid} is listed {count} times"
    referenced = {
        str(reference.ReferencedSOPInstanceUID)
        for item in walk(ds)
        for reference in item.get("ReferencedSOPSequence") or ()
    }
    for uid in sorted(referenced - set(listed)):
        yield f"evidence: {uid} is referred to but not listed"


def check_equipment(ds: Dataset) -> Iterator[str]:
    """IHE AIR 6.5.3.1: the algorithm's equipment, equal to the device observer."""
    processing = [
        item
        for item in ds.get("ContributingEquipmentSequence") or ()
        if code_of(item, "PurposeOfReferenceCodeSequence") == codes.PROCESSING_EQUIPMENT
        and "DeviceUID" in item
    ]
    if not processing:
        yield "Contributing Equipment: no Processing Equipment with a Device UID"
        return
    uids = [str(item.DeviceUID) for item in processing]
    if len(set(uids)) != len(uids):
        yield "Contributing Equipment: two algorithms share a Device UID"
    for item in processing:
        for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions"):
            if not item.get(keyword):
                yield f"Contributing Equipment: {item.DeviceUID} has no {keyword}"
    for concept, keyword in (
        (codes.DEVICE_OBSERVER_UID, "DeviceUID"),
        (codes.DEVICE_OBSERVER_MANUFACTURER, "Manufacturer"),
        (codes.DEVICE_OBSERVER_MODEL_NAME, "ManufacturerModelName"),
    ):
        for observer in items(ds, concept):
            said = str(observer.get("UID") or observer.get("TextValue") or "")
            if said != str(processing[0].get(keyword) or ""):
                yield f"Contributing Equipment: {keyword} differs from the {concept.meaning}"
