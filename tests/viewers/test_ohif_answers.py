"""What OHIF saves when a radiologist has edited our report, and how it is understood."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.compose.profile import shipped_profile
from dicom_node.read.edited_report import place_lps_mm, read_edited_report
from dicom_node.read.header import InstanceHeader, read_header
from tests.viewers.ohif import Viewer, viewer
from tests.viewers.studies import Study, analysed_study
from workers.answers.known import known_nodules
from workers.answers.verdicts import judge_report
from workers.phantom import write_phantom
from workers.state.answer_tables import Verdict

pytestmark = [pytest.mark.peer, pytest.mark.timeout(900)]
NODULES = ("solid:14", "solid:12", "solid:16")
RELABEL = """uids => {
  const { measurementService } = window.services;
  const first = measurementService.getMeasurement(uids[0]);
  measurementService.update(first.uid, { ...first, label: 'level IV' }, true);
  measurementService.remove(uids[1]);
}"""


def analysed_phantom(folder: Path) -> Study:
    ct = folder / "ct"
    write_phantom(
        ct, seed=3, slices=70, spacing_mm=3.0, pixels=256, pixel_spacing_mm=1.4, nodules=NODULES
    )
    study = analysed_study(ct, folder, shipped_profile("ohif"))
    assert len(study.nodules) == len(NODULES)
    return study


def save_edited(ohif: Viewer, study: Study, saved: Path) -> None:
    """Relabel the first nodule, delete the second, and save, by the viewer's own buttons."""
    ohif.archive.store([*study.ct, *study.objects])
    before = ohif.archive.instances()
    ohif.open_study(study.uid)
    ohif.open_panel("trackedMeasurements-btn")
    ohif.open_series("AI lung nodules SR")
    ohif.wait_for(f"window.shown.measurements().length === {len(NODULES)}")
    ohif.page.evaluate(RELABEL, [each["uid"] for each in ohif.tell("measurements")])
    ohif.wait_for(f"window.shown.measurements().length === {len(NODULES) - 1}")
    ohif.page.get_by_role("button", name="Create SR").click()
    with ohif.page.expect_response(lambda answer: answer.request.method == "POST") as stored:
        ohif.page.get_by_role("button", name="Save").click()
    assert stored.value.status == 200
    (new,) = (data for name, data in ohif.archive.instances().items() if name not in before)
    saved.write_bytes(new)


def test_a_report_edited_and_saved_in_ohif_says_of_each_nodule_what_was_done(
    tmp_path: Path,
) -> None:
    study = analysed_phantom(tmp_path)
    saved = tmp_path / "saved.dcm"
    with viewer(tmp_path) as ohif:
        save_edited(ohif, study, saved)
        assert ohif.complaints == []

    ours = read_edited_report(study.objects[-1])
    report = read_edited_report(saved)
    assert ours.sop_instance_uid in report.predecessors
    assert not report.has_own_equipment
    headers: dict[str, InstanceHeader] = {
        uid: read_header(path) for path in study.ct for uid in [str(dcmread(path).SOPInstanceUID)]
    }
    spoken = judge_report(
        report,
        known_nodules(study.findings, [ours.findings]),
        {uid: place_lps_mm(finding, headers) for uid, finding in report.findings.items()},
        replaced=set(ours.findings),
    )

    by_number = {each.tracking_uid: each for each in spoken}
    first, second, third = (by_number[str(item["tracking_uid"])] for item in study.nodules)
    assert (first.verdict, first.said["level"]) == (Verdict.REGRADE, "IV")
    assert second.verdict == Verdict.REJECT
    assert third.verdict == Verdict.ACCEPT
    assert len(spoken) == len(NODULES)
