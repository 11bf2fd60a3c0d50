"""Which object goes under which name, and which report a new one takes the place of."""

from __future__ import annotations

import pytest

from dicom_node.compose.identity import result_instance_uid
from dicom_node.compose.profile import ObjectKind, shipped_profile
from dicom_node.compose.sr_document import Predecessor
from workers.earlier_reports import EarlierReport, predecessor_of
from workers.object_names import file_names

CT = "1.2.3"


def earlier(sop_uid: str, *profiles: str, revision: int = 1) -> EarlierReport:
    predecessor = Predecessor(
        study_instance_uid="1.2", series_instance_uid="1.2.8", sop_class_uid="1.2.7",
        sop_instance_uid=sop_uid,
    )  # fmt: skip
    return EarlierReport(predecessor=predecessor, revision=revision, profiles=profiles)


def in_dress(name: str, revision: int = 1) -> EarlierReport:
    variant = shipped_profile(name).variant(ObjectKind.SR)
    uid = result_instance_uid(CT, revision, ObjectKind.SR, variant)
    return earlier(uid, name, revision=revision)


def named(reports: list[EarlierReport], profile: str, *names: str) -> str | None:
    found = predecessor_of(reports, CT, shipped_profile(profile), names or (profile,))
    return None if found is None else found.sop_instance_uid


def test_a_first_report_takes_nobodys_place() -> None:
    assert named([], "ohif") is None


def test_a_report_takes_the_place_of_the_one_in_the_same_dress() -> None:
    reports = [in_dress("air"), in_dress("ohif"), in_dress("default")]

    assert named(reports, "ohif") == reports[1].predecessor.sop_instance_uid
    # Stone's report is the default one's: one object, one predecessor.
    assert named(reports, "stone", "default", "stone") == reports[2].predecessor.sop_instance_uid


def test_a_profile_whose_file_was_changed_is_known_by_its_name() -> None:
    changed = earlier("1.9", "ohif")

    assert named([in_dress("air"), changed], "ohif") == "1.9"


def test_a_destination_that_changed_its_profile_still_names_what_there_was() -> None:
    reports = [in_dress("air"), in_dress("slicer")]

    assert named(reports, "weasis") == min(
        report.predecessor.sop_instance_uid for report in reports
    )


@pytest.mark.parametrize(
    ("objects", "names"),
    [
        ([("seg", ["default"]), ("sr", ["default"])], ["seg.dcm", "sr.dcm"]),
        (
            [("seg", ["air", "ohif"]), ("sr", ["air"]), ("sr", ["ohif", "ward"])],
            ["seg.dcm", "sr-air.dcm", "sr-ohif.dcm"],
        ),
        (
            [("key_images", ["default"]), ("key_images", ["default"]), ("rejection", [])],
            ["key_images-1.dcm", "key_images-2.dcm", "rejection.dcm"],
        ),
        ([("rejection", []), ("rejection", [])], ["rejection-1.dcm", "rejection-2.dcm"]),
    ],
)
def test_files_are_called_by_kind_and_where_needed_by_profile_and_number(
    objects: list[tuple[str, list[str]]], names: list[str]
) -> None:
    assert file_names(objects) == names
