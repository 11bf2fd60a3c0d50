"""Every bad input ends with its own code and a reason that a person can act on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import EnhancedCTImageStorage, JPEGLSLossless, MRImageStorage

from dicom_node.errors import SeriesRejected, UnreadableInstance
from dicom_node.read.eligibility import judge, load_rules
from dicom_node.read.geometry import check_geometry
from dicom_node.read.header import read_header
from dicom_node.read.series import load_ct_series
from tests.unit.dicom_node.read.ct_builder import build_ct, copied, moved, save_all, uid
from tests.unit.dicom_node.read.test_header import patched

RULES = load_rules()
Series = list[FileDataset]


def refusal(paths: Sequence[Path]) -> tuple[str, str]:
    """Code and reason in the order in which the product asks: rules, geometry, pixels."""
    headers = [read_header(path) for path in paths]
    cut = [header for header in headers if header.truncated]
    if cut:
        return "truncated", cut[0].problems[-1]
    geometry = check_geometry(headers)
    verdict = judge(headers, geometry, RULES)
    if not verdict.eligible:
        return str(verdict.code), verdict.reason
    try:
        load_ct_series(paths)
    except SeriesRejected as error:
        return error.code, error.why
    return "", ""


def each(change: Callable[[FileDataset, int], object]) -> Callable[[Series], Series]:
    def apply(series: Series) -> Series:
        for k, ds in enumerate(series):
            change(ds, k)
        return series

    return apply


def a_second_reconstruction(series: Series) -> Series:
    return series + [moved(copied(ds, "second", AcquisitionNumber=2), z=1.0) for ds in series]


def thin_and_thick_together(series: Series) -> Series:
    thick = [moved(copied(ds, "thick", SliceThickness=4), z=1.1) for ds in series[::3]]
    return series + thick


def cut_codestream(ds: FileDataset, k: int) -> None:
    ds.compress(JPEGLSLossless, generate_instance_uid=False)
    if k == 5:
        frame = ds.PixelData[16 : 16 + 700]
        ds.PixelData = encapsulate([frame])


def only_first(name: str, value: Any) -> Callable[[FileDataset, int], None]:
    return lambda ds, k: setattr(ds, name, value) if k == 0 else None


def all_of(**attributes: Any) -> Callable[[Series], Series]:
    def change(ds: FileDataset, _k: int) -> None:
        for name, value in attributes.items():
            setattr(ds, name, value)
            if name == "SOPClassUID":
                ds.file_meta.MediaStorageSOPClassUID = value

    return each(change)


CASES: dict[str, tuple[dict[str, Any], Callable[[Series], Series], str, str]] = {
    # what is wrong: (how it is built, what is changed, code, words of the reason)
    "not CT": ({}, all_of(Modality="MR", SOPClassUID=MRImageStorage), "not_ct", "modality is MR"),
    "a localizer": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        list,
        "localizer",
        "Image Type ORIGINAL\\PRIMARY\\LOCALIZER",
    ),
    "a localizer among the slices": (
        {},
        each(only_first("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])),
        "localizer",
        "a localizer",
    ),
    "enhanced CT": (
        {"slices": 1, "SOPClassUID": EnhancedCTImageStorage, "NumberOfFrames": 1},
        list,
        "enhanced_ct",
        "route the classic CT series",
    ),
    "a dose report": ({"SeriesDescription": "Dose Report"}, list, "dose_or_screen", "Dose Report"),
    "under 18": ({"PatientAge": "017Y"}, list, "under_age", "17 years old, only adults (18"),
    "almost 18": ({"PatientAge": "215M"}, list, "under_age", "17.9 years"),
    "a QA phantom": ({"StudyDescription": "Weekly QA"}, list, "quality_assurance_procedure", "QA"),
    "a phantom": ({"PatientName": "ACR^Phantom"}, list, "quality_assurance", "(Phantom)"),
    "a MIP": ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, list, "projection", "originals"),
    "a vendor's MIP": (
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]},
        list,
        "projection",
        "CT_SOM5 MIP",
    ),
    "thick slices": ({"spacing_mm": 7.5}, list, "spacing", "every 7.5 mm, limit 5 mm"),
    "very thick slices": ({"SliceThickness": 10}, list, "thickness", "10 mm thick, limit 6 mm"),
    "a head": (
        {"BodyPartExamined": "HEAD", "StudyDescription": "CT", "SeriesDescription": "5.0 H31s"},
        list,
        "other_body_part",
        "body part HEAD",
    ),
    "an abdomen": (
        {"BodyPartExamined": "", "StudyDescription": "CT Abdomen", "SeriesDescription": "5.0"},
        list,
        "other_region_by_description",
        "(Abdomen)",
    ),
    "other units": ({"RescaleType": "OD"}, list, "not_hounsfield", "Rescale Type OD"),
    "a colour picture": (
        {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "BitsAllocated": 8, "Rows": 16},
        list,
        "colour",
        "3 samples per pixel",
    ),
    "two orientations": (
        {},
        each(lambda ds, k: k % 2 and setattr(ds, "ImageOrientationPatient", [1, 0, 0, 0, 0, -1])),
        "mixed_series",
        "orientation",
    ),
    "two matrices": (
        {},
        lambda s: s + build_ct(rows=16, key="b", SeriesInstanceUID=uid("1", "series")),
        "mixed_series",
        "matrix (32, 24) (20), (16, 24) (20)",
    ),
    "two kernels": (
        {},
        each(only_first("ConvolutionKernel", "B70f")),
        "mixed_series",
        "Convolution Kernel B30f (19), B70f (1)",
    ),
    "two frames of reference": (
        {},
        each(only_first("FrameOfReferenceUID", "1.2.3")),
        "mixed_series",
        "Frame of Reference UID",
    ),
    "two series in one folder": (
        {},
        each(only_first("SeriesInstanceUID", "1.2.3")),
        "mixed_series",
        "instances of several series: Series Instance UID",
    ),
    "two interleaved acquisitions": (
        {},
        a_second_reconstruction,
        "mixed_series",
        "acquisitions 1 and 2 overlap by 46.5 mm",
    ),
    "two thicknesses": (
        {"AcquisitionNumber": None},
        thin_and_thick_together,
        "mixed_series",
        "Slice Thickness",
    ),
    "slices shifted sideways": (
        {},
        each(lambda ds, k: k > 9 and moved(ds, x=40.0)),
        "mixed_series",
        "shifted sideways",
    ),
    "missing slices": (
        {},
        lambda s: s[:7] + s[9:],
        "missing_slices",
        "2 slices missing in 1 place: slice gap 7.5 mm at z=45.0 mm, limit 2.6 mm",
    ),
    "a duplicate slice": (
        {},
        lambda s: [*s, copied(s[3], "again")],
        "duplicate_slices",
        "1 of 20 positions hold several images with different UIDs, at z=37.5 mm",
    ),
    "unequal spacing": (
        {},
        each(lambda ds, k: moved(ds, z=0.9 * (k % 2))),
        "unequal_spacing",
        "(1.60 to 3.40 mm): slice gap 1.6 mm at z=68.4 mm, at least 3.3 mm",
    ),
    "spacing that drifts": (
        {"slices": 40},
        each(lambda ds, k: moved(ds, z=0.09 * max(0, k - 20))),
        "unequal_spacing",
        "off an even grid, limit 0.5 mm",
    ),
    "a tilted gantry": (
        {"step": (0.0, 2.5 * float(np.tan(np.radians(12))), 2.5), "GantryDetectorTilt": 12},
        list,
        "gantry_tilt",
        "12.0 degrees off their normal (Gantry/Detector Tilt 12), limit 0.5 degrees",
    ),
    "coronal slices": (
        {"row": (1.0, 0.0, 0.0), "column": (0.0, 0.0, -1.0)},
        list,
        "not_axial",
        "90 degrees off the axial plane",
    ),
    "two phases": (
        {"TemporalPositionIdentifier": 1},
        lambda s: s + [copied(ds, "later", TemporalPositionIdentifier=2) for ds in s],
        "temporal_4d",
        "2 temporal positions at each of 20 positions",
    ),
    "bolus tracking": (
        {"step": (0.0, 0.0, 0.0)},
        list,
        "temporal_4d",
        "20 images at each of 1 position",
    ),
    "too few slices": ({"slices": 9}, list, "too_few_slices", "9 slices, at least 16"),
    "no position": (
        {"ImagePositionPatient": None},
        list,
        "no_geometry",
        "(instance 1) has no usable Image Position (Patient)",
    ),
    "an intercept of 0": ({"RescaleIntercept": 0}, list, "wrong_rescale", "0.0% of the pixels"),
    "a lost intercept": ({"RescaleIntercept": None}, list, "wrong_rescale", "Rescale Slope and"),
    "an intercept twice applied": ({"RescaleIntercept": -2048}, list, "wrong_rescale", "tissue"),
    "a slope of 0": ({"RescaleSlope": 0}, list, "rescale_slope", "Rescale Slope 0, must be"),
    "a cut codestream": ({}, each(cut_codestream), "undecodable", "(instance 6) cannot be decoded"),
    "too few bytes for its matrix": (
        {"rows": 32, "Rows": 64},
        list,
        "truncated",
        "Pixel Data have 1536 bytes, Rows and Columns need 3072",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_series_is_refused_with_its_code_and_reason(name: str, tmp_path: Path) -> None:
    built, change, code, words = CASES[name]

    found, reason = refusal(save_all(change(build_ct(**built)), tmp_path))

    assert (found, words in reason) == (code, True), reason


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"BodyPartExamined": "", "StudyDescription": "", "SeriesDescription": ""},
        {"BodyPartExamined": "ABDOMEN", "StudyDescription": "CT CHEST ABD PELVIS"},
        {"SeriesDescription": "Abdomen 2.5", "StudyDescription": "TORAX Y ABDOMEN"},
        {"SeriesDescription": "Lung 1.0 AIDR 3D"},
        {"SeriesDescription": "Thx corrected sagging"},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
        {"PatientID": "QA12345"},
        {"spacing_mm": 5.0},
        {"spacing_mm": 1.0, "SliceThickness": 2.0},
        {"RescaleType": None},
        {"GantryDetectorTilt": 12},
    ],
    ids=str,
)
def test_what_may_be_a_chest_is_not_refused(attributes: dict[str, Any], tmp_path: Path) -> None:
    assert refusal(save_all(build_ct(**attributes), tmp_path)) == ("", "")


def test_a_file_cut_within_its_header_is_unreadable_wherever_it_is_cut(tmp_path: Path) -> None:
    (path,) = save_all(build_ct(slices=1), tmp_path)
    data = path.read_bytes()
    pixels_at = data.rindex(b"\xe0\x7f\x10\x00")

    for keep in range(0, pixels_at, 7):
        path.write_bytes(data[:keep])
        try:
            header = read_header(path)
        except UnreadableInstance:
            continue
        assert header.truncated, keep  # cut between two elements: only the pixels are missed


def test_a_file_cut_within_its_pixels_is_truncated_wherever_it_is_cut(tmp_path: Path) -> None:
    for name, syntax in (("native", None), ("encapsulated", JPEGLSLossless)):
        (ds,) = build_ct(slices=1)
        if syntax:
            ds.compress(syntax, generate_instance_uid=False)
        (path,) = save_all([ds], tmp_path / name)
        data = path.read_bytes()
        pixels_at = data.rindex(b"\xe0\x7f\x10\x00")

        for keep in range(pixels_at + 12, len(data), 11):
            path.write_bytes(data[:keep])

            assert read_header(path).truncated, (name, keep)


def test_two_files_with_other_pixels_under_one_uid_are_refused(tmp_path: Path) -> None:
    series = build_ct()
    paths = save_all(series, tmp_path / "a")
    series[4].PixelData = bytes(len(series[4].PixelData))
    (other,) = save_all(series[4:5], tmp_path / "b")

    assert len(load_ct_series([*paths, paths[4]]).headers) == 20
    with pytest.raises(SeriesRejected, match="different pixels") as caught:
        load_ct_series([*paths, other])

    assert caught.value.code == "conflicting_instances"


def test_one_image_in_two_series_is_refused(tmp_path: Path) -> None:
    """The same instances under two Series Instance UIDs: neither may silently win."""
    paths = save_all(build_ct(), tmp_path / "a")
    others = save_all(build_ct(SeriesInstanceUID=uid("another")), tmp_path / "b")

    with pytest.raises(SeriesRejected, match="stands in two series") as caught:
        load_ct_series([*paths, *others])

    assert caught.value.code == "mixed_series"


@pytest.mark.parametrize(
    "value", [b"1\\2\\nan", b"inf\\2\\3", b"1\\2\\abc", b"1\\2\\", b"1\\2", b""]
)
@pytest.mark.parametrize("spoiled", [1, 20])
def test_a_position_that_cannot_be_read_is_said_to_be_so(
    tmp_path: Path, value: bytes, spoiled: int
) -> None:
    paths = save_all(build_ct(), tmp_path)
    for path in paths[:spoiled]:
        patched(path, "ImagePositionPatient", value)

    code, why = refusal(paths)

    assert (code, "no usable Image Position (Patient)" in why) == ("no_geometry", True)
    assert ("ImagePositionPatient is malformed" in why) is bool(value)
