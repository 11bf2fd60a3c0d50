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
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
ORIGINAL_SOURCE = Code("111040", "DCM", "Original Source")
SOURCE = Code("260753009", "SCT", "Source")
SOURCE_IMAGE_FOR_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")
MULTIPLANAR_REFORMATTING = Code("113072", "DCM", "Multiplanar reformatting")
SOURCE_SERIES_FOR_SEGMENTATION = Code("121232", "DCM", "Source series for segmentation")

IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
ONCOLOGY_MEASUREMENT_REPORT = Code("126001", "DCM", "Oncology Measurement Report")
"""CID 7021; which title when, and why: `profile`."""
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
LANGUAGES = {
    "en": Code("en-US", "RFC5646", "English (United States)"),
    "zh": Code("zh-CN", "RFC5646", "Chinese (China)"),
}
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure Reported")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_OBSERVER_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL_NAME = Code("121015", "DCM", "Device Observer Model Name")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UNIQUE_IDENTIFIER = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING = Code("121071", "DCM", "Finding")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
GEOMETRIC_PURPOSE = Code("130400", "DCM", "Geometric purpose of region")
BOUNDED_BY = Code("75958009", "SCT", "Bounded by")
"""CID 219."""
REFERENCED_SEGMENT = Code("121191", "DCM", "Referenced Segment")

LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
"""OHIF draws the two axes as one measurement only under exactly these meanings."""
DIAMETER = Code("81827009", "SCT", "Diameter")
VOLUME = Code("118565006", "SCT", "Volume")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")

MILLIMETRE = Code("mm", "UCUM", "mm")
CUBIC_MILLIMETRE = Code("mm3", "UCUM", "mm3")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
NO_UNITS = Code("1", "UCUM", "no units")
DAY = Code("d", "UCUM", "day")
PERCENT = Code("%", "UCUM", "Percent")

COMMENT = Code("121106", "DCM", "Comment")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")

LUNG = Code("39607008", "SCT", "Lung")
SITES = {
    "right": Code("3341006", "SCT", "Right lung"),
    "left": Code("44029006", "SCT", "Left lung"),
    "right upper lobe": Code("42400003", "SCT", "Upper lobe of right lung"),
    "right middle lobe": Code("72481006", "SCT", "Middle lobe of right lung"),
    "right lower lobe": Code("266005", "SCT", "Lower lobe of right lung"),
    "left upper lobe": Code("44714003", "SCT", "Upper lobe of left lung"),
    "left lower lobe": Code("41224006", "SCT", "Lower lobe of left lung"),
}

SOLID_PART_DIAMETER = Code("SOLID_DIAMETER", OWN, "Mean diameter of solid part")
SOLID_PART_VOLUME = Code("SOLID_VOLUME", OWN, "Volume of solid part")
MAXIMUM_3D_DIAMETER = Code("MAX_3D_DIAMETER", OWN, "Maximum 3D diameter")
"""Not IBSI L0JK, whose diameter is of a mesh, nor SCT Diameter with a Maximum, which reads
like the long axis."""
BROCK_RISK = Code("BROCK_RISK", OWN, "Brock model risk of cancer")
"""Not DCM 111047 Probability of cancer: a published score of inputs, not our finding."""
MAYO_RISK = Code("MAYO_RISK", OWN, "Mayo model risk of malignancy")
ATTRIBUTES = {
    name: Code(f"RATE_{name.upper()}", OWN, f"Predicted reader rating of {name}")
    for name in ("subtlety", "sphericity", "margin", "lobulation", "spiculation", "texture")
}
"""Those of LIDC's scales that are ordered from 1 to 5; the other two number kinds."""
MODEL_LEVEL = Code("MODEL_LEVEL", OWN, "Model level, learned from reader opinion")
"""Not a Lung-RADS category, and named so that it cannot be taken for one."""
MODEL_LEVELS = {
    "I": Code("MODEL_LEVEL_I", OWN, "Model level I (patent grade 1-2)"),
    "II": Code("MODEL_LEVEL_II", OWN, "Model level II (patent grade 3)"),
    "III": Code("MODEL_LEVEL_III", OWN, "Model level III (patent grade 4A)"),
    "IV": Code("MODEL_LEVEL_IV", OWN, "Model level IV (patent grade 4B-4X)"),
}
MODEL_PROBABILITIES = tuple(
    Code(f"MODEL_PROB_{level}", OWN, f"Model probability of level {level}")
    for level in MODEL_LEVELS
)
MODEL_SUSPICION = Code("MODEL_SUSPICION", OWN, "Model suspicion by reader opinion")
"""Not DCM 111047 Probability of cancer: readers' opinion was the truth, not histology."""
DETECTION_PROBABILITY = Code("DETECTION_SCORE", OWN, "Detection score")
NODULE_TYPE = Code("NODULE_TYPE", OWN, "Nodule type")
NODULE_TYPES = {
    "solid": Code("SOLID", OWN, "Solid"),
    "part-solid": Code("PART_SOLID", OWN, "Part-solid"),
    "ground-glass": Code("GROUND_GLASS", OWN, "Ground-glass"),
    "calcified": Code("CALCIFIED", OWN, "Calcified"),
}
CHANGE_SINCE_PRIOR = Code("CHANGE", OWN, "Change since earlier examination")
CHANGES = {
    "new": Code("NEW", OWN, "New"),
    "grown": Code("GROWN", OWN, "Larger"),
    "stable": Code("STABLE", OWN, "Stable"),
    "shrunk": Code("SHRUNK", OWN, "Smaller"),
}
VOLUME_CHANGE = Code("VOLUME_CHANGE", OWN, "Volume change since earlier examination")
DIAMETER_CHANGE = Code("DIAMETER_CHANGE", OWN, "Mean diameter change since earlier examination")
SUV = Code("126401", "DCM", "SUVbw")
SUL = Code("126402", "DCM", "SUVlbm")
SUV_UNIT = Code("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight")
SUL_UNIT = Code("{SUVlbm}g/ml", "UCUM", "Standardized Uptake Value lean body mass")
MAXIMUM = Code("56851009", "SCT", "Maximum")
PEAK = Code("126031", "DCM", "Peak Value Within ROI")
METABOLIC_VOLUME = Code("METABOLIC_VOLUME", OWN, "Metabolic volume, from 41 % of SUVmax")
GLYCOLYSIS = Code("126033", "DCM", "Total Lesion Glycolysis")
GRAM = Code("g", "UCUM", "gram")
VOLUME_DOUBLING_TIME = Code("DOUBLING_TIME", OWN, "Volume doubling time")
LUNG_RADS = Code("LUNG_RADS_2022", OWN, "Lung-RADS v2022 category")


def lung_rads_value(category: str) -> Code:
    """The code of a Lung-RADS v2022 category (``2``, ``4A`` ...)."""
    return Code(f"LUNG_RADS_{category}", OWN, f"Lung-RADS {category}")
