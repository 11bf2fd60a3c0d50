"""What other people's software says of our objects; each returns the errors, none is good.

Reused by the end-to-end tests: give them the files that came out of the service.
"""

from __future__ import annotations

import re
import subprocess
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.conftest import need_program

MISSING_REFERENCE = re.compile(r"Missing SOPInstanceUID that was referenced - (\S+)")


def dciodvfy(path: Path) -> list[str]:
    """Errors that dicom3tools finds in one instance (warnings are left out)."""
    done = _run(need_program("dciodvfy"), str(path))
    errors = _errors(done)
    if done.returncode != 0 and not errors:
        errors = [f"dciodvfy ended with {done.returncode}: {_said(done)[-500:]}"]
    return errors


def dcentvfy(paths: Iterable[Path]) -> list[str]:
    """Errors that dicom3tools finds across the instances of a study."""
    done = _run(need_program("dcentvfy"), *(str(path) for path in paths))
    errors = _errors(done)
    if done.returncode != 0 and not errors:
        errors = [f"dcentvfy ended with {done.returncode}: {_said(done)[-500:]}"]
    return errors


def dcentvfy_beside(ct: Iterable[Path], ours: Iterable[Path]) -> list[str]:
    """Errors across CT and results that the CT alone does not have.

    Archives take a series out of its study: it names localizers and worklist entries that are
    not there. What we add must name nothing else that is missing.
    """
    ct = list(ct)
    known = {match[1] for error in dcentvfy(ct) if (match := MISSING_REFERENCE.search(error))}
    return [
        error
        for error in dcentvfy([*ct, *ours])
        if not ((match := MISSING_REFERENCE.search(error)) and match[1] in known)
    ]


def dsrdump(path: Path) -> list[str]:
    """What DCMTK finds wrong with a report's content tree."""
    done = _run(need_program("dsrdump"), str(path))
    complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))]
    if done.returncode != 0 and not complaints:
        complaints = [f"dsrdump ended with {done.returncode}: {_said(done)[-500:]}"]
    return complaints


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """A nodule as highdicom reads it from a report and its segmentation."""

    tracking_uid: str
    mask: NDArray[np.bool_]
    """On the grid of the series, (D, H, W)."""
    axes_scoord: dict[str, NDArray[np.float32]]
    """End points (column, row) from the corner, by the measurement's meaning."""
    contour_scoord: NDArray[np.float32]
    values: dict[str, float]
    """Of the volumetric group, by the measurement's meaning."""


def read_back(sr_path: Path, seg_path: Path, sop_instance_uids: list[str]) -> list[ReadBack]:
    """Nodules by Tracking UID; `sop_instance_uids` are the CT's, in slice order."""
    with warnings.catch_warnings():
        # highdicom advises on names without caret, which are the patient's.
        warnings.filterwarnings("ignore", message="The string .* is unlikely to represent")
        report = highdicom.sr.srread(str(sr_path))
        seg = highdicom.seg.segread(str(seg_path))
    if not isinstance(report.content, highdicom.sr.MeasurementReport):
        raise AssertionError(f"{sr_path} is read as {type(report.content).__name__}")
    nodules = []
    for number in seg.segment_numbers:
        uid = str(seg.get_segment_description(number).tracking_uid)
        (axes,) = report.content.get_image_measurement_groups(tracking_uid=uid)
        (contour,) = report.content.get_planar_roi_measurement_groups(tracking_uid=uid)
        (volume,) = report.content.get_volumetric_roi_measurement_groups(tracking_uid=uid)
        (reference,) = volume.referenced_segment[0].ReferencedSOPSequence
        if int(reference.ReferencedSegmentNumber) != number:
            raise AssertionError(f"group of {uid} names another segment than {number}")
        mask = seg.get_pixels_by_source_instance(
            source_sop_instance_uids=sop_instance_uids,
            segment_numbers=[number],
            assert_missing_frames_are_empty=True,
        )[..., 0]
        nodules.append(
            ReadBack(
                tracking_uid=uid,
                mask=mask.astype(bool),
                axes_scoord={each.name.meaning: _line_of(each) for each in axes.get_measurements()},
                contour_scoord=contour.roi.value,
                values={each.name.meaning: float(each.value) for each in volume.get_measurements()},
            )
        )
    return nodules


def _line_of(measurement: Dataset) -> NDArray[np.float32]:
    (line,) = measurement.referenced_coordinates
    return np.asarray(line.value)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def _errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in _said(done).splitlines() if line.startswith("Error")]
