"""A job's result as the viewer needs it: the order of slices, outlines, nodules; no pixels.

Slices are named by SOP Instance UID between findings, Segmentation and CT, so that images that came
after the analysis shift nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from dicom_node.errors import UnreadableInstance
from dicom_node.read.geometry import check_geometry
from dicom_node.read.header import InstanceHeader
from dicom_node.read.segmentation import StoredSegmentation, read_segmentation
from workers.application import Application
from workers.errors import NoResult
from workers.state.jobs import find_job
from workers.state.schema import Instance, Notice, Result, ResultObject
from workers.state.store import get_content
from workers.viewer.outlines import Outline, outline_of

CT = "CT"
LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))
"""Towards + and - of the LPS axes (PS3.3 C.7.6.1.1.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSlice:
    """One slice: its identity, its key in the object store, its place along the patient, LPS mm."""

    sop_instance_uid: str
    key: str
    z_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A result and the CT that it is about.

    Attributes
    ----------
    job_id, revision : int
    findings : mapping
        ``findings.json``.
    slices : tuple of ViewSlice
        From feet to head; empty where the CT is not kept any more.
    rows, columns : int
    pixel_spacing_mm : tuple of float
        Between rows, between columns.
    letters : tuple of str
        What the left, right, top and bottom edges point to.
    outlines : mapping
        Number of a nodule -> number of a slice -> outline.
    """

    job_id: int
    revision: int
    findings: Mapping[str, Any]
    slices: tuple[ViewSlice, ...]
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float]
    letters: tuple[str, str, str, str]
    outlines: Mapping[int, Mapping[int, Outline]]

    @property
    def nodules(self) -> list[dict[str, Any]]:
        """The findings' nodules, each with ``slice``: the number of its key slice, or `None`."""
        index = {item.sop_instance_uid: k for k, item in enumerate(self.slices)}
        return [
            {**nodule, "slice": index.get(nodule["key_slice"]["sop_instance_uid"])}
            for nodule in self.findings.get("nodules", ())
        ]


def view_case(app: Application, wanted: str) -> CaseView:
    """Gather a result for the viewer.

    Parameters
    ----------
    wanted : str
        Number or Series Instance UID of a job.

    Raises
    ------
    NoSuchJob, NoResult
        If there is no such job, or nothing of it was analysed.
    StoreUnavailable, ObjectMissing, ObjectChanged
        If its findings or its Segmentation cannot be read.
    """
    with app.database.read() as session:
        job = find_job(session, wanted)
        result = session.get(Result, job.id)
        if result is None or session.get(Notice, job.id) is not None:
            raise NoResult(job.id, job.state)
        instances = session.execute(
            select(Instance.header, Instance.path).where(Instance.series_uid == job.series_uid)
        ).all()
        segmentation = session.scalars(
            select(ResultObject)
            .where(ResultObject.job_id == job.id, ResultObject.kind == "seg")
            .order_by(ResultObject.sop_uid)
            .limit(1)
        ).first()
    findings = json.loads(get_content(app.store, result.findings_path, result.findings_sha256))
    keys = {header["sop_instance_uid"]: path for header, path in instances}
    headers = [InstanceHeader.from_json(header) for header, _ in instances]
    ordered = _in_order([header for header in headers if header.modality == CT])
    return CaseView(
        job_id=job.id,
        revision=job.revision,
        findings=findings,
        slices=tuple(
            ViewSlice(
                sop_instance_uid=header.sop_instance_uid,
                key=keys[header.sop_instance_uid],
                z_mm=(header.image_position_lps_mm or (0.0, 0.0, 0.0))[2],
            )
            for header in ordered
        ),
        rows=ordered[0].rows or 0 if ordered else 0,
        columns=ordered[0].columns or 0 if ordered else 0,
        pixel_spacing_mm=_spacing(ordered),
        letters=_letters(ordered),
        outlines=_outlines(app, segmentation, findings, ordered),
    )


def _in_order(headers: Sequence[InstanceHeader]) -> list[InstanceHeader]:
    """By the geometry, or by place along the patient where there is no grid."""
    if not headers:
        return []
    by_uid = {header.sop_instance_uid: header for header in headers}
    uids = check_geometry(headers).sop_instance_uids
    if len(uids) == len(headers):
        ordered = [by_uid[uid] for uid in uids]
    else:
        ordered = sorted(headers, key=lambda item: (item.image_position_lps_mm or (0, 0, 0))[2])
    first, last = (item.image_position_lps_mm or (0, 0, 0) for item in (ordered[0], ordered[-1]))
    return ordered if last[2] >= first[2] else ordered[::-1]


def _spacing(ordered: Sequence[InstanceHeader]) -> tuple[float, float]:
    spacing = ordered[0].pixel_spacing_mm if ordered else None
    return (spacing[0], spacing[1]) if spacing and len(spacing) == 2 else (1.0, 1.0)


def _letters(ordered: Sequence[InstanceHeader]) -> tuple[str, str, str, str]:
    """Of the axis that each edge points to most."""
    cosines = ordered[0].image_orientation if ordered else None
    if cosines is None or len(cosines) != 6:
        return ("", "", "", "")
    right, down = np.array(cosines[:3]), np.array(cosines[3:])
    return (_letter(-right), _letter(right), _letter(-down), _letter(down))


def _letter(direction: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return LETTERS[axis][0 if direction[axis] > 0 else 1]


def _outlines(
    app: Application,
    stored: ResultObject | None,
    findings: Mapping[str, Any],
    ordered: Sequence[InstanceHeader],
) -> dict[int, dict[int, Outline]]:
    """By nodule and slice; empty where no profile in use has a Segmentation."""
    if stored is None:
        return {}
    get_content(app.store, stored.path, stored.sha256)  # is what was committed
    with tempfile.TemporaryDirectory(prefix="pulmonode-seg-") as scratch:
        (path,) = app.store.local_files([stored.path], Path(scratch))
        try:
            segmentation = read_segmentation(path)
        except UnreadableInstance:
            return {}
    return _by_nodule(segmentation, findings, ordered)


def _by_nodule(
    segmentation: StoredSegmentation,
    findings: Mapping[str, Any],
    ordered: Sequence[InstanceHeader],
) -> dict[int, dict[int, Outline]]:
    numbers = {nodule["tracking_uid"]: nodule["id"] for nodule in findings.get("nodules", ())}
    index = {header.sop_instance_uid: k for k, header in enumerate(ordered)}
    return {
        numbers[segment.tracking_uid]: {
            index[frame.source_uid]: outline_of(frame.mask)
            for frame in segment.frames
            if frame.source_uid in index and frame.mask.any()
        }
        for segment in segmentation.segments
        if segment.tracking_uid in numbers
    }
