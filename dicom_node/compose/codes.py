"""Every coded concept that our objects use, in one place.

Standard codes where one says exactly what is meant; else our own scheme, declared in
Coding Scheme Identification so that a reader can tell whose it is.
"""

from __future__ import annotations

from pydicom.sr.coding import Code

from dicom_node.equipment import CODING_SCHEME_DESIGNATOR as OWN

NODULE = Code("27925004", "SCT", "Nodule")
CT_OF_CHEST = Code("169069000", "SCT", "CT of chest")
MORPHOLOGICALLY_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
ARTIFICIAL_INTELLIGENCE = Code("123109", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
ORIGINAL_SOURCE = Code("111040", "DCM", "Original Source")

LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
"""OHIF draws the two axes as one measurement only under exactly these meanings."""
DIAMETER = Code("81827009", "SCT", "Diameter")
VOLUME = Code("118565006", "SCT", "Volume")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")
MAXIMUM = Code("56851009", "SCT", "Maximum")

MILLIMETRE = Code("mm", "UCUM", "mm")
CUBIC_MILLIMETRE = Code("mm3", "UCUM", "mm3")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
NO_UNITS = Code("1", "UCUM", "no units")

COMMENT = Code("121106", "DCM", "Comment")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")

LUNG = Code("39607008", "SCT", "Lung")
SITES = {
    "right": Code("3341006", "SCT", "Right lung"),
    "left": Code("44029006", "SCT", "Left lung"),
    "right upper lobe": Code("42400003", "SCT", "Upper lobe of right lung"),
    "right middle lobe": Code("72481006", "SCT", "Middle lobe of right lung"),
    "right lower lobe": Code("266005", "SCT", "Lower lobe of right lung"),
    "left upper lobe": Code("45653009", "SCT", "Upper lobe of left lung"),
    "left lower lobe": Code("41224006", "SCT", "Lower lobe of left lung"),
}

SOLID_PART_DIAMETER = Code("SOLID_DIAMETER", OWN, "Mean diameter of solid part")
SOLID_PART_VOLUME = Code("SOLID_VOLUME", OWN, "Volume of solid part")
DETECTION_PROBABILITY = Code("DETECTION_SCORE", OWN, "Detection score")
NODULE_TYPE = Code("NODULE_TYPE", OWN, "Nodule type")
NODULE_TYPES = {
    "solid": Code("SOLID", OWN, "Solid"),
    "part-solid": Code("PART_SOLID", OWN, "Part-solid"),
    "ground-glass": Code("GROUND_GLASS", OWN, "Ground-glass"),
    "calcified": Code("CALCIFIED", OWN, "Calcified"),
}
LUNG_RADS = Code("LUNG_RADS_2022", OWN, "Lung-RADS v2022 category")


def lung_rads_value(category: str) -> Code:
    """The code of a Lung-RADS v2022 category (``2``, ``4A`` ...)."""
    return Code(f"LUNG_RADS_{category}", OWN, f"Lung-RADS {category}")
