"""Reports of others: what their text and their measurements say."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.errors import UnreadableInstance
from dicom_node.read.report_text import MeasuredNodule, read_stored_report
from tests.unit.dicom_node.read.sr_files import (
    FINDING,
    NODULE,
    REPORT,
    SITE,
    SR_UID,
    basic_text,
    code,
    group,
    item,
    number,
    text,
    write_sr,
)

LONG, SHORT = ("103339001", "SCT", "Long Axis"), ("103340004", "SCT", "Short Axis")
SRT_LONG = ("G-A185", "SRT", "Long Axis")
DIAMETER = ("81827009", "SCT", "Diameter")
RUL = ("42400003", "SCT", "Upper lobe of right lung")


def test_a_text_report_is_read_under_its_headings_without_what_was_before(tmp_path: Path) -> None:
    path = basic_text(tmp_path / "sr.dcm", "8 mm nodule in the RUL.", "40 pack-years.")

    report = read_stored_report(path)

    assert report.text.splitlines() == [
        "History:", "History:", "40 pack-years.", "Findings:", "8 mm nodule in the RUL.",
    ]  # fmt: skip
    assert (report.title, report.on, report.said_at) == (
        "CT Report", "2026-03-02", "2026-03-02T10:15:00"
    )  # fmt: skip
    assert report.final
    assert report.header.sop_instance_uid == SR_UID
    assert report.patient.names == ("Roe^Jane",)
    assert report.nodules == ()


def test_texts_without_containers_have_their_names_for_headings(tmp_path: Path) -> None:
    path = write_sr(
        tmp_path / "sr.dcm", ("11528-7", "LN", "Radiology Report"),
        [text(("121073", "DCM", "Impression"), "No nodule."),
         code(FINDING, ("87433001", "SCT", "Pulmonary emphysema"))],
    )  # fmt: skip

    assert read_stored_report(path).text == "Impression:\nNo nodule.\nPulmonary emphysema."


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([code(SITE, RUL), number(LONG, 8.2), number(SHORT, 6)],
         MeasuredNodule(long_axis_mm=8.2, short_axis_mm=6.0, side="right",
                        lobe="right upper lobe")),
        ([code(SITE, RUL), number(SRT_LONG, 0.9, "cm")],
         MeasuredNodule(long_axis_mm=9.0, side="right", lobe="right upper lobe")),
        ([code(SITE, ("39607008", "SCT", "Lung"),
               code(("272741003", "SCT", "Laterality"), ("7771000", "SCT", "Left"))),
          number(DIAMETER, 7)], MeasuredNodule(long_axis_mm=7.0, side="left")),
        ([number(DIAMETER, 7), number(("1", "99X", "Volume"), 180, "mm3")],
         MeasuredNodule(long_axis_mm=7.0)),
        ([code(SITE, ("10200004", "SCT", "Liver")), number(DIAMETER, 7)], None),
    ],
    ids=["lobe and axes", "SRT, cm", "laterality below the site", "no site", "liver"],
)  # fmt: skip
def test_measurement_groups_of_lung_nodules_become_nodules(
    tmp_path: Path, content: list[Dataset], expected: MeasuredNodule | None
) -> None:
    measured = item(
        "CONTAINER", ("126010", "DCM", "Imaging Measurements"),
        group(code(FINDING, NODULE), *content),
        group(code(FINDING, ("52988006", "SCT", "Lesion")), number(LONG, 30)),
    )  # fmt: skip
    path = write_sr(tmp_path / "sr.dcm", REPORT, [measured])

    report = read_stored_report(path)

    assert report.nodules == (() if expected is None else (expected,))
    assert report.text == ""


@pytest.mark.parametrize(
    "flags", [{"CompletionFlag": "PARTIAL"}, {"PreliminaryFlag": "PRELIMINARY"}]
)
def test_a_partial_or_preliminary_report_is_not_final(
    tmp_path: Path, flags: dict[str, str]
) -> None:
    assert not read_stored_report(basic_text(tmp_path / "sr.dcm", "Clear.", **flags)).final


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    path = basic_text(tmp_path / "sr.dcm", "Clear.", Modality="CT")

    with pytest.raises(UnreadableInstance, match="no Structured Report"):
        read_stored_report(path)
