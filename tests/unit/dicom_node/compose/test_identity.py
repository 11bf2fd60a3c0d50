from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.compose.identity import (
    derive_uid,
    device_uid,
    is_own_object,
    result_instance_uid,
    result_series_uid,
    tracking_uid,
)
from dicom_node.read.ct_series import CtSeries


def test_a_derived_uid_is_a_valid_uid_of_a_version_8_uuid() -> None:
    for number in range(200):
        uid = derive_uid("x", str(number))
        value = int(uid.removeprefix("2.25."))

        assert UID(uid).is_valid
        assert len(uid) <= 64
        assert (value >> 76) & 0xF == 8
        assert (value >> 62) & 0x3 == 2


def test_a_derived_uid_never_changes_between_releases() -> None:
    assert derive_uid("a", "b") == "2.25.114119618493925984282465201731260048107"


def test_where_one_part_ends_and_the_next_begins_matters() -> None:
    assert derive_uid("a", "bc") != derive_uid("ab", "c")


def test_every_part_of_a_results_identity_tells_it_apart() -> None:
    uids = {
        result_series_uid("1.2", "sr"),
        result_series_uid("1.2", "seg"),
        result_series_uid("1.3", "sr"),
        result_instance_uid("1.2", 1, "sr", "default"),
        result_instance_uid("1.2", 2, "sr", "default"),
        result_instance_uid("1.2", 1, "seg", "default"),
        result_instance_uid("1.2", 1, "sr", "ohif"),
        tracking_uid("1.2", "1"),
        tracking_uid("1.2", "2"),
        device_uid("a", "1", "weights=1"),
        device_uid("a", "1", "weights=2"),
    }

    assert len(uids) == 11


@pytest.mark.parametrize("modality", ["SR", "SEG", "OT", "KO", "DOC"])
def test_our_own_objects_are_known_whatever_they_are(modality: str) -> None:
    ds = Dataset()
    ds.Modality = modality
    ds.Manufacturer = "Pulmonode "
    ds.ManufacturerModelName = "Pulmonode"

    assert is_own_object(ds)


def test_composed_objects_are_known_and_the_phantom_is_not(
    seg_ds: Dataset, sr_ds: Dataset, series: CtSeries
) -> None:
    assert is_own_object(seg_ds)
    assert is_own_object(sr_ds)
    assert not is_own_object(series.headers[0])
    assert not is_own_object(Dataset())
