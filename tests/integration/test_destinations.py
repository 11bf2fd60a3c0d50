"""Four destinations of one service: a viewer, an archive, a ward that waits, a trial in shadow."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.profile import shipped_profile
from dicom_node.compose.template_check import check_sr
from dicom_node.mini_pacs import MiniPacs
from tests.integration.service import NO_NETWORKS, Service, free_port, wait_for

SR, SR_3D = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34"
SC = "1.2.840.10008.5.1.4.1.1.7"
SEG, NOTE = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.59"
DESTINATIONS: dict[str, dict[str, str]] = {
    "viewer": {"profile": "ohif"},
    "archive": {"profile": "air", "retraction": "rejection_note"},
    "ward": {"profile": "minimal", "mode": "withheld", "retraction": "rejection_note"},
    "trial": {"profile": "default", "mode": "shadow", "retraction": "rejection_note"},
}


def test_each_destination_gets_its_own_dress_at_its_own_time(
    make_service: Callable[..., Service],
    make_recorder: Callable[..., MiniPacs],
    small_phantom: Path,
) -> None:
    port = free_port()
    pacs = {name: make_recorder(port) for name in DESTINATIONS}
    service = make_service(
        port=port,
        destinations=[
            {
                "name": name,
                "ae_title": "RECORDER",
                "host": "127.0.0.1",
                "port": pacs[name].port,
                **values,
            }
            for name, values in DESTINATIONS.items()
        ],
        environment=NO_NETWORKS,
    )
    slices = sorted(small_phantom.glob("*.dcm"))
    series_uid = str(dcmread(slices[0], stop_before_pixels=True).SeriesInstanceUID)

    service.send(slices[:-1])
    job = _settled(service, series_uid, revision=1, withheld="ward")
    shown = service.cli("jobs", "show", str(job["id"]))
    before_release = {name: len(each.received()) for name, each in pacs.items()}
    released = service.cli("jobs", "release", str(job["id"]))
    _settled(service, series_uid, revision=1)
    first = {name: _by_class(each) for name, each in pacs.items()}
    sent = {name: set(each.digests()) for name, each in pacs.items()}
    statistics = json.loads(service.cli("jobs", "statistics", "--json").stdout)
    service.send(slices[-1:])
    _settled(service, series_uid, revision=2)
    second = {name: _by_class(each, skip=sent[name]) for name, each in pacs.items()}

    assert before_release == {"viewer": 2, "archive": 2, "ward": 0, "trial": 0}
    assert "to ward (minimal): withheld, kept until" in " ".join(shown.stdout.split())
    assert "to trial (default): shadow" in " ".join(shown.stdout.split())
    assert "1 deliveries released" in released.stdout
    assert {name: sorted(found) for name, found in first.items()} == {
        "viewer": sorted([SR, SEG]),
        "archive": sorted([SR_3D, SEG]),
        "ward": sorted([SR, SC]),
        "trial": [],
    }
    for name, uid in (("viewer", SR), ("archive", SR_3D), ("ward", SR)):
        profile = shipped_profile(DESTINATIONS[name]["profile"])
        assert check_sr(first[name][uid], profile=profile) == []
    reports = [first["viewer"][SR], first["archive"][SR_3D], first["ward"][SR]]
    assert len({report.SOPInstanceUID for report in reports}) == 3
    seg_uid = str(first["viewer"][SEG].SOPInstanceUID)
    assert pacs["viewer"].digests()[seg_uid] == pacs["archive"].digests()[seg_uid]
    (trial,) = [row for row in statistics if row["destination"] == "trial"]
    assert (trial["mode"], trial["state"], trial["results"], trial["objects"]) == (
        "shadow", "shadow", 1, 2,
    )  # fmt: skip

    # The late slice made a revision. The report is signed, so the ward waits no longer.
    assert pacs["trial"].received() == []
    for name, uid in (("viewer", SR), ("archive", SR_3D), ("ward", SR)):
        assert _predecessors(second[name][uid]) == [first[name][uid].SOPInstanceUID]
    assert NOTE not in second["viewer"]
    for name in ("archive", "ward"):
        assert _rejected(second[name][NOTE]) == sent[name]


def _settled(
    service: Service, series_uid: str, *, revision: int, withheld: str | None = None
) -> dict[str, Any]:
    """The job once every delivery is confirmed, but that in shadow and, maybe, one withheld."""

    def reached() -> dict[str, Any] | None:
        if not service.jobs():
            return None
        job = service.job(series_uid)
        states = {item["destination"]: item["state"] for item in job["deliveries"]}
        wanted = {
            name: "withheld" if name == withheld else "shadow" if name == "trial" else "confirmed"
            for name in DESTINATIONS
        }
        return job if job["revision"] == revision and states == wanted else None

    job: dict[str, Any] = wait_for(reached, limit_s=120, message=f"revision {revision} arrives")
    return job


def _by_class(pacs: MiniPacs, skip: Set[str] = frozenset()) -> dict[str, Dataset]:
    """What came beside what is known already, one instance of each class."""
    return {
        record.sop_class_uid: dcmread(record.path)
        for record in pacs.received()
        if record.sop_instance_uid not in skip
    }


def _references(sequence: Any) -> list[str]:
    return [
        str(reference.ReferencedSOPInstanceUID)
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    ]


def _predecessors(report: Dataset) -> list[str]:
    return _references(report.PredecessorDocumentsSequence)


def _rejected(note: Dataset) -> set[str]:
    return set(_references(note.CurrentRequestedProcedureEvidenceSequence))


pytestmark = pytest.mark.timeout(300)
