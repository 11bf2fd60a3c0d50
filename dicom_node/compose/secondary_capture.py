"""Key images: pictures for people as single-frame Secondary Capture (PS3.3 A.8.1).

The oldest image object there is, uncompressed and in RGB: every archive and viewer shows it,
which cannot be said of its multi-frame successors. A picture of several planes has no pixel
spacing: nothing can be measured in it but by its scale bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.compose import codes
from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.envelope import (
    contributing_equipment,
    seal,
    to_study_time,
    translated_errors,
)
from dicom_node.compose.identity import result_instance_uid, result_series_uid
from dicom_node.compose.profile import DEFAULT, ObjectKind, Profile
from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries

KIND = ObjectKind.KEY_IMAGES
INSTANCES_PER_REVISION = 1000
"""Instance Number = 1000 x (revision - 1) + nodule: revisions follow each other in the series."""
DERIVATION = "Key image of an automatically found nodule. Research use, not for diagnosis."
WORKSTATION = "WSD"
"""Conversion Type (0008,0064)."""
LOSSY_KEYWORDS = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPicture:
    """A picture of one nodule, with all that is written on it."""

    number: int
    """Of the nodule."""
    rgb: NDArray[np.uint8]
    """Shape (H, W, 3)."""
    slices: tuple[int, int]
    """First and last slice that it shows something of."""


def compose_key_image(
    series: CtSeries,
    content: ReportContent,
    picture: KeyPicture,
    *,
    created: datetime,
    profile: Profile = DEFAULT,
) -> ComposedObject:
    """Compose the key image of a nodule.

    Burned In Annotation is ``NO``: what is written on the picture identifies neither patient
    nor date (PS3.3 C.7.6.1), so that a correction of the patient leaves no old name behind.

    Parameters
    ----------
    series : CtSeries
        The CT that it shows.
    content : ReportContent
        The report in which the nodule stands.
    picture : KeyPicture
        What to show.
    created : datetime
        Content date and time.
    profile : Profile
        Kind of destination; its language and series are part of the identity.

    Raises
    ------
    ComposeError
        If the picture is not 8-bit RGB, shows slices that the series lacks, or is of a nodule
        that the report does not name.
    """
    _check(series, content, picture)
    first, last = picture.slices
    header = series.headers[0]
    local = to_study_time(created, str(header.get("TimezoneOffsetFromUTC") or ""))
    dress = profile.series_of(KIND)
    with translated_errors("key image"):
        ds: Dataset = SCImage(
            pixel_array=picture.rgb,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "P"),
            study_instance_uid=series.study_instance_uid,
            series_instance_uid=result_series_uid(
                series.series_instance_uid, KIND, profile.series_variant(KIND)
            ),
            series_number=dress.number,
            sop_instance_uid=result_instance_uid(
                series.series_instance_uid,
                content.revision,
                KIND,
                f"{profile.variant(KIND)} nodule {picture.number}",
            ),
            instance_number=INSTANCES_PER_REVISION * (content.revision - 1) + picture.number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER_MODEL_NAME,
            series_description=dress.description,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            contributing_equipment=contributing_equipment(content.algorithm),
        )
        ds.PatientOrientation = None  # several planes: none that holds for all of it
        ds.BodyPartExamined = "CHEST"  # which is no paired structure: no Laterality is due
        ds.ConversionType = WORKSTATION
        ds.DateOfSecondaryCapture = local.strftime("%Y%m%d")
        ds.TimeOfSecondaryCapture = local.strftime("%H%M%S.%f")
        ds.BurnedInAnnotation = "NO"
        ds.ImageComments = f"Nodule {picture.number}. Research use, not for diagnosis."
        ds.DerivationDescription = DERIVATION
        ds.DerivationCodeSequence = [CodedConcept.from_code(codes.MULTIPLANAR_REFORMATTING)]
        ds.SourceImageSequence = [_source(series.headers[k]) for k in range(first, last + 1)]
        _tell_of_lossy_sources(ds, header)
        return seal(ds, header, content, created, kind=KIND)


def _check(series: CtSeries, content: ReportContent, picture: KeyPicture) -> None:
    if picture.rgb.dtype != np.uint8 or picture.rgb.ndim != 3 or picture.rgb.shape[-1] != 3:
        raise ComposeError(
            f"nodule {picture.number}: picture of {picture.rgb.dtype} and shape "
            f"{picture.rgb.shape}, wanted uint8 (H, W, 3)"
        )
    first, last = picture.slices
    if not 0 <= first <= last < len(series.headers):
        raise ComposeError(
            f"nodule {picture.number}: picture of slices {first} to {last}, the series has "
            f"{len(series.headers)}"
        )
    if picture.number not in {nodule.number for nodule in content.nodules}:
        raise ComposeError(f"picture of nodule {picture.number}, which the report does not name")


def _source(header: Dataset) -> Dataset:
    """An image that was used (Source Image Sequence, PS3.3 C.12.4)."""
    item = Dataset()
    item.ReferencedSOPClassUID = UID(str(header.SOPClassUID))
    item.ReferencedSOPInstanceUID = UID(str(header.SOPInstanceUID))
    item.PurposeOfReferenceCodeSequence = [
        CodedConcept.from_code(codes.SOURCE_IMAGE_FOR_PROCESSING)
    ]
    return item


def _tell_of_lossy_sources(ds: Dataset, source: Dataset) -> None:
    """Once lossy, always lossy: what was lost does not come back (PS3.3 C.7.6.1.1.5)."""
    lossy = str(source.get("LossyImageCompression") or "00")
    ds.LossyImageCompression = lossy
    for keyword in LOSSY_KEYWORDS if lossy == "01" else ():
        if keyword in source:
            ds[keyword] = source[keyword]
