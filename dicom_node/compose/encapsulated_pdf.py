"""The one-page report as Encapsulated PDF (PS3.3 A.45.1): any PACS shows it beside the study."""

from __future__ import annotations

from datetime import datetime

from highdicom.base import SOPClass
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.uid import UID, EncapsulatedPDFStorage, ExplicitVRLittleEndian

from dicom_node.compose import codes
from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.envelope import contributing_equipment, seal, translated_errors
from dicom_node.compose.identity import result_instance_uid, result_series_uid
from dicom_node.compose.profile import DEFAULT, ObjectKind, Profile
from dicom_node.compose.secondary_capture import WORKSTATION
from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries

KIND = ObjectKind.PDF
DOCUMENT_TITLE = "Lung nodules, research use, not for diagnosis"
MIME_TYPE = "application/pdf"
PDF_BEGINS = b"%PDF-"
MODALITY = "DOC"
"""Of documents (PS3.3 C.7.3.1.1.1)."""


def compose_pdf(
    series: CtSeries,
    content: ReportContent,
    pdf: bytes,
    *,
    created: datetime,
    profile: Profile = DEFAULT,
) -> ComposedObject:
    """Wrap a page.

    Burned In Annotation is ``YES``: patient and date stand on the page.

    Parameters
    ----------
    series : CtSeries
        The CT that it reports on, all of which is named as its source.
    content : ReportContent
        The same result.
    pdf : bytes
        The document, of an even number of bytes: an odd one would be padded, and not every
        reader takes the padding away (PS3.3 C.24.2, Encapsulated Document Length).
    created : datetime
        Content date and time.
    profile : Profile
        Kind of destination; its language and series are part of the identity.

    Raises
    ------
    ComposeError
        If `pdf` is not a PDF, or of an odd number of bytes.
    """
    if not pdf.startswith(PDF_BEGINS) or len(pdf) % 2:
        raise ComposeError(
            f"{len(pdf)} bytes that begin with {pdf[:8]!r} cannot be encapsulated: wanted a PDF "
            "of an even number of bytes"
        )
    dress = profile.series_of(KIND)
    with translated_errors("page"):
        ds = SOPClass(
            study_instance_uid=series.study_instance_uid,
            series_instance_uid=result_series_uid(
                series.series_instance_uid, KIND, profile.series_variant(KIND)
            ),
            series_number=dress.number,
            sop_instance_uid=result_instance_uid(
                series.series_instance_uid, content.revision, KIND, profile.variant(KIND)
            ),
            sop_class_uid=EncapsulatedPDFStorage,
            instance_number=content.revision,
            modality=MODALITY,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER_MODEL_NAME,
            series_description=dress.description,
        )
        ds.ContributingEquipmentSequence = contributing_equipment(content.algorithm)
        ds.ConversionType = WORKSTATION
        ds.BurnedInAnnotation = "YES"
        ds.AcquisitionDateTime = _acquired(series.headers[0])
        ds.DocumentTitle = DOCUMENT_TITLE
        ds.ConceptNameCodeSequence = [CodedConcept.from_code(codes.IMAGING_MEASUREMENT_REPORT)]
        ds.VerificationFlag = "UNVERIFIED"
        ds.SourceInstanceSequence = [_source(header) for header in series.headers]
        ds.MIMETypeOfEncapsulatedDocument = MIME_TYPE
        ds.EncapsulatedDocument = pdf
        ds.EncapsulatedDocumentLength = len(pdf)
        return seal(ds, series.headers[0], content, created, kind=KIND)


def _acquired(header: Dataset) -> str:
    """When the CT was made (0008,002A), as far as it says so; may be empty here (type 2)."""
    known = str(header.get("AcquisitionDateTime") or "").strip()
    if known:
        return known
    date = str(header.get("AcquisitionDate") or "").strip()
    return date + str(header.get("AcquisitionTime") or "").strip() if date else ""


def _source(header: Dataset) -> Dataset:
    """An instance that the document was made from (Source Instance Sequence, PS3.3 C.24.2)."""
    item = Dataset()
    item.ReferencedSOPClassUID = UID(str(header.SOPClassUID))
    item.ReferencedSOPInstanceUID = UID(str(header.SOPInstanceUID))
    return item
