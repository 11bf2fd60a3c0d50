"""The rejection note: a Key Object Selection that takes back earlier objects of ours.

IHE RAD Imaging Object Change Management (Rejection Note Stored, RAD-66): an archive that knows
it hides what the note names; any other one shows the note (TID 2010, PS3.3 A.35.4).
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from highdicom import ko, sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from dicom_node.compose import codes
from dicom_node.compose.content import AlgorithmContent, ComposedObject, ReportContent
from dicom_node.compose.envelope import (
    TYPE_2_KEYWORDS,
    contributing_equipment,
    seal,
    source_headers,
    translated_errors,
)
from dicom_node.compose.identity import result_instance_uid, result_series_uid
from dicom_node.equipment import MANUFACTURER
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries

KIND = "rejection"
REJECTION_SERIES_NUMBER = 9003
"""None that a profile gives its series by default."""
SERIES_DESCRIPTION = "AI lung nodules: earlier results rejected"
DOCUMENT_CLASSES = ("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104.")
"""What SR, Key Object Selection and encapsulated documents begin with (PS3.4 table B.5-1): no
images, so the note names them as COMPOSITE."""


class RejectionReason(enum.Enum):
    """Why, as the note's title (PS3.16 CID 7010)."""

    SUPERSEDED = Code("113001", "DCM", "Rejected for Quality Reasons")
    """A later revision of the same series replaces them. IHE lets an archive show them still."""
    WRONG_PATIENT = Code("113038", "DCM", "Incorrect Modality Worklist Entry")
    """They were made before the patient was corrected. An archive must not show them."""


DESCRIPTIONS = {
    RejectionReason.SUPERSEDED: (
        "Earlier results of the lung nodule analysis of this series. Do not use them: "
        "revision {revision} replaces them."
    ),
    RejectionReason.WRONG_PATIENT: (
        "Results of the lung nodule analysis from before the patient's data were corrected. "
        "Do not use them: revision {revision}, under the corrected patient, replaces them."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedObject:
    """An object that was sent earlier; in the study of the series that it is a result of."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


def compose_rejection_note(
    series: CtSeries,
    content: ReportContent,
    rejected: Sequence[RejectedObject],
    *,
    reason: RejectionReason,
    created: datetime,
) -> ComposedObject:
    """Compose the note.

    Parameters
    ----------
    series : CtSeries
        The CT as it is now: its patient and study are the note's.
    content : ReportContent
        The result that replaces the rejected ones; gives revision and algorithm.
    rejected : sequence of RejectedObject
        What to take back, at least one; named once each, in this order.
    reason : RejectionReason
        Becomes the document title.
    created : datetime
        Content date and time.

    Raises
    ------
    ComposeError
        If nothing is rejected, or the slices have no common Frame of Reference.
    """
    if not rejected:
        raise ComposeError("a rejection note needs at least one object to reject")
    header = source_headers(series)[0]
    with translated_errors("rejection note"):
        stubs = [_stub(header, item) for item in _once_each(rejected)]
        ds = ko.KeyObjectSelectionDocument(
            evidence=stubs,
            content=ko.KeyObjectSelection(
                document_title=reason.value,
                referenced_objects=stubs,
                observer_device_context=_observer(content.algorithm),
                description=DESCRIPTIONS[reason].format(revision=content.revision),
            ),
            series_instance_uid=result_series_uid(series.series_instance_uid, KIND),
            series_number=REJECTION_SERIES_NUMBER,
            sop_instance_uid=result_instance_uid(
                series.series_instance_uid, content.revision, KIND, _variant(rejected)
            ),
            instance_number=content.revision,
            manufacturer=MANUFACTURER,
            contributing_equipment=contributing_equipment(content.algorithm),
            specific_character_set=None,
        )
        ds.SeriesDescription = SERIES_DESCRIPTION
        return replace(seal(ds, series.headers[0], content, created, kind=KIND), profiles=())


def _variant(rejected: Sequence[RejectedObject]) -> str:
    """Tells the notes of one revision apart: destinations may have got different objects."""
    uids = "\n".join(item.sop_instance_uid for item in _once_each(rejected))
    return hashlib.sha256(uids.encode()).hexdigest()


def _once_each(rejected: Sequence[RejectedObject]) -> list[RejectedObject]:
    return list({item.sop_instance_uid: item for item in rejected}.values())


def _stub(header: Dataset, item: RejectedObject) -> Dataset:
    """As much of a rejected object as highdicom looks at; the object itself is not at hand."""
    ds = Dataset()
    for keyword in TYPE_2_KEYWORDS:
        ds[keyword] = header[keyword]
    ds.StudyInstanceUID = UID(str(header.StudyInstanceUID))
    ds.SeriesInstanceUID = UID(item.series_instance_uid)
    ds.SOPClassUID = UID(item.sop_class_uid)
    ds.SOPInstanceUID = UID(item.sop_instance_uid)
    if not item.sop_class_uid.startswith(DOCUMENT_CLASSES):
        ds.Rows, ds.Columns = header.Rows, header.Columns  # makes it an IMAGE, not COMPOSITE
    return ds


def _observer(algorithm: AlgorithmContent) -> sr.ObserverContext:
    """The device that rejects (TID 1004)."""
    return sr.ObserverContext(
        observer_type=sr.CodedConcept.from_code(codes.DEVICE),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=algorithm.device_uid,
            name=algorithm.name,
            manufacturer_name=algorithm.manufacturer,
            model_name=algorithm.model_name,
            serial_number=algorithm.serial_number,
        ),
    )
