"""In which dress a report goes to which kind of viewer: a variant is a value.

What is drawn by whom (looked at, or read in the source):

============================  =======  ======  =======  =======  ======
choice                        OHIF     Stone   Weasis   Slicer   AIR
============================  =======  ======  =======  =======  ======
Comprehensive SR (88.33)      yes      yes     yes      yes      subset
Comprehensive 3D SR (88.34)   yes      text    yes      yes      yes
region's image is Source      yes      no      yes      yes      yes
... is Original Source        yes      yes     yes      yes      yes
Cornerstone3DTools prefix     editable, elsewhere only an ugly name
============================  =======  ======  =======  =======  ======

So the default is 88.33 with Original Source and a plain name: everybody draws it; in OHIF axes
and contour are drawn, but become editable measurements only under profile ``ohif``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_node.compose import codes
from dicom_node.errors import ComposeError


@dataclass(frozen=True, slots=True, kw_only=True)
class SrProfile:
    """What differs between destinations; content never does."""

    name: str
    """Part of the instance's identity, see `identity.result_instance_uid`."""
    sop_class_uid: str = str(ComprehensiveSRStorage)
    axes_identifier_prefix: str = ""
    """Put before the Tracking Identifier of the axes, with a colon."""
    source_image_purpose: Code = codes.ORIGINAL_SOURCE
    """Concept name of the image that coordinates are selected from."""
    empty_report_title: Code = codes.ONCOLOGY_MEASUREMENT_REPORT
    """Title where there is no measurement. OHIF opens a 126000 report in its measurement
    viewport, which stays black without a measurement; any other title it shows as text."""


DEFAULT = SrProfile(name="default")
OHIF = SrProfile(name="ohif", axes_identifier_prefix="Cornerstone3DTools@^0.1.0:Bidirectional")
AIR = SrProfile(
    name="air", sop_class_uid=str(Comprehensive3DSRStorage), source_image_purpose=codes.SOURCE
)
PROFILES = {profile.name: profile for profile in (DEFAULT, OHIF, AIR)}


def find_profile(name: str) -> SrProfile:
    """The profile of that name.

    Raises
    ------
    ComposeError
        If there is none.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ComposeError(
            f"no report profile {name!r}; there are {', '.join(sorted(PROFILES))}"
        ) from None
