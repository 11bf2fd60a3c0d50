from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.compose.ct import CtIdentity, write_ct_series
from tests.unit.dicom_node.compose.cases import oblique_affine, read_headers, upright_affine


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("affine", [upright_affine(), oblique_affine()])
def test_hu_and_geometry_come_back(tmp_path: Path, affine: np.ndarray, descending: bool) -> None:
    hu = np.arange(4 * 6 * 7, dtype=np.int16).reshape(4, 6, 7) * 20 - 1024

    paths = write_ct_series(
        tmp_path, hu=hu, affine=affine, identity=CtIdentity(key="a"), descending=descending
    )

    series = read_headers(paths)
    by_uid = {}
    for path in paths:
        ds = dcmread(path)
        by_uid[ds.SOPInstanceUID] = ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept
    assert np.array_equal([by_uid[uid] for uid in series.sop_instance_uids], hu)
    assert series.affine == pytest.approx(affine, abs=1e-6)
    numbers = [int(header.InstanceNumber) for header in series.headers]
    assert numbers == ([4, 3, 2, 1] if descending else [1, 2, 3, 4])


def test_the_same_key_writes_the_same_bytes(tmp_path: Path) -> None:
    hu = np.zeros((2, 6, 7), dtype=np.int16)
    written = [
        write_ct_series(
            tmp_path / name, hu=hu, affine=upright_affine(), identity=CtIdentity(key="a")
        )
        for name in ("one", "two")
    ]

    assert [p.read_bytes() for p in written[0]] == [p.read_bytes() for p in written[1]]


def test_given_uids_and_a_chinese_name_are_kept(tmp_path: Path) -> None:
    identity = CtIdentity(
        key="a",
        patient_name="Wang^XiaoDong=王^小东",
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
    )

    (path,) = write_ct_series(
        tmp_path, hu=np.zeros((1, 6, 7), dtype=np.int16), affine=upright_affine(), identity=identity
    )

    ds = dcmread(path)
    assert (ds.StudyInstanceUID, ds.SeriesInstanceUID) == ("1.2.3", "1.2.3.4")
    assert str(ds.PatientName) == identity.patient_name
    assert ds.SpecificCharacterSet == "ISO_IR 192"
