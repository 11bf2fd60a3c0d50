"""A radiologist's answer over a real association into the running service, and out again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.uid import generate_uid

from tests.integration.bad_series import save
from tests.integration.service import Service, wait_for
from tests.unit.workers.answers.cases import drop, set_uid, verified, written_by
from workers.phantom import write_phantom
from workers.state.schema import JobState


def test_answers_that_are_stored_to_us_are_shown_and_start_nothing(
    make_service: Callable[..., Service], tmp_path: Path
) -> None:
    service = make_service()
    write_phantom(
        tmp_path / "ct", seed=3, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4,
        nodules=["solid:20", "solid:14"],
    )  # fmt: skip
    paths = sorted((tmp_path / "ct").glob("*.dcm"))
    service.send(paths)
    series_uid = str(dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)
    job = service.wait_for_job(series_uid, limit_s=180, states={JobState.ANALYSED})
    (report,) = (
        dcmread(service.data / "store" / item["path"])
        for item in job["objects"]
        if item["kind"].startswith("sr")
    )
    signed = verified(report, at="20260302080000")
    set_uid(signed, generate_uid())
    edited = copy.deepcopy(report)
    set_uid(edited, generate_uid())
    edited.Manufacturer = edited.ManufacturerModelName = "Unspecified"
    edited.PredecessorDocumentsSequence = copy.deepcopy(
        report.CurrentRequestedProcedureEvidenceSequence
    )
    (series, *_) = edited.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    series.SeriesInstanceUID = report.SeriesInstanceUID
    series.ReferencedSOPSequence = series.ReferencedSOPSequence[:1]
    series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = report.SOPInstanceUID
    edited.PredecessorDocumentsSequence[0].ReferencedSeriesSequence = [series]
    written_by(edited, "One^Reader", at="20260303080000")
    findings = json.loads((service.data / "store" / job["findings_path"]).read_bytes())
    nodule, *others = findings["nodules"]
    assert others, "a report without any nodule says nothing of one that is missing"
    drop(edited, nodule["tracking_uid"])

    service.send(save([edited, signed, report], tmp_path / "answers"))

    def shown() -> dict[str, Any] | None:
        told = json.loads(service.cli("answers", "show", str(job["id"]), "--json").stdout)
        (one,) = (
            item for item in told["nodules"] if item["tracking_uid"] == nodule["tracking_uid"]
        )
        return one if len(one["answers"]) == 2 else None

    one = wait_for(shown, limit_s=90, message="both answers are shown")
    first, last = one["answers"]
    assert (first["verdict"], first["author"], first["verified"]) == (
        "accept", "Rita Chief", True,
    )  # fmt: skip
    assert (last["verdict"], last["author"]) == ("reject", "Reader One")
    assert one["answer"] == last
    after = service.job(series_uid)
    assert (after["id"], after["state"]) == (job["id"], JobState.ANALYSED)
    assert after["features_path"] is not None  # what a candidate of the bank would need
    assert {row["state"] for row in service.jobs() if row["modality"] == "SR"} <= {
        JobState.RECEIVING, JobState.NOT_ELIGIBLE,
    }  # fmt: skip
    assert "reject" in service.cli("answers", "list").stdout
    assert "…" + nodule["tracking_uid"][-8:] in service.cli("jobs", "show", series_uid).stdout
